package unpack

import (
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// zipMethod is a compression method. One without open is known by name only.
type zipMethod struct {
	name string

	// open makes the reader that unpacks an entry. Its error wraps one of the
	// package's reasons, or is damage.
	open func(z *zipReader, e *zipEntry, in zipInput) (io.Reader, error)

	// ends says that the compressed bytes end by themselves, and are read without
	// what the headers say of their length.
	ends bool

	// shows says that bytes which are no such compressed bytes hardly ever unpack
	// without an error.
	shows bool
}

// zipInput gives an entry's compressed bytes, decrypted where they are encrypted.
type zipInput interface {
	io.Reader
	io.ByteReader
	Len() int // how many are left
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
		return zipMethod{name: "stored", open: (*zipReader).copied}
	case 1:
		return zipMethod{name: "shrink", open: (*zipReader).unshrunk}
	case 2, 3, 4, 5:
		return zipMethod{name: "reduce", open: (*zipReader).expanded}
	case 6:
		return zipMethod{name: "implode", open: (*zipReader).exploded}
	case zipDeflated:
		return zipMethod{name: "deflate", open: (*zipReader).inflated, shows: true, ends: true}
	case 9:
		return zipMethod{name: "deflate64", open: (*zipReader).inflated64, shows: true, ends: true}
	case 10:
		return zipMethod{name: "implode (DCL)", open: (*zipReader).explodedDCL, shows: true, ends: true}
	case 12:
		return zipMethod{name: "bzip2", open: (*zipReader).bunzipped, shows: true}
	case zipLZMA:
		return zipMethod{name: "lzma", open: (*zipReader).unlzma, shows: true}
	case 16, 18, 19:
		return zipMethod{name: "of IBM"}
	case 20, 93:
		return zipMethod{name: "zstd", open: (*zipReader).unzstd, shows: true}
	case 94:
		return zipMethod{name: "mp3"}
	case 95:
		return zipMethod{name: "xz", open: (*zipReader).unxz, shows: true}
	case 96:
		return zipMethod{name: "jpeg"}
	case 97:
		return zipMethod{name: "wavpack"}
	case 98:
		return zipMethod{name: "ppmd", open: (*zipReader).unppmd}
	case zipAES:
		return zipMethod{name: "aes"}
	}
	return zipMethod{}
}

// stored hands out bytes that are not compressed.
func (z *zipReader) stored(e *zipEntry, m member) {
	rest := z.data[e.start:]
	z.measure(e)
	n := min(e.packed, int64(len(rest)))
	m.data = rest[:n]
	e.end = e.start + int(n)
	z.read += n
	cut := n < e.packed
	e.whole = !cut && z.fits(e, crc32.ChecksumIEEE(m.data), false)
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

// measure finds the length of bytes that no header tells: up to a descriptor that
// says just that length, or to the next header, or to the end.
func (z *zipReader) measure(e *zipEntry) {
	if e.packed != unknownSize {
		return
	}
	e.packed = z.lengthFrom(e.start)
	b := z.data[e.start+int(e.packed):]
	if e.size != unknownSize || !hasMagic(b, 0, zipDescriptorMagic) || len(b) < 16 {
		return
	}
	e.size = int64(binary.LittleEndian.Uint32(b[12:]))
	if e.size == 0 && e.packed > 0 && len(b) >= 24 { // both sizes have 8 bytes (section 4.3.9.2)
		e.size = int64(min(binary.LittleEndian.Uint64(b[16:]), math.MaxInt64/4))
	}
}

func (z *zipReader) lengthFrom(start int) int64 {
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
// 4.3.9), which may do without its magic number. Where none of them does,
// anything fits that was not unpacked with a password to be proved by it.
func (z *zipReader) fits(e *zipEntry, crc uint32, locked bool) bool {
	if len(e.crcs) > 0 {
		return slices.Contains(e.crcs, crc)
	}
	b := z.data[e.end:]
	magic := hasMagic(b, 0, zipDescriptorMagic)
	if magic {
		b = b[len(zipDescriptorMagic):]
	}
	if len(b) >= 4 && (magic || locked) {
		return binary.LittleEndian.Uint32(b) == crc
	}
	return !locked
}

// copied reads bytes that are encrypted and not compressed.
func (z *zipReader) copied(e *zipEntry, in zipInput) (io.Reader, error) {
	head, tail := e.lock()
	n := e.packed - int64(head+tail)
	if n < 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return io.LimitReader(in, n), nil
}

// inflated reads bytes that are compressed with deflate. They end by
// themselves: what the headers say of their length is not needed.
func (z *zipReader) inflated(_ *zipEntry, in zipInput) (io.Reader, error) {
	if z.flate == nil {
		z.flate = flate.NewReader(in).(flateReader)
		return z.flate, nil
	}
	return z.flate, z.flate.Reset(in, nil)
}

// inflated64 reads bytes that are compressed with Deflate64.
func (z *zipReader) inflated64(_ *zipEntry, in zipInput) (io.Reader, error) {
	return newDeflate64(in), nil
}

// bunzipped reads bytes that are compressed with bzip2.
func (z *zipReader) bunzipped(_ *zipEntry, in zipInput) (io.Reader, error) {
	return bzip2.NewReader(in), nil
}

// unzstd reads bytes that are compressed with zstd. One decoder, which starts
// nothing that would go on by itself, serves all members.
func (z *zipReader) unzstd(_ *zipEntry, in zipInput) (_ io.Reader, err error) {
	if z.zstd == nil {
		z.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(zipDictionary))
		if err != nil {
			return nil, err
		}
	}
	if err := z.zstd.Reset(in); err != nil {
		return nil, err
	}
	return zipZstd{z.zstd}, nil
}

// zipZstd tells of windows that are too large.
type zipZstd struct{ *zstd.Decoder }

// Read implements io.Reader.
func (r zipZstd) Read(p []byte) (int, error) {
	n, err := r.Decoder.Read(p)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		err = errDictionary
	}
	return n, err
}

// sized ends a reader where the member ends: its compressed bytes do not tell.
// Where nobody does, they end with it.
func (e *zipEntry) sized(r io.Reader) io.Reader {
	if e.size >= 0 {
		return io.LimitReader(r, e.size)
	}
	return openEnded{r}
}

// openEnded takes the end of the compressed bytes for the end.
type openEnded struct{ r io.Reader }

// Read implements io.Reader.
func (r openEnded) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// emitBody hands out an entry that has to be unpacked.
func (z *zipReader) emitBody(e *zipEntry, key *zipKey, m member) {
	b, err := z.body(e, key)
	switch {
	case err != nil && key == nil && e.locked:
		z.emit(m, ErrEncrypted)
		return
	case err != nil:
		z.emit(m, reasoned(err))
		return
	}
	m.body = b
	z.emit(m, nil)
}

// reasoned wraps a decoder's error, unless it has a reason.
func reasoned(err error) error {
	for _, reason := range []error{ErrDamaged, ErrUnsupported, ErrLimit} {
		if errors.Is(err, reason) {
			return err
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: cut short", ErrDamaged)
	}
	return fmt.Errorf("%w: %v", ErrDamaged, err)
}

// zipBody unpacks an entry and checks it when it has ended.
type zipBody struct {
	z    *zipReader
	e    *zipEntry
	key  *zipKey // nil: not encrypted
	in   zipInput
	end  int // of the bytes that in was given
	r    io.Reader
	crc  uint32
	size int64
	err  error // the end has been met
}

// body makes the reader of an entry.
func (z *zipReader) body(e *zipEntry, key *zipKey) (*zipBody, error) {
	b := &zipBody{z: z, e: e, key: key, end: len(z.data)}
	head, tail := 0, 0
	if key != nil {
		head, tail = e.lock()
	}
	method := zipMethodOf(e.method)
	if !method.ends {
		z.measure(e)
		b.end = e.start + max(head, int(min(e.packed, int64(b.end-e.start)))-tail)
	}
	if data := z.data[e.start+head : b.end]; key == nil {
		b.in = bytes.NewReader(data)
	} else {
		b.in = &zipDecrypter{rest: data, stream: key.stream()}
	}
	var err error
	b.r, err = method.open(z, e, b.in)
	return b, err
}

// Read implements io.Reader.
func (r *zipBody) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.r.Read(p)
	r.crc = crc32.Update(r.crc, crc32.IEEETable, p[:n])
	r.size += int64(n)
	if err != nil {
		r.err = r.ended(err)
	}
	return n, r.err
}

// fits reports whether the entry's bytes have the tag or the checksum that they
// should. A checksum of 0 proves nothing of what was encrypted: it is that of
// nothing at all, and AES entries have it whatever they hold.
func (r *zipBody) fits() bool {
	e := r.e
	if r.key != nil && r.crc == 0 && (e.strength > 0 || r.size == 0 && e.size > 0) {
		return e.sealed
	}
	return e.sealed || r.z.fits(e, r.crc, r.key != nil)
}

// ended judges the entry by how unpacking it ended.
func (r *zipBody) ended(err error) error {
	z, e := r.z, r.e
	e.end = r.end
	if zipMethodOf(e.method).ends {
		e.end -= r.in.Len()
	}
	if r.key != nil {
		e.sealed = e.sealed || z.seals(e, r.key, int64(e.end))
		_, tail := e.lock()
		e.end = min(e.end+tail, len(z.data))
	}
	z.read += int64(e.end - e.start)
	e.whole = err == io.EOF && r.fits()
	unread := err != io.EOF || r.size == 0 || r.size != e.size
	switch {
	case e.whole:
		return io.EOF
	case r.key == nil && e.locked && unread:
		return ErrEncrypted
	case err == io.EOF:
		return fmt.Errorf("%w: wrong checksum", ErrDamaged)
	}
	return reasoned(err)
}
