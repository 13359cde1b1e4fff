package unpack

import (
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// wimTestStream is a stream as a test puts it into an image: its bytes as they are, and
// an entry of the lookup table.
type wimTestStream struct {
	data   string
	change func(entry []byte)
}

// wimTestFile is an entry of a folder: a file, with further streams, or a folder.
type wimTestFile struct {
	name       string
	attributes uint32
	content    string
	streams    []string // name and content in turn
	files      []wimTestFile
	change     func(entry []byte)
}

func wimTestHash(s string) []byte {
	h := sha1.Sum([]byte(s))
	if s == "" {
		h = wimHash{}
	}
	return h[:]
}

func wimTestText(s string) (b []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func wimTestPad(b []byte) []byte { return append(b, make([]byte, -len(b)&7)...) }

// wimTestTree writes what an image tells of its files.
func wimTestTree(files ...wimTestFile) string {
	le := binary.LittleEndian
	b := make([]byte, 8)
	b[0] = 8
	var folder func(files []wimTestFile)
	folder = func(files []wimTestFile) {
		var places []int
		for _, f := range files {
			places = append(places, len(b))
			e, name := make([]byte, wimDirSize), wimTestText(f.name)
			le.PutUint32(e[8:], f.attributes)
			copy(e[wimDirHash:], wimTestHash(f.content))
			le.PutUint16(e[96:], uint16(len(f.streams)/2))
			le.PutUint16(e[100:], uint16(len(name)))
			e = wimTestPad(append(append(e, name...), 0, 0))
			le.PutUint64(e, uint64(len(e)))
			b = append(b, e...)
			for s := range slices.Chunk(f.streams, 2) {
				e, name := make([]byte, wimStreamSize), wimTestText(s[0])
				copy(e[wimStreamHash:], wimTestHash(s[1]))
				le.PutUint16(e[36:], uint16(len(name)))
				e = wimTestPad(append(append(e, name...), 0, 0))
				le.PutUint64(e, uint64(len(e)))
				b = append(b, e...)
			}
		}
		b = append(b, make([]byte, 8)...)
		for i, f := range files {
			if f.files != nil {
				le.PutUint64(b[places[i]+16:], uint64(len(b)))
				folder(f.files)
			}
			if f.change != nil {
				f.change(b[places[i]:])
			}
		}
	}
	folder([]wimTestFile{{files: files}})
	return string(b)
}

// makeWIM writes an image file of streams that are not packed. The first are the trees
// of images.
func makeWIM(trees []string, streams []wimTestStream, change func(header []byte)) []byte {
	le := binary.LittleEndian
	b := make([]byte, wimHeaderSize)
	var table []byte
	add := func(data string, flags byte, change func([]byte)) {
		e := make([]byte, wimEntrySize)
		le.PutUint64(e, uint64(len(data)))
		e[7] = flags
		le.PutUint64(e[8:], uint64(len(b)))
		le.PutUint64(e[16:], uint64(len(data)))
		le.PutUint16(e[24:], 1)
		copy(e[30:], wimTestHash(data))
		if change != nil {
			change(e)
		}
		b, table = append(b, data...), append(table, e...)
	}
	for _, t := range trees {
		add(t, wimMetadata, nil)
	}
	for _, s := range streams {
		add(s.data, 0, s.change)
	}
	copy(b, wimMagic)
	le.PutUint32(b[8:], wimHeaderSize)
	le.PutUint32(b[12:], 0x10d00)
	le.PutUint32(b[20:], 32<<10)
	le.PutUint16(b[40:], 1)
	le.PutUint16(b[42:], 1)
	le.PutUint64(b[48:], uint64(len(table)))
	le.PutUint64(b[56:], uint64(len(b)))
	le.PutUint64(b[64:], uint64(len(table)))
	b = append(b, table...)
	if change != nil {
		change(b)
	}
	return b
}

func TestWIMIsReadTolerantly(t *testing.T) {
	const note, other = "KIYOME-MARKER", "other"
	noteHash, noHash := wimHexOf(note), strings.Repeat("0", 40)
	le := binary.LittleEndian
	file := func(name, content string) wimTestFile { return wimTestFile{name: name, content: content} }
	both := []string{wimTestTree(file("a.txt", note), file("b.txt", other))}
	streams := []wimTestStream{{note, nil}, {other, nil}}
	field := func(at int, text string) func([]byte) { return func(b []byte) { copy(b[at:], text) } }
	chunked := func(size uint64, packed string) wimTestStream {
		return wimTestStream{packed, func(e []byte) {
			e[7] = wimPacked
			le.PutUint64(e[16:], size)
			clear(e[30:])
		}}
	}
	method := func(flags uint32) func([]byte) { return func(b []byte) { le.PutUint32(b[16:], flags) } }
	loop := wimTestFile{name: "d", files: []wimTestFile{}, change: field(16, "\x08\x00\x00\x00\x00\x00\x00\x00")}
	deep := wimTestFile{name: strings.Repeat("d", 250), files: []wimTestFile{file("a.txt", note)}}
	for range 10 {
		deep = wimTestFile{name: deep.name, files: []wimTestFile{deep}}
	}
	for _, tt := range []struct {
		name, objects, unchecked string
		data                     []byte
	}{
		{"plain", "a.txt* b.txt", "", makeWIM(both, streams, nil)},
		{"two images", "a.txt* c.txt", "", makeWIM([]string{wimTestTree(file("a.txt", note)), wimTestTree(file("c.txt", other))}, streams, nil)},
		{"in a folder", "日本/a.txt*", "", makeWIM([]string{wimTestTree(wimTestFile{name: "日本", files: []wimTestFile{file("a.txt", note)}})}, streams[:1], nil)},
		{"further streams", "a.txt:x* a.txt", "", makeWIM([]string{wimTestTree(wimTestFile{name: "a.txt", streams: []string{"", other, "x", note}})}, streams, nil)},
		{"not named", noteHash + "*", "", makeWIM(nil, streams[:1], nil)},
		{"encrypted", "a.txt*", "f/a.txt: wim: a.txt: encrypted: by the file system", makeWIM([]string{wimTestTree(wimTestFile{name: "a.txt", attributes: wimEncrypted, content: note})}, streams[:1], nil)},
		{"wrong checksum", "a.txt*", "f/a.txt: wim: a.txt: damaged: wrong checksum", makeWIM([]string{wimTestTree(file("a.txt", "b"))}, []wimTestStream{{note, field(30, string(wimTestHash("b")))}}, nil)},
		{"the same resource twice", "a.txt*", "", makeWIM(both, []wimTestStream{{note, nil}, {"", nil}}, func(b []byte) {
			table := b[le.Uint64(b[56:]):]
			copy(table[2*wimEntrySize:], table[wimEntrySize:2*wimEntrySize])
		})},
		{"beyond the end", "b.txt", "f/a.txt: wim: a.txt: damaged: cut short", makeWIM(both, []wimTestStream{{note, field(8, "\x00\x00\x00\x01")}, streams[1]}, nil)},
		{"larger than all", "a.txt* b.txt", "f/a.txt: wim: a.txt: damaged: cut short", makeWIM(both, []wimTestStream{{note, field(0, "\xff\xff\xff\xff")}, streams[1]}, nil)},
		{"in another part", "a.txt*", "f: wim: unsupported method: streams are in other parts", makeWIM(both, []wimTestStream{streams[0], {other, field(24, "\x02")}}, field(42, "\x02"))},
		{"in another part, of one", "a.txt* b.txt", "", makeWIM(both, []wimTestStream{streams[0], {other, field(24, "\x02")}}, nil)},
		{"lookup table beyond the end", "", "f: wim: lookup table: damaged: cut short", makeWIM(both, streams, field(56, "\xff\xff\xff\xff"))},
		{"lookup table too long", "a.txt* b.txt", "f: wim: lookup table: damaged: cut short", makeWIM(both, streams, field(48, "\xff\xff\xff"))},
		{"lookup table at a negative offset", "", "f: wim: lookup table: damaged: cut short", makeWIM(both, streams, field(56, "\xff\xff\xff\xff\xff\xff\xff\xff"))},
		{"folder in itself", "a.txt*", "f: wim: names: damaged: entry of a folder", makeWIM([]string{wimTestTree(file("a.txt", note), loop)}, streams[:1], nil)},
		{"folder beyond the end", "a.txt*", "f: wim: names: damaged: cut short", makeWIM([]string{wimTestTree(file("a.txt", note), wimTestFile{name: "d", files: []wimTestFile{}, change: field(16, "\xff\xff\xff\xff")})}, streams[:1], nil)},
		{"entry that is too short", noteHash + "*", "f: wim: names: damaged: entry of a folder", makeWIM([]string{wimTestTree(wimTestFile{name: "a.txt", content: note, change: field(0, "\x09")})}, streams[:1], nil)},
		{"entry that is too long", noteHash + "*", "f: wim: names: damaged: entry of a folder", makeWIM([]string{wimTestTree(wimTestFile{name: "a.txt", content: note, change: field(0, "\xff\xff\xff\xff\xff\xff\xff\xff")})}, streams[:1], nil)},
		{"name that is too long", "a.txt", "", makeWIM([]string{wimTestTree(wimTestFile{name: "a.txt", content: other, change: field(100, "\xff\xff")})}, streams[1:], nil)},
		{"more streams than there are", "a.txt*", "f: wim: names: damaged: cut short", makeWIM([]string{wimTestTree(wimTestFile{name: "a.txt", content: note, change: field(96, "\xff\xff")})}, streams[:1], nil)},
		{"deep folders", cutName(strings.Repeat(strings.Repeat("d", 250)+"/", 11)+"a.txt") + "*", "", makeWIM([]string{wimTestTree(deep)}, streams[:1], nil)},
		{"tree that is cut short", "b.txt", "f: wim: names: damaged: cut short", makeWIM([]string{wimTestTree(file("b.txt", other))[:240]}, streams[1:], nil)},
		{"empty tree", noteHash + "*", "f: wim: names: damaged: cut short", makeWIM([]string{""}, streams[:1], nil)},
		{"old version", "", "f: wim: unsupported method: version 0x10800", makeWIM(both, streams, field(12, "\x00\x08"))},
		{"header that is cut short", "", "f: wim: damaged: cut short", makeWIM(both, streams, nil)[:100]},
		{"chunks of no method", "", "f/" + noHash + ": wim: " + noHash + ": unsupported method: chunks of 32768 bytes", makeWIM(nil, []wimTestStream{chunked(5, other)}, nil)},
		{"chunks of an odd size", "", "f/" + noHash + ": wim: " + noHash + ": unsupported method: chunks of 5000 bytes", makeWIM(nil, []wimTestStream{chunked(5, other)}, func(b []byte) { method(1 << 18)(b); le.PutUint32(b[20:], 5000) })},
		{"a chunk as it is", noHash + "*", "", makeWIM(nil, []wimTestStream{chunked(13, note)}, method(1<<18))},
		{"damaged chunk", noHash, "f/" + noHash + ": wim: " + noHash + ": damaged: LZX: invalid data", makeWIM(nil, []wimTestStream{chunked(2000, note)}, method(1<<18))},
		{"damaged chunk, then another", noHash + "*", "f/" + noHash + ": wim: " + noHash + ": damaged: cut short", makeWIM(nil, []wimTestStream{chunked(32781, "\x05\x00\x00\x00other"+note)}, method(1<<17))},
		{"table of chunks", noHash, "f/" + noHash + ": wim: " + noHash + ": damaged: cut short", makeWIM(nil, []wimTestStream{chunked(32781, "\xff\xff\xff\xffother"+note)}, method(1<<17))},
		{"more chunks than there are", "", "f/" + noHash + ": wim: " + noHash + ": damaged: cut short", makeWIM(nil, []wimTestStream{chunked(1<<50, note)}, method(1<<19))},
		{"ESD that is encrypted", "a.txt* b.txt", "f: wim: encrypted: image", join(makeWIM(both, streams, func(b []byte) {
			le.PutUint64(b[72:], 32)
			le.PutUint64(b[80:], uint64(len(b)))
		}), wimTestText("<ESD><ENCRYPTED>"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objects, unchecked := toldOf(walked(t, Limits{}, "f", tt.data))
			if objects != tt.objects || unchecked != tt.unchecked {
				t.Errorf("objects %q, unchecked %q, want %q, %q", objects, unchecked, tt.objects, tt.unchecked)
			}
		})
	}
}

// wimHexOf is what a stream is called that has no name.
func wimHexOf(s string) string { return hex.EncodeToString(wimTestHash(s)) }

// Solid resources: streams that lie over one another, or far apart.
func TestSolidWIM(t *testing.T) {
	data := load(t, "wim-solid-lzx.wim")
	le := binary.LittleEndian
	table := int(le.Uint64(data[56:]))
	count := int(le.Uint64(data[64:])) / wimEntrySize
	var places []int // of the entries of streams
	for i := range count {
		if e := data[table+i*wimEntrySize:]; e[7] == wimSolid && le.Uint64(e[16:]) != wimSolidMark {
			places = append(places, table+i*wimEntrySize)
		}
	}
	if len(places) != 3 {
		t.Fatalf("%d streams", len(places))
	}
	const all = "フォルダ/docs/table.csv program.exe フォルダ/請求書.txt*"
	change := func(entry, at int, v uint64) []byte {
		b := slices.Clone(data)
		le.PutUint64(b[places[entry]+at:], v&(1<<56-1)|uint64(b[places[entry]+7])<<56)
		if at == 8 {
			le.PutUint64(b[places[entry]+at:], v)
		}
		return b
	}
	at := func(entry int) uint64 { return le.Uint64(data[places[entry]+8:]) }
	first := slices.IndexFunc([]int{0, 1, 2}, func(i int) bool { return at(i) == 0 })
	for _, tt := range []struct {
		name, objects, unchecked string
		data                     []byte
	}{
		{"as it is", all, "", data},
		{"a stream beyond the end", "program.exe フォルダ/請求書.txt*", "f/フォルダ/docs/table.csv: wim: フォルダ/docs/table.csv: damaged: cut short", change(first, 8, 1<<50)},
		{"a stream at a negative offset", "program.exe フォルダ/請求書.txt*", "f/フォルダ/docs/table.csv: wim: フォルダ/docs/table.csv: damaged: cut short", change(first, 8, 1<<63-1)},
		{"a stream that is too long", "フォルダ/docs/table.csv* program.exe フォルダ/請求書.txt*", "f/フォルダ/docs/table.csv: wim: フォルダ/docs/table.csv: damaged: cut short", change(first, 0, 1<<40)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objects, unchecked := toldOf(walked(t, Limits{}, "f", tt.data))
			if objects != tt.objects || unchecked != tt.unchecked {
				t.Errorf("objects %q, unchecked %q, want %q, %q", objects, unchecked, tt.objects, tt.unchecked)
			}
		})
	}
}

// Streams that lie over one another, or are one again and again, are a bomb.
func TestWIMIsNoBomb(t *testing.T) {
	le := binary.LittleEndian
	big := strings.Repeat("bomb", 256<<10)
	streams := []wimTestStream{{big, nil}}
	for i := range 1000 {
		streams = append(streams, wimTestStream{"", func(e []byte) {
			le.PutUint64(e, uint64(len(big)-i-1))
			le.PutUint64(e[8:], wimHeaderSize)
		}})
	}
	n := walked(t, Limits{}, "f", makeWIM(nil, streams, nil))
	if _, unchecked := toldOf(n); !strings.HasSuffix(unchecked, "limit: overlap") || n.bytes > 16<<20 {
		t.Errorf("%d bytes, unchecked %q", n.bytes, unchecked)
	}
}

// One byte after the other is another one: nothing panics, nothing takes long.
func TestWIMWithAnyByteChanged(t *testing.T) {
	for _, name := range []string{"wim-stored.wim", "wim-images.wim"} {
		data := load(t, name)
		for i := range data {
			for _, v := range []byte{0, 1, 0x7f, 0xff} {
				n := walked(t, Limits{}, "f", put(data, i, string([]byte{v})))
				for _, told := range n.unchecked {
					if strings.Contains(told, "panicked") {
						t.Fatalf("%s, byte %d changed to %#x: %s", name, i, v, told)
					}
				}
			}
		}
	}
}

func FuzzWIM(f *testing.F) { fuzz(f, "wim") }

// FuzzWIMMethods unpacks chunks by themselves.
func FuzzWIMMethods(f *testing.F) {
	for _, name := range []string{"wim-xpress.wim", "wim-lzx.wim", "wim-lzms.wim"} {
		data := load(f, name)
		for m := range byte(3) {
			f.Add(m, uint32(32<<10), data[wimHeaderSize:8<<10])
		}
	}
	f.Fuzz(func(t *testing.T, m byte, size uint32, data []byte) {
		var u wimDecoders
		method := wimMethod(m%3) + wimXPRESS
		n := int64(size)%min(method.most(), 1<<20) + 1
		chunk := int64(1) << 10
		for chunk < n {
			chunk *= 2
		}
		if out, err := u.unpack(method, data, n, chunk); int64(len(out)) > n || err == nil && int64(len(out)) < n {
			t.Errorf("%d of %d bytes, %v", len(out), n, err)
		}
	})
}
