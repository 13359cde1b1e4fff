package unpack

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"iter"
	"strings"
)

// rarOpener opens RAR archives, 1.5 to 7, also behind a program that unpacks them.
//
// The library reads an archive from its beginning, and stops where a header is
// damaged. So the headers are walked here, and it is given one member at a time,
// as an archive of that member alone; those that were packed as one, or encrypted,
// together.
var rarOpener = opener{name: "rar", match: rarMatch, entries: rarEntries}

// rarMaxWindow is the largest dictionary that a member gets: the library makes
// room for all of it at once.
const rarMaxWindow = 64 << 20

func rarMatch(data []byte) bool {
	if isRAR14(data) {
		return true
	}
	for at := range stubs(data, rarMagic, 4) {
		if at == 0 || rarBegins(data[at:]) {
			return true
		}
	}
	return false
}

// isRAR14 reports whether data begins as RAR 1.4 has it: with the size of a header.
func isRAR14(data []byte) bool {
	return len(data) >= 7 && string(data[:4]) == rar14Magic && data[4] >= 7 && data[5] < 0x10
}

// rarFormatOf is the format that a magic number stands for; nil when there is none.
func rarFormatOf(data []byte) (f rarFormat, size int) {
	switch {
	case bytes.HasPrefix(data, []byte(rar4Magic)):
		return rar4{}, len(rar4Magic)
	case bytes.HasPrefix(data, []byte(rar5Magic)):
		return rar5{}, len(rar5Magic)
	}
	return nil, 0
}

// rarBegins reports whether an archive begins where a magic number stands.
func rarBegins(data []byte) bool {
	format, at := rarFormatOf(data)
	if format == nil {
		return false
	}
	b, ok := format.block(data, at)
	return ok && b.sound && (b.kind == rarMain || b.kind == rarCrypt)
}

func rarEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		if isRAR14(f.Data) {
			yield(member{}, fmt.Errorf("%w: RAR 1.4", ErrUnsupported))
			return
		}
		end, archives := 0, 0
		for at := range stubs(f.Data, rarMagic, 4) {
			if at < end || at > 0 && !rarBegins(f.Data[at:]) {
				continue
			}
			if archives++; archives > maxArchives {
				yield(member{}, &LimitError{"overlap"})
				return
			}
			format, begin := rarFormatOf(f.Data[at:])
			if format == nil {
				if !yield(member{}, fmt.Errorf("%w: version of RAR, or cut short", ErrUnsupported)) {
					return
				}
				continue
			}
			a := &rarArchive{file: f, format: format, data: f.Data[at:], at: begin, yield: yield}
			if a.read(); a.done {
				return
			}
			end = at + a.at
		}
	}
}

// rarArchive is one archive.
type rarArchive struct {
	file     File
	format   rarFormat
	data     []byte // from its magic number on
	at       int    // of the next block
	yield    func(member, error) bool
	done     bool // nobody wants more
	old      bool // as RAR 2 and before made it: nothing marks its end
	restarts int
	searched int // bytes of headers, behind damage

	run      []rarBlock // files that are unpacked together
	attached []rarBlock // what is attached to them
	last     string     // name of the last file
}

// emit hands out a member, or what is wrong with it.
func (a *rarArchive) emit(m member, err error) {
	if !a.done {
		a.done = !a.yield(m, err)
	}
}

func (a *rarArchive) damaged(what string) {
	a.emit(member{}, fmt.Errorf("%w: %s", ErrDamaged, what))
}

var errVolume = fmt.Errorf("%w: it goes on in another volume", ErrDamaged)

// read reads the archive.
func (a *rarArchive) read() {
	if b, ok := a.format.block(a.data, a.at); ok && (b.kind == rarCrypt || b.locked && b.kind == rarMain && !a.isSound(b.end)) {
		a.at = len(a.data)
		a.locked()
		return
	}
	for !a.done {
		b, ok := a.format.block(a.data, a.at)
		if ok && !b.sound && b.kind == rarFile && a.isSound(b.end) {
			a.damaged("wrong checksum of a header") // it makes sense all the same
		} else if !ok || !b.sound {
			if !a.search() {
				break
			}
			continue
		}
		a.at = min(b.end, len(a.data))
		if a.block(b); b.kind == rarEnd {
			return
		}
		if b.end > len(a.data) {
			a.flush()
			a.damaged("cut short")
			return
		}
	}
	a.flush()
}

// isSound reports whether a block that is not damaged begins at an offset.
func (a *rarArchive) isSound(at int) bool {
	if at >= len(a.data) {
		return false
	}
	b, ok := a.format.block(a.data, at)
	return ok && b.sound && (b.kind != rarOther || at > 0)
}

// search looks for the next file behind what is no sound block; false when there is
// none.
func (a *rarArchive) search() bool {
	if a.at == len(a.data) && a.old {
		return false
	}
	a.flush()
	a.damaged("no header where one should be")
	if a.restarts++; a.restarts > maxRestarts {
		a.at = len(a.data)
		return false
	}
	for a.at++; a.at < len(a.data) && a.searched <= 4*len(a.data); a.at++ {
		if !a.format.mayBe(a.data, a.at) {
			continue
		}
		b, ok := a.format.block(a.data, a.at)
		if a.searched += b.data - b.at; ok && b.sound {
			return true
		}
	}
	a.at = len(a.data)
	return false
}

// block sees to one block.
func (a *rarArchive) block(b rarBlock) {
	switch b.kind {
	case rarFile:
		a.old = b.old
		if n := len(a.run); n > 0 && (!b.follows(a.run[n-1]) || n == szMaxItems) {
			a.flush()
		}
		a.run = append(a.run, b)
	case rarService:
		// Attached streams are written beside the file, comments are shown. The
		// others, recovery records among them, are for RAR alone.
		if name := string(b.name); len(a.attached) < szMaxItems && (name == "STM" || name == "CMT") {
			a.attached = append(a.attached, b)
		}
	case rarEnd:
		a.flush()
		if b.continued {
			a.emit(member{}, errVolume)
		}
	}
}

// follows reports whether a file is to be unpacked together with the one before it:
// it goes on where that ended, or it has the same salt, and so the same password,
// from which it takes long to derive the key.
func (b rarBlock) follows(before rarBlock) bool {
	return b.solid || b.locked && before.locked && b.salt == before.salt
}

// flush hands out the files that are waiting, and what is attached to them.
func (a *rarArchive) flush() {
	run, attached := a.run, a.attached
	a.run, a.attached = nil, nil
	if len(run) > 0 {
		a.last = rarName(run[len(run)-1])
		if len(run) == 1 && run[0].stored && !run[0].locked {
			a.stored(run[0])
		} else {
			a.unpack(run)
		}
	}
	for _, b := range attached {
		b.sound = false // as a file's, that is
		if b.stored && !b.locked {
			a.stored(b)
		} else {
			a.unpack([]rarBlock{b})
		}
	}
}

// name is the name that a block goes by; given is what the library makes of it.
func (a *rarArchive) name(b rarBlock, given string) string {
	switch {
	case b.kind == rarService && len(b.stream) > 0:
		return cutName(a.last + decodeName(b.stream)) // it begins with a colon
	case b.kind == rarService:
		return cutName(a.last + ":" + decodeName(b.name))
	case given != "" && b.unicode:
		return cutName(strings.ToValidUTF8(given, "\uFFFD"))
	}
	return rarName(b)
}

// isFile reports whether there is anything to a block: folders and links have no bytes.
func (b rarBlock) isFile() bool { return !b.folder && !b.link || b.end > b.data }

// stored hands out bytes that are not packed.
func (a *rarArchive) stored(b rarBlock) {
	if !b.isFile() {
		return
	}
	given := ""
	if b.unicode {
		if r, err := a.library([]rarBlock{b}, ""); err == nil {
			if h, err := r.next(); err == nil {
				given = h.Name
			}
		}
	}
	m := member{name: a.name(b, given), data: a.data[b.data:min(b.end, len(a.data))]}
	switch {
	case b.continues:
		a.emit(m, fmt.Errorf("%w: it begins in another volume", ErrDamaged))
	case b.end > len(a.data):
		a.emit(m, errShort)
	case b.continued:
		a.emit(m, errVolume)
	case b.crc.known && crc32.ChecksumIEEE(m.data) != b.crc.crc:
		a.emit(m, fmt.Errorf("%w: wrong checksum", ErrDamaged))
	default:
		a.emit(m, nil)
	}
}
