package unpack

import (
	"errors"
	"io"
)

// The codes of PKWARE's Data Compression Library are fixed. What they are, and
// how they are used, was found out by others: Ben Rudiak-Gould described it in
// comp.compression on 2001-08-13. Each byte below stands for some symbols in a
// row: the upper half is their number less one, the lower the length of their codes.
var (
	dclLiteralRuns = [...]byte{
		11, 124, 8, 7, 28, 7, 188, 13, 76, 4, 10, 8, 12, 10, 12, 10, 8, 23, 8, 9, 7, 6, 7, 8, 7, 6, 55, 8, 23, 24, 12, 11, 7, 9,
		11, 12, 6, 7, 22, 5, 7, 24, 6, 11, 9, 6, 7, 22, 7, 11, 38, 7, 9, 8, 25, 11, 8, 11, 9, 12, 8, 12, 5, 38, 5, 38, 5, 11,
		7, 5, 6, 21, 6, 10, 53, 8, 7, 24, 10, 27, 44, 253, 253, 253, 252, 252, 252, 13, 12, 45, 12, 45, 12, 61, 12, 45, 44, 173,
	}
	dclLengthRuns   = [...]byte{2, 35, 36, 53, 38, 23}
	dclDistanceRuns = [...]byte{2, 20, 53, 230, 247, 151, 248}
)

// The bases and extra bits of lengths.
var (
	dclLengths    = [...]int{3, 2, 4, 5, 6, 7, 8, 9, 10, 12, 16, 24, 40, 72, 136, 264}
	dclLengthBits = [...]uint{0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}
)

// dclEnd is the length that ends the bytes.
const dclEnd = 519

var dclLiterals, dclLengthCode, dclDistances = dclCode(dclLiteralRuns[:]), dclCode(dclLengthRuns[:]), dclCode(dclDistanceRuns[:])

func dclCode(runs []byte) *prefixCode {
	var lengths []byte
	for _, v := range runs {
		for range v>>4 + 1 {
			lengths = append(lengths, v&15)
		}
	}
	h, _, _ := newPrefixCode(lengths, true)
	return h
}

// dclExploder unpacks what the library imploded.
type dclExploder struct {
	bitStream
	window
	ready   bool
	coded   bool // literals have a code
	lowBits uint // of a distance that are not in its code, but for the shortest matches
}

func newDCLExploder(in io.ByteReader) io.Reader {
	x := &dclExploder{bitStream: bitStream{in: in}, window: newWindow(4 << 10)}
	return &windowReader{window: &x.window, step: x.step}
}

// step reads a literal or a match.
func (x *dclExploder) step() error {
	if !x.ready {
		x.ready = true
		return x.readHead()
	}
	match, err := x.bits(1)
	switch {
	case err != nil:
		return err
	case match == 1:
		return x.readMatch()
	case x.coded:
		v, err := x.symbol(dclLiterals)
		if err == nil {
			x.put(byte(v))
		}
		return err
	}
	v, err := x.bits(8)
	if err == nil {
		x.put(byte(v))
	}
	return err
}

func (x *dclExploder) readHead() error {
	head, err := x.bits(16)
	coded, low := head&0xff, head>>8
	if err == nil && (coded > 1 || low < 4 || low > 6) {
		return errors.New("invalid head")
	}
	x.coded, x.lowBits = coded == 1, uint(low)
	return err
}

func (x *dclExploder) readMatch() error {
	symbol, err := x.symbol(dclLengthCode)
	if err != nil {
		return err
	}
	extra, err := x.bits(dclLengthBits[symbol])
	if err != nil {
		return err
	}
	length := dclLengths[symbol] + int(extra)
	if length == dclEnd {
		return io.EOF
	}
	width := x.lowBits
	if length == 2 {
		width = 2
	}
	high, err := x.symbol(dclDistances)
	if err != nil {
		return err
	}
	low, err := x.bits(width)
	if err != nil {
		return err
	}
	distance := high<<width + int(low) + 1
	if distance > x.written {
		return errDistance
	}
	x.match(distance, length)
	return nil
}

// explodedDCL reads what the library imploded.
func (z *zipReader) explodedDCL(_ *zipEntry, in zipInput) (io.Reader, error) {
	return newDCLExploder(in), nil
}
