package accounts

import (
	"fmt"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// ListOwner calls f for each account of an owner, like List. It looks at all
// accounts, a few million in a second.
func (db *DB) ListOwner(owner string, f func(Account) bool) error {
	var damaged faults
	for r, err := range each(db, bucketAccounts, func(_ *bolt.Tx, key, value []byte) (*record, error) { return ownedBy(owner, key, value) }) {
		if err != nil {
			damaged.add(err)
		} else if r != nil && !f(r.at(db.now())) {
			break
		}
	}
	return damaged.err()
}

// ownedBy reads a record if it is of an owner, and gives nil if it is another's.
// Settings are never pending, so the one in the record is the one now.
func ownedBy(owner string, key, value []byte) (*record, error) {
	payload, err := unseal(key, value)
	if err != nil {
		return nil, fmt.Errorf("account %.300q: %w", key, err)
	}
	if i := 1 + len(key); len(key) < 0x80 && len(owner) < 0x80 { // without unpacking the record
		if len(payload) < i+1+len(owner) || int(payload[i]) != len(owner) || string(payload[i+1:i+1+len(owner)]) != owner {
			return nil, nil
		}
	}
	r, err := unsealRecord(key, value)
	if err != nil || r.account.Owner != owner {
		return nil, err
	}
	return &r, nil
}

// CloseOwner closes all accounts of an owner, as Change closes one: all of them, or
// none. Those that are closed by then already stay as they are. It gives the accounts
// that it closed. Errors: ErrUnknown if the owner has no account, ErrTransition.
func (db *DB) CloseOwner(owner string, at time.Time, by string) ([]Account, error) {
	if owner == "" {
		return nil, fmt.Errorf("%w: of no owner", ErrUnknown)
	}
	if !at.IsZero() && !sensible(at) {
		return nil, fmt.Errorf("owner %q: %w: not in the year %d", owner, ErrTransition, at.Year())
	}
	var closed []Account
	err := db.update(func(tx *bolt.Tx) error {
		addresses, err := db.openOf(tx, owner, at)
		if err != nil {
			return err
		}
		closed = nil
		for _, address := range addresses {
			a, err := db.enterIn(tx, address, func(_ *bolt.Tx, _ Account, entered time.Time) (Event, error) {
				if at.IsZero() {
					return Event{Kind: Closed, By: by, Effective: entered}, nil
				}
				return Event{Kind: Closed, By: by, Effective: at.UTC().Round(0)}, nil
			})
			if err != nil {
				return fmt.Errorf("owner %q: nothing was closed: %w", owner, err)
			}
			closed = append(closed, a)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return closed, nil
}

// openOf gives the addresses of an owner's accounts that will not be closed at a time.
func (db *DB) openOf(tx *bolt.Tx, owner string, at time.Time) (addresses []string, err error) {
	if at.IsZero() {
		at = db.now()
	}
	known := 0
	c := tx.Bucket(bucketAccounts).Cursor()
	for key, value := c.First(); key != nil; key, value = c.Next() {
		r, err := ownedBy(owner, key, value)
		if err != nil {
			return nil, err // it may be one of them
		}
		if r == nil {
			continue
		}
		known++
		if a := r.at(at); a.Closed.IsZero() {
			addresses = append(addresses, strings.Clone(a.Address))
		}
	}
	switch {
	case known == 0:
		return nil, fmt.Errorf("owner %q: %w", owner, ErrUnknown)
	case addresses == nil:
		return nil, fmt.Errorf("owner %q: %w: all accounts are closed already", owner, ErrTransition)
	}
	return addresses, nil
}
