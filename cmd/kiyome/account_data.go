package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/control"
)

func (a *app) accountCheck() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Read the whole account database and tell what is wrong with it",
		Args:  args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withAccounts(c.Context(), false, func(db control.Accounts) error {
				problems, n, err := db.Check()
				if err != nil {
					return err
				}
				if asJSON {
					err = a.printJSON(struct {
						Accounts int      `json:"accounts"` // that are whole
						Problems []string `json:"problems"`
					}{n, append([]string{}, problems...)})
				} else {
					for _, p := range problems {
						fmt.Fprintln(a.out, p)
					}
				}
				if len(problems) > 0 {
					return exit{1, fmt.Errorf("%d problems; %d accounts are whole", len(problems), n)}
				}
				if err == nil && !asJSON {
					_, err = fmt.Fprintf(a.out, "%d accounts, no problem\n", n)
				}
				return err
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) accountExport() *cobra.Command {
	var asCSV bool
	c := &cobra.Command{
		Use:   "export",
		Short: "Print every account with its history",
		Long: `Print every account with its history: a JSON object a line, or CSV. Either is taken
back by import exactly as it was. In the CSV, the column events has the history; a
table whose rows are edited by hand does without it.`,
		Example: `  kiyome account export > accounts.jsonl
  kiyome account export --csv > accounts.csv`,
		Args: args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withAccounts(c.Context(), false, func(db control.Accounts) error {
				w := bufio.NewWriter(a.out)
				if asCSV {
					return errors.Join(db.ExportCSV(w), w.Flush())
				}
				return errors.Join(db.Export(w), w.Flush())
			})
		},
	}
	c.Flags().BoolVar(&asCSV, "csv", false, "print CSV, a row for each account")
	c.Flags().Bool("json", true, "print JSON, an object a line")
	return c
}

func (a *app) accountImport() *cobra.Command {
	var asJSON, dry bool
	c := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Read accounts from CSV or JSON: all of them or none",
		Long: `Read accounts from CSV or JSON: all of them or none. It takes what export wrote, and
tables made by hand: the first row names the columns, in any order; address is the
only one that must be there. The others are owner, main, no_course, language,
maildir, forward, no_copy, inbound, inbound_since, outbound, outbound_since, added,
closed and events. CSV may be UTF-8, with a byte order mark or not, or cp932.

What is there already stays as it is, so that an import can be repeated. Every wrong
row is told with its number. The first import makes the account database.`,
		Example: `  kiyome account import --dry-run members.csv
  kiyome account import members.csv
  kiyome account import accounts.jsonl`,
		Args: args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			in, err := openInput(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			load := func(db control.Accounts) error {
				progress, end := newBar("rows")
				n, err := db.Import(in, accounts.ImportOptions{By: control.UserName(), DryRun: dry, Progress: progress})
				end()
				if err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
				if asJSON {
					return a.printJSON(n)
				}
				_, err = fmt.Fprintln(a.out, importText(n, dry))
				return err
			}
			err = a.withAccounts(c.Context(), !dry, load)
			if dry && errors.Is(err, accounts.ErrMissing) {
				return a.withEmpty(load)
			}
			return err
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "check everything, and import nothing")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// importText says what an import did, or would do.
func importText(n accounts.Imported, dry bool) string {
	text := fmt.Sprintf("%d accounts added", n.Added)
	if n.Continued > 0 {
		text += fmt.Sprintf(", %d continued", n.Continued)
	}
	if n.Unchanged > 0 {
		text += fmt.Sprintf(", %d were there already", n.Unchanged)
	}
	if n.Different > 0 {
		text += fmt.Sprintf(" (of %d the file says something else: they stay as they are)", n.Different)
	}
	if dry {
		text = "dry run, nothing was changed: it would be " + text
	}
	return text
}

// withEmpty gives f an account database that is gone afterwards.
func (a *app) withEmpty(f func(control.Accounts) error) (err error) {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kiyome-dry-run-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := accounts.Create(filepath.Join(dir, databaseName), accountOptions(cfg))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return f(db)
}
