package accounts

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
)

// chargeColumns are the columns of a bill.
var chargeColumns = []string{"month", "owner", "address", "service", "fee", "currency", "reason"}

// ChargeColumns names what Row gives.
func ChargeColumns() []string { return slices.Clone(chargeColumns) }

// Row is a charge as a row of a table.
func (c Charge) Row() []string {
	return []string{c.Month.String(), c.Owner, c.Address, string(c.Service), strconv.FormatInt(c.Fee, 10), c.Currency, c.Reason}
}

// CloseMonth writes the bill of a month for good: from then on Bill gives what was
// written, whatever is entered. The file is there whole or not at all, and never
// written again. Errors: ErrTransition if the month is not over, ErrIssued if its bill
// was closed before, ErrDamaged if it would lack an account.
func (db *DB) CloseMonth(m Month, by string, progress Progress) (Bill, error) {
	b, err := db.closeMonth(m, by, progress)
	if err != nil {
		return Bill{}, fmt.Errorf("close the bill of %s: %w", m, err)
	}
	return b, nil
}

func (db *DB) closeMonth(m Month, by string, progress Progress) (Bill, error) {
	b, lines, err := db.bill(m, progress)
	if err != nil {
		return Bill{}, err
	}
	if !b.Closed.IsZero() {
		return Bill{}, fmt.Errorf("%w: on %s by %s", ErrIssued, db.tariff().timeText(b.Closed), b.By)
	}
	if b.UnderWay {
		return Bill{}, db.notOver(m)
	}
	b.Closed, b.By = db.now().Truncate(time.Second), entered(by)
	dir := filepath.Dir(db.billFile(m))
	if err := db.makeFolder(dir); err != nil {
		return Bill{}, err
	}
	f, err := os.CreateTemp(dir, "."+m.String()+"-*")
	if err != nil {
		return Bill{}, err
	}
	defer os.Remove(f.Name())
	if os.Geteuid() == 0 {
		err = giveToOwner(f, filepath.Dir(dir))
	}
	if err == nil {
		err = b.write(f, lines)
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return Bill{}, err
	}
	switch err := os.Link(f.Name(), db.billFile(m)); { // unlike a renaming, it replaces nothing
	case errors.Is(err, fs.ErrExist):
		return Bill{}, fmt.Errorf("%w: by somebody else, meanwhile", ErrIssued)
	case err != nil:
		return Bill{}, err
	}
	return b, syncFolder(dir)
}

// notOver says when a month ends, and if the ledger is further than the clock.
func (db *DB) notOver(m Month) error {
	t := db.tariff()
	_, end := m.Bounds(t.zone())
	text := fmt.Sprintf("the month ends on %s, and the clock stands at %s", t.timeText(end), t.timeText(db.now()))
	var last Event
	err := db.view(func(tx *bolt.Tx) (err error) {
		if key, value := tx.Bucket(bucketEvents).Cursor().Last(); key != nil {
			last, err = unsealEvent(key, value)
		}
		return err
	})
	if err == nil && last.At.After(end) {
		text += fmt.Sprintf("; but something was entered on %s: was the clock put back?", t.timeText(last.At))
	}
	return fmt.Errorf("%w: %s", ErrTransition, text)
}

// makeFolder makes a folder beside the database, for whom that belongs to.
func (db *DB) makeFolder(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil && os.Geteuid() == 0 {
		var f *os.File
		if f, err = os.Open(dir); err == nil {
			err = errors.Join(giveToOwner(f, filepath.Dir(dir)), f.Close())
		}
	}
	return errors.Join(err, syncFolder(filepath.Dir(dir)))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// billFile is where the bill of a month lies when it is closed.
func (db *DB) billFile(m Month) string {
	return filepath.Join(filepath.Dir(db.path), "bills", m.String()+".csv")
}

// write writes the lines of a bill, and below them what there is to know of it,
// with a SHA-256 of all that stands before it.
func (b *Bill) write(w io.Writer, lines iter.Seq2[Charge, error]) error {
	sum := sha256.New()
	out := bufio.NewWriter(io.MultiWriter(w, sum))
	rows := csv.NewWriter(out)
	b.Lines, b.Total = 0, 0
	err := rows.Write(chargeColumns)
	for c, lineErr := range lines {
		if err = errors.Join(err, lineErr); err != nil {
			return err
		}
		b.add(c)
		err = rows.Write(c.Row())
	}
	rows.Flush()
	fmt.Fprintf(out, "# %d lines, total %d %s, closed %s by %s, sha256 ", b.Lines, b.Total, b.Currency, b.Closed.Format(time.RFC3339), b.By)
	if err := errors.Join(err, rows.Error(), out.Flush()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%x\n", sum.Sum(nil))
	return err
}

var billEnd = regexp.MustCompile(`\n# (\d+) lines, total (-?\d+) (\S*), closed (\S+) by (.*), sha256 ([0-9a-f]{64})\n$`)

// issued gives what there is to know of a bill that was closed, after a look at
// all of it; fs.ErrNotExist if it was not.
func (db *DB) issued(m Month) (Bill, error) {
	name := db.billFile(m)
	f, err := os.Open(name)
	if err != nil {
		return Bill{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Bill{}, err
	}
	const longest = 1024 // bytes of the last line: by has 255 at most
	tail := make([]byte, min(info.Size(), longest))
	if _, err := f.ReadAt(tail, info.Size()-int64(len(tail))); err != nil {
		return Bill{}, err
	}
	end := billEnd.FindSubmatch(tail)
	if end == nil {
		return Bill{}, fmt.Errorf("%w: %s: its last line is not that of a bill", ErrDamaged, name)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(f, info.Size()-int64(hex.EncodedLen(sha256.Size)+len("\n")))); err != nil {
		return Bill{}, err
	}
	b := Bill{Month: m, Currency: string(end[3]), By: string(end[5])}
	b.Lines, err = strconv.Atoi(string(end[1]))
	var err2, err3 error
	b.Total, err2 = strconv.ParseInt(string(end[2]), 10, 64)
	b.Closed, err3 = time.Parse(time.RFC3339, string(end[4]))
	if !bytes.Equal(sum.Sum(nil), mustHex(end[6])) || errors.Join(err, err2, err3) != nil {
		return Bill{}, fmt.Errorf("%w: %s: wrong checksum: it is not as it was written", ErrDamaged, name)
	}
	return b, nil
}

func mustHex(digits []byte) []byte {
	b, err := hex.AppendDecode(nil, digits)
	if err != nil {
		panic(err) // a regular expression has seen to it
	}
	return b
}

// frozen gives the lines of a bill that was closed.
func (db *DB) frozen(m Month) iter.Seq2[Charge, error] {
	return func(yield func(Charge, error) bool) {
		f, err := os.Open(db.billFile(m))
		if err != nil {
			yield(Charge{}, err)
			return
		}
		defer f.Close()
		rows := csv.NewReader(bufio.NewReader(f))
		rows.ReuseRecord, rows.Comment, rows.FieldsPerRecord = true, '#', len(chargeColumns)
		if _, err = rows.Read(); err != nil { // the names
			yield(Charge{}, err)
			return
		}
		for {
			row, err := rows.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			var c Charge
			if err == nil {
				c, err = readCharge(row)
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
	}
}

// readCharge is the reverse of Row.
func readCharge(row []string) (Charge, error) {
	m, err := ParseMonth(row[0])
	fee, err2 := strconv.ParseInt(row[4], 10, 64)
	return Charge{m, row[1], row[2], Service(row[3]), fee, row[5], row[6]}, errors.Join(err, err2)
}

// Difference is a line by which a bill has changed since it was issued.
type Difference struct {
	Change string `json:"change"` // "added" or "removed"
	Charge
}

// SinceIssued calls f for each line by which the bill of a month that is over
// differs from the one that was issued, until f returns false: the one that was
// closed or, if none was, what followed from the events that were entered by the end
// of the month. A line that has changed is removed, and added as it is now. It
// gives what there is to know of the bill as it was issued, without lines and total
// if it was not closed. Errors: ErrTransition if the month is not over.
func (db *DB) SinceIssued(m Month, o BillOptions, f func(Difference) bool) (Bill, error) {
	fail := func(err error) (Bill, error) {
		return Bill{}, fmt.Errorf("changes of the bill of %s: %w", m, err)
	}
	b, was, err := db.bill(m, nil)
	if err != nil {
		return fail(err)
	}
	if b.UnderWay {
		return fail(db.notOver(m))
	}
	if b.Closed.IsZero() {
		_, end := m.Bounds(db.tariff().zone())
		was = db.computed(m, end, nil)
	}
	for d, err := range differences(was, db.computed(m, time.Time{}, o.Progress)) {
		if err != nil {
			return fail(err)
		}
		if (o.Owner == "" || d.Owner == o.Owner) && !f(d) {
			break
		}
	}
	return b, nil
}

// differences compares two bills, each in the order of addresses.
func differences(was, is iter.Seq2[Charge, error]) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		next, stop := iter.Pull2(was)
		defer stop()
		old, err, more := next()
		// skip tells of the old lines that stand before c, and takes an equal one.
		skip := func(c Charge) (known, goOn bool) {
			for more && err == nil && order(old, c) <= 0 {
				known = old == c
				if !known && !yield(Difference{"removed", old}, nil) {
					return known, false
				}
				old, err, more = next()
			}
			return known, err == nil || yield(Difference{}, err) && false
		}
		for c, err := range is {
			if err != nil {
				yield(Difference{}, err)
				return
			}
			known, goOn := skip(c)
			if !goOn || !known && !yield(Difference{"added", c}, nil) {
				return
			}
		}
		for ; more; old, err, more = next() {
			if !yield(Difference{"removed", old}, err) || err != nil {
				return
			}
		}
	}
}

// order compares the places of two lines in a bill.
func order(a, b Charge) int {
	if n := strings.Compare(a.Address, b.Address); n != 0 {
		return n
	}
	return slices.Index(services, a.Service) - slices.Index(services, b.Service)
}
