package unpack

import (
	"encoding/binary"
	"io"
	"math/bits"
	"strings"
	"testing"
)

// vbaPack compresses as Office does (MS-OVBA, section 2.4.1).
func vbaPack(text string) string {
	out := []byte{vbaContainer}
	for len(text) > 0 {
		chunk := text[:min(len(text), vbaChunk)]
		text = text[len(chunk):]
		var packed []byte
		flags, bit := 0, 8
		for at := 0; at < len(chunk); {
			if bit == 8 {
				flags, bit = len(packed), 0
				packed = append(packed, 0)
			}
			offsetBits := max(bits.Len(uint(max(at-1, 0))), 4)
			best, from := 0, 0
			for i := range at {
				n := 0
				for n < 0xffff>>offsetBits+3 && at+n < len(chunk) && chunk[i+n] == chunk[at+n] {
					n++
				}
				if n >= best {
					best, from = n, i
				}
			}
			if best >= 3 {
				packed[flags] |= 1 << bit
				packed = binary.LittleEndian.AppendUint16(packed, uint16((at-from-1)<<(16-offsetBits)|(best-3)))
				at += best
			} else {
				packed = append(packed, chunk[at])
				at++
			}
			bit++
		}
		out = binary.LittleEndian.AppendUint16(out, uint16(0xb000|(len(packed)-1)))
		out = append(out, packed...)
	}
	return string(out)
}

func vbaStreamOf(data string) *cfbStream {
	s := &cfbStream{data: []byte(data)}
	s.add(0, int64(len(data)))
	return s
}

func TestMacrosAreUnpacked(t *testing.T) {
	// The examples of MS-OVBA, section 3.2.
	const normal = "\x01\x2f\xb0\x00\x23\x61\x61\x61\x62\x63\x64\x65\x82\x66\x00\x70\x61\x67\x68\x69\x6a\x01\x38\x08\x61\x6b\x6c\x00\x30\x6d\x6e\x6f\x70\x06\x71\x02\x70\x04\x10\x72\x73\x74\x75\x76\x10\x77\x78\x79\x7a\x00\x3c"
	const all = "\x01\x03\xb0\x02\x61\x45\x00"
	long := strings.Repeat("Attribute VB_Name = \"x\"\r\nSub a()\r\nEnd Sub\r\n", 400)
	raw := "\x01\xff\x3f" + strings.Repeat("r", vbaChunk)
	for _, tt := range []struct{ name, data, want, err string }{
		{"what repeats a little", normal, "#aaabcdefaaaaghijaaaaaklaaamnopqaaaaaaaaaaaarstuvwxyzaaa", ""},
		{"what repeats", all, strings.Repeat("a", 73), ""},
		{"long", vbaPack(long), long, ""},
		{"not compressed", raw, strings.Repeat("r", vbaChunk), ""},
		{"padded", vbaPack("abc") + "\x00\x00\x00\x00", "abc", ""},
		{"nothing", "", "", "damaged: macro: no compressed container"},
		{"no container", "\x02\x00", "", "damaged: macro: no compressed container"},
		{"no chunk", "\x01\x00\x10abc", "", "damaged: macro: no chunk where one should be"},
		{"cut short", "\x01\x03\xb0\x02\x61", "a", "damaged: macro cut short"},
		{"a copy of what is not there", "\x01\x03\xb0\x02a\xff\xff", "a", ""},
		{"longer than a chunk", "\x01\x05\xb0\x06a\xff\x0f\xff\x0f", strings.Repeat("a", vbaChunk), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := io.ReadAll(newVBAReader(vbaStreamOf(tt.data), 0))
			if string(got) != tt.want || errText(err) != tt.err {
				t.Errorf("%d bytes %.60q, want %d; error %q, want %q", len(got), got, len(tt.want), errText(err), tt.err)
			}
		})
	}
}

func vbaRecord(id int, value string) string {
	return string(binary.LittleEndian.AppendUint16(nil, uint16(id))) + number(len(value)) + value
}

// vbaDir is a list of one module.
func vbaDir(name, stream string, offset int) string {
	version := string(binary.LittleEndian.AppendUint16(nil, vbaVersion)) + number(4) + "\x01\x00\x00\x00\x02\x00"
	return vbaRecord(1, number(1)) + vbaRecord(vbaCodePage, "\xa4\x03") + version + vbaRecord(vbaModuleName, name) +
		vbaRecord(vbaStreamName, stream) + vbaRecord(vbaModuleOffset, number(offset)) + vbaRecord(vbaModuleEnd, "") + vbaRecord(0x10, "")
}

func TestMacrosAreFound(t *testing.T) {
	source := "Attribute VB_Name = \"Module1\"\r\nSub AutoOpen()\r\n' " + marker + "\r\nEnd Sub\r\n"
	code := strings.Repeat("p-code ", 20)
	module := code + vbaPack(source)
	odd := code + vbaPack("Sub AutoOpen() ' "+marker)
	project := cfbNode{name: "_VBA_PROJECT", data: "\xcc\x61"}
	vba := func(dir, module string) []byte {
		return cfbOf(storage("Macros", storage("VBA", project, cfbNode{name: "dir", data: dir}, cfbNode{name: "Module1", data: module})))
	}
	right := vbaPack(vbaDir("Module1", "Module1", len(code)))
	for _, tt := range []struct {
		name, objects, unchecked string
		data                     []byte
	}{
		{"as it should be", "Module1.bas*", "", vba(right, module)},
		{"in a module that begins otherwise", "Module1.bas*", "", vba(right, odd)},
		{"name in cp932", "請求.bas*", "", vba(vbaPack(vbaDir("\x90\xbf\x8b\x81", "Module1", len(code))), module)},
		{"wrong offset", "Module1.bas*", "", vba(vbaPack(vbaDir("Module1", "Module1", 7)), module)},
		{"offset beyond everything", "Module1.bas*", "", vba(vbaPack(vbaDir("Module1", "Module1", -1)), module)},
		{"stream of another name", "Module1.bas*", "", vba(vbaPack(vbaDir("Module1", "MODULE1", len(code))), module)},
		{"stream that is not there", "Module1.bas*", "f/Other.bas: ole: Other.bas: damaged: no source of a macro", vba(vbaPack(vbaDir("Other", "Other", len(code))), module)},
		{"no list", "Module1.bas*", "f: ole: damaged: macros: no list of modules", vba("\x01nonsense", module)},
		{"list that is none", "Module1.bas*", "", vba("nonsense", module)},
		{"no source", "", "f/Module1.bas: ole: Module1.bas: damaged: no source of a macro", vba(right, code)},
		{"source that is cut short", "Module1.bas", "f/Module1.bas: ole: Module1.bas: damaged: macro cut short", vba(right, module[:len(code)+30])},
		{"module that is not listed", "Module1.bas Other.bas*", "", cfbOf(storage("VBA", project, cfbNode{name: "dir", data: right},
			cfbNode{name: "Module1", data: code + vbaPack("Attribute VB_Name = \"Module1\"")}, cfbNode{name: "Other", data: code + vbaPack(source)}))},
		{"module that is deleted", "Module1.bas*", "", cfbOf(storage("VBA", project, cfbNode{name: "dir", data: "x"}), cfbNode{name: "Module1", data: module, kind: -1, lost: true})},
		{"listed twice", "Module1.bas*", "", vba(vbaPack(strings.Repeat(vbaDir("Module1", "Module1", len(code)), 2)), module)},
		{"forms", "Form/f* Form/o*", "", cfbOf(storage("Form", cfbNode{name: "f", data: marker}, cfbNode{name: "o", data: marker}))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objects, unchecked := toldOf(walked(t, Limits{}, "f", tt.data))
			if objects != tt.objects || unchecked != tt.unchecked {
				t.Errorf("objects %q, want %q; unchecked %q, want %q", objects, tt.objects, unchecked, tt.unchecked)
			}
		})
	}
}
