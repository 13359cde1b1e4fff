package mime

import (
	"bytes"
	"encoding/base64"
	"io"
	"iter"
	"mime/quotedprintable"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"kiyome/testdata"
)

// seeds gives the messages that the fuzzers start from.
func seeds(f *testing.F) {
	for _, name := range testdata.Names() {
		f.Add(testdata.MustMail(name), uint64(1))
	}
	for _, s := range []string{
		"Content-Type: multipart/mixed; boundary=a\n\npre\n--a\nContent-Type: multipart/mixed; boundary=ab\n\n--ab\n\n1\n--ab--\nepi\n--a\n\n2\n--a--\npost\n--a\n\n3",
		"Content-Type: multipart/digest; boundary=a\r\n--a\r\r\n\rSubject: x\n\n1\r\r--a\n--a\n--b\n\n--a--",
		"Content-Type: message/rfc822\n\nContent-Type: text/plain; boundary=\"\"\n\n--\n\n1\n--\n2\n----\n",
		"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n1\n--b\n\n2\n--b--\n--b\n\n3\n--b--\n--b\n4",
	} {
		f.Add([]byte(s), uint64(2))
	}
}

func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte, small uint64) {
		before := bytes.Clone(raw)
		limits := Limits{}
		if small%2 == 0 {
			limits = Limits{Depth: int(small % 5), Parts: int(small % 7), Header: int(small % 200)}
		}
		m := Parse(raw, limits)
		checkTree(t, m)
		if n := readAll(m); n == 0 && len(raw) > 0 && m.Root.Children == nil && m.Root.Message == nil {
			t.Error("no reading")
		}
		m.Field(m.Root, "subject")
		ids := map[string]bool{}
		for p := range m.Leaves() {
			if ids[p.ID] {
				t.Errorf("two leaves have the number %q", p.ID)
			}
			ids[p.ID] = true
		}
		if !bytes.Equal(raw, before) {
			t.Error("the original was written to")
		}
	})
}

func FuzzCut(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte, seed uint64) {
		m := Parse(raw, Limits{})
		if len(cuttable(m.Root)) < 1000 {
			checkCuts(t, m, seed)
		}
	})
}

// FuzzBlind reads any message in its trees and blindly: in linear work, whatever it
// is.
func FuzzBlind(f *testing.F) {
	for _, name := range testdata.Names() {
		f.Add(testdata.MustMail(name))
	}
	f.Add([]byte("Content-Type: multipart/mixed; boundary=a; boundary=b\n\n--a\n\nQUJD\n--b\n\nbegin 644 x\n#0V%T\n`\nend\n--ax\n=41=\n=42"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := Parse(raw, Limits{})
		readAll(m)
		for other := range m.Others() {
			checkTree(t, other)
			readAll(other)
		}
		var total int64
		drain := func(all iter.Seq[Carved]) {
			for c := range all {
				if c.Region.Start < 0 || c.Region.End <= c.Region.Start || c.Region.End > len(raw) {
					t.Fatalf("%s in %v of %d", c.How, c.Region, len(raw))
				}
				n, err := io.Copy(io.Discard, c.Data)
				if err != nil {
					t.Fatal(err)
				}
				total += n
			}
		}
		drain(m.Blind())
		drain(Carve(raw, false))
		if most := int64(64*len(raw) + 4096); total > most {
			t.Errorf("%d bytes were carved out of %d", total, len(raw))
		}
	})
}

// habits gives a reader for each way to decode base64.
func habits() (all []*base64Reader) {
	for h := padEnds; h <= foreignEnds; h++ {
		all = append(all, &base64Reader{habit: h})
	}
	return append(all, &base64Reader{url: true}, &base64Reader{skip: 3})
}

func FuzzBase64(f *testing.F) {
	f.Add("aGVsbG8gd29ybGQ=\r\n", "\r\n")
	f.Add("aGVs\nbG8g!d29y\nbG Q=aGVs", "")
	f.Add(strings.Repeat("aGVsbG8gd29ybGQhaGVs=bG8gd29y\n!bGQhIQ\r\n", 1200), "\n")
	f.Fuzz(func(t *testing.T, text, sep string) {
		for _, r := range habits() {
			r.src = []byte(text)
			large := *r
			most := r.Len()
			got, err := io.ReadAll(iotest.HalfReader(r))
			if err != nil || len(got) > len(text) || len(got) > most {
				t.Fatalf("%d bytes of %d, at most %d, %v", len(got), len(text), most, err)
			}
			// What has much room is decoded in place.
			b := make([]byte, 2*base64Window)
			for rest := got; ; {
				n, err := large.Read(b)
				if !bytes.HasPrefix(rest, b[:n]) || err != nil && n+len(rest) > 0 {
					t.Fatalf("%d bytes in place are others, or %d are missing: %v", n, len(rest), err)
				}
				if rest = rest[n:]; err != nil {
					break
				}
			}
		}
		// What is strict base64 but for what is put between the lines comes out.
		if strings.ContainsFunc(sep, func(r rune) bool { return r == '=' || r == utf8.RuneError || r < 128 && unbase64[r] < 64 }) {
			return
		}
		coded := base64.StdEncoding.EncodeToString([]byte(text))
		var lines strings.Builder
		for len(coded) > 19 {
			lines.WriteString(coded[:19] + sep)
			coded = coded[19:]
		}
		got, _ := io.ReadAll(&base64Reader{src: []byte(lines.String() + coded)})
		if string(got) != text {
			t.Fatalf("%q: got %q, want %q", lines.String()+coded, got, text)
		}
	})
}

func FuzzQuotedPrintable(f *testing.F) {
	f.Add("a=3Db=\r\nc =\n=e9 = =zz  \r\n")
	f.Fuzz(func(t *testing.T, text string) {
		for bad := keptEscape; bad <= noBlanks; bad++ {
			r := &quotedReader{src: []byte(text), bad: bad, upper: len(text)%2 == 1}
			most := r.Len()
			got, err := io.ReadAll(r)
			if err != nil || len(got) > len(text) || len(got) > most {
				t.Fatalf("%d bytes of %d, at most %d, %v", len(got), len(text), most, err)
			}
		}
		var b bytes.Buffer
		w := quotedprintable.NewWriter(&b)
		w.Binary = true
		w.Write([]byte(text))
		w.Close()
		if got, _ := io.ReadAll(&quotedReader{src: b.Bytes()}); string(got) != text {
			t.Fatalf("%q: got %q, want %q", b.Bytes(), got, text)
		}
	})
}

func FuzzUuencode(f *testing.F) {
	f.Add("begin 644 x\n#0V%T\n`\nend\n")
	f.Add("begin-base64 644 x\nQUJD\n====\nbegin 644 y\n\n \nend")
	f.Fuzz(func(t *testing.T, text string) {
		raw := []byte(text)
		at := 0
		for _, b := range findBlocks(raw, Range{0, len(raw)}) {
			if b.Start < at || b.End <= b.Start || b.End > len(raw) {
				t.Fatalf("block %v after %d", b.Range, at)
			}
			at = b.End
			if _, err := io.ReadAll(b.open(raw)); err != nil {
				t.Fatal(err)
			}
		}
		for c := range Carve(raw, false) {
			if _, err := io.ReadAll(c.Data); err != nil {
				t.Fatal(err)
			}
		}
		coded := []byte("text\r\n" + strings.ReplaceAll(testdata.Uuencode("a b.txt", text), "\n", "\r\n"))
		blocks := findBlocks(coded, Range{0, len(coded)})
		if len(blocks) != 1 || blocks[0].Name != "a b.txt" {
			t.Fatalf("blocks %v in %q", blocks, coded)
		}
		if got, _ := io.ReadAll(blocks[0].open(coded)); string(got) != text {
			t.Fatalf("got %q, want %q", got, text)
		}
	})
}

func FuzzNames(f *testing.F) {
	f.Add(`attachment; filename*0*=iso-2022-jp''%1B$B%46%7C; filename*1="x"; filename="=?utf-8?q?a?= b`)
	f.Add("x;name=\x93\xfa\x96{.exe (c;d=e) ;; name='q'")
	f.Fuzz(func(t *testing.T, value string) {
		raw := []byte("Content-Disposition: " + value + "\nContent-Type: " + value + "\n\n")
		for _, name := range Parse(raw, Limits{}).Root.Names {
			if !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxName || strings.Contains(name, "\x00") || name == "" {
				t.Errorf("name %q", name)
			}
		}
	})
}

func FuzzField(f *testing.F) {
	f.Add("=?iso-2022-jp?B?GyRCRnw=?=\r\n =?iso-2022-jp?B?S1wbKEI=?=")
	f.Add("\xc6\xfc\xcb\xdc =?x?q?a_=41?= \x1b$BF|")
	f.Fuzz(func(t *testing.T, value string) {
		m := Parse([]byte("Subject: "+value+"\n\n"), Limits{})
		for _, v := range m.Field(m.Root, "subject") {
			if !utf8.ValidString(v) {
				t.Errorf("%q is not UTF-8", v)
			}
		}
	})
}
