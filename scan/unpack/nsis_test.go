package unpack

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
)

func FuzzNSIS(f *testing.F) {
	f.Add(nsisOf(nsisSolidly(nsisScriptOf(nsisFile{"a", 0}, nsisFile{"b", 2}), text)))
	f.Add(nsisOf(nsisApart(nsisScriptOf(nsisFile{"a", 0}, nsisFile{"b", 2}), text)))
	fuzz(f, "nsis")
}

// nsisOf puts a first header in front of what an installer holds.
func nsisOf(header int, body string) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, nsisNoCRC)
	b = append(b, nsisMagic...)
	b = le.AppendUint32(b, uint32(header))
	b = le.AppendUint32(b, uint32(nsisFirstSize+len(body)))
	return append(b, body...)
}

// nsisInside puts it behind a program.
func nsisInside(data []byte) []byte {
	return append(append([]byte("MZ"), make([]byte, nsisAlign-2)...), data...)
}

func nsisDeflated(s string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 9)
	w.Write([]byte(s))
	w.Close()
	return b.String()
}

func nsisLength(n int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }

// nsisApart packs each item by itself.
func nsisApart(script string, items ...string) (header int, body string) {
	for _, s := range append([]string{script}, items...) {
		packed := nsisDeflated(s)
		body += nsisLength(len(packed)|nsisPacked) + packed
	}
	return len(script), body
}

// nsisSolidly packs all items together.
func nsisSolidly(script string, items ...string) (header int, body string) {
	for _, s := range append([]string{script}, items...) {
		body += nsisLength(len(s)) + s
	}
	return len(script), nsisDeflated(body)
}

// nsisFile is a file that a script unpacks.
type nsisFile struct {
	name string
	at   uint32
}

// nsisScriptOf writes the parts of a script that are read.
func nsisScriptOf(files ...nsisFile) string {
	le := binary.LittleEndian
	const entries = 4 + 8*nsisBlocks
	table := []byte{0}
	b := make([]byte, entries)
	le.PutUint32(b[4+8*nsisEntryBlock:], entries)
	le.PutUint32(b[4+8*nsisEntryBlock+4:], uint32(len(files)))
	le.PutUint32(b[4+8*nsisStringBlock:], uint32(entries+nsisEntrySize*len(files)))
	for _, f := range files {
		e := make([]byte, nsisEntrySize)
		le.PutUint32(e, nsisExtractFile)
		le.PutUint32(e[8:], uint32(len(table)))
		le.PutUint32(e[12:], f.at)
		table = append(append(table, f.name...), 0)
		b = append(b, e...)
	}
	return string(append(b, table...))
}

func TestNSISThatLies(t *testing.T) {
	marked := strings.Repeat("x", 100) + text
	hole := nsisLength(7) + text[:7] // an item within one
	plain := nsisScriptOf(nsisFile{"a.txt", 0})
	inner := nsisScriptOf(nsisFile{"a.txt", 0}, nsisFile{"b.txt", 4 + 3}, nsisFile{"c.txt", 1 << 30})
	within := "abc" + nsisLength(len(text)) + text
	stored := func(s string) string { return nsisLength(len(s)) + s }
	change := func(data []byte, at int, v uint32) []byte {
		data = slices.Clone(data)
		binary.LittleEndian.PutUint32(data[at:], v)
		return data
	}
	apart, solid := nsisOf(nsisApart(plain, marked)), nsisOf(nsisSolidly(plain, marked))
	const headerAt, allAt = 20, 24
	for _, tt := range []struct {
		name, objects, unchecked string
		data                     []byte
	}{
		{"items apart", "script a.txt", "", apart},
		{"solid", "script a.txt", "", solid},
		{"behind a program", "script a.txt", "", nsisInside(apart)},
		{"of version 1", "script a.txt", "", bytes.Replace(solid, []byte("Nullsoft"), []byte("NullSoft"), 1)},
		{"unknown flags", "script a.txt", "", change(solid, 0, 0xfffffff4)},
		{"two of them", "script a.txt script a.txt", "", nsisInside(append(append(slices.Clone(apart), make([]byte, nsisAlign-len(apart))...), solid...))},
		{"nothing is packed", "script a.txt", "", nsisOf(len(plain), stored(plain)+stored(text))},
		{"something behind", "script a.txt", "", append(slices.Clone(apart), "a signature"...)},
		{"a script that is longer than it is said to be", "script a.t", "a.t: damaged: cut short", change(solid, headerAt, uint32(len(plain)-3))},
		{"a script that is shorter", "script a.txt", "nsis: damaged: length of the script", change(solid, headerAt, 1<<31)},
		{"longer than the file", "script a.txt", "nsis: damaged: cut short", change(apart, allAt, 1<<31)},
		{"no length", "script a.txt", "", change(apart, allAt, 0)},
		{"an item within another, apart", "script a.txt b.txt", "c.txt: damaged", nsisOf(nsisStoredApart(inner, within))},
		{"an item within another, solid", "script a.txt b.txt", "c.txt: damaged", nsisOf(nsisSolidly(inner, within))},
		{"cut in the script", "script", "damaged: cut short", apart[:60]},
		{"nothing behind the header", "", "damaged: cut short", apart[:nsisFirstSize]},
		{"an item longer than the file", "script a.txt", "a.txt: damaged: cut short", nsisOf(len(plain), stored(plain)+nsisLength(1000)+marked)},
		{"an empty item", "script a.txt file 2", "", nsisOf(len(plain), stored(plain)+stored("")+stored(hole))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", tt.data)
			if got := strings.ReplaceAll(strings.Join(n.objects[1:], " "), "f/", ""); got != tt.objects {
				t.Errorf("objects %q, want %q", got, tt.objects)
			}
			got := strings.Join(n.unchecked, ";")
			if tt.unchecked == "" && got != "" || !strings.Contains(got, tt.unchecked) {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
			if tt.unchecked == "" && strings.Contains(tt.name, "solid") && n.marked == "" {
				t.Error("the marker was not found")
			}
		})
	}
}

// nsisStoredApart is nsisApart for items that are not packed, but for the script.
func nsisStoredApart(script string, items ...string) (header int, body string) {
	header, body = nsisApart(script)
	for _, s := range items {
		body += nsisLength(len(s)) + s
	}
	return header, body
}

func TestNSISItemsThatLieOverOneAnotherAreBounded(t *testing.T) {
	var files []nsisFile
	for i := range 3000 {
		files = append(files, nsisFile{"x", uint32(i)})
	}
	script := nsisScriptOf(files...)
	body := strings.Repeat("\xff\x07\x00", 3000)
	for _, data := range [][]byte{nsisOf(nsisStoredApart(script, body)), nsisOf(nsisSolidly(script, body))} {
		n := &notes{discard: true}
		n.walk(t, NewArena(nil, 0), Limits{}, "f", data)
		if last := n.unchecked[len(n.unchecked)-1]; last != "f: nsis: limit: overlap" {
			t.Errorf("unchecked ends with %q", last)
		}
		if n.bytes > 40*int64(len(body)) {
			t.Errorf("%d bytes were handed out", n.bytes)
		}
	}
}

func TestNSISDeflateWhoseStoredBlocksHaveOneLength(t *testing.T) {
	zeros := strings.Repeat("\x00", 600) // a match of 258, which Deflate64 writes in another way
	once := func(last byte, s string) string {
		return string([]byte{last, byte(len(s)), byte(len(s) >> 8)}) + s
	}
	twice := func(s string) string {
		return string([]byte{0, byte(len(s)), byte(len(s) >> 8), byte(^len(s)), byte(^len(s) >> 8)}) + s
	}
	packed := nsisDeflated(zeros)
	script := nsisScriptOf()
	for _, tt := range []struct{ name, packed, want string }{
		{"as RFC 1951 has it", twice("abc") + packed, "abc" + zeros},
		{"once", once(0, "abc") + once(0, text) + packed, "abc" + text + zeros},
		{"once, and nothing behind", once(1, ""), ""},
		{"in turn", twice(text) + once(0, "ab") + twice("cd") + packed, text + "abcd" + zeros},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header, body := nsisApart(script)
			data := nsisOf(header, body+nsisLength(len(tt.packed)|nsisPacked)+tt.packed)
			n := walked(t, Limits{}, "f", data)
			if len(n.data) != 3 || n.data[2] != tt.want || len(n.unchecked) > 0 {
				t.Errorf("objects %q, unchecked %q", n.objects, n.unchecked)
			}
		})
	}
}

func TestNSISNamesOfFiles(t *testing.T) {
	wide := func(units ...uint16) string {
		b := []byte{0, 0}
		for _, u := range units {
			b = binary.LittleEndian.AppendUint16(b, u)
		}
		return string(b)
	}
	for _, tt := range []struct{ name, table, want string }{
		{"bytes", "\x00a.txt\x00b", "a.txt"},
		{"cp932", "\x00\x90\xbf\x8b\x81\x8f\x91.txt\x00", "請求書.txt"},
		{"a variable", "\x00\x03\x9a\x80\\a\x00", "$PLUGINSDIR/a"},
		{"a variable of version 2", "\x00\xfd\x9a\x80\\a\x00", "$PLUGINSDIR/a"},
		{"a character that is no code", "\x00\x04\x01a\x00", "\x01a"},
		{"a folder of the system", "\x00\x02\x05\x05/a\x00", "$/a"},
		{"a code cut off", "\x00a\x03", "a\x03"},
		{"UTF-16", wide('a', 0x8acb, 0), "a請"},
		{"UTF-16, a variable", wide(3, 0x8019, '\\', 'a', 0), "$TEMP/a"},
		{"UTF-16, a variable of Park's", wide(0xe001, 0x8019, '\\', 'a', 0), "$TEMP/a"},
		{"UTF-16, a character that is no code", wide(4, 3, 'a', 0), "\x03a"},
		{"UTF-16, cut off", wide('a', 3), "a\x03"},
		{"nowhere", "\x00", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := nsisString([]byte(tt.table), 1); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestNSISFilterOfPrograms(t *testing.T) {
	data := load(t, "nsis-lzma.exe")
	at := bytes.Index(data, []byte("\x5d\x00\x00\x80\x00"))
	for filter, want := range map[byte]int{0: 0, 1: 0, 2: 1} {
		length := binary.LittleEndian.Uint32(data[at-4:])
		other := slices.Concat(data[:at-4], []byte(nsisLength(int(length+1))), []byte{filter}, data[at:])
		n := walked(t, Limits{}, "f", other)
		if got := len(n.unchecked); (got > 0) != (want > 0) {
			t.Errorf("filter %d: unchecked %q", filter, n.unchecked)
		}
	}
}

func TestNSISItemsCutOffAnywhereAreNeverSilent(t *testing.T) {
	for _, file := range []string{"nsis-zlib.exe", "nsis-bzip2.exe", "nsis-lzma.exe"} {
		item := load(t, file)[nsisAlign+nsisFirstSize:]
		item = item[4 : 4+binary.LittleEndian.Uint32(item)&^nsisPacked]
		method := nsisMethodOf(item)
		for n := range item {
			s := method.open(item[:n], nil)
			if _, err := io.Copy(io.Discard, s); err == nil {
				t.Errorf("%s: an item cut to %d of %d bytes reads as whole", file, n, len(item))
			}
			s.release()
		}
	}
}

func TestNSISDamageToBlocksOfBzip2(t *testing.T) {
	data := load(t, "nsis-bzip2-solid.exe")
	start := nsisAlign + nsisFirstSize
	for at := start; at < len(data)-8; at++ {
		n := walked(t, Limits{}, "f", damage(data, at))
		for _, told := range n.unchecked {
			if strings.Contains(told, "panicked") {
				t.Fatalf("changed at %d: %s", at, told)
			}
		}
	}
}

func BenchmarkNSISLooksAtAProgram(b *testing.B) {
	data := make([]byte, 100<<20)
	copy(data, "MZ")
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if nsisMatch(data) {
			b.Fatal("it matches")
		}
	}
}
