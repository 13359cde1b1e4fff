package web

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// imapServer serves each connection with a function, on a socket of its own.
func imapServer(t *testing.T, network string, serve func(net.Conn)) (address string) {
	t.Helper()
	at := "127.0.0.1:0"
	if network == "unix" {
		at = filepath.Join(t.TempDir(), "imap.sock")
	}
	l, err := net.Listen(network, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	if network == "unix" {
		return "unix:" + at
	}
	return l.Addr().String()
}

// speaks is a server that greets, and answers LOGIN by what answer gives for its two
// arguments; TLS is begun where a configuration is given.
func speaks(greeting string, secure *tls.Config, answer func(user, password string) string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, greeting+"\r\n")
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			tag, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			command, rest, _ := strings.Cut(rest, " ")
			switch strings.ToUpper(command) {
			case "CAPABILITY":
				fmt.Fprintf(c, "* CAPABILITY IMAP4rev1 STARTTLS\r\n%s OK\r\n", tag)
			case "STARTTLS":
				fmt.Fprintf(c, "%s OK begin\r\n", tag)
				secured := tls.Server(c, secure)
				c, r = secured, bufio.NewReader(secured)
			case "LOGIN":
				user, rest := argument(c, r, rest)
				password, _ := argument(c, r, strings.TrimPrefix(rest, " "))
				fmt.Fprintf(c, "%s %s\r\n", tag, answer(user, password))
			case "LOGOUT":
				fmt.Fprintf(c, "* BYE\r\n%s OK\r\n", tag)
				return
			default:
				fmt.Fprintf(c, "%s BAD\r\n", tag)
			}
		}
	}
}

// argument reads a quoted string, a literal or an atom off the front of a line.
func argument(c net.Conn, r *bufio.Reader, line string) (value, rest string) {
	switch {
	case strings.HasPrefix(line, `"`):
		var b strings.Builder
		for i := 1; i < len(line); i++ {
			switch line[i] {
			case '"':
				return b.String(), line[i+1:]
			case '\\':
				i++
			}
			b.WriteByte(line[i])
		}
	case strings.HasPrefix(line, "{"):
		n, _ := strconv.Atoi(strings.Trim(line, "{}+"))
		io.WriteString(c, "+ go on\r\n")
		b := make([]byte, n)
		io.ReadFull(r, b)
		more, _ := r.ReadString('\n')
		return string(b), strings.TrimRight(more, "\r\n")
	}
	value, rest, _ = strings.Cut(line, " ")
	return value, rest
}

func prover(t *testing.T, o IMAP) Prover {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	p, err := NewIMAP(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProve(t *testing.T) {
	errOther := errors.New("any other")
	const password = `pa"ss\wo rd{5} パスワード`
	answer := func(user, given string) string {
		switch {
		case user == "taro@example.jp" && given == password || user == "太郎@example.jp" && given == "x":
			return "OK in"
		case user == "temp@example.jp":
			return "NO [UNAVAILABLE] Temporary authentication failure."
		case user == "plain@example.jp":
			return "NO [PRIVACYREQUIRED] Plaintext authentication disallowed"
		case user == "bad@example.jp":
			return "BAD what?"
		}
		return "NO [AUTHENTICATIONFAILED] Authentication failed."
	}
	for _, network := range []string{"tcp", "unix"} {
		p := prover(t, IMAP{Address: imapServer(t, network, speaks("* OK ready", nil, answer)), TLS: "local"})
		for _, tt := range []struct {
			address, password string
			want              error // nil, errWrongPassword, or any other
		}{
			{"taro@example.jp", password, nil},
			{"太郎@example.jp", "x", nil},
			{"taro@example.jp", "not this", errWrongPassword},
			{`taro@example.jp" "x`, password, errWrongPassword},
			{"temp@example.jp", "x", errOther},
			{"plain@example.jp", "x", errOther},
			{"bad@example.jp", "x", errOther},
		} {
			err := p.Prove(context.Background(), netip.MustParseAddr("192.0.2.1"), tt.address, tt.password)
			switch {
			case tt.want == nil && err == nil, tt.want == errWrongPassword && errors.Is(err, errWrongPassword):
			case tt.want == errOther && err != nil && !errors.Is(err, errWrongPassword):
			default:
				t.Errorf("%s, %s: %v, want %v", tt.address, tt.password, err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), tt.password) && tt.password != "x" {
				t.Errorf("the error has the password: %v", err)
			}
		}
	}
}

// TestServersThatAreNotRight: whatever an IMAP server does, it proves nothing, nothing
// hangs, and nobody is told that the password is wrong.
func TestServersThatAreNotRight(t *testing.T) {
	silent := func(c net.Conn) { io.Copy(io.Discard, c) }
	for _, tt := range []struct {
		name  string
		serve func(net.Conn)
	}{
		{"silent", silent},
		{"closes", func(net.Conn) {}},
		{"silent after the greeting", func(c net.Conn) { io.WriteString(c, "* OK\r\n"); silent(c) }},
		{"closes after the greeting", func(c net.Conn) { io.WriteString(c, "* OK\r\n") }},
		{"closes after LOGIN", func(c net.Conn) { io.WriteString(c, "* OK\r\n"); bufio.NewReader(c).ReadString('\n') }},
		{"says BYE", func(c net.Conn) { io.WriteString(c, "* BYE busy\r\n") }},
		{"PREAUTH", func(c net.Conn) { io.WriteString(c, "* PREAUTH you are in\r\n"); silent(c) }},
		{"PREAUTH, and any password will do", speaks("* PREAUTH you are in", nil, func(string, string) string { return "OK in" })},
		{"HTTP", func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }},
		{"one endless line", func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, strings.Repeat("x", 4096)); err != nil {
					return
				}
			}
		}},
		{"a huge literal", func(c net.Conn) { io.WriteString(c, "* OK\r\n* LIST () \"/\" {4000000000}\r\n"); silent(c) }},
		{"endless answers", func(c net.Conn) {
			io.WriteString(c, "* OK\r\n")
			for {
				if _, err := io.WriteString(c, "* 5 EXISTS\r\n"); err != nil {
					return
				}
			}
		}},
		{"a byte at a time", func(c net.Conn) {
			for range 1000 {
				io.WriteString(c, "*")
				time.Sleep(10 * time.Millisecond)
			}
		}},
		{"binary", func(c net.Conn) { c.Write([]byte{0x15, 3, 1, 0, 2, 2, 10, 0, '\n'}); silent(c) }},
		{"the answer of another command", func(c net.Conn) { io.WriteString(c, "* OK\r\nzz OK in\r\nT1 \r\n"); silent(c) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := prover(t, IMAP{Address: imapServer(t, "tcp", tt.serve), TLS: "local", Timeout: 300 * time.Millisecond})
			for _, password := range []string{"secret", "パスワード"} { // as a string, and as a literal
				begun := time.Now()
				err := p.Prove(context.Background(), netip.MustParseAddr("192.0.2.1"), "taro@example.jp", password)
				if err == nil || errors.Is(err, errWrongPassword) {
					t.Errorf("%v", err)
				}
				if took := time.Since(begun); took > 2*time.Second {
					t.Errorf("it took %s", took)
				}
			}
		})
	}
	for range 100 { // all that was begun comes to an end
		if runtime.NumGoroutine() < 20 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b := make([]byte, 1<<16)
	t.Errorf("%d goroutines are left:\n%s", runtime.NumGoroutine(), b[:runtime.Stack(b, true)])
}

func TestNobodyAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, address := range []string{l.Addr().String(), "unix:/nowhere/imap.sock"} {
		err := prover(t, IMAP{Address: address, TLS: "local"}).Prove(context.Background(), netip.MustParseAddr("192.0.2.1"), "taro@example.jp", "x")
		if err == nil || errors.Is(err, errWrongPassword) {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestProveWithTLS(t *testing.T) {
	certificate := httptest.NewUnstartedServer(nil)
	certificate.StartTLS()
	defer certificate.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	secure := &tls.Config{Certificates: certificate.TLS.Certificates}
	yes := func(string, string) string { return "OK in" }
	inTLS := func(c net.Conn) { speaks("* OK ready", nil, yes)(tls.Server(c, secure)) }
	starts := speaks("* OK ready", secure, yes)
	for _, tt := range []struct {
		name  string
		serve func(net.Conn)
		o     IMAP
		ok    bool
	}{
		{"tls", inTLS, IMAP{TLS: "tls", CA: ca}, true},
		{"tls, by a name", inTLS, IMAP{TLS: "tls", CA: ca, Name: "example.com"}, true},
		{"tls, another name", inTLS, IMAP{TLS: "tls", CA: ca, Name: "mail.example.jp"}, false},
		{"tls, nobody's certificate", inTLS, IMAP{TLS: "tls"}, false},
		{"tls, a server without", starts, IMAP{TLS: "tls", CA: ca, Timeout: 500 * time.Millisecond}, false},
		{"starttls", starts, IMAP{TLS: "starttls", CA: ca}, true},
		{"starttls, another name", starts, IMAP{TLS: "starttls", CA: ca, Name: "mail.example.jp"}, false},
		{"starttls, a server that refuses", func(c net.Conn) {
			io.WriteString(c, "* OK\r\n")
			line, _ := bufio.NewReader(c).ReadString('\n')
			tag, _, _ := strings.Cut(line, " ")
			io.WriteString(c, tag+" NO\r\n")
			io.Copy(io.Discard, c)
		}, IMAP{TLS: "starttls", CA: ca}, false},
		{"starttls, answers slipped in before", func(c net.Conn) { // by somebody in between
			io.WriteString(c, "* OK\r\n")
			line, _ := bufio.NewReader(c).ReadString('\n')
			tag, _, _ := strings.Cut(line, " ")
			io.WriteString(c, tag+" OK\r\n* CAPABILITY IMAP4rev1\r\nT2 OK in\r\n")
			speaks("* OK", nil, yes)(tls.Server(c, secure))
		}, IMAP{TLS: "starttls", CA: ca, Timeout: time.Second}, false},
		{"starttls, PREAUTH", func(c net.Conn) { io.WriteString(c, "* PREAUTH\r\n"); starts(c) }, IMAP{TLS: "starttls", CA: ca, Timeout: time.Second}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Address = imapServer(t, "tcp", tt.serve)
			err := prover(t, tt.o).Prove(context.Background(), netip.MustParseAddr("192.0.2.1"), "taro@example.jp", "secret")
			if (err == nil) != tt.ok || errors.Is(err, errWrongPassword) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestNewIMAPRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		o    IMAP
		says string // "" when it is accepted
	}{
		{IMAP{Address: "127.0.0.1:143", TLS: "local"}, ""},
		{IMAP{Address: "unix:/run/imap", TLS: "local"}, ""},
		{IMAP{Address: "192.0.2.1:143", TLS: "none"}, ""},
		{IMAP{Address: "192.0.2.1:993", TLS: "tls"}, ""},
		{IMAP{Address: "unix:/run/imap", TLS: "starttls"}, "unix socket"},
		{IMAP{Address: "unix:/run/imap", TLS: "starttls", Name: "x"}, ""},
		{IMAP{Address: "192.0.2.1:993", TLS: "tls", CA: "/nowhere"}, "/nowhere"},
		{IMAP{Address: "192.0.2.1:993", TLS: "tls", CA: empty}, "no certificate"},
	} {
		_, err := NewIMAP(tt.o)
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%+v: %v", tt.o, err)
		}
	}
}

func TestTheServerIsToldWhoLogsIn(t *testing.T) {
	for _, tt := range []struct{ client, want string }{
		{"192.0.2.1", "PROXY TCP4 192.0.2.1 127.0.0.1 1 143"},
		{"2001:db8::1", "PROXY TCP6 2001:db8::1 ::1 1 143"},
		{"", "PROXY UNKNOWN"},
	} {
		told := make(chan string, 1)
		address := imapServer(t, "unix", func(c net.Conn) {
			line := make([]byte, 0, 100)
			for b := make([]byte, 1); !strings.HasSuffix(string(line), "\r\n"); line = append(line, b...) {
				if _, err := c.Read(b); err != nil {
					return
				}
			}
			told <- strings.TrimSpace(string(line))
			speaks("* OK ready", nil, func(string, string) string { return "OK in" })(c)
		})
		client, _ := netip.ParseAddr(tt.client)
		if err := prover(t, IMAP{Address: address, Proxy: true}).Prove(context.Background(), client, "taro@example.jp", "x"); err != nil {
			t.Error(err)
		}
		if got := <-told; got != tt.want {
			t.Errorf("told %q, want %q", got, tt.want)
		}
	}
}

// TestWhatAServerSaysIsBounded: memory is what a line without an end would take.
func TestWhatAServerSaysIsBounded(t *testing.T) {
	sent := make(chan int, 1)
	address := imapServer(t, "tcp", func(c net.Conn) {
		for n := 0; ; n += 4096 {
			if _, err := io.WriteString(c, strings.Repeat("x", 4096)); err != nil {
				sent <- n
				return
			}
		}
	})
	begun := time.Now()
	err := prover(t, IMAP{Address: address, Timeout: 20 * time.Second}).Prove(context.Background(), netip.Addr{}, "taro@example.jp", "x")
	if err == nil || !strings.Contains(err.Error(), "more than a log-in takes") || time.Since(begun) > 10*time.Second {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
	if n := <-sent; n > 32<<20 { // the buffers of the system
		t.Errorf("%d bytes were taken", n)
	}
}
