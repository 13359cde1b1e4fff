package scan

import (
	"slices"
	"strings"
)

// The reasons of Unchecked: the whole vocabulary. Limits are named after the
// colon: "time" (of the scan), "depth", "parts" and "header" (of a message, see
// mime.Limits), "readings" (of parts in messages within messages), "depth",
// "objects", "unpacked", "ratio", "overlap", "zeros", "memory" and "scratch" (of containers,
// see unpack.LimitError).
const (
	reasonEncrypted   = "encrypted"      // for want of a password
	reasonClosed      = "closed archive" // in a format that is published nowhere
	reasonDamaged     = "damaged"        // not to be read to its end
	reasonUnsupported = "unsupported"    // a known format, packed in a way that is not
	reasonLimit       = "limit: "        // work left undone
	reasonScanError   = "scan error"     // a fault of ours, caught
	reasonRules       = "rules"          // the rules could not be run over an object to their end
	reasonWorker      = "worker"         // the scan ended its worker
)

// Reasons names the kinds of reasons why something was not checked.
func Reasons() []string {
	return []string{reasonEncrypted, reasonClosed, reasonDamaged, reasonUnsupported, Kind(reasonLimit), reasonScanError, reasonRules, reasonWorker}
}

// Kind is what a reason is called without its detail: "limit" of "limit: depth".
func Kind(reason string) string {
	kind, _, _ := strings.Cut(reason, ":")
	return kind
}

// policyName is what Finding.Malware says where the policy cuts for a reason.
func policyName(reason string) string {
	var b strings.Builder
	b.WriteString("Policy.")
	for _, word := range strings.Fields(Kind(reason)) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// cuts reports whether what was not checked for this reason is treated like a
// finding: the one place where that is decided. A closed archive keeps what is in it
// to itself as an encrypted one does.
func (p Policy) cuts(reason string) bool {
	if reason == reasonEncrypted || reason == reasonClosed {
		return p.Encrypted == "cut"
	}
	return p.Unchecked == "cut"
}

// finding is what an entry becomes that the policy cuts.
func (u Unchecked) finding() Finding {
	return Finding{Malware: policyName(u.Reason), Name: u.Name, Path: u.Path, Part: u.Part, Policy: u.Reason}
}

// Unfinished is the verdict on a message whose scan ended its worker: found is
// what was told until then. With a finding the message is not delivered; without
// one the policy decides.
func Unfinished(found []Finding, p Policy, version, detail string) *Verdict {
	u := Unchecked{Reason: reasonWorker, Detail: detail}
	v := &Verdict{Outcome: Clean, Findings: slices.Clone(found), Unchecked: []Unchecked{u}, Rules: version}
	if p.cuts(u.Reason) {
		v.Findings, v.Unchecked = append(v.Findings, u.finding()), nil
	}
	if len(v.Findings) > 0 {
		v.Outcome, v.Why = ReportOnly, "the scan did not come to its end"
	}
	return v
}
