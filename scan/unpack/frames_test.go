package unpack

import (
	"runtime"
	"strings"
	"testing"
)

func TestFramesWithDamage(t *testing.T) {
	zst, lz, old := load(t, "zstd.zst"), load(t, "lz4.lz4"), load(t, "lz4-legacy.lz4")
	skipped := []byte("\x5a\x2a\x4d\x18\x04\x00\x00\x00skip")
	unended := []byte("\x5a\x2a\x4d\x18\x00\x01\x00\x00skip")
	reserved := []byte(zstdMagic + "\x00\x58\x07\x00\x00")
	for _, tt := range []struct {
		name      string
		data      []byte
		times     int // the marker is found
		unchecked string
	}{
		{"zstd twice", join(zst, zst), 2, ""},
		{"zstd behind a frame to skip", join(skipped, zst, skipped, zst), 2, ""},
		{"zstd and something behind", join(zst, []byte("something")), 1, ""},
		{"zstd and a frame to skip that is cut off", join(zst, unended), 1, ""},
		{"zstd with a wrong checksum", join(damage(zst, -1), zst), 2, "f/f: zstd: f: damaged: CRC check failed"},
		{"zstd of a reserved block", join(reserved, zst), 1, "f/f: zstd: f: damaged: invalid input: reserved block type encountered"},
		{"zstd with a dictionary", join([]byte(zstdMagic+"\x01\x58\x07"), zst[5:], zst), 1, "f/f: zstd: f: unsupported method: dictionary"},
		{"zstd with a window of 4 GiB", join([]byte(zstdMagic+"\x00\xb0\x21\x00\x00abcd"), zst), 1, "f/f: zstd: f: limit: memory"},
		{"zstd cut off", zst[:len(zst)-5], 0, "f/f: zstd: f: damaged: cut short"},
		{"zstd cut off, another behind", join(zst[:20], zst), 1, "f/f: zstd: f: damaged: corrupt input"},
		{"lz4 twice", join(lz, lz), 2, ""},
		{"lz4 behind a frame to skip", join(skipped, lz, skipped, lz), 2, ""},
		{"lz4 and something behind", join(lz, []byte("something")), 1, ""},
		{"lz4 with a wrong checksum", join(damage(lz, -1), lz), 2, "f/f: lz4: f: damaged: lz4: invalid frame checksum: got"},
		{"lz4 with a wrong header", join(damage(lz, 6), lz), 1, "f/f: lz4: f: damaged: lz4: invalid header checksum"},
		{"lz4 cut off", lz[:len(lz)-3], 1, "f/f: lz4: f: damaged: cut short"},
		{"lz4 of the old format, twice", join(old, old), 2, ""},
		{"lz4 of the old format, cut off", old[:len(old)-9], 0, "f/f: lz4: f: damaged: cut short"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", tt.data)
			found := 0
			for _, data := range n.data[1:] {
				found += strings.Count(data, marker)
			}
			got := strings.Join(n.unchecked, ";")
			if found != tt.times || !strings.HasPrefix(got, tt.unchecked) || (got == "") != (tt.unchecked == "") {
				t.Errorf("the marker was found %d times, want %d; unchecked %q, want %q", found, tt.times, got, tt.unchecked)
			}
		})
	}
}

// Workers are confined, and each of their goroutines lasts as long as they do.
func TestDecodersLeaveNoGoroutines(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, s := range samples(t) {
		walked(t, Limits{}, s.file, load(t, s.file))
		if now := runtime.NumGoroutine(); now > before {
			t.Fatalf("%s: %d goroutines, there were %d", s.file, now, before)
		}
	}
}
