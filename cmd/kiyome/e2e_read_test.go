package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func awaitPort(t *testing.T, port int) {
	t.Helper()
	for range 300 {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			c.Close()
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("nobody listens on port %d", port)
}

// reader is one IMAP or POP3 connection.
type reader struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dialReader(t *testing.T, port int) *reader {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	r := &reader{t, conn, bufio.NewReader(conn)}
	r.line()
	return r
}

func (r *reader) line() string {
	r.t.Helper()
	line, err := r.in.ReadString('\n')
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSuffix(line, "\r\n")
}

func (r *reader) say(format string, args ...any) { fmt.Fprintf(r.conn, format+"\r\n", args...) }

// imap gives all messages of a mailbox, in the order of their UIDs.
func (h *house) imap(t *testing.T, box string) []string {
	t.Helper()
	r := dialReader(t, h.IMAP)
	defer r.conn.Close()
	r.say("a LOGIN {%d+}\r\n%s x", len(box), box)
	r.ok("a")
	r.say("b SELECT INBOX")
	r.ok("b")
	r.say("c UID FETCH 1:* (BODY.PEEK[])")
	return r.ok("c")
}

// ok reads up to the tagged reply, which must be OK, and gives the literals before it.
func (r *reader) ok(tag string) (literals []string) {
	r.t.Helper()
	for {
		line := r.line()
		if rest, found := strings.CutPrefix(line, tag+" "); found {
			if !strings.HasPrefix(rest, "OK") {
				r.t.Fatalf("IMAP: %s", line)
			}
			return literals
		}
		i := strings.LastIndexByte(line, '{')
		if i < 0 || !strings.HasSuffix(line, "}") {
			continue
		}
		n, err := strconv.Atoi(line[i+1 : len(line)-1])
		if err != nil {
			r.t.Fatal(err)
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r.in, b); err != nil {
			r.t.Fatal(err)
		}
		literals = append(literals, string(b))
	}
}

// pop3 gives all messages of a mailbox.
func (h *house) pop3(t *testing.T, box string) []string {
	t.Helper()
	r := dialReader(t, h.POP3)
	defer r.conn.Close()
	for _, command := range []string{"USER " + box, "PASS x"} {
		r.say("%s", command)
		r.positive()
	}
	r.say("STAT")
	var n, size int
	fmt.Sscanf(r.positive(), "+OK %d %d", &n, &size)
	var all []string
	for i := range n {
		r.say("RETR %d", i+1)
		r.positive()
		var b strings.Builder
		for line := r.line(); line != "."; line = r.line() {
			b.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
		}
		all = append(all, b.String())
	}
	return all
}

func (r *reader) positive() string {
	r.t.Helper()
	line := r.line()
	if !strings.HasPrefix(line, "+OK") {
		r.t.Fatalf("POP3: %s", line)
	}
	return line
}
