package scan

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"kiyome/rules"
	"kiyome/scan/mime"
)

// encodedMail is a part that is a message in base64.
func encodedMail(message string) string {
	return entity(base64Lines(message), "Content-Type: message/rfc822", "Content-Transfer-Encoding: base64")
}

func TestMessagesInAnEncodingAreReadAsMailProgramsReadThem(t *testing.T) {
	virus := "\r\n" + base64Lines("VIRUS")
	const base64Fields = "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n"
	var many strings.Builder
	for i := 0; many.Len() <= messageHead; i++ {
		fmt.Fprintf(&many, "X-%d: a field that nobody knows\r\n", i)
	}
	inner := []struct{ name, message string }{
		{"fields of MIME only", base64Fields + "Content-Disposition: attachment; filename=a.exe\r\n" + virus},
		{"an encoding and no more", "Content-Transfer-Encoding: base64\r\n" + virus},
		{"junk before the header", "junk\r\nFrom: a@example.com\r\nSubject: a\r\n" + base64Fields + virus},
		{"fields of no meaning first", many.String() + "From: a@example.com\r\nMIME-Version: 1.0\r\n" + base64Fields + virus},
		{"two unknown fields first", "X-Mailer: a\r\nX-Spam: no\r\n" + base64Fields + "Content-Disposition: attachment\r\n" + virus},
	}
	quoted := func(s string) string { return strings.ReplaceAll(s, "=", "=3D") }
	for _, tt := range inner {
		for _, outer := range []struct{ name, part string }{
			{"base64", encodedMail(tt.message)},
			{"quoted-printable", entity(quoted(tt.message), "Content-Type: message/rfc822", "Content-Transfer-Encoding: quoted-printable")},
			{"global, base64", strings.Replace(encodedMail(tt.message), "rfc822", "global", 1)},
			{"in a zip", attach("a.zip", zipOf(t, "a.eml", tt.message))},
			{"in a zip, under no name of a message", attach("a.zip", zipOf(t, "a", tt.message))},
		} {
			if tt.name == "an encoding and no more" && outer.name == "in a zip, under no name of a message" {
				continue // one field makes no message of what is not said to be one
			}
			t.Run(tt.name+", "+outer.name, func(t *testing.T) {
				e, s := standIn(t, Options{}, nil)
				raw := []byte(mail(multipart("mixed", "b", text("Hello."), outer.part)))
				if v := run(t, e, raw); v.Outcome != Cleaned {
					t.Errorf("matched %q, got %s", s.seen, describe(raw, v))
				}
			})
		}
	}
}

// What says that it is a message and has no header is its own text: it is not
// matched again as the body of a message.
func TestEncodedMessageWithoutAHeaderIsOneObject(t *testing.T) {
	e, s := standIn(t, Options{}, nil)
	run(t, e, []byte(mail(multipart("mixed", "b", text("Hello."), encodedMail("no header here")))))
	if len(s.seen) != 3 { // the text, the part decoded, the part as it stands
		t.Errorf("matched %q, want 3", s.seen)
	}
}

func TestSameBytesAreReadAsAMessageWhereTheyAreOne(t *testing.T) {
	message := "Content-Transfer-Encoding: base64\r\n\r\n" + base64Lines("VIRUS")
	plain := entity(base64Lines(message), "Content-Type: text/plain", "Content-Transfer-Encoding: base64")
	e, _ := standIn(t, Options{}, nil)
	raw := []byte(mail(multipart("mixed", "b", text("Hello."), plain, encodedMail(message))))
	if v := run(t, e, raw); v.Outcome != Cleaned || v.Findings[0].Part != "3" {
		t.Errorf("got %s", describe(raw, v))
	}
}

// base64Inner writes content in base64 with padding in its midst, which has as many
// readings as mail programs have habits.
func base64Inner(content string, noise *rand.ChaCha8) string {
	content += strings.Repeat("\n", (4-len(content)%3)%3) // one byte is left over: padding
	more := make([]byte, 1500)
	_, _ = noise.Read(more)
	return base64Lines(content) + base64Lines(string(more))
}

func TestReadingsDoNotMultiply(t *testing.T) {
	noise := rand.NewChaCha8([32]byte{})
	nest := func(levels int, kernel string) []byte {
		m := kernel
		for range levels {
			m = mail(entity(base64Inner(m, noise), "Content-Type: message/rfc822", "Content-Transfer-Encoding: base64"))
		}
		return []byte(m)
	}
	e, _ := standIn(t, Options{}, nil)
	v := run(t, e, nest(14, mail(text("Hello."))))
	if v.Objects > 1000 {
		t.Errorf("%d objects of %d bytes", v.Objects, v.Bytes)
	}
	if len(v.Unchecked) == 0 || v.Unchecked[0].Reason != "limit: readings" {
		t.Errorf("unchecked %+v, want the readings that were left out", v.Unchecked)
	}
	for _, levels := range []int{1, 2, 3, 6} {
		if v := run(t, e, nest(levels, mail(attach("a.exe", "VIRUS")))); v.Outcome == Clean {
			t.Errorf("%d levels: clean", levels)
		}
	}
	if v := run(t, e, nest(2, mail(text("Hello.")))); len(v.Unchecked) > 0 {
		t.Errorf("two levels: unchecked %+v", v.Unchecked)
	}
}

func TestObjectsAreLimitedInAttachedMessagesToo(t *testing.T) {
	var parts []string
	for i := range 50 {
		parts = append(parts, attach(fmt.Sprint(i), fmt.Sprint("content ", i)))
	}
	inner := encodedMail(mail(multipart("mixed", "c", parts...)))
	o := Options{}
	o.Limits.Unpack.Objects = 20
	e, s := standIn(t, o, nil)
	v := run(t, e, []byte(mail(multipart("mixed", "b", text("Hello."), inner, attach("a.exe", "VIRUS")))))
	if len(s.seen) > 22 {
		t.Errorf("matched %d objects, want 20 and the attachment behind them", len(s.seen))
	}
	if len(v.Unchecked) != 1 || v.Unchecked[0].Reason != "limit: objects" || v.Unchecked[0].Part != "2" {
		t.Errorf("unchecked %+v, want the limit once", v.Unchecked)
	}
	if v.Outcome != Cleaned {
		t.Errorf("outcome %q: a limit hides what the message itself holds", v.Outcome)
	}
}

func TestUnpackedBytesAreLimitedInAttachedMessagesToo(t *testing.T) {
	o := Options{}
	o.Limits.Unpack.Unpacked = 3000
	e, s := standIn(t, o, nil)
	a, b, c := attach("a", strings.Repeat("a", 1000)), attach("b", strings.Repeat("b", 1000)), attach("c", "last")
	v := run(t, e, []byte(mail(multipart("mixed", "b", text("Hello."), encodedMail(mail(multipart("mixed", "c", a, b, c)))))))
	if strings.Contains(strings.Join(s.seen, " "), "c") || len(v.Unchecked) == 0 || v.Unchecked[0].Reason != "limit: unpacked" {
		t.Errorf("matched %q, unchecked %+v", s.seen, v.Unchecked)
	}
}

func TestRulesAreAskedUnderEveryNameOfAnotherKind(t *testing.T) {
	part := func(fields ...string) string {
		return entity(base64Lines("MZ"), append(fields, "Content-Transfer-Encoding: base64")...)
	}
	for _, tt := range []struct{ name, part, want string }{
		{"two kinds", part("Content-Type: application/octet-stream; name=x.exe", "Content-Disposition: attachment; filename=x.txt"), "x.txt x.exe"},
		{"one kind, another name", part("Content-Type: application/octet-stream; name=y.TXT", "Content-Disposition: attachment; filename=x.txt"), "x.txt"},
		{"all alike", part("Content-Type: application/octet-stream; name=x.txt", "Content-Disposition: attachment; filename=x.txt"), "x.txt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, s := standIn(t, Options{}, nil)
			s.answer = func(o rules.Object) ([]rules.Match, error) {
				if strings.HasSuffix(o.Name, ".exe") {
					return []rules.Match{{Rule: "R", Set: "s", Malware: "V"}}, nil
				}
				return nil, nil
			}
			v := run(t, e, []byte(mail(multipart("mixed", "b", attach("", "Hello."), tt.part))))
			if got := strings.Join(s.seen[1:], " "); got != tt.want || (v.Outcome == Cleaned) != strings.Contains(tt.want, ".exe") {
				t.Errorf("matched %q, outcome %q; want %q", got, v.Outcome, tt.want)
			}
		})
	}
}

func TestAFindingIsToldOnceWhateverTheNames(t *testing.T) {
	part := entity(base64Lines("VIRUS"), "Content-Type: application/octet-stream; name=x.exe",
		"Content-Disposition: attachment; filename=x.txt", "Content-Transfer-Encoding: base64")
	zipped := entity(base64Lines(zipOf(t, "in.exe", "VIRUS")), "Content-Type: application/octet-stream; name=x.jar",
		"Content-Disposition: attachment; filename=x.zip", "Content-Transfer-Encoding: base64")
	e, _ := standIn(t, Options{}, nil)
	raw := []byte(mail(multipart("mixed", "b", text("Hello."), part, zipped)))
	if v := run(t, e, raw); v.Outcome != Cleaned || len(v.Findings) != 2 {
		t.Errorf("got %s", describe(raw, v))
	}
}

func TestFindingsBeyondTheListAreCountedAndCut(t *testing.T) {
	var body strings.Builder
	n := MaxFindings + 500
	for i := range n {
		fmt.Fprintf(&body, "begin 644 a%d\r\n%%5DE255,`\r\n`\r\nend\r\nx\r\n", i)
	}
	e, _ := standIn(t, Options{}, nil)
	e.matcher.(*stand).answer = func(o rules.Object) ([]rules.Match, error) {
		if bytes.HasPrefix(o.Data, []byte("VIRUS")) {
			return []rules.Match{{Rule: "R", Set: "s", Malware: "V"}}, nil
		}
		return nil, nil
	}
	v := run(t, e, []byte(mail(text(body.String()))))
	if v.Outcome != Cleaned || len(v.Findings) != MaxFindings || v.More != 500 || len(v.Cut) != n {
		t.Fatalf("outcome %q (%s), %d findings, %d more, %d cuts", v.Outcome, v.Why, len(v.Findings), v.More, len(v.Cut))
	}
	if got := v.Findings[7].Name; got != "a7" {
		t.Errorf("the eighth block goes by %q", got)
	}
}

func TestCutsAreBounded(t *testing.T) {
	part := &mime.Part{ID: "1", Parent: &mime.Part{}, Body: mime.Range{End: 4 * (maxCuts + 1)}}
	m := &mime.Message{Raw: make([]byte, part.Body.End), Root: part.Parent}
	for _, n := range []int{maxCuts, maxCuts + 1} {
		var hits []spot
		for i := range n {
			hits = append(hits, spot{part: part, block: mime.Range{Start: 4 * i, End: 4*i + 2}})
		}
		c := planCut(m, hits)
		if want := min(n, maxCuts) == n; (c.why == "") != want || (len(c.ranges) == n) != want {
			t.Errorf("%d cuts: %d planned, %q", n, len(c.ranges), c.why)
		}
	}
}

// BenchmarkBlocks scans a text of many infected blocks.
func BenchmarkBlocks(b *testing.B) {
	for _, n := range []int{10_000, 40_000, 160_000} {
		raw := []byte(mail(text(strings.Repeat("begin 644 a\r\n%5DE255,`\r\n`\r\nend\r\nx\r\n", n))))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e, _ := standIn(b, Options{}, nil)
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				run(b, e, raw)
			}
		})
	}
}
