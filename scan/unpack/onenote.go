package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"path"
	"strings"
)

// oneNoteOpener opens OneNote's files, .one and .onetoc2 (MS-ONESTORE; section
// numbers are its own), for the files that are embedded in pages. OneNote finds
// those by lists of references; here all are found that have the mark of one, so
// that damage to the lists hides nothing. A package of such files, .onepkg, is a
// cabinet.
var oneNoteOpener = opener{name: "onenote", match: oneNoteMatch, entries: oneNoteEntries}

const (
	// How a section begins, and a table of contents (section 2.3.1).
	oneNoteSection = "\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d\xae\xb1\x53\x78\xd0\x29\x96\xd3"
	oneNoteTOC     = "\xa1\x2f\xff\x43\xd9\xef\x76\x4c\x9e\xe2\x10\xea\x57\x22\x76\x5f"

	// oneNoteFormat is where a GUID stands that tells the two formats apart: this
	// one, and that in which servers give sections (section 2.8).
	oneNoteFormat = 48

	oneNoteHeader = 1024
	oneNoteLength = 196 // in the header, of the file

	// What stands around an embedded file (section 2.6.13).
	oneNoteHead     = "\xe7\x16\xe3\xbd\x65\x26\x11\x45\xa4\xc4\x8d\x4d\x0b\x7a\x9e\xac"
	oneNoteFoot     = "\x22\xa7\xfb\x71\x79\x0f\x0b\x4a\xbb\x13\x89\x92\x56\x42\x6b\x24"
	oneNoteHeadSize = 36

	// oneNoteKey begins the key of a section with a password: all in it is
	// encrypted (section 2.5.19).
	oneNoteKey = "\x67\xa0\xd1\xda\x85\xa3\x6b\xfb"

	// oneNoteOverlap bounds how often the bytes of a file are handed out, on
	// average: embedded files may seem to lie in one another.
	oneNoteOverlap = 16
)

func oneNoteMatch(data []byte) bool {
	return hasMagic(data, 0, oneNoteSection) || hasMagic(data, 0, oneNoteTOC)
}

func oneNoteEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		r := &oneNoteReader{data: f.Data, left: oneNoteOverlap * int64(len(f.Data)), yield: yield}
		r.names = findOneNoteNames(f.Data)
		cells := hasMagic(f.Data, oneNoteFormat, cellFormat)
		if cells {
			r.cells()
		}
		for at := 0; !r.done; {
			i := bytes.Index(f.Data[at:], []byte(oneNoteHead))
			if i < 0 {
				break
			}
			at = r.object(at + i)
		}
		if !cells && oneNoteShort(f.Data) {
			r.emit(member{}, errOneNoteCut)
		}
		if bytes.Contains(f.Data, []byte(oneNoteKey)) {
			r.emit(member{}, ErrEncrypted)
		}
	}
}

// oneNoteShort reports whether a file is shorter than its header says it is, if it
// does (section 2.3.1).
func oneNoteShort(data []byte) bool {
	return len(data) < oneNoteHeader || binary.LittleEndian.Uint64(data[oneNoteLength:]) > uint64(len(data))
}

// oneNoteReader hands out what is embedded in one file.
type oneNoteReader struct {
	data  []byte
	names oneNoteNames
	count int
	foot  int   // offset of the footer that was found last, and 1
	left  int64 // bytes that may still be handed out

	yield func(member, error) bool
	done  bool
}

func (r *oneNoteReader) emit(m member, err error) {
	if !r.done {
		r.done = !r.yield(m, err)
	}
}

// object hands out the embedded file whose header is at an offset, and gives the
// offset from which the next one is looked for: behind it only when it is known
// to be opened by itself.
func (r *oneNoteReader) object(at int) int {
	start := at + oneNoteHeadSize
	r.count++
	if start > len(r.data) {
		r.file(at, nil, errOneNoteCut)
		return len(r.data)
	}
	body := r.data[start:]
	size := binary.LittleEndian.Uint64(r.data[at+len(oneNoteHead):])
	stated := size <= uint64(len(body))
	if stated && oneNoteEnds(body, int(size)) {
		r.file(at, body[:size:size], nil)
		if oneNoteMatch(body[:size]) {
			return start + int(size)
		}
		return start
	}
	foot := r.footer(start) - start
	switch {
	case !stated && foot < 0:
		r.file(at, body, errOneNoteCut)
	case !stated:
		r.file(at, body[:foot:foot], errOneNoteFoot)
	default:
		r.file(at, body[:size:size], errOneNoteFoot)
		if foot >= 0 && foot != int(size) {
			r.file(at, body[:foot:foot], nil)
		}
	}
	return start
}

var (
	errOneNoteCut  = fmt.Errorf("%w: cut short", ErrDamaged)
	errOneNoteFoot = fmt.Errorf("%w: no footer where the file ends", ErrDamaged)
)

// oneNoteEnds reports whether a footer stands behind so many bytes and padding.
func oneNoteEnds(body []byte, size int) bool {
	return bytes.Contains(body[size:min(len(body), size+7+len(oneNoteFoot))], []byte(oneNoteFoot))
}

// footer finds the first footer from an offset on, which never is less than it was
// before; -1 when there is none.
func (r *oneNoteReader) footer(from int) int {
	if at := r.foot - 1; at >= from {
		return at
	}
	i := bytes.Index(r.data[from:], []byte(oneNoteFoot))
	if i < 0 {
		r.foot = len(r.data) + 1
		return -1
	}
	r.foot = from + i + 1
	return from + i
}

// file hands out an embedded file whose header is at an offset.
func (r *oneNoteReader) file(at int, data []byte, err error) {
	if r.left -= int64(len(data)); r.left < 0 {
		r.emit(member{}, &LimitError{"overlap"})
		r.done = true
		return
	}
	r.emit(member{name: r.names.of(at, r.count), data: data}, err)
}

// oneNoteNames are the names of embedded files, as far as they are easily told:
// the names stand with the pages, and pages know files by GUIDs, with which only
// the ending of the name stands.
type oneNoteNames struct {
	names   []string
	endings map[int]string // by the offset of the file's header
}

// of gives a name for a file: the one that has its ending if only one has, or the
// only one that there is.
func (n oneNoteNames) of(at, count int) string {
	ending := n.endings[at]
	fits := ""
	for _, name := range n.names {
		if ending != "" && !strings.EqualFold(path.Ext(name), ending) {
			continue
		}
		if fits != "" && fits != name {
			fits = ""
			break
		}
		fits = name
	}
	if fits != "" {
		return fits
	}
	return fmt.Sprintf("file-%d%s", count, ending)
}

const (
	// maxOneNoteNames bounds the names, and the GUIDs, that are looked at.
	maxOneNoteNames = 64

	// oneNoteNear is within how many bytes behind its property's number a name is
	// looked for: those of the other properties stand between.
	oneNoteNear = 512
)

// Numbers of properties (MS-ONE, section 2.1.12): EmbeddedFileName and ImageFilename.
var oneNoteProperties = [][]byte{[]byte("\x9c\x1d\x00\x1c"), []byte("\xd7\x1d\x00\x1c")}

func findOneNoteNames(data []byte) oneNoteNames {
	n := oneNoteNames{endings: make(map[int]string)}
	for _, property := range oneNoteProperties {
		for at := range oneNoteFinds(data, property) {
			behind := at + len(property)
			if name := oneNoteName(data[behind:min(len(data), behind+oneNoteNear)]); name != "" {
				n.names = append(n.names, name)
			}
		}
	}
	for at := range oneNoteFinds(data, []byte(wideASCII("<ifndf>{"))) {
		guid, ending, ok := oneNoteEnding(data[at:])
		if !ok {
			continue
		}
		for place := range oneNoteFinds(data, guid) {
			if object, ok := oneNoteReference(data[:place]); ok && n.endings[object] == "" {
				n.endings[object] = ending
			}
		}
	}
	return n
}

// oneNoteFinds yields where what stands in data, the first maxOneNoteNames times.
func oneNoteFinds(data, what []byte) iter.Seq[int] {
	return func(yield func(int) bool) {
		at := 0
		for range maxOneNoteNames {
			i := bytes.Index(data[at:], what)
			if i < 0 || !yield(at+i) {
				return
			}
			at += i + len(what)
		}
	}
}

// wideASCII is a text of ASCII in UTF-16.
func wideASCII(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.Write([]byte{c, 0})
	}
	return b.String()
}

// oneNoteName finds the first text behind its length in bytes that can be the name
// of a file.
func oneNoteName(b []byte) string {
	for i := 0; i+4 < len(b); i++ {
		n := binary.LittleEndian.Uint32(b[i:])
		if n < 6 || n%2 != 0 || n > uint32(len(b)-i-4) {
			continue
		}
		text := b[i+4 : i+4+int(n)]
		if text[n-1] != 0 || text[n-2] != 0 {
			continue
		}
		name := wideName(text[:n-2])
		if strings.Contains(name, ".") && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '\uFFFD' }) {
			return windowsBase(name)
		}
	}
	return ""
}

// oneNoteEnding reads a reference to a file, "<ifndf>{GUID}" in UTF-16, and the
// ending behind its length in characters (section 2.5.27).
func oneNoteEnding(b []byte) (guid []byte, ending string, ok bool) {
	const size = 2 * len("<ifndf>{00000000-0000-0000-0000-000000000000}")
	if len(b) < size+4 {
		return nil, "", false
	}
	digits := strings.ReplaceAll(wideName(b[16:size-2]), "-", "")
	for i := 0; i+2 <= len(digits); i += 2 {
		r, ok := hexRune([]byte(digits[i:]), 2)
		if !ok {
			return nil, "", false
		}
		guid = append(guid, byte(r))
	}
	n := binary.LittleEndian.Uint32(b[size:])
	if len(guid) != 16 || n == 0 || n > 20 || int(n)*2 > len(b)-size-4 {
		return nil, "", false
	}
	guid = []byte{guid[3], guid[2], guid[1], guid[0], guid[5], guid[4], guid[7], guid[6], guid[8], guid[9], guid[10], guid[11], guid[12], guid[13], guid[14], guid[15]}
	ending = strings.TrimRight(wideName(b[size+4:size+4+int(n)*2]), "\x00")
	return guid, ending, strings.HasPrefix(ending, ".") && !strings.ContainsFunc(ending, func(r rune) bool { return r < ' ' })
}

// oneNoteReferenceNode is the number of the node in which a file's GUID stands
// behind the reference to the file (section 2.5.21).
const oneNoteReferenceNode = 0x94

// oneNoteReference reads the node that b ends with but for the GUID in it, and
// gives the offset that it refers to (sections 2.4.3 and 2.2.4.2). Of the forms
// of references those are known that are not compressed, or whose numbers are a
// multiple of eight.
func oneNoteReference(b []byte) (object int, ok bool) {
	le := binary.LittleEndian
	for form, stp := range []int{8, 4, 2, 4} {
		for sizes, cb := range []int{4, 8, 1, 2} {
			if len(b) < 4+stp+cb {
				continue
			}
			node := b[len(b)-4-stp-cb:]
			head := le.Uint32(node)
			if head&0x3ff != oneNoteReferenceNode || int(head>>23&3) != form || int(head>>25&3) != sizes {
				continue
			}
			switch form {
			case 0:
				object = int(le.Uint64(node[4:]))
			case 1:
				object = int(le.Uint32(node[4:]))
			case 2:
				object = int(le.Uint16(node[4:])) * 8
			case 3:
				object = int(le.Uint32(node[4:])) * 8
			}
			return object, true
		}
	}
	return 0, false
}
