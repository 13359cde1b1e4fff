package evasion

import (
	"fmt"
	"strings"
)

// decoy is a part in which a reader that takes the wrong boundary finds nothing:
// all that matters is a text to it.
var decoy = entity("Content-Type: text/plain", "Nothing to see here.\r\n")

// meant and wrong are boundaries that do not begin alike.
const (
	meant = "real_1"
	wrong = "wrong_2"
)

// divided is a message under these fields. Its parts stand between delimiters of
// boundary; those between delimiters of other, unless it is "", are decoys.
func divided(fields, boundary, other string, p Payload) []byte {
	body := multipart(boundary, hello, p.attached())
	if other != "" {
		body = "--" + other + "\r\n" + decoy + "--" + other + "\r\nContent-Type: text/plain\r\n\r\n" + body + "--" + other + "--\r\n"
	}
	return letter(fields, body)
}

// boundaryRow is a technique that lies in how the boundary is told.
type boundaryRow struct{ level, name, fields, boundary, other string }

// twoBoundaries tell two, of which one divides the message as the sender means it.
// Two fields: Thunderbird, Outlook and Apple Mail take the first, mutt the last.
// Two parameters: Thunderbird, Outlook and mutt take the first, Apple Mail the last
// (so did MIME-tools, CVE-2024-28054). RFC 2231: Thunderbird knows it, Outlook does not.
var twoBoundaries = []boundaryRow{
	{Core, "two fields, first", "Content-Type: multipart/mixed; boundary=real_1\nContent-Type: multipart/mixed; boundary=wrong_2", meant, wrong},
	{Core, "two fields, last", "Content-Type: multipart/mixed; boundary=wrong_2\nContent-Type: multipart/mixed; boundary=real_1", meant, wrong},
	{Core, "three fields, second", "Content-Type: multipart/mixed; boundary=wrong_2\nContent-Type: multipart/mixed; boundary=real_1\nContent-Type: multipart/mixed; boundary=wrong_3", meant, wrong},
	{Core, "two parameters, first", "Content-Type: multipart/mixed; boundary=real_1; boundary=wrong_2", meant, wrong},
	{Core, "two parameters, last", "Content-Type: multipart/mixed; boundary=wrong_2; boundary=real_1", meant, wrong},
	{Edge, "three parameters, second", "Content-Type: multipart/mixed; boundary=wrong_2; boundary=real_1; boundary=wrong_3", meant, wrong},
	{Core, "text first, then multipart", "Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=real_1", meant, ""},
	{Core, "multipart first, then text", "Content-Type: multipart/mixed; boundary=real_1\nContent-Type: text/plain", meant, ""},
	{Core, "octet-stream first, then multipart", "Content-Type: application/octet-stream\nContent-Type: multipart/mixed; boundary=real_1", meant, ""},
	{Core, "HTML first, then multipart", "Content-Type: text/html\nContent-Type: multipart/mixed; boundary=real_1", meant, ""},
	{Edge, "message first, then multipart", "Content-Type: message/rfc822\nContent-Type: multipart/mixed; boundary=real_1", meant, ""},
	{Edge, "multipart without boundary first", "Content-Type: multipart/mixed\nContent-Type: multipart/mixed; boundary=real_1", meant, ""},
	{Edge, "multipart without boundary last", "Content-Type: multipart/mixed; boundary=real_1\nContent-Type: multipart/mixed", meant, ""},
	{Edge, "boundary in the text's field", "Content-Type: multipart/mixed\nContent-Type: text/plain; boundary=real_1", meant, ""},
	{Edge, "types in a list, multipart first", "Content-Type: multipart/mixed, text/plain; boundary=real_1", meant, ""},
	{Edge, "types in a list, multipart last", "Content-Type: text/plain, multipart/mixed; boundary=real_1", meant, ""},
	{Edge, "two types and a semicolon", "Content-Type: text/plain; multipart/mixed; boundary=real_1", meant, ""},
	{Core, "plain, and RFC 2231 wrong", "Content-Type: multipart/mixed; boundary=real_1; boundary*=us-ascii''wrong_2", meant, wrong},
	{Core, "RFC 2231, and plain wrong", "Content-Type: multipart/mixed; boundary*=us-ascii''real_1; boundary=wrong_2", meant, wrong},
	{Core, "RFC 2231 behind plain wrong", "Content-Type: multipart/mixed; boundary=wrong_2; boundary*=us-ascii''real_1", meant, wrong},
	{Core, "RFC 2231 wrong, then plain", "Content-Type: multipart/mixed; boundary*=us-ascii''wrong_2; boundary=real_1", meant, wrong},
	{Core, "continued, and plain wrong", "Content-Type: multipart/mixed; boundary*0=real; boundary*1=_1; boundary=wrong_2", meant, wrong},
	{Core, "plain, and continued wrong", "Content-Type: multipart/mixed; boundary=real_1; boundary*0=wrong; boundary*1=_2", meant, wrong},
	{Core, "continued behind plain wrong", "Content-Type: multipart/mixed; boundary=wrong_2; boundary*0=real; boundary*1=_1", meant, wrong},
	{Edge, "RFC 2231 twice, first", "Content-Type: multipart/mixed; boundary*=us-ascii''real_1; boundary*=us-ascii''wrong_2", meant, wrong},
	{Edge, "RFC 2231 twice, last", "Content-Type: multipart/mixed; boundary*=us-ascii''wrong_2; boundary*=us-ascii''real_1", meant, wrong},
	{Edge, "the continued's first piece only", "Content-Type: multipart/mixed; boundary*0=real_1; boundary*1=more", meant, "real_1more"},
	{Edge, "a piece twice, first", "Content-Type: multipart/mixed; boundary*0=real; boundary*1=_1; boundary*1=_2", meant, "real_2"},
	{Edge, "a piece twice, last", "Content-Type: multipart/mixed; boundary*0=real; boundary*1=_2; boundary*1=_1", meant, "real_2"},
	{Edge, "a comment that is kept", "Content-Type: multipart/mixed; boundary=(wrong_2)real_1", "(wrong_2)real_1", meant},
	{Edge, "a comment that is not kept", "Content-Type: multipart/mixed; boundary=(wrong_2)real_1", meant, "(wrong_2)real_1"},
	{Edge, "a boundary in a comment", "Content-Type: multipart/mixed; (boundary=real_1) boundary=wrong_2", meant, wrong},
	{Edge, "a boundary in another's quotes", `Content-Type: multipart/mixed; x="; boundary=real_1;"; boundary=wrong_2`, meant, wrong},
	{Edge, "a boundary behind another's quotes", `Content-Type: multipart/mixed; x="; boundary=wrong_2;"; boundary=real_1`, meant, wrong},
	{Edge, "a boundary behind an open quote", `Content-Type: multipart/mixed; x="; boundary=real_1`, meant, ""},
	{Edge, "a boundary behind an escaped quote", `Content-Type: multipart/mixed; x="\"; boundary=wrong_2;"; boundary=real_1`, meant, wrong},
	{Edge, "a boundary in another's quotes with an escaped quote", `Content-Type: multipart/mixed; x="\"; boundary=real_1;"; boundary=wrong_2`, meant, wrong},
	{Edge, "a boundary in the type's text", "Content-Type: multipart/mixed boundary=real_1; boundary=wrong_2", meant, wrong},
	{Edge, "a parameter that ends so", "Content-Type: multipart/mixed; xboundary=wrong_2; boundary=real_1", meant, wrong},
	{Edge, "a parameter that ends so, meant", "Content-Type: multipart/mixed; xboundary=real_1; boundary=wrong_2", meant, wrong},
	{Edge, "a parameter that begins so", "Content-Type: multipart/mixed; boundaryx=wrong_2; boundary=real_1", meant, wrong},
	{Edge, "cut at a blank", "Content-Type: multipart/mixed; boundary=real_1 more", meant, "real_1 more"},
	{Edge, "not cut at a blank", "Content-Type: multipart/mixed; boundary=real_1 more", "real_1 more", ""},
	{Edge, "cut at a comma", "Content-Type: multipart/mixed; boundary=real_1,more", meant, "real_1,more"},
	{Edge, "not cut at a comma", "Content-Type: multipart/mixed; boundary=real_1,more", "real_1,more", ""},
	{Edge, "cut at a bracket", "Content-Type: multipart/mixed; boundary=real_1<more", meant, "real_1<more"},
	{Edge, "cut at a slash", "Content-Type: multipart/mixed; boundary=real_1/more", meant, "real_1/more"},
	{Edge, "not cut at a semicolon in quotes", `Content-Type: multipart/mixed; boundary="real_1;more"`, "real_1;more", ""},
	{Edge, "cut at a semicolon in quotes", `Content-Type: multipart/mixed; boundary="real_1;more"`, meant, "real_1;more"},
	{Edge, "not cut at an escaped semicolon", `Content-Type: multipart/mixed; boundary=real_1\;more`, "real_1;more", ""},
	{Edge, "cut at an escaped semicolon", `Content-Type: multipart/mixed; boundary=real_1\;more`, `real_1\`, ""},
	{Edge, "escaped semicolon kept", `Content-Type: multipart/mixed; boundary=real_1\;more`, `real_1\;more`, ""},
	{Edge, "text behind quotes", `Content-Type: multipart/mixed; boundary="real_1"more`, meant, "real_1more"},
	{Edge, "text behind quotes, joined", `Content-Type: multipart/mixed; boundary="real_1"more`, "real_1more", meant},
	{Edge, "text before quotes", `Content-Type: multipart/mixed; boundary=more"real_1"`, `more"real_1"`, ""},
	{Edge, "text before quotes, joined", `Content-Type: multipart/mixed; boundary=more"real_1"`, `morereal_1`, ""},
	{Edge, "text before quotes, cut", `Content-Type: multipart/mixed; boundary=real_1"more"`, meant, ""},
	{Edge, "quotes in two pieces", `Content-Type: multipart/mixed; boundary="real" "_1"`, meant, "real"},
	{Edge, "quotes in two pieces, first", `Content-Type: multipart/mixed; boundary="real_1" "more"`, meant, "real_1more"},
	{Edge, "at an 8-bit character, cut", "Content-Type: multipart/mixed; boundary=real_1\xe9x", meant, "real_1\xe9x"},
	{Edge, "at a NUL, cut", "Content-Type: multipart/mixed; boundary=real_1\x00x", meant, "real_1\x00x"},
	{Edge, "at a NUL, not cut", "Content-Type: multipart/mixed; boundary=real_1\x00x", "real_1\x00x", ""},
	{Edge, "at a CR, cut", "Content-Type: multipart/mixed; boundary=real_1\rx", meant, ""},
	{Edge, "a wrong one in the preamble's header", "Content-Type: multipart/mixed; boundary=real_1\nX-A: b; boundary=wrong_2", meant, wrong},
	{Edge, "in another field", "Content-Type: multipart/mixed\nX-A: b; boundary=real_1", meant, ""},
	{Edge, "in the disposition", "Content-Type: multipart/mixed\nContent-Disposition: inline; boundary=real_1", meant, ""},
}

// oneBoundary is told in an odd way, and divides the message.
var oneBoundary = []boundaryRow{
	{Core, "in quotes", `Content-Type: multipart/mixed; boundary="real_1"`, meant, ""},
	{Core, "not in quotes", "Content-Type: multipart/mixed; boundary=real_1", meant, ""},
	{Edge, "in single quotes, kept", "Content-Type: multipart/mixed; boundary='real_1'", "'real_1'", ""},
	{Edge, "in single quotes, dropped", "Content-Type: multipart/mixed; boundary='real_1'", meant, ""},
	{Edge, "quote open", `Content-Type: multipart/mixed; boundary="real_1`, meant, ""},
	{Edge, "quote open, kept", `Content-Type: multipart/mixed; boundary="real_1`, `"real_1`, ""},
	{Edge, "quote open, a parameter behind", "Content-Type: multipart/mixed; boundary=\"real_1; x=y", meant, ""},
	{Edge, "quote behind", `Content-Type: multipart/mixed; boundary=real_1"`, meant, ""},
	{Edge, "quote behind, kept", `Content-Type: multipart/mixed; boundary=real_1"`, `real_1"`, ""},
	{Edge, "quotes kept", `Content-Type: multipart/mixed; boundary="real_1"`, `"real_1"`, ""},
	{Core, "quoted pairs", `Content-Type: multipart/mixed; boundary="re\al\_1"`, meant, ""},
	{Edge, "quoted pairs kept", `Content-Type: multipart/mixed; boundary="re\al\_1"`, `re\al\_1`, ""},
	{Edge, "quoted pairs without quotes", `Content-Type: multipart/mixed; boundary=re\al\_1`, meant, ""},
	{Edge, "quoted pairs without quotes kept", `Content-Type: multipart/mixed; boundary=re\al\_1`, `re\al\_1`, ""},
	{Core, "an escaped quote", `Content-Type: multipart/mixed; boundary="re\"al"`, `re"al`, ""},
	{Edge, "cut at an escaped quote", `Content-Type: multipart/mixed; boundary="real_1\"more"`, `real_1\`, ""},
	{Core, "blank within", `Content-Type: multipart/mixed; boundary="real 1"`, "real 1", ""},
	{Edge, "blank within, not in quotes", "Content-Type: multipart/mixed; boundary=real 1", "real 1", ""},
	{Edge, "blank behind, kept", `Content-Type: multipart/mixed; boundary="real_1 "`, "real_1 ", ""},
	{Edge, "blank behind, dropped", `Content-Type: multipart/mixed; boundary="real_1 "`, meant, ""},
	{Edge, "blank behind the delimiter only", `Content-Type: multipart/mixed; boundary="real_1"`, "real_1 ", ""},
	{Edge, "blank before, kept", `Content-Type: multipart/mixed; boundary=" real_1"`, " real_1", ""},
	{Edge, "blank before, dropped", `Content-Type: multipart/mixed; boundary=" real_1"`, meant, ""},
	{Edge, "blanks only", `Content-Type: multipart/mixed; boundary="   "`, "   ", ""},
	{Edge, "empty", `Content-Type: multipart/mixed; boundary=""`, "", ""},
	{Edge, "empty, not in quotes", `Content-Type: multipart/mixed; boundary=`, "", ""},
	{Edge, "missing", `Content-Type: multipart/mixed`, meant, ""},
	{Edge, "missing value", `Content-Type: multipart/mixed; boundary`, meant, ""},
	{Edge, "one that does not occur", `Content-Type: multipart/mixed; boundary=other`, meant, ""},
	{Edge, "in another case", `Content-Type: multipart/mixed; boundary=REAL_1`, meant, ""},
	{Core, "parameter's name in upper case", "Content-Type: multipart/mixed; BOUNDARY=real_1", meant, ""},
	{Core, "blanks around =", "Content-Type: multipart/mixed; boundary = real_1", meant, ""},
	{Core, "tabs around =", "Content-Type: multipart/mixed; boundary\t=\treal_1", meant, ""},
	{Core, "folded around =", "Content-Type: multipart/mixed; boundary\n =\n real_1", meant, ""},
	{Edge, "vertical tabs around =", "Content-Type: multipart/mixed; boundary\v=\vreal_1", meant, ""},
	{Edge, "colon for =", "Content-Type: multipart/mixed; boundary:real_1", meant, ""},
	{Edge, "two =", "Content-Type: multipart/mixed; boundary==real_1", meant, ""},
	{Edge, "two =, one kept", "Content-Type: multipart/mixed; boundary==real_1", "=real_1", ""},
	{Edge, "escaped =", `Content-Type: multipart/mixed; boundary\=real_1`, meant, ""},
	{Edge, "no semicolon", "Content-Type: multipart/mixed boundary=real_1", meant, ""},
	{Edge, "comma for semicolon", "Content-Type: multipart/mixed, boundary=real_1", meant, ""},
	{Edge, "two semicolons", "Content-Type: multipart/mixed;; boundary=real_1", meant, ""},
	{Edge, "semicolon in a comment", "Content-Type: multipart/mixed (;) boundary=real_1", meant, ""},
	{Core, "semicolon behind", "Content-Type: multipart/mixed; boundary=real_1;", meant, ""},
	{Core, "no blank", "Content-Type:multipart/mixed;boundary=real_1", meant, ""},
	{Core, "folded", "Content-Type: multipart/mixed;\n boundary=real_1", meant, ""},
	{Core, "folded thrice", "Content-Type:\n multipart/mixed\n ;\n boundary=real_1", meant, ""},
	{Edge, "folded in the type", "Content-Type: multi\n part/mixed; boundary=real_1", meant, ""},
	{Edge, "folded in the boundary", "Content-Type: multipart/mixed; boundary=\"real\n _1\"", "real _1", ""},
	{Edge, "folded in the boundary, joined", "Content-Type: multipart/mixed; boundary=\"real\n _1\"", meant, ""},
	{Edge, "not folded enough", "Content-Type: multipart/mixed;\nboundary=real_1", meant, ""},
	{Edge, "behind a folded line of blanks", "Content-Type: multipart/mixed;\n  \n boundary=real_1", meant, ""},
	{Core, "comment before the value", "Content-Type: multipart/mixed; boundary=(ok)real_1", meant, ""},
	{Core, "comment behind the value", "Content-Type: multipart/mixed; boundary=real_1 (ok)", meant, ""},
	{Edge, "comment straight behind the value", "Content-Type: multipart/mixed; boundary=real_1(ok)", meant, ""},
	{Edge, "comment straight behind the value, kept", "Content-Type: multipart/mixed; boundary=real_1(ok)", "real_1(ok)", ""},
	{Edge, "comment within the value", "Content-Type: multipart/mixed; boundary=re(ok)al_1", meant, ""},
	{Edge, "comment within the value, kept", "Content-Type: multipart/mixed; boundary=re(ok)al_1", "re(ok)al_1", ""},
	{Edge, "comment within the value, cut", "Content-Type: multipart/mixed; boundary=real_1(ok)more", meant, "real_1more"},
	{Core, "comment before the name", "Content-Type: multipart/mixed; (ok)boundary=real_1", meant, ""},
	{Core, "comment behind the name", "Content-Type: multipart/mixed; boundary(ok)=real_1", meant, ""},
	{Edge, "comment within the name", "Content-Type: multipart/mixed; bound(ok)ary=real_1", meant, ""},
	{Core, "comment behind the type", "Content-Type: multipart/mixed (ok); boundary=real_1", meant, ""},
	{Core, "comment before the type", "Content-Type: (ok) multipart/mixed; boundary=real_1", meant, ""},
	{Edge, "comment around the slash", "Content-Type: multipart(a)/(b)mixed; boundary=real_1", meant, ""},
	{Edge, "comment within the type", "Content-Type: multi(ok)part/mixed; boundary=real_1", meant, ""},
	{Edge, "comment with a parameter", "Content-Type: multipart/mixed; (x=y; z) boundary=real_1", meant, ""},
	{Edge, "comment open before", "Content-Type: multipart/mixed; (ok boundary=real_1", meant, ""},
	{Edge, "escaped in the name", `Content-Type: multipart/mixed; bound\ary=real_1`, meant, ""},
	{Edge, "name in quotes", `Content-Type: multipart/mixed; "boundary"=real_1`, meant, ""},
	{Edge, "name and value in quotes", `Content-Type: multipart/mixed; "boundary=real_1"`, meant, ""},
	{Edge, "all in quotes", `Content-Type: "multipart/mixed; boundary=real_1"`, meant, ""},
	{Core, "RFC 2231", "Content-Type: multipart/mixed; boundary*=us-ascii''real_1", meant, ""},
	{Core, "RFC 2231, percent", "Content-Type: multipart/mixed; boundary*=us-ascii'en'%72%65al%5F1", meant, ""},
	{Core, "RFC 2231, no charset", "Content-Type: multipart/mixed; boundary*=''real_1", meant, ""},
	{Edge, "RFC 2231, no quotes at all", "Content-Type: multipart/mixed; boundary*=real_1", meant, ""},
	{Edge, "RFC 2231 in quotes", `Content-Type: multipart/mixed; boundary*="us-ascii''real_1"`, meant, ""},
	{Edge, "RFC 2231, UTF-16", "Content-Type: multipart/mixed; boundary*=utf-16be''%00r%00e%00a%00l%00_%001", meant, ""},
	{Edge, "RFC 2231, percent not undone", "Content-Type: multipart/mixed; boundary*=us-ascii''re%61l", "re%61l", ""},
	{Edge, "percent undone where it is not RFC 2231", "Content-Type: multipart/mixed; boundary=%72eal_1", meant, ""},
	{Core, "continued", "Content-Type: multipart/mixed; boundary*0=real; boundary*1=_1", meant, ""},
	{Core, "continued in quotes", `Content-Type: multipart/mixed; boundary*0="real"; boundary*1="_1"`, meant, ""},
	{Core, "continued, encoded", "Content-Type: multipart/mixed; boundary*0*=us-ascii''re%61l; boundary*1*=%5F1", meant, ""},
	{Core, "continued, half encoded", "Content-Type: multipart/mixed; boundary*0*=us-ascii''re%61l; boundary*1=_1", meant, ""},
	{Core, "continued, one piece", "Content-Type: multipart/mixed; boundary*0=real_1", meant, ""},
	{Core, "continued, one piece, encoded", "Content-Type: multipart/mixed; boundary*0*=us-ascii''real_1", meant, ""},
	{Core, "continued, twelve pieces", "Content-Type: multipart/mixed; boundary*0=r; boundary*1=e; boundary*2=a; boundary*3=l; boundary*4=_; boundary*5=1; boundary*6=2; boundary*7=3; boundary*8=4; boundary*9=5; boundary*10=6; boundary*11=7", "real_1234567", ""},
	{Core, "continued, out of order", "Content-Type: multipart/mixed; boundary*1=_1; boundary*0=real", meant, ""},
	{Edge, "continued from one", "Content-Type: multipart/mixed; boundary*1=real; boundary*2=_1", meant, ""},
	{Edge, "continued with a gap", "Content-Type: multipart/mixed; boundary*0=real; boundary*2=_1", meant, ""},
	{Edge, "continued with a gap, cut", "Content-Type: multipart/mixed; boundary*0=real_1; boundary*2=more", meant, ""},
	{Edge, "continued with leading zeros", "Content-Type: multipart/mixed; boundary*00=real; boundary*01=_1", meant, ""},
	{Edge, "continued across fields", "Content-Type: multipart/mixed; boundary*0=real\nContent-Type: multipart/mixed; boundary*1=_1", meant, ""},
	{Edge, "blank before the star", "Content-Type: multipart/mixed; boundary *0=real; boundary *1=_1", meant, ""},
	{Edge, "encoded word, B", "Content-Type: multipart/mixed; boundary=\"=?us-ascii?B?cmVhbF8x?=\"", meant, ""},
	{Edge, "encoded word, Q", "Content-Type: multipart/mixed; boundary==?us-ascii?Q?real=5F1?=", meant, ""},
	{Edge, "encoded word not undone", "Content-Type: multipart/mixed; boundary=\"=?us-ascii?Q?real=5F1?=\"", "=?us-ascii?Q?real=5F1?=", ""},
	{Core, "of 70 characters", "Content-Type: multipart/mixed; boundary=" + strings.Repeat("0123456789", 7), strings.Repeat("0123456789", 7), ""},
	{Edge, "of 300 characters", "Content-Type: multipart/mixed; boundary=" + strings.Repeat("0123456789", 30), strings.Repeat("0123456789", 30), ""},
	{Edge, "of 300 characters, cut at 70", "Content-Type: multipart/mixed; boundary=" + strings.Repeat("0123456789", 30), strings.Repeat("0123456789", 7), ""},
	{Edge, "of 5000 characters", "Content-Type: multipart/mixed; boundary=" + strings.Repeat("0123456789", 500), strings.Repeat("0123456789", 500), ""},
	{Core, "of one character", "Content-Type: multipart/mixed; boundary=x", "x", ""},
	{Core, "of dashes", "Content-Type: multipart/mixed; boundary=----", "----", ""},
	{Core, "that ends in dashes", "Content-Type: multipart/mixed; boundary=real--", "real--", ""},
	{Core, "of punctuation", `Content-Type: multipart/mixed; boundary="'()+_,-./:=?"`, "'()+_,-./:=?", ""},
	{Edge, "of characters that base64 has", "Content-Type: multipart/mixed; boundary=AAAA", "AAAA", ""},
	{Edge, "of 8-bit characters", "Content-Type: multipart/mixed; boundary=\"\xe3\x81\x82\xe3\x81\x84\"", "\xe3\x81\x82\xe3\x81\x84", ""},
	{Edge, "of Shift_JIS with a backslash byte", "Content-Type: multipart/mixed; boundary=\"\x95\\\x8e\xa6\"", "\x95\\\x8e\xa6", ""},
	{Edge, "of Shift_JIS with a backslash byte, undone", "Content-Type: multipart/mixed; boundary=\"\x95\\\x8e\xa6\"", "\x95\x8e\xa6", ""},
	{Edge, "a NUL within", "Content-Type: multipart/mixed; boundary=\"re\x00al\"", "re\x00al", ""},
	{Edge, "a NUL within, dropped", "Content-Type: multipart/mixed; boundary=\"re\x00al_1\"", meant, ""},
	{Edge, "a CR within", "Content-Type: multipart/mixed; boundary=\"re\ral\"", "re\ral", ""},
	{Edge, "a control character within", "Content-Type: multipart/mixed; boundary=\"re\x01al\"", "re\x01al", ""},
	{Edge, "a tab within", "Content-Type: multipart/mixed; boundary=\"re\tal\"", "re\tal", ""},
	{Edge, "the delimiter has a part of it", "Content-Type: multipart/mixed; boundary=real_1more", meant, ""},
	{Edge, "the delimiter has more than it", "Content-Type: multipart/mixed; boundary=real", meant, ""},
	{Edge, "with the dashes of a delimiter", "Content-Type: multipart/mixed; boundary=--real_1", meant, ""},
	{Edge, "HTML entity", "Content-Type: multipart/mixed; boundary=&quot;real_1&quot;", meant, ""},
	{Edge, "a thousand parameters before", "Content-Type: multipart/mixed; " + strings.Repeat("x=y; ", 1000) + "boundary=real_1", meant, ""},
	{Edge, "a very long parameter before", "Content-Type: multipart/mixed; x=\"" + strings.Repeat("y", 20000) + "\"; boundary=real_1", meant, ""},
	{Edge, "fields before the type", "Content-Type:\nContent-Type: multipart/mixed; boundary=real_1", meant, ""},
}

func boundaries() []Case {
	f := family{name: "boundary"}
	for _, rows := range [][]boundaryRow{twoBoundaries, oneBoundary} {
		for _, r := range rows {
			f.add(r.level, r.name, func(p Payload) []byte { return divided(r.fields, r.boundary, r.other, p) })
		}
	}
	return f.cases
}

// typeRows are types of the whole, before "; boundary=real_1". RFC 2046, section
// 5.1.7: a subtype that is not known is read as mixed. That the rest of them is
// divided nevertheless is what libmime, JavaMail and others do.
var typeRows = []struct{ level, name, value string }{
	{Core, "alternative", "multipart/alternative"},
	{Core, "related", "multipart/related"},
	{Core, "parallel", "multipart/parallel"},
	{Core, "form-data", "multipart/form-data"},
	{Core, "report", "multipart/report"},
	{Core, "signed", "multipart/signed"},
	{Core, "encrypted", "multipart/encrypted"},
	{Core, "unknown subtype", "multipart/x-unheard-of"},
	{Core, "upper case", "MULTIPART/MIXED"},
	{Core, "mixed case", "mULtiParT/mIxEd"},
	{Edge, "no subtype", "multipart"},
	{Edge, "empty subtype", "multipart/"},
	{Edge, "blanks around the slash", "multipart / mixed"},
	{Edge, "two slashes", "multipart/mixed/x"},
	{Edge, "two slashes in a row", "multipart//mixed"},
	{Edge, "backslash", `multipart\mixed`},
	{Edge, "dash for the slash", "multipart-mixed"},
	{Edge, "in quotes", `"multipart/mixed"`},
	{Edge, "in single quotes", `'multipart/mixed'`},
	{Edge, "half in quotes", `"multipart"/"mixed"`},
	{Edge, "x- before", "x-multipart/mixed"},
	{Edge, "letter missing", "ultipart/mixed"},
	{Edge, "letter more", "multiparts/mixed"},
	{Edge, "text", "text/plain"},
	{Edge, "HTML", "text/html"},
	{Edge, "octet-stream", "application/octet-stream"},
	{Edge, "type only text", "text"},
	{Edge, "empty", ""},
	{Edge, "blank within", "multi part/mixed"},
	{Edge, "encoded word", "=?us-ascii?Q?multipart=2Fmixed?="},
	{Edge, "NUL behind", "multipart/mixed\x00"},
	{Edge, "CR before", "\rmultipart/mixed"},
	{Edge, "VT before", "\vmultipart/mixed"},
	{Edge, "8-bit before", "\xa0multipart/mixed"},
	{Edge, "escaped", `multi\part/mixed`},
	{Edge, "semicolon before", "; multipart/mixed"},
	{Edge, "equals before", "= multipart/mixed"},
	{Edge, "mixed only", "mixed"},
}

func types() []Case {
	f := family{name: "type"}
	for _, r := range typeRows {
		f.add(r.level, r.name, func(p Payload) []byte { return divided("Content-Type: "+r.value+"; boundary=real_1", meant, "", p) })
	}
	// Types of the attachment: what is in it decides, not what it is called.
	for _, kind := range []string{
		"text/plain", "text/html", "text/calendar", "image/jpeg", "audio/x-wav", "video/mp4", "application/pgp-signature", "application/pdf",
		"application/x-pkcs7-signature", "font/woff", "model/vrml", "x/y", "message/delivery-status", "message/disposition-notification",
		"multipart/mixed", "message/rfc822", "message/external-body", "message/partial", "text/rfc822-headers", "application/applefile", "", "x", "/",
	} {
		f.add(level(kind), fmt.Sprintf("attachment is %q", kind), func(p Payload) []byte {
			return mixed(entity("Content-Type: "+kind+"\nContent-Disposition: attachment; filename=\""+p.file()+"\"\nContent-Transfer-Encoding: base64", b64(p.Content)))
		})
	}
	f.typeFields()
	return f.cases
}

// level is that of an attachment whose type says that it is of another kind.
func level(kind string) string {
	if strings.HasPrefix(kind, "m") || !strings.Contains(kind, "/") || kind == "/" {
		return Edge
	}
	return Core
}

// typeFields has the field itself written in odd ways.
func (f *family) typeFields() {
	for _, r := range []fieldRow{
		{Core, "name in upper case", "CONTENT-TYPE: multipart/mixed; boundary=real_1"},
		{Core, "blank before the colon", "Content-Type : multipart/mixed; boundary=real_1"},
		{Core, "no blank behind the colon", "Content-Type:multipart/mixed; boundary=real_1"},
		{Core, "folded behind the colon", "Content-Type:\n multipart/mixed; boundary=real_1"},
		{Edge, "folded before the colon", "Content-Type\n : multipart/mixed; boundary=real_1"},
		{Edge, "two colons", "Content-Type:: multipart/mixed; boundary=real_1"},
		{Edge, "no colon", "Content-Type multipart/mixed; boundary=real_1"},
		{Edge, "behind a continued field", "X-A: b\n Content-Type: multipart/mixed; boundary=real_1"},
		{Edge, "behind a CR", "X-A: b\rContent-Type: multipart/mixed; boundary=real_1"},
		{Edge, "behind junk and a continuation", "junk\n junk\nContent-Type: multipart/mixed; boundary=real_1"},
		{Edge, "behind a name with a blank", "X A: b\nContent-Type: multipart/mixed; boundary=real_1"},
		{Edge, "a NUL before", "\x00Content-Type: multipart/mixed; boundary=real_1"},
		{Edge, "a BOM before", "\uFEFFContent-Type: multipart/mixed; boundary=real_1"},
		{Edge, "ContentType", "ContentType: multipart/mixed; boundary=real_1"},
		{Edge, "not there", "X-A: b"},
	} {
		f.add(r.level, "field, "+r.name, func(p Payload) []byte { return divided(r.fields, meant, "", p) })
	}
}
