package accounts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// RemovalsName is the name of the history of removals in the folder of the account database.
const RemovalsName = "removals.db"

// SetRemovals says which history Removals reads. It stays the caller's to close.
func (db *DB) SetRemovals(r *Removals) { db.removed.Store(r) }

// Removals gives what was removed from the mail of an account, a closed one too, the newest
// first: as Removals.List, but only what came to its present owner, or its last. What was there
// before it was given to another, or closed and added again for another, is the earlier one's. Errors:
// ErrUnknown, ErrMalformed, and those of the two files.
//
// Without SetRemovals it reads the file that lies beside the database.
func (db *DB) Removals(address string, before uint64, limit int) ([]Removal, error) {
	events, err := db.History(address)
	if err != nil {
		return nil, err
	}
	since, err := ownedSince(events)
	if err != nil {
		return nil, err
	}
	address = events[0].Address
	if r := db.removed.Load(); r != nil {
		return r.List(address, since, before, limit)
	}
	path := filepath.Join(filepath.Dir(db.path), RemovalsName)
	f, err := openRemovalsFile(path, os.O_RDONLY)
	switch {
	case errors.Is(err, ErrMissing):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read history of removals %s: %w (a server that starts puts aside what it cannot read, and begins a new one)", path, err)
	}
	all, err := f.removals(address, since, before, limit)
	return all, errors.Join(err, f.close())
}

// ownedSince tells from the events of an account since when its mail is that of its present
// owner: since it was given by one to another, or added again for another; of one without an owner
// nobody knows, so that each time counts. It is the time of entry: until then mail came to the
// earlier one, whatever the order said. The zero time means from the beginning.
func ownedSince(events []Event) (since time.Time, err error) {
	err = replay(events, func(e Event, before, after Account) {
		another := after.Owner != before.Owner && before.Owner != ""
		unknown := e.Kind == Added && before.Address != "" && before.Owner == ""
		if another || unknown {
			since = e.At
		}
	})
	return since, err
}
