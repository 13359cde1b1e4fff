package evasion

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"fmt"
	"hash/crc32"
	"strings"

	"golang.org/x/text/encoding/japanese"
)

// zipCrypto encrypts as PKZIP did first (APPNOTE.TXT, section 6.1).
func zipCrypto(password string, check byte, data []byte) []byte {
	keys := [3]uint32{0x12345678, 0x23456789, 0x34567890}
	step := func(crc uint32, c byte) uint32 { return crc32.IEEETable[byte(crc)^c] ^ crc>>8 }
	update := func(c byte) {
		keys[0] = step(keys[0], c)
		keys[1] = (keys[1]+keys[0]&0xff)*134775813 + 1
		keys[2] = step(keys[2], byte(keys[1]>>24))
	}
	for _, c := range []byte(password) {
		update(c)
	}
	var out []byte
	for _, c := range append([]byte("elevenbytes"+string([]byte{check})), data...) {
		t := keys[2] | 2
		out = append(out, c^byte(t*(t^1)>>8))
		update(c)
	}
	return out
}

// locked is the payload as an entry in the old encryption.
func (p Payload) locked(password string) zipEntry {
	e := p.bad(zipDeflated)
	e.flags |= 1
	e.data = zipCrypto(password, byte(e.crc>>24), e.data)
	e.packed = uint32(len(e.data))
	return e
}

// sealed is the payload as an entry in WinZip's AE-2, with a key of so many bytes.
func (p Payload) sealed(password string, size int) zipEntry {
	e := p.bad(zipDeflated)
	e.flags |= 1
	e.method, e.crc = zipAES, 0
	e.extra = string([]byte{0x01, 0x99, 7, 0, 2, 0, 'A', 'E', byte(size/8 - 1), zipDeflated, 0})
	salt := []byte("saltsaltsaltsalt")[:size/2]
	key := must(pbkdf2.Key(sha1.New, password, salt, 1000, 2*size+2))
	data := bytes.Clone(e.data)
	counted(must(aes.NewCipher(key[:size])), data)
	mac := hmac.New(sha1.New, key[size:2*size])
	mac.Write(data)
	e.data = slicesJoin(salt, key[2*size:], data, mac.Sum(nil)[:10])
	e.packed = uint32(len(e.data))
	return e
}

// counted is counter mode with the counter's low byte first, from one.
func counted(block cipher.Block, data []byte) {
	var counter, stream [aes.BlockSize]byte
	for at := range data {
		if at%aes.BlockSize == 0 {
			for i := range counter {
				if counter[i]++; counter[i] != 0 {
					break
				}
			}
			block.Encrypt(stream[:], counter[:])
		}
		data[at] ^= stream[at%aes.BlockSize]
	}
}

// passwordRows are letters that tell a password, as people write them. The
// recipient opens the attachment with it.
var passwordRows = []struct{ level, name, password, text string }{
	{Core, "password:", "abc123", "Hello,\n\nplease find the invoice attached.\nPassword: abc123\n\nTaro"},
	{Core, "password is", "abc123", "The password is abc123."},
	{Core, "password in quotes", "abc 123", "The password is \"abc 123\"."},
	{Core, "pass:", "Kf8_x2pQ", "Pass: Kf8_x2pQ"},
	{Core, "pw=", "x9!kQ#zz", "pw=x9!kQ#zz"},
	{Core, "pwd", "s3cr3t", "pwd s3cr3t"},
	{Core, "code", "7788", "Use the code 7788 to open it."},
	{Core, "on the next line", "abc123", "The password for the file is:\n\nabc123\n\nRegards"},
	{Core, "in brackets", "abc123", "(password: abc123)"},
	{Core, "a dot behind", "abc.123", "Password: abc.123."},
	{Core, "パスワード：", "abc123", "いつもお世話になっております。\n添付ファイルをご確認ください。\nパスワード：abc123\n"},
	{Core, "パスワードは…です", "abc123", "解凍パスワードは abc123 です。"},
	{Core, "パスワードは「…」です", "abc123", "パスワードは「abc123」です。よろしくお願いいたします。"},
	{Core, "パスワードは…です, no blanks", "abc123", "パスワードはabc123です。"},
	{Core, "パスワード, next line", "Xy7kpq", "添付ファイルのパスワードは以下の通りです。\n\n　　Xy7kpq\n\n以上"},
	{Core, "パスワード, next line, brackets", "Xy7kpq", "パスワード\n【Xy7kpq】\n"},
	{Core, "PW：", "1234", "PW：1234"},
	{Core, "ＰＷ：, full width", "1234", "ＰＷ：１２３４"},
	{Core, "full-width digits", "20251020", "パスワード：２０２５１０２０"},
	{Core, "full-width letters", "abc123", "パスワード：ａｂｃ１２３"},
	{Core, "パス：", "1q2w3e", "パス：1q2w3e"},
	{Core, "暗証番号", "9876", "暗証番号は9876になります。"},
	{Core, "解凍PASS", "kaito2025", "解凍PASS→kaito2025"},
	{Core, "【パスワード】", "kaito2025", "【パスワード】kaito2025"},
	{Core, "■パスワード", "kaito2025", "■パスワード\n　kaito2025\n"},
	{Core, "half-width katakana", "kaito2025", "ﾊﾟｽﾜｰﾄﾞ:kaito2025"},
	{Core, "密码", "abc123", "解压密码：abc123"},
	{Core, "Kennwort", "geheim1", "Das Kennwort lautet: geheim1"},
	{Core, "mot de passe", "soleil7", "Le mot de passe est : soleil7"},
	{Core, "contraseña", "luna22", "La contraseña es: luna22"},
	{Edge, "with symbols", `p@$$w0rd&<>"`, `Password: p@$$w0rd&<>"`},
	{Edge, "of 40 characters", strings.Repeat("Ab3_", 10), "Password: " + strings.Repeat("Ab3_", 10)},
	{Edge, "of one character", "1", "password: 1"},
	{Edge, "quoted as in an answer", "abc123", "> On Monday you wrote:\n> > The password is\n> > abc123\n"},
	{Edge, "no word for it", "Zk81hq", "Hello,\nplease open the file with Zk81hq\nTaro"},
	{Edge, "alone on a line", "Zk81hq", "Hello,\n\nZk81hq\n\nTaro"},
	{Edge, "far below", "abc123", "The file needs a password.\n" + strings.Repeat("And there is more to tell.\n", 200) + "Password: abc123"},
	{Edge, "behind others", "abc123", strings.Repeat("Password: not-this-one\nPassword: neither\n", 5) + "Password: abc123"},
	{Edge, "in capitals in the text", "ABC123", "PASSWORD: ABC123"},
	{Edge, "characters apart", "1234", "パスワード：1 2 3 4"},
	{Edge, "the sender's domain", "example.com", "The password is our domain."},
	{Edge, "the recipient's address", "hanako@example.jp", "The password is your address."},
	{Edge, "infected", "infected", "A sample for you, the usual password."},
	{Edge, "two pieces", "abc123", "The password is abc followed by 123."},
	{Hard, "the day in the header", "20251020", "パスワードは本日の日付8桁です。"},
	{Hard, "the day, month first", "1020", "パスワードは本日の日付4桁です。"},
	{Hard, "Japanese", "請求書", "パスワードは「請求書」です。"},
	{Hard, "a sum", "84", "The password is the result of 42 plus 42, in digits."},
}

// passwords is about encrypted zips whose password stands in the message.
func passwords() []Case {
	f := family{name: "password"}
	for _, r := range passwordRows {
		body := entity("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit", crlf(r.text)+"\r\n")
		f.add(r.level, r.name, func(p Payload) []byte { return letterWith(body, attach("invoice.zip", zipped(p.locked(r.password)))) })
	}
	for _, i := range []int{0, 10, 17, 18} {
		r := passwordRows[i]
		body := entity("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit", crlf(r.text)+"\r\n")
		for _, size := range []int{16, 24, 32} {
			f.add(r.level, fmt.Sprintf("AES-%d, %s", 8*size, r.name), func(p Payload) []byte {
				return letterWith(body, attach("invoice.zip", zipped(p.sealed(r.password, size))))
			})
		}
	}
	f.passwordPlaces()
	return f.cases
}

// letterWith is a message whose text is given.
func letterWith(body string, parts ...string) []byte {
	return letter(mixedType, multipart(outer, append([]string{body}, parts...)...))
}

// passwordPlaces has the password elsewhere.
func (f *family) passwordPlaces() {
	locked := func(p Payload) string { return attach("invoice.zip", zipped(p.locked("kaito2025"))) }
	japaneseText := "パスワード：kaito2025\r\n"
	body := func(fields, text string) func(p Payload) []byte {
		return func(p Payload) []byte { return letterWith(entity(fields, text), locked(p)) }
	}
	jis := must(japanese.ISO2022JP.NewEncoder().String(japaneseText))
	sjis := must(japanese.ShiftJIS.NewEncoder().String(japaneseText))
	euc := must(japanese.EUCJP.NewEncoder().String(japaneseText))
	f.add(Core, "in ISO-2022-JP", body("Content-Type: text/plain; charset=iso-2022-jp", jis))
	f.add(Core, "in Shift_JIS, base64", body("Content-Type: text/plain; charset=shift_jis\nContent-Transfer-Encoding: base64", b64([]byte(sjis))))
	f.add(Core, "in EUC-JP, quoted-printable", body("Content-Type: text/plain; charset=euc-jp\nContent-Transfer-Encoding: quoted-printable", qp([]byte(euc))))
	f.add(Core, "in UTF-8, base64", body("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64", b64([]byte(japaneseText))))
	f.add(Edge, "in Shift_JIS, nothing said", body("Content-Type: text/plain", sjis))
	f.add(Core, "in HTML", body("Content-Type: text/html; charset=utf-8", "<p>パスワード：<b>kaito2025</b></p>\r\n"))
	f.add(Core, "in HTML, a table", body("Content-Type: text/html; charset=utf-8", "<table><tr><td>パスワード</td>\r\n<td>kaito2025</td></tr></table>\r\n"))
	f.add(Core, "in HTML, entities", body("Content-Type: text/html", "<p>Password: &#107;&#97;ito2025</p>\r\n"))
	f.add(Edge, "in HTML, tags between", body("Content-Type: text/html", "<p>Password: kai<span>to</span><b>2025</b></p>\r\n"))
	f.add(Edge, "in HTML, hidden characters between", body("Content-Type: text/html; charset=utf-8", "<p>Password: kaito&#8203;2025</p>\r\n"))
	f.add(Core, "in the second text of an alternative", func(p Payload) []byte {
		return letterWith(entity("Content-Type: multipart/alternative; boundary=alt", multipart("alt", hello, entity("Content-Type: text/html", "<p>Password: kaito2025</p>"))), locked(p))
	})
	subject := func(s string) func(p Payload) []byte {
		return func(p Payload) []byte {
			return bytes.Replace(mixed(locked(p)), []byte("Subject: Invoice for October"), []byte("Subject: "+s), 1)
		}
	}
	f.add(Core, "in the subject", subject("Invoice (password: kaito2025)"))
	f.add(Core, "in the subject, encoded", subject("=?utf-8?B?"+line64([]byte("請求書（パスワード：kaito2025）"))+"?="))
	f.add(Core, "in the subject, ISO-2022-JP", subject("=?iso-2022-jp?B?"+line64([]byte(strings.TrimSpace(jis)))+"?="))
	f.add(Edge, "in the attachment's name", func(p Payload) []byte {
		return mixed(attach("invoice_pw_kaito2025.zip", zipped(p.locked("kaito2025"))))
	})
	f.add(Edge, "in another attachment", func(p Payload) []byte { return mixed(attach("password.txt", []byte("kaito2025")), locked(p)) })
	f.add(Edge, "in another attachment, behind", func(p Payload) []byte { return mixed(locked(p), attach("password.txt", []byte("password: kaito2025"))) })
	f.add(Edge, "in a text behind", func(p Payload) []byte {
		return mixed(locked(p), entity("Content-Type: text/plain", "Password: kaito2025"))
	})
	f.add(Edge, "in the zip's comment", func(p Payload) []byte {
		locals, directory := zipBytes(0, p.locked("kaito2025"))
		directory = directory[:len(directory)-22]
		return mixed(attach("invoice.zip", slicesJoin(locals, directory, zipEnd(1, len(directory), len(locals), "password: kaito2025"))))
	})
	f.add(Edge, "in a readme in the zip", func(p Payload) []byte {
		return mixed(attach("invoice.zip", zipped(entry("readme.txt", zipDeflated, []byte("password: kaito2025")), p.locked("kaito2025"))))
	})
	f.add(Edge, "in a field of the header", func(p Payload) []byte { return append([]byte("X-Password: kaito2025\r\n"), mixed(locked(p))...) })
	f.add(Core, "the zip in a zip", func(p Payload) []byte {
		return letterWith(entity("Content-Type: text/plain", "Password: kaito2025"), attach("a.zip", zipOf("b.zip", zipped(p.locked("kaito2025")))))
	})
	f.add(Core, "two zips, two passwords", func(p Payload) []byte {
		return letterWith(entity("Content-Type: text/plain", "Password 1: first99\r\nPassword 2: kaito2025\r\n"), attach("a.zip", zipped(Clean().locked("first99"))), locked(p))
	})
	f.add(Core, "in an attached message", func(p Payload) []byte {
		return mixed(entity("Content-Type: message/rfc822", string(letterWith(entity("Content-Type: text/plain", "Password: kaito2025"), locked(p)))))
	})
	f.add(Edge, "in the outer message, the zip in the inner", func(p Payload) []byte {
		return letterWith(entity("Content-Type: text/plain", "Password: kaito2025"), entity("Content-Type: message/rfc822", string(mixed(locked(p)))))
	})
	f.add(Edge, "only one of two entries is encrypted", func(p Payload) []byte {
		return letterWith(entity("Content-Type: text/plain", "Password: kaito2025"), attach("a.zip", zipped(harmless, p.locked("kaito2025"))))
	})
	f.add(Edge, "the flag is not set", func(p Payload) []byte {
		e := p.locked("kaito2025")
		off := func(h *zipHeader) { h.flags &^= 1 }
		e.local, e.central = off, nil
		return letterWith(entity("Content-Type: text/plain", "Password: kaito2025"), attach("a.zip", zipped(e)))
	})
}
