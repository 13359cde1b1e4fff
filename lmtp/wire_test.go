package lmtp

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

const sample = "Subject: hello\r\nMessage-ID: <1@example.com>\r\n\r\nHello\r\n.. dots\r\n. dot\r\n"

func TestGreetingKeepsBackChunkingSizeAndDSN(t *testing.T) {
	c := newWorld(t).raw()
	c.reads("220 mail.example.jp LMTP")
	c.sends("LHLO client.example\r\n")
	var lines []string
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.TrimSpace(line))
		if line[3] == ' ' {
			break
		}
	}
	got := strings.Join(lines, "|")
	for _, want := range []string{"PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not offered: %s", want, got)
		}
	}
	for _, bad := range []string{"CHUNKING", "SIZE", "DSN", "STARTTLS", "AUTH"} {
		if strings.Contains(got, bad) {
			t.Errorf("%s is offered: %s", bad, got)
		}
	}
	c.sends("NOOP\r\n")
	c.reads("250 2.0.0")
}

func TestMessageArrivesByteForByte(t *testing.T) {
	for _, tt := range []struct{ name, msg string }{
		{"dots", sample},
		{"empty", ""},
		{"bare line ends", "Subject: x\n\na\rb\nc\r\n"},
		{"CR before CRLF", "Subject: x\r\n\r\na\r\r\n"},
		{"NUL and 8-bit", "Subject: x\r\n\r\n\x00\x80\xff\r\n"},
		{"false ends", "a\n.\nb\n.\r\nc\r.\rd\r.\r\ne\r\n"},
		{"line of 10 MB", "Subject: x\r\n\r\n" + strings.Repeat("0123456789", 1<<20) + "\r\n"},
		{"no header", "no header at all\r\n"},
		{"100,000 fields", strings.Repeat("X-A: b\r\n", 100_000) + "\r\nbody\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.dial()
			c.envelope("plain@example.jp")
			c.sends(dotted(tt.msg))
			c.reads("250 2.0.0 <plain@example.jp> ")
			got := w.mailbox("plain")
			if len(got) != 1 || below(got[0]) != tt.msg {
				t.Fatalf("%d messages; got %.200q", len(got), got)
			}
		})
	}
}

func TestPipelinedInOneWrite(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	c.sends("MAIL FROM:<>\r\nRCPT TO:<plain@example.jp>\r\nRCPT TO:<nobody@example.jp>\r\nRCPT TO:<plain2@example.jp>\r\nDATA\r\n" +
		dotted(sample) + "MAIL FROM:<b@example.com>\r\nRCPT TO:<plain@example.jp>\r\nDATA\r\n" + dotted("second\r\n") + "QUIT\r\n")
	c.reads("250 ", "250 ", "550 5.1.1", "250 ", "354 ", "250 2.0.0 <plain@", "250 2.0.0 <plain2@",
		"250 ", "250 ", "354 ", "250 2.0.0 <plain@", "221 ")
	c.closed()
	c.conn.Close()
	if n := len(w.mailbox("plain")); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
	eventually(t, "the session ends", func() bool { return w.server.Stats().Sessions == 0 })
	if n := w.memory.Len(); n != 0 {
		t.Errorf("%d replies taken for lost although the client read them", n)
	}
}

func TestSequencesAndRefusals(t *testing.T) {
	for _, tt := range []struct {
		name string
		say  []string // command and reply in turn
	}{
		{"data without recipient", []string{"MAIL FROM:<a@b.c>", "250 ", "DATA", "502 "}},
		{"second MAIL", []string{"MAIL FROM:<a@b.c>", "250 ", "MAIL FROM:<d@e.f>", "503 5.5.1", "RCPT TO:<plain@example.jp>", "250 "}},
		{"probe and reset", []string{"MAIL FROM:<>", "250 ", "RCPT TO:<plain@example.jp>", "250 ", "RSET", "250 ", "MAIL FROM:<>", "250 "}},
		{"unknown", []string{"MAIL FROM:<>", "250 ", "RCPT TO:<nobody@example.jp>", "550 5.1.1"}},
		{"cannot tell", []string{"MAIL FROM:<>", "250 ", "RCPT TO:<broken@example.jp>", "451 4.3.0"}},
		{"malformed", []string{"MAIL FROM:<>", "250 ", "RCPT TO:<\"../x\"@example.jp>", "553 5.1.3"}},
		{"no at sign", []string{"MAIL FROM:<>", "250 ", "RCPT TO:<postmaster>", "501 "}},
		{"EHLO", []string{"EHLO x", "500 "}},
		{"SMTPUTF8", []string{"MAIL FROM:<太郎@example.jp> SMTPUTF8 BODY=8BITMIME", "250 ", "RCPT TO:<plain@example.jp>", "250 "}},
		{"garbage", []string{"\x00\xff\xfe", "50"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newWorld(t).dial()
			for i := 0; i < len(tt.say); i += 2 {
				c.sends(tt.say[i] + "\r\n")
				c.reads(tt.say[i+1])
			}
		})
	}
}

func TestChunksAreRefusedAndTheirBytesAreNoCommands(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	c.sends("MAIL FROM:<a@b.c>\r\nRCPT TO:<plain@example.jp>\r\nBDAT 70 LAST\r\nRSET\r\nMAIL FROM:<x@y.z>\r\nRCPT TO:<plain@example.jp>\r\nDATA\r\n")
	c.reads("250 ", "250 ", "503 5.5.1")
	c.closed()
	if n := len(w.mailbox("plain")); n != 0 {
		t.Errorf("%d messages delivered", n)
	}
}

func TestCommandLinesAreLimited(t *testing.T) {
	c := newWorld(t).dial()
	c.sends("MAIL FROM:<" + strings.Repeat("a", 100_000) + "@b.c>\r\n")
	c.reads("500 5.4.0")
	c.closed()
}

// A connection that breaks at any byte leaves no message behind but a whole one.
func TestBrokenConnectionAtEachStage(t *testing.T) {
	w := newWorld(t)
	whole := "MAIL FROM:<a@b.c>\r\nRCPT TO:<plain@example.jp>\r\nDATA\r\n" + dotted(sample)
	for n := range len(whole) {
		c := w.dial()
		c.sends(whole[:n])
		c.conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c.conn)
		c.conn.Close()
	}
	eventually(t, "all sessions end", func() bool { return w.server.Stats().Sessions == 0 })
	if got := w.mailbox("plain"); len(got) != 0 {
		t.Errorf("%d messages of connections that broke before the end", len(got))
	}
}

func TestSilenceEndsASession(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.IdleTimeout, o.DataTimeout = 50*time.Millisecond, 50*time.Millisecond })
	t.Run("before a command", func(t *testing.T) {
		c := w.dial()
		c.reads("421 4.4.2")
		c.closed()
	})
	t.Run("within a message", func(t *testing.T) {
		c := w.dial()
		c.envelope("plain@example.jp")
		c.sends("Subject: x\r\n")
		c.reads("451 4.4.2")
		if n := len(w.mailbox("plain")); n != 0 {
			t.Errorf("%d messages", n)
		}
	})
}

func TestIdleClientsDoNotStandInTheWay(t *testing.T) {
	w := newWorld(t)
	for range 500 {
		w.raw().reads("220 ")
	}
	c := w.dial()
	c.envelope("plain@example.jp")
	c.sends(dotted(sample))
	c.reads("250 ")
}

func TestTooManySessionsHear421(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Sessions = 2 })
	a, b := w.dial(), w.dial()
	c := w.raw()
	c.reads("421 4.3.2")
	c.closed()
	a.sends("QUIT\r\n")
	a.reads("221 ")
	a.closed()
	eventually(t, "a place is free", func() bool { return w.server.Stats().Sessions == 1 })
	w.dial()
	b.sends("NOOP\r\n")
	b.reads("250 ")
}

func TestShutdownTellsTheIdleAndFinishesTheRunning(t *testing.T) {
	w := newWorld(t)
	idle, between, busy := w.dial(), w.dial(), w.dial()
	between.sends("MAIL FROM:<a@b.c>\r\n")
	between.reads("250 ")
	started, finish := make(chan bool), make(chan bool)
	w.onScan(cleanAfter(started, finish))
	busy.envelope("safe@example.jp")
	busy.sends(dotted(sample))
	<-started

	ended := make(chan error, 1)
	go func() { ended <- w.server.Shutdown(t.Context()) }()
	idle.reads("421 4.3.2")
	idle.closed()
	between.reads("421 4.3.2")
	if c, err := net.Dial("tcp", w.addr); err == nil {
		if line, _ := io.ReadAll(c); !strings.HasPrefix(string(line), "421") && len(line) > 0 {
			t.Errorf("a new client hears %q", line)
		}
	}
	close(finish)
	busy.reads("250 2.0.0 <safe@example.jp>", "421 4.3.2")
	if err := <-ended; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if n := len(w.mailbox("safe")); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func TestFiftyRecipientsAndSeveralTransactions(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	for range 3 {
		var rcpts []string
		for i := range 50 {
			rcpts = append(rcpts, fmt.Sprintf("plain%d@example.jp", i))
		}
		c.envelope(rcpts...)
		c.sends(dotted(sample))
		for _, r := range rcpts {
			c.reads("250 2.0.0 <" + r + ">")
		}
	}
	for i := range 50 {
		if n := len(w.mailbox(fmt.Sprintf("plain%d", i))); n != 3 {
			t.Errorf("plain%d has %d messages, want 3", i, n)
		}
	}
}

func TestSpoolFailureIs4xx(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Spool = "/nonexistent" })
	c := w.dial()
	c.envelope("plain@example.jp", "plain2@example.jp")
	c.sends(dotted(strings.Repeat("large\r\n", 1_300_000)))
	c.reads("451 4.3.0", "451 4.3.0")
	c.envelope("plain@example.jp")
	c.sends(dotted("small\r\n"))
	c.reads("250 ")
}

func TestAliveTellsOfConnectionsThatAreNotAccepted(t *testing.T) {
	w := newWorld(t)
	w.dial()
	if err := w.server.Alive(); err != nil {
		t.Errorf("a server that accepts: %v", err)
	}
	w.server.mu.Lock()
	l := w.server.listeners[0]
	w.server.mu.Unlock()
	eventually(t, "it waits for the next connection", func() bool { return l.left.Load() == 0 })
	l.left.Store(time.Now().Add(-2 * acceptTime).UnixNano())
	if err := w.server.Alive(); err == nil || !strings.Contains(err.Error(), w.addr) {
		t.Errorf("nobody waits for connections: %v", err)
	}
	w.dial() // and goes on
	eventually(t, "alive again", func() bool { return w.server.Alive() == nil })
}
