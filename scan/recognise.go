package scan

import (
	"bytes"
	"encoding/binary"

	"kiyome/scan/unpack"
)

// maxStarts bounds the objects that are looked for in what was carved.
const maxStarts = 8

// starts gives the offsets in carved bytes at which an object begins that is known
// by its content: a file of a format that rules or openers know, or a text. Noise
// has none.
func starts(data []byte) (at []int) {
	if isKnown(data) {
		at = append(at, 0)
	}
	if text := textStart(data); text > 0 || text == 0 && len(at) == 0 {
		at = append(at, text)
	}
	for i := 1; i < len(data) && len(at) < maxStarts; i++ {
		if firstBytes[data[i]] && beginsFile(data[i:]) {
			at = append(at, i)
		}
	}
	return at
}

// isKnown reports whether an opener or a rule knows data by how it begins.
func isKnown(data []byte) bool {
	return kindOf(unpack.File{Data: data}) != ""
}

// textRun is how many printable characters in a row are taken for a text: noise
// has so many once in five million bytes.
const textRun = 16

// textStart gives the offset of the first text in data, or -1.
func textStart(data []byte) int {
	start := 0
	for i := textRun - 1; i < len(data); {
		switch {
		case !isPrintable(data[i]):
			start = i + 1
			i += textRun // no text ends before there
		case i == start:
			return start
		default:
			// From the far end back to where the run must have begun.
			j := i - 1
			for j >= start && isPrintable(data[j]) {
				j--
			}
			if j < start {
				return start
			}
			start = j + 1
			i = start + textRun - 1
		}
	}
	return -1
}

// isPrintable reports whether c stands in texts of ASCII.
func isPrintable(c byte) bool {
	return c >= ' ' && c < 0x7f || c == '\t' || c == '\n' || c == '\r'
}

// beginsFile reports whether a file begins here, in the midst of other bytes: what
// kinds know by two bytes only must show more.
func beginsFile(data []byte) bool {
	if data[0] == 'M' {
		return isProgram(data)
	}
	for _, k := range kinds {
		if len(k.magic) > 2 && bytes.HasPrefix(data, []byte(k.magic)) {
			return true
		}
	}
	for _, magic := range inside {
		if bytes.HasPrefix(data, []byte(magic)) {
			return true
		}
	}
	return false
}

// firstBytes has the bytes that files begin with.
var firstBytes = func() (t [256]bool) {
	t['M'] = true
	for _, k := range kinds {
		t[k.magic[0]] = true
	}
	for _, magic := range inside {
		t[magic[0]] = true
	}
	return t
}()

// inside are how containers begin that are looked for in the midst of other bytes.
var inside = []string{"PK\x03\x04", "\x1f\x8b\x08", "BZh91AY&SY"}

// isProgram reports whether data begins as a program for Windows does: with a
// header that leads to another.
func isProgram(data []byte) bool {
	if len(data) < 0x40 || data[0] != 'M' || data[1] != 'Z' {
		return false
	}
	at := int64(binary.LittleEndian.Uint32(data[0x3c:]))
	return at < int64(len(data))-1 && (data[at] == 'P' && data[at+1] == 'E' || data[at] == 'N' && data[at+1] == 'E')
}
