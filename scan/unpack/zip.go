package unpack

import (
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// zipOpener opens PKZIP archives and what is built on them: jar, OOXML, ODF.
// Programs differ in what they believe of an archive, so all of it is read: the
// central directory of every end record, and every local header that no member
// read so far covers. Section numbers are those of PKWARE's APPNOTE 6.3.10.
var zipOpener = opener{name: "zip", match: zipMatch, entries: zipEntries, ends: endsAsZip}

const (
	// zipEnds is how many end records are followed. Joined archives have a few;
	// behind more of them the local headers still lead to every member.
	zipEnds = 256

	// zipOverlap bounds how often the bytes of an archive are read, on average:
	// an honest one's are read once, and twice where its headers disagree.
	zipOverlap = 32

	// zipNames is by how many names the same bytes may go: the central
	// directory's and the local header's. Archives in which thousands of entries
	// share their bytes exist only to keep scanners busy.
	zipNames = 2

	// zipEndings is the same for names that end in different ways: which programs
	// open a file depends on that.
	zipEndings = 8
)

// zipReader reads one archive.
type zipReader struct {
	file  File
	data  []byte
	marks *marks // where end records and local headers begin
	seen  map[zipExtent][]string
	walks map[zipWalk]bool // the central directories that have been walked

	held     []zipHeld // locked members, which wait for what tells their password; nil: none waits
	holding  bool
	overlaid bool      // a name for bytes that have been read was passed over
	headers  bool      // there are local headers that no directory lists
	parts    []stretch // headers, members, directories and end records
	parsed   int64     // bytes of central headers read in all
	read     int64     // compressed bytes read in all
	// Made when first needed, used for every member.
	flate  flateReader
	zstd   *zstd.Decoder
	memory []byte // of ppmd

	yield func(member, error) bool
	done  bool // nobody wants more
}

// zipExtent is what makes two entries the same bytes.
type zipExtent struct {
	start    int
	method   uint16
	strength byte

	// Of methods whose bytes do not end by themselves.
	packed, size int64
	flags        uint16
}

// zipWalk is a way to read a central directory.
type zipWalk struct {
	start int64
	base  int64 // what its offsets count from
}

// zipGap is how many bytes may stand between what is read of an archive: a member's
// descriptor (section 4.3.9), or the end record of zip64 and its locator.
const zipGap = zipEnd64Size + zipLocator64Size

// zipHeld is a member that waits, with where its local header begins.
type zipHeld struct {
	at int
	zipEntry
}

// zipEntry is one way to read a member.
type zipEntry struct {
	name     string
	method   uint16
	flags    uint16
	start    int      // of the compressed bytes, or of what stands before them when they are encrypted
	packed   int64    // their length, with what encryption adds; unknownSize when no header says
	size     int64    // unpacked; unknownSize when no header says
	crcs     []uint32 // what the headers say; none when they do not
	locked   bool     // one of the headers says that it is encrypted
	checks   []byte   // what ZipCrypto's header may end in
	strength byte     // AES: 1, 2 or 3 for keys of 128, 192 or 256 bits; 0: not AES

	end    int  // of the compressed bytes, once they have been read
	whole  bool // they were read, and a checksum fits
	sealed bool // AES: the tag fits
}

func zipEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		z := &zipReader{
			file:  f,
			data:  f.Data,
			seen:  make(map[zipExtent][]string),
			walks: make(map[zipWalk]bool),
			yield: yield,
		}
		var all bool
		z.marks, all = findMarks(f.Data, isZipMark)
		z.fromDirectories()
		z.fromLocals()
		f.readAll(z.parts, zipGap)
		switch {
		case !all:
			z.stop("objects")
		case z.overlaid:
			z.stop("overlap")
		case z.headers && len(z.walks) == 0:
			z.emit(member{}, fmt.Errorf("%w: no central directory", ErrDamaged))
		}
	}
}

// fromDirectories reads what the central directories list. It begins at the end:
// what lies within a member that has been read is an archive in the archive,
// and opened when that member is.
func (z *zipReader) fromDirectories() {
	followed := 0
	for i := len(z.marks.at) - 1; i >= 0 && followed < zipEnds; i-- {
		at := z.marks.at[i]
		if !hasMagic(z.data, at, zipEndMagic) || z.marks.covered(i) {
			continue
		}
		followed++
		comment := zipComment(z.data[at:])
		z.file.keys.note(comment)
		z.parts = append(z.parts, stretch{at, at + zipEndSize + len(comment)})
		for _, w := range zipDirectories(z.data, at) {
			if z.done {
				return
			}
			if !z.walks[w] {
				z.walks[w] = true
				z.directory(w)
			}
		}
	}
}

// directory reads the members that one central directory lists, the locked ones
// last: a file beside them may tell their password.
func (z *zipReader) directory(w zipWalk) {
	z.holding = true
	z.listed(w)
	z.holding = false
	for _, h := range z.held {
		z.member(h.at, h.zipEntry)
	}
	z.held = nil
}

// listed reads what a central directory lists. Its length and count are not
// believed: it ends where no header follows.
func (z *zipReader) listed(w zipWalk) {
	for at := w.start; !z.done; {
		c, ok := parseZipCentral(z.data, at)
		if !ok {
			z.parts = append(z.parts, stretch{int(w.start), int(at)})
			return
		}
		if z.parsed += c.next - at; z.parsed > zipOverlap*int64(len(z.data)) {
			z.stop("overlap")
			return
		}
		z.central(c, w.base)
		at = c.next
	}
}

// central reads a member of a central directory: as the directory describes it,
// and as its local header does where that disagrees.
func (z *zipReader) central(c zipHeader, base int64) {
	at := base + c.offset
	l, ok := parseZipLocal(z.data, at)
	if !ok && base != 0 { // of those who put something in front, some adjust the offsets
		if adjusted, found := parseZipLocal(z.data, c.offset); found {
			at, l, ok = c.offset, adjusted, true
		}
	}
	if l.body == 0 {
		if e := c.entry(0); !e.directory() {
			z.emit(member{name: e.name}, fmt.Errorf("%w: no local header", ErrDamaged))
		}
		return
	}
	e := c.entry(int(l.body))
	if !ok {
		// Without its magic number a local header still tells where the bytes
		// begin: some programs do not look at it.
		z.member(int(at), e)
		return
	}
	other := l.entry(int(l.body))
	if !l.later() {
		e.crcs = append(e.crcs, other.crcs...)
	} else {
		other.packed, other.size = e.packed, e.size
	}
	e.locked = e.locked || other.locked
	e.checks = append(e.checks, other.checks...)
	other.locked, other.crcs, other.checks = e.locked, e.crcs, e.checks
	z.member(int(at), e)
	z.member(int(at), other)
}

// fromLocals reads the members whose local headers nothing has covered.
func (z *zipReader) fromLocals() {
	for i, at := range z.marks.at {
		if z.done {
			return
		}
		if !hasMagic(z.data, at, zipLocalMagic) || z.marks.covered(i) {
			continue
		}
		h, ok := parseZipLocal(z.data, int64(at))
		if !ok || !h.plausible() {
			continue
		}
		z.headers = true
		e := h.entry(int(h.body))
		if h.later() {
			e.packed, e.size, e.crcs = unknownSize, unknownSize, nil
		}
		z.member(at, e)
	}
}

// member reads an entry whose local header begins at the given offset, with
// each size that it can be meant to have.
func (z *zipReader) member(at int, e zipEntry) {
	if z.holding && e.locked {
		z.held = append(z.held, zipHeld{at, e})
		return
	}
	z.try(at, e)
	if e.method == zipStored && !e.locked && e.packed != e.size {
		e.packed = e.size
		z.try(at, e)
	}
}

// try reads an entry, unless its bytes have been read already, and covers it.
func (z *zipReader) try(at int, e zipEntry) {
	if z.done {
		return
	}
	if e.directory() {
		z.parts = append(z.parts, stretch{at, e.start})
		return
	}
	x := zipExtent{start: e.start, method: e.method, strength: e.strength}
	if !zipMethodOf(e.method).ends {
		x.packed = e.packed
		if e.method != zipStored {
			x.size, x.flags = e.size, e.flags&zipMethodFlags
		}
	}
	names := z.seen[x]
	if slices.Contains(names, e.name) {
		return
	}
	if !isNewName(names, e.name) {
		z.overlaid = true
		return
	}
	z.seen[x] = append(names, e.name)
	if z.read > zipOverlap*int64(len(z.data)) {
		z.stop("overlap")
		return
	}
	z.open(&e)
	if e.whole {
		z.parts = append(z.parts, stretch{at, e.end})
	} else {
		e.end = at + 1 // not the header again, but what may lie in its bytes
	}
	// Not what the header holds besides: an extra field can be an archive.
	z.marks.cover(at, at+1)
	z.marks.cover(e.start, e.end)
}

// isNewName reports whether bytes that go by names already are to be read under
// another one.
func isNewName(names []string, name string) bool {
	ending := func(name string) string { return strings.ToLower(path.Ext(name)) }
	alike := func(other string) bool { return ending(other) == ending(name) }
	return len(names) < zipNames || len(names) < zipEndings && !slices.ContainsFunc(names, alike)
}

// open unpacks an entry and hands it out. When no password fits an encrypted one
// it is read as if it was not: the flag may lie.
func (z *zipReader) open(e *zipEntry) {
	m := member{name: e.name, size: e.size}
	method := zipMethodOf(e.method)
	hidden := e.strength > 0 || e.method == zipAES
	switch {
	case (e.locked || hidden) && z.unlock(e, m):
	case hidden && e.strength == 0 && z.openLying(e):
	case hidden, e.locked && method.open == nil:
		z.emit(m, ErrEncrypted)
	case method.name == "":
		z.emit(m, fmt.Errorf("%w: number %d", ErrUnsupported, e.method))
	case method.open == nil:
		z.emit(m, fmt.Errorf("%w: %s", ErrUnsupported, method.name))
	case e.method == zipStored:
		z.stored(e, m)
	default:
		z.emitBody(e, nil, m)
	}
}

// openLying hands out an entry that is said to be encrypted by AES, has nothing of
// what that needs, and unpacks as if it was not. It reports whether it did.
func (z *zipReader) openLying(e *zipEntry) bool {
	for _, method := range []uint16{zipDeflated, zipStored} {
		plain := *e
		plain.method, plain.locked = method, false
		if z.isWhole(&plain) {
			e.method, e.locked = method, false
			z.open(e)
			return true
		}
	}
	return false
}

// isWhole reports whether an entry that is deflated or stored, and not too large to
// try, is what its checksum says.
func (z *zipReader) isWhole(e *zipEntry) bool {
	if e.method == zipStored {
		z.measure(e)
		rest := z.data[e.start:]
		return e.packed <= int64(len(rest)) && z.fits(e, crc32.ChecksumIEEE(rest[:e.packed]), false)
	}
	b, err := z.body(e, nil)
	if err == nil {
		io.CopyN(io.Discard, b, zipTrial) // what comes of it is in e
	}
	return e.whole
}

// emit hands out a member, or what is wrong with it.
func (z *zipReader) emit(m member, err error) {
	if !z.done {
		z.done = !z.yield(m, err)
	}
}

// stop ends the reading at a limit.
func (z *zipReader) stop(limit string) {
	z.emit(member{}, &LimitError{limit})
	z.done = true
}
