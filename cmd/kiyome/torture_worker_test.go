//go:build torture

package main_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"kiyome/cmd/kiyome/control"
	"kiyome/testdata"
)

// malady is what the engine does when it reads a certain message: a stand-in for a fault
// of an opener or of libyara. It is built into a program of the test, not into kiyome.
type malady struct {
	name string
	code string // Go, in the worker, with everything in scope that one scan has
	wait string // scan.limits.time, for those that never end
}

var maladies = []malady{
	{"the engine crashes", `var p *int; *p = 1`, ""},
	{"the engine crashes beside the scan", `go func() { var p *int; *p = 1 }(); select {}`, ""},
	{"the engine jumps into nowhere", `var f func(); *(*uintptr)(unsafe.Pointer(&f)) = 0xdead000; f()`, ""},
	{"the worker is killed by the kernel", `unix.RawSyscall(unix.SYS_EXIT_GROUP, 137, 0, 0)`, ""},
	{"the engine makes a forbidden call", `unix.Open("/etc/passwd", 0, 0); unix.RawSyscall(unix.SYS_FORK, 0, 0, 0); unix.Exit(9)`, ""},
	{"the engine never ends", `for n := 1; n != 0; n = n*3 | 1 {}`, "2s"},
	{"the engine takes all memory", `for all := [][]byte{}; ; { all = append(all, bytes.Repeat([]byte{1}, 1<<20)) }`, ""},
	{"the engine writes nonsense to the server", `unix.Write(socketFD, bytes.Repeat([]byte{255}, 1<<16))`, ""},
}

// sick is what makes a message the one.
const sick = "X-Torture: sick"

func workerFaults() []fault {
	var faults []fault
	for _, m := range maladies {
		faults = append(faults, fault{m.name, "go", m.run})
	}
	unsent := storage{name: "a worker cannot be given the message", needs: "strace", on: injected("sendmsg:error=ENOBUFS"), taro: ours, others: ok, checked: true}
	return append(faults,
		fault{"the engine crashes after a finding", "go", crashAfterFinding},
		fault{unsent.name, unsent.needs, unsent.run})
}

// changes are those of the program that has the malady: at the beginning of a scan, or
// after it, when it has told what it found.
func (m malady) changes(after bool) program {
	const file = "scan/worker/child.go"
	ill := "	if bytes.Contains(raw, []byte(\"" + sick + "\")) {\n" + m.code + "\n}\n"
	imports := "import (\n	\"bytes\"\n"
	if strings.Contains(m.code, "unsafe.") {
		imports += "	\"unsafe\"\n"
	}
	at, place := "	var broken error\n", "	var broken error\n"+ill
	if after {
		at = "	switch {\n	case broken != nil:\n		return broken\n"
		place = ill + at
	}
	return program{{file, "import (\n", imports}, {file, at, place}}
}

// run sends the sick message among others.
func (m malady) run(t *testing.T, p program) *result {
	r := &result{}
	s := tortured(t, append(m.changes(false), p...))
	s.setting("scan", "workers = 2")
	if m.wait != "" {
		s.setting("scan.limits", fmt.Sprintf("time = %q", m.wait))
	}
	s.start()
	others := &bystanders{stop: make(chan bool)}
	others.start(s)
	message := strings.Replace(string(testdata.MustMail("clean")), "Subject:", sick+"\r\nSubject:", 1)
	c := s.dial()
	for i, want := range []string{ours, ok, ok} { // twice ended: kept by the MTA; known then: the policy
		if reply := c.deliver(message, "taro@example.jp")[0]; !strings.HasPrefix(reply, want) {
			r.wrong("try %d: %s, want %s", i+1, reply, want)
		}
	}
	others.end(r)
	m.check(t, s, r)
	r.heard = fmt.Sprintf("%.9s, then %.9s as Unscanned; %d others 250, at most %v", ours, ok, others.sent, others.slowest.Round(time.Millisecond))
	return r
}

func (m malady) check(t *testing.T, s *site, r *result) {
	t.Helper()
	unscanned := 0
	for _, got := range s.maildir("taro") {
		if strings.Contains(got, sick) && strings.Contains(got, "X-Virus-Status: Unscanned\r\n") {
			unscanned++
		}
	}
	if unscanned != 2 {
		r.wrong("%d messages are marked as unscanned, want 2", unscanned)
	}
	st := status(t, s)
	ended := st.Scan.Died + st.Scan.Killed
	if ended < 3 || ended > 6 { // two at the first try, and one or two at each after it
		r.wrong("%d workers died and %d were killed", st.Scan.Died, st.Scan.Killed)
	}
	if !strings.Contains(s.log.String(), "a scan ended its worker") {
		r.wrong("the log does not say that a scan ended its worker")
	}
	time.Sleep(500 * time.Millisecond)
	if st := status(t, s); st.Scan.Workers != 2 || st.Scan.Died+st.Scan.Killed != ended {
		r.wrong("half a second later %d workers serve, and %d have died, %d before", st.Scan.Workers, st.Scan.Died+st.Scan.Killed, ended)
	}
	r.mailbox = fmt.Sprintf("kept by the MTA at first, then marked; %d workers ended, counted and in the log", ended)
}

// crashAfterFinding: what was found before is not lost with the worker.
func crashAfterFinding(t *testing.T, p program) *result {
	r := &result{}
	m := malady{code: `var p *int; *p = 1`}
	s := tortured(t, append(m.changes(true), p...))
	s.start()
	message := strings.Replace(string(testdata.MustMail("attachment")), "Subject:", sick+"\r\nSubject:", 1)
	reply := s.dial().deliver(message, "taro@example.jp")[0]
	got := s.maildir("taro")
	if !strings.HasPrefix(reply, ok) || len(got) != 1 || !strings.Contains(got[0], "X-Virus-Status: Infected\r\n") {
		r.wrong("%s, and %d messages, want 250 and the report alone", reply, len(got))
	}
	r.heard, r.mailbox = reply[:9], "the report alone"
	return r
}

// status asks the server how it is.
func status(t *testing.T, s *site) control.Status {
	t.Helper()
	out, err := s.command("status", "--json").Output()
	if err != nil {
		t.Fatalf("kiyome status: %v", err)
	}
	var st control.Status
	if err := json.Unmarshal(out, &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// bystanders send checked mail meanwhile, to hanako.
type bystanders struct {
	stop    chan bool
	wg      sync.WaitGroup
	mu      sync.Mutex
	sent    int
	slowest time.Duration
	wrong   []string
}

func (b *bystanders) start(s *site) {
	s.account("add", "hanako@example.jp")
	s.account("subscribe", "hanako@example.jp")
	b.wg.Go(func() {
		c := redial(s.LMTP)
		defer c.conn.Close()
		for {
			select {
			case <-b.stop:
				return
			default:
			}
			msg, _ := numbered(b.sent)
			began := time.Now()
			reply := c.deliver(msg, "hanako@example.jp")[0]
			b.mu.Lock()
			b.sent++
			b.slowest = max(b.slowest, time.Since(began))
			if !strings.HasPrefix(reply, ok) {
				b.wrong = append(b.wrong, reply)
			}
			b.mu.Unlock()
			time.Sleep(5 * time.Millisecond)
		}
	})
}

// end lets some more of them through, and stops.
func (b *bystanders) end(r *result) {
	for tries := 0; b.count() < 30 && tries < 100; tries++ {
		time.Sleep(50 * time.Millisecond)
	}
	close(b.stop)
	b.wg.Wait()
	if len(b.wrong) > 0 {
		r.wrong("%d of %d other messages were not delivered, the first: %s", len(b.wrong), b.sent, b.wrong[0])
	}
}

func (b *bystanders) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent
}
