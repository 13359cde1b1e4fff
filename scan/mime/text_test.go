package mime

import "testing"

func TestTextIsConvertedFromWhateverItIs(t *testing.T) {
	const word = "合言葉"
	for _, tt := range []struct{ name, charset, bytes, want string }{
		{"UTF-8", "utf-8", word, word},
		{"no name", "", "\x8d\x87\x8c\xbe\x97\x74", word},
		{"Shift_JIS", "Shift_JIS", "\x8d\x87\x8c\xbe\x97\x74", word},
		{"ISO-2022-JP", "iso-2022-jp", "\x1b$B9g8@MU\x1b(B", word},
		{"a name that everybody gives", "us-ascii", "\x1b$B9g8@MU\x1b(B", word},
		{"a name that does not fit", "utf-8", "\x8d\x87\x8c\xbe\x97\x74", word},
		{"UTF-16 by its mark", "utf-8", "\xfe\xff\x54\x08\x8a\x00\x84\x49", word},
		{"UTF-16 by its other mark", "", "\xff\xfe\x08\x54\x00\x8a\x49\x84", word},
		{"UTF-16 by name", "utf-16le", "\x08\x54\x00\x8a\x49\x84", word},
		{"Latin-1", "iso-8859-1", "Schl\xfcssel", "Schlüssel"},
	} {
		p := &Part{Params: map[string]string{"charset": tt.charset}}
		if got := p.Text([]byte(tt.bytes)); got != tt.want {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}
