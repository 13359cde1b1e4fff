package unpack

import (
	"bytes"
	"fmt"
	"iter"
)

// mboxOpener opens mailbox files (RFC 4155): messages one after the other, each
// behind a line that begins with "From ". A file of one message is none: it is that
// message.
var mboxOpener = opener{name: "mbox", match: mboxMatch, entries: mboxEntries}

func mboxMatch(data []byte) bool {
	return bytes.HasPrefix(data, []byte("From ")) && nextMail(data, 1) >= 0
}

// nextMail gives the offset of the next "From " line from at on that an empty line
// is before, or -1.
func nextMail(data []byte, at int) int {
	for {
		i := bytes.Index(data[at:], []byte("\nFrom "))
		if i < 0 {
			return -1
		}
		at += i + 1
		before := bytes.TrimSuffix(data[:at-1], []byte("\r"))
		if bytes.HasSuffix(before, []byte("\n")) {
			return at
		}
	}
}

func mboxEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		for at, n := 0, 1; at >= 0; n++ {
			end, next := len(f.Data), nextMail(f.Data, at+1)
			if next >= 0 {
				end = next
			}
			mail := f.Data[at:end]
			if eol := bytes.IndexByte(mail, '\n'); eol >= 0 {
				mail = mail[eol+1:]
			}
			if !yield(member{name: fmt.Sprintf("%d.eml", n), data: mail}, nil) {
				return
			}
			at = next
		}
	}
}
