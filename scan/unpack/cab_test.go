package unpack

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// cabBlock is a block that has been packed, and its size before that.
type cabBlock struct {
	data []byte
	size int
}

type cabEntry struct {
	name       string
	from, size int
}

// cabPart is a folder with its files.
type cabPart struct {
	method uint16
	blocks []cabBlock
	files  []cabEntry
	index  uint16 // of the folder as the files tell it, when it is not its own
}

// makeCab writes a cabinet.
func makeCab(parts ...cabPart) []byte {
	le := binary.LittleEndian
	var files, data []byte
	count := 0
	for i, p := range parts {
		for _, f := range p.files {
			count++
			files = le.AppendUint32(files, uint32(f.size))
			files = le.AppendUint32(files, uint32(f.from))
			files = le.AppendUint16(files, max(uint16(i), p.index))
			files = append(files, "\x21\x58\x00\x60\x20\x00"...)
			files = append(append(files, f.name...), 0)
		}
	}
	folders := cabHeaderSize + cabFolderSize*len(parts)
	head := []byte(cabMagic)
	for _, v := range []uint32{0, 0, 0, uint32(folders), 0} {
		head = le.AppendUint32(head, v)
	}
	head = append(head, cabVersion...)
	for _, v := range []uint16{uint16(len(parts)), uint16(count), 0, 1234, 0} {
		head = le.AppendUint16(head, v)
	}
	for _, p := range parts {
		head = le.AppendUint32(head, uint32(folders+len(files)+len(data)))
		head = le.AppendUint16(le.AppendUint16(head, uint16(len(p.blocks))), p.method)
		for _, b := range p.blocks {
			block := le.AppendUint16(le.AppendUint16(make([]byte, 4), uint16(len(b.data))), uint16(b.size))
			le.PutUint32(block, cabSum(b.data, cabSum(block[4:], 0)))
			data = append(append(data, block...), b.data...)
		}
	}
	le.PutUint32(head[8:], uint32(len(head)+len(files)+len(data)))
	return slices.Concat(head, files, data)
}

func storedBlocks(texts ...string) (blocks []cabBlock) {
	for _, text := range texts {
		blocks = append(blocks, cabBlock{[]byte(text), len(text)})
	}
	return blocks
}

func mszipBlocks(texts ...string) (blocks []cabBlock) {
	var history []byte
	for _, text := range texts {
		b := bytes.NewBufferString(mszipMagic)
		w, err := flate.NewWriterDict(b, flate.BestCompression, history[max(len(history)-mszipHistory, 0):])
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			panic(err)
		}
		history = append(history, text...)
		blocks = append(blocks, cabBlock{b.Bytes(), len(text)})
	}
	return blocks
}

// put writes bytes over others.
func put(data []byte, at int, text string) []byte {
	data = slices.Clone(data)
	copy(data[at:], text)
	return data
}

// toldOf are the names of the objects in a file, a star behind those with the
// marker, and what could not be read.
func toldOf(n *notes) (objects, unchecked string) {
	var names []string
	for i, o := range n.objects[1:] {
		name := strings.TrimPrefix(o, "f/")
		if strings.Contains(n.data[i+1], marker) {
			name += "*"
		}
		names = append(names, name)
	}
	return strings.Join(names, " "), strings.Join(n.unchecked, ";")
}

func TestCabinetsAreReadTolerantly(t *testing.T) {
	const note = "KIYOME-MARKER\n" // 14 bytes
	filler := strings.Repeat("filler ", 1000)
	a, ab := []cabEntry{{"a", 0, 14}}, []cabEntry{{"a", 0, 14}, {"b", 14, 5}}
	plain := makeCab(cabPart{0, storedBlocks(note + "other"), ab, 0})
	two := makeCab(cabPart{0, storedBlocks("first", note), []cabEntry{{"a", 0, 5}, {"b", 5, 14}}, 0})
	zip := makeCab(cabPart{1, mszipBlocks(note+filler, note+filler), []cabEntry{{"a", 0, 7014}, {"b", 7014, 7014}}, 0})
	hidden := join(plain[:16], []byte{80}, plain[17:36], []byte{116}, plain[37:80], put(put(plain[44:80], 16, "c"), 34, "d"), plain[80:])
	next := join(plain[:30], []byte{cabNext, 0}, plain[32:36], []byte("next.cab\x00disk 2\x00"), plain[36:])
	next[16] += 16
	next[52] += 16
	unmarked := put(zip, bytes.Index(zip, []byte(mszipMagic)), "XX")
	prev := func(method uint16, blocks ...cabBlock) []byte {
		return makeCab(cabPart{method, blocks, []cabEntry{{"a", 0, 114}, {"b", 114, 5}}, cabFromPrev})
	}
	reserve := join(plain[:30], []byte{cabReserve, 0}, plain[32:36], []byte{3, 0, 2, 1}, []byte("abc"), plain[36:44], []byte("xx"), plain[44:])
	reserve[16] += 4 + 3 + 2
	reserve[36+4+3] += 4 + 3 + 2
	data := len(reserve) - 19
	reserve = join(reserve[:data], []byte("r"), reserve[data:])
	for _, tt := range []struct {
		name, objects, unchecked string
		data                     []byte
	}{
		{"plain", "a* b", "", plain},
		{"two folders", "a* b", "", makeCab(cabPart{0, storedBlocks(note), a, 0}, cabPart{1, mszipBlocks("other"), []cabEntry{{"b", 0, 5}}, 0})},
		{"files in another order", "a* b", "", makeCab(cabPart{0, storedBlocks(note + "other"), []cabEntry{{"b", 14, 5}, {"a", 0, 14}}, 0})},
		{"file over two blocks", "a*", "", makeCab(cabPart{0, storedBlocks(note[:5], note[5:]), a, 0})},
		{"marker in the blocks before", "a* b*", "", zip},
		{"reserved fields", "a* b", "", reserve},
		{"joined", "a* b a* b", "", join(plain, plain)},
		{"behind a program", "a* b", "", join([]byte("MZ"), make([]byte, 2<<20), plain)},
		{"behind something", "a* b", "", join([]byte("something"), plain)},
		{"far behind something", "", "", join([]byte("some"), make([]byte, 2<<20), plain)},
		{"with something behind", "a* b", "", join(plain, []byte("MSCF is the magic number"))},
		{"name of the next cabinet", "a* b", "", next},
		{"wrong checksum", "a* b", "f/a: cab: a: damaged: wrong checksum;f/b: cab: b: damaged: wrong checksum", put(plain, len(plain)-27, "\x55")},
		{"wrong checksum of another block", "a b*", "f/a: cab: a: damaged: wrong checksum", put(two, len(two)-14-8-5-8, "\x55")},
		{"checksum that is none", "a* b", "", put(plain, len(plain)-27, "\x00\x00\x00\x00")},
		{"overlapping", "a* b*", "", makeCab(cabPart{0, storedBlocks(note + "other"), []cabEntry{{"a", 0, 14}, {"b", 0, 19}}, 0})},
		{"one file under two names", "a* b.exe*", "", makeCab(cabPart{0, storedBlocks(note), []cabEntry{{"a", 0, 14}, {"b.exe", 0, 14}}, 0})},
		{"one file under three", "a* b*", "f: cab: limit: overlap", makeCab(cabPart{0, storedBlocks(note), []cabEntry{{"a", 0, 14}, {"b", 0, 14}, {"c", 0, 14}}, 0})},
		{"empty files", "e1 e2 e3 a*", "", makeCab(cabPart{0, storedBlocks(note), []cabEntry{{"e1", 0, 0}, {"e2", 0, 0}, {"e3", 0, 0}, {"a", 0, 14}}, 0})},
		{"gap", "b*", "", makeCab(cabPart{0, storedBlocks("other", note), []cabEntry{{"b", 5, 14}}, 0})},
		{"file beyond the folder", "a*", "f/a: cab: a: damaged: cut short;f/b: cab: b: damaged: cut short", makeCab(cabPart{0, storedBlocks(note), []cabEntry{{"a", 0, 99}, {"b", 99, 1}}, 0})},
		{"no files", "", "f: cab: damaged: no files", makeCab(cabPart{0, storedBlocks(note), nil, 0})},
		{"no folders", "", "f: cab: damaged: file in a folder that is not there", put(plain, 26, "\x00")},
		{"folder that is not there", "b", "f: cab: damaged: file in a folder that is not there", put(plain, 44+8, "\x07")},
		{"more files than there are", "a* b", "f: cab: damaged: name of a file", put(plain, 28, "\x05")},
		{"files in two places", "c* d a* b", "", hidden},
		{"offset of the files", "a* b", "f: cab: damaged: offset of the files", put(plain, 16, "\xff\xff")},
		{"unknown method", "", "f/a: cab: a: unsupported method: number 9;f/b: cab: b: unsupported method: number 9", put(plain, 42, "\x09")},
		{"LZX, no window", "", "f/a: cab: a: unsupported method: LZX with a window of 0 bits;f/b: cab: b: unsupported method: LZX with a window of 0 bits", put(plain, 42, "\x03")},
		{"MSZIP without its mark", "a b", "f/a: cab: a: damaged: MSZIP: no block where one should be;f/b: cab: b: damaged: MSZIP: no block where one should be", unmarked},
		{"continues", "a*", "f/a: cab: a: damaged: continues in another cabinet", makeCab(cabPart{0, storedBlocks(note), []cabEntry{{"a", 0, 99}}, cabToNext})},
		{"continues in a block", "a*", "f/a: cab: a: damaged: continues in another cabinet", makeCab(cabPart{1, []cabBlock{{mszipBlocks(note + filler)[0].data, 0}}, []cabEntry{{"a", 0, 9999}}, cabToNext})},
		{"begins elsewhere", "a* b", "f/a: cab: a: damaged: begins in another cabinet", prev(0, storedBlocks(note+"other")...)},
		{"begins elsewhere in a block", "a* b", "f/a: cab: a: damaged: begins in another cabinet", prev(0, cabBlock{[]byte(note + "other"), 50})},
		{"begins elsewhere, MSZIP", "a* b", "f/a: cab: a: damaged: begins in another cabinet;f/b: cab: b: damaged: begins in another cabinet", prev(1, mszipBlocks(note+"other")...)},
		{"begins elsewhere, LZX", "", "f/a: cab: a: damaged: begins in another cabinet;f/b: cab: b: damaged: begins in another cabinet", prev(3|15<<8, storedBlocks(note)...)},
		{"begins elsewhere and continues", "a*", "f/a: cab: a: damaged: continues in another cabinet", makeCab(cabPart{0, storedBlocks(note), []cabEntry{{"a", 50, 999}}, cabPrevNext})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objects, unchecked := toldOf(walked(t, Limits{}, "f", tt.data))
			if objects != tt.objects {
				t.Errorf("objects %q, want %q", objects, tt.objects)
			}
			if unchecked != tt.unchecked {
				t.Errorf("unchecked %q, want %q", unchecked, tt.unchecked)
			}
		})
	}
}

// What lies over one another is unpacked again and again, but not without end.
func TestCabinetsAreBounded(t *testing.T) {
	text := strings.Repeat("x", 1000)
	nested := cabPart{0, storedBlocks(text), nil, 0}
	for i := range 20 {
		nested.files = append(nested.files, cabEntry{fmt.Sprint(i), i, 1000 - i})
	}
	var parts []cabPart
	for i := range 64 {
		parts = append(parts, cabPart{0, storedBlocks(text), []cabEntry{{fmt.Sprint(i), 0, 1000 * (64 - i)}}, 0})
	}
	chain := makeCab(parts...)
	for i := range parts { // each folder goes on into those behind it
		chain[cabHeaderSize+cabFolderSize*i+4] = byte(len(parts) - i)
	}
	zeros := mszipBlocks(string(make([]byte, lzxFrame)))
	far := cabPart{1, slices.Repeat(zeros, cabWaste/lzxFrame+2), []cabEntry{{"a", cabWaste + 1, 5}}, 0}
	plain := makeCab(cabPart{0, storedBlocks("x"), []cabEntry{{"a", 0, 1}}, 0})
	for _, tt := range []struct {
		name, unchecked string
		least, most     int // objects
		data            []byte
	}{
		{"files over one another", "f: cab: limit: overlap", cabPasses, cabPasses, makeCab(nested)},
		{"folders over one another", "f: cab: 19: limit: overlap", 16, 50, chain},
		{"file behind much that is none", "f: cab: a: limit: overlap", 0, 0, makeCab(far)},
		{"many cabinets", "f: cab: limit: objects", cabMost, cabMost, bytes.Repeat(plain, cabMost+1)},
		{"as many as may be", "", cabMost, cabMost, bytes.Repeat(plain, cabMost)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", tt.data)
			if got := strings.Join(n.unchecked, ";"); got != tt.unchecked {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
			if got := len(n.objects) - 1; got < tt.least || got > tt.most {
				t.Errorf("%d objects, want %d to %d", got, tt.least, tt.most)
			}
		})
	}
}

func TestFieldsOfAnyValueAreReadWithoutPanic(t *testing.T) {
	data := program(300)
	for name, whole := range map[string][]byte{
		"stored":  load(t, "cab-stored.cab"),
		"lzx":     makeCab(cabPart{3 | 15<<8, lzxFrames(15, data, 300, []int{lzxVerbatim, lzxUncompressed}, []int{99}), []cabEntry{{"a", 0, 300}}, 0}),
		"quantum": makeCab(cabPart{2 | 10<<8, quantumBlocks(10, data), []cabEntry{{"a", 0, 300}}, 0}),
		"tnef":    load(t, "tnef-message.dat"),
		"rtf":     load(t, "tnef-rtf.dat"),
	} {
		for at := range whole {
			for _, value := range []string{"\x00\x00", "\x01\x00", "\xff\xff", "\x00\x00\x00\x00", "\x01\x00\x00\x00", "\xff\xff\xff\x7f", "\xff\xff\xff\xff"} {
				n := &notes{discard: true}
				n.walk(t, NewArena(nil, 0), Limits{Unpacked: 1 << 20}, "f", put(whole, at, value))
				if told := strings.Join(n.unchecked, ";"); strings.Contains(told, "panicked") {
					t.Errorf("%s, %x at %d: %s", name, value, at, told)
				}
			}
		}
	}
}

func FuzzCab(f *testing.F) {
	data := program(700)
	f.Add(makeCab(cabPart{3 | 15<<8, lzxFrames(15, data, 700, []int{lzxVerbatim, lzxUncompressed, lzxAligned}, []int{201}), []cabEntry{{"a.exe", 0, 700}}, 0}))
	f.Add(makeCab(cabPart{2 | 10<<8, quantumBlocks(10, data), []cabEntry{{"a.exe", 0, 300}, {"b.exe", 300, 400}}, 0}))
	f.Add(makeCab(cabPart{1, mszipBlocks("one", "two", "three"), []cabEntry{{"a", 0, 3}, {"b", 2, 6}}, 0}, cabPart{0, storedBlocks("x"), []cabEntry{{"c", 0, 1}}, cabFromPrev}))
	fuzz(f, "cab")
}
