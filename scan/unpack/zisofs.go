package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"iter"

	"github.com/klauspost/compress/zlib"
)

// zisofsOpener opens files that zisofs compressed for an image of ISO 9660, in
// blocks: version 1, and version 2 with zlib ("Description of the zisofs Format" and
// "of the zisofs2 Format" of libisofs). An image holds them as they are.
var zisofsOpener = opener{name: "zisofs", match: zisofsMatch, entries: zisofsEntries}

const (
	zisofsMagic  = "\x37\xe4\x53\x96\xc9\xdb\xd6\x07"
	zisofs2Magic = "\xef\x22\x55\xa1\xbc\x1b\x95\xa0"
	zisofs2Zlib  = 1
)

func zisofsMatch(data []byte) bool {
	return hasMagic(data, 0, zisofsMagic) || hasMagic(data, 0, zisofs2Magic)
}

func zisofsEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		z, err := parseZisofs(f.Data)
		if err != nil {
			yield(member{}, err)
			return
		}
		yield(member{name: f.Name, body: z, size: z.left}, nil)
	}
}

// zisofsReader unpacks block after block. Each has the place of the next one.
type zisofsReader struct {
	data    []byte
	table   []byte // of places
	width   int    // bytes of each
	block   int64
	left    int64 // bytes that are still to come
	current io.Reader
	end     int64 // bytes that are left of the current block
	zlib    io.ReadCloser
}

var errZisofs = fmt.Errorf("%w: cut short", ErrDamaged)

// parseZisofs reads the header.
func parseZisofs(data []byte) (*zisofsReader, error) {
	le := binary.LittleEndian
	if len(data) < 24 {
		return nil, errZisofs
	}
	z := &zisofsReader{data: data, width: 4, left: int64(le.Uint32(data[8:]))}
	header, shift := data[12], data[13]
	if hasMagic(data, 0, zisofs2Magic) {
		if data[10] != zisofs2Zlib {
			return nil, fmt.Errorf("%w %d", ErrUnsupported, data[10])
		}
		header, shift = data[9], data[11]
		z.width, z.left = 8, int64(min(le.Uint64(data[12:]), 1<<60))
	}
	if shift < 9 || shift > 24 {
		return nil, fmt.Errorf("%w: size of blocks", ErrDamaged)
	}
	z.block, z.table = 1<<shift, tail(data, int64(header)*4)
	return z, nil
}

// Read implements io.Reader.
func (z *zisofsReader) Read(p []byte) (int, error) {
	for {
		if z.end == 0 {
			if z.left == 0 {
				return 0, io.EOF
			}
			if err := z.next(); err != nil {
				return 0, err
			}
		}
		n, err := z.current.Read(p[:min(int64(len(p)), z.end)])
		z.end -= int64(n)
		if err == io.EOF && z.end > 0 {
			err = errZisofs
		}
		if n > 0 || err != nil && err != io.EOF {
			return n, err
		}
	}
}

// next begins with the next block. One that takes no bytes is all zeros.
func (z *zisofsReader) next() error {
	if len(z.table) < 2*z.width {
		return errZisofs
	}
	from, to := z.place(z.table), z.place(z.table[z.width:])
	z.table = z.table[z.width:]
	z.end = min(z.block, z.left)
	z.left -= z.end
	if from == to {
		z.current = io.LimitReader(zisofsZeros{}, z.end)
		return nil
	}
	if from > to || to > uint64(len(z.data)) {
		return errZisofs
	}
	in := bytes.NewReader(z.data[from:to])
	var err error
	if z.zlib == nil {
		z.zlib, err = zlib.NewReader(in)
	} else {
		err = z.zlib.(zlib.Resetter).Reset(in, nil)
	}
	z.current = z.zlib
	return err
}

func (z *zisofsReader) place(b []byte) uint64 {
	if z.width == 4 {
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}

// zisofsZeros reads zeros without end.
type zisofsZeros struct{}

// Read implements io.Reader.
func (zisofsZeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
