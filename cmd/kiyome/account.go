package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

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
		a.accountShow(), a.accountServices(), a.accountSet(), a.accountList(), a.accountRemove(),
		a.accountHistory(), a.accountRemovals(), a.accountCheck(), a.accountImport(), a.accountExport(),
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
	noCourse, main           bool
}

func (f *settingFlags) define(c *cobra.Command) {
	c.Flags().StringVar(&f.owner, "owner", "", "`ID` of the member that the mailbox belongs to")
	c.Flags().StringVar(&f.language, "language", "", "of the reports: `ja|en`")
	c.Flags().StringVar(&f.maildir, "maildir", "", "`DIR` of the mailbox (default: mailboxes.path of the configuration)")
	c.Flags().StringArrayVar(&f.forward, "forward", nil, "forward to this `ADDRESS`; may be repeated")
	c.Flags().BoolVar(&f.noCopy, "no-copy", false, "keep no copy of what is forwarded")
	c.Flags().BoolVar(&f.noCourse, "no-course", false, "the owner has no connection course: subscribing needs --force")
	c.Flags().BoolVar(&f.main, "main", false, "it is the main member's mailbox, among those of its owner")
	c.RegisterFlagCompletionFunc("language", cobra.FixedCompletions([]string{"ja", "en"}, cobra.ShellCompDirectiveNoFileComp))
}

// note tells something besides the answer of a command.
func note(c *cobra.Command, format string, args ...any) {
	fmt.Fprintf(c.ErrOrStderr(), "kiyome: note: "+format+"\n", args...)
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
  kiyome account add hanako@example.jp --owner 0012345 --language en
  kiyome account add jiro@example.jp --owner 0012345 --at 2014-04-01     it was there before kiyome`,
		Args: args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			n := accounts.NewAccount{Address: args[0], Owner: f.owner, Language: f.language, Maildir: f.maildir,
				Forward: f.forward, NoCopy: f.noCopy, NoCourse: f.noCourse, Main: f.main, By: control.UserName()}
			if n.At, err = timeFlag(c, cfg.Timezone); err != nil {
				return err
			}
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
	c.Flags().String("at", "", "`TIME`, not in the future, from which it counts: 2014-04-01, \"2014-04-01 09:30\" or RFC 3339")
	c.Flags().BoolVar(&asJSON, "json", false, "print the account as JSON")
	return c
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
	if given("no-course") {
		s.NoCourse = &f.noCourse
	}
	if given("main") {
		s.Main = &f.main
	}
	return s
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
