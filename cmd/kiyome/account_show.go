package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/control"
)

func (a *app) accountShow() *cobra.Command {
	var asJSON bool
	var owner string
	c := &cobra.Command{
		Use:   "show ADDRESS|--owner ID",
		Short: "Show a mailbox and its services, or all mailboxes of an owner",
		Example: `  kiyome account show taro@example.jp
  kiyome account show --owner 0012345`,
		Args:              args(0, 1),
		ValidArgsFunction: a.completeAddress,
		RunE: func(c *cobra.Command, args []string) error {
			switch byOwner := c.Flags().Changed("owner"); {
			case byOwner == (len(args) == 1):
				return fmt.Errorf("usage: %s", c.UseLine())
			case byOwner:
				return a.showOwner(c, owner, asJSON)
			}
			return a.withAccounts(c.Context(), false, func(db control.Accounts) error {
				acc, err := db.Get(args[0])
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
	c.Flags().StringVar(&owner, "owner", "", "all mailboxes of the member `ID`, closed ones too")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// printAccount writes an account for people.
func (a *app) printAccount(acc accounts.Account) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
	}
	row("address", acc.Address)
	row("owner", acc.Owner)
	if acc.Main {
		row("main", "yes: it is the main member's")
	}
	if acc.NoCourse {
		row("course", "none: the owner has no connection course")
	}
	row("inbound", stateText(acc.Inbound, cfg.Timezone))
	row("outbound", stateText(acc.Outbound, cfg.Timezone))
	for _, p := range acc.Pending {
		row("pending", pendingText(p, cfg.Timezone))
	}
	row("language", acc.Language)
	row("maildir", acc.Maildir)
	if len(acc.Forward) > 0 {
		row("forward", strings.Join(acc.Forward, ", ")+", through "+cfg.Outbound.NextHop)
		row("copy", copyText(acc))
	}
	row("added", timeText(acc.Added, cfg.Timezone))
	row("closed", timeText(acc.Closed, cfg.Timezone))
	return w.Flush()
}

// copyText says what stays of mail that is forwarded.
func copyText(acc accounts.Account) string {
	if acc.NoCopy {
		return "none is kept, but for reports and what the next hop refuses"
	}
	return "one is kept"
}

// stateText is a service's state in words.
func stateText(s accounts.State, zone *time.Location) string {
	word := stateWord(s)
	if s.Since.IsZero() {
		return word
	}
	return word + " since " + timeText(s.Since, zone)
}

func stateWord(s accounts.State) string {
	switch {
	case s.Subscribed && s.Paused:
		return "paused"
	case s.Subscribed:
		return "subscribed"
	}
	return "no"
}

func timeText(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format("2006-01-02 15:04:05 MST")
}

func (a *app) accountList() *cobra.Command {
	var asJSON, closed bool
	var owner string
	c := &cobra.Command{
		Use:   "list",
		Short: "List the mailboxes",
		Example: `  kiyome account list
  kiyome account list --owner 0012345
  kiyome account list --json | jq -r 'select(.inbound.paused) | .address'`,
		Args: args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withAccounts(c.Context(), false, func(db control.Accounts) error {
				all := db.List
				if c.Flags().Changed("owner") {
					all = func(f func(accounts.Account) bool) error { return db.ListOwner(owner, f) }
				}
				return a.list(all, asJSON, func(acc accounts.Account) bool { return closed || acc.Closed.IsZero() })
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, an object a line")
	c.Flags().BoolVar(&closed, "closed", false, "closed ones too")
	c.Flags().StringVar(&owner, "owner", "", "those of one member `ID`")
	return c
}

// aligned is how many rows share their column widths: all of them would have to be held in memory.
const aligned = 1000

// widest is how wide a column gets for its longest text; a longer one shifts its own row only.
const widest = 40

// list prints the accounts that wanted picks.
func (a *app) list(all func(func(accounts.Account) bool) error, asJSON bool, wanted func(accounts.Account) bool) error {
	lines := json.NewEncoder(a.out)
	t := &table{out: a.out}
	t.add("ADDRESS", "INBOUND", "OUTBOUND", "LANGUAGE", "OWNER")
	var printErr error
	listed := false
	err := all(func(acc accounts.Account) bool {
		if !wanted(acc) {
			return true
		}
		if asJSON {
			printErr = lines.Encode(acc)
			return printErr == nil
		}
		listed = true
		name := acc.Address
		if !acc.Closed.IsZero() {
			name += " (closed)"
		}
		printErr = t.add(name, stateWord(acc.Inbound), stateWord(acc.Outbound), acc.Language, acc.Owner)
		return printErr == nil
	})
	if listed && printErr == nil {
		printErr = t.flush()
	}
	return errors.Join(err, printErr)
}

// A table prints rows as they come, aligned as far as they are held back.
type table struct {
	out  io.Writer
	rows [][]string
}

func (t *table) add(row ...string) error {
	if t.rows = append(t.rows, row); len(t.rows) < aligned {
		return nil
	}
	return t.flush()
}

func (t *table) flush() error {
	rows := t.rows
	t.rows = nil
	return printColumns(t.out, rows)
}

// printColumns aligns rows of equal length.
func printColumns(out io.Writer, rows [][]string) error {
	w := bufio.NewWriter(out)
	var widths []int
	for _, row := range rows {
		widths = slices.Grow(widths, len(row))[:len(row)]
		for i, text := range row {
			if n := columns(text); n <= widest {
				widths[i] = max(widths[i], n)
			}
		}
	}
	for _, row := range rows {
		for i, text := range row[:len(row)-1] {
			fmt.Fprint(w, pad(text, widths[i]), "  ")
		}
		fmt.Fprintln(w, row[len(row)-1])
	}
	return w.Flush()
}

func (a *app) accountHistory() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:               "history ADDRESS",
		Short:             "Show what happened to a mailbox, and who did it",
		Args:              args(1, 1),
		ValidArgsFunction: a.completeAddress,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			return a.withAccounts(c.Context(), false, func(db control.Accounts) error {
				events, err := db.History(args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(events)
				}
				return printEvents(a.out, events, cfg.Timezone)
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printEvents(out io.Writer, events []accounts.Event, zone *time.Location) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "EFFECTIVE\tWHAT\tSERVICE\tENTERED\tBY\tNOTE")
	for _, e := range events {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", timeText(e.Effective, zone), e.Kind, e.Service, timeText(e.At, zone), e.By, e.Note)
	}
	return w.Flush()
}
