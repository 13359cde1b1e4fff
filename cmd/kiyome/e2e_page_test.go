package main_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"kiyome/testdata"
)

var pictures = flag.String("pictures", "", "folder for pictures of the members' page")

// TestMembersPage is a member at a browser, from a wrong password to cancelling: the
// page behind a proxy that does TLS, passwords proved by a Dovecot, mail delivered by LMTP.
// The browser runs no script of any page.
func TestMembersPage(t *testing.T) {
	h := newPageHouse(t)
	h.account("add", "taro@example.jp", "--owner", "T1", "--main", "--language", "en")
	h.account("add", "hanako@example.jp", "--owner", "T1", "--language", "ja")
	h.account("add", "jiro@example.jp", "--owner", "J1")
	h.startDovecot()
	h.start()
	b := h.browse(t)

	b.open("/").has("Log in")
	b.logIn("taro@example.jp", "wrong").has("The mail address or the password is not right.")
	b.logIn("nobody@example.jp", "wrong").has("The mail address or the password is not right.")
	b.logIn("Taro+shop@Example.JP", `pass "taro" パス`).has("Your services", "taro@example.jp", "hanako@example.jp")
	b.lacks("jiro@example.jp")

	b.press(`a[href$="/inbound/subscribe"]`).has("Subscribe: Virus check of received mail", "¥150 (before tax)", "whatever the day")
	b.press(`main button`).has("You have subscribed: Virus check of received mail.", "Active")
	infected := string(testdata.MustMail("attachment"))
	h.deliver(t, infected, "taro@example.jp")
	if got := strings.Join(h.maildir("taro"), ""); strings.Contains(got, string(testdata.EICAR())) || !strings.Contains(got, "X-Virus-Status: Cleaned") {
		t.Errorf("it was not cleaned:\n%s", got)
	}
	b.await("/removals", "EICAR-Test-File")
	b.has("sender@example.com")

	b.open("/").press(`a[href$="/taro@example.jp/inbound/pause"]`).has("Paused months are charged as well.")
	b.press(`main button`).has("Paused: Virus check of received mail.")
	before := len(h.maildir("taro"))
	h.deliver(t, infected, "taro@example.jp")
	if after := h.maildir("taro"); len(after) != before+1 || strings.Count(strings.Join(after, ""), "X-Virus-Status") != 2 {
		t.Errorf("paused: %d messages and %d", before, len(after))
	}
	b.press(`a[href$="/taro@example.jp/inbound/resume"]`)
	b.press(`main button`).has("Resumed: Virus check of received mail.")
	b.press(`a[href$="/taro@example.jp/inbound/cancel"]`).has("is charged for")
	b.press(`main button`).has("Cancelled: Virus check of received mail.", "Not subscribed")

	b.open("/mailboxes/hanako@example.jp").press(`a[href$="/inbound/subscribe"]`)
	b.press(`main button`).has("You have subscribed", "Services of hanako@example.jp")
	b.open("/mailboxes/jiro@example.jp").has("There is no such page.")
	b.open("/history").has("Cancelled: Virus check of received mail", "you")

	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<form method="post" action="%s/mailboxes/taro@example.jp/inbound/subscribe"><input name="mark" value="x"><button>win</button></form>`, b.url)
	}))
	defer other.Close()
	b.visit(other.URL).press("button").has("This came from another site")
	b.open("/").has("Not subscribed") // and who was logged in still is

	h.stop() // sessions end with the server
	h.start()
	b.open("/removals").has("Your session has ended.")
	b.logIn("hanako@example.jp", "hanako").has("サービスのご利用状況", "ご利用中")
	b.lacks("taro@example.jp", "ファミリー")
	b.open("/removals").has("記録はありません。")
	b.press(`form[action="/logout"] button`).has("You are logged out.")

	exec.Command("doveadm", "-c", filepath.Join(h.Dir, "dovecot/dovecot.conf"), "stop").Run()
	b.logIn("hanako@example.jp", "hanako").has("Passwords cannot be checked right now.")
	if !strings.Contains(h.log.String(), "client="+farAway) || !strings.Contains(h.read("dovecot/dovecot.log"), "rip="+farAway) {
		t.Errorf("where log-ins came from is not in the logs:\n%s", h.read("dovecot/dovecot.log"))
	}
	for _, password := range []string{"hanako\x00", `pass "taro"`, "password="} {
		if strings.Contains(h.log.String(), password) {
			t.Errorf("%q is in the log", password)
		}
	}
}

// newPageHouse is a kiyome with the page, and a Dovecot that knows passwords.
func newPageHouse(t *testing.T) *house {
	t.Helper()
	if testing.Short() {
		t.Skip("starts Dovecot and Chromium")
	}
	if _, err := exec.LookPath("chromium"); err != nil {
		t.Skip("needs chromium: make deps installs it")
	}
	h := newHouse(t)
	h.Page, h.PageIMAP = freePort(t), freePort(t)
	h.Passwords = filepath.Join(h.Dir, "dovecot/passwords")
	text := "taro@example.jp:{PLAIN}pass \"taro\" パス\nhanako@example.jp:{PLAIN}hanako\n"
	if err := os.WriteFile(h.Passwords, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	h.Certificate = filepath.Join(h.Dir, "dovecot/certificate.pem")
	writeCertificate(t, h.Certificate)
	h.write("dovecot.conf", "dovecot/dovecot.conf", h)
	h.write("kiyome.toml", "kiyome.toml", h.site)
	return h
}

// writeCertificate writes a certificate of example.com, and its key.
func writeCertificate(t *testing.T, file string) {
	t.Helper()
	some := httptest.NewTLSServer(nil)
	defer some.Close()
	pair := some.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// deliver hands a message over by LMTP.
func (h *house) deliver(t *testing.T, message, to string) {
	t.Helper()
	c := h.dial()
	for _, reply := range c.deliver(message, to) {
		if !strings.HasPrefix(reply, "250 ") {
			t.Fatal(reply)
		}
	}
}

// farAway is where the browser is, as the proxy tells.
const farAway = "192.0.2.7"

// browser is a Chromium before a proxy that does TLS. It fails the test for what the
// browser finds wrong with a page.
type browser struct {
	t     *testing.T
	ctx   context.Context
	url   string
	mu    sync.Mutex
	wrong []string
}

// browse starts one.
func (h *house) browse(t *testing.T) *browser {
	t.Helper()
	page, err := url.Parse(fmt.Sprintf("http://127.0.0.1:%d", h.Page))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(page)
		r.Out.Host = r.In.Host
		r.Out.Header.Set("X-Forwarded-For", farAway)
	}})
	t.Cleanup(proxy.Close)
	b := &browser{t: t, url: proxy.URL}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	home := t.TempDir()
	ctx, end := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox,
		chromedp.IgnoreCertErrors, chromedp.DisableGPU, chromedp.Env("HOME="+home), chromedp.Flag("lang", "en"), chromedp.Flag("accept-lang", "en"))...)
	t.Cleanup(end)
	ctx, end = chromedp.NewContext(ctx, chromedp.WithListener(b.listen))
	t.Cleanup(func() { chromedp.Cancel(ctx); end() })
	b.ctx = ctx
	if err := chromedp.Do(ctx); err != nil { // it lives as long as the context that it is begun with
		t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(1280, 900))
	if _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	return b
}

// listen hears what the browser says of pages: what the policy forbids, what is not there.
func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if text := e.Entry.Text; !strings.Contains(text, "status of 4") && !strings.Contains(text, "status of 5") { // pages that tell what is wrong
			b.wrong = append(b.wrong, text)
		}
	case *runtime.EventExceptionThrown:
		b.wrong = append(b.wrong, e.ExceptionDetails.Text)
	}
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// gone runs steps that lead to another page, and waits for it.
func (b *browser) gone(steps ...chromedp.Action[chromedp.Void]) *browser {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, steps...); err != nil {
		b.t.Fatalf("%v, on:\n%s", err, b.text())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, wrong := range b.wrong {
		b.t.Errorf("the browser says: %s", wrong)
	}
	b.wrong = nil
	return b
}

func (b *browser) open(path string) *browser {
	b.t.Helper()
	return b.visit(b.url + path)
}

func (b *browser) visit(address string) *browser {
	b.t.Helper()
	return b.gone(chromedp.Navigate(address))
}

// press clicks a link or a button that leads to another page.
func (b *browser) press(what string) *browser {
	b.t.Helper()
	return b.gone(chromedp.Click(chromedp.CSS(what)))
}

func (b *browser) logIn(address, password string) *browser {
	b.t.Helper()
	return b.gone(chromedp.SetValue(chromedp.CSS("#address"), address), chromedp.SetValue(chromedp.CSS("#password"), password),
		chromedp.Click(chromedp.CSS("main button")))
}

// text is what can be read. A page may still be taking the place of another.
func (b *browser) text() (text string) {
	b.t.Helper()
	var err error
	for range 20 {
		if text, err = chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("body"))); err == nil {
			return text
		}
		time.Sleep(100 * time.Millisecond)
	}
	b.t.Fatal(err)
	return ""
}

func (b *browser) has(all ...string) *browser {
	b.t.Helper()
	shown := b.text()
	for _, text := range all {
		if !strings.Contains(shown, text) {
			b.t.Errorf("no %q in:\n%s", text, shown)
		}
	}
	return b
}

func (b *browser) lacks(all ...string) {
	b.t.Helper()
	shown := b.text()
	for _, text := range all {
		if strings.Contains(shown, text) {
			b.t.Errorf("%q in:\n%s", text, shown)
		}
	}
}

// await opens a page until it has a text.
func (b *browser) await(path, text string) {
	b.t.Helper()
	for range 50 {
		if strings.Contains(b.open(path).text(), text) {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	b.t.Fatalf("%s never had %q:\n%s", path, text, b.text())
}
