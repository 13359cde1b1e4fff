package accounts

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func zoneOf(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// local reads "2014-10-31 23:59:59", or a day alone, in a zone.
func local(t testing.TB, s string, zone *time.Location) time.Time {
	t.Helper()
	for _, layout := range []string{"2006-01-02 15:04:05.999999999", "2006-01-02"} {
		if at, err := time.ParseInLocation(layout, s, zone); err == nil {
			return at.UTC()
		}
	}
	t.Fatalf("%q is no time", s)
	return time.Time{}
}

// ledgerOf reads events as "KIND [SERVICE|OWNER], EFFECTIVE[, ENTERED]", a line each.
// Without its own, the time of entering is the effective one, or the last if that is later.
func ledgerOf(t testing.TB, text string, zone *time.Location) []Event {
	t.Helper()
	var events []Event
	var last time.Time
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSpace(line), ", ")
		if fields[0] == "" {
			continue
		}
		kind, of, _ := strings.Cut(fields[0], " ")
		e := Event{Seq: uint64(len(events) + 1), Address: "taro@example.jp", Kind: Kind(kind), Effective: local(t, fields[1], zone)}
		if e.At = e.Effective; len(fields) > 2 {
			e.At = local(t, fields[2], zone)
		} else if last.After(e.At) {
			e.At = last
		}
		last = e.At
		switch e.Kind {
		case Added:
			e.Settings = &Settings{Owner: new(of), Language: new("ja"), Maildir: new("/m")}
		case Changed:
			e.Settings = &Settings{Owner: new(of)}
		default:
			e.Service = Service(of)
		}
		events = append(events, e)
		if _, err := fold(events); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	return events
}

// billed computes the bills of all months from first to last, a line for each charge.
func billed(t testing.TB, tariff Tariff, events []Event, first, last string) string {
	t.Helper()
	from, err := ParseMonth(first)
	to, err2 := ParseMonth(last)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	var b strings.Builder
	for m := from; m.Compare(to) <= 0; m = m.add(1) {
		charges, err := tariff.in(m).charges(events)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range charges {
			fmt.Fprintf(&b, "%s %s %d %s", c.Month, c.Service, c.Fee, c.Reason)
			if c.Owner != "" {
				fmt.Fprintf(&b, " (%s)", c.Owner)
			}
			fmt.Fprintln(&b)
		}
	}
	return b.String()
}

// indented takes the indentation of a table off its lines.
func indented(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			fmt.Fprintln(&b, line)
		}
	}
	return b.String()
}

// theService is the tariff of the service that kiyome is modelled on: 150 yen, and
// its campaign for those who take the check of received mail.
func theService(zone *time.Location) Tariff {
	date := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	return Tariff{Zone: zone, Currency: "JPY",
		Prices:    []Price{{Service: Inbound, Fee: 150}, {Service: Outbound, Fee: 150}},
		Campaigns: []Campaign{{Inbound, date(2014, 10, 1), date(2015, 1, 31)}}}
}

func TestMoney(t *testing.T) {
	for _, tt := range []struct{ name, zone, events, months, want string }{
		{"the service's example: sign-up in the campaign", "Asia/Tokyo", `
			added, 2014-10-01
			subscribed inbound, 2014-10-20`, "2014-09 2014-12", `
			2014-10 inbound 0 campaign
			2014-11 inbound 150 regular
			2014-12 inbound 150 regular`},
		{"the service's example: sign-up on the last day of the campaign", "Asia/Tokyo", `
			added, 2014-10-01
			subscribed inbound, 2015-01-31 23:59:59.999999999`, "2014-12 2015-03", `
			2015-01 inbound 0 campaign
			2015-02 inbound 150 regular
			2015-03 inbound 150 regular`},
		{"a moment after the campaign", "Asia/Tokyo", `
			added, 2014-10-01
			subscribed inbound, 2015-02-01`, "2014-12 2015-03", `
			2015-02 inbound 150 first month
			2015-03 inbound 150 regular`},
		{"a moment before the campaign", "Asia/Tokyo", `
			added, 2014-09-01
			subscribed inbound, 2014-09-30 23:59:59`, "2014-09 2014-11", `
			2014-09 inbound 150 first month
			2014-10 inbound 150 regular
			2014-11 inbound 150 regular`},
		{"the campaign is not for outbound", "Asia/Tokyo", `
			added, 2014-10-01
			subscribed outbound, 2014-10-20
			subscribed inbound, 2014-10-20`, "2014-10 2014-10", `
			2014-10 inbound 0 campaign
			2014-10 outbound 150 first month`},
		{"the service's example: cancelled in the month of sign-up", "Asia/Tokyo", `
			added, 2014-02-01
			subscribed inbound, 2014-03-03
			cancelled inbound, 2014-03-28`, "2014-02 2014-05", `
			2014-03 inbound 150 first month`},
		{"the service's example: a pause is charged", "Asia/Tokyo", `
			added, 2014-02-01
			subscribed inbound, 2014-03-03
			paused inbound, 2014-03-28
			resumed inbound, 2014-06-01
			cancelled inbound, 2014-07-31 23:59:59`, "2014-03 2014-08", `
			2014-03 inbound 150 first month
			2014-04 inbound 150 regular
			2014-05 inbound 150 regular
			2014-06 inbound 150 regular`},
		{"cancelled while paused", "Asia/Tokyo", `
			added, 2014-02-01
			subscribed inbound, 2014-03-03
			paused inbound, 2014-03-28
			cancelled inbound, 2014-05-01`, "2014-03 2014-06", `
			2014-03 inbound 150 first month
			2014-04 inbound 150 regular`},
		{"the last second of a month", "Asia/Tokyo", `
			added, 2014-02-01
			subscribed outbound, 2014-03-31 23:59:59
			cancelled outbound, 2014-04-01`, "2014-03 2014-05", `
			2014-03 outbound 150 first month`},
		{"over the end of a year", "Asia/Tokyo", `
			added, 2012-01-01
			subscribed outbound, 2012-12-31 23:59:59
			cancelled outbound, 2013-01-31 23:59:59
			subscribed outbound, 2013-12-31 23:59:59
			cancelled outbound, 2014-01-01`, "2012-11 2014-02", `
			2012-12 outbound 150 first month
			2013-12 outbound 150 first month`},
		{"29 February", "Asia/Tokyo", `
			added, 2012-01-01
			subscribed inbound, 2012-02-29 12:00:00
			cancelled inbound, 2012-02-29 18:00:00`, "2012-01 2012-03", `
			2012-02 inbound 150 first month`},
		{"cancelled and taken again in one month", "Asia/Tokyo", `
			added, 2014-02-01
			subscribed inbound, 2014-03-03
			cancelled inbound, 2014-05-10
			subscribed inbound, 2014-05-20`, "2014-04 2014-06", `
			2014-04 inbound 150 regular
			2014-05 inbound 150 first month
			2014-06 inbound 150 regular`},
		{"taken twice in one month, cancelled twice", "Asia/Tokyo", `
			added, 2014-02-01
			subscribed inbound, 2014-03-03
			cancelled inbound, 2014-03-04
			subscribed inbound, 2014-03-05
			cancelled inbound, 2014-03-06`, "2014-03 2014-04", `
			2014-03 inbound 150 first month`},
		{"cancelled, and taken again in the next month", "Asia/Tokyo", `
			added, 2014-02-01
			subscribed inbound, 2014-03-03
			cancelled inbound, 2014-05-31
			subscribed inbound, 2014-06-01`, "2014-04 2014-07", `
			2014-04 inbound 150 regular
			2014-06 inbound 150 first month
			2014-07 inbound 150 regular`},
		{"subscribed and cancelled on the same day without a time", "Asia/Tokyo", `
			added, 2014-02-01
			subscribed inbound, 2014-03-03, 2014-04-01
			cancelled inbound, 2014-03-03, 2014-04-01`, "2014-03 2014-04", `
			2014-03 inbound 150 first month`},
		{"leaving is charged to its month", "Asia/Tokyo", `
			added, 2014-02-01
			subscribed inbound, 2014-03-03
			subscribed outbound, 2014-03-03
			closed, 2014-05-20`, "2014-03 2014-06", `
			2014-03 inbound 150 first month
			2014-03 outbound 150 first month
			2014-04 inbound 150 regular
			2014-04 outbound 150 regular
			2014-05 inbound 150 closing month
			2014-05 outbound 150 closing month`},
		{"leaving completes with the first moment of a month", "Asia/Tokyo", `
			added, 2014-02-01
			subscribed inbound, 2014-03-03
			closed, 2014-05-01`, "2014-04 2014-06", `
			2014-04 inbound 150 regular
			2014-05 inbound 150 closing month`},
		{"cancelled before leaving in one month", "Asia/Tokyo", `
			added, 2014-02-01
			subscribed inbound, 2014-03-03
			cancelled inbound, 2014-05-10
			closed, 2014-05-20`, "2014-04 2014-06", `
			2014-04 inbound 150 regular`},
		{"leaving comes before what was to be cancelled", "Asia/Tokyo", `
			added, 2014-02-01
			subscribed inbound, 2014-03-03
			cancelled inbound, 2014-05-30, 2014-05-01
			closed, 2014-05-20, 2014-05-02`, "2014-04 2014-06", `
			2014-04 inbound 150 regular
			2014-05 inbound 150 closing month`},
		{"leaving in the month of sign-up", "Asia/Tokyo", `
			added, 2014-02-01
			subscribed inbound, 2014-03-03
			closed, 2014-03-20`, "2014-03 2014-04", `
			2014-03 inbound 150 first month`},
		{"leaving, back and subscribed again in one month", "Asia/Tokyo", `
			added 1, 2014-02-01
			subscribed inbound, 2014-03-03
			closed, 2014-05-10
			added 2, 2014-05-12
			subscribed inbound, 2014-05-15`, "2014-04 2014-06", `
			2014-04 inbound 150 regular (1)
			2014-05 inbound 150 closing month (1)
			2014-06 inbound 150 regular (2)`},
		{"what was taken back is not charged", "Asia/Tokyo", `
			added, 2014-02-01
			subscribed inbound, 2014-03-20, 2014-03-01
			cancelled inbound, 2014-03-02`, "2014-02 2014-04", ``},
		{"what was taken back for the day of its beginning is not charged", "Asia/Tokyo", `
			added, 2014-02-01
			subscribed inbound, 2014-03-20, 2014-03-01
			cancelled inbound, 2014-03-20, 2014-03-02`, "2014-02 2014-04", ``},
		{"closed for the moment at which it was to begin", "Asia/Tokyo", `
			added, 2014-02-01
			subscribed inbound, 2014-03-20, 2014-03-01
			closed, 2014-03-20, 2014-03-02`, "2014-02 2014-04", ``},
		{"a cancelling that was taken back by cancelling earlier", "Asia/Tokyo", `
			added, 2014-02-01
			subscribed inbound, 2014-03-01
			cancelled inbound, 2014-06-20, 2014-04-01
			cancelled inbound, 2014-05-31, 2014-04-02`, "2014-03 2014-06", `
			2014-03 inbound 150 first month
			2014-04 inbound 150 regular`},

		{"campaign: cancelled in its month", "Asia/Tokyo", `
			added, 2014-10-01
			subscribed inbound, 2014-10-20
			cancelled inbound, 2014-10-21`, "2014-10 2014-11", `
			2014-10 inbound 0 campaign`},
		{"campaign: left in its month", "Asia/Tokyo", `
			added, 2014-10-01
			subscribed inbound, 2014-10-20
			closed, 2014-10-21`, "2014-10 2014-11", `
			2014-10 inbound 0 campaign`},
		{"campaign: cancelled and taken again in its month stays free", "Asia/Tokyo", `
			added, 2014-10-01
			subscribed inbound, 2014-10-20
			cancelled inbound, 2014-10-21
			subscribed inbound, 2014-10-22`, "2014-10 2014-11", `
			2014-10 inbound 0 campaign
			2014-11 inbound 150 regular`},
		{"campaign: once only", "Asia/Tokyo", `
			added, 2014-10-01
			subscribed inbound, 2014-10-20
			cancelled inbound, 2014-11-21
			subscribed inbound, 2014-12-22`, "2014-10 2014-12", `
			2014-10 inbound 0 campaign
			2014-12 inbound 150 first month`},
		{"campaign: had it before", "Asia/Tokyo", `
			added, 2013-10-01
			subscribed inbound, 2013-10-20
			cancelled inbound, 2013-11-21
			subscribed inbound, 2014-12-22`, "2014-10 2014-12", `
			2014-12 inbound 150 first month`},
		{"campaign: had it before the account was closed and added again", "Asia/Tokyo", `
			added, 2013-10-01
			subscribed inbound, 2013-10-20
			closed, 2013-11-21
			added, 2014-12-20
			subscribed inbound, 2014-12-22`, "2014-10 2014-12", `
			2014-12 inbound 150 first month`},
		{"campaign: had the other service before", "Asia/Tokyo", `
			added, 2013-10-01
			subscribed outbound, 2013-10-20
			subscribed inbound, 2014-12-22`, "2014-12 2014-12", `
			2014-12 inbound 0 campaign
			2014-12 outbound 150 regular`},
		{"campaign: what was taken back was never had", "Asia/Tokyo", `
			added, 2014-02-01
			subscribed inbound, 2014-03-20, 2014-03-01
			cancelled inbound, 2014-03-02
			subscribed inbound, 2014-04-20, 2014-04-01
			cancelled inbound, 2014-04-20, 2014-04-02
			subscribed inbound, 2014-10-31 23:59:59`, "2014-03 2014-11", `
			2014-10 inbound 0 campaign
			2014-11 inbound 150 regular`},
		{"campaign: entered in it, for later", "Asia/Tokyo", `
			added, 2014-10-01
			subscribed inbound, 2015-02-01, 2014-12-01`, "2014-12 2015-02", `
			2015-02 inbound 150 first month`},
		{"campaign: entered afterwards, for a day in it", "Asia/Tokyo", `
			added, 2014-10-01
			subscribed inbound, 2015-01-10, 2015-02-10`, "2015-01 2015-02", `
			2015-01 inbound 0 campaign
			2015-02 inbound 150 regular`},

		{"the owner at the end of the month", "Asia/Tokyo", `
			added 1, 2014-02-01
			subscribed inbound, 2014-03-03
			changed 2, 2014-04-30 23:59:59
			changed 3, 2014-06-01`, "2014-03 2014-06", `
			2014-03 inbound 150 first month (1)
			2014-04 inbound 150 regular (2)
			2014-05 inbound 150 regular (2)
			2014-06 inbound 150 regular (3)`},
		{"the owner when the account closed", "Asia/Tokyo", `
			added 1, 2014-02-01
			subscribed inbound, 2014-03-03
			changed 2, 2014-04-02
			closed, 2014-04-10
			added 3, 2014-04-12`, "2014-03 2014-05", `
			2014-03 inbound 150 first month (1)
			2014-04 inbound 150 closing month (2)`},

		{"UTC is nine hours behind", "UTC", `
			added, 2014-02-01
			subscribed inbound, 2014-03-31 15:00:00
			cancelled inbound, 2014-04-30 23:59:59`, "2014-03 2014-05", `
			2014-03 inbound 150 first month`},
		{"New York: the month in which clocks go forward", "America/New_York", `
			added, 2014-01-01
			subscribed outbound, 2014-03-31 23:59:59
			cancelled outbound, 2014-11-01`, "2014-02 2014-12", `
			2014-03 outbound 150 first month
			2014-04 outbound 150 regular
			2014-05 outbound 150 regular
			2014-06 outbound 150 regular
			2014-07 outbound 150 regular
			2014-08 outbound 150 regular
			2014-09 outbound 150 regular
			2014-10 outbound 150 regular`},
		{"Berlin: the month in which clocks go back", "Europe/Berlin", `
			added, 2014-01-01
			subscribed outbound, 2014-09-30 23:59:59.999999999
			cancelled outbound, 2014-10-31 23:59:59.999999999`, "2014-08 2014-12", `
			2014-09 outbound 150 first month`},
		{"Berlin: the campaign's last second in winter", "Europe/Berlin", `
			added, 2014-01-01
			subscribed inbound, 2015-01-31 23:59:59.999999999`, "2015-01 2015-01", `
			2015-01 inbound 0 campaign`},
		{"São Paulo: the day without midnight", "America/Sao_Paulo", `
			added, 2017-01-01
			subscribed inbound, 2017-10-14 23:59:59
			cancelled inbound, 2017-10-15 01:00:00`, "2017-09 2017-11", `
			2017-10 inbound 150 first month`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			zone := zoneOf(t, tt.zone)
			first, last, _ := strings.Cut(tt.months, " ")
			got := billed(t, theService(zone), ledgerOf(t, tt.events, zone), first, last)
			if want := indented(tt.want); got != want {
				t.Errorf("billed\n%swant\n%s", got, want)
			}
		})
	}
}

func TestPricesChangeWithTheMonth(t *testing.T) {
	zone := zoneOf(t, "Asia/Tokyo")
	tariff := theService(zone)
	tariff.Prices = append(tariff.Prices, Price{Inbound, Month{2014, 6}, 200}, Price{Outbound, Month{2014, 5}, 90}, Price{Inbound, Month{2014, 5}, 180})
	events := ledgerOf(t, `
		added, 2014-03-01
		subscribed inbound, 2014-04-30 23:59:59
		subscribed outbound, 2014-05-31
		closed, 2014-06-01`, zone)
	want := indented(`
		2014-04 inbound 150 first month
		2014-05 inbound 180 regular
		2014-05 outbound 90 first month
		2014-06 inbound 200 closing month
		2014-06 outbound 90 closing month`)
	if got := billed(t, tariff, events, "2014-03", "2014-08"); got != want {
		t.Errorf("billed\n%swant\n%s", got, want)
	}
}

func TestParseMonth(t *testing.T) {
	for _, s := range []string{"2014-01", "2014-12", "1970-01", "9998-12"} {
		if m, err := ParseMonth(s); err != nil || m.String() != s {
			t.Errorf("%s: %s, %v", s, m, err)
		}
	}
	for _, s := range []string{"", "2014", "2014-13", "2014-00", "2014-1", "201-01", "2014-01-01", "2014/01", "1969-12", "9999-01", "-014-01", "２０１４-01", "2014-01 "} {
		if m, err := ParseMonth(s); err == nil {
			t.Errorf("%q is %s", s, m)
		}
	}
}

// TestMonthsTile: each moment is in one month, and the bounds of a month are where
// the calendar on the wall turns over.
func TestMonthsTile(t *testing.T) {
	for _, name := range []string{"UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu",
		"America/Sao_Paulo", "America/Asuncion", "Asia/Amman", "Asia/Beirut", "America/Havana", "Pacific/Kiritimati", "Pacific/Apia", "Africa/Monrovia"} {
		zone := zoneOf(t, name)
		for m := (Month{1970, 2}); m.Year < 2026; m = m.add(1) {
			start, end := m.Bounds(zone)
			next, _ := m.add(1).Bounds(zone)
			label := func(at time.Time) string { return at.In(zone).Format("2006-01") }
			if !end.Equal(next) || label(start) != m.String() || label(start.Add(-time.Nanosecond)) >= m.String() || label(end.Add(-time.Nanosecond)) != m.String() {
				t.Errorf("%s: %s is from %s to %s, the next from %s", name, m, start.In(zone), end.In(zone), next.In(zone))
			}
			for _, at := range []time.Time{start, start.Add(13 * 24 * time.Hour), end.Add(-1)} {
				if got := MonthOf(at, zone); got != m {
					t.Errorf("%s: %s is in %s, not in %s", name, at.In(zone), got, m)
				}
			}
		}
	}
}

func TestStartOfDay(t *testing.T) {
	for _, tt := range []struct{ zone, day, want string }{
		{"Asia/Tokyo", "2014-11-01", "2014-10-31T15:00:00Z"},
		{"America/Sao_Paulo", "2017-10-15", "2017-10-15T03:00:00Z"}, // no midnight: 01:00 follows 23:59:59
		{"America/Sao_Paulo", "2017-10-16", "2017-10-16T02:00:00Z"},
		{"America/Asuncion", "2017-10-01", "2017-10-01T04:00:00Z"}, // the same, on the first of a month
		{"America/Havana", "2015-11-01", "2015-11-01T04:00:00Z"},   // midnight comes twice
		{"Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z"},     // the day before was left out
	} {
		day, err := time.Parse(time.DateOnly, tt.day)
		if err != nil {
			t.Fatal(err)
		}
		if got := StartOfDay(day.Year(), day.Month(), day.Day(), zoneOf(t, tt.zone)).Format(time.RFC3339); got != tt.want {
			t.Errorf("%s in %s begins at %s, want %s", tt.day, tt.zone, got, tt.want)
		}
	}
}

// A simulation is the slow, plain way to a bill: it goes through the time from event
// to event and from day to day, and looks at the calendar on the wall.
type simulation struct {
	tariff  Tariff
	planned []Event
	label   string // of the month in which it is
	owner   string
	on      map[Service]bool
	ever    map[Service]bool
	bill    map[string]map[Service]*Charge // by month
}

// enter takes an event that is possible. Who ends a service or the account takes
// back what had not come yet; a subscription also when it would end as it begins.
func (s *simulation) enter(e Event) {
	if e.Kind == Cancelled || e.Kind == Closed {
		s.planned = slices.DeleteFunc(s.planned, func(p Event) bool {
			takenAway := p.Effective.After(e.Effective) || p.Effective.Equal(e.Effective) && p.Kind == Subscribed
			return takenAway && p.Effective.After(e.At) && (e.Kind == Closed || e.Service == p.Service)
		})
	}
	s.planned = append(s.planned, e)
}

// run goes through all days until one.
func (s *simulation) run(last time.Time) {
	slices.SortStableFunc(s.planned, func(a, b Event) int { return a.Effective.Compare(b.Effective) })
	s.on, s.ever, s.bill = make(map[Service]bool), make(map[Service]bool), make(map[string]map[Service]*Charge)
	day := s.planned[0].Effective
	for _, e := range s.planned {
		for ; day.Before(e.Effective); day = day.Add(24 * time.Hour) {
			s.turn(day)
		}
		s.turn(e.Effective)
		s.step(e)
	}
	for ; day.Before(last); day = day.Add(24 * time.Hour) {
		s.turn(day)
	}
}

// charge notes the first reason there is.
func (s *simulation) charge(service Service, reason string) {
	if s.bill[s.label] == nil {
		s.bill[s.label] = make(map[Service]*Charge)
	}
	if s.bill[s.label][service] == nil {
		s.bill[s.label][service] = &Charge{Owner: "?", Reason: reason}
	}
}

// turn goes to the month of a moment. What is had when a month ends was not cancelled in it.
func (s *simulation) turn(at time.Time) {
	label := at.In(s.tariff.Zone).Format("2006-01")
	if label != s.label && s.label != "" {
		for service, on := range s.on {
			if on {
				s.charge(service, Regular)
			}
		}
		s.settle()
	}
	s.label = label
}

// settle says who pays what was charged in this month and has nobody yet.
func (s *simulation) settle() {
	for _, c := range s.bill[s.label] {
		if c.Owner == "?" {
			c.Owner = s.owner
		}
	}
}

func (s *simulation) step(e Event) {
	switch e.Kind {
	case Added, Changed:
		s.owner = *e.Settings.Owner
	case Subscribed:
		day := e.Effective.In(s.tariff.Zone).Format(time.DateOnly)
		reason := FirstMonth
		for _, c := range s.tariff.Campaigns {
			if c.Service == e.Service && !s.ever[e.Service] && c.From.Format(time.DateOnly) <= day && day <= c.To.Format(time.DateOnly) {
				reason = FreeMonth
			}
		}
		s.charge(e.Service, reason)
		s.on[e.Service], s.ever[e.Service] = true, true
	case Cancelled:
		s.on[e.Service] = false
	case Closed:
		for service, on := range s.on {
			if on {
				s.charge(service, ClosingMonth)
			}
			s.on[service] = false
		}
		s.settle()
	}
}

// lines gives what a month was charged, in the form of billed.
func (s *simulation) lines() string {
	var all []string
	for month, bill := range s.bill {
		for service, c := range bill {
			fee := 150
			if c.Reason == FreeMonth {
				fee = 0
			}
			all = append(all, fmt.Sprintf("%s %s %d %s (%s)\n", month, service, fee, c.Reason, c.Owner))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

// TestBillsAgainstSimulation: random lives of an account, entered for the past, for
// now and for later, are billed as the simulation says.
func TestBillsAgainstSimulation(t *testing.T) {
	reasons := make(map[string]int)
	for seed := range uint64(400) {
		random := rand.New(rand.NewPCG(seed, 2))
		names := []string{"Asia/Tokyo", "America/New_York", "Europe/Berlin", "America/Sao_Paulo", "UTC", "America/Asuncion"}
		tariff := theService(zoneOf(t, names[random.IntN(len(names))]))
		sim := &simulation{tariff: tariff}
		events, last := randomLife(random, tariff.Zone, sim.enter)
		sim.run(last.AddDate(0, 3, 0))
		got := billed(t, tariff, events, MonthOf(events[0].Effective, tariff.Zone).String(), MonthOf(last, tariff.Zone).add(1).String())
		cut := MonthOf(last, tariff.Zone).add(2).String() // the simulation went on
		want := ""
		for line := range strings.Lines(sim.lines()) {
			if line < cut {
				want += line
				reasons[strings.Join(strings.Fields(line)[3:], " ")]++
			}
		}
		if got != want {
			var life strings.Builder
			for _, e := range events {
				fmt.Fprintf(&life, "%s %s of %s, entered %s\n", e.Kind, e.Service, e.Effective.In(tariff.Zone), e.At.In(tariff.Zone))
			}
			t.Fatalf("seed %d, %s:\n%sbilled\n%ssimulated\n%s", seed, tariff.Zone, &life, got, want)
		}
	}
	t.Log(reasons)
	for _, r := range []string{Regular, FirstMonth, FreeMonth, ClosingMonth} {
		if reasons[r+" (1)"]+reasons[r+" (2)"] == 0 {
			t.Errorf("no life was charged for the reason %q", r)
		}
	}
}

// TestPastBillsStay: what is entered when a month is over, and not for the time before
// its end, leaves the bill of that month, and of all before it, as they were.
func TestPastBillsStay(t *testing.T) {
	compared := 0
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 5))
		tariff := theService(zoneOf(t, "America/Sao_Paulo"))
		events, _ := randomLife(random, tariff.Zone, func(Event) {})
		first := MonthOf(events[0].Effective, tariff.Zone)
		for n := 1; n < len(events); n++ {
			m := MonthOf(events[n].At, tariff.Zone).add(-1) // the last month that is over
			_, end := m.Bounds(tariff.Zone)
			if m.Compare(first) < 0 || slices.ContainsFunc(events[n:], func(e Event) bool { return e.Effective.Before(end) }) {
				continue
			}
			before := billed(t, tariff, events[:n], first.String(), m.String())
			after := billed(t, tariff, events, first.String(), m.String())
			if before != after {
				t.Fatalf("seed %d: the first %d events are billed\n%swith the rest\n%s", seed, n, before, after)
			}
			compared++
		}
	}
	if compared < 100 {
		t.Errorf("only %d bills were compared", compared)
	}
}

// randomLife makes up events that are possible, and gives the last of their times.
func randomLife(random *rand.Rand, zone *time.Location, enter func(Event)) (events []Event, last time.Time) {
	kinds := []Kind{Subscribed, Subscribed, Subscribed, Cancelled, Cancelled, Paused, Resumed, Closed, Added, Added, Changed}
	now := time.Date(2014, time.Month(7+random.IntN(4)), 1+random.IntN(28), random.IntN(24), 0, 0, 0, zone).UTC()
	for i := range 40 {
		e := Event{Seq: uint64(len(events) + 1), Address: "taro@example.jp", Kind: kinds[random.IntN(len(kinds))], At: now, Effective: now}
		if i == 0 {
			e.Kind = Added
		}
		switch e.Kind {
		case Added, Changed:
			e.Settings = &Settings{Owner: new(fmt.Sprint(1 + random.IntN(2)))}
		case Closed:
		default:
			e.Service = services[random.IntN(2)]
		}
		if e.Kind != Added && e.Kind != Changed {
			e.Effective = randomTime(random, now, events, zone)
		}
		if _, err := fold(append(slices.Clone(events), e)); err == nil {
			events = append(events, e)
			enter(e)
			if e.Effective.After(last) {
				last = e.Effective
			}
		}
		if random.IntN(3) > 0 {
			now = now.Add(time.Duration(random.IntN(40*24*3600)) * time.Second)
		}
	}
	return events, last
}

// randomTime is now, or somewhere around it, at the turn of a month, or when another event is.
func randomTime(random *rand.Rand, now time.Time, events []Event, zone *time.Location) time.Time {
	start, end := MonthOf(now, zone).Bounds(zone)
	switch random.IntN(8) {
	case 0:
		return end.Add(-1)
	case 1:
		return end
	case 2:
		return start
	case 3:
		return now.Add(time.Duration(random.IntN(90*24*3600)-45*24*3600) * time.Second)
	case 4:
		if len(events) > 0 {
			return events[random.IntN(len(events))].Effective
		}
	}
	return now
}
