package unpack

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"iter"
	"slices"
)

// behindOpener finds compressed files that stand behind other bytes: junk that
// some programs pass over, a picture, a program that unpacks itself. The formats
// that are looked for so wherever they stand, such as zip and rar, do that
// themselves.
var behindOpener = opener{
	name:    "behind",
	last:    true,
	match:   func(data []byte) bool { return startBehind(data) > 0 },
	entries: behindEntries,
}

const (
	// behindJunk is within how many bytes a file is looked for, whatever it is behind.
	behindJunk = 4 << 10

	// behindPicture is the same behind a picture or a program.
	behindPicture = 1 << 20
)

// pictures are how files begin that others are put behind.
var pictures = []string{"\xff\xd8\xff", "\x89PNG", "GIF8", "BM", "RIFF", "MZ", "\x7fELF"}

// beginsPicture reports whether data begins as a picture or a program does.
func beginsPicture(data []byte) bool {
	return slices.ContainsFunc(pictures, func(p string) bool { return bytes.HasPrefix(data, []byte(p)) })
}

// behindMagics are how the files begin, and what else has to hold of one: a few
// bytes in a row are found by chance too.
var behindMagics = []struct {
	text  string
	sound func(data []byte) bool
}{
	{gzipMagic, func(data []byte) bool { return isWrittenGzip(data) && unpacks(gzipOpener, data) }},
	{"BZh", func(data []byte) bool { return isBzip2(data) && unpacks(bzip2Opener, data) }},
	{xzMagic, isSoundXZ},
	{zstdMagic, func(data []byte) bool { return len(data) > 8 && data[4]&0x08 == 0 }}, // a reserved bit: RFC 8878, section 3.1.1.1.1
	{lzipMagic, func(data []byte) bool { return lzipMatch(data) && data[4] == 1 && data[6] == 0 }},
	{lz4Magic, lz4Match},
	{arMagic, arMatch},
	{rpmMagic, rpmMatch},
}

// isSoundXZ reports whether a stream's header is what its checksum says: programs
// that unpack xz have its first bytes in their code.
func isSoundXZ(data []byte) bool {
	return len(data) > xzHeaderSize && crc32.ChecksumIEEE(data[6:8]) == binary.LittleEndian.Uint32(data[8:])
}

// unpacks reports whether a file gives anything at all.
func unpacks(o opener, data []byte) bool {
	for m := range o.entries(File{Data: data}) {
		n, err := io.ReadFull(m.body, make([]byte, 1))
		return n > 0 || err == io.EOF
	}
	return false
}

// maxBehind is how many offsets are tried at which a file may begin.
const maxBehind = 64

// startBehind gives the offset of the first file behind other bytes, 0 where there
// is none.
func startBehind(data []byte) int {
	head := data[:min(len(data), behindJunk)]
	if beginsPicture(data) {
		head = data[:min(len(data), behindPicture)]
	}
	first := 0
	tries := 0
	for _, m := range behindMagics {
		for at := range indexes(head, m.text) {
			if tries++; tries > maxBehind {
				return first
			}
			if m.sound(data[at:]) {
				first, head = at, head[:at] // the others count only where they come before it
				break
			}
		}
	}
	return first
}

// behindPrograms yields the offsets of text in what begins as a picture or a program
// does, for the formats that look for themselves.
func behindPrograms(data []byte, text string) iter.Seq[int] {
	if !beginsPicture(data) {
		return func(func(int) bool) {}
	}
	return indexes(data[:min(len(data), behindPicture)], text)
}

// indexes yields the offsets of text in data but the first byte's.
func indexes(data []byte, text string) iter.Seq[int] {
	return func(yield func(int) bool) {
		for at := 1; at < len(data); at++ {
			i := bytes.Index(data[at:], []byte(text))
			if i < 0 {
				return
			}
			if at += i; !yield(at) {
				return
			}
		}
	}
}

func behindEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		if at := startBehind(f.Data); at > 0 {
			yield(member{name: f.Name, data: f.Data[at:]}, nil)
		}
	}
}
