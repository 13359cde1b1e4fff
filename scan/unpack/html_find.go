package unpack

import (
	"bytes"
	"errors"
	"hash/maphash"
	"io"
	"strings"
)

// finder hands out the files that are hidden in one text.
type finder struct {
	budget *hiddenBudget
	yield  func(member, error) bool
	done   bool
	limit  error // why not all was looked at

	seed maphash.Seed
	seen map[uint64]bool // small files that were handed out, by name and content
}

func newFinder(size int, yield func(member, error) bool) *finder {
	return &finder{budget: newHiddenBudget(size), yield: yield, seed: maphash.MakeSeed(), seen: make(map[uint64]bool)}
}

// emit hands out a hidden file.
func (f *finder) emit(h hidden) {
	if f.budget.files--; f.budget.files < 0 && f.limit == nil {
		f.limit = &LimitError{"objects"}
	}
	if !f.done && f.limit == nil {
		f.done = !f.yield(h.member(f.budget), nil)
	}
}

// offer hands out a hidden file if it is worth it, once. It reports whether it was.
// head is what it begins with; with whole that is all of it.
func (f *finder) offer(h hidden, head []byte, whole bool) bool {
	switch w := worthOf(head); {
	case w == noise, w == image && !isMoreThanImage(spending{h.reader(), f.budget}):
		return false
	}
	f.emitOnce(h, head, whole)
	return true
}

// emitOnce hands out a hidden file, if a small one only once: scripts put the same
// string together in more than one place.
func (f *finder) emitOnce(h hidden, head []byte, whole bool) {
	if whole {
		sum := maphash.String(f.seed, h.name+"\x00"+string(head))
		if f.seen[sum] {
			return
		}
		f.seen[sum] = true
	}
	f.emit(h)
}

// over notes the limit that ended the reading of a text, if one did.
func (f *finder) over(err error) {
	if errors.Is(err, ErrLimit) && f.limit == nil {
		f.limit = err
	}
}

// end tells what was not looked at.
func (f *finder) end() {
	if f.limit != nil && !f.done {
		f.yield(member{}, f.limit)
	}
}

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
func surveyOf(r io.Reader) (s survey, err error) {
	buffer := make([]byte, hiddenHead)
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

// manyPercents is the number of percent signs that are more than those of a URL.
const manyPercents = 16

// hidesByPercent reports whether a string is percent-encoded for another reason
// than to be part of a URL.
func (s survey) hidesByPercent() bool {
	if s.percent >= manyPercents {
		return true
	}
	for i, c := range s.head {
		if c != '%' {
			continue
		}
		out, n, took := percentNext(s.head[i:], true)
		if took > 1 && n == 1 && isWordByte(out[0]) {
			return true
		}
	}
	return false
}

// decode decodes what there is of the head.
func (s survey) decode(d step) []byte {
	out := make([]byte, len(s.head)+8)
	n, _, _ := d().Transform(out, s.head, s.whole())
	return out[:n]
}

// leastText is the length in bytes from which a text that scripts put together is
// worth a look: less than that the smallest test virus has not.
const leastText = 64

// maxTries bounds how many encodings over one another are undone.
const maxEncodings = 8

// scripts looks at all strings that a text's scripts are made of.
func (f *finder) scripts(s *script) {
	for _, v := range s.finish() {
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
	about, err := surveyOf(spending{s.open(text), f.budget})
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
	switch w := worthOf(about.head); {
	case w == noise && isNumbers:
		f.changed(s, v)
	case w == known, w == prose && (isNumbers || about.size >= leastText), w == image:
		f.offer(s.hidden(v, w), about.head, about.whole())
	}
	if u, ok := parseURI(about.head); ok && hasPrefixFold(about.head, "data:") {
		if rest := s.step(v, u.cut); rest != unknown {
			f.uri(u, s.hidden(rest, noise), s.fileName)
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
		if f.decoded(s, s.step(v, d), about.decode(d), about.whole(), tries) {
			return
		}
	}
	if s.reverses && about.only(charDigit|charHex|charX|charLetter|charSign|charSpace) && s.nodes[v].kind != nodeReversed {
		turned := s.reverse(v)
		if turned == unknown {
			return
		}
		if about, err := surveyOf(spending{s.open(turned), f.budget}); err == nil {
			f.encoded(s, turned, about, tries)
		}
	}
}

// decoded looks at a file that a string decodes to; head is what it begins with,
// or all of it.
func (f *finder) decoded(s *script, v value, head []byte, whole bool, tries int) bool {
	if v == unknown {
		return false
	}
	w := worthOf(head)
	if w == noise {
		return f.keyed(s, v, head)
	}
	if !f.offer(s.hidden(v, w), head, whole) {
		return w == image
	}
	if w == prose && tries > 0 {
		about, err := surveyOf(spending{s.open(v), f.budget})
		f.over(err)
		f.encoded(s, v, about, tries-1)
	}
	return true
}

// leastKeyed is the length in bytes from which a file is tried with keys.
const leastKeyed = 32

// keyed looks for a file whose bytes were changed by a key that the script shows.
func (f *finder) keyed(s *script, v value, head []byte) bool {
	head = head[:min(len(head), 64)]
	if len(head) < leastKeyed || !f.budget.spend(len(head)*(len(s.keys)+3*len(s.numbers))) {
		return false
	}
	xor := func(b, k byte) byte { return b ^ k }
	try := func(key []byte, apply func(b, k byte) byte) bool {
		return f.fits(s, v, survey{size: len(head), head: head}, keyStep(key, apply))
	}
	for _, r := range s.numbers {
		key := []byte{byte(r)}
		if try(key, xor) || try(key, func(b, k byte) byte { return b - k }) || try(key, func(b, k byte) byte { return b + k }) {
			return true
		}
	}
	for _, k := range s.keys {
		if key := s.short(k); s.swaps && len(key) > 0 && try(key, xor) {
			return true
		}
	}
	return false
}

// fits hands out what a string decodes to by a step that may be the one, if its
// head says that it is.
func (f *finder) fits(s *script, v value, about survey, d step) bool {
	w := worthOf(about.decode(d))
	if w != prose && w != known {
		return false
	}
	if found := s.step(v, d); found != unknown {
		f.emit(s.hidden(found, w))
	}
	return true
}

// changed looks for a file in numbers that were each changed by one that the
// script shows.
func (f *finder) changed(s *script, v value) {
	n := s.nodes[v]
	raw := s.span(nodeRaw, int(n.a), int(n.b), false)
	if raw == unknown {
		return
	}
	head := s.src[n.a:min(n.b, n.a+hiddenHead)]
	for _, k := range s.numbers {
		for _, change := range []func(rune) rune{
			func(r rune) rune { return r ^ k },
			func(r rune) rune { return r - k },
			func(r rune) rune { return r + k },
		} {
			if f.fits(s, raw, survey{size: int(n.b - n.a), head: head}, numbersStep(change, true)) {
				return
			}
		}
	}
}
