package unpack

import (
	"encoding/binary"
	"fmt"
	"io"
)

// What the decoders of LHA and ARJ share: bits in, a window of what came out.

// bitReader gives bits, the high ones of each byte first. Behind the end of the
// data it gives zeros: decoders look ahead, and some archives lack a last byte.
type bitReader struct {
	data  []byte        // what is not in bits yet
	more  func() []byte // what follows data, nothing at the end; may be nil
	bits  uint64        // the next bits, from the highest down
	count int           // how many of bits are there; what is below is zero, or the same that data gives next
	past  int           // bytes given behind the end
}

// pastEnd is how many bits behind the end of the data a decoder may use up.
const pastEnd = 64

// fill makes at least 56 bits ready.
func (b *bitReader) fill() {
	if len(b.data) < 8 {
		b.fillSlowly()
		return
	}
	b.bits |= binary.BigEndian.Uint64(b.data) >> b.count
	n := (63 - b.count) >> 3
	b.data = b.data[n:]
	b.count += n << 3
}

func (b *bitReader) fillSlowly() {
	for b.count <= 56 {
		if len(b.data) == 0 && b.more != nil {
			b.data = b.more()
		}
		if len(b.data) > 0 {
			b.bits |= uint64(b.data[0]) << (56 - b.count)
			b.data = b.data[1:]
		} else {
			b.past++
		}
		b.count += 8
	}
}

// take gives the next n bits, at most 32.
func (b *bitReader) take(n int) int {
	if b.count < n {
		b.fill()
	}
	v := b.bits >> (64 - n)
	b.bits <<= n
	b.count -= n
	return int(v)
}

// ended reports whether what was taken lies well behind the end of the data.
func (b *bitReader) ended() bool { return b.behind() > pastEnd }

// behind is how many of the bits that were taken stood behind the end; below 0
// there were none.
func (b *bitReader) behind() int { return b.past*8 - b.count }

const (
	// lzStep is how many bytes are decoded at a time, at least.
	lzStep = 64 << 10

	// lzLongest is more than any code of any method copies.
	lzLongest = 1 << 10

	// lzOverlap bounds how often the bytes of an archive are read, on average.
	lzOverlap = 8
)

// lzWindow holds what was decoded: the newest bytes, and before them as many as
// a copy can reach back to.
type lzWindow struct {
	buf        []byte
	reach      int
	start, end int   // of what has not been read yet
	slid       int64 // bytes that have left buf, or never were decoded
}

// lzDecoder decodes one member.
type lzDecoder interface {
	// decode decodes until w ends at upTo, or up to lzLongest bytes behind.
	decode(w *lzWindow, upTo int) error
}

// What decoders find in data that cannot be of their method.
var (
	errLZCode  = fmt.Errorf("%w: no such code", ErrDamaged)
	errLZTable = fmt.Errorf("%w: table of codes", ErrDamaged)
	errLZReach = fmt.Errorf("%w: copy from before the window", ErrDamaged)
	errLZEnd   = fmt.Errorf("%w: cut short", ErrDamaged)
)

// reset empties the window. Before the first byte stand reach bytes of blank.
func (w *lzWindow) reset(reach int, blank byte) {
	size := reach + max(reach, lzStep) + lzLongest
	if cap(w.buf) < size {
		w.buf = make([]byte, size)
	}
	*w = lzWindow{buf: w.buf[:size], reach: reach, start: reach, end: reach, slid: int64(-reach)}
	for i := range w.buf[:reach] {
		w.buf[i] = blank
	}
}

// limit is where decoding stops for what is there to be read.
func (w *lzWindow) limit() int { return len(w.buf) - lzLongest }

// slide makes room, once everything has been read.
func (w *lzWindow) slide() {
	if w.end < w.limit() {
		return
	}
	gone := w.end - w.reach
	copy(w.buf, w.buf[gone:w.end])
	w.slid += int64(gone)
	w.start, w.end = w.reach, w.reach
}

// total is how many bytes have been decoded.
func (w *lzWindow) total() int64 { return w.slid + int64(w.end) }

func (w *lzWindow) put(b byte) {
	w.buf[w.end] = b
	w.end++
}

// copy repeats what stands distance bytes back, at least 1.
func (w *lzWindow) copy(distance, length int) error {
	if distance > w.reach {
		return errLZReach
	}
	from, to := w.buf[w.end-distance:], w.buf[w.end:w.end+length]
	if distance >= length {
		copy(to, from)
	} else {
		for i := range to {
			to[i] = from[i]
		}
	}
	w.end += length
	return nil
}

// lzReader gives the bytes of one member, as many as it is said to have.
type lzReader struct {
	window  *lzWindow
	decoder lzDecoder
	left    int64
	err     error // tell it when everything before it has been read
}

// Read implements io.Reader.
func (r *lzReader) Read(p []byte) (int, error) {
	w := r.window
	for w.start == w.end && r.err == nil {
		if r.left <= 0 {
			r.err = io.EOF
			break
		}
		w.slide()
		before := w.end
		r.err = r.decoder.decode(w, int(min(int64(w.limit()), int64(w.end)+r.left)))
		if over := int64(w.end-before) - r.left; over > 0 {
			w.end -= int(over)
		}
		r.left -= int64(w.end - before)
	}
	n := copy(p, w.buf[w.start:w.end])
	w.start += n
	if n == 0 && len(p) > 0 {
		return 0, r.err
	}
	return n, nil
}
