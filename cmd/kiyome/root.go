package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
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
out, the rest is delivered as it came, and a report says what was removed. What
they send is checked in the same way, as the MTA's content filter.`,
		Example: `  kiyome demo                                 see it work, with nothing configured
  kiyome scan suspicious.eml                  is there malware in this file?
  kiyome account add taro@example.jp          a mailbox
  kiyome account subscribe taro@example.jp    its mail is checked from now on
  kiyome serve                                deliver`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(a.out)
	root.PersistentFlags().StringVar(&a.file, "config", "", "configuration `FILE` (default $KIYOME_CONFIG, then "+config.DefaultFile+", then built-in defaults)")
	root.AddGroup(
		&cobra.Group{ID: "mail", Title: "Mail:"},
		&cobra.Group{ID: "manage", Title: "Management:"},
	)
	for _, c := range []*cobra.Command{a.serveCommand(), a.scanCommand(), a.demoCommand()} {
		c.GroupID = "mail"
		root.AddCommand(c)
	}
	for _, c := range []*cobra.Command{a.accountCommand(), a.billingCommand(), a.rulesCommand(), a.statusCommand(), a.backupCommand(), a.configCommand()} {
		c.GroupID = "manage"
		root.AddCommand(c)
	}
	root.AddCommand(a.versionCommand())
	root.SetHelpCommand(helpCommand())
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			asGroup(c)
		}
	}
	return root
}

// helpCommand shows the help of another command, of which there must be one.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]...",
		Short: "Help about any command",
		ValidArgsFunction: func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			var found []string
			if about, rest, err := c.Root().Find(args); err == nil && len(rest) == 0 {
				for _, sub := range about.Commands() {
					if sub.IsAvailableCommand() && strings.HasPrefix(sub.Name(), begun) {
						found = append(found, sub.Name())
					}
				}
			}
			return found, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			about, rest, err := c.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return fmt.Errorf("unknown command %q; see %s --help", rest[0], about.CommandPath())
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
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
	c := &cobra.Command{Use: use, Short: short}
	asGroup(c)
	c.AddCommand(subcommands...)
	return c
}

// asGroup lets a command do nothing but hold others.
func asGroup(c *cobra.Command) {
	c.Args = func(c *cobra.Command, given []string) error {
		if len(given) > 0 {
			return fmt.Errorf("unknown command %q; see %s --help", given[0], c.CommandPath())
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := c.Help(); err != nil {
			return err
		}
		return exit{status: 2}
	}
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
	db, err := openAccounts(ctx, c, create)
	if err != nil && ctx.Err() != nil {
		return nil, errInterrupted
	}
	return db, err
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
		return db, err
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
	return accounts.Options{Delimiter: c.Mailboxes.Delimiter, Path: c.Mailboxes.Path, Tariff: tariff(c)}
}
