package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/config"
	"kiyome/cmd/kiyome/control"
)

// tariff is what the configuration says of bills.
func tariff(c *config.Config) accounts.Tariff {
	t := accounts.Tariff{Zone: c.Timezone, Currency: c.Billing.Currency, Prices: []accounts.Price{
		{Service: accounts.Inbound, Fee: int64(c.Billing.Inbound)},
		{Service: accounts.Outbound, Fee: int64(c.Billing.Outbound)},
	}}
	for _, p := range c.Billing.Prices {
		from := accounts.Month{Year: p.From.Year(), Month: p.From.Month()}
		if p.Inbound != nil {
			t.Prices = append(t.Prices, accounts.Price{Service: accounts.Inbound, From: from, Fee: int64(*p.Inbound)})
		}
		if p.Outbound != nil {
			t.Prices = append(t.Prices, accounts.Price{Service: accounts.Outbound, From: from, Fee: int64(*p.Outbound)})
		}
	}
	for _, p := range c.Billing.Campaigns {
		t.Campaigns = append(t.Campaigns, accounts.Campaign{Service: accounts.Service(p.Service), From: p.From, To: p.To})
	}
	return t
}

func (a *app) billingCommand() *cobra.Command {
	var owner string
	var asCSV, asJSON, since bool
	c := &cobra.Command{
		Use:   "billing MONTH",
		Short: "Print the bill of a month",
		Long: `Print the bill of a month: a line for each mailbox and service that is charged, or
made free by a campaign, before tax, in the smallest unit of the currency. Without
--csv or --json, totals follow, for each owner and in all.

The bill of a month that was closed is printed as it was then; any other is
computed from what is entered. --since-issued tells by which lines the bill has
changed since it was closed or, if it was not, since the month ended.`,
		Example: `  kiyome billing 2014-11
  kiyome billing 2014-11 --owner 0012345
  kiyome billing 2014-11 --csv > 2014-11.csv
  kiyome billing close 2014-11                 it does not change any more
  kiyome billing 2014-11 --since-issued        what should be charged or given back`,
		Args: args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			m, err := accounts.ParseMonth(args[0])
			if err != nil {
				return err
			}
			out := newBillOutput(c.Context(), a.out, asCSV, asJSON, since)
			return a.withAccounts(c.Context(), false, func(db control.Accounts) error {
				return a.printBill(c, db, m, owner, out)
			})
		},
	}
	c.Flags().StringVar(&owner, "owner", "", "what one member `ID` is charged")
	c.Flags().BoolVar(&asCSV, "csv", false, "print CSV: month,owner,address,service,fee,currency,reason")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, an object a line")
	c.Flags().BoolVar(&since, "since-issued", false, "only what has changed since the bill was issued")
	c.MarkFlagsMutuallyExclusive("csv", "json")
	c.AddCommand(a.billingClose())
	return c
}

func (a *app) printBill(c *cobra.Command, db control.Accounts, m accounts.Month, owner string, out *billOutput) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	o := accounts.BillOptions{Owner: owner}
	if !isTerminal(a.out) { // lines and a bar do not go together
		var end func()
		o.Progress, end = newBar("bill of " + m.String())
		defer end()
	}
	var b accounts.Bill
	if out.since {
		b, err = db.SinceIssued(m, o, func(d accounts.Difference) bool { return out.line(d.Change, d.Charge, d) })
	} else {
		b, err = db.Bill(m, o, func(c accounts.Charge) bool { return out.line("", c, c) })
	}
	if err = errors.Join(err, out.end()); err != nil {
		return err
	}
	if b.UnderWay {
		note(c, "%s is not over: this is how its bill stands now", m)
	}
	return out.finish(b, cfg.Timezone)
}

func (a *app) billingClose() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "close MONTH",
		Short: "Write the bill of a month that is over for good",
		Long: `Write the bill of a month that is over for good, into bills/MONTH.csv of the state
folder. It is never written again: what is entered for that month later shows in
"kiyome billing MONTH --since-issued" only.`,
		Example: `  kiyome billing close 2014-11`,
		Args:    args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			m, err := accounts.ParseMonth(args[0])
			if err != nil {
				return err
			}
			return a.withAccounts(c.Context(), false, func(db control.Accounts) error {
				progress, end := newBar("bill of " + m.String())
				b, err := db.CloseMonth(m, control.UserName(), progress)
				end()
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(b)
				}
				_, err = fmt.Fprintf(a.out, "%s: closed, %d lines, %d %s\n", m, b.Lines, b.Total, b.Currency)
				return err
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print what there is to know of the bill as JSON")
	return c
}

// billOutput prints the lines of a bill in one of three forms.
type billOutput struct {
	ctx    context.Context
	since  bool
	begun  bool
	csv    *csv.Writer
	json   *json.Encoder
	out    *bufio.Writer // below json
	table  *table
	totals map[string]*ownerTotal
	err    error
}

type ownerTotal struct {
	lines int
	sum   int64
}

func newBillOutput(ctx context.Context, out io.Writer, asCSV, asJSON, since bool) *billOutput {
	b := &billOutput{ctx: ctx, since: since, totals: make(map[string]*ownerTotal)}
	switch {
	case asCSV:
		b.csv = csv.NewWriter(out)
	case asJSON:
		b.out = bufio.NewWriter(out)
		b.json = json.NewEncoder(b.out)
		b.json.SetEscapeHTML(false)
	default:
		b.table = &table{out: out}
	}
	return b
}

// begin prints what stands above the first line.
func (b *billOutput) begin() {
	switch {
	case b.begun:
	case b.csv != nil:
		b.err = b.csv.Write(b.withChange("change", accounts.ChargeColumns()))
	case b.table != nil:
		b.err = b.table.add(b.withChange("CHANGE", []string{"OWNER", "ADDRESS", "SERVICE", "FEE", "REASON"})...)
	}
	b.begun = true
}

// withChange puts the column before a row that there is only in differences.
func (b *billOutput) withChange(change string, row []string) []string {
	if b.since {
		return append([]string{change}, row...)
	}
	return row
}

// line prints one line, and reports whether to go on. v is what goes out as JSON.
func (b *billOutput) line(change string, c accounts.Charge, v any) bool {
	switch b.begin(); {
	case b.err != nil:
	case b.ctx.Err() != nil:
		b.err = errInterrupted
	case b.csv != nil:
		b.err = b.csv.Write(b.withChange(change, c.Row()))
	case b.json != nil:
		b.err = b.json.Encode(v)
	default:
		b.err = b.table.add(b.withChange(change, []string{c.Owner, c.Address, string(c.Service), strconv.FormatInt(c.Fee, 10), c.Reason})...)
		t := b.totals[c.Owner]
		if t == nil {
			t = new(ownerTotal)
			b.totals[c.Owner] = t
		}
		t.lines++
		if change == "removed" {
			c.Fee = -c.Fee
		}
		t.sum += c.Fee
	}
	return b.err == nil
}

// end writes out what is still held back.
func (b *billOutput) end() error {
	switch {
	case b.csv != nil:
		b.csv.Flush()
		return errors.Join(b.err, b.csv.Error())
	case b.json != nil:
		return errors.Join(b.err, b.out.Flush())
	case b.table != nil:
		return errors.Join(b.err, b.table.flush())
	}
	return b.err
}

// finish ends the output; a table gets its totals.
func (b *billOutput) finish(bill accounts.Bill, zone *time.Location) error {
	b.begin()
	if err := b.end(); err != nil || b.table == nil {
		return err
	}
	t := &table{out: b.table.out}
	t.add("")
	t.flush()
	t.add("OWNER", "LINES", "TOTAL")
	var all ownerTotal
	for _, owner := range slices.Sorted(maps.Keys(b.totals)) {
		one := b.totals[owner]
		all.lines, all.sum = all.lines+one.lines, all.sum+one.sum
		if owner == "" {
			owner = "(none)"
		}
		t.add(owner, strconv.Itoa(one.lines), strconv.FormatInt(one.sum, 10))
	}
	t.add("all", strconv.Itoa(all.lines), strconv.FormatInt(all.sum, 10)+" "+bill.Currency)
	if err := t.flush(); err != nil || bill.Closed.IsZero() {
		return err
	}
	_, err := fmt.Fprintf(t.out, "\nclosed on %s by %s\n", timeText(bill.Closed, zone), bill.By)
	return err
}
