package unpack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"

	"github.com/klauspost/compress/flate"
)

// gzipOpener opens gzip files (RFC 1952). All members of a file are one object,
// as gunzip makes of them, those behind other bytes too. What follows the last one
// is no part of it.
var gzipOpener = opener{name: "gzip", match: gzipMatch, entries: gzipEntries}

// Flags of a member's header (RFC 1952, section 2.3.1). The reserved ones should
// be zero, but not every program looks at them.
const (
	gzipHeaderCRC = 1 << 1
	gzipExtra     = 1 << 2
	gzipName      = 1 << 3
	gzipComment   = 1 << 4
)

// maxRestarts bounds how often reading begins anew behind damage.
const maxRestarts = 100

func gzipMatch(data []byte) bool {
	_, _, ok := parseGzip(data)
	return ok
}

// isWrittenGzip reports whether a member begins here, as programs write them: no
// reserved flags, a level and a system that are known.
func isWrittenGzip(data []byte) bool {
	_, _, ok := parseGzip(data)
	return ok && len(data) >= 18 && data[3] < 1<<5 && (data[8] == 0 || data[8] == 2 || data[8] == 4) && (data[9] <= 13 || data[9] == 255)
}

// gzipMagic begins a member whose bytes are deflated.
const gzipMagic = "\x1f\x8b\x08"

func gzipEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		_, name, _ := parseGzip(f.Data)
		m := member{name: nameLess(f.Name, ".gz", "", ".tgz", ".tar", ".svgz", ".svg")}
		if len(name) > 0 {
			m.name = decodeName(name)
		}
		if n := len(f.Data); n >= 18 {
			m.size = int64(binary.LittleEndian.Uint32(f.Data[n-4:]))
		}
		r := &gzipReader{data: f.Data, file: f, in: bytes.NewReader(nil)}
		m.body = r
		yield(m, nil)
	}
}

// parseGzip reads a member's header. body is where its compressed bytes begin;
// beyond the end of data when the header is cut off.
func parseGzip(data []byte) (body int, name []byte, ok bool) {
	if len(data) < 10 || data[0] != 0x1f || data[1] != 0x8b || data[2] != 8 {
		return 0, nil, false
	}
	flags, at := data[3], 10
	if flags&gzipExtra != 0 && len(data) >= at+2 {
		at += 2 + int(binary.LittleEndian.Uint16(data[at:]))
	}
	text := func() (s []byte) {
		rest := data[min(at, len(data)):]
		if end := bytes.IndexByte(rest, 0); end >= 0 {
			s = rest[:end]
		} else {
			s = rest
		}
		at += len(s) + 1
		return s
	}
	if flags&gzipName != 0 {
		name = text()
	}
	if flags&gzipComment != 0 {
		text()
	}
	if flags&gzipHeaderCRC != 0 {
		at += 2
	}
	return at, name, true
}

// gzipReader unpacks all members of a file. Damage is told at the end, when what
// is behind it has been read as well.
type gzipReader struct {
	data     []byte
	file     File
	start    int           // of the present member
	at       int           // of the next one
	in       *bytes.Reader // the compressed bytes of the present one
	flate    flateReader
	inside   bool // of a member
	crc      uint32
	size     uint32
	damage   error // the first
	restarts int
}

// Read implements io.Reader.
func (r *gzipReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if !r.inside && !r.begin() {
			if r.damage != nil {
				return 0, r.damage
			}
			return 0, io.EOF
		}
		n, err := r.flate.Read(p)
		r.crc = crc32.Update(r.crc, crc32.IEEETable, p[:n])
		r.size += uint32(n)
		if err != nil {
			r.finish(err)
		}
		if n > 0 {
			return n, nil
		}
	}
}

// begin starts on the next member; there may be none.
func (r *gzipReader) begin() bool {
	rest := r.data[min(r.at, len(r.data)):]
	if r.at > 0 { // members may be padded
		rest = bytes.TrimLeft(rest, "\x00")
	}
	body, _, ok := parseGzip(rest)
	magic := []byte{0x1f, 0x8b, 8}
	started := len(rest) > 0 && len(rest) < 10 && bytes.HasPrefix(rest, magic[:min(len(rest), len(magic))])
	if started || ok && body > len(rest) {
		r.damaged("cut short")
		return false
	}
	if !ok && r.at > 0 && len(rest) > 0 {
		if r.restart(isWrittenGzip); r.at == len(r.data) {
			return false
		}
		rest = r.data[r.at:]
		body, _, ok = parseGzip(rest)
	}
	if !ok {
		return false
	}
	r.in.Reset(rest[body:])
	if r.flate == nil {
		r.flate = flate.NewReader(r.in).(flateReader)
	} else if err := r.flate.Reset(r.in, nil); err != nil {
		r.damaged(err.Error())
		return false
	}
	r.start = len(r.data) - len(rest)
	r.inside, r.crc, r.size = true, 0, 0
	return true
}

// finish checks a member whose compressed bytes have ended with err, and finds
// the next one.
func (r *gzipReader) finish(err error) {
	r.inside = false
	r.at = len(r.data) - r.in.Len()
	trailer := r.data[r.at:]
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF), err == io.EOF && len(trailer) < 8:
		r.damaged("cut short")
		r.at = len(r.data)
	case err != io.EOF:
		r.damaged(err.Error())
		r.restart(gzipMatch)
	default:
		le := binary.LittleEndian
		if le.Uint32(trailer) != r.crc || le.Uint32(trailer[4:]) != r.size {
			r.damaged("wrong checksum")
		}
		r.at += 8
		r.file.read(r.start, r.at)
	}
}

// restart looks for the next member behind damage, or behind other bytes: what
// begins one is for is to say.
func (r *gzipReader) restart(is func([]byte) bool) {
	if r.restarts++; r.restarts > maxRestarts {
		r.at = len(r.data)
		return
	}
	for at := range indexes(r.data[max(0, r.at-1):], gzipMagic) {
		if at += max(0, r.at-1); is(r.data[at:]) {
			r.at = at
			return
		}
	}
	r.at = len(r.data)
}

func (r *gzipReader) damaged(why string) {
	if r.damage == nil {
		r.damage = fmt.Errorf("%w: %s", ErrDamaged, why)
	}
}
