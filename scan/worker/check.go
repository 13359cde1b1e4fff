package worker

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"kiyome/scan"
	"kiyome/scan/mime"
)

// Bounds of what a verdict may hold, in bytes or entries: what scan.Verdict says
// of itself, and room to spare where it says nothing.
const (
	maxLabel   = 100     // a malware's name, a reason
	maxName    = 1 << 10 // any other name or text
	maxElement = 256     // a name in a path
	maxPath    = 8 << 10 // a path, one byte for each separator
	maxPart    = 8 << 10 // a section number: as deep as the limits let a message be
	maxOdd     = 1000
	maxDepth   = 10_000 // of a node: what the limits of depth allow, and more
)

// check reports what is wrong with a verdict on a message of size bytes, given
// what the worker had told as found. A worker may have been taken over by what
// it scanned: it must not be able to have a cut made that is none, to take a
// finding back, or to have anything written that no engine writes.
func check(v *scan.Verdict, size int64, found []scan.Finding) error {
	if err := v.Check(size); err != nil {
		return err
	}
	if len(v.Findings) < len(found) || len(found) > 0 && !reflect.DeepEqual(v.Findings[:len(found)], found) {
		return errors.New("other findings than were told")
	}
	return checkLists(v, size)
}

// checkLists checks everything in a verdict that is counted or written.
func checkLists(v *scan.Verdict, size int64) error {
	switch {
	case v.More < 0 || v.Objects < 0 || v.Bytes < 0:
		return errors.New("a count below zero")
	case max(len(v.Findings), len(v.Noted), len(v.Unchecked)) > scan.MaxFindings || len(v.Odd) > maxOdd || len(v.Tree) > scan.MaxNodes:
		return errors.New("too long a list")
	case !within(maxName, v.Subject):
		return errors.New("too long a subject")
	case !isLine(maxName, v.Odd...) || !isLine(maxName, v.Why, v.Rules):
		return errors.New("a text that no engine writes")
	}
	for _, list := range [][]scan.Finding{v.Findings, v.Noted} {
		for i := range list {
			if err := checkFinding(&list[i], size); err != nil {
				return err
			}
		}
	}
	for i := range v.Tree {
		if !isNode(&v.Tree[i], size) {
			return errors.New("a tree that is none")
		}
	}
	for _, u := range v.Unchecked {
		if !isLabel(u.Reason) || !within(maxName, u.Detail, u.Name) || !isLine(maxPart, u.Part) || !isPath(u.Path) {
			return errors.New("something unchecked that is none")
		}
	}
	return nil
}

// checkFinding checks a finding in a message of size bytes.
func checkFinding(f *scan.Finding, size int64) error {
	switch {
	case f.Malware == "", !isLabel(f.Malware), !isLabel(f.Policy):
		return errors.New("a finding whose name is none")
	case !isLine(maxName, f.Rule), !isLine(maxPart, f.Part):
		return errors.New("a finding whose place or rule is none")
	case !within(maxName, f.Name), !isPath(f.Path):
		return errors.New("a finding with too long a name")
	case f.SHA256 != "" && !isDigest(f.SHA256):
		return errors.New("a finding whose digest is none")
	case f.Range != (mime.Range{}) && (f.Range.Start < 0 || f.Range.End <= f.Range.Start || int64(f.Range.End) > size):
		return fmt.Errorf("a finding in [%d, %d) of %d bytes", f.Range.Start, f.Range.End, size)
	}
	return nil
}

// isNode reports whether n can be a node in the tree of a message of size bytes.
func isNode(n *scan.Node, size int64) bool {
	if n.Depth < 0 || n.Depth > maxDepth || n.Size < 0 || n.SHA256 != "" && !isDigest(n.SHA256) {
		return false
	}
	if r := n.Range; r != nil && (r.Start < 0 || r.End < r.Start || int64(r.End) > size) {
		return false
	}
	notes := slices.Concat(n.Malware, n.Noted, n.Unchecked)
	return isLine(maxPart, n.Part) && within(maxName, n.Type, n.Name, n.How) && within(maxName, notes...)
}

// within reports whether all texts are of at most n bytes.
func within(n int, texts ...string) bool {
	for _, s := range texts {
		if len(s) > n {
			return false
		}
	}
	return true
}

// isLine reports whether all texts, none of which comes from a message, are of at
// most n bytes and in one line.
func isLine(n int, texts ...string) bool {
	for _, s := range texts {
		if strings.ContainsFunc(s, unicode.IsControl) {
			return false
		}
	}
	return within(n, texts...)
}

// isLabel reports whether s can stand in the header of a mail: printable ASCII,
// and not much of it.
func isLabel(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(s) <= maxLabel
}

// isPath reports whether the names that lead to an object are of the length that
// an engine gives them.
func isPath(path []string) bool {
	text := 0
	for _, name := range path {
		text += len(name) + 1
	}
	return text <= maxPath && within(maxElement, path...)
}

// isDigest reports whether s is a SHA-256 in hex.
func isDigest(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == 64
}
