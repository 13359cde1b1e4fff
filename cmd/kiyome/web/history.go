package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"kiyome/accounts"
)

const (
	removalsPage = 25  // lines
	historyMax   = 200 // lines
)

// removalsView is a page of what was removed from a member's mail.
type removalsView struct {
	Address  string
	Days     int
	Removals []accounts.Removal
	Outbound bool   // some were sent
	Older    string // the link to what comes after; "" for none
	Paged    bool   // it is not the first page
	Off      bool   // none are kept
}

// removals shows what was removed from one's own mail; nobody sees another's.
func (s *Server) removals(x *exchange) error {
	v := removalsView{Address: x.me.Account.Address, Days: s.KeptDays, Off: s.KeptDays <= 0}
	if !v.Off {
		before, err := cursor(x.URL.Query().Get("before"))
		if err != nil {
			return errMissing
		}
		all, err := s.Accounts.Removals(v.Address, before, removalsPage+1)
		if err != nil {
			return err
		}
		if len(all) > removalsPage {
			all = all[:removalsPage]
			v.Older = "/removals?before=" + strconv.FormatUint(all[len(all)-1].Seq, 10)
		}
		v.Removals, v.Paged = all, before > 0
		for _, r := range all {
			v.Outbound = v.Outbound || r.Direction == accounts.Outbound
		}
	}
	return x.show(http.StatusOK, "removals", "removals.title", v)
}

// cursor reads where a page begins; 0 is at the newest.
func cursor(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	return strconv.ParseUint(text, 10, 64)
}

// historyView is what was entered for a member's mailbox.
type historyView struct {
	Address string
	Events  []eventView
	More    bool
}

type eventView struct {
	At   time.Time
	What string
	From time.Time // zero: as it was entered
	By   string
}

// history shows it, as far as the mailbox is the member's.
func (s *Server) history(x *exchange) error {
	v := historyView{Address: x.me.Account.Address}
	for _, e := range backwards(x.me.Events) {
		if e.At.Before(x.me.Owned) {
			break // it is of an earlier owner
		}
		if len(v.Events) == historyMax {
			v.More = true
			break
		}
		v.Events = append(v.Events, s.eventView(x, e))
	}
	return x.show(http.StatusOK, "history", "history.title", v)
}

func (s *Server) eventView(x *exchange, e accounts.Event) eventView {
	v := eventView{At: e.At, What: eventText(x.language, e), By: say(x.language, "history.provider")}
	if !e.Effective.Equal(e.At) {
		v.From = e.Effective
	}
	switch who, onPage := strings.CutPrefix(e.By, byPage); {
	case onPage && who == x.me.Account.Address:
		v.By = say(x.language, "history.you")
	case onPage:
		v.By = who // the main member
	}
	return v
}

// settings shows what a member can set.
func (s *Server) settings(x *exchange) error {
	return x.show(http.StatusOK, "settings", "settings.title", x.me.Account.Language)
}

// set sets the language of the reports, and so of the page.
func (s *Server) set(x *exchange) error {
	form, err := x.form()
	if err != nil {
		return err
	}
	language := form.Get("language")
	if language != "ja" && language != "en" {
		return errRequest
	}
	if language == x.me.Account.Language {
		return s.chosen(x, "language")
	}
	if !s.byMailbox.allow(x.me.Account.Address, s.now()) {
		return s.chosen(x, "many")
	}
	if _, err := s.Accounts.Set(x.me.Account.Address, accounts.Settings{Language: &language}, by(x)); err != nil {
		return err
	}
	s.Log.Info("page", x.facts("what", "language", "language", language)...)
	return s.chosen(x, "language")
}

// chosen shows the settings again, with what came of it.
func (s *Server) chosen(x *exchange, result string) error {
	x.choose("") // the account's language counts again
	s.sessions.Put(x.Context(), keyResult, result)
	x.redirect("/settings")
	return nil
}
