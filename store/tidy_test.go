package store

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// What a crash left in tmp goes with the first delivery after it; what others
// left, or somebody is writing, stays.
func TestFirstDeliveryRemovesWhatACrashLeft(t *testing.T) {
	root := t.TempDir()
	maildir := filepath.Join(root, "taro", "Maildir")
	tmp := filepath.Join(maildir, "tmp")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * leftAfter)
	for name, at := range map[string]time.Time{
		tmpPrefix + "dead.1": old, tmpPrefix + "dead.2": time.Now(), "1234.M1P1.dovecot": old,
	} {
		path := filepath.Join(tmp, name)
		if err := os.WriteFile(path, []byte("half a message"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	s := New(Options{Hostname: "host", Root: root})
	d := s.Prepare(text("Subject: x\r\n\r\nx\r\n"))
	defer d.Close()
	if err := d.To(maildir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{tmpPrefix + "dead.1": false, tmpPrefix + "dead.2": true, "1234.M1P1.dovecot": true} {
		if _, err := os.Stat(filepath.Join(tmp, name)); (err == nil) != want {
			t.Errorf("%s: %v, there: want %v", name, err, want)
		}
	}
}

func TestVisitedIsBounded(t *testing.T) {
	v := visited{seen: make(map[string]struct{})}
	for i := range maxVisited + 10 {
		if !v.first(filepath.Join("/mail", strconv.Itoa(i), "x")) {
			t.Fatalf("%d is not new", i)
		}
	}
	if len(v.seen) > maxVisited {
		t.Errorf("%d Maildirs", len(v.seen))
	}
}
