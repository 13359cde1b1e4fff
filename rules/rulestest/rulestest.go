// Package rulestest makes rules and text for tests and measurements: a rule set
// that costs what public ones cost and that matches no ordinary mail, and text as
// decoded mail has it. The same arguments always give the same bytes.
package rulestest

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// What the rules draw on. The openings stand in ordinary mail too: one pattern in
// commonOpening begins with one, so that libyara has beginnings to follow that lead
// nowhere, as it has with public rules.
var (
	openings = []string{
		"http", "https://www.", "<a href=", "<div ", "<td ", "style=", "function", "document.", "please ", "invoice",
		"attach", "payment", "Content-Type", "window.", "return ", "width:", "color:", "account", "order ", "script",
	}
	calls = []string{
		"VirtualAlloc", "CreateRemoteThread", "WriteProcessMemory", "ShellExecute", "WinExec", "URLDownloadToFile",
		"RegSetValueEx", "SetWindowsHookEx", "InternetOpenUrl", "CryptEncrypt", "powershell", "WScript.Shell",
	}
	endings = []string{"exe", "scr", "ps1", "vbs", "hta", "dll", "pif", "jse"}
)

const commonOpening = 48

// maker writes rules from a stream of numbers that is always the same.
type maker struct {
	*rand.Rand
	b strings.Builder
}

func newMaker(stream uint64) *maker { return &maker{Rand: rand.New(rand.NewPCG(1, stream))} }

func pick(m *maker, list []string) string { return list[m.IntN(len(list))] }

// Heavy gives YARA source with n rules of 2 to 6 strings each: hexadecimal with
// wildcards and jumps, text in all its forms, regular expressions; their conditions
// use counts, offsets, loops, and the modules pe, math and hash. A thousand of
// them are as heavy as a thousand rules of public sets: at least 0.38 ms for a
// buffer of 64 bytes, at most 90 MB/s on text like Mail's.
func Heavy(n int) string {
	m := newMaker(2)
	m.b.WriteString("import \"pe\"\nimport \"math\"\nimport \"hash\"\n")
	for i := range n {
		m.rule(i)
	}
	return m.b.String()
}

func (m *maker) rule(i int) {
	fmt.Fprintf(&m.b, "\nrule Heavy_%05d : generated\n{\n\tmeta:\n\t\tdescription = \"generated to be heavy\"\n\t\tmalware = \"Test.Heavy.%d\"\n\t\tscore = %d\n\tstrings:\n", i, i, 70+i%30)
	strs := 2 + m.IntN(5)
	for s := range strs {
		fmt.Fprintf(&m.b, "\t\t$s%d = %s\n", s, m.pattern(s))
	}
	fmt.Fprintf(&m.b, "\tcondition:\n\t\t( %s ) and any of them\n}\n", m.condition(i, strs))
}

// pattern writes a string. The first two of a rule are such as are not found in
// mail, so that no condition comes true there.
func (m *maker) pattern(s int) string {
	switch (s + m.IntN(2)) % 4 {
	case 0:
		return m.hex()
	case 1:
		return fmt.Sprintf("%q %s", pick(m, calls)+m.word(5), []string{"ascii wide", "nocase", "wide fullword", "ascii wide nocase"}[m.IntN(4)])
	case 2:
		return fmt.Sprintf(`/%s[\w "'\/:.=-]{2,24}%s\.%s/`, strings.ReplaceAll(m.opening(), "/", `\/`), m.word(6), pick(m, endings))
	}
	return fmt.Sprintf("%q nocase", m.opening()+" "+m.word(7))
}

func (m *maker) opening() string {
	if m.IntN(commonOpening) == 0 {
		return pick(m, openings)
	}
	return pick(m, calls) + m.word(3)
}

// hex writes a hexadecimal string of 10 to 20 bytes.
func (m *maker) hex() string {
	var b strings.Builder
	b.WriteString("{ ")
	for j := range 10 + m.IntN(11) {
		switch {
		case j%5 == 4 && m.IntN(2) == 0:
			b.WriteString("?? ")
		case j%7 == 6:
			fmt.Fprintf(&b, "[%d-%d] %02X ", 1+m.IntN(3), 4+m.IntN(8), m.IntN(256))
		case j%6 == 5:
			fmt.Fprintf(&b, "( %02X | %02X ) ", m.IntN(256), m.IntN(256))
		default:
			fmt.Fprintf(&b, "%02X ", m.IntN(256))
		}
	}
	return b.String() + "}"
}

// word gives n letters that make no word.
func (m *maker) word(n int) string {
	const letters = "bcdfghjkqvwxz"
	w := make([]byte, n)
	for i := range w {
		w[i] = letters[m.IntN(len(letters))]
	}
	return string(w)
}

func (m *maker) condition(i, strs int) string {
	switch i % 8 {
	case 0:
		return fmt.Sprintf("uint16(0) == 0x5A4D and pe.number_of_sections > %d and 2 of them", 2+m.IntN(4))
	case 1:
		return fmt.Sprintf("for any k in (1..%d) : ( uint32(k) == 0x%08X and $s0 )", 4+m.IntN(8), m.Uint32())
	case 2:
		return fmt.Sprintf("#s0 > %d and #s1 > 1 and @s0[1] < @s1[1]", 1+m.IntN(3))
	case 3:
		return "for any k in (1..#s0) : ( @s0[k] < 1024 and $s1 in (@s0[k]..@s0[k] + 200) )"
	case 4:
		return fmt.Sprintf("filesize < 2MB and $s0 at %d and math.entropy(0, filesize) > 7.%d", m.IntN(512), m.IntN(9))
	case 5:
		return fmt.Sprintf("all of them or ( filesize %% 4 == %d and hash.md5(0, 16) == \"%016x%016x\" )", m.IntN(4), m.Uint64(), m.Uint64())
	case 6:
		return fmt.Sprintf("uint16(0) == 0x5A4D and pe.imports(\"kernel32.dll\", %q) and %d of them", pick(m, calls), min(2, strs))
	}
	return fmt.Sprintf("for all s in (%d, %d, %d) : ( uint8(s) > 0xF0 ) and $s0", m.IntN(64), m.IntN(64), m.IntN(64))
}

// words are what Mail is made of.
var words = strings.Fields(`the of and to in for you is on that with as are this be your we have from at or our will not can
	please find attached the invoice for your last order and let us know if you have any questions about the payment or the
	account meeting tomorrow project report schedule review customer service information update thanks regards team office
	ご利用 お問い合わせ いただき ありがとう ございます 請求書 添付 ファイル 確認 会議 資料 よろしく お願い`)

// Mail gives at least n bytes of text like that of decoded mail: paragraphs,
// links, and HTML with its tables and styles.
func Mail(n int) []byte {
	m := newMaker(3)
	for m.b.Len() < n {
		switch m.IntN(5) {
		case 0:
			fmt.Fprintf(&m.b, "<td class=\"cell%d\" style=\"width:%dpx;color:#%06x;padding:4px\"><a href=\"https://www.example.com/news/%d?id=%x\">", m.IntN(40), m.IntN(600), m.IntN(1<<24), m.IntN(1e5), m.Uint64())
		case 1:
			m.b.WriteString("</a></td></tr>\r\n<tr><div align=\"left\">")
		default:
			for range 8 + m.IntN(30) {
				m.b.WriteString(pick(m, words) + " ")
			}
			m.b.WriteString("\r\n")
		}
	}
	return []byte(m.b.String())
}
