package unpack

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// ntfsTestAttribute writes an attribute whose bytes are in the record.
func ntfsTestAttribute(kind uint32, name string, content string) string {
	wide := utf16Text(name, false)
	b := make([]byte, 24, 24+len(wide)+len(content)+8)
	binary.LittleEndian.PutUint32(b, kind)
	b[9], b[10] = byte(len(wide)/2), 24
	binary.LittleEndian.PutUint32(b[16:], uint32(len(content)))
	binary.LittleEndian.PutUint16(b[20:], uint16(24+len(wide)))
	return ntfsTestPadded(append(append(b, wide...), content...))
}

// ntfsTestRuns writes an attribute whose bytes are elsewhere: where, in runs.
func ntfsTestRuns(name string, first, size, written int, flags uint16, unit byte, runs string) string {
	wide := utf16Text(name, false)
	b := make([]byte, 64, 64+len(wide)+len(runs)+8)
	binary.LittleEndian.PutUint32(b, ntfsData)
	b[8], b[9], b[10], b[34] = 1, byte(len(wide)/2), 64, unit
	binary.LittleEndian.PutUint16(b[12:], flags)
	binary.LittleEndian.PutUint64(b[16:], uint64(first))
	binary.LittleEndian.PutUint16(b[32:], uint16(64+len(wide)))
	binary.LittleEndian.PutUint64(b[48:], uint64(size))
	binary.LittleEndian.PutUint64(b[56:], uint64(written))
	return ntfsTestPadded(append(append(b, wide...), runs+"\x00"...))
}

func ntfsTestPadded(b []byte) string {
	b = append(b, make([]byte, -len(b)&7)...)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)))
	return string(b)
}

// ntfsTestName writes the attribute of a name in a folder.
func ntfsTestName(parent int, name string) string {
	b := make([]byte, 66)
	binary.LittleEndian.PutUint64(b, uint64(parent))
	b[64], b[65] = byte(len(name)), 1
	return ntfsTestAttribute(ntfsFileName, "", string(b)+utf16Text(name, false))
}

// ntfsTestRecord writes a record of a file with the numbers at the ends of its sectors.
func ntfsTestRecord(flags uint16, base uint64, attributes ...string) []byte {
	b := make([]byte, 1024)
	copy(b, "FILE\x30\x00\x03\x00")
	b[20] = 56
	binary.LittleEndian.PutUint16(b[22:], flags)
	binary.LittleEndian.PutUint64(b[32:], base)
	copy(b[56:], strings.Join(attributes, "")+"\xff\xff\xff\xff")
	for i := range 2 {
		end := b[512*i+510 : 512*i+512]
		copy(b[50+2*i:], end)
		copy(end, "\x07\x00")
	}
	copy(b[48:], "\x07\x00")
	return b
}

// ntfsTestVolume puts a volume together: clusters of 512 bytes, the MFT from cluster
// 4 on, its copy in cluster 200. runs say where the MFT is.
func ntfsTestVolume(runs string, records map[int][]byte, clusters map[int]string) []byte {
	v := make([]byte, 256*512)
	copy(v, "\xeb\x52\x90NTFS    \x00\x02\x01")
	v[48], v[56], v[64] = 4, 200, 0xf6
	mft := ntfsTestRecord(1, 0, ntfsTestRuns("", 0, 1<<20, 1<<20, 0, 0, runs))
	copy(v[4*512:], mft)
	copy(v[200*512:], mft)
	for n, r := range records {
		copy(v[(4+2*n)*512:], r)
	}
	for n, s := range clusters {
		copy(v[n*512:], s)
	}
	return v
}

func TestVolumesOfNTFSThatLie(t *testing.T) {
	const note = "a note: " + marker
	const mft = "\x11\x40\x04" // 64 clusters from cluster 4 on
	name := ntfsTestName(5, "note.txt")
	resident := ntfsTestAttribute(ntfsData, "", note)
	file := func(attributes ...string) map[int][]byte {
		return map[int][]byte{20: ntfsTestRecord(ntfsInUse, 0, append([]string{name}, attributes...)...)}
	}
	one := func(attributes ...string) []byte {
		return ntfsTestVolume(mft, file(attributes...), map[int]string{100: note, 110: strings.Repeat("y", 512), 120: "more " + marker})
	}
	change := func(v []byte, at int, b string) []byte { copy(v[at:], b); return v }
	pieces := map[int][]byte{
		20: ntfsTestRecord(ntfsInUse, 0, name, ntfsTestRuns("", 0, 1024, 1024, 0, 0, "\x11\x01\x6e")),
		21: ntfsTestRecord(ntfsInUse, 20|1<<48, ntfsTestRuns("", 1, 0, 0, 0, 0, "\x11\x01\x78")),
	}
	moved := ntfsTestVolume("\x11\x08\x04\x11\x08\x6c", nil, map[int]string{112: string(ntfsTestRecord(ntfsInUse, 0, name, resident))})
	for i := range 16 { // record 4 to 7 lie in clusters 112 and on; the system's own are passed over
		copy(moved[(112+2*i)*512:], ntfsTestRecord(ntfsInUse, 0, name, ntfsTestAttribute(ntfsData, "", note)))
	}
	long := "\x11\x08\x04\x11\x40\x6c"
	compressed := "\x0e\xb0" + "\x00" + "a note: " + "\x00" + marker[:4] // cut chunk
	reparse := string(binary.LittleEndian.AppendUint32(nil, ntfsReparseWOF)) + "\x00\x00\x00\x00"
	for _, tt := range []struct {
		name, objects, unchecked string
		volume                   []byte
	}{
		{"honest", "note.txt", "", one(resident)},
		{"over the end of a sector", "note.txt", "", one(ntfsTestAttribute(ntfsData, "", strings.Repeat("x", 510-6-(56+len(name)+24))+marker))},
		{"in clusters", "note.txt", "", one(ntfsTestRuns("", 0, len(note), len(note), 0, 0, "\x11\x01\x64"))},
		{"in pieces, forth and back", "note.txt", "", one(ntfsTestRuns("", 0, 1024, 1024, 0, 0, "\x11\x01\x6e\x11\x01\xf6"))},
		{"in pieces that two records have", "note.txt", "", ntfsTestVolume(mft, pieces, map[int]string{110: strings.Repeat("y", 512), 120: marker})},
		{"with a hole", "note.txt", "", one(ntfsTestRuns("", 0, 1500, 1500, 0x8000, 0, "\x11\x01\x6e\x01\x01\x11\x01\xf6"))},
		{"nothing but a hole", "", "", one(ntfsTestRuns("", 0, 1<<40, 1<<40, 0x8000, 0, "\x05\x00\x00\x00\x00\x01"))},
		{"a stream besides", "note.txt note.txt:s", "", one(resident, ntfsTestAttribute(ntfsData, "s", "other"))},
		{"little of it was written", "note.txt", "", one(ntfsTestRuns("", 0, 1024, len(note), 0, 0, "\x11\x02\x64"))},
		{"a run beyond the end", "note.txt", "f/note.txt: ntfs: note.txt: damaged: cut short", one(ntfsTestRuns("", 0, 1024, 1024, 0, 0, "\x11\x01\x64\x21\x01\x00\x70"))},
		{"a run of no length", "", "f/note.txt: ntfs: note.txt: damaged: cut short", one(ntfsTestRuns("", 0, 1024, 1024, 0, 0, "\x10\x64"))},
		{"a run in front of the volume", "", "f/note.txt: ntfs: note.txt: damaged: cut short", one(ntfsTestRuns("", 0, 1024, 1024, 0, 0, "\x11\x01\x80"))},
		{"runs of the largest numbers", "", "f/note.txt: ntfs: note.txt: damaged: cut short", one(ntfsTestRuns("", 0, 1024, 1024, 0, 0, "\x88\xff\xff\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x7f"))},
		{"deleted", "note.txt", "", ntfsTestVolume(mft, map[int][]byte{20: ntfsTestRecord(0, 0, name, resident)}, nil)},
		{"the flag of encryption alone", "note.txt", "", one(ntfsTestRuns("", 0, len(note), len(note), ntfsEncrypted, 0, "\x11\x01\x64"))},
		{"encrypted", "note.txt", "f/note.txt: ntfs: note.txt: encrypted by EFS", one(ntfsTestRuns("", 0, len(note), len(note), ntfsEncrypted, 0, "\x11\x01\x64"), ntfsTestAttribute(ntfsLogged, "$EFS", "key"))},
		{"compressed by the system", "note.txt", "f/note.txt: ntfs: note.txt: unsupported method: file that is stored in a way of its own", one(resident, ntfsTestAttribute(ntfsReparse, "", reparse))},
		{"a record that was not written to its end", "note.txt", "f/note.txt: ntfs: note.txt: damaged: record of a file", change(one(resident), (4+40)*512+510, "xx")},
		{"a record that is none", "", "f: ntfs: damaged: record of a file", change(one(resident), (4+40)*512, "BAAD")},
		{"compressed, but it is not", "note.txt", "f/note.txt: ntfs: note.txt: damaged: compressed bytes", one(ntfsTestRuns("", 0, len(note), len(note), 1, 4, "\x11\x01\x64"))},
		{"compressed, cut short", "note.txt", "f/note.txt: ntfs: note.txt: damaged: compressed bytes", change(one(ntfsTestRuns("", 0, 8192, 8192, 1, 4, "\x11\x01\x64\x01\x0f")), 100*512, compressed+"\xff\xff")},
		{"compressed in larger pieces than there are", "", "f/note.txt: ntfs: note.txt: limit: memory", one(ntfsTestRuns("", 0, 8192, 8192, 1, 20, "\x11\x01\x64\x01\x0f"))},
		{"compressed, with a hole of a terabyte", "note.txt", "f/note.txt: ntfs: note.txt: limit: zeros", change(one(ntfsTestRuns("", 0, 1<<40, 1<<40, 1, 4, "\x11\x10\x64\x05\x00\x00\x00\x00\x01")), 100*512, note)},
		{"the table of files by its copy", "note.txt", "f: ntfs: damaged: record of a file", change(one(resident), 4*512, "xxxx")},
		{"no table of files", "note.txt", "f: ntfs: damaged: no table of files", change(change(one(resident), 4*512, "xxxx"), 200*512, "xxxx")},
		{"the table of files in pieces", strings.TrimSpace(strings.Repeat("note.txt ", 8)), "", change(slices.Clone(moved), 4*512, string(ntfsTestRecord(1, 0, ntfsTestRuns("", 0, 1<<20, 1<<20, 0, 0, long))))},
		{"the table of files beyond the end", "", "f: ntfs: damaged: table of files cut short;f: ntfs: damaged: no table of files;f/-: ntfs: -: damaged: cut short", ntfsTestVolume("\x23\x00\x70\x00\x00\x70", nil, nil)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", tt.volume)
			var names []string
			for _, o := range n.objects[1:] {
				names = append(names, strings.TrimPrefix(o, "f/"))
			}
			if got := strings.Join(names, " "); got != tt.objects {
				t.Errorf("objects %q, want %q", got, tt.objects)
			}
			if got := strings.Join(n.unchecked, ";"); got != tt.unchecked {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
			if got := strings.Join(n.data[1:], ""); tt.objects != "" && !strings.Contains(got, marker) && !strings.Contains(got, "a note: "+marker[:4]) {
				t.Errorf("no marker in %q", got)
			}
		})
	}
}

func TestLZNT1(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"stored", "\x04\x30hello", "hello"},
		{"letters", "\x05\xb0\x00hello", "hello"},
		{"a match over itself", "\x03\xb0\x02a\x07\x00", "aaaaaaaaaaa"},
		{"a match in front of all", "\x03\xb0\x02a\x07\x10", "a"},
		{"nothing", "\x00\x00", ""},
	} {
		out := make([]byte, 8192)
		n, err := lznt1(out, []byte(tt.in))
		if string(out[:n]) != tt.want {
			t.Errorf("%s: %q (%v), want %q", tt.name, out[:n], err, tt.want)
		}
	}
	two := append(append([]byte("\x05\xb0\x00hello"), "\x05\xb0\x00world"...), 0, 0)
	out := make([]byte, 8192)
	if n, err := lznt1(out, two); n < 4101 || err != nil || !bytes.HasPrefix(out[4096:], []byte("world")) {
		t.Errorf("two chunks: %d bytes, %v", n, err)
	}
}
