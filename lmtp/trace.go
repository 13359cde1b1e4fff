package lmtp

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"kiyome/scan"
)

// trace writes the fields that stand above a message when it is delivered or passed
// on. Only those above our Received are ours and to be believed: what stands below
// stays as it came, whoever wrote it.
type trace struct {
	hostname   string
	helo, peer string
	id         string
	utf8       bool
	from       string
	to         string // the recipient, where there is but one; with more, the copies are to be equal
	at         time.Time
}

func newTrace(s *session, at time.Time) trace {
	t := trace{
		hostname: s.server.Hostname, helo: s.helo, peer: peer(s.peer),
		id: s.tx.id, utf8: s.tx.utf8, from: s.tx.from, at: at,
	}
	first := s.tx.rcpts[0]
	if !slices.ContainsFunc(s.tx.rcpts, func(r recipient) bool { return r.key != first.key }) {
		t.to = first.given
	}
	return t
}

// mailbox gives the fields for a message in a mailbox; v is nil when it was not checked.
func (t trace) mailbox(v *scan.Verdict) []byte {
	var b strings.Builder
	returnPath(&b, t.from)
	deliveredTo(&b, t.to)
	t.hop(&b, v, statusOf(v))
	return []byte(b.String())
}

// report gives the fields for a report, whose sender is nobody.
func (t trace) report(v *scan.Verdict, r recipient) []byte {
	var b strings.Builder
	returnPath(&b, "")
	deliveredTo(&b, r.given)
	t.hop(&b, v, "Infected")
	return []byte(b.String())
}

// relayed gives the fields for a message that is passed on.
func (t trace) relayed(v *scan.Verdict) []byte {
	var b strings.Builder
	t.hop(&b, v, statusOf(v))
	return []byte(b.String())
}

// forwarded gives the fields for a message that the mailbox of an account passes on:
// Delivered-To is by what the account knows it again.
func (t trace) forwarded(v *scan.Verdict, account string) []byte {
	var b strings.Builder
	deliveredTo(&b, account)
	t.to = account
	t.hop(&b, v, statusOf(v))
	return []byte(b.String())
}

// hop writes what every message gets.
func (t trace) hop(b *strings.Builder, v *scan.Verdict, status string) {
	if v != nil {
		t.verdict(b, v, status)
	}
	t.received(b)
}

// statusOf is the status of a message that goes out of our hands. None of them is infected
// any more: not even a notice that stands for one, which others would then drop.
func statusOf(v *scan.Verdict) string {
	switch {
	case v == nil:
		return ""
	case v.Outcome != scan.Clean:
		return "Cleaned"
	case len(v.Unchecked) > 0:
		return "Unscanned"
	}
	return "Clean"
}

// returnPath writes the envelope sender (RFC 5321, section 4.4).
func returnPath(b *strings.Builder, from string) {
	fmt.Fprintf(b, "Return-Path: <%s>\r\n", oneLine(from))
}

func deliveredTo(b *strings.Builder, to string) {
	if to != "" {
		fmt.Fprintf(b, "Delivered-To: %s\r\n", oneLine(to))
	}
}

// verdict writes what the check came to.
func (t trace) verdict(b *strings.Builder, v *scan.Verdict, status string) {
	fmt.Fprintf(b, "X-Virus-Scanned: kiyome at %s", t.hostname)
	if version := oneLine(v.Rules); version != "" {
		fmt.Fprintf(b, " (rules %.64s)", version)
	}
	fmt.Fprintf(b, "\r\nX-Virus-Status: %s\r\n", status)
	var reasons []string
	for _, u := range v.Unchecked {
		reasons = append(reasons, fmt.Sprintf("%.40s", oneLine(u.Reason)))
	}
	slices.Sort(reasons)
	if reasons = slices.Compact(reasons); len(reasons) > 0 {
		fmt.Fprintf(b, "X-Virus-Unchecked: %s\r\n", strings.Join(reasons[:min(len(reasons), 8)], "; "))
	}
}

// received writes our trace field: RFC 5321, section 4.4; the protocol names are
// those of RFC 3848 and RFC 6531, section 4.3. ownHops finds it again.
func (t trace) received(b *strings.Builder) {
	with := "LMTP"
	if t.utf8 {
		with = "UTF8LMTP"
	}
	fmt.Fprintf(b, "Received: from %s%s\r\n\tby %s (kiyome) with %s id %s", oneLine(t.helo), t.peer, t.hostname, with, t.id)
	if t.to != "" {
		fmt.Fprintf(b, "\r\n\tfor <%s>", oneLine(t.to))
	}
	fmt.Fprintf(b, ";\r\n\t%s\r\n", t.at.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
}

// peer gives the client's address as an address literal; a unix socket has none.
func peer(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	switch {
	case err != nil || ip == nil:
		return ""
	case ip.To4() != nil:
		return " ([" + host + "])"
	}
	return " ([IPv6:" + host + "])"
}

// oneLine makes text fit to stand in a header field: it cannot end the line, nor
// make it longer than RFC 5322, section 2.1.1, allows.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 900)]
}
