package scan

import (
	"bytes"
	"fmt"
	"io"
	"math"

	"kiyome/scan/mime"
)

// prove builds the message that a cut leaves and makes sure that it is the
// original less what was cut, for whoever reads it. It returns why not, or "".
func (s *scanner) prove(p *pass, c *cut) (why string) {
	raw := p.msg.Raw
	keep := Keep(int64(len(raw)), c.ranges)
	rest, release, err := s.arena.Hold(timed{s.ctx, joined(raw, keep)}, math.MaxInt64, int64(len(raw)))
	defer release()
	if err != nil {
		return fmt.Sprintf("the cut could not be proved: %v", err)
	}
	if !isInverse(raw, rest, c.ranges) {
		return "the cut is not exact"
	}
	m := mime.Parse(rest, s.o.Limits.MIME)
	d := difference{before: p.msg, after: m, cut: c}
	if place := d.find(p.msg.Root, m.Root); place != "" {
		return "without what was found, the rest reads differently: " + place
	}
	return s.isClean(p, m)
}

// isClean looks at a message that is to be delivered in place of that of p. It returns
// why that cannot be, or "".
func (s *scanner) isClean(p *pass, m *mime.Message) (why string) {
	again := s.newPass(nil)
	again.message(m)
	switch {
	case len(again.hits) > 0:
		return "something is found in what remains"
	case again.unread[spot{}], len(again.unread) > len(p.unread):
		return "what remains could not be checked"
	}
	return ""
}

// joined reads the ranges of raw one after the other.
func joined(raw []byte, keep []mime.Range) io.Reader {
	readers := make([]io.Reader, len(keep))
	for i, k := range keep {
		readers[i] = bytes.NewReader(raw[k.Start:k.End])
	}
	return io.MultiReader(readers...)
}

// isInverse reports whether putting the cut ranges of raw back into rest gives raw.
func isInverse(raw, rest []byte, cuts []mime.Range) bool {
	at := 0 // in raw
	for _, c := range append(cuts[:len(cuts):len(cuts)], mime.Range{Start: len(raw), End: len(raw)}) {
		n := c.Start - at
		if n < 0 || n > len(rest) || !bytes.Equal(raw[at:c.Start], rest[:n]) {
			return false
		}
		at, rest = c.End, rest[n:]
	}
	return at == len(raw) && len(rest) == 0
}

// difference compares the tree of a message with that of what a cut leaves of it.
type difference struct {
	before, after *mime.Message
	cut           *cut
}

// find gives the first place where the trees differ in more than what was cut,
// or "".
func (d difference) find(a, b *mime.Part) string {
	if !bytes.Equal(d.before.Raw[a.Header.Start:a.Header.End], d.after.Raw[b.Header.Start:b.Header.End]) {
		return "the header" + ofPart(a)
	}
	return d.inside(a, b)
}

// ofPart names a part, but for the message itself.
func ofPart(p *mime.Part) string {
	if p.ID == "" {
		return ""
	}
	return " of part " + p.ID
}

// inside is find for parts whose headers are alike.
func (d difference) inside(a, b *mime.Part) string {
	switch {
	case a.Type != b.Type:
		return "the type" + ofPart(a)
	case (a.Message == nil) != (b.Message == nil):
		return "the attached message" + ofPart(a)
	case a.Message != nil:
		return d.find(a.Message, b.Message)
	case len(a.Children) == 0 && len(b.Children) == 0:
		return d.leaf(a, b)
	}
	kept := b.Children
	for _, child := range a.Children {
		if d.cut.parts[child] {
			continue
		}
		if len(kept) == 0 {
			return "the number of parts" + ofPart(a)
		}
		if place := d.find(child, kept[0]); place != "" {
			return place
		}
		kept = kept[1:]
	}
	if len(kept) > 0 {
		return "the number of parts" + ofPart(a)
	}
	return d.extras(a, b)
}

// leaf compares the bodies of leaves.
func (d difference) leaf(a, b *mime.Part) string {
	want := d.before.Raw[a.Body.Start:a.Body.End]
	if blocks := d.cut.blocks[a]; len(blocks) > 0 {
		want = without(d.before.Raw, a.Body, blocks)
	}
	if !bytes.Equal(want, d.after.Raw[b.Body.Start:b.Body.End]) {
		return "the body of part " + a.ID
	}
	return ""
}

// extras compares what stands before, between and after the parts.
func (d difference) extras(a, b *mime.Part) string {
	if len(a.Extras) != len(b.Extras) {
		return "the text around the parts of part " + a.ID
	}
	for i := range a.Extras {
		if place := d.leaf(a.Extras[i], b.Extras[i]); place != "" {
			return place
		}
	}
	return ""
}
