package lmtp

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"kiyome/scan"
)

// trace writes the fields that stand above a message when it is delivered. Only
// those above our Received are ours and to be believed: what stands below stays
// as it came, whoever wrote it.
type trace struct {
	hostname    string
	helo, peer  string
	id          string
	utf8        bool
	from        string
	deliveredTo string // the recipient, where there is but one; with more, the copies are to be equal
	at          time.Time
}

func newTrace(s *session, at time.Time) trace {
	t := trace{
		hostname: s.server.Hostname, helo: s.helo, peer: peer(s.peer),
		id: s.tx.id, utf8: s.tx.utf8, from: s.tx.from, at: at,
	}
	first := s.tx.rcpts[0]
	if !slices.ContainsFunc(s.tx.rcpts, func(r recipient) bool { return r.key != first.key }) {
		t.deliveredTo = first.given
	}
	return t
}

// header gives the fields for a message; v is nil when it was not checked.
func (t trace) header(v *scan.Verdict) []byte {
	var b strings.Builder
	t.address(&b, t.from, t.deliveredTo)
	if v != nil {
		status := "Clean"
		switch {
		case v.Outcome == scan.Cleaned:
			status = "Cleaned"
		case len(v.Unchecked) > 0:
			status = "Unscanned"
		}
		t.verdict(&b, v, status)
	}
	t.received(&b)
	return []byte(b.String())
}

// reportHeader gives the fields for a report, whose sender is nobody.
func (t trace) reportHeader(v *scan.Verdict, r recipient) []byte {
	var b strings.Builder
	t.address(&b, "", r.given)
	t.verdict(&b, v, "Infected")
	t.received(&b)
	return []byte(b.String())
}

// address writes the envelope (RFC 5321, section 4.4).
func (t trace) address(b *strings.Builder, from, to string) {
	fmt.Fprintf(b, "Return-Path: <%s>\r\n", oneLine(from))
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
// those of RFC 3848 and RFC 6531, section 4.3.
func (t trace) received(b *strings.Builder) {
	with := "LMTP"
	if t.utf8 {
		with = "UTF8LMTP"
	}
	fmt.Fprintf(b, "Received: from %s%s\r\n\tby %s (kiyome) with %s id %s", oneLine(t.helo), t.peer, t.hostname, with, t.id)
	if t.deliveredTo != "" {
		fmt.Fprintf(b, "\r\n\tfor <%s>", oneLine(t.deliveredTo))
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
