package unpack

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// utf16Text encodes s as UTF-16, little-endian unless big.
func utf16Text(s string, big bool) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		if big {
			b.Write([]byte{byte(u >> 8), byte(u)})
		} else {
			b.Write([]byte{byte(u), byte(u >> 8)})
		}
	}
	return b.String()
}

func TestTextsAreDecoded(t *testing.T) {
	long := strings.Repeat("ADw", 0) + strings.Repeat("ADwAPgA8", 3000) // <>< in each eight digits
	for _, tt := range []struct{ name, data, want string }{
		{"UTF-16, little-endian", "\xff\xfe" + utf16Text("Hello, 日本", false), "Hello, 日本"},
		{"UTF-16, big-endian", "\xfe\xff" + utf16Text("Hello, 日本", true), "Hello, 日本"},
		{"UTF-16 without a mark", utf16Text("<html><body>", false), "<html><body>"},
		{"UTF-16 without a mark, big-endian", utf16Text("<html><body>", true), "<html><body>"},
		{"ISO-2022-JP", "\x1b$BF|K\\\x1b(B and text", "日本 and text"},
		{"ISO-2022-JP within a word", "KIYO\x1b(BME-MAR\x1b(J\x1b(BKER", "KIYOME-MARKER"},
		{"UTF-7", "+ADw-script+AD4-alert+ACg-1+ACk-", "<script>alert(1)"},
		{"UTF-7, several characters in one shift", "+ADwAcwBjAHI-ipt+AD4-", "<script>"},
		{"UTF-7, long", "+" + long + "-x", strings.Repeat("<><", 3000) + "x"},
		{"UTF-7, a plus sign", "1 +- 1+ADwAPAA8-", "1 + 1<<<"},
		{"UTF-7, cut short", "+ADwAPAA8-b+AD", "<<<b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", []byte(tt.data))
			if len(n.data) < 2 || n.data[1] != tt.want || n.formats[1] != "text" {
				t.Errorf("got %.200q (%q), want %.200q", n.data[1:], n.unchecked, tt.want)
			}
		})
	}
	for _, plain := range []string{
		"", "Hello.", "日本語のテキスト", "a+b, A+A, +Abc", "see +ADw- once", strings.Repeat("xyz+ABCDEFGHIJKLMNOPQRSTUVWXYZ", 40), "\x1b[31mred\x1b[0m",
		"\x00\x00\x00\x01", "MZ\x90\x00\x03\x00\x00\x00\x04\x00", strings.Repeat("\x80\x1b(B", 300),
	} {
		if got := Detect(File{Data: []byte(plain)}); slices.Contains(got, "text") {
			t.Errorf("%q is taken for %q", plain, got)
		}
	}
}

func TestMailboxFilesAreOpened(t *testing.T) {
	one := "From a@example.com Thu Oct  3 16:04:23 1991\nSubject: one\n\nNot From me\n"
	two := "From b@example.com Thu Oct  3 16:04:23 1991\nSubject: two\n\ntwo\n"
	if n := walked(t, Limits{}, "f", []byte(one)); len(n.data) != 1 {
		t.Errorf("one message: %q", n.data)
	}
	for _, file := range []string{one + "\n" + two, strings.ReplaceAll(one+"\n"+two, "\n", "\r\n")} {
		n := walked(t, Limits{}, "f", []byte(file))
		if len(n.data) != 3 || !strings.HasPrefix(n.data[1], "Subject: one") || !strings.HasPrefix(n.data[2], "Subject: two") || n.objects[2] != "f/2.eml" {
			t.Errorf("got %q", n.data)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add([]byte("\xff\xfe" + utf16Text("Hello", false)))
	f.Add([]byte("+ADwAcwBjAHI-ipt+AD4-+ADw-"))
	f.Add([]byte("\x1b$BF|K\\\x1b(B"))
	f.Add([]byte("From a\n\nFrom b\n"))
	fuzz(f, "text")
}
