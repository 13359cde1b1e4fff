package lmtp

import (
	"errors"
	"time"

	"kiyome/accounts"
	"kiyome/lmtp/relay"
	"kiyome/scan"
	"kiyome/scan/report"
)

// direction is what tells the filter for outgoing mail from the delivery of
// incoming mail: what a recipient means. All else is one way for both.
type direction interface {
	String() string
	// recipient finds out what a RCPT of a transaction stands for.
	recipient(s *Server, tx *transaction, to string) (recipient, error)
}

// place is where a recipient's mail goes: a mailbox, or the next hop.
type place interface {
	// deliver does with the message what is due. v is nil when it was not scanned.
	deliver(j *job, r recipient, v *scan.Verdict) delivery
	// remote reports whether that waits for the next hop.
	remote() bool
	// steps gives the keys, besides the recipient's, by which it remembers what was done.
	steps(r recipient) []string
}

// inbound delivers into mailboxes.
type inbound struct{}

func (inbound) String() string { return "inbound" }

// recipient looks an address up. One of ours that was made for a forward leads
// back to the sender of what was forwarded.
func (inbound) recipient(s *Server, _ *transaction, to string) (recipient, error) {
	if s.SRS != nil && s.SRS.Ours(to) {
		sender, err := s.SRS.Reverse(to, time.Now())
		if err != nil {
			return recipient{}, err
		}
		return recipient{given: to, key: "next hop " + sender, place: nextHop{sender}}, nil
	}
	key, err := accounts.ParseAddress(to)
	if err != nil {
		return recipient{}, err
	}
	a, err := s.lookup(to)
	if errors.Is(err, accounts.ErrUnknown) && s.Unknown != nil {
		if dir, ok := s.Unknown(to); ok {
			return recipient{given: to, key: key, place: mailbox{maildir: dir, copy: true}}, nil
		}
	}
	if err != nil {
		return recipient{}, err
	}
	box := mailbox{account: a.Address, maildir: a.Maildir, language: a.Language, forward: a.Forward, copy: !a.NoCopy || len(a.Forward) == 0}
	return recipient{given: to, key: key, checked: a.Inbound.Active(), place: box}, nil
}

// Outbound is the filter for outgoing mail: the envelope sender is the account, and
// what is accepted goes on to the next hop.
type Outbound struct {
	Notices        Noticer
	RefuseUnknown  bool // refuse mail of senders without an account, instead of passing it on unscanned
	RefuseInfected bool // refuse infected mail, instead of cleaning it
}

// Noticer writes notices: *report.Writer is one.
type Noticer interface {
	// Notice gives an entity to be inserted into a message: header fields, an empty
	// line, a body; with CRLF line ends.
	Notice(m report.Mail, v *scan.Verdict) ([]byte, error)
	// NoticeMessage gives a message that stands for the original, whose header it is given.
	NoticeMessage(m report.Mail, v *scan.Verdict, original []byte) ([]byte, error)
}

// What stands in the way of outgoing mail.
var (
	errSender       = errors.New("sender has no account")
	errSenderSyntax = errors.New("malformed sender address")
)

// String names the direction for the log.
func (*Outbound) String() string { return "outbound" }

func (o *Outbound) recipient(s *Server, tx *transaction, to string) (recipient, error) {
	if !relay.Valid(to) {
		return recipient{}, accounts.ErrMalformed
	}
	if err := o.sender(s, tx); err != nil {
		return recipient{}, err
	}
	return recipient{given: to, key: "next hop " + to, checked: tx.account.Outbound.Active(), place: nextHop{to}}, nil
}

// sender looks the envelope sender up, once for a transaction: its recipients are
// treated alike. The null sender is nobody's, and bounces have to get through.
func (o *Outbound) sender(s *Server, tx *transaction) error {
	if tx.from == "" || tx.known {
		return nil
	}
	if !relay.Valid(tx.from) {
		return errSenderSyntax
	}
	a, err := s.lookup(tx.from)
	unknown := errors.Is(err, accounts.ErrUnknown) || errors.Is(err, accounts.ErrMalformed)
	switch {
	case unknown && o.RefuseUnknown:
		return errSender
	case err != nil && !unknown:
		return err
	}
	tx.account, tx.known = a, true
	return nil
}
