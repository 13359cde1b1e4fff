package accounts

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/transform"
)

// A column is one of those of accounts as CSV, but for their events.
type column struct {
	name  string
	state bool // it changes by itself, with what was entered for later
	text  func(Account) string
	read  func(*Account, string, *time.Location) error
}

// columnEvents has the events of an account as JSON: with them, a row is exact.
const columnEvents = "events"

// accountColumns are the columns of accounts, in the order of exports.
var accountColumns = []column{
	textColumn("address", func(a *Account) *string { return &a.Address }),
	textColumn("owner", func(a *Account) *string { return &a.Owner }),
	yesColumn("main", func(a *Account) *bool { return &a.Main }),
	yesColumn("no_course", func(a *Account) *bool { return &a.NoCourse }),
	textColumn("language", func(a *Account) *string { return &a.Language }),
	textColumn("maildir", func(a *Account) *string { return &a.Maildir }),
	{"forward", false,
		func(a Account) string { return strings.Join(a.Forward, " ") },
		func(a *Account, s string, _ *time.Location) error { a.Forward = strings.Fields(s); return nil }},
	yesColumn("no_copy", func(a *Account) *bool { return &a.NoCopy }),
	stateColumn("inbound", func(a *Account) *State { return &a.Inbound }),
	timeColumn("inbound_since", func(a *Account) *time.Time { return &a.Inbound.Since }),
	stateColumn("outbound", func(a *Account) *State { return &a.Outbound }),
	timeColumn("outbound_since", func(a *Account) *time.Time { return &a.Outbound.Since }),
	timeColumn("added", func(a *Account) *time.Time { return &a.Added }),
	timeColumn("closed", func(a *Account) *time.Time { return &a.Closed }),
}

func textColumn(name string, of func(*Account) *string) column {
	return column{name, false,
		func(a Account) string { return *of(&a) },
		func(a *Account, s string, _ *time.Location) error { *of(a) = s; return nil }}
}

func yesColumn(name string, of func(*Account) *bool) column {
	return column{name, false,
		func(a Account) string {
			if *of(&a) {
				return "yes"
			}
			return ""
		},
		func(a *Account, s string, _ *time.Location) error {
			switch strings.ToLower(s) {
			case "yes", "true", "1":
				*of(a) = true
			case "", "no", "false", "0":
			default:
				return fmt.Errorf("%.40q is neither yes nor no", s)
			}
			return nil
		}}
}

func stateColumn(name string, of func(*Account) *State) column {
	return column{name, true,
		func(a Account) string {
			switch s := of(&a); {
			case s.Paused:
				return "paused"
			case s.Subscribed:
				return "subscribed"
			}
			return "no"
		},
		func(a *Account, s string, _ *time.Location) error {
			switch strings.ToLower(s) {
			case "subscribed", "yes":
				of(a).Subscribed = true
			case "paused":
				of(a).Subscribed, of(a).Paused = true, true
			case "", "no":
			default:
				return fmt.Errorf("%.40q is none of subscribed, paused, no", s)
			}
			return nil
		}}
}

func timeColumn(name string, of func(*Account) *time.Time) column {
	return column{name, true,
		func(a Account) string {
			if of(&a).IsZero() {
				return ""
			}
			return of(&a).Format(time.RFC3339Nano)
		},
		func(a *Account, s string, zone *time.Location) (err error) {
			if s != "" {
				*of(a), err = ParseTime(s, zone)
			}
			return err
		}}
}

// ParseTime reads a time as people write it: a day, which means its first moment in
// the zone, a day and a time, or RFC 3339.
func ParseTime(s string, zone *time.Location) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		return StartOfDay(day.Year(), day.Month(), day.Day(), zone), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf(`%.40q is not a time like 2026-04-01 or "2026-04-01 09:30"`, s)
}

// ExportCSV writes what Export writes as CSV, a row for each account under the names
// of the columns. Import takes it back exactly, for the last column has the events.
func (db *DB) ExportCSV(w io.Writer) error {
	rows := csv.NewWriter(w)
	var names []string
	for _, c := range accountColumns {
		names = append(names, c.name)
	}
	if err := rows.Write(append(names, columnEvents)); err != nil {
		return fmt.Errorf("export accounts: %w", err)
	}
	var damaged faults
	for l, err := range each(db, bucketAccounts, db.readLine) {
		if err != nil {
			damaged.add(err)
			continue
		}
		fields := make([]string, 0, len(names)+1)
		for _, c := range accountColumns {
			fields = append(fields, c.text(l.Account))
		}
		events, err := jsonText(l.Events)
		if err == nil {
			err = rows.Write(append(fields, events))
		}
		if err != nil {
			return fmt.Errorf("export accounts: %w", err)
		}
	}
	rows.Flush()
	return errors.Join(rows.Error(), damaged.err())
}

// jsonText writes <, > and & as they are, as Export does.
func jsonText(v any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// readRows reads a file of accounts: CSV, or JSON when it begins with a brace.
func readRows(file io.ReaderAt, zone *time.Location) (iter.Seq2[row, error], error) {
	head := make([]byte, 4096)
	n, err := file.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	head = head[:n]
	start := 0
	switch {
	case bytes.HasPrefix(head, []byte("\xFF\xFE")) || bytes.HasPrefix(head, []byte("\xFE\xFF")):
		return nil, fmt.Errorf("%w: it is UTF-16; it has to be saved as UTF-8", ErrFormat)
	case bytes.HasPrefix(head, []byte("\uFEFF")):
		start = len("\uFEFF")
	}
	from := func() io.Reader { return io.NewSectionReader(file, int64(start), 1<<62) }
	if text := bytes.TrimSpace(head[start:]); len(text) == 0 || text[0] == '{' {
		return jsonRows(from()), nil
	}
	_, err = io.Copy(io.Discard, transform.NewReader(from(), encoding.UTF8Validator))
	switch {
	case err == nil:
		return csvRows(from(), zone), nil
	case !errors.Is(err, encoding.ErrInvalidUTF8):
		return nil, err
	case start > 0:
		return nil, fmt.Errorf("%w: it begins as UTF-8, and is not all UTF-8", ErrFormat)
	}
	return csvRows(japanese.ShiftJIS.NewDecoder().Reader(from()), zone), nil
}

// jsonRows reads an object a line.
func jsonRows(r io.Reader) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxLine)
		n := 1
		for ; lines.Scan(); n++ {
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			l, err := readLine(lines.Bytes())
			if !yield(row{place{0, n}, l.Account, l.Events, func(string) bool { return false }}, err) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(row{place: place{0, n}}, err)
		}
	}
}

func readLine(text []byte) (l line, err error) {
	if !utf8.Valid(text) {
		return line{}, errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return line{}, err
	}
	if _, err := d.Token(); err != io.EOF {
		return line{}, errors.New("more than one object")
	}
	return l, nil
}

// csvRows reads a table whose first row names the columns, in any order.
func csvRows(r io.Reader, zone *time.Location) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		in := &bounded{r: r, left: maxLine}
		rows := csv.NewReader(in)
		rows.FieldsPerRecord, rows.ReuseRecord = -1, true
		names, err := rows.Read()
		var header []column
		if err == nil {
			header, err = readHeader(names)
		}
		if err != nil {
			yield(row{place: place{0, 1}}, err)
			return
		}
		named := func(name string) bool {
			return slices.ContainsFunc(header, func(c column) bool { return c.name == name })
		}
		for n := 1; ; n++ {
			in.left = maxLine
			fields, err := rows.Read()
			if err == io.EOF {
				return
			}
			at := place{n, 0}
			if at.line, _ = position(rows, fields); err != nil {
				at.line = errorLine(err)
				yield(row{place: at}, csvFault(err)) // what follows cannot be told apart
				return
			}
			if !slices.ContainsFunc(fields, func(s string) bool { return s != "" }) {
				continue // as spreadsheets leave them at the end
			}
			one := row{place: at, names: named}
			err = one.read(header, fields, zone)
			if !yield(one, err) {
				return
			}
		}
	}
}

func position(rows *csv.Reader, fields []string) (line, column int) {
	if len(fields) == 0 {
		return 0, 0
	}
	return rows.FieldPos(0)
}

// csvFault is a fault of the form of a row, without the place: that is told anyhow.
func csvFault(err error) error {
	if e, ok := errors.AsType[*csv.ParseError](err); ok {
		return fmt.Errorf("column %d: %w", e.Column, e.Err)
	}
	return err
}

func errorLine(err error) int {
	if e, ok := errors.AsType[*csv.ParseError](err); ok {
		return e.StartLine
	}
	return 0
}

// readHeader finds the columns that the first row names.
func readHeader(names []string) ([]column, error) {
	known := append(slices.Clone(accountColumns), column{name: columnEvents})
	var all, header []string
	for _, c := range known {
		all = append(all, c.name)
	}
	var columns []column
	for _, name := range names {
		name = strings.ToLower(strings.TrimSpace(name))
		i := slices.Index(all, name)
		switch {
		case i < 0:
			return nil, fmt.Errorf("there is no column %.80q; the columns are %s", name, strings.Join(all, ", "))
		case slices.Contains(header, name):
			return nil, fmt.Errorf("there are two columns %q", name)
		}
		header, columns = append(header, name), append(columns, known[i])
	}
	if !slices.Contains(header, "address") {
		return nil, fmt.Errorf("there is no column address; the columns are %s", strings.Join(all, ", "))
	}
	return columns, nil
}

func (r *row) read(header []column, fields []string, zone *time.Location) error {
	if len(fields) != len(header) {
		return fmt.Errorf("%d fields, where the first row names %d columns", len(fields), len(header))
	}
	for i, c := range header {
		text := fields[i]
		if c.name != "owner" && c.name != "maildir" { // which can have spaces at an end
			text = strings.TrimSpace(text)
		}
		var err error
		switch {
		case strings.ContainsRune(text, utf8.RuneError):
			err = errors.New("neither UTF-8 nor cp932")
		case c.name != columnEvents:
			err = c.read(&r.account, text, zone)
		case text != "":
			err = json.Unmarshal([]byte(text), &r.events)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// bounded bounds what one row can take.
type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("a row of over %d MiB: is a closing quote missing?", maxLine>>20)
	}
	n, err := b.r.Read(p)
	b.left -= n
	return n, err
}

// contradiction refuses a row that says something else than its events, which alone
// would count: who changes a field of an export means something by it.
func contradiction(r row, folded record, now time.Time) error {
	moments := []Account{folded.account} // what held when it may have been written
	for _, p := range folded.pending {
		if !p.Effective.After(now) {
			moments = append(moments, folded.at(p.Effective))
		}
	}
	says := func(c column) (string, bool) {
		s := c.text(r.account)
		return s, c.name != "address" && (r.names(c.name) || s != "" && s != "no")
	}
	for _, c := range accountColumns {
		if s, counts := says(c); counts && !c.state && s != c.text(folded.account) {
			return fmt.Errorf("%s: %w: its %s is %.80q, and by its events %.80q: leave out the events, or change it when it is imported",
				folded.account.Address, ErrSetting, c.name, s, c.text(folded.account))
		}
	}
	agrees := func(a Account) bool {
		return !slices.ContainsFunc(accountColumns, func(c column) bool {
			s, counts := says(c)
			return counts && c.state && s != c.text(a)
		})
	}
	if !slices.ContainsFunc(moments, agrees) {
		return fmt.Errorf("%s: %w: its services are not what its events make them: leave out the events, or change it when it is imported",
			folded.account.Address, ErrSetting)
	}
	return nil
}
