package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/config"
	"kiyome/cmd/kiyome/control"
)

// app is what the commands share.
type app struct {
	out  io.Writer
	file string // --config
}

// newRoot makes the command with all its subcommands.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "kiyome",
		Short: "Mail delivery with a virus check for each mailbox",
		Long: `kiyome takes mail from the MTA by LMTP and delivers it into Maildirs. The mail of
mailboxes that have the virus check service is scanned: what is infected is cut
out, the rest is delivered as it came, and a report says what was removed.`,
		Example: `  kiyome demo                                 see it work, with nothing configured
  kiyome scan suspicious.eml                  is there malware in this file?
  kiyome account add taro@example.jp          a mailbox
  kiyome account subscribe taro@example.jp    its mail is checked from now on
  kiyome serve                                deliver`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().StringVar(&a.file, "config", "", "configuration `FILE` (default $KIYOME_CONFIG, then "+config.DefaultFile+", then built-in defaults)")
	root.AddGroup(
		&cobra.Group{ID: "mail", Title: "Mail:"},
		&cobra.Group{ID: "manage", Title: "Management:"},
	)
	for _, c := range []*cobra.Command{a.serveCommand(), a.scanCommand(), a.demoCommand()} {
		c.GroupID = "mail"
		root.AddCommand(c)
	}
	for _, c := range []*cobra.Command{a.accountCommand(), a.rulesCommand(), a.statusCommand(), a.backupCommand(), a.configCommand()} {
		c.GroupID = "manage"
		root.AddCommand(c)
	}
	root.AddCommand(a.versionCommand())
	return root
}

// args asks for a number of arguments, and shows how the command is used when there are others.
func args(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if len(given) < least || most >= 0 && len(given) > most {
			return fmt.Errorf("usage: %s", c.UseLine())
		}
		return nil
	}
}

// group makes a command that only holds others.
func group(use, short string, subcommands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use:   use,
		Short: short,
		Args: func(c *cobra.Command, given []string) error {
			if len(given) > 0 {
				return fmt.Errorf("unknown command %q; see %s --help", given[0], c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			if err := c.Help(); err != nil {
				return err
			}
			return exit{status: 2}
		},
	}
	c.AddCommand(subcommands...)
	return c
}

// config reads the configuration.
func (a *app) config() (*config.Config, error) { return config.Load(a.file) }

// printJSON writes v for programs to read.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// lockWait is how long a command waits for the account database: a server that
// is starting holds the lock before it listens.
const lockWait = 5 * time.Second

// accounts opens the account database: through the server, or the file itself
// when no server runs. A database that is missing is made when create is set.
func (a *app) accounts(ctx context.Context, create bool) (control.Accounts, error) {
	c, err := a.config()
	if err != nil {
		return nil, err
	}
	return openAccounts(ctx, c, create)
}

func openAccounts(ctx context.Context, c *config.Config, create bool) (control.Accounts, error) {
	for deadline := time.Now().Add(lockWait); ; {
		client, err := control.Dial(ctx, c.State(socketName))
		if err == nil {
			return client, nil
		}
		if !errors.Is(err, control.ErrNoServer) {
			return nil, err
		}
		db, err := openFile(c, create)
		if err == nil {
			return db, nil
		}
		if !errors.Is(err, accounts.ErrLocked) {
			return nil, err
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return nil, fmt.Errorf("%w, but no server answers at %s: is another command at work?", err, c.State(socketName))
		}
	}
}

// Names of what lies in the state folder.
const (
	databaseName = "accounts.db"
	socketName   = "control.sock"
	rulesName    = "rules"
	spoolName    = "spool"
	repliesName  = "delivered"
	poisonName   = "poison"
)

// openFile opens the account database itself.
func openFile(c *config.Config, create bool) (*accounts.DB, error) {
	file, o := c.State(databaseName), accountOptions(c)
	o.Timeout = 500 * time.Millisecond
	db, err := accounts.Open(file, o)
	if !create || !errors.Is(err, accounts.ErrMissing) {
		return db, explainDatabase(err)
	}
	// Only the folder itself is made: a path of which more is missing is a mistake.
	if err := os.Mkdir(c.StateDir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	db, err = accounts.Create(file, o)
	if errors.Is(err, os.ErrExist) {
		db, err = accounts.Open(file, o) // another command was faster
	}
	return db, err
}

func accountOptions(c *config.Config) accounts.Options {
	return accounts.Options{Delimiter: c.Mailboxes.Delimiter, Path: c.Mailboxes.Path}
}

// explainDatabase adds what to do about a database that does not open.
func explainDatabase(err error) error {
	switch {
	case errors.Is(err, accounts.ErrMissing):
		return fmt.Errorf("%w; if this is a new server, `kiyome account add` makes it; else look whether the state folder is mounted", err)
	case errors.Is(err, accounts.ErrDamaged), errors.Is(err, accounts.ErrForeign):
		return fmt.Errorf("%w; put a backup in its place", err)
	case errors.Is(err, accounts.ErrNewer):
		return fmt.Errorf("%w; use the version of kiyome that wrote it", err)
	}
	return err
}
