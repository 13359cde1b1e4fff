package main_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kiyome/rules/rulestest"
	"kiyome/testdata"
)

// endTime is how long a server under ordinary mail may take to end.
const endTime = 10 * time.Second

// terminate ends the server as systemd does: in order, and soon.
func (s *site) terminate() {
	s.t.Helper()
	began := time.Now()
	s.serve.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-s.ended:
		if err != nil {
			s.t.Errorf("kiyome serve: %v", err)
		}
	case <-time.After(endTime):
		s.kill()
		s.t.Fatalf("not ended after %v", endTime)
	}
	s.t.Logf("ended after %v", time.Since(began).Round(time.Millisecond))
}

func TestServerToldToEndUnderLoadLosesNothing(t *testing.T) {
	s := newFaultySite(t)
	l := startLoad(s, 6)
	for round := range 4 {
		time.Sleep(time.Duration(300+150*round) * time.Millisecond)
		s.terminate()
		s.start()
	}
	l.end(t, s, false)
	if len(l.lost) > 0 {
		t.Errorf("%d replies were lost: a server that ends in order gives them", len(l.lost))
	}
}

// hangup sends SIGHUP and awaits what the log has to say of it.
func (s *site) hangup(words string) {
	s.t.Helper()
	before := strings.Count(s.log.String(), words)
	s.serve.Process.Signal(syscall.SIGHUP)
	for end := time.Now().Add(time.Minute); strings.Count(s.log.String(), words) == before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("SIGHUP: the log never says %q", words)
		}
	}
}

// rule puts a rule of a number, which matches nothing, where the configuration finds it.
func (s *site) rule(number int) {
	s.t.Helper()
	text := fmt.Sprintf("rule Round%d { strings: $a = \"no mail has this %d\" condition: $a }", number, number)
	if err := os.WriteFile(filepath.Join(s.Dir, "rules", "round.yar"), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// configureFrom writes the configuration as it is at first, and more.
func (s *site) configureFrom(more string) {
	s.t.Helper()
	s.write("kiyome.toml", "kiyome.toml", s)
	f, err := os.OpenFile(filepath.Join(s.Dir, "kiyome.toml"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = io.WriteString(f, more)
		f.Close()
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// New rules, mistakes in the configuration and in the rules, again and again, while
// mail comes: each message is answered with 250 at its first try.
func TestReloadsUnderLoadPutNothingOff(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server")
	}
	s := newSite(t)
	s.folder("rules", 0o755, false)
	good := fmt.Sprintf("\n[rules]\ndirs = [%q]\n", filepath.Join(s.Dir, "rules"))
	s.configureFrom(good)
	s.rule(0)
	s.account("add", "taro@example.jp")
	s.account("subscribe", "taro@example.jp")
	s.start()
	l := startLoad(s, 4)
	for round := range 4 {
		s.rule(1 + round)
		s.hangup("rules in service")
		s.configureFrom("\n[rules]\ncolour = \"red\"\n")
		s.hangup("rules not taken into service")
		s.configureFrom(good)
		if err := os.WriteFile(filepath.Join(s.Dir, "rules", "round.yar"), []byte("rule {"), 0o644); err != nil {
			t.Fatal(err)
		}
		s.hangup("rules not taken into service")
	}
	s.rule(9)
	if out, err := s.command("rules", "reload").CombinedOutput(); err != nil {
		t.Errorf("kiyome rules reload: %v\n%s", err, out)
	}
	if out, err := s.command("rules", "rollback").CombinedOutput(); err != nil {
		t.Errorf("kiyome rules rollback: %v\n%s", err, out)
	}
	l.end(t, s, false)
	if len(l.put)+len(l.lost) > 0 {
		t.Errorf("put off: %v; %d replies lost", l.put, len(l.lost))
	}
}

// Rules that are being compiled, for SIGHUP and for a command that waits, do not hold up the end.
func TestServerToldToEndWhileItReloads(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server")
	}
	s := newSite(t)
	s.folder("rules", 0o755, false)
	s.configureFrom(fmt.Sprintf("\n[rules]\ndirs = [%q]\n", filepath.Join(s.Dir, "rules")))
	s.rule(0)
	s.account("add", "taro@example.jp")
	s.start()
	for round := range 2 {
		long := rulestest.Heavy(20_000 + round)
		if err := os.WriteFile(filepath.Join(s.Dir, "rules", "long.yar"), []byte(long), 0o644); err != nil {
			t.Fatal(err)
		}
		waiting := s.command("rules", "reload")
		if round == 0 {
			s.serve.Process.Signal(syscall.SIGHUP)
		} else if err := waiting.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		began := time.Now()
		s.terminate()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("round %d: it took %v to end", round, took)
		}
		if round > 0 && waiting.Wait() == nil {
			t.Error("a command that was cut off says that it is done")
		}
		os.Remove(filepath.Join(s.Dir, "rules", "long.yar"))
		s.start()
	}
	if reply := s.dial().deliver(string(testdata.MustMail("clean")), "taro@example.jp")[0]; !strings.HasPrefix(reply, "250 ") {
		t.Errorf("after that: %s", reply)
	}
}

// startOn starts the server as systemd does with sockets that it holds: they come from
// descriptor 3 on, under their names.
func (s *site) startOn(names string, all ...*os.File) {
	s.t.Helper()
	cmd := s.command("serve")
	script := fmt.Sprintf(`LISTEN_PID=$$ LISTEN_FDS=%d LISTEN_FDNAMES=%s exec "$0" serve`, len(all), names)
	cmd.Path, cmd.Args, cmd.ExtraFiles = "/bin/sh", []string{"sh", "-c", script, s.kiyome}, all
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	first := s.serve == nil
	s.serve, s.ended = cmd, ended
	if first {
		s.t.Cleanup(s.stop)
	}
}

// While systemd holds the socket, clients wait for the next server and are never refused.
func TestRestartsWithAHeldSocketRefuseNobody(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server")
	}
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip(err)
	}
	s := newSite(t)
	s.account("add", "taro@example.jp")
	s.account("subscribe", "taro@example.jp")
	held, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.LMTP))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	f, err := held.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := startLoad(s, 6) // before there is any server
	time.Sleep(200 * time.Millisecond)
	s.startOn("inbound", f)
	for round := range 4 {
		time.Sleep(time.Duration(1000+200*round) * time.Millisecond)
		s.terminate()
		time.Sleep(100 * time.Millisecond)
		s.startOn("inbound", f)
	}
	time.Sleep(time.Second)
	s.kill() // a crash, too
	s.startOn("inbound", f)
	time.Sleep(time.Second)
	l.end(t, s, false)
	if l.refused > 0 {
		t.Errorf("%d connections were refused", l.refused)
	}
	if n := strings.Count(s.log.String(), "msg=serving"); n != 6 {
		t.Errorf("%d servers, want 6", n)
	}
}

func TestASocketOfAnUnknownNameIsRefused(t *testing.T) {
	s := newSite(t)
	s.account("add", "taro@example.jp")
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	f, err := held.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := s.command("serve")
	cmd.Path, cmd.ExtraFiles = "/bin/sh", []*os.File{f}
	cmd.Args = []string{"sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=kiyome.socket exec "$0" serve`, s.kiyome}
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), `"kiyome.socket": FileDescriptorName=`) {
		t.Errorf("%v\n%s", err, out)
	}
}
