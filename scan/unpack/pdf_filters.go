package unpack

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
)

// pdfFilter is one step of a stream's decoding, with its parameters.
type pdfFilter struct {
	name  pdfName
	parms pdfDict
}

// pdfFilterNames are the filters (ISO 32000-1, table 6) by their names and by the
// abbreviations of inline images, which programs take in streams as well.
var pdfFilterNames = map[pdfName]pdfName{
	"Fl": "FlateDecode", "LZW": "LZWDecode", "A85": "ASCII85Decode", "AHx": "ASCIIHexDecode", "RL": "RunLengthDecode",
	"DCT": "DCTDecode", "CCF": "CCITTFaxDecode",
}

// pdfImageFilters decode to pixels: what they are given is what is looked at.
var pdfImageFilters = map[pdfName]bool{"DCTDecode": true, "CCITTFaxDecode": true, "JBIG2Decode": true, "JPXDecode": true}

const (
	// maxPDFFilters bounds the filters of one stream. Two are ordinary.
	maxPDFFilters = 16

	// maxPDFRow bounds a row that a predictor works on, in bytes.
	maxPDFRow = 1 << 20

	// pdfFilterCost is about what a filter takes before it has read a byte.
	pdfFilterCost = 32 << 10
)

// pdfDecoders makes the readers of filters, with what they share.
type pdfDecoders struct {
	work   int64 // left for what filters hand to one another, and nobody counts
	flates []flateReader
	used   int // of flates, by the stream that is being read
}

// chain decodes what r gives. image is the filter of an image that has been left.
func (d *pdfDecoders) chain(r io.Reader, filters []pdfFilter) (_ io.Reader, image pdfName, err error) {
	if len(filters) > maxPDFFilters {
		return nil, "", fmt.Errorf("%w: %d filters", ErrUnsupported, len(filters))
	}
	decodes := false
	for _, f := range filters {
		if pdfImageFilters[f.name] {
			return r, f.name, nil
		}
		if decodes {
			r = &pdfBetween{r, d}
			d.work -= pdfFilterCost
		}
		next, err := d.decoder(r, f)
		if err != nil {
			return nil, "", err
		}
		decodes = next != r
		r = next
	}
	return r, "", nil
}

// pdfBetween counts what one filter hands to the next.
type pdfBetween struct {
	r io.Reader
	d *pdfDecoders
}

// Read implements io.Reader.
func (b *pdfBetween) Read(p []byte) (int, error) {
	if b.d.work <= 0 {
		return 0, &LimitError{"unpacked"}
	}
	n, err := b.r.Read(p)
	b.d.work -= int64(n)
	return n, err
}

func (d *pdfDecoders) decoder(r io.Reader, f pdfFilter) (io.Reader, error) {
	switch f.name {
	case "FlateDecode":
		return d.predicted(d.flate(r), f.parms)
	case "LZWDecode":
		return d.predicted(&pdfLZW{in: pdfBytes(r), early: f.parms.int("EarlyChange", 1) != 0}, f.parms)
	case "ASCII85Decode":
		return &pdfASCII{in: pdfBytes(r), next: ascii85Group}, nil
	case "ASCIIHexDecode":
		return &pdfASCII{in: pdfBytes(r), next: asciiHexPair}, nil
	case "RunLengthDecode":
		return &pdfRuns{in: pdfBytes(r)}, nil
	case "Crypt": // has been seen to
		return r, nil
	}
	return nil, fmt.Errorf("%w: filter %.40q", ErrUnsupported, string(f.name))
}

func pdfBytes(r io.Reader) *bufio.Reader {
	if b, ok := r.(*bufio.Reader); ok {
		return b
	}
	return bufio.NewReader(r)
}

// flate unpacks zlib's format (RFC 1950), whose checksum most programs do not
// mind, with white space before it, as there is where stream is followed by an
// odd end of line. What has no header may be without one.
func (d *pdfDecoders) flate(r io.Reader) io.Reader {
	in := pdfBytes(r)
	for range 8 {
		b, err := in.Peek(1)
		if err != nil || !isPDFSpace(b[0]) {
			break
		}
		in.Discard(1)
	}
	b, _ := in.Peek(2)
	if len(b) == 0 {
		return in
	}
	if isZlib(b) {
		in.Discard(2)
	}
	if d.used == len(d.flates) {
		d.flates = append(d.flates, flate.NewReader(in).(flateReader))
	}
	f := d.flates[d.used]
	d.used++
	f.Reset(in, nil) // which never fails without a dictionary
	return pdfInflater{f}
}

// isZlib reports whether b begins with a header of zlib's format, without a
// dictionary of its own (RFC 1950, section 2.2).
func isZlib(b []byte) bool {
	return len(b) >= 2 && b[0]&15 == 8 && binary.BigEndian.Uint16(b)%31 == 0 && b[1]&0x20 == 0
}

// pdfInflater names what is wrong with a stream.
type pdfInflater struct{ r io.Reader }

// Read implements io.Reader.
func (i pdfInflater) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	switch {
	case err == nil, err == io.EOF, errors.Is(err, ErrLimit):
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("%w: cut short", ErrDamaged)
	default:
		err = fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	return n, err
}

// pdfASCII decodes what was made to pass where only text does.
type pdfASCII struct {
	in   *bufio.Reader
	next func(*bufio.Reader) (out [4]byte, n int, err error)
	held [4]byte
	left []byte // of held
	err  error
}

// Read implements io.Reader.
func (a *pdfASCII) Read(p []byte) (n int, _ error) {
	for n < len(p) {
		if len(a.left) > 0 {
			k := copy(p[n:], a.left)
			n, a.left = n+k, a.left[k:]
			continue
		}
		if a.err != nil {
			return n, a.err
		}
		var k int
		a.held, k, a.err = a.next(a.in)
		a.left = a.held[:k]
	}
	return n, nil
}

// asciiHexPair decodes two digits (section 7.4.2). What is no digit counts for nothing.
func asciiHexPair(in *bufio.Reader) (out [4]byte, n int, err error) {
	for digits := 0; ; {
		c, err := in.ReadByte()
		if err != nil || c == '>' {
			if err == nil {
				err = io.EOF
			}
			return out, digits, err // a single digit has a zero behind it
		}
		v, ok := hexValue(c)
		switch {
		case !ok:
		case digits == 1:
			out[0] |= v
			return out, 1, nil
		default:
			out[0], digits = v<<4, 1
		}
	}
}

// ascii85Group decodes five digits (section 7.4.3). What is no digit counts for
// nothing, and so "<~", with which some begin, goes by itself but for the "<".
func ascii85Group(in *bufio.Reader) (out [4]byte, n int, err error) {
	value, digits := uint32(0), 0
	for digits < 5 {
		c, err := in.ReadByte()
		if err == nil && c == '~' {
			err = io.EOF
		}
		switch {
		case err != nil:
			if digits < 2 {
				return out, 0, err
			}
			for i := digits; i < 5; i++ {
				value = value*85 + 84
			}
			binary.BigEndian.PutUint32(out[:], value)
			return out, digits - 1, err
		case c == 'z' && digits == 0:
			return out, 4, nil
		case c == '<' && digits == 0 && followedBy(in, '~'):
			in.Discard(1)
		case c >= '!' && c <= 'u':
			value = value*85 + uint32(c-'!')
			digits++
		}
	}
	binary.BigEndian.PutUint32(out[:], value)
	return out, 4, nil
}

func followedBy(in *bufio.Reader, c byte) bool {
	b, err := in.Peek(1)
	return err == nil && b[0] == c
}

// pdfRuns decodes runs of bytes (section 7.4.5).
type pdfRuns struct {
	in     *bufio.Reader
	left   int // of the run
	repeat bool
	of     byte
}

// Read implements io.Reader.
func (r *pdfRuns) Read(p []byte) (int, error) {
	for r.left == 0 {
		length, err := r.in.ReadByte()
		if err != nil || length == 128 {
			return 0, io.EOF
		}
		r.left, r.repeat = int(length)+1, length > 128
		if r.repeat {
			r.left = 257 - int(length)
			if r.of, err = r.in.ReadByte(); err != nil {
				return 0, fmt.Errorf("%w: cut short", ErrDamaged)
			}
		}
	}
	p = p[:min(len(p), r.left)]
	r.left -= len(p)
	if r.repeat {
		for i := range p {
			p[i] = r.of
		}
		return len(p), nil
	}
	n, err := io.ReadFull(r.in, p)
	if err != nil {
		err = fmt.Errorf("%w: cut short", ErrDamaged)
	}
	return n, err
}

// pdfLZW decodes LZW (section 7.4.4): codes of 9 to 12 bits, the highest bit
// first, which grow one code early unless EarlyChange is 0.
type pdfLZW struct {
	in    *bufio.Reader
	early bool

	bits  uint32
	count int // of bits
	width int // of a code
	size  int // of the table
	last  int // the code before; -1: none

	prefix [pdfLZWCodes]uint16
	suffix [pdfLZWCodes]byte
	length [pdfLZWCodes]uint16
	text   [pdfLZWCodes]byte // of the present code
	left   []byte            // of text
}

const (
	pdfLZWCodes = 4096
	pdfLZWClear = 256
	pdfLZWEnd   = 257
)

// Read implements io.Reader.
func (l *pdfLZW) Read(p []byte) (int, error) {
	for len(l.left) == 0 {
		code, err := l.code()
		if err != nil {
			return 0, err
		}
		switch {
		case code == pdfLZWEnd:
			return 0, io.EOF
		case code == pdfLZWClear:
			l.clear()
		default:
			if err := l.expand(code); err != nil {
				return 0, err
			}
		}
	}
	n := copy(p, l.left)
	l.left = l.left[n:]
	return n, nil
}

func (l *pdfLZW) clear() { l.width, l.size, l.last = 9, pdfLZWEnd+1, -1 }

// code reads one code. Data may end without the code for it.
func (l *pdfLZW) code() (int, error) {
	if l.width == 0 {
		l.clear()
	}
	for l.count < l.width {
		b, err := l.in.ReadByte()
		if err != nil {
			return pdfLZWEnd, err
		}
		l.bits = l.bits<<8 | uint32(b)
		l.count += 8
	}
	l.count -= l.width
	return int(l.bits >> l.count & (1<<l.width - 1)), nil
}

// expand makes the text of a code, and the table's next entry.
func (l *pdfLZW) expand(code int) error {
	if code > l.size || code == l.size && l.last < 0 {
		return fmt.Errorf("%w: LZW code", ErrDamaged)
	}
	from, n := code, 0
	if code == l.size { // the one that is being made
		from = l.last
		n++
	}
	n += l.textLength(from)
	end := n
	if code == l.size {
		end--
	}
	for at := end - 1; at >= 0; at-- {
		if from < pdfLZWClear {
			l.text[at] = byte(from)
			break
		}
		l.text[at] = l.suffix[from]
		from = int(l.prefix[from])
	}
	if code == l.size {
		l.text[n-1] = l.text[0]
	}
	l.add(l.text[0])
	l.last, l.left = code, l.text[:n]
	return nil
}

func (l *pdfLZW) textLength(code int) int {
	if code < pdfLZWClear {
		return 1
	}
	return int(l.length[code])
}

// add makes the table's next entry: the text before, and a byte. A full table
// stays as it is.
func (l *pdfLZW) add(suffix byte) {
	if l.last < 0 || l.size == pdfLZWCodes {
		return
	}
	l.prefix[l.size], l.suffix[l.size] = uint16(l.last), suffix
	l.length[l.size] = uint16(l.textLength(l.last) + 1)
	l.size++
	early := 0
	if l.early {
		early = 1
	}
	if l.size+early >= 1<<l.width && l.width < 12 {
		l.width++
	}
}

// predicted undoes what was done to the rows before they were packed (section
// 7.4.4.4).
func (d *pdfDecoders) predicted(r io.Reader, parms pdfDict) (io.Reader, error) {
	predictor := parms.int("Predictor", 1)
	if predictor != 2 && predictor < 10 {
		return r, nil
	}
	colors, depth, columns := parms.int("Colors", 1), parms.int("BitsPerComponent", 8), parms.int("Columns", 1)
	if colors < 1 || depth < 1 || columns < 1 || colors > 1<<10 || depth > 32 || columns > 8*maxPDFRow || colors*depth*columns > 8*maxPDFRow {
		return nil, fmt.Errorf("%w: rows of %d columns, %d colours, %d bits", ErrDamaged, columns, colors, depth)
	}
	size := (colors*depth*columns + 7) / 8
	d.work -= 2 * int64(size)
	p := &pdfPredictor{r: &pdfBetween{r, d}, colors: colors, depth: depth, pixel: (colors*depth + 7) / 8, png: predictor >= 10}
	p.row, p.above = make([]byte, size), make([]byte, size)
	return p, nil
}

// pdfPredictor undoes a predictor row by row: one of PNG's, which each row names,
// or that of TIFF.
type pdfPredictor struct {
	r             io.Reader
	colors, depth int
	pixel         int // bytes
	png           bool
	row, above    []byte
	left          []byte // of row
	err           error
}

// Read implements io.Reader.
func (p *pdfPredictor) Read(b []byte) (int, error) {
	for len(p.left) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		p.next()
	}
	n := copy(b, p.left)
	p.left = p.left[n:]
	return n, nil
}

// next reads a row, the last of which may be cut off.
func (p *pdfPredictor) next() {
	p.row, p.above = p.above, p.row
	kind := byte(0)
	if p.png {
		var tag [1]byte
		if _, p.err = io.ReadFull(p.r, tag[:]); p.err != nil {
			return
		}
		kind = tag[0]
	}
	n, err := io.ReadFull(p.r, p.row)
	clear(p.row[n:])
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	p.err = err
	switch {
	case p.png:
		unfilterPNG(kind, p.row, p.above, p.pixel)
	case p.depth == 8:
		for i := p.colors; i < len(p.row); i++ {
			p.row[i] += p.row[i-p.colors]
		}
	default:
		p.sumSamples()
	}
	p.left = p.row[:n]
}

// unfilterPNG undoes one of PNG's filters (PNG specification, section 9.2).
func unfilterPNG(kind byte, row, above []byte, pixel int) {
	for i := range row {
		var left, corner byte
		if i >= pixel {
			left, corner = row[i-pixel], above[i-pixel]
		}
		switch kind {
		case 1:
			row[i] += left
		case 2:
			row[i] += above[i]
		case 3:
			row[i] += byte((int(left) + int(above[i])) / 2)
		case 4:
			row[i] += paeth(int(left), int(above[i]), int(corner))
		}
	}
}

// paeth gives which of the neighbours is nearest to left + up - corner.
func paeth(left, up, corner int) byte {
	abs := func(n int) int { return max(n, -n) }
	toLeft, toUp, toCorner := abs(up-corner), abs(left-corner), abs(left+up-2*corner)
	switch {
	case toLeft <= toUp && toLeft <= toCorner:
		return byte(left)
	case toUp <= toCorner:
		return byte(up)
	}
	return byte(corner)
}

// sumSamples undoes TIFF's predictor for samples that are no bytes.
func (p *pdfPredictor) sumSamples() {
	before := make([]uint32, p.colors)
	mask := uint32(1<<p.depth - 1)
	samples := len(p.row) * 8 / p.depth
	for i := range samples {
		at := i * p.depth
		v := (bitsAt(p.row, at, p.depth) + before[i%p.colors]) & mask
		before[i%p.colors] = v
		setBits(p.row, at, p.depth, v)
	}
}

func bitsAt(b []byte, at, n int) (v uint32) {
	for i := at; i < at+n; i++ {
		v = v<<1 | uint32(b[i/8]>>(7-i%8)&1)
	}
	return v
}

func setBits(b []byte, at, n int, v uint32) {
	for i := at + n - 1; i >= at; i-- {
		bit := byte(1) << (7 - i%8)
		if b[i/8] &^= bit; v&1 != 0 {
			b[i/8] |= bit
		}
		v >>= 1
	}
}

// isImageHead reports whether bytes begin as the filter of an image has it. Those
// of faxes and of JBIG2 have no mark of their own.
func isImageHead(filter pdfName, head []byte) bool {
	switch filter {
	case "DCTDecode":
		return bytes.HasPrefix(bytes.TrimLeft(head, "\r\n"), []byte("\xff\xd8"))
	case "JPXDecode":
		return bytes.HasPrefix(head, []byte("\x00\x00\x00\x0cjP")) || bytes.HasPrefix(head, []byte("\xff\x4f\xff\x51"))
	}
	return worthOf(head) != prose
}
