package unpack

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

func FuzzARC(f *testing.F) {
	for method := range byte(12) {
		f.Add([]byte(arcOf(arcTestFile{"A", method, "abc", text})))
	}
	f.Add([]byte(arcOf(arcTestFile{"A", 5, arcCrunchedOf(text, false), text})))
	fuzz(f, "arc")
}

// arcTestFile is a member to be written.
type arcTestFile struct {
	name          string
	method        byte
	packed, plain string
}

// arcOf writes an archive.
func arcOf(files ...arcTestFile) string {
	var b []byte
	le := binary.LittleEndian
	for _, f := range files {
		b = append(b, arcMark, f.method)
		b = append(b, f.name+strings.Repeat("\x00", arcNameSize-len(f.name))...)
		b = le.AppendUint32(b, uint32(len(f.packed)))
		b = append(b, "\x7a\x5d\x71\x0c"...)
		b = le.AppendUint16(b, arcCRC(0, []byte(f.plain)))
		if f.method != arcStoredOld {
			b = le.AppendUint32(b, uint32(len(f.plain)))
		}
		if f.method&arcSpark != 0 {
			b = append(b, make([]byte, arcMore)...)
		}
		b = append(b, f.packed...)
	}
	return string(append(b, arcMark, arcEnd))
}

// arcCrunchedOf crunches as ARC 4 did. No program that runs here does so; what it
// gives here ARC 5.21 unpacks, and so does unar 1.10.
func arcCrunchedOf(s string, fast bool) string {
	c := &arcCrunch{}
	c.reset(nil, fast)
	code := func(prefix uint16, suffix byte) int {
		return slices.IndexFunc(c.table[:], func(s arcString) bool { return s.used && s.prefix == prefix && s.suffix == suffix })
	}
	w := kwajWriter{}
	last := code(arcNoPrefix, s[0])
	for _, b := range []byte(s[1:]) {
		if next := code(uint16(last), b); next >= 0 {
			last = next
			continue
		}
		w.write(last, arcCrunchBits)
		c.define(uint16(last), b)
		last = code(arcNoPrefix, b)
	}
	w.write(last, arcCrunchBits)
	return w.bytes()
}

// arcRunsOf packs runs.
func arcRunsOf(s string) string {
	var b []byte
	for i := 0; i < len(s); {
		n := 1
		for n < 255 && i+n < len(s) && s[i+n] == s[i] {
			n++
		}
		b = append(b, s[i])
		switch {
		case s[i] == arcRepeat:
			b, n = append(b, 0), 1
		case n > 2:
			b = append(b, arcRepeat, byte(n))
		default:
			n = 1
		}
		i += n
	}
	return string(b)
}

// arcMethodsOfAll are members in methods that no program here writes.
func arcMethodsOfAll() []arcTestFile {
	long := strings.Repeat(text, 3) + strings.Repeat("a", 1000) + "\x90\x90\x90" + benchText()[:20000] + marker
	return []arcTestFile{
		{"OLD", arcStoredOld, text, text},
		{"PACKED", 3, arcRunsOf(long), long},
		{"CRUNCH5", 5, arcCrunchedOf(long, false), long},
		{"CRUNCH6", 6, arcCrunchedOf(arcRunsOf(long), false), long},
		{"CRUNCH7", 7, arcCrunchedOf(arcRunsOf(long), true), long},
	}
}

func TestARCInMethodsOfAllVersions(t *testing.T) {
	for _, f := range arcMethodsOfAll() {
		t.Run(f.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", []byte(arcOf(f)))
			if len(n.data) != 2 || n.data[1] != f.plain || len(n.unchecked) > 0 {
				t.Errorf("objects %q, unchecked %q", n.objects, n.unchecked)
			}
			for cut := range len(f.packed) {
				if cut > 300 && cut < len(f.packed)-300 {
					continue
				}
				g := f
				g.packed = g.packed[:cut]
				if n := walked(t, Limits{}, "f", []byte(arcOf(g))); len(n.unchecked) == 0 {
					t.Fatalf("packed bytes cut to %d of %d, and not a word", cut, len(f.packed))
				}
			}
		})
	}
}

func TestARCThatIsOdd(t *testing.T) {
	one, two := arcTestFile{"A.TXT", arcStored, text, text}, arcTestFile{"B.TXT", arcStored, "b", "b"}
	spark := arcTestFile{"A", arcStored | arcSpark, text, text}
	inner := arcOf(one)
	folder := arcTestFile{"DIR", arcFolder, inner[:len(inner)-1] + "\x1f", ""}
	empty := arcTestFile{"EMPTY", 4, "\x00\x00", ""}
	for _, tt := range []struct {
		name, data, objects, unchecked string
	}{
		{"two members", arcOf(one, two), "A.TXT B.TXT", ""},
		{"no end", strings.TrimSuffix(arcOf(one), "\x1a\x00"), "A.TXT", ""},
		{"zeros behind", arcOf(one) + strings.Repeat("\x00", 100), "A.TXT", ""},
		{"joined", arcOf(two) + arcOf(one), "B.TXT A.TXT", ""},
		{"behind a program", "MZ" + strings.Repeat("\x1a", 30) + arcOf(two, one), "B.TXT A.TXT", ""},
		{"of Spark", arcOf(spark), "A", ""},
		{"a folder", arcOf(folder), "DIR DIR/A.TXT", ""},
		{"nothing squeezed", arcOf(empty), "EMPTY", ""},
		{"damage between", strings.Replace(arcOf(two, one, two), "\x1a\x02A.TXT", "\x1b\x02A.TXT", 1), "B.TXT B.TXT", "no header where one should be"},
		{"a wrong checksum", strings.Replace(arcOf(one), marker, "KIYOME-MARKED", 1), "A.TXT", "wrong checksum"},
		{"longer than the file", arcOf(one)[:60], "A.TXT", "cut short"},
		{"crushed", arcOf(arcTestFile{"A", 10, text, text}), "", "unsupported"},
		{"codes too long", arcOf(arcTestFile{"A", 8, "\x1f" + text, text}), "", "codes of 31 bits"},
		{"nothing crunched", arcOf(arcTestFile{"A", 8, "", text}), "", "cut short"},
		{"a tree that leads out of itself", arcOf(arcTestFile{"A", 4, "\x01\x00\x05\x00\x05\x00\x00", text}), "", "no such code"},
		{"a tree that is a circle", arcOf(arcTestFile{"A", 4, "\x01\x00\x00\x00\x00\x00" + text, text}), "", "cut short"},
		{"a tree with too many nodes", arcOf(arcTestFile{"A", 4, "\xff\xff" + text, text}), "", "tree of 65535 nodes"},
		{"text behind Ctrl-Z", "\x1a\x02 is what ends a text", "", ""},
		{"a date that is none", "\x1a\x02A.TXT\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\x00\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", []byte(tt.data))
			if got := strings.ReplaceAll(strings.Join(n.objects[1:], " "), "f/", ""); got != tt.objects {
				t.Errorf("objects %q, want %q", got, tt.objects)
			}
			got := strings.Join(n.unchecked, ";")
			if tt.unchecked == "" && got != "" || !strings.Contains(got, tt.unchecked) {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
		})
	}
}

func TestARCPasswords(t *testing.T) {
	garbled := load(t, "arc-garbled.arc")
	xor := func(s, password string) string {
		b := []byte(s)
		for i := range b {
			b[i] ^= password[i%len(password)]
		}
		return string(b)
	}
	stored := []byte(arcOf(arcTestFile{"A", arcStored, xor(text, "kiyome"), text}))
	for _, tt := range []struct {
		name      string
		data      []byte
		passwords []string
		found     bool
	}{
		{"the right one", garbled, []string{"wrong", "", "kiyome"}, true},
		{"a wrong one", garbled, []string{"wrong"}, false},
		{"none", garbled, nil, false},
		{"the right one, stored", stored, []string{"wrong", "kiyome"}, true},
		{"a wrong one, stored", stored, []string{"kiyom"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := &notes{passwords: tt.passwords}
			n.walk(t, NewArena(nil, 0), Limits{}, "f", tt.data)
			if found := n.marked != ""; found != tt.found || len(n.unchecked) == 0 {
				t.Errorf("found %v, unchecked %q", found, n.unchecked)
			}
		})
	}
}

func TestARCThatLacksTheCodeForItsEnd(t *testing.T) {
	data := load(t, "arc-squeezed.arc")
	// The last bits say that the bytes end: without them there are some more.
	at := len(data) - 3
	n := walked(t, Limits{}, "f", slices.Concat(data[:at], []byte{data[at] ^ 0xe0}, data[at+1:]))
	if n.marked != "text.txt" {
		t.Errorf("objects %q, unchecked %q", n.objects, n.unchecked)
	}
	if len(n.unchecked) > 0 && !bytes.Contains([]byte(n.unchecked[0]), []byte("damaged")) {
		t.Errorf("unchecked %q", n.unchecked)
	}
}

func TestARCHeadersInARowAreBounded(t *testing.T) {
	// Each member begins within the one before.
	data := strings.Repeat("\x1a\x02A\x00", 50_000) + arcOf(arcTestFile{"A", arcStored, text, text})
	n := &notes{discard: true}
	n.walk(t, NewArena(nil, 0), Limits{}, "f", []byte(data))
	if n.bytes > 4*int64(len(data)) {
		t.Errorf("%d bytes were handed out of %d", n.bytes, len(data))
	}
}
