package lmtp

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kiyome/scan"
)

// found is what several findings are, and a subject that would not stay in its line.
func found(outcome scan.Outcome) *scan.Verdict {
	v, _ := cutHello()
	v.Outcome, v.Subject = outcome, "請求書\r\n\u202eX"
	v.Findings = []scan.Finding{
		{Malware: "Test.Virus", Name: "a.zip", Path: []string{"a.zip", "請求書.exe"}, Part: "2"},
		{Malware: "Policy.Encrypted", Name: "b.zip", Part: "3", Policy: "encrypted"},
		{Malware: "Test.Virus", Part: "1", Body: true},
	}
	if outcome == scan.ReportOnly {
		v.Cut = nil
	}
	return v
}

const foundLines = `ACCOUNT <FROM> "請求書???X" file "a.zip › 請求書.exe" "Test.Virus" "": RESULT
ACCOUNT <FROM> "請求書???X" file "b.zip" "" "encrypted": RESULT
ACCOUNT <FROM> "請求書???X" body "" "Test.Virus" "": RESULT
`

// lines fills foundLines in.
func lines(account, from, result string) string {
	return strings.NewReplacer("?", "\uFFFD", "ACCOUNT", account, "FROM", from, "RESULT", result).Replace(foundLines)
}

// Whoever is sent a report has it in the history: each by its own account.
func TestRemovalsOfRecipients(t *testing.T) {
	for _, tt := range []struct {
		name    string
		rcpts   []string
		verdict *scan.Verdict
		want    string
	}{
		{"clean", []string{"safe@example.jp"}, &scan.Verdict{Outcome: scan.Clean}, ""},
		{"not checked, and delivered", []string{"safe@example.jp"}, &scan.Verdict{Outcome: scan.Clean, Unchecked: []scan.Unchecked{{Reason: "encrypted"}}}, ""},
		{"cut", []string{"Safe+shop@Example.jp"}, found(scan.Cleaned), lines("safe@example.jp inbound", "sender@example.com", "attachment removed")},
		{"report only", []string{"safe@example.jp"}, found(scan.ReportOnly), lines("safe@example.jp inbound", "sender@example.com", "message replaced")},
		{"without the service", []string{"plain@example.jp"}, found(scan.Cleaned), ""},
		{"several", []string{"safe@example.jp", "plain@example.jp", "safe2@example.jp", "safe@example.jp"}, found(scan.Cleaned),
			lines("safe@example.jp inbound", "sender@example.com", "attachment removed") + lines("safe2@example.jp inbound", "sender@example.com", "attachment removed")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.onScan(verdictOf(tt.verdict, nil))
			c := w.dial()
			c.envelope(tt.rcpts...)
			c.sends(dotted(sample))
			for range tt.rcpts {
				c.reads("250 ")
			}
			if got := w.removals(); got != tt.want {
				t.Errorf("history:\n%swant:\n%s", got, tt.want)
			}
		})
	}
}

// What was deferred is not in the history, and what is delivered at last is there once.
func TestRemovalsOfARetry(t *testing.T) {
	want := lines("safe@example.jp inbound", "sender@example.com", "attachment removed")
	t.Run("nothing was delivered", func(t *testing.T) {
		w := newWorld(t)
		w.onScan(verdictOf(found(scan.Cleaned), nil))
		if err := os.WriteFile(filepath.Join(w.root, "safe"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		c := w.dial()
		c.envelope("safe@example.jp")
		c.sends(dotted(sample))
		c.reads("4")
		if got := w.removals(); got != "" {
			t.Errorf("history:\n%swant nothing", got)
		}
		if err := os.Remove(filepath.Join(w.root, "safe")); err != nil {
			t.Fatal(err)
		}
		c.envelope("safe@example.jp")
		c.sends(dotted(sample))
		c.reads("250 ")
		if got := w.removals(); got != want {
			t.Errorf("history:\n%swant:\n%s", got, want)
		}
	})
	t.Run("the reply was lost", func(t *testing.T) {
		w := newWorld(t)
		w.onScan(verdictOf(found(scan.Cleaned), nil))
		for range 2 {
			c := w.dial()
			c.envelope("safe@example.jp")
			c.sends(dotted(sample))
			c.reads("250 ")
			c.conn.(*net.TCPConn).SetLinger(0)
			c.conn.Close()
			eventually(t, "the session ends", func() bool { return w.server.Stats().Sessions == 0 })
		}
		if got := w.removals(); got != want {
			t.Errorf("history:\n%swant:\n%s", got, want)
		}
	})
	t.Run("the report was delivered, the forward was not", func(t *testing.T) {
		w := newWorld(t)
		w.forwards("safe", false, "taro@x.example")
		w.onScan(verdictOf(found(scan.Cleaned), nil))
		w.hopSays("RCPT", "450 4.2.1 later")
		c := w.dial()
		for _, reply := range []string{"4", "4", "250 "} {
			c.envelope("safe@example.jp")
			c.sends(dotted(sample))
			c.reads(reply)
			if got := w.removals(); got != want {
				t.Errorf("history:\n%swant:\n%s", got, want)
			}
			if w.scanned() == 2 {
				w.hop.SetAnswer(nil)
			}
		}
	})
}

// The history of the sender's account has an outgoing message once, however the MTA splits it up.
func TestRemovalsOfASender(t *testing.T) {
	noticed, _ := cutWithNotice()
	withNotice := found(scan.Cleaned)
	withNotice.Notice = noticed.Notice
	for _, tt := range []struct {
		name    string
		from    string
		verdict *scan.Verdict
		change  func(*Outbound)
		result  string // "": nothing is in the history
	}{
		{name: "cut", from: "Safe+x@example.jp", verdict: withNotice, result: "attachment removed"},
		{name: "no place for a notice", from: "safe@example.jp", verdict: found(scan.Cleaned), result: "message replaced"},
		{name: "infected all over", from: "safe@example.jp", verdict: found(scan.ReportOnly), result: "message replaced"},
		{name: "clean", from: "safe@example.jp", verdict: &scan.Verdict{Outcome: scan.Clean}},
		{name: "not subscribed", from: "plain@example.jp", verdict: withNotice},
		{name: "nobody of ours", from: "x@example.com", verdict: withNotice},
		{name: "refused", from: "safe@example.jp", verdict: withNotice, change: func(o *Outbound) { o.RefuseInfected = true }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newFilter(t, func(o *Options) {
				if tt.change != nil {
					tt.change(o.Outbound)
				}
			})
			w.onScan(verdictOf(tt.verdict, nil))
			w.hopSays("RCPT", "450 4.2.1 later")
			c := w.dial()
			send := func(msg string) {
				c.from(tt.from, "a@x.example", "b@x.example")
				c.sends(dotted(msg))
				c.any()
				c.any()
			}
			send(sample)
			if got := w.removals(); got != "" {
				t.Errorf("deferred, and in the history:\n%s", got)
			}
			w.hop.SetAnswer(nil)
			want := ""
			if tt.result != "" {
				want = lines("safe@example.jp outbound", tt.from, tt.result)
			}
			for range 2 {
				send(sample)
				if got := w.removals(); got != want {
					t.Errorf("history:\n%swant:\n%s", got, want)
				}
			}
			send(sample + "another\r\n")
			if got := w.removals(); got != want+want {
				t.Errorf("with another message:\n%swant:\n%s", got, want+want)
			}
		})
	}
}

func TestRegistryForgets(t *testing.T) {
	var r registry
	for i := range maxRegistry + 1 {
		if !r.first([32]byte{byte(i), byte(i >> 8), byte(i >> 16)}) {
			t.Fatalf("%d is known", i)
		}
	}
	if len(r.done) != 1 || r.first([32]byte{byte(maxRegistry & 0xff), byte(maxRegistry >> 8)}) {
		t.Errorf("%d entries, want the last", len(r.done))
	}
}
