package unpack

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// This writes compound files as no program does: with sectors of any size and in
// any order, and with what should not be in the directory.

// cfbNode is an entry that a test writes: a storage when it has nodes.
type cfbNode struct {
	name  string
	data  string
	nodes []cfbNode
	lost  bool  // in the directory, but not in the tree
	kind  int   // of the entry when it is not 0; -1: deleted
	size  int64 // that the directory tells, when it is not 0
	again bool  // the stream before it, by another name
}

// cfbWriter writes one file.
type cfbWriter struct {
	shift   uint
	scatter bool // sectors of a stream stand in reverse order, other ones between
	sectors [][]byte
	fat     []uint32
	mini    []byte
	miniFAT []uint32
	entries []byte
	last    uint32 // where the last stream starts
}

const (
	cfbFree  = 0xffffffff
	cfbEnd   = 0xfffffffe
	cfbTable = 0xfffffffd
	cfbDIFAT = 0xfffffffc
)

func (w *cfbWriter) size() int { return 1 << w.shift }

// add stores data in sectors and returns them in the order of the data. mark
// stands in the table for each of them; 0 makes a chain.
func (w *cfbWriter) add(data []byte, mark uint32) (list []uint32) {
	n := (len(data) + w.size() - 1) / w.size()
	for range n {
		if w.scatter && mark == 0 {
			w.sectors, w.fat = append(w.sectors, make([]byte, w.size())), append(w.fat, cfbFree)
		}
		list = append(list, uint32(len(w.sectors)))
		w.sectors, w.fat = append(w.sectors, make([]byte, w.size())), append(w.fat, mark)
	}
	if w.scatter && mark == 0 {
		slices.Reverse(list)
	}
	for i, n := range list {
		data = data[copy(w.sectors[n], data):]
		switch {
		case mark != 0:
		case i+1 < len(list):
			w.fat[n] = list[i+1]
		default:
			w.fat[n] = cfbEnd
		}
	}
	return list
}

// stream stores a stream and returns where it starts.
func (w *cfbWriter) stream(data string) uint32 {
	if data == "" {
		return cfbEnd
	}
	if len(data) >= cfbCutoff {
		return w.add([]byte(data), 0)[0]
	}
	start := len(w.miniFAT)
	n := (len(data) + 63) / 64
	for i := range n {
		w.miniFAT = append(w.miniFAT, uint32(start+i+1))
	}
	w.miniFAT[len(w.miniFAT)-1] = cfbEnd
	w.mini = append(w.mini, data...)
	w.mini = append(w.mini, make([]byte, n*64-len(data))...)
	return uint32(start)
}

// entry writes an entry of the directory and returns its number.
func (w *cfbWriter) entry(name string, kind byte, start uint32, size int64) int {
	e := make([]byte, cfbEntrySize)
	units := utf16.Encode([]rune(name))
	for i, u := range units {
		binary.LittleEndian.PutUint16(e[2*i:], u)
	}
	binary.LittleEndian.PutUint16(e[64:], uint16(2*len(units)+2))
	e[66], e[67] = kind, 1
	for at := 68; at < 80; at += 4 {
		binary.LittleEndian.PutUint32(e[at:], cfbFree)
	}
	binary.LittleEndian.PutUint32(e[116:], start)
	binary.LittleEndian.PutUint64(e[120:], uint64(size))
	w.entries = append(w.entries, e...)
	return len(w.entries)/cfbEntrySize - 1
}

func (w *cfbWriter) link(entry, at, to int) {
	binary.LittleEndian.PutUint32(w.entries[entry*cfbEntrySize+at:], uint32(to))
}

// storage writes the entries of a storage, each to the right of the one before.
func (w *cfbWriter) storage(parent int, nodes []cfbNode) {
	from, at := parent, 76
	for _, node := range nodes {
		kind, start, size := byte(2), uint32(0), int64(len(node.data))
		if node.nodes != nil {
			kind = cfbStorage
		} else if node.again {
			start = w.last
		} else {
			start = w.stream(node.data)
			w.last = start
		}
		if node.kind != 0 {
			kind = byte(max(node.kind, 0))
		}
		if node.size != 0 {
			size = node.size
		}
		n := w.entry(node.name, kind, start, size)
		if !node.lost {
			w.link(from, at, n)
			from, at = n, 72
		}
		w.storage(n, node.nodes)
	}
}

// file writes the file.
func (w *cfbWriter) file(nodes ...cfbNode) []byte {
	w.entry("Root Entry", cfbRoot, 0, 0)
	w.storage(0, nodes)
	le := binary.LittleEndian
	first := func(list []uint32) uint32 {
		if len(list) == 0 {
			return cfbEnd
		}
		return list[0]
	}
	le.PutUint32(w.entries[116:], first(w.add(w.mini, 0)))
	le.PutUint64(w.entries[120:], uint64(len(w.mini)))
	table := func(numbers []uint32) (b []byte) {
		for _, n := range numbers {
			b = le.AppendUint32(b, n)
		}
		for len(b)%w.size() != 0 {
			b = le.AppendUint32(b, cfbFree)
		}
		return b
	}
	miniFAT := first(w.add(table(w.miniFAT), 0))
	for len(w.entries)%w.size() != 0 {
		w.entry("", 0, 0, 0)
	}
	directory := first(w.add(w.entries, 0))
	per := w.size() / 4
	tables, lists := 1, 0
	for (len(w.sectors)+tables+lists+per-1)/per > tables || cfbHeaderFATs+lists*(per-1) < tables {
		tables = (len(w.sectors) + tables + lists + per - 1) / per
		lists = (max(tables-cfbHeaderFATs, 0) + per - 2) / (per - 1)
	}
	fat := w.add(make([]byte, tables*w.size()), cfbTable)
	difat := w.add(make([]byte, lists*w.size()), cfbDIFAT)
	for i, b := 0, table(w.fat); i < len(fat); i++ {
		copy(w.sectors[fat[i]], b[i*w.size():])
	}
	for i, n := range difat {
		list := fat[cfbHeaderFATs+i*(per-1):]
		copy(w.sectors[n], table(list[:min(len(list), per-1)]))
		next := uint32(cfbEnd)
		if i+1 < len(difat) {
			next = difat[i+1]
		}
		le.PutUint32(w.sectors[n][w.size()-4:], next)
	}
	h := make([]byte, w.size())
	copy(h, ole1Magic)
	le.PutUint16(h[24:], 0x3e)
	le.PutUint16(h[26:], uint16(3+(w.shift-9)/3))
	le.PutUint16(h[28:], 0xfffe)
	le.PutUint16(h[30:], uint16(w.shift))
	le.PutUint16(h[32:], 6)
	le.PutUint32(h[44:], uint32(len(fat)))
	le.PutUint32(h[48:], directory)
	le.PutUint32(h[56:], cfbCutoff)
	le.PutUint32(h[60:], miniFAT)
	le.PutUint32(h[68:], first(difat))
	le.PutUint32(h[72:], uint32(len(difat)))
	for i := range cfbHeaderFATs {
		n := uint32(cfbFree)
		if i < len(fat) {
			n = fat[i]
		}
		le.PutUint32(h[76+4*i:], n)
	}
	return join(append([][]byte{h}, w.sectors...)...)
}

// cfbOf writes a file of version 3.
func cfbOf(nodes ...cfbNode) []byte { return (&cfbWriter{shift: 9}).file(nodes...) }

// storage is a storage with nodes.
func storage(name string, nodes ...cfbNode) cfbNode { return cfbNode{name: name, nodes: nodes} }

// oleLarge is a file that has sectors of its own, and begins as one that is of interest.
var oleLarge = "MZ" + strings.Repeat("0123456789", 2000) + marker

func TestCompoundFilesOfAllKinds(t *testing.T) {
	const small = "MZ, " + marker + " and more than sixty-four bytes, which is what a sector of these has"
	nodes := []cfbNode{{name: "small", data: small}, storage("s", cfbNode{name: "large", data: oleLarge})}
	huge := "MZ" + strings.Repeat("x", 8<<20) + marker // its table needs a table
	for _, tt := range []struct {
		name, objects string
		data          []byte
	}{
		{"version 3", "small* s/large*", (&cfbWriter{shift: 9}).file(nodes...)},
		{"version 4", "small* s/large*", (&cfbWriter{shift: 12}).file(nodes...)},
		{"in pieces", "small* s/large*", (&cfbWriter{shift: 9, scatter: true}).file(nodes...)},
		{"version 4, in pieces", "small* s/large*", (&cfbWriter{shift: 12, scatter: true}).file(nodes...)},
		{"a table of tables", "huge*", cfbOf(cfbNode{name: "huge", data: huge})},
		{"a table of tables, in pieces", "huge*", (&cfbWriter{shift: 9, scatter: true}).file(cfbNode{name: "huge", data: huge})},
		{"not in the tree", "small* large*", cfbOf(cfbNode{name: "small", data: small, lost: true}, cfbNode{name: "large", data: oleLarge})},
		{"deleted", "small* large*", cfbOf(cfbNode{name: "", data: "x"}, cfbNode{name: "small", data: small, kind: -1, lost: true}, cfbNode{name: "large", data: oleLarge, kind: -1, lost: true})},
		{"of an unknown kind", "large*", cfbOf(cfbNode{name: "large", data: oleLarge, kind: 7})},
		{"text in pieces", "text*", (&cfbWriter{shift: 9, scatter: true}).file(cfbNode{name: "text", data: strings.Repeat(marker, 1000)})},
		{"text in one", "", cfbOf(cfbNode{name: "text", data: strings.Repeat(marker, 1000)})},
		{"told to be shorter", "large* large", cfbOf(cfbNode{name: "large", data: oleLarge, size: 5000})},
		{"not in the directory", "orphan*", cfbOf(cfbNode{name: "large", data: oleLarge})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := tt.data
			if tt.name == "not in the directory" {
				at := bytes.Index(data, []byte("l\x00a\x00r\x00g"))
				data = put(data, at, strings.Repeat("\x00", cfbEntrySize))
			}
			objects, unchecked := toldOf(walked(t, Limits{}, "f", data))
			if objects != tt.objects || unchecked != "" {
				t.Errorf("objects %q, want %q; unchecked %q", objects, tt.objects, unchecked)
			}
		})
	}
}

func TestBytesOfStreamsComeInOrder(t *testing.T) {
	var content []byte
	for i := range 5000 {
		content = binary.LittleEndian.AppendUint32(content, uint32(i))
	}
	content = append([]byte("MZ"), content...)
	for _, size := range []int{3, 63, 64, 65, 4095, 4096, 4097, len(content)} {
		for _, w := range []*cfbWriter{{shift: 9}, {shift: 12}, {shift: 9, scatter: true}, {shift: 12, scatter: true}} {
			want := string(content[:size])
			n := walked(t, Limits{}, "f", w.file(cfbNode{name: "before", data: "before"}, cfbNode{name: "x", data: want}))
			if len(n.data) != 2 || n.data[1] != want || len(n.unchecked) > 0 {
				t.Errorf("%d bytes, sectors of %d: %d objects, unchecked %q", size, w.size(), len(n.data)-1, n.unchecked)
			}
		}
	}
}

// Fields of the header that tell lies leave what can be found otherwise, or a word
// that it cannot.
func TestHeadersThatLie(t *testing.T) {
	whole := cfbOf(cfbNode{name: "small", data: "MZ " + marker}, cfbNode{name: "large", data: oleLarge})
	at := func(at int, text string) []byte { return put(whole, at, text) }
	for _, tt := range []struct {
		name, objects, unchecked string
		data                     []byte
	}{
		{"versions", "small* large*", "", at(24, "\xff\xff\xff\xff")},
		{"order of bytes", "small* large*", "", at(28, "\xff\xff")},
		{"size of sectors: 1", "small* large*", "", at(30, "\x00\x00")},
		{"size of sectors: 4096", "small* large*", "", at(30, "\x0c\x00")},
		{"size of sectors: too large", "small* large*", "", at(30, "\xff\xff")},
		{"size of small sectors", "small* large*", "", at(32, "\xff\xff")},
		{"numbers of sectors", "small* large*", "", at(40, "\xff\xff\xff\xff\xff\xff\xff\xff")},
		{"the directory is nowhere", "small* large*", "f: ole: damaged: no directory where one should be", at(48, "\xfe\xff\xff\xff")},
		{"the directory is elsewhere", "small* large*", "f: ole: damaged: no directory where one should be", at(48, "\x00\x00\x00\x00")},
		{"streams are never small", "small small* large*", "", at(56, "\x00\x00\x00\x00")},
		{"streams are always small", "small* large*", "", at(56, "\xff\xff\xff\xff")},
		{"small sectors are nowhere", "small* large*", "", at(60, "\xfe\xff\xff\xff")},
		{"the table of tables is here", "small* large*", "", at(68, "\xf9\xff\xff\xff")},
		{"beta", "small* large*", "", at(0, cfbBeta)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objects, unchecked := toldOf(walked(t, Limits{}, "f", tt.data))
			if objects != tt.objects || unchecked != tt.unchecked {
				t.Errorf("objects %q, want %q; unchecked %q, want %q", objects, tt.objects, unchecked, tt.unchecked)
			}
		})
	}
}

// Chains that go in rings, and streams that lie over one another, end.
func TestRingsAndOverlapsEnd(t *testing.T) {
	whole := cfbOf(cfbNode{name: "large", data: oleLarge})
	table := bytes.Index(whole, []byte("\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00"))
	for at := range 48 {
		for _, next := range []uint32{0, 1, 5, 39, cfbFree, cfbTable, 1 << 20} {
			data := put(whole, table+4*at, string(binary.LittleEndian.AppendUint32(nil, next)))
			n := walked(t, Limits{}, "f", data)
			if n.marked == "" && len(n.unchecked) == 0 {
				t.Errorf("sector %d goes on to %#x: objects %q and not a word", at, next, n.objects)
			}
			if n.bytes > 20*int64(len(whole)) {
				t.Errorf("sector %d goes on to %#x: %d bytes", at, next, n.bytes)
			}
		}
	}
	many := []cfbNode{{name: "large", data: oleLarge}}
	for range 2000 {
		many = append(many, cfbNode{name: "again", data: oleLarge, again: true})
	}
	data := cfbOf(many...)
	n := walked(t, Limits{}, "f", data)
	if want := "f: ole: limit: overlap"; len(n.unchecked) != 1 || n.unchecked[0] != want {
		t.Errorf("unchecked %q, want %q", n.unchecked, want)
	}
	if n.bytes > 20*int64(len(data)) {
		t.Errorf("%d bytes out of %d", n.bytes, len(data))
	}
}

func TestTextsOfCompoundFilesAreNone(t *testing.T) {
	whole := cfbOf(cfbNode{name: "large", data: oleLarge})
	if got := Detect(File{Data: bytes.ReplaceAll(whole, []byte{0}, nil)}); len(got) > 0 {
		t.Errorf("without its zeros it is taken for %q", got)
	}
}

func FuzzOLE(f *testing.F) {
	f.Add(cfbOf(storage("VBA", cfbNode{name: "dir", data: vbaPack(vbaDir("a", "b", 0))}, cfbNode{name: "b", data: vbaPack("Attribute VB_Name")})))
	fuzz(f, "ole")
}
