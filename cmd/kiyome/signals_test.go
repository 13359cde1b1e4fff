package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kiyome/lmtp"
)

// TestSystemdIsTold starts a server the way systemd does for Type=notify with a watchdog.
func TestSystemdIsTold(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	notify := s.path("notify.sock")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", notify)
	t.Setenv("WATCHDOG_USEC", "200000")
	p := s.start("serve")
	next := func(want string) {
		t.Helper()
		c.SetReadDeadline(time.Now().Add(time.Minute))
		for b := make([]byte, 4096); ; {
			n, err := c.Read(b)
			if err != nil {
				t.Fatalf("never told %s: %v", want, err)
			}
			if strings.HasPrefix(string(b[:n]), want) {
				return
			}
		}
	}
	next("READY=1")
	next("WATCHDOG=1")
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	next("RELOADING=1\nMONOTONIC_USEC=")
	next("READY=1")
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	next("STOPPING=1")
	if status := s.exitOf(p); status != 0 {
		t.Errorf("exit %d", status)
	}
}

// The watchdog is there for a server that hangs: a ticker alone would go on.
func TestTheWatchdogHearsOnlyOfAServerThatIsAlive(t *testing.T) {
	notify := filepath.Join(t.TempDir(), "notify.sock")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", notify)
	told := func() string {
		b := make([]byte, 100)
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, _ := c.Read(b)
		return string(b[:n])
	}
	var log bytes.Buffer
	s := &server{
		log: slog.New(slog.NewTextHandler(&log, nil)), scanner: fakeScanner{},
		inbound: lmtp.NewServer(lmtp.Options{}), outbound: lmtp.NewServer(lmtp.Options{}),
	}
	s.prove(t.Context(), time.Minute)
	if got := told(); got != "WATCHDOG=1" {
		t.Errorf("alive: told %q", got)
	}
	s.mu.Lock() // for ever
	s.prove(t.Context(), 10*time.Millisecond)
	if got := told(); got != "" || !strings.Contains(log.String(), "not alive") {
		t.Errorf("hanging: told %q, log %s", got, log.String())
	}
}

func TestAServerThatIsToldToEndWhileItStartsEndsWell(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	if os.Geteuid() != 0 {
		t.Skip("the line that is waited for is written for root only")
	}
	p := s.start("serve")
	s.await(p, "running as root")
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := s.exitOf(p); status != 0 {
		t.Errorf("exit %d\n%s", status, p.said())
	}
}

func TestAServerKilledUnderCommandsLeavesAWholeState(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "first@example.jp")
	p := s.serve()
	var admins sync.WaitGroup
	var mu sync.Mutex
	added := make(map[string]bool)
	for admin := range 4 {
		admins.Go(func() {
			for i := range 10 {
				address := fmt.Sprintf("a%d-%d@example.jp", admin, i)
				// Whether it goes to the server, to nobody or to the file: the exit status tells the truth.
				if _, status, _ := s.run("account", "add", address); status == 0 {
					mu.Lock()
					added[address] = true
					mu.Unlock()
				}
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	p.Process.Kill()
	p.Wait()
	admins.Wait()
	if len(added) < 30 {
		t.Errorf("only %d of 40 commands came through", len(added))
	}
	for address := range added {
		s.script([]step{{"account show " + address, 0, address}})
	}
	s.script([]step{{"account check", 0, "no problem"}})
}
