package lmtp

import (
	"crypto/sha256"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kiyome/scan"
	"kiyome/store"
)

// unconfirmed keeps what was done for the recipients of a message until the
// client's next command shows that it has heard of it. When the connection
// breaks before, the client will send the message again (RFC 1047), and must
// find it delivered: so that is made durable then, and only then.
type unconfirmed struct {
	memory *store.Memory
	log    *slog.Logger
	held   *atomic.Int64 // counts the bytes that are held
	msg    *scan.Message

	mu     sync.Mutex
	rcpts  []string // keys of the recipients that have the message
	digest [sha256.Size]byte
	err    error
	timer  *time.Timer
	over   bool
}

// digestAfter is how long the message itself is kept: after that its digest takes
// its place, so that silent clients hold no memory.
const digestAfter = time.Second

func newUnconfirmed(s *Server, msg *scan.Message) *unconfirmed {
	return &unconfirmed{memory: s.Memory, log: s.Log, held: &s.counters.spooled, msg: msg}
}

// add notes that a recipient has the message.
func (u *unconfirmed) add(rcpt string) { u.rcpts = append(u.rcpts, rcpt) }

// wait starts the time after which the message is let go. Once is enough.
func (u *unconfirmed) wait() {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.timer != nil:
		return
	case len(u.rcpts) == 0:
		u.release()
		return
	}
	u.timer = time.AfterFunc(digestAfter, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.release()
	})
}

// release lets the message go; its digest stays if it may be needed.
func (u *unconfirmed) release() {
	if u.msg == nil {
		return
	}
	if !u.over && len(u.rcpts) > 0 {
		u.digest, u.err = u.msg.Digest()
	}
	u.held.Add(-u.msg.Size())
	u.msg.Close()
	u.msg = nil
}

// settle ends the waiting. What the client has not heard of is made durable.
func (u *unconfirmed) settle(heard bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.timer != nil {
		u.timer.Stop()
	}
	u.over = heard
	u.release()
	if heard {
		return
	}
	for _, r := range u.rcpts {
		err := u.err
		if err == nil {
			err = u.memory.Add(memoryKey(u.digest, r), stepAll)
		}
		if err != nil {
			u.log.Error("a reply was lost, and what it said could not be kept: the message may come twice", "rcpt", r, "err", err)
		}
	}
}

// What the memory says was done for a recipient.
const (
	stepAll    = "delivered" // everything
	stepReport = "report"    // the report is there, its message is not
	stepLocal  = "local"     // what the mailbox gets is there; a forward is not done

	// Of one forward, by forwardKey.
	stepSent    = "sent"    // the next hop has it
	stepRefused = "refused" // the next hop will not have it
)

// forwardKey is the key of a forward of a recipient; in no address is a space.
func forwardKey(rcpt, to string) string { return rcpt + " to " + to }

// memoryKey identifies a message for a recipient: its exact bytes, and who.
func memoryKey(digest [sha256.Size]byte, rcpt string) [sha256.Size]byte {
	return sha256.Sum256(append(digest[:], rcpt...))
}
