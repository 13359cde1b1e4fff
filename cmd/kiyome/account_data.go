package main

import (
	"bufio"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

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
	c := &cobra.Command{
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
	c.Flags().Bool("json", true, "print JSON, an object a line; there is no other form")
	return c
}

func (a *app) accountImport() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Read accounts that export wrote: all of them or none",
		Long: `Read accounts that export wrote: all of them or none. What is there already stays
as it is, so that an import can be repeated. The first import makes the account
database.`,
		Example: `  kiyome account import accounts.jsonl`,
		Args:    args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			in, err := openInput(c.Context(), args[0])
			if err != nil {
				return err
			}
			defer in.Close()
			return a.withAccounts(c.Context(), true, func(db control.Accounts) error {
				n, err := db.Import(in, control.UserName())
				if err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
				if asJSON {
					return a.printJSON(struct {
						Added int `json:"added"`
					}{n})
				}
				_, err = fmt.Fprintf(a.out, "%d accounts added\n", n)
				return err
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
