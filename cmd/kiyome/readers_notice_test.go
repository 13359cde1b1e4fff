package main_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"kiyome/rules"
	"kiyome/scan"
	"kiyome/scan/report"
	"kiyome/testdata"
	"kiyome/testdata/evasion"
)

// noticed is a message that was cut, with a notice and without one.
type noticed struct {
	name       string
	rest, with []byte
	notice     string // the text of the notice
}

// TestOthersReadTheNotice cuts messages that can be cut, and gives them to readers of
// other people with the notice in them: they see what they see without it, and
// the notice.
func TestOthersReadTheNotice(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Dovecot, and reads thousands of messages")
	}
	all := allNoticed(t)
	var letters []letter // by twos: without the notice, and with it
	for _, n := range all {
		letters = append(letters, letter{raw: n.rest, of: []string{n.name}}, letter{raw: n.with, of: []string{n.name}})
	}
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
			files := make([]map[string]int, len(letters))
			r.read(t, letters, func(n int, file []byte) {
				if files[n] == nil {
					files[n] = map[string]int{}
				}
				files[n][string(file)]++
			})
			for i, n := range all {
				if r.name == "Python" {
					// It leaves a line end behind the parts of what it takes for no
					// multipart, when that is in another.
					files[2*i], files[2*i+1] = trimmed(files[2*i]), trimmed(files[2*i+1])
					n.notice = strings.TrimRight(n.notice, "\n")
				}
				sameButTheNotice(t, n, files[2*i], files[2*i+1])
			}
		})
	}
	for _, r := range []struct{ name, program, script string }{
		{"Python, texts", "python3", "python-texts.py"},
		{"MIME-tools, texts", "perl", "mime-tools-texts.pl"},
	} {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			seen := map[int]int{}
			byScript(t, letters, func(n int, text []byte) {
				if bytes.Equal(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte(all[n/2].notice)) {
					seen[n]++
				}
			}, r.program, r.script)
			for i, n := range all {
				if seen[2*i] != 0 || seen[2*i+1] != 1 {
					t.Errorf("%s: the notice is shown %d times:\n%.2000s", n.name, seen[2*i+1], n.with)
				}
			}
		})
	}
}

// trimmed gives files less the line ends at their ends.
func trimmed(files map[string]int) map[string]int {
	all := map[string]int{}
	for file, n := range files {
		all[strings.TrimRight(file, "\r\n")] += n
	}
	return all
}

// sameButTheNotice compares the files that a reader sees, and how often. An empty one is
// nothing to see.
func sameButTheNotice(t *testing.T, n noticed, rest, with map[string]int) {
	t.Helper()
	with = maps.Clone(with)
	notice := strings.ReplaceAll(n.notice, "\n", "\r\n")
	if with[notice] == 0 {
		t.Errorf("%s: no notice is seen:\n%.2000s", n.name, n.with)
	}
	delete(with, notice)
	delete(with, "")
	delete(rest, "")
	if !maps.Equal(rest, with) {
		t.Errorf("%s: with the notice %.1000q, without it %.1000q:\n%.2000s", n.name, slices.Sorted(maps.Keys(with)), slices.Sorted(maps.Keys(rest)), n.with)
	}
	for file := range with {
		if isPayload([]byte(file)) {
			t.Errorf("%s: the payload is seen", n.name)
		}
	}
}

// allNoticed gives all messages that can be cut and have a notice put in: those of the
// package evasion, and those of testdata.
func allNoticed(t *testing.T) []noticed {
	t.Helper()
	set, err := rules.Compile(fmt.Sprintf("rule Payload { strings: $a = %q $b = { %X } condition: any of them }", evasion.MarkerText, testdata.EICAR()))
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	e, err := scan.NewEngine(set, scan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	w, err := report.New(report.Options{From: "virus-check@example.jp", Provider: "例示インターネット"})
	if err != nil {
		t.Fatal(err)
	}
	var all []noticed
	cleaned, without := 0, map[string]bool{}
	add := func(name string, raw []byte) {
		v, err := e.Run(t.Context(), scan.Job{Raw: raw})
		if err != nil || v.Outcome != scan.Cleaned {
			return
		}
		if cleaned++; v.Notice == nil {
			without[name] = true
			return
		}
		all = append(all, withNotice(t, w, name, raw, v))
	}
	for _, name := range testdata.Names() {
		add(name, testdata.MustMail(name))
	}
	for _, c := range evasion.Cases() {
		if slices.Contains(filesOnly, c.Family) {
			continue
		}
		last := ""
		for name, raw := range forms(c) {
			if name != last && !strings.Contains(name, ", attached") { // one payload will do, and one ordinary multipart around it
				add(name, raw)
			}
			last = name
		}
	}
	t.Logf("%d messages are cleaned, %d of them without a notice: %q", cleaned, cleaned-len(all), slices.Sorted(maps.Keys(without)))
	return all
}

// withNotice makes the message that goes out.
func withNotice(t *testing.T, w *report.Writer, name string, raw []byte, v *scan.Verdict) noticed {
	t.Helper()
	part, err := w.Notice(report.Mail{Sender: "taro@example.com", Detected: time.Unix(0, 0)}, v)
	if err != nil {
		t.Fatal(err)
	}
	m, err := scan.NewMessage(raw)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var with bytes.Buffer
	if _, err := m.WriteNotice(&with, v.Notice, part); err != nil {
		t.Fatal(err)
	}
	n := noticed{name: name, with: with.Bytes()}
	for _, k := range scan.Keep(int64(len(raw)), v.Cut) {
		n.rest = append(n.rest, raw[k.Start:k.End]...)
	}
	n.notice = decoded(t, part)
	return n
}

// decoded gives the text of a notice, with LF line ends.
func decoded(t *testing.T, part []byte) string {
	t.Helper()
	_, code, _ := bytes.Cut(part, []byte("\r\n\r\n"))
	text, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(string(code), "\r\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}
