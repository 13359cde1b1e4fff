package unpack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/klauspost/compress/flate"
)

// zipMethod is a compression method. One without open is known by name only.
type zipMethod struct {
	name string
	open func(*zipReader, *zipEntry, member) // hands the entry out
}

// The methods of which more than the name is to be known.
const (
	zipStored   = 0
	zipDeflated = 8
	zipAES      = 99 // what WinZip's encrypted entries have, whatever the flags say
)

// zipMethodOf gives a compression method (section 4.4.5); one without a name is
// not known at all.
func zipMethodOf(id uint16) zipMethod {
	switch id {
	case zipStored:
		return zipMethod{"stored", (*zipReader).stored}
	case 1:
		return zipMethod{name: "shrink"}
	case 2, 3, 4, 5:
		return zipMethod{name: "reduce"}
	case 6:
		return zipMethod{name: "implode"}
	case zipDeflated:
		return zipMethod{"deflate", (*zipReader).deflated}
	case 9:
		return zipMethod{name: "deflate64"}
	case 10:
		return zipMethod{name: "implode (DCL)"}
	case 12:
		return zipMethod{name: "bzip2"}
	case 14:
		return zipMethod{name: "lzma"}
	case 16, 18, 19:
		return zipMethod{name: "of IBM"}
	case 20, 93:
		return zipMethod{name: "zstd"}
	case 94:
		return zipMethod{name: "mp3"}
	case 95:
		return zipMethod{name: "xz"}
	case 96:
		return zipMethod{name: "jpeg"}
	case 97:
		return zipMethod{name: "wavpack"}
	case 98:
		return zipMethod{name: "ppmd"}
	case zipAES:
		return zipMethod{name: "aes"}
	}
	return zipMethod{}
}

// stored hands out bytes that are not compressed.
func (z *zipReader) stored(e *zipEntry, m member) {
	rest := z.data[e.start:]
	if e.packed == unknownSize {
		e.packed = z.storedSize(e.start)
	}
	n := min(e.packed, int64(len(rest)))
	m.data = rest[:n]
	e.end = e.start + int(n)
	z.read += n
	cut := n < e.packed
	e.whole = !cut && z.fits(e, crc32.ChecksumIEEE(m.data))
	switch {
	case e.whole:
		z.emit(m, nil)
	case e.locked:
		z.emit(member{name: e.name}, ErrEncrypted)
	case cut:
		z.emit(m, fmt.Errorf("%w: cut short", ErrDamaged))
	default:
		z.emit(m, fmt.Errorf("%w: wrong checksum", ErrDamaged))
	}
}

// storedSize finds the length of stored bytes that no header tells: up to a
// descriptor that says just that length, or to the next header, or to the end.
func (z *zipReader) storedSize(start int) int64 {
	data := z.data[start:]
	for at := 0; ; at++ {
		i := bytes.Index(data[at:], []byte("PK"))
		if i < 0 {
			return int64(len(data))
		}
		at += i
		switch {
		case hasMagic(data, at, zipDescriptorMagic) && len(data)-at >= 12:
			if int64(binary.LittleEndian.Uint32(data[at+8:])) == int64(at) {
				return int64(at)
			}
		case hasMagic(data, at, zipLocalMagic), hasMagic(data, at, zipCentralMagic):
			return int64(at)
		}
	}
}

// fits reports whether an entry's bytes, which have been read up to e.end, have
// the checksum that one of its headers tells, or else its descriptor (section
// 4.3.9). Where none of them does, anything fits.
func (z *zipReader) fits(e *zipEntry, crc uint32) bool {
	if len(e.crcs) > 0 {
		return slices.Contains(e.crcs, crc)
	}
	b := z.data[e.end:]
	if !hasMagic(b, 0, zipDescriptorMagic) || len(b) < 8 {
		return true // it may do without the magic number, or be cut off
	}
	return binary.LittleEndian.Uint32(b[4:]) == crc
}

// deflated hands out bytes that are compressed with deflate. They end by
// themselves: what the headers say of their length is not needed.
func (z *zipReader) deflated(e *zipEntry, m member) {
	in := bytes.NewReader(z.data[e.start:])
	if z.flate == nil {
		z.flate = flate.NewReader(in).(flateReader)
	} else if err := z.flate.Reset(in, nil); err != nil {
		z.emit(m, fmt.Errorf("%w: %v", ErrDamaged, err))
		return
	}
	m.body = &zipInflater{z: z, e: e, in: in}
	z.emit(m, nil)
}

// zipInflater unpacks a deflated entry and checks it when it has ended.
type zipInflater struct {
	z    *zipReader
	e    *zipEntry
	in   *bytes.Reader
	crc  uint32
	size int64
	err  error // the end has been met
}

// Read implements io.Reader.
func (r *zipInflater) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.z.flate.Read(p)
	r.crc = crc32.Update(r.crc, crc32.IEEETable, p[:n])
	r.size += int64(n)
	if err != nil {
		r.err = r.ended(err)
	}
	return n, r.err
}

// ended judges the entry by how inflating it ended.
func (r *zipInflater) ended(err error) error {
	e := r.e
	e.end = len(r.z.data) - r.in.Len()
	r.z.read += int64(e.end - e.start)
	switch {
	case err == io.EOF && r.z.fits(e, r.crc):
		e.whole = true
		return io.EOF
	case err == io.EOF && e.locked && (r.size == 0 || r.size != e.size), err != io.EOF && e.locked:
		return ErrEncrypted
	case err == io.EOF:
		return fmt.Errorf("%w: wrong checksum", ErrDamaged)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: cut short", ErrDamaged)
	}
	return fmt.Errorf("%w: %v", ErrDamaged, err)
}
