package evasion

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"strings"

	"kiyome/testdata"
)

// uuRows are uuencoded files in a text: how its lines are rewritten. Outlook and
// Thunderbird show such files as attachments, wherever they stand in a text.
var uuRows = []struct {
	level, name string
	write       func(p Payload) string
}{
	{Core, "alone", Payload.uu},
	{Core, "behind a text", func(p Payload) string { return "Hello.\r\n\r\n" + p.uu() }},
	{Core, "late", func(p Payload) string { return strings.Repeat("Hello.\r\n", 3000) + p.uu() }},
	{Core, "no end", func(p Payload) string { return strings.TrimSuffix(p.uu(), "end\r\n") }},
	{Core, "no end and no last line", func(p Payload) string { return strings.TrimSuffix(p.uu(), "`\r\nend\r\n") }},
	{Core, "second", func(p Payload) string { return crlf(testdata.Uuencode("a.txt", "clean")) + "\r\n" + p.uu() }},
	{Core, "a decoy begin before", func(p Payload) string { return "begin 644 a.txt\r\n" + p.uu() }},
	{Core, "a begin of a sentence before", func(p Payload) string { return "begin the day with a smile\r\n" + p.uu() }},
	{Core, "a decoy end within", func(p Payload) string { return insertLine(p.uu(), 2, "end") }},
	{Core, "blank for zero", func(p Payload) string { return strings.ReplaceAll(p.uu(), "`", " ") }},
	{Core, "blanks at the ends cut off", func(p Payload) string { return trimLines(strings.ReplaceAll(p.uu(), "`", " ")) }},
	{Core, "surplus character on every line", func(p Payload) string { return eachLine(p, "%sx") }},
	{Core, "checksum character on every line", func(p Payload) string { return eachLine(p, "%sAB") }},
	{Core, "blanks behind every line", func(p Payload) string { return eachLine(p, "%s   ") }},
	{Doubtful, "blanks before every line", func(p Payload) string {
		return "  " + strings.ReplaceAll(strings.TrimSuffix(p.uu(), "\r\n"), "\r\n", "\r\n  ") + "\r\n"
	}},
	{Doubtful, "quoted as in an answer", func(p Payload) string {
		return "> " + strings.ReplaceAll(strings.TrimSuffix(p.uu(), "\r\n"), "\r\n", "\r\n> ") + "\r\n"
	}},
	{Edge, "empty lines within", func(p Payload) string { return insertLine(p.uu(), 2, "") }},
	{Edge, "a text within", func(p Payload) string { return insertLine(p.uu(), 2, "this is no line of it, and it is a long one") }},
	{Edge, "a page break within", func(p Payload) string { return insertLine(p.uu(), 2, "[next part follows]") }},
	{Core, "mode of four digits", func(p Payload) string { return strings.Replace(p.uu(), "begin 644", "begin 0644", 1) }},
	{Edge, "mode of one digit", func(p Payload) string { return strings.Replace(p.uu(), "begin 644", "begin 6", 1) }},
	{Edge, "no mode", func(p Payload) string { return strings.Replace(p.uu(), "begin 644", "begin", 1) }},
	{Edge, "mode is a word", func(p Payload) string { return strings.Replace(p.uu(), "begin 644", "begin rw-", 1) }},
	{Edge, "no name", func(p Payload) string { return strings.Replace(p.uu(), " "+p.file(), "", 1) }},
	{Edge, "two blanks before the name", func(p Payload) string { return strings.Replace(p.uu(), "begin 644 ", "begin  644  ", 1) }},
	{Edge, "upper case", func(p Payload) string { return strings.Replace(p.uu(), "begin 644", "BEGIN 644", 1) }},
	{Edge, "a blank before begin", func(p Payload) string { return " " + p.uu() }},
	{Edge, "a name of 2000 characters", func(p Payload) string {
		return strings.Replace(p.uu(), p.file(), strings.Repeat("a", 2000)+".exe", 1)
	}},
	{Edge, "a name in Shift_JIS", func(p Payload) string { return strings.Replace(p.uu(), p.file(), "\x90\xbf\x8b\x81\x8f\x91.exe", 1) }},
	{Edge, "LF", func(p Payload) string { return strings.ReplaceAll(p.uu(), "\r\n", "\n") }},
	{Edge, "CR", func(p Payload) string { return strings.ReplaceAll(p.uu(), "\r\n", "\r") }},
	{Edge, "short lines", func(p Payload) string { return uuShort(p, 3) }},
	{Edge, "lines of one byte", func(p Payload) string { return uuShort(p, 1) }},
	{Edge, "long lines", func(p Payload) string { return uuShort(p, 60) }},
	{Edge, "no begin", func(p Payload) string { return p.uuLines() + "`\r\nend\r\n" }},
	{Edge, "no begin and no end", Payload.uuLines},
	{Core, "base64 of uuencode", func(p Payload) string {
		return "begin-base64 644 " + p.file() + "\r\n" + b64(p.Content) + "====\r\n"
	}},
	{Edge, "base64 of uuencode, no end", func(p Payload) string { return "begin-base64 644 " + p.file() + "\r\n" + b64(p.Content) }},
	{Edge, "base64 of uuencode, encoded name", func(p Payload) string {
		return "begin-base64-encoded 644 " + line64([]byte(p.file())) + "\r\n" + b64(p.Content) + "====\r\n"
	}},
	{Doubtful, "xxencode", xxencoded},
	{Edge, "in HTML", func(p Payload) string { return "<html><body><pre>\r\n" + p.uu() + "</pre></body></html>\r\n" }},
	{Doubtful, "bare base64 in the text", func(p Payload) string { return "Here it comes:\r\n\r\n" + b64(p.Content) + "\r\nThat was it.\r\n" }},
}

// insertLine puts a line before the n-th.
func insertLine(s string, n int, line string) string {
	lines := strings.SplitAfter(s, "\r\n")
	return strings.Join(lines[:n], "") + line + "\r\n" + strings.Join(lines[n:], "")
}

func trimLines(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimRight(line, " \r\n") + "\r\n")
	}
	return b.String()
}

// eachLine writes the data lines of a uuencoded file in a format.
func eachLine(p Payload, format string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "begin 644 %s\r\n", p.file())
	for line := range strings.Lines(p.uuLines()) {
		fmt.Fprintf(&b, format+"\r\n", strings.TrimRight(line, "\r\n"))
	}
	return b.String() + "`\r\nend\r\n"
}

// uuShort is a uuencoded file with n bytes to a line.
func uuShort(p Payload, n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "begin 644 %s\r\n", p.file())
	for at := 0; at < len(p.Content); at += n {
		b.WriteString(uuLine(p.Content[at:min(at+n, len(p.Content))], uuAlphabet) + "\r\n")
	}
	return b.String() + "`\r\nend\r\n"
}

const (
	uuAlphabet = "`!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_"
	xxAlphabet = "+-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// uuLine writes up to 63 bytes in one line.
func uuLine(data []byte, alphabet string) string {
	e := base64.NewEncoding(alphabet).WithPadding(base64.NoPadding)
	s := e.EncodeToString(data)
	return alphabet[len(data):len(data)+1] + s + strings.Repeat(alphabet[:1], (4-len(s)%4)%4)
}

// xxencoded is uuencode in another alphabet.
func xxencoded(p Payload) string {
	var b strings.Builder
	fmt.Fprintf(&b, "begin 644 %s\r\n", p.file())
	for at := 0; at < len(p.Content); at += 45 {
		b.WriteString(uuLine(p.Content[at:min(at+45, len(p.Content))], xxAlphabet) + "\r\n")
	}
	return b.String() + "+\r\nend\r\n"
}

// uuencoded is about uuencode in texts: see uuRows.
func uuencoded() []Case {
	f := family{name: "uuencode"}
	for _, r := range uuRows {
		f.add(r.level, r.name, func(p Payload) []byte { return letter("Content-Type: text/plain", r.write(p)) })
	}
	f.add(Core, "without MIME", func(p Payload) []byte {
		return []byte(crlf(strings.Replace(head, "MIME-Version: 1.0\n", "", 1)) + "\r\nHello.\r\n" + p.uu())
	})
	f.add(Core, "in quoted-printable", func(p Payload) []byte {
		return letter("Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable", strings.ReplaceAll(p.uu(), "=", "=3D"))
	})
	f.add(Edge, "in quoted-printable, all escaped", func(p Payload) []byte {
		return letter("Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable", qp([]byte(p.uu())))
	})
	f.add(Edge, "in base64", func(p Payload) []byte {
		return letter("Content-Type: text/plain\nContent-Transfer-Encoding: base64", b64([]byte("Hello.\r\n"+p.uu())))
	})
	f.add(Edge, "in base64, no begin", func(p Payload) []byte {
		return letter("Content-Type: text/plain\nContent-Transfer-Encoding: base64", b64([]byte(p.uuLines()+"`\r\nend\r\n")))
	})
	f.add(Edge, "in UTF-16", func(p Payload) []byte {
		return letter("Content-Type: text/plain; charset=utf-16le\nContent-Transfer-Encoding: base64", b64(utf16le(p.uu())))
	})
	f.add(Core, "in format=flowed", func(p Payload) []byte {
		return letter("Content-Type: text/plain; format=flowed", "Hello. \r\n"+p.uu())
	})
	f.add(Core, "in a file that is attached", func(p Payload) []byte {
		return mixed(attach("a.uue", []byte("Hello.\n"+testdata.Uuencode(p.file(), string(p.Content))+"\n")))
	})
	f.add(Core, "in a part of HTML", func(p Payload) []byte { return mixed(entity("Content-Type: text/html", "<p>Hello.</p>\r\n"+p.uu())) })
	f.add(Edge, "in an attachment of type image", func(p Payload) []byte { return mixed(entity("Content-Type: image/gif", p.uu())) })
	f.add(Doubtful, "in uuencode", func(p Payload) []byte {
		return letter("Content-Type: text/plain", Payload{Content: []byte(p.uu())}.uu())
	})
	f.add(Doubtful, "across two parts", func(p Payload) []byte {
		s := p.uu()
		at := strings.Index(s, "\r\n") + 2 + 62 + 2
		at = min(at, len(s))
		return mixed(entity("Content-Type: text/plain", s[:at]), entity("Content-Type: text/plain", s[at:]))
	})
	return f.cases
}

// utf16le is text in UTF-16 with a byte order mark.
func utf16le(s string) []byte {
	b := []byte{0xff, 0xfe}
	for _, c := range []byte(s) {
		b = append(b, c, 0)
	}
	return b
}

// yenc is a file in yEnc (yenc.org, draft 1.3), which Thunderbird decodes.
func yenc(name string, content []byte) string {
	return fmt.Sprintf("=ybegin line=128 size=%d name=%s\r\n%s\r\n=yend size=%[1]d crc32=%08[4]x\r\n", len(content), name, yencData(content, 128), crc32.ChecksumIEEE(content))
}

// yencData are the encoded lines.
func yencData(content []byte, line int) string {
	var b strings.Builder
	n := 0
	for _, c := range content {
		if n >= line {
			b.WriteString("\r\n")
			n = 0
		}
		c += 42
		if c == 0 || c == '\n' || c == '\r' || c == '=' || c == '.' && n == 0 || n == 0 && (c == ' ' || c == '\t') {
			b.WriteByte('=')
			c += 64
			n++
		}
		b.WriteByte(c)
		n++
	}
	return b.String()
}

// yencoded is about yEnc in texts and attachments: see yenc.
func yencoded() []Case {
	f := family{name: "yEnc"}
	for _, r := range []struct {
		level, name string
		write       func(p Payload) string
	}{
		{Core, "in a text", func(p Payload) string { return "Hello.\r\n" + yenc(p.file(), p.Content) }},
		{Core, "no end", func(p Payload) string { s := yenc(p.file(), p.Content); return s[:strings.LastIndex(s, "=yend")] }},
		{Core, "short lines", func(p Payload) string {
			return fmt.Sprintf("=ybegin line=16 size=%d name=a\r\n%s\r\n=yend size=%[1]d\r\n", len(p.Content), yencData(p.Content, 16))
		}},
		{Edge, "every byte escaped", func(p Payload) string {
			var b strings.Builder
			for _, c := range p.Content {
				b.WriteString("=" + string([]byte{c + 42 + 64}))
			}
			return "=ybegin line=128 size=1 name=a\r\n" + b.String() + "\r\n=yend size=1\r\n"
		}},
		{Edge, "size that lies", func(p Payload) string { return strings.Replace(yenc(p.file(), p.Content), "size=", "size=9", 1) }},
		{Edge, "size of nothing", func(p Payload) string { return strings.Replace(yenc(p.file(), p.Content), "size=", "size=0 x=", 1) }},
		{Edge, "checksum that lies", func(p Payload) string { return strings.Replace(yenc(p.file(), p.Content), "crc32=", "crc32=0", 1) }},
		{Edge, "no name", func(p Payload) string { return strings.Replace(yenc("", p.Content), " name=", "", 1) }},
		{Edge, "a dot at a line's start doubled", func(p Payload) string {
			return "=ybegin line=128 size=1 name=a\r\n.." + yencData(p.Content, 128) + "\r\n=yend size=1\r\n"
		}},
		{Core, "one part of one", func(p Payload) string {
			return fmt.Sprintf("=ybegin part=1 total=1 line=128 size=%d name=a\r\n=ypart begin=1 end=%[1]d\r\n%s\r\n=yend size=%[1]d part=1\r\n", len(p.Content), yencData(p.Content, 128))
		}},
		{Edge, "two parts in one text", func(p Payload) string { return yencParts(p, 2) }},
		{Edge, "five parts in one text", func(p Payload) string { return yencParts(p, 5) }},
		{Edge, "behind another file", func(p Payload) string { return yenc("a.txt", []byte("clean")) + yenc(p.file(), p.Content) }},
		{Edge, "behind a begin that is a decoy", func(p Payload) string {
			return "=ybegin line=128 size=5 name=a.txt\r\n" + yenc(p.file(), p.Content)
		}},
	} {
		f.add(r.level, r.name, func(p Payload) []byte { return letter("Content-Type: text/plain", r.write(p)) })
	}
	f.add(Core, "in an attachment", func(p Payload) []byte {
		return mixed(entity("Content-Type: application/octet-stream; name=a", yenc(p.file(), p.Content)))
	})
	f.add(Edge, "in base64", func(p Payload) []byte { return mixed(attach("a.ync", []byte(yenc(p.file(), p.Content)))) })
	f.add(Core, "without MIME", func(p Payload) []byte {
		return []byte(crlf(strings.Replace(head, "MIME-Version: 1.0\n", "", 1)) + "\r\nHello.\r\n" + yenc(p.file(), p.Content))
	})
	return f.cases
}

// yencParts is a file in n parts, which Thunderbird does not join but news readers do.
func yencParts(p Payload, n int) string {
	var b strings.Builder
	each := (len(p.Content) + n - 1) / n
	for i := range n {
		from, to := i*each, min((i+1)*each, len(p.Content))
		if from >= to {
			break
		}
		fmt.Fprintf(&b, "=ybegin part=%d total=%d line=128 size=%d name=a\r\n=ypart begin=%d end=%d\r\n%s\r\n=yend size=%d part=%[1]d\r\n",
			i+1, n, len(p.Content), from+1, to, yencData(p.Content[from:to], 128), to-from)
	}
	return b.String()
}

// binhexAlphabet is that of RFC 1741.
const binhexAlphabet = "!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"

// crcXModem is CRC-16 with the polynomial 0x1021, as BinHex and MacBinary have it.
func crcXModem(data []byte) uint16 {
	var crc uint16
	for _, c := range data {
		crc ^= uint16(c) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

// binhex is a file in BinHex 4.0 (RFC 1741), without runs.
func binhex(name string, content []byte) string { return binhexOf(name, content, nil, 64) }

// binhexOf has a resource fork too, and its lines so long.
func binhexOf(name string, data, resource []byte, line int) string {
	fields := append([]byte{byte(len(name))}, name...)
	fields = append(fields, "\x00BINAmdos\x00\x00"...)
	fields = append(fields, byte(len(data)>>24), byte(len(data)>>16), byte(len(data)>>8), byte(len(data)))
	fields = append(fields, byte(len(resource)>>24), byte(len(resource)>>16), byte(len(resource)>>8), byte(len(resource)))
	var all []byte
	for _, piece := range [][]byte{fields, data, resource} {
		crc := crcXModem(piece)
		all = append(append(all, piece...), byte(crc>>8), byte(crc))
	}
	all = bytes.ReplaceAll(all, []byte{0x90}, []byte{0x90, 0})
	s := base64.NewEncoding(binhexAlphabet).WithPadding(base64.NoPadding).EncodeToString(all)
	return "(This file must be converted with BinHex 4.0)\r\n\r\n" + wrap(":"+s+":", line)
}

// binhexed is about BinHex, which Apple's programs and Eudora take off by
// themselves, and which StuffIt and The Unarchiver open where it stands.
func binhexed() []Case {
	f := family{name: "BinHex"}
	for _, r := range []struct {
		level, name string
		write       func(p Payload) string
	}{
		{Core, "in a text", func(p Payload) string { return "Hello.\r\n\r\n" + binhex(p.file(), p.Content) }},
		{Core, "in the resource fork", func(p Payload) string { return binhexOf(p.file(), []byte("clean"), p.Content, 64) }},
		{Edge, "lines of 20", func(p Payload) string { return binhexOf(p.file(), p.Content, nil, 20) }},
		{Edge, "one line", func(p Payload) string { return binhexOf(p.file(), p.Content, nil, 100000) }},
		{Edge, "no line that tells of it", func(p Payload) string { return strings.SplitN(binhex(p.file(), p.Content), "\r\n\r\n", 2)[1] }},
		{Edge, "another line that tells of it", func(p Payload) string {
			return strings.Replace(binhex(p.file(), p.Content), "must be converted with", "is in", 1)
		}},
		{Edge, "no colon at the end", func(p Payload) string { return strings.TrimSuffix(binhex(p.file(), p.Content), ":\r\n") + "\r\n" }},
		{Edge, "an empty line within", func(p Payload) string { return insertLine(binhexOf(p.file(), p.Content, nil, 40), 3, "") }},
		{Edge, "a text within", func(p Payload) string { return insertLine(binhexOf(p.file(), p.Content, nil, 40), 3, "-----") }},
	} {
		f.add(r.level, r.name, func(p Payload) []byte { return letter("Content-Type: text/plain", r.write(p)) })
	}
	f.add(Core, "application/mac-binhex40", func(p Payload) []byte {
		return mixed(entity("Content-Type: application/mac-binhex40; name=a.hqx", binhex(p.file(), p.Content)))
	})
	f.add(Core, "application/mac-binhex40 in base64", func(p Payload) []byte {
		return mixed(entity("Content-Type: application/mac-binhex40; name=a.hqx\nContent-Transfer-Encoding: base64", b64([]byte(binhex(p.file(), p.Content)))))
	})
	f.add(Core, "octet-stream", func(p Payload) []byte { return mixed(attach("a.hqx", []byte(binhex(p.file(), p.Content)))) })
	return f.cases
}
