package unpack

import (
	"bytes"
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"unicode/utf16"
)

// No tool but RARLAB's own writes RAR. What the tests need of it is written here.

// rarEntry is a file of an archive that a test writes.
type rarEntry struct {
	name      string // RAR 4: as it stands in the header
	text      string
	password  string
	packed    bool // not stored
	solid     bool
	unicode   bool // RAR 4: the name is written in its way
	before    bool // split over volumes
	after     bool
	service   bool
	stream    string // RAR 5: of a service
	dict      int    // RAR 4: 0 to 6, 7 is a folder; RAR 5: a power of two of 128 KiB
	crc       uint32 // is added to the right one
	size      uint64 // instead of the right one
	headerCRC uint32 // is added to the right one
}

// rarWriter writes archives of one format.
type rarWriter struct {
	format  rarFormat
	file    func(rarEntry) []byte
	end     []byte
	endMore []byte
}

var rarWriters = map[string]rarWriter{
	"rar4": {format: rar4{}, file: rar4File, end: rar4Block(0x7b, 0x4000, ""), endMore: rar4Block(0x7b, 0x4001, "")},
	"rar5": {format: rar5{}, file: rar5File, end: rar5Block("\x05\x00\x00"), endMore: rar5Block("\x05\x00\x01")},
}

// archive is an archive of some files. In a solid one the later may copy from the
// earlier.
func (w rarWriter) archive(solid bool, files ...rarEntry) []byte {
	b := w.format.start(solid)
	for _, f := range files {
		b = append(b, w.file(f)...)
	}
	return append(b, w.end...)
}

// rar4Block is a block of RAR 4, with its checksum.
func rar4Block(kind byte, flags uint16, rest string) []byte {
	h := binary.LittleEndian.AppendUint16([]byte{0, 0, kind}, flags)
	h = binary.LittleEndian.AppendUint16(h, uint16(7+len(rest)))
	h = append(h, rest...)
	binary.LittleEndian.PutUint16(h, uint16(crc32.ChecksumIEEE(h[2:])))
	return h
}

func rar4File(e rarEntry) []byte {
	data, method := []byte(e.text), byte(0x30)
	if e.packed {
		data, method = rarPack(rar4Tables, e.text), 0x33
	}
	flags := uint16(rar4Long | e.dict<<5)
	set := func(on bool, flag uint16) {
		if on {
			flags |= flag
		}
	}
	set(e.before, rar4SplitBefore)
	set(e.after, rar4SplitAfter)
	set(e.solid, rar4SolidFile)
	set(e.unicode, rar4Unicode)
	set(e.password != "", rar4Password|rar4Salt)
	salt := ""
	if e.password != "" {
		salt = (e.password + "saltsalt")[:8]
		data = encryptRAR4(data, e.password, salt)
	}
	le := binary.LittleEndian
	h := le.AppendUint32(nil, uint32(len(data)))
	h = le.AppendUint32(h, uint32(cmp.Or(e.size, uint64(len(e.text)))))
	h = le.AppendUint32(append(h, 3), crc32.ChecksumIEEE([]byte(e.text))+e.crc)
	h = append(le.AppendUint32(h, 0), 29, method)
	h = le.AppendUint16(h, uint16(len(e.name)))
	h = append(le.AppendUint32(h, 0o100644), e.name+salt...)
	kind := byte(0x74)
	if e.service {
		kind = 0x7a
	}
	b := rar4Block(kind, flags, string(h))
	b[0] += byte(e.headerCRC)
	return append(b, data...)
}

// rar5Block is a block of RAR 5: its checksum, its size, and what follows.
func rar5Block(rest string) []byte {
	h := binary.AppendUvarint(make([]byte, 4), uint64(len(rest)))
	h = append(h, rest...)
	binary.LittleEndian.PutUint32(h, crc32.ChecksumIEEE(h[4:]))
	return h
}

func rar5File(e rarEntry) []byte {
	data, method := []byte(e.text), uint64(0)
	if e.packed {
		data, method = rarPack(rar5Tables, e.text), 3
	}
	number := binary.AppendUvarint
	var extra []byte
	record := func(kind byte, body string) {
		extra = append(number(extra, uint64(1+len(body))), kind)
		extra = append(extra, body...)
	}
	if e.password != "" {
		const iv, power = "fedcba9876543210", 4
		salt := (e.password + "0123456789abcdef")[:16]
		key, err := pbkdf2.Key(sha256.New, e.password, []byte(salt), 1<<power, 32)
		if err != nil {
			panic(err)
		}
		data = encryptCBC(data, key, []byte(iv))
		record(rar5CryptRec, "\x00\x00"+string(rune(power))+salt+iv)
	}
	if e.stream != "" {
		record(rar5Stream, e.stream)
	}
	kind, flags := byte(2), uint64(rar5Data)
	set := func(on bool, flag uint64) {
		if on {
			flags |= flag
		}
	}
	set(len(extra) > 0, rar5Extra)
	set(e.before, rar5SplitBefore)
	set(e.after, rar5SplitAfter)
	if e.service {
		kind = 3
	}
	h := number([]byte{kind}, flags)
	if len(extra) > 0 {
		h = number(h, uint64(len(extra)))
	}
	h = number(append(number(h, uint64(len(data))), rar5Sum), cmp.Or(e.size, uint64(len(e.text))))
	h = binary.LittleEndian.AppendUint32(number(h, 0), crc32.ChecksumIEEE([]byte(e.text))+e.crc)
	compression := method<<7 | uint64(e.dict)<<10
	if e.solid {
		compression |= 1 << 6
	}
	h = number(append(number(h, compression), 1), uint64(len(e.name)))
	h = append(append(h, e.name...), extra...)
	b := rar5Block(string(h))
	b[0] += byte(e.headerCRC)
	return append(b, data...)
}

func encryptCBC(data, key, iv []byte) []byte {
	data = append(slices.Clone(data), make([]byte, -len(data)&15)...)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)
	return data
}

// encryptRAR4 encrypts with AES-128. The key is derived with 2^18 rounds of SHA-1.
func encryptRAR4(data []byte, password, salt string) []byte {
	var seed []byte
	for _, u := range utf16.Encode([]rune(password)) {
		seed = binary.LittleEndian.AppendUint16(seed, u)
	}
	seed = append(seed, salt...)
	h, iv := sha1.New(), make([]byte, 0, 16)
	for i := range 1 << 18 {
		h.Write(seed)
		h.Write([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		if i%(1<<14) == 0 {
			iv = append(iv, h.Sum(nil)[19])
		}
	}
	sum := h.Sum(nil)
	var key []byte
	for i := 0; i < 16; i += 4 {
		key = binary.LittleEndian.AppendUint32(key, binary.BigEndian.Uint32(sum[i:]))
	}
	return encryptCBC(data, key, iv)
}

// rarBits writes bits, the highest first.
type rarBits struct {
	b    []byte
	bits int // of the last byte that are used; 0: all
}

func (w *rarBits) write(v uint32, n int) {
	for i := n - 1; i >= 0; i-- {
		if w.bits == 0 {
			w.b = append(w.b, 0)
		}
		w.b[len(w.b)-1] |= byte(v>>i&1) << (7 - w.bits)
		w.bits = (w.bits + 1) % 8
	}
}

// rarTable is a prefix code of n symbols whose first have a bit less than the others.
type rarTable struct{ n, short, bits int }

func (t rarTable) length(symbol int) int {
	if symbol < t.short {
		return t.bits
	}
	return t.bits + 1
}

func (t rarTable) write(w *rarBits, symbol int) {
	code := uint32(symbol)
	if symbol >= t.short {
		code = uint32(2*t.short + symbol - t.short)
	}
	w.write(code, t.length(symbol))
}

// rarCode is how a format writes a block of LZ.
type rarCode struct {
	main, distances, low, lengths rarTable
	match                         int // the symbol of the shortest match
	shortest                      int
	rar5                          bool
}

// All of these codes are complete.
var (
	rar4Tables = rarCode{main: rarTable{299, 213, 8}, distances: rarTable{60, 4, 5}, low: rarTable{17, 15, 4}, lengths: rarTable{28, 4, 4}, match: 271, shortest: 3}
	rar5Tables = rarCode{main: rarTable{306, 206, 8}, distances: rarTable{64, 64, 6}, low: rarTable{16, 16, 4}, lengths: rarTable{44, 20, 5}, match: 262, shortest: 2, rar5: true}
)

// rarPack packs a text as one block: literals, and matches of 3 to 9 bytes at distances
// of no more than 256.
func rarPack(c rarCode, text string) []byte {
	w := &rarBits{}
	if !c.rar5 {
		w.write(0, 2) // LZ, and no lengths of codes are kept
	}
	// The lengths are themselves written in a code: eight of 3 bits.
	written := []int{3, 4, 5, 6, 8, 9, 16, 17}
	for i := range 20 {
		if slices.Contains(written, i) {
			w.write(3, 4)
		} else {
			w.write(0, 4)
		}
	}
	for _, t := range []rarTable{c.main, c.distances, c.low, c.lengths} {
		for i := range t.n {
			w.write(uint32(slices.Index(written, t.length(i))), 3)
		}
	}
	for i := 0; i < len(text); {
		n, dist := rarMatchIn(text, i)
		if n == 0 {
			c.main.write(w, int(text[i]))
			i++
			continue
		}
		c.main.write(w, c.match+n-c.shortest)
		c.distance(w, dist-1)
		i += n
	}
	if !c.rar5 {
		c.main.write(w, 256)
		w.write(1, 2) // the file ends, and so does the block
		return w.b
	}
	size := uint32(len(w.b))
	flags := byte(0xc0 | 2<<3 | (w.bits+7)%8) // codes, the last block, a size of three bytes
	head := []byte{flags, 0x5a ^ flags ^ byte(size) ^ byte(size>>8) ^ byte(size>>16), byte(size), byte(size >> 8), byte(size >> 16)}
	return append(head, w.b...)
}

// distance writes a distance less one, below 256.
func (c rarCode) distance(w *rarBits, dist int) {
	slot, bits := dist, 0
	if dist >= 4 {
		for slot = 4; ; slot++ {
			bits = slot/2 - 1
			if dist < (3+slot&1)<<bits {
				break
			}
		}
	}
	c.distances.write(w, slot)
	if bits == 0 {
		return
	}
	rest := uint32(dist - (2|slot&1)<<bits)
	if bits < 4 {
		w.write(rest, bits)
		return
	}
	w.write(rest>>4, bits-4)
	c.low.write(w, int(rest&15))
}

// rarMatchIn finds the longest match of 3 to 9 bytes for what stands at i.
func rarMatchIn(text string, i int) (n, dist int) {
	for k := 9; k >= 3; k-- {
		if i+k > len(text) {
			continue
		}
		start := max(0, i-256)
		if at := bytes.LastIndex([]byte(text[start:i+k-1]), []byte(text[i:i+k])); at >= 0 {
			return k, i - start - at
		}
	}
	return 0, 0
}
