package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"kiyome/cmd/kiyome/monitor"
	"kiyome/rules"
)

// reloads counts what became of changes of the rules, those at the start included.
type reloads = monitor.Reloads

// reloaded notes that rules came into service, or that they were refused.
func (s *server) reloaded(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reloads.Failed = err != nil
	if err != nil {
		s.reloads.Refused++
		return
	}
	s.reloads.Done++
	s.reloads.Last = time.Now()
}

// Numbers gives what the metrics are made of: it makes server a monitor.Subject.
func (s *server) Numbers() monitor.Numbers {
	s.mu.Lock()
	set, reloads := s.rules, s.reloads
	s.mu.Unlock()
	return monitor.Numbers{
		Version: versionText(), Libyara: rules.LibyaraVersion(), Sandbox: s.config.Scan.Sandbox != "off",
		Inbound: s.inbound.Stats(), Outbound: s.outbound.Stats(), Scan: s.scanner.Stats(),
		Rules: set, Reloads: reloads, Database: s.db.Size(), RemovalsLost: s.removals.Lost(),
	}
}

// Alive reports what a restart would mend: connections that are not accepted any more, locks
// that do not come round. It asks no disk, no network and no worker: those that are
// slow are no better after a restart.
func (s *server) Alive(ctx context.Context) error {
	return within(ctx, func() error {
		s.Rules()
		s.scanner.Stats()
		return errors.Join(s.inbound.Alive(), s.outbound.Alive())
	})
}

// within gives up waiting for f when ctx ends.
func within(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errors.New("it takes too long to tell")
	}
}

// Ready reports what keeps mail from being delivered and checked now.
func (s *server) Ready(ctx context.Context) error {
	checks := []struct {
		what  string
		check func(context.Context) error
	}{
		{"server", s.notStopping},
		{"listeners", s.reachable},
		{"account database", func(context.Context) error { return s.db.Ping() }},
		{"workers", s.answering},
		{"rules", s.ruled},
	}
	errs := make([]error, len(checks))
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() {
			if err := within(ctx, func() error { return c.check(ctx) }); err != nil {
				errs[i] = fmt.Errorf("%s: %w", c.what, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (s *server) notStopping(context.Context) error {
	if s.stopping.Load() {
		return errors.New("stopping")
	}
	return nil
}

// greetTime is how long a greeting may take.
const greetTime = 2 * time.Second

// reachable connects to every socket for mail and awaits a greeting.
func (s *server) reachable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, greetTime)
	defer cancel()
	var errs []error
	for _, l := range slices.Concat(s.sockets.inbound, s.sockets.outbound) {
		if err := greeted(ctx, l.Addr()); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", addressText(l.Addr()), err))
		}
	}
	return errors.Join(errs...)
}

// greeted reports whether a server answers: with 220, or with 421 when it has too many
// connections. Where only the MTA may connect, that has to do.
func greeted(ctx context.Context, a net.Addr) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, a.Network(), a.String())
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	defer c.Close()
	if end, ok := ctx.Deadline(); ok {
		c.SetDeadline(end)
	}
	in := bufio.NewReader(io.LimitReader(c, 10<<10))
	switch greeting, err := in.ReadString('\n'); {
	case err != nil:
		return err
	case strings.HasPrefix(greeting, "421"):
		return nil
	case !strings.HasPrefix(greeting, "220"):
		return fmt.Errorf("it greets with %.40q", greeting)
	}
	if _, err := io.WriteString(c, "QUIT\r\n"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

const (
	lately     = 5 * time.Second // no doubt about workers that gave a verdict since
	answerTime = 5 * time.Second // for a message of a few bytes, the wait for a worker included
)

// answering has workers scan something when they have not done so lately.
func (s *server) answering(ctx context.Context) error {
	n := s.scanner.Stats()
	switch {
	case n.Workers == 0:
		return errors.New("none runs")
	case time.Since(n.Answered) < lately:
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	return selfTest(ctx, s.scanner)
}

func (s *server) ruled(context.Context) error {
	if s.Rules().Rules == 0 {
		return errors.New("none are in service")
	}
	return nil
}
