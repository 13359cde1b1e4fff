package unpack

import (
	"bytes"
	"html"
	"unicode/utf8"

	"golang.org/x/text/transform"
)

// decoder decodes a text piece by piece: the common part of transformers that
// keep little between pieces.
type decoder struct {
	// next decodes what src begins with into at most 4 bytes and says how many
	// bytes of src that took: 0 when it takes more to tell, which never is when
	// atEnd is set or there are maxPiece of them.
	next func(src []byte, atEnd bool) (out [4]byte, n, took int)

	// last gives what is left when the text has ended. It may be nil.
	last func() (out [4]byte, n int)

	held    [4]byte // decoded, but not yet handed on
	holding int
	ended   bool
}

// maxPiece bounds what is read of a text to tell what one character of it means.
const maxPiece = 1 << 10

// Reset implements transform.Transformer. Decoders are made for one text.
func (*decoder) Reset() {}

// Transform implements transform.Transformer.
func (d *decoder) Transform(dst, src []byte, atEnd bool) (nDst, nSrc int, err error) {
	for {
		n := copy(dst[nDst:], d.held[:d.holding])
		nDst += n
		d.holding = copy(d.held[:], d.held[n:d.holding])
		if d.holding > 0 {
			return nDst, nSrc, transform.ErrShortDst
		}
		if nSrc == len(src) {
			if !atEnd || d.last == nil || d.ended {
				return nDst, nSrc, nil
			}
			d.ended = true
			d.held, d.holding = d.last()
			continue
		}
		var took int
		d.held, d.holding, took = d.next(src[nSrc:], atEnd)
		if took == 0 {
			return nDst, nSrc, transform.ErrShortSrc
		}
		nSrc += took
	}
}

// one is a decoded byte, as decoder.next gives it.
func one(c byte) (out [4]byte, n int) { return [4]byte{c}, 1 }

// character gives a code point: as a byte where it is one, because programs that
// write files out of texts take it so, else in UTF-8.
func character(r rune) (out [4]byte, n int) {
	if r >= 0 && r <= 0xff {
		return one(byte(r))
	}
	return out, utf8.EncodeRune(out[:], r)
}

// Values of a character in base64 that are none.
const (
	base64Junk = 0xff
	base64Pad  = 0xfe
)

// base64Values are those of both alphabets (RFC 4648, sections 4 and 5).
var base64Values = func() (v [256]byte) {
	for i := range v {
		v[i] = base64Junk
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		v[c] = byte(i)
	}
	v['-'], v['_'], v['='] = 62, 63, base64Pad
	return v
}()

// base64Decoder decodes base64, passes over what is not of its alphabet, and goes
// on behind padding: pieces may have been encoded one by one.
type base64Decoder struct {
	bits  uint32
	chars int
}

func base64Step() transform.Transformer { return &base64Decoder{} }

// Reset implements transform.Transformer.
func (d *base64Decoder) Reset() { *d = base64Decoder{} }

// Transform implements transform.Transformer.
func (d *base64Decoder) Transform(dst, src []byte, atEnd bool) (nDst, nSrc int, err error) {
	for ; nSrc < len(src); nSrc++ {
		v := base64Values[src[nSrc]]
		if v == base64Junk {
			continue
		}
		if len(dst)-nDst < 3 {
			return nDst, nSrc, transform.ErrShortDst
		}
		if v == base64Pad {
			nDst += d.flush(dst[nDst:])
			continue
		}
		d.bits = d.bits<<6 | uint32(v)
		if d.chars++; d.chars == 4 {
			dst[nDst], dst[nDst+1], dst[nDst+2] = byte(d.bits>>16), byte(d.bits>>8), byte(d.bits)
			nDst += 3
			d.chars = 0
		}
	}
	if atEnd && d.chars > 1 {
		if len(dst)-nDst < 3 {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += d.flush(dst[nDst:])
	}
	return nDst, nSrc, nil
}

// flush gives the bytes of a group that has ended early.
func (d *base64Decoder) flush(dst []byte) (n int) {
	bits := d.bits << (6 * (4 - d.chars))
	switch d.chars {
	case 3:
		dst[0], dst[1], n = byte(bits>>16), byte(bits>>8), 2
	case 2:
		dst[0], n = byte(bits>>16), 1
	}
	d.chars = 0
	return n
}

// hexValue is the value of a hexadecimal digit; ok is false for what is none.
func hexValue(c byte) (v byte, ok bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// hexRune reads n hexadecimal digits.
func hexRune(b []byte, n int) (r rune, ok bool) {
	if len(b) < n {
		return 0, false
	}
	for _, c := range b[:n] {
		v, ok := hexValue(c)
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(v)
	}
	return r, true
}

// hexStep decodes pairs of hexadecimal digits, whatever stands between them.
func hexStep() transform.Transformer {
	high, half := byte(0), false
	return &decoder{next: func(src []byte, _ bool) (out [4]byte, n, took int) {
		v, ok := hexValue(src[0])
		if !ok {
			return out, 0, 1
		}
		if half = !half; half {
			high = v << 4
			return out, 0, 1
		}
		return [4]byte{high | v}, 1, 1
	}}
}

// percentStep undoes percent-encoding (RFC 3986, section 2.1) and the %uXXXX of
// JavaScript's escape().
func percentStep() transform.Transformer { return &decoder{next: percentNext} }

func percentNext(src []byte, atEnd bool) (out [4]byte, n, took int) {
	if src[0] == '%' {
		if len(src) < 6 && !atEnd {
			return out, 0, 0
		}
		if r, ok := hexRune(src[1:], 2); ok {
			return [4]byte{byte(r)}, 1, 3
		}
		if len(src) >= 6 && src[1]|0x20 == 'u' {
			if r, ok := hexRune(src[2:], 4); ok {
				out, n = character(r)
				return out, n, 6
			}
		}
	}
	return [4]byte{src[0]}, 1, 1
}

// percentPairs is percentStep for bytes that were packed two in a character, the
// low one first.
func percentPairs() transform.Transformer {
	return &decoder{next: func(src []byte, atEnd bool) (out [4]byte, n, took int) {
		if len(src) < 6 && !atEnd {
			return out, 0, 0
		}
		if len(src) >= 6 && src[0] == '%' && src[1]|0x20 == 'u' {
			if r, ok := hexRune(src[2:], 4); ok {
				return [4]byte{byte(r), byte(r >> 8)}, 2, 6
			}
		}
		return percentNext(src, atEnd)
	}}
}

// entityStep undoes HTML's character references.
func entityStep() transform.Transformer {
	return &decoder{next: func(src []byte, atEnd bool) (out [4]byte, n, took int) {
		if src[0] != '&' {
			return [4]byte{src[0]}, 1, 1
		}
		length := entityLength(src)
		if length == len(src) && length < maxPiece && !atEnd {
			return out, 0, 0
		}
		if r, took := entityRune(src[:length]); took > 0 {
			n = utf8.EncodeRune(out[:], r)
			return out, n, took
		}
		return [4]byte{'&'}, 1, 1
	}}
}

// entityLength is the length of what begins with "&" and may be a character
// reference; bounded by maxPiece.
func entityLength(src []byte) int {
	src = src[:min(len(src), maxPiece)]
	n := 1
	if n < len(src) && src[n] == '#' {
		n++
	}
	for n < len(src) && isWordByte(src[n]) {
		n++
	}
	if n < len(src) && src[n] == ';' {
		n++
	}
	return n
}

func isWordByte(c byte) bool { return isLetter(c) || c >= '0' && c <= '9' }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// entityRune is the character that a reference stands for, a number or a name, and
// how many bytes that takes; 0 when ref is none. The semicolon may be missing.
func entityRune(ref []byte) (r rune, took int) {
	if len(ref) > 2 && ref[1] == '#' {
		return entityNumber(ref)
	}
	if len(ref) < 3 || len(ref) > 40 || !isLetter(ref[1]) {
		return 0, 0
	}
	s := html.UnescapeString(string(ref))
	r, n := utf8.DecodeRuneInString(s)
	rest := s[n:]
	if s == string(ref) || !bytes.HasSuffix(ref, []byte(rest)) { // of those of two characters nothing is hidden in
		return 0, 0
	}
	return r, len(ref) - len(rest)
}

// entityNumber is entityRune for numbers.
func entityNumber(ref []byte) (r rune, took int) {
	base, at := rune(10), 2
	if ref[2]|0x20 == 'x' {
		base, at = 16, 3
	}
	first := at
	for ; at < len(ref); at++ {
		v, isHex := hexValue(ref[at])
		if !isHex || rune(v) >= base {
			break
		}
		r = min(r*base+rune(v), utf8.MaxRune+1)
	}
	if at == first || r == 0 || r > utf8.MaxRune {
		return 0, 0
	}
	if at < len(ref) && ref[at] == ';' {
		at++
	}
	return r, at
}

// numbersStep decodes a list of numbers, whatever stands between them: each is a
// character once change was applied to it. change may be nil. With signed a minus
// belongs to the number behind it: of a byte with a sign.
func numbersStep(change func(rune) rune, signed bool) step {
	return func() transform.Transformer {
		minus := false
		return &decoder{next: func(src []byte, atEnd bool) (out [4]byte, n, took int) {
			digits := 0
			for digits < len(src) && digits < maxPiece && isWordByte(src[digits]) {
				digits++
			}
			switch {
			case digits == 0 && src[0] == '&' && len(src) == 1 && !atEnd, digits == len(src) && digits < maxPiece && !atEnd:
				return out, 0, 0
			case digits == 0 && src[0] == '&' && len(src) > 1 && src[1]|0x20 == 'h': // of VBScript
				return out, 0, 1
			case digits == 0:
				minus = signed && src[0] == '-'
				return out, 0, 1
			}
			r, ok := numberOf(src[:digits])
			if minus && r <= 0x80 {
				r = -r & 0xff
			}
			minus = false
			if !ok {
				return out, 0, digits
			}
			if change != nil {
				r = change(r)
			}
			out, n = character(r)
			return out, n, digits
		}}
	}
}

// numberOf reads a number as scripts write it: 80, 0x50, 0o120, 0b1010000, and
// h50 behind VBScript's ampersand.
func numberOf(digits []byte) (r rune, ok bool) {
	base, rest := rune(10), digits
	switch {
	case digits[0]|0x20 == 'h':
		base, rest = 16, digits[1:]
	case len(digits) > 2 && digits[0] == '0' && isLetter(digits[1]):
		rest = digits[2:]
		switch digits[1] | 0x20 {
		case 'x':
			base = 16
		case 'o':
			base = 8
		case 'b':
			base = 2
		}
	}
	for _, c := range rest {
		v, isHex := hexValue(c)
		if !isHex || rune(v) >= base {
			return 0, false
		}
		if r = r*base + rune(v); r > utf8.MaxRune {
			return 0, false
		}
	}
	return r, len(rest) > 0
}

// keyStep applies a repeated key to bytes.
func keyStep(key []byte, apply func(b, k byte) byte) step {
	return func() transform.Transformer { return &keyed{key: key, apply: apply} }
}

// keyed is the decoder of keyStep.
type keyed struct {
	key   []byte
	apply func(b, k byte) byte
	at    int
}

// Reset implements transform.Transformer.
func (k *keyed) Reset() { k.at = 0 }

// Transform implements transform.Transformer.
func (k *keyed) Transform(dst, src []byte, _ bool) (nDst, nSrc int, err error) {
	n := min(len(dst), len(src))
	for i, b := range src[:n] {
		dst[i] = k.apply(b, k.key[k.at])
		if k.at++; k.at == len(k.key) {
			k.at = 0
		}
	}
	if n < len(src) {
		err = transform.ErrShortDst
	}
	return n, n, err
}

// dropStep leaves out some bytes.
func dropStep(drop func(byte) bool) step {
	return func() transform.Transformer {
		return &decoder{next: func(src []byte, _ bool) (out [4]byte, n, took int) {
			if drop(src[0]) {
				return out, 0, 1
			}
			return [4]byte{src[0]}, 1, 1
		}}
	}
}
