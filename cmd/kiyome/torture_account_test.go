//go:build torture

package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/control"
)

func accountFaults() []fault {
	faults := []fault{
		{"the file is damaged at random", "", damagedFile},
		{"the file may not be read", "root", unreadableFile},
		{"a record is damaged", "", damagedRecord},
		{"the history of removals is damaged", "", damagedHistory},
		{"eight admins at once, under load", "", admins},
		{"a second server", "", secondServer},
		{"a change cannot be synced", "strace", failingChange(injected("fdatasync:error=EIO"))},
		{"a change has no room", "strace", failingChange(injected("pwrite64:error=ENOSPC"))},
	}
	for _, away := range []struct {
		name string
		take func(file string) error
		may  string // what RCPT may hear besides 451
	}{
		{"removed", os.Remove, "250"},
		{"replaced by nonsense", func(file string) error {
			return errors.Join(os.WriteFile(file+".new", []byte("x"), 0o644), os.Rename(file+".new", file))
		}, "250"},
		{"cut to nothing", func(file string) error { return os.Truncate(file, 0) }, ""},
		{"cut to a page", func(file string) error { return os.Truncate(file, 4096) }, ""},
		{"cut inside a page", func(file string) error { return os.Truncate(file, 13_000) }, ""},
		{"given to another", func(file string) error { return os.Chmod(file, 0) }, "250"},
	} {
		faults = append(faults, fault{"the file is " + away.name + " while it is open", "", func(t *testing.T, p program) *result {
			return takenAway(t, p, away.take, away.may)
		}})
	}
	return faults
}

const population = 60 // accounts; every third has the service

// populated is a site with accounts, and the name of their file; no server runs.
func populated(t *testing.T, p program) (s *site, file string) {
	t.Helper()
	s = tortured(t, p)
	var table strings.Builder
	table.WriteString("address,inbound\n")
	for i := range population {
		fmt.Fprintf(&table, "a%d@example.jp,%s\n", i, []string{"subscribed", "no", "no"}[i%3])
	}
	list := filepath.Join(s.Dir, "accounts.csv")
	if err := os.WriteFile(list, []byte(table.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	s.account("import", list)
	return s, filepath.Join(s.Dir, "state/accounts.db")
}

// asked tells what RCPT hears for all accounts: how often each code.
func asked(s *site) map[string]int {
	count := map[string]int{}
	c := redial(s.LMTP)
	defer c.conn.Close()
	c.say("MAIL FROM:<a@example.com>")
	for i := range population {
		count[c.say(fmt.Sprintf("RCPT TO:<a%d@example.jp>", i))[:3]]++
	}
	return count
}

// checkChecked delivers an infected message to all accounts that can be told: those with the
// service get it cleaned.
func (r *result) checkChecked(s *site, n int) {
	c := redial(s.LMTP)
	defer c.conn.Close()
	for i := range n {
		box := fmt.Sprintf("a%d", i)
		reply := c.deliver(mailOf("attachment"), box+"@example.jp")[0]
		got := strings.Join(s.maildir(box), "")
		switch {
		case strings.HasPrefix(reply, "451 "):
			c.say("RSET")
		case !strings.HasPrefix(reply, ok):
			r.wrong("%s: %s", box, reply)
		case strings.Contains(got, "X-Virus-Status: Cleaned") != (i%3 == 0):
			r.wrong("%s has the service: %v; it has %d bytes of mail, cleaned: %v", box, i%3 == 0, len(got), i%3 != 0)
		}
	}
}

// damagedFile starts the server with a file that something was done to: it refuses, or
// answers rightly for every account, or 451; never 550, and nothing goes unchecked.
func damagedFile(t *testing.T, p program) *result {
	r := &result{}
	s, file := populated(t, p)
	good := readFile(t, file)
	random := rand.New(rand.NewPCG(3, uint64(time.Now().UnixNano())))
	refused, served, unsure := 0, 0, 0
	for i := range 60 {
		data, what := damage(good, random)
		if i < 2 { // each of the pages that say where all others are
			data, what = bytes.Clone(good), fmt.Sprintf("page %d zeroed", i)
			clear(data[i*4096 : (i+1)*4096])
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if said, ended := s.refuses(t); ended {
			refused++
			if !strings.Contains(said, file) || strings.Contains(said, "goroutine ") || strings.Contains(said, "SIGBUS") {
				r.wrong("%s: it says %q", what, said)
			}
			continue
		}
		served++
		count := asked(s)
		if count["250"]+count["451"] != population {
			r.wrong("%s: RCPT hears %v", what, count)
		}
		unsure += count["451"]
		r.checkChecked(s, 6)
		s.kill()
		os.RemoveAll(s.Dir + "/mail/example.jp")
	}
	r.heard = fmt.Sprintf("60 damages: %d refused at start, %d served: 451 for %d accounts, 250 for all others, 550 for none", refused, served, unsure)
	r.mailbox = "checked where the service is"
	return r
}

func unreadableFile(t *testing.T, p program) *result {
	r := &result{}
	s, file := populated(t, p)
	if err := os.Chmod(file, 0); err != nil {
		t.Fatal(err)
	}
	said, ended := s.refuses(t)
	if !ended || !strings.Contains(said, file) || !strings.Contains(said, "run as the user to whom it belongs") {
		r.wrong("ended: %v, it says %q", ended, said)
	}
	if !ended {
		s.kill()
	}
	r.heard, r.mailbox = "it does not start, and says why", "nothing"
	return r
}

// damage does something to a file, and says what.
func damage(good []byte, random *rand.Rand) (data []byte, what string) {
	data = bytes.Clone(good)
	at := random.IntN(len(data))
	page := at / 4096 * 4096
	switch random.IntN(6) {
	case 0:
		return data[:at], fmt.Sprintf("cut to %d bytes", at)
	case 1:
		clear(data[page : page+4096])
		return data, fmt.Sprintf("page at %d zeroed", page)
	case 2:
		for i := range data[page : page+4096] {
			data[page+i] = byte(random.Uint32())
		}
		return data, fmt.Sprintf("page at %d is noise", page)
	case 3:
		copy(data[page:page+4096], good[random.IntN(len(good)/4096)*4096:])
		return data, fmt.Sprintf("another page in the place of that at %d", page)
	case 4:
		for i := at; i < min(at+512, len(data)); i++ {
			data[i] ^= byte(random.Uint32())
		}
		return data, fmt.Sprintf("512 bytes at %d are noise", at)
	}
	data[at] ^= 1 << random.IntN(8)
	return data, fmt.Sprintf("a bit at %d flipped", at)
}

// refuses starts a server that may refuse to; said is what it says then.
func (s *site) refuses(t *testing.T) (said string, ended bool) {
	t.Helper()
	cmd := s.command("serve")
	var log syncLog
	cmd.Stdout, cmd.Stderr = &log, &log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() { gone <- cmd.Wait() }()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		select {
		case <-gone:
			return log.String(), true
		default:
		}
		if c, err := dialLMTP(s.LMTP); err == nil {
			c.conn.Close()
			s.serve, s.ended, s.cleans = cmd, gone, true
			return "", false
		}
	}
	t.Fatalf("it neither serves nor ends:\n%s", log.String())
	return "", false
}

// damagedRecord changes one account's record on the disk.
func damagedRecord(t *testing.T, p program) *result {
	r := &result{}
	s, file := populated(t, p)
	db, err := bbolt.Open(file, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("accounts"))
		record := bytes.Clone(b.Get([]byte("a3@example.jp")))
		record[len(record)/2] ^= 4
		return b.Put([]byte("a3@example.jp"), record)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s.start()
	count := asked(s)
	if count["451"] != 1 || count["250"] != population-1 {
		r.wrong("RCPT hears %v", count)
	}
	if reply := s.dial().deliver("Subject: x\r\n\r\n", "a3@example.jp")[0]; !strings.HasPrefix(reply, ours) {
		r.wrong("the damaged one: %s", reply)
	}
	if out, err := s.command("account", "check").CombinedOutput(); err == nil || !strings.Contains(string(out), "a3@example.jp") {
		r.wrong("account check: %v, %s", err, out)
	}
	r.heard, r.mailbox = "451 for that account, 250 for 59", "account check names it"
	return r
}

// damagedHistory starts the server with a history of removals that something was done to: no
// mail depends on it.
func damagedHistory(t *testing.T, p program) *result {
	r := &result{}
	s, _ := populated(t, p)
	s.start()
	r.checkChecked(s, 6)
	s.stop()
	file := filepath.Join(s.Dir, "state/removals.db")
	good := readFile(t, file)
	random := rand.New(rand.NewPCG(5, uint64(time.Now().UnixNano())))
	const times = 12
	for i := range times {
		data, what := damage(good, random)
		err := os.WriteFile(file, data, 0o600)
		if i == times-1 {
			what, err = "a folder", errors.Join(os.Remove(file), os.Mkdir(file, 0o700))
		}
		if err != nil {
			t.Fatal(err)
		}
		if said, ended := s.refuses(t); ended {
			r.wrong("%s: the server does not start: %s", what, said)
			continue
		}
		r.checkChecked(s, 6)
		s.kill()
	}
	r.heard, r.mailbox = fmt.Sprintf("%d damages: 250 × 6 each time", times), "checked where the service is"
	return r
}

// takenAway does something to the file while the server has it open.
func takenAway(t *testing.T, p program, take func(file string) error, may string) *result {
	r := &result{}
	s, file := populated(t, p)
	s.start()
	if err := take(file); err != nil {
		t.Fatal(err)
	}
	count := asked(s)
	if count[may]+count["451"] != population || may == "" && count["451"] != population {
		r.wrong("RCPT hears %v", count)
	}
	if may != "" {
		r.checkChecked(s, 6)
	}
	if out, err := s.command("account", "add", "new@example.jp").CombinedOutput(); (err == nil) != (may == "250" && sameFile(t, file)) {
		r.wrong("a change: %v, %s", err, out)
	}
	if s.serve.Process.Signal(syscall.Signal(0)) != nil {
		r.wrong("the server has ended")
	}
	r.heard, r.mailbox = fmt.Sprint(count), "checked where the service is, and could be told"
	if may == "" {
		r.mailbox = "nothing"
	}
	s.kill() // it may not be able to end in order: that is not asked here
	return r
}

// sameFile reports whether a database is still behind the name.
func sameFile(t *testing.T, file string) bool {
	t.Helper()
	info, err := os.Stat(file)
	return err == nil && info.Size() > 4096
}

// Eight admins, each of whom makes so many changes.
const (
	adminCount = 8
	adminEach  = 200
)

// admins has clients change accounts while recipients are asked for and backups are made; what
// each was told holds, and no recipient hears anything that the state does not say.
func admins(t *testing.T, p program) *result {
	r := &result{}
	s, file := populated(t, p)
	s.start()
	ask := &askers{stop: make(chan bool)}
	ask.start(s, 2)
	var changes sync.WaitGroup
	for admin := range adminCount {
		changes.Go(func() {
			if err := changeMany(t, s, admin); err != nil {
				ask.note(err.Error())
			}
		})
	}
	backups := r.backups(t, s)
	changes.Wait()
	r.problems = append(r.problems, ask.end()...)
	s.kill()
	r.checkAdmins(t, file)
	r.heard = fmt.Sprintf("RCPT 250 × %d, 99 %% within %v; %d changes, each in its place", len(ask.took), ask.took[len(ask.took)*99/100].Round(10*time.Microsecond), adminCount*adminEach)
	r.mailbox = fmt.Sprintf("%d backups made meanwhile are whole", backups)
	return r
}

// checkAdmins sees that every change is in the file.
func (r *result) checkAdmins(t *testing.T, file string) {
	t.Helper()
	db, err := accounts.Open(file, accounts.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for admin := range adminCount {
		a, err := db.Get(fmt.Sprintf("admin%d@example.jp", admin))
		events, herr := db.History(a.Address)
		if err != nil || herr != nil || !a.Inbound.Active() || len(events) != adminEach {
			r.wrong("admin %d: %+v, %d events, want %d; %v %v", admin, a.Inbound, len(events), adminEach, err, herr)
		}
	}
	if problems, _, err := db.Check(); err != nil || len(problems) > 0 {
		r.wrong("check: %v %q", err, problems)
	}
}

// askers ask for recipients, as fast as they are answered.
type askers struct {
	stop  chan bool
	wg    sync.WaitGroup
	mu    sync.Mutex
	took  []time.Duration // for each answer; ascending at the end
	wrong []string
}

func (a *askers) start(s *site, clients int) {
	for range clients {
		a.wg.Go(func() {
			c := redial(s.LMTP)
			defer c.conn.Close()
			for i := 0; ; i++ {
				select {
				case <-a.stop:
					return
				default:
				}
				if i%500 == 0 { // of a thousand that a transaction may have
					c.say("RSET")
					c.say("MAIL FROM:<a@example.com>")
				}
				a.ask(c, i%population)
			}
		})
	}
}

func (a *askers) ask(c *lmtpClient, i int) {
	began := time.Now()
	reply := c.say(fmt.Sprintf("RCPT TO:<a%d@example.jp>", i))
	took := time.Since(began)
	if !strings.HasPrefix(reply, "250 ") {
		a.note("RCPT: " + reply)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.took = append(a.took, took)
}

func (a *askers) note(problem string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wrong = append(a.wrong, problem)
}

// end stops them, and gives what was not as it has to be.
func (a *askers) end() []string {
	close(a.stop)
	a.wg.Wait()
	slices.Sort(a.took)
	return a.wrong
}

// changeMany makes all changes of an admin.
func changeMany(t *testing.T, s *site, admin int) error {
	c, err := control.Dial(t.Context(), s.Dir+"/state/control.sock")
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range adminEach {
		if err := changeAccount(c, admin, i); err != nil {
			return fmt.Errorf("admin %d, change %d: %w", admin, i, err)
		}
	}
	return nil
}

// changeAccount makes the nth change of an admin, of an account of his own: it is added,
// subscribed, then paused and resumed again and again.
func changeAccount(c *control.Client, admin, n int) error {
	address := fmt.Sprintf("admin%d@example.jp", admin)
	if n == 0 {
		_, err := c.Add(accounts.NewAccount{Address: address})
		return err
	}
	kind := accounts.Paused
	if n%2 == 1 {
		kind = accounts.Resumed
	}
	if n == 1 {
		kind = accounts.Subscribed
	}
	_, err := c.Change(address, kind, accounts.Inbound, time.Time{}, "")
	return err
}

// backups makes some, and sees that each is whole.
func (r *result) backups(t *testing.T, s *site) int {
	t.Helper()
	const n = 10
	for i := range n {
		file := filepath.Join(s.Dir, "state", fmt.Sprintf("copy%d.db", i))
		out, err := s.command("backup", file).CombinedOutput()
		if err == nil {
			err = accounts.CheckFile(file)
		}
		if err != nil {
			r.wrong("backup: %v %s", err, out)
		}
	}
	return n
}

func secondServer(t *testing.T, p program) *result {
	r := &result{}
	s, _ := populated(t, p)
	s.start()
	began := time.Now()
	out, err := s.command("serve").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "in use") {
		r.wrong("the second: %v, %s", err, out)
	}
	if count := asked(s); count["250"] != population {
		r.wrong("the first: %v", count)
	}
	r.heard, r.mailbox = fmt.Sprintf("the second ends after %v, and says why", time.Since(began).Round(100*time.Millisecond)), "the first serves on"
	return r
}

// failingChange has changes of accounts fail in the file: they say so, leave the old state, and
// mail goes on.
func failingChange(on func(t *testing.T, s *site) (off func())) func(t *testing.T, p program) *result {
	return func(t *testing.T, p program) *result {
		r := &result{}
		s, _ := populated(t, p)
		s.start()
		off := on(t, s)
		out, err := s.command("account", "subscribe", "a1@example.jp").CombinedOutput()
		if err == nil {
			r.wrong("a change that cannot be kept says that it was done: %s", out)
		}
		said, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		count := asked(s)
		if count["250"] != population {
			r.wrong("RCPT hears %v", count)
		}
		off()
		r.checkChecked(s, 6) // a1 has no service, as before
		if out, err := s.command("account", "subscribe", "a1@example.jp").CombinedOutput(); err != nil {
			r.wrong("after the fault, without a restart: %v, %s", err, out)
		}
		r.heard, r.mailbox = fmt.Sprintf("%.60s…; RCPT 250 × %d", said, count["250"]), "checked as before; the next change succeeds"
		return r
	}
}
