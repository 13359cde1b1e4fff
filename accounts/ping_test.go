package accounts

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestPingTellsOfAFileThatIsNotThereAnyMore(t *testing.T) {
	for _, tt := range []struct {
		name string
		lose func(t *testing.T, file string) (restore func())
	}{
		{"cut short", func(t *testing.T, file string) func() {
			whole, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(file, 4096); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := os.WriteFile(file, whole, 0); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"moved away", func(t *testing.T, file string) func() {
			if err := os.Rename(file, file+".away"); err != nil {
				t.Fatal(err)
			}
			return func() { os.Rename(file+".away", file) }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "accounts.db")
			db, err := Create(file, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := db.Ping(); err != nil {
				t.Fatalf("before: %v", err)
			}
			if info, err := os.Stat(file); err != nil || db.Size() != info.Size() {
				t.Errorf("%d bytes, want %d", db.Size(), info.Size())
			}
			restore := tt.lose(t, file)
			if err := db.Ping(); !errors.Is(err, ErrDamaged) {
				t.Errorf("lost: %v, want ErrDamaged", err)
			}
			restore()
			if err := db.Ping(); err != nil {
				t.Errorf("restored: %v", err)
			}
		})
	}
}
