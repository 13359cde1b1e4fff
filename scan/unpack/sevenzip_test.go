package unpack

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"slices"
	"strings"
	"testing"
)

// szArchiveOf is an archive of some packed bytes and a header.
func szArchiveOf(packed, header string) []byte {
	start := le64(uint64(len(packed)))
	start = append(start, le64(uint64(len(header)))...)
	start = binary.LittleEndian.AppendUint32(start, crc32.ChecksumIEEE([]byte(header)))
	b := binary.LittleEndian.AppendUint32([]byte(sevenZipMagic+"\x00\x04"), crc32.ChecksumIEEE(start))
	return slices.Concat(b, start, []byte(packed), []byte(header))
}

// szName is a file's name as the header has it.
func szName(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		b.WriteString(string([]byte{c, 0}))
	}
	return b.String() + "\x00\x00"
}

// szStored is the header of files that are stored as one. folder replaces its one
// coder, which copies, unless it is empty.
func szStored(folder string, texts ...string) string {
	if folder == "" {
		folder = "\x01\x01\x00"
	}
	all := strings.Join(texts, "")
	h := "\x01\x04\x06\x00\x01\x09" + szNumber(len(all)) + "\x00"
	h += "\x07\x0b\x01\x00" + folder + "\x0c" + szNumber(len(all)) + "\x00"
	h += "\x08\x0d" + szNumber(len(texts)) + "\x09"
	for _, t := range texts[:len(texts)-1] {
		h += szNumber(len(t))
	}
	h += "\x0a\x01"
	for _, t := range texts {
		h += string(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(t))))
	}
	names := "\x00"
	for i := range texts {
		names += szName(string(rune('a' + i)))
	}
	return h + "\x00\x00\x05" + szNumber(len(texts)) + "\x11" + szNumber(len(names)) + names + "\x00\x00"
}

// szNumber is a number below 2^14.
func szNumber(n int) string {
	if n < 0x80 {
		return string([]byte{byte(n)})
	}
	return string([]byte{0x80 | byte(n>>8), byte(n)})
}

func TestSevenZip(t *testing.T) {
	const text = "a text with KIYOME-MARKER in it"
	copied := szStored("", text, "another")
	whole := szArchiveOf(text+"another", copied)
	lzma2, solid := load(t, "7z-lzma2.7z"), load(t, "7z-solid.7z")
	stub := append([]byte("MZ"), bytes.Repeat([]byte("program "), 40<<10)...)
	replaced := func(old, new string) []byte {
		return szArchiveOf(text+"another", strings.Replace(copied, old, new, 1))
	}
	for _, tt := range []struct {
		name, objects, unchecked string
		data                     []byte
	}{
		{"stored", "a* b", "", whole},
		{"behind a program", "a* b", "", join(stub, whole)},
		{"behind a program that has the signature", "a* b", "", join(stub, []byte(sevenZipMagic), stub, whole)},
		{"something behind", "a* b", "", join(whole, stub)},
		{"joined", "a* b note.txt*", "", join(whole, lzma2)},
		{"in a stored file, opened when that is", "a* a/a* a/b b", "", szArchiveOf(string(whole)+"another", szStored("", string(whole), "another"))},
		{"nothing in it", "", "", szArchiveOf("", "")},
		{"wrong checksum of its start", "a* b", "7z: damaged: wrong checksum of its start", damage(whole, 8)},
		{"wrong checksum of its header", "a* b", "7z: damaged: wrong checksum of its start;7z: damaged: wrong checksum of its header", damage(whole, 28)},
		{"wrong checksum", "a* b", "7z: a: damaged: wrong checksum", damage(whole, 40)},
		{"its end is missing", "f*", "7z: f: damaged: cut short;7z: damaged: its end is missing, and the header with it", lzma2[:szStartSize+parseSzStart(lzma2).offset-8]},
		{"its end is missing, stored", "", "7z: damaged: its end is missing, and the header with it", whole[:60]},
		{"bytes that end too early", "a* b", "7z: b: damaged: cut short", szArchiveOf(text+"anot", strings.Replace(copied, "\x06\x00\x01\x09"+szNumber(len(text)+7), "\x06\x00\x01\x09"+szNumber(len(text)+4), 1))},
		{"an unknown method", "", "7z: a: unsupported method: number 0x7f;7z: b: unsupported method: number 0x7f", szArchiveOf(text+"another", szStored("\x01\x01\x7f", text, "another"))},
		{"coders that feed each other", "", "7z: a: damaged: coders that feed each other;7z: b: damaged: coders that feed each other", szArchiveOf(text+"another", strings.Replace(szStored("\x03\x01\x00\x01\x00\x01\x00\x00\x01\x01\x01", text, "another"), "\x0c", "\x0c\x05\x05", 1))},
		{"no coder", "", "7z: damaged: header: coders", szArchiveOf(text+"another", szStored("\x00", text, "another"))},
		{"too many files", "f* f", "7z: damaged: header: too many", replaced("\x05\x02\x11", "\x05\xf0\xff\xff\xff\xff\x11")},
		{"too many folders", "", "7z: damaged: header: too many", replaced("\x0b\x01\x00", "\x0b\xf0\xff\xff\xff\xff\x00")},
		{"more names than files", "a* b ", "7z: c: damaged: no bytes for it", replaced("\x05\x02\x11\x09"+"\x00"+szName("a")+szName("b"), "\x05\x03\x11\x0d"+"\x00"+szName("a")+szName("b")+szName("c"))},
		{"fewer names than files", "a* f", "", replaced("\x05\x02\x11\x09"+"\x00"+szName("a")+szName("b"), "\x05\x01\x11\x05"+"\x00"+szName("a"))},
		{"no list of files", "f* f", "7z: damaged: header: cut short", szArchiveOf(text+"another", copied[:strings.Index(copied, "\x05\x02\x11")])},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objects, unchecked := ranTold(t, tt.data)
			if strings.TrimSpace(objects) != strings.TrimSpace(tt.objects) || unchecked != tt.unchecked {
				t.Errorf("objects %q, unchecked %q\nwant    %q, unchecked %q", objects, unchecked, tt.objects, tt.unchecked)
			}
		})
	}
	// 30 files and a folder, by 7z 26.02: the packed header is all there is.
	empty, err := os.ReadFile("testdata/7z-empty-files.7z")
	if err != nil {
		t.Fatal(err)
	}
	if objects, unchecked := ranTold(t, empty); !strings.Contains(objects, "empty-file-number-30.txt") || unchecked != "" {
		t.Errorf("empty files: objects %q, unchecked %q", objects, unchecked)
	}
	objects, unchecked := ranTold(t, damage(solid, 80))
	if !strings.HasPrefix(objects, "empty.txt") || !strings.Contains(unchecked, "7z: 請求書.txt: damaged") {
		t.Errorf("damage in a solid block: objects %q, unchecked %q", objects, unchecked)
	}
}

func TestSevenZipWithPasswords(t *testing.T) {
	for _, tt := range []struct{ file, passwords, objects, unchecked string }{
		{"7z-encrypted.7z", "no infected", "note.txt*", ""},
		{"7z-encrypted.7z", "no nope", "", "7z: note.txt: encrypted"},
		{"7z-encrypted.7z", "", "", "7z: note.txt: encrypted"},
		{"7z-encrypted-header.7z", "no infected", "note.txt*", ""},
		{"7z-encrypted-header.7z", "no nope", "", "7z: header: encrypted"},
	} {
		objects, unchecked := ranTold(t, load(t, tt.file), strings.Fields(tt.passwords)...)
		if objects != tt.objects || unchecked != tt.unchecked {
			t.Errorf("%s with %q: objects %q, unchecked %q", tt.file, tt.passwords, objects, unchecked)
		}
	}
}

// Whatever stands in a header, the walk ends, and does not fall silent about what it
// found no longer.
func TestSevenZipHeadersOfAnyByte(t *testing.T) {
	const text = "a text with KIYOME-MARKER in it"
	header := szStored("", text, "another")
	for i := range header {
		for _, v := range []byte{0, 1, 0x7f, 0x80, 0xfe, 0xff} {
			changed := []byte(header)
			changed[i] = v
			n := walked(t, Limits{}, "f", szArchiveOf(text+"another", string(changed)))
			if n.marked == "" && len(n.unchecked) == 0 {
				t.Errorf("byte %d is %#x: objects %q and not a word", i, v, n.objects)
			}
		}
	}
}
