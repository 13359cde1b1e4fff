package scan

import (
	"slices"

	"kiyome/scan/mime"
)

// Node is a part of a message, or an object in it: a line of Verdict.Tree.
type Node struct {
	Depth int    `json:"depth"`          // a node lies in the last one before it of less depth
	Part  string `json:"part,omitempty"` // section number, of a part
	Type  string `json:"type,omitempty"` // media type of a part; of an object its format, by content
	Name  string `json:"name,omitempty"`
	How   string `json:"how,omitempty"` // how the object was read: "base64", "zip", "uuencode, without its beginning", …
	Size  int64  `json:"size"`          // in bytes: of a part's body as it stands, of an object as it was read

	Range  *mime.Range `json:"range,omitempty"` // of a part, or of what the blind reading took
	SHA256 string      `json:"sha256,omitempty"`
	Again  bool        `json:"again,omitempty"` // the same as an object before, and not matched again
	Guess  bool        `json:"guess,omitempty"` // only a guess shows it

	Malware   []string `json:"malware,omitempty"`   // what was found in it
	Noted     []string `json:"noted,omitempty"`     // rules that matched and never cut
	Unchecked []string `json:"unchecked,omitempty"` // why it was not read to its end
}

// Bounds of a Verdict's tree: nodes, and entries in the lists of one.
const (
	MaxNodes     = 5000
	maxNodeNotes = 16
)

// trace collects the nodes of a scan. A nil trace collects nothing.
type trace struct {
	under map[*mime.Part][]*Node // the objects of each part; of nil those that the blind reading found
	nodes int
}

func newTrace() *trace { return &trace{under: make(map[*mime.Part][]*Node)} }

// add makes a node for an object that was read out of a part.
func (t *trace) add(part *mime.Part, n Node) *Node {
	if t == nil || t.nodes == MaxNodes {
		return nil
	}
	t.nodes++
	n.Name, n.How = shorten(n.Name, maxElement), shorten(n.How, maxElement)
	t.under[part] = append(t.under[part], &n)
	return &n
}

// malware notes what was found in the object.
func (n *Node) malware(name string, logOnly bool) {
	switch {
	case n == nil:
	case logOnly:
		n.Noted = addNote(n.Noted, name)
	default:
		n.Malware = addNote(n.Malware, name)
	}
}

// unchecked notes why the object was not read to its end.
func (n *Node) unchecked(reason, detail string) {
	if n == nil {
		return
	}
	if detail != "" && detail != reason {
		reason += " (" + shorten(detail, maxElement) + ")"
	}
	n.Unchecked = addNote(n.Unchecked, reason)
}

func addNote(list []string, note string) []string {
	if len(list) == maxNodeNotes || slices.Contains(list, note) {
		return list
	}
	return append(list, note)
}

// tree gives the nodes of a message in the order of its parts, or of a file.
func (t *trace) tree(m *mime.Message) []Node {
	w := treeWriter{trace: t}
	if m == nil {
		w.objects(nil, 0)
		return w.nodes
	}
	w.part(m.Root, 0)
	if len(t.under[nil]) > 0 {
		w.add(Node{How: "read again without its structure", Size: int64(len(m.Raw))})
		w.objects(nil, 1)
	}
	return w.nodes
}

// treeWriter puts the nodes in order.
type treeWriter struct {
	*trace
	nodes []Node
}

func (w *treeWriter) add(n Node) {
	if len(w.nodes) < MaxNodes {
		w.nodes = append(w.nodes, n)
	}
}

// part writes a part, what was read out of it, and the parts in it.
func (w *treeWriter) part(p *mime.Part, depth int) {
	n := Node{Depth: depth, Part: p.ID, Type: shorten(p.Type, maxElement), Size: int64(p.Body.End - p.Body.Start), Range: &p.Whole}
	if len(p.Names) > 0 {
		n.Name = shorten(p.Names[0], maxElement)
	}
	w.add(n)
	w.objects(p, depth+1)
	if p.Message != nil {
		w.part(p.Message, depth+1)
	}
	for _, below := range p.Below() {
		w.part(below, depth+1)
	}
}

// objects writes what was read out of a part.
func (w *treeWriter) objects(p *mime.Part, depth int) {
	for _, n := range w.under[p] {
		n.Depth += depth
		w.add(*n)
	}
}
