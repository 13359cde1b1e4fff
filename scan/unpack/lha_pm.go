package unpack

import (
	"bytes"
	"math/bits"
)

// The methods of PMarc, pm1 and pm2. Bytes are written as how long ago they were
// met last.

// pmRecent holds all bytes, the one that was met last in front.
type pmRecent [256]byte

// newPMRecent gives the bytes in the order of the beginning: what text is made of first.
func newPMRecent() *pmRecent {
	r, n := &pmRecent{}, 0
	for _, run := range [...][2]int{{0x20, 0x80}, {0x00, 0x20}, {0xa0, 0xe0}, {0x80, 0xa0}, {0xe0, 0x100}} {
		for b := run[0]; b < run[1]; b++ {
			r[n] = byte(b)
			n++
		}
	}
	return r
}

// met brings the byte at an index to the front.
func (r *pmRecent) met(i int) byte {
	b := r[i]
	copy(r[1:i+1], r[:i])
	r[0] = b
	return b
}

// put appends the byte that stands at an index.
func (r *pmRecent) put(w *lzWindow, i int) { w.put(r.met(i)) }

// copy copies as w does, and notes every byte.
func (r *pmRecent) copy(w *lzWindow, distance, length int) error {
	if err := w.copy(distance, length); err != nil {
		return err
	}
	for _, b := range w.buf[w.end-length : w.end] {
		r.met(bytes.IndexByte(r[:], b))
	}
	return nil
}

// pmRange is a range of numbers: the first, and how many bits tell which.
type pmRange struct{ base, bits int }

func (r pmRange) take(b *bitReader) int { return r.base + b.take(r.bits) }

// pmStep is one of the steps in which a number is written: what its bits say is
// the number when it is below count, else it chooses the next step.
type pmStep struct {
	bits  int
	count int // of the values that are a number
	base  int
	next  []pmStep // one for each value from count on
}

func (s pmStep) take(b *bitReader) int {
	for {
		v := b.take(s.bits)
		if v < s.count {
			return s.base + v
		}
		s = s.next[v-s.count]
	}
}

// pm1Run is how many bytes stand in a row: 1 to pm1LongestRun.
var pm1Run = pmStep{2, 3, 1, []pmStep{
	{3, 7, 4, []pmStep{
		{4, 14, 11, []pmStep{{6, 64, 25, nil}, {7, 128, 89, nil}}}}}}}

// pm1Length is the length of a copy, but of the short ones: 3 to 244.
var pm1Length = pmStep{2, 3, 3, []pmStep{
	{3, 5, 6, []pmStep{
		{2, 4, 11, nil},
		{3, 8, 15, nil},
		{6, 62, 23, []pmStep{{5, 32, 85, nil}, {7, 128, 117, nil}}}}}}}

const pm1LongestRun = 216

// pm1Bytes are the ranges of how long ago a byte was met.
var pm1Bytes = [...]pmRange{{0, 4}, {16, 4}, {32, 5}, {64, 6}, {128, 6}, {192, 6}}

// pm1Trees are the codes for which of pm1Bytes a byte is in: a dot is an inner
// node, its two branches behind it, and the letters are the ranges. The last one
// has the first range only. In the 18th the ranges a and b are missing and d and e
// stand twice: PMarc's own table is that way.
var pm1Trees = [...]string{
	"....abcd.ef", "...ab.cf.de", "...abc.d.ef", "..a.bc.d.ef",
	"..a.bd.c.ef", "..a.b.ef.cd", "..ab..cd.ef", "..ab..c.efd",
	"..ab.c.d.ef", ".a...bfc.de", ".a...b.efcd", ".a...bcd.ef",
	".a..b.cf.de", ".a..bc.d.ef", ".a..b.d.efc", ".a.b..cd.ef",
	".a.b.c.d.ef", "...dec.de", "..a.be.cd", "..ab.c.de",
	".a...becd", ".a..bc.de", ".a..b.dec", ".a.b.c.de",
	"...abcd", "..a.bdc", "..ab.cd", ".a..bdc",
	".a.b.cd", ".a.bc", ".ab", "a",
}

// pm1 decodes runs of bytes and the copies between them. How the copies are
// written changes while the window fills.
type pm1 struct {
	bits   *bitReader
	recent *pmRecent
	tree   string
}

func newPM1(bits *bitReader) *pm1 { return &pm1{bits: bits, recent: newPMRecent()} }

func (d *pm1) decode(w *lzWindow, upTo int) error {
	if d.tree == "" {
		d.tree = pm1Trees[d.bits.take(5)]
	}
	for w.end < upTo {
		if d.bits.ended() {
			return errLZEnd
		}
		if d.bits.take(1) == 1 {
			n := pm1Run.take(d.bits)
			for range n {
				d.recent.put(w, d.age())
			}
			if n == pm1LongestRun {
				continue // what follows need not be a copy
			}
		}
		if err := d.copy(w); err != nil {
			return err
		}
	}
	return nil
}

// age takes how long ago a byte was met.
func (d *pm1) age() int {
	at := 0
	for d.tree[at] == '.' {
		at++
		if d.bits.take(1) == 1 {
			at = d.skip(at)
		}
	}
	return pm1Bytes[d.tree[at]-'a'].take(d.bits)
}

// skip gives where the tree's branch that begins at an index ends.
func (d *pm1) skip(at int) int {
	for open := 1; open > 0; at++ {
		if d.tree[at] == '.' {
			open++
		} else {
			open--
		}
	}
	return at
}

// copy decodes a copy. The ranges that the window is too short for as yet have no
// bits in its code.
func (d *pm1) copy(w *lzWindow) error {
	total := w.total()
	after := func(n int64, before int) int {
		if total < n {
			return before
		}
		return d.bits.take(1)
	}
	from, length := pmRange{0, 6}, 0
	switch {
	case d.bits.take(1) == 0:
		switch {
		case after(576, 0) == 1:
			from = pmRange{576, growing(total-576, 8, 11)}
		case after(64, 0) == 1:
			from, length = pmRange{64, 8}, 2
		default:
			length = 2
		}
	case after(64, 1) == 0:
		from = pmRange{64, growing(total-64, 8, 9)}
	case after(2624, 1) == 0:
		from = pmRange{2624, growing(total-2624, 8, 13)}
	}
	if length == 0 {
		length = pm1Length.take(d.bits)
	}
	distance := from.take(d.bits) + 1
	if int64(distance) > total {
		return errLZReach
	}
	return d.recent.copy(w, distance, length)
}

// growing is how many bits a distance takes of which n are there as yet.
func growing(n int64, least, most int) int {
	for least < most && n >= 1<<least {
		least++
	}
	return least
}

// The codes of pm2: 8 ranges of bytes, lengths from 2 to 16, 6 ranges of lengths.
const (
	pm2Lengths   = 8  // the first code that is a length
	pm2Ranges    = 23 // the first that is a range of lengths
	pm2Codes     = 29
	pm2NoOffset  = pm2Codes - 1 // 256 times the last byte
	pm2Positions = 8
)

var (
	pm2Bytes = [...]pmRange{{0, 3}, {8, 3}, {16, 4}, {32, 5}, {64, 5}, {96, 5}, {128, 6}, {192, 6}}
	pm2Long  = [...]pmRange{{17, 3}, {25, 3}, {33, 5}, {65, 6}, {129, 7}, {256, 0}}
)

// pm2 decodes codes whose tables change at certain sizes.
type pm2 struct {
	bits             *bitReader
	recent           *pmRecent
	codes, positions huffman
	noPositions      bool  // the codes are such that none is needed
	next             int64 // the size at which tables follow
}

func newPM2(bits *bitReader) *pm2 {
	d := &pm2{bits: bits, recent: newPMRecent()}
	d.codes.init(8)
	d.positions.init(8)
	d.codes.fill(d.codes.table, huffmanNone)
	d.positions.fill(d.positions.table, huffmanNone)
	bits.take(1) // means nothing
	return d
}

func (d *pm2) decode(w *lzWindow, upTo int) error {
	for w.end < upTo {
		if d.bits.ended() {
			return errLZEnd
		}
		for w.total() >= d.next {
			if err := d.tables(); err != nil {
				return err
			}
		}
		if err := d.code(w); err != nil {
			return err
		}
	}
	return nil
}

// code decodes one code.
func (d *pm2) code(w *lzWindow) error {
	c := d.codes.next(d.bits)
	switch {
	case c < 0 || c >= pm2Codes:
		return errLZCode
	case c < pm2Lengths:
		d.recent.put(w, pm2Bytes[c].take(d.bits))
		return nil
	}
	length := c - pm2Lengths + 2
	if c >= pm2Ranges {
		length = pm2Long[c-pm2Ranges].take(d.bits)
	}
	distance := 0
	switch c {
	case pm2Lengths:
		distance = d.bits.take(6)
	case pm2NoOffset:
	default:
		switch p := d.positions.next(d.bits); {
		case p < 0:
			return errLZCode
		case p == 0:
			distance = d.bits.take(6)
		default:
			distance = 1<<(p+5) + d.bits.take(p+5)
		}
	}
	return d.recent.copy(w, distance+1, length)
}

// tables reads the tables that follow at the present size, and says when the next
// ones do: at 1, 2, 4 and 8 KB, and every 4 KB from there. From 4 KB on a bit tells
// whether the codes change too; behind that size positions only do with them.
func (d *pm2) tables() error {
	const step = 4 << 10
	at := d.next
	switch {
	case at == 0:
		d.next = 1 << 10
	case at < step:
		d.next *= 2
	default:
		d.next += step
	}
	codes := at == 0 || at >= step && d.bits.take(1) == 1
	if codes {
		if err := d.readCodes(); err != nil {
			return err
		}
	}
	if !codes && at > step {
		return nil
	}
	return d.readPositions(min(5+bits.Len64(uint64(at)>>10), pm2Positions))
}

func (d *pm2) readCodes() error {
	n, least := d.bits.take(5), d.bits.take(3)
	d.noPositions = n < 10 || n == pm2Codes && least == 0
	if least == 0 {
		if n == 0 {
			return errLZTable
		}
		d.codes.single(n - 1)
		return nil
	}
	width := d.bits.take(3)
	lengths := make([]byte, n)
	for i := range lengths {
		if v := d.bits.take(width); v > 0 {
			lengths[i] = byte(least + v - 1)
		}
	}
	return d.codes.build(lengths)
}

func (d *pm2) readPositions(n int) error {
	if d.noPositions {
		return nil
	}
	lengths := make([]byte, n)
	used, last := 0, 0
	for i := range lengths {
		lengths[i] = byte(d.bits.take(3))
		if lengths[i] > 0 {
			used, last = used+1, i
		}
	}
	switch used {
	case 0:
		return nil // the table that was there stays
	case 1:
		d.positions.single(last)
		return nil
	}
	return d.positions.build(lengths)
}
