package scan

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"kiyome/testdata"
	"kiyome/testdata/evasion"
)

// evasionEngine finds the marker and the test virus, wherever they stand in an object.
func evasionEngine(t testing.TB) *Engine {
	t.Helper()
	marker := fmt.Sprintf("rule Marker { strings: $a = %q condition: $a }", evasion.MarkerText)
	return testEngine(t, Options{}, marker)
}

// score counts the cases of one family.
type score struct {
	total, caught int
	missed        []string
}

// variant is a payload, and what to expect of a message that hides it.
type variant struct {
	name string
	evasion.Payload
	infected bool
}

// variants are the payloads that every case hides, plain and in a zip.
var variants = []variant{
	{"marker", evasion.Marker(), true},
	{"EICAR", evasion.EICAR(), true},
	{"clean", evasion.Clean(), false},
	{"marker in a zip", evasion.Marker().InZip(), true},
	{"EICAR in a zip", evasion.EICAR().InZip(), true},
	{"clean in a zip", evasion.Clean().InZip(), false},
}

// tried scans every variant of a case, and gives the infected ones in which nothing
// is found, each with what was told of it all the same.
func tried(t *testing.T, e *Engine, c evasion.Case) (missed []string) {
	t.Helper()
	for _, p := range variants {
		if p.Zipped && c.Text {
			continue
		}
		raw := c.Build(p.Payload)
		v := run(t, e, raw)
		found := v.Outcome != Clean && len(v.Findings) > 0
		switch {
		case !p.infected && (found || v.Outcome != Clean):
			t.Errorf("%s: %s", p.name, describe(raw, v))
		case p.infected && !found:
			missed = append(missed, p.name+told(v))
		case v.Outcome == Cleaned:
			provedAgain(t, e, p.name, raw, v)
		}
	}
	return missed
}

// told says why a message that seems clean was not checked whole.
func told(v *Verdict) string {
	if len(v.Unchecked) == 0 {
		return ""
	}
	return " (" + v.Unchecked[0].Reason + ")"
}

// provedAgain scans what is left of a message that was cut, as if it had just come, and
// the same with a notice.
func provedAgain(t *testing.T, e *Engine, name string, raw []byte, v *Verdict) {
	t.Helper()
	var rest []byte
	for _, k := range Keep(int64(len(raw)), v.Cut) {
		rest = append(rest, raw[k.Start:k.End]...)
	}
	if again := run(t, e, rest); again.Outcome != Clean || len(again.Findings) > 0 {
		t.Errorf("%s: what is left is %s", name, describe(rest, again))
	}
	if v.Notice != nil {
		checkNotice(t, e, raw, v)
	}
}

// TestNoReadingEscapes tries every technique of the package evasion. What known
// lists is missed today: a case that is found all the same has to leave the list.
// -update rewrites the list, and the change is read like code.
func TestNoReadingEscapes(t *testing.T) {
	e := evasionEngine(t)
	r := result{scores: map[string]*score{}, known: map[string]bool{}}
	cases := evasion.Cases()
	for _, c := range cases {
		name := c.Family + "/" + c.Name
		t.Run(name, func(t *testing.T) {
			missed := strings.Join(tried(t, e, c), ", ")
			r.note(c, missed)
			switch listed := known[name]; {
			case *update || c.Level == evasion.Doubtful:
			case missed == "" && listed:
				t.Error("found: take it out of the list of what is known to be missed")
			case missed != "" && !listed:
				t.Errorf("not found: %s", missed)
			}
		})
	}
	t.Log(r.table())
	if *update && r.total == len(cases) {
		r.write(t)
	}
}

// result is what came of all cases.
type result struct {
	total  int
	order  []string // of the families
	scores map[string]*score
	known  map[string]bool // what is missed
}

// note counts a case. The doubtful ones have a line of their own.
func (r *result) note(c evasion.Case, missed string) {
	family := c.Family
	if c.Level == evasion.Doubtful {
		family = "(" + evasion.Doubtful + ")"
	}
	s := r.scores[family]
	if s == nil {
		s = &score{}
		r.scores[family], r.order = s, append(r.order, family)
	}
	r.total++
	s.total++
	if missed == "" {
		s.caught++
		return
	}
	s.missed = append(s.missed, fmt.Sprintf("%s: %s [%s]", c.Name, missed, c.Level))
	if c.Level != evasion.Doubtful {
		r.known[c.Family+"/"+c.Name] = true
	}
}

// write rewrites the list of what is missed.
func (r *result) write(t *testing.T) {
	t.Helper()
	var b strings.Builder
	b.WriteString("package scan\n\n// known lists the cases of the package evasion that are missed today, one a line.\nvar known = listed(`\n")
	for _, name := range slices.Sorted(maps.Keys(r.known)) {
		b.WriteString(name + "\n")
	}
	if err := os.WriteFile("evasion_known_test.go", []byte(b.String()+"`)\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// listed reads a list of names.
func listed(names string) map[string]bool {
	all := map[string]bool{}
	for _, name := range strings.Split(strings.Trim(names, "\n"), "\n") {
		all[name] = true
	}
	delete(all, "") // of an empty list
	return all
}

// table writes how many cases of each family were caught, and which were not.
func (r *result) table() string {
	var b strings.Builder
	var all score
	b.WriteByte('\n')
	for _, family := range r.order {
		s := r.scores[family]
		fmt.Fprintf(&b, "%-18s %3d of %3d\n", family, s.caught, s.total)
		for _, name := range s.missed {
			fmt.Fprintf(&b, "    %s\n", name)
		}
		all.total, all.caught = all.total+s.total, all.caught+s.caught
	}
	fmt.Fprintf(&b, "%-18s %3d of %3d\n", "all", all.caught, all.total)
	return b.String()
}

// TestAbuseIsBounded counts the objects that large and deep messages are taken for:
// a bound in the size of the message, and none that grows with its readings.
func TestAbuseIsBounded(t *testing.T) {
	e := evasionEngine(t)
	for _, c := range evasion.Cases() {
		if c.Family != "abuse" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			raw := c.Build(evasion.Marker())
			v := run(t, e, raw)
			t.Logf("%d bytes of mail, %d objects of %d bytes", len(raw), v.Objects, v.Bytes)
			if v.Objects > abuseObjects || v.Bytes > abuseBytes*int64(len(raw)) {
				t.Errorf("%d objects of %d bytes in a message of %d", v.Objects, v.Bytes, len(raw))
			}
		})
	}
}

// Bounds of what a message of the family abuse may cost.
const (
	abuseObjects = 2000
	abuseBytes   = 12 // times the message's own
)

func TestWildMailIsClean(t *testing.T) {
	e := evasionEngine(t)
	var unchecked []string
	for _, w := range evasion.Wild() {
		t.Run(w.Name, func(t *testing.T) {
			v := run(t, e, w.Raw)
			if v.Outcome != Clean || len(v.Findings) > 0 {
				t.Error(describe(w.Raw, v))
			}
			if v.Objects > wildObjects {
				t.Errorf("%d objects, want %d at the most", v.Objects, wildObjects)
			}
			for _, u := range v.Unchecked {
				unchecked = append(unchecked, fmt.Sprintf("%s: %s: %s", w.Name, u.Reason, u.Detail))
			}
		})
	}
	t.Logf("not checked:\n    %s", strings.Join(unchecked, "\n    "))
}

// wildObjects is how many objects an ordinary message may be taken for.
const wildObjects = 24

func TestEvasionPayloads(t *testing.T) {
	for name, p := range map[string]evasion.Payload{"marker": evasion.Marker(), "EICAR": evasion.EICAR(), "clean": evasion.Clean()} {
		if len(p.Content) != len(testdata.EICAR()) {
			t.Errorf("%s: %d bytes", name, len(p.Content))
		}
	}
	seen := map[string]bool{}
	defer func() {
		for name := range known {
			if !seen[name] {
				t.Errorf("known has %q, and there is no such case", name)
			}
		}
	}()
	for _, c := range evasion.Cases() {
		name := c.Family + "/" + c.Name
		if seen[name] {
			t.Errorf("two cases go by %q", name)
		}
		seen[name] = true
		if a, b := c.Build(evasion.Marker()), c.Build(evasion.Marker()); string(a) != string(b) {
			t.Errorf("%s: not the same twice", name)
		}
	}
}

// BenchmarkWildMail scans ordinary mail: what the readings cost that it does not
// need. Beside the time it gives the objects that are matched for a message.
func BenchmarkWildMail(b *testing.B) {
	e := evasionEngine(b)
	var mails [][]byte
	for _, w := range evasion.Wild() {
		mails = append(mails, w.Raw)
	}
	objects := 0
	for b.Loop() {
		for _, raw := range mails {
			objects += run(b, e, raw).Objects
		}
	}
	b.ReportMetric(float64(objects)/float64(b.N*len(mails)), "objects/message")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*len(mails)), "µs/message")
}
