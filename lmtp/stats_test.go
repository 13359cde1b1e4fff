package lmtp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"kiyome/scan"
)

func TestWhatIsCounted(t *testing.T) {
	w := newWorld(t)
	w.onScan(func(context.Context, *scan.Message) (*scan.Verdict, error) {
		return &scan.Verdict{
			Outcome: scan.ReportOnly, Rules: "r1", More: 3,
			Findings:  []scan.Finding{{Malware: "A", Rule: "kiyome/a"}, {Malware: "B", Rule: "kiyome/b"}, {Malware: "Policy.Encrypted", Policy: "encrypted"}},
			Unchecked: []scan.Unchecked{{Reason: "limit: depth"}, {Reason: "limit: time"}, {Reason: "made up"}},
		}, nil
	})
	c := w.dial()
	c.sends("MAIL FROM:<>\r\nRCPT TO:<nobody@example.jp>\r\nRCPT TO:<broken@example.jp>\r\nRCPT TO:<a b>\r\nRSET\r\n")
	c.reads("250 ", "550 5.1.1", "451 4.3.0", "5", "250 ")
	c.envelope("safe@example.jp", "safe2@example.jp", "plain@example.jp")
	c.sends(dotted(sample))
	c.reads("250 ", "250 ", "250 ")
	w.onScan(func(context.Context, *scan.Message) (*scan.Verdict, error) { return nil, errors.New("no worker") })
	c.envelope("safe@example.jp")
	c.sends(dotted(sample))
	c.reads("451 4.3.0")
	c.sends("QUIT\r\n")
	c.reads("221 ")

	eventually(t, "no message is held", func() bool { return w.server.Stats().Spooled == 0 })
	s := w.server.Stats()
	if s.Bytes != int64(2*len(sample)) || s.Connections != 1 || s.TurnedAway != 0 {
		t.Errorf("%d bytes, %d connections, %d turned away", s.Bytes, s.Connections, s.TurnedAway)
	}
	failures := map[string]int64{}
	for _, f := range s.Failures {
		if f.Count > 0 {
			failures[f.Command+" "+f.Reason+" "+f.Class] = f.Count
		}
	}
	for _, tt := range []struct {
		name      string
		got, want map[string]int64
	}{
		{"failures", failures, map[string]int64{"rcpt unknown mailbox 5xx": 1, "rcpt fault 4xx": 1, "data fault 4xx": 1}},
		{"lookups", s.Lookups, map[string]int64{"found": 4, "unknown": 1, "error": 1}},
		{"findings", s.Findings, map[string]int64{"kiyome": 2, policySet: 1, otherName: 3}},
		{"unchecked", nonzero(s.Unchecked), map[string]int64{"encrypted": 1, "limit": 1, otherName: 1}},
		{"faults", nonzero(s.Faults), map[string]int64{}},
	} {
		if !maps.Equal(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	if n := total(s.Scan); n != 2 {
		t.Errorf("%d scans were timed, want 2", n)
	}
	if n := total(s.Store); n != 3 {
		t.Errorf("%d mailboxes were timed, want 3", n)
	}
}

func nonzero(m map[string]int64) map[string]int64 {
	maps.DeleteFunc(m, func(_ string, n int64) bool { return n == 0 })
	return m
}

func total(h Histogram) (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// A worker that was taken over can make up names: they must not become labels without end.
func TestSetsThatAWorkerMakesUp(t *testing.T) {
	var s sets
	for i := range 10 * maxSets {
		s.add(fmt.Sprintf("set%d", i), 1)
	}
	s.add("taro yamada", 1)
	s.add(strings.Repeat("x", 1<<10), 1)
	all := s.counts()
	if len(all) > maxSets+1 {
		t.Errorf("%d names", len(all))
	}
	var n int64
	for name, count := range all {
		n += count
		if len(name) > maxSetName || strings.ContainsFunc(name, notVisible) {
			t.Errorf("%.100q is kept", name)
		}
	}
	if n != 10*maxSets+2 {
		t.Errorf("%d counted, want %d", n, 10*maxSets+2)
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for _, d := range []time.Duration{0, time.Millisecond, 1001 * time.Microsecond, time.Hour} {
		h.observe(d)
	}
	s := h.stats()
	if s.Counts[0] != 2 || s.Counts[1] != 1 || s.Counts[len(Bounds)] != 1 || s.Sum != time.Hour+2001*time.Microsecond {
		t.Errorf("%+v", s)
	}
}

func TestEveryReasonThatTheEngineGivesIsCounted(t *testing.T) {
	c := newCounters(newReplyTable(false))
	for _, reason := range scan.Reasons() {
		c.judged(&scan.Verdict{Outcome: scan.Clean, Unchecked: []scan.Unchecked{{Reason: reason}}})
	}
	c.judged(scan.Unfinished(nil, scan.Policy{}, "r1", ""))
	for reason, n := range c.unchecked.counts() {
		if want := map[string]int64{otherName: 0, "worker": 2}[reason]; n != want && (n != 1 || reason == otherName) {
			t.Errorf("%s: %d", reason, n)
		}
	}
}

// What counting costs a message: a millionth of a second, of a thousand or more.
func BenchmarkCounting(b *testing.B) {
	s := NewServer(Options{})
	v := &scan.Verdict{Outcome: scan.Clean}
	began := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		s.counters.lookups.add("found", "error")
		s.counters.messages.Add(1)
		s.counters.bytes.Add(4096)
		s.counters.spooled.Add(4096)
		s.counters.judged(v)
		s.counters.scan.since(began)
		s.counters.stored(began, nil)
		s.count(clean)
		s.counters.spooled.Add(-4096)
	}
}
