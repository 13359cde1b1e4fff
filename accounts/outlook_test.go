package accounts

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// TestOutlookIsWhatChangesBring: in the course of random lives, exactly the changes
// that an outlook names are possible, and each of them leads to what it says.
func TestOutlookIsWhatChangesBring(t *testing.T) {
	kinds := []Kind{Subscribed, Paused, Resumed, Cancelled}
	tried, done, took := 0, 0, 0
	for seed := range uint64(20) {
		db, c := shop(t, "2014-10-15")
		random := rand.New(rand.NewPCG(seed, 7))
		member(t, db, "a@example.jp", "1", "2014-01-01")
		for range 30 {
			c.now = c.now.Add(time.Duration(random.IntN(20*24)) * time.Hour)
			if random.IntN(2) == 0 { // something for later, which may not be possible
				db.Change("a@example.jp", kinds[random.IntN(4)], services[random.IntN(2)], c.now.Add(time.Duration(1+random.IntN(40*24))*time.Hour), "x")
			}
			if random.IntN(10) == 0 {
				db.Set("a@example.jp", Settings{NoCourse: new(random.IntN(2) == 0)}, "x")
			}
			k, service := kinds[random.IntN(4)], services[random.IntN(2)]
			o, err := db.Outlook("A@example.jp")
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(o.Changes, func(p Prospect) bool { return p.Kind == k && p.Service == service })
			after, err := db.Change("a@example.jp", k, service, time.Time{}, "x")
			tried++
			if (err == nil) != (i >= 0) {
				t.Fatalf("seed %d: %s %s: %v, and the outlook has %+v", seed, k, service, err, o.Changes)
			}
			if err != nil {
				continue
			}
			done++
			now, err := db.Outlook("a@example.jp")
			if err != nil {
				t.Fatal(err)
			}
			got := now.Services[slices.Index(services, service)]
			if want := o.Changes[i].Standing; !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d: %s %s led to\n%+v, and the outlook had\n%+v", seed, k, service, got, want)
			}
			gone := o.Account.without(after)
			took += len(gone)
			if !reflect.DeepEqual(gone, o.Changes[i].TakenBack) {
				t.Fatalf("seed %d: %s %s took back %v, and the outlook had %v", seed, k, service, gone, o.Changes[i].TakenBack)
			}
		}
	}
	if done < 100 || tried-done < 100 || took < 5 {
		t.Errorf("%d of %d changes were possible, %d took something back: too few to tell", done, tried, took)
	}
}

func TestOutlookOfTheNextMonth(t *testing.T) {
	db, c := shop(t, "2014-11-15")
	member(t, db, "a@example.jp", "1", "2014-01-01")
	change(t, db, "a@example.jp", Subscribed, Inbound, "")
	change(t, db, "a@example.jp", Paused, Inbound, "")
	fees := func() (next []int64) {
		t.Helper()
		o, err := db.Outlook("a@example.jp")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range o.Services {
			if s.Next == nil {
				next = append(next, -1)
			} else {
				next = append(next, s.Next.Fee)
			}
		}
		return next
	}
	if got := fees(); !slices.Equal(got, []int64{150, -1}) {
		t.Errorf("paused: %v", got)
	}
	change(t, db, "a@example.jp", Cancelled, Inbound, "2014-12-20")
	if got := fees(); !slices.Equal(got, []int64{-1, -1}) {
		t.Errorf("to be cancelled next month: %v", got)
	}
	if o, err := db.Outlook("a@example.jp"); err != nil || !o.Owned.IsZero() {
		t.Errorf("its first owner's since %s, %v", o.Owned, err)
	}
	if _, err := db.Set("a@example.jp", Settings{Owner: new("2")}, "root"); err != nil {
		t.Fatal(err)
	}
	if o, err := db.Outlook("a@example.jp"); err != nil || !o.Owned.Equal(c.now) {
		t.Errorf("another owner's since %s, %v; want %s", o.Owned, err, c.now)
	}
	if _, err := db.Outlook("b@example.jp"); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown: %v", err)
	}
}
