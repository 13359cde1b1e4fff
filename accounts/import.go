package accounts

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// ImportOptions say how Import goes about it.
type ImportOptions struct {
	By       string
	DryRun   bool     // everything is tried, and nothing kept
	Progress Progress // in rows; all is 0 until they are counted
}

// Imported is what an import did, in accounts.
type Imported struct {
	Added     int `json:"added"`
	Continued int `json:"continued"` // were there, and got the events that they lacked
	Unchanged int `json:"unchanged"` // were there, and stay as they are
	Different int `json:"different"` // of those unchanged: the row says something else of them
}

// Import reads accounts, all or nothing: what Export or ExportCSV wrote, or rows
// without a history, as an operator would write them. Which of the two forms it is,
// the content decides.
//
// Importing again changes nothing: an account whose ledger begins with the same
// events gets those that it lacks; one with another history is an error. A row
// without events makes the account if there is none, in the name of By, and leaves
// it as it is otherwise; language and maildir may be left out. Events get new
// sequence numbers. Each error names its row; several are told at once.
//
// r is read to its end, and every row checked, before the database is touched: it
// may be slow. Other changes wait from then on. What is more than bbolt should hold in memory
// is entered in a copy of the database, for which the disk must have room. When the database is
// closed meanwhile, such an import ends with ErrBusy.
func (db *DB) Import(r io.Reader, o ImportOptions) (Imported, error) {
	n, err := db.importAll(r, o)
	if errors.Is(err, errUnsynced) {
		return Imported{}, fmt.Errorf("import accounts: %w", err)
	}
	if err != nil {
		return Imported{}, fmt.Errorf("import accounts: nothing was imported: %w", err)
	}
	return n, nil
}

func (db *DB) importAll(r io.Reader, o ImportOptions) (Imported, error) {
	file, err := db.spool()
	if err != nil {
		return Imported{}, err
	}
	defer file.Close()
	if _, err := io.Copy(file, r); err != nil {
		return Imported{}, err
	}
	rows, err := readRows(file, db.tariff().zone())
	if err != nil {
		return Imported{}, err
	}
	checked, err := db.spool()
	if err != nil {
		return Imported{}, err
	}
	defer checked.Close()
	l := &loading{db: db, options: o, now: db.now(), checked: checked}
	if err := l.check(rows); err != nil {
		return Imported{}, err
	}
	if err := l.apply(); err != nil && !errors.Is(err, errUnchanged) {
		return Imported{}, err
	}
	return l.done, nil
}

// A row is one account of a file.
type row struct {
	place   place
	account Account
	events  []Event                  // none: they are made of account
	names   func(column string) bool // the columns that count, empty or not
}

// A place is where a row stands.
type place struct{ row, line int } // row: 0 where it is the line

func (p place) String() string {
	if p.row == 0 {
		return fmt.Sprintf("line %d", p.line)
	}
	return fmt.Sprintf("row %d (line %d)", p.row, p.line)
}

// A loading is an import under way. Its rows are checked in the order of the file and
// written down as events; then they are applied in the order of addresses: in any
// other, bbolt would spend hours on a large file keeping in order what it holds in memory.
type loading struct {
	db      *DB
	options ImportOptions
	now     time.Time
	checked checked // the events of all rows
	index   []noted
	done    Imported
	mailed  []mailed
	wrong   rowFaults // those that cannot be entered
}

// checked is a file of checked rows.
type checked interface {
	io.Writer
	io.ReaderAt
}

// noted is where the events of a row are in the file of checked rows.
type noted struct {
	address string
	at      int64
	size    int
	place   place
}

// The bits of a checked row.
const (
	madeUp       = 1 << iota // it came without events
	saysLanguage             // and not by default
	saysMaildir
)

// check reads all rows and tells of those that can never be imported.
func (l *loading) check(rows iter.Seq2[row, error]) error {
	var wrong rowFaults
	out := bufio.NewWriterSize(l.checked, 1<<16)
	n, at := 0, int64(0)
	for r, err := range rows {
		if n++; n%batch == 0 {
			l.options.Progress.tell(n, 0)
		}
		var address string
		var b []byte
		if err == nil {
			address, b, err = l.checkRow(r)
		}
		if err != nil {
			if wrong.add(r.place, err) {
				break
			}
			continue
		}
		if _, err := out.Write(b); err != nil {
			return err
		}
		l.index = append(l.index, noted{strings.Clone(address), at, len(b), r.place}) // not the row that it is part of
		at += int64(len(b))
	}
	slices.SortStableFunc(l.index, func(a, b noted) int { return strings.Compare(a.address, b.address) })
	return errors.Join(wrong.err(), out.Flush())
}

// checkRow gives the events that a row stands for, in the form of the file of checked rows.
func (l *loading) checkRow(r row) (address string, b []byte, err error) {
	if address, err = ParseAddress(r.account.Address); err != nil {
		return "", nil, err
	}
	events, flags := r.events, byte(0)
	if len(events) == 0 {
		flags = madeUp | byte(bit(saysLanguage, r.account.Language != "")) | byte(bit(saysMaildir, r.account.Maildir != ""))
		if events, err = l.db.begun(address, r.account, l.now, l.options.By); err != nil {
			return "", nil, err
		}
	}
	if events, err = continued(address, nil, events, l.now); err != nil {
		return "", nil, err
	}
	for i := range events {
		events[i].Seq = uint64(i + 1)
	}
	folded, err := fold(events)
	if err == nil {
		err = folded.account.validate("")
	}
	if err == nil && flags&madeUp == 0 {
		err = contradiction(r, folded, l.now)
	}
	if err != nil {
		return "", nil, err
	}
	b = append(b, flags)
	for _, e := range events {
		text, err := json.Marshal(e)
		if err != nil {
			return "", nil, err
		}
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	return address, b, nil
}

// load gives the events of a checked row.
func (l *loading) load(n noted) (flags byte, events []Event, err error) {
	b := make([]byte, n.size)
	if _, err := l.checked.ReadAt(b, n.at); err != nil {
		return 0, nil, err
	}
	for d := (decoder{rest: string(b[1:])}); d.rest != ""; {
		text := d.string()
		e, ok := readEvent(text)
		if !ok {
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				return 0, nil, err
			}
		}
		events = append(events, e)
	}
	return b[0], events, nil
}

// Bounds of what is entered in one transaction, which bbolt holds in memory.
const (
	importRows  = 10_000
	importBytes = 16 << 20 // of events
)

// apply enters what was checked: in one change if that is not much, else in a copy of the
// database that takes its place.
func (l *loading) apply() error {
	end := l.batch(0)
	if end == len(l.index) {
		return l.db.update(func(tx *bolt.Tx) error {
			l.applyRows(tx, 0, end)
			return l.finish(tx)
		})
	}
	return l.db.rewrite(func(c *dbFile) error {
		for from := 0; from < len(l.index); from, end = end, l.batch(end) {
			if l.db.closing.Load() {
				return errClosing
			}
			err := c.update(func(tx *bolt.Tx) error {
				l.applyRows(tx, from, end)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return c.view(l.finish)
	})
}

// batch gives the end of the rows that are entered together with the one at from.
func (l *loading) batch(from int) (end int) {
	bytes := 0
	for end = from; end < len(l.index) && end-from < l.db.importRows && bytes < importBytes; end++ {
		bytes += l.index[end].size
	}
	return end
}

// applyRows enters some rows, of which bbolt had better get the keys in their order. Of those
// that cannot be entered, it goes on to tell as many as are told.
func (l *loading) applyRows(tx *bolt.Tx, from, end int) {
	for _, bucket := range [][]byte{bucketAccounts, bucketEvents, bucketLedger} {
		tx.Bucket(bucket).FillPercent = 0.9 // what is left empty stays so
	}
	for i := from; i < end && len(l.wrong) < maxRowFaults; i++ {
		if i%batch == 0 {
			l.options.Progress.tell(i, len(l.index))
		}
		n := l.index[i]
		var before place
		if i > 0 && l.index[i-1].address == n.address {
			before = l.index[i-1].place
		}
		if err := l.applyRow(tx, n, before); err != nil {
			l.wrong.add(n.place, err)
		}
	}
}

// finish tells what was wrong. With errUnchanged all is well, and nothing to be kept.
func (l *loading) finish(tx *bolt.Tx) error {
	if err := l.wrong.err(); err != nil {
		return err
	}
	l.options.Progress.tell(len(l.index), len(l.index))
	if err := l.unshared(tx); err != nil {
		return err
	}
	if l.options.DryRun {
		return errUnchanged
	}
	return nil
}

// applyRow brings the ledger of one account to what its row says. before is a row of
// the same account.
func (l *loading) applyRow(tx *bolt.Tx, n noted, before place) error {
	flags, given, err := l.load(n)
	if err != nil {
		return err
	}
	r, known, err := ledger(tx, n.address)
	if err != nil {
		return err
	}
	if flags&madeUp != 0 && len(known) > 0 {
		if before.line > 0 {
			return fmt.Errorf("%s: %w: it is in %s too", n.address, ErrExists, before)
		}
		l.done.Unchanged++
		if says, err := fold(given); err == nil && different(flags, says.account, r.at(l.now)) {
			l.done.Different++
		}
		return nil
	}
	fresh, err := continued(n.address, known, given, l.now)
	switch {
	case err != nil:
		return err
	case len(fresh) == 0:
		l.done.Unchanged++
		return nil
	}
	if r, err = appendEvents(tx, known, fresh...); err != nil {
		return err
	}
	if err := r.account.validate(""); err != nil {
		return err
	}
	if len(known) == 0 {
		l.done.Added++
	} else {
		l.done.Continued++
	}
	if a := r.at(l.now); a.open() {
		l.mailed = append(l.mailed, mailed{maildirHash(a.Maildir), n.place})
	}
	return nil
}

// different reports whether a row without events says something else of an account that is there.
func different(flags byte, says, is Account) bool {
	other := func(says, is State) bool {
		return says.Subscribed && (!is.Subscribed || says.Paused != is.Paused)
	}
	return says.Owner != "" && says.Owner != is.Owner ||
		flags&saysLanguage != 0 && says.Language != is.Language ||
		flags&saysMaildir != 0 && says.Maildir != is.Maildir ||
		len(says.Forward) > 0 && !slices.Equal(says.Forward, is.Forward) ||
		says.NoCopy && !is.NoCopy || says.NoCourse && !is.NoCourse || says.Main && !is.Main ||
		other(says.Inbound, is.Inbound) || other(says.Outbound, is.Outbound) ||
		says.open() != is.open()
}

// mailed is a Maildir that an import gave to an account.
type mailed struct {
	hash  uint64
	place place
}

var maildirSeed = maphash.MakeSeed()

func maildirHash(path string) uint64 { return maphash.String(maildirSeed, path) }

// unshared refuses Maildirs of imported accounts that another open account has, which
// may be one of the same file: their mail would be mixed. It holds one number for each.
func (l *loading) unshared(tx *bolt.Tx) error {
	byHash := func(a, b mailed) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(b.place.line, a.place.line))
	}
	slices.SortFunc(l.mailed, byHash) // of the same Maildir, the last row is told
	users := make([]uint8, len(l.mailed))
	find := func(r record) (int, bool) {
		a := r.at(l.now)
		if !a.open() {
			return 0, false
		}
		hash := maildirHash(a.Maildir)
		return slices.BinarySearchFunc(l.mailed, hash, func(m mailed, hash uint64) int { return cmp.Compare(m.hash, hash) })
	}
	eachRecord(tx, func(r record) {
		if i, ok := find(r); ok && users[i] < 2 {
			users[i]++
		}
	})
	var wrong rowFaults
	first := make(map[string]string) // Maildir: whose it is
	if slices.Contains(users, 2) {
		eachRecord(tx, func(r record) {
			i, ok := find(r)
			if !ok || users[i] < 2 {
				return
			}
			dir := r.account.Maildir
			if other, taken := first[dir]; taken {
				wrong.add(l.mailed[i].place, fmt.Errorf("%w: the Maildir %s is that of %s and of %s", ErrSetting, dir, other, r.account.Address))
			}
			first[dir] = r.account.Address
		})
	}
	return wrong.err()
}

// eachRecord goes through all records that are whole.
func eachRecord(tx *bolt.Tx, f func(record)) {
	c := tx.Bucket(bucketAccounts).Cursor()
	for key, value := c.First(); key != nil; key, value = c.Next() {
		if r, err := unsealRecord(key, value); err == nil {
			f(r)
		}
	}
}

// rowFaults is what is wrong with rows: the first of them in full.
type rowFaults []rowFault

type rowFault struct {
	place place
	err   error
}

// maxRowFaults is how many wrong rows are told: who sees so many looks for what they have in common.
const maxRowFaults = 20

// add reports whether it has enough.
func (f *rowFaults) add(p place, err error) bool {
	*f = append(*f, rowFault{p, err})
	return len(*f) == maxRowFaults
}

func (f rowFaults) err() error {
	if len(f) == 0 {
		return nil
	}
	slices.SortFunc(f, func(a, b rowFault) int { return cmp.Compare(a.place.line, b.place.line) })
	return f
}

// Error has a line for each row when there are several.
func (f rowFaults) Error() string {
	if len(f) == 1 {
		return fmt.Sprintf("%s: %v", f[0].place, f[0].err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows are wrong", len(f))
	if len(f) >= maxRowFaults {
		fmt.Fprintf(&b, ", and perhaps more")
	}
	for _, one := range f {
		fmt.Fprintf(&b, "\n  %s: %v", one.place, one.err)
	}
	return b.String()
}

// Unwrap gives the errors of all rows, and ErrFormat.
func (f rowFaults) Unwrap() []error {
	all := []error{ErrFormat}
	for _, one := range f {
		all = append(all, one.err)
	}
	return all
}

// begun makes the events of an account that came without.
func (db *DB) begun(address string, a Account, now time.Time, by string) ([]Event, error) {
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
		case (e.Kind == Added || e.Kind == Changed) && e.Effective.After(e.At):
			return nil, fmt.Errorf("%s: %w: event %d: settings cannot be entered for later", address, ErrTransition, i+1)
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
