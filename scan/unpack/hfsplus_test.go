package unpack

import (
	"encoding/binary"
	"strings"
	"testing"
)

// hfsTestFork describes a fork: its size, then blocks and how many, in turn.
func hfsTestFork(size int, pieces ...uint32) string {
	b := make([]byte, hfsFork)
	binary.BigEndian.PutUint64(b, uint64(size))
	for i, n := range pieces {
		binary.BigEndian.PutUint32(b[16+4*i:], n)
	}
	return string(b)
}

// hfsTestTree writes a tree of two nodes: the header and one leaf.
func hfsTestTree(records ...string) string {
	header, leaf := make([]byte, 512), make([]byte, 512)
	header[8], header[511] = 1, hfsNode
	binary.BigEndian.PutUint16(header[hfsNode+18:], 512)
	leaf[8] = hfsLeaf
	leaf[11] = byte(len(records))
	at := hfsNode
	for i, r := range records {
		binary.BigEndian.PutUint16(leaf[512-2*i-2:], uint16(at))
		at += copy(leaf[at:], r)
	}
	return string(header) + string(leaf)
}

// hfsTestKey writes a key of the catalogue.
func hfsTestKey(parent byte, name string) string {
	wide := utf16Text(name, true)
	return string([]byte{0, byte(6 + len(wide)), 0, 0, 0, parent, 0, byte(len(wide) / 2)}) + wide
}

// hfsTestFile writes a file's record.
func hfsTestFile(id, flags byte, data, resource string) string {
	b := make([]byte, 88)
	b[1], b[11], b[41] = hfsFile, id, flags
	return string(b) + data + resource
}

func hfsTestFolder(id byte) string {
	b := make([]byte, 88)
	b[1], b[11] = hfsFolder, id
	return string(b)
}

// hfsTestVolume puts a volume together: blocks of 512 bytes, the tree of extents in
// blocks 8 and 9, the catalogue in blocks 10 and 11.
func hfsTestVolume(extents, catalogue string, blocks map[int]string) []byte {
	v := make([]byte, 64*512)
	h := v[hfsHeader:]
	copy(h, "H+\x00\x04")
	binary.BigEndian.PutUint32(h[40:], 512)
	copy(h[192:], hfsTestFork(1024, 8, 2))
	copy(h[272:], hfsTestFork(1024, 10, 2))
	copy(v[8*512:], extents)
	copy(v[10*512:], catalogue)
	for n, b := range blocks {
		copy(v[n*512:], b)
	}
	return v
}

func TestVolumesOfHFSThatLie(t *testing.T) {
	const note = "a note: " + marker
	none := hfsTestFork(0)
	blocks := map[int]string{30: note, 31: strings.Repeat("y", 512), 33: marker}
	volume := func(records ...string) []byte { return hfsTestVolume(hfsTestTree(), hfsTestTree(records...), blocks) }
	file := func(flags byte, data, resource string) string {
		return hfsTestKey(hfsRoot, "note") + hfsTestFile(16, flags, data, resource)
	}
	plain := hfsTestFork(len(note), 30, 1)
	overflow := "\x00\x0a\x00\x00\x00\x00\x00\x10\x00\x00\x00\x01" + hfsTestFork(0, 33, 1)[16:]
	wrapped := func(v []byte) []byte {
		w := make([]byte, 8*512)
		copy(w[hfsHeader:], "BD")
		binary.BigEndian.PutUint32(w[hfsHeader+20:], 512)
		w[hfsHeader+29] = 6 // sectors in front of the first block
		copy(w[hfsHeader+124:], "H+\x00\x02")
		return append(w, v...)
	}
	change := func(v []byte, at int, b ...byte) []byte { copy(v[at:], b); return v }
	cut := "f/note: hfsplus: note: damaged: cut short"
	for _, tt := range []struct {
		name, objects, unchecked string
		volume                   []byte
	}{
		{"honest", "note", "", volume(file(0, plain, none))},
		{"in a folder", "folder/note", "", volume(hfsTestKey(17, "note")+hfsTestFile(16, 0, plain, none), hfsTestKey(hfsRoot, "folder")+hfsTestFolder(17))},
		{"in a folder that is in itself", strings.Repeat("f/", hfsDeep) + "note", "", volume(hfsTestKey(17, "note")+hfsTestFile(16, 0, plain, none), hfsTestKey(17, "f")+hfsTestFolder(17))},
		{"both forks", "note note.rsrc", "", volume(file(0, hfsTestFork(100, 31, 1), plain))},
		{"in pieces", "note", "", volume(file(0, hfsTestFork(512+len(note), 31, 1, 30, 1), none))},
		{"in more pieces than there is room for", "note", "", hfsTestVolume(hfsTestTree(overflow), hfsTestTree(file(0, hfsTestFork(512+len(marker), 31, 1), none)), blocks)},
		{"longer than its pieces", "note", cut, volume(file(0, hfsTestFork(1<<40, 30, 1), none))},
		{"beyond the end", "", cut, volume(file(0, hfsTestFork(10, 1<<31, 1<<31), none))},
		{"compressed by the file system", "note.rsrc", "f/note: hfsplus: note: unsupported method: compressed by the file system", volume(file(hfsCompressed, none, plain))},
		{"in a wrapper", "note", "", wrapped(volume(file(0, plain, none)))},
		{"no catalogue", "", "f: hfsplus: damaged: catalogue cut short", change(volume(file(0, plain, none)), hfsHeader+272+16, 0x7f)},
		{"a record that is nowhere", "", "f: hfsplus: damaged: catalogue", change(volume(file(0, plain, none)), 12*512-2, 0xff)},
		{"size of nodes", "note", "f: hfsplus: damaged: catalogue", change(hfsTestVolume(hfsTestTree(), hfsTestTree(file(0, plain, none)), blocks), 10*512+hfsNode+18, 0, 3)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", tt.volume)
			var names []string
			for _, o := range n.objects[1:] {
				names = append(names, strings.TrimPrefix(o, "f/"))
			}
			if got := strings.Join(names, " "); got != tt.objects || tt.objects != "" && !strings.Contains(strings.Join(n.data[1:], ""), marker) {
				t.Errorf("objects %q, want %q with the marker", got, tt.objects)
			}
			if got := strings.Join(n.unchecked, ";"); got != tt.unchecked {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
		})
	}
}
