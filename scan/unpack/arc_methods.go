package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// arcMethods opens members, one after the other: tables are kept.
type arcMethods struct {
	lzw     *lzw
	crunch  *arcCrunch
	squeeze *arcSqueeze
}

// open unpacks the bytes of a member. The next call may end the reader of the one
// before.
func (a *arcMethods) open(method byte, packed []byte) (io.Reader, error) {
	switch method {
	case arcStoredOld, arcStored:
		return bytes.NewReader(packed), nil
	case 3: // packed
		return &arcRuns{r: bytes.NewReader(packed)}, nil
	case 4: // squeezed
		a.squeeze = &arcSqueeze{}
		return &arcRuns{r: bytesOf(a.squeeze.reset(packed))}, nil
	case 5: // crunched, in ARC 4
		return a.crunched(packed, false), nil
	case 6:
		return &arcRuns{r: bytesOf(a.crunched(packed, false))}, nil
	case 7: // in ARC 4.6, which was hardly given to anybody
		return &arcRuns{r: bytesOf(a.crunched(packed, true))}, nil
	case 8: // crunched, in ARC 5
		r, err := a.compressed(packed)
		return &arcRuns{r: bytesOf(r)}, err
	case 9: // squashed, by PKARC
		return a.lzwOf(packed, 13), nil
	case 0x7f: // of Spark
		return a.compressed(packed)
	}
	return nil, fmt.Errorf("%w: number %d", ErrUnsupported, method)
}

// compressed unpacks LZW behind a byte that says how long codes get.
func (a *arcMethods) compressed(packed []byte) (io.Reader, error) {
	if len(packed) == 0 {
		return nil, errShort
	}
	most := int(packed[0] & compressBits)
	if most < lzwFirst || most > lzwMost {
		return nil, fmt.Errorf("%w: codes of %d bits", ErrDamaged, most)
	}
	return a.lzwOf(packed[1:], most), nil
}

func (a *arcMethods) lzwOf(packed []byte, most int) io.Reader {
	if a.lzw == nil {
		a.lzw = &lzw{block: true}
	}
	a.lzw.most = most
	a.lzw.reset(packed)
	return a.lzw
}

func (a *arcMethods) crunched(packed []byte, fast bool) io.Reader {
	if a.crunch == nil {
		a.crunch = &arcCrunch{}
	}
	a.crunch.reset(packed, fast)
	return a.crunch
}

// arcChecked checks a member's CRC at its end. Some lack the code for their end:
// what comes behind the bytes that the header counts is handed out, but it is no
// damage if those were right.
type arcChecked struct {
	r     io.Reader
	size  int64 // by the header
	n     int64
	crc   uint16
	want  uint16
	right bool
}

// Read implements io.Reader.
func (c *arcChecked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.n < c.size && c.n+int64(n) >= c.size {
		c.right = arcCRC(c.crc, p[:c.size-c.n]) == c.want
	}
	c.n += int64(n)
	c.crc = arcCRC(c.crc, p[:n])
	switch {
	case err != nil && c.right:
		err = io.EOF
	case err == io.EOF && c.crc != c.want:
		err = errARCSum
	}
	c.right = c.right || err == io.EOF
	return n, err
}

// errARCSum says that a member's checksum is wrong.
var errARCSum = fmt.Errorf("%w: wrong checksum", ErrDamaged)

// arcRepeat goes between a byte and how often it stands there in all; with 0 it is
// meant itself.
const arcRepeat = 0x90

// arcRuns unpacks runs of a byte.
type arcRuns struct {
	r      io.ByteReader
	last   byte
	repeat int
	err    error
}

// Read implements io.Reader.
func (u *arcRuns) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if u.repeat == 0 && u.err == nil {
			u.err = u.next()
		}
		if u.repeat == 0 && u.err != nil {
			break
		}
		for n < len(p) && u.repeat > 0 {
			p[n] = u.last
			n++
			u.repeat--
		}
	}
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, u.err
}

// next reads a byte, or how often the last one is repeated.
func (u *arcRuns) next() error {
	c, err := u.r.ReadByte()
	if err != nil {
		return err
	}
	if c != arcRepeat {
		u.last, u.repeat = c, 1
		return nil
	}
	count, err := u.r.ReadByte()
	switch {
	case err == io.EOF:
		return errShort
	case err != nil:
		return err
	case count == 0:
		u.last, u.repeat = arcRepeat, 1
	default:
		u.repeat = int(count) - 1 // it has been given once
	}
	return nil
}

// arcSqueeze unpacks a Huffman code whose tree stands in front: of each node two
// numbers, another node, or, when it is negative, a byte's complement.
type arcSqueeze struct {
	nodes [][2]int16
	src   []byte
	bits  uint // the lowest is the next
	held  int
	err   error
}

const (
	arcSqueezeNodes = 257
	arcSqueezeEnd   = 256 // in place of a byte
)

// reset begins on other bytes.
func (s *arcSqueeze) reset(src []byte) *arcSqueeze {
	if len(src) < 2 {
		s.err = errShort
		return s
	}
	n := int(binary.LittleEndian.Uint16(src))
	src = src[2:]
	switch {
	case n > arcSqueezeNodes:
		s.err = fmt.Errorf("%w: tree of %d nodes", ErrDamaged, n)
		return s
	case n == 0:
		s.err = io.EOF
		return s
	case len(src) < 4*n:
		s.err = errShort
		return s
	}
	for range n {
		s.nodes = append(s.nodes, [2]int16{int16(binary.LittleEndian.Uint16(src)), int16(binary.LittleEndian.Uint16(src[2:]))})
		src = src[4:]
	}
	s.src = src
	return s
}

// Read implements io.Reader.
func (s *arcSqueeze) Read(p []byte) (n int, err error) {
	for n < len(p) && s.err == nil {
		var c int
		if c, s.err = s.next(); s.err == nil {
			p[n] = byte(c)
			n++
		}
	}
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, s.err
}

// next decodes a byte.
func (s *arcSqueeze) next() (c int, err error) {
	node := 0
	for {
		if s.held == 0 {
			if len(s.src) == 0 {
				return 0, errShort
			}
			s.bits, s.held, s.src = uint(s.src[0]), 8, s.src[1:]
		}
		to := int(s.nodes[node][s.bits&1])
		s.bits >>= 1
		s.held--
		switch {
		case to >= len(s.nodes):
			return 0, errLZCode
		case to >= 0:
			node = to
			continue
		}
		if c = -(to + 1); c == arcSqueezeEnd {
			return 0, io.EOF
		}
		if c > arcSqueezeEnd {
			return 0, errLZCode
		}
		return c, nil
	}
}

// arcCrunch unpacks LZW in codes of 12 bits, which are not given in turn: each is
// the place of its string in a hash table.
type arcCrunch struct {
	bits  bitReader
	fast  bool // the hash is another one
	table [1 << arcCrunchBits]arcString
	count int // strings in the table
	last  int // the code before; -1: none
	first byte
	left  []byte // unpacked, to be handed out
	stack [1<<arcCrunchBits + 1]byte
	err   error
}

// arcString is a string: another one, and a byte behind it.
type arcString struct {
	used   bool
	prefix uint16 // arcNoPrefix: none
	suffix byte
	next   uint16 // of those with the same hash; 0: none
}

const (
	arcCrunchBits = 12
	arcNoPrefix   = 0xffff
	arcCollision  = 101 // how far away another place is looked for
)

// reset begins on other bytes. The strings of one byte are there from the start.
func (c *arcCrunch) reset(src []byte, fast bool) {
	*c = arcCrunch{bits: bitReader{data: src}, fast: fast, last: -1}
	for b := range 256 {
		c.define(arcNoPrefix, byte(b))
	}
}

// hash says where a string would like to be.
func (c *arcCrunch) hash(prefix uint16, suffix byte) int {
	sum := uint(prefix + uint16(suffix))
	if c.fast {
		return int(sum * 15073 & (1<<arcCrunchBits - 1))
	}
	sum |= 0x800
	return int(sum * sum >> 6 & (1<<arcCrunchBits - 1))
}

// define adds a string to the table, if there is room.
func (c *arcCrunch) define(prefix uint16, suffix byte) {
	if c.count == len(c.table) {
		return
	}
	at := c.hash(prefix, suffix)
	if c.table[at].used {
		for c.table[at].next != 0 {
			at = int(c.table[at].next)
		}
		before := at
		at = (at + arcCollision) % len(c.table)
		for c.table[at].used {
			at = (at + 1) % len(c.table)
		}
		c.table[before].next = uint16(at)
	}
	c.table[at] = arcString{used: true, prefix: prefix, suffix: suffix}
	c.count++
}

// Read implements io.Reader.
func (c *arcCrunch) Read(p []byte) (int, error) {
	for len(c.left) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		c.err = c.step()
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

// step reads a code and unpacks it. The bits that are left at the end are none.
func (c *arcCrunch) step() error {
	code := c.bits.take(arcCrunchBits)
	if c.bits.behind() > 0 {
		return io.EOF
	}
	at, s := len(c.stack), code
	if !c.table[code].used { // the string before, and its first byte once more
		if c.last < 0 {
			return fmt.Errorf("%w: code %d", ErrDamaged, code)
		}
		at--
		c.stack[at] = c.first
		s = c.last
	}
	for {
		if at == 0 {
			return errLZCode
		}
		at--
		c.stack[at] = c.table[s].suffix
		if c.table[s].prefix == arcNoPrefix {
			break
		}
		s = int(c.table[s].prefix)
	}
	c.left, c.first = c.stack[at:], c.stack[at]
	if c.last >= 0 {
		c.define(uint16(c.last), c.first)
	}
	if !c.table[code].used {
		return fmt.Errorf("%w: code %d", ErrDamaged, code)
	}
	c.last = code
	return nil
}
