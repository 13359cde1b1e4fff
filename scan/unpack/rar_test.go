package unpack

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// rarText is a text with repetitions, of some length.
func rarText(what string) string {
	var b strings.Builder
	for i := range 60 {
		fmt.Fprintf(&b, "line %d of a text about %s and other things\n", i*i, what)
	}
	return b.String()
}

// told walks a file and gives its members in short, those with the marker starred,
// and what was told.
func ranTold(t *testing.T, data []byte, passwords ...string) (objects, unchecked string) {
	t.Helper()
	n, w := &notes{}, NewWalker(NewArena(nil, 0), Limits{})
	w.SetPasswords(func() []string { return passwords })
	if err := w.Walk(t.Context(), nil, File{Name: "f", Data: data}, n); err != nil {
		t.Fatal(err)
	}
	var list []string
	for i, o := range n.objects[1:] {
		if o = strings.TrimPrefix(o, "f/"); strings.Contains(n.data[i+1], marker) {
			o += "*"
		}
		list = append(list, o)
	}
	var errs []string
	for _, err := range n.errs {
		errs = append(errs, err.Error())
	}
	return strings.Join(list, " "), strings.Join(errs, ";")
}

// parts is a case: what an archive is made of.
type rarCase struct {
	name      string
	data      func(w rarWriter) []byte
	passwords string
	objects   string
	unchecked string
}

func TestRAR(t *testing.T) {
	text := rarText(marker)
	a := rarEntry{name: "a.txt", text: text}
	packed := rarEntry{name: "a.txt", text: text, packed: true}
	b := rarEntry{name: "b.txt", text: rarText("nothing"), packed: true}
	with := func(e rarEntry, change func(*rarEntry)) rarEntry { change(&e); return e }
	one := func(e rarEntry) func(rarWriter) []byte {
		return func(w rarWriter) []byte { return w.archive(false, e) }
	}
	two := func(e, f rarEntry) func(rarWriter) []byte {
		return func(w rarWriter) []byte { return w.archive(false, e, f) }
	}
	solid := func(files ...rarEntry) func(rarWriter) []byte {
		for i := range files {
			files[i].packed, files[i].solid = true, i > 0
		}
		return func(w rarWriter) []byte { return w.archive(true, files...) }
	}
	locked := func(e *rarEntry) { e.password = "pass" }
	stub := append([]byte("MZ"), bytes.Repeat([]byte("program "), 40<<10)...)
	cases := []rarCase{
		{"stored", one(a), "", "a.txt*", ""},
		{"packed", one(packed), "", "a.txt*", ""},
		{"two", two(b, packed), "", "b.txt a.txt*", ""},
		{"solid", solid(b, packed, b), "", "b.txt a.txt* b.txt", ""},
		{"solid, a size that lies", solid(with(b, func(e *rarEntry) { e.size = 5000 }), packed, b), "", "b.txt a.txt* b.txt", "rar: b.txt: damaged: cut short"},
		{"behind a program", func(w rarWriter) []byte { return append(slices.Clone(stub), w.archive(false, packed)...) }, "", "a.txt*", ""},
		{"joined", func(w rarWriter) []byte { return append(w.archive(false, b), w.archive(false, packed)...) }, "", "b.txt a.txt*", ""},
		{"something behind", func(w rarWriter) []byte { return append(w.archive(false, packed), "something"...) }, "", "a.txt*", ""},
		{"wrong checksum, stored", two(with(a, func(e *rarEntry) { e.crc = 1 }), b), "", "a.txt* b.txt", "rar: a.txt: damaged: wrong checksum"},
		{"wrong checksum, packed", two(with(packed, func(e *rarEntry) { e.crc = 1 }), b), "", "a.txt* b.txt", "rar: a.txt: damaged: bad file checksum"},
		{"wrong checksum of a header", two(with(packed, func(e *rarEntry) { e.headerCRC = 1 }), b), "", "a.txt* b.txt", "rar: damaged: wrong checksum of a header"},
		{"noise between", func(w rarWriter) []byte {
			return slices.Concat(w.format.start(false), w.file(b), []byte(strings.Repeat("noise t", 50)), w.file(packed), w.end)
		}, "", "b.txt a.txt*", "rar: damaged: no header where one should be"},
		{"encrypted", two(with(a, locked), b), "", "b.txt", "rar: a.txt: encrypted"},
		{"encrypted, other passwords", two(with(packed, locked), b), "no nope", "b.txt", "rar: a.txt: encrypted"},
		{"encrypted, the password", two(with(packed, locked), with(b, locked)), "no pass", "a.txt* b.txt", ""},
		{"encrypted, stored", one(with(a, locked)), "pass", "a.txt*", ""},
		{"encrypted, a password each", func(w rarWriter) []byte {
			return w.archive(false, with(b, locked), with(packed, func(e *rarEntry) { e.password = "word" }), with(b, locked))
		}, "no pass word", "b.txt a.txt* b.txt", ""},
		{"it goes on", func(w rarWriter) []byte {
			return slices.Concat(w.format.start(false), w.file(with(a, func(e *rarEntry) { e.after = true })), w.endMore)
		}, "", "a.txt*", "rar: a.txt: damaged: it goes on in another volume;rar: damaged: it goes on in another volume"},
		{"it goes on, packed", one(with(packed, func(e *rarEntry) { e.after, e.size = true, 1<<20 })), "", "a.txt*", "rar: a.txt: damaged: it goes on in another volume"},
		{"it begins before", one(with(a, func(e *rarEntry) { e.before = true })), "", "a.txt*", "rar: a.txt: damaged: it begins in another volume"},
		{"it begins before, packed", two(with(packed, func(e *rarEntry) { e.before = true }), b), "", "b.txt", "rar: a.txt: damaged: invalid file block"},
		{"comment", two(b, with(packed, func(e *rarEntry) { e.service, e.name = true, "CMT" })), "", "b.txt b.txt:CMT*", ""},
		{"recovery record", two(b, with(packed, func(e *rarEntry) { e.service, e.name = true, "RR" })), "", "b.txt", ""},
	}
	for name, w := range rarWriters {
		for _, tt := range cases {
			t.Run(name+" "+tt.name, func(t *testing.T) {
				objects, unchecked := ranTold(t, tt.data(w), strings.Fields(tt.passwords)...)
				if objects != tt.objects || unchecked != tt.unchecked {
					t.Errorf("objects %q, unchecked %q\nwant    %q, unchecked %q", objects, unchecked, tt.objects, tt.unchecked)
				}
			})
		}
	}
}

func TestRARSolidAndDamaged(t *testing.T) {
	w := rarWriters["rar4"]
	first := rarEntry{name: "a.txt", text: rarText("nothing"), packed: true}
	next := first
	next.solid = true
	data := w.archive(true, first, next, next)
	begun := len(w.archive(true, first)) - len(w.end)
	clear(data[begun-200 : begun-20])
	objects, unchecked := ranTold(t, data)
	const want = "rar: a.txt: damaged: cut short;rar: a.txt: damaged: cut short;rar: a.txt: damaged: packed with one that could not be read"
	if objects != "a.txt" || unchecked != want {
		t.Errorf("objects %q, unchecked %q, want %q", objects, unchecked, want)
	}
}

// The samples of RAR are made of what these give.
func rarSamples(text string) map[string][]byte {
	four, five := rarWriters["rar4"], rarWriters["rar5"]
	other := rarEntry{name: "a.txt", text: rarText("nothing"), packed: true}
	last := other
	last.name = "z.txt"
	note := rarEntry{name: "note.txt", text: text, packed: true}
	plain, solid := note, note
	plain.packed, solid.solid, last.solid = false, true, true
	wide := note
	wide.name, wide.unicode = "___.txt\x00\x00\xaa\xcb\x8a\x42\x6c\xf8\x66\x2e\x00\xaat\x00x\x00t\x00", true
	sjis, utf8 := note, note
	sjis.name, utf8.name = "\x95\x5c.txt", "請求書.txt"
	stub := append([]byte("MZ"), make([]byte, 500)...)
	return map[string][]byte{
		"rar4-stored":   four.archive(false, plain),
		"rar4":          four.archive(false, other, note),
		"rar4-solid":    four.archive(true, other, solid, last),
		"rar4-japanese": four.archive(false, wide),
		"rar4-cp932":    four.archive(false, sjis),
		"rar5-stored":   five.archive(false, plain),
		"rar5":          five.archive(false, other, note),
		"rar5-solid":    five.archive(true, other, solid, last),
		"rar5-japanese": five.archive(false, utf8),
		"rar5-program":  append(stub, five.archive(false, note)...),
	}
}

func TestRARSamplesAreWhatIsWrittenHere(t *testing.T) {
	for twin, what := range map[string]string{"": marker, "-clean": "nothing here"} {
		for name, data := range rarSamples(rarText(what)) {
			if !bytes.Equal(data, load(t, name+twin+".rar")) {
				t.Errorf("%s%s.rar is another", name, twin)
			}
		}
	}
}
