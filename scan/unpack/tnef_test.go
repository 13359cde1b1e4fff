package unpack

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"unicode/utf16"

	"golang.org/x/text/encoding/japanese"
)

// No free program writes winmail.dat: this writes what Outlook does, and what it
// should not.

func tnefStream(attributes ...[]byte) []byte {
	return join([]byte(tnefMagic+"\x01\x00"), join(attributes...))
}

// tnefAttr is an attribute of an attachment, or of the message.
func tnefAttr(id uint32, data string) []byte {
	level := byte(2)
	switch id {
	case tnefOemCodepage, tnefBody, tnefMAPIProps:
		level = 1
	}
	b := binary.LittleEndian.AppendUint32([]byte{level}, id)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint16(b, tnefChecksum([]byte(data)))
}

func number(v int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(v))) }

func tnefWide(s string) string {
	var b []byte
	for _, u := range append(utf16.Encode([]rune(s)), 0) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return string(b)
}

// mapiProp is a property with a value of variable length.
func mapiProp(id, kind int, value string) string {
	return number(id<<16|kind) + number(1) + number(len(value)) + padded(value)
}

func padded(s string) string { return s + strings.Repeat("\x00", (4-len(s)%4)%4) }

func mapiProps(props ...string) string { return number(len(props)) + strings.Join(props, "") }

// lzfuPack compresses RTF.
func lzfuPack(text string) string {
	whole := lzfuDictionary + text
	var out []byte
	control, bit := 0, 8
	flag := func(set byte) {
		if bit == 8 {
			control, bit = len(out), 0
			out = append(out, 0)
		}
		out[control] |= set << bit
		bit++
	}
	reference := func(from, n int) {
		flag(1)
		out = binary.BigEndian.AppendUint16(out, uint16(from%lzfuWindow<<4|(n-2)))
	}
	at := len(lzfuDictionary)
	for at < len(whole) {
		n, from := min(17, len(whole)-at), -1
		for ; n >= 2 && from < 0; n-- {
			low := max(at-lzfuWindow+20, 0)
			if i := strings.LastIndex(whole[low:at], whole[at:at+n]); i >= 0 {
				from = low + i
				break
			}
		}
		if from < 0 {
			flag(0)
			out = append(out, whole[at])
			at++
			continue
		}
		reference(from, n)
		at += n
	}
	reference(at, 2)
	crc := ^crc32.Update(0xffffffff, crc32.IEEETable, out)
	return number(len(out)+12) + number(len(text)) + "LZFu" + number(int(crc)) + string(out)
}

func TestLZFu(t *testing.T) {
	// The example of MS-OXRTFCP, section 4.1.
	simple, err := hex.DecodeString("2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0")
	if err != nil {
		t.Fatal(err)
	}
	long := `{\rtf1 ` + strings.Repeat("Lorem ipsum KIYOME-MARKER ", 1000) + "}"
	packed := lzfuPack(long)
	text := "{\\rtf1 MELA}"
	mela := number(len(text)+12) + number(len(text)) + "MELA" + number(0) + text
	for _, tt := range []struct{ name, data, want, err string }{
		{"the specification's example", string(simple), "{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n", ""},
		{"long", packed, long, ""},
		{"not compressed", mela, text, ""},
		{"not compressed, cut short", mela[:len(mela)-3], text[:len(text)-3], "damaged: compressed RTF: cut short"},
		{"cut short", packed[:200], "", "damaged: compressed RTF: cut short"},
		{"no mark of the end", packed[:len(packed)-2], long, "damaged: compressed RTF: wrong checksum"},
		{"wrong checksum", packed[:12] + "abcd" + packed[16:], long, "damaged: compressed RTF: wrong checksum"},
		{"length of nothing", number(0) + packed[4:], long, "damaged: compressed RTF: wrong checksum"},
		{"length too large", number(1<<31) + packed[4:], long, ""},
		{"unpacked length too small", packed[:4] + number(1) + packed[8:], long, ""},
		{"unpacked length too large", packed[:4] + number(1<<30) + packed[8:], long, "damaged: compressed RTF: cut short"},
		{"unknown kind", packed[:8] + "LZMA" + packed[12:], "", "unsupported method: compressed RTF of an unknown kind"},
		{"header cut short", packed[:9], "", "damaged: compressed RTF: cut short"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := lzfuReader([]byte(tt.data))
			got, err := io.ReadAll(r)
			if tt.name != "cut short" && string(got) != tt.want {
				t.Errorf("%d bytes, want %d: %.80q", len(got), len(tt.want), got)
			}
			if text := errText(err); text != tt.err {
				t.Errorf("error %q, want %q", text, tt.err)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// tnefFileAttrs is an attachment as old Outlooks write it.
func tnefFileAttrs(name, content string) []byte {
	return join(tnefAttr(tnefRenddata, strings.Repeat("\x01", 14)), tnefAttr(tnefAttachTitle, name+"\x00"), tnefAttr(tnefAttachData, content))
}

func TestTNEFIsReadTolerantly(t *testing.T) {
	const note = "KIYOME-MARKER\n"
	sjis, err := japanese.ShiftJIS.NewEncoder().String("請求書.txt")
	if err != nil {
		t.Fatal(err)
	}
	a, b := tnefFileAttrs("a", note), tnefFileAttrs("b", "other")
	begin := tnefAttr(tnefRenddata, strings.Repeat("\x01", 14))
	data := tnefAttr(tnefAttachData, note)
	page := func(n int) []byte { return tnefAttr(tnefOemCodepage, number(n)+number(0)) }
	props := func(p ...string) []byte { return join(begin, tnefAttr(tnefAttachment, mapiProps(p...))) }
	content := mapiProp(mapiAttachData, mapiBinary, note)
	long := mapiProp(mapiAttachLongName, mapiString, tnefWide("請求書.txt"))
	message := func(p ...string) []byte { return tnefAttr(tnefMAPIProps, mapiProps(p...)) }
	iMessage := "\x07\x03\x02\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\x46"
	fixed := number(0x0e08<<16|3) + number(7) + number(0x0e06<<16|0x40) + "12345678" + number(0x1000<<16|1) + number(0x3000<<16|0x1003) + number(2) + number(1) + number(2)
	named := number(0x8001<<16|mapiString) + strings.Repeat("G", 16) + number(1) + number(6) + padded("n\x00a\x00m\x00") + number(1) + number(4) + "v\x00\x00\x00" +
		number(0x8002<<16|3) + strings.Repeat("G", 16) + number(0) + number(9) + number(1)
	for _, tt := range []struct {
		name, objects, unchecked string
		data                     []byte
	}{
		{"two attachments", "a* b", "", tnefStream(a, b)},
		{"name behind the data", "a*", "", tnefStream(begin, data, tnefAttr(tnefAttachTitle, "a\x00"))},
		{"no name", "attachment*", "", tnefStream(begin, data)},
		{"nothing that begins it", "attachment*", "", tnefStream(data)},
		{"data twice", "a* a", "", tnefStream(a, tnefAttr(tnefAttachData, "more"))},
		{"no data", "b", "f/a: tnef: a: damaged: attachment without data", tnefStream(begin, tnefAttr(tnefAttachTitle, "a\x00"), b)},
		{"empty", "a b", "", tnefStream(tnefFileAttrs("a", ""), b)},
		{"name in cp932", "請求書.txt*", "", tnefStream(page(932), tnefFileAttrs(sjis, note))},
		{"name in cp1251", "счёт*", "", tnefStream(page(1251), tnefFileAttrs("\xf1\xf7\xb8\xf2", note))},
		{"name in a code page that it is not in", "請求書.txt*", "", tnefStream(page(950), tnefFileAttrs(sjis, note))},
		{"data in a property", "請求書.txt*", "", tnefStream(props(content, long))},
		{"name in a property", "請求書.txt*", "", tnefStream(a, tnefAttr(tnefAttachment, mapiProps(long)))},
		{"the same data in both", "a*", "", tnefStream(a, tnefAttr(tnefAttachment, mapiProps(content)))},
		{"other data in a property", "a a*", "", tnefStream(tnefFileAttrs("a", "x"), tnefAttr(tnefAttachment, mapiProps(content)))},
		{"short name in a property", "短.txt*", "", tnefStream(page(932), props(content, mapiProp(mapiAttachFilename, mapiString8, "\x92\x5a.txt\x00")))},
		{"display name", "d*", "", tnefStream(props(mapiProp(mapiDisplayName, mapiString8, "d\x00"), content))},
		{"properties of all kinds", "d*", "", tnefStream(begin, tnefAttr(tnefAttachment, number(8)+fixed+named+mapiProp(mapiDisplayName, mapiString8, "d\x00")+content))},
		{"message in the message", "d* d/body.txt*", "", tnefStream(props(mapiProp(mapiDisplayName, mapiString8, "d\x00"), mapiProp(mapiAttachData, mapiObject, iMessage+string(tnefStream(tnefAttr(tnefBody, note+"\x00"))))))},
		{"message in the message without its interface", "attachment* attachment/body.txt*", "", tnefStream(props(mapiProp(mapiAttachData, mapiObject, string(tnefStream(tnefAttr(tnefBody, note))))))},
		{"bodies", "body.txt* body.txt* body.html* body.html* body.rtf*", "", tnefStream(tnefAttr(tnefBody, note+"\x00"), message(mapiProp(mapiBody, mapiString, tnefWide(note)), mapiProp(mapiHTML, mapiBinary, "<b>"+note), mapiProp(mapiHTML, mapiString8, note), mapiProp(mapiRTFCompressed, mapiBinary, lzfuPack(note))))},
		{"RTF that is damaged", "body.rtf*", "f/body.rtf: tnef: body.rtf: damaged: compressed RTF: wrong checksum", tnefStream(message(mapiProp(mapiRTFCompressed, mapiBinary, lzfuPack(note)[:12]+"abcd"+lzfuPack(note)[16:])))},
		{"fewer properties than told", "attachment*", "f: tnef: damaged: properties", tnefStream(begin, tnefAttr(tnefAttachment, number(9)+content))},
		{"more properties than told", "attachment* attachment", "", tnefStream(begin, tnefAttr(tnefAttachment, number(1)+content+mapiProp(mapiAttachData, mapiBinary, "x")))},
		{"more values than there are", "attachment*", "f: tnef: damaged: properties", tnefStream(begin, tnefAttr(tnefAttachment, number(1)+strings.Replace(content, number(1), number(-1), 1)))},
		{"endless row of nothing", "attachment*", "", tnefStream(begin, tnefAttr(tnefAttachment, number(2)+number(0x30001001)+number(-1)+content))},
		{"type of a property that is none", "attachment*", "f: tnef: damaged: properties", tnefStream(begin, tnefAttr(tnefAttachment, number(3)+content+number(0x30000077)+content))},
		{"wrong checksum", "a* b", "f: tnef: damaged: wrong checksum", tnefStream(damage(a, -1), b)},
		{"length too large", "a*", "f: tnef: damaged: cut short", tnefStream(put(a, len(a)-len(note)-2-4, "\xff"))},
		{"length too large, another behind", "a* b", "f: tnef: damaged: cut short", tnefStream(put(a, len(a)-len(note)-2-2, "\xff"), b)},
		{"something between", "a* b", "f: tnef: damaged: no attribute where one should be", tnefStream(a, []byte("something"), b)},
		{"something behind", "a*", "f: tnef: damaged: no attribute where one should be", tnefStream(a, []byte("something"))},
		{"header alone", "", "f: tnef: damaged: cut short", tnefStream()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objects, unchecked := toldOf(walked(t, Limits{}, "f", tt.data))
			if objects != tt.objects {
				t.Errorf("objects %q, want %q", objects, tt.objects)
			}
			if unchecked != tt.unchecked {
				t.Errorf("unchecked %q, want %q", unchecked, tt.unchecked)
			}
		})
	}
}

func TestTNEFBodiesInUTF16AreDecoded(t *testing.T) {
	n := walked(t, Limits{}, "f", tnefStream(tnefAttr(tnefMAPIProps, mapiProps(mapiProp(mapiHTML, mapiString, strings.TrimSuffix(tnefWide("<p>請求書</p>"), "\x00\x00"))))))
	if want := "<p>請求書</p>"; len(n.data) != 2 || n.data[1] != want {
		t.Errorf("objects %q, want %q", n.data, want)
	}
}

func FuzzTNEF(f *testing.F) {
	f.Add(tnefStream(tnefAttr(tnefMAPIProps, mapiProps(mapiProp(mapiBody, mapiString, tnefWide("text")), mapiProp(mapiRTFCompressed, mapiBinary, lzfuPack("{\\rtf1 x x x x}"))))))
	fuzz(f, "tnef")
}
