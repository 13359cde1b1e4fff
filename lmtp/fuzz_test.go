package lmtp

import (
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzSession lets any bytes come over the wire. The server must end the session
// and leave nothing but whole messages behind.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"LHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<plain@example.jp>\r\nDATA\r\n" + dotted(sample) + "QUIT\r\n",
		"LHLO x\r\nMAIL FROM:<> SMTPUTF8\r\nRCPT TO:<safe+x@example.jp>\r\nRCPT TO:<broken@example.jp>\r\nDATA\r\n.\r\nRSET\r\nNOOP\r\n",
		"LHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<plain@example.jp>\r\nBDAT 10 LAST\r\n0123456789",
		"LHLO x\r\nSTARTTLS\r\nAUTH PLAIN x\r\nVRFY a\r\nDATA\r\nMAIL FROM:<a@b.c> SIZE=99999999999999 BODY=BINARYMIME\r\n",
		"\x00\xff\n\n\r\r\n.\r\n",
	} {
		f.Add(seed)
	}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, in string) { endures(t, w, in) })
}

// FuzzFilter does the same with the filter. Whatever came, the next hop is told nothing
// but what an SMTP client says.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		"LHLO x\r\nXFORWARD NAME=a IDENT=b\r\nMAIL FROM:<safe@example.jp>\r\nRCPT TO:<a@x.example>\r\nRCPT TO:<\"b c\"@x.example>\r\nDATA\r\n" + dotted(sample) + "QUIT\r\n",
		"LHLO x\r\nMAIL FROM:<> SMTPUTF8\r\nRCPT TO:<太@x.example>\r\nDATA\r\n\n.\n\r\n.\r\nXFORWARD\r\n",
		"LHLO x\r\nMAIL FROM:<\"a\rb\"@x.example>\r\nRCPT TO:<\"c>\rRSET\"@x.example>\r\nDATA\r\nReceived: x id y\r\n\r\n.\r\n",
	} {
		f.Add(seed)
	}
	w := newFilter(f)
	verbs := []string{"connect", "EHLO", "XFORWARD", "MAIL", "RCPT", "DATA", "message", "RSET", "QUIT"}
	f.Fuzz(func(t *testing.T, in string) {
		endures(t, w, in)
		for _, said := range w.hop.Forget() {
			if verb, _, _ := strings.Cut(said, " "); !slices.Contains(verbs, verb) {
				t.Errorf("the next hop was told %q", said)
			}
		}
	})
}

// endures sends bytes to a server, which has to end the session.
func endures(t *testing.T, w *world, in string) {
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		io.WriteString(conn, in)
		conn.(*net.TCPConn).CloseWrite()
	}()
	out, err := io.ReadAll(conn)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Fatalf("the session does not end; so far: %.500q", out)
	}
	if !strings.HasPrefix(string(out), "220 ") {
		t.Fatalf("no greeting: %.100q", out)
	}
	if strings.Contains(w.logs.String(), "panic") {
		t.Fatal("the server panicked")
	}
}
