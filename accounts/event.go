package accounts

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

func sealEvent(key []byte, e Event) ([]byte, error) {
	payload, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("%s: event: %w", e.Address, err)
	}
	return seal(key, payload), nil
}

func unsealEvent(key, value []byte) (e Event, err error) {
	payload, err := unseal(key, value)
	if err != nil {
		return Event{}, err
	}
	if e, ok := readEvent(string(payload)); ok {
		return e, nil
	}
	if err := json.Unmarshal(payload, &e); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return e, nil
}

// readEvent reads an event in the very form in which sealEvent writes it: bills read
// millions, and encoding/json takes ten times as long. It reports false for every other
// form, and for texts with escapes, which are left to encoding/json.
func readEvent(s string) (Event, bool) {
	r := eventReader{rest: s}
	var e Event
	e.Seq = r.number(`{"seq":`)
	e.Address = r.text(`,"address":"`)
	e.Kind = Kind(r.text(`,"kind":"`))
	if r.has(`,"service":"`) {
		e.Service = Service(r.text(`,"service":"`))
	}
	e.By = r.text(`,"by":"`)
	e.At = r.time(`,"at":"`)
	e.Effective = r.time(`,"effective":"`)
	if r.has(`,"settings":{`) {
		e.Settings = r.settings()
	}
	if r.has(`,"note":"`) {
		e.Note = r.text(`,"note":"`)
	}
	r.skip("}")
	return e, !r.bad && r.rest == ""
}

// An eventReader takes an event's fields off the front of rest. After the first
// that is not there it is bad.
type eventReader struct {
	rest string
	bad  bool
}

func (r *eventReader) has(prefix string) bool { return strings.HasPrefix(r.rest, prefix) }

func (r *eventReader) skip(prefix string) {
	rest, ok := strings.CutPrefix(r.rest, prefix)
	r.rest, r.bad = rest, r.bad || !ok
}

// text reads the string that begins behind prefix.
func (r *eventReader) text(prefix string) string {
	r.skip(prefix)
	end := strings.IndexByte(r.rest, '"')
	if end < 0 || strings.IndexByte(r.rest[:end], '\\') >= 0 {
		r.bad = true
		return ""
	}
	s := r.rest[:end]
	r.rest = r.rest[end+1:]
	return s
}

func (r *eventReader) number(prefix string) uint64 {
	r.skip(prefix)
	end := 0
	for end < len(r.rest) && '0' <= r.rest[end] && r.rest[end] <= '9' {
		end++
	}
	n, err := strconv.ParseUint(r.rest[:end], 10, 64)
	r.rest, r.bad = r.rest[end:], r.bad || err != nil
	return n
}

func (r *eventReader) time(prefix string) time.Time {
	t, err := time.Parse(time.RFC3339, r.text(prefix))
	r.bad = r.bad || err != nil
	return t
}

func (r *eventReader) yes(prefix string) *bool {
	r.skip(prefix)
	yes := r.has("true")
	if yes {
		r.skip("true")
	} else {
		r.skip("false")
	}
	return &yes
}

// settings reads what is in the object, each field only if it is there.
func (r *eventReader) settings() *Settings {
	r.skip(`,"settings":{`)
	s := new(Settings)
	comma := ""
	field := func(name string) (prefix string, there bool) {
		prefix = comma + name
		if there = r.has(prefix); there {
			comma = ","
		}
		return prefix, there
	}
	for _, f := range []struct {
		name string
		to   **string
	}{{`"owner":"`, &s.Owner}, {`"language":"`, &s.Language}, {`"maildir":"`, &s.Maildir}} {
		if prefix, there := field(f.name); there {
			*f.to = new(r.text(prefix))
		}
	}
	if prefix, there := field(`"forward":[`); there {
		s.Forward = r.list(prefix)
	} else if prefix, there := field(`"forward":null`); there { // as none was written once; it reads as not given
		r.skip(prefix)
	}
	for _, f := range []struct {
		name string
		to   **bool
	}{{`"no_copy":`, &s.NoCopy}, {`"no_course":`, &s.NoCourse}, {`"main":`, &s.Main}} {
		if prefix, there := field(f.name); there {
			*f.to = r.yes(prefix)
		}
	}
	r.skip("}")
	return s
}

func (r *eventReader) list(prefix string) *[]string {
	r.skip(prefix)
	all := []string{}
	for comma := ""; !r.bad && !r.has("]"); comma = "," {
		all = append(all, r.text(comma+`"`))
	}
	r.skip("]")
	return &all
}
