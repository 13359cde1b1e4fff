package unpack

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestPairsAreFoundAsBytesIndexFindsThem(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		data := make([]byte, r.IntN(80))
		for i := range data {
			data[i] = "=y<x\xbd\xf9"[r.IntN(6)]
		}
		at := r.IntN(len(data) + 1)
		want := bytes.Index(data[at:], []byte("=y"))
		if want >= 0 {
			want += at
		}
		if got := indexPair(data, at, '=', 'y'); got != want {
			t.Fatalf("in %q from %d: %d, want %d", data, at, got, want)
		}
	}
}
