package unpack

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"iter"
	"strings"
)

// armourDashes stand around the first and the last line of bytes that are
// written as text (RFC 7468, section 2; RFC 9580, section 6.2).
const armourDashes = "-----"

// Binary data, in which armour is not worth a long search, is told by the control
// characters among its first bytes.
const (
	armourProbe  = 1 << 10
	armourBinary = 64 << 10 // how much of it is searched
)

// armours finds where armour begins anywhere in a text, and yields what follows
// its first line. labels are how the words behind "BEGIN " begin.
func armours(data []byte, labels ...string) iter.Seq[armour] {
	return func(yield func(armour) bool) {
		end := len(data)
		if isBinary(data[:min(end, armourProbe)]) {
			end = min(end, armourBinary)
		}
		const begin = armourDashes + "BEGIN "
		for at := 0; ; {
			i := bytes.Index(data[at:end], []byte(begin))
			if i < 0 {
				return
			}
			at += i + len(begin)
			if body, ok := armourBody(data[at:], labels); ok && !yield(body) {
				return
			}
		}
	}
}

// isBinary reports whether more than one byte in 20 is a control character that
// texts do not have. Of noise one in 10 is.
func isBinary(head []byte) bool {
	n := 0
	for _, c := range head {
		if isControl(c) {
			n++
		}
	}
	return n > len(head)/20
}

// isControl reports whether c is a control character that texts do not have.
// Those in ISO-2022-JP have escapes.
func isControl(c byte) bool { return c < '\t' || c > '\r' && c < ' ' && c != 0x1b }

// armourBody gives what is behind the rest of an armour's first line.
func armourBody(rest []byte, labels []string) (armour, bool) {
	for _, label := range labels {
		if !bytes.HasPrefix(rest, []byte(label)) {
			continue
		}
		line := rest[:min(len(rest), 128)]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i]
		}
		if i := bytes.Index(line, []byte(armourDashes)); i >= 0 {
			return armour(rest[i+len(armourDashes):]), true
		}
	}
	return nil, false
}

// armour is text that is bytes in base64: header fields, perhaps, an empty line,
// perhaps, and lines of base64.
type armour []byte

// head decodes up to n bytes.
func (a armour) head(n int) []byte {
	b := make([]byte, n)
	n, _, _ = fill(a.reader(), b, 0)
	return b[:n]
}

// reader decodes the armour. That nothing ends it is damage.
func (a armour) reader() io.Reader {
	return base64.NewDecoder(base64.RawStdEncoding, &armourText{text: a.withoutFields()})
}

// Bounds of the header fields of an armour. They are a few, and short.
const (
	maxArmourFields = 100
	maxArmourField  = 1024
)

// withoutFields skips the header fields: lines that have a colon, as base64 has not.
func (a armour) withoutFields() []byte {
	rest := []byte(a)
	for range maxArmourFields {
		rest = bytes.TrimLeft(rest, " \t\r\n>")
		if len(rest) > 0 && (rest[0] == '<' || rest[0] == '&') {
			rest = rest[htmlMarkup(rest):]
			continue
		}
		line := rest[:min(len(rest), maxArmourField)]
		if i := bytes.IndexAny(line, "\r\n<"); i >= 0 {
			line = line[:i]
		}
		if bytes.IndexByte(line, ':') < 0 {
			break
		}
		rest = rest[len(line):]
	}
	return rest
}

// armourText passes the characters of base64 through and leaves out what mail
// programs put among them: ends of lines, marks of quoting, the tags of HTML.
type armourText struct {
	text []byte
	bare bool // no armour is around it: it ends where the text does
	end  bool
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// isBase64 says which bytes are characters of base64.
var isBase64 = func() (is [256]bool) {
	for _, c := range []byte(base64Alphabet) {
		is[c] = true
	}
	return is
}()

// Read implements io.Reader.
func (t *armourText) Read(p []byte) (n int, err error) {
	for n < len(p) && len(t.text) > 0 && !t.end {
		c := t.text[0]
		switch {
		case isBase64[c]:
			p[n] = c
			n++
		case c == '=', bytes.HasPrefix(t.text, []byte(armourDashes)):
			t.end = true // padding, a checksum, the last line
		case c == '<' || c == '&':
			t.text = t.text[htmlMarkup(t.text):]
			continue
		}
		t.text = t.text[1:]
	}
	switch {
	case n > 0 || len(p) == 0:
		return n, nil
	case t.end || t.bare:
		return 0, io.EOF
	}
	return 0, fmt.Errorf("%w: armour without an end", ErrDamaged)
}

// htmlMarkup is the length of the tag, or of the character reference, with which
// text begins, or of its first character alone.
func htmlMarkup(text []byte) int {
	end, most := byte('>'), 1024
	if text[0] == '&' {
		end, most = ';', 10
	}
	if i := bytes.IndexByte(text[:min(len(text), most)], end); i > 0 && strings.IndexByte(" \r\n", text[1]) < 0 {
		return i + 1
	}
	return 1
}
