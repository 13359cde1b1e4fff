package unpack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/klauspost/compress/flate"
)

// activeMimeOpener opens what Office puts beside a document that it saves as a web
// page or as XML, .mso: a compound file with the macros, packed. The format is
// published nowhere; oletools knows where the packed bytes are.
var activeMimeOpener = opener{name: "activemime", match: activeMimeMatch, entries: activeMimeEntries}

const (
	activeMimeMagic = "ActiveMime"

	// activeMimeOffset is where it is told how far behind activeMimeBase the packed
	// bytes begin. Other programs go by where they usually are.
	activeMimeOffset = 0x1e
	activeMimeBase   = 46

	// activeMimeHead is within how many bytes they are looked for.
	activeMimeHead = 4 << 10
)

func activeMimeMatch(data []byte) bool { return hasMagic(data, 0, activeMimeMagic) }

func activeMimeEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		found := false
		for _, at := range activeMimeStarts(f.Data) {
			found = true
			m := member{name: nameLess(f.Name, ".mso", ".ole"), body: newZlibReader(f.Data[at:])}
			if !yield(m, nil) {
				return
			}
		}
		if !found {
			yield(member{}, fmt.Errorf("%w: no packed bytes", ErrDamaged))
		}
	}
}

// activeMimeStarts gives where packed bytes begin: where it is told, and the first
// place where there are some.
func activeMimeStarts(data []byte) (starts []int) {
	add := func(at int) bool {
		is := isZlibData(data[min(at, len(data)):])
		if is && !slices.Contains(starts, at) {
			starts = append(starts, at)
		}
		return is
	}
	if len(data) >= activeMimeOffset+2 {
		add(activeMimeBase + int(binary.LittleEndian.Uint16(data[activeMimeOffset:])))
	}
	for at := len(activeMimeMagic); at < min(len(data), activeMimeHead); at++ {
		if add(at) {
			break
		}
	}
	return starts
}

// isZlibData reports whether b is something in zlib's format that can be unpacked.
func isZlibData(b []byte) bool {
	if !isZlib(b) {
		return false
	}
	var some [16]byte
	n, err := io.ReadFull(newZlibReader(b), some[:])
	return err == nil || n > 0 && errors.Is(err, io.ErrUnexpectedEOF)
}

// newZlibReader reads what is packed in zlib's format. Its checksum counts for nothing:
// what is unpacked is what programs use.
func newZlibReader(b []byte) io.Reader {
	return &zlibReader{flate.NewReader(bytes.NewReader(b[min(2, len(b)):]))}
}

// zlibReader turns errors into damage.
type zlibReader struct{ r io.Reader }

// Read implements io.Reader.
func (z *zlibReader) Read(p []byte) (int, error) {
	n, err := z.r.Read(p)
	switch {
	case err == io.ErrUnexpectedEOF:
		err = fmt.Errorf("%w: cut short", ErrDamaged)
	case err != nil && err != io.EOF:
		err = fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	return n, err
}
