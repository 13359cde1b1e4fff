package unpack

import (
	"encoding/binary"
	"fmt"
)

// xpressDecoder unpacks XPRESS with a Huffman code ([MS-XCA], section 2.2), as WIM
// images have it: in chunks of at most 64 KiB.
type xpressDecoder struct {
	tree lzxTree
	in   []byte
	bits uint64 // the lowest have are what has been taken out of in
	have uint
}

const (
	xpressChunk    = 64 << 10
	xpressSymbols  = 512
	xpressMinMatch = 3
)

var errXPRESS = fmt.Errorf("%w: XPRESS", ErrDamaged)

func newXPRESSDecoder() *xpressDecoder { return &xpressDecoder{tree: newLZXTree(xpressSymbols)} }

// chunk unpacks in into out. It returns how much of it was unpacked before an error.
func (d *xpressDecoder) chunk(in, out []byte) (n int, err error) {
	if len(in) < xpressSymbols/2 {
		return 0, errShort
	}
	for i, b := range in[:xpressSymbols/2] {
		d.tree.lens[2*i], d.tree.lens[2*i+1] = b&15, b>>4
	}
	if !d.tree.build() {
		return 0, errXPRESS
	}
	d.in, d.bits, d.have = in[xpressSymbols/2:], 0, 0
	for n < len(out) {
		if d.have < 16 && !d.refill() && d.have == 0 {
			return n, errShort
		}
		symbol, bits := d.tree.find(uint32(d.bits<<16>>d.have) & 0xffff)
		if symbol < 0 || bits > d.have {
			return n, errXPRESS
		}
		d.have -= bits
		if symbol < 256 {
			out[n] = byte(symbol)
			n++
			continue
		}
		length, distance, ok := d.match(symbol - 256)
		if !ok || distance > n || length > len(out)-n {
			return n, errXPRESS
		}
		for range length {
			out[n] = out[n-distance]
			n++
		}
	}
	return n, nil
}

// refill takes a word of 16 bits, its low byte first. There is none behind the end.
func (d *xpressDecoder) refill() bool {
	if len(d.in) < 2 {
		return false
	}
	d.bits = d.bits<<16 | uint64(binary.LittleEndian.Uint16(d.in))
	d.in, d.have = d.in[2:], d.have+16
	return true
}

// match reads the rest of a match. What is more of its length stands as bytes behind
// the words that have been taken.
func (d *xpressDecoder) match(symbol int) (length, distance int, ok bool) {
	if d.have < 16 {
		d.refill()
	}
	bits := uint(symbol >> 4)
	if bits > d.have {
		return 0, 0, false
	}
	d.have -= bits
	distance = 1<<bits | int(d.bits>>d.have)&(1<<bits-1)
	length = symbol & 15
	if length < 15 {
		return length + xpressMinMatch, distance, true
	}
	if len(d.in) < 1 {
		return 0, 0, false
	}
	length, d.in = 15+int(d.in[0]), d.in[1:]
	if length == 15+255 {
		if len(d.in) < 2 {
			return 0, 0, false
		}
		length, d.in = int(binary.LittleEndian.Uint16(d.in)), d.in[2:]
	}
	return length + xpressMinMatch, distance, true
}
