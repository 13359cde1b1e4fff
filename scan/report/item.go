package report

import (
	"strings"

	"kiyome/scan"
)

// Item is a finding as people are told of it, in reports and elsewhere. Its strings are harmless:
// see Line.
type Item struct {
	Kind    string // "file", "unnamed", "body", "whole"
	File    string // of a "file": its name, or the path to it
	Malware string
	Policy  string // "encrypted", "closed archive", "damaged", "unsupported", "limit", "error"; "" when malware was found
}

// findingsMax is the number of findings of a message that people are told; the rest is counted.
const findingsMax = 100

// Items gives the findings of a verdict as people are told of them: the first hundred.
func Items(v *scan.Verdict) []Item {
	var all []Item
	for _, found := range v.Findings[:min(len(v.Findings), findingsMax)] {
		all = append(all, itemOf(found))
	}
	return all
}

func itemOf(found scan.Finding) Item {
	it := Item{Kind: "file", Malware: Line(found.Malware), Policy: policy(found.Policy)}
	path := found.Path
	if len(path) == 0 && found.Name != "" {
		path = []string{found.Name}
	}
	it.File = harmlessPath(path)
	switch {
	case whole(found):
		it.Kind = "whole"
	case found.Body:
		it.Kind = "body"
	case it.File == "" || it.File == "?":
		it.Kind = "unnamed"
	}
	return it
}

// whole reports whether a finding is of the message as a whole: it was not checked to its end.
func whole(found scan.Finding) bool { return found.Policy != "" && found.Part == "" }

// policy puts the reason why something was not checked in one of the words that templates know.
func policy(reason string) string {
	kind, _, _ := strings.Cut(reason, ":")
	switch kind {
	case "", "encrypted", "closed archive", "damaged", "unsupported", "limit":
		return kind
	}
	return "error"
}
