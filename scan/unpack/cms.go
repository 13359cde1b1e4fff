package unpack

import (
	"bytes"
	"cmp"
	"compress/bzip2"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/klauspost/compress/zlib"
)

// cmsOpener opens what S/MIME is made of: the Cryptographic Message Syntax (RFC
// 5652), PKCS #7 before it (RFC 2315), and compressed data (RFC 3274), in DER, in
// BER, and as text (RFC 7468). Signatures are not verified, and certificates are no
// objects. Of a signature that stands apart from what it signs nothing is told.
var cmsOpener = opener{name: "cms", match: cmsMatch, entries: cmsEntries}

// The object identifiers under which the types of content are: pkcs-7, and ct of
// S/MIME.
const (
	cmsPKCS7 = "\x2a\x86\x48\x86\xf7\x0d\x01\x07"             // 1.2.840.113549.1.7
	cmsSMIME = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01"     // 1.2.840.113549.1.9.16.1
	cmsZlib  = "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x03\x08" // 1.2.840.113549.1.9.16.3.8
)

// cmsKind is how a type of content is opened.
type cmsKind int

const (
	cmsUnknown cmsKind = iota
	cmsData
	cmsWrapped    // fields around the content: signed, digested, authenticated data
	cmsCompressed // the same, and the content is compressed
	cmsEncrypted
	cmsNested // another ContentInfo (RFC 5652, section 3)
	cmsMany   // one or more of them, in a sequence (RFC 4073)
)

// cmsKinds are the types of content, by the last arc of their object identifier.
var (
	cmsKindsPKCS7 = map[byte]cmsKind{1: cmsData, 2: cmsWrapped, 3: cmsEncrypted, 4: cmsEncrypted, 5: cmsWrapped, 6: cmsEncrypted}
	cmsKindsSMIME = map[byte]cmsKind{2: cmsWrapped, 6: cmsNested, 9: cmsCompressed, 19: cmsMany, 20: cmsMany, 23: cmsEncrypted}
)

// cmsKindOf gives the type of content that an object identifier stands for.
func cmsKindOf(oid []byte) cmsKind {
	if arc, ok := bytes.CutPrefix(oid, []byte(cmsPKCS7)); ok && len(arc) == 1 {
		return cmsKindsPKCS7[arc[0]]
	}
	if arc, ok := bytes.CutPrefix(oid, []byte(cmsSMIME)); ok && len(arc) == 1 {
		return cmsKindsSMIME[arc[0]]
	}
	return cmsUnknown
}

// cmsLabels are those of armour that holds CMS (RFC 7468, sections 8 and 9), and
// what was used before that.
var cmsLabels = []string{"PKCS7", "CMS", "PKCS #7"}

func cmsMatch(data []byte) bool {
	if isCMS(data) || isCMS(bareBase64(data)) {
		return true
	}
	for a := range armours(data, cmsLabels...) {
		if isCMS(a.head(64)) {
			return true
		}
	}
	return false
}

// isCMS reports whether data begins with a ContentInfo of a type that is known.
func isCMS(data []byte) bool {
	if len(data) == 0 || data[0] != berSequence {
		return false
	}
	info, ok := cmsInfoAt(data, 0)
	return ok && cmsKindOf(info.oid) != cmsUnknown
}

// bareBase64 decodes the head of CMS in base64 without armour, as it comes when
// it was encoded once too often; nil when data cannot be that.
func bareBase64(data []byte) []byte {
	const sequence = "MI" // 0x30 and a length of more than an octet, or an indefinite one
	text := bytes.TrimLeft(data[:min(len(data), 128)], " \t\r\n")
	if !bytes.HasPrefix(text, []byte(sequence)) {
		return nil
	}
	head := make([]byte, 64)
	n, _, _ := fill(bareReader(text), head, 0)
	return head[:n]
}

func bareReader(text []byte) io.Reader {
	return base64.NewDecoder(base64.RawStdEncoding, &armourText{text: text, bare: true})
}

func cmsEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		c := &cmsReader{data: f.Data, yield: yield}
		c.name = nameLess(f.Name, ".p7m", "", ".p7s", "", ".p7c", "", ".p7b", "", ".p7z", "", ".p7", "", ".cms", "", ".pem", "", ".der", "", ".b64", "")
		c.name = cmp.Or(c.name, noName)
		if isCMS(bareBase64(f.Data)) {
			c.emit(member{name: c.name, body: bareReader(f.Data)}, nil)
		}
		for at := 0; !c.done && isCMS(f.Data[at:]); {
			info, _ := cmsInfoAt(f.Data, at)
			c.info(info)
			e, _ := berAt(f.Data, at)
			end, whole := e.after(f.Data)
			if !whole {
				break
			}
			at = end // of those that are joined the next one
		}
		for a := range armours(f.Data, cmsLabels...) {
			if c.done {
				return
			}
			if isCMS(a.head(64)) {
				c.emit(member{name: c.name, body: a.reader()}, nil)
			}
		}
	}
}

// cmsReader reads the content of a file.
type cmsReader struct {
	data  []byte
	name  string // of the members
	head  entityHead
	yield func(member, error) bool
	done  bool // nobody wants more
}

// cmsInfo is a ContentInfo or an EncapsulatedContentInfo: what type the content
// is of, and the content, behind a tag [0].
type cmsInfo struct {
	start   int
	element berElement
	oid     []byte
	content berElement
	has     bool // there is content
	whole   bool // if not, that may be for want of data
}

// cmsInfoAt reads the element at the given offset as a ContentInfo. ok is false
// when it does not begin like one.
func cmsInfoAt(data []byte, at int) (info cmsInfo, ok bool) {
	e, ok := berAt(data, at)
	if !ok || e.tag != berSequence {
		return info, false
	}
	fields := e.within(data)
	oid, ok := fields.next()
	if !ok || oid.tag != berOID || oid.end > len(data) {
		return info, false
	}
	info = cmsInfo{start: at, element: e, oid: oid.bytes(data)}
	fields.skip(oid)
	info.content, ok = fields.next()
	info.has = ok && info.content.tag&^berConstructed == berContext0
	info.whole = ok || fields.whole
	return info, true
}

// info hands out what is in a ContentInfo.
func (c *cmsReader) info(info cmsInfo) {
	kind := cmsKindOf(info.oid)
	switch {
	case kind == cmsEncrypted:
		c.emit(member{name: c.name}, fmt.Errorf("%w: the recipient's key is needed", ErrEncrypted))
	case !info.has && info.whole: // nothing to open
	case !info.has:
		c.emit(member{}, errCutShort)
	case kind == cmsNested:
		c.nested(info.content)
	case kind == cmsMany:
		c.many(info.content)
	case kind == cmsWrapped, kind == cmsCompressed:
		c.wrapped(info.content, kind == cmsCompressed)
	default:
		c.content(info, false)
	}
}

// nested hands out a ContentInfo that is the content of another.
func (c *cmsReader) nested(content berElement) {
	list := content.within(c.data)
	if e, ok := list.next(); ok {
		c.raw(list.at, e)
	} else {
		c.broken(list)
	}
}

// many hands out those that are in a sequence, each of which is opened for itself.
func (c *cmsReader) many(content berElement) {
	outer := content.within(c.data)
	sequence, ok := outer.next()
	if !ok {
		c.broken(outer)
		return
	}
	list := sequence.within(c.data)
	for e, ok := list.next(); ok && !c.done; e, ok = list.next() {
		if isCMS(c.data[list.at:]) {
			c.raw(list.at, e)
		}
		list.skip(e)
	}
	c.broken(list)
}

// wrapped looks for the content among the fields of signed data and its like:
// the first sequence that begins with a type and goes on with [0] (RFC 5652,
// sections 5.1, 7, 9.1; RFC 3274, section 1.1). There may be none: a signature by itself.
func (c *cmsReader) wrapped(content berElement, compressed bool) {
	outer := content.within(c.data)
	sequence, ok := outer.next()
	if !ok || sequence.tag != berSequence {
		c.broken(outer)
		return
	}
	fields, known := sequence.within(c.data), true
	for e, ok := fields.next(); ok; e, ok = fields.next() {
		info, is := cmsInfoAt(c.data, fields.at)
		switch {
		case is && info.has:
			if compressed && !known {
				c.emit(member{name: c.name}, fmt.Errorf("%w: compression", ErrUnsupported))
				return
			}
			c.content(info, compressed)
			return
		case is: // an algorithm
			known = string(info.oid) == cmsZlib
		}
		fields.skip(e)
	}
	c.broken(fields)
}

// broken tells that a list ended where it should not have.
func (c *cmsReader) broken(l *berList) {
	if !l.whole {
		c.emit(member{}, errCutShort)
	}
}

// content hands out the content itself. PKCS #7 has anything for it, CMS a string
// of octets.
func (c *cmsReader) content(info cmsInfo, compressed bool) {
	if info.content.tag == berContext0 { // the string's own tag left out
		c.octets(info, compressed)
		return
	}
	list := info.content.within(c.data)
	e, ok := list.next()
	switch {
	case !ok:
		c.broken(list) // or nothing to open
	case e.tag&^berConstructed == berOctetString:
		c.octets(info, compressed)
	case cmsKindOf(info.oid) != cmsUnknown:
		c.raw(info.start, info.element)
	default:
		c.raw(list.at, e)
	}
}

// A ContentInfo around content that stands for itself.
const (
	cmsInfoStart = "\x30\x80"         // and the type
	cmsInfoOpen  = "\xa0\x80"         // [0]
	cmsInfoEnd   = "\x00\x00\x00\x00" // of both
)

// octets hands out a string of octets. When it is CMS itself it has no type with
// it, and would not be known again without.
func (c *cmsReader) octets(info cmsInfo, compressed bool) {
	open := func() io.Reader { return info.content.octets(c.data) }
	if compressed {
		packed := open
		open = func() io.Reader { return inflated(packed()) }
	}
	head := c.head.of(open())
	m := member{name: entityName(c.name, head)}
	kind := cmsKindOf(info.oid)
	piece, whole := info.content.onePiece(c.data)
	switch {
	case kind > cmsData && !isCMS(head):
		start := cmsInfoStart + string([]byte{berOID, byte(len(info.oid))}) + string(info.oid) + cmsInfoOpen
		m.body = io.MultiReader(strings.NewReader(start), open(), strings.NewReader(cmsInfoEnd))
	case whole && !compressed:
		m.data = piece
	default:
		m.body = open()
	}
	c.emit(m, nil)
}

// raw hands out an element as it is, header and all.
func (c *cmsReader) raw(start int, e berElement) {
	end, whole := e.after(c.data)
	m := member{name: c.name, data: c.data[start:min(end, len(c.data))]}
	if !whole {
		c.emit(m, errCutShort)
		return
	}
	c.emit(m, nil)
}

// emit hands out a member, or what is wrong with it.
func (c *cmsReader) emit(m member, err error) {
	if !c.done {
		c.done = !c.yield(m, err)
	}
}

// noName is what is in a text or a body that goes by no name.
const noName = "message"

// entityHead holds how a member begins, to tell whether it is a MIME entity.
type entityHead struct{ buffer []byte }

// of reads it. It is good until the next one is read.
func (h *entityHead) of(r io.Reader) []byte {
	if h.buffer == nil {
		h.buffer = make([]byte, 64<<10)
	}
	n, _, _ := fill(r, h.buffer, 0)
	return h.buffer[:n]
}

// entityName gives the name for what S/MIME or PGP/MIME has in it: a mail program
// reads it as a MIME entity, by one field of its header alone if need be.
func entityName(name string, head []byte) string {
	const field = "content-"
	for line := range bytes.Lines(head) {
		if len(line) > len(field) && strings.EqualFold(string(line[:len(field)]), field) && !strings.HasSuffix(strings.ToLower(name), ".eml") {
			return name + ".eml"
		}
	}
	return name
}

// lateReader is a reader that is made when it is first read.
type lateReader struct {
	open func() (io.Reader, error)
	r    io.Reader
}

// Read implements io.Reader.
func (o *lateReader) Read(p []byte) (n int, err error) {
	if o.r == nil {
		if o.r, err = o.open(); err == io.EOF {
			return 0, errCutShort
		} else if err != nil {
			return 0, unpacking(err)
		}
	}
	n, err = o.r.Read(p)
	return n, unpacking(err)
}

// unpacking is the error of what reads compressed bytes.
func unpacking(err error) error {
	var invalid bzip2.StructuralError
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.As(err, &invalid) && invalid == "bad magic value in continuation file":
		return io.EOF // of bzip2; something else is behind it
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errCutShort
	case errors.Is(err, ErrDamaged), errors.Is(err, ErrLimit):
		return err
	}
	return fmt.Errorf("%w: %v", ErrDamaged, err)
}

// inflated unpacks zlib's format (RFC 1950).
func inflated(packed io.Reader) io.Reader {
	return &lateReader{open: func() (io.Reader, error) { return zlib.NewReader(packed) }}
}
