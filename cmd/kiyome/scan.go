package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kiyome/cmd/kiyome/config"
	"kiyome/rules"
	"kiyome/scan"
	"kiyome/scan/worker"
)

func (a *app) scanCommand() *cobra.Command {
	var o scanFlags
	c := &cobra.Command{
		Use:   "scan FILE...|-",
		Short: "Look for malware in messages and other files",
		Long: `Look for malware in messages and other files. A server is not needed, nor a
configuration. Each finding is a line, "FILE: NAME in PATH".

Exit status: 0 clean, 1 infected, 2 error, 3 nothing found but something could not
be checked. With several files 2 wins over 1, 1 over 3, 3 over 0.`,
		Example: `  kiyome scan message.eml attachment.zip
  kiyome scan --rules my.yar --json - < message.eml
  kiyome scan --tree message.eml`,
		Args: args(1, -1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.scan(c.Context(), o, args)
		},
	}
	c.Flags().StringArrayVar(&o.rules, "rules", nil, "rules in this `FILE|DIR` instead of the configured ones; may be repeated")
	c.Flags().BoolVar(&o.json, "json", false, "print a JSON object for each file")
	c.Flags().BoolVar(&o.tree, "tree", false, "show all of each message: parts, what was read out of them and how, what was found where; with --json as \"tree\"")
	c.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "say how it is scanned")
	return c
}

type scanFlags struct {
	rules               []string
	json, tree, verbose bool
}

// A scanned file and what came of it.
type scanned struct {
	message *scan.Message // nil when it could not be read
	verdict *scan.Verdict
	err     error
}

// errInterrupted is the end of a command by a signal.
var errInterrupted = errors.New("interrupted")

func (a *app) scan(ctx context.Context, o scanFlags, files []string) error {
	s, done, err := a.scanTool(ctx, o, len(files))
	if ctx.Err() != nil && err != nil {
		return errInterrupted // whatever it broke on the way
	}
	if err != nil {
		return err
	}
	defer done()
	bar := newProgress(files)
	defer bar.Close()

	// As many at once as there are workers; printed in the order of the command line.
	slots := make(chan struct{}, runtime.NumCPU())
	results := make([]chan scanned, len(files))
	for i := range results {
		results[i] = make(chan scanned, 1)
	}
	go func() {
		for i, name := range files {
			slots <- struct{}{}
			go func() { results[i] <- scanFile(ctx, s, name, bar) }()
		}
	}()
	var t tally
	for i, name := range files {
		var r scanned
		select {
		case r = <-results[i]:
		case <-ctx.Done(): // also while a file, or standard input, keeps us waiting
			return errInterrupted
		}
		<-slots
		bar.Clear()
		t.count(r)
		if err := a.printScanned(o, name, r); err != nil {
			return err
		}
		if r.message != nil {
			r.message.Close()
		}
	}
	return t.exit()
}

// scanTool makes a scanner for the command, and a function that undoes it.
func (a *app) scanTool(ctx context.Context, o scanFlags, files int) (s scanner, done func(), err error) {
	cfg, err := a.config()
	if err != nil {
		return nil, nil, err
	}
	// Here the question is what is in a file, not what would be cut from a mail.
	cfg.Scan.Encrypted, cfg.Scan.Unchecked = "deliver", "deliver"
	dir, err := os.MkdirTemp("", "kiyome-scan-")
	if err != nil {
		return nil, nil, err
	}
	remove := func() { os.RemoveAll(dir) }
	set, c, err := scanRules(ctx, cfg, o.rules, dir)
	if err != nil {
		remove()
		return nil, nil, err
	}
	po := poolOptions(cfg, dir)
	po.Engine.Passwords, err = readPasswords(cfg.Scan.Passwords)
	if errors.Is(err, fs.ErrPermission) {
		err = nil // they are the operator's: others do without
	}
	if err != nil {
		remove()
		return nil, nil, err
	}
	po.Workers = min(runtime.NumCPU(), files)
	po.Log = slog.New(slog.DiscardHandler)
	s, err = a.anyScanner(ctx, set, c, po, cfg.Scan.Sandbox == "off", o.verbose)
	if err != nil {
		remove()
		return nil, nil, err
	}
	return s, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		s.Close(ctx) // kills what an interrupted command left running
		remove()
	}, nil
}

// closeTime is what a scan that nobody waits for any more may take to end.
const closeTime = time.Second

// anyScanner prefers a pool, and takes engines where a sandbox is not to be had.
func (a *app) anyScanner(ctx context.Context, set rules.Compiled, c rules.Config, o worker.Options, open, verbose bool) (scanner, error) {
	if !open {
		pool, err := worker.NewPool(ctx, set, c, o)
		if !errors.Is(err, worker.ErrSandbox) {
			return pool, err
		}
		if verbose {
			fmt.Fprintf(os.Stderr, "kiyome: scanning in this process: %v\n", err)
		}
	}
	return newEngines(ctx, set, c, o)
}

// scanRules gives the rules to scan with: those named; else those that the server uses; else
// those that the configuration names. dir is for what has to be compiled.
func scanRules(ctx context.Context, cfg *config.Config, named []string, dir string) (rules.Compiled, rules.Config, error) {
	c := rulesConfig(cfg)
	if len(named) == 0 {
		if set, err := rules.Current(cfg.State(rulesName)); err == nil {
			return set, c, nil
		}
	} else {
		// A set has to match EICAR to be built; the built-in rules see to that, and are silenced below.
		c = rules.Config{Dirs: named, Builtin: true}
	}
	set, problems, err := rules.Build(ctx, c, dir)
	problems = slices.DeleteFunc(problems, func(p rules.Problem) bool { return p.Warning })
	if len(named) == 0 || err != nil {
		return set, c, errors.Join(err, problemsError(problems))
	}
	if err := hasOwn(set); err != nil {
		return set, c, errors.Join(problemsError(problems), fmt.Errorf("--rules %s: %w", strings.Join(named, " "), err))
	}
	return set, c, errors.Join(problemsError(problems), rules.Silence(dir, "kiyome/*"))
}

// hasOwn refuses a set that has no rules but the built-in ones.
func hasOwn(c rules.Compiled) error {
	set, err := rules.Load(c)
	if err != nil {
		return err
	}
	defer set.Close()
	if !slices.ContainsFunc(set.Infos(), func(r rules.Info) bool { return r.Set != "kiyome" }) {
		return errors.New("there are no rules")
	}
	return nil
}

// scanFile reads one file and scans it.
func scanFile(ctx context.Context, s scanner, name string, bar *progress) scanned {
	m, err := spool(ctx, name, bar)
	if err != nil {
		return scanned{err: err}
	}
	v, err := s.ScanFile(ctx, filepath.Base(name), m)
	bar.Done()
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return scanned{message: m, verdict: v, err: err}
}

// spool takes a file in the way a message comes.
func spool(ctx context.Context, name string, bar *progress) (*scan.Message, error) {
	in, err := openInput(ctx, name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	sp := scan.NewSpool(os.TempDir())
	var count scan.LineCounter
	if _, err := io.Copy(io.MultiWriter(sp, &count), bar.Reader(in)); err != nil {
		sp.Close()
		return nil, err
	}
	return sp.Message(count.BareLF)
}

// tally finds the exit status of several files.
type tally struct {
	errs                []error
	infected, unchecked bool
}

func (t *tally) count(r scanned) {
	switch {
	case r.err != nil:
		t.errs = append(t.errs, r.err)
	case len(r.verdict.Findings) > 0:
		t.infected = true
	case len(r.verdict.Unchecked) > 0:
		t.unchecked = true
	}
}

func (t *tally) exit() error {
	switch {
	case len(t.errs) > 0:
		return exit{2, errors.Join(t.errs...)}
	case t.infected:
		return exit{status: 1}
	case t.unchecked:
		return exit{status: 3}
	}
	return nil
}

// scanLine is what --json prints of a file.
type scanLine struct {
	File   string `json:"file"`
	Status string `json:"status"` // "clean", "infected", "unchecked" or "error"
	Error  string `json:"error,omitempty"`
	*scan.Verdict
}

func (a *app) printScanned(o scanFlags, name string, r scanned) error {
	if r.verdict != nil && !o.tree {
		r.verdict.Tree = nil
	}
	switch {
	case o.json:
		line := scanLine{File: name, Status: "clean", Verdict: r.verdict}
		switch {
		case r.err != nil:
			line.Status, line.Error = "error", r.err.Error()
		case len(r.verdict.Findings) > 0:
			line.Status = "infected"
		case len(r.verdict.Unchecked) > 0:
			line.Status = "unchecked"
		}
		return json.NewEncoder(a.out).Encode(line)
	case r.err != nil:
		return nil // told at the end
	case o.tree:
		return a.printTree(name, r.verdict)
	}
	var lines []string
	for _, f := range r.verdict.Findings {
		lines = append(lines, findingText(f))
	}
	for _, u := range r.verdict.Unchecked {
		lines = append(lines, "not checked: "+uncheckedText(u))
	}
	if lines == nil {
		lines = []string{"clean"}
	}
	// Different readings of a message often find the same.
	slices.Sort(lines)
	for _, line := range slices.Compact(lines) {
		if _, err := fmt.Fprintf(a.out, "%s: %s\n", printable(name), line); err != nil {
			return err
		}
	}
	return nil
}

// findingText is "NAME in PATH".
func findingText(f scan.Finding) string {
	return printable(f.Malware) + " in " + place(f.Path, f.Name, f.Body, f.Part)
}

// uncheckedText is "REASON (detail) in PATH".
func uncheckedText(u scan.Unchecked) string {
	text := u.Reason
	if u.Detail != "" && u.Detail != u.Reason {
		text += " (" + u.Detail + ")"
	}
	if len(u.Path) > 0 || u.Name != "" || u.Part != "" {
		text += " in " + place(u.Path, u.Name, false, u.Part)
	}
	return printable(text)
}

// place says where in a message something is.
func place(path []string, name string, body bool, part string) string {
	switch {
	case len(path) > 0:
		return printable(strings.Join(path, "/"))
	case name != "":
		return printable(name)
	case body:
		return "the mail body"
	case part != "":
		return "part " + part
	}
	return "the file itself"
}
