package lmtp

import (
	"crypto/sha256"
	"sync"

	"kiyome/accounts"
	"kiyome/scan"
	"kiyome/scan/report"
)

// Removals writes down what was removed from the mail of an account: *accounts.Removals is one.
type Removals interface {
	// Add must not wait for anything: mail does not wait for it.
	Add(...accounts.Removal)
}

// recordReceived writes down what was removed from incoming mail of an account. It goes with the
// report: whoever was sent one finds it in the history, once.
func (j *job) recordReceived(account string, v *scan.Verdict) {
	j.record(account, accounts.Inbound, v, v.Outcome == scan.Cleaned)
}

// recordSent writes down what was removed from outgoing mail, once the next hop has the rest for
// some recipient. The MTA may bring a message several times, with some recipients each.
func (j *job) recordSent(v *scan.Verdict) {
	account := j.session.tx.account.Address
	if account == "" || !infected(v) || j.server().Removals == nil {
		return
	}
	digest, err := j.msg.Digest() // outgoing had it
	if err == nil && j.server().recorded.first(memoryKey(digest, account)) {
		j.record(account, accounts.Outbound, v, v.Outcome == scan.Cleaned && v.Notice != nil)
	}
}

func (j *job) record(account string, direction accounts.Service, v *scan.Verdict, restDelivered bool) {
	removals := j.server().Removals
	if removals == nil || account == "" {
		return
	}
	all := accounts.Removal{
		Time: j.began, Address: account, Direction: direction,
		Sender: report.Line(j.session.tx.from), Subject: report.Line(v.Subject), Result: accounts.MessageReplaced,
	}
	if restDelivered {
		all.Result = accounts.AttachmentRemoved
	}
	for _, it := range report.Items(v) {
		one := all
		one.What, one.File, one.Malware, one.Unchecked = accounts.What(it.Kind), it.File, it.Malware, it.Policy
		if it.Policy != "" {
			one.Malware = "" // nothing was found
		}
		removals.Add(one)
	}
}

// A registry knows what was done. Of more than it can hold it forgets all.
type registry struct {
	mu   sync.Mutex
	done map[[sha256.Size]byte]struct{}
}

// maxRegistry is how many entries a registry holds, of some 50 bytes.
const maxRegistry = 20_000

// first enters key, and reports whether it was not there.
func (r *registry) first(key [sha256.Size]byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.done[key]; known {
		return false
	}
	if r.done == nil || len(r.done) >= maxRegistry {
		r.done = make(map[[sha256.Size]byte]struct{})
	}
	r.done[key] = struct{}{}
	return true
}
