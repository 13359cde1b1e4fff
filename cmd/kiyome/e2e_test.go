package main_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"kiyome/testdata"
)

// TestPostfixToDovecot sends mail to a real Postfix, which hands it to kiyome by
// LMTP, and reads it from a real Dovecot by IMAP and POP3.
func TestPostfixToDovecot(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Postfix and Dovecot")
	}
	h := newHouse(t)
	h.account("add", "taro@example.jp", "--owner", "T1")
	h.account("subscribe", "taro@example.jp")
	h.account("add", "jiro@example.jp")
	h.account("add", "paused@example.jp")
	h.account("subscribe", "paused@example.jp")
	h.account("pause", "paused@example.jp")
	h.account("add", "太郎@example.jp")
	h.account("subscribe", "太郎@example.jp")
	h.startAll()

	plain := func(body string) []byte {
		return []byte("From: a@example.com\r\nTo: taro@example.jp\r\nSubject: x\r\nDate: Mon, 10 Mar 2008 15:20:31 +0900\r\nMessage-ID: <plain@example.com>\r\n\r\n" + body)
	}
	infected := testdata.MustMail("attachment")
	for _, tt := range []struct {
		name   string
		from   string
		rcpts  []string
		msg    []byte
		boxes  map[string][]string // mailbox: what each new message has to hold, reports first
		refuse string              // recipient that must be refused with 550
	}{
		{name: "clean", rcpts: []string{"taro@example.jp"}, msg: testdata.MustMail("clean"),
			boxes: map[string][]string{"taro@example.jp": {"X-Virus-Status: Clean\r\n"}}},
		{name: "attachment", rcpts: []string{"taro@example.jp"}, msg: infected,
			boxes: map[string][]string{"taro@example.jp": {"X-Virus-Status: Infected\r\n", "X-Virus-Status: Cleaned\r\n"}}},
		{name: "body", rcpts: []string{"taro@example.jp"}, msg: testdata.MustMail("body"),
			boxes: map[string][]string{"taro@example.jp": {"X-Virus-Status: Infected\r\n"}}},
		{name: "zip", rcpts: []string{"taro@example.jp"}, msg: testdata.MustMail("zip"),
			boxes: map[string][]string{"taro@example.jp": {"X-Virus-Status: Infected\r\n", "X-Virus-Status: Cleaned\r\n"}}},
		{name: "uuencode", rcpts: []string{"taro@example.jp"},
			msg:   plain("See the file:\r\n\r\n" + strings.ReplaceAll(testdata.Uuencode("a.exe", string(testdata.EICAR())), "\n", "\r\n") + "\r\n\r\nBye\r\n"),
			boxes: map[string][]string{"taro@example.jp": {"X-Virus-Status: Infected\r\n", "X-Virus-Status: Cleaned\r\n"}}},
		{name: "two recipients, one subscribed", rcpts: []string{"jiro@example.jp", "taro@example.jp"}, msg: infected,
			boxes: map[string][]string{"taro@example.jp": {"X-Virus-Status: Infected\r\n", "X-Virus-Status: Cleaned\r\n"}, "jiro@example.jp": {"untouched"}}},
		{name: "paused", rcpts: []string{"paused@example.jp"}, msg: infected,
			boxes: map[string][]string{"paused@example.jp": {"untouched"}}},
		{name: "unsubscribed", rcpts: []string{"jiro@example.jp"}, msg: testdata.MustMail("body"),
			boxes: map[string][]string{"jiro@example.jp": {"untouched"}}},
		{name: "unknown", rcpts: []string{"jiro@example.jp"}, refuse: "nobody@example.jp", msg: plain("hello\r\n"),
			boxes: map[string][]string{"jiro@example.jp": {"untouched"}}},
		{name: "address extension and mixed case", rcpts: []string{"Taro+Tag@Example.JP"}, msg: plain("tagged\r\n"),
			boxes: map[string][]string{"taro@example.jp": {"Delivered-To: Taro+Tag@Example.JP\r\nX-Virus-Scanned:"}}},
		{name: "8-bit", rcpts: []string{"taro@example.jp"}, msg: plain("caf\xe9 \x82\xa0\r\n"),
			boxes: map[string][]string{"taro@example.jp": {"X-Virus-Status: Clean\r\n"}}},
		{name: "SMTPUTF8 address", rcpts: []string{"太郎@example.jp"}, msg: plain("こんにちは\r\n"),
			boxes: map[string][]string{"太郎@example.jp": {"with UTF8LMTP"}}},
		{name: "10 MB", rcpts: []string{"taro@example.jp"}, msg: plain(strings.Repeat(strings.Repeat("0123456789abcdef", 4)+"\r\n", 160_000)),
			boxes: map[string][]string{"taro@example.jp": {"X-Virus-Status: Clean\r\n"}}},
		{name: "long lines and dots", rcpts: []string{"taro@example.jp"}, msg: plain(strings.Repeat("long ", 40_000) + "\r\n.\r\n..\r\n.x\r\n"),
			boxes: map[string][]string{"taro@example.jp": {"X-Virus-Status: Clean\r\n"}}},
		{name: "null sender", from: "<>", rcpts: []string{"taro@example.jp"}, msg: infected,
			boxes: map[string][]string{"taro@example.jp": {"Return-Path: <>\r\n", "Return-Path: <>\r\n"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := h.counts(t, tt.boxes)
			h.send(t, tt.from, tt.rcpts, tt.refuse, tt.msg)
			for box, want := range tt.boxes {
				h.check(t, box, tt.msg, h.arrived(t, box, before[box], len(want)), want)
			}
		})
	}
	time.Sleep(time.Second) // what would go out, would go out soon
	if got := h.outside.all(); len(got) > 0 {
		t.Errorf("%d messages went outside, the first:\n%s", len(got), got[0].data)
	}
}

// counts gives how many messages are in each of the boxes.
func (h *house) counts(t *testing.T, boxes map[string][]string) map[string]int {
	t.Helper()
	n := map[string]int{}
	for box := range boxes {
		n[box] = len(h.imap(t, box))
	}
	return n
}

// arrived awaits n messages behind those that were in the mailbox before.
func (h *house) arrived(t *testing.T, box string, before, n int) []string {
	t.Helper()
	byIMAP := h.await(t, box, before+n)[before:]
	byPOP := h.pop3(t, box)[before:]
	for i := range byIMAP {
		if byIMAP[i] != byPOP[i] {
			t.Errorf("%s: message %d differs between IMAP and POP3", box, i)
		}
	}
	return byIMAP
}

// check holds what came against what was sent: the messages that are not reports
// end with the bytes as sent, or with what a cut leaves of them.
func (h *house) check(t *testing.T, box string, sent []byte, got, want []string) {
	t.Helper()
	eicar := string(testdata.EICAR())
	for i, w := range want {
		if w != "untouched" && !strings.Contains(got[i], w) {
			t.Errorf("%s: message %d has no %q:\n%.1500s", box, i, w, got[i])
		}
		switch {
		case strings.Contains(got[i], "X-Virus-Status: Infected\r\n"):
			if strings.Contains(got[i], eicar) || !strings.HasPrefix(got[i], "Return-Path: <>\r\n") || !strings.Contains(got[i], "Auto-Submitted: auto-generated") {
				t.Errorf("%s: the report carries malware, or could be answered by a machine:\n%.1500s", box, got[i])
			}
		case strings.Contains(got[i], "X-Virus-Status: Cleaned\r\n"):
			if missing, cut := lessOneRange(string(sent), got[i]); !cut {
				t.Errorf("%s: not the message less one range: %d bytes gone\n%.1500s", box, missing, got[i])
			}
		case !strings.HasSuffix(got[i], string(sent)):
			t.Errorf("%s: the message was changed:\n%.1500s", box, got[i])
		case w == "untouched" && strings.Contains(got[i], "X-Virus-"):
			t.Errorf("%s: a mailbox without the service has our fields:\n%.1500s", box, got[i])
		}
	}
}

// lessOneRange reports whether got ends with sent less one run of bytes.
func lessOneRange(sent, got string) (missing int, ok bool) {
	head, _, _ := strings.Cut(sent, "\r\n\r\n")
	at := strings.Index(got, head)
	if at < 0 {
		return 0, false
	}
	got = got[at:]
	prefix := 0
	for prefix < len(got) && got[prefix] == sent[prefix] {
		prefix++
	}
	return len(sent) - len(got), len(got) < len(sent) && strings.HasSuffix(sent, got[prefix:])
}

// house is Postfix and Dovecot around a kiyome.
type house struct {
	*site
	SMTP       int
	Submission int
	IMAP       int
	POP3       int
	Outside    int    // where Postfix sends what is for others
	Milter     int    // of the service for filtered mail; 0 for none
	Passwords  string // file of Dovecot's passwords; "" for any password
	outside    *sink
}

func newHouse(t *testing.T) *house {
	if os.Geteuid() != 0 {
		t.Skip("needs root: Postfix starts as nobody else")
	}
	for _, program := range []string{"postfix", "dovecot"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("needs %s: make deps installs it", program)
		}
	}
	postfix, err := user.Lookup("postfix")
	if err != nil {
		t.Skip(err)
	}
	h := &house{site: newSite(t)}
	for _, p := range []*int{&h.SMTP, &h.Submission, &h.IMAP, &h.POP3} {
		*p = freePort(t)
	}
	h.outside = newSink(t)
	h.Outside = h.outside.port
	for _, d := range []string{"postfix/etc", "postfix/queue", "postfix/data", "dovecot/run", "dovecot/state"} {
		h.folder(d, 0o755, false)
	}
	if err := os.Chown(filepath.Join(h.Dir, "postfix/data"), int(number(t, postfix.Uid)), -1); err != nil {
		t.Fatal(err)
	}
	h.write("main.cf", "postfix/etc/main.cf", h)
	h.write("master.cf", "postfix/etc/master.cf", h)
	h.write("dovecot.conf", "dovecot/dovecot.conf", h)
	return h
}

// startAll starts the three; each is stopped when the test ends.
func (h *house) startAll() {
	h.t.Helper()
	h.start()
	h.startDovecot()
	etc := filepath.Join(h.Dir, "postfix/etc")
	h.daemon("postfix", "-c", etc, "start")
	h.t.Cleanup(func() {
		if h.t.Failed() {
			for _, log := range []string{"postfix/mail.log", "dovecot/dovecot.log"} {
				b, _ := os.ReadFile(filepath.Join(h.Dir, log))
				h.t.Logf("%s:\n%s", log, b[max(0, len(b)-6000):])
			}
		}
		exec.Command("postfix", "-c", etc, "stop").Run()
	})
	awaitPort(h.t, h.SMTP)
}

// startDovecot starts what mail is read from.
func (h *house) startDovecot() {
	h.t.Helper()
	conf := filepath.Join(h.Dir, "dovecot/dovecot.conf")
	h.daemon("dovecot", "-c", conf)
	h.t.Cleanup(func() { exec.Command("doveadm", "-c", conf, "stop").Run() })
	awaitPort(h.t, h.IMAP)
	awaitPort(h.t, h.POP3)
}

// daemon runs a command that leaves daemons behind.
func (h *house) daemon(name string, args ...string) {
	h.t.Helper()
	// A file, not a pipe: the daemons keep it open.
	out, err := os.Create(filepath.Join(h.Dir, filepath.Base(name)+".start"))
	if err != nil {
		h.t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		h.t.Fatalf("%s %v: %v\n%s", name, args, err, said)
	}
}

// send gives a message to Postfix.
func (h *house) send(t *testing.T, from string, rcpts []string, refused string, msg []byte) {
	t.Helper()
	c, err := smtp.Dial(fmt.Sprintf("127.0.0.1:%d", h.SMTP))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	switch from {
	case "":
		from = "sender@example.com"
	case "<>":
		from = ""
	}
	if err := c.Mail(from, &smtp.MailOptions{UTF8: strings.ContainsFunc(strings.Join(rcpts, ""), func(r rune) bool { return r > 0x7f }), Body: smtp.Body8BitMIME}); err != nil {
		t.Fatal(err)
	}
	for _, r := range rcpts {
		if err := c.Rcpt(r, nil); err != nil {
			t.Fatalf("RCPT %s: %v", r, err)
		}
	}
	if refused != "" {
		err := c.Rcpt(refused, nil)
		var code *smtp.SMTPError
		if !errors.As(err, &code) || code.Code != 550 {
			t.Errorf("RCPT %s: %v, want 550", refused, err)
		}
	}
	w, err := c.Data()
	if err == nil {
		_, err = w.Write(msg)
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	c.Quit()
}

// await polls by IMAP until a mailbox has n messages.
func (h *house) await(t *testing.T, box string, n int) []string {
	t.Helper()
	for range 300 {
		if got := h.imap(t, box); len(got) >= n {
			if len(got) > n {
				t.Fatalf("%s has %d messages, want %d", box, len(got), n)
			}
			return got
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%s did not get to %d messages", box, n)
	return nil
}

// sink takes what Postfix sends outside.
type sink struct {
	port int
	mu   sync.Mutex
	got  []outgoing
}

// outgoing is a message that went outside.
type outgoing struct {
	from string
	to   []string
	data string
}

func newSink(t *testing.T) *sink {
	s := &sink{port: freePort(t)}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &sinkSession{sink: s}, nil }))
	server.EnableSMTPUTF8 = true
	server.MaxLineLength = 0
	server.Addr = fmt.Sprintf("127.0.0.1:%d", s.port)
	go server.ListenAndServe()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		server.Shutdown(ctx)
	})
	return s
}

func (s *sink) all() []outgoing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

type sinkSession struct {
	*sink
	mail outgoing
}

func (s *sinkSession) Reset()        { s.mail = outgoing{} }
func (s *sinkSession) Logout() error { return nil }
func (s *sinkSession) Mail(from string, _ *smtp.MailOptions) error {
	s.mail = outgoing{from: from}
	return nil
}
func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such mailbox"}
	}
	s.mail.to = append(s.mail.to, to)
	return nil
}
func (s *sinkSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	s.mail.data = string(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, s.mail)
	return err
}
