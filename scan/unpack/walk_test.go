package unpack

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
)

func gzipped(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(content)
	w.Close()
	return b.Bytes()
}

// nested is content within n archives.
func nested(n int, content string) []byte {
	for range n {
		content = honest("x", content)
	}
	return []byte(content)
}

// many is an archive of n entries of size bytes each, all different.
func many(n, size int) []byte {
	var body, c strings.Builder
	for i := range n {
		r, d := deflateRecord(fmt.Sprint(i), fmt.Sprintf("%d%s", i, strings.Repeat("x", size)))
		c.WriteString(r.central(body.Len()))
		body.WriteString(r.local() + d)
	}
	at := body.Len()
	return []byte(body.String() + c.String() + end(n, c.Len(), at, ""))
}

func TestWalkStopsAtEachLimitAndSaysSoOnce(t *testing.T) {
	for _, tt := range []struct {
		name      string
		limits    Limits
		data      []byte
		objects   int
		unchecked []string
	}{
		{"depth", Limits{Depth: 2}, nested(5, text), 3, []string{"f/x/x: zip: limit: depth"}},
		{"depth just enough", Limits{Depth: 5}, nested(5, text), 6, nil},
		{"objects", Limits{Objects: 10}, many(20, 5), 10, []string{"f: zip: limit: objects"}},
		{"objects just enough", Limits{Objects: 21}, many(20, 5), 21, nil},
		{"unpacked", Limits{Unpacked: 1000}, many(20, 100), 11, []string{"f: zip: 9: limit: unpacked"}},
		{"unpacked just enough", Limits{Unpacked: int64(len(text))}, nested(1, text), 2, nil},
		{"unpacked, stored", Limits{Unpacked: 10}, load(t, "zip-stored.zip"), 2, []string{"f: zip: note.txt: limit: unpacked"}},
		{"unpacked, in a container in a container", Limits{Unpacked: 1000}, []byte(honest("in", string(many(20, 100)))), 2, []string{"f/in: zip: 0: limit: unpacked", "f: zip: in: limit: unpacked"}},
		{"ratio", Limits{Ratio: 100}, gzipped(make([]byte, 80<<20)), 2, []string{"f: gzip: f: limit: ratio"}},
		{"ratio of what is small", Limits{Ratio: 100}, gzipped(make([]byte, 1<<20)), 2, nil},
		{"no ratio by default", Limits{}, gzipped(bytes.Repeat([]byte{1}, 80<<20)), 2, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, tt.limits, "f", tt.data)
			if len(n.objects) != tt.objects {
				t.Errorf("%d objects, want %d: %.200q", len(n.objects), tt.objects, n.objects)
			}
			if !slices.Equal(n.unchecked, tt.unchecked) {
				t.Errorf("unchecked %q, want %q", n.unchecked, tt.unchecked)
			}
			for _, err := range n.errs {
				var limit *LimitError
				if !errors.As(err, &limit) || !errors.Is(err, ErrLimit) {
					t.Errorf("%v is no LimitError", err)
				}
			}
		})
	}
}

func TestWhatWasUnpackedBeforeALimitIsHandedOut(t *testing.T) {
	n := walked(t, Limits{Unpacked: 100}, "f.gz", gzipped([]byte(text+strings.Repeat("x", 1000))))
	if want := text + strings.Repeat("x", 100-len(text)); len(n.data) != 2 || n.data[1] != want {
		t.Errorf("handed out %q, want the container and %q", n.data, want)
	}
}

func TestLimitsCountOverAllWalksOfAWalker(t *testing.T) {
	n, w := &notes{}, NewWalker(NewArena(nil, 0), Limits{Unpacked: 150})
	for range 3 {
		if err := w.Walk(t.Context(), []string{"mail"}, File{Name: "f", Data: nested(1, text)}, n); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"mail/f: zip: x: limit: unpacked"}; !slices.Equal(n.unchecked, want) {
		t.Errorf("unchecked %q, want %q", n.unchecked, want)
	}
	if err := w.Unpacked(1); !errors.Is(err, ErrLimit) {
		t.Errorf("Unpacked(1) = %v, want a limit", err)
	}
	if err := NewWalker(nil, Limits{Unpacked: 5}).Unpacked(5); err != nil {
		t.Errorf("Unpacked up to the limit: %v", err)
	}
}

func TestWalkIsDepthFirstAndTellsTheWay(t *testing.T) {
	inner := gzipped([]byte(text))
	a, ad := storedRecord("a.gz", string(inner))
	b, bd := storedRecord("b", "b")
	body := a.local() + ad + b.local() + bd
	c := a.central(0) + b.central(len(a.local()+ad))
	n := &notes{}
	err := NewWalker(NewArena(nil, 0), Limits{}).Walk(t.Context(), []string{"mail", "1"}, File{Name: "f.zip", Data: []byte(body + c + end(2, len(c), len(body), ""))}, n)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"mail/1/f.zip", "mail/1/f.zip/a.gz", "mail/1/f.zip/a.gz/a", "mail/1/f.zip/b"}; !slices.Equal(n.objects, want) {
		t.Errorf("objects %q, want %q", n.objects, want)
	}
	if want := []string{"", "zip", "zip gzip", "zip"}; !slices.Equal(n.formats, want) {
		t.Errorf("formats %q, want %q", n.formats, want)
	}
}

func TestWhatTheVisitorKnowsIsNotOpened(t *testing.T) {
	n := &notes{hook: func(path []string) bool { return len(path) < 3 }}
	n.walk(t, NewArena(nil, 0), Limits{}, "f", nested(5, text))
	if len(n.objects) != 3 || len(n.unchecked) > 0 {
		t.Errorf("objects %q, unchecked %q; want 3 objects", n.objects, n.unchecked)
	}
}

func TestWalkEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n := &notes{hook: func(path []string) bool {
		if len(path) == 2 {
			cancel()
		}
		return true
	}}
	err := NewWalker(NewArena(nil, 0), Limits{}).Walk(ctx, nil, File{Name: "f", Data: many(20, 5)}, n)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Walk = %v, want %v", err, context.Canceled)
	}
	if len(n.objects) != 2 || len(n.unchecked) > 0 {
		t.Errorf("objects %q, unchecked %q; want 2 objects", n.objects, n.unchecked)
	}
}

// endless gives zeros and counts them.
type endless struct {
	read   int64
	cancel func()
}

func (e *endless) Read(p []byte) (int, error) {
	if e.read += int64(len(p)); e.read > 1<<20 {
		e.cancel()
	}
	clear(p)
	return len(p), nil
}

func opening(t *testing.T, o opener, ctx context.Context, n *notes) error {
	t.Helper()
	w := &walk{Walker: NewWalker(NewArena(nil, 0), Limits{}), ctx: ctx, visitor: n}
	defer w.countAll()
	c := container{walk: w, opener: &o, path: []string{"f"}, formats: []string{o.name}}
	yes, err := o.looksAt(nil)
	if err != nil {
		c.tell(c.path, "", err)
	}
	if !yes {
		return nil
	}
	return c.open()
}

func TestABombEndsWithTheContextWithinItsMember(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	e := &endless{cancel: cancel}
	o := opener{name: "bomb", match: func([]byte) bool { return true }, entries: func(File) iter.Seq2[member, error] {
		return func(yield func(member, error) bool) { yield(member{name: "zeros", body: e}, nil) }
	}}
	if err := opening(t, o, ctx, &notes{}); !errors.Is(err, context.Canceled) {
		t.Errorf("open = %v, want %v", err, context.Canceled)
	}
	if e.read > 1<<20+2*meterEvery {
		t.Errorf("%d bytes were unpacked after the context had ended", e.read-1<<20)
	}
}

// stumbling panics after its text.
type stumbling struct{ text io.Reader }

func (s stumbling) Read(p []byte) (int, error) {
	n, err := s.text.Read(p)
	if err != nil {
		panic("off the end")
	}
	return n, nil
}

func TestAnOpenersPanicIsDamage(t *testing.T) {
	yes := func([]byte) bool { return true }
	for _, tt := range []struct {
		name      string
		o         opener
		objects   string
		unchecked string
	}{
		{"in match", opener{name: "o", match: func(b []byte) bool { return b[1] == 0 }}, "", "f: o: damaged: opener panicked: runtime error: index out of range [1] with length 0"},
		{"at once", opener{name: "o", match: yes, entries: func(File) iter.Seq2[member, error] { panic("oh") }}, "", "f: o: damaged: opener panicked: oh"},
		{"between members", opener{name: "o", match: yes, entries: func(File) iter.Seq2[member, error] {
			return func(yield func(member, error) bool) { yield(member{name: "a", data: []byte("a")}, nil); panic("oh") }
		}}, "f/a", "f: o: damaged: opener panicked: oh"},
		{"in a member", opener{name: "o", match: yes, entries: func(File) iter.Seq2[member, error] {
			return func(yield func(member, error) bool) {
				_ = yield(member{name: "a", body: stumbling{strings.NewReader("text")}}, nil) && yield(member{name: "b", data: []byte("b")}, nil)
			}
		}}, "f/a f/b", "f/a: o: a: damaged: opener panicked: off the end"},
		{"a decoder's own error", opener{name: "o", match: yes, entries: func(File) iter.Seq2[member, error] {
			return func(yield func(member, error) bool) { yield(member{name: "a"}, errors.New("odd code")) }
		}}, "", "f/a: o: a: damaged: odd code"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := &notes{}
			if err := opening(t, tt.o, t.Context(), n); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(n.objects, " "); got != tt.objects {
				t.Errorf("objects %q, want %q", got, tt.objects)
			}
			if got := strings.Join(n.unchecked, ";"); got != tt.unchecked {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
		})
	}
}

func TestAVisitorsPanicIsNotTheOpeners(t *testing.T) {
	n := &notes{hook: func(path []string) bool {
		if len(path) == 2 {
			panic("rules")
		}
		return true
	}}
	defer func() {
		if p := recover(); p != "rules" || len(n.unchecked) > 0 {
			t.Errorf("panic %v, unchecked %q; want the visitor's own panic", p, n.unchecked)
		}
	}()
	n.walk(t, NewArena(nil, 0), Limits{}, "f", nested(2, text))
}

func TestBombsOfOrdinaryMakeAreBounded(t *testing.T) {
	zeros := gzipped(make([]byte, 64<<20))
	for _, tt := range []struct {
		name      string
		limits    Limits
		data      []byte
		objects   int
		unchecked []string
	}{
		{"100,000 empty members of gzip", Limits{}, bytes.Repeat(gzipped(nil), 100_000), 2, nil},
		{"100,000 members of 64 MiB of zeros", Limits{Unpacked: 200 << 20}, bytes.Repeat(zeros, 1000), 2, []string{"f: gzip: f: limit: unpacked"}},
		{"500 deep", Limits{}, nested(500, text), 33, []string{"f" + strings.Repeat("/x", 32) + ": zip: limit: depth"}},
		{"100,000 empty blocks of tar", Limits{}, append(load(t, "tar-v7.tar"), make([]byte, 100_000*512)...), 3, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := &notes{discard: true}
			n.walk(t, NewArena(nil, 0), tt.limits, "f", tt.data)
			if len(n.objects) != tt.objects || !slices.Equal(n.unchecked, tt.unchecked) {
				t.Errorf("%d objects, unchecked %.300q; want %d and %q", len(n.objects), n.unchecked, tt.objects, tt.unchecked)
			}
		})
	}
}
