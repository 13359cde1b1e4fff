package lmtp

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/emersion/go-smtp"

	"kiyome/accounts"
	"kiyome/lmtp/relay"
	"kiyome/lmtp/srs"
	"kiyome/store"
)

// What goes wrong on the wire itself.
var (
	errShutdown    = errors.New("service is shutting down")
	errBadSequence = errors.New("a transaction is open")
	errChunking    = errors.New("CHUNKING was not offered")
	errNotLMTP     = errors.New("not LMTP")
)

// errUnanswered stands for a recipient that the session forgot: an own fault, for
// nil would mean 250.
var errUnanswered = errors.New("recipient was not answered")

// A failure is what the MTA hears of an error.
type failure struct {
	err    error
	reason string // by which it is counted
	reply  smtp.SMTPError
}

// Reasons of failures that are no row of the table.
const (
	faultReason   = "fault"
	malwareReason = "malware"
	nextHopReason = "next hop"
)

// failures says what the MTA hears of each failure. No other file has codes.
// Basic codes are those of RFC 5321, section 4.2; enhanced ones of RFC 3463.
var failures = []failure{
	{accounts.ErrMalformed, "malformed address", smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 1, 3}, Message: "Bad recipient address"}},
	{accounts.ErrUnknown, "unknown mailbox", smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such mailbox"}},
	{store.ErrQuota, "over quota", smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2}, Message: "Mailbox is full"}},
	{store.ErrFull, "disk full", smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "Out of space, try again later"}},
	{syscall.ENOSPC, "disk full", smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "Out of space, try again later"}}, // of the spool
	{srs.ErrForeign, "forged return address", smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such mailbox"}},
	{srs.ErrOld, "old return address", smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "This address is no longer valid"}},
	{errSender, "sender without account", smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "The sender has no mailbox here"}},
	{errSenderSyntax, "malformed sender", smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 1, 7}, Message: "Bad sender address"}},
	{errLoop, "mail loop", smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 4, 6}, Message: "Mail loop: too many hops"}},
	// What stands in the way at the next hop is the operator's to mend, and meanwhile the MTA's to keep.
	{relay.ErrUncertain, "next hop lost", smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 4, 2}, Message: "Lost the next hop before its answer"}},
	{relay.ErrUnavailable, "next hop unavailable", smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 4, 1}, Message: "The next hop is not available"}},
	{relay.ErrNot8Bit, "next hop without 8bit", smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 6, 3}, Message: "The next hop does not take 8-bit text"}},
	{relay.ErrNotUTF8, "next hop without utf8", smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 6, 7}, Message: "The next hop does not take addresses outside ASCII"}},
	{relay.ErrTLS, "next hop without tls", smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 4}, Message: "The next hop cannot be reached under TLS"}},
	{relay.ErrAddress, "malformed address", smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 1, 3}, Message: "Bad recipient address"}},
	{errShutdown, "shutting down", smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "Shutting down, try again later"}},
	{errTooManySessions, "too many sessions", smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "Too many connections, try again later"}},
	{errIncomplete, "incomplete message", smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 4, 2}, Message: "Message is incomplete"}},
	{errBadSequence, "protocol", smtp.SMTPError{Code: 503, EnhancedCode: smtp.EnhancedCode{5, 5, 1}, Message: "A transaction is open: end it or RSET"}},
	{errChunking, "protocol", smtp.SMTPError{Code: 503, EnhancedCode: smtp.EnhancedCode{5, 5, 1}, Message: "CHUNKING was not offered"}},
	{errXforward, "protocol", smtp.SMTPError{Code: 501, EnhancedCode: smtp.EnhancedCode{5, 5, 4}, Message: "Bad XFORWARD attribute"}},
	{errNotLMTP, "protocol", smtp.SMTPError{Code: 503, EnhancedCode: smtp.EnhancedCode{5, 5, 1}, Message: "This is LMTP"}},
}

// quotaBounce replaces the reply to store.ErrQuota where the operator wants the
// sender to be told at once.
var quotaBounce = failure{store.ErrQuota, "over quota", smtp.SMTPError{Code: 552, EnhancedCode: smtp.EnhancedCode{5, 2, 2}, Message: "Mailbox is full"}}

// fault is the answer to everything else: an own fault, so the MTA keeps the
// message and tries again. It tells nothing of what went wrong: that is in the log.
var fault = smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Try again later"}

// replyTable turns errors into replies.
type replyTable struct{ failures []failure }

func newReplyTable(bounceQuota bool) *replyTable {
	if bounceQuota {
		return &replyTable{append([]failure{quotaBounce}, failures...)}
	}
	return &replyTable{failures}
}

// of gives the reply to an error. go-smtp looks at the error's own type without
// unwrapping, and takes what it does not know for a bounce: so this never wraps
// and never gives nil.
func (t *replyTable) of(err error) *smtp.SMTPError {
	reply := t.find(err).reply
	return &reply
}

// find gives the failure that an error is.
func (t *replyTable) find(err error) *failure {
	for i := range t.failures {
		if errors.Is(err, t.failures[i].err) {
			return &t.failures[i]
		}
	}
	if m, ok := errors.AsType[*malware](err); ok {
		return &failure{err, malwareReason, smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "Message contains malware: " + m.names}}
	}
	if r, ok := errors.AsType[*relay.Refusal](err); ok {
		return &failure{err, nextHopReason, passedOn(r.Reply)}
	}
	return &failure{err, faultReason, fault}
}

// kinds gives every failure that there is, without a command and a count.
func (t *replyTable) kinds() []Failure {
	all := []Failure{
		{Reason: faultReason, Class: "4xx"}, {Reason: malwareReason, Class: "5xx"},
		{Reason: nextHopReason, Class: "4xx"}, {Reason: nextHopReason, Class: "5xx"},
	}
	for _, f := range t.failures {
		all = append(all, Failure{Reason: f.reason, Class: class(f.reply.Code)})
	}
	return all
}

// passedOn is what the MTA hears of an answer of the next hop: that answer. Only what
// it says of how it is spoken to is between it and us, and the operator's to mend.
func passedOn(r relay.Reply) smtp.SMTPError {
	p := smtp.SMTPError{Code: r.Code, EnhancedCode: r.Enhanced, Message: r.Text}
	switch {
	case slices.Contains(ours, r.Code), r.Code/100 != 4 && r.Code/100 != 5:
		p.Code, p.EnhancedCode[0] = 451, 4
	}
	return p
}

// ours are the codes that tell of a wrong set-up, not of the message: service ends
// (421), unknown commands and wrong order (500, 502, 503), no service (521), STARTTLS or
// AUTH is wanted (530, 534, 535, 538). RFC 5321, section 4.2.3; RFC 7504; RFC 4954, section 6.
var ours = []int{421, 500, 502, 503, 521, 530, 534, 535, 538}

// line is the reply as it goes over the wire, for an error outside of any command.
func (t *replyTable) line(err error) string {
	r := t.of(err)
	return fmt.Sprintf("%d %d.%d.%d %s\r\n", r.Code, r.EnhancedCode[0], r.EnhancedCode[1], r.EnhancedCode[2], r.Message)
}

// accepted is the reply for a recipient who has the message. The id finds it in the log;
// Postfix writes it into its own, with what the next hop answered where there is one.
func accepted(id, next string) *smtp.SMTPError {
	text := id + " delivered"
	if next != "" {
		text = id + " passed on: " + next
	}
	return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: text}
}
