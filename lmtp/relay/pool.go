package relay

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// pool keeps connections for use, and bounds how many there are: one is made only
// when none is idle, so those in use and the idle ones together fit the limit.
type pool struct {
	slots chan struct{} // one for each connection in use
	keep  time.Duration

	mu     sync.Mutex
	idle   []*conn // the one used last at the end
	closed bool
}

func newPool(limit int, keep time.Duration) *pool {
	return &pool{slots: make(chan struct{}, limit), keep: keep}
}

// get gives an idle connection, or a new one. It waits until one may be had.
func (p *pool) get(ctx context.Context, connect func(context.Context) (*conn, error)) (*conn, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: all connections are in use: %w", ErrUnavailable, context.Cause(ctx))
	}
	if c := p.takeIdle(); c != nil {
		return c, nil
	}
	c, err := connect(ctx)
	if err != nil {
		<-p.slots
	}
	return c, err
}

func (p *pool) takeIdle() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	c := p.idle[n-1]
	p.idle = p.idle[:n-1]
	c.expiry.Stop()
	return c
}

// put gives a connection back; one that is not sound is closed.
func (p *pool) put(c *conn, sound bool) {
	defer func() { <-p.slots }()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !sound || p.closed {
		c.close(sound)
		return
	}
	p.idle = append(p.idle, c)
	c.expiry = time.AfterFunc(p.keep, func() { p.expire(c) })
}

// expire closes a connection that is still idle.
func (p *pool) expire(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.idle, c); i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
		c.close(true)
	}
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		c.expiry.Stop()
		c.close(true)
	}
	p.idle = nil
}
