package accounts

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	long := strings.Repeat("a", 255)
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "taro@example.jp", "taro@example.jp"},
		{"case of both parts", "Taro.Yamada@Example.JP", "taro.yamada@example.jp"},
		{"tag is part of it", "taro+shop@example.jp", "taro+shop@example.jp"},
		{"percent is a plain character", "a%00b%s@example.jp", "a%00b%s@example.jp"},
		{"braces are plain characters", "{domain}@example.jp", "{domain}@example.jp"},
		{"dot of the root", "taro@example.jp.", "taro@example.jp"},
		{"U-label", "taro@日本語.jp", "taro@xn--wgv71a119e.jp"},
		{"A-label in upper case", "taro@XN--WGV71A119E.JP", "taro@xn--wgv71a119e.jp"},
		{"full-width domain", "taro@ｅｘａｍｐｌｅ．ｊｐ", "taro@example.jp"},
		{"ideographic dots", "taro@example。jp。", "taro@example.jp"},
		{"local part beyond ASCII", "太郎@example.jp", "太郎@example.jp"},
		{"NFD becomes NFC", "cafe\u0301@example.jp", "café@example.jp"},
		{"voiced kana in NFD", "か\u3099@example.jp", "が@example.jp"},
		{"upper case beyond ASCII", "ÄÖ@example.jp", "äö@example.jp"},
		{"Kelvin sign", "\u212A@example.jp", "k@example.jp"},
		{"quoted without need", `"taro"@example.jp`, "taro@example.jp"},
		{"quoted pair", `"t\aro"@example.jp`, "taro@example.jp"},
		{"255 bytes", long + "@example.jp", long + "@example.jp"},
		{"single label", "taro@localhost", "taro@localhost"},

		{"empty", "", ""},
		{"no at", "taro", ""},
		{"empty local part", "@example.jp", ""},
		{"empty quoted local part", `""@example.jp`, ""},
		{"empty domain", "taro@", ""},
		{"only the root", "taro@.", ""},
		{"256 bytes", long + "a@example.jp", ""},
		{"megabyte", strings.Repeat("a", 1<<20) + "@example.jp", ""},
		{"two at signs", "a@b@example.jp", ""},
		{"slash", "a/b@example.jp", ""},
		{"path upwards", "../x@example.jp", ""},
		{"path upwards, quoted", `"../x"@example.jp`, ""},
		{"path upwards by quoted pairs", `"\.\.\/x"@example.jp`, ""},
		{"backslash", `a\b@example.jp`, ""},
		{"leading dot", ".a@example.jp", ""},
		{"trailing dot", "a.@example.jp", ""},
		{"two dots", "a..b@example.jp", ""},
		{"only dots", "..@example.jp", ""},
		{"space", "a b@example.jp", ""},
		{"space before", " a@example.jp", ""},
		{"space after", "a@example.jp ", ""},
		{"quoted space", `"a b"@example.jp`, ""},
		{"ideographic space", "a\u3000b@example.jp", ""},
		{"angle brackets", "<a@example.jp>", ""},
		{"newline", "a\n@example.jp", ""},
		{"newline in the domain", "a@example\n.jp", ""},
		{"NUL", "a\x00@example.jp", ""},
		{"DEL", "a\x7f@example.jp", ""},
		{"C1 control", "a\u0085@example.jp", ""},
		{"bidi override", "a\u202Eb@example.jp", ""},
		{"bidi isolate", "a\u2066b@example.jp", ""},
		{"zero width space", "a\u200Bb@example.jp", ""},
		{"byte order mark", "\uFEFFa@example.jp", ""},
		{"private use", "\uE000@example.jp", ""},
		{"leading combining mark", "\u0338a@example.jp", ""},
		{"invalid UTF-8", "a\xff@example.jp", ""},
		{"invalid UTF-8 in the domain", "a@ex\xffample.jp", ""},
		{"address literal", "a@[192.0.2.1]", ""},
		{"IPv6 literal", "a@[IPv6:2001:db8::1]", ""},
		{"empty label", "a@example..jp", ""},
		{"leading dot in the domain", "a@.example.jp", ""},
		{"hyphen at the start", "a@-example.jp", ""},
		{"label of 64", "a@" + strings.Repeat("b", 64) + ".jp", ""},
		{"slash in the domain", "a@example/..", ""},
		{"underscore in the domain", "a@ex_ample.jp", ""},
		{"A-label that decodes to nothing", "a@xn--.jp", ""},
		{"A-label that is broken", "a@xn--99999999.jp", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseAddress(tt.in)
			if got != tt.want || (err != nil) != (tt.want == "") || err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("ParseAddress(%.80q) = %q, %v, want %q", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestExpandPath(t *testing.T) {
	for _, tt := range []struct {
		name, template, address, want string
		err                           error
	}{
		{"as configured", "/var/vmail/{domain}/{local}/Maildir", "Taro@日本語.jp", "/var/vmail/xn--wgv71a119e.jp/taro/Maildir", nil},
		{"address is not expanded again", "/m/{domain}/{local}", "{domain}@example.jp", "/m/example.jp/{domain}", nil},
		{"percent stays", "/m/{local}", "a%2f.%2fb@example.jp", "/m/a%2f.%2fb", nil},
		{"without domain", "/home/{local}/Maildir", "taro@example.jp", "/home/taro/Maildir", nil},
		{"no template", "", "taro@example.jp", "", ErrSetting},
		{"relative", "m/{local}", "taro@example.jp", "", ErrSetting},
		{"upwards", "/m/../{local}", "taro@example.jp", "", ErrSetting},
		{"everybody in one folder", "/m/{domain}", "taro@example.jp", "", ErrSetting},
		{"unknown word", "/m/{local}/{user}", "taro@example.jp", "", ErrSetting},
		{"name too long", "/m/{local}_{domain}", strings.Repeat("a", 250) + "@example.jp", "", ErrSetting},
		{"malformed address", "/m/{local}", "../taro@example.jp", "", ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ExpandPath(tt.template, tt.address)
			if !errors.Is(err, tt.err) || err == nil && got != tt.want {
				t.Errorf("ExpandPath(%q, %q) = %q, %v, want %q, %v", tt.template, tt.address, got, err, tt.want, tt.err)
			}
		})
	}
}

// FuzzParseAddress: what is accepted is in its settled form, and a path made of
// it stays within the folder of the template.
func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"taro+x@example.jp", `"../x"@example.jp`, "a@xn--wgv71a119e.jp", "İ@ｅx。jp", "\u1E9E@faß.de",
		"Ω\u0345@example.jp", "a%{local}@b", "か\u3099@日本語.jp.", "a@\u2024\u2024", "ŉ@ﬀ.jp"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		canonical, err := ParseAddress(s)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || canonical != "" {
				t.Fatalf("ParseAddress(%q) = %q, %v", s, canonical, err)
			}
			return
		}
		if again, err := ParseAddress(canonical); err != nil || again != canonical {
			t.Fatalf("ParseAddress(%q) = %q, of which it makes %q, %v", s, canonical, again, err)
		}
		path, err := ExpandPath("/var/vmail/{domain}/{local}/Maildir", s)
		if err != nil {
			t.Fatalf("ExpandPath(%q): %v", canonical, err)
		}
		parts := strings.Split(path, "/")
		if filepath.Clean(path) != path || len(parts) != 6 || !strings.HasPrefix(path, "/var/vmail/") || parts[4][0] == '.' || parts[5] != "Maildir" {
			t.Fatalf("%q leads to %q", s, path)
		}
		if strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("%q leads to %q", s, path)
		}
	})
}
