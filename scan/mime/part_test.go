package mime

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// mixed makes a multipart of parts, each a header and a body.
func mixed(kind, boundary string, parts ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Content-Type: multipart/%s; boundary=%s\n\n", kind, boundary)
	for _, p := range parts {
		fmt.Fprintf(&b, "--%s\n%s\n", boundary, p)
	}
	return b.String() + "--" + boundary + "--\n"
}

func TestIsBody(t *testing.T) {
	const (
		text  = "Content-Type: text/plain\n\nx"
		html  = "Content-Type: text/html\n\nx"
		named = "Content-Type: text/plain; name=x.txt\n\nx"
		file  = "Content-Type: text/plain\nContent-Disposition: attachment\n\nx"
		image = "Content-Type: image/png\n\nx"
	)
	for _, tt := range []struct{ name, raw, want string }{
		{"a text", text, " "},
		{"no header", "x", " "},
		{"HTML", html, " "},
		{"a text of another kind", "Content-Type: text/calendar\n\nx", " "},
		{"a text with a name", named, " "},
		{"a text as an attachment", file, ""},
		{"an image", image, ""},
		{"mixed", mixed("mixed", "a", text, image, html), "1 3"},
		{"mixed with files", mixed("mixed", "a", text, named, file), "1"},
		{"a named text first", mixed("mixed", "a", named, text), "1 2"},
		{"another text in mixed", mixed("mixed", "a", text, "Content-Type: text/calendar\n\nx"), "1"},
		{"alternative, named too", mixed("alternative", "a", text, "Content-Type: text/html; name=x\n\ny"), "1 2"},
		{"related", mixed("related", "a", html, text), "1"},
		{"alternative in related in mixed", mixed("mixed", "a", mixed("related", "b", mixed("alternative", "c", text, html), html), text), "1.1.1 1.1.2 2"},
		{"related with a start", strings.Replace(mixed("related", "a", image, "Content-ID: <r@x>\n"+html), "; b", "; start=\"<r@x>\"; b", 1), "2"},
		{"related with a start that is not there", strings.Replace(mixed("related", "a", html, html), "; b", "; start=x; b", 1), "1"},
		{"XHTML", mixed("mixed", "a", text, "Content-Type: application/xhtml+xml\n\nx"), "1 2"},
		{"unknown multipart", mixed("x", "a", image, text), "2"},
		{"signed", mixed("signed", "a", text, "Content-Type: application/pgp-signature\n\nx"), "1"},
		{"attached message", mixed("mixed", "a", text, "Content-Type: message/rfc822\n\n"+mixed("mixed", "b", text, file)), "1 2.1"},
		{"preamble", strings.Replace(mixed("mixed", "a", text), "\n\n", "\n\npre\n", 1), "1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for p := range Parse([]byte(tt.raw), Limits{}).Leaves() {
				if p.IsBody() {
					got = append(got, p.ID)
				}
			}
			want := strings.Fields(tt.want)
			if tt.want == " " {
				want = []string{""}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q is body, want %q", got, want)
			}
		})
	}
}

func TestAttached(t *testing.T) {
	raw := mixed("mixed", "a", "\nx", "Content-Type: message/rfc822\n\n"+mixed("mixed", "b", "\ny", "Content-Type: message/rfc822\n\nSubject: z\n\nz"))
	var got []string
	for p := range Parse([]byte(raw), Limits{}).Leaves() {
		attached := "-"
		if a := p.Attached(); a != nil {
			attached = a.ID
		}
		got = append(got, p.ID+" in "+attached)
	}
	if want := []string{"1 in -", "2.1 in 2", "2.2.1 in 2.2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPartFields(t *testing.T) {
	p := Parse([]byte("Content-Type: Text/HTML; Charset=\"UTF-8\"; x=1; x=2\nContent-Transfer-Encoding: 7Bit, Base64\nContent-Disposition: X-Odd\n\n"), Limits{}).Root
	if p.Type != "text/html" || p.Params["charset"] != "UTF-8" || p.Params["x"] != "1" {
		t.Errorf("type %q, parameters %q", p.Type, p.Params)
	}
	if !slices.Equal(p.Encodings, []string{"7bit", "base64"}) || p.Disposition != "attachment" {
		t.Errorf("encodings %q, disposition %q", p.Encodings, p.Disposition)
	}
}

func TestOdd(t *testing.T) {
	for _, tt := range []struct {
		raw  string
		want []string
	}{
		{"Subject: x\n\nhello", nil},
		{mixed("mixed", "a", "\nx", mixed("alternative", "b", "\ny")), nil},
		{"Content-Type: a/b\nContent-Type: c/d\n\n", []string{oddTypes}},
		{"Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n\n", []string{oddEncodings}},
		{"Content-Transfer-Encoding: foo\n\n", []string{oddEncoding}},
		{"Content-Disposition: inline\nContent-Disposition: inline; filename=a; filename=b\n\n", []string{oddDisps, oddNames}},
		{"Content-Type: multipart/mixed; boundary=a; boundary=b\n\n--a\n\n--a--", []string{oddBoundaries}},
		{"Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\n----", []string{oddEmpty}},
		{mixed("mixed", "a", mixed("mixed", "a", "\nx")), []string{oddSame}},
		{"Content-Type: multipart/mixed; boundary=a\n\n--ab\n\n--a--", []string{oddTail}},
		{"Content-Type: multipart/mixed; boundary=a\n\n--a\n\n--a--\n--a\n\n--a--", []string{oddReopened}},
		{"Content-Type: multipart/mixed; boundary=a\n\n--a\n\nx", []string{oddUnclosed}},
		{"Content-Type: multipart/mixed; boundary=a\n\nx", []string{oddNoParts}},
		{"Content-Type: text/plain; boundary=a\n\n--a\n\n--a--", []string{oddParts}},
		{"junk\nSubject: x\n\n", []string{oddLine}},
		{"Subject: x", []string{oddNoEmpty}},
		{"Content-Type: text/\x00plain\n\n", []string{oddNUL}},
		{"Subject: a\r\nTo: b\r\rContent-Type: text/plain\r\n\r\nx", []string{oddCR}},
		{"Subject: a\rTo: b\r\rx", nil},
	} {
		if got := Parse([]byte(tt.raw), Limits{}).Odd; !slices.Equal(got, tt.want) {
			t.Errorf("Odd of %q is %q, want %q", tt.raw, got, tt.want)
		}
	}
}

func TestNoCutWhereTheRestWouldReadDifferently(t *testing.T) {
	for _, tt := range []struct {
		name, raw string
		cuts      []bool // of the children of the root
	}{
		{"ordinary", mixed("mixed", "a", "\nx", "\ny"), []bool{true, true}},
		{"the last part has no delimiter after it", "Content-Type: multipart/mixed; boundary=a\n\n--a\n\nx\n--a\n\ny", []bool{true, true}},
		{"a carriage return would meet a line feed", "Content-Type: multipart/mixed; boundary=a\n\n--a\n\nx\r\r--a\n\ny\n--a--", []bool{true, false}},
		{"an open multipart would take the next delimiter", "Content-Type: multipart/mixed; boundary=a\n\n--a\n" +
			"Content-Type: multipart/mixed; boundary=a--\n\n--a--\n\nx\n--a\n\ny\n--a--", []bool{true, false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := Parse([]byte(tt.raw), Limits{})
			var cuts []bool
			for _, c := range m.Root.Children {
				cuts = append(cuts, c.Cut.Start < c.Cut.End)
			}
			if !slices.Equal(cuts, tt.cuts) {
				t.Errorf("children can be cut: %v, want %v", cuts, tt.cuts)
			}
			checkCuts(t, m, 1)
		})
	}
}
