package unpack

import (
	"encoding/binary"
	"io"
	"math/bits"
)

// Filters of xz and 7z that programs go through before they are compressed: the
// relative addresses of calls are made absolute, so that calls of the same
// function look alike. These turn them back.

// branchFilter turns the addresses in b back. at is where b stands in the program.
// It gives how many bytes it is done with; those behind need more after them.
type branchFilter interface {
	convert(b []byte, at uint32) int
}

// branchFunc is a filter that remembers nothing.
type branchFunc func(b []byte, at uint32) int

func (f branchFunc) convert(b []byte, at uint32) int { return f(b, at) }

// branchReader applies a filter to what is read.
type branchReader struct {
	r      io.Reader
	filter branchFilter
	at     uint32 // of what the filter is not done with
	buf    [16 << 10]byte
	out    int // handed out
	done   int // the filter is done with
	end    int // read
	err    error
}

func newBranchReader(r io.Reader, f branchFilter, start uint32) *branchReader {
	return &branchReader{r: r, filter: f, at: start}
}

// Read implements io.Reader.
func (r *branchReader) Read(p []byte) (int, error) {
	for r.out == r.done {
		if r.err != nil {
			return 0, r.err
		}
		r.end = copy(r.buf[:], r.buf[r.done:r.end])
		r.out, r.done = 0, 0
		var n int
		n, r.err = io.ReadAtLeast(r.r, r.buf[r.end:], 1)
		r.end += n
		if r.done = r.filter.convert(r.buf[:r.end], r.at); r.err != nil {
			r.done = r.end // what is too short to be an instruction stays as it is
		}
		r.at += uint32(r.done)
	}
	n := copy(p, r.buf[r.out:r.done])
	r.out += n
	return n, nil
}

// x86Filter is for x86: E8 (call) or E9 (jump), and an address of four bytes the
// highest of which is 00 or FF. What looks like an opcode can be part of an
// address: those in the last three bytes decide what is believed.
type x86Filter struct {
	recent uint8 // bit i: i+1 bytes ago was an opcode that was not turned
}

func (f *x86Filter) convert(b []byte, at uint32) int {
	const size = 5
	i := 0
	for i+size <= len(b) {
		if b[i]&0xfe != 0xe8 {
			i++
			f.recent = f.recent << 1 & 7
			continue
		}
		back := bits.Len8(f.recent)
		if f.recent != 0 && (bits.OnesCount8(f.recent) > 1 || isSign(b[i+4-back])) || !isSign(b[i+4]) {
			i++
			f.recent = (f.recent<<1 | 1) & 7
			continue
		}
		next := at + uint32(i) + size
		v := binary.LittleEndian.Uint32(b[i+1:])
		to := v - next
		for back > 0 && isSign(byte(to>>(24-8*back))) {
			v = to ^ (1<<(32-8*back) - 1)
			to = v - next
		}
		to = to&0x00ffffff | -(to >> 24 & 1 << 24) // 25 bits, the highest of them the sign
		binary.LittleEndian.PutUint32(b[i+1:], to)
		i += size
		f.recent = 0
	}
	return i
}

// isSign reports whether a byte is one that extends a sign.
func isSign(b byte) bool { return b == 0 || b == 0xff }

// words calls turn for each whole word of b that has size bytes.
func words(b []byte, size int, turn func(i int)) int {
	i := 0
	for ; i+size <= len(b); i += size {
		turn(i)
	}
	return i
}

// armFilter is for ARM: BL without a condition.
func armFilter(b []byte, at uint32) int {
	return words(b, 4, func(i int) {
		if b[i+3] != 0xeb {
			return
		}
		v := binary.LittleEndian.Uint32(b[i:])
		to := (v<<2 - (at + uint32(i) + 8)) >> 2
		binary.LittleEndian.PutUint32(b[i:], to&0x00ffffff|0xeb<<24)
	})
}

// thumbFilter is for ARM's Thumb: BL, which is two halves.
func thumbFilter(b []byte, at uint32) int {
	i := 0
	for ; i+4 <= len(b); i += 2 {
		high, low := binary.LittleEndian.Uint16(b[i:]), binary.LittleEndian.Uint16(b[i+2:])
		if high&0xf800 != 0xf000 || low&0xf800 != 0xf800 {
			continue
		}
		v := uint32(high&0x7ff)<<11 | uint32(low&0x7ff)
		to := (v<<1 - (at + uint32(i) + 4)) >> 1
		binary.LittleEndian.PutUint16(b[i:], 0xf000|uint16(to>>11&0x7ff))
		binary.LittleEndian.PutUint16(b[i+2:], 0xf800|uint16(to&0x7ff))
		i += 2
	}
	return i
}

// arm64Filter is for 64 bit ARM: BL, and ADRP where it goes no further than 512 MiB.
func arm64Filter(b []byte, at uint32) int {
	return words(b, 4, func(i int) {
		v, here := binary.LittleEndian.Uint32(b[i:]), at+uint32(i)
		switch {
		case v>>26 == 0x25:
			v = 0x25<<26 | (v-here>>2)&0x03ffffff
		case v&0x9f000000 == 0x90000000:
			page := v>>29&3 | v>>3&0x001ffffc
			if (page+1<<17)&0x001c0000 != 0 {
				return
			}
			to := page - here>>12
			v = v&0x9000001f | to&3<<29 | to&0x0003fffc<<3 | -(to&0x00020000)&0x00e00000
		default:
			return
		}
		binary.LittleEndian.PutUint32(b[i:], v)
	})
}

// ppcFilter is for PowerPC: BL of a relative address.
func ppcFilter(b []byte, at uint32) int {
	return words(b, 4, func(i int) {
		v := binary.BigEndian.Uint32(b[i:])
		if v&0xfc000003 == 0x48000001 {
			binary.BigEndian.PutUint32(b[i:], 0x48000001|(v-(at+uint32(i)))&0x03fffffc)
		}
	})
}

// sparcFilter is for SPARC: CALL of what is no further than 16 MiB.
func sparcFilter(b []byte, at uint32) int {
	return words(b, 4, func(i int) {
		v := binary.BigEndian.Uint32(b[i:])
		if high := v >> 22; high != 0x100 && high != 0x1ff {
			return
		}
		to := (v<<2 - (at + uint32(i))) >> 2
		sign := -(to >> 22 & 1) << 22 & 0x3fffffff
		binary.BigEndian.PutUint32(b[i:], 1<<30|sign|to&0x003fffff)
	})
}

// itaniumSlots says which of the three instructions of a bundle may be branches,
// by the bundle's template.
var itaniumSlots = [32]uint8{
	16: 4, 4, 6, 6, 0, 0, 7, 7, 4, 4, 0, 0, 4, 4, 0, 0,
}

// itaniumFilter is for Itanium: bundles of 16 bytes, in each of which are a template
// of 5 bits and three instructions of 41.
func itaniumFilter(b []byte, at uint32) int {
	return words(b, 16, func(i int) {
		for slot := range 3 {
			if itaniumSlots[b[i]&0x1f]>>slot&1 == 0 {
				continue
			}
			bit := 5 + 41*slot
			word := b[i+bit/8 : i+bit/8+6]
			raw := uint64(binary.LittleEndian.Uint32(word)) | uint64(binary.LittleEndian.Uint16(word[4:]))<<32
			code := raw >> (bit % 8)
			if code>>37&0xf != 5 || code>>9&7 != 0 { // br.call, and of the kind that has an address
				continue
			}
			v := uint32(code>>13)&0xfffff | uint32(code>>36&1)<<20
			to := (v<<4 - (at + uint32(i))) >> 4
			code = code&^(0x8fffff<<13) | uint64(to&0xfffff)<<13 | uint64(to>>20&1)<<36
			raw = raw&(1<<(bit%8)-1) | code<<(bit%8)
			binary.LittleEndian.PutUint32(word, uint32(raw))
			binary.LittleEndian.PutUint16(word[4:], uint16(raw>>32))
		}
	})
}

// deltaReader undoes the Delta filter: each byte is what is to be added to the one
// that stands a certain distance, 256 at most, before it.
type deltaReader struct {
	r    io.Reader
	past [256]byte
	dist uint8 // less one
	at   uint8
}

// Read implements io.Reader.
func (d *deltaReader) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	for i := range p[:n] {
		p[i] += d.past[d.at-d.dist-1]
		d.past[d.at] = p[i]
		d.at++
	}
	return n, err
}
