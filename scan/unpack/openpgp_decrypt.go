package unpack

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"hash"
	"io"
)

// pgpPassword is how a key comes from a password: a packet of version 4 (section
// 5.3.1) with its way from a string to a key (section 3.7.1).
type pgpPassword struct {
	cipher  byte
	hash    func() hash.Hash
	salt    []byte
	count   int    // of bytes that are hashed, at the least
	session []byte // the session key, encrypted; none: the key is it
}

// maxPGPPasswords bounds the packets that are tried for a message. There is
// one, as a rule.
const maxPGPPasswords = 4

// key keeps a session key packet, or that there is one that cannot be used.
func (r *pgpReader) key(b []byte) {
	if len(r.keys) == maxPGPPasswords {
		return
	}
	k, ok := parsePGPPassword(b)
	if !ok {
		k = pgpPassword{}
	}
	r.keys = append(r.keys, k)
}

// The ways from a string to a key. The numbers that are left out need more than
// the standard library has.
const (
	pgpSimple   = 0
	pgpSalted   = 1
	pgpIterated = 3
)

// parsePGPPassword reads a session key packet.
func parsePGPPassword(b []byte) (k pgpPassword, ok bool) {
	if len(b) < 4 || b[0] != 4 {
		return k, false
	}
	k = pgpPassword{cipher: b[1], hash: pgpHash(b[3])}
	kind, rest := b[2], b[4:]
	if kind == pgpSalted || kind == pgpIterated {
		if len(rest) < 8 {
			return k, false
		}
		k.salt, rest = rest[:8], rest[8:]
	}
	if kind == pgpIterated {
		if len(rest) < 1 {
			return k, false
		}
		k.count, rest = int(16+rest[0]&15)<<(rest[0]>>4+6), rest[1:]
	}
	k.session = rest
	return k, k.hash != nil && kind != 2 && kind <= pgpIterated
}

// pgpHash gives a hash algorithm (section 9.5); nil when it is not known.
func pgpHash(id byte) func() hash.Hash {
	switch id {
	case 1:
		return md5.New
	case 2:
		return sha1.New
	case 8:
		return sha256.New
	case 9:
		return sha512.New384
	case 10:
		return sha512.New
	case 11:
		return sha256.New224
	case 12:
		return func() hash.Hash { return sha3.New256() }
	case 14:
		return func() hash.Hash { return sha3.New512() }
	}
	return nil
}

// pgpCipher gives the length of a cipher's keys (section 9.3); 0 when it is not known.
func pgpCipher(id byte) (keySize int, newCipher func([]byte) (cipher.Block, error)) {
	switch id {
	case 2:
		return 24, des.NewTripleDESCipher
	case 7:
		return 16, aes.NewCipher
	case 8:
		return 24, aes.NewCipher
	case 9:
		return 32, aes.NewCipher
	}
	return 0, nil
}

// block gives the cipher that a password leads to; nil when it leads to none.
func (k *pgpPassword) block(password string) cipher.Block {
	size, newCipher := pgpCipher(k.cipher)
	if k.hash == nil || size == 0 {
		return nil
	}
	key := k.derive(password, size)
	block, err := newCipher(key)
	if err != nil || len(k.session) == 0 {
		return block
	}
	session := make([]byte, len(k.session))
	newPGPCFB(block, bytes.NewReader(k.session), nil).Read(session)
	if size, newCipher = pgpCipher(session[0]); size == 0 || len(session) != 1+size {
		return nil
	}
	if block, err = newCipher(session[1:]); err != nil {
		return nil
	}
	return block
}

// derive makes a key of size bytes: a hash of salt and password over and over,
// and as many hashes as it takes, each with one more zero in front.
func (k *pgpPassword) derive(password string, size int) (key []byte) {
	once := append(bytes.Clone(k.salt), password...)
	many := bytes.Repeat(once, 1+8192/max(len(once), 1))
	for zeros := 0; len(key) < size; zeros++ {
		h := k.hash()
		h.Write(make([]byte, zeros))
		left := max(k.count, len(once))
		for ; left > len(many); left -= len(many) {
			h.Write(many)
		}
		h.Write(many[:left])
		key = h.Sum(key)
	}
	return key[:size]
}

// decrypted reads encrypted data with the passwords that are known; nil when none
// of them fits.
func (r *pgpReader) decrypted(p pgpPacket, data []byte) io.Reader {
	if len(r.keys) == 0 || p.tag == pgpAEAD {
		return nil
	}
	for password := range r.file.passwords() {
		for _, k := range r.keys {
			block := k.block(password)
			if block == nil {
				continue
			}
			var head [2]byte
			if plain := pgpDecrypt(p, data, block); plain != nil {
				if n, _, _ := fill(plain, head[:], 0); n == len(head) && isPGPContent(head[0]) {
					r.file.opened(password)
					return pgpDecrypt(p, data, block)
				}
			}
		}
	}
	return nil
}

// isPGPContent reports whether a packet within encrypted data may begin so.
func isPGPContent(first byte) bool {
	tag := pgpTag(first & 0x3f)
	if first&0x40 == 0 {
		tag = pgpTag(first >> 2 & 0x0f)
	}
	return first&0x80 != 0 && (tag == pgpSignature || tag == pgpOnePass || tag == pgpCompressed || tag == pgpMarker || tag == pgpLiteral || tag == pgpPadding)
}

// pgpDecrypt decrypts a packet's body; nil when the key is seen not to fit. Before
// the packets stands a block of noise, the last two bytes of which come twice
// (sections 5.7 and 5.13.1).
func pgpDecrypt(p pgpPacket, data []byte, block cipher.Block) io.Reader {
	body := p.reader(data)
	if p.tag == pgpSEIPD {
		var version [1]byte
		if n, _, _ := fill(body, version[:], 0); n == 0 || version[0] != 1 {
			return nil
		}
	}
	size := block.BlockSize()
	packed, noise := make([]byte, size+2), make([]byte, size+2)
	if n, _, _ := fill(body, packed, 0); n < len(packed) {
		return nil
	}
	cfb := newPGPCFB(block, io.MultiReader(bytes.NewReader(packed), body), nil)
	fill(cfb, noise, 0)
	switch {
	case !bytes.Equal(noise[size-2:size], noise[size:]):
		return nil
	case p.tag == pgpSED: // section 12.9: begins anew behind the noise
		return newPGPCFB(block, body, packed[2:])
	}
	c := &pgpChecked{r: cfb, sum: sha1.New()}
	c.sum.Write(noise)
	return c
}

// pgpCFB decrypts in cipher feedback mode (section 12.9).
type pgpCFB struct {
	block  cipher.Block
	r      io.Reader
	last   []byte // of the encrypted bytes
	stream []byte
	used   int // of stream
}

// newPGPCFB begins with what stands before the encrypted bytes; nil: zeros.
func newPGPCFB(block cipher.Block, r io.Reader, before []byte) *pgpCFB {
	size := block.BlockSize()
	c := &pgpCFB{block: block, r: r, last: make([]byte, size), stream: make([]byte, size), used: size}
	copy(c.last, before)
	return c
}

// Read implements io.Reader.
func (c *pgpCFB) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	for done := 0; done < n; {
		if c.used == len(c.stream) {
			c.block.Encrypt(c.stream, c.last)
			c.used = 0
		}
		k := copy(c.last[c.used:], p[done:n])
		subtle.XORBytes(p[done:done+k], p[done:done+k], c.stream[c.used:])
		done += k
		c.used += k
	}
	return n, err
}

// pgpChecked gives what stands before the modification detection code, and checks
// that (section 5.13.1).
type pgpChecked struct {
	r    io.Reader
	sum  hash.Hash
	held []byte // decrypted and not given: the last of it may be the code
	err  error  // behind held
}

// pgpCodeSize is the length of the code and of the packet's header before it.
const pgpCodeSize = 2 + sha1.Size

// Read implements io.Reader.
func (c *pgpChecked) Read(p []byte) (int, error) {
	for len(c.held) <= pgpCodeSize && c.err == nil {
		c.more()
	}
	if c.err != nil {
		n := copy(p, c.held)
		c.held = c.held[n:]
		if n == 0 {
			return 0, c.err
		}
		return n, nil
	}
	n := copy(p, c.held[:len(c.held)-pgpCodeSize])
	c.sum.Write(c.held[:n])
	c.held = c.held[n:]
	return n, nil
}

// more decrypts some more, or comes to the end.
func (c *pgpChecked) more() {
	var buffer [4096]byte
	n, end, err := fill(c.r, buffer[:], 0)
	c.held = append(c.held, buffer[:n]...)
	switch {
	case !end:
	case err != nil: // what is held is no code
		c.err = err
	case c.fits():
		c.held, c.err = c.held[:len(c.held)-pgpCodeSize], io.EOF
	default:
		c.err = fmt.Errorf("%w: wrong modification detection code", ErrDamaged)
	}
}

// fits reports whether what is held ends with the right code.
func (c *pgpChecked) fits() bool {
	const header = "\xd3\x14"
	at := len(c.held) - pgpCodeSize
	if at < 0 || string(c.held[at:at+len(header)]) != header {
		return false
	}
	c.sum.Write(c.held[:at+len(header)])
	return bytes.Equal(c.sum.Sum(nil), c.held[at+len(header):])
}
