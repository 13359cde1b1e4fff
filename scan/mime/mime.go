// Package mime reads a message as a tree of byte ranges.
//
// It never refuses a message and never changes one: whatever the bytes are,
// there is a tree, and every byte range in it points into the original. What
// was odd about the message is noted in the tree; what lies beyond a limit is
// one leaf, and noted as such.
package mime

import (
	"io"
	"iter"
)

// Range is a run of bytes of the original message: [Start, End).
type Range struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

// Limits bounds the work that a message can cause. A zero field means its default.
type Limits struct {
	Depth  int // levels of multipart and attached messages; default 50
	Parts  int // parts in all; default 10,000
	Header int // bytes of one header section that are read for fields; default 1 MiB
}

// Message is a parsed message.
type Message struct {
	Raw       []byte   // the original: never written to
	Root      *Part    // the message itself
	Odd       []string // what mail programs may read differently, in plain words, each once
	Unchecked []string // limits that were met ("depth", "parts", "header"), each once
}

// Part is a node of the tree.
type Part struct {
	ID       string // section number as IMAP counts (RFC 9051, section 6.4.5): "1", "2.1"; "" for the message itself
	Parent   *Part
	Children []*Part // of a multipart, in order
	Message  *Part   // of a message/rfc822 in an identity encoding: the root of the attached message

	// Cut is what has to be removed so that the tree is the same less this part:
	// of a multipart's child from its delimiter line to the line end before the
	// next delimiter. Of the root and of an attached message's root it is Whole.
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
	Extra  bool    // preamble or epilogue of the parent: bytes that no mail program should show, ID "2.0" and "2.~"
}

// Block is a uuencoded file within a text, from its begin line to the line end
// after its end line.
type Block struct {
	Range
	Name string
}

// Reading is one way to decode the body of a leaf.
type Reading struct {
	How  string    // "identity", "base64", "quoted-printable", "uuencode", …
	Name string    // file name that the encoding itself carries (uuencode), decoded
	Raw  []byte    // the decoded bytes where they stand in the original as they are; else nil
	Data io.Reader // the decoded bytes where Raw is nil; never fails but with io.EOF
	// Block is the place in the original that this reading stands for when it is
	// less than the whole body (a uuencoded block in a raw text).
	Block *Range
}

// Parse reads raw. It never fails and keeps raw.
func Parse(raw []byte, limits Limits) *Message { panic("not built yet") }

// Leaves yields the parts that hold bytes of their own, in the order of the
// message: leaves of the tree, preambles and epilogues that are not blank.
func (m *Message) Leaves() iter.Seq[*Part] { panic("not built yet") }

// Readings yields every decoding of a leaf that can differ from those before it.
func (m *Message) Readings(p *Part) iter.Seq[Reading] { panic("not built yet") }

// IsBody reports whether a mail program shows the leaf as the message, or a
// piece of it, rather than as an attachment.
func (p *Part) IsBody() bool { panic("not built yet") }

// Field gives the values of the named header field of a part, unfolded, in the
// order of the message, decoded to UTF-8 (RFC 2047; raw 8-bit text guessed).
func (m *Message) Field(p *Part, name string) []string { panic("not built yet") }
