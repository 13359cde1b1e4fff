package unpack

import (
	"errors"
	"fmt"
	"io"
)

// An own decoder, for two reasons: one that fills its dictionary before it hands
// anything out loses up to 2 MiB in front of damage, and one that makes room for
// all of a dictionary when it begins needs what the header states, however little
// there is. Written from lzma-specification.txt of the LZMA SDK; for LZMA2, from
// its Lzma2Dec.c as far as it describes the format.

// errShort says that compressed bytes ended too early.
var errShort = fmt.Errorf("%w: cut short", ErrDamaged)

func errLZMA(what string) error { return fmt.Errorf("%w: lzma: %s", ErrDamaged, what) }

// rangeDecoder reads bits that are coded by their probability.
type rangeDecoder struct {
	in    []byte
	at    int
	more  func() []byte // gives what follows in; nil when nothing does
	width uint32
	code  uint32
	short bool // in has ended too early
}

const (
	probInit  = 1 << 10 // a half
	probTotal = 1 << 11
	probMove  = 5
	rangeTop  = 1 << 24
)

// begin reads the first five bytes of the code; the first of them is 0 always.
func (r *rangeDecoder) begin() (zero bool) {
	first := r.next()
	r.width, r.code = 0xffffffff, 0
	for range 4 {
		r.code = r.code<<8 | r.next()
	}
	return first == 0
}

func (r *rangeDecoder) next() uint32 {
	if r.at == len(r.in) && !r.refill() {
		return 0
	}
	b := r.in[r.at]
	r.at++
	return uint32(b)
}

// refill gets more bytes.
func (r *rangeDecoder) refill() bool {
	if r.more != nil && !r.short {
		if r.in, r.at = r.more(), 0; len(r.in) > 0 {
			return true
		}
	}
	r.short = true
	return false
}

func (r *rangeDecoder) normalize() {
	if r.width < rangeTop {
		r.width <<= 8
		r.code = r.code<<8 | r.next()
	}
}

// bit reads a bit of the given probability, which it adapts.
func (r *rangeDecoder) bit(prob *uint16) uint32 {
	if r.width < rangeTop {
		r.width <<= 8
		r.code = r.code<<8 | r.next()
	}
	p := uint32(*prob)
	bound := r.width / probTotal * p
	if r.code < bound {
		r.width = bound
		*prob = uint16(p + (probTotal-p)>>probMove)
		return 0
	}
	r.width -= bound
	r.code -= bound
	*prob = uint16(p - p>>probMove)
	return 1
}

// tree reads n bits, the highest first, each with a probability of its own.
func (r *rangeDecoder) tree(probs []uint16, n int) uint32 {
	return r.symbol(probs, 1, 1<<n) - 1<<n
}

// symbol reads the bits of a tree from node m on, until there are as many as end says.
//
// Which way a bit goes is not to be foreseen, and so it is reckoned without a branch:
// mask has all bits set where it is 0. Most of a decoder's time is spent here.
func (r *rangeDecoder) symbol(probs []uint16, m, end uint32) uint32 {
	if len(r.in)-r.at < 32 { // a bit takes a byte of input at the most
		for m < end {
			m = m<<1 | r.bit(&probs[m])
		}
		return m
	}
	width, code, in, at := r.width, r.code, r.in, r.at
	for m < end {
		if width < rangeTop {
			width <<= 8
			code = code<<8 | uint32(in[at])
			at++
		}
		prob := &probs[m]
		p := uint32(*prob)
		bound := width / probTotal * p
		mask := uint32((int64(code) - int64(bound)) >> 63)
		width = bound&mask | (width-bound)&^mask
		code -= bound &^ mask
		*prob = uint16(p + (probTotal-p)>>probMove&mask - p>>probMove&^mask)
		m = m<<1 + 1 + mask
	}
	r.width, r.code, r.at = width, code, at
	return m
}

// reverse is tree with the lowest bit first.
func (r *rangeDecoder) reverse(probs []uint16, n int) (v uint32) {
	m := uint32(1)
	for i := range n {
		b := r.bit(&probs[m])
		m = m<<1 | b
		v |= b << i
	}
	return v
}

// direct reads n bits that are as likely set as not.
func (r *rangeDecoder) direct(n int) (v uint32) {
	for range n {
		r.normalize()
		r.width >>= 1
		r.code -= r.width
		clear := r.code >> 31 // the code was less than half
		r.code += r.width & -clear
		v = v<<1 | (1 - clear)
	}
	return v
}

// lzmaWindow holds what was unpacked last, to be copied from. It grows as it is
// filled, up to the size of the dictionary; from then on it is a ring.
type lzmaWindow struct {
	buf    []byte
	size   int // of the dictionary
	pos    int // where the next byte goes
	out    int // what is before it has been handed out
	have   int64
	memory *memory
}

const firstWindow = 16 << 10

// room makes room behind pos; all up to there has been handed out.
func (w *lzmaWindow) room() error {
	if w.pos < len(w.buf) {
		return nil
	}
	if len(w.buf) >= w.size {
		w.pos, w.out = 0, 0
		return nil
	}
	n := min(max(2*len(w.buf), firstWindow), w.size)
	if n > maxWindow && len(w.buf) < maxWindow {
		n = maxWindow
	}
	if n > maxWindow {
		return &LimitError{"memory"}
	}
	if err := w.memory.take(int64(n - len(w.buf))); err != nil {
		return err
	}
	buf := make([]byte, n)
	copy(buf, w.buf)
	w.buf = buf
	return nil
}

// release gives the window back.
func (w *lzmaWindow) release() {
	w.memory.give(int64(len(w.buf)))
	w.buf, w.pos, w.out = nil, 0, 0
}

// last is the byte that was written dist bytes ago; 0 when there is none.
func (w *lzmaWindow) last(dist int) byte {
	if int64(dist) > w.have || dist > len(w.buf) {
		return 0
	}
	i := w.pos - dist
	if i < 0 {
		i += len(w.buf)
	}
	return w.buf[i]
}

func (w *lzmaWindow) put(b byte) {
	w.buf[w.pos] = b
	w.pos++
	w.have++
}

// repeat writes n bytes, those from dist bytes ago on, or fewer when the window
// ends before them. The distance is one that last knows.
func (w *lzmaWindow) repeat(dist, n int) int {
	n = min(n, len(w.buf)-w.pos)
	end, from := w.pos+n, w.pos-dist
	w.have += int64(n)
	if from < 0 {
		from += len(w.buf)
		w.pos += copy(w.buf[w.pos:end], w.buf[from:])
		from = 0
	}
	for w.pos < end {
		w.pos += copy(w.buf[w.pos:end], w.buf[from:w.pos])
	}
	return n
}

// lengths are the probabilities of a length's bits.
type lengths struct {
	choice [2]uint16
	low    [16][8]uint16
	middle [16][8]uint16
	high   [256]uint16
}

func (l *lengths) read(r *rangeDecoder, pos uint32) int {
	switch {
	case r.bit(&l.choice[0]) == 0:
		return int(r.tree(l.low[pos][:], 3))
	case r.bit(&l.choice[1]) == 0:
		return 8 + int(r.tree(l.middle[pos][:], 3))
	}
	return 16 + int(r.tree(l.high[:], 8))
}

// lzmaProbs are the probabilities of all but literals. The first index is the
// state, which knows the kinds of the symbols before.
type lzmaProbs struct {
	match, longRep         [12][16]uint16
	rep, rep0, rep1, rep2  [12]uint16
	slots                  [4][64]uint16
	far                    [115]uint16
	align                  [16]uint16
	matchLength, repLength lengths
}

// lzmaDecoder decodes LZMA into its window.
type lzmaDecoder struct {
	rangeDecoder
	lzmaWindow
	lc, lp, pb int
	probs      lzmaProbs
	literals   []uint16
	state      uint32
	reps       [4]uint32
	rest       int // bytes of a match for which there was no room
}

// lzmaProperties reads the byte of properties. Together lc and lp are at most 12.
func (d *lzmaDecoder) properties(b byte) error {
	if b >= 9*5*5 {
		return errLZMA("properties")
	}
	d.lc, d.lp, d.pb = int(b)%9, int(b)/9%5, int(b)/45
	d.literals = make([]uint16, 0x300<<(d.lc+d.lp))
	d.reset()
	return nil
}

// reset forgets what has been learnt, except for the window.
func (d *lzmaDecoder) reset() {
	p := &d.probs
	flat := func(list []uint16) {
		for i := range list {
			list[i] = probInit
		}
	}
	for i := range 12 {
		flat(p.match[i][:])
		flat(p.longRep[i][:])
	}
	for _, l := range [][]uint16{p.rep[:], p.rep0[:], p.rep1[:], p.rep2[:], p.far[:], p.align[:], d.literals} {
		flat(l)
	}
	for i := range p.slots {
		flat(p.slots[i][:])
	}
	for _, l := range []*lengths{&p.matchLength, &p.repLength} {
		flat(l.choice[:])
		flat(l.high[:])
		for i := range 16 {
			flat(l.low[i][:])
			flat(l.middle[i][:])
		}
	}
	d.state, d.reps, d.rest = 0, [4]uint32{}, 0
}

// errMarked is the end of the stream, as a symbol of it says.
var errMarked = errors.New("end marker")

// run decodes n bytes or fewer: to the end of the window, or up to an error.
func (d *lzmaDecoder) run(n int) (int, error) {
	start := d.pos
	end := min(start+n, len(d.buf))
	if d.rest > 0 {
		d.rest -= d.repeat(int(d.reps[0])+1, min(d.rest, end-d.pos))
	}
	for d.pos < end {
		pos := uint32(d.have) & (1<<d.pb - 1)
		if d.bit(&d.probs.match[d.state][pos]) == 0 {
			b := d.literal()
			if d.short {
				return d.pos - start, errShort
			}
			d.put(b)
			continue
		}
		length, err := d.match(pos)
		if d.short {
			err = errShort
		}
		if err != nil {
			return d.pos - start, err
		}
		if dist := int64(d.reps[0]) + 1; dist > d.have || dist > int64(len(d.buf)) {
			return d.pos - start, errLZMA("distance")
		}
		d.rest = length - d.repeat(int(d.reps[0])+1, min(length, end-d.pos))
	}
	return d.pos - start, nil
}

// literal reads a byte that stands for itself.
func (d *lzmaDecoder) literal() byte {
	before := uint32(d.last(1))
	i := (uint32(d.have)&(1<<d.lp-1))<<d.lc + before>>(8-d.lc)
	probs := d.literals[0x300*i:][:0x300:0x300]
	symbol := uint32(1)
	if d.state >= 7 { // behind a match: the byte it would go on with is likely not this one
		other := uint32(d.last(int(d.reps[0]) + 1))
		for symbol < 0x100 {
			expected := other >> 7 & 1
			other <<= 1
			b := d.bit(&probs[(1+expected)<<8+symbol])
			symbol = symbol<<1 | b
			if b != expected {
				break
			}
		}
	}
	if symbol < 0x100 {
		symbol = d.symbol(probs, symbol, 0x100)
	}
	switch {
	case d.state < 4:
		d.state = 0
	case d.state < 10:
		d.state -= 3
	default:
		d.state -= 6
	}
	return byte(symbol)
}

// behind gives the state behind a match of some kind: low after a literal.
func (d *lzmaDecoder) behind(low, high uint32) {
	if d.state < 7 {
		d.state = low
	} else {
		d.state = high
	}
}

// match reads the length of a match, and its distance into reps[0].
func (d *lzmaDecoder) match(pos uint32) (int, error) {
	p, state := &d.probs, d.state
	if d.bit(&p.rep[state]) == 0 {
		n := p.matchLength.read(&d.rangeDecoder, pos)
		d.behind(7, 10)
		d.reps[3], d.reps[2], d.reps[1] = d.reps[2], d.reps[1], d.reps[0]
		d.reps[0] = d.distance(n)
		if d.reps[0] == 0xffffffff {
			return 0, errMarked
		}
		return n + 2, nil
	}
	if d.bit(&p.rep0[state]) == 0 {
		if d.bit(&p.longRep[state][pos]) == 0 {
			d.behind(9, 11)
			return 1, nil
		}
	} else {
		i := 1
		if d.bit(&p.rep1[state]) == 1 {
			i = 2 + int(d.bit(&p.rep2[state]))
		}
		dist := d.reps[i]
		copy(d.reps[1:i+1], d.reps[:i])
		d.reps[0] = dist
	}
	n := p.repLength.read(&d.rangeDecoder, pos)
	d.behind(8, 11)
	return n + 2, nil
}

// distance reads a distance less one, given the length less two.
func (d *lzmaDecoder) distance(length int) uint32 {
	slot := d.tree(d.probs.slots[min(length, 3)][:], 6)
	if slot < 4 {
		return slot
	}
	bits := int(slot>>1) - 1
	dist := (2 | slot&1) << bits
	if slot < 14 {
		return dist + d.reverse(d.probs.far[dist-slot:], bits)
	}
	dist += d.direct(bits-4) << 4
	return dist + d.reverse(d.probs.align[:], 4)
}

// lzmaReader reads a stream of LZMA.
type lzmaReader struct {
	lzmaDecoder
	left int64 // bytes to come; -1: up to a marker
	err  error
}

// lzmaStep is how many bytes are decoded at a time.
const lzmaStep = 1 << 20

// newLZMA makes a reader of size bytes (-1: up to the marker) with a dictionary.
func newLZMA(props byte, dict uint32, size int64, in rangeDecoder, m *memory) *lzmaReader {
	r := &lzmaReader{left: size}
	r.rangeDecoder = in
	r.lzmaWindow = lzmaWindow{size: max(int(dict), 4<<10), memory: m}
	if r.err = r.properties(props); r.err != nil {
		return r
	}
	switch zero := r.begin(); {
	case size == 0 && r.short:
		r.err = io.EOF
	case r.short:
		r.err = errShort
	case !zero:
		r.err = errLZMA("first byte")
	}
	return r
}

// Read implements io.Reader.
func (r *lzmaReader) Read(p []byte) (int, error) {
	for {
		if r.out < r.pos {
			n := copy(p, r.buf[r.out:r.pos])
			r.out += n
			return n, nil
		}
		if r.err == nil && r.left == 0 {
			r.err = io.EOF
		}
		if r.err != nil {
			r.release()
			return 0, r.err
		}
		r.step()
	}
}

// step decodes some bytes.
func (r *lzmaReader) step() {
	if r.err = r.room(); r.err != nil {
		return
	}
	want := int64(lzmaStep)
	if r.left >= 0 {
		want = min(want, r.left)
	}
	n, err := r.run(int(want))
	if r.left >= 0 {
		r.left -= int64(n)
	}
	switch {
	case err == errMarked && r.left > 0:
		r.err = errShort
	case err == errMarked:
		r.normalize()
		r.err = io.EOF
	default:
		r.err = err
	}
}

// lzma2Reader reads a stream of LZMA2: chunks, each of which says what is to be
// forgotten before it.
type lzma2Reader struct {
	lzmaDecoder
	src   io.Reader
	left  int  // bytes to come of the chunk
	raw   bool // and they stand as they are
	begun bool // the dictionary has been reset, as the first chunk must
	needs byte // what the next chunk of LZMA must bring at least
	chunk []byte
	err   error
}

func newLZMA2(dict uint32, src io.Reader, m *memory) *lzma2Reader {
	r := &lzma2Reader{src: src, needs: lzma2Properties}
	r.lzmaWindow = lzmaWindow{size: max(int(dict), 4<<10), memory: m}
	return r
}

// lzma2Dict gives the size of the dictionary that the byte of properties states.
func lzma2Dict(b byte) (uint32, bool) {
	switch {
	case b > 40:
		return 0, false
	case b == 40:
		return 0xffffffff, true
	}
	return (2 | uint32(b)&1) << (b/2 + 11), true
}

// Read implements io.Reader.
func (r *lzma2Reader) Read(p []byte) (int, error) {
	for {
		if r.out < r.pos {
			n := copy(p, r.buf[r.out:r.pos])
			r.out += n
			return n, nil
		}
		if r.err != nil {
			r.release()
			return 0, r.err
		}
		if r.left == 0 {
			r.err = r.next()
		} else {
			r.err = r.step()
		}
	}
}

// step decodes some bytes of the chunk.
func (r *lzma2Reader) step() error {
	if err := r.room(); err != nil {
		return err
	}
	if r.raw {
		n, err := io.ReadFull(r.src, r.buf[r.pos:min(r.pos+r.left, len(r.buf))])
		r.pos += n
		r.have += int64(n)
		r.left -= n
		return shortage(err)
	}
	n, err := r.run(r.left)
	r.left -= n
	if err == errMarked || err == nil && r.left == 0 && r.rest > 0 {
		err = errLZMA("length of a chunk")
	}
	return err
}

// shortage is errShort where bytes have ended that should not.
func shortage(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errShort
	}
	return err
}

// What the first byte of a chunk of LZMA brings, in its bits 5 and 6: each what those before it do as well.
const (
	lzma2StateReset = 1 + iota
	lzma2Properties
	lzma2DictReset
)

// next begins on the next chunk; io.EOF when there is none.
func (r *lzma2Reader) next() error {
	var head [6]byte
	if _, err := io.ReadFull(r.src, head[:1]); err != nil {
		return shortage(err)
	}
	control := head[0]
	switch {
	case control == 0:
		return io.EOF
	case control == 1 || control >= 0x80|lzma2DictReset<<5:
		r.have, r.begun = 0, true
	case !r.begun:
		return errLZMA("first chunk")
	}
	r.rest = 0
	if r.raw = control < 0x80; r.raw {
		if control > 2 {
			return errLZMA("kind of chunk")
		}
		_, err := io.ReadFull(r.src, head[:2])
		r.left = int(head[0])<<8 + int(head[1]) + 1
		return shortage(err)
	}
	return r.nextLZMA(control>>5&3, head)
}

// nextLZMA begins on a chunk of LZMA.
func (r *lzma2Reader) nextLZMA(brings byte, head [6]byte) error {
	n := 5
	if brings >= lzma2Properties {
		n = 6
	}
	if _, err := io.ReadFull(r.src, head[1:n]); err != nil {
		return shortage(err)
	}
	if brings < r.needs {
		return errLZMA("state of a chunk")
	}
	switch {
	case brings >= lzma2Properties:
		if err := r.properties(head[5]); err != nil {
			return err
		}
	case brings == lzma2StateReset:
		r.reset()
	}
	r.needs = 0
	r.left = int(head[0]&0x1f)<<16 + int(head[1])<<8 + int(head[2]) + 1
	size := int(head[3])<<8 + int(head[4]) + 1
	if size > cap(r.chunk) {
		r.chunk = make([]byte, size)
	}
	k, err := io.ReadFull(r.src, r.chunk[:size])
	r.rangeDecoder = rangeDecoder{in: r.chunk[:k]}
	switch zero := r.begin(); {
	case r.short:
		return errShort
	case err != nil && shortage(err) != errShort:
		return err
	case !zero:
		return errLZMA("first byte")
	}
	return nil
}
