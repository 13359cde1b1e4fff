package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
)

// kwajOpener opens KWAJ files of COMPRESS.EXE of MS-DOS, as libmspack describes
// them (szdd_kwaj_format.html), in all five methods.
var kwajOpener = opener{name: "kwaj", match: kwajMatch, entries: kwajEntries}

const (
	kwajMagic      = "KWAJ\x88\xf0\x27\xd1"
	kwajHeaderSize = 14
)

// Flags: which fields follow the header, in this order.
const (
	kwajLength    = 1 << iota // of the unpacked file
	kwajTwoBytes              // of unknown use
	kwajData                  // of unknown use, behind their length
	kwajName                  // up to 8 bytes and a zero
	kwajExtension             // up to 3 bytes and a zero
	kwajText                  // behind its length
)

// kwajFile is what a header says.
type kwajFile struct {
	method uint16
	packed []byte
	name   []byte
	size   int64 // 0 when it is not said
}

func kwajMatch(data []byte) bool {
	return hasMagic(data, 0, kwajMagic) && len(data) >= kwajHeaderSize
}

func kwajEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		k := parseKWAJ(f.Data)
		m := member{name: unabridged(f.Name, 0), size: k.size}
		if len(k.name) > 0 {
			m.name = decodeName(k.name)
		}
		switch k.method {
		case 0:
			m.body = bytes.NewReader(k.packed)
		case 1:
			m.body = &inverted{k.packed}
		case 2:
			m.body = newLZSS(k.packed, qbasicStart)
		case 3:
			m.body = &kwajHuffman{bits: kwajBits{src: k.packed}, left: k.size, known: k.size > 0}
		case 4:
			m.body = &kwajMSZIP{src: k.packed}
		default:
			yield(m, fmt.Errorf("%w: number %d", ErrUnsupported, k.method))
			return
		}
		m.body = &sized{r: m.body, size: k.size}
		if k.packed == nil {
			m.body = nil
			yield(m, fmt.Errorf("%w: no place for its bytes", ErrDamaged))
			return
		}
		yield(m, nil)
	}
}

// parseKWAJ reads the header and the fields behind it.
func parseKWAJ(data []byte) (k kwajFile) {
	le := binary.LittleEndian
	k.method = le.Uint16(data[8:])
	if at := int(le.Uint16(data[10:])); at >= kwajHeaderSize && at <= len(data) {
		k.packed = data[at:len(data):len(data)]
	}
	flags, rest := le.Uint16(data[12:]), data[kwajHeaderSize:]
	take := func(n int) []byte {
		field := rest[:min(n, len(rest))]
		rest = rest[len(field):]
		return field
	}
	block := func() {
		if n := take(2); len(n) == 2 {
			take(int(le.Uint16(n)))
		}
	}
	text := func(most int) []byte {
		s, _, _ := bytes.Cut(rest[:min(most, len(rest))], []byte{0})
		take(min(len(s)+1, most))
		return s
	}
	if flags&kwajLength != 0 {
		if n := take(4); len(n) == 4 {
			k.size = int64(le.Uint32(n))
		}
	}
	if flags&kwajTwoBytes != 0 {
		take(2)
	}
	if flags&kwajData != 0 {
		block()
	}
	if flags&kwajName != 0 {
		k.name = text(9)
	}
	if flags&kwajExtension != 0 {
		k.name = bytes.Join([][]byte{k.name, text(4)}, []byte{'.'})
	}
	return k
}

// inverted gives bytes with all bits turned round.
type inverted struct{ src []byte }

// Read implements io.Reader.
func (v *inverted) Read(p []byte) (int, error) {
	if len(v.src) == 0 {
		return 0, io.EOF
	}
	n := min(len(p), len(v.src))
	for i, c := range v.src[:n] {
		p[i] = ^c
	}
	v.src = v.src[n:]
	return n, nil
}
