package main_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kiyome/testdata"
)

// newFaultySite is a site with a checked mailbox, running.
func newFaultySite(t *testing.T) *site {
	if testing.Short() {
		t.Skip("starts a server")
	}
	s := newSite(t)
	s.account("add", "taro@example.jp")
	s.account("subscribe", "taro@example.jp")
	s.account("add", "jiro@example.jp")
	s.start()
	return s
}

// numbered makes message n; every fifth is infected.
func numbered(n int) (msg string, infected bool) {
	infected = n%5 == 0
	msg = string(testdata.MustMail("clean"))
	if infected {
		msg = string(testdata.MustMail("attachment"))
	}
	head, rest, _ := strings.Cut(msg, "Message-ID: <")
	_, rest, _ = strings.Cut(rest, ">")
	return fmt.Sprintf("%sMessage-ID: <number%d.@example.com>%s", head, n, rest), infected
}

// load sends numbered messages from several clients until stopped, each again until
// it is acknowledged, as an MTA does.
type load struct {
	port    int
	pause   time.Duration // of each client, between messages
	mu      sync.Mutex
	next    int
	acked   map[int]bool
	lost    map[int]bool // a reply was lost: the message may be there twice
	others  []string     // replies that are neither 250 nor 4xx
	put     map[string]int
	refused int // connections
	wg      sync.WaitGroup
	stop    chan bool
}

func startLoad(s *site, clients int) *load { return loadOn(s.LMTP, clients) }

func loadOn(port, clients int) *load { return pausingLoad(port, clients, 0) }

func pausingLoad(port, clients int, pause time.Duration) *load {
	l := &load{port: port, pause: pause, acked: map[int]bool{}, lost: map[int]bool{}, put: map[string]int{}, stop: make(chan bool)}
	for range clients {
		l.wg.Go(l.client)
	}
	return l
}

func (l *load) client() {
	var c *lmtpClient
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		l.mu.Lock()
		n := l.next
		l.next++
		l.mu.Unlock()
		msg, _ := numbered(n)
		time.Sleep(l.pause)
		for try := 0; ; try++ {
			if c == nil {
				c = l.redial()
			}
			reply := c.deliver(msg, "taro@example.jp")[0]
			l.note(n, reply)
			if strings.HasPrefix(reply, "250 ") || try > 200 {
				break
			}
			if strings.HasPrefix(reply, "broken") || strings.HasPrefix(reply, "421") {
				c.conn.Close()
				c = nil
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// redial connects as soon as there is a server again.
func (l *load) redial() *lmtpClient {
	for {
		c, err := dialLMTP(l.port)
		if err == nil {
			return c
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			l.mu.Lock()
			l.refused++
			l.mu.Unlock()
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (l *load) note(n int, reply string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case strings.HasPrefix(reply, "250 "):
		l.acked[n] = true
	case strings.HasPrefix(reply, "broken"), strings.HasPrefix(reply, "451 4.4.2"): // the next hop's reply, then
		l.lost[n] = true
	case strings.HasPrefix(reply, "4"):
		l.put[reply[:min(len(reply), 9)]]++
	default:
		l.others = append(l.others, reply)
	}
}

// end stops the clients and holds the mailbox against what was acknowledged.
func (l *load) end(t *testing.T, s *site, workersDie bool) {
	t.Helper()
	for _, p := range l.problems(s, workersDie) {
		t.Error(p)
	}
	t.Logf("%d acknowledged, %d replies lost, %d connections refused, put off: %v", len(l.acked), len(l.lost), l.refused, l.put)
}

// problems stops the clients and tells how the mailbox differs from what was
// acknowledged. Where workers die, one may do so after it told what it found: then the
// report alone is delivered, as for a message that cannot be cut.
func (l *load) problems(s *site, workersDie bool) (problems []string) {
	close(l.stop)
	l.wg.Wait()
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	messages, reports := map[int]int{}, map[int]int{}
	for _, m := range s.maildir("taro") {
		_, rest, _ := strings.Cut(m, "<number")
		digits, _, _ := strings.Cut(rest, ".")
		n, err := strconv.Atoi(digits)
		if err != nil {
			wrong("a message without its number, or not whole:\n%.400q", m)
			continue
		}
		if strings.Contains(m, "X-Virus-Status: Infected\r\n") {
			reports[n]++
			continue
		}
		messages[n]++
		if msg, infected := numbered(n); !infected && !strings.HasSuffix(m, msg) {
			wrong("message %d is not whole", n)
		}
	}
	for n := range l.next {
		_, infected := numbered(n)
		switch {
		case infected && workersDie && l.acked[n] && messages[n] == 0 && reports[n] == 1:
		case l.acked[n] && messages[n] == 0:
			wrong("message %d was acknowledged and is not there", n)
		case messages[n] > 1 && !l.lost[n]:
			wrong("message %d is there %d times, and no reply was lost", n, messages[n])
		case infected && messages[n] > 0 && reports[n] == 0:
			wrong("message %d is there without its report", n)
		case !infected && reports[n] > 0:
			wrong("message %d is clean and has a report", n)
		case reports[n] > 0 && !l.acked[n]:
			wrong("message %d was never acknowledged, and its report is there", n)
		}
	}
	if len(l.others) > 0 {
		wrong("%d replies that are neither 250 nor 4xx, the first: %s", len(l.others), l.others[0])
	}
	if len(l.acked) < 20 {
		wrong("only %d messages went through", len(l.acked))
	}
	return problems
}

func TestKilledServerLosesNothing(t *testing.T) {
	s := newFaultySite(t)
	l := startLoad(s, 4)
	for round := range 5 {
		time.Sleep(time.Duration(300+200*round) * time.Millisecond)
		s.kill()
		s.start()
	}
	l.end(t, s, false)
}

// tools is a folder with a load generator that checks what was delivered
// (lmtpload), and scripts that start other servers to compare with.
const tools = "../../../shared/bench"

// The same with the load generator, whose ledger is held against the mailboxes.
func TestKilledServerByTheLedger(t *testing.T) {
	if _, err := os.Stat(tools); err != nil {
		t.Skip("no load generator here")
	}
	s := newFaultySite(t)
	for i := range 10 {
		s.account("add", fmt.Sprintf("u%d@load.test", i))
		s.account("subscribe", fmt.Sprintf("u%d@load.test", i))
	}
	program, ledger := filepath.Join(s.Dir, "lmtpload"), filepath.Join(s.Dir, "ledger")
	if out, err := exec.Command("go", "build", "-C", filepath.Join(tools, "lmtpload"), "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the load generator: %v\n%s", err, out)
	}
	common := []string{"-mailboxes", "10", "-ledger", ledger}
	drive := exec.Command(program, append(common, "-addr", fmt.Sprintf("127.0.0.1:%d", s.LMTP), "-mix", "text", "-pool", "40",
		"-infected", "0.1", "-sessions", "4", "-for", "6s", "-max-errors", "100000")...)
	if err := drive.Start(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		time.Sleep(1500 * time.Millisecond)
		s.kill()
		s.start()
	}
	drive.Wait() // it fails for the broken connections; the ledger is what counts
	out, err := exec.Command(program, append(common, "-verify-only", "-verify", filepath.Join(s.Dir, "mail/%d/%n/Maildir"))...).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func TestKilledWorkersLoseNothing(t *testing.T) {
	s := newFaultySite(t)
	l := startLoad(s, 4)
	const enough = 30
	killed := 0
	for until := time.Now().Add(30 * time.Second); killed < enough && time.Now().Before(until); {
		time.Sleep(50 * time.Millisecond)
		for _, pid := range children(t, s.serve.Process.Pid) {
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				killed++
			}
			break
		}
	}
	l.end(t, s, true)
	if killed < enough {
		t.Errorf("only %d workers were killed", killed)
	}
}

// children lists the child processes of a process.
func children(t *testing.T, pid int) (pids []int) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		b, _ := os.ReadFile(list)
		for _, f := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(f); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}

// Each fault is put on and taken off while the server runs.
func TestStorageFaults(t *testing.T) {
	for _, tt := range []struct {
		name string
		on   func(t *testing.T, s *site) (off func())
		want string
	}{
		{"disk full", fullDisk, "452 4.3.1"},
		{"fsync fails", injected("fsync:error=EIO"), "451 4.3.0"},
		{"link fails", injected("linkat:error=EIO"), "451 4.3.0"},
		{"no space at fsync", injected("fsync:error=ENOSPC"), "452 4.3.1"},
		{"over quota at fsync", injected("fsync:error=EDQUOT"), "452 4.2.2"},
		{"Maildir not writable", notWritable, "451 4.3.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newFaultySite(t)
			c := s.dial()
			clean := string(testdata.MustMail("clean"))
			if reply := c.deliver(clean, "taro@example.jp")[0]; !strings.HasPrefix(reply, "250 ") {
				t.Fatalf("before the fault: %s", reply)
			}
			off := tt.on(t, s)
			infected := string(testdata.MustMail("attachment"))
			for range 3 {
				reply := c.deliver(infected, "taro@example.jp")[0]
				if strings.HasPrefix(reply, "broken") { // the reply itself could not be written
					c = s.dial()
					continue
				}
				if !strings.HasPrefix(reply, tt.want) {
					t.Errorf("during the fault: %s, want %s", reply, tt.want)
				}
			}
			off()
			if got := s.maildir("taro"); len(got) != 1 {
				t.Errorf("%d messages visible after deferrals, want the 1 of before", len(got))
			}
			if reply := s.dial().deliver(infected, "taro@example.jp")[0]; !strings.HasPrefix(reply, "250 ") {
				t.Errorf("after the fault: %s", reply)
			}
			if got := s.maildir("taro"); len(got) != 3 {
				t.Errorf("%d messages after the retry, want 3", len(got))
			}
			tmp, _ := os.ReadDir(filepath.Join(s.Dir, "mail/example.jp/taro/Maildir/tmp"))
			if len(tmp) > 0 {
				t.Errorf("%d files left in tmp", len(tmp))
			}
		})
	}
}

// fullDisk fills a small file system under the mailbox.
func fullDisk(t *testing.T, s *site) (off func()) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a file system")
	}
	dir := filepath.Join(s.Dir, "mail/example.jp/taro")
	kept := s.maildir("taro")[0]
	options := fmt.Sprintf("size=256k,uid=%d,gid=%d,mode=700", s.uid, s.gid)
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "none", dir).CombinedOutput(); err != nil {
		t.Skipf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	c := s.dial()
	msg := kept[strings.Index(kept, "From: "):]
	if reply := c.deliver(msg, "taro@example.jp")[0]; !strings.HasPrefix(reply, "250 ") {
		t.Fatalf("on the small file system: %s", reply)
	}
	filler := filepath.Join(dir, "filler")
	os.WriteFile(filler, make([]byte, 1<<20), 0o600) // as much as there is room for
	return func() { os.Remove(filler) }
}

func notWritable(t *testing.T, s *site) (off func()) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: gives the mailbox to somebody else")
	}
	dir := filepath.Join(s.Dir, "mail/example.jp/taro/Maildir/tmp")
	if err := os.Chown(dir, 0, 0); err != nil {
		t.Fatal(err)
	}
	return func() { os.Chown(dir, int(s.uid), int(s.gid)) }
}

// injected makes a system call of the server fail: what is as in strace's inject, and
// paths, where there are some, are the only ones that it strikes.
func injected(what string, paths ...string) func(t *testing.T, s *site) (off func()) {
	return func(t *testing.T, s *site) (off func()) {
		calls, _, _ := strings.Cut(what, ":")
		args := []string{"-e", "trace=" + calls, "-e", "inject=" + what}
		for _, path := range paths {
			args = append(args, "-P", path)
		}
		return straced(t, s, os.DevNull, args...)
	}
}

// straced traces the running server until off is called.
func straced(t *testing.T, s *site, output string, args ...string) (off func()) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace: make deps installs it")
	}
	pid := s.serve.Process.Pid
	cmd := exec.Command(strace, append([]string{"-f", "-qq", "-o", output, "-p", strconv.Itoa(pid)}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Skipf("strace: %v", err)
	}
	awaitTraced(t, pid, true)
	return func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		awaitTraced(t, pid, false)
	}
}

// awaitTraced waits until every thread of a process is, or is not, traced.
func awaitTraced(t *testing.T, pid int, want bool) {
	t.Helper()
	for range 200 {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		all := true
		for _, f := range files {
			b, _ := os.ReadFile(f)
			if strings.Contains(string(b), "TracerPid:\t0\n") == want {
				all = false
			}
		}
		if all {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Skip("this system lets nobody trace the server")
}
