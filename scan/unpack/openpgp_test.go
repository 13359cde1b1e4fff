package unpack

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// packet writes a packet with a length in the present format.
func packet(tag pgpTag, body string) string {
	head := []byte{0xc0 | byte(tag)}
	switch n := len(body); {
	case n < 192:
		head = append(head, byte(n))
	case n < 8384:
		head = append(head, byte((n-192)>>8)+192, byte(n-192))
	default:
		head = binary.BigEndian.AppendUint32(append(head, 255), uint32(n))
	}
	return string(head) + body
}

// oldPacket writes one in the legacy format; kind is how its length is told.
func oldPacket(tag pgpTag, kind byte, body string) string {
	head := []byte{0x80 | byte(tag)<<2 | kind}
	var size [4]byte
	binary.BigEndian.PutUint32(size[:], uint32(len(body)))
	if kind < 3 {
		head = append(head, size[4-1<<kind:]...)
	}
	return string(head) + body
}

// partial writes one in pieces of 1<<power bytes.
func partial(tag pgpTag, power int, body string) string {
	b := []byte{0xc0 | byte(tag)}
	for ; len(body) >= 1<<power; body = body[1<<power:] {
		b = append(append(b, 0xe0|byte(power)), body[:1<<power]...)
	}
	return string(b) + packet(tag, body)[1:]
}

// literal is the body of literal data.
func literal(format byte, name, content string) string {
	return string([]byte{format, byte(len(name))}) + name + "\x00\x00\x00\x00" + content
}

// armoured writes armour as programs do.
func armoured(data string) string {
	text := base64.StdEncoding.EncodeToString([]byte(data))
	var b strings.Builder
	b.WriteString("-----BEGIN PGP MESSAGE-----\n\n")
	for line := range slices.Chunk([]byte(text), 64) {
		b.WriteString(string(line) + "\n")
	}
	return b.String() + "=aaaa\n-----END PGP MESSAGE-----\n"
}

// What gpg makes and is no message: a detached signature, a key, a text signed in the clear.
const (
	detachedPGP = "iHUEABYIAB0WIQThViF4PJrHcappdbOZIHrJfnKSAwUCawdezgAKCRCZIHrJfnKSAxebAQDfZZpVmPjNHYuW4slOFGaYvzo41iylB0dKVzYh5EULnQD+J77vHtstMD4X4rvESpe4lD8bUWEM2XtB3N27LjSrJws="
	keyPGP      = "mDMEawdexhYJKwYBBAHaRw8BAQdAsYpywgzu/+R6N1EthA0ReCM8V3ntyUXAfJLz4m0YdVe0FWtpeW9tZSA8a0BleGFtcGxlLmpwPoiQBBMWCAA4FiEE4VYheDyax3GqaXWzmSB6yX5ykgMFAmsHXsYCGwMFCwkIBwIGFQoJCAsCBBYCAwECHgECF4AACgkQmSB6yX5ykgPlMQEAiOKwyrNHKV7vl+ZtTD+1lwpCyt6SagiyQNHTk7IlZCgBAJd2HRzNNXo791TE7d/M/283b0FVrD9NDPu6Bcf1jlkA"
	clearPGP    = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nKIYOME-MARKER\n-----BEGIN PGP SIGNATURE-----\n\niHUEARYIAB0WIQThViF4PJrHcappdbOZIHrJfnKSAwUCawdezgAKCRCZIHrJfnKS\nA8DyAQCzQ0InSK8IkDgGPSaw+wDy6C3G4nU/A3jt855jJt88gQEA3oclbBsUnXru\n1BJBaI1G7PaK2+ncPo7JdvuHw8FEYQ0=\n=4WIz\n-----END PGP SIGNATURE-----\n"
	publicPGP   = "-----BEGIN PGP MESSAGE-----\n\nhF4DV+vaoa6CsUQSAQdAdVhmJRYkX0ujJAKI5JZ4U5lor1+LNGAwxykpS8IQFE0w\nYgz8xtl0iU5jbSOvkHmA7GwVlcgKtsXMpZbbmCu3/nzqOHUohOWkeWWDYOnRnkKS\n0lEBMhNlsRw5ZPwKlvt2yhpGRcQKlNR1OunER/65nwcaGK5/d2Akvaez3Qh2HZTM\n7QD156BrZ8SMtHcOEn6KxJrsNmGiySpMAc65XjnGs9hskf0=\n=Bnyb\n-----END PGP MESSAGE-----\n"
)

func pgpLies() told {
	content := literal('b', "a.txt", marker)
	plain := packet(pgpLiteral, content)
	onePass := packet(pgpOnePass, "\x03\x00\x08\x16\x99\x20\x7a\xc9\x7e\x72\x92\x03\x01")
	signature := unbase64(detachedPGP)
	zip := "\x01" + deflated(plain)
	long := literal('b', "a.txt", strings.Repeat("x", 1000)+marker)
	armour := armoured(packet(pgpLiteral, literal('b', "a.txt", strings.Repeat("line ", 30)+marker))) // in several lines
	encrypted := packet(pgpSEIPD, "\x01"+strings.Repeat("\x9a", 60))
	password := packet(pgpPasswordKey, "\x04\x07\x03\x08saltsalt\x60")
	return told{
		{"the truth", plain, "a.txt*", ""},
		{"a length of two octets", packet(pgpLiteral, long), "a.txt*", ""},
		{"a length of five octets", "\xcb\xff\x00\x00\x00\x18" + content, "a.txt*", ""},
		{"pieces", partial(pgpLiteral, 9, long), "a.txt*", ""},
		{"pieces of one octet", partial(pgpLiteral, 0, content), "a.txt*", ""},
		{"the legacy format", oldPacket(pgpLiteral, 0, content), "a.txt*", ""},
		{"the same, two octets", oldPacket(pgpLiteral, 1, content), "a.txt*", ""},
		{"the same, four octets", oldPacket(pgpLiteral, 2, content), "a.txt*", ""},
		{"the same, to the end", oldPacket(pgpLiteral, 3, content), "a.txt*", ""},
		{"text", packet(pgpLiteral, literal('t', "", marker)), "f*", ""},
		{"for your eyes only", packet(pgpLiteral, literal('u', "_CONSOLE", marker)), "f*", ""},
		{"an unknown format", packet(pgpLiteral, literal('x', "", marker)), "f*", ""},
		{"an unknown format, and more behind", packet(pgpLiteral, literal('x', "", marker)) + "..", "", ""},
		{"a MIME entity", packet(pgpLiteral, literal('b', "", "Content-Type: text/plain\n\n"+marker)), "f.eml*", ""},
		{"signed", onePass + plain + signature, "a.txt*", ""},
		{"the signature first", signature + plain, "a.txt*", ""},
		{"a marker first", pgpDeclared + plain, "a.txt*", ""},
		{"padding and what nobody knows between", onePass + packet(pgpPadding, "zzzz") + packet(60, "zzzz") + plain, "a.txt*", ""},
		{"joined", plain + signature + plain + packet(pgpCompressed, "\x00"+plain), "a.txt* a.txt* f* f/a.txt*", ""},
		{"something behind", plain + "\r\nsomething", "a.txt*", ""},
		{"compressed", packet(pgpCompressed, zip), "f* f/a.txt*", ""},
		{"compressed, to the end", oldPacket(pgpCompressed, 3, zip), "f* f/a.txt*", ""},
		{"compressed, the file in an unknown format", packet(pgpCompressed, "\x02"+zlibbed(packet(pgpLiteral, literal('x', "\x01", marker)))), "f* f/\x01*", ""},
		{"compressed twice", packet(pgpCompressed, "\x02"+zlibbed(packet(pgpCompressed, zip))), "f f/f* f/f/a.txt*", ""},
		{"compressed, and not at all", packet(pgpCompressed, "\x00"+onePass+plain), "f* f/a.txt*", ""},
		{"compressed, cut short", packet(pgpCompressed, "\x02"+zlibbed(packet(pgpLiteral, long))[:30]), "f f/a.txt", "f/f/a.txt: openpgp: a.txt: damaged: cut short;f/f: openpgp: f: damaged: cut short"},
		{"compressed, a wrong checksum", packet(pgpCompressed, "\x02"+zlibbed(plain)[:len(zlibbed(plain))-1]+"\xff"), "f* f/a.txt*", "f/f: openpgp: f: damaged: zlib: invalid checksum"},
		{"compressed in an unknown way", pgpDeclared + packet(pgpCompressed, "\x09"+plain), "", "f/f: openpgp: f: unsupported method: compression"},
		{"compressed, something behind", packet(pgpCompressed, zip+"trailing") + "behind", "f* f/a.txt*", ""},
		{"a file cut short", plain[:len(plain)-3], "a.txt", "f/a.txt: openpgp: a.txt: damaged: cut short"},
		{"a length beyond everything", "\xcb\xff\xff\xff\xff\xff" + content, "a.txt*", "f/a.txt: openpgp: a.txt: damaged: cut short"},
		{"pieces, the last one missing", partial(pgpLiteral, 9, long)[:700], "a.txt", "f/a.txt: openpgp: a.txt: damaged: cut short"},
		{"encrypted", password + encrypted, "", "f/f: openpgp: f: encrypted: no password fits"},
		{"encrypted, and the key elsewhere", encrypted, "", "f/f: openpgp: f: encrypted: the recipient's key is needed"},
		{"encrypted, cut short", password + encrypted[:20], "", "f/f: openpgp: f: encrypted: no password fits"},
		{"to a key", publicPGP, "f", "f/f/f: openpgp: f: encrypted: the recipient's key is needed"},
		{"to a long key", armoured(packet(pgpSessionKey, "\x03keyident\x01\x10\x00"+strings.Repeat("\x9a", 512)) + encrypted), "f", "f/f/f: openpgp: f: encrypted: the recipient's key is needed"},
		{"to a long key, in binary", packet(pgpSessionKey, "\x03keyident\x01\x10\x00"+strings.Repeat("\x9a", 512)) + encrypted, "", "f/f: openpgp: f: encrypted: the recipient's key is needed"},
		{"an encrypted packet of old in armour", armoured(packet(pgpSED, strings.Repeat("\x9a", 60))), "f", "f/f/f: openpgp: f: encrypted: the recipient's key is needed"},
		{"armour", armour, "f* f/a.txt*", ""},
		{"armour amid text, twice", "Hello,\n\n" + armour + "and\n" + armour + "Bye\n", "f* f/a.txt* f* f/a.txt*", ""},
		{"armour with fields", strings.Replace(armour, "\n\n", "\r\nVersion: x\r\nComment: y\r\n \r\n", 1), "f* f/a.txt*", ""},
		{"armour without the empty line", strings.Replace(armour, "\n\n", "\n", 1), "f* f/a.txt*", ""},
		{"armour without a checksum", strings.Replace(armour, "=aaaa\n", "", 1), "f* f/a.txt*", ""},
		{"armour in CRLF", strings.ReplaceAll(armour, "\n", "\r\n"), "f* f/a.txt*", ""},
		{"armour that is quoted", "> " + strings.ReplaceAll(armour, "\n", "\n> "), "f* f/a.txt*", ""},
		{"armour with escaped dashes", "- " + strings.Replace(armour, "-----END", "- -----END", 1), "f* f/a.txt*", ""},
		{"armour in HTML", "<html><body>" + strings.ReplaceAll(armour, "\n", "<br>") + "</body>", "f* f/a.txt*", ""},
		{"armour in HTML of Outlook", strings.Replace("<p>"+strings.ReplaceAll(armour, "\n", "<o:p></o:p></p>\r\n<p>")+"</p>", "<p><o:p></o:p></p>", "<p>Version:&nbsp;x<br>&nbsp;</p>", 1), "f* f/a.txt*", ""},
		{"armour with other characters", strings.ReplaceAll(armour, "Y", "\u3000Y*"), "f* f/a.txt*", ""},
		{"armour, one part of several", strings.Replace(armour, "MESSAGE-", "MESSAGE, PART 1/2-", 1), "f* f/a.txt*", ""},
		{"armour without an end", armour[:strings.Index(armour, "=")], "f* f/a.txt*", "f/f: openpgp: f: damaged: armour without an end"},
		{"armour around a strange file", armoured(packet(pgpLiteral, literal('x', "\x07", marker))), "f* f/\x07*", ""},
		{"armour around a signature", armoured(signature), "f", ""},
		{"armour that tells how it looks", "-----BEGIN PGP MESSAGE-----\nVersion: GnuPG v2\n\n[snip]\n-----END PGP MESSAGE-----\n", "", ""},
		{"armour of which one talks", "It begins with -----BEGIN PGP MESSAGE----- and so on.\n", "", ""},
		{"a detached signature", signature, "", ""},
		{"a key", unbase64(keyPGP), "", ""},
		{"a text signed in the clear", clearPGP, "", ""},
		{"a marker and nothing", pgpDeclared, "", ""},
		{"session keys alone", password + password, "", ""},
	}
}

func TestOpenPGPIsReadTolerantly(t *testing.T) { pgpLies().run(t) }

// Of noise that begins with the tag of a packet next to nothing is told to be
// damaged, and of what files and texts begin with nothing at all.
func TestWhatIsNotOpenPGPIsNotTakenForIt(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	leads := []byte{0x84, 0x85, 0x88, 0x89, 0x8c, 0x90, 0xa0, 0xa3, 0xa8, 0xac, 0xad, 0xaf, 0xc1, 0xc3, 0xc4, 0xc8, 0xcb, 0xd2}
	mistaken := 0
	for i := range 50_000 {
		data := make([]byte, 64+r.IntN(2000))
		for j := range data {
			data[j] = byte(r.Uint32())
		}
		data[0] = leads[i%len(leads)]
		if !isPGPMessage(data, false) {
			continue
		}
		if n := walked(t, Limits{}, "f", data); len(n.unchecked) > 0 {
			mistaken++
		}
	}
	if mistaken > 1 {
		t.Errorf("%d of 50,000 were told to be damaged", mistaken)
	}
	for _, text := range []string{
		"\xcb\xdc book, " + strings.Repeat("\xa4\xb3\xa4\xec\xa4\xcf ", 40), // EUC-JP
		"\xcb\xf0b\n" + strings.Repeat("\xa4\xb3\xa4\xec\xa4\xcf ", 40),
		"\xcbAb this is half-width katakana first", // Shift_JIS
		"\xffd8 and so on", "\x89PNG\r\n\x1a\n", "\xac\xed\x00\x05sr\x00\x10java.lang", "\xca\xfe\xba\xbe\x00\x00\x00\x34", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
		"\x95\x04\x12\xde", "\xef\xbb\xbfText", "\xfe\xff\x00T", "\xc3\xa9t\xc3\xa9", "\xa9 2008",
	} {
		if isPGPMessage([]byte(text), false) {
			t.Errorf("%q is taken for a message", text)
		}
	}
}

// Whatever stands in a byte, nothing panics.
func TestOpenPGPWithAnyByteChanged(t *testing.T) {
	for _, l := range pgpLies() {
		for i := range min(len(l.data), 40) {
			for _, b := range []byte{0, 1, 0x7f, 0x80, 0xbf, 0xc0, 0xdf, 0xe0, 0xfe, 0xff} {
				changed := []byte(l.data)
				changed[i] = b
				for _, told := range walked(t, Limits{}, "f", changed).unchecked {
					if strings.Contains(told, "panicked") {
						t.Fatalf("%s, byte %d is %#x: %s", l.name, i, b, told)
					}
				}
			}
		}
	}
}

// unlocked walks with passwords.
func unlocked(t *testing.T, name string, data []byte, passwords ...string) *notes {
	t.Helper()
	n := &notes{}
	w := NewWalker(NewArena(nil, 0), Limits{})
	w.SetPasswords(func() []string { return passwords })
	if err := w.Walk(context.Background(), nil, File{Name: name, Data: data}, n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOpenPGPWithAPassword(t *testing.T) {
	for _, tt := range []struct{ file, path string }{
		{"openpgp-aes128.gpg", "openpgp-aes128/note.txt"},
		{"openpgp-aes256.gpg", "openpgp-aes256/note.txt"},
		{"openpgp-aes256-big.gpg", "openpgp-aes256-big/openpgp-aes256-big/openpgp-aes256-big"},
		{"openpgp-3des.gpg", "openpgp-3des/note.txt"},
		{"openpgp-s2k-simple.gpg", "openpgp-s2k-simple/note.txt"},
		{"openpgp-s2k-sha512.gpg", "openpgp-s2k-sha512/note.txt"},
		{"openpgp-sed.gpg", "openpgp-sed/openpgp-sed/note.txt"},
		{"openpgp-rnp.gpg", "openpgp-rnp/openpgp-rnp/note.txt"},
		{"openpgp-both.gpg", "openpgp-both/openpgp-both/note.txt"},
	} {
		t.Run(tt.file, func(t *testing.T) {
			data := load(t, tt.file)
			if n := unlocked(t, tt.file, data, "wrong", "kiyome"); n.marked != tt.path || len(n.unchecked) > 0 {
				t.Errorf("the marker is in %q, want %q; unchecked %q", n.marked, tt.path, n.unchecked)
			}
			n := unlocked(t, tt.file, data, "", "wrong")
			if len(n.objects) != 1 || len(n.unchecked) != 1 || !strings.HasSuffix(n.unchecked[0], "encrypted: no password fits") {
				t.Errorf("without the password: objects %q, unchecked %q", n.objects, n.unchecked)
			}
		})
	}
}

func TestEncryptedOpenPGPWithDamage(t *testing.T) {
	data := load(t, "openpgp-aes128.gpg")
	for _, tt := range []struct {
		name      string
		data      []byte
		unchecked string
	}{
		{"its code", damage(data, -1), "damaged: wrong modification detection code"},
		{"its last byte", damage(data, 65), "damaged: wrong modification detection code"},
		{"cut short", data[:len(data)-5], "damaged: cut short"},
	} {
		n := unlocked(t, "f", tt.data, "kiyome")
		if n.marked == "" || len(n.unchecked) == 0 || !strings.HasSuffix(n.unchecked[0], tt.unchecked) {
			t.Errorf("%s: the marker is in %q, unchecked %q", tt.name, n.marked, n.unchecked)
		}
	}
	for _, password := range []string{"kiyome", ""} {
		for _, name := range []string{"openpgp-aead.gpg", "openpgp-public.gpg"} {
			if n := unlocked(t, "f", load(t, name), password); fmt.Sprint(n.unchecked) == "[]" {
				t.Errorf("%s: not a word", name)
			}
		}
	}
}

// Pieces of one octet, and packets that hold nothing, take linear time.
func TestOpenPGPOfManyPieces(t *testing.T) {
	content := literal('b', "a.txt", strings.Repeat("x", 1<<20)+marker)
	n := walked(t, Limits{}, "f", []byte(strings.Repeat(packet(pgpMarker, "PGP"), 1<<18)+partial(pgpLiteral, 0, content)))
	if n.marked != "a.txt" || len(n.data[1]) != 1<<20+len(marker) || len(n.unchecked) > 0 {
		t.Errorf("marked %q, unchecked %q", n.marked, n.unchecked)
	}
}

// What came in the text of a mail has no name to go by.
func TestWhatHasNoNameIsNamed(t *testing.T) {
	mime := signed(contentInfo(idData, der(berOctetString, "Content-Type: text/plain\n\n"+marker)))
	for _, tt := range []struct{ data, want string }{
		{armoured(packet(pgpLiteral, literal('b', "", marker))), "message/message"},
		{publicPGP, "message/message"},
		{mime, "message.eml"},
	} {
		n := walked(t, Limits{}, "", []byte(tt.data))
		got := n.objects[len(n.objects)-1]
		if len(n.unchecked) > 0 {
			got, _, _ = strings.Cut(n.unchecked[0], ":")
		}
		if got != "/"+tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func FuzzOpenPGP(f *testing.F) {
	for _, l := range pgpLies() {
		f.Add([]byte(l.data))
	}
	fuzz(f, "openpgp")
}

func BenchmarkMatchOpenPGP(b *testing.B) { benchmarkMatch(b, pgpMatch) }
