package scan

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"kiyome/scan/mime"
	"kiyome/testdata"
)

// told is the text of a notice, and shown what a mail program makes of it.
const (
	toldText  = "ウイルスを駆除しました。\nA virus was removed.\n"
	shownText = "ウイルスを駆除しました。\r\nA virus was removed.\r\n"
)

// noticed gives the message that a plan makes.
func noticed(t testing.TB, raw []byte, n *Notice) []byte {
	t.Helper()
	var out []byte
	for p := range n.Pieces(int64(len(raw))) {
		switch {
		case p.Notice:
			out = append(out, NoticePart(toldText)...)
		case p.Text != "":
			out = append(out, p.Text...)
		default:
			out = append(out, raw[p.Keep.Start:p.Keep.End]...)
		}
	}
	return out
}

// How a notice goes into a message.
const (
	inMixed = "as its last part"
	wrapped = "as the second part of two"
	nowhere = "nowhere"
)

// formOf tells how a plan adds a notice.
func formOf(n *Notice) string {
	switch {
	case n == nil:
		return nowhere
	case len(n.Insert) == 1:
		return inMixed
	}
	return wrapped
}

// uuBlock is a uuencoded file in a text.
func uuBlock(content string) string {
	return strings.ReplaceAll(testdata.Uuencode("bad.exe", content), "\n", "\r\n") + "\r\n"
}

// root writes a message of the fields and the body, without any field of its own.
func root(body string, fields ...string) string {
	return "From: a@example.com\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n" + body
}

// noticeCases are messages that are cleaned, and how a notice goes into each.
func noticeCases() []noticeCase {
	hello, bad, good := text("Hello.\r\n"), attach("bad.exe", "VIRUS"), attach("good.txt", "good")
	block := "Before.\r\n" + uuBlock("VIRUS") + "After.\r\n"
	mixed := multipart("mixed", "b", hello, bad, good)
	unclosed := strings.TrimSuffix(mixed, "--b--\r\n")
	body := func(m string) string { return m[strings.Index(m, "\r\n\r\n")+4:] }
	inner := mail(multipart("mixed", "c", text("inner"), bad))
	signature := entity("x", "Content-Type: application/pgp-signature")
	smime := entity("x", "Content-Type: application/pkcs7-signature; name=smime.p7s", "Content-Transfer-Encoding: base64")
	return []noticeCase{
		{"mixed", mail(mixed), inMixed},
		{"mixed, the bad part first", mail(multipart("mixed", "b", bad, hello)), inMixed},
		{"mixed, the bad part last", mail(multipart("mixed", "b", hello, bad)), inMixed},
		{"mixed, one part is left", mail(multipart("mixed", "b", good, bad)), inMixed},
		{"mixed, nothing behind the last delimiter", mail(strings.TrimSuffix(mixed, "\r\n")), inMixed},
		{"mixed, blanks behind delimiters", mail(strings.ReplaceAll(mixed, "--b\r\n", "--b \t\r\n")), inMixed},
		{"mixed, preamble and epilogue", mail(entity("Some words.\r\n"+body(mixed)+"Some more.\r\n", "Content-Type: multipart/mixed; boundary=b")), inMixed},
		{"mixed, a blank epilogue", mail(mixed + "\r\n\r\n"), inMixed},
		{"mixed, no version", root(mixed[strings.Index(mixed, "\r\n\r\n")+4:], "Content-Type: multipart/mixed; boundary=b"), inMixed},
		{"mixed, a folded field in odd case", mail(entity(body(mixed), "content-TYPE:\r\n\tMultipart/Mixed;\r\n Boundary=\"b\"")), inMixed},
		{"mixed, 8bit", mail("Content-Transfer-Encoding: 8bit\r\n" + strings.Replace(mixed, "Hello.", "こんにちは", 1)), inMixed},
		{"mixed, dashes for a boundary", mail(multipart("mixed", "------------", hello, bad)), inMixed},
		{"mixed, the bad part within", mail(multipart("mixed", "b", hello, multipart("mixed", "c", good, bad))), inMixed},
		{"mixed, the last part is open", mail(multipart("mixed", "b", hello, bad, strings.TrimSuffix(multipart("mixed", "c", good), "--c--\r\n"))), inMixed},
		{"mixed, an attached message", mail(multipart("mixed", "b", hello, attached(inner))), inMixed},
		{"mixed, a uuencoded block", mail(multipart("mixed", "b", text(block), good)), inMixed},
		{"mixed, never closed", mail(unclosed), inMixed},
		{"mixed, never closed, the bad part last", mail(strings.TrimSuffix(multipart("mixed", "b", hello, good, bad), "--b--\r\n")), inMixed},
		{"mixed, never closed, no line end at the end", mail(strings.TrimSuffix(unclosed, "\r\n\r\n")), inMixed},
		{"mixed, never closed, the last part is open", mail(strings.TrimSuffix(multipart("mixed", "b", hello, bad, strings.TrimSuffix(multipart("mixed", "c", good), "--c--\r\n")), "--b--\r\n")), inMixed},

		{"mixed in an encoding", mail("Content-Transfer-Encoding: base64\r\n" + mixed), wrapped},
		{"mixed, parts behind its end", mail(mixed + "--b\r\n" + good + "\r\n--b--\r\n"), wrapped},
		{"mixed, closed twice", mail(mixed + "--b--\r\n"), wrapped},
		{"mixed, two boundaries", mail(entity(body(mixed), "Content-Type: multipart/mixed; boundary=b; boundary=c")), wrapped},
		{"mixed, text behind a delimiter", mail(strings.Replace(mixed, "--b\r\n", "--bc\r\n", 1)), wrapped},
		{"mixed, the same boundary within", mail(multipart("mixed", "b", hello, bad, multipart("mixed", "b", good))), wrapped},
		{"alternative", mail(multipart("alternative", "b", hello, bad)), wrapped},
		{"related", mail(multipart("related", "b", html("<p>Hello."), attach("bad.jpg", "VIRUS"))), wrapped},
		{"signed, PGP", mail(multipart("signed", "s", mixed, signature)), wrapped},
		{"signed, S/MIME", mail(strings.Replace(multipart("signed", "s", mixed, smime), "multipart/signed", `multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256`, 1)), wrapped},
		{"report", mail(multipart("report", "b", hello, entity("Status: 5.0.0\r\n", "Content-Type: message/delivery-status"), attached(inner))), wrapped},
		{"digest", mail(multipart("digest", "b", "\r\n"+mail(text("Hello.")), "\r\n"+inner)), wrapped},
		{"another multipart", mail(multipart("x-own", "b", hello, bad)), wrapped},
		{"attached message alone", mail(attached(inner)), wrapped},
		{"text, a uuencoded block", mail(text(block)), wrapped},
		{"text, a block at its beginning", mail(text(uuBlock("VIRUS") + "After.\r\n")), wrapped},
		{"text, a block at its end", mail(text("Before.\r\n" + uuBlock("VIRUS"))), wrapped},
		{"text, two blocks", mail(text("Before.\r\n" + uuBlock("VIRUS") + "Between.\r\n" + uuBlock("VIRUS"))), wrapped},
		{"text, no line end at its end", mail(text(strings.TrimSuffix(block, "\r\n"))), wrapped},
		{"text without fields of MIME", root(block), wrapped},
		{"text, 8bit", mail(entity("こんにちは\r\n"+block, "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit")), wrapped},
		{"text, binary", mail(entity(block, "Content-Type: text/plain", "Content-Transfer-Encoding: BINARY")), wrapped},
		{"text, folded fields in odd case among others", root(block, "content-TYPE: text/plain;\r\n\tcharset=us-ascii", "X-A: b", "CONTENT-disposition:\r\n inline", "Content-Description: a;\r\n  b", "Mime-version: 1.0 (of a mailer)", "X-B: c"), wrapped},
		{"text, the version last", root(block, "Content-Type: text/plain", "MIME-Version: 1.0"), wrapped},

		{"two types", mail("Content-Type: text/plain\r\n" + mixed), nowhere},
		{"two encodings", mail("Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: 8bit\r\n" + mixed), nowhere},
		{"two versions", "MIME-Version: 1.0\r\n" + mail(text(block)), nowhere},
		{"another version", strings.Replace(mail(text(block)), "1.0", "2.0", 1), nowhere},
		{"a NUL in the header", "X-A: \x00\r\n" + mail(text(block)), nowhere},
		{"a carriage return in the header", "X-A: a\rX-B: b\r\n" + mail(mixed), nowhere},
		{"a line feed among CRLF in the header", "X-A: a\n" + mail(mixed), nowhere},
		{"a line without a name in the header", "X-A: a\r\njunk\r\n" + mail(mixed), nowhere},
		{"an mbox line", "From a@example.com Mon Mar 10 15:20:29 2008\r\n" + mail(mixed), nowhere},
		{"a byte order mark", "\ufeff" + mail(mixed), nowhere},
		{"a folded line of blanks", strings.Replace(mail(mixed), "Subject: test\r\n", "Subject: test\r\n \t\r\n a\r\n", 1), nowhere},
		{"a field in no charset", mail(entity(block, "Content-Type: text/plain", "Content-Description: \x8f\x90")), nowhere},
		{"too much to move", mail(entity(block, "Content-Type: text/plain", "Content-Description: "+strings.Repeat("x", MaxInsert))), nowhere},
		{"too much to move, once it is written", mail(entity(block, "Content-Type: text/plain", "Content-Description: "+strings.Repeat("<", MaxInsert-1000))), nowhere},
		{"a carriage return at the end", mail(text(block + "\r")), nowhere},
	}
}

// noticeCase is a message that is cleaned, with "VIRUS" in what is cut.
type noticeCase struct{ name, message, form string }

func TestHowANoticeIsAdded(t *testing.T) {
	e, _ := standIn(t, Options{}, nil)
	for _, tt := range noticeCases() {
		for _, ends := range []struct{ name, eol string }{{"CRLF", "\r\n"}, {"LF", "\n"}} {
			if ends.eol == "\n" && tt.form == nowhere {
				continue
			}
			t.Run(tt.name+", "+ends.name, func(t *testing.T) {
				raw := []byte(strings.ReplaceAll(tt.message, "\r\n", ends.eol))
				v := run(t, e, raw)
				if v.Outcome != Cleaned || formOf(v.Notice) != tt.form {
					t.Fatalf("goes %s, want %s: %s", formOf(v.Notice), tt.form, describe(raw, v))
				}
				if v.Notice != nil {
					checkNotice(t, e, raw, v)
				}
			})
		}
	}
}

// checkNotice checks what has to hold of every plan for a notice, and of the message
// that comes of it.
func checkNotice(t *testing.T, e *Engine, raw []byte, v *Verdict) {
	t.Helper()
	checkCut(t, raw, v.Notice.Cut)
	if moved := len(v.Notice.Cut) - len(v.Cut); moved < 0 || !slices.Equal(v.Notice.Cut[moved:], v.Cut) {
		t.Errorf("cuts %v, want %v and what moves", v.Notice.Cut, v.Cut)
	}
	at, parts := 0, 0
	for _, in := range v.Notice.Insert {
		isCut := slices.ContainsFunc(v.Notice.Cut, func(c mime.Range) bool { return c.Start <= in.At && in.At < c.End })
		if in.At < at || in.At > len(raw) || isCut {
			t.Errorf("something goes in at %d of %d, the cuts are %v", in.At, len(raw), v.Notice.Cut)
		}
		if at = in.At; in.Part {
			parts++
		}
	}
	out := noticed(t, raw, v.Notice)
	if parts != 1 || bytes.Count(out, NoticePart(toldText)) != 1 {
		t.Errorf("%d notices:\n%s", parts, out)
	}
	if again := run(t, e, out); again.Outcome != Clean {
		t.Errorf("with the notice: %s\n%s", describe(out, again), out)
	}
	checkShown(t, raw, out, v)
}

// shown is what a mail program makes of a leaf.
type shown struct {
	kind, names, encodings string
	isBody                 bool
	text                   string
}

// shownLeaves gives what a mail program makes of the leaves of a message.
func shownLeaves(t testing.TB, raw []byte) (all []shown) {
	t.Helper()
	m := mime.Parse(raw, mime.Limits{})
	for p := range m.Leaves() {
		s := shown{kind: p.Type, names: fmt.Sprint(p.Names), encodings: fmt.Sprint(p.Encodings), isBody: p.IsBody()}
		for r := range m.Readings(p) {
			data := r.Raw
			if r.Data != nil {
				var err error
				if data, err = io.ReadAll(r.Data); err != nil {
					t.Fatal(err)
				}
			}
			s.text += fmt.Sprintf("%s: %q\n", r.How, data)
		}
		all = append(all, s)
	}
	return all
}

// checkShown checks that a message with a notice has, leaf by leaf, what the cut leaves,
// and the notice as one of the texts that are shown.
func checkShown(t *testing.T, raw, out []byte, v *Verdict) {
	t.Helper()
	want, got := shownLeaves(t, without(raw, mime.Range{End: len(raw)}, v.Cut)), shownLeaves(t, out)
	notice := shown{"text/plain", "[]", "[base64]", true, fmt.Sprintf("base64: %q\n", shownText)}
	at := slices.Index(got, notice)
	if at < 0 {
		t.Fatalf("no notice in %+v", got)
	}
	if got = slices.Delete(got, at, at+1); !slices.Equal(got, want) {
		t.Errorf("with the notice\n%+v\nwithout it\n%+v", got, want)
	}
}

func TestNoticesAreWrittenExactly(t *testing.T) {
	const cut = "--b\r\nContent-Type: application/octet-stream\r\n\r\nVIRUS\r\n"
	const block = "begin 644 a\r\n%5DE255,`\r\n`\r\nend\r\n"
	const plain = "From: a@example.com\r\nX-A: b\r\nMIME-Version: 1.0 (x)\r\ncontent-type: text/plain;\r\n charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nX-B: c\r\n"
	boundary := func(raw string) string { return newBoundary([]byte(raw)) }
	for _, tt := range []struct{ name, raw, want string }{
		{"mixed",
			"Content-Type: multipart/mixed; boundary=b\r\n\r\nx\r\n--b\r\n\r\nHello.\r\n" + cut + "--b--\r\ny",
			"Content-Type: multipart/mixed; boundary=b\r\n\r\nx\r\n--b\r\n\r\nHello.\r\n--b\r\nNOTICE\r\n--b--\r\ny"},
		{"mixed, never closed",
			"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello.\r\n" + cut,
			"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello.\r\n--b\r\nNOTICE\r\n--b--\r\n"},
		{"mixed, lines that end with LF",
			strings.ReplaceAll("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello.\r\n"+cut+"--b--\r\n", "\r\n", "\n"),
			"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nHello.\n--b\nNOTICE\r\n--b--\n"},
		{"text",
			plain + "\r\nHello.\r\n" + block,
			"From: a@example.com\r\nX-A: b\r\nMIME-Version: 1.0 (x)\r\nX-B: c\r\n" +
				"Content-Transfer-Encoding: 8bit\r\nContent-Type: multipart/mixed; boundary=\"BOUNDARY\"\r\n\r\n--BOUNDARY\r\n" +
				"content-type: text/plain;\r\n charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nHello.\r\n\r\n--BOUNDARY\r\nNOTICE\r\n--BOUNDARY--\r\n"},
		{"text without fields of MIME",
			"From: a@example.com\r\n\r\n" + block + "Hello.",
			"From: a@example.com\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"BOUNDARY\"\r\n\r\n--BOUNDARY\r\n" +
				"\r\nHello.\r\n--BOUNDARY\r\nNOTICE\r\n--BOUNDARY--\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, _ := standIn(t, Options{}, nil)
			v := run(t, e, []byte(tt.raw))
			if v.Notice == nil {
				t.Fatal(describe([]byte(tt.raw), v))
			}
			want := strings.ReplaceAll(tt.want, "BOUNDARY", boundary(tt.raw))
			want = strings.ReplaceAll(want, "NOTICE\r\n", string(NoticePart(toldText)))
			if got := noticed(t, []byte(tt.raw), v.Notice); string(got) != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
