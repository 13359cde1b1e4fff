package unpack

import (
	"bytes"
	"encoding/base64"
	"io"
	"iter"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// charsetOpener opens texts in which ASCII does not stand as ASCII: UTF-16, UTF-7
// (RFC 2152), and ISO-2022-JP (RFC 1468), whose escape sequences may stand within
// words. The member is the text in UTF-8, under the same name.
var charsetOpener = opener{
	name:  "text",
	match: func(data []byte) bool { return textDecoder(data) != nil },
	entries: func(f File) iter.Seq2[member, error] {
		return func(yield func(member, error) bool) {
			yield(member{name: f.Name, body: textDecoder(f.Data)(f.Data), size: int64(len(f.Data))}, nil)
		}
	},
}

// charsetHead is how many bytes of an object are looked at to tell its charset.
const charsetHead = 512

// textDecoder gives what decodes a text; nil when its ASCII is ASCII, or it is none.
func textDecoder(data []byte) func([]byte) io.Reader {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")) || isWide(data, 1):
		return decodedBy(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM))
	case bytes.HasPrefix(data, []byte("\xfe\xff")) || isWide(data, 0):
		return decodedBy(unicode.UTF16(unicode.BigEndian, unicode.UseBOM))
	case bytes.IndexByte(data[:min(len(data), charsetHead)], 0) >= 0:
		return nil
	case isJIS(data):
		return decodedBy(japanese.ISO2022JP)
	case isUTF7(data):
		return func(text []byte) io.Reader { return &utf7Reader{text: text} }
	}
	return nil
}

// decodedBy makes a reader that decodes as e does; what cannot be decoded becomes
// U+FFFD.
func decodedBy(e encoding.Encoding) func([]byte) io.Reader {
	return func(text []byte) io.Reader { return transform.NewReader(bytes.NewReader(text), e.NewDecoder()) }
}

// isWide reports whether data begins as UTF-16 of ASCII does: with zeros at the even
// places (zero is 0) or the odd ones (1), and printable characters between.
func isWide(data []byte, zero int) bool {
	const units = 8
	if len(data) < 2*units {
		return false
	}
	for i := range 2 * units {
		c := data[i]
		blank := c == '\t' || c == '\n' || c == '\r'
		if i%2 == zero != (c == 0) || c != 0 && !blank && (c < ' ' || c > '~') {
			return false
		}
	}
	return true
}

// isJIS reports whether a text, of seven bits in its beginning at least, changes
// its character set as ISO-2022-JP does.
func isJIS(text []byte) bool {
	for at := 0; ; at++ {
		i := bytes.IndexByte(text[at:], 0x1b)
		if i < 0 || at == 0 && !isSevenBit(text[:min(len(text), charsetHead)]) {
			return false
		}
		at += i
		switch string(text[at+1 : min(at+3, len(text))]) {
		case "$@", "$B", "(B", "(J", "(I", "$(":
			return true
		}
	}
}

func isSevenBit(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// utf7Least is how many characters of ASCII in UTF-7's base64 make a text UTF-7:
// one or two may be chance.
const utf7Least = 3

// isUTF7 reports whether a text has ASCII in it that is written in base64, as only
// those do who have something to hide.
func isUTF7(text []byte) bool {
	found := 0
	for at := 0; found < utf7Least; {
		i := bytes.Index(text[at:], []byte("+A"))
		if i < 0 {
			return false
		}
		at += i + 1
		run := utf7Run(text[at:min(len(text), at+charsetHead)])
		for _, c := range appendUTF7(nil, run) { // not of longer characters: those bytes are all above
			if c >= ' ' && c < 0x7f {
				found++
			}
		}
		at += len(run)
	}
	return true
}

// utf7Run gives the base64 that text starts with.
func utf7Run(text []byte) []byte {
	n := 0
	for n < len(text) && utf7Value(text[n]) >= 0 {
		n++
	}
	return text[:n]
}

// utf7Value gives the value of a digit of base64, or -1.
func utf7Value(c byte) int {
	switch {
	case c >= 'A' && c <= 'Z':
		return int(c - 'A')
	case c >= 'a' && c <= 'z':
		return int(c-'a') + 26
	case c >= '0' && c <= '9':
		return int(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return -1
}

// utf7Reader decodes UTF-7.
type utf7Reader struct {
	text    []byte
	shifted bool   // in base64
	out     []byte // decoded, not yet given
	buf     []byte // that it lies in
}

// utf7Piece bounds the bytes that are decoded at a time: a multiple of eight, so
// that base64 is cut between characters.
const utf7Piece = 8 << 10

// Read implements io.Reader.
func (r *utf7Reader) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		if len(r.text) == 0 {
			return 0, io.EOF
		}
		r.out = r.step(r.buf[:0])
		r.buf = r.out
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// step decodes the next piece: text up to a shift, or what is behind one.
func (r *utf7Reader) step(out []byte) []byte {
	piece := r.text[:min(len(r.text), utf7Piece)]
	if !r.shifted {
		if at := bytes.IndexByte(piece, '+'); at >= 0 {
			piece, r.shifted = piece[:at], true
			r.text = r.text[1:]
		}
		r.text = r.text[len(piece):]
		if r.shifted && len(r.text) > 0 && r.text[0] == '-' { // "+-" is a plus sign
			piece = append(bytes.Clone(piece), '+')
		}
		return append(out, piece...)
	}
	run := utf7Run(piece)
	r.text = r.text[len(run):]
	if len(run) < utf7Piece {
		r.shifted = false
		if len(r.text) > 0 && r.text[0] == '-' {
			r.text = r.text[1:]
		}
	}
	return appendUTF7(out, run)
}

// appendUTF7 decodes base64 of big-endian UTF-16.
func appendUTF7(out, run []byte) []byte {
	raw := make([]byte, base64.RawStdEncoding.DecodedLen(len(run)))
	n, _ := base64.RawStdEncoding.Decode(raw, run) // what is before an error counts
	units := make([]uint16, n/2)
	for i := range units {
		units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
	}
	for _, r := range utf16.Decode(units) {
		out = utf8.AppendRune(out, r)
	}
	return out
}
