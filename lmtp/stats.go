package lmtp

import (
	"cmp"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kiyome/accounts"
	"kiyome/lmtp/relay"
	"kiyome/scan"
)

// Stats counts what a Server has done since it started. What has no name in JSON is for
// the metrics only.
type Stats struct {
	Sessions   int64 `json:"sessions"`    // open now
	Messages   int64 `json:"messages"`    // taken in whole
	Ambiguous  int64 `json:"ambiguous"`   // of these, scanned ones that mail programs may read differently
	Untouched  int64 `json:"untouched"`   // recipients, by what they got
	Clean      int64 `json:"clean"`       //
	Cleaned    int64 `json:"cleaned"`     //
	ReportOnly int64 `json:"report_only"` //
	NoticeOnly int64 `json:"notice_only"` // of outgoing mail
	Unscanned  int64 `json:"unscanned"`   // delivered though a part could not be checked
	Repeated   int64 `json:"repeated"`    // had it already: the reply had been lost
	Deferred   int64 `json:"deferred"`    // 4xx
	Refused    int64 `json:"refused"`     // 5xx
	Forwarded  int64 `json:"forwarded"`   // addresses that mailboxes passed mail on to

	Connections int64 `json:"-"` // accepted
	TurnedAway  int64 `json:"-"` // connections over Options.Sessions
	Bytes       int64 `json:"-"` // of messages taken in whole
	Spooled     int64 `json:"-"` // bytes of messages that are held now

	Outcomes  map[string]int64 `json:"-"` // recipients, by all that they can get
	Failures  []Failure        `json:"-"` // recipients that did not get their mail, by why
	Lookups   map[string]int64 `json:"-"` // of accounts: "found", "unknown", "error"
	Unchecked map[string]int64 `json:"-"` // messages that something of could not be checked, by the kind of reason
	Findings  map[string]int64 `json:"-"` // by the set of the rule; "policy" where none matched
	Faults    map[string]int64 `json:"-"` // of mailboxes, by the system's error: "ENOSPC"
	NextHop   map[string]int64 `json:"-"` // recipients there: "passed", "refused", "deferred", "uncertain"

	Scan  Histogram `json:"-"` // from asking for a verdict to having it
	Store Histogram `json:"-"` // of one mailbox, syncs included
	Relay Histogram `json:"-"` // of one transaction with the next hop
}

// Failure counts recipients that did not get their mail.
type Failure struct {
	Command string // "rcpt" or "data": after which they heard of it
	Reason  string // from the table of replies
	Class   string // of the reply: "4xx" or "5xx"
	Count   int64
}

// counters is what a Server counts, each with an atomic addition: a message passes a
// dozen of them.
type counters struct {
	actions [numActions]atomic.Int64

	messages, ambiguous, bytes, spooled atomic.Int64
	connections, turnedAway             atomic.Int64
	forwarded                           atomic.Int64

	failures                                tally[Failure] // with Count 0
	lookups, unchecked, faults, nextHopSaid tally[string]
	findings                                sets

	scan, store, relay histogram
}

func newCounters(replies *replyTable) *counters {
	var failures []Failure
	for _, command := range []string{atRcpt, atData} {
		for _, f := range replies.kinds() {
			f.Command = command
			failures = append(failures, f)
		}
	}
	return &counters{
		failures:    newTally(failures...),
		lookups:     newTally("found", "unknown", "error"),
		unchecked:   newTally(append(scan.Reasons(), otherName)...),
		faults:      newTally(append(slices.Sorted(maps.Values(faultNames)), otherName)...),
		nextHopSaid: newTally("passed", "refused", "deferred", "uncertain"),
	}
}

// Commands after which a recipient hears of a failure.
const (
	atRcpt = "rcpt"
	atData = "data"
)

// otherName counts what has no name of its own.
const otherName = "other"

// tally counts by keys that are fixed when it is made.
type tally[K comparable] map[K]*atomic.Int64

func newTally[K comparable](keys ...K) tally[K] {
	t := make(tally[K], len(keys))
	for _, k := range keys {
		t[k] = new(atomic.Int64)
	}
	return t
}

// add counts a key, or other when it is none of the tally's.
func (t tally[K]) add(key, other K) {
	n := t[key]
	if n == nil {
		n = t[other]
	}
	n.Add(1)
}

func (t tally[K]) counts() map[K]int64 {
	all := make(map[K]int64, len(t))
	for k, n := range t {
		all[k] = n.Load()
	}
	return all
}

// sets counts findings by the set of their rule. A verdict's names come from a process
// that has read hostile bytes: more than maxSets, or odd ones, are not kept.
type sets struct {
	mu sync.Mutex
	n  map[string]int64
}

const (
	maxSets    = 100
	maxSetName = 64 // bytes
	policySet  = "policy"
)

func (s *sets) add(name string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.n == nil {
		s.n = make(map[string]int64)
	}
	_, known := s.n[name]
	if len(name) > maxSetName || strings.ContainsFunc(name, notVisible) || !known && len(s.n) >= maxSets {
		name = otherName
	}
	s.n[name] += n
}

func (s *sets) counts() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.n)
}

// Histogram is how often something took how long.
type Histogram struct {
	Counts [len(Bounds) + 1]uint64 // of durations up to each of Bounds, and above the last
	Sum    time.Duration
}

// Bounds are the upper bounds, in seconds, by which durations are counted.
var Bounds = [...]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}

// histogram counts durations.
type histogram struct {
	counts [len(Bounds) + 1]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

func (h *histogram) observe(d time.Duration) {
	i, _ := slices.BinarySearch(Bounds[:], d.Seconds())
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// since observes the time since a moment: for defer.
func (h *histogram) since(began time.Time) { h.observe(time.Since(began)) }

func (h *histogram) stats() Histogram {
	s := Histogram{Sum: time.Duration(h.sum.Load())}
	for i := range h.counts {
		s.Counts[i] = h.counts[i].Load()
	}
	return s
}

// Stats gives the counters.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	open := len(s.conns)
	s.mu.Unlock()
	c := s.counters
	n := func(a action) int64 { return c.actions[a].Load() }
	return Stats{
		Sessions: int64(open), Messages: c.messages.Load(), Ambiguous: c.ambiguous.Load(),
		Untouched: n(untouched), Clean: n(clean), Cleaned: n(cleaned), ReportOnly: n(reportOnly),
		NoticeOnly: n(noticeOnly), Unscanned: n(unscanned), Repeated: n(repeated), Deferred: n(deferred), Refused: n(refused),
		Forwarded:   c.forwarded.Load(),
		Connections: c.connections.Load(), TurnedAway: c.turnedAway.Load(), Bytes: c.bytes.Load(), Spooled: c.spooled.Load(),
		Outcomes: c.outcomes(), Failures: c.failureCounts(), Lookups: c.lookups.counts(), Unchecked: c.unchecked.counts(),
		Findings: c.findings.counts(), Faults: c.faults.counts(), NextHop: c.nextHopSaid.counts(),
		Scan: c.scan.stats(), Store: c.store.stats(), Relay: c.relay.stats(),
	}
}

// outcomes has what was done for recipients by the names that the log has for it.
func (c *counters) outcomes() map[string]int64 {
	all := make(map[string]int64, numActions)
	for a := range numActions {
		all[a.String()] = c.actions[a].Load()
	}
	return all
}

// failureCounts lists the failures in a fixed order.
func (c *counters) failureCounts() []Failure {
	var all []Failure
	for f, n := range c.failures.counts() {
		f.Count = n
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(a.Command, b.Command), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Class, b.Class))
	})
	return all
}

// intake counts the bytes of a message while it is spooled.
type intake struct {
	io.Writer
	held *atomic.Int64
}

func (i intake) Write(b []byte) (int, error) {
	n, err := i.Writer.Write(b)
	i.held.Add(int64(n))
	return n, err
}

// count counts what was done for a recipient.
func (s *Server) count(a action) { s.counters.actions[a].Add(1) }

// failed counts a recipient that does not get its mail.
func (s *Server) failed(command string, err error) {
	f := s.replies.find(err)
	s.counters.failures.add(
		Failure{Command: command, Reason: f.reason, Class: class(f.reply.Code)},
		Failure{Command: command, Reason: faultReason, Class: "4xx"})
}

// class is that of a reply code.
func class(code int) string {
	if code/100 == 5 {
		return "5xx"
	}
	return "4xx"
}

// lookup finds an account, and counts what came of it.
func (s *Server) lookup(address string) (accounts.Account, error) {
	a, err := s.Accounts.Lookup(address)
	result := "error"
	switch {
	case err == nil:
		result = "found"
	case errors.Is(err, accounts.ErrUnknown), errors.Is(err, accounts.ErrMalformed):
		result = "unknown"
	}
	s.counters.lookups.add(result, "error")
	return a, err
}

// judged counts what a verdict says, once for each message.
func (c *counters) judged(v *scan.Verdict) {
	if len(v.Odd) > 0 {
		c.ambiguous.Add(1)
	}
	seen := map[string]bool{}
	unchecked := func(reason string) {
		if kind := scan.Kind(reason); !seen[kind] {
			seen[kind] = true
			c.unchecked.add(kind, otherName)
		}
	}
	for _, u := range v.Unchecked {
		unchecked(u.Reason)
	}
	for _, f := range v.Findings {
		set, _, _ := strings.Cut(f.Rule, "/")
		if f.Policy != "" {
			set = policySet
			unchecked(f.Policy)
		}
		c.findings.add(set, 1)
	}
	if v.More > 0 {
		c.findings.add(otherName, int64(v.More))
	}
}

// faultNames are the errors of the system that mailboxes are known to have.
var faultNames = map[syscall.Errno]string{
	unix.EACCES: "EACCES", unix.EDQUOT: "EDQUOT", unix.EFBIG: "EFBIG", unix.EIO: "EIO", unix.EMFILE: "EMFILE", unix.ENOENT: "ENOENT",
	unix.ENOSPC: "ENOSPC", unix.ENOTDIR: "ENOTDIR", unix.EPERM: "EPERM", unix.EROFS: "EROFS", unix.ESTALE: "ESTALE",
}

// stored counts what came of putting mail into a mailbox since began.
func (c *counters) stored(began time.Time, err error) {
	c.store.since(began)
	if err != nil {
		errno, _ := errors.AsType[syscall.Errno](err)
		c.faults.add(faultNames[errno], otherName)
	}
}

// relayed counts what the next hop said to a transaction that began.
func (c *counters) relayed(began time.Time, results []relay.Result, refuses func(error) bool) {
	c.relay.since(began)
	for _, r := range results {
		said := "deferred"
		switch {
		case r.Err == nil:
			said = "passed"
		case errors.Is(r.Err, relay.ErrUncertain):
			said = "uncertain"
		case refuses(r.Err):
			said = "refused"
		}
		c.nextHopSaid.add(said, "deferred")
	}
}
