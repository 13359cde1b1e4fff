//go:build torture

package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func killFaults() []fault {
	return []fault{
		{"the server is killed at any moment", "", killServer},
		{"the server is told to end at any moment", "", endServer},
		{"workers are killed at any moment", "", killWorkers},
		{"replies are lost, and then the server is killed", "", loseReplies},
		{"whoever reads the log is gone", "", withoutLog},
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
	if n := orphans(t, s); n > 0 {
		r.wrong("%d workers of servers that were killed are still there", n)
	}
	left := tmpFiles(s)
	r.checkTidied(t, s)
	r.heard = fmt.Sprintf("250 × %d, %d replies lost in %d kills; back in %v at most", len(l.acked), len(l.lost), kills, slowest.Round(10*time.Millisecond))
	r.mailbox = fmt.Sprintf("%d lost, in part, without report or doubled; %d files in tmp, removed later", len(r.problems), len(left))
	return r
}

// endServer ends the server in order under load: nothing is lost, and nothing doubled.
func endServer(t *testing.T, p program) *result {
	const ends = 8
	r := &result{}
	s := tortured(t, p)
	s.start()
	l := startLoad(s, 4)
	var slowest time.Duration
	for range ends {
		time.Sleep(time.Duration(50+rand.IntN(500)) * time.Millisecond)
		began := time.Now()
		s.stop() // which sees to the exit status
		slowest = max(slowest, time.Since(began))
		if left := tmpFiles(s); len(left) > 0 {
			r.wrong("left in tmp: %q", left)
		}
		s.start()
	}
	r.problems = append(r.problems, l.problems(s, false)...)
	copies := map[int]int{}
	for _, text := range s.maildir("taro") {
		if n, report := numberOf(text); !report {
			if copies[n]++; copies[n] == 2 {
				r.wrong("message %d is there twice", n)
			}
		}
	}
	r.heard = fmt.Sprintf("250 × %d in %d ends, of %v at most", len(l.acked), ends, slowest.Round(10*time.Millisecond))
	r.mailbox = fmt.Sprintf("%d lost, in part, without report or doubled; nothing in tmp", len(r.problems))
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

// loseReplies has clients go away without their replies, kills the server, and sends
// everything again: nobody has anything twice.
func loseReplies(t *testing.T, p program) *result {
	const messages = 40
	r := &result{}
	s := tortured(t, p)
	s.start()
	for n := range messages {
		msg, _ := numbered(n)
		c := dialMany(t, s.LMTP, 1)
		c.say("LHLO x\r\nMAIL FROM:<sender@example.com>\r\nRCPT TO:<taro@example.jp>\r\nDATA\r\n" + msg + ".\r\n")
		time.Sleep(time.Duration(n%8) * 3 * time.Millisecond) // some go before the message is there, some after it
		c.close()
	}
	before := status(t, s)
	for tries := 0; (before.LMTP.Sessions > 0 || before.LMTP.Messages < messages) && tries < 100; tries++ {
		time.Sleep(50 * time.Millisecond)
		before = status(t, s)
	}
	s.kill()
	s.start()
	c := s.dial()
	for n := range messages {
		msg, _ := numbered(n)
		if reply := c.deliver(msg, "taro@example.jp")[0]; !strings.HasPrefix(reply, ok) {
			r.wrong("message %d again: %s", n, reply)
		}
	}
	copies := map[int]int{}
	for _, text := range s.maildir("taro") {
		if n, report := numberOf(text); !report {
			copies[n]++
		}
	}
	for n := range messages {
		if copies[n] != 1 {
			r.wrong("message %d is there %d times", n, copies[n])
		}
	}
	repeated := status(t, s).LMTP.Repeated
	if repeated < messages/2 {
		r.wrong("only %d of %d were there already: that shows little", repeated, messages)
	}
	r.heard, r.mailbox = fmt.Sprintf("nothing, then 250 × %d", messages), fmt.Sprintf("each once; %d were there already", repeated)
	return r
}

// orphans counts the workers that no running server has.
func orphans(t *testing.T, s *site) (n int) {
	t.Helper()
	ours := children(t, s.serve.Process.Pid)
	processes, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, exe := range processes {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(exe)))
		if program, err := os.Readlink(exe); err == nil && program == s.kiyome && pid != s.serve.Process.Pid && !slices.Contains(ours, pid) {
			n++
		}
	}
	return n
}

// withoutLog has the server write its log to a pipe that nobody reads any more.
func withoutLog(t *testing.T, p program) *result {
	r := &result{}
	s := tortured(t, p)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := s.command("serve")
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	s.adopt(cmd)
	awaitPort(t, s.LMTP)
	read.Close()
	c, err := dialLMTP(s.LMTP)
	if err != nil {
		r.wrong("%v", err)
	}
	for i := 0; i < 3 && err == nil; i++ {
		r.heard = c.deliver(mailOf("attachment"), "taro@example.jp")[0]
		if !strings.HasPrefix(r.heard, ok) {
			r.wrong("%s", r.heard)
		}
	}
	select {
	case err := <-s.ended:
		r.wrong("the server has ended: %v", err)
		s.serve = nil
	case <-time.After(200 * time.Millisecond):
	}
	r.heard = r.heard[:min(9, len(r.heard))]
	r.mailbox = fmt.Sprintf("%d messages", len(s.maildir("taro")))
	return r
}
