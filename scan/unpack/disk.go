package unpack

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zlib"
)

// diskWhole is up to which size in bytes a virtual disk is handed out with all its
// zeros, so that what lies on it stands at its place. The walk would cut them beyond it.
const diskWhole = zerosFrom

// diskStep is what the zeros that are left out of a larger disk come to a multiple
// of, so that what follows them is as well aligned as it was.
const diskStep = 1 << 20

// errDiskOverlap is the error of an image whose blocks lie over one another.
var errDiskOverlap error = &LimitError{"overlap"}

// diskPiece is a stretch of a virtual disk that the image holds.
type diskPiece struct {
	at   int64     // on the disk
	data []byte    // as it stands in the image
	body io.Reader // unpacks it, when it does not
	size int64     // the most bytes that body may give
	err  error     // what is wrong with it
}

// diskReader hands out a virtual disk. Between the pieces there are zeros, and behind
// the last one as well, if the disk is not large. Damage is told at the end, when what
// is behind it has been read as well.
type diskReader struct {
	next func() (p diskPiece, ok bool) // the pieces in the order of the disk
	size int64                         // of the disk, as it is stated

	at     int64 // on the disk
	zeros  int64 // to hand out next
	piece  diskPiece
	ready  bool // piece has been asked for and not been begun
	ended  bool
	cut    bool // zeros have been left out
	damage error
}

// Read implements io.Reader.
func (r *diskReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		switch {
		case r.zeros > 0:
			n := int(min(int64(len(p)), r.zeros))
			clear(p[:n])
			r.zeros -= int64(n)
			return n, nil
		case !r.ready && len(r.piece.data) > 0:
			n := copy(p, r.piece.data)
			r.piece.data = r.piece.data[n:]
			return r.passed(n), nil
		case !r.ready && r.piece.body != nil:
			if n := r.unpack(p); n > 0 {
				return r.passed(n), nil
			}
		case r.ended:
			return 0, r.end()
		default:
			r.advance()
		}
	}
}

func (r *diskReader) passed(n int) int {
	r.at += int64(n)
	return n
}

// unpack reads the piece's body. What it has beyond its size is passed over, but its
// checksum, which may follow, is looked at.
func (r *diskReader) unpack(p []byte) int {
	body, probe := r.piece.body, [1]byte{}
	if r.piece.size == 0 {
		p = probe[:]
	} else {
		p = p[:min(int64(len(p)), r.piece.size)]
	}
	n, err := body.Read(p)
	if r.piece.size == 0 {
		n = 0
		r.piece.body = nil
	}
	r.piece.size -= int64(n)
	switch {
	case err == nil:
		return n
	case err == io.ErrUnexpectedEOF, err == io.EOF && r.piece.size > 0 && r.at+int64(n) < r.size:
		r.fail(errShort)
	case err != io.EOF:
		r.fail(err)
	}
	r.piece.body = nil
	return n
}

// advance asks for the next piece, or begins with it.
func (r *diskReader) advance() {
	if r.ready {
		r.ready = false
		return
	}
	p, ok := r.next()
	if !ok {
		r.ended, r.piece = true, diskPiece{}
		if r.size <= diskWhole {
			r.gap(r.size)
		}
		return
	}
	switch held := len(p.data) > 0 || p.body != nil; {
	case p.err != nil:
		r.fail(p.err)
	case held && p.at < r.at:
		r.fail(errDisk("blocks that lie over one another"))
	}
	if over := p.at + int64(len(p.data)) - r.size; over > 0 && over <= int64(len(p.data)) {
		if kept := int64(len(p.data)) - over; zeros(p.data[kept:]) { // a block that is longer than the disk
			p.data = p.data[:kept]
		}
	}
	if len(p.data) > 0 || p.body != nil {
		r.gap(p.at)
		r.piece, r.ready = p, true
	}
}

// gap sees to the zeros up to an offset on the disk.
func (r *diskReader) gap(to int64) {
	gap := to - r.at
	if gap <= 0 {
		return
	}
	r.at = to
	if to > diskWhole && gap > 2*diskStep {
		gap, r.cut = diskStep+gap%diskStep, true
	}
	r.zeros = gap
}

// end is how the disk ends.
func (r *diskReader) end() error {
	switch {
	case r.damage != nil:
		return r.damage
	case r.cut:
		return errZeros
	}
	return io.EOF
}

// fail notes an error; with a limit nothing more is read.
func (r *diskReader) fail(err error) {
	if r.damage == nil || isFinal(err) {
		r.damage = err
	}
	if isFinal(err) {
		r.next = func() (diskPiece, bool) { return diskPiece{}, false }
		r.size = 0
	}
}

// diskImage is the bytes of an image. It counts what has been taken from it: honest
// images hold nothing that is in two places of the disk.
type diskImage struct {
	data []byte
	used int64
}

// take gives n bytes from an offset on, fewer when the image ends before, with an error.
func (d *diskImage) take(at, n int64) ([]byte, error) {
	if at < 0 || at >= int64(len(d.data)) {
		return nil, errShort
	}
	err := error(nil)
	if n > int64(len(d.data))-at {
		n, err = int64(len(d.data))-at, errShort
	}
	if !d.count(n) {
		return nil, errDiskOverlap
	}
	return d.data[at : at+n : at+n], err
}

// count counts n bytes of the image that are looked at; false when they have become
// too many.
func (d *diskImage) count(n int64) bool {
	d.used += n
	return d.used <= 4*int64(len(d.data))+1<<20
}

// diskMember is the disk that an image holds.
func diskMember(name string, r *diskReader) member {
	m := member{name: name, body: r}
	if r.size <= diskWhole {
		m.size = r.size
	}
	return m
}

// errDisk is damage of an image.
func errDisk(what string) error { return fmt.Errorf("%w: %s", ErrDamaged, what) }

// diskInflater unpacks deflated pieces of a disk, one after the other.
type diskInflater struct {
	in    bytes.Reader
	flate flateReader
	zlib  io.ReadCloser
}

// deflated begins with a piece that is deflated and no more.
func (d *diskInflater) deflated(packed []byte) (io.Reader, error) {
	d.in.Reset(packed)
	if d.flate == nil {
		d.flate = flate.NewReader(&d.in).(flateReader)
		return d.flate, nil
	}
	return d.flate, d.flate.Reset(&d.in, nil)
}

// zlibbed begins with a piece in zlib's format (RFC 1950).
func (d *diskInflater) zlibbed(packed []byte) (r io.Reader, err error) {
	d.in.Reset(packed)
	if d.zlib == nil {
		d.zlib, err = zlib.NewReader(&d.in)
	} else {
		err = d.zlib.(zlib.Resetter).Reset(&d.in, nil)
	}
	if err != nil {
		return nil, shortage(err)
	}
	return d.zlib, nil
}

// maskedReader gives data with zeros for the parts of it that do not count.
type maskedReader struct {
	data   []byte
	part   int // bytes of a part
	counts func(i int) bool
	at     int
}

// Read implements io.Reader.
func (m *maskedReader) Read(p []byte) (n int, err error) {
	for n < len(p) && m.at < len(m.data) {
		i := m.at / m.part
		k := copy(p[n:], m.data[m.at:min((i+1)*m.part, len(m.data))])
		if !m.counts(i) {
			clear(p[n : n+k])
		}
		n, m.at = n+k, m.at+k
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}
