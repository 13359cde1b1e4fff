//go:build torture

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// program is kiyome with changes, which are made while it is built: nothing of them is in the
// program itself. Without changes it is the one that is tested.
type program []change

// change is one of a source file: old is there exactly once.
type change struct {
	file     string // from the top of the module
	old, new string
}

// broken is a program with a fault of its own, by which the torture shows that it would see one.
type broken struct {
	name string
	seen string // the fault, as chapter/name, that must fail
	program
}

const (
	byOrder = "order/every kind of delivery is watched"
	byPower = "power/the power is cut under load"
)

var breaks = []broken{
	{"files are not synced", byPower, program{{"store/delivery.go", "err = f.sync()", "err = nil"}}},
	{"files are not synced", byOrder, program{{"store/delivery.go", "err = f.sync()", "err = nil"}}},
	{"folders are not synced", byPower, program{{"store/files.go", "return dir.sync()", "return nil"}}},
	{"folders are not synced", byOrder, program{{"store/files.go", "return dir.sync()", "return nil"}}},
	{"parents of new folders are not synced", byOrder, program{{"store/place.go", "err := s.files.syncDir(parent)", "err := error(nil)"}}},
	{"changes of accounts are not synced", byPower, program{{"accounts/file.go", "NoStatistics: true,", "NoStatistics: true, NoSync: true,"}}},
	{"an import is not synced", byPower, program{{"accounts/rewrite.go", "if err := b.bolt.Sync(); err != nil {", "if err := error(nil); err != nil {"}}},
	{"the place of an import is not synced", byPower, program{{"accounts/rewrite.go", "err := syncFolder(filepath.Dir(path))", "err := error(nil)"}}},
	{"a file shows before it is synced", byOrder, program{{"store/delivery.go", "err = f.sync()", "defer f.sync()"}}},
	{"tmp is not cleaned before the reply", byOrder, program{{"lmtp/session.go", "			job.close() // so that", "			// so that"}}},
	{"the message shows before its report", byOrder, program{{"store/delivery.go",
		"slices.Backward(d.staged) {\n		if err := d.show(slices.Concat(first, shared)",
		"slices.Backward(d.staged) {\n		if err := d.show(slices.Concat(shared, first)"}}},
	{"a sync that failed is no error", "storage/EIO when synced", program{{"store/delivery.go", "err = f.sync()", "f.sync()"}}},
	{"a sync that failed is tried again", "storage/EIO when synced", program{{"store/delivery.go", "err = f.sync()", "if err = f.sync(); err != nil {\nerr = f.sync()\n}"}}},
	{"a folder that was not synced is no error", "storage/EIO when his folder is synced", program{{"store/delivery.go",
		"if err := d.store.files.syncDir(folder); err != nil {\n		d.takeBack(shown)\n		return err",
		"if err := d.store.files.syncDir(folder); err != nil {\n		return nil"}}},
	{"what was shown is not taken back", "storage/EIO when his folder is synced", program{{"store/delivery.go",
		"if err := d.store.files.syncDir(folder); err != nil {\n		d.takeBack(shown)", "if err := d.store.files.syncDir(folder); err != nil {"}}},
	{"a fault of ours is a bounce", "storage/EIO when linked", program{{"lmtp/replies.go",
		"var fault = smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4,", "var fault = smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5,"}}},
	{"one recipient's fault is everybody's", "storage/tmp belongs to another", program{{"lmtp/job.go",
		"	d, again := j.over[r.key]\n", "	d, again := j.over[r.key]\n	for _, x := range j.over {\n		if x.err != nil {\n			d, again = x, true\n		}\n	}\n"}}},
	{"a full disk is a limit of the message", "storage/the scratch of what is unpacked is full", program{{"scan/engine.go", "e.arena.Fault(), ", ""}}},
	{"lost replies are not written down", "kill/replies are lost, and then the server is killed", program{{"lmtp/confirm.go", "err = u.memory.Add(memoryKey(u.digest, r), stepAll)", "err = nil"}}},
	{"SIGPIPE ends it", "kill/whoever reads the log is gone", program{{"cmd/kiyome/main.go", "signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)", ""}}},
	{"what a crash left in tmp stays", "kill/the server is killed at any moment", program{{"store/store.go", "if s.tidied.first(maildir) {", "if false {"}}},
	{"a dead worker is a clean message", "kill/workers are killed at any moment", program{{"scan/worker/pool.go", "		deaths++\n",
		"		return &scan.Verdict{Outcome: scan.Clean}, nil\n"}}},
	{"what ends workers is not remembered", "worker/the engine crashes", program{{"scan/worker/pool.go", "err := p.o.Poison.Add(key, version)", "err := error(nil)"}}},
	{"a message that was not handed over is to blame", "worker/a worker cannot be given the message", program{{"scan/worker/pool.go", "case errors.Is(err, errOurs):", "case false:"}}},
	{"a finding is lost with its worker", "worker/the engine crashes after a finding", program{{"scan/worker/pool.go", "if len(known) > 0 {", "if false {"}}},
	{"who is one too many hears nothing", "peer/more connections than allowed", program{{"lmtp/conn.go", "io.WriteString(nc, l.server.replies.line(err))", ""}}},
	{"a recipient given twice has two copies", "peer/the same recipient 150 times", program{{"lmtp/job.go", "d, again := j.over[r.key]", "d, again := j.over[\"\"]"}}},
	{"LF ends a message", "peer/false ends of a message", program{{"lmtp/data.go", "		i := d.lines(rest)\n",
		"		if k := bytes.Index(rest, []byte(\"\\n.\\r\\n\")); k >= 0 {\n			d.write(rest[:k+1])\n			return n + k + 4, true\n		}\n		i := d.lines(rest)\n"}}},
	{"a damaged record is no account", "accounts/a record is damaged", program{{"accounts/lookup.go", "return unsealRecord(key, value)\n	}\n	prefix",
		"r, err := unsealRecord(key, value)\n		if err != nil {\n			err = ErrUnknown\n		}\n		return r, err\n	}\n	prefix"}}},
	{"a damaged file is not looked through", "accounts/the file is damaged at random", program{{"accounts/file.go", "err = verifyPages(f, info.Size())", "err = nil"}}},
	{"a change that is said to be done is not", "accounts/eight admins at once, under load", program{{"accounts/db.go", "update(f func(*bolt.Tx) error) error {\n",
		"update(f func(*bolt.Tx) error) error {\n	if time.Now().UnixNano()%50 == 0 {\n		return nil\n	}\n"}}},
}

// TestTortureSeesWhatIsBroken builds each broken program and puts the fault on it that has
// to fail. BREAK is "all", or what the names of those that are wanted begin with.
func TestTortureSeesWhatIsBroken(t *testing.T) {
	wanted := os.Getenv("BREAK")
	if wanted == "" {
		t.Skip("BREAK is not set")
	}
	var table []line
	for _, b := range breaks {
		if wanted != "all" && !strings.HasPrefix(b.name, wanted) {
			continue
		}
		t.Run(b.name+"/"+b.seen, func(t *testing.T) {
			l := line{"broken", b.name, "broke off", b.seen, ""}
			defer func() { table = append(table, l) }()
			f := faultNamed(t, b.seen)
			if missing := lacking(f.needs); missing != "" {
				l.outcome, l.mailbox = "skipped", "needs "+missing
				t.Skip(l.mailbox)
			}
			r := f.run(t, b.program)
			l.outcome = "seen"
			if len(r.problems) == 0 {
				l.outcome = "NOT SEEN"
				t.Errorf("the program is broken, and %s has not seen it", b.seen)
				return
			}
			l.mailbox, _, _ = strings.Cut(r.problems[0], "\n")
			l.mailbox = fmt.Sprintf("%d problems: %.120s", len(r.problems), l.mailbox)
		})
	}
	printTable(table)
}

func faultNamed(t *testing.T, name string) fault {
	t.Helper()
	for _, c := range chapters() {
		for _, f := range c.faults {
			if c.name+"/"+f.name == name {
				return f
			}
		}
	}
	t.Fatalf("no fault %q", name)
	return fault{}
}

// install puts the program into a site.
func (p program) install(t *testing.T, s *site) {
	t.Helper()
	if len(p) == 0 {
		return
	}
	overlay := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(overlay, p.overlay(t), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "go", "build", "-overlay", overlay, "-o", s.kiyome, ".")
}

// overlay makes the changed files, and gives what the go command wants to know of them.
func (p program) overlay(t *testing.T) []byte {
	t.Helper()
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	texts, changed := map[string]string{}, map[string]string{}
	for _, c := range p {
		source := filepath.Join(top, c.file)
		if texts[source] == "" {
			texts[source] = string(readFile(t, source))
		}
		if n := strings.Count(texts[source], c.old); n != 1 {
			t.Fatalf("%s has %q %d times, want once: the change has to follow the code", c.file, c.old, n)
		}
		texts[source] = strings.Replace(texts[source], c.old, c.new, 1)
	}
	dir := t.TempDir()
	for source, text := range texts {
		changed[source] = filepath.Join(dir, strconv.Itoa(len(changed))+".go")
		if err := os.WriteFile(changed[source], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": changed})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
