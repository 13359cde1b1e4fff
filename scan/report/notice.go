package report

import (
	"bytes"
	"fmt"
	"iter"
	"strings"

	"kiyome/scan"
)

// Notice gives the part that scan.Notice makes room for, an entity with CRLF line ends: a text
// that says, in Japanese and in English, what was removed from the mail that it goes
// with. Of m it needs Detected only. The same Mail and Verdict give the same bytes.
func (w *Writer) Notice(m Mail, v *scan.Verdict) ([]byte, error) {
	text, err := w.texts.notice(w.facts(m, v))
	if err != nil {
		return nil, fmt.Errorf("notice: %w", err)
	}
	return scan.NoticePart(text), nil
}

// headMax is how many bytes of the original are looked at for its header. A field that
// goes on behind them is left out.
const headMax = 64 << 10

// NoticeMessage gives a whole message with CRLF line ends that goes out in place of
// original, of which nothing is delivered: the fields that say from whom, to whom and
// about what it is, as they are in original, and the notice. What else its header held
// is left out, trace fields too. Of original its first 64 KiB are looked at. A From that it lacks is m.Sender, or the address of the reports; a Date is m.Detected.
// The same arguments give the same bytes.
func (w *Writer) NoticeMessage(m Mail, v *scan.Verdict, original []byte) ([]byte, error) {
	f := w.facts(m, v)
	f.ReportOnly, f.Signed = true, false
	text, err := w.texts.notice(f)
	if err != nil {
		return nil, fmt.Errorf("notice: %w", err)
	}
	var b bytes.Buffer
	has := make(map[string]bool)
	for name, field := range fields(original[:min(len(original), headMax)]) {
		if name = strings.ToLower(name); keeps(name) && !has[name] && isSound(field) {
			has[name] = true
			b.WriteString(field)
		}
	}
	if !has["from"] {
		fmt.Fprintf(&b, "From: %s\r\n", w.sender(m))
	}
	if !has["date"] {
		fmt.Fprintf(&b, "Date: %s\r\n", m.Detected.In(w.zone).Format(wireDate))
	}
	b.WriteString("MIME-Version: 1.0\r\n")
	b.Write(scan.NoticePart(text))
	return b.Bytes(), nil
}

// wireDate is a date in a header: RFC 5322, section 3.3.
const wireDate = "Mon, 02 Jan 2006 15:04:05 -0700"

// sender is who a mail is from that does not say so.
func (w *Writer) sender(m Mail) string {
	if from := recipient(m.Sender); strings.HasSuffix(from, ">") {
		return from
	}
	return w.from
}

// kept are the fields that a notice keeps of the mail that it replaces, besides those
// of a list (RFC 2369, RFC 2919), in lower case.
var kept = map[string]bool{
	"from": true, "sender": true, "reply-to": true, "to": true, "cc": true, "subject": true, "date": true,
	"message-id": true, "in-reply-to": true, "references": true, "auto-submitted": true,
}

// keeps reports whether a notice keeps a field.
func keeps(name string) bool { return kept[name] || strings.HasPrefix(name, "list-") }

// fields yields the fields of a header, which begins with head, by name and with CRLF line
// ends. Lines that belong to no field are passed over.
func fields(head []byte) iter.Seq2[string, string] {
	return func(yield func(name, field string) bool) {
		var name string
		var field strings.Builder
		for {
			line, rest, ended := bytes.Cut(head, []byte("\n"))
			line = bytes.TrimSuffix(line, []byte("\r"))
			goesOn := len(line) > 0 && (line[0] == ' ' || line[0] == '\t')
			isWhole := !goesOn && (ended || len(line) > 0)
			if isWhole && name != "" && !yield(name, field.String()) || !ended || len(bytes.Trim(line, "\r")) == 0 {
				return
			}
			if !goesOn {
				name = fieldName(line)
				field.Reset()
			}
			field.Write(line)
			field.WriteString("\r\n")
			head = rest
		}
	}
}

// fieldName is the name of the field that begins with a line; "" where none does:
// RFC 5322, section 3.6.8.
func fieldName(line []byte) string {
	name, _, found := strings.Cut(string(line), ":")
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	if !found || strings.ContainsFunc(name, odd) {
		return ""
	}
	return name
}

// isSound reports whether a field can stand in a header of ours: it says something, in
// lines that have something in them, none too long (RFC 5322, section 2.1.1), and
// without control characters.
func isSound(field string) bool {
	const lineMax = 998
	odd := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	_, value, _ := strings.Cut(field, ":")
	if strings.TrimSpace(value) == "" {
		return false
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(field, "\r\n"), "\r\n") {
		if len(line) > lineMax || strings.TrimSpace(line) == "" || strings.ContainsFunc(line, odd) {
			return false
		}
	}
	return true
}
