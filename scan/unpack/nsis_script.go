package unpack

import (
	"encoding/binary"
	"strings"
	"unicode/utf16"
)

// nsisScript is a compiled script: what the installer does, entry by entry, and the
// strings that it does it with (exehead/fileform.h of NSIS). What it is written to
// it keeps, to be parsed at the end.
type nsisScript struct {
	bytes []byte
	names map[uint32]string // of files, by the place of their items behind the script
}

const (
	nsisEntrySize   = 28 // a number for what is done, and six parameters
	nsisExtractFile = 20 // parameters: whether to overwrite, the name, the place of the item

	// The blocks of a script, in the order of the offsets and numbers behind its flags.
	nsisEntryBlock  = 2
	nsisStringBlock = 3
	nsisBlocks      = 8
)

// Write implements io.Writer.
func (s *nsisScript) Write(b []byte) (int, error) {
	s.bytes = append(s.bytes, b[:min(len(b), maxNSISScript-len(s.bytes))]...)
	return len(b), nil
}

// parse looks through the entries for those that unpack a file.
func (s *nsisScript) parse() {
	le := binary.LittleEndian
	entries, number, table := s.blocks()
	s.names = make(map[uint32]string)
	for range number {
		if len(entries) < nsisEntrySize {
			break
		}
		e := entries[:nsisEntrySize]
		entries = entries[nsisEntrySize:]
		if le.Uint32(e) != nsisExtractFile {
			continue
		}
		if at := le.Uint32(e[12:]); s.names[at] == "" {
			s.names[at] = nsisString(table, le.Uint32(e[8:]))
		}
	}
	s.bytes = nil
}

// blocks finds the entries and the strings. Offsets have eight bytes in the
// installers of 64 bits.
func (s *nsisScript) blocks() (entries []byte, number uint32, table []byte) {
	le := binary.LittleEndian
	for _, wide := range []int{0, 4} {
		size := 8 + wide
		if len(s.bytes) < 4+nsisBlocks*size {
			return nil, 0, nil
		}
		e, t := s.bytes[4+nsisEntryBlock*size:], s.bytes[4+nsisStringBlock*size:]
		from, to := int(le.Uint32(e)), int(le.Uint32(t))
		if from < 4+nsisBlocks*size || from >= len(s.bytes) {
			continue
		}
		if to > 0 && to < len(s.bytes) {
			table = s.bytes[to:]
		}
		return s.bytes[from:], le.Uint32(e[4+wide:]), table
	}
	return nil, 0, nil
}

// nsisString reads a string of the table. In a table of UTF-16 the first one, which
// is empty, takes two bytes.
func nsisString(table []byte, at uint32) string {
	wide := len(table) > 1 && table[0] == 0 && table[1] == 0
	if wide {
		at *= 2
	}
	if int64(at) >= int64(len(table)) {
		return ""
	}
	raw := table[at:]
	raw = raw[:min(len(raw), maxName)]
	name := ""
	if wide {
		name = nsisWide(raw)
	} else {
		name = nsisNarrow(raw)
	}
	return cutName(strings.ReplaceAll(name, `\`, "/"))
}

// What a string has a code for.
const (
	nsisLang  = 1 + iota // a text in the language of the user
	nsisShell            // a folder of the system
	nsisVar              // a variable
	nsisSkip             // nothing: the next character is one
)

// nsisWide reads a string of UTF-16. Codes are the characters from 1 on; in the
// Unicode NSIS of Jim Park those from U+E000 on, in another order.
func nsisWide(raw []byte) string {
	var units []uint16
	for ; len(raw) >= 2; raw = raw[2:] {
		u := binary.LittleEndian.Uint16(raw)
		if u == 0 {
			break
		}
		code := int(u)
		if u >= 0xe000 && u <= 0xe003 {
			code = [...]int{nsisSkip, nsisVar, nsisShell, nsisLang}[u-0xe000]
		}
		if code > nsisSkip || len(raw) < 4 {
			units = append(units, u)
			continue
		}
		raw = raw[2:]
		if u = binary.LittleEndian.Uint16(raw); code == nsisSkip {
			units = append(units, u)
		} else {
			units = append(units, utf16.Encode([]rune(nsisCoded(code, int(u&0x7fff))))...)
		}
	}
	return string(utf16.Decode(units))
}

// nsisNarrow reads a string of bytes. Codes are those from 1 on, before version 3
// those down from 255.
func nsisNarrow(raw []byte) string {
	var text []byte
	for i := 0; i < len(raw) && raw[i] != 0; i++ {
		code := int(raw[i])
		if code >= 252 {
			code = [...]int{nsisSkip, nsisVar, nsisShell, nsisLang}[code-252]
		}
		switch {
		case code > nsisSkip || i+2 >= len(raw):
			text = append(text, raw[i])
		case code == nsisSkip:
			i++
			text = append(text, raw[i])
		default:
			text = append(text, nsisCoded(code, int(raw[i+1]&0x7f)|int(raw[i+2]&0x7f)<<7)...)
			i += 2
		}
	}
	return decodeName(text)
}

// nsisVariables are the variables that stand for folders and files, by their number.
var nsisVariables = map[int]string{
	21: "$INSTDIR", 22: "$OUTDIR", 23: "$EXEDIR", 25: "$TEMP", 26: "$PLUGINSDIR", 27: "$EXEPATH", 28: "$EXEFILE",
}

// nsisCoded gives what people know a code by.
func nsisCoded(code, number int) string {
	if name := nsisVariables[number]; code == nsisVar && name != "" {
		return name
	}
	return "$"
}
