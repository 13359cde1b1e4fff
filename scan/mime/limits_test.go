package mime

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func count(p *Part) int {
	n := 1
	for _, c := range p.Children {
		n += count(c)
	}
	if p.Message != nil {
		n += count(p.Message)
	}
	return n
}

func TestLimits(t *testing.T) {
	nested := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%dx\n\n--b%dx\n", i, i)
		}
		return b.String() + "\nthe end"
	}
	for _, tt := range []struct {
		name, raw string
		limits    Limits
		parts     int
		unchecked []string
	}{
		{"as deep as allowed", nested(50), Limits{}, 51, nil},
		{"deeper", nested(51), Limits{}, 51, []string{"depth"}},
		{"20,000 levels", nested(20_000), Limits{}, 51, []string{"depth"}},
		{"attached messages", strings.Repeat("Content-Type: message/rfc822\n\n", 20_000), Limits{}, 51, []string{"depth"}},
		{"parts", mixed("mixed", "b", "\n1", "\n2", "\n3", "\n4"), Limits{Parts: 4}, 4, []string{"parts"}},
		{"100,000 parts", "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", 100_000), Limits{}, 10_000, []string{"parts"}},
		{"header of 5 MB", "X: " + strings.Repeat("y ", 5<<19) + "\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--", Limits{}, 1, []string{"header"}},
		{"3000 fields", strings.Repeat("X: y\n", 3000) + mixed("mixed", "b", "\nx"), Limits{}, 2, nil},
		{"3000 types", strings.Repeat("Content-Type: text/plain; boundary=c\n", 3000) + mixed("mixed", "b", "\nx"), Limits{}, 1, []string{"header"}},
		{"many boundaries", "Content-Type: multipart/mixed; boundary=b" + fmt.Sprint(strings.Repeat("; boundary=c", 99), "; boundary=1; boundary=2; boundary=3; boundary=4; boundary=5; boundary=6; boundary=7; boundary=8; boundary=9; boundary=10; boundary=11; boundary=12; boundary=13; boundary=14; boundary=15") + "\n\n--b\n\nx\n--b--",
			Limits{}, 2, []string{"header"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := Parse([]byte(tt.raw), tt.limits)
			if got := count(m.Root); got != tt.parts {
				t.Errorf("%d parts, want %d", got, tt.parts)
			}
			if !slices.Equal(m.Unchecked, tt.unchecked) {
				t.Errorf("unchecked %q, want %q", m.Unchecked, tt.unchecked)
			}
			checkTree(t, m)
			var rest *Part
			for p := range m.Leaves() {
				rest = p
			}
			if len(m.Unchecked) > 0 && rest.Body.End != len(tt.raw) && tt.parts > 2 {
				t.Errorf("the last leaf ends at %d, not at %d", rest.Body.End, len(tt.raw))
			}
		})
	}
}

func TestBeyondTheLimitOfPartsNothingCanBeCut(t *testing.T) {
	m := Parse([]byte(mixed("mixed", "b", "\n1", "\n2", "\n3", "\n4")), Limits{Parts: 4})
	if parts := cuttable(m.Root); len(parts) > 0 {
		t.Errorf("%d parts can be cut", len(parts))
	}
}

// hostile are messages that cost a careless reader quadratic time.
var hostile = map[string]func(n int) []byte{
	"carriage returns":       func(n int) []byte { return bytes.Repeat([]byte("\r"), n) },
	"CR in the body":         func(n int) []byte { return append([]byte("A: b\n\n"), bytes.Repeat([]byte("\r--x"), n/4)...) },
	"dashes":                 func(n int) []byte { return []byte(mixed("mixed", "b", "\n"+strings.Repeat("-", n))) },
	"delimiter-like lines":   func(n int) []byte { return []byte(mixed("mixed", "bbbb", "\n"+strings.Repeat("--bbb\n", n/6))) },
	"junk header lines":      func(n int) []byte { return bytes.Repeat([]byte("junk\n"), n/5) },
	"header like delimiters": func(n int) []byte { return bytes.Repeat([]byte("--x\n"), n/4) },
	"begin lines":            func(n int) []byte { return append([]byte("\n"), bytes.Repeat([]byte("begin 644 x\n\n\n"), n/14)...) },
	"quotes": func(n int) []byte {
		return []byte("Content-Type: a/b; " + strings.Repeat(`a="\";`, n/6) + "\n\n")
	},
	"comments":      func(n int) []byte { return []byte("Content-Type: a/b; " + strings.Repeat("(", n) + "\n\n") },
	"encoded words": func(n int) []byte { return []byte("Content-Disposition: x; name=\"" + strings.Repeat("=?a?b?x", n/7)) },
	"pieces": func(n int) []byte {
		return []byte("Content-Disposition: x" + strings.Repeat("; name*1*=%41", n/13) + "\n\n")
	},
	"values without an end": func(n int) []byte {
		return append([]byte("Content-Disposition: x; "+strings.Repeat("filename=a ", 1000)), append(bytes.Repeat([]byte("\x81\x82\x83\xe0"), n/4), "\n\n"...)...)
	},
	"the name as a value": func(n int) []byte { return []byte("Content-Type: x/y; " + strings.Repeat("boundary=", n/9) + "\n\n") },
	"open quotes":         func(n int) []byte { return []byte("Content-Type: x/y; " + strings.Repeat(`name=\"`, n/7) + "\n\n") },
	"numbers without end": func(n int) []byte { return []byte("Content-Type: x/y" + strings.Repeat("; name*0=a", n/10) + "\n\n") },
	"fields between junk": func(n int) []byte {
		return []byte("Content-Transfer-Encoding: base64\n" + strings.Repeat("j\nX: y\n", n/7))
	},
	"encoded levels": func(n int) []byte {
		level := "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: base64\nj\nX: y\nj\nX: y\n\n--b\n"
		return append(bytes.Repeat([]byte(level), 49), bytes.Repeat([]byte("\nQUJD="), n/6)...)
	},
	"nested boundaries": func(n int) []byte {
		var b bytes.Buffer
		for i := range 50 {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=%s\n\n--%[1]s\n", strings.Repeat("a", 50-i))
		}
		b.WriteString("\n")
		b.Write(bytes.Repeat([]byte("--aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\n"), n/60))
		return b.Bytes()
	},
}

func TestHostileMessages(t *testing.T) {
	for name, make := range hostile {
		t.Run(name, func(t *testing.T) {
			m := Parse(make(1<<20), Limits{})
			checkTree(t, m)
			readAll(m)
		})
	}
}
