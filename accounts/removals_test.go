package accounts

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	bolt "go.etcd.io/bbolt"
)

// still makes a history whose writer does not run: the test does what it would.
func still(t *testing.T, path string, c *clock) (*Removals, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	r := &Removals{path: path, keep: 90 * 24 * time.Hour, log: slog.New(slog.NewTextHandler(&log, nil)), now: c.Now,
		most: maxRemovalsAddress, total: maxRemovals, queue: make(chan Removal, 8)}
	r.renew()
	t.Cleanup(func() {
		if r.file != nil {
			r.file.close()
		}
	})
	return r, &log
}

func historyPath(t *testing.T) string { return filepath.Join(t.TempDir(), RemovalsName) }

// removal is one of a day that names a file.
func removal(address string, d int, file string) Removal {
	return Removal{Time: day(d), Address: address, Direction: Inbound, Sender: "eve@example.com", Subject: "請求書", What: WhatFile,
		File: file, Malware: "EICAR-Test-File", Result: AttachmentRemoved}
}

// filesOf gives the names of the files that a history has of an address.
func filesOf(t *testing.T, r *Removals, address string) string {
	t.Helper()
	all, err := r.List(address, time.Time{}, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fileNames(all)
}

func fileNames(all []Removal) string {
	var names []string
	for _, one := range all {
		names = append(names, one.File)
	}
	return strings.Join(names, " ")
}

// reopened closes a history and opens it again, as a server that starts.
func reopened(t *testing.T, r *Removals) *Removals {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	next := OpenRemovals(r.path, r.keep, slog.New(slog.DiscardHandler))
	t.Cleanup(func() { next.Close() })
	return next
}

func TestRemovals(t *testing.T) {
	r := OpenRemovals(historyPath(t), 100*365*24*time.Hour, slog.New(slog.DiscardHandler))
	want := removal("taro@example.jp", 1, "a.zip › a.exe")
	other := removal("taro@example.jpn", 1, "other's")
	r.Add(want, other, removal("tar@example.jp", 1, "other's"))
	r.Add(Removal{Address: "not an address", Time: day(1)})
	r = reopened(t, r)
	want.Seq = 1
	all, err := r.List("Taro@Example.JP", time.Time{}, 0, 0)
	if err != nil || len(all) != 1 || all[0] != want {
		t.Errorf("List = %+v, %v, want %+v", all, err, want)
	}
	if all, err := r.List("nobody@example.jp", time.Time{}, 0, 0); err != nil || len(all) != 0 {
		t.Errorf("List of nobody = %+v, %v", all, err)
	}
	if _, err := r.List("nobody", time.Time{}, 0, 0); !errors.Is(err, ErrMalformed) {
		t.Errorf("List of no address: %v", err)
	}
	if info, err := os.Stat(r.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: want a file of mode 0600", info, err)
	}
}

func TestRemovalsPages(t *testing.T) {
	r, _ := still(t, historyPath(t), &clock{day(30)})
	for i := range 7 {
		r.write([]Removal{removal("taro@example.jp", i, fmt.Sprint(i+1)), removal("zoe@example.jp", i, "other's")})
	}
	var got []string
	for before := uint64(0); ; {
		page, err := r.List("taro@example.jp", day(1), before, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, fileNames(page))
		before = page[len(page)-1].Seq
	}
	if want := []string{"7 6 5", "4 3 2"}; !slices.Equal(got, want) { // that of day 0 is too old
		t.Errorf("pages %q, want %q", got, want)
	}
}

func TestRemovalsTextsAreBounded(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"Japanese", "請求書.exe", "請求書.exe"},
		{"two lines", "a\r\nb\tc\x00", "a\uFFFD\uFFFDb\uFFFDc\uFFFD"},
		{"no UTF-8", "a\xff\xfeb", "a\uFFFD\uFFFDb"},
		{"shown backwards", "a\u202egpj.exe", "a\uFFFDgpj.exe"},
		{"long", strings.Repeat("x", 501), strings.Repeat("x", 500)},
		{"long in bytes", strings.Repeat("あ", 500), strings.Repeat("あ", 333)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Removal{Subject: tt.text, File: tt.text, Sender: tt.text, Malware: tt.text}.bounded()
			if got.Subject != tt.want || got.File != tt.want || got.Sender != tt.want {
				t.Errorf("%q, want %q", got.Subject, tt.want)
			}
			if len(got.Malware) > 100 || !utf8.ValidString(got.Malware) {
				t.Errorf("malware %q", got.Malware)
			}
		})
	}
}

// Mail never waits for the history: what has no room is lost, counted, and told.
func TestRemovalsQueueIsFull(t *testing.T) {
	r, log := still(t, historyPath(t), &clock{day(30)})
	for i := range 11 {
		r.Add(removal("taro@example.jp", i, fmt.Sprint(i)))
	}
	if got := r.Lost(); got != 3 {
		t.Errorf("%d are lost, want 3", got)
	}
	r.write(r.gather(<-r.queue))
	if got := filesOf(t, r, "taro@example.jp"); got != "7 6 5 4 3 2 1 0" {
		t.Errorf("kept %q", got)
	}
	r.write(nil)
	if said := log.String(); strings.Count(said, "removals=3") != 1 {
		t.Errorf("log: %s", said)
	}
}

func TestRemovalsExpire(t *testing.T) {
	c := &clock{day(30)}
	r, _ := still(t, historyPath(t), c)
	for i := range 30 {
		r.write(slices.Repeat([]Removal{removal("taro@example.jp", i, fmt.Sprint(i))}, 20))
	}
	if r.expire() || r.count != 600 {
		t.Errorf("%d are left, want all 600", r.count)
	}
	r.keep = 2 * 24 * time.Hour // the setting was lowered
	rounds := 1
	for r.expire() {
		rounds++
	}
	if r.count != 40 || rounds != 3 { // of 560, 256 at once
		t.Errorf("%d are left after %d rounds, want 40 after 3", r.count, rounds)
	}
	if got := filesOf(t, r, "taro@example.jp"); got != strings.TrimSpace(strings.Repeat("29 ", 20)+strings.Repeat("28 ", 20)) {
		t.Errorf("kept %q", got)
	}
	c.now = day(60)
	r.expire()
	if got := filesOf(t, r, "taro@example.jp"); got != "" {
		t.Errorf("kept %q", got)
	}
}

// A server that starts drops what is too old by itself.
func TestRemovalsExpireAtStart(t *testing.T) {
	r := OpenRemovals(historyPath(t), 100*365*24*time.Hour, slog.New(slog.DiscardHandler))
	now := removal("taro@example.jp", 0, "new")
	now.Time = time.Now()
	r.Add(removal("taro@example.jp", 0, "old"), now)
	r.Close()
	r.keep = time.Hour
	r = reopened(t, r)
	for range 100 {
		if filesOf(t, r, "taro@example.jp") == "new" {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("kept %q", filesOf(t, r, "taro@example.jp"))
}

func TestRemovalsOfOneAddressAreBounded(t *testing.T) {
	r, _ := still(t, historyPath(t), &clock{day(30)})
	r.most = 3
	for i := range 10 {
		r.write([]Removal{removal("taro@example.jp", 0, fmt.Sprint(i)), removal("zoe@example.jp", 0, fmt.Sprint(i))})
	}
	r.write([]Removal{removal("jiro@example.jp", 0, "only")})
	for address, want := range map[string]string{"taro@example.jp": "9 8 7", "zoe@example.jp": "9 8 7", "jiro@example.jp": "only"} {
		if got := filesOf(t, r, address); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	if r.count != 7 {
		t.Errorf("count %d, want 7", r.count)
	}
}

func TestRemovalsInAllAreBounded(t *testing.T) {
	r, _ := still(t, historyPath(t), &clock{day(30)})
	r.total = 3
	for i := range 10 {
		r.write([]Removal{removal(fmt.Sprintf("a%d@example.jp", i%4), i, fmt.Sprint(i))})
	}
	for address, want := range map[string]string{"a0@example.jp": "8", "a1@example.jp": "9", "a2@example.jp": "", "a3@example.jp": "7"} {
		if got := filesOf(t, r, address); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	if r.count != 3 {
		t.Errorf("count %d, want 3", r.count)
	}
}

// With 0 nothing is kept, and what there was is gone.
func TestRemovalsOff(t *testing.T) {
	r, _ := still(t, historyPath(t), &clock{day(30)})
	r.write([]Removal{removal("taro@example.jp", 0, "a.exe")})
	if err := os.WriteFile(r.damaged(), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	off := OpenRemovals(r.path, 0, slog.New(slog.DiscardHandler))
	off.Add(removal("taro@example.jp", 0, "b.exe"))
	if got := filesOf(t, off, "taro@example.jp"); got != "" || off.Lost() != 0 {
		t.Errorf("kept %q, lost %d", got, off.Lost())
	}
	if err := off.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(r.path)); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// Whatever is in the file's place, a history begins, and what was there lies aside.
func TestRemovalsFileIsDamaged(t *testing.T) {
	r, _ := still(t, historyPath(t), &clock{day(30)})
	for i := range 300 {
		r.write([]Removal{removal(name(i), 0, "a.exe")})
	}
	r.file.close()
	r.file = nil
	whole, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	for what, data := range map[string][]byte{
		"empty":              {},
		"text":               []byte(strings.Repeat("no database ", 1000)),
		"cut short":          whole[:len(whole)/2],
		"meta pages zeroed":  zeroed(whole, 0, 8192),
		"pages zeroed":       zeroed(whole, 4*4096, 9*4096),
		"an account's":       sample(t, 3),
		"all but meta pages": append(bytes.Clone(whole[:8192]), bytes.Repeat([]byte{0xff}, len(whole)-8192)...),
	} {
		t.Run(what, func(t *testing.T) {
			path := historyPath(t)
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			r, log := still(t, path, &clock{day(30)})
			r.write([]Removal{removal("taro@example.jp", 0, "b.exe")})
			if got := filesOf(t, r, "taro@example.jp"); got != "b.exe" {
				t.Errorf("kept %q", got)
			}
			if aside, err := os.ReadFile(path + ".damaged"); err != nil || !bytes.Equal(aside, data) {
				t.Errorf("not put aside: %v", err)
			}
			if !strings.Contains(log.String(), "put aside") {
				t.Errorf("log: %s", log)
			}
		})
	}
}

// A record that is damaged is left out, and is in nobody's way.
func TestRemovalIsDamaged(t *testing.T) {
	r, _ := still(t, historyPath(t), &clock{day(30)})
	r.most = 3
	for i := range 3 {
		r.write([]Removal{removal("taro@example.jp", i, fmt.Sprint(i))})
	}
	err := r.file.update(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketRemovals).Put(removalKey("taro@example.jp", 1), []byte("damaged"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := filesOf(t, r, "taro@example.jp"); got != "2 1" {
		t.Errorf("%q", got)
	}
	r.write([]Removal{removal("taro@example.jp", 4, "3")})
	if got := filesOf(t, r, "taro@example.jp"); got != "3 2 1" || r.Lost() != 0 {
		t.Errorf("%q, %d lost", got, r.Lost())
	}
	r.keep = time.Hour
	if r.expire(); r.count != 0 {
		t.Errorf("%d are left", r.count)
	}
}

// A file that is taken away, or cut short, while it is in use: a new one is begun.
func TestRemovalsFileIsTakenAway(t *testing.T) {
	for what, take := range map[string]func(path string) error{
		"removed":   os.Remove,
		"cut short": func(path string) error { return os.Truncate(path, 4096) },
		"replaced":  func(path string) error { return errors.Join(os.Remove(path), os.WriteFile(path, []byte("x"), 0o600)) },
	} {
		t.Run(what, func(t *testing.T) {
			r, log := still(t, historyPath(t), &clock{day(30)})
			r.write([]Removal{removal("taro@example.jp", 0, "a.exe")})
			if err := take(r.path); err != nil {
				t.Fatal(err)
			}
			r.write([]Removal{removal("taro@example.jp", 1, "b.exe")})
			if got := filesOf(t, r, "taro@example.jp"); got != "b.exe" || r.Lost() != 0 {
				t.Errorf("%q, %d lost; log: %s", got, r.Lost(), log)
			}
		})
	}
}

// Where no file can be made the mail goes on; a minute later it is tried again.
func TestRemovalsCannotBeKept(t *testing.T) {
	c := &clock{day(30)}
	path := filepath.Join(t.TempDir(), "folder", RemovalsName)
	r, log := still(t, path, c)
	if _, err := r.List("taro@example.jp", time.Time{}, 0, 0); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("List: %v", err)
	}
	r.write([]Removal{removal("taro@example.jp", 0, "a.exe")})
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	r.write([]Removal{removal("taro@example.jp", 0, "b.exe")})
	if r.Lost() != 2 || !strings.Contains(log.String(), "no history of removals is kept") {
		t.Errorf("%d lost, log: %s", r.Lost(), log)
	}
	c.now = c.now.Add(time.Minute)
	r.write([]Removal{removal("taro@example.jp", 0, "c.exe")})
	if got := filesOf(t, r, "taro@example.jp"); got != "c.exe" || r.Lost() != 2 {
		t.Errorf("%q, %d lost", got, r.Lost())
	}
}

// Nobody sees what was removed from the mail of the one who had the address before.
func TestRemovalsOfAnotherOwner(t *testing.T) {
	const address = "taro@example.jp"
	steps := func(kinds ...func(*testing.T, *DB)) []func(*testing.T, *DB) { return kinds }
	closed := func(t *testing.T, db *DB) { must(t)(db.Change(address, Closed, "", time.Time{}, "root")) }
	closedBefore := func(t *testing.T, db *DB) { must(t)(db.Change(address, Closed, "", day(1), "root")) }
	addedTo := func(owner string) func(*testing.T, *DB) {
		return func(t *testing.T, db *DB) { must(t)(db.Add(NewAccount{Address: address, Owner: owner})) }
	}
	addedBefore := func(owner string) func(*testing.T, *DB) {
		return func(t *testing.T, db *DB) { must(t)(db.Add(NewAccount{Address: address, Owner: owner, At: day(2)})) }
	}
	given := func(owner string) func(*testing.T, *DB) {
		return func(t *testing.T, db *DB) { must(t)(db.Set(address, Settings{Owner: &owner}, "root")) }
	}
	for _, tt := range []struct {
		name  string
		steps []func(*testing.T, *DB) // one every ten days, from day 10 on
		want  string                  // of removals on day 5, 15, 25, 35
	}{
		{"never closed", steps(addedTo("A")), "35 25 15 5"},
		{"closed", steps(addedTo("A"), closed), "35 25 15 5"},
		{"added again for another", steps(addedTo("A"), closed, addedTo("B")), "35"},
		{"added again for the same", steps(addedTo("A"), closed, addedTo("A")), "35 25 15 5"},
		{"added again, nobody knows for whom", steps(addedTo(""), closed, addedTo("")), "35"},
		{"added again for another, as if it had been earlier", steps(addedTo("A"), closedBefore, addedBefore("B")), "35"},
		{"given to another", steps(addedTo("A"), given("B")), "35 25"},
		{"given, and back", steps(addedTo("A"), given("B"), given("A")), "35"},
		{"its owner is told later", steps(addedTo(""), given("A")), "35 25 15 5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db, c := fresh(t)
			for i, step := range tt.steps {
				c.now = day(10 * (i + 1))
				if i == 0 {
					c.now = day(0)
				}
				step(t, db)
			}
			r, _ := still(t, filepath.Join(filepath.Dir(db.path), RemovalsName), &clock{day(40)})
			for d := 5; d < 40; d += 10 {
				r.write([]Removal{removal(address, d, fmt.Sprint(d))})
			}
			db.SetRemovals(r)
			all, err := db.Removals(address, 0, 0)
			if got := fileNames(all); err != nil || got != tt.want {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}
			db.SetRemovals(nil) // no server runs
			r.file.close()
			r.file = nil
			all, err = db.Removals(address, 0, 1)
			if got := fileNames(all); err != nil || got != "35" {
				t.Errorf("from the file: %q, %v", got, err)
			}
		})
	}
}

func TestRemovalsOfNobody(t *testing.T) {
	db, _ := fresh(t)
	if _, err := db.Removals("nobody@example.jp", 0, 0); !errors.Is(err, ErrUnknown) {
		t.Errorf("of no account: %v", err)
	}
	add(t, db, "taro@example.jp")
	if all, err := db.Removals("taro@example.jp", 0, 0); err != nil || len(all) != 0 {
		t.Errorf("without a file: %v, %v", all, err)
	}
	file := filepath.Join(filepath.Dir(db.path), RemovalsName)
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Removals("taro@example.jp", 0, 0); !errors.Is(err, ErrForeign) {
		t.Errorf("of a damaged file: %v", err)
	}
}

func must(t *testing.T) func(Account, error) {
	return func(_ Account, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzUnsealRemoval(f *testing.F) {
	key := removalKey("taro@example.jp", 7)
	one := removal("taro@example.jp", 1, "a.exe")
	one.Seq = 7
	f.Add(key, sealRemoval(key, one))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		// A value with a right checksum is read to its end without a fault.
		for _, v := range [][]byte{value, seal(key, value)} {
			got, err := unsealRemoval(key, v)
			if err == nil && string(removalKey(got.Address, got.Seq)) != string(key) {
				t.Errorf("%+v under the key %q", got, key)
			}
		}
	})
}
