package unpack

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
)

// arjFile is a member, or the header of an archive, that a test writes.
type arjFile struct {
	name, comment         string
	flags, method, kind   byte
	content, packed       string
	modifier              byte
	size, skip            int      // added to the sizes that the header states
	extended              []string // headers
	wrongHeader, wrongSum bool
}

func (f arjFile) write() []byte {
	le := binary.LittleEndian
	b := []byte{34, 11, 1, 2, f.flags, f.method, f.kind, f.modifier, 'T', 'T', 'D', 'D'}
	b = le.AppendUint32(b, uint32(len(f.packed)+f.skip))
	b = le.AppendUint32(b, uint32(len(f.content)+f.size))
	crc := crc32.ChecksumIEEE([]byte(f.content))
	if f.wrongSum {
		crc++
	}
	b = le.AppendUint32(b, crc)
	b = append(b, make([]byte, 10)...) // where the name's last part begins, mode, chapters, position in the file
	b = append(b, f.name+"\x00"+f.comment+"\x00"...)
	out := le.AppendUint16([]byte(arjMagic), uint16(len(b)))
	crc = crc32.ChecksumIEEE(b)
	if f.wrongHeader {
		crc++
	}
	out = le.AppendUint32(append(out, b...), crc)
	for _, e := range f.extended {
		out = append(le.AppendUint16(out, uint16(len(e))), e...)
		out = le.AppendUint32(out, crc32.ChecksumIEEE([]byte(e)))
	}
	return append(append(out, 0, 0), f.packed...)
}

// arjMethod1 packs text as the methods 1 to 3 do.
func arjMethod1(text string) string {
	return string(lzhWriter{5, 17, complete(510), false, 3000}.write(tokens(text, 3, 256, 26624)))
}

func TestARJIsReadTolerantly(t *testing.T) {
	const note = "KIYOME-MARKER\n"
	start, end := arjFile{name: "x.arj", comment: "a comment", kind: arjMain}.write(), []byte(arjMagic+"\x00\x00")
	file := func(change func(*arjFile)) []byte {
		f := arjFile{name: "a", content: note, packed: note}
		if change != nil {
			change(&f)
		}
		return f.write()
	}
	a, b := file(nil), arjFile{name: "b", content: "other", packed: "other"}.write()
	text := lhaText(3000)
	packed := func(change func(*arjFile)) []byte {
		return file(func(f *arjFile) {
			f.content, f.packed, f.method = text, arjMethod1(text), 1
			if change != nil {
				change(f)
			}
		})
	}
	stub := join([]byte("MZ"), bytes.Repeat([]byte(arjMagic+"\x2a\x00"), 1000))
	for _, tt := range []struct {
		name, objects, unchecked string
		data                     []byte
	}{
		{"whole", "a* b", "", join(start, a, b, end)},
		{"without an end", "a* b", "f: arj: damaged: cut short", join(start, a, b)},
		{"noise behind the end", "a*", "", join(start, a, end, []byte("noise"))},
		{"noise behind an end without members", "", "f: arj: damaged: no header where one should be", join(start, end, a[4:], end)},
		{"joined", "a* b", "", join(start, a, end, start, b, end)},
		{"a second archive header and no end", "a* b", "", join(start, a, start, b, end)},
		{"behind a program", "a* b", "", join(stub, start, a, b, end)},
		{"without the archive's header", "a* b", "", join(a, b, end)},
		{"noise between", "a* b", "f: arj: damaged: no header where one should be", join(start, a, []byte("noise"), b, end)},
		{"wrong checksum of the archive's header", "a* b", "", join(arjFile{kind: arjMain, wrongHeader: true}.write(), a, b, end)},
		{"wrong checksum of a header", "a* b", "", join(start, file(func(f *arjFile) { f.wrongHeader = true }), b, end)},
		{"wrong checksum", "a* b", "f/a: arj: a: damaged: wrong checksum", join(start, file(func(f *arjFile) { f.wrongSum = true }), b, end)},
		{"extended headers", "a* b", "", join(start, file(func(f *arjFile) { f.extended = []string{"more", strings.Repeat("m", 5000)} }), b, end)},
		{"an extended header without an end", "", "f/a: arj: a: damaged: cut short", join(start, file(func(f *arjFile) { f.extended, f.packed = []string{"more"}, "" })[:53])},
		{"cut off", "a*", "f/a: arj: a: damaged: cut short", join(start, a[:len(a)-1])},
		{"cut off in a header", "a*", "f: arj: damaged: cut short", join(start, a, b[:20])},
		{"stored, packed size too small", "a a* b", "f/a: arj: a: damaged: wrong checksum;f: arj: damaged: no header where one should be",
			join(start, file(func(f *arjFile) { f.skip = -10 }), b, end)},
		{"stored, packed size too large", "a* a* b", "f/a: arj: a: damaged: wrong checksum", join(start, file(func(f *arjFile) { f.skip = 1 }), []byte{0}, b, end)},
		{"stored, size too small", "a* a b", "f/a: arj: a: damaged: wrong checksum", join(start, file(func(f *arjFile) { f.size = -10 }), b, end)},
		{"packed", "a* b", "", join(start, packed(nil), b, end)},
		{"packed, size too large", "a* b", "f/a: arj: a: damaged: cut short", join(start, packed(func(f *arjFile) { f.size = 1000 }), b, end)},
		{"packed, size too small", "a* b", "f/a: arj: a: damaged: wrong checksum", join(start, packed(func(f *arjFile) { f.size = -1 }), b, end)},
		{"packed, packed size too small", "a* b", "f/a: arj: a: damaged: cut short", join(start, packed(func(f *arjFile) { f.skip = -100 }), b, end)},
		{"packed, packed size beyond the end", "a* b", "f/a: arj: a: damaged: cut short", join(start, packed(func(f *arjFile) { f.skip = 99999 }), b, end)},
		{"the first part of a file", "a*", "f/a: arj: a: unsupported method: the rest of it is in another volume", join(start, file(func(f *arjFile) { f.flags = arjContinued }), end)},
		{"the last part of a file", "a* b", "f/a: arj: a: unsupported method: the rest of it is in another volume", join(start, file(func(f *arjFile) { f.flags = arjBegun }), b, end)},
		{"of no method", "b", "f/a: arj: a: unsupported method: number 5", join(start, file(func(f *arjFile) { f.method = 5 }), b, end)},
		{"garbled, a lie", "a* b", "", join(start, file(func(f *arjFile) { f.flags = arjGarbled }), b, end)},
		{"garbled, a lie, packed", "a* b", "", join(start, packed(func(f *arjFile) { f.flags = arjGarbled }), b, end)},
		{"garbled", "b", "f/a: arj: a: encrypted", join(start, file(func(f *arjFile) { f.flags, f.packed = arjGarbled, "?????????????\n" }), b, end)},
		{"a folder, a label, a chapter", "a*", "", join(start, arjFile{name: "d", kind: arjFolder}.write(), arjFile{name: "l", kind: arjLabel}.write(),
			arjFile{name: "<<<001>>>", kind: arjChapter}.write(), a, end)},
		{"a folder with bytes", "a*", "", join(start, file(func(f *arjFile) { f.kind = arjFolder }), end)},
		{"of no type", "a*", "", join(start, file(func(f *arjFile) { f.kind = 9 }), end)},
		{"backslashes", "d/a*", "", join(start, file(func(f *arjFile) { f.name = `d\a` }), end)},
		{"slashes, and a backslash within a letter", "d/表*", "", join(start, file(func(f *arjFile) { f.name, f.flags = "d/\x95\x5c", arjSlashes }), end)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", tt.data)
			if got := objectsOf(n); got != tt.objects {
				t.Errorf("objects %q, want %q", got, tt.objects)
			}
			if got := strings.Join(n.unchecked, ";"); got != tt.unchecked {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
		})
	}
}

// arjMethod4 packs text as method 4 does: numbers as so many ones, a zero unless
// there are as many as can be, and then as many bits.
func arjMethod4(list []lzToken) string {
	w := &bitWriter{}
	number := func(v, least, most int) {
		n := least
		for ; v >= 1<<n && n < most; n++ {
			w.put(1, 1)
			v -= 1 << n
		}
		if n < most {
			w.put(0, 1)
		}
		w.put(v, n)
	}
	for _, t := range list {
		if t.length == 0 {
			number(0, 0, 7)
			w.put(int(t.literal), 8)
			continue
		}
		number(t.length-2, 0, 7)
		number(t.distance-1, 9, 13)
	}
	return string(w.out)
}

// The samples are too small for copies from far.
func TestFarCopiesOfARJ(t *testing.T) {
	text := lhaText(60_000)
	for method, packed := range map[byte]string{1: arjMethod1(text), 4: arjMethod4(tokens(text, 3, 256, 15_872))} {
		n := walked(t, Limits{}, "f", join(arjFile{name: "a", method: method, content: text, packed: packed}.write(), []byte(arjMagic+"\x00\x00")))
		if len(n.unchecked) > 0 || n.data[1] != text {
			t.Errorf("method %d: unchecked %q", method, n.unchecked)
		}
	}
}

func TestGarbledMembersOpenWithTheirPassword(t *testing.T) {
	for _, name := range []string{"arj-garbled.arj", "arj-garbled-m0.arj", "arj-garbled-m4.arj"} {
		for _, tt := range []struct {
			passwords []string
			want      string
		}{
			{nil, ""},
			{[]string{"", "wrong", "Secret"}, ""},
			{[]string{"wrong", "secret"}, "note.txt*"},
		} {
			w := NewWalker(NewArena(nil, 0), Limits{})
			w.SetPasswords(func() []string { return tt.passwords })
			n := &notes{}
			if err := w.Walk(context.Background(), nil, File{Name: "f", Data: load(t, name)}, n); err != nil {
				t.Fatal(err)
			}
			told := strings.Join(n.unchecked, ";")
			if got := objectsOf(n); got != tt.want || (told == "") != (tt.want != "") || told != "" && told != "f/note.txt: arj: note.txt: encrypted" {
				t.Errorf("%s with %q: objects %q, unchecked %q", name, tt.passwords, got, told)
			}
			if tt.want != "" && w.keys.passwords[0] != "secret" {
				t.Errorf("%s: the password that fits was not noted", name)
			}
		}
	}
}

func TestWhatIsNoARJ(t *testing.T) {
	header := arjFile{name: "a", content: "x", packed: "x"}.write()
	for _, tt := range []struct {
		name string
		data []byte
		want bool
	}{
		{"its mark alone", []byte(arjMagic), false},
		{"an end", []byte(arjMagic + "\x00\x00" + strings.Repeat(" ", 50)), false},
		{"its mark over and over", bytes.Repeat([]byte(arjMagic), 1<<16), false},
		{"its mark with lengths that could be", bytes.Repeat([]byte(arjMagic+"\x28\x0a\x22\x0b\x01\x0b\x10\x00\x02\x00"), 1<<14), true},
		{"the same behind something", bytes.Repeat([]byte("."+arjMagic+"\x28\x0a\x22\x0b\x01\x0b\x10\x00\x02\x00"), 1<<14), false},
		{"a header", header, true},
		{"a header before 1 MB", join(make([]byte, 1<<20-1), header), true},
		{"a header behind 1 MB", join(make([]byte, 1<<20), header), false},
		{"a wrong header behind something", join([]byte("."), damage(header, 20)), false},
	} {
		if got := arjMatch(tt.data); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

func TestOverlappingHeadersOfARJAreBounded(t *testing.T) {
	one := arjFile{name: "a", method: 1, content: "x", skip: 200_000}.write()
	n := walked(t, Limits{}, "f", slices.Repeat(one, 2000))
	if last := n.unchecked[len(n.unchecked)-1]; len(n.unchecked) > lzOverlap+2 || !strings.Contains(last, "limit: overlap") {
		t.Errorf("the last of %d told: %s", len(n.unchecked), last)
	}
}

func FuzzARJ(f *testing.F) {
	f.Add(join(arjFile{kind: arjMain}.write(), arjFile{name: "a", flags: arjGarbled, method: 1, packed: "abc", content: "abc"}.write()))
	fuzz(f, "arj")
}
