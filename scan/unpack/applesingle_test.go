package unpack

import (
	"encoding/binary"
	"strings"
	"testing"
)

// appleOf writes AppleSingle or AppleDouble: entries are an identifier and bytes.
// No program that runs here writes the format; the samples come from this one.
func appleOf(magic string, entries ...any) string {
	be := binary.BigEndian
	b := append([]byte(magic), "\x00\x02\x00\x00"+strings.Repeat("\x00", 16)...)
	b = be.AppendUint16(b, uint16(len(entries)/2))
	at := appleHeaderSize + appleEntrySize*len(entries)/2
	var bodies string
	for i := 0; i < len(entries); i += 2 {
		body := entries[i+1].(string)
		b = be.AppendUint32(be.AppendUint32(be.AppendUint32(b, uint32(entries[i].(int))), uint32(at+len(bodies))), uint32(len(body)))
		bodies += body
	}
	return string(b) + bodies
}

func TestAppleSingleAndAppleDouble(t *testing.T) {
	const note, fork, cut = "KIYOME-MARKER", "the resource fork", "f/a: applesingle: a: damaged: cut short"
	single := appleOf(appleSingleMagic, 3, "a", 9, "Finder", 1, note, 2, fork)
	entry := func(n int) int { return appleHeaderSize + n*appleEntrySize }
	table(t, []struct{ name, data, objects, unchecked string }{
		{"single", single, "a=" + note + "|a.rsrc=" + fork, ""},
		{"double", appleOf(appleDoubleMagic, 9, "Finder", 2, fork), "f.rsrc=" + fork, ""},
		{"double without a fork", appleOf(appleDoubleMagic, 9, "Finder", 2, ""), "", ""},
		{"name at the end", appleOf(appleSingleMagic, 1, note, 3, "請求書.exe"), "請求書.exe=" + note, ""},
		{"no entries", appleOf(appleSingleMagic), "", ""},
		{"two data forks", appleOf(appleSingleMagic, 1, note, 1, "other"), "f=" + note + "|f=other", ""},
		{"another version", changed(single, 4, "\x00\x07"), "a=" + note + "|a.rsrc=" + fork, ""},
		{"the same entry again and again", changed(single, entry(3), single[entry(2):entry(3)]), "a=" + note, ""},
		{"table cut off", single[:entry(3)-1], "", "f: applesingle: damaged: cut short"},
		{"more entries than there are", changed(appleOf(appleSingleMagic, 1, note), 24, "\x00\x02"), "f=" + note, ""},
		{"offset beyond the end", changed(single, entry(2)+4, "\xff\xff\xff\xff"), "a.rsrc=" + fork, cut},
		{"length beyond the end", changed(single, entry(2)+8, "\xff\xff\xff\xff"), "a=" + note + fork + "|a.rsrc=" + fork, cut},
		{"length of zero", changed(single, entry(2)+8, "\x00\x00\x00\x00"), "a=|a.rsrc=" + fork, ""},
		{"offset within the table", changed(single, entry(2)+4, "\x00\x00\x00\x00"), "a.rsrc=" + fork, "f/a: applesingle: a: damaged: a fork within the header"},
		{"magic number alone", appleSingleMagic, "", ""},
	})
}

func TestAppleSingleEntriesThatOverlapAreBounded(t *testing.T) {
	var entries []any
	for range 60000 {
		entries = append(entries, 1, "")
	}
	b := append([]byte(appleOf(appleSingleMagic, entries...)), make([]byte, 100000)...)
	for i := range 60000 { // each to the end, from a place of its own
		at := appleHeaderSize + i*appleEntrySize
		binary.BigEndian.PutUint32(b[at+4:], uint32(len(b)-100000+i))
		binary.BigEndian.PutUint32(b[at+8:], uint32(100000-i))
	}
	n := walked(t, Limits{}, "f", b)
	if want := "f: applesingle: limit: overlap"; len(n.unchecked) != 1 || n.unchecked[0] != want || len(n.objects) > 30 {
		t.Errorf("%d objects, unchecked %q, want %q", len(n.objects), n.unchecked, want)
	}
}

func FuzzAppleSingle(f *testing.F) { fuzz(f, "applesingle") }
