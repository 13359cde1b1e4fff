// Package rules holds the YARA rules: the sources that come with kiyome, the
// operator's own, their compiled form, and the matching of objects against it.
//
// It is the only room with cgo. Each sub-folder of a rules folder is a set with
// a namespace of its own; files directly in it are the set "local"; the rules
// that come with kiyome are the set "kiyome". A set of rules is compiled,
// checked and shown to match EICAR before it serves, and is replaced whole.
package rules

import (
	"errors"
	"time"
)

// Errors that callers tell apart.
var (
	// ErrNone: there is no current set, or none before it.
	ErrNone = errors.New("no compiled rules")
	// ErrDamaged: a compiled file is not the one that was written.
	ErrDamaged = errors.New("damaged: digest does not match")
	// ErrNoEICAR: the rules do not match the EICAR test file, so they cannot be trusted to match anything.
	ErrNoEICAR = errors.New("the rules do not match the EICAR test file")
	// ErrWouldLose: sets or files that serve would be missing from what was to be built.
	ErrWouldLose = errors.New("rules that serve would be lost")
	// ErrTimeout: the object was not wholly matched within the limit.
	ErrTimeout = errors.New("matching took too long")
	// ErrTooManyMatches: a string matched an object more often than libyara counts
	// (1,000,000 times), and what came after was not looked at.
	ErrTooManyMatches = errors.New("too many matches")
)

// Config says which rules there are and what counts.
type Config struct {
	Dirs    []string // folders (or single files) of the operator
	Builtin bool     // the embedded rules too
	Ignore  []string // rule names or set/rule names (or patterns of them, path.Match), or sha256 (hex) of an object's content
	Sets    map[string]SetConfig

	// Lose lets Build leave out sets and files of the current set that are faulty or
	// gone by now. Without it such a Build changes nothing.
	Lose bool `json:"-"`
}

// SetConfig is what the operator says about one set.
type SetConfig struct {
	MinScore     int      // rules that score lower are logged, never cut; 0: 65
	DefaultScore int      // of a rule whose meta states no score; 0: 70
	Disable      []string // patterns of rule names (path.Match), or "set-file:PATTERN" for all rules of a file
}

// Problem is a fault in the rules of the operator, with its place. File is empty
// when it lies in the configuration, Line is 0 when it concerns the whole file.
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

// Info describes one rule.
type Info struct {
	Name, Set, Malware, Description string
	Tags                            []string
	Score                           int
	Disabled, LogOnly               bool
}
