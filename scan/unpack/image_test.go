package unpack

import (
	"bytes"
	"compress/gzip"
	"io"
	"slices"
	"strings"
	"testing"
)

// imageFormats are those of file systems: their images are mostly zeros.
var imageFormats = []string{"iso", "udf", "fat", "ntfs", "disk"}

// isImage reports whether a sample is an image that is compressed only to be small.
func isImage(s sample) bool {
	formats := strings.Fields(s.formats)
	return len(formats) > 1 && formats[0] == "gzip" && slices.Contains(imageFormats, formats[1])
}

// loadImage reads a sample's image.
func loadImage(t testing.TB, file string) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(load(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	image, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// An image that was cut off anywhere either still gives the marker, or says that it
// was not read, or does not look like an image any more.
func TestImagesCutOffAnywhereAreNeverSilent(t *testing.T) {
	for _, s := range samples(t) {
		if !isImage(s) {
			continue
		}
		t.Run(s.file, func(t *testing.T) {
			image := loadImage(t, s.file)
			step := max(512, len(image)/400)
			for n := 0; n < len(image); n += step {
				cut := image[:n:n]
				got := walked(t, Limits{}, "f", cut)
				if len(Detect(File{Data: cut})) > 0 && got.marked == "" && len(got.unchecked) == 0 {
					t.Fatalf("cut to %d of %d bytes: objects %q and not a word", n, len(image), got.objects)
				}
			}
		})
	}
}

// fuzzImage walks images, those of samples first.
func fuzzImage(f *testing.F, format string) {
	for _, s := range samples(f) {
		if isImage(s) && strings.HasPrefix(s.formats, "gzip "+format) {
			if image := loadImage(f, s.file); len(image) < 600<<10 {
				f.Add(image)
			}
		}
	}
	fuzz(f, format)
}

func FuzzISO(f *testing.F)  { fuzzImage(f, "iso") }
func FuzzUDF(f *testing.F)  { fuzzImage(f, "udf") }
func FuzzFAT(f *testing.F)  { fuzzImage(f, "fat") }
func FuzzNTFS(f *testing.F) { fuzzImage(f, "ntfs") }
func FuzzDisk(f *testing.F) { fuzzImage(f, "disk") }
