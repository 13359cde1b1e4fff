package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/control"
)

func (a *app) accountRemovals() *cobra.Command {
	var asJSON bool
	var limit int
	c := &cobra.Command{
		Use:   "removals ADDRESS",
		Short: "Show what was removed from the mail of a mailbox",
		Long: `Show what was removed from the mail of a mailbox, the newest first: of its incoming
mail what its reports told, of its outgoing mail what a notice told. It is kept for as
long as removals.days says, and only what came to the present owner is shown.`,
		Example: `  kiyome account removals taro@example.jp
  kiyome account removals taro@example.jp --limit 1000 --json`,
		Args:              args(1, 1),
		ValidArgsFunction: a.completeAddress,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			if limit < 1 {
				return fmt.Errorf("--limit %d: it has to be 1 or more", limit)
			}
			return a.withAccounts(c.Context(), false, func(db control.Accounts) error {
				all, err := newestRemovals(db, args[0], limit)
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(all)
				}
				return printRemovals(a.out, all, cfg.Timezone)
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 50, "at most `N`, the newest")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// newestRemovals gives the newest removals, at most limit: as many pages as it takes.
func newestRemovals(db control.Accounts, address string, limit int) ([]accounts.Removal, error) {
	all := []accounts.Removal{}
	for before := uint64(0); len(all) < limit; before = all[len(all)-1].Seq {
		page, err := db.Removals(address, before, min(limit-len(all), accounts.MaxRemovalsList))
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = append(all, page...)
	}
	return all, nil
}

func printRemovals(out io.Writer, all []accounts.Removal, zone *time.Location) error {
	if len(all) == 0 {
		return nil
	}
	t := &table{out: out}
	t.add("TIME", "DIRECTION", "SENDER", "SUBJECT", "FILE", "MALWARE", "RESULT")
	for _, r := range all {
		err := t.add(timeText(r.Time, zone), string(r.Direction), printable(senderText(r)), printable(r.Subject),
			printable(fileText(r)), printable(malwareText(r)), string(r.Result))
		if err != nil {
			return err
		}
	}
	return t.flush()
}

func senderText(r accounts.Removal) string {
	if r.Sender == "" {
		return "<>"
	}
	return r.Sender
}

// fileText names what was infected.
func fileText(r accounts.Removal) string {
	switch r.What {
	case accounts.WhatBody:
		return "(mail body)"
	case accounts.WhatWhole:
		return "(the mail as a whole)"
	case accounts.WhatUnnamed:
		return "(without a name)"
	}
	return r.File
}

// malwareText names the malware, or says why something was removed that was not checked.
func malwareText(r accounts.Removal) string {
	if r.Unchecked != "" {
		return "not checked: " + r.Unchecked
	}
	return r.Malware
}
