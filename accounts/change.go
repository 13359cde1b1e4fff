package accounts

import (
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// errUnchanged ends a change that would change nothing; callers never see it.
var errUnchanged = errors.New("nothing to change")

// Add makes an account without services, or reopens a closed one, whose ledger
// goes on. Settings that are not given are the defaults, for a reopened one too.
// A Maildir that is given must not be another open account's, which takes time in
// proportion to the accounts to find out.
// It counts from n.At on, which may lie in the past: what is entered next may then
// do so too. Errors: ErrExists, ErrMalformed, ErrSetting, ErrTransition.
func (db *DB) Add(n NewAccount) (Account, error) {
	address, err := ParseAddress(n.Address)
	if err != nil {
		return Account{}, err
	}
	a := Account{Address: address, Owner: n.Owner, Language: n.Language, Maildir: n.Maildir,
		Forward: n.Forward, NoCopy: n.NoCopy, NoCourse: n.NoCourse, Main: n.Main}
	if a.Language == "" {
		a.Language = "ja"
	}
	if a.Maildir == "" {
		if a.Maildir, err = ExpandPath(db.options.Path, address); err != nil {
			return Account{}, err
		}
	}
	if err := a.validate(db.options.Delimiter); err != nil {
		return Account{}, err
	}
	return db.enter(address, func(tx *bolt.Tx, now Account, at time.Time) (Event, error) {
		effective := n.At.UTC().Round(0)
		switch {
		case n.At.IsZero():
			effective = at
		case effective.After(at) || !sensible(effective):
			return Event{}, fmt.Errorf("%s: %w: it would be added on %s, and the clock stands at %s",
				address, ErrTransition, effective.Format(time.RFC3339), at.Format(time.RFC3339))
		}
		if now.open() {
			return Event{}, fmt.Errorf("%s: %w%s", address, ErrExists, now.closing())
		}
		if n.Maildir != "" { // one made from the address is no other's
			if err := a.unshared(tx, at); err != nil {
				return Event{}, err
			}
		}
		return Event{Kind: Added, By: n.By, Effective: effective, Settings: a.settings()}, nil
	})
}

// Change applies one transition: Subscribed, Paused, Resumed, Cancelled or
// Closed (without a service). at is when it takes effect; the zero time means
// now. It may lie in the future: until then the account stays as it is, and a
// cancel or close entered meanwhile revokes it; cancelling at once what is only
// to be subscribed to later does no more than that. It may lie in the past, if all
// that was entered since is still possible. Errors: ErrUnknown, ErrIneligible for
// subscribing where the owner has no connection course, or ErrTransition with a
// sentence that says what stands in the way.
func (db *DB) Change(address string, k Kind, s Service, at time.Time, by string) (Account, error) {
	return db.change(address, k, s, at, by, false)
}

// Force subscribes like Change, also where the owner has no connection course.
func (db *DB) Force(address string, s Service, at time.Time, by string) (Account, error) {
	return db.change(address, Subscribed, s, at, by, true)
}

func (db *DB) change(address string, k Kind, s Service, at time.Time, by string, force bool) (Account, error) {
	address, err := ParseAddress(address)
	if err != nil {
		return Account{}, err
	}
	switch {
	case !slices.Contains([]Kind{Subscribed, Paused, Resumed, Cancelled, Closed}, k):
		return Account{}, fmt.Errorf("%s: %w: %.40q is not a change of state", address, ErrTransition, k)
	case k == Closed && s != "":
		return Account{}, fmt.Errorf("%s: %w: an account is closed with all its services", address, ErrTransition)
	case !at.IsZero() && !sensible(at):
		return Account{}, fmt.Errorf("%s: %w: not in the year %d", address, ErrTransition, at.Year())
	}
	var before Account
	after, err := db.enter(address, func(_ *bolt.Tx, now Account, entered time.Time) (Event, error) {
		before = now
		e := Event{Kind: k, Service: s, By: by, Effective: at.UTC().Round(0)}
		if at.IsZero() {
			e.Effective = entered
		}
		switch needsCourse := k == Subscribed && now.NoCourse && now.open(); {
		case now.Address == "":
			return Event{}, fmt.Errorf("%s: %w", address, ErrUnknown)
		case needsCourse && !force:
			return Event{}, fmt.Errorf("%s: %w: its owner has no connection course", address, ErrIneligible)
		case needsCourse:
			e.Note = "without a connection course"
		}
		return e, nil
	})
	if errors.Is(err, ErrTransition) {
		err = fmt.Errorf("%w%s", err, before.wayBack(s))
	}
	return after, err
}

// wayBack says how what is pending for a service, or for the account, is taken
// back: it is likely what stands in the way of a change.
func (a Account) wayBack(s Service) string {
	for _, p := range a.Pending {
		if p.Service != s || s == "" {
			continue
		}
		text := fmt.Sprintf("; %q of %s is entered: cancelling %s now takes back all that is entered for it", p.Kind, p.Effective.Format(time.RFC3339), s)
		if a.Inbound.Subscribed && s == Inbound || a.Outbound.Subscribed && s == Outbound {
			text += ", then it can be subscribed to again"
		}
		return text
	}
	return a.closing()
}

// closing says when a closes, and how it can be kept; "" if it is to stay.
func (a Account) closing() string {
	for _, p := range a.Pending {
		if p.Kind == Closed {
			return fmt.Sprintf("; it closes on %s: to keep it, remove it now and add it again", p.Effective.Format(time.RFC3339))
		}
	}
	return ""
}

// sensible reports whether t can be a time of the ledger, and be written as JSON.
func sensible(t time.Time) bool { return 1970 <= t.Year() && t.Year() <= 9998 }

// Set changes settings; nil fields stay. Without a difference nothing is
// entered. Errors: ErrUnknown, ErrMalformed, ErrSetting, and ErrTransition for a
// closed account.
func (db *DB) Set(address string, c Settings, by string) (Account, error) {
	address, err := ParseAddress(address)
	if err != nil {
		return Account{}, err
	}
	return db.enter(address, func(tx *bolt.Tx, now Account, at time.Time) (Event, error) {
		if now.Address == "" {
			return Event{}, fmt.Errorf("%s: %w", address, ErrUnknown)
		}
		if err := c.applyTo(now).validate(db.options.Delimiter); err != nil {
			return Event{}, err
		}
		if now.Main && c.Main == nil && c.Owner != nil && *c.Owner != now.Owner {
			return Event{}, fmt.Errorf("%s: %w: it is the main mailbox of %q: say whether it shall be that of %q", address, ErrSetting, now.Owner, *c.Owner)
		}
		changed, note := c.difference(now)
		if changed.Maildir != nil {
			if err := c.applyTo(now).unshared(tx, at); err != nil {
				return Event{}, err
			}
		}
		if note == "" && now.Closed.IsZero() {
			return Event{}, errUnchanged
		}
		return Event{Kind: Changed, By: by, Effective: at, Settings: &changed, Note: note}, nil
	})
}

// unshared refuses a Maildir that another open account has: their mail would be
// mixed. An account whose record is damaged may have it all the same.
func (a Account) unshared(tx *bolt.Tx, now time.Time) error {
	c := tx.Bucket(bucketAccounts).Cursor()
	for key, value := c.First(); key != nil; key, value = c.Next() {
		r, err := unsealRecord(key, value)
		if err != nil {
			continue
		}
		if other := r.at(now); other.Maildir == a.Maildir && other.Address != a.Address && other.open() {
			return fmt.Errorf("%s: %w: the Maildir %s is that of %s", a.Address, ErrSetting, a.Maildir, other.Address)
		}
	}
	return nil
}

// enter appends one event to the ledger of an address: the one that make gives
// for the account as it is now, which is the zero Account if there is none.
func (db *DB) enter(address string, make func(tx *bolt.Tx, now Account, at time.Time) (Event, error)) (Account, error) {
	var after Account
	err := db.update(func(tx *bolt.Tx) (err error) {
		after, err = db.enterIn(tx, address, make)
		return err
	})
	if err != nil && !errors.Is(err, errUnchanged) {
		return Account{}, err
	}
	return after, nil
}

// enterIn is enter within a transaction, which has to fail when it does.
func (db *DB) enterIn(tx *bolt.Tx, address string, make func(tx *bolt.Tx, now Account, at time.Time) (Event, error)) (Account, error) {
	r, events, err := ledger(tx, address)
	if err != nil {
		return Account{}, err
	}
	at := db.now()
	if n := len(events); n > 0 && events[n-1].At.After(at) {
		at = events[n-1].At // the clock was put back: the ledger keeps its order
	}
	now := r.at(at)
	e, err := make(tx, now, at)
	if err != nil {
		return now, err
	}
	e.Address, e.At, e.By = address, at, entered(e.By)
	if r, err = appendEvents(tx, events, e); err != nil {
		return Account{}, err
	}
	return r.at(at), nil
}

// ledger gives the record and the events of an address; both are empty if there is no account.
func ledger(tx *bolt.Tx, address string) (record, []Event, error) {
	r, err := find(tx, address)
	if errors.Is(err, ErrUnknown) {
		return record{}, nil, nil
	}
	if err != nil {
		return record{}, nil, err
	}
	events, err := history(tx, r)
	return r, events, err
}

// appendEvents writes fresh events after those that an account has, and its new
// record. They are possible together, or nothing is to be committed.
func appendEvents(tx *bolt.Tx, events []Event, fresh ...Event) (record, error) {
	all, index := tx.Bucket(bucketEvents), tx.Bucket(bucketLedger)
	for i := range fresh {
		seq, err := all.NextSequence()
		if err != nil {
			return record{}, err
		}
		fresh[i].Seq = seq
	}
	r, err := fold(slices.Concat(events, fresh))
	if err != nil {
		return record{}, err
	}
	address := r.account.Address
	for _, e := range fresh {
		key := eventKey(e.Seq)
		value, err := sealEvent(key, e)
		if err != nil {
			return record{}, err
		}
		if err := errors.Join(all.Put(key, value), index.Put(append(ledgerPrefix(address), key...), nil)); err != nil {
			return record{}, err
		}
	}
	return r, tx.Bucket(bucketAccounts).Put([]byte(address), sealRecord(r))
}
