//go:build bench

package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kiyome/rules"
	"kiyome/rules/rulestest"
	"kiyome/scan"
	"kiyome/scan/mime"
	"kiyome/scan/unpack"
)

// rounds is how often each figure is taken; the references take turns with us.
const rounds = 3

// TestBudget measures what a delivery costs, beside servers that do the same or
// less, and prints a table. Everything is a ratio within one run, a CPU time or a
// count: rates alone say more about the machine than about the program.
func TestBudget(t *testing.T) {
	if _, err := os.Stat(tools); err != nil {
		t.Skip("no load generator here")
	}
	b := newBench(t)
	b.rows1to5and13()
	b.row6()
	b.row7()
	b.row8()
	b.row9()
	b.row10()
	b.row11()
	b.row12()
	b.bombs()
	b.print()
}

// bench is a running kiyome and its references.
type bench struct {
	*site
	load    string // the load generator
	sets    string // folder with the generated rules
	dovecot *reference
	amavis  *reference // nil: not installed
	seed    int        // of the last load that was fresh
	aside   int        // runs whose mail was put aside
	table   []row
}

// reference is a server that is measured beside ours.
type reference struct {
	addr, maildir string
	pids          func() string
}

type row struct{ number, what, goal, got string }

func newBench(t *testing.T) *bench {
	b := newOwnBench(t, 1000)
	b.addAccounts()
	b.start()
	port := strconv.Itoa(freePort(t))
	b.dovecot = b.reference("dovecot-lmtp.sh", "dovecot", port)
	if _, err := exec.LookPath("amavisd"); err == nil && b.dovecot != nil {
		b.amavis = b.reference("amavis-clamd.sh", "amavis", "lmtp:[127.0.0.1]:"+port, strconv.Itoa(freePort(t)))
	} else {
		t.Log("amavisd is not here: rows 3 and 4 are left out")
	}
	return b
}

// newOwnBench prepares a kiyome with generated rules, without accounts and references.
func newOwnBench(t *testing.T, rules int) *bench {
	b := &bench{site: newSite(t)}
	if out, err := exec.Command("go", "build", "-o", b.kiyome, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	b.load = filepath.Join(b.Dir, "lmtpload")
	if out, err := exec.Command("go", "build", "-C", filepath.Join(tools, "lmtpload"), "-o", b.load, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the load generator: %v\n%s", err, out)
	}
	config := filepath.Join(b.Dir, "kiyome.toml")
	tcp := fmt.Sprintf("[\"127.0.0.1:%d\"", b.LMTP)
	both := strings.Replace(b.read("kiyome.toml"), "listen = "+tcp, fmt.Sprintf("listen = %s, %q", tcp, b.socket()), 1)
	if err := os.WriteFile(config, []byte(both), 0o644); err != nil {
		t.Fatal(err)
	}
	b.folder("run", 0o755, true)
	b.sets = filepath.Join(b.Dir, "rules")
	b.folder("rules/heavy", 0o755, false)
	b.heavy(rules)
	b.configure(fmt.Sprintf("\n[rules]\ndirs = [%q]\n", b.sets))
	return b
}

// socket is where it takes mail, as Dovecot does by default.
func (b *bench) socket() string { return "unix:" + filepath.Join(b.Dir, "run", "lmtp") }

// heavy writes so many generated rules.
func (b *bench) heavy(n int) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.sets, "heavy", "heavy.yar"), []byte(rulestest.Heavy(n)), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// addAccounts adds a hundred mailboxes with the service and a hundred without.
func (b *bench) addAccounts() {
	for _, kind := range []string{"u", "p"} {
		for i := range 100 {
			address := fmt.Sprintf("%s%d@load.test", kind, i)
			b.account("add", address)
			if kind == "u" {
				b.account("subscribe", address)
			}
		}
	}
}

// configure adds to the configuration.
func (s *site) configure(text string) {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.Dir, "kiyome.toml"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(text)
		f.Close()
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// reference starts one; nil when it cannot be had.
func (b *bench) reference(script, name string, args ...string) *reference {
	dir := filepath.Join(b.Dir, name)
	b.folder(name, 0o755, false)
	script = filepath.Join(tools, script)
	cmd := exec.Command("bash", append([]string{script, "start", dir}, args...)...)
	cmd.Env = append(os.Environ(), "MAIL_USER="+b.User, "MAX_SERVERS=8")
	logPath := filepath.Join(b.Dir, name+".log")
	out, err := os.Create(logPath)
	if err != nil {
		b.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	out.Close()
	text, _ := os.ReadFile(logPath)
	if err != nil {
		b.t.Logf("%s is left out: %v\n%s", name, err, text)
		return nil
	}
	b.t.Cleanup(func() { exec.Command("bash", script, "stop", dir).Run() })
	r := &reference{pids: func() string {
		verb := "pid"
		if name == "amavis" {
			verb = "pids"
		}
		pids, _ := exec.Command("bash", script, verb, dir).Output()
		return strings.TrimSpace(string(pids))
	}}
	for line := range strings.Lines(string(text)) {
		if addr, ok := strings.CutPrefix(strings.TrimSpace(line), "addr="); ok {
			r.addr = addr
		}
		if maildir, ok := strings.CutPrefix(strings.TrimSpace(line), "maildir="); ok {
			r.maildir = maildir
		}
	}
	return r
}

// figures is what the load generator says of a run.
type figures struct {
	Load struct {
		Rate float64 `json:"deliveries_per_s"`
		P99  float64 `json:"p99_ms"`
		MB   float64 `json:"mb_per_s"`
		Mean float64 `json:"mean_size"`
	} `json:"load"`
	Proc struct {
		CPU  float64 `json:"cpu_ms_per_message"`
		Anon float64 `json:"peak_anon_mib"`
	} `json:"proc"`
	Verify struct {
		OK bool `json:"ok"`
	} `json:"verify"`
}

// run drives one server and checks what it delivered.
func (b *bench) run(addr, maildir, pids string, args ...string) figures {
	b.t.Helper()
	all := append([]string{"-addr", addr, "-proc", pids, "-json"}, args...)
	if maildir != "" {
		all = append(all, "-verify", maildir)
	}
	out, err := exec.Command(b.load, all...).Output()
	var f figures
	if jerr := json.Unmarshal(out, &f); err != nil || jerr != nil || maildir != "" && !f.Verify.OK {
		b.t.Fatalf("lmtpload %v: %v, %v\n%.2000s", all, err, jerr, out)
	}
	if root, _, ok := strings.Cut(maildir, "/%d"); ok {
		b.putAside(root)
	}
	return f
}

// putAside takes the mail of a run out of the way, and out of memory. It is not removed before
// the end: without a journal, ext4 goes past each inode that was freed in the last minutes
// before it makes a file, which would be the larger part of what a small delivery costs.
func (b *bench) putAside(root string) {
	b.t.Helper()
	b.aside++
	to := filepath.Join(b.Dir, "aside", strconv.Itoa(b.aside))
	if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.Rename(filepath.Join(root, "load.test"), to)); err != nil {
		b.t.Fatal(err)
	}
	filepath.WalkDir(to, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if f, err := os.Open(path); err == nil {
				unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
				f.Close()
			}
		}
		return nil
	})
}

// ours drives kiyome: with the service for u%d, without it for p%d.
func (b *bench) ours(rcpt string, args ...string) figures {
	b.t.Helper()
	return b.run(b.socket(), filepath.Join(b.Dir, "mail/%d/%n/Maildir"),
		strconv.Itoa(b.serve.Process.Pid), append([]string{"-rcpt", rcpt}, args...)...)
}

func (b *bench) theirs(r *reference, args ...string) figures {
	b.t.Helper()
	maildir := r.maildir
	return b.run(r.addr, maildir, r.pids(), args...)
}

// ratio is the median over the rounds of one figure against another.
type ratio []float64

func (r *ratio) add(a, b float64) { *r = append(*r, a/b) }

func (r ratio) String() string {
	if len(r) == 0 {
		return "–"
	}
	s := slices.Sorted(slices.Values(r))
	return fmt.Sprintf("%.2f (%.2f–%.2f)", s[len(s)/2], s[0], s[len(s)-1])
}

func median(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }

func (b *bench) row(number, what, goal, format string, args ...any) {
	r := row{number, what, goal, fmt.Sprintf(format, args...)}
	b.table = append(b.table, r)
	b.t.Logf("%s | %s | %s | %s", r.number, r.what, r.goal, r.got)
}

var mixes = map[string][]string{
	"mail":  {"-mix", "mail", "-sessions", "8", "-messages", "60", "-infected", "0.02"},
	"small": {"-mix", "small", "-sessions", "8", "-messages", "150", "-infected", "0.02"},
}

// fresh is load of n messages, none of which came before: what is clean is remembered.
func (b *bench) fresh(n int, args ...string) []string {
	b.seed++
	return append(slices.Clone(args), "-pool", strconv.Itoa(n), "-seed", strconv.Itoa(1000+b.seed))
}

func (b *bench) rows1to5and13() {
	var rate, cpu, late, p99 = map[string]*ratio{}, map[string]*ratio{}, map[string]*ratio{}, ratio{}
	at := func(m map[string]*ratio, k string) *ratio {
		if m[k] == nil {
			m[k] = &ratio{}
		}
		return m[k]
	}
	var absolute = map[string][]float64{}
	for _, mix := range []string{"mail", "mail", "small"} { // the load generator sends the same 200 bodies again and again: workers know them
		b.ours("u%d@load.test", mixes[mix]...)
		if b.dovecot != nil {
			b.theirs(b.dovecot, mixes[mix]...)
		}
	}
	for range rounds {
		for _, mix := range []string{"mail", "small"} {
			args := mixes[mix]
			ours, off := b.ours("u%d@load.test", args...), b.ours("p%d@load.test", args...)
			absolute["kiyome "+mix] = append(absolute["kiyome "+mix], ours.Proc.CPU)
			absolute["kiyome, service off "+mix] = append(absolute["kiyome, service off "+mix], off.Proc.CPU)
			if b.dovecot != nil {
				ref := b.theirs(b.dovecot, args...)
				absolute["Dovecot "+mix] = append(absolute["Dovecot "+mix], ref.Proc.CPU)
				at(rate, mix).add(ours.Load.Rate, ref.Load.Rate)
				at(cpu, mix).add(ours.Proc.CPU, ref.Proc.CPU)
				at(rate, "off "+mix).add(off.Load.Rate, ref.Load.Rate)
				at(cpu, "off "+mix).add(off.Proc.CPU, ref.Proc.CPU)
				if mix == "mail" {
					p99.add(ours.Load.P99, ref.Load.P99)
				}
			}
			unseen := b.fresh(map[string]int{"mail": 480, "small": 1200}[mix], args...)
			fresh := b.ours("u%d@load.test", unseen...)
			absolute["kiyome, new "+mix] = append(absolute["kiyome, new "+mix], fresh.Proc.CPU)
			if b.dovecot != nil {
				ref := b.theirs(b.dovecot, unseen...)
				at(rate, "new "+mix).add(fresh.Load.Rate, ref.Load.Rate)
				at(cpu, "new "+mix).add(fresh.Proc.CPU, ref.Proc.CPU)
				at(late, mix).add(fresh.Load.P99, ref.Load.P99)
			}
			if b.amavis != nil {
				for _, kind := range []struct {
					name string
					args []string
					ours figures
				}{{"", args, ours}, {"new ", unseen, fresh}} {
					ref := b.run(b.amavis.addr, b.dovecot.maildir, b.amavis.pids()+","+b.dovecot.pids(), append(slices.Clone(kind.args), "-messages", "15")...)
					name := kind.name + "amavis " + mix
					absolute[name] = append(absolute[name], ref.Proc.CPU)
					at(rate, name).add(kind.ours.Load.Rate, ref.Load.Rate)
					at(cpu, name).add(kind.ours.Proc.CPU, ref.Proc.CPU)
				}
			}
		}
	}
	b.row("1", "mail mix, 200 bodies again and again: deliveries/s against Dovecot", "≥ 1.0", "%v", at(rate, "mail"))
	b.row("–", "the same, no message twice", "no goal", "%v", at(rate, "new mail"))
	b.row("2", "small mix: the same", "≥ 2", "%v", at(rate, "small"))
	b.row("–", "the same, no message twice", "no goal", "%v", at(rate, "new small"))
	b.row("3", "mail mix against amavis + clamd + Dovecot: deliveries/s, CPU", "≥ 10, ≤ 0.1", "%v, %v", at(rate, "amavis mail"), at(cpu, "amavis mail"))
	b.row("–", "the same, no message twice", "no goal", "%v, %v", at(rate, "new amavis mail"), at(cpu, "new amavis mail"))
	b.row("4", "small mix: the same", "≥ 40, ≤ 0.025", "%v, %v", at(rate, "amavis small"), at(cpu, "amavis small"))
	b.row("–", "the same, no message twice", "no goal", "%v, %v", at(rate, "new amavis small"), at(cpu, "new amavis small"))
	b.row("5", "service off, mail mix: deliveries/s, CPU against Dovecot", "≥ 2, ≤ 0.3", "%v, %v", at(rate, "off mail"), at(cpu, "off mail"))
	b.row("13", "p99 latency, mail mix, against Dovecot", "≤ 1.5", "%v", p99)
	b.row("–", "the same, no message twice; small mix", "no goal", "%v; %v", at(late, "mail"), at(late, "small"))
	b.row("–", "no message twice: CPU against Dovecot, mail mix; small mix", "no goal", "%v; %v", at(cpu, "new mail"), at(cpu, "new small"))
	for _, k := range slices.Sorted(func(yield func(string) bool) {
		for k := range absolute {
			if !yield(k) {
				return
			}
		}
	}) {
		b.t.Logf("CPU ms a message, %s: %.2f", k, median(absolute[k]))
	}
}

// row6 counts what strace sees.
func (b *bench) row6() {
	strace, err := exec.LookPath("strace")
	if err != nil {
		b.row("6", "syncs per message to R recipients with the same bytes", "≤ 1 + R", "no strace here")
		return
	}
	var got []string
	b.dial().deliver("Subject: x\r\n\r\nx\r\n", plain(50)...) // makes the Maildirs
	for _, r := range []int{1, 5, 50} {
		trace := filepath.Join(b.Dir, "trace")
		cmd := exec.Command(strace, "-f", "-qq", "-o", trace, "-e", "trace=fsync,fdatasync,sync_file_range,syncfs", "-p", strconv.Itoa(b.serve.Process.Pid))
		if err := cmd.Start(); err != nil {
			b.t.Fatal(err)
		}
		awaitTraced(b.t, b.serve.Process.Pid, true)
		c := b.dial()
		c.deliver("Subject: x\r\n\r\nx\r\n", plain(r)...)
		c.say("QUIT")
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		text, _ := os.ReadFile(trace)
		got = append(got, fmt.Sprintf("R=%d: %d", r, bytes.Count(text, []byte("sync(")))) // a resumed call is counted once
	}
	b.row("6", "syncs per message to R recipients with the same bytes", "≤ 1 + R", "%s", strings.Join(got, ", "))
}

// plain gives n recipients without the service.
func plain(n int) (rcpts []string) {
	for i := range n {
		rcpts = append(rcpts, fmt.Sprintf("p%d@load.test", i))
	}
	return rcpts
}

// row7 puts other rules in service before each run: then no worker knows the mail.
func (b *bench) row7() {
	var r ratio
	for n := range rounds {
		args := b.fresh(160, "-mix", "mail", "-sessions", "4", "-messages", "40")
		b.swap("reload", 1000+2*n)
		one := b.ours("u%d@load.test", args...)
		b.swap("reload", 1001+2*n)
		five := b.ours("u%d@load.test", append(args, "-rcpts", "5")...)
		r.add(five.Proc.CPU, one.Proc.CPU)
	}
	b.row("7", "CPU for 5 recipients against 1, same mail", "≤ 1.1", "%v", r)
}

// row8 takes the objects out of the mail mix and matches them alone, before the server gets
// the same mail.
func (b *bench) row8() {
	set := b.ruleSet()
	defer set.Close()
	var matchers []*rules.Matcher // as many as there are workers: they share the caches of the cores
	for range children(b.t, b.serve.Process.Pid) {
		m, err := set.NewMatcher()
		if err != nil {
			b.t.Fatal(err)
		}
		defer m.Close()
		matchers = append(matchers, m)
	}
	var outside, known ratio
	var alone, used []float64
	again := mixes["mail"]
	b.ours("u%d@load.test", again...)
	b.ours("u%d@load.test", again...)
	for range rounds {
		raw, _ := b.matchAll(matchers, []string{"-mix", "mail"})
		known.add(b.ours("u%d@load.test", again...).Proc.CPU, raw)
		mail := b.fresh(480, "-mix", "mail")
		raw, inside := b.matchAll(matchers, mail)
		outside.add(b.ours("u%d@load.test", append(mail, "-sessions", "8", "-messages", "60")...).Proc.CPU-inside, raw)
		alone, used = append(alone, raw), append(used, inside)
	}
	b.row("8", fmt.Sprintf("CPU outside libyara, mail mix, no message twice, against libyara alone (%.2f ms a message; %.2f as it is used)", median(alone), median(used)), "≤ 0.55", "%v", outside)
	b.row("–", "all CPU, libyara's too, 200 bodies again and again, against libyara alone", "no goal", "%v", known)
}

// matchAll gives the CPU time in ms that matching takes of a message: with all rules, and
// as we use them.
func (b *bench) matchAll(matchers []*rules.Matcher, mail []string) (raw, inside float64) {
	dump := filepath.Join(b.t.TempDir(), "dump")
	if out, err := exec.Command(b.load, append(mail, "-dump", dump)...).CombinedOutput(); err != nil {
		b.t.Fatalf("dump: %v\n%s", err, out)
	}
	defer os.RemoveAll(dump)
	files, err := filepath.Glob(dump + "/*")
	if err != nil || len(files) == 0 {
		b.t.Fatalf("nothing dumped: %v", err)
	}
	var objects [][]rules.Object // by message
	for _, f := range files {
		msg, err := os.ReadFile(f)
		if err != nil {
			b.t.Fatal(err)
		}
		objects = append(objects, objectsOf(msg))
	}
	match := func() float64 {
		var next atomic.Int64
		var all sync.WaitGroup
		began := cpuTime()
		for _, m := range matchers {
			all.Go(func() {
				for i := next.Add(1) - 1; i < int64(len(objects)); i = next.Add(1) - 1 {
					for _, o := range objects[i] {
						if _, err := m.Match(o, time.Minute); err != nil {
							b.t.Error(err)
						}
					}
				}
			})
		}
		all.Wait()
		return (cpuTime() - began).Seconds() * 1000 / float64(len(files))
	}
	runtime.GC() // not while it is measured
	inside = match()
	for _, message := range objects {
		for i := range message { // only programs are matched with all rules
			message[i].Data = append([]byte("MZ"), message[i].Data...)
		}
	}
	return match(), inside
}

// row9 counts.
func (b *bench) row9() {
	const ordinary = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>hello</p>\r\n--b--\r\n"
	set := b.ruleSet()
	defer set.Close()
	e, err := scan.NewEngine(set, scan.Options{})
	if err != nil {
		b.t.Fatal(err)
	}
	defer e.Close()
	v, err := e.Run(context.Background(), scan.Job{Raw: []byte(ordinary)})
	if err != nil {
		b.t.Fatal(err)
	}
	b.row("9", "scan calls per ordinary message (text + HTML)", "≤ 2, its distinct leaves", "%d", v.Objects)
}

// ruleSet loads the rules that the server has.
func (b *bench) ruleSet() *rules.Set {
	config := rules.Config{Dirs: []string{b.sets}, Builtin: true}
	compiled, _, err := rules.Build(context.Background(), config, filepath.Join(b.Dir, "own-rules"))
	if err != nil {
		b.t.Fatal(err)
	}
	set, err := rules.Load(compiled)
	if err != nil {
		b.t.Fatal(err)
	}
	return set
}

// collector keeps what a scan would match.
type collector struct {
	seen    map[string]bool
	objects []rules.Object
}

func (c *collector) Object(path, formats []string, f unpack.File) bool {
	if len(f.Data) == 0 || c.seen[string(f.Data)] {
		return false
	}
	c.seen[string(f.Data)] = true
	c.objects = append(c.objects, rules.Object{Data: bytes.Clone(f.Data), Name: f.Name})
	return true
}

func (c *collector) Unchecked([]string, error) func() { return func() {} }

func objectsOf(msg []byte) []rules.Object {
	tree := mime.Parse(msg, mime.Limits{})
	arena := unpack.NewArena(nil, 0)
	defer arena.Close()
	walker := unpack.NewWalker(arena, unpack.Limits{})
	c := &collector{seen: map[string]bool{}}
	for leaf := range tree.Leaves() {
		for r := range tree.Readings(leaf) {
			data := r.Raw
			release := func() {}
			if data == nil {
				data, release, _ = arena.Hold(r.Data, 1<<40, 0)
			}
			walker.Walk(context.Background(), nil, unpack.File{Name: r.Name, Data: data}, c)
			release()
		}
	}
	return c.objects
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (b *bench) row10() {
	var r ratio
	for range rounds {
		cost := func(size string, messages int) float64 {
			f := b.ours("u%d@load.test", b.fresh(2*messages, "-mix", "fixed", "-size", size, "-sessions", "2", "-messages", strconv.Itoa(messages))...)
			return f.Proc.CPU / f.Load.Mean
		}
		r.add(cost("10000000", 8), cost("1000000", 80))
	}
	b.row("10", "CPU per MB, a 10 MB message against a 1 MB one", "≤ 1.1", "%v", r)
}

// row11 watches memory while 32 sessions deliver.
func (b *bench) row11() {
	peak := b.peakMemory(func() {
		b.ours("u%d@load.test", "-mix", "mail", "-sessions", "32", "-messages", "30", "-infected", "0.02")
	})
	b.row("11", fmt.Sprintf("peak memory in MiB, anonymous and shared, 32 sessions, mail mix (compiled rules: %.1f MiB)", b.rulesMiB()), "≤ 160 + rules", "%.0f", peak)
}

// row12 watches memory while attachments of 100 MB and 2 GB come in, each of which
// is infected in its last bytes.
func (b *bench) row12() {
	many := b.peakMemory(func() {
		var sessions sync.WaitGroup
		for i := range 8 {
			sessions.Go(func() { b.sendLarge(fmt.Sprintf("u%d@load.test", i), 100_000_000, false) })
		}
		sessions.Wait()
	})
	one := b.peakMemory(func() { b.sendLarge("u0@load.test", 2_000_000_000, false) })
	zipped := b.peakMemory(func() { b.sendLarge("u1@load.test", 2_000_000_000, true) })
	b.row("12", fmt.Sprintf("peak memory in MiB, 8 sessions with attachments of 100 MB; one of 2 GB; a zip with one of 2 GB (compiled rules: %.1f MiB)", b.rulesMiB()),
		"≤ 224 + rules", "%.0f; %.0f; %.0f", many, one, zipped)
}

// bombs measures how long ordinary mail takes while others send files that unpack
// to 10 GB, without a pause.
func (b *bench) bombs() {
	packed, err := filepath.Glob("../../scan/unpack/testdata/bombs/*")
	if err != nil || len(packed) == 0 {
		b.t.Fatalf("no bombs: %v", err)
	}
	ordinary := []string{"-mix", "small", "-sessions", "2", "-messages", "200"}
	var p99 ratio
	exploded := 0
	for range rounds {
		before := b.ours("u%d@load.test", ordinary...)
		stop := make(chan bool)
		var senders sync.WaitGroup
		var count atomic.Int64
		for k := range 2 {
			senders.Go(func() {
				for i := k; ; i++ {
					select {
					case <-stop:
						return
					default:
						b.sendBomb(fmt.Sprintf("u9%d@load.test", k), packed[i%len(packed)], count.Add(1))
					}
				}
			})
		}
		time.Sleep(3 * time.Second) // until the first ones count as slow
		during := b.ours("u%d@load.test", ordinary...)
		close(stop)
		senders.Wait()
		exploded += int(count.Load())
		p99.add(during.Load.P99, before.Load.P99)
	}
	b.row("–", fmt.Sprintf("p99 latency of small mail while two sessions send bombs (%d in all), against before", exploded), "no goal", "%v", p99)
}

// sendBomb delivers a message with a file that unpacks to more than it should.
func (b *bench) sendBomb(rcpt, name string, number int64) {
	file, err := os.ReadFile(name)
	if err != nil {
		b.t.Error(err)
		return
	}
	c, err := dialLMTP(b.LMTP)
	if err != nil {
		b.t.Error(err)
		return
	}
	defer c.conn.Close()
	for _, reply := range c.deliver(fmt.Sprintf("X-Number: %d\r\n", number)+photo(file), rcpt) {
		if !strings.HasPrefix(reply, "250 ") {
			b.t.Errorf("%s: %s", filepath.Base(name), reply)
		}
	}
	c.say("QUIT")
}

// sendLarge delivers a message with an infected attachment of n bytes, which has to
// be cut.
func (b *bench) sendLarge(rcpt string, n int64, zipped bool) {
	c, err := dialLMTP(b.LMTP)
	if err != nil {
		b.t.Error(err)
		return
	}
	defer c.conn.Close()
	for _, command := range []string{"MAIL FROM:<a@example.com>", "RCPT TO:<" + rcpt + ">", "DATA"} {
		c.say(command)
	}
	writeLarge(c.conn, n, zipped)
	io.WriteString(c.conn, ".\r\n")
	local, _, _ := strings.Cut(rcpt, "@")
	dir := filepath.Join(b.Dir, "mail/load.test", local)
	files, _ := filepath.Glob(filepath.Join(dir, "Maildir/new/*"))
	began := time.Now()
	if reply := c.reply(); !strings.HasPrefix(reply, "250 ") {
		b.t.Errorf("%s: %s", rcpt, reply)
	}
	b.t.Logf("%s: %d MB, zip %v: answered after %.1f s", rcpt, n/1e6, zipped, time.Since(began).Seconds())
	if got, _ := filepath.Glob(filepath.Join(dir, "Maildir/new/*")); len(got) != len(files)+2 {
		b.t.Errorf("%s: %d files, want the report and the message without its attachment", rcpt, len(got)-len(files))
	}
}

// peakMemory runs f and gives the most memory in MiB that the server and its workers
// had meanwhile, anonymous and shared.
func (b *bench) peakMemory(f func()) float64 {
	shared := meminfo("Shmem")
	stop, peak := make(chan bool), make(chan float64)
	go func() {
		most := 0.0
		for {
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(20 * time.Millisecond):
				now := meminfo("Shmem") - shared
				for _, pid := range append(children(b.t, b.serve.Process.Pid), b.serve.Process.Pid) {
					now += field(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss_Anon")
				}
				most = max(most, now)
			}
		}
	}()
	f()
	stop <- true
	return <-peak / 1024
}

// rulesMiB is the size of the compiled rules.
func (b *bench) rulesMiB() float64 {
	compiled, _ := filepath.Glob(filepath.Join(b.Dir, "own-rules", "*"))
	var size int64
	for _, f := range compiled {
		if info, err := os.Stat(f); err == nil {
			size = max(size, info.Size())
		}
	}
	return float64(size) / (1 << 20)
}

func meminfo(name string) float64 { return field("/proc/meminfo", name) }

// field reads a line "NAME: 123 kB" of a file in /proc.
func field(file, name string) float64 {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			v, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return v
		}
	}
	return 0
}

// print writes the table as it stands in the documentation.
func (b *bench) print() {
	fmt.Printf("\n| # | what, with the service on for every recipient unless said | goal | median (min–max) of %d rounds |\n| --- | --- | --- | --- |\n", rounds)
	for _, r := range b.table {
		fmt.Printf("| %s | %s | %s | %s |\n", r.number, r.what, r.goal, r.got)
	}
}
