package unpack

import (
	"encoding/binary"
	"strings"
	"testing"
)

// binhexSummed gives bytes with their checksum behind them.
func binhexSummed(b string) string {
	return string(binary.BigEndian.AppendUint16([]byte(b), crc16([]byte(b))))
}

// binhexHead is a header.
func binhexHeadOf(name string, data, resource int) string {
	b := append([]byte{byte(len(name))}, name+"\x00TEXTttxt\x00\x00"...)
	b = binary.BigEndian.AppendUint32(b, uint32(data))
	return string(binary.BigEndian.AppendUint32(b, uint32(resource)))
}

// binhexCharacters writes bytes as characters, without line ends.
func binhexCharacters(b string) string {
	var text strings.Builder
	bits, n := uint32(0), 0
	for _, c := range []byte(b) {
		bits, n = bits<<8|uint32(c), n+8
		for n >= 6 {
			n -= 6
			text.WriteByte(binhexAlphabet[bits>>n&63])
		}
	}
	if n > 0 {
		text.WriteByte(binhexAlphabet[bits<<(6-n)&63])
	}
	return text.String()
}

// binhexPacked writes runs and the byte of repetition as BinHex has them.
func binhexPacked(b string) string {
	var packed []byte
	for i := 0; i < len(b); {
		n := 1
		for i+n < len(b) && b[i+n] == b[i] && n < 255 {
			n++
		}
		packed = append(packed, b[i])
		if b[i] == binhexRepeat {
			packed = append(packed, 0)
		}
		if n > 1 {
			packed = append(packed, binhexRepeat, byte(n))
		}
		i += n
	}
	return string(packed)
}

const binhexFirstLine = "(This file must be converted with BinHex 4.0)\n\n"

// binhexLines breaks characters, colons and all, into lines.
func binhexLines(text string, length int, end string) string {
	var b strings.Builder
	for text = ":" + text + ":"; len(text) > length; text = text[length:] {
		b.WriteString(text[:length] + end)
	}
	return b.String() + text + end
}

func TestBinHexIsReadTolerantly(t *testing.T) {
	const note = "first line\nKIYOME-MARKER\x90\x90\x90 zzzzzzzzzzzzzzzzzzzzzz\n"
	const fork = "the resource fork"
	forks := func(name, data, resource string) string {
		return binhexPacked(binhexSummed(binhexHeadOf(name, len(data), len(resource))) + binhexSummed(data) + binhexSummed(resource))
	}
	bytes := forks("a", note, "")
	text := binhexCharacters(bytes)
	plain := binhexLines(text, 64, "\n")
	both := binhexLines(binhexCharacters(forks("a", note, fork)), 64, "\n")
	flip := func(b string, at int) string { return string(damage([]byte(b), at)) }
	lines := func(bytes string) string { return binhexLines(binhexCharacters(bytes), 64, "\n") }
	lie := func(data, resource int) string {
		return lines(binhexPacked(binhexSummed(binhexHeadOf("a", data, resource)) + binhexSummed(note) + binhexSummed("")))
	}
	cut := "f/a: binhex: a: damaged: cut short"
	table(t, []struct{ name, data, objects, unchecked string }{
		{"plain", binhexFirstLine + plain, "a=" + note, ""},
		{"no banner", plain, "a=" + note, ""},
		{"both forks", both, "a=" + note + "|a.rsrc=" + fork, ""},
		{"resource fork alone", lines(forks("a", "", fork)), "a.rsrc=" + fork, ""},
		{"no fork", binhexFirstLine + lines(forks("a", "", "")), "a=", ""},
		{"name in cp932", lines(forks("\x90\xbf\x8b\x81.exe", note, "")), "請求.exe=" + note, ""},
		{"in a text", "Hi: this\n" + binhexFirstLine + plain + "\nbye: now\n", "a=" + note, ""},
		{"two", plain + "and\n" + both, "a=" + note + "|a=" + note + "|a.rsrc=" + fork, ""},
		{"two, the first without its last colon", strings.TrimSuffix(plain, ":\n") + "\n" + both, "a=" + note + "|a=" + note + "|a.rsrc=" + fork, ""},
		{"CR LF", strings.ReplaceAll(binhexFirstLine+plain, "\n", "\r\n"), "a=" + note, ""},
		{"CR", strings.ReplaceAll(binhexFirstLine+plain, "\n", "\r"), "a=" + note, ""},
		{"one line", binhexLines(text, 9999, "\n"), "a=" + note, ""},
		{"short lines of mixed ends, some blank", strings.Replace(binhexLines(text, 3, "\r\n \n\r"), "\r", "", 5), "a=" + note, ""},
		{"quoted", prefixed("> > ", binhexFirstLine+plain), "a=" + note, ""},
		{"behind blanks", " \t" + plain, "a=" + note, ""},
		{"surplus characters", plain[:40] + "o/7~\x00\xff" + plain[40:], "a=" + note, ""},
		{"wrong checksum of the fork", lines(flip(bytes, strings.Index(bytes, "first"))), "a=" + "3" + note[1:], "f/a: binhex: a: damaged: wrong checksum"},
		{"wrong checksum of the header", lines(flip(bytes, 4)), "a=" + note, "f: binhex: damaged: wrong checksum of a header"},
		{"the same, with a banner", binhexFirstLine + lines(flip(bytes, 4)), "a=" + note, "f: binhex: damaged: wrong checksum of a header"},
		{"a header that cannot be one", binhexFirstLine + lines("\x00first line\nand nothing"), "f=\x00first line\nand nothing", "f/f: binhex: f: damaged: header of a file"},
		{"data fork longer than there is", lie(len(note)+9, 0), "a=" + binhexSummed(note) + "\x00\x00", cut},
		{"data fork far longer than there is", lie(1<<32-1, 1<<32-1), "a=" + binhexSummed(note) + "\x00\x00", cut + ";f/a.rsrc: binhex: a.rsrc: damaged: cut short"},
		{"data fork of no length", lie(0, len(note)), "a.rsrc=" + binhexSummed(note)[2:], "f/a.rsrc: binhex: a.rsrc: damaged: wrong checksum"},
		{"a run that nothing is in front of", binhexFirstLine + lines("\x90\x05"+bytes), "a=" + note, ""},
		{"cut in the fork", plain[:60], "a=" + note[:23], cut},
		{"cut in the header", binhexFirstLine + plain[:26], "f=\x01a\x00TEXTttxt\x00\x00\x00\x00\x003\x00", "f/f: binhex: f: damaged: cut short"},
		{"colon in a text", "He said:\n:-)\n: and " + plain[1:], "", ""},
		{"line of hyphens", ":" + strings.Repeat("-", 80) + ":\n", "", ""},
		{"banner in a text", binhexFirstLine + ": abcdef is the alphabet\n", "", ""},
		{"last character", ":", "", ""},
	})
}

func FuzzBinHex(f *testing.F) {
	f.Add([]byte(prefixed("> ", binhexFirstLine+binhexLines(binhexCharacters("\x00\x90\x05abcdefghijklmnopqrstuvwxyz"), 64, "\n"))))
	fuzz(f, "binhex")
}
