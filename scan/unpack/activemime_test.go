package unpack

import (
	"encoding/binary"
	"testing"
)

// activeMimeOf writes what Office does: no tool here does. The packed bytes begin
// at an offset, which is told.
func activeMimeOf(at int, packed string) string {
	b := make([]byte, at)
	copy(b, activeMimeMagic+"\x00\x00\x01\xf0\x04\x00\x00\x00\xff\xff\xff\xff\x00\x00\x07\xf0")
	binary.LittleEndian.PutUint16(b[activeMimeOffset:], uint16(at-activeMimeBase))
	return string(b) + packed
}

func TestActiveMime(t *testing.T) {
	const text = "KIYOME-MARKER, in a compound file"
	packed := zlibbed(text)
	told := func(s string, offset uint16) string {
		b := []byte(s)
		binary.LittleEndian.PutUint16(b[activeMimeOffset:], offset)
		return string(b)
	}
	usual := activeMimeOf(0x32, packed)
	table(t, []struct{ name, data, objects, unchecked string }{
		{"where it usually is", usual, "f=" + text, ""},
		{"far behind", activeMimeOf(0x22a, packed), "f=" + text, ""},
		{"told to be elsewhere", told(usual, 0xffff), "f=" + text, ""},
		{"told to be where it is not", told(usual, 0), "f=" + text, ""},
		{"twice", activeMimeOf(0x100, packed)[:0x40] + zlibbed("another") + activeMimeOf(0x100, packed)[0x40+len(zlibbed("another")):], "f=" + text + "|f=another", ""},
		{"beyond what is searched", activeMimeOf(5000, packed), "f=" + text, ""},
		{"cut short", usual[:len(usual)-10], "f=" + text[:len(text)-1], "f/f: activemime: f: damaged: cut short"},
		{"nothing packed", usual[:0x32], "", "f: activemime: damaged: no packed bytes"},
		{"the mark alone", activeMimeMagic, "", "f: activemime: damaged: no packed bytes"},
		{"wrong sum", usual[:len(usual)-4] + "abcd", "f=" + text, ""},
	})
	if n := walked(t, Limits{}, "editdata.mso", []byte(usual)); n.objects[1] != "editdata.mso/editdata.ole" {
		t.Errorf("objects %q", n.objects)
	}
}

func FuzzActiveMime(f *testing.F) {
	f.Add([]byte(activeMimeOf(0x32, zlibbed("KIYOME-MARKER"))))
	fuzz(f, "activemime")
}
