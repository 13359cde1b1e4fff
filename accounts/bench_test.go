package accounts

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func BenchmarkLookup(b *testing.B) {
	for _, accounts := range []int{1000, 100_000} {
		file := filepath.Join(b.TempDir(), "accounts.db")
		if err := os.WriteFile(file, sample(b, accounts), 0o600); err != nil {
			b.Fatal(err)
		}
		db, err := Open(file, Options{Delimiter: "+"})
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		for _, bb := range []struct{ name, format string }{
			{"known", "a%06d@example.jp"}, {"tag", "a%06d+x@example.jp"}, {"unknown", "b%06d@example.jp"}, {"upper", "A%06d@EXAMPLE.JP"},
		} {
			b.Run(fmt.Sprintf("%d/%s", accounts, bb.name), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					db.Lookup(fmt.Sprintf(bb.format, i*7919%accounts/7*7))
				}
			})
		}
		b.Run(fmt.Sprintf("%d/open", accounts), func(b *testing.B) {
			db.Close()
			for b.Loop() {
				db, err := Open(file, Options{})
				if err != nil {
					b.Fatal(err)
				}
				db.Close()
			}
		})
	}
}

func BenchmarkParseAddress(b *testing.B) {
	for _, s := range []string{"taro.yamada@mail.example.jp", "太郎@日本語.jp"} {
		b.Run(s, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ParseAddress(s)
			}
		})
	}
}

func BenchmarkChange(b *testing.B) {
	file := filepath.Join(b.TempDir(), "accounts.db")
	if err := os.WriteFile(file, sample(b, 1000), 0o600); err != nil {
		b.Fatal(err)
	}
	db, err := Open(file, Options{Path: "/m/{local}"})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	for i := 0; b.Loop(); i++ {
		if _, err := db.Add(NewAccount{Address: fmt.Sprintf("c%d@example.jp", i)}); err != nil {
			b.Fatal(err)
		}
		if _, err := db.Change(fmt.Sprintf("c%d@example.jp", i), Subscribed, Inbound, time.Time{}, "root"); err != nil {
			b.Fatal(err)
		}
	}
}
