package accounts

import (
	"bytes"
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
	info, err := db.file.Stat()
	if err == nil {
		tell(verifyPages(db.file, info.Size()))
	}
	release()
	if err != nil || len(problems) > 0 { // nothing can be read through broken pages
		return problems, 0, err
	}
	for _, err := range each(db, bucketAccounts, checkAccount) {
		if tell(err); err == nil {
			accounts++
		}
	}
	for _, err := range each(db, bucketLedger, checkEntry) {
		tell(err)
	}
	for _, err := range each(db, bucketEvents, checkEvent) {
		tell(err)
	}
	return problems, accounts, nil
}

// CheckFile does what Check does for a file that nobody has open, a backup for
// example, without changing a byte. The error is one of those of Open, or
// ErrDamaged with the first problem.
func CheckFile(file string) error {
	db, err := open(file, Options{}, os.O_RDONLY)
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

// checkEntry asks for the account and the event that a ledger key names.
func checkEntry(tx *bolt.Tx, key, _ []byte) (nothing, error) {
	address, seq, ok := bytes.Cut(key, []byte{0})
	if !ok || tx.Bucket(bucketAccounts).Get(address) == nil || tx.Bucket(bucketEvents).Get(seq) == nil {
		return nothing{}, fmt.Errorf("ledger entry %q: %w: there is no such account or event", key, ErrDamaged)
	}
	return nothing{}, nil
}

func checkEvent(tx *bolt.Tx, key, value []byte) (nothing, error) {
	e, err := unsealEvent(key, value)
	if err != nil {
		return nothing{}, fmt.Errorf("event %x: %w", key, err)
	}
	entry, _ := tx.Bucket(bucketLedger).Cursor().Seek(append(ledgerPrefix(e.Address), key...))
	if !bytes.HasSuffix(entry, key) || !bytes.HasPrefix(entry, ledgerPrefix(e.Address)) {
		return nothing{}, fmt.Errorf("event %d of %s: %w: it is not in the ledger", e.Seq, e.Address, ErrDamaged)
	}
	return nothing{}, nil
}
