package unpack

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
	"slices"
	"strings"
)

// A writer of ACE archives: nothing at hand makes them. What it writes was unpacked
// with acefile and with unace, and archives made by ACE and WinAce were read with the
// same decoders; so it is known that the writer has the format right.

// aceFile is a file, or the header of an archive, that a test writes.
type aceFile struct {
	kind          byte
	flags         uint16
	name, comment string // the comment packed
	method        byte
	attr          uint32
	content       string // what the checksum and the size are of
	packed        string
	password      string
	size, skip    int // added to the sizes that the header states

	wrongHeader, wrongSum bool
}

// aceStart writes the header of an archive.
func aceStart(flags uint16, comment string) []byte {
	b := append([]byte(aceMagic), 20, 20, 2, 0)
	b = append(b, make([]byte, 4+8)...) // time, reserved
	if flags&(aceAdvert|aceCommented) != 0 {
		b = append(b, "\x0a*A PROGRAM"...)
	}
	if flags&aceCommented != 0 {
		b = append(binary.LittleEndian.AppendUint16(b, uint16(len(comment))), comment...)
	}
	return aceHeader(aceTypeArchive, flags, b, 0)
}

// aceHeader writes a header with its fields behind type and flags.
func aceHeader(kind byte, flags uint16, fields []byte, wrong uint16) []byte {
	le := binary.LittleEndian
	b := append(le.AppendUint16([]byte{kind}, flags), fields...)
	out := le.AppendUint16(nil, uint16(^crc32.ChecksumIEEE(b))+wrong)
	return append(le.AppendUint16(out, uint16(len(b))), b...)
}

func (f aceFile) write() []byte {
	le := binary.LittleEndian
	if f.kind == 0 {
		f.kind = aceTypeFile
	}
	if f.password != "" {
		f.flags |= aceLocked
		f.packed = aceEncrypt(f.packed, f.password)
	}
	number := func(b []byte, n int) []byte {
		if f.kind == aceTypeFile64 {
			return le.AppendUint64(b, uint64(n))
		}
		return le.AppendUint32(b, uint32(n))
	}
	b := number(number(nil, len(f.packed)+f.skip), len(f.content)+f.size)
	b = le.AppendUint32(append(b, "TTDD"...), f.attr)
	crc := ^crc32.ChecksumIEEE([]byte(f.content))
	if f.wrongSum {
		crc++
	}
	b = append(le.AppendUint32(b, crc), f.method, 3, 10, 0, 'T', 'E')
	b = append(le.AppendUint16(b, uint16(len(f.name))), f.name...)
	if f.comment != "" {
		f.flags |= aceCommented
		b = append(le.AppendUint16(b, uint16(len(f.comment))), f.comment...)
	}
	wrong := uint16(0)
	if f.wrongHeader {
		wrong = 1
	}
	return append(aceHeader(f.kind, f.flags|aceAdds, b, wrong), f.packed...)
}

// aceEncrypt encrypts, with zeros behind what is no whole block.
func aceEncrypt(text, password string) string {
	le, key := binary.LittleEndian, newACEKey([]byte(password))
	b := append([]byte(text), make([]byte, -len(text)&7)...)
	var l, r uint32
	for block := range slices.Chunk(b, 8) {
		l, r = key.encrypt(l^le.Uint32(block), r^le.Uint32(block[4:]))
		le.PutUint32(block, l)
		le.PutUint32(block[4:], r)
	}
	return string(b)
}

// aceWords gives bits as they stand in an archive.
func aceWords(w *bitWriter) string {
	b := append(w.out, make([]byte, -len(w.out)&3)...)
	for word := range slices.Chunk(b, 4) {
		slices.Reverse(word)
	}
	return string(b)
}

// aceTree is a code that a test writes: as flat as can be, or with steep codes for
// the first symbols.
type aceTree struct{ lengths, codes []int }

// newACETree makes a code for those of the symbols that are used.
func newACETree(used map[int]bool, steep bool) *aceTree {
	t := &aceTree{}
	var symbols []int
	for s := range used {
		symbols = append(symbols, s)
	}
	slices.Sort(symbols)
	if len(symbols) > 0 {
		t.lengths = make([]int, symbols[len(symbols)-1]+1)
	} else {
		t.lengths = make([]int, 1)
	}
	deeper := 0
	for ; steep && deeper < 2 && len(symbols) > 1; deeper++ {
		t.lengths[symbols[0]] = deeper + 1
		symbols = symbols[1:]
	}
	for i, n := range complete(max(len(symbols), 1)) {
		if i < len(symbols) {
			t.lengths[symbols[i]] = max(n+deeper, 1)
		}
	}
	t.assign()
	return t
}

// assign gives each symbol its code, in the order in which the reader has them.
func (t *aceTree) assign() {
	var s aceSorter
	for i, n := range t.lengths {
		s.lengths[i], s.symbols[i] = uint8(n), uint16(i)
	}
	s.sort(0, len(t.lengths)-1)
	t.codes = make([]int, len(t.lengths))
	at := 0
	for i := len(t.lengths) - 1; i >= 0; i-- {
		if n := int(s.lengths[i]); n > 0 {
			t.codes[s.symbols[i]] = at >> (16 - n)
			at += 1 << (16 - n)
		}
	}
}

func (t *aceTree) put(w *bitWriter, symbol int) { w.put(t.codes[symbol], t.lengths[symbol]) }

// write writes the lengths: how each differs from the one before, and runs of those
// that do not.
func (t *aceTree) write(w *bitWriter) {
	least, most := 99, 0
	for _, n := range t.lengths {
		if n > 0 {
			least, most = min(least, n-1), max(most, n)
		}
	}
	if most == 0 {
		least = 0
	}
	modulus := max(most-least+1, 2)
	w.put(len(t.lengths)-1, 9)
	w.put(least, 4)
	w.put(modulus, 4)
	packing := &aceTree{lengths: complete(modulus + 1)}
	packing.assign()
	for _, n := range packing.lengths {
		w.put(n, aceLengthBits)
	}
	var steps []int
	before := 0
	for _, n := range t.lengths {
		n = max(n-least, 0)
		steps = append(steps, (n-before+modulus)%modulus)
		before = n
	}
	for len(steps) > 0 {
		run := slices.IndexFunc(steps, func(s int) bool { return s != 0 })
		if run < 0 {
			run = len(steps)
		}
		if run = min(run, aceLeastRun+15); run < aceLeastRun {
			packing.put(w, steps[0])
			steps = steps[1:]
			continue
		}
		packing.put(w, modulus)
		w.put(run-aceLeastRun, 4)
		steps = steps[run:]
	}
}

// aceSegment is a part of a file, packed in one mode.
type aceSegment struct {
	kind            int
	text            string
	wide            bool // EXE
	channels        int  // DELTA
	width, planes   int  // PIC
	length, skipped int  // DELTA: added to the length that is stated; of the text, not written
}

// aceWriter writes the blocked method.
type aceWriter struct {
	bitWriter
	recent   [aceHistory]int
	steep    bool
	perBlock int // symbols
	ops      []aceOp
	at       int  // in the file
	sum      byte // of differences
	model    aceSound
	before   int // mode
}

// aceOp is a byte, a copy, or a change of the mode: numbers and how many bits each has.
type aceOp struct {
	lzToken
	mode [][2]int
}

// acePackLZ packs text as ACE 1 does.
func acePackLZ(text string, perBlock int, steep bool) string {
	w := &aceWriter{perBlock: perBlock, steep: steep}
	w.lz(text)
	w.flush()
	return aceWords(&w.bitWriter)
}

// acePackAfter packs text with copies from what was unpacked before it.
func acePackAfter(before, text string) string {
	w, at := &aceWriter{perBlock: 30000}, 0
	for _, t := range tokens(before+text, 4, 257, aceReach) {
		start := at
		at += max(t.length, 1)
		switch {
		case at <= len(before):
			continue
		case start < len(before):
			t.length = at - len(before)
			for i := 0; t.length < 4 && i < t.length; i++ {
				w.ops = append(w.ops, aceOp{lzToken: lzToken{literal: text[i]}})
			}
			if t.length < 4 {
				continue
			}
		}
		w.ops = append(w.ops, aceOp{lzToken: t})
	}
	w.flush()
	return aceWords(&w.bitWriter)
}

// aceModes packs segments as ACE 2 does.
func aceModes(segments ...aceSegment) string {
	w := &aceWriter{perBlock: 2000, steep: true}
	for i, s := range segments {
		if i > 0 || s.kind != aceModeLZ {
			w.change(s)
		}
		w.segment(s, i+1 < len(segments), segments[min(i+1, len(segments)-1)])
		w.before = s.kind
	}
	w.flush()
	return aceWords(&w.bitWriter)
}

// ofMode gives what stands for a segment's mode.
func (s aceSegment) ofMode() [][2]int {
	mode := [][2]int{{s.kind, 8}}
	switch s.kind {
	case aceModeDelta:
		mode = append(mode, [2]int{s.channels, 8}, [2]int{len(s.text) + s.length, 17})
	case aceModeEXE:
		mode = append(mode, [2]int{map[bool]int{true: 1}[s.wide], 8})
	}
	return mode
}

// change changes the mode in LZ77; sound and pictures do so themselves.
func (w *aceWriter) change(s aceSegment) {
	if w.before <= aceModeEXE {
		w.ops = append(w.ops, aceOp{mode: s.ofMode()})
	}
	if s.kind > aceModeEXE {
		w.flush()
	}
	if s.kind == aceModePicture && s.kind != w.before {
		w.golombRice(s.width, 12)
		w.golombRice(s.planes, 2)
	}
}

func (w *aceWriter) segment(s aceSegment, more bool, next aceSegment) {
	var end [][2]int
	if more {
		end = next.ofMode()
	}
	text := s.text[:len(s.text)-s.skipped]
	switch s.kind {
	case aceModeLZ:
		w.lz(text)
	case aceModeEXE:
		w.lz(aceAbsolute(text, s.wide, w.at))
	case aceModeDelta:
		w.lz(w.differences(text, s.channels))
	case aceModePicture:
		w.picture(s, end)
	default:
		w.sound(s, end)
	}
	w.at += len(s.text)
}

// aceAbsolute turns the addresses of calls; at is where text stands in the file.
func aceAbsolute(text string, wide bool, at int) string {
	b, le := []byte(text), binary.LittleEndian
	for i := 0; i+4 < len(b); i++ {
		switch {
		case b[i] == 0xe8 && wide:
			le.PutUint32(b[i+1:], le.Uint32(b[i+1:])+uint32(at+i))
			i += 4
		case b[i] == 0xe8 || b[i] == 0xe9:
			le.PutUint16(b[i+1:], le.Uint16(b[i+1:])+uint16(at+i))
			i += 2
		}
	}
	return string(b)
}

// differences puts the bytes of each channel together and takes differences.
func (w *aceWriter) differences(text string, channels int) string {
	var b []byte
	for c := range channels {
		for i := c; i < len(text); i += channels {
			b = append(b, text[i])
		}
	}
	last := b[len(b)-1]
	for i := len(b) - 1; i > 0; i-- {
		b[i] -= b[i-1]
	}
	b[0] -= w.sum
	w.sum = last
	return string(b)
}

// lz packs text, with copies from within it.
func (w *aceWriter) lz(text string) {
	for _, t := range tokens(text, 4, 257, aceReach) {
		w.ops = append(w.ops, aceOp{lzToken: t})
	}
}

// flush writes what has been packed, in blocks.
func (w *aceWriter) flush() {
	for block := range slices.Chunk(w.ops, w.perBlock) {
		main, copies := map[int]bool{}, map[int]bool{}
		recent := w.recent
		for _, op := range block {
			symbol, n := w.symbol(op)
			main[symbol] = true
			if n >= 0 {
				copies[n] = true
			}
		}
		w.recent = recent
		mainTree, copyTree := newACETree(main, w.steep), newACETree(copies, w.steep)
		mainTree.write(&w.bitWriter)
		copyTree.write(&w.bitWriter)
		w.put(len(block), 15)
		for _, op := range block {
			symbol, n := w.symbol(op)
			mainTree.put(&w.bitWriter, symbol)
			if low := symbol - aceDistances - 1; low > 0 && symbol != aceModeSymbol {
				w.put((op.distance-1)&(1<<low-1), low)
			}
			if n >= 0 {
				copyTree.put(&w.bitWriter, n)
			}
			for _, number := range op.mode {
				w.put(number[0], number[1])
			}
		}
	}
	w.ops = nil
}

// symbol gives the symbols of main code and copies, the latter -1 when there is none,
// and notes the distance.
func (w *aceWriter) symbol(op aceOp) (symbol, n int) {
	switch {
	case op.mode != nil:
		return aceModeSymbol, -1
	case op.length == 0:
		return int(op.literal), -1
	}
	distance := op.distance - 1
	if at := slices.Index(w.recent[:], distance); at >= 0 {
		i := aceHistory - 1 - at
		copy(w.recent[at:], w.recent[at+1:])
		w.recent[aceHistory-1] = distance
		return aceLiterals + i, op.length - aceLeastCopy - i>>1
	}
	copy(w.recent[:], w.recent[1:])
	w.recent[aceHistory-1] = distance
	n = op.length - aceLeastCopy
	for _, far := range []int{aceNear, aceMedium} {
		if distance > far {
			n--
		}
	}
	return aceDistances + bits.Len(uint(distance)), n
}

// sound writes bytes as sound, and the change of the mode behind them.
func (w *aceWriter) sound(s aceSegment, end [][2]int) {
	model := &w.model
	if s.kind != w.before {
		model.begin(s.kind-aceModeSound, false)
	}
	differences := make([]byte, len(s.text))
	for i := range s.text {
		c := &model.channels[model.layout[i%4]]
		differences[i] = s.text[i] - c.guess()
		c.adjust(int(int8(s.text[i])))
	}
	type coded struct{ code, symbol int }
	var list []coded
	for i, d := range differences {
		channel := int(model.layout[i%4])
		c := &model.channels[channel]
		if c.run > 0 {
			if c.run--; c.run == 0 {
				c.single = true
			}
			continue
		}
		symbol := 2 * int(d)
		if d >= 128 {
			symbol = 2*(255-int(d)) + 1
		}
		if !c.single {
			symbol += aceSoundRuns
			zeros := 0
			for j := i; j < len(differences) && zeros < aceSoundRuns; j++ {
				if int(model.layout[j%4]) != channel {
					continue
				}
				if differences[j] != 0 {
					break
				}
				zeros++
			}
			if zeros > 0 {
				symbol = zeros - 1
			}
		}
		list = append(list, coded{channel*aceSoundCodes + c.code(), symbol})
		c.meet(symbol)
	}
	if end != nil {
		channel := int(model.layout[len(s.text)%4])
		list = append(list, coded{channel*aceSoundCodes + model.channels[channel].code(), aceSoundMode})
	}
	for block := range slices.Chunk(list, 700) {
		var trees []*aceTree
		for code := range len(model.channels) * aceSoundCodes {
			used := map[int]bool{}
			for _, c := range block {
				if c.code == code {
					used[c.symbol] = true
				}
			}
			t := newACETree(used, false)
			t.write(&w.bitWriter)
			trees = append(trees, t)
		}
		w.put(len(block), 15)
		for _, c := range block {
			trees[c.code].put(&w.bitWriter, c.symbol)
		}
	}
	for _, number := range end {
		w.put(number[0], number[1])
	}
}

func (w *aceWriter) golombRice(n, low int) {
	w.put(n, low)
	for range n >> low {
		w.put(1, 1)
	}
	w.put(0, 1)
}

// picture writes rows of a picture, the planes in all the ways that there are, and the
// change of the mode behind them.
func (w *aceWriter) picture(s aceSegment, end [][2]int) {
	p := &acePicture{width: s.width, planes: s.planes}
	for i := range p.first {
		p.first[i], p.others[i] = aceCase{sum: 4}, aceCase{sum: 4}
	}
	p.now, p.above = make([]byte, s.width+s.planes), make([]byte, s.width+s.planes)
	for number, text := 0, s.text; text != ""; number++ {
		copy(p.now, text[:s.width])
		text = text[s.width:]
		w.put(1, 1)
		for plane := range s.planes {
			kind, cases := 0, &p.first
			if plane > 0 {
				kind, cases = (plane+number)%3, &p.others
				w.put(kind, 2)
			}
			w.plane(p, plane, kind, cases)
		}
		p.now, p.above = p.above, p.now
	}
	if end == nil {
		return
	}
	w.put(0, 1)
	for _, number := range end {
		w.put(number[0], number[1])
	}
}

func (w *aceWriter) plane(p *acePicture, plane, kind int, cases *[acePictureCases]aceCase) {
	var n aceNeighbours
	if kind > 0 {
		n = aceNeighbours{128, 128, 128, 128, 128}
	}
	n.next = p.byteAbove(plane, kind)
	for at := plane; at < p.width; at += p.planes {
		n.corner, n.up, n.left = n.up, n.next, n.here
		n.next = p.byteAbove(at+p.planes, kind)
		n.here = p.now[at]
		if kind > 0 {
			n.here -= acePlaneOf(p.now[at-1], kind) - 128
		}
		c, guesses := &cases[n.difference()], n.guesses()
		c.used++
		low := bits.Len16(c.sum / c.used)
		d := int(int8(n.here - guesses[c.guess]))
		if d < 0 {
			w.golombRice(-2*d-1, low)
		} else {
			w.golombRice(2*d, low)
		}
		c.sum += uint16(magnitude(d))
		if c.used == 128 {
			c.used, c.sum = c.used/2, c.sum/2
		}
		c.learn(n.here, guesses)
	}
}

// acePackComment packs a comment.
func acePackComment(text string) string {
	var steps []int
	used := map[int]bool{}
	var last [511]int
	for at := 0; at < len(text); {
		from := 0
		if at > 1 {
			sum := int(text[at-1]) + int(text[at-2])
			from, last[sum] = last[sum], at
		}
		n := 0
		for at+n < len(text) && n < 28 && text[at+n] == text[from+n] && from+n < at {
			n++
		}
		symbol := int(text[at])
		if n >= aceLeastCopy {
			symbol = aceLiterals + n - aceLeastCopy
			at += n
		} else {
			at++
		}
		used[symbol] = true
		steps = append(steps, symbol)
	}
	w, t := &bitWriter{}, newACETree(used, false)
	w.put(len(text), 15)
	t.write(w)
	for _, s := range steps {
		t.put(w, s)
	}
	return aceWords(w)
}

// aceProgram is bytes like those of a program, with calls; what is between them is text.
func aceProgram(text string, n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "\x55\x8b\xec%s\xe8%c%c\x00\x00\x90\xe9%c\x01%d", text, i*7, i, i*3, i)
	}
	return b.String() + strings.Repeat("\x90", 8)
}

// aceWave is n bytes of sound, of so many channels, with silence at times.
func aceWave(n, channels int) string {
	b := make([]byte, n)
	for i := range b {
		t := i / channels * (1 + i%channels)
		v := t * t / 97 % 200
		if v > 100 {
			v = 200 - v
		}
		if i/300%3 == 2 {
			v = 0
		}
		b[i] = byte(v)
	}
	return string(b)
}

// acePixels is so many rows of a picture.
func acePixels(width, rows int) string {
	b := make([]byte, width*rows)
	for i := range b {
		x, y := i%width, i/width
		b[i] = byte(x*x/40 + y*3 + x%3*20 + x*y%5)
		if (x/9+y/5)%4 == 0 {
			b[i] = 250
		}
	}
	return string(b)
}
