package web

import (
	"hash/maphash"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limits bounds how often something is done for each of any number of names. Names
// share a fixed number of places by a secret hash, so that it needs no more memory
// however many names come: two that meet in one place share its rate.
type limits struct {
	every time.Duration // one more after this time
	burst int           // so many at once
	seed  maphash.Seed
	mu    sync.Mutex
	place []*rate.Limiter
}

func newLimits(places int, every time.Duration, burst int) *limits {
	return &limits{every: every, burst: burst, seed: maphash.MakeSeed(), place: make([]*rate.Limiter, places)}
}

// allow counts one for a name, and reports whether it is not too many.
func (l *limits) allow(name string, now time.Time) bool {
	i := maphash.String(l.seed, name) % uint64(len(l.place))
	l.mu.Lock()
	if l.place[i] == nil {
		l.place[i] = rate.NewLimiter(rate.Every(l.every), l.burst)
	}
	limiter := l.place[i]
	l.mu.Unlock()
	return limiter.AllowN(now, 1)
}

// client gives the address of who asks: that of the connection or, where a proxy of
// ours connects, the last in X-Forwarded-For that is no proxy's. What stands before
// it there the client may have made up.
func (s *Server) client(r *http.Request) netip.Addr {
	ip := peer(r)
	if !s.isProxy(ip) {
		return ip
	}
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(forwarded) - 1; i >= 0; i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(forwarded[i]))
		if err != nil {
			break
		}
		if ip = next.Unmap().WithZone(""); !s.isProxy(ip) {
			break
		}
	}
	return ip
}

// peer gives the address of the connection; none for a unix socket, to which only
// proxies have access.
func peer(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	ip, _ := netip.ParseAddr(host)
	return ip.Unmap().WithZone("")
}

func (s *Server) isProxy(ip netip.Addr) bool {
	if !ip.IsValid() {
		return true
	}
	for _, p := range s.Proxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// household is what one line of a provider's customer has: an IPv4 address, or the /64 of an
// IPv6 address (RFC 6177), within which one can choose freely.
func household(ip netip.Addr) string {
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}
