package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sort"
	"strings"
)

// cfb is a compound file: a file system in a file (MS-CFB, whose section numbers
// these are). It is read leniently: counts and marks of the header are not
// believed, and the directory is read as a row, whatever its tree leaves out.
type cfb struct {
	data       []byte
	shift      uint     // binary logarithm of the sector size (section 2.2)
	miniShift  uint     // of the size of sectors of the mini stream
	cutoff     int64    // streams that are shorter lie in the mini stream
	fat        []uint32 // the sectors in which the FAT is, in its order
	miniFAT    []uint32
	miniStream []uint32
	entries    []cfbEntry // the row of the directory; the first is the root
	places     map[cfbPlace]int
	members    map[int][]*cfbEntry
	work       int64  // bytes of chains that may still be followed
	claimed    bitSet // sectors that belong to something
	many       bool   // there are more entries than are read
	problem    string // what is wrong with the file as a whole; the first of it
}

// cfbEntry is an entry of the directory: a stream or a storage (section 2.6.1).
type cfbEntry struct {
	name    string
	kind    byte
	parent  int // -1: the tree has no place for it
	links   [3]uint32
	start   uint32
	size    int64
	deleted bool
}

const (
	cfbHeaderSize = 512
	cfbEntrySize  = 128
	cfbHeaderFATs = 109 // sectors of the FAT that the header names

	cfbMaxSector = 0xfffffffa // section 2.1: what is above is no sector's number

	cfbStorage = 1 // section 2.6.1: object types
	cfbRoot    = 5

	// cfbMaxEntries bounds the directory: it holds no more in what Office,
	// Outlook or an installer writes.
	cfbMaxEntries = 1 << 17

	// cfbOverlap bounds how often the bytes of a file belong to a stream, on
	// average: those of an honest file do so once.
	cfbOverlap = 8
)

// cfbBeta is how compound files began before OLE 2 was released.
const cfbBeta = "\x0e\x11\xfc\x0d\xd0\xcf\x11\x0e"

// cfbRootName is the name of the root, as it stands in the directory.
const cfbRootName = "R\x00o\x00o\x00t\x00 \x00E\x00n\x00t\x00r\x00y\x00"

// bitSet is a set of numbers.
type bitSet []uint64

// add puts n into the set, and reports whether it was not there.
func (b bitSet) add(n uint32) bool {
	if n/64 >= uint32(len(b)) || b[n/64]>>(n%64)&1 != 0 {
		return false
	}
	b[n/64] |= 1 << (n % 64)
	return true
}

func newBitSet(n int) bitSet { return make(bitSet, (n+63)/64) }

// openCFB reads a file's header, which is there, allocation tables and directory.
func openCFB(data []byte) *cfb {
	c := &cfb{data: data, work: cfbOverlap*int64(len(data)) + 1<<20}
	le := binary.LittleEndian
	root := c.sizes(le.Uint32(data[48:]))
	c.claimed = newBitSet(int(c.sectors()))
	c.readFAT()
	var whole bool
	if c.miniFAT, whole = c.chain(le.Uint32(data[60:])); !whole && le.Uint32(data[64:]) > 0 {
		c.damaged("allocation table of the mini stream cut short")
	}
	c.readDirectory(root)
	return c
}

// sizes finds out the size of sectors, and where the directory begins: where the
// header has it, or else where the root's name is.
func (c *cfb) sizes(root uint32) uint32 {
	le := binary.LittleEndian
	c.miniShift, c.cutoff = 6, int64(le.Uint32(c.data[56:]))
	if s := uint(le.Uint16(c.data[32:])); s >= 2 && s <= 12 {
		c.miniShift = s
	}
	shifts := []uint{9, 12}
	if s := uint(le.Uint16(c.data[30:])); s >= 7 && s <= 20 {
		shifts = []uint{s, 9, 12}
	}
	for _, c.shift = range shifts {
		if c.miniShift <= c.shift && isCFBRoot(c.sector(root)) {
			return root
		}
	}
	c.damaged("no directory where one should be")
	c.shift = shifts[0]
	c.miniShift = min(c.miniShift, c.shift)
	if at := bytes.Index(c.data[cfbHeaderSize:], []byte(cfbRootName)); at >= 0 {
		at += cfbHeaderSize
		if at>>c.shift<<c.shift != at {
			c.shift = 9
		}
		c.miniShift = min(c.miniShift, c.shift)
		return uint32(at>>c.shift) - 1
	}
	return root
}

// isCFBHeader reports whether anything in the header but the first bytes is as it
// should be, or the root can be found. If not, the file is a bad copy of one,
// such as a text without its zeros, and there is nothing that reads it.
func isCFBHeader(data []byte) bool {
	if len(data) < cfbHeaderSize { // nothing is in what is cut off here
		return false
	}
	le := binary.LittleEndian
	shift := le.Uint16(data[30:])
	return le.Uint16(data[28:]) == 0xfffe || shift == 9 || shift == 12 || le.Uint32(data[56:]) == cfbCutoff ||
		bytes.Contains(data, []byte(cfbRootName))
}

// isCFBRoot reports whether a sector begins as a directory does.
func isCFBRoot(sector []byte) bool {
	return len(sector) >= cfbEntrySize && (sector[66] == cfbRoot || bytes.HasPrefix(sector, []byte(cfbRootName)))
}

// sectors is how many sectors there are; the last may be cut short.
func (c *cfb) sectors() uint32 {
	n := (int64(len(c.data)) + 1<<c.shift - 1) >> c.shift
	return uint32(min(max(n-1, 0), cfbMaxSector))
}

// sector gives a sector; what there is of it.
func (c *cfb) sector(n uint32) []byte {
	at := (int64(n) + 1) << c.shift
	if n > cfbMaxSector || at >= int64(len(c.data)) {
		return nil
	}
	return c.data[at:min(at+1<<c.shift, int64(len(c.data)))]
}

// end is where the last sector ends that is in use.
func (c *cfb) end() int {
	n := c.sectors()
	for n > 0 && c.link(c.fat, n-1) == math.MaxUint32 {
		n--
	}
	return int(min((int64(n)+1)<<c.shift, int64(len(c.data))))
}

// readFAT finds the sectors of the FAT: those in the header, then those in the
// chain of the DIFAT (section 2.5). The numbers of either are not believed.
func (c *cfb) readFAT() {
	le := binary.LittleEndian
	take := func(list []byte) {
		for ; len(list) >= 4; list = list[4:] {
			n := le.Uint32(list)
			c.fat = append(c.fat, n)
			c.claimed.add(n)
		}
	}
	take(c.data[76 : 76+4*cfbHeaderFATs])
	for n := le.Uint32(c.data[68:]); c.claimed.add(n); {
		s := c.sector(n)
		if len(s) < 1<<c.shift {
			c.damaged("allocation table cut short")
			break
		}
		last := len(s) - 4
		take(s[:last])
		n = le.Uint32(s[last:])
	}
	for len(c.fat) > 0 && c.fat[len(c.fat)-1] > cfbMaxSector {
		c.fat = c.fat[:len(c.fat)-1]
	}
}

// link gives what follows sector n by an allocation table that lies in sectors;
// more than cfbMaxSector when nothing does.
func (c *cfb) link(table []uint32, n uint32) uint32 {
	if i := n >> (c.shift - 2); i < uint32(len(table)) {
		at := n << 2 & (1<<c.shift - 1)
		if s := c.sector(table[i]); int(at)+4 <= len(s) {
			return binary.LittleEndian.Uint32(s[at:])
		}
		c.damaged("allocation table cut short")
	}
	return math.MaxUint32
}

// follow visits the sectors of a chain, at most most of them and none beyond
// end. A chain of more sectors than there are goes in a ring; more says that it does
// not end where it should.
func (c *cfb) follow(table []uint32, start, end uint32, most, size int64, visit func(n uint32)) (more bool) {
	most = min(most, int64(end))
	n := start
	for ; n < end && most > 0 && c.work > 0; most-- {
		c.work -= size
		visit(n)
		n = c.link(table, n)
	}
	return n < end
}

// chain gives the sectors of a chain, up to one that belongs to something else. It
// is whole when it ends with the mark of its end, or what stands for it.
func (c *cfb) chain(start uint32) (list []uint32, whole bool) {
	n := start
	for n < c.sectors() && c.claimed.add(n) {
		list = append(list, n)
		n = c.link(c.fat, n)
	}
	return list, n > cfbMaxSector
}

// readDirectory reads all entries, and finds their places in the tree.
func (c *cfb) readDirectory(start uint32) {
	list, whole := c.chain(start)
	for _, n := range list {
		s := c.sector(n)
		whole = whole && len(s) == 1<<c.shift
		for ; len(s) >= cfbEntrySize; s = s[cfbEntrySize:] {
			if c.many = len(c.entries) == cfbMaxEntries; c.many {
				break
			}
			c.entries = append(c.entries, c.parseEntry(s))
		}
	}
	if len(c.entries) == 0 {
		c.damaged("no directory")
		return
	}
	if !whole {
		c.damaged("directory cut short")
	}
	root := &c.entries[0]
	c.miniStream, _ = c.chain(root.start)
	if root.kind = cfbRoot; root.size > int64(len(c.miniStream))<<c.shift && root.size>>c.shift > 0 {
		c.damaged("mini stream cut short")
	}
	c.growTree()
}

// parseEntry reads an entry of the directory.
func (c *cfb) parseEntry(b []byte) cfbEntry {
	le := binary.LittleEndian
	e := cfbEntry{name: wideName(b[:64]), kind: b[66], parent: -1, start: le.Uint32(b[116:])}
	for i := range e.links {
		e.links[i] = le.Uint32(b[68+4*i:])
	}
	e.size = int64(le.Uint32(b[120:]))
	if high := le.Uint32(b[124:]); c.shift == 12 && high < 1<<16 { // version 3 has noise there
		e.size |= int64(high) << 32
	}
	e.deleted = e.kind == 0
	return e
}

// growTree says of every entry which storage it is in: each has a binary tree of
// its own (section 2.6.4). An entry has the place where it is met first.
func (c *cfb) growTree() {
	type branch struct {
		n      uint32
		parent int
	}
	todo := []branch{{c.entries[0].links[2], 0}}
	for len(todo) > 0 {
		b := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if b.n == 0 || b.n >= uint32(len(c.entries)) || c.entries[b.n].parent >= 0 {
			continue
		}
		e := &c.entries[b.n]
		e.parent = b.parent
		todo = append(todo, branch{e.links[0], b.parent}, branch{e.links[1], b.parent})
		if e.kind == cfbStorage || e.kind == cfbRoot {
			todo = append(todo, branch{e.links[2], int(b.n)})
		}
	}
}

// isStream reports whether an entry may have bytes of its own: a deleted one has
// while they were not given to something else.
func (e *cfbEntry) isStream() bool {
	return e.kind != cfbStorage && e.kind != cfbRoot && e.size > 0
}

// path gives the names that lead to an entry, without control characters.
func (c *cfb) path(i int) string {
	var parts []string
	for n := 0; i > 0 && n < 8; n++ {
		parts = append([]string{plainName(c.entries[i].name)}, parts...)
		i = c.entries[i].parent
	}
	return cutName(strings.Join(parts, "/"))
}

// plainName takes the control characters off a name, which streams of programs
// have in front, and gives those of installers in full.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '/' {
			return -1
		}
		return r
	}, msiName(name))
}

// cfbPlace is a name in a storage.
type cfbPlace struct {
	parent int
	name   string // in lower case
}

// child finds a stream in a storage; the case of letters does not count. It is
// nil when there is none.
func (c *cfb) child(parent int, name string) *cfbEntry {
	if c.places == nil {
		c.places = make(map[cfbPlace]int)
		for i := range c.entries {
			place := cfbPlace{c.entries[i].parent, strings.ToLower(c.entries[i].name)}
			if _, taken := c.places[place]; !taken && c.entries[i].isStream() {
				c.places[place] = i
			}
		}
	}
	if i, ok := c.places[cfbPlace{parent, strings.ToLower(name)}]; ok {
		return &c.entries[i]
	}
	return nil
}

// streams gives the streams of a storage.
func (c *cfb) streams(storage int) []*cfbEntry {
	if c.members == nil {
		c.members = make(map[int][]*cfbEntry)
		for i := range c.entries {
			if e := &c.entries[i]; e.isStream() {
				c.members[e.parent] = append(c.members[e.parent], e)
			}
		}
	}
	return c.members[storage]
}

// cfbStream is where a stream's bytes are.
type cfbStream struct {
	data []byte // of the file
	runs []cfbRun
	size int64
	cut  bool // it has fewer bytes than the directory tells
	more bool // its chain goes on where it should have ended
}

// cfbRun is a piece of a stream that lies in one.
type cfbRun struct{ at, from, n int64 } // place in the stream, in the file, length

// stream finds the bytes of an entry. mini is where they are to be looked for.
func (c *cfb) stream(e *cfbEntry, mini bool) *cfbStream {
	s := &cfbStream{data: c.data}
	size, table, end, shift := int64(1)<<c.shift, c.fat, c.sectors(), c.shift
	if mini {
		size, table, shift = 1<<c.miniShift, c.miniFAT, c.miniShift
		end = uint32(min(int64(len(c.miniStream))<<(c.shift-c.miniShift), cfbMaxSector))
	}
	s.more = c.follow(table, e.start, end, (e.size+size-1)>>shift, size, func(sector uint32) {
		at := (int64(sector) + 1) << shift
		if mini {
			at = c.miniSector(sector)
		} else {
			c.claimed.add(sector)
		}
		s.add(at, min(size, e.size-s.size))
	})
	s.cut = s.size < e.size
	return s
}

// miniSector is where in the file a sector of the mini stream is.
func (c *cfb) miniSector(n uint32) int64 {
	at := int64(n) << c.miniShift
	return (int64(c.miniStream[at>>c.shift])+1)<<c.shift + at&(1<<c.shift-1)
}

// add puts n bytes of the file at the end of the stream; fewer when the file ends
// before.
func (s *cfbStream) add(from, n int64) {
	if n = min(n, int64(len(s.data))-from); n <= 0 {
		return
	}
	if k := len(s.runs); k > 0 && s.runs[k-1].from+s.runs[k-1].n == from {
		s.runs[k-1].n += n
	} else {
		s.runs = append(s.runs, cfbRun{s.size, from, n})
	}
	s.size += n
}

// run is the piece that a byte is in.
func (s *cfbStream) run(at int64) int {
	return sort.Search(len(s.runs), func(i int) bool { return s.runs[i].at+s.runs[i].n > at })
}

// ReadAt implements io.ReaderAt.
func (s *cfbStream) ReadAt(p []byte, at int64) (n int, err error) {
	for i := s.run(at); i < len(s.runs) && n < len(p); i++ {
		r := s.runs[i]
		skip := max(at+int64(n)-r.at, 0)
		n += copy(p[n:], s.data[r.from+skip:r.from+r.n])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// plain gives n bytes from at on, where they stand in the file; nil when they
// stand in pieces.
func (s *cfbStream) plain(at, n int64) []byte {
	if i := s.run(at); i < len(s.runs) {
		if r := s.runs[i]; at+n <= r.at+r.n {
			from := r.from + at - r.at
			return s.data[from : from+n : from+n]
		}
	}
	return nil
}

// head gives the first bytes of a stream, at most n of them.
func (s *cfbStream) head(n int64) []byte {
	n = min(n, s.size)
	if b := s.plain(0, n); b != nil {
		return b
	}
	b := make([]byte, n)
	n2, _ := s.ReadAt(b, 0)
	return b[:n2]
}

// cfbCopy bounds what of a stream that lies in pieces is put together in memory.
const cfbCopy = 4 << 20

// all gives the bytes of a stream.
func (s *cfbStream) all() ([]byte, error) {
	if len(s.runs) > 1 && s.size > cfbCopy {
		return nil, fmt.Errorf("%w: in pieces", ErrUnsupported)
	}
	return s.head(s.size), nil
}

// problem is ErrDamaged for a stream that is cut short.
func (s *cfbStream) problem() error {
	if s.cut {
		return fmt.Errorf("%w: cut short", ErrDamaged)
	}
	return nil
}

// place is where a byte of a stream stands in the file.
func (s *cfbStream) place(at int64) int64 {
	if i := s.run(at); i < len(s.runs) {
		return s.runs[i].from + at - s.runs[i].at
	}
	return -1
}

// search calls found with every place where pattern stands, until it returns false.
func (s *cfbStream) search(pattern string, found func(at int64) bool) {
	in := func(b []byte, base, least int64) (end bool) {
		for from := 0; ; {
			i := bytes.Index(b[from:], []byte(pattern))
			if i < 0 {
				return false
			}
			if at := base + int64(from+i); at >= least && !found(at) {
				return true
			}
			from += i + 1
		}
	}
	overlap := int64(len(pattern) - 1)
	var piece []byte
	for i, r := range s.runs { // each, and where it meets the next ones
		if in(s.data[r.from:r.from+r.n], r.at, 0) {
			return
		}
		if end := r.at + r.n; i+1 < len(s.runs) {
			if piece == nil {
				piece = make([]byte, 2*overlap)
			}
			from := max(end-overlap, 0)
			n, _ := s.ReadAt(piece[:end-from+overlap], from)
			// What begins before this run was found where it began.
			if in(piece[:n], from, r.at) {
				return
			}
		}
	}
}

// orphans gives the chains that belong to nothing: those of streams that are no
// longer in the directory, first sectors first.
func (c *cfb) orphans(yield func(*cfbStream) bool) {
	followed := newBitSet(int(c.sectors()))
	for n := range c.sectors() {
		if next := c.link(c.fat, n); next < c.sectors() {
			followed.add(next)
		}
	}
	allocated := func(n uint32) bool { return c.link(c.fat, n) < 0xfffffffc || c.link(c.fat, n) == 0xfffffffe }
	for _, heads := range []bool{true, false} { // what is left then goes in rings
		for n := range c.sectors() {
			if c.claimed[n/64]>>(n%64)&1 != 0 || heads && followed[n/64]>>(n%64)&1 != 0 || !allocated(n) {
				continue
			}
			s := &cfbStream{data: c.data}
			list, _ := c.chain(n)
			for _, sector := range list {
				s.add((int64(sector)+1)<<c.shift, 1<<c.shift)
			}
			if s.size > 0 && !yield(s) {
				return
			}
		}
	}
}

func (c *cfb) damaged(what string) {
	if c.problem == "" {
		c.problem = what
	}
}
