package main_test

import (
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kiyome/lmtp/relay/relaytest"
	"kiyome/testdata"
)

// TestKilledFilterLosesNothing kills the filter under load, before a next hop that
// has its faults too.
func TestKilledFilterLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server")
	}
	var n atomic.Int64
	next := (&relaytest.Server{Answer: func(command string) string {
		switch verb, _, _ := strings.Cut(command, " "); {
		case verb == "message" && n.Add(1)%23 == 0:
			return "drop"
		case verb == "RCPT" && n.Add(1)%19 == 0:
			return "450 4.2.1 Mailbox busy"
		case verb == "MAIL" && n.Add(1)%17 == 0:
			return "421 4.3.2 Too busy"
		}
		return ""
	}}).Start(t)
	s := newSite(t)
	s.NextHop = next.Addr
	s.write("kiyome.toml", "kiyome.toml", s)
	s.account("add", "sender@example.com") // whose mail load sends
	s.account("subscribe", "sender@example.com", "outbound")
	s.start()
	awaitPort(t, s.Filter)
	l := loadOn(s.Filter, 4)
	for round := range 5 {
		time.Sleep(time.Duration(300+200*round) * time.Millisecond)
		s.kill()
		s.start()
		awaitPort(t, s.Filter)
	}
	close(l.stop)
	l.wg.Wait()
	l.checkSent(t, next.Mails())
}

// checkSent holds what the next hop has against what was acknowledged.
func (l *load) checkSent(t *testing.T, mails []relaytest.Mail) {
	t.Helper()
	sent := map[int]int{}
	for _, m := range mails {
		_, rest, _ := strings.Cut(m.Data, "<number")
		digits, _, _ := strings.Cut(rest, ".")
		n, err := strconv.Atoi(digits)
		if err != nil {
			t.Fatalf("a message without its number, or not whole:\n%.400q", m.Data)
		}
		sent[n]++
		switch msg, infected := numbered(n); {
		case !infected && !strings.HasSuffix(m.Data, msg):
			t.Errorf("message %d is not whole", n)
		case infected && (strings.Contains(m.Data, string(testdata.EICAR())) || !strings.Contains(m.Data, "X-Virus-Status: Cleaned\r\n")):
			t.Errorf("message %d is not cleaned:\n%.1500s", n, m.Data)
		}
	}
	for n := range l.next {
		switch {
		case l.acked[n] && sent[n] == 0:
			t.Errorf("message %d was acknowledged and did not go on", n)
		case sent[n] > 1 && !l.lost[n]:
			t.Errorf("message %d went on %d times, and no reply was lost", n, sent[n])
		}
	}
	if len(l.others) > 0 {
		t.Errorf("%d replies that are neither 250 nor 4xx, the first: %s", len(l.others), l.others[0])
	}
	if len(l.acked) < 20 {
		t.Errorf("only %d messages went through", len(l.acked))
	}
	t.Logf("%d acknowledged, %d replies lost", len(l.acked), len(l.lost))
}
