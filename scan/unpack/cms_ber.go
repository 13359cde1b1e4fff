package unpack

import (
	"fmt"
	"io"
	"math"
)

// Identifier octets of BER that CMS is made of (X.690, sections 8.1.2 and 8.14).
const (
	berEnd         = 0x00 // end-of-contents
	berOctetString = 0x04
	berOID         = 0x06
	berSequence    = 0x30
	berContext0    = 0x80 // [0]
	berConstructed = 0x20
)

// berElement is where an element of BER lies.
type berElement struct {
	tag        byte // the identifier's first octet
	body       int
	end        int  // as the length says, be it beyond the data; with indefinite it means nothing
	indefinite bool // the body ends with end-of-contents
}

// berAt reads the header of the element at the given offset. ok is false when
// there is none, or not all of it.
func berAt(data []byte, at int) (e berElement, ok bool) {
	if at < 0 || at > len(data)-2 {
		return e, false
	}
	e.tag = data[at]
	at++
	if e.tag&0x1f == 0x1f { // the tag's number follows, 7 bits in an octet
		for at < len(data) && data[at]&0x80 != 0 {
			at++
		}
		at++
	}
	size, at, ok := berLength(data, at)
	if !ok {
		return e, false
	}
	e.body, e.indefinite = at, size < 0
	e.end = at + max(size, 0)
	return e, !e.indefinite || e.tag&berConstructed != 0
}

// berLength reads a length (X.690, section 8.1.3), -1 for the indefinite one.
func berLength(data []byte, at int) (size, next int, ok bool) {
	if at >= len(data) {
		return 0, 0, false
	}
	octets := int(data[at] & 0x7f)
	long := data[at]&0x80 != 0
	at++
	switch {
	case !long:
		return octets, at, true
	case octets == 0:
		return -1, at, true
	case octets == 0x7f || octets > len(data)-at: // the former is reserved
		return 0, 0, false
	}
	for _, b := range data[at : at+octets] {
		size = min(size, math.MaxInt>>10)<<8 | int(b) // no sum of two overflows
	}
	return min(size, math.MaxInt>>2), at + octets, true
}

// isEnd reports whether the element is an end-of-contents.
func (e berElement) isEnd() bool { return e.tag == berEnd && !e.indefinite && e.end == e.body }

// bytes is the body of an element of definite length, as far as there is any.
func (e berElement) bytes(data []byte) []byte {
	return data[min(e.body, len(data)):min(e.end, len(data))]
}

// after finds where the element ends. ok is false when that is beyond the data.
func (e berElement) after(data []byte) (end int, ok bool) {
	if !e.indefinite {
		return e.end, e.end <= len(data)
	}
	at := e.body
	for open := 1; open > 0; {
		inner, ok := berAt(data, at)
		if !ok {
			return len(data), false
		}
		switch {
		case inner.isEnd():
			open--
			at = inner.end
		case inner.indefinite:
			open++
			at = inner.body
		default:
			at = inner.end
		}
	}
	return at, at <= len(data)
}

// berList goes through the elements within another one.
type berList struct {
	data  []byte
	at    int
	end   int  // -1: at an end-of-contents
	whole bool // the end has been met where it should be
}

// within lists what is in e.
func (e berElement) within(data []byte) *berList {
	l := &berList{data: data, at: e.body, end: -1}
	if !e.indefinite {
		l.end = e.end
	}
	return l
}

// next gives the next element.
func (l *berList) next() (berElement, bool) {
	if l.end >= 0 && l.at >= l.end {
		l.whole = l.at == l.end && l.end <= len(l.data)
		return berElement{}, false
	}
	e, ok := berAt(l.data, l.at)
	if ok && l.end < 0 && e.isEnd() {
		l.whole = true
		return berElement{}, false
	}
	return e, ok
}

// skip passes over an element that next gave.
func (l *berList) skip(e berElement) {
	l.at, _ = e.after(l.data)
}

// maxBerStrings is how deep strings of octets may lie in one another. Programs
// that read CMS allow five or so.
const maxBerStrings = 32

// berOctets joins the pieces of a string of octets, which may be made of strings
// in their turn (X.690, section 8.7). Programs do not look at the pieces' tags.
type berOctets struct {
	data  []byte
	at    int
	ends  []int // of the strings that are open, the innermost last; -1 for end-of-contents
	piece []byte
	err   error // behind piece
}

// octets reads the pieces within e, or e itself when it has none.
func (e berElement) octets(data []byte) io.Reader {
	r := &berOctets{data: data}
	if e.tag&berConstructed != 0 {
		r.open(e)
	} else if r.piece = e.bytes(data); e.end > len(data) {
		r.err = errCutShort
	}
	return r
}

// onePiece gives the string of octets in e where it stands in one piece, and
// nothing of it is missing.
func (e berElement) onePiece(data []byte) (piece []byte, ok bool) {
	if e.tag&berConstructed == 0 {
		return e.bytes(data), e.end <= len(data)
	}
	list := e.within(data)
	first, ok := list.next()
	if !ok || first.tag&berConstructed != 0 {
		return nil, false
	}
	list.skip(first)
	_, more := list.next()
	return first.bytes(data), !more && list.whole
}

// Read implements io.Reader.
func (r *berOctets) Read(p []byte) (int, error) {
	for len(r.piece) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.step()
	}
	n := copy(p, r.piece)
	r.piece = r.piece[n:]
	return n, nil
}

// step finds the next piece, or goes a step towards it.
func (r *berOctets) step() {
	last := len(r.ends) - 1
	if last < 0 {
		r.err = io.EOF
		return
	}
	end := r.ends[last]
	if end >= 0 && r.at >= end {
		r.ends = r.ends[:last]
		return
	}
	e, ok := berAt(r.data, r.at)
	switch {
	case !ok:
		r.err = errCutShort
	case end < 0 && e.isEnd():
		r.ends = r.ends[:last]
		r.at = e.end
	case e.tag&berConstructed != 0:
		r.open(e)
	default:
		r.piece, r.at = e.bytes(r.data), e.end
		if e.end > len(r.data) || end >= 0 && e.end > end {
			r.err = errCutShort
		}
	}
}

// open goes into a string that is made of strings.
func (r *berOctets) open(e berElement) {
	if len(r.ends) == maxBerStrings {
		r.err = &LimitError{"depth"}
		return
	}
	end := e.end
	if e.indefinite {
		end = -1
	}
	r.ends, r.at = append(r.ends, end), e.body
}

var errCutShort = fmt.Errorf("%w: cut short", ErrDamaged)
