package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
)

// swfOpener opens Flash movies (SWF File Format Specification, version 19; chapter
// numbers are its own). One that is packed holds the same movie unpacked; of that
// the data, pictures and sounds are handed out, and what is behind its end.
var swfOpener = opener{name: "swf", match: swfMatch, entries: swfEntries}

const (
	swfHeader   = 8  // "FWS", the version, the length of all when it is unpacked (chapter 2)
	swfLZMASize = 17 // the header when LZMA follows: also its length and five bytes of properties
	swfVersions = 60

	// swfMost is how many tags of a movie are read.
	swfMost = 1 << 20
)

// Tags that hold files, and how many bytes stand in front of those.
var swfTags = map[int]struct {
	name   string
	before int
	packed bool
}{
	6: {"picture-%d.jpg", 2, false}, 21: {"picture-%d.jpg", 2, false}, 35: {"picture-%d.jpg", 6, false}, 90: {"picture-%d.jpg", 8, false}, // chapter 8
	20: {"bitmap-%d", 7, true}, 36: {"bitmap-%d", 7, true},
	14: {"sound-%d.mp3", 7, false}, // chapter 11
	87: {"data-%d.bin", 6, false},  // chapter 13
}

// swfColours is the format of bitmaps that have a byte more in front: the number of
// their colours.
const swfColours = 3

func swfMatch(data []byte) bool {
	if len(data) < swfHeader || data[1] != 'W' || data[2] != 'S' || data[3] == 0 || data[3] > swfVersions {
		return false
	}
	switch data[0] {
	case 'F':
		return isSWF(data)
	case 'C':
		return len(data) < swfHeader+2 || isZlibData(data[swfHeader:])
	case 'Z':
		return len(data) < swfLZMASize || data[12] < 9*5*5 && isLZMADict(binary.LittleEndian.Uint32(data[13:]))
	}
	return false
}

// isSWF reports whether a movie that is not packed makes sense: its length is about
// right, or its first tag is that which such files have.
func isSWF(data []byte) bool {
	if uint64(binary.LittleEndian.Uint32(data[4:])) <= 2*uint64(len(data)) {
		return true
	}
	const attributes, size = 69, 4
	rest := swfBody(data)
	return len(rest) >= 2 && int(binary.LittleEndian.Uint16(rest)) == attributes<<6|size
}

// swfBody is what is behind a movie's header: the size of its frames, five numbers
// in as few bits as they take, their rate and number.
func swfBody(data []byte) []byte {
	rest := data[swfHeader:]
	if len(rest) == 0 {
		return nil
	}
	bits := 5 + 4*int(rest[0]>>3)
	return rest[min((bits+7)/8+4, len(rest)):]
}

func swfEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		size := int64(binary.LittleEndian.Uint32(f.Data[4:]))
		head := append([]byte("FWS"), f.Data[3:swfHeader]...)
		m := member{name: f.Name, size: size}
		switch {
		case f.Data[0] == 'F':
			s := &swf{data: f.Data, yield: yield}
			s.tags(size)
			return
		case f.Data[0] == 'C':
			m.body = io.MultiReader(bytes.NewReader(head), newZlibReader(f.Data[swfHeader:]))
		case len(f.Data) < swfLZMASize:
			m.body = io.MultiReader(bytes.NewReader(head), failing{errShort})
		default:
			dict := binary.LittleEndian.Uint32(f.Data[13:])
			r := newLZMA(f.Data[12], dict, max(size-swfHeader, 0), rangeDecoder{in: f.Data[swfLZMASize:]}, f.memory)
			defer r.release()
			m.body = io.MultiReader(bytes.NewReader(head), r)
		}
		yield(m, nil)
	}
}

// failing is a reader of nothing but an error.
type failing struct{ err error }

// Read implements io.Reader.
func (f failing) Read([]byte) (int, error) { return 0, f.err }

// swf hands out what is in a movie that is not packed.
type swf struct {
	data  []byte
	count int
	yield func(member, error) bool
}

var errSWFCut = fmt.Errorf("%w: cut short", ErrDamaged)

// tags reads the tags (chapter 2, "Tag format"): a type and a length, which is in four
// bytes more where it does not fit.
func (s *swf) tags(size int64) {
	rest := swfBody(s.data)
	for range swfMost {
		if len(rest) < 2 {
			s.yield(member{}, errSWFCut)
			return
		}
		head := int(binary.LittleEndian.Uint16(rest))
		kind, n := head>>6, head&0x3f
		rest = rest[2:]
		if n == 0x3f {
			if len(rest) < 4 {
				s.yield(member{}, errSWFCut)
				return
			}
			n = int(binary.LittleEndian.Uint32(rest))
			rest = rest[4:]
		}
		if kind == 0 {
			s.end(rest, size)
			return
		}
		cut := n > len(rest)
		n = min(n, len(rest))
		if !s.tag(kind, rest[:n:n]) {
			return
		}
		if cut {
			s.yield(member{}, errSWFCut)
			return
		}
		rest = rest[n:]
	}
	s.yield(member{}, &LimitError{"objects"})
}

// end hands out what is behind the last tag.
func (s *swf) end(rest []byte, size int64) {
	if len(rest) > 0 && !s.yield(member{name: "appended", data: rest}, nil) {
		return
	}
	if size > int64(len(s.data)) {
		s.yield(member{}, errSWFCut)
	}
}

// tag hands out the file in a tag, if there is one.
func (s *swf) tag(kind int, b []byte) (more bool) {
	t, ok := swfTags[kind]
	if !ok || len(b) < t.before {
		return true
	}
	s.count++
	m := member{name: fmt.Sprintf(t.name, s.count), data: b[t.before:]}
	if t.packed {
		if b[2] == swfColours && len(m.data) > 0 {
			m.data = m.data[1:]
		}
		m = member{name: m.name, body: newZlibReader(m.data)}
	}
	return s.yield(m, nil)
}
