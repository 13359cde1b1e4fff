package unpack

import (
	"bytes"
	"io"

	"golang.org/x/text/transform"
)

// value is what an expression of a script comes to, as far as it can be told: a
// number of a node; unknown when it cannot.
type value int32

const unknown value = -1

// node is a string, or a list of them, as it is put together. Nothing is copied:
// it is read when it is needed.
type node struct {
	kind    byte
	layers  uint8 // of steps over one another
	hides   bool  // it cannot be seen in the script as it stands
	settled bool
	a, b, c int32
}

// Kinds of nodes.
const (
	nodeRaw      byte = iota // the script's text from a to b
	nodeEscaped              // the same with JavaScript's escapes
	nodeDoubled              // the same with doubled quotes
	nodeNumbers              // the same, numbers of characters
	nodeJoined               // a, then b
	nodeStep                 // a, decoded by step c
	nodeReversed             // a, its last byte first
	nodeSplit                // a, split at each b
	nodeList                 // b elements from a on; c is all of them joined
)

const (
	// maxNodes bounds the nodes of a text: 16 MiB of them.
	maxNodes = 1 << 20

	// maxLayers bounds how many steps decode one string.
	maxLayers = 16

	// maxReversed bounds the strings that are reversed, in bytes: they are held whole.
	maxReversed = 16 << 20
)

// values are the strings that a text's scripts are made of.
type values struct {
	src      []byte
	nodes    []node
	elements []value
	steps    []step
	budget   *hiddenBudget
	full     bool // there were more than maxNodes
}

// add makes a node.
func (v *values) add(n node) value {
	if len(v.nodes) >= maxNodes || len(v.elements) >= maxNodes {
		v.full = true
		return unknown
	}
	if n.layers > maxLayers {
		v.full = true
		return unknown
	}
	v.nodes = append(v.nodes, n)
	return value(len(v.nodes) - 1)
}

// span makes a node of some of the script's text.
func (v *values) span(kind byte, start, end int, hides bool) value {
	return v.add(node{kind: kind, a: int32(start), b: int32(end), hides: hides})
}

// join makes a string of two.
func (v *values) join(a, b value) value {
	if a == unknown || b == unknown {
		return unknown
	}
	a, b = v.text(a), v.text(b)
	layers := max(v.nodes[a].layers, v.nodes[b].layers)
	return v.add(node{kind: nodeJoined, a: int32(a), b: int32(b), layers: layers, hides: true})
}

// step makes a string that another one decodes to.
func (v *values) step(a value, s step) value {
	if a == unknown {
		return unknown
	}
	a = v.text(a)
	made := v.add(node{kind: nodeStep, a: int32(a), c: int32(len(v.steps)), layers: v.nodes[a].layers + 1, hides: true})
	if made != unknown {
		v.steps = append(v.steps, s)
	}
	return made
}

// reverse turns a string or a list round.
func (v *values) reverse(a value) value {
	n := v.nodes[a]
	if n.kind != nodeList {
		return v.add(node{kind: nodeReversed, a: int32(v.text(a)), layers: n.layers + 1, hides: true})
	}
	turned := make([]value, n.b)
	for i, e := range v.elements[n.a : n.a+n.b] {
		turned[len(turned)-1-i] = e
	}
	return v.list(turned)
}

// list makes a list. Elements that are not known are left out where it is joined.
func (v *values) list(elements []value) value {
	all := unknown
	n := node{kind: nodeList, a: int32(len(v.elements)), b: int32(len(elements))}
	for _, e := range elements {
		if e == unknown {
			continue
		}
		if e = v.text(e); all == unknown {
			all = e
		} else if all = v.join(all, e); all == unknown {
			return unknown
		}
	}
	if all == unknown {
		return unknown
	}
	v.elements = append(v.elements, elements...)
	n.c, n.layers = int32(all), v.nodes[all].layers
	return v.add(n)
}

// text is the string that a value is where a string is asked for.
func (v *values) text(a value) value {
	switch n := v.nodes[a]; n.kind {
	case nodeList:
		return value(n.c)
	case nodeSplit:
		return value(n.a)
	}
	return a
}

// joinList joins a list, or what was split, with something between.
func (v *values) joinList(a, between value) value {
	n := v.nodes[a]
	sep := v.short(between)
	switch {
	case n.kind == nodeSplit:
		return v.replace(value(n.a), v.short(value(n.b)), sep, true)
	case n.kind != nodeList:
		return a // split into its letters
	case len(sep) == 0:
		return value(n.c)
	}
	all := unknown
	for _, e := range v.elements[n.a : n.a+n.b] {
		if e == unknown {
			return unknown
		}
		if all == unknown {
			all = v.text(e)
		} else if all = v.join(v.join(all, between), e); all == unknown {
			return unknown
		}
	}
	return all
}

// replace makes a string in which one text stands for another.
func (v *values) replace(a value, old, with []byte, all bool) value {
	if len(old) == 0 || len(with) > maxShort {
		return unknown
	}
	return v.step(a, func() transform.Transformer { return &replacer{old: old, with: with, all: all} })
}

// maxShort bounds, in bytes, the strings that say what is done to others:
// separators, keys, names.
const maxShort = 64

// short reads a short string; nil when it is none.
func (v *values) short(a value) []byte {
	if a == unknown {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(v.open(v.text(a)), maxShort+1))
	if err != nil || len(b) > maxShort {
		return nil
	}
	return b
}

// open reads a string.
func (v *values) open(a value) io.Reader { return &valueReader{values: v, stack: []value{a}} }

// stepWork is what it costs to begin on a step, in bytes that are read.
const stepWork = 4 << 10

// valueReader reads a string.
type valueReader struct {
	*values
	stack []value   // what is still to be read, the next one last
	rest  []byte    // of the text that is being read
	inner io.Reader // instead of it
	piece []byte    // where short texts are decoded
}

// Read implements io.Reader.
func (r *valueReader) Read(p []byte) (int, error) {
	n, err := r.read(p)
	if !r.budget.spend(n) && err == nil {
		err = errWork
	}
	return n, err
}

func (r *valueReader) read(p []byte) (int, error) {
	for {
		if len(r.rest) > 0 {
			n := copy(p, r.rest)
			r.rest = r.rest[n:]
			return n, nil
		}
		if r.inner != nil {
			n, err := r.inner.Read(p)
			if err == io.EOF {
				r.inner, err = nil, nil
			}
			if n > 0 || err != nil {
				return n, err
			}
			continue
		}
		if len(r.stack) == 0 {
			return 0, io.EOF
		}
		if err := r.enter(); err != nil {
			return 0, err
		}
	}
}

// enter begins on the next node.
func (r *valueReader) enter() error {
	last := len(r.stack) - 1
	n := r.nodes[r.text(r.stack[last])]
	r.stack = r.stack[:last]
	if !r.budget.spend(1) {
		return errWork
	}
	switch n.kind {
	case nodeRaw:
		r.rest = r.src[n.a:n.b]
	case nodeEscaped:
		r.decode(r.src[n.a:n.b], escapeStep())
	case nodeDoubled:
		r.decode(r.src[n.a:n.b], doubledStep())
	case nodeNumbers:
		r.decode(r.src[n.a:n.b], numbersStep(nil, true)())
	case nodeJoined:
		r.stack = append(r.stack, value(n.b), value(n.a))
	case nodeStep:
		if !r.budget.spend(stepWork) {
			return errWork
		}
		r.inner = transform.NewReader(r.open(value(n.a)), r.steps[n.c]())
	case nodeReversed:
		b, err := io.ReadAll(io.LimitReader(r.open(value(n.a)), maxReversed+1))
		if err != nil {
			return err
		}
		if len(b) > maxReversed {
			return &LimitError{"unpacked"}
		}
		for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
		r.rest = b
	}
	return nil
}

// decode begins on some of the script's text. Of a short one no reader is made:
// there may be many.
func (r *valueReader) decode(src []byte, t transform.Transformer) {
	if len(src) > 1<<10 {
		r.inner = transform.NewReader(bytes.NewReader(src), t)
		return
	}
	if len(r.piece) < len(src) {
		r.piece = make([]byte, len(src))
	}
	n, _, _ := t.Transform(r.piece, src, true)
	r.rest = r.piece[:n]
}

// replacer is the decoder of replace.
type replacer struct {
	old, with []byte
	set       *[256]bool // instead of old: any of these bytes
	all, done bool
}

// Reset implements transform.Transformer.
func (r *replacer) Reset() { r.done = false }

// Transform implements transform.Transformer.
func (r *replacer) Transform(dst, src []byte, atEnd bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if len(dst)-nDst < max(len(r.with), 1) {
			return nDst, nSrc, transform.ErrShortDst
		}
		n := r.match(src[nSrc:])
		switch {
		case r.done && !r.all:
			n = 0
		case n == 0 && !atEnd && r.set == nil && len(src)-nSrc < len(r.old):
			return nDst, nSrc, transform.ErrShortSrc
		}
		if n == 0 {
			dst[nDst] = src[nSrc]
			nDst, nSrc = nDst+1, nSrc+1
			continue
		}
		r.done = true
		nDst += copy(dst[nDst:], r.with)
		nSrc += n
	}
	return nDst, nSrc, nil
}

// match is the length of what is to be replaced at the beginning of src; 0: nothing.
func (r *replacer) match(src []byte) int {
	if r.set != nil {
		if r.set[src[0]] {
			return 1
		}
		return 0
	}
	if bytes.HasPrefix(src, r.old) {
		return len(r.old)
	}
	return 0
}
