package web

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"kiyome/accounts"
)

// overview shows the services of the mailbox that is logged in, and those of its
// family where it is the main member's.
func (s *Server) overview(x *exchange) error {
	v := s.mailboxView(*x.me, true)
	if x.me.isMain() {
		v.Family = s.familyView(*x.me)
	}
	return x.show(http.StatusOK, "services", "services.title", v)
}

// mailbox shows the services of one mailbox.
func (s *Server) mailbox(x *exchange) error {
	m, err := s.of(x)
	if err != nil {
		return err
	}
	own := m.Account.Address == x.me.Account.Address
	if own {
		x.redirect("/")
		return nil
	}
	return x.show(http.StatusOK, "services", "services.title", s.mailboxView(m, own))
}

// isMain reports whether the member may change what the others of the owner have.
func (m member) isMain() bool { return m.Account.Main && m.Account.Owner != "" }

// of gives the mailbox that a request is about: one's own or, for the main member, one
// of the same owner. Another's is missing, as one that there is not.
func (s *Server) of(x *exchange) (member, error) {
	address, err := accounts.ParseAddress(x.PathValue("address"))
	if err != nil || address != x.PathValue("address") {
		return member{}, errMissing
	}
	if address == x.me.Account.Address {
		return *x.me, nil
	}
	if !x.me.isMain() {
		return member{}, errMissing
	}
	o, err := s.Accounts.Outlook(address)
	switch m := (member{o}); {
	case errors.Is(err, accounts.ErrUnknown):
		return member{}, errMissing
	case err != nil:
		return member{}, err
	case !m.open() || m.Account.Owner != x.me.Account.Owner:
		return member{}, errMissing
	default:
		return m, nil
	}
}

// mailboxView is one mailbox with its services.
type mailboxView struct {
	Address  string
	Own      bool
	Services []serviceView
	Closing  []accounts.Pending // of the mailbox itself
	Family   *familyView
}

// serviceView is one service of a mailbox, and what can be done with it.
type serviceView struct {
	accounts.Standing
	Address  string
	Month    accounts.Month
	Next     accounts.Month
	NextFee  *accounts.Charge
	Pending  []accounts.Pending
	Actions  []actionView
	Possible bool // to subscribe
	Again    bool // it was had this month, which is charged, and could be had again
	Extra    int64
}

// actionView is a button.
type actionView struct {
	Name     string // see actions
	Text     string // of the button; a key of texts
	Path     string
	Danger   bool
	Standing accounts.Standing // after it
}

func (s *Server) mailboxView(m member, own bool) mailboxView {
	v := mailboxView{Address: m.Account.Address, Own: own, Closing: pendingOf(m.Account, "")}
	for _, standing := range m.Services {
		if one := s.serviceView(m, standing); s.shown(one) {
			v.Services = append(v.Services, one)
		}
	}
	return v
}

// shown reports whether a service is worth telling of: checking outgoing mail is none
// where that does not come by, unless the mailbox has it.
func (s *Server) shown(v serviceView) bool {
	return v.Service != accounts.Outbound || s.Outbound || v.State.Subscribed || v.Pending != nil
}

func (s *Server) serviceView(m member, standing accounts.Standing) serviceView {
	v := serviceView{Standing: standing, Address: m.Account.Address, Month: m.Month, Next: m.Month.Next(), NextFee: standing.Next,
		Pending: pendingOf(m.Account, standing.Service)}
	if o, c := standing.Offer, standing.Charge; o != nil && c != nil {
		v.Again, v.Extra = true, o.Fee-c.Fee
	}
	for _, a := range actions {
		p, ok := m.prospect(a.kind, standing.Service)
		if !ok {
			continue
		}
		v.Possible = v.Possible || a.kind == accounts.Subscribed
		v.Actions = append(v.Actions, actionView{Name: a.name, Text: "action." + a.text(standing), Danger: a.kind == accounts.Cancelled,
			Path: mailboxPath(m.Account.Address) + "/" + string(standing.Service) + "/" + a.name, Standing: p.Standing})
	}
	return v
}

// mailboxPath is where a mailbox is shown.
func mailboxPath(address string) string { return "/mailboxes/" + url.PathEscape(address) }

// pendingOf gives what is entered for later for a service; "" is the mailbox itself.
func pendingOf(a accounts.Account, service accounts.Service) []accounts.Pending {
	return slices.DeleteFunc(slices.Clone(a.Pending), func(p accounts.Pending) bool { return p.Service != service })
}

// prospect gives what a change would lead to, if it is possible.
func (m member) prospect(k accounts.Kind, service accounts.Service) (accounts.Prospect, bool) {
	i := slices.IndexFunc(m.Changes, func(p accounts.Prospect) bool { return p.Kind == k && p.Service == service })
	if i < 0 {
		return accounts.Prospect{}, false
	}
	return m.Changes[i], true
}

// standing gives how a mailbox stands with a service.
func (m member) standing(service accounts.Service) accounts.Standing {
	i := slices.IndexFunc(m.Services, func(s accounts.Standing) bool { return s.Service == service })
	return m.Services[i]
}

// A proposal is a change that a member is asked to confirm.
type proposal struct {
	of     member
	action action
	accounts.Prospect
}

// proposed reads from the path what is to be done with which service of which mailbox.
func (s *Server) proposed(x *exchange) (p proposal, possible bool, err error) {
	service := accounts.Service(x.PathValue("service"))
	i := slices.IndexFunc(actions, func(a action) bool { return a.name == x.PathValue("action") })
	if i < 0 || service != accounts.Inbound && service != accounts.Outbound {
		return proposal{}, false, errMissing
	}
	m, err := s.of(x)
	if err != nil {
		return proposal{}, false, err
	}
	if !s.shown(s.serviceView(m, m.standing(service))) {
		return proposal{}, false, errMissing
	}
	p = proposal{of: m, action: actions[i], Prospect: accounts.Prospect{Service: service}}
	if prospect, ok := m.prospect(actions[i].kind, service); ok {
		p.Prospect, possible = prospect, true
	}
	return p, possible, nil
}

// before is how the mailbox stands with the service.
func (p proposal) before() accounts.Standing { return p.of.standing(p.Service) }

// text is what texts call it.
func (p proposal) text() string { return p.action.text(p.before()) }

// back is where the mailbox of a proposal is shown.
func (p proposal) back(x *exchange) string {
	if p.of.Account.Address == x.me.Account.Address {
		return "/"
	}
	return mailboxPath(p.of.Account.Address)
}

// mark stands for all that the member is told before confirming. A form with
// another mark was shown when things stood differently, or was posted before.
func (p proposal) mark() string {
	told, err := json.Marshal(struct {
		Address   string
		Kind      accounts.Kind
		Service   accounts.Service
		Last      uint64 // event
		Charge    *accounts.Charge
		Next      *accounts.Charge
		TakenBack []accounts.Pending
	}{p.of.Account.Address, p.Kind, p.Service, p.of.Events[len(p.of.Events)-1].Seq,
		p.Standing.Charge, p.Standing.Next, p.TakenBack})
	if err != nil {
		panic(err) // plain values
	}
	sum := sha256.Sum256(told)
	return hex.EncodeToString(sum[:16])
}

// confirmView is the page that asks whether a change is really wanted.
type confirmView struct {
	Address string
	Service accounts.Service
	Text    string // what texts call the change
	Before  accounts.Standing
	After   accounts.Standing
	Month   accounts.Month
	Next    accounts.Month
	Notes   []string // in the member's language
	Mark    string
	Danger  bool
	Path    string
	Back    string
	Changed bool // the form that was posted was not this one
}

// confirm asks.
func (s *Server) confirm(x *exchange) error {
	p, possible, err := s.proposed(x)
	if err != nil {
		return err
	}
	if !possible {
		return s.tell(x, p, "already")
	}
	return s.ask(x, p, http.StatusOK)
}

func (s *Server) ask(x *exchange, p proposal, status int) error {
	v := confirmView{Address: p.of.Account.Address, Service: p.Service,
		Before: p.before(), After: p.Standing, Month: p.of.Month, Next: p.of.Month.Next(),
		Mark: p.mark(), Danger: p.Kind == accounts.Cancelled, Back: p.back(x),
		Text:    p.text(),
		Path:    mailboxPath(p.of.Account.Address) + "/" + string(p.Service) + "/" + p.action.name,
		Changed: status == http.StatusConflict}
	v.Notes = s.notes(x.language, p, v)
	return x.show(status, "confirm", "confirm."+p.text(), v)
}

// notes says what a member has to know before a change.
func (s *Server) notes(language string, p proposal, v confirmView) (notes []string) {
	note := func(key string, args ...any) { notes = append(notes, say(language, key, args...)) }
	if effect := "note." + p.text() + "." + string(p.Service); texts[effect] != (text{}) {
		note(effect)
	}
	s.feeNotes(language, p, v, note)
	for _, pending := range p.TakenBack {
		note("note.takenback", pendingText(language, s.Timezone, pending))
	}
	return notes
}

// feeNotes explains the fees that package accounts computed.
func (s *Server) feeNotes(language string, p proposal, v confirmView, note func(key string, args ...any)) {
	before, after := v.Before.Charge, p.Standing.Charge
	charged := after != nil && after.Fee > 0
	switch {
	case p.Kind == accounts.Paused && p.Standing.Next != nil:
		note("note.paused")
	case p.Kind == accounts.Subscribed && charged && before != nil && before.Fee == after.Fee:
		note("note.again", monthText(language, v.Month))
	case p.Kind == accounts.Subscribed && charged && after.Reason == accounts.FirstMonth:
		note("note.first")
	case p.Kind == accounts.Subscribed && after != nil && after.Reason == accounts.FreeMonth:
		note("note.free")
	case p.Kind == accounts.Cancelled && charged:
		note("note.charged", monthText(language, v.Month), feeText(language, after.Fee, after.Currency), say(language, "reason."+after.Reason))
	case p.Kind == accounts.Cancelled:
		note("note.nocharge", monthText(language, v.Month))
	}
}

// change does what was confirmed, if it is still what was shown.
func (s *Server) change(x *exchange) error {
	form, err := x.form()
	if err != nil {
		return err
	}
	alone := s.alone()
	if alone {
		defer func() { <-s.changing }()
	}
	p, possible, err := s.proposed(x)
	switch {
	case err != nil:
		return err
	case !alone:
		return s.tell(x, p, "busy")
	case !possible:
		return s.tell(x, p, "already")
	case form.Get("mark") != p.mark():
		return s.ask(x, p, http.StatusConflict)
	case !s.byMailbox.allow(p.of.Account.Address, s.now()):
		s.Log.Warn("page", x.facts("what", "too many changes", "mailbox", p.of.Account.Address)...)
		return s.tell(x, p, "many")
	}
	address := p.of.Account.Address
	_, err = s.Accounts.Change(address, p.Kind, p.Service, time.Time{}, by(x))
	facts := x.facts("what", string(p.Kind), "mailbox", address, "service", p.Service)
	switch {
	case errors.Is(err, accounts.ErrTransition) || errors.Is(err, accounts.ErrIneligible) || errors.Is(err, accounts.ErrUnknown): // a command came first
		s.Log.Warn("page", append(facts, "err", err)...)
		return s.tell(x, p, "already")
	case errors.Is(err, accounts.ErrBusy):
		s.Log.Warn("page", append(facts, "err", err)...)
		return s.tell(x, p, "busy")
	case err != nil:
		return fmt.Errorf("%s %s of %s: %w", p.Kind, p.Service, address, err)
	}
	s.Log.Info("page", facts...)
	return s.tell(x, p, p.text())
}

// alone waits until nobody else changes something, and reports whether that came.
func (s *Server) alone() bool {
	select {
	case s.changing <- struct{}{}:
		return true
	case <-time.After(changeWait):
		return false
	}
}

// by is who a change is entered for in the ledger.
func by(x *exchange) string { return byPage + x.me.Account.Address }

const byPage = "page: "

// tell goes back to the mailbox, where the result is told.
func (s *Server) tell(x *exchange, p proposal, result string) error {
	s.sessions.Put(x.Context(), keyResult, result+" "+string(p.Service))
	x.redirect(p.back(x))
	return nil
}
