package scan

import (
	"cmp"
	"slices"
	"strings"

	"kiyome/scan/mime"
)

// Why a message is not delivered without what was found.
const (
	whyBody  = "it is in the body"
	whyAll   = "the infected attachment is all there is"
	whyExtra = "it is outside of all parts"
	whyBlind = "it shows only when the message is read in another way"
	whyNot   = "it cannot be cut without changing the rest"
	whyMany  = "there is too much to cut"
	whyWhole = "the message as a whole could not be checked"
)

// cut says what to remove from a message so that the rest can be delivered.
type cut struct {
	ranges []mime.Range // ascending, disjoint, not touching each other
	parts  map[*mime.Part]bool
	blocks map[*mime.Part][]mime.Range // within parts that stay
	signed bool
	why    string // why there is no cut; "" when there is one
}

// cutRange gives what is to be cut to be rid of what is at a spot; empty when it
// cannot be cut.
func cutRange(at spot) mime.Range {
	if isBlock(at) {
		return at.block
	}
	if target, why := targetOf(at.part); why == "" {
		return target.Cut
	}
	return mime.Range{}
}

// targetOf gives the part that has to go when the leaf is infected: the leaf
// itself, or the attached message whose body it is or of which it is all.
func targetOf(leaf *mime.Part) (*mime.Part, string) {
	p := leaf
	switch {
	case p == nil:
		return nil, whyWhole
	case p.Extra:
		return nil, whyExtra
	case p.IsBody():
		if p = p.Attached(); p == nil {
			return nil, whyBody
		}
	}
	for isRoot(p) {
		if p = p.Attached(); p == nil {
			return nil, whyAll
		}
	}
	if p.Cut.Start >= p.Cut.End {
		return nil, whyNot
	}
	return p, ""
}

// isBlock reports whether the spot is a piece of a text that can be cut out of it.
func isBlock(at spot) bool {
	return at.part != nil && !at.part.Extra && at.block.Start < at.block.End
}

// isRoot reports whether p is a message, attached or not, rather than a part of one.
func isRoot(p *mime.Part) bool { return p.Parent == nil || p.Parent.Message == p }

// isBlind reports whether the spot is a range of the message that the second, blind
// look read in its own way.
func isBlind(at spot) bool { return at.part == nil && at.block.Start < at.block.End }

// isOther reports whether the spot is in another reading of the message than the
// one that is cut. What is found there goes with a part that is cut, or it is still
// found in what remains: that is for the proof to see.
func isOther(at spot) bool {
	return isBlind(at) || at.part != nil && at.part.Extra && at.part.Cut.Start >= at.part.Cut.End
}

// maxCuts bounds the ranges of a cut: what a verdict is sent in is bounded too.
const maxCuts = 100_000

// planCut decides on the outcome of a message with something to cut at hits.
func planCut(m *mime.Message, hits []spot) *cut {
	c := &cut{parts: make(map[*mime.Part]bool), blocks: make(map[*mime.Part][]mime.Range)}
	if !slices.ContainsFunc(hits, func(at spot) bool { return !isOther(at) }) {
		c.why = whyBlind
		return c
	}
	for _, at := range hits {
		if isOther(at) {
			continue
		}
		if isBlock(at) {
			c.blocks[at.part] = append(c.blocks[at.part], at.block)
			continue
		}
		target, why := targetOf(at.part)
		if why != "" {
			c.why = why
			return c
		}
		c.remove(target)
	}
	c.removeEmptied(m, m.Root)
	if c.why == "" {
		c.setRanges(m)
		c.signed = c.breaksSignature(m)
	}
	return c
}

// remove cuts a part, and what holds it when nothing else is in there.
func (c *cut) remove(p *mime.Part) {
	for {
		if isRoot(p) {
			if p = p.Attached(); p == nil {
				c.why = whyAll
				return
			}
			continue
		}
		if p.Cut.Start >= p.Cut.End {
			c.why = whyNot
			return
		}
		c.parts[p] = true
		// From the end: parts are cut in the order of the message, and thousands
		// of them must not take the square of that.
		for _, sibling := range slices.Backward(p.Parent.Children) {
			if !c.parts[sibling] {
				return
			}
		}
		p = p.Parent
	}
}

// removeEmptied cuts attached messages of which a cut leaves nothing worth
// reading, the innermost first, and notes when that is so of the message itself.
func (c *cut) removeEmptied(m *mime.Message, root *mime.Part) {
	touched := false
	var visit func(p *mime.Part)
	visit = func(p *mime.Part) {
		if c.parts[p] {
			touched = true
			return
		}
		if p.Message != nil {
			c.removeEmptied(m, p.Message)
			touched = touched || c.parts[p]
		}
		touched = touched || len(c.blocks[p]) > 0
		for _, child := range p.Children {
			visit(child)
		}
	}
	visit(root)
	if touched && c.why == "" && !c.remains(m, root) {
		c.remove(root)
	}
}

// remains reports whether anything worth reading is left of p.
func (c *cut) remains(m *mime.Message, p *mime.Part) bool {
	switch {
	case c.parts[p]:
		return false
	case p.Message != nil:
		return true
	case len(p.Children) > 0:
		return slices.ContainsFunc(p.Children, func(q *mime.Part) bool { return c.remains(m, q) })
	}
	return !isSignature(p) && !isBlank(m, p, c.blocks[p])
}

// isSignature reports whether p holds nothing but a signature over other parts.
func isSignature(p *mime.Part) bool {
	switch strings.Replace(p.Type, "/x-", "/", 1) {
	case "application/pkcs7-signature", "application/pgp-signature":
		return true
	}
	return false
}

// setRanges orders what is to be cut, and merges what touches.
func (c *cut) setRanges(m *mime.Message) {
	var all []mime.Range
	for p := range c.parts {
		if !c.within(p.Parent) {
			all = append(all, p.Cut)
		}
	}
	for p, blocks := range c.blocks {
		if !c.within(p) {
			all = append(all, blocks...)
		}
	}
	slices.SortFunc(all, func(a, b mime.Range) int { return cmp.Or(a.Start-b.Start, a.End-b.End) })
	for _, r := range slices.Compact(all) {
		last := len(c.ranges) - 1
		switch {
		case r.Start < 0 || r.End <= r.Start || r.End > len(m.Raw), last >= 0 && r.Start < c.ranges[last].End:
			c.ranges, c.why = nil, whyNot
			return
		case last >= 0 && r.Start == c.ranges[last].End:
			c.ranges[last].End = r.End
		case len(c.ranges) == maxCuts:
			c.ranges, c.why = nil, whyMany
			return
		default:
			c.ranges = append(c.ranges, r)
		}
	}
}

// within reports whether p, or a part around it, is cut.
func (c *cut) within(p *mime.Part) bool {
	for ; p != nil; p = p.Parent {
		if c.parts[p] {
			return true
		}
	}
	return false
}

// breaksSignature reports whether a signature covers something that is cut: a
// multipart/signed (RFC 1847) around it, or a DKIM-Signature (RFC 6376) on a
// message that it is in.
func (c *cut) breaksSignature(m *mime.Message) bool {
	seen := make(map[*mime.Part]bool)
	covered := func(p *mime.Part) bool {
		for ; p != nil && !seen[p]; p = p.Parent {
			seen[p] = true
			if p.Type == "multipart/signed" || isRoot(p) && len(m.Field(p, "DKIM-Signature")) > 0 {
				return true
			}
		}
		return false
	}
	for p := range c.parts {
		if covered(p.Parent) {
			return true
		}
	}
	for p := range c.blocks {
		if covered(p) {
			return true
		}
	}
	return false
}
