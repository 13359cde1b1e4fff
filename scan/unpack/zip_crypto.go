package unpack

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"encoding/binary"
	"hash/crc32"
	"io"
	"slices"

	"golang.org/x/text/encoding/japanese"
)

// Lengths of what stands around encrypted bytes (APPNOTE, section 6.1.3; WinZip's
// "AES Encryption Information", section II).
const (
	zipCryptoHead = 12
	zipVerifier   = 2
	zipTag        = 10
)

// zipAESField is the extra field that says how an entry of method 99 is encrypted.
const zipAESField = 0x9901

// zipRounds is how often AES keys are hashed.
const zipRounds = 1000

// zipTrial is how many unpacked bytes tell a password that fits from one that
// does not, where wrong bytes show in what they unpack to. Members that are
// smaller are unpacked whole.
const zipTrial = 16 << 20

// zipSure is how many bytes unpack from the wrong password's noise at the most:
// a member of which more did so is damaged.
const zipSure = 4 << 10

// zipKey is what one password makes of an entry's encryption.
type zipKey struct {
	crypto zipCrypto    // behind the encryption header
	block  cipher.Block // AES; nil: ZipCrypto
	tag    []byte       // AES: the key of the tag
}

// zipCrypto is the state of PKWARE's traditional encryption (section 6.1).
type zipCrypto [3]uint32

func newZipCrypto(password []byte) zipCrypto {
	k := zipCrypto{0x12345678, 0x23456789, 0x34567890}
	for _, c := range password {
		k.update(c)
	}
	return k
}

func (k *zipCrypto) update(plain byte) {
	k[0] = crc32.IEEETable[byte(k[0])^plain] ^ k[0]>>8
	k[1] = (k[1]+k[0]&0xff)*134775813 + 1
	k[2] = crc32.IEEETable[byte(k[2])^byte(k[1]>>24)] ^ k[2]>>8
}

// XORKeyStream implements cipher.Stream, as far as it goes: dst may be src.
func (k *zipCrypto) XORKeyStream(dst, src []byte) {
	for i, c := range src {
		t := uint16(k[2]) | 2
		c ^= byte(t * (t ^ 1) >> 8)
		k.update(c)
		dst[i] = c
	}
}

// zipCounter is AES in counter mode as WinZip has it: the counter is
// little-endian and begins at 1.
type zipCounter struct {
	block   cipher.Block
	counter [aes.BlockSize]byte
	pad     [aes.BlockSize]byte
	used    int
}

// XORKeyStream implements cipher.Stream.
func (c *zipCounter) XORKeyStream(dst, src []byte) {
	for i := range src {
		if c.used %= aes.BlockSize; c.used == 0 {
			n := binary.LittleEndian.Uint64(c.counter[:]) + 1 // no entry has 2^64 blocks
			binary.LittleEndian.PutUint64(c.counter[:], n)
			c.block.Encrypt(c.pad[:], c.counter[:])
		}
		dst[i] = src[i] ^ c.pad[c.used]
		c.used++
	}
}

// stream begins to decrypt.
func (k *zipKey) stream() cipher.Stream {
	if k.block == nil {
		crypto := k.crypto
		return &crypto
	}
	return &zipCounter{block: k.block}
}

// lock gives how many bytes stand before and behind an entry's encrypted bytes.
func (e *zipEntry) lock() (head, tail int) {
	if e.strength == 0 {
		return zipCryptoHead, 0
	}
	return e.salt() + zipVerifier, zipTag
}

// salt is the length of an AES entry's salt, half of the key's: 8, 12 or 16.
func (e *zipEntry) salt() int { return 4 + 4*int(e.strength) }

// key makes the key of a password; nil when the password does not even pass the
// check that costs little.
func (e *zipEntry) key(data, password []byte) *zipKey {
	head, _ := e.lock()
	if len(data) < head {
		return nil
	}
	if e.strength == 0 {
		var header [zipCryptoHead]byte
		k := &zipKey{crypto: newZipCrypto(password)}
		k.crypto.XORKeyStream(header[:], data[:zipCryptoHead])
		if !slices.Contains(e.checks, header[zipCryptoHead-1]) {
			return nil
		}
		return k
	}
	size := 2 * e.salt()
	keys, err := pbkdf2.Key(sha1.New, string(password), data[:e.salt()], zipRounds, 2*size+zipVerifier)
	if err != nil || string(keys[2*size:]) != string(data[e.salt():head]) {
		return nil
	}
	block, err := aes.NewCipher(keys[:size])
	if err != nil {
		return nil
	}
	return &zipKey{block: block, tag: keys[size : 2*size]}
}

// seals reports whether the tag behind an AES entry's encrypted bytes, which
// end at the given offset, is theirs.
func (z *zipReader) seals(e *zipEntry, k *zipKey, end int64) bool {
	head, tail := e.lock()
	start := int64(e.start + head)
	if k.block == nil || end < start || end > int64(len(z.data)-tail) {
		return false
	}
	h := hmac.New(sha1.New, k.tag)
	h.Write(z.data[start:end])
	return hmac.Equal(h.Sum(nil)[:tail], z.data[end:end+int64(tail)])
}

// zipFit says how well a password fits.
type zipFit int

const (
	zipMisfit zipFit = iota
	zipPartly        // the entry is damaged, else this would be it
	zipFits
)

// unlock hands out an encrypted entry when one of the passwords fits.
func (z *zipReader) unlock(e *zipEntry, m member) bool {
	if zipMethodOf(e.method).open == nil {
		return false
	}
	if !zipMethodOf(e.method).ends {
		z.measure(e)
	}
	var partly *zipKey
	key := z.search(e, &partly)
	if key == nil {
		key = partly
	}
	if key == nil {
		return false
	}
	z.emitBody(e, key, m)
	return true
}

// search tries the passwords. The first one that fits an entry but for damage is
// left in partly.
func (z *zipReader) search(e *zipEntry, partly **zipKey) *zipKey {
	for password := range z.file.passwords() {
		for _, raw := range passwordBytes(password) {
			key := e.key(z.data[e.start:], raw)
			if key == nil {
				continue
			}
			fit := z.fit(e, key)
			if fit == zipFits {
				z.file.opened(password)
				return key
			}
			if fit == zipPartly && *partly == nil {
				*partly = key
			}
		}
	}
	return nil
}

// passwordBytes gives the bytes that a password may be in an archive: UTF-8, and
// what Japanese programs make of it.
func passwordBytes(password string) [][]byte {
	all := [][]byte{[]byte(password)}
	sjis, err := japanese.ShiftJIS.NewEncoder().Bytes(all[0])
	if err == nil && string(sjis) != password {
		all = append(all, sjis)
	}
	return all
}

// fit tries a key. Of stored bytes the length is tried that the packed size
// tells, then the one that the size does.
func (z *zipReader) fit(e *zipEntry, key *zipKey) zipFit {
	_, tail := e.lock()
	if e.packed != unknownSize && z.seals(e, key, int64(e.start)+e.packed-int64(tail)) {
		e.sealed = true
		return zipFits
	}
	fit := z.unpacks(*e, key)
	if head, tail := e.lock(); fit != zipFits && e.method == zipStored && e.size >= 0 {
		other := *e
		other.packed = e.size + int64(head+tail)
		if other.packed != e.packed && z.unpacks(other, key) == zipFits {
			e.packed = other.packed
			return zipFits
		}
	}
	return fit
}

// unpacks reports whether an entry unpacks with a key: to its end, or as far as
// wrong bytes would not.
func (z *zipReader) unpacks(e zipEntry, key *zipKey) zipFit {
	read := z.read
	defer func() { z.read = read }() // passwords have bounds of their own
	b, err := z.body(&e, key)
	if err != nil {
		return zipMisfit
	}
	shows := zipMethodOf(e.method).shows
	n, err := io.CopyN(io.Discard, b, zipTrial)
	if err == nil && !shows {
		var more int64
		more, err = io.Copy(io.Discard, b)
		n += more
	}
	switch {
	case e.whole, err == nil && shows:
		return zipFits
	case key.block != nil, shows && n > zipSure:
		return zipPartly // AES: one wrong password of 65,536 comes this far
	}
	return zipMisfit
}

// zipDecrypter decrypts as it is read.
type zipDecrypter struct {
	rest   []byte // not decrypted
	stream cipher.Stream
	buffer [4 << 10]byte
	plain  []byte // decrypted and not read, within buffer
}

// fill decrypts the next bytes; false at the end.
func (d *zipDecrypter) fill() bool {
	if len(d.plain) > 0 {
		return true
	}
	n := min(len(d.rest), len(d.buffer))
	d.plain = d.buffer[:n]
	d.stream.XORKeyStream(d.plain, d.rest[:n])
	d.rest = d.rest[n:]
	return n > 0
}

// Read implements io.Reader.
func (d *zipDecrypter) Read(p []byte) (int, error) {
	if len(p) > 0 && !d.fill() {
		return 0, io.EOF
	}
	n := copy(p, d.plain)
	d.plain = d.plain[n:]
	return n, nil
}

// ReadByte implements io.ByteReader.
func (d *zipDecrypter) ReadByte() (byte, error) {
	if !d.fill() {
		return 0, io.EOF
	}
	c := d.plain[0]
	d.plain = d.plain[1:]
	return c, nil
}

// Len is how many bytes are left.
func (d *zipDecrypter) Len() int { return len(d.rest) + len(d.plain) }
