package main

import (
	"bufio"
	"encoding/json"
	"net"
	"strings"
	"testing"

	"kiyome/cmd/kiyome/config"
	"kiyome/cmd/kiyome/control"
	"kiyome/lmtp/relay/relaytest"
	"kiyome/testdata"
)

// A filter in front of a next hop, with accounts that change while it runs.
func TestTheFilterServesBesideTheDelivery(t *testing.T) {
	next := (&relaytest.Server{}).Start(t)
	s := newSite(t, "")
	s.configure(`outbound.listen = ["unix:` + s.path("out.sock") + `"]` + "\noutbound.next_hop = \"" + next.Addr + "\"\noutbound.infected = \"refuse\"\n")
	s.do("account", "add", "taro@example.jp")
	s.do("account", "add", "hanako@example.jp", "--forward", "x@example.com")
	p := s.serve()
	send := func(socket, from, to, want string) {
		t.Helper()
		c, err := net.Dial("unix", s.path(socket))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		r := bufio.NewReader(c)
		expect(t, r, "220")
		conversation(t, c, r, "LHLO here -> 250", "MAIL FROM:<"+from+"> -> 250", "RCPT TO:<"+to+"> -> 250", "DATA -> 354",
			strings.TrimSuffix(string(testdata.MustMail("body")), "\r\n")+"\r\n. -> "+want, "QUIT -> 221")
	}
	send("out.sock", "taro@example.jp", "to@outside.example", "250")
	s.do("account", "subscribe", "taro@example.jp", "outbound")
	send("out.sock", "taro@example.jp", "to@outside.example", "550")
	s.do("account", "cancel", "taro@example.jp", "outbound")
	send("out.sock", "taro@example.jp", "to@outside.example", "250")
	send("lmtp.sock", "someone@example.com", "hanako@example.jp", "250")
	if n := len(next.Mails()); n != 3 {
		t.Errorf("%d messages went on, want 3", n)
	}
	var status control.Status
	if err := json.Unmarshal([]byte(s.do("status", "--json")), &status); err != nil {
		t.Fatal(err)
	}
	if o := status.Outbound; o.Untouched != 2 || o.Refused != 1 || status.LMTP.Forwarded != 1 || status.LMTP.Untouched != 1 || len(status.Filter) != 1 || status.NextHop != next.Addr {
		t.Errorf("status: %+v", status)
	}
	if out := s.do("status"); !strings.Contains(out, "filtering   unix:"+s.path("out.sock")+", next hop "+next.Addr) || !strings.Contains(out, "outgoing") {
		t.Errorf("status: %s", out)
	}
	if !strings.Contains(p.said(), "outbound=[unix:"+s.path("out.sock")+"]") {
		t.Errorf("the log does not tell where it listens:\n%s", p.said())
	}
}

// Only the socket that systemd has for the filter is passed.
func TestTheFiltersSocketFromSystemd(t *testing.T) {
	s := newSite(t, "outbound.infected = \"refuse\"\n")
	s.do("account", "add", "taro@example.jp")
	conn, err := net.Dial("unix", s.serveSocket("outbound", "outbound=[unix:"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	expect(t, r, "220")
	conversation(t, conn, r, "LHLO here -> 250", "MAIL FROM:<> -> 250", "RCPT TO:<to@outside.example> -> 250", "QUIT -> 221")
	s.dialLMTP()
}

func TestWhatTheNextHopNeedsIsChecked(t *testing.T) {
	for _, tt := range []struct{ name, config, says string }{
		{"no certificates", `outbound.tls_ca = "/nowhere/ca.pem"` + "\n" + `outbound.tls = "require"`, "/nowhere/ca.pem"},
		{"no secrets", `outbound.srs = { domain = "fwd.example.jp", secret_file = "/nowhere/srs" }`, "/nowhere/srs"},
		{"an address that is taken", `outbound.listen = ["unix:SOCKET"]`, "outbound.listen"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, "outbound.infected = \"refuse\"\n")
			s.configure("outbound.infected = \"refuse\"\n" + strings.ReplaceAll(tt.config, "SOCKET", s.file))
			s.do("account", "add", "taro@example.jp")
			p := s.start("serve")
			if status := s.exitOf(p); status != 2 || !strings.Contains(p.said(), tt.says) {
				t.Errorf("serve: exit %d, %s", status, p.said())
			}
			if strings.Contains(tt.config, "SOCKET") {
				return
			}
			if out, status, _ := s.run("config", "check"); status != 1 || !strings.Contains(out, tt.says) {
				t.Errorf("config check: exit %d, %s", status, out)
			}
		})
	}
}

func TestSecrets(t *testing.T) {
	s := newSite(t, "")
	for _, tt := range []struct {
		text string
		want int // secrets; 0 for an error
	}{
		{"# first\n0123456789abcdef\n\n  0123456789abcdefg \r\n", 2},
		{"", 0},
		{"# nothing\n", 0},
		{"0123456789abcde\n", 0},
	} {
		s.write("srs", tt.text)
		got, err := readSecrets(s.path("srs"))
		if len(got) != tt.want || (err == nil) != (tt.want > 0) {
			t.Errorf("%q: %d secrets, %v", tt.text, len(got), err)
		}
		if err != nil && strings.Contains(err.Error(), "0123") {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
}

func TestNothingListensForOutgoingMailUnlessItIsSaid(t *testing.T) {
	if l := config.Default().Outbound.Listen; len(l) > 0 {
		t.Errorf("%q", l)
	}
}
