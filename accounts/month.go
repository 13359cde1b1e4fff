package accounts

import (
	"cmp"
	"fmt"
	"time"
)

// Month is what is billed at once: a month of the calendar, "2014-11" as text.
type Month struct {
	Year  int
	Month time.Month
}

// ParseMonth reads a month as "2014-11".
func ParseMonth(s string) (Month, error) {
	const layout = "2006-01"
	t, err := time.Parse(layout, s)
	if err != nil || t.Format(layout) != s || !sensible(t) {
		return Month{}, fmt.Errorf("%.40q: %w: one is written like 2014-11", s, ErrMonth)
	}
	return Month{t.Year(), t.Month()}, nil
}

// MonthOf gives the month in which a time lies.
func MonthOf(t time.Time, zone *time.Location) Month {
	year, month, _ := t.In(zone).Date()
	m := Month{year, month}
	switch start, end := m.Bounds(zone); { // where clocks are put back over midnight
	case t.Before(start):
		return m.add(-1)
	case !t.Before(end):
		return m.add(1)
	}
	return m
}

// Bounds gives the first moment of the month, and that of the next one.
func (m Month) Bounds(zone *time.Location) (start, end time.Time) {
	return StartOfDay(m.Year, m.Month, 1, zone), StartOfDay(m.Year, m.Month+1, 1, zone)
}

// Compare is -1 when m is before o, 1 when it is after it.
func (m Month) Compare(o Month) int {
	return cmp.Or(cmp.Compare(m.Year, o.Year), cmp.Compare(m.Month, o.Month))
}

// Next is the month after it.
func (m Month) Next() Month { return m.add(1) }

func (m Month) add(months int) Month {
	t := time.Date(m.Year, m.Month+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
	return Month{t.Year(), t.Month()}
}

// String is "2014-11".
func (m Month) String() string { return fmt.Sprintf("%04d-%02d", m.Year, m.Month) }

// MarshalText is String, for JSON.
func (m Month) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is ParseMonth, for JSON.
func (m *Month) UnmarshalText(text []byte) (err error) {
	*m, err = ParseMonth(string(text))
	return err
}

// StartOfDay gives the first moment of a day. Where clocks are put forward over
// midnight that is the moment after, and the first of two where they are put back;
// time.Date would give either side.
func StartOfDay(year int, month time.Month, day int, zone *time.Location) time.Time {
	midnight := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	from := midnight.Add(-50 * time.Hour) // zones differ by up to 26 hours, and have left out a whole day
	for {
		_, offset := from.In(zone).Zone()
		_, until := from.In(zone).ZoneBounds()
		start := midnight.Add(-time.Duration(offset) * time.Second)
		if start.Before(from) {
			start = from // that midnight was left out
		}
		if until.IsZero() || start.Before(until) {
			return start.UTC()
		}
		from = until
	}
}
