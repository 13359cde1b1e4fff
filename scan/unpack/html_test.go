package unpack

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/text/transform"
)

const (
	secret = "KIYOME-MARKER in a file" // what the pages below hide
	long   = "KIYOME-MARKER in a text that is long enough to be looked at for itself"
)

func in64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// hiddenIn lists what a text hides, as "name: content", for the first level.
func hiddenIn(t *testing.T, text string) (list []string) {
	t.Helper()
	n := walked(t, Limits{}, "page", []byte(text))
	for i, o := range n.objects[1:] {
		if name := strings.TrimPrefix(o, "page/"); !strings.Contains(name, "/") {
			list = append(list, name+": "+n.data[i+1])
		}
	}
	return append(list, n.unchecked...)
}

func TestWaysToHideAFileInAPage(t *testing.T) {
	half := in64(secret)[:15]
	rest := in64(secret)[15:]
	wide := func(s string) string {
		return "\xff\xfe" + strings.Join(strings.Split(s, ""), "\x00") + "\x00"
	}
	for _, tt := range []struct{ name, text, want string }{
		// data: URIs
		{"link", `<a href="data:text/plain;base64,` + in64(secret) + `">`, "data.txt: " + secret},
		{"letter case", `<A HREF=DATA:Text/HTML;BASE64,` + in64(secret) + `>`, "data.html: " + secret},
		{"no quotes, in CSS", `<style>p{background:url(data:;base64,` + in64(secret) + `)}</style>`, "data.txt: " + secret},
		{"white space in it", "<a href=' \n data:;base64,\n" + half + "\r\n " + rest + "'>", "data.txt: " + secret},
		{"white space in the scheme", "<a href='da\n\tta:;base64," + in64(secret) + "'>", "data.txt: " + secret},
		{"parameters", `<a href="data:text/plain;charset=x;name=a%2Eexe;base64,` + in64(secret) + `">`, "a.exe: " + secret},
		{"blank before base64", `<a href="data:text/plain; base64 ,` + in64(secret) + `">`, "data.txt: " + secret},
		{"percent signs in base64", `<a href="data:;base64,` + strings.ReplaceAll(in64(secret), "T", "%54") + `">`, "data.txt: " + secret},
		{"percent-encoded", `<a href="data:,` + strings.ReplaceAll(secret, "K", "%4b") + `">`, "data.txt: " + secret},
		{"URL's alphabet", `<a href="data:;base64,` + base64.URLEncoding.EncodeToString([]byte("\x00\x00\xfb\xef\xff"+secret)) + `">`, "data.txt: \x00\x00\xfb\xef\xff" + secret},
		{"no padding", `<a href="data:;base64,` + base64.RawStdEncoding.EncodeToString([]byte(secret)) + `">`, "data.txt: " + secret},
		{"padding in the middle", `<a href="data:;base64,` + in64(secret[:10]) + in64(secret[10:]) + `">`, "data.txt: " + secret},
		{"not ended", `<a href="data:;base64,` + in64(secret), "data.txt: " + secret},
		{"name of the link behind it", `<a href="data:;base64,` + in64(secret) + `" download="a&amp;b.exe">`, "a&b.exe: " + secret},
		{"name of the link before it", `<a download=b.exe href="data:;base64,` + in64(secret) + `">`, "b.exe: " + secret},
		{"name of another link", `<a download=b.exe></a><a href="data:;base64,` + in64(secret) + `">`, "data.txt: " + secret},
		{"binary of no known format", `<a href="data:;base64,` + in64("\x01\x02\xff\xfe"+secret) + `">`, "data.txt: \x01\x02\xff\xfe" + secret},
		{"in a refresh", `<meta http-equiv=refresh content="0;url=data:text/html;base64,` + in64(secret) + `">`, "data.html: " + secret},
		{"scheme as numbers", `<a href="&#100;&#x61;&#x00000074;a:;base64,` + in64(secret) + `">`, "data.txt: " + secret + "|page: " + `<a href="data:;base64,` + in64(secret) + `">`},
		{"colon by name", `<a href="data&colon;;base64,` + in64(secret) + `">`, "data.txt: " + secret + "|page: " + `<a href="data:;base64,` + in64(secret) + `">`},
		{"numbers with no semicolon", `<a href="data:;base64,` + strings.Replace(in64(secret), "U1", "&#85&#49", 1) + `">`, "data.txt: " + secret + "|page: " + `<a href="data:;base64,` + in64(secret) + `">`},
		{"tab by name in the scheme", `<a href="da&Tab;ta:;base64,` + in64(secret) + `">`, "data.txt: " + secret},
		{"SVG", `<img src="data:image/svg+xml,%3Csvg%20onload='x'/>">`, "data.svg: <svg onload='x'/>"},
		{"in XML", `<?xml version="1.0"?><x:y xlink:href="data:;base64,` + in64(secret) + `"/>`, "data.txt: " + secret},
		{"in another one", `<a title='"data:,' href='data:;base64,` + in64(secret) + `'>`, `data.txt: ' href='data:;base64,` + in64(secret) + `'>|data.txt: ` + secret},

		// documents and letters
		{"srcdoc", `<iframe srcdoc="&lt;p&gt;` + secret + `">`, "srcdoc.html: <p>" + secret},
		{"letters by number", `<p>&#75;IYOME&#45;MARKE&#x52</p>`, "page: <p>KIYOME-MARKER</p>"},
		{"signs by name", `<p>KIYOME-MARKER &lpar;1&rpar;</p>`, "page: <p>KIYOME-MARKER (1)</p>"},
		{"plus within a word", `<p>H&#43;H</p>`, "page: <p>H+H</p>"},
		{"UTF-16", wide("<p>KIYOME-MARKER</p>"), "page: <p>KIYOME-MARKER</p>"},
		{"UTF-16 without a mark", wide("<p>KIYOME-MARKER</p>")[2:], "page: <p>KIYOME-MARKER</p>"},
		{"zeros", "<p>KIY\x00OME-MAR\x00KER</p>" + strings.Repeat(" ", 50), "page: <p>KIYOME-MARKER</p>" + strings.Repeat(" ", 50)},
		{"UTF-7", "+ADw-p+AD4-KIYOME+-+2AHcNw-MARKER+ADw-/p+AD4-", "page: <p>KIYOME+\U00010437MARKER</p>"},

		// scripts
		{"literal", `<script>f("` + in64(secret) + `")</script>`, "script.txt: " + secret},
		{"pieces", `<script>f("` + half + `"/**/ + //
 '` + rest + `')</script>`, "script.txt: " + secret},
		{"line continuation", "<script>f('" + half + "\\\n" + rest + "')</script>", "script.txt: " + secret},
		{"template", "<script>f(`" + half + "${'" + rest + "'}`)</script>", "script.txt: " + secret},
		{"variables", `<script>var a = "` + half + `", b = '` + rest + `'; f(a + b)</script>`, "script.txt: " + secret},
		{"properties", `<script>o.a = "` + half + `"; o["b"] = '` + rest + `'; f(o.a + o.b)</script>`, "script.txt: " + secret},
		{"appended", `<script>a = "` + half + `"; a += '` + rest + `'</script>`, "script.txt: " + secret},
		{"appended in full", `<script>a = a + "` + half + `"; a = a + '` + rest + `'</script>`, "script.txt: " + secret},
		{"put before", `<script>a = "` + rest + `"; a = '` + half + `' + a</script>`, "script.txt: " + secret},
		{"array", `<script>f(["` + half + `", '` + rest + `'].join(""))</script>`, "script.txt: " + secret},
		{"array by number", `<script>var a = ['` + rest + `', "` + half + `"]; f(a[1] + a[0])</script>`, "script.txt: " + secret},
		{"array that is joined elsewhere", `<script>a = ["` + half + `", '` + rest + `']; for (i in a) s += a[i]</script>`, "script.txt: " + secret},
		{"pushed", `<script>a = ['']; a.push("` + half + `"); a.push('` + rest + `'); f(a.join(''))</script>`, "script.txt: " + secret},
		{"concat", `<script>f("` + half + `".concat('` + rest + `'))</script>`, "script.txt: " + secret},
		{"split", `<script>f("` + half + `@@` + rest + `".split('@@').join(''))</script>`, "script.txt: " + secret},
		{"replace", `<script>f("` + half + `@@` + rest + `".replace(/@/g, ''))</script>`, "script.txt: " + secret},
		{"replace a class", `<script>f("` + half + `@!` + rest + `".replace(/[!@]+/g, ''))</script>`, "script.txt: " + secret},
		{"reversed", `<script>f("` + reversed(in64(secret)) + `".split("").reverse().join(""))</script>`, "script.txt: " + secret},
		{"reversed elsewhere", `<script>function g(s) { return [...s].reverse().join("") } f("` + reversed(in64(secret)) + `")</script>`, "script.txt: " + secret},
		{"twice", `<script>f("` + in64(in64(secret)) + `")</script>`, "script.txt: " + in64(secret) + "|script.txt: " + secret},
		{"decoded and joined", `<script>f(atob("` + in64(long[:40]) + `") + unescape("%` + fmt.Sprintf("%x", long[40]) + long[41:] + `"))</script>`,
			"script.txt: " + long[:40] + "|script.txt: " + long[40:] + "|script.txt: " + long},
		{"hexadecimal", `<script>f("` + fmt.Sprintf("%x", long) + `")</script>`, "script.txt: " + long},
		{"hexadecimal, apart", `<script>f("` + fmt.Sprintf("% x", long) + `")</script>`, "script.txt: " + long},
		{"percent-encoded", `<script>f(unescape("%4bIYOME-MARKER%20in a file"))</script>`, "script.txt: " + secret},
		{"percent-encoded as characters", `<script>f(unescape("%u004b%u0049YOME-MARKER%20in a file"))</script>`, "script.txt: " + secret},
		{"two bytes in a character", `<script>f(unescape("%u4b50%u0403%u0014%u0000%u0008%u0000%u0000%u0000%u0000%u0000"))</script>`, "script.bin: PK\x03\x04\x14\x00\x00\x00\x08" + strings.Repeat("\x00", 11)},
		{"numbers", `<script>x = [75,73,89,79,77,69,45,77,65,82,75,69,82,32,105,110]</script>`, "script.txt: KIYOME-MARKER in"},
		{"numbers in base 16", `<script>x = [0x4b,0x49,0x59,0x4f,0x4d,0x45,0x2D,0x4d,0x41,0x52,0x4b,0x45,0x52,0x20,0x69,0x6e]</script>`, "script.txt: KIYOME-MARKER in"},
		{"numbers with a sign", `<script>x = [75,73,89,79,77,69,45,77,65,82,75,69,82,-29,-127,-126]</script>`, "script.txt: KIYOME-MARKERあ"},
		{"numbers in a string", `<script>x = "75.73.89.79.77.69.45.77.65.82.75.69.82.32.105.110".split(".")</script>`, "script.txt: KIYOME-MARKER in"},
		{"numbers, each a call", "<script>f(" + chars(long, "String.fromCharCode(%d)", "+") + ")</script>", "script.txt: " + long},
		{"numbers, one call", "<script>f(String.fromCharCode(" + chars(long, "%d", ", ") + "))</script>", "script.txt: " + long},
		{"numbers less one", "<script>x = [" + chars(long, "%d", ",", func(c int) int { return c + 1007 }) + "]; f(x[i] - 1007)</script>", "script.txt: " + long + "|script.txt: " + chars(long, "%c", "", func(c int) int { return c + 1007 })},
		{"numbers xor one", "<script>x = [" + chars(long, "%d", ",", func(c int) int { return c ^ 0x91 }) + "]; f(x[i] ^ 0x91)</script>", "script.txt: " + long},
		{"bytes xor one", `<script>f("` + in64(string(xored(long, "\x99"))) + `"); c ^ 153</script>`, "script.txt: " + long},
		{"bytes xor a word", `<script>k = "Key"; f("` + in64(string(xored(long, "Key"))) + `"); c ^ k[i]</script>`, "script.txt: " + long},
		{"escapes", `<script>f("\x4b\u0049\131\u{4f}` + long[4:] + `")</script>`, "script.txt: " + long},
		{"joined text", `<script>f("` + long[:30] + `" + "` + long[30:] + `")</script>`, "script.txt: " + long},
		{"joined URI", `<script>f("data:text/html;ba" + "se64,` + in64(secret) + `")</script>`, "data.html: " + secret},
		{"name of its own", `<script>a.download = "inv" + "oice.iso"; f("` + in64(secret) + `")</script>`, "invoice.iso: " + secret},
		{"name in passing", `<script>save("a b.js", "` + in64(secret) + `")</script>`, "a b.js: " + secret},
		{"behind a quote too many", "<script>// don't\n/\"/.test(x); f('" + in64(secret) + "')</script>", "script.txt: " + secret},
		{"across scripts", `<script>a = "` + half + `"</script><p>don't</p><script>f(a + '` + rest + `')</script>`, "script.txt: " + secret},
		{"handler", `<body onload="f('` + in64(secret) + `')">`, "script.txt: " + secret},
		{"handler with references", `<body onload="f(&quot;` + in64(secret) + in64(secret) + `&quot;)">`, `script.js: f("` + in64(secret) + in64(secret) + `")`},
		{"URI", `<a href="javascript:f('` + in64(secret) + `')">`, "script.txt: " + secret},
		{"URI behind a blank", `<a href=" JavaScript:f('` + in64(secret) + `')">`, "script.txt: " + secret},
		{"URI without quotes", `<a href=javascript:f('` + in64(secret) + `')>`, "script.txt: " + secret},
		{"URI, percent-encoded", `<a href="javascript:f%28'` + in64(secret) + in64(secret) + `')">`, "script.js: f('" + in64(secret) + in64(secret) + "')"},
		{"URI with references", `<a href="&#106avascript:f('` + in64(secret) + `')">`, "script.js: javascript:f('" + in64(secret) + `')|page: <a href="javascript:f('` + in64(secret) + `')">`},
		{"island", `<div id=x>` + in64("MZ"+long) + `</div>`, "script.bin: MZ" + long},
		{"island of text, and a script", `<div id=x>` + in64(long) + `</div><script>f(x)</script>`, "script.txt: " + long},
		{"in SVG", `<svg:svg><svg:script><![CDATA[f("` + in64(secret) + `")]]></svg:script></svg:svg>`, "script.txt: " + secret},
		{"by itself", `function f() { return "` + in64(secret) + `" }`, "script.txt: " + secret},
		{"by itself, behind a comment of HTML", "<!-- x\nvar a = '" + half + "' + '" + rest + "'", "script.txt: " + secret},
		{"VBScript", "Dim a ' don't\r\na = \"" + half + "\" & _\r\n \"" + rest + "\"\r\nExecuteGlobal(a)", "script.txt: " + secret},
		{"VBScript in a page", "<script language=VBScript>a = \"" + half + "\" : A = a & \"" + rest + "\"</script>", "script.txt: " + secret},
		{"VBScript's numbers", "Dim a\nExecute " + chars(long, "Chr(%d)", " & "), "script.txt: " + long},
		{"VBScript's numbers in base 16", "Dim a\nExecute " + chars(long, "ChrW(&H%x)", " & "), "script.txt: " + long},
		{"VBScript, reversed", "Execute StrReverse(\"" + reversed(long) + "\")", "script.txt: " + long},
		{"VBScript's quotes", "Dim a\na = \"say \"\"" + long[:30] + "\" & \"" + long[30:] + "\"\"\"", "script.txt: say \"" + long + "\""},
		{"encoded script without a length", "#@~^DgAAA*==@#@&\\ko$K6,FXAAAA==^#~@", "page: html: unsupported method: encoded script"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(hiddenIn(t, tt.text), "|"); got != tt.want {
				t.Errorf("%s\nhides %q\n want %q", tt.text, got, tt.want)
			}
		})
	}
}

func reversed(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

func xored(s, key string) []byte {
	b := []byte(s)
	for i := range b {
		b[i] ^= key[i%len(key)]
	}
	return b
}

// chars writes each byte of s, changed, in a format, with something between.
func chars(s, format, between string, change ...func(int) int) string {
	var list []string
	for _, c := range []byte(s) {
		n := int(c)
		for _, f := range change {
			n = f(n)
		}
		list = append(list, fmt.Sprintf(format, n))
	}
	return strings.Join(list, between)
}

// What ordinary texts have is no file, and most of them are not even opened.
func TestOrdinaryTextsHideNothing(t *testing.T) {
	png := "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + strings.Repeat("\x00\x01", 20) + "IEND\xaeB`\x82"
	for _, tt := range []struct {
		name, text string
		opened     bool
	}{
		{"page", "<html><head><style>p:hover{margin:0}</style></head><body><p class=\"a\">don't &amp; &lt; &eacute; &nbsp;&#160;&#8217;&#39;</p></body></html>", false},
		{"what programs encode", `<p title="&#34;&#39;&#x27;&#x2F;">user&#64;example.jp &#43;81 3&#61;</p>`, false},
		{"address with a query", `<a href="http://a.example/?a=1&num=30&colon=2&lt=3&data=4">x</a>`, false},
		{"tokens", `<a href="https://a.example/c/eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0">x</a><td>dGhpcyBpcyBzb21lIHRleHQgaW4gYmFzZTY0IGluIGEgcGFnZSwgd2hpY2ggbm9ib2R5IGRlY29kZXM=</td>`, false},
		{"prose", "Dear all,\n\nthe data: see below, the function (if any) of a window. I'd say so <b>loudly</b>.\n", false},
		{"manual", "see write(2), chr(3), execute(1) <jm@example.jp> x = y; a <b> c\n", false},
		{"mail addresses", "From: <a@example.jp> To: <b@example.jp>\n", false},
		{"XML", `<?xml version="1.0"?><soap:Envelope xmlns:soap="http://a.example/"><soap:Body/></soap:Envelope>`, false},
		{"zip", "PK\x03\x04\x14\x00<html><script>", false},
		{"nothing", "", false},
		{"image", `<img src="data:image/png;base64,` + in64(png) + `">`, true},
		{"tiny GIF", `<img src="data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7">`, true},
		{"structured data", `<script type="application/ld+json">{"@context": "http://schema.org", "@type": "Order", "name": "\u6ce8\u6587", "id": "a1b2c3d4e5f6a7b8c9d0"}</script>`, true},
		{"counter", `<script>var _gaq = _gaq || []; (function() { var s = document.createElement('script'); s.src = ('https:' == document.location.protocol ? 'https://ssl' : 'http://www') + '.google-analytics.com/ga.js'; })();</script>`, true},
		{"handler", `<img onerror="this.style.display='none'" onclick="return false">`, true},
		{"script", "function add(a, b) {\n  return a + b + \"px\"; // it's \"all\"\n}\nvar list = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];\n", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := hiddenIn(t, tt.text); len(got) > 0 && tt.name != "zip" {
				t.Errorf("%q", got)
			}
			if got := htmlMatch([]byte(tt.text)); got != tt.opened {
				t.Errorf("opened: %v", got)
			}
		})
	}
}

func TestWhatIsBehindAnImageIsHandedOut(t *testing.T) {
	image := map[string]string{
		"png": "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01IEND\xaeB`\x82", "jpg": "\xff\xd8\xff\xe0\x00\x10JFIF\x00 ........\xff\xd9", "gif": "GIF89a\x01\x00\x01\x00\x80\x00\x00 ........;",
		"webp": "RIFF\x14\x00\x00\x00WEBPVP8 ............", "bmp": "BM\x20\x00\x00\x00\x00\x00\x00\x00................\x01\x02\x03\x04\x05\x06", "font": "wOF2\x00\x01\x00\x00 ............",
	}
	for name, data := range image {
		page := func(data string) string { return `<img src="data:image/x;base64,` + in64(data) + `">` }
		if got := hiddenIn(t, page(data)); len(got) > 0 {
			t.Errorf("%s: %q", name, got)
		}
		if got := hiddenIn(t, `<script>f("`+in64(data)+`")</script>`); len(got) > 0 {
			t.Errorf("%s in a script: %q", name, got)
		}
		if got := hiddenIn(t, `<script>f("`+in64(data+marker)+`")</script>`); len(got) != 1 && name != "font" {
			t.Errorf("%s and the marker in a script: %q", name, got)
		}
		if got := hiddenIn(t, page(data+"\x00\x00\r\n")); len(got) > 0 && name != "bmp" && name != "webp" {
			t.Errorf("%s, padded: %q", name, got)
		}
		if got := hiddenIn(t, page(data+marker)); len(got) != 1 && name != "font" {
			t.Errorf("%s and the marker: %q", name, got)
		}
		behind := data[:12] + strings.Repeat("x", 40<<10) + "PK\x03\x04" + strings.Repeat("x", 40<<10) + data[12:]
		if got := hiddenIn(t, page(behind)); len(got) == 0 {
			t.Errorf("%s: an archive within is passed over", name)
		}
	}
}

func TestPiecesAreDecodedAsTheWhole(t *testing.T) {
	for _, tt := range []struct {
		name       string
		step       step
		text, want string
	}{
		{"base64", base64Step, " S0lZ\nT01F*LU1B\\UktF\"UiBpcyBoZXJlIG9uZQ==", "KIYOME-MARKER is here one"},
		{"base64 cut off", base64Step, "S0lZT01FLU1BUktFUg", "KIYOME-MARKER"},
		{"hexadecimal", hexStep, "4b 4949:4A.4", "KIIJ"},
		{"percent", percentStep, "%4b%%4%u00e9%u3042%zz%4", "K%%4\xe9あ%zz%4"},
		{"percent, pairs", percentPairs, "%u4b50%41%u12", "PKA%u12"},
		{"references", entityStep, "&#75;&#x4a;&#0075&#75a&ampx&lt&nosuch;&#;&#x;&&#1114112;&fjlig;&euro;&#12354;&", "KJKKa&x<&nosuch;&#;&#x;&&#1114112;&fjlig;€あ&"},
		{"escapes", escapeStep, `\x4b\u0049\u{59}\u{3042}\117\0\n\q\\\xz\u{}` + "\\\r\n\\\n\\", "KIYあO\x00\nq\\xzu{}"},
		{"doubled quotes", doubledStep, `a""b"c""`, `a"b"c"`},
		{"numbers", numbersStep(nil, false), "75,0x49;&H59 0117 -0b1 12354 99999999 zz 65", "KIYu\x01あA"},
		{"numbers with signs", numbersStep(nil, true), "75,-127,-1, - 2", "K\x81\xff\x02"},
		{"key", keyStep([]byte("ab"), func(b, k byte) byte { return b ^ k }), "abab", "\x00\x00\x00\x00"},
		{"quoted-printable", quotedStep, "=4B=\r\n=49=\n=zz=", "KI=zz="},
		{"folds", unfoldStep, "a\r\n b\n\tc\r d\r\ne\n\n", "abcd\r\ne\n\n"},
		{"cut", func() transform.Transformer { return &cutter{skip: 3} }, "abcdef", "def"},
		{"cut to nothing", func() transform.Transformer { return &cutter{skip: 30} }, "abcdef", ""},
		{"replaced", func() transform.Transformer { return &replacer{old: []byte("ab"), with: []byte("xyz"), all: true} }, "aabab-a", "axyzxyz-a"},
		{"replaced once", func() transform.Transformer { return &replacer{old: []byte("ab"), with: []byte("x")} }, "abab", "xab"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{"whole": strings.NewReader(tt.text), "pieces": iotest.OneByteReader(strings.NewReader(tt.text))} {
				got, err := io.ReadAll(transform.NewReader(r, tt.step()))
				if string(got) != tt.want || err != nil {
					t.Errorf("%s: %q, %v, want %q", name, got, err, tt.want)
				}
			}
		})
	}
}

// Texts are read in time linear in their size, whatever they are made of.
func TestTextsThatAreMadeToBeSlow(t *testing.T) {
	r := strings.Repeat
	for _, tt := range []struct{ head, unit string }{
		{"<p>", "srcdoc="}, {"<p>", " srcdoc=\"x ' srcdoc='"}, {"<p>", " onx=& onload="}, {"<p>", "\"data:,"}, {"<p>", "data:;base64,"}, {"<p>", " data:,a"},
		{"<p>'", "data:;base64,AAAAAAAAAAAAAAAAAAAAAAAAAAAA "}, {"<p>", "data:,x"}, {"<p>", "<script>"}, {"<p>", "<script></scrip"}, {"<p>", "\"javascript:"},
		{"<p>", "&#88;"}, {"<p>", "&#"}, {"<p>", "&#000000000000"}, {"<p>", "&aaaaaaaaaaa"}, {"<p>", "="}, {"<p>", ":"}, {"<p>", "<>"}, {"<p>", ">AAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
		{"<p>", "data\n\n\n:"}, {"<script>", "\"\\\""}, {"<script>", "'\"\n"}, {"<script>\"", "\\\""}, {"<script>", "=/[\\/"}, {"<script>", "=/\n"}, {"<script>", "`${"}, {"<script>", "`a${b}"},
		{"<script>var s='abc';", "s=s+'a';"}, {"<script>var s='abcdefghijklmnopqrstuvwxyz0';", "s=s+'a';f(s+'b');"}, {"<script>var s='abcdefghijklmnop';", "s=s+s;f(s);"},
		{"<script>", "("}, {"<script>", "[1,2,3"}, {"<script>", "String.fromCharCode(1,"}, {"<script>", "new "}, {"<script>", "a="}, {"<script>", "a.b("},
		{"<script>s='%41%42abcdefghijklmnopqrs';", "s=unescape(s);"}, {"<script>s='" + r("abc", 9000) + "';", "s=s.reverse();"}, {"<script>s=[" + r("'abc',", 9000) + "];", "f(s.join('-'));"},
		{"<script>s=[" + r("'abc',", 9000) + "];", "f(s[1]+s[2]);"}, {"<script>s='" + r("abc", 9000) + "';", "s=s.replace('b','bbbbbbbbbbbbbbb');"}, {"<script>s='" + r("abc", 9000) + "';", "f(s.split('b').join('xx'));"},
		{"<script>", "f('QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo'+'z');"}, {"<script>x.reverse();^1-2-3-4^'a'^'b';", "f('QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo" + r("-_", 40) + "');"},
		{"<script>f('", "1,"}, {"<script>x^1^2^3^4^5^6;y=[", "1,"}, {"<script>", "<![CDATA["}, {"<script language=vbs>", "_ "}, {"<script>a=['x'];", "a.push('abc');"},
		{"BEGIN:VCARD\n", "A;"}, {"BEGIN:VCARD\n", "A;B:\n "}, {"BEGIN:VCARD\n", "A;BASE64:\n"}, {"BEGIN:VCARD\n", "A;BASE64:QUFBQUFBQUFBQUFBQUFBQUFBQUFB\n"}, {"BEGIN:VCARD\n", "A;QUOTED-PRINTABLE:=\n"},
		{"BEGIN:VCARD\n", "A:data:,aaaaaaaaaaaaaaaaaaaaaa\n"}, {"dn: x\n", "a:: UEsDBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"}, {"dn: x\n", "a:: \n"},
	} {
		data := []byte(tt.head + r(tt.unit, (256<<10)/len(tt.unit)))
		start := time.Now()
		n := &notes{discard: true}
		n.walk(t, NewArena(nil, 0), Limits{Depth: 2}, "f", data)
		if d := time.Since(start); d > 20*time.Second { // a hundred times what it takes
			t.Errorf("%q and %q again and again took %v", tt.head[:min(len(tt.head), 40)], tt.unit, d)
		}
		if n.bytes > 20*int64(len(data))+4<<20 {
			t.Errorf("%q: %d bytes were handed out", tt.unit, n.bytes)
		}
	}
}

func TestTextsWithTooMuchInThem(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"files", "<p>" + manyURIs(1100), "f: html: limit: objects"},
		{"strings twice as long each time", "<script>var s = '" + long + "';" + strings.Repeat("s = s + s; f(s);", 60), "f: html: script.txt: limit: overlap"},
		{"layers", "<script>s = '%4b" + long + "';" + strings.Repeat("s = unescape(s);", 40), "f: html: limit: objects"},
		{"pieces", "<script>s = '" + strings.Repeat("a' + '", 600_000) + "'", "f: html: limit: objects"},
		{"parentheses", "<script>" + strings.Repeat("(", 100_000) + "'" + in64(secret) + "'", ""},
	} {
		n := walked(t, Limits{Depth: 1}, "f", []byte(tt.text))
		if strings.HasPrefix(tt.text, "<script>s =") && len(n.objects) < 2 {
			t.Errorf("%s: what came before the limit was not handed out", tt.name)
		}
		if got := strings.Join(n.unchecked, "|"); got != tt.want {
			t.Errorf("%s: unchecked %q, want %q", tt.name, got, tt.want)
		}
	}
}

func manyURIs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "<a href='data:,this is file number %d'>", i)
	}
	return b.String()
}

// What is left of a text is a text: nothing is told of it, but nothing breaks.
func TestTextsCutOffAnywhere(t *testing.T) {
	for _, s := range samples(t) {
		if !isText(s) {
			continue
		}
		data := load(t, s.file)
		for n := range data {
			for _, err := range walked(t, Limits{}, s.file, data[:n:n]).errs {
				if strings.Contains(err.Error(), "panicked") {
					t.Fatalf("%s cut to %d bytes: %v", s.file, n, err)
				}
			}
		}
	}
}

func TestAVisitorThatStopsIsNotAskedAgain(t *testing.T) {
	text := []byte("<p>" + manyURIs(10) + "<script>f('" + in64(long) + "', '" + in64(secret) + "')</script>")
	for stop := range 12 {
		n := 0
		for range htmlEntries(File{Name: "f", Data: text}) {
			if n++; n > stop {
				break
			}
		}
	}
	var errs []error
	for m, err := range htmlEntries(File{Name: "f", Data: text}) {
		if _, failed := io.Copy(io.Discard, m.body); failed != nil || err != nil {
			errs = append(errs, failed, err)
		}
	}
	if len(errs) > 0 {
		t.Error(errors.Join(errs...))
	}
}

func TestFilesInCardsAndCalendars(t *testing.T) {
	jpeg := "\xff\xd8\xff\xe0\x00\x10JFIF\x00 ........\xff\xd9"
	card := func(lines ...string) string {
		return "BEGIN:VCARD\r\n" + strings.Join(lines, "\r\n") + "\r\nEND:VCARD\r\n"
	}
	for _, tt := range []struct{ name, text, want string }{
		{"version 3", card("KEY;ENCODING=b;TYPE=x:" + in64(secret)), "key: " + secret},
		{"version 4", card("KEY:data:application/pdf;base64," + in64(secret)), "key.pdf: " + secret},
		{"version 4, with backslashes", card(`KEY:data:application/pdf\;base64\,` + in64(secret)), "key.pdf: " + secret},
		{"version 4, folded in the scheme", card("KEY:da\r\n ta:;base64,"+in64(secret)[:9], " "+in64(secret)[9:]), "key.txt: " + secret},
		{"version 2.1", card("KEY;BASE64:", " "+in64(secret)[:8], " "+in64(secret)[8:], ""), "key: " + secret},
		{"not indented", card("KEY;BASE64:", in64(secret)[:8], in64(secret)[8:], "", "N:x"), "key: " + secret},
		{"not indented, no empty line", card("KEY;BASE64:", in64(secret)[:8], in64(secret)[8:], "N:x"), "key: " + secret},
		{"group", card("item1.KEY;encoding=BASE64:" + in64(secret)), "key: " + secret},
		{"colon in quotes", card(`KEY;X="a:b;c";ENCODING=b:` + in64(secret)), "key: " + secret},
		{"quote too many", card(`KEY;X="a;ENCODING=b:` + in64(secret)), ""},
		{"cut off", "BEGIN:VCARD\nKEY;ENCODING=b:" + in64(secret)[:30], "key: " + secret[:22]},
		{"photograph", card("PHOTO;ENCODING=b;TYPE=JPEG:"+in64(jpeg), "PHOTO:data:image/jpeg;base64,"+in64(jpeg)), ""},
		{"more than a photograph", card("PHOTO;ENCODING=b;TYPE=JPEG:" + in64(jpeg+marker)), "photo: " + jpeg + marker},
		{"quoted-printable of another language", card("N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=E5=B1=B1=E7=94=B0;=E5=A4=AA=E9=83=8E"), ""},
		{"quoted-printable that hides", card("NOTE;QUOTED-PRINTABLE:=4BIYOME-=", "MARKER is here=0D=0A"), "note: KIYOME-MARKER is here\r\n\r\n"},
		{"calendar", "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nATTACH;FMTTYPE=application/zip;ENCODING=BASE64;VALUE=BINARY;X-FILENAME=\"a;b.zip\":" + in64(secret) + "\r\nEND:VEVENT\r\n", "a;b.zip: " + secret},
		{"calendar behind something", "\xef\xbb\xbfbegin:vcalendar\nATTACH;FMTTYPE=text/html;ENCODING=BASE64:" + in64(secret), "attach.html: " + secret},
		{"UTF-16", "\xff\xfe" + strings.Join(strings.Split("BEGIN:VCARD\nN:x\n", ""), "\x00") + "\x00", "page: BEGIN:VCARD\nN:x\n"},
		{"LDIF", "version: 1\n# x\ndn: cn=x\ncn: x\nsn:: 5bGx55Sw\nphoto:: " + in64(jpeg) + "\nuserPassword:: e1NTSEF9" + in64(long) + "\nlabel:: " + in64(long) + "\nfile;binary:: " + in64("MZ" + secret)[:10] + "\n " + in64("MZ" + secret)[10:], "label: " + long + "|file: MZ" + secret},
		{"no card", "He said BEGIN:VCARD and KEY;ENCODING=b:" + in64(secret), ""},
		{"no LDIF", "cn: x\ndn: x\nfile:: " + in64(long), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(hiddenIn(t, tt.text), "|"); got != tt.want {
				t.Errorf("%s\nhides %q\n want %q", tt.text, got, tt.want)
			}
		})
	}
}

// ordinaryPage is a page as ordinary mail has it, of about 1 MiB.
func ordinaryPage() []byte {
	row := `<tr><td style="padding:0 10px;font-family:Arial,sans-serif;color:#333" align="center"><a href="https://www.example.jp/news?id=1234&amp;lang=ja" target="_blank">News&nbsp;of today</a>` +
		"<p>The quick brown fox jumps over the lazy dog; it doesn't care &#8212; 日本語の文章。</p><img src=\"cid:part1.06090408.01060107\" width=\"600\" height=\"1\"></td></tr>\r\n"
	return []byte("<html><head><meta charset=utf-8></head><body><table>" + strings.Repeat(row, (1<<20)/len(row)) + "</table></body></html>")
}

func BenchmarkOrdinaryPage(b *testing.B) {
	page := ordinaryPage()
	b.SetBytes(int64(len(page)))
	for b.Loop() {
		if htmlMatch(page) || vcardMatch(page) {
			b.Fatal("taken for a page that hides something")
		}
	}
}

func BenchmarkTextThatIsNoPage(b *testing.B) {
	text := bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog (it doesn't care), a = b.\r\n"), 1<<17)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if htmlMatch(text) || vcardMatch(text) {
			b.Fatal("taken for a page")
		}
	}
}

func BenchmarkScript(b *testing.B) {
	var text strings.Builder
	text.WriteString("<script>\n")
	for i := 0; text.Len() < 1<<20; i++ {
		fmt.Fprintf(&text, "function f%d(a, b) { var c = a + \"px\" + b; if (c == 'none') { return this.list[%d].toString(); } }\n", i, i)
	}
	text.WriteString("</script>")
	benchmark(b, []byte(text.String()))
}
