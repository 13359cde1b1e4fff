package unpack

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// extTestInode writes an inode of 128 bytes; blocks are what the place for the
// numbers of blocks holds.
func extTestInode(mode uint16, flags uint32, size int64, links byte, blocks string) []byte {
	b := make([]byte, 128)
	binary.LittleEndian.PutUint16(b, mode)
	binary.LittleEndian.PutUint32(b[4:], uint32(size))
	b[26] = links
	binary.LittleEndian.PutUint32(b[32:], flags)
	copy(b[40:100], blocks)
	binary.LittleEndian.PutUint32(b[108:], uint32(size>>32))
	return b
}

// extTestNames writes the entries of a folder, to the end of its block.
func extTestNames(names map[string]uint32) string {
	var b []byte
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for n := range names {
			if !yield(n) {
				return
			}
		}
	}) {
		e := make([]byte, 8, 8+len(name)+3)
		binary.LittleEndian.PutUint32(e, names[name])
		e = append(append(e, name...), make([]byte, -len(name)&3)...)
		e[4], e[6] = byte(len(e)), byte(len(name))
		b = append(b, e...)
	}
	return string(b) + "\x00\x00\x00\x00" + string([]byte{byte((1024 - len(b)) & 0xff), byte((1024 - len(b)) >> 8)})
}

// extTestVolume puts a volume together: blocks of 1024 bytes, 32 inodes in the
// table from block 5 on.
func extTestVolume(inodes map[int][]byte, blocks map[int]string) []byte {
	v := make([]byte, 64*1024)
	s := v[extSuper:]
	s[0], s[4], s[20], s[32], s[40], s[56], s[57] = 32, 64, 1, 64, 32, 0x53, 0xef
	v[2*1024+8] = 5
	for n, b := range inodes {
		copy(v[5*1024+128*(n-1):], b)
	}
	for n, b := range blocks {
		copy(v[n*1024:], b)
	}
	return v
}

func TestVolumesOfExtThatLie(t *testing.T) {
	const note = "a note: " + marker
	root := extTestInode(extFolderMode, 0, 1024, 2, "\x14")
	names := extTestNames(map[string]uint32{"note": 12})
	volume := func(note []byte, blocks map[int]string) []byte {
		all := map[int]string{20: names, 30: "a note: " + marker, 31: strings.Repeat("y", 1024)}
		for n, b := range blocks {
			all[n] = b
		}
		return extTestVolume(map[int][]byte{extRoot: root, 12: note}, all)
	}
	change := func(v []byte, at int, b ...byte) []byte { copy(v[at:], b); return v }
	node := func(depth byte, entries ...string) string {
		return "\x0a\xf3" + string([]byte{byte(len(entries)), 0, 4, 0, depth, 0}) + "\x00\x00\x00\x00" + strings.Join(entries, "")
	}
	leaf := func(first, count, block byte) string {
		return string([]byte{first, 0, 0, 0, count, 0, 0, 0, block, 0, 0, 0})
	}
	index := func(block byte) string { return "\x00\x00\x00\x00" + string([]byte{block}) + strings.Repeat("\x00", 7) }
	plain := extTestInode(extFileMode, 0, int64(len(note)), 1, "\x1e")
	cut := "f/note: ext: note: damaged: cut short"
	tree := func(size int64, blocks string) []byte { return extTestInode(extFileMode, extExtents, size, 1, blocks) }
	for _, tt := range []struct {
		name, objects, unchecked string
		volume                   []byte
	}{
		{"by numbers of blocks", "note", "", volume(plain, nil)},
		{"in pieces", "note", "", volume(extTestInode(extFileMode, 0, 1024+int64(len(note)), 1, "\x1f\x00\x00\x00\x1e"), nil)},
		{"with a hole", "note", "", volume(extTestInode(extFileMode, 0, 5000, 1, "\x1e"), nil)},
		{"by blocks of numbers of blocks of numbers", "note", "", volume(extTestInode(extFileMode, 0, 268*1024+int64(len(note)), 1, strings.Repeat("\x00", 52)+"\x28"), map[int]string{40: "\x29", 41: "\x1e"})},
		{"blocks of numbers in a ring", "note", "", volume(extTestInode(extFileMode, 0, 300*1024, 1, "\x1e"+strings.Repeat("\x00", 47)+"\x28"), map[int]string{40: strings.Repeat("\x28\x00\x00\x00", 256)})},
		{"beyond the end", "", cut, volume(extTestInode(extFileMode, 0, 100, 1, "\x00\x10"), nil)},
		{"by extents", "note", "", volume(tree(1024+int64(len(note)), node(0, leaf(0, 1, 31), leaf(1, 1, 30))), nil)},
		{"an extent that was never written", "note", "", volume(tree(1024+int64(len(note)), node(0, leaf(0, 1, 31)[:5]+"\x80"+leaf(0, 1, 31)[6:], leaf(1, 1, 30))), nil)},
		{"by a tree", "note", "", volume(tree(int64(len(note)), node(1, index(40))), map[int]string{40: node(0, leaf(0, 1, 30))})},
		{"a tree in a ring", "", cut, volume(tree(100, node(1, index(40))), map[int]string{40: node(1, index(40))})},
		{"an extent that is longer than the volume", "note", "f/note: ext: note: limit: zeros", volume(tree(1<<40, node(0, leaf(0, 255, 30))), nil)},
		{"in its inode", "note", "", volume(extTestInode(extFileMode, extInline, int64(len(note)), 1, note), nil)},
		{"in its inode, but longer", "note", cut, volume(extTestInode(extFileMode, extInline, 100, 1, note), nil)},
		{"encrypted", "note", "f/note: ext: note: encrypted", volume(extTestInode(extFileMode, extEncrypted, int64(len(note)), 1, "\x1e"), nil)},
		{"in no folder", "inode 12", "", extTestVolume(map[int][]byte{extRoot: root, 12: plain}, map[int]string{20: extTestNames(nil), 30: note})},
		{"deleted", "inode 12", "", extTestVolume(map[int][]byte{extRoot: root, 12: extTestInode(extFileMode, 0, int64(len(note)), 0, "\x1e")}, map[int]string{20: extTestNames(nil), 30: note})},
		{"a folder in itself", "note", "", extTestVolume(map[int][]byte{extRoot: root, 12: plain}, map[int]string{20: extTestNames(map[string]uint32{"a": 2, "note": 12}), 30: note})},
		{"an inode that is none", "note", "f/x: ext: x: damaged: no inode", extTestVolume(map[int][]byte{extRoot: root, 12: plain}, map[int]string{20: extTestNames(map[string]uint32{"note": 12, "x": 1 << 20}), 30: note})},
		{"an entry of no length", "inode 12", "f: ext: damaged: folder", change(volume(plain, nil), 20*1024+4, 1)},
		{"no table of inodes", "", "f: ext: damaged: descriptors of groups cut short;f: ext: damaged: no inode", volume(plain, nil)[:2*1024]},
		{"too many inodes", "note", "f: ext: damaged: descriptors of groups cut short", change(volume(plain, nil), extSuper, 0xff, 0xff, 0xff, 0xff)},
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
			if strings.HasSuffix(tt.name, "never written") && strings.Contains(strings.Join(n.data[1:], ""), "yy") {
				t.Error("it is read")
			}
			if got := strings.Join(n.unchecked, ";"); got != tt.unchecked {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
		})
	}
}
