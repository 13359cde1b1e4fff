package mime

import (
	"bytes"
	"slices"
	"strings"
)

// maxBoundaries bounds the boundary candidates of one part. Mail that is not
// meant to confuse has one.
const maxBoundaries = 16

// maxBoundary bounds the length of a boundary: a delimiter is known by what it
// begins with. RFC 2046 allows 70, RFC 5322 no line of more than 998.
const maxBoundary = 1000

// level is a multipart that is being read.
type level struct {
	closed bool // its closing delimiter was the last one seen

	ends   []int // nodes of the trie that its boundaries end at
	forks  []int // nodes that got a child for it, in that order
	before int   // nodes that the trie had before
}

// trie holds the boundaries of all open levels, so that a line is compared with
// all of them in one walk: time stays linear however many there are and however
// alike. Node 0 is the root; an empty trie has none.
type trie []node

// node is reached by the byte b from its parent.
type node struct {
	b       byte
	child   int   // 0: none
	sibling int   // the next child of the same parent; 0: none
	levels  []int // that have a boundary ending here, ascending
}

// step gives the node that b leads to; ok is false when there is none.
func (t trie) step(from int, b byte) (to int, ok bool) {
	for to = t[from].child; to != 0 && t[to].b != b; to = t[to].sibling {
	}
	return to, to != 0
}

// push adds the boundaries of level number n, which is the highest.
func (t *trie) push(n int, boundaries []string) *level {
	if len(*t) == 0 {
		*t = trie{{}}
	}
	l := &level{before: len(*t)}
	for _, b := range boundaries {
		at := 0
		for i := range len(b) {
			to, ok := t.step(at, b[i])
			if !ok {
				to = len(*t)
				*t = append(*t, node{b: b[i], sibling: (*t)[at].child})
				(*t)[at].child = to
				l.forks = append(l.forks, at)
			}
			at = to
		}
		(*t)[at].levels = append((*t)[at].levels, n)
		l.ends = append(l.ends, at)
	}
	return l
}

// pop takes out what push added for l, the level that was pushed last.
func (t *trie) pop(l *level) {
	nodes := *t
	for _, at := range l.ends {
		nodes[at].levels = nodes[at].levels[:len(nodes[at].levels)-1]
	}
	for _, at := range slices.Backward(l.forks) {
		nodes[at].child = nodes[nodes[at].child].sibling
	}
	*t = nodes[:l.before]
}

// match compares the text after the "--" of a line with the boundaries. n is
// the length of the one it begins with and node where that ends; a boundary that
// is the whole text, but for "--" after it and trailing blanks, goes before
// longer and longer before shorter (RFC 2046, section 5.1.1, asks for the
// beginning of the line only).
func (t trie) match(text []byte) (n, node int, ok bool) {
	text = bytes.TrimRight(text, " \t\x00")
	end, closing := len(text), -1
	if bytes.HasSuffix(text, []byte("--")) {
		closing = end - 2
	}
	for i, at := 0, 0; ; i++ {
		if len(t[at].levels) > 0 {
			// The empty boundary would be the beginning of every line.
			exact := i == end || i == closing
			if exact || i > 0 && (!ok || n != closing) {
				n, node, ok = i, at, true
			}
		}
		if i == end {
			return n, node, ok
		}
		to, more := t.step(at, text[i])
		if !more {
			return n, node, ok
		}
		at = to
	}
}

// begins reports whether a line that starts with "--" goes on with the walk at
// all: a cheap look before the line is measured.
func (t trie) begins(text []byte) bool {
	if len(t[0].levels) > 0 || len(text) == 0 {
		return true
	}
	_, ok := t.step(0, text[0])
	return ok
}

// addBoundaries appends the candidates that the boundary parameters among params
// make, each once.
func addBoundaries(to []string, params []param) (_ []string, all bool) {
	for _, p := range params {
		if p.name != "boundary" {
			continue
		}
		forms := []string{p.value, strings.TrimRight(p.value, " \t")}
		if strings.Contains(p.value, "=?") {
			forms = append(forms, decodeText(p.value))
		}
		for _, b := range forms {
			b = b[:min(len(b), maxBoundary)]
			if strings.ContainsAny(b, "\r\n") || slices.Contains(to, b) {
				continue
			}
			if len(to) == maxBoundaries {
				return to, false
			}
			to = append(to, b)
		}
	}
	return to, true
}

// isDelimiter reports whether a line that starts with "--", and goes on with
// text, is a delimiter by one of the boundaries.
func isDelimiter(text []byte, boundaries []string) bool {
	for _, b := range boundaries {
		if b == "" {
			if rest := string(bytes.TrimRight(text, " \t\x00")); rest == "" || rest == "--" {
				return true
			}
		} else if bytes.HasPrefix(text, []byte(b)) {
			return true
		}
	}
	return false
}
