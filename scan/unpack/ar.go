package unpack

import (
	"bytes"
	"fmt"
	"iter"
	"strconv"
)

// arOpener opens archives of ar, Debian packages among them: with the long names
// of System V and GNU, and with those of BSD (ar(5) of FreeBSD). The members of a
// thin archive are elsewhere.
var arOpener = opener{name: "ar", match: arMatch, entries: arEntries}

const (
	arMagic     = "!<arch>\n"
	arThinMagic = "!<thin>\n"
	arHeader    = 60
	arEnd       = "`\n" // of a header
)

func arMatch(data []byte) bool { return hasMagic(data, 0, arMagic) || hasMagic(data, 0, arThinMagic) }

func arEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		if hasMagic(f.Data, 0, arThinMagic) {
			yield(member{}, fmt.Errorf("%w: the members of a thin archive are elsewhere", ErrUnsupported))
			return
		}
		f.read(0, len(arMagic))
		a := &arReader{data: f.Data, file: f, at: len(arMagic), yield: yield}
		for a.at < len(a.data) && a.next() {
		}
	}
}

var errArCut = fmt.Errorf("%w: cut short", ErrDamaged)

// arReader reads one archive.
type arReader struct {
	data  []byte
	file  File
	at    int
	names []byte // the table of long names
	yield func(member, error) bool
}

// next reads a member and reports whether to go on.
func (a *arReader) next() bool {
	if string(a.data[a.at:]) == "\n" {
		return false // padding
	}
	size, ok := arSize(a.data, a.at)
	if !ok {
		// Of members of an odd length some programs leave the padding out.
		if _, ok := arSize(a.data, a.at-1); ok {
			a.at--
			return true
		}
		return a.resume()
	}
	field := bytes.TrimRight(a.data[a.at:a.at+16], " ")
	start := a.at + arHeader
	content := a.data[start:min(int64(len(a.data)), int64(start)+size)]
	cut := int64(len(content)) < size
	a.file.read(a.at, start+len(content)+len(content)&1)
	a.at = start + len(content) + len(content)&1
	switch string(field) {
	case "//":
		a.names = content
		return !cut || a.yield(member{}, errArCut)
	case "/", "/SYM64/": // names of what is in the members
		return !cut || a.yield(member{}, errArCut)
	}
	name, content := a.name(field, content)
	m := member{name: decodeName(name), data: content}
	if cut {
		return a.yield(m, errArCut)
	}
	return a.yield(m, nil)
}

// arSize reads the size in the header at an offset.
func arSize(data []byte, at int) (size int64, ok bool) {
	if at < len(arMagic) || at+arHeader > len(data) || !hasMagic(data, at+58, arEnd) {
		return 0, false
	}
	size, err := strconv.ParseInt(string(bytes.TrimSpace(data[at+48:at+58])), 10, 64)
	return size, err == nil && size >= 0
}

// name is a member's name, and what is left of its bytes: BSD puts long names in
// front of them.
func (a *arReader) name(field, content []byte) (name, rest []byte) {
	if long, ok := bytes.CutPrefix(field, []byte("#1/")); ok {
		if n, err := strconv.Atoi(string(long)); err == nil && n >= 0 && n <= len(content) {
			return bytes.TrimRight(content[:n], "\x00"), content[n:]
		}
	}
	if offset, ok := bytes.CutPrefix(field, []byte("/")); ok {
		if n, err := strconv.Atoi(string(offset)); err == nil && n >= 0 && n < len(a.names) {
			field, _, _ = bytes.Cut(a.names[n:min(len(a.names), n+2*maxName)], []byte("\n"))
		}
	}
	return bytes.TrimSuffix(field, []byte("/")), content
}

// resume looks for the next header behind damage.
func (a *arReader) resume() bool {
	if !a.yield(member{}, fmt.Errorf("%w: no header where one should be", ErrDamaged)) {
		return false
	}
	for from := a.at; ; {
		i := bytes.Index(a.data[from:], []byte(arEnd))
		if i < 0 {
			return false
		}
		from += i + len(arEnd)
		if at := from - arHeader; at > a.at {
			if _, ok := arSize(a.data, at); ok {
				a.at = at
				return true
			}
		}
	}
}
