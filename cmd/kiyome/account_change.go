package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"kiyome/accounts"
	"kiyome/cmd/kiyome/control"
)

func (a *app) accountChange(verb string, kind accounts.Kind, short string) *cobra.Command {
	var asJSON bool
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
			return a.change(c, args[0], kind, service, asJSON)
		},
	}
	c.Flags().String("at", "", "`TIME` from which it counts: 2026-04-01, \"2026-04-01 09:30\" or RFC 3339")
	c.Flags().BoolVar(&asJSON, "json", false, "print the account as JSON")
	return c
}

func (a *app) accountRemove() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "remove ADDRESS",
		Short: "Close a mailbox: its mail is refused, its history stays",
		Example: `  kiyome account remove taro@example.jp
  kiyome account remove taro@example.jp --at 2026-03-31`,
		Args:              args(1, 1),
		ValidArgsFunction: a.completeAddress,
		RunE: func(c *cobra.Command, args []string) error {
			return a.change(c, args[0], accounts.Closed, "", asJSON)
		},
	}
	c.Flags().String("at", "", "`TIME` when leaving completes: 2026-03-31, \"2026-03-31 09:30\" or RFC 3339")
	c.Flags().BoolVar(&asJSON, "json", false, "print the account as JSON")
	return c
}

// change applies one transition and prints what came of it.
func (a *app) change(c *cobra.Command, address string, kind accounts.Kind, service accounts.Service, asJSON bool) error {
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
		after, err := db.Change(address, kind, service, at, control.UserName())
		if err != nil {
			return err
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
	case kind == accounts.Cancelled && !stateOf(before, service).Subscribed && takenBack != nil:
		return takenBack // there was nothing else to cancel
	case at.IsZero():
	case holds(after.Pending, entered):
		done = pendingText(entered, zone)
	default:
		done += " as of " + dayText(at, zone)
		if service != "" { // what was entered since may have changed it again
			done += "; now: " + stateText(stateOf(after, service), zone)
		}
	}
	return append([]string{done}, takenBack...)
}

func holds(all []accounts.Pending, p accounts.Pending) bool {
	return slices.ContainsFunc(all, func(o accounts.Pending) bool {
		return o.Kind == p.Kind && o.Service == p.Service && o.Effective.Equal(p.Effective)
	})
}

func stateOf(acc accounts.Account, service accounts.Service) accounts.State {
	if service == accounts.Outbound {
		return acc.Outbound
	}
	return acc.Inbound
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
	s := at.Value.String()
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf(`--at: %q is not a time like 2026-04-01 or "2026-04-01 09:30"`, s)
}
