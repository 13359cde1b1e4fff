package accounts

import (
	"slices"
	"time"
)

// services lists what an account can subscribe to, in the order of bills.
var services = []Service{Inbound, Outbound}

// Tariff says what the services cost, and when.
type Tariff struct {
	Zone      *time.Location // whose months are billed; nil means UTC
	Currency  string         // ISO 4217
	Prices    []Price        // in any order
	Campaigns []Campaign
}

// Price is what a service costs from a month on, until another Price for it.
type Price struct {
	Service Service
	From    Month // the zero Month: ever since
	Fee     int64 // a month, before tax, in the smallest unit of the currency
}

// Campaign makes the month of subscribing free, for accounts that never had the service before.
type Campaign struct {
	Service  Service
	From, To time.Time // the first day and the last; only the dates count
}

// Why a line is in a bill.
const (
	Regular      = "regular"
	FirstMonth   = "first month"
	FreeMonth    = "campaign"
	ClosingMonth = "closing month"
)

// Charge is a line of a bill: one service of one account in one month.
type Charge struct {
	Month    Month   `json:"month"`
	Owner    string  `json:"owner"` // at the end of the month, or when the account closed
	Address  string  `json:"address"`
	Service  Service `json:"service"`
	Fee      int64   `json:"fee"` // before tax, in the smallest unit of the currency; 0 when made free
	Currency string  `json:"currency"`
	Reason   string  `json:"reason"`
}

// A period is a month with all that a tariff says of it.
type period struct {
	month      Month
	start, end time.Time
	entered    time.Time // only events that were entered before count; zero: all
	currency   string
	fees       map[Service]int64
	free       []interval
}

// An interval is when subscribing to a service makes its first month free.
type interval struct {
	service Service
	from    time.Time
	until   time.Time // the first moment after it
}

func (t Tariff) zone() *time.Location {
	if t.Zone == nil {
		return time.UTC
	}
	return t.Zone
}

// in gives what holds in a month.
func (t Tariff) in(m Month) period {
	p := period{month: m, currency: t.Currency, fees: make(map[Service]int64)}
	p.start, p.end = m.Bounds(t.zone())
	prices := slices.SortedStableFunc(slices.Values(t.Prices), func(a, b Price) int { return a.From.Compare(b.From) })
	for _, price := range prices {
		if price.From.Compare(m) <= 0 {
			p.fees[price.Service] = price.Fee
		}
	}
	for _, c := range t.Campaigns {
		y, month, day := c.From.Date()
		y2, month2, day2 := c.To.Date()
		p.free = append(p.free, interval{c.Service, StartOfDay(y, month, day, t.zone()), StartOfDay(y2, month2, day2+1, t.zone())})
	}
	return p
}

// charges gives what one account, with all its events, is charged for.
//
// A month is charged once for a service, for the first reason in time that there
// is: the service was subscribed to in it, whatever came then; it was had already,
// and not cancelled in it; it was had until the account closed in it. Only the first
// subscription of all can be free by a campaign. What follows it in the same month,
// cancelling and subscribing again, leaves that month free.
func (p period) charges(events []Event) ([]Charge, error) {
	h, err := spansBefore(events, p.end)
	if err != nil {
		return nil, err
	}
	var charges []Charge
	for _, service := range services {
		for _, s := range h.spans {
			reason := ""
			if s.service == service {
				reason = p.reason(s)
			}
			if reason == "" {
				continue
			}
			c := Charge{Month: p.month, Owner: h.owner(s.life), Address: events[0].Address, Service: service, Currency: p.currency, Reason: reason}
			if reason != FreeMonth {
				c.Fee = p.fees[service]
			}
			charges = append(charges, c)
			break
		}
	}
	return charges, nil
}

// reason says why the month is charged for a span; "" when it is not.
func (p period) reason(s span) string {
	ended := !s.to.IsZero() // within the month, unless before it
	switch {
	case ended && s.to.Before(p.start):
		return ""
	case !s.from.Before(p.start) && s.first && p.isFree(s):
		return FreeMonth
	case !s.from.Before(p.start):
		return FirstMonth
	case !ended:
		return Regular
	case s.closed:
		return ClosingMonth
	}
	return "" // cancelled
}

// isFree reports whether a span began within a campaign.
func (p period) isFree(s span) bool {
	return slices.ContainsFunc(p.free, func(i interval) bool {
		return i.service == s.service && !s.from.Before(i.from) && s.from.Before(i.until)
	})
}

// A span is a time during which an account had a service, paused or not.
type span struct {
	service  Service
	from, to time.Time // to: zero when it goes on
	closed   bool      // it ended because the account closed
	first    bool      // the account never had the service before
	life     int
}

// A past is what bills are made of: spans in the order in which they began, and
// whose the account was in each of its lives, from being added to being closed.
type past struct {
	spans  []span
	owners []string
}

func (h past) owner(life int) string { return h.owners[life] }

// spansBefore gives the spans of an account as far as they lie before a time.
func spansBefore(events []Event, end time.Time) (past, error) {
	var h past
	begun := make([]Event, 0, len(services)) // of the spans that go on
	err := replay(events, func(e Event, was, is Account) {
		if !e.Effective.Before(end) {
			return
		}
		if e.Kind == Added {
			h.owners = append(h.owners, "")
		}
		h.owners[len(h.owners)-1] = is.Owner
		for _, service := range services {
			switch had, has := was.Of(service).Subscribed, is.Of(service).Subscribed; {
			case has && !had:
				h.begin(service, e.Effective)
				begun = append(begun, e)
			case had && !has:
				i := slices.IndexFunc(begun, func(b Event) bool { return b.Service == service })
				h.end(service, begun[i], e)
				begun = slices.Delete(begun, i, i+1)
			}
		}
	})
	return h, err
}

func (h *past) begin(service Service, from time.Time) {
	first := !slices.ContainsFunc(h.spans, func(s span) bool { return s.service == service })
	h.spans = append(h.spans, span{service: service, from: from, first: first, life: len(h.owners) - 1})
}

// end ends the span that b began. One that was cancelled for the moment at which
// it was to begin, before that came, was never in force: it counts for nothing.
func (h *past) end(service Service, b, e Event) {
	for i := range h.spans {
		s := &h.spans[i]
		if s.service != service || !s.to.IsZero() {
			continue
		}
		if e.Effective.Equal(b.Effective) && e.revokes(b) {
			h.spans = slices.Delete(h.spans, i, i+1)
			return
		}
		s.to, s.closed = e.Effective, e.Kind == Closed
		return
	}
}
