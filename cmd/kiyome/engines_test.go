package main

import (
	"context"
	"errors"
	"sync"
	"testing"

	"kiyome/rules"
	"kiyome/scan"
	"kiyome/scan/worker"
	"kiyome/testdata"
)

// compiled builds rules for a test: the built-in ones, and marker's when asked for.
func (s *site) compiled() (rules.Compiled, rules.Config) {
	s.t.Helper()
	c := rules.Config{Dirs: []string{s.path("rules")}, Builtin: true}
	set, _, err := rules.Build(s.t.Context(), c, s.t.TempDir())
	if err != nil {
		s.t.Fatal(err)
	}
	return set, c
}

func TestEnginesSwapRulesUnderLoad(t *testing.T) {
	s := newSite(t, "")
	before, c := s.compiled()
	s.write("rules/marker.yar", goodRule)
	after, _ := s.compiled()
	e, err := newEngines(t.Context(), before, c, worker.Options{Workers: 2, Scratch: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	m, err := scan.NewMessage([]byte("Subject: x\r\n\r\na marker for the test\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				v, err := e.Scan(context.Background(), m)
				if err != nil {
					t.Error(err)
					return
				}
				if found := len(v.Findings) > 0; found != (v.Rules == after.Version) {
					t.Errorf("rules %s: found is %v", v.Rules, found)
				}
			}
		})
	}
	for i := range 6 {
		set := after
		if i%2 == 1 {
			set = before
		}
		if err := e.Swap(t.Context(), set, c); err != nil {
			t.Error(err)
		}
		if got := e.Stats().Rules; got != set.Version {
			t.Errorf("after the swap: rules %s, want %s", got, set.Version)
		}
	}
	close(stop)
	clients.Wait()
	if s := e.Stats(); s.Scans == 0 || s.Busy != 0 || s.Workers != 2 {
		t.Errorf("stats: %+v", s)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := e.Scan(t.Context(), m); !errors.Is(err, errClosed) {
		t.Errorf("a scan after the end: %v", err)
	}
}

func TestEnginesThatAreBusySaySo(t *testing.T) {
	s := newSite(t, "")
	set, c := s.compiled()
	e, err := newEngines(t.Context(), set, c, worker.Options{Workers: 1, Scratch: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(context.Background())
	engine := <-e.current.free // the only one is away
	defer func() { e.current.free <- engine }()
	m, err := scan.NewMessage(testdata.MustMail("clean"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Scan(ctx, m); !errors.Is(err, worker.ErrBusy) {
		t.Errorf("Scan = %v", err)
	}
}

func TestEnginesRefuseDamagedRules(t *testing.T) {
	s := newSite(t, "")
	set, c := s.compiled()
	e, err := newEngines(t.Context(), set, c, worker.Options{Workers: 1, Scratch: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(context.Background())
	bad := set
	bad.Digest = "00"
	if err := e.Swap(t.Context(), bad, c); err == nil || e.Stats().Rules != set.Version {
		t.Errorf("Swap = %v, rules %s", err, e.Stats().Rules)
	}
}
