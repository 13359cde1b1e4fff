package unpack

import (
	"bytes"
	"crypto/aes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand"
	"slices"
	"strings"
	"testing"
)

// opened walks one file with passwords.
func opened(t testing.TB, passwords []string, data []byte) *notes {
	t.Helper()
	n := &notes{passwords: passwords}
	n.walk(t, NewArena(nil, 0), Limits{}, "x.zip", data)
	for _, told := range n.unchecked {
		for _, p := range passwords {
			if len(p) > 1 && strings.Contains(told, p) {
				t.Errorf("%q tells the password %q", told, p)
			}
		}
	}
	return n
}

func TestEncryptedSamplesAreOpened(t *testing.T) {
	for _, tt := range []struct{ file, password, marked string }{
		{"zip-encrypted.zip", "kiyome", "note.txt"},
		{"zip-crypto-stored.zip", "kiyome", "note.txt"},
		{"zip-crypto-stream.zip", "kiyome", "-"},
		{"zip-crypto-7z.zip", "kiyome", "請求書.txt"},
		{"zip-crypto-7z-stored.zip", "kiyome", "請求書.txt"},
		{"zip-crypto-utf8.zip", "パスワード２６", "note.txt"},
		{"zip-crypto-cp932.zip", "合言葉", "note.txt"},
		{"zip-aes.zip", "kiyome", "note.txt"},
		{"zip-aes-stored.zip", "kiyome", "note.txt"},
		{"zip-aes128.zip", "kiyome", "請求書.txt"},
		{"zip-aes192.zip", "kiyome", "note.txt"},
		{"zip-crypto-ppmd.zip", "kiyome", "note.txt"},
		{"zip-crypto-lzma.zip", "kiyome", "note.txt"},
		{"zip-aes-bzip2.zip", "kiyome", "請求書.txt"},
		{"zip-aes-deflate64.zip", "kiyome", "note.txt"},
		{"zip-aes-xz.zip", "kiyome", "note.txt"},
	} {
		t.Run(tt.file, func(t *testing.T) {
			data := load(t, tt.file)
			n := opened(t, append(wrongPasswords(15), tt.password), data)
			if n.marked != tt.marked || len(n.unchecked) > 0 || len(n.objects) != 2 {
				t.Errorf("objects %q, marked %q, unchecked %q", n.objects, n.marked, n.unchecked)
			}
			for _, passwords := range [][]string{nil, wrongPasswords(15)} {
				n := opened(t, passwords, data)
				if len(n.objects) != 1 || len(n.errs) != 1 || !strings.Contains(n.unchecked[0], "encrypted") {
					t.Errorf("without the password: objects %q, unchecked %q", n.objects, n.unchecked)
				}
			}
		})
	}
}

// wrongPasswords gives n passwords that open nothing.
func wrongPasswords(n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("wrong%d", i))
	}
	return list
}

func TestSeveralPasswordsInOneArchive(t *testing.T) {
	data := load(t, "zip-crypto-two.zip")
	for _, tt := range []struct {
		passwords, objects, unchecked string
	}{
		{"x first y kiyome", "x.zip x.zip/other.txt x.zip/note.txt", ""},
		{"kiyome", "x.zip x.zip/note.txt", "x.zip/other.txt: zip: other.txt: encrypted"},
		{"first", "x.zip x.zip/other.txt", "x.zip/note.txt: zip: note.txt: encrypted"},
	} {
		n := opened(t, strings.Fields(tt.passwords), data)
		if got := strings.Join(n.objects, " "); got != tt.objects || strings.Join(n.unchecked, ";") != tt.unchecked {
			t.Errorf("with %s: objects %q, unchecked %q", tt.passwords, got, n.unchecked)
		}
	}
}

// zipCrypted encrypts as PKWARE's traditional encryption does.
func zipCrypted(password string, check byte, plain string) string {
	k := newZipCrypto([]byte(password))
	out := append([]byte("random bytes"[:zipCryptoHead-1]), check)
	out = append(out, plain...)
	for i, c := range out {
		t := uint16(k[2]) | 2
		k.update(c)
		out[i] = c ^ byte(t*(t^1)>>8)
	}
	return string(out)
}

// aesSealed encrypts as WinZip does, with the given number of bytes of salt.
func aesSealed(password string, salt int, plain string) string {
	out := []byte("the salt of WinZip"[:salt])
	keys, err := pbkdf2.Key(sha1.New, password, out, 1000, 4*salt+2)
	if err != nil {
		panic(err)
	}
	block, err := aes.NewCipher(keys[:2*salt])
	if err != nil {
		panic(err)
	}
	out = append(out, keys[4*salt:]...)
	sealed := make([]byte, len(plain))
	for i := range len(plain) {
		var pad [16]byte
		binary.LittleEndian.PutUint64(pad[:], uint64(i/16+1))
		block.Encrypt(pad[:], pad[:])
		sealed[i] = plain[i] ^ pad[i%16]
	}
	h := hmac.New(sha1.New, keys[2*salt:4*salt])
	h.Write(sealed)
	return string(append(append(out, sealed...), h.Sum(nil)[:10]...))
}

// cryptRecord describes an entry that is encrypted with a password.
func cryptRecord(password string, r record, packed string) (record, string) {
	data := zipCrypted(password, byte(r.crc>>24), packed)
	r.flags |= zipEncrypted
	r.packed = uint32(len(data))
	return r, data
}

// aesRecord is the same for AES: version 1 has a checksum, version 2 none.
func aesRecord(password string, version, strength byte, r record, packed string) (record, string) {
	data := aesSealed(password, 4+4*int(strength), packed)
	r.extra = string([]byte{0x01, 0x99, 7, 0, version, 0, 'A', 'E', strength, byte(r.method), byte(r.method >> 8)})
	r.flags |= zipEncrypted
	r.method, r.packed = zipAES, uint32(len(data))
	if version == 2 {
		r.crc = 0
	}
	return r, data
}

// zipNoise is bytes that do not compress.
func zipNoise(n int) string {
	b := make([]byte, n)
	rand.New(rand.NewSource(int64(n))).Read(b)
	return string(b)
}

func TestEncryptedZipIsReadInEveryWay(t *testing.T) {
	const password = "sesame"
	deflate, d := deflateRecord("a.txt", text)
	store, s := storedRecord("a.txt", text)
	large := zipNoise(200_000) + text
	largeRecord, l := deflateRecord("a.txt", large)
	c, cd := cryptRecord(password, deflate, d)
	cs, csd := cryptRecord(password, store, s)
	cl, cld := cryptRecord(password, largeRecord, l)
	a, ad := aesRecord(password, 2, 3, deflate, d)
	as, asd := aesRecord(password, 2, 1, store, s)
	a1, a1d := aesRecord(password, 1, 2, store, s)
	al, ald := aesRecord(password, 2, 2, largeRecord, l)
	later := func(r record) record {
		r.flags |= zipLater
		r.crc, r.packed, r.size = 0, 0, 0
		return r
	}
	timed := func(r record, packed string) (record, string) { // the check byte is the time's
		r.flags |= zipEncrypted
		data := zipCrypted(password, 'T', packed)
		r.packed = uint32(len(data))
		return r, data
	}
	ct, ctd := timed(deflate, d)
	st, std := timed(store, s)
	descriptor := func(r record) string { return zipDescriptorMagic + r.local()[14:26] }
	for _, tt := range []struct{ name, data, marked, unchecked string }{
		{"ZipCrypto", archive(c, c, cd), "a.txt", ""},
		{"ZipCrypto, stored", archive(cs, cs, csd), "a.txt", ""},
		{"ZipCrypto, sizes behind the bytes", archive(later(ct), ct, ctd+descriptor(ct)), "a.txt", ""},
		{"ZipCrypto, no directory", later(ct).local() + ctd + descriptor(ct), "a.txt", "zip: damaged: no central directory"},
		{"ZipCrypto, no magic number behind the bytes", later(ct).local() + ctd + descriptor(ct)[4:], "a.txt", "zip: damaged: no central directory"},
		{"ZipCrypto, stored, no directory", later(st).local() + std + descriptor(st), "a.txt", "zip: damaged: no central directory"},
		{"ZipCrypto, packed size lies", archive(cs, cs.with(func(r *record) { r.packed = 3 }), csd), "a.txt", ""},
		{"ZipCrypto, both packed sizes lie", archive(cs.with(func(r *record) { r.packed -= 9 }), cs.with(func(r *record) { r.packed -= 9 }), csd), "a.txt", ""},
		{"ZipCrypto, only one flag", archive(c, c.with(func(r *record) { r.flags = 0 }), cd), "a.txt", ""},
		{"ZipCrypto, checksum lies", archive(c.with(func(r *record) { r.crc ^= 1 }), c.with(func(r *record) { r.crc ^= 1 }), cd), "", "zip: a.txt: encrypted"},
		{"ZipCrypto, checksum of a large one lies", archive(cl.with(func(r *record) { r.crc ^= 1 }), cl.with(func(r *record) { r.crc ^= 1 }), cld), "a.txt", "zip: a.txt: damaged: wrong checksum"},
		{"ZipCrypto, cut short", cl.local() + cld[:len(cld)/2], "", "zip: a.txt: damaged: cut short;zip: damaged: no central directory"},
		{"flag lies", archive(deflate.with(func(r *record) { r.flags = zipEncrypted }), deflate.with(func(r *record) { r.flags = zipEncrypted }), d), "a.txt", ""},
		{"AES", archive(a, a, ad), "a.txt", ""},
		{"AES, stored", archive(as, as, asd), "a.txt", ""},
		{"AES, with a checksum", archive(a1, a1, a1d), "a.txt", ""},
		{"AES, without a flag", archive(a.with(func(r *record) { r.flags = 0 }), a.with(func(r *record) { r.flags = 0 }), ad), "a.txt", ""},
		{"AES, sizes behind the bytes", archive(later(a), a, ad+descriptor(a)), "a.txt", ""},
		{"AES, no directory", later(a).local() + ad + descriptor(a), "a.txt", "zip: damaged: no central directory"},
		{"AES, stored, no directory", later(as).local() + asd + descriptor(as), "a.txt", "zip: damaged: no central directory"},
		{"AES, packed size lies", archive(as, as.with(func(r *record) { r.packed = 30 }), asd), "a.txt", ""},
		{"AES, a large one", archive(al, al, ald), "a.txt", ""},
		{"AES, wrong tag", archive(a, a, ad[:len(ad)-1]+"?"), "a.txt", "zip: a.txt: damaged: wrong checksum"},
		{"AES, wrong tag, checksum fits", archive(a1, a1, a1d[:len(a1d)-1]+"?"), "a.txt", ""},
		{"AES, cut short", al.local() + ald[:len(ald)/2], "", "zip: a.txt: damaged: cut short;zip: damaged: no central directory"},
		{"AES, no bytes", archive(as.with(func(r *record) { r.packed, r.size = 0, 0 }), as.with(func(r *record) { r.packed, r.size = 0, 0 }), ""), "", "zip: a.txt: encrypted"},
		{"AES, strength unknown", archive(a.with(func(r *record) { r.extra = strings.Replace(r.extra, "AE\x03", "AE\x04", 1) }), a.with(func(r *record) { r.extra = "" }), ad), "", "zip: a.txt: encrypted"},
		{"AES, one field lies", archive(a, a.with(func(r *record) { r.extra = strings.Replace(r.extra, "AE\x03", "AE\x01", 1) }), ad), "a.txt", "zip: a.txt: encrypted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := opened(t, append(wrongPasswords(20), password), []byte(tt.data))
			var told []string
			for _, err := range n.errs {
				told = append(told, err.Error())
			}
			if n.marked != tt.marked || strings.Join(told, ";") != tt.unchecked {
				t.Errorf("objects %q, marked %q, unchecked %q", n.objects, n.marked, told)
			}
			for i, o := range n.objects[1:] {
				if !strings.Contains(n.data[i+1], "harmless") && !strings.Contains(tt.unchecked, "cut short") {
					t.Errorf("%s is zipNoise", o)
				}
			}
		})
	}
}

// A password of 256 passes the check of ZipCrypto's header: none of them may be
// taken for the one that fits, whatever the method.
func TestPasswordsThatPassTheCheckByteOnly(t *testing.T) {
	for _, content := range []string{text, strings.Repeat(text, 100), "x"} {
		for name, make := range map[string]func(string, string) (record, string){"deflate": deflateRecord, "stored": storedRecord} {
			r, packed := make("a.txt", content)
			r, data := cryptRecord("right", r, packed)
			whole := []byte(archive(r, r, data))
			n := opened(t, append(wrongPasswords(1900), "right"), whole)
			if len(n.objects) != 2 || n.data[1] != content || len(n.unchecked) > 0 {
				t.Errorf("%s of %d bytes: objects %q, unchecked %q", name, len(content), n.objects, n.unchecked)
			}
			n = opened(t, wrongPasswords(1900), whole)
			if len(n.objects) != 1 || len(n.unchecked) != 1 {
				t.Errorf("%s of %d bytes, wrong passwords: objects %q, unchecked %q", name, len(content), n.objects, n.unchecked)
			}
		}
	}
}

func TestEncryptedSamplesCutOffAnywhereAreNeverSilent(t *testing.T) {
	for _, file := range []string{"zip-crypto-7z.zip", "zip-crypto-stored.zip", "zip-aes128.zip", "zip-aes-stored.zip"} {
		whole := load(t, file)
		for n := range whole {
			cut := whole[:n:n]
			got := opened(t, []string{"another", "kiyome"}, cut)
			if len(Detect(File{Data: cut})) > 0 && got.marked == "" && len(got.unchecked) == 0 {
				t.Fatalf("%s cut to %d of %d bytes: objects %q and not a word", file, n, len(whole), got.objects)
			}
		}
	}
}

func TestEveryByteOfAnEncryptedSampleChanged(t *testing.T) {
	for _, file := range []string{"zip-crypto-7z.zip", "zip-aes128.zip"} {
		whole := load(t, file)
		for i := range whole {
			for _, flip := range []byte{0x01, 0x80, 0xff} {
				data := slices.Clone(whole)
				data[i] ^= flip
				got := opened(t, []string{"kiyome"}, data)
				if len(Detect(File{Data: data})) > 0 && got.marked == "" && len(got.unchecked) == 0 {
					t.Errorf("%s, byte %d changed by %x: objects %q and not a word", file, i, flip, got.objects)
				}
			}
		}
	}
}

func TestArchivesInEncryptedArchivesHaveTheSamePasswords(t *testing.T) {
	inner := load(t, "zip-aes.zip")
	r := record{crc: crc32.ChecksumIEEE(inner), size: uint32(len(inner)), name: "in.zip"}
	r, data := cryptRecord("outer", r, string(inner))
	n := opened(t, []string{"outer", "kiyome"}, []byte(archive(r, r, data)))
	if n.marked != "in.zip/note.txt" || len(n.unchecked) > 0 {
		t.Errorf("objects %q, unchecked %q", n.objects, n.unchecked)
	}
}

func TestPasswordBytes(t *testing.T) {
	for _, tt := range []struct {
		password string
		want     []string
	}{
		{"abc", []string{"abc"}},
		{"合言葉", []string{"合言葉", "\x8d\x87\x8c\xbe\x97\x74"}},
		{"пароль😀", []string{"пароль😀"}},
	} {
		var got []string
		for _, b := range passwordBytes(tt.password) {
			got = append(got, string(bytes.Clone(b)))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q", tt.password, got)
		}
	}
}
