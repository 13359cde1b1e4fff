package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kiyome/cmd/kiyome/config"
)

func TestListenOnAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lmtp.sock")
	l, err := listen("unix:"+path, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := listen("unix:"+path, 0o660); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a socket that somebody answers: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	l, err = listen("unix:"+path, 0o600)
	if err != nil {
		t.Fatalf("a dead server's socket: %v", err)
	}
	l.Close()
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen("unix:"+path, 0o600); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a file: %v", err)
	}
}

func TestNothingToListenOn(t *testing.T) {
	c := config.Default()
	c.Inbound.Listen = nil
	if _, err := openSockets(c, sockets{}); err == nil {
		t.Error("no error")
	}
}

// serveSocket starts a server the way systemd does for a socket unit, with a socket
// that goes by a name, and awaits that its log says text. It gives the socket's path.
func (s *site) serveSocket(name, text string) (passed string) {
	s.t.Helper()
	passed = s.path("passed.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: passed})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	f, err := l.File()
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	c := exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES="$2" exec "$0" --config "$1" serve`, self, s.file, name)
	c.ExtraFiles = []*os.File{f} // descriptor 3
	p := &process{Cmd: c}
	c.Stdout, c.Stderr = p, p
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	s.await(p, text+passed)
	return passed
}

func TestSocketsFromSystemd(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	conn, err := net.Dial("unix", s.serveSocket("inbound", "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b := make([]byte, 3)
	if _, err := conn.Read(b); err != nil || string(b) != "220" {
		t.Errorf("greeting %q, %v", b, err)
	}
	if _, err := os.Stat(s.path("lmtp.sock")); err == nil {
		t.Error("the configured socket was opened as well")
	}
}

func TestMailRootIsTheFixedPartOfTheTemplate(t *testing.T) {
	for _, tt := range []struct{ template, want string }{
		{"/var/vmail/{domain}/{local}/Maildir", "/var/vmail"},
		{"/var/vmail/d-{domain}/{local}", "/var/vmail"},
		{"/{domain}/{local}", "/"},
	} {
		if got := mailRoot(tt.template); got != tt.want {
			t.Errorf("mailRoot(%s) = %s, want %s", tt.template, got, tt.want)
		}
	}
}
