package unpack

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
)

// lzfseReader unpacks LZFSE and, in blocks of such a stream, LZVN: Apple's methods, as
// its reference implementation (github.com/lzfse/lzfse) has them.
type lzfseReader struct {
	window
	in       []byte // from the next block on
	left     int    // bytes that the present block has still to give
	literals []byte // to be handed out before the match
	more     func() error
	err      error
}

// How blocks begin.
const (
	lzfseEnd    = "bvx$"
	lzfseStored = "bvx-"
	lzfseLZVN   = "bvxn"
	lzfseBlock  = "bvx2"
)

// lzfseDistance is more than the largest distance of a match.
const lzfseDistance = 1 << 18

var errLZFSE = fmt.Errorf("%w: lzfse", ErrDamaged)

func newLZFSE(in []byte) *lzfseReader {
	return &lzfseReader{window: newWindow(lzfseDistance), in: in}
}

// restart begins with another stream.
func (r *lzfseReader) restart(in []byte) {
	*r = lzfseReader{window: window{ring: r.ring}, in: in}
}

// Read implements io.Reader.
func (r *lzfseReader) Read(p []byte) (int, error) {
	for {
		if n := r.take(p); n > 0 || len(p) == 0 {
			return n, nil
		}
		if r.err != nil {
			return 0, r.err
		}
		for r.err == nil && r.room() > 0 {
			r.step()
		}
	}
}

// step writes what is to be written, or sees to what is next.
func (r *lzfseReader) step() {
	switch {
	case len(r.literals) > 0:
		n := min(len(r.literals), r.room())
		for _, c := range r.literals[:n] {
			r.put(c)
		}
		r.literals = r.literals[n:]
	case r.length > 0:
		if r.distance <= 0 || r.distance > min(r.written, lzfseDistance) {
			r.err = errLZFSE
			return
		}
		r.copy()
	case r.more != nil:
		if err := r.more(); err == io.EOF {
			if r.more = nil; r.left != 0 {
				r.err = errLZFSE
			}
		} else {
			r.err = err
		}
	default:
		r.err = r.block()
	}
}

// emit says what is to be written next; false when that is more than the block has.
func (r *lzfseReader) emit(literals []byte, length, distance int) error {
	if r.left -= len(literals) + length; r.left < 0 {
		return errLZFSE
	}
	r.literals = literals
	r.match(distance, length)
	return nil
}

// block begins with the next block; io.EOF behind the last.
func (r *lzfseReader) block() error {
	if len(r.in) < 4 {
		return errShort
	}
	magic := string(r.in[:4])
	if magic == lzfseEnd {
		return io.EOF
	}
	if len(r.in) < 12 {
		return errShort
	}
	r.left = int(binary.LittleEndian.Uint32(r.in[4:]))
	switch magic {
	case lzfseStored:
		stored := r.in[8:]
		n := min(r.left, len(stored))
		r.in = stored[n:]
		if short := n < r.left; short {
			r.more = func() error { return errShort }
		}
		return r.emit(stored[:n], 0, 0)
	case lzfseLZVN:
		packed := r.in[12:]
		n := int(min(int64(binary.LittleEndian.Uint32(r.in[8:])), int64(len(packed))))
		r.in = packed[n:]
		v := &lzvn{lzfseReader: r, in: packed[:n]}
		r.more = v.next
		return nil
	case lzfseBlock:
		return r.compressed()
	}
	return fmt.Errorf("%w: block %q of LZFSE", ErrUnsupported, magic)
}

// lzvn is a block of LZVN: codes of one byte or more, then literals.
type lzvn struct {
	*lzfseReader
	in   []byte
	last int // distance
}

// next reads a code; io.EOF at that of the end.
func (v *lzvn) next() error {
	if len(v.in) == 0 {
		return errShort
	}
	c := int(v.in[0])
	switch {
	case c == 0x06:
		return io.EOF
	case c == 0x0e, c == 0x16: // nothing
		v.in = v.in[1:]
		return nil
	case c>>4 == 0x7, c>>4 == 0xd, c < 0x40 && c&7 == 6:
		return errLZFSE
	case c == 0xe0, c == 0xf0: // many literals, or a long match
		if len(v.in) < 2 {
			return errShort
		}
		return v.run(c, 2, int(v.in[1])+16)
	case c >= 0xe0:
		return v.run(c, 1, c&15)
	}
	return v.both(c)
}

// run is literals only, or a match as far away as the last one.
func (v *lzvn) run(c, size, n int) error {
	if c >= 0xf0 {
		return v.code(size, 0, n)
	}
	return v.code(size, n, 0)
}

// both is up to three literals and a match.
func (v *lzvn) both(c int) error {
	var b [3]byte
	copy(b[:], v.in)
	literals, length := c>>6, c>>3&7+3
	switch {
	case c>>5 == 5:
		wide := int(binary.LittleEndian.Uint16(b[1:]))
		v.last = wide >> 2
		return v.code(3, c>>3&3, c&7<<2|wide&3+3)
	case c&7 == 7:
		v.last = int(binary.LittleEndian.Uint16(b[1:]))
		return v.code(3, literals, length)
	case c&7 == 6:
		return v.code(1, literals, length)
	}
	v.last = c&7<<8 | int(b[1])
	return v.code(2, literals, length)
}

// code ends a code of so many bytes.
func (v *lzvn) code(size, literals, length int) error {
	if size+literals > len(v.in) {
		return errShort
	}
	text := v.in[size : size+literals]
	v.in = v.in[size+literals:]
	return v.emit(text, length, v.last)
}

// The symbols of a compressed block: lengths of runs of literals, of matches,
// distances, literals. The states of their codes are powers of two.
const (
	lzfseLengths, lzfseLengthStates     = 20, 64
	lzfseDistances, lzfseDistanceStates = 64, 256
	lzfseBytes, lzfseByteStates         = 256, 1024

	lzfseMostLiterals = 40000 // of a block
	lzfseMostMatches  = 10000
	lzfseHeader       = 32
)

// lzfseExtra are the bits that follow a symbol.
var (
	lzfseLiteralExtra  = [lzfseLengths]uint8{16: 2, 3, 5, 8}
	lzfseMatchExtra    = [lzfseLengths]uint8{16: 3, 5, 8, 11}
	lzfseDistanceExtra = func() (extra [lzfseDistances]uint8) {
		for i := range extra {
			extra[i] = uint8(i / 4)
		}
		return extra
	}()
)

// compressed begins with a block that is compressed: a header with fields of some bits,
// the frequencies of all symbols, the literals, the matches.
func (r *lzfseReader) compressed() error {
	if len(r.in) < lzfseHeader {
		return errShort
	}
	le := binary.LittleEndian
	v0, v1, v2 := le.Uint64(r.in[8:]), le.Uint64(r.in[16:]), le.Uint64(r.in[24:])
	field := func(v uint64, at, n uint) int { return int(v >> at & (1<<n - 1)) }
	size, literalSize, matchSize := field(v2, 0, 32), field(v0, 20, 20), field(v1, 40, 20)
	literals, matches := field(v0, 0, 20), field(v0, 40, 20)
	if size < lzfseHeader || literals > lzfseMostLiterals || matches > lzfseMostMatches {
		return errLZFSE
	}
	if size+literalSize+matchSize > len(r.in) {
		return errShort
	}
	frequencies, ok := lzfseFrequencies(r.in[lzfseHeader:size])
	b := &lzfseMatches{lzfseReader: r, left: matches}
	if !ok || !b.tables(frequencies) {
		return errLZFSE
	}
	bits := lzfseBits{in: r.in[size : size+literalSize]}
	bits.start(field(v0, 60, 3) - 7)
	states := [4]int{field(v1, 0, 10), field(v1, 10, 10), field(v1, 20, 10), field(v1, 30, 10)}
	text, err := lzfseText(&bits, frequencies[2*lzfseLengths+lzfseDistances:], states, literals)
	if err != nil {
		return err
	}
	b.text = text
	b.bits.in = r.in[size+literalSize : size+literalSize+matchSize]
	b.bits.start(field(v1, 60, 3) - 7)
	b.literal.state, b.match.state, b.distance.state = field(v2, 32, 10), field(v2, 42, 10), field(v2, 52, 10)
	if b.literal.state >= lzfseLengthStates || b.match.state >= lzfseLengthStates || b.distance.state >= lzfseDistanceStates {
		return errLZFSE
	}
	r.in, r.more = r.in[size+literalSize+matchSize:], b.next
	return nil
}

// lzfseFrequencies reads how often each symbol is: codes of 2, 3, 5, 8 or 14 bits, the
// lowest bit first. None at all stand for none of each.
func lzfseFrequencies(b []byte) (f []int, ok bool) {
	f = make([]int, 2*lzfseLengths+lzfseDistances+lzfseBytes)
	if len(b) == 0 {
		return f, true
	}
	held, n := uint32(0), uint(0)
	for i := range f {
		for n <= 24 && len(b) > 0 {
			held |= uint32(b[0]) << n
			b, n = b[1:], n+8
		}
		used := uint(2)
		switch {
		case held&1 == 0:
			f[i] = int(held >> 1 & 1)
		case held&3 == 1:
			f[i], used = int(2+held>>2&1), 3
		case held&7 == 3:
			f[i], used = int(4+held>>3&3), 5
		case held&15 == 7:
			f[i], used = int(8+held>>4&15), 8
		default:
			f[i], used = int(24+held>>4&1023), 14
		}
		if used > n {
			return nil, false
		}
		held, n = held>>used, n-used
	}
	return f, true
}

// lzfseBits reads bits from the end of in to its start, the highest first.
type lzfseBits struct {
	in    []byte
	held  uint64
	n     uint
	short bool
}

// start leaves out the highest bits of the last byte: spare is their number, or less
// than 0 by it.
func (b *lzfseBits) start(spare int) {
	if spare < 0 {
		b.take(uint(-spare))
	}
}

// take reads n bits, at most 32. Before the start there are zeros.
func (b *lzfseBits) take(n uint) int {
	for b.n < n {
		b.held <<= 8
		if last := len(b.in) - 1; last >= 0 {
			b.held |= uint64(b.in[last])
			b.in = b.in[:last]
		} else {
			b.short = true
		}
		b.n += 8
	}
	b.n -= n
	return int(b.held >> b.n & (1<<n - 1))
}

// lzfseState is what is known of a symbol in a state of its code: the next state is
// delta and the bits that are read, less the extra ones, which are added to base.
type lzfseState struct {
	delta, base int32
	bits, extra uint8
}

// lzfseTable makes the states of a code, as many as the frequencies come to.
func lzfseTable(frequencies []int, states int, extra []uint8) ([]lzfseState, bool) {
	table := make([]lzfseState, 0, states)
	base := int32(0)
	for symbol, f := range frequencies {
		s := lzfseState{base: base}
		if extra != nil {
			s.extra = extra[symbol]
		}
		base += 1 << s.extra
		if f > states-len(table) {
			return nil, false
		}
		if f == 0 {
			continue
		}
		k := bits.Len(uint(states)) - bits.Len(uint(f))
		more := 2*states>>k - f // states that take k bits; the others one less
		for j := range f {
			if s.bits, s.delta = uint8(k), int32((f+j)<<k-states); j >= more {
				s.bits, s.delta = uint8(k-1), int32((j-more)<<(k-1))
			}
			table = append(table, s)
		}
	}
	return table[:states], true
}

// lzfseText reads literals: four codes take turns.
func lzfseText(b *lzfseBits, frequencies []int, states [4]int, n int) ([]byte, error) {
	table, ok := lzfseTable(frequencies, lzfseByteStates, nil)
	if !ok {
		return nil, errLZFSE
	}
	text := make([]byte, n)
	for i := range text {
		state := &states[i%4]
		s := table[*state]
		text[i] = byte(s.base)
		*state = int(s.delta) + b.take(uint(s.bits))
		if *state >= lzfseByteStates || b.short {
			return nil, errLZFSE
		}
	}
	return text, nil
}

// lzfseCode is a code of values and its present state.
type lzfseCode struct {
	table []lzfseState
	state int
}

func (c *lzfseCode) value(b *lzfseBits) int {
	s := c.table[c.state]
	v := b.take(uint(s.bits + s.extra))
	c.state = (int(s.delta) + v>>s.extra) & (len(c.table) - 1)
	return int(s.base) + v&(1<<s.extra-1)
}

// lzfseMatches goes through the matches of a compressed block.
type lzfseMatches struct {
	*lzfseReader
	text                     []byte // literals
	bits                     lzfseBits
	literal, match, distance lzfseCode
	left, last               int // matches; distance
}

// tables makes the codes.
func (b *lzfseMatches) tables(f []int) bool {
	var ok1, ok2, ok3 bool
	b.literal.table, ok1 = lzfseTable(f[:lzfseLengths], lzfseLengthStates, lzfseLiteralExtra[:])
	b.match.table, ok2 = lzfseTable(f[lzfseLengths:2*lzfseLengths], lzfseLengthStates, lzfseMatchExtra[:])
	b.distance.table, ok3 = lzfseTable(f[2*lzfseLengths:2*lzfseLengths+lzfseDistances], lzfseDistanceStates, lzfseDistanceExtra[:])
	return ok1 && ok2 && ok3
}

// next reads a run of literals and a match; io.EOF when there are no more.
func (b *lzfseMatches) next() error {
	if b.left == 0 {
		return io.EOF
	}
	b.left--
	literals, length, distance := b.literal.value(&b.bits), b.match.value(&b.bits), b.distance.value(&b.bits)
	if distance != 0 {
		b.last = distance
	}
	if b.bits.short || literals > len(b.text) {
		return errLZFSE
	}
	text := b.text[:literals]
	b.text = b.text[literals:]
	return b.emit(text, length, b.last)
}
