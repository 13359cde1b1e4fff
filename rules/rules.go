// Package rules holds the YARA rules: the sources that come with kiyome, the
// operator's own, their compiled form, and the matching of objects against it.
//
// It is the only room with cgo. Each sub-folder of a rules folder is a set with
// a namespace of its own; files directly in it are the set "local"; the rules
// that come with kiyome are the set "kiyome". A set of rules is compiled,
// checked and shown to match EICAR before it serves, and is replaced whole.
package rules

import (
	"context"
	"time"
)

// Config says which rules there are and what counts.
type Config struct {
	Dirs    []string // folders (or single files) of the operator
	Builtin bool     // the embedded rules too
	Ignore  []string // rule names, set/rule names, or sha256 (hex) of an object's content
	Sets    map[string]SetConfig
}

// SetConfig is what the operator says about one set.
type SetConfig struct {
	MinScore     int      // rules that score lower are logged, never cut; default 65
	DefaultScore int      // of a rule that states none; default 70
	Disable      []string // patterns of rule names (path.Match), or "set-file:PATTERN" for all rules of a file
}

// Problem is a fault in the rules of the operator, with its place.
type Problem struct {
	File    string
	Line    int
	Message string
	Warning bool // serves all the same (slow strings); an error in `rules check`
}

// Compiled describes a compiled rule set on disk.
type Compiled struct {
	Path    string // of the compiled rules
	Digest  string // sha256 of the file at Path, hex
	Version string // short, stable name of this set for headers, logs and verdicts
	Rules   int    // how many
	Built   time.Time
}

// Build compiles what c says into dir, checks that it matches EICAR, and makes it
// the current set, keeping the one before it for Rollback. When the current set was
// already built from the same sources, configuration and libyara, it is kept.
// problems lists files that were left out and warnings; err is not nil when
// nothing was built, and then the current set is as it was.
func Build(ctx context.Context, c Config, dir string) (set Compiled, problems []Problem, err error) {
	panic("not built yet")
}

// Current gives the current compiled set in dir, verified against its digest.
func Current(dir string) (Compiled, error) { panic("not built yet") }

// Rollback makes the set before the current one current again.
func Rollback(dir string) (Compiled, error) { panic("not built yet") }

// Silence adds a rule name or a digest to the list of the ignored kept in dir; Unsilence takes it back.
func Silence(dir, name string) error   { panic("not built yet") }
func Unsilence(dir, name string) error { panic("not built yet") }

// Check compiles what c says file by file without keeping it and lists every problem.
func Check(ctx context.Context, c Config) ([]Problem, error) { panic("not built yet") }

// Info describes one rule.
type Info struct {
	Name, Set, Malware, Description string
	Tags                            []string
	Score                           int
	Disabled, LogOnly               bool
}

// Set is a loaded rule set. It serves several matchers.
type Set struct{}

// Load verifies the compiled file against its digest and loads it. A damaged file is an
// error before libyara sees it. Rules that c.Ignore or Silence name are switched off.
func Load(c Compiled) (*Set, error) { panic("not built yet") }

// Compile builds a set in memory from YARA sources in one namespace: for tests.
func Compile(sources ...string) (*Set, error) { panic("not built yet") }

// Version is the set's Compiled.Version.
func (s *Set) Version() string { panic("not built yet") }

// Infos lists the rules in the order of the set.
func (s *Set) Infos() []Info { panic("not built yet") }

// Ignored reports whether the operator ignores the object with this sha256.
func (s *Set) Ignored(sum [32]byte) bool { panic("not built yet") }

// Close frees what libyara holds. All matchers must be closed before.
func (s *Set) Close() { panic("not built yet") }

// Object is what is matched.
type Object struct {
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
type Matcher struct{}

// NewMatcher makes a matcher. libyara keeps per-scanner memory: Close it.
func (s *Set) NewMatcher() (*Matcher, error) { panic("not built yet") }

// Match gives every rule that matches o, those that must not cut too. An error
// means that o was not wholly matched: never take it for clean. limit bounds the
// time; libyara counts whole seconds, so it is rounded up.
func (m *Matcher) Match(o Object, limit time.Duration) ([]Match, error) { panic("not built yet") }

// Close frees the matcher.
func (m *Matcher) Close() { panic("not built yet") }
