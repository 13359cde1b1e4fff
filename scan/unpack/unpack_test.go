package unpack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	marker     = "KIYOME-MARKER"
	containers = "../../testdata/containers"
)

// notes is a Visitor that writes down what it is told.
type notes struct {
	objects   []string // paths, outermost first, "/" between
	formats   []string // of the objects: "gzip tar"
	data      []string // the objects' bytes
	unchecked []string // "PATH: ERROR"
	errs      []error
	discard   bool // keep no bytes
	passwords []string
	bytes     int64
	marked    string                   // path of the first object that holds the marker and is no container of it
	hook      func(path []string) bool // instead of opening all
}

func (n *notes) Object(path, formats []string, f File) bool {
	n.objects = append(n.objects, strings.Join(path, "/"))
	n.formats = append(n.formats, strings.Join(formats, " "))
	n.bytes += int64(len(f.Data))
	if !n.discard {
		n.data = append(n.data, string(f.Data))
	}
	if len(formats) > 0 && len(Detect(f)) == 0 && n.marked == "" && bytes.Contains(f.Data, []byte(marker)) {
		n.marked = strings.Join(path[1:], "/")
	}
	return n.hook == nil || n.hook(path)
}

func (n *notes) Unchecked(path []string, err error) func() {
	return func() {
		n.unchecked = append(n.unchecked, strings.Join(path, "/")+": "+err.Error())
		n.errs = append(n.errs, err)
	}
}

// walked walks one file without a scratch file.
func walked(t testing.TB, l Limits, name string, data []byte) *notes {
	t.Helper()
	n := &notes{}
	n.walk(t, NewArena(nil, 0), l, name, data)
	return n
}

// walk walks one file and checks what holds for every walk.
func (n *notes) walk(t testing.TB, a *Arena, l Limits, name string, data []byte) {
	t.Helper()
	w := NewWalker(a, l)
	if n.passwords != nil {
		w.SetPasswords(func() []string { return n.passwords })
	}
	if err := w.Walk(context.Background(), nil, File{Name: name, Data: data}, n); err != nil {
		t.Fatalf("walk of %s: %v", name, err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("close the arena: %v", err)
	}
	for i, err := range n.errs {
		reasons := 0
		for _, reason := range []error{ErrEncrypted, ErrClosed, ErrDamaged, ErrUnsupported, ErrLimit} {
			if errors.Is(err, reason) {
				reasons++
			}
		}
		if reasons != 1 {
			t.Errorf("%s wraps %d reasons, want 1", n.unchecked[i], reasons)
		}
	}
}

// sample is a line of testdata/containers/samples.txt.
type sample struct{ file, formats, path, reason string }

func (s sample) twin() string {
	ext := filepath.Ext(s.file)
	return strings.TrimSuffix(s.file, ext) + "-clean" + ext
}

func (s sample) readable() bool { return s.reason == "-" }

func samples(t testing.TB) (list []sample) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(containers, "samples.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "|")
		if len(f) != 5 {
			t.Fatalf("samples.txt: %q has %d columns, want 5", line, len(f))
		}
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		long := strings.Repeat("d", 60) + "/" + strings.Repeat("e", 60) + "/note.txt"
		list = append(list, sample{f[0], f[1], strings.Replace(f[2], "LONG", long, 1), f[3]})
	}
	return list
}

func load(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(containers, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSamplesOfRealTools(t *testing.T) {
	for _, s := range samples(t) {
		t.Run(s.file, func(t *testing.T) {
			n := walked(t, Limits{}, s.file, load(t, s.file))
			if !s.readable() {
				other := func(told string) bool { return !strings.Contains(told, s.reason) }
				if len(n.objects) != 1 || len(n.unchecked) == 0 || slices.ContainsFunc(n.unchecked, other) {
					t.Fatalf("objects %q, unchecked %q, want only %q", n.objects, n.unchecked, s.reason)
				}
				return
			}
			if n.marked != s.path {
				t.Errorf("the marker is in %q, want %q", n.marked, s.path)
			}
			if len(n.unchecked) > 0 {
				t.Errorf("unchecked: %q", n.unchecked)
			}
			if last := len(n.formats) - 1; !slices.Contains(n.formats, s.formats) {
				t.Errorf("formats %q, want %q", n.formats[last], s.formats)
			}
			seen := make(map[string]bool)
			for i, o := range n.objects {
				if seen[o+n.data[i]] {
					t.Errorf("%s was handed out twice", o)
				}
				seen[o+n.data[i]] = true
			}
			clean := walked(t, Limits{}, s.twin(), load(t, s.twin()))
			if clean.marked != "" || len(clean.unchecked) > 0 || len(clean.objects) != len(n.objects) {
				t.Errorf("clean twin: objects %q, marked %q, unchecked %q", clean.objects, clean.marked, clean.unchecked)
			}
		})
	}
}

func TestEveryOpenerHasSamplesAndEverySampleIsListed(t *testing.T) {
	also := map[string][]string{ // these hold markup, or a cabinet, as it stands
		"mms-send.mms": {"mms", "html"}, "mms-retrieve.mms": {"mms", "html"}, "html-utf7.html": {"text", "html"}, "ole-msi.msi": {"ole", "cab"},
		"dmg-tool-bzip2.dmg": {"bzip2", "dmg"},
	}
	listed := []string{"samples.txt"}
	covered := map[string]bool{}
	for _, s := range samples(t) {
		listed = append(listed, s.file)
		if s.readable() {
			listed = append(listed, s.twin())
		}
		first, _, _ := strings.Cut(s.formats, " ")
		for _, format := range strings.Fields(s.formats) {
			covered[format] = true
		}
		if got := Detect(File{Name: "x", Data: load(t, s.file)}); !slices.Equal(got, []string{first}) && !slices.Equal(got, also[s.file]) {
			t.Errorf("Detect(%s) = %q, want %q", s.file, got, first)
		}
	}
	for _, name := range Formats() {
		if !covered[name] {
			t.Errorf("no sample of %s in testdata/containers", name)
		}
	}
	files, err := os.ReadDir(containers)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !slices.Contains(listed, f.Name()) {
			t.Errorf("%s is not in samples.txt", f.Name())
		}
	}
}

// isText reports whether a sample is a text with files in it: what is left of one
// that was cut off is a text as well.
func isText(s sample) bool {
	first, _, _ := strings.Cut(s.formats, " ")
	return first == "html" || first == "vcard"
}

func TestFormatsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{"": true}
	for _, name := range Formats() {
		if seen[name] {
			t.Errorf("the name %q stands for two formats, or none", name)
		}
		seen[name] = true
	}
}

func TestDetectGoesByContentAlone(t *testing.T) {
	zip, tar := load(t, "zip-stored.zip"), load(t, "tar-ustar.tar")
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"a.zip", []byte("just text"), "[]"},
		{"a.zip", nil, "[]"},
		{"a.txt", zip, "[zip]"},
		{"a.zip", tar, "[tar]"},
		{"both", append(slices.Clip(tar), zip...), "[zip tar]"},
		{"magic number in a program", []byte("if sig == 'PK\x03\x04' then goto zipfile, PK\x05\x06 else goto not a zip file at all"), "[]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := fmt.Sprint(Detect(File{Name: tt.name, Data: tt.data})); got != tt.want {
				t.Errorf("Detect = %s, want %s", got, tt.want)
			}
		})
	}
}
