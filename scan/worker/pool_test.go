package worker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kiyome/rules"
	"kiyome/scan"
)

// newPool starts a pool of fake engines, and sees to it that it leaves nothing
// behind.
func newPool(t testing.TB, o Options) *Pool {
	t.Helper()
	checkLeaks(t)
	o.Scratch, o.Log = t.TempDir(), slog.New(slog.DiscardHandler)
	if o.fake == "" {
		o.fake = "plain"
	}
	if o.Engine.Limits.Time == 0 {
		o.Engine.Limits.Time = 30 * time.Second
	}
	p, err := NewPool(t.Context(), rules.Compiled{}, rules.Config{}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// checkLeaks compares what this process holds when the test ends with now.
func checkLeaks(t testing.TB) {
	t.Helper()
	held := func() (fds, goroutines, processes int) {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(open), runtime.NumGoroutine(), len(children(t, os.Getpid()))
	}
	fds, goroutines, processes := held()
	t.Cleanup(func() {
		var f, g, p int
		for range 500 {
			if f, g, p = held(); f <= fds && g <= goroutines && p <= processes {
				return
			}
			time.Sleep(10 * time.Millisecond) // for goroutines that are about to end
		}
		t.Errorf("descriptors %d, then %d; goroutines %d, then %d; processes %d, then %d", fds, f, goroutines, g, processes, p)
	})
}

// children lists the processes that pid started.
func children(t testing.TB, pid int) []string {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, name := range lists {
		text, err := os.ReadFile(name)
		if err == nil { // else the thread has ended
			all = append(all, strings.Fields(string(text))...)
		}
	}
	slices.Sort(all)
	return all
}

// message makes a message of lines for the fake engine.
func message(t testing.TB, lines ...string) *scan.Message {
	t.Helper()
	m, err := scan.NewMessage([]byte(strings.Join(lines, "\r\n") + "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// waitFor waits until something holds.
func waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for range 2000 {
		if holds() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

// memory is a Memory that forgets with the test.
type memory struct{ sync.Map }

func (m *memory) Add(key [32]byte, value string) error { m.Store(key, value); return nil }
func (m *memory) Get(key [32]byte) (string, bool) {
	v, ok := m.Load(key)
	s, _ := v.(string)
	return s, ok
}
func (m *memory) Len() int {
	n := 0
	m.Range(func(any, any) bool { n++; return true })
	return n
}

func TestVerdictsComeBackFromTheWorkers(t *testing.T) {
	p := newPool(t, Options{Workers: 2})
	for _, tt := range []struct {
		name string
		m    *scan.Message
		want scan.Outcome
	}{
		{"clean", message(t, "nothing"), scan.Clean},
		{"finding", message(t, "find"), scan.ReportOnly},
		{"empty", emptyMessage(t), scan.Clean},
		{"in memory, mapped", message(t, "find", strings.Repeat("x", 100_000)), scan.ReportOnly},
		{"on disk", message(t, "find", strings.Repeat("x", 3<<20)), scan.ReportOnly},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := p.Scan(t.Context(), tt.m)
			if err != nil {
				t.Fatal(err)
			}
			if v.Outcome != tt.want {
				t.Errorf("outcome %q, want %q", v.Outcome, tt.want)
			}
		})
	}
	if s := p.Stats(); s.Scans != 5 || s.Died+s.Killed != 0 || s.Workers != 2 || s.Busy != 0 || s.Rules != "fake" {
		t.Errorf("stats: %+v", s)
	}
}

func emptyMessage(t testing.TB) *scan.Message {
	m, err := scan.NewMessage(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestDeathWithoutAFindingIsTriedAgainThenGivenUp(t *testing.T) {
	for _, how := range []string{"die", "segv", "hang", "spin"} {
		t.Run(how, func(t *testing.T) {
			poison := &memory{}
			o := Options{Workers: 1, Poison: poison, grace: time.Millisecond}
			o.Engine.Limits.Time = 100 * time.Millisecond
			p := newPool(t, o)
			m := message(t, how)
			if v, err := p.Scan(t.Context(), m); !errors.Is(err, ErrDied) {
				t.Fatalf("first: %v, %v; want ErrDied", v, err)
			}
			key, err := m.Digest()
			if _, known := poison.Get(key); err != nil || !known {
				t.Errorf("the digest was not kept: %v", err)
			}
			v, err := p.Scan(t.Context(), m)
			if err != nil || v.Outcome != scan.Clean || len(v.Unchecked) != 1 || v.Unchecked[0].Reason != "worker" {
				t.Errorf("second: %+v, %v; want delivered, not checked", v, err)
			}
			// The pool goes on.
			if v, err := p.Scan(t.Context(), message(t, "find")); err != nil || v.Outcome != scan.ReportOnly {
				t.Errorf("after it: %+v, %v", v, err)
			}
			waitFor(t, "three deaths", func() bool { s := p.Stats(); return s.Died+s.Killed == 3 })
			if s := p.Stats(); s.Poisonous != 1 || s.Poison != 1 || s.Scans != 1 || time.Since(s.Answered) > time.Minute {
				t.Errorf("stats: %+v", s)
			}
		})
	}
}

func TestPolicyCutsWhatEndedItsWorkerBefore(t *testing.T) {
	poison := &memory{}
	o := Options{Workers: 1, Poison: poison}
	o.Engine.Policy.Unchecked = "cut"
	p := newPool(t, o)
	m := message(t, "die")
	if _, err := p.Scan(t.Context(), m); !errors.Is(err, ErrDied) {
		t.Fatalf("first: %v, want ErrDied", err)
	}
	v, err := p.Scan(t.Context(), m)
	if err != nil || v.Outcome != scan.ReportOnly || len(v.Findings) != 1 || v.Findings[0].Policy != "worker" {
		t.Errorf("second: %+v, %v; want the report only", v, err)
	}
}

func TestAWorkerThatSpeaksOutOfTurnIsKilled(t *testing.T) {
	for _, tt := range []struct {
		name, first string
		outcome     scan.Outcome // of the first message; "": the scan failed
	}{
		{"two verdicts", `twice V{"outcome":"clean"}`, ""},
		{"a finding of no name", `say F{"malware":"a\r\nb"}`, ""},
		{"a finding behind the end", `say F{"malware":"a","range":{"start":1,"end":1000000}}`, ""},
		{"a finding that is taken back", `say F{"malware":"a"}`, scan.ReportOnly},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPool(t, Options{Workers: 1})
			v, err := p.Scan(t.Context(), message(t, tt.first))
			if tt.outcome == "" && !errors.Is(err, ErrDied) || tt.outcome != "" && (err != nil || v.Outcome != tt.outcome) {
				t.Errorf("got %+v, %v", v, err)
			}
			// What was said ahead is not the answer for the next message.
			v, err = p.Scan(t.Context(), message(t, "find"))
			if err != nil || v.Outcome != scan.ReportOnly {
				t.Errorf("the next message: %+v, %v", v, err)
			}
			waitFor(t, "deaths", func() bool { return p.Stats().Died > 0 })
		})
	}
}

func TestAVerdictBetweenTwoMessagesIsNoAnswer(t *testing.T) {
	p := newPool(t, Options{Workers: 1})
	if v, err := p.Scan(t.Context(), message(t, `later V{"outcome":"clean"}`)); err != nil || v.Outcome != scan.Clean {
		t.Fatalf("got %+v, %v", v, err)
	}
	waitFor(t, "the frame", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return errors.Is(p.idle[0].silent(), errAhead)
	})
	if v, err := p.Scan(t.Context(), message(t, "find")); err != nil || v.Outcome != scan.ReportOnly {
		t.Errorf("the next message: %+v, %v", v, err)
	}
	waitFor(t, "a death", func() bool { return p.Stats().Died == 1 })
}

func TestAnswerThatWaitsForItsMessageIsRefused(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	f := os.NewFile(uintptr(fds[0]), "worker")
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w := &process{conn: c.(*net.UnixConn), in: bufio.NewReader(c)}
	if err := w.silent(); err != nil {
		t.Errorf("nothing was said: %v", err)
	}
	if err := (server{fd: fds[1]}).send(kindVerdict, scan.Verdict{Outcome: scan.Clean}); err != nil {
		t.Fatal(err)
	}
	if err := w.silent(); !errors.Is(err, errAhead) {
		t.Errorf("in the socket: %v", err)
	}
	if _, err := w.in.Peek(1); err != nil {
		t.Fatal(err)
	}
	if err := w.silent(); !errors.Is(err, errAhead) {
		t.Errorf("in the buffer: %v", err)
	}
}

func TestFindingsSurviveTheWorker(t *testing.T) {
	for _, how := range []string{"die", "segv", "hang", "hog", "lie"} {
		t.Run(how, func(t *testing.T) {
			o := Options{Workers: 1, Memory: 128 << 20, Poison: &memory{}, grace: time.Millisecond}
			if how == "hang" {
				o.Engine.Limits.Time = 100 * time.Millisecond
			}
			p := newPool(t, o)
			v, err := p.Scan(t.Context(), message(t, "find", how))
			if err != nil {
				t.Fatal(err)
			}
			if v.Outcome != scan.ReportOnly || len(v.Findings) != 1 || v.Findings[0].Malware != eicar.Malware {
				t.Errorf("got %+v, want the finding and the report only", v)
			}
			if len(v.Unchecked) != 1 || v.Unchecked[0].Reason != "worker" {
				t.Errorf("unchecked %+v, want the worker", v.Unchecked)
			}
			if p.o.Poison.Len() != 0 {
				t.Error("its digest was kept")
			}
		})
	}
}

// A message that no worker was given has not ended any.
func TestAMessageThatWasNotHandedOverIsNotRemembered(t *testing.T) {
	poison := &memory{}
	p := newPool(t, Options{Workers: 2, Poison: poison})
	p.mu.Lock()
	for _, w := range p.idle {
		w.conn.Close()
	}
	p.mu.Unlock()
	if v, err := p.Scan(t.Context(), message(t, "hello")); err != nil || v.Outcome != scan.Clean || len(v.Unchecked) > 0 {
		t.Errorf("got %+v, %v; want it scanned by a third worker", v, err)
	}
	if poison.Len() > 0 {
		t.Error("it is remembered as one that ends workers")
	}
}

func TestMemoryHogDiesAtItsLimit(t *testing.T) {
	p := newPool(t, Options{Workers: 1, Memory: 128 << 20})
	if _, err := p.Scan(t.Context(), message(t, "hog")); !errors.Is(err, ErrDied) {
		t.Errorf("got %v, want ErrDied", err)
	}
}

func TestFaultOfTheEngineIsNoDeath(t *testing.T) {
	p := newPool(t, Options{Workers: 1})
	before := pid(t, p)
	if _, err := p.Scan(t.Context(), message(t, "fault")); err == nil || !strings.Contains(err.Error(), "a fault of the engine") {
		t.Errorf("got %v, want the fault", err)
	}
	if v, err := p.Scan(t.Context(), message(t, "find", "full")); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("a full disk after a finding: %+v, %v; want the whole message to be had again", v, err)
	}
	if v, err := p.Scan(t.Context(), message(t, "find", "fault")); err != nil || v.Outcome != scan.ReportOnly {
		t.Errorf("with a finding: %+v, %v; want the report only", v, err)
	}
	if after := pid(t, p); after != before {
		t.Errorf("worker %d was replaced by %d", before, after)
	}
}

// pid asks a worker for its process.
func pid(t testing.TB, p *Pool) int {
	t.Helper()
	v, err := p.Scan(t.Context(), message(t, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(v.Odd[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A worker cannot fill the disk: its scratch file takes what the limits allow for
// the message at hand, and no more.
func TestScratchFileIsBoundedForEachMessage(t *testing.T) {
	o := Options{Workers: 1}
	o.Engine.Limits.Unpack.Unpacked = 1 << 20
	p := newPool(t, o)
	large := strings.Repeat("x", 8<<20)
	for _, tt := range []struct {
		grow int
		rest string
		want string
	}{
		{1<<20 + 64<<20, "", "<nil>"},
		{3<<20 + 64<<20, "", unix.EFBIG.Error()},
		{3<<20 + 64<<20, large, "<nil>"},
		{3<<20 + 64<<20, "", unix.EFBIG.Error()},
	} {
		v, err := p.Scan(t.Context(), message(t, fmt.Sprint("grow ", tt.grow), tt.rest))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(v.Odd[0], tt.want) {
			t.Errorf("%d bytes beside a message of %d: %s, want %s", tt.grow, len(tt.rest), v.Odd[0], tt.want)
		}
	}
}

func TestWorkersAreConfined(t *testing.T) {
	p := newPool(t, Options{Workers: 1})
	v, err := p.Scan(t.Context(), message(t, "try"))
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Odd) < 14 {
		t.Errorf("only %d attempts", len(v.Odd))
	}
	for _, tried := range v.Odd {
		if !strings.HasSuffix(tried, unix.EPERM.Error()) {
			t.Errorf("%s", tried)
		}
	}
	// A large message lies in a file, and may not be written to either.
	v, err = p.Scan(t.Context(), message(t, "try", strings.Repeat("x", 10<<20)))
	if err != nil {
		t.Fatal(err)
	}
	if last := v.Odd[len(v.Odd)-1]; !strings.HasSuffix(last, unix.EBADF.Error()) {
		t.Error(last)
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid(t, p)))
	if err != nil || len(threads) < 2 {
		t.Fatalf("threads: %q, %v", threads, err)
	}
	for _, name := range threads {
		status, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n"} {
			if !bytes.Contains(status, []byte(want)) {
				t.Errorf("%s: no %q", name, want)
			}
		}
	}
}

func TestWorkersKnowNothingOfTheirSurroundings(t *testing.T) {
	t.Setenv("SECRET", "do not tell")
	// A socket that this process was given, as by socket activation, and that it
	// would hand on.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	p := newPool(t, Options{Workers: 1})
	n := pid(t, p)
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", n))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(env, []byte("SECRET")) {
		t.Errorf("environment: %q", env)
	}
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n))
	if err != nil || len(fds) > 12 {
		t.Errorf("%d descriptors, %v", len(fds), err)
	}
	for _, fd := range fds {
		to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", n, fd.Name()))
		if err == nil && strings.HasPrefix(to, "socket:") && fd.Name() != fmt.Sprint(socketFD) {
			t.Errorf("descriptor %s is %s", fd.Name(), to)
		}
	}
}

func TestSlowScansDoNotHoldUpOthers(t *testing.T) {
	for _, workers := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			p := newPool(t, Options{Workers: workers, Slow: 20 * time.Millisecond})
			// More slow messages than there are workers, each of which takes long.
			const slow = 5
			done := make(chan error, slow)
			for range slow {
				m := message(t, "sleep 400ms", "find")
				go func() {
					v, err := p.Scan(t.Context(), m)
					if err == nil && v.Outcome != scan.ReportOnly {
						err = fmt.Errorf("verdict %+v", v)
					}
					done <- err
				}()
			}
			waitFor(t, "all lanes are taken", func() bool { return p.Stats().Slow >= p.laneCount() })
			for range 10 {
				if _, err := p.Scan(t.Context(), message(t, "nothing")); err != nil {
					t.Fatal(err)
				}
			}
			if len(done) == slow {
				t.Error("the others waited for all slow ones")
			}
			for range slow {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			waitFor(t, "as many workers as before", func() bool { return p.Stats().Workers == workers })
			if s := p.Stats(); s.Died+s.Killed != 0 || s.Slow != 0 || s.TurnSlow < slow || s.TurnedOut == 0 || s.Want != workers {
				t.Errorf("stats: %+v", s)
			}
		})
	}
}

// Long before a scan counts as slow, a small message does not wait for it; a large one does.
func TestSmallMessagesDoNotWaitForLongScans(t *testing.T) {
	for _, workers := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			p := newPool(t, Options{Workers: workers, Slow: time.Hour})
			ctx, cancel := context.WithCancel(t.Context())
			var endless sync.WaitGroup
			for range workers {
				m := message(t, "sleep 1h")
				endless.Go(func() { p.Scan(ctx, m) })
			}
			waitFor(t, "all workers are busy", func() bool { return p.Stats().Busy == workers })
			large := message(t, "nothing"+strings.Repeat(" ", smallMessage))
			short, stop := context.WithTimeout(t.Context(), 3*hurry)
			defer stop()
			if _, err := p.Scan(short, large); !errors.Is(err, ErrBusy) {
				t.Errorf("a large message: %v", err)
			}
			for range 3 {
				if _, err := p.Scan(t.Context(), message(t, "nothing")); err != nil {
					t.Fatal(err)
				}
			}
			cancel()
			endless.Wait()
			waitFor(t, "no scan is slow", func() bool { return p.Stats().Slow == 0 })
			if s := p.Stats(); s.Died+s.Killed != 0 {
				t.Errorf("stats: %+v", s)
			}
		})
	}
}

func TestScansWithoutEndDoNotHoldUpOthers(t *testing.T) {
	for _, workers := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			p := newPool(t, Options{Workers: workers, Slow: 20 * time.Millisecond})
			ctx, cancel := context.WithCancel(t.Context())
			var endless sync.WaitGroup
			for range workers + 2 {
				m := message(t, "hang")
				endless.Go(func() {
					if _, err := p.Scan(ctx, m); !errors.Is(err, context.Canceled) {
						t.Errorf("endless: %v", err)
					}
				})
			}
			waitFor(t, "a lane is taken", func() bool { return p.Stats().Slow > 0 })
			for range 5 {
				soon, stop := context.WithTimeout(t.Context(), 10*time.Second)
				if _, err := p.Scan(soon, message(t, "nothing")); err != nil {
					t.Error(err)
				}
				stop()
			}
			cancel()
			endless.Wait()
		})
	}
}

func TestScratchFileIsEmptiedBetweenJobs(t *testing.T) {
	p := newPool(t, Options{Workers: 1})
	if _, err := p.Scan(t.Context(), message(t, "keep")); err != nil {
		t.Fatal(err)
	}
	if st, err := p.idle[0].scratch.Stat(); err != nil || st.Size() != 0 {
		t.Errorf("%d bytes are left, %v", st.Size(), err)
	}
}

func TestRequestsAreServedInTheirOrder(t *testing.T) {
	p := newPool(t, Options{Workers: 1})
	var mu sync.Mutex
	var order []int
	var all sync.WaitGroup
	for i := range 6 {
		m := message(t, "sleep 100ms")
		all.Go(func() {
			if _, err := p.Scan(t.Context(), m); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			order = append(order, i)
		})
		waitFor(t, "the request is queued", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.busy+len(p.queue) > i || p.stats.Scans > 0
		})
	}
	all.Wait()
	if !slices.IsSorted(order) {
		t.Errorf("order %v", order)
	}
}

func TestContextEndsTheWait(t *testing.T) {
	p := newPool(t, Options{Workers: 1})
	running := make(chan error)
	m := message(t, "sleep 10s")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := p.Scan(ctx, m)
		running <- err
	}()
	waitFor(t, "the worker is busy", func() bool { return p.Stats().Busy == 1 })
	short, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	if _, err := p.Scan(short, message(t, "nothing")); !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting: %v, want ErrBusy", err)
	}
	cancel()
	if err := <-running; !errors.Is(err, context.Canceled) {
		t.Errorf("running: %v, want the context's error", err)
	}
	if _, err := p.Scan(t.Context(), message(t, "nothing")); err != nil {
		t.Error(err)
	}
}

func TestWorkersAreRecycled(t *testing.T) {
	p := newPool(t, Options{Workers: 1, Jobs: 3})
	first := pid(t, p)
	waitFor(t, "another worker", func() bool { return pid(t, p) != first })
	if s := p.Stats(); s.Recycled == 0 || s.Died != 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestDeadWorkersAreReplaced(t *testing.T) {
	p := newPool(t, Options{Workers: 2})
	for range 3 {
		n := pid(t, p)
		// A worker does as if SIGTERM were nothing: it is for the server.
		for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} {
			if err := unix.Kill(n, sig); err != nil {
				t.Fatal(err)
			}
		}
		if again := pid(t, p); again != n {
			t.Errorf("worker %d ended at a signal", n)
		}
		died := p.Stats().Died
		if err := unix.Kill(n, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the death is noticed and made good", func() bool {
			s := p.Stats()
			return s.Died == died+1 && s.Workers == 2
		})
	}
}

func TestSwapUnderLoadLosesNothing(t *testing.T) {
	p := newPool(t, Options{Workers: 2})
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for range 4 {
		m := message(t, "find", "sleep 1ms")
		load.Go(func() {
			for ctx.Err() == nil {
				if v, err := p.Scan(t.Context(), m); err != nil || v.Outcome != scan.ReportOnly {
					t.Errorf("%+v, %v", v, err)
				}
			}
		})
	}
	for range 3 {
		if err := p.Swap(t.Context(), rules.Compiled{}, rules.Config{}); err != nil {
			t.Error(err)
		}
	}
	stop()
	load.Wait()
	waitFor(t, "two workers", func() bool { return len(children(t, os.Getpid())) == 2 })
	if s := p.Stats(); s.Died != 0 || s.Workers != 2 {
		t.Errorf("stats: %+v", s)
	}
}

func TestSwapToWhatDoesNotStartChangesNothing(t *testing.T) {
	p := newPool(t, Options{Workers: 2})
	before := p.Stats()
	p.o.fake = "broken"
	if err := p.Swap(t.Context(), rules.Compiled{}, rules.Config{}); err == nil || !strings.Contains(err.Error(), "no rules here") {
		t.Errorf("got %v, want why", err)
	}
	if after := p.Stats(); after != before {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if _, err := p.Scan(t.Context(), message(t, "nothing")); err != nil {
		t.Error(err)
	}
}

func TestPoolThatCannotStartSaysWhy(t *testing.T) {
	checkLeaks(t)
	for _, tt := range []struct{ name, want string }{{"broken", "no rules here"}} {
		_, err := NewPool(t.Context(), rules.Compiled{}, rules.Config{}, Options{Workers: 2, fake: tt.name, Scratch: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
	// The real thing, with rules that are not there.
	if _, err := NewPool(t.Context(), rules.Compiled{Path: "/nowhere"}, rules.Config{}, Options{Workers: 1, Scratch: t.TempDir()}); err == nil {
		t.Error("started without rules")
	}
	if _, err := NewPool(t.Context(), rules.Compiled{}, rules.Config{}, Options{Workers: 1, Scratch: "/nowhere"}); err == nil {
		t.Error("started without a place for scratch files")
	}
}

func TestCloseLetsRunningScansFinish(t *testing.T) {
	p := newPool(t, Options{Workers: 1})
	running, waiting := make(chan error), make(chan error)
	for _, c := range []chan error{running, waiting} {
		m := message(t, "sleep 300ms")
		go func() {
			_, err := p.Scan(t.Context(), m)
			c <- err
		}()
		waitFor(t, "it has come", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.busy == 1 && (c == running || len(p.queue) == 1)
		})
	}
	go func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	if err := <-waiting; !errors.Is(err, ErrClosed) {
		t.Errorf("waiting: %v, want ErrClosed", err)
	}
	if err := <-running; err != nil {
		t.Errorf("running: %v", err)
	}
	if _, err := p.Scan(t.Context(), message(t, "nothing")); !errors.Is(err, ErrClosed) {
		t.Errorf("after: %v, want ErrClosed", err)
	}
	if err := p.Swap(t.Context(), rules.Compiled{}, rules.Config{}); !errors.Is(err, ErrClosed) {
		t.Errorf("swap: %v, want ErrClosed", err)
	}
}

func TestCloseDoesNotWaitForEver(t *testing.T) {
	p := newPool(t, Options{Workers: 1})
	running := make(chan error)
	m := message(t, "hang")
	go func() {
		_, err := p.Scan(t.Context(), m)
		running <- err
	}()
	waitFor(t, "it runs", func() bool { return p.Stats().Busy == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("close: %v", err)
	}
	if err := <-running; err == nil {
		t.Error("a verdict out of nothing")
	}
}

func TestScanFileTellsTheName(t *testing.T) {
	p := newPool(t, Options{Workers: 1})
	v, err := p.ScanFile(t.Context(), "holiday.exe", message(t, "name"))
	if err != nil || len(v.Odd) != 1 || v.Odd[0] != "file holiday.exe" {
		t.Errorf("got %+v, %v", v, err)
	}
}
