package unpack

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"
)

// udfTestTagged writes a descriptor's tag.
func udfTestTagged(kind, location int, b []byte) []byte {
	binary.LittleEndian.PutUint16(b, uint16(kind))
	binary.LittleEndian.PutUint32(b[12:], uint32(location))
	b[4] = 0
	for i, c := range b[:16] {
		if i != 4 {
			b[4] += c
		}
	}
	return b
}

// udfTestLong writes a long allocation descriptor.
func udfTestLong(length, block, ref int) string {
	b := make([]byte, 16)
	binary.LittleEndian.PutUint32(b, uint32(length))
	binary.LittleEndian.PutUint32(b[4:], uint32(block))
	binary.LittleEndian.PutUint16(b[8:], uint16(ref))
	return string(b)
}

// udfTestShort writes short allocation descriptors: lengths and blocks in turn.
func udfTestShort(numbers ...uint32) string {
	var b []byte
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return string(b)
}

// udfTestEntry writes a file entry; form says what allocation descriptors are.
func udfTestEntry(kind, form byte, size int, descriptors string) []byte {
	b := make([]byte, 176, 512)
	b[27], b[34] = kind, form
	binary.LittleEndian.PutUint64(b[56:], uint64(size))
	binary.LittleEndian.PutUint32(b[172:], uint32(len(descriptors)))
	return udfTestTagged(udfFileEntry, 0, append(b, descriptors...))
}

// udfTestName writes a file identifier.
func udfTestName(name string, flags byte, block int) string {
	b := make([]byte, udfIdentifierSize)
	b[18], b[19] = flags, byte(len(name)+1)
	copy(b[20:], udfTestLong(2048, block, 0))
	b = append(append(b, 8), name...)
	return string(append(udfTestTagged(udfIdentifier, 0, b), make([]byte, -len(b)&3)...))
}

// udfTestFolder writes the entry of a folder whose identifiers are in it.
func udfTestFolder(names ...string) []byte {
	s := strings.Join(names, "")
	return udfTestEntry(udfFolder, 3, len(s), s)
}

// udfTestImage puts an image together: the anchor in sector 256, the descriptors
// from sector 32 on, a plain partition from sector 260 on, whose block 0 describes
// the file set and block 1 is the root.
func udfTestImage(blocks map[int][]byte) []byte {
	const start = 260
	image := make([]byte, (start+64)*2048)
	put := func(sector int, b []byte) { copy(image[sector*2048:], b) }
	anchor := append(make([]byte, 16), udfTestShort(16*2048, 32, 16*2048, 64)...)
	put(256, udfTestTagged(udfAnchor, 256, append(anchor, make([]byte, 480)...)))
	partition := make([]byte, 512)
	binary.LittleEndian.PutUint32(partition[188:], start)
	binary.LittleEndian.PutUint32(partition[192:], 64)
	put(32, udfTestTagged(udfPartition, 32, partition))
	logical := make([]byte, 512)
	binary.LittleEndian.PutUint32(logical[212:], 2048)
	copy(logical[248:], udfTestLong(2048, 0, 0))
	logical[264], logical[268] = 6, 1
	copy(logical[440:], "\x01\x06\x01\x00\x00\x00")
	put(33, udfTestTagged(udfLogical, 33, logical))
	put(34, udfTestTagged(udfTerminator, 34, make([]byte, 512)))
	set := make([]byte, 512)
	copy(set[400:], udfTestLong(2048, 1, 0))
	put(start, udfTestTagged(udfFileSet, 0, set))
	for n, b := range blocks {
		put(start+n, b)
	}
	return image
}

func TestImagesOfUDFThatLie(t *testing.T) {
	const note = "a note: " + marker
	embedded := udfTestEntry(5, 3, len(note), note)
	root := udfTestFolder(udfTestName("", 8, 1), udfTestName("note", 0, 2))
	one := func(entry []byte) []byte {
		return udfTestImage(map[int][]byte{1: root, 2: entry, 10: []byte(note), 12: []byte(marker)})
	}
	change := func(image []byte, at int, b ...byte) []byte { copy(image[at:], b); return image }
	extended := func() []byte {
		b := make([]byte, 216, 512)
		b[27], b[34] = 5, 3
		binary.LittleEndian.PutUint64(b[56:], uint64(len(note)))
		copy(b[152:], udfTestLong(2048, 5, 0))
		b[212] = byte(len(note))
		return udfTestTagged(udfFileEntryEx, 0, append(b, note...))
	}
	more := func(next int, descriptors string) []byte {
		b := make([]byte, 24, 512)
		binary.LittleEndian.PutUint32(b[20:], uint32(len(descriptors)))
		return udfTestTagged(udfAllocation, next, append(b, descriptors...))
	}
	indirect := udfTestTagged(udfIndirect, 0, append(make([]byte, 36), udfTestLong(2048, 2, 0)...))
	long := note + strings.Repeat("x", 2048-len(note)) + marker
	cut := "f/note: udf: note: damaged: cut short"
	for _, tt := range []struct {
		name, objects, unchecked string
		image                    []byte
	}{
		{"honest", "note", "", one(embedded)},
		{"short descriptors", "note", "", one(udfTestEntry(5, 0, len(long), udfTestShort(2048, 10, uint32(len(marker)), 12)))},
		{"long descriptors", "note", "", one(udfTestEntry(5, 1, len(long), udfTestLong(2048, 10, 0)+udfTestLong(len(marker), 12, 0)))},
		{"a hole", "note", "", one(udfTestEntry(5, 0, 4096+len(note), udfTestShort(1<<30|4096, 0, uint32(len(note)), 10)))},
		{"longer than its extents", "note", cut, one(udfTestEntry(5, 0, 1<<40, udfTestShort(uint32(len(note)), 10)))},
		{"an extent beyond the end", "note", cut, one(udfTestEntry(5, 0, 4096, udfTestShort(2048, 10, 2048, 1<<31)))},
		{"an extent of a partition that is none", "", cut, one(udfTestEntry(5, 1, 2048, udfTestLong(2048, 10, 9)))},
		{"descriptors that go on elsewhere", "note", "", udfTestImage(map[int][]byte{
			1: root, 2: udfTestEntry(5, 0, len(long), udfTestShort(2048, 10, 3<<30|2048, 20)), 10: []byte(long[:2048]), 12: []byte(marker),
			20: more(0, udfTestShort(uint32(len(marker)), 12))})},
		{"descriptors that go on in a ring", "note", cut, udfTestImage(map[int][]byte{
			1: root, 2: udfTestEntry(5, 0, 1<<20, udfTestShort(2048, 10, 3<<30|2048, 20)), 10: []byte(note), 20: more(0, udfTestShort(3<<30|2048, 20))})},
		{"an extended entry with a stream", "note note:/s", "", udfTestImage(map[int][]byte{
			1: root, 2: extended(), 5: udfTestEntry(udfStreams, 3, len(udfTestName("s", 0, 6)), udfTestName("s", 0, 6)), 6: udfTestEntry(5, 3, 5, "other")})},
		{"an entry that is elsewhere", "note", "", udfTestImage(map[int][]byte{1: udfTestFolder(udfTestName("note", 0, 3)), 2: embedded, 3: indirect})},
		{"deleted", "note", "", udfTestImage(map[int][]byte{1: udfTestFolder(udfTestName("note", 4, 2)), 2: embedded})},
		{"deleted, the entry is another thing now", "", "", udfTestImage(map[int][]byte{1: udfTestFolder(udfTestName("note", 4, 2))})},
		{"renamed", "new", "", udfTestImage(map[int][]byte{1: udfTestFolder(udfTestName("old", 4, 2), udfTestName("new", 0, 2)), 2: embedded})},
		{"a folder in itself", "note", "", udfTestImage(map[int][]byte{1: udfTestFolder(udfTestName("self", 2, 1), udfTestName("note", 0, 2)), 2: embedded})},
		{"no entry", "", "f/note: udf: note: damaged: no file entry", udfTestImage(map[int][]byte{1: root})},
		{"no root", "", "f: udf: damaged: no file entry", udfTestImage(map[int][]byte{2: embedded})},
		{"something between the names", "note", "f: udf: damaged: folder", udfTestImage(map[int][]byte{1: udfTestFolder("????????", udfTestName("note", 0, 2)), 2: embedded})},
		{"no file set", "", "f: udf: damaged: no file set", change(one(embedded), 260*2048, 0, 0)},
		{"no volume", "", "f: udf: damaged: no logical volume", change(one(embedded), 33*2048, 0, 0)},
		{"no partition", "", "f: udf: damaged: no partition;f: udf: damaged: no file set", change(one(embedded), 32*2048, 0, 0)},
		{"the second sequence", "note", "", change(append([]byte(nil), udfTestMoved(one(embedded))...), 32*2048, make([]byte, 4*2048)...)},
		{"a block size that is none", "note", "", change(one(embedded), 33*2048+212, 1, 2, 3, 4)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", tt.image)
			var names []string
			for _, o := range n.objects[1:] {
				names = append(names, strings.TrimPrefix(o, "f/"))
			}
			slices.Sort(names)
			if got := strings.Join(names, " "); got != tt.objects || tt.objects != "" && !strings.Contains(strings.Join(n.data[1:], ""), marker) {
				t.Errorf("objects %q, want %q with the marker", got, tt.objects)
			}
			if got := strings.Join(n.unchecked, ";"); got != tt.unchecked {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
		})
	}
}

// udfTestMoved has the sequence of volume descriptors in the other place as well.
func udfTestMoved(image []byte) []byte {
	copy(image[64*2048:], image[32*2048:36*2048])
	return image
}

// Many entries that lay claim to the same bytes cost no more than the image is large.
func TestImagesOfUDFWithTooMuch(t *testing.T) {
	blocks := map[int][]byte{}
	var names []string
	for n := 2; n < 64; n++ {
		blocks[n] = udfTestEntry(5, 0, 1<<30, udfTestShort(2048, uint32(n))+strings.Repeat(udfTestShort(63*2048, 0), 40))
		names = append(names, udfTestName("a", 0, n))
	}
	blocks[1] = udfTestFolder(names[:30]...)
	start := time.Now()
	n := &notes{discard: true}
	n.walk(t, NewArena(nil, 0), Limits{}, "f", udfTestImage(blocks))
	if last := n.unchecked[len(n.unchecked)-1]; !strings.Contains(last, "limit: overlap") || time.Since(start) > 10*time.Second {
		t.Errorf("%q in %v", last, time.Since(start))
	}
}
