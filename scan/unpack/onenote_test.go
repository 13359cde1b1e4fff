package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// No tool here writes OneNote's files. These write what of them is read, after
// MS-ONESTORE and MS-FSSHTTPB; files of OneNote itself are read the same.

// oneNoteOf writes a section with files in it: their names, and what is in them.
func oneNoteOf(files ...string) []byte {
	le := binary.LittleEndian
	b := make([]byte, oneNoteHeader)
	copy(b, oneNoteSection)
	copy(b[oneNoteFormat:], "\x3f\xdd\x9a\x10\x1b\x91\xf5\x49\xa5\xd0\x17\x91\xed\xc8\xae\xd8")
	for i := 0; i < len(files); i += 2 {
		name := oneNoteWide(files[i]) + "\x00\x00"
		// A property set: its number of properties, their numbers, their values.
		b = append(b, "\x02\x00\x9b\x1d\x00\x20\x9c\x1d\x00\x1c"...)
		b = le.AppendUint32(b, uint32(len(name)))
		b = append(b, name...)
		guid := bytes.Repeat([]byte{files[i][0] + byte(i)}, 16)
		ending := files[i][strings.LastIndex(files[i], "."):]
		text := fmt.Sprintf("<ifndf>{%X-%X-%X-%X-%X}", guid[:4], guid[4:6], guid[6:8], guid[8:10], guid[10:])
		b = le.AppendUint32(b, uint32(len(text)))
		b = append(b, oneNoteWide(text)...)
		b = le.AppendUint32(b, uint32(len(ending)))
		b = append(b, oneNoteWide(ending)...)
		// A node with a reference of four bytes and four more, and the GUID.
		b = le.AppendUint32(b, oneNoteReferenceNode|(4+8+16)<<10|1<<23|1<<31)
		object := len(b) + 4 + 4 + 16
		object += -object & 7
		b = le.AppendUint32(b, uint32(object))
		b = le.AppendUint32(b, uint32(len(oneNoteObject(files[i+1]))))
		b = append(b, guid...)
		b = append(b, make([]byte, object-len(b))...)
		b = append(b, oneNoteObject(files[i+1])...)
	}
	le.PutUint64(b[oneNoteLength:], uint64(len(b)))
	return b
}

// oneNoteWide is a text in UTF-16.
func oneNoteWide(s string) string {
	var b []byte
	for _, r := range s {
		b = binary.LittleEndian.AppendUint16(b, uint16(r))
	}
	return string(b)
}

// oneNoteObject is a file with what stands around it.
func oneNoteObject(data string) []byte {
	b := binary.LittleEndian.AppendUint64([]byte(oneNoteHead), uint64(len(data)))
	b = append(b, make([]byte, 12)...)
	b = append(b, data...)
	b = append(b, make([]byte, (-len(b)-len(oneNoteFoot))&7)...)
	return append(b, oneNoteFoot...)
}

// oneNoteCells writes a section as servers give it: a file as an object of its
// own, and one among the data of others.
func oneNoteCells(blob, among string) []byte {
	b := make([]byte, cellStart)
	copy(b, oneNoteSection)
	copy(b[oneNoteFormat:], cellFormat)
	id := "\x0c" + strings.Repeat("g", 16)
	b = append(b, cellObjectOf(cellPackaging, true, id+strings.Repeat("s", 16))...)
	b = append(b, cellObjectOf(0x15, true, "\x00")...)
	b = append(b, cellObjectOf(0x01, true, id+"\x00\x0b")...)
	b = append(b, cellObjectOf(0x1e, true, "")...)
	b = append(b, cellObjectOf(cellObject, false, "\x03"+id+"\x03"+id+"\x00"+cellItem("\x02\x00\x9c\x1d\x00\x1c\x9d\x1d\x00\x1c\x14\x00\x00\x00"+oneNoteWide("note.txt")+"\x00\x00\x00\x00"))...)
	b = append(b, cellObjectOf(cellObject, false, "\x03"+id+"\x00"+cellItem(among))...)
	b = append(b, 0x1e<<2|1, 0x01<<2|1)
	b = append(b, cellObjectOf(0x01, true, id+"\x00\x15")...)
	b = append(b, cellObjectOf(cellBlob, false, cellItem(blob))...)
	return append(b, 0x01<<2|1, 0x15<<2|1, 0xeb, 0x01)
}

// cellObjectOf writes an object's head and its own bytes.
func cellObjectOf(kind int, compound bool, body string) string {
	v := uint32(2 | kind<<3)
	if compound {
		v |= 4
	}
	if len(body) < 1<<15-1 {
		return string(binary.LittleEndian.AppendUint32(nil, v|uint32(len(body))<<17)) + body
	}
	return string(binary.LittleEndian.AppendUint32(nil, v|(1<<15-1)<<17)) + cellNumberOf(len(body)) + body
}

func cellItem(data string) string { return cellNumberOf(len(data)) + data }

// cellNumberOf writes a number in as few bytes as it takes.
func cellNumberOf(v int) string {
	if v == 0 {
		return "\x00"
	}
	n := 1
	for v>>(7*n) != 0 {
		n++
	}
	return string(binary.LittleEndian.AppendUint64(nil, uint64(v)<<n|1<<(n-1))[:n])
}

const oneNoteText = "KIYOME-MARKER, in a page ..." // no padding is added to it

func TestOneNoteFilesAreFound(t *testing.T) {
	whole := string(oneNoteOf("請求書.txt", oneNoteText))
	object := string(oneNoteObject(oneNoteText))
	head := string(oneNoteOf())
	size := func(n uint64) string {
		return oneNoteHead + string(binary.LittleEndian.AppendUint64(nil, n)) + object[24:]
	}
	found := "file-1=" + oneNoteText
	nofoot := "f/file-1: onenote: file-1: damaged: no footer where the file ends"
	two := oneNoteOf("a.txt", "first file, a text", "b.hta", "second file, an application")
	table(t, []struct{ name, data, objects, unchecked string }{
		{"one file", whole, "請求書.txt=" + oneNoteText, ""},
		{"two files", string(two), "a.txt=first file, a text|b.hta=second file, an application", ""},
		{"two files of one ending", string(oneNoteOf("a.txt", "1", "b.txt", "2")), "file-1.txt=1|file-2.txt=2", ""},
		{"table of contents", oneNoteTOC + whole[16:], "請求書.txt=" + oneNoteText, ""},
		{"no names", head + strings.Repeat("x", 700) + object, found, ""},
		{"nothing embedded", string(oneNoteOf()), "", ""},
		{"an empty file", head + strings.Repeat("x", 100) + string(oneNoteObject("")), "file-1=", ""},
		{"size 1", head + strings.Repeat("x", 100) + size(1), "file-1=K|file-1=" + oneNoteText, nofoot},
		{"size 0", head + strings.Repeat("x", 100) + size(0), "file-1=" + oneNoteText, nofoot},
		{"largest size", head + strings.Repeat("x", 100) + size(1<<64-1), found, nofoot},
		{"size of the rest", head + strings.Repeat("x", 100) + size(uint64(len(oneNoteText)+16)), "file-1=" + oneNoteText + oneNoteFoot + "|" + found, nofoot},
		{"footer missing", head + strings.Repeat("x", 100) + object[:len(object)-16] + strings.Repeat("y", 16), found, nofoot},
		{"footer missing, another file behind", head + strings.Repeat("x", 100) + object[:len(object)-16] + object,
			found + "|" + found + object[:36] + oneNoteText + "|file-2=" + oneNoteText, nofoot},
		{"cut in the file", whole[:len(whole)-20], "請求書.txt=" + oneNoteText[:24],
			"f/請求書.txt: onenote: 請求書.txt: damaged: cut short;f: onenote: damaged: cut short"},
		{"cut in the header of the file", head + oneNoteHead + "\x00", "", "f/file-1: onenote: file-1: damaged: cut short"},
		{"with a password", head + oneNoteKey + object, found, "f: onenote: encrypted"},
		{"cut in the header", head[:100], "", "f: onenote: damaged: cut short"},
		{"the mark alone", oneNoteSection, "", "f: onenote: damaged: cut short"},
		{"another first GUID", "x" + whole, "", ""},
	})
}

// A file within a file is found even where the outer one is whole: no list may
// refer to that.
func TestOneNoteFilesWithinOthersAreFound(t *testing.T) {
	inner := string(oneNoteObject(oneNoteText))
	n := walked(t, Limits{}, "f", append(oneNoteOf(), oneNoteObject("around "+inner+" it")...))
	if len(n.objects) != 3 || n.data[2] != oneNoteText {
		t.Errorf("objects %q", n.objects)
	}
	whole := oneNoteOf("a.one", string(oneNoteOf("b.txt", oneNoteText)))
	n = walked(t, Limits{}, "f", whole)
	if want := []string{"f", "f/a.one", "f/a.one/b.txt"}; !slices.Equal(n.objects, want) {
		t.Errorf("objects %q, want %q", n.objects, want)
	}
}

func TestOneNoteFilesOverOneAnotherAreBounded(t *testing.T) {
	data := oneNoteOf()
	for range 2000 {
		data = append(data, oneNoteHead+"\x00\x00\x10\x00\x00\x00\x00\x00............"...)
	}
	data = append(data, oneNoteFoot...)
	n := &notes{discard: true}
	n.walk(t, NewArena(nil, 0), Limits{}, "f", data)
	if n.bytes > 20*int64(len(data)) || !slices.Contains(n.unchecked, "f: onenote: limit: overlap") {
		t.Errorf("%d bytes of %d, unchecked %q", n.bytes, len(data), n.unchecked[len(n.unchecked)-1])
	}
}

func TestOneNoteOfServers(t *testing.T) {
	const page = "<html>of a page</html>"
	whole := string(oneNoteCells(oneNoteText, page))
	objects := "note.txt=" + page + "|note.txt=" + oneNoteText
	large := strings.Repeat("large ", 10000)
	broken := "f: onenote: damaged: objects"
	table(t, []struct{ name, data, objects, unchecked string }{
		{"two files", whole, objects, ""},
		{"a large one", string(oneNoteCells(large, page)), "note.txt=" + page + "|note.txt=" + large, ""},
		{"elsewhere", whole[:cellStart] + strings.Repeat("\xd6\x03", 20) + whole[cellStart:], objects, ""},
		{"something behind", whole + "more", objects, ""},
		{"cut in the last file", whole[:len(whole)-10], "note.txt=" + page + "|note.txt=" + oneNoteText[:len(oneNoteText)-6],
			"f/note.txt: onenote: note.txt: damaged: cut short;" + broken},
		{"cut behind it", whole[:len(whole)-4], objects, broken},
		{"no objects", whole[:cellStart], "", "f: onenote: damaged: no objects"},
		{"objects outside of any", whole[:cellStart] + whole[cellStart:][:2] + "\x43\x00" + whole[cellStart+4:], "", "f: onenote: damaged: no objects"},
		{"the other form in it", whole + string(oneNoteObject("of the other form")), objects + "|note.txt=of the other form", ""},
	})
}

func TestOneNoteCutOffAnywhereIsNeverSilent(t *testing.T) {
	for _, whole := range [][]byte{oneNoteOf("a.txt", oneNoteText), oneNoteCells(oneNoteText, "<html>of a page</html>")} {
		for n := range len(whole) {
			if got := walked(t, Limits{}, "f", whole[:n:n]); n >= len(oneNoteSection) && len(got.unchecked) == 0 {
				t.Fatalf("cut to %d of %d bytes: not a word", n, len(whole))
			}
		}
	}
}

func FuzzOneNote(f *testing.F) {
	f.Add(oneNoteOf("a.txt", "first", "b.hta", "second"))
	f.Add(oneNoteCells(oneNoteText, "<html>of a page</html>"))
	fuzz(f, "onenote")
}
