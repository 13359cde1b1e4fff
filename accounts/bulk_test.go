//go:build bench

package accounts

import (
	"fmt"
	"path/filepath"
	"testing"
)

func TestBulkIsADatabase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "accounts.db")
	o := Options{Path: "/m/{local}"}
	const n = 120_000
	err := WriteBulk(file, o, func(yield func(string) bool) {
		for i := range n {
			if !yield(fmt.Sprintf("a%06d@example.jp", i)) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	db, err := Open(file, o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if problems, count, err := db.Check(); err != nil || len(problems) > 0 || count != n {
		t.Errorf("%d accounts, %q, %v", count, problems, err)
	}
	if a, err := db.Lookup("a000077@example.jp"); err != nil || !a.Inbound.Active() {
		t.Errorf("%+v, %v", a, err)
	}
}
