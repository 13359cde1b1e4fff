package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Sections as servers give them: objects in a stream (MS-ONESTORE, section 2.8;
// MS-FSSHTTPB, whose section numbers follow). Each begins with its type and its
// length, and may have others behind it, up to a mark of its end.

const (
	cellFormat = "\x2f\xe9\x8d\x63\xd4\xa6\xc1\x4b\x9a\x36\xb3\xfc\x25\x11\xa5\xb7"
	cellStart  = 68 // of the first object, in most files

	// Types of objects (section 2.2.1.5).
	cellBlob      = 0x02 // an embedded file
	cellObject    = 0x16 // data of another object, perhaps an embedded file
	cellPackaging = 0x7a // the outermost

	// cellPackage is how the outermost object begins, but for its length.
	cellPackage = "\xd6\x03"

	// cellLeast and cellMost bound the length of its own bytes: two GUIDs, and a
	// number of one to five bytes.
	cellLeast, cellMost = 33, 37

	// cellPackages is how many outermost objects are tried.
	cellPackages = 100
)

// cells hands out what is embedded in a file of this form.
func (r *oneNoteReader) cells() {
	err := fmt.Errorf("%w: no objects", ErrDamaged)
	at := 0
	for range cellPackages {
		i := bytes.Index(r.data[at:], []byte(cellPackage))
		if i < 0 || r.done {
			break
		}
		at += i
		if kind, size, head := cellHead(r.data[at:]); kind == cellPackaging && head == 4 && size >= cellLeast && size <= cellMost {
			if err = r.packaging(at); err == nil {
				break
			}
		}
		at += len(cellPackage)
	}
	if err != nil {
		r.emit(member{}, err)
	}
}

var errCells = fmt.Errorf("%w: objects", ErrDamaged)

// packaging reads objects up to the end of the one at an offset.
func (r *oneNoteReader) packaging(at int) error {
	for depth := 0; !r.done; {
		b := r.data[at:]
		if len(b) < 2 {
			return errCells
		}
		if b[0]&1 != 0 { // an end; its mark has one byte or two
			at += 1 + int(b[0]>>1&1)
			if depth--; depth == 0 {
				return nil
			}
			continue
		}
		kind, size, head := cellHead(b)
		if head == 0 {
			return errCells
		}
		if b[0]&4 != 0 {
			depth++
		} else if depth == 0 {
			return errCells
		}
		body := b[head:]
		cut := size > uint64(len(body))
		if !cut {
			body = body[:size]
		}
		r.cell(at, kind, body)
		if cut {
			return errCells
		}
		at += head + len(body)
	}
	return nil
}

// cellHead reads what stands before an object (sections 2.2.1.5.1 and 2.2.1.5.2);
// head is the length of that, 0 when it is cut short.
func cellHead(b []byte) (kind int, size uint64, head int) {
	switch {
	case len(b) < 2:
		return 0, 0, 0
	case b[0]&3 == 0:
		v := binary.LittleEndian.Uint16(b)
		return int(v >> 3 & 0x3f), uint64(v >> 9), 2
	case len(b) < 4:
		return 0, 0, 0
	}
	v := binary.LittleEndian.Uint32(b)
	kind, size, head = int(v>>3&0x3fff), uint64(v>>17), 4
	if size == 1<<15-1 {
		var n int
		if size, n = cellNumber(b[4:]); n == 0 {
			return 0, 0, 0
		}
		head += n
	}
	return kind, size, head
}

// cellNumber reads a number (section 2.2.1.1): the zeros that the first byte ends
// with say how many bytes it has. n is 0 when it is cut short.
func cellNumber(b []byte) (v uint64, n int) {
	if len(b) == 0 || b[0] == 0 {
		return 0, len(b[:min(len(b), 1)])
	}
	zeros := uint(0)
	for b[0]>>zeros&1 == 0 {
		zeros++
	}
	n = int(zeros) + 1
	if zeros == 7 {
		n = 9
	}
	if len(b) < n {
		return 0, 0
	}
	for i := n - 1; i >= 0; i-- {
		if zeros == 7 && i == 0 {
			return v, n
		}
		v = v<<8 | uint64(b[i])
	}
	return v >> (zeros + 1), n
}

// cell hands out what is in an object.
func (r *oneNoteReader) cell(at, kind int, body []byte) {
	switch kind {
	case cellBlob:
	case cellObject:
		body = cellLists(body)
	default:
		return
	}
	size, n := cellNumber(body)
	if n == 0 {
		return
	}
	body = body[n:]
	var err error
	if size > uint64(len(body)) {
		err = errOneNoteCut
	} else {
		body = body[:size]
	}
	if kind == cellObject && worthOf(body[:min(len(body), hiddenHead)]) == noise {
		return // properties
	}
	r.count++
	r.file(at, body, err)
}

// cellLists passes over the two lists of what an object refers to: of other
// objects by one identifier each, of cells by two (section 2.2.1.12.6.4).
func cellLists(b []byte) []byte {
	for _, each := range []uint64{1, 2} {
		count, n := cellNumber(b)
		b = b[n:]
		if n == 0 || count > uint64(len(b)) {
			return nil
		}
		for range count * each {
			n := cellIdentifier(b)
			if n == 0 {
				return nil
			}
			b = b[n:]
		}
	}
	return b
}

// cellIdentifier is the length of an identifier: a number, whose form its first byte
// tells, and a GUID (section 2.2.1.7); 0 when there is none.
func cellIdentifier(b []byte) int {
	const guid = 16
	n := 0
	switch {
	case len(b) == 0:
		return 0
	case b[0] == 0:
		return 1
	case b[0]&7 == 4:
		n = 1 + guid
	case b[0]&0x3f == 0x20:
		n = 2 + guid
	case b[0]&0x7f == 0x40:
		n = 3 + guid
	case b[0] == 0x80:
		n = 5 + guid
	}
	if n > len(b) {
		return 0
	}
	return n
}
