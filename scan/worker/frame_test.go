package worker

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"kiyome/scan"
	"kiyome/scan/mime"
)

func TestFramesComeBackAsTheyWent(t *testing.T) {
	frame, err := encode(kindJob, job{Size: 7, Name: "請求書"})
	if err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(append(frame, frame...))
	for range 2 {
		k, body, err := readFrame(r)
		var j job
		if err == nil {
			err = json.Unmarshal(body, &j)
		}
		if err != nil || k != kindJob || j.Size != 7 || j.Name != "請求書" {
			t.Errorf("got %c %q, %v", k, body, err)
		}
	}
	if _, _, err := readFrame(r); !errors.Is(err, errEnd) {
		t.Errorf("at the end: %v", err)
	}
}

func TestFramesAreBounded(t *testing.T) {
	head := func(k kind, n uint32) string {
		return string(binary.BigEndian.AppendUint32([]byte{byte(k)}, n))
	}
	for _, tt := range []struct{ name, frame string }{
		{"finding too long", head(kindFound, 64<<10+1)},
		{"verdict too long", head(kindVerdict, 8<<20+1)},
		{"longest there is", head(kindVerdict, 1<<32-1)},
		{"unknown kind", head('X', 0)},
		{"cut in its head", head(kindFound, 3)[:2]},
		{"cut in its body", head(kindFound, 3) + "{}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if k, body, err := readFrame(strings.NewReader(tt.frame)); err == nil || errors.Is(err, errEnd) {
				t.Errorf("got %c %q, %v", k, body, err)
			}
		})
	}
	if _, err := encode(kindFound, scan.Finding{Name: strings.Repeat("x", 64<<10)}); err == nil {
		t.Error("a frame over its limit was made")
	}
}

func FuzzFrame(f *testing.F) {
	for _, v := range []any{eicar, scan.Verdict{Outcome: scan.Clean}, fault{Message: "x"}} {
		frame, err := encode(kindFound, v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		for {
			k, body, err := readFrame(r)
			if err != nil {
				return
			}
			if len(body) > int(frameLimit[k]) {
				t.Fatalf("%c: %d bytes", k, len(body))
			}
		}
	})
}

func TestVerdictsAreNotBelievedBlindly(t *testing.T) {
	finding := []scan.Finding{eicar}
	for _, tt := range []struct {
		name  string
		v     scan.Verdict
		found int
		ok    bool
	}{
		{"clean", scan.Verdict{Outcome: scan.Clean}, 0, true},
		{"cleaned", scan.Verdict{Outcome: scan.Cleaned, Findings: finding, Cut: []mime.Range{{Start: 10, End: 20}, {Start: 20, End: 100}}}, 1, true},
		{"report only", scan.Verdict{Outcome: scan.ReportOnly, Findings: finding}, 1, true},
		{"no outcome", scan.Verdict{}, 0, false},
		{"another outcome", scan.Verdict{Outcome: "untouched"}, 0, false},
		{"clean after a finding", scan.Verdict{Outcome: scan.Clean}, 1, false},
		{"clean with a finding", scan.Verdict{Outcome: scan.Clean, Findings: finding}, 0, false},
		{"clean with a cut", scan.Verdict{Outcome: scan.Clean, Cut: []mime.Range{{Start: 1, End: 2}}}, 0, false},
		{"report without a finding", scan.Verdict{Outcome: scan.ReportOnly}, 0, false},
		{"cleaned of nothing", scan.Verdict{Outcome: scan.Cleaned, Findings: finding}, 1, false},
		{"cut past the end", scan.Verdict{Outcome: scan.Cleaned, Findings: finding, Cut: []mime.Range{{Start: 10, End: 101}}}, 1, false},
		{"cut before the start", scan.Verdict{Outcome: scan.Cleaned, Findings: finding, Cut: []mime.Range{{Start: -1, End: 10}}}, 1, false},
		{"cut backwards", scan.Verdict{Outcome: scan.Cleaned, Findings: finding, Cut: []mime.Range{{Start: 20, End: 10}}}, 1, false},
		{"empty cut", scan.Verdict{Outcome: scan.Cleaned, Findings: finding, Cut: []mime.Range{{Start: 10, End: 10}}}, 1, false},
		{"cuts that overlap", scan.Verdict{Outcome: scan.Cleaned, Findings: finding, Cut: []mime.Range{{Start: 10, End: 20}, {Start: 15, End: 30}}}, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := check(&tt.v, 100, finding[:tt.found]); (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A verdict with as many cuts as an engine makes, full lists, and a plan for a notice as
// long as may be, fits its frame.
func TestTheLongestVerdictFitsItsFrame(t *testing.T) {
	var cuts []mime.Range
	for i := range 100_000 {
		cuts = append(cuts, mime.Range{Start: 1_000_000_000 + 2*i, End: 1_000_000_001 + 2*i})
	}
	f := scan.Finding{Malware: strings.Repeat("m", maxLabel), Rule: strings.Repeat("r", 100), SHA256: strings.Repeat("0a", 32), Part: "1.2.3", Path: []string{strings.Repeat("p", 256)}, Range: cuts[0]}
	list := slices.Repeat([]scan.Finding{f}, scan.MaxFindings)
	u := scan.Unchecked{Reason: "limit: depth", Detail: strings.Repeat("d", 128), Path: []string{strings.Repeat("p", 128)}, Part: "1.2.3"}
	v := scan.Verdict{
		Outcome: scan.Cleaned, Findings: list, Noted: list, Unchecked: slices.Repeat([]scan.Unchecked{u}, scan.MaxFindings), Cut: cuts,
		Notice: &scan.Notice{Cut: cuts[:20_000], Insert: []scan.Insert{{Text: strings.Repeat("--b\n", scan.MaxInsert/4), Part: true}}},
	}
	frame, err := encode(kindVerdict, v)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", len(frame))
}

func TestPlansForNoticesAreNotBelievedBlindly(t *testing.T) {
	part := func(at int) scan.Insert { return scan.Insert{At: at, Part: true} }
	header := scan.Insert{At: 9, Text: "MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n\tboundary=b\r\n\r\n--b\r\ncontent-TYPE: a/b;\n c\r\n"}
	set := func(inserts ...scan.Insert) func(*scan.Verdict) {
		return func(v *scan.Verdict) { v.Notice.Insert = inserts }
	}
	cuts := func(ranges ...mime.Range) func(*scan.Verdict) {
		return func(v *scan.Verdict) { v.Notice.Cut = ranges }
	}
	bad := func(text string) func(*scan.Verdict) {
		return func(v *scan.Verdict) { v.Notice.Insert[0].Text = text }
	}
	moved, cut := mime.Range{Start: 2, End: 8}, mime.Range{Start: 20, End: 30}
	for _, tt := range []struct {
		name   string
		change func(*scan.Verdict)
		ok     bool
	}{
		{"as it should be", func(*scan.Verdict) {}, true},
		{"none", func(v *scan.Verdict) { v.Notice = nil }, true},
		{"nothing moves", func(v *scan.Verdict) { v.Notice = &scan.Notice{Cut: v.Cut, Insert: []scan.Insert{part(30)}} }, true},
		{"before a cut", set(part(19)), true},
		{"at the end of a cut", set(part(30)), true},
		{"at the end", set(part(100)), true},
		{"as much text as may be", bad(strings.Repeat("--b\n", scan.MaxInsert/4-4)), true},
		{"more", bad(strings.Repeat("--b\n", scan.MaxInsert/4)), false},
		{"report only", func(v *scan.Verdict) { v.Outcome, v.Cut = scan.ReportOnly, nil }, false},
		{"the cut is left out", cuts(moved), false},
		{"another cut", cuts(moved, mime.Range{Start: 20, End: 29}), false},
		{"less than the cut", cuts(), false},
		{"cuts that overlap", cuts(moved, mime.Range{Start: 3, End: 9}, cut), false},
		{"a cut before the start", cuts(mime.Range{Start: -1, End: 1}, cut), false},
		{"cuts out of order", cuts(mime.Range{Start: 40, End: 50}, cut), false},
		{"no notice", set(header), false},
		{"nothing at all", set(), false},
		{"two notices", set(part(30), part(31)), false},
		{"past the end", set(part(101)), false},
		{"before the start", set(part(-1)), false},
		{"at the start of a cut", set(part(20)), false},
		{"in a cut", set(part(29)), false},
		{"out of order", set(part(40), header), false},
		{"another field", bad("Bcc: a@example.com\r\n"), false},
		{"a text", bad("--b\r\n\r\nHello.\r\n"), false},
		{"not to the end of a line", bad("--b"), false},
		{"a text behind it", func(v *scan.Verdict) { v.Notice.Insert[1].Rest = "Hello.\r\n" }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := &scan.Verdict{Outcome: scan.Cleaned, Findings: []scan.Finding{eicar}, Cut: []mime.Range{cut}, Notice: &scan.Notice{
				Cut: []mime.Range{moved, cut}, Insert: []scan.Insert{header, {At: 100, Text: "\r\n--b\r\n", Part: true, Rest: "--b--\r\n"}},
			}}
			tt.change(v)
			if err := check(v, 100, []scan.Finding{eicar}); (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNothingInAVerdictIsBelievedBlindly(t *testing.T) {
	long := strings.Repeat("x", maxName+1)
	finding := func(change func(*scan.Finding)) func(*scan.Verdict) {
		return func(v *scan.Verdict) { change(&v.Findings[1]) }
	}
	unchecked := func(change func(*scan.Unchecked)) func(*scan.Verdict) {
		return func(v *scan.Verdict) {
			v.Unchecked = []scan.Unchecked{{Reason: "limit: depth", Part: "2"}}
			change(&v.Unchecked[0])
		}
	}
	digest := strings.Repeat("0a", 32)
	for _, tt := range []struct {
		name   string
		change func(*scan.Verdict)
		ok     bool
	}{
		{"as it should be", func(*scan.Verdict) {}, true},
		{"as long as may be", finding(func(f *scan.Finding) {
			f.Name, f.Path, f.SHA256, f.Range = long[1:], []string{"a", long[:maxElement]}, digest, mime.Range{Start: 99, End: 100}
		}), true},
		{"unchecked", unchecked(func(*scan.Unchecked) {}), true},
		{"other finding than was told", func(v *scan.Verdict) { v.Findings[0].Part = "3" }, false},
		{"one finding less than was told", func(v *scan.Verdict) { v.Findings = v.Findings[:0] }, false},
		{"findings without end", func(v *scan.Verdict) { v.Findings = slices.Repeat(v.Findings, scan.MaxFindings) }, false},
		{"notes without end", func(v *scan.Verdict) { v.Noted = slices.Repeat(v.Findings, scan.MaxFindings) }, false},
		{"unchecked without end", func(v *scan.Verdict) { v.Unchecked = make([]scan.Unchecked, scan.MaxFindings+1) }, false},
		{"oddities without end", func(v *scan.Verdict) { v.Odd = make([]string, maxOdd+1) }, false},
		{"fewer than none", func(v *scan.Verdict) { v.More = -1 }, false},
		{"objects below zero", func(v *scan.Verdict) { v.Objects = -1 }, false},
		{"bytes below zero", func(v *scan.Verdict) { v.Bytes = -1 }, false},
		{"long oddity", func(v *scan.Verdict) { v.Odd = []string{long} }, false},
		{"long reason of a report", func(v *scan.Verdict) { v.Why = long }, false},
		{"long subject", func(v *scan.Verdict) { v.Subject = long }, false},
		{"subject of two lines", func(v *scan.Verdict) { v.Subject = "a\nb" }, true}, // it is made harmless where it is shown
		{"long version", func(v *scan.Verdict) { v.Rules = long }, false},
		{"oddity of two lines", func(v *scan.Verdict) { v.Odd = []string{"a\nb"} }, false},
		{"reason of a report in two lines", func(v *scan.Verdict) { v.Why = "a\nb" }, false},
		{"version of two lines", func(v *scan.Verdict) { v.Rules = "a\r\nb" }, false},
		{"rule of two lines", finding(func(f *scan.Finding) { f.Rule = "a\nb" }), false},
		{"part of two lines", finding(func(f *scan.Finding) { f.Part = "1\n2" }), false},
		{"deep part", finding(func(f *scan.Finding) { f.Part = strings.Repeat("1.", 1000) + "1" }), true},
		{"bad note", func(v *scan.Verdict) { v.Noted = []scan.Finding{{Malware: "a\r\nX: b"}} }, false},
		{"no malware", finding(func(f *scan.Finding) { f.Malware = "" }), false},
		{"malware that is a header", finding(func(f *scan.Finding) { f.Malware = "a\r\nX-Virus-Status: Clean" }), false},
		{"malware of another alphabet", finding(func(f *scan.Finding) { f.Malware = "あ" }), false},
		{"long malware", finding(func(f *scan.Finding) { f.Malware = long[:maxLabel+1] }), false},
		{"policy that is a header", finding(func(f *scan.Finding) { f.Policy = "a\nb" }), false},
		{"long rule", finding(func(f *scan.Finding) { f.Rule = long }), false},
		{"long name", finding(func(f *scan.Finding) { f.Name = long }), false},
		{"long part", finding(func(f *scan.Finding) { f.Part = strings.Repeat("1", maxPart+1) }), false},
		{"long name in a path", finding(func(f *scan.Finding) { f.Path = []string{long[:maxElement+1]} }), false},
		{"long path", finding(func(f *scan.Finding) { f.Path = make([]string, maxPath+1) }), false},
		{"short digest", finding(func(f *scan.Finding) { f.SHA256 = digest[1:] }), false},
		{"digest that is none", finding(func(f *scan.Finding) { f.SHA256 = digest[1:] + "g" }), false},
		{"range past the end", finding(func(f *scan.Finding) { f.Range = mime.Range{Start: 1, End: 101} }), false},
		{"range before the start", finding(func(f *scan.Finding) { f.Range = mime.Range{Start: -1, End: 10} }), false},
		{"range backwards", finding(func(f *scan.Finding) { f.Range = mime.Range{Start: 9, End: 8} }), false},
		{"reason that is a header", unchecked(func(u *scan.Unchecked) { u.Reason = "a\nb" }), false},
		{"long detail", unchecked(func(u *scan.Unchecked) { u.Detail = long }), false},
		{"long name of what is unchecked", unchecked(func(u *scan.Unchecked) { u.Name = long }), false},
		{"long part of what is unchecked", unchecked(func(u *scan.Unchecked) { u.Part = strings.Repeat("1", maxPart+1) }), false},
		{"long path of what is unchecked", unchecked(func(u *scan.Unchecked) { u.Path = []string{long} }), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := &scan.Verdict{Outcome: scan.ReportOnly, Findings: []scan.Finding{eicar, eicar}, Rules: "fake"}
			tt.change(v)
			if err := check(v, 100, []scan.Finding{eicar}); (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTailKeepsTheBeginning(t *testing.T) {
	var said tail
	for range 100 {
		if _, err := io.WriteString(&said, "fatal error:\nout of memory\n"); err != nil {
			t.Fatal(err)
		}
	}
	if got := said.String(); len(got) > tailSize || !strings.HasPrefix(got, "fatal error: out of memory fatal") {
		t.Errorf("got %q", got)
	}
}
