package accounts

import (
	"slices"
	"time"
)

// Standing is how an account stands with one service, as its member wants to know it.
type Standing struct {
	Service Service `json:"service"`
	State   State   `json:"state"`
	Charge  *Charge `json:"charge,omitempty"` // for the month under way, as things stand
	Next    *Charge `json:"next,omitempty"`   // for the month after it, as things stand
	Offer   *Offer  `json:"offer,omitempty"`  // of what is not subscribed to
}

// Offer is what it would cost to subscribe to a service now.
type Offer struct {
	Month    Month  `json:"month"`
	Fee      int64  `json:"fee"`    // for this month, before tax, in the smallest unit of the currency
	Reason   string `json:"reason"` // "campaign" when the month would be free
	Next     int64  `json:"next"`   // for the month after it
	Currency string `json:"currency"`
	Refused  string `json:"refused,omitempty"` // why it is not possible
}

// Services tells how an account stands with each service: what it has, what this
// month and the next cost, and what subscribing would cost. Errors: ErrUnknown.
func (db *DB) Services(address string) ([]Standing, error) {
	o, err := db.Outlook(address)
	return o.Services, err
}

func chargeFor(charges []Charge, service Service) *Charge {
	i := slices.IndexFunc(charges, func(c Charge) bool { return c.Service == service })
	if i < 0 {
		return nil
	}
	return &charges[i]
}

// offer bills what the account would be with the service.
func (t Tariff) offer(a Account, p period, events []Event, service Service, now time.Time) *Offer {
	o := &Offer{Month: p.month, Currency: p.currency, Next: t.in(p.month.add(1)).fees[service]}
	charges, err := p.charges(append(slices.Clone(events), hypothetical(events, Subscribed, service, now)))
	if err != nil {
		o.Refused = err.Error() + a.wayBack(service)
		return o
	}
	if a.NoCourse {
		o.Refused = "its owner has no connection course"
	}
	if c := chargeFor(charges, service); c != nil {
		o.Fee, o.Reason = c.Fee, c.Reason
	}
	return o
}

// hypothetical is the event that a change made now would enter.
func hypothetical(events []Event, k Kind, service Service, now time.Time) Event {
	newest := events[len(events)-1]
	return Event{Seq: newest.Seq + 1, Address: newest.Address, Kind: k, Service: service, At: now, Effective: now}
}
