package unpack

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"testing"
)

// encodedScriptOf encodes a script. No tool here does: Microsoft's is a program
// of Windows.
func encodedScriptOf(script string) string {
	var out strings.Builder
	sum, at := uint32(0), 0
	for _, c := range []byte(script) {
		if c < 0x80 {
			sum += uint32(c)
		}
		switch i := strings.IndexByte(encodedEscaped, c); {
		case i >= 0:
			out.WriteString("@" + encodedEscapes[i:i+1])
			at++
		case c >= 0x80:
			out.WriteByte(c)
		default:
			table := encodedTables[encodedOrder[at%64]-'0']
			at++
			if i := strings.IndexByte(table, c); i == 0 {
				out.WriteByte('\t')
			} else {
				out.WriteByte(byte(i) + ' ' - 1)
			}
		}
	}
	return encodedMark + encodedNumberOf(uint32(out.Len())) + out.String() + encodedNumberOf(sum) + encodedEnd
}

func encodedNumberOf(v uint32) string {
	return base64.StdEncoding.EncodeToString(binary.LittleEndian.AppendUint32(nil, v))
}

// Of the tables each is a permutation, which proves that none of their characters
// was changed for another.
func TestEncodedScriptTables(t *testing.T) {
	for i, table := range encodedTables {
		if len(table) != 97 {
			t.Fatalf("table %d has %d characters", i, len(table))
		}
		for c := byte('\t'); c < 0x80; c++ {
			want := 1
			switch {
			case c > '\t' && c < ' ', c == '<', c == '>', c == '@':
				want = 0
			case c == '?':
				want = 4
			}
			if got := strings.Count(table, string(rune(c))); got != want {
				t.Errorf("table %d has %q %d times, want %d", i, c, got, want)
			}
		}
	}
}

func TestEncodedScripts(t *testing.T) {
	const script = "Set a = CreateObject(\"WScript.Shell\")\r\nIf a <> b Then MsgBox \"KIYOME@MARKER\"\t' and more than sixty-four characters\r\n"
	encoded := encodedScriptOf(script)
	japanese := "MsgBox \"\x83\x5c\x83\x40\x8a\xc7\" ' KIYOME-MARKER" // cp932, second bytes in ASCII
	cut := "f/f: screnc: f: damaged: script without an end"
	page := func(inner string) string {
		return "<html><script language=\"VBScript.Encode\">" + inner + "</script><p>text</p></html>"
	}
	// Its characters are known from elsewhere, not from the encoder above.
	const known = "#@~^CQAAAA==\\ko$K6,JCAwMAAA==^#~@"
	table(t, []struct{ name, data, objects, unchecked string }{
		{"one of Microsoft's", known, "f=MsgBox \"H", ""},
		{"by itself", encoded, "f=" + script, ""},
		{"twice", encoded + "\r\n" + encoded, "f=" + script + "\r\n" + script, ""},
		{"in a page", page(encoded), "f=" + page(script), ""},
		{"behind a byte order mark", "\xef\xbb\xbf" + encoded, "f=\xef\xbb\xbf" + script, ""},
		{"empty", encodedScriptOf(""), "f=", ""},
		{"UTF-8", encodedScriptOf("MsgBox \"日本語\" ' KIYOME"), "f=MsgBox \"日本語\" ' KIYOME", ""},
		{"UTF-8, length in characters", strings.Replace(encodedScriptOf("MsgBox \"日本語\" ' KIYOME"), "GwAAAA==", "FQAAAA==", 1), "f=MsgBox \"日本語\" ' KIYOME", ""},
		{"cp932", encodedScriptOf932(japanese), "f=" + japanese, ""},
		{"length 0", strings.Replace(encoded, encoded[4:12], encodedNumberOf(0), 1), "f=" + script, ""},
		{"length 1", strings.Replace(encoded, encoded[4:12], encodedNumberOf(1), 1), "f=" + script, ""},
		{"largest length", strings.Replace(encoded, encoded[4:12], encodedNumberOf(1<<32-1), 1), "f=" + script, ""},
		{"wrong sum", strings.Replace(encoded, encoded[len(encoded)-12:len(encoded)-4], encodedNumberOf(7), 1), "f=" + script, ""},
		{"no end", encoded[:len(encoded)-12], "f=" + script, cut},
		{"cut short", encoded[:40], "f=" + script[:28], cut},
		{"no end, and another one", encoded[:len(encoded)-12] + encoded, "f=" + script + script, cut},
		{"one that seems to hold another", encodedMark + encodedNumberOf(uint32(len(encoded))) + encoded + encodedNumberOf(0) + encodedEnd, "f=" + script + encodedNumberOf(0) + encodedEnd, cut},
		{"mark without a length", "the mark is #@~^ and then a length", "", ""},
		{"mark at the end", "the mark is #@~^", "", ""},
	})
}

// encodedScriptOf932 is encodedScriptOf for text in which characters of two bytes
// are left as they are.
func encodedScriptOf932(script string) string {
	var wide []string
	var plain strings.Builder
	for i := 0; i < len(script); i++ {
		if c := script[i]; c > 0x80 && c < 0xa0 || c >= 0xe0 && c < 0xfd {
			wide = append(wide, script[i:i+2])
			plain.WriteByte(0xff) // stands for them
			i++
			continue
		}
		plain.WriteByte(script[i])
	}
	encoded := encodedScriptOf(plain.String())
	for _, w := range wide {
		encoded = strings.Replace(encoded, "\xff", w, 1)
	}
	return encoded
}

func TestEncodedScriptsAreNamedAnew(t *testing.T) {
	for name, want := range map[string]string{"a.VBE": "a.vbs", "a.jse": "a.js", "a.htm": "a.htm"} {
		if n := walked(t, Limits{}, name, []byte(encodedScriptOf("MsgBox 1"))); len(n.objects) != 2 || n.objects[1] != name+"/"+want {
			t.Errorf("%s: objects %q, want %s", name, n.objects, want)
		}
	}
}

func FuzzEncodedScript(f *testing.F) {
	f.Add([]byte(encodedScriptOf("MsgBox \"日本語\"") + "<>" + encodedScriptOf932("\x83\x5c <a@b>")))
	fuzz(f, "screnc")
}
