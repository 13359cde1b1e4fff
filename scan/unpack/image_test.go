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
var imageFormats = []string{"iso", "udf", "fat", "ntfs", "ext", "hfsplus", "disk", "cdsectors"}

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
			step := max(512, len(image)/40)
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

// fuzzImage walks the images of samples with some bytes changed. Each change takes
// four bytes: which of the bytes that are not zero, or stand near one, and what it
// becomes.
func fuzzImage(f *testing.F, format string) {
	var images [][]byte
	var places [][]int
	for _, s := range samples(f) {
		if !strings.Contains(" "+s.formats+" ", " "+format+" ") {
			continue
		}
		image := load(f, s.file)
		if isImage(s) {
			image = loadImage(f, s.file)
		}
		f.Add(byte(len(images)), "")
		f.Add(byte(len(images)), "\x00\x00\x00\xff\x00\x10\x20\x00")
		images, places = append(images, image), append(places, imagePlaces(image))
	}
	f.Fuzz(func(t *testing.T, which byte, changes string) {
		i := int(which) % len(images)
		image := slices.Clone(images[i])
		for ; len(changes) >= 4; changes = changes[4:] {
			at := int(changes[0])<<16 | int(changes[1])<<8 | int(changes[2])
			image[places[i][at%len(places[i])]] = changes[3]
		}
		fuzzed(t, image)
	})
}

// imagePlaces are the places of an image that say something.
func imagePlaces(image []byte) (list []int) {
	const near = 4
	last := -1
	for at, c := range image {
		if c == 0 {
			continue
		}
		for p := max(last+1, at-near); p <= min(at+near, len(image)-1); p++ {
			list = append(list, p)
			last = p
		}
	}
	return list
}

func FuzzISO(f *testing.F)  { fuzzImage(f, "iso") }
func FuzzUDF(f *testing.F)  { fuzzImage(f, "udf") }
func FuzzFAT(f *testing.F)  { fuzzImage(f, "fat") }
func FuzzNTFS(f *testing.F) { fuzzImage(f, "ntfs") }
func FuzzExt(f *testing.F)  { fuzzImage(f, "ext") }
func FuzzHFS(f *testing.F)  { fuzzImage(f, "hfsplus") }
func FuzzDisk(f *testing.F) { fuzzImage(f, "disk") }

// FuzzCD walks images with whole sectors.
func FuzzCD(f *testing.F) { fuzzImage(f, "cdsectors") }
