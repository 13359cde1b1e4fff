package rules

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hillu/go-yara/v4"
)

// Scores that hold where the operator says nothing.
const (
	minScore     = 65
	defaultScore = 70
)

// withDefaults gives s with its zero fields filled in.
func (s SetConfig) withDefaults() SetConfig {
	s.MinScore = cmp.Or(s.MinScore, minScore)
	s.DefaultScore = cmp.Or(s.DefaultScore, defaultScore)
	return s
}

// filePattern marks a pattern of SetConfig.Disable that names files.
const filePattern = "set-file:"

// checkConfig finds what in c can have no effect.
func checkConfig(c Config, sets []sourceSet) (problems []Problem) {
	report := func(warning bool, format string, args ...any) {
		problems = append(problems, Problem{Message: fmt.Sprintf(format, args...), Warning: warning})
	}
	for _, p := range c.Ignore {
		if _, err := path.Match(p, ""); err != nil {
			report(false, "ignore: %q: %v", p, err)
		}
	}
	for _, name := range sortedKeys(c.Sets) {
		if !slices.ContainsFunc(sets, func(s sourceSet) bool { return s.name == name }) {
			report(true, "there is no set %q to configure", name)
		}
		for _, p := range c.Sets[name].Disable {
			if _, err := path.Match(strings.TrimPrefix(p, filePattern), ""); err != nil {
				report(false, "set %s: disable: %q: %v", name, p, err)
			}
		}
	}
	return problems
}

// matches reports whether name fits the pattern. A bad pattern fits nothing; it
// was reported when the set was built.
func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// switchOff switches off the rules of r, compiled from list, that SetConfig.Disable names.
func switchOff(r *yara.Rules, c Config, list []*trial) {
	files := map[[2]string]string{} // set and rule to the file that declares it
	for _, t := range list {
		if len(c.Sets[t.set].Disable) == 0 {
			continue
		}
		for _, name := range t.names {
			files[[2]string{t.set, name}] = t.declaring(name)
		}
	}
	rules := r.GetRules()
	for i := range rules {
		set, name := rules[i].Namespace(), rules[i].Identifier()
		file := files[[2]string{set, name}]
		if slices.ContainsFunc(c.Sets[set].Disable, func(p string) bool { return disables(p, name, file) }) {
			rules[i].Disable()
		}
	}
}

// declaring gives the file that declares a rule of t: t's own, or one that it includes.
func (t *trial) declaring(name string) string {
	if p, ok := t.tree.declares()[name]; ok && includes.MatchString(t.text()) {
		return p
	}
	return t.path
}

// disables reports whether a pattern of SetConfig.Disable means the rule of that
// name from that file. A file may be meant by its path in the set or its last part.
func disables(pattern, name, file string) bool {
	if p, ok := strings.CutPrefix(pattern, filePattern); ok {
		return matches(p, file) || matches(p, path.Base(file))
	}
	return matches(pattern, name)
}

// ignoring is a list of what the operator ignores, in the two kinds that there are.
type ignoring struct {
	digests  map[[32]byte]bool
	patterns []string // of names, or of set/name
}

func newIgnoring(lists ...[]string) ignoring {
	ig := ignoring{digests: map[[32]byte]bool{}}
	for _, entry := range slices.Concat(lists...) {
		if sum, ok := digest(entry); ok {
			ig.digests[sum] = true
		} else {
			ig.patterns = append(ig.patterns, entry)
		}
	}
	return ig
}

// rule reports whether the rule is ignored.
func (ig ignoring) rule(set, name string) bool {
	return slices.ContainsFunc(ig.patterns, func(p string) bool {
		if strings.Contains(p, "/") {
			return matches(p, set+"/"+name)
		}
		return matches(p, name)
	})
}

// digest reads a sha256 in hex.
func digest(s string) (sum [32]byte, ok bool) {
	if len(s) != hex.EncodedLen(len(sum)) {
		return sum, false
	}
	_, err := hex.Decode(sum[:], []byte(s))
	return sum, err == nil
}
