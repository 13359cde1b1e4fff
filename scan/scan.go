// Package scan looks for malware in a message.
//
// A message is taken apart layer by layer: the parts of its MIME, the
// containers attached to them, the containers in those. Every object is matched
// against the rules. What cannot be read is noted in the Verdict and never
// stops the rest. The Verdict also says what to cut out so that the rest can be
// delivered, and that the cut was proved. Nothing is written under a name that
// comes from a message.
package scan

import (
	"kiyome/scan/mime"
)

// Outcome is what the mailbox gets of a message that was scanned.
type Outcome string

// The outcomes of a scan. Untouched is not among them: it is for mailboxes
// whose mail is not scanned.
const (
	Clean      Outcome = "clean"       // the message as it came
	Cleaned    Outcome = "cleaned"     // the message less Verdict.Cut, and the report
	ReportOnly Outcome = "report only" // the report
)

// Verdict is what a scan found.
//
// Its JSON is what `kiyome scan --json` prints and what programs may rely on: the
// names below stay, others may come. Fields marked omitempty are left out when
// they are empty, zero or false; outcome, rules, objects and bytes are always
// there. A range is {"start": n, "end": n}, in bytes of the message, the end not
// included. Names are UTF-8, at most 1024 bytes each, the names in a path at most
// 256; in a long path "…" stands for names in its middle. There are MaxFindings
// entries at the most in findings, noted and unchecked each, and 256 KiB of names.
type Verdict struct {
	Outcome   Outcome      `json:"outcome"`
	Findings  []Finding    `json:"findings,omitempty"`
	More      int          `json:"more,omitempty"` // findings beyond those listed: there are MaxFindings at the most
	Unchecked []Unchecked  `json:"unchecked,omitempty"`
	Cut       []mime.Range `json:"cut,omitempty"`     // ascending, disjoint; only when Cleaned
	Notice    *Notice      `json:"notice,omitempty"`  // how a notice is added to what the cut leaves; only when Cleaned, and nil when that cannot be
	Subject   string       `json:"subject,omitempty"` // of the message, decoded, when something was found: for the history of what was removed
	Why       string       `json:"why,omitempty"`     // why nothing could be cut, when ReportOnly
	Noted     []Finding    `json:"noted,omitempty"`   // matches of rules that never cut: for the log
	Odd       []string     `json:"odd,omitempty"`     // what mail programs may read differently
	Signed    bool         `json:"signed,omitempty"`  // a signature covers what was cut: it no longer verifies
	Rules     string       `json:"rules"`             // version of the rules
	Objects   int          `json:"objects"`           // distinct objects matched
	Bytes     int64        `json:"bytes"`             // their bytes
	Tree      []Node       `json:"tree,omitempty"`    // the message and all that was read of it, for people; only of a Job with File: MaxNodes at the most
}

// Notice says how a text part is added to the message that Verdict.Cut leaves, so
// that mail programs show it. To a multipart/mixed it is added as its last part; any
// other message becomes the first part of one, its Content- fields move into that
// part, and the notice is the second. Nothing else of the message changes. It was
// proved as the cut was, with a part that NoticePart made. Pieces gives the message that
// comes of it.
type Notice struct {
	Cut    []mime.Range `json:"cut"`    // the header fields that move, then Verdict.Cut: ascending, disjoint
	Insert []Insert     `json:"insert"` // ascending by At, at most two; Part is set in exactly one
}

// Insert is text that goes in before the byte At of the original message, which
// is in no cut range. It has the line ends of the message's header, CRLF or LF. There
// are MaxInsert bytes of it at the most in a Notice.
type Insert struct {
	At   int    `json:"at"`             // in bytes of the message as it came; its length stands for its end
	Text string `json:"text,omitempty"` // header fields and delimiter lines
	Part bool   `json:"part,omitempty"` // the notice itself, as NoticePart gives it, follows Text
	Rest string `json:"rest,omitempty"` // the delimiter line that follows the notice
}

// MaxInsert bounds the text that a Notice inserts, in bytes, without the notice itself.
const MaxInsert = 256 << 10

// Finding is one detected object.
type Finding struct {
	Malware string     `json:"malware"`
	Rule    string     `json:"rule,omitempty"`   // set/rule
	Name    string     `json:"name,omitempty"`   // decoded file name of the attachment; "" for a body
	Path    []string   `json:"path,omitempty"`   // in a container: the names that lead to the object, the attachment's first, its own last
	Part    string     `json:"part"`             // section number of the part that holds it
	Body    bool       `json:"body,omitempty"`   // in the text that a mail program shows as the message
	SHA256  string     `json:"sha256,omitempty"` // of the object, hex
	Range   mime.Range `json:"range"`            // what to cut to be rid of it; empty when it cannot be cut
	Policy  string     `json:"policy,omitempty"` // nothing was matched: the operator's policy cuts what is "encrypted", "damaged", …
}

// Unchecked is something that was not read, or not to its end.
type Unchecked struct {
	Reason string   `json:"reason"` // "encrypted", "closed archive", "damaged", "unsupported", "limit: …", "scan error", "rules", "worker": see policy.go
	Detail string   `json:"detail,omitempty"`
	Name   string   `json:"name,omitempty"`
	Path   []string `json:"path,omitempty"`
	Part   string   `json:"part"`
}

// Policy is what happens to what could not be checked.
type Policy struct {
	Encrypted string // "deliver" or "cut": for want of a password, or in a closed archive
	Unchecked string // "deliver" or "cut": damaged, unknown, over a limit, time out, scan error
}

// MaxFindings is how many findings a Verdict lists at the most. Verdict.More
// counts the rest.
const MaxFindings = 1000
