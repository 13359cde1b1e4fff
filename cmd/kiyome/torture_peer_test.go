//go:build torture

package main_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"kiyome/testdata"
)

// peer is a client that is hostile, or has lost its mind.
type peer struct {
	name   string
	config string // lines for [inbound]

	// attack does its worst, and says what it heard. What it left open is closed at off.
	attack func(t *testing.T, s *site, r *result) (off func())
	jiro   int // messages that are delivered to jiro by it
}

// What a server under attack may cost, and how long a normal delivery may take meanwhile:
// generous, for the machine may have other work; the figures are in the table.
const (
	mostMemory  = 512 << 20
	mostWaiting = 5 * time.Second
	moreFiles   = 2
)

func peerFaults() []fault {
	var faults []fault
	for _, p := range []peer{
		{name: "480 are idle, 40 are slow", config: "sessions = 1000", attack: idleAndSlow},
		{name: "more connections than allowed", config: "sessions = 50", attack: tooMany},
		{name: "10,000 recipients", attack: manyRecipients, jiro: 1},
		{name: "the same recipient 150 times", attack: sameRecipient, jiro: 1},
		{name: "a line of 10 MB", attack: sends("Subject: x\r\n\r\n" + strings.Repeat("0123456789", 1<<20) + "\r\n"), jiro: 1},
		{name: "100,000 header fields", attack: sends(strings.Repeat("X-A: b\r\n", 100_000) + "\r\nbody\r\n"), jiro: 1},
		{name: "5,000 multiparts in one another", attack: sends(nested(5000)), jiro: 1},
		{name: "100,000 parts", attack: sends("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 100_000) + "--b--\r\n"), jiro: 1},
		{name: "nothing but NUL", attack: sends(strings.Repeat("\x00", 1<<20) + "\r\n"), jiro: 1},
		{name: "false ends of a message", attack: sends("a\n.\nb\n.\r\nc\r.\rd\r.\r\ne\r\n"), jiro: 1},
		{name: "garbage", attack: garbage},
		{name: "a command of 1 MB", attack: longCommand},
		{name: "HTTP and TLS", attack: otherProtocols},
		{name: "the sending side is closed behind the message", attack: halfClosed, jiro: 1},
		{name: "the sending side is closed within the message", attack: halfMessage},
		{name: "200 connections are reset within a message", attack: resets},
		{name: "BDAT though it was not offered", attack: chunks},
		{name: "replies are not read", attack: deaf},
	} {
		faults = append(faults, fault{p.name, "", p.run})
	}
	return faults
}

func (x peer) run(t *testing.T, p program) *result {
	r := &result{}
	s := tortured(t, p)
	if x.config != "" {
		s.setting("inbound", x.config)
	}
	s.start()
	pid := s.serve.Process.Pid
	probe := s.dial()
	probe.deliver(mailOf("clean"), "taro@example.jp")
	files := openFiles(t, pid)
	off := x.attack(t, s, r)
	slowest := time.Duration(0)
	for range 3 {
		began := time.Now()
		if reply := probe.deliver(mailOf("attachment"), "taro@example.jp")[0]; !strings.HasPrefix(reply, ok) {
			r.wrong("a normal delivery meanwhile: %s", reply)
		}
		slowest = max(slowest, time.Since(began))
	}
	off()
	r.checkSpent(t, s, pid, files, slowest)
	boxes := readBoxes(t, s.Dir+"/mail")
	if len(boxes["jiro"]) != x.jiro || len(boxes["taro"]) != 7 {
		r.wrong("%d messages for jiro and %d for taro, want %d and 7", len(boxes["jiro"]), len(boxes["taro"]), x.jiro)
	}
	return r
}

// checkSpent looks at what the attack cost.
func (r *result) checkSpent(t *testing.T, s *site, pid, files int, slowest time.Duration) {
	t.Helper()
	left := openFiles(t, pid)
	for tries := 0; left > files+moreFiles && tries < 100; tries++ {
		time.Sleep(100 * time.Millisecond)
		left = openFiles(t, pid)
	}
	peak := memory(t, pid, "VmHWM")
	switch {
	case s.serve.Process.Pid != pid:
		r.wrong("the server was started again")
	case left > files+moreFiles:
		r.wrong("%d descriptors stay open, %d before", left, files)
	case peak > mostMemory:
		r.wrong("%d MB of memory", peak>>20)
	case slowest > mostWaiting:
		r.wrong("a normal delivery takes %v meanwhile", slowest)
	}
	r.mailbox = fmt.Sprintf("a normal delivery takes %v at most; peak %d MB; %d descriptors after it, %d before", slowest.Round(time.Millisecond), peak>>20, left, files)
}

func openFiles(t *testing.T, pid int) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// memory gives a line of a process's status, in bytes.
func memory(t *testing.T, pid int, what string) int64 {
	t.Helper()
	m := regexp.MustCompile(what + `:\s*(\d+) kB`).FindSubmatch(readFile(t, fmt.Sprintf("/proc/%d/status", pid)))
	if m == nil {
		t.Fatalf("no %s of process %d", what, pid)
	}
	n, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return n << 10
}

// crowd is many connections.
type crowd []net.Conn

func dialMany(t *testing.T, port, n int) crowd {
	t.Helper()
	var all crowd
	for range n {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

func (all crowd) say(text string) {
	for _, c := range all {
		io.WriteString(c, text)
	}
}

// heard gives the codes that were heard, and how often.
func (all crowd) heard() string {
	codes := map[string]int{}
	for _, c := range all {
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		said, _ := io.ReadAll(io.LimitReader(c, 1<<20))
		for line := range strings.Lines(string(said)) {
			if len(line) > 3 && line[3] == ' ' {
				codes[line[:3]]++
			}
		}
	}
	return strings.TrimPrefix(fmt.Sprint(codes), "map")
}

func (all crowd) close() {
	for _, c := range all {
		c.Close()
	}
}

const toJiro = "LHLO x\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<jiro@example.jp>\r\n"

func idleAndSlow(t *testing.T, s *site, r *result) (off func()) {
	all := dialMany(t, s.LMTP, 520)
	idle, commands, data := all[:480], all[480:500], all[500:]
	idle.say("LHLO x\r\n")
	data.say(toJiro + "DATA\r\nSubject: slow\r\n")
	stop := make(chan bool)
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
				commands.say("L")
				data.say("x")
			}
		}
	}()
	time.Sleep(2 * time.Second)
	r.heard = data.heard() + " by those that send a message"
	return func() { close(stop); all.close() }
}

func tooMany(t *testing.T, s *site, r *result) (off func()) {
	all := dialMany(t, s.LMTP, 80)
	refused := 0
	for _, c := range all {
		b := make([]byte, 3)
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, _ := io.ReadFull(c, b); n == 0 {
			r.wrong("a connection over the limit hears nothing")
		}
		if string(b) == "421" {
			refused++
		}
	}
	if refused != 31 { // the probe has one
		r.wrong("%d connections of 80 hear 421 where 49 are free", refused)
	}
	r.heard = fmt.Sprintf("421 × %d, 220 × %d", refused, 80-refused)
	return all.close
}

func manyRecipients(t *testing.T, s *site, r *result) (off func()) {
	c := s.dial()
	c.say("MAIL FROM:<a@example.com>")
	c.say("RCPT TO:<jiro@example.jp>")
	began := time.Now()
	go func() {
		var b bytes.Buffer
		for i := range 10_000 {
			name := []string{"jiro+%d", "nobody%d"}[i%2]
			fmt.Fprintf(&b, "RCPT TO:<"+name+"@example.jp>\r\n", i)
		}
		c.conn.Write(b.Bytes())
	}()
	count := map[string]int{}
	for range 10_000 {
		count[c.reply()[:3]]++
	}
	if count["250"] != 999 || count["250"]+count["550"]+count["452"] != 10_000 { // a transaction has a thousand
		r.wrong("%v", count)
	}
	r.heard = fmt.Sprintf("%v in %v", count, time.Since(began).Round(time.Millisecond))
	c.say("RSET")
	if reply := c.deliver("Subject: x\r\n\r\n", "jiro@example.jp")[0]; !strings.HasPrefix(reply, ok) {
		r.wrong("after it: %s", reply)
	}
	return func() { c.conn.Close() }
}

func sameRecipient(_ *testing.T, s *site, r *result) (off func()) {
	c := s.dial()
	var rcpts []string
	for range 150 {
		rcpts = append(rcpts, "jiro@example.jp")
	}
	replies := c.deliver("Subject: x\r\n\r\n", rcpts...)
	for _, reply := range replies {
		if !strings.HasPrefix(reply, ok) {
			r.wrong("%s", reply)
		}
	}
	r.heard = fmt.Sprintf("250 × %d", len(replies))
	return func() { c.conn.Close() }
}

// sends sends a message to jiro, who must have it byte for byte, and to taro+x.
func sends(msg string) func(t *testing.T, s *site, r *result) (off func()) {
	return func(t *testing.T, s *site, r *result) (off func()) {
		s.account("add", "hanako@example.jp")
		s.account("subscribe", "hanako@example.jp")
		c := s.dial()
		began := time.Now()
		for _, reply := range c.deliver(msg, "jiro@example.jp", "hanako@example.jp") {
			if !strings.HasPrefix(reply, ok) {
				r.wrong("%s", reply)
			}
		}
		r.heard = fmt.Sprintf("250 × 2 after %v", time.Since(began).Round(time.Millisecond))
		for _, box := range []string{"jiro", "hanako"} {
			if got := s.maildir(box); len(got) != 1 || !strings.HasSuffix(got[0], msg) {
				r.wrong("%s has %d messages, or not the bytes that were sent", box, len(got))
			}
		}
		return func() { c.conn.Close() }
	}
}

// nested gives a message of so many multiparts, each in the one before.
func nested(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	return b.String() + "\r\nin the middle\r\n"
}

func garbage(t *testing.T, s *site, r *result) (off func()) {
	all := dialMany(t, s.LMTP, 50)
	random := rand.NewChaCha8([32]byte{7})
	for _, c := range all {
		b := make([]byte, 100_000)
		random.Read(b)
		c.SetWriteDeadline(time.Now().Add(time.Second))
		c.Write(b)
	}
	r.heard = all.heard()
	return all.close
}

func longCommand(t *testing.T, s *site, r *result) (off func()) {
	c := s.dial()
	c.conn.SetWriteDeadline(time.Now().Add(2 * time.Second))
	io.WriteString(c.conn, "MAIL FROM:<"+strings.Repeat("a", 1<<20)+"@example.com>\r\n")
	r.heard = c.reply()
	if strings.HasPrefix(r.heard, "2") {
		r.wrong("%s", r.heard)
	}
	return func() { c.conn.Close() }
}

func otherProtocols(t *testing.T, s *site, r *result) (off func()) {
	all := dialMany(t, s.LMTP, 2)
	all[:1].say("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	all[1:].say("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 500))
	r.heard = all.heard()
	return all.close
}

func halfClosed(t *testing.T, s *site, r *result) (off func()) {
	all := dialMany(t, s.LMTP, 1)
	all.say(toJiro + "DATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n")
	all[0].(*net.TCPConn).CloseWrite()
	all[0].SetReadDeadline(time.Now().Add(10 * time.Second))
	said, _ := io.ReadAll(all[0])
	if !bytes.Contains(said, []byte("\r\n250 2.0.0 <jiro@example.jp> ")) || !bytes.HasSuffix(said, []byte("\r\n")) {
		r.wrong("%q", said)
	}
	r.heard = "250"
	return all.close
}

func halfMessage(t *testing.T, s *site, r *result) (off func()) {
	all := dialMany(t, s.LMTP, 1)
	all.say(toJiro + "DATA\r\nSubject: x\r\n\r\nx\r\n")
	all[0].(*net.TCPConn).CloseWrite()
	all[0].SetReadDeadline(time.Now().Add(10 * time.Second))
	said, _ := io.ReadAll(all[0])
	if bytes.Contains(said, []byte("<jiro@example.jp> ")) && bytes.Contains(said, []byte("delivered")) {
		r.wrong("%q", said)
	}
	r.heard = "no 250"
	return all.close
}

func resets(t *testing.T, s *site, r *result) (off func()) {
	msg := toJiro + "DATA\r\n" + string(testdata.MustMail("attachment"))
	for i := range 200 {
		c := dialMany(t, s.LMTP, 1)
		c.say(msg[:len(toJiro)+i*(len(msg)-len(toJiro))/200])
		c[0].(*net.TCPConn).SetLinger(0)
		c.close()
	}
	r.heard = "nothing"
	return func() {}
}

func chunks(t *testing.T, s *site, r *result) (off func()) {
	c := s.dial()
	c.say("MAIL FROM:<a@example.com>")
	c.say("RCPT TO:<jiro@example.jp>")
	io.WriteString(c.conn, "BDAT 1000 LAST\r\nSubject: cut short\r\n\r\n")
	r.heard = c.reply()
	if !strings.HasPrefix(r.heard, "503 ") {
		r.wrong("BDAT: %s", r.heard)
	}
	return func() { c.conn.Close() }
}

// deaf sends commands without end and reads nothing.
func deaf(t *testing.T, s *site, r *result) (off func()) {
	all := dialMany(t, s.LMTP, 10)
	for _, c := range all {
		c.SetWriteDeadline(time.Now().Add(time.Second))
		for err := error(nil); err == nil; {
			_, err = io.WriteString(c, strings.Repeat("NOOP\r\n", 10_000))
		}
	}
	r.heard = "nothing"
	return all.close
}
