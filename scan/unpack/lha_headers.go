package unpack

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"unicode/utf16"

	"golang.org/x/text/encoding/charmap"
)

const (
	// lhaFixed is the length of what all headers begin with, up to their level.
	lhaFixed = 21

	// lhaMaxLevel is the newest level of headers.
	lhaMaxLevel = 3

	// lhaExtensions bounds the extended headers of one header. Real ones have a dozen.
	lhaExtensions = 256

	// lhaSearch is how far into an object the first header is looked for: behind
	// the program that opens the archive, or behind what a Mac puts in front.
	lhaSearch = 1 << 20

	// lhaSumming bounds how many bytes of what may be headers are summed up in one
	// search. Beyond it the sums are taken for right.
	lhaSumming = 1 << 20
)

// Types of extended headers.
const (
	lhaExtCRC        = 0x00
	lhaExtName       = 0x01
	lhaExtFolder     = 0x02
	lhaExtSizes      = 0x42 // of 64 bits
	lhaExtWideName   = 0x44
	lhaExtWideFolder = 0x45
	lhaExtCodePage   = 0x46
)

// Systems that headers are made on.
const (
	lhaOSK     = 'K' // OS-9/68K: the size of a header of level 2 lacks 2 bytes
	lhaOSLHARK = ' '
)

// What stands between the folders of a path.
const (
	lhaFolderEnd     = 0xff
	lhaWideFolderEnd = 0xffff
)

// lhaHeader is the header of a member.
type lhaHeader struct {
	at, body     int // where it begins, and where the bytes behind it do
	method       string
	level, os    byte
	packed, size int64
	crc          uint16
	hasCRC       bool

	name, folder         []byte
	wideName, wideFolder []byte // UTF-16
	codePage             uint32

	crcAt int  // where the header's own CRC is, if it has one
	cut   bool // the data end within the header
	exact bool // its parts are as long as they should be together
}

// isLHAHeader reports whether a header may begin at an offset: the method stands
// where it should, and a level that there is.
func isLHAHeader(data []byte, at int) bool {
	if at < 0 || len(data)-at < lhaFixed {
		return false
	}
	b := data[at:]
	return b[2] == '-' && b[6] == '-' && b[20] <= lhaMaxLevel && lhaMethodID(b[3:6])
}

// lhaMethodID reports whether a method's three letters are of LHA, LArc, PMarc or
// PUT. What pms marks in PMarc's programs is no member.
func lhaMethodID(id []byte) bool {
	c := id[2]
	if c < '0' || c > '9' && c < 'a' || c > 'z' {
		return false
	}
	return id[0] == 'l' && (id[1] == 'h' || id[1] == 'z' || id[1] == 'Z') || id[0] == 'p' && id[1] == 'm' && c != 's'
}

// parseLHA reads the header at an offset where isLHAHeader has found one. ok is
// false when its lengths cannot be.
func parseLHA(data []byte, at int) (h lhaHeader, ok bool) {
	b, le := data[at:], binary.LittleEndian
	h = lhaHeader{
		at:     at,
		method: string(b[2:7]),
		level:  b[20],
		packed: int64(le.Uint32(b[7:])),
		size:   int64(le.Uint32(b[11:])),
		hasCRC: true,
	}
	switch h.level {
	case 0, 1:
		ok = h.parseOld(data)
	case 2:
		ok = h.parseNew(data, int(le.Uint16(b)), lhaFixed+3, 2)
	case 3:
		if len(b) < lhaFixed+7 {
			h.cut = true
			return h, true
		}
		ok = le.Uint16(b) == 4 && h.parseNew(data, int(min(le.Uint32(b[24:]), math.MaxInt32)), lhaFixed+7, 4)
	}
	return h, ok && h.packed >= 0
}

// parseOld reads a header of level 0 or 1: one byte of length, one of checksum,
// both of what is behind them.
func (h *lhaHeader) parseOld(data []byte) bool {
	size := int(data[h.at]) + 2
	if size < lhaFixed+1 {
		return false
	}
	if h.cut = size > len(data)-h.at; h.cut {
		return true
	}
	b := data[h.at : h.at+size]
	h.body = h.at + size
	name := int(b[21])
	rest := b[lhaFixed+1:]
	if name > len(rest) {
		return false
	}
	h.name, rest = rest[:name], rest[name:]
	switch {
	case len(rest) >= 2:
		h.crc = binary.LittleEndian.Uint16(rest)
	case h.level == 0 && len(rest) == 0: // LArc's have none
		h.hasCRC = false
	default:
		return false
	}
	if h.level == 0 {
		h.exact = true
		return true
	}
	if len(rest) < 5 {
		return false
	}
	h.os = rest[2]
	end, ok := h.extended(data, h.body-2, 2)
	h.packed -= int64(end - h.body) // it counts the extended headers
	h.body = end
	return ok
}

// parseNew reads a header of level 2 or 3: size is that of all of it, at which
// offset the length of the first extended header stands and how wide lengths are.
func (h *lhaHeader) parseNew(data []byte, size, first, width int) bool {
	b := data[h.at:]
	if len(b) < first {
		h.cut = true
		return true
	}
	h.crc, h.os = binary.LittleEndian.Uint16(b[21:]), b[23]
	if h.level == 2 && h.os == lhaOSK {
		size += 2
	}
	if size < first+width {
		return false
	}
	if h.cut = size > len(b); h.cut {
		return true
	}
	h.body = h.at + size
	end, ok := h.extended(data[:h.body], h.at+first, width)
	h.exact = h.exact && end >= h.body-1 // a byte may be there so that the size does not begin with 0
	return ok
}

// extended reads the extended headers: before each stands its length, 0 before
// none, in so many bytes. It gives where they end.
func (h *lhaHeader) extended(data []byte, at, width int) (end int, ok bool) {
	length := func() int {
		if width == 2 {
			return int(binary.LittleEndian.Uint16(data[at:]))
		}
		return int(min(binary.LittleEndian.Uint32(data[at:]), math.MaxInt32))
	}
	for range lhaExtensions {
		if len(data)-at < width {
			h.cut = h.level == 1
			return len(data), true
		}
		n := length()
		at += width
		if n == 0 {
			h.exact = true
			return at, true
		}
		if n <= width || n > len(data)-at {
			h.cut = h.level == 1 && n > width
			return at, h.level > 1 || h.cut
		}
		if data[at] == lhaExtCRC && n >= width+3 {
			h.crcAt = at + 1
		}
		h.extension(data[at], data[at+1:at+n-width])
		at += n - width
	}
	return at, false
}

// sound reports whether the checksums of a header are right: one byte of levels 0
// and 1, and the CRC among the extended headers, of which it is not part itself.
func (h *lhaHeader) sound(data []byte) bool {
	if h.level <= 1 {
		var sum byte
		for _, c := range data[h.at+2 : h.at+2+int(data[h.at])] {
			sum += c
		}
		if sum != data[h.at+1] {
			return false
		}
	}
	if h.crcAt == 0 {
		return true
	}
	crc := arcCRC(0, data[h.at:h.crcAt])
	crc = arcCRC(crc, []byte{0, 0})
	crc = arcCRC(crc, data[h.crcAt+2:h.body])
	return crc == binary.LittleEndian.Uint16(data[h.crcAt:])
}

// extension takes what an extended header says.
func (h *lhaHeader) extension(kind byte, b []byte) {
	le := binary.LittleEndian
	switch kind {
	case lhaExtName:
		h.name = b
	case lhaExtFolder:
		h.folder = b
	case lhaExtWideName:
		h.wideName = b
	case lhaExtWideFolder:
		h.wideFolder = b
	case lhaExtCodePage:
		if len(b) >= 4 {
			h.codePage = le.Uint32(b)
		}
	case lhaExtSizes:
		if len(b) >= 16 {
			h.packed = int64(min(le.Uint64(b), math.MaxInt64/4))
			h.size = int64(min(le.Uint64(b[8:]), math.MaxInt64/4))
		}
	}
}

// path is the member's name with its folders.
func (h *lhaHeader) path() string {
	name := h.decode(h.name)
	if len(h.wideName) > 0 {
		name = wide(h.wideName)
	}
	folder := h.decode(h.folder)
	if len(h.wideFolder) > 0 {
		folder = wide(h.wideFolder)
	}
	if folder != "" && !strings.HasSuffix(folder, "/") {
		folder += "/"
	}
	return cutName(folder + strings.ReplaceAll(name, `\`, "/"))
}

// lhaCodePages are the code pages that decodeName would not guess.
var lhaCodePages = map[uint32]*charmap.Charmap{
	437: charmap.CodePage437, 850: charmap.CodePage850, 852: charmap.CodePage852, 866: charmap.CodePage866,
	1250: charmap.Windows1250, 1251: charmap.Windows1251, 1252: charmap.Windows1252, 1253: charmap.Windows1253,
	1254: charmap.Windows1254, 1257: charmap.Windows1257, 28591: charmap.ISO8859_1,
}

// decode decodes a name in the code page that the header states. It ends at the
// first NUL: behind it some programs keep a comment.
func (h *lhaHeader) decode(raw []byte) string {
	raw, _, _ = bytes.Cut(raw, []byte{0})
	raw = bytes.ReplaceAll(raw, []byte{lhaFolderEnd}, []byte{'/'})
	if page := lhaCodePages[h.codePage]; page != nil {
		if s, err := page.NewDecoder().Bytes(raw[:min(len(raw), maxName)]); err == nil {
			return cutName(string(s))
		}
	}
	return decodeName(raw)
}

// wide decodes a name in UTF-16.
func wide(b []byte) string {
	var units []uint16
	for pair := range slices.Chunk(b[:min(len(b), maxName)&^1], 2) {
		u := binary.LittleEndian.Uint16(pair)
		if u == 0 {
			break
		}
		if u == lhaWideFolderEnd {
			u = '/'
		}
		units = append(units, u)
	}
	return cutName(string(utf16.Decode(units)))
}

// lhaSearcher looks for headers where one need not be: those only that are right
// in every respect.
type lhaSearcher struct {
	data   []byte
	summed int // bytes, in all
}

// from finds the first header from an offset on that begins before end.
func (s *lhaSearcher) from(at, end int) (int, bool) {
	end = min(end, len(s.data)-lhaFixed+1)
	for ; at < end; at++ {
		i := bytes.IndexByte(s.data[at+2:end+2], '-')
		if i < 0 {
			return 0, false
		}
		at += i
		if s.data[at+6] == '-' && isLHAHeader(s.data, at) && s.right(at) {
			return at, true
		}
	}
	return 0, false
}

// right reports whether a header of a method that is known stands at an offset.
func (s *lhaSearcher) right(at int) bool {
	h, ok := parseLHA(s.data, at)
	if !ok || h.cut || !h.exact || !lhaKnown(h.method) || len(h.name)+len(h.folder)+len(h.wideName) == 0 {
		return false
	}
	if s.summed > lhaSumming {
		return true
	}
	s.summed += h.body - at
	return h.sound(s.data)
}

// lhaStart finds the first header of an archive: at its beginning, be it
// damaged, or a right one in what follows.
func lhaStart(data []byte) (int, bool) {
	if isLHAHeader(data, 0) {
		return 0, true
	}
	s := lhaSearcher{data: data}
	return s.from(0, lhaSearch)
}

func lhaMatch(data []byte) bool {
	_, ok := lhaStart(data)
	return ok
}
