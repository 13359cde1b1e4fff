package mime

import (
	"slices"
	"strings"
)

// A Cut joins what is before one delimiter to another delimiter of the same
// multipart, or to the one that ends it. Two things can make such a joint read
// differently than before, and then there is no Cut.

// keepJoints empties the Cuts of a multipart's parts that would do so. joints are
// its delimiters and the one that ends it.
func (p *parser) keepJoints(part *Part, joints []delimiter) {
	lastLF := -1 // start of the last joint whose line end has a line feed
	for _, d := range joints {
		if d.start < len(p.raw) && p.raw[afterEOL(p.raw, d.start)-1] == '\n' {
			lastLF = d.start
		}
	}
	// A carriage return before the cut would take the line feed after it.
	for _, c := range slices.Concat(part.Children, part.Extras) {
		if c.Cut.Start > 0 && p.raw[c.Cut.Start-1] == '\r' && lastLF >= c.Cut.End {
			c.Cut.End = c.Cut.Start
		}
	}
	// A multipart that is still open before the cut would take the delimiter
	// after it for its own.
	texts, few := distinct(joints)
	for i, c := range part.Children[1:] {
		if part.Children[i].takes(texts, few) {
			c.Cut.End = c.Cut.Start
		}
	}
}

// maxDistinct bounds the texts that distinct gives, and so the time it takes to
// compare each of them with every boundary below.
const maxDistinct = 8

// distinct gives the texts of delimiters; few is false when there are more.
func distinct(joints []delimiter) (texts []string, few bool) {
	for _, d := range joints {
		if d.level < 0 {
			continue // the end of the message is nobody's delimiter
		}
		if text := strings.TrimRight(d.text, " \t\x00"); !slices.Contains(texts, text) {
			if len(texts) == maxDistinct {
				return nil, false
			}
			texts = append(texts, text)
		}
	}
	return texts, true
}

// takes reports whether a part, or one below it, names a boundary by which one
// of the texts would be a delimiter.
func (p *Part) takes(texts []string, few bool) bool {
	if !few && len(p.boundaries) > 0 {
		return true
	}
	for _, text := range texts {
		if isDelimiter([]byte(text), p.boundaries) {
			return true
		}
	}
	below := func(c *Part) bool { return c.takes(texts, few) }
	return slices.ContainsFunc(p.Children, below) || p.Message != nil && below(p.Message)
}

// uncut empties every Cut below p: with a part less, the limit of parts would be
// met elsewhere.
func uncut(p *Part) {
	for _, c := range slices.Concat(p.Children, p.Extras) {
		c.Cut.End = c.Cut.Start
		uncut(c)
	}
	if p.Message != nil {
		uncut(p.Message)
	}
}
