package mime

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// Field is a header field of a part: its lines, with the line end of the last one.
type Field struct {
	Range
	Name string // as it is written
}

// Fields gives the header fields of a part in their order, and the line end of the
// header, which is CRLF or LF. sure is false where programs may tell the fields, or
// the end of the header, apart in other ways, and where it is longer than Limits.Header.
func (m *Message) Fields(p *Part) (fields []Field, eol string, sure bool) {
	section := p.Header.of(m.Raw)
	if len(p.others) > 0 || len(section) > m.limits.withDefaults().Header || bytes.IndexByte(section, 0) >= 0 {
		return nil, "", false
	}
	for at, next := 0, 0; at < len(section); at = next {
		var end int
		end, next = line(section, at)
		text, lineEnd := section[at:end], string(section[end:next])
		if eol == "" {
			eol = lineEnd
		}
		switch {
		case lineEnd != eol || eol != "\r\n" && eol != "\n":
			return nil, "", false
		case len(text) == 0:
			return fields, eol, next == len(section)
		case isBlank(text[0]):
			// A line of blanks ends the header for some programs.
			if len(fields) == 0 || len(trimBlank(text)) == 0 {
				return nil, "", false
			}
			fields[len(fields)-1].End = p.Header.Start + next
		default:
			name, colon := fieldName(text)
			if colon != len(name) { // none, or blanks before it
				return nil, "", false
			}
			fields = append(fields, Field{Range{p.Header.Start + at, p.Header.Start + next}, string(name)})
		}
	}
	return nil, "", false // no empty line
}

// Seam is where a part can be put behind all other parts of a multipart.
type Seam struct {
	At       int    // start of the closing delimiter's line; without one, the end of the body
	Closed   bool   // there is a closing delimiter
	Boundary string // of the delimiters
}

// Seam gives the place for another part of a multipart. ok is false where there is
// none, or where programs may tell the parts apart in other ways: then a part that
// is put there may not be one for all.
func (m *Message) Seam(p *Part) (s Seam, ok bool) {
	doubtful := func(odd string) bool { return slices.Contains(oddSeams, odd) }
	if p.seam == nil || len(p.others)+len(p.wholes) > 0 || slices.ContainsFunc(m.Odd, doubtful) ||
		!plainBoundary.MatchString(p.seam.Boundary) || !m.isPlainType(p) {
		return Seam{}, false
	}
	return *p.seam, true
}

// isPlainType reports whether the Content-Type of a multipart is one that every program
// reads alike.
func (m *Message) isPlainType(p *Part) bool {
	fields, _, sure := m.Fields(p)
	i := slices.IndexFunc(fields, func(f Field) bool { return strings.EqualFold(f.Name, "Content-Type") })
	if !sure || i < 0 || fields[i].End-fields[i].Start > maxPlainType {
		return false
	}
	_, value, _ := bytes.Cut(fields[i].of(m.Raw), []byte(":"))
	return plainType.MatchString(unfold(value))
}

// maxPlainType bounds the length of a Content-Type field that is looked at: it is a few
// lines of 78 characters.
const maxPlainType = 1000

// oddSeams are the oddities of a message, wherever in it, by which delimiters are in doubt.
var oddSeams = []string{oddBoundaries, oddEmpty, oddSame, oddTail, oddReopened, oddGuessed, oddParts, oddNoEmpty, oddNUL, oddCR}

// plainType is what such a field says: RFC 2045, section 5.1, without comments, quoted
// pairs and what RFC 2231 has.
var plainType = regexp.MustCompile(`(?i)^multipart/[a-z0-9.+-]+` +
	`(?:[ \t]*;[ \t]*[a-z0-9.-]+=(?:[a-z0-9+_.$&!#-]+|"[a-z0-9()+_,./:=?<>@ -]*"))+[ \t]*;?$`)

// plainBoundary is a boundary by RFC 2046, section 5.1.1, but for blanks and single
// quotes.
var plainBoundary = regexp.MustCompile(`(?i)^[a-z0-9()+_,./:=?-]{1,70}$`)

// setSeam notes the seam of a multipart when its delimiters go by one boundary, the one
// that its header names, and the last one alone is the closing one. joints are its
// delimiters and the one that ends it.
func (p *parser) setSeam(part *Part, h *header, joints []delimiter) {
	if len(h.types) != 1 || len(h.boundaries) != 1 {
		return
	}
	s := Seam{At: joints[len(joints)-1].start, Boundary: h.boundaries[0]}
	for _, d := range joints[:len(joints)-1] {
		text := strings.TrimRight(d.text, " \t")
		if d.closing {
			text = strings.TrimSuffix(text, "--")
		}
		if s.Closed || text != s.Boundary {
			return
		}
		if d.closing {
			s.At, s.Closed = afterEOL(p.raw, d.start), true
		}
	}
	part.seam = &s
}
