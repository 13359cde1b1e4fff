package lmtp

import (
	"slices"
	"strings"
	"testing"

	"kiyome/accounts"
	"kiyome/lmtp/srs"
	"kiyome/scan"
)

// forwards makes a mailbox forward its mail.
func (w *world) forwards(local string, noCopy bool, to ...string) {
	w.account(local, func(a *accounts.Account) { a.Forward, a.NoCopy = to, noCopy })
}

// send delivers a message and gives the reply.
func (w *world) send(from, to, msg string) string {
	w.t.Helper()
	c := w.dial()
	c.from(from, to)
	c.sends(dotted(msg))
	reply := c.any()
	c.sends("QUIT\r\n")
	c.reads("221 ")
	return reply
}

func TestForwarding(t *testing.T) {
	less := strings.Replace(sample, "Hello\r\n", "", 1)
	infected, _ := cutHello()
	all := &scan.Verdict{Outcome: scan.ReportOnly, Findings: finding, Rules: "r1"}
	const report = "report"
	for _, tt := range []struct {
		name    string
		box     string
		noCopy  bool
		verdict *scan.Verdict
		refuse  string // what the next hop says to b@
		reply   string
		mailbox []string // what is in the mailbox
		passed  string   // what went to a@, and to b@ unless that was refused
	}{
		{"untouched, with a copy", "plain", false, nil, "", "250 ", []string{sample}, sample},
		{"untouched, without", "plain", true, nil, "", "250 ", nil, sample},
		{"clean, with a copy", "safe", false, nil, "", "250 ", []string{sample}, sample},
		{"clean, without", "safe", true, nil, "", "250 ", nil, sample},
		{"cleaned, with a copy", "safe", false, infected, "", "250 ", []string{report, less}, less},
		{"cleaned, without", "safe", true, infected, "", "250 ", []string{report}, less},
		{"report only, with a copy", "safe", false, all, "", "250 ", []string{report}, ""},
		{"report only, without", "safe", true, all, "", "250 ", []string{report}, ""},
		{"refused, with a copy", "plain", false, nil, "550 5.1.1 no", "250 ", []string{sample}, sample},
		{"refused, without", "plain", true, nil, "550 5.1.1 no", "250 ", []string{sample}, sample},
		{"cleaned and refused, without", "safe", true, infected, "550 5.1.1 no", "250 ", []string{report, less}, less},
		{"deferred, with a copy", "plain", false, nil, "450 4.2.1 busy", "450 4.2.1", []string{sample}, sample},
		{"deferred, without", "plain", true, nil, "450 4.2.1 busy", "450 4.2.1", nil, sample},
		{"cleaned and deferred, with a copy", "safe", false, infected, "450 4.2.1 busy", "450 4.2.1", []string{report, less}, less},
		{"cleaned and deferred, without", "safe", true, infected, "450 4.2.1 busy", "450 4.2.1", []string{report}, less},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.forwards(tt.box, tt.noCopy, "a@x.example", "b@y.example")
			if tt.verdict != nil {
				w.onScan(verdictOf(tt.verdict, nil))
			}
			if tt.refuse != "" {
				w.hopSays("RCPT TO:<b@", tt.refuse)
			}
			to := []string{"<a@x.example>", "<b@y.example>"}
			for try := range 3 { // the MTA tries again, and nothing is doubled
				if reply := w.send("sender@example.com", tt.box+"@example.jp", sample); !strings.HasPrefix(reply, tt.reply) {
					t.Fatalf("reply %q, want %q", reply, tt.reply)
				}
				w.holds(t, tt.box, tt.mailbox)
				heads, bodies := w.sent()
				if tt.passed == "" {
					if len(bodies) > 0 {
						t.Fatalf("forwarded %q", bodies)
					}
				} else if len(bodies) != 1 || bodies[0] != tt.passed || !strings.HasPrefix(heads[0], "Delivered-To: "+tt.box+"@example.jp") || strings.Contains(heads[0], "Return-Path") {
					t.Fatalf("try %d: forwarded %q, %q; want once %q", try, heads, bodies, tt.passed)
				}
				if tt.reply == "250 " {
					break
				}
			}
			if tt.passed == "" {
				return
			}
			m := w.hop.Mails()[0]
			if tt.refuse != "" {
				to = to[:1]
			}
			if !slices.Equal(m.To, to) || !strings.HasPrefix(m.From, "<sender@example.com>") {
				t.Errorf("envelope %s, %s", m.From, m.To)
			}
			if tt.reply == "250 " {
				return
			}
			w.hop.SetAnswer(nil) // b@ takes mail again
			if reply := w.send("sender@example.com", tt.box+"@example.jp", sample); !strings.HasPrefix(reply, "250 ") {
				t.Errorf("reply %q", reply)
			}
			w.holds(t, tt.box, tt.mailbox)
			if all := w.hop.Mails(); len(all) != 2 || !slices.Equal(all[1].To, []string{"<b@y.example>"}) {
				t.Errorf("%d messages went on, want one more to b@: %q", len(all), all)
			}
		})
	}
}

// holds compares a mailbox with what it has to hold below our fields; "report" is one.
func (w *world) holds(t *testing.T, local string, want []string) {
	t.Helper()
	got := w.mailbox(local)
	if len(got) != len(want) {
		t.Fatalf("%s holds %d messages, want %d: %q", local, len(got), len(want), got)
	}
	for i, msg := range got {
		if isReport := strings.Contains(msg, "X-Virus-Status: Infected"); isReport != (want[i] == "report") || !isReport && below(msg) != want[i] {
			t.Fatalf("%s: message %d is %q, want %q", local, i, below(msg), want[i])
		}
	}
}

// A permanent refusal at a later try still leaves the message here, and the report is not doubled.
func TestDeferredThenRefused(t *testing.T) {
	w := newWorld(t)
	w.forwards("safe", true, "a@x.example")
	w.onScan(verdictOf(cutHello()))
	w.hopSays("RCPT", "450 4.2.1 busy")
	w.send("sender@example.com", "safe@example.jp", sample)
	w.holds(t, "safe", []string{"report"})
	w.hopSays("RCPT", "550 5.1.1 gone")
	if reply := w.send("sender@example.com", "safe@example.jp", sample); !strings.HasPrefix(reply, "250 ") {
		t.Errorf("reply %q", reply)
	}
	w.holds(t, "safe", []string{"report", strings.Replace(sample, "Hello\r\n", "", 1)})
	if !strings.Contains(w.logs.String(), `action="refused: it stays here"`) {
		t.Errorf("the log does not tell:\n%s", w.logs.String())
	}
}

// One of two is refused, the other one busy: a retry asks for the busy one only, and
// what stays here is here once.
func TestRefusedAndDeferred(t *testing.T) {
	w := newWorld(t)
	w.forwards("plain", true, "a@x.example", "b@y.example")
	w.hop.SetAnswer(func(command string) string {
		switch {
		case strings.HasPrefix(command, "RCPT TO:<a@"):
			return "550 5.1.1 gone"
		case strings.HasPrefix(command, "RCPT TO:<b@"):
			return "450 4.2.1 busy"
		}
		return ""
	})
	for range 3 {
		if reply := w.send("sender@example.com", "plain@example.jp", sample); !strings.HasPrefix(reply, "450 4.2.1") {
			t.Fatalf("reply %q", reply)
		}
		w.holds(t, "plain", []string{sample})
	}
	w.hop.SetAnswer(nil)
	if reply := w.send("sender@example.com", "plain@example.jp", sample); !strings.HasPrefix(reply, "250 ") {
		t.Errorf("reply %q", reply)
	}
	w.holds(t, "plain", []string{sample})
	if m := w.hop.Mails(); len(m) != 1 || !slices.Equal(m[0].To, []string{"<b@y.example>"}) {
		t.Errorf("forwarded %q", m)
	}
}

// The mailbox is full: the forward that was made is not made again.
func TestTheMailboxFailsAndTheForwardDoesNot(t *testing.T) {
	w := newWorld(t)
	w.account("plain", func(a *accounts.Account) { a.Forward, a.Maildir = []string{"a@x.example"}, "/nowhere" })
	for range 2 {
		if reply := w.send("sender@example.com", "plain@example.jp", sample); !strings.HasPrefix(reply, "451 4.3.0") {
			t.Fatalf("reply %q", reply)
		}
	}
	w.forwards("plain", false, "a@x.example")
	w.send("sender@example.com", "plain@example.jp", sample)
	w.holds(t, "plain", []string{sample})
	if n := len(w.hop.Mails()); n != 1 {
		t.Errorf("forwarded %d times", n)
	}
}

func TestForwardsOfAllRecipientsAndTheOthersDoNotWait(t *testing.T) {
	w := newWorld(t)
	w.forwards("plain", false, "a@x.example")
	w.forwards("safe", true, "a@x.example", "c@x.example")
	free := make(chan bool)
	w.hop.SetAnswer(func(command string) string {
		if command == "message" {
			<-free
		}
		return ""
	})
	c := w.dial()
	c.envelope("plain2@example.jp", "safe2@example.jp", "plain@example.jp", "safe@example.jp")
	c.sends(dotted(sample))
	c.reads("250 2.0.0 <plain2@", "250 2.0.0 <safe2@")
	free <- true
	free <- true
	c.reads("250 2.0.0 <plain@", "250 2.0.0 <safe@")
	if m := w.hop.Mails(); len(m) != 2 || !strings.HasPrefix(m[0].Data, "Delivered-To: plain@") || !strings.HasPrefix(m[1].Data, "Delivered-To: safe@") || len(m[1].To) != 2 {
		t.Errorf("forwarded: %q", m)
	}
	if s := w.server.Stats(); s.Forwarded != 3 {
		t.Errorf("%d forwards counted", s.Forwarded)
	}
}

// A and B forward to each other.
func TestALoopOfForwards(t *testing.T) {
	for _, tt := range []struct {
		name   string
		noCopy bool
		a, b   int // messages at the end
	}{
		{"with copies", false, 1, 1},
		{"without", true, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.forwards("plain-a", tt.noCopy, "plain-b@example.jp")
			w.forwards("plain-b", tt.noCopy, "plain-a@example.jp")
			msg, to := sample, "Plain-A+tag@example.jp"
			for range 10 { // what Postfix does: it brings back what it was given
				before := len(w.hop.Mails())
				if reply := w.send("sender@example.com", to, msg); !strings.HasPrefix(reply, "250 ") {
					t.Fatalf("reply %q", reply)
				}
				all := w.hop.Mails()
				if len(all) == before {
					break
				}
				m := all[len(all)-1]
				msg, to = "Received: from x by postfix\r\n"+m.Data, strings.Trim(m.To[0], "<>")
			}
			if n := len(w.hop.Mails()); n != 2 {
				t.Errorf("%d forwards", n)
			}
			if a, b := len(w.mailbox("plain-a")), len(w.mailbox("plain-b")); a != tt.a || b != tt.b {
				t.Errorf("a has %d, b has %d; want %d, %d", a, b, tt.a, tt.b)
			}
			if strings.Count(w.logs.String(), "mail loop") != 1 {
				t.Errorf("log:\n%s", w.logs.String())
			}
		})
	}
}

// Only what we know to be there already is not delivered again: the fields may be forged.
func TestAForgedLoopIsDelivered(t *testing.T) {
	for _, forged := range []string{
		"Delivered-To: plain@example.jp\r\n",
		"delivered-to:  PLAIN@example.JP \r\nReceived: from x by mail.example.jp (kiyome) with LMTP id abc.1; x\r\n",
		strings.Repeat("Received: x\r\n", 100),
	} {
		w := newWorld(t)
		w.forwards("plain", false, "a@x.example")
		w.send("sender@example.com", "plain@example.jp", forged+sample)
		w.holds(t, "plain", []string{forged + sample})
		if n := len(w.hop.Mails()); n != 0 {
			t.Errorf("%q: forwarded", forged)
		}
	}
	w := newWorld(t)
	w.forwards("plain", false, "a@x.example")
	w.send("sender@example.com", "plain@example.jp", "Delivered-To: plain2@example.jp\r\n"+sample+"\r\nDelivered-To: plain@example.jp\r\n")
	if n := len(w.hop.Mails()); n != 1 {
		t.Errorf("another mailbox, and a body: forwarded %d times", n)
	}
}

func TestALostReplyForwardsNothingTwice(t *testing.T) {
	w := newWorld(t)
	w.forwards("plain", false, "a@x.example")
	for range 2 {
		c := w.dial()
		c.envelope("plain@example.jp")
		c.sends(dotted(sample))
		c.reads("250 ")
		c.conn.Close() // without QUIT
		eventually(t, "the session ends", func() bool { return w.server.Stats().Sessions == 0 })
	}
	w.holds(t, "plain", []string{sample})
	if n := len(w.hop.Mails()); n != 1 {
		t.Errorf("forwarded %d times", n)
	}
}

func TestForwardingWithoutANextHopIsDeferred(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.NextHop = nil })
	w.forwards("plain", true, "a@x.example")
	if reply := w.send("sender@example.com", "plain@example.jp", sample); !strings.HasPrefix(reply, "451 4.3.0") {
		t.Errorf("reply %q", reply)
	}
}

func TestAddressesOutsideASCIIAreForwardedWithSMTPUTF8(t *testing.T) {
	w := newWorld(t)
	w.forwards("plain", true, "太郎@x.example")
	if reply := w.send("sender@example.com", "plain@example.jp", sample); !strings.HasPrefix(reply, "250 ") {
		t.Errorf("reply %q", reply)
	}
	if from := w.hop.Mails()[0].From; !strings.HasSuffix(from, " SMTPUTF8") {
		t.Errorf("MAIL FROM:%s", from)
	}
	w.hop.SetAnswer(func(command string) string {
		if strings.HasPrefix(command, "EHLO") {
			return "250-next.example\n250 8BITMIME"
		}
		return ""
	})
	w.hop.DropAll()
	if reply := w.send("sender@example.com", "plain@example.jp", sample+"again\r\n"); !strings.HasPrefix(reply, "451 4.6.7") {
		t.Errorf("reply %q", reply)
	}
}

func TestSendersAreRewrittenAndBouncesFindBack(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.SRS = &srs.SRS{Domain: "fwd.example.jp", Secrets: []string{"0123456789abcdef"}} })
	w.forwards("plain", true, "a@x.example")
	for _, from := range []string{"Sender@example.com", "", "safe@example.jp"} {
		w.send(from, "plain@example.jp", "X-From: "+from+"\r\n"+sample)
	}
	var from []string
	for _, m := range w.hop.Mails() {
		path, _, _ := strings.Cut(m.From, " ")
		from = append(from, strings.Trim(path, "<>"))
	}
	if len(from) != 3 || !strings.HasPrefix(from[0], "SRS0=") || from[1] != "" || from[2] != "safe@example.jp" {
		t.Fatalf("senders: %q", from)
	}
	if reply := w.send("", from[0], "Subject: bounce\r\n\r\nx\r\n"); !strings.Contains(reply, "passed on: 250 2.0.0 Ok") {
		t.Errorf("reply %q", reply)
	}
	if m := w.hop.Mails()[3]; !slices.Equal(m.To, []string{"<Sender@example.com>"}) || !strings.HasPrefix(m.From, "<>") || below("\r\n"+m.Data) != "Subject: bounce\r\n\r\nx\r\n" {
		t.Errorf("the bounce: %q", m)
	}
	c := w.dial()
	c.sends("MAIL FROM:<>\r\nRCPT TO:<" + strings.Replace(from[0], "Sender", "other", 1) + ">\r\n")
	c.reads("250 ", "550 5.1.1")
}
