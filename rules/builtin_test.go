package rules

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"
	"unicode/utf16"
)

// sample is a thing that a rule is to find, or one that only looks like it.
//
// testdata/builtin/THEME.txt holds those of THEME.yar, all of it in ROT13 so that it
// alarms no scanner: `tr A-Za-z N-ZA-Mn-za-m` reads and writes it. A sample is a line
// "== hit RULE NAME" or "== miss RULE NAME", NAME being the name of the file, and
// its content below; both are templates in the sense of text/template, with the
// functions of sampleFunctions. The line end before the next sample is not part of it.
type sample struct {
	place   string // file and number, for messages
	hit     bool
	rule    string
	name    string
	content []byte
}

// sampleFunctions are what a sample can call.
var sampleFunctions = template.FuncMap{
	"eicar":  func() string { return string(eicar()) },
	"repeat": func(n int, s string) string { return strings.Repeat(s, n) },
	"x":      func(s string) (string, error) { b, err := hex.DecodeString(s); return string(b), err },
	"b64":    func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"utf16":  littleEndian,
	"pe":     program,
	"ole":    func() string { return "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1" },
	"lnk":    link,
	"one":    func() string { return "\xE4\x52\x5C\x7B\x8C\xD8\xA7\x4D\xAE\xB1\x53\x78\xD0\x29\x96\xD3" },
	"store":  store,
	"zip":    archive,
}

func littleEndian(s string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

// program is the head of a Windows program and nothing behind it.
func program() string {
	head := make([]byte, 128)
	copy(head, "MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xFF\xFF")
	head[0x3C] = 64
	copy(head[64:], "PE\x00\x00This program cannot be run in DOS mode")
	return string(head)
}

// link is a Windows shortcut with a command line.
func link(command string) string {
	head := make([]byte, 76)
	copy(head, "\x4C\x00\x00\x00\x01\x14\x02\x00\x00\x00\x00\x00\xC0\x00\x00\x00\x00\x00\x00\x46")
	return string(head) + littleEndian(command) + "\x00\x00"
}

// store is what stands before a file in a OneNote section.
func store() string {
	return "\xE7\x16\xE3\xBD\x65\x26\x11\x45\xA4\xC4\x8D\x4D\x0B\x7A\x9E\xAC" + strings.Repeat("\x00", 20)
}

func archive(name, content string) (string, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create(name)
	if err != nil {
		return "", err
	}
	if _, err := w.Write([]byte(content)); err != nil {
		return "", err
	}
	err = z.Close()
	return b.String(), err
}

// rot13 turns letters by half the alphabet.
func rot13(b []byte) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return 'a' + (r-'a'+13)%26
		case 'A' <= r && r <= 'Z':
			return 'A' + (r-'A'+13)%26
		}
		return r
	}, string(b))
}

var sampleHead = regexp.MustCompile(`(?m)^== (hit|miss) (\w+) (.+)\n`)

// samples reads the samples of all themes.
func samples(t *testing.T) []sample {
	t.Helper()
	files, err := filepath.Glob("testdata/builtin/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	var all []sample
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := rot13(data)
		heads := sampleHead.FindAllStringSubmatchIndex(text, -1)
		for i, h := range heads {
			end := len(text)
			if i+1 < len(heads) {
				end = heads[i+1][0]
			}
			s := sample{
				place: fmt.Sprintf("%s/%d", strings.TrimSuffix(filepath.Base(file), ".txt"), i+1),
				hit:   text[h[2]:h[3]] == "hit",
				rule:  text[h[4]:h[5]],
			}
			s.name = string(expand(t, s.place, text[h[6]:h[7]]))
			s.content = expand(t, s.place, strings.TrimSuffix(text[h[1]:end], "\n"))
			all = append(all, s)
		}
	}
	return all
}

func expand(t *testing.T, place, text string) []byte {
	t.Helper()
	tmpl, err := template.New(place).Funcs(sampleFunctions).Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, nil); err != nil {
		t.Fatalf("%s: %v", place, err)
	}
	return b.Bytes()
}

// builtinRules compiles the rules that come with kiyome.
func builtinRules(t *testing.T) (*Set, *Matcher) {
	t.Helper()
	names, err := builtin.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var sources []string
	for _, n := range names {
		source, err := builtin.ReadFile(n.Name())
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, string(source))
	}
	set, err := Compile(sources...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	m, err := set.NewMatcher()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return set, m
}

func TestBuiltinRulesFindTheirSamplesAndSpareTheTwins(t *testing.T) {
	_, m := builtinRules(t)
	for _, s := range samples(t) {
		found, err := m.Match(Object{Data: s.content, Name: s.name}, 10*time.Second)
		if err != nil {
			t.Errorf("%s: %v", s.place, err)
		}
		names := make([]string, len(found))
		cut := false
		for i, f := range found {
			names[i] = f.Rule
			cut = cut || !f.LogOnly
		}
		switch {
		case s.hit && !slices.Contains(names, s.rule):
			t.Errorf("%s (%q): %s does not find its sample; found %v", s.place, s.name, s.rule, names)
		case !s.hit && slices.Contains(names, s.rule):
			t.Errorf("%s (%q): %s takes a harmless thing for what it looks for", s.place, s.name, s.rule)
		case !s.hit && cut:
			t.Errorf("%s (%q): a harmless thing would be cut by %v", s.place, s.name, names)
		}
	}
}

func TestEveryBuiltinRuleHasASampleAndATwin(t *testing.T) {
	set, _ := builtinRules(t)
	hits, misses := map[string]bool{}, map[string]bool{}
	for _, s := range samples(t) {
		if s.hit {
			hits[s.rule] = true
		} else {
			misses[s.rule] = true
		}
	}
	for _, r := range set.Infos() {
		if !hits[r.Name] || !misses[r.Name] {
			t.Errorf("%s: has a sample: %t, a harmless twin: %t", r.Name, hits[r.Name], misses[r.Name])
		}
		delete(hits, r.Name)
		delete(misses, r.Name)
	}
	if len(hits)+len(misses) > 0 {
		t.Errorf("samples of rules that do not exist: %v %v", hits, misses)
	}
}

var malwareName = regexp.MustCompile(`^[A-Z][\w-]*(\.[\w-]+)*(@mm?)?$`)

func TestBuiltinRulesSayWhatTheyAre(t *testing.T) {
	set, _ := builtinRules(t)
	malware := map[string]string{}
	for _, r := range set.Infos() {
		if r.Description == "" || !malwareName.MatchString(r.Malware) {
			t.Errorf("%s: description %q, malware %q", r.Name, r.Description, r.Malware)
		}
		if info := slices.Contains(r.Tags, "info"); info && !r.LogOnly {
			t.Errorf("%s: a fact for the log, and yet it cuts", r.Name)
		}
		if other := malware[r.Malware]; other != "" {
			t.Errorf("%s and %s bear the same name of malware", r.Name, other)
		}
		malware[r.Malware] = r.Name
	}
}

// Every rule states what an operator needs to judge it. libyara hands over only what
// the package asks for, so the sources are read.
func TestBuiltinSourcesAreComplete(t *testing.T) {
	names, err := builtin.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		source, err := builtin.ReadFile(n.Name())
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(source, []byte("\nimport ")) {
			t.Errorf("%s imports a module: that costs every object, whatever it is", n.Name())
		}
		for _, rule := range regexp.MustCompile(`(?ms)^rule (\w+).*?^}`).FindAllSubmatch(source, -1) {
			for _, key := range []string{"description", "malware", "author", "date", "reference", "severity"} {
				if !bytes.Contains(rule[0], []byte("\n        "+key+" = ")) {
					t.Errorf("%s: %s has no %s", n.Name(), rule[1], key)
				}
			}
		}
	}
}

// The same words in a letter are a letter.
func TestTextThatQuotesASampleIsClean(t *testing.T) {
	_, m := builtinRules(t)
	prose := strings.Repeat("Dear all, if you see what stands below in a mail, delete it.\n", 40)
	for _, s := range samples(t) {
		if s.rule == "EICAR_Test_File" {
			continue // to be found anywhere, by agreement
		}
		for _, name := range []string{"", "warning.txt", "article.md"} {
			found, err := m.Match(Object{Data: append([]byte(prose), s.content...), Name: name}, 10*time.Second)
			if err != nil {
				t.Errorf("%s: %v", s.place, err)
			}
			for _, f := range found {
				if !f.LogOnly {
					t.Errorf("%s under the name %q: %s would cut a text", s.place, name, f.Rule)
				}
			}
		}
	}
}
