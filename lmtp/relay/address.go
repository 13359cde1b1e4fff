package relay

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxAddress bounds an address, in bytes; RFC 5321, section 4.5.3.1.3, asks for 256.
const maxAddress = 1000

// Valid reports whether an address, its local part without quotes, can stand in a command.
func Valid(address string) bool {
	at := strings.LastIndexByte(address, '@')
	if at < 1 || at == len(address)-1 || len(address) > maxAddress || !utf8.ValidString(address) {
		return false
	}
	return !strings.ContainsFunc(address, unicode.IsControl) && !strings.ContainsAny(address[at:], "<>\" \\")
}

// path writes an address, whose local part is without quotes, as a path
// (RFC 5321, section 4.1.2).
func path(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return "<" + address + ">" // the null sender
	}
	return "<" + quoted(address[:at]) + address[at:] + ">"
}

// quoted puts a local part in quotes where it is no dot-string.
func quoted(local string) string {
	special := func(r rune) bool { return strings.ContainsRune(`()<>[]:;\,"@ `, r) || r == '\t' }
	dots := strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") || strings.Contains(local, "..")
	if local != "" && !dots && !strings.ContainsFunc(local, special) {
		return local
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
}

// ASCII reports whether all addresses are of ASCII: others need SMTPUTF8.
func ASCII(addresses ...string) bool {
	for _, a := range addresses {
		for _, c := range []byte(a) {
			if c >= 0x80 {
				return false
			}
		}
	}
	return true
}
