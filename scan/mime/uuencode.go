package mime

import (
	"bytes"
	"io"
)

// parseBegin reads a line as the one that begins a uuencoded file: "begin", a
// mode of three or four octal digits, a name (POSIX.1-2017, uuencode).
func parseBegin(text []byte) (name string, isBase64, ok bool) {
	rest, ok := bytes.CutPrefix(text, []byte("begin"))
	if !ok {
		return "", false, false
	}
	rest, isBase64 = bytes.CutPrefix(rest, []byte("-base64"))
	mode := bytes.TrimLeft(rest, " \t")
	if len(mode) == len(rest) {
		return "", false, false
	}
	digits := 0
	for digits < len(mode) && mode[digits] >= '0' && mode[digits] <= '7' {
		digits++
	}
	after := mode[digits:]
	if digits < 3 || digits > 4 || len(after) > 0 && !isBlank(after[0]) {
		return "", false, false
	}
	return clip(decodeText(string(trimBlank(after[:min(len(after), 4096)])))), isBase64, true
}

// isEnd reports whether a line ends a uuencoded file.
func isEnd(text []byte) bool { return string(bytes.TrimRight(text, " \t")) == "end" }

// isUULine reports whether a line is data of a uuencoded file: a count and
// characters from space to backquote, of which some programs add one or two too
// many and others cut off the spaces at the end.
func isUULine(text []byte) bool {
	if len(text) == 0 || len(text) > 96 {
		return false
	}
	for _, c := range text {
		if c < ' ' || c > '`' {
			return false
		}
	}
	want := (int(text[0]-' ')&63 + 2) / 3 * 4
	return len(text)-1 <= want+4
}

// appendUU decodes a line of data.
func appendUU(out, text []byte) []byte {
	n := int(text[0]-' ') & 63
	for text = text[1:]; n > 0; n -= 3 {
		var v [4]byte
		for i := range v {
			if i < len(text) {
				v[i] = (text[i] - ' ') & 63
			}
		}
		text = text[min(4, len(text)):]
		b := [3]byte{v[0]<<2 | v[1]>>4, v[1]<<4 | v[2]>>2, v[2]<<6 | v[3]}
		out = append(out, b[:min(n, 3)]...)
	}
	return out
}

// lines gives lines without their ends; ok is false after the last.
type lines func() (text []byte, ok bool)

// linesOf gives the lines of b and, by at, where the next one starts.
func linesOf(b []byte, at *int) lines {
	return func() ([]byte, bool) {
		if *at >= len(b) {
			return nil, false
		}
		start := *at
		end, next := line(b, start)
		*at = next
		return b[start:end], true
	}
}

// uuReader decodes the data lines of one uuencoded file, up to and with its end
// line, or to the first line that is no data. Empty lines are passed over.
type uuReader struct {
	next   lines
	isData func(text []byte) bool
	isLast func(text []byte) bool
	decode func(out, text []byte) []byte

	peeked  []byte // the line that is no data: not of this file
	isTaken bool   // the end line was read
	done    bool
	data    int // lines of data seen
	buf     []byte
	out     []byte
}

// newUUReader makes a reader of the file whose begin line has been taken from
// next.
func newUUReader(next lines, isBase64 bool) *uuReader {
	if !isBase64 {
		return &uuReader{next: next, isData: isUULine, isLast: isEnd, decode: appendUU}
	}
	return &uuReader{
		next:   next,
		isData: isBase64Line,
		isLast: func(text []byte) bool { return string(bytes.TrimRight(text, " \t")) == "====" },
		decode: func(out, text []byte) []byte {
			r := base64Reader{src: text}
			return append(out, r.all()...)
		},
	}
}

// isBase64Line reports whether a line is nothing but base64.
func isBase64Line(text []byte) bool {
	text = bytes.TrimRight(text, " \t")
	for _, c := range text {
		if v := unbase64[c]; v >= urlDigit && v != pad {
			return false
		}
	}
	return len(text) > 0
}

func (r *uuReader) Read(b []byte) (int, error) {
	for len(r.out) == 0 {
		if r.done {
			return 0, io.EOF
		}
		r.buf = r.step(r.buf[:0])
		r.out = r.buf
	}
	n := copy(b, r.out)
	r.out = r.out[n:]
	return n, nil
}

// step takes one line and appends what it decodes to.
func (r *uuReader) step(out []byte) []byte {
	text, ok := r.next()
	switch {
	case !ok:
		r.done = true
	case len(text) == 0:
	case r.isLast(text):
		r.done, r.isTaken = true, true
	case r.isData(text):
		r.data++
		return r.decode(out, text)
	default:
		r.done, r.peeked = true, text
	}
	return out
}

// open makes the reader of a block of raw.
func (b Block) open(raw []byte) io.Reader {
	text := b.of(raw)
	_, at := line(text, 0)
	return newUUReader(linesOf(text, &at), b.base64)
}

// findBlocks finds the uuencoded files within a range of raw. A begin line that
// neither data nor an end line follows is text.
func findBlocks(raw []byte, in Range) []Block {
	var blocks []Block
	text := in.of(raw)
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte("begin"))
		if i < 0 {
			return blocks
		}
		start := at + i
		if at = start + len("begin"); start > 0 && !isEOL(text[start-1]) {
			continue
		}
		end, next := line(text, start)
		name, isBase64, ok := parseBegin(text[start:end])
		if !ok {
			continue
		}
		at = next
		stop, loose, ok := blockEnd(text, next, isBase64)
		if ok {
			at = stop
			blocks = append(blocks, Block{
				Range: Range{in.Start + start, in.Start + stop}, Name: name, base64: isBase64, loose: loose,
			})
		}
	}
}

// setBlocks finds the uuencoded files in the raw text of a part.
func (p *Part) setBlocks(raw []byte) {
	for _, b := range findBlocks(raw, p.Body) {
		if b.loose {
			p.loose = append(p.loose, b)
		} else {
			p.Blocks = append(p.Blocks, b)
		}
	}
}

// blockEnd gives the end of the block whose data starts at at: behind its end
// line or, where there is none, behind its last line of data. loose says that a
// line may have been taken for data that is text. ok is false when there is
// neither data nor an end.
func blockEnd(text []byte, at int, isBase64 bool) (end int, loose, ok bool) {
	next := linesOf(text, &at)
	var last []byte
	r := newUUReader(func() (text []byte, ok bool) {
		last, ok = next()
		return last, ok
	}, isBase64)
	end = at
	var f fit
	for !r.done {
		before := r.data
		r.buf = r.step(r.buf[:0])
		if r.data > before || r.isTaken {
			end = at
		}
		if r.data > before && !isBase64 {
			f.line(last)
		}
	}
	loose = f.bad || !r.isTaken && (f.short || isBase64)
	return end, loose, r.data > 0 || r.isTaken
}

// fit watches whether lines of data are as programs write them: all as long as
// the first, only the last one shorter, each as long as its count says. A text in
// capitals that follows a file without an end line is not.
type fit struct {
	full  int  // count of the first line
	begun bool // there was one
	ended bool // the last line was seen
	short bool // a line is shorter than its count says: blanks at its end were cut off, if it is data
	bad   bool // a line is none that programs write
}

// line takes in a line of data. Of a line that is one or two characters too long
// these are a checksum.
func (f *fit) line(text []byte) {
	count, length := int(text[0]-' ')&63, len(text)-1
	if !f.begun {
		f.begun, f.full = true, count
	}
	want := (count + 2) / 3 * 4
	f.bad = f.bad || length > want+2 || count > f.full || f.ended && count > 0
	f.short = f.short || length < want
	f.ended = f.ended || count < f.full
}
