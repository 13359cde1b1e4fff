//go:build torture

package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func killFaults() []fault {
	return []fault{
		{"the server is killed at any moment", "", killServer},
		{"workers are killed at any moment", "", killWorkers},
	}
}

const kills = 25

// killServer kills the server under load; the clients send again what was not
// acknowledged, as an MTA does.
func killServer(t *testing.T, p program) *result {
	r := &result{}
	s := tortured(t, p)
	s.start()
	l := startLoad(s, 4)
	var slowest time.Duration
	for range kills {
		time.Sleep(time.Duration(50+rand.IntN(700)) * time.Millisecond)
		s.kill()
		began := time.Now()
		s.start()
		slowest = max(slowest, time.Since(began))
	}
	r.problems = l.problems(s, false)
	left := tmpFiles(s)
	r.checkTidied(t, s)
	r.heard = fmt.Sprintf("250 × %d, %d replies lost in %d kills; back in %v at most", len(l.acked), len(l.lost), kills, slowest.Round(10*time.Millisecond))
	r.mailbox = fmt.Sprintf("%d lost, in part, without report or doubled; %d files in tmp, removed later", len(r.problems), len(left))
	return r
}

// tmpFiles lists what is in the tmp folders of all mailboxes.
func tmpFiles(s *site) []string {
	left, _ := filepath.Glob(s.Dir + "/mail/*/*/Maildir/tmp/*")
	return left
}

// checkTidied has what kills left in tmp grow old, and sees that the first delivery after a
// start removes it.
func (r *result) checkTidied(t *testing.T, s *site) {
	t.Helper()
	s.kill()
	old := time.Now().Add(-2 * time.Hour)
	for _, f := range tmpFiles(s) {
		if err := os.Chtimes(f, old, old); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	if reply := s.dial().deliver(mailOf("clean"), "taro@example.jp")[0]; !strings.HasPrefix(reply, ok) {
		r.wrong("after all kills: %s", reply)
	}
	if left := tmpFiles(s); len(left) > 0 {
		r.wrong("left in tmp: %q", left)
	}
}

func killWorkers(t *testing.T, p program) *result {
	r := &result{}
	s := tortured(t, p)
	s.start()
	l := startLoad(s, 4)
	killed := 0
	for range 4 * kills {
		time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
		workers := children(t, s.serve.Process.Pid)
		if len(workers) > 0 && unix.Kill(workers[rand.IntN(len(workers))], unix.SIGKILL) == nil {
			killed++
		}
	}
	r.problems = l.problems(s, true)
	if left := tmpFiles(s); len(left) > 0 {
		r.wrong("left in tmp: %q", left)
	}
	r.heard = fmt.Sprintf("250 × %d in %d kills", len(l.acked), killed)
	r.mailbox = fmt.Sprintf("%d lost, in part, without report or doubled", len(r.problems))
	return r
}
