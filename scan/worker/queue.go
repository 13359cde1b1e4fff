package worker

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// The methods here are called with the pool's lock held, but for those that
// wait (waitWorker, waitLane, await, start, replace) and those that are told of
// events (turnSlow, hurryUp, lost).

const (
	// smallMessage is the size in bytes up to which a message does not wait for scans that
	// take long, though they do not count as slow yet.
	smallMessage = 1 << 20

	// hurry is how long a small message waits, and how long a scan may take then.
	hurry = 250 * time.Millisecond
)

// waitWorker waits for a worker of one's own. small says that it is for a small message.
func (p *Pool) waitWorker(ctx context.Context, again, small bool) (*process, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, ErrClosed
	}
	if n := len(p.idle); n > 0 {
		// The last one used: its caches are warm, and the others may be paged out.
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.busy++
		p.mu.Unlock()
		return w, nil
	}
	t := &ticket{ready: make(chan *process, 1)}
	if small {
		t.patience = time.Now().Add(hurry)
		p.watch()
	}
	if again {
		p.queue = slices.Insert(p.queue, 0, t)
	} else {
		p.queue = append(p.queue, t)
	}
	p.evictLate()
	p.mu.Unlock()
	return p.await(ctx, t, func(w *process) {
		p.queue = remove(p.queue, t)
		if w != nil {
			p.hand(w)
			p.unbusy()
		}
	})
}

// watch sees to it that small messages which wait for long have room made for them.
func (p *Pool) watch() {
	if !p.watching {
		p.watching = true
		time.AfterFunc(hurry/8, p.hurryUp)
	}
}

// hurryUp has room made for each small message that has waited since it was queued, or since
// that was done last, for long.
func (p *Pool) hurryUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watching = false
	now := time.Now()
	for _, t := range slices.Clone(p.queue) {
		if t.patience.IsZero() {
			continue
		}
		p.watch()
		if now.After(t.patience) {
			t.patience = now.Add(hurry)
			p.makeRoom()
		}
	}
}

// waitLane waits for a slow lane of one's own.
func (p *Pool) waitLane(ctx context.Context) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return ErrClosed
	}
	if p.slow < p.laneCount() {
		p.takeLane()
		p.mu.Unlock()
		return nil
	}
	t := &ticket{ready: make(chan *process, 1)}
	p.lanes = append(p.lanes, t)
	p.mu.Unlock()
	_, err := p.await(ctx, t, func(token *process) {
		p.lanes = remove(p.lanes, t)
		if token != nil {
			p.freeLane()
		}
	})
	return err
}

// await waits for a ticket's turn. When ctx ends first, undo gives back what
// came all the same; it runs with the lock held.
func (p *Pool) await(ctx context.Context, t *ticket, undo func(*process)) (*process, error) {
	select {
	case w := <-t.ready:
		if w == nil {
			return nil, ErrClosed
		}
		return w, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case w := <-t.ready:
		undo(w)
	default:
		undo(nil)
	}
	return nil, fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
}

// remove takes a ticket out of a queue.
func remove(queue []*ticket, t *ticket) []*ticket {
	return slices.DeleteFunc(queue, func(x *ticket) bool { return x == t })
}

// laneCount is how many scans may be slow at a time.
func (p *Pool) laneCount() int { return max(1, p.o.Workers/2) }

// takeLane makes a scan one of the slow ones.
func (p *Pool) takeLane() {
	p.slow++
	p.fill() // a pool of one starts another
}

// freeLane gives a lane to who waits longest for it, else to a late scan.
func (p *Pool) freeLane() {
	if len(p.lanes) > 0 {
		t := p.lanes[0]
		p.lanes = p.lanes[1:]
		t.ready <- laneToken
		return
	}
	for r := range p.running {
		if r.late && !r.evicted {
			r.late, r.lane = false, true
			return
		}
	}
	p.slow--
}

// laneToken is sent to a ticket for a lane.
var laneToken = &process{}

// turnSlow is called when a scan has run for Options.Slow.
func (p *Pool) turnSlow(r *run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slowDown(r)
}

// makeRoom counts the scan that has run longest, if it is long, among the slow ones, for a
// small message that waits.
func (p *Pool) makeRoom() {
	var longest *run
	for r := range p.running {
		if !r.lane && !r.late && time.Since(r.began) >= hurry && (longest == nil || r.began.Before(longest.began)) {
			longest = r
		}
	}
	if longest != nil {
		p.slowDown(longest)
	}
}

// slowDown counts a scan among the slow ones.
func (p *Pool) slowDown(r *run) {
	if r.done || r.lane || r.late {
		return
	}
	p.stats.TurnSlow++
	switch {
	case p.slow < p.laneCount():
		r.lane = true
		p.takeLane()
	default:
		r.late = true
		p.evictLate()
	}
}

// evictLate takes the worker from a slow scan without a lane when somebody waits
// for one.
func (p *Pool) evictLate() {
	if len(p.queue) == 0 {
		return
	}
	for r := range p.running {
		if r.late && !r.evicted {
			r.evicted = true
			p.stats.TurnedOut++
			p.dismiss(r.w)
			p.fill()
			return
		}
	}
}

// give takes a worker back after a scan.
func (p *Pool) give(w *process) {
	w.jobs++
	switch {
	case w.leaving:
		p.dismiss(w)
	case w.counted && p.gen.alive > p.want():
		p.dismiss(w)
	case w.jobs >= p.o.Jobs && w.counted:
		p.stats.Recycled++
		p.uncount(w)
		p.outgoing = append(p.outgoing, w)
		p.fill()
		p.hand(w) // until the next one is ready
	default:
		p.hand(w)
	}
}

// hand gives a free worker to who waits longest for it.
func (p *Pool) hand(w *process) {
	switch {
	case p.closed || w.gen != p.gen:
		p.dismiss(w)
	case w.ended.Load(): // lost sees to it
	case len(p.queue) == 0:
		p.idle = append(p.idle, w)
	default:
		t := p.queue[0]
		p.queue = p.queue[1:]
		p.busy++
		t.ready <- w
	}
}

// unbusy counts a worker that was handed out and is back, or dead.
func (p *Pool) unbusy() {
	p.busy--
	if p.closed && p.busy == 0 {
		close(p.drained)
	}
}

// serve puts a worker in service.
func (p *Pool) serve(w *process) {
	w.counted = true
	w.gen.alive++
	p.hand(w)
}

// uncount takes a worker out of the count of those in service.
func (p *Pool) uncount(w *process) {
	if w.counted {
		w.counted = false
		w.gen.alive--
	}
}

// dismiss ends workers that do nothing, or nothing that is still wanted.
func (p *Pool) dismiss(workers ...*process) {
	for _, w := range workers {
		w.leaving = true
		p.uncount(w)
		w.kill()
	}
}

// want is how many workers there should be.
func (p *Pool) want() int {
	if p.o.Workers == 1 && p.slow > 0 {
		return 2
	}
	return p.o.Workers
}

// fill starts workers until there are enough.
func (p *Pool) fill() {
	if p.closed || p.gen == nil {
		return
	}
	for p.gen.alive+p.gen.starting < p.want() {
		p.gen.starting++
		p.ending.Add(1)
		go p.replace(p.gen)
	}
}

// replace starts one worker of a generation, and tries again while it fails.
func (p *Pool) replace(g *generation) {
	defer p.ending.Done()
	const shortest, longest = 100 * time.Millisecond, 10 * time.Second
	for pause := shortest; ; pause = min(2*pause, longest) {
		w, err := p.start(p.ctx, g)
		p.mu.Lock()
		if p.closed || g != p.gen {
			g.starting--
			if w != nil {
				p.dismiss(w)
			}
			p.mu.Unlock()
			return
		}
		if err == nil {
			p.arrive(w)
			p.mu.Unlock()
			return
		}
		p.stats.Failed++
		p.mu.Unlock()
		p.o.Log.Error("no worker started", "err", err, "retry", pause)
		select {
		case <-p.ctx.Done():
		case <-time.After(pause):
		}
	}
}

// arrive puts a worker in service that was started to replace another.
func (p *Pool) arrive(w *process) {
	p.gen.starting--
	if p.gen.alive >= p.want() {
		p.dismiss(w) // the slow scan that it was started for is over
		return
	}
	if len(p.outgoing) > 0 {
		old := p.outgoing[0]
		p.outgoing = p.outgoing[1:]
		old.leaving = true
		if i := slices.Index(p.idle, old); i >= 0 {
			p.idle = slices.Delete(p.idle, i, i+1)
			p.dismiss(old)
		}
	}
	p.serve(w)
}

// start starts a worker on the pool's own thread and watches over its end.
func (p *Pool) start(ctx context.Context, g *generation) (*process, error) {
	type result struct {
		w   *process
		err error
	}
	done := make(chan result, 1)
	p.starter <- func() {
		w, err := spawn(g, p.o)
		done <- result{w, err}
	}
	r := <-done
	if r.err == nil {
		r.err = r.w.enter(ctx)
	}
	if r.err != nil {
		return nil, fmt.Errorf("start a worker: %w", r.err)
	}
	p.ending.Add(1)
	go func() {
		defer p.ending.Done()
		<-r.w.gone
		p.lost(r.w)
	}()
	return r.w, nil
}

// lost is told of every worker that has ended.
func (p *Pool) lost(w *process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !w.leaving {
		p.stats.Died++
	}
	gone := func(x *process) bool { return x == w }
	p.idle = slices.DeleteFunc(p.idle, gone)
	p.outgoing = slices.DeleteFunc(p.outgoing, gone)
	p.uncount(w)
	p.fill()
}

// starter runs what it is given on one thread that is its own as long as the
// pool lives. Pdeathsig is bound to the thread that started a process, not to the
// whole server.
type starter chan func()

// newStarter starts the pool's own thread. It ends when the channel is closed.
func newStarter() starter {
	s := make(starter)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for f := range s {
			f()
		}
	}()
	return s
}
