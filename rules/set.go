package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hillu/go-yara/v4"
)

// Set is a loaded rule set. It serves several matchers.
type Set struct {
	version string
	rules   compiledRules
	facts   []fact // by libyara's index of the rule
	ignored ignoring
}

// fact is what is known of a rule before anything is matched.
type fact struct {
	Info
	heuristic bool // does not count where bytes were found by guessing
	private   bool // a building block of others: never reported
}

// Load verifies the compiled file against its digest and loads it. A damaged file is an
// error before libyara sees it. Rules that Config.Ignore named at Build or that
// Silence names are switched off.
func Load(c Compiled) (*Set, error) {
	silenced, err := Silenced(filepath.Dir(c.Path))
	if err != nil {
		return nil, err
	}
	return load(c, silenced)
}

func load(c Compiled, silenced []string) (*Set, error) {
	h, r, err := readRules(c)
	if err != nil {
		return nil, err
	}
	return newSet(r, h.Version, h.Sets, newIgnoring(h.Ignore, silenced)), nil
}

// Compile builds a set in memory from YARA sources in one namespace: for tests.
// There is nothing to include, and scores count as in the set "local".
func Compile(sources ...string) (*Set, error) {
	sum := sha256.New()
	var list []*trial
	for i, text := range sources {
		t := newTree("")
		name := fmt.Sprintf("source %d", i+1)
		t.files[name] = text
		list = append(list, &trial{source: source{t, name}, set: localSet})
		writeField(sum, text)
	}
	all, _, bad, err := compileOnce(list)
	if bad != nil {
		return nil, fmt.Errorf("compile: %s:%d: %s", bad.File, bad.Line, bad.Message)
	}
	if err != nil {
		return nil, fmt.Errorf("compile: %w", err)
	}
	plain, _, err := compilePlain(list, all)
	if err != nil {
		all.Destroy()
		return nil, fmt.Errorf("compile: %w", err)
	}
	return newSet(compiledRules{all, plain, isSteady(treesOf(list))}, hex.EncodeToString(sum.Sum(nil))[:12], nil, newIgnoring()), nil
}

// newSet takes stock of r, which it owns from then on.
func newSet(r compiledRules, version string, sets map[string]SetConfig, ig ignoring) *Set {
	s := &Set{version: version, rules: r, ignored: ig}
	rules := r.all.GetRules()
	var plain []yara.Rule
	if r.plain != nil {
		plain = r.plain.GetRules()
	}
	for i := range rules {
		f := newFact(&rules[i], sets)
		// A private rule is no detection; switching it off would change others.
		if !f.private && ig.rule(f.Set, f.Name) {
			rules[i].Disable()
			if plain != nil {
				plain[i].Disable()
			}
		}
		f.Disabled = disabled(r.all, i)
		s.facts = append(s.facts, f)
	}
	return s
}

func newFact(r *yara.Rule, sets map[string]SetConfig) fact {
	meta := map[string]any{}
	for _, m := range r.Metas() {
		if _, ok := meta[m.Identifier]; !ok { // a name may stand twice: the first counts
			meta[m.Identifier] = m.Value
		}
	}
	f := fact{private: r.IsPrivate()}
	f.Name, f.Set, f.Tags = r.Identifier(), r.Namespace(), r.Tags()
	f.Malware = malware(meta, f.Name)
	f.Description, _ = meta["description"].(string)
	c := sets[f.Set].withDefaults()
	f.Score = c.DefaultScore
	if n, ok := number(meta["score"]); ok {
		f.Score = n
	}
	f.LogOnly = f.tagged("info") || f.Score < c.MinScore
	f.heuristic = f.tagged("heuristic") || truth(meta["heuristic"])
	return f
}

func (f fact) tagged(tag string) bool {
	return slices.ContainsFunc(f.Tags, func(t string) bool { return strings.EqualFold(t, tag) })
}

// number reads a meta value that may be a number in quotes.
func number(v any) (int, bool) {
	switch v := v.(type) {
	case int:
		return v, true
	case string:
		n, err := strconv.Atoi(strings.TrimSpace(v))
		return n, err == nil
	}
	return 0, false
}

// truth reads a meta value that says yes or no.
func truth(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case int:
		return v != 0
	case string:
		return v != "" && !strings.EqualFold(v, "false") && v != "0"
	}
	return false
}

// malware is the name for people: kiyome's own meta field, then those of public
// sets, then the rule's name, which is an identifier and so always a name.
func malware(meta map[string]any, rule string) string {
	text := func(key string) string { s, _ := meta[key].(string); return readable(s) }
	if s := text("malware"); s != "" {
		return s
	}
	if s := text("threat_name"); s != "" {
		return s
	}
	if kind, name := text("tc_detection_type"), text("tc_detection_name"); kind != "" && name != "" {
		return readable(kind + "." + name)
	}
	return readable(rule)
}

// maxName bounds a malware's name, in bytes.
const maxName = 100

// readable makes s printable ASCII of at most maxName bytes: it stands in headers,
// logs and mails.
func readable(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case r < ' ' || r > '~':
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	return strings.TrimSpace(s[:min(len(s), maxName)])
}

// Version is the set's Compiled.Version.
func (s *Set) Version() string { return s.version }

// Infos lists the rules in the order of the set, without private ones.
func (s *Set) Infos() []Info {
	infos := make([]Info, 0, len(s.facts))
	for _, f := range s.facts {
		if !f.private {
			f.Tags = slices.Clone(f.Tags)
			infos = append(infos, f.Info)
		}
	}
	return infos
}

// Ignored reports whether the operator ignores the object with this sha256.
func (s *Set) Ignored(sum [32]byte) bool { return s.ignored.digests[sum] }

// Close frees what libyara holds. All matchers must be closed before.
func (s *Set) Close() { s.rules.destroy() }
