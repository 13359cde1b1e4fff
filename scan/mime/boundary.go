package mime

import (
	"bytes"
	"slices"
	"strings"
)

// maxBoundaries bounds the boundary candidates of one part. Mail that is not
// meant to confuse has one.
const maxBoundaries = 16

// level is a multipart that is being read.
type level struct {
	closed bool // its closing delimiter was the last one seen

	nodes  []int  // of the trie that its boundaries end at
	edges  []edge // that were made for it
	before int    // nodes that the trie had before
}

// edge leads from a node of the trie by a byte.
type edge struct {
	node int
	b    byte
}

// trie holds the boundaries of all open levels, so that a line is compared with
// all of them in one walk: time stays linear however many there are and however
// alike. The zero trie is empty.
type trie struct {
	next   map[edge]int
	levels [][]int // by node: the levels that have a boundary ending there, ascending
}

// push adds the boundaries of level number n, which is the highest.
func (t *trie) push(n int, boundaries []string) *level {
	if t.next == nil {
		t.next, t.levels = map[edge]int{}, [][]int{nil}
	}
	l := &level{before: len(t.levels)}
	for _, b := range boundaries {
		node := 0
		for i := range len(b) {
			e := edge{node, b[i]}
			to, ok := t.next[e]
			if !ok {
				to = len(t.levels)
				t.next[e] = to
				t.levels = append(t.levels, nil)
				l.edges = append(l.edges, e)
			}
			node = to
		}
		t.levels[node] = append(t.levels[node], n)
		l.nodes = append(l.nodes, node)
	}
	return l
}

// pop takes out what push added for l, the level that was pushed last.
func (t *trie) pop(l *level) {
	for _, node := range l.nodes {
		t.levels[node] = t.levels[node][:len(t.levels[node])-1]
	}
	for _, e := range l.edges {
		delete(t.next, e)
	}
	t.levels = t.levels[:l.before]
}

// match compares the text after the "--" of a line with the boundaries. n is
// the length of the one it begins with and node where that ends; a boundary that
// is the whole text, but for "--" after it and trailing blanks, goes before
// longer and longer before shorter (RFC 2046, section 5.1.1, asks for the
// beginning of the line only).
func (t *trie) match(text []byte) (n, node int, ok bool) {
	text = bytes.TrimRight(text, " \t\x00")
	end, closing := len(text), -1
	if bytes.HasSuffix(text, []byte("--")) {
		closing = end - 2
	}
	for i, at := 0, 0; ; i++ {
		if len(t.levels[at]) > 0 {
			// The empty boundary would be the beginning of every line.
			exact := i == end || i == closing
			if exact || i > 0 && (!ok || n != closing) {
				n, node, ok = i, at, true
			}
		}
		if i == end {
			return n, node, ok
		}
		to, more := t.next[edge{at, text[i]}]
		if !more {
			return n, node, ok
		}
		at = to
	}
}

// begins reports whether a line that starts with "--" goes on with the walk at
// all: a cheap look before the line is measured.
func (t *trie) begins(text []byte) bool {
	if len(t.levels[0]) > 0 || len(text) == 0 {
		return true
	}
	_, ok := t.next[edge{0, text[0]}]
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
