package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/config"
	"kiyome/cmd/kiyome/control"
	"kiyome/rules"
)

// buildTime bounds the compiling of rules.
const buildTime = 10 * time.Minute

// buildRules compiles the rules in a child process: what the operator's rules
// do to libyara's compiler must not end the server.
// Where mail is served meanwhile, run is runQuietly.
func buildRules(ctx context.Context, c *config.Config, run func(*exec.Cmd) error) (rules.Compiled, []rules.Problem, error) {
	ctx, cancel := context.WithTimeout(ctx, buildTime)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return rules.Compiled{}, nil, err
	}
	var in, out, errs bytes.Buffer
	if err := c.Print(&in); err != nil {
		return rules.Compiled{}, nil, err
	}
	// The configuration goes along as it is in force, whatever the file says by now.
	child := exec.CommandContext(ctx, self, "rules", "build", "--json", "--config", "/dev/stdin")
	child.Stdin, child.Stdout, child.Stderr = &in, &out, &errs
	var b built
	if err := run(child); err != nil {
		_ = json.Unmarshal(out.Bytes(), &b) // most failures print nothing there
		if said := strings.TrimPrefix(strings.TrimSpace(errs.String()), "kiyome: "); said != "" {
			err = errors.New(said)
		}
		if b.Lost {
			return rules.Compiled{}, b.Problems, lossError{err}
		}
		return rules.Compiled{}, nil, fmt.Errorf("rules: %w", err)
	}
	if err := json.Unmarshal(out.Bytes(), &b); err != nil {
		return rules.Compiled{}, nil, fmt.Errorf("rules: %w", err)
	}
	set, err := rules.Current(c.State(rulesName))
	return set, b.Problems, err
}

// quiet is the priority at which rules are compiled: below that of mail.
const quiet = 10

// runQuietly runs a child at a low priority.
func runQuietly(child *exec.Cmd) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()                                                                // never unlocked: the thread ends, and its priority with it
		if now, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil && 20-now < quiet { // getpriority(2): the kernel counts from 40 down
			_ = unix.Setpriority(unix.PRIO_PROCESS, 0, quiet) // else it is as loud as the rest
		}
		started <- child.Start()
	}()
	if err := <-started; err != nil {
		return err
	}
	return child.Wait()
}

// lossError is rules.ErrWouldLose in the words of the child that found it.
type lossError struct{ error }

// Is makes errors.Is find rules.ErrWouldLose.
func (lossError) Is(target error) bool { return target == rules.ErrWouldLose }

func (s *server) logProblems(problems []rules.Problem) {
	for _, p := range problems {
		s.log.Warn("rules", "problem", problemText(p))
	}
}

// Reload reads the configuration again, builds its rules and puts them in
// service, with the passwords that it names: all of that, or nothing.
func (s *server) Reload(ctx context.Context) (control.Reloaded, error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	fresh, err := config.Load(s.config.File)
	if err != nil {
		return s.refuse(err)
	}
	passwords, err := readPasswords(fresh.Scan.Passwords)
	if err != nil {
		return s.refuse(err)
	}
	// Only the rules, the passwords and what the services cost change while the server runs.
	next := *s.config
	next.Rules = fresh.Rules
	set, problems, err := buildRules(ctx, &next, runQuietly)
	s.logProblems(problems)
	if err != nil {
		return s.refuse(err)
	}
	s.scanner.SetPasswords(passwords)
	if err := s.swap(ctx, set, &next); err != nil {
		s.scanner.SetPasswords(s.passwords)
		return s.refuse(err)
	}
	restart := slices.DeleteFunc(config.Changed(s.config, fresh), func(key string) bool {
		return strings.HasPrefix(key, "rules.") || strings.HasPrefix(key, "billing.") || key == "scan.passwords"
	})
	if len(restart) > 0 {
		s.log.Warn("settings that need a restart have changed", "settings", restart)
	}
	s.config.Rules, s.config.Scan.Passwords, s.passwords = fresh.Rules, fresh.Scan.Passwords, passwords
	s.config.Billing = fresh.Billing
	s.db.SetTariff(tariff(s.config))
	return control.Reloaded{Rules: set, Problems: problems, Restart: restart}, nil
}

// refuse tells that the rules in service stay.
func (s *server) refuse(err error) (control.Reloaded, error) {
	s.reloaded(err)
	s.log.Error("rules not taken into service", "err", err, "serving", s.Rules().Version)
	return control.Reloaded{}, fmt.Errorf("%w: %w", control.ErrRefused, err)
}

// swap puts set in service and logs it. When the workers do not take it, the
// state folder goes back to what serves, so that a restart comes up with it.
func (s *server) swap(ctx context.Context, set rules.Compiled, c *config.Config) error {
	old := s.Rules()
	if err := s.scanner.Swap(ctx, set, rulesConfig(c)); err != nil {
		if set.Digest != old.Digest {
			_, back := rules.Rollback(c.State(rulesName))
			err = errors.Join(err, back)
		}
		return err
	}
	s.mu.Lock()
	s.rules = set
	s.mu.Unlock()
	s.reloaded(nil)
	s.log.Info("rules in service", "version", set.Version, "rules", set.Rules, "before", old.Version)
	return nil
}

// Rules describes the rules in service.
func (s *server) Rules() rules.Compiled {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rules
}

// Rollback puts the rules in service that served before.
func (s *server) Rollback(ctx context.Context) (control.Reloaded, error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	set, err := rules.Rollback(s.config.State(rulesName))
	if err != nil {
		return s.refuse(err)
	}
	if err := s.swap(ctx, set, s.config); err != nil {
		return s.refuse(err)
	}
	return control.Reloaded{Rules: set}, nil
}

// Silence takes a rule or an object out of service, or with off puts it back:
// workers that know of it take over at once.
func (s *server) Silence(ctx context.Context, name string, off bool) (control.Reloaded, error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if err := silence(s.config.State(rulesName), name, off); err != nil {
		return control.Reloaded{}, err
	}
	s.log.Info("rule", "name", name, "disabled", !off)
	if err := s.swap(ctx, s.Rules(), s.config); err != nil {
		return s.refuse(err)
	}
	return control.Reloaded{Rules: s.Rules()}, nil
}

// Status tells how the server is.
func (s *server) Status(context.Context) (control.Status, error) {
	counts, err := s.countAccounts()
	return control.Status{
		Version:  versionText(),
		PID:      os.Getpid(),
		Started:  s.started,
		Uptime:   int64(time.Since(s.started).Seconds()),
		Config:   s.config.File,
		Listen:   addressTexts(s.sockets.inbound),
		Filter:   addressTexts(s.sockets.outbound),
		Page:     addressTexts(s.sockets.page),
		NextHop:  s.config.Outbound.NextHop,
		Monitor:  addressTexts(s.sockets.monitor),
		Sandbox:  s.config.Scan.Sandbox != "off",
		Rules:    s.Rules(),
		Scan:     s.scanner.Stats(),
		LMTP:     s.inbound.Stats(),
		Outbound: s.outbound.Stats(),
		Accounts: counts,
		Lost:     s.removals.Lost(),
	}, err
}

// countTime bounds the counting of accounts: it holds a transaction of the database open.
const countTime = time.Second

func (s *server) countAccounts() (control.Counts, error) {
	n := control.Counts{Complete: true}
	end := time.Now().Add(countTime)
	err := s.db.List(func(a accounts.Account) bool {
		if a.Closed.IsZero() {
			n.Accounts++
			n.Inbound += count(a.Inbound.Subscribed)
			n.Paused += count(a.Inbound.Subscribed && a.Inbound.Paused)
			n.Outbound += count(a.Outbound.Subscribed)
		}
		n.Complete = n.Accounts%1024 != 0 || time.Now().Before(end)
		return n.Complete
	})
	return n, err
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
