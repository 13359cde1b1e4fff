package unpack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// frameReader unpacks all frames of a file, of which each can be unpacked alone.
// Damage is told at the end, when what is behind it has been read as well.
type frameReader struct {
	data []byte
	file File
	at   int // of the next frame

	// open opens the frame at the beginning of rest, and says how long it is; 0
	// when there is none. A frame that is cut off comes with an error.
	open func(rest []byte) (r io.Reader, size int, err error)
	// magic is what frames begin with: behind damage the next one is looked for.
	magic []byte

	frame    io.Reader // nil between frames
	size     int
	cut      error
	damage   error // the first
	restarts int
}

// Read implements io.Reader.
func (r *frameReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.frame != nil || r.begin() {
		n, err := r.frame.Read(p)
		if err != nil {
			r.finish(err)
		}
		if n > 0 {
			return n, nil
		}
	}
	if r.damage != nil {
		return 0, r.damage
	}
	return 0, io.EOF
}

// begin starts on the next frame; there may be none.
func (r *frameReader) begin() bool {
	for {
		rest := skipFrames(r.data[min(r.at, len(r.data)):], len(r.data))
		frame, size, err := r.open(rest)
		r.at = len(r.data) - len(rest)
		if frame != nil {
			r.frame, r.size, r.cut = frame, size, err
			return true
		}
		if err != nil {
			r.fail(err)
			r.restart()
			continue
		}
		if n := min(len(rest), len(r.magic)); n > 0 && len(rest) < 8 && bytes.Equal(rest[:n], r.magic[:n]) {
			r.fail(errShort)
		}
		return false
	}
}

// finish ends a frame that could be read up to err.
func (r *frameReader) finish(err error) {
	r.frame = nil
	if err == io.EOF {
		err = r.cut
	}
	if err == nil {
		r.file.read(r.at, r.at+r.size)
		r.at += r.size
		return
	}
	if r.cut != nil && !errors.Is(err, ErrLimit) {
		err = r.cut
	}
	r.fail(err)
	r.restart()
}

// restart looks for the next frame behind damage.
func (r *frameReader) restart() {
	at := min(r.at+1, len(r.data))
	i := bytes.Index(r.data[at:], r.magic)
	if r.restarts++; i < 0 || r.restarts > maxRestarts {
		r.at = len(r.data)
		return
	}
	r.at = at + i
}

// fail notes damage. What decoders say of it is passed on.
func (r *frameReader) fail(err error) {
	if r.damage != nil {
		return
	}
	if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrLimit) && !errors.Is(err, ErrUnsupported) {
		err = fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	r.damage = err
}

// skipFrames passes over up to n of the frames that zstd and LZ4 have for what is
// not content (RFC 8878, section 3.1.2), and what is cut off of the last.
func skipFrames(b []byte, n int) []byte {
	for ; n > 0 && len(b) >= 8 && binary.LittleEndian.Uint32(b)&^0xf == 0x184d2a50; n-- {
		size := 8 + int64(binary.LittleEndian.Uint32(b[4:]))
		b = b[min(size, int64(len(b))):]
	}
	return b
}

// contained reads from a library's decoder. Its panic is damage: what was read
// before it is kept, as the walk would do, but the frames behind it are read too.
type contained struct{ r io.Reader }

// Read implements io.Reader.
func (c contained) Read(p []byte) (n int, err error) {
	defer func() {
		if p := recover(); p != nil {
			n, err = 0, fmt.Errorf("%w: decoder: %v", ErrDamaged, p)
		}
	}()
	return c.r.Read(p)
}
