package unpack

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// lzfuDictionary is what the window holds before the first byte (MS-OXRTFCP,
// section 2.1.2.1).
const lzfuDictionary = `{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0` +
	"\r\n" + `\par \pard\plain\f0\fs20\b\i\u\tab\tx`

const (
	lzfuHeader       = 16
	lzfuWindow       = 4096
	lzfuCompressed   = 0x75465a4c // "LZFu"
	lzfuUncompressed = 0x414c454d // "MELA"
)

// lzfuReader unpacks the RTF that Outlook compresses (MS-OXRTFCP): the value of
// PR_RTF_COMPRESSED in winmail.dat and in .msg files. size is the length that
// its header tells.
func lzfuReader(data []byte) (r io.Reader, size int64) {
	if len(data) < lzfuHeader {
		return &lzfu{err: fmt.Errorf("%w: compressed RTF: cut short", ErrDamaged)}, 0
	}
	le := binary.LittleEndian
	end := min(int64(le.Uint32(data))+4, int64(len(data)))
	l := &lzfu{in: data, at: lzfuHeader, end: int(end), size: int64(le.Uint32(data[4:])), crc: le.Uint32(data[12:])}
	switch le.Uint32(data[8:]) {
	case lzfuCompressed:
		l.pos = copy(l.window[:], lzfuDictionary)
	case lzfuUncompressed:
		l.plain = true
	default:
		l.err = fmt.Errorf("%w: compressed RTF of an unknown kind", ErrUnsupported)
	}
	return l, l.size
}

// lzfu unpacks one stream. It goes on to the mark of its end, or else to the end
// of the data, whatever the header tells of either length.
type lzfu struct {
	in   []byte
	at   int
	end  int   // of the stream, as the header has it
	size int64 // unpacked, as the header has it
	crc  uint32

	window  [lzfuWindow]byte
	pos     int // in the window
	control int // what is left of the control byte, above it a bit that marks its end
	from, n int // what is left of a reference
	plain   bool

	out int64 // bytes so far
	err error
}

// Read implements io.Reader.
func (l *lzfu) Read(p []byte) (n int, err error) {
	for n < len(p) && l.err == nil {
		if l.plain {
			k := copy(p[n:], l.in[l.at:])
			l.at, n, l.out = l.at+k, n+k, l.out+int64(k)
			if l.at == len(l.in) {
				l.err = l.ended(0)
			}
			continue
		}
		b, ok := l.next()
		if !ok {
			break
		}
		p[n] = b
		n++
		l.out++
		l.window[l.pos] = b
		l.pos = (l.pos + 1) % lzfuWindow
	}
	if n > 0 {
		return n, nil
	}
	return 0, l.err
}

// next gives one byte.
func (l *lzfu) next() (byte, bool) {
	for l.n == 0 {
		if l.control <= 1 {
			if l.at >= len(l.in) || l.at >= l.end && l.out >= l.size {
				return l.finish()
			}
			l.control = int(l.in[l.at]) | 0x100
			l.at++
		}
		reference := l.control&1 != 0
		l.control >>= 1
		if !reference {
			if l.at >= len(l.in) {
				return l.finish()
			}
			l.at++
			return l.in[l.at-1], true
		}
		if l.at+2 > len(l.in) {
			return l.finish()
		}
		v := int(binary.BigEndian.Uint16(l.in[l.at:])) // 12 bits of offset, 4 of length less 2
		l.at += 2
		if l.from, l.n = v>>4, v&15+2; l.from == l.pos { // the mark of the end
			l.n = 0
			return l.finish()
		}
	}
	b := l.window[l.from]
	l.from = (l.from + 1) % lzfuWindow
	l.n--
	return b, true
}

func (l *lzfu) finish() (byte, bool) {
	// The checksum is that of RFC 1952 without its two inversions (section 3.1.3.2).
	l.err = l.ended(^crc32.Update(0xffffffff, crc32.IEEETable, l.in[lzfuHeader:max(l.end, lzfuHeader)]))
	return 0, false
}

// ended compares what has been unpacked with the header.
func (l *lzfu) ended(crc uint32) error {
	switch {
	case l.out < l.size:
		return fmt.Errorf("%w: compressed RTF: cut short", ErrDamaged)
	case crc != l.crc && !l.plain:
		return fmt.Errorf("%w: compressed RTF: wrong checksum", ErrDamaged)
	}
	return io.EOF
}
