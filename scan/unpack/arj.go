package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"strings"
)

// arjOpener opens archives of ARJ, and what of a file lies in one volume of
// several. Archives may be joined, and stand behind a program or other data. The
// layout is that of ARJ's TECHNOTE.
var arjOpener = opener{name: "arj", match: arjMatch, entries: arjEntries}

const (
	arjMagic = "\x60\xea"

	// arjFixed is the length of a header's fields that are always there.
	arjFixed = 30

	// arjLongest is the length that no header exceeds.
	arjLongest = 2600

	// arjSearch is how far into an object the first header is looked for.
	arjSearch = 1 << 20

	// arjExtensions bounds the extended headers of one header.
	arjExtensions = 256
)

// Flags of a header.
const (
	arjGarbled   = 1 << 0
	arjContinued = 1 << 2 // in the next volume
	arjBegun     = 1 << 3 // in the volume before
	arjSlashes   = 1 << 4 // the path has slashes, not backslashes
)

// Types of members that are not files.
const (
	arjMain    = 2
	arjFolder  = 3
	arjLabel   = 4
	arjChapter = 5
)

// arjHeader is a header: of the archive, or of a member.
type arjHeader struct {
	at, body     int // where it begins, and where the bytes behind it do
	flags        byte
	method, kind byte
	modifier     byte // of the password
	packed, size int64
	crc          uint32
	name         []byte

	end   bool // the archive's
	cut   bool // the data end within the header
	sound bool // its checksum is right
}

// parseARJ reads the header at an offset. ok is false when there is none.
func parseARJ(data []byte, at int) (h arjHeader, ok bool) {
	if !hasMagic(data, at, arjMagic) {
		return h, false
	}
	h = arjHeader{at: at, body: len(data)}
	b, le := data[at:], binary.LittleEndian
	if h.cut = len(b) < 4; h.cut {
		return h, true
	}
	size := int(le.Uint16(b[2:]))
	if size == 0 {
		h.end, h.body = true, at+4
		return h, true
	}
	if size < arjFixed || size > arjLongest {
		return h, false
	}
	if h.cut = len(b) < 4+size+4+2; h.cut {
		return h, true
	}
	basic := b[4 : 4+size]
	first := int(basic[0])
	if first < arjFixed || first > size {
		return h, false
	}
	h.sound = crc32.ChecksumIEEE(basic) == le.Uint32(b[4+size:])
	h.flags, h.method, h.kind, h.modifier = basic[4], basic[5], basic[6], basic[7]
	h.packed, h.size, h.crc = int64(le.Uint32(basic[12:])), int64(le.Uint32(basic[16:])), le.Uint32(basic[20:])
	h.name, _, _ = bytes.Cut(basic[first:], []byte{0})
	h.extended(data, at+4+size+4)
	return h, true
}

// extended passes over the extended headers, each behind its length and followed
// by its checksum.
func (h *arjHeader) extended(data []byte, at int) {
	for range arjExtensions {
		if len(data)-at < 2 {
			h.cut = true
			return
		}
		n := int(binary.LittleEndian.Uint16(data[at:]))
		at += 2
		if n == 0 {
			h.body = at
			return
		}
		at += n + 4
	}
	h.cut = true
}

// arjLikely reports whether the header at an offset is worth its checksum: a name
// and a comment, each with a NUL behind it, are all that follows its fields.
func arjLikely(data []byte, at int) bool {
	b := data[at:]
	if len(b) < 4+arjFixed {
		return false
	}
	size, first := int(binary.LittleEndian.Uint16(b[2:])), int(b[4])
	if size < arjFixed || size > arjLongest || len(b) < 4+size || first < arjFixed || first >= size || b[4+size-1] != 0 {
		return false
	}
	texts := b[4+first : 4+size]
	name := bytes.IndexByte(texts, 0)
	return name < len(texts)-1 && bytes.IndexByte(texts[name+1:], 0) == len(texts)-name-2
}

// arjFind finds the first header from an offset on, before end, whose checksum is
// right.
func arjFind(data []byte, at, end int) (int, bool) {
	end = min(end+1, len(data))
	for ; at < end; at++ {
		i := bytes.Index(data[at:end], []byte(arjMagic))
		if i < 0 {
			return 0, false
		}
		if at += i; !arjLikely(data, at) {
			continue
		}
		if h, ok := parseARJ(data, at); ok && h.sound {
			return at, true
		}
	}
	return 0, false
}

func (h *arjHeader) isMain() bool { return h.kind == arjMain }

// arjStart finds the first header: that of the archive at the beginning, be it
// damaged, or any right one in what follows.
func arjStart(data []byte) (int, bool) {
	if h, ok := parseARJ(data, 0); ok && !h.end && len(data) > 10 && data[10] == arjMain {
		return 0, true
	}
	return arjFind(data, 0, arjSearch)
}

func arjMatch(data []byte) bool {
	_, ok := arjStart(data)
	return ok
}

// arjReader reads one object.
type arjReader struct {
	file  File
	data  []byte
	yield func(member, error) bool
	done  bool

	window   lzWindow
	restarts int
	whole    bool   // the member last read is right
	met      bool   // there was a member
	read     int64  // compressed bytes, in all
	known    string // the password that fitted last
}

func arjEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		r := &arjReader{file: f, data: f.Data, yield: yield}
		at, ok := arjStart(f.Data)
		for ok && !r.done {
			at, ok = r.next(at)
		}
	}
}

func (r *arjReader) emit(m member, err error) {
	if !r.done {
		r.done = !r.yield(m, err)
	}
}

func (r *arjReader) damaged(m member, what string) {
	r.emit(m, fmt.Errorf("%w: %s", ErrDamaged, what))
}

// next reads what the header at an offset is of, and finds the next header.
func (r *arjReader) next(at int) (int, bool) {
	h, ok := parseARJ(r.data, at)
	switch {
	case !ok:
		r.damaged(member{}, "no header where one should be")
		return r.restart(at)
	case h.end: // another archive may follow
		r.file.read(at, h.body)
		at, ok = arjFind(r.data, h.body, len(r.data))
		if !ok && !r.met && !zeros(r.data[h.body:]) {
			r.damaged(member{}, "no header where one should be")
		}
		return at, ok
	case h.cut:
		r.damaged(member{name: h.path()}, "cut short")
		return r.restart(at + 1)
	}
	end := int64(h.body)
	if h.isMain() {
		r.whole = true
	} else {
		r.member(&h)
		end += h.packed
	}
	r.file.read(at, int(min(end, int64(len(r.data)))))
	switch {
	case end > int64(len(r.data)):
		return r.restart(at + 1) // the member has told of it
	case end == int64(len(r.data)):
		r.damaged(member{}, "cut short")
		return 0, false
	case !r.whole && !hasMagic(r.data, end, arjMagic):
		return r.restart(at + 1)
	}
	return int(end), true
}

// restart looks for the next header behind damage.
func (r *arjReader) restart(at int) (int, bool) {
	if r.restarts++; r.restarts > maxRestarts {
		r.emit(member{}, &LimitError{"overlap"})
		return 0, false
	}
	return arjFind(r.data, at, len(r.data))
}

// path is the member's name with its folders.
func (h *arjHeader) path() string {
	name := decodeName(h.name)
	if h.flags&arjSlashes == 0 {
		name = strings.ReplaceAll(name, `\`, "/")
	}
	return name
}

// member reads a member.
func (r *arjReader) member(h *arjHeader) {
	r.whole, r.met = false, true
	if h.packed == 0 && (h.kind == arjFolder || h.kind == arjLabel || h.kind == arjChapter) {
		r.whole = true
		return
	}
	packed := r.data[h.body:]
	packed = packed[:min(int64(len(packed)), h.packed)]
	if r.read += int64(len(packed)); r.read > lzOverlap*int64(len(r.data)) {
		r.emit(member{}, &LimitError{"overlap"})
		return
	}
	m := member{name: h.path(), size: h.size}
	if h.method > arjFastest {
		r.emit(m, fmt.Errorf("%w: number %d", ErrUnsupported, h.method))
		return
	}
	var key []byte
	if h.flags&arjGarbled != 0 {
		var ok bool
		if key, ok = r.key(h, packed); !ok {
			r.emit(m, ErrEncrypted)
			return
		}
	}
	if h.method == arjStored && key == nil {
		r.stored(m, h, packed)
		return
	}
	b := &arjBody{r: r, h: h, cut: int64(len(packed)) < h.packed}
	b.in = r.unpacker(h, packed, key)
	m.body = b
	r.emit(m, nil)
}

// key finds what a garbled member's bytes were changed with; nothing when the flag
// lies.
func (r *arjReader) key(h *arjHeader, packed []byte) (key []byte, ok bool) {
	if r.fits(h, packed, nil, false) {
		return nil, true
	}
	for p := range r.file.passwords() {
		key = []byte(p)
		for i := range key {
			key[i] += h.modifier
		}
		if len(key) > 0 && r.fits(h, packed, key, p == r.known) {
			r.known = p
			r.file.opened(p)
			return key, true
		}
	}
	return nil, false
}

// arjTrial bounds, for each byte of a member, how many are unpacked of it to see
// whether a key fits.
const arjTrial = 64

// fits reports whether a member comes out right with a key. One that unpacks to
// more than is tried fits when the key has been the right one for another member:
// a wrong key is noticed within a few bytes, but for one in some hundreds.
func (r *arjReader) fits(h *arjHeader, packed, key []byte, known bool) bool {
	most := arjTrial * int64(len(packed)+1<<10)
	sum := crc32.NewIEEE()
	n, err := io.Copy(sum, io.LimitReader(r.unpacker(h, packed, key), most))
	switch {
	case err != nil:
		return false
	case n == most && sum.Sum32() != h.crc:
		return known
	}
	return sum.Sum32() == h.crc
}

// unpacker unpacks a member's bytes.
func (r *arjReader) unpacker(h *arjHeader, packed, key []byte) io.Reader {
	if h.method == arjStored {
		if key == nil {
			return bytes.NewReader(packed)
		}
		return &arjPlain{g: arjGarble{data: packed, key: key}}
	}
	bits := &bitReader{data: packed}
	if key != nil {
		g := &arjGarble{data: packed, key: key}
		bits = &bitReader{more: g.next}
	}
	lz := &lzReader{window: &r.window, left: h.size}
	if h.method == arjFastest {
		r.window.reset(16<<10, 0)
		lz.decoder = &arjFast{bits}
	} else {
		r.window.reset(64<<10, 0) // ARJ's own is 26 KB, those of others are larger
		lz.decoder = newLZH(bits, 5)
	}
	return lz
}

// stored hands out bytes that are not compressed. Where the two sizes of a member
// differ, programs differ in which they believe.
func (r *arjReader) stored(m member, h *arjHeader, packed []byte) {
	sizes := []int64{h.packed, h.size}
	if h.packed == h.size {
		sizes = sizes[:1]
	}
	for _, size := range sizes {
		m.data = r.data[h.body:][:min(size, int64(len(r.data)-h.body))]
		r.emit(m, r.judge(h, crc32.ChecksumIEEE(m.data), int64(len(m.data)) < size))
	}
}

// judge says what is wrong with a member that has been read.
func (r *arjReader) judge(h *arjHeader, crc uint32, cut bool) error {
	switch {
	case cut:
		return errLZEnd
	case crc != h.crc:
		return fmt.Errorf("%w: wrong checksum", ErrDamaged)
	}
	r.whole = true
	if h.flags&(arjContinued|arjBegun) != 0 {
		return fmt.Errorf("%w: the rest of it is in another volume", ErrUnsupported)
	}
	return nil
}

// arjBody unpacks a member and checks it at its end.
type arjBody struct {
	r   *arjReader
	h   *arjHeader
	in  io.Reader
	crc uint32
	cut bool
}

// Read implements io.Reader.
func (b *arjBody) Read(p []byte) (int, error) {
	n, err := b.in.Read(p)
	b.crc = crc32.Update(b.crc, crc32.IEEETable, p[:n])
	if err == io.EOF {
		if wrong := b.r.judge(b.h, b.crc, b.cut); wrong != nil {
			return n, wrong
		}
	}
	return n, err
}

// arjGarble gives the bytes of a garbled member as they were, piece by piece.
type arjGarble struct {
	data  []byte
	key   []byte
	at    int // of key
	piece [4 << 10]byte
}

func (g *arjGarble) next() []byte {
	n := copy(g.piece[:], g.data)
	g.data = g.data[n:]
	for i := range g.piece[:n] {
		g.piece[i] ^= g.key[g.at]
		if g.at++; g.at == len(g.key) {
			g.at = 0
		}
	}
	return g.piece[:n]
}

// arjPlain reads a garbled member that is stored.
type arjPlain struct {
	g    arjGarble
	left []byte
}

// Read implements io.Reader.
func (a *arjPlain) Read(p []byte) (int, error) {
	if len(a.left) == 0 {
		if a.left = a.g.next(); len(a.left) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, a.left)
	a.left = a.left[n:]
	return n, nil
}

// Methods of ARJ; those between are three ways to search, and one format.
const (
	arjStored  = 0
	arjFastest = 4
)

// arjFast decodes method 4: numbers as so many ones, a zero unless there are as
// many as can be, and then as many bits.
type arjFast struct{ bits *bitReader }

func (d *arjFast) decode(w *lzWindow, upTo int) error {
	for w.end < upTo {
		if d.bits.ended() {
			return errLZEnd
		}
		length := d.number(0, 7)
		if length == 0 {
			w.put(byte(d.bits.take(8)))
			continue
		}
		if err := w.copy(d.number(9, 13)+1, length+2); err != nil {
			return err
		}
	}
	return nil
}

// number takes a number of least bits, and one more for each one in front of it up
// to most.
func (d *arjFast) number(least, most int) int {
	n, base := least, 0
	for n < most && d.bits.take(1) == 1 {
		base += 1 << n
		n++
	}
	return base + d.bits.take(n)
}
