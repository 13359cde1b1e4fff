package unpack

import (
	"bytes"
	"encoding/binary"
	"io"
	"iter"
	"unicode"
	"unicode/utf8"

	"github.com/andybalholm/brotli"
)

// brotliOpener opens a file that is a stream of Brotli (RFC 7932, whose section numbers
// these are). The format has no signature and no checksum, so that what looks like it is
// tried; other bytes are found out within the first few.
var brotliOpener = opener{name: "brotli", match: brotliMatch, entries: brotliEntries}

const (
	// brotliTrial is how many unpacked bytes tell a stream from other bytes.
	brotliTrial = 4 << 10

	// brotliSure is how many unpacked bytes leave no doubt: what comes then is damage.
	brotliSure = 64 << 10

	// brotliStored is how far what is not compressed is passed over to find something
	// that is.
	brotliStored = 64 << 20

	// brotliWindow is the largest window (section 9.1).
	brotliWindow = 16 << 20
)

// brotliMatch reports whether a stream begins here of which the first bytes can be
// unpacked.
func brotliMatch(data []byte) bool {
	if len(data) < 4 || isPlainText(data) {
		return false
	}
	at, ok := brotliPacked(data)
	if !ok {
		return false
	}
	trial := int64(at) + brotliTrial
	n, err := io.CopyN(io.Discard, contained{brotli.NewReader(bytes.NewReader(data))}, trial)
	return n == trial || n > 0 && err == io.EOF
}

// isPlainText reports whether data begin as a text does: no stream of Brotli is in
// letters alone.
func isPlainText(data []byte) bool {
	head := data[:min(len(data), 64)]
	for len(head) > 0 {
		r, n := utf8.DecodeRune(head)
		cut := len(data) > 64 && !utf8.FullRune(head)
		if !cut && (r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t') {
			return false
		}
		head = head[n:]
	}
	return true
}

// brotliPacked finds the first meta-block that is compressed, behind those that are not
// (section 9.2), or the end of a stream without any. ok is false where the data cannot
// be a stream.
func brotliPacked(data []byte) (at int, ok bool) {
	bit, ok := brotliWindowBits(data)
	for ok {
		at = bit / 8
		if at > brotliStored {
			return at, true
		}
		h := brotliHeader{data: data, bit: bit}
		if kind := h.read(); kind != brotliSkipped {
			return at, kind == brotliCompressed || kind == brotliLast && at > 0
		}
		bit, ok = 8*h.end, h.end < len(data)
	}
	return 0, false
}

// brotliWindowBits passes over the size of the window, which a stream begins with.
func brotliWindowBits(data []byte) (bits int, ok bool) {
	switch b := data[0]; {
	case b&1 == 0:
		return 1, true
	case b&0xe != 0:
		return 4, true
	default:
		return 7, b&0x70 != 0x10
	}
}

// Kinds of meta-blocks.
const (
	brotliInvalid = iota
	brotliCompressed
	brotliSkipped // its bytes are not compressed, or no content
	brotliLast    // and empty
)

// brotliHeader reads the header of a meta-block.
type brotliHeader struct {
	data []byte
	bit  int
	end  int // of the meta-block, where it is skipped
}

// bits reads up to 24 bits; there are zeros behind the end.
func (h *brotliHeader) bits(n int) int {
	var b [4]byte
	copy(b[:], tail(h.data, int64(h.bit/8)))
	v := binary.LittleEndian.Uint32(b[:]) >> (h.bit % 8)
	h.bit += n
	return int(v & (1<<n - 1))
}

// read reads it and gives the kind of the meta-block.
func (h *brotliHeader) read() int {
	last := h.bits(1) == 1
	if last && h.bits(1) == 1 {
		return brotliLast
	}
	nibbles := 4 + h.bits(2)
	if nibbles == 7 {
		return h.metadata(last)
	}
	size := 0
	for i := range nibbles {
		v := h.bits(4)
		if v == 0 && i >= 4 && i == nibbles-1 {
			return brotliInvalid
		}
		size |= v << (4 * i)
	}
	if last || h.bits(1) == 0 {
		return brotliCompressed
	}
	return h.skip(size + 1)
}

// metadata reads the header of a meta-block without content.
func (h *brotliHeader) metadata(last bool) int {
	reserved, n, size := h.bits(1), h.bits(2), 0
	for i := range n {
		v := h.bits(8)
		if v == 0 && i > 0 && i == n-1 {
			return brotliInvalid
		}
		size |= v << (8 * i)
	}
	if reserved != 0 || last {
		return brotliInvalid
	}
	if n > 0 {
		size++
	}
	return h.skip(size)
}

// skip passes over bytes that begin with the next whole one.
func (h *brotliHeader) skip(size int) int {
	if pad := -h.bit & 7; h.bits(pad) != 0 {
		return brotliInvalid
	}
	h.end = h.bit/8 + size
	if h.end > len(h.data) {
		return brotliInvalid
	}
	return brotliSkipped
}

func brotliEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		m := member{name: nameLess(f.Name, ".br", "", ".tbr", ".tar")}
		window := int64(min(brotliWindow, max(len(f.Data), 1<<10)*64))
		if err := f.memory.take(window); err != nil {
			yield(m, err)
			return
		}
		defer f.memory.give(window)
		m.body = &brotliReader{file: f, r: contained{brotli.NewReader(bytes.NewReader(f.Data))}}
		yield(m, nil)
	}
}

// brotliReader unpacks a stream. Bytes that only looked like one end without an error.
type brotliReader struct {
	file File
	r    io.Reader
	n    int64 // bytes that have been unpacked
}

// Read implements io.Reader.
func (b *brotliReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.n += int64(n)
	switch {
	case err == io.EOF:
		b.file.read(0, len(b.file.Data))
	case err != nil && b.n < brotliSure:
		err = io.EOF
	case err == io.ErrUnexpectedEOF:
		err = errShort
	}
	return n, err
}
