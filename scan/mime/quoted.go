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

// escape is what a program makes of an "=" that no two hexadecimal digits, and no
// line end, follow.
type escape uint8

const (
	keptEscape  escape = iota // all of it is text
	noEqual                   // the "=" is dropped
	noEqualNor1               // and the character after it
	noEqualNor2               // and the two characters after it
	noBlanks                  // blanks and soft breaks between the "=" and its digits are dropped
)

// quotedReader decodes quoted-printable (RFC 2045, section 6.7): soft breaks may
// have blanks before the line end, hexadecimal digits may be lower case. What
// becomes of other escapes is said by bad.
type quotedReader struct {
	src []byte

	bad   escape
	upper bool // digits in lower case are none

	sawBad bool // an escape that is none
	seen   byte // a bit for each 32 characters that a digit was among

	buf  []byte // that out lies in
	out  []byte // decoded, not yet given
	line []byte // less what was dropped
	rest []byte // an escape that the end of the last line broke
}

// quotedWindow is how many bytes of text are decoded at a time.
const quotedWindow = 16 << 10

// Len is how many bytes may be left.
func (r *quotedReader) Len() int { return len(r.out) + len(r.src) }

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
		r.buf = make([]byte, 0, min(len(r.src), quotedWindow))
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
		switch r.bad {
		case noEqualNor1, noEqualNor2:
			text = r.withoutJunk(text)
		case noBlanks:
			text = r.withoutBlanks(text)
		}
		out = r.decode(out, text, eol)
	}
	r.out = out
}

// withoutJunk gives a line less the escapes that are none. What stands around
// them may make one.
func (r *quotedReader) withoutJunk(text []byte) []byte {
	r.line = r.line[:0]
	for {
		at := bytes.IndexByte(text, '=')
		if at < 0 {
			return append(r.line, text...)
		}
		r.line, text = append(r.line, text[:at]...), text[at:]
		if len(text) == 1 || text[1] == '=' || text[1] == '\r' || r.isEscape(text) {
			r.line, text = append(r.line, '='), text[1:]
			continue
		}
		text = text[min(len(text), 1+int(r.bad-noEqual)):]
	}
}

// withoutBlanks gives a line less the blanks within its escapes; what the last line
// has begun is in front of it.
func (r *quotedReader) withoutBlanks(text []byte) []byte {
	r.line = append(r.line[:0], r.rest...)
	r.rest = r.rest[:0]
	for i, c := range text {
		n := len(r.line)
		within := n > 0 && r.line[n-1] == '=' || n > 1 && r.line[n-2] == '=' && unhex[r.line[n-1]] < 16
		if isBlank(c) && within && len(trimBlank(text[i:])) > 0 {
			continue
		}
		r.line = append(r.line, c)
	}
	// "=" and "=4" before a soft break go on in the next line.
	line := bytes.TrimRight(r.line, " \t")
	if n := len(line); n >= 2 && line[n-1] == '=' {
		switch {
		case line[n-2] == '=':
			r.rest = append(r.rest, '=')
			return append(line[:n-2], '=')
		case n >= 3 && line[n-3] == '=' && unhex[line[n-2]] < 16:
			r.rest = append(r.rest, line[n-3:n-1]...)
			return append(line[:n-3], '=')
		}
	}
	return r.line
}

// isEscape reports whether text, which starts with "=", starts with an escape.
func (r *quotedReader) isEscape(text []byte) bool {
	if len(text) < 3 || unhex[text[1]]|unhex[text[2]] >= 16 {
		return false
	}
	return !r.upper || !isLower(text[1]) && !isLower(text[2])
}

// decode decodes one line. Blanks at its end were added on the way (rule 3).
func (r *quotedReader) decode(out, text, eol []byte) []byte {
	if len(eol) > 0 || len(r.src) == 0 {
		text = bytes.TrimRight(text, " \t")
		if soft := bytes.TrimRight(text, " \t\v\f\x00"); len(soft) < len(text) && bytes.HasSuffix(soft, []byte("=")) {
			text = soft
		}
	}
	for {
		for len(text) >= 3 && text[0] == '=' && r.isEscape(text) {
			r.seen |= 1<<(text[1]>>5) | 1<<(text[2]>>5)
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
		case r.isEscape(text):
		case text[1] == '\r': // a soft break where lines end with CR
			text = text[2:]
		default:
			r.sawBad = true
			if r.bad == keptEscape {
				out = append(out, '=')
			}
			text = text[1:]
		}
	}
}

// mixed reports whether the digits that were seen are of both cases: some senders
// write small ones; among capitals, they may be meant to be passed over.
func (r *quotedReader) mixed() bool {
	const both = 1<<('A'>>5) | 1<<('a'>>5)
	return r.seen&both == both
}
