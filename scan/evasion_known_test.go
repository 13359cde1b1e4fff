package scan

// known lists the cases of the package evasion that are missed today, one a line.
var known = listed(`
HTML/PowerShell, encoded command
HTML/VBScript, pieces
`)
