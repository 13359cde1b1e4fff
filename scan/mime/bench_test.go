package mime

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"testing"

	"kiyome/testdata"
)

// attachment gives n bytes that do not repeat, and their base64 in lines of 76.
func attachment(n int) (data []byte, coded string) {
	data = make([]byte, n)
	random := rand.New(rand.NewPCG(1, 1))
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	text := base64.StdEncoding.EncodeToString(data)
	var b strings.Builder
	for len(text) > 76 {
		b.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	return data, b.String() + text + "\r\n"
}

func BenchmarkParse(b *testing.B) {
	_, coded := attachment(100 << 10)
	mail := strings.ReplaceAll(mixed("mixed", "----=_Part_1", mixed("alternative", "----=_Part_2",
		"Content-Type: text/plain; charset=iso-2022-jp\n\n"+strings.Repeat("hello world\n", 200),
		"Content-Type: text/html; charset=utf-8\n\n"+strings.Repeat("<p>hello world</p>\n", 200))), "\n", "\r\n")
	large := []byte(mail + "------=_Part_1\r\nContent-Type: application/pdf; name=\"x.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + coded + "------=_Part_1--\r\n")
	for name, raw := range map[string][]byte{
		"text 6 KB":        []byte(mail),
		"attachment":       large,
		"100,000 parts":    []byte("Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", 100_000)),
		"20,000 levels":    bytes.Repeat([]byte("Content-Type: multipart/mixed; boundary=b\n\n--b\n"), 20_000),
		"3000 fields":      []byte(strings.Repeat("X-Field: some value\r\n", 3000) + "\r\n"),
		"header of 5 MB":   []byte("X: " + strings.Repeat("y ", 5<<19) + "\n\n"),
		"delimiters alike": []byte(mixed("mixed", "bbbb", "\n"+strings.Repeat("--bbb\n", 200_000))),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				Parse(raw, Limits{})
			}
		})
	}
}

func BenchmarkHostile(b *testing.B) {
	for name, make := range hostile {
		for _, size := range []int{1 << 18, 1 << 20} {
			raw := make(size)
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.SetBytes(int64(len(raw)))
				for b.Loop() {
					readAll(Parse(raw, Limits{}))
				}
			})
		}
	}
}

func BenchmarkDecoders(b *testing.B) {
	data, clean := attachment(1 << 20)
	var binary, text bytes.Buffer
	w := quotedprintable.NewWriter(&binary)
	w.Write(data[:256<<10])
	w.Close()
	w = quotedprintable.NewWriter(&text)
	io.WriteString(w, strings.Repeat("<p style=\"color: red\">Hello, world, it is a fine day — 日本</p>\r\n", 5000))
	w.Close()
	uu := []byte(testdata.Uuencode("x", string(data)))
	for _, bb := range []struct {
		name string
		src  []byte
		open func(src []byte) io.Reader
	}{
		{"base64", []byte(clean), func(src []byte) io.Reader { return &base64Reader{src: src} }},
		{"base64 in one line", []byte(strings.ReplaceAll(clean, "\r\n", "")), func(src []byte) io.Reader { return &base64Reader{src: src} }},
		{"base64, tolerant", []byte(clean), func(src []byte) io.Reader { return &base64Reader{src: src, habit: padSkipped} }},
		{"quoted-printable text", text.Bytes(), func(src []byte) io.Reader { return &quotedReader{src: src} }},
		{"quoted-printable binary", binary.Bytes(), func(src []byte) io.Reader { return &quotedReader{src: src} }},
		{"uuencode", uu, func(src []byte) io.Reader {
			_, at := line(src, 0)
			return newUUReader(linesOf(src, &at), false)
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(int64(len(bb.src)))
			b.ReportAllocs()
			sink := make([]byte, 32<<10)
			for b.Loop() {
				r := bb.open(bb.src)
				for {
					if _, err := r.Read(sink); err != nil {
						break
					}
				}
			}
		})
	}
}
