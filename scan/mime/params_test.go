package mime

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestBoundaries(t *testing.T) {
	junk := ""
	for i := range 200 {
		junk += fmt.Sprintf("x%d='1 2'; ", i)
	}
	for _, tt := range []struct{ name, params, want string }{
		{"behind much else", junk + "boundary=B", "B"},
		{"pieces behind much else", strings.ReplaceAll(junk, "=", "*=") + "boundary*0=B", "B"},
		{"pieces the wrong way round", "boundary*1=a; boundary*0=b", "ab"},
		{"pieces in the order of their numbers", "boundary*1=a; boundary*0=b", "ba"},
		{"a number twice, the first of them", "boundary*0=a; boundary*0=b; boundary*1=c", "ac"},
		{"a number twice, the last of them", "boundary*0=a; boundary*0=b; boundary*1=c", "bc"},
		{"a number twice, both", "boundary*0=a; boundary*0=b; boundary*1=c", "abc"},
		{"a number that is missing", "boundary*0=a; boundary*2=c", "a"},
		{"a backslash without quotes, taken out", `boundary=a\b`, "ab"},
		{"a backslash without quotes, left in", `boundary=a\b`, `a\b`},
		{"an open quote, left in", `boundary="a; x=y`, `"a`},
		{"the name twice", "boundary=boundary=a", "a"},
		{"the name twice, as a value", "boundary=boundary=a", "boundary=a"},
		{"the name in quotes", `"boundary"=a`, "a"},
		{"a blank within the name", "bound ary=a", "a"},
		{"a comment within the name", "bound(x)ary=a", "a"},
		{"a comment with blanks within the name", "bound (x;y=z) ary=a", "a"},
		{"too long for a line", "boundary=" + strings.Repeat("a", 5000), strings.Repeat("a", 1000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := Parse([]byte("Content-Type: multipart/mixed; "+tt.params+"\n\n"), Limits{})
			if !slices.Contains(m.Root.boundaries, tt.want) {
				t.Errorf("%.40q is not among %.400q", tt.want, m.Root.boundaries)
			}
		})
	}
}

func TestWhatIsLeftOutOfAHeaderIsNoted(t *testing.T) {
	for _, tt := range []struct {
		name, header string
		want         []string
	}{
		{"much that does not matter", "Content-Type: a/b" + strings.Repeat("; x=y", 5000), nil},
		{"names without end", "Content-Type: a/b" + strings.Repeat("; name=y", 5000), []string{"header"}},
		{"whole values without end", "Content-Type: a/b" + strings.Repeat("; boundary*=y", 50), []string{"header"}},
		{"a long value", "Content-Type: a/b; name=" + strings.Repeat("x", 2*maxValue), []string{"header"}},
		{"values that lie within each other", "Content-Type: a/b; " + strings.Repeat("name=y ", 500), []string{"header"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Parse([]byte(tt.header+"\n\n"), Limits{}).Unchecked; !slices.Equal(got, tt.want) {
				t.Errorf("unchecked %q, want %q", got, tt.want)
			}
		})
	}
}

// TestParametersWithoutSemicolons: each value goes on to the end of the field, in
// a character set that has to be guessed.
func TestParametersWithoutSemicolons(t *testing.T) {
	for _, name := range []string{"a%d", "name", "boundary", "filename*0"} {
		raw := []byte("Content-Type: x/y; ")
		for i := range 130 {
			raw = append(raw, strings.ReplaceAll(name, "%d", fmt.Sprint(i))+"=1 "...)
		}
		raw = append(raw, strings.Repeat("\x81\x82\x83\xe0", 180_000)+"\n\n"...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		Parse(raw, Limits{})
		runtime.ReadMemStats(&after)
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(16*len(raw)); got > most {
			t.Errorf("%s: %d bytes allocated, want at most %d", name, got, most)
		}
	}
}

func TestEncodingsAreNotCrowdedOut(t *testing.T) {
	for _, field := range []string{"a1 a2 a3 a4 a5 a6 a7 a8", "base64 a2 a3 a4 a5 a6 a7 a8 a9 uuencode"} {
		raw := "Content-Transfer-Encoding: " + field + "\nContent-Transfer-Encoding: base64, quoted-printable\n\nx"
		p := Parse([]byte(raw), Limits{}).Root
		for _, want := range []string{"base64", "quoted-printable"} {
			if !slices.ContainsFunc(p.Encodings, func(e string) bool { return decoderOf(e) == decoderOf(want) }) {
				t.Errorf("%s is not among %q", want, p.Encodings)
			}
		}
	}
}
