package evasion

import (
	"encoding/base64"
	"fmt"
	"strings"

	"kiyome/testdata"
)

// crlf gives a text that is written here with LF as it goes over the wire.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// head is what stands first in a message, but for what says what it holds.
const head = `From: Taro Yamada <taro@example.com>
To: Hanako Suzuki <hanako@example.jp>
Subject: Invoice for October
Date: Mon, 20 Oct 2025 10:15:00 +0900
Message-ID: <20251020101500.1@example.com>
MIME-Version: 1.0
`

// entity is a message or a part: fields are written with LF, and without the last one.
func entity(fields, body string) string { return crlf(fields) + "\r\n\r\n" + body }

// letter is a message that holds the entity.
func letter(fields, body string) []byte { return []byte(crlf(head) + entity(fields, body)) }

// outer is the boundary of most messages here.
const outer = "=_kiyome_1"

// hello is the text that a recipient reads.
var hello = entity("Content-Type: text/plain; charset=us-ascii", "Please find the invoice attached.\r\n")

// multipart is the body of a multipart.
func multipart(boundary string, parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("--" + boundary + "\r\n" + p)
		if !strings.HasSuffix(p, "\r\n") {
			b.WriteString("\r\n")
		}
	}
	return b.String() + "--" + boundary + "--\r\n"
}

// mixed is a message with a text and what is attached to it.
func mixed(parts ...string) []byte {
	return letter(mixedType, multipart(outer, append([]string{hello}, parts...)...))
}

const mixedType = `Content-Type: multipart/mixed; boundary="` + outer + `"`

// label is the header of an attachment, but for its encoding.
func (p Payload) label() string {
	return fmt.Sprintf("Content-Type: application/octet-stream; name=%q\nContent-Disposition: attachment; filename=%[1]q", p.file())
}

// encoded is the header of an attachment in an encoding.
func (p Payload) encoded(encoding string) string {
	return p.label() + "\nContent-Transfer-Encoding: " + encoding
}

// attached is the payload as an ordinary attachment.
func (p Payload) attached() string { return entity(p.encoded("base64"), b64(p.Content)) }

// attach is any file as an ordinary attachment.
func attach(name string, content []byte) string {
	return entity("Content-Type: application/octet-stream\nContent-Disposition: attachment; filename=\""+name+"\"\nContent-Transfer-Encoding: base64", b64(content))
}

// wrap breaks a text into lines of n bytes.
func wrap(s string, n int) string {
	var b strings.Builder
	for s != "" {
		k := min(n, len(s))
		b.WriteString(s[:k] + "\r\n")
		s = s[k:]
	}
	return b.String()
}

// b64 is base64 in ordinary lines.
func b64(content []byte) string { return wrap(line64(content), 76) }

// line64 is base64 in one piece.
func line64(content []byte) string { return base64.StdEncoding.EncodeToString(content) }

// plain is no encoding at all.
func plain(content []byte) string { return string(content) + "\r\n" }

// qp is quoted-printable with every byte escaped, in ordinary lines.
func qp(content []byte) string { return qpBroken(content, "=\r\n") }

// qpBroken is qp with its own soft line breaks.
func qpBroken(content []byte, soft string) string {
	var b strings.Builder
	for i, c := range content {
		if i > 0 && i%24 == 0 {
			b.WriteString(soft)
		}
		fmt.Fprintf(&b, "=%02X", c)
	}
	return b.String() + "\r\n"
}

// uu is a uuencoded file.
func (p Payload) uu() string { return crlf(testdata.Uuencode(p.file(), string(p.Content))) + "\r\n" }

// uuLines are the data lines of a uuencoded file, without what begins and ends it.
func (p Payload) uuLines() string {
	lines := strings.SplitAfter(p.uu(), "\r\n")
	return strings.Join(lines[1:len(lines)-3], "")
}
