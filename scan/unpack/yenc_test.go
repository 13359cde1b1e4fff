package unpack

import (
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
)

// yencLines encodes text in lines of so many characters; every character that a
// line could begin or end with badly is escaped, but for dots.
func yencLines(text string, length int) string {
	var b strings.Builder
	column := 0
	for _, c := range []byte(text) {
		if column >= length {
			b.WriteByte('\n')
			column = 0
		}
		c += 42
		if strings.IndexByte("\x00\t\n\r =", c) >= 0 {
			b.WriteByte('=')
			c += 64
			column++
		}
		b.WriteByte(c)
		column++
	}
	return b.String() + "\n"
}

// yencText is a file in yEnc. crc is empty or begins with a blank.
func yencText(name, text, crc string) string {
	return fmt.Sprintf("=ybegin line=20 size=%d name=%s\n%s=yend size=%[1]d%[4]s\n", len(text), name, yencLines(text, 20), crc)
}

func yencSum(text string) string { return fmt.Sprintf(" crc32=%08x", crc32.ChecksumIEEE([]byte(text))) }

// yencSlice is a part of a file of the given size.
func yencSlice(number, size, begin int, text, sum string) string {
	return fmt.Sprintf("=ybegin part=%d line=20 size=%d name=a\n=ypart begin=%d end=%d\n%s=yend size=%d%s\n",
		number, size, begin, begin+len(text)-1, yencLines(text, 20), len(text), sum)
}

// prefixed puts something in front of every line.
func prefixed(prefix, text string) string {
	return prefix + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+prefix) + "\n"
}

// told are the objects of a walk but the first, as "NAME=BYTES", and what was not read.
func handedOut(n *notes) (objects, unchecked string) {
	var list []string
	for i, o := range n.objects[1:] {
		list = append(list, strings.TrimPrefix(o, "f/")+"="+n.data[i+1])
	}
	return strings.Join(list, "|"), strings.Join(n.unchecked, ";")
}

// table walks each of the texts as a file named f.
func table(t *testing.T, rows []struct{ name, data, objects, unchecked string }) {
	t.Helper()
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			objects, unchecked := handedOut(walked(t, Limits{}, "f", []byte(tt.data)))
			if objects != tt.objects {
				t.Errorf("objects %q, want %q", objects, tt.objects)
			}
			if unchecked != tt.unchecked {
				t.Errorf("unchecked %q, want %q", unchecked, tt.unchecked)
			}
		})
	}
}

func TestYEncIsReadTolerantly(t *testing.T) {
	const note = "first line\nKIYOME-MARKER\x00\x13\xd6\xe3\n" // encodes to all critical characters
	plain := yencText("a", note, yencSum(note))
	one, two := note[:15], note[15:]
	sum := func(s string) string { return " p" + yencSum(s)[1:] + yencSum(note) }
	part1, part2 := yencSlice(1, len(note), 1, one, sum(one)), yencSlice(2, len(note), 16, two, sum(two))
	dots := "\x04\x04dots" // encodes to "..": as it stands or doubled
	single := "\x04dots"
	missing := "f/a: yenc: a: damaged: parts of it are missing"
	parts := "a=" + one + "|a=" + two
	table(t, []struct{ name, data, objects, unchecked string }{
		{"plain", plain, "a=" + note, ""},
		{"CR LF", strings.ReplaceAll(plain, "\n", "\r\n"), "a=" + note, ""},
		{"CR", strings.ReplaceAll(plain, "\n", "\r"), "a=" + note, ""},
		{"in a text", "Hi,\n\n" + plain + "\nbye, =yend\n", "a=" + note, ""},
		{"two", plain + "and\n" + strings.Replace(plain, "name=a", "name=b c.txt", 1), "a=" + note + "|b c.txt=" + note, ""},
		{"two, the first without =yend", plain[:strings.Index(plain, "=yend")] + plain, "a=" + note + "|a=" + note, ""},
		{"no =yend", plain[:strings.Index(plain, "=yend")], "a=" + note, ""},
		{"no =yend and no size", strings.Replace(plain[:strings.Index(plain, "=yend")], "size=", "sighs=", 1), "a=" + note, "f/a: yenc: a: damaged: cut short"},
		{"no size", strings.ReplaceAll(plain, "size=", "sighs="), "a=" + note, ""},
		{"no name", strings.Replace(plain, " name=a", "", 1), "f=" + note, ""},
		{"quoted name", strings.Replace(plain, "name=a", `name= "請求書.exe" `, 1), "請求書.exe=" + note, ""},
		{"name in cp932", strings.Replace(plain, "name=a", "name=\x90\xbf\x8b\x81.exe", 1), "請求.exe=" + note, ""},
		{"wrong size", strings.ReplaceAll(plain, "size=", "size=9"), "a=" + note, ""},
		{"wrong size, no checksum", strings.Replace(yencText("a", note, ""), "size=", "size=9", 1), "a=" + note, "f/a: yenc: a: damaged: cut short"},
		{"size too small, no checksum", strings.Replace(yencText("a", note, ""), "size=2", "size=1", 1), "a=" + note, ""},
		{"wrong checksum", yencText("a", note, " crc32=00000001"), "a=" + note, "f/a: yenc: a: damaged: wrong checksum"},
		{"checksum in capital letters, sign extended", yencText("a", note, strings.Replace(strings.ToUpper(yencSum(note)), " CRC32=", " crc32=FFFFFFFF", 1)), "a=" + note, ""},
		{"checksum that is no number", yencText("a", note, " crc32=%08x"), "a=" + note, ""},
		{"cut off", plain[:60], "a=" + note[:26], "f/a: yenc: a: damaged: cut short"},
		{"behind blanks", " \t" + plain, "a=" + note, ""},
		{"every line behind blanks", prefixed(" \t", plain), "a=" + note, ""},
		{"quoted", prefixed("> ", plain), "a=" + note, ""},
		{"quoted twice", prefixed(">> ", "On Monday\n"+plain+"and so on\n"), "a=" + note, ""},
		{"quoted, no checksum", prefixed("> ", yencText("a", note, "")), "a=" + note + "|a=" + "\x14\xf6" + note[:20] + "\x14\xf6" + note[20:], ""},
		{"quoted but for the lines", "> " + plain, "a=" + note, ""},
		{"dots that are meant", yencText("a", dots, yencSum(dots)), "a=" + dots, ""},
		{"dots that were doubled", yencText("a", dots, yencSum(single)), "a=" + single, ""},
		{"dots, no checksum", yencText("a", dots, ""), "a=" + dots + "|a=" + single, "f/a: yenc: a: damaged: cut short"},
		{"dots, quoted", prefixed("> ", yencText("a", dots, yencSum(single))), "a=" + single, ""},
		{"not at the beginning of a line", "see =ybegin line=128 size=3 name=a\nabc\n=yend size=3\n", "", ""},
		{"without a parameter", "=ybegin is how it starts\n", "", ""},
		{"header alone", "=ybegin name=a", "", "f/a: yenc: a: damaged: cut short"},

		{"parts", part1 + "text\n" + part2, parts + "|a=" + note, ""},
		{"parts in reverse", part2 + "text\n" + part1, "a=" + two + "|a=" + one + "|a=" + note, ""},
		{"part alone", part1, "a=" + one, missing},
		{"part twice", part1 + part1, "a=" + one + "|a=" + one, ""},
		{"the only part", yencSlice(1, len(note), 1, note, yencSum(note)), "a=" + note, ""},
		{"the only part, damaged", yencSlice(1, len(note), 1, note, " crc32=1"), "a=" + note, "f/a: yenc: a: damaged: wrong checksum"},
		{"parts, one missing", part1 + yencSlice(3, 40, 30, two, ""), "a=" + one + "|a=" + two, missing + ";" + missing},
		{"parts of two files", part1 + strings.Replace(part2, "name=a", "name=b", 1), "a=" + one + "|b=" + two, missing + ";f/b: yenc: b: damaged: parts of it are missing"},
		{"parts together damaged", strings.ReplaceAll(part1+part2, yencSum(note), " crc32=1"), parts + "|a=" + note, "f/a: yenc: a: damaged: wrong checksum of the parts together"},
		{"parts that come twice", strings.ReplaceAll(part1+yencSlice(2, len(note), 16, "decoy", "")+part2, yencSum(note), ""),
			"a=" + one + "|a=decoy|a=" + two + "|a=" + one + "decoy|a=" + note, missing},
		{"parts numbered against their place", strings.ReplaceAll(yencSlice(2, len(note), 1, one, "")+yencSlice(1, len(note), 16, two, ""), yencSum(note), ""),
			parts + "|a=" + note + "|a=" + two + one, ""},
		{"parts without a place", yencNoPlace(part1) + yencNoPlace(part2), parts + "|a=" + note, ""},
	})
}

// yencNoPlace leaves the =ypart line out.
func yencNoPlace(part string) string {
	at := strings.Index(part, "=ypart")
	return part[:at] + part[at+strings.IndexByte(part[at:], '\n')+1:]
}

func FuzzYEnc(f *testing.F) {
	f.Add([]byte(prefixed("> ", yencText("a", "\x04\x04dots\x00", ""))))
	f.Add([]byte(yencSlice(2, 20, 11, "0123456789", "") + yencSlice(1, 20, 1, "0123456789", " pcrc32=1")))
	fuzz(f, "yenc")
}
