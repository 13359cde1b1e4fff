package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/control"
	"kiyome/testdata"
)

func TestServeNeverMakesADatabaseAndRefusesOneThatIsNotRight(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(s *site, file string) // out of a good database, in its place
		says string
	}{
		{"missing", func(_ *site, file string) { os.Remove(file) }, "kiyome account add"},
		{"state folder missing", func(s *site, _ string) { os.RemoveAll(s.path("state")) }, "mounted"},
		{"empty", func(_ *site, file string) { os.Truncate(file, 0) }, "backup"},
		{"100 bytes", func(_ *site, file string) { os.Truncate(file, 100) }, "backup"},
		{"8 KiB", func(_ *site, file string) { os.Truncate(file, 8<<10) }, "backup"},
		{"cut inside a page", func(_ *site, file string) { os.Truncate(file, 13_000) }, "backup"},
		{"not a database", func(s *site, _ string) { s.write("state/accounts.db", strings.Repeat("mail", 10_000)) }, "accounts.db"},
		{"somebody else's database", func(s *site, file string) {
			os.Remove(file)
			db, err := bbolt.Open(file, 0o600, nil)
			if err != nil {
				s.t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				s.t.Fatal(err)
			}
		}, "accounts.db"},
		{"a newer version's", func(s *site, file string) {
			db, err := bbolt.Open(file, 0o600, nil)
			if err != nil {
				s.t.Fatal(err)
			}
			err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("kiyome")).Put([]byte("schema"), []byte("7")) })
			if err := errors.Join(err, db.Close()); err != nil {
				s.t.Fatal(err)
			}
		}, "7"},
		{"a folder", func(_ *site, file string) { os.Remove(file); os.Mkdir(file, 0o700) }, "a folder"},
		{"a link to nowhere", func(_ *site, file string) { os.Remove(file); os.Symlink("/nowhere/at/all", file) }, "a link to /nowhere/at/all, where nothing is"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, "")
			s.do("account", "add", "taro@example.jp")
			file := s.path("state/accounts.db")
			tt.make(s, file)
			before := digest(file)
			p := s.start("serve")
			status := s.exitOf(p)
			said := lastLines(p.said())
			if status != 2 || len(said) != 1 || !strings.Contains(said[0], tt.says) || !strings.Contains(said[0], s.path("state")) {
				t.Errorf("exit %d, want 2 and one line with %q:\n%s", status, tt.says, p.said())
			}
			if n := strings.Count(p.said(), "backup"); n > 1 {
				t.Errorf("it says %d times what to do: %s", n, p.said())
			}
			if after := digest(file); after != before {
				t.Error("the file was changed")
			}
		})
	}
}

// lastLines are the lines that a process wrote, those of the log left out.
func lastLines(said string) []string {
	var lines []string
	for line := range strings.Lines(said) {
		if !strings.HasPrefix(line, "time=") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// digest tells whether a file changed; "" when it cannot be read.
func digest(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))
}

func TestServeEndsWithStatusZero(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	p := s.serve()
	c := s.dialLMTP()
	r := bufio.NewReader(c)
	expect(t, r, "220")
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expect(t, r, "421") // idle clients are told
	if status := s.exitOf(p); status != 0 {
		t.Errorf("exit %d", status)
	}
	for _, name := range []string{"state/control.sock", "lmtp.sock"} {
		if _, err := os.Stat(s.path(name)); err == nil {
			t.Errorf("%s is left", name)
		}
	}
	s.script([]step{{"status", 1, "no server is running"}})
}

// expect reads one reply, which may have several lines.
func expect(t *testing.T, r *bufio.Reader, code string) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, code) {
			t.Fatalf("reply %q, %v; want %s", line, err, code)
		}
		if line[len(code)] != '-' {
			return
		}
	}
}

// conversation sends commands one by one and expects a reply to each.
func conversation(t *testing.T, c io.Writer, r *bufio.Reader, lines ...string) {
	t.Helper()
	for _, line := range lines {
		command, code, _ := strings.Cut(line, " -> ")
		if _, err := io.WriteString(c, command+"\r\n"); err != nil {
			t.Fatal(err)
		}
		expect(t, r, code)
	}
}

func TestAChangeHoldsForTheNextRecipient(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	s.serve()
	c := s.dialLMTP()
	r := bufio.NewReader(c)
	expect(t, r, "220")
	mailbox := s.path("mail/example.jp/taro/Maildir/new")
	send := func(message string) {
		t.Helper()
		conversation(t, c, r, "MAIL FROM:<a@example.com> -> 250", "RCPT TO:<taro@example.jp> -> 250", "DATA -> 354", message+"\r\n. -> 250")
	}
	conversation(t, c, r, "LHLO here -> 250", "MAIL FROM:<> -> 250", "RCPT TO:<hanako@example.jp> -> 550", "RSET -> 250")
	s.do("account", "add", "hanako@example.jp")
	conversation(t, c, r, "MAIL FROM:<> -> 250", "RCPT TO:<hanako@example.jp> -> 250", "RSET -> 250")

	infected := strings.TrimSuffix(string(testdata.MustMail("body")), "\r\n")
	send(infected)
	if n := files(t, mailbox); n != 1 {
		t.Errorf("without the service: %d messages", n)
	}
	s.do("account", "subscribe", "taro@example.jp")
	send(infected)
	if got := grep(t, mailbox, "X-Virus-Status: Infected"); got != 1 {
		t.Errorf("with the service: %d reports", got)
	}
	s.do("account", "pause", "taro@example.jp")
	send(infected)
	if n, got := files(t, mailbox), grep(t, mailbox, "X-Virus-Status:"); n != 3 || got != 1 {
		t.Errorf("paused: %d messages, %d of them marked", n, got)
	}
	s.do("account", "remove", "taro@example.jp")
	conversation(t, c, r, "MAIL FROM:<> -> 250", "RCPT TO:<taro@example.jp> -> 550", "QUIT -> 221")

	var status control.Status
	if err := json.Unmarshal([]byte(s.do("status", "--json")), &status); err != nil {
		t.Fatal(err)
	}
	if out := s.do("status", "--json"); strings.Contains(out, `"Version"`) || !strings.Contains(out, `"digest"`) {
		t.Errorf("status --json: %s", out)
	}
	if status.LMTP.Untouched != 2 || status.LMTP.ReportOnly != 1 || status.Accounts.Accounts != 1 || status.Rules.Version == "" {
		t.Errorf("status: %+v", status)
	}
	if out := s.do("status"); !strings.Contains(out, "2 untouched") || !strings.Contains(out, "in the sandbox") {
		t.Errorf("status: %s", out)
	}
}

func files(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// grep counts the files in dir that hold words.
func grep(t *testing.T, dir, words string) (n int) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n += count(bytes.Contains(b, []byte(words)))
	}
	return n
}

func TestASecondServerIsRefused(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	s.serve()
	p := s.start("serve")
	if status := s.exitOf(p); status != 2 || !strings.Contains(p.said(), "in use") {
		t.Errorf("exit %d\n%s", status, p.said())
	}
	s.script([]step{{"status", 0, "listening"}}) // the first one still answers
}

func TestAKilledServerLeavesNothingInTheWay(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	p := s.serve()
	p.Process.Kill()
	p.Wait()
	if _, err := os.Stat(s.path("state/control.sock")); err != nil {
		t.Fatal("no stale socket to test with")
	}
	s.script([]step{{"account subscribe taro@example.jp", 0, "subscribed"}})
	s.serve()
	s.script([]step{{"account show taro@example.jp", 0, "subscribed"}})
}

// awaitStopped waits until every thread of a process has stopped: the signal only begins that.
func (s *site) awaitStopped(pid int) {
	s.t.Helper()
	for range 500 {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		running := err != nil || len(files) == 0
		for _, f := range files {
			stat, _ := os.ReadFile(f)
			running = running || !strings.Contains(string(stat), ") T ")
		}
		if !running {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatal("the process does not stop")
}

func TestAFrozenServersDatabaseIsNotTouched(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	p := s.serve()
	if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	s.awaitStopped(p.Process.Pid)
	before := digest(s.path("state/accounts.db"))
	s.script([]step{{"account subscribe taro@example.jp", 2, "does not answer"}})
	if digest(s.path("state/accounts.db")) != before {
		t.Error("the database changed")
	}
	if err := p.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.script([]step{{"account show taro@example.jp", 0, "inbound   no"}})
}

func TestALockedDatabaseWithoutAServerIsToldAsSuch(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	db, err := accounts.Open(s.path("state/accounts.db"), accounts.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s.script([]step{{"account list", 2, "is another command at work?"}})
}

const goodRule = `rule Marker : test { meta: malware = "Test.Marker" score = 90 strings: $a = "a marker for the test" condition: $a }`

func TestReloadTakesGoodRulesOnly(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	p := s.serve()
	version := func() string {
		t.Helper()
		c, err := control.Dial(t.Context(), s.path("state/control.sock")) // the configuration is broken meanwhile
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		st, err := c.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if st.Rules.Version != st.Scan.Rules {
			t.Errorf("rules %s, but the workers have %s", st.Rules.Version, st.Scan.Rules)
		}
		return st.Rules.Version
	}
	first := version()

	s.configure("[rules.set.local]\nmin_score = 'high'")
	s.script([]step{{"rules reload --config " + s.path("good.toml"), 2, "no such file"}})
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.await(p, "min_score")
	if got := version(); got != first {
		t.Errorf("a bad configuration changed the rules to %s", got)
	}

	s.configure("rules.builtin = false") // the marker is left, which does not match EICAR
	s.write("rules/marker.yar", goodRule)
	s.script([]step{{"rules reload", 1, "EICAR"}})
	if got := version(); got != first {
		t.Errorf("rules that miss EICAR went into service: %s", got)
	}

	s.configure("inbound.sessions = 7")
	s.write("rules/broken.yar", "rule broken {")
	s.script([]step{{"rules reload", 0, "inbound.sessions"}})
	second := version()
	s.write("rules/marker.yar", goodRule+"}") // what served has a fault now: it goes on serving
	s.script([]step{{"rules reload", 1, "marker.yar"}})
	s.write("rules/marker.yar", goodRule)
	if second == first {
		t.Error("the new rules do not serve")
	}
	s.write("marked", "here is a marker for the test.")
	s.script([]step{
		{"scan " + s.path("marked"), 1, "Test.Marker"},
		{"rules disable local/Marke", 1, "no rule is named \"local/Marke\""},
		{"rules enable local/Marker", 1, "is not disabled"},
		{"rules disable *", 1, "the server would not start"},
		{"rules disable local/Marker", 0, "in service"},
		{"scan " + s.path("marked"), 0, "clean"},
		{"rules enable local/Marker", 0, "in service"},
		{"scan " + s.path("marked"), 1, "Test.Marker"},
		{"rules rollback", 0, first},
		{"scan " + s.path("marked"), 0, "clean"},
	})
	if got := version(); got != first {
		t.Errorf("rolled back to %s, want %s", got, first)
	}
}

func TestHangupPutsNewRulesInService(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	p := s.serve()
	s.write("rules/marker.yar", goodRule)
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.await(p, "rules in service")
	s.write("marked", "here is a marker for the test.")
	s.script([]step{{"scan " + s.path("marked"), 1, "Test.Marker"}})
}

func TestServeWithoutASandbox(t *testing.T) {
	s := newSite(t, `scan.sandbox = "off"`)
	s.do("account", "add", "taro@example.jp")
	s.do("account", "subscribe", "taro@example.jp")
	p := s.serve()
	c := s.dialLMTP()
	r := bufio.NewReader(c)
	expect(t, r, "220")
	conversation(t, c, r, "LHLO here -> 250", "MAIL FROM:<a@example.com> -> 250", "RCPT TO:<taro@example.jp> -> 250", "DATA -> 354",
		string(testdata.MustMail("attachment"))+". -> 250")
	if got := grep(t, s.path("mail/example.jp/taro/Maildir/new"), "X-Virus-Status: Cleaned"); got != 1 {
		t.Errorf("%d cleaned messages", got)
	}
	s.write("rules/marker.yar", goodRule)
	s.script([]step{{"rules reload", 0, "in service"}, {"status", 0, "WITHOUT a sandbox"}})
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := s.exitOf(p); status != 0 {
		t.Errorf("exit %d", status)
	}
}

func TestBackupsWhileAccountsChange(t *testing.T) {
	s := newSite(t, "")
	for i := range 20 {
		s.do("account", "add", fmt.Sprintf("a%d@example.jp", i))
	}
	s.serve()
	done := make(chan struct{})
	var changes sync.WaitGroup
	changes.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
				s.run("account", "subscribe", fmt.Sprintf("a%d@example.jp", i%20))
				s.run("account", "cancel", fmt.Sprintf("a%d@example.jp", i%20))
			}
		}
	})
	for i := range 20 {
		file := s.path(fmt.Sprintf("copy%d.db", i))
		s.do("backup", file)
		if err := accounts.CheckFile(file); err != nil {
			t.Errorf("copy %d: %v", i, err)
		}
		db, err := accounts.Open(file, accounts.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if problems, n, err := db.Check(); err != nil || n != 20 || len(problems) > 0 {
			t.Errorf("copy %d: %v, %d accounts, %v", i, problems, n, err)
		}
		db.Close()
	}
	close(done)
	changes.Wait()
}

func TestKilledCommandsLeaveAWholeState(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	subscribed := false
	for i := range 30 {
		verb := map[bool]string{false: "subscribe", true: "cancel"}[subscribed]
		c := exec.Command(self, "--config", s.file, "account", verb, "taro@example.jp")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i) * 2 * time.Millisecond) // kills at different moments
		c.Process.Kill()
		done := c.Wait() == nil
		out, status, err := s.run("account", "show", "--json", "taro@example.jp")
		var a accounts.Account
		if status != 0 || json.Unmarshal([]byte(out), &a) != nil {
			t.Fatalf("after a kill: exit %d, %v\n%s", status, err, out)
		}
		if done && a.Inbound.Subscribed == subscribed {
			t.Errorf("%s said that it was done, and was not", verb)
		}
		subscribed = a.Inbound.Subscribed
	}
	s.script([]step{{"account check", 0, "no problem"}})
}

func TestRulesAreTheOnesThatTheServerUses(t *testing.T) {
	s := newSite(t, "")
	s.write("rules/marker.yar", goodRule)
	s.write("hit", "a marker for the test")
	s.script([]step{
		{"rules check", 0, "in order"},
		{"rules build", 0, "version"},
		{"rules list", 0, "local/Marker"},
		{"rules list --json", 0, `"Malware": "Test.Marker"`},
		{"rules test " + s.path("hit"), 0, "local/Marker 90 Test.Marker"},
		{"rules test " + s.file, 1, "no rule matches"},
		{"rules reload", 1, "no server is running"},
		{"rules rollback", 1, "no compiled rules"},
	})
	s.write("rules/broken.yar", "rule broken {\n\tcondition: $nothing\n}")
	s.script([]step{
		{"rules check", 1, "broken.yar:3"},
		{"rules build", 0, "broken.yar:3"},
	})
}

func TestUnknownRecipientsGetWhatIsThereAlready(t *testing.T) {
	s := newSite(t, `inbound.unknown = "deliver"`)
	s.do("account", "add", "taro@example.jp")
	mailbox := s.path("mail/example.jp/old/Maildir")
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(mailbox, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s.serve()
	c := s.dialLMTP()
	r := bufio.NewReader(c)
	expect(t, r, "220")
	conversation(t, c, r, "LHLO here -> 250", "MAIL FROM:<> -> 250",
		"RCPT TO:<nobody@example.jp> -> 550", "RCPT TO:<../old@example.jp> -> 553", "RCPT TO:<OLD@Example.JP> -> 250",
		"DATA -> 354", string(testdata.MustMail("attachment"))+". -> 250")
	if n, marked := files(t, filepath.Join(mailbox, "new")), grep(t, filepath.Join(mailbox, "new"), "X-Virus-Status"); n != 1 || marked != 0 {
		t.Errorf("%d messages, %d of them marked", n, marked)
	}
}
