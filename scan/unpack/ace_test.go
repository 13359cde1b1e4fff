package unpack

import (
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"slices"
	"strings"
	"testing"
)

// aceText is the text of the samples.
func aceText(what string) string {
	var b strings.Builder
	for i := range 40 {
		b.WriteString(what)
		b.WriteString(strings.Repeat(string(rune('a'+i%26)), i%9))
		b.WriteString(", and once more, and again\n")
	}
	return b.String()
}

// aceOf packs segments into a file.
func aceOf(name string, segments ...aceSegment) aceFile {
	f := aceFile{name: name, method: aceBlocked, packed: aceModes(segments...)}
	for _, s := range segments {
		f.content += s.text
	}
	return f
}

// acePacked gives files of all methods and modes.
func acePacked(text string) []aceFile {
	note := aceSegment{text: text}
	wave := func(kind, channels int) aceSegment { return aceSegment{kind: kind, text: aceWave(2400, channels)} }
	program := aceSegment{kind: aceModeEXE, text: aceProgram(text[:20], 3000)}
	wide := program
	wide.wide = true
	delta := func(n, channels int) aceSegment {
		return aceSegment{kind: aceModeDelta, text: aceWave(n, channels), channels: channels}
	}
	picture := func(width, rows, planes int) aceSegment {
		return aceSegment{kind: aceModePicture, text: acePixels(width, rows), width: width, planes: planes}
	}
	return []aceFile{
		{name: "stored", content: text, packed: text},
		{name: "lz77", method: aceLZ77, content: text, packed: acePackLZ(text, 30000, true)},
		{name: "lz77-blocks", method: aceLZ77, content: text, packed: acePackLZ(text, 3, false)},
		aceOf("lz", note),
		aceOf("exe16", note, program, note),
		aceOf("exe32", wide, program, wide, note),
		aceOf("exe-ends", note, aceSegment{kind: aceModeEXE, text: aceProgram("", 500) + "\xe8abcd", wide: true}),
		aceOf("exe-ends16", note, aceSegment{kind: aceModeEXE, text: aceProgram("", 500) + "\xe9abcd\xe8abc"}),
		aceOf("delta", delta(1200, 2), delta(1203, 3), note),
		aceOf("sound8", wave(aceModeSound, 1), note),
		aceOf("sound16", note, wave(aceModeSound+1, 2), note, wave(aceModeSound+1, 2)),
		aceOf("sound16-again", wave(aceModeSound+1, 2), aceSegment{kind: aceModeSound + 1, text: aceWave(333, 2)}, wave(aceModeSound+1, 2), note),
		aceOf("sound32a", wave(aceModeSound+2, 4), wave(aceModeSound+3, 4), note),
		aceOf("sound32b", wave(aceModeSound+3, 4), note),
		aceOf("grey", picture(61, 40, 1), note),
		aceOf("color", note, picture(91, 40, 3), note),
		aceOf("all", note, picture(64, 20, 4), wave(aceModeSound, 1), delta(600, 4), wave(aceModeSound+1, 2), wide, picture(50, 3, 2), note),
	}
}

func aceArchive(files ...aceFile) []byte {
	b := aceStart(0, "")
	for _, f := range files {
		b = append(b, f.write()...)
	}
	return b
}

func TestEveryModeOfACE(t *testing.T) {
	large := aceOf("large", aceSegment{kind: aceModeEXE, text: aceProgram("\xe8\xe8", 150_000), wide: true},
		aceSegment{kind: aceModeEXE, text: aceProgram("\xe9\xe8", 150_000)}, aceSegment{text: marker})
	for _, f := range append(acePacked(aceText(marker)), large) {
		t.Run(f.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", aceArchive(f))
			if len(n.unchecked) > 0 || len(n.data) != 2 || n.data[1] != f.content {
				t.Errorf("unchecked %q", n.unchecked)
			}
		})
	}
}

// aceFar is a file with copies from where their lengths begin to count otherwise.
func aceFar(what string) aceFile {
	noise := make([]byte, 8500)
	rand.New(rand.NewSource(1)).Read(noise)
	text := what
	for _, b := range noise {
		text += string(rune('a' + b%16))
	}
	w := &aceWriter{perBlock: 3000}
	for _, literal := range []byte(text) {
		w.ops = append(w.ops, aceOp{lzToken: lzToken{literal: literal}})
	}
	for i, distance := range []int{1, 2, 3, 256, 257, 8192, 8193, 8500, 257, 8192, 3, 256} {
		length := 10 + 7*i
		w.ops = append(w.ops, aceOp{lzToken: lzToken{length: length, distance: distance}})
		for range length {
			text += text[len(text)-distance:][:1]
		}
	}
	w.flush()
	return aceFile{name: "note.txt", method: aceLZ77, content: text, packed: aceWords(&w.bitWriter)}
}

// The samples of ACE are made of what these give.
func aceSamples(what string) map[string][]byte {
	text := aceText(what)
	packed := map[string]aceFile{}
	for _, f := range acePacked(text) {
		packed[f.name] = f
	}
	named := func(mode, name string) aceFile {
		f := packed[mode]
		f.name = name
		return f
	}
	other := aceFile{name: "a.txt", method: aceLZ77, content: aceText("nothing"), packed: acePackLZ(aceText("nothing"), 30000, true)}
	solid, locked := named("lz77", "note.txt"), named("lz77", "note.txt")
	solid.packed, solid.flags = acePackAfter(other.content, text), 1<<15
	locked.password = "kiyome"
	lockedStored := named("stored", "note.txt")
	lockedStored.password = "kiyome"
	commented := other
	commented.comment = acePackComment(text[:200])
	join := func(start []byte, files ...aceFile) []byte {
		for _, f := range files {
			start = append(start, f.write()...)
		}
		return start
	}
	return map[string][]byte{
		"distances":        join(aceStart(0, ""), aceFar(what)),
		"stored":           join(aceStart(0, ""), named("stored", "note.txt")),
		"lz77":             join(aceStart(0, ""), other, named("lz77", "note.txt")),
		"solid":            join(aceStart(1<<15, ""), other, solid),
		"blocked":          join(aceStart(0, ""), named("lz", "note.txt")),
		"exe16":            join(aceStart(0, ""), named("exe16", "note.txt")),
		"exe32":            join(aceStart(0, ""), named("exe32", "note.txt")),
		"delta":            join(aceStart(0, ""), named("delta", "note.txt")),
		"sound":            join(aceStart(0, ""), named("sound16", "note.txt")),
		"picture":          join(aceStart(0, ""), named("color", "note.txt")),
		"cp932":            join(aceStart(0, ""), named("lz77", "\x95\xb6\x8f\x91\\\x97\x5c\x92\xe8\x95\x5c.txt")),
		"japanese":         join(aceStart(0, ""), named("lz77", "請求書.txt")),
		"comment":          join(aceStart(aceCommented|aceAdvert, acePackComment("nothing, nothing, nothing")), commented),
		"program":          join(append(append([]byte("MZ"), make([]byte, 500)...), aceStart(1<<9, "")...), named("lz77", "note.txt")),
		"encrypted":        join(aceStart(0, ""), locked),
		"encrypted-stored": join(aceStart(0, ""), lockedStored),
	}
}

func TestACESamplesAreWhatIsWrittenHere(t *testing.T) {
	for twin, what := range map[string]string{"": marker, "-clean": "nothing here"} {
		for name, data := range aceSamples(what) {
			if twin != "" && strings.HasPrefix(name, "encrypted") {
				continue
			}
			if !bytes.Equal(data, load(t, "ace-"+name+twin+".ace")) {
				t.Errorf("ace-%s%s.ace is another", name, twin)
			}
		}
	}
}

func TestACEIsReadTolerantly(t *testing.T) {
	const note = "KIYOME-MARKER\n"
	start := aceStart(0, "")
	file := func(change func(*aceFile)) []byte {
		f := aceFile{name: "a", content: note, packed: note}
		if change != nil {
			change(&f)
		}
		return f.write()
	}
	a, b := file(nil), aceFile{name: "b", content: "other", packed: "other"}.write()
	text := aceText(marker)
	packed := func(change func(*aceFile)) []byte {
		return file(func(f *aceFile) {
			f.content, f.packed, f.method = text, acePackLZ(text, 30000, true), aceLZ77
			if change != nil {
				change(f)
			}
		})
	}
	recovery := aceHeader(2, aceAdds, []byte("\x05\x00\x00\x00**ACE**"), 0)
	stub := join([]byte("MZ"), bytes.Repeat([]byte(aceMagic+"\x00"), 1000))
	comment := acePackComment("a comment, a comment")
	// ACE 1.2 has no text of the program's in front of the comment, but its length.
	oldComment := aceHeader(aceTypeArchive, aceCommented, join([]byte(aceMagic), make([]byte, 17), []byte{byte(len(comment)), 0}, []byte(comment)), 0)
	bareComment := aceHeader(aceTypeArchive, aceCommented, join([]byte(aceMagic), make([]byte, 16), []byte{byte(len(comment)), 0}, []byte(comment)), 0)
	const before, behind = "damaged: it begins in another volume", "damaged: it goes on in another volume"
	for _, tt := range []struct {
		name, objects, unchecked string
		data                     []byte
	}{
		{"whole", "a* b", "", join(start, a, b)},
		{"padded", "a* b", "", join(start, a, b, make([]byte, 100), []byte("\r\n"))},
		{"noise behind the end", "a*", "f: ace: damaged: no header where one should be", join(start, a, []byte("noise"), make([]byte, 10))},
		{"a few bytes behind the end", "a*", "f: ace: damaged: cut short", join(start, a, []byte("nois"))},
		{"joined", "a* b", "", join(start, a, start, b)},
		{"joined, with noise between", "a* b", "f: ace: damaged: no header where one should be", join(start, a, []byte("noise noise"), start, b)},
		{"behind a program", "a* b", "", join(stub, start, a, b)},
		{"in another container, which goes on behind it", "a* b", "", join([]byte("header"), start, a, b, []byte("the other's trailer"))},
		{"behind text", "a* b", "", join([]byte("**ACE** is a mark, as in **ACE**.\n"), start, a, b)},
		{"the archive's header alone", "", "f: ace: damaged: an archive without a file", start},
		{"cut in the archive's header", "", "f: ace: damaged: cut short", start[:20]},
		{"wrong checksum of the archive's header", "a* b", "f: ace: damaged: wrong checksum of a header", join(damage(start, 0), a, b)},
		{"another field of it wrong", "a* b", "f: ace: damaged: wrong checksum of a header", join(damage(start, 15), a, b)},
		{"wrong checksum of a header", "a* b", "f: ace: damaged: wrong checksum of a header", join(start, file(func(f *aceFile) { f.wrongHeader = true }), b)},
		{"wrong checksum of the last header", "a* b", "f: ace: damaged: wrong checksum of a header", join(start, a, aceFile{name: "b", content: "other", packed: "other", wrongHeader: true}.write())},
		{"noise between", "a* b", "f: ace: damaged: no header where one should be", join(start, a, []byte("noise noise"), b)},
		{"wrong checksum", "a* b", "f/a: ace: a: damaged: wrong checksum", join(start, file(func(f *aceFile) { f.wrongSum = true }), b)},
		{"sizes of 64 bits", "a* b", "", join(start, file(func(f *aceFile) { f.kind = aceTypeFile64 }), b)},
		{"the flag of 64 bits without them", "a* b", "", join(start, file(func(f *aceFile) { f.flags = aceWide }), b)},
		{"recovery record", "a* b", "", join(start, a, recovery, []byte("xxxxx"), b)},
		{"recovery record of 64 bits", "a* b", "", join(start, a, aceHeader(5, aceAdds|aceWide, []byte("\x05\x00\x00\x00\x00\x00\x00\x00**ACE**"), 0), []byte("xxxxx"), b)},
		{"of no type", "a* b", "", join(start, a, aceHeader(77, aceAdds, []byte("\x02\x00\x00\x00"), 0), []byte("xx"), b)},
		{"of no type, and nothing behind it", "a* b", "", join(start, a, aceHeader(77, 0, nil, 0), b)},
		{"a file that has no bytes, it says", "b", "f: ace: damaged: a header without all its fields", join(start, aceHeader(aceTypeFile, 0, make([]byte, 40), 0), b)},
		{"a header that is too short", "b", "f: ace: damaged: a header without all its fields", join(start, aceHeader(aceTypeFile, aceAdds, make([]byte, 10), 0), b)},
		{"a name longer than the header", "b", "f/aaa: ace: aaa: damaged: a header without all its fields",
			join(start, aceHeader(aceTypeFile, aceAdds, append(make([]byte, 26), "\x09\x00aaa"...), 0), b)},
		{"cut off", "a*", "f/a: ace: a: damaged: cut short", join(start, a[:len(a)-1])},
		{"cut off in a header", "a*", "f: ace: damaged: cut short", join(start, a, b[:20])},
		{"cut off in a name", "a*", "f: ace: damaged: cut short", join(start, a, b[:35])},
		{"stored, packed size too small", "a* a b", "f/a: ace: a: damaged: wrong checksum;f: ace: damaged: no header where one should be",
			join(start, file(func(f *aceFile) { f.skip = -10 }), b)},
		{"stored, packed size too large", "a* a* b", "f/a: ace: a: damaged: wrong checksum", join(start, file(func(f *aceFile) { f.skip = 1 }), []byte{0}, b)},
		{"stored, size too small", "a a* b", "f/a: ace: a: damaged: wrong checksum", join(start, file(func(f *aceFile) { f.size = -10 }), b)},
		{"packed", "a* b", "", join(start, packed(nil), b)},
		{"packed, size too large", "a* b", "f/a: ace: a: damaged: cut short", join(start, packed(func(f *aceFile) { f.size = 10000 }), b)},
		{"packed, size too small", "a* b", "f/a: ace: a: damaged: wrong checksum", join(start, packed(func(f *aceFile) { f.size = -1 }), b)},
		{"packed, packed size too small", "a* b", "f/a: ace: a: damaged: cut short", join(start, packed(func(f *aceFile) { f.skip = -100 }), b)},
		{"packed, packed size too large", "a*", "f: ace: damaged: cut short", join(start, packed(func(f *aceFile) { f.skip = 1 }), b)},
		{"packed, packed size beyond the end", "a* b", "f: ace: damaged: cut short", join(start, packed(func(f *aceFile) { f.skip = 99999 }), b)},
		{"a mode in ACE 1", "a* b", "f/a: ace: a: damaged: a mode, where there is none", join(start, packed(func(f *aceFile) {
			f.packed = aceModes(aceSegment{text: text}, aceSegment{kind: aceModeEXE, text: "more"})
			f.content += "more"
		}), b)},
		{"the first part of a file", "a*", "f/a: ace: a: " + behind, join(start, file(func(f *aceFile) { f.flags, f.size = aceContinued, 50 }))},
		{"the last part of a file", "a* b", "f/a: ace: a: " + before, join(start, file(func(f *aceFile) { f.flags, f.size = aceBegun, 50; f.wrongSum = true }), b)},
		{"the first part of a packed file", "a*", "f/a: ace: a: " + behind, join(start, packed(func(f *aceFile) { f.flags, f.packed = aceContinued, f.packed[:len(f.packed)-33] }))},
		{"the last part of a packed file", "b", "f/a: ace: a: " + before, join(start, packed(func(f *aceFile) { f.flags, f.packed = aceBegun, f.packed[51:] }), b)},
		{"begun in no other volume", "a* b", "", join(start, packed(func(f *aceFile) { f.flags = aceBegun }), b)},
		{"of no method", "b", "f/a: ace: a: unsupported method: number 3", join(start, file(func(f *aceFile) { f.method = 3 }), b)},
		{"encrypted, a lie", "a* b", "", join(start, file(func(f *aceFile) { f.flags = aceLocked }), b)},
		{"encrypted, a lie, packed", "a* b", "", join(start, packed(func(f *aceFile) { f.flags = aceLocked }), b)},
		{"encrypted", "b", "f/a: ace: a: encrypted", join(start, file(func(f *aceFile) { f.password = "x" }), b)},
		{"a folder", "a*", "", join(start, aceFile{name: "d", attr: aceFolder}.write(), a)},
		{"a folder with bytes", "a*", "", join(start, file(func(f *aceFile) { f.attr = aceFolder }))},
		{"an empty file", "e a*", "", join(start, aceFile{name: "e", method: aceBlocked}.write(), a)},
		{"backslashes", "d/a*", "", join(start, file(func(f *aceFile) { f.name = `d\a` }))},
		{"a backslash within a letter", "d/表*", "", join(start, file(func(f *aceFile) { f.name = "d\\\x95\x5c" }))},
		{"a name with an end", "a.txt*", "", join(start, file(func(f *aceFile) { f.name = "a.txt\x00.exe" }))},
		{"comments", ":comment a* a:comment b", "", join(aceStart(aceCommented|aceAdvert, comment), file(func(f *aceFile) { f.comment = comment }), b)},
		{"comment without a text before it", ":comment b", "", join(oldComment, b)},
		{"comment right behind the fields", ":comment b", "", join(bareComment, b)},
		{"a comment that is none", "a*", "f/a:comment: ace: a:comment: damaged: cut short", join(start, file(func(f *aceFile) { f.comment = "\xff\xff\xff\xff\xff\xff\xff\xff" }))},
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

// Of a damaged file what is before the damage is handed out.
func TestDamagedModesOfACE(t *testing.T) {
	note := aceSegment{text: marker + " and so on"}
	picture := aceSegment{kind: aceModePicture, text: acePixels(60, 9), width: 60, planes: 3}
	wide := picture
	wide.width, wide.text = aceWidest, acePixels(aceWidest, 1)[:0]
	for _, tt := range []struct {
		name, told string
		segments   []aceSegment
	}{
		{"no such mode", "damaged: mode 9", []aceSegment{note, {kind: 9}}},
		{"differences of no channels", "damaged: differences", []aceSegment{note, {kind: aceModeDelta, text: "abcd", channels: 1, length: -4}, note}},
		{"fewer differences than channels", "damaged: differences", []aceSegment{note, {kind: aceModeDelta, text: "abcd", channels: 4, length: -1}, note}},
		{"copies beyond the differences", "damaged: differences", []aceSegment{note, {kind: aceModeDelta, text: "abcabcabcabcabcabc", channels: 1, length: -6}, note}},
		{"rows without bounds", "limit: memory: rows of 1048576 bytes", []aceSegment{note, wide, note}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := aceFile{name: "a", method: aceBlocked, content: strings.Repeat("x", 200)}
			if tt.segments[1].kind == 9 {
				w := &aceWriter{perBlock: 2000}
				w.lz(note.text)
				w.ops = append(w.ops, aceOp{mode: [][2]int{{9, 8}}})
				w.flush()
				f.packed = aceWords(&w.bitWriter) + "more"
			} else {
				f.packed = aceModes(tt.segments...)
			}
			n := walked(t, Limits{}, "f", aceArchive(f, aceFile{name: "b"}))
			if got, told := objectsOf(n), strings.Join(n.unchecked, ";"); got != "a* b" || told != "f/a: ace: a: "+tt.told {
				t.Errorf("objects %q, unchecked %q", got, told)
			}
		})
	}
}

// The samples are too small for copies from far.
func TestFarCopiesOfACE(t *testing.T) {
	noise := make([]byte, 9<<20)
	rand.New(rand.NewSource(1)).Read(noise)
	for _, size := range []int{1000, lzStep, aceReach - 5, aceReach, aceLastWindow - lzStep - 100, len(noise)} {
		before := string(noise[:size])
		distance := min(size, aceReach)
		w := &aceWriter{perBlock: 100}
		for _, literal := range []byte(marker) {
			w.ops = append(w.ops, aceOp{lzToken: lzToken{literal: literal}})
		}
		w.ops = append(w.ops, aceOp{lzToken: lzToken{length: 200, distance: distance}})
		w.flush()
		from := size + len(marker) - distance
		text := marker + (before + marker)[from:from+200]
		n := walked(t, Limits{}, "f", aceArchive(
			aceFile{name: "a", content: before[:size/2], packed: before[:size/2]},
			aceFile{name: "a", content: before[size/2:], packed: before[size/2:]},
			aceFile{name: "b", method: aceLZ77, content: text, packed: aceWords(&w.bitWriter), flags: 1 << 15}))
		if got, told := objectsOf(n), strings.Join(n.unchecked, ";"); got != "a a b*" || told != "" || n.data[3] != text {
			t.Errorf("%d bytes: objects %q, unchecked %q", size, got, told)
		}
	}
}

func TestBytesBeforeTheFirstOfACE(t *testing.T) {
	w := &aceWriter{perBlock: 100}
	w.ops = []aceOp{{lzToken: lzToken{literal: 'a'}}, {lzToken: lzToken{length: 6, distance: 4}}, {lzToken: lzToken{length: 5, distance: 1000}}}
	w.flush()
	const text = "a\x00\x00\x00a\x00\x00\x00\x00\x00\x00\x00"
	before := aceArchive(aceFile{name: "before", content: "another archive", packed: "another archive"})
	n := walked(t, Limits{}, "f", join(before, aceArchive(aceFile{name: "a", method: aceLZ77, content: text, packed: aceWords(&w.bitWriter)})))
	if len(n.unchecked) > 0 || n.data[2] != text {
		t.Errorf("%q, unchecked %q", n.data[1:], n.unchecked)
	}
}

func TestEncryptedACE(t *testing.T) {
	text := aceText(marker)
	long := lhaText(200_000)
	archive := func(method byte, content, password string, flags uint16) []byte {
		f := aceFile{name: "a", method: method, content: content, packed: content, password: password, flags: flags}
		switch flags {
		case aceContinued:
			f.size = 100
		case aceLocked:
			f.wrongSum = true
		}
		switch method {
		case aceLZ77:
			f.packed = acePackLZ(content, 3000, true)
		case aceBlocked:
			f.packed = aceModes(aceSegment{text: content}, aceSegment{kind: aceModeSound, text: aceWave(900, 1)})
			f.content += aceWave(900, 1)
		}
		return aceArchive(f, aceFile{name: "b"}, f)
	}
	for _, tt := range []struct {
		name, passwords, objects string
		data                     []byte
	}{
		{"none", "", "b", archive(aceLZ77, text, "right", 0)},
		{"the wrong ones", "wrong Right", "b", archive(aceLZ77, text, "right", 0)},
		{"the right one", "wrong right", "a* b a*", archive(aceLZ77, text, "right", 0)},
		{"stored, the wrong one", "wrong", "b", archive(aceStored, text, "right", 0)},
		{"stored", "wrong right", "a* b a*", archive(aceStored, text, "right", 0)},
		{"modes", "wrong right", "a* b a*", archive(aceBlocked, text, "right", 0)},
		{"large", "wrong right", "a* b a*", archive(aceLZ77, long, "right", 0)},
		{"large, the wrong one", "wrong", "b", archive(aceLZ77, long, "right", 0)},
		{"large and no file that is not encrypted", "wrong", "b", archive(aceLZ77, long, "", aceLocked)},
		{"in cp932", "wrong パスワード", "a* b a*", archive(aceLZ77, text, "\x83\x70\x83\x58\x83\x8f\x81\x5b\x83\x68", 0)},
		{"longer than counts", strings.Repeat("p", 51), "a* b a*", archive(aceLZ77, text, strings.Repeat("p", 50), 0)},
		{"the first part of a file", "wrong right", "a* b a*", archive(aceLZ77, long, "right", aceContinued)},
		{"the first part of a stored file", "wrong right", "b", archive(aceStored, long+"more", "right", aceContinued)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := &notes{passwords: strings.Fields(tt.passwords)}
			n.walk(t, NewArena(nil, 0), Limits{}, "f", tt.data)
			told := strings.Join(n.unchecked, ";")
			want := ""
			switch {
			case tt.objects == "b":
				want = "f/a: ace: a: encrypted;f/a: ace: a: encrypted"
			case strings.HasPrefix(tt.name, "the first part"):
				want = strings.Repeat(";f/a: ace: a: damaged: it goes on in another volume", 2)[1:]
			}
			if got := objectsOf(n); got != tt.objects || told != want {
				t.Errorf("objects %q, unchecked %q", got, told)
			}
		})
	}
}

func TestPasswordOfACEIsNoted(t *testing.T) {
	w := NewWalker(NewArena(nil, 0), Limits{})
	w.SetPasswords(func() []string { return []string{"wrong", "kiyome"} })
	n := &notes{}
	if err := w.Walk(t.Context(), nil, File{Name: "f", Data: load(t, "ace-encrypted.ace")}, n); err != nil {
		t.Fatal(err)
	}
	if got := objectsOf(n); got != "note.txt*" || w.keys.passwords[0] != "kiyome" {
		t.Errorf("objects %q, passwords %q", got, w.keys.passwords)
	}
}

// The values are those of acefile.
func TestBlowfishOfACE(t *testing.T) {
	if digits := aceDigits(); digits[0] != 0x243f6a88 || digits[1041] != 0x3ac372e6 {
		t.Errorf("%x and %x are no digits of pi", digits[0], digits[1041])
	}
	in := aceInput{data: bytes.Repeat([]byte{'7'}, 17), key: newACEKey([]byte("123456789"))}
	var got [24]byte
	if n := in.read(got[:]); n != 16 || string(got[:n]) != "\t_\xd0a}\x1dh\xdd>h\xe7VJ*_\xea" {
		t.Errorf("%q", got[:n])
	}
}

// The order is that of acefile.
func TestOrderOfEqualLengthsOfACE(t *testing.T) {
	s := aceSorter{lengths: [aceMaxSymbols]uint8{1, 0, 0, 1, 2, 0, 0}, symbols: [aceMaxSymbols]uint16{0, 1, 2, 3, 4, 5, 6}}
	s.sort(0, 6)
	if want := []uint16{4, 0, 3, 5, 6, 2, 1}; !slices.Equal(s.symbols[:7], want) {
		t.Errorf("%d, want %d", s.symbols[:7], want)
	}
	r := rand.New(rand.NewSource(1))
	for n := range aceMaxSymbols {
		for i := range n {
			s.lengths[i] = uint8(r.Intn(12))
		}
		s.sort(0, n-1)
		for i := 1; i < n; i++ {
			if s.lengths[i-1] < s.lengths[i] {
				t.Fatalf("%d symbols are not in order: %d", n, s.lengths[:n])
			}
		}
	}
}

// What is wrong with a code shows when passwords are tried; else the original reads on.
func TestCodesOfACEThatAreNotComplete(t *testing.T) {
	for _, tt := range []struct {
		name    string
		lengths []uint8
		bits    string
		want    []int // -1: an error
		strict  []int
	}{
		{"complete", []uint8{1, 2, 2}, "\x00\x00\x00\xb0", []int{1, 2, 0}, []int{1, 2, 0}},
		{"one symbol", []uint8{0, 3}, "\x00\x00\x00\x10", []int{1, 0, 0}, []int{1, -1}},
		{"too few", []uint8{2, 2, 2}, "\x00\x00\x00\xc0", []int{0}, []int{-1}},
		{"too many", []uint8{1, 1, 2}, "\x00\x00\x00\x80", []int{1, 0}, nil},
		{"too long", []uint8{1, 12}, "\x00\x00\x00\x80", nil, nil},
		{"none", []uint8{0, 0}, "\x00\x00\x00\x80", []int{1, 1}, []int{1, 1}},
	} {
		for _, strict := range []bool{false, true} {
			want := tt.want
			if strict {
				want = tt.strict
			}
			c := aceCode{strict: strict}
			copy(c.lengths[:], tt.lengths)
			if err := c.build(len(tt.lengths), aceLongest); (err != nil) != (want == nil) {
				t.Errorf("%s, strict %t: %v", tt.name, strict, err)
				continue
			}
			b := newACEBits(aceInput{data: []byte(tt.bits)})
			for i, symbol := range want {
				if got := c.next(b); got != symbol {
					t.Errorf("%s, strict %t: symbol %d is %d, want %d", tt.name, strict, i, got, symbol)
				}
			}
		}
	}
}

func TestBlocksOfNoSymbolAreNotThoseOfAPassword(t *testing.T) {
	for _, strict := range []bool{false, true} {
		w, none := &bitWriter{}, newACETree(nil, false)
		none.write(w)
		none.write(w)
		w.put(1000, 15)
		w.out = append(w.out, make([]byte, 200)...)
		u := newACEUnpacker(aceInput{data: []byte(aceWords(w))}, &aceWindow{}, 1000)
		if strict {
			u.strict()
		}
		if out, err := io.ReadAll(u); (err != nil) != strict || len(out) != 1000 && !strict {
			t.Errorf("strict %t: %d bytes, %v", strict, len(out), err)
		}
	}
}

func TestWhatIsNoACE(t *testing.T) {
	start := aceStart(0, "")
	for _, tt := range []struct {
		name string
		data []byte
		want bool
	}{
		{"its mark alone", []byte(aceMagic), false},
		{"its mark where it should be", []byte("\x11\x22\x31\x00\x00\x00\x90**ACE**\x14"), true},
		{"its mark in a text", []byte("a text **ACE** and on"), false},
		{"its mark over and over", bytes.Repeat([]byte(aceMagic), 1<<16), false},
		{"nothing", nil, false},
		{"a header", start, true},
		{"a header before 1 MB", join(make([]byte, 1<<20-aceMagicAt), start), true},
		{"a header behind 1 MB", join(make([]byte, 1<<20), start), false},
		{"a wrong header behind something", join([]byte("."), damage(start, 20)), false},
		{"a header of another type", aceHeader(1, 0, start[7:], 0), false},
	} {
		if got := aceMatch(tt.data); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

// No value of any byte makes a decoder panic, and none hides the marker without a word.
func TestEveryByteOfACEMayLie(t *testing.T) {
	check := func(name string, b []byte) {
		t.Helper()
		n := walked(t, Limits{Unpacked: 1 << 18}, "f", b)
		found := slices.ContainsFunc(n.data[1:], func(data string) bool { return strings.Contains(data, marker) })
		if !found && len(n.unchecked) == 0 && aceMatch(b) {
			t.Errorf("%s: objects %q and not a word", name, n.objects)
		}
		for _, told := range n.unchecked {
			if strings.Contains(told, "panicked") {
				t.Errorf("%s: %s", name, told)
			}
		}
	}
	for _, f := range acePacked(aceText(marker)[:60]) {
		data := aceArchive(f)
		for at := 0; at < min(len(data), 300); at += 1 + at/80*2 { // the header of the file ends at 70 or so
			for _, v := range []byte{0, 1, 0xff, data[at] ^ 0x80} {
				b := slices.Clone(data)
				b[at] = v
				check(fmt.Sprintf("%s, byte %d set to %#x", f.name, at, v), b)
			}
		}
		for end := 14; end < len(data); end += 1 + end/40 { // before there is nothing that tells of ACE
			check(fmt.Sprintf("%s, cut at %d", f.name, end), data[:end])
		}
	}
}

// Headers that lie over one another do not make the same bytes be read without end.
func TestOverlappingHeadersOfACEAreBounded(t *testing.T) {
	one := aceFile{name: "a", method: aceLZ77, content: "x", skip: 200_000}.write()
	n := walked(t, Limits{}, "f", join(aceStart(0, ""), bytes.Repeat(one, 4000)))
	if last := n.unchecked[len(n.unchecked)-1]; len(n.unchecked) > 200 || !strings.Contains(last, "limit: overlap") {
		t.Errorf("the last of %d told: %s", len(n.unchecked), last)
	}
}

func FuzzACE(f *testing.F) {
	for _, file := range acePacked(aceText(marker)) {
		f.Add(aceArchive(file))
		file.password = "kiyome"
		f.Add(aceArchive(file))
	}
	fuzz(f, "ace")
}

func BenchmarkACE(b *testing.B) {
	text := benchText()
	benchmark(b, aceArchive(aceFile{name: "a", method: aceLZ77, content: text, packed: acePackLZ(text, 20000, true)}))
}

func BenchmarkACEPicture(b *testing.B) {
	benchmark(b, aceArchive(aceOf("a", aceSegment{kind: aceModePicture, text: acePixels(3000, 1000), width: 3000, planes: 3})))
}

func BenchmarkACESound(b *testing.B) {
	benchmark(b, aceArchive(aceOf("a", aceSegment{kind: aceModeSound + 1, text: aceWave(1_000_000, 2)})))
}

// What is no archive costs next to nothing.
func BenchmarkNoACE(b *testing.B) {
	data := []byte(strings.Repeat("/** A well-known text ** with stars, as ACE has them **/\n", 10<<20/58))
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if aceMatch(data) {
			b.Fatal("found")
		}
	}
}
