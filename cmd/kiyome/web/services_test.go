package web

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"kiyome/accounts"
)

// TestAllThatAMemberCanDo walks through every change of both services.
func TestAllThatAMemberCanDo(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp"})
	b := h.member(taro)
	b.get("/").has(t, 200, "Not subscribed", "Campaign: the month of subscribing is free", "¥150 (before tax)")

	form := b.get(path(taro, accounts.Inbound, "subscribe"))
	form.has(t, 200, "free", "free by a campaign", "Fee for December 2014", "¥150 (before tax)", "month of subscribing")
	for _, step := range []struct {
		service accounts.Service
		action  string
		asked   string // what the confirmation tells
		told    string // and the result
		after   accounts.State
	}{
		{accounts.Inbound, "subscribe", "free by a campaign", "You have subscribed: Virus check of received mail.", accounts.State{Subscribed: true}},
		{accounts.Inbound, "pause", "Paused months are charged as well.", "Paused: Virus check of received mail.", accounts.State{Subscribed: true, Paused: true}},
		{accounts.Inbound, "resume", "Your mail is checked from the next one on.", "Resumed: Virus check of received mail.", accounts.State{Subscribed: true}},
		{accounts.Inbound, "cancel", "Nothing is charged for November 2014.", "Cancelled: Virus check of received mail.", accounts.State{}},
		{accounts.Outbound, "subscribe", "whatever the day", "You have subscribed: Virus check of sent mail.", accounts.State{Subscribed: true}},
		{accounts.Outbound, "cancel", "¥150 (before tax) is charged for November 2014 all the same (month of subscribing).", "Cancelled: Virus check of sent mail.", accounts.State{}},
	} {
		h.ledger.add(time.Hour)
		at := path(taro, step.service, step.action)
		form := b.get(at)
		form.has(t, 200, step.asked)
		got := b.post(at, "mark", form.mark())
		got.has(t, 200, step.told, `role="status"`)
		if got.path != "/" {
			t.Errorf("%s %s: shown %s", step.action, step.service, got.path)
		}
		b.get("/").lacks(t, step.told)
		state := h.get(taro).Of(step.service)
		if state.Subscribed != step.after.Subscribed || state.Paused != step.after.Paused {
			t.Errorf("%s %s: %+v", step.action, step.service, state)
		}
	}
	events, err := h.db.History(taro)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events[1:] {
		if e.By != "page: taro@example.jp" {
			t.Errorf("%s by %q", e.Kind, e.By)
		}
	}
	h.says("what=subscribed", "address=taro@example.jp", "mailbox=taro@example.jp", "service=inbound", "client=192.0.2.1")
}

func TestOnlyWhatIsPossibleIsOffered(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp"})
	b := h.member(taro)
	offers := func() string {
		t.Helper()
		var found []string
		page := b.get("/").text
		for _, service := range []accounts.Service{accounts.Inbound, accounts.Outbound} {
			for _, a := range actions {
				if strings.Contains(page, `href="/mailboxes/taro@example.jp/`+string(service)+"/"+a.name+`"`) {
					found = append(found, string(service)+" "+a.name)
				}
			}
		}
		return strings.Join(found, ", ")
	}
	check := func(want string) {
		t.Helper()
		if got := offers(); got != want {
			t.Errorf("offered: %s; want %s", got, want)
		}
	}
	check("inbound subscribe, outbound subscribe")
	h.change(taro, accounts.Subscribed, accounts.Inbound, time.Time{})
	h.change(taro, accounts.Subscribed, accounts.Outbound, time.Time{})
	check("inbound pause, inbound cancel, outbound cancel")
	h.change(taro, accounts.Paused, accounts.Inbound, time.Time{})
	check("inbound resume, inbound cancel, outbound cancel")
	h.change(taro, accounts.Cancelled, accounts.Inbound, time.Time{})
	h.change(taro, accounts.Subscribed, accounts.Inbound, h.ledger.Now().Add(30*24*time.Hour))
	check("inbound cancel, outbound cancel")
	b.get("/").has(t, 200, "15 December 2014, 12:00: subscribe to: Virus check of received mail", "Take it back")
	b.get(path(taro, accounts.Inbound, "cancel")).has(t, 200, "Taken back: 15 December 2014")
	if _, err := h.db.Set(taro, accounts.Settings{NoCourse: new(true)}, "root"); err != nil {
		t.Fatal(err)
	}
	h.change(taro, accounts.Cancelled, accounts.Inbound, time.Time{})
	check("outbound cancel")
	b.get("/").has(t, 200, "You cannot subscribe at present.")
	b.get(path(taro, accounts.Inbound, "subscribe")).has(t, 200, "Nothing was changed")
}

// TestTakingBack: what was entered for later is no service that is cancelled.
func TestTakingBack(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp"})
	h.change(taro, accounts.Subscribed, accounts.Inbound, h.ledger.Now().Add(30*24*time.Hour))
	b := h.member(taro)
	at := path(taro, accounts.Inbound, "cancel")
	form := b.get(at)
	form.has(t, 200, "Take back what was entered: Virus check of received mail", "Taken back: 15 December 2014", "Nothing is charged for November 2014.")
	form.lacks(t, "It is cancelled at once")
	b.post(at, "mark", form.mark()).has(t, 200, "What was entered was taken back: Virus check of received mail.")
	if pending := h.get(taro).Pending; len(pending) > 0 {
		t.Errorf("still pending: %v", pending)
	}
}

// TestAgainWithinTheMonth: a month is charged once, and the page says so.
func TestAgainWithinTheMonth(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp"})
	b := h.member(taro)
	b.confirmed(taro, accounts.Outbound, "subscribe")
	b.confirmed(taro, accounts.Outbound, "cancel")
	page := b.get("/")
	page.has(t, 200, "in addition for November 2014")
	page.lacks(t, "If you subscribe now, for November 2014</dt><dd><span class=\"fee\">¥150")
	b.get(path(taro, accounts.Outbound, "subscribe")).has(t, 200, "November 2014 is charged already")
	h.ledger.add(30 * 24 * time.Hour)
	b.get("/").lacks(t, "in addition")
	b.get(path(taro, accounts.Outbound, "subscribe")).has(t, 200, "whatever the day")
}

func TestWhatIsNotThere(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp"})
	b := h.member(taro)
	for _, p := range []string{
		"/nothing", "/mailboxes/", "/mailboxes/nobody@example.jp", "/mailboxes/TARO@example.jp", "/mailboxes/no%20address",
		path(taro, "spam", "subscribe"), path(taro, accounts.Inbound, "delete"), path(taro, accounts.Inbound, ""),
		"/removals?before=x", "/removals?before=-1", "/mailboxes/%2e%2e%2f/inbound/subscribe",
	} {
		b.get(p).has(t, http.StatusNotFound, "There is no such page.")
	}
	h.web.Outbound = false
	b.get(path(taro, accounts.Outbound, "subscribe")).has(t, http.StatusNotFound)
	b.get("/").lacks(t, "Virus check of sent mail")
	h.change(taro, accounts.Subscribed, accounts.Outbound, time.Time{})
	b.get("/").has(t, 200, "Virus check of sent mail") // it has to be possible to cancel it
	if got := h.browser().get(path(taro, accounts.Inbound, "subscribe")); got.path != "/login" {
		t.Errorf("without a session: %s", got.path)
	}
}

// TestAFormCountsForWhatItShowed: one that is posted twice, or late, changes nothing.
func TestAFormCountsForWhatItShowed(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp"})
	b := h.member(taro)
	at := path(taro, accounts.Inbound, "subscribe")
	first := b.get(at)
	b.post(at, "mark", first.mark()).has(t, 200, "You have subscribed")
	b.post(at, "mark", first.mark()).has(t, 200, "Nothing was changed: it is so already")

	b.confirmed(taro, accounts.Inbound, "cancel")
	b.post(at, "mark", first.mark()).has(t, http.StatusConflict, "Things have changed since this was shown.", `name="mark"`)
	if h.get(taro).Inbound.Subscribed {
		t.Error("a form of before was accepted")
	}
	b.post(at).has(t, http.StatusConflict)
	b.post(at, "mark", "").has(t, http.StatusConflict)

	old := b.get(at) // the month changes, and with it what it costs
	h.ledger.add(100 * 24 * time.Hour)
	b.post(at, "mark", old.mark()).has(t, http.StatusConflict, "February 2015")
	b.post(at, "mark", b.get(at).mark()).has(t, 200, "You have subscribed")
	if n := len(h.events(taro)); n != 4 {
		t.Errorf("%d events", n)
	}
}

func (h *house) events(address string) []accounts.Event {
	h.t.Helper()
	events, err := h.db.History(address)
	if err != nil {
		h.t.Fatal(err)
	}
	return events
}

func TestManyPostsAtOnceAreOneChange(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp"})
	b := h.member(taro)
	at := path(taro, accounts.Inbound, "subscribe")
	mark := b.get(at).mark()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if got, err := b.try("POST", at, url.Values{"mark": {mark}}); err != nil || got.status != 200 {
				t.Errorf("%d, %v", got.status, err)
			}
		})
	}
	all.Wait()
	if n := len(h.events(taro)); n != 2 {
		t.Errorf("%d events: %v", n, h.events(taro))
	}
}

func TestChangesAreLimited(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp"})
	b := h.member(taro)
	for i := range 2 * changeBurst {
		action := []string{"subscribe", "cancel"}[i%2]
		got := b.confirmed(taro, accounts.Outbound, action)
		if !strings.Contains(got.text, "There were many changes") {
			continue
		}
		if i != changeBurst {
			t.Errorf("the limit comes after %d changes", i)
		}
		b.post("/settings", "language", "ja").has(t, 200, "There were many changes")
		b.post("/settings", "language", "en").has(t, 200, "The language was changed.") // as it is already
		if h.web.byMailbox.allow(taro, h.sessions.Now().Add(changeEvery-time.Minute)) || !h.web.byMailbox.allow(taro, h.sessions.Now().Add(changeEvery)) {
			t.Error("the next change is not possible after its time")
		}
		h.web.byMailbox = newLimits(1, changeEvery, 1)
		b.confirmed(taro, accounts.Outbound, action).lacks(t, "There were many changes")
		return
	}
	t.Error("there is no limit")
}

func TestOthersChangeForLong(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp"})
	b := h.member(taro)
	at := path(taro, accounts.Inbound, "subscribe")
	form := b.get(at)
	h.web.changing <- struct{}{}
	b.post(at, "mark", form.mark()).has(t, 200, "there is much to do right now")
	<-h.web.changing
	h.web.Accounts = busy{h.db}
	b.post(at, "mark", form.mark()).has(t, 200, "there is much to do right now")
	h.web.Accounts = h.db
	b.post(at, "mark", form.mark()).has(t, 200, "You have subscribed")
}

// busy is a database in which another change takes long.
type busy struct{ *accounts.DB }

func (busy) Change(string, accounts.Kind, accounts.Service, time.Time, string) (accounts.Account, error) {
	return accounts.Account{}, accounts.ErrBusy
}

func TestACommandComesFirst(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp"})
	b := h.member(taro)
	at := path(taro, accounts.Inbound, "subscribe")
	form := b.get(at)
	h.web.Accounts = meddled{h.db, func() { h.change(taro, accounts.Subscribed, accounts.Inbound, time.Time{}) }}
	b.post(at, "mark", form.mark()).has(t, 200, "Nothing was changed: it is so already")
	h.says("level=WARN", "subscribed already")
}

// meddled has something done just before each change.
type meddled struct {
	*accounts.DB
	before func()
}

func (m meddled) Change(address string, k accounts.Kind, s accounts.Service, at time.Time, by string) (accounts.Account, error) {
	m.before()
	return m.DB.Change(address, k, s, at, by)
}

func TestPostsOfOtherSitesAreRefused(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp"})
	b := h.member(taro)
	at := path(taro, accounts.Inbound, "subscribe")
	mark := b.get(at).mark()
	for _, header := range []http.Header{
		{"Sec-Fetch-Site": {"cross-site"}},
		{"Sec-Fetch-Site": {"same-site"}},
		{"Origin": {"https://evil.example"}},
		{"Origin": {"null"}},
	} {
		b.header = header
		for _, p := range []string{at, "/logout", "/login", "/settings"} {
			b.post(p, "mark", mark, "language", "ja").has(t, http.StatusForbidden, "This came from another site")
		}
	}
	if a := h.get(taro); a.Inbound.Subscribed || a.Language != "en" {
		t.Errorf("changed: %+v", a)
	}
	h.says("level=WARN", "another site", "origin=https://evil.example")
	b.header = http.Header{"Sec-Fetch-Site": {"same-origin"}}
	b.post(at, "mark", mark).has(t, 200, "You have subscribed")
}

// TestTheMainMember: who may see and change whose services, and who not.
func TestTheMainMember(t *testing.T) {
	h := newHouse(t)
	main := h.account(accounts.NewAccount{Address: "taro@example.jp", Owner: "T1", Main: true})
	child := h.account(accounts.NewAccount{Address: "hanako@example.jp", Owner: "T1"})
	odd := h.account(accounts.NewAccount{Address: "a%b&'?#c@example.jp", Owner: "T1"})
	stranger := h.account(accounts.NewAccount{Address: "jiro@example.jp", Owner: "J1", Main: true})
	lone := h.account(accounts.NewAccount{Address: "lone@example.jp"})
	gone := h.account(accounts.NewAccount{Address: "gone@example.jp", Owner: "T1"})
	h.change(gone, accounts.Closed, "", time.Time{})
	h.change(child, accounts.Subscribed, accounts.Outbound, time.Time{})

	b := h.member(main)
	overview := b.get("/")
	overview.has(t, 200, "Family members and extra mailboxes", child, "All mailboxes together", "¥150 (before tax)")
	overview.lacks(t, stranger, lone, gone)
	b.get(mailboxPath(child)).has(t, 200, "Services of "+child, "Active")
	got := b.confirmed(child, accounts.Inbound, "subscribe")
	got.has(t, 200, "You have subscribed", "Services of "+child)
	if e := h.events(child); e[len(e)-1].By != "page: "+main {
		t.Errorf("by %q", e[len(e)-1].By)
	}
	b.confirmed(odd, accounts.Inbound, "subscribe").has(t, 200, "You have subscribed")
	h.says("what=subscribed", "address="+main, "mailbox="+child)

	for _, other := range []string{stranger, lone, gone} {
		b.get(mailboxPath(other)).has(t, http.StatusNotFound)
		for _, a := range actions {
			b.get(path(other, accounts.Inbound, a.name)).has(t, http.StatusNotFound)
			b.post(path(other, accounts.Inbound, a.name), "mark", "x").has(t, http.StatusNotFound)
		}
		if len(h.events(other)) > 2 {
			t.Errorf("%s was changed", other)
		}
	}
	c := h.member(child)
	c.get("/").lacks(t, "Family members", main)
	c.get(mailboxPath(main)).has(t, http.StatusNotFound)
	c.post(path(main, accounts.Inbound, "subscribe"), "mark", "x").has(t, http.StatusNotFound)
	c.get("/history").has(t, 200, "Subscribed: Virus check of received mail", main)
	l := h.member(lone) // no owner: nobody's family
	l.get(mailboxPath(child)).has(t, http.StatusNotFound)
}

// TestRightsEndAtOnce: what was remembered of a family gives no right.
func TestRightsEndAtOnce(t *testing.T) {
	h := newHouse(t)
	main := h.account(accounts.NewAccount{Address: "taro@example.jp", Owner: "T1", Main: true})
	child := h.account(accounts.NewAccount{Address: "hanako@example.jp", Owner: "T1"})
	b := h.member(main)
	at := path(child, accounts.Inbound, "subscribe")
	form := b.get(at)
	b.get("/").has(t, 200, child)
	if _, err := h.db.Set(child, accounts.Settings{Owner: new("H1")}, "root"); err != nil {
		t.Fatal(err)
	}
	b.get("/").lacks(t, child)
	b.post(at, "mark", form.mark()).has(t, http.StatusNotFound)
	if _, err := h.db.Set(child, accounts.Settings{Owner: new("T1")}, "root"); err != nil {
		t.Fatal(err)
	}
	b.get(mailboxPath(child)).has(t, 200, child)
	if _, err := h.db.Set(main, accounts.Settings{Main: new(false)}, "root"); err != nil {
		t.Fatal(err)
	}
	b.get(mailboxPath(child)).has(t, http.StatusNotFound)
	b.get("/").lacks(t, child)
}

// counted counts the searches for an owner's mailboxes.
type counted struct {
	*accounts.DB
	mu       sync.Mutex
	searches int
	extra    int // mailboxes more than there are
}

func (c *counted) ListOwner(owner string, f func(accounts.Account) bool) error {
	c.mu.Lock()
	c.searches++
	c.mu.Unlock()
	for range c.extra {
		if !f(accounts.Account{Address: "hanako@example.jp"}) {
			break
		}
	}
	return c.DB.ListOwner(owner, f)
}

func TestAllAccountsAreSearchedNotMoreThanNeeded(t *testing.T) {
	h := newHouse(t)
	main := h.account(accounts.NewAccount{Address: "taro@example.jp", Owner: "T1", Main: true})
	h.account(accounts.NewAccount{Address: "hanako@example.jp", Owner: "T1"})
	c := &counted{DB: h.db}
	h.web.families = newFamilies(c, h.sessions.Now)
	b := h.member(main)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got, err := b.try("GET", "/", nil); err != nil || !strings.Contains(got.text, "hanako@example.jp") {
				t.Errorf("%d, %v", got.status, err)
			}
		})
	}
	all.Wait()
	if c.searches != 1 {
		t.Errorf("%d searches", c.searches)
	}
	h.sessions.add(familyFresh)
	c.extra = 3 * familyMax
	b.get("/").has(t, 200, "Mailboxes beyond the first 200 are not shown.")
	if c.searches != 2 {
		t.Errorf("%d searches", c.searches)
	}
	for i := range 3 * familiesMax {
		h.web.families.remember(strings.Repeat("x", i%familiesMax+1)+"y", family{})
		if n := len(h.web.families.known); n > familiesMax {
			t.Fatalf("%d families are remembered", n)
		}
	}
}
