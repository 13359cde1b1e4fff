package unpack

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
)

// der writes an element with a definite length.
func der(tag byte, parts ...string) string {
	body := strings.Join(parts, "")
	n := len(body)
	switch {
	case n < 0x80:
		return string([]byte{tag, byte(n)}) + body
	case n < 0x100:
		return string([]byte{tag, 0x81, byte(n)}) + body
	}
	return string([]byte{tag, 0x84, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + body
}

// ber writes an element with the indefinite length.
func ber(tag byte, parts ...string) string {
	return string([]byte{tag, 0x80}) + strings.Join(parts, "") + "\x00\x00"
}

// The identifiers and tags that the tests write.
const (
	idData       = cmsPKCS7 + "\x01"
	idSigned     = cmsPKCS7 + "\x02"
	idDigested   = cmsPKCS7 + "\x05"
	idCompressed = cmsSMIME + "\x09"
	seq          = berSequence
	explicit     = berContext0 | berConstructed
	pieces       = berOctetString | berConstructed
)

// contentInfo writes a ContentInfo, or an EncapsulatedContentInfo.
func contentInfo(oid string, content ...string) string {
	return der(seq, der(berOID, oid), der(explicit, content...))
}

// signed writes signed data around an EncapsulatedContentInfo, without a signature.
func signed(encapsulated string) string {
	return contentInfo(idSigned, der(seq, der(2, "\x01"), der(0x31), encapsulated, der(0x31)))
}

func compressed(oid, packed string) string {
	return contentInfo(idCompressed, der(seq, der(2, "\x00"), der(seq, der(berOID, oid)), contentInfo(idData, der(berOctetString, packed))))
}

func zlibbed(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write([]byte(s))
	w.Close()
	return b.String()
}

// starred lists the members that were handed out, those with the marker starred.
func (n *notes) starred() string {
	var list []string
	for i, o := range n.objects[1:] {
		name := strings.TrimPrefix(o, "f/")
		if strings.Contains(n.data[i+1], marker) {
			name += "*"
		}
		list = append(list, name)
	}
	return strings.Join(list, " ")
}

// told is a table of containers, what is handed out of them, and what is told.
type told []struct{ name, data, objects, unchecked string }

func (list told) run(t *testing.T) {
	for _, tt := range list {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", []byte(tt.data))
			if got := n.starred(); got != tt.objects {
				t.Errorf("objects %q, want %q", got, tt.objects)
			}
			if got := strings.Join(n.unchecked, ";"); got != tt.unchecked {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
		})
	}
}

// What openssl makes: a signature that stands apart, certificates alone, nothing at all.
const (
	detachedCMS = "MIHGBgkqhkiG9w0BBwKggbgwgbUCAQExDTALBglghkgBZQMEAgEwCwYJKoZIhvcNAQcBMYGTMIGQAgEBMCkwETEPMA0GA1UEAwwGa2l5b21lAhRfs8+Wr2t2m0vDZ7ThBHr7l08QwTALBglghkgBZQMEAgEwCgYIKoZIzj0EAwIERzBFAiBRIwZe2cc7nVLzm7YLxLbYa/R2JhBw5FkMtDz7/KVNNgIhAKHj6fJDDOhoIkgU+nRe6SD5sYjJQKJ33Ncq06gz8sjQ"
	emptyCMS    = "MCMGCSqGSIb3DQEHAqAWMBQCAQExADALBgkqhkiG9w0BBwExAA=="
)

func unbase64(s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func cmsLies() told {
	plain := contentInfo(idData, der(berOctetString, marker))
	whole := signed(plain)
	algorithm := der(seq, der(berOID, "\x2a\x03"), der(5))
	pem := func(label, text string) string {
		return "-----BEGIN " + label + "-----\n" + text + "\n-----END " + label + "-----\n"
	}
	text64 := base64.StdEncoding.EncodeToString([]byte(whole))
	deep := strings.Repeat("\x24\x80", 40) + der(berOctetString, marker)
	return told{
		{"the truth", whole, "f*", ""},
		{"a detached signature", unbase64(detachedCMS), "", ""},
		{"no certificates", unbase64(emptyCMS), "", ""},
		{"a detached signature in armour", pem("PKCS7", detachedCMS), "f", ""},
		{"a detached signature in BER", ber(seq, der(berOID, idSigned), ber(explicit, ber(seq, der(2, "\x01"), der(0x31), ber(seq, der(berOID, idData)), der(0x31)))), "", ""},
		{"a detached signature cut off", unbase64(detachedCMS)[:30], "", "f: cms: damaged: cut short"},
		{"data with nothing in it", contentInfo(idData, der(berOctetString)), "f", ""},
		{"content left out", contentInfo(idData), "", ""},
		{"data", plain, "f*", ""},
		{"data in pieces", contentInfo(idData, der(pieces, der(berOctetString, marker[:3]), der(berOctetString), der(berOctetString, marker[3:]))), "f*", ""},
		{"pieces in pieces", contentInfo(idData, ber(pieces, ber(pieces, der(berOctetString, marker[:3])), der(pieces, der(berOctetString, marker[3:])))), "f*", ""},
		{"pieces of another type", contentInfo(idData, ber(pieces, der(0x0c, marker[:3]), der(3, marker[3:]))), "f*", ""},
		{"pieces without the string around them", contentInfo(idData, der(berOctetString, marker[:3]), der(berOctetString, marker[3:])), "f*", ""},
		{"no tag of its own", der(seq, der(berOID, idData), der(berContext0, marker)), "f*", ""},
		{"pieces far too deep", contentInfo(idData, deep), "", "f: cms: f: limit: depth"},
		{"lengths longer than need be", "\x30\x89\x00\x00\x00\x00\x00\x00\x00\x00\x1e\x06\x81\x09" + idData + der(explicit, der(berOctetString, marker)), "f*", ""},
		{"a length beyond everything", contentInfo(idData, "\x04\x88\xff\xff\xff\xff\xff\xff\xff\xff"+marker), "f*", "f/f: cms: f: damaged: cut short"},
		{"a length beyond what is around it", der(seq, der(berOID, idData), der(explicit, "\x04\x20KIY"), "OME-MARKER", strings.Repeat(" ", 30)), "f*", "f/f: cms: f: damaged: cut short"},
		{"the reserved length", der(seq, der(berOID, idData), "\xa0\xff"+der(berOctetString, marker)), "", "f: cms: damaged: cut short"},
		{"no end-of-contents", "\x30\x80" + der(berOID, idData) + "\xa0\x80\x24\x80" + der(berOctetString, marker), "f*", "f/f: cms: f: damaged: cut short"},
		{"signed data of PKCS #7 in itself", signed(whole), "f* f/f*", ""},
		{"content that is no string of octets", signed(contentInfo("\x2a\x03", der(seq, marker))), "f*", ""},
		{"content that is CMS without its type", signed(contentInfo(idSigned, der(berOctetString, der(seq, der(2, "\x01"), der(0x31), plain)))), "f* f/f*", ""},
		{"content that is CMS with its type", signed(contentInfo(idSigned, der(berOctetString, whole))), "f* f/f*", ""},
		{"digested data", contentInfo(idDigested, der(seq, der(2, "\x00"), algorithm, plain, der(berOctetString, "digest"))), "f*", ""},
		{"signed data that is no sequence", contentInfo(idSigned, der(berOctetString, marker)), "", "f: cms: damaged: cut short"},
		{"a collection", contentInfo(cmsSMIME+"\x13", der(seq, plain, unbase64(detachedCMS), whole)), "f* f/f* f f* f/f*", ""},
		{"content with attributes", contentInfo(cmsSMIME+"\x14", der(seq, plain, der(seq, der(5)))), "f* f/f*", ""},
		{"a ContentInfo in a ContentInfo", contentInfo(cmsSMIME+"\x06", plain), "f* f/f*", ""},
		{"compressed data", compressed(cmsZlib, zlibbed(marker)), "f*", ""},
		{"compressed by something else", compressed("\x2a\x03", zlibbed(marker)), "", "f/f: cms: f: unsupported method: compression"},
		{"compressed, a wrong checksum", compressed(cmsZlib, zlibbed(marker)[:len(zlibbed(marker))-1]+"\xff"), "f*", "f/f: cms: f: damaged: zlib: invalid checksum"},
		{"compressed, cut short", compressed(cmsZlib, zlibbed(strings.Repeat(marker, 50))[:25]), "f*", "f/f: cms: f: damaged: cut short"},
		{"compressed, nothing", compressed(cmsZlib, ""), "", "f/f: cms: f: damaged: cut short"},
		{"compressed, nonsense", compressed(cmsZlib, "nonsense"), "", "f/f: cms: f: damaged: zlib: invalid header"},
		{"a MIME entity", signed(contentInfo(idData, der(berOctetString, "X: y\r\ncontent-TYPE: text/plain\r\n\r\n"+marker))), "f.eml*", ""},
		{"joined", whole + plain + unbase64(detachedCMS) + plain, "f* f* f*", ""},
		{"something behind", whole + "\n\nsomething", "f*", ""},
		{"armour amid text, twice", "Hello,\n\n" + pem("PKCS7", text64) + "and\n" + pem("CMS", text64) + "Bye\n", "f* f/f* f* f/f*", ""},
		{"armour with fields and the old label", "-----BEGIN PKCS #7 SIGNED DATA-----\r\nProc-Type: 4\r\n\r\n" + text64 + "\r\n-----END PKCS #7 SIGNED DATA-----", "f* f/f*", ""},
		{"armour without an end", "-----BEGIN CMS-----\n" + strings.TrimRight(text64, "="), "f* f/f*", "f/f: cms: f: damaged: armour without an end"},
		{"armour of something else", pem("CMS", "SGVsbG8gdGhlcmU="), "", ""},
		{"armour of certificates", pem("CERTIFICATE", text64), "", ""},
		{"base64 alone", "\r\n" + text64 + "\r\n", "", ""},
		{"PKCS #12", der(seq, der(2, "\x03"), plain), "", ""},
		{"an unknown type of content", contentInfo(cmsPKCS7+"\x09", der(berOctetString, marker)), "", ""},
	}
}

func TestCMSIsReadTolerantly(t *testing.T) { cmsLies().run(t) }

func TestBase64OfCMSWithoutArmour(t *testing.T) {
	long := signed(contentInfo(idData, der(berOctetString, strings.Repeat(marker, 20))))
	text64 := base64.StdEncoding.EncodeToString([]byte(long))
	n := walked(t, Limits{}, "x.p7m", []byte("\r\n"+text64[:64]+"\r\n"+text64[64:]+"\r\n"))
	if got := n.objects; !slices.Equal(got, []string{"x.p7m", "x.p7m/x", "x.p7m/x/x"}) || len(n.unchecked) > 0 {
		t.Errorf("objects %q, unchecked %q", got, n.unchecked)
	}
}

// Whatever stands in a byte that may be a length, nothing panics.
func TestCMSWithAnyByteChanged(t *testing.T) {
	for _, s := range samples(t) {
		if !strings.HasPrefix(s.formats, "cms") {
			continue
		}
		data := load(t, s.file)
		for i := range min(len(data), 120) {
			for _, b := range []byte{0, 1, 0x7f, 0x80, 0x81, 0x84, 0x88, 0xff} {
				changed := slices.Clone(data)
				changed[i] = b
				for _, told := range walked(t, Limits{}, "f", changed).unchecked {
					if strings.Contains(told, "panicked") {
						t.Fatalf("%s, byte %d is %#x: %s", s.file, i, b, told)
					}
				}
			}
		}
	}
}

// A string in a great many pieces, and strings in strings, take linear time.
func TestCMSOfManyPieces(t *testing.T) {
	one := strings.Repeat(der(berOctetString, "x"), 1<<20)
	empty := strings.Repeat(ber(pieces), 1<<19)
	n := walked(t, Limits{}, "f", []byte(ber(seq, der(berOID, idData), ber(explicit, ber(pieces, one, empty, der(berOctetString, marker))))))
	if len(n.data) != 2 || len(n.data[1]) != 1<<20+len(marker) || len(n.unchecked) > 0 {
		t.Errorf("%d objects, unchecked %q", len(n.data), n.unchecked)
	}
}

func TestNestedCMSEndsAtTheDepth(t *testing.T) {
	data := contentInfo(idData, der(berOctetString, marker))
	for range 50 {
		data = signed(data)
	}
	n := walked(t, Limits{}, "f", []byte(data))
	if len(n.unchecked) != 1 || !strings.HasSuffix(n.unchecked[0], "limit: depth") {
		t.Errorf("unchecked %q", n.unchecked)
	}
}

func FuzzCMS(f *testing.F) {
	for _, l := range cmsLies() {
		f.Add([]byte(l.data))
	}
	fuzz(f, "cms")
}

// The search for armour in what has none is paid for each object.
func BenchmarkMatchCMS(b *testing.B) { benchmarkMatch(b, cmsMatch) }

func benchmarkMatch(b *testing.B, match func([]byte) bool) {
	random := make([]byte, 6<<20)
	seed := uint32(1)
	for i := range random {
		seed = seed*1664525 + 1013904223
		random[i] = byte(seed >> 24)
	}
	for _, data := range []struct{ name, data string }{
		{"text", benchText()},
		{"random", string(random)},
		{"base64", base64.StdEncoding.EncodeToString(random)},
		{"dashes", strings.Repeat("-----", 1<<20)},
		{"BBBB", strings.Repeat("B", 8<<20)},
		{"table", strings.Repeat("+-----+-------------------------------+\n| abc | def                           |\n", 1<<16)},
		{"BEGIN", strings.Repeat("-----BEGIN ", 1<<19)},
	} {
		b.Run(data.name, func(b *testing.B) {
			bytes := []byte(data.data)
			b.SetBytes(int64(len(bytes)))
			for b.Loop() {
				if match(bytes) {
					b.Fatalf("%s matches", data.name)
				}
			}
		})
	}
}
