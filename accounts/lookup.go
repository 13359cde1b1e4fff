package accounts

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// batch is how many accounts are read in one transaction by what goes through
// all of them, so that none is long.
const batch = 256

// Lookup finds the account that a recipient address means: the exact address
// first, then without the address extension. ErrUnknown also for a closed
// account, ErrMalformed for what cannot be an address. Any other error means
// that we cannot tell.
func (db *DB) Lookup(address string) (Account, error) {
	address, err := ParseAddress(address)
	if err != nil {
		return Account{}, err
	}
	var r record
	err = db.view(func(tx *bolt.Tx) (err error) {
		r, err = find(tx, address)
		if base := withoutExtension(address, db.options.Delimiter); base != address && errors.Is(err, ErrUnknown) {
			r, err = find(tx, base)
		}
		return err
	})
	if err != nil {
		return Account{}, err
	}
	a := r.at(db.now())
	if !a.Closed.IsZero() {
		return Account{}, fmt.Errorf("%s: %w: closed", a.Address, ErrUnknown)
	}
	return a, nil
}

// withoutExtension cuts a canonical address at the first delimiter of its local
// part, unless nothing would be left.
func withoutExtension(address, delimiters string) string {
	local, domain, _ := strings.Cut(address, "@")
	if i := strings.IndexAny(local, delimiters); i > 0 {
		// What is left may end in a dot, and then names no account.
		return local[:i] + "@" + domain
	}
	return address
}

// Get gives the account with exactly this address, a closed one too.
func (db *DB) Get(address string) (Account, error) {
	address, err := ParseAddress(address)
	if err != nil {
		return Account{}, err
	}
	var r record
	err = db.view(func(tx *bolt.Tx) (err error) {
		r, err = find(tx, address)
		return err
	})
	if err != nil {
		return Account{}, err
	}
	return r.at(db.now()), nil
}

// find reads the record of a canonical address. "No such account" is believed
// only if the ledger does not know the address either: one damaged key must not bounce mail.
func find(tx *bolt.Tx, address string) (record, error) {
	key := []byte(address)
	if value := tx.Bucket(bucketAccounts).Get(key); value != nil {
		return unsealRecord(key, value)
	}
	prefix := ledgerPrefix(address)
	if k, _ := tx.Bucket(bucketLedger).Cursor().Seek(prefix); bytes.HasPrefix(k, prefix) {
		return record{}, fmt.Errorf("account %s: %w: it has events but no record", address, ErrDamaged)
	}
	return record{}, fmt.Errorf("%s: %w", address, ErrUnknown)
}

// History gives the events of an account, oldest first.
func (db *DB) History(address string) ([]Event, error) {
	address, err := ParseAddress(address)
	if err != nil {
		return nil, err
	}
	var events []Event
	err = db.view(func(tx *bolt.Tx) error {
		r, err := find(tx, address)
		if err != nil {
			return err
		}
		events, err = history(tx, r)
		return err
	})
	return events, err
}

func ledgerPrefix(address string) []byte { return append([]byte(address), 0) }

func eventKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// history reads the events of a record, which knows how many there must be.
func history(tx *bolt.Tx, r record) ([]Event, error) {
	address := r.account.Address
	events := make([]Event, 0, min(r.events, 64)) // what the record says is not believed
	prefix := ledgerPrefix(address)
	all := tx.Bucket(bucketEvents)
	c := tx.Bucket(bucketLedger).Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		key := k[len(prefix):]
		e, err := unsealEvent(key, all.Get(key))
		if err == nil && (e.Address != address || !bytes.Equal(eventKey(e.Seq), key)) {
			err = fmt.Errorf("%w: it is of %s", ErrDamaged, e.Address)
		}
		if err != nil {
			return nil, fmt.Errorf("account %s: event %d: %w", address, number(key), err)
		}
		events = append(events, e)
	}
	if uint64(len(events)) != r.events {
		return nil, fmt.Errorf("account %s: %w: %d events of %d", address, ErrDamaged, len(events), r.events)
	}
	return events, nil
}

// List calls f for each account in the order of addresses, closed ones too,
// until f returns false. f may use the database. Accounts whose record is
// damaged are left out; the error at the end says so.
func (db *DB) List(f func(Account) bool) error {
	var damaged faults
	for r, err := range each(db, bucketAccounts, readRecord) {
		if err != nil {
			damaged.add(err)
			continue
		}
		if !f(r.at(db.now())) {
			break
		}
	}
	return damaged.err()
}

func readRecord(_ *bolt.Tx, key, value []byte) (record, error) { return unsealRecord(key, value) }

// each gives what read makes of every key of a bucket, in their order. It reads a
// batch in one transaction and yields outside of it, so that whoever takes what
// it gives may be slow. When the database itself cannot be read, that error
// comes last.
func each[T any](db *DB, bucket []byte, read func(tx *bolt.Tx, key, value []byte) (T, error)) iter.Seq2[T, error] {
	type result struct {
		value T
		err   error
	}
	return func(yield func(T, error) bool) {
		var last []byte
		results := make([]result, 0, batch)
		for {
			results = results[:0]
			failed := db.view(func(tx *bolt.Tx) error {
				c := tx.Bucket(bucket).Cursor()
				k, v := c.Seek(last)
				if last != nil && bytes.Equal(k, last) {
					k, v = c.Next()
				}
				for ; k != nil && len(results) < batch; k, v = c.Next() {
					value, err := read(tx, k, v)
					results = append(results, result{value, err})
					last = append(last[:0], k...)
				}
				return nil
			})
			for _, r := range results {
				if !yield(r.value, r.err) {
					return
				}
			}
			if failed != nil {
				var none T
				yield(none, failed)
				return
			}
			if len(results) < batch {
				return
			}
		}
	}
}

// faults counts errors and keeps the first: a damaged file may have a million.
type faults struct {
	first error
	n     int
}

func (f *faults) add(err error) {
	if f.n++; f.n == 1 {
		f.first = err
	}
}

func (f *faults) err() error {
	if f.n > 1 {
		return fmt.Errorf("%w, and %d more", f.first, f.n-1)
	}
	return f.first
}
