package mime

import (
	"bytes"
	"encoding/binary"
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

// habit is what a program makes of base64 that RFC 2045 does not allow.
type habit uint8

const (
	padEnds     habit = iota // padding ends a chunk, and the next one goes on behind it
	padSkipped               // padding is passed over like a foreign character
	padCounts                // padding takes a place in its group of four, wherever it stands there
	padIsZero                // padding is a digit, of value 0
	byLine                   // every line is decoded by itself
	wholeInLine              // every line by itself, and what makes no whole group at its end is dropped
	foreignEnds              // a foreign character ends what its line has to say
)

// base64Reader decodes base64 as mail programs do that try hard: foreign
// characters are passed over. Where they differ, it goes by its habit. What the
// text held that makes the habits differ is in the saw fields once all of it is read.
type base64Reader struct {
	src   []byte
	habit habit
	url   bool // "-" and "_" are digits
	skip  int  // so many digits are passed over first

	sawForeign bool
	sawPad     bool // padding, and no digit since
	sawInner   bool // padding with digits after it
	sawURL     bool
	sawRest    bool // lines that end within a group

	group [4]byte // values of the digits of a group that is not complete
	n     int     // of them
	pads  int     // padding in the group, where that counts
	mute  bool    // until the end of the line
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
		if len(b) < base64Window {
			r.fill()
			continue
		}
		own := r.buf // no need for it: what is decoded has room in b
		r.buf = b
		r.fill()
		n := len(r.out)
		r.buf, r.out = own, nil
		if n > 0 {
			return n, nil
		}
	}
	n := copy(b, r.out)
	r.out = r.out[n:]
	return n, nil
}

// Len is how many bytes may be left.
func (r *base64Reader) Len() int { return len(r.out) + len(r.src)/4*3 + len(r.group) }

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
		r.buf = make([]byte, min(len(r.src), base64Window)+8)
	}
	window := r.src[:min(len(r.src), base64Window)]
	r.src = r.src[len(window):]
	r.ended = len(r.src) == 0
	out := 0
	for len(window) > 0 {
		if r.n+r.pads+r.skip == 0 && !r.mute {
			groups := wholeGroups(r.buf[out:], window)
			if groups > 0 {
				r.sawInner, r.sawPad = r.sawInner || r.sawPad, false
				out, window = out+3*groups, window[4*groups:]
			}
			if len(window) == 0 {
				break
			}
			if c := window[0]; isEOL(c) {
				window = window[1:]
				continue
			}
		}
		out += r.take(r.buf[out:], window[0])
		window = window[1:]
	}
	if r.ended && r.habit != wholeInLine {
		out += r.flush(r.buf[out:])
	}
	r.out = r.buf[:out]
}

// wholeGroups decodes groups of four digits up to the first one that is not
// whole, and gives their number. It writes up to a byte more than it decodes.
func wholeGroups(out, text []byte) (groups int) {
	d := &base64Digits
	for len(text) >= 4 && len(out) >= 4 {
		v := d[0][text[0]] | d[1][text[1]] | d[2][text[2]] | d[3][text[3]]
		if v&noDigit != 0 {
			break
		}
		binary.BigEndian.PutUint32(out, v)
		groups, text, out = groups+1, text[4:], out[3:]
	}
	return groups
}

// noDigit marks what is no digit in base64Digits.
const noDigit = 1

// base64Digits gives the value of a digit by its place in a group of four, in
// the upper 24 bits.
var base64Digits = func() (t [4][256]uint32) {
	for c, v := range unbase64 {
		for place := range t {
			t[place][c] = noDigit
			if v < 64 {
				t[place][c] = uint32(v) << (26 - 6*place)
			}
		}
	}
	return t
}()

// take takes one character in, and gives the number of bytes decoded.
func (r *base64Reader) take(out []byte, c byte) int {
	v := unbase64[c]
	if v >= urlDigit && v < pad {
		r.sawURL = true
		if v &^= urlDigit; !r.url {
			v = foreign
		}
	}
	switch {
	case isEOL(c):
		return r.endLine(out)
	case r.mute:
	case v < 64:
		return r.digit(out, v)
	case v == pad:
		return r.pad(out)
	case v == foreign:
		r.sawForeign = true
		r.mute = r.habit == foreignEnds
	}
	return 0
}

// digit takes in a digit.
func (r *base64Reader) digit(out []byte, v byte) int {
	r.sawInner, r.sawPad = r.sawInner || r.sawPad, false
	if r.skip > 0 {
		r.skip--
		return 0
	}
	r.group[r.n] = v
	if r.n++; r.n+r.pads == len(r.group) {
		return r.flush(out)
	}
	return 0
}

// pad takes in padding.
func (r *base64Reader) pad(out []byte) int {
	r.sawPad = true
	switch r.habit {
	case padSkipped:
		return 0
	case padIsZero:
		return r.digit(out, 0)
	case padCounts:
		if r.pads++; r.n+r.pads < len(r.group) {
			return 0
		}
	}
	return r.flush(out)
}

// endLine takes in a line end.
func (r *base64Reader) endLine(out []byte) int {
	r.mute = false
	r.sawRest = r.sawRest || r.n > 0
	switch r.habit {
	case byLine:
		return r.flush(out)
	case wholeInLine:
		r.n, r.pads = 0, 0
	}
	return 0
}

// flush decodes the digits of a group, four or fewer; a single one makes no byte.
func (r *base64Reader) flush(out []byte) int {
	g, n := r.group, max(r.n-1, 0)
	r.group, r.n, r.pads = [4]byte{}, 0, 0
	b := [3]byte{g[0]<<2 | g[1]>>4, g[1]<<4 | g[2]>>2, g[2]<<6 | g[3]}
	return copy(out, b[:n])
}

// base64Head is how much of a text is looked at to tell whether it is base64.
const base64Head = 4096

// looksBase64 reports whether text starts with a run of base64, or has one behind
// its first empty line, whatever its header says. An armoured signature is none
// (RFC 9580, section 6.2).
func looksBase64(text []byte) bool {
	if startsBase64(text) {
		return true
	}
	rest, _ := behindJunk(text)
	return startsBase64(rest) && !bytes.HasPrefix(text, []byte("-----"))
}

// startsBase64 reports whether text starts with a run of base64: three lines that
// are alike and longer than words are, or one long line, or lines of any length
// that mix their letters as no words do.
func startsBase64(text []byte) bool {
	text = bytes.TrimLeft(text[:min(len(text), base64Head)], " \t\r\n")
	width, same, alike := 0, 0, true
	var run base64Run
	for at := 0; at < len(text); {
		end, next := line(text, at)
		word := bytes.TrimRight(text[at:end], " \t")
		if len(word) > 0 && !isBase64Line(word) {
			break
		}
		if alike = alike && len(word) > 0 && (width == 0 || len(word) == width); alike {
			width, same = len(word), same+1
		}
		if width >= 256 || width >= 40 && same == 3 || run.add(word) {
			return true
		}
		at = next
	}
	return false
}

// base64Run measures lines of base64.
type base64Run struct {
	digits int
	mixes  int // capitals after a small letter
}

// add takes in a line, and reports whether what came so far is base64 rather than
// words, names, or numbers: of base64 every sixth digit is a capital after a small
// letter, of words and of numbers of any base hardly one.
func (r *base64Run) add(word []byte) bool {
	word = bytes.TrimRight(word, "=")
	r.digits += len(word)
	for i := 1; i < len(word); i++ {
		if isLower(word[i-1]) && isUpper(word[i]) {
			r.mixes++
		}
	}
	return r.digits >= 32 && r.mixes*16 >= r.digits
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' }

func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }

// behindJunk gives what is behind the first empty line of a text. shifted says
// that base64 starts there, and that what is before it shifts its digits.
func behindJunk(text []byte) (rest []byte, shifted bool) {
	digits := 0
	for at := 0; at < min(len(text), base64Head); {
		end, next := line(text, at)
		if end == at && digits > 0 {
			rest = text[next:]
			return rest, digits%4 != 0 && startsBase64(rest)
		}
		for _, c := range text[at:end] {
			if unbase64[c] < urlDigit {
				digits++
			}
		}
		at = next
	}
	return nil, false
}
