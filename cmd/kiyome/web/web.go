// Package web is the page on which members look after the virus check of their
// mailboxes: what each service costs and how it stands, subscribing, pausing and
// cancelling, and what was removed from their mail.
//
// A member logs in with the address and the password of the mailbox, which the
// operator's IMAP server proves; nothing of a password is kept. Everything that the
// page says of fees, and of what a change leads to, comes from package accounts,
// and changes go the same way as those of the commands.
//
// It listens on this machine only, behind a proxy that does TLS, and trusts nobody:
// every request looks the account up again, what others post is refused, and whatever
// somebody can do often is bounded. Pages have no script.
package web

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/alexedwards/scs/v2"
	"golang.org/x/net/netutil"

	"kiyome/accounts"
)

// Accounts is what the page does with the account database.
type Accounts interface {
	Lookup(address string) (accounts.Account, error)
	Outlook(address string) (accounts.Outlook, error)
	ListOwner(owner string, f func(accounts.Account) bool) error
	Change(address string, k accounts.Kind, s accounts.Service, at time.Time, by string) (accounts.Account, error)
	Set(address string, c accounts.Settings, by string) (accounts.Account, error)
	// Removals gives what was removed from the mail of an account since it is its owner's.
	Removals(address string, before uint64, limit int) ([]accounts.Removal, error)
}

// Prover proves that a password is that of a mailbox.
type Prover interface {
	// Prove gives nil if it is. client is who asks. It may keep nothing of the password.
	Prove(ctx context.Context, client netip.Addr, address, password string) error
}

// Options configures a Server.
type Options struct {
	Accounts Accounts
	KeptDays int // for how long removals are kept; 0: none are
	Prover   Prover
	Outbound bool           // outgoing mail comes by, so that checking it can be offered
	Provider string         // whose page it is
	Language string         // where the browser does not say which
	Timezone *time.Location // of the times that are shown
	Proxies  []netip.Prefix // whose X-Forwarded-For is believed
	Log      *slog.Logger

	now      func() time.Time // of sessions and limits; for tests
	failTime time.Duration    // see logIn; for tests
}

// Limits of what is asked of the server.
const (
	connectionsMax = 512      // at once
	headerMax      = 16 << 10 // bytes
	bodyMax        = 8 << 10  // bytes
	readTime       = 10 * time.Second
	familyMax      = 200 // mailboxes of one owner that are shown
	proofsMax      = 128 // passwords that are proved at once
	memberBurst    = 100 // pages of one member
	memberEvery    = 200 * time.Millisecond
	changeBurst    = 20 // changes of one mailbox: each stays in the ledger for ever
	changeEvery    = time.Hour
	changeWait     = 2 * time.Second // for the changes of others
)

// Server serves the page.
type Server struct {
	Options
	pages    pages
	sessions *scs.SessionManager
	families *families
	http     *http.Server

	byAddress *limits // log-ins
	byClient  *limits
	byMember  *limits       // pages
	byMailbox *limits       // changes
	proofs    chan struct{} // has room for the proofs under way
	changing  chan struct{} // has room for one change, from looking at an account to having changed it
}

// New makes a server that does not listen yet.
func New(o Options) (*Server, error) {
	if o.now == nil {
		o.now = time.Now
	}
	if o.failTime == 0 {
		o.failTime = failTime
	}
	all, err := readPages(o.Timezone)
	if err != nil {
		return nil, err
	}
	s := &Server{
		Options:   o,
		pages:     all,
		sessions:  newSessions(newSessionStore(sessionsMax, o.now)),
		families:  newFamilies(o.Accounts, o.now),
		byAddress: newLimits(limitPlaces, addressEvery, addressBurst),
		byClient:  newLimits(limitPlaces, clientEvery, clientBurst),
		byMember:  newLimits(limitPlaces, memberEvery, memberBurst),
		byMailbox: newLimits(limitPlaces, changeEvery, changeBurst),
		proofs:    make(chan struct{}, proofsMax),
		changing:  make(chan struct{}, 1),
	}
	s.http = &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: readTime,
		ReadTimeout:       readTime,
		WriteTimeout:      requestTime,
		IdleTimeout:       requestTime,
		MaxHeaderBytes:    headerMax,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// Serve serves a listener until Shutdown.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(netutil.LimitListener(l, connectionsMax)); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown lets running requests finish until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	return errors.Join(err, s.http.Close())
}

// Handler answers all that can be asked.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range []struct {
		pattern string
		handle  func(*exchange) error
	}{
		{"GET /{$}", s.members(s.overview)},
		{"GET /login", s.logInForm},
		{"POST /login", s.logIn},
		{"POST /logout", s.logOut},
		{"GET /mailboxes/{address}", s.members(s.mailbox)},
		{"GET /mailboxes/{address}/{service}/{action}", s.members(s.confirm)},
		{"POST /mailboxes/{address}/{service}/{action}", s.members(s.change)},
		{"GET /removals", s.members(s.removals)},
		{"GET /history", s.members(s.history)},
		{"GET /settings", s.members(s.settings)},
		{"POST /settings", s.members(s.set)},
		{"/", func(*exchange) error { return errMissing }},
	} {
		mux.HandleFunc(r.pattern, s.answer(r.handle))
	}
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(s.answer(func(*exchange) error { return errCross }))
	all := http.NewServeMux()
	all.Handle("GET /style.css", static("style.css", "text/css; charset=utf-8"))
	all.Handle("GET /icon.svg", static("icon.svg", "image/svg+xml"))
	all.Handle("/", http.MaxBytesHandler(s.sessions.LoadAndSave(cross.Handler(mux)), bodyMax))
	return guarded(all)
}

// guarded sets what browsers are told about every answer. Nothing may be loaded from
// elsewhere, run, framed or kept.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Robots-Tag", "noindex")
		next.ServeHTTP(w, r)
	})
}

// static serves a file that is the same for everybody.
func static(name, kind string) http.Handler {
	content, err := fs.ReadFile(files, "files/"+name)
	if err != nil {
		panic(err) // it is compiled in
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "public, max-age=3600")
		w.Write(content)
	})
}
