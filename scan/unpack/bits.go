package unpack

import (
	"errors"
	"io"
)

// bitStream reads bits, the lowest of each byte first. It takes no byte before
// it needs one: what reads behind it goes on at the right place.
type bitStream struct {
	in   io.ByteReader
	held uint32 // bits that have been taken and not read, the next one lowest
	n    uint   // how many
}

// need takes bytes until n bits are held, at most 24.
func (b *bitStream) need(n uint) error {
	for b.n < n {
		c, err := b.in.ReadByte()
		if err != nil {
			return unexpected(err)
		}
		b.held |= uint32(c) << b.n
		b.n += 8
	}
	return nil
}

// bits reads n bits, at most 24.
func (b *bitStream) bits(n uint) (uint32, error) {
	if err := b.need(n); err != nil {
		return 0, err
	}
	v := b.held & (1<<n - 1)
	b.held >>= n
	b.n -= n
	return v, nil
}

// align passes over what is left of a byte.
func (b *bitStream) align() {
	b.held >>= b.n % 8
	b.n -= b.n % 8
}

// unexpected says of the end of the compressed bytes that it came too early.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

var (
	errCode     = errors.New("invalid code")
	errCodes    = errors.New("invalid code lengths")
	errDistance = errors.New("invalid distance")
)

const (
	maxCodeBits  = 16
	fastCodeBits = 9
)

// prefixCode is a canonical prefix code: shorter codes come before longer ones, of
// the same length those of lower symbols.
type prefixCode struct {
	fast    [1 << fastCodeBits]uint16 // by the next bits: symbol<<4 | length; 0 for a longer code
	count   [maxCodeBits + 1]int      // codes of each length
	symbols []uint16                  // in the order of their codes
	invert  uint32                    // 1 when each bit of a code is the other one
}

// newPrefixCode makes a code from the length of each symbol's, 0 for none. missing
// says how much room for codes is left over, in codes of the longest length.
func newPrefixCode(lengths []byte, invert bool) (h *prefixCode, missing int, err error) {
	h = &prefixCode{}
	if invert {
		h.invert = 1
	}
	for _, n := range lengths {
		h.count[n]++
	}
	h.count[0] = 0
	missing = 1
	for _, n := range h.count[1:] {
		if missing = 2*missing - n; missing < 0 {
			return nil, 0, errCodes
		}
	}
	var code [maxCodeBits + 2]uint32 // the next one of each length
	var place [maxCodeBits + 2]int
	for length, n := range h.count {
		code[length+1] = (code[length] + uint32(n)) << 1
		place[length+1] = place[length] + n
	}
	h.symbols = make([]uint16, place[maxCodeBits+1])
	for symbol, n := range lengths {
		if n > 0 {
			h.symbols[place[n]] = uint16(symbol)
			h.remember(code[n], uint(n), uint16(symbol))
			place[n]++
			code[n]++
		}
	}
	return h, missing, nil
}

// remember notes a short code for every value of the bits behind it.
func (h *prefixCode) remember(code uint32, length uint, symbol uint16) {
	if length > fastCodeBits {
		return
	}
	reversed := uint32(0)
	for i := range length {
		reversed |= (code>>i&1 ^ h.invert) << (length - 1 - i)
	}
	for i := reversed; i < 1<<fastCodeBits; i += 1 << length {
		h.fast[i] = symbol<<4 | uint16(length)
	}
}

// symbol reads the next symbol.
func (b *bitStream) symbol(h *prefixCode) (int, error) {
	for {
		e := h.fast[b.held&(1<<fastCodeBits-1)]
		if length := uint(e & 15); length > 0 && length <= b.n {
			b.held >>= length
			b.n -= length
			return int(e >> 4), nil
		}
		if b.n >= fastCodeBits {
			return b.longSymbol(h)
		}
		if err := b.need(b.n/8*8 + 8); err != nil {
			return b.lastSymbol(h, err)
		}
	}
}

// longSymbol reads a symbol bit by bit.
func (b *bitStream) longSymbol(h *prefixCode) (int, error) {
	code, first, index := 0, 0, 0
	for length := uint(1); length <= maxCodeBits; length++ {
		if err := b.need(length); err != nil {
			return 0, err
		}
		code |= int(b.held>>(length-1)&1 ^ h.invert)
		if n := h.count[length]; code-first < n {
			b.held >>= length
			b.n -= length
			return int(h.symbols[index+code-first]), nil
		} else {
			index += n
			first += n
		}
		first <<= 1
		code <<= 1
	}
	return 0, errCode
}

// lastSymbol reads a symbol where err ends the bits: there may be just enough.
func (b *bitStream) lastSymbol(h *prefixCode, err error) (int, error) {
	symbol, failed := b.longSymbol(h)
	if failed == io.ErrUnexpectedEOF {
		failed = err
	}
	return symbol, failed
}
