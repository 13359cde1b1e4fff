package web

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"kiyome/accounts"
)

// Limits of log-ins. Besides these, Dovecot slows down who fails.
const (
	addressMax  = 1100 // bytes; accounts.ParseAddress has limits of its own
	passwordMax = 1024 // bytes

	limitPlaces  = 1 << 16
	addressBurst = 10 // log-ins with one address
	addressEvery = 30 * time.Second
	clientBurst  = 60 // log-ins from one client, behind which there may be many (RFC 6888)
	clientEvery  = 3 * time.Second

	// failTime is how long a log-in that is refused takes at least, so that the time tells
	// nothing of why.
	failTime = time.Second
)

// logInForm shows the form, and why it is shown.
func (s *Server) logInForm(x *exchange) error {
	if _, err := s.who(x); err == nil {
		x.redirect("/")
		return nil
	}
	text := ""
	for _, why := range []string{"ended", "out"} {
		if x.URL.Query().Has(why) {
			text = "login." + why
		}
	}
	return x.showLogIn(http.StatusOK, loginView{Status: text})
}

// loginView is the form with what was entered, but for the password.
type loginView struct {
	Address string
	Status  string // what happened; a key of texts
	Failed  string // why it failed
}

func (x *exchange) showLogIn(status int, v loginView) error {
	return x.show(status, "login", "login.title", v)
}

// logIn proves a password, and begins a session. Whether an address is unknown, or the
// password is not its own, the answer is the same and takes the same time.
func (s *Server) logIn(x *exchange) error {
	begun := s.now()
	form, err := x.form()
	if err != nil {
		return err
	}
	address, password := strings.TrimSpace(form.Get("address")), form.Get("password")
	if len(address) > addressMax || len(password) > passwordMax {
		return errRequest
	}
	name := "" // what is no address may be a password in the wrong field: it is not logged
	refuse := func(status int, why, text string) error {
		s.Log.Warn("page", "what", "log-in refused", "why", why, "address", name, "client", s.client(x.Request))
		return x.showLogIn(status, loginView{Address: clip(address), Failed: text})
	}
	if !s.byClient.allow(household(s.client(x.Request)), begun) {
		x.w.Header().Set("Retry-After", "60")
		return refuse(http.StatusTooManyRequests, "too many from this client", "login.many")
	}
	name, err = s.nameOf(address)
	switch {
	case errors.Is(err, accounts.ErrMalformed) || strings.ContainsAny(password, "\r\n\x00") || password == "":
		s.wait(x.Context(), begun)
		return refuse(http.StatusUnauthorized, "malformed", "login.wrong")
	case err != nil:
		return err
	case !s.byAddress.allow(name, begun):
		x.w.Header().Set("Retry-After", "60")
		return refuse(http.StatusTooManyRequests, "too many for this address", "login.many")
	}
	who, err := s.prove(x.Context(), s.client(x.Request), name, password)
	switch {
	case errors.Is(err, errWrongPassword):
		s.wait(x.Context(), begun)
		return refuse(http.StatusUnauthorized, "wrong password, or no account", "login.wrong")
	case err != nil:
		s.Log.Error("page", "what", "passwords cannot be proved", "address", name, "client", s.client(x.Request), "err", err)
		return x.showLogIn(http.StatusServiceUnavailable, loginView{Address: clip(address), Failed: "login.down"})
	}
	if err := s.begin(x.Context(), who); err != nil {
		return err
	}
	s.Log.Info("page", "what", "log-in", "address", who.Account.Address, "client", s.client(x.Request))
	x.redirect("/")
	return nil
}

// clip keeps an address that is no address from filling the page.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if runes := []rune(s); len(runes) > 260 {
		s = string(runes[:260])
	}
	return s
}

// wait makes a log-in that is refused take its time.
func (s *Server) wait(ctx context.Context, begun time.Time) {
	select {
	case <-time.After(s.failTime - s.now().Sub(begun)):
	case <-ctx.Done():
	}
}

// nameOf gives the address under which a mailbox logs in: that of the account or, where
// there is none, its canonical form.
func (s *Server) nameOf(address string) (string, error) {
	a, err := s.Accounts.Lookup(address)
	if err == nil {
		return a.Address, nil
	}
	if !errors.Is(err, accounts.ErrUnknown) {
		return "", err
	}
	return accounts.ParseAddress(address)
}

// prove asks for the password, whether there is an account or not, and then for the
// account. The error is errWrongPassword if one of them is not right.
func (s *Server) prove(ctx context.Context, client netip.Addr, address, password string) (member, error) {
	select {
	case s.proofs <- struct{}{}:
		defer func() { <-s.proofs }()
	case <-time.After(readTime):
		return member{}, errors.New("too many passwords are being proved")
	case <-ctx.Done():
		return member{}, ctx.Err()
	}
	if err := s.Prover.Prove(ctx, client, address, password); err != nil {
		return member{}, err
	}
	o, err := s.Accounts.Outlook(address)
	m := member{o}
	switch {
	case errors.Is(err, accounts.ErrUnknown):
		return member{}, errWrongPassword
	case err != nil:
		return member{}, err
	case !m.open():
		return member{}, errWrongPassword
	}
	return m, nil
}

// logOut ends the session.
func (s *Server) logOut(x *exchange) error {
	address := s.sessions.GetString(x.Context(), keyAddress)
	if err := s.sessions.Destroy(x.Context()); err != nil {
		return err
	}
	if address != "" {
		s.Log.Info("page", "what", "log-out", "address", address, "client", s.client(x.Request))
	}
	x.redirect("/login?out=1")
	return nil
}
