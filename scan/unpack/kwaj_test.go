package unpack

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
)

// kwajOf writes a KWAJ file. No program that runs here writes the format; the
// samples come from this one.
func kwajOf(method, flags int, fields, packed string) string {
	le := binary.LittleEndian
	b := le.AppendUint16([]byte(kwajMagic), uint16(method))
	b = le.AppendUint16(b, uint16(kwajHeaderSize+len(fields)))
	return string(le.AppendUint16(b, uint16(flags))) + fields + packed
}

// kwajWriter writes bits, the highest of each byte first.
type kwajWriter struct {
	b    []byte
	bits uint64
	n    int
}

func (w *kwajWriter) write(v, n int) {
	w.bits, w.n = w.bits<<n|uint64(v), w.n+n
	for w.n >= 8 {
		w.n -= 8
		w.b = append(w.b, byte(w.bits>>w.n))
	}
}

func (w *kwajWriter) bytes() string {
	if w.n > 0 {
		w.write(0, 8-w.n)
	}
	return string(w.b)
}

// kwajTestCode is a code to write with.
type kwajTestCode struct {
	lengths, codes []int
	kind           int // how its lengths are written
}

// newKwajCode assigns the codes of given lengths.
func newKwajCode(kind int, lengths ...int) kwajTestCode {
	c := kwajTestCode{lengths: lengths, codes: make([]int, len(lengths)), kind: kind}
	code := 0
	for n := 1; n < 16; n++ {
		for s, length := range lengths {
			if length == n {
				c.codes[s] = code
				code++
			}
		}
		code <<= 1
	}
	return c
}

// flat gives all of n symbols the same length.
func flat(n, length int) []int { return slices.Repeat([]int{length}, n) }

func (c kwajTestCode) write(w *kwajWriter, symbol int) { w.write(c.codes[symbol], c.lengths[symbol]) }

// header writes the lengths of the code.
func (c kwajTestCode) header(w *kwajWriter) {
	if c.kind == 1 || c.kind == 2 {
		w.write(c.lengths[0], 4)
	}
	for i, n := range c.lengths {
		switch {
		case c.kind == 3:
			w.write(n, 4)
		case c.kind == 0 || i == 0:
		case c.kind == 1 && n == c.lengths[i-1]:
			w.write(0, 1)
		case c.kind == 1 && n == c.lengths[i-1]+1:
			w.write(2, 2)
		case c.kind == 1:
			w.write(3, 2)
			w.write(n, 4)
		case n-c.lengths[i-1] >= -1 && n-c.lengths[i-1] <= 1:
			w.write(n-c.lengths[i-1]+1, 2)
		default:
			w.write(3, 2)
			w.write(n, 4)
		}
	}
}

// kwajPacked packs text in method 3, with its codes in all four ways.
func kwajPacked(text string) string {
	literals := slices.Concat(flat(128, 9), flat(64, 8), flat(64, 7)) // 1/4, 1/4, 1/2
	codes := [5]kwajTestCode{
		newKwajCode(2, slices.Concat([]int{1, 4}, flat(14, 5))...), // 0 is frequent
		newKwajCode(3, slices.Concat([]int{1, 2, 5, 5}, flat(12, 6))...),
		newKwajCode(0, flat(32, 5)...),
		newKwajCode(1, flat(64, 6)...),
		newKwajCode(1, literals...),
	}
	w := &kwajWriter{}
	for _, c := range codes {
		w.write(c.kind, 4)
	}
	w.write(0, 4)
	for _, c := range codes {
		c.header(w)
	}
	short := false
	for at := 0; at < len(text); {
		lengths := codes[kwajMatchLengths]
		if short {
			lengths = codes[kwajMatchLengths2]
		}
		if n, distance := longest(text, at); n >= 3 {
			lengths.write(w, n-2)
			codes[kwajDistances].write(w, distance>>6)
			w.write(distance&63, 6)
			at += n
			short = false
			continue
		}
		run := 1
		for run < 32 && at+run < len(text) {
			if n, _ := longest(text, at+run); n >= 3 {
				break
			}
			run++
		}
		lengths.write(w, 0)
		codes[kwajRunLengths].write(w, run-1)
		for _, c := range []byte(text[at : at+run]) {
			codes[kwajLiterals].write(w, int(c))
		}
		at += run
		short = run != 32
	}
	return w.bytes()
}

// longest finds the longest copy at an offset, of 17 bytes at most.
func longest(text string, at int) (n, distance int) {
	for d := 1; d <= min(at, lzssWindow-1); d++ {
		k := 0
		for k < 17 && at+k < len(text) && text[at+k] == text[at+k-d] {
			k++
		}
		if k > n {
			n, distance = k, d
		}
	}
	return n, distance
}

// kwajBlocks packs text in method 4.
func kwajBlocks(t testing.TB, text string) string {
	var b, window []byte
	for ; len(text) > 0; text = text[min(len(text), kwajBlock):] {
		block := []byte(text[:min(len(text), kwajBlock)])
		var packed bytes.Buffer
		w, err := flate.NewWriterDict(&packed, 9, window)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(block); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		b = binary.LittleEndian.AppendUint16(b, uint16(packed.Len()+2))
		b = append(append(b, "CK"...), packed.Bytes()...)
		window = block
	}
	return string(b) + "\x00\x00"
}

// kwajSample is longer than a block, and full of repetitions.
func kwajSample() string {
	r := rand.New(rand.NewPCG(3, 4))
	var b strings.Builder
	for b.Len() < 36000 {
		for range r.IntN(20) {
			b.WriteByte(byte(r.IntN(256)))
		}
		s := b.String()
		at := r.IntN(len(s) + 1)
		b.WriteString(s[at:min(len(s), at+r.IntN(40))])
	}
	return b.String() + marker
}

func TestKWAJIsReadInAllMethods(t *testing.T) {
	long := kwajSample()
	size := func(s string) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) }
	turned := func(s string) string {
		b := []byte(s)
		for i := range b {
			b[i] = ^b[i]
		}
		return string(b)
	}
	cut := "f/f: kwaj: f: damaged: cut short"
	packed, blocks := kwajPacked(long), kwajBlocks(t, long)
	table(t, []struct{ name, data, objects, unchecked string }{
		{"stored", kwajOf(0, 0, "", marker), "f=" + marker, ""},
		{"inverted", kwajOf(1, 0, "", turned(marker)), "f=" + marker, ""},
		{"LZSS", kwajOf(2, 0, "", "\x07abc\xee\xf3"), "f=abcabcabc", ""},
		{"Huffman", kwajOf(3, kwajLength, size(long), packed), "f=" + long, ""},
		{"Huffman, cut off", kwajOf(3, kwajLength, size(long), packed[:300]), "f=" + long[:478], cut},
		{"Huffman, codes cut off", kwajOf(3, 0, "", packed[:20]), "", "f/f: kwaj: f: damaged: Huffman code"},
		{"Huffman, a code that cannot be", kwajOf(3, 0, "", "\x30\x00\x00"+strings.Repeat("\x11", 200)), "", "f/f: kwaj: f: damaged: Huffman code"},
		{"Huffman, a code without symbols", kwajOf(3, 0, "", "\x33\x33\x30"+strings.Repeat("\x00", 300)), "", "f/f: kwaj: f: damaged: bits that are no Huffman code"},
		{"Huffman, lengths in a way that there is not", kwajOf(3, 0, "", "\x40\x00\x00"+strings.Repeat("\x00", 300)), "", "f/f: kwaj: f: damaged: Huffman code"},
		{"MSZIP", kwajOf(4, kwajLength, size(long), blocks), "f=" + long, ""},
		{"MSZIP without its end", kwajOf(4, kwajLength, size(long), blocks[:len(blocks)-2]), "f=" + long, ""},
		{"MSZIP, cut off at a block", kwajOf(4, kwajLength, size(long), blocks[:2+int(binary.LittleEndian.Uint16([]byte(blocks)))]), "f=" + long[:kwajBlock], cut},
		{"MSZIP without CK", kwajOf(4, 0, "", "\x09\x00KC1234567"), "", "f/f: kwaj: f: damaged: block without CK"},
		{"MSZIP of one byte", kwajOf(4, 0, "", "\x01\x00K"), "", "f/f: kwaj: f: damaged: block without CK"},
		{"method that is unknown", kwajOf(5, 0, "", marker), "", "f/f: kwaj: f: unsupported method: number 5"},

		{"all fields", kwajOf(0, 0x3f, "\x0d\x00\x00\x00??\x03\x00abcNAME\x00EXE\x00\x04\x00text", marker), "NAME.EXE=" + marker, ""},
		{"name without zeros", kwajOf(0, kwajName|kwajExtension, "LONGNAME\x00EXE\x00", marker), "LONGNAME.EXE=" + marker, ""},
		{"name in cp932", kwajOf(0, kwajName, "\x90\xbf\x8b\x81\x00", marker), "請求=" + marker, ""},
		{"length too large", kwajOf(0, kwajLength, "\xff\xff\xff\xff", marker), "f=" + marker, cut},
		{"length of zero", kwajOf(0, kwajLength, "\x00\x00\x00\x00", marker), "f=" + marker, ""},
		{"fields beyond the end", kwajOf(0, kwajData|kwajName, "\xff\xff", ""), "f=", ""},
		{"offset beyond the end", changed(kwajOf(0, 0, "", marker), 10, "\xff\xff"), "", "f/f: kwaj: f: damaged: no place for its bytes"},
		{"offset within the header", changed(kwajOf(0, 0, "", marker), 10, "\x01\x00"), "", "f/f: kwaj: f: damaged: no place for its bytes"},
	})
}

func FuzzKWAJ(f *testing.F) {
	f.Add([]byte(kwajOf(3, 0, "", kwajPacked("abcabcabc abcabc"))))
	f.Add([]byte(kwajOf(4, 0x3f, "\x0d\x00\x00\x00??\x03\x00abcNAME\x00EXE\x00\x04\x00text", kwajBlocks(f, "abcabcabc"))))
	fuzz(f, "kwaj")
}
