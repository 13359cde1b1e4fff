package unpack

import (
	"encoding/binary"
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
}

// cfbWriter writes one file.
type cfbWriter struct {
	shift    uint
	scatter  bool // sectors of a stream stand in reverse order, other ones between
	sectors  [][]byte
	fat      []uint32
	mini     []byte
	miniFAT  []uint32
	entries  []byte
	backward int
}

const (
	cfbFree  = 0xffffffff
	cfbEnd   = 0xfffffffe
	cfbTable = 0xfffffffd
	cfbDIFAT = 0xfffffffc
)

func (w *cfbWriter) size() int { return 1 << w.shift }

// add stores data in sectors and returns the first.
func (w *cfbWriter) add(data []byte, mark uint32) (list []uint32) {
	for len(data) > 0 {
		s := make([]byte, w.size())
		data = data[copy(s, data):]
		if w.scatter && mark == 0 {
			w.sectors, w.fat = append(w.sectors, make([]byte, w.size())), append(w.fat, cfbFree)
		}
		list = append(list, uint32(len(w.sectors)))
		w.sectors, w.fat = append(w.sectors, s), append(w.fat, mark)
	}
	if w.scatter && mark == 0 {
		for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
			w.sectors[list[i]], w.sectors[list[j]] = w.sectors[list[j]], w.sectors[list[i]]
			list[i], list[j] = list[j], list[i]
		}
		for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
			list[i], list[j] = list[j], list[i]
		}
		for i, j := 0, len(list)-1; i < j; i, j = i+1, j-1 {
			list[i], list[j] = list[j], list[i]
		}
	}
	if mark == 0 {
		for i, n := range list {
			w.fat[n] = cfbEnd
			if i+1 < len(list) {
				w.fat[n] = list[i+1]
			}
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
		} else {
			start = w.stream(node.data)
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

var _ = strings.Repeat
var _ testing.TB
