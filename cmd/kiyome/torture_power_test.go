//go:build torture

package main_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/control"
	"kiyome/store"
)

func powerFaults() []fault {
	return []fault{{"the power is cut under load", "root mkfs.ext4 e2fsck /dev/fuse /dev/loop-control", cutPower}}
}

const (
	powerTime   = 8 * time.Second // of load
	powerCuts   = 32
	powerStarts = 8 // of these cuts, every so many has a server started on it
)

// cutPower has a server work on a disk that is written down, and then asks of many moments
// what a power cut would have left.
func cutPower(t *testing.T, p program) *result {
	r := &result{}
	s := newSite(t)
	p.install(t, s)
	mnt := filepath.Join(s.Dir, "disk")
	d := newDisk(t, mnt)
	settle(t, s, mnt)
	s.folder("rules", 0o755, false)
	s.setting("rules", fmt.Sprintf("dirs = [%q]", s.Dir+"/rules"))
	s.account("add", "taro@example.jp")
	s.account("subscribe", "taro@example.jp")
	s.account("add", "jiro@example.jp")
	s.start()
	must(t, "sync", "-f", mnt)
	d.record()
	l := &powerLoad{site: s, disk: d, stop: make(chan bool)}
	l.run(t, powerTime)
	s.kill() // no orderly end: nothing may depend on one
	live := readBoxes(t, s.Dir+"/mail")
	random := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	checked, infected := 0, 0
	for i := range powerCuts {
		moment := l.moment(random, i)
		c := powerCut{t: t, site: s, load: l, moment: moment, live: live, result: r}
		c.check(d.cut(moment, random), (i+1)%powerStarts == 0)
		checked += c.checked
		infected += c.infected
	}
	r.heard = fmt.Sprintf("250 × %d, %d replies not waited for, %d accounts, %d imports", len(l.acks), l.dropped, len(l.accounts), len(l.imports))
	r.mailbox = fmt.Sprintf("%d cuts in %d writes and flushes: %d acknowledged messages looked for (%d infected), %d lost or not whole", powerCuts, d.moment(), checked, infected, len(r.problems))
	if len(l.acks) < 50 {
		r.wrong("only %d messages went through: that shows little", len(l.acks))
	}
	return r
}

// settle moves the folders of a site onto the disk that is mounted at mnt.
func settle(t *testing.T, s *site, mnt string) {
	t.Helper()
	for _, name := range []string{"state", "mail"} {
		to := filepath.Join(mnt, name)
		err := errors.Join(os.Remove(filepath.Join(s.Dir, name)), os.Mkdir(to, 0o700),
			os.Chown(to, int(s.uid), int(s.gid)), os.Symlink(to, filepath.Join(s.Dir, name)))
		if err != nil {
			t.Fatal(err)
		}
	}
}

// powerLoad sends numbered messages, adds accounts, and notes at which moment of the disk
// each was acknowledged.
type powerLoad struct {
	site *site
	disk *disk
	stop chan bool

	mu       sync.Mutex
	next     int
	acks     []ack
	accounts []ack
	dropped  int
	imports  []ack // the last account of each
	others   []string
}

// ack is what was acknowledged, and when.
type ack struct {
	box    string // local part of the mailbox
	number int    // of the message
	moment int
}

func (l *powerLoad) run(t *testing.T, d time.Duration) {
	t.Helper()
	admin, err := control.Dial(t.Context(), l.site.Dir+"/state/control.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { l.client(admin) })
	}
	wg.Go(func() { l.reload(admin) })
	wg.Go(func() { l.importMany(admin) })
	time.Sleep(d)
	close(l.stop)
	wg.Wait()
	if len(l.others) > 0 {
		t.Errorf("%d replies that are not 250, the first: %s", len(l.others), l.others[0])
	}
}

func (l *powerLoad) client(admin *control.Client) {
	c := redial(l.site.LMTP)
	defer func() { c.conn.Close() }()
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
		boxes := []string{"taro"}
		switch n % 4 {
		case 1:
			boxes = []string{"jiro", "taro"}
		case 2:
			boxes = []string{l.newAccount(admin, n)} // whose Maildir is not there yet
		}
		if n%11 == 3 {
			l.drop(n, boxes)
		}
		msg, _ := numbered(n)
		for i, reply := range c.deliver(msg, addresses(boxes)...) {
			l.note(boxes[i], n, reply)
		}
	}
}

// reload puts other rules in service again and again, which are kept in state_dir.
func (l *powerLoad) reload(admin *control.Client) {
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		case <-time.After(500 * time.Millisecond):
		}
		text := fmt.Sprintf("rule New%d { strings: $a = \"no message has this %d\" condition: $a }\n", n, n)
		err := os.WriteFile(l.site.Dir+"/rules/new.yar", []byte(text), 0o644)
		if err == nil {
			_, err = admin.Reload(context.Background())
		}
		if err != nil {
			l.mu.Lock()
			l.others = append(l.others, err.Error())
			l.mu.Unlock()
		}
	}
}

// importRows is how many accounts are imported at once: enough for a copy of the database to
// take its place.
const importRows = 11_000

// importMany imports accounts with the service, many at once, of which all are there or none.
func (l *powerLoad) importMany(admin *control.Client) {
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		case <-time.After(1500 * time.Millisecond):
		}
		var table strings.Builder
		table.WriteString("address,inbound\n")
		for i := range importRows {
			fmt.Fprintf(&table, "import%d-%d@example.jp,subscribed\n", n, i)
		}
		_, err := admin.Import(strings.NewReader(table.String()), accounts.ImportOptions{})
		moment := l.disk.moment()
		l.mu.Lock()
		if err != nil {
			l.others = append(l.others, err.Error())
		} else {
			l.imports = append(l.imports, ack{box: fmt.Sprintf("import%d-%d", n, importRows-1), moment: moment})
		}
		l.mu.Unlock()
	}
}

func addresses(boxes []string) (all []string) {
	for _, b := range boxes {
		all = append(all, b+"@example.jp")
	}
	return all
}

func (l *powerLoad) note(box string, n int, reply string) {
	moment := l.disk.moment()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !strings.HasPrefix(reply, "250 ") {
		l.others = append(l.others, reply)
		return
	}
	l.acks = append(l.acks, ack{box, n, moment})
}

// drop sends a message and does not wait for the replies: what was done is then to be
// remembered.
func (l *powerLoad) drop(n int, boxes []string) {
	c, err := dialLMTP(l.site.LMTP)
	if err != nil {
		return
	}
	go func() { time.Sleep(time.Duration(n%7) * 3 * time.Millisecond); c.conn.Close() }()
	msg, _ := numbered(n)
	c.deliver(msg, addresses(boxes)...)
	l.mu.Lock()
	l.dropped++
	l.mu.Unlock()
}

// newAccount adds an account with the service.
func (l *powerLoad) newAccount(admin *control.Client, n int) string {
	box := fmt.Sprintf("new%d", n)
	_, err := admin.Add(accounts.NewAccount{Address: box + "@example.jp"})
	if err == nil {
		_, err = admin.Change(box+"@example.jp", accounts.Subscribed, accounts.Inbound, time.Time{}, "")
	}
	moment := l.disk.moment()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.others = append(l.others, err.Error())
	} else {
		l.accounts = append(l.accounts, ack{box: box, moment: moment})
	}
	return box
}

// moment picks one: that at which a message was just acknowledged, or an account, or an
// import, or any.
func (l *powerLoad) moment(random *rand.Rand, i int) int {
	kinds := [][]ack{l.acks, l.accounts, l.imports, nil}
	if kind := kinds[i%len(kinds)]; len(kind) > 0 {
		return kind[random.IntN(len(kind))].moment
	}
	return random.IntN(l.disk.moment() + 1)
}

// boxes are the messages in mailboxes: by mailbox, then by file name.
type boxes map[string]map[string]string

func readBoxes(t *testing.T, root string) boxes {
	t.Helper()
	all := boxes{}
	files, err := filepath.Glob(root + "/example.jp/*/Maildir/new/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		box := filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(f))))
		if all[box] == nil {
			all[box] = map[string]string{}
		}
		all[box][filepath.Base(f)] = string(readFile(t, f))
	}
	return all
}

// numberOf gives the number of a message or of its report; -1 for one that is not whole.
func numberOf(mail string) (n int, report bool) {
	_, rest, _ := strings.Cut(mail, "<number")
	digits, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return -1, false
	}
	return n, strings.Contains(mail, "X-Virus-Status: Infected\r\n")
}

// powerCut is what is left after one cut.
type powerCut struct {
	t      *testing.T
	site   *site
	load   *powerLoad
	moment int
	live   boxes // what the mailboxes held at the end, without a cut
	result *result

	checked, infected int
}

// check mounts what is left, which replays the journal, and looks for everything that had been
// acknowledged. With start, a server is started on it.
func (c *powerCut) check(left []byte, start bool) {
	c.t.Helper()
	image := filepath.Join(c.site.Dir, "cut.image")
	if err := os.WriteFile(image, left, 0o600); err != nil {
		c.t.Fatal(err)
	}
	mnt := filepath.Join(c.site.Dir, "cut")
	mount(c.t, image, mnt)
	c.checkMail(readBoxes(c.t, mnt+"/mail"))
	c.checkState(mnt + "/state")
	unmount(mnt)
	if out, err := exec.Command("e2fsck", "-f", "-n", image).CombinedOutput(); err != nil {
		c.wrong("the file system is not sound: %v\n%s", err, out)
	}
	if start {
		c.serve(image, mnt)
	}
}

func (c *powerCut) wrong(format string, args ...any) {
	c.result.wrong("cut at %d: %s", c.moment, fmt.Sprintf(format, args...))
}

func (c *powerCut) checkMail(left boxes) {
	type mail struct {
		box    string
		number int
		report bool
	}
	there := map[mail]bool{}
	for box, files := range left {
		for name, text := range files {
			n, report := numberOf(text)
			there[mail{box, n, report}] = true
			if whole := c.live[box][name]; text != whole {
				c.wrong("%s/new/%s has %d bytes and is not the message of %d bytes that was delivered", box, name, len(text), len(whole))
			}
		}
	}
	for m := range there {
		if _, infected := numbered(m.number); infected && m.box != "jiro" && !m.report && !there[mail{m.box, m.number, true}] {
			c.wrong("message %d is in %s without its report", m.number, m.box)
		}
	}
	for _, a := range c.load.acks {
		if a.moment > c.moment {
			continue
		}
		c.checked++
		_, infected := numbered(a.number)
		if !there[mail{a.box, a.number, false}] {
			c.wrong("message %d to %s was acknowledged at %d and is lost", a.number, a.box, a.moment)
		}
		if infected && a.box != "jiro" {
			c.infected++
			if !there[mail{a.box, a.number, true}] {
				c.wrong("message %d to %s was acknowledged at %d, and its report is lost", a.number, a.box, a.moment)
			}
		}
	}
}

// checkState opens what a server opens when it starts.
func (c *powerCut) checkState(dir string) {
	db, err := accounts.Open(filepath.Join(dir, "accounts.db"), accounts.Options{})
	if err != nil {
		c.wrong("%v", err)
		return
	}
	defer db.Close()
	if problems, _, err := db.Check(); err != nil || len(problems) > 0 {
		c.wrong("accounts: %v %q", err, problems)
	}
	for _, a := range slices.Concat(c.load.accounts, c.load.imports) {
		if a.moment > c.moment {
			continue
		}
		if found, err := db.Lookup(a.box + "@example.jp"); err != nil || !found.Inbound.Active() {
			c.wrong("account %s was added and subscribed at %d, and is not: %v", a.box, a.moment, err)
		}
	}
	if problem := halfImport(db); problem != "" {
		c.wrong("%s", problem)
	}
	for _, name := range []string{"delivered", "poison"} {
		if _, err := store.OpenMemory(filepath.Join(dir, name), 6*24*time.Hour); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.wrong("the memory %s: %v", name, err)
		}
	}
}

// halfImport tells of an import of which the first account is there and the last is not, or
// the other way round.
func halfImport(db *accounts.DB) string {
	for n := 0; ; n++ {
		_, first := db.Lookup(fmt.Sprintf("import%d-0@example.jp", n))
		_, last := db.Lookup(fmt.Sprintf("import%d-%d@example.jp", n, importRows-1))
		if (first == nil) != (last == nil) {
			return fmt.Sprintf("import %d is there in part: %v, %v", n, first, last)
		}
		if first != nil {
			return ""
		}
	}
}

// serve starts the server on what is left, as it would be when the power is back, and
// delivers.
func (c *powerCut) serve(image, mnt string) {
	mount(c.t, image, mnt)
	for _, name := range []string{"state", "mail"} { // where they lay
		link := filepath.Join(c.site.Dir, name)
		if err := errors.Join(os.Remove(link), os.Symlink(filepath.Join(mnt, name), link)); err != nil {
			c.t.Fatal(err)
		}
	}
	defer unmount(mnt)
	if said, ended := c.site.refuses(c.t); ended {
		c.wrong("the server does not start: %s", said)
		return
	}
	defer c.site.kill()
	msg, _ := numbered(5)
	if reply := c.site.dial().deliver(msg, "taro@example.jp")[0]; !strings.HasPrefix(reply, "250 ") {
		c.wrong("after it: %s", reply)
	}
	found := 0
	for _, text := range c.site.maildir("taro") {
		if n, report := numberOf(text); n == 5 && report {
			found++
		}
	}
	if found == 0 {
		c.wrong("what the server started with does not find the test virus")
	}
}
