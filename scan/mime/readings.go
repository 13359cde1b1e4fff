package mime

import (
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

// isStandard reports whether every program knows an encoding by this name: by others
// that are like it some decode, and some do not.
func isStandard(encoding string) bool {
	switch encoding {
	case "base64", "quoted-printable", "x-uuencode", "uuencode", "x-uue", "x-uu":
		return true
	}
	return isPlain(encoding)
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
		guesses := false
		noted := func(r Reading) bool {
			guesses = guesses || r.Guess
			return yield(r)
		}
		for _, at := range append([]int{p.Body.Start}, p.others...) {
			if !m.read(p, Range{at, p.Body.End}, noted) {
				return
			}
		}
		p.strict = len(p.others)+len(p.loose) == 0 && p.isDeclared(m.Raw) && (!guesses || decoderOf(p.Encodings[0]).how != "base64")
	}
}

// isDeclared reports whether the header says how the body is encoded, without a
// doubt, and the body does not look otherwise.
func (p *Part) isDeclared(raw []byte) bool {
	var named []*decoder
	for _, e := range p.Encodings {
		d := decoderOf(e)
		if d.how == "identity" && !isPlain(e) {
			return false
		}
		named = append(named, d)
	}
	if len(named) == 0 {
		named = append(named, decoderOf("binary"))
	}
	looksOther := func(d decoder) bool { return d.looks != nil && d.how != named[0].how && d.looks(p.Body.of(raw)) }
	return len(slices.Compact(named)) == 1 && !slices.ContainsFunc(decoders, looksOther)
}

// read yields the readings of a leaf when its body is the given range, and
// reports whether to go on.
func (m *Message) read(p *Part, in Range, yield func(Reading) bool) bool {
	body := in.of(m.Raw)
	plain := in.Start > p.Body.Start // identity is done: it is a piece of what was
	for _, d := range p.decoders(body) {
		each := func(r Reading) bool {
			if r.Raw == nil {
				return yield(r)
			}
			done := plain
			plain = true
			return done || m.identity(p, in, yield)
		}
		if !d.read(body, each) {
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
	if len(chosen) == 0 || p.isMessage() || p.Extra || p.mixedEnds || !slices.ContainsFunc(p.Encodings, isStandard) {
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
	if in != p.Body || !p.IsIdentity() {
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
	if !first.sawInner && !first.sawForeign && !first.sawRest && !first.sawURL && !shifted {
		return true
	}
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
	if !first.sawBad && !mixed {
		return true
	}
	for _, r := range []struct {
		how    string
		differ bool
		data   quotedReader
	}{
		{"quoted-printable, bad escapes dropped", first.sawBad, quotedReader{bad: noEqual}},
		{"quoted-printable, a character after them dropped", first.sawBad, quotedReader{bad: noEqualNor1}},
		{"quoted-printable, two characters after them dropped", first.sawBad, quotedReader{bad: noEqualNor2}},
		{"quoted-printable, blanks within escapes dropped", first.sawBad, quotedReader{bad: noBlanks}},
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
