package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"kiyome/accounts"
)

func TestLogInAndOut(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp"})
	b := h.browser()
	first := b.get("/")
	first.has(t, 200, "Log in", `autocomplete="current-password"`)
	first.lacks(t, "Your session has ended")
	got := b.logIn(" Taro+shop@Example.JP ", "secret "+taro)
	got.has(t, 200, taro, "Your services")
	if got.path != "/" {
		t.Errorf("shown %s", got.path)
	}
	if b.get("/login").path != "/" {
		t.Error("the form is shown to who is logged in")
	}
	h.says("log-in", "address="+taro, "client=192.0.2.1")
	got = b.post("/logout")
	got.has(t, 200, "You are logged out.")
	b.get("/").has(t, 200, "Log in")
	h.says("log-out", "address="+taro)
	if strings.Contains(h.log.String(), "secret") {
		t.Errorf("a password is in the log:\n%s", h.log.String())
	}
}

func TestTheSessionCookie(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp"})
	b := h.browser()
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	var tokens []string
	for range 2 {
		got := b.logIn(taro, "secret "+taro)
		cookie := got.header.Get("Set-Cookie")
		for _, want := range []string{"__Host-kiyome=", "; Path=/", "; HttpOnly", "; Secure", "; SameSite=Strict"} {
			if !strings.Contains(cookie, want) {
				t.Errorf("no %q in %q", want, cookie)
			}
		}
		if strings.Contains(cookie, "Max-Age") || strings.Contains(cookie, "Expires") {
			t.Errorf("it is kept: %q", cookie)
		}
		tokens = append(tokens, cookie)
	}
	if tokens[0] == tokens[1] {
		t.Error("a new log-in has the old token")
	}
	old := h.browser()
	old.header.Set("Cookie", strings.Split(tokens[0], ";")[0])
	old.get("/").has(t, 200, "Your session has ended")
}

// TestWhoIsRefusedHearsTheSame: an unknown address, a closed one, one without the right
// password and one that cannot be: nothing tells them apart.
func TestWhoIsRefusedHearsTheSame(t *testing.T) {
	h := newHouse(t)
	h.account(accounts.NewAccount{Address: "taro@example.jp"})
	gone := h.account(accounts.NewAccount{Address: "gone@example.jp"})
	h.change(gone, accounts.Closed, "", time.Time{})
	h.passwords.of["other@example.jp"] = "secret other@example.jp" // a mailbox without an account
	h.web.failTime = 150 * time.Millisecond
	var first string
	for _, tt := range []struct{ address, password string }{
		{"taro@example.jp", "wrong"},
		{"taro@example.jp", ""},
		{"taro@example.jp", "secret\r\na LOGOUT"},
		{"taro@example.jp", "secret\x00"},
		{"nobody@example.jp", "secret"},
		{"gone@example.jp", "secret gone@example.jp"},
		{"other@example.jp", "secret other@example.jp"},
		{"no address", "secret"},
		{"a\r\nb@example.jp", "secret"},
		{"", ""},
	} {
		begun := time.Now()
		b := h.browser()
		got := b.logIn(tt.address, tt.password)
		if took := time.Since(begun); took < 150*time.Millisecond {
			t.Errorf("%q: refused after %s", tt.address, took)
		}
		got.has(t, http.StatusUnauthorized, "The mail address or the password is not right.")
		text := strings.ReplaceAll(got.text, ` value="`+strings.TrimSpace(tt.address)+`"`, ` value=""`)
		if first == "" {
			first = text
		} else if text != first && !strings.Contains(tt.address, "\r") {
			t.Errorf("%q hears something else:\n%s", tt.address, text)
		}
		if got := b.get("/"); got.path != "/login" {
			t.Errorf("%q: shown %s", tt.address, got.path)
		}
	}
	for _, address := range h.passwords.took {
		if strings.ContainsAny(address, "\r\n ") {
			t.Errorf("%q was asked for", address)
		}
	}
}

func TestOverlongLogIns(t *testing.T) {
	h := newHouse(t)
	for _, tt := range []struct{ address, password string }{
		{strings.Repeat("a", 1200) + "@example.jp", "x"},
		{"taro@example.jp", strings.Repeat("x", 1025)},
		{"taro@example.jp", strings.Repeat("x", 20_000)},
	} {
		h.browser().logIn(tt.address, tt.password).has(t, http.StatusBadRequest, "cannot be accepted")
	}
	if len(h.passwords.took) > 0 {
		t.Errorf("asked for %q", h.passwords.took)
	}
}

func TestLogInsAreLimited(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp"})
	for i := range addressBurst { // from many clients
		b := h.browser()
		b.ip = fmt.Sprintf("198.51.100.%d", i)
		b.logIn("Taro@example.jp", "wrong").has(t, http.StatusUnauthorized)
	}
	b := h.browser()
	got := b.logIn(taro, "secret "+taro)
	got.has(t, http.StatusTooManyRequests, "too many attempts")
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	h.says("too many for this address", "address="+taro)
	if n := len(h.passwords.took); n != addressBurst {
		t.Errorf("%d passwords were proved", n)
	}
	h.sessions.add(addressEvery)
	b.logIn(taro, "secret "+taro).has(t, 200, "Your services")

	mallory := h.browser()
	for i := range clientBurst + 1 { // from one IPv6 network, with many addresses
		mallory.ip = fmt.Sprintf("2001:db8::%x", i+1)
		got = mallory.logIn(fmt.Sprintf("a%d@example.jp", i), "x")
	}
	got.has(t, http.StatusTooManyRequests)
	h.says("too many from this client", "client=2001:db8::3d")
	other := h.browser()
	other.ip = "2001:db8:0:1::1"
	other.logIn("b@example.jp", "x").has(t, http.StatusUnauthorized)
}

func TestXForwardedForIsBelievedFromProxiesOnly(t *testing.T) {
	s := newHouse(t).web
	for _, tt := range []struct{ peer, forwarded, want string }{
		{"127.0.0.1:1", "192.0.2.1", "192.0.2.1"},
		{"127.0.0.1:1", "6.6.6.6, 192.0.2.1", "192.0.2.1"},
		{"127.0.0.1:1", "192.0.2.1, 127.0.0.2", "192.0.2.1"},
		{"127.0.0.1:1", "6.6.6.6, nonsense", "127.0.0.1"},
		{"127.0.0.1:1", "", "127.0.0.1"},
		{"@", "192.0.2.1", "192.0.2.1"}, // a unix socket
		{"[::ffff:127.0.0.1]:1", "::ffff:192.0.2.1", "192.0.2.1"},
		{"203.0.113.5:1", "192.0.2.1", "203.0.113.5"},
		{"[fe80::1%eth0]:1", "", "fe80::1"},
	} {
		r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{"X-Forwarded-For": {tt.forwarded}}}
		if got := s.client(r).String(); got != tt.want {
			t.Errorf("from %s, forwarded for %q: %s, want %s", tt.peer, tt.forwarded, got, tt.want)
		}
	}
}

func TestThePasswordsCannotBeProved(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp"})
	logged := h.member(taro)
	h.passwords.break_(errors.New("connection refused"))
	got := h.browser().logIn(taro, "secret "+taro)
	got.has(t, http.StatusServiceUnavailable, "Passwords cannot be checked right now.")
	got.lacks(t, "refused")
	h.says("level=ERROR", "connection refused")
	logged.get("/").has(t, 200, "Your services") // who is in stays in
	h.passwords.break_(nil)
	h.member(taro)
}

func TestTheAccountsCannotBeRead(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp"})
	b := h.member(taro)
	h.db.Close()
	got := b.get("/")
	got.has(t, http.StatusServiceUnavailable, "This does not work right now.")
	got.lacks(t, "database", "bolt")
	h.browser().logIn(taro, "secret "+taro).has(t, http.StatusServiceUnavailable)
}

func TestSessionsEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(h *house, b *browser, address string)
	}{
		{"idle", func(h *house, _ *browser, _ string) { h.sessions.add(idleTime + time.Second) }},
		{"closed", func(h *house, _ *browser, a string) { h.change(a, accounts.Closed, "", time.Time{}) }},
		{"closed and added again for the same owner", func(h *house, _ *browser, a string) {
			h.change(a, accounts.Closed, "", time.Time{})
			h.account(accounts.NewAccount{Address: a, Owner: "1"})
		}},
		{"given to another owner", func(h *house, _ *browser, a string) {
			if _, err := h.db.Set(a, accounts.Settings{Owner: new("2")}, "root"); err != nil {
				h.t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t)
			taro := h.account(accounts.NewAccount{Address: "taro@example.jp", Owner: "1"})
			b := h.member(taro)
			at := path(taro, accounts.Inbound, "subscribe")
			form := b.get(at)
			tt.end(h, b, taro)
			b.post(at, "mark", form.mark()).has(t, 200, "Your session has ended")
			if got := b.get("/removals"); !strings.HasPrefix(got.path, "/login") {
				t.Errorf("shown %s", got.path)
			}
			if h.get(taro).Inbound.Subscribed {
				t.Error("it was changed all the same")
			}
		})
	}
}

func TestASessionLivesWhileItIsUsedAndNotForEver(t *testing.T) {
	now := time.Now()
	store := newSessionStore(10, func() time.Time { return now })
	m := newSessions(store)
	if m.IdleTimeout != 30*time.Minute || m.Lifetime != 12*time.Hour {
		t.Errorf("idle %s, at most %s", m.IdleTimeout, m.Lifetime)
	}
}

// TestAnEndedSessionStaysEnded: a request that began before a log-out saves its session
// after it.
func TestAnEndedSessionStaysEnded(t *testing.T) {
	now := time.Now()
	store := newSessionStore(2, func() time.Time { return now })
	end := now.Add(time.Hour)
	store.Commit("a", []byte("1"), end)
	store.Delete("a")
	store.Commit("a", []byte("1"), end)
	if _, found, _ := store.Find("a"); found {
		t.Error("it is back")
	}
}

func TestSessionsAreBounded(t *testing.T) {
	now := time.Now()
	store := newSessionStore(3, func() time.Time { return now })
	for i := range 10 {
		store.Commit(fmt.Sprint(i), []byte("x"), now.Add(time.Duration(i)*time.Minute))
		if len(store.all) > 3 {
			t.Fatalf("%d sessions", len(store.all))
		}
	}
	if _, found, _ := store.Find("9"); !found {
		t.Error("the newest is gone")
	}
	if _, found, _ := store.Find("6"); found {
		t.Error("the one that ends first is there")
	}
	now = now.Add(time.Hour)
	if _, found, _ := store.Find("9"); found {
		t.Error("one that has ended is found")
	}
}

func TestPagesAreLimited(t *testing.T) {
	h := newHouse(t)
	b := h.member(h.account(accounts.NewAccount{Address: "taro@example.jp"}))
	other := h.member(h.account(accounts.NewAccount{Address: "hanako@example.jp"}))
	for range memberBurst {
		if got := b.get("/settings"); got.status == http.StatusTooManyRequests {
			got.has(t, got.status, "Please wait a moment.")
			other.get("/settings").has(t, 200)
			h.sessions.add(memberEvery)
			b.get("/settings").has(t, 200)
			return
		}
	}
	t.Error("there is no limit")
}

// TestWhatIsNoAddressIsNotLogged: it may be a password.
func TestWhatIsNoAddressIsNotLogged(t *testing.T) {
	h := newHouse(t)
	h.browser().logIn("hunter2", "taro@example.jp").has(t, http.StatusUnauthorized)
	if strings.Contains(h.log.String(), "hunter2") {
		t.Errorf("%s", h.log.String())
	}
	h.says("malformed", "client=192.0.2.1")
}

// TestNothingIsLeftOfTheLastMember: of who logged in before in the same browser.
func TestNothingIsLeftOfTheLastMember(t *testing.T) {
	h := newHouse(t)
	taro := h.account(accounts.NewAccount{Address: "taro@example.jp"})
	hanako := h.account(accounts.NewAccount{Address: "hanako@example.jp"})
	b := h.member(taro)
	at := path(taro, accounts.Inbound, "subscribe")
	mark := b.get(at).mark()
	follow := b.client.CheckRedirect
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	b.post(at, "mark", mark) // the result is not looked at
	b.client.CheckRedirect = follow
	got := b.logIn(hanako, "secret "+hanako)
	got.has(t, 200, hanako)
	got.lacks(t, "You have subscribed", taro)
}
