package unpack

import (
	"io"
	"math"
	"math/bits"
	"os"
)

const (
	defaultThreshold = 4 << 20

	// arenaMemory bounds the bytes that an arena with a scratch file holds in
	// memory at a time, whatever the threshold: beyond it small objects go to the
	// file as well. A walk 32 deep has that many objects alive.
	arenaMemory = 64 << 20

	// arenaKeep bounds the bytes of buffers that an arena keeps from one message for the
	// next: to make and clear new ones costs more than many a scan.
	arenaKeep = 8 << 20

	// minClass is the binary logarithm of the smallest buffer.
	minClass = 12
)

// Arena holds unpacked bytes: small ones in memory, large ones in a scratch file,
// mapped. It is used by one goroutine.
type Arena struct {
	scratch   *scratch // nil: everything stays in memory
	threshold int
	memory    int        // bytes of buffers handed out
	free      [][][]byte // buffers given back, by class: free[k] holds those of 1<<(minClass+k) bytes
}

// NewArena makes an arena over file, an empty unlinked file that it may grow
// (nil: everything stays in memory). threshold is the size in bytes from which
// an object goes to the file; 0 means 4 MiB. The file stays the caller's to close.
func NewArena(file *os.File, threshold int) *Arena {
	if threshold <= 0 {
		threshold = defaultThreshold
	}
	a := &Arena{threshold: threshold}
	a.Use(file)
	return a
}

// Hold reads r to its end, or to max bytes, and keeps what was read until
// release is called, once. On an error of r the bytes before it are returned with it;
// ErrLimit when r has more than max bytes, or the scratch file cannot grow. size is what r
// is thought to have; 0: unknown. Objects that are released in the reverse order cost the
// least room.
func (a *Arena) Hold(r io.Reader, max, size int64) (data []byte, release func(), err error) {
	h, err := a.hold(r, max, size)
	return h.data, func() { h.release() }, err
}

// Fault is what went wrong with the scratch file through no fault of the bytes: a full
// disk, a broken one. What was unpacked since then is not all there is.
func (a *Arena) Fault() error {
	if a.scratch == nil {
		return nil
	}
	return a.scratch.fault
}

// Close gives everything back, also what was not released, but for some buffers: an arena
// can be used again.
func (a *Arena) Close() error {
	a.memory = 0
	left := arenaKeep
	for k, buffers := range a.free {
		fit := min(len(buffers), left>>(minClass+k))
		clear(buffers[fit:])
		a.free[k] = buffers[:fit]
		left -= fit << (minClass + k)
	}
	if a.scratch == nil {
		return nil
	}
	return a.scratch.close()
}

// Use has a closed arena go on with file, as NewArena says.
func (a *Arena) Use(file *os.File) {
	a.scratch = nil
	if file != nil {
		a.scratch = &scratch{file: file}
	}
}

// held is an object in an arena. The zero value holds nothing.
type held struct {
	data   []byte
	buffer []byte  // in memory: the whole buffer
	region *region // in the scratch file
	arena  *Arena
}

// release gives the bytes back.
func (h *held) release() {
	switch {
	case h.region != nil:
		h.arena.scratch.release(h.region)
	case h.buffer != nil:
		h.arena.putBuffer(h.buffer)
	}
	*h = held{}
}

// hold is Hold with the size that r is said to have.
func (a *Arena) hold(r io.Reader, max, size int64) (h held, err error) {
	if max < math.MaxInt64 {
		r = limited(r, max)
	}
	first := int(min(size, int64(a.threshold)-1)) + 1 // the end of r shows when there is room for one byte more
	if a.scratch != nil && a.memory+first > arenaMemory {
		first = 0
	}
	buffer := a.buffer(first)
	n := 0
	for {
		var end bool
		n, end, err = fill(r, buffer, n)
		if end {
			return held{data: buffer[:n:n], buffer: buffer, arena: a}, err
		}
		grown := 2 * len(buffer)
		if a.scratch != nil && (n >= a.threshold || a.memory+grown > arenaMemory) {
			break
		}
		larger := a.buffer(grown)
		copy(larger, buffer)
		a.putBuffer(buffer)
		buffer = larger
	}
	region, err := a.scratch.store(buffer[:n], r)
	a.putBuffer(buffer)
	if region == nil {
		return held{}, err
	}
	return held{data: region.data, region: region, arena: a}, err
}

// buffer gives a buffer of at least n bytes.
func (a *Arena) buffer(n int) []byte {
	k := class(n)
	a.memory += 1 << (minClass + k)
	if k < len(a.free) {
		if last := len(a.free[k]) - 1; last >= 0 {
			b := a.free[k][last]
			a.free[k] = a.free[k][:last]
			return b
		}
	}
	return make([]byte, 1<<(minClass+k))
}

// putBuffer takes a buffer back. Those well over the threshold, which there are
// only without a scratch file, are left to the garbage collector.
func (a *Arena) putBuffer(b []byte) {
	a.memory -= len(b)
	if len(b) > 2*a.threshold && len(b) > 1<<minClass {
		return
	}
	k := class(len(b))
	for len(a.free) <= k {
		a.free = append(a.free, nil)
	}
	a.free[k] = append(a.free[k], b)
}

// class is the class of the smallest buffer that has n bytes.
func class(n int) int {
	return max(bits.Len(uint(max(n, 1)-1))-minClass, 0)
}

// fill reads r into b from n on, until b is full or r has ended. end is set
// when it has: err is then r's error unless that was io.EOF.
func fill(r io.Reader, b []byte, n int) (_ int, end bool, err error) {
	idle := 0
	for n < len(b) {
		k, err := r.Read(b[n:])
		n += k
		switch {
		case err == io.EOF:
			return n, true, nil
		case err != nil:
			return n, true, err
		case k > 0:
			idle = 0
		case idle == 100:
			return n, true, io.ErrNoProgress
		default:
			idle++
		}
	}
	return n, false, nil
}

// limited gives at most max bytes of r, then an error when r has more.
func limited(r io.Reader, max int64) io.Reader {
	return io.MultiReader(io.LimitReader(r, max), &overflow{r})
}

// overflow stands behind a limit: that there is anything to read is an error.
type overflow struct{ r io.Reader }

// Read implements io.Reader.
func (o *overflow) Read([]byte) (int, error) {
	var probe [1]byte
	n, err := o.r.Read(probe[:])
	if n > 0 {
		return 0, &LimitError{"unpacked"}
	}
	return 0, err
}
