package unpack

import (
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/flate"
)

// pgpTag is the type of a packet (RFC 9580, section 5).
type pgpTag byte

const (
	pgpSessionKey  pgpTag = 1 // encrypted to a public key
	pgpSignature   pgpTag = 2
	pgpPasswordKey pgpTag = 3 // a session key from a password
	pgpOnePass     pgpTag = 4
	pgpCompressed  pgpTag = 8
	pgpSED         pgpTag = 9 // encrypted
	pgpMarker      pgpTag = 10
	pgpLiteral     pgpTag = 11
	pgpSEIPD       pgpTag = 18 // encrypted, and changes to it are seen
	pgpAEAD        pgpTag = 20 // the same as GnuPG 2.3 writes it
	pgpPadding     pgpTag = 21
	pgpHighest     pgpTag = 63
)

// pgpPacket is where a packet lies.
type pgpPacket struct {
	tag     pgpTag
	body    int  // its first piece
	size    int  // the length of that, be it beyond the data
	partial bool // more pieces follow
	open    bool // it ends where the data do
	end     int
	cut     bool // the end is beyond the data
}

// pgpPacketAt reads the header of the packet at the given offset (section 4.2) and
// finds its end.
func pgpPacketAt(data []byte, at int) (p pgpPacket, ok bool) {
	if at >= len(data) || data[at]&0x80 == 0 {
		return p, false
	}
	first := data[at]
	if first&0x40 != 0 {
		p.tag = pgpTag(first & 0x3f)
		p.size, p.body, p.partial, ok = pgpLength(data, at+1)
	} else {
		p.tag = pgpTag(first >> 2 & 0x0f)
		p.size, p.body, ok = pgpOldLength(data, at+1, first&3)
		p.open = first&3 == 3
	}
	p.end = p.body + p.size
	for more := p.partial; ok && more && !p.cut; {
		var size, next int
		var is bool
		size, next, more, is = pgpLength(data, p.end)
		p.cut = !is
		p.end = next + size
	}
	p.cut = p.cut || p.end > len(data)
	if p.cut {
		p.end = len(data)
	}
	return p, ok && p.tag != 0
}

// pgpLength reads the length of a body or of a piece of it (section 4.2.1).
func pgpLength(data []byte, at int) (size, next int, partial, ok bool) {
	if at >= len(data) {
		return 0, at, false, false
	}
	b, rest := data[at], data[at+1:]
	switch {
	case b < 192:
		return int(b), at + 1, false, true
	case b < 224 && len(rest) >= 1:
		return int(b-192)<<8 + int(rest[0]) + 192, at + 2, false, true
	case b >= 224 && b < 255:
		return 1 << (b & 0x1f), at + 1, true, true
	case b == 255 && len(rest) >= 4:
		return int(binary.BigEndian.Uint32(rest)), at + 5, false, true
	}
	return 0, at, false, false
}

// pgpOldLength reads the length of a packet in the legacy format (section 4.2.2),
// of which there are three sizes and one that means: to the end.
func pgpOldLength(data []byte, at int, kind byte) (size, next int, ok bool) {
	if kind == 3 {
		return len(data) - at, at, true
	}
	n := 1 << kind
	if n > len(data)-at {
		return 0, at, false
	}
	for _, b := range data[at : at+n] {
		size = size<<8 | int(b)
	}
	return size, at + n, true
}

// piece is the packet's first piece, as far as there is any of it.
func (p pgpPacket) piece(data []byte) []byte {
	return data[p.body:min(p.body+p.size, len(data))]
}

// reader joins the pieces of the packet's body.
func (p pgpPacket) reader(data []byte) io.Reader {
	return &pgpBody{data: data, at: p.body, left: p.size, partial: p.partial}
}

// pgpBody reads a packet's body.
type pgpBody struct {
	data    []byte
	at      int
	left    int // of the present piece
	partial bool
}

// Read implements io.Reader.
func (r *pgpBody) Read(p []byte) (int, error) {
	for r.left == 0 {
		if !r.partial {
			return 0, io.EOF
		}
		var ok bool
		if r.left, r.at, r.partial, ok = pgpLength(r.data, r.at); !ok {
			return 0, errCutShort
		}
	}
	n := copy(p, r.data[min(r.at, len(r.data)):min(r.at+r.left, len(r.data))])
	if n == 0 && len(p) > 0 {
		return 0, errCutShort
	}
	r.at += n
	r.left -= n
	return n, nil
}

// pgpLiteralHeader is what stands before the bytes of literal data (section 5.9).
type pgpLiteralHeader struct {
	format byte
	name   []byte
	date   []byte // seconds since 1970; 0: none
}

// readPGPLiteral reads it.
func readPGPLiteral(r io.Reader) (h pgpLiteralHeader, ok bool) {
	var b [2 + math.MaxUint8 + 4]byte
	if n, _, _ := fill(r, b[:2], 0); n < 2 {
		return h, false
	}
	size := int(b[1]) + 4
	if n, _, _ := fill(r, b[2:2+size], 0); n < size {
		return h, false
	}
	h.format, h.name, h.date = b[0], bytes.Clone(b[2:size-2]), bytes.Clone(b[size-2:size+2])
	return h, true
}

// size is how many bytes the header takes.
func (h pgpLiteralHeader) size() int { return 2 + len(h.name) + 4 }

// plausible tells a header from bytes that happen to look like one.
func (h pgpLiteralHeader) plausible() bool {
	for _, c := range h.name {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return strings.IndexByte("btuml1", h.format) >= 0
}

// certain tells one from all but a few of those. There must be something in it,
// too, that no text has: with the tag a text in EUC-JP may begin.
func (h pgpLiteralHeader) certain(length []byte) bool {
	const earliest, latest = 0x28 << 24, 0x98 << 24 // 1991, the year of PGP 1.0, and 2050
	date := binary.BigEndian.Uint32(h.date)
	numbers := slices.Concat(length, []byte{byte(len(h.name))}, h.date)
	return h.plausible() && strings.IndexByte("btum", h.format) >= 0 && utf8.Valid(h.name) && (date == 0 || date > earliest && date < latest) &&
		slices.ContainsFunc(numbers, isControl)
}

// isPGPMessage reports whether data are a message (section 10.3): a packet that
// holds something, and nothing before it but what may be. declared says that
// something else than its first bytes tells that it is one.
func isPGPMessage(data []byte, declared bool) bool {
	keys := false
	for at := 0; ; {
		p, ok := pgpPacketAt(data, at)
		if !ok {
			return false
		}
		switch p.tag {
		case pgpLiteral:
			return p.isLiteral(data, declared)
		case pgpCompressed:
			return p.isCompressed(data, declared)
		case pgpSED, pgpSEIPD, pgpAEAD:
			return declared || p.isEncrypted(data, keys)
		}
		if p.cut || at == 0 && !declared && !p.mayLead(data) {
			return false
		}
		declared = declared || p.isMarker(data)
		keys = keys || p.tag == pgpSessionKey || p.tag == pgpPasswordKey
		at = p.end
	}
}

// isLiteral reports whether literal data are what they look like. When they are
// cut off that will be told, and so it must be certain, unless they are declared.
func (p pgpPacket) isLiteral(data []byte, declared bool) bool {
	h, ok := readPGPLiteral(p.reader(data))
	switch {
	case !ok || declared:
		return ok
	case p.cut:
		return h.certain(data[1:p.body])
	}
	return h.plausible() || p.end == len(data) && !p.open
}

// isCompressed reports whether compressed data, unless they are declared, begin
// with a packet when they are unpacked.
func (p pgpPacket) isCompressed(data []byte, declared bool) bool {
	if declared {
		return p.size > 0
	}
	r := pgpUnpacked(p.reader(data))
	if r == nil {
		return false
	}
	head := make([]byte, pgpProbe)
	n, _, err := fill(r, head, 0)
	head = head[:n]
	if data[p.body] == pgpUncompressed {
		err = errCutShort // that nothing is wrong with them means nothing
	}
	return err == nil && mayLeadPGP(head, true) || mayLeadPGP(head, false)
}

// pgpProbe is how much is read to tell what a packet is.
const pgpProbe = 512

// mayLeadPGP reports whether a message may begin with the packet that head
// begins with, be it longer than that.
func mayLeadPGP(head []byte, declared bool) bool {
	p, ok := pgpPacketAt(head, 0)
	if !ok {
		return false
	}
	switch p.tag {
	case pgpLiteral:
		h, ok := readPGPLiteral(p.reader(head))
		return ok && (declared || h.plausible())
	case pgpCompressed:
		b := p.piece(head)
		return len(b) > 0 && b[0] <= pgpBzip2
	case pgpSED, pgpSEIPD, pgpAEAD:
		return declared
	}
	return p.mayLead(head)
}

// isEncrypted reports whether encrypted data, behind session keys or without any,
// are what they look like. Without they must be all of a file.
func (p pgpPacket) isEncrypted(data []byte, keys bool) bool {
	b := p.piece(data)
	switch {
	case keys && p.tag == pgpSED:
		return true
	case keys || p.tag == pgpSEIPD && !p.cut && p.end == len(data) && len(b) > 40:
		return len(b) > 0 && (b[0] == 1 || b[0] == 2) // the version
	}
	return false
}

func (p pgpPacket) isMarker(data []byte) bool {
	return p.tag == pgpMarker && string(p.piece(data)) == "PGP" // section 5.8
}

// mayLead reports whether a message may begin with the packet, which holds no
// content: its first bytes are a version and algorithms, of which there are few.
func (p pgpPacket) mayLead(data []byte) bool {
	b := p.piece(data)
	if len(b) < 4 {
		return p.isMarker(data)
	}
	switch p.tag {
	case pgpSessionKey: // section 5.1
		return b[0] <= 3 && len(b) > 12 && isPGPSessionKey(b[9], b[10:], p.size-10) || b[0] == 6 && (b[1] == 0 || b[1] == 21 || b[1] == 33)
	case pgpPasswordKey: // section 5.3; version 5 is GnuPG's
		return b[0] == 4 && b[1] < 14 && b[2] < 5 && b[3] < 15 || b[0] == 5 && b[1] < 14 && b[2] < 4 && b[3] < 5 || b[0] == 6 && b[2] < 14 && b[3] < 4
	case pgpSignature: // section 5.2: of a document
		return len(b) > 12 && (b[0] == 3 && b[1] == 5 && b[2] <= 2 || b[0] >= 4 && b[0] <= 6 && b[1] <= 2 && b[2] < 32 && b[3] < 15)
	case pgpOnePass: // section 5.4
		return b[0] == 3 && len(b) == 13 && b[2] < 15 && b[3] < 32 && b[12] < 2 || b[0] == 6 && len(b) > 40
	}
	return false
}

// isPGPSessionKey reports whether a session key of size bytes, encrypted to a
// public key, fits that key's algorithm (section 9.1): most begin with a number, the
// length of which is told in bits.
func isPGPSessionKey(algorithm byte, b []byte, size int) bool {
	number := 2 + (int(binary.BigEndian.Uint16(b))+7)/8
	switch {
	case algorithm >= 1 && algorithm <= 3: // RSA
		return number == size
	case algorithm == 16, algorithm == 18: // Elgamal, ECDH
		return number < size
	}
	return algorithm == 8 || algorithm == 25 || algorithm == 26 // Kyber as GnuPG has it, X25519, X448
}

// Compression algorithms (section 9.4).
const (
	pgpUncompressed = 0
	pgpZIP          = 1 // deflate alone
	pgpZlib         = 2
	pgpBzip2        = 3
)

// pgpUnpacked unpacks the body of compressed data (section 5.6); nil when the
// algorithm is none that is known.
func pgpUnpacked(body io.Reader) io.Reader {
	var algorithm [1]byte
	if n, _, _ := fill(body, algorithm[:], 0); n == 0 {
		return nil
	}
	switch algorithm[0] {
	case pgpUncompressed:
		return body
	case pgpZIP:
		return &lateReader{open: func() (io.Reader, error) { return flate.NewReader(body), nil }}
	case pgpZlib:
		return inflated(body)
	case pgpBzip2:
		return &lateReader{open: func() (io.Reader, error) { return bzip2.NewReader(body), nil }}
	}
	return nil
}
