package rules

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMatchKnowsItsObject(t *testing.T) {
	s := compiled(t, `
rule Name { condition: filename == "Report.PDF" }
rule Ext { condition: extension == ".pdf" }
rule Path { condition: filepath == "outer.zip/dir/Report.PDF" }
rule Type { condition: filetype == "PDF" }
rule NoOwner { condition: owner == "" }
rule NoName { condition: filename == "" and extension == "" }
rule Dashed { condition: filename == "ab.exe" }
rule Tail { condition: filename endswith ".exe" }
rule Empty { condition: filesize == 0 }`)
	m, err := s.NewMatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, tt := range []struct {
		name string
		o    Object
		want []string
	}{
		{"all", Object{Data: []byte("x"), Name: "Report.PDF", Path: "outer.zip/dir/Report.PDF", Type: "pdf"}, []string{"Ext", "Name", "NoOwner", "Path", "Type"}},
		{"the next one knows nothing of it", Object{Data: []byte("x")}, []string{"NoName", "NoOwner"}},
		{"only the path changed", Object{Data: []byte("x"), Path: "outer.zip/dir/Report.PDF"}, []string{"NoName", "NoOwner", "Path"}},
		{"folders in the name", Object{Data: []byte("x"), Name: `c:\dir/Report.PDF`}, []string{"Ext", "Name", "NoOwner"}},
		{"NUL in the name", Object{Data: []byte("x"), Name: "a\x00b.exe"}, []string{"Dashed", "NoOwner", "Tail"}},
		{"long name", Object{Data: []byte("x"), Name: strings.Repeat("a", 1<<20) + ".exe"}, []string{"NoOwner", "Tail"}},
		{"empty", Object{Data: []byte{}}, []string{"Empty", "NoName", "NoOwner"}},
		{"nil", Object{}, []string{"Empty", "NoName", "NoOwner"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found, err := m.Match(tt.o, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range found {
				got = append(got, f.Rule)
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("matched %v, want %v", got, tt.want)
			}
		})
	}
}

func TestHeuristicRulesDoNotCountForCarvedObjects(t *testing.T) {
	s := compiled(t, `
rule Tagged : heuristic { condition: true }
rule Meta { meta: heuristic = true condition: true }
rule MetaText { meta: heuristic = "yes" condition: true }
rule NotAtAll { meta: heuristic = false condition: true }
rule Sure { condition: true }`)
	for _, tt := range []struct {
		carved bool
		want   []string
	}{
		{false, []string{"local/Meta", "local/MetaText", "local/NotAtAll", "local/Sure", "local/Tagged"}},
		{true, []string{"local/NotAtAll", "local/Sure"}},
	} {
		if got := matched(t, s, Object{Data: []byte("x"), Carved: tt.carved}); !slices.Equal(got, tt.want) {
			t.Errorf("carved %v: matched %v, want %v", tt.carved, got, tt.want)
		}
	}
}

// decoys are more beginnings of a chained string than libyara keeps, before
// anything else.
var decoys = bytes.Repeat([]byte("EIC"), 1_100_000)

func TestTooManyMatchesIsNotClean(t *testing.T) {
	chain := "rule Chain { strings: $a = { 45 49 43 [0-300] 41 52 } condition: $a }\n"
	count := "rule Count { strings: $a = \"EIC\" condition: #a == 1100000 }\n"
	for _, tt := range []struct {
		name, source string
		data         []byte
		want         []string
		err          error
	}{
		{"the hidden rest of a chain", chain, append(bytes.Clone(decoys), "EICAR"...), nil, ErrTooManyMatches},
		{"no rest at all", chain, decoys, nil, ErrTooManyMatches},
		{"a count", count, decoys, nil, ErrTooManyMatches},
		{"another rule matched", chain + ruleFor("Sure", "xyzzy"), append(bytes.Clone(decoys), "xyzzy"...), []string{"Sure"}, ErrTooManyMatches},
		{"a few decoys", chain, append(bytes.Clone(decoys[:3000]), "EICAR"...), []string{"Chain"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := compiled(t, tt.source).NewMatcher()
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			for range 2 { // the second time as the first
				found, err := m.Match(Object{Data: tt.data}, time.Minute)
				if !errors.Is(err, tt.err) {
					t.Errorf("error %v, want %v", err, tt.err)
				}
				var got []string
				for _, f := range found {
					got = append(got, f.Rule)
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("matched %v, want %v", got, tt.want)
				}
			}
			if _, err := m.Match(Object{Data: []byte("x")}, time.Minute); err != nil {
				t.Errorf("the object after it: %v", err)
			}
		})
	}
}

func TestFaultsOfMatchingAreErrors(t *testing.T) {
	for _, tt := range []struct {
		name, source string
		data         []byte
		want         error
	}{
		{"a condition without end", "rule x { condition: for all i in (0..1000000000) : (for all j in (0..1000000000) : (i + j >= 0)) }", []byte("x"), ErrTimeout},
		{"too many fibers", `rule x { strings: $a = /ab.{0,500}.{0,500}.{0,500}c/s condition: $a }`, bytes.Repeat([]byte("ab"), 5000), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := compiled(t, tt.source).NewMatcher()
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			_, err = m.Match(Object{Data: tt.data}, time.Millisecond)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if found, err := m.Match(Object{Data: []byte("y")}, time.Millisecond); tt.want == nil && (err != nil || len(found) > 0) {
				t.Errorf("the object after it: %v, %v", found, err)
			}
		})
	}
}

func TestTimeLimitIsWholeSeconds(t *testing.T) {
	for _, tt := range []struct{ d, want time.Duration }{
		{-time.Hour, time.Second},
		{0, time.Second},
		{1, time.Second},
		{999 * time.Millisecond, time.Second},
		{time.Second, time.Second},
		{time.Second + 1, 2 * time.Second},
		{1500 * time.Millisecond, 2 * time.Second},
		{math.MaxInt64, math.MaxInt32 * time.Second},
	} {
		if got := wholeSeconds(tt.d); got != tt.want {
			t.Errorf("wholeSeconds(%v) = %v, want %v", tt.d, got, tt.want)
		}
	}
}

// A nil dereference must panic, and be recovered, while scans run: see scan.
func TestPanicsWhileMatching(t *testing.T) {
	s := compiled(t, "import \"pe\"\n", eicarRule)
	data := append(bytes.Repeat([]byte("some text "), 2000), eicar()...)
	done := make(chan bool)
	var panics sync.WaitGroup
	panics.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				if n == 0 {
					t.Error("no panic was tried")
				}
				return
			default:
				if !recovered() {
					t.Error("a nil dereference did not panic")
				}
			}
		}
	})
	var matchers sync.WaitGroup
	for range 4 {
		matchers.Go(func() {
			m, err := s.NewMatcher()
			if err != nil {
				t.Error(err)
				return
			}
			defer m.Close()
			for range 300 {
				if found, err := m.Match(Object{Data: data}, time.Minute); err != nil || len(found) != 1 {
					t.Errorf("matched %v, %v", found, err)
					return
				}
			}
		})
	}
	matchers.Wait()
	close(done)
	panics.Wait()
}

func recovered() (yes bool) {
	defer func() { yes = recover() != nil }()
	var p *Match
	return p.LogOnly
}

func FuzzReadable(f *testing.F) {
	f.Add("W32.Example.A@mm")
	f.Add("\x1b[31m\xff\r\n \u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := readable(s)
		if len(got) > maxName || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) || got != strings.TrimSpace(got) {
			t.Errorf("readable(%q) = %q", s, got)
		}
	})
}
