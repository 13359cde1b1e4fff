// Package worker runs the engine in processes that can open no file, no socket
// and no program, with bounded memory and time: the same interface as the engine,
// for bytes that are not to be trusted.
//
// A worker is this program started again. It loads the rules, closes the door
// behind it (seccomp, no_new_privs, resource limits), and then scans one message
// after another: the message comes as a descriptor to be mapped, findings go
// back as they are made, and the verdict ends the answer.
//
// What comes back is not trusted either: it is bounded, and a verdict that
// contradicts itself or the message counts as the death of its worker.
package worker

import (
	"errors"
	"log/slog"
	"os"
	"runtime"
	"time"

	"kiyome/scan"
)

// ErrDied says that the scan ended its worker twice. The message is to be kept by
// the MTA; its digest is remembered, and the next time the policy decides.
var ErrDied = errors.New("scan ended its worker")

// ErrBusy says that no worker became free in time.
var ErrBusy = errors.New("no worker is free")

// ErrClosed says that the pool was closed.
var ErrClosed = errors.New("the workers were stopped")

// ErrSandbox says that this system does not let a worker close the door behind
// it: no seccomp, for instance.
var ErrSandbox = errors.New("workers cannot be confined")

// Memory remembers digests for some days: *store.Memory is one.
type Memory interface {
	Add(key [32]byte, value string) error
	Get(key [32]byte) (value string, ok bool)
	Len() int
}

// Options configures a Pool.
type Options struct {
	Workers int           // how many; 0: one per core
	Memory  int64         // bytes of memory that a worker may use, rules not counted; default 512 MiB
	Scratch string        // folder for the unlinked scratch files; default os.TempDir()
	Jobs    int           // a worker is replaced after so many; default 10,000
	Slow    time.Duration // a scan that takes longer counts as slow; default 3 s. Half of the workers at most do slow scans
	Poison  Memory        // digests of messages that ended a worker; may be nil
	Engine  scan.Options
	Log     *slog.Logger // nil: slog.Default()

	fake  string        // what a worker runs in place of the engine: for tests
	grace time.Duration // how long past its time a scan may go on before it is killed; default 2 s
}

// defaultTime is that of scan.Limits.Time.
const defaultTime = 120 * time.Second

// withDefaults fills what is zero.
func (o Options) withDefaults() Options {
	fill(&o.Workers, runtime.NumCPU())
	fill(&o.Memory, 512<<20)
	fill(&o.Scratch, os.TempDir())
	fill(&o.Jobs, 10_000)
	fill(&o.Slow, 3*time.Second)
	fill(&o.grace, 2*time.Second)
	fill(&o.Engine.Limits.Time, defaultTime)
	fill(&o.Engine.Limits.Unpack.Unpacked, 4<<30)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// fill sets a zero value to its default.
func fill[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// Stats is what the pool has done since it started. What has no name in JSON is for the
// metrics only.
type Stats struct {
	Workers  int    `json:"workers"`  // that serve now
	Scans    uint64 `json:"scans"`    // verdicts given
	Died     uint64 `json:"died"`     // workers that crashed
	Killed   uint64 `json:"killed"`   // workers killed at the deadline
	Recycled uint64 `json:"recycled"` // workers replaced after Options.Jobs scans
	Busy     int    `json:"busy"`
	Slow     int    `json:"slow"`
	Rules    string `json:"rules"`

	Want      int       `json:"-"` // workers that there should be
	Waiting   int       `json:"-"` // scans that wait for a worker
	TurnedOut uint64    `json:"-"` // workers taken from a slow scan, which starts over later
	TurnSlow  uint64    `json:"-"` // scans that counted as slow, by Options.Slow or for a small message
	Poisonous uint64    `json:"-"` // messages that ended two workers
	Poison    int       `json:"-"` // digests of such messages that are kept
	Failed    uint64    `json:"-"` // starts of a worker that failed
	Answered  time.Time `json:"-"` // when a worker gave a verdict last
}
