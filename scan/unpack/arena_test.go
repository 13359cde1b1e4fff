package unpack

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"
)

// scratchFile is an empty unlinked file.
func scratchFile(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "scratch"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func size(t testing.TB, f *os.File) int64 {
	t.Helper()
	s, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return s.Size()
}

func TestHoldKeepsWhatWasRead(t *testing.T) {
	for _, n := range []int{0, 1, 4095, 4096, 4097, 100_000, 1 << 20, 3<<20 + 1} {
		want := bytes.Repeat([]byte("0123456"), n/7+1)[:n]
		for _, threshold := range []int{1, 5000, 1 << 20} {
			for _, file := range []*os.File{nil, scratchFile(t)} {
				a := NewArena(file, threshold)
				got, release, err := a.Hold(iotest.HalfReader(bytes.NewReader(want)), math.MaxInt64, 0)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%d bytes, threshold %d: %d bytes, err %v", n, threshold, len(got), err)
				}
				if file != nil && n >= 8192 && n > 2*threshold && size(t, file) < int64(n) {
					t.Errorf("%d bytes, threshold %d: %d bytes in the scratch file", n, threshold, size(t, file))
				}
				release()
				if file != nil && size(t, file) != 0 {
					t.Errorf("%d bytes stay in the scratch file", size(t, file))
				}
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

func TestHoldReturnsTheBytesBeforeAnError(t *testing.T) {
	odd := errors.New("odd")
	for _, n := range []int{10, 100_000} {
		text := strings.Repeat("x", n)
		for _, file := range []*os.File{nil, scratchFile(t)} {
			a := NewArena(file, 5000)
			data, release, err := a.Hold(io.MultiReader(strings.NewReader(text), iotest.ErrReader(odd)), math.MaxInt64, 0)
			if string(data) != text || !errors.Is(err, odd) {
				t.Errorf("%d bytes and %v, want %d and %v", len(data), err, n, odd)
			}
			release()
			data, release, err = a.Hold(strings.NewReader(text), int64(n-1), 0)
			if string(data) != text[1:] || !errors.Is(err, ErrLimit) {
				t.Errorf("%d bytes and %v, want %d and %v", len(data), err, n-1, ErrLimit)
			}
			release()
			if data, _, err = a.Hold(strings.NewReader(text), int64(n), 0); string(data) != text || err != nil {
				t.Errorf("%d bytes and %v, want %d and no error", len(data), err, n)
			}
			a.Close()
		}
	}
}

func TestMemoryIsUsedAgain(t *testing.T) {
	a := NewArena(nil, 0)
	r, content := bytes.NewReader(nil), []byte(text)
	hold := func() {
		r.Reset(content)
		h, err := a.hold(r, math.MaxInt64, int64(len(text)))
		if err != nil {
			t.Fatal(err)
		}
		h.release()
	}
	if n := testing.AllocsPerRun(100, hold); n > 0 {
		t.Errorf("%v allocations for each object, want none", n)
	}
	if a.memory != 0 {
		t.Errorf("%d bytes are held", a.memory)
	}
}

// TestArenaIsUsedForTheNextMessage closes an arena: of its buffers it keeps some, and
// nothing of the message.
func TestArenaIsUsedForTheNextMessage(t *testing.T) {
	a := NewArena(scratchFile(t), 0)
	r, content := bytes.NewReader(nil), []byte(text)
	message := func() {
		r.Reset(content)
		if _, err := a.hold(r, math.MaxInt64, int64(len(text))); err != nil { // never released
			t.Fatal(err)
		}
	}
	for range 3 {
		var releases []func()
		for range 20 {
			_, release, err := a.Hold(io.LimitReader(zeroReader{}, 1<<20), math.MaxInt64, 0)
			if err != nil {
				t.Fatal(err)
			}
			releases = append(releases, release)
		}
		for _, release := range releases {
			release()
		}
		message()
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		kept := 0
		for _, buffers := range a.free {
			for _, b := range buffers {
				kept += len(b)
			}
		}
		if kept == 0 || kept > arenaKeep || a.memory != 0 {
			t.Errorf("%d bytes of buffers are kept, %d in use; want some, at most %d, and none", kept, a.memory, arenaKeep)
		}
		f := scratchFile(t)
		a.Use(f)
		data, release, err := a.Hold(io.LimitReader(zeroReader{}, 5<<20), math.MaxInt64, 0)
		if err != nil || len(data) != 5<<20 || size(t, f) < 5<<20 {
			t.Errorf("in the next file: %d bytes, %d there, %v", len(data), size(t, f), err)
		}
		release()
	}
}

func TestMemoryInUseIsBounded(t *testing.T) {
	f := scratchFile(t)
	a := NewArena(f, 0)
	for range 40 { // objects of 3 MiB, each below the threshold
		if _, _, err := a.Hold(io.LimitReader(zeroReader{}, 3<<20), math.MaxInt64, 0); err != nil {
			t.Fatal(err)
		}
		if a.memory > arenaMemory {
			t.Fatalf("%d bytes in memory, want at most %d", a.memory, arenaMemory)
		}
	}
	if size(t, f) == 0 {
		t.Error("nothing in the scratch file")
	}
	if err := a.Close(); err != nil || size(t, f) != 0 {
		t.Errorf("close: %v, %d bytes stay in the scratch file", err, size(t, f))
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestScratchRoomComesBackInAnyOrder(t *testing.T) {
	f := scratchFile(t)
	a := NewArena(f, 1)
	var releases []func()
	for range 3 {
		_, release, err := a.Hold(io.LimitReader(zeroReader{}, 1<<20), math.MaxInt64, 0)
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	blocks := func() int64 {
		var s unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &s); err != nil {
			t.Fatal(err)
		}
		return s.Blocks
	}
	before := blocks()
	releases[0]()
	if after := blocks(); after >= before {
		t.Errorf("%d blocks after a release in the middle, %d before", after, before)
	}
	releases[2]()
	if got := size(t, f); got > 2<<20+pageSize {
		t.Errorf("%d bytes after the last was released", got)
	}
	releases[1]()
	if got := size(t, f); got != 0 {
		t.Errorf("%d bytes after all were released", got)
	}
}

func TestAFullScratchFileIsALimit(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	f := scratchFile(t)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1 << 20, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_FSIZE, &old)
	data := []byte(honest("large", text+strings.Repeat("x", 4<<20)))
	n := &notes{}
	a := NewArena(f, 1<<16)
	n.walk(t, a, Limits{}, "f", data)
	if len(n.unchecked) != 1 || !strings.HasPrefix(n.unchecked[0], "f: zip: large: limit: scratch") || a.Fault() != nil {
		t.Errorf("unchecked %q, fault %v; want the limit of the scratch file", n.unchecked, a.Fault())
	}
	if len(n.data) != 2 || len(n.data[1]) != 1<<20 || !strings.HasPrefix(n.data[1], text) {
		t.Errorf("%d objects, the last of %d bytes; want the container and the first MiB of its member", len(n.data), len(n.data[len(n.data)-1]))
	}
}

// What the message made too large is its own limit; what the disk refuses is not.
func TestTheFaultOfADiskIsTold(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	a := NewArena(full, 1<<16)
	if err := a.Fault(); err != nil {
		t.Errorf("at first: %v", err)
	}
	if _, _, err := a.Hold(strings.NewReader(strings.Repeat("x", 1<<20)), 1<<30, 0); !errors.Is(err, ErrLimit) {
		t.Errorf("hold: %v", err)
	}
	if err := a.Fault(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("after it: %v", err)
	}
}

func TestAWalkLeavesNothingInItsArena(t *testing.T) {
	f := scratchFile(t)
	a := NewArena(f, 1<<16)
	n := &notes{}
	data := []byte(honest("in.zip", honest("large", text+strings.Repeat("x", 1<<20))))
	if err := NewWalker(a, Limits{}).Walk(t.Context(), nil, File{Name: "f", Data: data}, n); err != nil {
		t.Fatal(err)
	}
	if n.marked != "in.zip/large" || len(n.unchecked) > 0 {
		t.Errorf("marker in %q, unchecked %q", n.marked, n.unchecked)
	}
	if a.memory != 0 || size(t, f) != 0 {
		t.Errorf("%d bytes in memory and %d in the scratch file", a.memory, size(t, f))
	}
}
