package evasion

import (
	"bytes"
	"math/bits"
	"slices"
)

// bitWriter writes bits, the highest first.
type bitWriter struct {
	out  []byte
	free int // of the last byte
}

func (w *bitWriter) write(v uint64, n int) {
	for n--; n >= 0; n-- {
		if w.free == 0 {
			w.out, w.free = append(w.out, 0), 8
		}
		w.free--
		w.out[len(w.out)-1] |= byte(v>>n&1) << w.free
	}
}

// bzipOf packs content as one bzip2 stream of one block. The standard library
// only unpacks.
func bzipOf(content []byte) []byte {
	crc := bzipCRC(content)
	w := &bitWriter{out: []byte("BZh9")}
	w.write(0x314159265359, 48) // a block
	w.write(uint64(crc), 32)
	w.write(0, 1) // not randomised
	last, first := transformed(bzipRuns(content))
	w.write(uint64(first), 24)
	w.writeBlock(last)
	w.write(0x177245385090, 48) // the end
	w.write(uint64(crc), 32)    // of the stream: its only block's
	return w.out
}

// bzipCRC is CRC-32 with the highest bit first.
func bzipCRC(content []byte) uint32 {
	crc := ^uint32(0)
	for _, c := range content {
		crc ^= uint32(c) << 24
		for range 8 {
			if crc&(1<<31) != 0 {
				crc = crc<<1 ^ 0x04c11db7
			} else {
				crc <<= 1
			}
		}
	}
	return ^crc
}

// bzipRuns writes four bytes of a run and how many more follow.
func bzipRuns(content []byte) []byte {
	var out []byte
	for i := 0; i < len(content); {
		n := 1
		for n < 255 && i+n < len(content) && content[i+n] == content[i] {
			n++
		}
		out = append(out, bytes.Repeat(content[i:i+1], min(n, 4))...)
		if n >= 4 {
			out = append(out, byte(n-4))
		}
		i += n
	}
	return out
}

// transformed is the Burrows-Wheeler transform: the last column of the sorted
// rotations, and which of them is the text itself.
func transformed(s []byte) (last []byte, first int) {
	twice := append(slices.Clone(s), s...)
	order := make([]int, len(s))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return bytes.Compare(twice[a:a+len(s)], twice[b:b+len(s)]) })
	for i, at := range order {
		last = append(last, twice[at+len(s)-1])
		if at == 0 {
			first = i
		}
	}
	return last, first
}

// writeBlock writes the symbols of a block with two tables that are alike.
func (w *bitWriter) writeBlock(last []byte) {
	var used []byte
	for c := range 256 {
		if bytes.IndexByte(last, byte(c)) >= 0 {
			used = append(used, byte(c))
		}
	}
	w.writeUsed(used)
	symbols := frontMoved(last, slices.Clone(used))
	n := len(used) + 2
	selectors := (len(symbols) + 49) / 50
	w.write(2, 3)
	w.write(uint64(selectors), 15)
	w.write(0, selectors) // each the table that was last in front
	long := bits.Len(uint(n - 1))
	short := 1<<long - n // so many codes are one bit shorter: the code is complete
	for range 2 {
		w.writeLengths(n, short, long)
	}
	for _, s := range symbols {
		if s < short {
			w.write(uint64(s), long-1)
		} else {
			w.write(uint64(s+short), long)
		}
	}
}

// writeUsed tells which bytes there are.
func (w *bitWriter) writeUsed(used []byte) {
	var groups [16]uint64
	var all uint64
	for _, c := range used {
		groups[c>>4] |= 1 << (15 - c&15)
		all |= 1 << (15 - c>>4)
	}
	w.write(all, 16)
	for _, g := range groups {
		if g != 0 {
			w.write(g, 16)
		}
	}
}

// writeLengths writes how long the codes of n symbols are.
func (w *bitWriter) writeLengths(n, short, long int) {
	length := long
	if short > 0 {
		length--
	}
	w.write(uint64(length), 5)
	for i := range n {
		if i == short && length < long {
			w.write(0b10, 2)
			length++
		}
		w.write(0, 1)
	}
}

// frontMoved are the symbols of a block: runs of the byte in front in the digits 1
// and 2, the places of others, and the end.
func frontMoved(last, front []byte) []int {
	var symbols []int
	run := 0
	flush := func() {
		for ; run > 0; run = (run - 1) / 2 {
			symbols = append(symbols, (run-1)%2)
		}
	}
	end := len(front) + 1
	for _, c := range last {
		at := bytes.IndexByte(front, c)
		if at == 0 {
			run++
			continue
		}
		flush()
		symbols = append(symbols, at+1)
		copy(front[1:], front[:at])
		front[0] = c
	}
	flush()
	return append(symbols, end)
}
