package config

import (
	"fmt"
	"regexp"
	"strings"
)

// lines tells on which line each key of a TOML document stands. The library
// gives positions of syntax errors only.
type lines map[string]int

// of gives the line of a key, or of the nearest table around it.
func (l lines) of(key string) int {
	for key != "" {
		if n, ok := l[key]; ok {
			return n
		}
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			break
		}
		key = key[:i]
	}
	return 1
}

// locator reads a document that the TOML library has accepted: nothing in it needs to be judged again.
type locator struct {
	text  string
	at    int
	found lines
	lists map[string]int // how many [[tables]] of a name there were
}

func locate(text string) lines {
	l := &locator{text: text, found: make(lines), lists: make(map[string]int)}
	table := ""
	for l.skipBlank(); l.at < len(l.text); l.skipBlank() {
		line := 1 + strings.Count(l.text[:l.at], "\n")
		if l.text[l.at] != '[' {
			key := l.key(table)
			l.found[key] = line
			l.skipValue()
			continue
		}
		list := strings.HasPrefix(l.text[l.at:], "[[")
		l.at += len("[")
		if list {
			l.at += len("[")
		}
		table = l.key("")
		if list {
			l.lists[table]++
			table = l.indexed(table)
		}
		l.found[table] = line
		l.skipLine()
	}
	return l.found
}

// key reads a dotted key and puts it under table.
func (l *locator) key(table string) string {
	key := table
	for {
		l.skipSpace()
		key = join(l.indexed(key), l.keyPart())
		l.skipSpace()
		if l.at >= len(l.text) || l.text[l.at] != '.' {
			return key
		}
		l.at++
	}
}

// indexed adds the number of the latest [[table]] to the name of one.
func (l *locator) indexed(key string) string {
	if n := l.lists[key]; n > 0 {
		return fmt.Sprintf("%s[%d]", key, n-1)
	}
	return key
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+`)

func (l *locator) keyPart() string {
	if l.at < len(l.text) && strings.IndexByte(`"'`, l.text[l.at]) >= 0 {
		start := l.at
		l.skipString()
		return strings.Trim(l.text[start:l.at], `"'`)
	}
	part := bareKey.FindString(l.text[l.at:])
	l.at += len(part)
	return part
}

// skipValue goes on behind "= value", over as many lines as the value takes.
func (l *locator) skipValue() {
	depth := 0
	for l.at < len(l.text) {
		switch c := l.text[l.at]; c {
		case '"', '\'':
			l.skipString()
			continue
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '#':
			l.skipLine()
			continue
		case '\n':
			if depth == 0 {
				return
			}
		}
		l.at++
	}
}

// skipString goes on behind a string of any of the four kinds.
func (l *locator) skipString() {
	quote := l.text[l.at : l.at+1]
	basic := quote == `"`
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(l.text[l.at:], triple) {
		quote = triple
	}
	for l.at += len(quote); l.at < len(l.text); l.at++ {
		if basic && l.text[l.at] == '\\' {
			l.at++
			continue
		}
		if strings.HasPrefix(l.text[l.at:], quote) {
			l.at += len(quote)
			// A multi-line string may end in up to two quotes of its own.
			for len(quote) == 3 && strings.HasPrefix(l.text[l.at:], quote[:1]) {
				l.at++
			}
			return
		}
	}
}

func (l *locator) skipSpace() {
	for l.at < len(l.text) && strings.IndexByte(" \t", l.text[l.at]) >= 0 {
		l.at++
	}
}

// skipBlank goes to the next key or table.
func (l *locator) skipBlank() {
	for l.at < len(l.text) {
		switch l.text[l.at] {
		case ' ', '\t', '\r', '\n':
			l.at++
		case '#':
			l.skipLine()
		default:
			return
		}
	}
}

// skipLine goes to the line end.
func (l *locator) skipLine() {
	if i := strings.IndexByte(l.text[l.at:], '\n'); i >= 0 {
		l.at += i
		return
	}
	l.at = len(l.text)
}

// join puts a key under a table, quoted where TOML asks for it.
func join(table, key string) string {
	if bareKey.FindString(key) != key || key == "" {
		key = quote(key)
	}
	if table == "" {
		return key
	}
	return table + "." + key
}
