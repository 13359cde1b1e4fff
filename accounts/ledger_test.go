package accounts

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// day gives midnight of a day after the start of all tests.
func day(n int) time.Time { return time.Date(2014, 10, 1+n, 0, 0, 0, 0, time.UTC) }

// clock is a settable Options.Now.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

// fresh makes a database whose clock stands at day 0.
func fresh(t testing.TB) (*DB, *clock) {
	t.Helper()
	c := &clock{day(0)}
	db, err := Create(filepath.Join(t.TempDir(), "accounts.db"), options(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db, c
}

func options(c *clock) Options {
	return Options{Delimiter: "+", Path: "/var/vmail/{domain}/{local}/Maildir", Timeout: 300 * time.Millisecond, Now: c.Now}
}

// sound asks Check, after everything else a test did.
func sound(t testing.TB, db *DB) {
	t.Helper()
	if problems, _, err := db.Check(); err != nil || len(problems) > 0 {
		t.Errorf("Check: %q, %v", problems, err)
	}
}

func add(t testing.TB, db *DB, address string) {
	t.Helper()
	if _, err := db.Add(NewAccount{Address: address, By: "root"}); err != nil {
		t.Fatal(err)
	}
}

// A step is a change entered on one day for another.
type step struct {
	entered, effective int
	kind               Kind
	service            Service
}

func TestTransitions(t *testing.T) {
	const now = -1 // effective at once
	for _, tt := range []struct {
		name   string
		before []step
		last   step
		want   string // part of the refusal; empty when it is possible
	}{
		{"subscribe", nil, step{1, now, Subscribed, Inbound}, ""},
		{"subscribe twice", []step{{1, now, Subscribed, Inbound}}, step{2, now, Subscribed, Inbound}, "inbound is subscribed already"},
		{"subscribe the other", []step{{1, now, Subscribed, Inbound}}, step{2, now, Subscribed, Outbound}, ""},
		{"pause what is not subscribed", nil, step{1, now, Paused, Inbound}, "inbound is not subscribed"},
		{"pause", []step{{1, now, Subscribed, Inbound}}, step{2, now, Paused, Inbound}, ""},
		{"pause twice", []step{{1, now, Subscribed, Inbound}, {2, now, Paused, Inbound}}, step{3, now, Paused, Inbound}, "paused already"},
		{"pause outbound", []step{{1, now, Subscribed, Outbound}}, step{2, now, Paused, Outbound}, "outbound cannot be paused"},
		{"resume what is not paused", []step{{1, now, Subscribed, Inbound}}, step{2, now, Resumed, Inbound}, "inbound is not paused"},
		{"resume", []step{{1, now, Subscribed, Inbound}, {2, now, Paused, Inbound}}, step{3, now, Resumed, Inbound}, ""},
		{"cancel what is not subscribed", nil, step{1, now, Cancelled, Inbound}, "inbound is not subscribed"},
		{"cancel while paused", []step{{1, now, Subscribed, Inbound}, {2, now, Paused, Inbound}}, step{3, now, Cancelled, Inbound}, ""},
		{"unknown service", nil, step{1, now, Subscribed, "sideways"}, "no service"},
		{"no service", nil, step{1, now, Subscribed, ""}, "no service"},
		{"unknown kind", nil, step{1, now, "frozen", Inbound}, "not a change of state"},
		{"added is not for Change", nil, step{1, now, Added, ""}, "not a change of state"},
		{"close one service", nil, step{1, now, Closed, Inbound}, "with all its services"},
		{"close", []step{{1, now, Subscribed, Inbound}}, step{2, now, Closed, ""}, ""},
		{"closed is closed", []step{{1, now, Closed, ""}}, step{2, now, Subscribed, Inbound}, "closed since 2014-10-02"},
		{"close twice", []step{{1, now, Closed, ""}}, step{2, now, Closed, ""}, "closed since"},

		{"future cancel", []step{{1, now, Subscribed, Inbound}}, step{2, 9, Cancelled, Inbound}, ""},
		{"pause before a future cancel", []step{{1, now, Subscribed, Inbound}, {2, 9, Cancelled, Inbound}}, step{3, now, Paused, Inbound}, ""},
		{"pause after a future cancel", []step{{1, now, Subscribed, Inbound}, {2, 9, Cancelled, Inbound}}, step{3, 10, Paused, Inbound}, "not subscribed"},
		{"cancel revokes a future cancel", []step{{1, now, Subscribed, Inbound}, {2, 9, Cancelled, Inbound}}, step{3, now, Cancelled, Inbound}, ""},
		{"cancel revokes a future pause", []step{{1, now, Subscribed, Inbound}, {2, 9, Paused, Inbound}}, step{3, now, Cancelled, Inbound}, ""},
		{"close revokes a future cancel", []step{{1, now, Subscribed, Inbound}, {2, 9, Cancelled, Inbound}}, step{3, now, Closed, ""}, ""},
		{"cancel takes back a future subscribe", []step{{1, 20, Subscribed, Inbound}}, step{2, now, Cancelled, Inbound}, ""},
		{"cancel of the other takes nothing back", []step{{1, 20, Subscribed, Outbound}}, step{2, now, Cancelled, Inbound}, "inbound is not subscribed"},
		{"cancel takes back once", []step{{1, 20, Subscribed, Inbound}, {2, now, Cancelled, Inbound}}, step{3, now, Cancelled, Inbound}, "not subscribed"},
		{"cancel for later takes nothing back", []step{{1, 20, Subscribed, Inbound}}, step{2, 9, Cancelled, Inbound}, "cancelling inbound now takes back"},
		{"subscribe again after taking back", []step{{1, 20, Subscribed, Inbound}, {2, now, Cancelled, Inbound}}, step{3, 20, Subscribed, Inbound}, ""},
		{"cancel takes back a future pause too", []step{{1, 20, Subscribed, Inbound}, {1, 25, Paused, Inbound}}, step{2, now, Cancelled, Inbound}, ""},
		{"subscribe before a future cancel", []step{{1, now, Subscribed, Inbound}, {2, 9, Cancelled, Inbound}}, step{3, now, Subscribed, Inbound}, "then it can be subscribed to again"},
		{"close twice for later", []step{{1, 20, Closed, ""}}, step{2, 25, Closed, ""}, "it closes on 2014-10-21T00:00:00Z"},
		{"second future cancel", []step{{1, now, Subscribed, Inbound}, {2, 9, Cancelled, Inbound}}, step{3, 12, Cancelled, Inbound}, "not subscribed"},

		{"backdated pause", []step{{1, now, Subscribed, Inbound}}, step{9, 5, Paused, Inbound}, ""},
		{"backdated before subscribing", []step{{5, now, Subscribed, Inbound}}, step{9, 3, Paused, Inbound}, "inbound is not subscribed"},
		{"backdated before adding", nil, step{9, -30, Subscribed, Inbound}, "not added until later"},
		{"backdated pause of a pause", []step{{1, now, Subscribed, Inbound}, {5, now, Paused, Inbound}}, step{9, 3, Paused, Inbound},
			`then "paused" of 2014-10-06T00:00:00Z, entered by hanako, could not be`},
		{"backdated cancel before a pause", []step{{1, now, Subscribed, Inbound}, {5, now, Paused, Inbound}}, step{9, 3, Cancelled, Inbound}, "could not be"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db, c := fresh(t)
			add(t, db, "taro@example.jp")
			enter := func(s step) error {
				c.now = day(s.entered)
				at := day(s.effective)
				if s.effective == now {
					at = time.Time{}
				}
				_, err := db.Change("Taro@example.jp", s.kind, s.service, at, "hanako")
				return err
			}
			for _, s := range tt.before {
				if err := enter(s); err != nil {
					t.Fatal(err)
				}
			}
			before, _ := db.History("taro@example.jp")
			err := enter(tt.last)
			if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, ErrTransition) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if after, _ := db.History("taro@example.jp"); err != nil && len(after) != len(before) {
				t.Error("a refused change was entered")
			}
			sound(t, db)
		})
	}
}

// TestFutureChange: what was entered for later counts from that moment, without
// a write, and not before.
func TestFutureChange(t *testing.T) {
	db, c := fresh(t)
	add(t, db, "taro@example.jp")
	for _, s := range []struct {
		kind Kind
		day  int
	}{{Subscribed, 0}, {Paused, 10}, {Resumed, 20}, {Closed, 30}} {
		if _, err := db.Change("taro@example.jp", s.kind, map[bool]Service{false: Inbound}[s.kind == Closed], day(s.day), "root"); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		at     time.Time
		active bool
		closed bool
	}{
		{day(0), true, false}, {day(10).Add(-1), true, false}, {day(10), false, false}, {day(20).Add(-1), false, false},
		{day(20), true, false}, {day(30).Add(-1), true, false}, {day(30), false, true},
	} {
		c.now = tt.at
		a, err := db.Lookup("taro+x@example.jp")
		if errors.Is(err, ErrUnknown) != tt.closed || err == nil && a.Inbound.Active() != tt.active {
			t.Errorf("%s: %+v, %v", tt.at, a.Inbound, err)
		}
	}
	if got, err := db.Get("taro@example.jp"); err != nil || !got.Closed.Equal(day(30)) {
		t.Errorf("Get of a closed account: %v, %v", got.Closed, err)
	}
	sound(t, db)
}

// TestPendingIsTold: until it counts, what was entered for later is part of the account.
func TestPendingIsTold(t *testing.T) {
	db, c := fresh(t)
	add(t, db, "taro@example.jp")
	change := func(k Kind, s Service, at time.Time) {
		t.Helper()
		if _, err := db.Change("taro@example.jp", k, s, at, "root"); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, pending ...Pending) {
		t.Helper()
		got, err := db.Get("taro@example.jp")
		if err != nil || !slices.Equal(got.Pending, pending) {
			t.Errorf("%s: Get: %+v, %v; want %+v", what, got.Pending, err, pending)
		}
		found, err := db.Lookup("taro+x@example.jp")
		if err != nil || !slices.Equal(found.Pending, pending) {
			t.Errorf("%s: Lookup: %+v, %v; want %+v", what, found.Pending, err, pending)
		}
		db.List(func(listed Account) bool {
			if !slices.Equal(listed.Pending, pending) {
				t.Errorf("%s: List: %+v; want %+v", what, listed.Pending, pending)
			}
			return true
		})
	}
	want("nothing")
	change(Closed, "", day(30))
	change(Subscribed, Inbound, day(10))
	subscribed, closed := Pending{Subscribed, Inbound, day(10)}, Pending{Closed, "", day(30)}
	want("two", subscribed, closed)
	if _, err := db.Add(NewAccount{Address: "taro@example.jp"}); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "2014-10-31") {
		t.Errorf("adding what is to close: %v", err)
	}
	c.now = day(10)
	want("one", closed)
	change(Cancelled, Inbound, time.Time{})
	change(Subscribed, Inbound, day(20))
	change(Cancelled, Inbound, time.Time{})
	want("taken back", closed)
	if a, err := db.Get("taro@example.jp"); err != nil || a.Inbound.Subscribed || !a.Inbound.Since.Equal(day(10)) {
		t.Errorf("taking back changed the state: %+v, %v", a.Inbound, err)
	}
	sound(t, db)
}

// TestAddAgain: the ledger of a closed account goes on.
func TestAddAgain(t *testing.T) {
	db, c := fresh(t)
	add(t, db, "taro@example.jp")
	if _, err := db.Add(NewAccount{Address: "TARO@example.jp"}); !errors.Is(err, ErrExists) {
		t.Fatalf("second Add: %v", err)
	}
	for _, s := range []step{{1, 1, Subscribed, Inbound}, {2, 2, Closed, ""}} {
		c.now = day(s.entered)
		if _, err := db.Change("taro@example.jp", s.kind, s.service, time.Time{}, "root"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Set("taro@example.jp", Settings{Owner: new(string)}, "root"); !errors.Is(err, ErrTransition) {
		t.Errorf("Set of a closed account: %v", err)
	}
	c.now = day(3)
	a, err := db.Add(NewAccount{Address: "taro@example.jp", Language: "en"})
	if err != nil || a.Inbound.Subscribed || a.Language != "en" || !a.Added.Equal(day(0)) || !a.Closed.IsZero() {
		t.Errorf("added again: %+v, %v", a, err)
	}
	events, err := db.History("taro@example.jp")
	kinds := []Kind{}
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	if want := []Kind{Added, Subscribed, Closed, Added}; err != nil || !slices.Equal(kinds, want) {
		t.Errorf("history %v, %v, want %v", kinds, err, want)
	}
	sound(t, db)
}

// TestClockPutBack: a clock that goes back does not make changes impossible.
func TestClockPutBack(t *testing.T) {
	db, c := fresh(t)
	add(t, db, "taro@example.jp")
	c.now = day(-5)
	a, err := db.Change("taro@example.jp", Subscribed, Inbound, time.Time{}, "root")
	if err != nil || !a.Inbound.Active() {
		t.Fatalf("%+v, %v", a, err)
	}
	if a, err := db.Lookup("taro@example.jp"); err != nil || !a.Inbound.Active() {
		t.Errorf("not in force at once: %+v, %v", a, err)
	}
	sound(t, db)
}

// A model is the slow, plain way: every entry is kept, and a state is found by
// walking through all days.
type model struct{ entries []*planned }

type planned struct {
	step
	revoked   bool
	takesBack bool // cancels what was only planned
}

// state gives what holds at the end of a day: "", "on", "paused" for each
// service, or "closed", and whether all entries up to then were possible.
func (m *model) state(until int) (in, out string, closed, ok bool) {
	closed = true
	for d := range until + 1 {
		for _, e := range m.entries {
			if e.revoked || e.effective != d {
				continue
			}
			s := &in
			if e.service == Outbound {
				s = &out
			}
			was := *s
			switch {
			case e.kind == Added && closed:
				closed = false
			case closed || e.kind == Added:
				return in, out, closed, false
			case e.kind == Closed:
				in, out, closed = "", "", true
			case e.kind == Subscribed && was == "":
				*s = "on"
			case e.kind == Cancelled && (was != "" || e.takesBack):
				*s = ""
			case e.kind == Paused && was == "on" && e.service == Inbound:
				*s = "paused"
			case e.kind == Resumed && was == "paused":
				*s = "on"
			default:
				return in, out, closed, false
			}
		}
	}
	return in, out, closed, true
}

const horizon = 60 // days

// enter tries a step and reports whether it is possible.
func (m *model) enter(s step) bool {
	var taken []*planned
	if s.kind == Cancelled || s.kind == Closed {
		for _, e := range m.entries {
			if !e.revoked && e.effective > s.entered && e.effective > s.effective && (s.kind == Closed || e.service == s.service) {
				e.revoked = true
				taken = append(taken, e)
			}
		}
	}
	takesBack := s.kind == Cancelled && s.effective <= s.entered &&
		slices.ContainsFunc(taken, func(e *planned) bool { return e.kind == Subscribed })
	m.entries = append(m.entries, &planned{step: s, takesBack: takesBack})
	_, _, _, ok := m.state(horizon)
	if !ok {
		m.entries = m.entries[:len(m.entries)-1]
		for _, e := range taken {
			e.revoked = false
		}
	}
	return ok
}

// TestTransitionsAgainstModel: random changes, entered for the past, for now and for later,
// are taken or refused as the model says, and give the model's state on every day.
func TestTransitionsAgainstModel(t *testing.T) {
	kinds := []Kind{Subscribed, Subscribed, Cancelled, Paused, Resumed, Closed, Added}
	for seed := range uint64(150) {
		random := rand.New(rand.NewPCG(seed, 1))
		var events []Event
		m := &model{}
		today := 0
		for i := range 30 {
			s := step{today, today, kinds[random.IntN(len(kinds))], Inbound}
			if random.IntN(3) == 0 {
				s.service = Outbound
			}
			if s.kind == Closed || s.kind == Added {
				s.service = ""
			}
			if s.kind == Closed && random.IntN(2) == 0 {
				continue
			}
			if i == 0 {
				s.kind, s.service = Added, ""
			} else if s.kind != Added && random.IntN(2) == 0 {
				s.effective = max(0, today-5+random.IntN(15))
			}
			e := Event{Seq: uint64(i + 1), Address: "a@b", Kind: s.kind, Service: s.service, At: day(s.entered), Effective: day(s.effective)}
			r, err := fold(append(slices.Clone(events), e))
			if possible := m.enter(s); possible != (err == nil) {
				t.Fatalf("seed %d, entry %d %+v: model says %t, fold %v", seed, i, s, possible, err)
			}
			if err == nil {
				events = append(events, e)
				compare(t, fmt.Sprintf("seed %d, entry %d", seed, i), m, r, today)
			}
			today += random.IntN(3)
			if today > horizon-20 {
				break
			}
		}
	}
}

func compare(t *testing.T, what string, m *model, r record, today int) {
	t.Helper()
	word := func(s State) string {
		return map[State]string{{}: "", {Subscribed: true}: "on", {Subscribed: true, Paused: true}: "paused"}[State{s.Subscribed, s.Paused, time.Time{}}]
	}
	for d := today; d <= horizon; d++ {
		a := r.at(day(d))
		in, out, closed, _ := m.state(d)
		if word(a.Inbound) != in || word(a.Outbound) != out || a.Closed.IsZero() == closed {
			t.Fatalf("%s, day %d: %+v, want %q, %q, closed %t", what, d, a, in, out, closed)
		}
	}
}
