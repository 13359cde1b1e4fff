package unpack

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"golang.org/x/text/transform"
)

// script reads the scripts of one text for the strings that are put together in
// them. It runs nothing: it knows literals, variables, and the few operations by
// which strings are hidden, and passes over all the rest.
type script struct {
	values
	lexer
	tok       token
	variables map[string]value
	target    string   // the one that an expression is for
	names     []string // of the variables, in the order in which they were met
	found     []value  // strings to be looked at, once all scripts were read
	reverses  bool     // strings are turned round
	numbers   []rune   // by which others may be changed
	keys      []value  // strings that others may be changed by
	changes   []step   // by these numbers and strings, once all scripts were read
	fileName  string   // of what is hidden
	swaps     bool     // bytes are changed by ^
	encoded   bool     // some of it is said to be encoded, and is not as it should be
}

const (
	// maxNesting bounds how deep an expression is followed.
	maxNesting = 200

	// maxKeys bounds the numbers, and the strings, that hidden files are tried with.
	maxKeys = 24

	// maxVariables bounds how often variables are given values anew.
	maxVariables = 1 << 17

	// leastNumbers is the number of numbers in a row that may be a file.
	leastNumbers = 8
)

func newScript(text []byte, b *hiddenBudget) *script {
	return &script{values: values{src: text, budget: b}, variables: make(map[string]value)}
}

// read reads the script that stands in the text from start to end.
func (s *script) read(start, end int, basic bool) {
	s.encoded = s.encoded || hasStrayMark(s.src[start:end])
	s.lexer = lexer{code: s.src[:end], at: start, basic: basic}
	s.advance()
	for s.tok.kind != tokenEnd {
		at := s.tok.start
		s.settle(s.expression(0))
		if s.tok.start == at {
			s.advance()
		}
	}
}

// finish gives the strings that were put together and never used.
func (s *script) finish() []value {
	for _, name := range s.names {
		if v, ok := s.variables[name]; ok {
			s.settle(v)
		}
	}
	return s.found
}

// advance goes on to the next token, and takes note of what numbers are changed by.
func (s *script) advance() {
	operator := s.tok
	s.tok = s.next()
	switch s.tok.kind {
	case tokenNumber:
		word := s.src[operator.start:operator.end]
		if operator.kind == '^' || operator.kind == '-' || operator.kind == '+' || operator.kind == tokenName && bytes.EqualFold(word, []byte("xor")) {
			s.key(s.src[s.tok.start:s.tok.end])
		}
	case '^':
		s.swaps = true
	case tokenName:
		word := s.src[s.tok.start:s.tok.end]
		s.reverses = s.reverses || bytes.Equal(word, []byte("reverse")) || bytes.EqualFold(word, []byte("strreverse"))
		s.swaps = s.swaps || s.basic && bytes.EqualFold(word, []byte("xor"))
	}
}

func (s *script) key(digits []byte) {
	if r, ok := numberOf(bytes.TrimPrefix(digits, []byte{'&'})); ok && r > 0 && len(s.numbers) < maxKeys && !slices.Contains(s.numbers, r) {
		s.numbers = append(s.numbers, r)
	}
}

// word is the text of the present token, when it is a name.
func (s *script) word() string {
	if s.tok.kind != tokenName {
		return ""
	}
	word := string(s.src[s.tok.start:min(s.tok.end, s.tok.start+maxShort)])
	if s.basic {
		word = strings.ToLower(word)
	}
	return word
}

// settle takes note of a string that nothing more becomes of.
func (s *script) settle(v value) {
	if v == unknown || s.nodes[v].settled || !s.nodes[v].hides && s.nodes[v].kind != nodeList {
		return
	}
	s.nodes[v].settled = true
	s.found = append(s.found, v)
}

// expression reads operands with plus signs between them. Where one is unknown,
// the string ends, and another begins behind it.
func (s *script) expression(depth int) value {
	v := s.operand(depth)
	whole := true
	for s.tok.kind == '+' || s.basic && s.tok.kind == '&' {
		s.advance()
		w := s.operand(depth)
		both := unknown
		if v != unknown && w != unknown {
			both = s.join(v, w)
		}
		if both == unknown {
			whole = false
			s.settle(v)
			both = w
		}
		v = both
	}
	if !whole {
		s.settle(v)
		return unknown
	}
	return v
}

// ref is an operand: its value, and the variable or function that it may be.
type ref struct {
	value
	name string
}

// operand reads one operand. When none stands here nothing is read.
func (s *script) operand(depth int) value {
	for s.tok.kind == tokenName && isKeyword(s.src[s.tok.start:s.tok.end]) {
		s.advance()
	}
	if depth > maxNesting {
		return unknown
	}
	r := ref{value: unknown}
	switch t := s.tok; t.kind {
	case tokenString:
		r.value = s.literal(t)
		s.advance()
	case tokenNumber:
		r.value = s.span(nodeRaw, t.start, t.end, false)
		s.advance()
	case tokenTemplate:
		r.value = s.template(depth)
	case tokenRegexp:
		s.advance()
	case tokenName:
		r.name = s.word()
		if v, ok := s.variables[r.name]; ok {
			r.value = v
		} else if r.name == s.target {
			r.value = s.span(nodeRaw, t.start, t.start, false) // empty still
		}
		s.advance()
	case '[':
		r.value = s.array(depth)
	case '(':
		r.value = s.group(depth)
	default:
		return unknown
	}
	return s.behind(r, depth)
}

// group reads an expression in parentheses; of several the last one counts.
func (s *script) group(depth int) value {
	v := unknown
	for _, inner := range s.arguments(')', depth) {
		s.settle(v)
		v = inner
	}
	return v
}

// literal makes a node of a string. It is looked at for itself as well, when it
// is long enough to be a file.
func (s *script) literal(t token) value {
	kind := nodeRaw
	switch {
	case t.escaped && s.basic:
		kind = nodeDoubled
	case t.escaped:
		kind = nodeEscaped
	}
	v := s.span(kind, t.start, t.end, t.hides)
	if v == unknown {
		return v
	}
	switch n := t.end - t.start; {
	case n >= hiddenLeast:
		s.nodes[v].settled = true
		s.found = append(s.found, v)
	case n > 0 && len(s.keys) < maxKeys:
		s.keys = append(s.keys, v)
	}
	if s.fileName == "" {
		s.fileName = fileNameIn(s.src[t.start:t.end])
	}
	return v
}

// fileNameIn gives a string that looks like the name of a file worth hiding; "" when it does not.
func fileNameIn(text []byte) string {
	if len(text) > maxShort || len(text) < 4 || bytes.ContainsAny(text, "\\/:*?\"<>|\r\n\t,;=(){}") {
		return ""
	}
	switch strings.ToLower(path.Ext(string(text))) {
	case ".zip", ".rar", ".7z", ".gz", ".iso", ".img", ".vhd", ".vhdx", ".cab", ".lzh", ".exe", ".scr", ".dll", ".msi", ".bat", ".cmd", ".ps1",
		".js", ".jse", ".vbs", ".vbe", ".wsf", ".hta", ".lnk", ".url", ".doc", ".docm", ".docx", ".xls", ".xlsm", ".xlsx", ".xll", ".ppt", ".pptx",
		".rtf", ".pdf", ".one", ".chm", ".jar", ".html", ".htm", ".svg", ".eml", ".txt":
		return decodeName(text)
	}
	return ""
}

// template reads a template literal.
func (s *script) template(depth int) value {
	v, whole := unknown, true
	for {
		t, expression := s.piece()
		if piece := s.literal(t); v == unknown {
			v = piece
		} else if t.end > t.start {
			v = s.join(v, piece)
		}
		if !expression {
			break
		}
		w := s.substitution(depth)
		if w == unknown {
			s.settle(v)
			v, whole = unknown, false
		} else if v != unknown {
			v = s.join(v, w)
		}
	}
	s.advance()
	if !whole {
		s.settle(v)
		return unknown
	}
	return v
}

// substitution reads the expression in a template, up to its brace.
func (s *script) substitution(depth int) value {
	s.advance()
	v := s.expression(depth + 1)
	for open := 0; s.tok.kind != tokenEnd; s.advance() {
		switch s.tok.kind {
		case '{':
			open++
		case '}':
			if open--; open < 0 {
				return v
			}
		}
		s.settle(v)
		v = unknown
	}
	return v
}

// array reads a list in brackets.
func (s *script) array(depth int) value {
	if v := s.numberList(leastNumbers); v != unknown {
		return v
	}
	elements := s.arguments(']', depth)
	known := 0
	for _, e := range elements {
		if e != unknown {
			known++
		}
	}
	if known == 0 {
		return unknown
	}
	return s.list(elements)
}

// numberList makes a string of a list of numbers, if one stands behind the bracket
// that is the present token.
func (s *script) numberList(least int) value {
	count, end := numbersIn(s.code[s.at:])
	if count < least {
		return unknown
	}
	v := s.span(nodeNumbers, s.at, s.at+end, true)
	s.at += end
	s.before = ']'
	s.at++
	s.advance()
	return v
}

// numbersIn counts the numbers of a list, up to its bracket; none when there is
// anything else in it.
func numbersIn(src []byte) (count, end int) {
	inside := false
	for i, c := range src {
		switch {
		case c == ']' || c == ')':
			return count, i
		case c >= '0' && c <= '9', inside && isLetter(c):
			if !inside {
				count++
			}
			inside = true
		case c == ',' || c <= ' ' || c == '-' || c == '&' || c|0x20 == 'h' && i > 0 && src[i-1] == '&':
			inside = false
		default:
			return 0, 0
		}
	}
	return 0, 0
}

// arguments reads a list of expressions, from the bracket that is the present
// token up to the one that closes it.
func (s *script) arguments(closing byte, depth int) (list []value) {
	s.advance()
	item, first := unknown, true
	for s.tok.kind != tokenEnd {
		switch s.tok.kind {
		case closing:
			s.advance()
			if !first {
				list = append(list, item)
			}
			return list
		case ',':
			list = append(list, item)
			item, first = unknown, true
			s.advance()
			continue
		case ')', ']':
			return list // some bracket is missing
		}
		at := s.tok.start
		v := s.expression(depth + 1)
		if s.tok.start == at {
			s.advance()
		}
		if first {
			item = v
		} else {
			s.settle(item)
			s.settle(v)
			item = unknown
		}
		first = false
	}
	return list
}

// behind reads what stands behind an operand: properties, calls, assignments.
func (s *script) behind(r ref, depth int) value {
	for {
		switch s.tok.kind {
		case '.':
			s.advance()
			r = s.property(r, s.word(), depth)
		case '(':
			r = ref{value: s.call(r, depth)}
		case '[':
			r = s.index(r, depth)
		case tokenTemplate:
			s.settle(r.value)
			r = ref{value: s.template(depth)}
		case '=', tokenAppend:
			if r.name == "" {
				return r.value
			}
			return s.assign(r, depth)
		default:
			return r.value
		}
	}
}

// assign reads what a variable is set to, or what is put behind what it has.
func (s *script) assign(r ref, depth int) value {
	appended := s.tok.kind == tokenAppend
	s.advance()
	target := s.target
	s.target = r.name
	v := s.expression(depth + 1)
	s.target = target
	old, had := s.variables[r.name]
	switch {
	case v == unknown || !had:
	case appended:
		v = s.join(old, v)
	case !s.contains(v, old):
		s.settle(old)
	}
	if v == unknown {
		if had {
			s.settle(old)
		}
		delete(s.variables, r.name)
		return unknown
	}
	if !had && len(s.names) >= maxVariables {
		s.full = true
		s.settle(v)
		return unknown
	}
	if !had {
		s.names = append(s.names, r.name)
	}
	s.variables[r.name] = v
	if strings.HasSuffix(r.name, "download") {
		if name := s.short(v); len(name) > 0 {
			s.fileName = decodeName(name)
		}
	}
	return unknown
}

// contains reports whether a string was made by putting something before or behind another.
func (s *script) contains(v, part value) bool {
	for v > part && s.nodes[v].kind == nodeJoined {
		n := s.nodes[v]
		if value(n.b) == part {
			return true
		}
		v = value(n.a)
	}
	return v == part
}

// property reads what follows the name of a property, which is the present token:
// a method's arguments, or nothing.
func (s *script) property(r ref, name string, depth int) ref {
	if s.tok.kind != tokenName {
		return ref{value: unknown}
	}
	s.advance()
	return s.member(r, name, depth)
}

// member is property, the name being read.
func (s *script) member(r ref, name string, depth int) ref {
	if s.tok.kind == '(' {
		if r.value == unknown {
			return ref{value: unknown, name: name}
		}
		return ref{value: s.method(r.value, name, depth)}
	}
	switch r.name {
	case "window", "self", "globalThis", "top", "this", "document":
	default:
		name = "." + name
	}
	if v, ok := s.variables[name]; ok {
		return ref{value: v, name: name}
	}
	return ref{value: unknown, name: name}
}

// index reads an index: of a list, or the name of a property.
func (s *script) index(r ref, depth int) ref {
	inner := s.arguments(']', depth)
	if len(inner) != 1 || inner[0] == unknown {
		return ref{value: unknown}
	}
	name := s.short(inner[0])
	if r.value != unknown && s.nodes[r.value].kind == nodeList {
		list := s.nodes[r.value]
		if i, ok := numberOf(append(name, ' ')[:max(len(name), 1)]); ok && i < list.b {
			return ref{value: s.elements[list.a+i]}
		}
	}
	return s.member(r, string(name), depth)
}

// method calls a method of a string or a list.
func (s *script) method(v value, name string, depth int) value {
	pattern := s.peekRegexp()
	args := s.arguments(')', depth)
	argument := func(i int) value {
		if i < len(args) {
			return args[i]
		}
		return unknown
	}
	switch name {
	case "toString", "valueOf", "trim", "slice", "flat", "String":
		if len(args) == 0 {
			return v
		}
	case "join":
		return s.joinList(v, argument(0))
	case "reverse":
		return s.reverse(v)
	case "split":
		return s.split(v, argument(0))
	case "concat":
		for _, a := range args {
			v = s.join(v, a)
		}
		return v
	case "push":
		return s.push(v, args)
	case "replace", "replaceAll":
		if r := s.replaced(v, pattern, argument(0), argument(1), name == "replaceAll"); r != unknown {
			return r
		}
	}
	s.settle(v)
	return unknown
}

// peekRegexp gives the regular expression that is the first argument of a call,
// whose bracket is the present token.
func (s *script) peekRegexp() token {
	ahead := s.lexer
	if t := ahead.next(); t.kind == tokenRegexp {
		return t
	}
	return token{}
}

// split splits a string; into letters it stays as it is.
func (s *script) split(v, at value) value {
	if sep := s.short(at); len(sep) == 0 {
		return v
	}
	return s.add(node{kind: nodeSplit, a: int32(s.text(v)), b: int32(at), layers: s.nodes[v].layers, hides: true})
}

// push puts strings behind a list, in the variable that it is in.
func (s *script) push(v value, args []value) value {
	if s.nodes[v].kind != nodeList {
		return unknown
	}
	for _, a := range args {
		if a == unknown {
			continue
		}
		if all := s.join(value(s.nodes[v].c), a); all != unknown {
			s.nodes[v].c, s.nodes[v].b = int32(all), 0
		}
	}
	return unknown
}

// replaced replaces a string, or what a simple regular expression stands for.
func (s *script) replaced(v value, pattern token, old, with value, all bool) value {
	text := s.short(with)
	if pattern.kind != tokenRegexp {
		return s.replace(v, s.short(old), text, all)
	}
	expression := s.src[pattern.start+1 : pattern.end]
	end := bytes.LastIndexByte(expression, '/')
	set, plain, ok := simpleRegexp(expression[:end])
	if !ok {
		return unknown
	}
	all = bytes.IndexByte(expression[end:], 'g') >= 0
	if set == nil {
		return s.replace(v, plain, text, all)
	}
	return s.step(v, func() transform.Transformer { return &replacer{set: set, with: text, all: all} })
}

// simpleRegexp reads a regular expression that is a plain text, or one class of
// characters.
func simpleRegexp(e []byte) (set *[256]bool, plain []byte, ok bool) {
	class := len(e) > 2 && e[0] == '[' && e[1] != '^'
	if class {
		set = new([256]bool)
		e = bytes.TrimSuffix(bytes.TrimSuffix(e[1:], []byte{'+'}), []byte{']'})
	}
	for i := 0; i < len(e) && len(e) <= maxShort; i++ {
		c := e[i]
		if c == '\\' && i+1 < len(e) && !isWordByte(e[i+1]) {
			i++
			c = e[i]
		} else if c == '\\' || !class && strings.IndexByte(".*+?()[]{}|^$", c) >= 0 || class && c == '-' && i > 0 && i+1 < len(e) {
			return nil, nil, false
		}
		plain = append(plain, c)
		if class {
			set[c] = true
		}
	}
	return set, plain, len(plain) > 0
}

// functions are those whose result is known. Scripts call them by other objects
// as well: window.atob.
var functions = map[string]func(*script, []value) value{
	"atob":               decodes(base64Step),
	"unescape":           decodes(percentStep),
	"decodeURIComponent": decodes(percentStep),
	"decodeURI":          decodes(percentStep),
	"String":             first,
	"strreverse":         func(s *script, a []value) value { return s.reverse(a[0]) },
	"join":               func(s *script, a []value) value { return s.joinList(a[0], last(a)) },
	"Array":              func(s *script, a []value) value { return s.list(a) },
	"array":              func(s *script, a []value) value { return s.list(a) },
	"replace": func(s *script, a []value) value {
		if len(a) < 3 {
			return unknown
		}
		return s.replace(a[0], s.short(a[1]), s.short(a[2]), true)
	},
}

func first(_ *script, a []value) value { return a[0] }

func last(a []value) value {
	if len(a) < 2 {
		return unknown
	}
	return a[1]
}

func decodes(d step) func(*script, []value) value {
	return func(s *script, a []value) value { return s.step(a[0], d) }
}

// call calls a function. What an unknown one is given is looked at, and so is
// what a known one decodes: that it is right nobody knows.
func (s *script) call(r ref, depth int) value {
	name := strings.TrimPrefix(r.name, ".")
	switch name {
	case "fromCharCode", "fromCodePoint", "chr", "chrw", "Uint8Array", "Int8Array":
		if v := s.numberList(1); v != unknown {
			return v
		}
	}
	args := s.arguments(')', depth)
	for _, a := range args {
		s.settle(a)
	}
	f := functions[name]
	if f == nil || len(args) == 0 || args[0] == unknown {
		if name == "Uint8Array" && len(args) > 0 {
			return args[0]
		}
		return unknown
	}
	return f(s, args)
}
