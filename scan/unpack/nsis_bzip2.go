package unpack

import (
	"fmt"
	"io"
)

// The bzip2 of NSIS: blocks as those of bzip2, of 900,000 bytes, behind one byte
// instead of six and without checksums (Source/bzip2/decompress.c of NSIS).

const (
	nsisBzip2Block = 0x31 // begins a block
	nsisBzip2End   = 0x17 // ends the stream

	nsisBzip2Most   = 900_000
	nsisBzip2Group  = 50 // symbols that one code is used for
	nsisBzip2Length = 20 // bits of the longest code
)

var errNSISBzip2 = fmt.Errorf("%w: block of bzip2", ErrDamaged)

// nsisBunzip unpacks a stream.
type nsisBunzip struct {
	bits bitReader
	err  error

	codes     [6]huffman
	selectors []byte
	move      [256]byte // the bytes that occur, the last one met first
	used      int

	// The block as it was before it was sorted: of each byte, where the one behind
	// it is, and in the lowest 8 bits the byte itself.
	chain []uint32
	at    uint32
	left  int // of chain

	last, equal byte // the byte before, and how often it has stood there in a row
	repeat      int  // how often it is still to be given
}

// Read implements io.Reader.
func (z *nsisBunzip) Read(p []byte) (int, error) {
	for {
		if n := z.take(p); n > 0 || len(p) == 0 {
			return n, nil
		}
		if z.err != nil {
			return 0, z.err
		}
		z.err = z.block()
	}
}

// take gives bytes of the block, of which four equal ones are followed by the
// number of those that are left out.
func (z *nsisBunzip) take(p []byte) (n int) {
	for n < len(p) {
		switch {
		case z.repeat > 0:
			z.repeat--
			p[n] = z.last
			n++
			continue
		case z.left == 0:
			return n
		}
		z.left--
		e := z.chain[z.at]
		z.at = e >> 8
		c := byte(e)
		switch {
		case z.equal == 4:
			z.repeat, z.equal = int(c), 0
			continue
		case z.equal > 0 && c == z.last:
			z.equal++
		default:
			z.last, z.equal = c, 1
		}
		p[n] = c
		n++
	}
	return n
}

// block reads the next block; io.EOF when there is none.
func (z *nsisBunzip) block() error {
	switch z.bits.take(8) {
	case nsisBzip2End:
		return io.EOF
	case nsisBzip2Block:
	default:
		if z.bits.behind() > 0 {
			return errShort
		}
		return errNSISBzip2
	}
	z.at = uint32(z.bits.take(24))
	if err := z.tables(); err != nil {
		return err
	}
	if err := z.symbols(); err != nil {
		return err
	}
	if int(z.at) >= len(z.chain) {
		return errNSISBzip2
	}
	z.unsort()
	z.left, z.equal = len(z.chain), 0
	return nil
}

// tables reads which bytes occur, and the codes.
func (z *nsisBunzip) tables() error {
	rows := z.bits.take(16)
	z.used = 0
	for row := range 16 {
		if rows>>(15-row)&1 == 0 {
			continue
		}
		columns := z.bits.take(16)
		for column := range 16 {
			if columns>>(15-column)&1 != 0 {
				z.move[z.used] = byte(row<<4 | column)
				z.used++
			}
		}
	}
	codes, n := z.bits.take(3), z.bits.take(15)
	if z.used == 0 || codes < 2 || codes > len(z.codes) || n == 0 {
		return errNSISBzip2
	}
	if err := z.readSelectors(codes, n); err != nil {
		return err
	}
	for i := range codes {
		if err := z.code(&z.codes[i]); err != nil {
			return err
		}
	}
	return nil
}

// readSelectors reads which code each group of symbols is in.
func (z *nsisBunzip) readSelectors(codes, n int) error {
	recent := [...]byte{0, 1, 2, 3, 4, 5}
	z.selectors = z.selectors[:0]
	for range n {
		i := 0
		for z.bits.take(1) == 1 {
			if i++; i == codes {
				return errNSISBzip2
			}
		}
		s := recent[i]
		copy(recent[1:i+1], recent[:i])
		recent[0] = s
		z.selectors = append(z.selectors, s)
	}
	if z.bits.behind() > 0 {
		return errShort
	}
	return nil
}

// code reads the lengths of a code: each is told by how much it differs from the
// one before.
func (z *nsisBunzip) code(h *huffman) error {
	if h.table == nil {
		h.init(10)
	}
	var lengths [258]byte
	length := z.bits.take(5)
	for i := range lengths[:z.used+2] {
		for {
			if length < 1 || length > nsisBzip2Length {
				return errNSISBzip2
			}
			if z.bits.take(1) == 0 {
				break
			}
			length += 1 - 2*z.bits.take(1)
		}
		lengths[i] = byte(length)
	}
	if z.bits.behind() > 0 {
		return errShort
	}
	return h.build(lengths[:z.used+2])
}

// symbols reads the bytes of a block, sorted: runs of the byte that was met last,
// and places of others among those met before.
func (z *nsisBunzip) symbols() error {
	z.chain = z.chain[:0]
	run, bit := 0, 1
	for _, s := range z.selectors {
		if z.bits.behind() > 0 {
			return errShort
		}
		for range nsisBzip2Group {
			symbol := z.codes[s].next(&z.bits)
			if symbol == 0 || symbol == 1 {
				run += bit << symbol
				if bit <<= 1; run > nsisBzip2Most {
					return errNSISBzip2
				}
				continue
			}
			if len(z.chain)+run >= nsisBzip2Most+1 {
				return errNSISBzip2
			}
			for range run {
				z.chain = append(z.chain, uint32(z.move[0]))
			}
			run, bit = 0, 1
			switch {
			case symbol < 0:
				return errNSISBzip2
			case symbol == z.used+1:
				return nil
			}
			c := z.move[symbol-1]
			copy(z.move[1:symbol], z.move[:symbol-1])
			z.move[0] = c
			z.chain = append(z.chain, uint32(c))
		}
	}
	return errNSISBzip2
}

// unsort undoes the sorting, the Burrows-Wheeler transform.
func (z *nsisBunzip) unsort() {
	var place [256]uint32
	for _, c := range z.chain {
		place[byte(c)]++
	}
	sum := uint32(0)
	for c, n := range place {
		place[c] = sum
		sum += n
	}
	for i, c := range z.chain {
		to := &z.chain[place[byte(c)]]
		*to |= uint32(i) << 8
		place[byte(c)]++
	}
	z.at = z.chain[z.at] >> 8
}
