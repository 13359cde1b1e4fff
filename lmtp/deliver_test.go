package lmtp

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kiyome/scan"
	"kiyome/scan/mime"
)

// finding is what a scanner says of sample's body line "Hello\r\n".
var finding = []scan.Finding{{Malware: "Test.Virus", Rule: "kiyome/test", Name: "a.exe", Part: "2"}}

func cutHello() (*scan.Verdict, error) {
	at := strings.Index(sample, "Hello\r\n")
	return &scan.Verdict{Outcome: scan.Cleaned, Findings: finding, Rules: "r1", Cut: []mime.Range{{Start: at, End: at + len("Hello\r\n")}}}, nil
}

func verdictOf(v *scan.Verdict, err error) func(context.Context, *scan.Message) (*scan.Verdict, error) {
	return func(context.Context, *scan.Message) (*scan.Verdict, error) { return v, err }
}

// cleanAfter scans until it is told to finish.
func cleanAfter(started, finish chan bool) func(context.Context, *scan.Message) (*scan.Verdict, error) {
	return func(context.Context, *scan.Message) (*scan.Verdict, error) {
		close(started)
		<-finish
		return &scan.Verdict{Outcome: scan.Clean}, nil
	}
}

func TestOutcomes(t *testing.T) {
	less := strings.Replace(sample, "Hello\r\n", "", 1)
	for _, tt := range []struct {
		name     string
		verdict  func() (*scan.Verdict, error)
		reply    string
		messages []string // what stands below our fields
		status   []string // X-Virus-Status of each
		action   string
	}{
		{"clean", func() (*scan.Verdict, error) { return &scan.Verdict{Outcome: scan.Clean}, nil },
			"250 2.0.0", []string{sample}, []string{"Clean"}, `action=clean`},
		{"a rule that only notes", func() (*scan.Verdict, error) {
			return &scan.Verdict{Outcome: scan.Clean, Noted: finding}, nil
		}, "250 2.0.0", []string{sample}, []string{"Clean"}, `action=clean rule=noted:kiyome/test`},
		{"read differently by mail programs", func() (*scan.Verdict, error) {
			return &scan.Verdict{Outcome: scan.Clean, Odd: []string{"several boundaries", "empty boundary"}}, nil
		}, "250 2.0.0", []string{sample}, []string{"Clean"}, `odd="several boundaries; empty boundary"`},
		{"not checked", func() (*scan.Verdict, error) {
			return &scan.Verdict{Outcome: scan.Clean, Unchecked: []scan.Unchecked{{Reason: "encrypted"}}}, nil
		}, "250 2.0.0", []string{sample}, []string{"Unscanned"}, `action=unscanned`},
		{"cleaned", cutHello,
			"250 2.0.0", []string{"Subject: report\r\n\r\nTest.Virus for safe@example.jp from <sender@example.com> about <1@example.com>\r\n", less},
			[]string{"Infected", "Cleaned"}, `action=cleaned rule=kiyome/test`},
		{"report only", func() (*scan.Verdict, error) {
			return &scan.Verdict{Outcome: scan.ReportOnly, Findings: finding}, nil
		}, "250 2.0.0", []string{"Subject: report\r\n\r\nTest.Virus for safe@example.jp from <sender@example.com> about <1@example.com>\r\n"}, []string{"Infected"}, `action="report only"`},
		{"no verdict", func() (*scan.Verdict, error) { return nil, errors.New("worker: /var/lib/secret") },
			"451 4.3.0", nil, nil, `action=deferred`},
		{"a cut beyond the end", func() (*scan.Verdict, error) {
			return &scan.Verdict{Outcome: scan.Cleaned, Findings: finding, Cut: []mime.Range{{Start: 0, End: 1 << 40}}}, nil
		}, "451 4.3.0", nil, nil, `action=deferred`},
		{"cuts that overlap", func() (*scan.Verdict, error) {
			return &scan.Verdict{Outcome: scan.Cleaned, Findings: finding, Cut: []mime.Range{{Start: 0, End: 9}, {Start: 8, End: 12}}}, nil
		}, "451 4.3.0", nil, nil, `action=deferred`},
		{"an unknown outcome", func() (*scan.Verdict, error) { return &scan.Verdict{Outcome: "fine"}, nil },
			"451 4.3.0", nil, nil, `action=deferred`},
		{"a clean verdict that cuts", func() (*scan.Verdict, error) {
			return &scan.Verdict{Outcome: scan.Clean, Cut: []mime.Range{{Start: 0, End: 9}}}, nil
		}, "451 4.3.0", nil, nil, `action=deferred`},
		{"a panic", func() (*scan.Verdict, error) { panic("scanner") }, "451 4.3.0", nil, nil, `action=deferred`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.onScan(func(context.Context, *scan.Message) (*scan.Verdict, error) { return tt.verdict() })
			c := w.dial()
			c.envelope("safe@example.jp")
			c.sends(dotted(sample))
			if reply := c.reads(tt.reply); strings.Contains(reply, "secret") {
				t.Errorf("the reply tells what went wrong inside: %q", reply)
			}
			got := w.mailbox("safe")
			if len(got) != len(tt.messages) {
				t.Fatalf("%d messages, want %d", len(got), len(tt.messages))
			}
			for i, msg := range got {
				if below(msg) != tt.messages[i] {
					t.Errorf("message %d: %q, want %q", i, below(msg), tt.messages[i])
				}
				head, _, _ := strings.Cut(msg, "\r\nReceived:")
				if from, _, _ := strings.Cut(head, "\r\n"); (from == "Return-Path: <>") != (tt.status[i] == "Infected") {
					t.Errorf("message %d: %s", i, from)
				}
				if !strings.HasSuffix(firstLines(head), "X-Virus-Status: "+tt.status[i]) {
					t.Errorf("message %d: trace %q, want status %s", i, head, tt.status[i])
				}
			}
			if log := w.logs.String(); !strings.Contains(log, tt.action) {
				t.Errorf("log has no %q:\n%s", tt.action, log)
			}
		})
	}
}

// firstLines drops the field that lists what was unchecked, where there is one.
func firstLines(head string) string {
	head, _, _ = strings.Cut(head, "\r\nX-Virus-Unchecked:")
	return head
}

func TestEachRecipientByItsOwnAccount(t *testing.T) {
	w := newWorld(t)
	w.onScan(verdictOf(cutHello()))
	c := w.dial()
	c.envelope("plain@example.jp", "safe@example.jp", "plain2@example.jp", "safe2@example.jp")
	c.sends(dotted(sample))
	c.reads("250 2.0.0 <plain@", "250 2.0.0 <safe@", "250 2.0.0 <plain2@", "250 2.0.0 <safe2@")
	for box, n := range map[string]int{"plain": 1, "plain2": 1, "safe": 2, "safe2": 2} {
		if got := w.mailbox(box); len(got) != n {
			t.Errorf("%s has %d messages, want %d", box, len(got), n)
		}
	}
	if below(w.mailbox("plain")[0]) != sample || strings.Contains(w.mailbox("plain")[0], "X-Virus") {
		t.Errorf("an unchecked mailbox got %q", w.mailbox("plain")[0])
	}
	if w.scanned() != 1 {
		t.Errorf("%d scans, want 1", w.scanned())
	}
	if a, b := inode(t, w, "plain"), inode(t, w, "plain2"); a != b {
		t.Errorf("equal bytes lie in two files: %v, %v", a, b)
	}
}

// inode gives what tells the newest file of a mailbox apart.
func inode(t *testing.T, w *world, local string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(w.maildir(local), "new"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(w.maildir(local), "new", entries[len(entries)-1].Name()))
	if err != nil {
		t.Fatal(err)
	}
	return inodeOf(info)
}

func TestTheUncheckedDoNotWaitForTheScan(t *testing.T) {
	w := newWorld(t)
	started, finish := make(chan bool), make(chan bool)
	w.onScan(cleanAfter(started, finish))
	c := w.dial()
	c.envelope("plain@example.jp", "safe@example.jp")
	c.sends(dotted(sample))
	c.reads("250 2.0.0 <plain@")
	close(finish)
	c.reads("250 2.0.0 <safe@")
}

func TestTheSameRecipientTwiceIsOneCopyAndTwoReplies(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	c.envelope("plain@example.jp", "Plain@Example.JP", "plain@example.jp", "plain+tag@example.jp")
	c.sends(dotted(sample))
	c.reads("250 2.0.0 <plain@", "250 2.0.0 <Plain@", "250 2.0.0 <plain@", "250 2.0.0 <plain+tag@")
	if n := len(w.mailbox("plain")); n != 2 {
		t.Errorf("%d copies, want one, and one for the address extension", n)
	}
}

func TestTraceFields(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	c.sends("MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<Plain+Tag@example.jp>\r\nDATA\r\n" + dotted("Return-Path: <forged@x>\r\nX-Virus-Status: Clean\r\n\r\nx\r\n"))
	c.reads("250 ", "250 ", "354 ", "250 ")
	got := w.mailbox("plain")[0]
	want := "Return-Path: <>\r\nDelivered-To: Plain+Tag@example.jp\r\nReceived: from client.example ([127.0.0.1])\r\n\tby mail.example.jp (kiyome) with UTF8LMTP id "
	if !strings.HasPrefix(got, want) || !strings.Contains(got, "\r\n\tfor <Plain+Tag@example.jp>;\r\n\t") {
		t.Errorf("trace fields: %q", got)
	}
	if below(got) != "Return-Path: <forged@x>\r\nX-Virus-Status: Clean\r\n\r\nx\r\n" {
		t.Errorf("what stood in the message was changed: %q", below(got))
	}
}

// A client that never sees the reply sends again, and finds its message delivered.
func TestALostReplyMakesNoSecondCopy(t *testing.T) {
	for _, tt := range []struct {
		name string
		lose func(c *client)
		kept bool // the loss is written down
	}{
		{"connection reset", func(c *client) {
			c.reads("250 ", "250 ")
			c.conn.(*net.TCPConn).SetLinger(0)
			c.conn.Close()
		}, true},
		{"end without QUIT", func(c *client) { c.reads("250 ", "250 "); c.conn.Close() }, true},
		{"QUIT", func(c *client) { c.reads("250 ", "250 "); c.sends("QUIT\r\n"); c.reads("221 "); c.conn.Close() }, false},
		{"next command", func(c *client) { c.reads("250 ", "250 "); c.sends("RSET\r\n"); c.reads("250 "); c.conn.Close() }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.onScan(verdictOf(cutHello()))
			c := w.dial()
			c.envelope("plain@example.jp", "safe@example.jp")
			c.sends(dotted(sample))
			tt.lose(c)
			eventually(t, "the session ends", func() bool { return w.server.Stats().Sessions == 0 })
			if kept := w.memory.Len() > 0; kept != tt.kept {
				t.Fatalf("written down: %v, want %v", kept, tt.kept)
			}
			if !tt.kept {
				return
			}
			c = w.dial()
			c.envelope("plain@example.jp", "safe@example.jp", "plain2@example.jp")
			c.sends(dotted(sample))
			c.reads("250 2.0.0 <plain@", "250 2.0.0 <safe@", "250 2.0.0 <plain2@")
			if p, s, o := len(w.mailbox("plain")), len(w.mailbox("safe")), len(w.mailbox("plain2")); p != 1 || s != 2 || o != 1 {
				t.Errorf("plain %d, safe %d, plain2 %d messages; want 1, 2, 1", p, s, o)
			}
			if w.scanned() != 1 {
				t.Errorf("%d scans, want 1: the retry needs none", w.scanned())
			}
			c.envelope("plain@example.jp")
			c.sends(dotted(sample + "another\r\n"))
			c.reads("250 ")
			if n := len(w.mailbox("plain")); n != 2 {
				t.Errorf("another message: %d, want 2", n)
			}
		})
	}
}

// QUIT sent along with the message says nothing about the reply.
func TestPipelinedQuitIsNoConfirmation(t *testing.T) {
	w := newWorld(t)
	started, finish := make(chan bool), make(chan bool)
	w.onScan(cleanAfter(started, finish))
	c := w.dial()
	c.sends("MAIL FROM:<a@b.c>\r\nRCPT TO:<safe@example.jp>\r\nDATA\r\n" + dotted(sample) + "QUIT\r\n")
	c.reads("250 ", "250 ", "354 ")
	<-started
	c.conn.Close() // the client is gone before the reply
	close(finish)
	eventually(t, "the session ends", func() bool { return w.server.Stats().Sessions == 0 })
	if w.memory.Len() != 1 {
		t.Fatalf("%d replies written down, want 1", w.memory.Len())
	}
}

// A command that came before the reply confirms nothing, though it came by itself.
func TestEarlyCommandIsNoConfirmation(t *testing.T) {
	w := newWorld(t)
	started, finish := make(chan bool), make(chan bool)
	w.onScan(cleanAfter(started, finish))
	c := w.dial()
	c.envelope("safe@example.jp")
	c.sends(dotted(sample))
	<-started
	c.sends("RSET\r\n")
	time.Sleep(50 * time.Millisecond) // until it is in the kernel's buffer
	c.conn.(*net.TCPConn).SetLinger(0)
	close(finish)
	c.reads("250 2.0.0 <safe@example.jp>")
	c.conn.Close()
	eventually(t, "the session ends", func() bool { return w.server.Stats().Sessions == 0 })
	if w.memory.Len() != 1 {
		t.Fatalf("%d replies written down, want 1", w.memory.Len())
	}
}

// The report was delivered, its message was not; by now nothing but the report is due.
func TestRetryAfterHalfADeliveryHasNothingLeftToDo(t *testing.T) {
	w := newWorld(t)
	w.onScan(verdictOf(&scan.Verdict{Outcome: scan.ReportOnly, Findings: finding}, nil))
	digest := sha256.Sum256([]byte(sample))
	if err := w.memory.Add(memoryKey(digest, "safe@example.jp"), stepReport); err != nil {
		t.Fatal(err)
	}
	c := w.dial()
	c.envelope("safe@example.jp")
	c.sends(dotted(sample))
	c.reads("250 2.0.0")
	if n := len(w.mailbox("safe")); n != 0 {
		t.Errorf("%d messages delivered again", n)
	}
}

func TestStorageFaultStrikesOneRecipientOnly(t *testing.T) {
	w := newWorld(t)
	if err := os.MkdirAll(filepath.Join(w.root, "plain2"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.maildir("plain2"), nil, 0o600); err != nil { // a file where a folder should be
		t.Fatal(err)
	}
	c := w.dial()
	c.envelope("plain@example.jp", "plain2@example.jp", "plain3@example.jp")
	c.sends(dotted(sample))
	c.reads("250 ", "451 4.3.0 <plain2@example.jp>", "250 ")
	os.Remove(w.maildir("plain2"))
	c.envelope("plain2@example.jp")
	c.sends(dotted(sample))
	c.reads("250 ")
	if n := len(w.mailbox("plain2")); n != 1 {
		t.Errorf("%d messages after the retry", n)
	}
}

func TestUnknownDeliveredWhereThereIsAMaildir(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Unknown = func(address string) (string, bool) { return "", false }
	})
	box := w.maildir("guest")
	w.server.Unknown = func(address string) (string, bool) { return box, address == "guest@example.jp" }
	c := w.dial()
	c.envelope("guest@example.jp")
	c.sends(dotted(sample))
	c.reads("250 ")
	if got := w.mailbox("guest"); len(got) != 1 || strings.Contains(got[0], "X-Virus") {
		t.Errorf("guest has %q", got)
	}
	c.sends("MAIL FROM:<>\r\nRCPT TO:<other@example.jp>\r\n")
	c.reads("250 ", "550 5.1.1")
}

func TestEveryErrorHasABareReply(t *testing.T) {
	table := newReplyTable(false)
	for _, f := range failures {
		if got := table.of(fmt.Errorf("wrapped: %w", f.err)); got.Code != f.reply.Code {
			t.Errorf("%v: %d, want %d", f.err, got.Code, f.reply.Code)
		}
	}
	if got := table.of(errors.New("open /var/lib/x: no such file")); got.Code != 451 || strings.Contains(got.Message, "/") {
		t.Errorf("an unknown error: %v", got)
	}
}
