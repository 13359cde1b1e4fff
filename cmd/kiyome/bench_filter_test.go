//go:build bench

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kiyome/rules/rulestest"
)

// TestFilter measures what the filter costs outgoing mail: the same Postfix without a
// filter, with ours and with amavis + clamd, in turn, until the last message is at
// the next MTA. CPU is that of the whole system less the load generator and this
// process, which is the next MTA.
func TestFilter(t *testing.T) {
	if _, err := os.Stat(tools); err != nil {
		t.Skip("no load generator here")
	}
	h := newHouse(t)
	load := filepath.Join(h.Dir, "lmtpload")
	for _, build := range [][]string{{"build", "-o", h.kiyome, "."}, {"build", "-C", filepath.Join(tools, "lmtpload"), "-o", load, "."}} {
		if out, err := exec.Command("go", build...).CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", build, err, out)
		}
	}
	h.folder("rules/heavy", 0o755, false)
	if err := os.WriteFile(filepath.Join(h.Dir, "rules/heavy/heavy.yar"), []byte(rulestest.Heavy(1000)), 0o644); err != nil {
		t.Fatal(err)
	}
	h.configure(fmt.Sprintf("\n[rules]\ndirs = [%q]\n", filepath.Join(h.Dir, "rules")))
	h.account("add", "sender@load.test")
	h.account("subscribe", "sender@load.test", "outbound")

	amavis := freePort(t)
	ways := []filterWay{{name: "no filter"}, {name: "kiyome", filter: fmt.Sprintf("lmtp:inet:127.0.0.1:%d", h.Filter)}}
	if _, err := exec.LookPath("amavisd"); err == nil {
		ways = append(ways, filterWay{name: "amavis + clamd", filter: fmt.Sprintf("smtp:[127.0.0.1]:%d", amavis)})
	}
	master, err := os.OpenFile(filepath.Join(h.Dir, "postfix/etc/master.cf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range ways {
		ways[i].port = freePort(t)
		fmt.Fprintf(master, "\n127.0.0.1:%d inet n - n - - smtpd -o mynetworks=127.0.0.0/8 -o smtpd_recipient_restrictions=permit_mynetworks,reject -o smtpd_client_connection_count_limit=0 -o content_filter=%s\n",
			ways[i].port, ways[i].filter)
	}
	master.Close()
	h.startAll()
	if len(ways) > 2 {
		script, dir := filepath.Join(tools, "amavis-clamd.sh"), filepath.Join(h.Dir, "amavis")
		h.folder("amavis", 0o755, false)
		cmd := exec.Command("bash", script, "start", dir, fmt.Sprintf("smtp:[127.0.0.1]:%d", h.Filtered), strconv.Itoa(amavis))
		cmd.Env = append(os.Environ(), "MAX_SERVERS=8")
		log, err := os.Create(filepath.Join(h.Dir, "amavis.log"))
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Run(); err != nil {
			text, _ := os.ReadFile(log.Name())
			t.Logf("amavis is left out: %v\n%s", err, text)
			ways = ways[:2]
		} else {
			t.Cleanup(func() { exec.Command("bash", script, "stop", dir).Run() })
		}
	}
	for range rounds {
		for i := range ways {
			ways[i].run(t, h, load)
		}
	}
	fmt.Printf("\n| outgoing mail, mail mix, median of %d rounds | messages/s | CPU ms a message |\n| --- | --- | --- |\n", rounds)
	for _, w := range ways {
		fmt.Printf("| Postfix, %s | %.1f | %.1f |\n", w.name, median(w.rate), median(w.cpu))
	}
}

// filterWay is a way through Postfix.
type filterWay struct {
	name, filter string
	port         int
	rate, cpu    []float64
}

// run sends some mail and waits until all of it has come out.
func (w *filterWay) run(t *testing.T, h *house, load string) {
	t.Helper()
	const sessions, each = 8, 25
	h.outside.mu.Lock()
	h.outside.got = nil
	h.outside.mu.Unlock()
	busy, own := systemCPU(t), cpuTime()
	began := time.Now()
	cmd := exec.Command(load, "-proto", "smtp", "-addr", fmt.Sprintf("127.0.0.1:%d", w.port), "-from", "sender@load.test", "-rcpt", "u%d@outside.test",
		"-mix", "mail", "-sessions", strconv.Itoa(sessions), "-messages", strconv.Itoa(each)) // none infected: amavis would send it nowhere
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("lmtpload: %v\n%.2000s", err, out)
	}
	for deadline := time.Now().Add(time.Minute); len(h.outside.all()) < sessions*each; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d of %d messages came out", w.name, len(h.outside.all()), sessions*each)
		}
	}
	took := time.Since(began)
	spent := systemCPU(t) - busy - (cpuTime() - own) - cmd.ProcessState.UserTime() - cmd.ProcessState.SystemTime()
	w.rate = append(w.rate, sessions*each/took.Seconds())
	w.cpu = append(w.cpu, spent.Seconds()*1000/(sessions*each))
	t.Logf("%s: %.1f messages/s, %.1f ms CPU a message", w.name, w.rate[len(w.rate)-1], w.cpu[len(w.cpu)-1])
}

// systemCPU is what all processes have used, and the kernel for them: user, nice,
// system, interrupts (proc(5)).
func systemCPU(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var ticks int64
	for i, field := range strings.Fields(line)[1:] {
		if n, err := strconv.ParseInt(field, 10, 64); err == nil && slices.Contains([]int{0, 1, 2, 5, 6}, i) {
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100
}
