package unpack

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// oleObject is an embedded object of OLE 1.
func oleObject(class, native string) string {
	return number(0x501) + number(ole1Embedded) + number(len(class)+1) + class + "\x00" + number(0) + number(0) + number(len(native)) + native + "presentation"
}

// olePackage is what the Object Packager makes of a file.
func olePackage(name, content string) string {
	temp := `C:\Temp\` + name + "\x00"
	return "\x02\x00" + name + "\x00" + `C:\` + name + "\x00" + "\x00\x00\x03\x00" + number(len(temp)) + temp + number(len(content)) + content
}

// texts16 are the names of a package in UTF-16, as they stand behind the file.
func texts16(names ...string) (s string) {
	for _, name := range names {
		w := strings.TrimSuffix(tnefWide(name), "\x00\x00")
		s += number(len(w)/2) + w
	}
	return s
}

// within puts something between the digits at a place.
func within(digits string, at int, s string) string { return digits[:at] + s + digits[at:] }

func TestRTFObjects(t *testing.T) {
	const note = "MZ KIYOME-MARKER"
	object := oleObject("Package", olePackage("a.exe", note))
	h := hex.EncodeToString([]byte(object))
	data := func(digits string) string { return `{\rtf1{\object\objemb{\*\objdata ` + digits + `}}}` }
	compound := ole1Magic + note
	const all = "object1.bin* Package* a.exe*"
	dropped := within(h, 10, `f\'41`) // an odd digit that Word drops
	for _, tt := range []struct{ name, objects, unchecked, data string }{
		{"plain", all, "", data(h)},
		{"upper case, lines", all, "", data(strings.ToUpper(within(within(h, 9, "\r\n \t"), 80, "\n")))},
		{"without a star", all, "", `{\rtf1{\object\objdata ` + h + `}}`},
		{"in no group", all, "", `{\rtf1\objdata ` + h + `}`},
		{"after the last brace", all, "", `{\rtf1}{\object{\*\objdata ` + h + `}}`},
		{"short magic number", all, "", strings.Replace(data(h), `\rtf1`, `\rtvpn`, 1)},
		{"blanks before", all, "", "\xef\xbb\xbf\r\n \x00" + data(h)},
		{"something before", all, "", strings.Repeat("x", 900) + data(h)},
		{"far behind", "", "", strings.Repeat("x", 2000) + data(h)},
		{"other characters", all, "", data(within(h, 11, ";:zx"))},
		{"control words", all, "", data(within(within(h, 5, `\par `), 20, `\foo12 \b0`+"\n"))},
		{"control word with a long number", all, "", data(within(h, 5, `\foo`+strings.Repeat("1", 246)+" "))},
		{"control word that swallows no more", "object1.bin", "", data(`\foo` + strings.Repeat("1", 2000))},
		{"control symbols", all, "", data(within(h, 5, `\~\-\:\{\}`))},
		{"inner groups", all, "", data(within(within(h, 5, `{\foo{\bar}}`), 40, `{}{{}}`))},
		{"digits in inner groups that count", "object1.bin* object2.bin* Package* a.exe*", "", data(h[:50] + `{\foo ` + h[50:60] + `{` + h[60:70] + `}}` + h[70:])},
		{"digits in inner groups that do not", all + " object2.bin*", "", data(within(h, 2, `{\foo 123456}`))},
		{"digits of other destinations", all + " object2.bin*", "", data(within(h, 2, `{\*\pntext 123456}`))},
		{"digits in groups of both kinds", "object1.bin", "", data(`{\foo 1}{\pntext 2}`)},
		{"quoted characters", all, "", data(within(h, 6, `\'41\'zz`))},
		{"quoted braces", all, "", data(within(h, 6, `\'}}`))},
		{"odd digit before quoted characters", all + " object2.bin", "", data(dropped)},
		{"odd digit at the end", all, "", data(h + "4")},
		{"binary", all, "", data(fmt.Sprintf(`\bin%d `, len(object)) + object)},
		{"binary amid digits", all, "", data(h[:40] + `\bin20 ` + object[20:40] + h[80:])},
		{"binary between the digits of a byte", "object1.bin", "", data(`4\bin2 ` + "\x14\x24" + `1`)},
		{"binary of no length", all, "", data(within(h, 20, `\bin `))},
		{"binary of negative length", all, "", data(within(h, 20, `\bin-99 `))},
		{"binary beyond the end", "object1.bin* Package* a.exe*", "f: rtf: damaged: cut short", `{\rtf1{\object{\*\objdata \bin999999 ` + object},
		{"binary beyond the end, elsewhere", all, "", `{\rtf1\bin99999 ` + data(h)[6:]},
		{"object within an object", all + " object2.bin object3.bin*", "", data(`0101{\*\objdata ` + h + `}0202`)},
		{"two objects in a group", "object1.bin object2.bin* Package* a.exe*", "", `{\rtf1{\*\objdata 4142\objdata ` + h + `}}`},
		{"another class", "object1.bin* Equation.3*", "", data(hex.EncodeToString([]byte(oleObject("Equation.3", note))))},
		{"compound file", "object1.bin* Word.Document.8*", "", data(hex.EncodeToString([]byte(oleObject("Word.Document.8", compound))))},
		{"compound file longer than told", "object1.bin* X*", "", data(hex.EncodeToString([]byte(strings.Replace(oleObject("X", compound), number(len(compound)), number(8), 1))))},
		{"compound file behind a header that is none", "object1.bin* compound file*", "", data(hex.EncodeToString([]byte("\x01\x05\x00\x00\x02\x00\x00\x00\xff\xff\xff\xff" + compound)))},
		{"compound file alone", "datastore1.bin*", "", `{\rtf1{\*\datastore ` + hex.EncodeToString([]byte(compound)) + `}}`},
		{"size of nothing", "object1.bin* Equation.3*", "", data(hex.EncodeToString([]byte(strings.Replace(oleObject("Equation.3", note), number(len(note)), number(0), 1))))},
		{"link", "object1.bin", "", data(hex.EncodeToString([]byte(number(0x501) + number(1) + number(2) + "X\x00")))},
		{"theme", "theme1.bin*", "", `{\rtf1{\*\themedata ` + hex.EncodeToString([]byte(note)) + `}}`},
		{"picture that is one", "", "", `{\rtf1{\pict{\*\picprop{\sn 1}}\pngblip ` + hex.EncodeToString([]byte("\x89PNG\r\n\x1a\n"+note)) + `}}`},
		{"picture that is none", "picture1.bin*", "", `{\rtf1{\pict\pngblip ` + hex.EncodeToString([]byte(note)) + `}}`},
		{"picture in binary", "picture1.bin*", "", `{\rtf1{\pict\wmetafile8\bin16 ` + note + `}}`},
		{"binary anywhere", "binary1.bin*", "", `{\rtf1{\bin16 ` + note + `}}`},
		{"nothing in it", "", "", `{\rtf1 \objdata {\*\objdata }{\pict}}`},
		{"cut in an object", all, "f: rtf: damaged: cut short", data(h)[:len(data(h))-20]},
		{"cut before one", "", "f: rtf: damaged: cut short", `{\rtf1{\object`},
		{"a text about it", "", "", `how to write RTF: {\rtf1 and so on`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objects, unchecked := toldOf(walked(t, Limits{}, "f", []byte(tt.data)))
			if objects != tt.objects {
				t.Errorf("objects %q, want %q", objects, tt.objects)
			}
			if unchecked != tt.unchecked {
				t.Errorf("unchecked %q, want %q", unchecked, tt.unchecked)
			}
		})
	}
}

func TestPackageFile(t *testing.T) {
	p := olePackage("a.exe", "content")
	named := p + texts16(`C:\Temp\請求書.exe`, "請求書.exe", `C:\請求書.exe`)
	for _, tt := range []struct{ what, data, name, content string }{
		{"package", p, "a.exe", "content"},
		{"behind its length, as in a stream", number(len(p)) + p, "a.exe", "content"},
		{"name in UTF-16", named, "請求書.exe", "content"},
		{"path for a name", olePackage(`C:\dir\b.js`, "content"), "b.js", "content"},
		{"empty", olePackage("a.exe", ""), "a.exe", ""},
		{"cut short", p[:len(p)-1], "", ""},
		{"header cut short", p[:20], "", ""},
		{"no package", "\x03\x00" + p[2:], "", ""},
		{"nothing", "", "", ""},
	} {
		t.Run(tt.what, func(t *testing.T) {
			name, content := packageFile([]byte(tt.data))
			if name != tt.name || string(content) != tt.content {
				t.Errorf("%q with %q, want %q with %q", name, content, tt.name, tt.content)
			}
		})
	}
}

// What lies within one another is decoded again and again, but not without end.
func TestRTFObjectsInObjectsAreBounded(t *testing.T) {
	data := `{\rtf1` + strings.Repeat(`{\objdata 4142`, 100_000) + strings.Repeat("}", 100_001)
	n := &notes{discard: true}
	n.walk(t, NewArena(nil, 0), Limits{}, "f", []byte(data))
	if got := strings.Join(n.unchecked, ";"); got != "f: rtf: limit: overlap" {
		t.Errorf("unchecked %q", got)
	}
}

func FuzzRTF(f *testing.F) {
	h := hex.EncodeToString([]byte(oleObject("Package", olePackage("a", "bc"))))
	f.Add([]byte(`{\rtf1{\object{\*\objdata ` + within(within(h, 30, `{\foo 12{\*\pntext 3}}\bin2 }{`), 15, `\'41\par0 `) + `}}{\pict 4142\bin1 x}{\*\datastore 41}}`))
	fuzz(f, "rtf")
}
