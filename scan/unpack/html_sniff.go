package unpack

import "bytes"

const (
	// sniffText is how many bytes must be those of a text.
	sniffText = 1 << 10

	// sniffWindow is how many bytes are searched at a time to tell what a text is.
	sniffWindow = 4 << 10

	// sniffTags is how many "<" are looked at for a tag.
	sniffTags = 256
)

// looksLikeText reports whether data begins as texts do. Zeros may be in them:
// in UTF-16 every other byte is one, and some programs pass over them.
func looksLikeText(data []byte) bool {
	head := data[:min(len(data), sniffText)]
	controls, zeros := 0, 0
	for _, c := range head {
		switch {
		case c == 0:
			zeros++
		case c < ' ' && (c < '\t' || c > '\r') && c != 0x1b: // of ISO-2022
			controls++
		}
	}
	few := controls*64 <= len(head)
	return len(head) > 0 && few && (zeros*16 <= len(head) || zeros*3 > len(head))
}

// withoutZeros reports whether a text has zeros in it, which some programs pass
// over, and is markup or a script then. UTF-16 has them too, and is decoded by
// itself.
func withoutZeros(data []byte) bool {
	head := data[:min(len(data), sniffWindow)]
	if bytes.IndexByte(head, 0) < 0 || textDecoder(data) != nil || bytes.HasPrefix(head, []byte(ole1Magic)) || oneNoteMatch(head) {
		return false
	}
	rest := bytes.ReplaceAll(head, []byte{0}, nil)
	if pdfBegins(head) { // they have streams, and markup in the clear
		return zerosInTag(head) || looksLikeScript(rest) && !looksLikeScript(head)
	}
	return looksLikeMarkup(rest) || looksLikeScript(rest)
}

// zerosInTag reports whether there is a tag in data but for the zeros in it.
func zerosInTag(data []byte) bool {
	for range sniffTags {
		i := bytes.IndexByte(data, '<')
		if i < 0 {
			return false
		}
		data = data[i+1:]
		tag := data[:min(len(data), 64)]
		if bytes.IndexByte(tag, 0) >= 0 && !isMarkupTag(tag) && isMarkupTag(bytes.ReplaceAll(tag, []byte{0}, nil)) {
			return true
		}
	}
	return false
}

// zeroStep leaves out zeros.
var zeroStep = dropStep(func(c byte) bool { return c == 0 })

// markupTags are elements by which HTML, SVG and XML are known.
var markupTags = func() map[string]bool {
	tags := map[string]bool{}
	for _, tag := range []string{
		"a", "abbr", "address", "applet", "area", "article", "audio", "b", "base", "big", "blockquote", "body", "br", "button", "canvas", "center",
		"code", "details", "dialog", "div", "em", "embed", "font", "footer", "form", "frame", "frameset", "h1", "h2", "h3", "h4", "h5", "h6",
		"head", "header", "hr", "html", "i", "iframe", "image", "img", "input", "isindex", "job", "label", "li", "link", "main", "map", "marquee",
		"math", "meta", "nav", "noscript", "object", "ol", "option", "p", "package", "param", "picture", "plaintext", "pre", "s", "scriptlet",
		"script", "section", "select", "small", "source", "span", "strong", "style", "sub", "sup", "svg", "table", "tbody", "td", "template",
		"textarea", "th", "title", "tr", "tt", "u", "ul", "use", "video", "xml", "xmp",
	} {
		tags[tag] = true
	}
	return tags
}()

// looksLikeMarkup reports whether there are tags in data.
func looksLikeMarkup(data []byte) bool {
	rest := data
	for range sniffTags {
		i := bytes.IndexByte(rest, '<')
		if i < 0 {
			return false
		}
		rest = rest[i+1:]
		if isMarkupTag(rest) {
			return true
		}
	}
	return false
}

// isMarkupTag reports whether what stands behind a "<" makes it a tag: a known
// element, a name with a prefix, a declaration.
func isMarkupTag(b []byte) bool {
	b = b[:min(len(b), 32)]
	switch {
	case bytes.HasPrefix(b, []byte("?xml")), bytes.HasPrefix(b, []byte("!--")), hasPrefixFold(b, "!doctype"), bytes.HasPrefix(b, []byte("![CDATA[")):
		return true
	}
	var name [32]byte
	n := 0
	for n < len(b) && (isWordByte(b[n]) || b[n] == ':') {
		name[n] = b[n] | 0x20 // a colon, and digits, stay what they are
		n++
	}
	if n == 0 || n == len(b) || b[n] != '>' && b[n] != '/' && !isSpace(b[n]) {
		return false
	}
	return markupTags[string(name[:n])] || bytes.IndexByte(name[1:n], ':') >= 0
}

// scriptCalls are functions, in lower case, of which texts that are no scripts
// hardly ever have a call.
var scriptCalls = func() map[string]bool {
	calls := map[string]bool{}
	for _, name := range []string{
		"eval", "atob", "unescape", "decodeuricomponent", "fromcharcode", "uint8array", "blob", "activexobject", "createobject", "charcodeat",
		"createelement", "createobjecturl", "getelementbyid", "addeventlistener", "settimeout", "strreverse", "executeglobal", "chrw",
	} {
		calls[name] = true
	}
	return calls
}()

// sniffed gives what is searched of a text to tell what it is: its beginning,
// middle and end.
func sniffed(data []byte) [3][]byte {
	if len(data) <= 3*sniffWindow {
		return [3][]byte{data}
	}
	middle := len(data)/2 - sniffWindow/2
	return [3][]byte{data[:sniffWindow], data[middle : middle+sniffWindow], data[len(data)-sniffWindow:]}
}

// looksLikeScript reports whether there is a script in data.
func looksLikeScript(data []byte) bool {
	for _, window := range sniffed(data) {
		if hasCall(window) || hasDeclaration(window) || hasDim(window) || hasContinuation(window) {
			return true
		}
	}
	return false
}

// hasContinuation reports whether a string of Basic goes on in the next line.
func hasContinuation(b []byte) bool {
	const mark = "& _"
	i := bytes.Index(b, []byte(mark))
	return i >= 0 && i+len(mark) < len(b) && (b[i+len(mark)] == '\r' || b[i+len(mark)] == '\n')
}

// hasCall reports whether a function of scripts is called in b, or made.
func hasCall(b []byte) bool {
	for at := 0; ; at++ {
		i := bytes.IndexByte(b[at:], '(')
		if i < 0 {
			return false
		}
		at += i
		name := wordBefore(b[:at])
		var lower [20]byte
		if len(name) > len(lower) {
			continue
		}
		for i, c := range name {
			lower[i] = c
			if c >= 'A' && c <= 'Z' {
				lower[i] |= 0x20
			}
		}
		if scriptCalls[string(lower[:len(name)])] || string(lower[:len(name)]) == "chr" && isOperand(b[:at], len(name)) {
			return true
		}
		if isFunction(b, at, len(name)) {
			return true
		}
	}
}

// isFunction reports whether the parenthesis at an offset belongs to a function's
// declaration; before it stands a word of n bytes.
func isFunction(b []byte, at, n int) bool {
	before := bytes.TrimRight(b[:at], " ")
	if string(before[len(before)-n:]) != "function" && string(wordBefore(before[:len(before)-n])) != "function" {
		return false
	}
	behind := b[at:min(len(b), at+256)]
	end := bytes.IndexByte(behind, ')')
	return end >= 0 && bytes.HasPrefix(bytes.TrimLeft(behind[end+1:], " \r\n"), []byte{'{'})
}

// isOperand reports whether an operator stands before the word of n bytes that b
// ends with: chr(3) may be the manual's page.
func isOperand(b []byte, n int) bool {
	b = bytes.TrimRight(b, " ")
	b = bytes.TrimRight(b[:len(b)-n], " ")
	return len(b) > 0 && bytes.IndexByte([]byte("&=+("), b[len(b)-1]) >= 0
}

// wordBefore is the word that b ends with, blanks behind it not counted.
func wordBefore(b []byte) []byte {
	b = bytes.TrimRight(b[max(0, len(b)-40):], " ")
	start := len(b)
	for start > 0 && isNameByte(b[start-1]) {
		start--
	}
	return b[start:]
}

// hasDeclaration reports whether a variable is declared in b and set to a string
// or a list: var a = "".
func hasDeclaration(b []byte) bool {
	for at := 0; ; at++ {
		i := bytes.IndexByte(b[at:], '=')
		if i < 0 {
			return false
		}
		at += i
		behind := bytes.TrimLeft(b[at+1:min(len(b), at+8)], " ")
		if len(behind) == 0 || bytes.IndexByte([]byte("\"'`["), behind[0]) < 0 {
			continue
		}
		name := wordBefore(b[:at])
		before := bytes.TrimRight(b[:at], " ")
		switch string(wordBefore(before[:len(before)-len(name)])) {
		case "var", "let", "const":
			return true
		}
	}
}

// hasDim reports whether a line of b declares variables of VBScript: nothing but
// their names stands behind the word.
func hasDim(b []byte) bool {
	for line := range bytes.Lines(b) {
		line = bytes.TrimSpace(line)
		if !hasPrefixFold(line, "dim ") {
			continue
		}
		named := true
		for name := range bytes.SplitSeq(line[len("dim "):], []byte{','}) {
			name = bytes.TrimSpace(name)
			named = named && len(name) > 0 && len(wordBefore(name)) == len(name)
		}
		if named {
			return true
		}
	}
	return false
}

// basicWords are what VBScript has and JavaScript has not, in lower case.
var basicWords = [][]byte{
	[]byte("end sub"), []byte("end function"), []byte("on error resume"), []byte("createobject("), []byte("executeglobal"), []byte("strreverse("),
	[]byte("chr("), []byte("chrw("), []byte(`" & "`), []byte(`"&"`),
}

// isBasic reports whether a script may be VBScript.
func isBasic(script []byte) bool {
	for _, window := range sniffed(script) {
		if hasDim(window) || hasContinuation(window) {
			return true
		}
		window = bytes.ToLower(window)
		for _, word := range basicWords {
			if bytes.Contains(window, word) {
				return true
			}
		}
	}
	return false
}

// isJavaScript reports whether a script may be JavaScript.
func isJavaScript(script []byte) bool {
	for _, window := range sniffed(script) {
		if bytes.IndexByte(window, '{') >= 0 || bytes.IndexByte(window, ';') >= 0 {
			return true
		}
	}
	return false
}

// isScript reports whether data is a script and no markup, in which scripts have
// their places. A comment of HTML may begin either.
func isScript(data []byte) bool {
	head := bytes.TrimLeft(data[:min(len(data), sniffWindow)], "\xef\xbb\xbf \t\r\n")
	if bytes.HasPrefix(head, []byte("<")) && !bytes.HasPrefix(head, []byte("<!--")) {
		return false
	}
	return bytes.HasPrefix(head, []byte(encodedMark)) && !isEncodedScript(head) || looksLikeScript(data)
}
