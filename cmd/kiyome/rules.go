package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kiyome/cmd/kiyome/config"
	"kiyome/cmd/kiyome/control"
	"kiyome/rules"
)

func (a *app) rulesCommand() *cobra.Command {
	c := group("rules", "The YARA rules that decide what is malware",
		a.rulesCheck(), a.rulesBuild(), a.rulesList(), a.rulesTest(),
		a.rulesOrder("reload", "Read the configuration and its rules again and put them in service", control.Operator.Reload),
		a.rulesOrder("rollback", "Put the rules in service that served before", control.Operator.Rollback),
		a.rulesSilence("disable", "Take a rule, or an object by its sha256, out of service at once", false),
		a.rulesSilence("enable", "Put back what was disabled", true),
	)
	c.Example = `  kiyome rules check                              is every file of rules in order?
  kiyome rules reload                             put changed rules in service
  kiyome rules disable kiyome/HTML_Smuggling      it cuts what it must not
  kiyome rules rollback                           back to the rules before`
	return c
}

// problemText is "FILE:LINE: message".
func problemText(p rules.Problem) string {
	text := p.File
	if p.Line > 0 {
		text += fmt.Sprintf(":%d", p.Line)
	}
	if text != "" {
		text += ": "
	}
	if p.Warning {
		text += "warning: "
	}
	return text + p.Message
}

func (a *app) printProblems(problems []rules.Problem) {
	for _, p := range problems {
		fmt.Fprintln(a.out, problemText(p))
	}
}

func (a *app) rulesCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Compile every file of rules and tell all that is wrong, slow ones too",
		Args:  args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			problems, err := rules.Check(c.Context(), rulesConfig(cfg))
			if err != nil {
				return err
			}
			a.printProblems(problems)
			if len(problems) > 0 {
				return exit{1, fmt.Errorf("%d problems in the rules", len(problems))}
			}
			_, err = fmt.Fprintln(a.out, "the rules are in order")
			return err
		},
	}
}

// built is what `rules build --json` prints; the server reads it.
type built struct {
	Rules    rules.Compiled  `json:"rules"`
	Problems []rules.Problem `json:"problems,omitempty"`
	Lost     bool            `json:"lost,omitempty"` // nothing was built: rules that serve would be missing
}

func (a *app) rulesBuild() *cobra.Command {
	var asJSON, lose bool
	c := &cobra.Command{
		Use:   "build",
		Short: "Compile the rules into the state folder",
		Long: `Compile the rules into the state folder, where the server finds them when it
starts. A server that runs goes on with its own until "kiyome rules reload".

A file with a fault is named and left out. But where that file, or a set that is
gone by now, is in the rules that serve, nothing changes: --lose does without it.`,
		Args: args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			wanted := rulesConfig(cfg)
			wanted.Lose = lose
			set, problems, err := rules.Build(c.Context(), wanted, cfg.State(rulesName))
			lost := errors.Is(err, rules.ErrWouldLose)
			if lost {
				err = fmt.Errorf("%w (mend or bring back what is missing, or do without it: kiyome rules build --lose, then reload)", err)
			}
			if asJSON && lost {
				return errors.Join(err, a.printJSON(built{Problems: problems, Lost: true}))
			}
			if asJSON && err == nil {
				return a.printJSON(built{Rules: set, Problems: problems})
			}
			if asJSON {
				a.printProblems(problems)
				return err
			}
			a.printProblems(problems)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "%d rules, version %s\n", set.Rules, set.Version)
			return err
		},
	}
	c.Flags().BoolVar(&lose, "lose", false, "do without sets and files that serve now and are faulty or gone")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// problemsError makes one error of all problems.
func problemsError(problems []rules.Problem) error {
	var errs []error
	for _, p := range problems {
		errs = append(errs, errors.New(problemText(p)))
	}
	return errors.Join(errs...)
}

func (a *app) rulesList() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the rules that serve, or would",
		Args:  args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.withRules(c.Context(), false, func(set *rules.Set) error {
				if asJSON {
					return a.printJSON(set.Infos())
				}
				w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "RULE\tSCORE\tCUTS\tMALWARE\tDESCRIPTION")
				for _, r := range set.Infos() {
					cuts := "yes"
					if r.Disabled {
						cuts = "disabled"
					} else if r.LogOnly {
						cuts = "log only"
					}
					fmt.Fprintf(w, "%s/%s\t%d\t%s\t%s\t%s\n", r.Set, r.Name, r.Score, cuts, printable(r.Malware), printable(r.Description))
				}
				return w.Flush()
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// withRules loads the rules that the server uses or, when there are none or
// fresh is set, those that the configuration names.
func (a *app) withRules(ctx context.Context, fresh bool, f func(*rules.Set) error) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	compiled, err := rules.Current(cfg.State(rulesName))
	if err != nil || fresh {
		dir, err := os.MkdirTemp("", "kiyome-rules-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		var problems []rules.Problem
		compiled, problems, err = rules.Build(ctx, rulesConfig(cfg), dir)
		if err != nil {
			return errors.Join(err, problemsError(problems))
		}
	}
	set, err := rules.Load(compiled)
	if err != nil {
		return err
	}
	defer set.Close()
	return f(set)
}

func (a *app) rulesTest() *cobra.Command {
	return &cobra.Command{
		Use:   "test FILE...",
		Short: "Tell which of the configured rules match a file as it is, not opened",
		Long: `Tell which of the configured rules match a file as it is: every rule, those that
only log and those that score too low as well. The rules are compiled anew, so that
a change can be tried before it serves. "kiyome scan" opens messages and containers;
this command does not.`,
		Args: args(1, -1),
		RunE: func(c *cobra.Command, files []string) error {
			return a.withRules(c.Context(), true, func(set *rules.Set) error {
				m, err := set.NewMatcher()
				if err != nil {
					return err
				}
				defer m.Close()
				any := false
				for _, file := range files {
					data, err := os.ReadFile(file)
					if err != nil {
						return err
					}
					matches, err := m.Match(rules.Object{Data: data, Name: file}, time.Minute)
					if err != nil {
						return fmt.Errorf("%s: %w", file, err)
					}
					for _, r := range matches {
						any = true
						fmt.Fprintf(a.out, "%s: %s/%s %d %s%s\n", file, r.Set, r.Rule, r.Score, r.Malware, map[bool]string{true: " (logs only)"}[r.LogOnly])
					}
				}
				if !any {
					return exit{1, errors.New("no rule matches")}
				}
				return nil
			})
		},
	}
}

// operator gives the server or, when none runs, the rules in the state folder.
func (a *app) operator(ctx context.Context) (control.Operator, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	client, err := control.Dial(ctx, cfg.State(socketName))
	if errors.Is(err, control.ErrNoServer) {
		return idleRules{cfg}, nil
	}
	return client, err
}

// idleRules changes the rules that the next server will start with.
type idleRules struct{ config *config.Config }

func (i idleRules) noServer() error {
	return fmt.Errorf("%s: %w", i.config.State(socketName), control.ErrNoServer)
}

func (i idleRules) Status(context.Context) (control.Status, error) {
	return control.Status{}, i.noServer()
}

func (i idleRules) Reload(context.Context) (control.Reloaded, error) {
	return control.Reloaded{}, i.noServer()
}

func (i idleRules) Rollback(context.Context) (control.Reloaded, error) {
	set, err := rules.Rollback(i.config.State(rulesName))
	return control.Reloaded{Rules: set}, err
}

func (i idleRules) Silence(_ context.Context, name string, off bool) (control.Reloaded, error) {
	err := silence(i.config.State(rulesName), name, off)
	if err != nil {
		return control.Reloaded{}, err
	}
	set, err := rules.Current(i.config.State(rulesName))
	return control.Reloaded{Rules: set}, err
}

// silence puts a name on the list of the ignored, or takes it off. Names that mean
// nothing are refused, for in an emergency a slip must not look like success; so is
// one without which the server could not prove at its next start that it finds anything.
func silence(dir, name string, off bool) error {
	listed, err := rules.Silenced(dir)
	if err != nil {
		return err
	}
	if off {
		if !slices.Contains(listed, name) {
			return fmt.Errorf("%w: %s is not disabled; disabled are: %s", control.ErrRefused, name, cmp.Or(strings.Join(listed, ", "), "none"))
		}
		return rules.Unsilence(dir, name)
	}
	if err := meansARule(dir, name); err != nil {
		return err
	}
	if err := rules.Silence(dir, name); err != nil {
		return err
	}
	err = rules.Proves(dir)
	if err == nil || slices.Contains(listed, name) {
		return err
	}
	err = errors.Join(err, rules.Unsilence(dir, name))
	if errors.Is(err, rules.ErrNoEICAR) {
		err = fmt.Errorf("%w: %s stays, for without it %w and the server would not start", control.ErrRefused, name, rules.ErrNoEICAR)
	}
	return err
}

// meansARule refuses a name that is no rule's, no pattern that means one, and no digest.
func meansARule(dir, name string) error {
	if _, err := hex.DecodeString(name); err == nil && len(name) == 2*sha256.Size {
		return nil
	}
	current, err := rules.Current(dir)
	if err != nil {
		return err
	}
	set, err := rules.Load(current)
	if err != nil {
		return err
	}
	defer set.Close()
	for _, r := range set.Infos() {
		for _, full := range []string{r.Name, r.Set + "/" + r.Name} {
			if ok, _ := path.Match(name, full); ok {
				return nil
			}
		}
	}
	return fmt.Errorf("%w: no rule is named %q (kiyome rules list), and it is no sha256 of an object", control.ErrRefused, name)
}

func (a *app) rulesOrder(verb, short string, order func(control.Operator, context.Context) (control.Reloaded, error)) *cobra.Command {
	return &cobra.Command{
		Use:   verb,
		Short: short,
		Args:  args(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			o, err := a.operator(c.Context())
			if err != nil {
				return err
			}
			done, err := order(o, c.Context())
			if err != nil {
				return err
			}
			return a.printReloaded(done)
		},
	}
}

func (a *app) rulesSilence(verb, short string, off bool) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " NAME|SET/NAME|SHA256",
		Short: short,
		Example: fmt.Sprintf(`  kiyome rules %[1]s kiyome/HTML_Smuggling
  kiyome rules %[1]s 275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f`, verb),
		Args: args(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			o, err := a.operator(c.Context())
			if err != nil {
				return err
			}
			done, err := o.Silence(c.Context(), args[0], off)
			if err != nil {
				return err
			}
			return a.printReloaded(done)
		},
	}
}

func (a *app) printReloaded(r control.Reloaded) error {
	a.printProblems(r.Problems)
	if len(r.Restart) > 0 {
		fmt.Fprintf(a.out, "these settings changed too, and need a restart: %s\n", strings.Join(r.Restart, ", "))
	}
	_, err := fmt.Fprintf(a.out, "in service: %d rules, version %s\n", r.Rules.Rules, r.Rules.Version)
	return err
}
