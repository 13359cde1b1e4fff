package unpack

import (
	"fmt"
	"io"
	"iter"
)

// compressOpener opens files of Unix compress: LZW in codes of 9 to 16 bits. The
// format has neither a length nor a checksum, so that one is cut off shows only
// when a code is.
var compressOpener = opener{name: "compress", match: compressMatch, entries: compressEntries}

const (
	compressHeader = 3
	compressBits   = 0x1f // of the flags: how long codes get
	compressBlock  = 0x80 // there is a code that empties the table
	compressOther  = 0x60 // of no use

	lzwFirst = 9  // bits of the first codes
	lzwMost  = 16 // bits of the longest
	lzwClear = 256
)

func compressMatch(data []byte) bool {
	if len(data) < compressHeader || data[0] != 0x1f || data[1] != 0x9d || data[2]&compressOther != 0 {
		return false
	}
	bits := data[2] & compressBits
	return bits >= lzwFirst && bits <= lzwMost
}

func compressEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		flags := f.Data[2]
		z := &lzw{most: int(flags & compressBits), block: flags&compressBlock != 0}
		z.reset(f.Data[compressHeader:])
		yield(member{name: nameLess(f.Name, ".z", "", ".taz", ".tar"), body: z}, nil)
	}
}

// lzw unpacks LZW as compress writes it, or ARC and Zoo, who have it from there.
type lzw struct {
	src   []byte
	most  int  // bits of the longest codes
	block bool // there is a code that empties the table
	end   int  // the code behind that one ends the bytes, where it is not 0
	loose bool // a new width begins with the next code, not with a group of them

	width  int // of the codes
	bit    int // of src, at which the next code begins
	group  int // of src, at which the codes of this width began
	next   int // the next code to be defined
	last   int // the code before; -1: none
	first  byte
	prefix [1 << lzwMost]uint16
	suffix [1 << lzwMost]byte
	left   []byte // unpacked, to be handed out
	stack  [1<<lzwMost + 1]byte
	err    error
}

// reset begins on other bytes.
func (z *lzw) reset(src []byte) {
	z.src, z.bit, z.group, z.left, z.err = src, 0, 0, nil, nil
	z.clear()
}

// clear empties the table.
func (z *lzw) clear() {
	z.width, z.last, z.next = lzwFirst, -1, 256
	switch {
	case z.end != 0:
		z.next = z.end + 1
	case z.block:
		z.next = lzwClear + 1
	}
}

// Read implements io.Reader.
func (z *lzw) Read(p []byte) (int, error) {
	for len(z.left) == 0 {
		if z.err != nil {
			return 0, z.err
		}
		z.err = z.step()
	}
	n := copy(p, z.left)
	z.left = z.left[n:]
	return n, nil
}

// code reads a code.
func (z *lzw) code() (int, error) {
	at, shift := z.bit/8, z.bit%8
	left := 8*len(z.src) - z.bit
	if left < z.width {
		if left >= 8 {
			return 0, fmt.Errorf("%w: cut short", ErrDamaged)
		}
		return 0, io.EOF
	}
	v := 0
	for i := range min(3, len(z.src)-at) {
		v |= int(z.src[at+i]) << (8 * i)
	}
	z.bit += z.width
	return v >> shift & (1<<z.width - 1), nil
}

// skip passes over what is left of a group of eight codes: they are written
// together, and a new width begins with a new group.
func (z *lzw) skip() {
	if z.loose {
		return
	}
	size := 8 * z.width
	z.bit = z.group + (z.bit-z.group+size-1)/size*size
	z.group = z.bit
}

// step reads a code and unpacks it.
func (z *lzw) step() error {
	code, err := z.code()
	if err != nil {
		return err
	}
	if code == lzwClear && z.block {
		z.skip()
		z.clear()
		return nil
	}
	if code == z.end && z.end != 0 {
		return io.EOF
	}
	if code > z.next || code == z.next && z.last < 0 || z.last < 0 && code > 255 {
		return fmt.Errorf("%w: code %d", ErrDamaged, code)
	}
	at := len(z.stack)
	c := code
	if code == z.next { // the string before, and its first byte once more
		at--
		z.stack[at] = z.first
		c = z.last
	}
	for ; c > 255; c = int(z.prefix[c]) {
		at--
		z.stack[at] = z.suffix[c]
	}
	at--
	z.stack[at] = byte(c)
	z.first = byte(c)
	z.left = z.stack[at:]
	z.define()
	z.last = code
	return nil
}

// define adds the string before with the first byte of this one.
func (z *lzw) define() {
	if z.last < 0 || z.next >= 1<<z.most {
		return
	}
	z.prefix[z.next], z.suffix[z.next] = uint16(z.last), z.first
	z.next++
	if z.next >= 1<<z.width && z.width < z.most {
		z.skip()
		z.width++
	}
}
