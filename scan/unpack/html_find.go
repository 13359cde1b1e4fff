package unpack

import (
	"bytes"
	"io"
	"strings"
)

// Classes of characters, by the encodings that they belong to.
const (
	charDigit     = 1 << iota
	charHex       // a to f
	charX         // of 0x50
	charLetter    // another letter, or padding
	charSign      // + / - _ : of base64, or between numbers
	charSpace     //
	charSeparator // between numbers
	charPercent   //
	charOther     //
)

var charClasses = func() (classes [256]uint16) {
	for i := range classes {
		c := byte(i)
		switch {
		case c >= '0' && c <= '9':
			classes[i] = charDigit
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			classes[i] = charHex
		case c|0x20 == 'x':
			classes[i] = charX
		case isLetter(c), c == '=':
			classes[i] = charLetter
		case strings.IndexByte("+/-_", c) >= 0:
			classes[i] = charSign
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			classes[i] = charSpace
		case strings.IndexByte(",;:|.#~!*&", c) >= 0:
			classes[i] = charSeparator
		case c == '%':
			classes[i] = charPercent
		default:
			classes[i] = charOther
		}
	}
	return classes
}()

// survey is what can be told of a string that may be an encoded file.
type survey struct {
	size    int
	classes uint16 // of its characters
	digits  int    // hexadecimal ones
	percent int
	head    []byte
}

// surveyOf reads a string to its end.
func (f *finder) surveyOf(r io.Reader) (s survey, err error) {
	buffer := f.buffers[2][:hiddenHead]
	for end := false; !end; {
		n := 0
		n, end, err = fill(r, buffer, 0)
		if s.size == 0 {
			s.head = bytes.Clone(buffer[:n])
		}
		s.size += n
		for _, c := range buffer[:n] {
			class := charClasses[c]
			s.classes |= class
			if class <= charHex {
				s.digits++
			} else if class == charPercent {
				s.percent++
			}
		}
	}
	return s, err
}

// whole reports whether the head is all of it.
func (s survey) whole() bool { return s.size == len(s.head) }

// only reports whether there are no characters but those of the classes given.
func (s survey) only(classes uint16) bool { return s.classes&^classes == 0 }

// decodings gives the ways in which a string can be decoded, the strictest first.
func (s survey) decodings() (steps []step) {
	const hexDigits, base64Chars = charDigit | charHex | charSpace, charDigit | charHex | charX | charLetter | charSign | charSpace
	numbers := s.classes&charDigit != 0 && s.classes&(charSeparator|charSign|charSpace) != 0 &&
		s.only(charDigit|charHex|charX|charSign|charSpace|charSeparator)
	if numbers {
		steps = append(steps, numbersStep(nil, false))
	}
	if s.digits >= 2*hiddenLeast && s.digits%2 == 0 && (numbers || s.only(hexDigits)) {
		steps = append(steps, hexStep)
	}
	if s.only(base64Chars) {
		steps = append(steps, base64Step)
	}
	if s.percent > 0 && s.hidesByPercent() {
		steps = append(steps, percentStep, percentPairs)
	}
	return steps
}

// manyPercents is the number of percent signs, and percentEvery how many characters
// there are to each at the most, that are more than those of a URL.
const (
	manyPercents = 16
	percentEvery = 32
)

// hidesByPercent reports whether a string is percent-encoded for another reason
// than to be part of a URL.
func (s survey) hidesByPercent() bool {
	if s.percent >= manyPercents && s.size <= percentEvery*s.percent {
		return true
	}
	for i, c := range s.head {
		if c != '%' {
			continue
		}
		out, n, took := percentNext(s.head[i:], true)
		if took == 6 || took > 1 && n == 1 && isWordByte(out[0]) { // %uXXXX is in no URL
			return true
		}
	}
	return false
}

// decode decodes what there is of the head.
func (s survey) decode(d step) []byte {
	out := make([]byte, len(s.head))
	n, _, _ := d().Transform(out, s.head, s.whole())
	return out[:n]
}

// leastText is the length in bytes from which a text that scripts put together is
// worth a look: less than that the smallest test virus has not.
const leastText = 64

// maxEncodings bounds how many encodings over one another are undone.
const maxEncodings = 8

// scripts looks at all strings that a text's scripts are made of.
func (f *finder) scripts(s *script) {
	found := s.finish()
	s.changes = s.changesOf()
	for _, v := range found {
		if f.done || f.limit != nil {
			return
		}
		f.string(s, v)
	}
	if s.full && f.limit == nil {
		f.limit = &LimitError{"objects"}
	}
}

// string looks at a string for itself, when scripts put it together, and as an
// encoded file.
func (f *finder) string(s *script, v value) {
	n := s.nodes[v]
	text := s.text(v)
	if text != v && s.nodes[text].settled {
		return
	}
	about, err := f.surveyOf(s.open(text))
	f.over(err)
	if about.size < hiddenLeast || f.limit != nil {
		return
	}
	if n.hides && text == v {
		f.plain(s, v, about)
	}
	f.encoded(s, text, about, maxEncodings)
}

// plain looks at a string that scripts put together.
func (f *finder) plain(s *script, v value, about survey) {
	isNumbers := s.nodes[v].kind == nodeNumbers
	w := worthOf(about.head)
	if isNumbers && (w == noise || w == prose) {
		f.changed(s, v)
	}
	switch {
	case w == known, w == prose && (isNumbers || about.size >= leastText), w == image:
		f.offer(s.hidden(v, w), about.head, about.whole())
	}
	if u, ok := parseURI(about.head); ok && hasPrefixFold(about.head, "data:") {
		if rest := s.step(v, u.cut); rest != unknown {
			f.uri(u, s.hidden(rest, noise), func() string { return s.fileName })
		}
	}
}

// hidden is a string as a hidden file. Where the script shows no name for one, it
// has a general one.
func (s *script) hidden(v value, w worth) hidden {
	name := s.fileName
	switch {
	case name != "":
	case w == prose:
		name = "script.txt"
	default:
		name = "script.bin"
	}
	return hidden{name: name, open: func() io.Reader { return s.open(v) }}
}

// encoded looks at a string as an encoded file, and at what comes out of it.
func (f *finder) encoded(s *script, v value, about survey, tries int) {
	for _, d := range about.decodings() {
		if f.decoded(s, v, d, about, tries) {
			return
		}
	}
	if s.reverses && about.only(charDigit|charHex|charX|charLetter|charSign|charSpace) && s.nodes[v].kind != nodeReversed {
		turned := s.reverse(v)
		if turned == unknown {
			return
		}
		if about, err := f.surveyOf(s.open(turned)); err == nil {
			f.encoded(s, turned, about, tries)
		}
	}
}

// decoded looks at a file that a string decodes to by a step. It reports whether
// it is one.
func (f *finder) decoded(s *script, v value, d step, about survey, tries int) bool {
	head := about.decode(d)
	w := worthOf(head)
	if w == noise {
		return f.keyed(s, v, d, head)
	}
	if v = s.step(v, d); v == unknown {
		return false
	}
	if !f.offer(s.hidden(v, w), head, about.whole()) {
		return w == image
	}
	if w == prose && tries > 0 {
		about, err := f.surveyOf(s.open(v))
		f.over(err)
		f.encoded(s, v, about, tries-1)
	}
	return true
}

// leastKeyed is the length in bytes from which a file is tried with keys.
const leastKeyed = 32

// keyed looks for a file whose bytes, decoded by a step, were changed by a key that
// the script shows.
func (f *finder) keyed(s *script, v value, d step, head []byte) bool {
	head = head[:min(len(head), 64)]
	if len(head) < leastKeyed || len(s.changes) == 0 {
		return false
	}
	if !f.budget.spend(len(head) * len(s.changes)) {
		f.over(errWork)
		return false
	}
	about := survey{size: len(head), head: head}
	for _, change := range s.changes {
		if w := worthOf(about.decode(change)); w == prose || w == known {
			if found := s.step(s.step(v, d), change); found != unknown {
				f.emit(s.hidden(found, w))
			}
			return true
		}
	}
	return false
}

// changesOf gives the ways in which the bytes of a file may have been changed, by
// the numbers and the words that the script shows.
func (s *script) changesOf() (changes []step) {
	xor := func(b, k byte) byte { return b ^ k }
	for _, r := range s.numbers {
		key := []byte{byte(r)}
		changes = append(changes, keyStep(key, xor),
			keyStep(key, func(b, k byte) byte { return b - k }),
			keyStep(key, func(b, k byte) byte { return b + k }))
	}
	for _, k := range s.keys {
		if key := s.short(k); s.swaps && len(key) > 0 {
			changes = append(changes, keyStep(key, xor))
		}
	}
	return changes
}

// emitChanged hands out a file that numbers decode to by a step.
func (f *finder) emitChanged(s *script, numbers node, d step, w worth) {
	if v := s.step(s.span(nodeRaw, int(numbers.a), int(numbers.b), false), d); v != unknown {
		f.emit(s.hidden(v, w))
	}
}

// changed looks for a file in numbers that were each changed by one that the
// script shows. Of several texts that come out the likeliest one is taken.
func (f *finder) changed(s *script, v value) {
	n := s.nodes[v]
	head := s.src[n.a:min(n.b, n.a+hiddenHead)]
	about := survey{size: int(n.b - n.a), head: head}
	var likeliest step
	words := 0
	for _, k := range s.numbers {
		for _, change := range []func(rune) rune{
			func(r rune) rune { return r ^ k },
			func(r rune) rune { return r - k },
			func(r rune) rune { return r + k },
		} {
			if !f.budget.spend(len(head)) {
				f.over(errWork)
				return
			}
			d := numbersStep(change, true)
			out := about.decode(d)
			switch score := wordBytes(out); {
			case worthOf(out) == known:
				f.emitChanged(s, n, d, known)
				return
			case worthOf(out) == prose && score > words:
				likeliest, words = d, score
			}
		}
	}
	if likeliest != nil {
		f.emitChanged(s, n, likeliest, prose)
	}
}

// wordBytes counts the letters, digits and blanks in b.
func wordBytes(b []byte) (n int) {
	for _, c := range b {
		if isWordByte(c) || c == ' ' {
			n++
		}
	}
	return n
}
