package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// givenPorts are those that freePort has given: the system may offer one again.
var givenPorts sync.Map

// freePort gives a port that nobody listens on, and never the same twice.
func freePort(t *testing.T) int {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if _, given := givenPorts.LoadOrStore(port, true); !given {
			return port
		}
	}
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
	r := &reader{t, conn, bufio.NewReader(conn)}
	r.patient()
	r.line()
	return r
}

// patient sets how long a command may take from now on.
func (r *reader) patient() { r.conn.SetDeadline(time.Now().Add(30 * time.Second)) }

func (r *reader) line() string {
	r.t.Helper()
	line, err := r.in.ReadString('\n')
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSuffix(line, "\r\n")
}

func (r *reader) say(format string, args ...any) { fmt.Fprintf(r.conn, format+"\r\n", args...) }

// inbox opens a mailbox by IMAP.
func (h *house) inbox(t *testing.T, box string) *reader {
	t.Helper()
	r := dialReader(t, h.IMAP)
	r.say("a LOGIN {%d+}\r\n%s x", len(box), box)
	r.ok("a")
	r.say("b SELECT INBOX")
	r.ok("b")
	return r
}

// imap gives all messages of a mailbox, in the order of their UIDs.
func (h *house) imap(t *testing.T, box string) []string {
	t.Helper()
	r := h.inbox(t, box)
	defer r.conn.Close()
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
		literals = append(literals, r.literal(line[i+1:]))
	}
}

// fetch gives what is asked for of messages, for each of them by the item's name. A
// value is a string, or a list of values.
func (r *reader) fetch(messages, items string) (all []map[string]any) {
	r.t.Helper()
	r.patient()
	r.say("f FETCH %s (%s)", messages, items)
	for {
		reply := r.values('\n')
		switch {
		case len(reply) > 1 && reply[0] == "f":
			if reply[1] != "OK" {
				r.t.Fatalf("IMAP: FETCH %s (%s): %v", messages, items, reply)
			}
			return all
		case len(reply) > 3 && reply[2] == "FETCH":
			list := reply[3].([]any)
			got := map[string]any{}
			for i := 0; i+1 < len(list); i += 2 {
				got[list[i].(string)] = list[i+1]
			}
			all = append(all, got)
		}
	}
}

// values reads up to the end of a list, or of a reply (RFC 3501, section 4).
func (r *reader) values(end byte) (all []any) {
	r.t.Helper()
	for {
		switch c := r.byte(); c {
		case end:
			return all
		case ' ', '\r':
		case '(':
			all = append(all, r.values(')'))
		case '"':
			all = append(all, r.quoted())
		case '{':
			all = append(all, r.literal(r.line()))
		default:
			r.in.UnreadByte()
			all = append(all, r.atom())
		}
	}
}

func (r *reader) byte() byte {
	r.t.Helper()
	c, err := r.in.ReadByte()
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *reader) quoted() string {
	r.t.Helper()
	var b strings.Builder
	for c := r.byte(); c != '"'; c = r.byte() {
		if c == '\\' {
			c = r.byte()
		}
		b.WriteByte(c)
	}
	return b.String()
}

func (r *reader) atom() string {
	r.t.Helper()
	var b strings.Builder
	for c := r.byte(); strings.IndexByte(" ()\r\n", c) < 0; c = r.byte() {
		b.WriteByte(c)
	}
	r.in.UnreadByte()
	return b.String()
}

// literal reads what follows the line that ends with "{n}", n} being size.
func (r *reader) literal(size string) string {
	r.t.Helper()
	n, err := strconv.Atoi(strings.TrimSuffix(size, "}"))
	if err != nil {
		r.t.Fatal(err)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r.in, b); err != nil {
		r.t.Fatal(err)
	}
	return string(b)
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
