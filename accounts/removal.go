package accounts

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Removal is one thing that was removed from a member's mail: a line of the history that the
// member sees. Nothing of the mail is in it but the texts below, which are bounded, valid UTF-8
// and without control characters.
type Removal struct {
	Seq       uint64    `json:"seq"`                 // of this address, ascending; a place to go on from
	Time      time.Time `json:"time"`                // of detection
	Address   string    `json:"address"`             // canonical: whose mail it was
	Direction Service   `json:"direction"`           // inbound: received by the address; outbound: sent
	Sender    string    `json:"sender"`              // envelope sender; "" is the null sender
	Subject   string    `json:"subject"`             // of the message; "" if it has none, or none is known
	What      What      `json:"what"`                // what was infected
	File      string    `json:"file,omitempty"`      // of a file: its name, or the path to it within containers
	Malware   string    `json:"malware,omitempty"`   // its name; "" when a policy removed it
	Unchecked string    `json:"unchecked,omitempty"` // why a policy removed it: encrypted, closed archive, damaged, unsupported, limit, error
	Result    Result    `json:"result"`
}

// What is the kind of thing that was infected.
type What string

// The kinds of things.
const (
	WhatFile    What = "file"    // an attachment
	WhatUnnamed What = "unnamed" // an attachment without a name
	WhatBody    What = "body"    // the text of the mail
	WhatWhole   What = "whole"   // the mail as a whole, which was not checked to its end
)

// Result is what became of the mail.
type Result string

// The results.
const (
	AttachmentRemoved Result = "attachment removed" // the rest was delivered
	MessageReplaced   Result = "message replaced"   // inbound by the report, outbound by a notice
)

// Limits of the texts of a Removal.
const (
	maxRemovalText  = 500  // characters of subject, file and sender
	maxRemovalBytes = 1000 // of the same, in UTF-8
	maxRemovalWord  = 100  // bytes of malware and of the words
)

// bounded gives r with its texts made fit to be kept.
func (r Removal) bounded() Removal {
	for _, text := range []*string{&r.Sender, &r.Subject, &r.File} {
		*text = boundedText(*text, maxRemovalText, maxRemovalBytes)
	}
	for _, word := range []*string{&r.Malware, &r.Unchecked, (*string)(&r.Direction), (*string)(&r.What), (*string)(&r.Result)} {
		*word = boundedText(*word, maxRemovalWord, maxRemovalWord)
	}
	r.Time = r.Time.UTC().Round(0)
	return r
}

// boundedText gives a text of at most so many characters and bytes, valid UTF-8, in one line,
// without control characters and without those that change the order in which a text is shown.
func boundedText(s string, characters, bytes int) string {
	var b strings.Builder
	for _, c := range s {
		if c == utf8.RuneError || unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			c = utf8.RuneError
		}
		if characters--; characters < 0 || b.Len()+utf8.RuneLen(c) > bytes {
			break
		}
		b.WriteRune(c)
	}
	return b.String()
}

// sealRemoval writes a removal as it is stored under its key.
func sealRemoval(key []byte, r Removal) []byte {
	var b []byte
	b = binary.AppendUvarint(b, r.Seq)
	b = appendTime(b, r.Time)
	for _, s := range []string{r.Address, string(r.Direction), r.Sender, r.Subject, string(r.What), r.File, r.Malware, r.Unchecked, string(r.Result)} {
		b = appendString(b, s)
	}
	return seal(key, b)
}

// unsealRemoval is the reverse. Values that a later version adds at the end are passed over.
func unsealRemoval(key, value []byte) (Removal, error) {
	payload, err := unseal(key, value)
	if err != nil {
		return Removal{}, err
	}
	d := decoder{rest: string(payload)}
	r := Removal{Seq: d.uvarint(), Time: d.time(), Address: d.string(), Direction: Service(d.string()), Sender: d.string(), Subject: d.string(),
		What: What(d.string()), File: d.string(), Malware: d.string(), Unchecked: d.string(), Result: Result(d.string())}
	if d.bad || string(removalKey(r.Address, r.Seq)) != string(key) {
		return Removal{}, fmt.Errorf("%w: not a removal", ErrDamaged)
	}
	return r, nil
}
