package main_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kiyome/testdata"
)

// corpus is a folder of real messages that are not ours to publish: a test that
// wants them skips where they are not.
const corpus = "../../../shared/corpus/mail"

// Real mail, none of it infected, arrives byte for byte and unreported.
func TestRealMailArrivesAsItCame(t *testing.T) {
	if _, err := os.Stat(corpus); err != nil {
		t.Skip("no corpus of real mail here")
	}
	s := newSite(t)
	s.account("add", "taro@example.jp")
	s.account("subscribe", "taro@example.jp")
	s.start()
	c := s.dial()
	n := 0
	filepath.WalkDir(corpus, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "SOURCES" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		msg := string(raw)
		if !strings.HasSuffix(msg, "\r\n") {
			msg += "\r\n" // the wire has no message without it
		}
		n++
		if reply := c.deliver(msg, "taro@example.jp")[0]; !strings.HasPrefix(reply, "250 ") {
			t.Errorf("%s: %s", path, reply)
			return nil
		}
		got := s.maildir("taro")
		if len(got) != 1 {
			t.Errorf("%s: %d messages in the mailbox, want 1", path, len(got))
		} else if !strings.HasSuffix(got[0], msg) || !strings.Contains(got[0], "\r\nX-Virus-Status: ") {
			t.Errorf("%s: changed, or not checked:\n%.600q", path, got[0])
		}
		return os.RemoveAll(filepath.Join(s.Dir, "mail/example.jp/taro/Maildir/new"))
	})
	t.Logf("%d messages", n)
	if reply := c.deliver(string(testdata.MustMail("attachment")), "taro@example.jp")[0]; !strings.HasPrefix(reply, "250 ") || len(s.maildir("taro")) != 2 {
		t.Errorf("an infected message afterwards: %s, %d messages; want the report and the rest", reply, len(s.maildir("taro")))
	}
}
