// Package srs rewrites the envelope senders of forwarded mail to addresses of a
// domain of ours, and back (Sender Rewriting Scheme). The next MTA then finds the
// sender's domain in agreement with where the mail comes from (SPF), and bounces
// find back through us.
//
//	taro@example.com          SRS0=HASH=TT=example.com=taro@our.domain
//	SRS0=...@other.example    SRS1=HASH=other.example==...@our.domain
//	SRS1=HASH=x.example==...  SRS1=HASH=x.example==...@our.domain
//
// HASH keeps others from using us to send what looks like a bounce: it is the
// head of an HMAC-SHA-256, in base32, for addresses may lose their case on the way. TT is
// the day. A bounce to an SRS1 address goes to the first forwarder, who knows its own hash.
package srs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors that callers tell apart.
var (
	ErrForeign = errors.New("not an address that we made")
	ErrOld     = errors.New("address is too old")
)

// SRS rewrites addresses.
type SRS struct {
	Domain  string   // of the rewritten addresses
	Secrets []string // the first makes hashes, all of them are known
}

const (
	maxAge   = 21      // days for which an address leads back; bounces come within five
	days     = 1 << 10 // after which they count anew: two digits of base32
	hashSize = 8       // characters, 40 bits
	maxLocal = 255     // bytes; RFC 5321, section 4.5.3.1.1, asks for 64, and many take more
)

// base32 in lower case is as good as in upper case.
var digits = base32.StdEncoding.WithPadding(base32.NoPadding)

// Rewrite gives the address that stands for sender in what we forward. One that
// cannot be rewritten, because it would become too long, is given back as it is.
func (s *SRS) Rewrite(sender string, now time.Time) string {
	at := strings.LastIndexByte(sender, '@')
	if at < 1 || at == len(sender)-1 || strings.Contains(sender[at:], "=") || strings.EqualFold(sender[at+1:], s.Domain) {
		return sender
	}
	local, domain := sender[:at], sender[at+1:]
	tag, rest := "SRS0", day(now)+"="+domain+"="+local
	switch kind, behind := split(local); kind {
	case "SRS0":
		tag, rest = "SRS1", domain+"="+local[len(kind):]
	case "SRS1":
		tag = "SRS1"
		_, rest, _ = strings.Cut(behind, "=") // behind a hash that is no use to us
		if domain, local, _ := strings.Cut(rest, "="); domain == "" || local == "" {
			return sender
		}
	}
	rewritten := tag + "=" + s.hash(s.Secrets[0], rest) + "=" + rest
	if len(rewritten) > maxLocal {
		return sender
	}
	return rewritten + "@" + s.Domain
}

// Ours reports whether an address is one that Reverse is to be asked about.
func (s *SRS) Ours(address string) bool {
	at := strings.LastIndexByte(address, '@')
	if at < 0 || !strings.EqualFold(address[at+1:], s.Domain) {
		return false
	}
	kind, _ := split(address[:at])
	return kind != ""
}

// Reverse gives the address that a rewritten one stands for. Errors: ErrForeign, ErrOld.
func (s *SRS) Reverse(address string, now time.Time) (string, error) {
	if !s.Ours(address) {
		return "", fmt.Errorf("%w: %.80q", ErrForeign, address)
	}
	kind, behind := split(address[:strings.LastIndexByte(address, '@')])
	hash, rest, ok := strings.Cut(behind, "=")
	if !ok || !s.known(hash, rest) {
		return "", fmt.Errorf("%w: %.80q", ErrForeign, address)
	}
	if kind == "SRS1" {
		domain, local, ok := strings.Cut(rest, "=")
		if !ok || domain == "" || local == "" {
			return "", fmt.Errorf("%w: %.80q", ErrForeign, address)
		}
		return "SRS0" + local + "@" + domain, nil
	}
	stamp, rest, _ := strings.Cut(rest, "=")
	domain, local, ok := strings.Cut(rest, "=")
	if !ok || domain == "" || local == "" {
		return "", fmt.Errorf("%w: %.80q", ErrForeign, address)
	}
	if !fresh(stamp, now) {
		return "", fmt.Errorf("%w: %.80q", ErrOld, address)
	}
	return local + "@" + domain, nil
}

// split gives the kind of a rewritten local part, in upper case, and what stands
// behind its separator, which may be any of three.
func split(local string) (kind, behind string) {
	if len(local) < 5 || !strings.ContainsRune("=+-", rune(local[4])) {
		return "", ""
	}
	kind = strings.ToUpper(local[:4])
	if kind != "SRS0" && kind != "SRS1" {
		return "", ""
	}
	return kind, local[5:]
}

// hash makes the hash of what stands behind it.
func (s *SRS) hash(secret, rest string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(strings.ToLower(rest)))
	return digits.EncodeToString(h.Sum(nil))[:hashSize]
}

func (s *SRS) known(hash, rest string) bool {
	for _, secret := range s.Secrets {
		if hmac.Equal([]byte(strings.ToUpper(hash)), []byte(s.hash(secret, rest))) {
			return true
		}
	}
	return false
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// day writes the day of a time.
func day(t time.Time) string {
	n := t.Unix() / (24 * 60 * 60) % days
	return string([]byte{alphabet[n>>5], alphabet[n&31]})
}

// fresh reports whether a day is not too long ago, nor more than one to come.
func fresh(stamp string, now time.Time) bool {
	if len(stamp) != 2 {
		return false
	}
	stamp = strings.ToUpper(stamp)
	high, low := strings.IndexByte(alphabet, stamp[0]), strings.IndexByte(alphabet, stamp[1])
	if high < 0 || low < 0 {
		return false
	}
	today := int(now.Unix() / (24 * 60 * 60) % days)
	age := (today - (high<<5 | low) + days + 1) % days // one more, so that tomorrow is 0
	return age <= maxAge+1
}
