package unpack

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strings"
)

// The magic numbers of zip's records (section 4.3).
const (
	zipLocalMagic      = "PK\x03\x04"
	zipCentralMagic    = "PK\x01\x02"
	zipEndMagic        = "PK\x05\x06"
	zipEnd64Magic      = "PK\x06\x06"
	zipLocator64Magic  = "PK\x06\x07"
	zipDescriptorMagic = "PK\x07\x08"
)

// The lengths of zip's records, less what is of variable length.
const (
	zipLocalSize     = 30
	zipCentralSize   = 46
	zipEndSize       = 22
	zipEnd64Size     = 56
	zipLocator64Size = 20
)

// General purpose flags (section 4.4.4).
const (
	zipEncrypted = 1 << 0
	zipLater     = 1 << 3 // sizes and checksum follow the bytes
	zipUTF8      = 1 << 11

	zipMethodFlags = 3 << 1 // what they mean depends on the method
)

// unknownSize is the size of what no header tells.
const unknownSize = -1

// zipHeader is a local or a central header.
type zipHeader struct {
	flags, method uint16
	time          uint16 // of day, as DOS has it
	crc           uint32
	packed, size  int64
	name, extra   []byte

	body   int64 // local: where the bytes begin; 0 when that is beyond the archive
	offset int64 // central: of the local header
	next   int64 // central: where the next header begins
}

func hasMagic[T int | int64](data []byte, at T, magic string) bool {
	return at >= 0 && int64(at) <= int64(len(data))-int64(len(magic)) && string(data[at:int(at)+len(magic)]) == magic
}

// isZipMark reports whether data begins with a local header or an end record.
func isZipMark(data []byte) bool {
	return hasMagic(data, 0, zipLocalMagic) || hasMagic(data, 0, zipEndMagic)
}

// parseZipLocal reads the local header at the given offset (section 4.3.7). ok
// is false when there is none; the header's fields are set all the same when it
// lacks nothing but its magic number.
func parseZipLocal(data []byte, at int64) (h zipHeader, ok bool) {
	if at < 0 || at > int64(len(data))-zipLocalSize {
		return h, false
	}
	b, le := data[at:], binary.LittleEndian
	h = zipHeader{
		flags:  le.Uint16(b[6:]),
		method: le.Uint16(b[8:]),
		time:   le.Uint16(b[10:]),
		crc:    le.Uint32(b[14:]),
		packed: int64(le.Uint32(b[18:])),
		size:   int64(le.Uint32(b[22:])),
	}
	name, extra := int(le.Uint16(b[26:])), int(le.Uint16(b[28:]))
	if name+extra > len(b)-zipLocalSize {
		return h, false
	}
	h.name = b[zipLocalSize : zipLocalSize+name]
	h.extra = b[zipLocalSize+name : zipLocalSize+name+extra]
	h.body = at + zipLocalSize + int64(name+extra)
	h.zip64()
	return h, hasMagic(data, at, zipLocalMagic)
}

// parseZipCentral reads the central header at the given offset (section 4.3.12).
func parseZipCentral(data []byte, at int64) (h zipHeader, ok bool) {
	if !hasMagic(data, at, zipCentralMagic) || at > int64(len(data))-zipCentralSize {
		return h, false
	}
	b, le := data[at:], binary.LittleEndian
	h = zipHeader{
		flags:  le.Uint16(b[8:]),
		method: le.Uint16(b[10:]),
		time:   le.Uint16(b[12:]),
		crc:    le.Uint32(b[16:]),
		packed: int64(le.Uint32(b[20:])),
		size:   int64(le.Uint32(b[24:])),
		offset: int64(le.Uint32(b[42:])),
	}
	name, extra, comment := int(le.Uint16(b[28:])), int(le.Uint16(b[30:])), int(le.Uint16(b[32:]))
	rest := b[zipCentralSize:]
	h.name = rest[:min(name, len(rest))]
	rest = rest[len(h.name):]
	h.extra = rest[:min(extra, len(rest))]
	h.next = at + zipCentralSize + int64(name+extra+comment)
	h.zip64()
	return h, true
}

// zipComment gives the archive's comment, which ends an end record (section 4.3.16).
func zipComment(end []byte) []byte {
	if len(end) < zipEndSize {
		return nil
	}
	comment := end[zipEndSize:]
	return comment[:min(int(binary.LittleEndian.Uint16(end[zipEndSize-2:])), len(comment))]
}

// zip64 takes the fields that do not fit 32 bits from where they are then
// (section 4.5.3).
func (h *zipHeader) zip64() {
	b := h.field(0x0001)
	for _, v := range []*int64{&h.size, &h.packed, &h.offset} {
		if *v == math.MaxUint32 && len(b) >= 8 {
			*v = int64(min(binary.LittleEndian.Uint64(b), math.MaxInt64/4)) // no sum of two overflows
			b = b[8:]
		}
	}
}

// field gives an extra field (section 4.5.1).
func (h *zipHeader) field(id uint16) []byte {
	for b := h.extra; len(b) >= 4; {
		size := int(binary.LittleEndian.Uint16(b[2:]))
		if size > len(b)-4 {
			return nil
		}
		if binary.LittleEndian.Uint16(b) == id {
			return b[4 : 4+size]
		}
		b = b[4+size:]
	}
	return nil
}

// fileName decodes the name: the Unicode path field (section 4.6.9) when it
// belongs to the name, else by the flag, else by what it looks like.
func (h *zipHeader) fileName() string {
	if u := h.field(0x7075); len(u) >= 5 && u[0] == 1 && binary.LittleEndian.Uint32(u[1:]) == crc32.ChecksumIEEE(h.name) {
		return utf8Name(u[5:])
	}
	if h.flags&zipUTF8 != 0 {
		return utf8Name(h.name)
	}
	return decodeName(h.name)
}

// later reports whether sizes and checksum follow the bytes.
func (h *zipHeader) later() bool { return h.flags&zipLater != 0 }

// plausible tells headers from noise that has their magic number, as programs
// that open archives do.
func (h *zipHeader) plausible() bool {
	return len(h.name) > 0 && zipMethodOf(h.method).name != ""
}

// entry is the member as this header describes it. Its bytes begin at start.
func (h *zipHeader) entry(start int) zipEntry {
	e := zipEntry{
		name:   h.fileName(),
		method: h.method,
		flags:  h.flags,
		start:  start,
		packed: h.packed,
		size:   h.size,
		crcs:   []uint32{h.crc},
		locked: h.flags&zipEncrypted != 0,
		checks: []byte{byte(h.crc >> 24), byte(h.time >> 8)},
	}
	f := h.field(zipAESField)
	if h.method == zipAES && len(f) >= 7 && f[4] >= 1 && f[4] <= 3 {
		e.strength, e.method = f[4], binary.LittleEndian.Uint16(f[5:])
	}
	return e
}

// directory reports whether the entry is a folder, which has no bytes.
func (e *zipEntry) directory() bool {
	return strings.HasSuffix(e.name, "/") && e.packed <= 0 && e.size <= 0
}

// zipDirectories gives every way to read the central directory to which the end
// record at the given offset leads (sections 4.3.14 to 4.3.16): it stands before that
// record, whatever was put in front of the archive, or where its offset says.
func zipDirectories(data []byte, at int) (ways []zipWalk) {
	b, le := data[at:], binary.LittleEndian
	if len(b) < zipEndSize {
		return nil
	}
	add := func(record, size, offset int64) {
		for _, w := range []zipWalk{{record - size, record - size - offset}, {offset, 0}} {
			if hasMagic(data, w.start, zipCentralMagic) {
				ways = append(ways, w)
			}
		}
	}
	add(int64(at), int64(le.Uint32(b[12:])), int64(le.Uint32(b[16:])))
	locator := at - zipLocator64Size
	if !hasMagic(data, locator, zipLocator64Magic) {
		return ways
	}
	stated := int64(min(le.Uint64(data[locator+8:]), math.MaxInt64/4))
	for _, r := range []int64{int64(locator) - zipEnd64Size, stated} {
		if hasMagic(data, r, zipEnd64Magic) && r <= int64(len(data))-zipEnd64Size {
			size, offset := le.Uint64(data[r+40:]), le.Uint64(data[r+48:])
			add(r, int64(min(size, math.MaxInt64/4)), int64(min(offset, math.MaxInt64/4)))
		}
	}
	return ways
}

// endsAsZip reports whether an end record stands where programs look for one: before
// a comment that ends where the data do.
func endsAsZip(data []byte) bool {
	for end := data[max(0, len(data)-zipEndSize-math.MaxUint16):]; ; end = end[1:] {
		i := bytes.Index(end, []byte(zipEndMagic))
		if i < 0 {
			return false
		}
		if end = end[i:]; len(end) >= zipEndSize && len(end) == zipEndSize+len(zipComment(end)) {
			return true
		}
	}
}

// zipMatch looks for a local header anywhere, or an end record that leads to a
// central directory or says that there is none.
func zipMatch(data []byte) bool {
	for at := 0; ; at++ {
		i := bytes.Index(data[at:], []byte("PK"))
		if i < 0 {
			return false
		}
		at += i
		if h, ok := parseZipLocal(data, int64(at)); ok && h.plausible() {
			return true
		}
		if hasMagic(data, at, zipEndMagic) && len(data)-at >= zipEndSize {
			empty := bytes.Count(data[at+4:at+20], []byte{0}) == 16
			if empty || len(zipDirectories(data, at)) > 0 {
				return true
			}
		}
	}
}
