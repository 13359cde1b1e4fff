package unpack

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"fmt"
	"hash"
	"io"
)

// Documents of Office since 2007 that are encrypted are a compound file with two
// streams: how, and the package (MS-OFFCRYPTO, whose section numbers these are).

// ooxmlKey decrypts a package.
type ooxmlKey struct {
	block cipher.Block
	iv    func(segment uint32) []byte // nil: every block by itself
}

const (
	ooxmlSegment = 4096 // section 2.3.4.15
	ooxmlSize    = 8    // of the length before the package (section 2.3.4.4)

	// ooxmlMaxSpin is the largest count of rounds that is allowed (section 2.3.4.10).
	ooxmlMaxSpin = 10_000_000
)

// encrypted hands out an encrypted package.
func (r *oleReader) encrypted(e *cfbEntry, s *cfbStream) {
	name := plainName(e.name)
	closed := func(why string) { r.emit(member{name: name}, fmt.Errorf("%w: %s", ErrEncrypted, why)) }
	info := r.child(e.parent, "EncryptionInfo")
	if info == nil {
		closed("protected by rights management")
		return
	}
	try := ooxmlLock(r.open(info).head(1 << 20))
	if try == nil {
		closed("in a way that is not known")
		return
	}
	for p := range r.tries() {
		if key := try(officeWide(p)); key != nil {
			r.opens(p)
			r.decryptPackage(name, s, key)
			return
		}
	}
	closed("package")
}

// decryptPackage hands out a package. Its length is believed when it is that of the
// stream but for what pads it.
func (r *oleReader) decryptPackage(name string, s *cfbStream, key *ooxmlKey) {
	var head [ooxmlSize]byte
	if n, _ := s.ReadAt(head[:], 0); n < len(head) {
		r.emit(member{name: name}, errCutShort)
		return
	}
	rest, problem := s.size-ooxmlSize, s.problem()
	size := binary.LittleEndian.Uint64(head[:])
	switch {
	case size > uint64(rest) && problem == nil:
		problem = errCutShort
	case size <= uint64(rest) && uint64(rest)-size < ooxmlSegment:
		rest = int64(size)
	}
	if r.spend(s.size); r.done {
		return
	}
	in := &ooxmlReader{in: io.NewSectionReader(s, ooxmlSize, s.size-ooxmlSize), key: key}
	r.emit(member{name: name, body: io.LimitReader(in, rest), size: rest}, problem)
}

// ooxmlReader decrypts a package, a segment at a time.
type ooxmlReader struct {
	in      io.Reader
	key     *ooxmlKey
	segment uint32
	buf     [ooxmlSegment]byte
	out     []byte
}

// Read implements io.Reader.
func (o *ooxmlReader) Read(p []byte) (int, error) {
	if len(o.out) == 0 {
		n, err := io.ReadFull(o.in, o.buf[:])
		size := o.key.block.BlockSize()
		if n = n / size * size; n == 0 {
			return 0, io.EOF
		}
		_ = err // it comes again with the next segment
		o.out = o.buf[:n]
		o.key.decrypt(o.out, o.segment)
		o.segment++
	}
	n := copy(p, o.out)
	o.out = o.out[n:]
	return n, nil
}

// decrypt decrypts whole blocks.
func (k *ooxmlKey) decrypt(b []byte, segment uint32) {
	if k.iv != nil {
		cipher.NewCBCDecrypter(k.block, k.iv(segment)).CryptBlocks(b, b)
		return
	}
	for size := k.block.BlockSize(); len(b) >= size; b = b[size:] {
		k.block.Decrypt(b, b)
	}
}

// ooxmlLock reads how a package is encrypted, and gives what makes a key of a
// password when it is the right one; nil when the way is not known.
func ooxmlLock(info []byte) func(password []byte) *ooxmlKey {
	if len(info) < 8 {
		return nil
	}
	switch le := binary.LittleEndian; {
	case le.Uint16(info[2:]) == 2: // section 2.3.4.5
		return standardLock(info)
	case le.Uint16(info) == 4 && le.Uint16(info[2:]) == 4: // section 2.3.4.10
		return agileLock(info[8:])
	}
	return nil
}

// standardLock is ooxmlLock of standard encryption.
func standardLock(info []byte) func(password []byte) *ooxmlKey {
	const rounds = 50_000 // section 2.3.4.7
	h, ok := parseOfficeHeader(info)
	sizes := map[uint32]int{officeAES128: 16, officeAES192: 24, officeAES256: 32, 0: 16}
	size := sizes[h.algorithm]
	if !ok || size == 0 || len(h.digest) < 2*aes.BlockSize {
		return nil
	}
	return func(password []byte) *ooxmlKey {
		d := spinHash(sha1.New, h.salt, password, rounds)
		d = digestOf(sha1.New, d, make([]byte, 4))
		mix := func(with byte) []byte {
			block := bytes.Repeat([]byte{with}, 64)
			for i, b := range d {
				block[i] ^= b
			}
			return digestOf(sha1.New, block)
		}
		block, err := aes.NewCipher(append(mix(0x36), mix(0x5c)...)[:size])
		if err != nil {
			return nil
		}
		key := &ooxmlKey{block: block}
		proof := append(bytes.Clone(h.verifier), h.digest[:2*aes.BlockSize]...)
		key.decrypt(proof, 0)
		if !bytes.Equal(digestOf(sha1.New, proof[:aes.BlockSize]), proof[aes.BlockSize:][:sha1.Size]) {
			return nil
		}
		return key
	}
}

// digestOf is the digest of some texts in a row.
func digestOf(algorithm func() hash.Hash, texts ...[]byte) []byte {
	h := algorithm()
	for _, text := range texts {
		h.Write(text)
	}
	return h.Sum(nil)
}

// spinHash hashes a password again and again, with a count in front.
func spinHash(algorithm func() hash.Hash, salt, password []byte, rounds uint32) []byte {
	h := algorithm()
	h.Write(salt)
	h.Write(password)
	sum := make([]byte, 4, 4+h.Size())
	sum = h.Sum(sum)
	for i := range rounds {
		binary.LittleEndian.PutUint32(sum, i)
		h.Reset()
		h.Write(sum)
		sum = h.Sum(sum[:4])
	}
	return sum[4:]
}

// agileCrypt is a group of attributes that say how something is encrypted.
type agileCrypt struct {
	Salt     string `xml:"saltValue,attr"`
	KeyBits  int    `xml:"keyBits,attr"`
	HashSize int    `xml:"hashSize,attr"`
	Cipher   string `xml:"cipherAlgorithm,attr"`
	Chaining string `xml:"cipherChaining,attr"`
	Hash     string `xml:"hashAlgorithm,attr"`

	Spin     uint32 `xml:"spinCount,attr"`
	Verifier string `xml:"encryptedVerifierHashInput,attr"`
	Digest   string `xml:"encryptedVerifierHashValue,attr"`
	Key      string `xml:"encryptedKeyValue,attr"`
}

// agileHashes are the digests that there are, by name (section 2.3.4.10).
var agileHashes = map[string]func() hash.Hash{"MD5": md5.New, "SHA1": sha1.New, "SHA-1": sha1.New, "SHA256": sha256.New, "SHA-256": sha256.New,
	"SHA384": sha512.New384, "SHA-384": sha512.New384, "SHA512": sha512.New, "SHA-512": sha512.New}

// usable reports whether something is encrypted in a way that is known.
func (a *agileCrypt) usable() bool {
	keys := map[int]bool{128: true, 192: true, 256: true}
	return agileHashes[a.Hash] != nil && a.Cipher == "AES" && a.Chaining == "ChainingModeCBC" && keys[a.KeyBits] && a.Spin <= ooxmlMaxSpin
}

// key makes the cipher of a key that is cut, or filled up, to its size.
func (a *agileCrypt) key(k []byte) (cipher.Block, error) {
	return aes.NewCipher(fitted(k, a.KeyBits/8))
}

// fitted cuts b to n bytes, or fills it up as keys and vectors are (section 2.3.4.11).
func fitted(b []byte, n int) []byte {
	for len(b) < n {
		b = append(b[:len(b):len(b)], 0x36)
	}
	return b[:n]
}

// unlock decrypts a value that is encrypted with a password's digest; purpose is
// mixed into the key (section 2.3.4.11).
func (a *agileCrypt) unlock(digest []byte, purpose, value string) []byte {
	raw := decodeAttribute(value)
	block, err := a.key(digestOf(agileHashes[a.Hash], digest, []byte(purpose)))
	if err != nil || len(raw) == 0 || len(raw)%aes.BlockSize != 0 {
		return nil
	}
	iv := fitted(decodeAttribute(a.Salt), aes.BlockSize)
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(raw, raw)
	return raw
}

// decodeAttribute decodes base64; nil when it is none.
func decodeAttribute(value string) []byte {
	raw, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil
	}
	return raw
}

// agileLock is ooxmlLock of agile encryption.
func agileLock(text []byte) func(password []byte) *ooxmlKey {
	var info struct {
		Data agileCrypt   `xml:"keyData"`
		Keys []agileCrypt `xml:"keyEncryptors>keyEncryptor>encryptedKey"`
	}
	d := xml.NewDecoder(bytes.NewReader(bytes.TrimRight(text, "\x00")))
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // all that matters is ASCII
	if err := d.Decode(&info); err != nil || !info.Data.usable() {
		return nil
	}
	for _, k := range info.Keys {
		if k.Verifier != "" && k.usable() { // not one for a certificate
			return func(password []byte) *ooxmlKey { return agileKey(info.Data, k, password) }
		}
	}
	return nil
}

// agileKey makes the key of a package. Its three purposes are those of section 2.3.4.13.
func agileKey(data, k agileCrypt, password []byte) *ooxmlKey {
	digest := spinHash(agileHashes[k.Hash], decodeAttribute(k.Salt), password, k.Spin)
	input := k.unlock(digest, "\xfe\xa7\xd2\x76\x3b\x4b\x9e\x79", k.Verifier)
	proof := digestOf(agileHashes[k.Hash], input)
	if sum := k.unlock(digest, "\xd7\xaa\x0f\x6d\x30\x61\x34\x4e", k.Digest); len(sum) < len(proof) || !bytes.Equal(sum[:len(proof)], proof) {
		return nil
	}
	block, err := data.key(k.unlock(digest, "\x14\x6e\x0b\xe7\xab\xac\xd0\xd6", k.Key))
	if err != nil {
		return nil
	}
	salt := decodeAttribute(data.Salt)
	return &ooxmlKey{block: block, iv: func(segment uint32) []byte {
		return fitted(digestOf(agileHashes[data.Hash], salt, binary.LittleEndian.AppendUint32(nil, segment)), aes.BlockSize)
	}}
}
