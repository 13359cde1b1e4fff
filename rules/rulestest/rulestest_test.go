package rulestest_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kiyome/rules"
	"kiyome/rules/rulestest"
)

// cpuTime is what this process used of its cores: others share them with it.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkHeavy prints the two figures by which a rule set is weighed: the time
// for 64 bytes and the rate on text like mail; each with all rules, as programs are
// matched, and with those that may match what is none.
func BenchmarkHeavy(b *testing.B) {
	set, err := rules.Compile(rulestest.Heavy(1000))
	if err != nil {
		b.Fatal(err)
	}
	defer set.Close()
	for _, bb := range []struct {
		name string
		data []byte
	}{
		{"64 bytes, all rules", append([]byte("MZ"), rulestest.Mail(62)[:62]...)},
		{"mail 95 KB, all rules", append([]byte("MZ"), rulestest.Mail(95_000)...)},
		{"64 bytes", rulestest.Mail(64)[:64]},
		{"mail 95 KB", rulestest.Mail(95_000)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			m, err := set.NewMatcher()
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			before := cpuTime(b)
			for b.Loop() {
				if _, err := m.Match(rules.Object{Data: bb.data}, time.Minute); err != nil {
					b.Fatal(err)
				}
			}
			cpu := (cpuTime(b) - before).Seconds() / float64(b.N)
			b.ReportMetric(cpu*1e3, "cpu-ms/call")
			b.ReportMetric(float64(len(bb.data))/1e6/cpu, "cpu-MB/s")
		})
	}
}

func TestHeavyHasTheRulesAskedFor(t *testing.T) {
	for _, n := range []int{0, 1, 50} {
		source := rulestest.Heavy(n)
		set, err := rules.Compile(source)
		if err != nil {
			t.Fatalf("Heavy(%d): %v", n, err)
		}
		if got := len(set.Infos()); got != n {
			t.Errorf("Heavy(%d) has %d rules", n, got)
		}
		set.Close()
		if source != rulestest.Heavy(n) {
			t.Errorf("Heavy(%d) differs from call to call", n)
		}
	}
}

func TestHeavyHasWhatPublicRulesHave(t *testing.T) {
	source := rulestest.Heavy(200)
	for _, want := range []string{`\?\? `, `\[\d-\d+\]`, ` wide`, ` nocase`, ` fullword`, `= /`, `#s0 >`, `for any`, `@s0\[`, `pe\.`, `math\.`, `hash\.`} {
		if !regexp.MustCompile(want).MatchString(source) {
			t.Errorf("no rule has %s", want)
		}
	}
	for rule := range strings.SplitSeq(source, "\nrule ") {
		if n := strings.Count(rule, "\t\t$s"); strings.HasPrefix(rule, "Heavy") && (n < 2 || n > 6) {
			t.Errorf("%d strings in %s", n, rule)
		}
	}
}

func TestMail(t *testing.T) {
	text := rulestest.Mail(10_000)
	if len(text) < 10_000 || !bytes.Equal(text, rulestest.Mail(10_000)) {
		t.Errorf("%d bytes, or not the same twice", len(text))
	}
	set, err := rules.Compile(rulestest.Heavy(1000))
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	m, err := set.NewMatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if found, err := m.Match(rules.Object{Data: text}, time.Minute); len(found) > 0 || err != nil {
		t.Errorf("Heavy on Mail: %v, %v", found, err)
	}
}
