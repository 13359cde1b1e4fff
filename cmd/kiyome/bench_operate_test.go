//go:build bench

package main_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/control"
)

// TestOperation measures what an operator does to a server that runs: rows 14 to 18
// of the table.
func TestOperation(t *testing.T) {
	if _, err := os.Stat(tools); err != nil {
		t.Skip("no load generator here")
	}
	b := newOwnBench(t, 1000)
	b.addAccounts()
	b.start()
	b.row16()
	b.row17()
	b.row18()
	b.row15()
	b.row14()
	b.print()
}

// neighbours is how many accounts lie between two that get mail, in a database of
// ten million, and fewest is how many do.
const (
	fewest     = 1000
	neighbours = 9_999
)

// spread gives u0 to u999, each with n neighbours behind it, in the order of the database.
func spread(n int) func(yield func(string) bool) {
	var heads []string
	for i := range fewest {
		heads = append(heads, fmt.Sprintf("u%d@load.test", i))
	}
	slices.Sort(heads)
	return func(yield func(string) bool) {
		for _, head := range heads {
			if !yield(head) {
				return
			}
			local, domain, _ := strings.Cut(head, "@")
			for k := range n { // x sorts behind @ and behind all digits
				if !yield(fmt.Sprintf("%sx%06d@%s", local, k, domain)) {
					return
				}
			}
		}
	}
}

// bulk makes the database of a site.
func (b *bench) bulk(between int) (size int64) {
	b.t.Helper()
	file := filepath.Join(b.Dir, "state/accounts.db")
	began := time.Now()
	if err := accounts.WriteBulk(file, accounts.Options{Path: b.Dir + "/mail/{domain}/{local}/Maildir"}, spread(between)); err != nil {
		b.t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		os.Chown(file, int(b.uid), int(b.gid))
	}
	info, err := os.Stat(file)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Logf("%d accounts: %d MB, written in %v", fewest*(between+1), info.Size()/1e6, time.Since(began).Round(time.Second))
	return info.Size()
}

// row14 delivers to a thousand mailboxes that lie all over a database of ten million, and
// to the same ones when there are no others, in turn.
func (b *bench) row14() {
	small, large := newOwnBench(b.t, 1000), newOwnBench(b.t, 1000)
	small.bulk(0)
	size := large.bulk(neighbours)
	small.start()
	large.start()
	args := []string{"-mix", "small", "-mailboxes", strconv.Itoa(fewest), "-sessions", "8", "-messages", "250", "-infected", "0.02"}
	small.ours("u%d@load.test", args...) // whatever is cold is warm then
	large.ours("u%d@load.test", args...)
	var r ratio
	for range 2*rounds + 1 {
		r.add(large.ours("u%d@load.test", args...).Proc.CPU, small.ours("u%d@load.test", args...).Proc.CPU)
	}
	b.row("14", fmt.Sprintf("%d accounts (%.1f GB) against %d: CPU per message, small mix", fewest*(neighbours+1), float64(size)/1e9, fewest), "≤ 1.02", "%v", r)
}

// row15 starts a server as systemd does, and waits until it says that it is ready.
func (b *bench) row15() {
	large := newOwnBench(b.t, 5000)
	large.bulk(1_000_000/fewest - 1)
	large.ready() // compiles
	var took []float64
	for range 2*rounds + 1 {
		took = append(took, large.ready().Seconds())
	}
	slices.Sort(took)
	b.row("15", "start to ready in seconds, 1000000 accounts, 5000 rules already compiled", "≤ 1", "%.2f (%.2f–%.2f)", median(took), took[0], took[len(took)-1])
}

// ready starts a server, gives how long it took to be ready, and stops it.
func (b *bench) ready() time.Duration {
	b.t.Helper()
	path := filepath.Join(b.Dir, "notify.sock")
	os.Remove(path)
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	os.Chmod(path, 0o777)
	cmd := b.command("serve")
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+path)
	cmd.Stderr = &b.log
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	c.SetReadDeadline(began.Add(10 * time.Minute))
	text := make([]byte, 100)
	n, err := c.Read(text)
	took := time.Since(began)
	if err != nil || string(text[:n]) != "READY=1" {
		b.t.Fatalf("told %q, %v", text[:n], err)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		b.t.Error(err)
	}
	return took
}

// row16 changes an account again and again, and asks for it as soon as the command is back.
func (b *bench) row16() {
	client, err := control.Dial(b.t.Context(), filepath.Join(b.Dir, "state/control.sock"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	c := b.dial()
	const address, changes = "sixteen@load.test", 200
	stale := 0
	var took []float64
	for i := range changes {
		began := time.Now()
		want := "250 "
		if i%2 == 0 {
			_, err = client.Add(accounts.NewAccount{Address: address})
		} else {
			_, err = client.Change(address, accounts.Closed, "", time.Time{}, "root")
			want = "550 "
		}
		took = append(took, time.Since(began).Seconds()*1000)
		if err != nil {
			b.t.Fatal(err)
		}
		c.say("MAIL FROM:<>")
		if reply := c.say("RCPT TO:<" + address + ">"); !strings.HasPrefix(reply, want) {
			stale++
		}
		c.say("RSET")
	}
	b.row("16", fmt.Sprintf("changes of an account not in force at the next RCPT after the command, of %d (a change takes %.1f ms)", changes, median(took)), "0", "%d", stale)
}

// row17 kills a worker in the middle of a scan. What the answer then takes longer than the
// scan by itself is for noticing, and for trying again.
func (b *bench) row17() {
	c := b.dial()
	var made byte
	big := func() string { // never the same: workers remember what was clean
		made++
		return randomAttachment(8_000_000, made)
	}
	if reply := c.deliver(big(), "u0@load.test")[0]; !strings.HasPrefix(reply, "250 ") {
		b.t.Fatal(reply)
	}
	var alone, extra []float64
	for range 5 {
		alone = append(alone, b.answerTime(c, big(), nil))
	}
	scan := median(alone)
	for range 10 {
		killed := time.Time{}
		took := b.answerTime(c, big(), func() {
			time.Sleep(time.Duration(scan / 3 * float64(time.Second)))
			if pid := b.busiest(); pid != 0 {
				killed = time.Now()
				syscall.Kill(pid, syscall.SIGKILL)
			}
		})
		if !killed.IsZero() {
			extra = append(extra, took-scan/3-scan)
		}
	}
	if len(extra) == 0 {
		b.row("17", "kill -9 of a worker: noticed and message retried", "≤ 0.1 s", "no worker was caught at work")
		return
	}
	slices.Sort(extra)
	b.row("17", fmt.Sprintf("seconds until the answer beyond the time of the scans, after kill -9 of the worker (a scan takes %.2f s)", scan), "≤ 0.1", "%.3f (%.3f–%.3f)",
		median(extra), extra[0], extra[len(extra)-1])
}

// answerTime gives the seconds from the end of a message to its answer; meanwhile runs beside it.
func (b *bench) answerTime(c *lmtpClient, message string, meanwhile func()) float64 {
	b.t.Helper()
	for _, command := range []string{"MAIL FROM:<a@example.com>", "RCPT TO:<u0@load.test>", "DATA"} {
		c.say(command)
	}
	unique := fmt.Sprintf("X-Number: %d\r\n", rand.Int64())
	if _, err := c.conn.Write([]byte(unique + message)); err != nil {
		b.t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // until all of it has been taken in
	began := time.Now()
	c.conn.Write([]byte(".\r\n"))
	var side sync.WaitGroup
	if meanwhile != nil {
		side.Go(meanwhile)
	}
	if reply := c.reply(); !strings.HasPrefix(reply, "250 ") {
		b.t.Errorf("%s", reply)
	}
	took := time.Since(began).Seconds()
	side.Wait()
	return took
}

// busiest gives the worker that uses the processor now; 0 when none does.
func (b *bench) busiest() (pid int) {
	most := 0.0
	before := map[int]float64{}
	for _, p := range children(b.t, b.serve.Process.Pid) {
		before[p] = ticks(p)
	}
	time.Sleep(30 * time.Millisecond)
	for p, t := range before {
		if used := ticks(p) - t; used > most {
			most, pid = used, p
		}
	}
	return pid
}

// ticks is the processor time that a process has used.
func ticks(pid int) float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64) // proc(5): utime is the 14th
	return user
}

// randomAttachment makes a message with an attachment of n bytes that no container holds; by
// seed, always the same.
func randomAttachment(n int, seed byte) string {
	data := make([]byte, n)
	r := rand.NewChaCha8([32]byte{17, seed})
	r.Read(data)
	var m strings.Builder
	m.WriteString("Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream; name=x.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	text := base64.StdEncoding.EncodeToString(data)
	for len(text) > 76 {
		m.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	m.WriteString(text + "\r\n")
	return m.String()
}

// row18 has mail come at half of what the server can take, before and while new rules are
// put in service one after the other; they were compiled before, as by "rules build". No
// message comes twice: workers remember what was clean as long as their rules serve, so mail that
// repeats itself is another thing.
func (b *bench) row18() {
	seed := 0
	fresh := func(more ...string) []string {
		seed++
		return append([]string{"-mix", "mail", "-sessions", "8", "-pool", "800", "-seed", strconv.Itoa(seed)}, more...)
	}
	rate := b.ours("u%d@load.test", fresh("-messages", "50")...).Load.Rate / 2
	paced := []string{"-for", "10s", "-rate", fmt.Sprintf("%.1f", rate)}
	repeated := append([]string{"-mix", "mail", "-sessions", "8", "-pool", "50"}, paced...)
	var swaps, reloads, again ratio
	for range rounds {
		before := b.ours("u%d@load.test", fresh(paced...)...).Load.P99
		swaps.add(b.whileSwapping(fresh(paced...), "rollback").Load.P99, before)
		reloads.add(b.whileSwapping(fresh(paced...), "reload").Load.P99, before)
		before = b.ours("u%d@load.test", repeated...).Load.P99
		again.add(b.whileSwapping(repeated, "rollback").Load.P99, before)
	}
	b.row("18", fmt.Sprintf("p99 latency while rules are swapped once in 2 s, against before (mail mix, %.0f messages/s)", rate), "≤ 1.2", "%v", swaps)
	b.row("–", "the same, 1000 rules compiled for each swap on the same two cores", "no goal", "%v", reloads)
	b.row("–", "the same, fifty messages again and again, which new workers have not seen", "no goal", "%v", again)
}

// whileSwapping drives the server while other rules come into service once in two seconds.
func (b *bench) whileSwapping(args []string, how string) figures {
	b.t.Helper()
	b.swap("reload", 1)
	b.swap("reload", 2)
	stop := make(chan bool)
	var swapping sync.WaitGroup
	swapping.Go(func() {
		for n := 3; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Second):
				b.swap(how, n)
			}
		}
	})
	f := b.ours("u%d@load.test", args...)
	close(stop)
	swapping.Wait()
	return f
}

// swap puts other rules in service.
func (b *bench) swap(how string, number int) {
	if how == "reload" {
		text := fmt.Sprintf("rule Round%d { condition: filesize == %d }", number, 1<<40+number)
		if err := os.WriteFile(filepath.Join(b.sets, "heavy", "round.yar"), []byte(text), 0o644); err != nil {
			b.t.Error(err)
		}
	}
	if out, err := b.command("rules", how).CombinedOutput(); err != nil {
		if _, ok := err.(*exec.ExitError); ok {
			b.t.Errorf("rules %s: %s", how, out)
		} else {
			b.t.Error(err)
		}
	}
}
