package accounts

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// A record is what the database keeps beside the ledger: the account as it was
// when the last event was entered, and what was then still to come.
type record struct {
	account Account
	pending []Event // in the order in which they take effect; Kind, Service and Effective only
	events  uint64  // how many the ledger has: a lost index entry is noticed
}

// at gives the account as it is at a time, and what is then still to come, without writing.
func (r *record) at(now time.Time) Account {
	a := r.account
	for _, e := range r.pending {
		if e.Effective.After(now) {
			a.Pending = append(a.Pending, Pending{e.Kind, e.Service, e.Effective})
			continue
		}
		next, why := apply(a, e)
		if why != "" { // fold let none of these through
			continue
		}
		a = next
	}
	return a
}

// fold computes a record from all events of one account, in the order of Seq. An
// event that is not possible where it stands makes it fail with ErrTransition.
func fold(events []Event) (record, error) {
	r := record{events: uint64(len(events))}
	err := replay(events, func(e Event, _, after Account) {
		if newest := events[len(events)-1]; e.Effective.After(newest.At) {
			r.pending = append(r.pending, Event{Kind: e.Kind, Service: e.Service, Effective: e.Effective})
		} else {
			r.account = after
		}
	})
	if err != nil {
		return record{}, err
	}
	if r.account.Address == "" {
		return record{}, fmt.Errorf("%s: %w: it would begin in the future", events[0].Address, ErrTransition)
	}
	return r, nil
}

// replay walks through the events of one account, given in the order of Seq, in
// the order in which they take effect. Those that were revoked are left out; of
// each other one visit hears how the account was before it and is after it.
//
// It is the one place that knows what an account's history means: changes, bills,
// Check and Import all ask it. An event that is not possible where it stands ends
// it with ErrTransition.
func replay(events []Event, visit func(e Event, before, after Account)) error {
	if len(events) == 0 {
		return fmt.Errorf("an account without events: %w", ErrDamaged)
	}
	newest := events[len(events)-1]
	var state Account
	var ends []Event
	for _, e := range inEffect(events) {
		if revoked(ends, e) {
			continue
		}
		next, why := apply(state, e)
		if why != "" && takesBack(events, e) && state.open() {
			next, why = state, "" // its one effect is on what it revokes
		}
		if why != "" {
			return impossible(newest, e, why)
		}
		if e.Kind == Cancelled || e.Kind == Closed {
			ends = append(ends, e)
		}
		visit(e, state, next)
		state = next
	}
	return nil
}

// inEffect gives events in the order in which they take effect.
func inEffect(events []Event) []Event {
	order := func(a, b Event) int {
		return cmp.Or(a.Effective.Compare(b.Effective), cmp.Compare(a.Seq, b.Seq))
	}
	if slices.IsSortedFunc(events, order) { // as nearly all are
		return events
	}
	return slices.SortedStableFunc(slices.Values(events), order)
}

// revoked reports whether e had not yet taken effect when a cancel or close,
// entered after it but effective no later, took away what it applied to: who cancels today
// means that the pause entered for next month is off, even if he subscribes
// again tomorrow.
func revoked(ends []Event, e Event) bool {
	return slices.ContainsFunc(ends, func(end Event) bool { return end.revokes(e) })
}

// revokes reports whether the end e takes away what other would have applied
// to, if other takes effect no earlier.
func (e Event) revokes(other Event) bool {
	return e.Seq > other.Seq && other.Effective.After(e.At) && (e.Kind == Closed || e.Service == other.Service)
}

// takesBack reports whether e is the cancelling, at once, of a service that was
// still to be subscribed to when e was entered. Such a subscription was never in
// force: it is not charged, and counts for no campaign.
func takesBack(events []Event, e Event) bool {
	if e.Kind != Cancelled || e.Effective.After(e.At) || e.Service != Inbound && e.Service != Outbound {
		return false
	}
	return slices.ContainsFunc(events, func(s Event) bool {
		return s.Kind == Subscribed && e.revokes(s) && !slices.ContainsFunc(events, func(end Event) bool {
			earlier := end.Seq < e.Seq && !end.Effective.After(s.Effective)
			return earlier && (end.Kind == Cancelled || end.Kind == Closed) && end.revokes(s)
		})
	})
}

// impossible says why in a sentence: about the new event itself, or about an
// older one that it would make impossible.
func impossible(newest, e Event, why string) error {
	if e.Seq == newest.Seq {
		return fmt.Errorf("%s: %w: %s", newest.Address, ErrTransition, why)
	}
	return fmt.Errorf("%s: %w: then %q of %s, entered by %s, could not be: %s",
		newest.Address, ErrTransition, e.Kind, e.Effective.Format(time.RFC3339), e.By, why)
}

// apply gives the account after an event, or the reason why it cannot be.
func apply(a Account, e Event) (Account, string) {
	switch {
	case e.Kind == Added && a.open():
		return a, "the account exists already"
	case e.Kind != Added && a.Address == "":
		return a, "the account was not added until later"
	case e.Kind != Added && !a.open():
		return a, "the account is closed since " + a.Closed.Format(time.RFC3339)
	}
	switch e.Kind {
	case Added:
		if a.Address == "" {
			a.Address, a.Added = e.Address, e.Effective
		}
		a.Closed = time.Time{}
		return e.Settings.applyTo(a), ""
	case Changed:
		return e.Settings.applyTo(a), ""
	case Closed:
		a.Closed = e.Effective
		for _, s := range []*State{&a.Inbound, &a.Outbound} {
			if s.Subscribed {
				*s = State{Since: e.Effective}
			}
		}
		return a, ""
	}
	var why string
	switch e.Service {
	case Inbound:
		a.Inbound, why = a.Inbound.after(e)
	case Outbound:
		a.Outbound, why = a.Outbound.after(e)
	default:
		why = fmt.Sprintf("there is no service %.40q", e.Service)
	}
	return a, why
}

// Of gives the state of one service.
func (a Account) Of(s Service) State {
	if s == Outbound {
		return a.Outbound
	}
	return a.Inbound
}

// open reports whether the account is there and not closed.
func (a Account) open() bool { return a.Address != "" && a.Closed.IsZero() }

// after gives the state of the event's service after it, or why it cannot be.
func (s State) after(e Event) (State, string) {
	next := State{Subscribed: true, Since: e.Effective}
	switch e.Kind {
	case Subscribed:
		if s.Subscribed {
			return s, string(e.Service) + " is subscribed already"
		}
	case Cancelled:
		if !s.Subscribed {
			return s, string(e.Service) + " is not subscribed"
		}
		next.Subscribed = false
	case Paused:
		switch {
		case e.Service == Outbound:
			return s, "outbound cannot be paused, only cancelled"
		case !s.Subscribed:
			return s, string(e.Service) + " is not subscribed"
		case s.Paused:
			return s, string(e.Service) + " is paused already"
		}
		next.Paused = true
	case Resumed:
		if !s.Paused {
			return s, string(e.Service) + " is not paused"
		}
	default:
		return s, fmt.Sprintf("there is no change %.40q", e.Kind)
	}
	return next, ""
}
