package scan

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"

	"kiyome/scan/mime"
)

func TestPasswordsThatAMessageTells(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		within     int // of so many candidates
	}{
		{"Password: abc123", "abc123", 1},
		{"password is abc123.", "abc123", 2},
		{"The password is Tr0ub4dor&3!", "Tr0ub4dor&3!", 4},
		{"Please use passwd=xyz to open it", "xyz", 2},
		{"PW:2468", "2468", 1},
		{"pwd - opensesame", "opensesame", 2},
		{"pass → q1w2e3", "q1w2e3", 2},
		{"Pass code (for the archive): 77x", "77x", 2},
		{"パスワード：abc123", "abc123", 1},
		{"パスワードは abc123 です。", "abc123", 1},
		{"パスワードはabc123です。", "abc123", 1},
		{"解凍パスワードは「abc123」です。", "abc123", 1},
		{"パスワード『春はあけぼの』", "春はあけぼの", 2},
		{"パスワード（半角英数）：ab-12", "ab-12", 1},
		{"パスワード　abc123", "abc123", 1},
		{"パスワードは以下の通りです。\n\nabc123\n", "abc123", 8},
		{"パスワードは次のとおりです。\n----\n  abc123\n", "abc123", 8},
		{"【パスワード】\nabc123", "abc123", 4},
		{"【パスワード】abc123", "abc123", 2},
		{"■パスワード■\n「abc123」", "abc123", 4},
		{"ﾊﾟｽﾜｰﾄﾞ:abc123", "abc123", 1},
		{"パスワ－ド: abc123", "abc123", 1},
		{"ＰＡＳＳＷＯＲＤ：ａｂｃ１２３", "abc123", 1},
		{"パスワード：ａｂｃ１２３", "abc123", 1},
		{"パスワード：ａｂｃ１２３", "ａｂｃ１２３", 6},
		{"パス：1234", "1234", 1},
		{"解凍パス=1234", "1234", 1},
		{"解凍キー：k-9", "k-9", 1},
		{"暗証番号は0123です", "0123", 1},
		{"開封パスワード → a.b.c", "a.b.c", 1},
		{"解凍PW：zz9", "zz9", 1},
		{"合言葉は「山」「川」", "山", 3},
		{"密码：abc", "abc", 1},
		{"解压密码 abc", "abc", 1},
		{"비밀번호: abc", "abc", 1},
		{"Kennwort: geheim!", "geheim!", 3},
		{"Das Passwort lautet geheim.", "geheim", 2},
		{"mot de passe : secret", "secret", 1},
		{"Contraseña: secreto", "secreto", 1},
		{"senha: segredo", "segredo", 1},
		{"Пароль: тайна", "тайна", 1},
		{"Password: two words", "two words", 4},
		{"Password: <abc>", "abc", 1},
		{`Password: "abc"`, "abc", 1},
		{`Password: "abc"`, `"abc"`, 6},
		{"Password: abc.", "abc", 1},
		{"Password: abc.", "abc.", 2},
		{"Password:\r\n\r\n  abc  \r\n", "abc", 1},
		{"It is password-protected.\r\nBye.\r\nPassword: abc", "abc", 8},
		{"open with 'hello world'", "hello world", 1},
		{"The file is locked, x7y8z9 opens it.", "x7y8z9", 1},
		{"The code 48213 opens it.", "48213", 1},
		{"nothing at all", "infected", 20},
		{"nothing at all", "20260304", 3}, // the day of the Date field
	} {
		t.Run(tt.text, func(t *testing.T) {
			raw := strings.Replace(mail(entity(tt.text, "Content-Type: text/plain; charset=utf-8")), "Subject:", "Date: Wed, 4 Mar 2026 10:00:00 +0900\r\nSubject:", 1)
			got := passwordsOf(mime.Parse([]byte(raw), mime.Limits{}), nil)
			if at := slices.Index(got, tt.want); at < 0 || at >= tt.within {
				t.Errorf("%q is number %d of %q, want it within the first %d", tt.want, at, got, tt.within)
			}
		})
	}
}

func TestPasswordsAreBounded(t *testing.T) {
	var text strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&text, "password: a%dz and \"quoted %d\"\r\n", i, i)
	}
	m := mime.Parse([]byte(mail(entity(text.String()+"\r\npassword: "+strings.Repeat("x", 129), "Content-Type: text/plain"))), mime.Limits{})
	var extra []string
	for i := range 1000 {
		extra = append(extra, fmt.Sprint("own", i))
	}
	got := passwordsOf(m, extra)
	if len(got) > maxPasswords || len(got) < maxPasswords-len(commonPasswords) {
		t.Errorf("%d passwords", len(got))
	}
	sorted := slices.Sorted(slices.Values(got))
	if len(slices.Compact(sorted)) != len(got) {
		t.Error("some stand there twice")
	}
	for _, p := range got {
		if len(p) < 1 || len(p) > maxPassword {
			t.Errorf("a password of %d bytes", len(p))
		}
	}
	for _, want := range []string{"a0z", "own0", "own49", "infected", "test"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if got := passwordsOf(nil, extra[:2]); got[0] != "own0" || got[2] != "infected" {
		t.Errorf("of a file: %q", got)
	}
}

// sealedZip is a zip with the test virus in it, encrypted by a real tool.
func sealedZip(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../testdata/containers/zip-aes.zip")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func encoded(t *testing.T, e encoding.Encoding, s string) string {
	t.Helper()
	out, err := e.NewEncoder().String(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEncryptedAttachmentIsOpenedWithWhatTheMailTells(t *testing.T) {
	const rule = `rule Marker { meta: malware = "Marker" strings: $a = "KIYOME-MARKER" condition: $a }`
	zipped := attach("請求書.zip", sealedZip(t))
	in := func(charset, body string) string { return entity(body, "Content-Type: text/plain; charset="+charset) }
	utf16 := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	japaneseText := "お世話になっております。\r\n添付ファイルのパスワードは「kiyome」です。\r\n"
	with := func(parts ...string) string { return mail(multipart("mixed", "b", append(parts, zipped)...)) }
	for _, tt := range []struct {
		name, message string
		found         bool
	}{
		{"UTF-8", with(in("utf-8", japaneseText)), true},
		{"ISO-2022-JP", with(in("iso-2022-jp", encoded(t, japanese.ISO2022JP, japaneseText))), true},
		{"Shift_JIS", with(in("shift_jis", encoded(t, japanese.ShiftJIS, japaneseText))), true},
		{"EUC-JP under a wrong name", with(in("us-ascii", encoded(t, japanese.EUCJP, japaneseText))), true},
		{"UTF-16 in base64", with(entity(base64Lines(encoded(t, utf16, japaneseText)), "Content-Type: text/plain; charset=utf-16", "Content-Transfer-Encoding: base64")), true},
		{"HTML in cells", with(html("<table><tr><td>Pass<b>word</b></td><td>&nbsp;<span>kiyo</span>me</td></tr></table>")), true},
		{"HTML with entities", with(html("<p>&#x30D1;&#x30B9;&#x30EF;&#x30FC;&#x30C9;</p><p>k&#105;yome</p>")), true},
		{"HTML in quoted-printable", with(entity("<p>Passwort=3A kiy=\r\nome</p>", "Content-Type: text/html", "Content-Transfer-Encoding: quoted-printable")), true},
		{"full width", with(in("utf-8", "ＰＷ：ｋｉｙｏｍｅ")), true},
		{"in the subject", strings.Replace(with(text("See the subject.")), "Subject: ", "Subject: =?utf-8?B?"+base64.StdEncoding.EncodeToString([]byte("【パスワード：kiyome】"))+"?= ", 1), true},
		{"in a text that is attached", with(text("See the other file."), entity("kiyome", "Content-Type: text/plain; name=pass.txt", "Content-Disposition: attachment; filename=\"password:kiyome.txt\"")), true},
		{"the file's name", mail(multipart("mixed", "b", text("Hello."), attach("kiyome.zip", sealedZip(t)))), true},
		{"in an attached message", mail(multipart("mixed", "b", text("Forwarded."), attached(with(in("utf-8", japaneseText))))), true},
		{"not told", with(in("utf-8", "お世話になっております。\r\nパスワードは別途お送りします。\r\n")), false},
		{"told of something else", with(text("The password is hidden.")), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := run(t, testEngine(t, Options{}, rule), []byte(tt.message))
			found := len(v.Findings) > 0 && v.Findings[0].Malware == "Marker"
			encrypted := len(v.Unchecked) == 1 && v.Unchecked[0].Reason == "encrypted"
			if found != tt.found || encrypted == tt.found {
				t.Errorf("got %s", describe([]byte(tt.message), v))
			}
		})
	}
}

func TestOperatorsPasswordsOpenToo(t *testing.T) {
	const rule = `rule Marker { strings: $a = "KIYOME-MARKER" condition: $a }`
	raw := []byte(mail(multipart("mixed", "b", text("Hello."), attach("a.zip", sealedZip(t)))))
	v := run(t, testEngine(t, Options{Passwords: []string{"no", "kiyome"}}, rule), raw)
	if len(v.Findings) != 1 || v.Outcome != Cleaned {
		t.Errorf("got %s", describe(raw, v))
	}
	b, err := json.Marshal(v)
	if err != nil || strings.Contains(string(b), "kiyome") {
		t.Errorf("the verdict tells the password: %s, %v", b, err)
	}
}
