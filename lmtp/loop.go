package lmtp

import (
	"errors"
	"strings"
	"sync"
	"time"

	"kiyome/accounts"
	"kiyome/scan"
)

// errLoop says that a message comes by again and again.
var errLoop = errors.New("mail loop")

// Limits of the way that a message has come.
const (
	maxReceived = 100       // RFC 5321, section 6.3
	maxOwnHops  = 8         // an outgoing message passes us once, and once more for each forward
	loopHead    = 256 << 10 // bytes of a header that are looked at: what was added last stands first
	maxMailbox  = 100       // Delivered-To fields that are looked at
)

// way is the way that a message has come, read off its header.
type way struct {
	received  int
	own       []string // ids of our own transactions
	mailboxes []string // canonical addresses that it was delivered to
}

// readWay reads the header of a message.
func readWay(msg *scan.Message, hostname string) way {
	var w way
	for field := range fields(headOf(msg, loopHead)) {
		name, value, _ := strings.Cut(field, ":")
		switch {
		case strings.EqualFold(name, "Received"):
			w.received++
			if id := ownHop(value, hostname); id != "" {
				w.own = append(w.own, id)
			}
		case strings.EqualFold(name, "Delivered-To") && len(w.mailboxes) < maxMailbox:
			if address, err := accounts.ParseAddress(strings.TrimSpace(value)); err == nil {
				w.mailboxes = append(w.mailboxes, address)
			}
		}
	}
	return w
}

// loops reports whether a message has come too long a way.
func (w way) loops() bool { return w.received >= maxReceived || len(w.own) >= maxOwnHops }

// ownHop gives the transaction of ours that wrote a Received field, or "".
func ownHop(value, hostname string) string {
	words := strings.Fields(value)
	for i, word := range words[:max(len(words)-2, 0)] {
		if word == "by" && strings.EqualFold(words[i+1], hostname) && words[i+2] == "(kiyome)" {
			return queueID(value)
		}
	}
	return ""
}

// trail knows for a while which messages, by transaction, have a copy in a mailbox
// that also forwards them: when one comes back, its mailbox needs no second copy. What
// it has forgotten is delivered twice, never lost.
type trail struct {
	mu   sync.Mutex
	left map[string]time.Time
}

const (
	trailKeep = time.Hour
	maxTrail  = 20_000 // entries, of some 100 bytes
)

func (t *trail) add(tx, account string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left == nil || len(t.left) >= maxTrail {
		t.left = make(map[string]time.Time)
	}
	t.left[tx+" "+account] = time.Now()
}

// has reports whether a mailbox has the message of one of the transactions.
func (t *trail) has(own []string, account string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tx := range own {
		if at, ok := t.left[tx+" "+account]; ok && time.Since(at) < trailKeep {
			return true
		}
	}
	return false
}
