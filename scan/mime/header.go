package mime

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

const (
	maxContentFields = 64 // Content-* fields of one header that are looked into
	maxNames         = 16 // file names of one part
	maxEncodings     = 8  // transfer encodings of one part, besides the first name of each decoder
	maxOthers        = 4  // places where the body of one part may start, besides the likeliest
)

// header is what a header section says about its part.
type header struct {
	body   int   // where the body starts
	others []int // where else it may start
	more   bool  // in further places, too

	loneCR, lineFeed bool // how its lines end: programs that need a line feed read on behind a CR

	fields       int // Content-* fields seen
	types        []string
	multipart    string // the first type that is a multipart
	params       map[string]string
	boundaries   []string
	encodings    []string
	dispositions []string
	fileNames    []string // of Content-Disposition
	typeNames    []string // of Content-Type
	id           string   // the Content-ID
}

// section is the state of the walk through the lines of a header.
type section struct {
	name  []byte // of the field that is being read; nil: none
	value int    // where its value starts
	junk  int    // first of the lines without a field name since the last field; -1: none
}

// header reads the header section that starts at at.
//
// Lines without a field name in the midst of fields are passed over. Where no
// field follows them, the empty line before the body may be what is missing: the
// body starts with them. Either way the other readings are kept.
func (p *parser) header(at int) *header {
	h := &header{}
	s := section{junk: -1}
	pos, end := at, 0
	if at == 0 && bytes.HasPrefix(p.raw, []byte("\xef\xbb\xbf")) {
		pos = 3
	}
	for first := true; ; first = false {
		var next int
		end, next = line(p.raw, pos)
		text := p.raw[pos:end]
		if next > end {
			h.loneCR = h.loneCR || p.raw[next-1] == '\r'
			h.lineFeed = h.lineFeed || p.raw[next-1] == '\n'
		}
		if !first && len(text) > 0 && isBlank(text[0]) {
			pos = next
			continue
		}
		p.field(h, &s, at, pos)
		if len(text) == 0 || p.endsHeader(h, pos, text) {
			h.body = next
			break
		}
		s.line(p, h, text, pos, first)
		pos = next
	}
	if h.loneCR && h.lineFeed {
		p.odd(oddCR)
	}
	closed := end == pos && pos < len(p.raw) // by an empty line
	if !closed {
		h.body = pos
		p.odd(oddNoEmpty)
	}
	switch {
	case s.junk >= 0:
		if h.body > s.junk {
			h.other(h.body)
		}
		h.body = s.junk
	case len(h.others) == 0 && !closed && at < pos:
		h.other(at)
	}
	return h
}

// other notes a place where the body may start, too.
func (h *header) other(at int) {
	if h.more = len(h.others) == maxOthers; !h.more {
		h.others = append(h.others, at)
	}
}

// endsHeader reports whether a line is a delimiter: one of the part's own, where
// the empty line before the body is missing, or one of a level above.
func (p *parser) endsHeader(h *header, pos int, text []byte) bool {
	if !bytes.HasPrefix(text, []byte("--")) {
		return false
	}
	if isDelimiter(text[2:], h.boundaries) {
		return true
	}
	_, ok := p.delimiter(pos)
	return ok
}

// line takes in a line that is neither empty nor a continuation.
func (s *section) line(p *parser, h *header, text []byte, pos int, first bool) {
	if first {
		if bytes.HasPrefix(text, []byte("From ")) || bytes.HasPrefix(text, []byte(">From ")) {
			return // of an mbox file
		}
		trimmed := bytes.TrimLeft(text, " \t")
		pos += len(text) - len(trimmed)
		text = trimmed
	}
	name, colon := fieldName(text)
	if colon < 0 {
		p.odd(oddLine)
		if s.junk < 0 {
			s.junk = pos
		}
		return
	}
	s.name, s.value = name, pos+colon+1
	if s.junk >= 0 {
		h.other(s.junk)
	}
	s.junk = -1
}

// field ends the field that is being read: its value ends at end.
func (p *parser) field(h *header, s *section, start, end int) {
	name := s.name
	if s.name = nil; name == nil {
		return
	}
	if end-start > p.limits.Header {
		p.unchecked("header")
		return
	}
	if len(name) < len("Content-") || !strings.EqualFold(string(name[:len("Content-")]), "Content-") {
		return
	}
	if h.fields++; h.fields > maxContentFields {
		p.unchecked("header")
		return
	}
	value := p.raw[s.value:end]
	if bytes.IndexByte(value, 0) >= 0 {
		p.odd(oddNUL)
	}
	switch strings.ToLower(string(name[len("Content-"):])) {
	case "type":
		p.contentType(h, unfold(value))
	case "transfer-encoding":
		if !h.addEncodings(unfold(value)) {
			p.unchecked("header")
		}
	case "disposition":
		kind, params, all := parseParams(unfold(value))
		h.dispositions = append(h.dispositions, kind)
		var named bool
		if h.fileNames, named = addNames(h.fileNames, params); !named || !all {
			p.unchecked("header")
		}
	case "id":
		h.id = cmp.Or(h.id, contentID(unfold(value)))
	}
}

// fieldName gives the name of the field that a line starts with, and the index
// of its colon; -1 where there is none. Blanks before the colon and NULs are
// not part of a name (RFC 5322, section 4.5).
func fieldName(text []byte) (name []byte, colon int) {
	colon = bytes.IndexByte(text, ':')
	if colon <= 0 {
		return nil, -1
	}
	name = bytes.TrimRight(text[:colon], " \t\x00")
	if bytes.IndexByte(name, 0) >= 0 {
		name = bytes.ReplaceAll(name, []byte{0}, nil)
	}
	for _, c := range name {
		if c <= ' ' || c > '~' {
			return nil, -1
		}
	}
	if len(name) == 0 {
		return nil, -1
	}
	return name, colon
}

// unfold takes the line ends and NULs out of a field's value, and the blanks
// around it (RFC 5322, section 2.2.3).
func unfold(value []byte) string {
	value = trimBlank(value)
	if bytes.IndexByte(value, '\n') < 0 && bytes.IndexByte(value, '\r') < 0 && bytes.IndexByte(value, 0) < 0 {
		return string(value)
	}
	s := make([]byte, 0, len(value))
	for _, c := range value {
		if c != '\r' && c != '\n' && c != 0 {
			s = append(s, c)
		}
	}
	return string(s)
}

// contentType takes in a Content-Type field.
func (p *parser) contentType(h *header, value string) {
	kind, params, all := parseParams(value)
	h.types = append(h.types, kind)
	if h.multipart == "" && strings.HasPrefix(kind, "multipart/") {
		h.multipart = kind
	}
	var bounded, named bool
	h.boundaries, bounded = addBoundaries(h.boundaries, params)
	h.typeNames, named = addNames(h.typeNames, params)
	if !all || !bounded || !named {
		p.unchecked("header")
	}
	for _, param := range params {
		if h.params == nil {
			h.params = map[string]string{}
		}
		if _, ok := h.params[param.name]; !ok {
			h.params[param.name] = param.text()
		}
	}
}

// contentID gives the identifier in a Content-ID or in what refers to one
// (RFC 2392).
func contentID(value string) string {
	return strings.Trim(value[:min(len(value), maxOther)], " \t<>")
}

// addEncodings takes in a Content-Transfer-Encoding field: the words of its
// value, the first of which most programs go by. However many words there are,
// no decoder is left out; all is false when encoded words were too long to tell.
func (h *header) addEncodings(value string) (all bool) {
	all = true
	if strings.Contains(value, "=?") {
		all = len(value) <= maxValue
		value += " " + decodeText(value[:min(len(value), maxValue)])
	}
	words := func(r rune) bool { return strings.ContainsRune(" \t,;\"'()<>=", r) }
	known := func(word string) bool {
		if len(h.encodings) < maxEncodings {
			return slices.Contains(h.encodings, word)
		}
		d := decoderOf(word)
		return slices.ContainsFunc(h.encodings, func(e string) bool { return decoderOf(e) == d })
	}
	for _, s := range []string{withoutComments(value), value} {
		for word := range strings.FieldsFuncSeq(strings.ToLower(s), words) {
			if word = clip(word); !known(word) {
				h.encodings = append(h.encodings, word)
			}
		}
	}
	return all
}

// addNames appends the file names among params, each once; all is false when
// there are too many.
func addNames(to []string, params []param) (_ []string, all bool) {
	for _, p := range params {
		if p.name != "filename" && p.name != "name" {
			continue
		}
		name := clip(p.text())
		if name == "" || slices.Contains(to, name) {
			continue
		}
		if len(to) == maxNames {
			return to, false
		}
		to = append(to, name)
	}
	return to, true
}

// describe writes what a header says into its part. kind is the type of a part
// that names none.
func (p *parser) describe(part *Part, h *header, kind string) {
	part.Type, part.Params, part.Encodings, part.contentID = kind, h.params, h.encodings, h.id
	part.mixedEnds = h.loneCR && h.lineFeed
	if i := slices.IndexFunc(h.types, isType); i >= 0 {
		part.Type = h.types[i]
	} else if len(h.types) > 0 {
		part.Type = "text/plain" // RFC 2045, section 5.2: whatever cannot be read
	}
	if len(h.dispositions) > 0 {
		switch part.Disposition = h.dispositions[0]; part.Disposition {
		case "inline", "":
		default:
			part.Disposition = "attachment" // RFC 2183, section 2.8
		}
	}
	part.boundaries = h.boundaries
	for _, name := range slices.Concat(h.fileNames, h.typeNames) {
		if len(part.Names) < maxNames && !slices.Contains(part.Names, name) {
			part.Names = append(part.Names, name)
		}
	}
	p.note(part, h)
}

// note says what is odd about a header.
func (p *parser) note(part *Part, h *header) {
	if len(h.types) > 1 {
		p.odd(oddTypes)
	}
	if len(h.dispositions) > 1 {
		p.odd(oddDisps)
	}
	if len(part.Names) > 1 {
		p.odd(oddNames)
	}
	if len(h.boundaries) > 1 {
		p.odd(oddBoundaries)
	}
	if slices.Contains(h.boundaries, "") {
		p.odd(oddEmpty)
	}
	if len(h.encodings) > 1 {
		p.odd(oddEncodings)
	}
	for _, e := range h.encodings {
		if !isPlain(e) && decoderOf(e).how == "identity" {
			p.odd(oddEncoding)
		}
	}
}

// isType reports whether s has the form of a media type.
func isType(s string) bool {
	major, minor, ok := strings.Cut(s, "/")
	return ok && major != "" && minor != ""
}

// isMessage reports whether the type of the part says that it is a message.
func (p *Part) isMessage() bool { return isMessage(p.Type) }

// isMessage reports whether a type is that of a message: every message/* that is
// not a list of fields.
func isMessage(kind string) bool {
	switch kind {
	case "message/delivery-status", "message/disposition-notification", "message/feedback-report",
		"message/global-delivery-status", "message/global-disposition-notification",
		"message/global-headers", "message/tracking-status", "message/sip", "message/sipfrag":
		return false
	}
	return strings.HasPrefix(kind, "message/")
}

// IsIdentity reports whether no Content-Transfer-Encoding of the part names one
// that is undone.
func (p *Part) IsIdentity() bool {
	return !slices.ContainsFunc(p.Encodings, func(e string) bool { return decoderOf(e).how != "identity" })
}

// Field gives the values of the named header field of a part, unfolded, in the
// order of the message, decoded to UTF-8 (RFC 2047; raw 8-bit text guessed).
func (m *Message) Field(p *Part, name string) []string {
	var values []string
	var found, from = false, 0
	section := p.Header.of(m.Raw)
	if p.Header.Start == 0 {
		section = bytes.TrimPrefix(section, []byte("\xef\xbb\xbf"))
	}
	for pos, next := 0, 0; ; pos = next {
		var end int
		end, next = line(section, pos)
		text := section[pos:end]
		if pos > 0 && len(text) > 0 && isBlank(text[0]) {
			continue
		}
		if found {
			values = append(values, decodeText(unfold(section[from:pos])))
			found = false
		}
		if pos == len(section) {
			return values
		}
		if pos == 0 {
			text = bytes.TrimLeft(text, " \t")
		}
		if n, colon := fieldName(text); colon >= 0 && strings.EqualFold(string(n), name) {
			found, from = true, end-len(text)+colon+1
		}
	}
}
