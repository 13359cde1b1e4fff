package web

import (
	"errors"
	"net/http"
	"net/url"

	"golang.org/x/text/language"

	"kiyome/accounts"
)

// Errors that members see as a page of their own. All others are faults of ours.
var (
	errMissing = errors.New("no such page")             // also what is another's
	errCross   = errors.New("posted from another site") // http.CrossOriginProtection
	errRequest = errors.New("not a form of ours")
	errMany    = errors.New("too many pages")
	errEnded   = errors.New("no session")
)

// failures says what a member sees of each error. Why it is so stands in the log only.
var failures = []struct {
	err    error
	status int
	text   string
}{
	{errMissing, http.StatusNotFound, "error.missing"},
	{errCross, http.StatusForbidden, "error.cross"},
	{errRequest, http.StatusBadRequest, "error.request"},
	{errMany, http.StatusTooManyRequests, "error.many"},
}

// exchange is one request and its answer.
type exchange struct {
	*http.Request
	w        http.ResponseWriter
	s        *Server
	language string
	me       *member // who is logged in; nil for nobody
}

// answer makes a handler: it settles the language, and answers for an error.
func (s *Server) answer(handle func(*exchange) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{Request: r, w: w, s: s, language: s.languageOf(r)}
		if r.Method == http.MethodGet && x.switchLanguage() {
			return
		}
		if err := handle(x); err != nil {
			x.fail(err)
		}
	}
}

// fail shows what went wrong, as far as it is the member's to know.
func (x *exchange) fail(err error) {
	if errors.Is(err, errEnded) {
		to := "/login"
		if _, err := x.Cookie(cookieName); err == nil {
			to += "?ended=1" // there was one
		}
		x.redirect(to)
		return
	}
	status, text := http.StatusServiceUnavailable, "error.fault"
	for _, f := range failures {
		if errors.Is(err, f.err) {
			status, text = f.status, f.text
		}
	}
	if status >= 500 {
		x.s.Log.Error("page", x.facts("what", x.Method+" "+x.URL.Path, "err", err)...)
	} else if status == http.StatusForbidden {
		x.s.Log.Warn("page", x.facts("what", "refused a form of another site", "origin", x.Header.Get("Origin"))...)
	}
	if err := x.show(status, "error", "error.title", text); err != nil {
		x.s.Log.Error("page", "err", err)
	}
}

// facts are what each line of the log has, and more.
func (x *exchange) facts(more ...any) []any {
	all := []any{"client", x.s.client(x.Request)}
	if x.me != nil {
		all = append(all, "address", x.me.Account.Address)
	}
	return append(all, more...)
}

// redirect goes on to a page of ours. Its address is one of this host, whatever Host says.
func (x *exchange) redirect(to string) { http.Redirect(x.w, x.Request, to, http.StatusSeeOther) }

// form reads what was posted.
func (x *exchange) form() (url.Values, error) {
	if err := x.ParseForm(); err != nil {
		return nil, errRequest
	}
	return x.PostForm, nil
}

const languageCookie = "__Host-language"

// browsers finds the language that a browser asks for, in the order of languages.
var browsers = language.NewMatcher([]language.Tag{language.Japanese, language.English})

// languageOf gives what was chosen in this browser, else what the browser asks for.
func (s *Server) languageOf(r *http.Request) string {
	if l, ok := chosen(r); ok {
		return l
	}
	tags, _, err := language.ParseAcceptLanguage(r.Header.Get("Accept-Language"))
	if err != nil || len(tags) == 0 {
		return s.Language
	}
	if _, i, sure := browsers.Match(tags...); sure > language.No {
		return languages[i]
	}
	return s.Language
}

// chosen gives the language that was chosen in this browser.
func chosen(r *http.Request) (string, bool) {
	c, err := r.Cookie(languageCookie)
	if err != nil || c.Value != "ja" && c.Value != "en" {
		return "", false
	}
	return c.Value, true
}

// switchLanguage does what the switch on every page asks for, and shows the page again.
func (x *exchange) switchLanguage() bool {
	q := x.URL.Query()
	l := q.Get("lang")
	if l != "ja" && l != "en" {
		return false
	}
	x.choose(l)
	q.Del("lang")
	to := url.URL{Path: "/" + trimSlashes(x.URL.Path), RawQuery: q.Encode()}
	x.redirect(to.String())
	return true
}

// trimSlashes keeps a path from being taken for a host: //other.example/.
func trimSlashes(path string) string {
	for len(path) > 0 && (path[0] == '/' || path[0] == '\\') {
		path = path[1:]
	}
	return path
}

// choose remembers a language in the browser; "" forgets it.
func (x *exchange) choose(language string) {
	age := 365 * 24 * 60 * 60
	if language == "" {
		age = -1
	}
	http.SetCookie(x.w, &http.Cookie{Name: languageCookie, Value: language, Path: "/", MaxAge: age,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// A member is the account that is logged in, as it is now.
type member struct{ accounts.Outlook }

// life is the event by which the account was added for the last time. What was before
// may have been another's.
func (m member) life() (last uint64) {
	for _, e := range m.Events {
		if e.Kind == accounts.Added {
			last = e.Seq
		}
	}
	return last
}

// open reports whether the account is there and not closed.
func (m member) open() bool { return m.Account.Address != "" && m.Account.Closed.IsZero() }

// members lets in who is logged in, and looks whether the account is still theirs.
func (s *Server) members(handle func(*exchange) error) func(*exchange) error {
	return func(x *exchange) error {
		me, err := s.who(x)
		if err != nil {
			return err
		}
		x.me = me
		if _, ok := chosen(x.Request); !ok {
			x.language = me.Account.Language
		}
		return handle(x)
	}
}

// who gives the member of a session. A session whose account was closed, added anew or
// given to another owner is ended.
func (s *Server) who(x *exchange) (*member, error) {
	ctx := x.Context()
	address := s.sessions.GetString(ctx, keyAddress)
	switch {
	case address == "":
		return nil, errEnded
	case !s.byMember.allow(address, s.now()):
		return nil, errMany
	}
	o, err := s.Accounts.Outlook(address)
	if err != nil && !errors.Is(err, accounts.ErrUnknown) {
		return nil, err
	}
	me := &member{o}
	if err == nil && me.open() && int64(me.life()) == s.sessions.GetInt64(ctx, keyLife) && me.Account.Owner == s.sessions.GetString(ctx, keyOwner) {
		return me, nil
	}
	s.Log.Info("page", "what", "session ended: the account is not what it was", "address", address, "client", s.client(x.Request))
	if err := s.sessions.Destroy(ctx); err != nil {
		return nil, err
	}
	return nil, errEnded
}
