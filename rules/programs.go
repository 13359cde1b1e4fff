package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Most rules of public sets are for programs, and say so first. And libyara's module pe
// looks at every object from which a rule may ask for it, which costs more than all rules
// together on a short text. So there are two forms of a set: one with all rules, for
// objects that begin as programs do, and one for all others, in which the rules that
// cannot match there are false from the start, and so is what others ask of the module. A
// rule keeps its place, and those that build on it see what they would see.

// programMagic is what an object begins with of which the module pe knows anything.
const programMagic = "MZ"

// withoutPrograms gives the trees of sets as they are compiled for objects that are no
// programs. It is nil when that would gain nothing. kept says which rule, if any, has the
// module look at all objects after all.
func withoutPrograms(trees []*tree) (plain map[*tree]*tree, kept *Problem) {
	plain = make(map[*tree]*tree)
	gains := false
	for _, t := range trees {
		p, keeper, gained := gates(t).without(t)
		plain[t] = p
		gains = gains || gained
		if keeper != nil && kept == nil {
			kept = keeper
		}
	}
	if !gains {
		return nil, kept
	}
	return plain, kept
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

// gated knows which rules of a tree match programs only, and asks libyara where it is not
// plain to see.
type gated struct {
	rules map[string]bool
	asked map[string]bool // see never
}

// gates finds the rules of a tree that match programs only. Of several that have one
// name, which a file may declare that is not admitted, all have to.
func gates(t *tree) gated {
	var all []declared
	for _, name := range t.sorted() {
		all = append(all, declarations(tokens(t.files[name]))...)
	}
	g := gated{asked: map[string]bool{}}
	for range 4 { // rules build on rules, a few deep
		found := map[string]bool{}
		for _, d := range all {
			only, before := g.only(d.condition, d.strings), true
			if was, again := found[d.name]; again {
				before = was
			}
			found[d.name] = only && before
		}
		g.rules = found
	}
	return g
}

// edit is a change of a source.
type edit struct {
	start, end int
	by         string
}

// without gives the tree as it is for what is no program. keeper is about a rule that names
// the module pe still; gained tells that there is less to do.
func (g gated) without(t *tree) (plain *tree, keeper *Problem, gained bool) {
	edits, imports := map[string][]edit{}, map[string][]edit{}
	stripped, all, named := 0, 0, false
	for _, name := range t.sorted() {
		list := tokens(t.files[name])
		for i := range list {
			if importsPE(list, i) {
				imports[name] = append(imports[name], edit{start: list[i].start, end: list[i+1].end()})
			}
		}
		for _, d := range declarations(list) {
			all++
			switch asks := usesPE(d.condition); {
			case g.rules[d.name]:
				edits[name] = append(edits[name], edit{d.start, d.end, "{ condition: false }"})
				stripped++
				named = named || asks
			case asks:
				made := g.reduce(d.condition)
				edits[name] = append(edits[name], made...)
				named = true
				if keeper == nil && usesPE(outside(d.condition, made)) {
					keeper = &Problem{File: t.place(name), Warning: true, Message: fmt.Sprintf(
						"rule %q names the module pe and may match what is no program: so the module looks at every object, which takes longer than a thousand rules", d.name)}
				}
			}
		}
	}
	plain = newTree(t.dir)
	for name, text := range t.files {
		if keeper == nil {
			edits[name] = append(edits[name], imports[name]...)
		}
		plain.files[name] = edited(text, edits[name])
	}
	return plain, keeper, named && keeper == nil || stripped > all/10
}

// edited makes changes, which do not overlap. Lines keep their numbers.
func edited(text string, edits []edit) string {
	slices.SortFunc(edits, func(a, b edit) int { return a.start - b.start })
	var b strings.Builder
	at := 0
	for _, e := range edits {
		b.WriteString(text[at:e.start])
		b.WriteString(e.by + strings.Repeat("\n", strings.Count(text[e.start:e.end], "\n")))
		at = e.end
	}
	b.WriteString(text[at:])
	return b.String()
}

// outside gives the tokens that changes leave.
func outside(list []token, edits []edit) (left []token) {
	for _, t := range list {
		if !slices.ContainsFunc(edits, func(e edit) bool { return t.start >= e.start && t.start < e.end }) {
			left = append(left, t)
		}
	}
	return left
}

// reduce makes false in a condition what only asks the module pe about a program. What
// names strings stays: each of a rule's has to be named.
func (g gated) reduce(c []token) (edits []edit) {
	c = unwrapped(c)
	if g.never(c) {
		return []edit{{c[0].start, c[len(c)-1].end(), "false"}}
	}
	for _, word := range []string{"or", "and"} {
		if parts := split(c, word); len(parts) > 1 {
			for _, part := range parts {
				edits = append(edits, g.reduce(part)...)
			}
			return edits
		}
	}
	if place := placed(c); g.nowhere(place) {
		return []edit{{place[0].start, place[len(place)-1].end(), "filesize"}} // where no string is
	}
	return nil
}

// placed gives what stands behind "at" in a condition like "$a at 0".
func placed(c []token) []token {
	if len(c) < 3 || !strings.HasPrefix(c[0].text, "$") || !c[1].is("at") {
		return nil
	}
	return c[2:]
}

// nowhere reports whether a number that only the module pe can tell is unknown of what is
// no program.
func (g gated) nowhere(number []token) bool {
	if !closed(number) {
		return false
	}
	n := "(" + written(number) + ")"
	return g.ask(n + " >= 0 or " + n + " < 0")
}

// never reports whether a condition asks nothing but the module pe, and does not hold of
// what is no program.
func (g gated) never(c []token) bool { return closed(c) && g.ask(written(c)) }

// ask has libyara say whether a condition that asks nothing but the module pe holds of what
// is no program: it knows which of the module's values are unknown then, and what comes of
// those.
func (g gated) ask(condition string) (never bool) {
	never, known := g.asked[condition]
	if !known {
		never = holdsNever(condition)
		g.asked[condition] = never
	}
	return never
}

// holdsNever compiles a condition and tries it on objects that are no programs. Of them
// the module pe knows the same, whatever they are.
func holdsNever(condition string) bool {
	t := newTree("")
	t.files["r"] = `import "pe" rule r { condition: ` + condition + ` }`
	r, _, bad, err := compileOnce([]*trial{{source: source{t, "r"}, set: localSet}})
	if bad != nil || err != nil {
		return false
	}
	set := newSet(compiledRules{all: r}, "", nil, newIgnoring())
	defer set.Close()
	m, err := set.NewMatcher()
	if err != nil {
		return false
	}
	defer m.Close()
	for _, object := range []string{"", "text", strings.Repeat("PE\x00\x00 and more of it ", 100)} {
		if found, err := m.Match(Object{Data: []byte(object)}, time.Second); len(found) > 0 || err != nil {
			return false
		}
	}
	return true
}

// words of a condition that ask nothing of an object.
var words = strings.Fields(`and or not for any all none of in contains icontains startswith istartswith
	endswith iendswith iequals matches defined true false`)

// closed reports whether a condition asks the module pe, and nothing of the object beside:
// no strings, no other modules and rules, no variables but its own.
func closed(c []token) bool {
	asks := false
	var own []string // variables of loops
	for i, t := range c {
		switch {
		case t.kind != wordToken || i > 0 && c[i-1].is(".") || slices.Contains(words, t.text) || slices.Contains(own, t.text):
		case t.text[0] >= '0' && t.text[0] <= '9':
		case t.is("pe") && i+1 < len(c) && c[i+1].is("."):
			asks = true
		case i > 1 && c[i-2].is("for") && i+1 < len(c) && c[i+1].is("in"):
			own = append(own, t.text)
		default:
			return false
		}
	}
	return asks
}

// written gives tokens as text.
func written(list []token) string {
	var b strings.Builder
	for i, t := range list {
		if i > 0 && t.kind != signToken && list[i-1].kind != signToken {
			b.WriteByte(' ')
		}
		b.WriteString(t.text)
	}
	return b.String()
}

// only reports whether a condition can hold of programs only: where it names one
// thing that holds of nothing else, and all that it asks for beside.
func (g gated) only(condition []token, strs map[string][]token) bool {
	condition = unwrapped(condition)
	if g.never(condition) {
		return true
	}
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
		return g.rules[c[0].text]
	case isText(c, "uint16", "(", "0", ")", "=", "="):
		return isNumber(c[6:], 0x5a4d)
	case isText(c, "uint16be", "(", "0", ")", "=", "="):
		return isNumber(c[6:], 0x4d5a)
	case len(c) == 3 && isText(c[1:], "at", "0"):
		return beginsProgram(strs[c[0].text])
	}
	return g.nowhere(placed(c))
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
