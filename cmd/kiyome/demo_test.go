package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestDemoShowsWhatEachMailboxHolds(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	var b strings.Builder
	if err := run(t.Context(), &b, []string{"demo", "--once"}); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	out := b.String()
	for _, tt := range []struct {
		words string
		times int
	}{
		{"X-Virus-Status: Clean\n", 1},
		{"X-Virus-Status: Cleaned", 2},
		{"X-Virus-Status: Infected", 3},
		{"not checked", 4},
		{"✂ holiday.jpg.exe", 1},
		{"✂ 請求書.zip", 1},
		{", infected\n", 3}, // what the mailbox without the service holds
		{"nothing of the message is left", 1},
		{"EICAR-Test-File", 3},
		{"\x1b", 0}, // this is no terminal
	} {
		if got := strings.Count(out, tt.words); got != tt.times {
			t.Errorf("%q stands there %d times, want %d:\n%s", tt.words, got, tt.times, out)
		}
	}
	for line := range strings.Lines(out) {
		if n := columns(strings.TrimSuffix(line, "\n")); n > 96 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestFoldBreaksByColumns(t *testing.T) {
	for _, tt := range []struct {
		text string
		to   int
		want []string
	}{
		{"short", 10, []string{"short"}},
		{"two words here", 10, []string{"two words", "here"}},
		{"ウイルスチェック", 7, []string{"ウイル", "スチェ", "ック"}},
		{"unbreakable", 5, []string{"unbre", "akabl", "e"}},
		{"", 5, []string{""}},
	} {
		if got := fold(tt.text, tt.to); !slices.Equal(got, tt.want) {
			t.Errorf("fold(%q, %d) = %q, want %q", tt.text, tt.to, got, tt.want)
		}
	}
	if got := columns("e\u0301ウ"); got != 3 {
		t.Errorf("columns = %d, want 3", got)
	}
}
