package unpack

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strings"
)

// The blocks of an archive, as far as one must know to tell members from each
// other: RAR 1.5 to 4 after technote.txt of RAR 4.20, RAR 5 to 7 after RARLAB's
// "RAR 5.0 archive format". What is in them is the library's.

const (
	rarMagic    = "Rar!\x1a\x07"
	rar4Magic   = rarMagic + "\x00"
	rar5Magic   = rarMagic + "\x01\x00"
	rar14Magic  = "RE\x7e\x5e" // RAR 1.4 and before
	rarMaxNames = 64 << 10
)

// rarKind is what a block is.
type rarKind int

const (
	rarOther rarKind = iota
	rarMain
	rarFile
	rarService // an attachment to the file before it, or to the archive
	rarCrypt   // all headers behind it are encrypted
	rarEnd
)

// rarBlock is one block: its header, and the bytes behind it.
type rarBlock struct {
	kind       rarKind
	at         int // of the header
	data       int // of the bytes behind it
	end        int // of those; beyond the end of the file when they are cut off
	sound      bool
	solid      bool // of an archive: it may have solid files; of a file: it goes on where the one before it ended
	locked     bool // a file's bytes are encrypted; of RAR 4's main block, all headers are
	continues  bool // from another volume
	continued  bool // in another volume
	folder     bool
	link       bool   // RAR 5: to another file
	old        bool   // RAR 4: RAR 2 can unpack it
	stored     bool   // the bytes stand as they are
	name       []byte // as it is written
	salt       string
	unicode    bool   // RAR 4: and Unicode in RAR's own way behind it
	unpacked   uint64 // size; of which unknown is the highest value
	crc        szSum
	stream     []byte // RAR 5: name of an attached stream
	dictionary uint64
}

// rarFormat is how the blocks of an archive are written.
type rarFormat interface {
	// block reads the header at an offset; false when there can be none.
	block(data []byte, at int) (rarBlock, bool)
	// asFile gives the header of a block as that of a file whose checksum is right.
	asFile(data []byte, b rarBlock) []byte
	// start is how an archive begins: its magic number and its main header.
	start(solid bool) []byte
	// mayBe reports, cheaply, whether the header of a file can begin at an offset.
	mayBe(data []byte, at int) bool
}

// rar4 is RAR 1.5 to 4.
type rar4 struct{}

func (rar4) start(solid bool) []byte {
	h := []byte{0, 0, 0x73, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0}
	if solid {
		h[3] = rar4Solid
	}
	binary.LittleEndian.PutUint16(h, uint16(crc32.ChecksumIEEE(h[2:])))
	return append([]byte(rar4Magic), h...)
}

const (
	rar4HeaderSize = 7
	rar4FileSize   = 32

	rar4Long      = 0x8000 // all: bytes follow, whose number is in the header
	rar4Volume    = 1 << 0 // main block
	rar4Solid     = 1 << 3
	rar4Encrypted = 1 << 7

	rar4SplitBefore = 1 << 0 // file
	rar4SplitAfter  = 1 << 1
	rar4Password    = 1 << 2
	rar4SolidFile   = 1 << 4
	rar4Folder      = 7 << 5
	rar4Comment     = 1 << 3
	rar4Large       = 1 << 8
	rar4Unicode     = 1 << 9
	rar4Salt        = 1 << 10

	rar4Next = 1 << 0 // end block: there is another volume
)

var rar4Kinds = map[byte]rarKind{0x73: rarMain, 0x74: rarFile, 0x7a: rarService, 0x7b: rarEnd}

func (rar4) mayBe(data []byte, at int) bool {
	b := data[at:]
	return len(b) >= rar4FileSize && b[2] == 0x74 && b[4]&0x80 != 0
}

func (rar4) block(data []byte, at int) (b rarBlock, ok bool) {
	h := data[at:]
	if len(h) < rar4HeaderSize {
		return b, false
	}
	le := binary.LittleEndian
	flags, size := le.Uint16(h[3:]), int(le.Uint16(h[5:]))
	if size < rar4HeaderSize || size > len(h) {
		return b, false
	}
	h = h[:size]
	b = rarBlock{kind: rar4Kinds[h[2]], at: at, data: at + size}
	b.sound = uint16(crc32.ChecksumIEEE(h[2:])) == le.Uint16(h)
	var packed uint64
	if flags&rar4Long != 0 && size >= rar4HeaderSize+4 {
		packed = uint64(le.Uint32(h[7:]))
	}
	switch b.kind {
	case rarMain:
		b.solid, b.locked, b.continued = flags&rar4Solid != 0, flags&rar4Encrypted != 0, flags&rar4Volume != 0
		b.sound = size >= 13 && uint16(crc32.ChecksumIEEE(h[2:13])) == le.Uint16(h) || b.sound // a comment may be in it
	case rarFile, rarService:
		if size < rar4FileSize {
			return b, false
		}
		packed = b.file4(h, flags, packed)
	case rarEnd:
		b.continued = flags&rar4Next != 0
	}
	b.end = rarEndOf(b.data, packed)
	return b, true
}

// file4 reads what is particular to a file's header, and gives the packed size.
func (b *rarBlock) file4(h []byte, flags uint16, packed uint64) uint64 {
	le := binary.LittleEndian
	b.continues, b.continued = flags&rar4SplitBefore != 0, flags&rar4SplitAfter != 0
	b.locked, b.solid = flags&rar4Password != 0, flags&rar4SolidFile != 0
	b.folder, b.unicode = flags&rar4Folder == rar4Folder, flags&rar4Unicode != 0
	b.dictionary = 64 << 10 << (flags & rar4Folder >> 5)
	b.old = h[24] < 29
	b.unpacked, b.stored = uint64(le.Uint32(h[11:])), h[25] == 0x30
	b.crc = szSum{le.Uint32(h[16:]), true}
	name := rar4FileSize
	if flags&rar4Large != 0 && len(h) >= rar4FileSize+8 {
		packed |= uint64(le.Uint32(h[32:])) << 32
		b.unpacked |= uint64(le.Uint32(h[36:])) << 32
		name += 8
	} else if b.unpacked == math.MaxUint32 {
		b.unpacked = math.MaxUint64
	}
	end := min(name+int(le.Uint16(h[26:])), len(h))
	b.name = h[min(name, end):end]
	if flags&rar4Salt != 0 {
		b.salt = string(h[end:min(end+8, len(h))])
		end = min(end+8, len(h))
	}
	if flags&rar4Comment != 0 { // RAR 2: it stands in the header, and the checksum leaves it out
		b.sound = b.sound || uint16(crc32.ChecksumIEEE(h[2:end])) == le.Uint16(h)
	}
	return packed
}

func (rar4) asFile(data []byte, b rarBlock) []byte {
	h := bytes.Clone(data[b.at:b.data])
	h[2] = 0x74
	h[3] &^= rar4Comment
	binary.LittleEndian.PutUint16(h, uint16(crc32.ChecksumIEEE(h[2:])))
	return h
}

// rarEndOf is start and size together, no further than makes sense.
func rarEndOf(start int, size uint64) int {
	return start + int(min(size, math.MaxInt/2))
}

// rar5 is RAR 5 to 7.
type rar5 struct{}

func (rar5) start(solid bool) []byte {
	h := []byte{0, 0, 0, 0, 3, 1, 0, 0}
	if solid {
		h[7] = rar5Solid
	}
	binary.LittleEndian.PutUint32(h, crc32.ChecksumIEEE(h[4:]))
	return append([]byte(rar5Magic), h...)
}

const (
	rar5Extra       = 1 << 0 // all: there are extra records
	rar5Data        = 1 << 1 // bytes follow
	rar5SplitBefore = 1 << 3
	rar5SplitAfter  = 1 << 4

	rar5Volume = 1 << 0 // main block
	rar5Solid  = 1 << 2

	rar5Folder   = 1 << 0 // file
	rar5Time     = 1 << 1
	rar5Sum      = 1 << 2
	rar5NoSize   = 1 << 3
	rar5Next     = 1 << 0 // end block
	rar5MaxSize  = 2 << 20
	rar5CryptRec = 1 // extra records
	rar5Link     = 5
	rar5Stream   = 7
)

var rar5Kinds = map[uint64]rarKind{1: rarMain, 2: rarFile, 3: rarService, 4: rarCrypt, 5: rarEnd}

// rar5Parser reads numbers of variable length: 7 bits a byte, the lowest first. What
// is not there is zero.
type rar5Parser []byte

func (p *rar5Parser) number() uint64 {
	v, n := binary.Uvarint(*p)
	if n <= 0 {
		*p = nil
		return 0
	}
	*p = (*p)[n:]
	return v
}

func (p *rar5Parser) bytes(n uint64) []byte {
	b := (*p)[:min(n, uint64(len(*p)))]
	*p = (*p)[len(b):]
	return b
}

func (rar5) mayBe(data []byte, at int) bool {
	p := rar5Parser(data[at:min(at+16, len(data))])
	p.bytes(4)
	return p.number() < rarMaxNames && p.number() == 2
}

func (rar5) block(data []byte, at int) (b rarBlock, ok bool) {
	if len(data)-at < 7 {
		return b, false
	}
	p := rar5Parser(data[at+4:])
	size := p.number()
	start := len(data) - len(p)
	if size == 0 || size > rar5MaxSize || size > uint64(len(p)) {
		return b, false
	}
	p = p[:size]
	b = rarBlock{at: at, data: start + int(size)}
	b.sound = crc32.ChecksumIEEE(data[at+4:b.data]) == binary.LittleEndian.Uint32(data[at:])
	b.kind = rar5Kinds[p.number()]
	flags := p.number()
	var extra, packed uint64
	if flags&rar5Extra != 0 {
		extra = p.number()
	}
	if flags&rar5Data != 0 {
		packed = p.number()
	}
	b.end = rarEndOf(b.data, packed)
	extra = min(extra, uint64(len(p)))
	records := p[uint64(len(p))-extra:]
	p = p[:uint64(len(p))-extra]
	switch b.kind {
	case rarMain:
		archive := p.number()
		b.solid, b.continued = archive&rar5Solid != 0, archive&rar5Volume != 0
	case rarFile, rarService:
		b.continues, b.continued = flags&rar5SplitBefore != 0, flags&rar5SplitAfter != 0
		b.file5(p)
		b.records5(records)
	case rarEnd:
		b.continued = p.number()&rar5Next != 0
	}
	return b, true
}

// file5 reads what is particular to a file's header.
func (b *rarBlock) file5(p rar5Parser) {
	flags := p.number()
	b.folder = flags&rar5Folder != 0
	if b.unpacked = p.number(); flags&rar5NoSize != 0 {
		b.unpacked = math.MaxUint64
	}
	p.number() // attributes
	if flags&rar5Time != 0 {
		p.bytes(4)
	}
	if flags&rar5Sum != 0 {
		if sum := p.bytes(4); len(sum) == 4 {
			b.crc = szSum{binary.LittleEndian.Uint32(sum), true}
		}
	}
	compression := p.number()
	b.solid, b.stored = compression&(1<<6) != 0, compression>>7&7 == 0
	b.dictionary = 128 << 10 << (compression >> 10 & 0xf)
	if compression&0x3f == 1 { // RAR 7: a bit more, and parts of 32
		b.dictionary = 128 << 10 << (compression >> 10 & 0x1f)
		b.dictionary += b.dictionary / 32 * (compression >> 15 & 0x1f)
	}
	p.number() // operating system
	b.name = p.bytes(p.number())
}

// records5 reads the extra records of a file.
func (b *rarBlock) records5(p rar5Parser) {
	for len(p) > 0 {
		record := rar5Parser(p.bytes(p.number()))
		if len(record) == 0 {
			return
		}
		switch record.number() {
		case rar5CryptRec:
			b.locked = true
			record.number() // version
			record.number() // flags
			record.bytes(1)
			b.salt = string(record.bytes(16))
		case rar5Link:
			b.link = true
		case rar5Stream:
			b.stream = record
		}
	}
}

func (rar5) asFile(data []byte, b rarBlock) []byte {
	h := bytes.Clone(data[b.at:b.data])
	p := rar5Parser(h[4:])
	p.number()
	if len(p) > 0 && p[0] == 3 { // an attachment
		p[0] = 2
	}
	binary.LittleEndian.PutUint32(h, crc32.ChecksumIEEE(h[4:]))
	return h
}

// rarName decodes a name as it is written in a header, without RAR 4's Unicode.
func rarName(b rarBlock) string {
	name := b.name
	if b.unicode {
		name, _, _ = bytes.Cut(name, []byte{0})
	}
	return strings.ReplaceAll(decodeName(name), `\`, "/")
}
