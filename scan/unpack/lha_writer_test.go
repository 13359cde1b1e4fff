package unpack

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// Writers for the methods that no tool at hand makes any more: lh2, lh3, lh4, lhx,
// LHARK's lh7, lzs, lz5, pm1, pm2. Archives made by the old tools were read with the
// same decoders, and so it is known that these writers have the formats right.

// bitWriter writes bits, the high ones of each byte first.
type bitWriter struct {
	out  []byte
	used int // bits of the last byte
}

func (w *bitWriter) put(v, n int) {
	for n--; n >= 0; n-- {
		if w.used == 0 {
			w.out = append(w.out, 0)
		}
		w.out[len(w.out)-1] |= byte(v>>n&1) << (7 - w.used)
		w.used = (w.used + 1) % 8
	}
}

// lzToken is a byte, or a copy when length is not 0.
type lzToken struct {
	literal          byte
	length, distance int
}

// tokens takes text apart, greedily: copies of least to most bytes from at most
// reach bytes back.
func tokens(text string, least, most, reach int) (list []lzToken) {
	last := map[string]int{}
	for at := 0; at < len(text); {
		t := lzToken{literal: text[at]}
		if at+least <= len(text) {
			if from, ok := last[text[at:at+least]]; ok && at-from <= reach {
				n := least
				for n < most && at+n < len(text) && text[from+n] == text[at+n] {
					n++
				}
				t = lzToken{length: n, distance: at - from}
			}
		}
		for n := max(t.length, 1); n > 0; n-- {
			if at+least <= len(text) {
				last[text[at:at+least]] = at
			}
			at++
		}
		list = append(list, t)
	}
	return list
}

// complete gives lengths of a code for n symbols that leaves no code over.
func complete(n int) []int {
	k := bits.Len(uint(n)) - 1
	lengths := slices.Repeat([]int{k + 1}, n)
	for i := range 1<<(k+1) - n {
		lengths[i] = k
	}
	return lengths
}

// canonical gives the codes of lengths.
func canonical(lengths []int) []int {
	codes, code := make([]int, len(lengths)), 0
	for n := 1; n <= slices.Max(lengths); n++ {
		for symbol, length := range lengths {
			if length == n {
				codes[symbol] = code
				code++
			}
		}
		code <<= 1
	}
	return codes
}

// code writes symbols.
type code struct{ lengths, codes []int }

func newCode(lengths []int) code { return code{lengths, canonical(lengths)} }

func (c code) put(w *bitWriter, symbol int) { w.put(c.codes[symbol], c.lengths[symbol]) }

// plainLengths writes lengths as they are, each in 3 bits or more; behind the one at
// gap nothing is left out.
func plainLengths(w *bitWriter, lengths []int, width, gap int) {
	w.put(len(lengths), width)
	for i, n := range lengths {
		w.put(min(n, 7), 3)
		for ; n > 7; n-- {
			w.put(1, 1)
		}
		if lengths[i] >= 7 {
			w.put(0, 1)
		}
		if i+1 == gap {
			w.put(0, 2)
		}
	}
}

// lzhWriter writes blocks of static codes.
type lzhWriter struct {
	positionBits, positions int
	symbols                 []int // lengths of their codes
	lhark                   bool
	perBlock                int
}

func (l lzhWriter) write(list []lzToken) []byte {
	w := &bitWriter{}
	l.writeTo(w, list)
	return w.out
}

func (l lzhWriter) writeTo(w *bitWriter, list []lzToken) {
	symbols, positions := newCode(l.symbols), newCode(complete(l.positions))
	lengths := newCode(complete(19))
	for block := range slices.Chunk(list, l.perBlock) {
		w.put(len(block), 16)
		plainLengths(w, lengths.lengths, 5, 3)
		w.put(len(l.symbols), 9)
		for _, n := range l.symbols {
			lengths.put(w, n+2)
		}
		plainLengths(w, positions.lengths, l.positionBits, -1)
		for _, t := range block {
			switch {
			case t.length == 0:
				symbols.put(w, int(t.literal))
			case l.lhark:
				l.harkCopy(w, t, symbols, positions)
			default:
				symbols.put(w, t.length+253)
				p := bits.Len(uint(t.distance - 1))
				positions.put(w, p)
				if p > 1 {
					w.put((t.distance-1)&(1<<(p-1)-1), p-1)
				}
			}
		}
	}
}

// harkCopy writes a copy as LHARK does: lengths and positions in steps, four and
// two to each power of two.
func (l lzhWriter) harkCopy(w *bitWriter, t lzToken, symbols, positions code) {
	n := t.length - 3
	switch {
	case t.length == 514:
		symbols.put(w, 288)
	case n < 8:
		symbols.put(w, 256+n)
	default:
		low := bits.Len(uint(n)) - 3
		symbols.put(w, 260+4*low+n>>low&3)
		w.put(n&(1<<low-1), low)
	}
	d := t.distance - 1
	if d < 4 {
		positions.put(w, d)
		return
	}
	low := bits.Len(uint(d)) - 2
	positions.put(w, 2+2*low+d>>low&1)
	w.put(d&(1<<low-1), low)
}

// lzhMethods are the writers by method.
var lzhMethods = map[string]lzhWriter{
	"-lh4-": {4, 13, complete(510), false, 5000},
	"-lh5-": {4, 14, complete(510), false, 1},
	"-lh6-": {5, 16, complete(510), false, 65535},
	"-lh7-": {5, 17, complete(510), false, 300},
	"-lhx-": {5, 20, complete(510), false, 40000},
	"lhark": {6, 32, complete(289), true, 5000},
}

// lh3Write writes blocks of lh3, the positions in its fixed code, or one of its own.
func lh3Write(list []lzToken, own bool) []byte {
	w := &bitWriter{}
	symbols, positions := newCode(complete(286)), newCode(complete(128))
	if !own {
		fixed := make([]int, 128)
		for i, from := range []int{0, 1, 1, 3, 6, 13, 31, 78} { // one bit more from each on
			for j := from; j < 128; j++ {
				fixed[j]++
			}
			if i == 0 {
				for j := range fixed {
					fixed[j]++ // the first has 2
				}
			}
		}
		positions = newCode(fixed)
	}
	for block := range slices.Chunk(list, 3000) {
		w.put(len(block), 16)
		for _, n := range symbols.lengths {
			w.put(1, 1)
			w.put(n-1, 4)
		}
		if own {
			w.put(1, 1)
			for _, n := range positions.lengths {
				w.put(n, 4)
			}
		} else {
			w.put(0, 1)
		}
		for _, t := range block {
			lhSymbol(w, t, func(s int) { symbols.put(w, s) })
			if t.length > 0 {
				positions.put(w, (t.distance-1)>>6)
				w.put((t.distance-1)&63, 6)
			}
		}
	}
	return w.out
}

// lhSymbol writes a byte or a length of lh2 and lh3: the last symbol has 8 bits more.
func lhSymbol(w *bitWriter, t lzToken, put func(int)) {
	s := int(t.literal)
	if t.length > 0 {
		s = t.length + 253
	}
	put(min(s, 285))
	if s >= 285 {
		w.put(s-285, 8)
	}
}

// grown is an adaptive Huffman code, as simple as can be: all nodes in their
// order, searched from the front.
type grown struct {
	nodes []*grownNode // the root first
	limit int          // of the total at which counts are halved
	total int
}

type grownNode struct {
	count               int
	symbol              int // -1: none
	first, second, over *grownNode
}

func newGrown(n int) *grown {
	g := &grown{limit: 0x8000, total: n}
	for s := n - 1; s >= 0; s-- {
		g.nodes = append(g.nodes, &grownNode{count: 1, symbol: s})
	}
	for last := len(g.nodes) - 1; len(g.nodes) < 2*n-1; last-- {
		front := len(g.nodes)
		pair := g.nodes[last-1 : last+1]
		parent := &grownNode{count: pair[0].count + pair[1].count, symbol: -1, first: pair[1], second: pair[0]}
		pair[0].over, pair[1].over = parent, parent
		g.nodes = slices.Insert(g.nodes, 0, parent)
		last = last + len(g.nodes) - front - 1
	}
	return g
}

func (g *grown) find(symbol int) *grownNode {
	return g.nodes[slices.IndexFunc(g.nodes, func(n *grownNode) bool { return n.symbol == symbol })]
}

func (g *grown) put(w *bitWriter, symbol int) {
	var path []int
	for n := g.find(symbol); n.over != nil; n = n.over {
		bit := 0
		if n.over.second == n {
			bit = 1
		}
		path = append(path, bit)
	}
	for _, bit := range slices.Backward(path) {
		w.put(bit, 1)
	}
	g.met(symbol)
}

// met counts a symbol: every node on its way changes places with the first one
// that has the same count.
func (g *grown) met(symbol int) {
	if g.total == g.limit {
		g.halve()
	}
	g.total++
	for n := g.find(symbol); n.over != nil; n = n.over {
		at := slices.Index(g.nodes, n)
		first := 1 + slices.IndexFunc(g.nodes[1:], func(o *grownNode) bool { return o.count == n.count })
		if other := g.nodes[first]; other != n {
			a, b := n.over, other.over
			switched := func(o *grownNode) **grownNode {
				if o.over.first == o {
					return &o.over.first
				}
				return &o.over.second
			}
			pa, pb := switched(n), switched(other)
			*pa, *pb = other, n
			n.over, other.over = b, a
			g.nodes[at], g.nodes[first] = other, n
		}
		n.count++
	}
}

// halve builds the code anew from half of each count.
func (g *grown) halve() {
	var leaves []*grownNode
	for _, n := range g.nodes {
		if n.symbol >= 0 {
			leaves = append(leaves, &grownNode{count: (n.count + 1) / 2, symbol: n.symbol})
		}
	}
	var done []*grownNode // from the back
	for paired := 0; len(done) < len(g.nodes); {
		sum := -1
		if paired+1 < len(done) {
			sum = done[paired].count + done[paired+1].count
		}
		if n := len(leaves); n > 0 && (sum < 0 || leaves[n-1].count <= sum) {
			done = append(done, leaves[n-1])
			leaves = leaves[:n-1]
			continue
		}
		parent := &grownNode{count: sum, symbol: -1, first: done[paired], second: done[paired+1]}
		done[paired].over, done[paired+1].over = parent, parent
		done = append(done, parent)
		paired += 2
	}
	slices.Reverse(done)
	g.nodes = done
	g.total = done[0].count
}

// split makes the last leaf a pair of itself and a new symbol.
func (g *grown) split(symbol int) {
	old := g.nodes[len(g.nodes)-1]
	moved := &grownNode{count: old.count, symbol: old.symbol, over: old}
	fresh := &grownNode{symbol: symbol, over: old}
	old.symbol, old.first, old.second = -1, fresh, moved
	g.nodes = append(g.nodes, moved, fresh)
}

// lh1Write writes lh1: an adaptive code, and a fixed one of positions.
func lh1Write(list []lzToken) []byte {
	w, symbols := &bitWriter{}, newGrown(314)
	lengths := make([]int, 64)
	for i := range lengths {
		lengths[i] = 3
		for _, from := range []int{1, 4, 12, 24, 48} {
			if i >= from {
				lengths[i]++
			}
		}
	}
	positions := newCode(lengths)
	for _, t := range list {
		if t.length == 0 {
			symbols.put(w, int(t.literal))
			continue
		}
		symbols.put(w, t.length+253)
		positions.put(w, (t.distance-1)>>6)
		w.put((t.distance-1)&63, 6)
	}
	return w.out
}

// lh2Write writes lh2: adaptive codes of both.
func lh2Write(list []lzToken) []byte {
	w, symbols, positions := &bitWriter{}, newGrown(286), newGrown(1)
	positions.total = 0
	done := 0
	for _, t := range list {
		lhSymbol(w, t, func(s int) { symbols.put(w, s) })
		if t.length > 0 {
			for n := (len(positions.nodes) + 1) / 2; n < 128 && done > 64*n; n++ {
				positions.split(n)
				positions.met(n)
			}
			positions.put(w, (t.distance-1)>>6)
			w.put((t.distance-1)&63, 6)
		}
		done += max(t.length, 1)
	}
	return w.out
}

// lzsWrite writes lzs: places in a ring of 2 KB that begins 17 before its end.
func lzsWrite(list []lzToken) []byte {
	w, at := &bitWriter{}, 2048-17
	for _, t := range list {
		if t.length == 0 {
			w.put(1, 1)
			w.put(int(t.literal), 8)
		} else {
			w.put(0, 1)
			w.put((at-t.distance)&2047, 11)
			w.put(t.length-2, 4)
		}
		at += max(t.length, 1)
	}
	return w.out
}

// lz5Write writes lz5: places in a ring of 4 KB that begins 18 before its end.
func lz5Write(list []lzToken) (out []byte) {
	at := 4096 - 18
	for run := range slices.Chunk(list, 8) {
		flags := len(out)
		out = append(out, 0)
		for i, t := range run {
			if t.length == 0 {
				out[flags] |= 1 << i
				out = append(out, t.literal)
			} else {
				place := (at - t.distance) & 4095
				out = append(out, byte(place), byte(place>>8<<4|(t.length-3)))
			}
			at += max(t.length, 1)
		}
	}
	return out
}

// front is a list of all bytes, the one met last in front.
type front []byte

func newFront() (f front) {
	for _, from := range []int{0x20, 0x40, 0x60, 0x00, 0xa0, 0xc0, 0x80, 0xe0} {
		for b := range 0x20 {
			f = append(f, byte(from+b))
		}
	}
	return f
}

// age gives where a byte is and brings it to the front.
func (f front) age(b byte) int {
	i := slices.Index(f, b)
	copy(f[1:i+1], f[:i])
	f[0] = b
	return i
}

// ranged finds the range that holds a number, of those that begin at bases.
func ranged(v int, bases ...int) (i, low int) {
	for i = len(bases) - 1; bases[i] > v; i-- {
	}
	return i, v - bases[i]
}

// pm2Write writes pm2 with tables that are all of one shape.
func pm2Write(text string, list []lzToken) []byte {
	w, f := &bitWriter{}, newFront()
	w.put(0, 1)
	codes := newCode(complete(29))
	var positions code
	next, done := 0, 0
	tables := func(n int) {
		positions = newCode(complete(n))
		for _, l := range positions.lengths {
			w.put(l, 3)
		}
	}
	again := func() {
		w.put(29, 5)
		w.put(4, 3) // the least length
		w.put(2, 3) // bits for how much longer
		for _, l := range codes.lengths {
			w.put(l-3, 2)
		}
	}
	due := func() {
		switch next {
		case 0:
			again()
			tables(5)
			next = 1024
		case 1024:
			tables(6)
			next = 2048
		case 2048:
			tables(7)
			next = 4096
		case 4096:
			w.put(0, 1)
			tables(8)
			next = 8192
		default:
			w.put(next>>12&1, 1)
			if next>>12&1 == 1 {
				again()
				tables(8)
			}
			next += 4096
		}
	}
	for _, t := range list {
		for done >= next {
			due()
		}
		if t.length == 0 {
			i, low := ranged(f.age(t.literal), 0, 8, 16, 32, 64, 96, 128, 192)
			codes.put(w, i)
			w.put(low, []int{3, 3, 4, 5, 5, 5, 6, 6}[i])
			done++
			continue
		}
		d := t.distance - 1
		switch {
		case t.length == 256:
			codes.put(w, 28)
			d = -1
		case t.length > 16:
			i, low := ranged(t.length, 17, 25, 33, 65, 129)
			codes.put(w, 23+i)
			w.put(low, []int{3, 3, 5, 6, 7}[i])
		default:
			codes.put(w, 6+t.length)
			if t.length == 2 {
				w.put(d, 6)
				d = -1
			}
		}
		if d >= 0 {
			i, low := ranged(d, 0, 64, 128, 256, 512, 1024, 2048, 4096)
			positions.put(w, i)
			w.put(low, max(6, 5+i))
		}
		for _, b := range []byte(text[done : done+t.length]) {
			f.age(b)
		}
		done += t.length
	}
	return w.out
}

// pm1Write writes pm1 with the tree (a (b (c (d (e f))))).
func pm1Write(text string, list []lzToken) []byte {
	w, f, done := &bitWriter{}, newFront(), 0
	w.put(16, 5)
	for len(list) > 0 {
		run := slices.IndexFunc(list, func(t lzToken) bool { return t.length > 0 })
		if run < 0 || run > 216 {
			run = min(len(list), 216)
		}
		w.put(min(run, 1), 1)
		if run > 0 {
			pm1RunLength(w, run)
		}
		for _, t := range list[:run] {
			i, low := ranged(f.age(t.literal), 0, 16, 32, 64, 128, 192)
			w.put(1<<i-1, i)
			if i < 5 {
				w.put(0, 1)
			}
			w.put(low, []int{4, 4, 5, 6, 6, 6}[i])
		}
		done += run
		if list = list[run:]; run == 216 || len(list) == 0 {
			continue
		}
		pm1Copy(w, list[0], done)
		for _, b := range []byte(text[done : done+list[0].length]) {
			f.age(b)
		}
		done += list[0].length
		list = list[1:]
	}
	return w.out
}

func pm1RunLength(w *bitWriter, n int) {
	switch i, low := ranged(n, 1, 4, 11, 25, 89); i {
	case 0:
		w.put(low, 2)
	case 1:
		w.put(3<<3|low, 5)
	case 2:
		w.put(31<<4|low, 9)
	case 3:
		w.put(31<<4|14, 9)
		w.put(low, 6)
	case 4:
		w.put(31<<4|15, 9)
		w.put(low, 7)
	}
}

// pm1Copy writes a copy: which range the distance is in, with the bits that there
// are at this size, the length unless it is of the ranges that mean 2, the distance.
func pm1Copy(w *bitWriter, t lzToken, done int) {
	d := t.distance - 1
	i, low := ranged(d, 0, 64, 576, 2624)
	optional := func(bit, from int) {
		if done >= from {
			w.put(bit, 1)
		}
	}
	if t.length == 2 { // in range 0 or 1: 320 back
		w.put(0, 1)
		optional(0, 576)
		optional(i, 64)
		w.put(d-64*i, 6+2*i)
		return
	}
	switch i {
	case 2:
		w.put(0, 1)
		optional(1, 576)
	case 1:
		w.put(1, 1)
		optional(0, 64)
	default:
		w.put(1, 1)
		optional(1, 64)
		optional(1-i/3, 2624)
	}
	switch j, low := ranged(t.length, 3, 6, 11, 15, 23, 85, 117); j {
	case 0:
		w.put(low, 2)
	case 1:
		w.put(3<<3|low, 5)
	case 2:
		w.put(3<<3|5, 5)
		w.put(low, 2)
	case 3:
		w.put(3<<3|6, 5)
		w.put(low, 3)
	case 4:
		w.put(31, 5)
		w.put(low, 6)
	case 5:
		w.put(31<<6|62, 11)
		w.put(low, 5)
	case 6:
		w.put(31<<6|63, 11)
		w.put(low, 7)
	}
	base, most := []int{0, 64, 576, 2624}[i], []int{6, 9, 11, 13}[i]
	width := 6
	if i > 0 {
		for width = 8; width < most && done-base >= 1<<width; width++ {
		}
	}
	w.put(low, width)
}

// lhaFile is a member that a test writes.
type lhaFile struct {
	method, name string
	level        byte
	os           byte
	content      string // what the CRC and the size are of
	packed       string
	extra        []string // extended headers: type and bytes

	size, skip int // added to the sizes that the header states
}

func lhaStored(name, content string) lhaFile {
	return lhaFile{method: "-lh0-", name: name, content: content, packed: content}
}

// write writes the header and the bytes of a member.
func (f lhaFile) write() []byte {
	le := binary.LittleEndian
	fixed := func(packed int) []byte {
		b := []byte("??" + f.method)
		b = le.AppendUint32(b, uint32(packed+f.skip))
		b = le.AppendUint32(b, uint32(len(f.content)+f.size))
		return append(b, "TTDD "+string(rune(f.level))...)
	}
	crc := arcCRC(0, []byte(f.content))
	width := 2
	if f.level == 3 {
		width = 4
	}
	length := func(b []byte, n int) []byte {
		if width == 4 {
			return le.AppendUint32(b, uint32(n))
		}
		return le.AppendUint16(b, uint16(n))
	}
	var extended []byte
	for _, e := range f.extra {
		extended = length(extended, len(e)+width)
		extended = append(extended, e...)
	}
	extended = length(extended, 0)
	packed := len(f.packed)
	if f.level == 1 {
		packed += len(extended) - 2
	}
	b := fixed(packed)
	if f.level <= 1 {
		b = append(b, byte(len(f.name)))
		b = append(b, f.name...)
	}
	b = le.AppendUint16(b, crc)
	switch f.level {
	case 0:
		b[0] = byte(len(b) - 2)
	case 1:
		b = append(b, f.os)
		b[0] = byte(len(b))
		b = append(b, extended...)
	case 2:
		b = append(b, f.os)
		b = append(b, extended...)
		le.PutUint16(b, uint16(len(b)))
	case 3:
		b = append(b, f.os)
		b = le.AppendUint32(b, uint32(len(b)+4+len(extended)))
		b = append(b, extended...)
		le.PutUint16(b, 4)
	}
	if f.level <= 1 {
		b[1] = 0
		for _, c := range b[2 : 2+int(b[0])] {
			b[1] += c
		}
	}
	return append(b, f.packed...)
}

// lhaText is text of about n bytes that compresses, with all bytes in it.
func lhaText(n int) string {
	var b strings.Builder
	b.WriteString("KIYOME-MARKER ")
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%d squared is %d; ", i, i*i)
		if i%40 == 0 {
			for c := range 256 {
				b.WriteByte(byte(c * (i/40 + 1)))
			}
			b.WriteString(strings.Repeat("-", i/40*7%600))
		}
	}
	return b.String()
}
