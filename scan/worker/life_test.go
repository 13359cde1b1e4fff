package worker

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kiyome/rules"
	"kiyome/scan"
	"kiyome/testdata"
)

// serverMarker makes the test program a server with two workers, for tests of
// what happens when it is killed.
const serverMarker = "KIYOME_TEST_SERVER"

// serveForTest starts two workers in the folder, names them, and waits for the end.
func serveForTest(folder string) {
	p, err := NewPool(context.Background(), rules.Compiled{}, rules.Config{}, Options{Workers: 2, Scratch: folder, fake: "plain"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, w := range p.idle {
		fmt.Println(w.cmd.Process.Pid)
	}
	// One of them has no time to notice that nobody is there any more.
	m, err := scan.NewMessage([]byte("hang\r\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { _, _ = p.Scan(context.Background(), m) }() // it has no end
	for p.Stats().Busy == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond) // until it hangs
	fmt.Println("ready")
	select {}
}

func TestWorkersEndWithTheirServer(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), serverMarker+"="+t.TempDir())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []string
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
		pids = append(pids, lines.Text())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if len(pids) != 2 {
		t.Fatalf("workers: %q", pids)
	}
	for _, pid := range pids {
		waitFor(t, "worker "+pid+" ends", func() bool { return !runs(pid) })
	}
}

// runs reports whether a process is there and not only waiting to be reaped.
func runs(pid string) bool {
	text, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

func TestCommandIsNoWorkerBecauseOfItsEnvironment(t *testing.T) {
	t.Setenv(marker, "")
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if isSocket(int(file.Fd())) || isSocket(-1) {
		t.Error("a file is taken for a socket")
	}
}

// realPool starts workers with the rules that come with kiyome.
func realPool(t testing.TB, workers int) *Pool {
	t.Helper()
	set, _, err := rules.Build(t.Context(), rules.Config{Builtin: true}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPool(t.Context(), set, rules.Config{}, Options{Workers: workers, Scratch: t.TempDir()})
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

func TestTheRealEngineWorksWithinItsWalls(t *testing.T) {
	p := realPool(t, 1)
	for _, tt := range []struct {
		name string
		want scan.Outcome
	}{
		{"clean", scan.Clean}, {"attachment", scan.Cleaned}, {"zip", scan.Cleaned}, {"body", scan.ReportOnly},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := scan.NewMessage(testdata.MustMail(tt.name))
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			v, err := p.Scan(t.Context(), m)
			if err != nil || v.Outcome != tt.want || v.Rules == "" {
				t.Errorf("got %+v, %v; want %q", v, err, tt.want)
			}
		})
	}
	// A large attachment goes through the scratch file, and leaves nothing there.
	text := "From: a@example.com\r\nSubject: x\r\nContent-Transfer-Encoding: base64\r\nContent-Type: application/x-y\r\n\r\n" +
		strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 200_000)
	large, err := scan.NewMessage([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	defer large.Close()
	v, err := p.Scan(t.Context(), large)
	if err != nil || v.Outcome != scan.Clean || len(v.Unchecked) > 0 || v.Bytes < 11_000_000 {
		t.Errorf("large: %+v, %v", v, err)
	}
	st, err := p.idle[0].scratch.Stat()
	if err != nil || st.Size() != 0 {
		t.Errorf("scratch file of %d bytes, %v", st.Size(), err)
	}
	if s := p.Stats(); s.Scans != 5 || s.Died+s.Killed > 0 {
		t.Errorf("stats: %+v", s)
	}
}

func TestPasswordsReachTheWorkersWithTheNextSwap(t *testing.T) {
	p := realPool(t, 1)
	zipped, err := os.ReadFile("../../testdata/containers/zip-aes.zip")
	if err != nil {
		t.Fatal(err)
	}
	m, err := scan.NewMessage(zipped)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, tt := range []struct {
		passwords []string
		unchecked int
	}{{nil, 1}, {[]string{"kiyome"}, 0}, {[]string{"other"}, 1}} {
		p.SetPasswords(tt.passwords)
		if err := p.Swap(t.Context(), p.gen.start.Rules, p.gen.start.Config); err != nil {
			t.Fatal(err)
		}
		v, err := p.ScanFile(t.Context(), "a.zip", m)
		if err != nil || len(v.Unchecked) != tt.unchecked {
			t.Errorf("with %q: %+v, %v", tt.passwords, v, err)
		}
	}
}

// mail makes an ordinary message of about n bytes.
func mailOf(n int) []byte {
	head := "From: a@example.com\r\nTo: b@example.jp\r\nSubject: x\r\nContent-Type: text/plain\r\n\r\n"
	line := "The quick brown fox jumps over the lazy dog, and so on and so forth.\r\n"
	return []byte(head + strings.Repeat(line, max(1, (n-len(head))/len(line))))
}

// BenchmarkScan compares the pool with the engine in this process.
func BenchmarkScan(b *testing.B) {
	set, _, err := rules.Build(b.Context(), rules.Config{Builtin: true}, b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	loaded, err := rules.Load(set)
	if err != nil {
		b.Fatal(err)
	}
	defer loaded.Close()
	e, err := scan.NewEngine(loaded, scan.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	p := realPool(b, 1)
	type scanner interface {
		Scan(ctx context.Context, m *scan.Message) (*scan.Verdict, error)
	}
	for _, size := range []int{2 << 10, 20 << 10, 2 << 20} {
		m, err := scan.NewMessage(mailOf(size))
		if err != nil {
			b.Fatal(err)
		}
		defer m.Close()
		for _, way := range []struct {
			name string
			scanner
		}{{"engine", e}, {"pool", p}} {
			b.Run(fmt.Sprintf("%s/%d", way.name, size), func(b *testing.B) {
				for b.Loop() {
					if _, err := way.Scan(b.Context(), m); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
