// Package worker runs the engine in processes that can open no file, no socket
// and no program, with bounded memory and time: the same interface as the engine,
// for bytes that are not to be trusted.
//
// A worker is this program started again. It loads the rules, closes the door
// behind it (seccomp, no_new_privs, resource limits), and then scans one message
// after another: the message comes as a descriptor to be mapped, findings go
// back as they are made, and the verdict ends the answer.
package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"kiyome/rules"
	"kiyome/scan"
)

// ErrDied says that the scan ended its worker twice. The message is to be kept by
// the MTA; its digest is remembered, and the next time the policy decides.
var ErrDied = errors.New("scan ended its worker")

// ErrBusy says that no worker became free in time.
var ErrBusy = errors.New("no worker is free")

// Memory remembers digests for some days: *store.Memory is one.
type Memory interface {
	Add(key [32]byte, value string) error
	Get(key [32]byte) (value string, ok bool)
	Len() int
}

// Options configures a Pool.
type Options struct {
	Workers int           // how many; 0: one per core
	Memory  int64         // bytes of address space growth that a worker may use, rules not counted; default 512 MiB
	Scratch string        // folder for the unlinked scratch files
	Jobs    int           // a worker is replaced after so many; default 1000
	Slow    time.Duration // a scan that takes longer counts as slow; default 3 s. Half of the workers at most do slow scans
	Poison  Memory        // digests of messages that ended a worker; may be nil
	Engine  scan.Options
	Log     *slog.Logger
}

// Stats is what the pool has done since it started.
type Stats struct {
	Workers  int    `json:"workers"`
	Scans    uint64 `json:"scans"`
	Died     uint64 `json:"died"`     // workers that crashed
	Killed   uint64 `json:"killed"`   // workers killed at the deadline
	Recycled uint64 `json:"recycled"` // workers replaced after Options.Jobs scans
	Busy     int    `json:"busy"`
	Slow     int    `json:"slow"`
	Rules    string `json:"rules"`
}

// Pool is a set of workers. It is safe for concurrent use.
type Pool struct{}

// Main turns this process into a worker and does not return, when it was started
// as one; else it returns at once. Call it first thing in main.
func Main() { panic("not built yet") }

// NewPool starts the workers with the compiled rules and returns when they are ready.
func NewPool(ctx context.Context, set rules.Compiled, c rules.Config, o Options) (*Pool, error) {
	panic("not built yet")
}

// Scan scans a message in a worker.
func (p *Pool) Scan(ctx context.Context, m *scan.Message) (*scan.Verdict, error) {
	panic("not built yet")
}

// ScanFile scans any file in a worker: the message's bytes are the file's.
func (p *Pool) ScanFile(ctx context.Context, name string, m *scan.Message) (*scan.Verdict, error) {
	panic("not built yet")
}

// Swap puts other rules in service: new workers are started with them and, when
// all are ready, take over; the old ones finish what they do. On an error nothing has changed.
func (p *Pool) Swap(ctx context.Context, set rules.Compiled, c rules.Config) error {
	panic("not built yet")
}

// Stats tells what the pool has done.
func (p *Pool) Stats() Stats { panic("not built yet") }

// Close lets running scans finish until ctx ends, then kills the workers.
func (p *Pool) Close(ctx context.Context) error { panic("not built yet") }
