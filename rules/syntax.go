package rules

import "strings"

// token is a piece of YARA source: a word, a string, a regular expression, a
// number, or one character that stands for itself.
type token struct {
	kind  tokenKind
	text  string
	start int // offset in the source
}

func (t token) end() int { return t.start + len(t.text) }

// is reports whether a token is this word or sign.
func (t token) is(text string) bool {
	return (t.kind == wordToken || t.kind == signToken) && t.text == text
}

type tokenKind int

const (
	wordToken   tokenKind = iota // of letters, digits and _; with $, # , @ or ! in front too
	stringToken                  // with its quotes
	regexToken                   // with its slashes
	signToken
)

// tokens splits YARA source. Comments and white space are left out. Of what is no
// YARA something comes out too: libyara is to say that it is wrong.
func tokens(src string) (list []token) {
	for i := 0; i < len(src); {
		n, kind := tokenAt(src[i:])
		if n == 0 {
			i++
			continue
		}
		if kind >= 0 {
			list = append(list, token{kind, src[i : i+n], i})
		}
		i += n
	}
	return list
}

const noToken tokenKind = -1

// tokenAt gives the length and the kind of what src begins with: 0 for white space.
func tokenAt(src string) (n int, kind tokenKind) {
	switch c := src[0]; {
	case c <= ' ':
		return 0, noToken
	case strings.HasPrefix(src, "//"):
		return until(src, "\n"), noToken
	case strings.HasPrefix(src, "/*"):
		return 2 + until(src[2:], "*/"), noToken
	case c == '"':
		return quoted(src, '"'), stringToken
	case c == '/': // division is written with a backslash
		return quoted(src, '/'), regexToken
	case isWord(c), strings.IndexByte("$#@!", c) >= 0 && len(src) > 1 && (isWord(src[1]) || c == '$'):
		n = 1
		for n < len(src) && isWord(src[n]) {
			n++
		}
		return n, wordToken
	}
	return 1, signToken
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// until gives the length of src up to and with mark.
func until(src, mark string) int {
	if i := strings.Index(src, mark); i >= 0 {
		return i + len(mark)
	}
	return len(src)
}

// quoted gives the length of what stands between two of a sign, with both.
func quoted(src string, sign byte) int {
	for i := 1; i < len(src); i++ {
		switch src[i] {
		case '\\':
			i++
		case sign:
			return i + 1
		case '\n':
			return i
		}
	}
	return len(src)
}

// declared is a rule in a source, as far as it is of interest here.
type declared struct {
	name      string
	strings   map[string][]token // what stands behind the "=" of each string
	condition []token
	start     int // offset of the brace that opens it
	end       int // behind the one that closes it
}

// declarations finds the rules in a source.
func declarations(list []token) (all []declared) {
	for i := 0; i+2 < len(list); i++ {
		if !list[i].is("rule") || list[i+1].kind != wordToken {
			continue
		}
		open := i + 2
		for open < len(list) && !list[open].is("{") {
			open++
		}
		end := closing(list, open)
		if end < 0 {
			return all
		}
		d := declared{name: list[i+1].text, start: list[open].start, end: list[end].end()}
		d.sections(list[open+1 : end])
		all = append(all, d)
		i = end
	}
	return all
}

// closing gives the index of the brace that closes the one at open, or -1.
func closing(list []token, open int) int {
	depth := 0
	for i := open; i < len(list); i++ {
		switch {
		case list[i].is("{"):
			depth++
		case list[i].is("}"):
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// sections takes a rule's strings and condition out of its body.
func (d *declared) sections(body []token) {
	d.strings = make(map[string][]token)
	section, name := "", ""
	for i, t := range body {
		if next := i + 1; next < len(body) && body[next].is(":") && (t.is("meta") || t.is("strings") || t.is("condition")) {
			if section = t.text; section == "condition" {
				d.condition = body[next+1:]
				return
			}
			continue
		}
		if section != "strings" {
			continue
		}
		if strings.HasPrefix(t.text, "$") && t.kind == wordToken {
			name = t.text
		} else if name != "" && !t.is("=") {
			d.strings[name] = append(d.strings[name], t)
		}
	}
}
