package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/control"
)

// ownedBy gives all accounts of an owner, of which there must be one.
func ownedBy(db control.Accounts, owner string) (all []accounts.Account, err error) {
	err = db.ListOwner(owner, func(acc accounts.Account) bool {
		all = append(all, acc)
		return true
	})
	if err == nil && all == nil {
		err = fmt.Errorf("owner %q: %w", owner, accounts.ErrUnknown)
	}
	return all, err
}

func (a *app) showOwner(c *cobra.Command, owner string, asJSON bool) error {
	return a.withAccounts(c.Context(), false, func(db control.Accounts) error {
		all, err := ownedBy(db, owner)
		if err != nil {
			return err
		}
		if asJSON {
			return a.printJSON(all)
		}
		for i, acc := range all {
			if i > 0 {
				fmt.Fprintln(a.out)
			}
			if err := a.printAccount(acc); err != nil {
				return err
			}
		}
		return nil
	})
}

// removeOwner closes all that an owner has, after a look at what that is.
func (a *app) removeOwner(c *cobra.Command, owner string, yes, asJSON bool) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	at, err := timeFlag(c, cfg.Timezone)
	if err != nil {
		return err
	}
	return a.withAccounts(c.Context(), false, func(db control.Accounts) error {
		all, err := ownedBy(db, owner)
		if err != nil {
			return err
		}
		if !yes {
			if err := confirm(c, closeQuestion(owner, all)); err != nil {
				return err
			}
		}
		closed, err := db.CloseOwner(owner, at, control.UserName())
		if err != nil {
			return err
		}
		if asJSON {
			return a.printJSON(closed)
		}
		for _, acc := range closed {
			text := "closed"
			if !at.IsZero() {
				text = changeText(accounts.Account{}, acc, accounts.Closed, "", at, cfg.Timezone)[0]
			}
			if _, err := fmt.Fprintf(a.out, "%s: %s\n", acc.Address, text); err != nil {
				return err
			}
		}
		return nil
	})
}

// closeQuestion names what is to be closed.
func closeQuestion(owner string, all []accounts.Account) string {
	const named = 20
	var open []string
	for _, acc := range all {
		if acc.Closed.IsZero() {
			open = append(open, acc.Address)
		}
	}
	more := ""
	if len(open) > named {
		open, more = open[:named], fmt.Sprintf(" and %d more", len(open)-named)
	}
	return fmt.Sprintf("Close all mailboxes of %s (%s%s)?", owner, strings.Join(open, ", "), more)
}

var errNotConfirmed = errors.New("not confirmed; nothing was changed")

// confirm asks at the terminal. Without one there is nobody to ask, and only --yes will do.
func confirm(c *cobra.Command, question string) error {
	if !isTerminal(os.Stdin) {
		return errors.New("this asks before it changes anything, and standard input is not a terminal: say --yes")
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s [y/N] ", question)
	line, err := unlessDone(c.Context(), func() (string, error) { return bufio.NewReader(os.Stdin).ReadString('\n') })
	if err != nil {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return exit{1, errNotConfirmed}
}

func (a *app) accountServices() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "services ADDRESS",
		Short: "Tell what each service costs this month, or would cost",
		Long: `Tell how a mailbox stands with each service: since when it has it, what this month
costs as things stand, and what subscribing now would cost, by a campaign nothing.`,
		Example:           `  kiyome account services taro@example.jp`,
		Args:              args(1, 1),
		ValidArgsFunction: a.completeAddress,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			return a.withAccounts(c.Context(), false, func(db control.Accounts) error {
				all, err := db.Services(args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(all)
				}
				t := &table{out: a.out}
				t.add("SERVICE", "STATE", "THIS MONTH", "SUBSCRIBING NOW")
				for _, s := range all {
					t.add(string(s.Service), stateText(s.State, cfg.Timezone), chargeText(s.Charge), offerText(s.Offer))
				}
				return t.flush()
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func chargeText(c *accounts.Charge) string {
	if c == nil {
		return "0"
	}
	return fmt.Sprintf("%d %s (%s)", c.Fee, c.Currency, c.Reason)
}

func offerText(o *accounts.Offer) string {
	switch {
	case o == nil:
		return ""
	case o.Refused != "":
		return o.Refused
	}
	return fmt.Sprintf("%d %s for %s (%s), then %d a month", o.Fee, o.Currency, o.Month, o.Reason, o.Next)
}
