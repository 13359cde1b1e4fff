package mime

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of the parameters that are kept of one field. What the part goes by has
// the larger number.
const (
	maxAsked  = 1024
	maxParams = 64
)

// Bounds of one value, in bytes, before anything is decoded: of those that the
// part goes by, and of the others.
const (
	maxValue = 8 << 10
	maxOther = 1 << 10
)

// maxOverlap bounds the bytes of values of one field that other values lie in.
const maxOverlap = 64 << 10

// isAsked reports whether a part goes by the parameter.
func isAsked(name string) bool {
	return name == "boundary" || name == "name" || name == "filename" || name == "start"
}

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
// RFC 2231's forms first. all is false when a reading that the part may go by was
// left out, or cut.
func parseParams(value string) (word string, params []param, all bool) {
	plain := withoutComments(value)
	all = true
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
			word = strings.ToLower(strings.Trim(s[:min(end, maxName)], "\"'<>"))
		}
		scan := paramScanner{s: s[end:], overlap: min(len(s), maxOverlap) + 1<<10}
		scan.run()
		pieces, whole := joinPieces(scan.pieces)
		params = append(append(params, pieces...), scan.plain...)
		all = all && whole && !scan.short
	}
	return word, params, all
}

// paramScanner reads "name=value; name=value". Whatever is between that does not
// fit is passed over.
//
// Where semicolons are missing, a value may go on to the end of the field, and so
// may the next one, which lies within it: overlap is how many bytes such readings
// may have together, so that the work stays in proportion to the field.
type paramScanner struct {
	s         string // what is left of the field
	semicolon int    // length of s behind the next semicolon; 0: there is none
	found     bool   // semicolon was looked for
	overlap   int
	again     int // values that were read as a parameter themselves

	plain  []param
	pieces []piece
	asked  int // readings of what a part goes by
	others int
	short  bool // something that a part goes by was left out, or cut
}

// run reads all parameters.
func (p *paramScanner) run() {
	for {
		p.s = strings.TrimLeft(p.s, " \t;,")
		at := strings.IndexAny(p.s, "=;")
		if at < 0 {
			return
		}
		if p.s[at] == ';' {
			p.s = p.s[at:]
			continue
		}
		name := paramName(p.s[:at])
		p.s = strings.TrimLeft(p.s[at+1:], " \t")
		base, _, starred := strings.Cut(name, "*")
		forms := p.value(base)
		if base == "" || !p.hasRoom(base) {
			continue
		}
		if starred {
			p.pieces = append(p.pieces, newPiece(name, forms[0]))
			continue
		}
		for _, form := range forms {
			p.plain = append(p.plain, param{name: clip(base), value: form})
		}
	}
}

// hasRoom counts a parameter, and reports whether to keep it.
func (p *paramScanner) hasRoom(name string) bool {
	if !isAsked(name) {
		p.others++
		return p.others <= maxParams
	}
	p.asked++
	p.short = p.short || p.asked > maxAsked
	return p.asked <= maxAsked
}

// paramName gives the name in what stands before an equals sign: the last word
// of it or, where that makes a name that a part goes by, all of it.
func paramName(s string) string {
	s = strings.ToLower(strings.Trim(s[max(0, len(s)-maxName):], " \t\""))
	last := s[strings.LastIndexAny(s, " \t,\"")+1:]
	joined := strings.Join(strings.Fields(s), "")
	if base, _, _ := strings.Cut(joined, "*"); isAsked(base) {
		return joined
	}
	return last
}

// value reads the value that is next, in every form that some program reads; of
// a parameter that a part does not go by, in one.
func (p *paramScanner) value(name string) (forms []string) {
	if strings.HasPrefix(p.s, `"`) {
		forms = p.quoted()
	} else {
		forms = p.token(name)
	}
	if !isAsked(name) {
		forms[0] = forms[0][:min(len(forms[0]), maxOther)]
		return forms[:1]
	}
	for i, form := range forms {
		forms[i] = p.cut(form)
	}
	return forms
}

// quoted reads a quoted string.
func (p *paramScanner) quoted() (forms []string) {
	end := closingQuote(p.s)
	if end < 0 { // at most once in a field: another quote would be its end
		all := p.s
		first, _, _ := strings.Cut(all, ";")
		p.s = all[len(first):]
		if first == all {
			return []string{all[1:], all}
		}
		return []string{first[1:], all[1:], first, all}
	}
	raw := p.s[1:end]
	p.s = p.s[end+1:]
	forms = []string{unescape(raw)}
	switch {
	case forms[0] == raw:
	case utf8.ValidString(raw) && !strings.Contains(raw, "\x1b"):
		forms = append(forms, raw)
	default: // the backslash is half of a character of Shift_JIS or ISO-2022-JP
		forms = []string{raw, forms[0]}
	}
	return forms
}

// maxAgain bounds how often a value is read as a parameter itself.
const maxAgain = 4

// token reads a value without quotes.
func (p *paramScanner) token(name string) (forms []string) {
	end := p.nextSemicolon()
	whole, word := p.s[:end], p.s[:end]
	if at := strings.IndexAny(whole, " \t,("); at >= 0 {
		// A semicolon may be missing: the next parameter is in the rest too.
		word = whole[:at]
	}
	if again := word[:min(len(word), len(name)+1)]; strings.EqualFold(again, name+"=") && p.again < maxAgain {
		p.again++ // "boundary=boundary=x"
	} else {
		p.s = p.s[len(word):]
	}
	if !isAsked(name) {
		return []string{word}
	}
	if len(word) < len(whole) {
		if whole = strings.TrimRight(p.cut(whole), " \t"); p.overlap < len(whole) {
			p.short = true
		} else {
			p.overlap -= len(whole)
			forms = append(forms, whole)
		}
	}
	if len(word) < len(whole) || len(forms) == 0 {
		forms = append(forms, word)
	}
	for _, form := range forms {
		if bare := strings.Trim(form, `'"`); bare != form {
			forms = append(forms, bare)
		}
		if bare := unescape(form); bare != form {
			forms = append(forms, bare)
		}
	}
	return forms
}

// nextSemicolon gives the index of the next semicolon, or the end. It is looked
// for once, not for each of the parameters before it.
func (p *paramScanner) nextSemicolon() int {
	if !p.found || p.semicolon > len(p.s) {
		p.found = true
		_, rest, ok := strings.Cut(p.s, ";")
		p.semicolon = len(rest) + 1
		if !ok {
			p.semicolon = 0
		}
	}
	return len(p.s) - p.semicolon
}

// cut takes the middle out of a value that is too long: the end of a file name
// says how a program opens it.
func (p *paramScanner) cut(value string) string {
	if len(value) <= maxValue {
		return value
	}
	p.short = true
	head, tail := maxValue/2, len(value)-maxValue/2
	for range utf8.UTFMax - 1 { // not within a character
		if !utf8.RuneStart(value[head]) {
			head--
		}
		if !utf8.RuneStart(value[tail]) {
			tail++
		}
	}
	return value[:head] + value[tail:]
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

// maxOrders bounds the ways to put the pieces of one parameter together.
const maxOrders = 32

// joinPieces puts the pieces of each parameter together (RFC 2231, sections 3 and
// 4). all is false when there were too many ways, or a value came out too long and
// was cut.
func joinPieces(pieces []piece) (params []param, all bool) {
	var names []string
	byName := make(map[string][]piece)
	for _, p := range pieces {
		if byName[p.name] == nil {
			names = append(names, p.name)
		}
		byName[p.name] = append(byName[p.name], p)
	}
	all = true
	slices.Sort(names)
	for _, name := range names {
		orders := pieceOrders(byName[name])
		all = all && (len(orders) <= maxOrders || !isAsked(name))
		for _, order := range orders[:min(len(orders), maxOrders)] {
			p, whole := joinOrder(order)
			all = all && whole
			if !slices.Contains(params, p) {
				params = append(params, p)
			}
		}
	}
	return params, all
}

// pieceOrders gives the orders in which programs put the pieces of a parameter
// together, the likeliest first: by number, by number with one of each only, up
// to the first number that is missing, as they come.
func pieceOrders(pieces []piece) [][]piece {
	var orders [][]piece
	numbered := slices.DeleteFunc(slices.Clone(pieces), func(p piece) bool {
		if p.number < 0 { // a whole value
			orders = append(orders, []piece{p})
		}
		return p.number < 0
	})
	if len(numbered) == 0 {
		return orders
	}
	byNumber := func(a, b piece) int { return cmp.Compare(a.number, b.number) }
	same := func(a, b piece) bool { return a.number == b.number }
	sorted := slices.SortedStableFunc(slices.Values(numbered), byNumber)
	first := slices.CompactFunc(slices.Clone(sorted), same)
	slices.Reverse(numbered)
	last := slices.CompactFunc(slices.SortedStableFunc(slices.Values(numbered), byNumber), same)
	slices.Reverse(numbered)
	gap := 1
	for gap < len(first) && first[gap].number == first[gap-1].number+1 {
		gap++
	}
	return append(orders, sorted, first, last, first[:gap], numbered)
}

// joinOrder puts pieces together as they come.
func joinOrder(pieces []piece) (p param, all bool) {
	first := pieces[0]
	p = param{name: first.name, coded: true}
	if first.coded {
		if charset, rest, ok := strings.Cut(first.value, "'"); ok {
			p.charset = charset
			if _, text, ok := strings.Cut(rest, "'"); ok {
				rest = text
			}
			first.value = rest
		}
	}
	var value strings.Builder
	value.WriteString(first.text())
	for _, next := range pieces[1:] {
		if value.Len() > 2*maxValue {
			return param{name: p.name, value: value.String(), charset: p.charset, coded: true}, false
		}
		value.WriteString(next.text())
	}
	p.value = value.String()
	return p, true
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
