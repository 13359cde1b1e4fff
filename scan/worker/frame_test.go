package worker

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
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
			if err := check(&tt.v, 100, tt.found); (err == nil) != tt.ok {
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
