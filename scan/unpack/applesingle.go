package unpack

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// appleSingleOpener opens AppleSingle and AppleDouble files (RFC 1740, appendices
// A and B): the forks of a file for the Macintosh, with what else is known of it. In
// AppleDouble the data fork is a file of its own.
var appleSingleOpener = opener{name: "applesingle", match: appleSingleMatch, entries: appleSingleEntries}

const (
	appleSingleMagic = "\x00\x05\x16\x00"
	appleDoubleMagic = "\x00\x05\x16\x07"

	appleHeaderSize = 26
	appleEntrySize  = 12

	// Identifiers of entries.
	appleDataFork     = 1
	appleResourceFork = 2
	appleRealName     = 3

	// appleOverlap bounds how often the bytes of a file are handed out, on average:
	// an honest one's are once.
	appleOverlap = 2
)

// appleEntry is an entry of the table.
type appleEntry struct{ id, offset, length uint32 }

func appleSingleMatch(data []byte) bool {
	return len(data) >= appleHeaderSize && (hasMagic(data, 0, appleSingleMagic) || hasMagic(data, 0, appleDoubleMagic))
}

func appleSingleEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		name, handed := f.Name, int64(0)
		seen := make(map[appleEntry]bool)
		entries, whole := appleTable(f.Data)
		for _, e := range entries {
			if e.id == appleRealName {
				m, _ := e.member("", f.Data)
				name = decodeName(m.data)
				break
			}
		}
		for _, e := range entries {
			fork := e.id == appleDataFork || e.id == appleResourceFork && e.length > 0
			if !fork || seen[e] {
				continue
			}
			seen[e] = true
			if e.offset < appleHeaderSize {
				// A file that holds itself is nothing that a program makes.
				if !yield(member{name: name}, fmt.Errorf("%w: a fork within the header", ErrDamaged)) {
					return
				}
				continue
			}
			m, err := e.member(name, f.Data)
			if handed += int64(len(m.data)); handed > appleOverlap*int64(len(f.Data)) {
				yield(member{}, &LimitError{"overlap"})
				return
			}
			if !yield(m, err) {
				return
			}
		}
		if !whole {
			yield(member{}, fmt.Errorf("%w: cut short", ErrDamaged))
		}
	}
}

// appleTable reads the entries; whole is false when the table is cut off.
func appleTable(data []byte) (entries []appleEntry, whole bool) {
	be := binary.BigEndian
	count := int(be.Uint16(data[24:]))
	table := data[appleHeaderSize:]
	for range count {
		if len(table) < appleEntrySize {
			return entries, false
		}
		entries = append(entries, appleEntry{be.Uint32(table), be.Uint32(table[4:]), be.Uint32(table[8:])})
		table = table[appleEntrySize:]
	}
	return entries, true
}

// member is the entry as a member.
func (e appleEntry) member(name string, data []byte) (member, error) {
	if e.id == appleResourceFork {
		name += resourceFork
	}
	return cutTo(name, tail(data, int64(e.offset)), int64(e.length))
}
