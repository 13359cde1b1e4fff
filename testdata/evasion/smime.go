package evasion

import (
	"encoding/asn1"
	"strings"
)

// Tags of ASN.1 (X.690).
const (
	tagInteger  = 0x02
	tagOctets   = 0x04
	tagOID      = 0x06
	tagSequence = 0x30
	tagSet      = 0x31
	tagExplicit = 0xa0
	constructed = 0x20
)

// Content types of CMS (RFC 5652, RFC 3274).
var (
	cmsData       = oid(1, 2, 840, 113549, 1, 7, 1)
	cmsSigned     = oid(1, 2, 840, 113549, 1, 7, 2)
	cmsDigested   = oid(1, 2, 840, 113549, 1, 7, 5)
	cmsCompressed = oid(1, 2, 840, 113549, 1, 9, 16, 1, 9)
	algorithm     = der(tagSequence, oid(2, 16, 840, 1, 101, 3, 4, 2, 1)) // SHA-256
	zlibAlgorithm = der(tagSequence, oid(1, 2, 840, 113549, 1, 9, 16, 3, 8))
)

func oid(arcs ...int) []byte { return must(asn1.Marshal(asn1.ObjectIdentifier(arcs))) }

// der is a value with its length in front.
func der(tag byte, pieces ...[]byte) []byte {
	body := slicesJoin(pieces...)
	b := []byte{tag}
	switch n := len(body); {
	case n < 0x80:
		b = append(b, byte(n))
	case n < 0x100:
		b = append(b, 0x81, byte(n))
	case n < 0x10000:
		b = append(b, 0x82, byte(n>>8), byte(n))
	default:
		b = append(b, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, body...)
}

// ber is a value without a length, which ends with two zeros.
func ber(tag byte, pieces ...[]byte) []byte {
	return slicesJoin([]byte{tag, 0x80}, slicesJoin(pieces...), []byte{0, 0})
}

// octets are chunks of n bytes, each a value of its own.
func octets(content []byte, n int) [][]byte {
	var chunks [][]byte
	for at := 0; at < len(content); at += n {
		chunks = append(chunks, der(tagOctets, content[at:min(at+n, len(content))]))
	}
	return chunks
}

// value writes a value with tag, by der or by ber.
type value func(tag byte, pieces ...[]byte) []byte

// signed is CMS that is signed, with the content in it: content is the whole
// octet string.
func signed(v value, content []byte) []byte {
	return v(tagSequence, cmsSigned, v(tagExplicit, v(tagSequence, der(tagInteger, []byte{1}), der(tagSet, algorithm),
		v(tagSequence, cmsData, v(tagExplicit, content)), der(tagSet))))
}

// p7m is an attachment as S/MIME has it.
func p7m(content []byte) []byte {
	return letter("Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=smime.p7m", b64(content))
}

// smime is about messages within a signature (RFC 8551, section 3.5.2), which all
// larger mail programs show like any other, and Outlook sends.
func smime() []Case {
	f := family{name: "S/MIME"}
	content := func(p Payload) []byte { return []byte(entity(mixedType, multipart(outer, hello, p.attached()))) }
	opaque := func(p Payload) []byte { return signed(der, der(tagOctets, content(p))) }
	for _, r := range []struct {
		level, name string
		write       func(p Payload) []byte
	}{
		{Core, "DER", opaque},
		{Core, "DER, an attachment alone", func(p Payload) []byte { return signed(der, der(tagOctets, []byte(p.attached()))) }},
		{Core, "BER", func(p Payload) []byte { return signed(ber, der(tagOctets, content(p))) }},
		{Core, "BER, chunks of 1024", func(p Payload) []byte { return signed(ber, ber(tagOctets|constructed, octets(content(p), 1024)...)) }},
		{Core, "BER, chunks of 100", func(p Payload) []byte { return signed(ber, ber(tagOctets|constructed, octets(content(p), 100)...)) }},
		{Edge, "BER, chunks of 7", func(p Payload) []byte { return signed(ber, ber(tagOctets|constructed, octets(content(p), 7)...)) }},
		{Edge, "BER, chunks of 1", func(p Payload) []byte { return signed(ber, ber(tagOctets|constructed, octets(content(p), 1)...)) }},
		{Edge, "DER around chunks", func(p Payload) []byte { return signed(der, der(tagOctets|constructed, octets(content(p), 60)...)) }},
		{Edge, "BER, chunks in chunks", func(p Payload) []byte {
			all := content(p)
			half := len(all) / 2
			return signed(ber, ber(tagOctets|constructed, ber(tagOctets|constructed, octets(all[:half], 50)...), ber(tagOctets|constructed, octets(all[half:], 50)...)))
		}},
		{Core, "signed twice", func(p Payload) []byte {
			inner := entity("Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\nContent-Transfer-Encoding: base64", b64(opaque(p)))
			return signed(der, der(tagOctets, []byte(inner)))
		}},
		{Core, "compressed", func(p Payload) []byte {
			return der(tagSequence, cmsCompressed, der(tagExplicit, der(tagSequence, der(tagInteger, []byte{0}), zlibAlgorithm,
				der(tagSequence, cmsData, der(tagExplicit, der(tagOctets, zlibbed(content(p))))))))
		}},
		{Edge, "digested", func(p Payload) []byte {
			return der(tagSequence, cmsDigested, der(tagExplicit, der(tagSequence, der(tagInteger, []byte{0}), algorithm,
				der(tagSequence, cmsData, der(tagExplicit, der(tagOctets, content(p)))), der(tagOctets, make([]byte, 32)))))
		}},
		{Edge, "data only", func(p Payload) []byte { return der(tagSequence, cmsData, der(tagExplicit, der(tagOctets, content(p)))) }},
		{Edge, "content without octet string (PKCS #7 1.5)", func(p Payload) []byte { return signed(der, der(tagSequence, der(tagOctets, content(p)))) }},
		{Core, "a file that is no message", func(p Payload) []byte { return signed(der, der(tagOctets, p.Content)) }},
		{Core, "a zip", func(p Payload) []byte { return signed(ber, ber(tagOctets|constructed, octets(p.zip(), 40)...)) }},
	} {
		f.add(r.level, r.name, func(p Payload) []byte { return p7m(r.write(p)) })
	}
	for _, r := range []fieldRow{
		{Core, "x-pkcs7-mime", "Content-Type: application/x-pkcs7-mime; name=smime.p7m"},
		{Core, "octet-stream", "Content-Type: application/octet-stream; name=smime.p7m"},
		{Core, "said to be encrypted", "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m"},
		{Core, "a signature's name", "Content-Type: application/pkcs7-signature; name=smime.p7s"},
		{Core, "another name", "Content-Type: application/octet-stream; name=a.dat"},
		{Core, "no name", "Content-Type: application/pkcs7-mime"},
		{Core, "text", "Content-Type: text/plain"},
	} {
		f.add(r.level, "label, "+r.name, func(p Payload) []byte {
			return letter(r.fields+"\nContent-Transfer-Encoding: base64", b64(signed(ber, ber(tagOctets|constructed, octets(content(p), 100)...))))
		})
	}
	f.add(Core, "attached", func(p Payload) []byte { return mixed(attach("smime.p7m", opaque(p))) })
	f.add(Core, "binary", func(p Payload) []byte {
		return letter("Content-Type: application/pkcs7-mime; name=smime.p7m\nContent-Transfer-Encoding: binary", string(signed(ber, ber(tagOctets|constructed, octets(content(p), 100)...))))
	})
	f.add(Edge, "PEM", func(p Payload) []byte {
		return mixed(attach("a.pem", []byte("-----BEGIN PKCS7-----\n"+strings.ReplaceAll(wrap(line64(opaque(p)), 64), "\r\n", "\n")+"-----END PKCS7-----\n")))
	})
	f.add(Core, "in a zip", func(p Payload) []byte { return mixed(attach("a.zip", zipOf("smime.p7m", opaque(p)))) })
	f.add(Core, "in the place of a detached signature", func(p Payload) []byte {
		return letter(`Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary="`+outer+`"`, multipart(outer, hello,
			entity("Content-Type: application/pkcs7-signature; name=smime.p7s\nContent-Transfer-Encoding: base64", b64(opaque(p)))))
	})
	return f.cases
}
