package unpack

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"crypto/rc4"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
)

// pdfSecurity is a dictionary of the standard security handler (ISO 32000-1, section
// 7.6.3; revisions 5 and 6 are those of ISO 32000-2), and the key once it is known.
type pdfSecurity struct {
	revision       int
	size           int // of the key, in bytes
	owner, user    []byte
	ownerE, userE  []byte
	permissions    uint32
	clearMetadata  bool
	streams, texts pdfMethod
	files          pdfMethod
	filters        map[pdfName]pdfMethod

	key []byte
}

// pdfMethod is how the bytes of a stream or a string are encrypted.
type pdfMethod int

const (
	pdfPlain pdfMethod = iota
	pdfRC4
	pdfAES    // 128 bits, a key for each object
	pdfAES256 // the file's key
)

// pdfPad is what passwords are filled up with (section 7.6.3.3, algorithm 2).
const pdfPad = "\x28\xbf\x4e\x5e\x4e\x75\x8a\x41\x64\x00\x4e\x56\xff\xfa\x01\x08\x2e\x2e\x00\xb6\xd0\x68\x3e\x80\x2f\x0c\xa9\xfe\x64\x53\x69\x7a"

// parsePDFSecurity reads an encryption dictionary, in which nothing is a reference.
func parsePDFSecurity(d pdfDict) (s *pdfSecurity, ok bool) {
	text := func(key pdfName) []byte { t, _ := d.get(key).(pdfString); return t.bytes }
	s = &pdfSecurity{revision: d.int("R", 0), owner: text("O"), user: text("U"), ownerE: text("OE"), userE: text("UE"), filters: map[pdfName]pdfMethod{"Identity": pdfPlain}}
	p, _ := d.get("P").(pdfInt)
	s.permissions = uint32(p)
	version := d.int("V", 0)
	s.size = d.int("Length", 40)
	if s.size >= 40 { // some count bytes
		s.size /= 8
	}
	switch s.revision {
	case 2:
		s.size = 5
	case 4:
		s.size = 16
	case 5, 6:
		s.size = 32
	}
	if d.name("Filter") != "Standard" || s.size < 5 || s.size > 32 || s.revision < 2 || s.revision > 6 {
		return nil, false
	}
	if version < 4 {
		s.streams, s.texts, s.files = pdfRC4, pdfRC4, pdfRC4
	} else {
		s.cryptFilters(d)
	}
	long := 32
	if s.revision >= 5 {
		long = 48
	}
	return s, len(s.owner) >= long && len(s.user) >= long && (s.revision < 5 || len(s.ownerE) >= 32 && len(s.userE) >= 32)
}

// equals reports whether two dictionaries are one, given in two versions of a file.
func (s *pdfSecurity) equals(t *pdfSecurity) bool {
	return s.revision == t.revision && s.size == t.size && s.permissions == t.permissions && bytes.Equal(s.owner, t.owner) && bytes.Equal(s.user, t.user) &&
		s.streams == t.streams && s.texts == t.texts && s.files == t.files
}

// cryptFilters reads what stands for streams, strings and embedded files (section 7.6.5).
func (s *pdfSecurity) cryptFilters(d pdfDict) {
	filters, _ := d.get("CF").(pdfDict)
	for _, f := range filters {
		about, _ := f.value.(pdfDict)
		switch about.name("CFM") {
		case "V2":
			s.filters[f.key] = pdfRC4
		case "AESV2":
			s.filters[f.key] = pdfAES
		case "AESV3":
			s.filters[f.key] = pdfAES256
		default:
			s.filters[f.key] = pdfPlain
		}
	}
	s.streams, s.texts = s.filters[d.name("StmF")], s.filters[d.name("StrF")]
	s.files = s.streams
	if name := d.name("EFF"); name != "" {
		s.files = s.filters[name]
	}
	s.clearMetadata = d.get("EncryptMetadata") == pdfWord("false")
}

// unlock tries a password as the user's and as the owner's. id is the first part
// of the file's identifier.
func (s *pdfSecurity) unlock(password, id []byte) bool {
	if s.revision >= 5 {
		return s.unlock256(password[:min(len(password), 127)])
	}
	return s.unlockUser(pdfPadded(password), id) || s.unlockUser(s.userOf(pdfPadded(password)), id)
}

// pdfPadded fills a password up, or cuts it, to 32 bytes.
func pdfPadded(password []byte) []byte {
	return append(bytes.Clone(password), pdfPad...)[:32]
}

// unlockUser is algorithms 2, 4 and 5: the key of a padded password, and whether it fits.
func (s *pdfSecurity) unlockUser(padded, id []byte) bool {
	h := md5.New()
	h.Write(padded)
	h.Write(s.owner[:32])
	h.Write(binary.LittleEndian.AppendUint32(nil, s.permissions))
	h.Write(id)
	if s.revision >= 4 && s.clearMetadata {
		h.Write([]byte("\xff\xff\xff\xff"))
	}
	key := s.rehashed(h.Sum(nil))
	check, length := []byte(pdfPad), 32
	if s.revision >= 3 {
		sum := md5.Sum(append([]byte(pdfPad), id...))
		check, length = sum[:], 16
	}
	for i := range s.rounds() {
		rc4Xor(key, byte(i), check)
	}
	if subtle.ConstantTimeCompare(check[:length], s.user[:length]) == 0 {
		return false
	}
	s.key = key
	return true
}

// userOf is algorithm 7: the user's padded password, which the owner's gives.
func (s *pdfSecurity) userOf(padded []byte) []byte {
	sum := md5.Sum(padded)
	key := s.rehashed(sum[:])
	user := bytes.Clone(s.owner[:32])
	for i := s.rounds() - 1; i >= 0; i-- {
		rc4Xor(key, byte(i), user)
	}
	return user
}

// rounds is how often the check is encrypted, each time with another key.
func (s *pdfSecurity) rounds() int {
	if s.revision >= 3 {
		return 20
	}
	return 1
}

// rehashed makes a key of a hash.
func (s *pdfSecurity) rehashed(sum []byte) []byte {
	n := min(s.size, 16)
	if s.revision >= 3 {
		for range 50 {
			next := md5.Sum(sum[:n])
			sum = next[:]
		}
	}
	return sum[:n]
}

// rc4Xor encrypts b in place, with a key of which every byte is changed by x.
func rc4Xor(key []byte, x byte, b []byte) {
	changed := bytes.Clone(key)
	for i := range changed {
		changed[i] ^= x
	}
	if c, err := rc4.NewCipher(changed); err == nil {
		c.XORKeyStream(b, b)
	}
}

// unlock256 is algorithm 2.A of ISO 32000-2.
func (s *pdfSecurity) unlock256(password []byte) bool {
	for _, of := range []struct{ check, key, user []byte }{
		{s.user, s.userE, nil}, {s.owner, s.ownerE, s.user[:48]},
	} {
		if subtle.ConstantTimeCompare(s.hash(password, of.check[32:40], of.user), of.check[:32]) == 0 {
			continue
		}
		block, err := aes.NewCipher(s.hash(password, of.check[40:48], of.user))
		if err != nil {
			continue
		}
		s.key = make([]byte, 32)
		cipher.NewCBCDecrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(s.key, of.key[:32])
		return true
	}
	return false
}

// hash is algorithm 2.B of ISO 32000-2, which revision 5 knows only the beginning of.
func (s *pdfSecurity) hash(password, salt, user []byte) []byte {
	first := sha256.Sum256(bytes.Join([][]byte{password, salt, user}, nil))
	k := first[:]
	for round := 0; s.revision >= 6; round++ {
		text := bytes.Repeat(bytes.Join([][]byte{password, k, user}, nil), 64)
		block, err := aes.NewCipher(k[:16])
		if err != nil {
			return nil
		}
		cipher.NewCBCEncrypter(block, k[16:32]).CryptBlocks(text, text)
		sum := 0
		for _, b := range text[:16] {
			sum += int(b) // 256 is 1 modulo 3
		}
		switch sum % 3 {
		case 0:
			h := sha256.Sum256(text)
			k = h[:]
		case 1:
			h := sha512.Sum384(text)
			k = h[:]
		default:
			h := sha512.Sum512(text)
			k = h[:]
		}
		if round >= 63 && int(text[len(text)-1]) <= round-31 {
			break
		}
	}
	return k[:32]
}

// cipherKey is algorithm 1: the key for what is in one object.
func (s *pdfSecurity) cipherKey(m pdfMethod, num, gen int) []byte {
	if m == pdfAES256 {
		return s.key
	}
	b := append(bytes.Clone(s.key), byte(num), byte(num>>8), byte(num>>16), byte(gen), byte(gen>>8))
	if m == pdfAES {
		b = append(b, "sAlT"...)
	}
	sum := md5.Sum(b)
	return sum[:min(len(s.key)+5, 16)]
}

// decrypt gives a reader of what was encrypted.
func (s *pdfSecurity) decrypt(m pdfMethod, num, gen int, data []byte) io.Reader {
	if m == pdfPlain {
		return bytes.NewReader(data)
	}
	key := s.cipherKey(m, num, gen)
	if m == pdfRC4 {
		c, err := rc4.NewCipher(key)
		if err != nil {
			return bytes.NewReader(nil)
		}
		return cipher.StreamReader{S: c, R: bytes.NewReader(data)}
	}
	block, err := aes.NewCipher(key)
	if err != nil || len(data) < aes.BlockSize {
		return bytes.NewReader(nil)
	}
	return &pdfCBC{mode: cipher.NewCBCDecrypter(block, data[:aes.BlockSize]), data: data[aes.BlockSize:]}
}

// pdfCBC decrypts AES in CBC mode. Padding that is none is left where it is.
type pdfCBC struct {
	mode cipher.BlockMode
	data []byte // encrypted
	held [4 << 10]byte
	left []byte // of held
}

// Read implements io.Reader.
func (c *pdfCBC) Read(p []byte) (int, error) {
	for len(c.left) == 0 { // the last block may be all padding
		n := min(len(c.data)&^(aes.BlockSize-1), len(c.held))
		if n == 0 {
			return 0, io.EOF
		}
		c.left = c.held[:n]
		c.mode.CryptBlocks(c.left, c.data[:n])
		if c.data = c.data[n:]; len(c.data) < aes.BlockSize {
			c.left = unpadded(c.left)
		}
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

// unpadded takes the padding off (section 7.6.2): as many bytes as each of them tells.
func unpadded(b []byte) []byte {
	if n := int(b[len(b)-1]); n >= 1 && n <= aes.BlockSize && n <= len(b) {
		return b[:len(b)-n]
	}
	return b
}

// string decrypts a string.
func (s *pdfSecurity) string(num, gen int, data []byte) []byte {
	if s.texts == pdfPlain {
		return data
	}
	text, err := io.ReadAll(s.decrypt(s.texts, num, gen, data))
	if err != nil {
		return nil
	}
	return text
}

var errPDFLocked = fmt.Errorf("%w: no password fits", ErrEncrypted)
