// Package accounts knows who has which service, since when: the account
// database (bbolt) and its ledger of events. It parses no mail.
//
// The state of an account is computed from its events, which are appended and
// never changed; the record keeps the result so that a look-up reads one key.
//
// A file that is not sound is refused, never repaired and never replaced: an
// empty database would bounce everybody's mail, a wrong one would let mail
// through unchecked. bbolt itself trusts its file and can end the process on a
// damaged one, so Open reads every page with bounds before bbolt sees it, and
// every record carries a checksum of its own.
package accounts

import (
	"errors"
	"time"
)

// Errors that callers tell apart.
var (
	ErrUnknown    = errors.New("no such account")
	ErrMalformed  = errors.New("malformed address")
	ErrSetting    = errors.New("not a possible setting") // a language we do not have, a relative Maildir …
	ErrExists     = errors.New("account exists already")
	ErrTransition = errors.New("not possible in this state") // resume what is not paused …
	ErrDamaged    = errors.New("database is damaged")        // a record, or the file: never "unknown"
	ErrMissing    = errors.New("no account database")
	ErrForeign    = errors.New("not a database of kiyome")
	ErrNewer      = errors.New("database of a newer version")
	ErrLocked     = errors.New("database is in use") // by a server, or another command
	ErrBusy       = errors.New("busy, try again")
	ErrMonth      = errors.New("not a month")
	ErrIneligible = errors.New("not eligible for the service")
	ErrFormat     = errors.New("not a file of accounts")
	ErrIssued     = errors.New("bill is closed already")
)

// Service is what an account can subscribe to.
type Service string

// The services.
const (
	Inbound  Service = "inbound"
	Outbound Service = "outbound"
)

// State is what an account has of one service at one time.
type State struct {
	Subscribed bool      `json:"subscribed"`
	Paused     bool      `json:"paused,omitempty"`
	Since      time.Time `json:"since,omitzero"` // of the latest change
}

// Active reports whether mail is checked.
func (s State) Active() bool { return s.Subscribed && !s.Paused }

// Account is one mailbox address with its services. All times are UTC.
type Account struct {
	Address  string    `json:"address"` // canonical: see ParseAddress
	Owner    string    `json:"owner,omitempty"`
	Language string    `json:"language"` // "ja" or "en"
	Maildir  string    `json:"maildir"`  // absolute; expanded once, when the account was added
	Forward  []string  `json:"forward,omitempty"`
	NoCopy   bool      `json:"no_copy,omitempty"`   // only with a Forward
	NoCourse bool      `json:"no_course,omitempty"` // the owner has no connection course: see Change
	Main     bool      `json:"main,omitempty"`      // the main member's mailbox, among those of its Owner
	Inbound  State     `json:"inbound"`
	Outbound State     `json:"outbound"`
	Closed   time.Time `json:"closed,omitzero"`
	Added    time.Time `json:"added"`             // the first time, if the account was closed and added again
	Pending  []Pending `json:"pending,omitempty"` // what was entered for later, in the order in which it takes effect
}

// Pending is a change of an account that was entered for a time that has not come.
type Pending struct {
	Kind      Kind      `json:"kind"`
	Service   Service   `json:"service,omitempty"` // none when the account closes
	Effective time.Time `json:"effective"`
}

// Kind is what happened in an Event.
type Kind string

// The kinds of events.
const (
	Added      Kind = "added"
	Subscribed Kind = "subscribed"
	Paused     Kind = "paused"
	Resumed    Kind = "resumed"
	Cancelled  Kind = "cancelled"
	Changed    Kind = "changed" // settings: Note says which, from what to what
	Closed     Kind = "closed"
)

// Event is a line of an account's ledger. Events take effect in the order of
// Effective, then of Seq.
type Event struct {
	Seq       uint64    `json:"seq"` // over the whole database, ascending
	Address   string    `json:"address"`
	Kind      Kind      `json:"kind"`
	Service   Service   `json:"service,omitempty"`
	By        string    `json:"by"`                 // who: the user of the command
	At        time.Time `json:"at"`                 // when it was entered
	Effective time.Time `json:"effective"`          // from when it counts
	Settings  *Settings `json:"settings,omitempty"` // of Added (all) and Changed (the new values)
	Note      string    `json:"note,omitempty"`     // for people; nothing is computed from it
}

// NewAccount is what Add needs.
type NewAccount struct {
	Address  string   `json:"address"`
	Owner    string   `json:"owner,omitempty"`
	Language string   `json:"language,omitempty"` // "ja" when empty
	Maildir  string   `json:"maildir,omitempty"`  // made from Options.Path when empty
	Forward  []string `json:"forward,omitempty"`
	NoCopy   bool     `json:"no_copy,omitempty"`
	NoCourse bool     `json:"no_course,omitempty"`
	Main     bool     `json:"main,omitempty"` // only with an Owner
	By       string   `json:"by,omitempty"`

	At time.Time `json:"at,omitzero"` // from when it counts, not in the future; the zero time means now
}

// Settings are what Set can change.
type Settings struct {
	Owner    *string   `json:"owner,omitempty"`
	Language *string   `json:"language,omitempty"`
	Maildir  *string   `json:"maildir,omitempty"`
	Forward  *[]string `json:"forward,omitempty"`
	NoCopy   *bool     `json:"no_copy,omitempty"`
	NoCourse *bool     `json:"no_course,omitempty"`
	Main     *bool     `json:"main,omitempty"`
}
