package scan

import (
	"bytes"
	"slices"
	"strings"

	"kiyome/scan/unpack"
)

// kinds are the formats that rules ask for by name and that are told by their
// first bytes. Containers that are opened name themselves.
var kinds = []struct{ name, magic string }{
	{"exe", "MZ"},
	{"elf", "\x7fELF"},
	{"pdf", "%PDF-"},
	{"ole", "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"},
	{"rtf", `{\rt`},
	{"lnk", "L\x00\x00\x00\x01\x14\x02\x00"},
	{"macho", "\xCF\xFA\xED\xFE"},
	{"macho", "\xCE\xFA\xED\xFE"},
	{"rar", "Rar!\x1A\x07"},
	{"7z", "7z\xBC\xAF\x27\x1C"},
	{"cab", "MSCF\x00\x00\x00\x00"},
	{"png", "\x89PNG\r\n\x1A\n"},
	{"jpg", "\xFF\xD8\xFF"},
	{"gif", "GIF8"},
}

// kindOf names the format of an object by its content, in upper case: "EXE",
// "ZIP", …; "" when it is not known.
func kindOf(f unpack.File) string {
	for _, k := range kinds {
		if bytes.HasPrefix(f.Data, []byte(k.magic)) {
			return strings.ToUpper(k.name)
		}
	}
	if formats := unpack.Detect(f); len(formats) > 0 {
		return strings.ToUpper(formats[0])
	}
	return ""
}

// mailFields are fields by which a message is known.
var mailFields = []string{
	"bcc", "cc", "content-type", "date", "delivered-to", "from", "message-id", "mime-version",
	"received", "reply-to", "return-path", "sender", "subject", "to",
}

// messageHead is how many bytes of an object are read to tell whether it is a message.
const messageHead = 64 << 10

// looksLikeMessage reports whether data begins as a message does: with header
// fields, two of which are known (RFC 5322, section 3.6 asks for two).
func looksLikeMessage(data []byte) bool {
	known := 0
	first := true
	for line := range bytes.Lines(data[:min(len(data), messageHead)]) {
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0, known == 2:
			return known == 2
		case line[0] == ' ' || line[0] == '\t': // the field goes on
			if first {
				return false
			}
		case first && bytes.HasPrefix(line, []byte("From ")): // of a mailbox file
		default:
			name, _, ok := bytes.Cut(line, []byte(":"))
			if !ok || !isFieldName(name) {
				return false
			}
			if slices.Contains(mailFields, strings.ToLower(string(name))) {
				known++
			}
		}
		first = false
	}
	return known == 2
}

// isFieldName reports whether name can name a field (RFC 5322, section 3.6.8),
// within the length of any in use.
func isFieldName(name []byte) bool {
	if len(name) == 0 || len(name) > 76 {
		return false
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}
