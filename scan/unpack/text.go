package unpack

import (
	"bytes"
	"encoding/binary"
)

// maxQuote bounds what may stand before the first character of an encoded file's
// line, in bytes: a reply to a reply has a sign for each of them.
const maxQuote = 64

// lineStart reports whether what is at an offset begins a line, blanks and signs
// of quotation aside, and gives those: "> " in a text that is quoted.
func lineStart(data []byte, at int) (quote []byte, ok bool) {
	start := at
	for start > 0 && at-start < maxQuote && isQuote(data[start-1]) {
		start--
	}
	return data[start:at], start == 0 || isLineEnd(data[start-1])
}

func isQuote(c byte) bool { return c == ' ' || c == '\t' || c == '>' || c == '|' }

func isLineEnd(c byte) bool { return c == '\r' || c == '\n' }

// lineEnd gives the offset of the line's end, from an offset in it on: that of
// its CR or LF, or of the text's end.
func lineEnd(data []byte, at int) int {
	if end := bytes.IndexAny(data[at:], "\r\n"); end >= 0 {
		return at + end
	}
	return len(data)
}

// unquoted is a line less its signs of quotation.
func unquoted(line []byte) []byte {
	n := 0
	for n < len(line) && n < maxQuote && isQuote(line[n]) {
		n++
	}
	return line[n:]
}

// indexPair finds the first offset from at on where a stands in front of b; -1:
// nowhere. Unlike bytes.Index it does not get slower where one of them is
// frequent, as "=" is in HTML: sixteen bytes are looked at together.
func indexPair(data []byte, at int, a, b byte) int {
	for {
		at = len(data) - len(noPair(data[at:], a, b))
		end := min(at+16, len(data)-1)
		for ; at < end; at++ {
			if data[at] == a && data[at+1] == b {
				return at
			}
		}
		if at >= len(data)-1 {
			return -1
		}
	}
}

// noPair passes over bytes in which a does not stand in front of b.
func noPair(data []byte, a, b byte) []byte {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	as, bs := uint64(a)*ones, uint64(b)*ones
	for ; len(data) >= 17; data = data[16:] {
		// A byte of x or y is zero where both are right.
		x := (binary.LittleEndian.Uint64(data) ^ as) | (binary.LittleEndian.Uint64(data[1:]) ^ bs)
		y := (binary.LittleEndian.Uint64(data[8:]) ^ as) | (binary.LittleEndian.Uint64(data[9:]) ^ bs)
		if ((x-ones)&^x|(y-ones)&^y)&highs != 0 {
			break
		}
	}
	return data
}
