// Package monitor is where programs ask how the server is: metrics for Prometheus,
// health for what restarts or by-passes it, and profiles.
//
// It counts nothing itself. What it tells are the counters of the rooms, taken when
// it is asked; which metrics there are stands in one table (metrics.go). No answer
// holds an address or anything else of a message.
package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

// Subject is the server that is watched.
type Subject interface {
	// Numbers gives what the metrics are made of. It is quick.
	Numbers() Numbers
	// Alive reports what a restart would mend: loops and locks that do not come round.
	Alive(ctx context.Context) error
	// Ready reports, joined, what keeps mail from being delivered and checked now.
	Ready(ctx context.Context) error
}

// Server answers on any number of sockets.
type Server struct {
	http *http.Server
}

// connections bounds what can be asked at a time on one socket.
const connections = 64

// New makes a server; Serve starts it.
func New(s Subject, log *slog.Logger) *Server {
	return &Server{&http.Server{
		Handler:           handler(s),
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      2 * time.Minute, // profiles take as long as they are asked to
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}
}

// Serve answers on a socket until Close.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(netutil.LimitListener(l, connections)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends at once: nothing that is told here is worth waiting for.
func (s *Server) Close() error { return s.http.Close() }

// Registry has all metrics of the subject, of its process and of the Go runtime.
func Registry(s Subject) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

const index = `kiyome
/metrics       for Prometheus
/healthz       503 when it has to be restarted
/readyz        503, with the reasons, when mail is not delivered or not checked
/debug/pprof/  profiles, for this machine only
`

func handler(s Subject) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(Registry(s), promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 30 * time.Second}))
	mux.Handle("GET /healthz", health("alive", s.Alive))
	mux.Handle("GET /readyz", health("ready", s.Ready))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, index) })
	for path, profile := range map[string]http.HandlerFunc{
		"": pprof.Index, "cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
	} {
		mux.Handle("GET /debug/pprof/"+path, local(profile))
	}
	return mux
}

// checkTime bounds a check of health: who asks gives up after ten seconds, mostly.
const checkTime = 9 * time.Second

// health answers 200 with a word, or 503 with the reasons, one a line.
func health(word string, check func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), checkTime)
		defer cancel()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := check(ctx); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(w, "not %s\n%v\n", word, err)
			return
		}
		fmt.Fprintln(w, word)
	}
}

// local refuses other machines: profiles cost time, and tell how the program is built.
func local(next http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err == nil && !peer.Addr().Unmap().IsLoopback() { // a Unix socket has no such address
			http.Error(w, "profiles are for this machine only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	}
}
