// Package accounts knows who has which service, since when: the account
// database (bbolt) and its ledger of events. It parses no mail.
//
// The state of an account is computed from its events, which are appended and
// never changed; the record keeps the result so that a look-up reads one key.
package accounts

import (
	"errors"
	"io"
	"time"
)

// Errors that callers tell apart.
var (
	ErrUnknown    = errors.New("no such account")
	ErrMalformed  = errors.New("malformed address")
	ErrExists     = errors.New("account exists already")
	ErrTransition = errors.New("not possible in this state")  // resume what is not paused …
	ErrDamaged    = errors.New("account database is damaged") // a record, or the file: never "unknown"
	ErrMissing    = errors.New("no account database")
	ErrForeign    = errors.New("not an account database")
	ErrNewer      = errors.New("account database of a newer version")
	ErrLocked     = errors.New("account database is in use") // by a server, or another command
	ErrBusy       = errors.New("busy, try again")
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

// Account is one mailbox address with its services.
type Account struct {
	Address  string    `json:"address"` // canonical: see ParseAddress
	Owner    string    `json:"owner,omitempty"`
	Language string    `json:"language"` // "ja" or "en"
	Maildir  string    `json:"maildir"`  // absolute; expanded once, when the account was added
	Forward  []string  `json:"forward,omitempty"`
	NoCopy   bool      `json:"no_copy,omitempty"`
	Inbound  State     `json:"inbound"`
	Outbound State     `json:"outbound"`
	Closed   time.Time `json:"closed,omitzero"`
	Added    time.Time `json:"added"`
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

// Event is a line of an account's ledger.
type Event struct {
	Seq       uint64    `json:"seq"` // over the whole database, ascending
	Address   string    `json:"address"`
	Kind      Kind      `json:"kind"`
	Service   Service   `json:"service,omitempty"`
	By        string    `json:"by"`        // who: the user of the command
	At        time.Time `json:"at"`        // when it was entered
	Effective time.Time `json:"effective"` // from when it counts
	Note      string    `json:"note,omitempty"`
}

// ParseAddress gives the canonical form of an address: local part NFC and lower
// case, domain as A-labels (RFC 5890) in lower case. It refuses with ErrMalformed what could
// not be a mailbox of ours or a safe path component: no "@", empty parts, a
// slash, NUL or other control characters, a leading dot, parts over 255 bytes.
func ParseAddress(s string) (string, error) { panic("not built yet") }

// ExpandPath puts an address into a path template with {local} and {domain}.
func ExpandPath(template, address string) (string, error) { panic("not built yet") }

// Options configures a DB.
type Options struct {
	Delimiter string        // of address extensions: "+"; "" for none
	Path      string        // template of Maildir paths
	Timeout   time.Duration // how long to wait for the lock; default 3 s
	Now       func() time.Time
}

// DB is an open account database. It is safe for concurrent use.
type DB struct{}

// Open opens an existing database for reading and writing and checks that it
// is one of ours, whole and not newer. It never makes one.
func Open(file string, o Options) (*DB, error) { panic("not built yet") }

// Create makes a new, empty database, durable; it refuses to touch a file that exists.
func Create(file string, o Options) (*DB, error) { panic("not built yet") }

// Close gives the lock back.
func (db *DB) Close() error { panic("not built yet") }

// Lookup finds the account that a recipient address means: the exact address
// first, then without the address extension. ErrUnknown also for a closed account. Any
// other error means that we cannot tell.
func (db *DB) Lookup(address string) (Account, error) { panic("not built yet") }

// Add makes an account without services, or reopens a closed one.
func (db *DB) Add(a NewAccount) (Account, error) { panic("not built yet") }

// NewAccount is what Add needs.
type NewAccount struct {
	Address  string   `json:"address"`
	Owner    string   `json:"owner,omitempty"`
	Language string   `json:"language,omitempty"`
	Maildir  string   `json:"maildir,omitempty"`
	Forward  []string `json:"forward,omitempty"`
	NoCopy   bool     `json:"no_copy,omitempty"`
	By       string   `json:"by,omitempty"`
}

// Change applies one transition: Subscribed, Paused, Resumed, Cancelled or Closed. at is when it
// takes effect; the zero time means now.
func (db *DB) Change(address string, k Kind, s Service, at time.Time, by string) (Account, error) {
	panic("not built yet")
}

// Set changes settings; nil fields stay.
func (db *DB) Set(address string, c Settings, by string) (Account, error) { panic("not built yet") }

// Settings are what Set can change.
type Settings struct {
	Owner    *string   `json:"owner,omitempty"`
	Language *string   `json:"language,omitempty"`
	Maildir  *string   `json:"maildir,omitempty"`
	Forward  *[]string `json:"forward,omitempty"`
	NoCopy   *bool     `json:"no_copy,omitempty"`
}

// Get gives the account with exactly this address, a closed one too.
func (db *DB) Get(address string) (Account, error) { panic("not built yet") }

// List calls f for each account in the order of addresses until f returns false.
func (db *DB) List(f func(Account) bool) error { panic("not built yet") }

// History gives the events of an account, oldest first.
func (db *DB) History(address string) ([]Event, error) { panic("not built yet") }

// Check reads everything and tells what is wrong, one line each.
func (db *DB) Check() (problems []string, accounts int, err error) { panic("not built yet") }

// Backup writes a consistent copy while others go on.
func (db *DB) Backup(w io.Writer) (int64, error) { panic("not built yet") }

// Export writes every account with its events, a JSON object a line.
func (db *DB) Export(w io.Writer) error { panic("not built yet") }

// Import reads what Export wrote: all or nothing; importing again changes nothing. The error names the line.
func (db *DB) Import(r io.Reader, by string) (added int, err error) { panic("not built yet") }
