package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"golang.org/x/text/encoding/unicode"
)

// tnefOpener opens winmail.dat, in which Outlook sends what MIME has no place for:
// the attachments, the body in its own formats, and messages within the message.
// Section numbers are those of MS-OXTNEF.
var tnefOpener = opener{name: "tnef", match: tnefMatch, entries: tnefEntries}

const (
	tnefMagic     = "\x78\x9f\x3e\x22" // section 2.1.3.1
	tnefHeader    = 6                  // the magic number and a key
	tnefAttribute = 9                  // level, type and name, length; a checksum follows the data
)

// Attributes by type and name (section 2.1.2).
const (
	tnefOemCodepage   = 0x00069007
	tnefBody          = 0x0002800c
	tnefMAPIProps     = 0x00069003
	tnefRenddata      = 0x00069002 // an attachment begins
	tnefAttachTitle   = 0x00018010
	tnefAttachData    = 0x0006800f
	tnefAttachMeta    = 0x00068011 // a picture that stands for it
	tnefTransportName = 0x00069001
	tnefAttachment    = 0x00069005 // the properties of an attachment
)

func tnefMatch(data []byte) bool {
	return len(data) >= tnefHeader && string(data[:len(tnefMagic)]) == tnefMagic
}

// tnefReader reads one stream.
type tnefReader struct {
	data     []byte
	at       int
	page     uint32 // code page of names in 8 bits
	begun    bool   // an attachment
	attached tnefFile
	restarts int
	wrong    bool // a wrong checksum has been told

	yield func(member, error) bool
	done  bool
}

// tnefFile is an attachment: what has been read of it so far.
type tnefFile struct {
	names    [tnefNames]string // the best first
	contents [][]byte
}

// The places where the name of an attachment may stand.
const (
	tnefLongName = iota
	tnefTitle
	tnefShortName
	tnefDisplayName
	tnefTransport
	tnefNames
)

func tnefEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		t := &tnefReader{data: f.Data, at: tnefHeader, yield: yield}
		if len(t.data) == tnefHeader {
			t.damaged("cut short")
		}
		for !t.done && t.at < len(t.data) {
			t.next()
		}
		t.flush()
	}
}

// next reads one attribute.
func (t *tnefReader) next() {
	rest := t.data[t.at:]
	level := rest[0]
	switch {
	case level != 1 && level != 2:
		t.search("no attribute where one should be")
		return
	case len(rest) < tnefAttribute:
		t.at = len(t.data)
		t.damaged("cut short")
		return
	}
	le := binary.LittleEndian
	id, size := le.Uint32(rest[1:]), int64(le.Uint32(rest[5:]))
	body := rest[tnefAttribute:]
	if size > int64(len(body)) {
		t.attribute(id, body)
		t.search("cut short")
		return
	}
	t.at += tnefAttribute + int(size)
	t.attribute(id, body[:size])
	if len(body) < int(size)+2 {
		t.at = len(t.data)
		t.damaged("cut short")
		return
	}
	t.at += 2
	if tnefChecksum(body[:size]) != le.Uint16(body[size:]) && !t.wrong {
		t.wrong = true
		t.damaged("wrong checksum")
	}
}

// tnefChecksum is the sum of all bytes (section 2.1.3.2).
func tnefChecksum(data []byte) (sum uint16) {
	for _, b := range data {
		sum += uint16(b)
	}
	return sum
}

// search tells of damage and looks for an attribute behind it: one of those that
// are of interest.
func (t *tnefReader) search(what string) {
	t.damaged(what)
	ids := []uint32{tnefRenddata, tnefAttachTitle, tnefAttachData, tnefAttachment, tnefMAPIProps, tnefBody}
	at := t.at + 1
	if t.restarts++; t.restarts > maxRestarts {
		at = len(t.data)
	}
	for ; at+tnefAttribute <= len(t.data); at++ {
		level, rest := t.data[at], t.data[at+1:]
		if (level == 1 || level == 2) && slices.Contains(ids, binary.LittleEndian.Uint32(rest)) &&
			int64(binary.LittleEndian.Uint32(rest[4:])) <= int64(len(rest)-8) {
			t.at = at
			return
		}
	}
	t.at = len(t.data)
}

// attribute takes what an attribute tells.
func (t *tnefReader) attribute(id uint32, data []byte) {
	switch id {
	case tnefOemCodepage:
		if len(data) >= 4 {
			t.page = binary.LittleEndian.Uint32(data)
		}
	case tnefBody:
		t.emit(member{name: "body.txt", data: notNil(bytes.TrimRight(data, "\x00"))}, nil)
	case tnefMAPIProps:
		t.properties(data, t.messageProperty)
	case tnefRenddata:
		t.flush()
		t.begun = true
	case tnefAttachTitle:
		t.attached.names[tnefTitle] = t.text(data)
	case tnefTransportName:
		t.attached.names[tnefTransport] = t.text(data)
	case tnefAttachMeta:
		t.emit(member{name: "picture.wmf", data: notNil(data)}, nil)
	case tnefAttachData:
		t.attached.contents = append(t.attached.contents, notNil(data))
	case tnefAttachment:
		t.properties(data, t.fileProperty)
	}
}

// notNil gives data that are there, be they none.
func notNil(data []byte) []byte {
	if data == nil {
		return []byte{}
	}
	return data
}

// flush hands out the attachment that has been read.
func (t *tnefReader) flush() {
	a, begun := t.attached, t.begun
	t.attached, t.begun = tnefFile{}, false
	name := "attachment"
	if i := slices.IndexFunc(a.names[:], func(name string) bool { return name != "" }); i >= 0 {
		name = a.names[i]
	}
	if begun && len(a.contents) == 0 {
		t.emit(member{name: name}, fmt.Errorf("%w: attachment without data", ErrDamaged))
	}
	for i, content := range a.contents {
		same := func(other []byte) bool { return bytes.Equal(other, content) }
		if i < 4 && slices.ContainsFunc(a.contents[:i], same) {
			continue // the attribute and the property
		}
		t.emit(member{name: name, data: content}, nil)
	}
}

// text decodes a name in 8 bits.
func (t *tnefReader) text(raw []byte) string {
	raw, _, _ = bytes.Cut(raw, []byte{0})
	return decodePage(raw, t.page)
}

// tnefProperty is a property as MAPI knows it.
type tnefProperty struct {
	id, kind uint16
	value    []byte
}

// Properties (MS-OXPROPS), their identifiers alone.
const (
	mapiBody           = 0x1000
	mapiRTFCompressed  = 0x1009
	mapiHTML           = 0x1013
	mapiDisplayName    = 0x3001
	mapiAttachData     = 0x3701
	mapiAttachFilename = 0x3704
	mapiAttachLongName = 0x3707
)

// Types of properties (MS-OXCDATA, section 2.11.1).
const (
	mapiString8  = 0x001e
	mapiString   = 0x001f
	mapiObject   = 0x000d
	mapiBinary   = 0x0102
	mapiMultiple = 0x1000
)

// messageProperty hands out the bodies of the message.
func (t *tnefReader) messageProperty(p tnefProperty) {
	name := ""
	switch p.id {
	case mapiBody:
		name = "body.txt"
	case mapiHTML:
		name = "body.html"
	case mapiRTFCompressed:
		r, size := lzfuReader(p.value)
		t.emit(member{name: "body.rtf", body: r, size: size}, nil)
		return
	default:
		return
	}
	if p.kind == mapiString {
		decoder := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewDecoder()
		t.emit(member{name: name, body: decoder.Reader(bytes.NewReader(p.value)), size: int64(len(p.value))}, nil)
		return
	}
	t.emit(member{name: name, data: notNil(p.value)}, nil)
}

// fileProperty takes what a property tells of an attachment.
func (t *tnefReader) fileProperty(p tnefProperty) {
	names := map[uint16]int{mapiAttachLongName: tnefLongName, mapiAttachFilename: tnefShortName, mapiDisplayName: tnefDisplayName}
	if i, ok := names[p.id]; ok {
		switch p.kind {
		case mapiString:
			t.attached.names[i] = wideName(p.value)
		case mapiString8:
			t.attached.names[i] = t.text(p.value)
		}
		return
	}
	if p.id != mapiAttachData {
		return
	}
	content := p.value
	bare := bytes.HasPrefix(content, []byte(tnefMagic)) || bytes.HasPrefix(content, []byte(ole1Magic))
	if p.kind == mapiObject && len(content) >= 16 && !bare {
		// The interface that the object has: IMessage, and a stream of this format
		// follows; IStorage, and a compound file does (section 2.1.3.4.2).
		content = content[16:]
	}
	t.attached.contents = append(t.attached.contents, notNil(content))
}

// properties reads a list of properties (section 2.1.3.4). It goes on behind
// their stated number while there are more.
func (t *tnefReader) properties(data []byte, take func(tnefProperty)) {
	l := tnefList{data: data}
	count := l.number()
	for i := uint32(0); !t.done && len(l.data) > 0 && !l.cut; i++ {
		l.property(take)
		if l.cut && i >= count {
			return // padding, or something else
		}
		if len(l.data) == 0 && i+1 < count {
			l.cut = true
		}
	}
	if l.cut {
		t.damaged("properties")
	}
}

// tnefList is what is left of a list of properties.
type tnefList struct {
	data []byte
	cut  bool // it ended within a property, or one is of an unknown type
}

// take gives n bytes, and passes over what pads them to a multiple of four.
func (l *tnefList) take(n int64) []byte {
	if n > int64(len(l.data)) {
		l.cut = true
		n = int64(len(l.data))
	}
	b := l.data[:n:n]
	l.data = l.data[min(int64(len(l.data)), (n+3)/4*4):]
	return b
}

func (l *tnefList) number() uint32 {
	if b := l.take(4); !l.cut {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// property reads a property with all its values.
func (l *tnefList) property(take func(tnefProperty)) {
	tag := l.number()
	p := tnefProperty{id: uint16(tag >> 16), kind: uint16(tag)}
	if p.id >= 0x8000 { // a named property: a set, and a number or a name in it
		l.take(16)
		if l.number() == 0 {
			l.take(4)
		} else {
			l.take(int64(l.number()))
		}
		p.id = 0 // none of those that matter here
	}
	kind := p.kind &^ mapiMultiple
	size := mapiSize(kind)
	n := uint32(1)
	if p.kind != kind || size < 0 {
		n = l.number()
	}
	p.kind = kind
	if size >= 0 {
		l.take(size * int64(n))
		return
	}
	for ; n > 0 && !l.cut; n-- {
		if kind != mapiString8 && kind != mapiString && kind != mapiObject && kind != mapiBinary {
			l.cut = true
			return
		}
		p.value = l.take(int64(l.number()))
		if !l.cut || len(p.value) > 0 {
			take(p)
		}
	}
}

// mapiSize is the size of a value, with its padding; -1 when it stands before it.
func mapiSize(kind uint16) int64 {
	switch kind {
	case 1: // null
		return 0
	case 2, 3, 4, 0xa, 0xb: // integers of 16 and 32 bits, float, error, boolean
		return 4
	case 5, 6, 7, 0x14, 0x40: // double, currency, times, integer of 64 bits
		return 8
	case 0x48: // GUID
		return 16
	}
	return -1
}

// damaged tells of damage to the stream.
func (t *tnefReader) damaged(what string) {
	t.emit(member{}, fmt.Errorf("%w: %s", ErrDamaged, what))
}

// emit hands out a member, or what is wrong with it.
func (t *tnefReader) emit(m member, err error) {
	if !t.done {
		t.done = !t.yield(m, err)
	}
}
