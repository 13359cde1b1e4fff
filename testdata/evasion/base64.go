package evasion

import (
	"encoding/base64"
	"strings"
)

// between puts s between every n characters of base64 and the next.
func between(n int, s string) func([]byte) string {
	return func(content []byte) string {
		return strings.ReplaceAll(strings.TrimSuffix(wrap(line64(content), n), "\r\n"), "\r\n", s) + "\r\n"
	}
}

// chunks encodes every n bytes by themselves, with their own padding, and end behind each.
func chunks(n int, end string) func([]byte) string {
	return func(content []byte) string {
		var b strings.Builder
		for len(content) > 0 {
			k := min(n, len(content))
			b.WriteString(line64(content[:k]) + end)
			content = content[k:]
		}
		return b.String() + "\r\n"
	}
}

// around puts something before and behind ordinary base64.
func around(before, behind string) func([]byte) string {
	return func(content []byte) string { return before + b64(content) + behind }
}

// longer is content with so much text behind it that its base64 needs no padding,
// or what can be lost of the end does not matter.
func longer(content []byte) []byte {
	content = append(content[:len(content):len(content)], "\r\n\r\n\r\n"...)
	return append(content, "\n\n\n"[:(3-len(content)%3)%3]...)
}

// base64Rows are ways to write base64.
//
// RFC 2045, section 6.8: characters outside of the alphabet are ignored, lines have
// 76 at most, and "=" ends the data. Thunderbird and Apple Mail read on behind a
// padding in the middle, mutt stops, Outlook shows garbage. Some decode line by
// line, and drop what is left of a line; some take the first line that is not
// base64 for the end.
var base64Rows = []struct {
	level, name string
	encode      func([]byte) string
}{
	{Core, "lines of 4", between(4, "\r\n")},
	{Core, "lines of 60", between(60, "\r\n")},
	{Core, "lines of 64", between(64, "\r\n")},
	{Core, "lines of 72", between(72, "\r\n")},
	{Core, "one line", between(100000, "\r\n")},
	{Core, "lines of 1", between(1, "\r\n")},
	{Core, "lines of 2", between(2, "\r\n")},
	{Core, "lines of 3", between(3, "\r\n")},
	{Core, "lines of 5", between(5, "\r\n")},
	{Core, "lines of 75", between(75, "\r\n")},
	{Core, "lines of many lengths", mixedLengths},
	{Core, "blanks", between(4, " ")},
	{Core, "a blank behind every character", between(1, " ")},
	{Core, "tabs", between(7, "\t")},
	{Core, "blanks before lines", between(40, "\r\n    ")},
	{Core, "blanks behind lines", between(40, "    \r\n")},
	{Core, "empty lines", between(40, "\r\n\r\n")},
	{Core, "empty lines behind single characters", between(1, "\r\n\r\n")},
	{Core, "empty lines behind three characters", between(3, "\r\n\r\n")},
	{Core, "fifty empty lines first", around(strings.Repeat("\r\n", 50), "")},
	{Edge, "empty lines with blanks", between(40, "\r\n \t \r\n")},
	{Edge, "vertical tabs", between(4, "\v")},
	{Edge, "form feeds", between(4, "\f")},
	{Edge, "bare CR", between(4, "\r")},
	{Edge, "bare CR for line ends", between(76, "\r")},
	{Edge, "bare LF for line ends", between(76, "\n")},
	{Edge, "CR CR LF", between(40, "\r\r\n")},
	{Edge, "LF CR", between(40, "\n\r")},
	{Edge, "no-break spaces", between(4, "\xa0")},
	{Edge, "ideographic spaces", between(8, "\u3000")},
	{Edge, "BOM first", around("\uFEFF", "")},

	{Core, "#", between(4, "#")},
	{Core, "-", between(4, "-")},
	{Core, "_", between(4, "_")},
	{Core, ".", between(4, ".")},
	{Core, ":", between(4, ":")},
	{Core, "%", between(4, "%")},
	{Core, "! within four", between(3, "!")},
	{Core, "* behind every character", between(1, "*")},
	{Core, "many kinds", between(5, "~!@#$%^&*()")},
	{Edge, "NUL", between(4, "\x00")},
	{Edge, "8-bit characters", between(4, "\xe3\x81\x82")},
	{Edge, "escape", between(4, "\x1b")},
	{Edge, "delete", between(5, "\x7f")},
	{Edge, "illegal characters at ends of lines", between(60, "#\r\n")},
	{Edge, "illegal lines between", between(60, "\r\n####\r\n")},
	{Edge, "lines that look like delimiters", between(60, "\r\n--\r\n")},
	{Edge, "lines that look like other delimiters", between(60, "\r\n--_:_\r\n")},
	{Edge, "comment lines", between(60, "\r\n; (!) ;\r\n")},

	{Core, "padding in the middle", chunks(31, "\r\n")},
	{Core, "padding in the middle of a line", chunks(31, "")},
	{Core, "double padding in the middle", chunks(34, "\r\n")},
	{Edge, "padding on every line", chunks(43, "\r\n")},
	{Edge, "chunks of one byte", chunks(1, "\r\n")},
	{Edge, "chunks of two bytes", chunks(2, "\r\n")},
	{Edge, "chunks of one byte in one line", chunks(1, "")},
	{Edge, "chunks of two bytes in one line", chunks(2, "")},
	{Edge, "chunks of four bytes", chunks(4, "")},
	{Edge, "chunks of five bytes and blanks", chunks(5, " ")},
	{Edge, "chunks and empty lines", chunks(25, "\r\n\r\n")},
	{Edge, "chunks with junk behind the padding", chunks(4, "####\r\n")},
	{Edge, "surplus = behind every four", between(4, "=")},
	{Edge, "surplus = within every four", between(3, "=")},
	{Edge, "surplus = behind lines", between(60, "=\r\n")},
	{Edge, "surplus == behind lines", between(60, "==\r\n")},
	{Edge, "surplus = before lines", between(60, "\r\n=")},
	{Edge, "surplus ==== before lines", between(60, "\r\n====")},
	{Edge, "lines of = between", between(60, "\r\n=\r\n")},
	{Edge, "lines of ==== between", between(60, "\r\n====\r\n")},
	{Edge, "surplus = at the end", func(c []byte) string { return wrap(line64(longer(c))+"=====", 76) }},
	{Edge, "padding left out in the middle", func(c []byte) string {
		return strings.ReplaceAll(chunks(30, "\r\n")(c[:30])+chunks(31, "\r\n")(c[30:]), "==", "=")
	}},
	{Edge, "one surplus character on every line", between(4, "X\r\n")},
	{Edge, "two surplus characters on every line", between(4, "XX\r\n")},
	{Edge, "three surplus characters on every line", between(4, "XXX\r\n")},
	{Edge, "one surplus character on long lines", between(76, "X\r\n")},

	{Core, "padding left out", func(c []byte) string { return wrap(strings.TrimRight(line64(c), "="), 76) }},
	{Core, "last character left out", func(c []byte) string { s := line64(longer(c)); return wrap(s[:len(s)-1], 76) }},
	{Core, "last two characters left out", func(c []byte) string { s := line64(longer(c)); return wrap(s[:len(s)-2], 76) }},
	{Core, "last three characters left out", func(c []byte) string { s := line64(longer(c)); return wrap(s[:len(s)-3], 76) }},
	{Edge, "one character too many", func(c []byte) string { return wrap(line64(longer(c))+"A", 76) }},
	{Edge, "no line end at the end", func(c []byte) string { return line64(longer(c)) }},

	{Core, "four characters first", around("AAAA\r\n", "")},
	{Edge, "a line of one character first", around("A\r\n", "")},
	{Edge, "a line of two characters first", around("AA\r\n", "")},
	{Edge, "a line of three characters first", around("AAA\r\n", "")},
	{Edge, "one character and an empty line first", around("A\r\n\r\n", "")},
	{Edge, "two characters and an empty line first", around("AA\r\n\r\n", "")},
	{Edge, "three characters and an empty line first", around("AAA\r\n\r\n", "")},
	{Edge, "a padded line first", around("QQ==\r\n", "")},
	{Edge, "a padding first", around("=\r\n", "")},
	{Edge, "a padding of four first", around("====\r\n", "")},
	{Edge, "three characters and a padding first", around("AAA=\r\n", "")},
	{Edge, "illegal characters first", around("!#$%\r\n", "")},
	{Edge, "a text first", around("This text is no base64!\r\n\r\n", "")},
	{Edge, "a text in 8 bit first", around("添付ファイルです。\r\n\r\n", "")},
	{Edge, "begin-base64 first", around("begin-base64 644 invoice.pdf\r\n", "====\r\n")},
	{Edge, "data: first", around("data:application/octet-stream;base64,", "")},
	{Edge, "a PEM line first", around("-----BEGIN FILE-----\r\n", "-----END FILE-----\r\n")},
	{Edge, "header fields first", around("X-Checked: yes\r\nX-Result: clean\r\n\r\n", "")},
	{Edge, "an encoding field first", around("Content-Transfer-Encoding: base64\r\n\r\n", "")},
	{Core, "a text behind", around("", "\r\n-- \r\nSent to you by the mailing list. Unsubscribe!\r\n")},
	{Core, "HTML behind", around("", "<br><hr><p>Checked.</p>\r\n")},
	{Edge, "more base64 behind an empty line", around("", "\r\nVGhhdCBpcyBhbGwu\r\n")},
	{Edge, "a thousand characters behind", around("", strings.Repeat("VGhhdCBpcyBhbGwuIFRoYXQgaXMgYWxsLiBUaGF0IGlzIGFsbC4=\r\n", 20))},
	{Doubtful, "quoted as in an answer", func(c []byte) string {
		return "> " + strings.ReplaceAll(strings.TrimSuffix(between(60, "\r\n")(c), "\r\n"), "\r\n", "\r\n> ") + "\r\n"
	}},
	{Edge, "soft line breaks of quoted-printable", between(72, "=\r\n")},
	{Edge, "the alphabet for URLs", func(c []byte) string { return wrap(base64.URLEncoding.EncodeToString(high(c)), 76) }},
	{Doubtful, "the alphabet of IMAP", func(c []byte) string { return wrap(strings.ReplaceAll(line64(high(c)), "/", ","), 76) }},
	{Doubtful, "UTF-16", func(c []byte) string { return strings.Join(strings.Split(b64(c), ""), "\x00") + "\x00" }},
	{Doubtful, "backwards", func(c []byte) string { return reversed(line64(c)) + "\r\n" }},
}

// high is content with bytes before it that need the last two of the alphabet: who
// drops those two decodes the rest at the wrong bit.
func high(content []byte) []byte { return append([]byte("\xff\xe0A"), content...) }

func reversed(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// mixedLengths has lines of 4 characters, then 8, 16, and so on.
func mixedLengths(content []byte) string {
	s, n := line64(content), 4
	var b strings.Builder
	for s != "" {
		k := min(n, len(s))
		b.WriteString(s[:k] + "\r\n")
		if s = s[k:]; n < 64 {
			n *= 2
		} else {
			n = 4
		}
	}
	return b.String()
}

func base64Body() []Case {
	f := family{name: "base64"}
	for _, r := range base64Rows {
		f.add(r.level, r.name, func(p Payload) []byte { return mixed(entity(p.encoded("base64"), r.encode(p.Content))) })
	}
	f.add(Core, "straight behind the header's delimiter", func(p Payload) []byte {
		return mixed("Content-Transfer-Encoding: base64\r\n\r\n" + b64(p.Content))
	})
	f.add(Edge, "lines of the outer boundary between", func(p Payload) []byte { // an inner multipart cut by its own data, noxxi
		inner := multipart("in", hello, entity(p.encoded("base64"), "--"+outer+"\r\n"+b64(p.Content)))
		return mixed(entity("Content-Type: multipart/mixed; boundary=in", inner))
	})
	f.add(Edge, "not separated from the header", func(p Payload) []byte {
		return mixed(crlf(p.encoded("base64")) + "\r\n" + b64(p.Content))
	})
	return f.cases
}
