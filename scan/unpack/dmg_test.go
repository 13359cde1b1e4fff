package unpack

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// dmgTestMap is a block map as a test writes it.
type dmgTestMap struct {
	name    string
	sectors uint64
	chunks  []dmgChunk
	change  func(b []byte)
}

func (m dmgTestMap) bytes() []byte {
	be := binary.BigEndian
	b := make([]byte, dmgMapHeader)
	copy(b, dmgMapMagic)
	be.PutUint32(b[4:], 1)
	be.PutUint64(b[16:], m.sectors)
	be.PutUint32(b[200:], uint32(len(m.chunks)))
	for _, c := range m.chunks {
		b = be.AppendUint32(b, c.kind)
		b = be.AppendUint32(b, 0)
		for _, v := range []uint64{c.sector, c.count, uint64(c.at), uint64(c.size)} {
			b = be.AppendUint64(b, v)
		}
	}
	if m.change != nil {
		m.change(b)
	}
	return b
}

func dmgTestPlist(maps ...dmgTestMap) string {
	var b strings.Builder
	b.WriteString("<plist><dict><key>resource-fork</key><dict><key>blkx</key><array>")
	for _, m := range maps {
		fmt.Fprintf(&b, "<dict><key>Data</key><data>%s</data><key>Name</key><string>%s</string></dict>", base64.StdEncoding.EncodeToString(m.bytes()), m.name)
	}
	b.WriteString("</array></dict></dict></plist>")
	return b.String()
}

// makeDMG writes an image.
func makeDMG(data, list string, change func(trailer []byte)) []byte {
	be := binary.BigEndian
	t := make([]byte, dmgTrailerSize)
	copy(t, dmgMagic)
	be.PutUint32(t[4:], 4)
	be.PutUint32(t[8:], dmgTrailerSize)
	be.PutUint64(t[32:], uint64(len(data)))
	be.PutUint32(t[60:], 1)
	be.PutUint64(t[216:], uint64(len(data)))
	be.PutUint64(t[224:], uint64(len(list)))
	if change != nil {
		change(t)
	}
	return join([]byte(data), []byte(list), t)
}

// dmgSectors fills a text up with zeros.
func dmgSectors(text string, n int) string {
	return text + strings.Repeat("\x00", n*dmgSector-len(text))
}

func TestDMGIsReadTolerantly(t *testing.T) {
	raw := dmgSectors(marker, 2)
	packed := zlibbed(raw)
	chunk := func(kind uint32, sector, count uint64, at, size int) dmgChunk {
		return dmgChunk{kind, sector, count, int64(at), int64(size)}
	}
	one := func(c ...dmgChunk) dmgTestMap { return dmgTestMap{name: "p", sectors: 4, chunks: c} }
	whole := chunk(dmgRaw, 0, 2, 0, 1024)
	end := chunk(dmgEnd, 4, 0, 0, 0)
	huge := func(at int) func([]byte) {
		return func(b []byte) { copy(b[at:], "\xff\xff\xff\xff\xff\xff\xff\xff") }
	}
	two := dmgTestPlist(one(whole), dmgTestMap{name: "q", sectors: 1, chunks: []dmgChunk{chunk(dmgZero, 0, 1, 0, 0)}})
	for _, tt := range []struct {
		name, objects, unchecked string
		data                     []byte
	}{
		{"plain", "p*", "", makeDMG(raw, dmgTestPlist(one(whole, end)), nil)},
		{"two partitions", "p* q", "", makeDMG(raw, two, nil)},
		{"trailer in front", "p*", "", func() []byte {
			b := makeDMG(raw, dmgTestPlist(one(whole)), func(t []byte) { t[31], t[30], t[222] = 0, 2, 6 })
			return join(b[len(b)-dmgTrailerSize:], b[:len(b)-dmgTrailerSize])
		}()},
		{"chunks out of order", "p*", "", makeDMG(raw, dmgTestPlist(one(chunk(dmgRaw, 2, 2, 0, 1024), chunk(dmgIgnore, 0, 2, 0, 0))), nil)},
		{"zlib", "p*", "", makeDMG(packed, dmgTestPlist(one(chunk(dmgZlib, 0, 2, 0, len(packed)))), nil)},
		{"zlib with something behind", "p*", "", makeDMG(packed+"more", dmgTestPlist(one(chunk(dmgZlib, 0, 2, 0, len(packed)+4))), nil)},
		{"zlib, a wrong checksum", "p*", "f/p: dmg: p: damaged: zlib: invalid checksum", makeDMG(packed[:len(packed)-1]+"\x55", dmgTestPlist(one(chunk(dmgZlib, 0, 2, 0, len(packed)))), nil)},
		{"zlib, cut short", "p", "f/p: dmg: p: damaged: cut short", makeDMG(packed, dmgTestPlist(one(chunk(dmgZlib, 0, 2, 0, 10))), nil)},
		{"zlib, more sectors than bytes", "p*", "f/p: dmg: p: damaged: cut short", makeDMG(packed, dmgTestPlist(one(chunk(dmgZlib, 0, 3, 0, len(packed)))), nil)},
		{"damage, then more", "p*", "f/p: dmg: p: damaged: zlib: invalid header", makeDMG(raw, dmgTestPlist(one(chunk(dmgZlib, 0, 2, 900, 50), chunk(dmgRaw, 2, 2, 0, 1024))), nil)},
		{"chunk beyond the end", "p*", "f/p: dmg: p: damaged: cut short", makeDMG(raw, dmgTestPlist(one(whole, chunk(dmgRaw, 2, 2, 1<<20, 1024))), nil)},
		{"chunk at a negative offset", "p*", "f/p: dmg: p: damaged: cut short", makeDMG(raw, dmgTestPlist(one(whole, chunk(dmgRaw, 2, 2, -600, 1024))), nil)},
		{"size of a chunk", "p*", "f/p: dmg: p: damaged: size of a chunk", makeDMG(raw, dmgTestPlist(one(chunk(dmgRaw, 0, 3, 0, 1024))), nil)},
		{"sectors beyond everything", "p*", "f/p: dmg: p: damaged: cut short", makeDMG(packed, dmgTestPlist(dmgTestMap{"p", 1 << 62, []dmgChunk{chunk(dmgZlib, 0, 1<<63, 0, len(packed))}, nil}), nil)},
		{"far away", "p*", "f/p: dmg: p: limit: zeros", makeDMG(raw, dmgTestPlist(one(chunk(dmgRaw, 1<<40, 2, 0, 1024))), nil)},
		{"chunks over one another", "p*", "f/p: dmg: p: damaged: blocks that lie over one another", makeDMG(raw, dmgTestPlist(one(whole, chunk(dmgRaw, 1, 2, 0, 1024))), nil)},
		{"an unknown type", "p*", "f/p: dmg: p: unsupported method: chunk of type 0x80000009", makeDMG(raw, dmgTestPlist(one(chunk(0x80000009, 0, 1, 0, 9), chunk(dmgRaw, 2, 2, 0, 1024))), nil)},
		{"fewer chunks than stated", "p*", "f/p: dmg: p: damaged: cut short", makeDMG(raw, dmgTestPlist(dmgTestMap{"p", 4, []dmgChunk{whole}, huge(196)}), nil)},
		{"offset of a map", "p", "f/p: dmg: p: damaged: cut short", makeDMG(raw, dmgTestPlist(dmgTestMap{"p", 4, []dmgChunk{whole}, huge(24)}), nil)},
		{"no map", "", "f/p: dmg: p: damaged: block map", makeDMG(raw, dmgTestPlist(dmgTestMap{"p", 4, nil, func(b []byte) { b[0] = 0 }}), nil)},
		{"no maps", "", "f: dmg: damaged: no block maps", makeDMG(raw, dmgTestPlist(), nil)},
		{"no list", "", "f: dmg: damaged: no block maps", makeDMG(raw, "", nil)},
		{"list beyond the end", "", "f: dmg: damaged: no block maps", makeDMG(raw, two, huge(216))},
		{"length of the list", "p* q", "", makeDMG(raw, two+"\n", huge(224))},
		{"list that is cut off, in a name", "p* f", "f: dmg: damaged: property list: XML syntax error on line 1: unexpected EOF", makeDMG(raw, two[:len(two)-20-len("</array></dict></dict></plist>")], nil)},
		{"list in Latin-1", "p* q", "", makeDMG(raw, `<?xml version="1.0" encoding="ISO-8859-1"?>`+two, nil)},
		{"deep list", "", "f: dmg: damaged: property list: more than 64 elements within one another", makeDMG(raw, strings.Repeat("<a>", 1e6), nil)},
		{"other segments", "p*", "f: dmg: unsupported method: the rest of the image is in other segments", makeDMG(raw, dmgTestPlist(one(whole)), func(t []byte) { t[63] = 2 })},
		{"garbage for a fork", "p*", "f: dmg: damaged: resource fork", makeDMG(raw, dmgTestPlist(one(whole)), func(t []byte) { t[55] = 200 })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			objects, unchecked := dmgToldOf(walked(t, Limits{}, "f", tt.data))
			if objects != tt.objects || unchecked != tt.unchecked {
				t.Errorf("objects %q, unchecked %q, want %q, %q", objects, unchecked, tt.objects, tt.unchecked)
			}
		})
	}
}

// dmgToldOf is toldOf without what other openers find in property lists.
func dmgToldOf(n *notes) (objects, unchecked string) {
	list := &notes{objects: n.objects[:1], data: n.data[:1], unchecked: n.unchecked}
	for i, formats := range n.formats {
		if formats == "dmg" {
			list.objects, list.data = append(list.objects, n.objects[i]), append(list.data, n.data[i])
		}
	}
	return toldOf(list)
}

func TestDMGIsNoBomb(t *testing.T) {
	raw := dmgSectors(marker, 2048)
	var chunks []dmgChunk
	for i := range uint64(10_000) {
		chunks = append(chunks, dmgChunk{dmgRaw, 2048 * i, 2048, 0, 1 << 20})
	}
	n := walked(t, Limits{}, "f", makeDMG(raw, dmgTestPlist(dmgTestMap{"p", 4, chunks, nil}), nil))
	if _, unchecked := toldOf(n); unchecked != "f: dmg: p: limit: overlap" || n.bytes > 16<<20 {
		t.Errorf("%d bytes, unchecked %q", n.bytes, unchecked)
	}
}

// dmgEncrypted encrypts an image as macOS does. No free program does.
func dmgEncrypted(image []byte, password string, keySize int, pointer bool) []byte {
	be := binary.BigEndian
	const at, block = 4096, 512
	header := make([]byte, at)
	copy(header, dmgCrypt)
	be.PutUint32(header[8:], 2)
	be.PutUint32(header[52:], block)
	be.PutUint64(header[56:], uint64(len(image)))
	be.PutUint64(header[64:], at)
	where := dmgKeyHeader
	if pointer {
		where = 1000
		be.PutUint32(header[72:], 1)
		be.PutUint32(header[76:], 1)
		be.PutUint64(header[80:], uint64(where))
		be.PutUint64(header[88:], 616)
	}
	key, mac := bytes.Repeat([]byte{7}, keySize), bytes.Repeat([]byte{9}, sha1.Size)
	blob := join(key, mac, []byte(dmgKeyMark))
	fill := des.BlockSize - len(blob)%des.BlockSize
	blob = append(blob, bytes.Repeat([]byte{byte(fill)}, fill)...)
	k := header[where:]
	be.PutUint32(k[8:], 100)
	be.PutUint32(k[12:], 20)
	copy(k[16:], "salt salt salt salt!")
	copy(k[52:], "iviviviv")
	be.PutUint32(k[100:], uint32(len(blob)))
	locking, err := pbkdf2.Key(sha1.New, password, k[16:36], 100, 24)
	if err != nil {
		panic(err)
	}
	triple, _ := des.NewTripleDESCipher(locking)
	cipher.NewCBCEncrypter(triple, k[52:60]).CryptBlocks(k[dmgKeySize:dmgKeySize+len(blob)], blob)
	image = append(slices.Clone(image), make([]byte, (block-len(image)%block)%block)...)
	c, _ := aes.NewCipher(key)
	for i := 0; i < len(image); i += block {
		h := hmac.New(sha1.New, mac)
		h.Write(be.AppendUint32(nil, uint32(i/block)))
		cipher.NewCBCEncrypter(c, h.Sum(nil)[:16]).CryptBlocks(image[i:i+block], image[i:i+block])
	}
	return join(header, image)
}

func TestEncryptedDMG(t *testing.T) {
	image := load(t, "dmg-zlib.dmg")
	const within = "f f/Driver Descriptor Map (DDM : 0) f/Apple_HFS : 4* f/（空き） (Apple_Free : 5)"
	const closed = "f: dmg: encrypted: image"
	sound := dmgEncrypted(image, "kiyome", 16, false)
	field := func(at int, text string) []byte { return put(sound, at, text) }
	for _, tt := range []struct {
		name, objects, unchecked string
		data                     []byte
		passwords                []string
	}{
		{"AES-128", within, "", sound, []string{"wrong", "kiyome"}},
		{"AES-256", within, "", dmgEncrypted(image, "kiyome", 32, false), []string{"wrong", "kiyome"}},
		{"the key elsewhere", within, "", dmgEncrypted(image, "kiyome", 32, true), []string{"kiyome"}},
		{"another password", "", closed, sound, []string{"wrong"}},
		{"no passwords", "", closed, sound, nil},
		{"cut short", "f f/f", "f/f: zlib: damaged: bytes behind its end;f/f: dmg: f: damaged: cut short", sound[:len(sound)-1000], []string{"kiyome"}},
		{"too many rounds", "", closed, field(dmgKeyHeader+8, "\xff\xff\xff\xff"), []string{"kiyome"}},
		{"no rounds", "", closed, field(dmgKeyHeader+8, "\x00\x00\x00\x00"), []string{"kiyome"}},
		{"length of the salt", "", closed, field(dmgKeyHeader+12, "\xff\xff\xff\xff"), []string{"kiyome"}},
		{"length of the key", within, "", field(dmgKeyHeader+100, "\x00\x00\x01\x00"), []string{"kiyome"}},
		{"length of the key beyond everything", within, "", field(dmgKeyHeader+100, "\xff\xff\xff\xff"), []string{"kiyome"}},
		{"size of a block", "", closed, field(52, "\xff\xff\xff\xf0"), []string{"kiyome"}},
		{"offset", "", "f/f: dmg: f: damaged: cut short", field(64, "\xff\xff\xff\xff"), []string{"kiyome"}},
		{"version 1", "", closed, join(make([]byte, 2000), []byte(dmgCrypt1)), []string{"kiyome"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := &notes{passwords: tt.passwords}
			n.walk(t, NewArena(nil, 0), Limits{}, "f", tt.data)
			objects, unchecked := toldOf(n)
			if objects != tt.objects || unchecked != tt.unchecked {
				t.Errorf("objects %q, unchecked %q, want %q, %q", objects, unchecked, tt.objects, tt.unchecked)
			}
		})
	}
}

// An image may be told to be encrypted, and be one that is not as well.
func TestDMGWithAFlagThatLies(t *testing.T) {
	data := string(dmgEncrypted(nil, "kiyome", 16, false)) + dmgSectors(marker, 1)
	image := makeDMG(data, dmgTestPlist(dmgTestMap{"p", 1, []dmgChunk{{dmgRaw, 0, 1, 4096, 512}}, nil}), nil)
	if objects, unchecked := toldOf(walked(t, Limits{}, "f", image)); objects != "p*" || unchecked != "f: dmg: encrypted: image" {
		t.Errorf("objects %q, unchecked %q", objects, unchecked)
	}
}

// What Apple's lzfse 1.0 made of the same few words.
const (
	lzfseTestStored = "bvx-\r\x00\x00\x00short KIYOME\nbvx$"
	lzfseTestLZVN   = "bvxnu\x00\x00\x00N\x00\x00\x00\xeeKIYOME-MARKER 8\x0e\xf0\x01\xe0\t. Some text with repeated\x10\x13h\x0f,\xf2\x10\x1dh,s\xe5, and8J\xf3\xe3R.\n\x06\x00\x00\x00\x00\x00\x00\x00bvx$"
)

func TestLZFSE(t *testing.T) {
	const text = "KIYOME-MARKER KIYOME-MARKER KIYOME-MARKER. Some text with repeated text, repeated with some text, and KIYOME-MARKER.\n"
	change := func(packed string, at int, with string) string { return string(put([]byte(packed), at, with)) }
	lzvn := func(codes string, n byte) string {
		return "bvxn" + string([]byte{n, 0, 0, 0, byte(len(codes)), 0, 0, 0}) + codes + "bvx$"
	}
	const stop = "\x06\x00\x00\x00\x00\x00\x00\x00"
	whole := load(t, "dmg-lzfse.dmg")
	packed := string(whole[bytes.Index(whole, []byte(lzfseBlock)):])
	clear := walked(t, Limits{}, "f", whole).data[2][:32<<10]
	for _, tt := range []struct{ name, packed, want, err string }{
		{"stored", lzfseTestStored, "short KIYOME\n", "<nil>"},
		{"LZVN", lzfseTestLZVN, text, "<nil>"},
		{"two blocks", lzfseTestStored[:len(lzfseTestStored)-4] + lzfseTestLZVN, "short KIYOME\n" + text, "<nil>"},
		{"compressed", packed, clear, "<nil>"},
		{"no end", lzfseTestStored[:len(lzfseTestStored)-4], "short KIYOME\n", "damaged: cut short"},
		{"nothing", "", "", "damaged: cut short"},
		{"stored, cut short", lzfseTestStored[:12], "shor", "damaged: cut short"},
		{"LZVN, cut short", lzfseTestLZVN[:60], text[:len("KIYOME-MARKER KIYOME-MARKER KIYOME-MARKER. Some text with repeated text")], "damaged: cut short"},
		{"LZVN, more than stated", change(lzfseTestLZVN, 4, "\x01"), "", "damaged: lzfse"},
		{"LZVN, less than stated", change(lzfseTestLZVN, 4, "\x76"), text, "damaged: lzfse"},
		{"LZVN, no distance", lzvn("\xf3"+stop, 3), "", "damaged: lzfse"},
		{"LZVN, distance too large", lzvn("\xc8\x04abc"+stop, 7), "abc", "damaged: lzfse"},
		{"LZVN, all codes", lzvn("\xe3abc\x48\x03d\x16\x0e\xa9\x08\x00e\x0f\x02\x00\x46g\xf2"+stop, 26), "abcdbcdbebebebebebebgbgbgb", "<nil>"},
		{"LZVN, an undefined code", lzvn("\x70", 3), "", "damaged: lzfse"},
		{"an unknown block", "bvx1aaaaaaaaaaaa", "", `unsupported method: block "bvx1" of LZFSE`},
		{"a compressed block, cut short", packed[:500], "", "damaged: cut short"},
		{"too many literals", change(packed, 8, "\xff\xff\xff"), "", "damaged: lzfse"},
		{"size of the header", change(packed, 24, "\x00\x00\x00\x00"), "", "damaged: lzfse"},
		{"frequencies", change(packed, 32, "\xff\xff\xff\xff\xff\xff"), "", "damaged: lzfse"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := io.ReadAll(newLZFSE([]byte(tt.packed)))
			if string(got) != tt.want || fmt.Sprint(err) != tt.err {
				t.Errorf("%q, %v, want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func FuzzDMG(f *testing.F) {
	f.Add(dmgEncrypted(load(f, "dmg-zlib.dmg"), "kiyome", 16, true))
	fuzz(f, "dmg")
}

func FuzzLZFSE(f *testing.F) {
	long := load(f, "dmg-lzfse.dmg")
	for _, s := range []string{lzfseTestStored, lzfseTestLZVN, string(long[bytes.Index(long, []byte(lzfseBlock)):])} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var out bytes.Buffer
		_, _ = out.ReadFrom(limited(newLZFSE(data), 16<<20))
	})
}
