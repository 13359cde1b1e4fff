package report

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kiyome/scan"
)

// original is the message that a notice replaces.
const original = "Received: from a by b; Mon, 10 Mar 2008 15:20:30 +0900\r\n" +
	"From: =?iso-2022-jp?b?GyRCQkBPOhsoQg==?= <taro@example.com>\r\nTo: hanako@example.jp,\r\n\tjiro@example.net\r\n" +
	"Subject: =?utf-8?b?6KuL5rGC5pu4?=\r\nDate: Mon, 10 Mar 2008 15:20:29 +0900\r\nMessage-ID: <1234@example.com>\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: text/html\r\nX-Mailer: a\r\n\r\n<p>VIRUS\r\nTo: nobody@example.com\r\n"

func TestNoticesReadAsTheyShould(t *testing.T) {
	w := newWriter(t, "")
	for _, tt := range goldens {
		name := "notice-of-" + strings.ReplaceAll(tt.name, " ", "-")
		t.Run(name, func(t *testing.T) {
			m := sample
			if tt.mail != nil {
				tt.mail(&m)
			}
			write := w.Notice
			if tt.verdict.Outcome == scan.ReportOnly {
				write = func(m Mail, v *scan.Verdict) ([]byte, error) { return w.NoticeMessage(m, v, []byte(original)) }
			}
			got, err := write(m, &tt.verdict)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, name+".eml", got)
			compare(t, name+".txt", []byte(noticeText(t, got)))
			if again, err := write(m, &tt.verdict); err != nil || !bytes.Equal(got, again) {
				t.Errorf("the second notice differs (%v)", err)
			}
			wellFormedNotice(t, got)
		})
	}
}

// noticeText is what a mail program shows of a notice, as a part or as a message.
func noticeText(t testing.TB, raw []byte) string {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/plain; charset=utf-8", "Content-Transfer-Encoding": "base64",
		"Content-Disposition": "inline", "Content-Language": "ja, en",
	} {
		if got := m.Header[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	text, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, m.Body))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Count(text, []byte("\n")) != bytes.Count(text, []byte("\r\n")) {
		t.Error("a line end in the text is not CRLF")
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

// wellFormedNotice checks what the wire wants of a notice, and that no line of its
// body can be a delimiter.
func wellFormedNotice(t testing.TB, raw []byte) {
	t.Helper()
	head, body, _ := strings.Cut(string(raw), "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\r\n") {
		if strings.ContainsAny(line, "\r\n\x00") || len(line) > 998 || strings.TrimSpace(line) == "" {
			t.Errorf("bad line %q", line)
		}
	}
	if !strings.HasSuffix(body, "\r\n") {
		t.Error("no line end at the end")
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(body, "\r\n"), "\r\n") {
		if len(line) == 0 || len(line) > 76 || strings.ContainsFunc(line, func(r rune) bool { return r <= ' ' || r > 'z' || r == '-' }) {
			t.Errorf("bad body line %q", line)
		}
	}
}

func TestWhatANoticeKeepsOfTheHeader(t *testing.T) {
	w := newWriter(t, "")
	const from, date = "From: a@example.com\r\n", "Date: Mon, 10 Mar 2008 15:20:29 +0900\r\n"
	const ownFrom, ownDate = "From: <taro@example.com>\r\n", "Date: Mon, 10 Mar 2008 15:20:31 +0900\r\n"
	long := "References: " + strings.Repeat("x", 998-len("References: ")) + "\r\n"
	for _, tt := range []struct{ name, head, want string }{
		{"all that says whose it is", from + "Sender: b@example.com\r\nReply-To: c@example.com\r\nTo: d@example.jp\r\nCc: e@example.jp\r\nSubject: x\r\n" + date + "Message-ID: <1@a>\r\nIn-Reply-To: <2@a>\r\nReferences: <3@a>\r\nAuto-Submitted: auto-replied\r\nList-Id: <l.example.com>\r\nList-Unsubscribe: <mailto:u@example.com>\r\n",
			from + "Sender: b@example.com\r\nReply-To: c@example.com\r\nTo: d@example.jp\r\nCc: e@example.jp\r\nSubject: x\r\n" + date + "Message-ID: <1@a>\r\nIn-Reply-To: <2@a>\r\nReferences: <3@a>\r\nAuto-Submitted: auto-replied\r\nList-Id: <l.example.com>\r\nList-Unsubscribe: <mailto:u@example.com>\r\n"},
		{"nothing else", "Received: x\r\nBcc: x@example.com\r\nX-A: b\r\nDKIM-Signature: v=1\r\n" + from + "MIME-Version: 1.0\r\nContent-Type: text/html;\r\n charset=x\r\n" + date, from + date},
		{"folded, odd case, 8-bit", "FROM:\r\n =?utf-8?b?6Iqx?=\r\n\t<a@example.com>\r\nsUBJECT: \xe8\xab\x8b \x90\xbf\r\n" + date, "FROM:\r\n =?utf-8?b?6Iqx?=\r\n\t<a@example.com>\r\nsUBJECT: \xe8\xab\x8b \x90\xbf\r\n" + date},
		{"line feeds alone", "From: a@example.com\nDate: Mon, 10 Mar 2008 15:20:29 +0900\nTo: a,\n b\n", from + date + "To: a,\r\n b\r\n"},
		{"the first of two", from + "From: b@example.com\r\nTo: a\r\nTo: b\r\n" + date + date, from + "To: a\r\n" + date},
		{"no From, no Date", "To: a\r\n", "To: a\r\n" + ownFrom + ownDate},
		{"an empty From", "From: \r\n \t\r\n" + date, date + ownFrom},
		{"as long as a line may be", from + date + long, from + date + long},
		{"longer", from + date + strings.Replace(long, "x", "xx", 1), from + date},
		{"a long folded line", from + date + "To: a\r\n " + strings.Repeat("x", 998) + "\r\nSubject: x\r\n", from + date + "Subject: x\r\n"},
		{"controls", from + date + "Subject: a\x00b\r\nTo: a\rBcc: b\r\nCc: a\x7f\r\nReply-To: a\x0bb\r\n", from + date},
		{"a folded line of blanks", from + date + "Subject: a\r\n \r\n b\r\n", from + date},
		{"lines of no field", "From nobody\r\n" + from + "junk\r\n of junk\r\n" + date, from + date},
		{"a blank before the colon", "From : x@example.com\r\n" + date, date + ownFrom},
		{"the header ends", from + date + "\r\nTo: a\r\n", from + date},
		{"the header ends with carriage returns", from + date + "\r\r\nTo: a\r\n", from + date},
		{"no header", "\r\n", ownFrom + ownDate},
		{"nothing", "", ownFrom + ownDate},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := w.NoticeMessage(sample, &goldens[2].verdict, []byte(tt.head+"\r\nTo: of the body\r\n"))
			if err != nil {
				t.Fatal(err)
			}
			head, _, _ := bytes.Cut(got, []byte("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"))
			if string(head) != tt.want {
				t.Errorf("got\n%q\nwant\n%q", head, tt.want)
			}
			wellFormedNotice(t, got)
		})
	}
}

func TestAHeaderIsReadUpToItsLimit(t *testing.T) {
	const start = "From: a@example.com\r\nDate: Mon, 10 Mar 2008 15:20:29 +0900\r\n"
	fill := func(n int) string { return start + "X: " + strings.Repeat("x", n-len(start)-len("X: \r\n")) + "\r\n" }
	for _, tt := range []struct {
		name, head string
		want       bool
	}{
		{"before it", fill(headMax-20) + "To: a\r\nCc: b\r\n", true},
		{"over it", fill(headMax-20) + "To: a\r\n bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n", false},
		{"up to it: it may go on", fill(headMax-7) + "To: a\r\n b\r\n", false},
		{"behind it", fill(headMax) + "To: a\r\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := newWriter(t, "").NoticeMessage(sample, &goldens[2].verdict, []byte(tt.head+"\r\nbody\r\n"))
			if err != nil {
				t.Fatal(err)
			}
			if has := bytes.Contains(got, []byte("\r\nTo: ")); has != tt.want {
				t.Errorf("%v, want %v: %.300q", has, tt.want, got)
			}
		})
	}
}

func TestFromOfWhoeverSent(t *testing.T) {
	w := newWriter(t, "")
	for _, tt := range []struct{ sender, want string }{
		{"taro@example.com", "<taro@example.com>"},
		{"花子@例え.jp", "<花子@例え.jp>"},
		{"", w.from},
		{"a\r\nX: y@example.com", w.from},
		{"no address", w.from},
	} {
		m := sample
		m.Sender = tt.sender
		got, err := w.NoticeMessage(m, &goldens[2].verdict, []byte("To: a\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(got, []byte("\r\nFrom: "+tt.want+"\r\n")) {
			t.Errorf("%q: %.200q", tt.sender, got)
		}
	}
}

// Whatever the verdict says, a notice in place of a message does not say that the rest
// was delivered.
func TestANoticeInPlaceOfAMessageSaysSo(t *testing.T) {
	w := newWriter(t, "")
	got, err := w.NoticeMessage(sample, &scan.Verdict{Outcome: scan.Cleaned, Signed: true, Findings: goldens[0].verdict.Findings}, []byte(original))
	if err != nil {
		t.Fatal(err)
	}
	text := noticeText(t, got)
	if !strings.Contains(text, "メール全体を削除しました") || !strings.Contains(text, "whole mail was deleted") || strings.Contains(text, "unchanged") {
		t.Error(text)
	}
}

func TestLongListsAreCountedInNotices(t *testing.T) {
	v := scan.Verdict{Outcome: scan.Cleaned, More: 7, Findings: slices.Repeat(goldens[0].verdict.Findings, findingsMax+5)}
	got, err := newWriter(t, "").Notice(sample, &v)
	if err != nil {
		t.Fatal(err)
	}
	text := noticeText(t, got)
	if n := strings.Count(text, "document.pif"); n != 2*findingsMax || !strings.Contains(text, "There are 12 more") {
		t.Errorf("%d listed", n)
	}
}

func TestOperatorsTemplateOfANotice(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"good", "\ufeffRemoved by {{.Provider}}:\r\n{{range .Findings}}{{.File}}: {{.Malware}}\r\n{{end}}", ""},
		{"does not parse", "x\n\n{{if .Infected}}\n", "notice.en.txt:4:"},
		{"unknown field", "x\n\n{{.Reciepient}}\n", "notice.en.txt:3:"},
		{"unknown field in a branch", "x\n{{if .ReportOnly}}{{if eq .Why \"whole\"}}{{.Foo}}{{end}}{{end}}\n", "notice.en.txt:2:"},
		{"no text in a branch", "{{if .Signed}}x{{end}}\n", "notice.en.txt: no text"},
		{"empty", "", "notice.en.txt: no text"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			if err := os.WriteFile(filepath.Join(folder, "notice.en.txt"), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			w, err := New(Options{From: "a@example.jp", Provider: "X", Templates: folder})
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), folder) || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %q in it", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := w.Notice(sample, &goldens[0].verdict)
			if err != nil {
				t.Fatal(err)
			}
			if text := noticeText(t, got); !strings.HasSuffix(text, "\n\n\nRemoved by X:\ndocument.pif: W32.Netsky.P@mm\n") || !strings.HasPrefix(text, "【") {
				t.Errorf("%q", text)
			}
		})
	}
}

// FuzzNoticeMessage makes a notice of any original: it is a message, its fields are
// those that are to be kept, once each and as they were, and then our own.
func FuzzNoticeMessage(f *testing.F) {
	for _, seed := range []string{original, "", "From: a\r\n b\r\n\r\n", "From:a\nfrom:b\n \nTo\x00:c\nList-X: \xff\n\n", "X: y\r\r\nTo: a\r\n", "\ufeffFrom: a\r\n"} {
		f.Add([]byte(seed), "a@example.com", "file.exe")
	}
	w, err := New(Options{From: "a@example.jp", Provider: "X", Timezone: time.UTC})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, head []byte, sender, file string) {
		v := scan.Verdict{Outcome: scan.ReportOnly, Findings: []scan.Finding{{Malware: "Test", Name: file, Part: "1"}}}
		m := sample
		m.Sender = sender
		got, err := w.NoticeMessage(m, &v, head)
		if err != nil {
			t.Fatal(err)
		}
		wellFormedNotice(t, got)
		noticeText(t, got)
		if again, _ := w.NoticeMessage(m, &v, bytes.Clone(head)); !bytes.Equal(got, again) {
			t.Fatal("not the same twice")
		}
		parsed, err := mail.ReadMessage(bytes.NewReader(got))
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range parsed.Header {
			own := name == "Mime-Version" || strings.HasPrefix(name, "Content-")
			if len(values) != 1 || !own && !keeps(strings.ToLower(name)) {
				t.Fatalf("%s: %q", name, values)
			}
		}
		for _, name := range []string{"From", "Date", "Mime-Version", "Content-Type"} {
			if parsed.Header.Get(name) == "" {
				t.Fatalf("no %s: %q", name, got)
			}
		}
		unfolded := strings.ReplaceAll(string(head), "\r\n", "\n")
		for name, field := range fields(got) {
			own := keeps(strings.ToLower(name)) && !strings.EqualFold(name, "From") && !strings.EqualFold(name, "Date")
			if own && !strings.Contains(unfolded, strings.ReplaceAll(field, "\r\n", "\n")) {
				t.Fatalf("%q is not of the original", field)
			}
		}
	})
}
