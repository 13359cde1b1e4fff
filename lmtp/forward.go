package lmtp

import (
	"errors"
	"slices"
	"strings"
	"time"

	"kiyome/lmtp/relay"
	"kiyome/scan"
)

// forwarding is what came of the forwards of one recipient.
type forwarding struct {
	sent     []string // to whom
	refused  []string
	err      error // some have to be tried again
	stays    bool  // the message is for the mailbox, though no copy is kept
	returned bool  // the message was here before, and the mailbox has it
	due      bool  // it is to be passed on
	results  []string
}

// answers tells for the log what the next hop said.
func (f *forwarding) answers() string { return strings.Join(f.results, "; ") }

// remember makes durable what is not to be done again.
func (f *forwarding) remember(j *job, r recipient) {
	for _, to := range f.sent {
		j.remember(forwardKey(r.key, to), stepSent)
	}
	for _, to := range f.refused {
		j.remember(forwardKey(r.key, to), stepRefused)
	}
}

// forwarding tells what is to be done of it. A report is not passed on.
func (m mailbox) forwarding(j *job, v *scan.Verdict) *forwarding {
	f := &forwarding{}
	switch {
	case len(m.forward) == 0:
	case v != nil && v.Outcome == scan.ReportOnly:
		f.stays = true
	default:
		f.due = !m.loops(j, f)
	}
	return f
}

// forwards passes on what the mailbox would get, in one transaction for all
// addresses that have not got it yet.
func (m mailbox) forwards(j *job, r recipient, v *scan.Verdict, f *forwarding) {
	var due []string
	for _, to := range m.forward {
		switch j.before[forwardKey(r.key, to)] {
		case stepSent:
		case stepRefused:
			f.stays = true
		default:
			due = append(due, to)
		}
	}
	if len(due) == 0 {
		return
	}
	results, err := m.pass(j, v, due)
	if err != nil {
		f.err = err
		return
	}
	for i, to := range due {
		f.note(j, r, to, results[i])
	}
}

// loops reports whether the message has come around. It then stays here, unless the
// mailbox has it already.
func (m mailbox) loops(j *job, f *forwarding) bool {
	w := j.wayOf()
	around := slices.Contains(w.mailboxes, m.account)
	if !around && !w.loops() {
		return false
	}
	f.stays = true
	f.returned = around && m.copy && j.server().trail.has(w.own, m.account)
	j.server().Log.Warn("not forwarded: mail loop", "tx", j.session.tx.id, "msgid", j.facts.messageID,
		"mailbox", m.account, "forward", m.forward, "received", w.received, "own", len(w.own), "has", f.returned)
	return true
}

// pass sends the message on as the mailbox would get it.
func (m mailbox) pass(j *job, v *scan.Verdict, to []string) ([]relay.Result, error) {
	s := j.server()
	if s.NextHop == nil {
		return nil, errNoNextHop
	}
	c, err := newContent(j.trace.forwarded(v, m.account), j.msg, v)
	if err != nil {
		return nil, err
	}
	return s.send(j.ctx, j.envelope(s.forwarder(j.session.tx.from), to, c)), nil
}

// forwarder gives the envelope sender of what is forwarded: the one that it came with or,
// where that is set up, one of our domain by which bounces find back (SRS). The senders
// whose account is here are of our domains anyway.
func (s *Server) forwarder(from string) string {
	if s.SRS == nil || from == "" {
		return from
	}
	if _, err := s.lookup(from); err == nil {
		return from
	}
	return s.SRS.Rewrite(from, time.Now())
}

// note takes down what came of one forward.
func (f *forwarding) note(j *job, r recipient, to string, result relay.Result) {
	s := j.server()
	action := "forwarded"
	switch {
	case result.Err == nil:
		f.sent = append(f.sent, to)
		s.counters.forwarded.Add(1)
	case refusal(s.replies.of(result.Err)) == refused:
		action = "refused: it stays here"
		f.refused = append(f.refused, to)
		f.stays = true
	default:
		action = "deferred"
		f.err = errors.Join(f.err, result.Err)
	}
	f.results = append(f.results, to+": "+result.Reply.String())
	s.Log.Info("forward", "tx", j.session.tx.id, "msgid", j.facts.messageID, "rcpt", r.given, "to", to, "action", action,
		"next", result.Reply.String(), "err", result.Err)
}
