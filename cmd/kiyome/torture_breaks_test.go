//go:build torture

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// broken is a program with a fault of its own, by which the torture shows that it would see
// one. Nothing of it is in the program itself: a copy of one source file is changed while
// that is built.
type broken struct {
	name     string
	file     string      // from the top of the module
	old, new string      // old is there exactly once
	more     [][2]string // further changes of that kind
	seen     string      // the faults, as chapter/name, of which one at least must fail
}

var breaks = []broken{
	{name: "files are not synced", file: "store/files.go", seen: "power/the power is cut under load",
		old: "return f.f.Sync()", new: "return nil"},
	{name: "files are not synced, seen by order", file: "store/files.go", seen: "order/every kind of delivery is watched",
		old: "return f.f.Sync()", new: "return nil"},
	{name: "folders are not synced", file: "store/files.go", seen: "power/the power is cut under load",
		old: "unix.Fsync(fd)", new: "error(nil)"},
	{name: "folders are not synced, seen by order", file: "store/files.go", seen: "order/every kind of delivery is watched",
		old: "unix.Fsync(fd)", new: "error(nil)"},
	{name: "parents of new folders are not synced", file: "store/place.go", seen: "order/every kind of delivery is watched",
		old: "err := s.files.syncDir(parent)", new: "err := error(nil)"},
	{name: "a file shows before it is synced", file: "store/delivery.go", seen: "order/every kind of delivery is watched",
		old: "err = f.sync()", new: "defer f.sync()"},
	{name: "tmp is not cleaned before the reply", file: "lmtp/session.go", seen: "order/every kind of delivery is watched",
		old: "			job.close() // so that", new: "			// so that"},
	{name: "the message shows before its report", file: "store/delivery.go", seen: "order/every kind of delivery is watched",
		old: "slices.Backward(d.staged) {\n\t\tif err := d.show(slices.Concat(first, shared)", new: "slices.Backward(d.staged) {\n\t\tif err := d.show(slices.Concat(shared, first)"},
	{name: "changes of accounts are not synced", file: "accounts/db.go", seen: "power/the power is cut under load",
		old: "NoStatistics: true,", new: "NoStatistics: true, NoSync: true,"},
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
		t.Run(b.name, func(t *testing.T) {
			l := line{"broken", b.name, "broke off", b.seen, ""}
			defer func() { table = append(table, l) }()
			f := faultNamed(t, b.seen)
			if missing := lacking(f.needs); missing != "" {
				l.outcome, l.mailbox = "skipped", "needs "+missing
				t.Skip(l.mailbox)
			}
			r := f.run(t, build(t, b))
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

// build builds a broken program and gives its path.
func build(t *testing.T, b broken) string {
	t.Helper()
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	source := filepath.Join(top, b.file)
	text := string(readFile(t, source))
	for _, change := range append([][2]string{{b.old, b.new}}, b.more...) {
		if n := strings.Count(text, change[0]); n != 1 {
			t.Fatalf("%s has %q %d times, want once: the break has to follow the code", b.file, change[0], n)
		}
		text = strings.Replace(text, change[0], change[1], 1)
	}
	changed := filepath.Join(dir, "changed.go")
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{source: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{changed: []byte(text), filepath.Join(dir, "overlay.json"): overlay} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "kiyome")
	cmd := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}
