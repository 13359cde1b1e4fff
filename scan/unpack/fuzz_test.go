package unpack

import (
	"context"
	"strings"
	"testing"
)

// fuzz walks whatever it is given as a file; format limits the seeds, not what is opened.
func fuzz(f *testing.F, format string) {
	for _, s := range samples(f) {
		if strings.HasPrefix(s.formats, format) {
			f.Add(load(f, s.file))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzed(t, data) })
}

// fuzzed walks a file that may be anything, and checks what holds for all.
func fuzzed(t *testing.T, data []byte) {
	n := &notes{discard: true, passwords: []string{"wrong", "kiyome"}}
	l := Limits{Objects: 2000, Unpacked: 16 << 20, Depth: 4}
	n.walk(t, NewArena(nil, 0), l, "f", data)
	if n.bytes > l.Unpacked+int64(len(data)) {
		t.Errorf("%d bytes were handed out", n.bytes)
	}
	if len(n.objects) > l.Objects {
		t.Errorf("%d objects were handed out", len(n.objects))
	}
	for _, told := range n.unchecked {
		if strings.Contains(told, "panicked") {
			t.Error(told)
		}
	}
}

func FuzzZip(f *testing.F) {
	for _, l := range zipLies() {
		f.Add([]byte(l.data))
	}
	for _, o := range oldMethods() {
		r, d := o.record(text)
		f.Add([]byte(archive(r, r, d)))
		r, d = cryptRecord("kiyome", r, d)
		f.Add([]byte(archive(r, r, d)))
	}
	fuzz(f, "zip")
}

func FuzzGzip(f *testing.F)     { fuzz(f, "gzip") }
func FuzzBzip2(f *testing.F)    { fuzz(f, "bzip2") }
func FuzzTar(f *testing.F)      { fuzz(f, "tar") }
func FuzzXZ(f *testing.F)       { fuzz(f, "xz") }
func FuzzLZMA(f *testing.F)     { fuzz(f, "lzma") }
func FuzzLzip(f *testing.F)     { fuzz(f, "lzip") }
func FuzzZstd(f *testing.F)     { fuzz(f, "zstd") }
func FuzzLZ4(f *testing.F)      { fuzz(f, "lz4") }
func FuzzBrotli(f *testing.F)   { fuzz(f, "brotli") }
func FuzzRAR(f *testing.F)      { fuzz(f, "rar") }
func FuzzSevenZip(f *testing.F) { fuzz(f, "7z") }
func FuzzWalk(f *testing.F)     { fuzz(f, "") }

// benchText is 8 MiB that compress about as documents do.
func benchText() string {
	var b strings.Builder
	for i := 0; b.Len() < 8<<20; i++ {
		b.WriteString("The quick brown fox ")
		b.WriteString(strings.Repeat(string(rune('a'+i%26)), i%7))
		b.WriteByte(byte(i * i >> 3))
	}
	return b.String()
}

func benchmark(b *testing.B, data []byte) {
	a := NewArena(nil, 0)
	n := &count{}
	b.ReportAllocs()
	for b.Loop() {
		*n = count{}
		if err := NewWalker(a, Limits{}).Walk(context.Background(), nil, File{Name: "f", Data: data}, n); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(n.bytes)
	b.ReportMetric(float64(n.objects), "objects")
}

// count is a Visitor that only counts.
type count struct {
	objects int
	bytes   int64
}

func (c *count) Object(_, formats []string, f File) bool {
	if len(formats) > 0 {
		c.objects++
		c.bytes += int64(len(f.Data))
	}
	return true
}

func (c *count) Unchecked([]string, error) func() { return func() {} }

func BenchmarkZip(b *testing.B)        { benchmark(b, []byte(honest("a", benchText()))) }
func BenchmarkGzip(b *testing.B)       { benchmark(b, gzipped([]byte(benchText()))) }
func BenchmarkZipMembers(b *testing.B) { benchmark(b, many(1000, 2000)) }

func FuzzHTML(f *testing.F)  { fuzz(f, "html") }
func FuzzVCard(f *testing.F) { fuzz(f, "vcard") }
