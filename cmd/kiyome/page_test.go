package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"kiyome/cmd/kiyome/config"
)

// shownOn gives what is shown at the root of a page that listens on a unix socket.
func shownOn(t *testing.T, socket string) (status int, text string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}}
	resp, err := client.Get("http://page/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestServeShowsThePage(t *testing.T) {
	s := newSite(t, "")
	s.configure(fmt.Sprintf("page.listen = [%q]\npage.imap = %q\nreport.provider = \"Example Internet\"", "unix:"+s.path("page.sock"), "unix:"+s.path("no.sock")))
	s.do("account", "add", "taro@example.jp")
	p := s.serve()
	status, text := shownOn(t, s.path("page.sock"))
	if status != 200 || !strings.Contains(text, "Example Internet") || !strings.Contains(text, `name="password"`) {
		t.Errorf("%d\n%s", status, text)
	}
	s.script([]step{{"status", 0, "unix:" + s.path("page.sock")}})
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := s.exitOf(p); status != 0 {
		t.Errorf("exit %d", status)
	}
	if _, err := os.Stat(s.path("page.sock")); err == nil {
		t.Error("the socket is left")
	}
}

func TestThePagesSocketFromSystemd(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	if status, text := shownOn(t, s.serveSocket("page", "page=[unix:")); status != 200 || !strings.Contains(text, `name="password"`) {
		t.Errorf("%d\n%s", status, text)
	}
}

func TestThePageIsNotForOtherMachines(t *testing.T) {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := config.Default()
	if _, err := openWeb("page", nil, c.Page.Public, []net.Listener{l}, 0o660); err == nil || !strings.Contains(err.Error(), "page.public") {
		t.Errorf("%v", err)
	}
	c.Page.Public = true
	if all, err := openWeb("page", nil, c.Page.Public, []net.Listener{l}, 0o660); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}

func TestAPageThatCannotBeOpenedKeepsServeFromStarting(t *testing.T) {
	for _, tt := range []struct{ more, says string }{
		{`page.listen = ["0.0.0.0:80"]`, "page.public"},
		{"page.listen = [\"127.0.0.1:0\"]\npage.imap_tls = \"tls\"\npage.imap_tls_ca = \"/nowhere/ca.pem\"", "/nowhere/ca.pem"},
		{`page.listen = ["unix:/nowhere/at/all/page.sock"]`, "page.listen"},
	} {
		s := newSite(t, "")
		s.do("account", "add", "taro@example.jp")
		s.configure(tt.more)
		p := s.start("serve")
		if status := s.exitOf(p); status != 2 || !strings.Contains(p.said(), tt.says) {
			t.Errorf("%s: exit %d\n%s", tt.more, status, p.said())
		}
	}
	s := newSite(t, "page.imap_tls = \"tls\"\npage.imap_tls_ca = \"/nowhere/ca.pem\"")
	s.script([]step{{"config check", 1, "/nowhere/ca.pem"}})
}
