package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
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

// TestKilledNextHopLosesNothing kills the next hop under load, then the filter, then
// both. The next hop is Postfix's smtp-sink, which writes down what it takes.
func TestKilledNextHopLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("starts servers")
	}
	program, err := exec.LookPath("smtp-sink")
	if err != nil {
		t.Skip(err)
	}
	s := newSite(t)
	port := freePort(t)
	s.NextHop = fmt.Sprintf("127.0.0.1:%d", port)
	s.write("kiyome.toml", "kiyome.toml", s)
	s.account("add", "sender@example.com")
	s.account("subscribe", "sender@example.com", "outbound")
	s.folder("sink", 0o700, true)
	var sink *exec.Cmd
	start := func() {
		sink = exec.Command(program, "-d", filepath.Join(s.Dir, "sink", "m"), s.NextHop, "100")
		if os.Geteuid() == 0 {
			sink.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: s.uid, Gid: s.gid}}
		}
		if err := sink.Start(); err != nil {
			t.Fatal(err)
		}
		awaitPort(t, port)
	}
	kill := func() {
		sink.Process.Kill()
		sink.Wait()
	}
	start()
	t.Cleanup(func() { kill() })
	s.start()
	awaitPort(t, s.Filter)
	l := loadOn(s.Filter, 4)
	for round := range 6 {
		time.Sleep(time.Duration(300+100*round) * time.Millisecond)
		filter, next := round%3 != 0, round%3 != 1
		if next {
			kill()
		}
		if filter {
			s.kill()
			s.start()
			awaitPort(t, s.Filter)
		}
		if next {
			time.Sleep(100 * time.Millisecond) // for a while there is none
			start()
		}
	}
	close(l.stop)
	l.wg.Wait()
	l.checkSent(t, sunk(t, filepath.Join(s.Dir, "sink")))
}

// sunk gives what smtp-sink wrote down, less what it had not taken in whole when it
// was killed. It writes lines as this system has them.
func sunk(t *testing.T, dir string) (mails []relaytest.Mail) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		data := strings.ReplaceAll(strings.ReplaceAll(string(readFile(t, name)), "\r\n", "\n"), "\n", "\r\n")
		data = strings.TrimSuffix(data, "\r\n") // an empty line ends each
		_, rest, _ := strings.Cut(data, "<number")
		digits, _, _ := strings.Cut(rest, ".")
		n, err := strconv.Atoi(digits)
		if err != nil {
			continue
		}
		whole, infected := numbered(n)
		if infected {
			whole = whole[strings.LastIndex(strings.TrimSuffix(whole, "\r\n"), "\r\n"):] // its last line
		}
		if strings.HasSuffix(data, whole) {
			mails = append(mails, relaytest.Mail{Data: data})
		}
	}
	return mails
}
