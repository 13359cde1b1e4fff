package accounts

import (
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Standing is how an account stands with one service, as its member wants to know it.
type Standing struct {
	Service Service `json:"service"`
	State   State   `json:"state"`
	Charge  *Charge `json:"charge,omitempty"` // for the month under way, as things stand
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
// month costs, and what subscribing would cost. Errors: ErrUnknown.
func (db *DB) Services(address string) ([]Standing, error) {
	address, err := ParseAddress(address)
	if err != nil {
		return nil, err
	}
	var r record
	var events []Event
	err = db.view(func(tx *bolt.Tx) (err error) {
		if r, err = find(tx, address); err == nil {
			events, err = history(tx, r)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	now := db.now()
	if last := events[len(events)-1].At; last.After(now) {
		now = last // the clock was put back: as enter has it
	}
	a, t := r.at(now), db.tariff()
	p := t.in(MonthOf(now, t.zone()))
	charges, err := p.charges(events)
	if err != nil {
		return nil, err
	}
	var all []Standing
	for _, service := range services {
		s := Standing{Service: service, State: a.Of(service), Charge: chargeFor(charges, service)}
		if !s.State.Subscribed && a.open() {
			s.Offer = t.offer(a, p, events, service, now)
		}
		all = append(all, s)
	}
	return all, nil
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
	taken := Event{Seq: events[len(events)-1].Seq + 1, Address: a.Address, Kind: Subscribed, Service: service, At: now, Effective: now}
	charges, err := p.charges(append(slices.Clone(events), taken))
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
