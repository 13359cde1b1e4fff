package unpack

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// lzwPacked packs text as compress does, and empties the table after every so
// many codes (0: never). No program that runs here writes files that are not in
// blocks, or empties the table that early.
func lzwPacked(text string, most int, block bool, every int) string {
	w := &lzwWriter{most: most, block: block}
	b := []byte{0x1f, 0x9d, byte(most)}
	if block {
		b[2] |= compressBlock
	}
	w.clear()
	for n := 1; len(text) > 0; n++ {
		length, code := w.longest(text)
		w.write(code)
		w.define(text, length)
		text = text[length:]
		if every > 0 && n%every == 0 {
			w.write(lzwClear)
			w.group(lzwFirst)
			w.clear()
		}
	}
	w.group(0)
	return string(b) + string(w.out)
}

type lzwWriter struct {
	most  int
	block bool
	table map[string]int
	width int
	next  int
	codes []int // of the present group
	out   []byte
}

func (w *lzwWriter) clear() {
	w.table, w.width, w.next = map[string]int{}, lzwFirst, 256
	if w.block {
		w.next++
	}
}

func (w *lzwWriter) longest(text string) (length, code int) {
	length, code = 1, int(text[0])
	for length < len(text) {
		longer, ok := w.table[text[:length+1]]
		if !ok {
			break
		}
		length, code = length+1, longer
	}
	return length, code
}

// define adds what the reader will define at the next code, and widens the codes
// for it when the one before has used them up.
func (w *lzwWriter) define(text string, length int) {
	if w.next >= 1<<w.width && w.width < w.most {
		w.group(w.width + 1)
	}
	if length < len(text) && w.next < 1<<w.most {
		w.table[text[:length+1]] = w.next
		w.next++
	}
}

// write adds a code to the group.
func (w *lzwWriter) write(code int) {
	if w.codes = append(w.codes, code); len(w.codes) == 8 {
		w.group(w.width)
	}
}

// group writes the group out, whole unless it is the last one, and sets the width
// of the next.
func (w *lzwWriter) group(width int) {
	n := (len(w.codes)*w.width + 7) / 8
	if width != 0 && len(w.codes) > 0 {
		n = w.width
	}
	b := make([]byte, n)
	for i, code := range w.codes {
		for bit := range w.width {
			at := i*w.width + bit
			b[at/8] |= byte(code>>bit&1) << (at % 8)
		}
	}
	w.out, w.codes, w.width = append(w.out, b...), nil, width
}

func lzwText() string {
	r := rand.New(rand.NewPCG(5, 6))
	var b strings.Builder
	for b.Len() < 20000 {
		b.WriteString(strings.Repeat(string(rune('a'+r.IntN(26))), 1+r.IntN(4)))
	}
	return b.String() + marker
}

func TestCompressIsReadInAllItsForms(t *testing.T) {
	long := lzwText()
	short := "\x1f\x9d\x90" + "K\x92\x64"
	table(t, []struct{ name, data, objects, unchecked string }{
		{"16 bits, blocks", lzwPacked(long, 16, true, 0), "f=" + long, ""},
		{"16 bits, no blocks", lzwPacked(long, 16, false, 0), "f=" + long, ""},
		{"12 bits, no blocks", lzwPacked(long, 12, false, 0), "f=" + long, ""},
		{"10 bits", lzwPacked(long, 10, true, 0), "f=" + long, ""},
		{"emptied in a group", lzwPacked(long, 16, true, 333), "f=" + long, ""},
		{"emptied at the end of a group", lzwPacked(long, 16, true, 7), "f=" + long, ""},
		{"emptied behind a change of width", lzwPacked(long, 12, true, 257), "f=" + long, ""},
		{"the same byte", lzwPacked(strings.Repeat("a", 5000), 16, true, 0), "f=" + strings.Repeat("a", 5000), ""},
		{"no code", "\x1f\x9d\x90", "f=", ""},
		{"a first code that is none", "\x1f\x9d\x90\xff\xff", "", "f/f: compress: f: damaged: code 511"},
		{"a code beyond the table", short + "\xff\xff", "f=KI", "f/f: compress: f: damaged: code 473"},
		{"cut within a code", short[:5], "f=K", ""},
		{"17 bits", "\x1f\x9d\x91" + "K\x92\x64", "", ""},
		{"8 bits", "\x1f\x9d\x88" + "K\x92\x64", "", ""},
	})
}

func FuzzCompress(f *testing.F) {
	f.Add([]byte(lzwPacked("abcabcabcabcabc", 9, false, 0)))
	f.Add([]byte(lzwPacked("abcabcabcabcabc", 16, true, 3)))
	fuzz(f, "compress")
}
