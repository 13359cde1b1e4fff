package accounts

import (
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Outlook is all by which a member decides about the services of an account, as
// it was at one moment.
type Outlook struct {
	Account  Account
	Month    Month // the one under way
	Services []Standing
	Changes  []Prospect // those that are possible now
	Events   []Event    // oldest first
	Owned    time.Time  // since when it is its present owner's: what was before is not for them; zero: ever since
}

// Prospect is what a change made now would bring about.
type Prospect struct {
	Kind      Kind
	Service   Service
	Standing  Standing  // with that service, after it
	TakenBack []Pending // what was entered for later, and would no longer come
}

// Outlook tells how an account stands with each service, and what each change that
// is possible now would lead to. The changes are tried as Change makes them, and
// nothing is entered. Errors: ErrUnknown.
func (db *DB) Outlook(address string) (Outlook, error) {
	address, err := ParseAddress(address)
	if err != nil {
		return Outlook{}, err
	}
	var r record
	var events []Event
	err = db.view(func(tx *bolt.Tx) (err error) {
		if r, err = find(tx, address); err == nil {
			events, err = history(tx, r)
		}
		return err
	})
	if err != nil {
		return Outlook{}, err
	}
	now, t := db.now(), db.tariff()
	if last := events[len(events)-1].At; last.After(now) {
		now = last // the clock was put back: as enter has it
	}
	o := Outlook{Account: r.at(now), Month: MonthOf(now, t.zone()), Events: events}
	if o.Services, err = t.standings(o.Account, events, now); err != nil {
		return Outlook{}, err
	}
	o.Changes = t.prospects(o.Account, events, now)
	o.Owned, err = ownedSince(events)
	return o, err
}

// standings tells how an account stands with each service.
func (t Tariff) standings(a Account, events []Event, now time.Time) ([]Standing, error) {
	p := t.in(MonthOf(now, t.zone()))
	charges, err := p.charges(events)
	if err != nil {
		return nil, err
	}
	next, err := t.in(p.month.add(1)).charges(events)
	if err != nil {
		return nil, err
	}
	var all []Standing
	for _, service := range services {
		s := Standing{Service: service, State: a.Of(service), Charge: chargeFor(charges, service), Next: chargeFor(next, service)}
		if !s.State.Subscribed && a.open() {
			s.Offer = t.offer(a, p, events, service, now)
		}
		all = append(all, s)
	}
	return all, nil
}

// prospects tries every change of a service.
func (t Tariff) prospects(a Account, events []Event, now time.Time) (all []Prospect) {
	for i, service := range services {
		for _, k := range []Kind{Subscribed, Paused, Resumed, Cancelled} {
			if k == Subscribed && a.NoCourse {
				continue // ErrIneligible
			}
			then := append(slices.Clone(events), hypothetical(events, k, service, now))
			r, err := fold(then)
			if err != nil {
				continue
			}
			after := r.at(now)
			standings, err := t.standings(after, then, now)
			if err != nil {
				continue
			}
			all = append(all, Prospect{Kind: k, Service: service, Standing: standings[i], TakenBack: a.without(after)})
		}
	}
	return all
}

// without gives what is pending of a and no longer of after.
func (a Account) without(after Account) []Pending {
	var gone []Pending
	for _, p := range a.Pending {
		if !slices.ContainsFunc(after.Pending, func(o Pending) bool {
			return o.Kind == p.Kind && o.Service == p.Service && o.Effective.Equal(p.Effective)
		}) {
			gone = append(gone, p)
		}
	}
	return gone
}
