package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"kiyome/scan"
	"kiyome/scan/mime"
)

// printTree shows the parts of a message, and beside each what was found in it.
func (a *app) printTree(name string, r scanned) error {
	raw, release, err := scan.Map(r.message.File(), r.message.Size())
	if err != nil {
		return err
	}
	defer release()
	t := treePrinter{out: a.out, style: styleOf(a.out), verdict: r.verdict}
	m := mime.Parse(raw, mime.Limits{})
	fmt.Fprintf(a.out, "%s  %s, %d bytes, %d objects matched\n", t.style.bold(printable(name)), r.verdict.Outcome, len(raw), r.verdict.Objects)
	t.part(m.Root, "", "")
	for _, odd := range r.verdict.Odd {
		fmt.Fprintf(a.out, "%s %s\n", t.style.yellow("odd:"), printable(odd))
	}
	return nil
}

type treePrinter struct {
	out     io.Writer
	style   style
	verdict *scan.Verdict
}

// part prints p after first, and what is below it after rest.
func (t *treePrinter) part(p *mime.Part, first, rest string) {
	line := p.Type
	if p.ID != "" {
		line = p.ID + " " + line
	}
	if len(p.Names) > 0 {
		line += " " + t.style.bold(printable(p.Names[0]))
	}
	fmt.Fprintf(t.out, "%s%s %s\n", first, line, t.style.dim(sizeText(int64(p.Body.End-p.Body.Start))))
	below := slices.Concat(p.Children, p.Extras)
	if p.Message != nil {
		below = append(below, p.Message)
	}
	notes := t.notes(p.ID)
	for i, note := range notes {
		fmt.Fprintf(t.out, "%s%s%s\n", rest, branch(i == len(notes)-1 && len(below) == 0), note)
	}
	for i, child := range below {
		last := i == len(below)-1
		indent := "│  "
		if last {
			indent = "   "
		}
		t.part(child, rest+branch(last), rest+indent)
	}
}

func branch(last bool) string {
	if last {
		return "└─ "
	}
	return "├─ "
}

// notes are the findings in the part with this number, and what in it was not checked.
func (t *treePrinter) notes(id string) []string {
	var notes []string
	for _, f := range t.verdict.Findings {
		if f.Part == id {
			notes = append(notes, t.style.red(findingText(f)))
		}
	}
	for _, u := range t.verdict.Unchecked {
		if u.Part == id {
			notes = append(notes, t.style.yellow("not checked: "+uncheckedText(u)))
		}
	}
	slices.Sort(notes)
	return slices.Compact(notes)
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
