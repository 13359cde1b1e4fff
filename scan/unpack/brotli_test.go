package unpack

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
)

func brotliOf(content string) string {
	var b bytes.Buffer
	w := brotli.NewWriterLevel(&b, 5)
	w.Write([]byte(content))
	w.Close()
	return b.String()
}

func TestBrotli(t *testing.T) {
	long := strings.Repeat(random(1000), 200)
	for _, tt := range []struct {
		name, data string
		objects    int
		unchecked  string
	}{
		{"packed", brotliOf(text), 2, ""},
		{"much of it", brotliOf(long), 2, ""},
		{"not packed", brotliOf(random(3000)), 2, ""},
		{"cut off early", brotliOf(text)[:20], 1, ""},
		{"cut off late", brotliOf(long + random(100_000))[:90_000], 2, "f/f: brotli: f: damaged: cut short"},
		{"a text", "\nThis is a text, not a stream.", 1, ""},
		{"zeros", strings.Repeat("\x00", 100), 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", []byte(tt.data))
			if len(n.objects) != tt.objects {
				t.Errorf("objects %q, want %d", n.objects, tt.objects)
			}
			if got := strings.Join(n.unchecked, ";"); got != tt.unchecked {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
		})
	}
}

// Noise looks like Brotli once in some ten thousand times.
func TestNoiseIsNotBrotli(t *testing.T) {
	all := []byte(random(4 << 20))
	found := 0
	for piece := range slices.Chunk(all, 2<<10) {
		if brotliMatch(piece) {
			found++
		}
	}
	if found > 2 {
		t.Errorf("%d of 2048", found)
	}
}
