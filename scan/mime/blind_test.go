package mime

import (
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"kiyome/testdata"
)

// carvings lists what was carved as "how:name:bytes".
func carvings(t *testing.T, all func(func(Carved) bool)) (list []string) {
	t.Helper()
	for c := range all {
		data, err := io.ReadAll(c.Data)
		if err != nil {
			t.Fatalf("%s: %v", c.How, err)
		}
		list = append(list, fmt.Sprintf("%s:%s:%s", c.How, c.Name, data))
	}
	return list
}

// blind carves a message whose leaves have been read.
func blind(t *testing.T, raw string) []string {
	t.Helper()
	m := Parse([]byte(raw), Limits{})
	decoded(t, m)
	return carvings(t, m.Blind())
}

const secret = "A file that is hidden in a message, 0123456789."

var coded = base64.StdEncoding.EncodeToString([]byte(secret))

func TestAMessageThatAllReadAlikeIsNotCarved(t *testing.T) {
	part := func(fields, body string) string { return "--b\r\n" + fields + "\r\n\r\n" + body + "\r\n" }
	multipart := func(parts ...string) string {
		return "From: a@example.com\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Join(parts, "") + "--b--\r\n"
	}
	text := part("Content-Type: text/plain", "Hello, this is 7bit.\r\n\r\n-- \r\nMe")
	quoted := part("Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable", "<p class=3D\"a\">=E3=81=82=\r\nb=\r\nc</p>")
	attached := part("Content-Type: image/png\r\nContent-Transfer-Encoding: base64", coded[:24]+"\r\n"+coded[24:])
	for name, raw := range map[string]string{
		"text":            "Subject: a\r\n\r\nHello.\r\n",
		"parts":           multipart(text, quoted, attached),
		"a sloppy sender": multipart(text, strings.ReplaceAll(quoted, "=3D", "=")),
		"names differ":    multipart(strings.Replace(attached, "image/png", "image/png; name=a\r\nContent-Disposition: attachment; filename=b", 1)),
	} {
		if got := blind(t, raw); len(got) > 0 {
			t.Errorf("%s: carved %q", name, got)
		}
	}
}

func TestWhatTheTreeDoesNotShowIsCarved(t *testing.T) {
	odd := "Content-Type: text/plain\r\nContent-Type: text/html; boundary=x\r\n\r\n"
	for _, tt := range []struct{ name, raw string }{
		{"base64 behind a header in a text", odd + "hi\r\n\r\nContent-Transfer-Encoding: base64\r\nname=a.exe\r\n\r\n" + coded + "\r\n"},
		{"base64 with an unknown encoding", "Content-Transfer-Encoding: x-unknown\r\n\r\njunk, and more\r\n" + coded + "\r\n"},
		{"base64 whose header is not ended", odd + "--y\r\nContent-Type: a/b\r\n" + coded + "\r\n--y--\r\n"},
		{"quoted-printable", odd + "--y\r\n\r\n" + strings.NewReplacer("i", "=69", "e", "=65").Replace(secret) + "\r\n--y--\r\n"},
		{"uuencode within other lines", odd + "hi\r\n" + testdata.Uuencode("a.exe", secret)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := blind(t, tt.raw)
			if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, secret) }) {
				t.Errorf("carved %q", got)
			}
		})
	}
}

func TestCarveTakesNoChances(t *testing.T) {
	line := strings.Repeat("QUJDREVGR0hJ", 5) // 60 digits
	uu := testdata.Uuencode("cat.txt", strings.Repeat("Cat", 60))
	body := strings.Join(strings.SplitAfter(uu, "\n")[1:5], "")
	all := strings.Repeat("ABCDEFGHI", 5)
	for _, tt := range []struct {
		name, text string
		read       bool
		want       []string
	}{
		{"words", "Hello, this is a text.\nRegards, B\n", false, nil},
		{"one word in each line", strings.Repeat("word\n", 100), false, nil},
		{"lines of base64", "see:\n" + line + "\n" + line + "\nthat was it\n", false, []string{"base64::" + all + all}},
		{"lines with blanks before them", "see:\n  " + line + "\n  " + line + "\n", false, []string{"base64::" + all + all}},
		{"one line", "see:\n" + line + "QUJD\n", false, []string{"base64::" + all + "ABC"}},
		{"in the midst of a line", "see " + line + "QUJD here\n", false, nil},
		{"short lines, many", strings.Repeat("eHh4\nYWJj\n", 40), false, []string{"base64::" + strings.Repeat("xxxabc", 40)}},
		{"a uuencoded file", "see:\n" + uu, false, []string{"uuencode:cat.txt:" + strings.Repeat("Cat", 60)}},
		{"a uuencoded file that has been read", "see:\n" + uu, true, nil},
		{"a uuencoded file that does not begin", "see:\n" + body, false, []string{"uuencode, lines that fit::" + strings.Repeat("Cat", 60)}},
		{"a uuencoded file in an answer", "see:\n> " + strings.ReplaceAll(strings.TrimSpace(uu), "\n", "\n> "), true, []string{"uuencode, lines that fit:cat.txt:" + strings.Repeat("Cat", 60)}},
		{"a uuencoded file with a line in it", strings.Join(slices.Insert(strings.SplitAfter(uu, "\n"), 2, "end\n"), ""), true, []string{"uuencode, lines that fit:cat.txt:" + strings.Repeat("Cat", 60)}},
		{"a uuencoded file with surplus characters", strings.ReplaceAll(strings.ToUpper(uu[:1])+uu[1:], "\n", "x\n"), true, []string{"uuencode, lines that fit:cat.txtx:" + strings.Repeat("Cat", 60)}},
		{"quoted-printable", strings.Repeat("a=62c=\r\n", 4), false, []string{"quoted-printable::" + strings.Repeat("abc", 4)}},
		{"links", "http://example.com/?a=62&b=63&c=64\n", false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := carvings(t, Carve([]byte(tt.text), tt.read)); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNamesThatStandBeforeWhatIsCarved(t *testing.T) {
	for _, tt := range []struct{ segment, want string }{
		{"Content-Type: a/b; name=\"x.exe\"\r\n\r\nabc", "x.exe"},
		{"Content-Disposition: attachment;\r\n\tfilename*=utf-8''%E8%AB%8B.exe\r\n\r\nabc", "請.exe"},
		{"\xff\xfeNAME=x.exe\n\nabc", "x.exe"},
		{"no such thing", ""},
	} {
		if got := nameIn([]byte(tt.segment)); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.segment, got, tt.want)
		}
	}
}
