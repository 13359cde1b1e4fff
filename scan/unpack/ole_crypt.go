package unpack

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"crypto/rc4"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"math/bits"
	"time"
	"unicode/utf16"
)

// Encryption of the binary formats of Office (MS-OFFCRYPTO, whose section numbers
// these are).

// officePassword opens without asking: Excel encrypts with it what is only to be
// protected from changes, and tries it first.
const officePassword = "VelvetSweatshop"

// tries yields the passwords to try, that one first. The time that it takes counts
// as that of the others.
func (r *oleReader) tries() iter.Seq[string] {
	return func(yield func(string) bool) {
		k := r.file.keys
		if k == nil {
			yield(officePassword)
			return
		}
		if k.spent > maxTriesTime {
			return
		}
		start := time.Now()
		more := yield(officePassword)
		if k.spent += time.Since(start); !more {
			return
		}
		for p := range r.file.passwords() {
			if !yield(p) {
				return
			}
		}
	}
}

// opens notes that a password fits.
func (r *oleReader) opens(password string) {
	if password != officePassword {
		r.file.opened(password)
	}
}

// officeWide is a password as keys are made from it: in UTF-16.
func officeWide(password string) (b []byte) {
	for _, u := range utf16.Encode([]rune(password)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// officeCipher decrypts a stream, at ascending places of it.
type officeCipher interface {
	// decrypt decrypts b, which stands at an offset of the stream.
	decrypt(b []byte, at int64)
}

// rc4Cipher decrypts with a new key for every block.
type rc4Cipher struct {
	key    func(block uint32) []byte
	block  int64
	stream *rc4.Cipher
	at     int64 // what the stream comes to
}

// decrypt implements officeCipher.
func (c *rc4Cipher) decrypt(b []byte, at int64) {
	for len(b) > 0 {
		if c.stream == nil || at/c.block != c.at/c.block || at < c.at || c.at%c.block == 0 && c.at == at {
			c.at = at - at%c.block
			c.stream, _ = rc4.NewCipher(c.key(uint32(at / c.block))) // keys have 16 bytes, or 5 and more
		}
		skipped := make([]byte, at-c.at)
		c.stream.XORKeyStream(skipped, skipped)
		n := min(int64(len(b)), c.block-at%c.block)
		c.stream.XORKeyStream(b[:n], b[:n])
		b, at = b[n:], at+n
		c.at = at
	}
}

// rc4Keys makes the keys of a password, when it is the right one: info says how a
// document is encrypted, beginning with the version.
func rc4Keys(info []byte, password string) (key func(block uint32) []byte, ok bool) {
	if len(info) < 4 {
		return nil, false
	}
	le := binary.LittleEndian
	if major, minor := le.Uint16(info), le.Uint16(info[2:]); major != 1 || minor != 1 {
		return cryptoAPIKeys(info, password)
	}
	const salt = 16 // bytes, then the verifier and its digest (section 2.3.6.1)
	if info = info[4:]; len(info) < 3*salt {
		return nil, false
	}
	first := md5.Sum(officeWide(password)) // section 2.3.6.2
	again := md5.Sum(bytes.Repeat(append(first[:5:5], info[:salt]...), 16))
	key = func(block uint32) []byte {
		k := md5.Sum(le.AppendUint32(again[:5:5], block))
		return k[:]
	}
	proof := bytes.Clone(info[salt : 3*salt])
	(&rc4Cipher{key: key, block: 1 << 10}).decrypt(proof, 0)
	digest := md5.Sum(proof[:salt])
	return key, bytes.Equal(digest[:], proof[salt:])
}

// cryptoAPIKeys is rc4Keys for the encryption of Windows' CryptoAPI (section 2.3.5).
func cryptoAPIKeys(info []byte, password string) (key func(block uint32) []byte, ok bool) {
	h, ok := parseOfficeHeader(info)
	if !ok || h.algorithm != officeRC4 && h.algorithm != 0 {
		return nil, false
	}
	if h.keyBits == 0 {
		h.keyBits = 40
	}
	if h.keyBits < 40 || h.keyBits > 128 {
		return nil, false
	}
	first := sha1.Sum(append(bytes.Clone(h.salt), officeWide(password)...)) // section 2.3.5.2
	key = func(block uint32) []byte {
		k := sha1.Sum(binary.LittleEndian.AppendUint32(first[:len(first):len(first)], block))
		if h.keyBits == 40 {
			return append(k[:5:5], make([]byte, 11)...)
		}
		return k[:h.keyBits/8]
	}
	proof := append(bytes.Clone(h.verifier), h.digest[:min(len(h.digest), sha1.Size)]...)
	(&rc4Cipher{key: key, block: 1 << 10}).decrypt(proof, 0)
	digest := sha1.Sum(proof[:len(h.verifier)])
	return key, bytes.Equal(digest[:], proof[len(h.verifier):])
}

// officeHeader is what says how a document is encrypted (sections 2.3.2 and 2.3.3).
type officeHeader struct {
	algorithm uint32
	keyBits   uint32
	salt      []byte
	verifier  []byte
	digest    []byte // of the verifier
}

// Algorithms (section 2.3.2).
const (
	officeRC4    = 0x6801
	officeAES128 = 0x660e
	officeAES192 = 0x660f
	officeAES256 = 0x6610
)

// parseOfficeHeader reads it: the version and flags, the length of the header, the
// header, which ends with a name, and the verifier.
func parseOfficeHeader(info []byte) (h officeHeader, ok bool) {
	const fixed, verifier = 32, 4 + 16 + 16 + 4 + sha1.Size
	if len(info) < 12 {
		return h, false
	}
	le := binary.LittleEndian
	size := int64(le.Uint32(info[8:]))
	if info = info[12:]; size < fixed || size > int64(len(info)) || int64(len(info))-size < verifier {
		return h, false
	}
	h.algorithm, h.keyBits = le.Uint32(info[8:]), le.Uint32(info[16:])
	info = info[size:]
	h.salt, h.verifier, h.digest = info[4:20], info[20:36], info[40:min(len(info), 72)]
	return h, true
}

// xorCipher is the obfuscation of Excel before 97 (section 2.3.7).
type xorCipher struct {
	pad [16]byte
	end int64 // of the record that is being decrypted
}

// decrypt implements officeCipher.
func (c *xorCipher) decrypt(b []byte, at int64) {
	for i := range b {
		b[i] = bits.RotateLeft8(b[i]^c.pad[(c.end+int64(i))%16], -5)
	}
}

// newXOR makes the cipher of a password, when it has the verifier. The key is in
// the file.
func newXOR(key, verifier uint16, password string) (*xorCipher, bool) {
	if len(password) > 15 || len(password) == 0 {
		return nil, false
	}
	sum := uint16(0) // section 2.3.7.1
	for i := len(password) - 1; i >= -1; i-- {
		b := byte(len(password))
		if i >= 0 {
			b = password[i]
		}
		sum = (sum>>14&1 | sum<<1&0x7fff) ^ uint16(b)
	}
	c := &xorCipher{}
	fill := "\xbb\xff\xff\xba\xff\xff\xb9\x80\x00\xbe\x0f\x00\xbf\x0f\x00\x00" // section 2.3.7.2
	for i, b := range []byte(password + fill)[:16] {
		k := byte(key)
		if i%2 == 1 {
			k = byte(key >> 8)
		}
		c.pad[i] = bits.RotateLeft8(b^k, -1)
	}
	return c, sum^0xce4b == verifier
}

// openWorkbook finds the password of a workbook; nil when it is not known. pass is
// the record that says how it is encrypted (MS-XLS, section 2.4.117).
func (r *oleReader) openWorkbook(pass []byte) func() officeCipher {
	le := binary.LittleEndian
	for p := range r.tries() {
		var open func() officeCipher
		switch {
		case len(pass) == 4, len(pass) >= 6 && le.Uint16(pass) == 0:
			pair := pass[len(pass)-4:]
			if c, ok := newXOR(le.Uint16(pair), le.Uint16(pair[2:]), p); ok {
				open = func() officeCipher { return c }
			}
		case len(pass) >= 6:
			if key, ok := rc4Keys(pass[2:], p); ok {
				open = func() officeCipher { return &rc4Cipher{key: key, block: 1 << 10} }
			}
		}
		if open != nil {
			r.opens(p)
			return open
		}
	}
	return nil
}

// biffDecrypter decrypts a workbook record by record: their heads are plain, and so
// are some records.
type biffDecrypter struct {
	records biffReader
	cipher  officeCipher
	at      int64
	out     []byte
	head    [4]byte
	body    bool // comes next
}

// biffPlain are the records that are not encrypted (MS-XLS, section 2.2.10): BOF,
// FilePass, UsrExcl, FileLock, InterfaceHdr, RRDInfo, RRDHead.
var biffPlain = map[uint16]bool{biffBOF: true, biffFilePass: true, 0x0194: true, 0x0195: true, 0x00e1: true, 0x0196: true, 0x0138: true}

// Read implements io.Reader.
func (d *biffDecrypter) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.body = !d.body; !d.body {
			d.out = d.records.body
			continue
		}
		if !d.records.next() {
			return 0, io.EOF
		}
		d.record(d.records.kind, d.records.body)
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

// record decrypts a record.
func (d *biffDecrypter) record(kind uint16, body []byte) {
	le := binary.LittleEndian
	le.PutUint16(d.head[:], kind)
	le.PutUint16(d.head[2:], uint16(len(body)))
	d.out = d.head[:]
	at := d.at + int64(len(d.head))
	d.at = at + int64(len(body))
	if x, ok := d.cipher.(*xorCipher); ok {
		x.end = at + int64(len(body))
	}
	switch {
	case biffPlain[kind]:
	case kind == biffBoundSheet && len(body) > 4: // the place of the sheet is plain
		d.cipher.decrypt(body[4:], at+4)
	default:
		d.cipher.decrypt(body, at)
	}
}

// document tells of a Word document that is encrypted, or decrypts it (MS-DOC,
// section 2.2.6). Its macros never are.
func (r *oleReader) document(e *cfbEntry, s *cfbStream) {
	const flags, encrypted, whichTable, obfuscated = 10, 1 << 8, 1 << 9, 1 << 15 // section 2.5.2
	le := binary.LittleEndian
	head := s.head(32)
	if len(head) < 32 || head[1] != 0xa5 || le.Uint16(head[flags:])&encrypted == 0 {
		return
	}
	table := "0Table"
	if le.Uint16(head[flags:])&whichTable != 0 {
		table = "1Table"
	}
	var info []byte
	if t := r.child(e.parent, table); t != nil && le.Uint16(head[flags:])&obfuscated == 0 {
		info = r.open(t).head(min(int64(le.Uint32(head[14:])), rtfHead))
	}
	for p := range r.tries() {
		if key, ok := rc4Keys(info, p); ok {
			r.opens(p)
			r.decrypted(plainName(e.name), s, key, 68)
			if data := r.child(e.parent, "Data"); data != nil {
				r.decrypted("Data", r.open(data), key, 0)
			}
			return
		}
	}
	r.emit(member{name: plainName(e.name)}, fmt.Errorf("%w: document", ErrEncrypted))
}

// decrypted hands out a stream of a Word document. The first bytes are plain.
func (r *oleReader) decrypted(name string, s *cfbStream, key func(uint32) []byte, plain int64) {
	if r.spend(s.size); r.done {
		return
	}
	in := &decryptedStream{in: bufio.NewReader(io.NewSectionReader(s, 0, s.size)), cipher: &rc4Cipher{key: key, block: 512}, plain: plain}
	r.emit(member{name: name, body: in, size: s.size}, s.problem())
}

// decryptedStream decrypts a stream of a Word document.
type decryptedStream struct {
	in     io.Reader
	cipher officeCipher
	plain  int64
	at     int64
}

// Read implements io.Reader.
func (d *decryptedStream) Read(p []byte) (int, error) {
	n, err := d.in.Read(p)
	if skip := min(max(d.plain-d.at, 0), int64(n)); int64(n) > skip {
		d.cipher.decrypt(p[skip:n], d.at+skip)
	}
	d.at += int64(n)
	return n, err
}
