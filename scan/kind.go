package scan

import (
	"bytes"
	"path"
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

// mailFields are fields by which a message is known, besides those of MIME, all
// of which begin with mimeField.
var mailFields = []string{
	"bcc", "cc", "date", "delivered-to", "from", "message-id", "mime-version",
	"received", "reply-to", "return-path", "sender", "subject", "to",
}

const mimeField = "content-"

const (
	// messageHead is how many bytes of an object are read to tell whether it is a message.
	messageHead = 64 << 10

	// messageJunk is how many lines that are no fields may stand in the header.
	messageJunk = 4
)

// isMailFile reports whether mail programs open a file of this name as a message.
func isMailFile(name string) bool { return strings.EqualFold(path.Ext(name), ".eml") }

// looksLikeMessage reports whether data begins as a message does: with header
// fields, two of which are known (RFC 5322, section 3.6 asks for two), or with
// so many that none of them is read to the end. With lines of junk one of MIME
// must be among them: without those a message holds nothing but its text.
func looksLikeMessage(data []byte) bool {
	head := data[:min(len(data), messageHead)]
	known, fields, junk, isMIME := 0, 0, 0, false
	for line := range bytes.Lines(head) {
		whole := line[len(line)-1] == '\n' || len(head) == len(data)
		line = bytes.TrimRight(line, "\r\n")
		name, _, ok := bytes.Cut(line, []byte(":"))
		switch {
		case len(line) == 0:
			return false
		case !whole || fields > 0 && (line[0] == ' ' || line[0] == '\t'): // the field goes on
		case fields == 0 && bytes.HasPrefix(line, []byte("From ")): // of a mailbox file
		case ok && isFieldName(name):
			fields++
			field := strings.ToLower(string(name))
			isMIME = isMIME || strings.HasPrefix(field, mimeField)
			if strings.HasPrefix(field, mimeField) || slices.Contains(mailFields, field) {
				known++
			}
		case junk < messageJunk:
			junk++
		default:
			return false
		}
		if known >= 2 && (junk == 0 || isMIME) {
			return true
		}
	}
	return fields > 0 && junk == 0 && len(data) > len(head)
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
