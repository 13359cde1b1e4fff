package mime

import (
	"bytes"
	"io"
)

// unhex gives the value of a hexadecimal digit, upper or lower case; 0xff for
// other characters.
var unhex = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range byte(10) {
		t['0'+i] = i
	}
	for i := range byte(6) {
		t['A'+i], t['a'+i] = 10+i, 10+i
	}
	return t
}()

// quotedReader decodes quoted-printable (RFC 2045, section 6.7): soft breaks may
// have blanks before the line end, hexadecimal digits may be lower case. An
// escape that is none is kept as it is.
type quotedReader struct {
	src []byte

	drop   bool // the "=" of an escape that is none is dropped
	sawBad bool // there was such an escape

	buf []byte // that out lies in
	out []byte // decoded, not yet given
}

// quotedWindow is how many bytes of text are decoded at a time.
const quotedWindow = 16 << 10

func (r *quotedReader) Read(b []byte) (int, error) {
	for len(r.out) == 0 {
		if len(r.src) == 0 {
			return 0, io.EOF
		}
		r.fill()
	}
	n := copy(b, r.out)
	r.out = r.out[n:]
	return n, nil
}

// fill decodes the next window: whole lines, or a piece of a line that is longer.
func (r *quotedReader) fill() {
	if r.buf == nil {
		r.buf = make([]byte, 0, quotedWindow)
	}
	window := r.src[:min(len(r.src), quotedWindow)]
	if len(window) < len(r.src) {
		if lf := bytes.LastIndexByte(window, '\n'); lf >= 0 {
			window = window[:lf+1]
		} else if at := bytes.LastIndexByte(window, '='); at > 0 && at >= len(window)-3 {
			window = window[:at] // not to part an escape
		}
	}
	r.src = r.src[len(window):]
	out := r.buf[:0]
	for len(window) > 0 {
		text, eol := window, []byte(nil)
		lf := bytes.IndexByte(window, '\n')
		if lf >= 0 {
			text = window[:lf]
			cr := lf
			for cr > 0 && text[cr-1] == '\r' {
				cr--
			}
			text, eol = window[:cr], window[cr:lf+1]
		}
		window = window[len(text)+len(eol):]
		out = r.line(out, text, eol)
	}
	r.out = out
}

// line decodes one line. Blanks at its end were added on the way (rule 3).
func (r *quotedReader) line(out, text, eol []byte) []byte {
	if len(eol) > 0 || len(r.src) == 0 {
		for len(text) > 0 && isBlank(text[len(text)-1]) {
			text = text[:len(text)-1]
		}
	}
	for {
		for len(text) >= 3 && text[0] == '=' && unhex[text[1]]|unhex[text[2]] < 16 {
			out, text = append(out, unhex[text[1]]<<4|unhex[text[2]]), text[3:]
		}
		at := bytes.IndexByte(text, '=')
		if at < 0 {
			return append(append(out, text...), eol...)
		}
		out, text = append(out, text[:at]...), text[at:]
		switch {
		case len(text) == 1: // a soft break
			return out
		case len(text) >= 3 && unhex[text[1]]|unhex[text[2]] < 16:
		case text[1] == '\r': // a soft break where lines end with CR
			text = text[2:]
		default:
			r.sawBad = true
			if !r.drop {
				out = append(out, '=')
			}
			text = text[1:]
		}
	}
}
