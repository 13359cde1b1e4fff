package unpack

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"

	"github.com/klauspost/compress/flate"
)

// cabOpener opens cabinets (MS-CAB; section numbers are its own), at the start of
// a file, in programs that unpack themselves, and several in one file.
var cabOpener = opener{name: "cab", match: cabMatch, entries: cabEntries}

const (
	cabMagic   = "MSCF"
	cabVersion = "\x03\x01" // 1.3, the only one

	cabHeaderSize = 36
	cabFolderSize = 8
	cabFileSize   = 16 // and a name
	cabBlockSize  = 8  // and the data

	// cabStub is where a cabinet is looked for in data of other kinds than programs.
	cabStub = 1 << 20

	// cabMost is how many cabinets of a file are opened.
	cabMost = 1000

	// cabOverlap bounds how often the bytes of a file are unpacked, on average.
	// Honest cabinets lie beside one another, as do the files in a folder.
	cabOverlap = 16

	// cabPasses is how often a folder is unpacked for files that lie over one another.
	cabPasses = 8

	// cabWaste bounds the unpacked bytes that belong to no file, in all.
	cabWaste = 256 << 20
)

// Flags of the header (section 2.1).
const (
	cabPrev    = 1 << 0
	cabNext    = 1 << 1
	cabReserve = 1 << 2
)

// Folders of files that are not all in this cabinet (section 2.3).
const (
	cabFromPrev = 0xfffd
	cabToNext   = 0xfffe
	cabPrevNext = 0xffff
)

func cabMatch(data []byte) bool { return findCab(data, 0) >= 0 }

// findCab finds the first cabinet from an offset on; -1 when there is none.
func findCab(data []byte, at int) int {
	until := len(data)
	if !isProgram(data) && at == 0 {
		until = min(until, cabStub)
	}
	for {
		i := bytes.Index(data[min(at, until):until], []byte(cabMagic))
		if i < 0 {
			return -1
		}
		if at += i; isCab(data[at:], at == 0) {
			return at
		}
		at++
	}
}

// isProgram reports whether data begin as programs do that carry a cabinet.
func isProgram(data []byte) bool {
	return bytes.HasPrefix(data, []byte("MZ")) || bytes.HasPrefix(data, []byte("\x7fELF"))
}

// isCab reports whether data, which begin with the magic number, look like a
// cabinet. first says that nothing stands before them: then they may be damaged.
func isCab(data []byte, first bool) bool {
	zero := len(data) >= 8 && string(data[4:8]) == "\x00\x00\x00\x00"
	if len(data) < cabHeaderSize {
		return first && zero
	}
	version := string(data[24:26]) == cabVersion
	if first {
		return zero || version
	}
	le := binary.LittleEndian
	files := int64(le.Uint32(data[16:]))
	return version && files >= cabHeaderSize && files < int64(len(data)) && le.Uint16(data[26:]) > 0
}

// cabReader reads the cabinets of a file.
type cabReader struct {
	data   []byte
	seen   map[cabExtent][]string
	read   int64 // compressed bytes in all
	wasted int64 // unpacked bytes that are no file's, and windows made for them

	lzx     *lzxDecoder // what has been made is used again
	quantum *quantumDecoder
	mszip   *mszipDecoder

	overlaid bool // a name for bytes that have been read was passed over

	yield func(member, error) bool
	done  bool
}

// cabExtent is what makes two files the same bytes.
type cabExtent struct {
	start      int // of the folder
	method     uint16
	from, size int64
}

// cabinet is one of them.
type cabinet struct {
	at      int // in the file
	reserve int // bytes in front of the data of each block
	folders []cabFolder
	files   []cabFile
	end     int // of what has been read of it
	faulty  bool
}

type cabFolder struct {
	start  int // of the first block
	blocks int
	method uint16
}

type cabFile struct {
	folder     int
	from, size int64 // in the unpacked folder
	name       []byte
	prev, next bool // it begins in another cabinet, or goes on there
}

func cabEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		c := &cabReader{data: f.Data, seen: make(map[cabExtent][]string), yield: yield}
		at := 0
		for range cabMost {
			i := findCab(c.data, at)
			if i < 0 || c.done {
				break
			}
			end := c.cabinet(i)
			f.read(i, end)
			at = max(end, i+len(cabMagic))
		}
		switch {
		case findCab(c.data, at) >= 0:
			c.stop("objects")
		case c.overlaid:
			c.stop("overlap")
		}
	}
}

// cabinet reads the cabinet at an offset and gives the end of it; 0 when that is
// not to be relied on.
func (c *cabReader) cabinet(at int) (end int) {
	cab, err := parseCab(c.data, at)
	if c.read += int64(cab.end - at); c.read > cabOverlap*int64(len(c.data)) {
		c.stop("overlap")
	}
	slices.SortStableFunc(cab.files, func(a, b cabFile) int {
		return cmp.Or(cmp.Compare(a.folder, b.folder), cmp.Compare(a.from, b.from))
	})
	for i, first := 0, 0; i <= len(cab.files) && !c.done; i++ {
		if i == len(cab.files) || cab.files[i].folder != cab.files[first].folder {
			if i > first {
				c.folder(&cab, cab.files[first:i])
			}
			first = i
		}
	}
	if err != nil {
		c.emit(member{}, err)
	}
	if err != nil || cab.faulty {
		return 0
	}
	return cab.end
}

// parseCab reads the headers of a cabinet. On an error there is what came before it.
func parseCab(data []byte, at int) (cab cabinet, err error) {
	cab = cabinet{at: at, end: at}
	cut := fmt.Errorf("%w: headers cut short", ErrDamaged)
	head := data[at:]
	if len(head) < cabHeaderSize {
		return cab, cut
	}
	le := binary.LittleEndian
	flags := le.Uint16(head[30:])
	next, folderReserve := cabHeaderSize, 0
	if flags&cabReserve != 0 {
		if len(head) < next+4 {
			return cab, cut
		}
		folderReserve, cab.reserve = int(head[next+2]), int(head[next+3])
		next += 4 + int(le.Uint16(head[next:]))
	}
	for _, flag := range []uint16{cabPrev, cabNext} { // the cabinet's name, and the disk's
		for i := 0; i < 2 && flags&flag != 0; i++ {
			rest := head[min(next, len(head)):]
			end := bytes.IndexByte(rest[:min(len(rest), maxName)], 0)
			if end < 0 {
				return cab, cut
			}
			next += end + 1
		}
	}
	for range le.Uint16(head[26:]) {
		if len(head) < next+cabFolderSize {
			return cab, cut
		}
		cab.folders = append(cab.folders, cabFolder{
			start:  at + int(min(le.Uint32(head[next:]), 1<<31-1)),
			blocks: int(le.Uint16(head[next+4:])),
			method: le.Uint16(head[next+6:]),
		})
		next += cabFolderSize + folderReserve
	}
	return cab, cab.list(head, next)
}

// list reads the list of files. It stands where the header says, and right behind
// the folders: where these differ, programs do too.
func (cab *cabinet) list(head []byte, behind int) error {
	le := binary.LittleEndian
	count, stated := int(le.Uint16(head[28:])), int64(le.Uint32(head[16:]))
	err := cab.filesAt(head, stated, count)
	if stated != int64(behind) {
		had := *cab
		e := cab.filesAt(head, int64(behind), count)
		nameless := func(f cabFile) bool { return len(f.name) == 0 }
		switch {
		case e == nil && err != nil:
			err = fmt.Errorf("%w: offset of the files", ErrDamaged)
		case err == nil && (e != nil || slices.ContainsFunc(cab.files[len(had.files):], nameless)):
			*cab = had // there is none
		}
	}
	if err == nil && count == 0 {
		err = fmt.Errorf("%w: no files", ErrDamaged)
	}
	return err
}

// filesAt reads so many files at an offset.
func (cab *cabinet) filesAt(head []byte, at int64, count int) error {
	le := binary.LittleEndian
	strange := false
	for range count {
		rest := head[min(at, int64(len(head))):]
		if len(rest) < cabFileSize {
			return fmt.Errorf("%w: list of files cut short", ErrDamaged)
		}
		end := bytes.IndexByte(rest[cabFileSize:min(len(rest), cabFileSize+maxName)], 0)
		if end < 0 {
			return fmt.Errorf("%w: name of a file", ErrDamaged)
		}
		f := cabFile{size: int64(le.Uint32(rest)), from: int64(le.Uint32(rest[4:])), name: rest[cabFileSize : cabFileSize+end]}
		switch folder := le.Uint16(rest[8:]); folder {
		case cabFromPrev, cabPrevNext:
			f.prev, f.next = true, folder == cabPrevNext
		case cabToNext:
			f.folder, f.next = len(cab.folders)-1, true
		default:
			f.folder = int(folder)
		}
		at += int64(cabFileSize + end + 1)
		cab.end = max(cab.end, cab.at+int(at))
		if f.folder < 0 || f.folder >= len(cab.folders) {
			strange = true
			continue
		}
		cab.files = append(cab.files, f)
	}
	if strange {
		return fmt.Errorf("%w: file in a folder that is not there", ErrDamaged)
	}
	return nil
}

// folder hands out files of one folder, in the order of their bytes. Those that
// lie over others are left to another pass.
func (c *cabReader) folder(cab *cabinet, files []cabFile) {
	folder := cab.folders[files[0].folder]
	files = slices.DeleteFunc(slices.Clone(files), func(f cabFile) bool { return !c.isNew(folder, f) })
	if torn(files) {
		// Where its bytes lie in the folder cannot be told: one file has them all.
		for _, f := range files[1:] {
			c.emit(member{name: decodeName(f.name)}, errCabPrev)
		}
		files = []cabFile{{folder: files[0].folder, size: math.MaxInt64, name: files[0].name, prev: true, next: true}}
	}
	for pass := 0; len(files) > 0 && !c.done; pass++ {
		if pass == cabPasses {
			c.stop("overlap")
			return
		}
		s := c.stream(cab, folder, files)
		rest := files[:0]
		end := int64(0)
		for _, f := range files {
			if f.size > 0 && f.from < end {
				rest = append(rest, f)
				continue
			}
			end = max(end, f.from+f.size)
			c.file(s, f)
		}
		cab.end = max(cab.end, s.at)
		cab.faulty = cab.faulty || s.end != nil
		files = rest
	}
}

// torn reports whether both ends of a folder are in other cabinets.
func torn(files []cabFile) bool {
	prev := func(f cabFile) bool { return f.prev }
	next := func(f cabFile) bool { return f.next }
	return slices.ContainsFunc(files, prev) && slices.ContainsFunc(files, next)
}

// isNew reports whether a file is one that has not been read, or is to be read
// under another name.
func (c *cabReader) isNew(folder cabFolder, f cabFile) bool {
	if f.size == 0 {
		return true
	}
	x := cabExtent{folder.start, folder.method, f.from, f.size}
	name := decodeName(f.name)
	names := c.seen[x]
	if slices.Contains(names, name) {
		return false
	}
	if !isNewName(names, name) {
		c.overlaid = true
		return false
	}
	c.seen[x] = append(names, name)
	return true
}

// file hands out a file of a folder.
func (c *cabReader) file(s *cabStream, f cabFile) {
	// The flag that says that a name is UTF-8 tells no more than the name itself.
	m := member{name: decodeName(f.name), size: f.size}
	switch {
	case f.size == 0:
		m.data = []byte{}
		c.emit(m, nil)
	case s.unpack == nil:
		c.emit(m, s.end)
	default:
		m.body = &cabMember{s: s, f: f, left: f.size}
		c.emit(m, nil)
	}
}

// emit hands out a member, or what is wrong with it.
func (c *cabReader) emit(m member, err error) {
	if !c.done {
		c.done = !c.yield(m, err)
	}
}

// stop ends the reading at a limit.
func (c *cabReader) stop(limit string) {
	c.emit(member{}, &LimitError{limit})
	c.done = true
}

// waste counts unpacked bytes that no limit of the walk counts.
func (c *cabReader) waste(n int) error {
	if c.wasted += int64(n); c.wasted > cabWaste {
		return &LimitError{"overlap"}
	}
	return nil
}

var (
	errCabCut   = fmt.Errorf("%w: cut short", ErrDamaged)
	errCabSum   = fmt.Errorf("%w: wrong checksum", ErrDamaged)
	errCabSize  = fmt.Errorf("%w: size of a block", ErrDamaged)
	errCabNext  = fmt.Errorf("%w: continues in another cabinet", ErrDamaged)
	errCabPrev  = fmt.Errorf("%w: begins in another cabinet", ErrDamaged)
	errCabMSZIP = errors.New("MSZIP: no block where one should be")
)

// cabStream unpacks a folder, block by block.
type cabStream struct {
	c       *cabReader
	at      int // of the next block
	blocks  int // left
	reserve int

	// unpack unpacks a block of so many bytes; nil when the method is not known.
	// On an error there is what came before it. lasting says that with it the
	// blocks behind it are lost as well.
	unpack  func(block []byte, size int) ([]byte, error)
	lasting bool

	out   []byte // unpacked, and not read yet
	pos   int64  // of out in the folder
	wrong error  // with the block that out is of
	torn  error  // with all blocks
	end   error  // why there are no more
	late  bool   // the first block begins in another cabinet, perhaps
}

// stream begins to unpack a folder; files are those that are wanted of it.
func (c *cabReader) stream(cab *cabinet, folder cabFolder, files []cabFile) *cabStream {
	s := &cabStream{c: c, at: folder.start, blocks: folder.blocks, reserve: cab.reserve}
	continued := slices.ContainsFunc(files, func(f cabFile) bool { return f.prev })
	bits := int(folder.method >> 8 & 0x1f)
	switch folder.method & 0xf { // section 2.2
	case 0:
		s.unpack = func(block []byte, size int) ([]byte, error) { return block, nil }
	case 1:
		s.unpack = c.mszipBlocks(continued)
		if continued {
			s.torn = errCabPrev // matches go back to what is not here
		}
	case 2:
		s.unpack, s.end = c.quantumBlocks(bits)
	case 3:
		s.unpack, s.end = c.lzxBlocks(bits)
	default:
		s.end = fmt.Errorf("%w: number %d", ErrUnsupported, folder.method&0xf)
	}
	s.lasting = folder.method&0xf > 1
	if continued {
		s.pos, s.late = s.missing(files), true
		if s.lasting && s.unpack != nil {
			s.unpack, s.end = nil, errCabPrev
		}
	}
	return s
}

// missing is how much of a folder other cabinets have: it ends with the last of
// the files.
func (s *cabStream) missing(files []cabFile) int64 {
	end := int64(0)
	for _, f := range files {
		if f.next {
			return 0
		}
		end = max(end, f.from+f.size)
	}
	at := s.at
	for range s.blocks {
		if at+cabBlockSize > len(s.c.data) {
			break
		}
		head := s.c.data[at:]
		end -= int64(binary.LittleEndian.Uint16(head[6:]))
		at += cabBlockSize + s.reserve + int(binary.LittleEndian.Uint16(head[4:]))
	}
	return max(end, 0)
}

// mszipBlocks begins with zeros for what came before when there was something.
func (c *cabReader) mszipBlocks(continued bool) func([]byte, int) ([]byte, error) {
	if c.mszip == nil {
		c.mszip = &mszipDecoder{history: make([]byte, 0, mszipHistory)}
	}
	c.mszip.history = c.mszip.history[:0]
	if continued {
		c.mszip.history = c.mszip.history[:mszipHistory]
		clear(c.mszip.history)
	}
	return c.mszip.block
}

func (c *cabReader) quantumBlocks(bits int) (func([]byte, int) ([]byte, error), error) {
	if c.quantum == nil || len(c.quantum.window) != 1<<bits {
		q, err := newQuantumDecoder(bits)
		if err != nil {
			return nil, err
		}
		if err := c.waste(len(q.window)); err != nil {
			return nil, err
		}
		c.quantum = q
	}
	c.quantum.restart()
	return c.quantum.block, nil
}

func (c *cabReader) lzxBlocks(bits int) (func([]byte, int) ([]byte, error), error) {
	if c.lzx == nil || len(c.lzx.window) != 1<<bits {
		d, err := newLZXDecoder(bits)
		if err != nil {
			return nil, err
		}
		if err := c.waste(len(d.window)); err != nil {
			return nil, err
		}
		c.lzx = d
	}
	c.lzx.restart()
	return func(block []byte, size int) ([]byte, error) {
		out, _, err := c.lzx.frame(block, size)
		return out, err
	}, nil
}

// next unpacks the next block.
func (s *cabStream) next() {
	s.pos += int64(len(s.out))
	s.out, s.wrong = nil, s.torn
	rest := s.c.data[min(s.at, len(s.c.data)):]
	if s.blocks == 0 || len(rest) < cabBlockSize+s.reserve {
		s.end = errCabCut
		return
	}
	s.blocks--
	le := binary.LittleEndian
	packed, size := int(le.Uint16(rest[4:])), int(le.Uint16(rest[6:]))
	block := rest[cabBlockSize+s.reserve:]
	if len(block) < packed {
		s.end = errCabCut
	} else {
		block = block[:packed]
	}
	s.at += cabBlockSize + s.reserve + len(block)
	if s.c.read += int64(cabBlockSize + len(block)); s.c.read > cabOverlap*int64(len(s.c.data)) {
		s.end = &LimitError{"overlap"}
		return
	}
	if sum := le.Uint32(rest); sum != 0 && s.end == nil && !cabSumFits(sum, rest[:cabBlockSize+s.reserve+len(block)], s.reserve) {
		s.wrong = errCabSum
	}
	split := size == 0 && packed > 0 // the rest of the block is in the next cabinet
	if split {
		size = lzxFrame
	}
	out, err := s.unpack(block, size)
	s.unpacked(out, err, size, split)
}

// unpacked takes what has become of a block.
func (s *cabStream) unpacked(out []byte, err error, size int, split bool) {
	s.out = out
	late := s.late
	s.late = false
	switch {
	case late && s.end == nil && len(out) < size && !split:
		s.pos += int64(size - len(out))
	case split:
		s.end = errCabNext
	case s.end != nil: // the file is cut in the block
	case err != nil:
		s.wrong = fmt.Errorf("%w: %v", ErrDamaged, err)
		if s.lasting {
			s.end = s.wrong
		} else { // what follows has its place, but matches go back to what is not there
			s.out, s.torn = s.c.mszip.pad(len(out), size), s.wrong
		}
	case len(out) != size:
		s.wrong = errCabSize
	}
}

// cabSumFits reports whether a block has its checksum (section 3.1). Programs
// differ about whether it counts what is reserved in front of the data.
func cabSumFits(stated uint32, block []byte, reserve int) bool {
	data := cabSum(block[cabBlockSize+reserve:], cabSum(block[4:cabBlockSize], 0))
	return data == stated || reserve > 0 && cabSum(block[cabBlockSize+reserve:], 0)^cabSum(block[4:cabBlockSize+reserve], 0) == stated
}

// cabSum is the exclusive or of numbers of four bytes, the low one first; but of
// what is left over at the end, the high one.
func cabSum(data []byte, sum uint32) uint32 {
	wide := uint64(0)
	for ; len(data) >= 8; data = data[8:] {
		wide ^= binary.LittleEndian.Uint64(data)
	}
	sum ^= uint32(wide) ^ uint32(wide>>32)
	if len(data) >= 4 {
		sum ^= binary.LittleEndian.Uint32(data)
		data = data[4:]
	}
	last := uint32(0)
	for _, b := range data {
		last = last<<8 | uint32(b)
	}
	return sum ^ last
}

// cabMember is a file in a folder that is being unpacked.
type cabMember struct {
	s     *cabStream
	f     cabFile
	left  int64
	wrong error // with what has been read of it
	begun bool
}

// Read implements io.Reader.
func (m *cabMember) Read(p []byte) (int, error) {
	s := m.s
	for {
		if len(s.out) == 0 && m.left > 0 && s.end == nil {
			s.next()
			continue
		}
		if m.left == 0 || len(s.out) == 0 {
			return 0, m.ended()
		}
		if n := min(m.f.from-s.pos, int64(len(s.out))); n > 0 && !m.begun {
			s.skip(int(n))
			if err := s.c.waste(int(n)); err != nil {
				s.end, s.out = err, nil
			}
			continue
		}
		if !m.begun && s.pos > m.f.from { // the beginning is in another cabinet
			m.left = max(m.left-(s.pos-m.f.from), 0)
			m.wrong = errCabPrev
		}
		m.begun = true
		n := copy(p, s.out[:min(int64(len(s.out)), m.left)])
		s.skip(n)
		m.left -= int64(n)
		if s.wrong != nil && m.wrong == nil {
			m.wrong = s.wrong
		}
		if n > 0 || len(p) == 0 {
			return n, nil
		}
	}
}

func (s *cabStream) skip(n int) {
	s.out = s.out[n:]
	s.pos += int64(n)
}

// ended says how the file has ended.
func (m *cabMember) ended() error {
	switch {
	case m.left > 0 && errors.Is(m.s.end, ErrLimit):
		return m.s.end
	case m.wrong != nil:
		return m.wrong
	case m.left > 0 && m.f.next:
		return errCabNext
	case m.left > 0 && m.f.prev && !m.begun:
		return errCabPrev
	case m.left > 0:
		return m.s.end
	}
	return io.EOF
}

// mszipDecoder unpacks MSZIP (MS-MCI): deflate in blocks that each end a stream,
// while matches go back into the blocks before.
type mszipDecoder struct {
	in      *bytes.Reader
	flate   flateReader
	out     []byte
	history []byte // the last bytes of the blocks before
}

const (
	mszipMagic   = "CK"
	mszipHistory = 32 << 10
	mszipBlock   = 64 << 10 // what a block may have; honest ones have half of it
)

// block unpacks a block, whatever its size is said to be.
func (z *mszipDecoder) block(block []byte, _ int) ([]byte, error) {
	if z.out == nil {
		z.in, z.out = bytes.NewReader(nil), make([]byte, mszipBlock)
		z.flate = flate.NewReader(z.in).(flateReader)
	}
	if !bytes.HasPrefix(block, []byte(mszipMagic)) {
		return nil, errCabMSZIP
	}
	z.in.Reset(block[len(mszipMagic):])
	if err := z.flate.Reset(z.in, z.history); err != nil {
		return nil, err
	}
	n, err := io.ReadFull(z.flate, z.out)
	if err == io.EOF || err == io.ErrUnexpectedEOF && z.ended() {
		err = nil
	}
	z.remember(z.out[:n])
	return z.out[:n], err
}

// ended reports whether the stream has ended by itself.
func (z *mszipDecoder) ended() bool {
	_, err := z.flate.Read(make([]byte, 1))
	return err == io.EOF
}

// pad fills up with zeros what has become of a damaged block.
func (z *mszipDecoder) pad(n, size int) []byte {
	size = max(n, size)
	clear(z.out[n:size])
	z.remember(z.out[n:size])
	return z.out[:size]
}

// remember keeps the last bytes of what has been unpacked.
func (z *mszipDecoder) remember(out []byte) {
	if n := len(z.history) + len(out) - mszipHistory; n >= len(z.history) {
		z.history, out = z.history[:0], out[len(out)-mszipHistory:]
	} else if n > 0 {
		z.history = z.history[:copy(z.history, z.history[n:])]
	}
	z.history = append(z.history, out...)
}
