// Package mime reads a message as a tree of byte ranges.
//
// It never refuses a message and never changes one: whatever the bytes are,
// there is a tree, and every byte range in it points into the original. What
// was odd about the message is noted in the tree; what lies beyond a limit is
// one leaf, and noted as such.
//
// Where mail programs read a message in different ways, the candidates are kept
// side by side: every boundary, every transfer encoding, every file name. The
// package decodes; it does not judge.
package mime

import (
	"io"
	"iter"
	"slices"
	"strings"
)

// Range is a run of bytes of the original message: [Start, End).
type Range struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

// of gives the bytes of the range.
func (r Range) of(raw []byte) []byte { return raw[r.Start:r.End] }

// Limits bounds the work that a message can cause. A zero field means its default.
type Limits struct {
	Depth  int // levels of multipart and attached messages; default 50
	Parts  int // parts in all; default 10,000
	Header int // bytes of one header section that are read for fields; default 1 MiB
}

// withDefaults fills in the fields that are zero.
func (l Limits) withDefaults() Limits {
	if l.Depth == 0 {
		l.Depth = 50
	}
	if l.Parts == 0 {
		l.Parts = 10_000
	}
	if l.Header == 0 {
		l.Header = 1 << 20
	}
	return l
}

// Message is a parsed message.
type Message struct {
	Raw       []byte   // the original: never written to
	Root      *Part    // the message itself
	Odd       []string // what mail programs may read differently, in plain words, each once
	Unchecked []string // limits that were met ("depth", "parts", "header"), each once

	limits Limits
	trees  int // how many boundaries of one part may be the one that counts; 0: there is no doubt
}

// Part is a node of the tree.
type Part struct {
	// ID is the section number as IMAP counts (RFC 9051, section 6.4.5): "1",
	// "2.1"; "" for the message itself. The root of an attached message in part 2
	// is "2.1" when it is a leaf; a multipart there is "2.TEXT", its children are
	// "2.1", "2.2".
	ID       string
	Parent   *Part
	Children []*Part // of a multipart, in order; none of them is Extra
	Extras   []*Part // of a multipart, in order: preamble and epilogue, where they say more than that this is MIME
	Message  *Part   // of a message/rfc822 in an identity encoding: the root of the attached message

	// Cut is what has to be removed so that the tree is the same less this part:
	// of a multipart's child its delimiter, which begins with the line end before
	// the delimiter line (RFC 2046, section 5.1.1), and all up to the next
	// delimiter. Cuts lie within the parent's Body, those of siblings are disjoint,
	// and any of them may be removed together as long as one child remains. Of a preamble or an epilogue Cut is
	// Whole; of the root and of an attached message's root as well. It is empty
	// where a removal would make the rest read differently.
	Cut    Range
	Whole  Range // header and body
	Header Range // the header section with the empty line that ends it
	Body   Range

	Type        string            // "text/plain", lower case; the default of RFC 2045, section 5.2, where none is given
	Params      map[string]string // parameters of the Content-Type, names in lower case
	Encodings   []string          // every Content-Transfer-Encoding candidate, lower case, the likeliest first; empty: identity
	Disposition string            // "attachment", "inline" or ""
	Names       []string          // file names, decoded to UTF-8, the likeliest first; every candidate that some mail program shows

	Blocks []Block // uuencoded files within the raw text of a leaf
	Extra  bool    // bytes of the parent that no mail program should show: preamble and epilogue, ID "2.0" and "2.~" (further ones "2.~2", …); its body as a whole, ID "2*" (further ones "2*2", …)

	boundaries []string // every candidate
	mixedEnds  bool     // lines of the header end with CR, and others with LF
	contentID  string   // without its angle brackets
	others     []int    // where the body starts for programs that read the header differently
	loose      []Block  // uuencoded files of which the end is uncertain
	seam       *Seam    // of a multipart: where a part can be added
	strict     bool     // every program reads the body in the encoding that its header names
	wholes     []*Part  // the body, as a whole, for programs that see no parts in it: Extra, without a Cut
}

// Block is a uuencoded file within a text, from its begin line to the line end
// after its end line.
type Block struct {
	Range
	Name string

	base64 bool // begin-base64: its lines are base64
	loose  bool // what follows may have been taken for its data
}

// Reading is one way to decode the body of a leaf.
type Reading struct {
	How   string    // "identity", "base64", "quoted-printable", "uuencode", …
	Name  string    // file name that the encoding itself carries (uuencode), decoded
	Raw   []byte    // the decoded bytes where they stand in the original as they are; else nil
	Data  io.Reader // the decoded bytes where Raw is nil; never fails but with io.EOF; to be read before the next Reading is asked for
	Guess bool      // not what the header says, or what RFC 2045 makes of it: noise, most of the time
	// Block is the place in the original that this reading stands for when it is
	// less than the whole body (a uuencoded block in a raw text).
	Block *Range
}

// Parse reads raw. It never fails and keeps raw.
func Parse(raw []byte, limits Limits) *Message {
	if raw == nil {
		raw = []byte{} // for Reading.Raw, where nil means something else
	}
	p := &parser{raw: raw, limits: limits.withDefaults(), msg: &Message{Raw: raw, limits: limits}, only: -1}
	return p.parse()
}

// maxTrees bounds the trees of one message.
const maxTrees = 6

// Others yields the trees that programs make of the message which choose where the
// tree of Parse has it both ways: one of several boundaries that are all in use,
// lines with text after a boundary. An ordinary message has none. Their parts
// cannot be cut.
func (m *Message) Others() iter.Seq[*Message] {
	return func(yield func(*Message) bool) {
		parse := func(only int, exact bool) bool {
			p := &parser{raw: m.Raw, limits: m.limits.withDefaults(), msg: &Message{Raw: m.Raw, limits: m.limits}, only: only, exact: exact}
			return yield(p.parse())
		}
		for only := range m.trees {
			if !parse(only, false) {
				return
			}
		}
		if slices.Contains(m.Odd, oddTail) {
			parse(-1, true)
		}
	}
}

// parse reads the message.
func (p *parser) parse() *Message {
	root := p.newPart(nil)
	p.msg.Root = root
	p.entity(root, 0, "text/plain")
	root.Cut = root.Whole
	if p.full {
		uncut(root)
	}
	number(root, "")
	return p.msg
}

// Leaves yields the parts that hold bytes of their own, in the order of the
// message: leaves of the tree, preambles and epilogues that are not blank. Where
// programs may see no parts, the body with all its parts comes after these, as an
// Extra that cannot be cut.
func (m *Message) Leaves() iter.Seq[*Part] {
	return func(yield func(*Part) bool) { m.Root.leaves(yield) }
}

// leaves reports whether to go on.
func (p *Part) leaves(yield func(*Part) bool) bool {
	if p.Message != nil {
		return p.Message.leaves(yield) && yieldAll(p.wholes, yield)
	}
	if len(p.Children) == 0 {
		return yield(p)
	}
	extras := p.Extras
	for _, child := range p.Children {
		for len(extras) > 0 && extras[0].Whole.Start <= child.Whole.Start {
			if !yield(extras[0]) {
				return false
			}
			extras = extras[1:]
		}
		if !child.leaves(yield) {
			return false
		}
	}
	return yieldAll(extras, yield) && yieldAll(p.wholes, yield)
}

// yieldAll reports whether to go on.
func yieldAll(parts []*Part, yield func(*Part) bool) bool {
	for _, p := range parts {
		if !yield(p) {
			return false
		}
	}
	return true
}

// Below gives the parts in a part, in the order of the message: children, what stands
// between them, and the body as a whole where some programs see no parts in it.
func (p *Part) Below() []*Part {
	below := slices.Concat(p.Children, p.Extras)
	slices.SortStableFunc(below, func(a, b *Part) int { return a.Whole.Start - b.Whole.Start })
	return append(below, p.wholes...)
}

// Attached gives the message/rfc822 part of the attached message that p is in,
// the innermost if there are several; nil when p belongs to the message itself.
func (p *Part) Attached() *Part {
	if root := p.messageRoot(); root.Parent != nil {
		return root.Parent
	}
	return nil
}

// messageRoot gives the root of the message, attached or not, that p is in.
func (p *Part) messageRoot() *Part {
	for p.Parent != nil && p.Parent.Message != p {
		p = p.Parent
	}
	return p
}

// IsBody reports whether a mail program shows the leaf as the message, or a
// piece of it, rather than as an attachment. The text of an attached message is
// a body too, of that message: see Attached.
func (p *Part) IsBody() bool {
	if p.Extra || len(p.Children) > 0 || p.Message != nil || p.Disposition == "attachment" {
		return false
	}
	root := p.messageRoot()
	switch {
	case p.Type == "text/plain" || p.Type == "text/html" || p.Type == "application/xhtml+xml":
	case strings.HasPrefix(p.Type, "multipart/"): // without parts: shown as text
	case p == root && strings.HasPrefix(p.Type, "text/"):
	default:
		return false
	}
	if len(p.Names) > 0 && p != root.firstLeaf() && (p == root || p.Parent.Type != "multipart/alternative") {
		return false
	}
	for ; p != root; p = p.Parent {
		if p.Parent.Type == "multipart/related" && p != p.Parent.start() {
			return false
		}
	}
	return true
}

// start gives the child of a multipart/related that the others belong to: the one
// that its start parameter names, else the first (RFC 2387, section 3.2).
func (p *Part) start() *Part {
	if id := contentID(p.Params["start"]); id != "" {
		for _, child := range p.Children {
			if child.contentID == id {
				return child
			}
		}
	}
	return p.Children[0]
}

// firstLeaf gives the leaf of p that comes first, preambles apart.
func (p *Part) firstLeaf() *Part {
	for len(p.Children) > 0 {
		p = p.Children[0]
	}
	return p
}
