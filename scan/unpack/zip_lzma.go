package unpack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// zipLZMA is the number of LZMA, of which a flag says that an end marker follows
// (APPNOTE, section 4.4.4).
const (
	zipLZMA       = 14
	zipLZMAMarked = 1 << 1
)

const (
	// zipDictionary is how far back the compressed bytes of a member may refer at
	// the most. What says that it refers farther is read all the same, up to
	// where it really does.
	zipDictionary = 64 << 20

	// smallDictionary is what a decoder is given at the least, whatever the size
	// of a member is said to be.
	smallDictionary = 1 << 20
)

// lzmaRatio is more than what one byte of LZMA can unpack to: a match of 273 bytes
// takes a third of a bit at the least.
const lzmaRatio = 8192

// dictionary gives how large a dictionary is made where so many bytes are stated.
// No more is needed than there are bytes, or can be.
func (e *zipEntry) dictionary(stated uint32, in zipInput) int {
	n := min(int64(stated), zipDictionary, int64(in.Len())*lzmaRatio)
	if e.size >= 0 {
		n = min(n, max(e.size, smallDictionary))
	}
	return int(max(n, lzma.MinDictCap))
}

// unlzma reads LZMA behind zip's header of it (APPNOTE, section 5.8.8).
func (z *zipReader) unlzma(e *zipEntry, in zipInput) (io.Reader, error) {
	var head [4]byte // version, and the length of the properties
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, unexpected(err)
	}
	if n := binary.LittleEndian.Uint16(head[2:]); n != 5 {
		return nil, fmt.Errorf("%w: lzma properties of %d bytes", ErrUnsupported, n)
	}
	// The library reads the header of an .lzma file: properties and size.
	var properties [lzma.HeaderLen]byte
	if _, err := io.ReadFull(in, properties[:5]); err != nil {
		return nil, unexpected(err)
	}
	stated := binary.LittleEndian.Uint32(properties[1:])
	binary.LittleEndian.PutUint32(properties[1:], uint32(e.dictionary(stated, in)))
	size := e.size
	if e.flags&zipLZMAMarked != 0 {
		size = unknownSize
	}
	binary.LittleEndian.PutUint64(properties[5:], uint64(size))
	r, err := lzma.ReaderConfig{DictCap: zipDictionary}.NewReader(&headed{head: properties[:], zipInput: in})
	if err != nil {
		return nil, err
	}
	return capped{r, int64(stated) > zipDictionary}, nil
}

// headed gives some bytes before others.
type headed struct {
	head []byte
	zipInput
}

// Read implements io.Reader.
func (h *headed) Read(p []byte) (int, error) {
	if len(h.head) == 0 {
		return h.zipInput.Read(p)
	}
	n := copy(p, h.head)
	h.head = h.head[n:]
	return n, nil
}

// capped tells of errors in what may need a larger dictionary that this is why.
type capped struct {
	io.Reader
	yes bool
}

// Read implements io.Reader.
func (c capped) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err != nil && err != io.EOF && c.yes {
		err = errDictionary
	}
	return n, err
}

var errDictionary = fmt.Errorf("%w: dictionary of more than %d MiB", ErrUnsupported, zipDictionary>>20)

// The format of xz (xz-file-format 1.2.1), of which only the part is read that
// leads to the bytes: their checksum is in the archive.
const (
	xzHeader       = 12 // section 2.1.1
	xzFooter       = 12 // section 2.1.2
	xzLZMA2        = 0x21
	xzDictionaries = 40 // values of a dictionary's size (section 5.3.1)
)

// zipXZ unpacks the blocks of xz streams.
type zipXZ struct {
	e      *zipEntry
	in     *countedInput
	check  int64 // length of a block's checksum
	start  int64 // of the block
	block  io.Reader
	capped bool
	any    bool // a stream has ended
	within bool // a stream
}

// countedInput counts what is read.
type countedInput struct {
	zipInput
	n int64
}

// Read implements io.Reader.
func (c *countedInput) Read(p []byte) (int, error) {
	n, err := c.zipInput.Read(p)
	c.n += int64(n)
	return n, err
}

// ReadByte implements io.ByteReader.
func (c *countedInput) ReadByte() (byte, error) {
	b, err := c.zipInput.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

func (z *zipReader) unxz(e *zipEntry, in zipInput) (io.Reader, error) {
	return &zipXZ{e: e, in: &countedInput{zipInput: in}}, nil
}

// Read implements io.Reader. Between two blocks it may give nothing.
func (r *zipXZ) Read(p []byte) (int, error) {
	if r.block == nil {
		return 0, r.next()
	}
	n, err := r.block.Read(p)
	if err == io.EOF {
		r.block = nil
		_, err = r.skip((r.start-r.in.n)&3 + r.check)
	} else if err != nil && r.capped {
		err = errDictionary
	}
	return n, err
}

// skip passes over bytes.
func (r *zipXZ) skip(n int64) (int64, error) {
	k, err := io.CopyN(io.Discard, r.in, n)
	return k, unexpected(err)
}

// next begins the next block, or the next stream.
func (r *zipXZ) next() error {
	if !r.within {
		return r.stream()
	}
	r.start = r.in.n
	size, err := r.in.ReadByte()
	if err != nil {
		return unexpected(err)
	}
	if size == 0 {
		r.within, r.any = false, true
		return r.index()
	}
	head := make([]byte, 4*int(size)+3) // section 3.1.1
	if _, err := io.ReadFull(r.in, head); err != nil {
		return unexpected(err)
	}
	return r.begin(head)
}

// stream reads the header of a stream; behind the first there may be none.
func (r *zipXZ) stream() error {
	var head [xzHeader]byte
	for {
		if _, err := io.ReadFull(r.in, head[:4]); err != nil {
			if r.any {
				return io.EOF
			}
			return unexpected(err)
		}
		if !r.any || [4]byte(head[:4]) != [4]byte{} { // else it is padding
			break
		}
	}
	if _, err := io.ReadFull(r.in, head[4:]); err != nil && !r.any {
		return unexpected(err)
	}
	if !bytes.HasPrefix(head[:], []byte(xzMagic)) {
		if r.any {
			return io.EOF
		}
		return errors.New("not xz")
	}
	// Section 2.1.1.2: the checksums have 0, 4, 4, 4, 8, 8, 8, 16, … bytes.
	if kind := head[7] & 15; kind == 0 {
		r.check = 0
	} else {
		r.check = 4 << ((kind - 1) / 3)
	}
	r.within = true
	return nil
}

// begin reads the header of a block (section 3.1).
func (r *zipXZ) begin(head []byte) error {
	flags, head := head[0], head[1:]
	for range flags>>6&1 + flags>>7 { // the two sizes, which may be there
		_, n := binary.Uvarint(head)
		if n <= 0 {
			return errors.New("invalid block")
		}
		head = head[n:]
	}
	if flags&3 != 0 || len(head) < 3 || head[0] != xzLZMA2 || head[1] != 1 {
		return fmt.Errorf("%w: xz with other filters than LZMA2", ErrUnsupported)
	}
	v := head[2]
	if v > xzDictionaries {
		return errors.New("invalid dictionary")
	}
	stated := uint32(1<<32 - 1)
	if v < xzDictionaries {
		stated = (2 | uint32(v)&1) << (v/2 + 11)
	}
	r.capped = int64(stated) > zipDictionary
	block, err := lzma.Reader2Config{DictCap: r.e.dictionary(stated, r.in)}.NewReader2(r.in)
	if err == nil {
		r.block = block
	}
	return err
}

// index passes over the index and the footer of a stream (section 4).
func (r *zipXZ) index() error {
	records, err := binary.ReadUvarint(r.in)
	if err != nil {
		return unexpected(err)
	}
	for range records {
		for range 2 {
			if _, err := binary.ReadUvarint(r.in); err != nil {
				return unexpected(err)
			}
		}
	}
	_, err = r.skip((r.start-r.in.n)&3 + 4 + xzFooter)
	return err
}
