package unpack

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// quantumDecoder unpacks Quantum, block by block. Microsoft has published nothing
// of it; what is known has been found by others: an arithmetic coder of 16 bits
// with adaptive models, for literals in four ranges, and for matches of three
// bytes, of four, and of more.
type quantumDecoder struct {
	window []byte
	at     int
	filled int

	in        []byte
	next      int // in bits
	low, high uint16
	code      uint16

	selector quantumModel
	literals [4]quantumModel
	offsets  [3]quantumModel // of matches of three bytes, four, more
	lengths  quantumModel

	out []byte
}

const (
	quantumMinBits = 10 // binary logarithms of the window's size
	quantumMaxBits = 21

	// quantumPast is how many zero bytes may be missing at the end of a block.
	quantumPast = 4
)

var errQuantum = errors.New("quantum: invalid data")

// newQuantumDecoder makes a decoder for a window of 1<<size bytes.
func newQuantumDecoder(size int) (*quantumDecoder, error) {
	if size < quantumMinBits || size > quantumMaxBits {
		return nil, fmt.Errorf("%w: quantum with a window of %d bits", ErrUnsupported, size)
	}
	q := &quantumDecoder{window: make([]byte, 1<<size)}
	q.restart()
	return q, nil
}

// restart makes ready for a new stream.
func (q *quantumDecoder) restart() {
	q.at, q.filled = 0, 0
	slots := 2 * bits.TrailingZeros(uint(len(q.window))) // as many as the window has offsets for
	q.selector.init(0, 7)
	for i := range q.literals {
		q.literals[i].init(64*i, 64)
	}
	q.offsets[0].init(0, min(slots, 24))
	q.offsets[1].init(0, min(slots, 36))
	q.offsets[2].init(0, slots)
	q.lengths.init(0, 27)
}

// Slots of offsets and of lengths: where each begins, and how many bits follow.
var (
	quantumOffsets = quantumSlots(42, 2, 1)
	quantumLengths = func() []quantumSlot {
		slots := quantumSlots(27, 2, 2)
		slots[26] = quantumSlot{254, 0}
		return slots
	}()
)

type quantumSlot struct{ base, extra int }

// quantumSlots makes n slots, of which those from first on have one bit more
// after every 1<<shift.
func quantumSlots(n, first, shift int) []quantumSlot {
	slots := make([]quantumSlot, n)
	base := 0
	for i := range slots {
		slots[i] = quantumSlot{base, max(i-first, 0) >> shift}
		base += 1 << slots[i].extra
	}
	return slots
}

// block unpacks a block of so many bytes. On an error out is what came before it.
// out holds until the next call.
func (q *quantumDecoder) block(in []byte, size int) (out []byte, err error) {
	q.in, q.next = in, 0
	q.low, q.high, q.code = 0, 0xffff, 0
	for range 16 {
		q.code = q.code<<1 | uint16(q.bit())
	}
	q.out = q.out[:0]
	for len(q.out) < size {
		if q.next > 8*(len(in)+quantumPast) {
			return q.out, errQuantum
		}
		selector := q.symbol(&q.selector)
		if selector < len(q.literals) {
			q.put(byte(q.symbol(&q.literals[selector])))
			continue
		}
		kind := selector - len(q.literals)
		n := 3 + kind
		if kind == 2 {
			n += q.slot(&q.lengths, quantumLengths)
		}
		offset := 1 + q.slot(&q.offsets[kind], quantumOffsets)
		if offset > q.filled {
			return q.out, errQuantum
		}
		for n = min(n, size-len(q.out)); n > 0; n-- {
			q.put(q.window[(q.at-offset)&(len(q.window)-1)])
		}
	}
	return q.out, nil
}

func (q *quantumDecoder) put(b byte) {
	q.out = append(q.out, b)
	q.window[q.at] = b
	q.at = (q.at + 1) & (len(q.window) - 1)
	q.filled = min(q.filled+1, len(q.window))
}

// bit gives the next bit; behind the end there are zeros.
func (q *quantumDecoder) bit() (b byte) {
	if i := q.next >> 3; i < len(q.in) {
		b = q.in[i] >> (7 - q.next&7) & 1
	}
	q.next++
	return b
}

// slot reads a slot and the bits that follow it.
func (q *quantumDecoder) slot(m *quantumModel, slots []quantumSlot) int {
	s := slots[q.symbol(m)]
	v := 0
	for range s.extra {
		v = v<<1 | int(q.bit())
	}
	return s.base + v
}

// symbol decodes a symbol and adapts its model.
func (q *quantumDecoder) symbol(m *quantumModel) int {
	width := uint32(q.high-q.low) + 1
	total := uint32(m.above[0])
	f := uint16(((uint32(q.code-q.low)+1)*total - 1) / width)
	i := 1
	for i < m.n && m.above[i] > f {
		i++
	}
	symbol := int(m.symbols[i-1])
	q.high = q.low + uint16(uint32(m.above[i-1])*width/total-1)
	q.low += uint16(uint32(m.above[i]) * width / total)
	m.adapt(i)
	for {
		switch {
		case (q.low^q.high)&0x8000 == 0:
		case q.low&0x4000 != 0 && q.high&0x4000 == 0: // they come close without meeting
			q.code ^= 0x4000
			q.low &= 0x3fff
			q.high |= 0x4000
		default:
			return symbol
		}
		q.low <<= 1
		q.high = q.high<<1 | 1
		q.code = q.code<<1 | uint16(q.bit())
	}
}

// quantumModel counts how often its symbols have been met.
type quantumModel struct {
	n       int
	symbols [64]uint8
	above   [65]uint16 // counts of a symbol and of all behind it
	sorting int        // halvings until they are sorted
}

const (
	quantumStep = 8    // what a symbol counts
	quantumMost = 3800 // the sum from which all counts are halved
)

// init makes a model of n symbols, each met once.
func (m *quantumModel) init(first, n int) {
	m.n, m.sorting = n, 4
	for i := range n {
		m.symbols[i] = uint8(first + i)
		m.above[i] = uint16(n - i)
	}
	m.above[n] = 0
}

// adapt counts the symbol in place i-1.
func (m *quantumModel) adapt(i int) {
	for j := range i {
		m.above[j] += quantumStep
	}
	if m.above[0] <= quantumMost {
		return
	}
	if m.sorting--; m.sorting > 0 {
		for j := m.n - 1; j >= 0; j-- {
			m.above[j] = max(m.above[j]/2, m.above[j+1]+1)
		}
		return
	}
	m.sort()
}

// sort halves the counts and puts the symbols in their order, ties as exchanging
// every smaller count with every larger one behind it leaves them.
func (m *quantumModel) sort() {
	m.sorting = 50
	var counts [64]uint16
	for j := range m.n {
		counts[j] = (m.above[j] - m.above[j+1] + 1) / 2
	}
	for i := range m.n {
		for j := i + 1; j < m.n; j++ {
			if counts[i] < counts[j] {
				counts[i], counts[j] = counts[j], counts[i]
				m.symbols[i], m.symbols[j] = m.symbols[j], m.symbols[i]
			}
		}
	}
	for j, c := range slices.Backward(counts[:m.n]) {
		m.above[j] = m.above[j+1] + c
	}
}
