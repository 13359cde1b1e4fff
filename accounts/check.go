package accounts

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"
)

// maxProblems bounds what Check tells.
const maxProblems = 1000

// Check reads everything and tells what is wrong, one line each, a thousand at
// most: every page, every checksum, that each record is what its events make
// it, and that ledger and events name each other. accounts is the number that
// are whole. Changes wait while the pages are read, mail does not.
func (db *DB) Check() (problems []string, accounts int, err error) {
	tell := func(err error) {
		if err != nil && len(problems) < maxProblems {
			problems = append(problems, err.Error())
		}
	}
	release, err := db.acquire()
	if err != nil {
		return nil, 0, err
	}
	file, leave := db.hold()
	info, err := file.file.Stat()
	if err == nil {
		tell(verifyPages(file.file, info.Size()))
	}
	leave()
	release()
	if err != nil || len(problems) > 0 { // nothing can be read through broken pages
		return problems, 0, err
	}
	for _, err := range each(db, bucketAccounts, checkAccount) {
		if tell(err); err == nil {
			accounts++
		}
	}
	damaged := make(map[uint64]bool) // events, of which the ledger told whose they are
	for seq, err := range each(db, bucketLedger, checkEntry) {
		if tell(err); err != nil {
			damaged[seq] = true
		}
	}
	for seq, err := range each(db, bucketEvents, checkEvent) {
		if !damaged[seq] {
			tell(err)
		}
	}
	return problems, accounts, nil
}

// CheckFile does what Check does for a file that nobody has open, a backup for
// example, without changing a byte. The error is one of those of Open, or
// ErrDamaged with the first problem.
func CheckFile(file string) error {
	l, err := lockAs(file, Options{}, os.O_RDONLY)
	var db *DB
	if err == nil {
		db, err = l.open()
	}
	if err != nil {
		return fmt.Errorf("check account database %s: %w%s", file, err, remedy(err))
	}
	defer db.Close()
	problems, _, err := db.Check()
	if err == nil && len(problems) > 0 {
		err = fmt.Errorf("%w: %d problems, the first: %s", ErrDamaged, len(problems), problems[0])
	}
	if err != nil {
		return fmt.Errorf("check account database %s: %w%s", file, err, remedy(err))
	}
	return nil
}

// nothing is what a check gives when it finds nothing.
type nothing struct{}

func checkAccount(tx *bolt.Tx, key, value []byte) (nothing, error) {
	r, err := unsealRecord(key, value)
	if err != nil {
		return nothing{}, err
	}
	events, err := history(tx, r)
	if err != nil {
		return nothing{}, err
	}
	want, err := fold(events)
	if err != nil {
		return nothing{}, fmt.Errorf("account %s: its events: %w", key, err)
	}
	if !bytes.Equal(sealRecord(want), value) {
		return nothing{}, fmt.Errorf("account %s: %w: its record is not what its events make", key, ErrDamaged)
	}
	return nothing{}, nil
}

// checkEntry asks for the account and the event that a ledger key names, and gives the event's number.
func checkEntry(tx *bolt.Tx, key, _ []byte) (uint64, error) {
	address, seq, ok := bytes.Cut(key, []byte{0})
	value := tx.Bucket(bucketEvents).Get(seq)
	if !ok || tx.Bucket(bucketAccounts).Get(address) == nil || value == nil {
		return number(seq), fmt.Errorf("ledger entry %q: %w: there is no such account or event", key, ErrDamaged)
	}
	if _, err := unseal(seq, value); err != nil {
		return number(seq), fmt.Errorf("account %s: event %d: %w", address, number(seq), err)
	}
	return number(seq), nil
}

// checkEvent asks for the ledger entry of an event, and gives the event's number.
func checkEvent(tx *bolt.Tx, key, value []byte) (uint64, error) {
	e, err := unsealEvent(key, value)
	if err != nil {
		return number(key), fmt.Errorf("event %d: %w", number(key), err)
	}
	entry, _ := tx.Bucket(bucketLedger).Cursor().Seek(append(ledgerPrefix(e.Address), key...))
	if !bytes.HasSuffix(entry, key) || !bytes.HasPrefix(entry, ledgerPrefix(e.Address)) {
		return number(key), fmt.Errorf("account %s: event %d: %w: it is not in the ledger", e.Address, e.Seq, ErrDamaged)
	}
	return number(key), nil
}

// number reads an event key; 0 if it cannot be one.
func number(key []byte) uint64 {
	if len(key) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key)
}
