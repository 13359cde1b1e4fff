package lmtp

import (
	"time"

	"github.com/emersion/go-smtp"
)

// action is what was done for a recipient: for the log and the counters.
type action int

const (
	untouched  action = iota // delivered as it came: the service is off
	clean                    // delivered as it came, checked
	unscanned                // the same, but a part could not be checked
	cleaned                  // delivered less what was infected, and the report
	reportOnly               // the report alone
	noticeOnly               // passed on: the notice alone, in the message's place
	repeated                 // nothing: the recipient has had it since the try before
	deferred                 // 4xx
	refused                  // 5xx
	numActions
)

var actionNames = [numActions]string{"untouched", "clean", "unscanned", "cleaned", "report only", "notice only", "already delivered", "deferred", "refused"}

func (a action) String() string { return actionNames[a] }

// refusal tells which of the two a reply is.
func refusal(r *smtp.SMTPError) action {
	if r.Code/100 == 5 {
		return refused
	}
	return deferred
}

// delivery is what came of one recipient.
type delivery struct {
	rcpt    recipient
	action  action
	verdict string // "clean", "infected", "unscanned"; "" when not scanned
	rules   string // that matched, or why nothing could be checked
	version string // of the rules
	odd     string // what mail programs may read differently; "" when not scanned
	answer  string // the next hop's, for the reply to the MTA
	next    string // the next hop's answer; with forwards, one for each
	reply   *smtp.SMTPError
	err     error
	took    time.Duration
}

// log writes the one line that answers "where is my mail?".
func (s *session) log(d delivery, f facts, size int64) {
	s.server.count(d.action)
	args := []any{
		"session", s.id, "tx", s.tx.id, "queue", f.queueID, "msgid", f.messageID, "direction", s.server.direction.String(),
		"from", s.tx.from, "rcpt", d.rcpt.given,
		"verdict", d.verdict, "action", d.action.String(), "rule", d.rules, "rules", d.version, "odd", d.odd,
		"next", d.next, "bytes", size, "ms", float64(d.took.Microseconds()) / 1000,
	}
	if d.err != nil {
		s.server.failed(atData, d.err)
		s.server.Log.Error("delivery", append(args, "err", d.err)...)
		return
	}
	s.server.Log.Info("delivery", args...)
}
