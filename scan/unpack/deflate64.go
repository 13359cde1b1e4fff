package unpack

import (
	"errors"
	"io"
)

// Deflate64 is deflate (RFC 1951) with a window of 64 KiB, two more distances
// and one longer match. PKWARE names it (APPNOTE, method 9) and does not describe
// it; what it differs in is widely known.
const (
	deflate64Window = 64 << 10
	deflateEnd      = 256
	deflateCodes    = 288 // literals and lengths, with two that are never used
)

// The bases and extra bits of lengths (RFC 1951, section 3.2.5). The last length
// has 16 extra bits instead of none.
var (
	deflate64Lengths    = [...]int{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 3}
	deflate64LengthBits = [...]uint{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 16}
)

// deflateOrder is the order of the code length codes (RFC 1951, section 3.2.7).
var deflateOrder = [...]int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

var deflateFixed, deflateFixedDistances = fixedCodes()

// fixedCodes makes the codes of blocks that bring none (section 3.2.6).
func fixedCodes() (literals, distances *prefixCode) {
	var lengths [deflateCodes]byte
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	literals, _, _ = newPrefixCode(lengths[:], false)
	var fives [32]byte
	for i := range fives {
		fives[i] = 5
	}
	distances, _, _ = newPrefixCode(fives[:], false)
	return literals, distances
}

// inflater64 unpacks Deflate64.
type inflater64 struct {
	bitStream
	window
	literals, distances *prefixCode // of the block; nil between two of them
	stored              int         // bytes left of a block that is stored
	last                bool
	nsis                bool // deflate, and a stored block may have its length once only
}

// newDeflate64 unpacks Deflate64. Where r is an io.ByteReader no byte behind the
// end is taken from it.
func newDeflate64(r io.Reader) io.Reader {
	d := &inflater64{bitStream: bitStream{in: bytesOf(r)}, window: newWindow(deflate64Window)}
	return &windowReader{window: &d.window, step: d.step}
}

// newNSISInflater unpacks deflate as the versions of NSIS write it.
func newNSISInflater(r io.Reader) io.Reader {
	d := &inflater64{bitStream: bitStream{in: bytesOf(r)}, window: newWindow(deflate64Window), nsis: true}
	return &windowReader{window: &d.window, step: d.step}
}

// step decodes one symbol, or what stands before a block.
func (d *inflater64) step() error {
	switch {
	case d.stored > 0:
		d.stored--
		c, err := d.bits(8)
		d.put(byte(c))
		if err != nil {
			d.written--
		}
		return err
	case d.literals == nil && d.last:
		return io.EOF
	case d.literals == nil:
		return d.block()
	}
	symbol, err := d.symbol(d.literals)
	switch {
	case err != nil:
		return err
	case symbol < deflateEnd:
		d.put(byte(symbol))
		return nil
	case symbol == deflateEnd:
		d.literals = nil
		return nil
	case symbol-deflateEnd > len(deflate64Lengths):
		return errCode
	}
	symbol -= deflateEnd + 1
	if d.nsis && symbol == len(deflate64Lengths)-1 {
		return d.copyOf(258)
	}
	extra, err := d.bits(deflate64LengthBits[symbol])
	if err != nil {
		return err
	}
	return d.copyOf(deflate64Lengths[symbol] + int(extra))
}

// copyOf decodes what follows the length of a match.
func (d *inflater64) copyOf(length int) error {
	distance, err := d.readDistance()
	if err != nil {
		return err
	}
	d.match(distance, length)
	return nil
}

// readDistance reads how far back a match is.
func (d *inflater64) readDistance() (int, error) {
	symbol, err := d.symbol(d.distances)
	if err != nil {
		return 0, err
	}
	distance := symbol + 1
	if symbol >= 4 { // section 3.2.5, which goes on in the same way
		n := uint(symbol/2 - 1)
		extra, err := d.bits(n)
		if err != nil {
			return 0, err
		}
		distance = (2+symbol&1)<<n + 1 + int(extra)
	}
	if distance > d.written {
		return 0, errDistance
	}
	return distance, nil
}

// block reads what stands before a block (section 3.2.3).
func (d *inflater64) block() error {
	head, err := d.bits(3)
	if err != nil {
		return err
	}
	d.last = head&1 != 0
	switch head >> 1 {
	case 0:
		return d.storedBlock()
	case 1:
		d.literals, d.distances = deflateFixed, deflateFixedDistances
		return nil
	case 2:
		return d.dynamicBlock()
	}
	return errors.New("invalid block")
}

func (d *inflater64) storedBlock() error {
	d.align()
	n, err := d.bits(16)
	if err != nil {
		return err
	}
	d.stored = int(n)
	switch err := d.need(16); {
	case err != nil && !d.nsis:
		return err
	case err == nil && d.held&0xffff == n^0xffff:
		_, err = d.bits(16)
		return err
	case d.nsis:
		return nil
	}
	return errors.New("invalid length of a stored block")
}

// dynamicBlock reads the codes of a block (section 3.2.7).
func (d *inflater64) dynamicBlock() error {
	head, err := d.bits(14)
	if err != nil {
		return err
	}
	literals, distances := int(head&31)+257, int(head>>5&31)+1
	var first [19]byte
	for _, i := range deflateOrder[:head>>10+4] {
		n, err := d.bits(3)
		if err != nil {
			return err
		}
		first[i] = byte(n)
	}
	codes, missing, err := newPrefixCode(first[:], false)
	if err != nil || missing > 0 {
		return errCodes
	}
	lengths, err := d.codeLengths(codes, literals+distances)
	if err != nil {
		return err
	}
	if lengths[deflateEnd] == 0 {
		return errCodes
	}
	if d.literals, missing, err = newPrefixCode(lengths[:literals], false); err == nil {
		var unused int
		d.distances, unused, err = newPrefixCode(lengths[literals:], false)
		if len(d.literals.symbols) > 1 && missing > 0 || err == nil && len(d.distances.symbols) > 1 && unused > 0 {
			err = errCodes
		}
	}
	return err
}

// codeLengths reads n lengths of codes.
func (d *inflater64) codeLengths(codes *prefixCode, n int) ([]byte, error) {
	lengths := make([]byte, 0, n)
	for len(lengths) < n {
		symbol, err := d.symbol(codes)
		if err != nil {
			return nil, err
		}
		if symbol < 16 {
			lengths = append(lengths, byte(symbol))
			continue
		}
		repeat := [...]struct {
			base int
			bits uint
		}{{3, 2}, {3, 3}, {11, 7}}[symbol-16]
		extra, err := d.bits(repeat.bits)
		if err != nil {
			return nil, err
		}
		c := byte(0)
		if symbol == 16 {
			if len(lengths) == 0 {
				return nil, errCodes
			}
			c = lengths[len(lengths)-1]
		}
		if repeat.base+int(extra) > n-len(lengths) {
			return nil, errCodes
		}
		for range repeat.base + int(extra) {
			lengths = append(lengths, c)
		}
	}
	return lengths, nil
}
