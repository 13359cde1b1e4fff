package control

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kiyome/accounts"
)

// Removals come page by page, as from the database itself, and errors keep their kind.
func TestRemovalsOverTheSocket(t *testing.T) {
	db := openDB(t, "a@example.jp")
	history := accounts.OpenRemovals(filepath.Join(t.TempDir(), accounts.RemovalsName), time.Hour, slog.New(slog.DiscardHandler))
	for i := range 5 {
		history.Add(accounts.Removal{Time: time.Now(), Address: "a@example.jp", File: fmt.Sprint(i)})
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if all, err := history.List("a@example.jp", time.Time{}, 0, 0); err != nil || time.Now().After(end) {
			t.Fatalf("%v, %v", all, err)
		} else if len(all) == 5 {
			break
		}
	}
	defer history.Close()
	db.SetRemovals(history)
	c := start(t, Options{Accounts: db})
	var files []string
	for before := uint64(0); ; {
		page, err := c.Removals("A@example.jp", before, 2)
		if err != nil || len(page) > 2 {
			t.Fatalf("%v, %v", page, err)
		}
		if len(page) == 0 {
			break
		}
		for _, r := range page {
			files = append(files, r.File)
		}
		before = page[len(page)-1].Seq
	}
	if want := []string{"4", "3", "2", "1", "0"}; !slices.Equal(files, want) {
		t.Errorf("%q, want %q", files, want)
	}
	if all, err := c.Removals("a@example.jp", 0, 0); err != nil || len(all) != 5 {
		t.Errorf("without a limit: %v, %v", all, err)
	}
	if _, err := c.Removals("nobody@example.jp", 0, 0); !errors.Is(err, accounts.ErrUnknown) {
		t.Errorf("of nobody: %v", err)
	}
}
