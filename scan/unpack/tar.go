package unpack

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strconv"
	"strings"
)

// tarOpener opens tar archives: v7, ustar, pax (POSIX.1-2017, pax, "Extended
// Description") and GNU. A header whose checksum is wrong is read all the same,
// and behind what cannot be a header the next one is looked for.
var tarOpener = opener{name: "tar", match: tarMatch, entries: tarEntries}

const tarBlock = 512

// Types of entries that are not files (the ustar header's typeflag, and GNU's).
const (
	tarHardLink = '1'
	tarFIFO     = '6' // the last of those that have no bytes; '2' is the first
	tarSparse   = 'S'
	tarLongName = 'L'
	tarPax      = 'x'
	tarPaxSun   = 'X'
	tarRecords  = "LKxXg" // those that are about the entry behind them
)

func tarMatch(data []byte) bool {
	return len(data) >= tarBlock && (tarMagic(data) || tarChecksum(data))
}

// tarMagic reports whether a block is marked as a header, by POSIX or by GNU.
func tarMagic(block []byte) bool { return string(block[257:262]) == "ustar" }

// tarChecksum reports whether a header's checksum is right: the sum of its bytes
// with the field itself blank, unsigned, or signed as some old programs had it.
func tarChecksum(block []byte) bool {
	var unsigned, signed int64
	for i, b := range block[:tarBlock] {
		if i >= 148 && i < 156 {
			b = ' '
		}
		unsigned += int64(b)
		signed += int64(int8(b))
	}
	stated := tarNumber(block[148:156])
	// The sum of an empty block is that of the blanks alone.
	return unsigned != 8*' ' && (stated == unsigned || stated == signed)
}

// tarNumber reads a numeric field: octal, or GNU's base-256. It is -1 when there
// is no number that makes sense.
func tarNumber(field []byte) int64 {
	if field[0]&0x80 != 0 {
		n := int64(field[0] & 0x3f) // 0x40 is the sign
		for _, b := range field[1:] {
			if n > math.MaxInt64>>9 {
				return -1
			}
			n = n<<8 | int64(b)
		}
		return n
	}
	text := bytes.Trim(field, " \x00")
	if end := bytes.IndexAny(text, " \x00"); end >= 0 {
		text = text[:end]
	}
	n, err := strconv.ParseInt(string(text), 8, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// tarReader reads one archive.
type tarReader struct {
	data   []byte
	file   File
	at     int // of the next block
	header int // where the next entry began, with what stands before its header
	yield  func(member, error) bool

	// What the records before an entry's header say of it.
	name   []byte
	size   int64 // -1: nothing
	sparse bool  // GNU's sparse files in pax archives

	ended bool // by empty blocks
	lost  bool // among blocks that are no headers; it has been told
}

func tarEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		t := &tarReader{data: f.Data, file: f, yield: yield, size: -1}
		for t.at+tarBlock <= len(t.data) {
			if !t.next() {
				return
			}
		}
		if pending := t.header != t.at; !t.ended && (pending || !zeros(t.data[t.at:])) {
			t.damaged("cut short")
		}
	}
}

// next reads one block and what belongs to it, and reports whether to go on.
func (t *tarReader) next() bool {
	block := t.data[t.at : t.at+tarBlock]
	sound := tarChecksum(block)
	if !sound && !tarMagic(block) {
		return t.noHeader(block)
	}
	kind, size := block[156], tarNumber(block[124:136])
	if t.size >= 0 && !isTarRecord(kind) {
		size = t.size
	}
	body := t.at + tarBlock
	if kind == tarSparse {
		body = t.behindMap(block, body)
	}
	if size < 0 {
		t.at = body
		t.forget()
		return t.damaged("size of an entry")
	}
	if t.linkOnly(kind, body) {
		size = 0
	}
	start := t.at
	content := t.data[body:min(int64(len(t.data)), int64(body)+min(size, math.MaxInt64/4))]
	t.lost = false
	t.at = min(body+(len(content)+tarBlock-1)/tarBlock*tarBlock, len(t.data))
	if !sound && (int64(len(content)) < size || !t.follows(t.at)) {
		t.at, t.lost = body, true // the size is as wrong as the rest, perhaps
	}
	t.file.read(start, t.at)
	if isTarRecord(kind) {
		t.record(kind, content)
		return true
	}
	return t.entry(block, content, size, sound)
}

// isTarRecord reports whether a header is about the entry behind it.
func isTarRecord(kind byte) bool {
	return strings.IndexByte(tarRecords, kind) >= 0
}

// follows reports whether an archive can go on at an offset, or end there.
func (t *tarReader) follows(at int) bool {
	return at+tarBlock > len(t.data) || tarChecksum(t.data[at:]) || zeros(t.data[at:at+tarBlock])
}

// linkOnly reports whether an entry has no bytes, whatever size it states:
// programs differ about links, so what decides is whether a header follows.
func (t *tarReader) linkOnly(kind byte, body int) bool {
	return kind >= tarHardLink && kind <= tarFIFO && t.follows(body)
}

// record takes what a record says of the entry behind it.
func (t *tarReader) record(kind byte, content []byte) {
	switch kind {
	case tarLongName:
		t.name, _, _ = bytes.Cut(content, []byte{0})
	case tarPax, tarPaxSun:
		t.pax(content)
	}
}

// pax reads the records of an extended header: "LENGTH KEY=VALUE\n".
func (t *tarReader) pax(records []byte) {
	for len(records) > 0 {
		number, _, ok := bytes.Cut(records[:min(len(records), 20)], []byte{' '})
		n, err := strconv.Atoi(string(number))
		if !ok || err != nil || n <= len(number)+1 || n > len(records) {
			return
		}
		key, value, _ := bytes.Cut(bytes.TrimSuffix(records[len(number)+1:n], []byte{'\n'}), []byte{'='})
		switch string(key) {
		case "path", "GNU.sparse.name":
			t.name = value
		case "size":
			if size, err := strconv.ParseInt(string(value), 10, 64); err == nil && size >= 0 {
				t.size = size
			}
		case "GNU.sparse.major", "GNU.sparse.map", "GNU.sparse.numblocks":
			t.sparse = true
		}
		records = records[n:]
	}
}

// entry hands out a file.
func (t *tarReader) entry(block, content []byte, size int64, sound bool) bool {
	m := member{name: t.fileName(block), data: content}
	sparse := t.sparse || block[156] == tarSparse
	start := t.header
	t.forget()
	switch {
	case sparse:
		// With its holes, and as programs read it that know nothing of them.
		whole := member{name: m.name, body: &tarSparseReader{data: t.data[start:]}, holes: true}
		return t.yield(whole, nil) && (len(content) == 0 || t.yield(m, nil))
	case !sound:
		return t.yield(m, fmt.Errorf("%w: wrong checksum of its header", ErrDamaged))
	case int64(len(content)) < size:
		return t.yield(m, fmt.Errorf("%w: cut short", ErrDamaged))
	case len(content) == 0 && block[156] != '0' && block[156] != 0:
		return true // a folder, a link, a device
	case len(content) == 0 && bytes.HasSuffix(bytes.TrimRight(block[:100], "\x00"), []byte{'/'}):
		return true // a folder of v7
	}
	return t.yield(m, nil)
}

// forget ends an entry: what was said of it does not hold for the next one.
func (t *tarReader) forget() {
	t.name, t.size, t.sparse, t.header = nil, -1, false, t.at
}

// fileName is the name that holds for a header.
func (t *tarReader) fileName(block []byte) string {
	if len(t.name) > 0 {
		return decodeName(t.name)
	}
	name, _, _ := bytes.Cut(block[:100], []byte{0})
	// GNU's own format has times where POSIX has the rest of the name.
	if string(block[257:263]) == "ustar\x00" {
		if prefix, _, _ := bytes.Cut(block[345:500], []byte{0}); len(prefix) > 0 {
			name = bytes.Join([][]byte{prefix, name}, []byte{'/'})
		}
	}
	return decodeName(name)
}

// noHeader passes over a block that is no header: empty ones end an archive, and
// another may follow; behind damage the next header is looked for.
func (t *tarReader) noHeader(block []byte) bool {
	t.at += tarBlock
	switch {
	case zeros(block):
		t.ended = true
	case !t.ended && !t.lost:
		t.lost = true
		t.forget()
		return t.damaged("no header where one should be")
	}
	t.forget()
	return true
}

// damaged tells of damage to the archive.
func (t *tarReader) damaged(what string) bool {
	return t.yield(member{}, fmt.Errorf("%w: %s", ErrDamaged, what))
}

// behindMap is where the bytes of a sparse file in GNU's old format begin: behind
// the blocks in which its map goes on.
func (t *tarReader) behindMap(block []byte, body int) int {
	for more := block[482]; more != 0 && body+tarBlock <= len(t.data); body += tarBlock {
		more = t.data[body+504]
	}
	return body
}

// tarSparseReader gives a sparse file with its holes, which archive/tar knows to
// read, from where the entry begins.
type tarSparseReader struct {
	data []byte
	r    *tar.Reader
}

// Read implements io.Reader.
func (s *tarSparseReader) Read(p []byte) (int, error) {
	if s.r == nil {
		s.r = tar.NewReader(bytes.NewReader(s.data))
		if _, err := s.r.Next(); err != nil {
			return 0, fmt.Errorf("%w: sparse file: %v", ErrDamaged, err)
		}
	}
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: sparse file: %v", ErrDamaged, err)
	}
	return n, err
}
