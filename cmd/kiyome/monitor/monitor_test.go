package monitor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"kiyome/lmtp"
)

var update = flag.Bool("update", false, "rewrite the table of metrics in README.md")

// fake is a subject that is as the test wants it.
type fake struct {
	numbers      Numbers
	alive, ready error
}

func (f fake) Numbers() Numbers                { return f.numbers }
func (f fake) Alive(context.Context) error     { return f.alive }
func (f fake) Ready(ctx context.Context) error { return f.ready }

// busy is a server that has counted something of everything.
func busy() fake {
	s := lmtp.NewServer(lmtp.Options{}).Stats()
	s.Findings = map[string]int64{"kiyome": 2, "policy": 1}
	s.Scan.Counts[0], s.Scan.Counts[3], s.Scan.Counts[len(lmtp.Bounds)] = 1, 2, 4
	return fake{numbers: Numbers{Version: "v1", Libyara: "4.2.3", Inbound: s, Outbound: s}}
}

func TestMetricsFollowTheRulesForNames(t *testing.T) {
	problems, err := testutil.GatherAndLint(Registry(busy()))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, m := range metrics {
		if (m.value == nil) == (m.times == nil) || !strings.HasSuffix(m.help, ".") {
			t.Errorf("%s: a row that is not whole", m.name)
		}
	}
}

// Every row of the table comes out of a scrape, of a server that has done nothing too.
func TestEveryMetricIsThereFromTheBeginning(t *testing.T) {
	for name, subject := range map[string]fake{"new": {numbers: Numbers{Inbound: lmtp.NewServer(lmtp.Options{}).Stats()}}, "busy": busy()} {
		families, err := Registry(subject).Gather()
		if err != nil {
			t.Fatal(err)
		}
		there := map[string]bool{}
		for _, f := range families {
			there[f.GetName()] = true
		}
		for _, m := range metrics {
			if !there[m.name] && !(name == "new" && m.name == "kiyome_findings_total") { // whose sets are not known yet
				t.Errorf("%s: %s is missing", name, m.name)
			}
		}
		if !there["go_goroutines"] || !there["process_open_fds"] {
			t.Errorf("%s: nothing of the process or of the Go runtime", name)
		}
	}
}

func TestHistogramsAreCumulative(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(collector{busy()})
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "kiyome_scan_duration_seconds" {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		if h.GetSampleCount() != 7 || h.GetBucket()[0].GetCumulativeCount() != 1 || h.GetBucket()[16].GetCumulativeCount() != 3 {
			t.Errorf("%v", h)
		}
		return
	}
	t.Error("no histogram")
}

func TestHealth(t *testing.T) {
	for _, tt := range []struct {
		name, path string
		subject    fake
		status     int
		says       string
	}{
		{"alive", "/healthz", fake{}, 200, "alive\n"},
		{"stuck", "/healthz", fake{alive: errors.New("no connection is accepted")}, 503, "not alive\nno connection is accepted\n"},
		{"ready", "/readyz", fake{}, 200, "ready\n"},
		{"two reasons", "/readyz", fake{ready: errors.Join(errors.New("workers: none runs"), errors.New("rules: none"))}, 503, "not ready\nworkers: none runs\nrules: none\n"},
		{"index", "/", fake{}, 200, "/metrics"},
		{"nothing", "/accounts", fake{}, 404, ""},
		{"profile", "/debug/pprof/goroutine?debug=1", fake{}, 200, "goroutine profile"},
		{"metrics", "/metrics", busy(), 200, `kiyome_findings_total{direction="inbound",set="kiyome"} 2`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			r := httptest.NewRequest("GET", tt.path, nil)
			r.RemoteAddr = "127.0.0.1:1"
			handler(tt.subject).ServeHTTP(w, r)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) {
				t.Errorf("%d, %.300s; want %d, %q", w.Code, w.Body, tt.status, tt.says)
			}
		})
	}
}

func TestProfilesAreForThisMachine(t *testing.T) {
	for peer, want := range map[string]int{"127.0.0.1:5": 200, "[::1]:5": 200, "[::ffff:127.0.0.1]:5": 200, "@": 200, "192.0.2.1:5": 403, "[2001:db8::1]:5": 403} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/debug/pprof/cmdline", nil)
		r.RemoteAddr = peer
		handler(fake{}).ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d, want %d", peer, w.Code, want)
		}
	}
}

func TestOnlyReading(t *testing.T) {
	w := httptest.NewRecorder()
	handler(fake{}).ServeHTTP(w, httptest.NewRequest("POST", "/readyz", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestServeOnAUnixSocket(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/monitor.sock")
	if err != nil {
		t.Fatal(err)
	}
	s := New(fake{}, slog.New(slog.DiscardHandler))
	ended := make(chan error)
	go func() { ended <- s.Serve(l) }()
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", l.Addr().String())
	}}}
	r, err := c.Get("http://kiyome/readyz")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil || string(text) != "ready\n" {
		t.Errorf("%q, %v", text, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// readme is where people read about the metrics.
const readme = "../../../README.md"

// The README lists every metric in the words of /metrics.
func TestReadmeListsEveryMetric(t *testing.T) {
	var b strings.Builder
	b.WriteString("| metric | labels | |\n| --- | --- | --- |\n")
	for _, m := range metrics {
		var labels []string
		for _, l := range m.labels {
			labels = append(labels, "`"+l+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.name, strings.Join(labels, ", "), m.help)
	}
	const start, end = "### Metrics\n\n", "\nOf the process and the Go runtime"
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), start)
	got, tail, found := strings.Cut(rest, end)
	if !ok || !found {
		t.Fatalf("README.md has no part that starts with %q and ends before %q", start, end)
	}
	if got != b.String() && *update {
		if err := os.WriteFile(readme, []byte(head+start+b.String()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != b.String() {
		t.Error("README.md lists other metrics than there are; go test ./cmd/kiyome/monitor -run Readme -update mends it")
	}
	known := map[string]bool{}
	for _, m := range metrics {
		known[m.name] = true
	}
	for _, name := range regexp.MustCompile(`kiyome_[a-z_]+`).FindAllString(tail, -1) {
		if !known[strings.TrimSuffix(name, "_bucket")] && !known[strings.TrimSuffix(name, "_count")] {
			t.Errorf("README.md speaks of %s, which is no metric", name)
		}
	}
}
