package accounts

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

var tokyo = time.FixedZone("JST", 9*60*60)

// shop makes a database with the service's tariff, whose clock stands at a time in Tokyo.
func shop(t testing.TB, now string) (*DB, *clock) {
	t.Helper()
	db, c := fresh(t)
	db.SetTariff(theService(tokyo))
	c.now = local(t, now, tokyo)
	return db, c
}

// change enters a change that has to be possible. at is a day or a time in Tokyo; "" means now.
func change(t testing.TB, db *DB, address string, k Kind, s Service, at string) {
	t.Helper()
	var effective time.Time
	if at != "" {
		effective = local(t, at, tokyo)
	}
	if _, err := db.Change(address, k, s, effective, "root"); err != nil {
		t.Fatal(err)
	}
}

// member adds an account of an owner for a day.
func member(t testing.TB, db *DB, address, owner, day string) {
	t.Helper()
	if _, err := db.Add(NewAccount{Address: address, Owner: owner, By: "root", At: local(t, day, tokyo)}); err != nil {
		t.Fatal(err)
	}
}

// billOf gives the lines of a bill, without the columns that all have in common.
func billOf(t testing.TB, db *DB, month, owner string) string {
	t.Helper()
	var b strings.Builder
	bill, err := db.Bill(mustMonth(t, month), BillOptions{Owner: owner}, func(c Charge) bool {
		if c.Month.String() != month || c.Currency != "JPY" {
			t.Errorf("%+v in the bill of %s", c, month)
		}
		fmt.Fprintf(&b, "%s %s %s %d %s\n", c.Owner, c.Address, c.Service, c.Fee, c.Reason)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(b.String(), "\n"); lines != bill.Lines {
		t.Errorf("%d lines, said to be %d", lines, bill.Lines)
	}
	return b.String()
}

func mustMonth(t testing.TB, s string) Month {
	t.Helper()
	m, err := ParseMonth(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// changesOf gives how a bill has changed since it was issued.
func changesOf(t testing.TB, db *DB, month string) string {
	t.Helper()
	var b strings.Builder
	if _, err := db.SinceIssued(mustMonth(t, month), BillOptions{}, func(d Difference) bool {
		fmt.Fprintf(&b, "%s %s %s %s %d %s\n", d.Change, d.Owner, d.Address, d.Service, d.Fee, d.Reason)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func same(t testing.TB, what, got, want string) {
	t.Helper()
	if want = indented(want); got != want {
		t.Errorf("%s:\n%swant\n%s", what, got, want)
	}
}

func TestBill(t *testing.T) {
	db, c := shop(t, "2014-11-15")
	member(t, db, "c@example.jp", "2", "2014-01-01")
	member(t, db, "a@example.jp", "1", "2014-01-01")
	member(t, db, "b@example.jp", "1", "2014-01-01")
	change(t, db, "a@example.jp", Subscribed, Inbound, "2014-03-03")
	change(t, db, "a@example.jp", Subscribed, Outbound, "2014-03-03")
	change(t, db, "b@example.jp", Subscribed, Inbound, "2014-10-31 23:59:59")
	change(t, db, "c@example.jp", Subscribed, Inbound, "")
	change(t, db, "c@example.jp", Cancelled, Inbound, "")
	want := `
		1 a@example.jp inbound 150 regular
		1 a@example.jp outbound 150 regular
		1 b@example.jp inbound 150 regular
		2 c@example.jp inbound 0 campaign`
	same(t, "under way", billOf(t, db, "2014-11", ""), want)
	same(t, "of one owner", billOf(t, db, "2014-11", "2"), "2 c@example.jp inbound 0 campaign")
	same(t, "of nobody", billOf(t, db, "2014-11", "3"), "")
	same(t, "before all", billOf(t, db, "2013-11", ""), "")
	if _, err := db.Bill(Month{2014, 12}, BillOptions{}, nil); !errors.Is(err, ErrTransition) || !strings.Contains(err.Error(), "begins on 2014-12-01T00:00:00+09:00") {
		t.Errorf("a month that has not begun: %v", err)
	}
	b, err := db.Bill(Month{2014, 11}, BillOptions{}, func(Charge) bool { return false })
	if err != nil || b.Lines != 1 || b.Total != 150 || !b.UnderWay || b.Currency != "JPY" {
		t.Errorf("ended after a line: %+v, %v", b, err)
	}
	c.now = local(t, "2014-12-01", tokyo)
	same(t, "over", billOf(t, db, "2014-11", ""), want)
	if b, err := db.Bill(Month{2014, 11}, BillOptions{}, func(Charge) bool { return true }); err != nil || b.UnderWay || b.Total != 450 {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestABillOfAPastMonthChangesByBackdatingOnly(t *testing.T) {
	db, c := shop(t, "2014-11-15")
	for _, address := range []string{"a@example.jp", "b@example.jp", "c@example.jp", "d@example.jp"} {
		member(t, db, address, "1", "2014-01-01")
		change(t, db, address, Subscribed, Inbound, "2014-03-03")
	}
	want := billOf(t, db, "2014-11", "")
	c.now = local(t, "2014-12-01", tokyo)
	change(t, db, "a@example.jp", Cancelled, Inbound, "")
	change(t, db, "b@example.jp", Closed, "", "")
	change(t, db, "c@example.jp", Subscribed, Outbound, "")
	if _, err := db.Set("d@example.jp", Settings{Owner: new("2")}, "root"); err != nil {
		t.Fatal(err)
	}
	same(t, "after changes of December", billOf(t, db, "2014-11", ""), want)
	same(t, "changes", changesOf(t, db, "2014-11"), "")
	member(t, db, "aa@example.jp", "1", "2014-11-01")
	change(t, db, "aa@example.jp", Subscribed, Inbound, "2014-11-05")
	change(t, db, "d@example.jp", Cancelled, Inbound, "2014-11-30")
	same(t, "changes by backdating", changesOf(t, db, "2014-11"), `
		added 1 aa@example.jp inbound 0 campaign
		removed 1 d@example.jp inbound 150 regular`)
	if _, err := db.SinceIssued(Month{2014, 12}, BillOptions{}, nil); !errors.Is(err, ErrTransition) {
		t.Errorf("changes of a month under way: %v", err)
	}
}

func TestAClosedBillStays(t *testing.T) {
	db, c := shop(t, "2014-11-30 23:59:59")
	member(t, db, "a@example.jp", "山田, \"太郎\"", "2014-01-01")
	change(t, db, "a@example.jp", Subscribed, Inbound, "2014-03-03")
	change(t, db, "a@example.jp", Subscribed, Outbound, "2014-11-03")
	november := Month{2014, 11}
	if _, err := db.CloseMonth(november, "root", nil); !errors.Is(err, ErrTransition) || !strings.Contains(err.Error(), "ends on 2014-12-01T00:00:00+09:00") {
		t.Errorf("closed while under way: %v", err)
	}
	c.now = local(t, "2014-12-03 09:30:00", tokyo)
	want := billOf(t, db, "2014-11", "")
	b, err := db.CloseMonth(november, "hana\nko", nil)
	if err != nil || b.Lines != 2 || b.Total != 300 || b.By != "hana?ko" {
		t.Fatalf("%+v, %v", b, err)
	}
	if _, err := db.CloseMonth(november, "root", nil); !errors.Is(err, ErrIssued) || !strings.Contains(err.Error(), "on 2014-12-03T09:30:00+09:00 by hana?ko") {
		t.Errorf("closed twice: %v", err)
	}
	change(t, db, "a@example.jp", Cancelled, Outbound, "2014-11-04")
	change(t, db, "a@example.jp", Cancelled, Inbound, "2014-11-04")
	db.SetTariff(Tariff{Zone: tokyo, Currency: "EUR"})
	same(t, "the closed bill", billOf(t, db, "2014-11", ""), want)
	got, err := db.Bill(november, BillOptions{}, func(Charge) bool { return true })
	if err != nil || got != b {
		t.Errorf("%+v, %v, want %+v", got, err, b)
	}
	db.SetTariff(theService(tokyo))
	same(t, "changes", changesOf(t, db, "2014-11"), `removed 山田, "太郎" a@example.jp inbound 150 regular`)
	dir := filepath.Join(filepath.Dir(db.path), "bills")
	text, err := os.ReadFile(filepath.Join(dir, "2014-11.csv"))
	if err != nil || !strings.HasPrefix(string(text), "month,owner,address,service,fee,currency,reason\n2014-11,\"山田, \"\"太郎\"\"\",a@example.jp,inbound,150,JPY,regular\n") {
		t.Errorf("the file: %v\n%s", err, text)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); left != nil {
		t.Errorf("left behind: %q", left)
	}
}

// TestADamagedBillIsRefused: whatever byte of it has changed.
func TestADamagedBillIsRefused(t *testing.T) {
	db, c := shop(t, "2014-11-30")
	member(t, db, "a@example.jp", "1", "2014-01-01")
	change(t, db, "a@example.jp", Subscribed, Inbound, "2014-03-03")
	c.now = local(t, "2014-12-03", tokyo)
	if _, err := db.CloseMonth(Month{2014, 11}, "root", nil); err != nil {
		t.Fatal(err)
	}
	file := db.billFile(Month{2014, 11})
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, text []byte) {
		t.Helper()
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Bill(Month{2014, 11}, BillOptions{}, func(Charge) bool { return true }); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := db.CloseMonth(Month{2014, 11}, "root", nil); err == nil {
			t.Errorf("%s: it was closed again", what)
		}
	}
	for i := range text {
		changed := slices.Clone(text)
		changed[i] ^= 1
		refused(fmt.Sprintf("byte %d", i), changed)
		refused(fmt.Sprintf("cut to %d bytes", i), text[:i])
	}
	refused("more behind it", append(slices.Clone(text), '\n'))
}

// TestABillThatCannotBeWrittenIsNotThere, and can be closed later.
func TestABillThatCannotBeWrittenIsNotThere(t *testing.T) {
	db, c := shop(t, "2014-11-30")
	member(t, db, "a@example.jp", "1", "2014-01-01")
	c.now = local(t, "2014-12-03", tokyo)
	dir := filepath.Join(filepath.Dir(db.path), "bills")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := db.CloseMonth(Month{2014, 11}, "root", nil); err == nil {
		t.Error("closed into a file that is no folder")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := db.CloseMonth(Month{2014, 11}, "root", nil); err != nil {
		t.Error(err)
	}
}

// TestTwoCloseAtOnce: one does, the other is told.
func TestTwoCloseAtOnce(t *testing.T) {
	db, c := shop(t, "2014-11-30")
	for i := range 600 {
		member(t, db, name(i), "1", "2014-01-01")
	}
	c.now = local(t, "2014-12-03", tokyo)
	var all sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		all.Go(func() { _, errs[i] = db.CloseMonth(Month{2014, 11}, "root", nil) })
	}
	all.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
		} else if !errors.Is(err, ErrIssued) {
			t.Error(err)
		}
	}
	if done != 1 {
		t.Errorf("closed %d times", done)
	}
}

// TestABillWithADamagedAccountIsNotWhole: the others are told, then the error, and it cannot be closed.
func TestABillWithADamagedAccountIsNotWhole(t *testing.T) {
	db, c := shop(t, "2014-11-30")
	for i := range 3 {
		member(t, db, name(i), "1", "2014-01-01")
		change(t, db, name(i), Subscribed, Inbound, "2014-02-01")
	}
	if err := db.update(func(tx *bolt.Tx) error { return tx.Bucket(bucketAccounts).Put([]byte(name(1)), []byte("x")) }); err != nil {
		t.Fatal(err)
	}
	c.now = local(t, "2014-12-03", tokyo)
	n := 0
	if _, err := db.Bill(Month{2014, 11}, BillOptions{}, func(Charge) bool { n++; return true }); !errors.Is(err, ErrDamaged) || n != 2 {
		t.Errorf("%d lines, %v", n, err)
	}
	if _, err := db.CloseMonth(Month{2014, 11}, "root", nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("closed: %v", err)
	}
	if _, err := os.Stat(db.billFile(Month{2014, 11})); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file: %v", err)
	}
}

func TestTheClockPutBackIsTold(t *testing.T) {
	db, c := shop(t, "2014-12-03")
	member(t, db, "a@example.jp", "1", "2014-01-01")
	c.now = local(t, "2014-11-20", tokyo)
	if _, err := db.CloseMonth(Month{2014, 11}, "root", nil); !errors.Is(err, ErrTransition) || !strings.Contains(err.Error(), "entered on 2014-12-03T00:00:00+09:00: was the clock put back?") {
		t.Errorf("%v", err)
	}
}

func TestServices(t *testing.T) {
	db, c := shop(t, "2014-11-15")
	member(t, db, "a@example.jp", "1", "2014-01-01")
	text := func() string {
		t.Helper()
		all, err := db.Services("A@example.jp")
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, s := range all {
			fmt.Fprintf(&b, "%s %t", s.Service, s.State.Subscribed)
			if s.Charge != nil {
				fmt.Fprintf(&b, ", charged %d (%s)", s.Charge.Fee, s.Charge.Reason)
			}
			if o := s.Offer; o != nil && o.Refused == "" {
				fmt.Fprintf(&b, ", offered for %d (%s), then %d", o.Fee, o.Reason, o.Next)
			} else if o != nil {
				fmt.Fprintf(&b, ", refused: %s", o.Refused)
			}
			fmt.Fprintln(&b)
		}
		return b.String()
	}
	same(t, "at first", text(), `
		inbound false, offered for 0 (campaign), then 150
		outbound false, offered for 150 (first month), then 150`)
	change(t, db, "a@example.jp", Subscribed, Inbound, "")
	same(t, "subscribed", text(), `
		inbound true, charged 0 (campaign)
		outbound false, offered for 150 (first month), then 150`)
	change(t, db, "a@example.jp", Cancelled, Inbound, "")
	same(t, "cancelled in the free month", text(), `
		inbound false, charged 0 (campaign), offered for 0 (campaign), then 150
		outbound false, offered for 150 (first month), then 150`)
	c.now = local(t, "2014-12-15", tokyo)
	same(t, "a month later", text(), `
		inbound false, offered for 150 (first month), then 150
		outbound false, offered for 150 (first month), then 150`)
	tariff := theService(tokyo)
	tariff.Prices = append(tariff.Prices, Price{Inbound, Month{2015, 1}, 200})
	db.SetTariff(tariff)
	if _, err := db.Set("a@example.jp", Settings{NoCourse: new(true)}, "x"); err != nil {
		t.Fatal(err)
	}
	same(t, "without a course", text(), `
		inbound false, refused: its owner has no connection course
		outbound false, refused: its owner has no connection course`)
	if _, err := db.Set("a@example.jp", Settings{NoCourse: new(false)}, "x"); err != nil {
		t.Fatal(err)
	}
	change(t, db, "a@example.jp", Subscribed, Outbound, "2015-02-01")
	if got := text(); !strings.Contains(got, "inbound false, offered for 150 (first month), then 200\n") ||
		!strings.Contains(got, "outbound false, refused: ") || !strings.Contains(got, "cancelling outbound now takes back") {
		t.Errorf("entered for later:\n%s", got)
	}
	change(t, db, "a@example.jp", Closed, "", "")
	same(t, "closed", text(), "inbound false\noutbound false\n")
	if _, err := db.Services("b@example.jp"); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown: %v", err)
	}
}

func TestWithoutACourse(t *testing.T) {
	db, _ := shop(t, "2014-11-15")
	if _, err := db.Add(NewAccount{Address: "a@b", NoCourse: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Change("a@b", Subscribed, Inbound, time.Time{}, "x"); !errors.Is(err, ErrIneligible) {
		t.Errorf("subscribed: %v", err)
	}
	if a, err := db.Force("a@b", Inbound, time.Time{}, "x"); err != nil || !a.Inbound.Active() {
		t.Errorf("forced: %+v, %v", a.Inbound, err)
	}
	if _, err := db.Force("a@b", Inbound, time.Time{}, "x"); !errors.Is(err, ErrTransition) {
		t.Errorf("forced twice: %v", err)
	}
	for _, k := range []Kind{Paused, Resumed, Cancelled} {
		change(t, db, "a@b", k, Inbound, "")
	}
	if events, err := db.History("a@b"); err != nil || events[1].Note != "without a connection course" {
		t.Errorf("%+v, %v", events, err)
	}
	if _, err := db.Set("a@b", Settings{NoCourse: new(false)}, "x"); err != nil {
		t.Fatal(err)
	}
	change(t, db, "a@b", Subscribed, Inbound, "")
	change(t, db, "a@b", Closed, "", "")
	if _, err := db.Force("a@b", Inbound, time.Time{}, "x"); !errors.Is(err, ErrTransition) {
		t.Errorf("forced when closed: %v", err)
	}
	sound(t, db)
}

func TestMainMailbox(t *testing.T) {
	db, _ := shop(t, "2014-11-15")
	if _, err := db.Add(NewAccount{Address: "a@b", Main: true}); !errors.Is(err, ErrSetting) {
		t.Errorf("without an owner: %v", err)
	}
	if a, err := db.Add(NewAccount{Address: "a@b", Owner: "1", Main: true}); err != nil || !a.Main {
		t.Errorf("%+v, %v", a, err)
	}
	for _, tt := range []struct {
		name string
		s    Settings
		ok   bool
	}{
		{"no owner any more", Settings{Owner: new("")}, false},
		{"another owner", Settings{Owner: new("2")}, false},
		{"the same owner", Settings{Owner: new("1")}, true},
		{"another owner's main mailbox", Settings{Owner: new("2"), Main: new(true)}, true},
		{"another owner's, and not the main one", Settings{Owner: new("3"), Main: new(false)}, true},
	} {
		if _, err := db.Set("a@b", tt.s, "x"); (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrSetting) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	sound(t, db)
}

func TestAddForThePast(t *testing.T) {
	db, _ := shop(t, "2014-11-15")
	member(t, db, "a@example.jp", "1", "2014-03-01")
	if a, err := db.Get("a@example.jp"); err != nil || !a.Added.Equal(local(t, "2014-03-01", tokyo)) {
		t.Errorf("%+v, %v", a, err)
	}
	change(t, db, "a@example.jp", Subscribed, Inbound, "2014-03-01")
	if _, err := db.Add(NewAccount{Address: "b@example.jp", At: local(t, "2014-11-16", tokyo)}); !errors.Is(err, ErrTransition) {
		t.Errorf("added for later: %v", err)
	}
	change(t, db, "a@example.jp", Closed, "", "2014-06-01")
	if _, err := db.Add(NewAccount{Address: "a@example.jp", At: local(t, "2014-05-01", tokyo)}); !errors.Is(err, ErrTransition) {
		t.Errorf("added again while it was open: %v", err)
	}
	member(t, db, "a@example.jp", "2", "2014-07-01")
	sound(t, db)
}

func TestOwnersAsAWhole(t *testing.T) {
	db, c := shop(t, "2014-11-15")
	long := strings.Repeat("x", 200)
	for i := range 600 {
		member(t, db, name(i), fmt.Sprint(i/3), "2014-01-01")
	}
	member(t, db, "long@example.jp", long, "2014-01-01")
	member(t, db, strings.Repeat("y", 200)+"@example.jp", "7", "2014-01-01")
	list := func(owner string) (all []string) {
		t.Helper()
		if err := db.ListOwner(owner, func(a Account) bool { all = append(all, a.Address); return true }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	if got, want := list("7"), []string{name(21), name(22), name(23), strings.Repeat("y", 200) + "@example.jp"}; !slices.Equal(got, want) {
		t.Errorf("of 7: %v", got)
	}
	if got := list(long); !slices.Equal(got, []string{"long@example.jp"}) {
		t.Errorf("of a long name: %v", got)
	}
	if got := list("70000"); got != nil {
		t.Errorf("of nobody: %v", got)
	}
	change(t, db, name(22), Subscribed, Inbound, "2014-02-01")
	change(t, db, name(21), Closed, "", "")
	change(t, db, name(23), Closed, "", "2014-12-01")
	closed, err := db.CloseOwner("7", local(t, "2014-12-31", tokyo), "root")
	if err != nil || len(closed) != 2 || closed[0].Address != name(22) || len(closed[0].Pending) != 1 {
		t.Fatalf("%+v, %v", closed, err)
	}
	c.now = local(t, "2015-01-05", tokyo)
	for _, address := range list("7") {
		if a, err := db.Get(address); err != nil || a.open() {
			t.Errorf("%s: %+v, %v", address, a, err)
		}
	}
	same(t, "the month of leaving", billOf(t, db, "2014-12", "7"), "7 "+name(22)+" inbound 150 closing month")
	if _, err := db.CloseOwner("7", time.Time{}, "root"); !errors.Is(err, ErrTransition) {
		t.Errorf("closed again: %v", err)
	}
	for _, owner := range []string{"70000", ""} {
		if _, err := db.CloseOwner(owner, time.Time{}, "root"); !errors.Is(err, ErrUnknown) {
			t.Errorf("of nobody: %v", err)
		}
	}
	sound(t, db)
}

// TestCloseOwnerIsAllOrNothing: one that cannot be closed keeps the others open.
func TestCloseOwnerIsAllOrNothing(t *testing.T) {
	db, _ := shop(t, "2014-11-15")
	member(t, db, "a@example.jp", "7", "2014-01-01")
	member(t, db, "b@example.jp", "7", "2014-06-01")
	if _, err := db.CloseOwner("7", local(t, "2014-05-01", tokyo), "root"); !errors.Is(err, ErrTransition) || !strings.Contains(err.Error(), "b@example.jp") {
		t.Errorf("%v", err)
	}
	if a, err := db.Get("a@example.jp"); err != nil || !a.open() || a.Pending != nil {
		t.Errorf("%+v, %v", a, err)
	}
	sound(t, db)
}

// TestFileFromBeforeBilling: a file of the program that knew neither courses nor
// main mailboxes is read as before, and goes on.
func TestFileFromBeforeBilling(t *testing.T) {
	f, err := os.Open("testdata/settings-of-version-1.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "accounts.db")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	c := &clock{day(8)}
	db, err := Open(file, options(c))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetTariff(theService(time.UTC))
	sound(t, db)
	same(t, "October", billOf(t, db, "2014-10", ""), `
		0012345 hanako@example.jp inbound 0 campaign
		0012345 taro@example.jp inbound 0 campaign
		0012345 taro@example.jp outbound 150 first month`)
	a, err := db.Get("hanako@example.jp")
	if err != nil || a.NoCourse || a.Main || !a.NoCopy || len(a.Pending) != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := db.Set("hanako@example.jp", Settings{Main: new(true), NoCourse: new(true)}, "x"); err != nil {
		t.Fatal(err)
	}
	add(t, db, "jiro@example.jp") // which was closed
	sound(t, db)
}
