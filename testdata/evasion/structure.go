package evasion

import "strings"

// delimiterRows are ways to write the delimiter before the attachment. RFC 2046,
// section 5.1.1 allows blanks behind it, and nothing else; section 5.1.2 has a
// reader compare its beginning only, which most did for years.
var delimiterRows = []struct{ level, name, line string }{
	{Core, "blank behind", "--" + outer + " \r\n"},
	{Core, "tab behind", "--" + outer + "\t\r\n"},
	{Core, "many blanks behind", "--" + outer + strings.Repeat(" ", 200) + "\r\n"},
	{Edge, "vertical tab behind", "--" + outer + "\v\r\n"},
	{Edge, "form feed behind", "--" + outer + "\f\r\n"},
	{Edge, "NUL behind", "--" + outer + "\x00\r\n"},
	{Edge, "letter behind", "--" + outer + "x\r\n"},
	{Edge, "word behind", "--" + outer + " x\r\n"},
	{Edge, "one dash behind", "--" + outer + "-\r\n"},
	{Edge, "comment behind", "--" + outer + " (x)\r\n"},
	{Edge, "semicolon behind", "--" + outer + ";\r\n"},
	{Edge, "three dashes", "---" + outer + "\r\n"},
	{Edge, "one dash", "-" + outer + "\r\n"},
	{Edge, "no dash", outer + "\r\n"},
	{Edge, "blank before", " --" + outer + "\r\n"},
	{Edge, "tab before", "\t--" + outer + "\r\n"},
	{Edge, "blank within", "-- " + outer + "\r\n"},
	{Edge, "quoted", "> --" + outer + "\r\n"},
	{Edge, "in quotes", "--\"" + outer + "\"\r\n"},
	{Edge, "upper case", "--" + strings.ToUpper(outer) + "\r\n"},
	{Edge, "bare CR behind", "--" + outer + "\r"},
	{Edge, "bare LF behind", "--" + outer + "\n"},
	{Edge, "CR CR LF behind", "--" + outer + "\r\r\n"},
	{Edge, "header straight behind", "--" + outer + " "},
	{Edge, "twice", "--" + outer + "\r\n--" + outer + "\r\n"},
	{Edge, "as a closing one", "--" + outer + "--\r\n"},
	{Edge, "as a closing one with a letter", "--" + outer + "--x\r\n"},
	{Edge, "as a closing one with a blank", "--" + outer + " --\r\n"},
	{Edge, "as a closing one, twice", "--" + outer + "--\r\n--" + outer + "--\r\n"},
	{Core, "behind a closing one", "--" + outer + "--\r\n\r\n--" + outer + "\r\n"},
	{Edge, "an empty line behind", "--" + outer + "\r\n\r\n"},
	{Edge, "an empty line and blanks behind", "--" + outer + "\r\n  \r\n"},
	{Edge, "soft line break behind", "--" + outer + "=\r\n"},
	{Edge, "backspace within", "--=_kiyomm\be_1\r\n"},
}

// structure is about delimiters that are missing, too many, or in the wrong place.
// Nearly all readers show the parts of a multipart that nobody closed; those behind
// its end are shown by Outlook and by what looks for delimiters to the end of the
// message (ripmime, uudeview); where none is found, some guess by what a line looks
// like (RFC 7103, section 7.6).
func structure() []Case {
	f := family{name: "structure"}
	closing := "--" + outer + "--\r\n"
	for _, r := range delimiterRows {
		f.add(r.level, "delimiter, "+r.name, func(p Payload) []byte {
			return letter(mixedType, "--"+outer+"\r\n"+hello+r.line+p.attached()+closing)
		})
	}
	f.add(Core, "no closing delimiter", func(p Payload) []byte {
		return letter(mixedType, strings.TrimSuffix(multipart(outer, hello, p.attached()), closing))
	})
	f.add(Core, "no closing delimiter and no line end", func(p Payload) []byte {
		return letter(mixedType, strings.TrimSuffix(multipart(outer, hello, p.attached()), "\r\n"+closing))
	})
	f.add(Core, "half a closing delimiter", func(p Payload) []byte {
		return letter(mixedType, strings.TrimSuffix(multipart(outer, hello, p.attached()), "-\r\n"))
	})
	f.add(Edge, "the first delimiter missing", func(p Payload) []byte {
		return letter(mixedType, strings.TrimPrefix(multipart(outer, p.attached()), "--"+outer+"\r\n"))
	})
	f.add(Edge, "no delimiter at all", func(p Payload) []byte { return letter(mixedType, p.attached()) })
	f.add(Edge, "no delimiter between the parts", func(p Payload) []byte {
		return letter(mixedType, "--"+outer+"\r\n"+hello+"\r\n"+p.attached()+closing)
	})
	f.add(Edge, "a part in the preamble", func(p Payload) []byte { return letter(mixedType, p.attached()+multipart(outer, hello)) })
	f.add(Edge, "a part in the epilogue", func(p Payload) []byte { return letter(mixedType, multipart(outer, hello)+p.attached()) })
	f.add(Edge, "a divided part in the epilogue", func(p Payload) []byte {
		return letter(mixedType, multipart(outer, hello)+"--"+outer+"\r\n"+p.attached()+closing)
	})
	f.add(Edge, "a second multipart in the epilogue", func(p Payload) []byte {
		return letter(mixedType, multipart(outer, hello)+multipart("second", p.attached()))
	})
	f.add(Edge, "a second message in the epilogue", func(p Payload) []byte {
		return letter(mixedType, multipart(outer, hello)+string(mixed(p.attached())))
	})
	f.add(Edge, "base64 in the epilogue", func(p Payload) []byte { return letter(mixedType, multipart(outer, hello)+"\r\n"+b64(p.Content)) })
	f.add(Core, "uuencoded in the preamble", func(p Payload) []byte { return letter(mixedType, p.uu()+multipart(outer, hello)) })
	f.add(Core, "uuencoded in the epilogue", func(p Payload) []byte { return letter(mixedType, multipart(outer, hello)+p.uu()) })
	f.add(Core, "text parts only, uuencoded in the second", func(p Payload) []byte { return mixed(entity("", p.uu())) })
	f.add(Edge, "a part without header and empty line", func(p Payload) []byte { return mixed(p.uu()) })
	f.add(Edge, "the blank line before base64 missing", func(p Payload) []byte {
		return letter(mixedType, "--"+outer+"\r\n"+hello+"--"+outer+"\r\n"+crlf(p.encoded("base64"))+"\r\n"+b64(p.Content)+closing)
	})
	f.innerMultiparts()
	f.oddContent()
	return f.cases
}

// inner writes a multipart with a boundary as a part.
func inner(boundary, body string) string {
	return entity("Content-Type: multipart/mixed; boundary=\""+boundary+"\"", body)
}

// innerMultiparts is about boundaries in each other, which mail programs keep on a
// stack, or not.
func (f *family) innerMultiparts() {
	first, next, end := "--"+outer+"\r\n", "\r\n--"+outer+"\r\n", "--"+outer+"--\r\n"
	body := func(p Payload) string { return multipart("in", hello, p.attached()) }
	f.add(Core, "inner multipart", func(p Payload) []byte { return mixed(inner("in", body(p))) })
	f.add(Core, "inner multipart not closed", func(p Payload) []byte {
		return mixed(inner("in", strings.TrimSuffix(body(p), "--in--\r\n")))
	})
	f.add(Core, "inner multipart closed, outer one not", func(p Payload) []byte {
		return letter(mixedType, first+inner("in", body(p)))
	})
	f.add(Core, "the payload behind an inner multipart that is not closed", func(p Payload) []byte {
		return letter(mixedType, first+inner("in", "--in\r\n"+hello)+next+p.attached()+end)
	})
	f.add(Edge, "inner boundary is the outer one", func(p Payload) []byte {
		return letter(mixedType, first+inner(outer, multipart(outer, hello, p.attached())))
	})
	f.add(Edge, "inner boundary is the outer one, a decoy first", func(p Payload) []byte {
		return letter(mixedType, first+decoy+first+inner(outer, multipart(outer, hello, p.attached()))+end)
	})
	f.add(Edge, "inner boundary begins with the outer one", func(p Payload) []byte {
		b := outer + "x"
		return mixed(inner(b, multipart(b, hello, p.attached())))
	})
	f.add(Edge, "outer boundary begins with the inner one", func(p Payload) []byte {
		b := outer[:len(outer)-1]
		return mixed(inner(b, multipart(b, hello, p.attached())))
	})
	f.add(Edge, "inner boundary is the outer one and dashes", func(p Payload) []byte {
		b := outer + "--"
		return mixed(inner(b, multipart(b, hello, p.attached())))
	})
	f.add(Edge, "outer delimiter within the inner part's data", func(p Payload) []byte {
		return mixed(inner("in", "--in\r\n"+hello+"--in\r\n"+crlf(p.encoded("base64"))+"\r\n\r\n--"+outer+"\r\n"+b64(p.Content)+"--in--\r\n"))
	})
	f.add(Edge, "outer delimiter within the inner part's header", func(p Payload) []byte {
		return mixed(inner("in", "--in\r\n"+hello+"--in\r\n--"+outer+"\r\n"+p.attached()+"--in--\r\n"))
	})
	f.add(Edge, "outer closing delimiter before the inner part", func(p Payload) []byte {
		return letter(mixedType, first+inner("in", "--in\r\n"+hello+end+"--in\r\n"+p.attached()+"--in--\r\n")+end)
	})
	f.add(Edge, "outer closing delimiter in an inner text", func(p Payload) []byte {
		return letter(mixedType, first+inner("in", "--in\r\nContent-Type: text/plain\r\n\r\nHello.\r\n"+end+"Bye.\r\n--in\r\n"+p.attached()+"--in--\r\n")+end)
	})
	f.add(Edge, "delimiter of a multipart that was closed", func(p Payload) []byte {
		return mixed(inner("in", multipart("in", hello)), entity("Content-Type: text/plain", "--in\r\n"+p.attached()+"--in--\r\n"))
	})
	f.add(Edge, "delimiter of an outer one that is not around", func(p Payload) []byte {
		return mixed(entity("Content-Type: text/plain", "--never\r\n"+p.attached()+"--never--\r\n"))
	})
	f.add(Edge, "delimiter within a text part", func(p Payload) []byte {
		return letter("Content-Type: text/plain; boundary=in", body(p))
	})
	f.add(Edge, "inner multipart without boundary", func(p Payload) []byte {
		return mixed(entity("Content-Type: multipart/mixed", body(p)))
	})
	f.add(Edge, "inner multipart with the boundary in the outer field", func(p Payload) []byte {
		return letter(mixedType+"; x=in", multipart(outer, entity("Content-Type: multipart/mixed", body(p))))
	})
	f.add(Edge, "crossed delimiters", func(p Payload) []byte {
		return letter(mixedType, first+inner("in", "--in\r\n"+decoy+"--"+outer+"\r\n"+decoy+"--in\r\n"+p.attached()+"--"+outer+"--\r\n--in--\r\n"))
	})
	f.add(Edge, "inner multipart's header only", func(p Payload) []byte {
		return letter(mixedType, first+crlf("Content-Type: multipart/mixed; boundary=in")+"\r\n--in\r\n"+p.attached()+"--in--\r\n"+end)
	})
	f.add(Core, "alternative, in the part that is not shown", func(p Payload) []byte {
		return letter(`Content-Type: multipart/alternative; boundary="`+outer+`"`, multipart(outer, p.attached(), hello))
	})
	f.add(Core, "related, not referred to", func(p Payload) []byte {
		return letter(`Content-Type: multipart/related; boundary="`+outer+`"`, multipart(outer, entity("Content-Type: text/html", "<p>Hello."), p.attached()))
	})
	f.add(Core, "signed, in the place of the signature", func(p Payload) []byte {
		return letter(`Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary="`+outer+`"`, multipart(outer, hello, entity("Content-Type: application/pgp-signature\nContent-Transfer-Encoding: base64", b64(p.Content))))
	})
	f.add(Core, "encrypted, in the place of the version", func(p Payload) []byte {
		return letter(`Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="`+outer+`"`, multipart(outer, entity("Content-Type: application/pgp-encrypted\nContent-Transfer-Encoding: base64", b64(p.Content)), hello))
	})
	f.add(Core, "AppleDouble, in the resource fork", func(p Payload) []byte {
		return mixed(entity("Content-Type: multipart/appledouble; boundary=in", multipart("in", entity("Content-Type: application/applefile\nContent-Transfer-Encoding: base64", b64(appleDouble(p.Content))), hello)))
	})
}

// oddContent is about parts whose disposition and identity mislead.
func (f *family) oddContent() {
	for _, r := range []fieldRow{
		{Core, "inline", "Content-Disposition: inline"},
		{Core, "with a Content-ID", "Content-ID: <a@b>"},
		{Core, "with a length of nothing", "Content-Length: 0"},
		{Core, "with a range", "Content-Range: bytes 0-0/0"},
		{Core, "with a location", "Content-Location: http://example.com/a.png"},
		{Edge, "form-data", "Content-Disposition: form-data; name=a"},
		{Edge, "disposition twice", "Content-Disposition: inline\nContent-Disposition: attachment; filename=a.txt"},
		{Edge, "disposition unknown", "Content-Disposition: none"},
		{Core, "marked as checked", "X-Virus-Status: Clean\nX-Virus-Scanned: yes"},
		{Core, "marked as spam", "X-Spam-Flag: YES"},
	} {
		f.add(r.level, "part, "+r.name, func(p Payload) []byte {
			return mixed(entity("Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n"+r.fields, b64(p.Content)))
		})
	}
	f.add(Core, "message marked as checked", func(p Payload) []byte {
		return append([]byte("X-Virus-Status: Clean\r\n"), mixed(p.attached())...)
	})
	f.add(Core, "message with Lines and Content-Length", func(p Payload) []byte {
		return letter("Content-Length: 10\nLines: 1\n"+mixedType, multipart(outer, hello, p.attached()))
	})
}
