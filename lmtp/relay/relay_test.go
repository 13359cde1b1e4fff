package relay

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kiyome/lmtp/relay/relaytest"
)

// bytesOf is a content.
type bytesOf string

func (b bytesOf) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(b))
	return int64(n), err
}
func (b bytesOf) Size() int64 { return int64(len(b)) }
func (b bytesOf) BareLF() int64 {
	return int64(strings.Count(string(b), "\n") - strings.Count(string(b), "\r\n"))
}

const sample = "Subject: x\r\n\r\nHello\r\n.dot\r\n..dots\r\n"

func client(t *testing.T, s *relaytest.Server, change ...func(*Options)) *Client {
	t.Helper()
	o := Options{Address: s.Addr, Hostname: "mail.example.jp", Patience: 5 * time.Second}
	for _, c := range change {
		c(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func mail(to ...string) *Mail {
	return &Mail{From: "taro@example.jp", To: to, Content: bytesOf(sample)}
}

// when makes a next hop say something once a command begins with a prefix.
func when(prefix, say string) func(string) string {
	return func(command string) string {
		if strings.HasPrefix(command, prefix) {
			return say
		}
		return ""
	}
}

func TestEveryRecipientHasTheNextHopsAnswer(t *testing.T) {
	for _, offers := range [][]string{relaytest.All, relaytest.Without("PIPELINING")} {
		s := (&relaytest.Server{Offers: offers, Answer: func(command string) string {
			switch {
			case strings.Contains(command, "<no@"):
				return "550-5.1.1 No\n550 5.1.1 such user"
			case strings.Contains(command, "<later@"):
				return "450 4.2.1 Mailbox busy"
			case strings.Contains(command, "<odd@"):
				return "451 5.1.1 caf\xe9\x07"
			}
			return ""
		}}).Start(t)
		got := client(t, s).Send(t.Context(), mail("a@x.example", "no@x.example", "later@x.example", "odd@x.example", "b@x.example"))
		want := []string{"250 2.0.0 Ok: queued as ABC123", "550 5.1.1 No such user", "450 4.2.1 Mailbox busy", "451 4.0.0 5.1.1 caf??", "250 2.0.0 Ok: queued as ABC123"}
		for i, r := range got {
			if r.Reply.String() != want[i] || (r.Err == nil) != (r.Reply.Code == 250) {
				t.Errorf("recipient %d: %q, %v; want %q", i, r.Reply, r.Err, want[i])
			}
		}
		if m := s.Mails(); len(m) != 1 || m[0].Data != sample || !slices.Equal(m[0].To, []string{"<a@x.example>", "<b@x.example>"}) {
			t.Errorf("the next hop has %q", m)
		}
	}
}

// What goes wrong at each step, and what is then known of the recipient.
func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		name   string
		offers []string
		answer func(string) string
		err    error  // one of ours
		reply  string // or the next hop's
		rest   bool   // the connection is used again
	}{
		{name: "greeting 421", answer: when("connect", "421 4.3.2 busy"), err: ErrUnavailable},
		{name: "greeting 554", answer: when("connect", "554 5.7.1 not you"), err: ErrUnavailable},
		{name: "greeting dropped", answer: when("connect", "drop"), err: ErrUnavailable},
		{name: "greeting is none", answer: when("connect", "HTTP/1.1 400 Bad Request"), err: ErrUnavailable},
		{name: "greeting without end", answer: when("connect", strings.Repeat("220-x\n", 100_000)), err: ErrUnavailable},
		{name: "silence", answer: when("connect", "silence"), err: ErrUnavailable},
		{name: "EHLO refused", answer: when("EHLO", "502 5.5.1 what"), err: ErrUnavailable},
		{name: "MAIL 421", answer: when("MAIL", "421 4.3.2 busy"), err: ErrUnavailable},
		{name: "MAIL dropped", answer: when("MAIL", "drop"), err: ErrUnavailable},
		{name: "MAIL silent", answer: when("MAIL", "silence"), err: ErrUnavailable},
		{name: "MAIL 552", answer: when("MAIL", "552 5.3.4 too large"), reply: "552 5.3.4 too large", rest: true},
		{name: "MAIL 451", answer: when("MAIL", "451 4.3.0 later"), reply: "451 4.3.0 later", rest: true},
		{name: "MAIL refused, one by one", offers: relaytest.Without("PIPELINING"), answer: when("MAIL", "550 5.7.1 no"), reply: "550 5.7.1 no", rest: true},
		{name: "RCPT 550", answer: when("RCPT", "550 5.1.1 no"), reply: "550 5.1.1 no", rest: true},
		{name: "RCPT 421", answer: when("RCPT", "421 4.3.2 busy"), err: ErrUnavailable},
		{name: "RCPT dropped", answer: when("RCPT", "drop"), err: ErrUnavailable},
		{name: "RCPT garbage", answer: when("RCPT", "what?"), err: ErrUnavailable},
		{name: "DATA 452", answer: when("DATA", "452 4.3.1 full"), reply: "452 4.3.1 full"},
		{name: "DATA 250", answer: when("DATA", "250 2.0.0 what"), reply: "250 2.0.0 what"},
		{name: "DATA dropped", answer: when("DATA", "drop"), err: ErrUnavailable},
		{name: "message 550", answer: when("message", "550 5.7.1 spam"), reply: "550 5.7.1 spam", rest: true},
		{name: "message 452", answer: when("message", "452 4.3.1 full"), reply: "452 4.3.1 full", rest: true},
		{name: "message 421", answer: when("message", "421 4.3.2 going"), reply: "421 4.3.2 going"},
		{name: "message dropped", answer: when("message", "drop"), err: ErrUncertain},
		{name: "message silent", answer: when("message", "silence"), err: ErrUncertain},
		{name: "message answered with garbage", answer: when("message", "ok"), err: ErrUncertain},
		{name: "XFORWARD refused", answer: when("XFORWARD", "550 5.7.0 no"), reply: "250 2.0.0 Ok: queued as ABC123", rest: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := (&relaytest.Server{Offers: tt.offers, Answer: tt.answer}).Start(t)
			c := client(t, s, func(o *Options) { o.Patience = time.Second })
			m := mail("a@x.example", "b@x.example")
			m.Origin = Origin{"IDENT": "Q1"}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			for _, r := range c.Send(ctx, m) {
				if tt.err != nil && !errors.Is(r.Err, tt.err) || tt.reply != "" && r.Reply.String() != tt.reply {
					t.Errorf("%q, %v; want %q, %v", r.Reply, r.Err, tt.reply, tt.err)
				}
				if (r.Err == nil) != (len(s.Mails()) == 1) {
					t.Errorf("%v, and the next hop has %d messages", r.Err, len(s.Mails()))
				}
			}
			if c.pool.takeIdle() != nil != tt.rest {
				t.Errorf("connection kept: %v, want %v", !tt.rest, tt.rest)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c, err := New(Options{Address: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range c.Send(t.Context(), mail("a@x.example", "b@x.example")) {
		if !errors.Is(r.Err, ErrUnavailable) {
			t.Error(r.Err)
		}
	}
}

// What the receiver must find, whatever stands in the message.
func TestBytesArrive(t *testing.T) {
	for _, tt := range []struct{ name, msg, chunked, data string }{ // want, with CHUNKING and without; "" means msg
		{"dots", sample, "", ""},
		{"NUL and 8-bit", "a\x00\xff\xfe\r\n", "", ""},
		{"bare CR", "a\rb\r\r\n\r.\r\n", "", ""},
		{"no line end", "a\r\nb", "a\r\nb\r\n", "a\r\nb\r\n"},
		{"CR at the end", "a\r", "a\r\r\n", "a\r\r\n"},
		{"bare LF", "a\nb\n", "", "a\nb\n\r\n"},
		{"an end for lax readers", "a\n.\r\nMAIL FROM:<x@y>\n.\n", "", "a\n..\r\nMAIL FROM:<x@y>\n..\n\r\n"},
		{"another", "a\r\n.\nb\r\n", "", ""},
		{"long line", strings.Repeat("x", 1<<20) + "\r\n.\r\n", "", ""},
		{"empty", "", "", ""},
		{"dot alone", ".", ".\r\n", ".\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, offers := range [][]string{relaytest.All, relaytest.Without("CHUNKING")} {
				want := tt.chunked
				if len(offers) < len(relaytest.All) {
					want = tt.data
				}
				if want == "" {
					want = tt.msg
				}
				s := (&relaytest.Server{Offers: offers}).Start(t)
				m := mail("a@x.example")
				m.Content = bytesOf(tt.msg)
				for _, r := range client(t, s).Send(t.Context(), m) {
					if r.Err != nil {
						t.Fatal(r.Err)
					}
				}
				if got := s.Mails()[0].Data; got != want {
					t.Errorf("got %.200q, want %.200q", got, want)
				}
			}
		})
	}
}

// However the bytes are handed over, the stuffing is the same.
func TestStuffingInPieces(t *testing.T) {
	msg := ".a\r\n.b\r\r\n.\n.\n..\r.\r\n."
	whole, pieces := &strings.Builder{}, &strings.Builder{}
	w := &stuffer{out: whole, start: true, crlf: true}
	io.WriteString(w, msg)
	w.end()
	w = &stuffer{out: pieces, start: true, crlf: true}
	for _, c := range []byte(msg) {
		w.Write([]byte{c})
	}
	w.end()
	if want := "..a\r\n..b\r\r\n..\n..\n...\r.\r\n..\r\n.\r\n"; whole.String() != want || pieces.String() != want {
		t.Errorf("whole %q\npieces %q\nwant %q", whole, pieces, want)
	}
}

func TestWhatTheNextHopDoesNotOffer(t *testing.T) {
	for _, tt := range []struct {
		name    string
		without string
		content string
		utf8    bool
		err     error
		from    string // MAIL, as it has to be
	}{
		{"all", "X", "caf\xc3\xa9\r\n", true, nil, "<taro@example.jp> SIZE=7 BODY=8BITMIME SMTPUTF8"},
		{"no 8BITMIME, none needed", "8BITMIME", "cafe\r\n", false, nil, "<taro@example.jp> SIZE=6"},
		{"no 8BITMIME", "8BITMIME", "caf\xc3\xa9\r\n", false, ErrNot8Bit, ""},
		{"no SMTPUTF8", "SMTPUTF8", "cafe\r\n", true, ErrNotUTF8, ""},
		{"no SIZE", "SIZE", "cafe\r\n", false, nil, "<taro@example.jp> BODY=8BITMIME"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := (&relaytest.Server{Offers: relaytest.Without(tt.without)}).Start(t)
			m := mail("a@x.example")
			m.Content, m.UTF8 = bytesOf(tt.content), tt.utf8
			c := client(t, s)
			for range 2 { // the connection is as good afterwards
				if r := c.Send(t.Context(), m)[0]; !errors.Is(r.Err, tt.err) {
					t.Fatalf("%v, want %v", r.Err, tt.err)
				}
			}
			if tt.err == nil && s.Mails()[0].From != tt.from {
				t.Errorf("MAIL FROM:%s, want %s", s.Mails()[0].From, tt.from)
			}
			if s.Opened() != 1 {
				t.Errorf("%d connections", s.Opened())
			}
		})
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	s := (&relaytest.Server{}).Start(t)
	c := client(t, s)
	for range 5 {
		if r := c.Send(t.Context(), mail("a@x.example"))[0]; r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	if s.Opened() != 1 || len(s.Mails()) != 5 {
		t.Errorf("%d connections, %d messages", s.Opened(), len(s.Mails()))
	}
}

// A connection that the next hop has closed, in whatever way, does no harm.
func TestAStaleConnectionIsReplaced(t *testing.T) {
	for _, say := range []string{"", "421 4.4.2 time-out", "drop"} {
		t.Run(say, func(t *testing.T) {
			var mu sync.Mutex
			mails := 0
			s := (&relaytest.Server{}).Start(t)
			s.SetAnswer(func(command string) string {
				mu.Lock()
				defer mu.Unlock()
				if strings.HasPrefix(command, "MAIL") {
					if mails++; mails == 2 {
						return say
					}
				}
				return ""
			})
			c := client(t, s)
			c.Send(t.Context(), mail("a@x.example"))
			if say == "" {
				s.DropAll()
			}
			if r := c.Send(t.Context(), mail("b@x.example"))[0]; r.Err != nil {
				t.Fatal(r.Err)
			}
			if m := s.Mails(); len(m) != 2 || s.Opened() != 2 {
				t.Errorf("%d messages over %d connections", len(m), s.Opened())
			}
		})
	}
}

// Once MAIL was accepted, nothing is tried again: the MTA has to.
func TestAConnectionLostLaterIsNotReplaced(t *testing.T) {
	s := (&relaytest.Server{}).Start(t)
	c := client(t, s)
	c.Send(t.Context(), mail("a@x.example"))
	s.SetAnswer(when("message", "drop"))
	if r := c.Send(t.Context(), mail("b@x.example"))[0]; !errors.Is(r.Err, ErrUncertain) {
		t.Errorf("%v", r.Err)
	}
	if n := len(s.Mails()); n != 1 || s.Opened() != 1 {
		t.Errorf("%d messages, %d connections", n, s.Opened())
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	s := (&relaytest.Server{}).Start(t)
	c := client(t, s, func(o *Options) { o.Idle = time.Millisecond })
	c.Send(t.Context(), mail("a@x.example"))
	for range 1000 {
		if said := s.Said(); said[len(said)-1] == "QUIT" {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("no QUIT")
}

func TestConnectionsAreBounded(t *testing.T) {
	free := make(chan bool)
	s := (&relaytest.Server{Answer: func(command string) string {
		if command == "message" {
			<-free
		}
		return ""
	}}).Start(t)
	c := client(t, s, func(o *Options) { o.Connections = 2 })
	var sent sync.WaitGroup
	for range 6 {
		sent.Go(func() {
			if r := c.Send(t.Context(), mail("a@x.example"))[0]; r.Err != nil {
				t.Error(r.Err)
			}
		})
	}
	for range 6 {
		free <- true
	}
	sent.Wait()
	if s.Opened() > 2 {
		t.Errorf("%d connections", s.Opened())
	}
	s.SetAnswer(when("message", "silence"))
	for range 2 {
		go c.Send(t.Context(), mail("a@x.example"))
	}
	for len(c.pool.slots) < 2 {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if r := c.Send(ctx, mail("a@x.example"))[0]; !errors.Is(r.Err, ErrUnavailable) {
		t.Errorf("no connection is free: %v", r.Err)
	}
}

func TestTheEndOfTimeEndsIt(t *testing.T) {
	s := (&relaytest.Server{Answer: when("message", "silence")}).Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	c := client(t, s)
	go func() {
		for !slices.Contains(s.Said(), "message") {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if r := c.Send(ctx, mail("a@x.example"))[0]; !errors.Is(r.Err, ErrUncertain) {
		t.Errorf("%v", r.Err)
	}
}

func TestAMessageThatCannotBeReadIsNotSent(t *testing.T) {
	for _, offers := range [][]string{relaytest.All, relaytest.Without("CHUNKING")} {
		s := (&relaytest.Server{Offers: offers}).Start(t)
		c := client(t, s)
		m := mail("a@x.example")
		m.Content = short{sample + "\n"}
		if r := c.Send(t.Context(), m)[0]; r.Err == nil {
			t.Error("no error")
		}
		m.Content = bytesOf(sample)
		if r := c.Send(t.Context(), m)[0]; r.Err != nil {
			t.Error(r.Err)
		}
		if n := len(s.Mails()); n != 1 {
			t.Errorf("%d messages, want the second", n)
		}
	}
}

// short is a content that breaks off.
type short struct{ bytesOf }

func (s short) WriteTo(w io.Writer) (int64, error) {
	n, _ := io.WriteString(w, string(s.bytesOf[:10]))
	return int64(n), errors.New("disk")
}
func (s short) Size() int64 { return int64(len(s.bytesOf)) }

func TestAddresses(t *testing.T) {
	for _, tt := range []struct {
		address, path string
		valid         bool
	}{
		{"a@b", "<a@b>", true},
		{"", "<>", false},
		{"a b@c", `<"a b"@c>`, true},
		{`a"\b@c`, `<"a\"\\b"@c>`, true},
		{"a@b@c", `<"a@b"@c>`, true},
		{".a@c", `<".a"@c>`, true},
		{"a..b@c", `<"a..b"@c>`, true},
		{"a>b@c", `<"a>b"@c>`, true},
		{"太郎@例え.jp", "<太郎@例え.jp>", true},
		{"a@[192.0.2.1]", "<a@[192.0.2.1]>", true},
		{"a\r\nDATA@c", "", false},
		{"a\rb@c", "", false},
		{"a@b>c", "", false},
		{"a@b c", "", false},
		{"a@", "", false},
		{"@b", "", false},
		{"\xff@b", "", false},
		{strings.Repeat("a", 2000) + "@b", "", false},
	} {
		if got := Valid(tt.address); got != tt.valid {
			t.Errorf("Valid(%.40q) = %v", tt.address, got)
		}
		if tt.path != "" && path(tt.address) != tt.path {
			t.Errorf("path(%q) = %s, want %s", tt.address, path(tt.address), tt.path)
		}
	}
	s := (&relaytest.Server{}).Start(t)
	if r := client(t, s).Send(t.Context(), mail("a@b", "a\r\nRSET\r\n@b"))[0]; !errors.Is(r.Err, ErrAddress) || s.Opened() != 0 {
		t.Errorf("%v", r.Err)
	}
}

func TestOriginIsTold(t *testing.T) {
	s := (&relaytest.Server{}).Start(t)
	m := mail("a@x.example")
	m.Origin = Origin{"IDENT": "4Q=+x\r\nRSET", "ADDR": "192.0.2.1", "LOGIN": "x"}
	client(t, s).Send(t.Context(), m)
	if said := s.Said(); !slices.Contains(said, "XFORWARD ADDR=192.0.2.1 IDENT=4Q+3D+2Bx+0D+0ARSET") {
		t.Errorf("%q", said)
	}
	long := Origin{"NAME": strings.Repeat(" ", 300), "HELO": strings.Repeat(" ", 300), "IDENT": "Q"}
	lines := long.commands("NAME ADDR PROTO HELO IDENT")
	if len(lines) != 2 {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		if len(line) > 510 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}

func TestManyRecipients(t *testing.T) {
	s := (&relaytest.Server{Answer: func(command string) string {
		if strings.Contains(command, "5@") {
			return "550 5.1.1 no"
		}
		return ""
	}}).Start(t)
	var to []string
	for i := range 1000 {
		to = append(to, fmt.Sprintf("%d@x.example", i))
	}
	for i, r := range client(t, s).Send(t.Context(), mail(to...)) {
		if (r.Err == nil) != (i%10 != 5) {
			t.Fatalf("recipient %d: %v", i, r.Err)
		}
	}
	if m := s.Mails(); len(m) != 1 || len(m[0].To) != 900 {
		t.Error("not one message for 900")
	}
}

// certificate makes one for 127.0.0.1, and gives the file that it is in with its key.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "next.example"}, DNSNames: []string{"next.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pair.pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestTLS(t *testing.T) {
	pair, file := certificate(t)
	server := &tls.Config{Certificates: []tls.Certificate{pair}}
	_, other := certificate(t)
	asking := server.Clone()
	asking.ClientAuth = tls.RequireAnyClientCert
	for _, tt := range []struct {
		name   string
		server *tls.Config
		answer func(string) string
		tls    TLS
		local  bool
		err    error
		under  bool // the message came under TLS
	}{
		{"none", server, nil, TLS{Policy: None}, false, nil, false},
		{"may, offered", server, nil, TLS{Policy: May}, false, nil, true},
		{"may, on this machine", server, nil, TLS{Policy: May}, true, nil, false},
		{"may, not offered", nil, nil, TLS{Policy: May}, false, nil, false},
		{"may, failing", server, when("STARTTLS", "454 4.7.0 no"), TLS{Policy: May}, false, nil, false},
		{"require", server, nil, TLS{Policy: Require, CA: file, Name: "next.example"}, false, nil, true},
		{"require, wrong name", server, nil, TLS{Policy: Require, CA: file, Name: "other.example"}, false, ErrTLS, false},
		{"require, signed by somebody else", server, nil, TLS{Policy: Require, CA: other, Name: "next.example"}, false, ErrTLS, false},
		{"require, not offered", nil, when("STARTTLS", "502 5.5.1 what"), TLS{Policy: Require, CA: file, Name: "next.example"}, true, ErrTLS, false},
		{"require, and it speaks first", server, when("STARTTLS", "220 2.0.0 Ready\n250 2.0.0 injected"), TLS{Policy: Require, CA: file, Name: "next.example"}, false, ErrTLS, false},
		{"a certificate of ours is wanted", asking, nil, TLS{Policy: Require, CA: file, Name: "next.example", Cert: file, Key: file}, false, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := (&relaytest.Server{TLS: tt.server, Answer: tt.answer}).Start(t)
			c := client(t, s, func(o *Options) { o.TLS = tt.tls })
			if !tt.local && tt.tls.Policy == May {
				// For the policy, the next hop is elsewhere.
				config, err := tt.tls.load("192.0.2.1:25")
				if err != nil {
					t.Fatal(err)
				}
				c.tls = config
			}
			r := c.Send(t.Context(), mail("a@x.example"))[0]
			if !errors.Is(r.Err, tt.err) {
				t.Fatalf("%v, want %v", r.Err, tt.err)
			}
			hellos := 0
			for _, said := range s.Said() {
				if strings.HasPrefix(said, "EHLO") {
					hellos++
				}
			}
			if under := slices.Contains(s.Said(), "STARTTLS") && hellos == 2 && s.Opened() == 1; under != tt.under {
				t.Errorf("under TLS: %v, want %v (%q)", under, tt.under, s.Said())
			}
		})
	}
}

func TestTLSFilesThatCannotBeUsed(t *testing.T) {
	_, file := certificate(t)
	empty := filepath.Join(t.TempDir(), "empty")
	os.WriteFile(empty, nil, 0o600)
	for _, tt := range []TLS{
		{Policy: Require, CA: "/nowhere"},
		{Policy: Require, CA: empty},
		{Policy: Require, Cert: file, Key: empty},
	} {
		if _, err := New(Options{Address: "mx.example:25", TLS: tt}); err == nil {
			t.Errorf("%+v: no error", tt)
		}
	}
	if _, err := New(Options{Address: "unix:/x", TLS: TLS{Policy: Require}}); err == nil {
		t.Error("a unix socket without a name")
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, _ := l.Accept()
		io.WriteString(c, "554 5.7.1 unix\r\n")
		c.Close()
	}()
	c, err := New(Options{Address: "unix:" + path, TLS: TLS{Policy: May}})
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Send(t.Context(), mail("a@b"))[0]; r.Err == nil || !strings.Contains(r.Err.Error(), "5.7.1 unix") {
		t.Errorf("%v", r.Err)
	}
}

// FuzzReply lets a next hop say anything.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{"250 2.0.0 Ok", "550-5.1.1 a\r\n550 5.1.1 b", "999 x", "421 4.0.0", "250", "\xff\xfe", "250-\r\n250-", "5501.2.3 x", "250 5.1.1 \x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, said string) {
		ours, theirs := net.Pipe()
		go func() {
			io.WriteString(theirs, said+"\r\n")
			theirs.Close()
		}()
		defer ours.Close()
		c := &conn{raw: ours, patience: time.Second}
		c.lay(ours)
		code, lines, err := c.read(t.Context(), time.Now().Add(time.Second))
		if err != nil {
			return
		}
		r := newReply(code, lines)
		line := r.String()
		if len(line) > 240 || strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("%q", line)
		}
		if r.Enhanced[0] != r.Code/100 || r.Code < 100 || r.Code > 599 {
			t.Errorf("%+v", r)
		}
	})
}

// FuzzStuffing: a receiver finds the message, and its end, where they are.
func FuzzStuffing(f *testing.F) {
	f.Add([]byte(sample), 3)
	f.Add([]byte("\r\n.\r\n.\n\r.\r\n"), 1)
	f.Fuzz(func(t *testing.T, msg []byte, step int) {
		var out strings.Builder
		w := &stuffer{out: &out, start: true, crlf: true}
		for rest := msg; len(rest) > 0; {
			n := min(max(step, 1), len(rest))
			w.Write(rest[:n])
			rest = rest[n:]
		}
		w.end()
		got := out.String()
		body, ok := strings.CutSuffix(got, ".\r\n")
		if !ok || body != "" && !strings.HasSuffix(body, "\r\n") {
			t.Fatalf("no end: %q", got)
		}
		for _, end := range []string{"\n.\r\n", "\n.\n"} { // for the laxest
			if i := strings.Index("\n"+got, end); i >= 0 && i != len(got)-len(".\r\n") {
				t.Fatalf("an end in the middle: %q", got)
			}
		}
		if strings.Count(string(msg), "\n") == strings.Count(string(msg), "\r\n") {
			back := strings.TrimPrefix(strings.ReplaceAll("\r\n"+body, "\r\n..", "\r\n."), "\r\n")
			if strings.TrimSuffix(back, "\r\n") != strings.TrimSuffix(string(msg), "\r\n") {
				t.Fatalf("%q became %q", msg, back)
			}
		}
	})
}
