package unpack

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf16"
)

// The properties of a header: 7zFormat.txt of the LZMA SDK, "Property IDs".
const (
	szEnd                = 0x00
	szHeader             = 0x01
	szArchiveProperties  = 0x02
	szAdditionalStreams  = 0x03
	szMainStreams        = 0x04
	szFilesInfo          = 0x05
	szPackInfo           = 0x06
	szUnpackInfo         = 0x07
	szSubStreams         = 0x08
	szSize               = 0x09
	szCRC                = 0x0a
	szFolderInfo         = 0x0b
	szCodersUnpackSize   = 0x0c
	szNumUnpackStream    = 0x0d
	szEmptyStream        = 0x0e
	szEmptyFile          = 0x0f
	szAnti               = 0x10
	szNames              = 0x11
	szEncodedHeader      = 0x17
	szMaxCoders          = 32      // of a folder, and of a coder's inputs: 7-Zip has 4 and 4
	szMaxItems           = 1 << 20 // folders, streams, files: ten times the default limit of objects
	szFilesWithoutHeader = 8       // of which a byte of a header says something: a bit each
)

// szStreams describes packed bytes and how they are unpacked.
type szStreams struct {
	packAt  uint64 // behind the signature header
	packed  []uint64
	folders []szFolder
}

// szFolder is what is unpacked as one: the files of a solid block.
type szFolder struct {
	coders []szCoder
	binds  []szBind
	inputs []int    // those that are fed with packed bytes
	sizes  []uint64 // of what comes out of each coder
	crc    szSum
	first  int      // of its packed streams
	parts  []szPart // the files in it
}

// szCoder is one step of unpacking: from one input or more to one output.
type szCoder struct {
	method uint64
	props  []byte
	inputs int
}

// szBind feeds an input with what comes out of a coder.
type szBind struct{ input, coder int }

// szPart is the bytes of one file.
type szPart struct {
	size uint64
	crc  szSum
}

// szSum is a checksum, if there is one.
type szSum struct {
	crc   uint32
	known bool
}

// szFile is a file of the archive.
type szFile struct {
	name   string
	hollow bool // it has no bytes
	empty  bool // and is a file, no folder
	anti   bool // and says that a file is to be deleted
}

// szParser reads a header. The first thing that cannot be is damage; from there on
// all that is read is zero.
type szParser struct {
	b   []byte
	err error
}

func (p *szParser) fail(what string) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: header: %s", ErrDamaged, what)
	}
	p.b = nil
}

func (p *szParser) bytes(n uint64) []byte {
	if n > uint64(len(p.b)) {
		p.fail("cut short")
		return nil
	}
	b := p.b[:n:n]
	p.b = p.b[n:]
	return b
}

func (p *szParser) byte() byte {
	if b := p.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *szParser) uint32() uint32 {
	if b := p.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// number reads a number: the ones at the top of its first byte say how many bytes
// follow, lowest first; what is left of the first is the highest part.
func (p *szParser) number() (v uint64) {
	first := p.byte()
	for i := range 8 {
		mask := byte(0x80) >> i
		if first&mask == 0 {
			return v | uint64(first&(mask-1))<<(8*i)
		}
		v |= uint64(p.byte()) << (8 * i)
	}
	return v
}

// count reads a number of things of which no header has more than most.
func (p *szParser) count(most int) int {
	n := p.number()
	if n > uint64(most) {
		p.fail("too many")
		return 0
	}
	return int(n)
}

// items reads a number of things each of which has at least a byte of its own.
func (p *szParser) items() int { return p.count(min(szMaxItems, len(p.b))) }

// bits reads a vector of bits, the highest of each byte first.
func (p *szParser) bits(n int) []bool {
	list := make([]bool, n)
	var b byte
	for i := range list {
		if i%8 == 0 {
			b = p.byte()
		}
		list[i] = b>>(7-i%8)&1 == 1
	}
	return list
}

// sums reads the checksums of n things, those that are known.
func (p *szParser) sums(n int) []szSum {
	list := make([]szSum, n)
	known := []bool(nil)
	if p.byte() == 0 {
		known = p.bits(n)
	}
	for i := range list {
		if known == nil || known[i] {
			list[i] = szSum{p.uint32(), p.err == nil}
		}
	}
	return list
}

// streams reads the description of packed bytes.
func (p *szParser) streams() (s szStreams) {
	for p.err == nil {
		switch id := p.byte(); id {
		case szEnd:
			s.settle()
			return s
		case szPackInfo:
			p.packInfo(&s)
		case szUnpackInfo:
			p.unpackInfo(&s)
		case szSubStreams:
			p.subStreams(&s)
		default:
			p.fail(fmt.Sprintf("property %#x", id))
		}
	}
	return s
}

// settle sees to what a header leaves out: a folder is one file.
func (s *szStreams) settle() {
	first := 0
	for i := range s.folders {
		f := &s.folders[i]
		f.first = first
		first += len(f.inputs)
		if f.parts == nil {
			f.parts = []szPart{{f.size(), f.crc}}
		}
	}
}

func (p *szParser) packInfo(s *szStreams) {
	s.packAt = p.number()
	n := p.count(szMaxItems)
	for p.err == nil {
		switch id := p.byte(); id {
		case szEnd:
			return
		case szSize:
			if n > len(p.b) {
				p.fail("too many")
			}
			for range n {
				s.packed = append(s.packed, p.number())
			}
		case szCRC:
			if n > szFilesWithoutHeader*len(p.b) {
				p.fail("too many")
				return
			}
			p.sums(n)
		default:
			p.fail(fmt.Sprintf("property %#x", id))
		}
	}
}

func (p *szParser) unpackInfo(s *szStreams) {
	for p.err == nil {
		switch id := p.byte(); id {
		case szEnd:
			return
		case szFolderInfo:
			n := p.items()
			if p.byte() != 0 {
				p.fail("external")
			}
			for i := 0; i < n && p.err == nil; i++ {
				s.folders = append(s.folders, p.folder())
			}
		case szCodersUnpackSize:
			for i := range s.folders {
				f := &s.folders[i]
				for range f.coders {
					f.sizes = append(f.sizes, p.number())
				}
			}
		case szCRC:
			for i, sum := range p.sums(len(s.folders)) {
				s.folders[i].crc = sum
			}
		default:
			p.fail(fmt.Sprintf("property %#x", id))
		}
	}
}

// folder reads the coders of a folder and how they are connected.
func (p *szParser) folder() (f szFolder) {
	inputs := 0
	for range p.count(szMaxCoders) {
		c := p.coder()
		f.coders = append(f.coders, c)
		inputs += c.inputs
	}
	if len(f.coders) == 0 || inputs > szMaxCoders {
		p.fail("coders")
		return f
	}
	bound := make([]bool, inputs)
	for range len(f.coders) - 1 {
		b := szBind{p.count(inputs - 1), p.count(len(f.coders) - 1)}
		bound[b.input] = true
		f.binds = append(f.binds, b)
	}
	packed := inputs - len(f.binds)
	for i := range bound {
		if packed == 1 && !bound[i] {
			f.inputs = append(f.inputs, i)
		}
	}
	if packed > 1 {
		for range packed {
			f.inputs = append(f.inputs, p.count(inputs-1))
		}
	}
	return f
}

func (p *szParser) coder() (c szCoder) {
	flags := p.byte()
	for _, b := range p.bytes(uint64(flags & 0xf)) {
		c.method = c.method<<8 | uint64(b)
	}
	c.inputs = 1
	if flags&0x10 != 0 {
		c.inputs = p.count(szMaxCoders)
		if p.number() != 1 || c.inputs == 0 {
			p.fail("streams of a coder")
		}
	}
	if flags&0x20 != 0 {
		c.props = p.bytes(p.number())
	}
	if flags&0xc0 != 0 || flags&0xf > 8 {
		p.fail("coder")
	}
	return c
}

// subStreams reads how the files share the folders.
func (p *szParser) subStreams(s *szStreams) {
	id := p.byte()
	total := len(s.folders)
	counts := make([]int, total)
	for i := range counts {
		counts[i] = 1
	}
	if id == szNumUnpackStream {
		total = 0
		for i := range counts {
			counts[i] = p.count(szMaxItems - total)
			total += counts[i]
		}
		id = p.byte()
	}
	if total-len(s.folders) > len(p.b) {
		p.fail("too many")
		return
	}
	for i := range s.folders {
		s.folders[i].share(counts[i], p, id == szSize)
	}
	if id == szSize {
		id = p.byte()
	}
	for id != szEnd && p.err == nil {
		if id != szCRC {
			p.fail(fmt.Sprintf("property %#x", id))
			return
		}
		p.partSums(s)
		id = p.byte()
	}
}

// share makes n files of a folder. The last gets what the others leave.
func (f *szFolder) share(n int, p *szParser, sized bool) {
	f.parts = make([]szPart, n)
	left := f.size()
	for i := range f.parts {
		size := left
		if sized && i < n-1 {
			size = min(p.number(), left)
		}
		f.parts[i].size = size
		left -= size
	}
	if n == 1 {
		f.parts[0].crc = f.crc
	}
}

// partSums reads the checksums of all files but those that are a folder of which it
// is known already.
func (p *szParser) partSums(s *szStreams) {
	var parts []*szPart
	for i := range s.folders {
		f := &s.folders[i]
		if len(f.parts) == 1 && f.crc.known {
			continue
		}
		for j := range f.parts {
			parts = append(parts, &f.parts[j])
		}
	}
	for i, sum := range p.sums(len(parts)) {
		parts[i].crc = sum
	}
}

// size is how many bytes come out of a folder: out of the coder that feeds no other.
func (f *szFolder) size() uint64 {
	if i := f.main(); i < len(f.sizes) {
		return f.sizes[i]
	}
	return 0
}

// main is the coder that feeds no other.
func (f *szFolder) main() int {
	for i := range f.coders {
		bound := false
		for _, b := range f.binds {
			bound = bound || b.coder == i
		}
		if !bound {
			return i
		}
	}
	return math.MaxInt
}

// header reads an archive's header, behind its first byte.
func (p *szParser) header() (s szStreams, files []szFile) {
	for p.err == nil {
		switch id := p.byte(); id {
		case szEnd:
			return s, files
		case szArchiveProperties:
			for p.err == nil && p.byte() != szEnd {
				p.bytes(p.number())
			}
		case szAdditionalStreams:
			p.streams() // for what is "external", which nothing writes
		case szMainStreams:
			s = p.streams()
		case szFilesInfo:
			files = p.files()
		default:
			p.fail(fmt.Sprintf("property %#x", id))
		}
	}
	return s, files
}

// files reads what is said of the files.
func (p *szParser) files() []szFile {
	files := make([]szFile, p.count(min(szMaxItems, szFilesWithoutHeader*len(p.b))))
	var hollow []*szFile
	for p.err == nil {
		id := p.byte()
		if id == szEnd {
			break
		}
		q := szParser{b: p.bytes(p.number())}
		switch id {
		case szEmptyStream:
			for i, is := range q.bits(len(files)) {
				if files[i].hollow = is; is {
					hollow = append(hollow, &files[i])
				}
			}
		case szEmptyFile:
			for i, is := range q.bits(len(hollow)) {
				hollow[i].empty = is
			}
		case szAnti:
			for i, is := range q.bits(len(hollow)) {
				hollow[i].anti = is
			}
		case szNames:
			q.names(files)
		}
		// Others, times and attributes among them, decide nothing here.
		if q.err != nil {
			p.fail("property of the files")
		}
	}
	return files
}

// names reads the names: UTF-16, each with a zero behind it.
func (p *szParser) names(files []szFile) {
	if p.byte() != 0 {
		p.fail("external")
	}
	var units []uint16
	for i := range files {
		units = units[:0]
		for {
			b := p.bytes(2)
			if b == nil {
				return
			}
			u := binary.LittleEndian.Uint16(b)
			if u == 0 {
				break
			}
			if len(units) < maxName {
				units = append(units, u)
			}
		}
		files[i].name = cutName(string(utf16.Decode(units)))
	}
}
