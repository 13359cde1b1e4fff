package unpack

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
)

// record is what a test writes into a local and a central header.
type record struct {
	flags, method uint16
	crc           uint32
	packed, size  uint32
	name, extra   string
}

func (r record) local() string {
	b := []byte(zipLocalMagic + "\x14\x00")
	b = binary.LittleEndian.AppendUint16(b, r.flags)
	b = binary.LittleEndian.AppendUint16(b, r.method)
	b = append(b, "TTDD"...)
	for _, v := range []uint32{r.crc, r.packed, r.size} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.name)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.extra)))
	return string(b) + r.name + r.extra
}

func (r record) central(offset int) string {
	b := []byte(zipCentralMagic + "\x14\x00\x14\x00")
	b = binary.LittleEndian.AppendUint16(b, r.flags)
	b = binary.LittleEndian.AppendUint16(b, r.method)
	b = append(b, "TTDD"...)
	for _, v := range []uint32{r.crc, r.packed, r.size} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.name)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(r.extra)))
	b = append(b, make([]byte, 10)...) // comment, disk, attributes
	b = binary.LittleEndian.AppendUint32(b, uint32(offset))
	return string(b) + r.name + r.extra
}

func end(entries, size, offset int, comment string) string {
	b := []byte(zipEndMagic + "\x00\x00\x00\x00")
	b = binary.LittleEndian.AppendUint16(b, uint16(entries))
	b = binary.LittleEndian.AppendUint16(b, uint16(entries))
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	b = binary.LittleEndian.AppendUint32(b, uint32(offset))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(comment)))
	return string(b) + comment
}

func deflated(s string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 6)
	if err != nil {
		panic(err)
	}
	w.Write([]byte(s))
	w.Close()
	return b.String()
}

// deflateRecord and storedRecord describe an entry truthfully.
func deflateRecord(name, content string) (record, string) {
	d := deflated(content)
	return record{method: 8, crc: crc32.ChecksumIEEE([]byte(content)), packed: uint32(len(d)), size: uint32(len(content)), name: name}, d
}

func storedRecord(name, content string) (record, string) {
	n := uint32(len(content))
	return record{crc: crc32.ChecksumIEEE([]byte(content)), packed: n, size: n, name: name}, content
}

// archive is an archive of one entry with these headers.
func archive(local, central record, data string) string {
	body := local.local() + data
	c := central.central(0)
	return body + c + end(1, len(c), len(body), "")
}

// honest is an archive of one entry.
func honest(name, content string) string {
	r, d := deflateRecord(name, content)
	return archive(r, r, d)
}

// with gives r changed by f.
func (r record) with(f func(*record)) record {
	f(&r)
	return r
}

const text = "KIYOME-MARKER, a harmless text, a harmless text, a harmless text."

// lie is an archive that programs would read in different ways.
type lie struct {
	name, data string
	objects    string // names of the members in order, those with the marker starred
	unchecked  string // what is told, joined by ";"
}

func zipLies() []lie {
	r, d := deflateRecord("a.txt", text)
	s, _ := storedRecord("a.txt", text)
	other, otherData := deflateRecord("b.txt", "nothing here")
	inner := honest("in.txt", text)
	in, _ := storedRecord("in.zip", inner)
	locked := func(r *record) { r.flags |= zipEncrypted }
	later := func(r *record) { r.flags |= zipLater; r.crc, r.packed, r.size = 0, 0, 0 }
	descriptor := zipDescriptorMagic + r.local()[14:26]
	noise := "\xff\x17\x88\x03\xa7\x41\x55" + strings.Repeat("\xee\x12", 20)
	whole := honest("a.txt", text)
	return []lie{
		{"the truth", whole, "a.txt*", ""},
		{"something in front", "MZ a program" + whole, "a.txt*", ""},
		{"something behind", whole + strings.Repeat("behind", 20000), "a.txt*", ""},
		{"joined archives", honest("b.txt", "nothing") + whole, "a.txt* b.txt", ""},
		{"no central directory", r.local() + d, "a.txt*", "zip: damaged: no central directory"},
		{"no local magic", strings.Replace(whole, zipLocalMagic, "QQ\x03\x04", 1), "a.txt*", ""},
		{"a local header that no directory lists", other.local() + otherData + whole, "a.txt* b.txt", ""},
		{"a false end record in the comment", func() string {
			body, c := r.local()+d, r.central(0)
			return body + c + end(1, len(c), len(body), "xx"+end(0, 0, 0, "")+"yy")
		}(), "a.txt*", ""},
		{"names differ", archive(r.with(func(r *record) { r.name = "a.exe" }), r, d), "a.txt* a.exe*", ""},
		{"local method lies", archive(r.with(func(r *record) { r.method = 0 }), r, d), "a.txt* a.txt a.txt", "zip: a.txt: damaged: wrong checksum;zip: a.txt: damaged: wrong checksum"},
		{"central method lies", archive(r, r.with(func(r *record) { r.method = 0 }), d), "a.txt a.txt a.txt*", "zip: a.txt: damaged: wrong checksum;zip: a.txt: damaged: wrong checksum"},
		{"central flag lies", archive(r, r.with(locked), d), "a.txt*", ""},
		{"local flag lies", archive(r.with(locked), r, d), "a.txt*", ""},
		{"both flags lie, stored", archive(s.with(locked), s.with(locked), text), "a.txt*", ""},
		{"encrypted", archive(r.with(locked), r.with(locked), noise), "", "zip: a.txt: encrypted"},
		{"encrypted, stored", archive(s.with(locked), s.with(locked), strings.Repeat("x", len(text))), "", "zip: a.txt: encrypted"},
		{"flag and checksum lie", archive(r.with(locked), r.with(func(r *record) { r.crc++ }), d), "a.txt*", ""},
		{"flags and checksums lie", archive(r.with(func(r *record) { r.crc++; locked(r) }), r.with(func(r *record) { r.crc++; locked(r) }), d), "a.txt*", "zip: a.txt: damaged: wrong checksum"},
		{"wrong checksum", archive(r.with(func(r *record) { r.crc++ }), r.with(func(r *record) { r.crc++ }), d), "a.txt*", "zip: a.txt: damaged: wrong checksum"},
		{"central sizes lie", archive(s, s.with(func(r *record) { r.packed = 3 }), text), "a.txt a.txt*", "zip: a.txt: damaged: wrong checksum"},
		{"packed size of deflate lies", archive(r.with(func(r *record) { r.packed = 2 }), r.with(func(r *record) { r.packed = 2 }), d), "a.txt*", ""},
		{"sizes behind the bytes", archive(r.with(later), r, d+descriptor), "a.txt*", ""},
		{"sizes behind the bytes, no directory", r.with(later).local() + d + descriptor, "a.txt*", "zip: damaged: no central directory"},
		{"sizes behind the bytes, stored, no directory", s.with(later).local() + text + zipDescriptorMagic + s.local()[14:26], "a.txt*", "zip: damaged: no central directory"},
		{"wrong checksum behind the bytes", r.with(later).local() + d + zipDescriptorMagic + "eeee" + r.local()[18:26], "a.txt*", "zip: a.txt: damaged: wrong checksum;zip: damaged: no central directory"},
		{"offset beyond the end", r.local() + d + r.central(1<<20) + end(1, zipCentralSize+5, 30+5+len(d), ""), "a.txt*", "zip: a.txt: damaged: no local header"},
		{"zip64 sizes", func() string {
			x := binary.LittleEndian.AppendUint64([]byte("\x01\x00\x10\x00"), uint64(len(text)))
			x = binary.LittleEndian.AppendUint64(x, uint64(len(d)))
			big := r.with(func(r *record) { r.packed, r.size, r.extra = math.MaxUint32, math.MaxUint32, string(x) })
			return archive(big, big, d)
		}(), "a.txt*", ""},
		{"zip64 end record", func() string {
			body, c := r.local()+d, r.central(0)
			le := binary.LittleEndian
			e := append([]byte(zipEnd64Magic), make([]byte, zipEnd64Size-4)...)
			le.PutUint64(e[40:], uint64(len(c)))
			le.PutUint64(e[48:], uint64(len(body)))
			l := append([]byte(zipLocator64Magic), make([]byte, zipLocator64Size-4)...)
			le.PutUint64(l[8:], uint64(len(body)+len(c)))
			return "in front" + body + c + string(e) + string(l) + end(0xffff, math.MaxUint32, math.MaxUint32, "")
		}(), "a.txt*", ""},
		{"an archive stored in the archive", archive(in, in, inner), "in.zip* in.txt*", ""},
		{"unknown method", archive(r.with(func(r *record) { r.method = 77 }), r.with(func(r *record) { r.method = 77 }), d), "", "zip: a.txt: unsupported method: number 77"},
		{"not lzma", archive(r.with(func(r *record) { r.method = 14 }), r.with(func(r *record) { r.method = 14 }), d), "", "zip: a.txt: unsupported method: lzma properties of 62604 bytes"},
		{"known by name only", archive(r.with(func(r *record) { r.method = 97 }), r.with(func(r *record) { r.method = 97 }), d), "", "zip: a.txt: unsupported method: wavpack"},
		{"nothing in it", end(0, 0, 0, ""), "", ""},
	}
}

func TestZipIsReadInEveryWay(t *testing.T) {
	for _, tt := range zipLies() {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "x.zip", []byte(tt.data))
			var objects, unchecked []string
			for i := range n.objects[1:] {
				name := n.objects[i+1][strings.LastIndex(n.objects[i+1], "/")+1:]
				if strings.Contains(n.data[i+1], marker) || strings.Contains(n.data[i+1], zipLocalMagic) {
					name += "*"
				}
				objects = append(objects, name)
			}
			for _, err := range n.errs {
				unchecked = append(unchecked, err.Error())
			}
			if got := strings.Join(objects, " "); got != tt.objects {
				t.Errorf("objects %q, want %q", got, tt.objects)
			}
			if got := strings.Join(unchecked, ";"); got != tt.unchecked {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
		})
	}
}

func TestZipNames(t *testing.T) {
	const name = "請求書.exe"
	sjis, err := japanese.ShiftJIS.NewEncoder().String(name)
	if err != nil {
		t.Fatal(err)
	}
	dos, err := charmap.CodePage437.NewEncoder().String("Ängström ±ÿ.txt")
	if err != nil {
		t.Fatal(err)
	}
	field := func(raw, name string, version byte) string {
		b := []byte{0x75, 0x70, byte(5 + len(name)), 0, version}
		return string(binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE([]byte(raw)))) + name
	}
	for _, tt := range []struct {
		what, raw, extra string
		flags            uint16
		want             string
	}{
		{"ASCII", "a.exe", "", 0, "a.exe"},
		{"flagged UTF-8", name, "", zipUTF8, name},
		{"UTF-8 without the flag", name, "", 0, name},
		{"cp932", sjis, "", 0, name},
		{"cp437", dos, "", 0, "Ängström ±ÿ.txt"},
		{"Unicode path", "_.exe", field("_.exe", name, 1), 0, name},
		{"Unicode path of another name", "_.exe", field("x.exe", name, 1), 0, "_.exe"},
		{"Unicode path of another version", "_.exe", field("_.exe", name, 2), 0, "_.exe"},
		{"flag that lies", "a\xff.exe", "", zipUTF8, "a\uFFFD.exe"},
		{"folders are part of it", "../../etc/passwd", "", 0, "../../etc/passwd"},
		{"too long", strings.Repeat("あ", 1000), "", 0, strings.Repeat("あ", maxName/3)},
	} {
		t.Run(tt.what, func(t *testing.T) {
			r, d := storedRecord(tt.raw, text)
			r.extra, r.flags = tt.extra, tt.flags
			n := walked(t, Limits{}, "x.zip", []byte(archive(r, r, d)))
			if want := "x.zip/" + tt.want; len(n.objects) != 2 || n.objects[1] != want {
				t.Errorf("objects %q, want %q", n.objects, want)
			}
		})
	}
}

// Whatever the lengths, offsets and counts in the headers, the walk ends, finds no
// more than there is, and does not fall silent about what it found no longer.
func TestZipLengthFieldsOfAnyValue(t *testing.T) {
	r, d := deflateRecord("a.txt", text)
	s, _ := storedRecord("a.txt", text)
	for _, whole := range []string{archive(r, r, d), archive(s, s, text)} {
		local, central, last := 0, strings.Index(whole, zipCentralMagic), strings.Index(whole, zipEndMagic)
		fields := []struct{ at, size int }{
			{local + 18, 4}, {local + 22, 4}, {local + 26, 2}, {local + 28, 2},
			{central + 20, 4}, {central + 24, 4}, {central + 28, 2}, {central + 30, 2}, {central + 32, 2}, {central + 42, 4},
			{last + 8, 2}, {last + 10, 2}, {last + 12, 4}, {last + 16, 4}, {last + 20, 2},
		}
		for _, f := range fields {
			for _, v := range []string{"\x00\x00\x00\x00", "\x01\x00\x00\x00", "\xff\xff\xff\xff", "\xff\xff\xff\x7f"} {
				data := []byte(whole)
				copy(data[f.at:f.at+f.size], v)
				n := walked(t, Limits{}, "x.zip", data)
				if n.marked == "" && len(n.unchecked) == 0 {
					t.Errorf("field at %d set to %x: objects %q and not a word", f.at, v[:f.size], n.objects)
				}
				if n.bytes > int64(4*len(whole)) {
					t.Errorf("field at %d set to %x: %d bytes out of %d", f.at, v[:f.size], n.bytes, len(whole))
				}
			}
		}
	}
}

// shared is an archive of n entries that share the same bytes.
func shared(n int) []byte {
	r, d := deflateRecord("0", strings.Repeat("\x00", 1<<20))
	body := r.local() + d
	var c strings.Builder
	for i := range n {
		r.name = fmt.Sprint(i)
		c.WriteString(r.central(0))
	}
	return []byte(body + c.String() + end(n, c.Len(), len(body), ""))
}

// quoted is an archive of n entries each of which holds the local headers of those
// behind it, quoted in stored blocks of deflate, then the bytes that they all share.
func quoted(n int, kernel string) []byte {
	k := deflated(kernel)
	var locals []string
	for i := range n {
		r := record{method: 8, name: fmt.Sprintf("%06d", i), packed: 1, size: 1}
		locals = append(locals, r.local())
	}
	var body, c strings.Builder
	for i, l := range locals {
		c.WriteString(record{method: 8, name: fmt.Sprintf("%06d", i), packed: 1, size: 1}.central(body.Len()))
		body.WriteString(l)
		if i+1 < n {
			next := uint16(len(locals[i+1]))
			body.WriteString(string([]byte{0, byte(next), byte(next >> 8), byte(^next), byte(^next >> 8)}))
		}
	}
	body.WriteString(k)
	size := body.Len()
	return []byte(body.String() + c.String() + end(n, c.Len(), size, ""))
}

func TestZipNamesOfTheSameBytes(t *testing.T) {
	for _, tt := range []struct {
		names, want, unchecked string
	}{
		{"a.txt b.txt", "a.txt b.txt", ""},
		{"a.txt b.txt a.txt b.txt", "a.txt b.txt", ""},
		{"a.txt b.txt c.exe", "a.txt b.txt c.exe", ""},
		{"a.txt b.txt c.TXT", "a.txt b.txt", "x.zip: zip: limit: overlap"},
		{"a.txt b.txt c.txt d.exe e.txt", "a.txt b.txt d.exe", "x.zip: zip: limit: overlap"},
		{"a.0 a.1 a.2 a.3 a.4 a.5 a.6 a.7 a.8", "a.0 a.1 a.2 a.3 a.4 a.5 a.6 a.7", "x.zip: zip: limit: overlap"},
	} {
		t.Run(tt.names, func(t *testing.T) {
			names := strings.Fields(tt.names)
			r, d := storedRecord(names[0], text)
			body := r.local() + d
			var c strings.Builder
			for _, r.name = range names {
				c.WriteString(r.central(0))
			}
			n := walked(t, Limits{}, "x.zip", []byte(body+c.String()+end(len(names), c.Len(), len(body), "")))
			if got := strings.ReplaceAll(strings.Join(n.objects[1:], " "), "x.zip/", ""); got != tt.want {
				t.Errorf("objects %q, want %q", got, tt.want)
			}
			if got := strings.Join(n.unchecked, ";"); got != tt.unchecked {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
		})
	}
}

func TestZipOfTheFutureIsOpened(t *testing.T) {
	r, d := storedRecord("a.txt", text)
	data := []byte(r.local() + d)
	data[4] = 200 // the version that is needed
	if n := walked(t, Limits{}, "x.zip", data); n.marked != "a.txt" {
		t.Errorf("objects %q, unchecked %q", n.objects, n.unchecked)
	}
}

func TestZipBombsAreBounded(t *testing.T) {
	t.Run("100,000 entries share their bytes", func(t *testing.T) {
		n := &notes{discard: true}
		n.walk(t, NewArena(nil, 0), Limits{}, "x.zip", shared(100_000))
		if len(n.objects) != 1+zipNames || !slices.Equal(n.unchecked, []string{"x.zip: zip: limit: overlap"}) {
			t.Errorf("%d objects, unchecked %q; want the container and %d, and the limit once", len(n.objects), n.unchecked, zipNames)
		}
	})
	t.Run("entries that quote each other", func(t *testing.T) {
		data := quoted(2000, strings.Repeat("\x00", 1<<20))
		n := &notes{discard: true, hook: func(p []string) bool { return len(p) == 1 }}
		n.walk(t, NewArena(nil, 0), Limits{Unpacked: 1 << 30}, "x.zip", data)
		if last := n.unchecked[len(n.unchecked)-1]; !strings.Contains(last, "limit: ") {
			t.Errorf("the last of %d unchecked is %q, want a limit", len(n.unchecked), last)
		}
		if n.bytes > 1<<30+int64(len(data)) {
			t.Errorf("%d bytes were handed out", n.bytes)
		}
	})
	t.Run("directories that are walked again and again", func(t *testing.T) {
		r := record{name: "folder/"}
		c := strings.Repeat(r.central(0), 5000)
		data := r.local() + c
		for i := range 200 {
			data += end(5000-i, len(data)-len(r.local())-i*len(r.central(0)), 1000+i, "")
		}
		n := walked(t, Limits{}, "x.zip", []byte(data))
		if want := []string{"x.zip: zip: limit: overlap"}; !slices.Equal(n.unchecked, want) {
			t.Errorf("unchecked %q, want %q", n.unchecked, want)
		}
	})
}
