package evasion

import (
	"strconv"
	"strings"
)

// nameRows are attachments whose names hide what they are. A name must not keep a
// file from being found, nor break the header that has it: all mail programs show
// these, under one name or another.
var nameRows = []fieldRow{
	{Core, "right-to-left override", "Content-Disposition: attachment; filename=\"invoice\u202efdp.exe\""},
	{Core, "right-to-left override, encoded", "Content-Disposition: attachment; filename*=utf-8''invoice%E2%80%AEfdp.exe"},
	{Core, "zero-width characters", "Content-Disposition: attachment; filename=\"invoice.e\u200bxe\""},
	{Core, "two endings", "Content-Disposition: attachment; filename=\"invoice.pdf.exe\""},
	{Core, "blanks before the ending", "Content-Disposition: attachment; filename=\"invoice.pdf" + strings.Repeat(" ", 200) + ".exe\""},
	{Core, "dots behind", "Content-Disposition: attachment; filename=\"invoice.exe...\""},
	{Core, "blanks behind", "Content-Disposition: attachment; filename=\"invoice.exe   \""},
	{Core, "no name", "Content-Disposition: attachment"},
	{Core, "empty name", "Content-Disposition: attachment; filename=\"\""},
	{Core, "name and filename disagree", "Content-Type: application/octet-stream; name=\"a.txt\"\nContent-Disposition: attachment; filename=\"a.exe\""},
	{Core, "name and filename disagree, the other way", "Content-Type: application/octet-stream; name=\"a.exe\"\nContent-Disposition: attachment; filename=\"a.txt\""},
	{Core, "filename twice", "Content-Disposition: attachment; filename=\"a.txt\"; filename=\"a.exe\""},
	{Core, "filename and filename*", "Content-Disposition: attachment; filename=\"a.txt\"; filename*=utf-8''a.exe"},
	{Core, "continued", "Content-Disposition: attachment; filename*0=\"a.t\"; filename*1=\"xt.exe\""},
	{Core, "continued and encoded", "Content-Disposition: attachment; filename*0*=utf-8''%E8%AB%8B; filename*1=.exe"},
	{Core, "encoded word", "Content-Disposition: attachment; filename=\"=?utf-8?B?6KuL5rGC5pu4LmV4ZQ==?=\""},
	{Core, "encoded words without blank", "Content-Disposition: attachment; filename=\"=?utf-8?Q?a?==?utf-8?Q?.exe?=\""},
	{Core, "ISO-2022-JP, raw", "Content-Disposition: attachment; filename=\"\x1b$B@A5a=q\x1b(B.exe\""},
	{Core, "Shift_JIS, raw", "Content-Disposition: attachment; filename=\"\x90\xbf\x8b\x81\x8f\x91.exe\""},
	{Core, "Shift_JIS, a backslash byte before the quote", "Content-Disposition: attachment; filename=\"\x95\\\""},
	{Edge, "NUL", "Content-Disposition: attachment; filename=\"a.exe\x00.txt\""},
	{Edge, "CR", "Content-Disposition: attachment; filename=\"a.exe\r.txt\""},
	{Edge, "LF, folded", "Content-Disposition: attachment; filename=\"a\n .exe\""},
	{Edge, "quote open", "Content-Disposition: attachment; filename=\"a.exe"},
	{Edge, "quote within", "Content-Disposition: attachment; filename=\"a\"b.exe\""},
	{Edge, "semicolon within, no quotes", "Content-Disposition: attachment; filename=a;b.exe"},
	{Edge, "6000 characters", "Content-Disposition: attachment; filename=\"" + strings.Repeat("a", 6000) + ".exe\""},
	{Edge, "6000 characters in pieces", "Content-Disposition: attachment" + longPieces()},
	{Edge, "a path", "Content-Disposition: attachment; filename=\"../../../etc/passwd\""},
	{Edge, "a Windows path", `Content-Disposition: attachment; filename="C:\Windows\System32\a.exe"`},
	{Edge, "a device", "Content-Disposition: attachment; filename=\"NUL\""},
	{Edge, "a stream", "Content-Disposition: attachment; filename=\"a.txt::$DATA\""},
	{Edge, "a class id", "Content-Disposition: attachment; filename=\"a.{3050F4D8-98B5-11CF-BB82-00AA00BDCE0B}\""},
	{Edge, "a slash alone", "Content-Disposition: attachment; filename=\"/\""},
	{Edge, "a format", "Content-Disposition: attachment; filename=\"%s%n%x.exe\""},
	{Edge, "a template", "Content-Disposition: attachment; filename=\"{{.}}.exe\""},
	{Edge, "HTML", "Content-Disposition: attachment; filename=\"<img src=x onerror=alert(1)>.exe\""},
	{Edge, "an unknown charset", "Content-Disposition: attachment; filename*=x-unknown'ja'a%2Eexe"},
	{Edge, "a bad percent", "Content-Disposition: attachment; filename*=utf-8''a%ZZ%.exe"},
	{Core, "a picture's type", "Content-Type: image/jpeg; name=\"a.jpg\"\nContent-Disposition: inline; filename=\"a.jpg\""},
	{Core, "a signature's name", "Content-Type: application/pgp-signature; name=\"signature.asc\"\nContent-Disposition: attachment; filename=\"signature.asc\""},
	{Core, "a calendar's name", "Content-Type: text/calendar; name=\"invite.ics\""},
	{Core, "an eml's name", "Content-Disposition: attachment; filename=\"a.eml\""},
	{Core, "a p7s's name", "Content-Disposition: attachment; filename=\"smime.p7s\""},
	{Core, "a winmail.dat's name", "Content-Type: application/ms-tnef; name=\"winmail.dat\""},
	{Edge, "all full width", "Content-Disposition: attachment; filename=\"ｉｎｖｏｉｃｅ．ｅｘｅ\""},
	{Edge, "UTF-7", "Content-Disposition: attachment; filename=\"=?utf-7?Q?a+AC4-exe?=\""},
}

// longPieces is a name in a thousand pieces.
func longPieces() string {
	var b strings.Builder
	for i := range 1000 {
		b.WriteString(";\n filename*" + strconv.Itoa(i) + "=abcdef")
	}
	return b.String()
}

func names() []Case {
	f := family{name: "file name"}
	for _, r := range nameRows {
		f.add(r.level, r.name, func(p Payload) []byte {
			return mixed(entity(r.fields+"\nContent-Transfer-Encoding: base64", b64(p.Content)))
		})
	}
	return f.cases
}
