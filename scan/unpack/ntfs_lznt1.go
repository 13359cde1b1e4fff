package unpack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

var errLZNT1 = fmt.Errorf("%w: compressed bytes", ErrDamaged)

var errNTFSCut = fmt.Errorf("%w: cut short", ErrDamaged)

// lznt1Chunk is how many bytes are compressed at a time (MS-XCA, section 2.5).
const lznt1Chunk = 4096

// lznt1 decompresses chunks into out: how many bytes are there then.
func lznt1(out, in []byte) (n int, err error) {
	for len(in) >= 2 && n < len(out) {
		header := binary.LittleEndian.Uint16(in)
		size := int(header&0xfff) + 1
		if header == 0 {
			return n, nil
		}
		if in = in[2:]; header>>12&7 != 3 { // the signature
			return n, errLZNT1
		}
		if size > len(in) {
			size, err = len(in), errLZNT1
		}
		chunk := out[n:min(n+lznt1Chunk, len(out))]
		k := 0
		if header&0x8000 == 0 {
			k = copy(chunk, in[:size])
		} else {
			var failed error
			if k, failed = lznt1Tokens(chunk, in[:size]); failed != nil {
				err = failed
			}
		}
		if in = in[size:]; len(in) < 2 || err != nil {
			return n + k, err
		}
		clear(chunk[k:]) // but for the last one chunks are full
		n += len(chunk)
	}
	return n, err
}

// lznt1Tokens decompresses one chunk. The further on, the more bits of a match are
// for its distance.
func lznt1Tokens(out, in []byte) (n int, err error) {
	for len(in) > 0 {
		flags := in[0]
		in = in[1:]
		for i := 0; i < 8 && len(in) > 0; i++ {
			if n == len(out) {
				return n, nil
			}
			if flags>>i&1 == 0 {
				out[n] = in[0]
				n++
				in = in[1:]
				continue
			}
			if len(in) < 2 || n == 0 {
				return n, errLZNT1
			}
			lengthBits := 16 - max(4, bits.Len(uint(n-1)))
			token := int(binary.LittleEndian.Uint16(in))
			in = in[2:]
			distance, length := token>>lengthBits+1, token&(1<<lengthBits-1)+3
			if distance > n {
				return n, errLZNT1
			}
			for ; length > 0 && n < len(out); length-- {
				out[n] = out[n-distance]
				n++
			}
		}
	}
	return n, nil
}

// ntfsUnits reads a stream of which units are compressed, each by itself: those
// that end in a hole. A unit that is all there is not.
type ntfsUnits struct {
	in      imageBody
	unit    int
	left    int64 // bytes that are still to come
	raw     []byte
	buffer  []byte
	zeros   int64  // of holes, that have been handed out
	out     []byte // of the buffer, what has not been handed out
	problem error
}

// Read implements io.Reader.
func (u *ntfsUnits) Read(p []byte) (int, error) {
	if u.left <= 0 {
		return 0, firstError(u.problem, io.EOF)
	}
	for len(u.out) == 0 {
		if err := u.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p[:min(int64(len(p)), u.left)], u.out)
	u.out, u.left = u.out[n:], u.left-int64(n)
	return n, nil
}

// next unpacks a unit. Damage is told at the end, when what is behind it has been read.
func (u *ntfsUnits) next() error {
	if u.buffer == nil {
		u.raw, u.buffer = make([]byte, u.unit), make([]byte, u.unit)
	}
	u.skip()
	there, hole := u.unitBytes()
	switch {
	case there == 0 && hole == 0:
		return firstError(u.problem, errNTFSCut)
	case there == 0:
		clear(u.buffer)
		u.out = u.buffer[:hole]
		u.zeros += int64(hole)
		return nil
	case there == u.unit:
		u.out = u.raw
		return nil
	}
	n, err := lznt1(u.buffer, u.raw[:there])
	if err != nil && hole == 0 { // cut short, or never compressed
		u.out = u.raw[:there]
		u.problem = firstError(u.problem, err)
		return nil
	}
	u.problem = firstError(u.problem, err)
	clear(u.buffer[n:])
	u.out = u.buffer
	return nil
}

// skip leaves out a hole of many units, once enough zeros have been handed out.
func (u *ntfsUnits) skip() {
	if len(u.in.list) == 0 || u.in.list[0].at != imageHole || u.zeros < zerosKept {
		return
	}
	if n := (u.in.list[0].size - u.in.at) / int64(u.unit) * int64(u.unit); n > int64(u.unit) {
		u.in.at += n
		u.left -= n
		u.problem = firstError(u.problem, errZeros)
	}
}

// firstError is the first error of two that is one.
func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// unitBytes reads a unit: how many bytes are there, and how many in the hole behind them.
func (u *ntfsUnits) unitBytes() (there, hole int) {
	for there+hole < u.unit {
		for len(u.in.list) > 0 && u.in.at >= u.in.list[0].size {
			u.in.list, u.in.at = u.in.list[1:], 0
		}
		if len(u.in.list) == 0 {
			break
		}
		isHole := u.in.list[0].at == imageHole
		n, err := u.in.Read(u.raw[there+hole : u.unit])
		if errors.Is(err, io.EOF) {
			break
		}
		if isHole || hole > 0 { // what is behind a hole in a unit belongs to nothing
			hole += n
		} else {
			there += n
		}
	}
	return there, hole
}
