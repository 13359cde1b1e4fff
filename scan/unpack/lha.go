package unpack

import (
	"fmt"
	"io"
	"iter"
	"strings"
)

// lhaOpener opens archives of LHA, LHarc, LArc, PMarc and what is like them:
// headers of level 0 to 3, all methods that are known to have been used. A header
// whose checksum is wrong is read all the same. Archives may be joined, and stand
// behind a program or other data.
var lhaOpener = opener{name: "lha", match: lhaMatch, entries: lhaEntries}

// lhaReader reads one object.
type lhaReader struct {
	searcher lhaSearcher
	data     []byte
	file     File
	yield    func(member, error) bool
	done     bool

	window   lzWindow
	read     int64 // compressed bytes, in all
	restarts int   // searches behind damage
	whole    bool  // the member last read is right
}

func lhaEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		r := &lhaReader{searcher: lhaSearcher{data: f.Data}, file: f, data: f.Data, yield: yield}
		at, ok := lhaStart(f.Data)
		for ok && !r.done {
			at, ok = r.next(at)
		}
	}
}

// emit hands out a member, or what is wrong with it.
func (r *lhaReader) emit(m member, err error) {
	if !r.done {
		r.done = !r.yield(m, err)
	}
}

func (r *lhaReader) damaged(m member, what string) {
	r.emit(m, fmt.Errorf("%w: %s", ErrDamaged, what))
}

// next reads the member whose header is at an offset, and finds the next header.
func (r *lhaReader) next(at int) (int, bool) {
	h, ok := parseLHA(r.data, at)
	switch {
	case !ok:
		r.damaged(member{}, "header")
		return r.restart(at + 1)
	case h.cut:
		r.damaged(member{name: h.path()}, "cut short")
		return r.restart(at + 1)
	}
	r.member(&h)
	if h.packed > int64(len(r.data)-h.body) {
		return r.restart(at + 1)
	}
	end := h.body + int(h.packed)
	r.file.read(at, end)
	switch {
	case end == len(r.data):
		return 0, false
	case isLHAHeader(r.data, end):
		return end, true
	case r.data[end] == 0: // the end of an archive; another one may follow
		return r.searcher.from(end+1, len(r.data))
	case !r.whole:
		return r.restart(at + 1)
	}
	r.damaged(member{}, "no header where one should be")
	return r.restart(end)
}

// restart looks for the next header behind damage.
func (r *lhaReader) restart(at int) (int, bool) {
	if r.restarts++; r.restarts > maxRestarts {
		r.emit(member{}, &LimitError{"overlap"})
		return 0, false
	}
	return r.searcher.from(at, len(r.data))
}

// member reads a member.
func (r *lhaReader) member(h *lhaHeader) {
	r.whole = false
	m := member{name: h.path(), size: h.size}
	if h.isFolder() {
		r.whole = true
		return
	}
	packed := r.data[h.body:]
	packed = packed[:min(int64(len(packed)), h.packed)]
	if r.read += int64(len(packed)); r.read > lzOverlap*int64(len(r.data)) {
		r.emit(member{}, &LimitError{"overlap"})
		return
	}
	method := lhaMethodOf(h.method)
	switch {
	case method.stored:
		r.stored(m, h, packed)
	case method.open == nil:
		r.emit(m, fmt.Errorf("%w: %s", ErrUnsupported, h.method))
	case h.method == "-lh7-" && h.level == 1 && h.os == lhaOSLHARK:
		r.unpack(m, h, packed, lharkMethod)
		if !r.whole {
			r.unpack(m, h, packed, method)
		}
	default:
		d, ok := r.unpack(m, h, packed, method).(*lzhDecoder)
		if ok && d.metEmpty && !r.whole {
			r.unpack(m, h, packed, method.withEmptyBlocks())
		}
	}
}

// isFolder reports whether the member is a folder, or a link: it has no bytes.
func (h *lhaHeader) isFolder() bool {
	return h.packed == 0 && (h.method == "-lhd-" || h.size == 0 && strings.HasSuffix(h.path(), "/"))
}

// stored hands out bytes that are not compressed. Where the two sizes of a member
// differ, programs differ in which they believe.
func (r *lhaReader) stored(m member, h *lhaHeader, packed []byte) {
	sizes := []int64{h.packed, h.size}
	if h.packed == h.size {
		sizes = sizes[:1]
	}
	for _, size := range sizes {
		m.data = r.data[h.body:][:min(size, int64(len(r.data)-h.body))]
		err := h.check(arcCRC(0, m.data))
		if int64(len(m.data)) < size {
			err = errLZEnd
		}
		r.whole = r.whole || err == nil
		r.emit(m, err)
	}
}

// check compares the CRC of a member's bytes with what its header says.
func (h *lhaHeader) check(crc uint16) error {
	if h.hasCRC && crc != h.crc {
		return fmt.Errorf("%w: wrong checksum", ErrDamaged)
	}
	return nil
}

// unpack hands out bytes that are compressed.
func (r *lhaReader) unpack(m member, h *lhaHeader, packed []byte, method lhaMethod) lzDecoder {
	r.window.reset(method.reach, method.blank)
	decoder := method.open(&bitReader{data: packed}, &r.window)
	m.body = &lhaBody{r: r, h: h, lz: lzReader{window: &r.window, decoder: decoder, left: h.size}}
	r.emit(m, nil)
	return decoder
}

// lhaBody unpacks a member and checks it at its end.
type lhaBody struct {
	r   *lhaReader
	h   *lhaHeader
	lz  lzReader
	crc uint16
}

// Read implements io.Reader.
func (b *lhaBody) Read(p []byte) (int, error) {
	n, err := b.lz.Read(p)
	b.crc = arcCRC(b.crc, p[:n])
	if err == io.EOF {
		if wrong := b.h.check(b.crc); wrong != nil {
			return n, wrong
		}
		b.r.whole = true
	}
	return n, err
}

// arcCRC continues a CRC-16 as LHA and ARC have it: the polynomial 8005, bits
// reversed.
func arcCRC(crc uint16, p []byte) uint16 {
	for _, b := range p {
		crc = crc>>8 ^ arcTable[byte(crc)^b]
	}
	return crc
}

var arcTable = func() (table [256]uint16) {
	for i := range table {
		crc := uint16(i)
		for range 8 {
			if crc&1 == 1 {
				crc = crc>>1 ^ 0xa001
			} else {
				crc >>= 1
			}
		}
		table[i] = crc
	}
	return table
}()

// lhaMethod is a method of compression. One that is neither stored nor can be
// opened is not known.
type lhaMethod struct {
	stored bool
	reach  int  // how far back copies go
	blank  byte // what stands before the first byte
	open   func(*bitReader, *lzWindow) lzDecoder
}

// lhaMethods are those that are compressed. Of lh4 to lhx the window may be larger
// than the format's: all that a position's bits can say is in reach.
var lhaMethods = map[string]lhaMethod{
	"-lh1-": {reach: 4 << 10, blank: ' ', open: openLH1},
	"-lZ1-": {reach: 4 << 10, blank: ' ', open: openLH1},
	"-lh2-": {reach: 8 << 10, blank: ' ', open: func(b *bitReader, _ *lzWindow) lzDecoder { return &lhDecoder{b, newLH2()} }},
	"-lh3-": {reach: 8 << 10, blank: ' ', open: func(b *bitReader, _ *lzWindow) lzDecoder { return &lhDecoder{b, newLH3()} }},
	"-lh4-": lzhMethod(16<<10, 4),
	"-lh5-": lzhMethod(16<<10, 4),
	"-lZ5-": lzhMethod(16<<10, 4),
	"-lh6-": lzhMethod(64<<10, 5),
	"-lh7-": lzhMethod(64<<10, 5),
	"-lhx-": lzhMethod(1<<20, 5),
	"-lzs-": {reach: lzsRing.size, blank: ' ', open: func(b *bitReader, _ *lzWindow) lzDecoder { return lzs{b} }},
	"-lz5-": {reach: lz5Ring.size, open: func(b *bitReader, w *lzWindow) lzDecoder { lz5History(w); return &lz5{bits: b} }},
	"-pm1-": {reach: 16 << 10, open: func(b *bitReader, _ *lzWindow) lzDecoder { return newPM1(b) }},
	"-pm2-": {reach: 8 << 10, blank: ' ', open: func(b *bitReader, _ *lzWindow) lzDecoder { return newPM2(b) }},
}

// lharkMethod is what LHARK calls lh7.
var lharkMethod = lhaMethod{reach: 64 << 10, blank: ' ', open: func(b *bitReader, _ *lzWindow) lzDecoder { return newLHARK(b) }}

func openLH1(b *bitReader, _ *lzWindow) lzDecoder { return &lhDecoder{b, newLH1()} }

// lzhMethod is one with blocks of static codes.
func lzhMethod(reach, positionBits int) lhaMethod {
	return lhaMethod{reach: reach, blank: ' ', open: func(b *bitReader, _ *lzWindow) lzDecoder { return newLZH(b, positionBits) }}
}

// withEmptyBlocks is the method as programs read it that take a block of 0 codes
// for an empty one.
func (m lhaMethod) withEmptyBlocks() lhaMethod {
	open := m.open
	m.open = func(b *bitReader, w *lzWindow) lzDecoder {
		d := open(b, w)
		d.(*lzhDecoder).empty = true
		return d
	}
	return m
}

// lhaMethodOf gives the method of a name.
func lhaMethodOf(name string) lhaMethod {
	switch name {
	case "-lh0-", "-lz4-", "-pm0-", "-lhd-", "-lZ0-":
		return lhaMethod{stored: true}
	}
	return lhaMethods[name]
}

func lhaKnown(name string) bool {
	m := lhaMethodOf(name)
	return m.stored || m.open != nil
}
