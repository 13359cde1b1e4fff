//go:build bench

package accounts

import (
	"errors"
	"fmt"
	"iter"
	"time"

	bolt "go.etcd.io/bbolt"
)

// WriteBulk makes a database of accounts with two events each (added, subscribed to
// inbound), for measurements: so many that an import would take too long. The
// addresses are canonical and ascending.
func WriteBulk(file string, o Options, addresses iter.Seq[string]) error {
	if err := createBolt(file, makeBuckets); err != nil {
		return err
	}
	db, err := bolt.Open(file, 0, &bolt.Options{NoSync: true, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return err
	}
	next, stop := iter.Pull(addresses)
	defer stop()
	for more := true; more && err == nil; {
		err = db.Update(func(tx *bolt.Tx) (err error) {
			more, err = writeSome(tx, o, next)
			return err
		})
	}
	return errors.Join(err, db.Sync(), db.Close())
}

// bulk is how many accounts are written in one transaction.
const bulk = 50_000

func writeSome(tx *bolt.Tx, o Options, next func() (string, bool)) (more bool, err error) {
	for _, name := range [][]byte{bucketAccounts, bucketEvents, bucketLedger} {
		tx.Bucket(name).FillPercent = 0.9 // as Import does
	}
	at := time.Date(2014, 10, 1, 0, 0, 0, 0, time.UTC)
	for range bulk {
		address, ok := next()
		if !ok {
			return false, nil
		}
		maildir, err := ExpandPath(o.Path, address)
		if err != nil {
			return false, err
		}
		_, err = appendEvents(tx, nil,
			Event{Address: address, Kind: Added, By: "root", At: at, Effective: at, Settings: &Settings{Maildir: &maildir}},
			Event{Address: address, Kind: Subscribed, Service: Inbound, By: "root", At: at, Effective: at})
		if err != nil {
			return false, fmt.Errorf("%s: %w", address, err)
		}
	}
	return true, nil
}
