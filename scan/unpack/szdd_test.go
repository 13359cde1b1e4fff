package unpack

import (
	"strings"
	"testing"
)

// lzssLiterals writes bytes as LZSS that copies nothing.
func lzssLiterals(text string) string {
	var b strings.Builder
	for ; len(text) > 8; text = text[8:] {
		b.WriteString("\xff" + text[:8])
	}
	return b.String() + string(rune(0x7f>>(7-len(text)))) + text
}

// Copies reach back to the blanks that the window begins with, and to what has
// been unpacked: at 4096-16 in one format, at 4096-18 in the other.
func TestSZDDIsReadInBothForms(t *testing.T) {
	szdd := func(size, packed string) string { return szddMagic + "At" + size + packed }
	qbasic := func(size, packed string) string { return qbasicMagic + size + packed }
	const marker = "KIYOME-MARKER"
	size := "\x0d\x00\x00\x00"
	cut := "f/f: szdd: f: damaged: cut short"
	table(t, []struct{ name, data, objects, unchecked string }{
		{"literals", szdd(size, lzssLiterals(marker)), "f=" + marker, ""},
		{"blanks", szdd("\x05\x00\x00\x00", "\x00\x10\xf2"), "f=     ", ""},
		{"a copy of what was unpacked", szdd("\x09\x00\x00\x00", "\x07abc\xf0\xf3"), "f=abcabcabc", ""},
		{"QBasic", qbasic(size, lzssLiterals(marker)), "f=" + marker, ""},
		{"QBasic, a copy of what was unpacked", qbasic("\x09\x00\x00\x00", "\x07abc\xee\xf3"), "f=abcabcabc", ""},
		{"size too small", szdd("\x01\x00\x00\x00", lzssLiterals(marker)), "f=" + marker, ""},
		{"size too large", szdd("\xff\xff\xff\xff", lzssLiterals(marker)), "f=" + marker, cut},
		{"another mode", szddMagic + "Bt" + size + lzssLiterals(marker), "f=" + marker, "f/f: szdd: f: unsupported method: mode 'B'"},
		{"half of a pair", szdd("\x04\x00\x00\x00", "\x01a\xee"), "f=a", cut},
		{"no bytes", szdd(size, ""), "", cut},
		{"empty", szdd("\x00\x00\x00\x00", ""), "f=", ""},
		{"header cut off", szddMagic + "At\x0d\x00\x00", "", ""},
	})
}

func TestLettersOfNamesArePutBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		last byte
		want string
	}{
		{"README.EX_", 'E', "README.EXE"},
		{"readme.ex$", 'e', "readme.exe"},
		{"README.EX_", 0, "README.EX_"},
		{"README.TXT_", 0, "README.TXT"},
		{"README.EXE", 'E', "README.EXE"},
		{"README.E__", 'E', "README.E__"},
		{"README.EX_", '\n', "README.EX_"},
		{"_", 'E', "E"},
		{"", 'E', ""},
	} {
		if got := unabridged(tt.name, tt.last); got != tt.want {
			t.Errorf("%q with %q is %q, want %q", tt.name, tt.last, got, tt.want)
		}
	}
}

func FuzzSZDD(f *testing.F) {
	f.Add([]byte(qbasicMagic + "\x09\x00\x00\x00\x07abc\xee\xf3"))
	fuzz(f, "szdd")
}
