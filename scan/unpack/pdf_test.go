package unpack

import (
	"bytes"
	gif "compress/lzw"
	"compress/zlib"
	"encoding/ascii85"
	"encoding/hex"
	"fmt"
	picture "image"
	"image/png"
	"io"
	"slices"
	"strings"
	"testing"
)

// pdfMarked is an attachment that begins as a program does.
const pdfMarked = "MZ, a program: KIYOME-MARKER"

// pdfOf makes a document of objects, without a table.
func pdfOf(objects ...string) string {
	return "%PDF-1.7\n" + strings.Join(objects, "\n") + "\ntrailer << /Root 1 0 R >>\nstartxref\n0\n%%EOF\n"
}

// pdfStream makes the object 7, a stream.
func pdfStream(dict, data string) string {
	return fmt.Sprintf("7 0 obj\n<< /Length %d %s >>\nstream\n%s\nendstream\nendobj", len(data), dict, data)
}

func inZlib(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

func in85(s string) string {
	b := make([]byte, ascii85.MaxEncodedLen(len(s)))
	return string(b[:ascii85.Encode(b, []byte(s))]) + "~>"
}

// inLZW is what EarlyChange 0 says: the codes of GIF, the highest bit first.
func inLZW(s string) string {
	var b bytes.Buffer
	w := gif.NewWriter(&b, gif.MSB, 8)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

// inPNG is a text as the rows of an image, as a PNG has them.
func inPNG(t *testing.T, s string, columns int) string {
	gray := &picture.Gray{Pix: []byte(s), Stride: columns, Rect: picture.Rect(0, 0, columns, len(s)/columns)}
	var b bytes.Buffer
	if err := png.Encode(&b, gray); err != nil {
		t.Fatal(err)
	}
	var data []byte
	for chunk := b.Bytes()[8:]; len(chunk) > 12; {
		n := int(chunk[0])<<24 | int(chunk[1])<<16 | int(chunk[2])<<8 | int(chunk[3])
		if string(chunk[4:8]) == "IDAT" {
			data = append(data, chunk[8:8+n]...)
		}
		chunk = chunk[12+n:]
	}
	return string(data)
}

// differences is what TIFF's predictor makes of rows: each sample less the one before it.
func differences(s string, columns, colors int) string {
	b := []byte(s)
	for row := range slices.Chunk(b, columns*colors) {
		for i := len(row) - 1; i >= colors; i-- {
			row[i] -= row[i-colors]
		}
	}
	return string(b)
}

// nibbles is the same for samples of 4 bits.
func nibbles(s string, columns int) string {
	b := []byte(s)
	for row := range slices.Chunk(b, columns/2) {
		before := byte(0)
		for i, c := range row {
			high, low := c>>4, c&15
			row[i] = (high-before)<<4 | (low-high)&15
			before = low
		}
	}
	return string(b)
}

func TestPDFFilters(t *testing.T) {
	long := strings.Repeat("MZ, a program of some length 0123456789. ", 400) + strings.Repeat(" ", 360) + pdfMarked
	long = long[:len(long)/32*32]
	if !strings.Contains(long, marker) {
		long = strings.Repeat(" ", 32-len(marker)%32) + marker + long
	}
	rows := "MZ" + strings.Repeat("rows of an image. ", 35) + marker + strings.Repeat("-", 240)
	rows = rows[:len(rows)/24*24]
	for _, tt := range []struct{ name, dict, data string }{
		{"none", "", pdfMarked},
		{"Flate", "/Filter /FlateDecode", inZlib(pdfMarked)},
		{"abbreviated", "/Filter [/AHx /Fl]", hex.EncodeToString([]byte(inZlib(pdfMarked)))},
		{"escaped name", "/#46ilter/#46l#61teDecode", inZlib(pdfMarked)},
		{"F for Filter", "/F /FlateDecode", inZlib(pdfMarked)},
		{"array of one", "/Filter[/FlateDecode]/DecodeParms[null]", inZlib(pdfMarked)},
		{"twice", "/Filter[/FlateDecode/FlateDecode]", inZlib(inZlib(pdfMarked))},
		{"comment in the dictionary", "/Filter%/LZWDecode\n/FlateDecode", inZlib(pdfMarked)},
		{"filter given twice, the first holds", "/Filter /FlateDecode /Filter /LZWDecode", inZlib(pdfMarked)},
		{"filter given twice, the last holds", "/Filter /LZWDecode /Filter /FlateDecode", inZlib(pdfMarked)},
		{"filter elsewhere", "/Filter 8 0 R", inZlib(pdfMarked)},
		{"names elsewhere", "/Filter [8 0 R]", inZlib(pdfMarked)},
		{"wrong checksum", "/Filter /FlateDecode", string(damage([]byte(inZlib(pdfMarked)), -1))},
		{"no checksum", "/Filter /FlateDecode", strings.TrimSuffix(inZlib(pdfMarked), inZlib(pdfMarked)[len(inZlib(pdfMarked))-4:])},
		{"no header", "/Filter /FlateDecode", inZlib(pdfMarked)[2:]},
		{"space before", "/Filter /FlateDecode", "\r\n" + inZlib(pdfMarked)},
		{"base 85", "/Filter /A85", in85(pdfMarked)},
		{"base 85 with a beginning", "/Filter /ASCII85Decode", "<~" + in85(pdfMarked+"\x00\x00\x00\x00")},
		{"base 85 without an end", "/Filter /ASCII85Decode", strings.TrimSuffix(in85(pdfMarked+"."), "~>")},
		{"hex with spaces, odd", "/Filter /ASCIIHexDecode", " " + strings.ReplaceAll(hex.EncodeToString([]byte(pdfMarked)), "4b", "4 \nB") + "7>junk"},
		{"runs", "/Filter /RunLengthDecode", "\x01MZ\xfd-" + string(rune(len(pdfMarked)-1)) + pdfMarked + "\x80junk"},
		{"runs without an end", "/Filter /RL", string(rune(len(pdfMarked)-1)) + pdfMarked},
		{"LZW", "/Filter /LZW /DecodeParms << /EarlyChange 0 >>", inLZW(long)},
		{"PNG predictor", "/Filter /FlateDecode /DecodeParms << /Predictor 15 /Columns 32 >>", inPNG(t, long, 32)},
		{"PNG predictor, parameters elsewhere", "/Filter /FlateDecode /DecodeParms 9 0 R", inPNG(t, long, 32)},
		{"PNG predictor after a filter", "/Filter [/ASCIIHexDecode /FlateDecode] /DP [null << /Predictor 10 /Columns 32 >>]", hex.EncodeToString([]byte(inPNG(t, long, 32)))},
		{"TIFF predictor", "/Filter /FlateDecode /DecodeParms << /Predictor 2 /Columns 8 /Colors 3 >>", inZlib(differences(rows, 8, 3))},
		{"TIFF predictor, 4 bits", "/Filter /FlateDecode /DecodeParms << /Predictor 2 /Columns 48 /BitsPerComponent 4 >>", inZlib(nibbles(rows, 48))},
		{"unknown predictor", "/Filter /FlateDecode /DecodeParms << /Predictor 7 >>", inZlib(pdfMarked)},
		{"Crypt", "/Filter [/Crypt /FlateDecode] /DecodeParms [<< /Name /Identity >> null]", inZlib(pdfMarked)},
		{"called an image", "/Type /XObject /Subtype /Image /Width 2 /Height 2", pdfMarked},
		{"called a JPEG", "/Type /XObject /Subtype /Image /Width 2 /Height 2 /Filter /DCTDecode", pdfMarked},
		{"called a fax", "/Filter [/FlateDecode /CCITTFaxDecode]", inZlib(pdfMarked)},
		{"called a font", "/Type /Font /Length1 10", pdfMarked},
		{"called a table", "/Type /XRef /W [1 2 1]", pdfMarked},
		{"called an object stream", "/Type /ObjStm /N 1 /First 5", pdfMarked},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", []byte(pdfOf(pdfStream(tt.dict, tt.data), "8 0 obj /FlateDecode endobj", "9 0 obj << /Predictor 12 /Columns 32 >> endobj")))
			want := "object-7"
			if strings.HasPrefix(tt.name, "PNG") || tt.name == "LZW" {
				want = "streams" // a text goes with the others
			}
			if n.marked != want || len(n.unchecked) > 0 {
				t.Errorf("objects %q, marked %q, unchecked %q", n.objects, n.marked, n.unchecked)
			}
		})
	}
}

// Every filter of a row, as an encoder of images chooses them.
func TestPDFRowsOfPNG(t *testing.T) {
	const columns = 64
	pixels := make([]byte, 64*columns)
	for i := range pixels {
		x, y := i%columns, i/columns
		pixels[i] = byte([]int{x * 4, y * 4, x*3 + y*5, x * x / 9 * y, i * i >> 5, x*y/7 + x}[y/11])
	}
	parms := pdfDict{{"Predictor", pdfInt(15)}, {"Columns", pdfInt(columns)}}
	d := &pdfDecoders{work: 1 << 20}
	r, _, err := d.chain(strings.NewReader(inPNG(t, string(pixels), columns)), []pdfFilter{{"FlateDecode", parms}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, pixels) {
		t.Errorf("%d bytes, error %v, want the %d pixels", len(got), err, len(pixels))
	}
	kinds := map[byte]bool{}
	raw, err := io.ReadAll(pdfInflater{d.flate(strings.NewReader(inPNG(t, string(pixels), columns)))})
	for i := 0; i < len(raw); i += columns + 1 {
		kinds[raw[i]] = true
	}
	if err != nil || !kinds[1] || !kinds[2] || !kinds[4] {
		t.Errorf("filters %v, error %v: the image shows too few", kinds, err)
	}
}

func TestPDFStructureAsItIsFound(t *testing.T) {
	flate := inZlib(pdfMarked)
	plain := pdfStream("/Filter /FlateDecode", flate)
	with := func(old, changed string) string { return pdfOf(strings.Replace(plain, old, changed, 1)) }
	length := fmt.Sprintf("/Length %d", len(flate))
	noise := strings.Repeat("\xee\x81", 40) + marker + "\xee\x80"
	fileSpec := "5 0 obj << /Type /Filespec /F (a.bin) /EF << /F 7 0 R >> >> endobj"
	for _, tt := range []struct{ name, marked, unchecked, data string }{
		{"whole", "object-7", "", pdfOf(plain)},
		{"header behind noise", "object-7", "", strings.Repeat("noise ", 150) + pdfOf(plain)},
		{"no header", "object-7", "", strings.TrimPrefix(pdfOf(plain), "%PDF-1.7\n")},
		{"no header, noise in front", "object-7", "", strings.Repeat("noise ", 1500) + strings.TrimPrefix(pdfOf(plain), "%PDF-1.7\n")},
		{"two documents", "object-7", "", pdfOf("1 0 obj << >> endobj") + pdfOf(plain)},
		{"the second version is harmless", "object-7", "", pdfOf(plain) + pdfOf(pdfStream("", "harmless and longer than that"))},
		{"length too short", "object-7", "", with(length, "/Length 3")},
		{"length too long", "object-7", "", with(length, "/Length 99999")},
		{"length negative", "object-7", "", with(length, "/Length -5")},
		{"length beyond all numbers", "object-7", "", with(length, "/Length 99999999999999999999999")},
		{"length elsewhere", "object-7", "", pdfOf(strings.Replace(plain, length, "/Length 8 0 R", 1), fmt.Sprintf("8 0 obj %d endobj", len(flate)))},
		{"length twice, the first holds", "streams", "", pdfOf(pdfStream("/Length 3", "abc\nendstream\n"+pdfMarked))},
		{"length in a circle", "object-7", "", pdfOf(strings.Replace(plain, length, "/Length 8 0 R", 1), "8 0 obj 9 0 R endobj 9 0 obj 8 0 R endobj")},
		{"length of itself", "object-7", "", with(length, "/Length 7 0 R")},
		{"no length", "object-7", "", with(length, "")},
		{"CR LF", "object-7", "", with("stream\n", "stream\r\n")},
		{"CR", "object-7", "", with("stream\n", "stream\r")},
		{"blanks behind stream", "object-7", "", with("stream\n", "stream  \n")},
		{"words behind stream", "object-7", "", with("stream\n", "stream of bytes\n")},
		{"nothing behind stream", "object-7", "", with("stream\n", "stream")},
		{"no endobj", "object-7", "", with("endobj", "")},
		{"no end of the dictionary", "object-7", "", with(">>", "")},
		{"comment before obj", "object-7", "", with("7 0 obj", "7 0 %x\nobj")},
		{"comments before obj, one of them ends with CR", "object-7", "", with("7 0 obj", "7 %1 0\n0 %x\robj")},
		{"odd white space", "object-7", "", with("7 0 obj\n", "7\x00\x0c0\robj")},
		{"object in a comment", "script.js", "", pdfOf("1 0 obj << >> endobj % 7 0 obj << /JS (KIYOME-MARKER) >> endobj")},
		{"object in a string", "object-7", "", pdfOf("1 0 obj (", plain, ") endobj")},
		{"object in a stream", "object-7", "", pdfOf("1 0 obj << /Length 999 >> stream\n123 " + plain + "\nendstream endobj")},
		{"document in a document", "object-1/object-7", "", pdfOf(strings.Replace(pdfStream("", pdfOf(plain)), "7 0", "1 0", 1))},
		{"cut off in the stream", "", "f/object-7: pdf: object-7: damaged: cut short;f: pdf: damaged: stream of object 7: cut short", pdfOf(plain)[:len(pdfOf(plain))-100]},
		{"no end", "object-7", "f: pdf: damaged: cut short", "%PDF-1.7\n" + plain},
		{"only a header", "", "f: pdf: damaged: no objects", "%PDF-1.7\n"},
		{"damaged", "object-7", "f/object-7: pdf: object-7: damaged: cut short", pdfOf(pdfStream("/Filter /FlateDecode", inZlib(pdfMarked + "and more of it, XYZW")[:50]))},
		{"no Flate at all", "object-7", "f/object-7: pdf: object-7: damaged: flate: corrupt input before offset 1", pdfOf(pdfStream("/Filter /FlateDecode", "\xff\xff"+pdfMarked))},
		{"unknown filter", "object-7", `f/object-7: pdf: object-7: unsupported method: filter "Magic"`, pdfOf(pdfStream("/Filter /Magic", pdfMarked))},
		{"a hundred filters", "object-7", "f/object-7: pdf: object-7: unsupported method: 17 filters", pdfOf(pdfStream("/Filter ["+strings.Repeat("/AHx", 100)+"]", pdfMarked))},
		{"row beyond bounds", "object-7", "f/object-7: pdf: object-7: damaged: rows of 99999999 columns, 1 colours, 8 bits", pdfOf(pdfStream("/Filter /FlateDecode /DecodeParms << /Predictor 12 /Columns 99999999 >>", pdfMarked))},
		{"embedded file that is noise", "a.bin", "", pdfOf(fileSpec, pdfStream("/Subtype /Image /Width 3 /Height 3", noise))},
		{"embedded file that is drawing", "a.bin", "", pdfOf(fileSpec, pdfStream("", "0 0 m 1 1 l S % KIYOME-MARKER"))},
		{"embedded file, said in an object stream", "a.bin", "", pdfOf(pdfStream("", noise), strings.Replace(pdfStream("/Type /ObjStm /N 1 /First 4", "5 0 << /F (a.bin) /EF << /F 7 0 R >> >>"), "7 0", "2 0", 1))},
		{"embedded file, said elsewhere", "a.bin", "", pdfOf("5 0 obj << /F 6 0 R /EF 4 0 R >> endobj 6 0 obj (a.bin) endobj 4 0 obj << /UF 7 0 R >> endobj", pdfStream("/Subtype /Image /Width 3 /Height 3", noise))},
		{"embedded file that is called an object stream", "a.bin", "", pdfOf(fileSpec, pdfStream("/Type /ObjStm /N 1 /First 4", "5 0 << >> KIYOME-MARKER"))},
		{"embedded file that is called a part of a form", "a.bin", "", pdfOf("1 0 obj << /XFA [(a) 7 0 R] >> endobj", fileSpec, pdfStream("", pdfMarked))},
		{"program in a form", "object-7", "", pdfOf("1 0 obj << /XFA [(a) 7 0 R] >> endobj", pdfStream("", pdfMarked))},
		{"form in parts", "form.xml", "", pdfOf("1 0 obj << /XFA 2 0 R >> endobj 2 0 obj [(a) 7 0 R (b) 8 0 R] endobj", pdfStream("", "<template>KIYOME-"), strings.Replace(pdfStream("", "MARKER</template>"), "7 0", "8 0", 1))},
		{"script", "script-7.js", "", pdfOf("7 0 obj << /S /JavaScript /JS (" + strings.Repeat("app.beep\\(0\\); ", 50) + "KIYOME-MARKER) >> endobj")},
		{"script in hex and UTF-16", "script.js", "", pdfOf("7 0 obj << /J#53 <feff" + hex.EncodeToString([]byte("\x00K\x00I\x00Y\x00O\x00M\x00E\x00-\x00M\x00A\x00R\x00K\x00E\x00R")) + "> >> endobj")},
		{"script in octal", "script.js", "", pdfOf(`7 0 obj << /JS (\113\111YOME\` + "\r\n" + `-MARKER\n) >> endobj`)},
		{"script with parentheses", "script.js", "", pdfOf(`7 0 obj << /JS (a((b)\)c)KIYOME-MARKER) >> endobj`)},
		{"script elsewhere, in an object stream", "script.js", "", pdfOf("1 0 obj << /JS 5 0 R >> endobj", pdfStream("/N 1 /First 4 /Filter /FlateDecode", inZlib("5 0 (KIYOME-MARKER)")))},
		{"script that is a stream of noise", "object-7", "", pdfOf("1 0 obj << /JS 7 0 R >> endobj", pdfStream("/Width 1 /Height 1", noise))},
		{"string in hex", "streams", "", pdfOf("7 0 obj << /Title <" + hex.EncodeToString([]byte(marker)) + "> >> endobj")},
		{"short stream", "streams", "", pdfOf(pdfStream("", "KIYOME-MARKER"))},
		{"object stream", "streams", "", pdfOf(pdfStream("/Type /ObjStm /N 0 /First 0 /Filter /FlateDecode", inZlib("<< /Launch /KIYOME-MARKER >>")))},
		{"object stream, damaged", "streams", "f: pdf: damaged: object stream 7: damaged: cut short", pdfOf(pdfStream("/Type /ObjStm /Filter /FlateDecode", inZlib(marker + "0123456789")[:20]))},
		{"deep", "object-7", "", pdfOf("1 0 obj "+strings.Repeat("[<</A", 50_000), plain)},
		{"encrypted by another handler", "", "f: pdf: encrypted: by another than the standard handler", pdfOf("1 0 obj << /Filter /Adobe.PubSec >> endobj trailer << /Encrypt 1 0 R >>")},
		{"encrypted, but it is not", "object-7", "f: pdf: encrypted: by another than the standard handler", pdfOf("1 0 obj << /Filter /Adobe.PubSec >> endobj trailer << /Encrypt 1 0 R >>", plain)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", []byte(tt.data))
			found := n.marked == tt.marked
			for i, o := range n.objects {
				found = found || o == "f/"+tt.marked && strings.Contains(n.data[i], marker)
			}
			if got := strings.Join(n.unchecked, ";"); !found || got != tt.unchecked {
				t.Errorf("objects %q, marked %q, want %q, unchecked %q, want %q", n.objects, n.marked, tt.marked, got, tt.unchecked)
			}
		})
	}
}

func TestPDFBulkIsPassedOver(t *testing.T) {
	page := strings.Repeat("BT /F1 12 Tf 1 0 0 1 20 200 Tm (a line of the text) Tj T* ET\n", 200)
	font := "\x00\x01\x00\x00\x00\x0c" + strings.Repeat("\x80\x03glyf", 4000)
	pixels := strings.Repeat("\xee\xf1\x01\xe7", 4000)
	n := walked(t, Limits{}, "f", []byte(pdfOf(pdfStream("/Filter /FlateDecode", inZlib(page)), pdfStream("/Filter /FlateDecode", inZlib(font)),
		pdfStream("/Filter /FlateDecode /Width 100 /Height 160", inZlib(pixels)), pdfStream("/Filter /DCTDecode", "\xff\xd8\xff\xe0"+pixels),
		pdfStream("/Filter /FlateDecode", inZlib("%!PS-AdobeFont-1.0: "+page)), pdfStream("/Filter /FlateDecode", inZlib("/CIDInit /ProcSet findresource begin "+page)))))
	if len(n.objects) != 1 || len(n.unchecked) > 0 {
		t.Errorf("objects %q, unchecked %q", n.objects, n.unchecked)
	}
}

func TestPDFPasswords(t *testing.T) {
	for _, tt := range []struct{ file, password string }{
		{"pdf-r2-user.pdf", "kiyome"}, {"pdf-r3-user.pdf", "kiyome"}, {"pdf-r4-user.pdf", "kiyome"}, {"pdf-r5-user.pdf", "kiyome"}, {"pdf-r6-user.pdf", "パスワード"},
	} {
		for _, password := range []string{tt.password, "owner"} {
			t.Run(tt.file+" "+password, func(t *testing.T) {
				n := unlocked(t, "f", load(t, tt.file), "wrong", password)
				if n.marked != "請求書.txt" || len(n.unchecked) > 0 {
					t.Errorf("objects %q, marked %q, unchecked %q", n.objects, n.marked, n.unchecked)
				}
			})
		}
		n := unlocked(t, "f", load(t, tt.file), "wrong")
		if len(n.objects) != 1 || len(n.unchecked) != 1 || !strings.HasSuffix(n.unchecked[0], "encrypted: no password fits") {
			t.Errorf("%s, wrong password: objects %q, unchecked %q", tt.file, n.objects, n.unchecked)
		}
	}
}

// What is not encrypted in an encrypted document is read without a password.
func TestPDFInTheClear(t *testing.T) {
	for _, file := range []string{"pdf-r3-user.pdf", "pdf-r5-user.pdf", "pdf-r6.pdf"} {
		data := append(load(t, file), pdfOf(strings.Replace(pdfStream("/Filter /FlateDecode", inZlib("MZ, in the clear")), "7 0", "90 0", 1))...)
		if n := walked(t, Limits{}, "f", data); !slices.Contains(n.data, "MZ, in the clear") {
			t.Errorf("%s: objects %q, unchecked %q", file, n.objects, n.unchecked)
		}
	}
}

func TestPDFNames(t *testing.T) {
	for _, tt := range []struct{ name, spec, want string }{
		{"UTF-16", "/UF <feff8acb6c4266f8> /F (a)", "請求書"},
		{"UTF-16, the other way", "/UF <fffecb8a426cf866>", "請求書"},
		{"UTF-8", "/UF <efbbbfe8ab8b>", "請"},
		{"cp932", "/F <90bf8b818f91>", "請求書"},
		{"PDFDocEncoding", "/F <636166e92080>", "café •"},
		{"escapes", `/F (a\(1\)\056txt)`, "a(1).txt"},
		{"DOS", "/DOS (a.txt)", "a.txt"},
		{"none", "", "object-7"},
		{"given twice", "/F (a.txt) /F (b.txt)", "b.txt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", []byte(pdfOf("1 0 obj << "+tt.spec+" /EF << /F 7 0 R >> >> endobj", pdfStream("", pdfMarked))))
			if n.marked != tt.want {
				t.Errorf("marked %q, want %q", n.marked, tt.want)
			}
		})
	}
}

func TestPDFMatch(t *testing.T) {
	for _, tt := range []struct {
		name, data string
		want       bool
	}{
		{"header", "%PDF-1.7\n", true},
		{"mark of a byte order", "\xef\xbb\xbf%PDF-", true},
		{"header and object", "x %PDF-1.7\n1 0 obj << >>", true},
		{"talk of a header", "Send me %PDF-1.7 files: no objections.", false},
		{"talk of objects", "10 20 objects (endobj) and obj ( ) of it", true}, // something may be in there
		{"talk of a table", "text\nstartxref\n", false},
		{"empty", "", false},
	} {
		if got := pdfMatch([]byte(tt.data)); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// What would take time or memory out of proportion is left, and that is told.
func TestPDFBombs(t *testing.T) {
	zeros := string(make([]byte, 16<<20))
	spaces := inZlib(inZlib(strings.Repeat(" ", 16<<20)))
	objects := func(n int, text string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%d 0 obj ", i+1)
			b.WriteString(text)
			b.WriteString("\n")
		}
		return b.String()
	}
	many := make([]string, 20)
	for i := range many {
		many[i] = strings.Replace(pdfStream("/Filter [/Fl /Fl] /N 1 /First 1", spaces), "7 0", fmt.Sprint(i+1, 0), 1)
	}
	for _, tt := range []struct{ name, limit, data string }{
		{"strings without an end", "overlap", pdfOf(objects(20_000, "("))},
		{"dictionaries without an end", "", pdfOf(objects(20_000, "<< /A"))},
		{"streams without an end", "overlap", pdfOf(objects(1000, "<< /Type /EmbeddedFile >> stream\n"+strings.Repeat("\xff", 100)))},
		{"object streams", "unpacked", pdfOf(many...)},
		{"spaces within", "unpacked", pdfOf(slices.Repeat([]string{pdfStream("/Filter [/Fl /Fl /AHx]", spaces)}, 12)...)},
		{"rows of one byte", "", pdfOf(pdfStream("/Filter /Fl /DecodeParms << /Predictor 12 /Columns 1 >>", inZlib(zeros)))},
		{"comments", "", pdfOf("1 0 obj << /A [" + strings.Repeat("1 %x\n", 200_000) + "] >> endobj")},
		{"values", "", pdfOf("1 0 obj [" + strings.Repeat("0 ", 2_000_000) + "] endobj")},
		{"references in a circle", "", pdfOf(objects(2000, "<< /Length 1 0 R /XFA 2 0 R /EF 3 0 R /JS 1 0 R >> endobj"))},
		{"one big object that all refer to", "overlap", pdfOf("9999 0 obj ("+strings.Repeat("x", 1<<20)+") endobj", objects(2000, "<< /Filter 9999 0 R /DecodeParms 9999 0 R >> stream\nxxxx\nendstream endobj"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := &notes{discard: true}
			n.walk(t, NewArena(nil, 0), Limits{Unpacked: 256 << 20}, "f", []byte(tt.data))
			if got := strings.Join(n.unchecked, ";"); tt.limit == "" && got != "" || !strings.Contains(got, tt.limit) {
				t.Errorf("unchecked %.300q, want %q", got, tt.limit)
			}
		})
	}
}

func FuzzPDF(f *testing.F) {
	f.Add([]byte(pdfOf(pdfStream("/Filter [/A85 /LZW] /DecodeParms [null << /Predictor 15 /Columns 3 >>]", in85(inLZW(pdfMarked))))))
	f.Add([]byte(pdfOf("1 0 obj << /XFA [(a) 7 0 R (b) 7 0 R] /JS 2 0 R >> endobj 2 0 obj (app.beep) endobj", pdfStream("/N 2 /First 8 /Filter /RL", "\x04hello"))))
	fuzz(f, "pdf")
}

// What a video costs that is no document.
func BenchmarkPDFMatch(b *testing.B) {
	data := bytes.Repeat([]byte("noise of a video \x00\xff\x81"), 1<<16)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		pdfMatch(data)
	}
}
