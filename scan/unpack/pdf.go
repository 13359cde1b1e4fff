package unpack

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"iter"
)

// pdfOpener opens PDF documents (ISO 32000-1). Cross-reference tables are not
// believed: what begins as an object does is one, wherever it stands, so that
// older versions of a document, hidden objects and several documents in one file
// are all read.
//
// Handed out are embedded files, whatever refers to a stream as one; scripts, from
// streams and strings; and of the other streams those that begin as a file of a
// known kind, a script or markup does, whatever their labels say, or as nothing
// that is known. Passed over is the bulk of ordinary documents: what begins as
// the drawing operators of a page, a font, a colour profile or an image. No program
// takes a file out of those, and a script that is among them is found by what
// refers to it. Small ones are handed out all the same, 64 KiB of them, together
// with object streams, encoded strings and whatever else is short, as one object
// called "streams".
var pdfOpener = opener{name: "pdf", match: pdfMatch, entries: pdfEntries}

const (
	// pdfHead is within how many bytes the header stands, and before the end of
	// the file the last cross-reference (annex H.3, notes 13 and 18).
	pdfHead = 1 << 10

	// maxPDFObjects bounds the objects of a file.
	maxPDFObjects = 1 << 19

	// maxPDFID bounds the part of a file's identifier that keys are made of, in bytes.
	maxPDFID = 256

	// maxPDFKept bounds the bytes of object streams that are kept, maxPDFStream
	// those of one of them.
	maxPDFKept   = 64 << 20
	maxPDFStream = 16 << 20

	// pdfLookAt is how much of a stream is looked at to tell what it is, in bytes.
	pdfLookAt = 2 << 10

	// pdfJoined is how large "streams" grows before the next one is begun.
	pdfJoined = 1 << 20

	// pdfSample is how many bytes of the bulk are handed out.
	pdfSample = 64 << 10

	// pdfScript is the length in bytes from which a script is an object of its own:
	// the fields of a form have hundreds of shorter ones.
	pdfScript = 512

	// pdfLeast is the length in bytes from which a string is worth a look.
	pdfLeast = 8

	// pdfNoise is the length in bytes up to which a string that is no text is a
	// checksum or an identifier.
	pdfNoise = 32

	maxPDFNames    = 1 << 16
	maxPDFSecurity = 4
	maxPDFForms    = 16
	maxPDFParts    = 256 // of a form
)

func pdfMatch(data []byte) bool {
	head := data[:min(len(data), pdfHead)]
	if pdfBegins(head) {
		return true
	}
	tail := data[max(0, len(data)-pdfHead):]
	if !bytes.Contains(head, []byte("%PDF-")) && !bytes.Contains(tail, []byte("startxref")) && nextPDFObject(head, 0).at < 0 {
		return false
	}
	return nextPDFObject(data, 0).at >= 0
}

// pdfBegins reports whether a file begins with the header.
func pdfBegins(head []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(head[:min(len(head), 64)], "\xef\xbb\xbf \t\r\n\x00"), []byte("%PDF-"))
}

// pdfObject is where an object is.
type pdfObject struct {
	num, gen int32 // num is -1: it has no number that could be read
	text     int32 // which of pdfDoc.texts it is in
	before   int32 // the object with the same number before it; -1: none
	trailer  bool
	read     bool // handed out with others: an object stream, a part of a form
	at       int  // of its value, in the text
	start    int  // of its stream's bytes; 0: it is none
	end      int
}

// nextPDFObject finds the next "1 0 obj" from an offset on. Its at is -1 when
// there is none.
func nextPDFObject(data []byte, from int) pdfObject {
	for {
		i := bytes.Index(data[from:], []byte("obj"))
		if i < 0 {
			return pdfObject{at: -1}
		}
		i += from
		from = i + 3
		if i == 0 || data[i-1] == 'd' || from < len(data) && pdfRegular[data[from]] {
			continue
		}
		before := data[max(0, i-64):i]
		o, ok := pdfObjectBefore(before)
		if !ok && bytes.IndexByte(before, '%') >= 0 {
			o, ok = pdfObjectBefore(withoutComments(before))
		}
		if !ok && !pdfRegular[data[i-1]] && opensPDFValue(data[from:min(len(data), from+16)]) {
			o, ok = pdfObject{num: -1}, true
		}
		if ok {
			o.at = from
			return o
		}
	}
}

// pdfObjectBefore reads the numbers at the end of b, which stand before "obj".
func pdfObjectBefore(b []byte) (o pdfObject, ok bool) {
	b, gen, ok := lastPDFNumber(b)
	if !ok || len(b) == 0 || !isPDFSpace(b[len(b)-1]) {
		return o, false
	}
	_, num, ok := lastPDFNumber(b)
	return pdfObject{num: num, gen: gen}, ok
}

// withoutComments leaves out comments that end within b.
func withoutComments(b []byte) []byte {
	var rest []byte
	for len(b) > 0 {
		end := lineEnd(b, 0)
		before, _, _ := bytes.Cut(b[:end], []byte{'%'})
		rest = append(append(rest, before...), '\n')
		b = b[min(end+1, len(b)):]
	}
	return rest
}

// lastPDFNumber takes a number, and white space behind it, off the end of b.
func lastPDFNumber(b []byte) (rest []byte, n int32, ok bool) {
	end := len(b)
	for end > 0 && isPDFSpace(b[end-1]) {
		end--
	}
	start := end
	for start > 0 && b[start-1] >= '0' && b[start-1] <= '9' {
		start--
	}
	value, ok := pdfNumber(b[start:end])
	return b[:start], pdfNumber32(int(value)), ok
}

func opensPDFValue(b []byte) bool {
	b = bytes.TrimLeft(b, "\x00\t\n\f\r ")
	return len(b) > 0 && bytes.IndexByte([]byte("<(["), b[0]) >= 0
}

// pdfDoc is a file that is being read.
type pdfDoc struct {
	file    File
	yield   func(member, error) bool
	done    bool
	headed  bool     // by the header: no text about documents
	texts   [][]byte // the file, then the object streams
	objects []pdfObject
	last    map[int32]int32 // the last object of each number

	locks  []*pdfSecurity // those that were opened
	locked error          // why some was not
	open   map[int32]bool // objects that are never encrypted

	wanted  map[int32]bool   // objects that are files or scripts by what refers to them
	names   map[int32]string // of embedded files
	scripts []int32          // objects that are said to be scripts
	bare    []int32          // objects that are strings
	forms   []pdfArray       // of parts

	decoders pdfDecoders
	work     int64 // bytes that may still be parsed
	out      int64 // bytes of the file that may still be decoded
	kept     int   // bytes of object streams
	sample   int   // bytes of the bulk that may still be handed out
	joined   []byte
	small    []byte // scripts
	seed     maphash.Seed
	seen     map[uint64]bool // strings
	problem  error           // the first damage
	limit    error           // why not all was looked at
}

func pdfEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		n := int64(len(f.Data))
		d := &pdfDoc{
			file: f, yield: yield, texts: [][]byte{f.Data}, last: map[int32]int32{},
			open: map[int32]bool{}, wanted: map[int32]bool{}, names: map[int32]string{},
			work: 16*n + 1<<20, out: 6*n + 1<<20, sample: pdfSample, seed: maphash.MakeSeed(), seen: map[uint64]bool{},
			decoders: pdfDecoders{work: 8*n + 64<<20},
		}
		for _, step := range []func(){d.scan, d.extents, d.unlock, d.openObjectStreams, d.survey, d.joinedForms, d.streams, d.finish} {
			if !d.done {
				step()
			}
		}
	}
}

// scan finds the objects and trailers of the file.
func (d *pdfDoc) scan() {
	data := d.file.Data
	d.headed = bytes.Contains(data[:min(len(data), pdfHead)], []byte("%PDF-"))
	for o := nextPDFObject(data, 0); o.at >= 0; {
		next := o.at
		p := pdfParser{data: data, at: o.at}
		v := d.parse(&p)
		if dict, ok := v.(pdfDict); ok {
			if o.start = streamStart(&p); o.start > 0 {
				if end := o.start + max(dict.int("Length", 0), 0); d.ends(end) >= 0 && pdfMatch(data[o.start:end]) {
					next = end // a document of its own, and opened as such
				}
			}
		}
		if !d.add(o) {
			return
		}
		o = nextPDFObject(data, next)
	}
	for at := 0; ; {
		i := bytes.Index(data[at:], []byte("trailer"))
		if i < 0 || !d.add(pdfObject{num: -1, trailer: true, at: at + i + len("trailer")}) {
			return
		}
		at += i + len("trailer")
	}
}

// add notes an object.
func (d *pdfDoc) add(o pdfObject) bool {
	if len(d.objects) == maxPDFObjects {
		d.over(&LimitError{"objects"})
		return false
	}
	o.before = -1
	if o.num >= 0 {
		if before, ok := d.last[o.num]; ok {
			o.before = before
		}
		d.last[o.num] = int32(len(d.objects))
	}
	d.objects = append(d.objects, o)
	return true
}

// parse reads the value that a parser stands before, within the bounds.
func (d *pdfDoc) parse(p *pdfParser) any {
	if d.work <= 0 {
		d.over(&LimitError{"overlap"})
		return nil
	}
	start := p.at
	v, _ := p.value(0)
	d.work -= int64(p.at - start + 1)
	return v
}

// value reads an object's value.
func (d *pdfDoc) value(o *pdfObject) any {
	return d.parse(&pdfParser{data: d.texts[o.text], at: o.at})
}

// versions gives the values of the objects to which a reference leads, the last
// first, or v itself when it is none.
func (d *pdfDoc) versions(v any) (values []any) {
	ref, ok := v.(pdfRef)
	if !ok {
		return []any{v}
	}
	const most = 4
	for i := d.lastOf(ref); i >= 0 && len(values) < most; i = d.objects[i].before {
		values = append(values, d.resolve(d.value(&d.objects[i])))
	}
	return values
}

// lastOf gives the last object to which a reference leads; -1 when there is none.
func (d *pdfDoc) lastOf(r pdfRef) int32 {
	if i, ok := d.last[pdfNumber32(r.num)]; ok {
		return i
	}
	return -1
}

// pdfNumber32 is an object's number, within what any program takes.
func pdfNumber32(n int) int32 { return int32(min(n, 1<<31-1)) }

// resolve gives the value that v stands for: the last version that there is.
func (d *pdfDoc) resolve(v any) any {
	for range 8 { // a reference may lead to another
		ref, ok := v.(pdfRef)
		if !ok {
			return v
		}
		i := d.lastOf(ref)
		if i < 0 {
			return nil
		}
		v = d.value(&d.objects[i])
	}
	return nil
}

// emit hands out a member.
func (d *pdfDoc) emit(m member, err error) {
	if !d.done {
		d.done = !d.yield(m, err)
	}
}

// damaged notes damage.
func (d *pdfDoc) damaged(format string, args ...any) {
	if d.problem == nil {
		d.problem = fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
	}
}

// over notes a limit.
func (d *pdfDoc) over(err error) {
	if d.limit == nil {
		d.limit = err
	}
}

// finish hands out what was joined, and tells what was not read.
func (d *pdfDoc) finish() {
	d.flush()
	switch data := d.file.Data; {
	case !pdfBegins(data[:min(len(data), pdfHead)]):
	case len(d.objects) == 0:
		d.damaged("no objects")
	case !d.ended():
		d.damaged("cut short")
	}
	for _, err := range []error{d.locked, d.problem, d.limit} {
		if err != nil {
			d.emit(member{}, err)
		}
	}
}

// ended reports whether the file goes on behind its last object, as it does with
// a table or at least the mark of its end.
func (d *pdfDoc) ended() bool {
	last := 0
	for i := range d.objects {
		if o := &d.objects[i]; o.text == 0 && o.num >= 0 {
			last = max(last, o.at, o.end)
		}
	}
	tail := d.file.Data[last:]
	return bytes.Contains(tail, []byte("startxref")) || bytes.Contains(tail, []byte("%%EOF"))
}
