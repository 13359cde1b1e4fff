package scan

import (
	"slices"
	"strings"
	"testing"
)

func TestStartsOfWhatWasCarved(t *testing.T) {
	noise := "\x00\xff\x81\x02\x90"
	program := "MZ" + strings.Repeat("\x00", 0x3a) + "\x40\x00\x00\x00PE\x00\x00"
	for _, tt := range []struct {
		name, data string
		want       []int
	}{
		{"nothing", "", nil},
		{"noise", strings.Repeat(noise, 20), nil},
		{"a text", "This is a text of some length.", []int{0}},
		{"a short one", "Too short.", nil},
		{"a text behind noise", noise + "This is a text of some length.", []int{5}},
		{"a text behind noise and a word", noise + "word" + noise + "This is a text of some length.", []int{14}},
		{"sixteen characters", noise + "0123456789abcdef" + noise, []int{5}},
		{"fifteen", noise + "0123456789abcde" + noise, nil},
		{"a program", program, []int{0}},
		{"a program behind noise", noise + program, []int{5}},
		{"two letters in noise", noise + "MZ" + strings.Repeat(noise, 20), nil},
		{"a document behind noise", noise + "%PDF-1.4\n" + noise, []int{5}},
		{"gzip behind noise", noise + "\x1f\x8b\x08" + noise, []int{5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := starts([]byte(tt.data)); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	if got := starts([]byte(strings.Repeat(noise+"%PDF-1.4\n", 100))); len(got) != maxStarts {
		t.Errorf("%d starts", len(got))
	}
}
