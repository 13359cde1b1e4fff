package evasion

import (
	"fmt"
	"strings"
)

// page is a web page with something in its body.
func page(body string) string {
	return "<!DOCTYPE html>\r\n<html><head><title>Invoice</title></head>\r\n<body><p>Hello.</p>\r\n" + body + "\r\n</body></html>\r\n"
}

// percents writes every byte as a URL may.
func percents(content []byte) string { return each(content, "%%%02X") }

func each(content []byte, format string) string {
	var b strings.Builder
	for _, c := range content {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

// lines of a string constant: pieces of n characters with glue between.
func pieces(s string, n int, glue string) string {
	return strings.ReplaceAll(strings.TrimSuffix(wrap(s, n), "\r\n"), "\r\n", glue)
}

const data64 = "data:application/octet-stream;base64,"

// htmlRows are files in web pages: as data: URLs (RFC 2397), which browsers save as
// a file at a click, and from scripts, which run when the attached page is opened
// ("HTML smuggling").
var htmlRows = []struct {
	level, name string
	write       func(p Payload) string
}{
	{Core, "link", func(p Payload) string {
		return `<a href="` + data64 + line64(p.Content) + `" download="a.exe">here</a>`
	}},
	{Core, "link without quotes", func(p Payload) string { return `<a download href=` + data64 + line64(p.Content) + `>here</a>` }},
	{Core, "link in single quotes", func(p Payload) string { return `<a href='` + data64 + line64(p.Content) + `'>here</a>` }},
	{Core, "link, percent", func(p Payload) string {
		return `<a href="data:application/octet-stream,` + percents(p.Content) + `">here</a>`
	}},
	{Core, "link, percent in lower case", func(p Payload) string {
		return `<a href="data:application/octet-stream,` + each(p.Content, "%%%02x") + `">here</a>`
	}},
	{Core, "link, base64 with percent", func(p Payload) string {
		return `<a href="` + data64 + percents([]byte(line64(p.Content))) + `">here</a>`
	}},
	{Core, "link, no type", func(p Payload) string { return `<a href="data:;base64,` + line64(p.Content) + `">here</a>` }},
	{Core, "link, a charset", func(p Payload) string {
		return `<a href="data:text/plain;charset=utf-8;base64,` + line64(p.Content) + `">here</a>`
	}},
	{Core, "link, upper case", func(p Payload) string {
		return `<A HREF="DATA:APPLICATION/ZIP;BASE64,` + line64(p.Content) + `">here</A>`
	}},
	{Core, "link, blanks and lines", func(p Payload) string {
		return "<a href=\"\r\n data:application/zip;base64,\r\n" + b64(p.Content) + "\">here</a>"
	}},
	{Core, "link, no padding", func(p Payload) string {
		return `<a href="` + data64 + strings.TrimRight(line64(p.Content), "=") + `">here</a>`
	}},
	{Edge, "link, blanks around base64", func(p Payload) string {
		return `<a href="data:application/zip; base64 ,` + line64(p.Content) + `">here</a>`
	}},
	{Core, "link, entities in the scheme", func(p Payload) string {
		return `<a href="&#100;&#x61;ta&colon;application/zip;base64,` + line64(p.Content) + `">here</a>`
	}},
	{Core, "link, all in entities", func(p Payload) string {
		return `<a href="` + each([]byte(data64+line64(p.Content)), "&#%d;") + `">here</a>`
	}},
	{Core, "link, all in hexadecimal entities", func(p Payload) string {
		return `<a href="` + each([]byte(data64+line64(p.Content)), "&#x%x;") + `">here</a>`
	}},
	{Edge, "link, entities without semicolons and with zeros", func(p Payload) string {
		return `<a href="` + each([]byte(data64), "&#%07d") + line64(p.Content) + `">here</a>`
	}},
	{Edge, "link, tab entities between", func(p Payload) string {
		return `<a href="` + data64 + pieces(line64(p.Content), 10, "&Tab;&NewLine;") + `">here</a>`
	}},
	{Core, "image", func(p Payload) string { return `<img src="data:image/png;base64,` + line64(p.Content) + `">` }},
	{Core, "frame", func(p Payload) string {
		return `<iframe src="data:text/html;base64,` + line64(p.Content) + `"></iframe>`
	}},
	{Core, "object", func(p Payload) string { return `<object data="` + data64 + line64(p.Content) + `"></object>` }},
	{Core, "embed", func(p Payload) string { return `<embed src="` + data64 + line64(p.Content) + `">` }},
	{Core, "style", func(p Payload) string {
		return `<style>p { background: url(` + data64 + line64(p.Content) + `) }</style>`
	}},
	{Edge, "style with escapes", func(p Payload) string {
		return `<style>p { background: url(\64 ata:image/png;base64,` + line64(p.Content) + `) }</style>`
	}},
	{Core, "refresh", func(p Payload) string {
		return `<meta http-equiv="refresh" content="0;url=` + data64 + line64(p.Content) + `">`
	}},
	{Core, "a page within srcdoc", func(p Payload) string {
		return `<iframe srcdoc="&lt;a href=&quot;` + data64 + line64(p.Content) + `&quot;&gt;here&lt;/a&gt;"></iframe>`
	}},
	{Core, "a page within a link", func(p Payload) string {
		return `<a href="data:text/html;base64,` + line64([]byte(page(`<a href="`+data64+line64(p.Content)+`">here</a>`))) + `">here</a>`
	}},
	{Core, "a page within a link, percent in base64", func(p Payload) string {
		return `<iframe src="data:text/html;base64,` + line64([]byte(page(`<a href="data:,`+percents(p.Content)+`">here</a>`))) + `"></iframe>`
	}},
	{Core, "SVG image", func(p Payload) string {
		return `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"><image xlink:href="data:image/png;base64,` + line64(p.Content) + `"/></svg>`
	}},
	{Core, "SVG in base64 with an image in it", func(p Payload) string {
		return `<img src="data:image/svg+xml;base64,` + line64([]byte(`<svg xmlns="http://www.w3.org/2000/svg"><a href="`+data64+line64(p.Content)+`"/></svg>`)) + `">`
	}},
	{Core, "SVG with a script", func(p Payload) string {
		return `<svg><script><![CDATA[ save(atob("` + line64(p.Content) + `")) ]]></script></svg>`
	}},
	{Edge, "an attribute that scripts read", func(p Payload) string {
		return `<div data-file="` + line64(p.Content) + `"></div><script>save(atob(document.querySelector("div").dataset.file))</script>`
	}},
	{Edge, "a hidden field", func(p Payload) string {
		return `<input type=hidden id=f value="` + line64(p.Content) + `"><script>save(atob(f.value))</script>`
	}},
	{Edge, "a text area with lines", func(p Payload) string {
		return "<textarea hidden id=f>\r\n" + b64(p.Content) + "</textarea><script>save(atob(f.value))</script>"
	}},
	{Edge, "a comment", func(p Payload) string {
		return "<!-- " + line64(p.Content) + " --><script>save(atob(document.childNodes[0]))</script>"
	}},
	{Core, "script, base64", func(p Payload) string { return `<script>save(atob("` + line64(p.Content) + `"))</script>` }},
	{Core, "script, base64 in single quotes", func(p Payload) string { return `<script>save(atob('` + line64(p.Content) + `'))</script>` }},
	{Core, "script, base64 in backquotes and lines", func(p Payload) string { return "<script>save(atob(`\r\n" + b64(p.Content) + "`))</script>" }},
	{Hard, "script, base64 in pieces", func(p Payload) string {
		return `<script>save(atob("` + pieces(line64(p.Content), 16, `" + "`) + `"))</script>`
	}},
	{Hard, "script, base64 in pieces on lines", func(p Payload) string {
		return "<script>save(atob('" + pieces(line64(p.Content), 16, "' +\r\n      '") + "'))</script>"
	}},
	{Hard, "script, base64 in a list of pieces", func(p Payload) string {
		return `<script>save(atob(["` + pieces(line64(p.Content), 12, `","`) + `"].join("")))</script>`
	}},
	{Hard, "script, base64 added to a variable", func(p Payload) string {
		return "<script>var f = \"" + pieces(line64(p.Content), 20, "\";\r\nf += \"") + "\";\r\nsave(atob(f))</script>"
	}},
	{Hard, "script, base64 with line continuations", func(p Payload) string {
		return "<script>save(atob(\"" + pieces(line64(p.Content), 20, "\\\r\n") + "\"))</script>"
	}},
	{Hard, "script, base64 with junk taken out", func(p Payload) string {
		return `<script>save(atob("` + pieces(line64(p.Content), 5, "#") + `".replace(/#/g, "")))</script>`
	}},
	{Hard, "script, base64 backwards", func(p Payload) string {
		return `<script>save(atob("` + reversed(line64(p.Content)) + `".split("").reverse().join("")))</script>`
	}},
	{Hard, "script, base64 twice", func(p Payload) string {
		return `<script>save(atob(atob("` + line64([]byte(line64(p.Content))) + `")))</script>`
	}},
	{Core, "script, list of numbers", func(p Payload) string {
		return `<script>save(new Uint8Array([` + strings.TrimSuffix(each(p.Content, "%d, "), ", ") + `]))</script>`
	}},
	{Core, "script, list of numbers without blanks", func(p Payload) string {
		return `<script>save(new Uint8Array([` + strings.TrimSuffix(each(p.Content, "%d,"), ",") + `]))</script>`
	}},
	{Core, "script, list of hexadecimal numbers", func(p Payload) string {
		return `<script>save(new Uint8Array([` + strings.TrimSuffix(each(p.Content, "0x%02x,"), ",") + `]))</script>`
	}},
	{Core, "script, character codes", func(p Payload) string {
		return `<script>save(String.fromCharCode(` + strings.TrimSuffix(each(p.Content, "%d,"), ",") + `))</script>`
	}},
	{Hard, "script, a call for each character", func(p Payload) string {
		return `<script>save(` + strings.TrimSuffix(each(p.Content, "String.fromCharCode(%d)+"), "+") + `)</script>`
	}},
	{Core, "script, \\x", func(p Payload) string { return `<script>save("` + each(p.Content, `\x%02x`) + `")</script>` }},
	{Core, "script, \\u", func(p Payload) string { return `<script>save("` + each(p.Content, `\u%04X`) + `")</script>` }},
	{Core, "script, \\u{}", func(p Payload) string { return `<script>save("` + each(p.Content, `\u{%x}`) + `")</script>` }},
	{Core, "script, octal", func(p Payload) string { return `<script>save("` + each(p.Content, `\%03o`) + `")</script>` }},
	{Core, "script, unescape", func(p Payload) string {
		return `<script>document.write(unescape("` + percents(p.Content) + `"))</script>`
	}},
	{Hard, "script, unescape %u", func(p Payload) string { return `<script>save(unescape("` + each(p.Content, "%%u%04x") + `"))</script>` }},
	{Core, "script, hexadecimal digits", func(p Payload) string { return `<script>save(unhex("` + each(p.Content, "%02x") + `"))</script>` }},
	{Edge, "script, hexadecimal digits with blanks", func(p Payload) string { return `<script>save(unhex("` + each(p.Content, "%02X ") + `"))</script>` }},
	{Hard, "script, XOR", func(p Payload) string {
		b := append([]byte(nil), p.Content...)
		for i := range b {
			b[i] ^= 0x5a
		}
		return `<script>save([...atob("` + line64(b) + `")].map(c => c.charCodeAt(0) ^ 0x5a))</script>`
	}},
	{Edge, "script, a page written by unescape with a link in it", func(p Payload) string {
		return `<script>document.write(unescape("` + percents([]byte(`<a href="`+data64+line64(p.Content)+`">here</a>`)) + `"))</script>`
	}},
	{Core, "an event's script", func(p Payload) string { return `<body onload="save(atob('` + line64(p.Content) + `'))">` }},
	{Core, "javascript: link", func(p Payload) string { return `<a href="javascript:save(atob('` + line64(p.Content) + `'))">here</a>` }},
}

// htmls is about pages as bodies and as attachments.
func htmls() []Case {
	f := family{name: "HTML"}
	for _, r := range htmlRows {
		f.add(r.level, r.name, func(p Payload) []byte { return mixed(attach("invoice.html", []byte(page(r.write(p))))) })
	}
	link := htmlRows[0].write
	f.add(Core, "the body, a link", func(p Payload) []byte { return letter("Content-Type: text/html; charset=utf-8", page(link(p))) })
	f.add(Core, "the body in quoted-printable, a link", func(p Payload) []byte {
		return letter("Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable", qp([]byte(page(link(p)))))
	})
	f.add(Core, "the body in base64, a script", func(p Payload) []byte {
		return letter("Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64", b64([]byte(page(`<script>save(atob("`+line64(p.Content)+`"))</script>`))))
	})
	f.add(Edge, "UTF-16", func(p Payload) []byte { return mixed(attach("invoice.html", utf16le(page(link(p))))) })
	f.add(Edge, "UTF-16 without a mark", func(p Payload) []byte { return mixed(attach("invoice.html", utf16le(page(link(p)))[2:])) })
	f.add(Edge, "behind junk", func(p Payload) []byte {
		return mixed(attach("invoice.html", append([]byte(strings.Repeat("\r\n \t", 3000)), page(link(p))...)))
	})
	f.add(Edge, "no HTML around it", func(p Payload) []byte { return mixed(attach("invoice.htm", []byte(link(p)))) })
	f.add(Edge, "NULs between", func(p Payload) []byte {
		return mixed(attach("invoice.htm", []byte(strings.ReplaceAll(page(link(p)), "<", "\x00<"))))
	})
	f.add(Core, "SVG file", func(p Payload) []byte {
		return mixed(entity("Content-Type: image/svg+xml; name=a.svg\nContent-Transfer-Encoding: base64", b64([]byte(`<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><a href="`+data64+line64(p.Content)+`"/></svg>`))))
	})
	f.add(Core, "script file", func(p Payload) []byte { return mixed(attach("a.js", []byte(`save(atob("`+line64(p.Content)+`"));`))) })
	f.add(Hard, "script file, pieces", func(p Payload) []byte {
		return mixed(attach("a.js", []byte("var f = \"\";\nf += \""+pieces(line64(p.Content), 24, "\";\nf += \"")+"\";\n")))
	})
	f.add(Core, "XML with base64", func(p Payload) []byte {
		return mixed(attach("a.xml", []byte(`<?xml version="1.0"?><file name="a.exe"><content>`+b64(p.Content)+`</content></file>`)))
	})
	f.add(Hard, "VBScript, pieces", func(p Payload) []byte {
		return mixed(attach("a.vbs", []byte("f = \""+pieces(line64(p.Content), 24, "\" & _\r\n    \"")+"\"\r\n")))
	})
	f.addText(Hard, "PowerShell, encoded command", func(p Payload) []byte {
		return mixed(attach("a.bat", []byte("powershell -e "+line64(utf16le(string(p.Content))[2:])+"\r\n")))
	})
	f.add(Core, "certutil file", func(p Payload) []byte {
		return mixed(attach("a.bat", []byte("-----BEGIN CERTIFICATE-----\r\n"+b64(p.Content)+"-----END CERTIFICATE-----\r\n")))
	})
	f.add(Edge, "calendar with an attachment", func(p Payload) []byte {
		return mixed(entity("Content-Type: text/calendar; charset=utf-8", "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nATTACH;FMTTYPE=application/octet-stream;ENCODING=BASE64;VALUE=BINARY:\r\n "+pieces(line64(p.Content), 70, "\r\n ")+"\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"))
	})
	f.add(Edge, "visiting card with a picture", func(p Payload) []byte {
		return mixed(entity("Content-Type: text/x-vcard; charset=utf-8", "BEGIN:VCARD\r\nVERSION:2.1\r\nN:Yamada\r\nPHOTO;ENCODING=BASE64;TYPE=JPEG:"+pieces(line64(p.Content), 70, "\r\n ")+"\r\n\r\nEND:VCARD\r\n"))
	})
	f.add(Edge, "visiting card in quoted-printable", func(p Payload) []byte {
		return mixed(entity("Content-Type: text/x-vcard; charset=utf-8", "BEGIN:VCARD\r\nVERSION:2.1\r\nN:Yamada\r\nNOTE;ENCODING=QUOTED-PRINTABLE:"+qp(p.Content)+"END:VCARD\r\n"))
	})
	return f.cases
}
