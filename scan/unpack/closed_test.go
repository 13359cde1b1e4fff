package unpack

import (
	"errors"
	"strings"
	"testing"
)

func TestClosedArchivesAreNotClean(t *testing.T) {
	for _, tt := range []struct{ format, head string }{
		{"amg", "\xad6\"\x01"},
		{"", "Rar! is the name"},
		{"", "a**ACE**"},
		{"", ""},
	} {
		data := []byte(tt.head)
		if got := closedFormat(data); got != tt.format {
			t.Errorf("%q is taken for %q, want %q", tt.head, got, tt.format)
		}
		if tt.format == "" {
			continue
		}
		for _, err := range closedEntries(File{Data: data}) {
			if !errors.Is(err, ErrClosed) || !strings.HasPrefix(err.Error(), tt.format+":") {
				t.Errorf("%s: %v", tt.format, err)
			}
		}
	}
}
