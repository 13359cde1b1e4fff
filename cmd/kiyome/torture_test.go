//go:build torture

package main_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// A fault is one thing that goes wrong under a server that runs.
type fault struct {
	name  string
	needs string // what this machine has to have: see lacking

	// run puts the fault on a server that is the given program, and says what came of it. What
	// must not have come of it is among the problems of the result; the test itself fails
	// only where the fault cannot be put on.
	run func(t *testing.T, p program) *result
}

// result is what came of a fault.
type result struct {
	heard    string // by the client
	mailbox  string // what lay there then
	problems []string
}

// wrong notes what must not be.
func (r *result) wrong(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// chapters are all faults, in the order in which they are put on.
func chapters() []chapter {
	return []chapter{
		{"order", orderFaults()},
		{"power", powerFaults()},
		{"kill", killFaults()},
		{"storage", storageFaults()},
		{"worker", workerFaults()},
		{"peer", peerFaults()},
		{"accounts", accountFaults()},
	}
}

type chapter struct {
	name   string
	faults []fault
}

// line is a line of the table.
type line struct{ chapter, fault, outcome, heard, mailbox string }

// TestTorture puts every fault on, one after the other, and prints what came of each.
func TestTorture(t *testing.T) {
	for _, b := range breaks { // they are to follow the code
		b.overlay(t)
	}
	var table []line
	for _, c := range chapters() {
		for _, f := range c.faults {
			t.Run(c.name+"/"+f.name, func(t *testing.T) {
				l := line{c.name, f.name, "held", "", ""}
				defer func() { table = append(table, l) }()
				if missing := lacking(f.needs); missing != "" {
					l.outcome, l.heard = "skipped", "needs "+missing
					t.Skip(l.heard)
				}
				l.outcome = "broke off" // unless it comes to its end
				r := f.run(t, nil)
				l.outcome, l.heard, l.mailbox = "held", r.heard, r.mailbox
				if len(r.problems) > 0 {
					l.outcome = "FAILED"
					t.Error(few(r.problems))
				}
			})
		}
	}
	printTable(table)
}

// few gives problems, and not more of them than can be read.
func few(problems []string) string {
	const most = 10
	if len(problems) > most {
		problems = append(problems[:most:most], fmt.Sprintf("and %d more", len(problems)-most))
	}
	return strings.Join(problems, "\n")
}

func printTable(table []line) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nchapter\tfault\toutcome\tthe client heard\tin the mailbox")
	count := map[string]int{}
	for _, l := range table {
		count[l.outcome]++
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", l.chapter, l.fault, l.outcome, l.heard, l.mailbox)
	}
	w.Flush()
	fmt.Printf("\n%d faults:", len(table))
	for _, outcome := range slices.Sorted(maps.Keys(count)) {
		fmt.Printf(" %d %s", count[outcome], outcome)
	}
	fmt.Print("\n\n")
}

// lacking tells which of the needed things this machine does not have. "root" is the
// user; all else is a program, or a file where it has a slash.
func lacking(needs string) string {
	var missing []string
	for _, need := range strings.Fields(needs) {
		var err error
		switch {
		case need == "root":
			if os.Geteuid() != 0 {
				missing = append(missing, need)
			}
		case strings.Contains(need, "/"):
			_, err = os.Stat(need)
		default:
			_, err = exec.LookPath(need)
		}
		if err != nil {
			missing = append(missing, need)
		}
	}
	return strings.Join(missing, ", ")
}

// tortured is a site for a fault: with a checked mailbox, taro, and one that is not,
// jiro; not running yet.
func tortured(t *testing.T, p program) *site {
	t.Helper()
	s := newSite(t)
	p.install(t, s)
	s.account("add", "taro@example.jp")
	s.account("subscribe", "taro@example.jp")
	s.account("add", "jiro@example.jp")
	return s
}

// setting puts lines below a heading of the configuration.
func (s *site) setting(heading, lines string) {
	s.t.Helper()
	text := s.read("kiyome.toml")
	if !strings.Contains(text, "["+heading+"]\n") {
		text += "\n\n[" + heading + "]\n"
	}
	text = strings.Replace(text, "["+heading+"]\n", "["+heading+"]\n"+lines+"\n", 1)
	if err := os.WriteFile(s.Dir+"/kiyome.toml", []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// must runs a program of the system.
func must(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

// soakTime is how long the soak lasts, and scales what else takes its time.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("SOAK")
	if text == "" {
		return time.Minute
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("SOAK=%s: %v", text, err)
	}
	return d
}

// redial connects as soon as there is a server again.
func redial(port int) *lmtpClient { return (&load{port: port}).redial() }
