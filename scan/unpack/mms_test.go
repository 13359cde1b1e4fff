package unpack

import (
	"strings"
	"testing"
)

// uintvar writes an integer of variable length.
func uintvar(n int) string {
	b := []byte{byte(n & 0x7f)}
	for n >>= 7; n > 0; n >>= 7 {
		b = append([]byte{byte(n&0x7f) | 0x80}, b...)
	}
	return string(b)
}

// wspEntry is a part with its header.
func wspEntry(header, data string) string {
	return uintvar(len(header)) + uintvar(len(data)) + header + data
}

func wspMultipart(entries ...string) string {
	return uintvar(len(entries)) + strings.Join(entries, "")
}

// wspLong is a value behind its length.
func wspLong(value string) string {
	if len(value) < 31 {
		return string(rune(len(value))) + value
	}
	return "\x1f" + uintvar(len(value)) + value
}

// mmsHeader is the header of a m-send-req up to its content type.
const mmsHeader = "\x8c\x80\x98T1\x00\x8d\x92\x89\x01\x81\x97+81/TYPE=PLMN\x00\x96\x08\xea請求\x00\x84"

func TestMMSIsReadWhateverItsParts(t *testing.T) {
	const note = "KIYOME-MARKER"
	const related = "\x1b\xb3\x89application/smil\x00\x8a<smil>\x00"
	located := wspEntry("\x83\x8enote.txt\x00", note)
	smil := wspEntry("application/smil\x00\xc0\"<smil>\x00", "<smil>")
	whole := mmsHeader + related + wspMultipart(smil, located)
	parts := "smil=<smil>|note.txt=" + note
	one := func(header string) string { return mmsHeader + "\xa3" + wspMultipart(wspEntry(header, note)) }
	cut := "f: mms: damaged: cut short"
	table(t, []struct{ name, data, objects, unchecked string }{
		{"related", whole, parts, ""},
		{"mixed", mmsHeader + "\xa3" + wspMultipart(smil, located), parts, ""},
		{"type in words", mmsHeader + "application/vnd.wap.multipart.related\x00" + wspMultipart(smil, located), parts, ""},
		{"fields in another order", "\x8d\x92\x98T1\x00\x8c\x84\x84" + related + wspMultipart(smil, located), parts, ""},
		{"fields in words", "\x8c\x84\x8d\x92X-Field\x00value\x00\x84" + related + wspMultipart(smil, located), parts, ""},
		{"bare multipart", wspMultipart(smil, located), parts, ""},
		{"multipart in a multipart", mmsHeader + "\xa3" + wspMultipart(wspEntry("\xb3", wspMultipart(smil, located))),
			"part1=" + wspMultipart(smil, located) + "|part1/" + strings.Replace(parts, "|", "|part1/", 1), ""},
		{"the same, something behind it", mmsHeader + "\xa3" + wspMultipart(wspEntry("\xb3", wspMultipart(smil, located)+"\x00\x00\x00")), parts, ""},
		{"one content", mmsHeader + wspLong("\x83\x85a.exe\x00") + note, "a.exe=" + note, ""},
		{"one content without a name", mmsHeader + "\x83" + note, "part1=" + note, ""},
		{"notification", "\x8c\x82\x98T1\x00\x8d\x92\x83http://example.jp/1\x00", "", ""},
		{"report", "\x8c\x86\x8d\x92\x95\x81", "", ""},

		{"name", one(wspLong("\x83\x85a.exe\x00")), "a.exe=" + note, ""},
		{"filename", one(wspLong("\x83\x86a.exe\x00")), "a.exe=" + note, ""},
		{"name of WSP 1.4", one(wspLong("\x83\x81\xea\x97\"a.exe\x00")), "a.exe=" + note, ""},
		{"name in words", one(wspLong("\x83name\x00a.exe\x00")), "a.exe=" + note, ""},
		{"name in cp932", one("\x83\x8e\x7f\x90\xbf\x8b\x81.exe\x00"), "請求.exe=" + note, ""},
		{"name without its quote", one("\x83\x8e請求.exe\x00"), "請求.exe=" + note, ""},
		{"content disposition", one("\x83\xae" + wspLong("\x81\x86a.exe\x00")), "a.exe=" + note, ""},
		{"names that end in two ways", one(wspLong("\x83\x85a.txt\x00") + "\x8ea.exe\x00"), "a.txt=" + note + "|a.exe=" + note, ""},
		{"header that goes wrong", one("\x83\x8ea.exe\x00\x8e"), "a.exe=" + note, ""},
		{"long header", one(wspLong("\x83\x85a.exe\x00X\x00" + strings.Repeat("x", 300) + "\x00")), "a.exe=" + note, ""},

		{"fewer parts than there are", mmsHeader + "\xa3\x01" + smil + located, parts, ""},
		{"no parts said", mmsHeader + "\xa3\x00" + smil + located, parts, ""},
		{"more parts than there are", mmsHeader + "\xa3\x03" + smil + located, parts, cut},
		{"parts beyond number", mmsHeader + "\xa3\x8f\xff\xff\xff\x7f" + smil, "smil=<smil>", cut},
		{"number without an end", mmsHeader + "\xa3\xff\xff\xff\xff\xff\xff", "", cut},
		{"something behind the parts", whole + "\x01\x02\x03", parts, ""},
		{"data longer than there is", mmsHeader + "\xa3\x01\x01\x7f\x83" + note, "part1=" + note, "f/part1: mms: part1: damaged: cut short"},
		{"header longer than there is", mmsHeader + "\xa3\x01\x7f\x0d\x83" + note, "", cut},
		{"no content type", mmsHeader[:len(mmsHeader)-1], "", cut},
		{"multipart without a byte", mmsHeader + "\xa3", "", cut},
		{"cut in the header", mmsHeader[:30], "", cut},
		{"another version", "\x8c\x80\x8d\x32\x84\xa3" + wspMultipart(located), "", ""},
		{"bare multipart, one byte short", wspMultipart(smil, located[:len(located)-1]), "", ""},
		{"bare multipart, one byte over", wspMultipart(smil, located) + "\x00", "", ""},
		{"text", "\x01\x02 is how it starts", "", ""},
	})
}

func FuzzMMS(f *testing.F) {
	f.Add([]byte(wspMultipart(wspEntry("\x83\xae"+wspLong("\x81\x86a.exe\x00"), "1"), wspEntry("\xb3", wspMultipart(wspEntry("\x83", "2"))))))
	fuzz(f, "mms")
}
