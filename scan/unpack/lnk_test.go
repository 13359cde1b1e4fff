package unpack

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"testing"
)

// lnkParts is a shortcut that a test writes: no tool here does. lnkinfo of liblnk
// 20181227 reads what is written.
type lnkParts struct {
	ids, info string
	strings   [lnkStrings]string
	ansi      bool
	extra     string // blocks, and what ends them
	behind    string
}

func lnkOf(p lnkParts) string {
	le := binary.LittleEndian
	flags := uint32(0)
	body := ""
	short := func(n int) string { return string(le.AppendUint16(nil, uint16(n))) }
	if p.ids != "" {
		flags |= lnkHasIDs
		body += short(len(p.ids)+2) + p.ids + "\x00\x00"
	}
	if p.info != "" {
		flags |= lnkHasInfo
		body += p.info
	}
	for i, s := range p.strings {
		if s == "" {
			continue
		}
		flags |= 1 << (lnkHasStrings + i)
		if p.ansi {
			body += short(len(s)) + s
			continue
		}
		wide := oneNoteWide(s)
		body += short(len(wide)/2) + wide
	}
	if !p.ansi {
		flags |= lnkIsUnicode
	}
	head := le.AppendUint32([]byte(lnkMagic), flags)
	head = append(head, make([]byte, lnkHeader-len(head))...)
	head[60] = 1 // SW_SHOWNORMAL
	return string(head) + body + p.extra + p.behind
}

// lnkBlockOf writes a block of extra data.
func lnkBlockOf(kind uint32, data string) string {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(data)+8))
	return string(binary.LittleEndian.AppendUint32(b, kind)) + data
}

// lnkPathBlock writes one that holds a path twice.
func lnkPathBlock(kind uint32, path string) string {
	return lnkBlockOf(kind, path+strings.Repeat("\x00", lnkPath-len(path))+oneNoteWide(path)+strings.Repeat("\x00", 2*(lnkPath-len(path))))
}

// lnkInfoOf writes where a target on a drive is.
func lnkInfoOf(path string) string {
	le := binary.LittleEndian
	volume := string(lnkWords(0x11, 3, 0, 0x10)) + "\x00"
	b := lnkWords(uint32(0x1c+len(volume)+len(path)+2), 0x1c, 1, 0x1c, uint32(0x1c+len(volume)), 0, uint32(0x1c+len(volume)+len(path)+1))
	le.PutUint32(b, uint32(len(b)+len(volume)+len(path)+2))
	return string(b) + volume + path + "\x00\x00"
}

func lnkWords(v ...uint32) (b []byte) { return chmWords(v...) }

// lnkItem writes an item of a list: a drive, or a file with a short name and,
// perhaps, a long one.
func lnkItem(short, long string) string {
	item := "\x2f" + short + strings.Repeat("\x00", 22-len(short))
	if !strings.Contains(short, ":") {
		item = "\x32\x00" + strings.Repeat("\x00", 10) + short + "\x00"
		if len(item)%2 == 1 {
			item += "\x00"
		}
	}
	if long != "" {
		b := make([]byte, 20)
		copy(b[2:], "\x03\x00\x04\x00\xef\xbe")
		item += string(b) + oneNoteWide(long) + "\x00\x00\x14\x00"
	}
	return string(binary.LittleEndian.AppendUint16(nil, uint16(len(item)+2))) + item
}

func TestShortcuts(t *testing.T) {
	const end = "\x00\x00\x00\x00"
	arguments := [lnkStrings]string{lnkArguments: "/c echo KIYOME-MARKER"}
	all := [lnkStrings]string{"請求書", `..\..\cmd.exe`, `C:\作業`, "/c echo KIYOME-MARKER", `C:\icon.ico`}
	cut := "f: lnk: damaged: cut short"
	long := arguments
	long[lnkFolder] = "C:" + strings.Repeat(" ", 258)
	hidden := strings.Replace(lnkOf(lnkParts{strings: long, extra: end}), "\x04\x01C", "\x70\x02C", 1)
	table(t, []struct{ name, data, objects, unchecked string }{
		{"arguments alone", lnkOf(lnkParts{strings: arguments, extra: end}), "shortcut.txt=/c echo KIYOME-MARKER\r\n", ""},
		{"all strings", lnkOf(lnkParts{strings: all, extra: end}), "shortcut.txt=..\\..\\cmd.exe /c echo KIYOME-MARKER\r\nC:\\作業\r\nC:\\icon.ico\r\n請求書\r\n", ""},
		{"in cp932", lnkOf(lnkParts{strings: [lnkStrings]string{lnkArguments: "/c \x90\xbf\x8b\x81\x8f\x91"}, ansi: true, extra: end}), "shortcut.txt=/c 請求書\r\n", ""},
		{"target by its place", lnkOf(lnkParts{info: lnkInfoOf(`C:\Windows\cmd.exe`), strings: arguments, extra: end}), "shortcut.txt=C:\\Windows\\cmd.exe /c echo KIYOME-MARKER\r\n", ""},
		{"target by items", lnkOf(lnkParts{ids: lnkItem(`C:\`, "") + lnkItem("WINDOWS", "") + lnkItem("POWERS~1.EXE", "powershell.exe"), strings: arguments, extra: end}),
			"shortcut.txt=C:\\WINDOWS\\powershell.exe /c echo KIYOME-MARKER\r\n", ""},
		{"target by an environment variable", lnkOf(lnkParts{strings: arguments, extra: lnkPathBlock(lnkEnvironment, `%ComSpec%`) + end}), "shortcut.txt=%ComSpec% /c echo KIYOME-MARKER\r\n", ""},
		{"nothing to run", lnkOf(lnkParts{extra: end}), "", ""},
		{"appended", lnkOf(lnkParts{strings: arguments, extra: end, behind: "\x00\x00MZ KIYOME"}), "shortcut.txt=/c echo KIYOME-MARKER\r\n|appended=MZ KIYOME", ""},
		{"appended, and no end of blocks", lnkOf(lnkParts{extra: "MZ KIYOME-MARKER"}), "appended=MZ KIYOME-MARKER", cut},
		{"unknown block", lnkOf(lnkParts{extra: lnkBlockOf(0xa00000ff, "KIYOME-MARKER") + end}), "block-a00000ff=KIYOME-MARKER", ""},
		{"block of another length", lnkOf(lnkParts{extra: lnkBlockOf(0xa0000003, "KIYOME-MARKER") + end}), "block-a0000003=KIYOME-MARKER", ""},
		{"known blocks", lnkOf(lnkParts{extra: lnkBlockOf(0xa0000003, strings.Repeat("t", 0x58)) + lnkBlockOf(0xa0000009, "properties") + end}), "", ""},
		{"folder longer than a path", hidden,
			"shortcut.txt=C:" + strings.Repeat(" ", 258) + "\x15/c echo KIYOME-MARKER\r\n|shortcut.txt=/c echo KIYOME-MARKER\r\nC:" + strings.Repeat(" ", 258) + "\r\n", ""},
		{"length of a string", strings.Replace(lnkOf(lnkParts{strings: arguments}), "\x15\x00/", "\xff\xff/", 1), "shortcut.txt=/c echo KIYOME-MARKER\r\n", cut},
		{"length of the items", strings.Replace(lnkOf(lnkParts{ids: lnkItem(`C:\`, "")}), "\x1b\x00", "\xff\xff", 1), "shortcut.txt=C:\r\n", cut},
		{"length of the place 0", lnkOf(lnkParts{info: end, strings: arguments, extra: end}), "shortcut.txt=/c echo KIYOME-MARKER\r\n", ""},
		{"length of the place too large", lnkOf(lnkParts{info: "\xff\xff\xff\xff" + lnkInfoOf("C:\\a")[4:]}), "shortcut.txt=C:\\a\r\n", cut},
		{"offsets of the place", lnkOf(lnkParts{info: string(lnkWords(0x24, 0x24, 3, 1<<31, 1<<31, 0x20, 0x23, 1<<31, 0x1c)), extra: end}), "", ""},
		{"cut in the header", lnkMagic, "", cut},
	})
}

// A command in base64 is decoded by what opens the text.
func TestShortcutWithACommand(t *testing.T) {
	command := base64.StdEncoding.EncodeToString([]byte(oneNoteWide("Write-Output 'KIYOME-MARKER'; exit")))
	data := lnkOf(lnkParts{info: lnkInfoOf(`C:\Windows\powershell.exe`), strings: [lnkStrings]string{lnkArguments: "-w hidden -enc " + command}})
	n := walked(t, Limits{}, "f.lnk", []byte(data))
	if want := "shortcut.txt/script.txt/script.txt"; n.marked != want {
		t.Errorf("the marker is in %q, want %q; objects %q", n.marked, want, n.objects)
	}
}

func TestShortcutCutOffAnywhereIsNeverSilent(t *testing.T) {
	whole := lnkOf(lnkParts{info: lnkInfoOf(`C:\cmd.exe`), strings: [lnkStrings]string{lnkArguments: "/c echo KIYOME-MARKER"}, extra: lnkPathBlock(lnkEnvironment, "%ComSpec%") + "\x00\x00\x00\x00"})
	for n := len(lnkMagic); n < len(whole); n++ {
		got := walked(t, Limits{}, "f", []byte(whole[:n]))
		if strings.Contains(strings.Join(got.data[1:], ""), marker) {
			return // the rest says nothing of it
		}
		if len(got.unchecked) == 0 {
			t.Fatalf("cut to %d of %d bytes: not a word", n, len(whole))
		}
	}
}

func FuzzShortcut(f *testing.F) {
	f.Add([]byte(lnkOf(lnkParts{
		ids: lnkItem(`C:\`, "") + lnkItem("POWERS~1.EXE", "powershell.exe"), info: lnkInfoOf(`C:\cmd.exe`),
		strings: [lnkStrings]string{"n", "r", "w", "-enc KIYOME", "i"}, extra: lnkPathBlock(lnkEnvironment, "%ComSpec%") + lnkBlockOf(1, "x") + "\x00\x00\x00\x00", behind: "MZ",
	})))
	fuzz(f, "lnk")
}
