package worker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"kiyome/rules"
	"kiyome/scan"
)

// Pool is a set of workers. It is safe for concurrent use.
//
// Requests are served in the order in which they came. A scan that takes longer
// than Options.Slow, or for which a small message has waited for a while, needs a
// slow lane, of which there are half as many as workers (one at least). Where all
// lanes are taken it goes on as long as nobody waits; then its worker is taken from
// it, and it starts over when a lane is free. So slow messages wait for each other and
// not others for them. A pool of one worker starts another while its one lane is taken.
type Pool struct {
	o         Options
	starter   starter
	ctx       context.Context // ends with the pool: for workers that are being started
	cancel    context.CancelFunc
	ending    sync.WaitGroup // processes, and goroutines that start some
	swap      sync.Mutex     // one at a time
	passwords []string       // of the next swap; guarded by swap

	mu       sync.Mutex
	gen      *generation
	idle     []*process
	queue    []*ticket // for a worker
	lanes    []*ticket // for a slow lane
	running  map[*run]struct{}
	busy     int           // workers handed out
	slow     int           // lanes taken
	outgoing []*process    // in service until the one that replaces each is ready
	closed   bool          // nothing new is begun
	cut      bool          // what runs is not waited for any more
	watching bool          // for small messages in the queue that wait for long
	drained  chan struct{} // closed when closed and not busy
	stats    Stats
}

// generation is the workers with one set of rules. Its counts are guarded by the pool.
type generation struct {
	start    start
	alive    int // in service, those that are outgoing not counted
	starting int
}

// ticket is a place in a queue. What was waited for is sent once; nil when the
// pool is closed.
type ticket struct {
	ready    chan *process
	patience time.Time // of a small message: when room is made for it; else zero
}

// run is one scan on its worker.
type run struct {
	w       *process
	began   time.Time
	lane    bool // it has a slow lane
	late    bool // it is slow and has no lane
	evicted bool // its worker was taken from it
	done    bool
	timer   *time.Timer
}

// NewPool starts the workers with the compiled rules and returns when they are
// ready. ErrSandbox: this system does not let them be confined.
func NewPool(ctx context.Context, set rules.Compiled, c rules.Config, o Options) (*Pool, error) {
	o = o.withDefaults()
	p := &Pool{o: o, passwords: o.Engine.Passwords, starter: newStarter(), running: make(map[*run]struct{}), drained: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.Swap(ctx, set, c); err != nil {
		p.Close(ctx)
		return nil, err
	}
	return p, nil
}

// Scan scans a message in a worker.
func (p *Pool) Scan(ctx context.Context, m *scan.Message) (*scan.Verdict, error) {
	return p.scan(ctx, job{Size: m.Size()}, m)
}

// ScanFile scans any file in a worker: the message's bytes are the file's. name is told to the rules.
func (p *Pool) ScanFile(ctx context.Context, name string, m *scan.Message) (*scan.Verdict, error) {
	return p.scan(ctx, job{Size: m.Size(), File: true, Name: bounded(name)}, m)
}

// handOvers is how often a message is handed to a worker that did not get it, before it is
// given back to the MTA.
const handOvers = 3

// scan runs a job until there is a verdict or it has ended two workers.
func (p *Pool) scan(ctx context.Context, j job, m *scan.Message) (*scan.Verdict, error) {
	// A worker has no part in it when there is no descriptor to hand over.
	if _, err := m.File(); err != nil {
		return nil, err
	}
	var known []scan.Finding // the most that any try has told
	deaths, ours, lane := 0, 0, false
	for {
		r, err := p.begin(ctx, j.Size, lane, deaths+ours > 0)
		if err != nil {
			return p.orFound(known, err)
		}
		v, found, err := r.w.scan(ctx, j, m, p.o.Engine.Limits.Time+p.o.grace)
		evicted := p.end(ctx, r, err)
		if len(found) > len(known) {
			known = found
		}
		var f fault
		switch {
		case err == nil:
			return v, nil
		case errors.As(err, &f) && f.Scratch:
			// The whole message is had again when there is room: a finding is no reason to cut it down.
			return nil, fmt.Errorf("worker: %w", f)
		case errors.As(err, &f):
			return p.orFound(known, fmt.Errorf("worker: %w", f))
		case ctx.Err() != nil:
			return p.orFound(known, fmt.Errorf("scan: %w", context.Cause(ctx)))
		case evicted:
			lane = true
			continue
		case errors.Is(err, errOurs):
			if ours++; ours < handOvers {
				continue
			}
			return nil, err // the message has had no part in it, and may come again
		}
		p.o.Log.Warn("a scan ended its worker", "err", err, "said", r.w.last.String(), "findings", len(known))
		if len(known) > 0 {
			return scan.Unfinished(known, p.o.Engine.Policy, r.w.version, err.Error()), nil
		}
		deaths++
		if v, err := p.poisoned(m, deaths, r.w.version); v != nil || err != nil {
			return v, err
		}
	}
}

// orFound gives up a scan, but not what it had found.
func (p *Pool) orFound(found []scan.Finding, err error) (*scan.Verdict, error) {
	if len(found) == 0 {
		return nil, err
	}
	return scan.Unfinished(found, p.o.Engine.Policy, p.Stats().Rules, err.Error()), nil
}

// poisoned decides after a death without a finding: nil and nil to try again,
// ErrDied after the second, the policy's verdict when the same bytes had ended
// two workers before.
func (p *Pool) poisoned(m *scan.Message, deaths int, version string) (*scan.Verdict, error) {
	if p.o.Poison == nil {
		if deaths > 1 {
			return nil, ErrDied
		}
		return nil, nil
	}
	key, err := m.Digest()
	if err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	if _, known := p.o.Poison.Get(key); known {
		return scan.Unfinished(nil, p.o.Engine.Policy, version, "the message ended its worker before"), nil
	}
	if deaths < 2 {
		return nil, nil
	}
	p.mu.Lock()
	p.stats.Poisonous++
	p.mu.Unlock()
	if err := p.o.Poison.Add(key, version); err != nil {
		return nil, fmt.Errorf("%w; its digest was not kept: %w", ErrDied, err)
	}
	return nil, ErrDied
}

// begin waits for a worker, and before that for a slow lane when the scan is
// known to be slow. again puts it at the head of the queue: it has waited before.
func (p *Pool) begin(ctx context.Context, size int64, lane, again bool) (*run, error) {
	if lane {
		if err := p.waitLane(ctx); err != nil {
			return nil, err
		}
	}
	w, err := p.waitWorker(ctx, again, !lane && size <= smallMessage)
	if err != nil {
		if lane {
			p.mu.Lock()
			p.freeLane()
			p.mu.Unlock()
		}
		return nil, err
	}
	r := &run{w: w, began: time.Now(), lane: lane}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running[r] = struct{}{}
	if p.cut {
		p.dismiss(w)
	}
	if !lane {
		r.timer = time.AfterFunc(p.o.Slow, func() { p.turnSlow(r) })
	}
	return r, nil
}

// end takes the worker of a scan back. err is what came of the scan.
func (p *Pool) end(ctx context.Context, r *run, err error) (evicted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.done = true
	if r.timer != nil {
		r.timer.Stop()
	}
	delete(p.running, r)
	if r.lane {
		p.freeLane()
	}
	var f fault
	switch {
	case err == nil:
		p.stats.Scans++
		p.stats.Answered = time.Now()
		p.give(r.w)
	case errors.As(err, &f):
		p.give(r.w)
	case ctx.Err() != nil:
		p.dismiss(r.w)
	case errors.Is(err, os.ErrDeadlineExceeded) && !r.w.leaving:
		p.stats.Killed++
		p.dismiss(r.w)
	default:
		r.w.kill() // lost counts it, unless it is our doing
	}
	p.unbusy()
	return r.evicted
}

// Swap puts other rules in service: new workers are started with them, a few at a time
// so that scans that run are not held up, and, when all are ready, take over; the old
// ones finish what they do. On an error nothing has changed. For as long as it takes
// there are twice as many workers.
func (p *Pool) Swap(ctx context.Context, set rules.Compiled, c rules.Config) error {
	p.swap.Lock()
	defer p.swap.Unlock()
	p.mu.Lock()
	closed, abreast := p.closed, p.o.Workers
	if p.gen != nil {
		abreast = max(1, p.o.Workers/4)
	}
	p.mu.Unlock()
	if closed {
		return ErrClosed
	}
	g := &generation{start: start{Rules: set, Config: c, Engine: p.o.Engine, Memory: p.o.Memory}}
	g.start.Engine.Passwords = p.passwords
	fresh, err := p.startAll(ctx, g, p.o.Workers, abreast)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.dismiss(fresh...)
		return ErrClosed
	}
	p.dismiss(p.idle...)
	p.gen, p.idle, p.outgoing = g, nil, nil
	p.stats.Rules = fresh[0].version
	for _, w := range fresh {
		p.serve(w)
	}
	p.fill()
	return nil
}

// SetPasswords says which passwords the workers of the next Swap try.
func (p *Pool) SetPasswords(list []string) {
	p.swap.Lock()
	defer p.swap.Unlock()
	p.passwords = list
}

// startAll starts n workers, as many abreast as it is told; all or none.
func (p *Pool) startAll(ctx context.Context, g *generation, n, abreast int) ([]*process, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	type result struct {
		w   *process
		err error
	}
	results, turn := make(chan result, n), make(chan struct{}, abreast)
	for range n {
		go func() {
			turn <- struct{}{}
			w, err := p.start(ctx, g)
			<-turn
			results <- result{w, err}
		}()
	}
	var fresh []*process
	var errs []error
	for range n {
		if r := <-results; r.err != nil {
			errs = append(errs, r.err)
			cancel() // the others are not wanted any more
		} else {
			fresh = append(fresh, r.w)
		}
	}
	if len(errs) == 0 {
		return fresh, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dismiss(fresh...)
	if p.closed {
		return nil, ErrClosed
	}
	return nil, errs[0]
}

// Stats tells what the pool has done.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	if p.gen != nil {
		s.Workers = p.gen.alive + len(p.outgoing)
	}
	s.Busy, s.Waiting, s.Want = p.busy, len(p.queue), p.want()
	if p.o.Poison != nil {
		s.Poison = p.o.Poison.Len()
	}
	for r := range p.running {
		if r.lane || r.late {
			s.Slow++
		}
	}
	return s
}

// Close lets running scans finish until ctx ends, then kills the workers. Scans
// that wait for a worker are given up with ErrClosed. The error is that of ctx,
// when scans were cut short.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.cancel()
	for _, t := range slices.Concat(p.queue, p.lanes) {
		t.ready <- nil
	}
	p.queue, p.lanes = nil, nil
	p.dismiss(p.idle...)
	p.idle = nil
	if p.busy == 0 {
		close(p.drained)
	}
	p.mu.Unlock()

	var err error
	select {
	case <-p.drained:
	case <-ctx.Done():
		err = ctx.Err()
		p.cutShort()
		<-p.drained
	}
	p.swap.Lock() // a swap that was under way has seen the end, and starts nothing more
	defer p.swap.Unlock()
	p.ending.Wait()
	close(p.starter)
	return err
}

// cutShort kills the workers that still scan.
func (p *Pool) cutShort() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for r := range p.running {
		p.dismiss(r.w)
	}
}
