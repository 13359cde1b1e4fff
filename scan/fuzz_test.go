package scan

import (
	"bytes"
	"errors"
	"testing"

	"kiyome/rules"
	"kiyome/scan/mime"
	"kiyome/testdata"
)

// checkCut fails the test when a cut is not ascending, disjoint and within raw,
// or when putting it back does not give raw. It returns what the cut leaves.
func checkCut(t *testing.T, raw []byte, ranges []mime.Range) []byte {
	t.Helper()
	at := 0
	for _, c := range ranges {
		if c.Start < at || c.End <= c.Start || c.End > len(raw) {
			t.Fatalf("ranges %v of %d bytes", ranges, len(raw))
		}
		at = c.End
	}
	var rest []byte
	for _, k := range Keep(int64(len(raw)), ranges) {
		rest = append(rest, raw[k.Start:k.End]...)
	}
	if !isInverse(raw, rest, ranges) {
		t.Fatalf("ranges %v: the inverse is not the original", ranges)
	}
	return rest
}

// FuzzCut plans cuts of any leaves of any message: what pick says, bit by bit.
func FuzzCut(f *testing.F) {
	for _, name := range testdata.Names() {
		f.Add(testdata.MustMail(name), []byte{0b10})
	}
	f.Add([]byte(mail(multipart("mixed", "b", text("a\r\nbegin 644 x\r\n`\r\nend\r\nb"), attached(mail(multipart("mixed", "c", text("a"), attach("b", "c"))))))), []byte{0xff})
	f.Fuzz(func(t *testing.T, raw, pick []byte) {
		m := mime.Parse(raw, mime.Limits{})
		hits := picked(m, pick)
		if len(hits) == 0 {
			return
		}
		c := planCut(m, hits)
		if (c.why == "") != (len(c.ranges) > 0) {
			t.Fatalf("why %q with %v", c.why, c.ranges)
		}
		checkCut(t, raw, c.ranges)
		for _, at := range hits {
			if c.why == "" && !covers(c.ranges, at) {
				t.Fatalf("the part %q stays whole: %v", at.part.ID, c.ranges)
			}
		}
	})
}

// picked gives the spots of those readings that pick says, bit by bit.
func picked(m *mime.Message, pick []byte) (hits []spot) {
	i := 0
	for leaf, r := range readings(m) {
		at := spot{part: leaf}
		if r.Block != nil {
			at.block = *r.Block
		}
		if i/8 < len(pick) && pick[i/8]>>(i%8)&1 == 1 {
			hits = append(hits, at)
		}
		i++
	}
	return hits
}

// covers reports whether a cut takes all of what is at a spot.
func covers(ranges []mime.Range, at spot) bool {
	want := at.part.Body
	if isBlock(at) {
		want = at.block
	}
	for _, c := range ranges {
		if c.Start <= want.Start && want.End <= c.End {
			return true
		}
	}
	return want.Start == want.End
}

// FuzzScan scans any message: there is a verdict, and what is delivered has
// nothing in it that is found.
func FuzzScan(f *testing.F) {
	for _, name := range testdata.Names() {
		f.Add(bytes.ReplaceAll(testdata.MustMail(name), testdata.EICAR(), []byte("VIRUS")))
	}
	f.Add([]byte(mail(multipart("mixed", "b", text("Hello."), attach("a.exe", "VIRUS"), attach("b.eml", mail(text("VIRUS BAD")))))))
	e, _ := standIn(f, Options{}, func() ([]rules.Match, error) { return nil, errors.New("too hard") })
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := e.Run(t.Context(), Job{Raw: raw})
		if err != nil {
			t.Fatal(err)
		}
		rest := checkCut(t, raw, v.Cut)
		switch v.Outcome {
		case Clean:
			if len(v.Findings) > 0 || len(v.Cut) > 0 {
				t.Fatalf("clean: %+v", v)
			}
		case Cleaned:
			if again := run(t, e, rest); again.Outcome != Clean {
				t.Fatalf("what remains is %+v", again)
			}
		case ReportOnly:
			if len(v.Findings) == 0 || len(v.Cut) > 0 || v.Why == "" {
				t.Fatalf("report only: %+v", v)
			}
		default:
			t.Fatalf("outcome %q", v.Outcome)
		}
	})
}
