package unpack

import (
	"runtime"
	"runtime/metrics"
)

const (
	// maxWindow is the largest window (dictionary, model) in bytes that a decoder
	// gets. What a header states beyond it matters only once so much has been
	// unpacked, where the window can grow as it is filled.
	maxWindow = 128 << 20

	// maxWindows bounds the windows that are alive at a time in a walk: those of
	// solid archives within solid archives are.
	maxWindows = 192 << 20

	// maxWindowsTaken bounds what all windows of a message come to: to clear one of
	// 64 MiB for each of many tiny members is work too.
	maxWindowsTaken = 32 << 30

	// tidyFrom is how many bytes may lie about that are not windows in use, before
	// another one is made room for.
	tidyFrom = 128 << 20
)

// memory counts the windows of the decoders of a Walker. A nil one counts nothing.
type memory struct {
	alive int64
	taken int64
}

// take asks for n bytes.
func (m *memory) take(n int64) error {
	switch {
	case n > maxWindow:
		return &LimitError{"memory"}
	case m == nil:
		return nil
	case m.alive+n > maxWindows, m.taken+n > maxWindowsTaken:
		return &LimitError{"memory"}
	}
	if n >= 1<<20 {
		m.tidy()
	}
	m.alive += n
	m.taken += n
	return nil
}

// tidy collects the windows that are done with. They are few and large: by itself
// the collector may come to it only when the next ones have been allocated.
func (m *memory) tidy() {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	if metrics.Read(heap); m != nil && int64(heap[0].Value.Uint64())-m.alive > tidyFrom {
		runtime.GC()
	}
}

// give gives n bytes back.
func (m *memory) give(n int64) {
	if m != nil {
		m.alive -= n
	}
}
