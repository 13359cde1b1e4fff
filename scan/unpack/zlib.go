package unpack

import (
	"bytes"
	"fmt"
	"io"
	"iter"

	"github.com/klauspost/compress/zlib"
)

// zlibOpener opens a file that is a stream of zlib (RFC 1950), as pigz -z and
// many programs write them. Files of other formats may begin with one.
var zlibOpener = opener{name: "zlib", match: zlibMatch, entries: zlibEntries, last: true}

// zlibTrial is how many unpacked bytes tell a stream from other bytes: its header
// has but two, and texts begin with them.
const zlibTrial = 4 << 10

func zlibMatch(data []byte) bool {
	const deflate, dictionary, most = 8, 1 << 5, 7 // RFC 1950, section 2.2
	if len(data) < 8 || data[0]&0xf != deflate || data[0]>>4 > most || data[1]&dictionary != 0 || (int(data[0])<<8|int(data[1]))%31 != 0 {
		return false
	}
	r, err := zlib.NewReader(bytes.NewReader(data))
	if err != nil {
		return false
	}
	n, err := io.CopyN(io.Discard, r, zlibTrial)
	return n == zlibTrial || n > 0 && err == io.EOF
}

func zlibEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		in := bytes.NewReader(f.Data)
		r, err := zlib.NewReader(in)
		if err != nil {
			yield(member{}, err)
			return
		}
		if !yield(member{name: nameLess(f.Name, ".zz", "", ".zlib", ""), body: r}, nil) {
			return
		}
		if rest := f.Data[len(f.Data)-in.Len():]; !zeros(rest) {
			yield(member{}, fmt.Errorf("%w: bytes behind its end", ErrDamaged)) // a file that was cut off may begin so
		}
	}
}
