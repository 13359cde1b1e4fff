package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"strconv"
)

// cpioOpener opens archives of cpio: the old binary format in both orders of
// bytes, the portable one of POSIX.1 and the two of System V (cpio(5) of FreeBSD).
var cpioOpener = opener{name: "cpio", match: cpioMatch, entries: cpioEntries}

const (
	cpioTrailer = "TRAILER!!!"
	cpioNames   = 64 << 10 // bytes that a name may have

	cpioTypes   = 0o170000
	cpioRegular = 0o100000
)

// cpioFormat is where the fields of a header are, all of the same kind.
type cpioFormat struct {
	magic             string
	header            int
	mode, names, size cpioField
	check             cpioField // none: the width is 0
	align             int
	number            func([]byte) (int64, bool)
}

// cpioField is a field's place.
type cpioField struct{ at, width int }

var cpioFormats = []cpioFormat{
	{"070701", 110, cpioField{14, 8}, cpioField{94, 8}, cpioField{54, 8}, cpioField{}, 4, cpioHex},
	{"070702", 110, cpioField{14, 8}, cpioField{94, 8}, cpioField{54, 8}, cpioField{102, 8}, 4, cpioHex},
	{"070707", 76, cpioField{18, 6}, cpioField{59, 6}, cpioField{65, 11}, cpioField{}, 1, cpioOctal},
	{"\xc7\x71", 26, cpioField{6, 2}, cpioField{20, 2}, cpioField{22, 4}, cpioField{}, 2, cpioWords(binary.LittleEndian)},
	{"\x71\xc7", 26, cpioField{6, 2}, cpioField{20, 2}, cpioField{22, 4}, cpioField{}, 2, cpioWords(binary.BigEndian)},
}

func cpioHex(b []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(b), 16, 64)
	return n, err == nil && n >= 0
}

func cpioOctal(b []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(b), 8, 64)
	return n, err == nil && n >= 0
}

// cpioWords reads numbers of 16 bits, the upper half of 32 in front.
func cpioWords(order binary.ByteOrder) func([]byte) (int64, bool) {
	return func(b []byte) (n int64, ok bool) {
		for ; len(b) >= 2; b = b[2:] {
			n = n<<16 | int64(order.Uint16(b))
		}
		return n, true
	}
}

// cpioHeader is an entry's header.
type cpioHeader struct {
	name  []byte
	mode  int64
	size  int64
	check int64 // the sum of the bytes; -1: none
	body  int   // where they begin
	align int
}

// parseCPIO reads the header at an offset.
func parseCPIO(data []byte, at int) (h cpioHeader, ok bool) {
	for i := range cpioFormats {
		f := &cpioFormats[i]
		if !hasMagic(data, at, f.magic) || at+f.header > len(data) {
			continue
		}
		b := data[at:]
		field := func(c cpioField) int64 {
			n, sound := f.number(b[c.at : c.at+c.width])
			ok = ok && sound
			return n
		}
		ok = true
		h = cpioHeader{mode: field(f.mode), size: field(f.size), check: -1, align: f.align}
		names := field(f.names)
		if f.check.width > 0 {
			h.check = field(f.check)
		}
		if !ok || names < 1 || names > cpioNames || names > int64(len(b)-f.header) || b[f.header+int(names)-1] != 0 {
			return h, false
		}
		h.name, _, _ = bytes.Cut(b[f.header:f.header+int(names)], []byte{0})
		h.body = at + aligned(f.header+int(names), f.align)
		return h, true
	}
	return h, false
}

// aligned rounds up to a multiple of n.
func aligned(at, n int) int { return (at + n - 1) / n * n }

func cpioMatch(data []byte) bool {
	_, ok := parseCPIO(data, 0)
	return ok
}

func cpioEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		c := &cpioReader{data: f.Data, file: f, yield: yield}
		for c.next() {
		}
	}
}

// cpioReader reads one archive, and those that are joined to it.
type cpioReader struct {
	data  []byte
	file  File
	at    int
	ended bool // by a trailer
	yield func(member, error) bool
}

// next reads an entry and reports whether to go on.
func (c *cpioReader) next() bool {
	if c.ended {
		c.at = len(c.data) - len(bytes.TrimLeft(tail(c.data, int64(c.at)), "\x00"))
	}
	h, ok := parseCPIO(c.data, c.at)
	switch {
	case !ok && c.ended:
		return false // what is behind the end is no part of the archive
	case !ok:
		return c.resume()
	}
	c.ended = string(h.name) == cpioTrailer
	content := tail(c.data, int64(h.body))
	cut := h.size > int64(len(content))
	content = content[:min(h.size, int64(len(content)))]
	start := c.at
	c.at = min(len(c.data), h.body+aligned(len(content), h.align))
	c.file.read(start, c.at)
	if c.ended && h.size == 0 {
		return true
	}
	if len(content) == 0 && !cut && h.mode&cpioTypes != cpioRegular {
		return true // a folder, a device
	}
	m := member{name: decodeName(h.name), data: content}
	switch {
	case cut:
		return c.yield(m, fmt.Errorf("%w: cut short", ErrDamaged))
	case h.check > 0 && h.check != cpioSum(content):
		return c.yield(m, fmt.Errorf("%w: wrong checksum", ErrDamaged))
	}
	return c.yield(m, nil)
}

// cpioSum is the checksum of bytes: their sum, 32 bits of it.
func cpioSum(b []byte) int64 {
	var sum uint32
	for _, c := range b {
		sum += uint32(c)
	}
	return int64(sum)
}

// resume looks for the next header behind damage. Those of the binary formats are
// too short to be found in noise.
func (c *cpioReader) resume() bool {
	what := "cut short"
	at := len(c.data)
	for from := c.at; from < len(c.data); from++ {
		i := bytes.Index(c.data[from:], []byte("0707"))
		if i < 0 {
			break
		}
		from += i
		if _, ok := parseCPIO(c.data, from); ok {
			at, what = from, "no header where one should be"
			break
		}
	}
	c.at = at
	return c.yield(member{}, fmt.Errorf("%w: %s", ErrDamaged, what)) && at < len(c.data)
}
