package scan

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kiyome/scan/mime"
)

// spool writes pieces into a spool of limit bytes of memory.
func spool(t *testing.T, limit int64, pieces ...string) *Message {
	t.Helper()
	s, err := NewSpool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s.limit = limit
	for _, p := range pieces {
		if n, err := s.Write([]byte(p)); err != nil || n != len(p) {
			t.Fatalf("wrote %d of %d: %v", n, len(p), err)
		}
	}
	m, err := s.Message()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestSpoolKeepsEveryByte(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limit  int64
		pieces []string
	}{
		{"empty", 100, nil},
		{"in memory", 100, []string{"one", "two", "three"}},
		{"just in memory", 11, []string{"one", "two", "three"}},
		{"to disk on the way", 6, []string{"one", "two", "three", "four"}},
		{"to disk at once", 2, []string{"one", "two"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := spool(t, tt.limit, tt.pieces...)
			want := strings.Join(tt.pieces, "")
			got, err := io.ReadAll(io.NewSectionReader(m, 0, m.Size()))
			if err != nil || string(got) != want || m.Size() != int64(len(want)) {
				t.Errorf("got %q of %d bytes, %v; want %q", got, m.Size(), err, want)
			}
			sum, err := m.Digest()
			if err != nil || sum != sha256.Sum256([]byte(want)) {
				t.Errorf("digest %x, %v", sum, err)
			}
		})
	}
}

func TestNobodyWritesToAMessage(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit int64
		want  error
	}{
		{"in memory", 100, unix.EPERM},
		{"on disk", 2, unix.EBADF},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := spool(t, tt.limit, "message")
			if _, err := m.File().WriteAt([]byte("x"), 0); !errors.Is(err, tt.want) {
				t.Errorf("write: %v, want %v", err, tt.want)
			}
			if err := m.File().Truncate(0); err == nil {
				t.Error("truncated")
			}
			if _, err := unix.Mmap(int(m.File().Fd()), 0, 7, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
				t.Error("mapped for writing")
			}
		})
	}
}

func TestSpoolLeavesNoFile(t *testing.T) {
	dir := t.TempDir()
	s, err := NewSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
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
	s, err := NewSpool(filepath.Join(t.TempDir(), "gone"))
	if err != nil {
		t.Fatal(err)
	}
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
			if got := spool(t, 100, tt.pieces...).BareLF(); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
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
		got, release, err := Map(m.File(), m.Size())
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: not the same, %v", size, err)
		}
		release()
	}
}
