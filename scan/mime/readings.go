package mime

import (
	"bufio"
	"bytes"
	"io"
	"iter"
	"slices"
	"strings"
)

// decoder undoes one transfer encoding.
type decoder struct {
	how   string
	named func(encoding string) bool // by a Content-Transfer-Encoding, lower case
	looks func(body []byte) bool     // whatever the header says; nil: never
	read  func(body []byte, yield func(Reading) bool) bool
}

// decoders lists every transfer encoding. A leaf is read by each one that its
// header names, in whatever form, and by each one that its body looks like. The
// last one is for every other name.
var decoders = []decoder{
	{how: "base64", named: isNamed("base64", "b"), looks: looksBase64, read: readBase64},
	{how: "quoted-printable", named: isNamed("quoted", "q"), read: readQuoted},
	{how: "uuencode", named: isNamed("uu", "uu"), read: readUU},
	{how: "identity", named: func(string) bool { return true }, read: readPlain},
}

// readPlain stands for the body as it is: a Reading with Raw.
func readPlain(body []byte, yield func(Reading) bool) bool {
	return yield(Reading{How: "identity", Raw: body})
}

// isNamed makes the test for a name that contains word, or is short.
func isNamed(word, short string) func(string) bool {
	return func(encoding string) bool { return encoding == short || strings.Contains(encoding, word) }
}

// decoderOf finds the decoder that an encoding names.
func decoderOf(encoding string) *decoder {
	return &decoders[slices.IndexFunc(decoders, func(d decoder) bool { return d.named(encoding) })]
}

// isPlain reports whether an encoding changes nothing (RFC 2045, section 6.2).
func isPlain(encoding string) bool {
	return encoding == "7bit" || encoding == "8bit" || encoding == "binary"
}

// Readings yields every decoding of a leaf that can differ from those before it:
// for an ordinary leaf one. What is not a leaf has none.
//
// A reading that differs only because of what a body holds, such as padding in
// the midst of base64, comes after the others, when the body has been read.
func (m *Message) Readings(p *Part) iter.Seq[Reading] {
	return func(yield func(Reading) bool) {
		if len(p.Children) > 0 || p.Message != nil {
			return
		}
		for _, at := range append([]int{p.Body.Start}, p.others...) {
			if !m.read(p, Range{at, p.Body.End}, yield) {
				return
			}
		}
	}
}

// read yields the readings of a leaf when its body is the given range, and
// reports whether to go on.
func (m *Message) read(p *Part, in Range, yield func(Reading) bool) bool {
	body := in.of(m.Raw)
	isText := strings.HasPrefix(p.Type, "text/") || strings.HasPrefix(p.Type, "message/")
	plain := in.Start > p.Body.Start // identity is done: it is a piece of what was
	for _, d := range p.decoders(body) {
		found := false // a uuencoded file in the decoded text
		each := func(r Reading) bool {
			if r.Raw != nil {
				done := plain
				plain = true
				return done || m.identity(p, in, yield)
			}
			if !isText || d.how == "uuencode" {
				return yield(r)
			}
			spot := &spotter{src: r.Data}
			r.Data = spot
			if !yield(r) {
				return false
			}
			spot.drain()
			found = found || spot.found
			return true
		}
		if !d.read(body, each) {
			return false
		}
		files := func(r Reading) bool { return r.Raw != nil || readFiles(r.Data, yield) }
		if found && !d.read(body, files) {
			return false
		}
	}
	return true
}

// decoders gives the decoders that a body is to be read by, the likeliest first.
func (p *Part) decoders(body []byte) []*decoder {
	var chosen []*decoder
	add := func(d *decoder) {
		if !slices.Contains(chosen, d) {
			chosen = append(chosen, d)
		}
	}
	for _, e := range p.Encodings {
		add(decoderOf(e))
	}
	if len(chosen) == 0 || p.isMessage() || p.Extra {
		add(decoderOf("binary"))
	}
	for i := range decoders {
		if d := &decoders[i]; d.looks != nil && d.looks(body) {
			add(d)
		}
	}
	return chosen
}

// identity yields a body as it is, then the uuencoded files in it.
func (m *Message) identity(p *Part, in Range, yield func(Reading) bool) bool {
	if !yield(Reading{How: "identity", Raw: in.of(m.Raw)}) {
		return false
	}
	blocks := slices.Concat(p.Blocks, p.loose)
	if in != p.Body || !p.isIdentity() {
		blocks = findBlocks(m.Raw, in)
	}
	for _, b := range blocks {
		r := Reading{How: "uuencode", Name: b.Name, Data: b.open(m.Raw)}
		if !b.loose {
			r.Block = &b.Range
		}
		if !yield(r) {
			return false
		}
	}
	return true
}

// readBase64 yields the habits of decoding base64 that this body tells apart.
func readBase64(body []byte, yield func(Reading) bool) bool {
	first := &base64Reader{src: body}
	if !yield(Reading{How: "base64", Data: first}) {
		return false
	}
	for !first.ended {
		first.fill()
	}
	behind, shifted := behindJunk(body)
	more := []struct {
		how    string
		differ bool
		data   base64Reader
	}{
		{"base64, padding passed over", first.sawInner, base64Reader{src: body, habit: padSkipped}},
		{"base64, padding counted", first.sawInner, base64Reader{src: body, habit: padCounts}},
		{"base64, padding as zero", first.sawInner, base64Reader{src: body, habit: padIsZero}},
		{"base64, line by line", first.sawInner || first.sawForeign || first.sawRest, base64Reader{src: body, habit: byLine}},
		{"base64, whole groups of each line", first.sawRest, base64Reader{src: body, habit: wholeInLine}},
		{"base64, up to foreign characters", first.sawForeign, base64Reader{src: body, habit: foreignEnds}},
		{"base64url", first.sawURL, base64Reader{src: body, url: true}},
		{"base64, behind an empty line", shifted, base64Reader{src: behind}},
	}
	for _, r := range more {
		if r.differ && !yield(Reading{How: r.how, Data: &r.data, Guess: true}) {
			return false
		}
	}
	// What is foreign may be a text of its own.
	return !first.sawForeign || readPlain(body, yield)
}

// readQuoted yields the habits of decoding quoted-printable that this body tells
// apart.
func readQuoted(body []byte, yield func(Reading) bool) bool {
	first := &quotedReader{src: body}
	if !yield(Reading{How: "quoted-printable", Data: first}) {
		return false
	}
	for len(first.src) > 0 {
		first.fill()
	}
	mixed := first.mixed()
	for _, r := range []struct {
		how    string
		differ bool
		data   quotedReader
	}{
		{"quoted-printable, bad escapes dropped", first.sawBad, quotedReader{bad: noEqual}},
		{"quoted-printable, a character after them dropped", first.sawBad, quotedReader{bad: noEqualNor1}},
		{"quoted-printable, two characters after them dropped", first.sawBad, quotedReader{bad: noEqualNor2}},
		{"quoted-printable, capitals only", mixed, quotedReader{upper: true}},
		{"quoted-printable, capitals only, a character dropped", mixed, quotedReader{upper: true, bad: noEqualNor1}},
		{"quoted-printable, capitals only, two characters dropped", mixed, quotedReader{upper: true, bad: noEqualNor2}},
	} {
		r.data.src = body
		if r.differ && !yield(Reading{How: r.how, Data: &r.data, Guess: true}) {
			return false
		}
	}
	return true
}

// readUU yields the uuencoded files in a body that is declared to be one; where
// none begins, the body from its first line.
func readUU(body []byte, yield func(Reading) bool) bool {
	blocks := findBlocks(body, Range{0, len(body)})
	for _, b := range blocks {
		if !yield(Reading{How: "uuencode", Name: b.Name, Data: b.open(body)}) {
			return false
		}
	}
	if len(blocks) > 0 {
		return true
	}
	at := 0
	return yield(Reading{How: "uuencode", Data: newUUReader(linesOf(body, &at), false)}) && readPlain(body, yield)
}

// readFiles yields the uuencoded files in a decoded text.
func readFiles(text io.Reader, yield func(Reading) bool) bool {
	next := linesFrom(bufio.NewReader(text))
	line, ok := next()
	for ok {
		name, isBase64, begins := parseBegin(line)
		if !begins {
			line, ok = next()
			continue
		}
		r := newUUReader(next, isBase64)
		if !yield(Reading{How: "uuencode", Name: name, Data: r}) {
			return false
		}
		if r.drain(); r.peeked != nil {
			line = r.peeked // the next file may begin with it
		} else {
			line, ok = next()
		}
	}
	return true
}

// spotter passes a decoded text through and looks for "begin " at the start of
// a line in it.
type spotter struct {
	src   io.Reader
	tail  []byte // the last bytes of what has passed
	found bool
	ended bool
}

// marks is what a spotter looks for; the start of a text counts as a line's.
var marks = [][]byte{[]byte("\nbegin "), []byte("\nbegin-base64 ")}

// markLength is the length of the longest mark.
const markLength = len("\nbegin-base64 ")

func (s *spotter) Read(b []byte) (int, error) {
	if s.tail == nil {
		s.tail = append(make([]byte, 0, 2*markLength), '\n')
	}
	n, err := s.src.Read(b)
	s.ended = err != nil
	if !s.found {
		s.look(b[:n])
	}
	return n, err
}

func (s *spotter) look(b []byte) {
	seam := append(s.tail, b[:min(len(b), markLength)]...)
	for _, m := range marks {
		s.found = s.found || bytes.Contains(seam, m) || bytes.Contains(b, m)
	}
	if len(b) >= markLength {
		seam = b
	}
	s.tail = append(s.tail[:0], seam[max(0, len(seam)-markLength):]...)
}

// drain reads what the consumer has not.
func (s *spotter) drain() {
	var b [4096]byte
	for !s.ended {
		s.Read(b[:])
	}
}
