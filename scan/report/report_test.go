package report

import (
	"bytes"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kiyome/scan"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func newWriter(t testing.TB, folder string) *Writer {
	t.Helper()
	w, err := New(Options{
		From: "virus-check@example.jp", Provider: "例示インターネット", Hostname: "mail.example.jp",
		Language: "ja", Timezone: time.FixedZone("JST", 9*60*60), Templates: folder,
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// sample is a report's Mail.
var sample = Mail{
	Recipient: "hanako@example.jp", Sender: "taro@example.com", MessageID: "<1234@example.com>",
	Detected: time.Date(2008, 3, 10, 6, 20, 31, 0, time.UTC), Key: [32]byte{0xab, 0xcd},
}

// forged is a name that tries everything to pass for something else.
const forged = "請求書\u202Egpj.exe\r\nX-Evil: yes\r\n\r\n処理結果　　： 安全です\u0000\u200B\u2028\uE000\xff › ok.txt http://evil.example/"

var goldens = []struct {
	name    string
	mail    func(*Mail)
	verdict scan.Verdict
}{
	{"one attachment", nil, scan.Verdict{Outcome: scan.Cleaned, Findings: []scan.Finding{
		{Malware: "W32.Netsky.P@mm", Name: "document.pif", Part: "2"}}}},
	{"zip with a Japanese name", nil, scan.Verdict{Outcome: scan.Cleaned, Signed: true, Findings: []scan.Finding{
		{Malware: "Trojan.Dropper", Name: "請求書.zip", Path: []string{"請求書.zip", "2008年3月/請求書.exe"}, Part: "2"}}}},
	{"body", nil, scan.Verdict{Outcome: scan.ReportOnly, Why: "it is in the body", Findings: []scan.Finding{
		{Malware: "HTML.Phishing.A", Part: "1", Body: true}}}},
	{"three findings", nil, scan.Verdict{Outcome: scan.ReportOnly, Findings: []scan.Finding{
		{Malware: "EICAR-Test-File", Name: "eicar.com", Part: "2"},
		{Malware: "W97M.Downloader", Name: "見積書.doc", Part: "3"},
		{Malware: "VBS.LoveLetter", Part: "4"}}}},
	{"policy", nil, scan.Verdict{Outcome: scan.Cleaned, Findings: []scan.Finding{
		{Malware: "Policy.Encrypted", Policy: "encrypted", Name: "秘密.zip", Part: "2"},
		{Malware: "Policy.Limit", Policy: "limit: depth", Name: "deep.zip", Part: "3"},
		{Malware: "Policy.ClosedArchive", Policy: "closed archive", Name: "a.amg", Part: "4"}}}},
	{"not checked at all", nil, scan.Verdict{Outcome: scan.ReportOnly, Findings: []scan.Finding{
		{Malware: "Policy.Worker", Policy: "worker"}}}},
	{"forged names", func(m *Mail) { m.Sender, m.MessageID = forged, "<a@b>\r\nX-Evil: yes" }, scan.Verdict{
		Outcome: scan.Cleaned, Findings: []scan.Finding{
			{Malware: "Evil\nName", Name: forged, Part: "2"},
			{Malware: "Evil", Name: "x", Path: []string{"請求書.zip", forged, strings.Repeat("長い", 500) + ".exe"}, Part: "3"}}}},
	{"null sender and SMTPUTF8", func(m *Mail) { m.Sender, m.MessageID, m.Recipient = "", "", "花子@例え.jp" }, scan.Verdict{
		Outcome: scan.Cleaned, Findings: []scan.Finding{{Malware: "EICAR-Test-File", Name: "eicar.com", Part: "2"}}}},
}

func TestReportsReadAsTheyShould(t *testing.T) {
	w := newWriter(t, "")
	for _, tt := range goldens {
		for _, language := range languages {
			name := strings.ReplaceAll(tt.name, " ", "-") + "." + language
			t.Run(name, func(t *testing.T) {
				m := sample
				m.Language = language
				if tt.mail != nil {
					tt.mail(&m)
				}
				got, err := w.Report(m, &tt.verdict)
				if err != nil {
					t.Fatal(err)
				}
				// Beside the mail lies what a mail program shows of it.
				compare(t, name+".eml", got)
				compare(t, name+".txt", []byte(shown(t, got)))
				again, err := w.Report(m, &tt.verdict)
				if err != nil || !bytes.Equal(got, again) {
					t.Errorf("the second report differs (%v)", err)
				}
				wellFormed(t, got)
			})
		}
	}
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("differs from %s (%v):\n%s", path, err, got)
	}
}

// parse takes a report apart as a mail program does.
func parse(t testing.TB, raw []byte) (mail.Header, string) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	r := quotedprintable.NewReader(m.Body)
	body := io.Reader(r)
	if m.Header.Get("Content-Transfer-Encoding") == "base64" {
		body = base64.NewDecoder(base64.StdEncoding, m.Body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return m.Header, string(text)
}

// shown is what a mail program shows of a report.
func shown(t testing.TB, raw []byte) string {
	t.Helper()
	h, body := parse(t, raw)
	var b strings.Builder
	for _, name := range []string{"From", "To", "Subject", "Date"} {
		text, err := new(mime.WordDecoder).DecodeHeader(h.Get(name))
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(&b, "%s: %s\n", name, text)
	}
	return b.String() + "\n" + strings.ReplaceAll(body, "\r\n", "\n")
}

// wellFormed checks what the wire wants of a message: RFC 5322, section 2.1.1, and RFC 2045, section 6.7.
func wellFormed(t testing.TB, raw []byte) {
	t.Helper()
	if !bytes.HasSuffix(raw, []byte("\r\n")) {
		t.Error("no line end at the end")
	}
	head, body, _ := strings.Cut(string(raw), "\r\n\r\n")
	for line := range strings.SplitSeq(strings.TrimSuffix(string(raw), "\r\n"), "\r\n") {
		if strings.ContainsAny(line, "\r\n\x00") || len(line) > 998 {
			t.Errorf("bad line %q", line)
		}
	}
	for line := range strings.SplitSeq(body, "\r\n") {
		if len(line) > 76 || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("bad body line %q", line)
		}
	}
	if !strings.HasPrefix(head, "From: ") {
		t.Errorf("begins with %.40q", head)
	}
}

func TestHeader(t *testing.T) {
	w := newWriter(t, "")
	got, err := w.Report(sample, &goldens[0].verdict)
	if err != nil {
		t.Fatal(err)
	}
	h, _ := parse(t, got)
	for name, want := range map[string]string{
		"To":                       "<hanako@example.jp>",
		"Date":                     "Mon, 10 Mar 2008 15:20:31 +0900",
		"Message-Id":               "<abcd0000000000000000000000000000.report@mail.example.jp>",
		"In-Reply-To":              "<1234@example.com>",
		"References":               "<1234@example.com>",
		"Auto-Submitted":           "auto-generated",
		"X-Auto-Response-Suppress": "All",
		"Mime-Version":             "1.0",
		"Content-Type":             "text/plain; charset=utf-8",
		"Content-Language":         "ja",
	} {
		if got := h[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	from, err := h.AddressList("From")
	if err != nil || len(from) != 1 || *from[0] != (mail.Address{Name: "例示インターネット", Address: "virus-check@example.jp"}) {
		t.Errorf("From: %v, %v", from, err)
	}
}

func TestLanguageOfTheAccountElseOfTheServer(t *testing.T) {
	w := newWriter(t, "")
	for _, tt := range []struct{ language, want string }{{"en", "en"}, {"ja", "ja"}, {"", "ja"}, {"fr\r\nX: y", "ja"}} {
		m := sample
		m.Language = tt.language
		got, err := w.Report(m, &goldens[0].verdict)
		if err != nil {
			t.Fatal(err)
		}
		if h, _ := parse(t, got); h.Get("Content-Language") != tt.want {
			t.Errorf("%q: %s, want %s", tt.language, h.Get("Content-Language"), tt.want)
		}
	}
}

func TestOriginalsMessageID(t *testing.T) {
	for _, tt := range []struct {
		name, id string
		want     bool
	}{
		{"plain", "<a.b+c@example.com>", true},
		{"without at sign", "<1234>", true},
		{"as long as a line", "<" + strings.Repeat("x", messageIDMax-2) + ">", true},
		{"longer", "<" + strings.Repeat("x", messageIDMax-1) + ">", false},
		{"none", "", false},
		{"empty", "<>", false},
		{"no brackets", "a@b", false},
		{"two", "<a@b> <c@d>", false},
		{"space", "<a @b>", false},
		{"line end", "<a\r\n@b>", false},
		{"8 bit", "<花@b>", false},
		{"control", "<a\x7f@b>", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := isMessageID(tt.id); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
			m := sample
			m.MessageID = tt.id
			raw, err := newWriter(t, "").Report(m, &goldens[0].verdict)
			if err != nil {
				t.Fatal(err)
			}
			wellFormed(t, raw)
			if h, _ := parse(t, raw); tt.want && (h.Get("In-Reply-To") != tt.id || h.Get("References") != tt.id) {
				t.Errorf("In-Reply-To %q", h.Get("In-Reply-To"))
			}
		})
	}
}

func TestRecipientsInTheHeader(t *testing.T) {
	const none = "undisclosed-recipients:;"
	for _, tt := range []struct{ name, addr, want string }{
		{"plain", "a+tag@example.jp", "<a+tag@example.jp>"},
		{"SMTPUTF8", "花子@例え.jp", "<花子@例え.jp>"},
		{"needs quotes", `a,b@example.jp`, `<"a,b"@example.jp>`},
		{"line end", "a\r\nX: y@example.jp", none},
		{"direction", "a\u202Eb@example.jp", none},
		{"second address in the domain", "a@b>, <c@d", none},
		{"no domain", "postmaster", none},
		{"empty", "", none},
		{"not UTF-8", "\xff@example.jp", none},
		{"too long", strings.Repeat("x", addressMax) + "@example.jp", none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := recipient(tt.addr); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestLongListsAreCounted(t *testing.T) {
	v := scan.Verdict{Outcome: scan.Cleaned, More: 7}
	v.Findings = slices.Repeat([]scan.Finding{{Malware: "Test", Name: "a.exe", Part: "2"}}, findingsMax+5)
	m := sample
	m.Language = "en"
	raw, err := newWriter(t, "").Report(m, &v)
	if err != nil {
		t.Fatal(err)
	}
	_, body := parse(t, raw)
	if n := strings.Count(body, "a.exe"); n != findingsMax || !strings.Contains(body, "There are 12 more") {
		t.Errorf("%d listed: %s", n, body[len(body)-1000:])
	}
}

func TestOperatorsTemplate(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"good", "\ufeffSubject: Report for {{.Recipient}}\r\n\r\n{{range .Findings}}{{.File}}: {{.Malware}}\r\n{{end}}", ""},
		{"does not parse", "Subject: x\n\n{{if .Infected}}\n", "report.en.txt:4:"},
		{"unknown function", "Subject: x\n\n{{shell}}\n", "report.en.txt:3:"},
		{"unknown field", "Subject: x\n\n\n{{.Reciepient}}\n", "report.en.txt:4:"},
		{"unknown field in a branch", "Subject: x\n\nx{{range .Findings}}\n{{if eq .Policy \"damaged\"}}{{.Foo}}{{end}}{{end}}\n", "report.en.txt:4:"},
		{"no subject", "Hello\n\nbody\n", "report.en.txt:1:"},
		{"empty subject", "Subject:\n\nbody\n", "report.en.txt:1:"},
		{"two fields", "Subject: x\nBcc: y\n\nbody\n", "report.en.txt:1:"},
		{"no body", "Subject: x\n\n{{if .Signed}}x{{end}}\n", "report.en.txt: no body"},
		{"empty", "", "report.en.txt:1:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folder := t.TempDir()
			path := filepath.Join(folder, "report.en.txt")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
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
			m := sample
			m.Language = "en"
			raw, err := w.Report(m, &goldens[0].verdict)
			if err != nil {
				t.Fatal(err)
			}
			if h, body := parse(t, raw); h.Get("Subject") != "Report for hanako@example.jp" || body != "document.pif: W32.Netsky.P@mm\r\n" {
				t.Errorf("subject %q, body %q", h.Get("Subject"), body)
			}
		})
	}
}

func TestOptionsThatAreRefused(t *testing.T) {
	for _, o := range []Options{
		{From: ""}, {From: "nobody"}, {From: "A <a@example.jp>"}, {From: "a@b\r\nX: y"},
		{From: "a@example.jp", Language: "fr"},
		{From: "a@example.jp", Templates: "report.go"}, // not a folder
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v: accepted", o)
		}
	}
	w, err := New(Options{From: "a@example.jp", Provider: "Bad\r\nBcc: x", Hostname: "a\r\nb"})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := w.Report(sample, &goldens[0].verdict)
	if err != nil {
		t.Fatal(err)
	}
	wellFormed(t, raw)
	if h, _ := parse(t, raw); h.Get("Bcc") != "" || !strings.HasSuffix(h.Get("Message-Id"), "@localhost>") {
		t.Errorf("%v", h)
	}
}
