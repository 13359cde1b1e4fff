package unpack

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
)

// maxName is the length in bytes to which names are cut. No file system takes
// longer components, and a visitor may keep 100,000 names.
const maxName = 1024

// decodeName decodes a file name of unknown charset: UTF-8 when it is valid,
// else cp932 when that is, else cp437, in which everything is.
func decodeName(raw []byte) string {
	if utf8.Valid(raw) {
		return utf8Name(raw)
	}
	if name, ok := cp932Name(raw); ok {
		return name
	}
	raw = raw[:min(len(raw), 2*maxName)]
	s, err := charmap.CodePage437.NewDecoder().Bytes(raw)
	if err != nil {
		return utf8Name(raw)
	}
	return cutName(string(s))
}

// cp932Name decodes a file name if it is one in cp932.
func cp932Name(raw []byte) (name string, ok bool) {
	raw = raw[:min(len(raw), 2*maxName)]
	// x/text's Shift_JIS is that of the WHATWG: cp932 with its extensions.
	s, err := japanese.ShiftJIS.NewDecoder().Bytes(raw)
	if err != nil || bytes.ContainsRune(s, utf8.RuneError) {
		return "", false
	}
	return cutName(string(s)), true
}

// utf8Name decodes a file name that is said to be UTF-8.
func utf8Name(raw []byte) string {
	raw = raw[:min(len(raw), 2*maxName)]
	return cutName(strings.ToValidUTF8(string(raw), "\uFFFD"))
}

// cutName cuts valid UTF-8 to maxName bytes.
func cutName(s string) string {
	if len(s) <= maxName {
		return s
	}
	n := maxName
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
