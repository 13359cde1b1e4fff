package mime

import (
	"bytes"
	"cmp"
	"io"
	"iter"
	"slices"
)

// Carved is what may be hidden in a text: one decoding of one region of it. Most
// of what is carved is noise.
type Carved struct {
	How    string    // "base64", "base64, from digit 2 on", …
	Name   string    // file name that stands in the region, or before it; "" when there is none
	Region Range     // of the text
	Data   io.Reader // the decoded bytes; never fails but with io.EOF; to be read before the next one is asked for
}

// carver yields the decodings of regions of a text.
type carver struct {
	text  []byte
	yield func(Carved) bool
	name  string
	done  bool
}

// emit yields a decoding of a region.
func (c *carver) emit(how, name string, in Range, data io.Reader) {
	if !c.done {
		c.done = !c.yield(Carved{How: how, Name: name, Region: in, Data: data})
	}
}

// Blind yields what a reader would find in a message that knows nothing of its
// structure. Regions lie between lines that look like delimiters, and within
// these between empty lines; each is decoded in every way that it could be meant.
//
// What the tree has read in one way only, and strictly, is left out: nearly all
// of ordinary mail. So Leaves and Readings have to be gone through first.
func (m *Message) Blind() iter.Seq[Carved] {
	return func(yield func(Carved) bool) {
		c := &carver{text: m.Raw, yield: yield}
		for _, gap := range m.doubtful() {
			for _, s := range segments(m.Raw, gap) {
				c.segment(s)
				if c.done {
					return
				}
			}
		}
	}
}

// doubtful gives the ranges of a message that may be meant in another way than the
// tree reads them, in order. Where its structure is beyond doubt, these are bodies
// of leaves only; else all but what an encoding has explained.
func (m *Message) doubtful() []Range {
	straight := m.isStraight()
	var strict, loose []Range
	for p := range m.Leaves() {
		switch {
		case p.Body.Start >= p.Body.End:
		case p.strict && !p.Extra && (straight || !p.IsIdentity()):
			strict = append(strict, p.Body)
		default:
			loose = append(loose, p.Body)
		}
	}
	byStart := func(a, b Range) int { return a.Start - b.Start }
	if straight {
		slices.SortFunc(loose, byStart)
		return merged(loose)
	}
	slices.SortFunc(strict, byStart)
	var gaps []Range
	at := 0
	for _, s := range strict {
		if s.Start > at {
			gaps = append(gaps, Range{at, s.Start})
		}
		at = max(at, s.End)
	}
	if at < len(m.Raw) {
		gaps = append(gaps, Range{at, len(m.Raw)})
	}
	return gaps
}

// merged joins ranges, which are ascending, that overlap.
func merged(ranges []Range) []Range {
	out := ranges[:0]
	for _, r := range ranges {
		if n := len(out); n > 0 && r.Start < out[n-1].End {
			out[n-1].End = max(out[n-1].End, r.End)
			continue
		}
		out = append(out, r)
	}
	return out
}

// harmless are oddities that leave no doubt about where the parts of a message are.
var harmless = []string{oddNames, oddDisps, oddEncodings, oddEncoding, oddUnclosed}

// isStraight reports whether all programs see the same parts in the message.
func (m *Message) isStraight() bool {
	return !slices.ContainsFunc(m.Odd, func(odd string) bool { return !slices.Contains(harmless, odd) })
}

// maxSegments bounds the segments of one gap; the rest of it is one.
const maxSegments = 20_000

// segments cuts a range of text at the lines that look like delimiters.
func segments(text []byte, in Range) (all []Range) {
	start := in.Start
	for at := in.Start; at < in.End && len(all) < maxSegments; {
		i := bytes.Index(text[at:in.End], []byte("--"))
		if i < 0 {
			break
		}
		at += i
		if at > 0 && !isEOL(text[at-1]) {
			at += 2
			continue
		}
		_, next := line(text[:in.End], at)
		if at > start {
			all = append(all, Range{start, at})
		}
		start, at = next, next
	}
	if start < in.End {
		all = append(all, Range{start, in.End})
	}
	return all
}

// segment carves a segment, and each block between empty lines in it.
func (c *carver) segment(s Range) {
	c.name = nameIn(s.of(c.text))
	blocks := blocksOf(c.text, s)
	for _, b := range blocks {
		c.base64(b, startsWithJunk(b.of(c.text)))
		c.quoted(b)
		c.uu(b, false)
	}
	if len(blocks) > 1 {
		c.base64(s, true)
		c.quoted(s)
	}
}

// blocksOf gives the runs of lines between empty lines. Where there are too many,
// the last one has the rest.
func blocksOf(text []byte, s Range) (all []Range) {
	start := s.Start
	for at := s.Start; at < s.End; {
		end, next := line(text[:s.End], at)
		if len(trimBlank(text[at:end])) == 0 && len(all) < maxSegments {
			if at > start {
				all = append(all, Range{start, at})
			}
			start = next
		}
		at = next
	}
	if start < s.End {
		all = append(all, Range{start, s.End})
	}
	return all
}

// nameIn gives the file name that the header fields in the beginning of a segment
// tell, if any.
func nameIn(segment []byte) string {
	head := segment[:min(len(segment), base64Head)]
	lower := bytes.Clone(head)
	for i, c := range lower {
		if isUpper(c) { // bytes.ToLower changes the length of what is no UTF-8
			lower[i] = c + 'a' - 'A'
		}
	}
	for _, key := range []string{"filename", "name"} {
		i := bytes.Index(lower, []byte(key))
		if i < 0 {
			continue
		}
		rest := head[i:]
		if end := bytes.Index(rest, []byte("\n\n")); end >= 0 {
			rest = rest[:end]
		}
		if end := bytes.Index(rest, []byte("\r\n\r\n")); end >= 0 {
			rest = rest[:end]
		}
		_, params, _ := parseParams("x;" + unfold(rest))
		if names, _ := addNames(nil, params); len(names) > 0 {
			return names[0]
		}
	}
	return ""
}

// base64 yields the decodings of a range as base64; shifted ones too, where text
// in front may have added to the digits.
func (c *carver) base64(in Range, shifted bool) {
	body := in.of(c.text)
	if c.done || !mayBeBase64(body) {
		return
	}
	readBase64(body, func(r Reading) bool {
		if r.Raw == nil {
			c.emit(r.How, c.name, in, r.Data)
		}
		return !c.done
	})
	for skip := 1; shifted && skip < 4; skip++ {
		c.emit(shiftedBase64[skip], c.name, in, &base64Reader{src: body, skip: skip, habit: padSkipped})
	}
}

// shiftedBase64 says how base64 was read.
var shiftedBase64 = [...]string{"base64", "base64, from digit 2 on", "base64, from digit 3 on", "base64, from digit 4 on"}

// startsWithJunk reports whether the first line of a body is not of base64 as the
// others are.
func startsWithJunk(body []byte) bool {
	end, next := line(body, 0)
	return next < len(body) && (!isBase64Line(body[:end]) || len(trimBlank(body[:end]))%4 != 0)
}

// Bounds of mayBeBase64.
const (
	base64Sample = 48 // digits that are looked at together
	base64Mixes  = 8  // changes of the kind of letter that base64 has in them at the least
	base64Least  = 16 // digits of a body that is too short for a sample
)

// mayBeBase64 reports whether a body has a run of digits that could be base64:
// small letters before capitals, and digits beside letters, as words have few.
// What stands between the digits is passed over.
func mayBeBase64(body []byte) bool {
	var last letter
	digits, mixes, all := 0, 0, 0
	for _, c := range body {
		k := letters[c]
		if k == noLetter {
			continue
		}
		if last == smallLetter && k == capital || last == figure && k != figure || last != figure && last != noLetter && k == figure {
			mixes++
		}
		last = k
		if digits++; digits == base64Sample {
			if mixes >= base64Mixes {
				return true
			}
			all, digits, mixes = all+digits, 0, 0
		}
	}
	return mixes >= base64Mixes || all == 0 && digits >= base64Least && mixes > 0
}

// letter is the kind of a digit of base64.
type letter uint8

const (
	noLetter letter = iota
	smallLetter
	capital
	figure // 0 to 9, and the signs
)

// letters gives the kind of a character.
var letters = func() (t [256]letter) {
	for c := range t {
		switch b := byte(c); {
		case unbase64[b] >= urlDigit:
		case isLower(b):
			t[c] = smallLetter
		case isUpper(b):
			t[c] = capital
		default:
			t[c] = figure
		}
	}
	return t
}()

// quoted yields the decodings of a range as quoted-printable.
func (c *carver) quoted(in Range) {
	body := in.of(c.text)
	if c.done || !mayBeQuoted(body) {
		return
	}
	readQuoted(body, func(r Reading) bool {
		c.emit(r.How, c.name, in, r.Data)
		return !c.done
	})
}

// mayBeQuoted reports whether a body has enough escapes and soft breaks, among
// all its equals signs and for its length, to be quoted-printable.
func mayBeQuoted(body []byte) bool {
	escapes, signs := 0, bytes.Count(body, []byte("="))
	if signs < 3 || signs*200 < len(body) {
		return false
	}
	for rest := body; ; {
		i := bytes.IndexByte(rest, '=')
		if i < 0 {
			break
		}
		rest = rest[i+1:]
		if len(rest) >= 2 && unhex[rest[0]]|unhex[rest[1]] < 16 || len(rest) > 0 && isEOL(rest[0]) {
			escapes++
		}
	}
	return escapes >= 3 && escapes*4 >= signs
}

// uu yields the uuencoded files in a range: those with a begin line unless they
// have been read, and what data there is that no such line leads to.
func (c *carver) uu(in Range, read bool) {
	body := in.of(c.text)
	var blocks []Block
	begins := bytes.Contains(body, []byte("begin"))
	if begins {
		blocks = findBlocks(body, Range{0, len(body)})
	}
	for _, b := range blocks {
		if !read {
			c.emit("uuencode", b.Name, Range{in.Start + b.Start, in.Start + b.End}, b.open(body))
		}
	}
	if !begins && !mayBeUU(body) {
		return
	}
	for _, run := range looseUU(body, blocks) {
		c.emit("uuencode, lines that fit", cmp.Or(run.name, c.name), Range{in.Start + run.Start, in.End},
			newUUReader(fittingLines(body[run.Start:], run.prefix), false))
	}
}

// mayBeUU reports whether a text without "begin" has it in capitals, or a line of
// data of full length: a cheap look before its lines are measured.
func mayBeUU(text []byte) bool {
	if bytes.Contains(text, []byte("BEGIN")) || bytes.Contains(text, []byte("Begin")) {
		return true
	}
	isData := func(at int) bool { return len(text)-at > 60 && text[at] == 'M' && isFitting(text[at:at+61]) }
	eol := "\nM"
	if bytes.IndexByte(text, '\n') < 0 {
		eol = "\rM"
	}
	for at := 0; !isData(at); at++ {
		i := bytes.Index(text[at:], []byte(eol))
		if i < 0 {
			return false
		}
		at += i
	}
	return true
}

// uuRun is where uuencoded data may begin, whatever is before them.
type uuRun struct {
	Range
	prefix []byte // of each line
	name   string
}

// maxUURuns bounds the places in one text where uuencoded data may begin.
const maxUURuns = 16

// looseUU finds the places where lines of uuencoded data begin that are not in one of
// the blocks, or not all of them: behind something like a begin line, with what
// stands before that in front of each line; behind a block when data goes on behind
// other lines; with a line of full length.
func looseUU(text []byte, blocks []Block) (runs []uuRun) {
	var proper *uuRun // the last one that is a block
	within := false   // of data
	for at := 0; at < len(text) && len(runs) < maxUURuns; {
		end, next := line(text, at)
		this := text[at:end]
		stop, _ := line(text, next)
		prefix, name, begins := looseBegin(this)
		switch {
		case begins && isFitting(bytes.TrimPrefix(text[next:stop], prefix)):
			within = true
			run := uuRun{Range{next, len(text)}, prefix, name}
			for len(blocks) > 0 && blocks[0].Start < at {
				blocks = blocks[1:]
			}
			if len(blocks) > 0 && blocks[0].Start == at {
				proper = &run
			} else {
				runs = append(runs, run)
			}
		case !isFitting(bytes.TrimPrefix(this, prefix)):
			within = false
		case within:
		case proper != nil:
			within = true
			runs, proper = append(runs, *proper), nil
		case len(this) > 60 && this[0] == 'M' && len(runs) == 0:
			within = true
			runs = append(runs, uuRun{Range: Range{at, len(text)}})
		}
		at = next
	}
	return runs
}

// looseBegin reads a line as one that could be meant to begin a uuencoded file:
// "begin" in any case, behind blanks and the marks of an answer; a mode and a name
// may be missing.
func looseBegin(text []byte) (prefix []byte, name string, ok bool) {
	word := bytes.TrimLeft(text, "> \t|")
	prefix = text[:len(text)-len(word)]
	const begin = "begin"
	if len(word) < len(begin) || !bytes.EqualFold(word[:len(begin)], []byte(begin)) {
		return nil, "", false
	}
	rest := bytes.Fields(word[len(begin):min(len(word), 4096)])
	if len(rest) > 0 {
		name = clip(decodeText(string(rest[len(rest)-1])))
	}
	return prefix, name, true
}

// isFitting reports whether a line has as many characters of uuencoded data as its
// first one says; a few more of any kind may follow.
func isFitting(text []byte) bool {
	if len(text) < 2 {
		return false
	}
	want := (int(text[0]-' ')&63 + 2) / 3 * 4
	if text[0] < ' ' || text[0] > '`' || want == 0 || len(text)-1 < want || len(text)-1 > want+8 {
		return false
	}
	return !bytes.ContainsFunc(text[:1+want], func(r rune) bool { return r < ' ' || r > '`' })
}

// fittingLines gives those lines of a text that fit, less the prefix and what is
// surplus.
func fittingLines(text, prefix []byte) lines {
	at := 0
	next := linesOf(text, &at)
	return func() ([]byte, bool) {
		for {
			text, ok := next()
			if !ok {
				return nil, false
			}
			if text = bytes.TrimPrefix(text, prefix); isFitting(text) {
				return text[:1+(int(text[0]-' ')&63+2)/3*4], true
			}
		}
	}
}

// Carve yields what is hidden in a text that is no message: base64 in lines of
// its own, uuencoded files, quoted-printable. Unlike Blind it takes no chances:
// what has other text around it on its lines is text. withoutUU leaves out the
// uuencoded files, for a text whose Blocks have been read.
func Carve(text []byte, withoutUU bool) iter.Seq[Carved] {
	return func(yield func(Carved) bool) {
		c := &carver{text: text, yield: yield}
		c.uu(Range{0, len(text)}, withoutUU)
		for _, run := range base64Runs(text) {
			c.base64(run, false)
		}
		if !c.done && softBreaks(text) {
			c.quoted(Range{0, len(text)})
		}
	}
}

// Bounds of base64Runs, in digits: a run of lines has so many in all, a single
// line stands for itself when it has more.
const (
	base64RunLeast  = 64
	base64LineLeast = 60
)

// maxRuns bounds the runs of base64 in one text.
const maxRuns = 1000

// base64Runs finds the runs of lines that hold nothing but base64.
func base64Runs(text []byte) (runs []Range) {
	if !mayHaveRuns(text) {
		return nil
	}
	start, digits, longest := -1, 0, 0
	end := func(at int) {
		if start >= 0 && digits >= base64RunLeast && (longest >= base64LineLeast || digits >= 4*base64RunLeast) && len(runs) < maxRuns {
			runs = append(runs, Range{start, at})
		}
		start, digits, longest = -1, 0, 0
	}
	for at := 0; at < len(text); {
		stop, next := line(text, at)
		word := bytes.TrimLeft(trimBlank(text[at:stop]), "> \t|") // as in an answer
		switch {
		case len(word) == 0 && start >= 0: // empty lines may stand between
		case isBase64Line(word) && (start >= 0 || len(word) >= 4 && bytes.IndexByte(word, ' ') < 0):
			if start < 0 {
				start = at
			}
			digits, longest = digits+len(word), max(longest, len(word))
		default:
			end(at)
		}
		at = next
	}
	end(len(text))
	return runs
}

// mayHaveRuns reports whether a text has short lines, or something as long as a line
// of base64 without a blank in it: a cheap look before its lines are measured.
func mayHaveRuns(text []byte) bool {
	const shortLine, stride, probe = 20, 30, 10
	if bytes.Count(text, []byte("\n"))*shortLine > len(text) || bytes.IndexByte(text, '\n') < 0 && bytes.Count(text, []byte("\r"))*shortLine > len(text) {
		return true
	}
	for at := stride - 1; at+probe <= len(text); at += stride {
		n := probe - 1
		for n >= 0 && isRunByte(text[at+n]) { // from the far end: words are short
			n--
		}
		if n < 0 && runAround(text, at) >= base64LineLeast {
			return true
		}
	}
	return len(text) < stride+probe
}

func isRunByte(c byte) bool { return unbase64[c] < urlDigit || unbase64[c] == pad }

// runAround is the length of the run of base64 around an offset, or so much of it as
// a line needs.
func runAround(text []byte, at int) int {
	start, end := at, at
	for start > 0 && at-start < base64LineLeast && isRunByte(text[start-1]) {
		start--
	}
	for end < len(text) && end-at < base64LineLeast && isRunByte(text[end]) {
		end++
	}
	return end - start
}

// softBreaks reports whether lines of the text end as those of quoted-printable
// do, several of them.
func softBreaks(text []byte) bool {
	eol := "=\n"
	if lf := bytes.IndexByte(text, '\n'); lf > 0 && text[lf-1] == '\r' {
		eol = "=\r\n"
	}
	return bytes.Count(text, []byte(eol)) >= 3
}
