package unpack

import (
	"bytes"
	"strings"

	"golang.org/x/text/transform"
)

// token is a word of a script. Its kind is one of those below, or the byte of
// the operator; of operators of several characters those that matter have kinds.
type token struct {
	kind       byte
	start, end int  // of its text; of a string's, without the quotes
	escaped    bool // a string with escapes
	hides      bool // letters or digits of a string are written as escapes
}

const (
	tokenEnd byte = iota
	tokenString
	tokenTemplate // a backtick
	tokenNumber
	tokenName
	tokenRegexp
	tokenAppend // +=
	tokenOther  // an operator that ends an operand: ==, =>, &&, ++, …
)

// lexer cuts a script into tokens: JavaScript (ECMA-262, section 12), or VBScript.
// Scripts need not be right, and are not always read from where they begin: a
// quote with no partner in its line is passed over.
type lexer struct {
	code   []byte
	at     int
	basic  bool // VBScript
	before byte // kind of the token before: a slash behind an operand divides
	// single has, for a quote or a slash that was found to have no partner, where
	// its line ends: none before that has one.
	single  [256]int
	lineEnd int // what line found last
}

// next reads a token.
func (l *lexer) next() token {
	l.space()
	t := l.read()
	l.before = t.kind
	if t.kind == tokenName && isKeyword(l.code[t.start:t.end]) {
		l.before = ';'
	}
	return t
}

func (l *lexer) read() token {
	start := l.at
	if start >= len(l.code) {
		return token{start: start, end: start}
	}
	c := l.code[start]
	switch {
	case c == '"', c == '\'':
		if t, ok := l.quoted(c); ok {
			return t
		}
	case c == '`':
		l.at++
		return token{kind: tokenTemplate, start: start, end: l.at}
	case c >= '0' && c <= '9', c == '&' && l.basic && l.hasPrefix("&h"):
		l.at++
		for l.at < len(l.code) && isWordByte(l.code[l.at]) {
			l.at++
		}
		return token{kind: tokenNumber, start: start, end: l.at}
	case isNameByte(c):
		for l.at < len(l.code) && isNameByte(l.code[l.at]) {
			l.at++
		}
		return token{kind: tokenName, start: start, end: l.at}
	case c == '/' && l.operatorBefore():
		if end := l.regexp(); end > 0 {
			l.at = end
			return token{kind: tokenRegexp, start: start, end: end}
		}
	}
	return l.operator()
}

func isNameByte(c byte) bool { return isWordByte(c) || c == '_' || c == '$' || c >= 0x80 }

// hasPrefix compares without regard to case.
func (l *lexer) hasPrefix(s string) bool { return hasPrefixFold(l.code[l.at:], s) }

// hasPrefixFold reports whether b begins with s, which is in lower case.
func hasPrefixFold(b []byte, s string) bool {
	return len(b) >= len(s) && bytes.EqualFold(b[:len(s)], []byte(s))
}

// operatorBefore reports whether an operand can stand here.
func (l *lexer) operatorBefore() bool {
	switch l.before {
	case tokenString, tokenTemplate, tokenNumber, tokenName, tokenRegexp, ')', ']', '}':
		return false
	}
	return true
}

// operator reads an operator. Of those of two characters that are of no interest
// the second one is read for itself, but for the equals sign.
func (l *lexer) operator() token {
	c, second := l.code[l.at], byte(0)
	if l.at+1 < len(l.code) {
		second = l.code[l.at+1]
	}
	t := token{kind: c, start: l.at}
	n := 1
	switch {
	case second == '=' && (c == '+' || c == '&' && l.basic):
		t.kind, n = tokenAppend, 2
	case second == '=' && c == '^':
		n = 2
	case second == '=' && strings.IndexByte("=!<>-*/%|&", c) >= 0, second == '>' && c == '=':
		t.kind, n = tokenOther, 2
	case second == c && strings.IndexByte("+-&|?*", c) >= 0 && !l.basic:
		t.kind, n = tokenOther, 2
	case c == '?' && second == '.':
		t.kind, n = '.', 2
	}
	l.at += n
	t.end = l.at
	return t
}

// space passes over white space and comments.
func (l *lexer) space() {
	for l.at < len(l.code) {
		rest := l.code[l.at:]
		two := string(rest[:min(2, len(rest))])
		switch c := rest[0]; {
		case c <= ' ':
			l.at++
		case two == "/*" && !l.basic:
			l.skip(bytes.Index(rest[2:], []byte("*/")), 4)
		case two == "//" && !l.basic, c == '\'' && l.basic:
			l.skip(bytes.IndexByte(rest, '\n'), 1)
		case c == '_' && l.basic && (len(rest) == 1 || rest[1] <= ' '): // the line goes on
			l.at++
		case bytes.HasPrefix(rest, []byte("<!--")):
			l.at += 4
		case bytes.HasPrefix(rest, []byte("-->")):
			l.at += 3
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			l.at += 9
		case bytes.HasPrefix(rest, []byte("]]>")):
			l.at += 3
		default:
			return
		}
	}
}

// skip goes on behind a comment's end, which was found at an offset and has n bytes
// with what was not searched.
func (l *lexer) skip(found, n int) {
	if found < 0 {
		l.at = len(l.code)
		return
	}
	l.at += found + n
}

// line is where the line ends that the lexer is in.
func (l *lexer) line() int {
	if l.lineEnd >= l.at {
		return l.lineEnd
	}
	l.lineEnd = len(l.code)
	if i := bytes.IndexByte(l.code[l.at:], '\n'); i >= 0 {
		l.lineEnd = l.at + i
	}
	return l.lineEnd
}

// quoted reads a string; ok is false when it has no end.
func (l *lexer) quoted(quote byte) (t token, ok bool) {
	if l.at < l.single[quote] {
		return t, false
	}
	t = token{kind: tokenString, start: l.at + 1}
	for i := t.start; i < len(l.code); i++ {
		switch c := l.code[i]; {
		case c == quote && l.basic && i+1 < len(l.code) && l.code[i+1] == quote:
			t.escaped = true
			i++
		case c == quote:
			t.end, l.at = i, i+1
			return t, true
		case c == '\\' && !l.basic:
			t.escaped = true
			t.hides = t.hides || hidesLetter(l.code[i:min(i+12, len(l.code))])
			if i++; i+1 < len(l.code) && l.code[i] == '\r' && l.code[i+1] == '\n' {
				i++
			}
		case c == '\n':
			l.single[quote] = i
			return t, false
		}
	}
	l.single[quote] = len(l.code)
	return t, false
}

// hidesLetter reports whether an escape stands for a letter or a digit.
func hidesLetter(escape []byte) bool {
	out, n, took := escapeNext(escape, true)
	return took > 2 && n == 1 && isWordByte(out[0])
}

// piece reads the piece of a template that begins here: up to the backtick, or
// the expression in it.
func (l *lexer) piece() (t token, expression bool) {
	t = token{kind: tokenString, start: l.at, end: len(l.code)}
	for i := l.at; i < len(l.code); i++ {
		switch c := l.code[i]; {
		case c == '\\':
			t.escaped = true
			t.hides = t.hides || hidesLetter(l.code[i:min(i+12, len(l.code))])
			i++
		case c == '`':
			t.end, l.at, l.before = i, i+1, tokenString
			return t, false
		case c == '$' && i+1 < len(l.code) && l.code[i+1] == '{':
			t.end, l.at, l.before = i, i+2, '{'
			return t, true
		}
	}
	l.at = len(l.code)
	return t, false
}

// regexp gives the end of a regular expression, its flags with it; 0 when it has none.
func (l *lexer) regexp() int {
	if l.at < l.single['/'] {
		return 0
	}
	class := false
	end := l.line()
	for i := l.at + 1; i < end; i++ {
		switch c := l.code[i]; {
		case c == '\\':
			i++
		case c == '[':
			class = true
		case c == ']':
			class = false
		case c == '/' && !class:
			for i++; i < len(l.code) && isLetter(l.code[i]); i++ {
			}
			return i
		}
	}
	l.single['/'] = end
	return 0
}

// escapeStep undoes the escapes of JavaScript's strings (ECMA-262, section 12.9.4).
func escapeStep() transform.Transformer { return &decoder{next: escapeNext} }

// escapeLength is the length of the longest escape that counts: \u{10FFFF}.
const escapeLength = 10

func escapeNext(src []byte, atEnd bool) (out [4]byte, n, took int) {
	if src[0] != '\\' {
		return [4]byte{src[0]}, 1, 1
	}
	if len(src) < escapeLength && !atEnd {
		return out, 0, 0
	}
	if len(src) < 2 {
		return out, 0, 1
	}
	var r rune
	length := 2
	switch c := src[1]; {
	case c == '\r' && len(src) > 2 && src[2] == '\n':
		return out, 0, 3
	case c == '\r', c == '\n':
		return out, 0, 2
	case c == 'x':
		r, length = escapeHex(src, 2)
	case c == 'u' && len(src) > 2 && src[2] == '{':
		r, length = escapeBraces(src)
	case c == 'u':
		r, length = escapeHex(src, 4)
	case c >= '0' && c <= '7':
		r, length = escapeOctal(src)
	default:
		if i := strings.IndexByte("bfnrtv", c); i >= 0 {
			r = rune("\b\f\n\r\t\v"[i])
		} else {
			return [4]byte{c}, 1, 2
		}
	}
	out, n = character(r)
	return out, n, length
}

func escapeHex(src []byte, digits int) (r rune, length int) {
	if r, ok := hexRune(src[2:], digits); ok {
		return r, 2 + digits
	}
	return rune(src[1]), 2
}

func escapeBraces(src []byte) (r rune, length int) {
	for i := 3; i < len(src) && i < escapeLength; i++ {
		v, ok := hexValue(src[i])
		if src[i] == '}' && i > 3 {
			return r, i + 1
		}
		if !ok {
			break
		}
		r = r<<4 | rune(v)
	}
	return rune(src[1]), 2
}

func escapeOctal(src []byte) (r rune, length int) {
	length = 1
	for length < min(len(src), 4) && src[length] >= '0' && src[length] <= '7' && r*8+rune(src[length]-'0') <= 0xff {
		r = r*8 + rune(src[length]-'0')
		length++
	}
	return r, length
}

// doubledStep undoes the doubled quotes of VBScript's strings.
func doubledStep() transform.Transformer {
	return &decoder{next: func(src []byte, atEnd bool) (out [4]byte, n, took int) {
		if src[0] != '"' {
			return [4]byte{src[0]}, 1, 1
		}
		if len(src) < 2 && !atEnd {
			return out, 0, 0
		}
		if len(src) > 1 && src[1] == '"' {
			return [4]byte{'"'}, 1, 2
		}
		return [4]byte{'"'}, 1, 1
	}}
}

// keywords are words, in lower case, that are no operands: one may follow.
var keywords = map[string]bool{
	"new": true, "return": true, "typeof": true, "void": true, "await": true, "yield": true, "case": true, "throw": true, "in": true, "of": true,
	"delete": true, "else": true, "do": true, "var": true, "let": true, "const": true, "dim": true, "set": true, "call": true, "and": true, "or": true,
	"not": true, "then": true, "xor": true, "mod": true,
}

func isKeyword(word []byte) bool {
	var lower [6]byte
	if len(word) > len(lower) {
		return false
	}
	for i, c := range word {
		lower[i] = c | 0x20
	}
	return keywords[string(lower[:len(word)])]
}
