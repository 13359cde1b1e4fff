package unpack

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// codePages are the charsets that Windows knows by number.
var codePages = map[uint32]encoding.Encoding{
	437: charmap.CodePage437, 850: charmap.CodePage850, 852: charmap.CodePage852, 855: charmap.CodePage855,
	858: charmap.CodePage858, 860: charmap.CodePage860, 862: charmap.CodePage862, 863: charmap.CodePage863,
	865: charmap.CodePage865, 866: charmap.CodePage866, 874: charmap.Windows874,
	1250: charmap.Windows1250, 1251: charmap.Windows1251, 1252: charmap.Windows1252, 1253: charmap.Windows1253,
	1254: charmap.Windows1254, 1255: charmap.Windows1255, 1256: charmap.Windows1256, 1257: charmap.Windows1257, 1258: charmap.Windows1258,
	20866: charmap.KOI8R, 21866: charmap.KOI8U, 28591: charmap.ISO8859_1, 28592: charmap.ISO8859_2, 28605: charmap.ISO8859_15,
	932: japanese.ShiftJIS, 20932: japanese.EUCJP, 51932: japanese.EUCJP, 50220: japanese.ISO2022JP, 50221: japanese.ISO2022JP,
	936: simplifiedchinese.GBK, 54936: simplifiedchinese.GB18030, 949: korean.EUCKR, 51949: korean.EUCKR, 950: traditionalchinese.Big5,
}

// decodePage decodes a name in a code page of Windows; of unknown charset when
// that is not known, or does not fit.
func decodePage(raw []byte, page uint32) string {
	raw = raw[:min(len(raw), 2*maxName)]
	if charset, ok := codePages[page]; ok {
		if s, err := charset.NewDecoder().Bytes(raw); err == nil && !bytes.ContainsRune(s, utf8.RuneError) {
			return cutName(string(s))
		}
	}
	return decodeName(raw)
}

// wideName decodes a name in UTF-16, little-endian, that ends at a NUL or with raw.
func wideName(raw []byte) string {
	units := make([]uint16, 0, min(len(raw)/2, maxName))
	for ; len(raw) >= 2 && len(units) < maxName; raw = raw[2:] {
		u := binary.LittleEndian.Uint16(raw)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return cutName(string(utf16.Decode(units)))
}
