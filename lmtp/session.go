package lmtp

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"kiyome/accounts"
	"kiyome/scan"
)

// session is one connection's state between LHLO and QUIT.
type session struct {
	server *Server
	conn   *conn
	helo   string
	peer   string
	id     string // of the connection; transactions append a number
	count  int
	tx     *transaction // nil: none is open
}

// transaction is one message on its way to its recipients.
type transaction struct {
	id    string
	from  string // envelope sender; "" is the null sender
	utf8  bool   // SMTPUTF8 (RFC 6531)
	rcpts []recipient

	// Outgoing mail only: the sender's account, once it was looked up; zero for one without.
	account accounts.Account
	known   bool
}

// recipient is one RCPT that was accepted.
type recipient struct {
	given   string // as the client wrote it
	key     string // equal for what is the same recipient; of a mailbox, the canonical address with its extension
	checked bool   // its mail is scanned
	place   place
}

func (s *Server) newSession(c *smtp.Conn) (smtp.Session, error) {
	own, ok := c.Conn().(*conn)
	if !ok {
		return nil, fmt.Errorf("connection is a %T", c.Conn())
	}
	return &session{
		server: s, conn: own, id: strings.ToLower(rand.Text()[:12]),
		helo: c.Hostname(), peer: own.RemoteAddr().String(),
	}, nil
}

// Reset ends the transaction.
func (s *session) Reset() { s.tx, s.conn.origin = nil, nil }

// Logout ends the session.
func (s *session) Logout() error { return nil }

// Mail opens a transaction. go-smtp would go on with the recipients of the one
// before, so a second MAIL is refused.
func (s *session) Mail(from string, o *smtp.MailOptions) error {
	if s.tx != nil {
		return s.server.replies.of(errBadSequence)
	}
	s.count++
	s.tx = &transaction{id: fmt.Sprintf("%s.%d", s.id, s.count), from: from, utf8: o != nil && o.UTF8}
	return nil
}

// Rcpt finds out who the recipient is.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	r, err := s.server.direction.recipient(s.server, s.tx, to)
	if err != nil {
		reply := s.server.replies.of(err)
		s.server.count(refusal(reply))
		s.server.failed(atRcpt, err)
		s.server.Log.Info("recipient", "tx", s.tx.id, "direction", s.server.direction.String(), "from", s.tx.from, "rcpt", to,
			"action", refusal(reply).String(), "code", reply.Code, "err", err)
		return reply
	}
	s.tx.rcpts = append(s.tx.rcpts, r)
	return nil
}

// Data is not LMTP: go-smtp never calls it here.
func (s *session) Data(io.Reader) error { return s.server.replies.of(errNotLMTP) }

// LMTPData takes the message in and answers for each recipient as soon as that
// one is known. What it returns goes to recipients without an answer of their own.
func (s *session) LMTPData(_ io.Reader, status smtp.StatusCollector) error {
	began := time.Now()
	msg, err := s.receive()
	if err != nil {
		for _, r := range s.tx.rcpts {
			s.log(delivery{rcpt: r, action: deferred, err: err, took: time.Since(began)}, facts{}, 0)
		}
		return s.server.replies.of(err)
	}
	s.server.counters.messages.Add(1)
	s.server.counters.bytes.Add(msg.Size())
	s.deliver(msg, began, status)
	return s.server.replies.of(errUnanswered)
}

// receive spools the message. The end of it is awaited even when it cannot be
// kept, so that the client hears why.
func (s *session) receive() (*scan.Message, error) {
	spool, held := s.server.spools.New(), &s.server.counters.spooled
	bareLF, err := s.conn.readMessage(intake{spool, held})
	if err != nil {
		held.Add(-spool.Size())
		spool.Close()
		return nil, err
	}
	msg, err := spool.Message(bareLF)
	if err != nil {
		held.Add(-spool.Size())
	}
	return msg, err
}

// replyLimit is how long after the end of a message everybody has an answer: less
// than what Postfix waits for (lmtp_data_done_timeout, 600 s), or it would send the
// message again.
const replyLimit = 9 * time.Minute

// deliver brings the message to every recipient: those whose mail is not checked
// while the scan is running, the others after it.
func (s *session) deliver(msg *scan.Message, began time.Time, status smtp.StatusCollector) {
	facts := headerFacts(msg)
	ctx, cancel := context.WithTimeout(s.server.ctx, replyLimit)
	defer cancel()
	job := newJob(ctx, s, msg, facts, began)
	defer job.close() // after a panic
	verdict := sync.OnceValues(func() (*scan.Verdict, error) { return s.scan(ctx, msg) })
	if slices.ContainsFunc(s.tx.rcpts, job.needsScan) {
		go verdict() // whoever asks first waits for it
	}
	rcpts := slices.SortedStableFunc(slices.Values(s.tx.rcpts), quickestFirst)
	for i, r := range rcpts {
		d := job.deliver(r, verdict)
		if i == len(rcpts)-1 {
			job.close() // so that nothing is left in tmp when the last reply is read
			s.conn.expectConfirmation(job.done)
		}
		s.log(d, facts, msg.Size())
		status.SetStatus(r.given, d.reply)
	}
}

// quickestFirst orders recipients: nobody waits for the scan, or for the next hop, because
// of others.
func quickestFirst(a, b recipient) int { return cmp.Compare(a.slowness(), b.slowness()) }

func (r recipient) slowness() int {
	n := 0
	if r.checked {
		n = 1
	}
	if r.place.remote() {
		n += 2
	}
	return n
}

// scan asks for a verdict and checks what has to hold of it: it comes from a
// process that has read hostile bytes.
func (s *session) scan(ctx context.Context, msg *scan.Message) (v *scan.Verdict, err error) {
	defer func() { // it runs beside the session: a panic would end the server
		if p := recover(); p != nil {
			v, err = nil, fmt.Errorf("scan: panic: %v", p)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, maxScan)
	defer cancel()
	defer s.server.counters.scan.since(time.Now())
	v, err = s.server.Scanner.Scan(ctx, msg)
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	if err := v.Check(msg.Size()); err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	s.server.counters.judged(v)
	return v, nil
}

// maxScan leaves time for the delivery: see replyLimit.
const maxScan = 5 * time.Minute
