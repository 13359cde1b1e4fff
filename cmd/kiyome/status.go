package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kiyome/cmd/kiyome/config"
	"kiyome/cmd/kiyome/control"
	"kiyome/lmtp"
	"kiyome/rules"
)

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Tell how the server is",
		Long:  "Tell how the server is. Exit status 1 when none runs.",
		Args:  args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			client, err := control.Dial(c.Context(), cfg.State(socketName))
			if err != nil {
				return err
			}
			defer client.Close()
			s, err := client.Status(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(statusJSON{s, compiledJSON(s.Rules)})
			}
			return a.printStatus(s, cfg.Timezone)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// statusJSON is what --json prints: the rules under keys like all others.
type statusJSON struct {
	control.Status
	Rules compiledJSON `json:"rules"`
}

// compiledJSON is rules.Compiled with its keys in JSON.
type compiledJSON struct {
	Path    string    `json:"path"`
	Digest  string    `json:"digest"`
	Version string    `json:"version"`
	Rules   int       `json:"rules"`
	Built   time.Time `json:"built"`
}

func (a *app) printStatus(s control.Status, zone *time.Location) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	row("server", "%s, process %d, since %s (%s)", s.Version, s.PID, timeText(s.Started, zone), time.Duration(s.Uptime)*time.Second)
	row("listening", "%s", strings.Join(s.Listen, ", "))
	if len(s.Filter) > 0 {
		row("filtering", "%s, next hop %s", strings.Join(s.Filter, ", "), s.NextHop)
	}
	if len(s.Page) > 0 {
		row("page", "%s", strings.Join(s.Page, ", "))
	}
	if len(s.Monitor) > 0 {
		row("watched", "%s", strings.Join(s.Monitor, ", "))
	}
	row("rules", "%d, version %s, built %s", s.Rules.Rules, s.Rules.Version, timeText(s.Rules.Built, zone))
	sandbox := "in the sandbox"
	if !s.Sandbox {
		sandbox = "WITHOUT a sandbox"
	}
	row("scans", "%d by %d workers %s; %d busy, %d slow", s.Scan.Scans, s.Scan.Workers, sandbox, s.Scan.Busy, s.Scan.Slow)
	row("", "%d workers died, %d killed, %d recycled", s.Scan.Died, s.Scan.Killed, s.Scan.Recycled)
	mail := func(name string, m lmtp.Stats, only string, n int64) {
		row(name, "%d messages, %d of them ambiguous; %d connections now", m.Messages, m.Ambiguous, m.Sessions)
		row("recipients", "%d untouched, %d clean, %d cleaned, %d %s, %d unscanned", m.Untouched, m.Clean, m.Cleaned, n, only, m.Unscanned)
		row("", "%d deferred, %d refused, %d repeated", m.Deferred, m.Refused, m.Repeated)
	}
	mail("mail", s.LMTP, "report only", s.LMTP.ReportOnly)
	row("forwards", "%d", s.LMTP.Forwarded)
	mail("outgoing", s.Outbound, "notice only", s.Outbound.NoticeOnly)
	more := ""
	if !s.Accounts.Complete {
		more = " (and more: not all were counted)"
	}
	row("accounts", "%d; inbound %d, of these %d paused; outbound %d%s", s.Accounts.Accounts, s.Accounts.Inbound, s.Accounts.Paused, s.Accounts.Outbound, more)
	if s.Lost > 0 {
		row("removals", "%d are missing in the history of members: see the log", s.Lost)
	}
	return w.Flush()
}

func (a *app) backupCommand() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the account database while the server goes on",
		Long: `Copy the account database, consistent and whole, while the server goes on. The
file appears under its name only when it is complete and on the disk. To restore,
stop the server and put the copy in the place of accounts.db. Bills that are closed,
and what was removed from mail, are files of their own: it does not hold them.`,
		Example: `  kiyome backup /var/backups/kiyome-$(date +%F).db`,
		Args:    args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			if err := checkTarget(args[0], cfg.State(databaseName), force); err != nil {
				return fmt.Errorf("backup: %w", err)
			}
			return a.withAccounts(c.Context(), false, func(db control.Accounts) error {
				n, err := writeWhole(args[0], db.Backup)
				if err != nil {
					return fmt.Errorf("backup: %w", err)
				}
				_, err = fmt.Fprintf(a.out, "%s: %s\n", args[0], sizeText(n))
				return err
			})
		},
	}
	c.Flags().BoolVar(&force, "force", false, "replace FILE if it exists")
	return c
}

// checkTarget refuses to write where something is that must stay: the database
// itself, under whatever name, and without force any file.
func checkTarget(target, database string, force bool) error {
	if target == "" {
		return errors.New("the name of FILE is empty")
	}
	there, err := os.Lstat(target)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info, err := os.Stat(target); err == nil {
		there = info // what a link leads to
	}
	live, err := os.Stat(database)
	switch {
	case err == nil && os.SameFile(there, live):
		return fmt.Errorf("%s is the account database itself", target)
	case there.IsDir():
		return fmt.Errorf("%s is a folder", target)
	case !force:
		return fmt.Errorf("%s exists already; --force replaces it", target)
	}
	return nil
}

// writeWhole makes a file that is there whole and durable, or not at all.
func writeWhole(name string, write func(io.Writer) (int64, error)) (int64, error) {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, filepath.Base(name)+".*.tmp") // mode 0600
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	n, err := write(f)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return n, err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return n, err
	}
	return n, syncFolder(dir)
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (a *app) configCommand() *cobra.Command {
	check := &cobra.Command{
		Use:   "check",
		Short: "Tell every mistake in the configuration",
		Args:  args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			c, err := a.config()
			if mistakes, ok := errors.AsType[config.Mistakes](err); ok {
				fmt.Fprintln(a.out, mistakes)
				return exit{status: 1}
			}
			if err != nil {
				return err
			}
			name := c.File
			if name == "" {
				name = "built-in defaults"
			}
			if errs := unusable(c); errs != nil {
				for _, e := range errs {
					fmt.Fprintf(a.out, "%s: %v\n", name, e)
				}
				return exit{status: 1}
			}
			_, err = fmt.Fprintf(a.out, "%s: no mistakes\n", name)
			return err
		},
	}
	print := &cobra.Command{
		Use:     "print",
		Short:   "Print the configuration in force, every setting with its explanation",
		Example: `  kiyome config print > /etc/kiyome/kiyome.toml      a file to start from`,
		Args:    args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			return c.Print(a.out)
		},
	}
	return group("config", "The configuration", check, print)
}

// unusable tells what a configuration names and the machine does not have: what
// keeps a server from starting, short of compiling the rules ("kiyome rules check").
func unusable(c *config.Config) []error {
	var errs []error
	for _, dir := range c.Rules.Dirs {
		if _, err := os.Stat(dir); err != nil {
			errs = append(errs, fmt.Errorf("rules.dirs: %w", err))
		}
	}
	if _, err := readPasswords(c.Scan.Passwords); err != nil {
		errs = append(errs, err)
	}
	if _, err := newReports(c); err != nil {
		errs = append(errs, err)
	}
	if _, err := newNextHop(c, nil); err != nil {
		errs = append(errs, err)
	}
	if _, err := newSRS(c); err != nil {
		errs = append(errs, err)
	}
	if _, err := newProver(c); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// version is set by the linker; without it, the build information tells.
var version string

// versionText is the version of this program.
func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(len(s.Value), 12)]
		}
	}
	return strings.Trim(info.Main.Version, "()")
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of kiyome, Go and libyara",
		Args:  args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(a.out, "kiyome %s\n%s\nlibyara %s\n", versionText(), runtime.Version(), rules.LibyaraVersion())
			return err
		},
	}
}
