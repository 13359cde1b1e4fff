package evasion

import (
	"bytes"
	"fmt"
	"strings"
)

// wrapped is a message with another one, as bytes, under these fields.
func wrapped(fields, body string) []byte { return mixed(entity(fields, body)) }

// messages is about messages in messages. RFC 2046, section 5.2.1 forbids to encode
// them; Outlook and Apple Mail decode them nevertheless, Thunderbird did not always.
func messages() []Case {
	f := family{name: "message"}
	in := func(p Payload) string { return string(mixed(p.attached())) }
	for _, kind := range []string{"message/rfc822", "message/global", "message/news", "message/x-unheard-of"} {
		for _, e := range []struct {
			name, field string
			encode      func([]byte) string
		}{
			{"plain", "", func(b []byte) string { return string(b) }},
			{"base64", "\nContent-Transfer-Encoding: base64", b64},
			{"quoted-printable", "\nContent-Transfer-Encoding: quoted-printable", qp},
			{"uuencode", "\nContent-Transfer-Encoding: x-uuencode", func(b []byte) string { return Payload{Content: b}.uu() }},
		} {
			f.add(messageLevel(kind, e.name), kind+", "+e.name, func(p Payload) []byte {
				return wrapped("Content-Type: "+kind+e.field, e.encode([]byte(in(p))))
			})
		}
	}
	for _, r := range []fieldRow{
		{Core, "an .eml as octet-stream", "Content-Type: application/octet-stream\nContent-Disposition: attachment; filename=\"letter.eml\""},
		{Core, "an .eml as text", "Content-Type: text/plain; name=\"letter.eml\""},
		{Core, "an .eml as a picture", "Content-Type: image/png\nContent-Disposition: attachment; filename=\"letter.eml\""},
		{Core, "a message under another name", "Content-Type: application/octet-stream\nContent-Disposition: attachment; filename=\"letter.dat\""},
		{Core, "an .mht", "Content-Type: application/octet-stream\nContent-Disposition: attachment; filename=\"page.mht\""},
		{Core, "an .mbox", "Content-Type: application/mbox\nContent-Disposition: attachment; filename=\"old.mbox\""},
	} {
		f.add(r.level, r.name, func(p Payload) []byte {
			return wrapped(r.fields+"\nContent-Transfer-Encoding: base64", b64([]byte(in(p))))
		})
		f.add(r.level, r.name+", LF", func(p Payload) []byte {
			return wrapped(r.fields+"\nContent-Transfer-Encoding: base64", b64(ends([]byte(in(p)), "\n")))
		})
	}
	f.add(Core, "all of the message", func(p Payload) []byte { return letter("Content-Type: message/rfc822", in(p)) })
	f.add(Core, "all of the message, base64", func(p Payload) []byte {
		return letter("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64", b64([]byte(in(p))))
	})
	f.attachedStarts()
	f.digests()
	f.partials()
	f.reports()
	f.pages()
	return f.cases
}

func messageLevel(kind, encoding string) string {
	switch {
	case kind == "message/x-unheard-of" || encoding == "uuencode":
		return Edge
	}
	return Core
}

// attachedStarts has something before the header of the attached message.
func (f *family) attachedStarts() {
	for _, r := range []struct{ level, name, before string }{
		{Core, "an empty line", "\r\n"},
		{Edge, "three empty lines", "\r\n\r\n\r\n"},
		{Core, "a From line", "From taro@example.com Mon Oct 20 10:15:00 2025\r\n"},
		{Edge, "a quoted From line", ">From taro@example.com Mon Oct 20 10:15:00 2025\r\n"},
		{Edge, "a BOM", "\uFEFF"},
		{Edge, "junk", "this line is no field\r\n"},
		{Edge, "a continuation", " continued\r\n"},
	} {
		f.add(r.level, "attached, before it "+r.name, func(p Payload) []byte {
			return wrapped("Content-Type: message/rfc822", r.before+string(mixed(p.attached())))
		})
		f.add(r.level, "attached in base64, before it "+r.name, func(p Payload) []byte {
			return wrapped("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64", b64([]byte(r.before+string(mixed(p.attached())))))
		})
	}
	f.add(Edge, "attached, only the fields of MIME", func(p Payload) []byte {
		return wrapped("Content-Type: message/rfc822", p.attached())
	})
	f.add(Edge, "attached in base64, only the fields of MIME", func(p Payload) []byte {
		return wrapped("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64", b64([]byte(p.attached())))
	})
	f.add(Edge, "attached, the encoding twice", func(p Payload) []byte {
		return wrapped("Content-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64", b64(mixed(p.attached())))
	})
	f.add(Edge, "attached, not separated from the part's header", func(p Payload) []byte {
		return mixed("Content-Type: message/rfc822\r\n" + string(mixed(p.attached())))
	})
	f.add(Core, "attached, the boundary of the outer one", func(p Payload) []byte {
		return letter(strings.ReplaceAll(mixedType, outer, "other"), multipart("other", hello, entity("Content-Type: message/rfc822", string(mixed(p.attached())))))
	})
	f.add(Edge, "attached, the same boundary as the outer one", func(p Payload) []byte {
		return wrapped("Content-Type: message/rfc822", string(mixed(p.attached())))
	})
	for _, n := range []int{3, 12, 40} {
		f.add(Core, fmt.Sprintf("messages %d deep", n), func(p Payload) []byte {
			m := mixed(p.attached())
			for range n {
				m = letter("Content-Type: message/rfc822", string(m))
			}
			return m
		})
	}
	for _, n := range []int{2, 3, 8} {
		f.add(Edge, fmt.Sprintf("messages in base64 %d deep", n), func(p Payload) []byte {
			m := mixed(p.attached())
			for range n {
				m = letter("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64", b64(m))
			}
			return m
		})
	}
	f.add(Core, "messages and zips by turns", func(p Payload) []byte {
		m := mixed(attach("a.zip", p.zip()))
		for range 3 {
			m = mixed(attach("letter.zip", zipOf("letter.eml", m)))
		}
		return m
	})
}

// digests are multiparts whose parts are messages without saying so (RFC 2046, section 5.1.5).
func (f *family) digests() {
	digest := func(part string) []byte {
		return letter(`Content-Type: multipart/digest; boundary="`+outer+`"`, multipart(outer, part))
	}
	f.add(Core, "digest", func(p Payload) []byte { return digest("\r\n" + string(mixed(p.attached()))) })
	f.add(Core, "digest, type said", func(p Payload) []byte {
		return digest(entity("Content-Type: message/rfc822", string(mixed(p.attached()))))
	})
	f.add(Edge, "digest, base64", func(p Payload) []byte {
		return digest(entity("Content-Transfer-Encoding: base64", b64(mixed(p.attached()))))
	})
	f.add(Edge, "digest, no empty line before the message", func(p Payload) []byte { return digest(string(mixed(p.attached()))) })
	f.add(Core, "digest, an attachment in it", func(p Payload) []byte { return digest(p.attached()) })
}

// partials are messages in pieces (RFC 2046, section 5.2.2.2), which Outlook
// Express put together. All pieces are in one message here.
func (f *family) partials() {
	piece := func(n, total int, body string) string {
		return entity(fmt.Sprintf("Content-Type: message/partial; id=\"1@example.com\"; number=%d; total=%d", n, total), body)
	}
	f.add(Core, "partial, one of one", func(p Payload) []byte {
		return []byte(crlf(head) + piece(1, 1, string(mixed(p.attached()))))
	})
	f.add(Edge, "partial, one of one, attached", func(p Payload) []byte { return mixed(piece(1, 1, string(mixed(p.attached())))) })
	f.add(Edge, "partial, the first of two has all", func(p Payload) []byte {
		return []byte(crlf(head) + piece(1, 2, string(mixed(p.attached()))))
	})
	f.add(Edge, "partial, the second of two has all of the part", func(p Payload) []byte {
		return []byte(crlf(head) + piece(2, 2, "--"+outer+"\r\n"+p.attached()+"--"+outer+"--\r\n"))
	})
	halves := func(p Payload) (string, string) {
		m := string(mixed(p.attached()))
		at := strings.LastIndex(m, "\r\n\r\n") + 4 + 20 // within the base64
		return m[:at], m[at:]
	}
	f.add(Doubtful, "partial, two pieces in one message", func(p Payload) []byte {
		a, b := halves(p)
		return mixed(piece(1, 2, a), piece(2, 2, b))
	})
	f.add(Doubtful, "partial, two pieces in the wrong order", func(p Payload) []byte {
		a, b := halves(p)
		return mixed(piece(2, 2, b), piece(1, 2, a))
	})
	f.add(Edge, "external body with a body", func(p Payload) []byte {
		return mixed(entity("Content-Type: message/external-body; access-type=local-file; name=\"a\"", p.attached()))
	})
	f.add(Edge, "external body with a body behind an empty header", func(p Payload) []byte {
		return mixed(entity("Content-Type: message/external-body; access-type=anon-ftp; site=example.com; name=\"a\"", "\r\n"+p.attached()))
	})
	f.add(Edge, "external body in base64", func(p Payload) []byte {
		return mixed(entity("Content-Type: message/external-body; access-type=url; url=\"http://example.com/\"\nContent-Transfer-Encoding: base64", b64(p.Content)))
	})
}

// reports are what a mail server sends back, with the message in it.
func (f *family) reports() {
	report := func(parts ...string) []byte {
		return letter(`Content-Type: multipart/report; report-type=delivery-status; boundary="`+outer+`"`,
			multipart(outer, append([]string{hello, entity("Content-Type: message/delivery-status", "Reporting-MTA: dns; mx.example.com\r\n\r\nFinal-Recipient: rfc822; a@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n")}, parts...)...))
	}
	f.add(Core, "bounce", func(p Payload) []byte {
		return report(entity("Content-Type: message/rfc822", string(mixed(p.attached()))))
	})
	f.add(Core, "bounce, headers that have a body", func(p Payload) []byte {
		return report(entity("Content-Type: text/rfc822-headers", string(mixed(p.attached()))))
	})
	f.add(Edge, "bounce in a text", func(p Payload) []byte {
		return letter("Content-Type: text/plain", "This message was undeliverable.\r\n\r\n------ This is a copy of the message ------\r\n\r\n"+string(mixed(p.attached())))
	})
	f.add(Edge, "bounce in a text, an attachment only", func(p Payload) []byte {
		return letter("Content-Type: text/plain", "--- Below this line is a copy.\r\n\r\n"+string(letter(p.encoded("base64"), b64(p.Content))))
	})
	f.add(Edge, "forwarded in a text with quotes", func(p Payload) []byte {
		m := string(mixed(p.attached()))
		return letter("Content-Type: text/plain", "> "+strings.ReplaceAll(strings.TrimSuffix(m, "\r\n"), "\r\n", "\r\n> ")+"\r\n")
	})
	f.add(Edge, "forwarded in a text with dashes (RFC 934)", func(p Payload) []byte {
		m := string(mixed(p.attached()))
		return letter("Content-Type: text/plain", "------- Forwarded Message\r\n\r\n"+strings.ReplaceAll("\r\n"+m, "\r\n-", "\r\n- -")[2:]+"------- End of Forwarded Message\r\n")
	})
	f.add(Core, "delivery status that is a file", func(p Payload) []byte {
		return report(entity("Content-Type: message/delivery-status\nContent-Transfer-Encoding: base64", b64(p.Content)))
	})
}

// pages are other files that hold messages.
func (f *family) pages() {
	mbox := func(p Payload) []byte {
		from := []byte("From taro@example.com Mon Oct 20 10:15:00 2025\n")
		return slicesJoin(from, ends(letter("Content-Type: text/plain", "Hello.\r\n"), "\n"), []byte("\n"), from, ends(mixed(p.attached()), "\n"))
	}
	f.add(Core, "mbox of two, the second", func(p Payload) []byte { return mixed(attach("old.mbox", mbox(p))) })
	f.add(Edge, "mbox of two in a text part", func(p Payload) []byte { return mixed(entity("Content-Type: text/plain", crlf(string(mbox(p))))) })
	f.add(Core, "web page with its files", func(p Payload) []byte {
		page := "From: <Saved by a browser>\r\nSubject: Page\r\nMIME-Version: 1.0\r\n" +
			entity("Content-Type: multipart/related; type=\"text/html\"; boundary=\"page\"", multipart("page", entity("Content-Type: text/html\nContent-Location: http://example.com/", "<p>Hello."),
				entity("Content-Type: application/octet-stream\nContent-Location: http://example.com/a.exe\nContent-Transfer-Encoding: base64", b64(p.Content))))
		return mixed(attach("page.mhtml", []byte(page)))
	})
	f.add(Core, "web page that begins with MIME-Version", func(p Payload) []byte { // as macro documents do
		page := "MIME-Version: 1.0\r\n" + entity("Content-Type: multipart/related; boundary=\"page\"", multipart("page", entity("Content-Location: file:///C:/a.htm\nContent-Type: text/html", "<p>Hello."),
			entity("Content-Location: file:///C:/a.mso\nContent-Transfer-Encoding: base64\nContent-Type: application/x-mso", b64(p.Content))))
		return mixed(attach("letter.doc", []byte(page)))
	})
	f.add(Edge, "web page behind junk", func(p Payload) []byte {
		page := append(bytes.Repeat([]byte(" \r\n"), 30), []byte("MIME-Version: 1.0\r\n"+entity("Content-Type: multipart/related; boundary=\"page\"", multipart("page", entity("Content-Type: text/html", "<p>Hello."), p.attached())))...)
		return mixed(attach("letter.doc", page))
	})
}
