package unpack

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"math"
)

// Encrypted images (as vfdecrypt by Weinmann, Appelbaum and Fromme reads them). Those of
// version 1 have their header at the end.
const (
	dmgCrypt      = "encrcdsa"
	dmgCrypt1     = "cdsaencr"
	dmgCryptMin   = 76
	dmgKeyHeader  = 680        // where that for the password mostly is
	dmgKeySize    = 104        // and the key
	dmgKeyMark    = "CKIE\x00" // ends what is within the key
	dmgMostKeys   = 2
	dmgMostRounds = 1 << 20
	dmgMaxBlock   = 1 << 20
)

func isDMGCrypt(data []byte) bool {
	return len(data) >= dmgCryptMin && bytes.HasPrefix(data, []byte(dmgCrypt)) && binary.BigEndian.Uint32(data[8:]) == 2 || isDMGCrypt1(data)
}

func isDMGCrypt1(data []byte) bool {
	return len(data) >= 1276 && bytes.HasSuffix(data, []byte(dmgCrypt1))
}

// dmgDecrypted hands out what is in an encrypted image.
func dmgDecrypted(f File, yield func(member, error) bool) bool {
	if !isDMGCrypt1(f.Data) {
		for _, k := range dmgKeys(f.Data) {
			for p := range f.passwords() {
				if r := k.open(p); r != nil {
					f.opened(p)
					return yield(member{name: nameLess(f.Name, ".dmg", ".img"), body: r.reader(f.Data), size: r.size}, nil)
				}
			}
		}
	}
	return yield(member{}, fmt.Errorf("%w: image", ErrEncrypted))
}

// dmgKey is the key of an image, which a password opens.
type dmgKey struct {
	bits         uint32
	rounds       int
	salt, iv     []byte
	locked       []byte
	block        int
	offset, size int64 // of what is encrypted
}

// dmgKeys reads the headers of keys: those that are listed as for passwords, and the
// one that stands where they mostly do.
func dmgKeys(data []byte) (keys []dmgKey) {
	be := binary.BigEndian
	offsets := []int64{dmgKeyHeader}
	for i := range int(min(be.Uint32(data[72:]), dmgMostKeys)) {
		if e := dmgPart(data, int64(76+20*i), 20); len(e) == 20 && be.Uint32(e) == 1 && be.Uint64(e[4:]) != dmgKeyHeader {
			offsets = append(offsets, int64(be.Uint64(e[4:])&math.MaxInt64))
		}
	}
	for _, at := range offsets {
		b := dmgPart(data, at, 616)
		if len(b) < dmgKeySize {
			continue
		}
		k := dmgKey{bits: be.Uint32(data[24:]), rounds: int(be.Uint32(b[8:])), block: int(be.Uint32(data[52:]))}
		k.offset, k.size = int64(be.Uint64(data[64:])&math.MaxInt64), int64(be.Uint64(data[56:])&math.MaxInt64)
		k.salt, k.iv = b[16:16+min(be.Uint32(b[12:]), 32)], b[52:60]
		k.locked = dmgPart(b, dmgKeySize, int64(be.Uint32(b[100:])))
		sound := len(k.locked) > 0 && len(k.locked)%des.BlockSize == 0 && k.rounds > 0 && k.rounds <= dmgMostRounds
		if sound && k.block >= aes.BlockSize && k.block <= dmgMaxBlock && k.block%aes.BlockSize == 0 {
			keys = append(keys, k)
		}
	}
	return keys
}

// dmgOpened is an image that a password has opened.
type dmgOpened struct {
	dmgKey
	cipher cipher.Block
	mac    hash.Hash
}

// open tries a password; nil when it does not fit. The key is locked with triple DES.
func (k dmgKey) open(password string) *dmgOpened {
	key, err := pbkdf2.Key(sha1.New, password, k.salt, k.rounds, 24)
	if err != nil {
		return nil
	}
	block, err := des.NewTripleDESCipher(key)
	if err != nil {
		return nil
	}
	b := make([]byte, len(k.locked))
	cipher.NewCBCDecrypter(block, k.iv).CryptBlocks(b, k.locked)
	mark := bytes.LastIndex(b, []byte(dmgKeyMark))
	n := mark - sha1.Size
	if n != 16 && n != 32 {
		return nil
	}
	c, err := aes.NewCipher(b[:n])
	if err != nil {
		return nil
	}
	return &dmgOpened{dmgKey: k, cipher: c, mac: hmac.New(sha1.New, b[n:mark])}
}

// reader decrypts the image block by block.
func (o *dmgOpened) reader(data []byte) io.Reader {
	return &dmgDecrypter{dmgOpened: o, in: dmgPart(data, o.offset, math.MaxInt64), left: o.size, plain: make([]byte, o.block)}
}

type dmgDecrypter struct {
	*dmgOpened
	in     []byte
	left   int64 // that are still to come
	number uint32
	plain  []byte
	held   []byte
}

// Read implements io.Reader.
func (d *dmgDecrypter) Read(p []byte) (int, error) {
	if len(d.held) == 0 {
		if d.left == 0 {
			return 0, io.EOF
		}
		n := min(d.block, len(d.in)) / aes.BlockSize * aes.BlockSize
		if n == 0 {
			return 0, errShort
		}
		d.mac.Reset()
		d.mac.Write(binary.BigEndian.AppendUint32(nil, d.number))
		cipher.NewCBCDecrypter(d.cipher, d.mac.Sum(nil)[:aes.BlockSize]).CryptBlocks(d.plain[:n], d.in[:n])
		d.held, d.in = d.plain[:min(int64(n), d.left)], d.in[n:]
		d.left -= int64(len(d.held))
		d.number++
	}
	n := copy(p, d.held)
	d.held = d.held[n:]
	return n, nil
}
