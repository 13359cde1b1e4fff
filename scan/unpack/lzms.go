package unpack

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// lzmsDecoder unpacks LZMS, which Microsoft never described (wimlib's lzms_decompress.c
// does). A chunk is read from both of its ends: from the start decisions, as bits of a
// range coder; from the end all else, as symbols of adaptive Huffman codes.
type lzmsDecoder struct {
	memory *memory
	taken  int64
	out    []byte
	size   int // that out shall have

	ranges   lzmsRanges
	bits     lzmsBits
	literals lzmsCode
	lengths  lzmsCode
	offsets  [2]lzmsCode // of matches, of delta matches
	powers   lzmsCode

	item, match lzmsChoice
	explicit    [2]lzmsChoice // whether an offset stands there, or is one of the last
	last        [2][2]lzmsChoice
	recent      [2]lzmsRecent

	targets []int32 // for programs
}

const (
	lzmsMaxBits = 15 // the longest code
	lzmsOver    = 8  // words that may be read beyond the end
	lzmsLZ      = 0
	lzmsDelta   = 1
)

var errLZMS = fmt.Errorf("%w: LZMS", ErrDamaged)

// lzmsSlots are the first values and the numbers of extra bits of symbols that stand
// for lengths or offsets. They are told as runs of symbols with as many bits.
type lzmsSlots struct {
	base  []int
	extra []uint8
}

func newLZMSSlots(runs ...[2]int) (s lzmsSlots) {
	base := 1
	for _, run := range runs {
		for range run[1] {
			s.base, s.extra = append(s.base, base), append(s.extra, uint8(run[0]))
			base += 1 << run[0]
		}
	}
	return s
}

var (
	lzmsLengths = newLZMSSlots([2]int{0, 26}, [2]int{1, 4}, [2]int{2, 6}, [2]int{3, 4}, [2]int{4, 5}, [2]int{5, 2}, [2]int{6, 1},
		[2]int{7, 1}, [2]int{8, 1}, [2]int{9, 1}, [2]int{10, 1}, [2]int{16, 1}, [2]int{30, 1})
	lzmsOffsets = newLZMSSlots([2]int{0, 8}, [2]int{2, 9}, [2]int{3, 7}, [2]int{4, 10}, [2]int{5, 15}, [2]int{6, 15}, [2]int{7, 20},
		[2]int{8, 20}, [2]int{9, 30}, [2]int{10, 33}, [2]int{11, 40}, [2]int{12, 42}, [2]int{13, 45}, [2]int{14, 60}, [2]int{15, 73},
		[2]int{16, 80}, [2]int{17, 85}, [2]int{18, 95}, [2]int{19, 105}, [2]int{20, 6}, [2]int{30, 1})
)

// lzmsOffsetSlots is how many symbols the offsets in a chunk of a size need.
func lzmsOffsetSlots(size int) int {
	n, found := slices.BinarySearch(lzmsOffsets.base, size-1)
	if found {
		n++
	}
	return n
}

// chunk unpacks a chunk of a size. On an error out is what came before it. out holds
// until the next call.
func (d *lzmsDecoder) chunk(in []byte, size int) (out []byte, err error) {
	d.out, d.size = d.out[:0], size
	if len(in) < 4 || len(in)%2 != 0 {
		return nil, errLZMS
	}
	d.begin(in)
	for len(d.out) < size && err == nil {
		switch {
		case d.ranges.over > lzmsOver || d.bits.over > lzmsOver:
			err = errShort
		case d.ranges.choose(&d.item) == 0:
			if err = d.room(1); err == nil {
				d.out = append(d.out, byte(d.bits.symbol(&d.literals)))
			}
		case d.ranges.choose(&d.match) == 0:
			err = d.repeat()
		default:
			err = d.delta()
		}
		d.recent[lzmsLZ].next()
		d.recent[lzmsDelta].next()
	}
	if err == nil {
		d.programs()
	}
	return d.out, err
}

// begin makes ready for a chunk.
func (d *lzmsDecoder) begin(in []byte) {
	d.ranges = lzmsRanges{in: in, size: 1<<32 - 1}
	d.ranges.code = d.ranges.word()<<16 | d.ranges.word()
	d.bits = lzmsBits{in: in}
	d.literals.start(256, 1024)
	d.lengths.start(len(lzmsLengths.base), 512)
	d.powers.start(8, 512)
	d.item.start(4)
	d.match.start(5)
	for i := range d.offsets {
		d.offsets[i].start(max(lzmsOffsetSlots(d.size), 1), 1024)
		d.explicit[i].start(6)
		d.last[i][0].start(6)
		d.last[i][1].start(6)
		d.recent[i] = lzmsRecent{queue: [4]uint64{1, 2, 3, 4}}
	}
}

// room sees to it that n bytes more can be written.
func (d *lzmsDecoder) room(n int) error {
	if n > d.size-len(d.out) {
		return errLZMS
	}
	if need := len(d.out) + n; need > cap(d.out) {
		grown := min(max(2*cap(d.out), need, 64<<10), max(d.size, need))
		if err := d.memory.take(int64(grown) - d.taken); err != nil {
			return err
		}
		d.taken = int64(grown)
		d.out = append(make([]byte, 0, grown), d.out...)
	}
	return nil
}

// release gives the memory back.
func (d *lzmsDecoder) release() {
	d.memory.give(d.taken)
	d.taken, d.out = 0, nil
}

// source reads where a match copies from: an offset, or which of the last ones it is.
func (d *lzmsDecoder) source(kind int) uint64 {
	recent, last := &d.recent[kind], &d.last[kind]
	if d.ranges.choose(&d.explicit[kind]) == 0 {
		power := 0
		if kind == lzmsDelta {
			power = d.bits.symbol(&d.powers)
		}
		return recent.use(uint64(power)<<32 | uint64(d.bits.value(&d.offsets[kind], &lzmsOffsets)))
	}
	switch {
	case d.ranges.choose(&last[0]) == 0:
		return recent.take(0)
	case d.ranges.choose(&last[1]) == 0:
		return recent.take(1)
	}
	return recent.take(2)
}

// repeat reads a match and copies it.
func (d *lzmsDecoder) repeat() error {
	offset := int(d.source(lzmsLZ))
	n := d.bits.value(&d.lengths, &lzmsLengths)
	if offset <= 0 || offset > len(d.out) {
		return errLZMS
	}
	if err := d.room(n); err != nil {
		return err
	}
	for at := len(d.out) - offset; n > 0; {
		k := min(n, len(d.out)-at)
		d.out = append(d.out, d.out[at:at+k]...)
		n -= k
	}
	return nil
}

// delta reads a match of differences: bytes that differ from those a span before as
// those at the offset do.
func (d *lzmsDecoder) delta() error {
	source := d.source(lzmsDelta)
	span := 1 << (source >> 32)
	offset := int(source&(1<<32-1)) * span
	n := d.bits.value(&d.lengths, &lzmsLengths)
	if offset <= 0 || offset+span > len(d.out) {
		return errLZMS
	}
	if err := d.room(n); err != nil {
		return err
	}
	for range n {
		at := len(d.out)
		d.out = append(d.out, d.out[at-offset]+d.out[at-span]-d.out[at-offset-span])
	}
	return nil
}

// lzmsRecent are the sources of the last matches, those of the last item left out.
type lzmsRecent struct {
	queue       [4]uint64
	before, now uint64 // used by the last item and by this one; 0: none
}

// use notes a source that stood there.
func (r *lzmsRecent) use(source uint64) uint64 {
	r.now = source
	return source
}

// take uses one of the last.
func (r *lzmsRecent) take(i int) uint64 {
	source := r.queue[i]
	copy(r.queue[i:], r.queue[i+1:])
	return r.use(source)
}

// next goes on to the next item.
func (r *lzmsRecent) next() {
	if r.before != 0 {
		copy(r.queue[1:], r.queue[:3])
		r.queue[0] = r.before
	}
	r.before, r.now = r.now, 0
}

// lzmsChoice is a kind of decision, which depends on the last of its kind.
type lzmsChoice struct {
	state  uint32
	recent []lzmsOdds // by state
}

// lzmsOdds are the last 64 bits in a state, the last of them lowest, and how many of
// them were 0.
type lzmsOdds struct {
	bits  uint64
	zeros int
}

// start makes ready for decisions that depend on so many before.
func (c *lzmsChoice) start(bits int) {
	if c.state = 0; c.recent == nil {
		c.recent = make([]lzmsOdds, 1<<bits)
	}
	for i := range c.recent {
		c.recent[i] = lzmsOdds{0x55555555, 48}
	}
}

// lzmsRanges is the range decoder.
type lzmsRanges struct {
	in         []byte
	size, code uint32
	over       int // words that there were not
}

func (r *lzmsRanges) word() uint32 {
	if len(r.in) < 2 {
		r.over++
		return 0
	}
	w := uint32(binary.LittleEndian.Uint16(r.in))
	r.in = r.in[2:]
	return w
}

// choose decodes a bit.
func (r *lzmsRanges) choose(c *lzmsChoice) (bit uint32) {
	odds := &c.recent[c.state]
	if r.size>>16 == 0 {
		r.size, r.code = r.size<<16, r.code<<16|r.word()
	}
	bound := r.size >> 6 * uint32(min(max(odds.zeros, 1), 63))
	if r.code < bound {
		r.size = bound
	} else {
		r.size, r.code, bit = r.size-bound, r.code-bound, 1
	}
	odds.zeros += int(odds.bits>>63) - int(bit)
	odds.bits = odds.bits<<1 | uint64(bit)
	c.state = (c.state<<1 | bit) & uint32(len(c.recent)-1)
	return bit
}

// lzmsBits reads bits from the end: words of 16 bits, the highest bit first.
type lzmsBits struct {
	in   []byte
	held uint64 // the lowest n
	n    uint
	over int
}

// fill takes words until 32 bits are held.
func (b *lzmsBits) fill() {
	for b.n < 32 {
		w := uint64(0)
		if last := len(b.in) - 2; last >= 0 {
			w = uint64(binary.LittleEndian.Uint16(b.in[last:]))
			b.in = b.in[:last]
		} else {
			b.over++
		}
		b.held, b.n = b.held<<16|w, b.n+16
	}
}

// symbol reads a symbol.
func (b *lzmsBits) symbol(c *lzmsCode) int {
	b.fill()
	symbol, n := c.tree.find(uint32(b.held>>(b.n-16)) & 0xffff)
	if symbol < 0 { // a code of one symbol has no other
		symbol, n = 0, 1
	}
	b.n -= n
	c.count(symbol)
	return symbol
}

// value reads a symbol and what it leaves open.
func (b *lzmsBits) value(c *lzmsCode, s *lzmsSlots) int {
	slot := b.symbol(c)
	b.fill()
	n := uint(s.extra[slot])
	b.n -= n
	return s.base[slot] + int(b.held>>b.n&(1<<n-1))
}

// lzmsCode is a Huffman code that is made anew after so many symbols.
type lzmsCode struct {
	tree   lzxTree
	counts []uint32
	every  int
	left   int
	sorted []uint32 // symbols by how often they are
	nodes  []lzmsNode
}

// lzmsNode is a node of the tree that a code is made by.
type lzmsNode struct {
	weight uint32
	parent int
	depth  int
}

// start makes a code of symbols that are all as frequent.
func (c *lzmsCode) start(symbols, every int) {
	if symbols != len(c.counts) {
		c.tree, c.counts = newLZXTree(symbols), make([]uint32, symbols)
	}
	for i := range c.counts {
		c.counts[i] = 1
	}
	c.every = every
	c.build()
}

// count counts a symbol.
func (c *lzmsCode) count(symbol int) {
	if symbol < len(c.counts) {
		c.counts[symbol]++
	}
	if c.left--; c.left > 0 {
		return
	}
	c.build()
	for i, n := range c.counts {
		c.counts[i] = n>>1 + 1
	}
}

// build makes the code: that of Huffman's algorithm when symbols come before nodes of
// the same weight. Of symbols as frequent the lower ones have the longer codes.
func (c *lzmsCode) build() {
	c.left = c.every
	c.sorted = c.sorted[:0]
	for symbol, n := range c.counts {
		c.sorted = append(c.sorted, n<<10|uint32(symbol))
	}
	slices.Sort(c.sorted)
	var lengths [lzmsMaxBits + 1]int
	c.depths(&lengths)
	next := 0
	for n := lzmsMaxBits; n > 0; n-- {
		for range lengths[n] {
			c.tree.lens[c.sorted[next]&1023] = byte(n)
			next++
		}
	}
	c.tree.build()
}

// depths says how many symbols have codes of each length.
func (c *lzmsCode) depths(lengths *[lzmsMaxBits + 1]int) {
	leaves := len(c.sorted)
	if leaves < 2 {
		lengths[1] = leaves
		return
	}
	c.nodes = c.nodes[:0]
	for _, s := range c.sorted {
		c.nodes = append(c.nodes, lzmsNode{weight: s >> 10})
	}
	leaf, node := 0, leaves // the next of each
	lightest := func() (i int) {
		if leaf < leaves && (node == len(c.nodes) || c.nodes[leaf].weight <= c.nodes[node].weight) {
			i, leaf = leaf, leaf+1
		} else {
			i, node = node, node+1
		}
		c.nodes[i].parent = len(c.nodes)
		return i
	}
	for len(c.nodes) < 2*leaves-1 {
		a := lightest()
		b := lightest()
		c.nodes = append(c.nodes, lzmsNode{weight: c.nodes[a].weight + c.nodes[b].weight})
	}
	for i := len(c.nodes) - 2; i >= 0; i-- {
		c.nodes[i].depth = c.nodes[c.nodes[i].parent].depth + 1
		if i < leaves {
			lengths[min(c.nodes[i].depth, lzmsMaxBits)]++
		}
	}
}

// Numbers of the filter for programs.
const (
	lzmsReach  = 1023  // bytes behind an instruction within which others are believed to be
	lzmsWindow = 65535 // bytes within which two that have the same target tell of a program
)

// programs turns the absolute addresses in instructions of x86 back into relative ones.
// What is a program is guessed: two instructions not far from one another with the same
// target, of which the lower 16 bits are looked at.
func (d *lzmsDecoder) programs() {
	b := d.out
	if len(b) <= 17 {
		return
	}
	if d.targets == nil {
		d.targets = make([]int32, 1<<16)
	}
	for i := range d.targets {
		d.targets[i] = -lzmsWindow - 1
	}
	le, last := binary.LittleEndian, int32(-lzmsReach-1)
	for i := 1; i < len(b)-16; {
		size, reach := lzmsInstruction(b[i:])
		if reach == 0 {
			i += size
			continue
		}
		at, address := int32(i), b[i+size:]
		if at-last <= reach {
			le.PutUint32(address, le.Uint32(address)-uint32(at))
		}
		target := &d.targets[uint16(at)+le.Uint16(address)]
		if at += int32(size) + 3; at-*target <= lzmsWindow {
			last = at
		}
		*target = at
		i += size + 4
	}
}

// lzmsInstruction gives how many bytes of an instruction stand before an address, and
// how far the address is translated; when that is 0, how many bytes are passed over.
func lzmsInstruction(b []byte) (size int, reach int32) {
	switch b[0] {
	case 0xe8: // call
		return 1, lzmsReach / 2
	case 0xe9: // jmp
		return 5, 0
	case 0xf0: // lock add
		if b[1] == 0x83 && b[2] == 0x05 {
			return 3, lzmsReach
		}
	case 0xff: // call, indirect
		if b[1] == 0x15 {
			return 2, lzmsReach
		}
	case 0x48, 0x4c: // lea, mov
		if b[2]&7 == 5 && (b[1] == 0x8d || b[1] == 0x8b && b[0]&4 == 0 && b[2]&0xf0 == 0) {
			return 3, lzmsReach
		}
	}
	return 1, 0
}
