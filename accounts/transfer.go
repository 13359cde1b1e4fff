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

// Import reads what Export wrote, all or nothing, and gives the number of
// accounts that were not there before. Importing again changes nothing: an
// account whose ledger begins with the same events gets those that it lacks;
// one with another history is an error. A line with an account but no events,
// as an operator would write it, makes the account if there is none, in the name
// of by; language and maildir may be left out. Events get new sequence numbers.
// The error names the line.
//
// r is read to its end before the database is touched: it may be slow.
func (db *DB) Import(r io.Reader, by string) (added int, err error) {
	spool, err := db.spool()
	if err != nil {
		return 0, fmt.Errorf("import accounts: %w", err)
	}
	defer spool.Close()
	_, err = io.Copy(spool, r)
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		return 0, fmt.Errorf("import accounts: %w", err)
	}
	err = db.update(func(tx *bolt.Tx) error {
		added = 0
		lines := bufio.NewScanner(spool)
		lines.Buffer(nil, maxLine)
		n := 1
		for ; lines.Scan(); n++ {
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			isNew, err := db.importLine(tx, lines.Bytes(), by)
			if err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
			if isNew {
				added++
			}
		}
		if err := lines.Err(); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("import accounts: nothing was imported: %w", err)
	}
	return added, nil
}

// importLine brings the ledger of one account to what the line says.
func (db *DB) importLine(tx *bolt.Tx, text []byte, by string) (added bool, err error) {
	var l line
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return false, err
	}
	if _, err := d.Token(); err != io.EOF {
		return false, errors.New("more than one object")
	}
	address, err := ParseAddress(l.Account.Address)
	if err != nil {
		return false, err
	}
	_, known, err := ledger(tx, address)
	if err != nil {
		return false, err
	}
	given := l.Events
	if len(given) == 0 {
		if len(known) > 0 {
			return false, nil
		}
		if given, err = db.begun(address, l.Account, by); err != nil {
			return false, err
		}
	}
	fresh, err := continued(address, known, given, db.now())
	if err != nil || len(fresh) == 0 {
		return false, err
	}
	r, err := appendEvents(tx, known, fresh...)
	if err != nil {
		return false, err
	}
	return len(known) == 0, r.account.validate("") // an export of ours comes back, whatever the delimiter is by now
}

// begun makes the events of an account that came without.
func (db *DB) begun(address string, a Account, by string) ([]Event, error) {
	now := db.now()
	a.Address = address
	if a.Language == "" {
		a.Language = "ja"
	}
	if a.Maildir == "" {
		var err error
		if a.Maildir, err = ExpandPath(db.options.Path, address); err != nil {
			return nil, err
		}
	}
	since := func(t time.Time) time.Time {
		if t.IsZero() {
			return now
		}
		return t
	}
	added := since(a.Added)
	for _, s := range []State{a.Inbound, a.Outbound} {
		if s.Subscribed && since(s.Since).Before(added) {
			added = s.Since
		}
	}
	events := []Event{{Kind: Added, Effective: added, Settings: a.settings()}}
	for _, service := range []struct {
		name Service
		State
	}{{Inbound, a.Inbound}, {Outbound, a.Outbound}} {
		if service.Subscribed {
			events = append(events, Event{Kind: Subscribed, Service: service.name, Effective: since(service.Since)})
		}
		if service.Paused {
			events = append(events, Event{Kind: Paused, Service: service.name, Effective: since(service.Since)})
		}
	}
	if !a.Closed.IsZero() {
		events = append(events, Event{Kind: Closed, Effective: a.Closed})
	}
	for _, p := range a.Pending {
		events = append(events, Event{Kind: p.Kind, Service: p.Service, Effective: p.Effective})
	}
	for i := range events {
		events[i].Address, events[i].At, events[i].By = address, now, by
	}
	return events, nil
}

// continued gives those of the given events that come after the known ones.
func continued(address string, known, given []Event, now time.Time) ([]Event, error) {
	var fresh []Event
	var last time.Time
	for i, e := range given {
		switch {
		case e.Address != address:
			return nil, fmt.Errorf("%s: %w: an event of %.300q", address, ErrTransition, e.Address)
		case !sensible(e.At) || !sensible(e.Effective) || e.At.Before(last) || e.At.After(now.Add(clockSkew)):
			return nil, fmt.Errorf("%s: %w: the times of event %d are missing, out of order, or entered in the future", address, ErrTransition, i+1)
		case len(e.Note) > maxNote || !printable(e.Note):
			return nil, fmt.Errorf("%s: %w: the note of event %d", address, ErrSetting, i+1)
		}
		last = e.At
		e.At, e.Effective, e.By = e.At.UTC(), e.Effective.UTC(), entered(e.By)
		switch {
		case i >= len(known):
			fresh = append(fresh, e)
		case !sameEvent(e, known[i]):
			return nil, fmt.Errorf("%s: %w: it is there already, with another history", address, ErrExists)
		}
	}
	return fresh, nil
}

// sameEvent compares two events in all but their sequence numbers.
func sameEvent(a, b Event) bool {
	a.Seq, b.Seq = 0, 0
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return errors.Join(err, err2) == nil && bytes.Equal(x, y)
}
