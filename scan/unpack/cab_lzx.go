package unpack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// lzxDecoder unpacks LZX as cabinets have it (MS-PATCH, section 2, where what is
// called LZX DELTA there adds to it), as does HTML Help, frame by frame. It is
// made once and restarted for every stream. A chunk of a WIM image is a stream of
// its own.
type lzxDecoder struct {
	window []byte
	at     int // in the window
	filled int // bytes of the window that have been written

	in   []byte // the frame's compressed bytes
	next int    // the next of them; beyond the end they count as zeros
	bits uint64 // the lowest have are what has been taken out of in
	have uint

	wim    bool  // the stream is a chunk of a WIM image, in which some things are fixed
	header bool  // the stream's header has been read
	e8     int64 // what is translated as the size of a program; 0: nothing is
	out    int64 // bytes of the stream so far
	moved  []byte

	kind    uint // of the block
	left    int  // bytes of the block that are still to come
	odd     bool // the block is not compressed, and a byte of padding follows it
	padded  bool // that byte stands before the next frame
	recent  [3]int
	main    lzxTree
	length  lzxTree
	aligned lzxTree
	pre     lzxTree
	slots   int
}

// Kinds of blocks (MS-PATCH, section 2.3.1.1).
const (
	lzxVerbatim     = 1
	lzxAligned      = 2
	lzxUncompressed = 3
)

const (
	lzxFrame      = 32 << 10 // bytes of a frame but the last (section 2.1)
	lzxMinMatch   = 2
	lzxLengths    = 249     // symbols of the tree of lengths
	lzxE8Frames   = 1 << 15 // those that are translated
	lzxMinBits    = 15      // binary logarithms of the window's size
	lzxMaxBits    = 21
	lzxPreSymbols = 20

	lzxWIMCalls = 12_000_000 // what chunks of WIM images are translated as
)

var (
	errLZX    = errors.New("LZX: invalid data")
	errLZXEnd = errors.New("LZX: cut short")
)

// newLZXDecoder makes a decoder for a window of 1<<bits bytes.
func newLZXDecoder(bits int) (*lzxDecoder, error) {
	if bits < lzxMinBits || bits > lzxMaxBits {
		return nil, fmt.Errorf("%w: LZX with a window of %d bits", ErrUnsupported, bits)
	}
	d := &lzxDecoder{window: make([]byte, 1<<bits), moved: make([]byte, lzxFrame)}
	for base := 0; base < len(d.window); d.slots++ {
		base += 1 << lzxExtra(d.slots)
	}
	d.main = newLZXTree(256 + 8*d.slots)
	d.length, d.aligned, d.pre = newLZXTree(lzxLengths), newLZXTree(8), newLZXTree(lzxPreSymbols)
	d.restart()
	return d, nil
}

// lzxExtra is how many bits say which offset of a slot it is (section 2.2).
func lzxExtra(slot int) uint {
	if slot < 4 {
		return 0
	}
	return uint(min(slot/2-1, 17))
}

// lzxBase are the first offsets of the slots.
var lzxBase = func() (base [50]int) {
	for i := 1; i < len(base); i++ {
		base[i] = base[i-1] + 1<<lzxExtra(i-1)
	}
	return base
}()

// restart makes ready for a new stream.
func (d *lzxDecoder) restart() {
	d.at, d.filled, d.out = 0, 0, 0
	d.reset()
}

// reset forgets everything but the window: HTML Help does so at intervals.
func (d *lzxDecoder) reset() {
	d.header, d.e8, d.left, d.odd, d.padded = false, 0, 0, false, false
	d.recent = [3]int{1, 1, 1}
	clear(d.main.lens)
	clear(d.length.lens)
}

// frame unpacks the frame of so many bytes, at most lzxFrame, that in begins with.
// used is how many bytes of in it takes. On an error out is what came before it.
// out holds until the next call.
func (d *lzxDecoder) frame(in []byte, size int) (out []byte, used int, err error) {
	d.in, d.next, d.bits, d.have = in, 0, 0, 0
	start := d.at
	if size = min(size, lzxFrame); start+size > len(d.window) { // frames before it were short
		size = len(d.window) - start
		err = errLZX
	}
	if e := d.decode(start + size); e != nil {
		err = e
	}
	used = min(d.next-2*int(d.have/16), len(in))
	out = d.translate(d.window[start:d.at])
	if d.at == len(d.window) {
		d.at = 0
	}
	d.out += int64(len(out))
	return out, used, err
}

// decode unpacks until the window is full up to end.
func (d *lzxDecoder) decode(end int) error {
	if d.padded {
		d.padded = false
		d.next++
	}
	if !d.header {
		d.begin()
	}
	for d.at < end {
		if d.left == 0 {
			if err := d.block(); err != nil {
				return err
			}
		}
		before := d.at
		until := min(end, d.at+d.left)
		var err error
		if d.kind == lzxUncompressed {
			err = d.stored(until)
		} else {
			err = d.matches(until)
		}
		d.left -= d.at - before
		d.filled = max(d.filled, d.at)
		if err != nil {
			return err
		}
	}
	return nil
}

// begin reads the header of a stream (section 2.1).
func (d *lzxDecoder) begin() {
	d.header = true
	if d.wim {
		d.e8 = lzxWIMCalls
	} else if d.take(1) != 0 {
		high := d.take(16)
		d.e8 = int64(int32(high<<16 | d.take(16)))
	}
}

// refill takes words out of the input, of 16 bits, their low byte first.
func (d *lzxDecoder) refill() {
	for d.have <= 48 {
		var word uint64
		switch {
		case d.next+2 <= len(d.in):
			word = uint64(binary.LittleEndian.Uint16(d.in[d.next:]))
		case d.next < len(d.in):
			word = uint64(d.in[d.next])
		}
		d.bits = d.bits<<16 | word
		d.next += 2
		d.have += 16
	}
}

// ended reports whether more has been taken than there was.
func (d *lzxDecoder) ended() bool { return d.next-int(d.have/8) > len(d.in) }

// take gives n bits, at most 17.
func (d *lzxDecoder) take(n uint) uint32 {
	if d.have < n {
		d.refill()
	}
	d.have -= n
	return uint32(d.bits>>d.have) & (1<<n - 1)
}

// block reads the header of a block (section 2.3).
func (d *lzxDecoder) block() error {
	d.kind = uint(d.take(3))
	switch {
	case d.wim && d.take(1) != 0:
		d.left = lzxFrame
	case d.wim && len(d.window) < 1<<16:
		d.left = int(d.take(16))
	default:
		d.left = int(d.take(16) << 8)
		d.left |= int(d.take(8))
	}
	if d.ended() {
		return errLZXEnd
	}
	switch d.kind {
	case lzxUncompressed:
		return d.align()
	case lzxAligned:
		for i := range d.aligned.lens {
			d.aligned.lens[i] = byte(d.take(3))
		}
		if !d.aligned.build() {
			return errLZX
		}
	case lzxVerbatim:
	default:
		return errLZX
	}
	if !d.lengths(d.main.lens[:256]) || !d.lengths(d.main.lens[256:]) || !d.main.build() ||
		!d.lengths(d.length.lens) || !d.length.build() {
		return errLZX
	}
	if d.left == 0 {
		return errLZX // an endless row of them would be no progress
	}
	return nil
}

// align reads the rest of the header of a block that is not compressed: up to
// the next word, or that word when the header ends with one, and the offsets.
func (d *lzxDecoder) align() error {
	if d.left == 0 {
		return errLZX
	}
	if d.have%16 == 0 {
		d.take(16)
	}
	d.next -= 2 * int(d.have/16)
	d.have = 0
	if d.next+12 > len(d.in) {
		return errLZXEnd
	}
	for i := range d.recent {
		d.recent[i] = int(binary.LittleEndian.Uint32(d.in[d.next:]))
		d.next += 4
	}
	d.odd = d.left%2 == 1
	return nil
}

// stored copies bytes of a block that is not compressed.
func (d *lzxDecoder) stored(until int) error {
	n := copy(d.window[d.at:until], d.in[min(d.next, len(d.in)):])
	d.at, d.next = d.at+n, d.next+n
	if d.at < until {
		return errLZXEnd
	}
	if n == d.left && d.odd {
		d.odd = false
		d.padded = d.next == len(d.in)
		d.next++
	}
	return nil
}

// lengths reads the lengths of codes, as differences to those of the block before
// (section 2.4).
func (d *lzxDecoder) lengths(lens []byte) bool {
	for i := range d.pre.lens {
		d.pre.lens[i] = byte(d.take(4))
	}
	if !d.pre.build() {
		return false
	}
	for i := 0; i < len(lens); {
		if d.ended() {
			return false
		}
		symbol, run := d.symbol(&d.pre), 1
		value := byte(0)
		switch symbol {
		case -1:
			return false
		case 17:
			run = int(d.take(4)) + 4
		case 18:
			run = int(d.take(5)) + 20
		case 19:
			run = int(d.take(1)) + 4
			if symbol = d.symbol(&d.pre); symbol < 0 || symbol > 16 {
				return false
			}
			fallthrough
		default:
			value = byte((int(lens[i]) - symbol + 17) % 17)
		}
		if run > len(lens)-i {
			return false
		}
		for end := i + run; i < end; i++ {
			lens[i] = value
		}
	}
	return true
}

// matches decodes a compressed block up to until.
func (d *lzxDecoder) matches(until int) error {
	for d.at < until {
		symbol := d.symbol(&d.main)
		switch {
		case symbol < 0:
			return errLZX
		case d.ended():
			return errLZXEnd
		case symbol < 256:
			d.window[d.at] = byte(symbol)
			d.at++
			continue
		}
		n, offset := d.match(symbol - 256)
		if n < 0 {
			return errLZX
		}
		if n > until-d.at { // no match goes beyond a frame
			return errLZX
		}
		if !d.copy(offset, n) {
			return errLZX
		}
	}
	return nil
}

// match reads the rest of a match: its length and its offset (section 2.6).
func (d *lzxDecoder) match(symbol int) (n, offset int) {
	n = symbol & 7
	if n == 7 {
		more := d.symbol(&d.length)
		if more < 0 {
			return -1, 0
		}
		n += more
	}
	n += lzxMinMatch
	slot := symbol >> 3
	if slot < len(d.recent) {
		offset = d.recent[slot]
		d.recent[slot], d.recent[0] = d.recent[0], offset
		return n, offset
	}
	offset = lzxBase[slot] - 2
	extra := lzxExtra(slot)
	if d.kind == lzxAligned && extra >= 3 {
		offset += int(d.take(extra-3)) << 3
		low := d.symbol(&d.aligned)
		if low < 0 {
			return -1, 0
		}
		offset += low
	} else {
		offset += int(d.take(extra))
	}
	d.recent[2], d.recent[1], d.recent[0] = d.recent[1], d.recent[0], offset
	return n, offset
}

// copy repeats n bytes from so far back; the window has room for them.
func (d *lzxDecoder) copy(offset, n int) bool {
	from := d.at - offset
	if offset <= 0 || offset > len(d.window) || from < 0 && d.filled < len(d.window) {
		return false
	}
	to := d.at
	d.at += n
	if from >= 0 && offset >= n {
		copy(d.window[to:to+n], d.window[from:])
		return true
	}
	for ; n > 0; n-- {
		d.window[to] = d.window[from&(len(d.window)-1)]
		to++
		from++
	}
	return true
}

// translate turns the targets of calls in programs back into distances (section
// 2.8): the window keeps them as they were.
func (d *lzxDecoder) translate(frame []byte) []byte {
	if d.e8 == 0 || d.out >= lzxE8Frames*lzxFrame || len(frame) <= 10 {
		return frame
	}
	frame = d.moved[:copy(d.moved, frame)]
	for i := 0; i < len(frame)-10; i++ {
		if frame[i] != 0xe8 {
			continue
		}
		at := d.out + int64(i)
		target := frame[i+1 : i+5]
		value := int64(int32(binary.LittleEndian.Uint32(target)))
		if value >= -at && value < d.e8 {
			if value >= 0 {
				value -= at
			} else {
				value += d.e8
			}
			binary.LittleEndian.PutUint32(target, uint32(value))
		}
		i += 4
	}
	return frame
}

// lzxTree is a Huffman code: canonical, codes of the same length in the order of
// their symbols.
type lzxTree struct {
	lens   []byte
	table  []uint16   // by the next lzxFast bits: the symbol and, below it, the length; 0: a longer code
	sorted []uint16   // symbols by length
	first  [18]uint32 // by length: the first code, made as long as the longest
	index  [18]int    // by length: of its first symbol in sorted
}

const (
	lzxFast   = 10 // codes up to this length are looked up
	lzxLength = 16 // the longest code
)

func newLZXTree(symbols int) lzxTree {
	return lzxTree{lens: make([]byte, symbols), table: make([]uint16, 1<<lzxFast), sorted: make([]uint16, symbols)}
}

// build makes the code of the lengths; false when there is none. A code may have
// gaps, or no symbols at all.
func (t *lzxTree) build() bool {
	var count [18]int
	for _, n := range t.lens {
		count[n]++
	}
	count[0] = 0
	code := uint32(0)
	for n := 1; n <= lzxLength; n++ {
		t.first[n] = code
		t.index[n] = t.index[n-1] + count[n-1]
		code += uint32(count[n]) << (lzxLength - n)
	}
	if code > 1<<lzxLength {
		return false
	}
	t.first[lzxLength+1] = code
	place := t.index
	for symbol, n := range t.lens {
		if n > 0 {
			t.sorted[place[n]] = uint16(symbol)
			place[n]++
		}
	}
	clear(t.table)
	for n := 1; n <= lzxFast; n++ {
		at, each := int(t.first[n])>>(lzxLength-lzxFast), 1<<(lzxFast-n)
		for _, symbol := range t.sorted[t.index[n] : t.index[n]+count[n]] {
			for i := range each {
				t.table[at+i] = symbol<<4 | uint16(n)
			}
			at += each
		}
	}
	return true
}

// symbol reads a symbol; -1 when the code has none there.
func (d *lzxDecoder) symbol(t *lzxTree) int {
	if d.have < lzxLength {
		d.refill()
	}
	peek := uint32(d.bits>>(d.have-lzxLength)) & (1<<lzxLength - 1)
	if e := t.table[peek>>(lzxLength-lzxFast)]; e != 0 {
		d.have -= uint(e & 15)
		return int(e >> 4)
	}
	symbol, n := t.find(peek)
	d.have -= n
	return symbol
}

// find looks a symbol up: peek are the next 16 bits, the first the highest. n is how
// long its code is. The symbol is -1 when the code has none there.
func (t *lzxTree) find(peek uint32) (symbol int, n uint) {
	if e := t.table[peek>>(lzxLength-lzxFast)]; e != 0 {
		return int(e >> 4), uint(e & 15)
	}
	for n := lzxFast + 1; n <= lzxLength; n++ {
		if peek < t.first[n+1] {
			if peek < t.first[n] {
				return -1, 0
			}
			return int(t.sorted[t.index[n]+int(peek-t.first[n])>>(lzxLength-n)]), uint(n)
		}
	}
	return -1, 0
}

// newWIMLZXDecoder makes a decoder for chunks of a WIM image of up to so many bytes.
func newWIMLZXDecoder(size int) (*lzxDecoder, error) {
	d, err := newLZXDecoder(max(bits.Len(uint(size-1)), lzxMinBits))
	if err != nil {
		return nil, err
	}
	d.wim, d.moved = true, make([]byte, len(d.window))
	return d, nil
}

// chunk unpacks a chunk of a WIM image, a stream of its own that is not divided into
// frames. On an error out is what came before it. out holds until the next call.
func (d *lzxDecoder) chunk(in []byte, size int) (out []byte, err error) {
	d.restart()
	d.in, d.next, d.bits, d.have = in, 0, 0, 0
	err = d.decode(min(size, len(d.window)))
	return d.translate(d.window[:d.at]), err
}
