//go:build torture

package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/control"
	"kiyome/testdata"
)

// sample is what a server uses at one moment.
type sample struct {
	at          time.Duration
	memory      int64 // resident, of the server
	workers     int64 // resident, of all workers
	files       int   // descriptors
	threads     int
	children    int
	tmp         int // files in the tmp folders of all mailboxes
	spool       int // files in the spool folder
	rules       int // files of compiled rules
	messages    int64
	recycled    uint64
	ended       uint64 // workers that died or were killed
	deferred    int64
	unscanned   int64
	acknowledge int
}

const samples = 10

// TestSoak has a server work for SOAK (1 minute) under a mixed load, while rules are reloaded,
// accounts change and workers are replaced, and sees that nothing grows.
func TestSoak(t *testing.T) {
	length := soakTime(t)
	s := tortured(t, nil)
	s.setting("scan", "workers = 2\nrecycle = 100")
	s.start()
	l := pausingLoad(s.LMTP, 2, 25*time.Millisecond)
	m := &mixture{site: s, stop: make(chan bool)}
	m.start(t)
	began := time.Now()
	var taken []sample
	for i := range samples {
		time.Sleep(time.Until(began.Add(length * time.Duration(i+1) / samples)))
		taken = append(taken, takeSample(t, s, l, time.Since(began)))
	}
	close(m.stop)
	m.wg.Wait()
	for _, p := range append(l.problems(s, false), m.wrong...) {
		t.Error(p)
	}
	quiet := takeSample(t, s, l, time.Since(began))
	printSamples(append(taken, quiet))
	for _, p := range growth(taken[0], taken[samples-1], quiet) {
		t.Error(p)
	}
	fmt.Printf("soak of %v: %d messages acknowledged and there, %d others, %d reloads, %d changes of accounts\n\n",
		length, len(l.acked), m.sent, m.reloads, m.changes)
}

// growth tells what grew between the first sample, when all had warmed up, and the last; and what
// is left when the load is over.
func growth(first, last, quiet sample) (problems []string) {
	for _, g := range []struct {
		what        string
		first, last int64
		allowed     int64
	}{
		{"memory of the server", first.memory, last.memory, first.memory/4 + 16<<20},
		{"memory of the workers", first.workers, last.workers, first.workers/2 + 64<<20},
		{"descriptors", int64(first.files), int64(last.files), 12},
		{"threads", int64(first.threads), int64(last.threads), 8},
		{"children", int64(first.children), int64(last.children), 4},
		{"files in tmp, when it is quiet", 0, int64(quiet.tmp), 0},
		{"files in the spool, when it is quiet", 0, int64(quiet.spool), 0},
		{"files of rules", int64(first.rules), int64(last.rules), 4},
		{"workers that died", 0, int64(last.ended), 0},
		{"messages that were not scanned", 0, last.unscanned, 0},
	} {
		if g.last > g.first+g.allowed {
			problems = append(problems, fmt.Sprintf("%s: from %d to %d", g.what, g.first, g.last))
		}
	}
	return problems
}

func takeSample(t *testing.T, s *site, l *load, at time.Duration) sample {
	t.Helper()
	pid := s.serve.Process.Pid
	st := status(t, s)
	count := func(pattern string) int {
		files, _ := filepath.Glob(s.Dir + pattern)
		return len(files)
	}
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	l.mu.Lock()
	acknowledged := len(l.acked)
	l.mu.Unlock()
	taken := sample{
		at: at.Round(time.Second), memory: memory(t, pid, "VmRSS"), files: openFiles(t, pid), threads: len(threads),
		tmp: count("/mail/*/*/Maildir/tmp/*"), spool: count("/state/spool/*"), rules: count("/state/rules/*"),
		messages: st.LMTP.Messages, recycled: st.Scan.Recycled, ended: st.Scan.Died + st.Scan.Killed,
		deferred: st.LMTP.Deferred, unscanned: st.LMTP.Unscanned, acknowledge: acknowledged,
	}
	for _, child := range children(t, pid) {
		taken.children++
		taken.workers += residentOf(child)
	}
	return taken
}

// residentOf gives the memory of a process, 0 when it has just ended.
func residentOf(pid int) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	var size, resident int64
	fmt.Sscan(string(b), &size, &resident)
	return resident * int64(os.Getpagesize())
}

func printSamples(all []sample) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nat\tserver MB\tworkers MB\tdescriptors\tthreads\tchildren\ttmp\tspool\trules\tmessages\trecycled\tended\tdeferred\tunscanned\t")
	for i, x := range all {
		at := x.at.String()
		if i == len(all)-1 {
			at = "then, quiet"
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", at, x.memory>>20, x.workers>>20, x.files, x.threads,
			x.children, x.tmp, x.spool, x.rules, x.messages, x.recycled, x.ended, x.deferred, x.unscanned)
	}
	w.Flush()
}

// mixture is what goes on beside the numbered messages.
type mixture struct {
	site    *site
	stop    chan bool
	wg      sync.WaitGroup
	mu      sync.Mutex
	wrong   []string
	sent    int
	reloads int
	changes int
}

func (m *mixture) start(t *testing.T) {
	t.Helper()
	m.site.account("add", "hanako@example.jp")
	m.site.account("subscribe", "hanako@example.jp")
	admin, err := control.Dial(t.Context(), m.site.Dir+"/state/control.sock")
	if err != nil {
		t.Fatal(err)
	}
	m.every(100*time.Millisecond, m.sender())
	m.every(5*time.Second, func() error {
		m.reloads++
		_, err := admin.Reload(t.Context())
		return err
	})
	m.every(300*time.Millisecond, func() error {
		kind := accounts.Paused
		if m.changes%2 == 1 {
			kind = accounts.Resumed
		}
		m.changes++
		_, err := admin.Change("hanako@example.jp", kind, accounts.Inbound, time.Time{}, "")
		return err
	})
	m.every(time.Second, func() error { // connections that break off
		c := dialMany(t, m.site.LMTP, 3)
		c.say(toJiro + "DATA\r\nSubject: x\r\n")
		c.close()
		return nil
	})
}

// every does something again and again until stopped.
func (m *mixture) every(pause time.Duration, f func() error) {
	m.wg.Go(func() {
		for {
			select {
			case <-m.stop:
				return
			case <-time.After(pause):
			}
			if err := f(); err != nil {
				m.mu.Lock()
				m.wrong = append(m.wrong, err.Error())
				m.mu.Unlock()
			}
		}
	})
}

// sender sends all messages of testdata in turn, and a large one, to a mailbox that is checked
// now and then and to one that is not; what arrived is taken away.
func (m *mixture) sender() func() error {
	names := append(testdata.Names(), "large")
	c := redial(m.site.LMTP)
	return func() error {
		name := names[m.sent%len(names)]
		m.sent++
		msg := mailOf(name)
		if !strings.HasSuffix(msg, "\r\n") {
			msg += "\r\n"
		}
		for _, reply := range c.deliver(msg, "hanako@example.jp", "jiro@example.jp") {
			if !strings.HasPrefix(reply, ok) {
				return fmt.Errorf("%s: %s", name, reply)
			}
		}
		for _, box := range []string{"hanako", "jiro"} {
			files, _ := filepath.Glob(m.site.Dir + "/mail/example.jp/" + box + "/Maildir/new/*")
			for _, f := range files {
				if err := os.Remove(f); err != nil {
					return err
				}
			}
		}
		return nil
	}
}
