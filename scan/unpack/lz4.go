package unpack

import (
	"bytes"
	"encoding/binary"
	"io"
	"iter"

	"github.com/pierrec/lz4/v4"
)

// lz4Opener opens LZ4 files (LZ4 Frame Format Description, version 1.6.4), those
// of the old format included. All frames of a file are one object, as lz4 makes
// of them. What follows the last one is no part of it.
var lz4Opener = opener{name: "lz4", match: lz4Match, entries: lz4Entries}

const (
	lz4Magic    = "\x04\x22\x4d\x18"
	lz4OldMagic = "\x02\x21\x4c\x18"
	lz4OldBlock = 8<<20 + 8<<20/255 + 16 // the most that 8 MiB come to
)

func lz4Match(data []byte) bool {
	rest := skipFrames(data, maxSkipped)
	switch {
	case len(rest) < 8:
		return false
	case string(rest[:4]) == lz4Magic:
		return rest[4]>>6 == 1 // the version
	}
	return string(rest[:4]) == lz4OldMagic && lz4IsOldBlock(rest[4:])
}

// lz4IsOldBlock reports whether b can be the length of a block of the old format.
func lz4IsOldBlock(b []byte) bool {
	n := binary.LittleEndian.Uint32(b)
	return n > 0 && n <= lz4OldBlock
}

func lz4Entries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		m := member{name: nameLess(f.Name, ".lz4", "", ".tlz4", ".tar")}
		magic := []byte(lz4Magic)
		if bytes.HasPrefix(f.Data, []byte(lz4OldMagic)) {
			magic = []byte(lz4OldMagic)
		}
		m.body = &frameReader{data: f.Data, file: f, open: lz4Open, magic: magic}
		yield(m, nil)
	}
}

// lz4Open opens the frame at the beginning of rest.
func lz4Open(rest []byte) (io.Reader, int, error) {
	if !lz4Match(rest) {
		return nil, 0, nil
	}
	size, whole := lz4Size(rest)
	// Not concurrent: it has no goroutines then. That is the default.
	r := contained{lz4.NewReader(bytes.NewReader(rest[:size]))}
	if !whole {
		return r, size, errShort
	}
	return r, size, nil
}

// lz4Size gives the length of a frame, and whether it is all there.
func lz4Size(b []byte) (size int, whole bool) {
	if string(b[:4]) == lz4OldMagic {
		return lz4OldSize(b)
	}
	flags := b[4]
	at := 4 + 3
	if flags&(1<<3) != 0 { // size of the content
		at += 8
	}
	if flags&1 != 0 { // number of the dictionary
		at += 4
	}
	for {
		if at+4 > len(b) {
			return len(b), false
		}
		n := binary.LittleEndian.Uint32(b[at:])
		if at += 4; n == 0 {
			break
		}
		at += int(n & 0x7fffffff)
		if flags&(1<<4) != 0 { // checksum of the block
			at += 4
		}
	}
	if flags&(1<<2) != 0 { // checksum of the content
		at += 4
	}
	return min(at, len(b)), at <= len(b)
}

// lz4OldSize is lz4Size for the old format, which has no end of its own: a frame
// ends with the file, or where no length of a block can stand.
func lz4OldSize(b []byte) (size int, whole bool) {
	at := 4
	for at+4 <= len(b) && lz4IsOldBlock(b[at:]) {
		at += 4 + int(binary.LittleEndian.Uint32(b[at:]))
	}
	if at > len(b) || at < len(b) && at+4 > len(b) {
		return len(b), false
	}
	return at, true
}
