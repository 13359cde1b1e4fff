package lmtp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"kiyome/lmtp/relay"
	"kiyome/scan"
)

// NextHop passes messages on: *relay.Client is one.
type NextHop interface {
	// Send gives a result for each recipient of m, in their order.
	Send(ctx context.Context, m *relay.Mail) []relay.Result
}

// send passes a message on, and counts what came of it.
func (s *Server) send(ctx context.Context, m *relay.Mail) []relay.Result {
	began := time.Now()
	results := s.NextHop.Send(ctx, m)
	s.counters.relayed(began, results, func(err error) bool { return refusal(s.replies.of(err)) == refused })
	return results
}

var errNoNextHop = errors.New("there is no next hop")

// nextHop is where mail goes that is for others: through the MTA, to an address.
type nextHop struct{ to string }

func (nextHop) remote() bool             { return true }
func (nextHop) steps(recipient) []string { return nil }

// deliver passes the message on, for all recipients that are due in one transaction.
// Each then has the next hop's own answer.
func (h nextHop) deliver(j *job, r recipient, v *scan.Verdict) delivery {
	d := outcome(v)
	if d.action == reportOnly || d.action == cleaned && v.Notice == nil {
		d.action = noticeOnly
	}
	if j.relayed == nil {
		d.err = j.relay(v)
	}
	if d.err != nil {
		return d
	}
	result, ok := j.relayed[r.key]
	if !ok {
		result.Err = errUnanswered
	}
	d.next, d.answer, d.err = result.Reply.String(), result.Reply.String(), result.Err
	if d.err == nil {
		j.recordSent(v)
	}
	return d
}

// relay passes the message on to all recipients who are not at a mailbox.
func (j *job) relay(v *scan.Verdict) error {
	s := j.server()
	if j.wayOf().loops() {
		return errLoop
	}
	if s.NextHop == nil {
		return errNoNextHop
	}
	c, err := j.outgoing(v)
	if err != nil {
		return err
	}
	var keys, to []string
	seen := map[string]bool{}
	for _, r := range j.session.tx.rcpts {
		h, ok := r.place.(nextHop)
		if !ok || seen[r.key] || j.before[r.key] == stepAll {
			continue
		}
		seen[r.key] = true
		keys, to = append(keys, r.key), append(to, h.to)
	}
	j.relayed = map[string]relay.Result{}
	for i, result := range s.send(j.ctx, j.envelope(j.session.tx.from, to, c)) {
		j.relayed[keys[i]] = result
		if errors.Is(result.Err, relay.ErrUncertain) {
			s.Log.Warn("next hop lost after the message: it may be sent twice", "tx", j.session.tx.id, "msgid", j.facts.messageID, "rcpt", to[i], "err", result.Err)
		}
	}
	return nil
}

// envelope puts a message into its envelope.
func (j *job) envelope(from string, to []string, c relay.Content) *relay.Mail {
	return &relay.Mail{
		From: from, To: to, Content: c,
		UTF8:   j.session.tx.utf8 || !relay.ASCII(from) || !relay.ASCII(to...),
		Origin: j.session.origin(j.facts.queueID),
	}
}

// origin says for the log of the next hop where a message comes from: what the MTA
// said, or its queue id at least.
func (s *session) origin(queueID string) relay.Origin {
	o := maps.Clone(s.conn.origin)
	if o == nil {
		o = relay.Origin{}
	}
	if o["IDENT"] == "" && queueID != "" {
		o["IDENT"] = queueID
	}
	return o
}

// malware is why a message is refused.
type malware struct{ names string }

// Error names what was found.
func (m *malware) Error() string { return "message contains malware: " + m.names }

// originalHead is how much of the header of a message its notice is given, in bytes.
const originalHead = 64 << 10

// outgoing makes what goes on of a message: as it came, or cleaned and with a notice
// in it, or the notice alone.
func (j *job) outgoing(v *scan.Verdict) (relay.Content, error) {
	header := j.trace.relayed(v)
	if !infected(v) {
		return newContent(header, j.msg, nil)
	}
	o := j.server().Outbound
	if o == nil || o.RefuseInfected {
		return nil, &malware{malwareNames(v)}
	}
	mail, err := j.mail("", "notice", j.session.tx.account.Language)
	if err != nil {
		return nil, err
	}
	if v.Notice == nil {
		text, err := o.Notices.NoticeMessage(mail, v, headerOf(j.msg, originalHead))
		if err != nil {
			return nil, fmt.Errorf("notice: %w", err)
		}
		return newText(append(header, text...)), nil
	}
	text, err := o.Notices.Notice(mail, v)
	if err != nil {
		return nil, fmt.Errorf("notice: %w", err)
	}
	return assemble(header, j.msg, v.Notice, text)
}

func malwareNames(v *scan.Verdict) string {
	var names []string
	for _, f := range v.Findings {
		names = append(names, fmt.Sprintf("%.100s", oneLine(f.Malware)))
	}
	return few(names, 3)
}
