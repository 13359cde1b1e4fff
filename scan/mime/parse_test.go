package mime

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// outline writes a tree as one line: types, section numbers, what the leaves hold.
func outline(m *Message) string {
	var b strings.Builder
	var write func(p *Part)
	write = func(p *Part) {
		fmt.Fprintf(&b, "%s[%s]", cmp.Or(p.ID, "-"), p.Type)
		switch {
		case p.Message != nil:
			b.WriteString("<")
			write(p.Message)
			b.WriteString(">")
		case len(p.Children) > 0:
			b.WriteString("(")
			for _, e := range p.Extras {
				fmt.Fprintf(&b, "%s=%q ", e.ID, e.Body.of(m.Raw))
			}
			for i, c := range p.Children {
				if i > 0 {
					b.WriteString(" ")
				}
				write(c)
			}
			b.WriteString(")")
		default:
			fmt.Fprintf(&b, "=%q", p.Body.of(m.Raw))
		}
	}
	write(m.Root)
	return b.String()
}

func TestParse(t *testing.T) {
	for _, tt := range []struct{ name, raw, want string }{
		{"nothing", "", `-[text/plain]=""`},
		{"a lone delimiter", "Content-Type: multipart/mixed; boundary=b\n\n--b", `-[multipart/mixed](1[text/plain]="")`},
		{"text", "Subject: x\n\nhello\n", `-[text/plain]="hello\n"`},
		{"no header", "hello\nthere\n", `-[text/plain]="hello\nthere\n"`},
		{"two parts", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\nContent-Type: text/html\n\ntwo\n--b--\n",
			`-[multipart/mixed](1[text/plain]="one" 2[text/html]="two")`},
		{"CRLF", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n\r\n--b--\r\n",
			`-[multipart/mixed](1[text/plain]="one" 2[text/plain]="two\r\n")`},
		{"CR", "Content-Type: multipart/mixed; boundary=b\r\r--b\r\rone\r--b\r\rtwo\r--b--\r",
			`-[multipart/mixed](1[text/plain]="one" 2[text/plain]="two")`},
		{"CR CR LF", "Content-Type: multipart/mixed; boundary=b\r\r\n\r\r\n--b\r\r\n\r\r\none\r\r\n--b--\r\r\n",
			`-[multipart/mixed](1[text/plain]="one")`},
		{"mixed line ends", "Content-Type: multipart/mixed; boundary=b\r\n\n--b\r\rone\n--b\n\r\ntwo\r--b--",
			`-[multipart/mixed](1[text/plain]="one" 2[text/plain]="two")`},
		{"nested", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\n1\n--b\n\n2\n--b--\n--a\n\n3\n--a--\n",
			`-[multipart/mixed](1[multipart/alternative](1.1[text/plain]="1" 1.2[text/plain]="2") 2[text/plain]="3")`},
		{"inner part not closed", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n1\n--a\n\n2\n--a--\n",
			`-[multipart/mixed](1[multipart/mixed](1.1[text/plain]="1") 2[text/plain]="2")`},
		{"no final boundary", "Content-Type: multipart/mixed; boundary=a\n\n--a\n\n1\n--a\n\n2\n",
			`-[multipart/mixed](1[text/plain]="1" 2[text/plain]="2\n")`},
		{"boundary that another begins with", "Content-Type: multipart/mixed; boundary=ab\n\n--ab\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\n1\n--a--\n--ab\n\n2\n--ab--\n",
			`-[multipart/mixed](1[multipart/mixed](1.1[text/plain]="1") 2[text/plain]="2")`},
		{"longer boundary inside", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=ab\n\n--ab\n\n1\n--ab--\n--a\n\n2\n--a--\n",
			`-[multipart/mixed](1[multipart/mixed](1.1[text/plain]="1") 2[text/plain]="2")`},
		{"preamble and epilogue", "Content-Type: multipart/mixed; boundary=a\n\npre\n--a\n\n1\n--a--\npost\n",
			`-[multipart/mixed](0="pre" ~="post\n" 1[text/plain]="1")`},
		{"stock preamble", "Content-Type: multipart/mixed; boundary=a\n\nThis is a multi-part message in MIME format.\n--a\n\n1\n--a--\n\n",
			`-[multipart/mixed](1[text/plain]="1")`},
		{"part after the close", "Content-Type: multipart/mixed; boundary=a\n\n--a\n\n1\n--a--\npost\n--a\n\n2\n--a--\nmore",
			`-[multipart/mixed](~="post" ~2="more" 1[text/plain]="1" 2[text/plain]="2")`},
		{"close first", "Content-Type: multipart/mixed; boundary=a\n\n--a--\n--a\n\n2\n--a--\n", `-[multipart/mixed](1[text/plain]="2")`},
		{"close that is also the beginning of another boundary", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=a-\n\n--a-\n\n1\n--a--\npost",
			`-[multipart/mixed](~="post" 1[multipart/mixed](1.1[text/plain]="1"))`},
		{"blanks after delimiters", "Content-Type: multipart/mixed; boundary=a\n\n--a \t\n\n1\n--a-- \n", `-[multipart/mixed](1[text/plain]="1")`},
		{"text after a delimiter", "Content-Type: multipart/mixed; boundary=a\n\n--axyz\n\n1\n--a--\n", `-[multipart/mixed](1[text/plain]="1")`},
		{"dashes that are no delimiter", "Content-Type: multipart/mixed; boundary=a\n\n--a\n\n-- \nme\n----a\n--b\nx--a\n--a--\n",
			`-[multipart/mixed](1[text/plain]="-- \nme\n----a\n--b\nx--a")`},
		{"empty parts", "Content-Type: multipart/mixed; boundary=a\n\n--a\n--a\n\n--a\nContent-Type: text/html\n\n--a--\n",
			`-[multipart/mixed](1[text/plain]="" 2[text/plain]="" 3[text/html]="")`},
		{"no empty line before the first part", "Content-Type: multipart/mixed; boundary=a\n--a\n\n1\n--a--\n", `-[multipart/mixed](1[text/plain]="1")`},
		{"attached message", "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: message/rfc822\n\nSubject: in\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n1\n--b--\n--a\nContent-Type: message/rfc822\n\nSubject: y\n\nz\n--a--\n",
			`-[multipart/mixed](1[message/rfc822]<1.TEXT[multipart/mixed](1.1[text/plain]="1")> 2[message/rfc822]<2.1[text/plain]="z">)`},
		{"message that is a message", "Content-Type: message/rfc822\n\nContent-Type: message/global\n\nSubject: x\n\nhi",
			`-[message/rfc822]<1.1[message/global]<1.1.1[text/plain]="hi">>`},
		{"encoded attached message", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nQUJD", `-[message/rfc822]="QUJD"`},
		{"digest", "Content-Type: multipart/digest; boundary=a\n\n--a\n\nSubject: x\n\nhi\n--a--\n",
			`-[multipart/digest](1[message/rfc822]<1.1[text/plain]="hi">)`},
		{"two Content-Types", "Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\n1\n--a--\n", `-[multipart/mixed](1[text/plain]="1")`},
		{"two boundaries", "Content-Type: multipart/mixed; boundary=a; boundary=b\n\n--b\n\n1\n--b--\n", `-[multipart/mixed](1[text/plain]="1")`},
		{"parts in a text", "Content-Type: text/plain; boundary=a\n\n--a\n\n1\n--a--\n", `-[text/plain](1[text/plain]="1")`},
		{"multipart whose boundary is another one", "Content-Type: multipart/mixed; boundary=a\n\n-- \n--x\n--b\nX: y\n\none\n--b--\n", `-[multipart/mixed](0="-- \n--x" 1[text/plain]="one")`},
		{"multipart without a boundary", "Content-Type: multipart/mixed\n\n--b\nX: y\n\none\n--b\n\ntwo", `-[multipart/mixed](1[text/plain]="one" 2[text/plain]="two")`},
		{"multipart without parts", "Content-Type: multipart/mixed; boundary=a\n\nhello\n", `-[multipart/mixed]="hello\n"`},
		{"RFC 2231 boundary", "Content-Type: multipart/mixed; boundary*0=a; boundary*1*=%62\n\n--ab\n\n1\n--ab--\n", `-[multipart/mixed](1[text/plain]="1")`},
		{"comment before the boundary", "Content-Type: multipart/mixed; boundary=(x)a\n\n--a\n\n1\n--a--\n", `-[multipart/mixed](1[text/plain]="1")`},
		{"quoted pair in the boundary", "Content-Type: multipart/mixed; boundary=\"a\\b\"\n\n--ab\n\n1\n--a\\b--\n", `-[multipart/mixed](1[text/plain]="1")`},
		{"boundary without its end quote", "Content-Type: multipart/mixed; boundary=\"a; x=y\n\n--a\n\n1\n--a--\n", `-[multipart/mixed](1[text/plain]="1")`},
		{"empty boundary", "Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\n1\n--x\n----\n", `-[multipart/mixed](1[text/plain]="1\n--x")`},
		{"folded, upper case, blank before the colon", "CONTENT-TYPE :\n MULTIPART/mixed;\n\tBOUNDARY=a\n\n--a\n\n1\n--a--\n", `-[multipart/mixed](1[text/plain]="1")`},
		{"line without colon in the header", "Subject: x\njunk\nContent-Type: text/html\n\nhi", `-[text/html]="hi"`},
		{"no empty line before the data", "Content-Type: text/html\nQUJD\nQUJD\n\nx", `-[text/html]="QUJD\nQUJD\n\nx"`},
		{"From line", "From x@example.jp\nContent-Type: text/html\n\nhi", `-[text/html]="hi"`},
		{"byte order mark", "\xef\xbb\xbfContent-Type: text/html\n\nhi", `-[text/html]="hi"`},
		{"NUL in a name", "Content\x00-Type: text/html\n\nhi", `-[text/html]="hi"`},
		{"first line starts with a blank", " Content-Type: text/html\n\nhi", `-[text/html]="hi"`},
		{"type that cannot be read", "Content-Type: foo\n\nhi", `-[text/plain]="hi"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := Parse([]byte(tt.raw), Limits{})
			if got := outline(m); got != tt.want {
				t.Errorf("Parse(%q)\n got %s\nwant %s", tt.raw, got, tt.want)
			}
			checkTree(t, m)
			checkCuts(t, m, 1)
		})
	}
}

// checkTree fails when a range is not where it has to be.
func checkTree(t *testing.T, m *Message) {
	t.Helper()
	var check func(p *Part, in Range)
	check = func(p *Part, in Range) {
		for _, r := range []Range{p.Whole, p.Header, p.Body} {
			if r.Start < in.Start || r.End > in.End || r.Start > r.End {
				t.Fatalf("part %q: %v is outside of %v: %q", p.ID, r, in, m.Raw)
			}
		}
		if p.Header.Start != p.Whole.Start || p.Header.End != p.Body.Start || p.Body.End != p.Whole.End {
			t.Fatalf("part %q: header %v and body %v are not the whole %v: %q", p.ID, p.Header, p.Body, p.Whole, m.Raw)
		}
		for _, b := range p.Blocks {
			if b.Start < p.Body.Start || b.End > p.Body.End || b.Start >= b.End {
				t.Fatalf("part %q: block %v is outside of %v", p.ID, b.Range, p.Body)
			}
		}
		at := p.Body.Start
		for _, c := range p.Children {
			if c.Parent != p || c.Whole.Start < at {
				t.Fatalf("part %q: it overlaps its sibling: %q", c.ID, m.Raw)
			}
			if c.Cut.Start < at || c.Cut.End > p.Body.End {
				t.Fatalf("part %q: its cut %v is outside of %v: %q", c.ID, c.Cut, Range{at, p.Body.End}, m.Raw)
			}
			check(c, Range{at, p.Body.End})
			at = c.Whole.End
		}
		if p.Message != nil {
			check(p.Message, p.Body)
		}
	}
	check(m.Root, Range{0, len(m.Raw)})
}

// shape is a tree without its offsets: what a cut must not change.
func shape(raw []byte, p *Part, gone map[*Part]bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q %q %q", p.Type, p.Encodings, p.Disposition, p.Names)
	fmt.Fprintf(&b, " %q", bytes.TrimRight(p.Header.of(raw), "\r\n"))
	if p.Message != nil {
		fmt.Fprintf(&b, " <%s>", shape(raw, p.Message, gone))
	} else if len(p.Children) == 0 {
		fmt.Fprintf(&b, " %q", p.Body.of(raw))
	}
	for _, c := range slices.Concat(p.Extras, p.Children) {
		if !gone[c] {
			fmt.Fprintf(&b, " (%s)", shape(raw, c, gone))
		}
	}
	return b.String()
}

// cut removes ranges and gives what is left.
func cut(raw []byte, ranges []Range) []byte {
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.Start, b.Start) })
	var out []byte
	at := 0
	for _, r := range ranges {
		out = append(out, raw[at:max(at, r.Start)]...)
		at = max(at, r.End)
	}
	return append(out, raw[at:]...)
}

// paste puts what cut removed, ranges of raw in ascending order, back.
func paste(raw, left []byte, ranges []Range) []byte {
	var out []byte
	for _, r := range ranges {
		n := max(r.Start-len(out), 0)
		out, left = append(out, left[:n]...), left[n:]
		out = append(out, raw[min(max(r.Start, len(out)), r.End):r.End]...)
	}
	return append(out, left...)
}

// cuttable lists the parts below p that have a Cut.
func cuttable(p *Part) []*Part {
	var parts []*Part
	for _, c := range slices.Concat(p.Children, p.Extras) {
		if c.Cut.Start < c.Cut.End {
			parts = append(parts, c)
		}
		parts = append(parts, cuttable(c)...)
	}
	if p.Message != nil {
		parts = append(parts, cuttable(p.Message)...)
	}
	return parts
}

// checkCut removes the parts and fails when anything else has changed.
func checkCut(t *testing.T, m *Message, parts []*Part) {
	t.Helper()
	gone := map[*Part]bool{}
	var ranges []Range
	left := map[*Part]int{}
	for _, p := range parts {
		if !p.Extra {
			if _, ok := left[p.Parent]; !ok {
				left[p.Parent] = len(p.Parent.Children)
			}
			if left[p.Parent] == 1 {
				continue // one child has to remain
			}
			left[p.Parent]--
		}
		gone[p] = true
		ranges = append(ranges, p.Cut)
	}
	out := cut(m.Raw, ranges)
	if back := paste(m.Raw, out, ranges); !bytes.Equal(back, m.Raw) {
		t.Fatalf("cut of %v out of %.2000q: with the cuts back it is %.2000q", ranges, m.Raw, back)
	}
	after := Parse(out, Limits{})
	if got, want := shape(out, after.Root, nil), shape(m.Raw, m.Root, gone); got != want {
		i := 0
		for i < min(len(got), len(want)) && got[i] == want[i] {
			i++
		}
		t.Fatalf("cut of %v out of\n%.2000q\nreads as\n…%.300s, not\n…%.300s", ranges, m.Raw, got[i:], want[i:])
	}
}

// checkCuts checks the cut of every single part, and of random choices of them.
func checkCuts(t *testing.T, m *Message, seed uint64) {
	t.Helper()
	parts := cuttable(m.Root)
	for _, p := range parts[:min(len(parts), 100)] {
		checkCut(t, m, []*Part{p})
	}
	random := rand.New(rand.NewPCG(seed, 1))
	for range min(len(parts), 5) {
		var some []*Part
		for _, p := range parts {
			if random.IntN(2) == 0 {
				some = append(some, p)
			}
		}
		checkCut(t, m, some)
	}
}

// corpus gives the messages that lie beside the repository, if any.
func corpus(t *testing.T) map[string][]byte {
	t.Helper()
	root := filepath.FromSlash("../../../shared/corpus/mail")
	mails := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "SOURCES" {
			return err
		}
		raw, err := os.ReadFile(path)
		mails[path] = raw
		return err
	})
	if err != nil || len(mails) == 0 {
		t.Skipf("no messages in %s", root)
	}
	return mails
}

func TestCorpus(t *testing.T) {
	for name, raw := range corpus(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			m := Parse(raw, Limits{})
			checkTree(t, m)
			checkCuts(t, m, 1)
			if len(m.Unchecked) > 0 {
				t.Errorf("unchecked: %q", m.Unchecked)
			}
			readAll(m)
		})
	}
}

// readAll takes every reading of every leaf and gives their number.
func readAll(m *Message) (n int) {
	var sink [8192]byte
	for p := range m.Leaves() {
		p.IsBody()
		for r := range m.Readings(p) {
			n++
			for r.Data != nil {
				if _, err := r.Data.Read(sink[:]); err != nil {
					break
				}
			}
		}
	}
	return n
}

func TestMutationsOfTheCorpus(t *testing.T) {
	mails := corpus(t)
	names := make([]string, 0, len(mails))
	for name := range mails {
		names = append(names, name)
	}
	slices.Sort(names)
	random := rand.New(rand.NewPCG(7, 7))
	for i := range 10_000 {
		raw := bytes.Clone(mails[names[i%len(names)]])
		raw = raw[:min(len(raw), 8000)]
		for range 1 + random.IntN(8) {
			if len(raw) < 10 {
				break
			}
			at, n := random.IntN(len(raw)), random.IntN(40)
			end := min(len(raw), at+n)
			switch random.IntN(5) {
			case 0:
				raw = slices.Delete(raw, at, end)
			case 1:
				raw = slices.Insert(raw, at, bytes.Clone(raw[at:end])...)
			case 2:
				raw[at] = "\r\n\x00-:;\"=( "[random.IntN(10)]
			case 3:
				raw[at] = byte(random.IntN(256))
			case 4:
				from := random.IntN(len(raw))
				raw = slices.Insert(raw, at, bytes.Clone(raw[from:min(len(raw), from+n)])...)
			}
		}
		m := Parse(raw, Limits{})
		checkTree(t, m)
		switch i % 4 {
		case 0:
			readAll(m)
		case 1, 2:
			checkCuts(t, m, uint64(i))
		}
	}
}

func TestOtherTrees(t *testing.T) {
	const two = "Content-Type: multipart/mixed; boundary=a; boundary=b\n\n"
	for _, tt := range []struct {
		name, raw string
		want      []string // of a leaf of each other tree, its text
	}{
		{"an ordinary message", "Content-Type: multipart/mixed; boundary=a\n\n--a\n\none\n--a--\n", nil},
		{"one of two boundaries in use", two + "--b\n\none\n--b--\n", nil},
		{"two boundaries in use", two + "--a\n\none\n--b\ntwo\n--a--\n", []string{"one\n--b\ntwo", "two\n--a--\n"}},
		{"text after a delimiter", "Content-Type: multipart/mixed; boundary=a\n\n--a\n\none\n--ax\n\ntwo\n--a--\n", []string{"one\n--ax\n\ntwo"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := Parse([]byte(tt.raw), Limits{})
			var texts []string
			for other := range m.Others() {
				for p := range other.Leaves() {
					texts = append(texts, string(p.Body.of(m.Raw)))
				}
			}
			for _, want := range tt.want {
				if !slices.Contains(texts, want) {
					t.Errorf("got %q, want %q", texts, want)
				}
			}
			if tt.want == nil && texts != nil {
				t.Errorf("got %q, want no other tree", texts)
			}
		})
	}
}
