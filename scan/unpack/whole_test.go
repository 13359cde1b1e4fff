package unpack

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// random is n bytes that no compressor makes smaller.
func random(n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return string(b)
}

func xzOf(t *testing.T, content string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(content))
	w.Close()
	return b.String()
}

func zstdOf(content string) string {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return string(w.EncodeAll([]byte(content), nil))
}

// mszipOf is a cabinet with one file, which is packed.
func mszipOf(name, content string) string {
	part := cabPart{method: 1, files: []cabEntry{{name, 0, len(content)}}}
	for block := range slices.Chunk([]byte(content), 32<<10) {
		part.blocks = append(part.blocks, cabBlock{[]byte("CK" + deflated(string(block))), len(block)})
	}
	return string(makeCab(part))
}

// scattered is a compound file with one stream, of whose sectors the fourth and the
// eighth have changed places.
func scattered(content string) string {
	b := cfbOf(cfbNode{name: "stream", data: content})
	const size = 512
	fat := b[size*(1+binary.LittleEndian.Uint32(b[76:])):]
	link := func(n, next uint32) { binary.LittleEndian.PutUint32(fat[4*n:], next) }
	first := uint32(bytes.Index(b, []byte(content[:200]))/size - 1)
	p, q := first+3, first+7
	link(p-1, q)
	link(q, p+1)
	link(q-1, p)
	link(p, q+1)
	for i := range size {
		x, y := &b[size*int(p+1)+i], &b[size*int(q+1)+i]
		*x, *y = *y, *x
	}
	return string(b)
}

// tarOf is an archive with one file, without what marks its end.
func tarOf(t *testing.T, content string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "a", Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(content))
	w.Flush()
	return b.String()
}

// What compressors keep as it is, in pieces, is no damaged archive.
func TestPiecesOfAnArchiveAreNotDamage(t *testing.T) {
	zipped := honest("r.bin", random(300_000))
	cabinet := mszipOf("r.bin", random(100_000))
	sevenZip, err := os.ReadFile("testdata/7z-raw-pieces.7z")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, data string }{
		{"zip in gzip", string(gzipped([]byte(zipped)))},
		{"zip in two members of gzip", string(gzipped([]byte(zipped[:200_000]))) + string(gzipped([]byte(zipped[200_000:]))) + "\x00\x00"},
		{"zip in xz", xzOf(t, zipped)},
		{"zip in zstd", zstdOf(zipped)},
		{"zip in 7z", string(sevenZip)},
		{"zip in brotli", brotliOf(zipped)},
		{"zip in a cabinet", mszipOf("a.zip", zipped)},
		{"zip in a compound file", scattered(zipped)},
		{"cabinet in gzip", string(gzipped([]byte(cabinet)))},
		{"cabinet in zip", honest("a.cab", cabinet)},
		{"cabinet in zip in tar", tarOf(t, honest("a.cab", cabinet))},
		{"gzip of a zip in zip", honest("a.gz", string(gzipped([]byte(zipped))))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", []byte(tt.data))
			if len(n.unchecked) > 0 {
				t.Errorf("unchecked %q", n.unchecked)
			}
			if !slices.ContainsFunc(n.objects, func(o string) bool { return strings.HasSuffix(o, ".bin") }) {
				t.Errorf("objects %q", n.objects)
			}
		})
	}
}

// Damage is told where it is not certain that nothing was missed.
func TestDamageInWhatIsNotReadWhole(t *testing.T) {
	zipped := honest("r.bin", random(300_000))
	broken := zipped[:100_000] + "12345" + zipped[100_000:]
	wrong := gzipped([]byte(zipped))
	wrong[len(wrong)-5] ^= 1
	gap := honest("a", text)
	at := strings.Index(gap, zipCentralMagic)
	pad := 512 - len(broken)%512 // a comment, up to where the archive's last block ends
	ending := broken[:len(broken)-2] + string([]byte{byte(pad), byte(pad >> 8)}) + strings.Repeat("c", pad)
	for _, tt := range []struct{ name, data, want string }{
		{"damaged zip behind gzip", string(gzipped([]byte(text))) + broken + "tail", "f/r.bin: zip: "},
		{"gzip with a wrong checksum", string(wrong), "f: gzip: "},
		{"pieces in a gzip with a wrong checksum", string(wrong), "r.bin: zip: "},
		{"damaged cabinet between the members and the directory of a zip", gap[:at] + mszipOf("r.bin", random(100_000))[:50_000] + gap[at:], "cab: "},
		{"at the end, where programs look for a zip", tarOf(t, ending), "f/r.bin: zip: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", []byte(tt.data))
			if !slices.ContainsFunc(n.unchecked, func(u string) bool { return strings.Contains(u, tt.want) }) {
				t.Errorf("unchecked %q, want one with %q", n.unchecked, tt.want)
			}
		})
	}
}
