package unpack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"math"
)

// sevenZipOpener opens 7z archives (7zFormat.txt of the LZMA SDK), also behind a
// program that unpacks them. Files that were packed as one, a solid block, are
// unpacked in one go, in their order.
var sevenZipOpener = opener{name: "7z", match: sevenZipMatch, entries: sevenZipEntries}

const (
	sevenZipMagic = "7z\xbc\xaf\x27\x1c"
	szStartSize   = 32 // of the signature header

	// maxStub is how far into a file the archive of a program that unpacks itself
	// is looked for.
	maxStub = 1 << 20

	// maxArchives bounds the archives that are read of one file.
	maxArchives = 64

	// szMaxHeader bounds a header that is packed itself. A hundred bytes for each
	// of 300,000 files are that much.
	szMaxHeader = 32 << 20
)

func sevenZipMatch(data []byte) bool {
	for at := range stubs(data, sevenZipMagic, 5) {
		if at == 0 || parseSzStart(data[at:]).sound {
			return true
		}
	}
	return false
}

// stubs yields where a magic number stands in data, up to maxStub. What is looked for
// is the part of it from rare on: text is full of what comes before.
func stubs(data []byte, magic string, rare int) iter.Seq[int] {
	return func(yield func(int) bool) {
		data = data[:min(len(data), maxStub+len(magic))]
		for at := rare; at < len(data); at++ {
			i := bytes.Index(data[at:], []byte(magic[rare:]))
			if i < 0 {
				return
			}
			at += i
			if string(data[at-rare:at]) == magic[:rare] && !yield(at-rare) {
				return
			}
		}
	}
}

// szStart is the signature header.
type szStart struct {
	sound        bool   // its checksum is right
	offset, size uint64 // of the header, from behind this one
	crc          uint32 // of the header
}

func parseSzStart(b []byte) (s szStart) {
	if len(b) < szStartSize {
		return s
	}
	le := binary.LittleEndian
	return szStart{crc32.ChecksumIEEE(b[12:32]) == le.Uint32(b[8:]), le.Uint64(b[12:]), le.Uint64(b[20:]), le.Uint32(b[28:])}
}

func sevenZipEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		end, archives := 0, 0
		for at := range stubs(f.Data, sevenZipMagic, 5) {
			start := parseSzStart(f.Data[at:])
			if at < end || at > 0 && !start.sound {
				continue
			}
			if archives++; archives > maxArchives {
				yield(member{}, &LimitError{"overlap"})
				return
			}
			a := &szArchive{file: f, data: f.Data[min(at+szStartSize, len(f.Data)):], keys: make(map[string][]byte), yield: yield}
			if a.read(start); a.done {
				return
			}
			if a.listed == start.offset {
				f.read(at, at+szStartSize+int(start.offset+start.size))
			}
			end = at + szStartSize + int(min(start.offset, uint64(len(f.Data)))+min(start.size, uint64(len(f.Data))))
		}
	}
}

// szArchive is one archive.
type szArchive struct {
	file  File
	data  []byte            // behind the signature header
	keys  map[string][]byte // that have been derived
	yield func(member, error) bool
	done  bool // nobody wants more

	listed uint64 // packed bytes that the headers tell of
}

// emit hands out a member, or what is wrong with it.
func (a *szArchive) emit(m member, err error) {
	if !a.done {
		a.done = !a.yield(m, err)
	}
}

func (a *szArchive) damaged(what string) {
	a.emit(member{}, fmt.Errorf("%w: %s", ErrDamaged, what))
}

// read reads the archive.
func (a *szArchive) read(start szStart) {
	size := uint64(len(a.data))
	switch {
	case start.sound && start.size == 0:
		return // an archive of nothing
	case start.offset > size || start.size > size-start.offset || start.size == 0:
		a.beheaded()
		return
	case !start.sound:
		a.damaged("wrong checksum of its start")
	}
	header := a.data[start.offset : start.offset+start.size]
	if crc32.ChecksumIEEE(header) != start.crc {
		a.damaged("wrong checksum of its header")
	}
	packed := header[0] != szHeader // then it is among the packed bytes itself
	header, err := a.unpackedHeader(header)
	if err != nil {
		a.emit(member{}, err)
		return
	}
	p := &szParser{b: header[1:]}
	if header[0] != szHeader {
		p.fail("property")
	}
	streams, files := p.header()
	switch {
	case p.err != nil:
		a.emit(member{}, p.err)
	case len(streams.folders) == 0 && start.offset > 0 && !packed:
		a.damaged("bytes that its header says nothing of")
	}
	a.list(&streams)
	a.members(&streams, files)
}

// list notes the packed bytes that a header tells of.
func (a *szArchive) list(s *szStreams) {
	for _, n := range s.packed {
		a.listed += n
	}
}

// unpackedHeader unpacks a header, which may itself be packed more than once.
func (a *szArchive) unpackedHeader(header []byte) ([]byte, error) {
	for range 4 {
		if header[0] != szEncodedHeader {
			return header, nil
		}
		p := &szParser{b: header[1:]}
		s := p.streams()
		if p.err != nil {
			return nil, p.err
		}
		if len(s.folders) == 0 {
			return nil, fmt.Errorf("%w: header: no folder", ErrDamaged)
		}
		a.list(&s)
		o, err := a.unlock(&s, 0)
		if err != nil {
			return nil, fmt.Errorf("header: %w", err)
		}
		header, err = io.ReadAll(io.LimitReader(o, szMaxHeader+1))
		o.release()
		switch {
		case len(header) > szMaxHeader:
			return nil, &LimitError{"memory"}
		case err != nil:
			return nil, fmt.Errorf("header: %w", err)
		case len(header) == 0:
			return nil, fmt.Errorf("%w: header: empty", ErrDamaged)
		case s.folders[0].crc.known && s.folders[0].crc.crc != crc32.ChecksumIEEE(header):
			a.damaged("wrong checksum of its packed header")
		}
	}
	return nil, fmt.Errorf("%w: header: packed again and again", ErrDamaged)
}

// beheaded reads what there is of an archive without its end, where the header
// stands: a first volume of several. What 7-Zip packs by default begins at once,
// and can be read without it.
func (a *szArchive) beheaded() {
	if len(a.data) > 0 && (a.data[0] == 1 || a.data[0] >= 0x80|lzma2DictReset<<5) {
		r := newLZMA2(maxWindow, bytes.NewReader(a.data), a.file.memory)
		defer r.release()
		a.emit(member{name: nameLess(a.file.Name, ".7z", "", ".7z.001", "", ".001", ""), body: r}, nil)
	}
	a.damaged("its end is missing, and the header with it")
}

// members hands out the files.
func (a *szArchive) members(s *szStreams, files []szFile) {
	var names []string
	for i := range files {
		switch f := &files[i]; {
		case !f.hollow:
			names = append(names, f.name)
		case f.empty && !f.anti:
			a.emit(member{name: f.name, data: []byte{}}, nil)
		}
	}
	for i := range s.folders {
		n := min(len(s.folders[i].parts), len(names))
		a.folder(s, i, names[:n])
		names = names[n:]
	}
	for _, name := range names {
		a.emit(member{name: name}, fmt.Errorf("%w: no bytes for it", ErrDamaged))
	}
}

// folder hands out the files of a folder.
func (a *szArchive) folder(s *szStreams, i int, names []string) {
	parts := s.folders[i].parts
	if a.done || len(parts) == 0 {
		return
	}
	o, err := a.unlock(s, i)
	if err == nil {
		defer o.release()
	}
	for k, part := range parts {
		m := member{name: nameLess(a.file.Name, ".7z", "", ".exe", "")}
		if k < len(names) && names[k] != "" {
			m.name = names[k]
		}
		if err != nil {
			a.emit(m, err)
			continue
		}
		r := newSzPart(o, part)
		m.body, m.size = r, int64(min(part.size, math.MaxInt64))
		if a.emit(m, nil); a.done {
			return
		}
		if err = r.err; err == nil || errors.Is(err, errSzSum) {
			err = nil
			continue
		}
		// What is behind it cannot be reached.
		o.release()
	}
}

// errSzSum is the error of a file that was read to its end.
var errSzSum = fmt.Errorf("%w: wrong checksum", ErrDamaged)

// szPartReader reads one file of a folder, and checks it.
type szPartReader struct {
	r    io.Reader
	part szPart
	left uint64
	crc  uint32
	err  error // nil: it is whole
}

func newSzPart(r io.Reader, part szPart) *szPartReader {
	return &szPartReader{r: r, part: part, left: part.size, err: errShort}
}

// Read implements io.Reader.
func (r *szPartReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		r.err = nil
		if r.part.crc.known && r.crc != r.part.crc.crc {
			r.err = errSzSum
			return 0, r.err
		}
		return 0, io.EOF
	}
	n, err := r.r.Read(p[:min(uint64(len(p)), r.left)])
	r.crc = crc32.Update(r.crc, crc32.IEEETable, p[:n])
	r.left -= uint64(n)
	if err == io.EOF {
		err = nil
		if n == 0 {
			err = errShort
		}
	}
	if err != nil {
		r.err = szReason(err)
		return n, r.err
	}
	return n, nil
}

// szReason gives an error of a decoder one of the package's reasons.
func szReason(err error) error {
	for _, reason := range []error{ErrDamaged, ErrUnsupported, ErrEncrypted, ErrLimit} {
		if errors.Is(err, reason) {
			return err
		}
	}
	return fmt.Errorf("%w: %v", ErrDamaged, err)
}
