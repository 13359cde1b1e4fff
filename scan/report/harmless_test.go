package report

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"kiyome/scan"
)

func TestNamesAreMadeHarmless(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"ordinary", "請求書 2008年3月.zip", "請求書 2008年3月.zip"},
		{"composed and combining", "が か\u3099 é", "が か\u3099 é"},
		{"malware's colon", "Trojan:Win32/Test.A!ml", "Trojan:Win32/Test.A!ml"},
		{"line ends", "a\r\nb\nc\u2028d\u0085e", "a��b�c�d�e"},
		{"control", "a\x00b\x1b[31m\x7f\t", "a�b�[31m�"},
		{"direction", "invoice\u202Excod.exe\u2066\u200F", "invoice�xcod.exe��"},
		{"zero width", "a\u200B\u200D\uFEFF\u00ADb", "a����b"},
		{"private use and noncharacters", "\uE000\uFFFE\U000F0000", "���"},
		{"tags", "a\U000E0041", "a�"},
		{"letters that show nothing", "a\u3164\u115F\u2800b", "a���b"},
		{"not UTF-8", "a\xff\xfeb", "a��b"},
		{"separator", "a › b.txt", "a > b.txt"},
		{"link", "http://evil.example/", "http：//evil.example/"},
		{"odd spaces", "a\u00A0b\u2003c\u3000d", "a b c\u3000d"},
		{"spaces before the extension", "invoice.pdf" + strings.Repeat(" ", 200) + ".exe", "invoice.pdf  .exe"},
		{"piled marks", "a" + strings.Repeat("\u0301", 50) + "b", "a\u0301\u0301\u0301b"},
		{"only spaces", " \u3000\u00A0\t\r\n", ""},
		{"long", strings.Repeat("長", 500) + ".pdf.exe", strings.Repeat("長", 79) + "…" + strings.Repeat("長", 32) + ".pdf.exe"},
		{"very long", strings.Repeat("x", 1<<20) + ".exe", strings.Repeat("x", 79) + "…" + strings.Repeat("x", 36) + ".exe"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Line(tt.in); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestPaths(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   []string
		want string
	}{
		{"one", []string{"a.exe"}, "a.exe"},
		{"two", []string{"請求書.zip", "setup.exe"}, "請求書.zip › setup.exe"},
		{"a name that shows nothing", []string{"a.zip", " ", "b"}, "a.zip › ? › b"},
		{"none", nil, ""},
		{"deep", strings.Split("abcdefghijklmnop", ""), "a › b › c › d › … › m › n › o › p"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := harmlessPath(tt.in); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// FuzzHarmless: whatever a name is, it stays one short line of characters that
// can be seen, and is no link and no path.
func FuzzHarmless(f *testing.F) {
	f.Add(forged)
	f.Add(strings.Repeat("\u202e長 :/\u0301/", 2000))
	f.Fuzz(func(t *testing.T, name string) {
		got := Line(name)
		switch {
		case !utf8.ValidString(got), strings.ContainsFunc(got, unseen), strings.ContainsAny(got, notAnyName):
			t.Errorf("holds what cannot be seen: %q", got)
		case utf8.RuneCountInString(got) > nameMax:
			t.Errorf("%d characters", utf8.RuneCountInString(got))
		case strings.Contains(got, "://"), strings.ContainsRune(got, '›'):
			t.Errorf("link or path: %q", got)
		case strings.TrimSpace(got) != got, strings.Contains(got, "   "):
			t.Errorf("spaces: %q", got)
		}
	})
}

// names are what comes from outside into a report.
type names struct{ sender, file, member, malware, id, recipient string }

// reportOf writes a report with names, and gives its structure and its text.
func reportOf(t testing.TB, w *Writer, language string, n names) ([]string, string) {
	t.Helper()
	m := sample
	m.Sender, m.MessageID, m.Recipient, m.Language = n.sender, n.id, n.recipient, language
	raw, err := w.Report(m, &scan.Verdict{Outcome: scan.Cleaned, Findings: []scan.Finding{
		{Malware: n.malware, Name: n.file, Part: "2"},
		{Malware: n.malware, Name: n.file, Path: []string{n.file, n.member}, Part: "3"},
		{Policy: "encrypted", Name: n.file, Part: "4"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	wellFormed(t, raw)
	return structure(t, raw)
}

// FuzzReport: whatever the names are, a report has the header fields, the lines
// and the labels of a report with ordinary names.
func FuzzReport(f *testing.F) {
	f.Add("taro@example.com", "a.exe", "b.exe", "Test", "<1@example.com>", "hanako@example.jp")
	f.Add(forged, forged, forged, forged, forged, forged)
	f.Add("", "", "", "", "", "")
	f.Add("a@b", "x\n---\nResult : fine", "\u202e", "{{.Provider}}", "<a>\r\nBcc: x", "a@b>\r\nBcc: <c@d")
	w := newWriter(f, "")
	ordinary := map[string][]string{}
	for _, language := range languages {
		ordinary[language], _ = reportOf(f, w, language, names{"a@example.com", "a.zip", "b.exe", "Test", "", "b@example.jp"})
	}
	f.Fuzz(func(t *testing.T, sender, file, member, malware, id, recipient string) {
		for _, language := range languages {
			got, body := reportOf(t, w, language, names{sender, file, member, malware, id, recipient})
			if !slices.Equal(got, ordinary[language]) {
				t.Errorf("got\n%q\nwant\n%q", got, ordinary[language])
			}
			if !utf8.ValidString(body) || strings.ContainsFunc(strings.ReplaceAll(body, "\r\n", ""), unseen) {
				t.Errorf("holds what cannot be seen: %q", body)
			}
			if len(body) > 20_000 {
				t.Errorf("%d bytes", len(body))
			}
		}
	})
}

func unseen(r rune) bool { return !unicode.IsGraphic(r) }

// structure gives the names of the header fields and the body without the values.
func structure(t testing.TB, raw []byte) ([]string, string) {
	var parts []string
	head, _, _ := strings.Cut(string(raw), "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\r\n") {
		name, _, ok := strings.Cut(line, ":")
		if strings.HasPrefix(line, " ") || name == "In-Reply-To" || name == "References" || name == "Content-Transfer-Encoding" {
			continue
		}
		if !ok {
			t.Errorf("header line %q", line)
		}
		parts = append(parts, name)
	}
	_, body := parse(t, raw)
	for i, line := range strings.Split(body, "\r\n") {
		if i == 0 {
			continue // the recipient
		}
		for _, colon := range []string{"： ", ": "} { // of the Japanese labels, and of the English ones
			line, _, _ = strings.Cut(line, colon)
		}
		parts = append(parts, line)
	}
	return parts, body
}
