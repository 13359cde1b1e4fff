package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"kiyome/accounts"
	"kiyome/lmtp/relay/relaytest"
	"kiyome/testdata"
)

// japanese is an infected message with a subject and a file name in ISO-2022-JP (RFC 1468).
func japanese() string {
	return strings.Join([]string{
		"From: eve@example.com", "To: taro@example.jp",
		"Subject: =?ISO-2022-JP?B?GyRCQEE1YT1xJE43bxsoQg==?=", // 請求書の件
		"MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=b", "",
		"--b", "Content-Type: text/plain", "", "Hello", "",
		"--b", "Content-Type: application/octet-stream", "Content-Transfer-Encoding: base64",
		"Content-Disposition: attachment; filename=\"=?ISO-2022-JP?B?GyRCQEE1YT1xGyhC?=.exe\"", "",
		base64.StdEncoding.EncodeToString(testdata.EICAR()),
		"--b--"}, "\r\n")
}

// sends delivers a message by a socket of the site.
func (s *site) sends(socket, from, to, message string) {
	s.t.Helper()
	c, err := net.Dial("unix", s.path(socket))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	expect(s.t, r, "220")
	conversation(s.t, c, r, "LHLO here -> 250", "MAIL FROM:<"+from+"> -> 250", "RCPT TO:<"+to+"> -> 250", "DATA -> 354",
		message+"\r\n. -> 250", "QUIT -> 221")
}

// removals asks for what was removed until there is as much as wanted: it is written down behind the mail.
func (s *site) removals(address string, wanted int) (all []accounts.Removal) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err := json.Unmarshal([]byte(s.do("account", "removals", address, "--json")), &all); err != nil {
			s.t.Fatal(err)
		}
		if len(all) >= wanted || time.Now().After(end) {
			return all
		}
	}
}

func (s *site) stop(p *process) {
	s.t.Helper()
	p.Process.Signal(syscall.SIGTERM)
	if status := s.exitOf(p); status != 0 {
		s.t.Errorf("exit %d\n%s", status, p.said())
	}
}

// Mail through the server, in both directions, and what its member is told of it.
func TestRemovalsAreShown(t *testing.T) {
	next := (&relaytest.Server{}).Start(t)
	s := newSite(t, "")
	s.configure(`outbound.listen = ["unix:` + s.path("out.sock") + `"]` + "\noutbound.next_hop = \"" + next.Addr + "\"\n")
	s.do("account", "add", "taro@example.jp", "--owner", "T1")
	s.do("account", "subscribe", "taro@example.jp")
	s.do("account", "subscribe", "taro@example.jp", "outbound")
	if out := s.do("account", "removals", "taro@example.jp"); out != "" {
		t.Errorf("before the first mail: %s", out)
	}
	p := s.serve()
	began := time.Now()
	s.sends("lmtp.sock", "eve@example.com", "taro+shop@example.jp", japanese())
	s.removals("taro@example.jp", 1)
	s.sends("out.sock", "taro@example.jp", "x@example.com", strings.TrimSuffix(string(testdata.MustMail("body")), "\r\n"))

	check := func(when string) {
		t.Helper()
		all := s.removals("taro@example.jp", 2)
		if len(all) != 2 {
			t.Fatalf("%s: %+v", when, all)
		}
		in := all[1]
		if age := in.Time.Sub(began); age < -time.Second || age > time.Minute {
			t.Errorf("%s: found at %s", when, in.Time)
		}
		in.Time = time.Time{}
		want := accounts.Removal{Seq: 1, Address: "taro@example.jp", Direction: accounts.Inbound, Sender: "eve@example.com", Subject: "請求書の件",
			What: accounts.WhatFile, File: "請求書.exe", Malware: "EICAR-Test-File", Result: accounts.AttachmentRemoved}
		if in != want {
			t.Errorf("%s: %+v, want %+v", when, in, want)
		}
		if out := all[0]; out.Direction != accounts.Outbound || out.Sender != "taro@example.jp" || out.What != accounts.WhatBody || out.Result != accounts.MessageReplaced {
			t.Errorf("%s: %+v", when, out)
		}
		table := s.do("account", "removals", "TARO@example.jp")
		for _, words := range []string{"請求書の件", "請求書.exe", "EICAR-Test-File", "eve@example.com", "attachment removed", "(mail body)"} {
			if !strings.Contains(table, words) {
				t.Errorf("%s: no %q in\n%s", when, words, table)
			}
		}
		if out := s.do("account", "removals", "taro@example.jp", "--limit", "1"); strings.Contains(out, "eve@") || strings.Count(out, "\n") != 2 {
			t.Errorf("%s: of one: %s", when, out)
		}
	}
	check("with a server")
	s.script([]step{
		{"account removals nobody@example.jp", 1, "no such account"},
		{"account removals taro@example.jp --limit 0", 2, "--limit 0"},
	})
	s.stop(p)
	check("without a server")

	// Whoever has the address next sees none of it.
	s.do("account", "remove", "taro@example.jp")
	s.do("account", "add", "taro@example.jp", "--owner", "T2")
	if out := s.do("account", "removals", "taro@example.jp", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("another's: %s", out)
	}
}

// No mail depends on the history: what is wrong with its file is told, and put aside.
func TestRemovalsFileIsDamaged(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	s.do("account", "subscribe", "taro@example.jp")
	s.write("state/removals.db", strings.Repeat("mail", 10_000))
	s.script([]step{{"account removals taro@example.jp", 2, "removals.db"}})
	p := s.serve()
	s.sends("lmtp.sock", "eve@example.com", "taro@example.jp", japanese())
	if all := s.removals("taro@example.jp", 1); len(all) != 1 {
		t.Errorf("%+v", all)
	}
	if n := files(t, s.path("mail/example.jp/taro/Maildir/new")); n != 2 {
		t.Errorf("%d messages, want the report and the rest", n)
	}
	if said := p.said(); !strings.Contains(said, "put aside") || !strings.Contains(said, "removals.db.damaged") {
		t.Errorf("log: %s", said)
	}
	s.stop(p)

	// Switched off, nothing of it is left.
	s.configure("removals.days = 0\n")
	p = s.serve()
	for _, name := range []string{"state/removals.db", "state/removals.db.damaged"} {
		if _, err := os.Stat(s.path(name)); !os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.sends("lmtp.sock", "eve@example.com", "taro@example.jp", japanese())
	if out := s.do("account", "removals", "taro@example.jp", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("switched off: %s", out)
	}
	s.stop(p)
}
