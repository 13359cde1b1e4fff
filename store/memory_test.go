package store

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

const sixDays = 6 * 24 * time.Hour

func key(s string) [32]byte { return sha256.Sum256([]byte(s)) }

func open(t *testing.T, dir string) *Memory {
	t.Helper()
	m, err := OpenMemory(dir, sixDays)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func add(t *testing.T, m *Memory, name, value string) {
	t.Helper()
	if err := m.Add(key(name), value); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, m *Memory, name, value string) {
	t.Helper()
	if got, ok := m.Get(key(name)); !ok || got != value {
		t.Errorf("%s: %q, %v; want %q", name, got, ok, value)
	}
}

func hasNot(t *testing.T, m *Memory, name string) {
	t.Helper()
	if got, ok := m.Get(key(name)); ok {
		t.Errorf("%s: known (%q)", name, got)
	}
}

func TestMemoryOutlivesTheProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "done")
	m := open(t, dir)
	hasNot(t, m, "a")
	add(t, m, "a", "mailbox")
	add(t, m, "a", "mailbox\nforward 1\n")
	add(t, m, "b", "")
	add(t, m, "c", "gone")
	if err := errors.Join(m.Remove(key("c")), m.Remove(key("c")), m.Remove(key("never"))); err != nil {
		t.Error(err)
	}
	for _, m := range []*Memory{m, open(t, dir)} {
		if m.Len() != 2 {
			t.Errorf("%d keys, want 2", m.Len())
		}
		has(t, m, "a", "mailbox\nforward 1\n")
		has(t, m, "b", "")
		hasNot(t, m, "c")
	}
}

func TestMemoryForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		m := open(t, dir)
		add(t, m, "old", "1")
		time.Sleep(sixDays - time.Hour)
		add(t, m, "young", "2")
		has(t, m, "old", "1")
		time.Sleep(2 * time.Hour)
		hasNot(t, m, "old")
		has(t, m, "young", "2")
		if m := open(t, dir); m.Len() != 1 {
			t.Errorf("%d keys after opening again, want 1", m.Len())
		}
		add(t, m, "third", "3")
		time.Sleep(24 * time.Hour)
		add(t, m, "fourth", "4") // a running server removes what is expired, too
		if entries, _ := os.ReadDir(dir); m.Len() != 3 || len(entries) != 3 {
			t.Errorf("%d keys, %d files; want 3", m.Len(), len(entries))
		}
	})
}

func TestMemoryDropsWhatIsDamagedAndLeavesWhatIsNotItsOwn(t *testing.T) {
	dir := t.TempDir()
	m := open(t, dir)
	for _, name := range []string{"good", "cut", "changed", "empty", "long"} {
		add(t, m, name, strings.Repeat("v", 50))
	}
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := func(name string) string {
		b, err := os.ReadFile(m.path(key(name)))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	write(filepath.Base(m.path(key("cut"))), text("cut")[:60])
	write(filepath.Base(m.path(key("changed"))), strings.Replace(text("changed"), "vv", "vw", 1))
	write(filepath.Base(m.path(key("empty"))), "")
	write(filepath.Base(m.path(key("long"))), text("long")+strings.Repeat("x", 2*valueMax))
	write(tmpPrefix+"0123", "half wri")
	foreign := []string{"README", strings.ToUpper(filepath.Base(m.path(key("good")))), "00ff"}
	for _, name := range foreign {
		write(name, "mine")
	}
	if err := os.Mkdir(m.path(key("folder")), 0o700); err != nil {
		t.Fatal(err)
	}
	m = open(t, dir)
	has(t, m, "good", strings.Repeat("v", 50))
	if m.Len() != 1 {
		t.Errorf("%d keys, want 1", m.Len())
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1+len(foreign)+1 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

func TestMemoryWithAClockThatIsSetBack(t *testing.T) {
	dir := t.TempDir()
	m := open(t, dir)
	ahead := memo{"later", time.Now().Add(1000 * time.Hour)}
	if err := m.write(m.path(key("a")), ahead); err != nil {
		t.Fatal(err)
	}
	m = open(t, dir)
	has(t, m, "a", "later")
	if n := m.known[key("a")]; time.Until(n.added) > 0 {
		t.Errorf("kept until %v after its time", time.Until(n.added))
	}
}

// TestMemoryWithFaults: whatever step fails, the key is known now, nothing half
// written is ever read, and the next Add succeeds.
func TestMemoryWithFaults(t *testing.T) {
	for _, op := range []string{"create", "write", "sync", "close", "rename", "syncdir"} {
		t.Run(op, func(t *testing.T) {
			dir := t.TempDir()
			m := open(t, dir)
			add(t, m, "a", "before")
			m.files = &faulty{fail: failing(op, unix.ENOSPC)}
			if err := m.Add(key("a"), "after"); !errors.Is(err, ErrFull) {
				t.Errorf("Add: %v", err)
			}
			has(t, m, "a", "after")
			if got, ok := open(t, dir).Get(key("a")); !ok || got != "before" && op != "syncdir" {
				t.Errorf("on disk: %q, %v", got, ok)
			}
			m.files = system{}
			add(t, m, "a", "again")
			has(t, open(t, dir), "a", "again")
		})
	}
	t.Run("folder", func(t *testing.T) {
		if _, err := OpenMemory(filepath.Join(t.TempDir(), "a/b"), sixDays); err == nil {
			t.Error("made below a folder that is missing")
		}
	})
	t.Run("value too large", func(t *testing.T) {
		m := open(t, t.TempDir())
		add(t, m, "a", strings.Repeat("x", valueMax))
		if err := m.Add(key("b"), strings.Repeat("x", valueMax+1)); err == nil || m.Len() != 1 {
			t.Errorf("added: %v", err)
		}
		has(t, open(t, m.dir), "a", strings.Repeat("x", valueMax))
	})
}

func TestMemoryAtOnce(t *testing.T) {
	dir := t.TempDir()
	m := open(t, dir)
	var wg sync.WaitGroup
	for i := range 16 {
		name := string(rune('a' + i))
		wg.Go(func() {
			for range 5 {
				add(t, m, name, name)
				has(t, m, name, name)
				if i%2 == 0 {
					if err := m.Remove(key(name)); err != nil {
						t.Error(err)
					}
					hasNot(t, m, name)
				}
			}
		})
	}
	wg.Wait()
	if m.Len() != 8 || open(t, dir).Len() != 8 {
		t.Errorf("%d keys, %d on disk; want 8", m.Len(), open(t, dir).Len())
	}
}

func FuzzMemo(f *testing.F) {
	f.Add("")
	f.Add(memo{"value", time.Unix(1_800_000_000, 0)}.format())
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseMemo(text)
		if err == nil && n.value != text[len(text)-len(n.value):] {
			t.Errorf("%q: value %q", text, n.value)
		}
		if back, err := parseMemo(memo{text, n.added}.format()); err != nil || back.value != text || !back.added.Equal(n.added) {
			t.Errorf("%q came back as %q, %v", text, back.value, err)
		}
	})
}
