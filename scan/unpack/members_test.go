package unpack

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// damage changes the byte at an offset, from the end when it is negative.
func damage(data []byte, at int) []byte {
	data = slices.Clone(data)
	if at < 0 {
		at += len(data)
	}
	data[at] ^= 0x55
	return data
}

func join(parts ...[]byte) []byte { return slices.Concat(parts...) }

func TestCompressedFilesWithDamage(t *testing.T) {
	gz, bz := load(t, "gzip.gz"), load(t, "bzip2.bz2")
	emptyGz := gzipped(nil)
	for _, tt := range []struct {
		name      string
		data      []byte
		times     int // the marker is found
		unchecked string
	}{
		{"gzip twice", join(gz, gz), 6, ""},
		{"gzip after an empty member", join(emptyGz, emptyGz, gz), 3, ""},
		{"gzip padded with zeros", join(gz, make([]byte, 1000)), 3, ""},
		{"gzip, zeros, gzip", join(gz, make([]byte, 3), gz, make([]byte, 700), gz), 9, ""},
		{"gzip, zeros, gzip cut off", join(gz, make([]byte, 3), gz[:9]), 3, "f/f: gzip: f: damaged: cut short"},
		{"gzip with reserved flags", join([]byte("\x1f\x8b\x08\xe0"), gz[4:]), 3, ""},
		{"gzip and something behind", join(gz, []byte("something")), 3, ""},
		{"gzip with a wrong checksum", join(damage(gz, -8), gz), 6, "f/f: gzip: f: damaged: wrong checksum"},
		{"gzip with a wrong length", join(damage(gz, -4), gz), 6, "f/f: gzip: f: damaged: wrong checksum"},
		{"gzip damaged, another behind", join([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff"), gz), 3, "f/f: gzip: f: damaged: flate: corrupt input before offset 1"},
		{"gzip with all optional fields", join([]byte("\x1f\x8b\x08\x1e\x00\x00\x00\x00\x00\x03\x03\x00abcf\x00comment\x00cc"), gz[10:]), 3, ""},
		{"gzip whose extra field has no end", join([]byte("\x1f\x8b\x08\x04\x00\x00\x00\x00\x00\x03\xff\xff"), gz[10:]), 0, "f/f: gzip: f: damaged: cut short"},
		{"bzip2 twice", join(bz, bz), 6, ""},
		{"bzip2 and something behind", join(bz, []byte("something")), 3, ""},
		{"bzip2 with a wrong checksum, another behind", join(damage(bz, 10), bz), 6, "f/f: bzip2: f: damaged: bzip2 data invalid: block checksum mismatch"},
		{"bzip2 damaged, another behind", join([]byte("BZh91AY&SYcccc\xff\xff\xff\xff"), bz), 3, "f/f: bzip2: f: damaged: bzip2 data invalid: deprecated randomized files"},
		{"bzip2, an empty stream first", join([]byte("BZh9\x17\x72\x45\x38\x50\x90\x00\x00\x00\x00"), bz), 3, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", tt.data)
			found := 0
			for i := range n.data[1:] {
				found += strings.Count(n.data[i+1], marker)
			}
			if found != tt.times {
				t.Errorf("the marker was found %d times, want %d", found, tt.times)
			}
			if got := strings.Join(n.unchecked, ";"); got != tt.unchecked {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
		})
	}
}

func TestNamesOfWhatACompressorHolds(t *testing.T) {
	gz, bz := load(t, "gzip.gz"), load(t, "bzip2.bz2")
	for _, tt := range []struct {
		file, want string
		data       []byte
	}{
		{"a.TXT.GZ", "a.TXT", gz},
		{"a.tgz", "a.tar", gz},
		{"a", "a", gz},
		{".gz", ".gz", gz},
		{"a.gz", "note.txt", load(t, "gzip-named.gz")},
		{"İ.gz", "İ.gz", gz}, // longer in lower case
		{"a.txt.bz2", "a.txt", bz},
		{"a.tbz", "a.tar", bz},
	} {
		if n := walked(t, Limits{}, tt.file, tt.data); !strings.HasSuffix(n.objects[1], "/"+tt.want) {
			t.Errorf("in %s is %q, want %q", tt.file, n.objects[1], tt.want)
		}
	}
}

// block is a tar header of the old kind with a right checksum.
func block(name string, kind byte, size string, change func([]byte)) []byte {
	b := make([]byte, tarBlock)
	copy(b, name)
	copy(b[124:], size)
	b[156] = kind
	if change != nil {
		change(b)
	}
	sum := 8 * int(' ')
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], octal(sum))
	return b
}

func octal(n int) []byte {
	b := bytes.Repeat([]byte{'0'}, 6)
	for i := 5; n > 0; i-- {
		b[i] = byte('0' + n&7)
		n >>= 3
	}
	return append(b, 0, ' ')
}

// file is a tar entry with its content, padded.
func file(header []byte, content string) []byte {
	return join(header, []byte(content), make([]byte, (tarBlock-len(content)%tarBlock)%tarBlock))
}

func TestTarIsReadTolerantly(t *testing.T) {
	const note = "KIYOME-MARKER\n" // 016 bytes
	plain := file(block("a", '0', "16", nil), note)
	other := file(block("b", '0', "5", nil), "other")
	ustar := func(b []byte) { copy(b[257:], "ustar\x0000") }
	wrong := func(b []byte) []byte { b = slices.Clone(b); b[148] ^= 1; return b }
	stop := make([]byte, 2*tarBlock)
	for _, tt := range []struct {
		name, objects, unchecked string
		data                     []byte
	}{
		{"v7", "a*", "", join(plain, stop)},
		{"without an end", "a*", "", plain},
		{"joined", "a* b", "", join(plain, stop, other, stop)},
		{"wrong checksum", "a* b", "f: tar: a: damaged: wrong checksum of its header", join(wrong(file(block("a", '0', "16", ustar), note)), other, stop)},
		{"wrong checksum and size", "a* b", "f: tar: a: damaged: wrong checksum of its header", join(wrong(file(block("a", '0', "7777", ustar), note)), other, stop)},
		{"noise between", "a* b", "f: tar: damaged: no header where one should be", join(plain, bytes.Repeat([]byte("noise..."), 640), other, stop)},
		{"noise behind the end", "a*", "", join(plain, stop, bytes.Repeat([]byte("noise..."), 640))},
		{"cut off", "a*", "f: tar: a: damaged: cut short", join(block("a", '0', "1000", nil), []byte(note))},
		{"cut off in a header", "a*", "f: tar: damaged: cut short", join(plain, other[:300])},
		{"size in base 256", "a*", "", join(file(block("a", '0', "\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0e", nil), note), stop)},
		{"size in base 256, beyond everything", "a*", "f: tar: a: damaged: cut short", file(block("a", '0', "\x80\x00\x00\x00\x3f\xff\xff\xff\xff\xff\xff\xff", nil), note)},
		{"size that is no number", "b", "f: tar: damaged: size of an entry", join(block("a", '0', "9x", nil), other, stop)},
		{"folder", "b", "", join(block("d/", '5', "0", nil), block("e/", 0, "0", nil), other, stop)},
		{"link with a size and no bytes", "b", "", join(block("l", '2', "5", nil), other, stop)},
		{"link with bytes", "a* b", "", join(file(block("a", '1', "16", nil), note), other, stop)},
		{"unknown kind", "a*", "", join(file(block("a", 'Z', "16", nil), note), stop)},
		{"prefix of ustar", "p/q/a*", "", join(file(block("a", '0', "16", func(b []byte) { ustar(b); copy(b[345:], "p/q") }), note), stop)},
		{"pax path and size", "pax.exe*", "", join(file(block("x", 'x', "30", nil), "16 path=pax.exe\n8 a=bcd\n"), file(block("a", '0', "16", nil), note), stop)},
		{"pax size", "a*", "", join(file(block("x", 'x', "13", nil), "11 size=14\n"), file(block("a", '0', "0", nil), note), stop)},
		{"pax record of no length", "a*", "", join(file(block("x", 'x', "13", nil), "0 size=14\n\n"), plain, stop)},
		{"pax record and nothing else", "", "f: tar: damaged: cut short", file(block("x", 'x', "13", nil), "11 size=14\n")},
		{"long name of GNU", "long.exe*", "", join(file(block("././@LongLink", 'L', "11", nil), "long.exe\x00"), plain, stop)},
		{"sparse map that is nonsense", "a* b", "f/a: tar: a: damaged: sparse file: archive/tar: invalid tar header", join(file(block("a", 'S', "16", func(b []byte) { copy(b[257:], "ustar  \x00"); copy(b[386:], "zzz") }), note), other, stop)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", tt.data)
			var objects []string
			for i, o := range n.objects[1:] {
				name := strings.TrimPrefix(o, "f/")
				if strings.Contains(n.data[i+1], marker) {
					name += "*"
				}
				objects = append(objects, name)
			}
			if got := strings.Join(objects, " "); got != tt.objects {
				t.Errorf("objects %q, want %q", got, tt.objects)
			}
			unchecked := strings.ReplaceAll(strings.Join(n.unchecked, ";"), "f/a: tar", "f: tar")
			if got := unchecked; got != strings.ReplaceAll(tt.unchecked, "f/a: tar", "f: tar") {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
		})
	}
}

// Programs that know nothing of sparse files take their bytes as they stand.
func TestSparseFilesAreReadWithTheirHolesAndWithout(t *testing.T) {
	for _, name := range []string{"tar-gnu-sparse.tar", "tar-pax-sparse.tar"} {
		n := walked(t, Limits{}, name, load(t, name))
		if want := strings.Repeat("\x00", 300<<10) + "KIYOME"; len(n.data) != 3 || !strings.HasPrefix(n.data[1], want) {
			t.Fatalf("%s: %d objects, want the file with 300 KiB of hole", name, len(n.data)-1)
		}
		if raw := n.data[2]; len(raw) > 8<<10 || !strings.Contains(raw, marker) {
			t.Errorf("%s: %d bytes as they stand", name, len(raw))
		}
	}
	const program = "MZ, KIYOME-MARKER\n"
	pax := "22 GNU.sparse.major=1\n"
	data := join(file(block("x", 'x', octalText(len(pax)), nil), pax), file(block("a.exe", '0', octalText(len(program)), nil), program), make([]byte, 2*tarBlock))
	n := walked(t, Limits{}, "f", data)
	if last := n.data[len(n.data)-1]; last != program || n.objects[len(n.objects)-1] != "f/a.exe" {
		t.Errorf("objects %q, the last %q", n.objects, last)
	}
}

func octalText(n int) string { return strconv.FormatInt(int64(n), 8) }

func TestLongRunsOfZerosAreShortenedAndTold(t *testing.T) {
	// One byte, a hole, one byte.
	sparse := func(hole int64) []byte {
		b := block("a", 'S', "2", func(b []byte) {
			copy(b[257:], "ustar  \x00")
			for i, n := range []int64{0, 1, hole + 1, 1} {
				copy(b[386+12*i:], fmt.Sprintf("%011o\x00", n))
			}
			copy(b[483:], fmt.Sprintf("%011o\x00", hole+2))
		})
		return join(file(b, "<>"), file(block("b", '0', "1", nil), "b"), make([]byte, 2*tarBlock))
	}
	holes := func() []byte { // 100 of 1 MiB, a byte behind each
		records, body := "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n", "100\n"
		size := 100 << 20
		record := fmt.Sprintf(" GNU.sparse.realsize=%d\n", size)
		records += fmt.Sprint(len(record)+2) + record
		for i := range 100 {
			body += fmt.Sprintf("%d\n1\n", (i+1)<<20-1)
		}
		body += strings.Repeat("\x00", tarBlock-len(body)%tarBlock) + strings.Repeat(">", 100)
		ustar := func(b []byte) { copy(b[257:], "ustar\x0000") }
		return join(file(block("x", 'x', octalText(len(records)), ustar), records), file(block("a", '0', octalText(len(body)), ustar), body),
			file(block("b", '0', "1", nil), "b"), make([]byte, 2*tarBlock))
	}
	zeros := func(before int) []byte {
		return join(bytes.Repeat([]byte{1}, before), make([]byte, 20<<20), []byte("KIYOME-MARKER"))
	}
	for _, tt := range []struct {
		name      string
		data      []byte
		least     int // bytes of the object
		most      int
		ends      string
		unchecked string
	}{
		{"small hole", sparse(1 << 20), 1<<20 + 2, 1<<20 + 2, ">", ""},
		{"hole of 3 GiB", sparse(3 << 30), 1 << 20, 2 << 20, ">", "f/a: tar: a: limit: zeros"},
		{"many a hole of 1 MiB", holes(), 1 << 20, 10 << 20, ">", "f/a: tar: a: limit: zeros"},
		{"gzip, below 64 MiB", gzipped(zeros(10 << 20)), 30 << 20, 31 << 20, marker, ""},
		{"gzip, beyond", gzipped(zeros(64 << 20)), 65 << 20, 66 << 20, marker, "f/f: gzip: f: limit: zeros"},
		{"gzip, the limit in the midst of the zeros", gzipped(zeros(60 << 20)), 64 << 20, 66 << 20, marker, "f/f: gzip: f: limit: zeros"},
		{"gzip, ones", gzipped(bytes.Repeat([]byte{1}, 80<<20)), 80 << 20, 80 << 20, "\x01", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", tt.data)
			object := n.data[1]
			if len(object) < tt.least || len(object) > tt.most || !strings.HasSuffix(object, tt.ends) {
				t.Errorf("an object of %d bytes, want %d to %d with %q at the end", len(object), tt.least, tt.most, tt.ends)
			}
			if got := strings.Join(n.unchecked, ";"); got != tt.unchecked {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
			if strings.Contains(tt.name, "hole") && n.objects[len(n.objects)-1] != "f/b" {
				t.Errorf("objects %q: the walk did not go on", n.objects)
			}
		})
	}
}

func TestZerosThatAreNotKeptCountAsUnpacked(t *testing.T) {
	n := walked(t, Limits{Unpacked: 70 << 20}, "f", gzipped(make([]byte, 80<<20)))
	if want := "f: gzip: f: limit: unpacked"; len(n.unchecked) != 1 || n.unchecked[0] != want {
		t.Errorf("unchecked %q, want %q", n.unchecked, want)
	}
}
