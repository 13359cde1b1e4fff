package unpack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// arcOpener opens archives of ARC of System Enhancement Associates, of PKARC and
// PAK, and of Spark for RISC OS, which are like them. A member that was given a
// password looks like any other; that its checksum is wrong is all there is to see.
var arcOpener = opener{name: "arc", match: arcMatch, entries: arcEntries}

const (
	arcMark     = 0x1a
	arcNameSize = 13
	arcSize     = 29 // of a header
	arcOldSize  = 25 // of method 1, which lacks the length of what is unpacked
	arcSpark    = 0x80
	arcMore     = 12 // behind a header of Spark: addresses and attributes

	// arcStub is within how many bytes an archive begins that a program of MS-DOS
	// stands in front of: those were small.
	arcStub = 64 << 10

	arcEnd       = 0 // of the archive
	arcStoredOld = 1
	arcStored    = 2
	arcFolder    = 30 // an archive within, without the end of one
	arcFolderEnd = 31
)

func arcMatch(data []byte) bool { return arcStart(data) >= 0 }

// arcStart gives the offset of an archive, -1 where there is none.
func arcStart(data []byte) int {
	if _, sure, ok := parseARC(data, 0); ok && (sure || arcPlausible(data)) {
		return 0
	}
	if !bytes.HasPrefix(data, []byte("MZ")) {
		return -1
	}
	for at := range indexes(data[:min(len(data), arcStub)], "\x1a") {
		if h, sure, ok := parseARC(data, at); ok && sure && h.end < len(data) {
			return at
		}
	}
	return -1
}

// arcPlausible reports whether a first header that nothing follows makes sense: its
// name has the characters that names have, and its date is one.
func arcPlausible(b []byte) bool {
	name, _, _ := bytes.Cut(b[2:2+arcNameSize], []byte{0})
	for _, c := range name {
		if c <= ' ' || c == 0x7f || bytes.IndexByte([]byte(`"*/:<>?\|`), c) >= 0 {
			return false
		}
	}
	date, clock := binary.LittleEndian.Uint16(b[19:]), binary.LittleEndian.Uint16(b[21:])
	day, month := date&31, date>>5&15
	return day > 0 && month > 0 && month <= 12 && clock>>11 < 24 && clock>>5&63 < 60 && clock&31 < 30
}

// arcHeader is what stands in front of a member.
type arcHeader struct {
	method byte
	name   []byte
	packed []byte
	size   int64 // 0 when it is not said
	crc    uint16
	cut    bool // there are fewer packed bytes than it says
	end    int  // where the next header is
}

// parseARC reads the header at an offset. sure says that behind the member is
// another header, or the end of the data.
func parseARC(data []byte, at int) (h arcHeader, sure, ok bool) {
	b := data[min(at, len(data)):]
	if len(b) < arcOldSize || b[0] != arcMark {
		return h, false, false
	}
	h.method = b[1] &^ arcSpark
	name, _, ended := bytes.Cut(b[2:2+arcNameSize], []byte{0})
	if !arcKnown(b[1]) || h.method == arcEnd || h.method == arcFolderEnd || !ended || len(name) == 0 {
		return h, false, false
	}
	for _, c := range name {
		if c < ' ' {
			return h, false, false
		}
	}
	h.name = name
	le := binary.LittleEndian
	size := int64(le.Uint32(b[15:]))
	h.crc = le.Uint16(b[23:])
	head := arcOldSize
	if h.method != arcStoredOld {
		if head = arcSize; len(b) < head {
			return h, false, false
		}
		h.size = int64(le.Uint32(b[25:]))
	}
	if b[1]&arcSpark != 0 {
		head += arcMore
	}
	body := b[min(head, len(b)):]
	h.cut = size > int64(len(body))
	h.packed = body[:min(size, int64(len(body)))]
	h.end = len(data) - len(body) + len(h.packed)
	sure = !h.cut && (h.end == len(data) || data[h.end] == arcMark && (h.end+1 == len(data) || arcKnown(data[h.end+1])))
	return h, sure, true
}

// arcKnown reports whether programs have used a method: 20 to 22 is information
// about members or the archive.
func arcKnown(method byte) bool {
	m := method &^ arcSpark
	return m <= 11 || m >= 20 && m <= 22 || m == arcFolder || m == arcFolderEnd || method == 0xff
}

func arcEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		if at := arcStart(f.Data); at >= 0 {
			r := &arcReader{file: f, data: f.Data, yield: yield}
			r.read(at)
		}
	}
}

// arcReader reads one object.
type arcReader struct {
	file     File
	data     []byte
	yield    func(member, error) bool
	done     bool
	restarts int
	methods  arcMethods
}

// emit hands out a member, or what is wrong with it.
func (r *arcReader) emit(m member, err error) {
	if !r.done {
		r.done = !r.yield(m, err)
	}
}

// read reads one member after the other. Behind the end of an archive, and behind
// damage, the next header is looked for.
func (r *arcReader) read(at int) {
	for !r.done && at < len(r.data) {
		h, _, ok := parseARC(r.data, at)
		switch {
		case ok:
			r.member(&h)
			at = h.end
			continue
		case len(r.data)-at >= 2 && r.data[at] == arcMark && (r.data[at+1]&^arcSpark == arcEnd || r.data[at+1] == arcFolderEnd):
		default:
			r.emit(member{}, fmt.Errorf("%w: no header where one should be", ErrDamaged))
		}
		if at, ok = r.search(at + 1); !ok {
			return
		}
	}
}

// search finds a header that another one follows.
func (r *arcReader) search(at int) (int, bool) {
	if r.restarts++; r.restarts > maxRestarts {
		r.emit(member{}, &LimitError{"overlap"})
		return 0, false
	}
	for ; at < len(r.data); at++ {
		i := bytes.IndexByte(r.data[at:], arcMark)
		if i < 0 {
			break
		}
		at += i
		if _, sure, ok := parseARC(r.data, at); ok && sure {
			return at, true
		}
	}
	return 0, false
}

// member hands out a member.
func (r *arcReader) member(h *arcHeader) {
	m := member{name: decodeName(h.name), size: h.size}
	var problem error
	if h.cut {
		problem = errShort
	}
	if h.method == arcFolder || h.method >= 20 && h.method <= 22 {
		m.data = h.packed // an archive, or text
		r.emit(m, problem)
		return
	}
	body, err := r.methods.open(h.method, h.packed)
	checked := &arcChecked{r: body, size: h.size, want: h.crc}
	switch {
	case err != nil:
		problem = err
	case h.method == arcStored || h.method == arcStoredOld:
		m.data = h.packed
		if checked.right = arcCRC(0, h.packed) == h.crc; !checked.right && problem == nil {
			problem = errARCSum
		}
	default:
		m.body = checked
	}
	r.emit(m, problem)
	if !checked.right && !h.cut && !r.done && !errors.Is(err, ErrUnsupported) {
		r.garbled(h)
	}
}

// maxARCGarbled bounds the packed bytes of a member that passwords are tried on.
const maxARCGarbled = 16 << 20

// garbled tries passwords on a member whose checksum is wrong: they are repeated
// over its packed bytes.
func (r *arcReader) garbled(h *arcHeader) {
	if len(h.packed) == 0 || len(h.packed) > maxARCGarbled {
		return
	}
	plain := make([]byte, len(h.packed))
	for p := range r.file.passwords() {
		// On MS-DOS what stands in a command has large letters.
		if p != "" && (r.fits(h, p, plain) || r.fits(h, strings.ToUpper(p), plain)) {
			r.file.opened(p)
			r.emit(member{name: decodeName(h.name), size: h.size, body: r.checked(h, plain)}, nil)
			return
		}
	}
}

// fits undoes what a password has done to a member, and reports whether the
// checksum is right then.
func (r *arcReader) fits(h *arcHeader, password string, plain []byte) bool {
	for i, b := range h.packed {
		plain[i] = b ^ password[i%len(password)]
	}
	c := r.checked(h, plain)
	_, err := io.Copy(io.Discard, io.LimitReader(c, max(h.size, int64(len(plain)))+1))
	return err == nil && c.right
}

// checked unpacks and checks what a member's bytes were before they were garbled.
func (r *arcReader) checked(h *arcHeader, plain []byte) *arcChecked {
	body, err := r.methods.open(h.method, plain)
	if err != nil {
		body = bytes.NewReader(nil)
	}
	return &arcChecked{r: body, size: h.size, want: h.crc}
}
