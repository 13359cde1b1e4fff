package accounts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// everything gives all accounts and their events, without sequence numbers.
func everything(t testing.TB, db *DB) string {
	t.Helper()
	var out strings.Builder
	if err := db.List(func(a Account) bool {
		events, err := db.History(a.Address)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(&out, "%+v\n", a)
		for _, e := range events {
			fmt.Fprintf(&out, "  %s %s %s %s %s %s\n", e.Kind, e.Service, e.By, e.At, e.Effective, e.Note)
		}
		return true
	}); err != nil {
		t.Error(err)
	}
	return out.String()
}

// lively fills a database with accounts of every sort.
func lively(t testing.TB, db *DB, c *clock) {
	t.Helper()
	must := func(_ Account, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(db.Add(NewAccount{Address: "taro@日本語.jp", Owner: "山田", Language: "en", Forward: []string{"Me@Other.example"}, NoCopy: true, By: "root"}))
	add(t, db, "太郎@example.jp")
	var lines strings.Builder
	for i := range 600 {
		fmt.Fprintf(&lines, `{"account":{"address":%q}}`+"\n", name(i))
	}
	if _, err := db.Import(strings.NewReader(lines.String()), ImportOptions{By: "root"}); err != nil {
		t.Fatal(err)
	}
	must(db.Change(name(0), Subscribed, Inbound, time.Time{}, "hanako"))
	c.now = day(3)
	must(db.Change(name(0), Paused, Inbound, day(1), "hanako"))
	must(db.Change(name(0), Cancelled, Inbound, day(30), "hanako"))
	must(db.Set(name(1), Settings{Language: new("en"), Owner: new("<b>&")}, "web\nform"))
	must(db.Change(name(2), Closed, "", time.Time{}, "root"))
}

func TestSettings(t *testing.T) {
	db, _ := fresh(t)
	for _, tt := range []struct {
		name string
		n    NewAccount
		want error
	}{
		{"language", NewAccount{Address: "a@b", Language: "fr"}, ErrSetting},
		{"relative maildir", NewAccount{Address: "a@b", Maildir: "Maildir"}, ErrSetting},
		{"unclean maildir", NewAccount{Address: "a@b", Maildir: "/m/../a"}, ErrSetting},
		{"newline in the maildir", NewAccount{Address: "a@b", Maildir: "/m/\n"}, ErrSetting},
		{"owner with a bidi character", NewAccount{Address: "a@b", Owner: "\u202Ex"}, ErrSetting},
		{"long owner", NewAccount{Address: "a@b", Owner: strings.Repeat("x", 256)}, ErrSetting},
		{"no copy without a forward", NewAccount{Address: "a@b", NoCopy: true}, ErrSetting},
		{"malformed forward", NewAccount{Address: "a@b", Forward: []string{"x"}}, ErrMalformed},
		{"forward to itself", NewAccount{Address: "a@b", Forward: []string{"A@B"}}, ErrSetting},
		{"malformed address", NewAccount{Address: "a"}, ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := db.Add(tt.n); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	add(t, db, "a@b")
	if _, err := db.Set("a@b", Settings{NoCopy: new(true)}, ""); !errors.Is(err, ErrSetting) {
		t.Errorf("Set no copy alone: %v", err)
	}
	a, err := db.Set("a@b", Settings{NoCopy: new(true), Forward: &[]string{"Other@Example.JP"}}, "x")
	if err != nil || !a.NoCopy || a.Forward[0] != "Other@Example.JP" || a.Maildir != "/var/vmail/b/a/Maildir" {
		t.Errorf("Set: %+v, %v", a, err)
	}
	if _, err := db.Set("a@b", Settings{NoCopy: new(true)}, "x"); err != nil {
		t.Errorf("Set of what is so already: %v", err)
	}
	events, err := db.History("a@b")
	if err != nil || len(events) != 2 || events[1].Note != `forward: [] to ["Other@Example.JP"], no copy: false to true` {
		t.Errorf("history: %+v, %v", events, err)
	}
	if _, err := db.Set("b@b", Settings{}, "x"); !errors.Is(err, ErrUnknown) {
		t.Errorf("Set of an unknown account: %v", err)
	}
}

// TestMaildirIsNotShared: the mail of two accounts is not mixed; what a closed one had is free.
func TestMaildirIsNotShared(t *testing.T) {
	db, _ := fresh(t)
	add(t, db, "a@b")
	const of = "/var/vmail/b/a/Maildir"
	_, err := db.Add(NewAccount{Address: "c@b", Maildir: of})
	if !errors.Is(err, ErrSetting) || !strings.Contains(err.Error(), "that of a@b") {
		t.Errorf("Add: %v", err)
	}
	add(t, db, "c@b")
	if _, err := db.Set("c@b", Settings{Maildir: new(of)}, "x"); !errors.Is(err, ErrSetting) {
		t.Errorf("Set: %v", err)
	}
	if _, err := db.Set("a@b", Settings{Maildir: new(of), Owner: new("x")}, "x"); err != nil {
		t.Errorf("Set of its own: %v", err)
	}
	if _, err := db.Change("a@b", Closed, "", time.Time{}, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Set("c@b", Settings{Maildir: new(of)}, "x"); err != nil {
		t.Errorf("Set of a closed account's: %v", err)
	}
	sound(t, db)
}

func TestRecordSurvives(t *testing.T) {
	r := record{account: Account{Address: "太郎@example.jp", Owner: "x", Language: "ja", Maildir: "/m", Forward: []string{"a@b", "c@d"}, NoCopy: true,
		Inbound: State{true, true, day(1).Add(123)}, Outbound: State{true, false, day(-99999)}, Closed: day(2), Added: time.Unix(0, 0).UTC()},
		pending: []Event{{Kind: Paused, Service: Inbound, Effective: day(5)}, {Kind: Closed, Effective: day(99999)}}, events: 1 << 40}
	sealed := sealRecord(r)
	key := []byte(r.account.Address)
	if got, err := unsealRecord(key, sealed); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v, %v", got, err)
	}
	for i := range len(sealed) * 8 {
		flipped := bytes.Clone(sealed)
		flipped[i/8] ^= 1 << (i % 8)
		if _, err := unsealRecord(key, flipped); !errors.Is(err, ErrDamaged) {
			t.Errorf("bit %d: %v", i, err)
		}
	}
	if _, err := unseal([]byte("a@b"), sealed); !errors.Is(err, ErrDamaged) {
		t.Errorf("under another key: %v", err)
	}
	for n := range sealed {
		if _, err := unsealRecord(key, sealed[:n]); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
	newer := bytes.Clone(sealed[:len(sealed)-4])
	newer[0] = 2
	sum := checksum(key, newer)
	newer = append(newer, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
	if _, err := unsealRecord(key, newer); !errors.Is(err, ErrNewer) {
		t.Errorf("newer: %v", err)
	}
}

func FuzzUnsealRecord(f *testing.F) {
	f.Add(sealRecord(record{account: Account{Address: "a@b", Forward: []string{"c@d"}, Added: day(0)}, pending: []Event{{Kind: Paused}}})[1:])
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, err := unsealRecord([]byte("a@b"), seal([]byte("a@b"), payload))
		if err == nil && len(r.account.Forward)+len(r.pending) > len(payload) {
			t.Errorf("%d bytes hold %d forwards, %d changes", len(payload), len(r.account.Forward), len(r.pending))
		}
	})
}

// TestList: every account once, in the order of addresses, over several batches.
func TestList(t *testing.T) {
	db, c := fresh(t)
	lively(t, db, c)
	var got []string
	if err := db.List(func(a Account) bool { got = append(got, a.Address); return true }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 602 || !slices.IsSorted(got) || len(slices.Compact(got)) != 602 {
		t.Errorf("%d accounts: %.300q", len(got), got)
	}
	n := 0
	if err := db.List(func(Account) bool { n++; return n < 3 }); err != nil || n != 3 {
		t.Errorf("stopped after %d, %v", n, err)
	}
}

// TestExportImport: a round trip changes nothing, again and again.
func TestExportImport(t *testing.T) {
	from, c := fresh(t)
	lively(t, from, c)
	var export bytes.Buffer
	if err := from.Export(&export); err != nil {
		t.Fatal(err)
	}
	to, c2 := fresh(t)
	c2.now = c.now
	for round, want := range []int{602, 0, 0} {
		if n, err := to.Import(bytes.NewReader(export.Bytes()), ImportOptions{By: "x"}); n.Added != want || err != nil {
			t.Fatalf("round %d: %+v, %v", round, n, err)
		}
		if a, b := everything(t, from), everything(t, to); a != b {
			t.Fatalf("round %d: imported\n%.2000s\nof\n%.2000s", round, b, a)
		}
	}
	sound(t, to)
	// What was entered since is brought by the next export.
	if _, err := from.Change(name(5), Subscribed, Outbound, time.Time{}, "x"); err != nil {
		t.Fatal(err)
	}
	export.Reset()
	if err := from.Export(&export); err != nil {
		t.Fatal(err)
	}
	if n, err := to.Import(&export, ImportOptions{By: "x"}); n != (Imported{Continued: 1, Unchanged: 601}) || err != nil {
		t.Errorf("%+v, %v", n, err)
	}
	if a, err := to.Get(name(5)); err != nil || !a.Outbound.Subscribed {
		t.Errorf("%+v, %v", a, err)
	}
	sound(t, to)
}

func TestImportOfHandwrittenLines(t *testing.T) {
	db, _ := fresh(t)
	const lines = `{"account":{"address":"A@Example.jp"}}

{"account":{"address":"b@example.jp","owner":"7","language":"en","maildir":"/home/b/Maildir","inbound":{"subscribed":true,"since":"2010-01-01T00:00:00+09:00"},"outbound":{"subscribed":true}}}
{"account":{"address":"c@example.jp","inbound":{"subscribed":true,"paused":true},"pending":[{"kind":"closed","effective":"2034-01-01T00:00:00Z"}]}}`
	for _, want := range []int{3, 0} {
		if n, err := db.Import(strings.NewReader(lines), ImportOptions{By: "root"}); n.Added != want || err != nil {
			t.Fatalf("%+v, %v, want %d", n, err, want)
		}
	}
	a, _ := db.Lookup("a@example.jp")
	b, _ := db.Lookup("b@example.jp")
	c, _ := db.Lookup("c@example.jp")
	if a.Inbound.Subscribed || a.Maildir != "/var/vmail/example.jp/a/Maildir" || a.Language != "ja" {
		t.Errorf("a: %+v", a)
	}
	if !b.Inbound.Active() || !b.Outbound.Active() || b.Language != "en" || b.Owner != "7" || b.Inbound.Since.Year() != 2009 {
		t.Errorf("b: %+v", b)
	}
	if !c.Inbound.Paused || len(c.Pending) != 1 || c.Pending[0].Kind != Closed {
		t.Errorf("c: %+v", c)
	}
	sound(t, db)
}

// TestImportRefuses: the error names the line, and nothing was imported.
func TestImportRefuses(t *testing.T) {
	const added = `{"seq":1,"address":"b@b","kind":"added","at":"2014-09-01T00:00:00Z","effective":"2014-09-01T00:00:00Z","settings":{"language":"ja","maildir":"/m"}}`
	for _, tt := range []struct{ name, line, says string }{
		{"no JSON", `address,owner`, "line 2: invalid character"},
		{"two objects", `{"account":{"address":"b@b"}}{}`, "line 2: more than one"},
		{"unknown field", `{"account":{"address":"b@b","colour":"red"}}`, "colour"},
		{"malformed address", `{"account":{"address":"b"}}`, "line 2"},
		{"setting", `{"account":{"address":"b@b","language":"fr"}}`, "language"},
		{"events of another", `{"account":{"address":"c@b"},"events":[` + added + `]}`, "an event of"},
		{"without a beginning", `{"account":{"address":"b@b"},"events":[` + strings.Replace(added, "added", "paused", 1) + `]}`, "not added until later"},
		{"no settings", `{"account":{"address":"b@b"},"events":[` + strings.Replace(added, `"language":"ja",`, "", 1) + `]}`, "language"},
		{"twice added", `{"account":{"address":"b@b"},"events":[` + added + `,` + added + `]}`, "exists already"},
		{"no time", `{"account":{"address":"b@b"},"events":[` + strings.Replace(added, "2014-09-01T00:00:00Z", "0001-01-01T00:00:00Z", 1) + `]}`, "times of event 1"},
		{"entered in the future", `{"account":{"address":"b@b"},"events":[` + strings.Replace(added, "2014", "2034", 1) + `]}`, "times of event 1"},
		{"unknown service", `{"account":{"address":"b@b"},"events":[` + added + `,` + strings.NewReplacer(`"kind":"added"`, `"kind":"subscribed","service":"x"`).Replace(added) + `]}`, "no service"},
		{"another history", `{"account":{"address":"known@b"},"events":[` + strings.Replace(added, "b@b", "known@b", 1) + `]}`, "another history"},
		{"line of 17 MiB", strings.Repeat(" ", 17<<20), "line 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db, _ := fresh(t)
			add(t, db, "known@b")
			before := everything(t, db)
			n, err := db.Import(strings.NewReader(`{"account":{"address":"first@b"}}`+"\n"+tt.line+"\n"), ImportOptions{By: "x"})
			if err == nil || n != (Imported{}) || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%+v, %v, want %q", n, err, tt.says)
			}
			if after := everything(t, db); after != before {
				t.Errorf("it holds\n%s", after)
			}
			sound(t, db)
		})
	}
}

func TestBackup(t *testing.T) {
	db, c := fresh(t)
	lively(t, db, c)
	file := filepath.Join(t.TempDir(), "backup")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	n, err := db.Backup(out)
	if info, _ := out.Stat(); err != nil || info.Size() != n || out.Close() != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if err := CheckFile(file); err != nil {
		t.Error(err)
	}
	copied, err := Open(file, options(c))
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	if a, b := everything(t, db), everything(t, copied); a != b {
		t.Error("the copy differs")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(db.path), ".*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	if _, err := db.Backup(brokenPipe{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("to a broken pipe: %v", err)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestConcurrent: look-ups, changes, backups, lists and checks at one time. Each
// look-up sees a whole state, each change is there or refused, and the history
// is one of a serial order.
func TestConcurrent(t *testing.T) {
	db, _ := fresh(t)
	db.options.Timeout = time.Minute // however loaded the machine is
	const people = 4
	for i := range people {
		add(t, db, name(i))
	}
	add(t, db, "shared@example.jp")
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	background := func(f func() error) {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if err := f(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	background(func() error {
		a, err := db.Lookup("shared+x@example.jp")
		if a.Inbound.Paused && !a.Inbound.Subscribed {
			err = fmt.Errorf("half a state: %+v", a)
		}
		return err
	})
	background(func() error { _, err := db.Backup(io.Discard); return err })
	background(func() error { return db.List(func(a Account) bool { _, err := db.Get(a.Address); return err == nil }) })
	background(func() error { return db.Export(io.Discard) })
	background(func() error {
		problems, _, err := db.Check()
		if len(problems) > 0 {
			err = errors.New(problems[0])
		}
		return err
	})
	for i := range people {
		writers.Go(func() {
			for _, k := range []Kind{Subscribed, Paused, Resumed, Paused, Cancelled, Subscribed, Cancelled} {
				if _, err := db.Change(name(i), k, Inbound, time.Time{}, "x"); err != nil {
					t.Error(err)
				}
				if _, err := db.Change("shared@example.jp", k, Inbound, time.Time{}, "x"); err != nil && !errors.Is(err, ErrTransition) {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	sound(t, db)
}

// TestBusy: a change that waits too long for another says so.
func TestBusy(t *testing.T) {
	db, _ := fresh(t)
	release, err := db.acquire()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Add(NewAccount{Address: "a@b"}); !errors.Is(err, ErrBusy) {
		t.Errorf("Add: %v", err)
	}
	release()
	add(t, db, "a@b")
}

// TestSlowReaderAndWriter: neither a backup into a pipe that nobody reads, nor an
// import that does not come to an end, stops the others.
func TestSlowReaderAndWriter(t *testing.T) {
	db, _ := fresh(t)
	add(t, db, "a@b")
	backupOut, backupIn := io.Pipe()
	importOut, importIn := io.Pipe()
	var wait sync.WaitGroup
	wait.Go(func() { db.Backup(backupIn) })
	wait.Go(func() { db.Import(importOut, ImportOptions{By: "x"}) })
	if _, err := backupOut.Read(make([]byte, 1)); err != nil { // now it is under way
		t.Fatal(err)
	}
	fmt.Fprintln(importIn, `{"account":{"address":"b@b"}}`)
	for i := range 300 { // enough to let the file grow several times
		add(t, db, name(i))
	}
	backupOut.Close()
	importIn.Close()
	wait.Wait()
	if _, err := db.Lookup("b@b"); err != nil {
		t.Error(err)
	}
	sound(t, db)
}

func TestLookup(t *testing.T) {
	db, _ := fresh(t)
	for _, a := range []string{"taro@example.jp", "info+sales@example.jp", "+lead@example.jp", "taro@日本語.jp", "ΣΊΣΥΦΟΣ@example.jp"} {
		add(t, db, a)
	}
	for _, tt := range []struct{ address, want string }{
		{"taro@example.jp", "taro@example.jp"},
		{"TARO@EXAMPLE.JP.", "taro@example.jp"},
		{"taro+shop@example.jp", "taro@example.jp"},
		{"taro+a+b@example.jp", "taro@example.jp"},
		{"info+sales@example.jp", "info+sales@example.jp"},
		{"+lead@example.jp", "+lead@example.jp"},
		{"taro@xn--wgv71a119e.jp", "taro@xn--wgv71a119e.jp"},
		{"Taro+x@日本語.JP", "taro@xn--wgv71a119e.jp"},
		{"taro@ｅｘａｍｐｌｅ.jp", "taro@example.jp"},
		{"info+other@example.jp", ""},
		{"tar@example.jp", ""},
		{"taro2@example.jp", ""},
		{"taro@sub.example.jp", ""},
		{"taro-x@example.jp", ""},
	} {
		a, err := db.Lookup(tt.address)
		if a.Address != tt.want || errors.Is(err, ErrUnknown) != (tt.want == "") {
			t.Errorf("Lookup(%q) = %q, %v, want %q", tt.address, a.Address, err, tt.want)
		}
	}
	if _, err := db.Lookup("../x@example.jp"); !errors.Is(err, ErrMalformed) {
		t.Errorf("malformed: %v", err)
	}
}

// TestForwardingDoesNotComeBack: an account that is added again has the settings that it
// is added with.
func TestForwardingDoesNotComeBack(t *testing.T) {
	db, _ := fresh(t)
	if _, err := db.Add(NewAccount{Address: "a@b", Owner: "7", Forward: []string{"other@example.jp"}, NoCourse: true, Main: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Change("a@b", Closed, "", time.Time{}, "x"); err != nil {
		t.Fatal(err)
	}
	add(t, db, "a@b")
	a, err := db.Get("a@b")
	if err != nil || a.Forward != nil || a.Owner != "" || a.NoCourse || a.Main {
		t.Errorf("%+v, %v", a, err)
	}
	sound(t, db)
}

// However a caller writes "no forwarding any more", the ledger says the same.
func TestForwardingIsTakenBack(t *testing.T) {
	for name, none := range map[string][]string{"nil": nil, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			db, _ := fresh(t)
			if _, err := db.Add(NewAccount{Address: "a@b", Forward: []string{"other@example.jp"}}); err != nil {
				t.Fatal(err)
			}
			a, err := db.Set("a@b", Settings{Forward: &none}, "x")
			if err != nil || len(a.Forward) != 0 {
				t.Fatalf("%+v, %v", a, err)
			}
			if problems, _, err := db.Check(); len(problems) > 0 || err != nil {
				t.Errorf("check: %q, %v", problems, err)
			}
		})
	}
}
