package unpack

import "io"

// window holds the last bytes that a decoder has written, for matches to be
// copied from, and hands them out. What was before the first byte reads as
// zeros.
type window struct {
	ring     []byte
	written  int
	read     int
	length   int // of the match that is being copied: what is left of it
	distance int
}

// newWindow makes a window for distances up to size, a power of two.
func newWindow(size int) window { return window{ring: make([]byte, 2*size)} }

// room is how many bytes may be written before some are read.
func (w *window) room() int { return len(w.ring)/2 - (w.written - w.read) }

// put writes a byte.
func (w *window) put(c byte) {
	w.ring[w.written&(len(w.ring)-1)] = c
	w.written++
}

// match says what is to be copied next.
func (w *window) match(distance, length int) { w.distance, w.length = distance, length }

// copy goes on with the match as far as there is room.
func (w *window) copy() {
	n := min(w.length, w.room())
	w.length -= n
	mask := len(w.ring) - 1
	for range n {
		w.ring[w.written&mask] = w.ring[(w.written-w.distance)&mask]
		w.written++
	}
}

// take hands out what can be in one piece.
func (w *window) take(p []byte) int {
	from := w.read & (len(w.ring) - 1)
	to := min(from+w.written-w.read, len(w.ring))
	n := copy(p, w.ring[from:to])
	w.read += n
	return n
}

// windowReader hands out what a decoder writes into a window, one step after the other.
type windowReader struct {
	*window
	step func() error // writes a byte, or says what is to be copied; io.EOF at the end
	err  error
}

// Read implements io.Reader.
func (r *windowReader) Read(p []byte) (int, error) {
	for {
		if n := r.take(p); n > 0 || len(p) == 0 {
			return n, nil
		}
		if r.err != nil {
			return 0, r.err
		}
		for r.err == nil && r.room() > 0 {
			if r.length > 0 {
				r.copy()
			} else {
				r.err = r.step()
			}
		}
	}
}

// byteReader gives r byte by byte.
type byteReader struct {
	io.Reader
	buffer [4 << 10]byte
	held   []byte
}

// ReadByte implements io.ByteReader.
func (r *byteReader) ReadByte() (byte, error) {
	for idle := 0; len(r.held) == 0; idle++ {
		n, err := r.Reader.Read(r.buffer[:])
		if r.held = r.buffer[:n]; n == 0 && err != nil {
			return 0, err
		}
		if idle == 100 {
			return 0, io.ErrNoProgress
		}
	}
	c := r.held[0]
	r.held = r.held[1:]
	return c, nil
}

// bytesOf gives r as an io.ByteReader. One that is none already is read ahead of
// what is needed.
func bytesOf(r io.Reader) io.ByteReader {
	if b, ok := r.(io.ByteReader); ok {
		return b
	}
	return &byteReader{Reader: r}
}
