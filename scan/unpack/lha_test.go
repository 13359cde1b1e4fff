package unpack

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// lhaPacked packs text in every method for which there is a writer.
func lhaPacked(text string) []lhaFile {
	file := func(method string, packed []byte) lhaFile {
		return lhaFile{method: method, name: method, content: text, packed: string(packed)}
	}
	var list []lhaFile
	for method, w := range lzhMethods {
		reach, most := 1<<(w.positions-1), 256
		f := file(method, nil)
		if w.lhark {
			reach, most = 64<<10, 514
			f = lhaFile{method: "-lh7-", name: method, level: 1, os: ' ', content: text}
		}
		f.packed = string(w.write(tokens(text, 3, most, reach)))
		list = append(list, f)
	}
	return append(list,
		file("-lh0-", []byte(text)), file("-lz4-", []byte(text)), file("-pm0-", []byte(text)), file("-lZ0-", []byte(text)),
		file("-lh1-", lh1Write(tokens(text, 3, 60, 4096))),
		file("-lh2-", lh2Write(tokens(text, 3, 256, 8192))),
		file("-lh3-", lh3Write(tokens(text, 3, 256, 8192), true)),
		file("-lh3-", lh3Write(tokens(text, 3, 256, 8192), false)),
		file("-lzs-", lzsWrite(tokens(text, 2, 17, 2048))),
		file("-lz5-", lz5Write(tokens(text, 3, 18, 4096))),
		file("-pm1-", pm1Write(text, pmTokens(text, 244, 2624+8192))),
		file("-pm2-", pm2Write(text, pmTokens(text, 255, 8192))),
	)
}

// pmTokens takes text apart for PMarc, whose copies of 2 bytes are from near by.
func pmTokens(text string, most, reach int) (list []lzToken) {
	done := 0
	for _, t := range tokens(text, 2, most, reach) {
		if t.length == 2 && t.distance > 64 {
			list = append(list, lzToken{literal: text[done]}, lzToken{literal: text[done+1]})
		} else {
			list = append(list, t)
		}
		done += max(t.length, 1)
	}
	return list
}

func TestEveryMethodOfLHA(t *testing.T) {
	for _, size := range []int{20, 700, 6000, 40_000} {
		text := lhaText(size)
		for _, f := range lhaPacked(text) {
			n := walked(t, Limits{}, "f", f.write())
			if len(n.unchecked) > 0 || len(n.data) != 2 || n.data[1] != text {
				t.Errorf("%s of %d bytes: objects %q, unchecked %q", f.name, size, n.objects, n.unchecked)
			}
		}
	}
}

// The counts of adaptive codes are halved once there are 32,768 symbols.
func TestAdaptiveCodesAreHalved(t *testing.T) {
	text := lhaText(300_000)
	list := tokens(text, 3, 8, 4096)
	if len(list) < 2*0x8000 {
		t.Fatalf("only %d symbols", len(list))
	}
	for _, f := range []lhaFile{
		{method: "-lh1-", packed: string(lh1Write(list))},
		{method: "-lh2-", packed: string(lh2Write(list))},
	} {
		f.name, f.content = "a", text
		n := walked(t, Limits{}, "f", f.write())
		if len(n.unchecked) > 0 || n.data[1] != text {
			t.Errorf("%s: unchecked %q", f.method, n.unchecked)
		}
	}
}

func TestWindowOfLHXReachesFar(t *testing.T) {
	far := lhaText(500_000)
	text := far + far + far
	w := lzhMethods["-lhx-"]
	f := lhaFile{method: "-lhx-", name: "a", content: text, packed: string(w.write(tokens(text, 3, 256, 1<<19)))}
	n := walked(t, Limits{}, "f", f.write())
	if len(n.unchecked) > 0 || n.data[1] != text {
		t.Errorf("unchecked %q", n.unchecked)
	}
}

// What stands before the first byte differs from method to method.
func TestBytesBeforeTheFirst(t *testing.T) {
	for _, tt := range []struct {
		method, packed, want string
	}{
		{"-lzs-", "\x00\x00", "  "},                                   // a copy from place 0
		{"-lz5-", "\x00\x0d\x00\x0d\xc0", "\x01\x01\x01\xed\xed\xed"}, // places 13 and 3085: ones, and 237s
	} {
		f := lhaFile{method: tt.method, name: "a", content: tt.want, packed: tt.packed}
		n := walked(t, Limits{}, "f", f.write())
		if n.data[1] != tt.want {
			t.Errorf("%s: %q, want %q (%q)", tt.method, n.data[1], tt.want, n.unchecked)
		}
	}
}

// objectsOf lists the objects within the outermost one, a star behind those that
// hold the marker.
func objectsOf(n *notes) string {
	var list []string
	for i, o := range n.objects[1:] {
		name := strings.TrimPrefix(o, "f/")
		if strings.Contains(n.data[i+1], marker) {
			name += "*"
		}
		list = append(list, name)
	}
	return strings.Join(list, " ")
}

func TestHeadersOfLHA(t *testing.T) {
	const note = "KIYOME-MARKER\n"
	ext := func(level byte, name string, extra ...string) lhaFile {
		return lhaFile{method: "-lh0-", name: name, level: level, content: note, packed: note, extra: extra}
	}
	wide := func(s string) string { // UTF-16 of ASCII and the mark between folders
		var b []byte
		for _, c := range s {
			b = append(b, byte(c), byte(c>>8))
		}
		return string(b)
	}
	for _, tt := range []struct {
		name string
		file lhaFile
		want string
	}{
		{"level 0", ext(0, `d\e\a`), "d/e/a*"},
		{"level 0, the mark of extended headers", ext(0, "d\xffa"), "d/a*"},
		{"level 0, a comment behind the name", ext(0, "a\x00comment"), "a*"},
		{"level 0, cp932 with a backslash for second byte", ext(0, "d\\\x95\x5c.txt"), "d/表.txt*"},
		{"level 1", ext(1, "a"), "a*"},
		{"level 1 with a folder", ext(1, "a", "\x02d\xffe\xff"), "d/e/a*"},
		{"level 1 with a name", ext(1, "short", "\x01long", "\x02d\xff"), "d/long*"},
		{"level 2", ext(2, "", "\x01a"), "a*"},
		{"level 2 with all there is", ext(2, "", "\x00\x00\x00", "\x01a", "\x02d\xffe", "\x3fcomment", "\x41"+strings.Repeat("t", 24), "\x7f"), "d/e/a*"},
		{"level 2 with a Unicode name", ext(2, "", "\x01?", "\x44"+wide("表.txt")), "表.txt*"},
		{"level 2 with a Unicode folder", ext(2, "", "\x01a", "\x02?", "\x45"+wide("書\uffffe\uffff")), "書/e/a*"},
		{"level 2 with a code page", ext(2, "", "\x01\xe9", "\x46\xe4\x04\x00\x00"), "é*"},
		{"level 2 in UTF-8", ext(2, "", "\x01表", "\x46\xe9\xfd\x00\x00"), "表*"},
		{"level 2 with sizes of 64 bits", lhaFile{method: "-lh0-", level: 2, content: note, packed: note, size: 99, skip: 99,
			extra: []string{"\x01a", "\x42\x0e\x00\x00\x00\x00\x00\x00\x00\x0e\x00\x00\x00\x00\x00\x00\x00"}}, "a*"},
		{"level 3", ext(3, "", "\x01a", "\x02d\xff"), "d/a*"},
		{"a folder", lhaFile{method: "-lhd-", level: 2, extra: []string{"\x02d\xff"}}, ""},
		{"an empty file", lhaFile{method: "-lh5-", name: "a"}, "a"},
		{"a name out of bounds", ext(2, "", "\x01a", "\x02"+strings.Repeat("d", 3000)), strings.Repeat("d", maxName) + "*"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", append(tt.file.write(), 0))
			if got := objectsOf(n); got != tt.want || len(n.unchecked) > 0 {
				t.Errorf("objects %q, want %q; unchecked %q", got, tt.want, n.unchecked)
			}
		})
	}
	// LArc's headers have no CRC.
	b := ext(0, "a").write()
	b = slices.Delete(b, len(b)-len(note)-2, len(b)-len(note))
	b[0] -= 2
	if n := walked(t, Limits{}, "f", b); objectsOf(n) != "a*" || len(n.unchecked) > 0 {
		t.Errorf("without a CRC: objects %q, unchecked %q", n.objects, n.unchecked)
	}
	// OS-9/68K forgets the two bytes of the size.
	b = lhaFile{method: "-lh0-", level: 2, os: 'K', content: note, packed: note, extra: []string{"\x01a"}}.write()
	b[0] -= 2
	if n := walked(t, Limits{}, "f", b); objectsOf(n) != "a*" || len(n.unchecked) > 0 {
		t.Errorf("of OS-9/68K: objects %q, unchecked %q", n.objects, n.unchecked)
	}
}

func TestLHAIsReadTolerantly(t *testing.T) {
	const note = "KIYOME-MARKER\n"
	a, b := lhaStored("a", note).write(), lhaStored("b", "other").write()
	text := lhaText(3000)
	packed := lhaFile{method: "-lh5-", name: "p", content: text, packed: string(lzhMethods["-lh5-"].write(tokens(text, 3, 256, 8192)))}
	change := func(f lhaFile, change func(*lhaFile)) []byte { change(&f); return f.write() }
	changed := func(b []byte, at int) []byte { b = slices.Clone(b); b[at] ^= 0x55; return b }
	stub := append([]byte("MZ -lh5- "), make([]byte, 5000)...)
	end := []byte{0}
	for _, tt := range []struct {
		name, objects, unchecked string
		data                     []byte
	}{
		{"without an end", "a* b", "", join(a, b)},
		{"noise behind the end", "a*", "", join(a, end, []byte("signature -lh5- and more of that"))},
		{"joined", "a* b", "", join(a, end, b, end)},
		{"joined with something between", "a* b", "", join(a, end, stub, b, end)},
		{"noise between", "a* b", "f: lha: damaged: no header where one should be", join(a, []byte("noise"), b, end)},
		{"wrong checksum of a header", "a* b", "", join(changed(a, 1), b, end)},
		{"wrong checksum of the second", "b a*", "", join(b, changed(a, 1), end)},
		{"wrong CRC", "a* b", "f/a: lha: a: damaged: wrong checksum", join(changed(a, 23), b, end)},
		{"behind a program", "a* b", "", join(stub, a, b, end)},
		{"behind a program and a header that is none", "a* b", "f/p: lha: p: damaged: table of codes",
			join(stub, change(packed, func(f *lhaFile) { f.packed = strings.Repeat("\xff", 99) })[:90], a, b, end)},
		{"behind a program and a header whose sum is wrong", "a* b", "", join(stub, changed(packed.write(), 1)[:25], a, b, end)},
		{"MacBinary", "a*", "", join([]byte("\x00\x05a.lzh"), make([]byte, 121), a, end, make([]byte, 40))},
		{"stored, packed size too small", "a a*", "f/a: lha: a: damaged: wrong checksum;f: lha: damaged: no header where one should be", change(lhaStored("a", note), func(f *lhaFile) { f.skip = -10 })},
		{"stored, size too small", "a* a", "f/a: lha: a: damaged: wrong checksum", join(change(lhaStored("a", note), func(f *lhaFile) { f.size = -10 }), end)},
		{"stored, cut off", "a*", "f/a: lha: a: damaged: cut short", a[:len(a)-1]},
		{"packed", "p* b", "", join(packed.write(), b)},
		{"packed, cut off", "p*", "f/p: lha: p: damaged: cut short", packed.write()[:len(packed.write())-100]},
		{"packed, packed size too small", "p* b", "f/p: lha: p: damaged: cut short", join(change(packed, func(f *lhaFile) { f.skip = -100 }), b, end)},
		{"packed, size too large", "p* b", "f/p: lha: p: damaged: cut short", join(change(packed, func(f *lhaFile) { f.size = 5000 }), b, end)},
		{"packed, size too small", "p* b", "f/p: lha: p: damaged: wrong checksum", join(change(packed, func(f *lhaFile) { f.size = -5 }), b, end)},
		{"of no method", "b", "f/a: lha: a: unsupported method: -lh9-", join(change(lhaStored("a", note), func(f *lhaFile) { f.method = "-lh9-" }), b)},
		{"a folder with bytes", "a*", "", change(lhaStored("a", note), func(f *lhaFile) { f.method = "-lhd-" })},
		{"LHARK's mark on lh7 of LHA", "p*", "f/p: lha: p: damaged", change(packed, func(f *lhaFile) {
			f.method, f.level, f.os = "-lh7-", 1, ' '
			f.packed = string(lzhMethods["-lh7-"].write(tokens(text, 3, 256, 64<<10)))
		})},
		{"level 1, no room for extended headers", "", "f: lha: damaged: header", change(lhaFile{method: "-lh0-", level: 1, name: "a", extra: []string{"\x01b"}}, func(f *lhaFile) { f.skip = -1 })},
		{"level 2, header cut off", "", "f: lha: damaged: cut short", lhaFile{method: "-lh0-", level: 2, extra: []string{"\x01a"}}.write()[:27]},
		{"level 3 of another word size", "", "f: lha: damaged: header", join([]byte("\x08\x00"), lhaFile{method: "-lh0-", level: 3, extra: []string{"\x01a"}}.write()[2:])},
		{"a block of 0 codes that some take for empty", "p p*", "f/p: lha: p: damaged: wrong checksum", change(packed, func(f *lhaFile) {
			w := &bitWriter{}
			for range 52 { // the number of codes, and three tables of one code each
				w.put(0, 1)
			}
			lzhMethods["-lh5-"].writeTo(w, tokens(text, 3, 256, 8192))
			f.packed = string(w.out)
		})},
		{"a block of 0 codes", "a", "f/a: lha: a: damaged", change(packed, func(f *lhaFile) { f.name, f.packed = "a", strings.Repeat("\x00", 100); f.size = 1 << 20 })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", tt.data)
			if got := objectsOf(n); got != tt.objects {
				t.Errorf("objects %q, want %q", got, tt.objects)
			}
			if got := strings.Join(n.unchecked, ";"); got != tt.unchecked && !(strings.HasSuffix(tt.unchecked, "damaged") && strings.HasPrefix(got, tt.unchecked)) {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
		})
	}
}

func TestTextIsNoLHA(t *testing.T) {
	header := lhaStored("a", "x").write()
	for _, tt := range []struct {
		name string
		data []byte
		want bool
	}{
		{"text", []byte(strings.Repeat("the method is -lh5- or -lzs- and so on\n", 100)), false},
		{"text that begins like a header", []byte("a -lh5- header looks like this, they say"), false},
		{"hyphens", bytes.Repeat([]byte{'-'}, 3000), false},
		{"a header", header, true},
		{"a header behind 1 MB", join(make([]byte, 1<<20), header), false},
		{"a header before 1 MB", join(make([]byte, 1<<20-1), header), true},
		{"a header whose CRC is wrong", join([]byte("."), lhaFile{method: "-lh0-", level: 2, extra: []string{"\x00??", "\x01a"}}.write()), false},
		{"a header without a CRC", join([]byte("."), lhaFile{method: "-lh0-", level: 2, extra: []string{"\x01a"}}.write()), true},
		{"what PMarc's programs have", lhaFile{method: "-pms-"}.write(), false},
		{"almost a header", header[:20], false},
	} {
		if got := lhaMatch(tt.data); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

// No value of any byte makes a decoder panic, and none hides the marker without a word.
func TestEveryByteOfAnArchiveMayLie(t *testing.T) {
	for _, name := range []string{"lha-level0.lzh", "lha-level1.lzh", "lha-level2.lzh", "lha-lh1.lzh", "lha-jlha-lh7.lzh", "arj-m1.arj", "arj-m4.arj", "arj-chapters.arj"} {
		t.Run(name, func(t *testing.T) {
			data := load(t, name)
			everyByte(t, data, 160)
		})
	}
	text := lhaText(20)
	for _, f := range lhaPacked(text) {
		t.Run(f.name, func(t *testing.T) { everyByte(t, f.write(), 90) })
	}
}

func everyByte(t *testing.T, data []byte, most int) {
	t.Helper()
	for at := range min(len(data), most) {
		for _, v := range []byte{0, 1, 0xff, data[at] ^ 0x80} {
			b := slices.Clone(data)
			b[at] = v
			n := walked(t, Limits{Unpacked: 1 << 18}, "f", b)
			found := slices.ContainsFunc(n.data[1:], func(data string) bool { return strings.Contains(data, marker) })
			// Else it is other data in front of the archive, or the archive is at its end.
			begins := isLHAHeader(b, 0) || hasMagic(b, 0, arjMagic) && !bytes.Contains(b[4:len(b)-4], []byte(arjMagic+"\x00\x00"))
			if begins && !found && len(n.unchecked) == 0 {
				t.Fatalf("byte %d set to %#x: objects %q and not a word", at, v, n.objects)
			}
			for _, told := range n.unchecked {
				if strings.Contains(told, "panicked") {
					t.Fatalf("byte %d set to %#x: %s", at, v, told)
				}
			}
		}
	}
}

// Headers that lie over one another do not make the same bytes be read without end.
func TestOverlappingHeadersAreBounded(t *testing.T) {
	one := lhaFile{method: "-lh5-", name: "a", content: "x", skip: 200_000}.write()
	n := walked(t, Limits{}, "f", bytes.Repeat(one, 2000))
	if last := n.unchecked[len(n.unchecked)-1]; len(n.unchecked) > lzOverlap+2 || !strings.Contains(last, "limit: overlap") {
		t.Errorf("the last of %d told: %s", len(n.unchecked), last)
	}
}

func FuzzLHA(f *testing.F) {
	for _, file := range lhaPacked(lhaText(700)) {
		f.Add(file.write())
	}
	fuzz(f, "lha")
}

func BenchmarkLH5(b *testing.B) {
	text := benchText()
	f := lhaFile{method: "-lh5-", name: "a", content: text, packed: string(lzhWriter{4, 14, complete(510), false, 20000}.write(tokens(text, 3, 256, 8192)))}
	benchmark(b, f.write())
}

// What is no archive costs next to nothing.
func BenchmarkNoLHA(b *testing.B) {
	data := []byte(strings.Repeat("<p>A well-known text - with hyphens, as HTML has them</p>\n", 10<<20/58))
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if lhaMatch(data) || arjMatch(data) {
			b.Fatal("found")
		}
	}
}
