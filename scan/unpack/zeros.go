package unpack

import (
	"bytes"
	"io"
)

const (
	// zerosFrom is the size in bytes of a member from which long runs of zeros in
	// it are shortened, unless they are holes anyway: smaller ones cost little.
	zerosFrom = 64 << 20

	// zerosKept is how much of a run of zeros is kept, in bytes.
	zerosKept = 1 << 20
)

// errZeros says that a member was read to its end, less some of its zeros.
var errZeros = &LimitError{"zeros"}

// shortened passes a member through, less what its long runs of zeros have
// beyond zerosKept: a few bytes unpack to gigabytes of them, in which there is
// nothing to find. That it is not all of the member is an error at its end.
type shortened struct {
	r    io.Reader
	from int64 // bytes that pass as they are

	passed int64
	run    int64 // zeros in a row, in whole reads; when from is 0, in all
	cut    bool
}

// Read implements io.Reader.
func (s *shortened) Read(p []byte) (int, error) {
	for {
		n, err := s.r.Read(p)
		over := false
		switch {
		case s.passed >= s.from && zeros(p[:n]):
			s.run += int64(n)
			over = s.run > zerosKept && n > 0
		case s.from > 0:
			s.run = 0 // of holes all count together: a map of many takes few bytes
		}
		if over {
			n, s.cut = 0, true
		}
		s.passed += int64(n)
		if err == io.EOF && s.cut {
			err = errZeros
		}
		if !over || err != nil {
			return n, err
		}
	}
}

// zeros reports whether b is nothing but zeros.
func zeros(b []byte) bool {
	return len(b) == 0 || b[len(b)-1] == 0 && bytes.Count(b, []byte{0}) == len(b)
}
