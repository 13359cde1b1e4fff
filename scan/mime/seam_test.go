package mime

import (
	"fmt"
	"strings"
	"testing"
)

func TestFieldsOfAHeader(t *testing.T) {
	for _, tt := range []struct{ name, header, want string }{
		{"none", "\r\n", `"\r\n"`},
		{"one", "A: b\r\n\r\n", `A "A: b\r\n" "\r\n"`},
		{"folded", "A: b\r\n c\r\n\td\r\nE:f\r\n\r\n", `A "A: b\r\n c\r\n\td\r\n" E "E:f\r\n" "\r\n"`},
		{"LF", "A: b\nC: d\n\n", `A "A: b\n" C "C: d\n" "\n"`},
		{"8-bit values", "A: \xff\r\nB: あ\r\n\r\n", `A "A: \xff\r\n" B "B: あ\r\n" "\r\n"`},
		{"an empty value", "A:\r\nB:\r\n\r\n", `A "A:\r\n" B "B:\r\n" "\r\n"`},
		{"nothing", "", "in doubt"},
		{"no empty line", "A: b\r\n", "in doubt"},
		{"not to the end of a line", "A: b", "in doubt"},
		{"LF among CRLF", "A: b\r\nB: c\n\r\n", "in doubt"},
		{"LF for the empty line", "A: b\r\n\n", "in doubt"},
		{"CR", "A: b\rB: c\r\r", "in doubt"},
		{"CR CR LF", "A: b\r\r\nB: c\r\r\n\r\r\n", "in doubt"},
		{"a carriage return in a value", "A: b\rc\r\n\r\n", "in doubt"},
		{"a NUL", "A: \x00\r\n\r\n", "in doubt"},
		{"folded first", " a\r\nA: b\r\n\r\n", "in doubt"},
		{"a line of blanks", "A: b\r\n \t\r\nB: c\r\n\r\n", "in doubt"},
		{"a line without a name", "A: b\r\njunk\r\nB: c\r\n\r\n", "in doubt"},
		{"a line without a name last", "A: b\r\njunk\r\n\r\n", "in doubt"},
		{"a blank before the colon", "A : b\r\n\r\n", "in doubt"},
		{"an empty name", ": b\r\n\r\n", "in doubt"},
		{"an mbox line", "From a b\r\nA: b\r\n\r\n", "in doubt"},
		{"a byte order mark", "\ufeffA: b\r\n\r\n", "in doubt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := tt.header
			if strings.HasSuffix(raw, "\r\n\r\n") || raw == "\r\n" {
				raw += "the body: of\r\n\r\nit"
			}
			m := Parse([]byte(raw), Limits{})
			fields, eol, sure := m.Fields(m.Root)
			var got strings.Builder
			for _, f := range fields {
				fmt.Fprintf(&got, "%s %q ", f.Name, f.of(m.Raw))
			}
			fmt.Fprintf(&got, "%q", eol)
			if !sure {
				got.Reset()
				got.WriteString("in doubt")
			}
			if got.String() != tt.want {
				t.Errorf("got  %s\nwant %s", &got, tt.want)
			}
		})
	}
}

func TestLongHeadersAreNotTakenApart(t *testing.T) {
	raw := []byte(strings.Repeat("A:\r\n", 25) + "\r\n")
	for _, tt := range []struct {
		limit int
		want  bool
	}{{len(raw), true}, {len(raw) - 1, false}} {
		m := Parse(raw, Limits{Header: tt.limit})
		if _, _, sure := m.Fields(m.Root); sure != tt.want {
			t.Errorf("%d of %d bytes: %v, want %v", len(raw), tt.limit, sure, tt.want)
		}
	}
}

func TestSeamOfAMultipart(t *testing.T) {
	const two = "--b\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b--\r\n"
	plain := func(body string) string { return "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body }
	typed := func(value string) string { return "Content-Type: " + value + "\r\n\r\n" + two }
	for _, tt := range []struct{ name, raw, want string }{ // the text before the seam, and the boundary
		{"closed", plain(two), "2\r\n|b"},
		{"closed, no line end behind it", plain(strings.TrimSuffix(two, "\r\n")), "2\r\n|b"},
		{"an epilogue", plain(two + "x\r\n"), "2\r\n|b"},
		{"never closed", plain(strings.TrimSuffix(two, "--b--\r\n")), "2\r\n|b, open"},
		{"never closed, no line end", plain(strings.TrimSuffix(two, "\r\n--b--\r\n")), "\r\n\r\n2|b, open"},
		{"LF", strings.ReplaceAll(plain(two), "\r\n", "\n"), "\n2\n|b"},
		{"blanks behind the delimiters", plain(strings.ReplaceAll(two, "--b\r", "--b \t\r")), "2\r\n|b"},
		{"a part within is open", plain(strings.Replace(two, "\r\n2", "Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n2", 1)), "2\r\n|b"},
		{"quoted", typed(`Multipart/Mixed; charset="utf-8"; BOUNDARY="b" ;`), "2\r\n|b"},
		{"folded", typed("multipart/mixed;\r\n\tboundary=b"), "2\r\n|b"},
		{"closed twice", plain(two + "--b--\r\n"), ""},
		{"open again", plain(two + two), ""},
		{"text behind a delimiter", plain(strings.Replace(two, "--b\r", "--bc\r", 1)), ""},
		{"text behind the last delimiter", plain(strings.Replace(two, "--b--", "--b--x", 1)), ""},
		{"no parts", plain("x\r\n"), ""},
		{"no multipart", "Content-Type: text/plain; boundary=b\r\n\r\n" + two, ""},
		{"a boundary that is not declared", strings.Replace(plain(two), "=b", "=c", 1), ""},
		{"two boundaries", typed("multipart/mixed; boundary=b; boundary=c"), ""},
		{"two fields", "Content-Type: multipart/mixed; boundary=b\r\n" + plain(two), ""},
		{"an encoding", "Content-Transfer-Encoding: base64\r\n" + plain(two), ""},
		{"a comment", typed("multipart/mixed (x); boundary=b"), ""},
		{"a quoted pair", typed(`multipart/mixed; boundary="\b"`), ""},
		{"RFC 2231", typed("multipart/mixed; boundary*=''b"), ""},
		{"RFC 2231, of another parameter", typed("multipart/mixed; boundary=b; x*0=y"), ""},
		{"no semicolon", typed("multipart/mixed boundary=b"), ""},
		{"the type in quotes", typed(`"multipart/mixed"; boundary=b`), ""},
		{"a blank in the boundary", "Content-Type: multipart/mixed; boundary=\"b b\"\r\n\r\n" + strings.ReplaceAll(two, "--b", "--b b"), ""},
		{"a part within is open again", plain(strings.Replace(two, "\r\n2", "Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n2\r\n--c--\r\n--c\r\n\r\n3\r\n--c--", 1)), ""},
		{"a long field", typed("multipart/mixed; boundary=b; x=" + strings.Repeat("x", maxPlainType)), ""},
		{"a header in doubt", "junk\r\n" + plain(two), ""},
		{"the same boundary within", plain(strings.Replace(two, "\r\n2", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n2\r\n--b--", 1)), ""},
		{"a part without its empty line", plain(strings.Replace(two, "\r\n1\r\n", "X: y\r\n", 1)), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := Parse([]byte(tt.raw), Limits{})
			got := ""
			if s, ok := m.Seam(m.Root); ok {
				got = tt.raw[:s.At] + "|" + s.Boundary
				if !s.Closed {
					got += ", open"
				} else if !strings.HasPrefix(tt.raw[s.At:], "--"+s.Boundary+"--") {
					t.Errorf("in front of %q", tt.raw[s.At:])
				}
			}
			if !strings.HasSuffix(got, tt.want) || (got == "") != (tt.want == "") {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
