package mime

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxParams bounds the readings of the parameters of one field.
const maxParams = 128

// param is one reading of a parameter of a Content-Type or Content-Disposition.
type param struct {
	name    string // lower case, without RFC 2231's asterisks
	value   string // bytes as they stand, percent signs undone
	charset string // of RFC 2231; "": none given
	coded   bool   // in RFC 2231's form
}

// text decodes the value to UTF-8.
func (p param) text() string {
	if p.coded && p.charset != "" {
		if s, ok := decodeCharset(p.charset, []byte(p.value)); ok {
			return s
		}
	}
	return decodeText(p.value)
}

// parseParams reads the value of a field that has parameters (RFC 2045, section
// 5.1): its first word in lower case, and every reading of every parameter,
// RFC 2231's forms first.
func parseParams(value string) (word string, params []param) {
	plain := withoutComments(value)
	for i, s := range []string{plain, value} {
		if i > 0 && s == plain {
			break
		}
		s = strings.Replace(strings.Replace(s, " /", "/", 1), "/ ", "/", 1)
		end := strings.IndexAny(s, " \t;,") // any of them: a semicolon may be missing
		if end < 0 {
			end = len(s)
		}
		if i == 0 {
			word = strings.ToLower(strings.Trim(s[:end], "\"'<>"))
		}
		params = append(params, scanParams(s[end:])...)
	}
	return word, params
}

// scanParams reads "name=value; name=value". Whatever is between that does not
// fit is passed over.
func scanParams(s string) []param {
	var plain []param
	var pieces []piece
	for len(plain)+len(pieces) < maxParams {
		s = strings.TrimLeft(s, " \t;,")
		at := strings.IndexAny(s, "=;")
		if at < 0 {
			break
		}
		if s[at] == ';' {
			s = s[at:]
			continue
		}
		name := strings.ToLower(strings.TrimRight(s[:at], " \t"))
		name = name[strings.LastIndexAny(name, " \t,\"")+1:]
		var forms []string
		forms, s = paramValue(strings.TrimLeft(s[at+1:], " \t"))
		base, _, starred := strings.Cut(name, "*")
		if base == "" {
			continue
		}
		if starred {
			pieces = append(pieces, newPiece(name, forms[0]))
			continue
		}
		for _, form := range forms {
			plain = append(plain, param{name: clip(base), value: form})
		}
	}
	return append(joinPieces(pieces), plain...)
}

// paramValue reads the value that s starts with, in every form that some program
// reads, and gives the rest.
func paramValue(s string) (forms []string, rest string) {
	if strings.HasPrefix(s, `"`) {
		if end := closingQuote(s); end > 0 {
			raw := s[1:end]
			forms = []string{unescape(raw)}
			switch {
			case forms[0] == raw:
			case utf8.ValidString(raw) && !strings.Contains(raw, "\x1b"):
				forms = append(forms, raw)
			default: // the backslash is half of a character of Shift_JIS or ISO-2022-JP
				forms = []string{raw, forms[0]}
			}
			return forms, s[end+1:]
		}
		s = s[1:] // no end quote
		if semicolon := strings.IndexByte(s, ';'); semicolon >= 0 {
			return []string{s[:semicolon], s}, s[semicolon:]
		}
		return []string{s}, ""
	}
	end := strings.IndexByte(s, ';')
	if end < 0 {
		end = len(s)
	}
	whole := strings.TrimRight(s[:end], " \t")
	forms, rest = []string{whole}, s[end:]
	if at := strings.IndexAny(whole, " \t,("); at >= 0 {
		forms = append(forms, whole[:at])
		// A semicolon may be missing: the next parameter is in the rest too.
		if strings.Contains(whole[at:], "=") {
			rest = s[at:]
		}
	}
	if bare := strings.Trim(whole, `'"`); bare != whole {
		forms = append(forms, bare)
	}
	return forms, rest
}

// closingQuote gives the index of the quote that ends the quoted string at the
// start of s, or -1.
func closingQuote(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// unescape undoes quoted pairs (RFC 5322, section 3.2.4).
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// withoutComments gives s less its comments (RFC 5322, section 3.2.2). A comment
// that does not end is text.
func withoutComments(s string) string {
	if strings.IndexByte(s, '(') < 0 {
		return s
	}
	var b strings.Builder
	depth, from := 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '"' && depth == 0:
			if end := closingQuote(s[i:]); end > 0 {
				i += end
			}
		case c == '(':
			if depth++; depth == 1 {
				b.WriteString(s[from:i])
				from = i
			}
		case c == ')' && depth > 0:
			if depth--; depth == 0 {
				from = i + 1
			}
		}
	}
	b.WriteString(s[from:])
	return strings.TrimSpace(b.String())
}

// piece is a parameter in the form of RFC 2231: name*, name*0, name*0*.
type piece struct {
	name   string
	number int  // -1: not one of several
	coded  bool // percent signs, and a charset in the first
	value  string
}

func newPiece(name, value string) piece {
	base, rest, _ := strings.Cut(name, "*")
	number, coded := strings.CutSuffix(rest, "*")
	p := piece{name: clip(base), number: -1, coded: coded || rest == "", value: value}
	if n, err := strconv.Atoi(number); err == nil && n >= 0 {
		p.number = n
	}
	return p
}

// joinPieces puts the pieces of each parameter together in the order of their
// numbers (RFC 2231, sections 3 and 4).
func joinPieces(pieces []piece) []param {
	slices.SortStableFunc(pieces, func(a, b piece) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.number, b.number))
	})
	var params []param
	for i := 0; i < len(pieces); {
		first := pieces[i]
		p := param{name: first.name, coded: true}
		if first.coded {
			if charset, rest, ok := strings.Cut(first.value, "'"); ok {
				p.charset = charset
				if _, text, ok := strings.Cut(rest, "'"); ok {
					rest = text
				}
				first.value = rest
			}
		}
		p.value = first.text()
		for i++; i < len(pieces) && pieces[i].name == first.name && first.number >= 0; i++ {
			p.value += pieces[i].text()
		}
		params = append(params, p)
	}
	return params
}

// text gives the bytes of a piece.
func (p piece) text() string {
	if !p.coded {
		return p.value
	}
	b := make([]byte, 0, len(p.value))
	for i := 0; i < len(p.value); i++ {
		if c := p.value[i]; c == '%' && i+2 < len(p.value) {
			hi, lo := unhex[p.value[i+1]], unhex[p.value[i+2]]
			if hi|lo < 16 {
				b = append(b, hi<<4|lo)
				i += 2
				continue
			}
		}
		b = append(b, p.value[i])
	}
	return string(b)
}
