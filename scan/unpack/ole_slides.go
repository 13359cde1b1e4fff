package unpack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// pptObject is the type of records that hold an object: a compound file, mostly
// compressed (MS-PPT, sections 2.10.34 and 2.10.36). Also the macros are in one.
const pptObject = "\x11\x10"

// slides hands out the objects of a presentation. They are looked for by their
// type and what they begin with: then no length before them matters.
func (r *oleReader) slides(s *cfbStream) {
	r.spend(s.size)
	objects := 0
	s.search(pptObject, func(at int64) bool {
		var b [20]byte // length, unpacked length or content, content
		n, _ := s.ReadAt(b[:], at+2)
		size := int64(binary.LittleEndian.Uint32(b[:]))
		name := func() string { objects++; return fmt.Sprintf("object%d", objects) }
		switch content := at + 6; {
		case n >= 16 && string(b[4:12]) == ole1Magic:
			r.give(name(), s, content, min(size, s.size-content))
		case n >= 10 && b[8] == 0x78 && (int(b[8])<<8+int(b[9]))%31 == 0: // RFC 1950, section 2.2
			whole := int64(binary.LittleEndian.Uint32(b[4:]))
			packed := inflated(&charged{io.NewSectionReader(s, content+4, s.size-content-4), r})
			r.emit(member{name: name(), body: &unended{packed, whole}, size: whole}, nil)
		}
		return !r.done
	})
}

// currentUser tells of a presentation that is encrypted (MS-PPT, section 2.3.2).
func (r *oleReader) currentUser(s *cfbStream) {
	const token, encrypted = 12, 0xf3d1c4df
	if b := s.head(16); len(b) == 16 && binary.LittleEndian.Uint32(b[token:]) == encrypted {
		r.emit(member{name: "PowerPoint Document"}, fmt.Errorf("%w: presentation", ErrEncrypted))
	}
}

// charged takes what is read of r off the bytes that may be handed out: where it
// ends is only known then.
type charged struct {
	r io.Reader
	o *oleReader
}

// Read implements io.Reader.
func (c *charged) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.o.out -= int64(n); c.o.out < 0 {
		return 0, &LimitError{"overlap"}
	}
	return n, err
}

// unended reads what is compressed without a mark of its end: when whole bytes have
// been read, an error ends them. PowerPoint writes it.
type unended struct {
	r     io.Reader
	whole int64
}

// Read implements io.Reader.
func (e *unended) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if e.whole -= int64(n); err != nil && e.whole <= 0 && !errors.Is(err, ErrLimit) {
		err = io.EOF
	}
	return n, err
}
