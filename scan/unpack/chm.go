package unpack

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
)

// chmOpener opens compiled help, .chm. The format is published nowhere; what is
// known of it Matthew Russotto wrote down ("Microsoft's HTML Help (.chm) format"),
// and the sources of chmlib, libmspack and 7-Zip.
var chmOpener = opener{name: "chm", match: chmMatch, entries: chmEntries}

const (
	chmMagic      = "ITSF"
	chmGUIDAt     = 24
	chmGUID       = "\x10\xfd\x01\x7c\xaa\x7b\xd0\x11\x9e\x0c\x00\xa0\xc9\x22\xe6\xec"
	chmDirectory  = 72 // in the header: where the directory is, and its length
	chmContent    = 88 // in the header, from version 3 on: where the content of section 0 is
	chmHeaderSize = 96

	chmDirMagic  = "ITSP"
	chmDirHeader = 84
	chmDirSize   = 8  // in the directory's header: the length of that
	chmChunkSize = 16 // the size of a chunk
	chmChunks    = 44 // their number

	chmListMagic  = "PMGL" // a chunk that lists files
	chmListHeader = 20
	chmListFree   = 4 // in it: how many bytes at its end are no entries

	// Chunks have 4096 bytes as a rule.
	chmLeastChunk, chmUsualChunk, chmMostChunk = 64, 4096, 1 << 20

	// chmMost is how many files of one help file are read.
	chmMost = 1 << 18
)

// Files of which a help file's own structure is made. All of section 1 is one
// stream, which is a file of section 0.
const (
	chmSpace      = "::DataSpace/Storage/MSCompressed/"
	chmStreamName = chmSpace + "Content"
	chmControl    = chmSpace + "ControlData"
	chmTransform  = chmSpace + "Transform/"
	chmResets     = "/ResetTable"
)

func chmMatch(data []byte) bool {
	version := len(data) >= 8 && data[4] < 8 && zeros(data[5:8])
	return hasMagic(data, 0, chmMagic) && (version || hasMagic(data, chmGUIDAt, chmGUID))
}

// chmEntry is a file as the directory has it.
type chmEntry struct {
	name         string
	section      uint64
	offset, size uint64
}

func chmEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		c := &chmReader{data: f.Data, memory: f.memory, yield: yield}
		c.directory()
		c.stored()
		c.compressed()
		if c.damage != nil {
			c.emit(member{}, c.damage)
		}
	}
}

// chmReader reads a help file.
type chmReader struct {
	data    []byte
	content uint64 // where section 0 begins
	files   []chmEntry
	damage  error // of the structure: told in the end
	memory  *memory
	lzx     *lzxDecoder
	read    int64 // compressed bytes in all
	wasted  int64 // unpacked bytes that are no file's

	yield func(member, error) bool
	done  bool
}

func (c *chmReader) emit(m member, err error) {
	if !c.done {
		c.done = !c.yield(m, err)
	}
}

// damaged notes what is wrong with the structure, the first of it.
func (c *chmReader) damaged(what string) {
	if c.damage == nil {
		c.damage = fmt.Errorf("%w: %s", ErrDamaged, what)
	}
}

// directory reads the list of files. Where it should be and is not, it is looked for.
func (c *chmReader) directory() {
	if len(c.data) < chmHeaderSize {
		c.damaged("cut short")
		return
	}
	le := binary.LittleEndian
	start, size := le.Uint64(c.data[chmDirectory:]), le.Uint64(c.data[chmDirectory+8:])
	end := start + size
	if end < start {
		end = uint64(len(c.data))
	}
	c.content = le.Uint64(c.data[chmContent:])
	if le.Uint32(c.data[4:]) < 3 {
		c.content = end
	}
	if end > uint64(len(c.data)) {
		c.damaged("directory cut short")
		end = uint64(len(c.data))
	}
	if start < end {
		c.chunks(c.data[start:end])
	}
	if len(c.files) == 0 {
		c.damaged("no directory")
		c.search()
	}
}

// chunks reads the chunks of a directory: all of them, also those that no other
// one leads to.
func (c *chmReader) chunks(dir []byte) {
	if len(dir) < chmDirHeader || !hasMagic(dir, 0, chmDirMagic) {
		return
	}
	le := binary.LittleEndian
	header, size := le.Uint32(dir[chmDirSize:]), le.Uint32(dir[chmChunkSize:])
	if size < chmLeastChunk || size > chmMostChunk || header < chmDirHeader || int64(header) > int64(len(dir)) {
		return
	}
	stated := le.Uint32(dir[chmChunks:])
	rest := dir[header:]
	number := uint32(0)
	for ; len(rest) >= int(size); number++ {
		if hasMagic(rest, 0, chmListMagic) {
			c.list(rest[:size])
		}
		rest = rest[size:]
	}
	if stated > number {
		c.damaged("directory cut short")
		if hasMagic(rest, 0, chmListMagic) && len(rest) > chmListHeader {
			c.list(rest)
		}
	}
}

// search looks for chunks anywhere.
func (c *chmReader) search() {
	for at := 0; len(c.files) < chmMost; {
		i := bytes.Index(c.data[at:], []byte(chmListMagic))
		if i < 0 {
			return
		}
		at += i
		if rest := c.data[at:]; len(rest) >= chmListHeader+2 {
			c.list(rest[:min(len(rest), chmUsualChunk)])
		}
		at += len(chmListMagic)
	}
}

// list reads a chunk. Programs differ in what they go by: the number of entries,
// which are the last two bytes, or the number of bytes that are none.
func (c *chmReader) list(chunk []byte) {
	le := binary.LittleEndian
	end := 0
	if free := le.Uint32(chunk[chmListFree:]); uint64(free) <= uint64(len(chunk)) {
		end = len(chunk) - int(free)
	}
	count := int(le.Uint16(chunk[len(chunk)-2:]))
	r := chmNumbers{b: chunk[chmListHeader:], ok: true}
	for n := 0; n < count || len(chunk)-len(r.b) < end; n++ {
		e := chmEntry{name: r.text()}
		e.section, e.offset, e.size = r.number(), r.number(), r.number()
		if !r.ok {
			c.damaged("directory")
			return
		}
		if len(c.files) == chmMost {
			c.emit(member{}, &LimitError{"objects"})
			c.done = true
			return
		}
		c.files = append(c.files, e)
	}
}

// chmNumbers reads numbers as directories have them: seven bits in a byte, the high
// ones first; the eighth says that there are more.
type chmNumbers struct {
	b  []byte
	ok bool
}

func (r *chmNumbers) number() (v uint64) {
	for i, c := range r.b[:min(len(r.b), 9)] {
		v = v<<7 | uint64(c&0x7f)
		if c < 0x80 {
			r.b = r.b[i+1:]
			return v
		}
	}
	r.ok = false
	return 0
}

// text reads a text behind its length.
func (r *chmNumbers) text() string {
	n := r.number()
	if n > uint64(len(r.b)) {
		r.ok = false
		return ""
	}
	s := r.b[:n]
	r.b = r.b[n:]
	return decodeName(s)
}

// plain gives the bytes of a file of section 0.
func (c *chmReader) plain(e chmEntry) (data []byte, whole bool) {
	start := min(c.content, uint64(len(c.data)))
	rest := c.data[start:]
	rest = rest[min(e.offset, uint64(len(rest))):]
	if e.size > uint64(len(rest)) {
		return rest, false
	}
	return rest[:e.size:e.size], c.content <= uint64(len(c.data))
}

// isStructure reports whether a file is one that says where the others are.
func (e chmEntry) isStructure() bool {
	return e.section == 0 && (strings.HasPrefix(e.name, chmSpace) || e.name == "::DataSpace/NameList")
}

// isFolder reports whether an entry is no file.
func (e chmEntry) isFolder() bool {
	return e.size == 0 && (e.name == "" || strings.HasSuffix(e.name, "/"))
}

// stored hands out the files of section 0.
func (c *chmReader) stored() {
	overlap := chmOverlap * int64(len(c.data))
	for _, e := range c.files {
		if e.section != 0 || e.isStructure() || e.isFolder() {
			continue
		}
		data, whole := c.plain(e)
		if overlap -= int64(len(data)); overlap < 0 {
			c.emit(member{}, &LimitError{"overlap"})
			c.done = true
		}
		var err error
		if !whole {
			err = errCHMCut
		}
		c.emit(member{name: strings.TrimPrefix(e.name, "/"), data: data}, err)
	}
}

var errCHMCut = fmt.Errorf("%w: cut short", ErrDamaged)

const (
	// chmOverlap bounds how often the bytes of a file are read, on average: files
	// lie beside one another.
	chmOverlap = 16

	// chmWaste bounds the unpacked bytes that belong to no file, in all.
	chmWaste = 256 << 20
)

// structure finds a file of the structure by its name's beginning and end.
func (c *chmReader) structure(prefix, suffix string) (data []byte, whole bool) {
	found := 0
	for _, e := range c.files {
		if !e.isStructure() || !strings.HasPrefix(e.name, prefix) || !strings.HasSuffix(e.name, suffix) {
			continue
		}
		if found++; found == 1 {
			data, whole = c.plain(e)
		}
	}
	if found > 1 {
		c.damaged("structure twice")
	}
	return data, whole
}

// compressed hands out the files of section 1, in the order of their bytes.
func (c *chmReader) compressed() {
	var files []chmEntry
	for _, e := range c.files {
		if e.section != 0 && !e.isFolder() {
			files = append(files, e)
		}
	}
	if len(files) == 0 || c.done {
		return
	}
	slices.SortStableFunc(files, func(a, b chmEntry) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.size, b.size))
	})
	s, err := c.stream()
	if err != nil {
		for _, e := range files {
			c.emit(member{name: strings.TrimPrefix(e.name, "/")}, err)
		}
		return
	}
	defer c.memory.give(int64(len(c.lzx.window)))
	for _, s.way = range []chmWay{chmResetsByTable, chmSequential, chmFramesByTable} {
		for _, e := range files {
			m := member{name: strings.TrimPrefix(e.name, "/"), data: []byte{}}
			if e.size > 0 {
				m.data, m.body, m.size = nil, &chmFile{s: s, at: e.offset, left: e.size}, int64(min(e.size, 1<<40))
			}
			c.emit(m, nil)
		}
		if !s.differs || c.done {
			return
		}
		// The table and the stream do not say the same: programs go by either.
		c.damaged("reset table")
		s.rewind()
	}
}

// stream makes ready to unpack section 1.
func (c *chmReader) stream() (*chmStream, error) {
	content, whole := c.structure(chmStreamName, chmStreamName)
	if len(content) == 0 {
		return nil, fmt.Errorf("%w: no stream", ErrDamaged)
	}
	if !whole {
		c.damaged("stream cut short")
	}
	s := &chmStream{c: c, content: content, table: c.resetTable()}
	bits := 0
	bits, s.interval = c.control()
	window := int64(1) << min(bits, lzxMaxBits)
	if err := c.memory.take(window); err != nil {
		return nil, err
	}
	var err error
	if c.lzx, err = newLZXDecoder(bits); err != nil {
		c.memory.give(window)
		return nil, err
	}
	return s, nil
}

// control gives the binary logarithm of the window's size, and after how many frames
// the decoder begins anew.
func (c *chmReader) control() (bits, interval int) {
	const size, unit = 20, lzxFrame // from version 2 on sizes count frames
	data, _ := c.structure(chmControl, chmControl)
	bits, interval = 16, 2
	if len(data) < size || string(data[4:8]) != "LZXC" {
		c.damaged("control data")
		return bits, interval
	}
	le := binary.LittleEndian
	resets, window := uint64(le.Uint32(data[12:])), uint64(le.Uint32(data[16:]))
	if le.Uint32(data[8:]) >= 2 {
		resets, window = resets*unit, window*unit
	}
	for bits = 0; bits < 31 && 1<<bits < window; bits++ {
	}
	if interval = int(resets / unit); interval == 0 {
		c.damaged("control data")
		interval = 1 << 32
	}
	return bits, interval
}

// chmTable says where in the stream each frame begins.
type chmTable struct {
	entries []byte
	size    int    // of an entry
	length  uint64 // of the stream, unpacked
}

// resetTable reads the table; an empty one when it makes no sense.
func (c *chmReader) resetTable() chmTable {
	const header = 40
	data, whole := c.structure(chmTransform, chmResets)
	if !whole || len(data) < header {
		c.damaged("reset table")
		return chmTable{}
	}
	le := binary.LittleEndian
	t := chmTable{size: int(le.Uint32(data[8:])), length: le.Uint64(data[16:])}
	count, start := uint64(le.Uint32(data[4:])), uint64(le.Uint32(data[12:]))
	if t.size != 4 && t.size != 8 || start > uint64(len(data)) || le.Uint64(data[32:]) != lzxFrame {
		c.damaged("reset table")
		return chmTable{length: t.length}
	}
	t.entries = data[start:]
	if want := count * uint64(t.size); want > uint64(len(t.entries)) {
		c.damaged("reset table")
	} else {
		t.entries = t.entries[:want]
	}
	return t
}

// at is where a frame begins; ok is false when the table does not know.
func (t chmTable) at(frame int) (at uint64, ok bool) {
	if t.size == 0 || frame >= len(t.entries)/t.size {
		return 0, false
	}
	e := t.entries[frame*t.size:]
	if t.size == 4 {
		return uint64(binary.LittleEndian.Uint32(e)), true
	}
	return binary.LittleEndian.Uint64(e), true
}

// chmWay is by what a program finds the frames of the stream.
type chmWay int

const (
	chmResetsByTable chmWay = iota // those at which the decoder begins anew by the table, the others follow
	chmSequential                  // all follow
	chmFramesByTable               // all by the table
)

// chmStream unpacks section 1, frame by frame.
type chmStream struct {
	c        *chmReader
	content  []byte
	table    chmTable
	interval int
	way      chmWay
	differs  bool // the table and the stream do

	frame int    // the next one
	next  int    // where it begins, when it follows the one before
	out   []byte // unpacked
	pos   uint64 // of out in the stream
	lost  bool   // nothing can be unpacked up to where the decoder begins anew
	wrong error  // with what out is of
	end   error  // why there is no more
}

func (s *chmStream) rewind() { s.seek(0) }

// seek goes to a frame at which the decoder begins anew.
func (s *chmStream) seek(frame int) {
	s.frame, s.pos, s.out, s.wrong, s.end, s.lost, s.next = frame, uint64(frame)*lzxFrame, nil, nil, nil, false, 0
	if at, ok := s.table.at(frame); ok && frame > 0 {
		s.next = int(min(at, uint64(len(s.content))))
	}
	s.c.lzx.restart()
}

// reach makes out hold the byte at an offset of the stream, if there is one.
func (s *chmStream) reach(at uint64) {
	first := int(min(at/lzxFrame, 1<<40))
	first -= first % s.interval
	switch _, known := s.table.at(first); {
	case at < s.pos && (s.way == chmSequential || !known):
		s.rewind()
	case at < s.pos, s.way != chmSequential && known && first > s.frame:
		s.seek(first)
	}
	for at >= s.pos+uint64(len(s.out)) && s.end == nil {
		if n := len(s.out); n > 0 {
			s.skipped(n)
		}
		s.unpack()
	}
}

// skipped counts unpacked bytes that are passed over.
func (s *chmStream) skipped(n int) {
	if s.c.wasted += int64(n); s.c.wasted > chmWaste {
		s.end = &LimitError{"overlap"}
	}
}

// unpack unpacks the next frame.
func (s *chmStream) unpack() {
	s.pos += uint64(len(s.out))
	s.out, s.wrong = nil, nil
	if s.end != nil {
		return
	}
	resets := s.frame%s.interval == 0
	if at, ok := s.table.at(s.frame); ok {
		beside := at - uint64(s.next) + 1 // a byte of padding may count on either side
		s.differs = s.differs || !s.lost && beside > 2 && s.way == chmResetsByTable
		if resets && s.way != chmSequential || s.way == chmFramesByTable {
			s.next = int(min(at, uint64(len(s.content))))
		}
	} else if s.lost {
		resets = false
	}
	if resets {
		s.c.lzx.reset()
		s.lost = false
	}
	s.frame++
	if s.lost {
		s.skipFrame()
		return
	}
	in := s.content[s.next:]
	if len(in) == 0 {
		s.end = errCHMCut
		return
	}
	out, used, err := s.c.lzx.frame(in, lzxFrame)
	s.next += used
	s.out = out
	if s.c.read += int64(used) + 16; s.c.read > chmOverlap*int64(len(s.c.data))+lzxFrame {
		s.end = &LimitError{"overlap"}
		return
	}
	s.unpacked(err, len(in))
}

// unpacked sees to an error of the decoder. The last frame may be short.
func (s *chmStream) unpacked(err error, had int) {
	switch {
	case err == nil:
	case s.table.length > 0 && s.pos+uint64(len(s.out)) >= s.table.length:
		s.end = errCHMCut // for those that want more
	case errors.Is(err, errLZXEnd) && s.next >= len(s.content):
		s.end = errCHMCut
	default:
		s.wrong = fmt.Errorf("%w: %v", ErrDamaged, err)
		s.lose()
	}
}

// lose notes that the decoder has lost its way. Up to where it begins anew what it
// should have unpacked counts as zeros, if it does begin anew.
func (s *chmStream) lose() {
	anew := s.frame + (s.interval-s.frame%s.interval)%s.interval
	if _, ok := s.table.at(anew); !ok || s.way == chmSequential {
		s.end = s.wrong
		return
	}
	s.lost = true
	s.out = append(slices.Clip(s.out), make([]byte, lzxFrame-len(s.out))...)
	s.c.lzx.restart()
}

// skipFrame gives zeros for a frame.
func (s *chmStream) skipFrame() {
	s.wrong = fmt.Errorf("%w: behind %v", ErrDamaged, errLZX)
	s.out = make([]byte, lzxFrame)
}

// chmFile reads a file of section 1. Damage that is not at its end is told there.
type chmFile struct {
	s        *chmStream
	at, left uint64
	damage   error
}

// Read implements io.Reader.
func (f *chmFile) Read(p []byte) (int, error) {
	if f.left == 0 {
		if f.damage != nil {
			return 0, f.damage
		}
		return 0, io.EOF
	}
	s := f.s
	s.reach(f.at)
	if f.at < s.pos || f.at >= s.pos+uint64(len(s.out)) {
		return 0, cmp.Or(s.end, errCHMCut)
	}
	if f.damage == nil {
		f.damage = s.wrong
	}
	n := copy(p[:min(uint64(len(p)), f.left)], s.out[f.at-s.pos:])
	f.at += uint64(n)
	f.left -= uint64(n)
	return n, nil
}
