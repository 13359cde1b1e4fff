package mime

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
)

func encode(t *testing.T, e encoding.Encoding, s string) string {
	t.Helper()
	out, err := e.NewEncoder().String(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestNames(t *testing.T) {
	sjis := func(s string) string { return encode(t, japanese.ShiftJIS, s) }
	euc := func(s string) string { return encode(t, japanese.EUCJP, s) }
	jis := func(s string) string { return encode(t, japanese.ISO2022JP, s) }
	percent := func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			b.WriteString("%" + string("0123456789ABCDEF"[s[i]>>4]) + string("0123456789abcdef"[s[i]&15]))
		}
		return b.String()
	}
	for _, tt := range []struct {
		name, header string
		want         []string
	}{
		{"none", "Content-Disposition: attachment", nil},
		{"plain", `Content-Disposition: attachment; filename="a b.txt"`, []string{"a b.txt"}},
		{"not quoted, with blanks", `Content-Disposition: attachment; filename=a b.txt`, []string{"a b.txt", "a"}},
		{"both fields", "Content-Type: text/plain; name=b\nContent-Disposition: attachment; filename=a", []string{"a", "b"}},
		{"twice", `Content-Disposition: attachment; filename=a; filename=b`, []string{"a", "b"}},
		{"two semicolons", `Content-Disposition: attachment;; filename=a`, []string{"a"}},
		{"no end quote", `Content-Disposition: attachment; filename="a; size=3`, []string{"a", "a; size=3"}},
		{"blanks around the sign", `Content-Disposition: attachment; filename = "a"`, []string{"a"}},
		{"no semicolon", `Content-Disposition: attachment filename="a"`, []string{"a"}},
		{"no semicolon between parameters", `Content-Disposition: attachment; size=3 filename="a"`, []string{"a"}},
		{"folded", "Content-Disposition: attachment;\r\n filename=\"a\r\n b\"", []string{"a b"}},
		{"quoted pairs", `Content-Disposition: attachment; filename="a\"b"`, []string{`a"b`, `a\"b`}},
		{"comment", `Content-Disposition: attachment; filename=(x)a`, []string{"a", "(x)a"}},
		{"comment with a parameter", `Content-Disposition: attachment (; filename=b); filename=a`, []string{"a", "b)"}},
		{"NUL", "Content-Disposition: attachment; filename=\"a\x00.exe\"", []string{"a.exe"}},
		{"RFC 2047", `Content-Disposition: attachment; filename="=?utf-8?B?5pel5pys?=.txt"`, []string{"日本.txt"}},
		{"RFC 2047, iso-2022-jp", `Content-Type: text/plain; name="=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?="`, []string{"日本"}},
		{"RFC 2231", `Content-Disposition: attachment; filename*=utf-8''%E6%97%A5.txt`, []string{"日.txt"}},
		{"RFC 2231, iso-2022-jp", `Content-Disposition: attachment; filename*=iso-2022-jp''` + percent(jis("日本")) + `.txt`, []string{"日本.txt"}},
		{"RFC 2231, shift_jis", `Content-Disposition: attachment; filename*=Shift_JIS'ja'` + percent(sjis("表")) + `.txt`, []string{"表.txt"}},
		{"RFC 2231, cp932", `Content-Disposition: attachment; filename*=cp932''` + percent(sjis("①")), []string{"①"}},
		{"RFC 2231, euc-jp", `Content-Disposition: attachment; filename*=euc-jp''` + percent(euc("日本")), []string{"日本"}},
		{"RFC 2231, unknown charset", `Content-Disposition: attachment; filename*=x''%E6%97%A5`, []string{"日"}},
		{"RFC 2231, in pieces", `Content-Disposition: attachment; filename*1*=%97%A5; filename*2=".txt"; filename*0*=utf-8''%E6`, []string{"日.txt"}},
		{"RFC 2231, many pieces", `Content-Disposition: attachment; filename*10=k; filename*9=j; filename*0=a`, []string{"ajk"}},
		{"RFC 2231 beside a plain one", `Content-Disposition: attachment; filename="x.txt"; filename*=utf-8''%E6%97%A5.txt`, []string{"日.txt", "x.txt"}},
		{"raw UTF-8", `Content-Disposition: attachment; filename="日本.txt"`, []string{"日本.txt"}},
		{"raw Shift_JIS with a backslash within", `Content-Disposition: attachment; filename="` + sjis("表示.txt") + `"`, []string{"表示.txt"}},
		{"raw EUC-JP", `Content-Disposition: attachment; filename="` + euc("請求書.doc") + `"`, []string{"請求書.doc"}},
		{"raw ISO-2022-JP", `Content-Disposition: attachment; filename="` + jis("請求書") + `.doc"`, []string{"請求書.doc"}},
		{"control and bidi characters stay", "Content-Disposition: attachment; filename=\"a\u202egpj.exe\"", []string{"a\u202egpj.exe"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Parse([]byte(tt.header+"\n\n"), Limits{}).Root.Names
			if len(got) == 0 && len(tt.want) == 0 {
				return
			}
			if len(got) < len(tt.want) || !slices.Equal(got[:len(tt.want)], tt.want) {
				t.Errorf("got %q, want %q first", got, tt.want)
			}
		})
	}
}

func TestALongNameKeepsItsEnd(t *testing.T) {
	raw := "Content-Disposition: attachment; filename=\"" + strings.Repeat("あ", 6000) + ".txt.exe\"\n\n"
	name := []rune(Parse([]byte(raw), Limits{}).Root.Names[0])
	if len(name) != 255 || !strings.HasSuffix(string(name), "あ.txt.exe") {
		t.Errorf("%d runes: %q", len(name), string(name))
	}
}

func TestManyNamesAreBounded(t *testing.T) {
	raw := "Content-Disposition: attachment" + strings.Repeat("; filename=a", 1000)
	for i := range 1000 {
		raw += "; filename=" + strings.Repeat("b", i%200+1)
	}
	if n := len(Parse([]byte(raw+"\n\n"), Limits{}).Root.Names); n > maxNames {
		t.Errorf("%d names", n)
	}
}

func TestField(t *testing.T) {
	for _, tt := range []struct {
		name, raw string
		want      []string
	}{
		{"none", "From: x\n\n", nil},
		{"plain", "Subject: hello\n\n", []string{"hello"}},
		{"at the end, no line end", "Subject: hello", []string{"hello"}},
		{"another case, a blank before the colon", "SUBJECT : hello\n\n", []string{"hello"}},
		{"folded", "Subject: a\r\n b\r\n\tc\r\n\r\nd", []string{"a b\tc"}},
		{"several", "Subject: a\nX: y\nSubject: b\n\n", []string{"a", "b"}},
		{"not in the body", "X: y\n\nSubject: b\n", nil},
		{"first line with a byte order mark", "\xef\xbb\xbfSubject: a\n\n", []string{"a"}},
		{"words", "Subject: =?utf-8?q?a_=E6=97=A5?= =?utf-8?b?5pys?= x\n\n", []string{"a 日本 x"}},
		{"words broken within a character", "Subject: =?utf-8?b?5pc=?= =?utf-8?b?peacrA==?=\n\n", []string{"日本"}},
		{"words broken within ISO-2022-JP", "Subject: =?iso-2022-jp?B?GyRCRnw=?=\n =?ISO-2022-JP?B?S1wbKEI=?=\n\n", []string{"日本"}},
		{"words broken within Shift_JIS", "Subject: =?shift_jis?B?k/o=?= =?shift_jis?B?lns=?= =?x-sjis?Q?=95?=\n\n", []string{"日本\ufffd"}},
		{"words next to text", "Subject: a=?utf-8?q?b?=c\n\n", []string{"abc"}},
		{"an unknown charset spoils only its word", "Subject: =?x-no?q?a?= =?utf-8?q?=E6=97=A5?=\n\n", []string{"a日"}},
		{"cp932", "Subject: =?cp932?B?h0A=?=\n\n", []string{"①"}},
		{"windows-31j", "Subject: =?Windows-31J?B?h0A=?=\n\n", []string{"①"}},
		{"iso-2022-jp-ms", "Subject: =?iso-2022-jp-ms?B?GyRCLSEbKEI=?=\n\n", []string{"①"}},
		{"cp50221", "Subject: =?cp50221?B?GyRCLSEbKEI=?=\n\n", []string{"①"}},
		{"a language", "Subject: =?utf-8*ja?q?a?=\n\n", []string{"a"}},
		{"no word", "Subject: =?utf-8?x?a?= =?a =??q?a?=\n\n", []string{"=?utf-8?x?a?= =?a =??q?a?="}},
		{"raw Latin-1", "Subject: caf\xe9\n\n", []string{"café"}},
		{"wrong bytes", "Subject: =?utf-8?q?=FFa?=\n\n", []string{"\ufffda"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := Parse([]byte(tt.raw), Limits{})
			if got := m.Field(m.Root, "Subject"); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
