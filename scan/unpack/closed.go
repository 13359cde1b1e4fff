package unpack

import (
	"bytes"
	"fmt"
	"iter"
)

// closedOpener knows archives that cannot be opened: how they are packed is published
// nowhere. What is in them cannot be seen, and so they are not clean: each is told to
// be closed. A format that gets an opener of its own leaves this list.
var closedOpener = opener{name: "archive", match: func(data []byte) bool { return closedFormat(data) != "" }, entries: closedEntries}

// signatures are how these archives begin.
var signatures = []struct{ name, text string }{
	{"amg", "\xad6\""},
}

// closedFormat names the closed format that data is in; "" when it is in none.
func closedFormat(data []byte) string {
	for _, s := range signatures {
		if bytes.HasPrefix(data, []byte(s.text)) {
			return s.name
		}
	}
	return ""
}

func closedEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		yield(member{}, fmt.Errorf("%s: %w", closedFormat(f.Data), ErrClosed))
	}
}
