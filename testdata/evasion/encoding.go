package evasion

import (
	"bytes"
	"compress/gzip"
	"strings"
)

const encodingName = "Content-Transfer-Encoding"

// fieldRow is a technique that lies in the header of the attachment; what stands
// for the encoding is written here, the rest of the header around it.
type fieldRow struct{ level, name, fields string }

// encodings64 are attachments in base64, and what their headers say of it.
//
// Two fields: Thunderbird, Outlook and Apple Mail take the first, mutt the last.
// Two values in one field: Thunderbird and mutt take the first, others none. A
// misspelt value: what compares by prefix (libmime, ripmime, MIME-tools) or finds
// the word anywhere decodes it; RFC 7103, section 7.5 tells of such mail.
var encodings64 = []fieldRow{
	{Core, "base64, then 7bit", "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: 7bit"},
	{Core, "7bit, then base64", "Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64"},
	{Core, "base64, then 8bit", "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: 8bit"},
	{Core, "binary, then base64", "Content-Transfer-Encoding: binary\nContent-Transfer-Encoding: base64"},
	{Core, "base64, then quoted-printable", "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: quoted-printable"},
	{Core, "quoted-printable, then base64", "Content-Transfer-Encoding: quoted-printable\nContent-Transfer-Encoding: base64"},
	{Core, "base64 twice", "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: base64"},
	{Core, "base64 between two others", "Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\nContent-Transfer-Encoding: 8bit"},
	{Core, "base64 around another", "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64"},
	{Core, "base64, then x-uuencode", "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: x-uuencode"},
	{Core, "x-uuencode, then base64", "Content-Transfer-Encoding: x-uuencode\nContent-Transfer-Encoding: base64"},
	{Core, "base64, then nothing", "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding:"},
	{Core, "nothing, then base64", "Content-Transfer-Encoding:\nContent-Transfer-Encoding: base64"},
	{Core, "base64, then unknown", "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: x-none"},
	{Core, "unknown, then base64", "Content-Transfer-Encoding: x-none\nContent-Transfer-Encoding: base64"},
	{Edge, "far apart", "Content-Transfer-Encoding: 7bit\nX-A: a\nX-B: b\nX-C: c\nContent-Transfer-Encoding: base64"},
	{Edge, "twenty fields", strings.Repeat("Content-Transfer-Encoding: 7bit\n", 10) + "Content-Transfer-Encoding: base64\n" + strings.Repeat("Content-Transfer-Encoding: 8bit\n", 8) + "Content-Transfer-Encoding: binary"},

	{Core, "list, first", "Content-Transfer-Encoding: base64, 7bit"},
	{Core, "list, last", "Content-Transfer-Encoding: 7bit, base64"},
	{Core, "list with quoted-printable, first", "Content-Transfer-Encoding: base64, quoted-printable"},
	{Core, "list with quoted-printable, last", "Content-Transfer-Encoding: quoted-printable, base64"},
	{Core, "two words, first", "Content-Transfer-Encoding: base64 quoted-printable"},
	{Core, "two words, last", "Content-Transfer-Encoding: quoted-printable base64"},
	{Edge, "list by semicolon", "Content-Transfer-Encoding: base64; 7bit"},
	{Edge, "list by semicolon, last", "Content-Transfer-Encoding: 7bit; base64"},
	{Edge, "list by slash", "Content-Transfer-Encoding: 7bit/base64"},
	{Edge, "list without blank", "Content-Transfer-Encoding: 7bit,base64"},
	{Edge, "list over lines", "Content-Transfer-Encoding: 7bit,\n base64"},
	{Edge, "a parameter", "Content-Transfer-Encoding: base64; charset=utf-8"},
	{Edge, "a value of a parameter", "Content-Transfer-Encoding: encoding=base64"},

	{Core, "semicolon behind", "Content-Transfer-Encoding: base64;"},
	{Edge, "semicolon before", "Content-Transfer-Encoding: ;base64"},
	{Edge, "comma behind", "Content-Transfer-Encoding: base64,"},
	{Edge, "comma before", "Content-Transfer-Encoding: ,base64"},
	{Edge, "dot behind", "Content-Transfer-Encoding: base64."},
	{Edge, "colon behind", "Content-Transfer-Encoding: base64:"},
	{Edge, "two colons", "Content-Transfer-Encoding:: base64"},
	{Edge, "colon and blank and colon", "Content-Transfer-Encoding: : base64"},
	{Edge, "x- before", "Content-Transfer-Encoding: x-base64"},
	{Edge, "letter before", "Content-Transfer-Encoding: xbase64"},
	{Edge, "letter behind", "Content-Transfer-Encoding: base64x"},
	{Edge, "word before", "Content-Transfer-Encoding: x base64"},
	{Edge, "word behind", "Content-Transfer-Encoding: base64 x"},
	{Edge, "digit behind", "Content-Transfer-Encoding: base6464"},
	{Edge, "dash", "Content-Transfer-Encoding: base-64"},
	{Edge, "underscore", "Content-Transfer-Encoding: base_64"},
	{Edge, "blank within", "Content-Transfer-Encoding: base 64"},
	{Doubtful, "B", "Content-Transfer-Encoding: b"},
	{Doubtful, "b64", "Content-Transfer-Encoding: b64"},
	{Doubtful, "MIME-base64", "Content-Transfer-Encoding: MIME/base64"},

	{Edge, "in quotes", `Content-Transfer-Encoding: "base64"`},
	{Edge, "in single quotes", `Content-Transfer-Encoding: 'base64'`},
	{Edge, "half in quotes", `Content-Transfer-Encoding: "base"64`},
	{Edge, "quote open", `Content-Transfer-Encoding: "base64`},
	{Edge, "quote behind", `Content-Transfer-Encoding: base64"`},
	{Edge, "in brackets", `Content-Transfer-Encoding: <base64>`},
	{Edge, "in square brackets", `Content-Transfer-Encoding: [base64]`},
	{Edge, "backslash", `Content-Transfer-Encoding: base\64`},
	{Edge, "quoted pair in quotes", `Content-Transfer-Encoding: "b\ase64"`},
	{Core, "comment behind", "Content-Transfer-Encoding: base64 (ok)"},
	{Core, "comment before", "Content-Transfer-Encoding: (ok) base64"},
	{Core, "comment before, no blank", "Content-Transfer-Encoding: (ok)base64"},
	{Edge, "comment within", "Content-Transfer-Encoding: base(ok)64"},
	{Edge, "comment with another encoding", "Content-Transfer-Encoding: (7bit) base64 (8bit)"},
	{Core, "comment in a comment", "Content-Transfer-Encoding: (a (b) c) base64"},
	{Core, "comment with a quoted pair", `Content-Transfer-Encoding: (\)) base64`},
	{Edge, "comment folded", "Content-Transfer-Encoding: (a\n b) base64"},
	{Edge, "comment open", "Content-Transfer-Encoding: base64 (ok"},
	{Edge, "comment closed twice", "Content-Transfer-Encoding: base64 (ok))"},

	{Core, "folded", "Content-Transfer-Encoding:\n base64"},
	{Core, "folded, tab", "Content-Transfer-Encoding:\n\tbase64"},
	{Core, "folded twice", "Content-Transfer-Encoding:\n \n base64"},
	{Edge, "folded within", "Content-Transfer-Encoding: base\n 64"},
	{Edge, "folded behind", "Content-Transfer-Encoding: base64\n foo"},
	{Edge, "encoded word, Q", "Content-Transfer-Encoding: =?us-ascii?Q?base64?="},
	{Edge, "encoded word, B", "Content-Transfer-Encoding: =?us-ascii?B?YmFzZTY0?="},
	{Edge, "NUL behind", "Content-Transfer-Encoding: base64\x00"},
	{Edge, "NUL and word behind", "Content-Transfer-Encoding: base64\x007bit"},
	{Edge, "NUL before", "Content-Transfer-Encoding: \x00base64"},
	{Edge, "NUL within", "Content-Transfer-Encoding: base\x0064"},
	{Edge, "vertical tab before", "Content-Transfer-Encoding:\vbase64"},
	{Edge, "form feed before", "Content-Transfer-Encoding:\fbase64"},
	{Edge, "no-break space before", "Content-Transfer-Encoding: \xa0base64"},
	{Edge, "ideographic space before", "Content-Transfer-Encoding: \u3000base64"},
	{Edge, "full width", "Content-Transfer-Encoding: ｂａｓｅ６４"},
	{Edge, "CR before", "Content-Transfer-Encoding:\r base64"},
	{Edge, "CR behind", "Content-Transfer-Encoding: base64\r"},
	{Edge, "CR and word behind", "Content-Transfer-Encoding: base64\r7bit"},
	{Edge, "2000 blanks before", "Content-Transfer-Encoding:" + strings.Repeat(" ", 2000) + "base64"},
	{Edge, "2000 blanks and a comment behind", "Content-Transfer-Encoding: base64" + strings.Repeat(" ", 2000) + "(x)"},

	{Core, "upper case", "CONTENT-TRANSFER-ENCODING: BASE64"},
	{Core, "mixed case", "cONTENT-tRANSFER-eNCODING: bAsE64"},
	{Core, "no blank", "Content-Transfer-Encoding:base64"},
	{Core, "tab", "Content-Transfer-Encoding:\tbase64"},
	{Core, "blank before the colon", "Content-Transfer-Encoding : base64"},
	{Edge, "tab before the colon", "Content-Transfer-Encoding\t: base64"},
	{Edge, "blank before the name", " Content-Transfer-Encoding: base64"},
	{Edge, "vertical tab before the name", "\vContent-Transfer-Encoding: base64"},
	{Edge, "CR before the name", "\rContent-Transfer-Encoding: base64"},
	{Edge, "CR in the field before", "X-A: a\rContent-Transfer-Encoding: base64"},
	{Edge, "no colon", "Content-Transfer-Encoding base64"},
	{Edge, "semicolon for the colon", "Content-Transfer-Encoding; base64"},
	{Edge, "equals for the colon", "Content-Transfer-Encoding= base64"},
	{Edge, "folded before the colon", "Content-Transfer-Encoding\n : base64"},
	{Edge, "comment before the colon", "Content-Transfer-Encoding (ok): base64"},
	{Edge, "blank within the name", "Content-Transfer -Encoding: base64"},
	{Edge, "behind a line without colon", "junk\nContent-Transfer-Encoding: base64"},
	{Edge, "behind a line of 8-bit characters", "\x83W\x83\x83\x93\x83N\nContent-Transfer-Encoding: base64"},
	{Edge, "behind a field of blanks", "X-A:\n \nContent-Transfer-Encoding: base64"},
	{Doubtful, "Content-Encoding", "Content-Encoding: base64"},
	{Doubtful, "Transfer-Encoding", "Transfer-Encoding: base64"},
	{Doubtful, "underscores in the name", "Content_Transfer_Encoding: base64"},
	{Doubtful, "in the content type", "X-A: a; encoding=base64"},
	{Doubtful, "none", "X-A: a"},
	{Doubtful, "7bit", "Content-Transfer-Encoding: 7bit"},
}

// encodingsQP are the same for quoted-printable; the reasons are too.
var encodingsQP = []fieldRow{
	{Core, "quoted-printable, then 7bit", "Content-Transfer-Encoding: quoted-printable\nContent-Transfer-Encoding: 7bit"},
	{Core, "7bit, then quoted-printable", "Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: quoted-printable"},
	{Core, "quoted-printable with base64 behind", "Content-Transfer-Encoding: quoted-printable\nContent-Transfer-Encoding: base64"},
	{Core, "quoted-printable with base64 before", "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: quoted-printable"},
	{Core, "quoted-printable in a list", "Content-Transfer-Encoding: quoted-printable, base64"},
	{Core, "quoted-printable last in a list", "Content-Transfer-Encoding: base64, quoted-printable"},
	{Edge, "quoted", "Content-Transfer-Encoding: quoted"},
	{Edge, "quoted printable", "Content-Transfer-Encoding: quoted printable"},
	{Edge, "quotedprintable", "Content-Transfer-Encoding: quotedprintable"},
	{Edge, "quoted_printable", "Content-Transfer-Encoding: quoted_printable"},
	{Edge, "x-quoted-printable", "Content-Transfer-Encoding: x-quoted-printable"},
	{Edge, "quoted-printables", "Content-Transfer-Encoding: quoted-printables"},
	{Edge, "quoted-printable in quotes", `Content-Transfer-Encoding: "quoted-printable"`},
	{Doubtful, "Q", "Content-Transfer-Encoding: Q"},
	{Doubtful, "qp", "Content-Transfer-Encoding: x-qp"},
	{Doubtful, "printable", "Content-Transfer-Encoding: printable"},
	{Doubtful, "quoted-printable, not said", "X-A: a"},
}

// encodingsUU name uuencode, which Outlook and Thunderbird know by several names.
var encodingsUU = []string{"x-uuencode", "x-uue", "uuencode", "uue", "x-uu"}

func encodingField() []Case {
	f := family{name: "encoding field"}
	for _, r := range encodings64 {
		f.add(r.level, r.name, func(p Payload) []byte { return mixed(entity(p.label()+"\n"+r.fields, b64(p.Content))) })
	}
	for _, r := range encodingsQP {
		f.add(r.level, r.name, func(p Payload) []byte { return mixed(entity(p.label()+"\n"+r.fields, qp(p.Content))) })
	}
	for _, e := range encodingsUU {
		f.add(Core, e, func(p Payload) []byte { return mixed(entity(p.encoded(e), p.uu())) })
		f.add(Edge, e+" without begin", func(p Payload) []byte { return mixed(entity(p.encoded(e), p.uuLines()+"`\r\nend\r\n")) })
		f.add(Edge, e+" without begin and end", func(p Payload) []byte { return mixed(entity(p.encoded(e), p.uuLines())) })
	}
	f.encodedFields()
	f.encodedMultiparts()
	return f.cases
}

// encodedFields has other encodings, and fields in another place.
func (f *family) encodedFields() {
	first := func(p Payload, field string) []byte {
		return mixed(entity(field+"\n"+p.label(), b64(p.Content)))
	}
	f.add(Core, "first in the header", func(p Payload) []byte { return first(p, "Content-Transfer-Encoding: base64") })
	f.add(Edge, "first in the header, behind a blank", func(p Payload) []byte { return first(p, " Content-Transfer-Encoding: base64") })
	f.add(Edge, "first in the header, behind a vertical tab", func(p Payload) []byte { return first(p, "\vContent-Transfer-Encoding: base64") })
	f.add(Edge, "first in the header, behind a colon", func(p Payload) []byte { return first(p, ":\nContent-Transfer-Encoding: base64") })
	f.add(Edge, "first in the header, behind a line of blanks", func(p Payload) []byte { return first(p, " \nContent-Transfer-Encoding: base64") })
	for _, e := range []string{"x-yenc", "x-yencode", "yenc"} { // Thunderbird decodes yEnc
		f.add(Edge, e, func(p Payload) []byte { return mixed(entity(p.encoded(e), yenc(p.file(), p.Content))) })
	}
	for _, e := range []string{"binhex", "x-binhex40", "mac-binhex40"} {
		f.add(Edge, e, func(p Payload) []byte { return mixed(entity(p.encoded(e), binhex(p.file(), p.Content))) })
	}
	for _, e := range []string{"x-gzip64", "gzip64"} { // metamail's successors
		f.add(Doubtful, e, func(p Payload) []byte { return mixed(entity(p.encoded(e), b64(gzipOf(p.Content)))) })
	}
	f.addText(Edge, "base64 is said, and nothing is encoded", func(p Payload) []byte { return mixed(entity(p.encoded("base64"), plain(p.Content))) })
	f.addText(Edge, "quoted-printable is said, and nothing is encoded", func(p Payload) []byte {
		return mixed(entity(p.encoded("quoted-printable"), plain(p.Content)))
	})
	f.add(Edge, "uuencode is said, and it is base64", func(p Payload) []byte { return mixed(entity(p.encoded("x-uuencode"), b64(p.Content))) })
	f.add(Edge, "base64 is said, and it is uuencode", func(p Payload) []byte { return mixed(entity(p.encoded("base64"), p.uu())) })
	f.add(Doubtful, "quoted-printable around base64", func(p Payload) []byte {
		return mixed(entity(p.encoded("base64, quoted-printable"), qp([]byte(b64(p.Content)))))
	})
	f.add(Doubtful, "base64 in base64", func(p Payload) []byte { return mixed(entity(p.encoded("base64, base64"), b64([]byte(b64(p.Content))))) })
}

// encodedMultiparts have an encoding on what holds the parts. RFC 2045, section
// 6.4 forbids all but 7bit, 8bit and binary; mail programs then ignore it, or obey.
func (f *family) encodedMultiparts() {
	body := func(p Payload) string { return multipart(outer, hello, p.attached()) }
	for _, e := range []string{"base64", "quoted-printable", "x-uuencode", "unknown"} {
		f.add(Core, e+" on the multipart, not done", func(p Payload) []byte {
			return letter(mixedType+"\n"+encodingName+": "+e, body(p))
		})
	}
	f.add(Edge, "base64 on the multipart, done", func(p Payload) []byte {
		return letter(mixedType+"\n"+encodingName+": base64", b64([]byte(body(p))))
	})
	f.add(Edge, "quoted-printable on the multipart, done", func(p Payload) []byte {
		return letter(mixedType+"\n"+encodingName+": quoted-printable", qp([]byte(body(p))))
	})
	f.add(Edge, "base64 on an inner multipart, done", func(p Payload) []byte {
		return mixed(entity("Content-Type: multipart/mixed; boundary=in\n"+encodingName+": base64", b64([]byte(multipart("in", hello, p.attached())))))
	})
	f.add(Doubtful, "base64 on the multipart, meant for its parts", func(p Payload) []byte {
		return letter(mixedType+"\n"+encodingName+": base64", multipart(outer, hello, entity(p.label(), b64(p.Content))))
	})
}

// gzipOf packs content.
func gzipOf(content []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	must(z.Write(content))
	check(z.Close())
	return b.Bytes()
}
