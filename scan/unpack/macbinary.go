package unpack

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// macbinaryOpener opens MacBinary I, II and III: a header, the data fork and the
// resource fork, each padded to blocks. Several files may follow one another.
// Nothing marks type I but that all of its header makes sense, so one that is cut
// off is none; types II and III have a checksum.
var macbinaryOpener = opener{name: "macbinary", match: macbinaryMatch, entries: macbinaryEntries}

// Offsets in a header ("MacBinary II Standard", 1987; "MacBinary III Format", 1996).
const (
	macbinaryBlock     = 128
	macbinaryName      = 1 // its length in front of it
	macbinaryType      = 65
	macbinaryZero1     = 74
	macbinaryZero2     = 82
	macbinaryData      = 83
	macbinaryResource  = 87
	macbinaryComment   = 99
	macbinaryMark      = 102 // "mBIN", since III
	macbinarySecondary = 120 // length of a second header
	macbinaryVersion   = 122
	macbinaryCRC       = 124
)

// macbinaryFile is what a header says.
type macbinaryFile struct {
	name                               []byte
	data, resource, comment, secondary int64
}

func macbinaryMatch(data []byte) bool {
	_, ok := parseMacBinary(data)
	return ok
}

// parseMacBinary reads the header that data begins with.
func parseMacBinary(data []byte) (f macbinaryFile, ok bool) {
	if len(data) < macbinaryBlock || data[0] != 0 || data[macbinaryZero1] != 0 || data[macbinaryZero2] != 0 {
		return f, false
	}
	n := int(data[macbinaryName])
	if n < 1 || n > 63 {
		return f, false
	}
	be := binary.BigEndian
	f = macbinaryFile{
		name:      data[macbinaryName+1 : macbinaryName+1+n],
		data:      int64(be.Uint32(data[macbinaryData:])),
		resource:  int64(be.Uint32(data[macbinaryResource:])),
		comment:   int64(be.Uint16(data[macbinaryComment:])),
		secondary: int64(be.Uint16(data[macbinarySecondary:])),
	}
	if crc := be.Uint16(data[macbinaryCRC:]); crc != 0 && crc == crc16(data[:macbinaryCRC]) {
		return f, true
	}
	return f, f.plausible(data)
}

// plausible reports whether a header without a right checksum makes sense.
func (f *macbinaryFile) plausible(data []byte) bool {
	marked := string(data[macbinaryMark:macbinaryMark+4]) == "mBIN" || data[macbinaryVersion] >= 129
	if !marked && !zeros(data[macbinaryComment+2:macbinaryBlock]) {
		return false
	}
	for _, c := range f.name {
		if c < ' ' || c == ':' {
			return false
		}
	}
	for _, c := range data[macbinaryType : macbinaryType+8] {
		if c > 0 && c < ' ' {
			return false
		}
	}
	end := f.start() + blocks(f.data) + f.resource
	if f.resource == 0 {
		end = f.start() + f.data
	}
	return f.data+f.resource > 0 && end <= int64(len(data))
}

// blocks is a length with the padding to whole blocks.
func blocks(n int64) int64 { return (n + macbinaryBlock - 1) / macbinaryBlock * macbinaryBlock }

// start is where the data fork begins.
func (f *macbinaryFile) start() int64 { return macbinaryBlock + blocks(f.secondary) }

func macbinaryEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		for rest := f.Data; ; {
			h, ok := parseMacBinary(rest)
			if !ok || !h.emit(rest, yield) {
				return
			}
			rest = tail(rest, h.start()+blocks(h.data)+blocks(h.resource)+blocks(h.comment))
		}
	}
}

// emit hands out the forks of the file that data begins with. Where there is a
// second header, which no known program writes, others take it for data.
func (f *macbinaryFile) emit(data []byte, yield func(member, error) bool) bool {
	name := decodeName(f.name)
	if f.secondary > 0 && !yield(cutTo(name, tail(data, macbinaryBlock), f.data)) {
		return false
	}
	if (f.data > 0 || f.resource == 0) && !yield(cutTo(name, tail(data, f.start()), f.data)) {
		return false
	}
	return f.resource == 0 || yield(cutTo(name+resourceFork, tail(data, f.start()+blocks(f.data)), f.resource))
}

// tail is what data have from an offset on.
func tail(data []byte, at int64) []byte { return data[min(at, int64(len(data))):] }

// cutTo is a member with the first bytes of data, and what is wrong when there
// are not as many.
func cutTo(name string, data []byte, size int64) (member, error) {
	if size > int64(len(data)) {
		return member{name: name, data: data}, fmt.Errorf("%w: cut short", ErrDamaged)
	}
	return member{name: name, data: data[:size:size]}, nil
}
