package scan

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"os"
	"path"
	"path/filepath"
	"testing"
)

// hidden is a public set of messages that hide EICAR from scanners, if it lies
// beside the repository.
var hidden = filepath.Join("..", "..", "shared", "corpus", "noxxi-hide-content.tar.gz")

// hiddenWant is how many of them must be found: all but four whose BinHex is of 45
// bytes, less than the file that was to be hidden has, and with no header.
const hiddenWant = 368

func TestHiddenContentOfAPublicSetIsFound(t *testing.T) {
	f, err := os.Open(hidden)
	if err != nil {
		t.Skip("the set is not here")
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	e := testEngine(t, Options{})
	found, all := 0, 0
	outcomes := map[Outcome]int{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg || path.Base(path.Dir(h.Name)) != "new" {
			continue
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all++
		v := run(t, e, raw)
		outcomes[v.Outcome]++
		if v.Outcome != Clean {
			found++
			continue
		}
		t.Logf("missed: %s", path.Base(h.Name))
	}
	t.Logf("%d of %d found: %v", found, all, outcomes)
	if found < hiddenWant {
		t.Errorf("%d of %d found", found, all)
	}
}
