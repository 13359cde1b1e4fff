package main

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
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
	{"account set taro@example.jp --language en --forward x@example.com --no-copy", 0, "copy      none is kept, but for reports"},
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

// later is a change that is entered for later, taken back or not.
var later = []step{
	{"account add jiro@example.jp", 0, "added"},
	{"account subscribe jiro@example.jp --at 2099-01-01", 0, "jiro@example.jp: subscribes to inbound on 2099-01-01\n"},
	{"account show jiro@example.jp", 0, "pending   subscribes to inbound on 2099-01-01\n"},
	{"account list --json", 0, `"pending":[{"kind":"subscribed","service":"inbound","effective":"2098-12-31T15:00:00Z"}]`},
	{"account cancel jiro@example.jp outbound", 1, "outbound is not subscribed"},
	{"account cancel jiro@example.jp --at 2098-01-01", 1, "cancelling inbound now takes back"},
	{"account cancel jiro@example.jp", 0, "jiro@example.jp: taken back: subscribes to inbound on 2099-01-01\n"},
	{"account cancel jiro@example.jp", 1, "inbound is not subscribed"},
	{"account subscribe jiro@example.jp", 0, "jiro@example.jp: subscribed inbound\n"},
	{"account pause jiro@example.jp --at 2098-05-01T12:30:00+09:00", 0, "pauses inbound on 2098-05-01 12:30:00 JST\n"},
	{"account cancel jiro@example.jp", 0, "cancelled inbound\njiro@example.jp: taken back: pauses inbound"},
	{"account remove jiro@example.jp --at 2098-01-01", 0, "jiro@example.jp: closes on 2098-01-01\n"},
	{"account add jiro@example.jp", 1, "remove it now and add it again"},
	{"account check", 0, "no problem"},
}

func TestWhatIsEnteredForLaterIsTold(t *testing.T) {
	t.Run("on the file", func(t *testing.T) { newSite(t, "").script(later) })
	t.Run("through the server", func(t *testing.T) {
		s := newSite(t, "")
		s.do("account", "add", "first@example.jp")
		s.serve()
		s.script(later)
	})
}

func TestAChangeForThePastSaysWhatHoldsNow(t *testing.T) {
	s := newSite(t, "")
	s.write("accounts.jsonl", `{"account":{"address":"taro@example.jp","added":"2020-01-01T00:00:00Z"}}`)
	s.script([]step{
		{"account import " + s.path("accounts.jsonl"), 0, "1 accounts"},
		{"account subscribe taro@example.jp --at 2020-04-01", 0, "subscribed inbound as of 2020-04-01; now: subscribed since 2020-04-01"},
	})
}

func TestSubscribingToAFilterThatIsNotThereIsNoted(t *testing.T) {
	for _, tt := range []struct{ name, config, args, notes string }{
		{"inbound", "", "account subscribe taro@example.jp", ""},
		{"no filter", "", "account subscribe taro@example.jp outbound", "outbound.listen is empty"},
		{"a filter", `outbound.listen = ["127.0.0.1:1"]`, "account subscribe taro@example.jp outbound", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, tt.config)
			s.do("account", "add", "taro@example.jp")
			var notes strings.Builder
			root := newRoot(&app{out: io.Discard})
			root.SetErr(&notes)
			root.SetArgs(append([]string{"--config", s.file}, strings.Fields(tt.args)...))
			if err := root.ExecuteContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := notes.String(); (got == "") != (tt.notes == "") || !strings.Contains(got, tt.notes) || strings.Count(got, "\n") > 1 {
				t.Errorf("noted %q, want %q", got, tt.notes)
			}
		})
	}
}

func TestForwardsAreShown(t *testing.T) {
	s := newSite(t, "")
	s.script([]step{
		{"account add jiro@example.jp --forward x@example.com --forward y@example.org", 0, "added jiro@example.jp"},
		{"account show jiro@example.jp", 0, "forward   x@example.com, y@example.org, through 127.0.0.1:10026\ncopy      one is kept"},
		{"account set jiro@example.jp --no-copy", 0, "copy      none is kept, but for reports"},
		{"account set jiro@example.jp --forward= --no-copy=false", 0, ""},
		{"account set jiro@example.jp --forward jiro@example.jp", 2, "forwards to itself"},
		{"account set jiro@example.jp --forward Jiro+x@Example.JP", 2, "forwards to itself"},
		{"account add saburo@example.jp --forward saburo+mail@example.jp", 2, "forwards to itself"},
		{"account subscribe jiro@example.jp outbound", 0, "subscribed outbound"},
		{"account show jiro@example.jp", 0, "outbound  subscribed since"},
		{"account pause jiro@example.jp outbound", 1, "outbound cannot be paused, only cancelled"},
	})
}

func TestALongAddressDoesNotWidenTheList(t *testing.T) {
	s := newSite(t, "")
	long := strings.Repeat("x", 200) + "@example.jp"
	s.do("account", "add", long)
	s.do("account", "add", "taro@example.jp")
	out := s.do("account", "list")
	if !strings.Contains(out, "\ntaro@example.jp  no       no        ja        \n") || !strings.Contains(out, "\n"+long+"  no       no") {
		t.Errorf("list:\n%s", out)
	}
}

func TestMaintenanceAsJSON(t *testing.T) {
	s := newSite(t, "")
	s.write("accounts.jsonl", `{"account":{"address":"taro@example.jp"}}`)
	for _, tt := range []struct{ args, want string }{
		{"account import --json " + s.path("accounts.jsonl"), `{"added":1,"continued":0,"different":0,"unchanged":0}`},
		{"account check --json", `{"accounts":1,"problems":[]}`},
	} {
		var got strings.Builder
		var v any
		if err := json.Unmarshal([]byte(s.do(strings.Fields(tt.args)...)), &v); err != nil {
			t.Fatal(err)
		}
		json.NewEncoder(&got).Encode(v)
		if strings.TrimSpace(got.String()) != tt.want {
			t.Errorf("%s: %s, want %s", tt.args, got.String(), tt.want)
		}
	}
	if with, without := s.do("account", "export", "--json"), s.do("account", "export"); with != without || with == "" {
		t.Errorf("export --json:\n%s\nwithout\n%s", with, without)
	}
}

// TestRootLeavesNothingOfItsOwn: the server, which runs as the owner of the state
// folder, can open and replace what root made there.
func TestRootLeavesNothingOfItsOwn(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	s := newSite(t, "")
	state := s.path("state")
	if err := errors.Join(os.Mkdir(state, 0o700), os.Chown(state, 1234, 2345)); err != nil {
		t.Fatal(err)
	}
	s.do("account", "add", "taro@example.jp")
	s.do("rules", "build")
	s.do("rules", "disable", strings.Repeat("0", 64)) // of an object that there is not
	n := 0
	err := filepath.WalkDir(state, func(name string, _ fs.DirEntry, err error) error {
		var st syscall.Stat_t
		if err := errors.Join(err, syscall.Lstat(name, &st)); err != nil {
			return err
		}
		if n++; st.Uid != 1234 || st.Gid != 2345 {
			t.Errorf("%s belongs to %d:%d", name, st.Uid, st.Gid)
		}
		return nil
	})
	if err != nil || n < 5 {
		t.Errorf("%d files, %v", n, err)
	}
}

func TestAnIdleImportEndsAtOnce(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "first@example.jp")
	for _, where := range []string{"on the file", "through the server"} {
		t.Run(where, func(t *testing.T) {
			if where == "through the server" {
				s.serve()
			}
			pipe := s.path("pipe of " + where)
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			p := s.start("account", "import", pipe)
			w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // returns when the command has opened it, too
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if err := p.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			if status := s.exitOf(p); status != 2 || !strings.Contains(p.said(), "interrupted") {
				t.Errorf("exit %d: %s", status, p.said())
			}
		})
	}
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
	if again := other.do("account", "export"); unnumbered(again) != unnumbered(exported) {
		t.Errorf("exported again:\n%s\nwant\n%s", again, exported)
	}
}

var seqNumber = regexp.MustCompile(`"+seq"+:\d+,`)

func unnumbered(s string) string { return seqNumber.ReplaceAllString(s, "") }

func TestBackupIsWholeAndItsOwnersOnly(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	file := s.path("copy.db")
	s.script([]step{
		{"backup " + file, 0, "copy.db"},
		{"backup " + file, 2, "exists already"},
		{"backup --force " + file, 0, ""},
		{"backup " + s.path("no/such/folder/copy.db"), 2, "no such file"},
		{"backup " + s.path("kiyome.toml/copy.db"), 2, "not a directory"},
		{"backup --force " + s.dir, 2, "is a folder"},
	})
	if _, status, err := s.run("backup", ""); status != 2 || !strings.Contains(err.Error(), "name of FILE is empty") {
		t.Errorf("no name: exit %d, %v", status, err)
	}
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

// TestBackupDoesNotReplaceTheDatabase: whatever name it is given for it.
func TestBackupDoesNotReplaceTheDatabase(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	live := s.path("state/accounts.db")
	if err := errors.Join(os.Symlink(live, s.path("link.db")), os.Link(live, s.path("hard.db")), os.Symlink("state", s.path("also"))); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(live)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(t *testing.T) {
		for _, name := range []string{"state/accounts.db", "state/../state/accounts.db", "link.db", "hard.db", "also/accounts.db"} {
			s.script([]step{{"backup --force " + s.path(name), 2, "is the account database itself"}})
		}
		if after, err := os.Stat(live); err != nil || !os.SameFile(before, after) {
			t.Errorf("it was replaced: %v", err)
		}
	}
	t.Run("on the file", refused)
	s.serve()
	t.Run("through the server", refused)
}

func TestAddressesAreCompleted(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	s.do("account", "add", "hanako@example.jp")
	if out := s.do("__complete", "account", "show", "ta"); !strings.HasPrefix(out, "taro@example.jp\n") {
		t.Errorf("completion: %s", out)
	}
}
