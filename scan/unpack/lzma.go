package unpack

import (
	"encoding/binary"
	"io"
	"iter"
	"math"
	"math/bits"
)

// lzmaOpener opens files of LZMA alone, as "lzma" and "xz --format=lzma" make
// them. They have no magic number: a header of 13 bytes (lzma-file-format.txt of
// XZ Utils, section 1.1), of which nearly all values are unlikely.
var lzmaOpener = opener{name: "lzma", match: lzmaMatch, entries: lzmaEntries}

const lzmaHeaderSize = 13

// lzmaMatch asks for what xz asks for, and that the first symbols make sense: the
// first byte of the code is 0 always, and the first symbol is a literal.
func lzmaMatch(data []byte) bool {
	if len(data) < lzmaHeaderSize+5 || data[0] >= 9*5*5 || data[13] != 0 || data[14] >= 0x80 {
		return false
	}
	props := int(data[0])
	if props%9+props/9%5 > 4 {
		return false
	}
	dict, size := binary.LittleEndian.Uint32(data[1:]), binary.LittleEndian.Uint64(data[5:])
	if size != math.MaxUint64 && (size >= 1<<38 || size == 0) {
		return false
	}
	return isLZMADict(dict) && lzmaMakesSense(data)
}

// isLZMADict reports whether dictionaries have a size: a power of two, or one and its
// half, of 4 KiB or more.
func isLZMADict(n uint32) bool {
	ones := bits.OnesCount32(n)
	return n == math.MaxUint32 || n >= 4<<10 && (ones == 1 || ones == 2 && bits.OnesCount32(n+n&-n) == 1)
}

// lzmaMakesSense reports whether the first bytes can be unpacked.
func lzmaMakesSense(data []byte) bool {
	var some [64]byte
	r := openLZMA(data, nil)
	n, err := io.ReadFull(r, some[:])
	return err == nil || n > 0 && (err == io.ErrUnexpectedEOF || err == errShort)
}

// openLZMA makes a reader of a file that lzmaMatch knows.
func openLZMA(data []byte, m *memory) *lzmaReader {
	size := int64(binary.LittleEndian.Uint64(data[5:]))
	dict := binary.LittleEndian.Uint32(data[1:])
	return newLZMA(data[0], dict, size, rangeDecoder{in: data[lzmaHeaderSize:]}, m)
}

func lzmaEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		r := openLZMA(f.Data, f.memory)
		defer r.release()
		yield(member{name: nameLess(f.Name, ".lzma", "", ".tlz", ".tar"), body: r, size: r.left}, nil)
	}
}
