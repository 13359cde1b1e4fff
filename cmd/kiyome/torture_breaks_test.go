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
	file     string // from the top of the module
	old, new string // old is there exactly once
	seen     string // the faults, as chapter/name, of which one at least must fail
}

var breaks = []broken{
	{"files are not synced", "store/files.go", "return f.f.Sync()", "return nil",
		"power/the power is cut under load"},
	{"files are not synced, seen by order", "store/files.go", "return f.f.Sync()", "return nil",
		"order/every kind of delivery is watched"},
	{"folders are not synced", "store/files.go", "unix.Fsync(fd)", "error(nil)",
		"power/the power is cut under load"},
	{"folders are not synced, seen by order", "store/files.go", "unix.Fsync(fd)", "error(nil)",
		"order/every kind of delivery is watched"},
	{"parents of new folders are not synced", "store/place.go", "err := s.files.syncDir(parent)", "err := error(nil)",
		"order/every kind of delivery is watched"},
	{"a file shows before it is synced", "store/delivery.go", "err = f.sync()", "defer f.sync()",
		"order/every kind of delivery is watched"},
	{"tmp is not cleaned before the reply", "lmtp/session.go", "			job.close() // so that", "			// so that",
		"order/every kind of delivery is watched"},
	{"the message shows before its report", "store/delivery.go", "slices.Backward(d.staged) {\n\t\tif err := d.show(slices.Concat(first, shared)", "slices.Backward(d.staged) {\n\t\tif err := d.show(slices.Concat(shared, first)",
		"order/every kind of delivery is watched"},
	{"changes of accounts are not synced", "accounts/db.go", "NoStatistics: true,", "NoStatistics: true, NoSync: true,",
		"power/the power is cut under load"},
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
	if strings.Count(text, b.old) != 1 {
		t.Fatalf("%s has %q %d times, want once: the break has to follow the code", b.file, b.old, strings.Count(text, b.old))
	}
	changed := filepath.Join(dir, "changed.go")
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{source: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{changed: []byte(strings.Replace(text, b.old, b.new, 1)), filepath.Join(dir, "overlay.json"): overlay} {
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
