package unpack

import (
	"bytes"
	"iter"
	"strings"

	"golang.org/x/text/transform"
)

// vcardOpener takes files out of vCards (RFC 6350, RFC 2426, and version 2.1 of the
// versit consortium), calendars (RFC 5545) and LDIF (RFC 2849): values in base64,
// data: URIs, and values in quoted-printable that are files. Photographs that are
// nothing else are passed over, being in half of all address books.
var vcardOpener = opener{name: "vcard", match: vcardMatch, entries: vcardEntries}

// cardHead is within how many bytes a vCard begins.
const cardHead = 4 << 10

func vcardMatch(data []byte) bool {
	head := data[:min(len(data), cardHead)]
	return isCard(head) || isLDIF(head)
}

// isCard reports whether a line of head begins a vCard or a calendar.
func isCard(head []byte) bool {
	for at := 0; ; at++ {
		i := bytes.IndexByte(head[at:], ':')
		if i < 0 {
			return false
		}
		at += i
		start := at - len("begin")
		if start < 0 || !hasPrefixFold(head[start:], "begin:v") || start > 0 && head[start-1] != '\n' && head[start-1] != '\r' && head[start-1] != 0xbf {
			continue
		}
		for _, kind := range []string{"vcard", "vcalendar", "vnote", "vevent", "vtodo", "vmsg", "vbody"} {
			if hasPrefixFold(head[at+1:], kind) {
				return true
			}
		}
	}
}

// isLDIF reports whether head begins as LDIF does, comments not counted, and has
// a value in base64.
func isLDIF(head []byte) bool {
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	for line := range bytes.Lines(head) {
		switch {
		case line[0] == '#', line[0] == '\r', line[0] == '\n':
		case hasPrefixFold(line, "dn:"):
			return true
		case hasPrefixFold(line, "version:"):
			return bytes.Contains(head, []byte("\ndn:"))
		default:
			return false
		}
	}
	return false
}

func vcardEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		c := &card{finder: newFinder(len(f.Data), yield), text: f.Data, ldif: !isCard(f.Data[:min(len(f.Data), cardHead)])}
		for c.at < len(c.text) && !c.done && c.limit == nil {
			c.line()
		}
		c.end()
	}
}

// card is a text of content lines: name, parameters, value.
type card struct {
	*finder
	text []byte
	at   int // of the next line
	ldif bool
}

// property is what a content line says before its value.
type property struct {
	name      string // in lower case
	fileName  string
	mediaType string // in lower case; of older versions a word like "jpeg"
	base64    bool
	quoted    bool // in quoted-printable
}

// maxProperty bounds, in bytes, what of a line is read for the property.
const maxProperty = 8 << 10

// line reads a content line and hands out the file in it.
func (c *card) line() {
	start, end := c.at, c.folded(c.at)
	c.at = end
	line, _, _ := transform.Bytes(unfoldStep(), c.text[start:min(end, start+maxProperty)])
	colon := valueAt(line)
	if colon < 0 {
		return
	}
	p, value := parseProperty(line[:colon]), bytes.TrimLeft(line[colon+1:], " ")
	switch {
	case c.ldif && bytes.HasPrefix(value, []byte(":")):
		c.attribute(p, c.value(start, end, colon+1, base64Step))
	case hasPrefixFold(value, "data:"):
		c.dataURI(p, value, c.value(start, end, len(line)-len(value)))
	case p.base64:
		c.at = c.unindented(end)
		c.file(p, c.value(start, c.at, colon+1, base64Step))
	case p.quoted:
		c.at = c.soft(start, end)
		c.quoted(p, value, c.value(start, c.at, colon+1, quotedStep))
	}
}

// folded is where a line ends that begins at an offset, with those that continue
// it, which begin with a blank (RFC 6350, section 3.2).
func (c *card) folded(at int) int {
	for {
		at = c.next(at)
		if at >= len(c.text) || c.text[at] != ' ' && c.text[at] != '\t' {
			return at
		}
	}
}

// next is where the line begins that follows the one at an offset. Lines end with
// CRLF, LF, or CR alone.
func (c *card) next(at int) int {
	for ; at < len(c.text); at++ {
		switch {
		case c.text[at] == '\r' && at+1 < len(c.text) && c.text[at+1] == '\n':
			return at + 2
		case c.text[at] == '\r', c.text[at] == '\n':
			return at + 1
		}
	}
	return at
}

// unindented is where base64 ends that goes on in lines without a blank before
// them, as some programs write it: at an empty line, or the next property.
func (c *card) unindented(at int) int {
	for at < len(c.text) {
		end := c.next(at)
		for _, b := range bytes.TrimSpace(c.text[at:end]) {
			if base64Values[b] == base64Junk {
				return at
			}
		}
		at = end
	}
	return at
}

// soft is where a value in quoted-printable ends: behind a line that ends with "="
// it goes on.
func (c *card) soft(start, end int) int {
	for end < len(c.text) && bytes.HasSuffix(bytes.TrimRight(c.text[start:end], " \t\r\n"), []byte{'='}) {
		start, end = end, c.next(end)
	}
	return end
}

// value opens the value of the content line between two offsets; at is where it
// begins when the line is unfolded.
func (c *card) value(start, end, at int, steps ...step) hidden {
	cut := func() transform.Transformer { return &cutter{skip: at} }
	return hidden{
		text:  c.text[start:end],
		steps: append([]step{unfoldStep, cut}, steps...),
	}
}

// valueAt is where the colon stands that ends name and parameters, not counting
// those in quotes; -1 when there is none.
func valueAt(line []byte) int {
	inQuotes := false
	for i, b := range line {
		switch {
		case b == '"':
			inQuotes = !inQuotes
		case b == ':' && !inQuotes:
			return i
		}
	}
	return bytes.IndexByte(line, ':') // a quote too many hides nothing
}

// parseProperty reads a property's name and its parameters.
func parseProperty(head []byte) (p property) {
	for i := 0; len(head) > 0; i++ {
		end := parameterEnd(head)
		key, text, named := strings.Cut(string(head[:end]), "=")
		head = head[min(end+1, len(head)):]
		key, text = strings.ToLower(strings.TrimSpace(key)), strings.Trim(text, "\" \t")
		switch {
		case i == 0:
			p.name = key[strings.LastIndexByte(key, '.')+1:] // a group may stand before it
		case named:
			p.parameter(key, text)
		default: // of version 2.1
			p.parameter("", key)
		}
	}
	return p
}

// parameterEnd is where the next semicolon stands that is in no quotes.
func parameterEnd(head []byte) int {
	inQuotes := false
	for i, b := range head {
		switch {
		case b == '"':
			inQuotes = !inQuotes
		case b == ';' && !inQuotes:
			return i
		}
	}
	return len(head)
}

// parameter takes note of one parameter.
func (p *property) parameter(key, text string) {
	lower := strings.ToLower(text)
	switch key {
	case "", "encoding":
		p.base64 = p.base64 || lower == "b" || lower == "base64"
		p.quoted = p.quoted || lower == "quoted-printable" || lower == "q"
	case "fmttype", "mediatype", "type":
		if p.mediaType == "" || key != "type" {
			p.mediaType = lower
		}
	case "filename", "x-filename", "x-apple-filename", "x-ms-filename", "x-name", "x-label", "x-oracle-filename":
		p.fileName = decodeName([]byte(text))
	}
}

// nameOf is the name of the file in a property.
func (p property) nameOf() string {
	if p.fileName != "" {
		return p.fileName
	}
	return p.name + extensionOf(p.mediaType)
}

// extensionOf is how files of a media type are named; "" when none is given.
func extensionOf(mediaType string) string {
	if mediaType == "" {
		return ""
	}
	return extensions[mediaType]
}

// file hands out the file in a value that is said to be one, whatever it looks like.
func (c *card) file(p property, data hidden) {
	if len(data.text) < hiddenLeast {
		return
	}
	data.name = p.nameOf()
	head, whole := c.headOf(data)
	if len(head) >= hiddenLeast && (worthOf(head) != image || isMoreThanImage(spending{data.reader(), c.budget})) {
		c.emitOnce(data, head, whole)
	}
}

// quoted hands out a value in quoted-printable if it is a file, or a text that
// hides its letters: that of ordinary ones is only in another language.
func (c *card) quoted(p property, value []byte, data hidden) {
	data.name = p.nameOf()
	head, whole := c.headOf(data)
	if w := worthOf(head); w == known || w == prose && hidesByQuoting(value) {
		c.emitOnce(data, head, whole)
	}
}

// hidesByQuoting reports whether letters or digits are written as escapes.
func hidesByQuoting(value []byte) bool {
	for i, b := range value {
		if b != '=' {
			continue
		}
		if r, ok := hexRune(value[i+1:], 2); ok && isWordByte(byte(r)) {
			return true
		}
	}
	return false
}

// dataURI hands out the file in a data: URI, whose comma and semicolons may have a
// backslash before them.
func (c *card) dataURI(p property, value []byte, data hidden) {
	value = bytes.ReplaceAll(value, []byte{'\\'}, nil)
	u, ok := parseURI(value)
	if !ok {
		return
	}
	data.steps = append(data.steps, dropStep(func(b byte) bool { return b == '\\' }), u.cut)
	c.uri(u, data, func() string {
		if p.fileName != "" {
			return p.fileName
		}
		return u.fileName(p.name)
	})
}

// attribute hands out a value of LDIF that is a file. Base64 is what any text has
// there that is not in ASCII, and so are keys, hashes and certificates.
func (c *card) attribute(p property, data hidden) {
	if len(data.text) < hiddenLeast {
		return
	}
	data.name = p.name
	head, whole := c.headOf(data)
	plain := len(head) >= leastText && head[0] != '{' && bytes.IndexFunc(head, func(r rune) bool { return r >= 0x80 }) < 0
	switch w := worthOf(head); {
	case w == known && !isDER(head), w == prose && plain, w == image && isMoreThanImage(spending{data.reader(), c.budget}):
		c.emitOnce(data, head, whole)
	}
}

// unfoldStep joins the lines that a content line was folded into.
func unfoldStep() transform.Transformer {
	return &decoder{next: func(src []byte, atEnd bool) (out [4]byte, n, took int) {
		if src[0] != '\r' && src[0] != '\n' {
			return [4]byte{src[0]}, 1, 1
		}
		if len(src) < 3 && !atEnd {
			return out, 0, 0
		}
		length := 1
		if bytes.HasPrefix(src, []byte("\r\n")) {
			length = 2
		}
		if len(src) > length && (src[length] == ' ' || src[length] == '\t') {
			return out, 0, length + 1
		}
		return [4]byte{src[0]}, 1, 1
	}}
}

// quotedStep decodes quoted-printable (RFC 2045, section 6.7).
func quotedStep() transform.Transformer {
	return &decoder{next: func(src []byte, atEnd bool) (out [4]byte, n, took int) {
		if src[0] != '=' {
			return [4]byte{src[0]}, 1, 1
		}
		if len(src) < 3 && !atEnd {
			return out, 0, 0
		}
		if r, ok := hexRune(src[1:], 2); ok {
			return [4]byte{byte(r)}, 1, 3
		}
		switch {
		case bytes.HasPrefix(src, []byte("=\r\n")):
			return out, 0, 3
		case bytes.HasPrefix(src, []byte("=\n")), bytes.HasPrefix(src, []byte("=\r")):
			return out, 0, 2
		}
		return [4]byte{'='}, 1, 1
	}}
}
