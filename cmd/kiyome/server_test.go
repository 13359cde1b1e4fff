package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"kiyome/rules"
	"kiyome/scan"
	"kiyome/scan/worker"
)

// fakeScanner finds nothing and takes no rules.
type fakeScanner struct{ err error }

func (f fakeScanner) Scan(context.Context, *scan.Message) (*scan.Verdict, error) {
	return &scan.Verdict{Outcome: scan.Clean}, f.err
}
func (f fakeScanner) ScanFile(context.Context, string, *scan.Message) (*scan.Verdict, error) {
	return &scan.Verdict{Outcome: scan.Clean}, f.err
}
func (f fakeScanner) Swap(context.Context, rules.Compiled, rules.Config) error { return f.err }
func (f fakeScanner) SetPasswords([]string)                                    {}
func (f fakeScanner) Stats() worker.Stats                                      { return worker.Stats{} }
func (f fakeScanner) Close(context.Context) error                              { return nil }

func TestAScannerThatFindsNothingDoesNotServe(t *testing.T) {
	if err := selfTest(t.Context(), fakeScanner{}); err == nil {
		t.Error("EICAR was not found, and nobody minded")
	}
	dead := errors.New("dead")
	if err := selfTest(t.Context(), fakeScanner{dead}); !errors.Is(err, dead) {
		t.Errorf("a scan that fails: %v", err)
	}
}

// listening notes the passwords that it is given.
type listening struct {
	fakeScanner
	given *[][]string
}

func (l listening) SetPasswords(list []string) { *l.given = append(*l.given, list) }

func TestPasswordsAreReadWithTheRules(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	cfg, err := (&app{file: s.file}).config()
	if err != nil {
		t.Fatal(err)
	}
	s.write("passwords", "# of our customers\n\nfirst one\r\n second\n")
	s.configure(fmt.Sprintf("scan.passwords = %q", s.path("passwords")))
	var given [][]string
	log := slog.New(slog.DiscardHandler)
	db, err := openFile(cfg, false)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	sv := &server{config: cfg, log: log, db: db, scanner: listening{given: &given}, passwords: []string{"old"}}
	done, err := sv.Reload(t.Context())
	if err != nil || len(done.Restart) > 0 {
		t.Errorf("Reload: %v, restart for %q", err, done.Restart)
	}
	sv.scanner = listening{fakeScanner{errors.New("no worker came up")}, &given}
	s.write("passwords", "third")
	if _, err := sv.Reload(t.Context()); err == nil {
		t.Error("the workers did not take it, and nobody knows")
	}
	s.write("passwords", strings.Repeat("secret", 30))
	if _, err := sv.Reload(t.Context()); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a password that is too long: %v", err)
	}
	if got, want := fmt.Sprintf("%q", given), `[["first one" " second"] ["third"] ["first one" " second"]]`; got != want {
		t.Errorf("given %s, want %s", got, want)
	}
}

func TestRulesThatTheWorkersDoNotTakeAreTakenBack(t *testing.T) {
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	s.do("rules", "build")
	cfg, err := (&app{file: s.file}).config()
	if err != nil {
		t.Fatal(err)
	}
	first, err := rules.Current(cfg.State(rulesName))
	if err != nil {
		t.Fatal(err)
	}
	s.write("rules/marker.yar", goodRule)
	broken := errors.New("no worker came up")
	sv := &server{config: cfg, log: slog.New(slog.DiscardHandler), scanner: fakeScanner{broken}, rules: first}
	if _, err := sv.Reload(t.Context()); !errors.Is(err, broken) {
		t.Errorf("Reload: %v", err)
	}
	now, err := rules.Current(cfg.State(rulesName))
	if err != nil || now.Digest != first.Digest || sv.Rules().Digest != first.Digest {
		t.Errorf("a restart would come up with %s, not %s, %v", now.Version, first.Version, err)
	}
}

func TestRulesAreCompiledAtALowPriority(t *testing.T) {
	nice := func(run func(*exec.Cmd) error) string {
		t.Helper()
		var out bytes.Buffer
		child := exec.Command("cut", "-d", " ", "-f", "19", "/proc/self/stat") // proc(5)
		child.Stdout = &out
		if err := run(child); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out.String())
	}
	before := nice((*exec.Cmd).Run)
	if own, err := strconv.Atoi(before); err != nil || own >= quiet {
		t.Skipf("the test itself has priority %s", before)
	}
	if got := nice(runQuietly); got != strconv.Itoa(quiet) {
		t.Errorf("the child's priority is %s, want %d", got, quiet)
	}
	if got := nice((*exec.Cmd).Run); got != before {
		t.Errorf("that of others is %s now, and was %s", got, before)
	}
}
