package unpack

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strings"
)

const (
	aceMagic = "**ACE**"

	// aceMagicAt is where it stands in the header of an archive.
	aceMagicAt = 7

	// aceBlockHead is the length of what stands in front of what the size and the
	// checksum of a header are of.
	aceBlockHead = 4

	// Lengths of headers with all that is always there, less aceBlockHead.
	aceLeastSize   = 3
	aceArchiveSize = 26
	aceFileSize    = 31
	aceFile64Size  = 39

	// aceSumming bounds the bytes of what may be headers that are summed up in one
	// search. Beyond it their sums are taken for right.
	aceSumming = 1 << 20
)

// Types of blocks. The others up to the last one are of recovery records.
const (
	aceTypeArchive = 0
	aceTypeFile    = 1
	aceTypeFile64  = 3
	aceLastType    = 5
)

// Flags of a header: of all, of an archive's, of a file's.
const (
	aceAdds      = 1 << 0 // bytes follow, whose number is in the header
	aceCommented = 1 << 1
	aceWide      = 1 << 2 // that number has 64 bits

	aceAdvert = 1 << 12 // a text of the program's

	aceBegun     = 1 << 12 // in the volume before
	aceContinued = 1 << 13 // in the next volume
	aceLocked    = 1 << 14
)

// aceFolder is the attribute of a folder.
const aceFolder = 0x10

// aceBlock is a block: a header, and what follows it.
type aceBlock struct {
	at, body int // where it begins, and where the bytes behind the header do
	kind     byte
	flags    uint16
	packed   int64 // bytes behind the header

	size    int64
	attr    uint32
	crc     uint32
	method  byte
	name    []byte
	comment []byte // packed

	cut   bool // the data end within the header
	sound bool // its checksum is right
	whole bool // all its fields fit in it
}

func (b *aceBlock) isFile() bool { return b.kind == aceTypeFile || b.kind == aceTypeFile64 }

// end is where the next block begins.
func (b *aceBlock) end() int64 { return int64(b.body) + b.packed }

// parseACE reads the header at an offset. ok is false when there is none.
func parseACE(data []byte, at int) (b aceBlock, ok bool) {
	b = aceBlock{at: at, body: len(data)}
	head := data[at:]
	if len(head) < aceBlockHead+aceLeastSize {
		b.cut = true
		return b, len(head) > 0
	}
	le := binary.LittleEndian
	size := int(le.Uint16(head[2:]))
	b.kind, b.flags = head[4], le.Uint16(head[5:])
	if size < aceLeastSize {
		return b, false
	}
	if b.cut = size > len(head)-aceBlockHead; b.cut {
		b.fields(head[aceBlockHead:])
		return b, true
	}
	h := head[aceBlockHead : aceBlockHead+size]
	b.body = at + aceBlockHead + size
	b.sound = uint16(^crc32.ChecksumIEEE(h)) == le.Uint16(head)
	b.fields(h)
	return b, true
}

// fields takes what a header says.
func (b *aceBlock) fields(h []byte) {
	switch {
	case b.kind == aceTypeArchive:
		b.whole = len(h) >= aceArchiveSize && string(h[3:3+len(aceMagic)]) == aceMagic
		if b.whole && b.flags&aceCommented != 0 {
			b.comment = aceArchiveComment(h, b.flags)
		}
	case b.isFile() && b.flags&aceAdds != 0:
		b.file(h)
	case b.flags&aceAdds != 0:
		b.whole = b.sizes(h, b.flags&aceWide != 0, &b.packed)
	default:
		b.whole = !b.isFile()
	}
}

// sizes reads sizes of 32 or 64 bits. They are the first fields.
func (b *aceBlock) sizes(h []byte, wide bool, sizes ...*int64) bool {
	width := 4
	if wide {
		width = 8
	}
	if len(h) < aceLeastSize+width*len(sizes) {
		return false
	}
	for i, to := range sizes {
		field := h[aceLeastSize+i*width:]
		if wide {
			*to = int64(min(binary.LittleEndian.Uint64(field), math.MaxInt64/4))
		} else {
			*to = int64(binary.LittleEndian.Uint32(field))
		}
	}
	return true
}

// file takes what the header of a file says.
func (b *aceBlock) file(h []byte) {
	wide := b.kind == aceTypeFile64
	fixed := aceFileSize
	if wide {
		fixed = aceFile64Size
	}
	if !b.sizes(h, wide, &b.packed, &b.size) || len(h) < fixed {
		return
	}
	f, le := h[fixed-20:], binary.LittleEndian
	b.attr, b.crc, b.method = le.Uint32(f[4:]), le.Uint32(f[8:]), f[12]
	b.name = f[20:]
	if n := int(le.Uint16(f[18:])); n <= len(b.name) {
		b.name, f = b.name[:n], b.name[n:]
		b.whole = true
		if b.flags&aceCommented != 0 {
			b.comment, b.whole = aceSized(f)
		}
	}
}

// aceSized takes bytes behind their length.
func aceSized(b []byte) ([]byte, bool) {
	if len(b) < 2 {
		return nil, false
	}
	n := int(binary.LittleEndian.Uint16(b))
	return b[2:][:min(n, len(b)-2)], n <= len(b)-2
}

// aceArchiveComment finds the comment in the header of an archive. In front of it
// stands a text behind its length, be it empty; but some believe that it is not there
// when the flag is not.
func aceArchiveComment(h []byte, flags uint16) []byte {
	h = h[aceArchiveSize:]
	if len(h) > 0 && int(h[0]) < len(h) {
		if comment, ok := aceSized(h[1+int(h[0]):]); ok {
			return comment
		}
	}
	if flags&aceAdvert == 0 {
		if comment, ok := aceSized(h); ok {
			return comment
		}
	}
	return nil
}

// path is the file's name with its folders.
func (b *aceBlock) path() string {
	name, _, _ := bytes.Cut(b.name, []byte{0})
	return strings.ReplaceAll(decodeName(name), `\`, "/")
}

// aceSearcher looks for headers where one need not be: those only that are right.
type aceSearcher struct {
	data   []byte
	summed int // bytes, in all
}

// isArchive reports whether an archive begins at an offset.
func (s *aceSearcher) isArchive(at int) bool {
	h := s.data[at:]
	if len(h) < aceBlockHead+aceArchiveSize || h[4] != aceTypeArchive {
		return false
	}
	return s.isSound(at)
}

func (s *aceSearcher) isSound(at int) bool {
	if s.summed > aceSumming {
		return true
	}
	b, ok := parseACE(s.data, at)
	s.summed += b.body - at
	return ok && b.sound && b.whole
}

// archive finds the first archive, which begins within the first megabyte.
func (s *aceSearcher) archive() (int, bool) {
	for at := range stubs(s.data, aceMagic, 2) {
		if at -= aceMagicAt; at >= 0 && s.isArchive(at) {
			return at, true
		}
	}
	return 0, false
}

// next finds the first header of a file or of an archive from an offset on.
func (s *aceSearcher) next(at int) (int, bool) {
	for ; at+aceBlockHead+aceArchiveSize <= len(s.data); at++ {
		if s.likely(at) && s.isSound(at) {
			return at, true
		}
	}
	return 0, false
}

// likely reports whether the header at an offset is worth its checksum.
func (s *aceSearcher) likely(at int) bool {
	h := s.data[at+aceBlockHead:]
	switch {
	case h[0] == aceTypeArchive:
		return h[3] == aceMagic[0] && string(h[3:3+len(aceMagic)]) == aceMagic
	case h[0] != aceTypeFile && h[0] != aceTypeFile64 || h[1]&aceAdds == 0:
		return false
	}
	size := int(binary.LittleEndian.Uint16(s.data[at+2:]))
	if size > len(h) || size < aceLeastSize {
		return false
	}
	b := aceBlock{kind: h[0], flags: binary.LittleEndian.Uint16(h[1:])}
	b.fields(h[:size])
	return b.whole && b.method <= aceBlocked
}
