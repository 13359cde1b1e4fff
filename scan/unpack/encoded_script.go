package unpack

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"iter"

	"golang.org/x/text/transform"
)

// scriptEncoderOpener opens scripts that Microsoft's Script Encoder has made
// unreadable (.vbe, .jse), also those in HTML, ASP and .wsf: the member is the
// text with the scripts in it decoded. The encoding is published nowhere; what is
// known of it is what decoders have: that of "Mr Brownstone" (scrdec) was the first.
var scriptEncoderOpener = opener{name: "screnc", match: encodedScriptMatch, entries: encodedScriptEntries}

// An encoded script is a mark, its length in base64, its characters, the sum of
// those that it stands for, in base64, and another mark.
const (
	encodedMark   = "#@~^"
	encodedEnd    = "^#~@"
	encodedNumber = 8 // characters of a number: four bytes, the low one first
	encodedHead   = len(encodedMark) + encodedNumber
	encodedTail   = encodedNumber + len(encodedEnd)
)

// encodedTables are what the encoded characters stand for, in three alphabets:
// the tab, and those from the space to 0x7f. Where there are question marks in all
// three a character is not used: "<", ">" and "@" are escaped.
var encodedTables = [3]string{
	"{20!)[83=X:5e9\\VsfNEkbYx^}Jmq?`?S?B'Hru17MR\"TjGd- \x7f.L]~loytC&v%$+(#A4\t*D?w;UiacPgQIOFh|6pnz/_KZ,W",
	"W.GzVBj/&IA42[vrC89pEhqO\tbD#u?~?^?wJa]\"KoN;LPg*}tT+-,0nkf5%!dMRc?{x)(sY3\x7fmUS|:_eFX1ilZH'\\=$y7`Q 6",
	"n-uR`q^I\\b})6 |z\x7fkc3+hQfv1dTC?:?~?E,*t'7DyY/o&rj9{?8wgSG4x]0#Z[lHUpi.L!$NP\tVs5aKX;W\"mM%(FJ2A=_OBe",
}

// encodedOrder says which alphabet is used for which character, again and again.
const encodedOrder = "1201202002021020102011200210200211020201011201021020112001120102"

// encodedEscapes are what stands behind "@" for characters that HTML, or a line,
// could not have; encodedEscaped are those.
const (
	encodedEscapes = "#&!*$"
	encodedEscaped = "\r\n<>@"
)

func encodedScriptMatch(data []byte) bool { return findEncodedScript(data) >= 0 }

// findEncodedScript finds the first encoded script; -1 when there is none.
func findEncodedScript(data []byte) int {
	for at := 0; ; at += len(encodedMark) {
		i := bytes.Index(data[at:], []byte(encodedMark))
		if i < 0 {
			return -1
		}
		if at += i; isEncodedScript(data[at:]) {
			return at
		}
	}
}

// isEncodedScript reports whether the mark that b begins with has a length behind it.
func isEncodedScript(b []byte) bool {
	_, ok := encodedValue(b[min(len(b), len(encodedMark)):])
	return ok
}

// encodedValue reads a number.
func encodedValue(b []byte) (v uint32, ok bool) {
	if len(b) < encodedNumber {
		return 0, false
	}
	var number [6]byte
	n, err := base64.StdEncoding.Decode(number[:], b[:encodedNumber])
	return binary.LittleEndian.Uint32(number[:]), err == nil && n == 4
}

// hasStrayMark reports whether b has a mark of encoded scripts that none follows.
func hasStrayMark(b []byte) bool {
	for {
		i := bytes.Index(b, []byte(encodedMark))
		if i < 0 {
			return false
		}
		if b = b[i:]; !isEncodedScript(b) {
			return true
		}
		b = b[len(encodedMark):]
	}
}

func encodedScriptEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		name := nameLess(f.Name, ".vbe", ".vbs", ".jse", ".js")
		yield(member{name: name, body: &encodedReader{text: f.Data}, size: int64(len(f.Data))}, nil)
	}
}

// encodedReader gives a text with the encoded scripts in it decoded. What is wrong
// with one is told at the end.
type encodedReader struct {
	text   []byte    // to come
	plain  []byte    // to be given as it stands
	script io.Reader // or to be decoded
	damage error
}

// Read implements io.Reader.
func (r *encodedReader) Read(p []byte) (int, error) {
	for {
		switch {
		case len(r.plain) > 0:
			n := copy(p, r.plain)
			r.plain = r.plain[n:]
			return n, nil
		case r.script != nil:
			n, err := r.script.Read(p)
			if err != nil {
				r.script = nil
			}
			if n > 0 {
				return n, nil
			}
		case len(r.text) == 0 && r.damage != nil:
			return 0, r.damage
		case len(r.text) == 0:
			return 0, io.EOF
		case isEncodedScript(r.text) && hasMagic(r.text, 0, encodedMark):
			r.begin()
		default:
			n := findEncodedScript(r.text)
			if n < 0 {
				n = len(r.text)
			}
			r.plain, r.text = r.text[:n], r.text[n:]
		}
	}
}

// begin begins on the script that the text begins with.
func (r *encodedReader) begin() {
	code, sum, next, whole := r.cut()
	if !whole && r.damage == nil {
		r.damage = fmt.Errorf("%w: script without an end", ErrDamaged)
	}
	d := &encodedDecoder{}
	if whole && !isSevenBit(code) && encodedSum(code, &encodedDecoder{}) != sum && encodedSum(code, &encodedDecoder{wide: true}) == sum {
		d.wide = true
	}
	r.script = transform.NewReader(bytes.NewReader(code), d)
	r.text = r.text[next:]
}

// cut finds the end of the script that the text begins with. The length does for
// text of one byte a character; else there is the mark. Another script cannot
// begin before the end: its mark is in no encoding.
func (r *encodedReader) cut() (code []byte, sum uint32, next int, whole bool) {
	stated, _ := encodedValue(r.text[len(encodedMark):])
	body := r.text[encodedHead:]
	if i := findEncodedScript(body); i >= 0 {
		body = body[:i]
	}
	end := int(stated)
	if end > len(body)-encodedTail || !isEncodedTail(body[end:]) {
		end = findEncodedTail(body)
	}
	if end < 0 {
		return body, 0, encodedHead + len(body), false
	}
	sum, _ = encodedValue(body[end:])
	return body[:end], sum, encodedHead + end + encodedTail, true
}

// isEncodedTail reports whether b begins as what is behind a script's characters.
func isEncodedTail(b []byte) bool {
	_, ok := encodedValue(b)
	return ok && hasMagic(b, encodedNumber, encodedEnd)
}

// findEncodedTail finds the first end of a script; -1 when there is none.
func findEncodedTail(body []byte) int {
	for at := 0; ; at += len(encodedEnd) {
		i := bytes.Index(body[at:], []byte(encodedEnd))
		if i < 0 {
			return -1
		}
		if at += i; at >= encodedNumber && isEncodedTail(body[at-encodedNumber:]) {
			return at - encodedNumber
		}
	}
}

// encodedDecoder decodes the characters of a script.
type encodedDecoder struct {
	wide bool // in cp932 some characters have two bytes, neither of which is encoded
	at   int  // characters that were, so far
	sum  uint32
}

// Reset implements transform.Transformer.
func (d *encodedDecoder) Reset() { d.at, d.sum = 0, 0 }

// Transform implements transform.Transformer.
func (d *encodedDecoder) Transform(dst, src []byte, atEnd bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		c := src[nSrc]
		pair := c == '@' || d.wide && (c > 0x80 && c < 0xa0 || c >= 0xe0 && c < 0xfd)
		switch {
		case len(dst)-nDst < 2:
			return nDst, nSrc, transform.ErrShortDst
		case pair && nSrc+1 == len(src) && !atEnd:
			return nDst, nSrc, transform.ErrShortSrc
		case pair && nSrc+1 == len(src), !pair:
			dst[nDst] = d.decode(c)
			nDst, nSrc = nDst+1, nSrc+1
			continue
		case c == '@':
			dst[nDst] = src[nSrc+1]
			if i := bytes.IndexByte([]byte(encodedEscapes), src[nSrc+1]); i >= 0 {
				dst[nDst] = encodedEscaped[i]
			}
			d.at++
			d.sum += uint32(dst[nDst])
			nDst++
		default:
			nDst += copy(dst[nDst:], src[nSrc:nSrc+2])
		}
		nSrc += 2
	}
	return nDst, nSrc, nil
}

// decode decodes a character that is not escaped.
func (d *encodedDecoder) decode(c byte) byte {
	if c >= 0x80 {
		return c
	}
	table := encodedTables[encodedOrder[d.at%len(encodedOrder)]-'0']
	d.at++
	if c == '\t' {
		c = table[0]
	} else if c >= ' ' {
		c = table[c-' '+1]
	}
	d.sum += uint32(c)
	return c
}

// encodedSum is the sum of the characters that a script stands for, those that
// were encoded.
func encodedSum(code []byte, d *encodedDecoder) uint32 {
	io.Copy(io.Discard, transform.NewReader(bytes.NewReader(code), d)) // neither of them fails
	return d.sum
}
