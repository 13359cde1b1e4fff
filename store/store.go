// Package store puts messages into Maildirs: a message is there whole and
// durable, or it is not there.
package store

import (
	"errors"
	"io"
	"time"
)

// Errors that callers tell apart. Each comes wrapped with the place and the system's own words.
var (
	ErrFull  = errors.New("disk full")               // ENOSPC, EFBIG
	ErrQuota = errors.New("over quota")              // EDQUOT
	ErrPlace = errors.New("not below the mail root") // a Maildir path that must not be written to
)

// Content is the bytes of one message.
type Content interface {
	io.WriterTo         // writes all of it; called once for each file that has to be made
	Size() int64        // bytes
	VirtualSize() int64 // bytes with every line end counted as CRLF: Dovecot's W=
}

// Options configures a Store.
type Options struct {
	Hostname string // part of file names; "/" and ":" are escaped
	Root     string // Maildirs lie below this folder; missing folders below it are made; "" allows no making
}

// Store writes Maildirs. It is safe for concurrent use.
type Store struct{}

// New makes a Store.
func New(o Options) *Store { panic("not built yet") }

// Prepare makes a delivery of contents, in the order in which they are to show
// (a report before its message). Nothing is written before the first To.
func (s *Store) Prepare(contents ...Content) *Delivery { panic("not built yet") }

// Delivery puts the same contents into the Maildirs of any number of
// recipients: written and synced once, hard-linked for the others.
// It is used by one goroutine.
type Delivery struct{}

// To delivers into one Maildir. When it returns nil, every content is durable
// and visible there; else none is visible and no file of ours is left, or the
// error says otherwise (errors.As with *PartialError).
func (d *Delivery) To(maildir string) error { panic("not built yet") }

// Close removes what is left in tmp. It must be called once.
func (d *Delivery) Close() error { panic("not built yet") }

// PartialError says that the first Done contents are visible although To
// failed: a retry must not deliver them again.
type PartialError struct {
	Done int
	Err  error
}

func (e *PartialError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *PartialError) Unwrap() error { return e.Err }

// Memory is a durable set of keys that are forgotten after a while: which
// recipients already have a message whose reply was lost, which messages ended
// a worker. It is safe for concurrent use. An empty Memory costs a look-up nothing.
type Memory struct{}

// OpenMemory reads the set kept in dir, which is made when missing. Keys older
// than keep are dropped.
func OpenMemory(dir string, keep time.Duration) (*Memory, error) { panic("not built yet") }

// Add makes key durable, with a small value. Adding again replaces the value.
func (m *Memory) Add(key [32]byte, value string) error { panic("not built yet") }

// Get gives the value of a key.
func (m *Memory) Get(key [32]byte) (value string, ok bool) { panic("not built yet") }

// Remove forgets a key.
func (m *Memory) Remove(key [32]byte) error { panic("not built yet") }

// Len is the number of keys: 0 means that no look-up is worth its digest.
func (m *Memory) Len() int { panic("not built yet") }

// CleanTmp removes files of our own names from the tmp folder of a Maildir that a crash left: older than age.
func (s *Store) CleanTmp(maildir string, age time.Duration) (removed int, err error) {
	panic("not built yet")
}
