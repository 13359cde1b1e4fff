package unpack

import (
	"bytes"
	"strconv"
)

// wspReader reads the binary encoding of header fields that phones use
// (WAP-230-WSP, section 8). What is not there is empty, and ok is false from then on.
type wspReader struct {
	data []byte
	ok   bool
}

// take gives the next n bytes.
func (w *wspReader) take(n int64) []byte {
	if n < 0 || n > int64(len(w.data)) {
		w.ok = false
		n = int64(len(w.data))
	}
	b := w.data[:n]
	w.data = w.data[n:]
	return b
}

// byte gives the next byte.
func (w *wspReader) byte() byte {
	if b := w.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// uintvar reads an integer of variable length (section 8.1.2), which is 32 bits
// long at most.
func (w *wspReader) uintvar() (n int64) {
	for range 5 {
		b := w.byte()
		n = n<<7 | int64(b&0x7f)
		if b&0x80 == 0 {
			return n
		}
	}
	w.ok = false
	return n
}

// text reads a string up to its zero, less the quote in front of it (section 8.4.2.1).
func (w *wspReader) text() []byte {
	end := bytes.IndexByte(w.data, 0)
	if end < 0 {
		w.ok = false
		end = len(w.data)
	}
	s := w.take(int64(end))
	w.data = w.data[min(1, len(w.data)):]
	if len(s) > 0 && (s[0] == '"' || s[0] == 0x7f) {
		s = s[1:]
	}
	return s
}

// name reads a value that names a file: a string, also when it begins with a
// letter that makes it a code by the rules and lacks the quote that it should have.
func (w *wspReader) name() []byte {
	if len(w.data) > 0 && w.data[0] >= 0x20 {
		return w.text()
	}
	return w.value().text
}

// wspValue is the value of a field in one of its forms (section 8.4.1.2).
type wspValue struct {
	code byte   // with its highest bit, 0 when the value has another form
	text []byte // a string
	data []byte // what stands behind a length
}

// value reads a value of any kind: its first byte tells how long it is.
func (w *wspReader) value() (v wspValue) {
	if len(w.data) == 0 {
		w.ok = false
		return v
	}
	switch first := w.data[0]; {
	case first >= 0x80:
		v.code = w.byte()
	case first >= 0x20:
		v.text = w.text()
	default:
		v.data = w.take(w.length())
	}
	return v
}

// length reads the length of a value (section 8.4.2.2).
func (w *wspReader) length() int64 {
	if n := w.byte(); n < 31 {
		return int64(n)
	}
	return w.uintvar()
}

// wspType is a content type with the parameters that name a file.
type wspType struct {
	code  byte // well-known, with its highest bit; 0 when it is text
	text  []byte
	names [][]byte
}

// Parameters (section A.3, table 38): those of WSP 1.1 and of 1.4.
const (
	wspName      = 0x80 | 0x05
	wspFilename  = 0x80 | 0x06
	wspName14    = 0x80 | 0x17
	wspFilename4 = 0x80 | 0x18
)

// contentType reads a content type (section 8.4.2.24), or a content disposition,
// which is written alike.
func (w *wspReader) contentType() (t wspType) {
	v := w.value()
	if v.data == nil {
		return wspType{code: v.code, text: v.text}
	}
	inner := wspReader{data: v.data, ok: w.ok}
	media := inner.value()
	t.code, t.text = media.code, media.text
	for len(inner.data) > 0 && inner.ok {
		key := inner.value()
		named := key.code == wspName || key.code == wspFilename || key.code == wspName14 || key.code == wspFilename4 ||
			bytes.EqualFold(key.text, []byte("name")) || bytes.EqualFold(key.text, []byte("filename"))
		if named {
			t.names = append(t.names, inner.name())
		} else {
			inner.value()
		}
	}
	return t
}

// plausible reports whether the type can be one.
func (t wspType) plausible() bool { return t.code != 0 || bytes.IndexByte(t.text, '/') > 0 }

// multipart reports whether what is of the type is a binary multipart: well-known
// types 0x0b to 0x0f, 0x22 to 0x26 and 0x33 (section A.3, table 40).
func (t wspType) multipart() bool {
	switch c := t.code &^ 0x80; {
	case t.code == 0:
		return bytes.Contains(bytes.ToLower(t.text[:min(len(t.text), 100)]), []byte("multipart"))
	default:
		return c >= 0x0b && c <= 0x0f || c >= 0x22 && c <= 0x26 || c == 0x33
	}
}

// Fields of a part (section A.3, table 39).
const (
	wspContentLocation    = 0x80 | 0x0e
	wspContentDisposition = 0x80 | 0x2e
	wspContentID          = 0x80 | 0x40
	wspDisposition14      = 0x80 | 0x45
)

// wspPart is an entry of a multipart (section 8.5).
type wspPart struct {
	kind  wspType
	names [][]byte // the likeliest first
	data  []byte
	size  int64 // that it is said to have
	sound bool  // its header makes sense
}

// part reads an entry.
func (w *wspReader) part() (p wspPart) {
	headers := w.uintvar()
	p.size = w.uintvar()
	h := wspReader{data: w.take(headers), ok: w.ok}
	if !w.ok || headers > mmsHead {
		return p
	}
	p.kind = h.contentType()
	p.names = p.kind.names
	var ids [][]byte
	for len(h.data) > 0 && h.ok {
		switch key := h.value(); {
		case key.code == wspContentDisposition || key.code == wspDisposition14:
			p.names = append(p.names, h.contentType().names...)
		case key.code == wspContentLocation || bytes.EqualFold(key.text, []byte("content-location")):
			p.names = append(p.names, h.name())
		case key.code == wspContentID || bytes.EqualFold(key.text, []byte("content-id")):
			ids = append(ids, bytes.Trim(h.name(), "<>"))
		default:
			h.value()
		}
	}
	if len(p.names) == 0 {
		p.names = ids // no name of a file, but better than none
	}
	p.sound = w.ok && h.ok && p.kind.plausible()
	p.data = w.data[:min(p.size, int64(len(w.data)))]
	w.take(p.size)
	return p
}

// named gives the names of a part, decoded: the first one, and those that end in
// another way. number names a part that has none.
func (p *wspPart) named(number int) (names []string) {
	for _, raw := range p.names {
		if name := decodeName(raw); name != "" && (len(names) == 0 || isNewName(names, name)) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		names = []string{"part" + strconv.Itoa(number)}
	}
	return names
}
