package unpack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

// xzFile is the header of a block with the filters in front of LZMA2, then the
// block's bytes.
func xzFile(filters string, n int, dict byte) []byte {
	h := []byte{0, byte(n)}
	h = append(append(h, filters...), 0x21, 1, dict)
	h = append(h, make([]byte, -len(h)&3)...)
	h[0] = byte(len(h) / 4)
	return binary.LittleEndian.AppendUint32(h, crc32.ChecksumIEEE(h))
}

// xzStream is a stream without an index, and without checks.
func xzStream(header []byte, chunks string) []byte {
	h := []byte(xzMagic + "\x00\x00")
	h = binary.LittleEndian.AppendUint32(h, crc32.ChecksumIEEE(h[6:]))
	return append(append(h, header...), chunks...)
}

// rawChunk is a chunk of LZMA2 that is not packed; the first one begins a dictionary.
func rawChunk(first bool, text string) string {
	kind := byte(2)
	if first {
		kind = 1
	}
	return string([]byte{kind, byte((len(text) - 1) >> 8), byte(len(text) - 1)}) + text
}

func TestStreamsOfLZMAWithDamage(t *testing.T) {
	xz, lz, lzma := load(t, "xz.xz"), load(t, "lzip.lz"), load(t, "lzma.lzma")
	blocks, members := load(t, "xz-blocks.xz"), load(t, "lzip-members.lz")
	none := []byte(xzMagic + "\x00\x04\xe6\xd6\xb4\x46\x00\x00\x00\x00\x1c\xdf\x44\x21\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04YZ")
	raw := func(header []byte, chunks ...string) []byte { return xzStream(header, strings.Join(chunks, "")) }
	plain := xzFile("", 0, 20)
	for _, tt := range []struct {
		name      string
		data      []byte
		times     int // the marker is found
		unchecked string
	}{
		{"xz twice", join(xz, xz), 2, ""},
		{"xz after an empty stream", join(none, make([]byte, 8), xz), 1, ""},
		{"xz and something behind", join(xz, []byte("something")), 1, ""},
		{"xz with a wrong checksum", join(damage(xz, -29), xz), 2, "f/f: xz: f: damaged: wrong checksum"},
		{"xz with a wrong stream header", join(damage(xz, 9), xz), 2, "f/f: xz: f: damaged: wrong checksum of a stream's header"},
		{"xz with a wrong block header", join(damage(xz, 14), xz), 1, "f/f: xz: f: damaged: header of a block"},
		{"xz with a wrong index", join(damage(xz, -18), xz), 2, "f/f: xz: f: damaged: wrong checksum of an index"},
		{"xz without a footer", join(damage(xz, -1), xz), 2, "f/f: xz: f: damaged: no footer"},
		{"xz with a damaged block", damage(blocks, 60), 1, "f/f: xz: f: damaged: lzma: distance"},
		{"xz, a byte before its end", xz[:len(xz)-1], 1, "f/f: xz: f: damaged: cut short"},
		{"xz, cut off in its block", xz[:len(xz)-60], 1, "f/f: xz: f: damaged: cut short"},
		{"xz, an unknown filter", raw(xzFile("\x7f\x00", 1, 20)), 0, "f/f: xz: f: unsupported method: filter 0x7f"},
		{"xz, no LZMA2 at the end", raw(xzFile("\x21\x01\x14", 1, 20)), 0, "f/f: xz: f: unsupported method: filter 0x21"},
		{"xz, a dictionary that cannot be", raw(xzFile("", 0, 41)), 0, "f/f: xz: f: damaged: lzma: size of the dictionary"},
		{"xz, 4 GiB of dictionary", raw(xzFile("", 0, 40), rawChunk(true, marker)), 1, "f/f: xz: f: damaged: cut short"},
		{"xz, no dictionary", raw(plain, rawChunk(false, marker)), 0, "f/f: xz: f: damaged: lzma: first chunk"},
		{"xz, an unknown chunk", raw(plain, rawChunk(true, marker), "\x03"), 1, "f/f: xz: f: damaged: lzma: kind of chunk"},
		{"xz, state that was not set", raw(plain, rawChunk(true, marker), "\x80\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00"), 1, "f/f: xz: f: damaged: lzma: state of a chunk"},
		{"xz, properties that cannot be", raw(plain, rawChunk(true, marker), "\xc0\x00\x00\x00\x05\xff\x00\x00\x00\x00\x00"), 1, "f/f: xz: f: damaged: lzma: properties"},
		{"xz, chunks of both kinds of text", raw(plain, rawChunk(true, "KIYOME-"), rawChunk(false, "MARKER"), "\x00"), 1, "f/f: xz: f: damaged: cut short"},
		{"lzip twice", join(lz, lz), 2, ""},
		{"lzip, zeros, lzip", join(lz, make([]byte, 100), lz), 2, ""},
		{"lzip and something behind", join(lz, []byte("something")), 1, ""},
		{"lzip with a wrong checksum", join(damage(lz, -20), lz), 2, "f/f: lzip: f: damaged: wrong checksum"},
		{"lzip with a wrong size", join(damage(lz, -16), lz), 2, "f/f: lzip: f: damaged: wrong checksum"},
		{"lzip damaged", join(damage(lz, 12), lz), 1, "f/f: lzip: f: damaged: lzma: distance"},
		{"lzip with a damaged member", damage(members, 20), 6, "f/f: lzip: f: damaged: lzma: distance"},
		{"lzip of version 0", join(lz[:4], []byte{0}, lz[5:len(lz)-8], lz), 2, ""},
		{"lzip, cut off", lz[:len(lz)-40], 1, "f/f: lzip: f: damaged: cut short"},
		{"lzma and something behind", join(lzma, []byte("something")), 1, ""},
		{"lzma, cut off", lzma[:len(lzma)-10], 1, "f/f: lzma: f: damaged: cut short"},
		{"lzma of known size", join(lzma[:5], le64(100), lzma[13:]), 0, ""},
		{"lzma of a size that lies", join(lzma[:5], le64(1<<30), lzma[13:]), 1, "f/f: lzma: f: damaged: cut short"},
		{"lzma damaged", damage(lzma, 300), 1, "f/f: lzma: f: damaged: lzma: distance"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", tt.data)
			found := 0
			for _, data := range n.data[1:] {
				found += strings.Count(data, marker)
			}
			if got := strings.Join(n.unchecked, ";"); found != tt.times || got != tt.unchecked {
				t.Errorf("the marker was found %d times, want %d; unchecked %q, want %q", found, tt.times, got, tt.unchecked)
			}
		})
	}
}

func le64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

// A header of LZMA has no magic number: what is not one must not be taken for it.
func TestLZMAIsKnownByAllOfItsHeader(t *testing.T) {
	lzma := load(t, "lzma.lzma")
	for _, tt := range []struct {
		what string
		data []byte
		want bool
	}{
		{"the sample", lzma, true},
		{"properties that cannot be", join([]byte{225}, lzma[1:]), false},
		{"properties that nobody takes", join([]byte{8 + 4*9}, lzma[1:]), false},
		{"a dictionary of no power of two", join(lzma[:1], []byte{0, 0, 0x70, 0}, lzma[5:]), false},
		{"a dictionary of half as much again", join(lzma[:1], []byte{0, 0, 0x60, 0}, lzma[5:]), true},
		{"a dictionary of 2 KiB", join(lzma[:1], []byte{0, 8, 0, 0}, lzma[5:]), false},
		{"a size of 256 GiB", join(lzma[:5], le64(1<<38), lzma[13:]), false},
		{"a size of nothing", join(lzma[:5], le64(0), lzma[13:]), false},
		{"a first byte that cannot be", join(lzma[:13], []byte{1}, lzma[14:]), false},
		{"no literal first", join(lzma[:14], []byte{0x80}, lzma[15:]), false},
		{"nothing behind", lzma[:14], false},
		{"zeros", make([]byte, 1000), false},
		{"what cannot be unpacked", join(lzma[:14], bytes.Repeat([]byte{0x21}, 99)), false},
	} {
		if got := lzmaMatch(tt.data); got != tt.want {
			t.Errorf("%s: %v", tt.what, got)
		}
	}
}

func TestWindowsGrowAsTheyAreFilledAndAreGivenBack(t *testing.T) {
	for _, name := range []string{"xz.xz", "lzma.lzma", "lzip.lz", "zstd.zst", "7z-lzma2.7z", "7z-solid.7z", "7z-ppmd.7z", "rar5-solid.rar", "rar4.rar"} {
		w := NewWalker(NewArena(nil, 0), Limits{})
		n := &notes{}
		if err := w.Walk(t.Context(), nil, File{Name: "f", Data: load(t, name)}, n); err != nil {
			t.Fatal(err)
		}
		if w.memory.alive != 0 || w.memory.taken == 0 || len(n.unchecked) > 0 {
			t.Errorf("%s: %d bytes are not given back of %d that were taken; unchecked %q", name, w.memory.alive, w.memory.taken, n.unchecked)
		}
	}
	w := lzmaWindow{size: math.MaxInt, memory: &memory{}}
	var err error
	for err == nil {
		w.pos, w.out = len(w.buf), len(w.buf)
		err = w.room()
	}
	var limit *LimitError
	if !errors.As(err, &limit) || limit.Limit != "memory" || len(w.buf) != maxWindow {
		t.Errorf("%v at %d bytes, want the limit of memory at %d", err, len(w.buf), maxWindow)
	}
}

func TestMemoryIsBoundedForOneAndForAll(t *testing.T) {
	m := &memory{}
	for i, tt := range []struct {
		n  int64
		ok bool
	}{
		{maxWindow + 1, false}, {maxWindow, true}, {maxWindow, false}, {maxWindows - maxWindow, true}, {1, false},
	} {
		if err := m.take(tt.n); (err == nil) != tt.ok {
			t.Errorf("%d: %d bytes: %v", i, tt.n, err)
		}
	}
	m.give(maxWindows)
	m.taken = maxWindowsTaken
	if err := m.take(1); !errors.Is(err, ErrLimit) {
		t.Errorf("beyond all that may be taken: %v", err)
	}
	if (*memory)(nil).take(maxWindow) != nil || (*memory)(nil).take(maxWindow+1) == nil {
		t.Error("without a walk one window is bounded, not all")
	}
}

func TestWindowsThatAreDoneWithAreCollected(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	m := &memory{}
	for range 10 {
		if err := m.take(maxWindow); err != nil {
			t.Fatal(err)
		}
		window := make([]byte, maxWindow)
		window[0] = 1
		m.give(maxWindow)
		var now runtime.MemStats
		if runtime.ReadMemStats(&now); now.HeapInuse > tidyFrom+2*maxWindow {
			t.Fatalf("%d MiB in use", now.HeapInuse>>20)
		}
	}
}

// Files in testdata/bombs hold 10 GB of zeros, or 1 GB (b.lz, b.7z.xz), packed by xz
// 5.4.1, zstd 1.5.4, lzip 1.23 and 7z 26.02, and then packed again, so that they are small.
func TestBombsOfCompressorsAreBounded(t *testing.T) {
	for _, name := range []string{"b.xz", "b.zst", "b.lz", "b.7z.xz"} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", "bombs", name))
			if err != nil {
				t.Fatal(err)
			}
			n := &notes{discard: true}
			n.walk(t, NewArena(nil, 0), Limits{Unpacked: 100 << 20}, "f", data)
			if len(n.unchecked) == 0 || !strings.Contains(n.unchecked[0], "limit: unpacked") || n.bytes > 101<<20 {
				t.Errorf("%d bytes, unchecked %q", n.bytes, n.unchecked)
			}
		})
	}
}

func TestDictionariesOfManyGiB(t *testing.T) {
	lzma, sevenZip := load(t, "lzma.lzma"), load(t, "7z-plain.7z")
	dict := bytes.Index(sevenZip, []byte("\x03\x01\x01\x05\x5d")) + 5
	big := join(sevenZip[:dict], []byte{0xff, 0xff, 0xff, 0xff}, sevenZip[dict+4:])
	for _, tt := range []struct {
		name, want string
		data       []byte
	}{
		{"lzma", "", join(lzma[:1], []byte{0xff, 0xff, 0xff, 0xff}, lzma[5:])},
		{"7z", "f: 7z: damaged: wrong checksum of its header", big},
	} {
		n := walked(t, Limits{}, "f", tt.data)
		if n.marked == "" || strings.Join(n.unchecked, ";") != tt.want {
			t.Errorf("%s: objects %q, unchecked %q", tt.name, n.objects, n.unchecked)
		}
	}
	for name, w := range rarWriters {
		e := rarEntry{name: "a.txt", text: rarText("nothing"), packed: true, dict: 15, size: 4 << 30}
		if name == "rar4" {
			continue // it has no more than 4 MiB
		}
		b := rarEntry{name: "b.txt", text: rarText(marker), packed: true}
		objects, unchecked := ranTold(t, w.archive(false, e, b))
		if want := "rar: a.txt: limit: memory"; objects != "b.txt*" || unchecked != want {
			t.Errorf("objects %q, unchecked %q, want %q", objects, unchecked, want)
		}
	}
}
