package unpack

import "slices"

// aceBits reads bits, the high ones of each word of 32 bits first, words being
// little-endian.
type aceBits struct {
	bitReader
	in    aceInput
	piece [acePiece]byte
}

// acePiece is how many bytes are turned at a time.
const acePiece = 4 << 10

func newACEBits(in aceInput) *aceBits {
	b := &aceBits{in: in}
	b.more = b.turned
	return b
}

// turned gives the next bytes, those of each word in the order in which its bits
// are read. A last word that is not whole is filled up with zeros.
func (b *aceBits) turned() []byte {
	n := b.in.read(b.piece[:])
	for ; n%4 != 0; n++ {
		b.piece[n] = 0
	}
	for word := range slices.Chunk(b.piece[:n], 4) {
		slices.Reverse(word)
	}
	return b.piece[:n]
}

// over reports whether bits were used that stand behind the end.
func (b *aceBits) over() bool { return b.behind() > 0 }

// golombRice takes a number: its low bits, and a one for each time that they overflow.
func (b *aceBits) golombRice(low int) int {
	n := b.take(low)
	for b.take(1) == 1 {
		n += 1 << low
	}
	return n
}

const (
	aceLongest    = 11 // bits of a code
	aceMaxSymbols = 290

	// aceNone stands in a table where a code has no symbol.
	aceNone = 0xffff
)

// aceCode decodes a Huffman code. Shorter codes come first; which of the symbols of
// one length is first is what the sorting makes of it.
type aceCode struct {
	longest int
	table   [1 << aceLongest]uint16 // symbol, by the next bits
	lengths [aceMaxSymbols]uint8

	// strict takes a code for damaged that has too many symbols, or too few of them
	// when one is met that is missing. The original leaves out the longest ones then,
	// and takes the first symbol.
	strict bool
	empty  bool // no symbol has a code
}

// build makes the table from the lengths of the first n symbols' codes, 0 for none.
func (c *aceCode) build(n, longest int) error {
	var sorted aceSorter
	for i, length := range c.lengths[:n] {
		sorted.lengths[i], sorted.symbols[i] = length, uint16(i)
	}
	sorted.sort(0, n-1)
	used := 0
	for used < n && sorted.lengths[used] > 0 {
		used++
	}
	if c.empty = used == 0; used < 2 { // a code of one symbol: one bit each, whatever the length
		c.lengths[sorted.symbols[0]] = 1
		used = 1
	}
	c.longest = longest
	rest := c.table[:1<<longest]
	for used > 0 && len(rest) > 0 {
		used--
		length := int(sorted.lengths[used])
		if length > longest {
			return errLZTable
		}
		size := 1 << (longest - length)
		fillWith(rest[:size], sorted.symbols[used])
		rest = rest[size:]
	}
	if c.strict && used > 0 {
		return errLZTable
	}
	missing := uint16(0)
	if c.strict {
		missing = aceNone
	}
	fillWith(rest, missing)
	return nil
}

func fillWith(table []uint16, v uint16) {
	for i := range table {
		table[i] = v
	}
}

// next takes a code and gives its symbol; -1 when there is no such code.
func (c *aceCode) next(b *aceBits) int {
	if b.count < aceLongest {
		b.fill()
	}
	symbol := c.table[b.bits>>(64-c.longest)]
	if symbol == aceNone {
		return -1
	}
	length := c.lengths[symbol]
	b.bits <<= length
	b.count -= int(length)
	return int(symbol)
}

const (
	aceLengthLongest = 7 // bits of a code for a length
	aceLengthBits    = 3
	aceLeastRun      = 4 // lengths that are left out
)

// read reads the lengths of codes for as many as most+1 symbols, packed with a code
// of their own, and makes the table.
func (c *aceCode) read(b *aceBits, longest, most int) error {
	n := min(b.take(9), most) + 1
	least, modulus := b.take(4), b.take(4)
	packing := aceCode{strict: c.strict}
	for i := range modulus + 1 {
		packing.lengths[i] = uint8(b.take(aceLengthBits))
	}
	if err := packing.build(modulus+1, aceLengthLongest); err != nil {
		return err
	}
	c.lengths = [aceMaxSymbols]uint8{}
	for i := 0; i < n; i++ {
		switch v := packing.next(b); {
		case v < 0:
			return errLZCode
		case v == modulus:
			i += b.take(4) + aceLeastRun - 1
		default:
			c.lengths[i] = uint8(v)
		}
	}
	c.unfold(n, least, modulus)
	if b.over() {
		return errLZEnd
	}
	return c.build(n, longest)
}

// unfold makes lengths of what stands for them: each is told by how much it differs
// from the one before.
func (c *aceCode) unfold(n, least, modulus int) {
	for i := 1; i < n && modulus > 0; i++ {
		c.lengths[i] = uint8((int(c.lengths[i]) + int(c.lengths[i-1])) % modulus)
	}
	for i := range c.lengths[:n] {
		if c.lengths[i] > 0 {
			c.lengths[i] += uint8(least)
		}
	}
}

// aceSorter sorts symbols by the lengths of their codes, the longest first. Equal ones
// come in whichever order this very algorithm leaves them: the encoder's does the same.
type aceSorter struct {
	lengths [aceMaxSymbols]uint8
	symbols [aceMaxSymbols]uint16
}

// sort is Hoare's quicksort, the last element being the pivot. It is deep only where
// lengths differ, of which there are few.
func (s *aceSorter) sort(from, to int) {
	if from >= to {
		return
	}
	left, right, pivot := from, to, s.lengths[to]
	for {
		for s.lengths[left] > pivot {
			left++
		}
		for s.lengths[right] < pivot {
			right--
		}
		if left <= right {
			s.swap(left, right)
			left++
			right--
		}
		if left >= right {
			break
		}
	}
	s.part(from, right)
	s.part(left, to)
}

// part sorts one of the two parts; the original swaps a pair only if it has to.
func (s *aceSorter) part(from, to int) {
	switch {
	case to-from > 1:
		s.sort(from, to)
	case to-from == 1 && s.lengths[from] < s.lengths[to]:
		s.swap(from, to)
	}
}

func (s *aceSorter) swap(i, j int) {
	s.lengths[i], s.lengths[j] = s.lengths[j], s.lengths[i]
	s.symbols[i], s.symbols[j] = s.symbols[j], s.symbols[i]
}

// aceComment unpacks a comment, of 32 KB at the most: copies are of what stood last
// behind two bytes of the same sum.
func aceComment(packed []byte) ([]byte, error) {
	b := newACEBits(aceInput{data: packed})
	size := b.take(15)
	var code aceCode
	if err := code.read(b, aceLongest, aceMainSymbols); err != nil {
		return nil, err
	}
	var last [2*255 + 1]int
	var text []byte
	for len(text) < size {
		from := 0
		if n := len(text); n > 1 {
			sum := int(text[n-1]) + int(text[n-2])
			from, last[sum] = last[sum], n
		}
		symbol := code.next(b)
		if b.over() || symbol < 0 {
			return text, errLZEnd
		}
		if symbol < aceLiterals {
			text = append(text, byte(symbol))
			continue
		}
		for i := range symbol - aceLiterals + aceLeastCopy {
			if from+i >= len(text) {
				return text, errLZReach
			}
			text = append(text, text[from+i])
		}
	}
	return text[:size], nil
}
