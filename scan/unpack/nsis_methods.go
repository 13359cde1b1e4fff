package unpack

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/flate"
)

// nsisMethod is how the items of an installer are packed.
type nsisMethod int

const (
	nsisDeflate nsisMethod = iota
	nsisBzip2
	nsisLZMA
	nsisUnknown // each item's bytes have to show it
)

// nsisMethodOf tells a method by the first packed bytes. Deflate has none to know
// it by.
func nsisMethodOf(b []byte) nsisMethod {
	switch {
	case isNSISLZMA(b) || len(b) > 1 && b[0] <= 1 && isNSISLZMA(b[1:]):
		return nsisLZMA
	case len(b) > 1 && b[0] == nsisBzip2Block && b[1] < 14: // 14 << 16 is more than a block can have
		return nsisBzip2
	}
	return nsisDeflate
}

// isNSISLZMA reports whether b begins with the properties of LZMA, the size of its
// dictionary and its code, whose first byte is 0 always.
func isNSISLZMA(b []byte) bool {
	if len(b) < 7 || b[0] >= 9*5*5 || b[5] != 0 || b[6] >= 0x80 {
		return false
	}
	dict := binary.LittleEndian.Uint32(b[1:])
	return isLZMADict(dict) || b[0] == 0x5d && dict&0xffff == 0
}

// nsisStream gives unpacked bytes. The zero value is there to be released.
type nsisStream struct {
	io.Reader
	lzma *lzmaReader
}

// release gives the dictionary back.
func (s nsisStream) release() {
	if s.lzma != nil {
		s.lzma.release()
	}
}

// open unpacks b.
func (m nsisMethod) open(b []byte, memory *memory) (s nsisStream) {
	switch m {
	case nsisBzip2:
		s.Reader = &nsisBunzip{bits: bitReader{data: b}}
	case nsisLZMA:
		filtered := len(b) > 1 && b[0] <= 1 && isNSISLZMA(b[1:]) // the byte says whether the filter for x86 was used
		filter := filtered && b[0] == 1
		if filtered {
			b = b[1:]
		}
		if len(b) < 5 {
			return nsisStream{Reader: &lzmaReader{err: errShort}}
		}
		s.lzma = newLZMA(b[0], binary.LittleEndian.Uint32(b[1:]), -1, rangeDecoder{in: b[5:]}, memory)
		s.Reader = s.lzma
		if filter {
			s.Reader = newBranchReader(s.lzma, new(x86Filter), 0)
		}
	default:
		s.Reader = &nsisInflater{packed: b, r: flate.NewReader(bytes.NewReader(b))}
	}
	return s
}

// nsisInflater unpacks deflate. Blocks that are stored have their length once only
// in what some versions write: where the library's decoder fails, an own one that
// reads both goes on.
type nsisInflater struct {
	packed []byte
	r      io.Reader
	n      int64
	own    bool
}

// Read implements io.Reader.
func (i *nsisInflater) Read(p []byte) (int, error) {
	n, err := contained{i.r}.Read(p)
	i.n += int64(n)
	if err == nil || err == io.EOF || i.own {
		return n, shortEnd(err)
	}
	i.own = true
	i.r = newNSISInflater(bytes.NewReader(i.packed))
	if _, failed := io.CopyN(io.Discard, i.r, i.n); failed != nil {
		return n, err
	}
	return n, nil
}

// shortEnd is errShort where the compressed bytes ended too early.
func shortEnd(err error) error {
	if err == io.ErrUnexpectedEOF {
		return errShort
	}
	return err
}
