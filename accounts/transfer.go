package accounts

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	maxLine = 16 << 20 // bytes of one account with all its events
	maxNote = 4096     // bytes

	clockSkew = 24 * time.Hour // how far ahead the clock may be with which an event was entered
)

// A line is one account in an export.
type line struct {
	Account Account `json:"account"`
	Events  []Event `json:"events,omitempty"`
}

// Backup writes a consistent copy of the file, which Open takes, and gives its
// size. The copy is first made beside the database, in a file without a name,
// and verified there: w may be as slow as it likes, and gets nothing if the
// database is damaged.
func (db *DB) Backup(w io.Writer) (int64, error) {
	spool, err := db.spool()
	if err != nil {
		return 0, fmt.Errorf("back up account database: %w", err)
	}
	defer spool.Close()
	var size int64
	err = db.view(func(tx *bolt.Tx) (err error) {
		size, err = tx.WriteTo(spool)
		return err
	})
	if err == nil {
		err = verifyPages(spool, size)
	}
	if err != nil {
		return 0, fmt.Errorf("back up account database: %w", err)
	}
	return io.Copy(w, io.NewSectionReader(spool, 0, size))
}

// spool makes a file without a name, on the file system of the database if that can be written.
func (db *DB) spool() (*os.File, error) {
	f, err := os.CreateTemp(filepath.Dir(db.path), ".accounts-copy-*")
	if err != nil {
		f, err = os.CreateTemp("", "kiyome-accounts-*")
	}
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// Export writes every account with its events, a JSON object a line. Each
// account is consistent in itself; changes made meanwhile may be in it or not.
// Damaged accounts are left out; the error at the end says so.
func (db *DB) Export(w io.Writer) error {
	out := bufio.NewWriter(w)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	var damaged faults
	for l, err := range each(db, bucketAccounts, db.readLine) {
		if err != nil {
			damaged.add(err)
			continue
		}
		if err := encoder.Encode(l); err != nil {
			return fmt.Errorf("export accounts: %w", err)
		}
	}
	return errors.Join(out.Flush(), damaged.err())
}

func (db *DB) readLine(tx *bolt.Tx, key, value []byte) (line, error) {
	r, err := unsealRecord(key, value)
	if err != nil {
		return line{}, err
	}
	events, err := history(tx, r)
	return line{r.at(db.now()), events}, err
}
