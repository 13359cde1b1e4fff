package rules

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hillu/go-yara/v4"
)

// variables are the external variables that rules may use, all strings. owner is
// there for the rules that name it and is always empty.
var variables = [...]string{"filename", "filepath", "extension", "filetype", "owner"}

// includer resolves the includes of one source inside its tree.
type includer struct {
	from     source
	resolved map[string]string // an include as it is written, to a path in the tree
}

// open answers libyara, which names the including file as its include wrote it.
func (in *includer) open(name, from, _ string) []byte {
	dir := path.Dir(in.from.path)
	if p, ok := in.resolved[from]; ok {
		dir = path.Dir(p)
	}
	for _, p := range []string{path.Join(dir, name), path.Clean(name)} {
		if text, ok := in.from.tree.files[p]; ok {
			in.resolved[name] = p
			return []byte(text)
		}
	}
	return nil
}

// compiler is a libyara compiler. It gives rules once: libyara aborts the process
// when anything is added after that.
type compiler struct{ *yara.Compiler }

func newCompiler() (compiler, error) {
	c, err := yara.NewCompiler()
	if err != nil {
		return compiler{}, fmt.Errorf("make a compiler: %w", err)
	}
	for _, v := range variables {
		if err := c.DefineVariable(v, ""); err != nil {
			c.Destroy()
			return compiler{}, fmt.Errorf("define %s: %w", v, err)
		}
	}
	return compiler{c}, nil
}

func (c compiler) close() {
	c.DisableIncludes() // lets go of the callback, which Destroy does not
	c.Destroy()
}

// add compiles src into the namespace set. A problem spoils the compiler.
func (c compiler) add(src source, set string) (bad *Problem, warnings []Problem) {
	in := &includer{from: src, resolved: map[string]string{}}
	c.SetIncludeCallback(in.open)
	c.Errors, c.Warnings = nil, nil
	err := c.AddString(src.text(), set)
	for _, m := range c.Warnings {
		warnings = append(warnings, Problem{File: src.tree.place(in.file(m)), Line: m.Line, Message: m.Text, Warning: true})
	}
	switch {
	case err == nil:
		return nil, warnings
	case len(c.Errors) == 0:
		return &Problem{File: src.name(), Message: err.Error()}, warnings
	}
	m := c.Errors[0] // those after it follow from it
	file := in.file(m)
	return &Problem{
		File:    src.tree.place(file),
		Line:    m.Line,
		Message: m.Text + hint(m.Text, line(src.tree.files[file], m.Line), src.tree.dir),
	}, warnings
}

// file is the path in the tree of the file that m speaks of.
func (in *includer) file(m yara.CompilerMessage) string {
	if p, ok := in.resolved[m.Filename]; ok {
		return p
	}
	return in.from.path
}

// newer finds syntax that came with YARA 4.3 to 4.5 or with YARA-X.
var newer = regexp.MustCompile(`\bof\s+(them|\([^)]*\))\s+at\b|~[0-9A-Fa-f?]{2}\b|\bwith\s+\w+\s*=|\bfor\s+\w+\s+\w+\s+in\s*\(\s*"`)

// newModule finds the use of a module that came with newer YARA or is a service's.
var newModule = regexp.MustCompile(`"(lnk|vt|string)"`)

// hint adds to libyara's message about a line of a file in dir what it leaves out.
func hint(message, line, dir string) string {
	switch {
	case strings.Contains(message, "include resource"):
		return fmt.Sprintf(": only .yar and .yara files inside %s can be included", dir)
	case strings.HasPrefix(message, "unknown module"), newModule.MatchString(message):
		return fmt.Sprintf(": libyara %s has no such module", LibyaraVersion())
	case newer.MatchString(line):
		return fmt.Sprintf(": needs newer YARA than libyara %s", LibyaraVersion())
	case strings.HasPrefix(message, "undefined identifier"):
		return ": no file of the set that serves declares it"
	}
	return ""
}

// line gives line n of text, counted from 1.
func line(text string, n int) string {
	for range n - 1 {
		_, text, _ = strings.Cut(text, "\n")
	}
	text, _, _ = strings.Cut(text, "\n")
	return text
}

// probeTime is what the conditions of one file may take on an empty object.
const probeTime = 10 * time.Second

// trial is a file that was compiled by itself, or with those that it needs.
type trial struct {
	source
	set   string
	needs []source // of the same set, to be compiled before it
	names []string // its rules
	bad   *Problem
	notes []Problem // warnings
}

// run compiles t's file in a throw-away compiler and examines its rules. The error
// is for faults that are not the file's.
func (t *trial) run(several bool) error {
	t.bad, t.notes, t.names = nil, nil, nil
	c, err := newCompiler()
	if err != nil {
		return err
	}
	defer c.close()
	for _, need := range t.needs {
		if t.bad, _ = c.add(need, t.set); t.bad != nil {
			return nil
		}
	}
	if t.bad, t.notes = c.add(t.source, t.set); t.bad != nil {
		return nil
	}
	r, err := c.GetRules()
	if err != nil {
		return fmt.Errorf("%s: %w", t.name(), err)
	}
	defer r.Destroy()
	return t.examine(r, several)
}

// examine looks for what libyara allows and kiyome does not.
func (t *trial) examine(r *yara.Rules, several bool) error {
	rules := r.GetRules()
	for i := range rules {
		name := rules[i].Identifier()
		if rules[i].IsGlobal() && several {
			t.bad = &Problem{File: t.name(), Message: fmt.Sprintf("rule %q is global: it would gate every other file of the set %s", name, t.set)}
			return nil
		}
		if s := chained(r, i); s != "" {
			t.notes = append(t.notes, Problem{File: t.name(), Warning: true,
				Message: fmt.Sprintf("rule %q: string %q jumps over %d bytes or more: an object with many of its beginnings cannot be wholly matched", name, s, chainJump)})
		}
		t.names = append(t.names, name)
	}
	module, err := probe(r, len(rules))
	switch {
	case errors.Is(err, ErrTimeout):
		t.bad = &Problem{File: t.name(), Message: fmt.Sprintf("its conditions take longer than %s on an empty object", probeTime)}
	case err != nil:
		return fmt.Errorf("%s: %w", t.name(), err)
	case module != "":
		t.bad = &Problem{File: t.name(), Message: fmt.Sprintf("imports the module %q, which is not allowed here", module)}
	}
	return nil
}

// probe scans nothing with r, to hear which modules it imports.
func probe(r *yara.Rules, n int) (refused string, err error) {
	s, err := yara.NewScanner(r)
	if err != nil {
		return "", err
	}
	defer s.Destroy()
	h, err := newHits(n)
	if err != nil {
		return "", err
	}
	defer h.free()
	err = scan(s.SetTimeout(probeTime), nil, h)
	return h.refused(), err
}

// admit tries every file of a set and gives those that serve, in an order in
// which they compile together.
func admit(ctx context.Context, s sourceSet) (good []*trial, problems []Problem, err error) {
	several := s.files() > 1
	var failed []*trial
	byFile := map[source]*trial{}
	for _, src := range s.sources {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		t := &trial{source: src, set: s.name}
		if err := t.run(several); err != nil {
			return nil, nil, err
		}
		if t.bad != nil {
			failed = append(failed, t)
			continue
		}
		byFile[src] = t
		good = append(good, t)
	}
	// Some of the failed may need rules of other files, which may need others.
	for again := true; again; {
		again = false
		for _, t := range slices.Clone(failed) {
			ok, err := retry(ctx, t, byFile, several)
			if err != nil {
				return nil, nil, err
			}
			if ok {
				again = true
				good = append(good, t)
				byFile[t.source] = t
				failed = slices.DeleteFunc(failed, func(f *trial) bool { return f == t })
			}
		}
	}
	good, problems = unique(good)
	for _, t := range failed {
		problems = append(problems, *t.bad)
	}
	return good, problems, nil
}

// maxNeeds bounds how many files a file may need of its set.
const maxNeeds = 32

// retry compiles a file that named something undefined together with the good
// files of its set that declare it.
func retry(ctx context.Context, t *trial, good map[source]*trial, several bool) (bool, error) {
	first := t.bad
	t.needs = nil
	for range maxNeeds {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		rest, undefined := strings.CutPrefix(t.bad.Message, `undefined identifier "`)
		name, _, _ := strings.Cut(rest, `"`)
		file, declared := t.tree.declares()[name]
		need, ok := good[source{t.tree, file}]
		if !undefined || !declared || !ok || slices.Contains(t.needs, need.source) {
			break
		}
		for _, n := range append(slices.Clone(need.needs), need.source) {
			if !slices.Contains(t.needs, n) {
				t.needs = append(t.needs, n)
			}
		}
		if err := t.run(several); err != nil {
			return false, err
		}
		if t.bad == nil {
			t.dropNeeded(good)
			return true, nil
		}
	}
	t.bad = first
	return false, nil
}

// dropNeeded takes the rules of other files from t's names.
func (t *trial) dropNeeded(good map[source]*trial) {
	t.names = slices.DeleteFunc(t.names, func(name string) bool {
		return slices.ContainsFunc(t.needs, func(n source) bool { return slices.Contains(good[n].names, name) })
	})
}

// unique leaves out files that declare a rule again.
func unique(list []*trial) (kept []*trial, problems []Problem) {
	declared := map[string]*trial{}
	for _, t := range list {
		i := slices.IndexFunc(t.names, func(n string) bool { return declared[n] != nil })
		if i >= 0 {
			problems = append(problems, Problem{File: t.name(),
				Message: fmt.Sprintf("rule %q is already declared in %s", t.names[i], declared[t.names[i]].name())})
			continue
		}
		for _, n := range t.names {
			declared[n] = t
		}
		kept = append(kept, t)
		problems = append(problems, t.notes...)
	}
	return kept, problems
}

// compileAll compiles the admitted files together. One that does not fit after all
// is left out, and the rest compiled anew: a failed compiler cannot go on.
func compileAll(ctx context.Context, list []*trial) (*yara.Rules, []*trial, []Problem, error) {
	var problems []Problem
	for {
		if err := ctx.Err(); err != nil {
			return nil, nil, nil, err
		}
		r, misfit, bad, err := compileOnce(list)
		if bad == nil {
			return r, list, problems, err
		}
		problems = append(problems, *bad)
		list = slices.Delete(slices.Clone(list), misfit, misfit+1)
	}
}

func compileOnce(list []*trial) (r *yara.Rules, misfit int, bad *Problem, err error) {
	c, err := newCompiler()
	if err != nil {
		return nil, 0, nil, err
	}
	defer c.close()
	for i, t := range list {
		if bad, _ := c.add(t.source, t.set); bad != nil {
			return nil, i, bad, nil
		}
	}
	if r, err = c.GetRules(); err != nil {
		return nil, 0, nil, fmt.Errorf("compile the rules: %w", err)
	}
	return r, 0, nil, nil
}

// compiledRules is a set in its two forms: see withoutPrograms.
type compiledRules struct {
	all   *yara.Rules
	plain *yara.Rules // for objects that are no programs; nil: all serves them too

	steady bool // see isSteady
}

func (r compiledRules) destroy() {
	r.all.Destroy()
	if r.plain != nil {
		r.plain.Destroy()
	}
}

// compilePlain makes the second form of the files in list; nil where that would
// gain nothing, and then kept may say why.
func compilePlain(list []*trial, all *yara.Rules) (r *yara.Rules, kept *Problem, err error) {
	without, kept := withoutPrograms(treesOf(list))
	if without == nil {
		return nil, kept, nil
	}
	var plain []*trial
	for _, t := range list {
		plain = append(plain, &trial{source: source{without[t.tree], t.path}, set: t.set})
	}
	r, _, bad, err := compileOnce(plain)
	switch {
	case err != nil:
		return nil, nil, err
	case bad != nil: // it was not understood: one form will do
		return nil, kept, nil
	case !sameRules(all, r):
		r.Destroy()
		return nil, kept, nil
	}
	return r, kept, nil
}

// treesOf gives the trees that files are from.
func treesOf(list []*trial) (trees []*tree) {
	for _, t := range list {
		if !slices.Contains(trees, t.tree) {
			trees = append(trees, t.tree)
		}
	}
	return trees
}

// sameRules reports whether two sets have rules of the same names in the same places.
func sameRules(a, b *yara.Rules) bool {
	return slices.EqualFunc(a.GetRules(), b.GetRules(), func(x, y yara.Rule) bool {
		return x.Identifier() == y.Identifier() && x.Namespace() == y.Namespace()
	})
}

// compileSets makes one set of rules of all that can serve. The rules that the
// configuration switches off are switched off in it.
func compileSets(ctx context.Context, c Config, sets []sourceSet) (r compiledRules, files []string, problems []Problem, err error) {
	problems = checkConfig(c, sets)
	var all []*trial
	for _, s := range sets {
		good, bad, err := admit(ctx, s)
		if err != nil {
			return compiledRules{}, nil, nil, err
		}
		all = append(all, good...)
		problems = append(problems, bad...)
	}
	var bad []Problem
	if r.all, all, bad, err = compileAll(ctx, all); err != nil {
		return compiledRules{}, nil, nil, err
	}
	var kept *Problem
	if r.plain, kept, err = compilePlain(all, r.all); err != nil {
		r.destroy()
		return compiledRules{}, nil, nil, err
	}
	if kept != nil {
		problems = append(problems, *kept)
	}
	r.steady = isSteady(treesOf(all))
	switchOff(r.all, c, all)
	if r.plain != nil {
		switchOff(r.plain, c, all)
	}
	for _, t := range all {
		files = append(files, t.name())
	}
	return r, files, append(problems, bad...), nil
}
