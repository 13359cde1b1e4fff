package unpack

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

// fatTestVolume is a volume of FAT12 with clusters of 512 bytes: two tables of one
// sector in sectors 1 and 2, the root in sector 3, clusters 2 to 60 from sector 4 on.
// chains are cluster numbers in the order of a file.
func fatTestVolume(entries []string, chains ...[]int) []byte {
	v := make([]byte, 64*512)
	copy(v, "\xeb\x3c\x90kiyome  \x00\x02\x01\x01\x00\x02\x10\x00\x40\x00\xf8\x01\x00")
	copy(v[510:], "\x55\xaa")
	copy(v[3*512:], strings.Join(entries, ""))
	for _, table := range []int{512, 1024} {
		copy(v[table:], "\xf8\xff\xff")
		for _, c := range chains {
			fatTestChain(v[table:], c...)
		}
	}
	return v
}

// fatTestChain links clusters; the last one ends the file.
func fatTestChain(table []byte, clusters ...int) {
	for i, n := range clusters {
		next := 0xfff
		if i+1 < len(clusters) {
			next = clusters[i+1]
		}
		at := n * 3 / 2
		pair := int(binary.LittleEndian.Uint16(table[at:]))
		if n%2 == 0 {
			pair = pair&0xf000 | next
		} else {
			pair = pair&0xf | next<<4
		}
		binary.LittleEndian.PutUint16(table[at:], uint16(pair))
	}
}

// fatTestEntry writes a directory entry: a name of eleven characters.
func fatTestEntry(name string, attributes byte, cluster, size int) string {
	e := make([]byte, fatEntry)
	copy(e, name)
	e[11] = attributes
	binary.LittleEndian.PutUint16(e[26:], uint16(cluster))
	binary.LittleEndian.PutUint32(e[28:], uint32(size))
	return string(e)
}

// fatTestLong writes the entry of a long name of up to thirteen characters.
func fatTestLong(name string, sum byte) string {
	u := (utf16Text(name+"\x00", false) + strings.Repeat("\xff", 26))[:26]
	return "\x41" + u[:10] + "\x0f\x00" + string([]byte{sum}) + u[10:22] + "\x00\x00" + u[22:]
}

// fatTestSum is the checksum of a short name: turned right by one, the next added.
func fatTestSum(name string) (sum byte) {
	for _, c := range []byte(name) {
		sum = sum&1<<7 + sum>>1 + c
	}
	return sum
}

func TestVolumesOfFATThatLie(t *testing.T) {
	const note = "a note: " + marker
	at := func(v []byte, cluster int, s string) []byte { copy(v[(cluster+2)*512:], s); return v }
	file := fatTestEntry("NOTE    TXT", 0, 5, len(note))
	volume := func(change func(v []byte), entries ...string) []byte {
		v := at(fatTestVolume(entries, []int{5}), 5, note)
		if change != nil {
			change(v)
		}
		return v
	}
	two := strings.Repeat("x", 510) + marker // goes over the end of a cluster
	pieces := func(change func(v []byte), size int, chains ...[]int) []byte {
		v := fatTestVolume([]string{fatTestEntry("NOTE    TXT", 0, 9, size)}, chains...)
		v = at(at(v, 9, two[:512]), 4, two[512:])
		if change != nil {
			change(v)
		}
		return v
	}
	folder := fatTestEntry("FOLDER     ", fatFolder, 7, 0)
	within := func(entries ...string) func(v []byte) {
		return func(v []byte) {
			fatTestChain(v[512:], 7)
			fatTestChain(v[1024:], 7)
			at(v, 7, strings.Join(entries, ""))
		}
	}
	self := fatTestEntry(".          ", fatFolder, 7, 0)
	for _, tt := range []struct {
		name, objects, unchecked string
		volume                   []byte
	}{
		{"honest", "NOTE.TXT", "", volume(nil, file)},
		{"without the mark at the end of the first sector", "NOTE.TXT", "", volume(func(v []byte) { v[511] = 0 }, file)},
		{"in pieces", "NOTE.TXT", "", pieces(nil, len(two), []int{9, 4})},
		{"in pieces by the second table alone", "NOTE.TXT NOTE.TXT", "f/NOTE.TXT: fat: NOTE.TXT: damaged: cut short", pieces(func(v []byte) { fatTestChain(v[512:], 9) }, len(two), []int{9, 4})},
		{"in a ring", "NOTE.TXT", "f/NOTE.TXT: fat: NOTE.TXT: damaged: cut short", pieces(nil, 1<<31, []int{9, 4, 9, 4})},
		{"longer than its clusters", "NOTE.TXT", "f/NOTE.TXT: fat: NOTE.TXT: damaged: cut short", volume(nil, fatTestEntry("NOTE    TXT", 0, 5, 600))},
		{"no size", "NOTE.TXT", "", volume(nil, fatTestEntry("NOTE    TXT", 0, 5, 0))},
		{"beyond the end", "", "f/NOTE.TXT: fat: NOTE.TXT: damaged: cut short", volume(nil, fatTestEntry("NOTE    TXT", 0, 200, 10))},
		{"hidden", "NOTE.TXT", "", volume(nil, fatTestEntry("NOTE    TXT", 0x27, 5, len(note)))},
		{"deleted", "_OTE.TXT", "", volume(func(v []byte) { clear(v[515:1024]); clear(v[1027:1536]) }, "\xe5"+file[1:])},
		{"deleted, its cluster taken by another", "B _OTE.TXT", "", volume(nil, "\xe5"+file[1:], fatTestEntry("B          ", 0, 5, 20))},
		{"behind the end of the folder", "NOTE.TXT", "", volume(nil, strings.Repeat("\x00", 32), file)},
		{"short name in lower case", "note.TXT", "", volume(nil, file[:12]+"\x08"+file[13:])},
		{"short name in cp932", "\u8acb\u6c42\u66f8.TXT", "", volume(nil, "\x90\xbf\x8b\x81\x8f\x91  TXT"+file[11:])},
		{"short name that begins with the mark of deleted ones", "\u88fd.TXT", "", volume(nil, "\x90\xbb      TXT"+file[11:])},
		{"long name", "a note.txt", "", volume(nil, fatTestLong("a note.txt", fatTestSum("NOTE    TXT")), file)},
		{"long name of another file", "NOTE.TXT", "", volume(nil, fatTestLong("another.txt", 1), file)},
		{"folder", "FOLDER/NOTE.TXT", "", volume(within(self, file), folder)},
		{"folder in itself", "FOLDER/NOTE.TXT", "", volume(within(folder, file), folder)},
		{"deleted folder", "_OLDER/_OTE.TXT", "", volume(func(v []byte) { clear(v[515:1024]); clear(v[1027:1536]); at(v, 7, self+"\xe5"+file[1:]) }, "\xe5"+folder[1:])},
		{"folder beyond the end", "NOTE.TXT", "f: fat: damaged: folder cut short", volume(nil, fatTestEntry("FOLDER     ", fatFolder, 200, 0), file)},
		{"root cut off", "", "f: fat: damaged: folder cut short", volume(nil, file)[:3*512]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", tt.volume)
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

func TestVolumesOfExFATThatLie(t *testing.T) {
	image := loadImage(t, "exfat.gz")
	entry := strings.Index(string(image), "\xc0\x03\x00\x07") // the stream of the file of seven characters
	if entry < 0 {
		t.Fatal("no file in the sample")
	}
	for _, tt := range []struct {
		name, unchecked string
		marked          string
		change          func(v, stream []byte)
	}{
		{"honest", "", "書類/請求書.txt", func(_, _ []byte) {}},
		{"in one piece, whatever the table says", "", "書類/請求書.txt", func(_, s []byte) { binary.LittleEndian.PutUint64(s[24:], 8192) }},
		{"by the table", "f/書類/請求書.txt: fat: 書類/請求書.txt: damaged: cut short", "書類/請求書.txt", func(_, s []byte) { s[1] = 1; binary.LittleEndian.PutUint64(s[24:], 1<<17) }},
		{"longer than the volume", "f: fat: damaged: size of a file;f/書類/請求書.txt: fat: 書類/請求書.txt: damaged: cut short", "書類/請求書.txt", func(_, s []byte) { binary.LittleEndian.PutUint64(s[24:], 1<<62) }},
		{"little of it was written", "", "書類/請求書.txt", func(_, s []byte) { binary.LittleEndian.PutUint64(s[8:], 3) }},
		{"deleted", "", "書類/請求書.txt", func(_, s []byte) { s[0] = 0x40 }},
		{"root beyond the end", "f: fat: damaged: folder cut short", "", func(v, _ []byte) { binary.LittleEndian.PutUint32(v[96:], 1<<30) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := slices.Clone(image)
			tt.change(v, v[entry:])
			n := walked(t, Limits{}, "f", v)
			if n.marked != tt.marked {
				t.Errorf("the marker is in %q, want %q", n.marked, tt.marked)
			}
			if got := strings.Join(n.unchecked, ";"); got != tt.unchecked {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
		})
	}
}

func TestOrdinaryDataAreNoImages(t *testing.T) {
	boot := func(change func([]byte)) []byte {
		b := load(t, "fat12.img")
		change(b)
		return b
	}
	for _, tt := range []struct {
		name string
		data []byte
	}{
		{"zeros", make([]byte, 64<<10)},
		{"text", []byte(strings.Repeat("\xe9ditions of a text, NTFS and FAT ", 4000))},
		{"code with the mark", append(append([]byte("\xeb\x3c\x90"), strings.Repeat("\x31\xc0\x8e\xd8", 127)[:507]...), "\x55\xaa"...)},
		{"program", append([]byte("MZ\x90\x00"), make([]byte, 70000)...)},
		{"size of sectors", boot(func(b []byte) { b[12] = 3 })},
		{"clusters of three sectors", boot(func(b []byte) { b[13] = 3 })},
		{"medium", boot(func(b []byte) { b[21] = 0x11 })},
		{"no table", boot(func(b []byte) { b[16] = 0 })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, format := range Detect(File{Data: tt.data}) {
				if slices.Contains(imageFormats, format) {
					t.Errorf("taken for %s", format)
				}
			}
		})
	}
}
