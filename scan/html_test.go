package scan

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kiyome/scan/mime"
	"kiyome/scan/unpack"
)

// realMail is a folder of real messages that are not ours to publish.
var realMail = filepath.Join("..", "..", "shared", "corpus", "mail")

// leavesOf calls f with each leaf of the real messages, decoded, in every reading.
func leavesOf(t testing.TB, f func(message string, leaf []byte)) {
	t.Helper()
	if _, err := os.Stat(realMail); err != nil {
		t.Skipf("no real mail to try: %v", err)
	}
	err := filepath.WalkDir(realMail, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		m := mime.Parse(raw, mime.Limits{})
		for leaf := range m.Leaves() {
			for r := range m.Readings(leaf) {
				data := r.Raw
				if r.Data != nil {
					if data, err = io.ReadAll(r.Data); err != nil {
						return err
					}
				}
				f(name, data)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// texts counts what comes out of texts, and says what it is.
type texts struct {
	formats map[string]bool
	members []string
}

func (v *texts) Object(path, formats []string, f unpack.File) bool {
	if len(formats) > 0 && v.formats[formats[len(formats)-1]] {
		v.members = append(v.members, strings.Join(path, "/")+": "+string(f.Data[:min(len(f.Data), 200)]))
	}
	return true
}

func (v *texts) Unchecked(path []string, err error) func() {
	return func() {
		if format, _, _ := strings.Cut(err.Error(), ":"); v.formats[format] {
			v.members = append(v.members, strings.Join(path, "/")+": "+err.Error())
		}
	}
}

// Files are hidden in few texts, and every text that is taken for such a one costs
// time: in ordinary mail there is none. Only pages in UTF-16 are handed out in
// UTF-8: the rules know no other.
func TestTextsOfRealMailHideNothing(t *testing.T) {
	leaves, pages, wide, size := 0, 0, 0, 0
	leavesOf(t, func(message string, leaf []byte) {
		leaves++
		if bytes.Contains(bytes.ToLower(leaf), []byte("</")) {
			pages++
			size += len(leaf)
		}
		v := &texts{formats: map[string]bool{"html": true, "vcard": true}}
		w := unpack.NewWalker(unpack.NewArena(nil, 0), unpack.Limits{})
		if err := w.Walk(context.Background(), nil, unpack.File{Name: filepath.Base(message), Data: leaf}, v); err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(leaf, 0) >= 0 && len(v.members) == 1 {
			wide++
			return
		}
		for _, m := range v.members {
			t.Errorf("%s: %q", message, m)
		}
	})
	t.Logf("%d readings of leaves, %d of them markup, %d bytes, %d in UTF-16", leaves, pages, size, wide)
}

func BenchmarkPagesOfRealMail(b *testing.B) {
	var pages [][]byte
	size := 0
	leavesOf(b, func(_ string, leaf []byte) {
		if bytes.Contains(bytes.ToLower(leaf), []byte("</")) {
			pages = append(pages, leaf)
			size += len(leaf)
		}
	})
	b.SetBytes(int64(size))
	for b.Loop() {
		for _, page := range pages {
			unpack.Detect(unpack.File{Data: page})
		}
	}
}
