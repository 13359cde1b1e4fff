package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"kiyome/scan"
)

// printTree shows a message whole: its parts, what was read out of each and how,
// what was found where, what was odd and what could not be checked.
func (a *app) printTree(name string, v *scan.Verdict) error {
	t := treePrinter{out: a.out, style: styleOf(a.out)}
	outcome := string(v.Outcome)
	if v.Why != "" {
		outcome += ": " + v.Why
	}
	fmt.Fprintf(a.out, "%s  %s (%d objects matched, %s)\n", t.style.bold(printable(name)), printable(outcome), v.Objects, sizeText(v.Bytes))
	t.print(v.Tree)
	if len(v.Tree) == scan.MaxNodes {
		fmt.Fprintf(a.out, "… there is more: only %d lines are shown\n", scan.MaxNodes)
	}
	for _, odd := range v.Odd {
		fmt.Fprintf(a.out, "%s %s\n", t.style.yellow("odd:"), printable(odd))
	}
	for _, u := range v.Unchecked {
		if u.Part == "" && len(u.Path) == 0 { // of the message as a whole: no line of the tree has it
			fmt.Fprintf(a.out, "%s %s\n", t.style.yellow("not checked:"), uncheckedText(u))
		}
	}
	return nil
}

// treePrinter draws a tree.
type treePrinter struct {
	out   io.Writer
	style style
}

// treeLine is a line of the drawing.
type treeLine struct {
	depth int
	text  string
}

// print draws the nodes, with what is to be said of each below it.
func (t *treePrinter) print(nodes []scan.Node) {
	var lines []treeLine
	for i, n := range nodes {
		below := i+1 < len(nodes) && nodes[i+1].Depth > n.Depth
		notes := t.notes(n)
		if n.How == "identity" && n.Part == "" && !below && len(notes) == 0 {
			continue // the part as it stands: its own line says it all
		}
		lines = append(lines, treeLine{n.Depth, t.node(n)})
		for _, note := range notes {
			lines = append(lines, treeLine{n.Depth + 1, note})
		}
	}
	open := []bool{} // by depth: a line of that depth comes yet
	prefixes := make([]string, len(lines))
	for i, l := range slices.Backward(lines) {
		for len(open) <= l.depth {
			open = append(open, false)
		}
		var b strings.Builder
		for d := 1; d < l.depth; d++ {
			b.WriteString(map[bool]string{true: "│  ", false: "   "}[open[d]])
		}
		if l.depth > 0 {
			b.WriteString(branch(!open[l.depth]))
		}
		prefixes[i] = b.String()
		open = open[:l.depth+1]
		open[l.depth] = true
	}
	for i, l := range lines {
		fmt.Fprintln(t.out, prefixes[i]+l.text)
	}
}

// node says what a node is.
func (t *treePrinter) node(n scan.Node) string {
	var words []string
	if n.Part != "" {
		words = append(words, n.Part)
	} else if n.How != "" {
		words = append(words, t.style.dim(printable(n.How)+":"))
	}
	if n.Name != "" {
		words = append(words, t.style.bold(printable(n.Name)))
	}
	if n.Type != "" {
		words = append(words, printable(n.Type))
	}
	size := sizeText(n.Size)
	if n.Again {
		size += ", seen before"
	}
	return strings.Join(append(words, t.style.dim(size)), " ")
}

func branch(last bool) string {
	if last {
		return "└─ "
	}
	return "├─ "
}

// notes are what was found in a node, and why it was not checked.
func (t *treePrinter) notes(n scan.Node) (notes []string) {
	for _, name := range n.Malware {
		notes = append(notes, t.style.red("found: "+printable(name)))
	}
	for _, name := range n.Noted {
		notes = append(notes, t.style.cyan("noted: "+printable(name)))
	}
	for _, reason := range n.Unchecked {
		notes = append(notes, t.style.yellow("not checked: "+printable(reason)))
	}
	return notes
}

// printable makes a name from a message harmless for a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if isHarmful(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
