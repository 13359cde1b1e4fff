package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// isoTestRecord writes a directory record; change sees it before it is padded.
func isoTestRecord(id string, flags byte, at, size int, change ...func([]byte)) []byte {
	b := make([]byte, 33+len(id)+1-len(id)&1)
	b[0] = byte(len(b))
	le, be := binary.LittleEndian, binary.BigEndian
	le.PutUint32(b[2:], uint32(at))
	be.PutUint32(b[6:], uint32(at))
	le.PutUint32(b[10:], uint32(size))
	be.PutUint32(b[14:], uint32(size))
	b[25], b[32] = flags, byte(len(id))
	copy(b[33:], id)
	for _, c := range change {
		c(b)
	}
	return b
}

// isoTestFolder writes a folder: itself, the one it is in, and what is in it.
func isoTestFolder(at, size int, records ...[]byte) string {
	self := isoTestRecord("\x00", isoDirectory, at, size)
	parent := isoTestRecord("\x01", isoDirectory, at, size)
	return string(join(append([][]byte{self, parent}, records...)...))
}

// isoTestImage puts an image together: a primary descriptor in sector 16, the root
// in sector 20, and sectors as they are.
func isoTestImage(sectors map[int]string) []byte {
	d := make([]byte, isoSector)
	copy(d, "\x01CD001\x01")
	binary.LittleEndian.PutUint16(d[128:], isoSector)
	copy(d[156:], isoTestRecord("\x00", isoDirectory, 20, isoSector))
	end := 0
	image := make([]byte, 64*isoSector)
	copy(image[isoSystem*isoSector:], d)
	copy(image[17*isoSector:], "\xffCD001\x01")
	for n, s := range sectors {
		copy(image[n*isoSector:], s)
		end = max(end, n*isoSector+len(s))
	}
	return image[:end]
}

// isoTestPathTable is a change of the descriptor: where the path table is.
func isoTestPathTable(image []byte, field, at, size int, order binary.ByteOrder) []byte {
	d := image[isoSystem*isoSector:]
	order.PutUint32(d[field:], uint32(at))
	order.PutUint32(d[132+(field-140)/2:], uint32(size))
	return image
}

func TestImagesOfCDsThatLie(t *testing.T) {
	const note = "a note: " + marker
	folder := func(records ...[]byte) map[int]string {
		return map[int]string{20: isoTestFolder(20, isoSector, records...), 30: note}
	}
	put := func(at int, b ...byte) func([]byte) { return func(r []byte) { copy(r[at:], b) } }
	odd := func(at int) func([]byte) { return put(at, 0xff, 0xff, 0xff, 0x7f) }
	with := func(m map[int]string, n int, s string) map[int]string { m[n] = s; return m }
	rock := func(record []byte, fields ...string) []byte {
		record = append(record, strings.Join(fields, "")...)
		record[0] = byte(len(record))
		return record
	}
	spread := func(s string, step int) string { // every sixteen bytes another block of 512
		var b strings.Builder
		for ; len(s) > 0; s = s[min(len(s), 512):] {
			fmt.Fprintf(&b, "%-*s", step*512, s[:min(len(s), 512)])
		}
		return b.String()
	}
	small := func(image []byte) []byte { // blocks of 512 bytes
		binary.LittleEndian.PutUint16(image[isoSystem*isoSector+128:], 512)
		copy(image[isoSystem*isoSector+156:], isoTestRecord("\x00", isoDirectory, 80, isoSector))
		return image
	}
	highSierra := func(image []byte) []byte {
		d := image[isoSystem*isoSector:]
		root := slices.Clone(d[156:190])
		clear(d[:isoSector])
		copy(d[8:], "\x01CDROM\x01")
		copy(d[180:], root)
		for _, record := range []int{0, 34, 68} { // flags stand one byte further in front
			r := image[20*isoSector+record:]
			r[24], r[25] = r[25], 0
		}
		return image
	}
	file := func(change ...func([]byte)) []byte { return isoTestRecord("NOTE.TXT;1", 0, 30, len(note), change...) }
	long := strings.Repeat("x", 1000) + marker
	for _, tt := range []struct {
		name, objects, unchecked string
		image                    []byte
	}{
		{"honest", "NOTE.TXT", "", isoTestImage(folder(file()))},
		{"hidden and associated", "NOTE.TXT", "", isoTestImage(folder(isoTestRecord("NOTE.TXT;1", 5, 30, len(note))))},
		{"its place in the one order of bytes only", "NOTE.TXT", "f/NOTE.TXT: iso: NOTE.TXT: damaged: cut short", isoTestImage(folder(file(odd(2))))},
		{"its place in the other order only", "NOTE.TXT", "", isoTestImage(folder(file(odd(6))))},
		{"a block of attributes that some pass over", "NOTE.TXT NOTE.TXT", "", isoTestImage(with(folder(file(put(1, 1))), 31, "another"+marker+"!"))},
		{"two extents", "NOTE.TXT", "", isoTestImage(with(folder(isoTestRecord("NOTE.TXT;1", isoMore, 31, 5), file()), 31, "begin"))},
		{"two extents of different names", "NOTE.TXT OTHER.TXT", "", isoTestImage(with(folder(isoTestRecord("OTHER.TXT;1", isoMore, 31, 5), file()), 31, "begin"))},
		{"an extent that nothing follows", "NOTE.TXT", "", isoTestImage(folder(isoTestRecord("NOTE.TXT;1", isoMore, 30, len(note))))},
		{"interleaved", "NOTE.TXT NOTE.TXT", "", small(isoTestImage(map[int]string{
			20: isoTestFolder(80, isoSector, isoTestRecord("NOTE.TXT;1", 0, 120, len(long), put(26, 1, 2))), 30: spread(long, 3)}))},
		{"a record without an end", "NOTE.TXT", "f: iso: damaged: directory record", isoTestImage(folder(file(), []byte{20, 0}))},
		{"root beyond the end", "", "f: iso: damaged: root folder;f: iso: damaged: folder cut short", isoTestImage(folder(file()))[:20*isoSector]},
		{"root elsewhere", "", "f: iso: damaged: root folder", isoTestImage(map[int]string{30: note})},
		{"a file beyond the end", "NOTE.TXT", "f/NOTE.TXT: iso: NOTE.TXT: damaged: cut short", isoTestImage(folder(isoTestRecord("NOTE.TXT;1", 0, 30, 5000)))},
		{"a folder in itself", "NOTE.TXT", "", isoTestImage(folder(isoTestRecord("A", isoDirectory, 20, isoSector), file()))},
		{"in the path table alone", "B/NOTE.TXT", "", isoTestPathTable(isoTestImage(map[int]string{
			20: isoTestFolder(20, isoSector), 21: isoTestFolder(21, isoSector, file()), 22: "\x01\x00\x15\x00\x00\x00\x01\x00B\x00", 30: note}), 140, 22, 10, binary.LittleEndian)},
		{"in the other path table alone", "B/NOTE.TXT", "", isoTestPathTable(isoTestImage(map[int]string{
			20: isoTestFolder(20, isoSector), 21: isoTestFolder(21, isoSector, file()), 22: "\x01\x00\x00\x00\x00\x15\x00\x01B\x00", 30: note}), 148, 22, 10, binary.BigEndian)},
		{"a folder larger than the one it is in says", "D/NOTE.TXT", "", isoTestImage(map[int]string{
			20: isoTestFolder(20, isoSector, isoTestRecord("D", isoDirectory, 21, 34)), 21: isoTestFolder(21, isoSector, file()), 30: note})},
		{"a name of Rock Ridge in two pieces, the second elsewhere", "請求書.txt", "", isoTestImage(with(folder(rock(file(),
			"NM\x08\x01\x01"+"請", "CE\x1c\x01\x1f\x00\x00\x00\x00\x00\x00\x1f\x00\x00\x00\x00\x00\x00\x00\x00\x0f\x00\x00\x00\x00\x00\x00\x0f")), 31, "NM\x0f\x01\x00"+"求書.txt"))},
		{"fields of Rock Ridge in a ring", "NOTE.TXT", "", isoTestImage(with(folder(rock(file(),
			"CE\x1c\x01\x1f\x00\x00\x00\x00\x00\x00\x1f\x00\x00\x00\x00\x00\x00\x00\x00\x1c\x00\x00\x00\x00\x00\x00\x1c")),
			31, "CE\x1c\x01\x1f\x00\x00\x00\x00\x00\x00\x1f\x00\x00\x00\x00\x00\x00\x00\x00\x1c\x00\x00\x00\x00\x00\x00\x1c"))},
		{"a folder that was moved to where no folder is", "M/NOTE.TXT", "", isoTestImage(map[int]string{
			20: isoTestFolder(20, isoSector, rock(isoTestRecord("M", 0, 0, 0), "CL\x0c\x01\x15\x00\x00\x00\x00\x00\x00\x15")), 21: isoTestFolder(21, isoSector, file()), 30: note})},
		{"a field of Rock Ridge that is cut off", "NOTE.TXT", "", isoTestImage(map[int]string{20: "\x28" + isoTestFolder(20, isoSector)[1:34] + "SP\x07\x01\xbe\xef" + string(file()), 30: note})},
		{"High Sierra", "NOTE.TXT", "", highSierra(isoTestImage(folder(file())))},
		{"a boot catalogue that is none", "NOTE.TXT", "f: iso: damaged: boot catalogue", isoTestImage(with(folder(file()), 17, "\x00CD001\x01EL TORITO SPECIFICATION"+strings.Repeat("\x00", 41)+"\x15\x00\x00\x00"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", tt.image)
			var names []string
			for i, o := range n.objects[1:] {
				names = append(names, strings.TrimPrefix(o, "f/"))
				if strings.Contains(o, "NOTE.TXT") && len(n.data[i+1]) == 0 {
					t.Errorf("%s is empty", o)
				}
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

// Files over one another, and folders without end, cost no more than the image is large.
func TestImagesOfCDsWithTooMuch(t *testing.T) {
	image := bytes.Repeat([]byte("text "), 400_000)
	head := isoTestImage(map[int]string{20: ""})
	copy(image, head)
	fill := func(record func(i int) []byte) []byte {
		image := slices.Clone(image)
		at, i := 20*isoSector, 0
		for ; at < len(image)/2; i++ {
			if r := record(i); at/isoSector == (at+len(r))/isoSector {
				at += copy(image[at:], r)
			} else {
				clear(image[at : (at/isoSector+1)*isoSector])
				at = (at/isoSector + 1) * isoSector
			}
		}
		copy(image[isoSystem*isoSector+156:], isoTestRecord("\x00", isoDirectory, 20, at-20*isoSector))
		return image
	}
	for _, tt := range []struct {
		name, limit string
		image       []byte
	}{
		{"files", "overlap", fill(func(i int) []byte { return isoTestRecord("A", 0, 16, 500_000+i) })},
		{"interleaved", "overlap", fill(func(i int) []byte {
			return isoTestRecord("A", 0, 16, 500_000+i, func(r []byte) { r[26], r[27] = 1, 1 })
		})},
		{"folders", "objects", fill(func(i int) []byte { return isoTestRecord("A", isoDirectory, 20+i%100, 500_000+i) })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			n := &notes{discard: true}
			n.walk(t, NewArena(nil, 0), Limits{}, "f", tt.image)
			if last := n.unchecked[len(n.unchecked)-1]; !strings.Contains(last, tt.limit) {
				t.Errorf("the last that is told is %q", last)
			}
			if took := time.Since(start); took > 20*time.Second || n.bytes > 20*int64(len(tt.image)) {
				t.Errorf("%d bytes in %v", n.bytes, took)
			}
		})
	}
}

func TestZisofsThatLies(t *testing.T) {
	whole := []byte(zisofsMagic + "\x00\x02\x00\x00\x04\x09\x00\x00" + "\x18\x00\x00\x00\x18\x00\x00\x00")
	change := func(at int, b byte) []byte { c := slices.Clone(whole); c[at] = b; return c }
	for _, tt := range []struct {
		name, unchecked string
		size            int
		data            []byte
	}{
		{"zeros", "", 512, whole},
		{"more blocks than places", "f/f: zisofs: f: damaged: cut short", 512, change(9, 3)},
		{"size of blocks", "f: zisofs: damaged: size of blocks", 0, change(13, 40)},
		{"places beyond the end", "f/f: zisofs: f: damaged: cut short", 0, change(20, 0xff)},
		{"cut off", "f: zisofs: damaged: cut short", 0, whole[:20]},
		{"not compressed bytes", "f/f: zisofs: f: damaged: unexpected EOF", 0, append(change(20, 0x19), 0x78)},
		{"a method of version 2", "f: zisofs: unsupported method 2", 0, []byte(zisofs2Magic + "\x00\x06\x02\x11" + strings.Repeat("\x00", 30))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", tt.data)
			if got := strings.Join(n.unchecked, ";"); got != tt.unchecked {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
			if size := len(strings.Join(n.data[1:], "")); size != tt.size {
				t.Errorf("%d bytes, want %d", size, tt.size)
			}
		})
	}
}
