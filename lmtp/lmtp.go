// Package lmtp is the wire and the transaction: it takes a message in by LMTP
// (RFC 2033), has it scanned at most once, and answers for each recipient when
// the message lies in that recipient's mailbox, or when the next hop has it.
//
// Both directions go the same way: commands, spool, scan, replies. What a recipient
// means (direction), and what is done for it (place), is where they part.
//
// It is the only package that knows reply codes, and they stand in one table.
// Commands and replies are go-smtp's; under it lies a connection layer of our
// own, which takes the bytes of the message itself: fast, exact, and with
// nothing but CRLF.CRLF as their end.
package lmtp

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"kiyome/accounts"
	"kiyome/lmtp/srs"
	"kiyome/scan"
	"kiyome/scan/report"
	"kiyome/store"
)

// Accounts finds the account of a recipient: *accounts.DB is one.
type Accounts interface {
	// Lookup gives accounts.ErrUnknown or accounts.ErrMalformed for a recipient
	// that there is not; any other error means that it cannot tell.
	Lookup(address string) (accounts.Account, error)
}

// Scanner looks for malware: *worker.Pool and *scan.Engine are two.
type Scanner interface {
	// Scan gives a verdict. An error means that there is none, and that the MTA
	// has to keep the message.
	Scan(ctx context.Context, m *scan.Message) (*scan.Verdict, error)
}

// Reporter writes reports: *report.Writer is one.
type Reporter interface {
	// Report gives a whole message without trace headers.
	Report(m report.Mail, v *scan.Verdict) ([]byte, error)
}

// Options configures a Server. What is marked optional may be left out.
type Options struct {
	Hostname string // in the greeting, in Received, in X-Virus-Scanned
	Accounts Accounts
	Scanner  Scanner
	Store    *store.Store
	Reports  Reporter
	Memory   *store.Memory // deliveries whose reply was lost, and what was done of those that were deferred
	Spool    string        // folder of the unlinked files that hold large messages

	// Outbound makes it the filter for outgoing mail. Optional: without it, mail is
	// delivered into mailboxes.
	Outbound *Outbound

	// NextHop takes what goes out. Optional: without it, nothing is forwarded.
	NextHop NextHop

	// SRS rewrites the senders of what is forwarded. Optional: without it, they are kept.
	SRS *srs.SRS

	// Removals keeps what was removed from whose mail. Optional.
	Removals Removals

	// Unknown gives the Maildir of a recipient without an account, if there is
	// one to deliver to. Optional: without it such a recipient is refused.
	Unknown func(address string) (maildir string, ok bool)

	QuotaBounce bool          // answer 552, not 452, where a quota is exceeded
	Sessions    int           // connections at once; more hear 421; default 1000
	IdleTimeout time.Duration // silence before a command; default 5 min (RFC 5321, section 4.5.3.2.7)
	DataTimeout time.Duration // silence within a message; default 3 min (section 4.5.3.2.5)
	Log         *slog.Logger  // optional
}

// Server serves LMTP.
type Server struct {
	Options
	direction direction
	replies   *replyTable
	smtp      *smtp.Server
	ctx       context.Context // ends when the time for finishing is over
	cancel    context.CancelFunc
	counters  *counters
	spools    *scan.Spools
	trail     trail
	recorded  registry // outgoing messages of accounts whose removals are written down

	mu        sync.Mutex
	listeners []*listener
	conns     map[*conn]struct{}
	closing   bool
	open      sync.WaitGroup
}

// NewServer makes a server; Serve starts it.
func NewServer(o Options) *Server {
	o.Sessions = orDefault(o.Sessions, 1000)
	o.IdleTimeout = orDefault(o.IdleTimeout, 5*time.Minute)
	o.DataTimeout = orDefault(o.DataTimeout, 3*time.Minute)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{Options: o, direction: inbound{}, replies: newReplyTable(o.QuotaBounce), conns: map[*conn]struct{}{}}
	if o.Outbound != nil {
		s.direction = o.Outbound
	}
	s.counters = newCounters(s.replies)
	s.spools = scan.NewSpools(o.Spool, spoolRoom)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.smtp = smtp.NewServer(smtp.BackendFunc(s.newSession))
	s.smtp.LMTP = true
	s.smtp.Domain = o.Hostname
	s.smtp.EnableSMTPUTF8 = true // without it Postfix bounces such mail
	s.smtp.MaxLineLength = 0     // the connection layer limits command lines; those of a message have no limit
	s.smtp.MaxRecipients = maxRecipients
	s.smtp.ErrorLog = log.New(logWriter{o.Log}, "", 0)
	return s
}

// spoolRoom is how much memory in bytes the messages that are not small may take in all.
const spoolRoom = 48 << 20

// maxRecipients bounds a transaction; Postfix sends 50 at the most unless told otherwise.
const maxRecipients = 1000

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Serve accepts connections from l until Shutdown, and then returns nil.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return l.Close()
	}
	own := &listener{Listener: l, server: s}
	own.left.Store(time.Now().UnixNano())
	s.listeners = append(s.listeners, own)
	s.mu.Unlock()
	err := s.smtp.Serve(own)
	if s.isClosing() {
		return nil
	}
	return err
}

// Shutdown stops: no new connections; idle clients hear 421, and so does everyone
// else after the transaction that is under way. When ctx ends first, what is
// left is cut off, and its error returned: the MTA still has those messages.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	for _, l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		c.wake()
	}
	s.mu.Unlock()

	done := make(chan struct{})
	go func() { s.open.Wait(); close(done) }()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
		s.cancel()
		s.mu.Lock()
		for c := range s.conns {
			c.Conn.Close()
		}
		s.mu.Unlock()
		<-done
	}
	s.cancel()
	s.smtp.Close()
	return err
}

// acceptTime is how long it may take until the next connection is waited for.
const acceptTime = 10 * time.Second

// Alive reports, as an error, that connections are not accepted any more though nobody
// has ended the server. That it returns at all shows that its lock comes round.
func (s *Server) Alive() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		if left := l.left.Load(); left != 0 && !s.closing && time.Since(time.Unix(0, left)) > acceptTime {
			return fmt.Errorf("%s: no connection has been accepted since %s", l.Addr(), time.Unix(0, left).Format(time.RFC3339))
		}
	}
	return nil
}

func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// logWriter turns what go-smtp logs (panics, broken connections) into log records.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(b []byte) (int, error) {
	w.log.Warn("lmtp", "err", strings.TrimSpace(string(b)))
	return len(b), nil
}

var _ io.Writer = logWriter{}
