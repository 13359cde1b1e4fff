package unpack

import (
	"bytes"
	"fmt"
	"iter"
	"math"

	"golang.org/x/text/transform"
)

// htmlOpener takes files out of HTML, SVG, XML and scripts: those of data: URIs,
// and those that scripts put together from strings and numbers. Texts that hide
// their letters are handed out in the clear. Ordinary pages hold nothing.
var htmlOpener = opener{name: "html", match: htmlMatch, entries: htmlEntries}

func htmlMatch(data []byte) bool {
	switch {
	case !looksLikeText(data):
		return false
	case withoutZeros(data), isScript(data):
		return true
	}
	return looksLikeMarkup(data) && (&page{text: data}).hides()
}

func htmlEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		if withoutZeros(f.Data) {
			yield(member{name: f.Name, body: transform.NewReader(bytes.NewReader(f.Data), zeroStep())}, nil)
			return
		}
		if len(f.Data) > math.MaxInt32 { // values count in 32 bits
			yield(member{}, &LimitError{"unpacked"})
			return
		}
		p := &page{name: f.Name, text: f.Data, finder: newFinder(len(f.Data), yield)}
		p.script = newScript(f.Data, p.budget)
		p.read()
		if p.script.encoded && !p.done {
			p.done = !yield(member{}, fmt.Errorf("%w: encoded script", ErrUnsupported))
		}
		p.end()
	}
}

// page is a text that files may be hidden in.
type page struct {
	*finder
	name   string
	text   []byte
	script *script

	code      int      // where the script ends that was met last
	after     int      // where the script element ends that was met last
	inIsland  int      // where the island ends that was met last
	delimiter [256]int // behind where one of these was found last
	islands   []value  // texts that are files in base64
	maybe     []value  // texts that may be, if there is a script to decode them
	hidden    bool     // letters are hidden by character references
}

// event is a place in a text that may hide something.
type event byte

const (
	nothing     event = iota
	tagScript         // "<script"
	attribute         // the "=" behind srcdoc, or a handler of scripts
	coded             // the "=" before a value whose scheme is hidden
	dataURI           // the ":" of data:
	codeURI           // the ":" of javascript:
	island            // the byte before a file in base64
	maybeIsland       // the byte before what may be one, if there is a script to decode it
	reference         // the "&" of a letter
)

// pageMarks are the bytes at which there may be an event.
var pageMarks = [256]bool{'<': true, '>': true, '=': true, ':': true, '&': true}

// hides reports whether there is any event.
func (p *page) hides() bool {
	for i, c := range p.text {
		if !pageMarks[c] {
			continue
		}
		if e := p.event(i); e != nothing && e != maybeIsland {
			return true
		}
	}
	return false
}

// event says what there is at offset i.
func (p *page) event(i int) event {
	inCode := i < p.code
	switch p.text[i] {
	case '<':
		switch {
		case inCode:
		case isScriptTag(p.text[i:]):
			return tagScript
		case bytes.HasPrefix(p.text[i:], []byte(commentStart)):
			return p.island(i + len(commentStart) - 1)
		}
	case '&':
		if !p.hidden && hidesReference(p.text, i) {
			return reference
		}
	case ':':
		return p.scheme(i)
	case '=':
		switch {
		case inCode:
		case isHiding(p.attributeName(i)):
			return attribute
		case p.codesScheme(i):
			return coded
		default:
			return p.island(i)
		}
	case '>':
		if !inCode {
			return p.island(i)
		}
	}
	return nothing
}

// island says what of a file in base64 stands behind offset i. A text is one as
// the content of an element of XML only: pages have tokens that are texts.
func (p *page) island(i int) event {
	switch isBase64, w := islandAt(p.text[i+1:]); {
	case w == known, w == prose && p.text[i] == '>' && isXML(p.text):
		return island
	case isBase64:
		return maybeIsland
	}
	return nothing
}

const commentStart = "<!--"

// isXML reports whether a text says of itself that it is XML.
func isXML(text []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(text[:min(len(text), 64)], "\xef\xbb\xbf \t\r\n"), []byte("<?xml"))
}

// isScriptTag reports whether a tag of a script begins here; its name may have a
// prefix, as in XML.
func isScriptTag(b []byte) bool {
	b = b[1:min(len(b), 40)]
	end := 0
	for end < len(b) && (isWordByte(b[end]) || b[end] == ':' || b[end] == '-') {
		end++
	}
	name := b[:end]
	if i := bytes.IndexByte(name, ':'); i >= 0 {
		name = name[i+1:]
	}
	return len(name) == 6 && hasPrefixFold(name, "script")
}

// attributeName is the name that stands before a "=": of an attribute, when there
// is what stands before attributes.
func (p *page) attributeName(equals int) []byte {
	end := equals
	for end > 0 && equals-end < 8 && isSpace(p.text[end-1]) {
		end--
	}
	start := end
	for start > 0 && end-start < 32 && (isWordByte(p.text[start-1]) || p.text[start-1] == '-') {
		start--
	}
	if start == 0 || !isSpace(p.text[start-1]) && bytes.IndexByte([]byte(`"'/`), p.text[start-1]) < 0 {
		return nil
	}
	return p.text[start:end]
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// isHiding reports whether an attribute of this name holds a script or a document.
func isHiding(name []byte) bool {
	return len(name) == 6 && hasPrefixFold(name, "srcdoc") || len(name) > 3 && hasPrefixFold(name, "on")
}

// scheme says which scheme ends at a colon. White space in a scheme counts for
// nothing (WHATWG URL, section 4.4).
func (p *page) scheme(colon int) event {
	for _, s := range []struct {
		name string
		event
	}{{"data", dataURI}, {"javascript", codeURI}, {"vbscript", codeURI}} {
		start := p.backwards(s.name, colon)
		if start < 0 && s.event == dataURI {
			start = p.escapedData(colon)
		}
		if start < 0 {
			continue
		}
		if s.event == codeURI && p.code > colon || start > 0 && isNameByte(p.text[start-1]) {
			return nothing
		}
		if s.event == codeURI && p.opening(start) == 0 && (start == 0 || p.text[start-1] != '=' && p.text[start-1] != ';') {
			return nothing // that it is a word of a sentence is likelier
		}
		if s.event == dataURI {
			if _, ok := parseURI(p.text[colon:]); !ok {
				return nothing
			}
		}
		return s.event
	}
	return nothing
}

// backwards finds where a word in lower case begins that ends at an offset; -1
// when another one does.
func (p *page) backwards(word string, end int) int {
	for n := len(word); n > 0; end-- {
		if end == 0 {
			return -1
		}
		switch c := p.text[end-1]; {
		case c|0x20 == word[n-1]:
			n--
		case c != '\t' && c != '\n' && c != '\r':
			return -1
		}
	}
	return end
}

// maxEscape is the length in bytes of a character that is escaped in CSS, with the
// blank behind it (CSS Syntax, section 4.3.7).
const maxEscape = 1 + 6 + 1

// escapedData finds where the scheme "data" begins whose letters are escaped as in
// CSS, "\64 ata", and that ends at an offset; -1 when there is none.
func (p *page) escapedData(end int) int {
	least := max(0, end-len("data")*maxEscape)
	first := bytes.IndexByte(p.text[least:end], '\\')
	if first < 0 {
		return -1
	}
	for start := least + first; start >= max(least, least+first-len("dat")); start-- {
		if unescaped := cssText(p.text[start:end]); len(unescaped) == len("data") && hasPrefixFold(unescaped, "data") {
			return start
		}
	}
	return -1
}

// cssText undoes the escapes of CSS in a few bytes.
func cssText(b []byte) (out []byte) {
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			out = append(out, b[i])
			continue
		}
		var r rune
		digits := 0
		for ; digits < 6 && i+1 < len(b); digits++ {
			v, ok := hexValue(b[i+1])
			if !ok {
				break
			}
			r, i = r<<4|rune(v), i+1
		}
		switch {
		case digits > 0:
			out = append(out, byte(r)) // letters of ASCII are all that matters
			if i+1 < len(b) && isSpace(b[i+1]) {
				i++
			}
		case i+1 < len(b):
			i++
			out = append(out, b[i])
		}
	}
	return out
}

// value gives an attribute's value, the "=" being at an offset, without quotes.
func (p *page) value(equals int) (start, end int) {
	start = equals + 1
	for start < len(p.text) && isSpace(p.text[start]) {
		start++
	}
	if start == len(p.text) {
		return start, start
	}
	if q := p.text[start]; q == '"' || q == '\'' {
		return start + 1, p.until(start+1, q)
	}
	end = start
	for end < len(p.text) && !isSpace(p.text[end]) && p.text[end] != '>' {
		end++
	}
	return start, end
}

// until finds a delimiter from an offset on; the end of the text when there is none.
func (p *page) until(from int, delimiter byte) int {
	if found := p.delimiter[delimiter] - 1; found >= from {
		return found
	}
	found := len(p.text)
	if i := bytes.IndexByte(p.text[from:], delimiter); i >= 0 {
		found = from + i
	}
	p.delimiter[delimiter] = found + 1
	return found
}

// maxScheme bounds, in bytes, what is decoded of a value to see its scheme.
const maxScheme = 256

// codesScheme reports whether the value behind "=" begins with a scheme that is
// hidden by character references.
func (p *page) codesScheme(equals int) bool {
	b := p.text[equals+1 : min(len(p.text), equals+1+maxScheme)]
	for len(b) > 0 && (isSpace(b[0]) || b[0] == '"' || b[0] == '\'') {
		b = b[1:]
	}
	letters := 0
	for letters < len(b) && letters < len("javascript") && (isLetter(b[letters]) || isSpace(b[letters])) {
		letters++
	}
	if letters == len(b) || b[letters] != '&' {
		return false
	}
	b, _, _ = transform.Bytes(entityStep(), b)
	b = bytes.Map(graphic, b[:min(len(b), 64)])
	return hasPrefixFold(b, "data:") || hasPrefixFold(b, "javascript:") || hasPrefixFold(b, "vbscript:")
}

// islandLeast is the length in bytes of base64 that may be a file, where none of
// a script's strings it is.
const islandLeast = 24

// islandAt reports whether b begins with base64, and what that is worth.
func islandAt(b []byte) (isBase64 bool, w worth) {
	for len(b) > 0 && (isSpace(b[0]) || b[0] == '"' || b[0] == '\'') {
		b = b[1:]
	}
	if len(b) < islandLeast {
		return false, noise
	}
	b = b[:islandLeast]
	for i := len(b) - 1; i >= 0; i-- { // from the far end: words are short
		if base64Values[b[i]] >= 64 {
			return false, noise
		}
	}
	var out [islandLeast]byte
	n, _, _ := base64Step().Transform(out[:], b, true)
	return true, worthOf(out[:n])
}

// plainNames are the names of references to characters of ASCII that texts write
// so for no other reason than to hide them.
var plainNames = map[string]bool{
	"excl": true, "num": true, "dollar": true, "percnt": true, "lpar": true, "rpar": true, "ast": true, "midast": true, "plus": true,
	"comma": true, "period": true, "sol": true, "colon": true, "semi": true, "equals": true, "quest": true, "commat": true, "lsqb": true,
	"lbrack": true, "bsol": true, "rsqb": true, "rbrack": true, "Hat": true, "lowbar": true, "UnderBar": true, "grave": true,
	"DiacriticalGrave": true, "lcub": true, "lbrace": true, "verbar": true, "vert": true, "VerticalLine": true, "rcub": true, "rbrace": true,
}

// hidesReference reports whether a character reference at an offset stands for
// what could be written as it is: a letter, a digit, a sign that no program which
// writes HTML takes care to encode.
func hidesReference(text []byte, at int) bool {
	ref := text[at:min(len(text), at+maxPiece)]
	if len(ref) < 3 {
		return false
	}
	if ref[1] != '#' {
		end := 1
		for end < len(ref) && end < 20 && isLetter(ref[end]) {
			end++
		}
		return end < len(ref) && ref[end] == ';' && plainNames[string(ref[1:end])] // without it "&num=30" is one
	}
	r, took := entityNumber(ref)
	switch {
	case took == 0, r <= ' ', r >= 0x7f, bytes.IndexByte([]byte(`"&'<>/=@`+"`"), byte(r)) >= 0:
		return false
	case r == '+': // of telephone numbers
		return at > 0 && isWordByte(text[at-1]) && took < len(ref) && isWordByte(ref[took])
	}
	return true
}

// read hands out what is hidden in the page.
func (p *page) read() {
	gaps := isScript(p.text) // what stands between elements of scripts is one too
	for i := 0; i < len(p.text) && !p.done && p.limit == nil; i++ {
		if !pageMarks[p.text[i]] {
			continue
		}
		e := p.event(i)
		if e == tagScript && gaps {
			p.gap(i)
		}
		p.handle(e, i)
	}
	if gaps {
		p.gap(len(p.text))
	}
	if p.hidden {
		p.emit(hidden{name: p.name, text: p.text, steps: []step{entityStep}})
	}
	if p.script.found = append(p.script.found, p.islands...); p.script.code != nil {
		p.script.found = append(p.script.found, p.maybe...)
	}
	p.scripts(p.script)
}

// gap reads the script that stands before an offset.
func (p *page) gap(end int) {
	text := p.text[p.after:end]
	if isBasic(text) {
		p.script.read(p.after, end, true)
	}
	if isJavaScript(text) || !isBasic(text) {
		p.script.read(p.after, end, false)
	}
}

func (p *page) handle(e event, i int) {
	switch e {
	case tagScript:
		p.element(i)
	case attribute:
		p.attribute(i)
	case coded:
		p.codedURI(i)
	case dataURI:
		p.dataURI(i)
	case codeURI:
		p.codeURI(i)
	case island, maybeIsland:
		p.keepIsland(e, i)
	case reference:
		p.hidden = true
	}
}

// element reads a script element that begins at an offset.
func (p *page) element(tag int) {
	start := min(p.until(tag, '>')+1, len(p.text))
	p.code = p.closing(start)
	p.after = p.code
	head := bytes.ToLower(p.text[tag:min(start, tag+maxURIHeader)])
	p.script.read(start, p.code, bytes.Contains(head, []byte("vbs")))
}

// closing finds the end tag of a script from an offset on.
func (p *page) closing(from int) int {
	for i := from; i < len(p.text); i++ {
		next := bytes.IndexByte(p.text[i:], '<')
		if next < 0 {
			break
		}
		if i += next; len(p.text) > i+2 && p.text[i+1] == '/' && isScriptTag(p.text[i+1:]) {
			return i
		}
	}
	return len(p.text)
}

// attribute reads an attribute that holds a document or a script.
func (p *page) attribute(equals int) {
	start, end := p.value(equals)
	switch {
	case hasPrefixFold(p.attributeName(equals), "srcdoc"):
		p.emit(hidden{name: "srcdoc.html", text: p.text[start:end], steps: []step{entityStep}})
	case bytes.IndexByte(p.text[start:end], '&') < 0:
		p.script.read(start, end, false)
	case end-start >= leastText:
		p.emit(hidden{name: "script.js", text: p.text[start:end], steps: []step{entityStep}})
	}
	p.code = end
}

// codeURI reads the script in a URI whose colon is at an offset.
func (p *page) codeURI(colon int) {
	scheme := p.backwards("javascript", colon)
	isBasic := scheme < 0
	if isBasic {
		scheme = p.backwards("vbscript", colon)
	}
	start, end := colon+1, colon+1
	if p.opening(scheme) != 0 {
		end = p.uriEnd(scheme, colon)
	} else {
		for end < len(p.text) && p.text[end] != '>' && !isSpace(p.text[end]) {
			end++
		}
	}
	text := p.text[start:end]
	if bytes.IndexByte(text, '&') < 0 && bytes.IndexByte(text, '%') < 0 {
		p.script.read(start, end, isBasic)
	} else if len(text) >= leastText {
		p.emit(hidden{name: "script.js", text: text, steps: []step{entityStep, percentStep}})
	}
	p.code = end
}

// codedURI reads a value whose scheme is hidden by character references.
func (p *page) codedURI(equals int) {
	start, end := p.value(equals)
	head, _, _ := transform.Bytes(entityStep(), p.text[start:min(end, start+2*maxURIHeader)])
	scheme, _, _ := bytes.Cut(head, []byte{':'})
	if len(bytes.Map(graphic, scheme)) != len("data") {
		p.emit(hidden{name: "script.js", text: p.text[start:end], steps: []step{entityStep, percentStep}})
		return
	}
	if u, ok := parseURI(head); ok {
		p.uri(u, hidden{text: p.text[start:end], steps: []step{entityStep, u.cut}}, func() string { return p.downloadName(start, end) })
	}
}

// dataURI reads a data: URI whose colon is at an offset.
func (p *page) dataURI(colon int) {
	u, _ := parseURI(p.text[colon:])
	scheme := p.backwards("data", colon)
	if scheme < 0 {
		scheme = p.escapedData(colon)
	}
	start, end := colon+u.body, p.uriEnd(scheme, colon)
	if u.base64 && p.opening(scheme) == 0 {
		end = start
		for end < len(p.text) && (base64Values[p.text[end]] != base64Junk || p.text[end] == '%') {
			end++
		}
	}
	if start >= end {
		return
	}
	data := hidden{text: p.text[start:end]}
	if bytes.IndexByte(p.text[start:end], '&') >= 0 {
		data.steps = []step{entityStep}
	}
	p.uri(u, data, func() string { return p.downloadName(scheme, end) })
}

// opening is the quote, or the parenthesis of CSS, that stands before a URI that
// begins at an offset, white space not counted; 0 when there is none.
func (p *page) opening(start int) byte {
	least := max(0, start-maxScheme)
	for start > least && isSpace(p.text[start-1]) {
		start--
	}
	if start == 0 || bytes.IndexByte([]byte("\"'`("), p.text[start-1]) < 0 {
		return 0
	}
	return p.text[start-1]
}

// uriEnd is where a URI ends whose scheme stands between two offsets.
func (p *page) uriEnd(start, colon int) int {
	switch delimiter := p.opening(start); delimiter {
	case 0:
		return p.blank(colon)
	case '(':
		return p.until(colon, ')')
	default:
		return p.until(colon, delimiter)
	}
}

// blank finds, from an offset on, what cannot stand in a URI without quotes.
func (p *page) blank(from int) int {
	if found := p.delimiter[' '] - 1; found >= from {
		return found
	}
	end := from
	for end < len(p.text) && p.text[end] > ' ' && bytes.IndexByte([]byte("<>\"'`"), p.text[end]) < 0 {
		end++
	}
	p.delimiter[' '] = end + 1
	return end
}

// nearTag is how far from a link, in bytes, the name of its file is looked for.
const nearTag = 256

// downloadName is the name that a link, whose address stands between two offsets,
// gives to the file; "" when it gives none.
func (p *page) downloadName(start, end int) string {
	before, behind := p.text[max(0, start-nearTag):start], p.text[end:min(len(p.text), end+nearTag)]
	before = before[bytes.LastIndexAny(before, "<>")+1:]
	if i := bytes.IndexAny(behind, "<>"); i >= 0 {
		behind = behind[:i]
	}
	for _, part := range [][]byte{behind, before} {
		at := bytes.Index(bytes.ToLower(part), []byte("download="))
		if at < 0 {
			continue
		}
		name := bytes.TrimLeft(part[at+len("download="):], "\"'")
		if i := bytes.IndexAny(name, "\"' \t\r\n"); i >= 0 {
			name = name[:i]
		}
		if len(name) > 0 {
			name, _, _ = transform.Bytes(entityStep(), name)
			return decodeName(name)
		}
	}
	return ""
}

// keepIsland takes note of a text that may be a file in base64: one that begins
// as none does only where a script may decode it.
func (p *page) keepIsland(e event, i int) {
	end := p.until(i+1, '<')
	start := i + 1
	switch p.text[i] {
	case '=':
		start, end = p.value(i)
	case '<':
		start, end = i+len(commentStart), p.until(i, '>')
		end = max(start, end-len("--"))
	}
	if i < p.inIsland || e == maybeIsland && end-start < leastText {
		return
	}
	p.inIsland = end
	switch v := p.script.span(nodeRaw, start, end, false); {
	case v == unknown:
	case e == island:
		p.islands = append(p.islands, v)
	default:
		p.maybe = append(p.maybe, v)
	}
}
