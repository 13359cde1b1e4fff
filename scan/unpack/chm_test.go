package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// chmFileOf is a file of a help file that a test writes.
type chmFileOf struct {
	name    string
	section byte
	data    string
	offset  int // in its section, instead of that of the data
	size    int // instead of its length
}

// chmOf writes a help file. change may change the files of its structure, by the
// last part of their names; "" is the whole file.
func chmOf(files []chmFileOf, change map[string]func([]byte) []byte) []byte {
	le := binary.LittleEndian
	changed := func(name string, b []byte) []byte {
		if f := change[name]; f != nil {
			return f(b)
		}
		return b
	}
	var sections [2][]byte
	for i := range files {
		f := &files[i]
		s := &sections[f.section]
		if f.offset == 0 {
			f.offset = len(*s)
		}
		if f.size == 0 {
			f.size = len(f.data)
		}
		*s = append(*s, f.data...)
	}
	const interval = 2
	var stream, table []byte
	for at := 0; at < len(sections[1]); at += interval * lzxFrame {
		part := sections[1][at:min(len(sections[1]), at+interval*lzxFrame)]
		for _, b := range lzxFrames(16, part, 0, []int{lzxVerbatim, lzxAligned}, []int{20_000}) {
			table = le.AppendUint64(table, uint64(len(stream)))
			stream = append(stream, b.data...)
		}
	}
	resets := append(chmWords(2, uint32(len(table)/8), 8, 40, uint32(len(sections[1])), 0, uint32(len(stream)), 0, lzxFrame, 0), table...)
	structure := []chmFileOf{
		{name: chmStreamName, data: string(changed("Content", stream))},
		{name: chmControl, data: string(changed("ControlData", slices.Concat(chmWords(6), []byte("LZXC"), chmWords(2, interval, 2, 1, 0))))},
		{name: chmTransform + "{7FC28940-9D31-11D0-9B27-00A0C91E9C7C}/InstanceData" + chmResets, data: string(changed("ResetTable", resets))},
	}
	if sections[1] != nil {
		for _, f := range structure {
			f.offset, f.size = len(sections[0]), len(f.data)
			sections[0] = append(sections[0], f.data...)
			files = append(files, f)
		}
	}
	list := slices.Concat([]byte(chmListMagic), chmWords(0, 0, 0xffffffff, 0xffffffff))
	for _, f := range files {
		list = append(list, chmNumberOf(len(f.name))+f.name+string(f.section)+chmNumberOf(f.offset)+chmNumberOf(f.size)...)
	}
	le.PutUint32(list[chmListFree:], uint32(chmUsualChunk-len(list)))
	list = append(list, make([]byte, chmUsualChunk-len(list))...)
	le.PutUint16(list[len(list)-2:], uint16(len(files)))
	list = changed("list", list)
	dir := slices.Concat([]byte(chmDirMagic), chmWords(1, chmDirHeader, 10, chmUsualChunk, 2, 1, 0, 0, 0, 0xffffffff, 1), make([]byte, chmDirHeader-48))
	dir = append(changed("directory", dir), list...)
	head := slices.Concat([]byte(chmMagic), chmWords(3, chmHeaderSize, 1, 0, 0x411), []byte(chmGUID), []byte(chmGUID),
		chmWords(chmHeaderSize, 0, 0, 0, chmHeaderSize, 0, uint32(len(dir)), 0, uint32(chmHeaderSize+len(dir)), 0))
	return changed("", slices.Concat(head, dir, sections[0]))
}

func chmWords(v ...uint32) (b []byte) {
	for _, w := range v {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return b
}

// chmNumberOf writes a number as directories have it.
func chmNumberOf(v int) string {
	b := []byte{byte(v & 0x7f)}
	for v >>= 7; v > 0; v >>= 7 {
		b = append([]byte{byte(v&0x7f | 0x80)}, b...)
	}
	return string(b)
}

// put changes a number of four bytes at an offset.
func chmPut(at int, v uint32) func([]byte) []byte {
	return func(b []byte) []byte {
		binary.LittleEndian.PutUint32(b[at:], v)
		return b
	}
}

// chmLong is a text of five frames, each of which names itself in its first line.
func chmLong() string {
	var b strings.Builder
	for i := range 5 {
		start := b.Len()
		fmt.Fprintf(&b, "frame %d\n", i)
		for n := 0; b.Len() < start+lzxFrame-20; n++ {
			fmt.Fprintf(&b, "%d words, ", n*n%977)
		}
		b.WriteString(strings.Repeat(".", start+lzxFrame-b.Len()))
	}
	return b.String()
}

func TestCHM(t *testing.T) {
	long := chmLong()
	files := []chmFileOf{{name: "/plain.txt", data: "stored"}, {name: "/請求書.txt", section: 1, data: "packed"}, {name: "/long.txt", section: 1, data: long}, {name: "/end.txt", section: 1, data: "the end"}}
	all := "plain.txt=stored|請求書.txt=packed|long.txt=" + long + "|end.txt=the end"
	of := func(change map[string]func([]byte) []byte) string { return string(chmOf(slices.Clone(files), change)) }
	one := func(name string, change func([]byte) []byte) string {
		return of(map[string]func([]byte) []byte{name: change})
	}
	none := func([]byte) []byte { return nil }
	each := func(what string) string { // is wrong with each packed file
		return strings.ReplaceAll("f/請求書.txt: chm: 請求書.txt: W;f/long.txt: chm: long.txt: W;f/end.txt: chm: end.txt: W", "W", what)
	}
	table(t, []struct{ name, data, objects, unchecked string }{
		{"all", of(nil), all, ""},
		{"no reset table", one("ResetTable", none), all, "f: chm: damaged: reset table"},
		{"reset table with no entries", one("ResetTable", chmPut(4, 0)), all, ""},
		{"reset table with entries of another size", one("ResetTable", chmPut(8, 3)), all, "f: chm: damaged: reset table"},
		{"reset table with too many entries", one("ResetTable", chmPut(4, 1<<31)), all, "f: chm: damaged: reset table"},
		{"reset table that begins too late", one("ResetTable", chmPut(12, 1<<31)), all, "f: chm: damaged: reset table"},
		{"no control data", one("ControlData", none), all, "f: chm: damaged: control data"},
		{"interval 0", one("ControlData", chmPut(12, 0)), "plain.txt=stored|請求書.txt=packed|long.txt=" + long[:2*lzxFrame-6], "f/long.txt: chm: long.txt: damaged: LZX: invalid data;f/end.txt: chm: end.txt: damaged: LZX: invalid data;f: chm: damaged: control data"},
		{"window of no size", one("ControlData", chmPut(16, 0)), "plain.txt=stored",
			each("unsupported method: LZX with a window of 0 bits")},
		{"window too large", one("ControlData", chmPut(16, 1<<15)), "plain.txt=stored",
			each("unsupported method: LZX with a window of 30 bits")},
		{"no stream", one("Content", none), "plain.txt=stored", each("damaged: no stream")},
		{"version 2", one("", func(b []byte) []byte { return chmPut(4, 2)(chmPut(chmContent, 7)(b)) }), all, ""},
		{"another version", one("", chmPut(4, 0x30303030)), all, ""},
		{"no directory", one("directory", func(b []byte) []byte { return bytes.Repeat([]byte{1}, len(b)) }), all, "f: chm: damaged: no directory"},
		{"directory elsewhere", one("", chmPut(chmDirectory, 20)), all, "f: chm: damaged: no directory"},
		{"directory beyond the file", one("", chmPut(chmDirectory+4, 1)), all, "f: chm: damaged: directory cut short"},
		{"chunks of no size", one("directory", chmPut(chmChunkSize, 0)), all, "f: chm: damaged: no directory"},
		{"chunks of another size", one("directory", chmPut(chmChunkSize, 8192)), all, "f: chm: damaged: directory cut short"},
		{"all of the chunk is free", one("list", chmPut(chmListFree, chmUsualChunk)), all, ""},
		{"more is free than there is", one("list", chmPut(chmListFree, 1<<31)), all, ""},
		{"no entries in the count", one("list", func(b []byte) []byte { return append(b[:len(b)-2], 0, 0) }), all, ""},
		{"content elsewhere", one("", chmPut(chmContent+4, 1)), "", "f/plain.txt: chm: plain.txt: damaged: cut short;" + each("damaged: no stream")},
	})
}

// What the table and the stream do not agree on is read both ways.
func TestCHMResetTableThatLies(t *testing.T) {
	long := chmLong()
	lie := map[string]func([]byte) []byte{"ResetTable": func(b []byte) []byte {
		copy(b[40+2*8:48+2*8], b[40+4*8:]) // the third frame is where the fifth is
		return b
	}}
	n := walked(t, Limits{}, "f", chmOf([]chmFileOf{{name: "/long.txt", section: 1, data: long}}, lie))
	if len(n.data) < 3 || !strings.Contains(n.data[1][2*lzxFrame:], "frame 4\n") {
		t.Errorf("%d objects, and the third frame by the table is not the fifth", len(n.data))
	}
	if !slices.Contains(n.data, long) {
		t.Error("the frames in turn were not read")
	}
	if want := "f: chm: damaged: reset table"; !slices.Contains(n.unchecked, want) {
		t.Errorf("unchecked %q, want %q", n.unchecked, want)
	}
}

// Behind damage reading goes on where the decoder begins anew.
func TestCHMFrameWithDamage(t *testing.T) {
	long := chmLong()
	hurt := map[string]func([]byte) []byte{"Content": func(b []byte) []byte {
		return slices.Concat(b[:20], bytes.Repeat([]byte{0xff}, 60), b[80:])
	}}
	n := walked(t, Limits{}, "f", chmOf([]chmFileOf{{name: "/first.txt", section: 1, data: long[:100]}, {name: "/rest.txt", section: 1, data: long[100:]}}, hurt))
	if !slices.ContainsFunc(n.data, func(d string) bool { return strings.HasSuffix(d, long[2*lzxFrame:]) }) {
		t.Errorf("objects %q: what is behind the damage is missing", n.objects)
	}
	for _, want := range []string{"f/first.txt: chm: first.txt: damaged: LZX: invalid data", "f/rest.txt: chm: rest.txt: damaged: LZX: invalid data"} {
		if !slices.Contains(n.unchecked, want) {
			t.Errorf("unchecked %q, want %q among them", n.unchecked, want)
		}
	}
}

func TestCHMFilesThatClaimMore(t *testing.T) {
	cut := "f/a: chm: a: damaged: cut short"
	long := strings.Repeat("0123456789abcdef", 5000)
	table(t, []struct{ name, data, objects, unchecked string }{
		{"stored", string(chmOf([]chmFileOf{{name: "a", data: "text", size: 1 << 40}}, nil)), "a=text", cut},
		{"stored, beyond the end", string(chmOf([]chmFileOf{{name: "a", data: "text", offset: 1 << 50}}, nil)), "", cut},
		{"packed", string(chmOf([]chmFileOf{{name: "a", section: 1, data: "text", size: 1 << 40}}, nil)), "a=text", cut},
		{"packed, beyond the end", string(chmOf([]chmFileOf{{name: "a", section: 1, data: "text", offset: 1 << 50}}, nil)), "", cut},
		{"one within the other", string(chmOf([]chmFileOf{{name: "a", section: 1, data: long}, {name: "b", section: 1, offset: 70000, size: 16}, {name: "c", section: 1, offset: 16, size: 4}}, nil)),
			"a=" + long + "|c=0123|b=0123456789abcdef", ""},
		{"the same twice", string(chmOf([]chmFileOf{{name: "a", section: 1, data: "text"}, {name: "b", section: 1, offset: 1, size: 3}}, nil)), "a=text|b=ext", ""},
		{"no section", string(chmOf(nil, nil)), "", "f: chm: damaged: no directory"},
	})
}

func TestCHMFilesOverOneAnotherAreBounded(t *testing.T) {
	for section := range byte(2) {
		files := []chmFileOf{{name: "a", section: section, data: chmLong()[:2*lzxFrame]}}
		for range 300 {
			files = append(files, chmFileOf{name: "b", section: section, offset: 1, size: 2*lzxFrame - 1})
		}
		n := &notes{discard: true}
		n.walk(t, NewArena(nil, 0), Limits{}, "f", chmOf(files, nil))
		if !slices.ContainsFunc(n.unchecked, func(s string) bool { return strings.HasSuffix(s, "limit: overlap") }) {
			t.Errorf("section %d: %d bytes, unchecked %q", section, n.bytes, n.unchecked)
		}
	}
}

func FuzzCHM(f *testing.F) {
	f.Add(chmOf([]chmFileOf{{name: "/plain.txt", data: "stored"}, {name: "/a.txt", section: 1, data: "packed"}}, nil))
	fuzz(f, "chm")
}
