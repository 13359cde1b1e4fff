package evasion

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
)

// Letter is a clean message.
type Letter struct {
	Name string
	Raw  []byte
}

// Wild gives clean messages as real senders write them: odd, broken and long, and
// with nothing in them. What finds something there, or fails to read them, would
// do so every day.
func Wild() []Letter {
	var all []Letter
	for _, group := range []func() []Letter{wildTexts, wildJapanese, wildPages, wildFiles, wildLists, wildBroken, wildReports, wildSigned, wildOffice} {
		all = append(all, group()...)
	}
	return all
}

// noise are bytes that mean nothing, as packed files look.
func noise(n int) []byte {
	b := make([]byte, n)
	must(rand.NewChaCha8([32]byte{7}).Read(b))
	return b
}

// picture is a photograph of nothing.
func picture(w, h int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for x := range w {
		for y := range h {
			m.Set(x, y, color.RGBA{uint8(x * 7), uint8(y * 5), uint8(x * y), 255})
		}
	}
	return m
}

func pngOf(w, h int) []byte {
	var b bytes.Buffer
	check(png.Encode(&b, picture(w, h)))
	return b.Bytes()
}

func jpegOf(w, h int) []byte {
	var b bytes.Buffer
	check(jpeg.Encode(&b, picture(w, h), nil))
	return b.Bytes()
}

// typed is an attachment of a type.
func typed(kind, name string, content []byte) string {
	return entity(fmt.Sprintf("Content-Type: %s; name=%q\nContent-Disposition: attachment; filename=%[2]q\nContent-Transfer-Encoding: base64", kind, name), b64(content))
}

// story is a text of so many lines.
func story(lines int) string {
	return strings.Repeat("We met at the station, and then walked along the river to the old mill.\r\n", lines)
}

const japaneseStory = "いつもお世話になっております。\r\n山田です。\r\n\r\n先日お願いした資料を添付いたします。\r\nご確認のほど、よろしくお願いいたします。\r\n"

// encodedText is a text in a charset.
func encodedText(e encoding.Encoding, s string) string { return must(e.NewEncoder().String(s)) }

// wildTexts are plain texts, and what senders do to them.
func wildTexts() []Letter {
	quoted := "> " + strings.ReplaceAll(strings.TrimSuffix(story(4), "\r\n"), "\r\n", "\r\n> ") + "\r\n"
	return []Letter{
		{"plain", letter("Content-Type: text/plain; charset=us-ascii", story(5))},
		{"no MIME at all", []byte(crlf(strings.Replace(head, "MIME-Version: 1.0\n", "", 1)) + "\r\n" + story(3))},
		{"empty body", letter("Content-Type: text/plain", "")},
		{"no body and no empty line", []byte(crlf(strings.TrimSuffix(head, "\n")) + "\r\n")},
		{"format=flowed", letter("Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes", strings.ReplaceAll(story(5), "\r\n", " \r\n")+"\r\n> quoted text that flows \r\n> on\r\n")},
		{"lines of 5000", letter("Content-Type: text/plain", strings.ReplaceAll(story(70), "\r\n", " ")+"\r\n")},
		{"one line of 60000", letter("Content-Type: text/plain", strings.Repeat("word ", 12000)+"\r\n")},
		{"answer with quotes", letter("Content-Type: text/plain", "I agree.\r\n\r\nOn Monday, Hanako wrote:\r\n"+quoted)},
		{"answer below quotes in quotes", letter("Content-Type: text/plain", "> > > deep\r\n> > less deep\r\n> "+quoted+"\r\nYes.\r\n")},
		{"forwarded in the text", letter("Content-Type: text/plain", "See below.\r\n\r\n---------- Forwarded message ---------\r\nFrom: Jiro <jiro@example.com>\r\nDate: Sun, 19 Oct 2025\r\nSubject: Plan\r\nTo: Taro <taro@example.com>\r\n\r\n"+story(4))},
		{"forwarded the German way", letter("Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable", "-----Urspr=FCngliche Nachricht-----\r\nVon: Max\r\nGesendet: Montag\r\nAn: Taro\r\nBetreff: Gr=FC=DFe\r\n\r\nViele Gr=FC=DFe\r\n")},
		{"text in base64", letter("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64", b64([]byte(story(20))))},
		{"text in base64 in one line", letter("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64", line64([]byte(story(20)))+"\r\n")},
		{"text in quoted-printable with long soft lines", letter("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable", strings.ReplaceAll(story(10), " then", " the=\r\nn"))},
		{"raw 8 bit without a charset", letter("Content-Type: text/plain", "Caf\xe9 cr\xe8me, s'il vous pla\xeet.\r\n")},
		{"a patch", letter("Content-Type: text/x-patch", "diff --git a/a.go b/a.go\r\n--- a/a.go\r\n+++ b/a.go\r\n@@ -1,3 +1,4 @@\r\n package a\r\n \r\n+// A is one.\r\n const A = 1\r\n-- \r\n2.39.0\r\n")},
		{"a poem that says begin", letter("Content-Type: text/plain", "Let us\r\nbegin 644 miles from here,\r\nwhere the road has no\r\nend\r\n")},
		{"begin at a line's start", letter("Content-Type: text/plain", "begin with the first chapter, and\r\nend with the last.\r\n")},
		{"code with base64 in it", letter("Content-Type: text/plain", "key = \""+line64(noise(48))+"\"\r\nssh-rsa "+line64(noise(279))+" taro@host\r\n")},
		{"a certificate in the text", letter("Content-Type: text/plain", "-----BEGIN CERTIFICATE-----\r\n"+wrap(line64(noise(800)), 64)+"-----END CERTIFICATE-----\r\n")},
		{"dashes everywhere", letter("Content-Type: text/plain", "--\r\n----------\r\n-- \r\nTaro\r\n--=_x\r\n"+story(2)+"--=_x--\r\n")},
		{"a table of dots and equals", letter("Content-Type: text/plain", "====================\r\nItem ........... 100\r\nTotal =3D ...... 200\r\n====================\r\n")},
		{"a log of hexadecimal", letter("Content-Type: text/plain", strings.Repeat("0000000 50 4b 03 04 14 00 00 00 08 00 00 00 21 00\r\n", 40))},
		{"dot stuffing left in", letter("Content-Type: text/plain", "..\r\n...and so on\r\n.. \r\n")},
		{"numbers and passwords of nothing", letter("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit", "認証コード：482913\r\nパスワードの再設定はこちら https://example.jp/reset?t=ab12\r\n")},
	}
}

// wildJapanese is mail of Japanese senders.
func wildJapanese() []Letter {
	jis, sjis, euc := encodedText(japanese.ISO2022JP, japaneseStory), encodedText(japanese.ShiftJIS, japaneseStory), encodedText(japanese.EUCJP, japaneseStory)
	name := encodedText(japanese.ShiftJIS, "請求書.pdf")
	jisName := encodedText(japanese.ISO2022JP, "請求書.pdf")
	file := func(fields string) []byte {
		return letterWith(entity("Content-Type: text/plain; charset=ISO-2022-JP\nContent-Transfer-Encoding: 7bit", jis), entity(fields+"\nContent-Transfer-Encoding: base64", b64([]byte(pdf))))
	}
	subject := func(s string, m []byte) []byte {
		return bytes.Replace(m, []byte("Invoice for October"), []byte(s), 1)
	}
	return []Letter{
		{"ISO-2022-JP", subject("=?ISO-2022-JP?B?"+line64([]byte(encodedText(japanese.ISO2022JP, "資料の件")))+"?=", letter("Content-Type: text/plain; charset=ISO-2022-JP\nContent-Transfer-Encoding: 7bit", jis))},
		{"ISO-2022-JP without MIME", []byte(crlf(strings.Replace(head, "MIME-Version: 1.0\n", "", 1)) + "\r\n" + jis)},
		{"ISO-2022-JP, raw subject", subject(encodedText(japanese.ISO2022JP, "資料の件"), letter("Content-Type: text/plain", jis))},
		{"Shift_JIS, 8bit", letter("Content-Type: text/plain; charset=Shift_JIS\nContent-Transfer-Encoding: 8bit", sjis)},
		{"Shift_JIS, base64", letter("Content-Type: text/plain; charset=cp932\nContent-Transfer-Encoding: base64", b64([]byte(sjis)))},
		{"EUC-JP, quoted-printable", letter("Content-Type: text/plain; charset=EUC-JP\nContent-Transfer-Encoding: quoted-printable", qp([]byte(euc)))},
		{"UTF-8, base64", letter("Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: base64", b64([]byte(japaneseStory)))},
		{"UTF-8, 8bit, said to be ISO-2022-JP", letter("Content-Type: text/plain; charset=ISO-2022-JP\nContent-Transfer-Encoding: 7bit", japaneseStory)},
		{"name raw in Shift_JIS", file("Content-Type: application/pdf; name=\"" + name + "\"\nContent-Disposition: attachment; filename=\"" + name + "\"")},
		{"name raw in ISO-2022-JP", file("Content-Type: application/pdf; name=\"" + jisName + "\"\nContent-Disposition: attachment; filename=\"" + jisName + "\"")},
		{"name in encoded words in quotes", file("Content-Type: application/pdf; name=\"=?ISO-2022-JP?B?" + line64([]byte(jisName)) + "?=\"\nContent-Disposition: attachment; filename=\"=?ISO-2022-JP?B?" + line64([]byte(jisName)) + "?=\"")},
		{"name in RFC 2231, Shift_JIS", file("Content-Type: application/pdf\nContent-Disposition: attachment; filename*=shift_jis''" + percents([]byte(name)))},
		{"name in RFC 2231, in pieces", file("Content-Type: application/pdf\nContent-Disposition: attachment;\n filename*0*=utf-8''" + percents([]byte("とても長い名前の")) + ";\n filename*1*=" + percents([]byte("請求書.pdf")))},
		{"notice about a password that comes later", letterWith(entity("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit", "添付ファイルはパスワード付きZIPです。\r\nパスワードは別途お送りいたします。\r\n"), attach("資料.zip", zipped(entry("資料.txt", zipDeflated, []byte("clean")))))},
		{"mobile phone's mail", letter("Content-Type: text/plain; charset=Shift_JIS\nContent-Transfer-Encoding: 8bit", sjis+"\xf9\x41\xf6\x40\xf3\x9f\r\n")},
	}
}

// wildPages are HTML bodies.
func wildPages() []Letter {
	alternative := func(body string) []byte {
		return letter(`Content-Type: multipart/alternative; boundary="alt_1"`, multipart("alt_1", hello, entity("Content-Type: text/html; charset=utf-8", body)))
	}
	tracking := "https://click.example.com/ls/click?upn=" + strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(line64(noise(300))), "=") + "&e=" + strings.Repeat("%3D%2B", 40)
	image64 := line64(pngOf(40, 40))
	return []Letter{
		{"text and HTML", alternative(page("<b>Hello</b>"))},
		{"HTML only", letter("Content-Type: text/html; charset=utf-8", page("<b>Hello</b>"))},
		{"HTML in quoted-printable", letter("Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable", strings.ReplaceAll(page(`<a href="https://example.com/?a=b&c=d">here</a>`), "=", "=3D"))},
		{"tracking addresses", alternative(page(strings.Repeat(`<a href="`+tracking+`">here</a>`+"\r\n", 12)))},
		{"picture within the page", alternative(page(`<img alt="logo" src="data:image/png;base64,` + image64 + `">`))},
		{"picture within the page, lines", alternative(page("<img src=\"data:image/png;base64,\r\n" + wrap(image64, 76) + "\">"))},
		{"six pictures within the page", alternative(page(strings.Repeat(`<img src="data:image/png;base64,`+image64+`">`+"\r\n", 6)))},
		{"font within the page's style", alternative(page("<style>@font-face { src: url(data:font/woff2;base64," + line64(noise(3000)) + ") }</style>"))},
		{"SVG within the page", alternative(page(`<img src="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'%3E%3Cpath d='M0 0L9 9'/%3E%3C/svg%3E">`))},
		{"picture beside the page", letter(`Content-Type: multipart/related; type="text/html"; boundary="rel"`, multipart("rel", entity("Content-Type: text/html", page(`<img src="cid:a@b">`)), entity("Content-Type: image/jpeg\nContent-ID: <a@b>\nContent-Disposition: inline; filename=\"a.jpg\"\nContent-Transfer-Encoding: base64", b64(jpegOf(60, 40)))))},
		{"newsletter of tables", alternative(page(strings.Repeat("<table width=600 cellpadding=0><tr><td style=\"font:14px/1.4 sans-serif;color:#333\">Offer of the week&nbsp;&ndash;&nbsp;&yen;1,200</td></tr></table>\r\n", 80)))},
		{"word processor's HTML", alternative("<html xmlns:o=\"urn:schemas-microsoft-com:office:office\"><head><!--[if gte mso 9]><xml><o:OfficeDocumentSettings/></xml><![endif]--></head><body lang=JA><p class=MsoNormal><o:p>&nbsp;</o:p></p></body></html>\r\n")},
		{"script for a mail program's cards", alternative(page(`<script type="application/ld+json">{"@context":"http://schema.org","@type":"Order","orderNumber":"` + line64(noise(12)) + `"}</script>`))},
		{"unsubscribe script", letter("Content-Type: text/html", page(`<script>var a = [104, 101, 108, 108, 111]; document.write(unescape("%48%69"))</script>`))},
	}
}

// wildFiles are ordinary attachments.
func wildFiles() []Letter {
	return []Letter{
		{"PDF", mixed(typed("application/pdf", "a.pdf", []byte(pdf)))},
		{"JPEG", mixed(typed("image/jpeg", "IMG_0001.JPG", jpegOf(120, 80)))},
		{"PNG", mixed(typed("image/png", "a.png", pngOf(50, 50)))},
		{"zip", mixed(typed("application/zip", "a.zip", zipOf("a.txt", []byte(story(10)))))},
		{"zip in a zip", mixed(typed("application/x-zip-compressed", "a.zip", zipOf("b.zip", zipOf("a.txt", []byte(story(3))))))},
		{"tar in gzip", mixed(typed("application/gzip", "a.tgz", gzipOf(tarOf("a.txt", []byte(story(3))))))},
		{"noise", mixed(typed("application/octet-stream", "a.bin", noise(20000)))},
		{"CSV with 8-bit characters", mixed(entity("Content-Type: text/csv; name=a.csv\nContent-Disposition: attachment; filename=a.csv\nContent-Transfer-Encoding: 8bit", "\"\xe5\xb1\xb1\xe7\x94\xb0\",\"100\"\r\n"))},
		{"empty attachment", mixed(typed("text/plain", "empty.txt", nil))},
		{"twenty pictures", mixed(repeated(20, func(i int) string { return typed("image/png", fmt.Sprintf("%d.png", i), pngOf(10+i, 10)) })...)},
		{"uuencoded", letter("Content-Type: text/plain", "The file:\r\n\r\n"+Payload{Content: []byte(story(4))}.uu())},
		{"BinHex", letter("Content-Type: text/plain", binhex("letter", []byte(story(4))))},
		{"yEnc", letter("Content-Type: text/plain", yenc("letter.txt", []byte(story(4))))},
		{"winmail.dat", mixed(typed("application/ms-tnef", "winmail.dat", tnef([]byte("letter.txt"), []byte(story(2)))))},
		{"AppleDouble", mixed(entity("Content-Type: multipart/appledouble; boundary=apple", multipart("apple", entity("Content-Type: application/applefile\nContent-Transfer-Encoding: base64", b64(appleDouble([]byte("icon")))), typed("application/pdf", "a.pdf", []byte(pdf)))))},
	}
}

func repeated(n int, f func(int) string) []string {
	var all []string
	for i := range n {
		all = append(all, f(i))
	}
	return all
}

// wildLists is what mailing lists make of mail.
func wildLists() []Letter {
	footer := "_______________________________________________\r\nList mailing list\r\nList@example.com\r\nhttps://example.com/list\r\n"
	return []Letter{
		{"footer in the text", letter("Content-Type: text/plain", story(3)+footer)},
		{"footer as a part", mixed(entity("Content-Type: text/plain; charset=us-ascii\nContent-Disposition: inline", footer))},
		{"footer behind base64", letter("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64", b64([]byte(story(3)))+"\r\n"+footer)},
		{"footer behind the closing delimiter", append(mixed(typed("application/pdf", "a.pdf", []byte(pdf))), footer...)},
		{"footer behind HTML", letter("Content-Type: text/html", page("")+"<pre>"+footer+"</pre>")},
		{"digest", letter(`Content-Type: multipart/digest; boundary="dig"`, multipart("dig", "\r\n"+string(letter("Content-Type: text/plain", story(1))), "\r\n"+string(mixed(typed("image/png", "a.png", pngOf(5, 5))))))},
		{"digest in a text", letter("Content-Type: text/plain", "Today's topics:\r\n\r\n----------------------------------------------------------------------\r\n\r\nMessage: 1\r\nFrom: a@example.com\r\nSubject: one\r\nContent-Type: text/plain\r\n\r\n"+story(2)+"\r\n------------------------------\r\n\r\nEnd of digest\r\n")},
		{"list's fields", letter("List-Id: <list.example.com>\nList-Unsubscribe: <mailto:a@example.com>, <https://example.com/u?"+strings.Repeat("x", 300)+">\nPrecedence: bulk\nContent-Type: text/plain", story(2))},
		{"preamble for old programs", letter(mixedType, "This is a multi-part message in MIME format.\r\n\r\n"+multipart(outer, hello, typed("application/pdf", "a.pdf", []byte(pdf))))},
	}
}

// wildBroken is what broken senders write, and everybody reads.
func wildBroken() []Letter {
	pdfPart := typed("application/pdf", "a.pdf", []byte(pdf))
	return []Letter{
		{"closing delimiter missing", letter(mixedType, strings.TrimSuffix(multipart(outer, hello, pdfPart), "--"+outer+"--\r\n"))},
		{"CTE twice, alike", mixed(entity("Content-Type: application/pdf\nContent-Transfer-Encoding: base64\nContent-Transfer-Encoding: base64", b64([]byte(pdf))))},
		{"type twice, alike", letter(mixedType+"\n"+mixedType, multipart(outer, hello, pdfPart))},
		{"base64 on the multipart", letter(mixedType+"\nContent-Transfer-Encoding: base64", multipart(outer, hello, pdfPart))},
		{"LF only", ends(mixed(pdfPart), "\n")},
		{"mixed line ends", bytes.Replace(mixed(pdfPart), []byte("\r\nSubject"), []byte("\nSubject"), 1)},
		{"From line first", append([]byte("From taro@example.com Mon Oct 20 10:15:00 2025\r\n"), mixed(pdfPart)...)},
		{"boundary of odd characters", letter(`Content-Type: multipart/mixed; boundary="----=_NextPart_000_'()+_,-./:=?"`, multipart(`----=_NextPart_000_'()+_,-./:=?`, hello, pdfPart))},
		{"boundary begins with another", letter("Content-Type: multipart/mixed; boundary=b1", multipart("b1", entity("Content-Type: multipart/alternative; boundary=b1_alt", multipart("b1_alt", hello, entity("Content-Type: text/html", page("")))), pdfPart))},
		{"boundary not in quotes with =", letter("Content-Type: multipart/mixed; boundary==_kiyome_1", multipart(outer, hello, pdfPart))},
		{"no blank after the colons", letter("Content-Type:text/plain;charset=us-ascii\nContent-Transfer-Encoding:7bit", story(2))},
		{"encoding 8bits", letter("Content-Type: text/plain\nContent-Transfer-Encoding: 8bits", story(2))},
		{"encoding is a charset", letter("Content-Type: text/plain\nContent-Transfer-Encoding: utf-8", story(2))},
		{"type text", letter("Content-Type: text", story(2))},
		{"type empty", letter("Content-Type:", story(2))},
		{"8-bit header", bytes.Replace(letter("Content-Type: text/plain", story(2)), []byte("Invoice"), []byte("\x90\xbf\x8b\x81\x8f\x91"), 1)},
		{"field of 4000 characters", letter("References: "+strings.TrimSpace(strings.Repeat("<20251020101500.1@example.com> ", 130))+"\nContent-Type: text/plain", story(2))},
		{"two hundred Received fields", append([]byte(crlf(strings.Repeat("Received: from a.example.com by b.example.com with ESMTP id 1; Mon, 20 Oct 2025 10:15:00 +0900\n", 200))), mixed(pdfPart)...)},
		{"only a header of an attachment", letter("Content-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64", b64([]byte(pdf)))},
	}
}

// wildReports is what programs send.
func wildReports() []Letter {
	status := entity("Content-Type: message/delivery-status", "Reporting-MTA: dns; mx.example.com\r\n\r\nFinal-Recipient: rfc822; a@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 unknown\r\n")
	report := func(kind string, parts ...string) []byte {
		return letter(`Content-Type: multipart/report; report-type=`+kind+`; boundary="`+outer+`"`, multipart(outer, append([]string{hello}, parts...)...))
	}
	event := "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:1@example.com\r\nDTSTART:20251020T010000Z\r\nSUMMARY:Meeting\r\nDESCRIPTION:" + strings.Repeat("long text\\n ", 30) + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
	card := "BEGIN:VCARD\r\nVERSION:3.0\r\nN:Yamada;Taro\r\nPHOTO;ENCODING=b;TYPE=PNG:" + pieces(line64(pngOf(30, 30)), 74, "\r\n ") + "\r\nEND:VCARD\r\n"
	return []Letter{
		{"delivery report with the message", report("delivery-status", status, entity("Content-Type: message/rfc822", string(mixed(typed("application/pdf", "a.pdf", []byte(pdf))))))},
		{"delivery report with the header", report("delivery-status", status, entity("Content-Type: text/rfc822-headers", crlf(head)))},
		{"delivery report in a text", letter("Content-Type: text/plain", "Hi. This is the mail system. I could not deliver your message.\r\n\r\n--- Below this line is a copy of the message.\r\n\r\n"+string(letter("Content-Type: text/plain", story(2))))},
		{"read receipt", report("disposition-notification", entity("Content-Type: message/disposition-notification", "Final-Recipient: rfc822;a@example.com\r\nDisposition: manual-action/MDN-sent-manually; displayed\r\n"))},
		{"DMARC report", mixed(typed("application/zip", "example.com!example.jp!1760918400!1761004800.zip", zipOf("a.xml", []byte("<?xml version=\"1.0\"?><feedback><report_metadata/></feedback>"))))},
		{"invitation", letter(`Content-Type: multipart/alternative; boundary="`+outer+`"`, multipart(outer, hello, entity("Content-Type: text/calendar; charset=utf-8; method=REQUEST\nContent-Transfer-Encoding: base64", b64([]byte(event)))))},
		{"visiting card", mixed(entity("Content-Type: text/x-vcard; charset=utf-8; name=taro.vcf", card))},
		{"fax", mixed(typed("image/tiff", "fax.tif", append([]byte("II*\x00"), noise(3000)...)))},
		{"voice mail", mixed(typed("audio/x-wav", "voice.wav", append([]byte("RIFF\x24\x08\x00\x00WAVEfmt "), noise(3000)...)))},
		{"cron", letter("Content-Type: text/plain; charset=UTF-8\nX-Cron-Env: <SHELL=/bin/sh>", "/etc/cron.daily/logrotate:\r\nerror: skipping\r\n")},
	}
}

// wildSigned is mail that is signed or encrypted; of the latter nothing can be read.
func wildSigned() []Letter {
	signature := armour("SIGNATURE", packet(pgpSignature, noise(300)))
	return []Letter{
		{"PGP/MIME signed", letter(`Content-Type: multipart/signed; micalg=pgp-sha256; protocol="application/pgp-signature"; boundary="`+outer+`"`, multipart(outer, hello, entity("Content-Type: application/pgp-signature; name=signature.asc", signature)))},
		{"PGP in the text, signed", letter("Content-Type: text/plain", "-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\r\n\r\n"+story(2)+"- -- \r\nTaro\r\n"+signature)},
		{"PGP key attached", mixed(typed("application/pgp-keys", "key.asc", []byte(armour("PUBLIC KEY BLOCK", packet(6, noise(500))))))},
		{"PGP/MIME encrypted", letter(`Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="`+outer+`"`, multipart(outer, entity("Content-Type: application/pgp-encrypted", "Version: 1\r\n"), entity("Content-Type: application/octet-stream; name=encrypted.asc", armour("MESSAGE", slicesJoin(packet(1, noise(260)), packet(18, noise(900)))))))},
		{"S/MIME signed", letter(`Content-Type: multipart/signed; micalg=sha-256; protocol="application/pkcs7-signature"; boundary="`+outer+`"`, multipart(outer, hello, typed("application/pkcs7-signature", "smime.p7s", signed(der, nil))))},
		{"S/MIME opaque", p7m(signed(ber, ber(tagOctets|constructed, octets([]byte(hello), 50)...)))},
		{"DKIM", append([]byte(crlf("DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=a; h=from:to:subject;\n bh="+line64(noise(32))+";\n b="+pieces(line64(noise(256)), 70, "\n  ")+"\nARC-Seal: i=1; a=rsa-sha256; b="+line64(noise(128))+"\n")), mixed(typed("application/pdf", "a.pdf", []byte(pdf)))...)},
		{"zip with a password that is not told", mixed(attach("a.zip", zipped(Clean().locked("not told to anybody"))))},
	}
}

// wildOffice is what offices send to each other.
func wildOffice() []Letter {
	document := zipped(entry("[Content_Types].xml", zipDeflated, []byte(`<?xml version="1.0"?><Types/>`)), entry("word/document.xml", zipDeflated, []byte("<w:document>"+strings.Repeat("<w:p/>", 500)+"</w:document>")), entry("word/media/image1.png", zipStored, pngOf(20, 20)))
	deep := letter("Content-Type: text/plain", story(1))
	for range 5 {
		deep = mixed(entity("Content-Type: message/rfc822", string(deep)))
	}
	return []Letter{
		{"document", mixed(typed("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "letter.docx", document))},
		{"forwarded as attachments, five deep", deep},
		{"forwarded in base64", mixed(entity("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64", b64(letter("Content-Type: text/plain", story(2)))))},
		{"an .eml attached", mixed(typed("application/octet-stream", "letter.eml", mixed(typed("image/png", "a.png", pngOf(5, 5)))))},
		{"all three kinds of multipart", letter(mixedType, multipart(outer, entity("Content-Type: multipart/related; boundary=rel", multipart("rel", entity("Content-Type: multipart/alternative; boundary=alt", multipart("alt", hello, entity("Content-Type: text/html", page(`<img src="cid:a">`)))), entity("Content-Type: image/png\nContent-ID: <a>\nContent-Transfer-Encoding: base64", b64(pngOf(9, 9))))), typed("application/pdf", "a.pdf", []byte(pdf))))},
		{"web page saved", mixed(typed("multipart/related", "page.mht", []byte("From: <Saved>\r\nMIME-Version: 1.0\r\n"+entity("Content-Type: multipart/related; boundary=p", multipart("p", entity("Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable", strings.ReplaceAll(page(""), "=", "=3D")))))))},
		{"disclaimer in both texts", letter(`Content-Type: multipart/alternative; boundary=alt`, multipart("alt", entity("Content-Type: text/plain", story(1)+strings.Repeat("This message is confidential. ", 30)+"\r\n"), entity("Content-Type: text/html", page("<small>"+strings.Repeat("This message is confidential. ", 30)+"</small>"))))},
	}
}
