package scan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kiyome/rules"
	"kiyome/scan/mime"
	"kiyome/scan/unpack"
	"kiyome/testdata"
)

// stand is a matcher in place of the rules: what it answers depends on the object.
type stand struct {
	answer func(o rules.Object) ([]rules.Match, error)
	seen   []string                      // names of the objects, in their order
	sample func() ([]rules.Match, error) // what it answers of the notice that a plan is proved with; may be nil
}

func (s *stand) Match(o rules.Object, _ time.Duration) ([]rules.Match, error) {
	if string(o.Data) == strings.ReplaceAll(sampleNotice, "\n", "\r\n") {
		if s.sample != nil {
			return s.sample()
		}
		return nil, nil // not of the message
	}
	s.seen = append(s.seen, o.Name)
	return s.answer(o)
}

func (s *stand) Close() {}

// standIn makes an engine whose matcher finds "VIRUS", and does what bad says of
// objects with "BAD" in them.
func standIn(t testing.TB, o Options, bad func() ([]rules.Match, error)) (*Engine, *stand) {
	t.Helper()
	e := testEngine(t, o)
	e.matcher.Close()
	s := &stand{}
	s.answer = func(o rules.Object) ([]rules.Match, error) {
		if bytes.Contains(o.Data, []byte("BAD")) {
			return bad()
		}
		if bytes.Contains(o.Data, []byte("VIRUS")) {
			return []rules.Match{{Rule: "R", Set: "s", Malware: "V"}}, nil
		}
		return nil, nil
	}
	e.matcher = s
	return e, s
}

func TestEachDistinctObjectIsMatchedOnce(t *testing.T) {
	zipped := zipOf(t, "a.txt", "some text", "b.txt", "some more")
	for _, tt := range []struct {
		name    string
		message string
		want    int
	}{
		{"text", mail(text("Hello.")), 1},
		{"text and HTML", mail(multipart("alternative", "b", text("Hello."), html("<p>Hello."))), 2},
		{"text, attachment", mail(multipart("mixed", "b", text("Hello."), attach("a.txt", "an attachment"))), 2},
		{"empty parts", mail(multipart("mixed", "b", text(""), attach("a.txt", ""))), 0},
		{"the same attachment twice", mail(multipart("mixed", "b", text("Hello."), attach("a.txt", "it"), attach("a.txt", "it"))), 2},
		{"the same zip twice", mail(multipart("mixed", "b", text("Hello."), attach("a.zip", zipped), attach("a.zip", zipped))), 4},
		{"the same under another name, which rules may ask for", mail(multipart("mixed", "b", attach("a.txt", "it"), attach("a.exe", "it"))), 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, s := standIn(t, Options{}, nil)
			v := run(t, e, []byte(tt.message))
			if len(s.seen) != tt.want || v.Objects != tt.want || v.Outcome != Clean {
				t.Errorf("matched %q, %d objects, outcome %q; want %d", s.seen, v.Objects, v.Outcome, tt.want)
			}
		})
	}
}

func TestProofMatchesNothingAgain(t *testing.T) {
	e, s := standIn(t, Options{}, nil)
	v := run(t, e, []byte(mail(multipart("mixed", "b", text("Hello."), attach("a.exe", "VIRUS"), attach("a.zip", zipOf(t, "a.txt", "it"))))))
	if v.Outcome != Cleaned || len(s.seen) != 4 {
		t.Errorf("outcome %q (%s), matched %q; want 4", v.Outcome, v.Why, s.seen)
	}
}

// What could not be read is cut in every place, whichever is met first.
func TestWhatIsNotReadHoldsInEveryPlace(t *testing.T) {
	bad := damaged(zipOf(t, "in.txt", "some text that is long enough to be damaged"))
	one, other := zipOf(t, "bad.zip", bad), zipOf(t, "bad.zip", bad, "other.txt", "other")
	for _, tt := range []struct {
		name  string
		parts []string
	}{
		{"twice", []string{attach("bad.zip", bad), attach("bad.zip", bad)}},
		{"in a zip, then by itself", []string{attach("a.zip", one), attach("bad.zip", bad)}},
		{"in a zip with something behind it, then by itself", []string{attach("b.zip", other), attach("bad.zip", bad)}},
		{"in two zips", []string{attach("a.zip", one), attach("b.zip", other)}},
		{"in two zips in a zip, then in the second", []string{attach("c.zip", zipOf(t, "a.zip", one, "b.zip", other)), attach("b.zip", other)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, _ := standIn(t, Options{Policy: Policy{Unchecked: "cut"}}, nil)
			for range 2 { // the second time with what is remembered
				v := run(t, e, []byte(mail(multipart("mixed", "b", append([]string{text("Hello.")}, tt.parts...)...))))
				parts := map[string]bool{}
				for _, f := range v.Findings {
					parts[f.Part] = true
				}
				if len(parts) != len(tt.parts) || v.Outcome != Cleaned {
					t.Errorf("found in %v, %s (%s)", parts, v.Outcome, v.Why)
				}
			}
		})
	}
}

// damaged changes a byte of what is packed in a zip.
func damaged(zipped string) string {
	b := []byte(zipped)
	b[bytes.Index(b, []byte("in.txt"))+10] ^= 0xff
	return string(b)
}

func TestWhatIsKnownOfAnObjectHoldsInEveryPlace(t *testing.T) {
	zipped := zipOf(t, "bad.exe", "VIRUS")
	for _, tt := range []struct {
		name    string
		parts   []string
		outcome Outcome
	}{
		{"attachment twice", []string{attach("a.exe", "VIRUS"), attach("a.exe", "VIRUS")}, Cleaned},
		{"zip twice", []string{attach("a.zip", zipped), attach("a.zip", zipped)}, Cleaned},
		{"in a zip, then by itself", []string{attach("a.zip", zipped), attach("bad.exe", "VIRUS")}, Cleaned},
		{"by itself, then in a zip", []string{attach("bad.exe", "VIRUS"), attach("a.zip", zipped)}, Cleaned},
		{"in a zip in a zip, then the inner zip", []string{attach("b.zip", zipOf(t, "a.zip", zipped)), attach("a.zip", zipped)}, Cleaned},
		{"attachment, then the body", []string{attach("", "VIRUS"), entity("VIRUS", "Content-Type: text/plain", "Content-Transfer-Encoding: 7bit")}, ReportOnly},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, _ := standIn(t, Options{}, nil)
			raw := []byte(mail(multipart("mixed", "b", append([]string{text("Hello.")}, tt.parts...)...)))
			v := run(t, e, raw)
			if v.Outcome != tt.outcome || len(v.Findings) < 2 || v.Findings[0].Part == v.Findings[1].Part {
				t.Errorf("got %s", describe(raw, v))
			}
		})
	}
}

func TestContainersInTwosAreToldOfInTime(t *testing.T) {
	z := zipOf(t, "bad.exe", "VIRUS", "more", "BAD")
	for i := range 24 {
		z = zipOf(t, fmt.Sprintf("a%d.zip", i), z, fmt.Sprintf("b%d.zip", i), z)
	}
	e, _ := standIn(t, Options{}, func() ([]rules.Match, error) { return nil, errors.New("too hard") })
	v := run(t, e, []byte(mail(multipart("mixed", "b", text("Hello."), attach("one.zip", z), attach("one.zip", z)))))
	if v.Outcome != Cleaned || v.Findings[0].Part == v.Findings[len(v.Findings)-1].Part {
		t.Errorf("outcome %q (%s), %d findings", v.Outcome, v.Why, len(v.Findings))
	}
}

func TestContainerThatHoldsItself(t *testing.T) {
	e, s := standIn(t, Options{}, nil)
	scanner := &scanner{Engine: e, ctx: t.Context(), known: make(map[key]*node), sums: make(map[[32]byte]*node)}
	p := scanner.newPass(nil)
	a, b, virus := unpack.File{Name: "a", Data: []byte("container a")}, unpack.File{Name: "b", Data: []byte("container b")}, unpack.File{Name: "v", Data: []byte("VIRUS")}
	v := &visit{pass: p, at: spot{part: &mime.Part{ID: "1", Type: "x/y"}}}
	v.Object([]string{"a"}, nil, a)
	v.Object([]string{"a", "b"}, nil, b)
	if v.Object([]string{"a", "b", "a"}, nil, a) {
		t.Error("a in itself was opened")
	}
	v.Object([]string{"a", "v"}, nil, virus)
	if len(p.hits) != 1 {
		t.Fatalf("%d hits", len(p.hits))
	}
	// b by itself holds a, and so the virus: what was known of it did not say so.
	v = &visit{pass: p, at: spot{part: &mime.Part{ID: "2", Type: "x/y"}}}
	if !v.Object([]string{"b"}, nil, b) {
		t.Fatal("b was not opened again")
	}
	v.Object([]string{"b", "a"}, nil, a)
	if len(p.hits) != 2 || p.hits[1].part.ID != "2" {
		t.Errorf("hits %+v, matched %q", p.hits, s.seen)
	}
}

func TestFaultsAreNotChecked(t *testing.T) {
	for _, tt := range []struct {
		name   string
		bad    func() ([]rules.Match, error)
		reason string
	}{
		{"panic", func() ([]rules.Match, error) { panic("out of order") }, "scan error"},
		{"error", func() ([]rules.Match, error) { return nil, errors.New("too many fibers") }, "rules"},
		{"time", func() ([]rules.Match, error) { return nil, fmt.Errorf("match: %w", rules.ErrTimeout) }, "limit: time"},
	} {
		bad := attach("c.zip", zipOf(t, "c.txt", "BAD"))
		raw := []byte(mail(multipart("mixed", "b", text("Hello."), attach("a.exe", "VIRUS"), bad, attach("d.exe", "VIRUS "))))
		t.Run(tt.name, func(t *testing.T) {
			e, _ := standIn(t, Options{}, tt.bad)
			v := run(t, e, raw)
			if v.Outcome != Cleaned || len(v.Findings) != 2 {
				t.Errorf("what was found is not cut: %s", describe(raw, v))
			}
			if len(v.Unchecked) != 1 || v.Unchecked[0].Reason != tt.reason || v.Unchecked[0].Part != "3" || fmt.Sprint(v.Unchecked[0].Path) != "[c.zip c.txt]" {
				t.Errorf("unchecked: %+v", v.Unchecked)
			}
		})
		t.Run(tt.name+", cut", func(t *testing.T) {
			e, _ := standIn(t, Options{Policy: Policy{Unchecked: "cut"}}, tt.bad)
			v := run(t, e, raw)
			if v.Outcome != Cleaned || len(v.Findings) != 3 || v.Findings[1].Policy != tt.reason {
				t.Errorf("got %s", describe(raw, v))
			}
		})
	}
}

func TestMatchesThatComeWithAnErrorCount(t *testing.T) {
	e, _ := standIn(t, Options{}, func() ([]rules.Match, error) {
		return []rules.Match{{Rule: "R", Set: "s", Malware: "V"}}, errors.New("and then it broke")
	})
	v := run(t, e, []byte(mail(multipart("mixed", "b", text("Hello."), attach("a.exe", "BAD")))))
	if v.Outcome != Cleaned || len(v.Findings) != 1 {
		t.Errorf("got %+v", v)
	}
}

func TestTimeIsALimitOfItsOwn(t *testing.T) {
	raw := []byte(mail(multipart("mixed", "b", text("Hello."), attach("a.exe", "BAD"), attach("b.exe", "it"))))
	slow := func(found ...rules.Match) func() ([]rules.Match, error) {
		return func() ([]rules.Match, error) {
			time.Sleep(30 * time.Millisecond)
			return found, nil
		}
	}
	virus := rules.Match{Rule: "R", Set: "s", Malware: "V"}
	for _, tt := range []struct {
		name    string
		policy  string
		found   []rules.Match
		outcome Outcome
	}{
		{"delivered", "deliver", nil, Clean},
		{"cut", "cut", nil, ReportOnly},
		{"with a finding", "deliver", []rules.Match{virus}, ReportOnly},
	} {
		synctest.Test(t, func(t *testing.T) { // where a late timer cannot change what is seen
			o := Options{Policy: Policy{Unchecked: tt.policy}}
			o.Limits.Time = 10 * time.Millisecond
			e, s := standIn(t, o, slow(tt.found...))
			v := run(t, e, raw)
			if v.Outcome != tt.outcome || len(s.seen) != 2 {
				t.Errorf("%s: matched %q, got %s", tt.name, s.seen, describe(raw, v))
			}
			if tt.policy == "deliver" && (len(v.Unchecked) != 1 || v.Unchecked[0].Reason != "limit: time") {
				t.Errorf("unchecked: %+v", v.Unchecked)
			}
		})
	}
}

func TestCancelledScanHasNoVerdictButWhatItFound(t *testing.T) {
	for _, tt := range []struct {
		name, first string
		want        bool
	}{
		{"nothing found", "it", false},
		{"a finding", "VIRUS", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			e, _ := standIn(t, Options{}, func() ([]rules.Match, error) { cancel(); return nil, nil })
			v, err := e.Run(ctx, Job{Raw: []byte(mail(multipart("mixed", "b", attach("a", tt.first), text("BAD"), text("more"))))})
			if tt.want && (err != nil || v.Outcome != ReportOnly) || !tt.want && !errors.Is(err, context.Canceled) {
				t.Errorf("got %+v, %v", v, err)
			}
		})
	}
}

func TestFindingsAreToldAsTheyAreMade(t *testing.T) {
	e, s := standIn(t, Options{}, nil)
	var told []string
	_, err := e.Run(t.Context(), Job{
		Raw:   []byte(mail(multipart("mixed", "b", text("Hello."), attach("a.exe", "VIRUS"), attach("b.txt", "it"), attach("c.exe", "VIRUS ")))),
		Found: func(f Finding) { told = append(told, fmt.Sprintf("%s after %d", f.Name, len(s.seen))) },
	})
	if want := "[a.exe after 2 c.exe after 4]"; err != nil || fmt.Sprint(told) != want {
		t.Errorf("told %v, %v; want %s", told, err, want)
	}
}

func TestListsAreBounded(t *testing.T) {
	var files []string
	for i := range MaxFindings + 100 {
		files = append(files, fmt.Sprintf("%04d.exe", i), fmt.Sprintf("VIRUS %d", i))
	}
	many := attach("many.zip", zipOf(t, files...))
	deep := "VIRUS"
	for i := range 30 {
		deep = zipOf(t, strings.Repeat("<\x01", 500)+fmt.Sprint(i), deep)
	}
	e, _ := standIn(t, Options{}, nil)
	for _, tt := range []struct {
		name, part string
		more       int
	}{
		{"many", many, 100},
		{"long names", attach("deep.zip", deep), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := run(t, e, []byte(mail(multipart("mixed", "b", text("Hello."), tt.part))))
			if v.Outcome != Cleaned || v.More != tt.more || len(v.Findings) == 0 || len(v.Findings) > MaxFindings {
				t.Fatalf("outcome %q (%s), %d findings and %d more", v.Outcome, v.Why, len(v.Findings), v.More)
			}
			for _, f := range v.Findings {
				if line, err := json.Marshal(f); err != nil || len(line) > 64<<10 {
					t.Errorf("a finding of %d bytes, %v", len(line), err)
				}
			}
			if all, err := json.Marshal(v); err != nil || len(all) > 8<<20 {
				t.Errorf("a verdict of %d bytes, %v", len(all), err)
			}
		})
	}
}

func TestNamesInAVerdictAreBoundedTogether(t *testing.T) {
	var files []string
	for i := range 500 {
		files = append(files, fmt.Sprint(strings.Repeat("x", 900), i), fmt.Sprintf("VIRUS %d", i))
	}
	long := zipOf(t, files...)
	for range 10 {
		long = zipOf(t, strings.Repeat("y", 900), long)
	}
	e, _ := standIn(t, Options{}, nil)
	v := run(t, e, []byte(mail(multipart("mixed", "b", text("Hello."), attach("a.zip", long)))))
	total := 0
	for _, f := range v.Findings {
		total += textOf(f.Path)
	}
	if v.Outcome != Cleaned || total > maxListText || v.More == 0 || v.More+len(v.Findings) != 500 {
		t.Errorf("outcome %q, %d bytes of names in %d findings, %d more", v.Outcome, total, len(v.Findings), v.More)
	}
}

func TestWhatIsFoundInTheRestIsNotDelivered(t *testing.T) {
	// A cut brings together what was apart.
	e, s := standIn(t, Options{}, nil)
	first := s.answer
	s.answer = func(o rules.Object) ([]rules.Match, error) {
		if bytes.Contains(o.Data, []byte("VIR\r\nUS")) {
			return []rules.Match{{Rule: "R", Set: "s", Malware: "V"}}, nil
		}
		return first(o)
	}
	virus := strings.ReplaceAll(testdata.Uuencode("a.exe", "VIRUS"), "\n", "\r\n") + "\r\n"
	raw := []byte(mail(text("VIR\r\n" + virus + "US\r\n")))
	if v := run(t, e, raw); v.Outcome != ReportOnly || v.Why != "something is found in what remains" {
		t.Errorf("got %s", describe(raw, v))
	}
}

func TestNamesAreUTF8(t *testing.T) {
	for _, tt := range []struct {
		in   string
		n    int
		want string
	}{
		{"a\xffb", 10, "a\uFFFDb"},
		{"請求書", 7, "請求"},
		{"short", 5, "short"},
		{"", 5, ""},
	} {
		if got := shorten(tt.in, tt.n); got != tt.want {
			t.Errorf("shorten(%q, %d) = %q, want %q", tt.in, tt.n, got, tt.want)
		}
	}
}

func TestAnyFileCanBeScanned(t *testing.T) {
	e, _ := standIn(t, Options{}, nil)
	for _, tt := range []struct {
		name    string
		raw     string
		outcome Outcome
		path    string
	}{
		{"clean", "nothing", Clean, ""},
		{"empty", "", Clean, ""},
		{"infected", "a VIRUS", ReportOnly, "[]"},
		{"zip", zipOf(t, "bad.exe", "VIRUS"), ReportOnly, "[the file bad.exe]"},
		{"message", mail(multipart("mixed", "b", text("Hello."), attach("bad.exe", "VIRUS"))), Cleaned, "[]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := e.Run(t.Context(), Job{Raw: []byte(tt.raw), File: true, Name: "the file"})
			if err != nil || v.Outcome != tt.outcome {
				t.Fatalf("got %+v, %v; want %q", v, err, tt.outcome)
			}
			if tt.path != "" && fmt.Sprint(v.Findings[0].Path) != tt.path {
				t.Errorf("path %q, want %s", v.Findings[0].Path, tt.path)
			}
			if tt.outcome == ReportOnly && v.Findings[0].Name != "the file" {
				t.Errorf("name %q", v.Findings[0].Name)
			}
		})
	}
}

func TestMessagesAreKnownByTheirFields(t *testing.T) {
	for _, tt := range []struct {
		name, head string
		want       bool
	}{
		{"message", "From: a\r\nTo: b\r\n\r\nx", true},
		{"LF", "From: a\nTo: b\n\nx", true},
		{"folded", "X-A: b\r\n c\r\nSubject: x\r\nDate: y\r\n\r\n", true},
		{"mailbox file", "From a@b Mon\nFrom: a\nTo: b\n\n", true},
		{"one field", "From: a\r\n\r\nTo: b\r\n", false},
		{"unknown fields", "A: a\r\nB: b\r\n\r\n", false},
		{"text", "Hello.\r\nFrom: a\r\nTo: b\r\n", false},
		{"continued from nothing", " From: a\r\nTo: b\r\nSubject: c\r\n", false},
		{"empty", "", false},
		{"binary", "MZ\x90\x00: \r\nFrom: a\r\nTo: b\r\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := looksLikeMessage([]byte(tt.head)); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestMessagesWithinMessagesAreLimited(t *testing.T) {
	m := mail(attach("x.txt", "VIRUS"))
	for range 6 {
		m = mail(attach("m.eml", m))
	}
	o := Options{}
	o.Limits.Unpack.Depth = 3
	e, _ := standIn(t, o, nil)
	v := run(t, e, []byte(m))
	if v.Outcome != Clean || len(v.Unchecked) != 1 || v.Unchecked[0].Reason != "limit: depth" {
		t.Errorf("got %s", describe([]byte(m), v))
	}
	e, _ = standIn(t, Options{}, nil)
	if v := run(t, e, []byte(m)); v.Outcome != ReportOnly || len(v.Findings) != 1 || len(v.Findings[0].Path) != 7 {
		t.Errorf("without the limit: %s", describe([]byte(m), v))
	}
}

func TestRulesThatOnlyNoteAreListedApart(t *testing.T) {
	e := testEngine(t, Options{})
	v := run(t, e, []byte(mail(text("a newsletter"))))
	if v.Outcome != Clean || len(v.Findings) != 0 || len(v.Noted) != 1 || !v.Noted[0].Body {
		t.Errorf("got %+v", v)
	}
}

func TestIgnoredObjectsAreNotMatched(t *testing.T) {
	raw := testdata.MustMail("attachment")
	const sum = "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f" // of the test virus
	for _, tt := range []struct {
		name   string
		ignore []string
		want   Outcome
	}{
		{"nothing", nil, Cleaned},
		{"it", []string{sum}, Clean},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _, err := rules.Build(t.Context(), rules.Config{Builtin: true, Ignore: tt.ignore}, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			set, err := rules.Load(c)
			if err != nil {
				t.Fatal(err)
			}
			defer set.Close()
			e, err := NewEngine(set, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			if v := run(t, e, raw); v.Outcome != tt.want {
				t.Errorf("got %s", describe(raw, v))
			}
		})
	}
}

func TestScanOfAMessageIsRunOfItsBytes(t *testing.T) {
	e := testEngine(t, Options{})
	for _, size := range []int{1, 100, mapFrom, 2 << 20} {
		raw := []byte(mail(multipart("mixed", "b", text(strings.Repeat("x", size)), attach("bad.exe", string(testdata.EICAR())))))
		m, err := NewMessage(raw)
		if err != nil {
			t.Fatal(err)
		}
		v, err := e.Scan(t.Context(), m)
		if err != nil || v.Outcome != Cleaned {
			t.Errorf("%d bytes: %+v, %v", size, v, err)
		}
		m.Close()
	}
}

// The history of what was removed names the mail by its subject. Of other mail nobody asks for it.
func TestSubjectOfWhatIsInfected(t *testing.T) {
	e := testEngine(t, Options{})
	infected := multipart("mixed", "b", text("x"), attach("bad.exe", string(testdata.EICAR())))
	for _, tt := range []struct{ name, header, body, want string }{
		{"ISO-2022-JP", "Subject: =?ISO-2022-JP?B?GyRCQEE1YT1xGyhC?=\r\n =?ISO-2022-JP?B?GyRCJE43bxsoQg==?=\r\n", infected, "請求書の件"},
		{"raw Shift JIS", "Subject: \x90\xbf\x8b\x81\x8f\x91\x82\xcc\x8c\x8f\r\n", infected, "請求書の件"},
		{"two", "Subject: one\r\nSubject: two\r\n", infected, "one"},
		{"none", "", infected, ""},
		{"long", "Subject: " + strings.Repeat("あ", 1000) + "\r\n", infected, strings.Repeat("あ", 341)},
		{"not infected", "Subject: one\r\n", text("x"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := e.Run(t.Context(), Job{Raw: []byte("From: a@example.com\r\n" + tt.header + "MIME-Version: 1.0\r\n" + tt.body)})
			if err != nil || v.Subject != tt.want {
				t.Errorf("%q, %v, want %q", v.Subject, err, tt.want)
			}
		})
	}
}

// verdictJSON is what programs rely on: names, units and what is left out when
// it is empty.
const verdictJSON = `{"outcome":"cleaned","findings":[{"malware":"W32.Test.A@mm","rule":"local/Test","name":"請求書.zip","path":["請求書.zip","請求書.exe"],"part":"2","sha256":"ab","range":{"start":10,"end":20}},{"malware":"Policy.Encrypted","part":"","body":true,"range":{"start":0,"end":0},"policy":"encrypted"}],"more":3,"unchecked":[{"reason":"limit: depth","detail":"zip: limit: depth","name":"a.zip","path":["a.zip"],"part":"3"}],"cut":[{"start":10,"end":20}],"subject":"請求","noted":[{"malware":"Letter","part":"1","range":{"start":0,"end":0}}],"odd":["several boundaries"],"signed":true,"rules":"v1","objects":4,"bytes":1000}`

func TestJSONOfAVerdictStaysAsItIs(t *testing.T) {
	v := Verdict{
		Outcome: Cleaned,
		Findings: []Finding{
			{Malware: "W32.Test.A@mm", Rule: "local/Test", Name: "請求書.zip", Path: []string{"請求書.zip", "請求書.exe"}, Part: "2", SHA256: "ab", Range: mime.Range{Start: 10, End: 20}},
			{Malware: "Policy.Encrypted", Body: true, Policy: "encrypted"},
		},
		More:      3,
		Unchecked: []Unchecked{{Reason: "limit: depth", Detail: "zip: limit: depth", Name: "a.zip", Path: []string{"a.zip"}, Part: "3"}},
		Cut:       []mime.Range{{Start: 10, End: 20}}, Subject: "請求",
		Noted: []Finding{{Malware: "Letter", Part: "1"}},
		Odd:   []string{"several boundaries"}, Signed: true, Rules: "v1", Objects: 4, Bytes: 1000,
	}
	got, err := json.Marshal(v)
	if err != nil || string(got) != verdictJSON {
		t.Errorf("got  %s\nwant %s\n%v", got, verdictJSON, err)
	}
	if got, err := json.Marshal(Verdict{Outcome: Clean}); err != nil || string(got) != `{"outcome":"clean","rules":"","objects":0,"bytes":0}` {
		t.Errorf("empty: %s, %v", got, err)
	}
}

// corpusMail gives the messages that lie beside the repository, in the order of their names.
func corpusMail(t *testing.T) (names []string, mails [][]byte) {
	t.Helper()
	folder := filepath.Join("..", "..", "shared", "corpus", "mail")
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("no real mail to try: %v", err)
	}
	err := filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(name)
		names, mails = append(names, name), append(mails, raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names, mails
}

func TestRealMailIsClean(t *testing.T) {
	names, mails := corpusMail(t)
	e := testEngine(t, Options{})
	for i, raw := range mails {
		v := run(t, e, raw)
		if v.Outcome != Clean {
			t.Errorf("%s: %s", names[i], describe(raw, v))
		}
		for _, u := range v.Unchecked {
			t.Logf("%s: %s: %s", names[i], u.Reason, u.Detail)
		}
	}
	t.Logf("%d messages", len(mails))
}

// mutations is how many mutations of real mail are scanned.
var mutations = flag.Int("mutations", 1000, "mutations of real mail that are scanned")

func TestMutationsOfRealMail(t *testing.T) {
	_, mails := corpusMail(t)
	mails = slices.DeleteFunc(mails, func(raw []byte) bool { return len(raw) < 10 })
	e := testEngine(t, Options{})
	random := rand.New(rand.NewPCG(7, 7))
	var slowest time.Duration
	var slow []byte
	outcomes := map[Outcome]int{}
	for i := range *mutations {
		raw := mutated(random, mails[i%len(mails)], mails[random.IntN(len(mails))])
		start := time.Now()
		v := run(t, e, raw)
		outcomes[v.Outcome]++
		if took := time.Since(start); took > slowest {
			slowest, slow = took, raw
		}
		for _, u := range v.Unchecked {
			if u.Reason == reasonScanError {
				t.Errorf("mutation %d: %+v", i, u)
			}
		}
	}
	t.Logf("%d mutations, %v; the slowest took %v for %d bytes", *mutations, outcomes, slowest, len(slow))
}

// mutated gives a message with a few pieces deleted, doubled, moved, changed, or
// taken from another one.
func mutated(random *rand.Rand, mail, other []byte) []byte {
	raw := bytes.Clone(mail)
	for range 1 + random.IntN(12) {
		if len(raw) < 10 {
			break
		}
		at, n := random.IntN(len(raw)), 1+random.IntN(60)
		piece := func(of []byte) []byte {
			from := random.IntN(len(of))
			return bytes.Clone(of[from:min(len(of), from+n)])
		}
		switch random.IntN(6) {
		case 0:
			raw = slices.Delete(raw, at, min(len(raw), at+n))
		case 1:
			raw = slices.Insert(raw, at, piece(raw)...)
		case 2:
			raw[at] = "\r\n\x00-:;\"=( "[random.IntN(10)]
		case 3:
			raw[at] = byte(random.IntN(256))
		case 4:
			n *= 20
			raw = slices.Insert(raw, at, piece(other)...)
		case 5: // whole lines
			if eol := bytes.IndexByte(raw[at:], '\n'); eol >= 0 {
				raw = slices.Insert(raw, at+eol+1, append(piece(raw), '\n')...)
			}
		}
	}
	return raw
}
