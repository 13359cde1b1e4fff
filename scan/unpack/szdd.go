package unpack

import (
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
)

// szddOpener opens files of COMPRESS.EXE of MS-DOS and Windows, and those of the
// QBasic installation, as libmspack describes them (szdd_kwaj_format.html).
var szddOpener = opener{name: "szdd", match: szddMatch, entries: szddEntries}

const (
	szddMagic   = "SZDD\x88\xf0\x27\x33"
	szddHeader  = 14
	szddMode    = 8 // "A": the one that is known
	szddMissing = 9 // the last letter of the file's name, in place of which is "_" or "$"

	qbasicMagic  = "SZ \x88\xf0\x27\x33\xd1"
	qbasicHeader = 12
)

// Where in the window the first byte goes: 4096-16, in QBasic's and in KWAJ 4096-18.
const (
	szddStart   = lzssWindow - 16
	qbasicStart = lzssWindow - 18
)

func szddMatch(data []byte) bool {
	return hasMagic(data, 0, szddMagic) && len(data) >= szddHeader || hasMagic(data, 0, qbasicMagic) && len(data) >= qbasicHeader
}

func szddEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		size := func(at int) int64 { return int64(binary.LittleEndian.Uint32(f.Data[at:])) }
		if hasMagic(f.Data, 0, qbasicMagic) {
			m := member{name: unabridged(f.Name, 0), size: size(8)}
			m.body = &sized{r: newLZSS(f.Data[qbasicHeader:], qbasicStart), size: m.size}
			yield(m, nil)
			return
		}
		m := member{name: unabridged(f.Name, f.Data[szddMissing]), size: size(10)}
		m.body = &sized{r: newLZSS(f.Data[szddHeader:], szddStart), size: m.size}
		if mode := f.Data[szddMode]; mode != 'A' {
			yield(m, fmt.Errorf("%w: mode %q", ErrUnsupported, mode))
			return
		}
		yield(m, nil)
	}
}

// unabridged is the name of a compressed file with its last letter put back, if
// that is known. Some programs only add "_": to an ending that has its three.
func unabridged(name string, last byte) string {
	short := strings.TrimRight(name, "_$")
	switch {
	case len(short) != len(name)-1:
		return name
	case last > ' ' && last <= '~':
		return short + string(rune(last))
	case len(path.Ext(short)) > 3:
		return short
	}
	return name
}

// sized passes a member through and tells when it is shorter than it is said to
// be. That it is longer is not damage: programs do not look at it.
type sized struct {
	r       io.Reader
	size, n int64
}

// Read implements io.Reader.
func (s *sized) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	if err == io.EOF && s.n < s.size {
		err = fmt.Errorf("%w: cut short", ErrDamaged)
	}
	return n, err
}

const lzssWindow = 4096

// lzss unpacks LZSS as Haruhiko Okumura's program writes it: bits say which is a
// byte and which two bytes with a place in the window and a length of 3 to 18.
type lzss struct {
	src     []byte
	window  [lzssWindow]byte
	pos     int // of the next byte in the window
	control int // bits that are left, with a one above them
	from    int // of the copy that is being made
	left    int // bytes of it
}

// newLZSS makes a reader. start is where in the window the first byte goes.
func newLZSS(src []byte, start int) *lzss {
	z := &lzss{src: src, pos: start, control: 1}
	for i := range z.window {
		z.window[i] = ' '
	}
	return z
}

// Read implements io.Reader.
func (z *lzss) Read(p []byte) (n int, err error) {
	for n < len(p) {
		switch {
		case z.left > 0:
			p[n] = z.put(z.window[z.from])
			z.from = (z.from + 1) % lzssWindow
			z.left--
			n++
		case len(z.src) == 0:
			if n > 0 {
				return n, nil
			}
			return 0, io.EOF
		case z.control == 1:
			z.control = int(z.src[0]) | 0x100
			z.src = z.src[1:]
		case z.control&1 != 0:
			p[n] = z.put(z.src[0])
			z.src, z.control = z.src[1:], z.control>>1
			n++
		case len(z.src) == 1:
			z.src = nil // half of a pair: what is missing shows in the size
		default:
			z.from = int(z.src[0]) | int(z.src[1]&0xf0)<<4
			z.left = int(z.src[1]&0x0f) + 3
			z.src, z.control = z.src[2:], z.control>>1
		}
	}
	return n, nil
}

// put puts a byte into the window.
func (z *lzss) put(c byte) byte {
	z.window[z.pos] = c
	z.pos = (z.pos + 1) % lzssWindow
	return c
}
