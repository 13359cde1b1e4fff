package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// libyara's module pe looks at every object from which a rule may ask for it,
// which costs more than all rules together on a short text. So there are two
// forms of a set: one with all rules, for objects that begin as programs do, and
// one for all others, in which the rules that name the module and cannot match
// there are false from the start. A rule keeps its place, and those that build on
// it see what they would see.

// programMagic is what an object begins with of which the module pe knows anything.
const programMagic = "MZ"

// withoutPrograms gives the trees of sets as they are compiled for objects that are no
// programs. It is nil when that would gain nothing: no rule names the module, or one
// does that may match other objects too, and then kept says which.
func withoutPrograms(trees []*tree) (plain map[*tree]*tree, kept *Problem) {
	plain = make(map[*tree]*tree)
	gains := false
	for _, t := range trees {
		known := gates(t)
		p := newTree(t.dir)
		for _, name := range t.sorted() {
			text := t.files[name]
			list := tokens(text)
			if !usesPE(list) {
				p.files[name] = text
				continue
			}
			var keeper string
			if p.files[name], keeper = known.strip(text, list); keeper != "" {
				return nil, &Problem{File: t.place(name), Warning: true, Message: fmt.Sprintf(
					"rule %q names the module pe and may match what is no program: so the module looks at every object, which takes longer than a thousand rules", keeper)}
			}
			gains = true
		}
		plain[t] = p
	}
	if !gains {
		return nil, nil
	}
	return plain, nil
}

// usesPE reports whether the module is named.
func usesPE(list []token) bool {
	for i, t := range list {
		if t.is("pe") && i+1 < len(list) && list[i+1].is(".") || importsPE(list, i) {
			return true
		}
	}
	return false
}

// importsPE reports whether the import of the module stands at index i.
func importsPE(list []token, i int) bool { return imports(list, i, "pe") }

// imports reports whether the import of a module stands at index i.
func imports(list []token, i int, module string) bool {
	return list[i].is("import") && i+1 < len(list) && list[i+1].text == `"`+module+`"`
}

// gated knows which rules of a tree match programs only.
type gated map[string]bool

// gates finds the rules of a tree that match programs only.
func gates(t *tree) gated {
	var all []declared
	for _, name := range t.sorted() {
		all = append(all, declarations(tokens(t.files[name]))...)
	}
	known := gated{}
	for range 4 { // rules build on rules, a few deep
		for _, d := range all {
			known[d.name] = known.only(d.condition, d.strings)
		}
	}
	return known
}

// strip makes the rules false that name the module and match programs only, and
// takes its import out. keeper is another rule that names it.
func (g gated) strip(text string, list []token) (stripped, keeper string) {
	var b strings.Builder
	at := 0
	replace := func(start, end int, by string) {
		b.WriteString(text[at:start])
		// Lines keep their numbers.
		b.WriteString(by + strings.Repeat("\n", strings.Count(text[start:end], "\n")))
		at = end
	}
	rules := declarations(list)
	for i, t := range list {
		if importsPE(list, i) {
			replace(t.start, list[i+1].end(), "")
		}
		if len(rules) == 0 || t.start != rules[0].start {
			continue
		}
		d := rules[0]
		rules = rules[1:]
		switch {
		case !usesPE(d.condition):
		case g[d.name]:
			replace(d.start, d.end, "{ condition: false }")
		default:
			return "", d.name
		}
	}
	b.WriteString(text[at:])
	return b.String(), ""
}

// only reports whether a condition can hold of programs only: where it names one
// thing that holds of nothing else, and all that it asks for beside.
func (g gated) only(condition []token, strs map[string][]token) bool {
	condition = unwrapped(condition)
	if either := split(condition, "or"); len(either) > 1 {
		return !slices.ContainsFunc(either, func(part []token) bool { return !g.only(part, strs) })
	}
	if all := split(condition, "and"); len(all) > 1 {
		return slices.ContainsFunc(all, func(part []token) bool { return g.only(part, strs) })
	}
	return g.asksForProgram(condition, strs)
}

// asksForProgram reports whether a condition without "and" and "or" holds of programs only.
func (g gated) asksForProgram(c []token, strs map[string][]token) bool {
	switch {
	case len(c) == 0:
		return false
	case len(c) == 1:
		return g[c[0].text]
	case isText(c, "uint16", "(", "0", ")", "=", "="):
		return isNumber(c[6:], 0x5a4d)
	case isText(c, "uint16be", "(", "0", ")", "=", "="):
		return isNumber(c[6:], 0x4d5a)
	case len(c) == 3 && isText(c[1:], "at", "0"):
		return beginsProgram(strs[c[0].text])
	case isText(c, "pe", ".", "imphash", "(", ")", "=", "="):
		return len(c) == 8 && c[7].kind == stringToken
	}
	return isText(c, "pe", ".", "is_pe") && len(c) == 3
}

// isText reports whether tokens begin with these words and signs.
func isText(c []token, words ...string) bool {
	if len(c) < len(words) {
		return false
	}
	for i, w := range words {
		if !c[i].is(w) {
			return false
		}
	}
	return true
}

// isNumber reports whether tokens are just a number.
func isNumber(c []token, want uint64) bool {
	if len(c) != 1 {
		return false
	}
	n, err := strconv.ParseUint(strings.ToLower(c[0].text), 0, 64)
	return err == nil && n == want
}

// beginsProgram reports whether a string that stands at the beginning of an object
// says that a program is there: "MZ" as it is, or hexadecimal that begins so.
func beginsProgram(def []token) bool {
	if len(def) == 0 {
		return false
	}
	if def[0].text == `"`+programMagic+`"` {
		return len(def) == 1 || len(def) == 2 && def[1].is("ascii")
	}
	if !def[0].is("{") {
		return false
	}
	var digits strings.Builder
	for _, t := range def[1:] {
		if digits.Len() >= 4 || t.kind != wordToken {
			break
		}
		digits.WriteString(strings.ToLower(t.text))
	}
	return strings.HasPrefix(digits.String(), "4d5a")
}

// unwrapped takes the parentheses off that stand around all of a condition.
func unwrapped(c []token) []token {
	for len(c) >= 2 && c[0].is("(") && c[len(c)-1].is(")") {
		depth := 0
		for i, t := range c {
			switch {
			case t.is("("):
				depth++
			case t.is(")"):
				depth--
			}
			if depth == 0 && i < len(c)-1 {
				return c
			}
		}
		c = c[1 : len(c)-1]
	}
	return c
}

// split cuts a condition at a word outside of all parentheses.
func split(c []token, word string) (parts [][]token) {
	depth, from := 0, 0
	for i, t := range c {
		switch {
		case t.is("("):
			depth++
		case t.is(")"):
			depth--
		case depth == 0 && t.is(word):
			parts = append(parts, c[from:i])
			from = i + 1
		}
	}
	return append(parts, c[from:])
}
