package mime

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// What a message can be odd about. The words are for the postmaster.
const (
	oddTypes      = "several Content-Type fields"
	oddEncodings  = "several transfer encodings"
	oddEncoding   = "unknown transfer encoding"
	oddDisps      = "several Content-Disposition fields"
	oddNames      = "several file names"
	oddBoundaries = "several boundaries"
	oddEmpty      = "empty boundary"
	oddSame       = "the same boundary on two levels"
	oddTail       = "text after a delimiter"
	oddReopened   = "parts after the closing delimiter"
	oddUnclosed   = "multipart without its closing delimiter"
	oddNoParts    = "multipart without parts"
	oddGuessed    = "boundary that is not the one declared"
	oddParts      = "parts in what is not called multipart"
	oddLine       = "header line without a field name"
	oddNoEmpty    = "header without the empty line after it"
	oddNUL        = "NUL in a header"
	oddCR         = "lone carriage returns in a header"
)

// parser reads one message.
type parser struct {
	raw    []byte
	limits Limits
	msg    *Message
	open   []*level
	marks  trie
	depth  int // of multiparts and attached messages
	parts  int
	full   bool // the limit of parts is met: the rest is one leaf
	reread int  // bytes of bodies with parts that are read as a whole, too

	only  int  // which one of the boundaries counts where there are several; -1: all of them
	exact bool // text after a delimiter makes it none
}

// delimiter is a line that ends a part.
type delimiter struct {
	level   int    // in parser.open; -1: the end of the message
	node    int    // of the trie, where its boundary ends
	text    string // of the line, without the "--" it starts with
	start   int    // of the line end before the line, which belongs to it (RFC 2046, section 5.1.1)
	next    int    // of the line after it
	closing bool
}

func (p *parser) odd(what string) {
	if !slices.Contains(p.msg.Odd, what) {
		p.msg.Odd = append(p.msg.Odd, what)
	}
}

func (p *parser) unchecked(limit string) {
	if !slices.Contains(p.msg.Unchecked, limit) {
		p.msg.Unchecked = append(p.msg.Unchecked, limit)
	}
}

func (p *parser) newPart(parent *Part) *Part {
	if p.parts++; p.parts >= p.limits.Parts && parent != nil {
		p.full = true
		p.unchecked("parts")
	}
	return &Part{Parent: parent, Type: "text/plain"}
}

// end is the delimiter that the end of the message makes.
func (p *parser) end() delimiter {
	return delimiter{level: -1, start: len(p.raw), next: len(p.raw)}
}

// entity reads the part that starts at at, a header and a body, and gives the
// delimiter that ends it. kind is the type of a part that names none.
func (p *parser) entity(part *Part, at int, kind string) delimiter {
	if p.full {
		part.span(at, at, len(p.raw))
		return p.end()
	}
	h := p.header(at)
	p.describe(part, h, kind)
	d := p.body(part, h)
	part.span(at, h.body, d.start)
	p.others(part, h, d.start)
	switch {
	case len(part.Children) > 0 || part.Message != nil:
		p.wholes(part, h)
	case part.IsIdentity():
		part.setBlocks(p.raw)
	}
	return d
}

// body reads the body of a part as what its header says.
func (p *parser) body(part *Part, h *header) delimiter {
	isMessage := part.isMessage() && part.IsIdentity()
	if (len(h.boundaries) > 0 || isMessage) && p.depth >= p.limits.Depth {
		p.unchecked("depth")
		return p.find(h.body)
	}
	p.depth++
	defer func() { p.depth-- }()
	var d delimiter
	if len(h.boundaries) > 0 && (h.multipart != "" || !isMessage) {
		if d = p.multipart(part, h, p.chosen(h.boundaries)); len(part.Children) > 0 {
			return d
		}
	}
	if h.multipart != "" {
		if guess, ok := p.guess(h.body); ok && p.depth <= p.limits.Depth {
			if d := p.multipart(part, h, []string{guess}); len(part.Children) > 0 {
				p.odd(oddGuessed)
				uncut(part) // with a part less, the guess may be another
				return d
			}
		}
		p.odd(oddNoParts)
	}
	if isMessage {
		root := p.newPart(part)
		part.Message = root
		d := p.entity(root, h.body, "text/plain")
		root.Cut = root.Whole
		return d
	}
	if len(h.boundaries) > 0 {
		return d
	}
	return p.find(h.body)
}

// chosen gives those of the boundaries of a part that count.
func (p *parser) chosen(boundaries []string) []string {
	if p.only < 0 || len(boundaries) < 2 {
		return boundaries
	}
	at := min(p.only, len(boundaries)-1)
	return boundaries[at : at+1]
}

// guess finds what mail programs take for the boundary of a multipart that has
// none: the first line that starts with "--" and has a header field after it.
func (p *parser) guess(body int) (boundary string, ok bool) {
	for at := body; at < len(p.raw); {
		i := bytes.Index(p.raw[at:], []byte("--"))
		if i < 0 {
			return "", false
		}
		at += i
		if at > body && !isEOL(p.raw[at-1]) {
			at += 2
			continue
		}
		if _, taken := p.delimiter(at); taken {
			return "", false // of a part around this one
		}
		end, next := line(p.raw, at)
		text := bytes.TrimRight(p.raw[at+2:end], " \t\x00")
		fieldEnd, _ := line(p.raw, next)
		if _, colon := fieldName(p.raw[next:fieldEnd]); colon > 0 && len(text) > 0 && len(text) <= maxBoundary {
			return string(text), true
		}
		at = next
	}
	return "", false
}

// multipart reads the children of a part. When there are none, the part is left
// as it was: a leaf.
func (p *parser) multipart(part *Part, h *header, boundaries []string) delimiter {
	n := len(p.open)
	own := p.marks.push(n, boundaries)
	p.open = append(p.open, own)
	defer func() {
		p.open = p.open[:n]
		p.marks.pop(own)
	}()
	kind := "text/plain"
	if h.multipart == "multipart/digest" {
		kind = "message/rfc822" // RFC 2046, section 5.1.5
	}
	var children, extras []*Part
	d := p.find(h.body)
	extras = p.extra(extras, part, h.body, d.start)
	joints := []delimiter{d} // the last one is not of this level
	for ; d.level == n; joints = append(joints, d) {
		if own.closed && !d.closing {
			p.odd(oddReopened)
		}
		if own.closed = d.closing; d.closing {
			next := p.find(d.next)
			extras = p.extra(extras, part, d.next, next.start)
			d = next
			continue
		}
		child := p.newPart(part)
		next := p.entity(child, d.next, kind)
		child.Cut = Range{max(d.start, h.body), next.start} // the empty line after a header stays
		children = append(children, child)
		d = next
	}
	if len(children) == 0 {
		return d
	}
	if !own.closed {
		p.odd(oddUnclosed)
	}
	if h.multipart == "" {
		p.odd(oddParts)
	} else {
		part.Type = h.multipart
	}
	part.Children, part.Extras = children, extras
	p.keepJoints(part, joints)
	p.setSeam(part, h, joints)
	p.countTrees(joints)
	return d
}

// countTrees notes in how many ways the message is to be read where delimiters of
// one level go by different boundaries: each by itself could be the one that counts.
func (p *parser) countTrees(joints []delimiter) {
	for _, d := range joints[:len(joints)-1] {
		if d.node != joints[0].node {
			p.msg.trees = maxTrees
			return
		}
	}
}

// stock are the preambles that mail programs write for readers without MIME, in
// lower case and without blanks.
var stock = []string{
	"thisisamulti-partmessageinmimeformat",
	"thisisamultipartmessageinmimeformat",
	"thisisamime-encapsulatedmessage",
	"thisisamime-formattedmessage",
	"thisisamimemessage",
	"thisisacryptographicallysignedmessageinmimeformat",
	"thisisanopenpgp/mimesignedmessage(rfc4880and3156)",
	"thisisanopenpgp/mimeencryptedmessage(rfc4880and3156)",
	"thismessageisinmimeformat",
	"thismessageisinmimeformat.sinceyourmailreaderdoesnotunderstandthisformat,someorallofthismessagemaynotbelegible",
	"thisisamimemultipartmessage.ifyouarereadingthis,yourmailerdoesn'tsupportmime",
}

// extra appends the text between start and end, outside of all parts, when it
// says more than that this is MIME.
func (p *parser) extra(to []*Part, parent *Part, start, end int) []*Part {
	if start >= end {
		return to
	}
	text := p.raw[start:end]
	if len(text) <= 256 {
		word := strings.ToLower(strings.Join(strings.Fields(string(text)), ""))
		if word = strings.TrimRight(word, ".-"); word == "" || slices.Contains(stock, word) {
			return to
		}
	} else if len(trimBlank(text)) == 0 {
		return to
	}
	e := p.extraPart(parent, Range{start, end})
	e.Cut = e.Whole
	return append(to, e)
}

// others keeps the places where else the body of a part may start. Of a body that
// is not encoded the first one will do: the others are in it as they are.
func (p *parser) others(part *Part, h *header, end int) {
	part.others = slices.DeleteFunc(h.others, func(at int) bool { return at > end })
	switch {
	case part.IsIdentity():
		part.others = part.others[:min(len(part.others), 1)]
	case h.more:
		p.unchecked("header")
	}
}

// extraPart makes a leaf of bytes outside of all parts. They are in the encodings
// of their parent, if in any.
func (p *parser) extraPart(parent *Part, body Range) *Part {
	e := &Part{Parent: parent, Type: "text/plain", Encodings: parent.Encodings, Extra: true}
	e.span(body.Start, body.Start, body.End)
	e.setBlocks(p.raw)
	return e
}

// maxReread bounds how often, on the average, a byte of the message is read as a
// piece of a body that has parts.
const maxReread = 16

// wholes gives a part that has parts, or is a message, the readings that its body
// has for programs that do not see these: because they go by another
// Content-Type, undo an encoding first, or end the header elsewhere.
func (p *parser) wholes(part *Part, h *header) {
	opaque := !part.IsIdentity() || slices.ContainsFunc(h.types, func(kind string) bool {
		if part.Message != nil {
			return !isMessage(kind)
		}
		return !strings.HasPrefix(kind, "multipart/")
	})
	starts := part.others
	if opaque {
		starts = append([]int{part.Body.Start}, starts...)
	}
	for _, at := range starts {
		if at >= part.Body.Start && !opaque || at < part.Body.Start && at == part.Header.Start {
			continue // the parts, and what is around them, are all there is, but for the header
		}
		if p.reread += part.Body.End - at; p.reread > maxReread*len(p.raw) {
			p.unchecked("header")
			return
		}
		part.wholes = append(part.wholes, p.extraPart(part, Range{at, part.Body.End}))
	}
}

// find gives the first delimiter of an open level at or after at, which is the
// start of a line.
func (p *parser) find(at int) delimiter {
	if len(p.open) == 0 {
		return p.end()
	}
	for {
		i := bytes.Index(p.raw[at:], []byte("--"))
		if i < 0 {
			return p.end()
		}
		at += i
		if d, ok := p.delimiter(at); ok {
			return d
		}
		for at < len(p.raw) && p.raw[at] == '-' {
			at++
		}
	}
}

// delimiter reads the "--" at at as the beginning of a delimiter line.
func (p *parser) delimiter(at int) (delimiter, bool) {
	if len(p.open) == 0 || at > 0 && !isEOL(p.raw[at-1]) || !p.marks.begins(p.raw[at+2:]) {
		return delimiter{}, false
	}
	end, next := line(p.raw, at)
	text := p.raw[at+2 : end]
	n, node, ok := p.marks.match(text)
	if !ok {
		return delimiter{}, false
	}
	levels := p.marks[node].levels
	level := levels[len(levels)-1]
	if len(levels) > 1 && levels[len(levels)-2] != level {
		p.odd(oddSame)
		if p.open[level].closed {
			level = levels[len(levels)-2]
		}
	}
	rest := string(bytes.TrimRight(text[n:], " \t\x00"))
	if rest != "" && rest != "--" {
		if p.odd(oddTail); p.exact {
			return delimiter{}, false
		}
	}
	return delimiter{
		level: level, node: node, text: string(text), start: beforeEOL(p.raw, at), next: next, closing: rest == "--",
	}, true
}

// span sets the ranges of a part of which the header starts at at, the body at
// body, and the next delimiter at end. The empty line after a header can be the
// line end that belongs to the delimiter: then end is before body.
func (p *Part) span(at, body, end int) {
	at, body = min(at, end), min(body, end)
	p.Whole, p.Header, p.Body = Range{at, end}, Range{at, body}, Range{body, end}
}

// number gives the parts below p their section numbers; prefix is what the
// numbers of its children start with.
func number(p *Part, prefix string) {
	for i, w := range p.wholes {
		w.ID = p.ID + "*"
		if i > 0 {
			w.ID += strconv.Itoa(i + 1)
		}
	}
	epilogues := 0
	for _, e := range p.Extras {
		switch {
		case e.Whole.Start == p.Body.Start:
			e.ID = prefix + "0"
		case epilogues == 0:
			e.ID, epilogues = prefix+"~", 1
		default:
			epilogues++
			e.ID = prefix + "~" + strconv.Itoa(epilogues)
		}
	}
	for i, c := range p.Children {
		c.ID = prefix + strconv.Itoa(i+1)
		number(c, c.ID+".")
	}
	if m := p.Message; m != nil {
		if prefix == "" {
			prefix = "1." // the message itself is of type message/rfc822
		}
		m.ID = prefix + "1"
		below := m.ID + "."
		if len(m.Children) > 0 {
			m.ID, below = prefix+"TEXT", prefix
		}
		number(m, below)
	}
}
