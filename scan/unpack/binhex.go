package unpack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
)

// binhexOpener opens BinHex 4.0 files in a text (RFC 1741, appendix A), of which
// there may be several. Their data and resource forks are members. Programs do
// without the line "(This file must be converted with BinHex 4.0)", and so do we:
// what begins with a colon and has a header that makes sense is a file. All that
// is not of the alphabet is passed over: line ends, blanks, signs of quotation.
var binhexOpener = opener{name: "binhex", match: binhexMatch, entries: binhexEntries}

// binhexAlphabet is what six bits are written as.
const binhexAlphabet = "!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"

// binhexValues gives the six bits of a character; 0xff for those that are not of
// the alphabet.
var binhexValues = func() (v [256]byte) {
	for i := range v {
		v[i] = 0xff
	}
	for i, c := range binhexAlphabet {
		v[c] = byte(i)
	}
	return v
}()

const (
	binhexRepeat = 0x90 // behind a byte and in front of how often it stands there; 0: it is meant itself

	// binhexLine is how many characters behind the colon have to be of the
	// alphabet, line ends aside: what the header of a file takes that is written
	// as short as can be, its zeros as one run.
	binhexLine = 24

	binhexHead   = 1024 // a header is found within so many characters
	binhexBanner = 512  // the banner stands no farther in front of the colon
)

// binhexHeader is what stands in front of the forks (RFC 1741, appendix A).
type binhexHeader struct {
	name           []byte
	version        byte
	data, resource int64
	sound          bool // its checksum is right
}

func binhexMatch(data []byte) bool {
	_, ok := findBinHex(data, 0)
	return ok
}

// findBinHex finds the next file from an offset on: that of the first character
// behind its colon.
func findBinHex(data []byte, from int) (at int, ok bool) {
	for at = from; ; at++ {
		i := bytes.IndexByte(data[at:], ':')
		if i < 0 {
			return 0, false
		}
		at += i
		if at > 0 && !isLineEnd(data[at-1]) && !isQuote(data[at-1]) {
			continue // at once: colons are frequent
		}
		if _, starts := lineStart(data, at); starts && isBinHex(data, at+1) {
			return at + 1, true
		}
	}
}

// isBinHex reports whether characters at an offset, behind a colon, are a file:
// their header says so, if there are enough of them in a row, or the banner.
func isBinHex(data []byte, at int) bool {
	head := data[at:min(len(data), at+binhexHead)]
	if end := bytes.IndexByte(head, ':'); end >= 0 {
		head = head[:end]
	}
	if len(head) == 0 || binhexValues[head[0]] == 0xff && !isLineEnd(head[0]) {
		return false
	}
	reasons := 0 // two of three will do
	if binhexRun(head) >= binhexLine {
		reasons++
	}
	if bytes.Contains(data[max(0, at-binhexBanner):at], []byte("BinHex")) {
		reasons++
	}
	if reasons != 1 {
		return reasons == 2
	}
	h, err := newBinHexReader(head).header()
	return err == nil && (h.sound || h.plausible(len(data)-at))
}

// binhexRun counts characters of the alphabet up to the first other one, line
// ends and signs of quotation aside, or until there are enough.
func binhexRun(text []byte) (n int) {
	for _, c := range text {
		switch {
		case binhexValues[c] != 0xff:
			if n++; n == binhexLine {
				return n
			}
		case !isLineEnd(c) && !isQuote(c):
			return n
		}
	}
	return n
}

func binhexEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		for at := 0; ; {
			start, ok := findBinHex(f.Data, at)
			if !ok {
				return
			}
			end := binhexEnd(f.Data, start)
			if !binhexFile(f.Data[start:end], f.Name, yield) {
				return
			}
			if even := evenLines(f.Data[start:end]); even != nil && !binhexIsWhole(f.Data[start:end]) && !binhexFile(even, f.Name, yield) {
				return
			}
			at = end
		}
	}
}

// binhexEnd finds where a file ends: at the next colon. That may be the one with
// which another begins.
func binhexEnd(data []byte, start int) int {
	end := bytes.IndexByte(data[start:], ':')
	if end < 0 {
		return len(data)
	}
	end += start
	if _, starts := lineStart(data, end); starts && isBinHex(data, end+1) {
		return end
	}
	return end + 1
}

// binhexIsWhole reports whether a file can be read, and its checksums are right.
func binhexIsWhole(text []byte) bool {
	whole := true
	binhexFile(text, "", func(m member, err error) bool {
		if err == nil && m.body != nil {
			_, err = io.Copy(io.Discard, m.body)
		}
		whole = whole && err == nil
		return whole
	})
	return whole
}

// evenLines gives the lines of a text that are as long as most are, with the first
// one and the last: what was put in between is none of the file. It is nil when
// all lines are so.
func evenLines(text []byte) []byte {
	lines := bytes.FieldsFunc(text, func(r rune) bool { return r == '\r' || r == '\n' })
	if len(lines) < 4 {
		return nil
	}
	count := make(map[int]int)
	most := 0
	for _, line := range lines {
		if count[len(line)]++; count[len(line)] > count[most] {
			most = len(line)
		}
	}
	var even [][]byte
	for i, line := range lines {
		if len(line) == most || i == 0 || i == len(lines)-1 {
			even = append(even, line)
		}
	}
	if len(even) == len(lines) {
		return nil
	}
	return bytes.Join(even, []byte("\n"))
}

// binhexFile hands out the forks of a file and, when its header is not to be
// believed, what is behind them.
func binhexFile(text []byte, name string, yield func(member, error) bool) bool {
	r := newBinHexReader(text)
	h, err := r.header()
	if err != nil {
		return yield(member{name: name, body: &binhexRest{newBinHexReader(text)}}, err)
	}
	if len(h.name) > 0 {
		name = decodeName(h.name)
	}
	if !h.sound && !yield(member{}, fmt.Errorf("%w: wrong checksum of a header", ErrDamaged)) {
		return false
	}
	if h.data > 0 || h.resource == 0 {
		if !yield(member{name: name, body: &binhexFork{r: r, left: h.data}, size: h.data}, nil) {
			return false
		}
	} else {
		r.skip(2)
	}
	if h.resource > 0 {
		if !yield(member{name: name + resourceFork, body: &binhexFork{r: r, left: h.resource}, size: h.resource}, nil) {
			return false
		}
	} else {
		r.skip(2)
	}
	if rest := r.rest(); rest != nil && !h.sound {
		return yield(member{name: name, body: rest}, nil)
	}
	return true
}

// resourceFork is added to a file's name to name its resource fork.
const resourceFork = ".rsrc"

// plausible reports whether a header whose checksum is wrong is one nevertheless,
// of a file that is so many characters long: four of them are three bytes, and
// two bytes are at most 255 of a fork.
func (h *binhexHeader) plausible(characters int) bool {
	control := func(c rune) bool { return c < ' ' }
	forks := h.data + h.resource
	return h.version == 0 && !bytes.ContainsFunc(h.name, control) && forks > 0 && forks <= int64(characters)*96
}

// binhexReader gives a file's bytes: six bits of each character, repetitions
// written out.
type binhexReader struct {
	text   []byte
	bits   uint32
	nbits  int
	last   byte // that was given
	any    bool // there was one
	repeat int  // how often it is still to be given
	crc    uint16
}

func newBinHexReader(text []byte) *binhexReader { return &binhexReader{text: text} }

// packed gives the next byte before repetitions are written out.
func (r *binhexReader) packed() (byte, error) {
	for i, c := range r.text {
		v := binhexValues[c]
		if v == 0xff {
			continue
		}
		r.bits, r.nbits = r.bits<<6|uint32(v), r.nbits+6
		if r.nbits >= 8 {
			r.nbits -= 8
			r.text = r.text[i+1:]
			return byte(r.bits >> r.nbits), nil
		}
	}
	r.text = nil
	return 0, io.ErrUnexpectedEOF
}

// ReadByte implements io.ByteReader.
func (r *binhexReader) ReadByte() (byte, error) {
	for r.repeat == 0 {
		c, err := r.packed()
		if err != nil {
			return 0, err
		}
		if c != binhexRepeat {
			r.last, r.any, r.repeat = c, true, 1
			break
		}
		n, err := r.packed()
		if err != nil {
			return 0, err
		}
		switch {
		case n == 0:
			r.last, r.any, r.repeat = binhexRepeat, true, 1
		case r.any:
			r.repeat = int(n) - 1 // it has been given once
		}
	}
	r.repeat--
	r.crc = r.crc<<8 ^ crc16Table[byte(r.crc>>8)^r.last]
	return r.last, nil
}

// Read implements io.Reader.
func (r *binhexReader) Read(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		if p[n], err = r.ReadByte(); err == nil {
			n++
		}
	}
	return n, err
}

// checksum reads a checksum and reports whether it is that of what was read
// since the last one.
func (r *binhexReader) checksum() (right bool, err error) {
	var sum [2]byte
	crc := r.crc
	_, err = io.ReadFull(r, sum[:])
	r.crc = 0
	return binary.BigEndian.Uint16(sum[:]) == crc, err
}

// header reads the header.
func (r *binhexReader) header() (h binhexHeader, err error) {
	n, err := r.ReadByte()
	if err != nil {
		return h, errBinHexCut
	}
	if n == 0 || n > 63 { // 63: what MacOS has room for
		return h, fmt.Errorf("%w: header of a file", ErrDamaged)
	}
	var b [63 + 19]byte // version, type, creator, flags, the lengths of the forks
	field := b[:int(n)+19]
	if _, err := io.ReadFull(r, field); err != nil {
		return h, errBinHexCut
	}
	h.name, field = field[:n], field[n:]
	h.version = field[0]
	h.data = int64(binary.BigEndian.Uint32(field[11:]))
	h.resource = int64(binary.BigEndian.Uint32(field[15:]))
	if h.sound, err = r.checksum(); err != nil {
		return h, errBinHexCut
	}
	return h, nil
}

var errBinHexCut = fmt.Errorf("%w: cut short", ErrDamaged)

// skip passes over bytes.
func (r *binhexReader) skip(n int64) {
	if _, err := io.CopyN(io.Discard, r, n); err != nil {
		r.text = nil
	}
	r.crc = 0
}

// rest gives what is still there; nil when that is no more than what fills up
// the last character.
func (r *binhexReader) rest() io.Reader {
	var head [3]byte
	if n, _ := io.ReadFull(r, head[:]); n < len(head) {
		return nil
	}
	return io.MultiReader(bytes.NewReader(head[:]), &binhexRest{r})
}

// binhexRest gives bytes of which no header knows how many there are.
type binhexRest struct{ r *binhexReader }

// Read implements io.Reader.
func (b *binhexRest) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// binhexFork gives the bytes of a fork and checks them against the checksum
// behind it.
type binhexFork struct {
	r    *binhexReader
	left int64
}

// Read implements io.Reader.
func (f *binhexFork) Read(p []byte) (int, error) {
	if f.left > 0 {
		n, err := f.r.Read(p[:min(int64(len(p)), f.left)])
		f.left -= int64(n)
		if err != nil {
			err = errBinHexCut
		}
		return n, err
	}
	switch right, err := f.r.checksum(); {
	case err != nil:
		return 0, errBinHexCut
	case !right:
		return 0, fmt.Errorf("%w: wrong checksum", ErrDamaged)
	}
	return 0, io.EOF
}
