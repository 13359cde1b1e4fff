package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kiyome/testdata"
)

// newWatched is a site whose server is watched on a socket: see ask.
func newWatched(t *testing.T) *site {
	s := newSite(t, "")
	s.configure(fmt.Sprintf("monitor.listen = [%q]", "unix:"+s.path("monitor.sock")))
	s.do("account", "add", "taro@example.jp")
	s.do("account", "subscribe", "taro@example.jp")
	s.do("account", "add", "hanako@example.jp")
	s.do("account", "subscribe", "hanako@example.jp")
	s.do("account", "pause", "hanako@example.jp")
	return s
}

// ask asks the server how it is.
func (s *site) ask(path string) (status int, text string) {
	s.t.Helper()
	c := http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.path("monitor.sock"))
		},
	}}
	r, err := c.Get("http://kiyome" + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// ready waits until the server is ready or, with a reason, not ready for it.
func (s *site) ready(reason string) {
	s.t.Helper()
	want := 200
	if reason != "" {
		want = 503
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		status, text := s.ask("/readyz")
		if status == want && strings.Contains(text, reason) {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%d, %s; want %d, %q", status, text, want, reason)
		}
	}
}

func TestMetricsAfterKnownMail(t *testing.T) {
	s := newWatched(t)
	s.serve()
	c := s.dialLMTP()
	r := bufio.NewReader(c)
	expect(t, r, "220")
	conversation(t, c, r, "LHLO here -> 250")
	send := func(rcpt, name string) {
		t.Helper()
		body := strings.TrimSuffix(string(testdata.MustMail(name)), "\r\n")
		conversation(t, c, r, "MAIL FROM:<sender@example.com> -> 250", "RCPT TO:<"+rcpt+"> -> 250", "DATA -> 354", body+"\r\n. -> 250")
	}
	send("taro@example.jp", "clean")
	send("taro@example.jp", "attachment")
	send("hanako@example.jp", "attachment")
	conversation(t, c, r, "MAIL FROM:<sender@example.com> -> 250", "RCPT TO:<nobody@example.jp> -> 550", "RSET -> 250")

	if out := s.do("status"); !strings.Contains(out, "unix:"+s.path("monitor.sock")) {
		t.Errorf("status: %s", out)
	}
	status, text := s.ask("/metrics")
	if status != 200 {
		t.Fatalf("%d\n%s", status, text)
	}
	for _, want := range []string{
		`kiyome_recipients_total{direction="inbound",outcome="clean"} 1`,
		`kiyome_recipients_total{direction="inbound",outcome="cleaned"} 1`,
		`kiyome_recipients_total{direction="inbound",outcome="untouched"} 1`,
		`kiyome_recipients_total{direction="inbound",outcome="refused"} 1`,
		`kiyome_recipients_total{direction="outbound",outcome="clean"} 0`,
		`kiyome_failures_total{class="5xx",command="rcpt",direction="inbound",reason="unknown mailbox"} 1`,
		`kiyome_messages_total{direction="inbound"} 3`,
		`kiyome_connections{direction="inbound"} 1`,
		`kiyome_findings_total{direction="inbound",set="kiyome"} 1`,
		`kiyome_account_lookups_total{direction="inbound",result="found"} 3`,
		`kiyome_account_lookups_total{direction="inbound",result="unknown"} 1`,
		`kiyome_scan_duration_seconds_count{direction="inbound"} 2`,
		`kiyome_store_duration_seconds_count 3`,
		`kiyome_scans_total 3`, // and the self-test
		`kiyome_workers{state="wanted"} 1`,
		`kiyome_workers{state="serving"} 1`,
		`kiyome_sandbox_enabled 1`,
		`kiyome_rules_reloads_total{result="done"} 1`,
		`kiyome_rules_reload_failed 0`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			name, _, _ := strings.Cut(want, "{")
			t.Errorf("not there: %s\n%s", want, strings.Join(linesWith(text, name), ""))
		}
	}
	for _, line := range linesWith(text, "kiyome_") {
		if strings.ContainsAny(line, "@") || strings.Contains(line, "example") || strings.Contains(line, "EICAR") {
			t.Errorf("a metric tells of mail: %s", line)
		}
	}
}

func linesWith(text, word string) (lines []string) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestReadyTellsWhatIsInTheWay(t *testing.T) {
	s := newWatched(t)
	p := s.serve()
	s.ready("")

	database := s.path("state/accounts.db")
	whole, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(database, 8<<10); err != nil {
		t.Fatal(err)
	}
	s.ready("account database: ")
	if status, text := s.ask("/healthz"); status != 200 {
		t.Errorf("a restart would not mend the database, but: %s", text)
	}
	if err := os.WriteFile(database, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	s.ready("")

	if err := os.Rename(s.path("lmtp.sock"), s.path("away.sock")); err != nil {
		t.Fatal(err)
	}
	s.ready("listeners: unix:")
	if err := os.Rename(s.path("away.sock"), s.path("lmtp.sock")); err != nil {
		t.Fatal(err)
	}
	s.ready("")

	time.Sleep(lately)
	for _, pid := range childrenOf(t, p.Process.Pid) {
		syscall.Kill(pid, syscall.SIGSTOP)
	}
	s.ready("workers: self-test: ")
	s.ready("") // the worker that did not answer was replaced

	if _, text := s.ask("/metrics"); !strings.Contains(text, "kiyome_rules_reload_failed 0\n") {
		t.Error("rules count as refused")
	}
	s.write("rules/broken.yar", "rule broken { condition: nothing }")
	s.configure("scan.passwords = '/nowhere/at/all'\n" + fmt.Sprintf("monitor.listen = [%q]", "unix:"+s.path("monitor.sock")))
	if _, status, _ := s.run("rules", "reload"); status == 0 {
		t.Error("a configuration that names a missing file was taken")
	}
	if _, text := s.ask("/metrics"); !strings.Contains(text, "kiyome_rules_reload_failed 1\n") || !strings.Contains(text, `kiyome_rules_reloads_total{result="refused"} 1`) {
		t.Errorf("no refused rules:\n%s", strings.Join(linesWith(text, "_rules_"), ""))
	}
	s.ready("") // what served before serves on
	if odd := linesWith(p.said(), "reset by peer"); len(odd) > 0 {
		t.Errorf("those who ask fill the log: %q", odd)
	}
}

// childrenOf lists the child processes of a process.
func childrenOf(t *testing.T, pid int) (pids []int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, _ := os.ReadFile(file)
		for _, f := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(f); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}

// A server that ends says so until its last transaction is over.
func TestNotReadyWhileStopping(t *testing.T) {
	s := newWatched(t)
	p := s.serve()
	c := s.dialLMTP()
	r := bufio.NewReader(c)
	expect(t, r, "220")
	conversation(t, c, r, "LHLO here -> 250", "MAIL FROM:<> -> 250", "RCPT TO:<taro@example.jp> -> 250", "DATA -> 354")
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.ready("server: stopping")
	conversation(t, c, r, "Subject: x\r\n\r\nx\r\n. -> 250")
	if status := s.exitOf(p); status != 0 {
		t.Errorf("exit %d", status)
	}
}
