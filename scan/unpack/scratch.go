package unpack

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// scratch is a file in which large objects lie one behind the other, each
// mapped. It makes only the system calls that a closed-in worker has: pwrite,
// ftruncate, fallocate, mmap, munmap.
type scratch struct {
	file    *os.File
	regions []*region // in the order of the file
	end     int64     // of the last region: where the next one begins, a multiple of pageSize
	chunk   []byte    // what is read at a time, kept
	fault   error     // the first that was the disk's, not the message's
}

// pageSize divides the start of every mapping. 64 KiB is the largest page of
// the systems that Go runs on.
const pageSize = 64 << 10

// region is one object in the scratch file.
type region struct {
	data       []byte // mapped, read-only
	start, end int64
	released   bool
}

// store writes head and the rest of r to the end of the file and maps both. On
// an error of r, or when the file cannot grow, what lies there is returned with
// the error; without a region nothing could be kept.
func (s *scratch) store(head []byte, r io.Reader) (*region, error) {
	start := s.end
	n, failed := s.write(head, start)
	if s.chunk == nil {
		s.chunk = make([]byte, 1<<18)
	}
	for end := false; failed == nil && !end; {
		var k int
		k, end, failed = fill(r, s.chunk, 0)
		w, err := s.write(s.chunk[:k], start+n)
		n += w
		if err != nil {
			failed = err
		}
	}
	if n == 0 {
		return nil, failed
	}
	data, err := unix.Mmap(int(s.file.Fd()), start, int(n), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		s.shrink(start)
		return nil, s.refused(err)
	}
	g := &region{data: data, start: start, end: start + n}
	s.regions = append(s.regions, g)
	s.end = (g.end + pageSize - 1) / pageSize * pageSize
	return g, failed
}

// write writes b at off and returns how much of it now lies there. (os.File does
// not say so when a write was cut short.)
func (s *scratch) write(b []byte, off int64) (written int64, err error) {
	for len(b) > 0 {
		n, err := unix.Pwrite(int(s.file.Fd()), b, off+written)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return written, s.refused(err)
		}
		b = b[n:]
		written += int64(n)
	}
	return written, nil
}

// refused is the error of a scratch file that takes no more. To reach the size that it was
// allowed (EFBIG), or what one process can map, is a limit of the message. Anything else is a
// fault of the disk, which whoever has the arena must hear of.
func (s *scratch) refused(err error) error {
	if s.fault == nil && !errors.Is(err, unix.EFBIG) && !errors.Is(err, unix.ENOMEM) {
		s.fault = err
	}
	return fmt.Errorf("%w: %v", &LimitError{"scratch"}, err)
}

// release unmaps a region and gives its room back: the last one's by making the
// file shorter, another's by a hole.
func (s *scratch) release(g *region) {
	if g.released {
		return
	}
	g.released = true
	// Neither call can fail but for want of room for the kernel's own records;
	// then the bytes stay until the file is closed.
	_ = unix.Munmap(g.data)
	g.data = nil
	if g != s.regions[len(s.regions)-1] {
		_ = unix.Fallocate(int(s.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, g.start, g.end-g.start)
		return
	}
	for n := len(s.regions); n > 0 && s.regions[n-1].released; n-- {
		s.end = s.regions[n-1].start
		s.regions = s.regions[:n-1]
	}
	s.shrink(s.end)
}

// shrink gives back the file from end on.
func (s *scratch) shrink(end int64) { _ = s.file.Truncate(end) }

// close unmaps what is left and empties the file.
func (s *scratch) close() error {
	for _, g := range s.regions {
		if !g.released {
			_ = unix.Munmap(g.data)
		}
	}
	s.regions, s.end = nil, 0
	if err := s.file.Truncate(0); err != nil {
		return fmt.Errorf("empty the scratch file: %w", err)
	}
	return nil
}
