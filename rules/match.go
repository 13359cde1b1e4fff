package rules

import (
	"bytes"
	"fmt"
	"math"
	"path"
	"strings"
	"time"

	"github.com/hillu/go-yara/v4"
)

// Object is what is matched.
type Object struct {
	// Data is not copied. It may be mapped memory that nobody can truncate: a page
	// that goes away under libyara ends the process.
	Data []byte
	Name string // file name; the external variables filename, extension derive from it
	Path string // containers that lead to it, joined by "/": the external variable filepath
	Type string // format by content, upper case: the external variable filetype
	// Carved says that the bytes were found by guessing: rules tagged heuristic do not count.
	Carved bool
}

// Match is a rule that matched an object.
type Match struct {
	Rule    string // as in the source
	Set     string
	Malware string // name for people: printable ASCII, at most 100 bytes
	Score   int
	LogOnly bool // tagged info, or its score is under the set's limit: never cuts
}

// Matcher matches objects, one at a time. It is used by one goroutine.
type Matcher struct {
	set   *Set
	all   *scanner
	plain *scanner // for what is no program; all where the set has but one form
	hits  hits
}

// scanner is libyara's, for one form of a set.
type scanner struct {
	*yara.Scanner
	given [len(variables)]string // values of the external variables
}

// NewMatcher makes a matcher. libyara keeps per-scanner memory: Close it.
func (s *Set) NewMatcher() (*Matcher, error) {
	m := &Matcher{set: s}
	err := m.open()
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("make a matcher: %w", err)
	}
	return m, nil
}

func (m *Matcher) open() (err error) {
	if m.all, err = newScanner(m.set.rules.all); err != nil {
		return err
	}
	if m.plain = m.all; m.set.rules.plain != nil {
		if m.plain, err = newScanner(m.set.rules.plain); err != nil {
			return err
		}
	}
	m.hits, err = newHits(len(m.set.facts))
	return err
}

func newScanner(r *yara.Rules) (*scanner, error) {
	s, err := yara.NewScanner(r)
	if err != nil {
		return nil, err
	}
	return &scanner{Scanner: s}, nil
}

// Match gives every rule that matches o, those that must not cut too. An error
// means that o was not wholly matched: never take it for clean. Matches may come
// with an error, and count: they are what was found before it. limit bounds the
// time; libyara counts whole seconds, so it is rounded up, and one second is
// the least. It looks at its clock now and then only, so it may overrun.
func (m *Matcher) Match(o Object, limit time.Duration) ([]Match, error) {
	if bytes.HasPrefix(o.Data, []byte(programMagic)) {
		return m.match(m.all, o, limit)
	}
	return m.match(m.plain, o, limit)
}

// match is Match with one form of the set.
func (m *Matcher) match(s *scanner, o Object, limit time.Duration) ([]Match, error) {
	if err := s.describe(o); err != nil {
		return nil, err
	}
	s.SetTimeout(wholeSeconds(limit))
	err := scan(s.Scanner, o.Data, m.hits)
	if rule, yes := m.hits.tooMany(); yes && err == nil {
		err = fmt.Errorf("%w of rule %s", ErrTooManyMatches, m.set.facts[rule].Name)
	}
	var found []Match
	for _, i := range m.hits.rules() {
		f := &m.set.facts[i]
		if o.Carved && f.heuristic {
			continue
		}
		found = append(found, Match{Rule: f.Name, Set: f.Set, Malware: f.Malware, Score: f.Score, LogOnly: f.LogOnly})
	}
	if err != nil {
		err = fmt.Errorf("match: %w", err)
	}
	return found, err
}

// wholeSeconds gives d as libyara counts: it cuts off fractions, and takes 0 for no
// limit at all.
func wholeSeconds(d time.Duration) time.Duration {
	d = min(d, math.MaxInt32*time.Second) // an int in C
	return max(time.Second, (d + time.Second - 1).Truncate(time.Second))
}

// describe sets the external variables that differ from those of the last object.
func (s *scanner) describe(o Object) error {
	name := variable(o.Name)
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	// In the order of variables; owner is never known.
	for i, v := range [len(variables)]string{name, variable(o.Path), strings.ToLower(path.Ext(name)), strings.ToUpper(variable(o.Type))} {
		if v == s.given[i] {
			continue
		}
		if err := s.DefineVariable(variables[i], v); err != nil {
			return fmt.Errorf("match: set %s: %w", variables[i], err)
		}
		s.given[i] = v
	}
	return nil
}

// maxVariable bounds what a message can make rules search in an external variable.
const maxVariable = 4096

// variable makes s fit for C. Its end is kept when it is too long: there the
// extension stands.
func variable(s string) string {
	s = s[max(0, len(s)-maxVariable):]
	return strings.ReplaceAll(s, "\x00", "")
}

// Close frees the matcher. A second Close does nothing.
func (m *Matcher) Close() {
	for _, s := range []*scanner{m.all, m.plain} {
		if s != nil {
			s.Destroy()
		}
	}
	m.hits.free()
	m.hits = hits{}
}
