package web

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"kiyome/accounts"
)

var tokyo = func() *time.Location {
	z, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		panic(err)
	}
	return z
}()

// clock is a time that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// passwords proves passwords: an address has the one that stands here.
type passwords struct {
	mu   sync.Mutex
	of   map[string]string
	down error // then it can prove none
	took []string
}

func (p *passwords) Prove(_ context.Context, _ netip.Addr, address, password string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took = append(p.took, address)
	if p.down != nil {
		return p.down
	}
	if of, ok := p.of[address]; !ok || of != password {
		return errWrongPassword
	}
	return nil
}

func (p *passwords) break_(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = err
}

// log is a log that can be read while it is written.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// house is a page with accounts of its own. Its ledger's clock stands in November 2014,
// in the middle of a campaign.
type house struct {
	t         *testing.T
	db        *accounts.DB
	ledger    clock // of the accounts
	sessions  clock // of the page
	passwords passwords
	log       log
	web       *Server
	http      *httptest.Server
	removed   *accounts.Removals
}

func newHouse(t *testing.T) *house {
	h := &house{t: t, passwords: passwords{of: map[string]string{}}}
	h.ledger.now = time.Date(2014, 11, 15, 12, 0, 0, 0, tokyo)
	h.sessions.now = time.Now()
	dir := t.TempDir()
	db, err := accounts.Create(filepath.Join(dir, "accounts.db"), accounts.Options{Delimiter: "+", Path: "/var/vmail/{domain}/{local}/Maildir", Now: h.ledger.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	db.SetTariff(accounts.Tariff{Zone: tokyo, Currency: "JPY",
		Prices: []accounts.Price{{Service: accounts.Inbound, Fee: 150}, {Service: accounts.Outbound, Fee: 150}},
		Campaigns: []accounts.Campaign{{Service: accounts.Inbound,
			From: time.Date(2014, 10, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2015, 1, 31, 0, 0, 0, 0, time.UTC)}}})
	h.db = db
	logger := slog.New(slog.NewTextHandler(&h.log, nil))
	h.removed = accounts.OpenRemovals(filepath.Join(dir, accounts.RemovalsName), 100*365*24*time.Hour, logger)
	t.Cleanup(func() { h.removed.Close() })
	db.SetRemovals(h.removed)
	h.web, err = New(Options{Accounts: db, KeptDays: 90, Prover: &h.passwords, Outbound: true, Provider: "Example Internet",
		Language: "ja", Timezone: tokyo, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Log: logger,
		now: h.sessions.Now, failTime: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	h.http = httptest.NewUnstartedServer(h.web.Handler())
	h.http.Config.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelError)
	h.http.StartTLS()
	t.Cleanup(h.http.Close)
	return h
}

// account adds one whose password is "secret" and its address.
func (h *house) account(n accounts.NewAccount) string {
	h.t.Helper()
	if n.Language == "" {
		n.Language = "en"
	}
	a, err := h.db.Add(n)
	if err != nil {
		h.t.Fatal(err)
	}
	h.passwords.mu.Lock()
	defer h.passwords.mu.Unlock()
	h.passwords.of[a.Address] = "secret " + a.Address
	return a.Address
}

func (h *house) change(address string, k accounts.Kind, s accounts.Service, at time.Time) {
	h.t.Helper()
	if _, err := h.db.Change(address, k, s, at, "root"); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) get(address string) accounts.Account {
	h.t.Helper()
	o, err := h.db.Outlook(address)
	if err != nil {
		h.t.Fatal(err)
	}
	return o.Account
}

// browser is what a member has.
type browser struct {
	h       *house
	client  *http.Client
	ip      string // as the proxy tells
	accepts string // languages
	header  http.Header
}

func (h *house) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	client := h.http.Client()
	return &browser{h: h, ip: "192.0.2.1", accepts: "en", header: http.Header{},
		client: &http.Client{Transport: client.Transport, Jar: jar, Timeout: 30 * time.Second}}
}

// member is a browser that is logged in.
func (h *house) member(address string) *browser {
	h.t.Helper()
	b := h.browser()
	if got := b.logIn(address, "secret "+address); got.status != 200 || !strings.Contains(got.text, address) {
		h.t.Fatalf("log-in of %s: %d\n%s", address, got.status, got.text)
	}
	return b
}

// shown is a page as a browser has it in the end.
type shown struct {
	status int
	path   string
	text   string
	header http.Header
}

func (b *browser) get(path string) shown {
	b.h.t.Helper()
	return b.do("GET", path, nil)
}

func (b *browser) post(path string, pairs ...string) shown {
	b.h.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return b.do("POST", path, form)
}

func (b *browser) logIn(address, password string) shown {
	b.h.t.Helper()
	return b.post("/login", "address", address, "password", password)
}

func (b *browser) do(method, path string, form url.Values) shown {
	b.h.t.Helper()
	got, err := b.try(method, path, form)
	if err != nil {
		b.h.t.Fatal(err)
	}
	if got.status < 600 && strings.HasPrefix(got.header.Get("Content-Type"), "text/html") {
		b.h.sound(got)
	}
	return got
}

func (b *browser) try(method, path string, form url.Values) (shown, error) {
	r, err := http.NewRequest(method, b.h.http.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		return shown{}, err
	}
	for name, values := range b.header {
		r.Header[name] = values
	}
	r.Header.Set("X-Forwarded-For", b.ip)
	r.Header.Set("Accept-Language", b.accepts)
	if method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := b.client.Do(r)
	if err != nil {
		return shown{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return shown{resp.StatusCode, resp.Request.URL.RequestURI(), string(text), resp.Header}, err
}

// sound checks what holds for every page: it is well-formed, has no script, and says
// what browsers may do with it.
func (h *house) sound(p shown) {
	h.t.Helper()
	h.wellFormed(p)
	h.accessible(p)
	csp := p.header.Get("Content-Security-Policy")
	for _, directive := range []string{"default-src 'none'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(csp, directive) {
			h.t.Errorf("%s: no %s in %q", p.path, directive, csp)
		}
	}
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "same-origin"} {
		if got := p.header.Get(name); got != want {
			h.t.Errorf("%s: %s is %q", p.path, name, got)
		}
	}
}

func (h *house) wellFormed(p shown) {
	h.t.Helper()
	d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(p.text, "<!DOCTYPE html>")))
	d.Entity = xml.HTMLEntity
	for {
		switch _, err := d.Token(); {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			h.t.Errorf("%s is not well-formed: %v\n%s", p.path, err, p.text)
			return
		}
	}
}

// accessible checks that there is no script, and what a screen reader needs: one h1, a language, a label for each
// field, names for all that can be pressed, no identifier twice.
func (h *house) accessible(p shown) {
	h.t.Helper()
	doc, err := html.Parse(strings.NewReader(p.text))
	if err != nil {
		h.t.Fatal(err)
	}
	ids, labelled := map[string]int{}, map[string]bool{}
	count := map[string]int{}
	var fields []string
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		count[n.Data]++
		at := map[string]string{}
		for _, a := range n.Attr {
			at[a.Key] = a.Val
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || strings.Contains(a.Val, "javascript:") {
				h.t.Errorf("%s: %s=%q", p.path, a.Key, a.Val)
			}
		}
		if at["id"] != "" {
			ids[at["id"]]++
		}
		switch n.Data {
		case "label":
			labelled[at["for"]] = true
		case "input":
			if at["type"] != "hidden" {
				fields = append(fields, at["id"])
			}
		case "html":
			if at["lang"] != "ja" && at["lang"] != "en" {
				h.t.Errorf("%s: lang %q", p.path, at["lang"])
			}
		case "a", "button":
			if strings.TrimSpace(textOf(n)) == "" && at["aria-label"] == "" {
				h.t.Errorf("%s: a %s without a name", p.path, n.Data)
			}
		}
	}
	for id, n := range ids {
		if n > 1 {
			h.t.Errorf("%s: id %q %d times", p.path, id, n)
		}
	}
	for _, id := range fields {
		if !labelled[id] {
			h.t.Errorf("%s: field %q has no label", p.path, id)
		}
	}
	if n := count["script"] + count["style"] + count["iframe"] + count["object"]; n > 0 {
		h.t.Errorf("%s: scripts, or what is like them", p.path)
	}
	for _, one := range []string{"h1", "main", "header", "footer", "title"} {
		if count[one] != 1 {
			h.t.Errorf("%s: %d of %s", p.path, count[one], one)
		}
	}
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

var markField = regexp.MustCompile(`name="mark" value="([0-9a-f]+)"`)

// mark gives what the form of a confirmation has to bring back.
func (p shown) mark() string {
	m := markField.FindStringSubmatch(p.text)
	if m == nil {
		return "none"
	}
	return m[1]
}

// has checks that a page is shown, and has some texts.
func (p shown) has(t *testing.T, status int, all ...string) {
	t.Helper()
	if p.status != status {
		t.Errorf("%s: status %d, want %d\n%s", p.path, p.status, status, p.text)
	}
	for _, text := range all {
		if !strings.Contains(p.text, text) {
			t.Errorf("%s has no %q:\n%s", p.path, text, p.text)
		}
	}
}

// lacks checks that none of some texts is shown.
func (p shown) lacks(t *testing.T, all ...string) {
	t.Helper()
	for _, text := range all {
		if strings.Contains(p.text, text) {
			t.Errorf("%s has %q:\n%s", p.path, text, p.text)
		}
	}
}

// says checks that the log has a line with all of some texts.
func (h *house) says(all ...string) {
	h.t.Helper()
next:
	for line := range strings.Lines(h.log.String()) {
		for _, text := range all {
			if !strings.Contains(line, text) {
				continue next
			}
		}
		return
	}
	h.t.Errorf("no line of the log has %q:\n%s", all, h.log.String())
}

func path(address string, service accounts.Service, action string) string {
	return fmt.Sprintf("/mailboxes/%s/%s/%s", url.PathEscape(address), service, action)
}

// confirmed asks for a change and confirms it.
func (b *browser) confirmed(address string, service accounts.Service, action string) shown {
	b.h.t.Helper()
	at := path(address, service, action)
	form := b.get(at)
	form.has(b.h.t, 200, `name="mark"`)
	return b.post(at, "mark", form.mark())
}
