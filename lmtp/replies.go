package lmtp

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/emersion/go-smtp"

	"kiyome/accounts"
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
	err   error
	reply smtp.SMTPError
}

// failures says what the MTA hears of each failure. No other file has codes.
// Basic codes are those of RFC 5321, section 4.2; enhanced ones of RFC 3463.
var failures = []failure{
	{accounts.ErrMalformed, smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 1, 3}, Message: "Bad recipient address"}},
	{accounts.ErrUnknown, smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such mailbox"}},
	{store.ErrQuota, smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2}, Message: "Mailbox is full"}},
	{store.ErrFull, smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "Out of space, try again later"}},
	{syscall.ENOSPC, smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "Out of space, try again later"}}, // of the spool
	{errShutdown, smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "Shutting down, try again later"}},
	{errTooManySessions, smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "Too many connections, try again later"}},
	{errIncomplete, smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 4, 2}, Message: "Message is incomplete"}},
	{errBadSequence, smtp.SMTPError{Code: 503, EnhancedCode: smtp.EnhancedCode{5, 5, 1}, Message: "A transaction is open: end it or RSET"}},
	{errChunking, smtp.SMTPError{Code: 503, EnhancedCode: smtp.EnhancedCode{5, 5, 1}, Message: "CHUNKING was not offered"}},
	{errNotLMTP, smtp.SMTPError{Code: 503, EnhancedCode: smtp.EnhancedCode{5, 5, 1}, Message: "This is LMTP"}},
}

// quotaBounce replaces the reply to store.ErrQuota where the operator wants the
// sender to be told at once.
var quotaBounce = failure{store.ErrQuota, smtp.SMTPError{Code: 552, EnhancedCode: smtp.EnhancedCode{5, 2, 2}, Message: "Mailbox is full"}}

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
	for _, f := range t.failures {
		if errors.Is(err, f.err) {
			return &f.reply
		}
	}
	return &fault
}

// line is the reply as it goes over the wire, for an error outside of any command.
func (t *replyTable) line(err error) string {
	r := t.of(err)
	return fmt.Sprintf("%d %d.%d.%d %s\r\n", r.Code, r.EnhancedCode[0], r.EnhancedCode[1], r.EnhancedCode[2], r.Message)
}

// accepted is the reply for a recipient who has the message. The id finds it in the log;
// Postfix writes it into its own.
func accepted(id string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: id + " delivered"}
}
