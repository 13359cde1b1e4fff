package unpack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// PPMd, variant I, revision 1: Dmitry Shkarin's compressor by prediction from the
// bytes before (APPNOTE, section 5.10). How often which byte followed is kept in
// contexts, one for each text of up to as many bytes as the order says.
//
// What the model forgets when its memory is full belongs to the format: the
// decoder has to give out that memory in just the way the encoder did. So all of
// it lies in one run of bytes, and what points to something in it is an offset.

const (
	ppmdMaxOrder = 16

	// What the model does when its memory is full.
	ppmdRestart = 0 // it begins anew
	ppmdCutOff  = 1 // it forgets the longest contexts

	ppmdMaxFreq    = 124
	ppmdIntBits    = 7
	ppmdPeriodBits = 7
	ppmdBinScale   = 1 << (ppmdIntBits + ppmdPeriodBits)

	// ppmdMemory is what the model is given at the most. Where the encoder had
	// more, it serves as long as it is not full.
	ppmdMemory = 64 << 20
)

// Memory is given out in units. There are free lists for some numbers of them.
const (
	ppmdUnit    = 12
	ppmdIndexes = 38
	ppmdBase    = 4          // the first offset that is used: 0 points to nothing
	ppmdEmpty   = 0xFFFFFFFF // stamp of a free block
)

// A context has 12 bytes:
//
//	0  number of symbols less one
//	1  flags
//	2  sum of frequencies, 16 bits
//	4  offset of its symbols
//	8  offset of the context that is one byte shorter
//
// One with a single symbol has that in bytes 2 to 7. A symbol has 6 bytes: itself,
// its frequency, the offset of the context (or of the text) that follows it.
//
// Flags: symbols from 64 on are among those of the context (8), are what led to
// it (16); its frequencies have been halved (4).
const (
	ppmdHigh     = 0x08
	ppmdHighPath = 0x10
	ppmdRescaled = 0x04

	ppmdSymbolSize = 6
)

type (
	ppmdContext uint32 // an offset
	ppmdSymbol  uint32 // an offset
)

// ppmdEscape is an estimate of how likely a symbol is new in a context.
type ppmdEscape struct {
	sum   uint16
	shift uint8
	count uint8
}

// ppmdModel is what is known of the bytes before.
type ppmdModel struct {
	memory []byte
	size   uint32
	capped bool // the encoder had more than that
	full   bool // and would have used it by now

	order, method int

	minContext, maxContext ppmdContext
	found                  ppmdSymbol
	orderFall              int
	runLength, initRun     int
	escape                 uint   // the initial estimate of escapes
	success                int    // 1 when the last symbol was likely
	text, units            uint32 // where text ends, and units begin
	low, high              uint32 // units that were never given out
	glue                   int
	free                   [ppmdIndexes]uint32
	stamps                 [ppmdIndexes]uint32

	indexUnits [ppmdIndexes]uint8
	unitsIndex [128]uint8
	binIndex   [256]uint8 // by the number of symbols
	freqIndex  [260]uint8

	binary  [25][64]uint16
	escapes [24][32]ppmdEscape
	dummy   ppmdEscape
}

// newPPMdModel makes a model. memory is used when it is large enough.
func newPPMdModel(order int, size uint32, method int, memory []byte) *ppmdModel {
	m := &ppmdModel{order: order, method: method, size: min(size, ppmdMemory)}
	m.capped = m.size < size
	if m.memory = memory; len(memory) < int(m.size)+2*ppmdUnit {
		m.memory = make([]byte, m.size+2*ppmdUnit) // with room behind the last unit
	}
	m.tables()
	m.restart()
	m.dummy = ppmdEscape{shift: ppmdPeriodBits, count: 64}
	return m
}

// tables fills in what never changes.
func (m *ppmdModel) tables() {
	k := 0
	for i := range m.indexUnits {
		step := 4
		if i < 12 {
			step = i>>2 + 1
		}
		for range step {
			m.unitsIndex[k] = uint8(i)
			k++
		}
		m.indexUnits[i] = uint8(k)
	}
	for i := range m.binIndex {
		switch {
		case i < 2:
			m.binIndex[i] = uint8(2 * i)
		case i < 11:
			m.binIndex[i] = 4
		default:
			m.binIndex[i] = 6
		}
	}
	value, left := 5, 1
	for i := range m.freqIndex {
		if i < 5 {
			m.freqIndex[i] = uint8(i)
			continue
		}
		m.freqIndex[i] = uint8(value)
		if left--; left == 0 {
			value++
			left = value - 4
		}
	}
}

// restart forgets everything.
func (m *ppmdModel) restart() {
	m.free, m.stamps = [ppmdIndexes]uint32{}, [ppmdIndexes]uint32{}
	m.text = ppmdBase
	m.high = m.text + m.size
	m.low = m.high - m.size/8/ppmdUnit*7*ppmdUnit
	m.units = m.low
	m.glue = 0

	m.orderFall = m.order
	m.initRun = -min(m.order, 12) - 1
	m.runLength = m.initRun
	m.success = 0

	m.high -= ppmdUnit
	c := ppmdContext(m.high)
	m.minContext, m.maxContext = c, c
	m.setSuffix(c, 0)
	m.setCount(c, 255)
	m.setFlags(c, 0)
	m.setSum(c, 256+1)
	m.setSymbols(c, ppmdSymbol(m.low))
	m.found = ppmdSymbol(m.low)
	m.low += 256 / 2 * ppmdUnit
	for i := range uint32(256) {
		s := m.found + ppmdSymbol(i*ppmdSymbolSize)
		m.setSymbol(s, byte(i))
		m.setFreq(s, 1)
		m.setNext(s, 0)
	}
	m.initBinary()
	m.initEscapes()
}

var ppmdInitial = [8]uint16{0x3CDD, 0x1F3F, 0x59BF, 0x48F3, 0x64A1, 0x5ABC, 0x6632, 0x6051}

func (m *ppmdModel) initBinary() {
	i := 0
	for row := range m.binary {
		for int(m.freqIndex[i]) == row {
			i++
		}
		for k := range m.binary[row] {
			m.binary[row][k] = ppmdBinScale - ppmdInitial[k&7]/uint16(i+1)
		}
	}
}

func (m *ppmdModel) initEscapes() {
	i := 0
	for row := range m.escapes {
		for int(m.freqIndex[i+3]) == row+3 {
			i++
		}
		for k := range m.escapes[row] {
			m.escapes[row][k] = ppmdEscape{sum: uint16(2*i+5) << (ppmdPeriodBits - 4), shift: ppmdPeriodBits - 4, count: 7}
		}
	}
}

// What lies at an offset.

func (m *ppmdModel) word(at uint32) uint32       { return binary.LittleEndian.Uint32(m.memory[at:]) }
func (m *ppmdModel) setWord(at uint32, v uint32) { binary.LittleEndian.PutUint32(m.memory[at:], v) }
func (m *ppmdModel) half(at uint32) uint16       { return binary.LittleEndian.Uint16(m.memory[at:]) }
func (m *ppmdModel) setHalf(at uint32, v uint16) { binary.LittleEndian.PutUint16(m.memory[at:], v) }

func (m *ppmdModel) count(c ppmdContext) int                 { return int(m.memory[c]) }
func (m *ppmdModel) setCount(c ppmdContext, n int)           { m.memory[c] = byte(n) }
func (m *ppmdModel) flags(c ppmdContext) byte                { return m.memory[c+1] }
func (m *ppmdModel) setFlags(c ppmdContext, f byte)          { m.memory[c+1] = f }
func (m *ppmdModel) sum(c ppmdContext) int                   { return int(m.half(uint32(c) + 2)) }
func (m *ppmdModel) setSum(c ppmdContext, n int)             { m.setHalf(uint32(c)+2, uint16(n)) }
func (m *ppmdModel) symbols(c ppmdContext) ppmdSymbol        { return ppmdSymbol(m.word(uint32(c) + 4)) }
func (m *ppmdModel) setSymbols(c ppmdContext, s ppmdSymbol)  { m.setWord(uint32(c)+4, uint32(s)) }
func (m *ppmdModel) suffix(c ppmdContext) ppmdContext        { return ppmdContext(m.word(uint32(c) + 8)) }
func (m *ppmdModel) setSuffix(c ppmdContext, to ppmdContext) { m.setWord(uint32(c)+8, uint32(to)) }

// only is the symbol of a context that has no other one.
func (m *ppmdModel) only(c ppmdContext) ppmdSymbol { return ppmdSymbol(c + 2) }

func (m *ppmdModel) symbol(s ppmdSymbol) byte       { return m.memory[s] }
func (m *ppmdModel) setSymbol(s ppmdSymbol, c byte) { m.memory[s] = c }
func (m *ppmdModel) freq(s ppmdSymbol) int          { return int(m.memory[s+1]) }
func (m *ppmdModel) setFreq(s ppmdSymbol, n int)    { m.memory[s+1] = byte(n) }

// next is the context, or the place in the text, that follows a symbol.
func (m *ppmdModel) next(s ppmdSymbol) uint32        { return m.word(uint32(s) + 2) }
func (m *ppmdModel) setNext(s ppmdSymbol, to uint32) { m.setWord(uint32(s)+2, to) }

// ppmdValue is a symbol with what belongs to it.
type ppmdValue [ppmdSymbolSize]byte

func (m *ppmdModel) value(s ppmdSymbol) (v ppmdValue)   { copy(v[:], m.memory[s:]); return v }
func (m *ppmdModel) setValue(s ppmdSymbol, v ppmdValue) { copy(m.memory[s:], v[:]) }
func (m *ppmdModel) copySymbol(to, from ppmdSymbol)     { m.setValue(to, m.value(from)) }
func (m *ppmdModel) swap(a, b ppmdSymbol)               { v := m.value(a); m.copySymbol(a, b); m.setValue(b, v) }
func (m *ppmdModel) copyUnits(to, from uint32, units int) {
	copy(m.memory[to:], m.memory[from:][:units*ppmdUnit])
}

// isHigh is ppmdHigh for a symbol from 64 on.
func isHigh(symbol byte) byte {
	if symbol >= 0x40 {
		return ppmdHigh
	}
	return 0
}

// A free block: a stamp, the next one of its list, its number of units.

func (m *ppmdModel) index(units int) int { return int(m.unitsIndex[units-1]) }

func (m *ppmdModel) insert(block uint32, index int) {
	m.setWord(block, ppmdEmpty)
	m.setWord(block+4, m.free[index])
	m.setWord(block+8, uint32(m.indexUnits[index]))
	m.free[index] = block
	m.stamps[index]++
}

func (m *ppmdModel) remove(index int) uint32 {
	block := m.free[index]
	m.free[index] = m.word(block + 4)
	m.stamps[index]--
	return block
}

// insertUnits puts so many units into the lists, which may take two blocks.
func (m *ppmdModel) insertUnits(block uint32, units int) {
	i := m.index(units)
	if int(m.indexUnits[i]) != units {
		i--
		k := int(m.indexUnits[i])
		m.insert(block+uint32(k*ppmdUnit), units-k-1)
	}
	m.insert(block, i)
}

// split gives back what a block has more than is needed.
func (m *ppmdModel) split(block uint32, had, needed int) {
	n := int(m.indexUnits[needed])
	m.insertUnits(block+uint32(n*ppmdUnit), int(m.indexUnits[had])-n)
}

// join makes one block of free ones that lie side by side.
func (m *ppmdModel) join() {
	m.glue = 1 << 13
	m.stamps = [ppmdIndexes]uint32{}
	if m.low != m.high {
		m.setWord(m.low, 0) // not free: no block goes on there
	}
	var head uint32
	tail := uint32(0) // the block at the end of the list that head begins
	for i := range m.free {
		next := m.free[i]
		m.free[i] = 0
		for next != 0 {
			block := next
			if m.word(block+8) != 0 {
				if tail == 0 {
					head = block
				} else {
					m.setWord(tail+4, block)
				}
				tail = block
				for {
					behind := block + m.word(block+8)*ppmdUnit
					if m.word(behind) != ppmdEmpty {
						break
					}
					m.setWord(block+8, m.word(block+8)+m.word(behind+8))
					m.setWord(behind+8, 0)
				}
			}
			next = m.word(block + 4)
		}
	}
	if tail != 0 {
		m.setWord(tail+4, 0)
	}
	for head != 0 {
		block := head
		head = m.word(block + 4)
		units := int(m.word(block + 8))
		if units == 0 {
			continue
		}
		for ; units > 128; units -= 128 {
			m.insert(block, ppmdIndexes-1)
			block += 128 * ppmdUnit
		}
		m.insertUnits(block, units)
	}
}

// allocateRare takes units when there are none that were never used: 0 when the
// memory is full.
func (m *ppmdModel) allocateRare(index int) uint32 {
	if m.glue == 0 {
		m.join()
		if m.free[index] != 0 {
			return m.remove(index)
		}
	}
	for i := index + 1; i < ppmdIndexes; i++ {
		if m.free[i] != 0 {
			block := m.remove(i)
			m.split(block, i, index)
			return block
		}
	}
	m.glue--
	n := uint32(m.indexUnits[index]) * ppmdUnit
	if m.units-m.text > n {
		m.units -= n
		return m.units
	}
	return 0
}

func (m *ppmdModel) allocate(index int) uint32 {
	if m.free[index] != 0 {
		return m.remove(index)
	}
	if n := uint32(m.indexUnits[index]) * ppmdUnit; n <= m.high-m.low {
		m.low += n
		return m.low - n
	}
	return m.allocateRare(index)
}

func (m *ppmdModel) allocateContext() uint32 {
	switch {
	case m.high != m.low:
		m.high -= ppmdUnit
		return m.high
	case m.free[0] != 0:
		return m.remove(0)
	}
	return m.allocateRare(0)
}

// shrink makes fewer units of a block.
func (m *ppmdModel) shrink(block uint32, had, needed int) uint32 {
	i, j := m.index(had), m.index(needed)
	if i == j {
		return block
	}
	if m.free[j] != 0 {
		other := m.remove(j)
		m.copyUnits(other, block, needed)
		m.insert(block, i)
		return other
	}
	m.split(block, i, j)
	return block
}

// release gives one unit back.
func (m *ppmdModel) release(block uint32) {
	if block != m.units {
		m.insert(block, 0)
		return
	}
	m.units += ppmdUnit
}

// moveUp moves a block from where text will need room.
func (m *ppmdModel) moveUp(block uint32, units int) uint32 {
	i := m.index(units)
	if block > m.units+16<<10 || block > m.free[i] {
		return block
	}
	other := m.remove(i)
	m.copyUnits(other, block, units)
	if block != m.units {
		m.insert(block, i)
	} else {
		m.units += uint32(m.indexUnits[i]) * ppmdUnit
	}
	return other
}

// expandText gives free blocks at the end of the text to the text.
func (m *ppmdModel) expandText() {
	var count [ppmdIndexes]int
	if m.low != m.high {
		m.setWord(m.low, 0)
	}
	for m.word(m.units) == ppmdEmpty {
		block, units := m.units, m.word(m.units+8)
		m.units += units * ppmdUnit
		count[m.index(int(units))]++
		m.setWord(block, 0)
	}
	for i := range count {
		previous := uint32(0)
		for block := m.free[i]; count[i] > 0 && block != 0; block = m.word(block + 4) {
			if m.word(block) != 0 {
				previous = block
				continue
			}
			if previous == 0 {
				m.free[i] = m.word(block + 4)
			} else {
				m.setWord(previous+4, m.word(block+4))
			}
			m.stamps[i]--
			count[i]--
		}
	}
}

// used is how much memory is not free.
func (m *ppmdModel) used() uint32 {
	n := uint32(0)
	for i, k := range m.stamps {
		n += k * uint32(m.indexUnits[i])
	}
	return m.size - (m.high - m.low) - (m.units - m.text) - n*ppmdUnit
}

// refresh counts the frequencies of a context anew, halved when scale is 1.
func (m *ppmdModel) refresh(c ppmdContext, had int, scale int) {
	n := m.count(c)
	s := ppmdSymbol(m.shrink(uint32(m.symbols(c)), had, (n+2)>>1))
	m.setSymbols(c, s)
	flags := m.flags(c)&(ppmdHighPath+ppmdRescaled*byte(scale)) | isHigh(m.symbol(s))
	escape := m.sum(c) - m.freq(s)
	m.setFreq(s, (m.freq(s)+scale)>>scale)
	sum := m.freq(s)
	for range n {
		s += ppmdSymbolSize
		escape -= m.freq(s)
		m.setFreq(s, (m.freq(s)+scale)>>scale)
		sum += m.freq(s)
		flags |= isHigh(m.symbol(s))
	}
	m.setSum(c, sum+(escape+scale)>>scale)
	m.setFlags(c, flags)
}

// single makes a context of one that has a single symbol left, in so many units.
func (m *ppmdModel) single(c ppmdContext) {
	s := m.symbols(c)
	m.setFlags(c, m.flags(c)&ppmdHighPath+isHigh(m.symbol(s)))
	m.copySymbol(m.only(c), s)
}

// cutOff forgets what follows a context where that is longest. It returns what
// is left of the context: 0 when nothing is.
func (m *ppmdModel) cutOff(c ppmdContext, order int) ppmdContext {
	shorter := func(s ppmdSymbol) {
		to := ppmdContext(0)
		if order < m.order {
			to = m.cutOff(ppmdContext(m.next(s)), order+1)
		}
		m.setNext(s, uint32(to))
	}
	if m.count(c) == 0 {
		s := m.only(c)
		if m.next(s) >= m.units {
			shorter(s)
			if m.next(s) != 0 || order <= 9 {
				return c
			}
		}
		m.release(uint32(c))
		return 0
	}
	had := (m.count(c) + 2) >> 1
	first := ppmdSymbol(m.moveUp(uint32(m.symbols(c)), had))
	m.setSymbols(c, first)
	left := m.count(c)
	for i := left; i >= 0; i-- {
		s := first + ppmdSymbol(i*ppmdSymbolSize)
		if m.next(s) < m.units {
			m.setNext(s, 0)
			m.swap(s, first+ppmdSymbol(left*ppmdSymbolSize))
			left--
		} else {
			shorter(s)
		}
	}
	if left == m.count(c) || order == 0 {
		return c
	}
	switch {
	case left < 0:
		m.insert(uint32(first), m.index(had))
		m.release(uint32(c))
		return 0
	case left == 0:
		m.setCount(c, 0)
		m.single(c)
		m.insert(uint32(first), m.index(had))
		s := m.only(c)
		m.setFreq(s, (m.freq(s)+11)>>3)
	default:
		m.setCount(c, left)
		scale := 0
		if m.sum(c) > 16*left {
			scale = 1
		}
		m.refresh(c, had, scale)
	}
	return c
}

// errPPMdMemory is told when the model would need the memory that it was not given.
var errPPMdMemory = fmt.Errorf("%w: ppmd with more than %d MiB of memory", ErrUnsupported, ppmdMemory>>20)

// restore makes room when the memory is full. Symbols were added to the contexts
// from the longest one down to the one behind first, which have to go.
func (m *ppmdModel) restore(first ppmdContext) {
	m.full = m.capped
	m.text = ppmdBase
	c := m.maxContext
	for ; c != first; c = m.suffix(c) {
		n := m.count(c) - 1
		m.setCount(c, n)
		if n == 0 {
			s := m.symbols(c)
			m.single(c)
			m.release(uint32(s))
			one := m.only(c)
			m.setFreq(one, (m.freq(one)+11)>>3)
		} else {
			m.refresh(c, (n+3)>>1, 0)
		}
	}
	for ; c != m.minContext; c = m.suffix(c) {
		if n := m.count(c); n == 0 {
			one := m.only(c)
			m.setFreq(one, m.freq(one)-m.freq(one)>>1)
		} else if m.setSum(c, m.sum(c)+4); m.sum(c) > 128+4*n {
			m.refresh(c, (n+2)>>1, 1)
		}
	}
	if m.method == ppmdRestart || m.used() < m.size>>1 {
		m.restart()
		return
	}
	for m.suffix(m.maxContext) != 0 {
		m.maxContext = m.suffix(m.maxContext)
	}
	for {
		m.cutOff(m.maxContext, 0)
		m.expandText()
		if m.used() <= 3*(m.size>>2) {
			break
		}
	}
	m.glue = 0
	m.orderFall = m.order
}

// symbolOf finds a symbol that a context has.
func (m *ppmdModel) symbolOf(c ppmdContext, symbol byte) ppmdSymbol {
	s := m.symbols(c)
	for m.symbol(s) != symbol {
		s += ppmdSymbolSize
	}
	return s
}

// extend makes the contexts that the symbol that was found leads to, for it and
// in the shorter contexts up to one that has been made. known is the symbol in the
// first of these, 0 when it has to be found. It returns 0 when the memory is full.
func (m *ppmdModel) extend(skip bool, known ppmdSymbol, c ppmdContext) ppmdContext {
	var path [ppmdMaxOrder + 1]ppmdSymbol
	n := 0
	symbol, text := m.symbol(m.found), m.next(m.found)
	if !skip {
		path[n] = m.found
		n++
	}
	for m.suffix(c) != 0 {
		c = m.suffix(c)
		s := known
		switch {
		case known != 0:
			known = 0
		case m.count(c) != 0:
			s = m.symbolOf(c, symbol)
			if m.freq(s) < ppmdMaxFreq-9 {
				m.setFreq(s, m.freq(s)+1)
				m.setSum(c, m.sum(c)+1)
			}
		default:
			s = m.only(c)
			if m.count(m.suffix(c)) == 0 && m.freq(s) < 24 {
				m.setFreq(s, m.freq(s)+1)
			}
		}
		if to := m.next(s); to != text {
			c = ppmdContext(to)
			if n == 0 {
				return c
			}
			break
		}
		path[n] = s
		n++
	}
	behind := m.memory[text]
	freq := 0
	if m.count(c) == 0 {
		freq = m.freq(m.only(c))
	} else {
		cf := m.freq(m.symbolOf(c, behind)) - 1
		rest := m.sum(c) - m.count(c) - cf
		switch {
		case 2*cf > rest:
			freq = 1 + (cf+2*rest-3)/rest
		case 5*cf > rest:
			freq = 2
		default:
			freq = 1
		}
	}
	flags := isHigh(symbol)<<1 | isHigh(behind)
	for n > 0 {
		child := ppmdContext(m.allocateContext())
		if child == 0 {
			return 0
		}
		m.setCount(child, 0)
		m.setFlags(child, flags)
		m.setSymbol(m.only(child), behind)
		m.setFreq(m.only(child), freq)
		m.setNext(m.only(child), text+1)
		m.setSuffix(child, c)
		n--
		m.setNext(path[n], uint32(child))
		c = child
	}
	return c
}

// reduce finds the longest context that the symbol that was found leads to, when
// nothing follows it yet.
func (m *ppmdModel) reduce(known ppmdSymbol, c ppmdContext) ppmdContext {
	first := c
	text := m.text
	m.setNext(m.found, text)
	m.orderFall++
	var s ppmdSymbol
	for {
		if known != 0 {
			c = m.suffix(c)
			s, known = known, 0
		} else {
			if m.suffix(c) == 0 {
				return c
			}
			c = m.suffix(c)
			if m.count(c) != 0 {
				s = m.symbolOf(c, m.symbol(m.found))
				if m.freq(s) < ppmdMaxFreq-9 {
					m.setFreq(s, m.freq(s)+2)
					m.setSum(c, m.sum(c)+2)
				}
			} else {
				s = m.only(c)
				if m.freq(s) < 32 {
					m.setFreq(s, m.freq(s)+1)
				}
			}
		}
		if m.next(s) != 0 {
			break
		}
		m.setNext(s, text)
		m.orderFall++
	}
	if m.next(s) <= text {
		found := m.found
		m.found = s
		m.setNext(s, uint32(m.extend(false, 0, c)))
		m.found = found
	}
	if m.orderFall == 1 && first == m.maxContext {
		m.setNext(m.found, m.next(s))
		m.text--
	}
	return ppmdContext(m.next(s))
}

// update learns from the symbol that was found, which is not what leads straight
// on to a context.
func (m *ppmdModel) update() {
	symbol, freq, to := m.symbol(m.found), m.freq(m.found), m.next(m.found)
	s := m.updateSuffix(symbol, freq)
	c := m.maxContext
	if m.orderFall == 0 && to != 0 {
		next := m.extend(true, s, m.minContext)
		if next == 0 {
			m.setNext(m.found, 0)
			m.restore(c)
			return
		}
		m.setNext(m.found, uint32(next))
		m.maxContext = next
		return
	}
	m.memory[m.text] = symbol
	m.text++
	successor := m.text
	if m.text >= m.units {
		m.restore(c)
		return
	}
	if to == 0 {
		to = uint32(m.reduce(s, m.minContext))
	} else if to < m.units {
		to = uint32(m.extend(false, s, m.minContext))
	}
	if to == 0 {
		m.restore(c)
		return
	}
	if m.orderFall--; m.orderFall == 0 {
		successor = to
		if m.maxContext != m.minContext {
			m.text--
		}
	}
	n := m.count(m.minContext)
	rest := m.sum(m.minContext) - n - freq
	for ; c != m.minContext; c = m.suffix(c) {
		if !m.addSymbol(c, n, rest, symbol, freq, successor) {
			m.restore(c)
			return
		}
	}
	m.maxContext, m.minContext = ppmdContext(to), ppmdContext(to)
}

// updateSuffix counts the symbol in the context that is one byte shorter, and
// returns where it is there; 0 when that was not looked for.
func (m *ppmdModel) updateSuffix(symbol byte, freq int) ppmdSymbol {
	c := m.suffix(m.minContext)
	if freq >= ppmdMaxFreq/4 || c == 0 {
		return 0
	}
	if m.count(c) == 0 {
		s := m.only(c)
		if m.freq(s) < 32 {
			m.setFreq(s, m.freq(s)+1)
		}
		return s
	}
	s := m.symbolOf(c, symbol)
	if s != m.symbols(c) && m.freq(s) >= m.freq(s-ppmdSymbolSize) {
		m.swap(s, s-ppmdSymbolSize)
		s -= ppmdSymbolSize
	}
	if m.freq(s) < ppmdMaxFreq-9 {
		m.setFreq(s, m.freq(s)+2)
		m.setSum(c, m.sum(c)+2)
	}
	return s
}

// addSymbol adds a symbol to a context. n and rest are the number of symbols in
// the context where it was found, and their frequencies without its own. It
// returns false when the memory is full.
func (m *ppmdModel) addSymbol(c ppmdContext, n, rest int, symbol byte, freq int, successor uint32) bool {
	had := m.count(c)
	if had != 0 {
		if !m.widen(c, had) {
			return false
		}
		if 3*had+1 < n {
			m.setSum(c, m.sum(c)+1)
		}
	} else {
		s := ppmdSymbol(m.allocate(0))
		if s == 0 {
			return false
		}
		m.copySymbol(s, m.only(c))
		m.setSymbols(c, s)
		f := ppmdMaxFreq - 4
		if m.freq(s) < ppmdMaxFreq/4-1 {
			f = 2 * m.freq(s)
		}
		m.setFreq(s, f)
		sum := f + int(m.escape)
		if n > 2 {
			sum++
		}
		m.setSum(c, sum)
	}
	cf := ppmdFreq(2*freq*(m.sum(c)+6), rest+m.sum(c))
	m.setSum(c, m.sum(c)+max(cf, 4))
	s := m.symbols(c) + ppmdSymbol((had+1)*ppmdSymbolSize)
	m.setNext(s, successor)
	m.setSymbol(s, symbol)
	m.setFreq(s, cf)
	m.setFlags(c, m.flags(c)|isHigh(symbol))
	m.setCount(c, had+1)
	return true
}

// ppmdFreq is the frequency that a new symbol begins with.
func ppmdFreq(cf, sf int) int {
	switch {
	case cf <= sf:
		return 1
	case cf < 4*sf:
		return 2
	case cf < 6*sf:
		return 3
	case cf <= 9*sf:
		return 4
	case cf <= 12*sf:
		return 5
	case cf <= 15*sf:
		return 6
	}
	return 7
}

// widen makes room for one more symbol.
func (m *ppmdModel) widen(c ppmdContext, had int) bool {
	units := (had + 1) >> 1
	i := m.index(units)
	if had&1 == 0 || i == m.index(units+1) {
		return true
	}
	block := m.allocate(i + 1)
	if block == 0 {
		return false
	}
	old := uint32(m.symbols(c))
	m.copyUnits(block, old, units)
	m.insert(old, i)
	m.setSymbols(c, ppmdSymbol(block))
	return true
}

// rescale halves the frequencies of the context in which a symbol was found.
func (m *ppmdModel) rescale() {
	c := m.minContext
	first := m.symbols(c)
	v := m.value(m.found)
	for s := m.found; s != first; s -= ppmdSymbolSize {
		m.copySymbol(s, s-ppmdSymbolSize)
	}
	m.setValue(first, v)
	adder := 0
	if m.orderFall != 0 {
		adder = 1
	}
	s := first
	escape := m.sum(c) - m.freq(s)
	m.setFreq(s, (m.freq(s)+4+adder)>>1)
	sum := m.freq(s)
	for range m.count(c) {
		s += ppmdSymbolSize
		escape -= m.freq(s)
		m.setFreq(s, (m.freq(s)+adder)>>1)
		sum += m.freq(s)
		m.sink(first, s)
	}
	if m.freq(s) == 0 {
		var done bool
		if escape, done = m.dropUnused(s, escape); done {
			return
		}
	}
	m.setSum(c, sum+escape-escape>>1)
	m.setFlags(c, m.flags(c)|ppmdRescaled)
	m.found = m.symbols(c)
}

// sink moves a symbol to where it belongs by its frequency.
func (m *ppmdModel) sink(first, s ppmdSymbol) {
	v := m.value(s)
	freq := m.freq(s)
	to := s
	for to != first && freq > m.freq(to-ppmdSymbolSize) {
		m.copySymbol(to, to-ppmdSymbolSize)
		to -= ppmdSymbolSize
	}
	if to != s {
		m.setValue(to, v)
	}
}

// dropUnused takes symbols whose frequency became 0 out of a context; s is its
// last one. done says that a single one is left.
func (m *ppmdModel) dropUnused(s ppmdSymbol, escape int) (_ int, done bool) {
	c := m.minContext
	had, first := m.count(c), m.symbols(c)
	n := had
	for m.freq(s) == 0 {
		s -= ppmdSymbolSize
		n--
		escape++
	}
	m.setCount(c, n)
	units := (had + 2) >> 1
	if n == 0 {
		freq := min((2*m.freq(first)+escape-1)/escape, ppmdMaxFreq/3)
		m.setFreq(first, freq)
		m.single(c)
		m.insert(uint32(first), m.index(units))
		m.found = m.only(c)
		return escape, true
	}
	if now := (n + 2) >> 1; now != units {
		m.setSymbols(c, ppmdSymbol(m.shrink(uint32(first), units, now)))
	}
	flags := m.flags(c) &^ ppmdHigh
	for i := range n + 1 {
		flags |= isHigh(m.symbol(m.symbols(c) + ppmdSymbol(i*ppmdSymbolSize)))
	}
	m.setFlags(c, flags)
	return escape, false
}

// advance goes on to the context behind the symbol that was found.
func (m *ppmdModel) advance() {
	if c := m.next(m.found); m.orderFall == 0 && c >= m.units {
		m.minContext, m.maxContext = ppmdContext(c), ppmdContext(c)
		return
	}
	m.update()
	m.minContext = m.maxContext
}

// foundFirst learns that the first symbol of a context came.
func (m *ppmdModel) foundFirst() {
	m.success = 0
	if 2*m.freq(m.found) >= m.sum(m.minContext) {
		m.success = 1
	}
	m.runLength += m.success
	m.setSum(m.minContext, m.sum(m.minContext)+4)
	m.setFreq(m.found, m.freq(m.found)+4)
	if m.freq(m.found) > ppmdMaxFreq {
		m.rescale()
	}
	m.advance()
}

// foundOther learns that another one came.
func (m *ppmdModel) foundOther() {
	s := m.found
	m.setFreq(s, m.freq(s)+4)
	m.setSum(m.minContext, m.sum(m.minContext)+4)
	if before := s - ppmdSymbolSize; m.freq(s) > m.freq(before) {
		m.swap(s, before)
		m.found = before
		if m.freq(before) > ppmdMaxFreq {
			m.rescale()
		}
	}
	m.advance()
}

// foundAfterEscape learns that a symbol came that the longer contexts did not have.
func (m *ppmdModel) foundAfterEscape() {
	m.setSum(m.minContext, m.sum(m.minContext)+4)
	m.setFreq(m.found, m.freq(m.found)+4)
	if m.freq(m.found) > ppmdMaxFreq {
		m.rescale()
	}
	m.runLength = m.initRun
	m.update()
	m.minContext = m.maxContext
}

// escapeOf gives the estimate for an escape, and its frequency.
func (m *ppmdModel) escapeOf(masked int) (*ppmdEscape, uint32) {
	c := m.minContext
	n := m.count(c)
	if n == 255 {
		return &m.dummy, 1
	}
	k := int(m.flags(c))
	if m.sum(c) > 11*(n+1) {
		k++
	}
	if 2*n < m.count(m.suffix(c))+masked {
		k += 2
	}
	e := &m.escapes[m.freqIndex[n+2]-3][k]
	r := e.sum >> e.shift
	e.sum -= r
	return e, max(uint32(r), 1)
}

// seen notes that there was no escape.
func (e *ppmdEscape) seen() {
	if e.shift < ppmdPeriodBits {
		if e.count--; e.count == 0 {
			e.sum <<= 1
			e.count = 3 << e.shift
			e.shift++
		}
	}
}

// binaryOf gives the estimate that the only symbol of a context comes.
func (m *ppmdModel) binaryOf() *uint16 {
	c := m.minContext
	k := int(m.binIndex[m.count(m.suffix(c))]) + m.success + int(m.flags(c)) + m.runLength>>26&0x20
	return &m.binary[m.freqIndex[m.freq(m.only(c))-1]][k]
}

// ppmdReader unpacks PPMd.
type ppmdReader struct {
	model *ppmdModel
	in    io.ByteReader
	err   error

	low, code, scope uint32    // of the range decoder
	masked           [256]bool // symbols that cannot come behind an escape
	maskedSymbols    []byte    // all of them
	choices          []ppmdSymbol
	last             byte
}

// newPPMdReader unpacks an entry: two bytes say what the model is like (APPNOTE,
// section 5.10). memory, when it is large enough, is used for it.
func newPPMdReader(in io.ByteReader, memory []byte) (*ppmdReader, error) {
	head, err := (&bitStream{in: in}).bits(16)
	if err != nil {
		return nil, err
	}
	order, megabytes, method := int(head&15)+1, head>>4&0xff+1, int(head>>12)
	switch {
	case order < 2:
		return nil, errors.New("invalid order")
	case method > ppmdCutOff:
		return nil, fmt.Errorf("%w: ppmd with restoration method %d", ErrUnsupported, method)
	}
	r := &ppmdReader{model: newPPMdModel(order, megabytes<<20, method, memory), in: in}
	for range 4 {
		if err := r.shift(); err != nil {
			return nil, err
		}
	}
	r.scope = 0xFFFFFFFF
	return r, nil
}

// Read implements io.Reader.
func (r *ppmdReader) Read(p []byte) (n int, err error) {
	for n < len(p) && r.err == nil {
		var c byte
		if c, r.err = r.decode(); r.err == nil {
			p[n] = c
			n++
		}
	}
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, r.err
}

// shift takes a byte in.
func (r *ppmdReader) shift() error {
	c, err := r.in.ReadByte()
	if err != nil {
		return unexpected(err)
	}
	r.code = r.code<<8 | uint32(c)
	r.scope <<= 8
	r.low <<= 8
	return nil
}

// narrow goes on with the part of the range that was met. The range has been
// divided.
func (r *ppmdReader) narrow(start, size uint32) error {
	start *= r.scope
	r.low += start
	r.code -= start
	r.scope *= size
	for {
		if (r.low ^ (r.low + r.scope)) >= 1<<24 {
			if r.scope >= 1<<15 {
				return nil
			}
			r.scope = -r.low & (1<<15 - 1)
		}
		if err := r.shift(); err != nil {
			return err
		}
	}
}

// at divides the range by a total, and says where in it the code is.
func (r *ppmdReader) at(total uint32) uint32 {
	if total == 0 || r.scope < total {
		return total // damage: no valid code leads here
	}
	r.scope /= total
	return r.code / r.scope
}

// decode gives the next byte; io.EOF where the end is marked.
func (r *ppmdReader) decode() (byte, error) {
	m := r.model
	r.unmask()
	var found bool
	var err error
	if m.count(m.minContext) == 0 {
		found, err = r.decodeOnly()
	} else {
		found, err = r.decodeAny()
	}
	for !found && err == nil {
		found, err = r.decodeRest()
	}
	if m.full {
		err = errPPMdMemory
	}
	return r.last, err
}

// give says which symbol was found.
func (r *ppmdReader) give(s ppmdSymbol) {
	r.model.found = s
	r.last = r.model.symbol(s)
}

// decodeOnly decodes in a context of a single symbol.
func (r *ppmdReader) decodeOnly() (found bool, err error) {
	m := r.model
	estimate := m.binaryOf()
	p := uint32(*estimate)
	mean := (*estimate + 1<<(ppmdPeriodBits-2)) >> ppmdPeriodBits
	if r.at(ppmdBinScale) < p {
		*estimate += 1<<ppmdIntBits - mean
		err = r.narrow(0, p)
		r.give(m.only(m.minContext))
		m.foundOnly()
		return true, err
	}
	*estimate -= mean
	m.escape = ppmdEscapes[*estimate>>10]
	m.success = 0
	r.mask(m.symbol(m.only(m.minContext)))
	return false, r.narrow(p, ppmdBinScale-p)
}

// foundOnly learns that the only symbol of a context came.
func (m *ppmdModel) foundOnly() {
	if f := m.freq(m.found); f < 196 {
		m.setFreq(m.found, f+1)
	}
	m.success = 1
	m.runLength++
	m.advance()
}

// ppmdEscapes estimates escapes by how likely the only symbol was.
var ppmdEscapes = [16]uint{25, 14, 9, 7, 5, 5, 4, 4, 4, 3, 3, 3, 2, 2, 2, 2}

func (r *ppmdReader) mask(symbol byte) {
	r.masked[symbol] = true
	r.maskedSymbols = append(r.maskedSymbols, symbol)
}

// decodeAny decodes in a context of several symbols.
func (r *ppmdReader) decodeAny() (found bool, err error) {
	m := r.model
	c := m.minContext
	total := uint32(m.sum(c))
	at := r.at(total)
	s := m.symbols(c)
	upTo := uint32(m.freq(s))
	if at < upTo {
		err = r.narrow(0, upTo)
		r.give(s)
		m.foundFirst()
		return true, err
	}
	m.success = 0
	for range m.count(c) {
		s += ppmdSymbolSize
		f := uint32(m.freq(s))
		if upTo += f; upTo > at {
			err = r.narrow(upTo-f, f)
			r.give(s)
			m.foundOther()
			return true, err
		}
	}
	if at >= total {
		return false, errCode
	}
	for i, first := 0, m.symbols(c); i <= m.count(c); i++ {
		r.mask(m.symbol(first + ppmdSymbol(i*ppmdSymbolSize)))
	}
	return false, r.narrow(upTo, total-upTo)
}

// decodeRest decodes behind an escape, in the next shorter context that has more
// symbols.
func (r *ppmdReader) decodeRest() (found bool, err error) {
	m := r.model
	masked := m.count(m.minContext)
	for {
		m.orderFall++
		c := m.suffix(m.minContext)
		if c == 0 {
			return false, io.EOF
		}
		m.minContext = c
		if m.count(c) != masked {
			break
		}
	}
	r.choices = r.choices[:0]
	known := uint32(0)
	for i, first := 0, m.symbols(m.minContext); i <= m.count(m.minContext); i++ {
		if s := first + ppmdSymbol(i*ppmdSymbolSize); !r.masked[m.symbol(s)] {
			known += uint32(m.freq(s))
			r.choices = append(r.choices, s)
		}
	}
	estimate, escape := m.escapeOf(masked)
	total := known + escape
	at := r.at(total)
	if at >= total {
		return false, errCode
	}
	if at >= known {
		estimate.sum += uint16(total)
		for _, s := range r.choices {
			r.mask(m.symbol(s))
		}
		return false, r.narrow(known, escape)
	}
	upTo := uint32(0)
	for _, s := range r.choices {
		f := uint32(m.freq(s))
		if upTo += f; upTo > at {
			err = r.narrow(upTo-f, f)
			estimate.seen()
			r.give(s)
			m.foundAfterEscape()
			return true, err
		}
	}
	return false, errCode
}

// unmask forgets what was masked.
func (r *ppmdReader) unmask() {
	for _, c := range r.maskedSymbols {
		r.masked[c] = false
	}
	r.maskedSymbols = r.maskedSymbols[:0]
}

// unppmd reads PPMd. The memory of the model serves all members.
func (z *zipReader) unppmd(e *zipEntry, in zipInput) (io.Reader, error) {
	r, err := newPPMdReader(in, z.memory)
	if err != nil {
		return nil, err
	}
	z.memory = r.model.memory
	return e.sized(r), nil
}
