package main_test

import (
	"bytes"
	"fmt"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"kiyome/testdata"
)

// TestSubmissionThroughTheFilter sends mail as a member does, with a password: to
// Postfix, from there through kiyome, back into Postfix, and outside.
func TestSubmissionThroughTheFilter(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Postfix and Dovecot")
	}
	h := newHouse(t)
	h.account("add", "taro@example.jp")
	h.account("subscribe", "taro@example.jp", "outbound")
	h.account("add", "太郎@example.jp")
	h.account("subscribe", "太郎@example.jp", "outbound")
	h.account("add", "jiro@example.jp")
	h.account("add", "hanako@example.jp")
	h.account("subscribe", "hanako@example.jp")
	h.startAll()

	const taro, jiro, outside = "taro@example.jp", "jiro@example.jp", "to@outside.example"
	infected := testdata.MustMail("attachment")
	passed := 0 // recipients that have to pass through the filter
	for _, tt := range []struct {
		name  string
		user  string
		from  string // "" is the user's
		rcpts []string
		msg   []byte
		want  string // status, or "untouched", "refused"
	}{
		{name: "clean", user: taro, msg: testdata.MustMail("clean"), want: "Clean"},
		{name: "attachment", user: taro, msg: infected, want: "Cleaned"},
		{name: "zip", user: taro, msg: testdata.MustMail("zip"), want: "Cleaned"},
		{name: "body", user: taro, msg: testdata.MustMail("body"), want: "notice"},
		{name: "two recipients", user: taro, rcpts: []string{outside, "other@outside.example"}, msg: infected, want: "Cleaned"},
		{name: "address extension", user: "taro+tag@example.jp", msg: infected, want: "Cleaned"},
		{name: "not subscribed", user: jiro, msg: infected, want: "untouched"},
		{name: "8-bit", user: taro, msg: plainMail("caf\xe9 \x82\xa0\r\n"), want: "Clean"},
		{name: "SMTPUTF8", user: "太郎@example.jp", rcpts: []string{"花子@outside.example"}, msg: plainMail("こんにちは\r\n"), want: "Clean"},
		{name: "20 MB", user: taro, msg: plainMail(strings.Repeat(strings.Repeat("0123456789abcdef", 4)+"\r\n", 320_000)), want: "Clean"},
		{name: "dots and long lines", user: taro, msg: plainMail(strings.Repeat("long ", 150) + "\r\n.\r\n..\r\n.x\r\n"), want: "Clean"},
		{name: "somebody else's address", user: jiro, from: taro, msg: infected, want: "refused"},
		{name: "null sender", user: jiro, from: "<>", msg: infected, want: "untouched"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.rcpts == nil {
				tt.rcpts = []string{outside}
			}
			before := len(h.outside.all())
			if tt.want != "refused" {
				passed += len(tt.rcpts)
			}
			err := h.submit(tt.user, tt.from, tt.rcpts, tt.msg)
			if (err != nil) != (tt.want == "refused") {
				t.Fatalf("submission: %v", err)
			}
			if err == nil {
				h.checkOutgoing(t, tt.msg, h.outside.await(t, before+1)[before], tt.rcpts, tt.want)
			}
		})
	}
	t.Run("sendmail", func(t *testing.T) {
		passed++
		before := len(h.outside.all())
		cmd := exec.Command("sendmail", "-f", taro, "-i", outside)
		cmd.Env = append(os.Environ(), "MAIL_CONFIG="+filepath.Join(h.Dir, "postfix/etc"))
		cmd.Stdin = bytes.NewReader(bytes.ReplaceAll(testdata.MustMail("clean"), []byte("\r\n"), []byte("\n")))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		h.checkOutgoing(t, testdata.MustMail("clean"), h.outside.await(t, before+1)[before], []string{outside}, "Clean")
	})
	t.Run("to a member with the service", func(t *testing.T) {
		passed++
		if err := h.submit(jiro, "", []string{"hanako@example.jp"}, infected); err != nil {
			t.Fatal(err)
		}
		h.await(t, "hanako@example.jp", 2) // untouched by the filter, then cleaned on its way in
	})
	time.Sleep(time.Second) // what would come back, would come soon
	for _, box := range []string{"taro", "jiro", "太郎"} {
		if got := h.maildir(box); len(got) > 0 {
			t.Errorf("%s got something back:\n%s", box, got[0])
		}
	}
	if n := strings.Count(h.log.String(), "direction=outbound"); n != passed {
		t.Errorf("recipients passed through the filter %d times, want %d", n, passed)
	}
	mailLog := h.read("postfix/mail.log")
	for _, want := range []string{"passed on: 250 2.0.0 Ok: queued as ", "orig_queue_id=", "orig_client=localhost[127.0.0.1]"} {
		if !strings.Contains(mailLog, want) {
			t.Errorf("Postfix's log has no %q", want)
		}
	}
}

// plainMail makes a message without MIME.
func plainMail(body string) []byte {
	return []byte("From: taro@example.jp\r\nTo: to@outside.example\r\nSubject: x\r\nDate: Mon, 10 Mar 2008 15:20:31 +0900\r\nMessage-ID: <plain@example.jp>\r\n\r\n" + body)
}

// checkOutgoing holds what went outside against what was sent.
func (h *house) checkOutgoing(t *testing.T, sent []byte, got outgoing, rcpts []string, want string) {
	t.Helper()
	if got, want := slices.Sorted(slices.Values(got.to)), slices.Sorted(slices.Values(rcpts)); !slices.Equal(got, want) {
		t.Errorf("for %q, want %q", got, want)
	}
	status := map[string]string{"untouched": "", "notice": "Cleaned"}
	w, ok := status[want]
	if !ok {
		w = want
	}
	if i := strings.Index(got.data, "X-Virus-Status: "); (i < 0) != (w == "") || w != "" && !strings.HasPrefix(got.data[i:], "X-Virus-Status: "+w+"\r\n") {
		t.Errorf("status is not %q:\n%.1500s", w, got.data)
	}
	if strings.Contains(got.data, "Return-Path:") || strings.Contains(got.data, "Delivered-To:") {
		t.Errorf("fields of a mailbox:\n%.1500s", got.data)
	}
	switch want {
	case "Cleaned", "notice":
		if strings.Contains(got.data, string(testdata.EICAR())) || strings.Contains(got.data, "WDVPIVAl") {
			t.Errorf("it carries malware:\n%s", got.data)
		}
		if !strings.Contains(got.data, "Content-Language: ja, en\r\n") { // the notice, in base64
			t.Errorf("no notice:\n%s", got.data)
		}
		if subject, _, _ := strings.Cut(string(sent[bytes.Index(sent, []byte("Subject:")):]), "\r\n"); !strings.Contains(got.data, subject) {
			t.Errorf("another subject than %q:\n%s", subject, got.data)
		}
	default:
		if !strings.HasSuffix(got.data, string(sent)) {
			t.Errorf("the message was changed:\n%.1500s", got.data)
		}
	}
	if want == "Cleaned" { // the text that stays is there to the byte
		head, body, _ := strings.Cut(string(sent), "\r\n\r\n")
		part, _, _ := strings.Cut(body[strings.Index(body, "\r\n\r\n"):], "\r\n--")
		if !strings.Contains(got.data, part) || !strings.Contains(got.data, "Message-ID: ") || head == "" {
			t.Errorf("the text was changed:\n%.3000s", got.data)
		}
	}
}

// submit sends mail with the password of a user.
func (h *house) submit(user, from string, rcpts []string, msg []byte) error {
	c, err := smtp.Dial(fmt.Sprintf("127.0.0.1:%d", h.Submission))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Auth(sasl.NewPlainClient("", user, "x")); err != nil {
		return err
	}
	switch from {
	case "":
		from = user
	case "<>":
		from = ""
	}
	utf8 := strings.ContainsFunc(from+strings.Join(rcpts, ""), func(r rune) bool { return r > 0x7f })
	if err := c.Mail(from, &smtp.MailOptions{UTF8: utf8, Body: smtp.Body8BitMIME}); err != nil {
		return err
	}
	for _, r := range rcpts {
		if err := c.Rcpt(r, nil); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(msg); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

// await waits until n messages have gone outside.
func (s *sink) await(t *testing.T, n int) []outgoing {
	t.Helper()
	for range 600 {
		if got := s.all(); len(got) >= n {
			if len(got) > n {
				t.Fatalf("%d messages went outside, want %d", len(got), n)
			}
			return got
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("not %d messages went outside", n)
	return nil
}

func TestTheFilterRefuses(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Postfix and Dovecot")
	}
	h := newHouse(t)
	h.Infected = "refuse"
	h.write("kiyome.toml", "kiyome.toml", h)
	h.account("add", "taro@example.jp")
	h.account("subscribe", "taro@example.jp", "outbound")
	h.startAll()
	if err := h.submit("taro@example.jp", "", []string{"to@outside.example"}, testdata.MustMail("attachment")); err != nil {
		t.Fatal(err)
	}
	bounce := h.await(t, "taro@example.jp", 1)[0] // Postfix tells its own member
	if !strings.Contains(bounce, "Status: 5.7.1") || !strings.Contains(bounce, "Message contains malware: EICAR") {
		t.Errorf("bounce:\n%.3000s", bounce)
	}
	if err := h.submit("taro@example.jp", "", []string{"to@outside.example"}, testdata.MustMail("clean")); err != nil {
		t.Fatal(err)
	}
	if got := h.outside.await(t, 1); !strings.HasSuffix(got[0].data, string(testdata.MustMail("clean"))) {
		t.Errorf("went outside:\n%s", got[0].data)
	}
}

func TestForwardingThroughPostfix(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Postfix and Dovecot")
	}
	h := newHouse(t)
	for _, args := range [][]string{
		{"copy@example.jp", "--forward", "to@outside.example"},
		{"nocopy@example.jp", "--forward", "to@outside.example", "--no-copy"},
		{"checked@example.jp", "--forward", "to@outside.example", "--no-copy"},
		{"inside@example.jp", "--forward", "safe@example.jp", "--no-copy"},
		{"safe@example.jp"},
		{"a@example.jp", "--forward", "b@example.jp"},
		{"b@example.jp", "--forward", "a@example.jp"},
	} {
		h.account(append([]string{"add"}, args...)...)
	}
	h.account("subscribe", "checked@example.jp")
	h.account("subscribe", "safe@example.jp")
	h.startAll()

	infected, clean := testdata.MustMail("attachment"), testdata.MustMail("clean")
	for _, tt := range []struct {
		name    string
		to      string
		msg     []byte
		outside string         // status of what goes outside, or "untouched"; "" for nothing
		boxes   map[string]int // messages that come into mailboxes
	}{
		{"with a copy", "copy@example.jp", infected, "untouched", map[string]int{"copy@example.jp": 1}},
		{"without", "nocopy@example.jp", clean, "untouched", nil},
		{"checked and clean", "checked@example.jp", clean, "Clean", nil},
		{"checked and infected", "checked@example.jp", infected, "Cleaned", map[string]int{"checked@example.jp": 1}},
		{"checked and infected all over", "checked@example.jp", testdata.MustMail("body"), "", map[string]int{"checked@example.jp": 1}},
		{"to a mailbox with its own service", "inside@example.jp", infected, "", map[string]int{"safe@example.jp": 2, "inside@example.jp": 0}},
		{"in a circle", "a@example.jp", clean, "", map[string]int{"a@example.jp": 1, "b@example.jp": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before, out := map[string]int{}, len(h.outside.all())
			for box := range tt.boxes {
				before[box] = len(h.imap(t, box))
			}
			h.send(t, "sender@example.com", []string{tt.to}, "", tt.msg)
			for box, n := range tt.boxes {
				h.await(t, box, before[box]+n)
			}
			if tt.outside != "" {
				h.checkForwarded(t, tt.to, tt.msg, h.outside.await(t, out+1)[out], tt.outside)
			}
			time.Sleep(time.Second) // what would go around, would do so soon
			for box, n := range tt.boxes {
				h.await(t, box, before[box]+n)
			}
			if tt.outside == "" {
				h.outside.await(t, out)
			}
		})
	}
	if !strings.Contains(h.log.String(), "mail loop") {
		t.Error("the log does not tell of the loop")
	}
}

// TestBouncesOfForwardsFindBack: what is forwarded comes from a sender of ours (SRS),
// and when it cannot be delivered, the bounce reaches who sent it.
func TestBouncesOfForwardsFindBack(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Postfix and Dovecot")
	}
	h := newHouse(t)
	h.SRS = "fwd.example.jp"
	h.write("main.cf", "postfix/etc/main.cf", h)
	h.write("kiyome.toml", "kiyome.toml", h)
	if err := os.WriteFile(filepath.Join(h.Dir, "srs"), []byte("# a secret\n0123456789abcdef\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.account("add", "taro@example.jp", "--forward", "to@outside.example", "--forward", "nobody@outside.example", "--no-copy")
	h.startAll()
	h.send(t, "Sender@example.com", []string{"taro@example.jp"}, "", testdata.MustMail("clean"))
	for _, got := range h.outside.await(t, 2) {
		switch {
		case slices.Equal(got.to, []string{"to@outside.example"}):
			if !strings.HasPrefix(got.from, "SRS0=") || !strings.HasSuffix(got.from, "=example.com=Sender@fwd.example.jp") {
				t.Errorf("forwarded from %s", got.from)
			}
		case got.from != "" || !slices.Equal(got.to, []string{"Sender@example.com"}) || !strings.Contains(got.data, "Status: 5.1.1"):
			t.Errorf("from %s to %s:\n%.2000s", got.from, got.to, got.data)
		}
	}
}

// checkForwarded holds what went outside against what came for a mailbox.
func (h *house) checkForwarded(t *testing.T, box string, msg []byte, got outgoing, want string) {
	t.Helper()
	if got.from != "sender@example.com" || !slices.Equal(got.to, []string{"to@outside.example"}) {
		t.Errorf("envelope: %s, %s", got.from, got.to)
	}
	if !strings.Contains(got.data, "Delivered-To: "+box+"\r\n") {
		t.Errorf("no Delivered-To:\n%.1500s", got.data)
	}
	has := func(status string) bool { return strings.Contains(got.data, "X-Virus-Status: "+status+"\r\n") }
	if want == "untouched" && strings.Contains(got.data, "X-Virus-") || want != "untouched" && !has(want) {
		t.Errorf("status is not %s:\n%.1500s", want, got.data)
	}
	if want == "Cleaned" {
		if missing, cut := lessOneRange(string(msg), got.data); !cut {
			t.Errorf("not the message less one range: %d bytes gone\n%.1500s", missing, got.data)
		}
	} else if !strings.HasSuffix(got.data, string(msg)) {
		t.Errorf("the message was changed:\n%.1500s", got.data)
	}
}

// TestFilterSpeaksLMTP: the filter is asked as Postfix asks it, and answers for each.
func TestFilterSpeaksLMTP(t *testing.T) {
	s := newSite(t)
	s.account("add", "taro@example.jp")
	s.start()
	awaitPort(t, s.Filter)
	c, err := textproto.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Filter))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.ReadResponse(220)
	for _, step := range []struct {
		say  string
		want int
	}{
		{"LHLO x", 250}, {"MAIL FROM:<taro@example.jp>", 250}, {"RCPT TO:<a@outside.example>", 250}, {"DATA", 354},
		{"Subject: x\r\n\r\nnobody listens at the next hop\r\n.", 451}, {"QUIT", 221},
	} {
		c.PrintfLine("%s", step.say)
		if _, text, err := c.ReadResponse(step.want); err != nil {
			t.Fatalf("%s: %v (%s)", step.say, err, text)
		}
	}
}
