package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding/japanese"
)

// lnkOpener opens shortcuts of Windows (MS-SHLLINK; section numbers are its own).
// What a shortcut runs is handed out as one text, its command line in one line as
// it is run; then what is no part of the format: blocks of extra data of a kind
// that is not known, and what stands behind the last one, where scripts and
// programs are put that the command line takes out again.
var lnkOpener = opener{name: "lnk", match: lnkMatch, entries: lnkEntries}

const (
	// lnkMagic is the length of the header, and the class (section 2.1).
	lnkMagic  = "\x4c\x00\x00\x00\x01\x14\x02\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\x46"
	lnkFlags  = 20
	lnkHeader = 76

	// Flags (section 2.1.1).
	lnkHasIDs     = 1 << 0
	lnkHasInfo    = 1 << 1
	lnkHasStrings = 2 // the bit of the first of five strings
	lnkIsUnicode  = 1 << 7
)

// The strings of a shortcut, in their order (section 2.4).
const (
	lnkName = iota
	lnkRelative
	lnkFolder
	lnkArguments
	lnkIcon
	lnkStrings
)

// lnkBlocks are the kinds of blocks of extra data and the lengths that they have;
// 0: any (section 2.5).
var lnkBlocks = map[uint32]int{
	0xa0000001: 0x314, 0xa0000002: 0xcc, 0xa0000003: 0x60, 0xa0000004: 0x0c, 0xa0000005: 0x10, 0xa0000006: 0x314,
	0xa0000007: 0x314, 0xa0000008: 0, 0xa0000009: 0, 0xa000000b: 0x1c, 0xa000000c: 0,
}

// Blocks that hold a path in 260 bytes and once more in UTF-16: of the target with
// names of environment variables, an identifier of an application, an icon.
const (
	lnkEnvironment = 0xa0000001
	lnkDarwin      = 0xa0000006
	lnkIconPath    = 0xa0000007
	lnkPath        = 260
)

func lnkMatch(data []byte) bool { return hasMagic(data, 0, lnkMagic) }

func lnkEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		l := &lnk{data: f.Data, at: min(lnkHeader, len(f.Data))}
		l.head()
		spec := l.way(false)
		list, damage := spec.members(), spec.damage
		if spec.long {
			windows := l.way(true)
			for _, m := range windows.members() {
				if !slices.ContainsFunc(list, func(o member) bool { return bytes.Equal(o.data, m.data) }) {
					list = append(list, m)
				}
			}
			if windows.damage == nil || damage == nil {
				damage = nil
			}
		}
		for _, m := range list {
			if !yield(m, nil) {
				return
			}
		}
		if damage != nil {
			yield(member{}, damage)
		}
	}
}

// lnk is a shortcut that is being read.
type lnk struct {
	data    []byte
	at      int // what follows is to be read
	targets []string
	strings [lnkStrings]string
	blocks  []member // that are not known
	long    bool     // a string is longer than paths may be
	damage  error
}

var errLNKCut = fmt.Errorf("%w: cut short", ErrDamaged)

// take gives the next n bytes, or what there is of them.
func (l *lnk) take(n int) []byte {
	rest := l.data[l.at:]
	if n > len(rest) {
		n = len(rest)
		l.damage = errLNKCut
	}
	l.at += n
	return rest[:n]
}

// number reads a number of 2 or 4 bytes.
func (l *lnk) number(size int) (v int) {
	b := l.take(size)
	for i := len(b) - 1; i >= 0; i-- {
		v = v<<8 | int(b[i])
	}
	return v
}

// head reads what stands in front of the strings.
func (l *lnk) head() {
	if len(l.data) < lnkHeader {
		l.damage = errLNKCut
		return
	}
	if l.flags()&lnkHasIDs != 0 {
		l.ids(l.take(l.number(2)))
	}
	if l.flags()&lnkHasInfo != 0 {
		start := l.at
		if size := l.number(4); size >= 4 { // its own four bytes count
			l.take(size - 4)
		}
		l.info(l.data[start:l.at])
	}
}

func (l *lnk) flags() uint32 { return binary.LittleEndian.Uint32(l.data[lnkFlags:]) }

// way reads the rest of the shortcut, as the specification says, or as Windows
// does: of the first strings, which are paths, it reads no more characters than a
// path may have, and takes what follows for the next string. Some shortcuts hide
// their command line so.
func (l *lnk) way(paths bool) *lnk {
	w := *l
	w.targets = slices.Clone(l.targets)
	if len(w.data) < lnkHeader {
		return &w
	}
	for i := range w.strings {
		if w.flags()>>(lnkHasStrings+i)&1 == 0 {
			continue
		}
		n := w.number(2)
		if i < lnkArguments && n > lnkPath {
			w.long = true
			if paths {
				n = lnkPath
			}
		}
		if w.flags()&lnkIsUnicode != 0 {
			w.strings[i] = lnkWide(w.take(2 * n))
		} else {
			w.strings[i] = lnkText(w.take(n))
		}
	}
	w.extra()
	return &w
}

// members are what is handed out of a shortcut that was read.
func (l *lnk) members() (list []member) {
	if text := l.text(); text != "" {
		list = append(list, member{name: "shortcut.txt", data: []byte(text)})
	}
	list = append(list, l.blocks...)
	if rest := bytes.TrimLeft(l.data[l.at:], "\x00"); len(rest) > 0 {
		list = append(list, member{name: "appended", data: rest})
	}
	return list
}

// lnkText decodes a text of a code page that is not told.
func lnkText(raw []byte) string {
	if !utf8.Valid(raw) {
		if text, err := japanese.ShiftJIS.NewDecoder().Bytes(raw); err == nil {
			raw = text
		}
	}
	return string(bytes.ToValidUTF8(raw, []byte("?")))
}

// lnkWide decodes UTF-16.
func lnkWide(raw []byte) string {
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(raw[2*i:])
	}
	return string(utf16.Decode(units))
}

// info reads where the target is (section 2.3): on a drive or in the network, and
// what comes behind that.
func (l *lnk) info(b []byte) {
	const unicode = 0x24 // a header of this length has offsets of texts in UTF-16
	le := binary.LittleEndian
	if len(b) < 0x1c {
		return
	}
	text := func(at, field int) string {
		if at < 0x1c || at >= len(b) {
			return ""
		}
		if field >= 0x1c {
			return wideName(b[at:])
		}
		end := bytes.IndexByte(b[at:], 0)
		if end < 0 {
			end = len(b) - at
		}
		return decodeName(b[at : at+end])
	}
	offset := func(field int) int { return int(le.Uint32(b[field:])) }
	l.target(text(offset(0x10), 0x10) + text(offset(0x18), 0x18))
	if offset(0x04) >= unicode && len(b) >= unicode {
		l.target(text(offset(0x1c), 0x1c) + text(offset(0x20), 0x20))
	}
	if net := offset(0x14); net > 0 && net+0x14 <= len(b) {
		name := net + int(min(le.Uint32(b[net+8:]), uint32(len(b))))
		l.target(text(name, 0) + `\` + text(offset(0x18), 0x18))
	}
}

// target takes note of a path that the shortcut may lead to.
func (l *lnk) target(path string) {
	if path = strings.Trim(path, "\\\x00 "); path == "" {
		return
	}
	alike := func(other string) bool { return strings.EqualFold(other, path) }
	if !slices.ContainsFunc(l.targets, alike) {
		l.targets = append(l.targets, path)
	}
}

// lnkLongName is where, in the extension of an item of a folder, its long name
// stands, by the extension's version. This is published nowhere; libfwsi knows it.
var lnkLongName = map[uint16]int{3: 20, 4: 20, 5: 20, 6: 20, 7: 38, 8: 42, 9: 46}

// ids reads the list of items that leads to the target (section 2.2.1): a drive, and
// folders with a file in the end.
func (l *lnk) ids(b []byte) {
	le := binary.LittleEndian
	path := ""
	for len(b) >= 2 {
		size := int(le.Uint16(b))
		if size < 3 || size > len(b) {
			break
		}
		item := b[:size]
		b = b[size:]
		switch item[2] & 0x70 {
		case 0x20:
			if path = ""; size > 5 && item[4] == ':' {
				path = string(rune(item[3])) + ":"
			}
		case 0x30:
			path += `\` + lnkItemName(item)
		}
	}
	l.target(path)
}

// lnkItemName is the name of a file or folder, the long one when there is one.
func lnkItemName(item []byte) string {
	if i := bytes.Index(item, []byte("\x04\x00\xef\xbe")); i >= 4 {
		extension := item[i-4:]
		if at := lnkLongName[binary.LittleEndian.Uint16(extension[2:])]; at > 0 && at < len(extension) {
			if name := wideName(extension[at:]); name != "" {
				return name
			}
		}
	}
	const short = 14
	if len(item) <= short {
		return ""
	}
	if item[2]&4 != 0 {
		return wideName(item[short:])
	}
	name, _, _ := bytes.Cut(item[short:], []byte{0})
	return decodeName(name)
}

// extra reads the blocks of extra data. A length below four ends them (section 2.5).
func (l *lnk) extra() {
	for l.at < len(l.data) {
		start := l.at
		size := l.number(4)
		if size < 4 {
			return
		}
		if size > len(l.data)-start { // no block: it may be what is appended
			l.at, l.damage = start, errLNKCut
			return
		}
		l.block(l.take(size - 4))
	}
}

// block reads a block behind its length.
func (l *lnk) block(b []byte) {
	if len(b) < 4 {
		return
	}
	kind := binary.LittleEndian.Uint32(b)
	switch kind {
	case lnkEnvironment, lnkDarwin, lnkIconPath:
		text, _, _ := bytes.Cut(b[4:min(len(b), 4+lnkPath)], []byte{0})
		l.target(decodeName(text))
		l.target(wideName(b[min(len(b), 4+lnkPath):]))
	}
	size, known := lnkBlocks[kind]
	if !known || size > 0 && size != len(b)+4 {
		l.blocks = append(l.blocks, member{name: fmt.Sprintf("block-%08x", kind), data: b[4:]})
	}
}

// text is what the shortcut runs, and what else it says.
func (l *lnk) text() string {
	targets := l.targets
	if relative := l.strings[lnkRelative]; relative != "" {
		targets = append(targets, relative)
	}
	arguments := strings.TrimRight(l.strings[lnkArguments], "\x00")
	if len(targets) == 0 && arguments != "" {
		targets = []string{""}
	}
	var b strings.Builder
	for _, t := range targets {
		if arguments != "" {
			t = strings.TrimLeft(t+" "+arguments, " ")
		}
		b.WriteString(t + "\r\n")
	}
	for _, i := range []int{lnkFolder, lnkIcon, lnkName} {
		if s := strings.TrimRight(l.strings[i], "\x00"); s != "" {
			b.WriteString(s + "\r\n")
		}
	}
	return b.String()
}
