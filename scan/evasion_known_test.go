package scan

// known lists the cases of the package evasion that are missed today, one a line.
var known = listed(`
BinHex/a text within
HTML/PowerShell, encoded command
HTML/VBScript, pieces
HTML/a comment
HTML/style with escapes
archive/bzip2, junk first
archive/gzip, junk first
archive/gzip, the second member behind junk
archive/zlib
password/a sum
password/in a field of the header
password/in a readme in the zip
password/in another attachment
password/in another attachment, behind
password/in the zip's comment
password/the recipient's address
password/the sender's domain
zip/both: AES, and they are not
zip/the zip in another's extra field
`)
