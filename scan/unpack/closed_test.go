package unpack

import (
	"errors"
	"strings"
	"testing"
)

func TestClosedArchivesAreNotClean(t *testing.T) {
	for _, tt := range []struct{ format, head string }{
		{"7z", "7z\xbc\xaf\x27\x1c\x00\x04"},
		{"rar", "Rar!\x1a\x07\x01\x00"},
		{"rar", "Rar!\x1a\x07\x00"},
		{"xz", "\xfd7zXZ\x00\x00\x04"},
		{"zstd", "\x28\xb5\x2f\xfd\x24"},
		{"lz4", "\x04\x22\x4d\x18\x64"},
		{"lzip", "LZIP\x01\x0c"},
		{"ace", "\x11\x22\x31\x00\x00\x00\x90**ACE**\x14"},
		{"amg", "\xad6\"\x01"},
		{"compress", "\x1f\x9d\x90\x48"},
		{"", "Rar! is the name"},
		{"", "7z a archive.7z"},
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
			if !errors.Is(err, ErrUnsupported) || !strings.HasPrefix(err.Error(), tt.format+":") {
				t.Errorf("%s: %v", tt.format, err)
			}
		}
	}
}
