package scan

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kiyome/scan/mime"
)

// spool writes pieces into a spool that has room bytes of memory.
func spool(t *testing.T, room int64, pieces ...string) *Message {
	t.Helper()
	spools := NewSpools(t.TempDir(), room)
	s := spools.New()
	for _, p := range pieces {
		if n, err := s.Write([]byte(p)); err != nil || n != len(p) {
			t.Fatalf("wrote %d of %d: %v", n, len(p), err)
		}
	}
	m, err := s.Message(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if used := spools.used.Load(); used != 0 {
			t.Errorf("%d bytes of room are kept", used)
		}
	})
	return m
}

func TestSpoolKeepsEveryByte(t *testing.T) {
	piece := func(c string, n int) string { return strings.Repeat(c, n) }
	const half, mib = spoolSmall / 2, 1 << 20
	for _, tt := range []struct {
		name   string
		room   int64
		pieces []string
		lies   string
	}{
		{"empty", mib, nil, ""},
		{"small", 0, []string{"one", "two", "three"}, ""},
		{"growing", 0, []string{piece("a", spoolFirst), "b", piece("c", spoolFirst), piece("d", spoolFirst)}, ""},
		{"just small", 0, []string{piece("a", half), piece("b", half)}, ""},
		{"in memory on the way", mib, []string{piece("a", half), piece("b", half), "c"}, "memfd"},
		{"in memory at once", mib, []string{piece("a", 3*half), "b"}, "memfd"},
		{"more room on the way", mib, []string{piece("a", spoolStep), piece("b", spoolStep)}, "memfd"},
		{"no room at once", 0, []string{piece("a", 3*half), "b"}, "disk"},
		{"no room on the way", spoolStep, []string{piece("a", spoolStep), "b", "c"}, "disk"},
		{"large", 2 * spoolMemory, []string{piece("a", mib), piece("b", spoolMemory-mib), "c", "d"}, "disk"},
		{"just in memory", 2 * spoolMemory, []string{piece("a", mib), piece("b", spoolMemory-mib)}, "memfd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := spool(t, tt.room, tt.pieces...)
			want := strings.Join(tt.pieces, "")
			got, err := io.ReadAll(io.NewSectionReader(m, 0, m.Size()))
			if err != nil || string(got) != want || m.Size() != int64(len(want)) {
				t.Errorf("got %d of %d bytes, %v; want %d", len(got), m.Size(), err, len(want))
			}
			sum, err := m.Digest()
			if err != nil || sum != sha256.Sum256([]byte(want)) {
				t.Errorf("digest %x, %v", sum, err)
			}
			if lies := whereItLies(t, m); lies != tt.lies {
				t.Errorf("it lies in %q, want %q", lies, tt.lies)
			}
			copied, err := os.CreateTemp(t.TempDir(), "")
			if err != nil {
				t.Fatal(err)
			}
			defer copied.Close()
			if err := m.WriteRange(copied, m.Size()/3, m.Size()); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(copied.Name()); err != nil || string(got) != want[len(want)/3:] {
				t.Errorf("copied %d bytes, %v", len(got), err)
			}
		})
	}
}

// whereItLies names what is behind a message's descriptor.
func whereItLies(t *testing.T, m *Message) string {
	t.Helper()
	if m.file == nil {
		return ""
	}
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", m.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(name, "/memfd:") {
		return "memfd"
	}
	return "disk"
}

// TestRoomIsShared fills the room with one message: the next one goes to disk, and the
// one after it has the room that the first has left.
func TestRoomIsShared(t *testing.T) {
	spools := NewSpools(t.TempDir(), spoolStep)
	take := func() *Message {
		s := spools.New()
		if _, err := s.Write(make([]byte, 2*spoolSmall)); err != nil {
			t.Fatal(err)
		}
		m, err := s.Message(0)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	first, second := take(), take()
	if a, b := whereItLies(t, first), whereItLies(t, second); a != "memfd" || b != "disk" {
		t.Errorf("they lie in %q and %q", a, b)
	}
	first.Close()
	third := take()
	if got := whereItLies(t, third); got != "memfd" {
		t.Errorf("with room again it lies in %q", got)
	}
	second.Close()
	third.Close()

	dropped := spools.New()
	dropped.Write(make([]byte, 2*spoolSmall))
	dropped.Close()
	if used := spools.used.Load(); used != 0 {
		t.Errorf("%d bytes of room are kept", used)
	}
}

func TestNobodyWritesToAMessage(t *testing.T) {
	for _, tt := range []struct {
		name string
		room int64
		text string
		want error
	}{
		{"small", 0, "message", unix.EPERM},
		{"in memory", 1 << 20, strings.Repeat("message", 10_000), unix.EPERM},
		{"on disk", 0, strings.Repeat("message", 10_000), unix.EBADF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := spool(t, tt.room, tt.text)
			f, err := m.File()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20)); string(got) != tt.text || err != nil {
				t.Errorf("the file has %d bytes, %v", len(got), err)
			}
			if again, err := m.File(); again != f || err != nil {
				t.Errorf("asked again: %v, %v", again, err)
			}
			if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, tt.want) {
				t.Errorf("write: %v, want %v", err, tt.want)
			}
			if err := f.Truncate(0); err == nil {
				t.Error("truncated")
			}
			if _, err := unix.Mmap(int(f.Fd()), 0, 7, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
				t.Error("mapped for writing")
			}
		})
	}
}

func TestSpoolLeavesNoFile(t *testing.T) {
	dir := t.TempDir()
	s := NewSpool(dir)
	if _, err := s.Write(make([]byte, spoolMemory+1)); err != nil {
		t.Fatal(err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("files %v, %v", names, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestSpoolWithoutItsFolderFails(t *testing.T) {
	s := NewSpool(filepath.Join(t.TempDir(), "gone"))
	defer s.Close()
	if _, err := s.Write([]byte("small")); err != nil {
		t.Errorf("in memory: %v", err)
	}
	if n, err := s.Write(make([]byte, spoolMemory)); n != 0 || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %d, %v; want that the folder is not there", n, err)
	}
}

func TestBareLineFeedsAreCounted(t *testing.T) {
	for _, tt := range []struct {
		name   string
		pieces []string
		want   int64
	}{
		{"none", []string{"a\r\nb\r\n"}, 0},
		{"one", []string{"a\r\nb\n"}, 1},
		{"at the start", []string{"\na"}, 1},
		{"two", []string{"a\n\nb"}, 2},
		{"CR and LF in two writes", []string{"a\r", "\nb"}, 0},
		{"LF at the start of a write", []string{"a", "\nb"}, 1},
		{"CR, nothing, LF", []string{"a\r", "", "\n"}, 0},
		{"CR CR LF", []string{"\r\r\n"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var count LineCounter
			for _, p := range tt.pieces {
				io.WriteString(&count, p)
			}
			if count.BareLF != tt.want {
				t.Errorf("got %d, want %d", count.BareLF, tt.want)
			}
		})
	}
}

func TestRangesAreWrittenAsTheyAre(t *testing.T) {
	m := spool(t, 100, "0123456789")
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var b bytes.Buffer
	for _, r := range []mime.Range{{Start: 0, End: 3}, {Start: 5, End: 5}, {Start: 7, End: 10}} {
		for _, w := range []io.Writer{file, &b} {
			if err := m.WriteRange(w, int64(r.Start), int64(r.End)); err != nil {
				t.Error(err)
			}
		}
	}
	got, err := os.ReadFile(file.Name())
	if err != nil || string(got) != "012789" || b.String() != "012789" {
		t.Errorf("file %q, buffer %q, %v", got, b.String(), err)
	}
	for _, w := range []io.Writer{file, &b} {
		if err := m.WriteRange(w, 8, 12); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("past the end: %v", err)
		}
	}
}

func TestKeepIsWhatACutLeaves(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int64
		cut  []mime.Range
		want []mime.Range
	}{
		{"nothing cut", 10, nil, []mime.Range{{Start: 0, End: 10}}},
		{"empty", 0, nil, nil},
		{"the middle", 10, []mime.Range{{Start: 3, End: 5}}, []mime.Range{{Start: 0, End: 3}, {Start: 5, End: 10}}},
		{"both ends", 10, []mime.Range{{Start: 0, End: 2}, {Start: 8, End: 10}}, []mime.Range{{Start: 2, End: 8}}},
		{"touching", 10, []mime.Range{{Start: 2, End: 4}, {Start: 4, End: 6}}, []mime.Range{{Start: 0, End: 2}, {Start: 6, End: 10}}},
		{"all", 10, []mime.Range{{Start: 0, End: 10}}, nil},
		{"past the end", 10, []mime.Range{{Start: 8, End: 20}}, []mime.Range{{Start: 0, End: 8}}},
		{"beyond the end", 10, []mime.Range{{Start: 12, End: 20}}, []mime.Range{{Start: 0, End: 10}}},
		{"overlapping", 10, []mime.Range{{Start: 2, End: 6}, {Start: 4, End: 5}}, []mime.Range{{Start: 0, End: 2}, {Start: 6, End: 10}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Keep(tt.size, tt.cut); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestMapGivesTheBytes(t *testing.T) {
	for _, size := range []int{0, 1, mapFrom - 1, mapFrom, 3 * mapFrom} {
		want := bytes.Repeat([]byte("kiyome!"), size)[:size]
		m := spool(t, 1<<20, string(want))
		f, err := m.File()
		if err != nil {
			t.Fatal(err)
		}
		if got, release, err := m.Map(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: the message maps as others, %v", size, err)
		} else {
			release()
		}
		got, release, err := Map(f, m.Size())
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: not the same, %v", size, err)
		}
		release()
	}
}
