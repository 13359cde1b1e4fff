package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/control"
	"kiyome/scan/worker"
)

// asCommand makes the test's program the command: the server that is tested, and
// the children that it starts.
const asCommand = "KIYOME_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	worker.Main()
	if os.Getenv(asCommand) != "" {
		confine(os.Getenv(systemCalls))
		main()
	}
	os.Setenv(asCommand, "1")
	os.Setenv("KIYOME_CONFIG", "/dev/null") // whatever this machine has configured
	os.Exit(m.Run())
}

// site is a configuration with folders of its own.
type site struct {
	t    *testing.T
	dir  string
	file string // configuration
}

// newSite makes one. more is added to its configuration.
func newSite(t *testing.T, more string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir()}
	s.file = filepath.Join(s.dir, "kiyome.toml")
	s.configure(more)
	for _, name := range []string{"mail", "rules"} {
		if err := os.Mkdir(s.path(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// configure writes the configuration.
func (s *site) configure(more string) {
	s.t.Helper()
	s.write("kiyome.toml", fmt.Sprintf(`
hostname = "mail.example.jp"
state_dir = %q
inbound.listen = ["unix:%s"]
mailboxes.path = %q
rules.dirs = [%q]
scan.workers = 1
%s
`, s.path("state"), s.path("lmtp.sock"), s.path("mail/{domain}/{local}/Maildir"), s.path("rules"), more))
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// run runs a command in this process and gives its output, its error and its exit status.
func (s *site) run(args ...string) (out string, status int, err error) {
	s.t.Helper()
	var b bytes.Buffer
	err = run(s.t.Context(), &b, append([]string{"--config", s.file}, args...))
	return b.String(), exitStatus(err), err
}

// do runs a command that has to succeed.
func (s *site) do(args ...string) string {
	s.t.Helper()
	out, status, err := s.run(args...)
	if status != 0 {
		s.t.Fatalf("%s: %v (exit %d)\n%s", strings.Join(args, " "), err, status, out)
	}
	return out
}

// process is a command in a process of its own.
type process struct {
	*exec.Cmd
	mu  sync.Mutex
	log bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

// said is what the process wrote until now.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// start starts a command in a process of its own.
func (s *site) start(args ...string) *process {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	p := &process{Cmd: exec.Command(self, append([]string{"--config", s.file}, args...)...)}
	p.Stdout, p.Stderr = p, p
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that is killed leaves no server
	if err := p.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		p.Process.Signal(syscall.SIGCONT)
		p.Process.Kill()
		p.Wait()
		if s.t.Failed() {
			s.t.Logf("%v said:\n%s", args, p.said())
		}
	})
	return p
}

// serve starts a server and waits until it answers.
func (s *site) serve() *process {
	s.t.Helper()
	p := s.start("serve")
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		c, err := control.Dial(s.t.Context(), s.path("state/control.sock"))
		if err == nil {
			c.Close()
			return p
		}
		if syscall.Kill(p.Process.Pid, 0) != nil || time.Now().After(end) {
			s.t.Fatalf("the server does not come up: %v\n%s", err, p.said())
		}
	}
}

// await waits until the process has said something.
func (s *site) await(p *process, words string) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(p.said(), words); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("never said %q:\n%s", words, p.said())
		}
	}
}

// exitOf waits for the end of a process and gives its exit status.
func (s *site) exitOf(p *process) int {
	s.t.Helper()
	err := p.Wait()
	if e, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		s.t.Fatal(err)
	} else if ok && !e.Exited() {
		s.t.Fatalf("ended by %v\n%s", e, p.said())
	}
	return p.ProcessState.ExitCode()
}

// dialLMTP connects to the server's socket for mail.
func (s *site) dialLMTP() net.Conn {
	s.t.Helper()
	c, err := net.Dial("unix", s.path("lmtp.sock"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func TestExitStatus(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"done", nil, 0},
		{"unknown account", fmt.Errorf("x: %w", accounts.ErrUnknown), 1},
		{"state refuses", accounts.ErrTransition, 1},
		{"exists", accounts.ErrExists, 1},
		{"no server", control.ErrNoServer, 1},
		{"rules refused", control.ErrRefused, 1},
		{"malformed", accounts.ErrMalformed, 2},
		{"missing database", accounts.ErrMissing, 2},
		{"frozen", control.ErrFrozen, 2},
		{"interrupted", context.Canceled, 2},
		{"its own", exit{status: 3}, 3},
		{"its own, wrapped", fmt.Errorf("x: %w", exit{1, errors.New("y")}), 1},
	} {
		if got := exitStatus(tt.err); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestWrongUsageIsTold(t *testing.T) {
	s := newSite(t, "")
	for _, tt := range []struct {
		args, want string
	}{
		{"accont", "unknown command"},
		{"account ad", "unknown command"},
		{"account add", "usage: kiyome account add ADDRESS"},
		{"account subscribe a@example.jp postal", "neither inbound nor outbound"},
		{"account pause a@example.jp --at tomorrow", "not a time"},
		{"account pause a@example.jp --at=", "not a time"},
		{"account remove a@example.jp --at=", "not a time"},
		{"account set a@example.jp", "nothing to set"},
		{"completion foo", `unknown command "foo"`},
		{"help foo", `unknown command "foo"`},
		{"help account foo", `unknown command "foo"`},
		{"account show --colour", "unknown flag"},
		{"scan", "usage: kiyome scan FILE"},
		{"serve now", "usage: kiyome serve"},
	} {
		if out, status, err := s.run(strings.Fields(tt.args)...); status != 2 || !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%s: exit %d, %v; want 2 and %q\n%s", tt.args, status, err, tt.want, out)
		}
	}
	if out, status, _ := s.run("account"); status != 2 || !strings.Contains(out, "subscribe") {
		t.Errorf("a group alone: exit %d, %s; want its help", status, out)
	}
}

func TestHelpAndCompletion(t *testing.T) {
	s := newSite(t, "")
	s.script([]step{
		{"help", 0, "Management:"},
		{"help account subscribe", 0, "kiyome account subscribe ADDRESS"},
		{"help completion", 0, "bash"},
		{"completion bash", 0, "bash completion"},
		{"__complete help acc", 0, "account"},
	})
}

func TestEveryCommandHasHelpWithItsUse(t *testing.T) {
	s := newSite(t, "")
	for _, c := range newRoot(&app{out: new(bytes.Buffer)}).Commands() {
		args := strings.Fields(c.CommandPath())[1:]
		if out := s.do(append(args, "--help")...); !strings.Contains(out, "Usage:") || c.Short == "" {
			t.Errorf("%s --help: %s", c.CommandPath(), out)
		}
	}
}

func TestConfigCommands(t *testing.T) {
	s := newSite(t, "")
	if out := s.do("config", "check"); !strings.Contains(out, "no mistakes") {
		t.Errorf("check: %s", out)
	}
	s.write("printed.toml", s.do("config", "print"))
	var again bytes.Buffer
	if err := run(t.Context(), &again, []string{"config", "print", "--config", s.path("printed.toml")}); err != nil {
		t.Fatal(err)
	}
	if again.String() != s.do("config", "print") {
		t.Error("what is printed is not read back as the same")
	}
	s.configure("[scan.limits]\ndepth = \"ten\"\n[log]\ncolour = true")
	out, status, _ := s.run("config", "check")
	if want := `scan.limits.depth: "ten" is not a number`; status != 1 || !strings.Contains(out, want) || !strings.Contains(out, "log.colour: unknown key") {
		t.Errorf("check: exit %d\n%s", status, out)
	}
	if _, status, err := s.run("status"); status != 2 || !strings.Contains(err.Error(), "log.colour") {
		t.Errorf("another command: exit %d, %v", status, err)
	}
}

// TestConfigCheckFindsWhatKeepsAServerFromStarting: what is not in the file, but on the machine.
func TestConfigCheckFindsWhatKeepsAServerFromStarting(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	s.write("a file", "")
	s.write("report.ja.txt", "{{.Nonsense}}")
	s.write("long", "# passwords\n"+strings.Repeat("x", 129))
	for _, tt := range []struct{ name, more, says string }{
		{"no passwords", fmt.Sprintf("scan.passwords = %q", s.path("no")), "scan.passwords: open " + s.path("no")},
		{"a password too long", fmt.Sprintf("scan.passwords = %q", s.path("long")), s.path("long") + ":2: longer than 128 bytes"},
		{"no templates", fmt.Sprintf("report.templates = %q", s.path("no")), "report.templates: stat " + s.path("no")},
		{"templates in a file", fmt.Sprintf("report.templates = %q", s.path("a file")), "a file is not a folder"},
		{"a bad template", fmt.Sprintf("report.templates = %q", s.dir), "report.ja.txt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.configure(tt.more)
			if out, status, err := s.run("config", "check"); status != 1 || !strings.Contains(out, tt.says) || strings.Contains(out, "no mistakes") {
				t.Errorf("check: exit %d, %v, want %q\n%s", status, err, tt.says, out)
			}
			p := s.start("serve")
			if status := s.exitOf(p); status != 2 || !strings.Contains(p.said(), tt.says) {
				t.Errorf("serve: exit %d, want %q\n%s", status, tt.says, p.said())
			}
		})
	}
	if err := os.Remove(s.path("rules")); err != nil {
		t.Fatal(err)
	}
	s.configure("")
	if out, status, _ := s.run("config", "check"); status != 1 || !strings.Contains(out, "rules.dirs: stat "+s.path("rules")) {
		t.Errorf("check: exit %d\n%s", status, out)
	}
}
