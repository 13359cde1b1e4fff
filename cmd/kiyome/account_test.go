package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kiyome/accounts"
)

// A step of a script: what is typed, the exit status, and words of the output or the error.
type step struct {
	args string
	want int
	says string
}

// script runs steps one after the other.
func (s *site) script(steps []step) {
	s.t.Helper()
	for _, st := range steps {
		out, status, err := s.run(strings.Fields(st.args)...)
		all := out
		if err != nil {
			all += err.Error()
		}
		if status != st.want || !strings.Contains(all, st.says) {
			s.t.Errorf("%s: exit %d, want %d and %q:\n%s", st.args, status, st.want, st.says, all)
		}
	}
}

// life is the life of an account, with a server or without.
var life = []step{
	{"account add Taro@Example.JP --owner 0012", 0, "added taro@example.jp"},
	{"account add taro@example.jp", 1, "exists"},
	{"account show taro@example.jp", 0, "inbound   no"},
	{"account pause taro@example.jp", 1, "taro@example.jp"},
	{"account subscribe taro@example.jp", 0, "taro@example.jp: subscribed inbound"},
	{"account subscribe taro@example.jp", 1, ""},
	{"account subscribe taro@example.jp outbound", 0, "subscribed outbound"},
	{"account pause taro@example.jp outbound", 1, ""},
	{"account pause taro@example.jp", 0, "paused inbound"},
	{"account show taro@example.jp", 0, "inbound   paused since"},
	{"account resume taro@example.jp", 0, "resumed inbound"},
	{"account cancel taro@example.jp outbound", 0, "cancelled outbound"},
	{"account set taro@example.jp --language en --forward x@example.com --no-copy", 0, "none is kept"},
	{"account set taro@example.jp --forward= --no-copy=false", 0, "language  en"},
	{"account list", 0, "taro@example.jp  subscribed  no        en        0012"},
	{"account list --owner 0013", 0, ""},
	{"account history taro@example.jp", 0, "resumed"},
	{"account show nobody@example.jp", 1, "no such account"},
	{"account show ../x@example.jp", 2, "malformed"},
	{"account add a/b@example.jp", 2, "malformed"},
	{"account check", 0, "1 accounts, no problem"},
	{"account remove taro@example.jp", 0, "closed"},
	{"account subscribe taro@example.jp", 1, ""},
	{"account list --closed", 0, "taro@example.jp (closed)"},
	{"account add taro@example.jp", 0, "added"},
}

func TestAccountCommandsOnTheFile(t *testing.T) {
	s := newSite(t, "")
	s.script([]step{
		{"account list", 2, "kiyome account add"},
		{"account subscribe taro@example.jp", 2, "no account database"},
	})
	if _, err := os.Stat(s.path("state")); err == nil {
		t.Error("a command that adds nothing made the state folder")
	}
	s.script(life)
}

func TestAccountCommandsThroughTheServer(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "first@example.jp")
	s.do("account", "remove", "first@example.jp")
	s.serve()
	steps := append([]step(nil), life...)
	for i := range steps {
		steps[i].says = strings.Replace(steps[i].says, "1 accounts", "2 accounts", 1)
	}
	s.script(steps)
}

func TestAccountsAsJSON(t *testing.T) {
	s := newSite(t, "")
	var a accounts.Account
	if err := json.Unmarshal([]byte(s.do("account", "add", "taro@example.jp", "--json")), &a); err != nil || a.Address != "taro@example.jp" {
		t.Errorf("add: %+v, %v", a, err)
	}
	if want := s.path("mail/example.jp/taro/Maildir"); a.Maildir != want {
		t.Errorf("maildir %s, want %s", a.Maildir, want)
	}
	s.do("account", "subscribe", "taro@example.jp", "--at", "2031-04-01")
	var events []accounts.Event
	if err := json.Unmarshal([]byte(s.do("account", "history", "taro@example.jp", "--json")), &events); err != nil || len(events) != 2 {
		t.Fatalf("history: %+v, %v", events, err)
	}
	if got := events[1].Effective.UTC().Format("2006-01-02 15:04"); got != "2031-03-31 15:00" {
		t.Errorf("--at 2031-04-01 in Asia/Tokyo is %s UTC", got)
	}
	s.do("account", "add", "hanako@example.jp")
	lines := strings.Split(strings.TrimSpace(s.do("account", "list", "--json")), "\n")
	if len(lines) != 2 {
		t.Errorf("list: %d lines, want 2", len(lines))
	}
}

func TestExportIsImportedWholeOrNotAtAll(t *testing.T) {
	s, other := newSite(t, ""), newSite(t, "")
	s.do("account", "add", "taro@example.jp", "--language", "en")
	s.do("account", "subscribe", "taro@example.jp")
	s.do("account", "add", "hanako@example.jp")
	exported := s.do("account", "export")
	other.write("accounts.jsonl", exported)
	other.write("broken.jsonl", exported+`{"address": 5}`+"\n")
	other.script([]step{
		{"account import " + other.path("broken.jsonl"), 2, "broken.jsonl"},
		{"account list", 0, ""},
		{"account show taro@example.jp", 1, "no such account"},
		{"account import " + other.path("accounts.jsonl"), 0, "2 accounts added"},
		{"account import " + other.path("accounts.jsonl"), 0, "0 accounts added"},
		{"account show taro@example.jp", 0, "subscribed"},
	})
	// The numbers of events are those of the database that they are in.
	unnumbered := func(s string) string { return regexp.MustCompile(`"seq":\d+,`).ReplaceAllString(s, "") }
	if again := other.do("account", "export"); unnumbered(again) != unnumbered(exported) {
		t.Errorf("exported again:\n%s\nwant\n%s", again, exported)
	}
}

func TestBackupIsWholeAndItsOwnersOnly(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	file := s.path("copy.db")
	s.script([]step{
		{"backup " + file, 0, "copy.db"},
		{"backup " + file, 2, "exists already"},
		{"backup --force " + file, 0, ""},
		{"backup " + s.path("no/such/folder/copy.db"), 2, "no such file"},
	})
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(s.path("*.tmp")); left != nil {
		t.Errorf("left: %v", left)
	}
	if err := accounts.CheckFile(file); err != nil {
		t.Error(err)
	}
}

func TestAddressesAreCompleted(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	s.do("account", "add", "hanako@example.jp")
	if out := s.do("__complete", "account", "show", "ta"); !strings.HasPrefix(out, "taro@example.jp\n") {
		t.Errorf("completion: %s", out)
	}
}
