package report

import (
	"strings"
	"unicode"
)

// Limits of what a report shows of names that came with the message.
const (
	nameMax    = 120     // characters of a file name, an address, the name of malware
	nameTail   = 40      // of which at its end: the extension tells what the file is
	nameRead   = 4 << 10 // bytes looked at, at either end of a longer one
	pathMax    = 8       // names of a path
	marksMax   = 3       // combining marks on one character
	replaced   = '\uFFFD'
	separator  = " › "
	ellipsis   = "…"
	notAnyName = "\u115F\u1160\u3164\uFFA0\u2800\u034F" // letters and symbols that show nothing
)

// Line makes a string that came with the message fit to stand in a line of
// a report: it stays one line, is shown in the order in which it is written, hides
// nothing, cannot pass for a path or a link, and has a bounded length.
func Line(s string) string {
	if len(s) > 2*nameRead {
		s = s[:nameRead] + ellipsis + s[len(s)-nameRead:]
	}
	s = strings.ReplaceAll(s, "://", "：//")
	var out []rune
	spaces, marks := 0, 0
	for _, r := range strings.TrimSpace(s) {
		if unicode.Is(unicode.Zs, r) && r != '\u3000' {
			r = ' '
		}
		switch {
		case !unicode.IsGraphic(r), strings.ContainsRune(notAnyName, r):
			r = replaced // control, line ends, direction, zero width, private use, unassigned
		case r == '›':
			r = '>'
		}
		if spaces++; r != ' ' && r != '\u3000' {
			spaces = 0
		}
		if marks++; !unicode.IsMark(r) {
			marks = 0
		}
		if spaces > 2 || marks > marksMax {
			continue // spaces that push the extension out of sight; marks piled over other lines
		}
		out = append(out, r)
	}
	if len(out) > nameMax {
		out = append(append(out[:nameMax-nameTail-1:nameMax-nameTail-1], []rune(ellipsis)...), out[len(out)-nameTail:]...)
	}
	return strings.TrimSpace(string(out))
}

// harmlessPath shows the way to an object: 請求書.zip › setup.exe.
func harmlessPath(names []string) string {
	if len(names) > pathMax {
		names = append(append(names[:pathMax/2:pathMax/2], ellipsis), names[len(names)-pathMax/2:]...)
	}
	shown := make([]string, len(names))
	for i, name := range names {
		if shown[i] = Line(name); shown[i] == "" {
			shown[i] = "?"
		}
	}
	return strings.Join(shown, separator)
}
