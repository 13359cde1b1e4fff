// Package control is how commands reach the running server: JSON over HTTP on a
// Unix socket in the state folder, for root, the server's own user and, where
// configured, a group.
//
// The server holds the lock of the account database for as long as it runs, so
// a command can not open the file beside it: Client does over the socket what
// *accounts.DB does on the file, and errors keep their kind on the way.
package control

import (
	"context"
	"errors"
	"io"
	"time"

	"kiyome/accounts"
	"kiyome/lmtp"
	"kiyome/rules"
	"kiyome/scan/worker"
)

// Errors that callers tell apart.
var (
	ErrNoServer = errors.New("no server is running")
	ErrFrozen   = errors.New("the server does not answer")
	ErrRefused  = errors.New("rules not taken into service") // what served before serves on
	ErrDenied   = errors.New("not allowed to use the control socket")
	ErrRequest  = errors.New("not a request")
)

// Accounts is what commands do with the account database: *accounts.DB and *Client do it.
type Accounts interface {
	Add(accounts.NewAccount) (accounts.Account, error)
	Change(address string, k accounts.Kind, s accounts.Service, at time.Time, by string) (accounts.Account, error)
	// Force subscribes where the owner has no connection course.
	Force(address string, s accounts.Service, at time.Time, by string) (accounts.Account, error)
	Set(address string, c accounts.Settings, by string) (accounts.Account, error)
	Get(address string) (accounts.Account, error)
	List(f func(accounts.Account) bool) error
	ListOwner(owner string, f func(accounts.Account) bool) error
	CloseOwner(owner string, at time.Time, by string) ([]accounts.Account, error)
	Services(address string) ([]accounts.Standing, error)
	History(address string) ([]accounts.Event, error)
	// Removals gives what was removed from mail, the newest first, of those before a Seq.
	Removals(address string, before uint64, limit int) ([]accounts.Removal, error)
	Bill(m accounts.Month, o accounts.BillOptions, f func(accounts.Charge) bool) (accounts.Bill, error)
	SinceIssued(m accounts.Month, o accounts.BillOptions, f func(accounts.Difference) bool) (accounts.Bill, error)
	CloseMonth(m accounts.Month, by string, progress accounts.Progress) (accounts.Bill, error)
	Check() (problems []string, accounts int, err error)
	Backup(w io.Writer) (int64, error)
	Export(w io.Writer) error
	ExportCSV(w io.Writer) error
	Import(r io.Reader, o accounts.ImportOptions) (accounts.Imported, error)
	Close() error
}

// Operator is what commands ask of the server besides.
type Operator interface {
	// Status tells how the server is.
	Status(ctx context.Context) (Status, error)
	// Reload reads the configuration again and puts its rules in service.
	Reload(ctx context.Context) (Reloaded, error)
	// Rollback puts the rules in service that served before.
	Rollback(ctx context.Context) (Reloaded, error)
	// Silence takes a rule, or an object by its sha256, out of service at once;
	// with off it is back.
	Silence(ctx context.Context, name string, off bool) (Reloaded, error)
}

// Status is how the server is.
type Status struct {
	Version  string         `json:"version"`
	PID      int            `json:"pid"`
	Started  time.Time      `json:"started"`
	Uptime   int64          `json:"uptime_seconds"`
	Config   string         `json:"config,omitempty"`          // file; "" for the built-in defaults
	Listen   []string       `json:"listen"`                    // for incoming mail
	Filter   []string       `json:"listen_outbound,omitempty"` // for outgoing mail
	Page     []string       `json:"listen_page,omitempty"`     // for members
	NextHop  string         `json:"next_hop,omitempty"`
	Monitor  []string       `json:"listen_monitor,omitempty"` // for metrics and health
	Sandbox  bool           `json:"sandbox"`
	Rules    rules.Compiled `json:"rules"`
	Scan     worker.Stats   `json:"scan"`
	LMTP     lmtp.Stats     `json:"lmtp"`     // of incoming mail
	Outbound lmtp.Stats     `json:"outbound"` // of outgoing mail
	Accounts Counts         `json:"accounts"`
	Lost     int64          `json:"removals_lost,omitempty"` // removals that could not be written down
}

// Counts is how many accounts there are.
type Counts struct {
	Accounts int  `json:"accounts"` // closed ones not counted
	Inbound  int  `json:"inbound"`  // subscribed to the service
	Paused   int  `json:"paused"`
	Outbound int  `json:"outbound"`
	Complete bool `json:"complete"` // false: there are more; counting them all would have taken too long
}

// Reloaded is what a change of the rules did.
type Reloaded struct {
	Rules    rules.Compiled  `json:"rules"`
	Problems []rules.Problem `json:"problems,omitempty"`
	Restart  []string        `json:"restart,omitempty"` // settings that differ from the running ones and need a restart
}

// kinds names the errors that keep their identity on the way to a Client.
var kinds = []struct {
	name   string
	err    error
	status int
}{
	{"unknown", accounts.ErrUnknown, 404},
	{"malformed", accounts.ErrMalformed, 400},
	{"exists", accounts.ErrExists, 409},
	{"setting", accounts.ErrSetting, 400},
	{"transition", accounts.ErrTransition, 409},
	{"ineligible", accounts.ErrIneligible, 409},
	{"month", accounts.ErrMonth, 400},
	{"issued", accounts.ErrIssued, 409},
	{"damaged", accounts.ErrDamaged, 500},
	{"missing", accounts.ErrMissing, 500},
	{"foreign", accounts.ErrForeign, 500},
	{"newer", accounts.ErrNewer, 500},
	{"busy", accounts.ErrBusy, 503},
	{"refused", ErrRefused, 422},
	{"denied", ErrDenied, 403},
	{"format", accounts.ErrFormat, 400},
	{"request", ErrRequest, 400},
}

// fault is an error on the wire.
type fault struct {
	Kind string `json:"kind,omitempty"`
	Text string `json:"error"`
}

// toFault gives an error its form on the wire, and the status that goes with it.
func toFault(err error) (fault, int) {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return fault{Kind: k.name, Text: err.Error()}, k.status
		}
	}
	return fault{Text: err.Error()}, 500
}

// Error makes fault an error: the server's own words.
func (f fault) Error() string { return f.Text }

// Unwrap gives the error that the server meant.
func (f fault) Unwrap() error {
	for _, k := range kinds {
		if k.name == f.Kind {
			return k.err
		}
	}
	return nil
}
