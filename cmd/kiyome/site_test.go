package main_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"
	"time"
)

// site is an installed kiyome in a folder of its own. Started by root, it runs
// as nobody, as a mail server's user would.
type site struct {
	t        *testing.T
	Dir      string
	User     string // whom Maildirs belong to
	Group    string
	LMTP     int    // port
	Filter   int    // port for outgoing mail
	Filtered int    // port of the next hop, where that is Postfix
	NextHop  string // its address
	Infected string // outbound.infected
	SRS      string // outbound.srs.domain; "" for none
	Page     int    // port of the page for members; 0 for none
	PageIMAP int    // port of the server that proves their passwords

	Certificate string // file of that server's certificate and key; "" for none
	kiyome      string // the program
	uid         uint32
	gid         uint32
	serve       *exec.Cmd // the running server; nil when there is none
	ended       chan error
	cleans      bool // stop is called when the test ends
	log         syncLog
}

func newSite(t *testing.T) *site {
	t.Helper()
	owner, err := user.Current()
	if err == nil && owner.Uid == "0" {
		owner, err = user.Lookup("nobody")
	}
	if err != nil {
		t.Skip(err)
	}
	group, err := user.LookupGroupId(owner.Gid)
	if err != nil {
		t.Skip(err)
	}
	dir, err := os.MkdirTemp("", "kiyome-test") // t.TempDir's parents are closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &site{t: t, Dir: dir, User: owner.Username, Group: group.Name, kiyome: filepath.Join(dir, "kiyome"),
		LMTP: freePort(t), Filter: freePort(t), Filtered: freePort(t), Infected: "clean"}
	s.NextHop = fmt.Sprintf("127.0.0.1:%d", s.Filtered)
	s.uid, s.gid = number(t, owner.Uid), number(t, owner.Gid)
	copyProgram(t, s.kiyome)
	s.folder("", 0o755, false)
	s.folder("state", 0o700, true)
	s.folder("mail", 0o700, true)
	s.write("kiyome.toml", "kiyome.toml", s)
	return s
}

// copyProgram puts the test's own program, which TestMain makes the command, where
// another user can start it.
func copyProgram(t *testing.T, to string) {
	t.Helper()
	from, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, program, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func number(t *testing.T, s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n)
}

// folder makes a folder of the site, with the parents it needs.
func (s *site) folder(name string, mode os.FileMode, own bool) {
	s.t.Helper()
	path := filepath.Join(s.Dir, name)
	err := errors.Join(os.MkdirAll(path, mode), os.Chmod(path, mode))
	if own && os.Geteuid() == 0 {
		err = errors.Join(err, os.Chown(path, int(s.uid), int(s.gid)))
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// write fills in a template of testdata/e2e.
func (s *site) write(from, to string, data any) {
	s.t.Helper()
	tmpl, err := template.ParseFiles(filepath.Join("testdata", "e2e", from))
	if err != nil {
		s.t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, data); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, to), b.Bytes(), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// read gives a file of the site.
func (s *site) read(name string) string {
	s.t.Helper()
	b, err := os.ReadFile(filepath.Join(s.Dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// command prepares to run kiyome as the owner of the Maildirs.
func (s *site) command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.kiyome, args...)
	cmd.Env = append(os.Environ(), "KIYOME_CONFIG="+filepath.Join(s.Dir, "kiyome.toml"))
	cmd.Dir = s.Dir
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: s.uid, Gid: s.gid}}
	}
	return cmd
}

func (s *site) account(args ...string) {
	s.t.Helper()
	if out, err := s.command(append([]string{"account"}, args...)...).CombinedOutput(); err != nil {
		s.t.Fatalf("kiyome account %v: %v\n%s", args, err, out)
	}
}

// start starts the server, which is stopped when the test ends.
func (s *site) start() {
	s.t.Helper()
	cmd := s.command("serve")
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.adopt(cmd)
	awaitPort(s.t, s.LMTP)
}

// adopt takes a server that was started for the site's.
func (s *site) adopt(cmd *exec.Cmd) {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.serve, s.ended = cmd, ended
	if !s.cleans {
		s.cleans = true
		s.t.Cleanup(s.stop)
	}
}

// kill ends the server without a warning, and waits for its end.
func (s *site) kill() {
	s.serve.Process.Kill()
	<-s.ended
	s.serve = nil
}

// stop ends the server, if there is one, as systemd does: it must end in order.
func (s *site) stop() {
	if s.serve == nil {
		return
	}
	s.serve.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-s.ended:
		if err != nil {
			s.t.Errorf("kiyome serve: %v", err)
		}
	case <-time.After(30 * time.Second):
		s.kill()
		s.t.Error("kiyome serve did not end on SIGTERM")
	}
	s.serve = nil
	if s.t.Failed() {
		log := s.log.String()
		s.t.Logf("kiyome's log:\n%s", log[max(0, len(log)-8000):])
	}
}

// syncLog is a log that can be read while it is written.
type syncLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *syncLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *syncLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// maildir gives the messages of a mailbox, in the order of their names.
func (s *site) maildir(local string) []string {
	s.t.Helper()
	dir := filepath.Join(s.Dir, "mail/example.jp", local, "Maildir/new")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, string(b))
	}
	return all
}

// lmtpClient speaks LMTP to the server, byte for byte.
type lmtpClient struct {
	conn net.Conn
	in   *bufio.Reader
}

func (s *site) dial() *lmtpClient {
	s.t.Helper()
	c, err := dialLMTP(s.LMTP)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.conn.Close() })
	return c
}

// dialLMTP connects and says LHLO.
func dialLMTP(port int) (*lmtpClient, error) {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	c := &lmtpClient{conn, bufio.NewReader(conn)}
	c.reply()
	if reply := c.say("LHLO test.example"); !strings.HasPrefix(reply, "250 ") {
		conn.Close()
		return nil, errors.New(reply)
	}
	return c, nil
}

// say sends a command and gives the last line of its reply.
func (c *lmtpClient) say(command string) string {
	io.WriteString(c.conn, command+"\r\n")
	return c.reply()
}

func (c *lmtpClient) reply() string {
	c.conn.SetReadDeadline(time.Now().Add(5 * time.Minute)) // a scan may take two
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return "broken: " + err.Error()
		}
		if len(line) < 4 || line[3] != '-' {
			return strings.TrimSpace(line)
		}
	}
}

// deliver sends a message, which must end with CRLF, and gives the reply for each recipient.
func (c *lmtpClient) deliver(msg string, rcpts ...string) (replies []string) {
	for _, command := range append(append([]string{"MAIL FROM:<sender@example.com>"}, recipients(rcpts)...), "DATA") {
		if reply := c.say(command); reply[0] != '2' && reply[0] != '3' {
			return []string{reply}
		}
	}
	io.WriteString(c.conn, strings.TrimPrefix(strings.ReplaceAll("\r\n"+msg, "\r\n.", "\r\n.."), "\r\n")+".\r\n")
	for range rcpts {
		replies = append(replies, c.reply())
	}
	return replies
}

func recipients(rcpts []string) (commands []string) {
	for _, r := range rcpts {
		commands = append(commands, "RCPT TO:<"+r+">")
	}
	return commands
}
