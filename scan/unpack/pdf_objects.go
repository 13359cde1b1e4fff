package unpack

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Objects as the syntax has them (ISO 32000-1, section 7.3). Null is nil, a boolean
// a word; of a real only what is before its point is kept.
type (
	pdfInt    int64
	pdfName   string // #xx decoded
	pdfArray  []any
	pdfDict   []pdfEntry // in the order of the file, which may give a key twice
	pdfRef    struct{ num, gen int }
	pdfWord   string // an operator, a delimiter out of place
	pdfString struct {
		bytes []byte
		coded bool // the bytes stand in the file in some other form
	}
)

type pdfEntry struct {
	key   pdfName
	value any
}

// get gives the value that holds for a key: the last one.
func (d pdfDict) get(key pdfName) any {
	for i := len(d) - 1; i >= 0; i-- {
		if d[i].key == key {
			return d[i].value
		}
	}
	return nil
}

// name gives a value that is a name; "" when it is none.
func (d pdfDict) name(key pdfName) pdfName {
	n, _ := d.get(key).(pdfName)
	return n
}

// int gives a value that is an integer.
func (d pdfDict) int(key pdfName, otherwise int) int {
	if n, ok := d.get(key).(pdfInt); ok && n == pdfInt(int(n)) {
		return int(n)
	}
	return otherwise
}

const (
	// maxPDFDepth bounds arrays and dictionaries in one another. Programs stop at
	// some hundreds.
	maxPDFDepth = 500

	// maxPDFValues bounds the values that one object is kept with.
	maxPDFValues = 1 << 19
)

// pdfParser reads objects, and is as lenient as the most lenient of programs.
type pdfParser struct {
	data   []byte
	at     int
	values int
}

const pdfDelimiters = "()<>[]{}/%"

// pdfRegular are the characters of names, numbers and words (section 7.2.2).
var pdfRegular = func() (is [256]bool) {
	for c := range is {
		is[c] = !isPDFSpace(byte(c)) && bytes.IndexByte([]byte(pdfDelimiters), byte(c)) < 0
	}
	return is
}()

func isPDFSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f' || c == 0
}

// skip passes over white space and comments.
func (p *pdfParser) skip() {
	for p.at < len(p.data) {
		switch c := p.data[p.at]; {
		case isPDFSpace(c):
			p.at++
		case c == '%':
			p.at = lineEnd(p.data, p.at)
		default:
			return
		}
	}
}

// regular reads regular characters; there may be none.
func (p *pdfParser) regular() []byte {
	start := p.at
	for p.at < len(p.data) && pdfRegular[p.data[p.at]] {
		p.at++
	}
	return p.data[start:p.at]
}

// value reads one object. At the end of the data there is none.
func (p *pdfParser) value(depth int) (v any, ok bool) {
	p.skip()
	if p.at >= len(p.data) {
		return nil, false
	}
	c := p.data[p.at]
	switch {
	case c == '/':
		p.at++
		return pdfName(unescapedName(p.regular())), true
	case c == '(':
		return p.literal(), true
	case c == '<' && (p.at+1 == len(p.data) || p.data[p.at+1] != '<'):
		return p.hex(), true
	case c == '<' && depth < maxPDFDepth:
		p.at += 2
		return p.dict(depth + 1), true
	case c == '[' && depth < maxPDFDepth:
		p.at++
		return p.array(depth + 1), true
	case bytes.HasPrefix(p.data[p.at:], []byte(">>")), c == '<':
		p.at += 2
		return pdfWord(p.data[p.at-2 : p.at]), true
	case !pdfRegular[c]:
		p.at++
		return pdfWord(p.data[p.at-1 : p.at]), true
	}
	return p.number(p.regular()), true
}

// number makes an integer or a reference of a word that may be one.
func (p *pdfParser) number(word []byte) any {
	n, ok := pdfNumber(word)
	if !ok {
		if string(word) == "null" {
			return nil
		}
		return pdfWord(word)
	}
	if word[0] < '0' || word[0] > '9' {
		return pdfInt(n)
	}
	end := p.at
	p.skip()
	gen, ok := pdfNumber(p.regular())
	if ok {
		if p.skip(); string(p.regular()) == "R" {
			return pdfRef{int(n), int(gen)}
		}
	}
	p.at = end
	return pdfInt(n)
}

// pdfNumber reads a number. Of a real only what is before the point counts.
func pdfNumber(word []byte) (n int64, ok bool) {
	digits := bytes.TrimLeft(word, "+-")
	negative := len(word) > len(digits) && word[0] == '-'
	digits, fraction, _ := bytes.Cut(digits, []byte{'.'})
	ok = len(fraction) > 0
	for _, c := range digits {
		if c < '0' || c > '9' || n >= 1<<50 {
			return 0, false
		}
		n, ok = n*10+int64(c-'0'), true
	}
	if negative {
		n = -n
	}
	return n, ok
}

// unescapedName undoes the #xx in a name (section 7.3.5).
func unescapedName(raw []byte) []byte {
	if bytes.IndexByte(raw, '#') < 0 {
		return raw
	}
	var name []byte
	for i := 0; i < len(raw); i++ {
		if raw[i] == '#' {
			if r, ok := hexRune(raw[i+1:], 2); ok {
				name = append(name, byte(r))
				i += 2
				continue
			}
		}
		name = append(name, raw[i])
	}
	return name
}

// literal reads a string in parentheses (section 7.3.4.2).
func (p *pdfParser) literal() pdfString {
	start, depth := p.at+1, 0
	coded := false
	for ; p.at < len(p.data); p.at++ {
		switch p.data[p.at] {
		case '\\':
			coded = true
			p.at++
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth == 0 {
			break
		}
	}
	p.at = min(p.at, len(p.data))
	s := pdfString{p.data[start:p.at], coded}
	p.at = min(p.at+1, len(p.data))
	if coded {
		s.bytes = unescapedString(s.bytes)
	}
	return s
}

// pdfEscapes are the letters behind a backslash that stand for something else.
var pdfEscapes = map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', 'b': '\b', 'f': '\f'}

// unescapedString undoes the escapes of a literal string (table 3).
func unescapedString(raw []byte) []byte {
	text := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' || i+1 == len(raw) {
			text = append(text, raw[i])
			continue
		}
		i++
		c := raw[i]
		switch {
		case c >= '0' && c <= '7':
			n := 0
			end := min(i+3, len(raw))
			for ; i < end && raw[i] >= '0' && raw[i] <= '7'; i++ {
				n = n<<3 | int(raw[i]-'0')
			}
			i--
			text = append(text, byte(n))
		case c == '\r' || c == '\n': // the line goes on
			if c == '\r' && i+1 < len(raw) && raw[i+1] == '\n' {
				i++
			}
		case pdfEscapes[c] != 0:
			text = append(text, pdfEscapes[c])
		default:
			text = append(text, c)
		}
	}
	return text
}

// hex reads a string of hexadecimal digits (section 7.3.4.3).
func (p *pdfParser) hex() pdfString {
	p.at++
	end := bytes.IndexByte(p.data[p.at:], '>')
	digits := p.data[p.at:]
	if end >= 0 {
		digits = digits[:end]
		p.at++
	}
	p.at += len(digits)
	text := make([]byte, 0, len(digits)/2+1)
	half := false
	for _, c := range digits {
		v, ok := hexValue(c)
		switch {
		case !ok:
		case half:
			text[len(text)-1] |= v
			half = false
		default:
			text = append(text, v<<4)
			half = true
		}
	}
	return pdfString{text, true}
}

// keep reports whether one value more may be kept.
func (p *pdfParser) keep() bool {
	p.values++
	return p.values <= maxPDFValues
}

// array reads an array behind its bracket.
func (p *pdfParser) array(depth int) pdfArray {
	var a pdfArray
	for {
		before := p.at
		v, ok := p.value(depth)
		switch {
		case !ok || v == pdfWord("]"):
			return a
		case isObjectEnd(v):
			p.at = before
			return a
		case p.keep():
			a = append(a, v)
		}
	}
}

// dict reads a dictionary behind its brackets. What is no key where one should be
// is passed over.
func (p *pdfParser) dict(depth int) pdfDict {
	var d pdfDict
	for {
		before := p.at
		v, ok := p.value(depth)
		if !ok || v == pdfWord(">>") {
			return d
		}
		if isObjectEnd(v) {
			p.at = before
			return d
		}
		key, isName := v.(pdfName)
		if !isName {
			continue
		}
		before = p.at
		v, ok = p.value(depth)
		if isObjectEnd(v) || v == pdfWord(">>") {
			p.at, v = before, nil
		}
		if p.keep() {
			d = append(d, pdfEntry{key, v})
		}
		if !ok {
			return d
		}
	}
}

// isObjectEnd reports whether a value is a word that ends the object it is in,
// whatever is still open.
func isObjectEnd(v any) bool {
	switch v {
	case pdfWord("endobj"), pdfWord("stream"), pdfWord("endstream"), pdfWord("obj"):
		return true
	}
	return false
}

// pdfText decodes a text string (section 7.9.2.2) to UTF-8. Of bytes that are no
// UTF-16 those of ASCII are what they are.
func pdfText(raw []byte) []byte {
	if !isUTF16(raw) {
		return bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	}
	high, low := 0, 1
	if raw[0] == 0xff { // some write it that way round
		high, low = 1, 0
	}
	units := make([]uint16, 0, len(raw)/2)
	for b := raw[2:]; len(b) >= 2; b = b[2:] {
		units = append(units, uint16(b[high])<<8|uint16(b[low]))
	}
	text := make([]byte, 0, len(units))
	for _, r := range utf16.Decode(units) {
		text = utf8.AppendRune(text, r)
	}
	return text
}

// pdfDocEncoding is PDFDocEncoding where it is not Latin-1 (annex D.2), from 0x80 on.
var pdfDocEncoding = []rune("•†‡…—–ƒ⁄‹›−‰„“”‘’‚™ﬁﬂŁŒŠŸŽıłœšž\ufffd€")

// pdfFileName decodes a file's name: a text string, which in older documents is
// in the charset of the system that made them.
func pdfFileName(raw []byte) string {
	text := pdfText(raw)
	if utf8.Valid(text) {
		return utf8Name(text)
	}
	if name, ok := cp932Name(text); ok {
		return name
	}
	var name []rune
	for _, c := range text[:min(len(text), maxName)] {
		r := rune(c)
		if i := int(c) - 0x80; i >= 0 && i < len(pdfDocEncoding) {
			r = pdfDocEncoding[i]
		}
		name = append(name, r)
	}
	return cutName(string(name))
}
