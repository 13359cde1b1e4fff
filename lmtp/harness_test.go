package lmtp

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kiyome/accounts"
	"kiyome/lmtp/relay"
	"kiyome/lmtp/relay/relaytest"
	"kiyome/scan"
	"kiyome/scan/report"
	"kiyome/store"
)

// world is a server with all that it needs, in a folder of its own.
type world struct {
	t      testing.TB
	server *Server
	addr   string
	root   string // of the mailboxes
	state  string
	logs   *syncBuffer
	memory *store.Memory
	hop    *relaytest.Server // the next hop

	mu    sync.Mutex
	boxes map[string]func(*accounts.Account) // settings of accounts, by local part
	scans int
	kept  []accounts.Removal
	scan  func(context.Context, *scan.Message) (*scan.Verdict, error)
}

// newWorld starts a server. Accounts: plain@ has no service, safe@ and
// safe2@ have both, broken@ cannot be told, everything else is unknown.
func newWorld(t testing.TB, change ...func(*Options)) *world {
	t.Helper()
	w := &world{t: t, root: t.TempDir(), state: t.TempDir(), logs: &syncBuffer{}, boxes: map[string]func(*accounts.Account){}}
	memory, err := store.OpenMemory(filepath.Join(w.state, "memory"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	w.memory = memory
	o := Options{
		Hostname: "mail.example.jp", Accounts: w, Scanner: w, Reports: w, Memory: memory, Removals: w,
		Store: store.New(store.Options{Hostname: "mail.example.jp", Root: w.root}), Spool: w.state,
		Log: slog.New(slog.NewTextHandler(w.logs, nil)),
	}
	w.nextHop(&o)
	for _, c := range change {
		c(&o)
	}
	w.server = NewServer(o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = l.Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- w.server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := w.server.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return w
}

// Lookup makes world the accounts.
func (w *world) Lookup(address string) (accounts.Account, error) {
	canonical, err := accounts.ParseAddress(address)
	if err != nil {
		return accounts.Account{}, err
	}
	local, domain, _ := strings.Cut(canonical, "@")
	local, _, _ = strings.Cut(local, "+")
	a := accounts.Account{Address: local + "@" + domain, Language: "ja", Maildir: w.maildir(local)}
	switch {
	case local == "broken":
		return a, accounts.ErrDamaged
	case strings.HasPrefix(local, "plain"):
	case strings.HasPrefix(local, "safe"):
		a.Inbound.Subscribed, a.Outbound.Subscribed = true, true
	default:
		return a, accounts.ErrUnknown
	}
	w.mu.Lock()
	set := w.boxes[local]
	w.mu.Unlock()
	if set != nil {
		set(&a)
	}
	return a, nil
}

// account changes the settings of an account.
func (w *world) account(local string, set func(*accounts.Account)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.boxes[local] = set
}

// Scan makes world the scanner: clean, unless the test says otherwise.
func (w *world) Scan(ctx context.Context, m *scan.Message) (*scan.Verdict, error) {
	w.mu.Lock()
	w.scans++
	f := w.scan
	w.mu.Unlock()
	if f != nil {
		return f(ctx, m)
	}
	return &scan.Verdict{Outcome: scan.Clean, Rules: "r1"}, nil
}

// Add makes world the history of removals.
func (w *world) Add(removals ...accounts.Removal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = append(w.kept, removals...)
}

// removals tells what the history has, a line each.
func (w *world) removals() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	for _, r := range w.kept {
		fmt.Fprintf(&b, "%s %s <%s> %q %s %q %q %q: %s\n", r.Address, r.Direction, r.Sender, r.Subject, r.What, r.File, r.Malware, r.Unchecked, r.Result)
	}
	return b.String()
}

func (w *world) onScan(f func(context.Context, *scan.Message) (*scan.Verdict, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scan = f
}

func (w *world) scanned() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.scans
}

// Report makes world the reporter.
func (w *world) Report(m report.Mail, v *scan.Verdict) ([]byte, error) {
	return fmt.Appendf(nil, "Subject: report\r\n\r\n%s for %s from <%s> about %s\r\n", v.Findings[0].Malware, m.Recipient, m.Sender, m.MessageID), nil
}

// Notice makes world the writer of notices.
func (w *world) Notice(m report.Mail, v *scan.Verdict) ([]byte, error) {
	return fmt.Appendf(nil, "Content-Type: text/plain\r\n\r\n%s was removed\r\n", v.Findings[0].Malware), nil
}

// NoticeMessage is the other half of that.
func (w *world) NoticeMessage(m report.Mail, v *scan.Verdict, original []byte) ([]byte, error) {
	return fmt.Appendf(nil, "%s%s was all there was, says %s of <%s>\r\n", original, v.Findings[0].Malware, m.Language, m.Sender), nil
}

// nextHop starts a next hop, which takes everything.
func (w *world) nextHop(o *Options) {
	w.hop = (&relaytest.Server{}).Start(w.t)
	c, err := relay.New(relay.Options{Address: w.hop.Addr, Hostname: "mail.example.jp", Patience: 5 * time.Second})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	o.NextHop = c
}

// newFilter starts a server that filters outgoing mail.
func newFilter(t testing.TB, change ...func(*Options)) *world {
	t.Helper()
	return newWorld(t, append([]func(*Options){func(o *Options) { o.Outbound = &Outbound{Notices: o.Reports.(*world)} }}, change...)...)
}

func (w *world) maildir(local string) string { return filepath.Join(w.root, local, "Maildir") }

// mailbox gives what a mailbox holds, oldest first, and fails when anything is in tmp.
func (w *world) mailbox(local string) []string {
	w.t.Helper()
	tmp, _ := os.ReadDir(filepath.Join(w.maildir(local), "tmp"))
	if len(tmp) > 0 {
		w.t.Errorf("%s: %d files left in tmp", local, len(tmp))
	}
	dir := filepath.Join(w.maildir(local), "new")
	entries, _ := os.ReadDir(dir)
	slices.SortFunc(entries, func(a, b os.DirEntry) int {
		x, _ := a.Info()
		y, _ := b.Info()
		return x.ModTime().Compare(y.ModTime())
	})
	var all []string
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, string(b))
	}
	return all
}

// below gives what stands below our trace fields.
func below(msg string) string {
	i := strings.Index(msg, "\r\nReceived: from ")
	if i < 0 {
		return msg
	}
	rest := msg[i+2:]
	for {
		line, after, _ := strings.Cut(rest, "\r\n")
		_ = line
		rest = after
		if !strings.HasPrefix(rest, "\t") {
			return rest
		}
	}
}

// client speaks LMTP by hand.
type client struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// dial connects and says LHLO.
func (w *world) dial() *client {
	c := w.raw()
	c.reads("220 ")
	c.sends("LHLO client.example\r\n")
	c.reads("250 ")
	return c
}

func (w *world) raw() *client {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{w.t, conn, bufio.NewReader(conn)}
}

func (c *client) sends(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, s); err != nil {
		c.t.Fatalf("send %.40q: %v", s, err)
	}
}

// reads reads replies, one for each want, which begins it; continuation lines are passed over.
func (c *client) reads(want ...string) (last string) {
	c.t.Helper()
	for _, prefix := range want {
		line, err := c.in.ReadString('\n')
		for err == nil && len(line) > 3 && line[3] == '-' {
			line, err = c.in.ReadString('\n')
		}
		if err != nil {
			c.t.Fatalf("reading a reply %q: %v", prefix, err)
		}
		if !strings.HasPrefix(line, prefix) {
			c.t.Fatalf("reply %q, want %q", line, prefix)
		}
		last = line
	}
	return last
}

// closed expects the server to have closed the connection.
func (c *client) closed() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.in); err == nil && len(rest) > 0 {
		c.t.Fatalf("expected the end, got %q", rest)
	}
}

// envelope sends MAIL and RCPTs, each of which must be accepted, and DATA.
func (c *client) envelope(rcpts ...string) {
	c.t.Helper()
	c.from("sender@example.com", rcpts...)
}

// from is envelope for a sender.
func (c *client) from(sender string, rcpts ...string) {
	c.t.Helper()
	c.sends("MAIL FROM:<" + sender + ">\r\n")
	c.reads("250 ")
	for _, r := range rcpts {
		c.sends("RCPT TO:<" + r + ">\r\n")
		c.reads("250 ")
	}
	c.sends("DATA\r\n")
	c.reads("354 ")
}

// dotted gives a message as it goes over the wire, end included.
func dotted(msg string) string {
	return strings.TrimPrefix(strings.ReplaceAll("\r\n"+msg, "\r\n.", "\r\n.."), "\r\n") + ".\r\n"
}

// syncBuffer is a buffer that a logger and a test share.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// eventually waits for a condition that the other side brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}
