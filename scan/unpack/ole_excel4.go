package unpack

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A workbook is a row of records (MS-XLS, section 2.1.4), whose section numbers
// these are. Macros of Excel 4 are formulas on a sheet of their own.

// Records, by type (section 2.3).
const (
	biffFormula    = 0x0006
	biffName       = 0x0018
	biffFilePass   = 0x002f
	biffContinue   = 0x003c
	biffBoundSheet = 0x0085
	biffStrings    = 0x00fc
	biffLabel      = 0x0204
	biffString     = 0x0207
	biffBOF        = 0x0809

	biffMacroSheet = 1      // section 2.4.28
	biffMacroBOF   = 0x0040 // of BIFF 5 and 8 alike
	biffVersion8   = 0x0600 // section 2.4.21
)

// biffReader reads a workbook's records.
type biffReader struct {
	in   *bufio.Reader
	kind uint16
	body []byte
	buf  [1 << 16]byte
	kept bool // the present record is to be read again
}

// next reads the next record; there may be none. What is cut short counts.
func (b *biffReader) next() bool {
	if b.kept {
		b.kept = false
		return true
	}
	var head [4]byte
	if _, err := io.ReadFull(b.in, head[:]); err != nil || head == [4]byte{} {
		return false
	}
	b.kind = binary.LittleEndian.Uint16(head[:])
	n, _ := io.ReadFull(b.in, b.buf[:binary.LittleEndian.Uint16(head[2:])])
	b.body = b.buf[:n]
	return true
}

// workbook hands out the macros of a workbook, and the workbook itself when it had
// to be decrypted.
func (r *oleReader) workbook(name string, s *cfbStream) {
	open := func() io.Reader { return io.NewSectionReader(s, 0, s.size) }
	if r.spend(s.size); r.done {
		return
	}
	macros, pass := surveyWorkbook(open())
	if pass != nil {
		crypt := r.openWorkbook(pass)
		if crypt == nil {
			r.emit(member{name: name}, fmt.Errorf("%w: workbook", ErrEncrypted))
			return
		}
		closed := open
		open = func() io.Reader {
			return &biffDecrypter{records: biffReader{in: bufio.NewReader(closed())}, cipher: crypt()}
		}
		if r.spend(2 * s.size); r.done {
			return
		}
		r.emit(member{name: name, body: open(), size: s.size}, s.problem())
		macros, _ = surveyWorkbook(open())
	}
	if r.spend(s.size); macros && !r.done {
		r.emit(member{name: "macros.txt", body: &excel4{records: biffReader{in: bufio.NewReader(open())}}}, nil)
	}
}

// surveyWorkbook reports whether there are sheets of macros, and what says how
// the workbook is encrypted.
func surveyWorkbook(in io.Reader) (macros bool, pass []byte) {
	b := biffReader{in: bufio.NewReader(in)}
	le := binary.LittleEndian
	for b.next() {
		switch {
		case b.kind == biffFilePass && pass == nil:
			pass = notNil(append(pass, b.body...))
		case b.kind == biffBoundSheet && len(b.body) >= 6 && b.body[5] == biffMacroSheet,
			b.kind == biffBOF && len(b.body) >= 4 && le.Uint16(b.body[2:]) == biffMacroBOF:
			macros = true
		}
	}
	return macros, pass
}

// excel4 gives the text in a workbook: the strings of its cells and formulas, and
// the names, one a line.
type excel4 struct {
	records biffReader
	begun   bool
	old     bool // BIFF 5: a byte is a character
	out     []byte
	strings []byte // what is left of the present record of shared strings
	shared  bool   // reading those
}

// Read implements io.Reader.
func (x *excel4) Read(p []byte) (int, error) {
	for len(x.out) == 0 {
		if x.shared {
			x.sharedString()
		} else if !x.records.next() {
			return 0, io.EOF
		} else {
			x.record(x.records.body)
		}
	}
	n := copy(p, x.out)
	x.out = x.out[n:]
	return n, nil
}

// record takes the text of a record.
func (x *excel4) record(b []byte) {
	le := binary.LittleEndian
	switch kind := x.records.kind; {
	case kind == biffBOF && len(b) >= 2 && !x.begun: // those of sheets may tell another version
		x.old, x.begun = le.Uint16(b) < biffVersion8, true
	case kind == biffBoundSheet && len(b) >= 7: // section 2.4.28
		x.line(x.text(b[7:], int(b[6])))
	case kind == biffLabel && len(b) >= 8: // the cell, then the string
		x.line(x.text(b[8:], int(le.Uint16(b[6:]))))
	case kind == biffString && len(b) >= 2: // section 2.4.268
		x.line(x.text(b[2:], int(le.Uint16(b))))
	case kind == biffFormula && len(b) >= 22: // section 2.4.127
		x.formula(b[22:][:min(int(le.Uint16(b[20:])), len(b)-22)])
	case kind == biffName && len(b) >= 14: // section 2.4.150
		x.name(b)
	case kind == biffStrings && len(b) >= 8: // section 2.4.265
		x.strings, x.shared = b[8:], true
	}
}

// text decodes n characters. In BIFF 8 flags stand before them (section 2.5.294).
func (x *excel4) text(b []byte, n int) string {
	wide := false
	if !x.old && len(b) > 0 {
		wide, b = b[0]&1 != 0, b[1:]
	}
	return biffText(b, n, wide)
}

func biffText(b []byte, n int, wide bool) string {
	if wide {
		b = b[:min(2*n, len(b))]
		units := make([]uint16, len(b)/2)
		for i := range units {
			units[i] = binary.LittleEndian.Uint16(b[2*i:])
		}
		return string(utf16.Decode(units))
	}
	text := make([]byte, 0, min(n, len(b)))
	for _, c := range b[:min(n, len(b))] {
		text = utf8.AppendRune(text, rune(c)) // the lower half of UTF-16
	}
	return string(text)
}

func (x *excel4) line(text string) {
	if text != "" {
		x.out = append(append(x.out, text...), '\n')
	}
}

// excel4Names are the names that have a number, when that number makes a macro
// run by itself (section 2.4.150).
var excel4Names = map[byte]string{0x01: "Auto_Open", 0x02: "Auto_Close", 0x0a: "Auto_Activate", 0x0b: "Auto_Deactivate"}

// name takes a defined name, and the strings in what it stands for.
func (x *excel4) name(b []byte) {
	const builtin = 1 << 5
	le := binary.LittleEndian
	n, size, rest := int(b[3]), int(le.Uint16(b[4:])), b[14:]
	name := x.text(rest, n)
	if !x.old && len(rest) > 0 {
		if rest[0]&1 != 0 {
			n *= 2
		}
		n++
	}
	if auto := ""; le.Uint16(b)&builtin != 0 && name != "" {
		if auto = excel4Names[name[0]]; auto != "" {
			name = auto + name[1:]
		}
	}
	x.line(name)
	rest = rest[min(n, len(rest)):]
	x.formula(rest[:min(size, len(rest))])
}

// sharedString takes one of the shared strings, which go on over the limits of
// records. A string of which the characters are divided has its flags anew in
// front of the rest (section 2.5.293).
func (x *excel4) sharedString() {
	head := x.take(3)
	if len(head) < 3 {
		return
	}
	const wideFlag, extended, rich = 1, 4, 8
	left, flags, after := int(binary.LittleEndian.Uint16(head)), head[2], int64(0)
	if flags&rich != 0 {
		if b := x.take(2); len(b) == 2 {
			after += 4 * int64(binary.LittleEndian.Uint16(b))
		}
	}
	if flags&extended != 0 {
		if b := x.take(4); len(b) == 4 {
			after += int64(binary.LittleEndian.Uint32(b))
		}
	}
	text := strings.Builder{}
	for left > 0 {
		if len(x.strings) == 0 {
			if !x.more() {
				break
			}
			if b := x.take(1); len(b) == 1 {
				flags = b[0]
			}
		}
		width := 1 + int(flags&wideFlag)
		n := min(left, max(len(x.strings)/width, 1))
		text.WriteString(biffText(x.strings, n, width == 2))
		x.strings = x.strings[min(n*width, len(x.strings)):]
		left -= n
	}
	x.line(text.String())
	for after > 0 && (len(x.strings) > 0 || x.more()) {
		n := min(after, int64(len(x.strings)))
		x.strings = x.strings[n:]
		after -= n
	}
}

// take gives n bytes of the shared strings, fewer at their end.
func (x *excel4) take(n int) []byte {
	if len(x.strings) == 0 && !x.more() {
		return nil
	}
	b := x.strings[:min(n, len(x.strings))]
	x.strings = x.strings[len(b):]
	return b
}

// more goes on to the next record of shared strings; there may be none.
func (x *excel4) more() bool {
	if x.shared = x.records.next(); !x.shared {
		return false
	}
	if x.records.kind != biffContinue {
		x.records.kept, x.shared = true, false
		return false
	}
	x.strings = x.records.body
	return true
}

// Tokens of formulas (section 2.5.198.2): those that have text, and their like.
const (
	ptgConcat  = 0x08
	ptgString  = 0x17
	ptgExtend  = 0x18
	ptgAttr    = 0x19
	ptgInt     = 0x1e
	ptgFunc    = 0x21
	ptgFuncVar = 0x22
)

// ptgSizes are the lengths of what stands behind other tokens. In BIFF 5 some are longer.
var ptgSizes = map[byte][2]int{ // BIFF 8, BIFF 5
	0x01: {4, 4}, 0x02: {4, 4}, 0x1c: {1, 1}, 0x1d: {1, 1}, 0x1f: {8, 8}, 0x20: {7, 7}, 0x23: {4, 14}, 0x24: {4, 3}, 0x25: {8, 6},
	0x26: {6, 6}, 0x27: {6, 6}, 0x28: {6, 6}, 0x29: {2, 2}, 0x2a: {4, 3}, 0x2b: {8, 6}, 0x2c: {4, 3}, 0x2d: {8, 6},
	0x39: {6, 24}, 0x3a: {6, 17}, 0x3b: {10, 20}, 0x3c: {6, 17}, 0x3d: {10, 20},
}

// excel4Functions are functions that have an effect outside, by number (section
// 2.5.198.17).
var excel4Functions = map[uint16]string{0x11: "RUN", 0x60: "FORMULA", 0x6e: "EXEC", 0x95: "REGISTER", 0x96: "CALL"}

// excel4Char is the function that gives the character of a code.
const excel4Char = 0x6f

// formula takes the strings of a formula. Those that it puts together are one, and
// characters that it gives by their codes count.
func (x *excel4) formula(b []byte) {
	le := binary.LittleEndian
	var all []byte
	var texts []int // where they begin in all
	text := func(s string) { texts, all = append(texts, len(all)), append(all, s...) }
	number := uint16(0)
	for len(b) > 0 {
		token := b[0]
		if b = b[1:]; token >= 0x40 { // classes of operands
			token = token&0x1f | 0x20
		}
		size := 0
		switch {
		case token == ptgConcat && len(texts) >= 2:
			texts = texts[:len(texts)-1]
		case token == ptgString && len(b) > 0:
			n := int(b[0])
			text(x.text(b[1:], n))
			if size = 1 + n; !x.old && len(b) > 1 {
				size = 2 + n*(1+int(b[1]&1))
			}
		case token == ptgExtend:
			size = 5
		case token == ptgAttr && len(b) >= 3:
			if size = 3; b[0]&4 != 0 { // a table of places to go on
				size += 2 * (int(le.Uint16(b[1:])) + 1)
			}
		case token == ptgInt && len(b) >= 2:
			number, size = le.Uint16(b), 2
		case token == ptgFunc && len(b) >= 2:
			if size = 2; le.Uint16(b) == excel4Char {
				text(string(rune(number)))
			}
		case token == ptgFuncVar && len(b) >= 3:
			size = 3
			if name := excel4Functions[le.Uint16(b[1:])&0x7fff]; name != "" {
				text(name)
			}
		default:
			size = ptgSizes[token][0]
			if x.old {
				size = ptgSizes[token][1]
			}
		}
		b = b[min(size, len(b)):]
	}
	for i, from := range texts {
		end := len(all)
		if i+1 < len(texts) {
			end = texts[i+1]
		}
		x.line(string(all[from:end]))
	}
}
