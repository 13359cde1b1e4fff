package unpack

import (
	"bytes"
	"fmt"
	"iter"
)

// closedOpener knows archives that cannot be opened yet. What is packed in them
// cannot be seen, and so they are not clean: each is told to be of an unsupported
// method. A format that gets an opener of its own leaves this list.
var closedOpener = opener{name: "archive", match: func(data []byte) bool { return closedFormat(data) != "" }, entries: closedEntries}

// signatures are how these archives begin, or what stands at an offset of theirs.
var signatures = []struct {
	name string
	at   int
	text string
}{
	{"amg", 0, "\xad6\""},
}

// closedFormat names the closed format that data is in; "" when it is in none.
func closedFormat(data []byte) string {
	for _, s := range signatures {
		if len(data) >= s.at && bytes.HasPrefix(data[s.at:], []byte(s.text)) {
			return s.name
		}
	}
	return ""
}

func closedEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		yield(member{}, fmt.Errorf("%s: cannot be opened: %w", closedFormat(f.Data), ErrUnsupported))
	}
}
