// Command kiyome delivers mail by LMTP into Maildirs and removes malware on the
// way, for the mailboxes that have the virus check service.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // time zones, whatever the machine has

	"kiyome/accounts"
	"kiyome/cmd/kiyome/control"
	"kiyome/rules"
	"kiyome/scan/worker"
)

func main() {
	worker.Main()
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(garbage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	// A reader that goes away ("| head") is an error like others: what was made is removed.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	err := run(ctx, os.Stdout, os.Args[1:])
	if err != nil && err.Error() != "" && !errors.Is(err, syscall.EPIPE) {
		fmt.Fprintf(os.Stderr, "kiyome: %v\n", err)
	}
	os.Exit(exitStatus(err))
}

// garbage is how much of it, in per cent of what is in use, is let lie before it is
// collected. What a server or a bill has in use is some megabytes, whatever passes
// through; a large import has more, and takes half as much again by it.
const garbage = 400

// run carries out one command. What the command prints goes to out; progress and
// the log go to standard error.
func run(ctx context.Context, out io.Writer, args []string) error {
	a := &app{out: out}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetErr(os.Stderr)
	c, err := root.ExecuteContextC(ctx)
	if c.HasParent() && c.Parent().Name() == "rules" {
		cfg, configErr := a.config()
		if configErr != nil {
			return err // which says so, if it matters
		}
		if ownerErr := giveRulesToOwner(cfg); ownerErr != nil {
			return errors.Join(err, ownerErr)
		}
	}
	return err
}

// exit ends the command with a status of its own. Without an error nothing is printed:
// the command has said already what there is to say.
type exit struct {
	status int
	err    error
}

func (e exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exit) Unwrap() error { return e.err }

// negatives are errors that answer the question of the command with no.
var negatives = []error{
	accounts.ErrUnknown, accounts.ErrExists, accounts.ErrTransition, accounts.ErrIneligible, accounts.ErrIssued,
	control.ErrNoServer, control.ErrRefused,
	rules.ErrNone, rules.ErrNoEICAR, rules.ErrWouldLose,
}

// exitStatus is 0 for done, 1 for a negative answer, 2 for an error or wrong usage.
func exitStatus(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[exit](err); ok {
		return e.status
	}
	for _, n := range negatives {
		if errors.Is(err, n) {
			return 1
		}
	}
	return 2
}
