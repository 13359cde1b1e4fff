package unpack

import (
	"bytes"
	"crypto/rc4"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
	"testing"
)

// oleTold checks what comes out of compound files.
type oleTold struct {
	name, objects, unchecked string
	data                     []byte
}

func (tt oleTold) check(t *testing.T) {
	t.Run(tt.name, func(t *testing.T) {
		objects, unchecked := toldOf(walked(t, Limits{}, "f", tt.data))
		if objects != tt.objects || unchecked != tt.unchecked {
			t.Errorf("objects %q, want %q; unchecked %q, want %q", objects, tt.objects, unchecked, tt.unchecked)
		}
	})
}

func TestEmbeddedObjects(t *testing.T) {
	native := func(data string) []byte { return cfbOf(cfbNode{name: "\x01Ole10Native", data: data}) }
	data := olePackage("a.exe", marker)
	whole := number(len(data)) + data
	for _, tt := range []oleTold{
		{"package", "a.exe* Ole10Native*", "", native(whole)},
		{"package without its length", "a.exe* Ole10Native*", "", native(whole[4:])},
		{"package with a wrong length", "a.exe* Ole10Native*", "", native("\xff\xff\xff\xff" + whole[4:])},
		{"file with a length that is too large", "a.exe* Ole10Native*", "f/a.exe: ole: a.exe: damaged: cut short", native(strings.Replace(whole, number(len(marker)), number(1<<30), 1))},
		{"file with a length of nothing", "a.exe Ole10Native*", "", native(strings.Replace(whole, number(len(marker)), number(0), 1))},
		{"native data that are a file", "native data* Ole10Native*", "", native(number(40) + "MZ" + marker + strings.Repeat(" ", 25))},
		{"nothing", "Ole10Native", "", native("x")},
		{"other objects", "CONTENTS* MBD1/Package* Equation Native*", "", cfbOf(cfbNode{name: "CONTENTS", data: marker}, storage("MBD1", cfbNode{name: "Package", data: marker}), cfbNode{name: "Equation Native", data: marker})},
		{"documents in a document", "ObjectPool/_1/WordDocument* ObjectPool/_2/Workbook*", "", cfbOf(cfbNode{name: "WordDocument", data: marker},
			storage("ObjectPool", storage("_1", cfbNode{name: "WordDocument", data: marker}), storage("_2", cfbNode{name: "Workbook", data: marker})))},
		{"file in a stream of any name", "x/y*", "", cfbOf(storage("x", cfbNode{name: "y", data: "MZ, a program, and the " + marker}))},
		{"image in a stream", "", "", cfbOf(cfbNode{name: "y", data: "\x89PNG\r\n\x1a\n" + marker})},
		{"document alone", "", "", cfbOf(cfbNode{name: "WordDocument", data: strings.Repeat(marker, 1000)}, cfbNode{name: "\x05SummaryInformation", data: marker})},
		{"rights management", "", "f/DRMContent: ole: DRMContent: encrypted: protected by rights management", cfbOf(cfbNode{name: "\x09DRMContent", data: "x"})},
		{"installer", "Binary.a.vbs*", "", cfbOf(cfbNode{name: msiPacked("Binary.a.vbs"), data: marker}, cfbNode{name: msiPacked("!Property"), data: marker})},
	} {
		tt.check(t)
	}
}

// msiPacked is a name as installers have it.
func msiPacked(name string) string {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._"
	var packed []rune
	if name[0] == '!' {
		packed, name = append(packed, 0x4840), name[1:]
	}
	for ; len(name) > 1; name = name[2:] {
		packed = append(packed, rune(0x3800+strings.IndexByte(letters, name[0])+strings.IndexByte(letters, name[1])<<6))
	}
	if name != "" {
		packed = append(packed, rune(0x4800+strings.IndexByte(letters, name[0])))
	}
	return string(packed)
}

func TestMessagesOfOutlook(t *testing.T) {
	prop := func(tag, value string) cfbNode { return cfbNode{name: msgPrefix + tag, data: value} }
	long := strings.TrimSuffix(tnefWide("請求書.txt"), "\x00\x00")
	attach := func(nodes ...cfbNode) cfbNode { return storage("__attach_version1.0_#00000000", nodes...) }
	for _, tt := range []oleTold{
		{"bodies", "body.txt* body.txt* body.html* body.rtf*", "", cfbOf(prop("1000001F", tnefWide(marker)), prop("1000001E", marker), prop("10130102", "text "+marker), prop("10090102", lzfuPack(marker)))},
		{"attachment", "請求書.txt*", "", cfbOf(attach(prop("37010102", marker), prop("3707001F", long), prop("3704001F", tnefWide("x"))))},
		{"short name", "short.txt*", "", cfbOf(attach(prop("37010102", marker), prop("3704001E", "short.txt")))},
		{"no name", "attachment*", "", cfbOf(attach(prop("37010102", marker)))},
		{"message in the message", "請求書.txt*", "", cfbOf(attach(storage(msgPrefix+"3701000D", attach(prop("37010102", marker), prop("3707001F", long)))))},
		{"other properties", "", "", cfbOf(prop("0037001F", tnefWide(marker)), prop("zzzz", marker), prop("", marker))},
		{"names of properties", "", "", cfbOf(storage(msgNames, prop("10090102", marker), prop("10000102", marker)))},
		{"RTF that is damaged", "body.rtf*", "f/body.rtf: ole: body.rtf: damaged: compressed RTF: wrong checksum", cfbOf(prop("10090102", lzfuPack(marker)[:12]+"abcd"+lzfuPack(marker)[16:]))},
		{"large attachment", "attachment*", "", (&cfbWriter{shift: 9, scatter: true}).file(attach(prop("37010102", strings.Repeat(marker, 500))))},
	} {
		tt.check(t)
	}
}

func TestObjectsOfPresentations(t *testing.T) {
	object := string(cfbOf(cfbNode{name: "CONTENTS", data: marker}))
	record := func(instance int, data string) string {
		return string(binary.LittleEndian.AppendUint16(nil, uint16(instance<<4))) + pptObject + number(len(data)) + data
	}
	packed := zlibbed(object)
	show := func(data string) []byte {
		return cfbOf(cfbNode{name: "PowerPoint Document", data: "\x0f\x00\xe8\x03\x10\x00\x00\x00" + data})
	}
	user := func(token int) []byte {
		return cfbOf(cfbNode{name: "Current User", data: "\x00\x00\xf6\x0f\x14\x00\x00\x00" + number(20) + number(token)})
	}
	for _, tt := range []oleTold{
		{"compressed", "object1* object1/CONTENTS*", "", show(record(1, number(len(object))+packed))},
		{"as it is", "object1* object1/CONTENTS*", "", show(record(0, object))},
		{"two", "object1* object1/CONTENTS* object2* object2/CONTENTS*", "", show(record(0, object) + record(1, number(len(object))+packed))},
		{"wrong lengths", "object1* object1/CONTENTS*", "", show(strings.Replace(record(1, number(3)+packed), number(len(packed)+4), number(-1), 1))},
		{"no mark of the end", "object1* object1/CONTENTS*", "", show(record(1, number(len(object))+packed[:len(packed)-5]+"\xff\xff\xff\xff\xff\xff"))},
		{"the type in a text", "", "", show("\x11\x10\x11\x10 " + pptObject)},
		{"encrypted", "", "f/PowerPoint Document: ole: PowerPoint Document: encrypted: presentation", user(0xf3d1c4df)},
		{"not encrypted", "", "", user(0xe391c05f)},
	} {
		tt.check(t)
	}
}

// Objects that hold all the others, as they stand, end.
func TestObjectsOverOneAnotherEnd(t *testing.T) {
	const stored = "\x78\x01\x00\xff\xff\x00\x00" // the rest, as it is
	object := "\x00\x00" + pptObject + number(0) + number(0) + stored
	data := cfbOf(cfbNode{name: "PowerPoint Document", data: strings.Repeat(object, 20000)})
	n := walked(t, Limits{}, "f", data)
	if n.bytes > 20*int64(len(data)) || len(n.unchecked) == 0 || !strings.Contains(n.unchecked[len(n.unchecked)-1], "overlap") {
		t.Errorf("%d bytes out of %d; unchecked %q", n.bytes, len(data), n.unchecked)
	}
}

// biff is a record of a workbook.
func biff(kind int, body string) string {
	b := binary.LittleEndian.AppendUint16(nil, uint16(kind))
	return string(binary.LittleEndian.AppendUint16(b, uint16(len(body)))) + body
}

// excel4Book is a workbook with a sheet of macros, and what else is in it.
func excel4Book(records ...string) string {
	sheet := number(0) + "\x00\x01\x06\x00Macro1"
	bof := "\x00\x06\x05\x00" + strings.Repeat("\x00", 12)
	return biff(biffBOF, bof) + biff(biffBoundSheet, sheet) + strings.Join(records, "") + biff(0x0a, "")
}

// biffFormulaOf is a cell with a formula of these tokens.
func biffFormulaOf(tokens string) string {
	return biff(biffFormula, strings.Repeat("\x00", 20)+string(binary.LittleEndian.AppendUint16(nil, uint16(len(tokens))))+tokens)
}

func TestMacrosOfExcel4(t *testing.T) {
	str := func(s string) string { return "\x17" + string(rune(len(s))) + "\x00" + s }
	char := func(c string) string { return "\x1e" + c + "\x00\x41\x6f\x00" }
	name := "\x20\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" // Auto_Open
	shared := func(strings string) string { return number(1) + number(1) + strings }
	for _, tt := range []struct{ name, book, want string }{
		{"strings of formulas", excel4Book(biffFormulaOf(str("calc.exe") + "\x42\x01\x6e\x00")), "Macro1\ncalc.exe\nEXEC\n"},
		{"strings that are put together", excel4Book(biffFormulaOf(str("URLDown") + str("load") + "\x08" + str("ToFile") + "\x08")), "Macro1\nURLDownloadToFile\n"},
		{"characters by their codes", excel4Book(biffFormulaOf(char("E") + char("X") + "\x08" + char("E") + "\x08" + char("C") + "\x08")), "Macro1\nEXEC\n"},
		{"other tokens between", excel4Book(biffFormulaOf("\x44\x01\x02\x03\x04\x19\x40\x00\x01\x1f12345678" + str("a") + "\x5a123456" + str("b"))), "Macro1\na\nb\n"},
		{"a name that runs", excel4Book(biff(biffName, name)), "Macro1\nAuto_Open\n"},
		{"cells", excel4Book(biff(biffLabel, "\x00\x00\x00\x00\x00\x00\x03\x00\x00abc") + biff(biffString, "\x02\x00\x01\xcb\x8a\x42\x6c")), "Macro1\nabc\n請求\n"},
		{"shared strings", excel4Book(biff(biffStrings, shared("\x03\x00\x00abc\x02\x00\x01\xcb\x8a\x42\x6c"))), "Macro1\nabc\n請求\n"},
		{"shared strings over records", excel4Book(biff(biffStrings, shared("\x06\x00\x00abc")) + biff(biffContinue, "\x01d\x00e\x00f\x00\x01\x00\x00") + biff(biffContinue, "\x00x")), "Macro1\nabcdef\nx\n"},
		{"shared strings with what hangs on them", excel4Book(biff(biffStrings, shared("\x01\x00\x0c\x01\x00\x02\x00\x00\x00a1234\x78\x79\x01\x00\x00b"))), "Macro1\na\nb\n"},
		{"shared strings that are cut short", excel4Book(biff(biffStrings, shared("\xff\xff\x00abc"))), "Macro1\nabc\n"},
		{"formula that is cut short", excel4Book(biffFormulaOf("\x17\xff\x00abc")), "Macro1\nabc\n"},
		{"no macros", strings.Replace(excel4Book(biffFormulaOf(str("x"))), "\x00\x01\x06\x00Macro1", "\x00\x00\x06\x00Sheet1", 1), ""},
		{"a sheet of macros that the list calls something else", strings.Replace(excel4Book(biff(biffBOF, "\x00\x06\x40\x00"), biffFormulaOf(str("x"))), "\x00\x01\x06\x00Macro1", "\x00\x00\x06\x00Sheet1", 1), "Sheet1\nx\n"},
		{"Excel 5", biff(biffBOF, "\x00\x05\x05\x00\x00\x00\x00\x00") + biff(biffBoundSheet, number(0)+"\x00\x01\x01M") + biff(biffBOF, "\x00\x06\x40\x00\x00\x00\x00\x00") + biffFormulaOf("\x17\x03abc"), "M\nabc\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", cfbOf(cfbNode{name: "Workbook", data: tt.book}))
			got := strings.Join(n.data[1:], "|")
			if got != tt.want || len(n.unchecked) > 0 {
				t.Errorf("%q, want %q; unchecked %q", got, tt.want, n.unchecked)
			}
		})
	}
}

func TestEncryptedOfficeIsOpened(t *testing.T) {
	for _, tt := range []struct{ file, marked string }{
		{"ole-agile.docx", "EncryptedPackage/word/note.txt"},
		{"ole-standard.docx", "EncryptedPackage/word/document.xml"},
		{"ole-rc4.doc", "WordDocument"},
		{"ole-rc4.xls", "Workbook"},
	} {
		t.Run(tt.file, func(t *testing.T) {
			data := load(t, tt.file)
			n := opened(t, []string{"wrong", "kiyome"}, data)
			if wide := strings.TrimSuffix(tnefWide(marker), "\x00\x00"); n.marked == "" && strings.Contains(n.data[1], wide) {
				n.marked = strings.TrimPrefix(n.objects[1], "x.zip/") // Word has text in UTF-16
			}
			if n.marked != tt.marked || len(n.unchecked) > 0 {
				t.Errorf("objects %q, marked %q, unchecked %q", n.objects, n.marked, n.unchecked)
			}
			for _, passwords := range [][]string{nil, {"wrong", ""}} {
				n := opened(t, passwords, data)
				if len(n.objects) != 1 || len(n.unchecked) != 1 || !strings.Contains(n.unchecked[0], "encrypted") {
					t.Errorf("passwords %q: objects %q, unchecked %q", passwords, n.objects, n.unchecked)
				}
			}
		})
	}
}

// Every bit of what says how a package is encrypted may be wrong.
func TestEncryptionThatLies(t *testing.T) {
	for _, file := range []string{"ole-agile-velvet.docx", "ole-velvet.xls"} {
		data := load(t, file)
		r := &oleReader{cfb: openCFB(data)}
		at, n := int64(0), int64(0)
		if e := r.child(0, "EncryptionInfo"); e != nil {
			s := r.open(e)
			at, n = s.place(0), s.size
		} else {
			at, n = r.open(r.child(0, "Workbook")).place(24), 54
		}
		for i := at; i < at+n; i += 3 {
			for _, c := range []byte{0, 1, 0xff} {
				bad := slices.Clone(data)
				bad[i] = c
				if got := walked(t, Limits{}, "f", bad); got.marked == "" && len(got.unchecked) == 0 {
					t.Fatalf("%s with %#x at %d: objects %q and not a word", file, c, i, got.objects)
				}
			}
		}
	}
}

// No free program writes the other ways of encrypting workbooks: this does.

func TestWorkbooksEncryptedOtherwise(t *testing.T) {
	const password = officePassword
	le := binary.LittleEndian
	book := excel4Book(biffFormulaOf("\x17\x0d\x00" + marker))
	at := len(biff(biffBOF, strings.Repeat("\x00", 16)))
	lock := func(pass string, cipher officeCipher) []byte {
		records := []byte(book[:at] + biff(biffFilePass, pass) + book[at:])
		for from := at + len(pass) + 4; from < len(records); {
			size := int(le.Uint16(records[from+2:]))
			skip := 0
			if le.Uint16(records[from:]) == biffBoundSheet {
				skip = 4
			}
			from += 4
			if x, ok := cipher.(*xorCipher); ok {
				for i := skip; i < size; i++ {
					records[from+i] = bits.RotateLeft8(records[from+i], 5) ^ x.pad[(from+size+i-skip)%16]
				}
			} else {
				cipher.decrypt(records[from+skip:from+size], int64(from+skip))
			}
			from += size
		}
		return cfbOf(cfbNode{name: "Workbook", data: string(records)})
	}
	xor, _ := newXOR(0x1234, 0, password)
	sum := uint16(0)
	for v := range 1 << 16 {
		if _, ok := newXOR(0x1234, uint16(v), password); ok {
			sum = uint16(v)
		}
	}
	api := func(keyBits int, password string) (pass string, cipher officeCipher) {
		header := number(4) + number(0) + number(officeRC4) + number(0x8004) + number(keyBits) + number(1) + number(0) + number(0) + "\x00\x00"
		info := "\x02\x00\x02\x00" + number(4) + number(len(header)) + header
		salt, verifier := "0123456789abcdef", "fedcba9876543210"
		full := info + number(16) + salt + verifier + number(20) + strings.Repeat("\x00", 20)
		key, _ := cryptoAPIKeys([]byte(full), password)
		proof := append([]byte(verifier), digestOf(agileHashes["SHA1"], []byte(verifier))...)
		c, err := rc4.NewCipher(key(0))
		if err != nil {
			t.Fatal(err)
		}
		c.XORKeyStream(proof, proof)
		full = info + number(16) + salt + string(proof[:16]) + number(20) + string(proof[16:])
		return "\x01\x00" + full, &rc4Cipher{key: key, block: 1024}
	}
	xorPass := "\x00\x00" + string(le.AppendUint16(le.AppendUint16(nil, 0x1234), sum))
	pass128, cipher128 := api(128, password)
	pass40, cipher40 := api(40, password)
	passOther, cipherOther := api(128, "other")
	for _, tt := range []oleTold{
		{"obfuscated", "Workbook* macros.txt*", "", lock(xorPass, xor)},
		{"obfuscated, Excel 5", "Workbook* macros.txt*", "", lock(xorPass[2:], xor)},
		{"CryptoAPI, 128 bits", "Workbook* macros.txt*", "", lock(pass128, cipher128)},
		{"CryptoAPI, 40 bits", "Workbook* macros.txt*", "", lock(pass40, cipher40)},
		{"CryptoAPI, another password", "", "f/Workbook: ole: Workbook: encrypted: workbook", lock(passOther, cipherOther)},
		{"in a way that is not known", "", "f/Workbook: ole: Workbook: encrypted: workbook", lock("\x07\x00\x01\x00\x01\x00", xor)},
	} {
		tt.check(t)
	}
}

// What one cipher decrypts in pieces of any size is the same.
func TestDecryptingGoesByPlaces(t *testing.T) {
	key := func(block uint32) []byte { return binary.LittleEndian.AppendUint32([]byte("key"), block) }
	whole := make([]byte, 5000)
	(&rc4Cipher{key: key, block: 512}).decrypt(whole, 0)
	for _, n := range []int{1, 7, 511, 512, 513, 1000} {
		got, c := make([]byte, len(whole)), &rc4Cipher{key: key, block: 512}
		for at := 0; at < len(got); at += n {
			c.decrypt(got[at:min(at+n, len(got))], int64(at))
		}
		if !bytes.Equal(got, whole) {
			t.Errorf("in pieces of %d bytes it is something else", n)
		}
	}
}
