package lmtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"kiyome/accounts"
	"kiyome/lmtp/relay"
	"kiyome/scan"
	"kiyome/scan/mime"
)

// hopSays makes the next hop say something to what begins with a prefix.
func (w *world) hopSays(prefix, say string) {
	w.hop.SetAnswer(func(command string) string {
		if strings.HasPrefix(command, prefix) {
			return say
		}
		return ""
	})
}

// sent gives what the next hop has of messages, less our Received.
func (w *world) sent() (heads, bodies []string) {
	for _, m := range w.hop.Mails() {
		head, _, _ := strings.Cut("\r\n"+m.Data, "\r\nReceived: from ")
		heads = append(heads, strings.TrimPrefix(head, "\r\n"))
		bodies = append(bodies, below("\r\n"+m.Data))
	}
	return heads, bodies
}

// cutWithNotice cuts Hello out of sample, and puts the notice at its end.
func cutWithNotice() (*scan.Verdict, error) {
	v, err := cutHello()
	v.Notice = &scan.Notice{
		Cut:    append([]mime.Range{{Start: 0, End: len("Subject: hello\r\n")}}, v.Cut...),
		Insert: []scan.Insert{{At: strings.Index(sample, "Message-ID"), Text: "Content-X: 1\r\n"}, {At: len(sample), Text: "--b\r\n", Part: true, Rest: "--b--\r\n"}},
	}
	return v, err
}

func TestOutgoingMail(t *testing.T) {
	infected, _ := cutHello()
	noticed, _ := cutWithNotice()
	all := &scan.Verdict{Outcome: scan.ReportOnly, Findings: finding, Rules: "r1"}
	header, _, _ := strings.Cut(sample, "Hello")
	const clean = "X-Virus-Scanned: kiyome at mail.example.jp (rules r1)\r\nX-Virus-Status: Clean"
	cleaned := strings.Replace(clean, "Clean", "Cleaned", 1)
	for _, tt := range []struct {
		name    string
		from    string
		verdict *scan.Verdict
		change  func(*Outbound)
		refuse  string // to RCPT, or after the message
		head    string
		body    string // "" for none
		log     string
	}{
		{name: "clean", from: "safe@example.jp", head: clean, body: sample, log: "action=clean"},
		{name: "address extension and case", from: "Safe+x@Example.JP", head: clean, body: sample, log: "action=clean"},
		{name: "not subscribed", from: "plain@example.jp", verdict: infected, body: sample, log: "action=untouched"},
		{name: "nobody of ours", from: "x@example.com", verdict: infected, body: sample, log: "action=untouched"},
		{name: "an address that could not be ours", from: "x@[192.0.2.1]", body: sample, log: "action=untouched"},
		{name: "null sender", from: "", verdict: infected, body: sample, log: "action=untouched"},
		{name: "cannot tell", from: "broken@example.jp", refuse: "451 4.3.0"},
		{name: "refuse nobody of ours", from: "x@example.com", change: func(o *Outbound) { o.RefuseUnknown = true }, refuse: "550 5.7.1", log: "action=refused"},
		{name: "refuse unknown", from: "x@example.jp", change: func(o *Outbound) { o.RefuseUnknown = true }, refuse: "550 5.7.1"},
		{name: "refuse, and the null sender", from: "", change: func(o *Outbound) { o.RefuseUnknown = true }, body: sample, log: "action=untouched"},
		{name: "refuse, and a member without the service", from: "plain@example.jp", change: func(o *Outbound) { o.RefuseUnknown = true }, body: sample},
		{name: "not checked", from: "safe@example.jp", verdict: &scan.Verdict{Outcome: scan.Clean, Rules: "r1", Unchecked: []scan.Unchecked{{Reason: "encrypted"}}},
			head: strings.Replace(clean, "Clean", "Unscanned", 1) + "\r\nX-Virus-Unchecked: encrypted", body: sample, log: "action=unscanned"},
		{name: "cleaned, with a notice in it", from: "safe@example.jp", verdict: noticed, head: cleaned, log: "action=cleaned",
			body: "Content-X: 1\r\nMessage-ID: <1@example.com>\r\n\r\n.. dots\r\n. dot\r\n--b\r\nContent-Type: text/plain\r\n\r\nTest.Virus was removed\r\n--b--\r\n"},
		{name: "no place for a notice", from: "safe@example.jp", verdict: infected, head: cleaned, log: `action="notice only"`,
			body: header + "Test.Virus was all there was, says ja of <safe@example.jp>\r\n"},
		{name: "infected all over", from: "safe@example.jp", verdict: all, head: cleaned, log: `action="notice only"`,
			body: header + "Test.Virus was all there was, says ja of <safe@example.jp>\r\n"},
		{name: "refuse infected", from: "safe@example.jp", verdict: noticed, change: func(o *Outbound) { o.RefuseInfected = true },
			refuse: "550 5.7.1 <to@x.example> Message contains malware: Test.Virus", log: "action=refused"},
		{name: "refuse infected, and a clean one", from: "safe@example.jp", change: func(o *Outbound) { o.RefuseInfected = true }, head: clean, body: sample},
		{name: "two of a kind of notice", from: "safe@example.jp", verdict: func() *scan.Verdict {
			v, _ := cutWithNotice()
			v.Notice.Insert[0].Part = true
			return v
		}(), refuse: "451 4.3.0", log: "action=deferred"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newFilter(t, func(o *Options) {
				if tt.change != nil {
					tt.change(o.Outbound)
				}
			})
			if tt.verdict != nil {
				w.onScan(verdictOf(tt.verdict, nil))
			}
			c := w.dial()
			c.sends("MAIL FROM:<" + tt.from + ">\r\nRCPT TO:<to@x.example>\r\nDATA\r\n")
			c.reads("250 ")
			if reply := c.any(); !strings.HasPrefix(reply, "250 ") {
				if tt.refuse == "" || !strings.HasPrefix(reply, tt.refuse) {
					t.Errorf("RCPT: %q, want %q", reply, tt.refuse)
				}
			} else {
				c.reads("354 ")
				c.sends(dotted(sample))
				want := tt.refuse
				if want == "" {
					want = "250 2.0.0 <to@x.example> "
				}
				if reply := c.reads(want); tt.refuse == "" && !strings.HasSuffix(reply, " passed on: 250 2.0.0 Ok: queued as ABC123\r\n") {
					t.Errorf("reply %q", reply)
				}
			}
			heads, bodies := w.sent()
			if tt.body == "" {
				if len(bodies) > 0 {
					t.Errorf("passed on: %q", bodies)
				}
			} else if len(bodies) != 1 || bodies[0] != tt.body || heads[0] != tt.head {
				t.Errorf("passed on: %q, %q\nwant %q, %q", heads, bodies, tt.head, tt.body)
			}
			if !strings.Contains(w.logs.String(), tt.log) || !strings.Contains(w.logs.String(), "direction=outbound") {
				t.Errorf("log has no %q:\n%s", tt.log, w.logs.String())
			}
		})
	}
}

// any reads one reply.
func (c *client) any() string {
	c.t.Helper()
	return c.reads("")
}

func TestWhatGoesOnIsUnderOurReceived(t *testing.T) {
	w := newFilter(t)
	c := w.dial()
	c.sends("MAIL FROM:<plain@example.jp> SMTPUTF8\r\nRCPT TO:<\"a b\"@x.example>\r\nDATA\r\n" + dotted("Received: from a by b with ESMTP id Q123; x\r\n\r\nx\r\n"))
	c.reads("250 ", "250 ", "354 ", "250 ")
	m := w.hop.Mails()[0]
	want := "Received: from client.example ([127.0.0.1])\r\n\tby mail.example.jp (kiyome) with UTF8LMTP id "
	if !strings.HasPrefix(m.Data, want) || !strings.Contains(m.Data, "\r\n\tfor <a b@x.example>;\r\n\t") {
		t.Errorf("%q", m.Data)
	}
	if !slices.Equal(m.To, []string{`<"a b"@x.example>`}) || !strings.HasPrefix(m.From, "<plain@example.jp> ") || !strings.HasSuffix(m.From, " SMTPUTF8") {
		t.Errorf("envelope: %s, %s", m.From, m.To)
	}
	if said := w.hop.Said(); !slices.Contains(said, "XFORWARD IDENT=Q123") {
		t.Errorf("the queue id is not told: %q", said)
	}
}

func TestEveryRecipientHasTheNextHopsAnswer(t *testing.T) {
	w := newFilter(t)
	w.hop.SetAnswer(func(command string) string {
		switch {
		case strings.Contains(command, "<no@"):
			return "550-5.1.1 No\n550 5.1.1 such <user>"
		case strings.Contains(command, "<later@"):
			return "450 4.2.1 Mailbox busy"
		case strings.Contains(command, "<order@"):
			return "503 5.5.1 Send HELO first"
		case strings.Contains(command, "<ours@"):
			return "530 5.7.0 Must issue a STARTTLS command first"
		}
		return ""
	})
	c := w.dial()
	c.from("safe@example.jp", "a@x.example", "no@x.example", "later@x.example", "order@x.example", "ours@x.example", "a@x.example", "b@x.example")
	c.sends(dotted(sample))
	c.reads("250 2.0.0 <a@x.example>", "550 5.1.1 <no@x.example> No such <user>", "450 4.2.1 <later@x.example> Mailbox busy",
		"451 4.5.1 <order@x.example>", "451 4.7.0 <ours@x.example>", "250 2.0.0 <a@x.example>", "250 2.0.0 <b@x.example>")
	if m := w.hop.Mails(); len(m) != 1 || !slices.Equal(m[0].To, []string{"<a@x.example>", "<b@x.example>"}) {
		t.Errorf("passed on: %q", m)
	}
	if w.scanned() != 1 {
		t.Errorf("%d scans", w.scanned())
	}
	s := w.server.Stats()
	if s.Clean != 2 || s.Repeated != 1 || s.Refused != 1 || s.Deferred != 3 {
		t.Errorf("%+v", s)
	}
	if !strings.Contains(w.logs.String(), `next="550 5.1.1 No such <user>"`) {
		t.Errorf("the log does not tell what the next hop said:\n%s", w.logs.String())
	}
}

func TestWhatTheMTAHearsOfTheNextHopsFailures(t *testing.T) {
	for _, tt := range []struct{ at, say, reply, log string }{
		{"connect", "421 4.3.2 busy", "451 4.4.1", "421 4.3.2 busy"},
		{"connect", "554 5.7.1 not you", "451 4.4.1", "not you"},
		{"EHLO", "drop", "451 4.4.1", "EOF"},
		{"MAIL", "421 4.3.2 busy", "451 4.4.1", "busy"},
		{"MAIL", "552 5.3.4 Message size exceeds fixed limit", "552 5.3.4 <a@x.example> Message size exceeds", ""},
		{"MAIL", "553 5.7.1 Sender address rejected", "553 5.7.1", ""},
		{"DATA", "421 4.3.0 no", "451 4.3.0", ""},
		{"DATA", "drop", "451 4.4.1", ""},
		{"message", "550 5.7.1 Policy", "550 5.7.1 <a@x.example> Policy", ""},
		{"message", "421 4.3.2 going", "451 4.3.2", ""},
		{"message", "drop", "451 4.4.2", "it may be sent twice"},
		{"message", "what", "451 4.4.2", "it may be sent twice"},
	} {
		t.Run(tt.at+" "+tt.say, func(t *testing.T) {
			w := newFilter(t)
			w.hopSays(tt.at, tt.say)
			c := w.dial()
			c.from("plain@example.jp", "a@x.example", "b@x.example")
			c.sends(dotted(sample))
			c.reads(tt.reply, tt.reply[:4])
			if !strings.Contains(w.logs.String(), tt.log) {
				t.Errorf("log has no %q:\n%s", tt.log, w.logs.String())
			}
			w.hop.SetAnswer(nil) // and now the next try
			c.from("plain@example.jp", "a@x.example", "b@x.example")
			c.sends(dotted(sample))
			c.reads("250 ", "250 ")
			if n := len(w.hop.Mails()); n != 1 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

func TestALostReplySendsNothingTwice(t *testing.T) {
	w := newFilter(t)
	c := w.dial()
	c.from("safe@example.jp", "a@x.example", "b@x.example")
	c.sends(dotted(sample))
	c.reads("250 ", "250 ")
	c.conn.(*net.TCPConn).SetLinger(0)
	c.conn.Close()
	eventually(t, "the session ends", func() bool { return w.server.Stats().Sessions == 0 })
	if w.memory.Len() != 2 {
		t.Fatalf("%d replies written down, want 2", w.memory.Len())
	}
	c = w.dial()
	c.from("safe@example.jp", "a@x.example", "c@x.example", "b@x.example")
	c.sends(dotted(sample))
	c.reads("250 2.0.0 <a@", "250 2.0.0 <c@", "250 2.0.0 <b@")
	var to []string
	for _, m := range w.hop.Mails() {
		to = append(to, m.To...)
	}
	if want := []string{"<a@x.example>", "<b@x.example>", "<c@x.example>"}; !slices.Equal(to, want) {
		t.Errorf("sent to %q, want %q", to, want)
	}
}

func TestOutgoingLoopsAreStopped(t *testing.T) {
	own := "Received: from a ([127.0.0.1])\r\n\tby MAIL.example.jp (kiyome) with LMTP id x.1;\r\n\tThu, 01 Jan 1970 00:00:00 +0000\r\n"
	for _, tt := range []struct {
		name, msg, reply string
	}{
		{"some hops", strings.Repeat("Received: from a by b\r\n", 99) + sample, "250 "},
		{"a hundred hops", strings.Repeat("received : x\r\nReceived:\tfrom a by b\r\n", 100) + sample, "554 5.4.6"},
		{"our own, a few", strings.Repeat(own, 7) + sample, "250 "},
		{"our own, again and again", strings.Repeat(own, 8) + sample, "554 5.4.6"},
		{"in the body", sample + "\r\n" + strings.Repeat("Received: from a by b\r\n", 200), "250 "},
		{"somebody else's", strings.Repeat(strings.Replace(own, "MAIL", "other", 1), 50) + sample, "250 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newFilter(t)
			c := w.dial()
			c.from("plain@example.jp", "a@x.example", "b@x.example")
			c.sends(dotted(tt.msg))
			c.reads(tt.reply, tt.reply)
			if n := len(w.hop.Mails()); (n == 1) != (tt.reply == "250 ") {
				t.Errorf("%d messages", n)
			}
		})
	}
}

func TestOutgoingAddresses(t *testing.T) {
	w := newFilter(t)
	for _, tt := range []struct{ command, reply string }{
		{"RCPT TO:<a@[192.0.2.1]>", "250 "},
		{`RCPT TO:<"a\"@b"@x.example>`, "250 "},
		{"RCPT TO:<a\rQUIT@x.example>", "553 5.1.3"},
		{"RCPT TO:<a\x00@x.example>", "553 5.1.3"},
		{"RCPT TO:<\xff@x.example>", "553 5.1.3"},
		{"RCPT TO:<" + strings.Repeat("a", 2000) + "@x.example>", "553 5.1.3"},
	} {
		c := w.dial()
		c.sends("MAIL FROM:<>\r\n" + tt.command + "\r\n")
		c.reads("250 ", tt.reply)
	}
	c := w.dial()
	c.sends("MAIL FROM:<a\rb@x.example>\r\nRCPT TO:<a@x.example>\r\n")
	c.reads("250 ", "553 5.1.7")
}

func TestASenderIsLookedUpOnceForATransaction(t *testing.T) {
	w := newFilter(t)
	c := w.dial()
	c.from("safe@example.jp", "a@x.example", "b@x.example")
	c.sends(dotted(sample))
	c.reads("250 ", "250 ")
	c.from("plain@example.jp", "a@x.example")
	c.sends(dotted(sample))
	c.reads("250 ")
	if w.scanned() != 1 {
		t.Errorf("%d scans, want that of the first message", w.scanned())
	}
	c.sends("MAIL FROM:<plain@example.jp>\r\nRCPT TO:<a@x.example>\r\n")
	c.reads("250 ", "250 ")
	w.account("plain", func(a *accounts.Account) { a.Outbound.Subscribed = true }) // between two recipients of one message
	c.sends("RCPT TO:<b@x.example>\r\nDATA\r\n" + dotted(sample))
	c.reads("250 ", "354 ", "250 ", "250 ")
	if m := w.hop.Mails(); w.scanned() != 1 || len(m) != 3 || len(m[2].To) != 2 {
		t.Errorf("%d scans, passed on: %q", w.scanned(), m)
	}
}

// forgetful is a next hop that answers for nobody.
type forgetful struct{}

func (forgetful) Send(context.Context, *relay.Mail) []relay.Result { return nil }

func TestNoAnswerIsNoSuccess(t *testing.T) {
	w := newFilter(t, func(o *Options) { o.NextHop = forgetful{} })
	c := w.dial()
	c.from("plain@example.jp", "a@x.example", "b@x.example")
	c.sends(dotted(sample))
	c.reads("451 4.3.0", "451 4.3.0")
}

func TestThePlanOfANoticeIsChecked(t *testing.T) {
	const size = int64(len(sample))
	for _, tt := range []struct {
		name  string
		spoil func(v *scan.Verdict)
		ok    bool
	}{
		{"as it is", func(*scan.Verdict) {}, true},
		{"none", func(v *scan.Verdict) { v.Notice = nil }, true},
		{"of a clean message", func(v *scan.Verdict) { v.Outcome, v.Cut = scan.Clean, nil }, false},
		{"of a report only", func(v *scan.Verdict) { v.Outcome, v.Cut = scan.ReportOnly, nil }, false},
		{"leaving in what is to be cut", func(v *scan.Verdict) { v.Notice.Cut = v.Notice.Cut[:1] }, false},
		{"leaving in some of what is to be cut", func(v *scan.Verdict) { v.Notice.Cut[1].Start++ }, false},
		{"cuts out of order", func(v *scan.Verdict) { slices.Reverse(v.Notice.Cut) }, false},
		{"a cut out of bounds", func(v *scan.Verdict) { v.Notice.Cut[1].End = int(size) + 1 }, false},
		{"no place", func(v *scan.Verdict) { v.Notice.Insert[1].Part = false }, false},
		{"nothing inserted", func(v *scan.Verdict) { v.Notice.Insert = nil }, false},
		{"before the start", func(v *scan.Verdict) { v.Notice.Insert[0].At = -1 }, false},
		{"behind the end", func(v *scan.Verdict) { v.Notice.Insert[1].At++ }, false},
		{"within a cut", func(v *scan.Verdict) { v.Notice.Insert[0].At = 3 }, false},
		{"at the start of a cut", func(v *scan.Verdict) { v.Notice.Insert[0].At = 0 }, false},
		{"out of order", func(v *scan.Verdict) { slices.Reverse(v.Notice.Insert) }, false},
		{"too much", func(v *scan.Verdict) { v.Notice.Insert[0].Rest = strings.Repeat("--b\n", scan.MaxInsert/4) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, _ := cutWithNotice()
			tt.spoil(v)
			if err := v.Check(size); (err == nil) != tt.ok {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestHeaderOf(t *testing.T) {
	for _, tt := range []struct{ msg, want string }{
		{sample, sample[:strings.Index(sample, "Hello")]},
		{"A: b\n\nc", "A: b\n\n"},
		{"\r\nbody", "\r\n"},
		{"A: b\r\n", "A: b\r\n"},
		{"A: b", "A: b"},
		{"", ""},
		{strings.Repeat("A: b\r\n", 100), strings.Repeat("A: b\r\n", 100)[:100]},
	} {
		m, err := scan.NewMessage([]byte(tt.msg))
		if err != nil {
			t.Fatal(err)
		}
		if got := headerOf(m, 100); string(got) != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
		m.Close()
	}
}

func TestEveryFailureOfTheNextHopIsAnswered(t *testing.T) {
	table := newReplyTable(false)
	for _, err := range []error{relay.ErrUnavailable, relay.ErrUncertain, relay.ErrNot8Bit, relay.ErrNotUTF8, relay.ErrTLS} {
		refusal := &relay.Refusal{Reply: relay.Reply{Code: 550, Enhanced: [3]int{5, 7, 1}}}
		if got := table.of(fmt.Errorf("%w: %w", err, refusal)); got.Code != 451 {
			t.Errorf("%v: %d", err, got.Code)
		}
	}
	for code, want := range map[int]int{250: 451, 354: 451, 421: 451, 450: 450, 452: 452, 500: 451, 501: 501, 503: 451, 530: 451, 550: 550, 599: 599} {
		got := table.of(errors.Join(&relay.Refusal{Reply: relay.Reply{Code: code, Enhanced: [3]int{code / 100, 1, 1}}}))
		if got.Code != want || got.EnhancedCode[0] != want/100 {
			t.Errorf("%d: %v, want %d", code, got, want)
		}
	}
}
