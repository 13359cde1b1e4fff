package unpack

import (
	"io"
	"strconv"

	"golang.org/x/text/encoding/unicode"
)

// msgPrefix begins the name of a stream that is the value of a property: eight
// hexadecimal digits follow, its identifier and its type (MS-OXMSG, section 2.4.2.1).
const msgPrefix = "__substg1.0_"

// msgNames is the storage of names of properties. Its streams are called like
// properties that they are not (section 2.2.3).
const msgNames = "__nameid_version1.0"

// property hands out the value of a property in a message of Outlook, when it is
// an attachment or a body.
func (r *oleReader) property(e *cfbEntry, s *cfbStream) {
	digits := e.name[min(len(msgPrefix), len(e.name)):]
	tag, _ := strconv.ParseUint(digits[:min(8, len(digits))], 16, 32) // 0 is none of these
	if e.parent >= 0 && r.entries[e.parent].name == msgNames {
		tag = 0
	}
	switch id := tag >> 16; id {
	case mapiAttachData:
		r.give(r.attachmentName(e.parent), s, 0, s.size)
	case mapiBody:
		r.text("body.txt", s, tag&0xffff)
	case mapiHTML:
		r.text("body.html", s, tag&0xffff)
	case mapiRTFCompressed:
		r.compressedRTF(s)
	default:
		r.look(plainName(e.name), s)
	}
}

// attachmentName finds the name of an attachment among its properties.
func (r *oleReader) attachmentName(storage int) string {
	for _, name := range []string{"3707001F", "3707001E", "3704001F", "3704001E", "3001001F", "3001001E"} {
		e := r.child(storage, msgPrefix+name)
		if e == nil {
			continue
		}
		raw := r.open(e).head(2 * maxName)
		if name[7] == 'F' {
			return wideName(raw)
		}
		return decodeName(raw)
	}
	return "attachment"
}

// text hands out a body.
func (r *oleReader) text(name string, s *cfbStream, kind uint64) {
	if kind != mapiString {
		r.give(name, s, 0, s.size)
		return
	}
	if r.spend(s.size); !r.done {
		decoder := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewDecoder()
		r.emit(member{name: name, body: decoder.Reader(io.NewSectionReader(s, 0, s.size)), size: s.size}, s.problem())
	}
}

// compressedRTF hands out the body as RTF.
func (r *oleReader) compressedRTF(s *cfbStream) {
	data, err := s.all()
	if err != nil {
		r.emit(member{name: "body.rtf"}, err)
		return
	}
	if r.spend(s.size); !r.done {
		body, size := lzfuReader(data)
		r.emit(member{name: "body.rtf", body: body, size: size}, s.problem())
	}
}
