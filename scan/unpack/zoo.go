package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
)

// zooOpener opens archives of Rahul Dhesi's Zoo: members that are stored, in LZW,
// or in the method of lh5. Deleted members are still there, and are opened too.
var zooOpener = opener{name: "zoo", match: zooMatch, entries: zooEntries}

const (
	zooTag        = "\xdc\xa7\xc4\xfd" // in the header of an archive, and of each member
	zooTagAt      = 20                 // behind a text that says anything
	zooHeaderSize = 34
	zooEntrySize  = 51 // of type 1
	zooLongSize   = 56 // of type 2, which has long names behind it

	zooStored = 0
	zooLZW    = 1
	zooLZH    = 2
)

func zooMatch(data []byte) bool { return zooStart(data) >= 0 }

// zooStart gives the offset of an archive, -1 where there is none.
func zooStart(data []byte) int {
	if isZoo(data) {
		return 0
	}
	for at := range behindPrograms(data, zooTag) {
		if at >= zooTagAt && isZoo(data[at-zooTagAt:]) {
			return at - zooTagAt
		}
	}
	return -1
}

// isZoo asks for the tag, and that the offset of the first member is likely: it
// stands there twice, the second time as a negative number.
func isZoo(b []byte) bool {
	if len(b) < zooHeaderSize || string(b[zooTagAt:zooTagAt+4]) != zooTag {
		return false
	}
	start, minus := binary.LittleEndian.Uint32(b[24:]), binary.LittleEndian.Uint32(b[28:])
	return start == -minus || start < 1<<16 || -minus < 1<<16
}

func zooEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		start := zooStart(f.Data)
		if start < 0 {
			return
		}
		z := &zooReader{data: f.Data[start:], yield: yield, seen: make(map[int]bool)}
		z.read()
	}
}

// zooReader reads one archive.
type zooReader struct {
	data     []byte
	yield    func(member, error) bool
	done     bool
	seen     map[int]bool // headers of members, by their offset
	packed   int64        // compressed bytes read, in all
	restarts int

	window lzWindow
	lzw    *lzw
}

// emit hands out a member, or what is wrong with it.
func (z *zooReader) emit(m member, err error) {
	if !z.done {
		z.done = !z.yield(m, err)
	}
}

func (z *zooReader) damaged(m member, what string) {
	z.emit(m, fmt.Errorf("%w: %s", ErrDamaged, what))
}

// read follows the chain of members. Where it breaks, headers are looked for that
// have not been read.
func (z *zooReader) read() {
	broken := false
	for at := z.first(); !z.done; {
		next, ok := z.member(at)
		if !ok && !broken {
			z.damaged(member{}, "no header of a member where one should be")
			broken = true
		}
		if !ok || next == 0 {
			if !broken {
				return
			}
			if next, ok = z.search(); !ok {
				return
			}
		}
		at = next
	}
}

// first gives the offset of the first member.
func (z *zooReader) first() int {
	start, minus := binary.LittleEndian.Uint32(z.data[24:]), -binary.LittleEndian.Uint32(z.data[28:])
	if !z.header(int(start)) && z.header(int(minus)) {
		return int(minus)
	}
	return int(start)
}

// header reports whether a member's header stands at an offset.
func (z *zooReader) header(at int) bool {
	return hasMagic(z.data, at, zooTag) && len(z.data)-at >= zooEntrySize
}

// search looks for the header of a member that has not been read.
func (z *zooReader) search() (at int, ok bool) {
	if z.restarts++; z.restarts > maxRestarts {
		z.emit(member{}, &LimitError{"overlap"})
		return 0, false
	}
	for at = zooHeaderSize; at < len(z.data); at++ {
		i := bytes.Index(z.data[at:], []byte(zooTag))
		if i < 0 {
			break
		}
		if at += i; z.header(at) && !z.seen[at] {
			return at, true
		}
	}
	return 0, false
}

// member reads the member whose header is at an offset, and gives the offset of
// the next header; 0 behind the last one, whose header has nothing in it. ok is false
// where the chain breaks.
func (z *zooReader) member(at int) (next int, ok bool) {
	if !z.header(at) || z.seen[at] {
		return 0, false
	}
	z.seen[at] = true
	le, h := binary.LittleEndian, z.data[at:]
	next = int(le.Uint32(h[6:]))
	offset, size := int64(le.Uint32(h[10:])), int64(le.Uint32(h[24:]))
	if next == 0 && size == 0 {
		return 0, true
	}
	m := member{name: zooName(h), size: int64(le.Uint32(h[20:]))}
	if offset > int64(len(z.data)) {
		z.damaged(m, "no place for its bytes")
		return next, true
	}
	packed := z.data[offset:]
	cut := size > int64(len(packed))
	packed = packed[:min(int64(len(packed)), size)]
	if z.packed += int64(len(packed)); z.packed > lzOverlap*int64(len(z.data)) {
		z.emit(member{}, &LimitError{"overlap"})
		return 0, true
	}
	z.unpack(m, h[5], packed, le.Uint16(h[18:]), cut)
	return next, next != 0 // the last header has no bytes
}

// unpack hands out the bytes of a member.
func (z *zooReader) unpack(m member, method byte, packed []byte, crc uint16, cut bool) {
	switch method {
	case zooStored:
		m.data = packed
		var err error
		switch {
		case cut:
			err = errLZEnd
		case arcCRC(0, packed) != crc:
			err = errARCSum
		}
		z.emit(m, err)
		return
	case zooLZW:
		if z.lzw == nil {
			z.lzw = &lzw{most: 13, block: true, end: lzwClear + 1, loose: true}
		}
		z.lzw.reset(packed)
		m.body = z.lzw
	case zooLZH:
		z.window.reset(16<<10, ' ') // twice as much as is used: all that the codes can say
		d := newLZH(&bitReader{data: packed}, 4)
		d.ends = true
		m.body = &lzReader{window: &z.window, decoder: d, left: math.MaxInt64 / 2}
	default:
		z.emit(m, fmt.Errorf("%w: number %d", ErrUnsupported, method))
		return
	}
	m.body = &arcChecked{r: m.body, size: m.size, want: crc}
	z.emit(m, nil)
}

// zooName gives the name in a member's header: the long one with its folder where
// there is one.
func zooName(h []byte) string {
	short, _, _ := bytes.Cut(h[38:zooEntrySize], []byte{0})
	if h[4] < 2 || len(h) < zooLongSize+2 {
		return decodeName(short)
	}
	variable := int(binary.LittleEndian.Uint16(h[51:]))
	v := h[zooLongSize:]
	v = v[:min(len(v), variable)]
	if len(v) < 2 {
		return decodeName(short)
	}
	n, folder := int(v[0]), int(v[1])
	v = v[2:]
	name := v[:min(len(v), n)]
	dir := v[len(name):]
	name, _, _ = bytes.Cut(name, []byte{0})
	dir, _, _ = bytes.Cut(dir[:min(len(dir), folder)], []byte{0})
	if len(name) == 0 {
		name = short
	}
	if len(dir) > 0 {
		name = bytes.Join([][]byte{bytes.TrimSuffix(dir, []byte{'/'}), name}, []byte{'/'})
	}
	return decodeName(name)
}
