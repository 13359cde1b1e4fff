package lmtp

import (
	"io"
	"net"
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
	f.Fuzz(func(t *testing.T, in string) {
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
	})
}
