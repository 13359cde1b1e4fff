package unpack

import (
	"encoding/binary"
	"strings"
	"testing"
)

// macbinaryOf is a MacBinary file, of type I unless change makes it another.
func macbinaryOf(name, data, resource string, change func([]byte)) string {
	b := make([]byte, macbinaryBlock)
	b[macbinaryName] = byte(len(name))
	copy(b[macbinaryName+1:], name)
	copy(b[macbinaryType:], "TEXTttxt")
	binary.BigEndian.PutUint32(b[macbinaryData:], uint32(len(data)))
	binary.BigEndian.PutUint32(b[macbinaryResource:], uint32(len(resource)))
	if change != nil {
		change(b)
	}
	padded := func(s string) string { return s + strings.Repeat("\x00", int(blocks(int64(len(s))))-len(s)) }
	return string(b) + padded(data) + padded(resource)
}

// typeII makes a header one of MacBinary II.
func typeII(b []byte) {
	b[macbinaryVersion], b[macbinaryVersion+1] = 129, 129
	binary.BigEndian.PutUint16(b[macbinaryCRC:], crc16(b[:macbinaryCRC]))
}

// changed puts bytes at an offset.
func changed(data string, at int, bytes string) string {
	return data[:at] + bytes + data[at+len(bytes):]
}

func TestMacBinaryIsReadByItsHeader(t *testing.T) {
	const note, fork = "KIYOME-MARKER", "the resource fork"
	one := macbinaryOf("a", note, fork, nil)
	two := macbinaryOf("a", note, fork, typeII)
	with := func(at int, bytes string) string {
		return macbinaryOf("a", note, fork, func(b []byte) { copy(b[at:], bytes); typeII(b) })
	}
	files, cut := "a="+note+"|a.rsrc="+fork, "f/a: macbinary: a: damaged: cut short"
	table(t, []struct{ name, data, objects, unchecked string }{
		{"I", one, files, ""},
		{"II", two, files, ""},
		{"III", with(macbinaryMark, "mBIN"), files, ""},
		{"no padding at the end", one[:256+len(fork)], files, ""},
		{"two", one + two, files + "|" + files, ""},
		{"data fork alone", macbinaryOf("a", note, "", nil), "a=" + note, ""},
		{"resource fork alone", macbinaryOf("a", "", fork, nil), "a.rsrc=" + fork, ""},
		{"empty", macbinaryOf("a", "", "", typeII), "a=", ""},
		{"name in cp932", macbinaryOf("\x90\xbf\x8b\x81.exe", note, "", nil), "請求.exe=" + note, ""},
		{"II, wrong checksum", changed(two, macbinaryCRC, "xx"), files, ""},
		{"II, data fork cut off", two[:135], "a=" + note[:7], cut + ";f/a.rsrc: macbinary: a.rsrc: damaged: cut short"},
		{"II, lengths of four gigabytes", with(macbinaryData, "\xff\xff\xff\xff\xff\xff\xff\xff"), "a=" + two[128:], cut + ";f/a.rsrc: macbinary: a.rsrc: damaged: cut short"},
		{"II, length of zero", with(macbinaryData, "\x00\x00\x00\x00"), "a.rsrc=" + note + "\x00\x00\x00\x00", ""},
		{"a second header", macbinaryOf("a", "second header", strings.Repeat("\x00", 128)+note, func(b []byte) {
			copy(b[macbinaryData:], "\x00\x00\x00\x0d\x00\x00\x00\x00")
			b[macbinarySecondary+1] = 1
			typeII(b)
		}), "a=second header|a=" + strings.Repeat("\x00", 13), ""},
		{"I, cut off", one[:135], "", ""},
		{"I, length of four gigabytes", changed(one, macbinaryData, "\xff\xff\xff\xff"), "", ""},
		{"I, no name", changed(one, macbinaryName, "\x00"), "", ""},
		{"I, name too long", changed(one, macbinaryName, "\x40"), "", ""},
		{"I, control characters in the name", changed(one, macbinaryName+1, "\x01"), "", ""},
		{"I, not zero where it should be", changed(one, macbinaryZero1, "\x01"), "", ""},
		{"I, something behind its fields", changed(one, macbinaryMark, "x"), "", ""},
		{"zeros", strings.Repeat("\x00", 1000), "", ""},
	})
}

func FuzzMacBinary(f *testing.F) { fuzz(f, "macbinary") }
