package mime

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// payload is what the tests below hide, uneven its base64 in lines of lengths
// that no mail program writes.
const payload = "payload that must not be hidden, be it in what place it may"

var uneven = unevenLines(payload)

// unevenLines gives base64 in lines of uneven length.
func unevenLines(data string) string {
	coded := base64.StdEncoding.EncodeToString([]byte(data))
	var b strings.Builder
	for i := 0; coded != ""; i++ {
		n := min(len(coded), []int{4, 8, 4, 12, 7}[i%5])
		b.WriteString(coded[:n] + "\r\n")
		coded = coded[n:]
	}
	return b.String()
}

func TestNothingIsHiddenByParts(t *testing.T) {
	const b64 = "Content-Transfer-Encoding: base64\r\n"
	parts := "--X\r\n\r\nx\r\n--X--\r\n"
	for _, tt := range []struct{ name, raw string }{
		{"a boundary in what is no multipart",
			"Content-Type: application/octet-stream; boundary=X\r\n" + b64 + "\r\n" + uneven + parts},
		{"a multipart after another type",
			"Content-Type: application/octet-stream\r\nContent-Type: multipart/mixed; boundary=X\r\n" + b64 + "\r\n" + uneven + parts},
		{"another type after a multipart",
			"Content-Type: multipart/mixed; boundary=X\r\nContent-Type: application/octet-stream\r\n" + b64 + "\r\n" + uneven + parts},
		{"an encoded multipart", "Content-Type: multipart/mixed; boundary=X\r\n" + b64 + "\r\n" + uneven + parts},
		{"an encoded epilogue", "Content-Type: multipart/mixed; boundary=X\r\n" + b64 + "\r\n" + parts + uneven},
		{"lines in the header of a multipart",
			"Content-Type: application/octet-stream\r\n" + b64 + uneven + "Content-Type: multipart/mixed; boundary=X\r\n\r\n" + parts},
		{"lines in the header of an attached message",
			"Content-Type: application/octet-stream\r\n" + uneven + "Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n" + "x"},
		{"lines in a header, and more of them at its end", b64 + uneven + "X-A: b\r\njunk line\r\n\r\nfoo"},
		{"lines in two places of a header", b64 + "junk line\r\nX-A: b\r\n" + uneven + "X-B: c\r\n\r\nfoo!"},
		{"fields behind a line end too many", "Content-Type: a/b\n\r" + b64 + "\r\n" + uneven},
		{"junk before an empty line", b64 + "\r\nA\r\n\r\n" + uneven},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := "MIME-Version: 1.0\r\n" + tt.raw
			m := Parse([]byte(raw), Limits{})
			if got := decoded(t, m); !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, payload) }) {
				t.Errorf("%q is in no reading of %q: %q", payload, raw, got)
			}
			checkTree(t, m)
			checkCuts(t, m, 1)
		})
	}
}

func TestAWholeBodyCannotBeCut(t *testing.T) {
	raw := "Content-Type: a/b; boundary=X\r\nContent-Transfer-Encoding: base64\r\n\r\n--X\r\n\r\nx\r\n--X\r\n" +
		"Content-Type: message/rfc822\r\njunk line\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny\r\n--X--\r\n"
	var ids []string
	for p := range Parse([]byte(raw), Limits{}).Leaves() {
		ids = append(ids, p.ID)
		if strings.HasSuffix(p.ID, "*") && (!p.Extra || p.Cut != Range{} || p.IsBody()) {
			t.Errorf("part %q: extra %v, cut %v, body %v", p.ID, p.Extra, p.Cut, p.IsBody())
		}
	}
	if want := []string{"1", "2.1", "2*", "*"}; !slices.Equal(ids, want) {
		t.Errorf("leaves %q, want %q", ids, want)
	}
}

func TestOrdinaryMailIsReadOnce(t *testing.T) {
	for _, encoding := range []string{"7bit", "8bit", "binary"} {
		raw := "Content-Transfer-Encoding: " + encoding + "\n" + mixed("mixed", "a", "\nx", "Content-Type: message/rfc822\n\nSubject: y\n\ny")
		if got := readAll(Parse([]byte(raw), Limits{})); got != 2 {
			t.Errorf("%s: %d readings, want 2", encoding, got)
		}
	}
}

func TestBodiesThatAreReadAgainAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 49 {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%dx\nContent-Transfer-Encoding: base64\n\n--b%[1]dx\n", i)
	}
	m := Parse([]byte(b.String()+"\n"+strings.Repeat("x\n", 50_000)), Limits{})
	sum := 0
	for p := range m.Leaves() {
		sum += p.Body.End - p.Body.Start
	}
	if most := (maxReread + 1) * len(m.Raw); sum > most {
		t.Errorf("%d bytes are read, want at most %d", sum, most)
	}
	if !slices.Equal(m.Unchecked, []string{"header"}) {
		t.Errorf("unchecked %q", m.Unchecked)
	}
}

func TestManyPlacesForABody(t *testing.T) {
	raw := strings.Repeat("junk line\nX: y\n", 9)
	for _, tt := range []struct {
		encoding  string
		unchecked []string
	}{{"7bit", nil}, {"base64", []string{"header"}}} {
		m := Parse([]byte("Content-Transfer-Encoding: "+tt.encoding+"\n"+raw+"\n\nx"), Limits{})
		if !slices.Equal(m.Unchecked, tt.unchecked) {
			t.Errorf("%s: unchecked %q, want %q", tt.encoding, m.Unchecked, tt.unchecked)
		}
	}
}

func TestLooksBase64(t *testing.T) {
	binary, coded := attachment(600)
	for _, tt := range []struct {
		name, text string
		want       bool
	}{
		{"lines of uneven length", uneven, true},
		{"bytes in lines of uneven length", unevenLines(string(binary)), true},
		{"ordinary lines", coded, true},
		{"one short line", "d2UgaGF2ZSBhIGxvdCBvZiBiaW5hcnkgc3R1ZmYgaW4gaGVyZQ==", true},
		{"behind a word and an empty line", "A\r\n\r\n" + uneven, true},
		{"behind fields and an empty line", "X-A: b\r\nX-B: abc\r\n\r\n" + uneven, true},
		{"a text", "Hello there,\nhow are you?\n", false},
		{"words, one to a line", strings.Repeat("Hello\nWorld\nThis\nIs\nA\nList\n", 20), false},
		{"hexadecimal", strings.Repeat("3fa29bce01", 7) + "\n" + strings.Repeat("3FA29BCE0", 5), false},
		{"a long word", strings.Repeat("Donaudampfschiff", 10), false},
		{"an armoured message", "-----BEGIN PGP MESSAGE-----\nVersion: x\n\n" + coded, false},
		{"uuencode", "begin 644 x\nM2&5L;&\\\n", false},
		{"a rule", strings.Repeat("=", 80) + "\n\nHello", false},
		{"too little", "SGVsbG8=", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := looksBase64([]byte(tt.text)); got != tt.want {
				t.Errorf("looksBase64(%q) = %v", tt.text, got)
			}
		})
	}
}
