package unpack

// The methods of LHA's early days: lh1 and lh2, whose Huffman codes change with
// every symbol, and lh3, whose codes are static but written in their own way.

// lhShortest is the length of the first symbol behind the bytes.
const lhShortest = 3

// lhPositionLow is how many low bits of a position stand there as they are.
const lhPositionLow = 6

// lhCodes gives symbols and the positions of copies.
type lhCodes interface {
	symbol(b *bitReader) (int, error)
	position(b *bitReader, total int64) (int, error) // the high bits; total bytes have been decoded
}

// lhDecoder decodes symbols that are bytes, or lengths of copies.
type lhDecoder struct {
	bits  *bitReader
	codes lhCodes
}

func (d *lhDecoder) decode(w *lzWindow, upTo int) error {
	for w.end < upTo {
		if d.bits.ended() {
			return errLZEnd
		}
		c, err := d.codes.symbol(d.bits)
		if err != nil {
			return err
		}
		if c < 256 {
			w.put(byte(c))
			continue
		}
		p, err := d.codes.position(d.bits, w.total())
		if err != nil {
			return err
		}
		distance := p<<lhPositionLow | d.bits.take(lhPositionLow)
		if err := w.copy(distance+1, c-256+lhShortest); err != nil {
			return err
		}
	}
	return nil
}

// adaptive is a Huffman tree that changes with every symbol. Its nodes stand in
// the order of how often they were met, the root first.
type adaptive struct {
	freq   []uint32
	child  []int32 // of an inner node the second child, the first stands before it; of a leaf ^symbol
	parent []int32
	leaf   []int32 // where each symbol's leaf is
}

// newAdaptive makes a tree in which each of n symbols was met once, with room for
// as many as that.
func newAdaptive(n int) *adaptive {
	t := &adaptive{leaf: make([]int32, n)}
	t.grow(2*n - 1)
	for symbol := range n {
		at := len(t.freq) - 1 - symbol
		t.freq[at] = 1
		t.setChild(at, ^int32(symbol))
	}
	second := len(t.freq) - 1
	for at := n - 2; at >= 0; at-- {
		t.freq[at] = t.freq[second] + t.freq[second-1]
		t.setChild(at, int32(second))
		second -= 2
	}
	return t
}

func (t *adaptive) grow(n int) {
	for len(t.freq) < n {
		t.freq = append(t.freq, 0)
		t.child = append(t.child, 0)
		t.parent = append(t.parent, 0)
	}
}

// setChild says what a node holds.
func (t *adaptive) setChild(at int, child int32) {
	t.child[at] = child
	if child < 0 {
		t.leaf[^child] = int32(at)
		return
	}
	t.parent[child], t.parent[child-1] = int32(at), int32(at)
}

// next takes the code of a symbol.
func (t *adaptive) next(b *bitReader) int {
	at := t.child[0]
	for at >= 0 {
		at = t.child[int(at)-b.take(1)]
	}
	return int(^at)
}

// met counts a symbol once more, in all the nodes from its leaf up to the root,
// which counts for itself: before a node counts, it changes places with the first
// of those that were met as often.
func (t *adaptive) met(symbol int) {
	for at := int(t.leaf[symbol]); at > 0; at = int(t.parent[at]) {
		if first := t.first(at); first != at {
			mine, other := t.child[at], t.child[first]
			t.setChild(at, other)
			t.setChild(first, mine)
			at = first
		}
		t.freq[at]++
	}
}

// first is the first node, the root aside, that was met as often as another.
func (t *adaptive) first(at int) int {
	low, f := 1, t.freq[at]
	if t.freq[at-1] != f {
		return at
	}
	for high := at; low < high; {
		if middle := (low + high) / 2; t.freq[middle] > f {
			low = middle + 1
		} else {
			high = middle
			at = middle
		}
	}
	return at
}

// halve builds the tree anew with half of each symbol's count.
func (t *adaptive) halve() {
	type leaf struct {
		freq  uint32
		child int32
	}
	var leaves []leaf
	for at, child := range t.child {
		if child < 0 {
			leaves = append(leaves, leaf{(t.freq[at] + 1) / 2, child})
		}
	}
	second := len(t.freq) - 1 // of the pair that gets a parent next
	for at := len(t.freq) - 1; at >= 0; at-- {
		last := len(leaves) - 1
		var sum uint32
		paired := second-1 > at
		if paired {
			sum = t.freq[second] + t.freq[second-1]
		}
		if last >= 0 && (!paired || leaves[last].freq <= sum) {
			t.freq[at] = leaves[last].freq
			t.setChild(at, leaves[last].child)
			leaves = leaves[:last]
			continue
		}
		t.freq[at] = sum
		t.setChild(at, int32(second))
		second -= 2
	}
}

// adaptiveLimit is the count at which trees are built anew.
const adaptiveLimit = 0x8000

// symbol takes a symbol and counts it. The root's own count is that of all.
func (t *adaptive) symbol(b *bitReader) int {
	s := t.next(b)
	if t.freq[0] >= adaptiveLimit {
		t.halve()
	}
	t.freq[0]++
	t.met(s)
	return s
}

// lh1 has an adaptive tree for symbols, and for positions a code that is always
// the same.
type lh1 struct {
	symbols   *adaptive
	positions huffman
}

func newLH1() *lh1 {
	c := &lh1{symbols: newAdaptive(256 + 60 - lhShortest + 1)} // lengths up to 60
	c.positions.init(8)
	_ = c.positions.build(steps(64, 3, 1, 4, 12, 24, 48)) // as many codes as there can be: no error
	return c
}

// steps gives n lengths of codes: the first, and one more from each of the given
// symbols on.
func steps(n int, length byte, longer ...int) []byte {
	lengths := make([]byte, n)
	for i := range lengths {
		for len(longer) > 0 && longer[0] == i {
			longer = longer[1:]
			length++
		}
		lengths[i] = length
	}
	return lengths
}

func (c *lh1) symbol(b *bitReader) (int, error) { return c.symbols.symbol(b), nil }

func (c *lh1) position(b *bitReader, _ int64) (int, error) { return c.positions.next(b), nil }

const (
	lh2Symbols   = 286 // the last one has 8 bits more
	lh2Positions = 128
	lh2Extra     = 8
)

// lh2 has an adaptive tree for positions too. It begins with one leaf, and gets
// another one for each 64 bytes that have been decoded.
type lh2 struct {
	symbols, positions *adaptive
	total              int // of the positions that have been met
}

func newLH2() *lh2 {
	p := newAdaptive(1)
	p.leaf = make([]int32, lh2Positions)
	return &lh2{symbols: newAdaptive(lh2Symbols), positions: p}
}

func (c *lh2) symbol(b *bitReader) (int, error) {
	s := c.symbols.symbol(b)
	if s == lh2Symbols-1 {
		s += b.take(lh2Extra)
	}
	return s, nil
}

func (c *lh2) position(b *bitReader, total int64) (int, error) {
	t := c.positions
	for n := (len(t.freq) + 1) / 2; n < lh2Positions && total > int64(n)<<lhPositionLow; n++ {
		t.split(n)
		c.met(n)
	}
	p := t.next(b)
	c.met(p)
	return p, nil
}

// split makes the last leaf an inner node, with what it was as its first child and
// a new symbol, not met yet, as the second.
func (t *adaptive) split(symbol int) {
	last := len(t.freq) - 1
	t.grow(last + 3)
	t.freq[last+1] = t.freq[last]
	t.setChild(last+1, t.child[last])
	t.setChild(last+2, ^int32(symbol))
	t.setChild(last, int32(last+2))
}

func (c *lh2) met(p int) {
	t := c.positions
	if c.total == adaptiveLimit {
		t.halve()
		c.total = int(t.freq[0])
	}
	t.met(p)
	c.total++
}

// lh3 has blocks with static codes.
type lh3 struct {
	left               int // symbols that the block still has
	symbols, positions huffman
}

func newLH3() *lh3 {
	c := &lh3{}
	c.symbols.init(12)
	c.positions.init(8)
	return c
}

func (c *lh3) symbol(b *bitReader) (int, error) {
	if c.left == 0 {
		if err := c.block(b); err != nil {
			return 0, err
		}
	}
	c.left--
	s := c.symbols.next(b)
	if s < 0 {
		return 0, errLZCode
	}
	if s == lh2Symbols-1 {
		s += b.take(lh2Extra)
	}
	return s, nil
}

// block reads what stands in front of a block.
func (c *lh3) block(b *bitReader) error {
	c.left = b.take(16)
	if c.left == 0 {
		c.left = 1 << 16
	}
	length := func() byte {
		if b.take(1) == 0 {
			return 0
		}
		return byte(b.take(4) + 1)
	}
	if err := lh3Table(b, &c.symbols, lh2Symbols, 9, length); err != nil {
		return err
	}
	var err error
	if b.take(1) == 0 {
		err = c.positions.build(steps(lh2Positions, 2, 1, 1, 3, 6, 13, 31, 78))
	} else {
		err = lh3Table(b, &c.positions, lh2Positions, 7, func() byte { return byte(b.take(4)) })
	}
	if b.behind() > 0 {
		return errLZEnd
	}
	return err
}

// lh3Table reads the lengths of n codes. Three of length 1, which cannot be, are
// followed by the one symbol that there is.
func lh3Table(b *bitReader, h *huffman, n, width int, length func() byte) error {
	lengths := make([]byte, n)
	for i := range lengths {
		lengths[i] = length()
		if i == 2 && lengths[0] == 1 && lengths[1] == 1 && lengths[2] == 1 {
			s := b.take(width)
			if s >= n {
				return errLZTable
			}
			h.single(s)
			return nil
		}
	}
	return h.build(lengths)
}

func (c *lh3) position(b *bitReader, _ int64) (int, error) {
	p := c.positions.next(b)
	if p < 0 {
		return 0, errLZCode
	}
	return p, nil
}
