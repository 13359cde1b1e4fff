package scan

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kiyome/rules"
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
	whereMixed = "as its last part"
	wrapped    = "as the second part of two"
	nowhere    = "nowhere"
)

// formOf tells how a plan adds a notice.
func formOf(n *Notice) string {
	switch {
	case n == nil:
		return nowhere
	case len(n.Insert) == 1:
		return whereMixed
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
		{"mixed", mail(mixed), whereMixed},
		{"mixed, the bad part first", mail(multipart("mixed", "b", bad, hello)), whereMixed},
		{"mixed, the bad part last", mail(multipart("mixed", "b", hello, bad)), whereMixed},
		{"mixed, one part is left", mail(multipart("mixed", "b", good, bad)), whereMixed},
		{"mixed, nothing behind the last delimiter", mail(strings.TrimSuffix(mixed, "\r\n")), whereMixed},
		{"mixed, blanks behind delimiters", mail(strings.ReplaceAll(mixed, "--b\r\n", "--b \t\r\n")), whereMixed},
		{"mixed, preamble and epilogue", mail(entity("Some words.\r\n"+body(mixed)+"Some more.\r\n", "Content-Type: multipart/mixed; boundary=b")), whereMixed},
		{"mixed, a blank epilogue", mail(mixed + "\r\n\r\n"), whereMixed},
		{"mixed, no version", root(mixed[strings.Index(mixed, "\r\n\r\n")+4:], "Content-Type: multipart/mixed; boundary=b"), whereMixed},
		{"mixed, a folded field in odd case", mail(entity(body(mixed), "content-TYPE:\r\n\tMultipart/Mixed;\r\n Boundary=\"b\"")), whereMixed},
		{"mixed, 8bit", mail("Content-Transfer-Encoding: 8bit\r\n" + strings.Replace(mixed, "Hello.", "こんにちは", 1)), whereMixed},
		{"mixed, dashes for a boundary", mail(multipart("mixed", "------------", hello, bad)), whereMixed},
		{"mixed, the bad part within", mail(multipart("mixed", "b", hello, multipart("mixed", "c", good, bad))), whereMixed},
		{"mixed, the last part is open", mail(multipart("mixed", "b", hello, bad, strings.TrimSuffix(multipart("mixed", "c", good), "--c--\r\n"))), whereMixed},
		{"mixed, an attached message", mail(multipart("mixed", "b", hello, attached(inner))), whereMixed},
		{"mixed, a uuencoded block", mail(multipart("mixed", "b", text(block), good)), whereMixed},
		{"mixed, never closed", mail(unclosed), whereMixed},
		{"mixed, never closed, the bad part last", mail(strings.TrimSuffix(multipart("mixed", "b", hello, good, bad), "--b--\r\n")), whereMixed},
		{"mixed, never closed, no line end at the end", mail(strings.TrimSuffix(unclosed, "\r\n\r\n")), whereMixed},
		{"mixed, never closed, the last part is open", mail(strings.TrimSuffix(multipart("mixed", "b", hello, bad, strings.TrimSuffix(multipart("mixed", "c", good), "--c--\r\n")), "--b--\r\n")), whereMixed},

		{"mixed, a blank in the boundary", mail(multipart("mixed", "b b", hello, bad)), wrapped},
		{"mixed, a boundary with no quotes that it needs", mail(entity(strings.ReplaceAll(body(mixed), "--b", "--=b"), "Content-Type: multipart/mixed; boundary==b")), wrapped},
		{"mixed, a boundary in single quotes", mail(entity(strings.ReplaceAll(body(mixed), "--b", "--'b'"), "Content-Type: multipart/mixed; boundary='b'")), wrapped},
		{"mixed, a boundary in pieces", mail(entity(body(mixed), "Content-Type: multipart/mixed; boundary*=us-ascii''b")), wrapped},
		{"mixed, a comment", mail(entity(body(mixed), "Content-Type: multipart/mixed (b); boundary=b")), wrapped},
		{"mixed, a long field", mail(entity(body(mixed), "Content-Type: multipart/mixed; boundary=b; x="+strings.Repeat("x", 1000))), wrapped},
		{"mixed, a part with no empty line", mail(multipart("mixed", "b", hello, bad, "X-A: b")), wrapped},
		{"mixed in an encoding that nobody knows", mail("Content-Transfer-Encoding: x-own\r\n" + mixed), wrapped},
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
		{"a blank before the colon", "X-A : a\r\n" + mail(mixed), nowhere},
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
	isBody, noEmpty        bool // noEmpty: its header may be the end of the message
	text                   string
}

// isSame reports whether two leaves show the same. A header that ends with the message has
// its empty line from the delimiter that now follows, and no second reading without it.
func (s shown) isSame(want shown) bool {
	if want.noEmpty {
		for line := range strings.Lines(s.text) {
			if !strings.Contains(want.text, line) {
				return false
			}
		}
		s.text = want.text
	}
	s.noEmpty = want.noEmpty
	return s == want
}

// shownLeaves gives what a mail program makes of the leaves of a message.
func shownLeaves(t testing.TB, raw []byte) (all []shown) {
	t.Helper()
	m := mime.Parse(raw, mime.Limits{})
	for p := range m.Leaves() {
		s := shown{kind: p.Type, names: fmt.Sprint(p.Names), encodings: fmt.Sprint(p.Encodings), isBody: p.IsBody()}
		s.noEmpty = slices.Contains(m.Odd, "header without the empty line after it") && p.Whole.End == len(raw)
		for r := range m.Readings(p) {
			data := r.Raw
			if r.Data != nil {
				var err error
				if data, err = io.ReadAll(r.Data); err != nil {
					t.Fatal(err)
				}
			}
			if len(data) > 0 {
				s.text += fmt.Sprintf("%s: %q\n", r.How, data)
			}
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
	notice := shown{"text/plain", "[]", "[base64]", true, false, fmt.Sprintf("base64: %q\n", shownText)}
	at := slices.IndexFunc(got, notice.isSame)
	if at < 0 {
		t.Fatalf("no notice in %+v", got)
	}
	got = slices.Delete(got, at, at+1)
	if len(got) == 1 && len(want) == 1 {
		got[0].isBody = want[0].isBody // a calendar alone is a body, beside the notice it is an attachment
	}
	if !slices.EqualFunc(got, want, shown.isSame) {
		t.Errorf("with the notice\n%+v\nwithout it\n%+v", got, want)
	}
}

// planned gives what a test of the proof starts from: a scan, a look at raw, and the
// proved cut of what the look hit.
func planned(t testing.TB, e *Engine, m *mime.Message, hits []spot) (*scanner, *pass, *cut) {
	s := &scanner{Engine: e, ctx: t.Context(), known: make(map[key]*node), sums: make(map[[sha256.Size]byte]*node)}
	p := s.newPass(nil)
	p.msg = m
	c := planCut(m, hits)
	if c.why == "" {
		c.why = s.prove(p, c)
	}
	return s, p, c
}

// TestPlansThatWouldChangeTheMessageAreRefused gives the proof plans that are wrong in one
// thing each.
func TestPlansThatWouldChangeTheMessageAreRefused(t *testing.T) {
	hello, bad, good := text("Hello.\r\n"), attach("bad.exe", "VIRUS"), attach("good.txt", "good")
	inMixed := mail(multipart("mixed", "b", hello, bad, good))
	inText := root("Before.\r\n"+uuBlock("VIRUS")+"After.\r\n", "X-A: b", "Content-Type: text/plain", "X-B: c")
	replace := func(old, new string) func(*Notice) {
		return func(n *Notice) {
			for i := range n.Insert {
				n.Insert[i].Text = strings.ReplaceAll(n.Insert[i].Text, old, new)
				n.Insert[i].Rest = strings.ReplaceAll(n.Insert[i].Rest, old, new)
			}
		}
	}
	for _, tt := range []struct {
		name, message string
		change        func(*Notice)
		want          string
	}{
		{"as planned", inMixed, func(*Notice) {}, ""},
		{"as planned, wrapped", inText, func(*Notice) {}, ""},
		{"before the last part", inMixed, func(n *Notice) { n.Insert[0].At = strings.LastIndex(inMixed, "--b\r\n") }, "the notice"},
		{"within a part", inMixed, func(n *Notice) { n.Insert[0].At = strings.Index(inMixed, "Hello.") + 3 }, "the notice"},
		{"behind the end", inMixed, func(n *Notice) { n.Insert[0].At = len(inMixed) }, "the notice"},
		{"in the header", inMixed, func(n *Notice) { n.Insert[0].At = 0 }, "the notice"},
		{"past the end", inMixed, func(n *Notice) { n.Insert[0].At = len(inMixed) + 1 }, "not exact"},
		{"another boundary", inMixed, replace("--b", "--c"), "the notice"},
		{"a part too many", inMixed, func(n *Notice) { n.Insert[0].Text = "--b\r\n\r\nx\r\n" + n.Insert[0].Text }, "the number of parts"},
		{"a byte in the last part", inMixed, func(n *Notice) { n.Insert[0].Text = "x\r\n" + n.Insert[0].Text }, "the body of part 3"},
		{"a text behind the notice", inMixed, func(n *Notice) { n.Insert[0].Rest = "x\r\n" }, "the notice"},
		{"a cut less", inMixed, func(n *Notice) { n.Cut = nil }, "the header of part 3"},
		{"a cut that is shorter", inMixed, func(n *Notice) { n.Cut = []mime.Range{{Start: n.Cut[0].Start, End: n.Cut[0].End - 1}} }, "the body of part 1"},
		{"no notice", inMixed, func(n *Notice) { n.Insert[0].Part = false }, "the notice"},
		{"two notices", inMixed, func(n *Notice) { n.Insert = append(n.Insert, n.Insert[0]) }, "what is around the notice"},
		{"another type", inText, replace("multipart/mixed", "multipart/alternative"), "what is around the notice"},
		{"a field that changes", inText, replace("text/plain", "text/html"), "the header that moved"},
		{"a field that stays", inText, replace("Content-Type: text/plain\r\n", ""), "the header that moved"},
		{"a field that comes twice", inText, func(n *Notice) { n.Cut = n.Cut[1:] }, "the header that moved"},
		{"a field behind which another goes", inText, func(n *Notice) { n.Cut[0].End += len("X-B: c\r\n") }, "the header that moved"},
		{"a preamble", inText, replace("\r\n\r\n--", "\r\n\r\nA preamble.\r\n--"), "what is around the notice"},
		{"an epilogue", inText, func(n *Notice) { n.Insert[1].Rest += "VIRUS" }, "what is around the notice"},
		{"no line end behind the first part", inText, func(n *Notice) { n.Insert[1].Text = strings.TrimPrefix(n.Insert[1].Text, "\r\n") }, "the body"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, _ := standIn(t, Options{}, nil)
			m := mime.Parse([]byte(tt.message), mime.Limits{})
			s, p, c := planned(t, e, m, hitsIn(m))
			n := planNotice(m, c)
			if c.why != "" || n == nil {
				t.Fatalf("no plan: %q", c.why)
			}
			n.Cut = slices.Clone(n.Cut)
			tt.change(n)
			if got := s.proveNotice(p, c, n); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// Whatever goes wrong with the notice, the cut stays.
func TestWithoutAProofThereIsNoNotice(t *testing.T) {
	raw := []byte(mail(multipart("mixed", "b", text("Hello."), attach("a.exe", "VIRUS"))))
	for _, tt := range []struct {
		name   string
		sample func() ([]rules.Match, error)
		want   bool
	}{
		{"nothing", func() ([]rules.Match, error) { return nil, nil }, true},
		{"a rule finds something in the notice", func() ([]rules.Match, error) { return []rules.Match{{Rule: "R", Set: "s", Malware: "V"}}, nil }, false},
		{"the rules end before it does", func() ([]rules.Match, error) { return nil, errors.New("too hard") }, false},
		{"a panic", func() ([]rules.Match, error) { panic("a fault of ours") }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, s := standIn(t, Options{}, nil)
			s.sample = tt.sample
			v := run(t, e, raw)
			if v.Outcome != Cleaned || v.Why != "" || len(v.Cut) != 1 || len(v.Findings) != 1 || len(v.Unchecked) > 0 || (v.Notice != nil) != tt.want {
				t.Errorf("notice %v: %s", v.Notice, describe(raw, v))
			}
		})
	}
}

func TestLimitsThatANoticeWouldMeet(t *testing.T) {
	inMixed := mail(multipart("mixed", "b", text("Hello."), attach("a.exe", "VIRUS")))
	inRelated := mail(multipart("related", "b", html("<p>Hello."), attach("a.jpg", "VIRUS")))
	for _, tt := range []struct {
		name, message string
		limits        mime.Limits
		want          string
	}{
		{"as deep as may be", inRelated, mime.Limits{Depth: 2}, wrapped},
		{"deeper", inRelated, mime.Limits{Depth: 1}, nowhere},
		{"no deeper than it was", inMixed, mime.Limits{Depth: 1}, whereMixed},
		{"as many parts as may be", inMixed, mime.Limits{Parts: 4}, whereMixed},
		{"as many parts as may be, wrapped", inRelated, mime.Limits{Parts: 5}, wrapped},
		{"more", inRelated, mime.Limits{Parts: 4}, nowhere},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{}
			o.Limits.MIME = tt.limits
			e, _ := standIn(t, o, nil)
			v := run(t, e, []byte(tt.message))
			if v.Outcome != Cleaned || formOf(v.Notice) != tt.want {
				t.Errorf("goes %s, want %s: %s", formOf(v.Notice), tt.want, describe([]byte(tt.message), v))
			}
		})
	}
}

func TestPlansSurviveTheWayFromTheWorker(t *testing.T) {
	e, _ := standIn(t, Options{}, nil)
	for _, tt := range noticeCases() {
		v := run(t, e, []byte(tt.message))
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var back Verdict
		if err := json.Unmarshal(encoded, &back); err != nil || !reflect.DeepEqual(back.Notice, v.Notice) {
			t.Errorf("%s: %v: %+v, was %+v", tt.name, err, back.Notice, v.Notice)
		}
		if again := run(t, e, []byte(tt.message)); !reflect.DeepEqual(again.Notice, v.Notice) {
			t.Errorf("%s: not the same twice", tt.name)
		}
	}
}

func TestPlansAreBounded(t *testing.T) {
	many := func(n int) (cuts []mime.Range) {
		for i := range n {
			cuts = append(cuts, mime.Range{Start: 1_000_000_000 + 2*i, End: 1_000_000_001 + 2*i})
		}
		return cuts
	}
	texts := func(texts ...string) []Insert { return []Insert{{Text: texts[0], Part: true, Rest: texts[1]}} }
	half := strings.Repeat("x", MaxInsert/2)
	for _, tt := range []struct {
		name string
		n    Notice
		want bool
	}{
		{"many cuts", Notice{many(20_000), nil}, true},
		{"more", Notice{many(30_000), nil}, false},
		{"much text", Notice{nil, texts(half, half)}, true},
		{"more text", Notice{nil, texts(half+"x", half)}, false},
		{"text that is longer once it is written", Notice{nil, texts(strings.Repeat("<", MaxInsert/2), half)}, true},
		{"text that is too long then", Notice{nil, texts(strings.Repeat("<", MaxInsert), "")}, false},
		{"no UTF-8", Notice{nil, texts("\xff", "")}, false},
		{"no UTF-8 behind the notice", Notice{nil, texts("", "\xff")}, false},
	} {
		if got := tt.n.isBounded(); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestABoundaryIsNotInTheMessage(t *testing.T) {
	a, b := newBoundary([]byte("a")), newBoundary([]byte("b"))
	if a == b || a == "" || len(a) > 70 { // RFC 2046, section 5.1.1
		t.Errorf("%q, %q", a, b)
	}
}

func TestANoticeIsWrittenAsItsPiecesSay(t *testing.T) {
	raw := "0123456789"
	cut := func(ranges ...int) (cuts []mime.Range) {
		for i := 0; i < len(ranges); i += 2 {
			cuts = append(cuts, mime.Range{Start: ranges[i], End: ranges[i+1]})
		}
		return cuts
	}
	part := func(at int) Insert { return Insert{At: at, Text: "<", Part: true, Rest: ">"} }
	for _, tt := range []struct {
		name string
		n    Notice
		want string
	}{
		{"nothing", Notice{}, "0123456789"},
		{"in the midst", Notice{cut(7, 8), []Insert{part(4)}}, "0123<N>45689"},
		{"at the start", Notice{nil, []Insert{part(0)}}, "<N>0123456789"},
		{"at the end", Notice{nil, []Insert{part(10)}}, "0123456789<N>"},
		{"behind a cut", Notice{cut(2, 4), []Insert{part(4)}}, "01<N>456789"},
		{"behind a cut at the end", Notice{cut(2, 10), []Insert{part(10)}}, "01<N>"},
		{"two", Notice{cut(0, 2, 5, 6), []Insert{{At: 2, Text: "a"}, part(8)}}, "a23467<N>89"},
		{"two in one place", Notice{nil, []Insert{{At: 2, Text: "a"}, part(2)}}, "01a<N>23456789"},
		{"all is cut", Notice{cut(0, 10), []Insert{part(10)}}, "<N>"},
		// Not as a plan has to be: what is cut is not in it.
		{"in a cut", Notice{cut(2, 6), []Insert{part(4)}}, "01<N>6789"},
		{"past the end", Notice{cut(2, 6), []Insert{part(20)}}, "016789<N>"},
		{"before the start", Notice{cut(2, 6), []Insert{part(-1)}}, "<N>016789"},
		{"out of order", Notice{cut(2, 6), []Insert{part(8), {At: 1, Text: "a"}}}, "0167<N>a89"},
		{"cuts out of order", Notice{cut(6, 8, 2, 4), []Insert{part(9)}}, "0123458<N>9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := NewMessage([]byte(raw))
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			var b bytes.Buffer
			if n, err := m.WriteNotice(&b, &tt.n, []byte("N")); err != nil || b.String() != tt.want || n != int64(b.Len()) {
				t.Errorf("got %q, %v; want %q", &b, err, tt.want)
			}
			read, err := io.ReadAll(tt.n.reader([]byte(raw), []byte("N")))
			if err != nil || string(read) != tt.want {
				t.Errorf("got %q, %v; want %q", read, err, tt.want)
			}
		})
	}
}

// TestANoticeGoesIntoRealMail cuts each leaf that can be cut out of real messages: for
// every such cut there is a notice.
func TestANoticeGoesIntoRealMail(t *testing.T) {
	if _, err := os.Stat(realMail); err != nil {
		t.Skip("no corpus of real mail here")
	}
	e, _ := standIn(t, Options{}, nil)
	forms := map[string]int{}
	filepath.WalkDir(realMail, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "SOURCES" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if mbox, rest, _ := bytes.Cut(raw, []byte("\n")); bytes.HasPrefix(mbox, []byte("From ")) {
			raw = rest // no MTA hands that on
		}
		m := mime.Parse(raw, mime.Limits{})
		for leaf := range m.Leaves() {
			s, p, c := planned(t, e, m, []spot{{part: leaf}})
			if c.why != "" {
				continue
			}
			v := &Verdict{Cut: c.ranges, Notice: s.notice(p, c)}
			if forms[formOf(v.Notice)]++; v.Notice == nil {
				t.Errorf("%s: none without part %s", path, leaf.ID)
				continue
			}
			checkShown(t, raw, noticed(t, raw, v.Notice), v)
		}
		return nil
	})
	t.Log(forms)
}

// hitsIn gives the spots of what has "VIRUS" in it.
func hitsIn(m *mime.Message) (hits []spot) {
	for leaf, r := range readings(m) {
		at := spot{part: leaf}
		data := r.Raw
		if r.Data != nil {
			data, _ = io.ReadAll(r.Data)
		}
		if r.Block != nil {
			at.block = *r.Block
		}
		if bytes.Contains(data, []byte("VIRUS")) && !slices.Contains(hits, at) {
			hits = append(hits, at)
		}
	}
	return hits
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

// FuzzNotice plans a notice for cuts of any leaves of any message: what pick says, bit by
// bit. A proved plan gives what the cut leaves and the notice, and taking that out gives
// what the cut leaves.
func FuzzNotice(f *testing.F) {
	for _, name := range testdata.Names() {
		f.Add(testdata.MustMail(name), []byte{0b10})
	}
	for _, c := range noticeCases() {
		if len(c.message) < 10_000 {
			f.Add([]byte(c.message), []byte{0b10})
			f.Add([]byte(c.message), []byte{0b100})
		}
	}
	e, _ := standIn(f, Options{}, nil)
	e.matcher.(*stand).answer = func(rules.Object) ([]rules.Match, error) { return nil, nil }
	f.Fuzz(func(t *testing.T, raw, pick []byte) {
		m := mime.Parse(raw, mime.Limits{})
		hits := picked(m, pick)
		if len(hits) == 0 {
			return
		}
		s, p, c := planned(t, e, m, hits)
		if c.why != "" {
			return
		}
		v := &Verdict{Cut: c.ranges, Notice: s.notice(p, c)}
		if v.Notice == nil {
			return
		}
		out := noticed(t, raw, v.Notice)
		checkShown(t, raw, out, v)
		rest := out
		for _, in := range v.Notice.Insert {
			text := []byte(in.Text)
			if in.Part {
				text = append(text, NoticePart(toldText)...)
			}
			text = append(text, in.Rest...)
			before, after, found := bytes.Cut(rest, text)
			if !found {
				t.Fatalf("%q is not in %q", text, rest)
			}
			rest = slices.Concat(before, after)
		}
		if len(v.Notice.Insert) == 1 {
			if want := checkCut(t, raw, c.ranges); !bytes.Equal(rest, want) {
				t.Fatalf("less the notice %q, want %q", rest, want)
			}
		}
		if !v.Notice.isInverse(raw, out, NoticePart(toldText)) {
			t.Fatal("not the original")
		}
	})
}
