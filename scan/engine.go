package scan

import (
	"context"
	"os"
	"time"

	"kiyome/rules"
	"kiyome/scan/mime"
	"kiyome/scan/unpack"
)

// Limits is every limit of a scan. Zero fields have their defaults.
type Limits struct {
	Time   time.Duration // of one message, all in all; default 120 s
	MIME   mime.Limits
	Unpack unpack.Limits
	Object int // bytes of an object up to which it is held in memory rather than in the scratch file; default 4 MiB
}

// Options configures an Engine.
type Options struct {
	Policy Policy
	Limits Limits
}

// Engine scans in this process. It is used by one goroutine.
type Engine struct{}

// NewEngine makes an engine that matches against set.
func NewEngine(set *rules.Set, o Options) (*Engine, error) { panic("not built yet") }

// Job is one thing to scan.
type Job struct {
	Raw     []byte        // the bytes; never written to
	File    bool          // not a message, unless it reads like one: `kiyome scan` of any file
	Name    string        // of that file
	Scratch *os.File      // empty and unlinked, for large objects; nil: memory
	Found   func(Finding) // told of each finding as it is made; may be nil
}

// Run scans one job. The error is for faults of the engine itself: whatever is
// wrong with the bytes is in the Verdict.
func (e *Engine) Run(ctx context.Context, j Job) (*Verdict, error) { panic("not built yet") }

// Scan is Run for a message: the method by which lmtp knows a scanner.
func (e *Engine) Scan(ctx context.Context, m *Message) (*Verdict, error) { panic("not built yet") }

// Close frees the engine.
func (e *Engine) Close() { panic("not built yet") }
