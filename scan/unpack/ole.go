package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"
)

// oleOpener opens compound files of OLE 2 (MS-CFB): documents of Office before
// 2007 and encrypted ones since, projects of VBA, messages of Outlook, installers
// of Windows, objects embedded in any of these. What may carry something comes
// out: embedded files, macros, attachments. The text of a document does not: it
// stands in the file as it is.
var oleOpener = opener{name: "ole", match: oleMatch, entries: oleEntries}

func oleMatch(data []byte) bool {
	return (bytes.HasPrefix(data, []byte(ole1Magic)) || bytes.HasPrefix(data, []byte(cfbBeta))) && isCFBHeader(data)
}

// oleReader hands out what is in one compound file.
type oleReader struct {
	*cfb
	file     File
	out      int64          // bytes of the file that may still be handed out, or searched
	projects map[int]bool   // storages whose macros have been looked at
	modules  map[int64]bool // macros that have been handed out, by their place in the file

	yield func(member, error) bool
	done  bool
}

// oleOverlap bounds how often the bytes of a file are handed out, or searched, on average.
const oleOverlap = 16

func oleEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		r := &oleReader{cfb: openCFB(f.Data), file: f, yield: yield,
			out: oleOverlap*int64(len(f.Data)) + 1<<20, projects: make(map[int]bool), modules: make(map[int64]bool)}
		for i := range r.entries {
			if r.done {
				return
			}
			r.entry(i)
		}
		r.unlisted()
		f.read(0, r.end())
		if r.problem != "" {
			r.emit(member{}, fmt.Errorf("%w: %s", ErrDamaged, r.problem))
		}
		if r.many {
			r.emit(member{}, &LimitError{"objects"})
		}
	}
}

// cfbCutoff is the length from which streams have sectors of their own (section 2.2).
// The header has it as well, and there are programs that look there.
const cfbCutoff = 4096

// entry looks at one entry of the directory.
func (r *oleReader) entry(i int) {
	e := &r.entries[i]
	if i == 0 || !e.isStream() {
		return
	}
	mini := e.size < cfbCutoff
	s := r.open(e)
	if (e.size < r.cutoff) != mini {
		if other := r.stream(e, !mini); !other.cut {
			r.look(r.path(i), other)
		}
	}
	if e.deleted && (s.cut || s.more) {
		return // its sectors have been given to others
	}
	if s.more { // longer than told
		whole := *e
		whole.size = math.MaxInt64 >> 1
		if long := r.stream(&whole, mini); long.more {
			r.damaged(plainName(e.name) + " goes in a ring")
		} else {
			long.cut = false
			r.look(r.path(i), long)
		}
	}
	r.known(i, s)
}

// open finds the bytes of an entry. It ends the work on files whose streams lie over one
// another.
func (r *oleReader) open(e *cfbEntry) *cfbStream {
	s := r.stream(e, e.size < cfbCutoff)
	if r.work <= 0 {
		r.overlap()
	}
	return s
}

func (r *oleReader) overlap() {
	r.emit(member{}, &LimitError{"overlap"})
	r.done = true
}

// oleCarriers are the names of streams that hold an object. Those that hold a
// document's own text, in the root, do not come out.
var oleCarriers = map[string]bool{
	"\x01ole10native": true, "package": true, "contents": true, "\x03ocxdata": true, "equation native": true,
	"f": true, "o": true, // of forms (MS-OFORMS, section 2.1.2)
	"worddocument": false, "workbook": false, "book": false, "powerpoint document": false,
}

// known hands out what a stream holds, going by its name and its content.
func (r *oleReader) known(i int, s *cfbStream) {
	e, name := &r.entries[i], strings.ToLower(r.entries[i].name)
	carrier, named := oleCarriers[name]
	switch {
	case name == "\x01ole10native":
		r.native(s)
	case strings.HasPrefix(name, msgPrefix):
		r.property(e, s)
		return
	case name == "dir":
		r.project(e.parent)
	case name == "encryptedpackage":
		r.encrypted(e, s)
		return
	case name == "workbook", name == "book":
		r.workbook(plainName(e.name), s)
	case name == "worddocument":
		r.document(e, s)
	case name == "powerpoint document":
		r.slides(s)
	case name == "current user":
		r.currentUser(s)
	case name == "\x09drmcontent":
		r.emit(member{name: r.path(i)}, fmt.Errorf("%w: protected by rights management", ErrEncrypted))
	}
	switch {
	case carrier, named && (e.parent != 0 || len(s.runs) > 1), strings.HasPrefix(msiName(e.name), "Binary."):
		r.give(r.path(i), s, 0, s.size)
	case s.cut && !e.deleted:
		r.look(r.path(i), s)
		r.damaged(plainName(e.name) + " cut short")
	default:
		r.look(r.path(i), s)
	}
}

// look hands out a stream when it looks like a file, or lies in pieces, so that
// nothing in it can be found in the file as it stands. Of short ones only names
// and properties are divided, and what has a name of its own here.
func (r *oleReader) look(name string, s *cfbStream) {
	if len(s.runs) > 1 && s.size >= cfbCutoff || isOLEFile(s.head(oleHead)) {
		r.give(name, s, 0, s.size)
	}
}

// oleHead is how many bytes of a stream are looked at, in search of a file's beginning.
const oleHead = 1 << 10

// isOLEFile reports whether a stream begins as a file that may carry something.
func isOLEFile(head []byte) bool {
	for _, magic := range fileMagics {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return len(head) >= hiddenLeast && (isDER(head) || string(head[2:5]) == "-lh" || string(head[:2]) == "\x60\xea" || bytes.Contains(head, []byte("%PDF-")))
}

// native hands out what is in a stream of native data of OLE 1 (MS-OLEDS, section
// 2.3.6): the length, the data, which may be a package.
func (r *oleReader) native(s *cfbStream) {
	head := s.head(rtfHead)
	if len(head) <= 4 {
		return
	}
	size := int64(binary.LittleEndian.Uint32(head))
	if size == 0 || size > s.size-4 {
		size = s.size - 4
	}
	for _, at := range []int64{4, 0} {
		if int64(len(head)) < at+2 || binary.LittleEndian.Uint16(head[at:]) != 2 {
			continue
		}
		p, ok := parsePackage(head[at:])
		if !ok {
			continue
		}
		start := at + int64(p.start)
		tail := make([]byte, min(max(s.size-start-p.size, 0), rtfHead))
		_, _ = s.ReadAt(tail, start+p.size) // what is there
		if name := packageName(tail); name != "" {
			p.name = name
		}
		if p.size > s.size-start {
			r.emit(member{name: p.name}, fmt.Errorf("%w: cut short", ErrDamaged))
		}
		r.give(p.name, s, start, min(p.size, s.size-start))
		return
	}
	if isOLEFile(head[4:]) {
		r.give("native data", s, 4, size)
	}
}

// give hands out n bytes of a stream from at on.
func (r *oleReader) give(name string, s *cfbStream, at, n int64) {
	if r.spend(n); r.done {
		return
	}
	m := member{name: name, data: s.plain(at, n)}
	if m.data == nil {
		m.body, m.size = io.NewSectionReader(s, at, n), n
	}
	var err error
	if at+n == s.size {
		err = s.problem()
	}
	r.emit(m, err)
}

// spend takes n bytes that are handed out, or searched, off those that may be.
func (r *oleReader) spend(n int64) {
	if r.out -= n + 64; r.out < 0 && !r.done {
		r.overlap()
	}
}

// emit hands out a member, or what is wrong with it.
func (r *oleReader) emit(m member, err error) {
	if !r.done {
		r.done = !r.yield(m, err)
	}
}
