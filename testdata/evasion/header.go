package evasion

import (
	"bytes"
	"fmt"
	"strings"
)

// headerRows put something before the field that divides the message, or instead
// of what usually stands there. A header ends at the first empty line (RFC 5322,
// section 2.1); at which of the lines below it ends, mail programs do not agree
// (RFC 7103, section 7.1: most go on at a line that is no field, some stop).
var headerRows = []fieldRow{
	{Core, "unknown fields before", "X-A: a\nX-B: b"},
	{Core, "a name of one letter", "X: a"},
	{Core, "an empty value", "X-A:"},
	{Core, "an empty folded value", "X-A:\n "},
	{Edge, "a name with a blank", "X A: a"},
	{Edge, "a name with a tab", "X\tA: a"},
	{Edge, "a blank before the colon", "X-A : a"},
	{Edge, "an empty name", ": a"},
	{Edge, "a colon alone", ":"},
	{Edge, "a name of blanks", "   : a"},
	{Edge, "a line without colon", "this line is no field"},
	{Edge, "ten lines without colon", strings.Repeat("this line is no field\n", 9) + "this line is no field"},
	{Edge, "a line of dashes", "----------------"},
	{Edge, "a line like a delimiter", "--real_2"},
	{Edge, "a line of one dot", "."},
	{Edge, "a From line", "From taro@example.com Mon Oct 20 10:15:00 2025"},
	{Edge, "a quoted From line", ">From taro@example.com Mon Oct 20 10:15:00 2025"},
	{Edge, "a line of blanks", "   "},
	{Edge, "a line of a tab", "\t"},
	{Edge, "a line of a vertical tab", "\v"},
	{Edge, "a line of a no-break space", "\xa0"},
	{Edge, "a line of a NUL", "\x00"},
	{Edge, "a name in 8 bit", "件名: a"},
	{Edge, "a name with a NUL", "X\x00A: a"},
	{Edge, "a name of 1000 characters", strings.Repeat("X", 1000) + ": a"},
	{Edge, "a name of 100000 characters", strings.Repeat("X", 100000) + ": a"},
	{Core, "a value of 990 characters", "X-A: " + strings.Repeat("a", 990)},
	{Edge, "a value of 135000 characters", "X-A: " + strings.Repeat("a ", 67500)},
	{Edge, "a value of 3000 folded lines", "X-A: a" + strings.Repeat("\n a", 3000)},
	{Edge, "3000 fields", strings.Repeat("X-A: a\n", 2999) + "X-A: a"},
	{Edge, "a field in a comment that is open", "X-A: (a"},
	{Edge, "a field in quotes that are open", "X-A: \"a"},
	{Edge, "a bare CR", "X-A: a\rX-B: b"},
	{Edge, "a bare CR alone", "\r"},
	{Edge, "an encoded word for a name", "=?us-ascii?Q?X-A?=: a"},
	{Edge, "HTTP", "HTTP/1.1 200 OK"},
	{Edge, "an mbox line between", "X-A: a\n>From: b"},
}

// versionRows are about MIME-Version, which RFC 2045, section 4 demands and no mail
// program insists on.
var versionRows = []struct{ level, name, field string }{
	{Core, "no version", ""},
	{Core, "version 1.0 with a comment", "MIME-Version: 1.0 (made by x)\n"},
	{Core, "version with comments within", "MIME-Version: 1.(x)0\n"},
	{Core, "version in lower case", "mime-version: 1.0\n"},
	{Edge, "version 2.0", "MIME-Version: 2.0\n"},
	{Edge, "version 0.9", "MIME-Version: 0.9\n"},
	{Edge, "version twice", "MIME-Version: 1.0\nMIME-Version: 2.0\n"},
	{Edge, "version empty", "MIME-Version:\n"},
	{Edge, "version text", "MIME-Version: none\n"},
	{Edge, "version with a semicolon", "MIME-Version: 1.0;\n"},
}

func headers() []Case {
	f := family{name: "header"}
	for _, r := range headerRows {
		f.add(r.level, r.name, func(p Payload) []byte {
			return divided(r.fields+"\nContent-Type: multipart/mixed; boundary=real_1", meant, "", p)
		})
		f.add(r.level, "in a part, "+r.name, func(p Payload) []byte { return mixed(entity(r.fields+"\n"+p.encoded("base64"), b64(p.Content))) })
	}
	for _, r := range versionRows {
		f.add(r.level, r.name, func(p Payload) []byte {
			m := divided("Content-Type: multipart/mixed; boundary=real_1", meant, "", p)
			return bytes.Replace(m, []byte("MIME-Version: 1.0\r\n"), []byte(crlf(r.field)), 1)
		})
	}
	f.headerStarts()
	f.headerEnds()
	return f.cases
}

// headerStarts has something before the whole header.
func (f *family) headerStarts() {
	for _, r := range []struct{ level, name, before string }{
		{Edge, "BOM first", "\uFEFF"},
		{Edge, "BOM of UTF-16 first", "\xff\xfe"},
		{Edge, "From line first", "From taro@example.com Mon Oct 20 10:15:00 2025\r\n"},
		{Edge, "quoted From line first", ">From taro@example.com Mon Oct 20 10:15:00 2025\r\n"},
		{Edge, "empty line first", "\r\n"},
		{Edge, "three empty lines first", "\r\n\r\n\r\n"},
		{Edge, "continuation first", " continued from nothing\r\n"},
		{Edge, "continuation with a field first", " X-A: a\r\n"},
		{Edge, "line without colon first", "this line is no field\r\n"},
		{Edge, "NUL first", "\x00"},
		{Edge, "blank first", " "},
		{Edge, "dot first", ".\r\n"},
		{Edge, "delimiter first", "--=_kiyome_1\r\n"},
		{Edge, "fifty lines without colon first", strings.Repeat("this line is no field\r\n", 50)},
	} {
		f.add(r.level, r.name, func(p Payload) []byte { return append([]byte(r.before), mixed(p.attached())...) })
	}
}

// headerEnds is about the line that divides a header from its body.
func (f *family) headerEnds() {
	for _, r := range []struct{ level, name, end string }{
		{Core, "empty line", "\r\n"},
		{Edge, "line of blanks for the empty line", "  \r\n"},
		{Edge, "line of a tab for the empty line", "\t\r\n"},
		{Edge, "bare LF for the empty line", "\n"},
		{Edge, "bare CR for the empty line", "\r"},
		{Edge, "CR CR LF for the empty line", "\r\r\n"},
		{Edge, "three empty lines", "\r\n\r\n\r\n"},
		{Edge, "line without colon for the empty line", "this line is no field\r\n"},
		{Edge, "no empty line", ""},
		{Edge, "NUL for the empty line", "\x00\r\n"},
		{Edge, "dot for the empty line", ".\r\n"},
	} {
		f.add(r.level, "end of the part's header, "+r.name, func(p Payload) []byte {
			return mixed(crlf(p.encoded("base64")) + "\r\n" + r.end + b64(p.Content))
		})
		f.add(r.level, "end of the message's header, "+r.name, func(p Payload) []byte {
			return []byte(crlf(head+mixedType) + "\r\n" + r.end + multipart(outer, hello, p.attached()))
		})
	}
	f.add(Edge, "delimiter in the header", func(p Payload) []byte { // what follows is a part all the same
		return []byte(crlf(head+mixedType) + "\r\n--" + outer + "\r\n" + p.attached() + "--" + outer + "--\r\n")
	})
	f.add(Edge, "closing delimiter in a part's header", func(p Payload) []byte {
		return mixed("X-A: a\r\n--"+outer+"--\r\nX-B: b\r\n\r\nHello.", p.attached())
	})
	f.add(Edge, "only the fields of MIME", func(p Payload) []byte {
		return []byte(entity(mixedType, multipart(outer, hello, p.attached())))
	})
	f.add(Edge, "no header at all, a multipart's body", func(p Payload) []byte { return []byte(multipart(outer, hello, p.attached())) })
	f.add(Edge, "header twice", func(p Payload) []byte { return append([]byte(crlf(head)+"\r\n"), mixed(p.attached())...) })
	f.add(Edge, "type behind an empty line", func(p Payload) []byte { // "hidden header": some read fields on behind empty lines
		return []byte(crlf(head) + "\r\n" + entity(mixedType, multipart(outer, hello, p.attached())))
	})
	f.add(Doubtful, "base64 under an empty line and fields", func(p Payload) []byte {
		return []byte(crlf(head) + "\r\n" + entity(p.encoded("base64"), b64(p.Content)))
	})
}

// ends writes a message with line ends of its own.
func ends(m []byte, end string) []byte { return bytes.ReplaceAll(m, []byte("\r\n"), []byte(end)) }

// lineEnds is about what ends a line: mail comes with CRLF, lies in mailboxes with
// LF, and what a bare CR is, servers and clients see differently (RFC 7103,
// section 7.7.1). Text only: what an ending may change in a zip is another matter.
func lineEnds() []Case {
	f := family{name: "line ends"}
	for _, r := range []struct{ level, name, end string }{
		{Core, "LF", "\n"},
		{Edge, "CR", "\r"},
		{Edge, "CR CR LF", "\r\r\n"},
		{Edge, "LF CR", "\n\r"},
		{Edge, "CR LF CR LF", "\r\n\r\n"},
		{Doubtful, "vertical tab", "\v"},
		{Doubtful, "NEL", "\u0085"},
		{Doubtful, "line separator", "\u2028"},
	} {
		if r.name != "CR LF CR LF" {
			f.add(r.level, r.name, func(p Payload) []byte { return ends(mixed(p.attached()), r.end) })
		}
		f.add(r.level, r.name+" in the part only", func(p Payload) []byte { return mixed(string(ends([]byte(p.attached()), r.end))) })
		f.add(r.level, r.name+" behind delimiters only", func(p Payload) []byte {
			return bytes.ReplaceAll(mixed(p.attached()), []byte("--"+outer+"\r\n"), []byte("--"+outer+r.end))
		})
	}
	f.add(Core, "LF and CRLF by turns", func(p Payload) []byte {
		n := 0
		var b bytes.Buffer
		for line := range bytes.Lines(mixed(p.attached())) {
			if n++; n%2 == 0 {
				line = append(bytes.TrimSuffix(line, []byte("\r\n")), '\n')
			}
			b.Write(line)
		}
		return b.Bytes()
	})
	f.add(Core, "header with LF, body with CRLF", func(p Payload) []byte {
		fields, body, _ := bytes.Cut(mixed(p.attached()), []byte("\r\n\r\n"))
		return slicesJoin(ends(fields, "\n"), []byte("\n\n"), body)
	})
	f.add(Edge, "a bare CR before the delimiter", func(p Payload) []byte {
		return bytes.Replace(mixed(p.attached()), []byte("\r\n--"+outer+"\r\nContent-Type: app"), []byte("\r--"+outer+"\r\nContent-Type: app"), 1)
	})
	f.add(Edge, "a bare LF before the delimiter", func(p Payload) []byte {
		return bytes.Replace(mixed(p.attached()), []byte("\r\n--"+outer+"\r\nContent-Type: app"), []byte("\n--"+outer+"\nContent-Type: app"), 1)
	})
	f.add(Core, "no line end at the end", func(p Payload) []byte { return bytes.TrimSuffix(mixed(p.attached()), []byte("\r\n")) })
	f.add(Edge, "NUL at the end of every line", func(p Payload) []byte { return ends(mixed(p.attached()), "\x00\r\n") })
	f.add(Edge, "blanks at the end of every line", func(p Payload) []byte { return ends(mixed(p.attached()), " \r\n") })
	return f.cases
}

func slicesJoin(pieces ...[]byte) []byte { return bytes.Join(pieces, nil) }

// abuse is what is large or deep for its own sake, with the payload at its end.
// Every mail program shows it, after a while.
func abuse() []Case {
	f := family{name: "abuse"}
	many := func(n int) string { return strings.Repeat("--"+outer+"\r\n"+hello, n) }
	f.add(Core, "1201 parts", func(p Payload) []byte {
		return letter(mixedType, many(1200)+multipart(outer, p.attached()))
	})
	f.add(Edge, "5000 empty parts", func(p Payload) []byte {
		return letter(mixedType, strings.Repeat("--"+outer+"\r\n\r\n", 5000)+multipart(outer, p.attached()))
	})
	f.add(Edge, "5000 delimiters", func(p Payload) []byte {
		return letter(mixedType, strings.Repeat("--"+outer+"\r\n", 5000)+multipart(outer, p.attached()))
	})
	for _, n := range []int{10, 40, 200} {
		f.add(depthLevel(n), fmt.Sprintf("multiparts %d deep", n), func(p Payload) []byte { return nested(n, p.attached(), func(int) string { return "mixed" }) })
	}
	f.add(Edge, "multiparts 40 deep, their boundaries alike", func(p Payload) []byte { return nestedAlike(40, p.attached()) })
	f.add(Core, "3000 fields in the message", func(p Payload) []byte {
		return letter(strings.Repeat("X-A: a\n", 3000)+mixedType, multipart(outer, hello, p.attached()))
	})
	f.add(Edge, "a field of 135 KB in the message", func(p Payload) []byte {
		return letter("X-A: "+strings.Repeat("a", 135<<10)+"\n"+mixedType, multipart(outer, hello, p.attached()))
	})
	f.add(Edge, "a folded field of 135 KB in the message", func(p Payload) []byte {
		return letter("X-A: a"+strings.Repeat("\n "+strings.Repeat("a", 70), 135<<10/72)+"\n"+mixedType, multipart(outer, hello, p.attached()))
	})
	f.add(Edge, "a field of 135 KB in the part", func(p Payload) []byte {
		return mixed(entity("X-A: "+strings.Repeat("a", 135<<10)+"\n"+p.encoded("base64"), b64(p.Content)))
	})
	f.add(Core, "a text of 500 KB before", func(p Payload) []byte {
		return mixed(entity("Content-Type: text/plain", strings.Repeat("A long letter, and there is more to tell in it.\r\n", 10000)), p.attached())
	})
	f.add(Core, "an attachment of 500 KB before", func(p Payload) []byte {
		return mixed(attach("first.bin", bytes.Repeat([]byte("nothing "), 64000)), p.attached())
	})
	f.add(Edge, "a preamble of 500 KB", func(p Payload) []byte {
		return letter(mixedType, strings.Repeat("A long preamble that nobody sees at all anyway.\r\n", 10000)+multipart(outer, hello, p.attached()))
	})
	f.add(Core, "500 KB in the payload's own part", func(p Payload) []byte {
		return mixed(attach(p.file(), slicesJoin(bytes.Repeat([]byte("nothing\n"), 64000), p.Content)))
	})
	f.add(Core, "200 attachments, the last one", func(p Payload) []byte {
		var parts []string
		for i := range 200 {
			parts = append(parts, attach(fmt.Sprintf("clean%d.txt", i), fmt.Appendf(nil, "this is file %d", i)))
		}
		return mixed(append(parts, p.attached())...)
	})
	return f.cases
}

func depthLevel(n int) string {
	if n > 100 {
		return Edge
	}
	return Core
}

// nested is a message of so many multiparts in each other, with a part in the innermost.
func nested(n int, part string, kind func(level int) string) []byte {
	for i := range n {
		part = entity(fmt.Sprintf("Content-Type: multipart/%s; boundary=\"level %d\"", kind(i), i), multipart(fmt.Sprintf("level %d", i), hello, part))
	}
	return append([]byte(crlf(head)), part...)
}

// nestedAlike is nested with one boundary for all, none of them closed.
func nestedAlike(n int, part string) []byte {
	var b strings.Builder
	for range n {
		b.WriteString(crlf(mixedType) + "\r\n\r\n--" + outer + "\r\n" + hello + "--" + outer + "\r\n")
	}
	return []byte(crlf(head) + b.String() + part + "--" + outer + "--\r\n")
}
