package evasion

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
)

// Packet tags (RFC 9580, section 5).
const (
	pgpSignature  = 2
	pgpOnePass    = 4
	pgpCompressed = 8
	pgpMarker     = 10
	pgpLiteral    = 11
)

// packet is an OpenPGP packet in the new format.
func packet(tag int, body []byte) []byte {
	b := []byte{0xc0 | byte(tag)}
	switch n := len(body); {
	case n < 192:
		b = append(b, byte(n))
	case n < 8384:
		b = append(b, byte((n-192)>>8+192), byte(n-192))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 255), uint32(n))
	}
	return append(b, body...)
}

// oldPacket is a packet in the old format, its length in 1<<kind bytes; kind 3 is
// without a length, to the end of the file.
func oldPacket(tag, kind int, body []byte) []byte {
	b := []byte{0x80 | byte(tag)<<2 | byte(kind)}
	switch n := len(body); kind {
	case 0:
		b = append(b, byte(n))
	case 1:
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	case 2:
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return append(b, body...)
}

// partialPacket has its body in pieces of 1<<power bytes (section 4.2.1.4).
func partialPacket(tag, power int, body []byte) []byte {
	b := []byte{0xc0 | byte(tag)}
	for len(body) >= 1<<power {
		b = append(append(b, 224+byte(power)), body[:1<<power]...)
		body = body[1<<power:]
	}
	return append(append(b, packet(0, body)[1:]...), ""...)
}

// literalBody is what stands in a literal data packet (section 5.9).
func literalBody(name string, content []byte) []byte {
	b := append([]byte{'b', byte(len(name))}, name...)
	return append(append(b, 0, 0, 0, 0), content...)
}

func literalPacket(p Payload) []byte { return packet(pgpLiteral, literalBody(p.file(), p.Content)) }

// deflaters are kept: to make one costs more than to use it.
var deflaters = sync.Pool{New: func() any { return must(flate.NewWriter(nil, flate.BestCompression)) }}

func deflated(content []byte) []byte {
	var b bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&b)
	must(w.Write(content))
	check(w.Close())
	return b.Bytes()
}

func zlibbed(content []byte) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	must(w.Write(content))
	check(w.Close())
	return b.Bytes()
}

// compressedPacket holds packets, packed by one of the algorithms of section 9.4.
func compressedPacket(algorithm byte, packets []byte) []byte {
	return packet(pgpCompressed, compressedBody(algorithm, packets))
}

func compressedBody(algorithm byte, packets []byte) []byte {
	b := []byte{algorithm}
	switch algorithm {
	case 0:
		return append(b, packets...)
	case 1:
		return append(b, deflated(packets)...)
	case 2:
		return append(b, zlibbed(packets)...)
	}
	return append(b, bzipOf(packets)...)
}

// armour writes packets as text (section 6.2).
func armour(kind string, packets []byte) string {
	crc := uint32(0xb704ce) // CRC-24
	for _, c := range packets {
		crc ^= uint32(c) << 16
		for range 8 {
			if crc <<= 1; crc&0x1000000 != 0 {
				crc ^= 0x1864cfb
			}
		}
	}
	return fmt.Sprintf("-----BEGIN PGP %s-----\r\nVersion: 1\r\n\r\n%s=%s\r\n-----END PGP %[1]s-----\r\n", kind, wrap(line64(packets), 64), line64([]byte{byte(crc >> 16), byte(crc >> 8), byte(crc)}))
}

// openPGP is about messages that OpenPGP packs without encrypting: programs show
// what is in them without asking for a key.
func openPGP() []Case {
	f := family{name: "OpenPGP"}
	long := func(p Payload) []byte { // for pieces of 512 bytes, as gpg writes them
		return literalBody(p.file(), slicesJoin(bytes.Repeat([]byte("nothing\n"), 100), p.Content, bytes.Repeat([]byte("\n"), 600)))
	}
	onePass := packet(pgpOnePass, []byte("\x03\x00\x08\x01KEYIDKEY\x01"))
	signature := packet(pgpSignature, []byte("\x04\x00\x01\x08\x00\x00\x00\x00\x12\x34\x00\x08\xff"))
	marker := packet(pgpMarker, []byte("PGP"))
	for _, r := range []struct {
		level, name string
		write       func(p Payload) []byte
	}{
		{Core, "literal", literalPacket},
		{Core, "literal, old format, one byte of length", func(p Payload) []byte {
			return oldPacket(pgpLiteral, 0, literalBody("a", p.Content[:min(len(p.Content), 240)]))
		}},
		{Core, "literal, old format, two bytes of length", func(p Payload) []byte { return oldPacket(pgpLiteral, 1, literalBody(p.file(), p.Content)) }},
		{Core, "literal, old format, four bytes of length", func(p Payload) []byte { return oldPacket(pgpLiteral, 2, literalBody(p.file(), p.Content)) }},
		{Core, "literal, old format, no length", func(p Payload) []byte { return oldPacket(pgpLiteral, 3, literalBody(p.file(), p.Content)) }},
		{Core, "literal in pieces", func(p Payload) []byte { return partialPacket(pgpLiteral, 9, long(p)) }},
		{Edge, "literal in small pieces", func(p Payload) []byte { return partialPacket(pgpLiteral, 3, literalBody(p.file(), p.Content)) }},
		{Edge, "literal in pieces of one byte", func(p Payload) []byte { return partialPacket(pgpLiteral, 0, literalBody(p.file(), p.Content)) }},
		{Core, "ZIP", func(p Payload) []byte { return compressedPacket(1, literalPacket(p)) }},
		{Core, "ZLIB", func(p Payload) []byte { return compressedPacket(2, literalPacket(p)) }},
		{Core, "bzip2", func(p Payload) []byte { return compressedPacket(3, literalPacket(p)) }},
		{Core, "compressed by nothing", func(p Payload) []byte { return compressedPacket(0, literalPacket(p)) }},
		{Core, "ZIP without length", func(p Payload) []byte { return oldPacket(pgpCompressed, 3, compressedBody(1, literalPacket(p))) }},
		{Core, "ZLIB in pieces", func(p Payload) []byte { return partialPacket(pgpCompressed, 5, compressedBody(2, literalPacket(p))) }},
		{Edge, "ZIP in ZLIB", func(p Payload) []byte { return compressedPacket(2, compressedPacket(1, literalPacket(p))) }},
		{Core, "signed", func(p Payload) []byte { return slicesJoin(onePass, literalPacket(p), signature) }},
		{Core, "signed and compressed", func(p Payload) []byte { return compressedPacket(1, slicesJoin(onePass, literalPacket(p), signature)) }},
		{Core, "signed the old way", func(p Payload) []byte { return slicesJoin(signature, literalPacket(p)) }},
		{Core, "marker first", func(p Payload) []byte { return slicesJoin(marker, compressedPacket(1, literalPacket(p))) }},
		{Edge, "two literals", func(p Payload) []byte {
			return slicesJoin(packet(pgpLiteral, literalBody("a", []byte("clean"))), literalPacket(p))
		}},
	} {
		f.add(r.level, r.name, func(p Payload) []byte { return mixed(attach("a.gpg", r.write(p))) })
	}
	packed := func(p Payload) []byte { return compressedPacket(1, literalPacket(p)) }
	f.add(Core, "armoured in the body", func(p Payload) []byte {
		return letter("Content-Type: text/plain", "Hello.\r\n\r\n"+armour("MESSAGE", packed(p)))
	})
	f.add(Core, "armoured literal in the body", func(p Payload) []byte { return letter("Content-Type: text/plain", armour("MESSAGE", literalPacket(p))) })
	f.add(Core, "armoured in an attachment", func(p Payload) []byte { return mixed(attach("a.asc", []byte(armour("MESSAGE", packed(p))))) })
	f.add(Edge, "armoured as a file", func(p Payload) []byte { return mixed(attach("a.asc", []byte(armour("ARMORED FILE", packed(p))))) })
	f.add(Edge, "armoured without checksum", func(p Payload) []byte {
		s := armour("MESSAGE", packed(p))
		at := strings.LastIndex(s, "\r\n=") + 2
		return letter("Content-Type: text/plain", s[:at]+s[at+7:])
	})
	f.add(Edge, "armoured, quoted as in an answer", func(p Payload) []byte {
		return letter("Content-Type: text/plain", "> "+strings.ReplaceAll(strings.TrimSuffix(armour("MESSAGE", packed(p)), "\r\n"), "\r\n", "\r\n> ")+"\r\n")
	})
	f.add(Core, "multipart/encrypted that is not encrypted", func(p Payload) []byte {
		return letter(`Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="`+outer+`"`, multipart(outer,
			entity("Content-Type: application/pgp-encrypted", "Version: 1\r\n"), entity("Content-Type: application/octet-stream; name=encrypted.asc", armour("MESSAGE", compressedPacket(2, packet(pgpLiteral, literalBody("", []byte(p.attached()))))))))
	})
	f.add(Core, "clear-signed, uuencoded in it", func(p Payload) []byte {
		return letter("Content-Type: text/plain", "-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\n"+p.uu()+armour("SIGNATURE", signature))
	})
	f.add(Edge, "in the place of a detached signature", func(p Payload) []byte {
		return mixed(entity("Content-Type: application/pgp-signature; name=signature.asc", armour("SIGNATURE", packed(p))))
	})
	return f.cases
}
