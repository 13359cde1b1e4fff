package unpack

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// partitionTestEntry writes an entry of the table of the PC.
func partitionTestEntry(kind byte, start, count int) string {
	b := make([]byte, 16)
	b[4] = kind
	binary.LittleEndian.PutUint32(b[8:], uint32(start))
	binary.LittleEndian.PutUint32(b[12:], uint32(count))
	return string(b)
}

// partitionTestDisk is a disk of 128 sectors, each of which holds its number; tables
// are put into some of them.
func partitionTestDisk(tables map[int]string) []byte {
	disk := make([]byte, 128*512)
	for n := range 128 {
		copy(disk[n*512:], "sector "+string(rune('0'+n/100))+string(rune('0'+n/10%10))+string(rune('0'+n%10)))
	}
	for n, table := range tables {
		s := disk[n*512 : n*512+512]
		clear(s)
		copy(s[partitionTable:], table)
		copy(s[510:], "\x55\xaa")
	}
	return disk
}

// partitionTestGPT writes the header and the table of partitions, each in its
// sector. places are the first and last sectors of the partitions.
func partitionTestGPT(disk []byte, sector, header, table int, places ...int) []byte {
	le := binary.LittleEndian
	h, t := disk[header*sector:], disk[table*sector:]
	clear(h[:sector])
	clear(t[:max(sector, 64*len(places))])
	copy(h, gptMagic)
	le.PutUint64(h[72:], uint64(table))
	le.PutUint32(h[80:], uint32(len(places)/2))
	le.PutUint32(h[84:], 128)
	for i := 0; i < len(places); i += 2 {
		e := t[64*i:]
		e[0] = 1
		le.PutUint64(e[32:], uint64(places[i]))
		le.PutUint64(e[40:], uint64(places[i+1]))
		copy(e[56:], utf16Text("p"+string(rune('1'+i/2)), false))
	}
	return disk
}

func TestDisksThatLie(t *testing.T) {
	mbr := func(entries ...string) []byte { return partitionTestDisk(map[int]string{0: strings.Join(entries, "")}) }
	cut := func(n string) string { return "f/" + n + ": disk: " + n + ": damaged: cut short" }
	for _, tt := range []struct {
		name, objects, unchecked string
		disk                     []byte
	}{
		{"two", "1=020+10 2=040+20", "", mbr(partitionTestEntry(6, 20, 10), partitionTestEntry(7, 40, 20))},
		{"the whole disk", "1=020+10", "", mbr(partitionTestEntry(6, 20, 10), partitionTestEntry(0x17, 0, 128))},
		{"longer than the disk", "1=100+28", cut("1"), mbr(partitionTestEntry(6, 100, 1000))},
		{"extended", "1=062+4 2=084+4", "", partitionTestDisk(map[int]string{
			0:  partitionTestEntry(15, 60, 60),
			60: partitionTestEntry(6, 2, 4) + partitionTestEntry(5, 20, 10),
			80: partitionTestEntry(6, 4, 4)})},
		{"extended in a ring", "1=062+4", "", partitionTestDisk(map[int]string{0: partitionTestEntry(5, 60, 60), 60: partitionTestEntry(6, 2, 4) + partitionTestEntry(5, 0, 10)})},
		{"extended to where nothing is", "", "f: disk: damaged: extended partition", mbr(partitionTestEntry(5, 60, 60))},
		{"GUIDs", "p1=020+10 p2=040+1", "", partitionTestGPT(mbr(partitionTestEntry(0xee, 1, 127)), 512, 1, 2, 20, 29, 40, 40)},
		{"GUIDs and others", "p1=020+10 2=050+5", "", partitionTestGPT(mbr(partitionTestEntry(0xee, 1, 20), partitionTestEntry(6, 50, 5)), 512, 1, 2, 20, 29)},
		{"GUIDs on large sectors", "p1=040+8", "", partitionTestGPT(partitionTestDisk(nil), 4096, 1, 2, 5, 5)},
		{"GUIDs, the copy differs", "p1=020+10 p1=030+1", "", partitionTestGPT(partitionTestGPT(partitionTestDisk(nil), 512, 1, 2, 20, 29), 512, 127, 126, 30, 30)},
		{"GUIDs that end before they begin", "", "f: disk: damaged: place of partition 1", partitionTestGPT(partitionTestDisk(nil), 512, 1, 2, 29, 20)},
		{"GUIDs cut off", "", "f: disk: damaged: partition table cut short", partitionTestGPT(partitionTestDisk(nil), 512, 1, 2, 20, 29)[:1100]},
		{"GUIDs, the header cut off", "", "f: disk: damaged: partition table cut short", partitionTestGPT(partitionTestDisk(nil), 4096, 1, 2, 5, 5)[:4096+20]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := &notes{}
			n.hook = func(path []string) bool { return len(path) == 1 }
			n.walk(t, NewArena(nil, 0), Limits{}, "f", tt.disk)
			var got []string
			for i, o := range n.objects[1:] {
				d := n.data[i+1]
				name := strings.TrimPrefix(o, "f/")
				got = append(got, name+"="+strings.TrimPrefix(d[:10], "sector ")+"+"+strconv.Itoa(len(d)/512))
			}
			if got := strings.Join(got, " "); got != tt.objects {
				t.Errorf("objects %q, want %q", got, tt.objects)
			}
			if got := strings.Join(slices.Compact(n.unchecked), ";"); got != tt.unchecked {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
		})
	}
}

func TestPartitionsOverOneAnother(t *testing.T) {
	var places []int
	for i := range 60 {
		places = append(places, 40+i, 127)
	}
	n := walked(t, Limits{}, "f", partitionTestGPT(partitionTestDisk(nil), 512, 1, 2, places...))
	if want := "f: disk: limit: overlap"; len(n.unchecked) != 1 || n.unchecked[0] != want || len(n.objects) > 40 {
		t.Errorf("%d objects, unchecked %q, want %q", len(n.objects), n.unchecked, want)
	}
}
