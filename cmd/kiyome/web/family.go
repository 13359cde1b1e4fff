package web

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"kiyome/accounts"
)

const (
	familiesMax = 1000             // owners that are remembered
	familyFresh = 30 * time.Second // for so long
	familyWait  = 5 * time.Second
)

// families knows which mailboxes an owner has. To find out, all accounts are looked
// through: one search runs at a time, and what it finds is remembered for a while.
// What it gives may be out of date, so that each mailbox has to be looked at again.
type families struct {
	accounts Accounts
	now      func() time.Time
	search   chan struct{} // has room for the search under way

	mu    sync.Mutex
	known map[string]family
}

type family struct {
	addresses []string
	damaged   error // of accounts that could not be read
	until     time.Time
}

func newFamilies(a Accounts, now func() time.Time) *families {
	return &families{accounts: a, now: now, search: make(chan struct{}, 1), known: make(map[string]family)}
}

// of gives the mailboxes of an owner, at most familyMax and one. Its error is ErrBusy,
// or tells that there may be more.
func (f *families) of(owner string) ([]string, error) {
	if one, ok := f.recall(owner); ok {
		return one.addresses, one.damaged
	}
	select {
	case f.search <- struct{}{}:
		defer func() { <-f.search }()
	case <-time.After(familyWait):
		return nil, fmt.Errorf("mailboxes of owner %q: %w", owner, accounts.ErrBusy)
	}
	if one, ok := f.recall(owner); ok { // found while we waited
		return one.addresses, one.damaged
	}
	one := family{until: f.now().Add(familyFresh)}
	one.damaged = f.accounts.ListOwner(owner, func(a accounts.Account) bool {
		if a.Closed.IsZero() {
			one.addresses = append(one.addresses, a.Address)
		}
		return len(one.addresses) <= familyMax
	})
	f.remember(owner, one)
	return one.addresses, one.damaged
}

func (f *families) recall(owner string) (family, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one, ok := f.known[owner]
	return one, ok && f.now().Before(one.until)
}

func (f *families) remember(owner string, one family) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.known) >= familiesMax {
		clear(f.known)
	}
	f.known[owner] = one
}

// familyView is what the main member sees of the other mailboxes.
type familyView struct {
	Month     accounts.Month
	Mailboxes []relative
	Total     int64 // of this month, one's own included
	Currency  string
	Outbound  bool // to be shown
	More      int  // not all are shown but so many; 0: all
	Missing   bool // some cannot be shown
}

// relative is one line of it.
type relative struct {
	Address           string
	Path              string
	Inbound, Outbound accounts.State
	Fee               int64
	Charged           bool // it may be so and free
}

// familyView looks at each mailbox of the member's owner. It has no line where there are no others.
func (s *Server) familyView(me member) *familyView {
	addresses, err := s.families.of(me.Account.Owner)
	v := &familyView{Month: me.Month, Outbound: s.Outbound, Missing: err != nil}
	if err != nil {
		s.Log.Error("page", "what", "mailboxes of an owner", "address", me.Account.Address, "err", err)
	}
	v.add(me)
	for _, address := range addresses {
		if address == me.Account.Address {
			continue
		}
		o, err := s.Accounts.Outlook(address)
		m := member{o}
		switch {
		case errors.Is(err, accounts.ErrUnknown):
			continue
		case err != nil:
			s.Log.Error("page", "what", "mailbox of an owner", "address", address, "err", err)
			v.Missing = true
			continue
		case !m.open() || m.Account.Owner != me.Account.Owner: // since it was remembered
			continue
		case len(v.Mailboxes) == familyMax:
			v.More = familyMax
			return v
		}
		v.Outbound = v.Outbound || m.Account.Outbound.Subscribed
		fee, charged := v.add(m)
		v.Mailboxes = append(v.Mailboxes, relative{Address: address, Path: mailboxPath(address),
			Inbound: m.Account.Inbound, Outbound: m.Account.Outbound, Fee: fee, Charged: charged})
	}
	return v
}

// add adds what a mailbox costs this month, and gives that.
func (v *familyView) add(m member) (fee int64, charged bool) {
	for _, standing := range m.Services {
		if c := standing.Charge; c != nil {
			fee, charged = fee+c.Fee, true
			v.Currency = c.Currency
		} else if o := standing.Offer; o != nil && v.Currency == "" {
			v.Currency = o.Currency
		}
	}
	v.Total += fee
	return fee, charged
}

// Complete reports whether the total is that of all mailboxes.
func (v *familyView) Complete() bool { return !v.Missing && v.More == 0 }

// backwards gives a list from its end.
func backwards[T any](all []T) []T {
	all = slices.Clone(all)
	slices.Reverse(all)
	return all
}
