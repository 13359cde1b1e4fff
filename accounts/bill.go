package accounts

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Progress hears how far long work is, in accounts or rows. It may be nil.
type Progress func(done, all int)

func (p Progress) tell(done, all int) {
	if p != nil {
		p(done, all)
	}
}

// Bill is what there is to know of the bill of a month, besides its lines.
type Bill struct {
	Month    Month     `json:"month"`
	Lines    int       `json:"lines"`
	Total    int64     `json:"total"` // before tax, in the smallest unit of the currency
	Currency string    `json:"currency"`
	UnderWay bool      `json:"under_way,omitempty"` // the month is not over
	Closed   time.Time `json:"closed,omitzero"`     // when the bill was closed
	By       string    `json:"by,omitempty"`        // who closed it
}

func (b *Bill) add(c Charge) { b.Lines, b.Total = b.Lines+1, b.Total+c.Fee }

// BillOptions choose what Bill tells.
type BillOptions struct {
	Owner    string // of one member only; "" for all
	Progress Progress
}

// Bill calls f for each line of the bill of a month, in the order of addresses,
// until f returns false, and gives what there is to know of the bill as a whole,
// or of the lines of one owner. A bill that was closed is read from what was written
// then; else it is computed from the events, each account for itself, while changes go on.
// f may use the database. Errors: ErrTransition for a month that has not begun, and
// ErrDamaged: then the bill is not whole.
func (db *DB) Bill(m Month, o BillOptions, f func(Charge) bool) (Bill, error) {
	b, lines, err := db.bill(m, o.Progress)
	if err != nil {
		return Bill{}, fmt.Errorf("bill of %s: %w", m, err)
	}
	b.Lines, b.Total = 0, 0
	for c, err := range lines {
		if err != nil {
			return Bill{}, fmt.Errorf("bill of %s: %w", m, err)
		}
		if o.Owner != "" && c.Owner != o.Owner {
			continue
		}
		b.add(c)
		if !f(c) {
			break
		}
	}
	return b, nil
}

// bill gives the bill of a month as it stands, closed or not.
func (db *DB) bill(m Month, progress Progress) (Bill, iter.Seq2[Charge, error], error) {
	b, err := db.issued(m)
	if err == nil {
		return b, db.frozen(m), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return Bill{}, nil, err
	}
	t, now := db.tariff(), db.now()
	start, end := m.Bounds(t.zone())
	if now.Before(start) {
		return Bill{}, nil, fmt.Errorf("%w: the month begins on %s, and the clock stands at %s", ErrTransition, t.timeText(start), t.timeText(now))
	}
	return Bill{Month: m, Currency: t.Currency, UnderWay: now.Before(end)}, db.computed(m, time.Time{}, progress), nil
}

func (t Tariff) timeText(at time.Time) string { return at.In(t.zone()).Format(time.RFC3339) }

// computed gives the charges that follow from the events, or from those that were
// entered before a time, unless it is zero. Damaged accounts are left out; the
// error that comes last says so.
func (db *DB) computed(m Month, before time.Time, progress Progress) iter.Seq2[Charge, error] {
	p := db.tariff().in(m)
	p.entered = before
	return func(yield func(Charge, error) bool) {
		var damaged faults
		done, all := 0, db.count()
		for charges, err := range each(db, bucketAccounts, p.read) {
			if done++; done%batch == 0 {
				progress.tell(done, all)
			}
			if err != nil {
				damaged.add(err)
			}
			for _, c := range charges {
				if !yield(c, nil) {
					return
				}
			}
		}
		progress.tell(done, done)
		if err := damaged.err(); err != nil {
			yield(Charge{}, err)
		}
	}
}

// read makes the charges of one account.
func (p period) read(tx *bolt.Tx, key, value []byte) ([]Charge, error) {
	r, err := unsealRecord(key, value)
	if err != nil {
		return nil, err
	}
	events, err := history(tx, r)
	if err != nil {
		return nil, err
	}
	if n := slices.IndexFunc(events, func(e Event) bool { return !p.entered.IsZero() && !e.At.Before(p.entered) }); n >= 0 {
		events = events[:n] // a ledger is in the order in which it was entered
	}
	if len(events) == 0 {
		return nil, nil
	}
	return p.charges(events)
}

// count is how many accounts there are, closed ones too; 0 if that cannot be read.
func (db *DB) count() (n int) {
	db.view(func(tx *bolt.Tx) error {
		n = tx.Bucket(bucketAccounts).Stats().KeyN
		return nil
	})
	return n
}

// tariff is what bills are made by from now on.
func (db *DB) tariff() Tariff { return *db.prices.Load() }

// SetTariff puts another tariff in force. Bills that were closed stay as they are.
func (db *DB) SetTariff(t Tariff) { db.prices.Store(&t) }
