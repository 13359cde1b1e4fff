// Package relay passes messages on to the next hop by SMTP (RFC 5321): the bytes
// as they are, and for every recipient the answer that the next hop gave.
//
// It keeps no queue and tries nothing twice: whoever calls it still has the
// message, and is told when it must be kept. Connections are used again while
// they are fresh.
//
// The client is our own, on net/textproto, because that of go-smtp writes a bare
// line feed as CRLF, sends one command at a time, and knows no XFORWARD.
package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Errors that callers tell apart, besides *Refusal. After each of them the
// message has to be kept.
var (
	ErrUnavailable = errors.New("the next hop is not available")
	ErrUncertain   = errors.New("the next hop was lost before its answer: the message may be sent twice")
	ErrNot8Bit     = errors.New("the next hop does not take 8-bit text (8BITMIME)")
	ErrNotUTF8     = errors.New("the next hop does not take addresses outside ASCII (SMTPUTF8)")
	ErrAddress     = errors.New("not an address that can be passed on")
	ErrTLS         = errors.New("the next hop cannot be reached under TLS")
)

// Options configures a Client. Zero fields have their defaults.
type Options struct {
	Address     string // host:port or unix:PATH
	Hostname    string // ours, for EHLO
	TLS         TLS
	Connections int           // at once; default 20
	Idle        time.Duration // after which an unused connection is closed; default 5 s
	Patience    time.Duration // for the answer to one command; default 2 min
	Log         *slog.Logger
}

// Client passes messages on. It is safe for concurrent use.
type Client struct {
	Options
	tls  *tlsConfig
	pool *pool
}

// New makes a client; nothing is connected to before there is mail. An error
// means that the files of o.TLS cannot be used.
func New(o Options) (*Client, error) {
	if o.Connections <= 0 {
		o.Connections = 20 // what Postfix allows itself: default_destination_concurrency_limit
	}
	if o.Idle <= 0 {
		o.Idle = 5 * time.Second // half of what Postfix waits for a command under stress
	}
	if o.Patience <= 0 {
		o.Patience = 2 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	config, err := o.TLS.load(o.Address)
	if err != nil {
		return nil, fmt.Errorf("TLS to the next hop: %w", err)
	}
	return &Client{Options: o, tls: config, pool: newPool(o.Connections, o.Idle)}, nil
}

// Close closes the connections that nobody uses; those in use are closed after it.
func (c *Client) Close() { c.pool.close() }

// Content is the bytes of a message.
type Content interface {
	// WriterTo writes all of it. It may be called more than once.
	io.WriterTo
	Size() int64   // bytes
	BareLF() int64 // line feeds without a carriage return before them
}

// Mail is a message with its envelope.
type Mail struct {
	From    string // "" is the null sender
	To      []string
	UTF8    bool   // SMTPUTF8 (RFC 6531) was asked for
	Origin  Origin // for the log of the next hop
	Content Content
}

// Result is what came of one recipient.
type Result struct {
	Reply Reply // the next hop's own; zero when it gave none
	Err   error // nil: the next hop has the message for this recipient
}

// Send passes a message on in one transaction and gives a result for each
// recipient, in their order. It returns soon after ctx ends.
func (c *Client) Send(ctx context.Context, m *Mail) []Result {
	for _, a := range append(m.To[:len(m.To):len(m.To)], m.From) {
		if a != "" && !Valid(a) {
			return everyone(m, Result{Err: fmt.Errorf("%w: %.80q", ErrAddress, a)})
		}
	}
	for {
		conn, err := c.pool.get(ctx, c.connect)
		if err != nil {
			return everyone(m, Result{Err: err})
		}
		results, err := conn.send(ctx, m)
		c.pool.put(conn, err == nil)
		if errors.Is(err, errStale) && conn.used > 1 && ctx.Err() == nil {
			continue // nothing was accepted over it
		}
		return results
	}
}

// everyone gives all recipients the same result.
func everyone(m *Mail, r Result) []Result {
	all := make([]Result, len(m.To))
	for i := range all {
		all[i] = r
	}
	return all
}
