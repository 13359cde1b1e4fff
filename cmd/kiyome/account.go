package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/control"
)

func (a *app) accountCommand() *cobra.Command {
	c := group("account", "Mailboxes and their services",
		a.accountAdd(),
		a.accountChange("subscribe", accounts.Subscribed, "Subscribe to a service"),
		a.accountChange("cancel", accounts.Cancelled, "Cancel a service"),
		a.accountChange("pause", accounts.Paused, "Pause a service; it is still charged"),
		a.accountChange("resume", accounts.Resumed, "End a pause"),
		a.accountShow(), a.accountSet(), a.accountList(), a.accountRemove(),
		a.accountHistory(), a.accountCheck(), a.accountImport(), a.accountExport(),
	)
	c.Example = `  kiyome account add taro@example.jp --owner 0012345 --language ja
  kiyome account subscribe taro@example.jp
  kiyome account pause taro@example.jp
  kiyome account list --json`
	return c
}

// withAccounts opens the account database for f.
func (a *app) withAccounts(ctx context.Context, create bool, f func(control.Accounts) error) (err error) {
	db, err := a.accounts(ctx, create)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return f(db)
}

// settingFlags are the settings of an account on a command line.
type settingFlags struct {
	owner, language, maildir string
	forward                  []string
	noCopy                   bool
}

func (f *settingFlags) define(c *cobra.Command) {
	c.Flags().StringVar(&f.owner, "owner", "", "`ID` of the member that the mailbox belongs to")
	c.Flags().StringVar(&f.language, "language", "", "of the reports: `ja|en`")
	c.Flags().StringVar(&f.maildir, "maildir", "", "`DIR` of the mailbox (default: mailboxes.path of the configuration)")
	c.Flags().StringArrayVar(&f.forward, "forward", nil, "forward to this `ADDRESS`; may be repeated (not in service yet)")
	c.Flags().BoolVar(&f.noCopy, "no-copy", false, "keep no copy of what is forwarded (not in service yet)")
	c.RegisterFlagCompletionFunc("language", cobra.FixedCompletions([]string{"ja", "en"}, cobra.ShellCompDirectiveNoFileComp))
}

func (a *app) accountAdd() *cobra.Command {
	var f settingFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "add ADDRESS",
		Short: "Add a mailbox, without any service",
		Long: `Add a mailbox, without any service: its mail is delivered untouched until a
service is subscribed to. Adding an address that was removed opens it again.
The first account makes the account database.`,
		Example: `  kiyome account add taro@example.jp
  kiyome account add hanako@example.jp --owner 0012345 --language en`,
		Args: args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			n := accounts.NewAccount{Address: args[0], Owner: f.owner, Language: f.language, Maildir: f.maildir,
				Forward: f.forward, NoCopy: f.noCopy, By: control.UserName()}
			if n.Language == "" {
				n.Language = cfg.Report.Language
			}
			return a.withAccounts(c.Context(), true, func(db control.Accounts) error {
				acc, err := db.Add(n)
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(acc)
				}
				_, err = fmt.Fprintf(a.out, "added %s, delivered into %s\n", acc.Address, acc.Maildir)
				return err
			})
		},
	}
	f.define(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the account as JSON")
	return c
}

func (a *app) accountChange(verb string, kind accounts.Kind, short string) *cobra.Command {
	var at string
	var asJSON bool
	c := &cobra.Command{
		Use:   verb + " ADDRESS [inbound|outbound]",
		Short: short,
		Long:  short + ". Without the name of a service, inbound is meant. It holds from the next message on.",
		Example: fmt.Sprintf(`  kiyome account %[1]s taro@example.jp
  kiyome account %[1]s taro@example.jp --at 2026-04-01`, verb),
		Args:              args(1, 2),
		ValidArgsFunction: a.completeAddress,
		RunE: func(c *cobra.Command, args []string) error {
			service := accounts.Inbound
			if len(args) > 1 {
				service = accounts.Service(args[1])
			}
			if service != accounts.Inbound && service != accounts.Outbound {
				return fmt.Errorf("%q is neither inbound nor outbound", args[1])
			}
			return a.change(c.Context(), args[0], kind, service, at, asJSON)
		},
	}
	c.Flags().StringVar(&at, "at", "", "`TIME` from which it counts: 2026-04-01, \"2026-04-01 09:30\" or RFC 3339")
	c.Flags().BoolVar(&asJSON, "json", false, "print the account as JSON")
	return c
}

func (a *app) accountRemove() *cobra.Command {
	var at string
	var asJSON bool
	c := &cobra.Command{
		Use:   "remove ADDRESS",
		Short: "Close a mailbox: its mail is refused, its history stays",
		Example: `  kiyome account remove taro@example.jp
  kiyome account remove taro@example.jp --at 2026-03-31`,
		Args:              args(1, 1),
		ValidArgsFunction: a.completeAddress,
		RunE: func(c *cobra.Command, args []string) error {
			return a.change(c.Context(), args[0], accounts.Closed, "", at, asJSON)
		},
	}
	c.Flags().StringVar(&at, "at", "", "`TIME` when leaving completes: 2026-03-31, \"2026-03-31 09:30\" or RFC 3339")
	c.Flags().BoolVar(&asJSON, "json", false, "print the account as JSON")
	return c
}

// change applies one transition and prints what came of it.
func (a *app) change(ctx context.Context, address string, kind accounts.Kind, service accounts.Service, at string, asJSON bool) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	when, err := parseTime(at, cfg.Timezone)
	if err != nil {
		return err
	}
	return a.withAccounts(ctx, false, func(db control.Accounts) error {
		acc, err := db.Change(address, kind, service, when, control.UserName())
		if err != nil {
			return err
		}
		if asJSON {
			return a.printJSON(acc)
		}
		what := string(kind)
		if service != "" {
			what += " " + string(service)
		}
		_, err = fmt.Fprintf(a.out, "%s: %s\n", acc.Address, what)
		return err
	})
}

// parseTime reads the TIME of --at. A day means its first moment in the configured time zone.
func parseTime(s string, zone *time.Location) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf(`--at: %q is not a time like 2026-04-01 or "2026-04-01 09:30"`, s)
}

func (a *app) accountSet() *cobra.Command {
	var f settingFlags
	var asJSON bool
	c := &cobra.Command{
		Use:   "set ADDRESS",
		Short: "Change the settings of a mailbox",
		Example: `  kiyome account set taro@example.jp --language en
  kiyome account set taro@example.jp --forward taro@example.com --no-copy=false
  kiyome account set taro@example.jp --forward ""          forward no more`,
		Args:              args(1, 1),
		ValidArgsFunction: a.completeAddress,
		RunE: func(c *cobra.Command, args []string) error {
			s := f.changed(c)
			if s == (accounts.Settings{}) {
				return errors.New("nothing to set; see kiyome account set --help")
			}
			return a.withAccounts(c.Context(), false, func(db control.Accounts) error {
				acc, err := db.Set(args[0], s, control.UserName())
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(acc)
				}
				return a.printAccount(acc)
			})
		},
	}
	f.define(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the account as JSON")
	return c
}

// changed gives the settings whose flags were given.
func (f *settingFlags) changed(c *cobra.Command) accounts.Settings {
	var s accounts.Settings
	given := c.Flags().Changed
	if given("owner") {
		s.Owner = &f.owner
	}
	if given("language") {
		s.Language = &f.language
	}
	if given("maildir") {
		s.Maildir = &f.maildir
	}
	if given("forward") {
		if len(f.forward) == 1 && f.forward[0] == "" {
			f.forward = []string{} // none; nil would mean no change
		}
		s.Forward = &f.forward
	}
	if given("no-copy") {
		s.NoCopy = &f.noCopy
	}
	return s
}

func (a *app) accountCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Read the whole account database and tell what is wrong with it",
		Args:  args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withAccounts(c.Context(), false, func(db control.Accounts) error {
				problems, n, err := db.Check()
				if err != nil {
					return err
				}
				for _, p := range problems {
					fmt.Fprintln(a.out, p)
				}
				if len(problems) > 0 {
					return exit{1, fmt.Errorf("%d problems in %d accounts", len(problems), n)}
				}
				_, err = fmt.Fprintf(a.out, "%d accounts, no problem\n", n)
				return err
			})
		},
	}
}

func (a *app) accountExport() *cobra.Command {
	return &cobra.Command{
		Use:     "export",
		Short:   "Print every account with its history, a JSON object a line",
		Example: `  kiyome account export > accounts.jsonl`,
		Args:    args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withAccounts(c.Context(), false, func(db control.Accounts) error {
				w := bufio.NewWriter(a.out)
				return errors.Join(db.Export(w), w.Flush())
			})
		},
	}
}

func (a *app) accountImport() *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE|-",
		Short: "Read accounts that export wrote: all of them or none",
		Long: `Read accounts that export wrote: all of them or none. What is there already stays
as it is, so that an import can be repeated. The first import makes the account
database.`,
		Example: `  kiyome account import accounts.jsonl`,
		Args:    args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			in, err := openInput(args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			return a.withAccounts(c.Context(), true, func(db control.Accounts) error {
				n, err := db.Import(in, control.UserName())
				if err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
				_, err = fmt.Fprintf(a.out, "%d accounts added\n", n)
				return err
			})
		},
	}
}

// openInput opens a file, or standard input for "-".
func openInput(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(os.Stdin), nil
	}
	return os.Open(name)
}

// completeAddress offers the addresses that there are to a shell.
func (a *app) completeAddress(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	const most = 200 // more than anybody reads
	if len(args) > 0 {
		return []string{string(accounts.Inbound), string(accounts.Outbound)}, cobra.ShellCompDirectiveNoFileComp
	}
	var found []string
	a.withAccounts(c.Context(), false, func(db control.Accounts) error {
		return db.List(func(acc accounts.Account) bool {
			if strings.HasPrefix(acc.Address, begun) {
				found = append(found, acc.Address)
			}
			return len(found) < most
		})
	})
	return found, cobra.ShellCompDirectiveNoFileComp
}
