package mime

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
)

// charset finds a character set by the name that mail programs give it: those of
// the WHATWG's list, and Microsoft's names for the Japanese ones. Nil: unknown.
func charset(name string) encoding.Encoding {
	name = strings.ToLower(strings.Trim(name, " \t\"'"))
	name, _, _ = strings.Cut(name, "*") // RFC 2231, section 5: a language
	switch name {
	case "cp932", "ms932", "windows-932", "windows-31j", "cswindows31j", "ms_kanji", "x-ms-cp932", "shift-jis", "sjis", "x-sjis":
		return japanese.ShiftJIS // with the characters of windows-31j
	case "iso-2022-jp-ms", "iso2022jp", "cp50220", "cp50221", "cp50222", "iso-2022-jp-1", "iso-2022-jp-2", "iso-2022-jp-3", "iso-2022-jp-2004":
		return japanese.ISO2022JP
	case "eucjp", "euc-jp-ms", "eucjp-ms", "eucjp-win", "cp51932", "ujis":
		return japanese.EUCJP
	case "ascii", "us":
		name = "us-ascii"
	case "utf8mb4", "utf-8-mac":
		name = "utf-8"
	}
	if number, ok := strings.CutPrefix(name, "cp125"); ok {
		name = "windows-125" + number
	}
	e, err := htmlindex.Get(name)
	if err != nil || e == encoding.Replacement {
		return nil
	}
	return e
}

// decodeCharset converts b to UTF-8; ok is false when the name is unknown.
func decodeCharset(name string, b []byte) (s string, ok bool) {
	e := charset(name)
	if e == nil {
		return "", false
	}
	return convert(e, b), true
}

// convert converts b; what it cannot convert becomes U+FFFD.
func convert(e encoding.Encoding, b []byte) string {
	out, err := e.NewDecoder().Bytes(b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\ufffd")
	}
	return strings.ToValidUTF8(string(out), "\ufffd")
}

// guess converts text that names no character set: UTF-8 or ISO-2022-JP where it
// is that; else whichever of Shift_JIS and EUC-JP it fits; else Windows-1252,
// which everything fits.
func guess(b []byte) string {
	if bytes.Contains(b, []byte("\x1b$")) || bytes.Contains(b, []byte("\x1b(J")) || bytes.Contains(b, []byte("\x1b(I")) {
		return convert(japanese.ISO2022JP, b)
	}
	if utf8.Valid(b) {
		return string(b)
	}
	sjis, euc := convert(japanese.ShiftJIS, b), convert(japanese.EUCJP, b)
	sjisOdd, eucOdd := misfit(sjis), misfit(euc)
	switch {
	case min(sjisOdd, eucOdd) >= 1000:
		return convert(charmap.Windows1252, b)
	case eucOdd < sjisOdd:
		return euc
	}
	return sjis
}

// misfit says how unlike Japanese text a conversion looks: 1000 for what could
// not be converted, 1 for each halfwidth katakana, of which EUC-JP read as
// Shift_JIS is full.
func misfit(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case r == utf8.RuneError || r >= 0x80 && r < 0xa0:
			n += 1000
		case r >= 0xff61 && r <= 0xff9f:
			n++
		}
	}
	return n
}

// word is an encoded word of RFC 2047.
type word struct {
	charset string
	bytes   []byte
}

// decodeText decodes the encoded words in a field's value, and guesses the
// character set of what is raw 8-bit. Words in a row that share a character set
// are joined before they are converted: senders break them within a character.
func decodeText(s string) string {
	var out strings.Builder
	var run word // that is not converted yet
	flush := func() {
		if run.bytes != nil {
			out.WriteString(run.text())
			run = word{}
		}
	}
	plain := 0 // start of text that is not written yet
	for at := 0; ; {
		i := strings.Index(s[at:], "=?")
		if i < 0 {
			break
		}
		at += i
		w, n, ok := parseWord(s[at:])
		if !ok {
			at += 2
			continue
		}
		// Blanks between words are not text (RFC 2047, section 6.2).
		if between := s[plain:at]; run.bytes == nil || strings.Trim(between, " \t\r\n") != "" {
			flush()
			out.WriteString(guess([]byte(between)))
		}
		if run.bytes != nil && !strings.EqualFold(run.charset, w.charset) {
			flush()
		}
		run.charset, run.bytes = w.charset, append(run.bytes, w.bytes...)
		if run.bytes == nil {
			run.bytes = []byte{}
		}
		at += n
		plain = at
	}
	flush()
	out.WriteString(guess([]byte(s[plain:])))
	return out.String()
}

// text converts the word to UTF-8.
func (w word) text() string {
	if s, ok := decodeCharset(w.charset, w.bytes); ok {
		return s
	}
	return guess(w.bytes)
}

// maxWord bounds the length of an encoded word. RFC 2047 allows 75; some senders
// put a whole file name into one.
const maxWord = 1500

// parseWord reads the encoded word that s starts with; n is its length.
func parseWord(s string) (w word, n int, ok bool) {
	s = s[:min(len(s), maxWord)]
	name, rest, ok := strings.Cut(s[2:], "?")
	if !ok || name == "" || len(name) > 64 || len(rest) < 2 || rest[1] != '?' {
		return word{}, 0, false
	}
	text, _, ok := strings.Cut(rest[2:], "?=")
	if !ok {
		return word{}, 0, false
	}
	n = 2 + len(name) + 1 + 2 + len(text) + 2
	w.charset = name
	switch rest[0] {
	case 'b', 'B':
		w.bytes = decodeB(text)
	case 'q', 'Q':
		w.bytes = decodeQ(text)
	default:
		return word{}, 0, false
	}
	return w, n, true
}

// decodeB undoes the B encoding, whatever padding it has.
func decodeB(s string) []byte {
	if b, err := base64.StdEncoding.DecodeString(s); err == nil {
		return b
	}
	r := base64Reader{src: []byte(s)}
	return r.all()
}

// decodeQ undoes the Q encoding (RFC 2047, section 4.2).
func decodeQ(s string) []byte {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '_':
			b = append(b, ' ')
		case c == '=' && i+2 < len(s) && unhex[s[i+1]]|unhex[s[i+2]] < 16:
			b = append(b, unhex[s[i+1]]<<4|unhex[s[i+2]])
			i += 2
		default:
			b = append(b, c)
		}
	}
	return b
}

// A name longer than maxName runes keeps its first nameHead and its last ones:
// the end says how a program opens the file.
const (
	maxName  = 255
	nameHead = 200
)

// clip makes a name safe to keep: valid UTF-8, no NUL, at most maxName runes.
func clip(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "")
	if len(s) <= maxName {
		return s
	}
	runes := []rune(s)
	if len(runes) <= maxName {
		return s
	}
	tail := runes[len(runes)-(maxName-nameHead-1):]
	return string(runes[:nameHead]) + "…" + string(tail)
}

// Text converts bytes of a part to UTF-8: from the character set that its byte
// order mark or its header names, else, or where the bytes do not fit that, from
// whichever they look like.
func (p *Part) Text(b []byte) string {
	e := charset(p.Params["charset"])
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xfe")), bytes.HasPrefix(b, []byte("\xfe\xff")):
		e = unicode.UTF16(unicode.BigEndian, unicode.ExpectBOM)
	case e == nil, e == charmap.Windows1252: // named when nothing was meant by it
		return guess(b)
	}
	s := convert(e, b)
	if strings.ContainsRune(s, utf8.RuneError) && !strings.ContainsRune(guess(b), utf8.RuneError) {
		return guess(b)
	}
	return s
}
