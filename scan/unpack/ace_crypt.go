package unpack

import (
	"encoding/binary"
	"math/big"
	"math/bits"
	"slices"
	"sync"
)

// Encrypted members: Blowfish in CBC mode, the key being one round of SHA-0 over
// the password. Blocks, and words in them, are little-endian.

// acePassword is how many bytes of a password count.
const acePassword = 50

// aceDigest hashes a password. That it has no more than one block, that its words
// are little-endian, and that they are spread without turning them (as SHA-0 did)
// is all that tells it from SHA-1.
func aceDigest(password []byte) [5]uint32 {
	var block [64]byte
	n := copy(block[:], password[:min(len(password), acePassword)])
	block[n] = 0x80
	binary.LittleEndian.PutUint32(block[60:], uint32(8*n))
	var w [80]uint32
	for i := range 16 {
		w[i] = binary.LittleEndian.Uint32(block[4*i:])
	}
	for i := 16; i < len(w); i++ {
		w[i] = w[i-3] ^ w[i-8] ^ w[i-14] ^ w[i-16]
	}
	start := [5]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}
	h := start
	for i, word := range w {
		f, k := aceRound(i, h[1], h[2], h[3])
		h = [5]uint32{bits.RotateLeft32(h[0], 5) + f + h[4] + k + word, h[0], bits.RotateLeft32(h[1], 30), h[2], h[3]}
	}
	for i := range h {
		h[i] += start[i]
	}
	return h
}

// aceRound gives function and constant of a round (FIPS 180, section 5).
func aceRound(i int, b, c, d uint32) (f, k uint32) {
	switch i / 20 {
	case 0:
		return b&c | ^b&d, 0x5a827999
	case 1:
		return b ^ c ^ d, 0x6ed9eba1
	case 2:
		return b&c | b&d | c&d, 0x8f1bbcdc
	}
	return b ^ c ^ d, 0xca62c1d6
}

// aceKey is Blowfish with a key.
type aceKey struct {
	p [18]uint32
	s [4][256]uint32
}

func newACEKey(password []byte) *aceKey {
	key, pi := aceDigest(password), aceDigits()
	k := &aceKey{}
	for i := range k.p {
		k.p[i] = pi[i] ^ key[i%len(key)]
	}
	for i := range k.s {
		copy(k.s[i][:], pi[len(k.p)+i*256:])
	}
	var l, r uint32
	fill := func(words []uint32) {
		for pair := range slices.Chunk(words, 2) {
			l, r = k.encrypt(l, r)
			pair[0], pair[1] = l, r
		}
	}
	fill(k.p[:])
	for i := range k.s {
		fill(k.s[i][:])
	}
	return k
}

func (k *aceKey) round(x uint32) uint32 {
	return (k.s[0][x>>24] + k.s[1][x>>16&0xff]) ^ k.s[2][x>>8&0xff] + k.s[3][x&0xff]
}

func (k *aceKey) encrypt(l, r uint32) (uint32, uint32) {
	for i := 0; i < 16; i += 2 {
		l ^= k.p[i]
		r ^= k.round(l) ^ k.p[i+1]
		l ^= k.round(r)
	}
	return r ^ k.p[17], l ^ k.p[16]
}

func (k *aceKey) decrypt(l, r uint32) (uint32, uint32) {
	for i := 16; i > 0; i -= 2 {
		l ^= k.p[i+1]
		r ^= k.round(l) ^ k.p[i]
		l ^= k.round(r)
	}
	return r ^ k.p[0], l ^ k.p[1]
}

// aceDigits gives the words that Blowfish begins with: the first binary digits of pi
// behind the point, after Machin's formula, less ACE's mistakes.
var aceDigits = sync.OnceValue(func() []uint32 {
	const words, guard = 18 + 4*256, 64
	pi := new(big.Int).Sub(
		aceArctan(16, 5, words*32+guard),
		aceArctan(4, 239, words*32+guard),
	)
	pi.Rsh(pi, guard)
	digits := pi.Bytes()[1:] // less the 3
	list := make([]uint32, words)
	for i := range list {
		list[i] = binary.BigEndian.Uint32(digits[4*i:])
	}
	for i, wrong := range aceMistakes {
		list[i] = wrong
	}
	return list
})

// aceMistakes are the words of pi that ACE has wrong: a digit of each. What it
// encrypts no other Blowfish decrypts.
var aceMistakes = map[int]uint32{66: 0x2da9c55d, 69: 0x9b87901e, 157: 0x412c7279}

// aceArctan gives factor times the arctangent of 1/x, so many bits behind the point.
func aceArctan(factor, x int64, points uint) *big.Int {
	power := new(big.Int).Lsh(big.NewInt(factor), points)
	power.Quo(power, big.NewInt(x))
	sum, term, square := new(big.Int), new(big.Int), big.NewInt(x*x)
	for n := int64(1); power.Sign() > 0; n += 2 {
		term.Quo(power, big.NewInt(n))
		if n%4 == 1 {
			sum.Add(sum, term)
		} else {
			sum.Sub(sum, term)
		}
		power.Quo(power, square)
	}
	return sum
}

// aceCipherBlock is the size of a block in bytes.
const aceCipherBlock = 8

// aceInput gives the bytes of a member as they were before they were encrypted.
type aceInput struct {
	data []byte
	key  *aceKey // nil: they were not
	last [2]uint32
}

// read fills b, whose length is a multiple of a block's, as far as there are bytes.
// What is no whole block cannot be decrypted.
func (in *aceInput) read(b []byte) int {
	n := copy(b, in.data)
	in.data = in.data[n:]
	if in.key == nil {
		return n
	}
	le := binary.LittleEndian
	n -= n % aceCipherBlock
	for block := range slices.Chunk(b[:n], aceCipherBlock) {
		sealed := [2]uint32{le.Uint32(block), le.Uint32(block[4:])}
		l, r := in.key.decrypt(sealed[0], sealed[1])
		le.PutUint32(block, l^in.last[0])
		le.PutUint32(block[4:], r^in.last[1])
		in.last = sealed
	}
	return n
}
