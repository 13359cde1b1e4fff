package evasion

import (
	"fmt"
	"strings"
)

// escaped writes every byte as format says.
func escaped(format string) func([]byte) string {
	return func(content []byte) string {
		var b strings.Builder
		for i, c := range content {
			if i > 0 && i%20 == 0 {
				b.WriteString("=\r\n")
			}
			fmt.Fprintf(&b, format, c)
		}
		return b.String() + "\r\n"
	}
}

// literal leaves letters and digits as they are, escapes the rest, and writes
// junk behind every n bytes.
func literal(n int, junk string) func([]byte) string {
	return func(content []byte) string {
		var b strings.Builder
		for i, c := range content {
			switch {
			case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9':
				b.WriteByte(c)
			default:
				fmt.Fprintf(&b, "=%02X", c)
			}
			if i%n == n-1 {
				b.WriteString(junk)
			}
		}
		return b.String() + "\r\n"
	}
}

// quotedRows are ways to write quoted-printable.
//
// RFC 2045, section 6.7: blanks behind a soft line break are to be dropped; lower
// case is illegal but read by all; what an illegal escape means is left open (some
// keep it as it is, some drop it, some drop the "=" alone).
var quotedRows = []struct {
	level, name string
	encode      func([]byte) string
}{
	{Core, "all escaped", qp},
	{Core, "lower case", escaped("=%02x")},
	{Core, "one line", func(c []byte) string { return qpBroken(c, "") }},
	{Core, "letters as they are", literal(30, "=\r\n")},
	{Core, "soft breaks everywhere", literal(1, "=\r\n")},
	{Core, "blanks behind soft breaks", literal(10, "=  \r\n")},
	{Core, "tabs behind soft breaks", literal(10, "=\t\r\n")},
	{Core, "many blanks behind soft breaks", literal(10, "="+strings.Repeat(" ", 300)+"\r\n")},
	{Core, "soft break at the end", func(c []byte) string { return strings.TrimSuffix(qp(c), "\r\n") + "=\r\n" }},
	{Core, "= at the end", func(c []byte) string { return strings.TrimSuffix(qp(c), "\r\n") + "=" }},
	{Core, "soft breaks one after the other", literal(10, "=\r\n=\r\n=\r\n")},
	{Core, "raw 8-bit characters behind", func(c []byte) string { return qp(c) + "\x83e\x83X\x83g\r\n" }},
	{Core, "a long raw line behind", func(c []byte) string { return qp(c) + strings.Repeat("x", 3000) + "\r\n" }},
	{Edge, "LF soft breaks", literal(10, "=\n")},
	{Edge, "CR soft breaks", literal(10, "=\r")},
	{Edge, "CR CR LF soft breaks", literal(10, "=\r\r\n")},
	{Edge, "vertical tabs behind soft breaks", literal(10, "=\v\r\n")},
	{Edge, "NUL behind soft breaks", literal(10, "=\x00\r\n")},
	{Core, "soft breaks before every escape", func(c []byte) string { return strings.ReplaceAll(qp(c), "=", "=\r\n=") }},
	{Edge, "escapes broken by soft breaks", splitEscapes},
	{Edge, "upper and lower case", func(c []byte) string {
		return strings.TrimSuffix(qp(c[:len(c)/2]), "\r\n") + escaped("=%02x")(c[len(c)/2:])
	}},
	{Edge, "junk escapes", escaped("=XX=%02X")},
	{Edge, "junk escapes of one letter", escaped("=X=%02X")},
	{Edge, "= = before escapes", escaped("==%02X")},
	{Edge, "escapes of one digit", func(c []byte) string { return escapeAllBut(c, "=0") }},
	{Edge, "lone = between letters", func(c []byte) string { return escapeAllBut(c, "=") }},
	{Edge, "blank in escapes", escaped("= %02X")},
	{Doubtful, "% for =", escaped("%%%02X")},
	{Doubtful, "_ for a blank", func(c []byte) string { return strings.ReplaceAll(literal(40, "=\r\n")(c), "=20", "_") }},
	{Doubtful, "twice", func(c []byte) string { return qp([]byte(qp(c))) }},
}

// splitEscapes has soft line breaks between the digits of escapes.
func splitEscapes(content []byte) string {
	var b strings.Builder
	for i, c := range content {
		if i%10 == 9 {
			fmt.Fprintf(&b, "=%X=\r\n%X", c>>4, c&15)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String() + "\r\n"
}

// escapeAllBut writes letters that are no hexadecimal digits as they are, with junk before them.
func escapeAllBut(content []byte, junk string) string {
	var b strings.Builder
	for _, c := range content {
		if c > 'F' && c <= 'Z' || c > 'f' && c <= 'z' {
			b.WriteString(junk + string(rune(c)))
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String() + "\r\n"
}

func quotedBody() []Case {
	f := family{name: "quoted-printable"}
	for _, r := range quotedRows {
		f.add(r.level, r.name, func(p Payload) []byte { return mixed(entity(p.encoded("quoted-printable"), r.encode(p.Content))) })
	}
	f.addText(Core, "an HTML body", func(p Payload) []byte {
		return letter("Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable", "<html><body>=\r\n"+qp(p.Content)+"</body></html>\r\n")
	})
	f.addText(Core, "a text body", func(p Payload) []byte {
		return letter("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable", "Hello.\r\n"+qp(p.Content))
	})
	return f.cases
}
