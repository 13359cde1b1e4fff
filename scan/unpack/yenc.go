package unpack

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"strconv"
)

// yencOpener opens yEnc files in a text (yEnc draft 1.3, yenc.org), of which
// there may be several. A file that comes in parts is handed out part by part, as
// programs save them, and joined from the parts that are there.
//
// Where a text can be meant in more ways than one, and no checksum tells which,
// it is read in each: lines that all begin as the quotation of the =ybegin line
// does, and dots doubled at the beginning of a line, as news servers want it.
var yencOpener = opener{name: "yenc", match: yencMatch, entries: yencEntries}

const (
	yencBegin = "=ybegin "
	yencPart  = "=ypart "
	yencEnd   = "=yend"
)

// yencFile is a file, or a part of one.
type yencFile struct {
	name  string
	size  int64 // of the whole file; -1 when it is not said
	part  int64 // its number; 0: it is all of the file
	begin int64 // of the part within the file, from 1 on; 0 when it is not said
	quote []byte
	lines []byte // the encoded bytes
	ended bool   // there is a =yend line

	length int64  // of what lines hold; -1 when it is not said
	crc    crcSum // of what lines hold
	whole  crcSum // of the file that this is a part of

	way yencWay // the likeliest
	got int64   // how many bytes were read in the likeliest way
}

// crcSum is a checksum that may be missing.
type crcSum struct {
	sum   uint32
	known bool
}

// yencWay is a way to read the lines.
type yencWay struct {
	quote []byte // stands before every line
	dots  bool   // ".." begins a line that is meant to begin with one dot
}

func yencMatch(data []byte) bool {
	_, _, ok := findYEnc(data, 0)
	return ok
}

// findYEnc finds the next =ybegin line from an offset on.
func findYEnc(data []byte, from int) (at int, quote []byte, ok bool) {
	for at = from; ; at++ {
		if at = indexPair(data, at, '=', 'y'); at < 0 {
			return 0, nil, false
		}
		if quote, ok = yencBegins(data, at); ok {
			return at, quote, true
		}
	}
}

// yencBegins reports whether a =ybegin line is at an offset: at the beginning of
// a line, with one of the parameters that programs look for.
func yencBegins(data []byte, at int) (quote []byte, ok bool) {
	if !bytes.HasPrefix(data[at:], []byte(yencBegin)) {
		return nil, false
	}
	if quote, ok = lineStart(data, at); !ok {
		return nil, false
	}
	line := data[at:lineEnd(data, at)]
	for _, key := range []string{" name=", " size=", " line="} {
		if bytes.Contains(line, []byte(key)) {
			return quote, true
		}
	}
	return nil, false
}

func yencEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		parts := &yencParts{of: make(map[yencKey][]*yencFile)}
		for at := 0; ; {
			begin, quote, ok := findYEnc(f.Data, at)
			if !ok {
				break
			}
			var y *yencFile
			y, at = parseYEnc(f.Data, begin, quote)
			if y.name == "" {
				y.name = f.Name
			}
			if !y.emit(yield) {
				return
			}
			parts.add(y)
		}
		parts.join(yield)
	}
}

// parseYEnc reads the file whose =ybegin line is at an offset. next is where to
// look for another.
func parseYEnc(data []byte, at int, quote []byte) (y *yencFile, next int) {
	end := lineEnd(data, at)
	line := data[at:end]
	y = &yencFile{name: yencName(line), quote: quote, length: -1}
	y.size, y.part = yencNumber(line, " size="), max(yencNumber(line, " part="), 0)
	if y.part == 0 {
		y.length = y.size
	}
	start := nextLine(data, end)
	if end = lineEnd(data, start); bytes.HasPrefix(unquoted(data[start:end]), []byte(yencPart)) {
		y.ypart(data[start:end])
		start = nextLine(data, end)
	}
	stop := yencStop(data, start)
	y.lines = data[start:stop]
	next = stop
	if quoted, ok := lineStart(data, stop); ok && stop < len(data) {
		y.lines = y.lines[:max(len(y.lines)-len(quoted), 0)]
	}
	if bytes.HasPrefix(data[stop:], []byte(yencEnd)) {
		next = lineEnd(data, stop)
		y.yend(data[stop:next])
	}
	return y, next
}

// nextLine gives the offset behind the line end at an offset.
func nextLine(data []byte, end int) int {
	if bytes.HasPrefix(data[end:], []byte("\r\n")) {
		return end + 2
	}
	return min(end+1, len(data))
}

// yencStop finds where a file ends: at its =yend line, at the next =ybegin line
// or with the text.
func yencStop(data []byte, at int) int {
	for ; ; at++ {
		if at = indexPair(data, at, '=', 'y'); at < 0 {
			return len(data)
		}
		if _, begins := yencBegins(data, at); begins {
			return at
		}
		if bytes.HasPrefix(data[at:], []byte(yencEnd)) {
			if _, ok := lineStart(data, at); ok {
				return at
			}
		}
	}
}

// ypart takes what the =ypart line says.
func (y *yencFile) ypart(line []byte) {
	y.part = max(y.part, 1)
	y.begin = max(yencNumber(line, " begin="), 0)
	y.length = -1
	if end := yencNumber(line, " end="); y.begin > 0 && end >= y.begin {
		y.length = end - y.begin + 1
	}
}

// yend takes what the =yend line says.
func (y *yencFile) yend(line []byte) {
	y.ended = true
	y.crc = yencCRC(line, " pcrc32=")
	y.whole = yencCRC(line, " crc32=")
	if !y.crc.known && (y.part == 0 || y.length == y.size) {
		y.crc = y.whole
	}
}

// yencName is the name in a =ybegin line, which is all that follows: names may
// have blanks.
func yencName(line []byte) string {
	_, name, _ := bytes.Cut(line, []byte(" name="))
	return decodeName(bytes.Trim(name, " \t\"\x00"))
}

// yencValue is the value of a parameter.
func yencValue(line []byte, key string) string {
	line, _, _ = bytes.Cut(line, []byte(" name="))
	_, value, _ := bytes.Cut(line, []byte(key))
	value = value[:min(len(value), 32)]
	if end := bytes.IndexAny(value, " \t"); end >= 0 {
		value = value[:end]
	}
	return string(value)
}

func yencNumber(line []byte, key string) int64 {
	n, err := strconv.ParseInt(yencValue(line, key), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// yencCRC reads a checksum. Programs that take it for a signed number write 16 digits.
func yencCRC(line []byte, key string) crcSum {
	n, err := strconv.ParseUint(yencValue(line, key), 16, 64)
	return crcSum{uint32(n), err == nil}
}

// emit hands the file out: in the way that its checksum confirms, else in all.
func (y *yencFile) emit(yield func(member, error) bool) bool {
	ways := y.ways()
	if len(ways) > 1 && y.crc.known {
		for _, w := range ways {
			if y.confirms(w) {
				ways = []yencWay{w}
				break
			}
		}
	}
	y.way = ways[0]
	for i, w := range ways {
		r := y.reader(w)
		r.check = true
		if !yield(member{name: y.name, body: r, size: y.length}, nil) {
			return false
		}
		if i == 0 {
			y.got = r.n
		}
	}
	return true
}

// ways are the ways to read the lines.
func (y *yencFile) ways() []yencWay {
	quoted, dotted, dottedInside := len(y.quote) > 0, false, false
	for rest := y.lines; len(rest) > 0; {
		line := rest[:lineEnd(rest, 0)]
		rest = rest[nextLine(rest, len(line)):]
		if len(line) == 0 {
			continue
		}
		quoted = quoted && bytes.HasPrefix(line, y.quote)
		dotted = dotted || bytes.HasPrefix(line, []byte(".."))
		dottedInside = dottedInside || quoted && bytes.HasPrefix(line[len(y.quote):], []byte(".."))
	}
	var ways []yencWay
	if quoted {
		ways = append(ways, yencWay{quote: y.quote})
		if dottedInside {
			ways = append(ways, yencWay{quote: y.quote, dots: true})
		}
	}
	ways = append(ways, yencWay{})
	if dotted {
		ways = append(ways, yencWay{dots: true})
	}
	return ways
}

// confirms reports whether the checksum is right when the lines are read this way.
func (y *yencFile) confirms(w yencWay) bool {
	r := y.reader(w)
	_, err := io.Copy(io.Discard, r)
	return err == nil && r.crc == y.crc.sum
}

func (y *yencFile) reader(w yencWay) *yencReader {
	return &yencReader{file: y, way: w, src: y.lines, start: true}
}

// yencReader decodes the lines of a file.
type yencReader struct {
	file    *yencFile
	way     yencWay
	src     []byte // what is left of them
	start   bool   // at the beginning of a line
	escaped bool   // behind an escape character
	check   bool   // against what the file's lines say
	crc     uint32
	n       int64
}

// Read implements io.Reader.
func (r *yencReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && len(r.src) > 0 {
		if r.start {
			r.begin()
		}
		n += r.line(p[n:])
	}
	r.crc = crc32.Update(r.crc, crc32.IEEETable, p[:n])
	r.n += int64(n)
	if n == 0 && len(p) > 0 {
		return 0, r.end()
	}
	return n, nil
}

// begin passes over what stands before a line.
func (r *yencReader) begin() {
	r.start = false
	r.src = bytes.TrimPrefix(r.src, r.way.quote)
	if r.way.dots && bytes.HasPrefix(r.src, []byte("..")) {
		r.src = r.src[1:]
	}
}

// line decodes the line, or as much of it as there is room for.
func (r *yencReader) line(p []byte) (n int) {
	for i, c := range r.src {
		switch {
		case isLineEnd(c):
			r.src, r.start = r.src[i+1:], true
			return n
		case n == len(p):
			r.src = r.src[i:]
			return n
		case r.escaped:
			p[n] = c - 64 - 42
			n, r.escaped = n+1, false
		case c == '=':
			r.escaped = true
		default:
			p[n] = c - 42
			n++
		}
	}
	r.src = nil
	return n
}

// end says whether the lines are what was sent. A length that is wrong says
// nothing when the checksum is right, and too many bytes are not damage.
func (r *yencReader) end() error {
	f := r.file
	switch {
	case !r.check:
	case f.crc.known && f.crc.sum != r.crc:
		return fmt.Errorf("%w: wrong checksum", ErrDamaged)
	case f.crc.known:
	case r.n < f.length, !f.ended && f.length < 0:
		return fmt.Errorf("%w: cut short", ErrDamaged)
	}
	return io.EOF
}
