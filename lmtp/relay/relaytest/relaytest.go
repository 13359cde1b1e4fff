// Package relaytest is a next hop for tests: an SMTP server that says what a test
// wants it to say, and keeps what it was given byte for byte.
package relaytest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Server is a next hop. Its fields are set before Start.
type Server struct {
	// Offers are the keywords of EHLO; nil means those of All.
	Offers []string

	// Answer gives the reply to a command, which may have several lines; "" means the
	// usual one. Before it, the command is in Said. "message" stands for the end of a message.
	// The replies "drop" and "silence" close the connection, and say nothing.
	Answer func(command string) string

	// TLS makes STARTTLS work.
	TLS *tls.Config

	Addr string

	mu     sync.Mutex
	said   []string
	mails  []Mail
	opened int
	conns  []net.Conn
	done   chan struct{}
}

// Mail is a message that the next hop took.
type Mail struct {
	From string // as it stood in the command, parameters included
	To   []string
	Data string // with the dots undone
}

// All is what a Postfix offers.
var All = []string{"PIPELINING", "SIZE 104857600", "ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8", "CHUNKING", "XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT"}

// Without gives All less the keywords that begin with one of names.
func Without(names ...string) []string {
	return slices.DeleteFunc(slices.Clone(All), func(offer string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(offer, name) })
	})
}

// Start makes it listen on loopback until the test ends.
func (s *Server) Start(t testing.TB) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = l.Addr().String()
	s.done = make(chan struct{})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.opened++
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			go s.serve(c)
		}
	}()
	t.Cleanup(func() {
		close(s.done)
		l.Close()
		s.DropAll()
	})
	return s
}

// SetAnswer changes Answer while it runs.
func (s *Server) SetAnswer(f func(command string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Answer = f
}

// DropAll closes all connections.
func (s *Server) DropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

// Mails are the messages that were taken.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// Said are the commands that came.
func (s *Server) Said() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.said)
}

// Forget gives the commands that came, and starts anew: without them, without messages.
func (s *Server) Forget() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	said := s.said
	s.said, s.mails = nil, nil
	return said
}

// Opened is how many connections were made.
func (s *Server) Opened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// dialog is one connection.
type dialog struct {
	*Server
	conn net.Conn
	in   *bufio.Reader
	mail Mail
	over bool
}

func (s *Server) serve(c net.Conn) {
	d := &dialog{Server: s, conn: c, in: bufio.NewReader(c)}
	defer func() { d.conn.Close() }()
	d.reply("connect", "220 next.example ESMTP")
	for !d.over {
		line, err := d.in.ReadString('\n')
		if err != nil {
			return
		}
		d.command(strings.TrimRight(line, "\r\n"))
	}
}

// reply says what the test wants, or the usual, and reports whether it was that.
func (d *dialog) reply(command, usual string) bool {
	said := d.wanted(command)
	d.say(said, usual)
	return said == ""
}

// wanted is what the test wants to be said to a command.
func (d *dialog) wanted(command string) string {
	d.mu.Lock()
	d.said = append(d.said, command)
	answer := d.Answer
	d.mu.Unlock()
	if answer == nil {
		return ""
	}
	return answer(command)
}

func (d *dialog) say(said, usual string) {
	switch said {
	case "":
		fmt.Fprintf(d.conn, "%s\r\n", usual)
	case "drop":
		d.over = true
	case "silence":
		<-d.done
		d.over = true
	default:
		fmt.Fprintf(d.conn, "%s\r\n", strings.ReplaceAll(said, "\n", "\r\n"))
	}
}

func (d *dialog) command(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		offers := d.Offers
		if offers == nil {
			offers = All
		}
		if _, under := d.conn.(*tls.Conn); d.TLS != nil && !under {
			offers = append([]string{"STARTTLS"}, offers...)
		}
		d.reply(line, "250-"+strings.Join(append([]string{"next.example"}, offers...), "\r\n250-")+"\r\n250 HELP")
	case "STARTTLS":
		said := d.wanted(line)
		d.say(said, "220 2.0.0 Ready")
		if d.TLS != nil && (said == "" || strings.HasPrefix(said, "220")) {
			c := tls.Server(d.conn, d.TLS)
			d.conn, d.in = c, bufio.NewReader(c)
		}
	case "MAIL":
		d.mail = Mail{From: strings.TrimPrefix(rest, "FROM:")}
		d.reply(line, "250 2.1.0 Ok")
	case "RCPT":
		if d.reply(line, "250 2.1.5 Ok") {
			d.mail.To = append(d.mail.To, strings.TrimPrefix(rest, "TO:"))
		}
	case "DATA":
		if d.reply(line, "354 End data with <CR><LF>.<CR><LF>") {
			d.data()
		}
	case "BDAT":
		var n int64
		fmt.Sscanf(rest, "%d LAST", &n)
		b, err := io.ReadAll(io.LimitReader(d.in, n))
		d.message(string(b), err)
	case "QUIT":
		d.reply(line, "221 2.0.0 Bye")
		d.over = true
	default:
		d.reply(line, "250 2.0.0 Ok")
	}
}

// data reads a message up to CRLF.CRLF and undoes the dots behind CRLF.
func (d *dialog) data() {
	var b strings.Builder
	start := true
	for {
		line, err := d.in.ReadString('\n')
		if err != nil {
			d.over = true
			return
		}
		if start && line == ".\r\n" {
			break
		}
		if start {
			line = strings.TrimPrefix(line, ".")
		}
		start = strings.HasSuffix(line, "\r\n")
		b.WriteString(line)
	}
	d.message(b.String(), nil)
}

func (d *dialog) message(data string, err error) {
	if err != nil {
		d.over = true
		return
	}
	said := d.wanted("message")
	if said == "" {
		d.mail.Data = data
		d.mu.Lock()
		d.mails = append(d.mails, d.mail)
		d.mu.Unlock()
	}
	d.say(said, "250 2.0.0 Ok: queued as ABC123")
	d.mail = Mail{}
}
