package unpack

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// arMember is a member with its header, padded.
func arMember(name, size, content string) string {
	if size == "" {
		size = fmt.Sprint(len(content))
	}
	return fmt.Sprintf("%-16s%-12s%-6s%-6s%-8s%-10s`\n%s", name, "0", "0", "0", "644", size, content) + strings.Repeat("\n", len(content)%2)
}

func TestArIsReadTolerantly(t *testing.T) {
	const note = "KIYOME-MARKER"
	plain := arMember("a/", "", note)
	table(t, []struct{ name, data, objects, unchecked string }{
		{"GNU", arMagic + plain, "a=" + note, ""},
		{"System V, a blank at the end", arMagic + arMember("a", "", note), "a=" + note, ""},
		{"no padding at the end", arMagic + strings.TrimSuffix(plain, "\n"), "a=" + note, ""},
		{"no padding between", arMagic + strings.TrimSuffix(plain, "\n") + plain, "a=" + note + "|a=" + note, ""},
		{"long name", arMagic + arMember("//", "", "long-a/\nlong-b/\n") + arMember("/8", "", note), "long-b=" + note, ""},
		{"long name beyond the table", arMagic + arMember("//", "", "long-a/\n") + arMember("/80", "", note), "/80=" + note, ""},
		{"long name without a table", arMagic + arMember("/0", "", note), "/0=" + note, ""},
		{"long name of BSD", arMagic + arMember("#1/8", "", "long-a\x00\x00"+note), "long-a=" + note, ""},
		{"long name of BSD, too long", arMagic + arMember("#1/80", "", note), "#1/80=" + note, ""},
		{"table of symbols", arMagic + arMember("/", "", "symbols") + plain, "a=" + note, ""},
		{"name in cp932", arMagic + arMember("\x90\xbf\x8b\x81.exe", "", note), "請求.exe=" + note, ""},
		{"empty member", arMagic + arMember("a", "", "") + plain, "a=|a=" + note, ""},
		{"empty archive", arMagic, "", ""},
		{"size beyond the end", arMagic + arMember("a", "9999999999", note), "a=" + note + "\n", "f/a: ar: a: damaged: cut short"},
		{"size of zero", arMagic + arMember("a", "0", note) + plain, "a=|a=" + note, "f: ar: damaged: no header where one should be"},
		{"size that is no number", arMagic + arMember("a", "x", note) + plain, "a=" + note, "f: ar: damaged: no header where one should be"},
		{"negative size", arMagic + arMember("a", "-1", note) + plain, "a=" + note, "f: ar: damaged: no header where one should be"},
		{"noise between", arMagic + plain + strings.Repeat("noise`\n", 20) + plain, "a=" + note + "|a=" + note, "f: ar: damaged: no header where one should be"},
		{"cut in a header", arMagic + plain + plain[:40], "a=" + note, "f: ar: damaged: no header where one should be"},
		{"table of names cut off", arMagic + arMember("//", "", "long-a/\nlong-b/\n")[:70], "", "f: ar: damaged: cut short"},
		{"a byte behind", arMagic + plain + "x", "a=" + note, "f: ar: damaged: no header where one should be"},
		{"padding twice", arMagic + plain + "\n", "a=" + note, ""},
		{"thin", arThinMagic + plain, "", "f: ar: unsupported method: the members of a thin archive are elsewhere"},
	})
}

// cpioNewc is an entry of System V's format.
func cpioNewc(magic, name, content string, mode, size, check int) string {
	h := magic
	for _, n := range []int{1, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name) + 1, check} {
		h += fmt.Sprintf("%08x", n)
	}
	h += name + "\x00"
	pad := func(s string) string { return s + strings.Repeat("\x00", aligned(len(s), 4)-len(s)) }
	return pad(h) + pad(content)
}

// cpioBinary is an entry of the old format, which no program here writes with
// the upper byte first.
func cpioBinary(order binary.AppendByteOrder, name, content string) string {
	var b []byte
	for _, n := range []int{0o070707, 0, 1, cpioRegular, 0, 0, 1, 0, 0, 0, len(name) + 1, len(content) >> 16, len(content) & 0xffff} {
		b = order.AppendUint16(b, uint16(n))
	}
	pad := func(s string) string { return s + strings.Repeat("\x00", len(s)%2) }
	return string(b) + pad(name+"\x00") + pad(content)
}

func TestCPIOIsReadTolerantly(t *testing.T) {
	const note = "KIYOME-MARKER"
	entry := func(name, content string) string {
		return cpioNewc("070701", name, content, cpioRegular, len(content), 0)
	}
	crc := func(sum int64) string {
		return cpioNewc("070702", "a", note, cpioRegular, len(note), int(sum)) + cpioNewc("070702", cpioTrailer, "", 0, 0, 0)
	}
	plain, end := entry("a", note), cpioNewc("070701", cpioTrailer, "", 0, 0, 0)
	big, little := binary.BigEndian, binary.LittleEndian
	cut, noise := "f: cpio: damaged: cut short", "f: cpio: damaged: no header where one should be"
	table(t, []struct{ name, data, objects, unchecked string }{
		{"newc", plain + end, "a=" + note, ""},
		{"crc", crc(cpioSum([]byte(note))), "a=" + note, ""},
		{"crc of zero", crc(0), "a=" + note, ""},
		{"wrong crc", crc(1), "a=" + note, "f/a: cpio: a: damaged: wrong checksum"},
		{"binary", cpioBinary(little, "a", note) + cpioBinary(little, cpioTrailer, ""), "a=" + note, ""},
		{"binary, upper byte first", cpioBinary(big, "a", note) + cpioBinary(big, cpioTrailer, ""), "a=" + note, ""},
		{"joined", plain + end + strings.Repeat("\x00", 400) + plain + end, "a=" + note + "|a=" + note, ""},
		{"something behind", plain + end + "something", "a=" + note, ""},
		{"something in the trailer", plain + cpioNewc("070701", cpioTrailer, note, 0, len(note), 0), "a=" + note + "|" + cpioTrailer + "=" + note, ""},
		{"without a trailer", plain, "a=" + note, cut},
		{"folder, link, empty file", cpioNewc("070701", "d", "", 0o040755, 0, 0) + cpioNewc("070701", "l", "a", 0o120777, 1, 0) + entry("e", "") + end, "l=a|e=", ""},
		{"folder with content", cpioNewc("070701", "d", note, 0o040755, len(note), 0) + end, "d=" + note, ""},
		{"name in cp932", entry("\x90\xbf\x8b\x81.exe", note) + end, "請求.exe=" + note, ""},
		{"size beyond the end", cpioNewc("070701", "a", note, cpioRegular, 0xffffffff, 0), "a=" + note + "\x00\x00\x00", "f/a: cpio: a: damaged: cut short;" + cut},
		{"size of zero", cpioNewc("070701", "a", note, cpioRegular, 0, 0) + plain + end, "a=|a=" + note, noise},
		{"noise between", plain + "noise 0707070707 " + plain + end, "a=" + note + "|a=" + note, noise},
		{"noise at the end", plain + "noise 0707070707 ", "a=" + note, cut},
		{"name of no length", changed(plain, 94, "00000000"), "", ""},
		{"name beyond the end", changed(plain, 94, "ffffffff"), "", ""},
		{"name without a zero", changed(plain, 94, "00000001"), "", ""},
		{"number that is none", changed(plain, 54, "0000000g"), "", ""},
		{"text", "070701 is a number", "", ""},
	})
}

func TestRPMGivesItsPayload(t *testing.T) {
	header := func(entries, store int, body string) string {
		b := binary.BigEndian.AppendUint32([]byte(rpmHeaderMagic+"\x00\x00\x00\x00"), uint32(entries))
		return string(binary.BigEndian.AppendUint32(b, uint32(store))) + body
	}
	lead := rpmMagic + strings.Repeat("\x00", rpmLead-4)
	index := strings.Repeat("i", rpmIndexEntry)
	signed := "\x00\x00\x03\xe8\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x01"
	size := func(n string) string { return lead + header(1, 5, signed+"-"+n+"pad") + header(0, 0, "") + "0707" }
	front := lead + header(1, 3, index+"abc"+"pad..") + header(2, 1, index+index+"a")
	none := "f: rpm: damaged: no payload behind the headers"
	table(t, []struct{ name, data, objects, unchecked string }{
		{"plain", front + "0707", "f.cpio=0707", ""},
		{"compressed in a way that is not known", front + "\x5d\x00\x00", "f.cpio=\x5d\x00\x00", "f/f.cpio: rpm: f.cpio: unsupported method: compression of the payload"},
		{"size", size("\x00\x00\x00\x14"), "f.cpio=0707", ""},
		{"size of which a byte is missing", size("\x00\x00\x00\x15"), "f.cpio=0707", "f/f.cpio: rpm: f.cpio: damaged: cut short"},
		{"no payload", front, "", none},
		{"no header", lead + header(0, 0, ""), "", none},
		{"lead alone", lead, "", none},
		{"index beyond everything", lead + header(-1, -1, index), "", none},
		{"lead cut off", lead[:95], "", ""},
	})
}

func FuzzAr(f *testing.F)  { fuzz(f, "ar") }
func FuzzRPM(f *testing.F) { fuzz(f, "rpm") }
func FuzzCPIO(f *testing.F) {
	f.Add([]byte(cpioBinary(binary.BigEndian, "a", marker) + cpioBinary(binary.BigEndian, cpioTrailer, "")))
	fuzz(f, "cpio")
}
