package mime

import (
	"bytes"
	"encoding/base64"
	"io"
)

// Values of unbase64 that are not digits; urlDigit is added to the two digits
// that the URL alphabet writes in another way.
const (
	foreign  = 0xff // passed over
	blank    = 0xfe // passed over, and nothing odd about it
	pad      = 0xfd
	urlDigit = 0x40
)

// unbase64 gives the value of a digit of base64 (RFC 4648, sections 4 and 5).
var unbase64 = func() (t [256]byte) {
	for i := range t {
		t[i] = foreign
	}
	for i := range byte(26) {
		t['A'+i], t['a'+i] = i, 26+i
	}
	for i := range byte(10) {
		t['0'+i] = 52 + i
	}
	t['+'], t['/'], t['-'], t['_'] = 62, 63, urlDigit|62, urlDigit|63
	t[' '], t['\t'], t['\r'], t['\n'], t['='] = blank, blank, blank, blank, pad
	return t
}()

// base64Reader decodes base64 as mail programs do that try hard: foreign
// characters are passed over, padding ends a chunk and the next one goes on
// behind it. keepOn, byLine and url choose other habits. What the text held that
// makes the habits differ is in the saw fields once all of it is read.
type base64Reader struct {
	src []byte

	keepOn bool // padding is passed over like a foreign character
	byLine bool // every line is decoded by itself
	url    bool // "-" and "_" are digits

	sawForeign bool
	sawPad     bool // padding, and no digit since
	sawInner   bool // padding with digits after it
	sawURL     bool

	held  [4]byte // characters of a group that is not complete
	n     int     // of them
	in    []byte  // the text of the window without its line ends
	buf   []byte  // that out lies in
	out   []byte  // decoded, not yet given
	ended bool
}

// base64Window is how many bytes of text are decoded at a time.
const base64Window = 16 << 10

func (r *base64Reader) Read(b []byte) (int, error) {
	for len(r.out) == 0 {
		if r.ended {
			return 0, io.EOF
		}
		r.fill()
	}
	n := copy(b, r.out)
	r.out = r.out[n:]
	return n, nil
}

// all reads what is left.
func (r *base64Reader) all() []byte {
	var b []byte
	for !r.ended {
		r.fill()
		b = append(b, r.out...)
	}
	r.out = nil
	return b
}

// fill decodes the next window.
func (r *base64Reader) fill() {
	if r.buf == nil {
		r.buf = make([]byte, base64Window+8)
	}
	window := r.src[:min(len(r.src), base64Window)]
	r.src = r.src[len(window):]
	r.ended = len(r.src) == 0
	n, ok := r.strict(window)
	if !ok {
		n = r.tolerant(window)
	}
	r.out = r.buf[:n]
}

// strict decodes a window that is nothing but digits and line ends, with
// padding at its end at the most. Otherwise it does nothing.
func (r *base64Reader) strict(window []byte) (n int, ok bool) {
	if r.keepOn || r.byLine || r.url {
		return 0, false
	}
	in := append(r.in[:0], r.held[:r.n]...)
	for len(window) > 0 {
		text, rest := window, []byte(nil)
		if lf := bytes.IndexByte(window, '\n'); lf >= 0 {
			text, rest = window[:lf], window[lf+1:]
		}
		for len(text) > 0 && text[len(text)-1] == '\r' {
			text = text[:len(text)-1]
		}
		in, window = append(in, text...), rest
	}
	r.in = in
	whole := len(in) &^ 3
	if r.ended && whole < len(in) {
		return 0, false
	}
	n, err := base64.StdEncoding.Decode(r.buf, in[:whole])
	if err != nil {
		return 0, false
	}
	if whole > 0 {
		r.sawInner = r.sawInner || r.sawPad
		r.sawPad = in[whole-1] == '='
	}
	r.n = copy(r.held[:], in[whole:])
	return n, true
}

// tolerant decodes a window whatever it holds.
func (r *base64Reader) tolerant(window []byte) int {
	out := r.buf[:0]
	held := r.held
	text := held[:r.n]
	r.n = 0
	for range 2 {
		for _, c := range text {
			v := unbase64[c]
			if v >= urlDigit && v < pad {
				r.sawURL = true
				if v &^= urlDigit; !r.url {
					v = foreign
				}
			}
			switch {
			case v < 64:
				r.sawInner, r.sawPad = r.sawInner || r.sawPad, false
				r.held[r.n] = c
				if r.n++; r.n == 4 {
					out = r.group(out)
				}
			case v == pad && !r.keepOn:
				r.sawPad = true
				out = r.group(out)
			case v == blank && r.byLine && isEOL(c):
				out = r.group(out)
			case v == foreign:
				r.sawForeign = true
			}
		}
		text = window
	}
	if r.ended {
		out = r.group(out)
	}
	return len(out)
}

// group decodes the characters held, four or fewer; a single one makes no byte.
func (r *base64Reader) group(out []byte) []byte {
	var v uint32
	for i := range 4 {
		v <<= 6
		if i < r.n {
			v |= uint32(unbase64[r.held[i]] & 63)
		}
	}
	b := [3]byte{byte(v >> 16), byte(v >> 8), byte(v)}
	out = append(out, b[:max(r.n-1, 0)]...)
	r.n = 0
	return out
}

// looksBase64 reports whether text starts with a run of base64, whatever its
// header says: three lines that are alike and longer than words are, or one long
// line.
func looksBase64(text []byte) bool {
	text = bytes.TrimLeft(text[:min(len(text), 4096)], " \t\r\n")
	width, same := 0, 0
	for at := 0; at < len(text) && same < 3; {
		end, next := line(text, at)
		word := bytes.TrimRight(text[at:end], " \t")
		if !isBase64Line(word) || width > 0 && len(word) != width {
			break
		}
		width, same, at = len(word), same+1, next
	}
	return width >= 256 || width >= 40 && same == 3
}
