package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"strings"
)

// rtfOpener opens the objects in RTF documents (Rich Text Format Specification
// 1.9.1): embedded objects, the native data and the file in them, pictures that
// are none, the stores of XML and themes, binary data anywhere.
var rtfOpener = opener{name: "rtf", match: rtfMatch, entries: rtfEntries}

const (
	rtfMagic = `{\rt` // Word asks for no more
	rtfJunk  = 1 << 10

	// rtfOverlap bounds how often the bytes of a document are decoded, on average:
	// an object within an object belongs to both.
	rtfOverlap = 16

	// rtfHead is how much of an object is looked at for its headers, in bytes.
	rtfHead = 8 << 10
)

func rtfMatch(data []byte) bool { return rtfStart(data) >= 0 }

// rtfStart is where the document begins; -1 when there is none.
func rtfStart(data []byte) int { return bytes.Index(data[:min(len(data), rtfJunk)], []byte(rtfMagic)) }

// rtfPlaces are the destinations that hold objects, in hexadecimal digits or in
// binary, and what their content is called.
var rtfPlaces = map[string]string{
	"objdata":   "object",
	"pict":      "picture",
	"datastore": "datastore",
	"themedata": "theme",
	"fontemb":   "font",
}

// rtfDestinations are the control words that turn to other content than the one
// around them. Those of an object's digits within a group of such a word are not
// the object's.
var rtfDestinations = wordSet(`aftncn aftnsep aftnsepc annotation atnauthor atndate atnid atnparent atnref atrfend
	atrfstart author background bkmkend bkmkstart blipuid buptim category colorschememapping colortbl comment company creatim
	datafield datastore defchp defpap do doccomm docvar dptxbxtext ebcend ebcstart factoidname falt fchars ffdeftext ffentrymcr
	ffexitmcr ffformat ffhelptext ffl ffname ffstattext field file filetbl fldinst fldrslt fldtype fontemb fonttbl footer footerf
	footerl footerr footnote formfield ftncn ftnsep ftnsepc generator gridtbl header headerf headerl headerr hl hlfr hlinkbase
	hlloc hlsrc hsv info keywords latentstyles lchars levelnumbers leveltext lfolevel linkval list listlevel listname
	listoverride listoverridetable listpicture liststylename listtable listtext lsdlockedexcept mailmerge manager objalias
	objclass objdata object objname objsect oldcprops oldpprops oldsprops oldtprops oleclsid operator panose password
	passwordhash pgp pgptbl picprop pict pn pnseclvl pntext pntxta pntxtb printim propname protend protstart protusertbl result
	revtbl revtim rxe shp shpgrp shpinst shppict shprslt shptxt sn sp staticval stylesheet subject sv svb tc template themedata
	title txe ud upr userprops wgrffmtfilter windowcaption writereservation writereservhash xe xform xmlattrname xmlattrvalue
	xmlclose xmlname xmlnstbl xmlopen`)

func wordSet(words string) map[string]bool {
	set := make(map[string]bool)
	for _, word := range strings.Fields(words) {
		set[word] = true
	}
	return set
}

// rtfReader reads one document.
type rtfReader struct {
	scan    rtfScanner
	open    []rtfPlace // the places that are open, outermost first
	objects int        // of all kinds
	decoded int64      // bytes of the document that have been decoded in all
	buffer  [rtfHead]byte

	yield func(member, error) bool
	done  bool
}

// rtfPlace is where an object stands.
type rtfPlace struct {
	word  string
	start int
	depth int // of the group that it ends with
}

func rtfEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		start := rtfStart(f.Data)
		if start < 0 {
			return
		}
		r := &rtfReader{scan: rtfScanner{data: f.Data, at: start}, yield: yield}
		for !r.done && r.next() {
		}
		cut := r.scan.depth > 0 || len(r.open) > 0
		r.close(0, len(f.Data))
		// A text that speaks of RTF is no document that has been cut.
		quoted := len(bytes.Trim(f.Data[:start], "\x00\t\r\n \xef\xbb\xbf")) > 0 && r.objects == 0
		if cut && !quoted {
			r.emit(member{}, fmt.Errorf("%w: cut short", ErrDamaged))
		}
	}
}

// next reads one token; there may be none.
func (r *rtfReader) next() bool {
	r.scan.greedy = len(r.open) > 0
	before := r.scan.at
	t := r.scan.next()
	switch t.kind {
	case rtfEnd:
		return false
	case rtfClose:
		r.close(r.scan.depth+1, before)
	case rtfWord:
		if rtfPlaces[string(t.text)] != "" {
			// Another destination of the same group ends the one before it.
			r.close(r.scan.depth, before)
			r.open = append(r.open, rtfPlace{string(t.text), r.scan.at, r.scan.depth})
		}
	case rtfBinary:
		if len(r.open) == 0 && len(t.text) > 0 && !isPicture(t.text) {
			r.emit(member{name: r.name("binary"), data: t.text}, nil)
		}
	}
	return true
}

// close ends the places of groups that are as deep, or deeper.
func (r *rtfReader) close(depth, end int) {
	for n := len(r.open); n > 0 && r.open[n-1].depth >= depth && !r.done; n-- {
		p := r.open[n-1]
		r.open = r.open[:n-1]
		r.place(p.word, r.scan.data[p.start:max(p.start, end)])
	}
}

// name is the name of the next object.
func (r *rtfReader) name(kind string) string {
	r.objects++
	return fmt.Sprintf("%s%d.bin", kind, r.objects)
}

// place hands out what stands in a place, in all ways that programs read it.
func (r *rtfReader) place(word string, text []byte) {
	readings := []rtfReading{{}}
	if word != "pict" {
		r.decoded += int64(len(text))
		readings = rtfReadings(text)
	}
	for _, reading := range readings {
		if r.decoded += int64(len(text)); r.decoded > rtfOverlap*(int64(len(r.scan.data))+rtfHead) {
			r.emit(member{}, &LimitError{"overlap"})
			r.done = true
		}
		if r.done {
			return
		}
		n, _ := io.ReadFull(newRTFHex(text, reading), r.buffer[:])
		head := r.buffer[:n]
		if n == 0 || word == "pict" && isPicture(head) {
			continue
		}
		object := func(start int, size int64) io.Reader {
			return &rtfSection{hex: newRTFHex(text, reading), skip: start, left: size}
		}
		r.emit(member{name: r.name(rtfPlaces[word]), body: object(0, int64(len(text)))}, nil)
		if word == "objdata" {
			r.native(head, object)
		}
	}
}

// native hands out the native data of an object, and the file in them. object
// gives some of the object's bytes; their size is not believed when it is 0.
func (r *rtfReader) native(head []byte, object func(start int, size int64) io.Reader) {
	emit := func(name string, start int, size int64) {
		if size == 0 {
			size = int64(len(r.scan.data))
		}
		r.emit(member{name: name, body: object(start, size)}, nil)
	}
	o, ok := parseOLE1(head)
	if ok {
		if bytes.HasPrefix(head[o.start:], []byte(ole1Magic)) {
			o.size = 0 // the file itself tells where it ends
		}
		emit(o.class, o.start, o.size)
		if p, ok := parsePackage(head[o.start:]); ok && strings.EqualFold(o.class, "package") {
			emit(p.name, o.start+p.start, p.size)
		}
	}
	// Whatever the header is, or is made to look like: this is what Word looks for.
	if i := bytes.Index(head, []byte(ole1Magic)); i > 0 && (!ok || i != o.start) {
		emit("compound file", i, 0)
	}
}

// emit hands out a member, or what is wrong with it.
func (r *rtfReader) emit(m member, err error) {
	if !r.done {
		r.done = !r.yield(m, err)
	}
}

// isPicture reports whether data begin as pictures do: PNG, JPEG, GIF, BMP, TIFF,
// the metafiles of Windows, a bitmap without its file header, QuickDraw.
func isPicture(data []byte) bool {
	for _, magic := range []string{"\x89PNG\r\n\x1a\n", "\xff\xd8\xff", "GIF8", "BM", "II*\x00", "MM\x00*", "\xd7\xcd\xc6\x9a", "\x01\x00\x09\x00\x00", "\x02\x00\x09\x00\x00"} {
		if bytes.HasPrefix(data, []byte(magic)) {
			return true
		}
	}
	if len(data) < 44 {
		return false
	}
	le := binary.LittleEndian
	size, emf := le.Uint32(data), le.Uint32(data) == 1 && string(data[40:44]) == " EMF"
	bitmap := (size == 40 || size == 108 || size == 124) && le.Uint16(data[12:]) == 1
	return emf || bitmap || string(data[10:14]) == "\x00\x11\x02\xff"
}

// rtfScanner divides a document into tokens.
type rtfScanner struct {
	data   []byte
	at     int
	depth  int  // of groups
	greedy bool // binary data that are longer than the rest are all of the rest, else none
}

// rtfToken is a token; text is a control word's name, the text, or the binary data.
type rtfToken struct {
	kind rtfKind
	text []byte
}

type rtfKind int

const (
	rtfEnd rtfKind = iota
	rtfOpen
	rtfClose
	rtfWord
	rtfSymbol
	rtfQuoted // \' and the two characters behind it
	rtfText
	rtfBinary
)

// Bounds of control words as Word has them, in bytes.
const (
	rtfWordSize    = 250
	rtfControlSize = 254 // with the backslash and the number
)

func (s *rtfScanner) next() rtfToken {
	if s.at >= len(s.data) {
		return rtfToken{}
	}
	switch s.data[s.at] {
	case '{':
		s.at++
		s.depth++
		return rtfToken{kind: rtfOpen}
	case '}':
		s.at++
		s.depth = max(s.depth-1, 0)
		return rtfToken{kind: rtfClose}
	case '\\':
		s.at++
		return s.control()
	}
	start := s.at
	for s.at < len(s.data) {
		if c := s.data[s.at]; c == '{' || c == '}' || c == '\\' {
			break
		}
		s.at++
	}
	return rtfToken{rtfText, s.data[start:s.at]}
}

// control reads a control word or symbol, behind its backslash.
func (s *rtfScanner) control() rtfToken {
	rest := s.data[s.at:]
	n := 0
	for n < min(len(rest), rtfWordSize) && (rest[n]|0x20 >= 'a' && rest[n]|0x20 <= 'z') {
		n++
	}
	switch {
	case n > 0:
		return s.word(rest, n)
	case len(rest) > 0 && rest[0] == '\'':
		s.at += min(len(rest), 3)
		return rtfToken{kind: rtfQuoted}
	}
	s.at += min(len(rest), 1)
	return rtfToken{kind: rtfSymbol}
}

// word reads a control word of n letters.
func (s *rtfScanner) word(rest []byte, n int) rtfToken {
	word := rest[:n]
	negative := n < len(rest) && rest[n] == '-'
	at := n
	if negative {
		at++
	}
	digits, number := at, int64(0)
	for ; at < min(len(rest), rtfControlSize-1) && rest[at] >= '0' && rest[at] <= '9'; at++ {
		number = min(10*number+int64(rest[at]-'0'), 1<<32)
	}
	if at == digits {
		at = n // a hyphen alone is text
	}
	if at < len(rest) && rest[at] == ' ' {
		at++
	}
	s.at += at
	if string(word) != "bin" {
		return rtfToken{rtfWord, word}
	}
	left := int64(len(s.data) - s.at)
	switch {
	case negative: // Word takes it for none
		number = 0
	case number > left && s.greedy:
		number = left
	case number > left:
		number = 0
	}
	s.at += int(number)
	return rtfToken{rtfBinary, s.data[s.at-int(number) : s.at]}
}

// rtfReading is a way to read an object's digits: programs differ about groups
// within them, and so do those who hide objects.
type rtfReading struct {
	nested rtfNested
	odd    bool // keep the odd digit before \', which Word drops
}

// rtfNested says which text within inner groups is the object's.
type rtfNested int

const (
	rtfNone  rtfNested = iota // none
	rtfPlain                  // but not that of other destinations
	rtfAll
	rtfWays
)

// rtfReadings gives the ways in which an object can be read: one, unless there
// is something in it that makes a difference.
func rtfReadings(text []byte) (list []rtfReading) {
	h := newRTFHex(text, rtfReading{nested: rtfAll})
	var plain, other bool        // inner groups have digits: those of other destinations or not
	var odd, drops [rtfWays]bool // by rtfNested
	for t := h.scan.next(); t.kind != rtfEnd; t = h.scan.next() {
		class := h.class(t)
		n := 2 * len(t.text)
		switch t.kind {
		case rtfText:
			n = hexDigits(t.text)
		case rtfQuoted:
			for i := class; i < rtfWays; i++ {
				drops[i], odd[i] = drops[i] || odd[i], false
			}
			continue
		case rtfBinary:
		default:
			continue
		}
		plain, other = plain || class == rtfPlain && n > 0, other || class == rtfAll && n > 0
		for i := class; i < rtfWays; i++ {
			odd[i] = odd[i] != (n%2 == 1)
		}
	}
	for i := range rtfWays {
		if i == rtfPlain && !plain || i == rtfAll && !other {
			continue
		}
		list = append(list, rtfReading{nested: i})
		if drops[i] {
			list = append(list, rtfReading{nested: i, odd: true})
		}
	}
	return list
}

// hexValues are the values of hexadecimal digits; -1 of what is none.
var hexValues = func() (values [256]int8) {
	for i := range values {
		values[i] = int8(strings.IndexByte("0123456789abcdef", byte(i)))
	}
	for c := 'A'; c <= 'F'; c++ {
		values[c] = int8(c-'A') + 10
	}
	return values
}()

func hexDigits(text []byte) (n int) {
	for _, c := range text {
		if hexValues[c] >= 0 {
			n++
		}
	}
	return n
}

// rtfHex decodes the digits and the binary data of a place. What is no digit
// counts for nothing.
type rtfHex struct {
	scan    rtfScanner
	reading rtfReading
	other   int    // the depth from which text is another destination's; -1: it is not
	text    []byte // what is left of a token of text
	binary  []byte // what is left of one of binary data
	high    int    // the first digit of a byte; -1: none
}

func newRTFHex(text []byte, reading rtfReading) *rtfHex {
	return &rtfHex{scan: rtfScanner{data: text, greedy: true}, reading: reading, other: -1, high: -1}
}

// class follows a token, and says in which readings its text is the object's:
// in this one and those after it.
func (h *rtfHex) class(t rtfToken) rtfNested {
	switch {
	case t.kind == rtfClose && h.scan.depth < h.other:
		h.other = -1
	case t.kind == rtfWord && h.other < 0 && rtfDestinations[string(t.text)]:
		h.other = h.scan.depth
	}
	switch {
	case h.other >= 0:
		return rtfAll
	case h.scan.depth > 0:
		return rtfPlain
	}
	return rtfNone
}

// Read implements io.Reader.
func (h *rtfHex) Read(p []byte) (n int, err error) {
	for n < len(p) {
		switch {
		case len(h.binary) > 0 && h.high < 0:
			k := copy(p[n:], h.binary)
			h.binary, n = h.binary[k:], n+k
		case len(h.binary) > 0: // between the digits of a byte
			p[n] = byte(h.high)<<4 | h.binary[0]>>4
			h.high, h.binary, n = int(h.binary[0]&15), h.binary[1:], n+1
		case len(h.text) > 0:
			n += h.digits(p[n:])
		default:
			if !h.token() {
				if n == 0 {
					return 0, io.EOF
				}
				return n, nil
			}
		}
	}
	return n, nil
}

// digits decodes text until p is full or the text has ended.
func (h *rtfHex) digits(p []byte) (n int) {
	for i, c := range h.text {
		v := int(hexValues[c])
		switch {
		case v < 0:
		case h.high < 0:
			h.high = v
		default:
			p[n] = byte(h.high<<4 | v)
			h.high = -1
			if n++; n == len(p) {
				h.text = h.text[i+1:]
				return n
			}
		}
	}
	h.text = nil
	return n
}

// token takes the next token; there may be none.
func (h *rtfHex) token() bool {
	t := h.scan.next()
	if t.kind == rtfEnd {
		return false
	}
	if h.class(t) > h.reading.nested {
		return true
	}
	switch t.kind {
	case rtfText:
		h.text = t.text
	case rtfBinary:
		h.binary = t.text
	case rtfQuoted:
		if !h.reading.odd {
			h.high = -1
		}
	}
	return true
}

// rtfSection is some of an object: so many bytes behind those to be skipped.
type rtfSection struct {
	hex  *rtfHex
	skip int // at most rtfHead
	left int64
}

// Read implements io.Reader.
func (s *rtfSection) Read(p []byte) (int, error) {
	if s.skip > 0 {
		if _, err := io.CopyN(io.Discard, s.hex, int64(s.skip)); err != nil {
			return 0, err
		}
		s.skip = 0
	}
	if s.left == 0 {
		return 0, io.EOF
	}
	n, err := s.hex.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	return n, err
}
