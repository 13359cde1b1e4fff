package unpack

import (
	"io"
	"slices"
)

// Static Huffman codes: the methods lh4 to lh7 and lhx of LHA, LHARK's own lh7,
// and 1 to 3 of ARJ. A member is a row of blocks, each with its tables in front.

const (
	// huffmanLongest is the length in bits to which codes can grow.
	huffmanLongest = 24

	// huffmanNone stands in a table where the code is longer than the table's
	// bits, or there is none.
	huffmanNone = 0xffff
)

// huffman decodes a canonical Huffman code: shorter codes come first, and among
// those of one length the smaller symbol.
type huffman struct {
	bits    int      // that table is looked up by
	table   []uint16 // symbol<<5 | length
	symbols []uint16 // in the order of their codes
	count   [huffmanLongest + 1]int
}

// init makes room for tables of so many bits.
func (h *huffman) init(bits int) {
	h.bits, h.table = bits, make([]uint16, 1<<bits)
}

// single makes every code, of no bits at all, that of one symbol.
func (h *huffman) single(symbol int) {
	h.fill(h.table, uint16(symbol<<5))
}

func (*huffman) fill(table []uint16, v uint16) {
	for i := range table {
		table[i] = v
	}
}

// build makes the tables for symbols with codes of these lengths; those of length
// 0 have none. Some codes may be left over, but not too few.
func (h *huffman) build(lengths []byte) error {
	h.count = [huffmanLongest + 1]int{}
	for _, n := range lengths {
		if n > huffmanLongest {
			return errLZTable
		}
		h.count[n]++
	}
	var next [huffmanLongest + 1]int // where in symbols those of a length go
	room, coded := 1, 0
	for n := 1; n <= huffmanLongest; n++ {
		next[n] = coded
		coded += h.count[n]
		if room = room<<1 - h.count[n]; room < 0 {
			return errLZTable
		}
	}
	h.symbols = slices.Grow(h.symbols[:0], coded)[:coded]
	for symbol, n := range lengths {
		if n > 0 {
			h.symbols[next[n]] = uint16(symbol)
			next[n]++
		}
	}
	h.fillTable()
	return nil
}

// fillTable sets table by what count and symbols say.
func (h *huffman) fillTable() {
	at, i := 0, 0
	for n := 1; n <= h.bits; n++ {
		width := 1 << (h.bits - n)
		for range h.count[n] {
			h.fill(h.table[at:at+width], h.symbols[i]<<5|uint16(n))
			at += width
			i++
		}
	}
	h.fill(h.table[at:], huffmanNone)
}

// long finds the code that bits begins with bit by bit.
func (h *huffman) long(bits uint64) (symbol, length int, ok bool) {
	code, first, index := 0, 0, 0
	for length, n := range h.count[1:] {
		code |= int(bits >> 63)
		bits <<= 1
		if code-first < n {
			return int(h.symbols[index+code-first]), length + 1, true
		}
		index += n
		first = (first + n) << 1
		code <<= 1
	}
	return 0, 0, false
}

// next takes a code and gives its symbol; -1 when there is no such code.
func (h *huffman) next(b *bitReader) int {
	if b.count < huffmanLongest {
		b.fill()
	}
	e := h.table[b.bits>>(64-h.bits)]
	symbol, length := int(e>>5), int(e&31)
	if e == huffmanNone {
		var ok bool
		if symbol, length, ok = h.long(b.bits); !ok {
			return -1
		}
	}
	b.bits <<= length
	b.count -= length
	return symbol
}

const (
	lzhSymbols  = 510 // bytes, and lengths of 3 to 256
	lzhLiterals = 256
	lzhLongest  = 16 // bits of a code
	lzhTable    = 12 // bits by which codes are looked up

	// lzhShortest is the length of the first symbol behind the bytes.
	lzhShortest = 3
)

// lzhDecoder decodes blocks with static Huffman codes.
type lzhDecoder struct {
	bits         *bitReader
	positionBits int  // of the number of position codes
	lhark        bool // LHARK's way to write lengths and positions
	empty        bool // a block of 0 codes has none
	ends         bool // a block of 0 codes is behind the last one

	left      int  // codes that the block still has
	metEmpty  bool // there was a block of 0 codes
	codes     huffman
	positions huffman // in front of a block: of the lengths of codes
	lengths   [1 << 9]byte
}

func newLZH(bits *bitReader, positionBits int) *lzhDecoder {
	d := &lzhDecoder{bits: bits, positionBits: positionBits}
	d.codes.init(lzhTable)
	d.positions.init(8)
	return d
}

// newLHARK decodes what LHARK 0.4 calls lh7.
func newLHARK(bits *bitReader) *lzhDecoder {
	d := newLZH(bits, 6)
	d.lhark = true
	return d
}

func (d *lzhDecoder) decode(w *lzWindow, upTo int) error {
	for w.end < upTo {
		if d.bits.ended() {
			return errLZEnd
		}
		if d.left == 0 {
			if err := d.block(); err != nil {
				return err
			}
		}
		if err := d.run(w, upTo); err != nil {
			return err
		}
	}
	return nil
}

// block reads what stands in front of a block: the number of its codes, and the
// tables.
func (d *lzhDecoder) block() error {
	d.left = d.bits.take(16)
	if d.bits.behind() > 0 {
		return errLZEnd
	}
	if d.left == 0 {
		if d.ends {
			return io.EOF
		}
		d.metEmpty = true
		if !d.empty {
			d.left = 1 << 16 // what the counter of LHA makes of it, which has 16 bits
		}
	}
	if err := d.readLengths(&d.positions, 5, 3); err != nil {
		return err
	}
	if err := d.readCodes(); err != nil {
		return err
	}
	err := d.readLengths(&d.positions, d.positionBits, -1)
	if d.bits.behind() > 0 {
		return errLZEnd // zeros would be a block of 65,536 bytes of no bits each
	}
	return err
}

// readLengths reads a table whose lengths stand there as they are. Behind the one
// at gap a number tells how many follow that have no code.
func (d *lzhDecoder) readLengths(h *huffman, width, gap int) error {
	n := d.bits.take(width)
	if n == 0 {
		h.single(d.bits.take(width))
		return nil
	}
	lengths := d.lengths[:0]
	for len(lengths) < n {
		length := d.bits.take(3)
		for length >= 7 && d.bits.take(1) == 1 {
			if length++; length > lzhLongest {
				return errLZTable
			}
		}
		lengths = append(lengths, byte(length))
		if len(lengths) == gap {
			lengths = append(lengths, make([]byte, d.bits.take(2))...)
		}
	}
	return h.build(lengths[:n])
}

// readCodes reads the table of bytes and lengths, itself written in the code that
// d.positions holds.
func (d *lzhDecoder) readCodes() error {
	n := d.bits.take(9)
	if n == 0 {
		symbol := d.bits.take(9)
		if symbol >= lzhSymbols {
			return errLZTable
		}
		d.codes.single(symbol)
		return nil
	}
	lengths := d.lengths[:min(n, lzhSymbols)]
	for i := 0; i < len(lengths); {
		c := d.positions.next(d.bits)
		if c > 2 {
			if c > lzhLongest+2 {
				return errLZTable
			}
			lengths[i] = byte(c - 2)
			i++
			continue
		}
		skip := i
		switch c {
		case 0:
			skip++
		case 1:
			skip += d.bits.take(4) + 3
		case 2:
			skip += d.bits.take(9) + 20
		default:
			return errLZCode
		}
		skip = min(skip, len(lengths))
		clear(lengths[i:skip])
		i = skip
	}
	return d.codes.build(lengths)
}

// run decodes codes of one block. It keeps the next bits at hand, in variables of
// its own.
func (d *lzhDecoder) run(w *lzWindow, upTo int) error {
	b, table := d.bits, (*[1 << lzhTable]uint16)(d.codes.table)
	bits, count := b.bits, b.count
	for w.end < upTo && d.left > 0 {
		if count < lzhLongest {
			b.bits, b.count = bits, count
			b.fill()
			bits, count = b.bits, b.count
		}
		e := table[bits>>(64-lzhTable)]
		c, length := int(e>>5), int(e&31)
		if e == huffmanNone {
			var ok bool
			if c, length, ok = d.codes.long(bits); !ok {
				return errLZCode
			}
		}
		bits <<= length
		count -= length
		d.left--
		if c < lzhLiterals {
			w.put(byte(c))
			continue
		}
		b.bits, b.count = bits, count
		if err := d.match(w, c); err != nil {
			return err
		}
		bits, count = b.bits, b.count
	}
	b.bits, b.count = bits, count
	return nil
}

// match decodes what follows the code of a length, and copies.
func (d *lzhDecoder) match(w *lzWindow, c int) error {
	b := d.bits
	length := c - lzhLiterals + lzhShortest
	if d.lhark {
		length = lharkLength(b, c)
	}
	p := d.positions.next(b)
	if p < 0 {
		return errLZCode
	}
	distance := p
	switch {
	case d.lhark:
		distance = lharkPosition(b, p)
	case p > 1:
		if p > 24 {
			return errLZReach
		}
		distance = 1<<(p-1) | b.take(p-1)
	}
	return w.copy(distance+1, length)
}

// lharkLength is the length that a code of LHARK's begins: 16 times 4 steps that
// grow, the last of all 514.
func lharkLength(b *bitReader, c int) int {
	switch {
	case c < 264:
		return c - lzhLiterals + lzhShortest
	case c < 288:
		n := (c - 260) / 4
		return (4+c%4)<<n + b.take(n) + lzhShortest
	}
	return 514
}

// lharkPosition is the position that a code of LHARK's begins, with one bit more
// than LHA's have.
func lharkPosition(b *bitReader, p int) int {
	if p < 4 {
		return p
	}
	n := (p - 2) / 2
	return (2+p%2)<<n + b.take(n)
}
