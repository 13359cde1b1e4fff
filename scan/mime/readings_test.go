package mime

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/emersion/go-message"

	"kiyome/testdata"
)

// decoded lists the readings of all leaves as "how:bytes", with the name where
// there is one, and "@start-end" where it is a block.
func decoded(t *testing.T, m *Message) []string {
	t.Helper()
	var list []string
	for p := range m.Leaves() {
		for r := range m.Readings(p) {
			data := r.Raw
			if r.Data != nil {
				var err error
				if data, err = io.ReadAll(r.Data); err != nil {
					t.Fatalf("%s: %v", r.How, err)
				}
			}
			s := fmt.Sprintf("%s:%s:%s", r.How, r.Name, data)
			if r.Name == "" {
				s = fmt.Sprintf("%s:%s", r.How, data)
			}
			if r.Block != nil {
				s += fmt.Sprintf("@%d-%d", r.Block.Start, r.Block.End)
			}
			list = append(list, s)
		}
	}
	return list
}

func TestReadings(t *testing.T) {
	cat := testdata.Uuencode("cat.txt", "Cat")
	for _, tt := range []struct {
		name, header, body string
		want               []string
	}{
		{"no encoding", "", "hello", []string{"identity:hello"}},
		{"8bit", "8bit", "hello", []string{"identity:hello"}},
		{"unknown", "x-foo", "hello", []string{"identity:hello"}},
		{"base64", "base64", "SGVs\r\nbG8=\r\n", []string{"base64:Hello"}},
		{"base64 in capitals with a comment", "BASE64 (x)", "SGVsbG8=", []string{"base64:Hello", "identity:SGVsbG8="}},
		{"base64 in quotes", `"base64"`, "SGVsbG8=", []string{"base64:Hello"}},
		{"base64 as an encoded word", `=?us-ascii?q?base64?=`, "SGVsbG8=", []string{"base64:Hello"}},
		{"x-base64", `x-base64`, "SGVsbG8=", []string{"base64:Hello", "identity:SGVsbG8="}},
		{"several", `7bit, base64`, "SGVsbG8=", []string{"identity:SGVsbG8=", "base64:Hello"}},
		{"base64 of odd line lengths", "base64", "SGV\nsb\nG8=\n", []string{"base64:Hello", "base64, line by line:He\xb1\x1b", "base64, whole groups of each line:\x1b"}},
		{"base64 without padding", "base64", "SGVsbG8", []string{"base64:Hello"}},
		{"base64 with blanks", "base64", " SGVs bG8= \t\n", []string{"base64:Hello"}},
		{"base64 with foreign characters", "base64", "SG!Vs\nbG8=", []string{"base64:Hello", "base64, line by line:Hello", "base64, up to foreign characters:Hf\xc6", "identity:SG!Vs\nbG8="}},
		{"base64 with surplus characters in each line", "base64", "!\nSGVsA\nbG8=", []string{"base64:Hel\x01\xb1\xbc", "base64, line by line:Hello", "base64, whole groups of each line:Hello", "base64, up to foreign characters:Hel\x01\xb1\xbc", "identity:!\nSGVsA\nbG8="}},
		{"base64 in padded chunks", "base64", "SGU=\nbGxv", []string{"base64:Hello", "base64, padding passed over:He\x1b\x1b\x1b", "base64, padding counted:Hello", "base64, padding as zero:He\x00llo", "base64, line by line:Hello"}},
		{"base64 with padding to ignore", "base64", "SG=VsbG8=", []string{"base64:HV\xc6\xc6", "base64, padding passed over:Hello", "base64, padding counted:He\xb1\xb1\xbc", "base64, padding as zero:H`\x15\xb1\xb1\xbc", "base64, line by line:HV\xc6\xc6"}},
		{"base64 of the URL alphabet", "base64", "_-8=", []string{"base64:", "base64, line by line:", "base64, up to foreign characters:", "base64url:\xff\xef", "identity:_-8="}},
		{"base64 with a remark behind each group", "base64", "SGVs#aGVs\nbG8#QQ", []string{"base64:Helhello\x10", "base64, line by line:Helhello\x10", "base64, up to foreign characters:Hello", "identity:SGVs#aGVs\nbG8#QQ"}},
		{"base64 with padding in place of zeros", "base64", "SGVs=G8=", []string{"base64:Hel\x1b", "base64, padding passed over:Hel\x1b", "base64, padding counted:Hel\x1b", "base64, padding as zero:Hel\x00o\x00", "base64, line by line:Hel\x1b"}},
		{"quoted-printable", "quoted-printable", "a=3Db=\r\nc \t\r\nd=\n", []string{"quoted-printable:a=bc\r\nd"}},
		{"quoted-printable in lower case, blanks after the soft break", "Quoted-Printable", "=e3=81= \r\n=82", []string{"quoted-printable:あ"}},
		{"quoted-printable with bad escapes", "quoted-printable", "a=zzb=", []string{"quoted-printable:a=zzb", "quoted-printable, bad escapes dropped:azzb",
			"quoted-printable, a character after them dropped:azb", "quoted-printable, two characters after them dropped:ab",
			"quoted-printable, blanks within escapes dropped:azzb"}},
		{"quoted-printable with CR", "quoted-printable", "a=\rb", []string{"quoted-printable:ab"}},
		{"uuencode", "x-uuencode", "\n" + cat + "\n", []string{"uuencode:cat.txt:Cat"}},
		{"uuencode without begin", "uue", "#0V%T\n`\nend\n", []string{"uuencode:Cat", "identity:#0V%T\n`\nend\n"}},
		{"uuencode in a text", "", "hi\n" + cat + "\nbye\n", []string{"identity:hi\n" + cat + "\nbye\n", "uuencode:cat.txt:Cat@4-34"}},
		{"uuencode without an end", "", "begin 644 a\n#0V%T\nbye\n", []string{"identity:begin 644 a\n#0V%T\nbye\n", "uuencode:a:Cat@1-19"}},
		{"uuencode without an end, a short line last", "", "begin 644 a\n#0V%\n", []string{"identity:begin 644 a\n#0V%\n", "uuencode:a:Ca@"}},
		{"uuencode with an end, a short line and a checksum", "", "begin 644 a\n#0V%TX\n\"0V\n`\nend\n",
			[]string{"identity:begin 644 a\n#0V%TX\n\"0V\n`\nend\n", "uuencode:a:CatC`@1-30"}},
		{"begin-base64 without an end", "", "begin-base64 644 a\nQ2F0\nBye\n", []string{"identity:begin-base64 644 a\nQ2F0\nBye\n", "uuencode:a:Cat\x07\x27"}},
		{"two uuencoded files, a decoy before", "", "begin 1 x\nbegin 644 d\nbegin 644 a\n#0V%T\nend\nbegin 644 b\n#0V%T\nend\n",
			[]string{"identity:begin 1 x\nbegin 644 d\nbegin 644 a\n#0V%T\nend\nbegin 644 b\n#0V%T\nend\n", "uuencode:a:Cat@23-45", "uuencode:b:Cat@45-67"}},
		{"begin-base64", "", "begin-base64 644 a\nQ2F0\n====\n", []string{"identity:begin-base64 644 a\nQ2F0\n====\n", "uuencode:a:Cat@1-30"}},
		{"text that begins", "", "begin 2024 with me\nand see\n", []string{"identity:begin 2024 with me\nand see\n"}},
		{"base64 that is not declared", "7bit", strings.Repeat(strings.Repeat("QUJD", 15)+"\n", 3),
			[]string{"identity:" + strings.Repeat(strings.Repeat("QUJD", 15)+"\n", 3), "base64:" + strings.Repeat("ABC", 45)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := "\n" + tt.body
			if tt.header != "" {
				raw = "Content-Transfer-Encoding: " + tt.header + "\n" + raw
			}
			m := Parse([]byte(raw), Limits{})
			if got := decoded(t, m); !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestATextIsNotTakenForUuencodedData(t *testing.T) {
	data := strings.SplitAfter(testdata.Uuencode("a", strings.Repeat("Cat", 17)), "\n")
	full, last := data[1], data[2]
	for _, tt := range []struct {
		name, lines string
		block       bool // may be cut
	}{
		{"no end, no text", full + last, true},
		{"no end, then a text in small letters", full + last + "hi there\n", true},
		{"no end, then a text in capitals", full + last + "SEE YOU AT 5\nREGARDS, BOB\n", false},
		{"no last line, then a text in capitals", full + "SEE YOU AT 5\nREGARDS, BOB\n", false},
		{"no last line, then a short text in capitals", full + "BYE\n", false},
		{"a text in capitals before an end", full + last + "SEE YOU AT 5\nend\n", false},
		{"blanks cut off before an end", full + "#0V\n`\nend\n", true},
		{"a checksum on each line", strings.ReplaceAll(full, "\n", "X\n") + "end\n", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := Parse([]byte("\nhi\nbegin 644 a\n"+tt.lines), Limits{})
			if got := len(m.Root.Blocks) == 1; got != tt.block {
				t.Errorf("block %v, want %v", got, tt.block)
			}
			found := false
			for r := range m.Readings(m.Root) {
				if data, _ := io.ReadAll(cmp.Or(r.Data, io.Reader(bytes.NewReader(r.Raw)))); r.How == "uuencode" {
					found = bytes.HasPrefix(data, []byte("CatCatCat")) && (r.Block != nil) == tt.block
				}
			}
			if !found {
				t.Error("the file is not read")
			}
		})
	}
}

func TestReadingsWhereTheBodyStartsInTwoPlaces(t *testing.T) {
	for _, tt := range []struct{ name, raw, want string }{
		{"data without an empty line before it", "Content-Transfer-Encoding: base64\nSGVsbG8=\n\nQUJD\n", "base64:HelloABC"},
		{"the same, read from behind the empty line", "Content-Transfer-Encoding: base64\njunk!\n\nSGVsbG8=\n", "base64:Hello"},
		{"data before a line like a field", "Content-Transfer-Encoding: base64\nSGVsbG8=\nX-Y: z\n\nQUJD\n", "identity:SGVsbG8=\nX-Y: z\n\nQUJD\n"},
		{"nothing but a header", "Note: hello", "identity:Note: hello"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := decoded(t, Parse([]byte(tt.raw), Limits{})); !slices.Contains(got, tt.want) {
				t.Errorf("%q is not among %q", tt.want, got)
			}
		})
	}
}

func TestReadingsOfNothing(t *testing.T) {
	for _, raw := range [][]byte{nil, {}} {
		m := Parse(raw, Limits{})
		for r := range m.Readings(m.Root) {
			if r.Raw == nil || r.Data != nil {
				t.Errorf("reading %+v, want no bytes", r)
			}
		}
	}
}

// What stands between the "=" and the rest of an escape is passed over in
// different ways; each of these texts says "A=B" in one of them.
func TestQuotedPrintableWithJunkInItsEscapes(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		reader     quotedReader
	}{
		{"a lone equals sign", "A==3DB", quotedReader{bad: noEqual}},
		{"a character before an escape", "=.A=.=3DB", quotedReader{bad: noEqualNor1}},
		{"a character within an escape", "A==.3DB", quotedReader{bad: noEqualNor1}},
		{"a digit before a soft break", "A=3D==0\r\nB", quotedReader{bad: noEqualNor1}},
		{"two characters before an escape", "=zzA=zz=3DB", quotedReader{bad: noEqualNor2}},
		{"two blanks before an escape", "=  A=  =3DB", quotedReader{bad: noEqualNor2}},
		{"blanks within escapes", "A= 3DB", quotedReader{bad: noBlanks}},
		{"blanks between digits", "A=3\tDB", quotedReader{bad: noBlanks}},
		{"a soft break within an escape", "A=3=\r\nDB", quotedReader{bad: noBlanks}},
		{"a soft break behind the equals sign", "A== \r\n3DB", quotedReader{bad: noBlanks}},
		{"other blanks behind a soft break", "A=\v\r\n=3D=\x00\r\nB", quotedReader{}},
		{"a small digit", "=aA==a3DB", quotedReader{bad: noEqualNor1, upper: true}},
		{"two small digits", "=0aA=0a=3DB", quotedReader{bad: noEqualNor2, upper: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.reader.src = []byte(tt.body)
			if got, _ := io.ReadAll(&tt.reader); string(got) != "A=B" {
				t.Errorf("got %q", got)
			}
			found := false
			readQuoted([]byte(tt.body+"=0A=0f"), func(r Reading) bool {
				got, _ := io.ReadAll(r.Data)
				found = found || strings.HasPrefix(string(got), "A=B")
				return true
			})
			if !found {
				t.Error("it is not among the readings")
			}
		})
	}
}

func TestReadingsOfWhatWasNotReadToItsEnd(t *testing.T) {
	m := Parse([]byte("Content-Transfer-Encoding: base64\n\nSGU=\nbGxv"), Limits{})
	n := 0
	for range m.Readings(m.Root) {
		n++
	}
	if n != 5 {
		t.Errorf("%d readings, want 5: they must not depend on what the caller reads", n)
	}
	for range m.Readings(m.Root) {
		break
	}
}

func TestDecodersGiveTheSameInSmallPieces(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789 \x00\xff=\r\n"), 5000)
	coded := base64.StdEncoding.EncodeToString(data)
	var lines strings.Builder
	for len(coded) > 76 {
		lines.WriteString(coded[:76] + "\r\n")
		coded = coded[76:]
	}
	lines.WriteString(coded + "\r\n")
	var quoted bytes.Buffer
	w := quotedprintable.NewWriter(&quoted)
	w.Binary = true
	w.Write(data)
	w.Close()
	at := 0
	uu := []byte(testdata.Uuencode("x", string(data)))
	_, at = line(uu, 0)
	for _, tt := range []struct {
		name string
		r    io.Reader
	}{
		{"base64", &base64Reader{src: []byte(lines.String())}},
		{"base64 in one line", &base64Reader{src: []byte(strings.ReplaceAll(lines.String(), "\r\n", ""))}},
		{"base64 with CR", &base64Reader{src: []byte(strings.ReplaceAll(lines.String(), "\n", ""))}},
		{"base64 with a foreign character", &base64Reader{src: []byte("*" + lines.String())}},
		{"quoted-printable", &quotedReader{src: quoted.Bytes()}},
		{"quoted-printable in one line", &quotedReader{src: bytes.ReplaceAll(quoted.Bytes(), []byte("=\r\n"), nil)}},
		{"uuencode", newUUReader(linesOf(uu, &at), false)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := io.ReadAll(iotest.OneByteReader(tt.r))
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes, want %d; %v", len(got), len(data), err)
			}
		})
	}
}

// TestGoMessage compares with another MIME library: whatever it decodes is among
// our readings.
func TestGoMessage(t *testing.T) {
	for name, raw := range corpus(t) {
		t.Run(filepath.Base(name), func(t *testing.T) { compareWithGoMessage(t, raw) })
	}
}

// FuzzGoMessage does the same with any message.
func FuzzGoMessage(f *testing.F) {
	for _, name := range testdata.Names() {
		f.Add(testdata.MustMail(name))
	}
	f.Fuzz(compareWithGoMessage)
}

// ourTexts gives everything that is read out of a message: in its tree, in other
// trees, and blindly.
func ourTexts(raw []byte) map[string]bool {
	ours := map[string]bool{}
	m := Parse(raw, Limits{})
	trees := []*Message{m}
	for other := range m.Others() {
		trees = append(trees, other)
	}
	for _, tree := range trees {
		for p := range tree.Leaves() {
			for a := p.Attached(); a != nil; a = a.Attached() {
				ours[plainText(a.Body.of(raw))] = true
			}
			for r := range tree.Readings(p) {
				data := r.Raw
				if r.Data != nil {
					data, _ = io.ReadAll(r.Data)
				}
				ours[plainText(data)] = true
			}
		}
	}
	for c := range m.Blind() {
		data, _ := io.ReadAll(c.Data)
		ours[plainText(data)] = true
	}
	return ours
}

// compareWithGoMessage fails the test when go-message decodes a part that is not
// among our readings.
func compareWithGoMessage(t *testing.T, raw []byte) {
	if len(raw) > 64<<10 {
		t.Skip("too long to be of use")
	}
	ours := ourTexts(raw)
	e, err := message.Read(bytes.NewReader(raw))
	if e == nil {
		t.Skipf("go-message cannot read it: %v", err)
	}
	err = e.Walk(func(path []int, e *message.Entity, err error) error {
		if err != nil && !message.IsUnknownCharset(err) {
			return err
		}
		if kind, _, _ := e.Header.ContentType(); strings.HasPrefix(kind, "multipart/") {
			return nil
		}
		data, err := io.ReadAll(e.Body)
		if err != nil {
			return errSkip
		}
		// It overlooks delimiters when line ends are mixed, and those behind a CR.
		overlooked := bytes.HasPrefix(data, []byte("--")) || bytes.Contains(data, []byte("\n--")) || bytes.Contains(data, []byte("\r--"))
		text := plainText(data)
		within := func() bool { // a body that is not encoded may begin before
			for our := range ours {
				if strings.Contains(our, text) {
					return true
				}
			}
			return false
		}
		if !ours[text] && !overlooked && !within() {
			t.Errorf("part %v, %d bytes, is not among our readings: %.200q", path, len(data), data)
		}
		return nil
	})
	if err != nil {
		t.Logf("go-message: %v", err)
	}
}

var errSkip = errors.New("go-message cannot decode a body")

// plainText is a text without what go-message and we are free to differ in:
// line ends and blanks around.
func plainText(b []byte) string {
	return string(bytes.TrimSpace(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))))
}
