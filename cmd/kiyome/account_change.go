package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/control"
)

func (a *app) accountChange(verb string, kind accounts.Kind, short string) *cobra.Command {
	var asJSON, force bool
	c := &cobra.Command{
		Use:   verb + " ADDRESS [inbound|outbound]",
		Short: short,
		Long:  short + ". Without the name of a service, inbound is meant. It holds from the next message on,\nor from the time that --at names. Cancelling takes back what was entered for later.",
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
			return a.change(c, args[0], kind, service, force, asJSON)
		},
	}
	if kind == accounts.Subscribed {
		c.Flags().BoolVar(&force, "force", false, "subscribe although the owner has no connection course")
	}
	c.Flags().String("at", "", "`TIME` from which it counts: 2026-04-01, \"2026-04-01 09:30\" or RFC 3339")
	c.Flags().BoolVar(&asJSON, "json", false, "print the account as JSON")
	return c
}

func (a *app) accountRemove() *cobra.Command {
	var asJSON, yes bool
	var owner string
	c := &cobra.Command{
		Use:   "remove ADDRESS|--owner ID",
		Short: "Close a mailbox, or all of an owner: its mail is refused, its history stays",
		Long: `Close a mailbox, or with --owner all of a member who leaves: all of them, or none
if one cannot be. Mail is refused from then on, the history stays. Services are
charged up to and including the month in which leaving completes.`,
		Example: `  kiyome account remove taro@example.jp
  kiyome account remove taro@example.jp --at 2026-03-31
  kiyome account remove --owner 0012345 --at 2026-03-31`,
		Args:              args(0, 1),
		ValidArgsFunction: a.completeAddress,
		RunE: func(c *cobra.Command, args []string) error {
			switch byOwner := c.Flags().Changed("owner"); {
			case byOwner == (len(args) == 1):
				return fmt.Errorf("usage: %s", c.UseLine())
			case byOwner:
				return a.removeOwner(c, owner, yes, asJSON)
			}
			return a.change(c, args[0], accounts.Closed, "", false, asJSON)
		},
	}
	c.Flags().StringVar(&owner, "owner", "", "all mailboxes of the member `ID`")
	c.Flags().BoolVar(&yes, "yes", false, "with --owner: do not ask")
	c.Flags().String("at", "", "`TIME` when leaving completes: 2026-03-31, \"2026-03-31 09:30\" or RFC 3339")
	c.Flags().BoolVar(&asJSON, "json", false, "print the account as JSON")
	return c
}

// change applies one transition and prints what came of it.
func (a *app) change(c *cobra.Command, address string, kind accounts.Kind, service accounts.Service, force, asJSON bool) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	at, err := timeFlag(c, cfg.Timezone)
	if err != nil {
		return err
	}
	return a.withAccounts(c.Context(), false, func(db control.Accounts) error {
		before, err := db.Get(address)
		if err != nil {
			return err
		}
		var after accounts.Account
		if force {
			after, err = db.Force(address, service, at, control.UserName())
		} else {
			after, err = db.Change(address, kind, service, at, control.UserName())
		}
		if errors.Is(err, accounts.ErrIneligible) {
			err = fmt.Errorf("%w; --force subscribes all the same", err)
		}
		if err != nil {
			return err
		}
		if since := after.Of(service).Since; at.IsZero() && kind != accounts.Closed && since.After(time.Now().Add(time.Second)) {
			note(c, "the clock was put back since something was entered for %s: this counts from %s on", after.Address, timeText(since, cfg.Timezone))
		}
		if kind == accounts.Subscribed && service == accounts.Outbound && len(cfg.Outbound.Listen) == 0 {
			note(c, "outbound.listen is empty: unless systemd passes a socket, the mail that %s sends does not come by", after.Address)
		}
		if asJSON {
			return a.printJSON(after)
		}
		for _, line := range changeText(before, after, kind, service, at, cfg.Timezone) {
			if _, err := fmt.Fprintf(a.out, "%s: %s\n", after.Address, line); err != nil {
				return err
			}
		}
		return nil
	})
}

// changeText says what a change has brought about, and what it took back.
func changeText(before, after accounts.Account, kind accounts.Kind, service accounts.Service, at time.Time, zone *time.Location) []string {
	var takenBack []string
	for _, p := range before.Pending {
		if !holds(after.Pending, p) && p.Effective.After(time.Now()) {
			takenBack = append(takenBack, "taken back: "+pendingText(p, zone))
		}
	}
	done := string(kind)
	if service != "" {
		done += " " + string(service)
	}
	entered := accounts.Pending{Kind: kind, Service: service, Effective: at}
	switch {
	case kind == accounts.Cancelled && !before.Of(service).Subscribed && takenBack != nil:
		return takenBack // there was nothing else to cancel
	case at.IsZero():
	case holds(after.Pending, entered):
		done = pendingText(entered, zone)
	default:
		done += " as of " + dayText(at, zone)
		if service != "" { // what was entered since may have changed it again
			done += "; now: " + stateText(after.Of(service), zone)
		}
	}
	return append([]string{done}, takenBack...)
}

func holds(all []accounts.Pending, p accounts.Pending) bool {
	return slices.ContainsFunc(all, func(o accounts.Pending) bool {
		return o.Kind == p.Kind && o.Service == p.Service && o.Effective.Equal(p.Effective)
	})
}

// pendingText says what is still to come.
func pendingText(p accounts.Pending, zone *time.Location) string {
	verb := map[accounts.Kind]string{
		accounts.Subscribed: "subscribes to", accounts.Cancelled: "cancels", accounts.Paused: "pauses",
		accounts.Resumed: "resumes", accounts.Closed: "closes",
	}[p.Kind]
	if verb == "" {
		verb = string(p.Kind) // only an import can have entered it for later
	}
	if p.Service != "" {
		verb += " " + string(p.Service)
	}
	return verb + " on " + dayText(p.Effective, zone)
}

// dayText is a day alone where a time is the first moment of one.
func dayText(t time.Time, zone *time.Location) string {
	t = t.In(zone)
	if hour, minute, second := t.Clock(); hour+minute+second+t.Nanosecond() == 0 {
		return t.Format(time.DateOnly)
	}
	return timeText(t, zone)
}

// timeFlag reads the TIME of --at; the zero time when it was not given. A day
// means its first moment in the configured time zone.
func timeFlag(c *cobra.Command, zone *time.Location) (time.Time, error) {
	at := c.Flags().Lookup("at")
	if !at.Changed {
		return time.Time{}, nil
	}
	t, err := accounts.ParseTime(at.Value.String(), zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("--at: %w", err)
	}
	return t, nil
}
