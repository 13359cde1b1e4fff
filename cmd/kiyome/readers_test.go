package main_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"kiyome/rules"
	"kiyome/scan"
	"kiyome/testdata"
	"kiyome/testdata/evasion"
)

// TestOthersFindNothingInWhatIsLeft cuts every message of the package evasion that
// can be cut, and gives what is left to readers of other people: none may see
// what was hidden in it.
func TestOthersFindNothingInWhatIsLeft(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Dovecot, and reads thousands of messages")
	}
	all := append(uncut(), remains(t)...)
	for _, r := range []struct {
		name string
		read func(*testing.T, []letter, func(n int, file []byte))
	}{
		{"Python", byPython},
		{"MIME-tools", byMIMETools},
		{"Dovecot", byDovecot},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			files, seen := 0, map[int]bool{}
			r.read(t, all, func(n int, file []byte) {
				files++
				seen[n] = seen[n] || isPayload(file)
			})
			judge(t, r.name, all, seen)
			t.Logf("%d files in %d messages", files, len(all))
		})
	}
}

// judge fails when a reader sees a payload in what is left, or none in what was not cut.
func judge(t *testing.T, reader string, all []letter, seen map[int]bool) {
	t.Helper()
	found := map[string]bool{}
	for n, l := range all {
		if l.uncut && !seen[n] {
			t.Errorf("%v: nothing is seen before anything is cut", l.of)
		}
		if l.uncut || !seen[n] {
			continue
		}
		for _, name := range l.of {
			found[name] = true
			if leftToOthers[reader][name] == "" {
				t.Errorf("%s: the payload is seen in what is left:\n%.600q", name, l.raw)
			}
		}
	}
	for name := range leftToOthers[reader] {
		if !found[name] {
			t.Errorf("%s: nothing is seen: take it out of the list", name)
		}
	}
}

// leftToOthers lists what a reader sees all the same, and why.
var leftToOthers = map[string]map[string]string{}

// letter is a message for readers.
type letter struct {
	raw   []byte
	of    []string // the cases of which a cut leaves just this
	uncut bool     // the payload is still in it
}

// uncut gives messages in which every reader has to see something: one that does
// not would prove nothing.
func uncut() []letter {
	var all []letter
	for _, name := range []string{"baseline/base64 attachment", "baseline/quoted-printable attachment", "baseline/in a zip"} {
		for _, p := range []evasion.Payload{evasion.Marker(), evasion.EICAR()} {
			all = append(all, letter{raw: evasionCase(name).Build(p), of: []string{name}, uncut: true})
		}
	}
	return all
}

// evasionCase gives a case by its family and name.
func evasionCase(name string) evasion.Case {
	cases := evasion.Cases()
	i := slices.IndexFunc(cases, func(c evasion.Case) bool { return c.Family+"/"+c.Name == name })
	if i < 0 {
		panic("no case " + name)
	}
	return cases[i]
}

// delivered is what stands above a message in the mailbox, or the like of it: with
// it, an odd beginning may read differently.
const delivered = "Return-Path: <taro@example.com>\r\nDelivered-To: hanako@example.jp\r\nX-Virus-Status: Cleaned\r\n"

// remains gives what cuts leave of all cases, each but once: many leave the same.
func remains(t *testing.T) []letter {
	t.Helper()
	var all []letter
	index := map[string]int{}
	for _, l := range slices.Concat(cutAll(t, evasion.Cases())...) {
		n, found := index[string(l.raw)]
		switch {
		case !found:
			index[string(l.raw)], all = len(all), append(all, l)
		case !slices.Contains(all[n].of, l.of[0]):
			all[n].of = append(all[n].of, l.of[0])
		}
	}
	return all
}

// cutAll scans the messages of all cases, and gives what is left of those that are
// cleaned, case by case.
func cutAll(t *testing.T, cases []evasion.Case) [][]letter {
	t.Helper()
	set, err := rules.Compile(fmt.Sprintf("rule Payload { strings: $a = %q $b = { %X } condition: any of them }", evasion.MarkerText, testdata.EICAR()))
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	left := make([][]letter, len(cases))
	var next, cleaned atomic.Int64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			e, err := scan.NewEngine(set, scan.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer e.Close()
			for i := next.Add(1) - 1; i < int64(len(cases)); i = next.Add(1) - 1 {
				for name, raw := range forms(cases[i]) {
					if rest := lessTheCut(t, e, raw); rest != nil {
						cleaned.Add(1)
						left[i] = append(left[i], letters(name, rest)...)
					}
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d messages are cleaned", cleaned.Load())
	return left
}

// letters gives what is left of a message, as it was sent and as it is delivered.
func letters(name string, rest []byte) []letter {
	l := letter{raw: rest, of: []string{name}}
	if strings.HasSuffix(name, another) {
		return []letter{l} // it begins like any other
	}
	return []letter{l, {raw: append([]byte(delivered), rest...), of: l.of}}
}

// another is in the names of messages with a second payload.
const another = " beside another"

// filesOnly are families that hide something within one file, or behind much else: what
// else is in the message does not matter to them.
var filesOnly = []string{"HTML", "OpenPGP", "abuse", "archive", "password", "wrapper", "zip"}

// forms gives the messages of a case: as they are, and with a second payload that
// every scanner finds. That one can be cut, so that what else is in the message would
// be delivered if the cut were not proved.
func forms(c evasion.Case) iter.Seq2[string, []byte] {
	marker, virus := evasion.Marker(), evasion.EICAR()
	if !c.Text {
		virus = virus.InZip()
	}
	name := c.Family + "/" + c.Name
	return func(yield func(string, []byte) bool) {
		if !yield(name, c.Build(marker)) || !yield(name, c.Build(virus)) || slices.Contains(filesOnly, c.Family) {
			return
		}
		if two := twice(c.Build(marker), ordinary(marker)); two != nil && !yield(name+another, two) {
			return
		}
		yield(name+", attached"+another, attached(c.Build(virus), ordinary(virus)))
	}
}

// ordinary is a payload as a part that everybody reads alike.
func ordinary(p evasion.Payload) string {
	return "Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=another\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		base64.StdEncoding.EncodeToString(p.Content) + "\r\n"
}

// firstText finds the text that most cases begin with, and the delimiter above it.
var firstText = regexp.MustCompile(`(?m)^(--.*\r\n)Content-Type: text/plain; charset=us-ascii\r\n\r\nPlease`)

// twice puts a part before the first text of a multipart. It gives nil when there is none.
func twice(raw []byte, part string) []byte {
	at := firstText.FindSubmatchIndex(raw)
	if at == nil {
		return nil
	}
	delimiter, rest := raw[at[2]:at[3]], raw[at[3]:]
	return slices.Concat(raw[:at[3]], []byte(part), delimiter, rest)
}

// attached is a message with another in it, behind a part.
func attached(raw []byte, part string) []byte {
	return []byte("From: taro@example.com\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=beside\r\n\r\n" +
		"--beside\r\n\r\nHello.\r\n--beside\r\n" + part + "--beside\r\nContent-Type: message/rfc822\r\n\r\n" + string(raw) + "\r\n--beside--\r\n")
}

// lessTheCut gives what is delivered of a message that is cleaned, nil of others.
func lessTheCut(t *testing.T, e *scan.Engine, raw []byte) []byte {
	t.Helper()
	v, err := e.Run(t.Context(), scan.Job{Raw: raw})
	if err != nil {
		t.Error(err)
		return nil
	}
	if v.Outcome != scan.Cleaned {
		return nil
	}
	rest := []byte{}
	for _, k := range scan.Keep(int64(len(raw)), v.Cut) {
		rest = append(rest, raw[k.Start:k.End]...)
	}
	return rest
}

// isPayload reports whether a file is a payload, or a zip with one in it.
func isPayload(file []byte) bool {
	if bytes.Contains(file, []byte(evasion.MarkerText)) || bytes.Contains(file, testdata.EICAR()) {
		return true
	}
	if !bytes.Contains(file, []byte("PK\x03\x04")) {
		return false
	}
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	return err == nil && slices.ContainsFunc(z.File, func(f *zip.File) bool {
		r, err := f.Open()
		if err != nil {
			return false
		}
		defer r.Close()
		data, _ := io.ReadAll(r) // what there is of a damaged one
		return isPayload(data)
	})
}

func byPython(t *testing.T, all []letter, see func(int, []byte)) {
	if err := exec.Command("python3", "-c", "import email").Run(); err != nil {
		t.Skip("needs python3")
	}
	byScript(t, all, see, "python3", "python-email.py")
}

func byMIMETools(t *testing.T, all []letter, see func(int, []byte)) {
	if err := exec.Command("perl", "-MMIME::Parser", "-e", "1").Run(); err != nil {
		t.Skip("needs MIME-tools for Perl: make deps installs it")
	}
	byScript(t, all, see, "perl", "mime-tools.pl")
}

// byScript has a script of testdata/readers read all messages, and tells what it sees.
func byScript(t *testing.T, all []letter, see func(int, []byte), program, script string) {
	t.Helper()
	script, err := filepath.Abs(filepath.Join("testdata", "readers", script))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, script)
	cmd.Dir = t.TempDir()
	index := map[string]int{}
	for n, l := range all {
		name := fmt.Sprintf("%05d.eml", n)
		index[name], cmd.Args = n, append(cmd.Args, name)
		if err := os.WriteFile(filepath.Join(cmd.Dir, name), l.raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, &complaints)
	}
	for line := range bytes.Lines(out) {
		name, text, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		file, err := base64.StdEncoding.DecodeString(string(text))
		n, known := index[string(name)]
		if err != nil || !known {
			t.Fatalf("%s: not a line of ours: %.200q", script, line)
		}
		see(n, file)
	}
	for line := range strings.Lines(complaints.String()) {
		if name, _, _ := strings.Cut(line, " "); strings.HasSuffix(name, ".eml") {
			t.Logf("%v: %s", all[index[name]].of[0], line)
		}
	}
}
