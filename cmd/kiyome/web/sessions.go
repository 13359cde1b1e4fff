package web

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
)

const (
	idleTime    = 30 * time.Minute
	sessionTime = 12 * time.Hour
	sessionsMax = 20_000          // in memory; about 500 bytes each
	requestTime = time.Minute     // no request takes longer
	cookieName  = "__Host-kiyome" // __Host-: this host's only, and over TLS only (RFC 6265bis, section 4.1.3)
)

// newSessions makes what keeps sessions: in memory, so that a restart ends them.
func newSessions(store *sessionStore) *scs.SessionManager {
	m := scs.New()
	m.Store = store
	m.IdleTimeout, m.Lifetime = idleTime, sessionTime
	m.HashTokenInStore = true
	m.Cookie.Name = cookieName
	m.Cookie.Secure = true // browsers take localhost without TLS for secure
	m.Cookie.HttpOnly = true
	m.Cookie.SameSite = http.SameSiteStrictMode
	m.Cookie.Persist = false // it goes with the browser
	return m
}

// sessionStore keeps a bounded number of sessions. When it is full, the one that is
// nearest to its end makes room: as a rule, that was idle for longest.
//
// A session that was ended stays so: a request that had begun before may still save it.
type sessionStore struct {
	max int
	now func() time.Time

	mu  sync.Mutex
	all map[string]storedSession
}

type storedSession struct {
	data []byte // nil: ended
	end  time.Time
}

func newSessionStore(max int, now func() time.Time) *sessionStore {
	return &sessionStore{max: max, now: now, all: make(map[string]storedSession)}
}

// Find gives the data of a session that has not ended.
func (s *sessionStore) Find(token string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.all[token]
	if !ok || one.data == nil || !s.now().Before(one.end) {
		return nil, false, nil
	}
	return one.data, true, nil
}

// Commit saves a session, unless it was ended.
func (s *sessionStore) Commit(token string, data []byte, end time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one, ok := s.all[token]; ok && one.data == nil && s.now().Before(one.end) {
		return nil
	}
	if _, ok := s.all[token]; !ok && len(s.all) >= s.max {
		s.makeRoom()
	}
	s.all[token] = storedSession{data, end}
	return nil
}

// Delete ends a session.
func (s *sessionStore) Delete(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.all[token]; ok {
		s.all[token] = storedSession{end: s.now().Add(requestTime)}
	}
	return nil
}

// makeRoom drops all that have ended, and at least one.
func (s *sessionStore) makeRoom() {
	first := ""
	for token, one := range s.all {
		if !s.now().Before(one.end) {
			delete(s.all, token)
		} else if first == "" || one.end.Before(s.all[first].end) {
			first = token
		}
	}
	if len(s.all) >= s.max {
		delete(s.all, first)
	}
}

// What a session holds.
const (
	keyAddress = "address" // who logged in
	keyLife    = "life"    // the event by which the account was added: another account of that name is another's
	keyOwner   = "owner"   // of the account at log-in
	keyResult  = "result"  // of a change, told on the next page: a key of texts
)

// begin starts a session for a member. The token is a new one: one that somebody
// else planted before is worth nothing.
func (s *Server) begin(ctx context.Context, who member) error {
	if err := errors.Join(s.sessions.Clear(ctx), s.sessions.RenewToken(ctx)); err != nil {
		return err
	}
	s.sessions.Put(ctx, keyAddress, who.Account.Address)
	s.sessions.Put(ctx, keyLife, int64(who.life()))
	s.sessions.Put(ctx, keyOwner, who.Account.Owner)
	return nil
}
