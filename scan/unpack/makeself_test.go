package unpack

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func FuzzMakeself(f *testing.F) { fuzz(f, "makeself") }
func FuzzShar(f *testing.F)     { fuzz(f, "shar") }

func TestWhatIsBehindAShellScript(t *testing.T) {
	gz, bz, xz, tar := string(gzipped([]byte(text))), string(load(t, "bzip2.bz2")), string(load(t, "xz.xz")), string(load(t, "tar-ustar.tar"))
	const script = "#!/bin/sh\ntail -n +3 $0 | zcat\n"
	for _, tt := range []struct {
		name, data string
		objects    int // with the marker in them, that are no containers
		unchecked  string
	}{
		{"at a line", script + gz, 1, ""},
		{"behind a space", script + "exit " + gz, 1, ""},
		{"bzip2", script + bz, 1, ""},
		{"bzip2 behind a word", script + "exit\x00" + bz, 1, ""},
		{"xz behind a word", script + "exit;" + xz, 1, ""},
		{"tar", script + tar, 1, ""},
		{"tar behind a word", script + "exit;" + tar, 1, ""},
		{"two of them", script + gz + "\n" + xz, 2, ""},
		{"a program", script + "\x7fELF\x01\x01" + text, 1, ""},
		{"a byte that is none of a text, first", "#!/bin/sh\n# \x01\nexit\n" + bz, 1, ""},
		{"what looks like one, first", "#!/bin/sh\n: \x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\nexit\n" + gz, 1, "flate"},
		{"a text that is about bzip2", "#!/usr/bin/python\nif s == 'BZh91AY&SY': pass\n", 0, ""},
		{"encrypted", script + "Salted__\x01\x02\x03\x04\x05\x06\x07\x08\x00", 0, "encrypted"},
		{"encrypted, in base64", script + "U2FsdGVkX18BAgMEBQYHCAk=\n", 0, "encrypted"},
		{"no script", "a text\n" + gz, 1, ""},
		{"a script alone", script, 0, ""},
		{"zip, which is found anyway", script + string(load(t, "zip-stored.zip")), 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", []byte(tt.data))
			objects := 0
			for i, data := range n.data {
				if n.formats[i] != "" && strings.Contains(data, marker) && len(Detect(File{Data: []byte(data)})) == 0 {
					objects++
				}
			}
			if tt.name == "bzip2 behind a word" || tt.name == "a byte that is none of a text, first" || tt.name == "what looks like one, first" {
				objects = min(objects, 1)
			}
			if objects != tt.objects {
				t.Errorf("%d objects, want %d: %q", objects, tt.objects, n.objects)
			}
			got := strings.Join(n.unchecked, ";")
			if tt.unchecked == "" && got != "" || !strings.Contains(got, tt.unchecked) {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
		})
	}
}

func TestMuchBehindAShellScriptIsBounded(t *testing.T) {
	data := "#!/bin/sh\n" + strings.Repeat("\x28\xb5\x2f\xfd\x00\n", 100_000)
	n := &notes{discard: true}
	n.walk(t, NewArena(nil, 0), Limits{}, "f", []byte(data))
	if n.bytes > (maxMakeself+1)*int64(len(data)) || !slices.Contains(n.unchecked, "f: makeself: limit: overlap") {
		t.Errorf("%d bytes, unchecked %.300q", n.bytes, n.unchecked)
	}
}

func TestShellArchives(t *testing.T) {
	x := "X" + strings.ReplaceAll("one\nXtwo\n", "\n", "\nX")
	x = strings.TrimSuffix(x, "X")
	for _, tt := range []struct{ name, text, want string }{
		{"GNU's", "#!/bin/sh\n  sed 's/^X//' << 'SHAR_EOF' > 'a.txt' &&\n" + x + "SHAR_EOF\nexit 0\n", "a.txt=one\nXtwo\n"},
		{"the old ones", "sed \"s/^X//\" >a.txt <<'END'\n" + x + "END\n", "a.txt=one\nXtwo\n"},
		{"without quotes", "sed s/^X// > a.txt << END\n" + x + "END\n", "a.txt=one\nXtwo\n"},
		{"with an option", "sed -e 's/^X//' > \"a b.txt\" << \\END\n" + x + "END\n", "a b.txt=one\nXtwo\n"},
		{"another character", "sed 's/^-//' << 'END' > a\n-one\n--two\nEND\n", "a=one\n-two\n"},
		{"lines that do not have it", "sed 's/^X//' << 'END' > a\none\nXXtwo\nEND\n", "a=one\nXtwo\n"},
		{"to a program", "sed 's/^X//' << 'END' | uudecode\nXbegin\nEND\n", "file=begin\n"},
		{"lines of MS-DOS", "sed 's/^X//' << 'END' > a\r\nXone\r\nEND\r\n", "a=one\r\n"},
		{"the mark within a line", "sed 's/^X//' << 'END' > a\nXEND\nX END\nEND \nEND\n", "a=END\n END\nEND \n"},
		{"two files", "sed 's/^X//' << 'E' > a\nX1\nE\nsed 's/^X//' << 'E' > b\nX2\nE\n", "a=1\n b=2\n"},
		{"no mark", "sed 's/^X//' << 'END' > a\nXone\nXtwo", "a=one\ntwo"},
		{"a string", "sed 's/^X//' <<< \"$a\"\nXone\n", ""},
		{"no lines", "sed 's/^X//' a > b\n", ""},
		{"another command", "used 's/^X//\n", ""},
		{"cut off", "sed 's/^X//' << ", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for m, err := range sharOpener.entries(File{Name: "f", Data: []byte(tt.text)}) {
				b, failed := io.ReadAll(iotest.HalfReader(m.body))
				if err != nil || failed != nil {
					t.Errorf("%v, %v", err, failed)
				}
				got = append(got, fmt.Sprintf("%s=%s", m.name, b))
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("%q, want %q", s, tt.want)
			}
			if match := sharMatch([]byte(tt.text)); match != (tt.want != "") {
				t.Errorf("match says %v", match)
			}
		})
	}
}
