// Package report writes what tells a recipient what was removed, in Japanese or
// English, from templates that an operator can replace: the report, which is a mail of
// its own, and the notice, which goes with a mail that somebody is sent.
//
// Neither carries infected content. Nothing in their texts comes from the message but
// names, which are made harmless first; a mail that a notice replaces keeps the
// fields of its header that say whose it is.
package report

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	netmail "net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/mail"

	"kiyome/scan"
)

// Options configures a Writer.
type Options struct {
	From      string         // address of the reports
	Provider  string         // who signs them; "" is the domain of From
	Hostname  string         // right-hand side of the Message-ID
	Language  string         // of recipients that have none: "ja" or "en"; "" is "ja"
	Timezone  *time.Location // of the dates that are shown; nil is UTC
	Templates string         // folder with report.ja.txt, report.en.txt, notice.ja.txt and notice.en.txt; "" or a missing file: the built-in ones
}

// Writer writes reports and notices. It is safe for concurrent use.
type Writer struct {
	from     string // the field, encoded
	provider string
	hostname string
	language string
	zone     *time.Location
	texts    texts
}

// New reads and checks the templates: reports and notices of made-up messages are written
// with each, so that a bad one is found now and not when malware comes. The
// error of a bad template names its file and line.
func New(o Options) (*Writer, error) {
	if a, err := netmail.ParseAddress(o.From); err != nil || a.Address != o.From {
		return nil, fmt.Errorf("report: %q is not an address", o.From)
	}
	if o.Language == "" {
		o.Language = "ja"
	}
	if !known(o.Language) {
		return nil, fmt.Errorf("report: unknown language %q", o.Language)
	}
	w := &Writer{
		provider: Line(o.Provider),
		hostname: domain(o.Hostname),
		language: o.Language,
		zone:     o.Timezone,
	}
	if w.zone == nil {
		w.zone = time.UTC
	}
	if w.provider == "" {
		w.provider = o.From[strings.LastIndexByte(o.From, '@')+1:]
	}
	w.from = address(w.provider, o.From)
	var err error
	if w.texts, err = readTexts(o.Templates); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if err := w.prove(); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return w, nil
}

// Mail is what a report or a notice says of the message besides the verdict.
type Mail struct {
	Recipient string    // envelope recipient
	Sender    string    // envelope sender; "" is the null sender
	MessageID string    // of the original, with its angle brackets; "" if it had none
	Language  string    // of the account
	Detected  time.Time // when
	Key       [32]byte  // of message and recipient: the report's Message-ID is derived from it, so that a retry makes the same report
}

// Report gives a whole message with CRLF line ends: header (From, To, Subject, Date, Message-ID, …) and body.
// It has no trace headers: Return-Path, Received and the rest are put on at delivery.
// The same Mail and Verdict give the same bytes.
func (w *Writer) Report(m Mail, v *scan.Verdict) ([]byte, error) {
	language := w.language
	if known(m.Language) {
		language = m.Language
	}
	subject, body, err := w.texts.report(language, w.facts(m, v))
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	var b bytes.Buffer
	out, err := message.CreateWriter(&b, w.header(m, subject, language, encoding(body)))
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	_, err = out.Write([]byte(strings.ReplaceAll(body, "\n", "\r\n")))
	if err := errors.Join(err, out.Close()); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if !bytes.HasSuffix(b.Bytes(), []byte("\r\n")) {
		b.WriteString("\r\n") // the base64 writer ends within a line
	}
	return b.Bytes(), nil
}

// header makes the header. Fields are put on top of one another: the last one set is the first.
func (w *Writer) header(m Mail, subject, language, encoding string) message.Header {
	var h mail.Header
	h.Set("Content-Transfer-Encoding", encoding)
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Language", language)
	h.Set("MIME-Version", "1.0")
	h.Set("X-Auto-Response-Suppress", "All") // asks Exchange for silence
	h.Set("Auto-Submitted", "auto-generated")
	if isMessageID(m.MessageID) {
		h.Set("References", m.MessageID)
		h.Set("In-Reply-To", m.MessageID)
	}
	h.SetMessageID(hex.EncodeToString(m.Key[:16]) + ".report@" + w.hostname)
	h.SetDate(m.Detected.In(w.zone))
	h.Set("Subject", mime.BEncoding.Encode("utf-8", subject))
	h.Set("To", recipient(m.Recipient))
	h.Set("From", w.from)
	return h.Header
}

// encoding chooses what can best be read as it is: quoted-printable for text that is mostly ASCII.
func encoding(body string) string {
	if 5*utf8.RuneCountInString(body) < 4*len(body) {
		return "base64"
	}
	return "quoted-printable"
}

// address writes a mailbox with a display name for a header.
func address(name, addr string) string {
	bare := (&netmail.Address{Address: addr}).String()
	switch encoded := mime.BEncoding.Encode("utf-8", name); {
	case name == "":
		return bare
	case encoded != name:
		return encoded + " " + bare
	}
	return (&netmail.Address{Name: name, Address: addr}).String()
}

// addressMax is the size in bytes of the longest address that a header shows:
// RFC 5321, section 4.5.3.1, has 64 and 255 and the @.
const addressMax = 320

// recipient writes the envelope recipient for the To field. Characters outside
// ASCII stay as they are: RFC 6532. One that does not fit a header is left out.
func recipient(addr string) string {
	odd := func(r rune) bool { return r == utf8.RuneError || r == ' ' || !unicode.IsGraphic(r) }
	at := strings.LastIndexByte(addr, '@')
	if at <= 0 || at == len(addr)-1 || len(addr) > addressMax || strings.ContainsFunc(addr, odd) ||
		strings.ContainsAny(addr[at:], "<>,;:\"()\\") {
		return "undisclosed-recipients:;"
	}
	return address("", addr)
}

// messageIDMax keeps "In-Reply-To: " and the identifier in one line of 998 bytes: RFC 5322, section 2.1.1.
const messageIDMax = 998 - len("In-Reply-To: ")

// isMessageID reports whether the identifier that the sender gave can stand in a header of ours.
func isMessageID(id string) bool {
	if len(id) < 3 || len(id) > messageIDMax || id[0] != '<' || id[len(id)-1] != '>' {
		return false
	}
	odd := func(r rune) bool { return r <= ' ' || r > '~' || r == '<' || r == '>' }
	return !strings.ContainsFunc(id[1:len(id)-1], odd)
}

// domain gives a host name that fits a Message-ID.
func domain(host string) string {
	odd := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-')
	}
	if host == "" || len(host) > 255 || strings.ContainsFunc(host, odd) {
		return "localhost"
	}
	return host
}
