package unpack

import (
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"iter"
)

// bzip2Opener opens bzip2 files. All streams of a file are one object, as bunzip2
// makes of them. What follows the last one is no part of it.
var bzip2Opener = opener{name: "bzip2", match: bzip2Match, entries: bzip2Entries}

// After "BZh" and the block size, 1 to 9, a stream goes on with one of these.
const (
	bzip2Block = "1AY&SY"                   // the first block
	bzip2End   = "\x17\x72\x45\x38\x50\x90" // none: the stream is empty
)

func bzip2Match(data []byte) bool { return isBzip2(data) }

func isBzip2(data []byte) bool {
	if len(data) < 10 || string(data[:3]) != "BZh" || data[3] < '1' || data[3] > '9' {
		return false
	}
	next := string(data[4:10])
	return next == bzip2Block || next == bzip2End
}

func bzip2Entries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		in := bytes.NewReader(f.Data)
		yield(member{
			name: nameLess(f.Name, ".bz2", "", ".bz", "", ".tbz2", ".tar", ".tbz", ".tar"),
			body: &bzip2Reader{data: f.Data, in: in, stream: bzip2.NewReader(in)},
		}, nil)
	}
}

// bzip2Reader unpacks all streams of a file. Damage is told at the end, when
// what is behind it has been read as well.
type bzip2Reader struct {
	data     []byte
	in       *bytes.Reader
	stream   io.Reader // nil behind the last one
	damage   error     // the first
	restarts int
}

// Read implements io.Reader.
func (r *bzip2Reader) Read(p []byte) (int, error) {
	for r.stream != nil {
		n, err := r.stream.Read(p)
		if err != nil {
			r.finish(err)
		}
		if n > 0 || err == nil {
			return n, nil
		}
	}
	if r.damage != nil {
		return 0, r.damage
	}
	return 0, io.EOF
}

// finish sees to the end of what the decoder could read in one go.
func (r *bzip2Reader) finish(err error) {
	r.stream = nil
	var invalid bzip2.StructuralError
	switch {
	case err == io.EOF:
	case errors.As(err, &invalid) && invalid == "bad magic value in continuation file":
		// The stream was whole; behind it is something else.
	case errors.Is(err, io.ErrUnexpectedEOF):
		r.damaged("cut short")
	default:
		r.damaged(err.Error())
		r.restart()
	}
}

// restart looks for the next stream behind damage: streams, unlike blocks, begin
// at whole bytes.
func (r *bzip2Reader) restart() {
	if r.restarts++; r.restarts > maxRestarts {
		return
	}
	for at := len(r.data) - r.in.Len(); ; at++ {
		i := bytes.Index(r.data[at:], []byte("BZh"))
		if i < 0 {
			return
		}
		if at += i; isBzip2(r.data[at:]) {
			r.in.Reset(r.data[at:])
			r.stream = bzip2.NewReader(r.in)
			return
		}
	}
}

func (r *bzip2Reader) damaged(why string) {
	if r.damage == nil {
		r.damage = fmt.Errorf("%w: %s", ErrDamaged, why)
	}
}
