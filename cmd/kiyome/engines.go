package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"kiyome/cmd/kiyome/config"
	"kiyome/rules"
	"kiyome/scan"
	"kiyome/scan/mime"
	"kiyome/scan/unpack"
	"kiyome/scan/worker"
)

// scanner is what serves scans: a pool of workers or, where the operator has
// turned the sandbox off, engines in this process.
type scanner interface {
	Scan(ctx context.Context, m *scan.Message) (*scan.Verdict, error)
	ScanFile(ctx context.Context, name string, m *scan.Message) (*scan.Verdict, error)
	Swap(ctx context.Context, set rules.Compiled, c rules.Config) error
	SetPasswords(list []string) // from the next Swap on
	Stats() worker.Stats
	Close(ctx context.Context) error
}

// rulesConfig is the configuration in the words of the rules.
func rulesConfig(c *config.Config) rules.Config {
	sets := make(map[string]rules.SetConfig)
	for name, s := range c.Rules.Sets {
		sets[name] = rules.SetConfig{MinScore: s.MinScore, DefaultScore: s.DefaultScore, Disable: s.Disable}
	}
	return rules.Config{Dirs: c.Rules.Dirs, Builtin: c.Rules.Builtin, Ignore: c.Rules.Ignore, Sets: sets}
}

// scanOptions is the configuration in the words of the engine.
func scanOptions(c *config.Config) scan.Options {
	l := c.Scan.Limits
	return scan.Options{
		Policy: scan.Policy{Encrypted: c.Scan.Encrypted, Unchecked: c.Scan.Unchecked},
		Limits: scan.Limits{
			Time:   l.Time,
			MIME:   mime.Limits{},
			Unpack: unpack.Limits{Depth: l.Depth, Objects: l.Objects, Unpacked: l.Unpacked, Ratio: int64(l.Ratio)},
		},
	}
}

// poolOptions is the configuration in the words of the pool.
func poolOptions(c *config.Config, scratch string) worker.Options {
	return worker.Options{
		Workers: c.Scan.Workers,
		Memory:  c.Scan.Limits.Memory,
		Scratch: scratch,
		Jobs:    c.Scan.Recycle,
		Slow:    c.Scan.Slow,
		Engine:  scanOptions(c),
	}
}

// engines scans in this process. A crash of libyara ends it, and what is scanned is not confined.
type engines struct {
	scratch string
	workers int

	mu      sync.Mutex
	options scan.Options
	current *engineSet

	scans atomic.Uint64
	busy  atomic.Int64
}

// engineSet is the engines of one set of rules.
type engineSet struct {
	rules *rules.Set
	free  chan *scan.Engine
	users sync.WaitGroup // scans that took, or will take, an engine of this set
}

// newEngines makes as many engines as a pool would have workers.
func newEngines(ctx context.Context, set rules.Compiled, c rules.Config, o worker.Options) (*engines, error) {
	e := &engines{options: o.Engine, scratch: o.Scratch, workers: o.Workers}
	if e.workers == 0 {
		e.workers = runtime.NumCPU()
	}
	return e, e.Swap(ctx, set, c)
}

// Swap puts other rules in service. Scans that run finish with the old ones.
func (e *engines) Swap(_ context.Context, set rules.Compiled, _ rules.Config) error {
	loaded, err := rules.Load(set)
	if err != nil {
		return err
	}
	e.mu.Lock()
	options := e.options
	e.mu.Unlock()
	fresh := &engineSet{rules: loaded, free: make(chan *scan.Engine, e.workers)}
	for range e.workers {
		engine, err := scan.NewEngine(loaded, options)
		if err != nil {
			fresh.close()
			return err
		}
		fresh.free <- engine
	}
	e.mu.Lock()
	old := e.current
	e.current = fresh
	e.mu.Unlock()
	if old != nil {
		go old.close()
	}
	return nil
}

// SetPasswords says which passwords the engines of the next Swap try.
func (e *engines) SetPasswords(list []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.options.Passwords = list
}

// close frees the engines when the last scan is over.
func (s *engineSet) close() {
	s.users.Wait()
	for {
		select {
		case engine := <-s.free:
			engine.Close()
		default:
			s.rules.Close()
			return
		}
	}
}

var errClosed = errors.New("the engines were closed")

// Scan scans a message.
func (e *engines) Scan(ctx context.Context, m *scan.Message) (*scan.Verdict, error) {
	return e.run(ctx, m, scan.Job{})
}

// ScanFile scans any file.
func (e *engines) ScanFile(ctx context.Context, name string, m *scan.Message) (*scan.Verdict, error) {
	return e.run(ctx, m, scan.Job{File: true, Name: name})
}

func (e *engines) run(ctx context.Context, m *scan.Message, j scan.Job) (*scan.Verdict, error) {
	e.mu.Lock()
	set := e.current
	if set != nil {
		set.users.Add(1)
	}
	e.mu.Unlock()
	if set == nil {
		return nil, errClosed
	}
	defer set.users.Done()
	var engine *scan.Engine
	select {
	case engine = <-set.free:
	case <-ctx.Done():
		return nil, worker.ErrBusy
	}
	defer func() { set.free <- engine }()

	raw, release, err := m.Map()
	if err != nil {
		return nil, err
	}
	defer release()
	scratch, err := scan.Unlinked(e.scratch)
	if err != nil {
		return nil, fmt.Errorf("scratch file: %w", err)
	}
	defer scratch.Close()
	e.scans.Add(1)
	e.busy.Add(1)
	defer e.busy.Add(-1)
	j.Raw, j.Scratch = raw, scratch
	return engine.Run(ctx, j)
}

// Stats tells what the engines have done.
func (e *engines) Stats() worker.Stats {
	s := worker.Stats{Workers: e.workers, Want: e.workers, Scans: e.scans.Load(), Busy: int(e.busy.Load())}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current != nil {
		s.Rules = e.current.rules.Version()
	}
	return s
}

// Close waits for running scans until ctx ends.
func (e *engines) Close(ctx context.Context) error {
	e.mu.Lock()
	set := e.current
	e.current = nil
	e.mu.Unlock()
	if set == nil {
		return nil
	}
	done := make(chan struct{})
	go func() { set.close(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
