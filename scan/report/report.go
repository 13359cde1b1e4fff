// Package report writes the mail that tells a recipient what was removed, in
// Japanese or English, from templates that an operator can replace.
//
// A report never carries infected content, and nothing in it comes from the
// message but names, which are made harmless first.
package report

import (
	"time"

	"kiyome/scan"
)

// Options configures a Writer.
type Options struct {
	From      string // address of the reports
	Provider  string // who signs them
	Hostname  string // right-hand side of the Message-ID
	Language  string // of recipients that have none: "ja" or "en"
	Timezone  *time.Location
	Templates string // folder with report.ja.txt and report.en.txt; "" or a missing file: the built-in ones
}

// Writer writes reports. It is safe for concurrent use.
type Writer struct{}

// New reads and checks the templates: a report of a made-up message is written
// with each, so that a bad one is found now and not when malware comes.
func New(o Options) (*Writer, error) { panic("not built yet") }

// Mail is what a report says of the message besides the verdict.
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
func (w *Writer) Report(m Mail, v *scan.Verdict) ([]byte, error) { panic("not built yet") }
