package scan

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kiyome/rules"
	"kiyome/testdata"
)

var update = flag.Bool("update", false, "rewrite testdata/scan/*.want")

// testRules finds the test virus, and notes the word "newsletter". The virus is
// put together here: its bytes stand nowhere in the tree.
func testRules(t testing.TB, more ...string) *rules.Set {
	t.Helper()
	virus := fmt.Sprintf("rule Test { meta: malware = \"EICAR-Test\" strings: $a = { % X } condition: $a }", testdata.EICAR()[:40])
	info := `rule Letter : info { strings: $a = "newsletter" condition: $a }`
	set, err := rules.Compile(append([]string{virus, info}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	return set
}

// testEngine makes an engine with the test rules.
func testEngine(t testing.TB, o Options, more ...string) *Engine {
	t.Helper()
	e, err := NewEngine(testRules(t, more...), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// run scans raw and fails the test on an error.
func run(t testing.TB, e *Engine, raw []byte) *Verdict {
	t.Helper()
	v, err := e.Run(t.Context(), Job{Raw: raw})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestEveryMessageGetsTheVerdictThatIsWanted(t *testing.T) {
	e := testEngine(t, Options{})
	folder := filepath.Join("..", "testdata", "scan")
	for _, name := range testdata.Names() {
		t.Run(name, func(t *testing.T) {
			raw := testdata.MustMail(name)
			got := describe(raw, run(t, e, raw))
			file := filepath.Join(folder, name+".want")
			if *update {
				if err := os.MkdirAll(folder, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
		})
	}
}

// describe writes a verdict for people.
func describe(raw []byte, v *Verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "outcome: %s\n", v.Outcome)
	if v.Why != "" {
		fmt.Fprintf(&b, "why: %s\n", v.Why)
	}
	finding := func(what string, f Finding) {
		fmt.Fprintf(&b, "%s: %s in part %q, name %q", what, f.Malware, f.Part, f.Name)
		if f.Body {
			b.WriteString(", body")
		}
		if len(f.Path) > 0 {
			fmt.Fprintf(&b, ", path %q", f.Path)
		}
		if f.Range.End > f.Range.Start {
			fmt.Fprintf(&b, ", range [%d, %d)", f.Range.Start, f.Range.End)
		}
		b.WriteByte('\n')
	}
	for _, f := range v.Findings {
		finding("finding", f)
	}
	for _, f := range v.Noted {
		finding("noted", f)
	}
	for _, u := range v.Unchecked {
		fmt.Fprintf(&b, "unchecked: %s in part %q, name %q, path %q: %s\n", u.Reason, u.Part, u.Name, u.Path, u.Detail)
	}
	for _, o := range v.Odd {
		fmt.Fprintf(&b, "odd: %s\n", o)
	}
	if v.Signed {
		b.WriteString("signed\n")
	}
	fmt.Fprintf(&b, "objects: %d\n", v.Objects)
	for _, c := range v.Cut {
		fmt.Fprintf(&b, "cut: [%d, %d) of %d\n", c.Start, c.End, len(raw))
		b.WriteString(lines(raw[c.Start:c.End]))
	}
	return b.String()
}

// lines shows the lines that look like a header or a delimiter, and counts the
// others: nothing that would alarm a scanner of the tree.
func lines(text []byte) string {
	var b strings.Builder
	others := 0
	flush := func() {
		if others > 0 {
			fmt.Fprintf(&b, "- (%d lines)\n", others)
		}
		others = 0
	}
	for line := range bytes.Lines(text) {
		if line = bytes.TrimRight(line, "\r\n"); !bytes.Contains(line, []byte(": ")) && !bytes.HasPrefix(line, []byte("--")) {
			others++
			continue
		}
		flush()
		fmt.Fprintf(&b, "- %s\n", strings.Trim(fmt.Sprintf("%+q", line), `"`))
	}
	flush()
	return b.String()
}

// A disk that is full is a fault of ours: what was unpacked until then is no reason to say
// anything of the message.
func TestAFullDiskGivesNoVerdict(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a small file system cannot be mounted: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	scratch, err := Unlinked(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer scratch.Close()
	raw := []byte("Subject: x\r\nContent-Type: application/x-y\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 200_000))
	e := testEngine(t, Options{})
	if v, err := e.Run(t.Context(), Job{Raw: raw, Scratch: scratch}); !errors.Is(err, ErrScratch) || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("full: %+v, %v", v, err)
	}
	if v, err := e.Run(t.Context(), Job{Raw: testdata.MustMail("attachment"), Scratch: scratch}); err != nil || v.Outcome != Cleaned {
		t.Errorf("a small message after it: %+v, %v", v, err)
	}
}
