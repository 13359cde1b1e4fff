package unpack

import (
	"bytes"
	"strings"
	"testing"
)

// isPackedDisk reports whether a sample is an image that is small only when packed.
func isPackedDisk(s sample) bool {
	_, disk, found := strings.Cut(s.formats, "xz ")
	return found && strings.HasPrefix(s.formats, "xz ") && strings.HasPrefix(s.file, disk)
}

// loadDisk gives a sample as it is when it is not packed.
func loadDisk(t testing.TB, name string) []byte {
	t.Helper()
	data := load(t, name)
	if !bytes.HasPrefix(data, []byte(xzMagic)) {
		return data
	}
	n := &notes{hook: func(path []string) bool { return len(path) < 2 }}
	n.walk(t, NewArena(nil, 0), Limits{}, name, data)
	return []byte(n.data[1])
}

// An image that was cut off anywhere still gives the marker, or says that it was not
// read, or is none any more.
func TestCutOffDisksAreNeverSilent(t *testing.T) {
	for _, s := range samples(t) {
		if !isPackedDisk(s) || !s.readable() {
			continue
		}
		t.Run(s.file, func(t *testing.T) {
			data := loadDisk(t, s.file)
			for n := len(data); n > 0; n -= 1 + n/40 {
				if cut := data[:n:n]; len(Detect(File{Data: cut})) > 0 {
					if got := walked(t, Limits{}, "f", cut); got.marked == "" && len(got.unchecked) == 0 {
						t.Fatalf("cut to %d of %d bytes: objects %q and not a word", n, len(data), got.objects)
					}
				}
			}
		})
	}
}
