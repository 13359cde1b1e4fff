package unpack

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// ole1Object is an embedded object of OLE 1 (MS-OLEDS, section 2.2.5).
type ole1Object struct {
	class string // of the program that it belongs to: "Package", "Equation.3"
	start int    // of the native data
	size  int64  // of the native data; as the object tells
}

// ole1Embedded is the FormatID of an object whose data are there; that of a link
// is 1 (section 2.2.4).
const ole1Embedded = 2

// ole1Magic is how a compound file of OLE 2 begins (MS-CFB, section 2.2).
const ole1Magic = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

// parseOLE1 reads the header of an object, of which head is the beginning.
func parseOLE1(head []byte) (o ole1Object, ok bool) {
	const fixed = 8 // OLEVersion, which nobody looks at, and FormatID
	if len(head) < fixed || binary.LittleEndian.Uint32(head[4:]) != ole1Embedded {
		return o, false
	}
	at := fixed
	for i := range 3 { // ClassName, TopicName, ItemName
		text, next, ok := ole1String(head, at)
		if !ok {
			return o, false
		}
		if i == 0 {
			o.class = decodeName(bytes.TrimRight(text, "\x00"))
		}
		at = next
	}
	if len(head) < at+4 {
		return o, false
	}
	o.start, o.size = at+4, int64(binary.LittleEndian.Uint32(head[at:]))
	return o, true
}

// ole1String reads a string behind its length (section 2.1.4).
func ole1String(data []byte, at int) (text []byte, next int, ok bool) {
	if len(data)-at < 4 {
		return nil, 0, false
	}
	n := binary.LittleEndian.Uint32(data[at:])
	if at += 4; int64(n) > int64(len(data)-at) {
		return nil, 0, false
	}
	return data[at : at+int(n)], at + int(n), true
}

// ole1Package is a file that the Object Packager has embedded. Its layout is
// published nowhere; this is what programs have found of it.
type ole1Package struct {
	name  string
	start int   // of the file in the native data
	size  int64 // of the file; as the package tells
}

// maxPackageName is the length in bytes from which no text is taken for a path.
const maxPackageName = 1024

// parsePackage reads the header of a package, of which head is the beginning:
// a number (2), the name, the path that it had, two numbers (0 and 3), the path
// of a copy behind its length, the file behind its length.
func parsePackage(head []byte) (p ole1Package, ok bool) {
	at := 2
	var names [2][]byte
	for i := range names {
		rest := head[min(at, len(head)):]
		end := bytes.IndexByte(rest[:min(len(rest), maxPackageName)], 0)
		if end < 0 {
			return p, false
		}
		names[i] = rest[:end]
		at += end + 1
	}
	temp, at, ok := ole1String(head, at+4)
	if !ok || len(temp) > maxPackageName || len(head) < at+4 {
		return p, false
	}
	p.start, p.size = at+4, int64(binary.LittleEndian.Uint32(head[at:]))
	for _, name := range [][]byte{names[0], names[1], bytes.TrimRight(temp, "\x00")} {
		if p.name = windowsBase(decodeName(name)); p.name != "" {
			break
		}
	}
	return p, true
}

// windowsBase is what stands behind the last separator of a path of Windows.
func windowsBase(path string) string { return path[strings.LastIndexAny(path, `\/:`)+1:] }

// packageFile gives the file in a package: the native data of an object of class
// "Package", or a stream "\x01Ole10Native", which begins with its length. content
// is nil when data do not look like one.
func packageFile(data []byte) (name string, content []byte) {
	for _, at := range []int{0, 4} {
		if len(data) < at+2 || binary.LittleEndian.Uint16(data[at:]) != 2 {
			continue
		}
		p, ok := parsePackage(data[at:])
		if !ok || p.size > int64(len(data)-at-p.start) {
			continue
		}
		end := at + p.start + int(p.size)
		if name := packageName(data[end:]); name != "" {
			p.name = name
		}
		return p.name, data[at+p.start : end : end]
	}
	return "", nil
}

// packageName reads a package's name in UTF-16, which stands behind the file,
// second of three texts; "" when there is none.
func packageName(rest []byte) (name string) {
	for range 2 {
		if len(rest) < 4 {
			return ""
		}
		n := 2 * int64(binary.LittleEndian.Uint32(rest))
		if rest = rest[4:]; n > min(int64(len(rest)), 2*maxPackageName) {
			return ""
		}
		name, rest = wideName(rest[:n]), rest[n:]
	}
	return windowsBase(name)
}
