package report

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"

	"kiyome/scan"
)

//go:embed texts
var builtin embed.FS

// languages lists those that reports are written in.
var languages = []string{"ja", "en"}

func known(language string) bool { return slices.Contains(languages, language) }

// kinds lists what there are templates of. A report begins with its subject, a notice
// has none.
var kinds = []string{"report", "notice"}

// texts are the templates, by kind and language: "report.ja".
type texts map[string]*template.Template

// dateFormat is how a report shows when something was found.
const dateFormat = "2006/01/02 15:04:05"

// facts is what a template is given. Every string is harmless.
type facts struct {
	Provider   string
	Recipient  string
	Findings   []fact
	More       int    // findings that are not in the list
	Infected   bool   // malware was found; false: only something that could not be checked
	ReportOnly bool   // nothing of the message is delivered
	Why        string // then: "body", "whole" (could not be checked to its end), "rest"
	Signed     bool   // a signature no longer verifies
}

// fact is one finding in a template.
type fact struct {
	Detected string
	Item
	Sender string // "" is the null sender
}

// readTexts reads the templates of folder, and the built-in ones for those that are not there.
func readTexts(folder string) (texts, error) {
	all := make(texts)
	for _, kind := range kinds {
		for _, language := range languages {
			t, err := readText(folder, kind+"."+language+".txt")
			if err != nil {
				return nil, err
			}
			all[kind+"."+language] = t
		}
	}
	return all, nil
}

// readText reads one template.
func readText(folder, name string) (*template.Template, error) {
	source, err := builtin.ReadFile("texts/" + name)
	if err != nil {
		return nil, err
	}
	if folder != "" {
		path := filepath.Join(folder, name)
		switch own, err := os.ReadFile(path); {
		case err == nil:
			source, name = own, path
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return template.New(name).Parse(lines(string(source)))
}

// report gives subject and body in one language.
func (t texts) report(language string, f facts) (subject, body string, err error) {
	var b strings.Builder
	own := t["report."+language]
	if err := own.Execute(&b, f); err != nil {
		return "", "", err
	}
	head, body, _ := strings.Cut(lines(b.String()), "\n\n")
	subject, ok := strings.CutPrefix(strings.TrimSpace(head), "Subject:")
	subject, body = Line(subject), strings.TrimSpace(body)
	switch {
	case !ok || subject == "" || strings.Contains(strings.TrimSpace(head), "\n"):
		return "", "", fmt.Errorf("template %s:1: it must begin with one line \"Subject: …\" and an empty line", own.Name())
	case body == "":
		return "", "", fmt.Errorf("template %s: no body", own.Name())
	}
	return subject, body + "\n", nil
}

// notice gives the text in all languages: nobody knows that of a recipient elsewhere.
func (t texts) notice(f facts) (string, error) {
	var all []string
	for _, language := range languages {
		var b strings.Builder
		own := t["notice."+language]
		if err := own.Execute(&b, f); err != nil {
			return "", err
		}
		text := strings.TrimSpace(lines(b.String()))
		if text == "" {
			return "", fmt.Errorf("template %s: no text", own.Name())
		}
		all = append(all, text+"\n")
	}
	return strings.Join(all, "\n\n"), nil
}

// lines gives a text LF line ends and no byte order mark.
func lines(text string) string {
	text = strings.TrimPrefix(text, "\ufeff")
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
}

// facts gathers what the templates are given.
func (w *Writer) facts(m Mail, v *scan.Verdict) facts {
	f := facts{
		Provider:   w.provider,
		Recipient:  Line(m.Recipient),
		ReportOnly: v.Outcome == scan.ReportOnly,
		Why:        "rest",
		Signed:     v.Signed && v.Outcome != scan.ReportOnly,
	}
	for i, found := range v.Findings {
		f.Infected = f.Infected || found.Policy == ""
		switch {
		case found.Body:
			f.Why = "body"
		case whole(found) && f.Why != "body":
			f.Why = "whole"
		}
		if i < findingsMax {
			f.Findings = append(f.Findings, w.fact(m, found))
		}
	}
	f.More = len(v.Findings) - len(f.Findings) + v.More
	return f
}

func (w *Writer) fact(m Mail, found scan.Finding) fact {
	return fact{
		Detected: m.Detected.In(w.zone).Format(dateFormat),
		Item:     itemOf(found),
		Sender:   Line(m.Sender),
	}
}

// prove writes reports and notices of made-up messages that between them reach every branch.
func (w *Writer) prove() error {
	m := Mail{Recipient: "user@example.jp", Sender: "sender@example.com", Detected: time.Unix(0, 0)}
	infected := []scan.Finding{
		{Malware: "Test", Name: "a.exe", Part: "2"},
		{Malware: "Test", Name: "a.zip", Path: []string{"a.zip", "b.exe"}, Part: "3"},
		{Malware: "Test", Part: "4"},
	}
	body := []scan.Finding{{Malware: "Test", Part: "1", Body: true}}
	var unchecked []scan.Finding
	for _, reason := range []string{"encrypted", "closed archive", "damaged", "unsupported", "limit: depth", "scan error"} {
		unchecked = append(unchecked, scan.Finding{Policy: reason, Name: "a.zip", Part: "2"})
	}
	nothing := []scan.Finding{{Policy: "worker"}}
	many := slices.Repeat(infected, findingsMax)
	for _, language := range languages {
		for _, findings := range [][]scan.Finding{infected, body, unchecked, nothing, many} {
			for _, v := range []scan.Verdict{{Outcome: scan.Cleaned, Signed: true}, {Outcome: scan.Cleaned}, {Outcome: scan.ReportOnly}} {
				v.Findings = findings
				for _, m.Sender = range []string{"", "sender@example.com"} {
					f := w.facts(m, &v)
					_, _, reported := w.texts.report(language, f)
					_, noticed := w.texts.notice(f)
					if err := errors.Join(reported, noticed); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}
