package unpack

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// What holds for every opener, asked of every sample: of one that was cut off, or in
// which something was changed, the marker is found or it is told that not all was
// read; no opener panics; and what is handed out is bounded.

// hostileLimits are far more than any sample holds.
var hostileLimits = Limits{Objects: 2000, Unpacked: 64 << 20, Depth: 8}

// hostileSlow are samples of which a walk takes long, made to be slow to decrypt or
// slow to begin with: how often less they are walked.
var hostileSlow = map[string]int{
	"ole-agile.docx": 30, "ole-agile-velvet.docx": 4, "pdf-r6-user.pdf": 20, "pdf-r6.pdf": 4, "bzip2-tar.tbz2": 10, "7z-bzip2.7z": 4,
	"bzip2.bz2": 4, "bzip2-streams.bz2": 4, "zip-bzip2.zip": 4, "zip-python-bzip2.zip": 4, "openpgp-bzip2.gpg": 4, "lz4-legacy.lz4": 4,
	"ole-standard.docx": 20, "makeself-zstd.sh": 4, "zip-zstd.zip": 4, "zip-zstd-old.zip": 4, "zip-ppmd.zip": 2,
	"tar-gnu-sparse.tar": 4, "tar-pax-sparse.tar": 4, "ole-vba-ooxml.xlsm": 4, "pdf-lzw.pdf": 4,
}

// hostileCuts are the cuts of a sample that leave whole files, which nothing shows to
// have been more: how many there are at the most, and why.
var hostileCuts = map[string]struct {
	most int
	why  string
}{
	"gzip-members.gz":   {1, "a cut between two members"},
	"bzip2-streams.bz2": {1, "between two streams"},
	"lzip-streams.lz":   {1, "between two members"},
	"zstd-frames.zst":   {1, "between two frames"},
	"lz4-frames.lz4":    {1, "between two frames"},
	"xz-streams.xz":     {9, "between two streams, among 8 zeros"},
	"tnef.dat":          {1, "between two attributes"},
	"tnef-mapi.dat":     {1, "between two attributes"},
	"ar-gnu.a":          {3, "between members, and a byte of padding"},
	"ar-gnu-long.a":     {4, "between members, and a byte of padding"},
	"ar-bsd.a":          {3, "between members, and a byte of padding"},
	"ar-deb.deb":        {4, "between members, and a byte of padding"},

	"ace-lz77.ace":  {1, "between files"},
	"ace-solid.ace": {1, "between files"},
	"ace-cp932.ace": {1, "between files"},

	"makeself-gzip.run":  {10, "what is left behind the script is too short to be known"},
	"makeself-bzip2.run": {10, "too short to be known"},
	"makeself-xz.run":    {6, "too short to be known"},
	"makeself-zstd.sh":   {8, "too short to be known"},
	"makeself-lz4.sh":    {8, "too short to be known"},
	"makeself-tar.sh":    {tarBlock, "too short to be known"},
}

// hostileEndless are formats of which any beginning is whole: nothing in them says
// where they end.
var hostileEndless = map[string]string{
	"text": "what is left of a text is one", "mbox": "of a text", "html": "of a text", "vcard": "of a text", "base64": "of a text", "shar": "of a script: shells read lines up to its end",
}

// hostileStreams are samples in an endless format, by a name of their own.
var hostileStreams = map[string]string{
	"compress.Z": "LZW has neither a length nor a checksum", "compress-10.Z": "nor when its table is full", "makeself-compress.sh": "nor behind a script",
	"lnk-appended.lnk": "nothing says how much was appended",
}

// hostileChecked are formats with checksums over all that matters: no change goes
// unseen.
var hostileChecked = []string{"zip", "gzip", "bzip2", "xz", "lzip", "zstd", "lz4", "rar", "7z", "arj", "arc", "zoo"}

// hostileUnchecked are samples in them of which some changes do.
var hostileUnchecked = map[string]string{
	"gzip-members.gz": "what is behind a member and is none is left alone", "bzip2-streams.bz2": "behind a stream", "xz-streams.xz": "behind a stream",
	"lzip-streams.lz": "behind a member", "zstd-frames.zst": "behind a frame", "lz4-frames.lz4": "behind a frame",
	"zstd-19.zst": "made without a checksum", "lz4-legacy.lz4": "the old format has none",
}

func hostileFormat(s sample) string {
	first, _, _ := strings.Cut(s.formats, " ")
	return first
}

// hostileWalk walks a sample in which something is wrong, and reports whether that
// went unseen.
func hostileWalk(t *testing.T, s sample, data []byte, what string) (silent bool) {
	t.Helper()
	n := &notes{}
	n.walk(t, NewArena(nil, 0), hostileLimits, s.file, data)
	for _, told := range n.unchecked {
		if strings.Contains(told, "panicked") {
			t.Errorf("%s: %s", what, told)
		}
	}
	if len(n.objects) > hostileLimits.Objects || n.bytes > hostileLimits.Unpacked+int64(len(data)) {
		t.Errorf("%s: %d objects of %d bytes", what, len(n.objects), n.bytes)
	}
	found := func(i int) bool { return n.formats[i] != "" && strings.Contains(n.data[i], marker) }
	for i := range n.objects {
		if found(i) {
			return false
		}
	}
	return len(n.unchecked) == 0 && slices.Contains(Detect(File{Data: data}), hostileFormat(s))
}

// hostilePlaces gives up to most places of n, spread evenly: all where there are fewer.
func hostilePlaces(n, most int) (places []int) {
	step := max(1, (n+most-1)/most)
	for at := 0; at < n; at += step {
		places = append(places, at)
	}
	return places
}

// hostileShare is how many of so many walks a sample gets.
func hostileShare(s sample, most int) int {
	if testing.Short() {
		most /= 10
	}
	return max(5, most/max(1, hostileSlow[s.file]))
}

func TestSamplesCutOffAnywhereAreNeverSilent(t *testing.T) {
	for _, s := range samples(t) {
		t.Run(s.file, func(t *testing.T) {
			data := bytes.TrimRight(load(t, s.file), "\x00")
			most := 300
			if len(data) < 600 {
				most = 600
			}
			whole := hostileCuts[s.file].most
			endless := hostileEndless[hostileFormat(s)] + hostileStreams[s.file]
			for _, n := range hostilePlaces(len(data), hostileShare(s, most)) {
				if !hostileWalk(t, s, data[:n:n], fmt.Sprintf("cut to %d bytes", n)) || endless != "" {
					continue
				}
				if whole--; whole < 0 {
					t.Fatalf("cut to %d of %d bytes, and not a word", n, len(data))
				}
			}
		})
	}
}

// hostileChange is what a field is set to: nothing, one with either byte first, or
// all that it can hold.
type hostileChange struct {
	width int
	value string
}

// bytes gives the field.
func (c hostileChange) bytes() []byte {
	b := make([]byte, c.width)
	switch c.value {
	case "one":
		b[0] = 1
	case "one, the highest byte first":
		b[c.width-1] = 1
	case "the most":
		copy(b, "\xff\xff\xff\xff")
	}
	return b
}

func hostileChanges() (changes []hostileChange) {
	for _, width := range []int{1, 2, 4} {
		for _, value := range []string{"nothing", "one", "the most", "one, the highest byte first"} {
			changes = append(changes, hostileChange{width, value})
		}
	}
	return changes
}

// hostileFields gives places in a sample, and what is changed there, in an order that
// is the same each time: in small ones a field of each width at every place, in
// others some at the beginning, at the end and in between.
func hostileFields(s sample, size int) iter.Seq2[int, hostileChange] {
	changes := hostileChanges()
	return func(yield func(int, hostileChange) bool) {
		r := rand.New(rand.NewPCG(uint64(size), 1))
		if size < 400 {
			for i, at := range hostilePlaces(size, hostileShare(s, 400)) {
				for width := range 3 {
					if !yield(at, changes[4*width+(i+width)%4]) {
						return
					}
				}
			}
			return
		}
		for i := range hostileShare(s, 200) {
			at := r.IntN(size)
			switch i % 3 {
			case 0:
				at = r.IntN(min(size, 512))
			case 1:
				at = size - 1 - r.IntN(min(size, 512))
			}
			if !yield(at, changes[r.IntN(len(changes))]) {
				return
			}
		}
	}
}

func TestSamplesWithChangedFieldsAreNeverMuch(t *testing.T) {
	for _, s := range samples(t) {
		t.Run(s.file, func(t *testing.T) {
			data := load(t, s.file)
			checked := slices.Contains(hostileChecked, hostileFormat(s)) && hostileUnchecked[s.file] == ""
			for at, change := range hostileFields(s, len(data)) {
				changed := slices.Clone(data)
				copy(changed[at:], change.bytes())
				what := fmt.Sprintf("%d bytes at %d set to %s", change.width, at, change.value)
				if hostileWalk(t, s, changed, what) && checked {
					t.Errorf("%s, and not a word", what)
				}
			}
		})
	}
}

func TestExceptionsAreOfSamplesThatThereAre(t *testing.T) {
	there := map[string]bool{}
	for _, s := range samples(t) {
		there[s.file], there[hostileFormat(s)] = true, true
	}
	for _, names := range []iter.Seq[string]{
		maps.Keys(hostileSlow), maps.Keys(hostileCuts), maps.Keys(hostileEndless), maps.Keys(hostileStreams), maps.Keys(hostileUnchecked), slices.Values(hostileChecked),
	} {
		for name := range names {
			if !there[name] {
				t.Errorf("there is no %s", name)
			}
		}
	}
}
