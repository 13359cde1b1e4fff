package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
)

// lzipOpener opens lzip files: LZMA with a header and a trailer ("File format" in
// the manual of lzip). All members of a file are one object, as lzip makes of
// them. What follows the last one is no part of it.
var lzipOpener = opener{name: "lzip", match: lzipMatch, entries: lzipEntries}

const (
	lzipMagic      = "LZIP"
	lzipHeaderSize = 6
	lzipProperties = 2*45 + 0*9 + 3 // pb, lp, lc: all members have the same
)

// lzipMatch knows versions 0, which has nothing to say of a member's size, and 1.
func lzipMatch(data []byte) bool {
	return len(data) > lzipHeaderSize && string(data[:4]) == lzipMagic && data[4] <= 1 && lzipDict(data[5]) >= 4<<10
}

// lzipDict is the size of a dictionary: a power of two less some sixteenths.
func lzipDict(b byte) uint32 {
	power := b & 0x1f
	if power < 12 || power > 29 {
		return 0
	}
	return 1<<power - 1<<power/16*uint32(b>>5)
}

func lzipEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		r := &lzipReader{data: f.Data, memory: f.memory}
		defer r.release()
		yield(member{name: nameLess(f.Name, ".lz", "", ".tlz", ".tar"), body: r}, nil)
	}
}

// lzipReader unpacks all members of a file. Damage is told at the end, when what
// is behind it has been read as well.
type lzipReader struct {
	data     []byte
	at       int // of the next member
	memory   *memory
	lzma     *lzmaReader // nil between members
	crc      uint32
	size     uint64
	damage   error // the first
	restarts int
}

// Read implements io.Reader.
func (r *lzipReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.lzma != nil || r.begin() {
		n, err := r.lzma.Read(p)
		r.crc = crc32.Update(r.crc, crc32.IEEETable, p[:n])
		r.size += uint64(n)
		if err != nil {
			r.finish(err)
		}
		if n > 0 {
			return n, nil
		}
	}
	if r.damage != nil {
		return 0, r.damage
	}
	return 0, io.EOF
}

// release gives the dictionary back.
func (r *lzipReader) release() {
	if r.lzma != nil {
		r.lzma.release()
	}
}

// begin starts on the next member; there may be none.
func (r *lzipReader) begin() bool {
	rest := r.data[min(r.at, len(r.data)):]
	if r.at > 0 { // lzip refuses padding where others pass over it
		rest = bytes.TrimLeft(rest, "\x00")
	}
	if !lzipMatch(rest) {
		if n := min(len(rest), len(lzipMagic)); n > 0 && len(rest) <= lzipHeaderSize && string(rest[:n]) == lzipMagic[:n] {
			r.fail(errShort)
		}
		return false
	}
	r.at = len(r.data) - len(rest)
	r.lzma = newLZMA(lzipProperties, lzipDict(rest[5]), -1, rangeDecoder{in: rest[lzipHeaderSize:]}, r.memory)
	r.crc, r.size = 0, 0
	return true
}

// finish checks a member whose bytes have ended with err, and finds the next one.
func (r *lzipReader) finish(err error) {
	lzma := r.lzma
	r.lzma = nil
	version := r.data[r.at+4]
	r.at += lzipHeaderSize + lzma.at
	if err != io.EOF {
		r.fail(err)
		r.restart()
		return
	}
	trailer := 12 + 8*int(version)
	if len(r.data)-r.at < trailer {
		r.fail(errShort)
	} else if b := r.data[r.at:]; binary.LittleEndian.Uint32(b) != r.crc || binary.LittleEndian.Uint64(b[4:]) != r.size {
		r.fail(fmt.Errorf("%w: wrong checksum", ErrDamaged))
	}
	r.at += trailer
}

// restart looks for the next member behind damage.
func (r *lzipReader) restart() {
	for r.restarts++; r.restarts <= maxRestarts; r.at++ {
		at := min(r.at, len(r.data))
		i := bytes.Index(r.data[at:], []byte(lzipMagic))
		if i < 0 {
			break
		}
		if r.at = at + i; lzipMatch(r.data[r.at:]) {
			return
		}
	}
	r.at = len(r.data)
}

func (r *lzipReader) fail(err error) {
	if r.damage == nil {
		r.damage = err
	}
}
