package unpack

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
)

// makeselfOpener opens shell scripts with something behind their last line that
// they unpack: what makeself makes, and what is written like it. What is behind is
// handed out as one object; an archive that other openers find by themselves behind
// anything is left to them.
var makeselfOpener = opener{name: "makeself", match: makeselfMatch, entries: makeselfEntries}

const (
	// makeselfHead is within how many bytes it is looked for.
	makeselfHead = 1 << 20

	// maxMakeself bounds what is handed out of one script: where something begins
	// is a guess, and a script may be made to have it wrong.
	maxMakeself = 8

	// makeselfSalted is how files begin that openssl enc has encrypted, and how
	// their base64 does.
	makeselfSalted, makeselfSaltedText = "Salted__", "U2FsdGVkX1"
)

// makeselfStart is where something may begin.
type makeselfStart struct {
	at  int
	raw bool // it holds files as they stand: what begins within it is not behind the script
}

// makeselfKinds are what is looked for: how it begins, what else has to be right,
// and whether a text may hold that by chance.
var makeselfKinds = []struct {
	magic string
	off   int // of magic
	is    func(b []byte) bool
	text  bool
	raw   bool
}{
	{magic: gzipMagic, is: func(b []byte) bool { return len(b) >= 10 && b[3] < 1<<5 && b[8]&^6 == 0 && (b[9] <= 13 || b[9] == 255) }},
	{magic: xzMagic},
	{magic: "\x28\xb5\x2f\xfd"}, // RFC 8878, section 3.1.1
	{magic: "\x04\x22\x4d\x18"}, // the frame format of LZ4
	{magic: "\x1f\x9d", is: func(b []byte) bool { return compressMatch(b) && b[2]&compressBits >= 12 }},
	{magic: bzip2Block, off: 4, is: isBzip2, text: true},
	{magic: "LZIP\x01"},
	{magic: "ustar", off: 257, is: tarMatch, raw: true},
	{magic: "070701", text: true, raw: true}, // cpio
	{magic: "070707", text: true, raw: true},
	{magic: makeselfSalted, text: true},
	{magic: makeselfSaltedText, text: true},
}

// makeselfOwn are archives that are found behind other data anyway.
var makeselfOwn = []string{"PK\x03\x04", "7z\xbc\xaf\x27\x1c", "Rar!\x1a\x07"}

func makeselfMatch(data []byte) bool { return len(makeselfStarts(data)) > 0 }

func makeselfEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		starts := makeselfStarts(f.Data)
		for i, s := range starts[:min(len(starts), maxMakeself)] {
			m := member{name: makeselfName(f.Name, i)}
			rest := f.Data[s.at:len(f.Data):len(f.Data)]
			var problem error
			if bytes.HasPrefix(rest, []byte(makeselfSalted)) || bytes.HasPrefix(rest, []byte(makeselfSaltedText)) {
				problem = fmt.Errorf("%w: by openssl", ErrEncrypted)
			} else {
				m.data = rest
			}
			if !yield(m, problem) {
				return
			}
		}
		if len(starts) > maxMakeself {
			yield(member{}, &LimitError{"overlap"})
		}
	}
}

// makeselfName names what is behind a script.
func makeselfName(script string, i int) string {
	name := nameLess(script, ".run", "", ".sh", "", ".bin", "")
	if i > 0 {
		name = fmt.Sprintf("%s %d", name, i+1)
	}
	return name
}

// makeselfStarts finds where something begins behind a script.
func makeselfStarts(data []byte) (starts []makeselfStart) {
	if !bytes.HasPrefix(data, []byte("#!")) {
		return nil
	}
	head := data[:min(len(data), makeselfHead)]
	binary := makeselfText(head)
	if binary == len(head) {
		// Text to the end, but what is encrypted may be in base64.
		return makeselfFind(nil, data, binary, len(makeselfKinds)-1)
	}
	for kind := range makeselfKinds {
		starts = makeselfFind(starts, data, binary, kind)
	}
	slices.SortFunc(starts, func(a, b makeselfStart) int { return a.at - b.at })
	starts = makeselfOutside(starts, data)
	line := bytes.LastIndexByte(head[:binary], '\n') + 1
	known := slices.ContainsFunc(starts, func(s makeselfStart) bool { return s.at >= line && s.at <= binary })
	if line > 0 && !known && !makeselfIsOwn(data[line:]) {
		starts = slices.Insert(starts, 0, makeselfStart{at: line}) // of a kind that is not in the list, or none
	}
	return starts
}

// makeselfText gives the length of what stands in front of the first byte that no
// text has.
func makeselfText(head []byte) int {
	for i, c := range head {
		if c < ' ' && (c < '\a' || c > '\r') && c != 0x1b {
			return i
		}
	}
	return len(head)
}

// makeselfFind adds where something of a kind begins. What a text could hold has to
// begin a line there, or be behind what is text.
func makeselfFind(starts []makeselfStart, data []byte, text, kind int) []makeselfStart {
	k := makeselfKinds[kind]
	head := data[:min(len(data), makeselfHead)]
	found := 0
	for at := 0; found <= maxMakeself; at++ {
		i := bytes.Index(head[at:], []byte(k.magic))
		if i < 0 {
			break
		}
		at += i
		start := at - k.off
		if start < 2 || k.text && start < text && data[start-1] != '\n' || k.is != nil && !k.is(data[start:]) {
			continue
		}
		starts = append(starts, makeselfStart{start, k.raw})
		found++
	}
	return starts
}

// makeselfOutside leaves out what is likely to stand within a file that an archive
// before it holds as it is.
func makeselfOutside(starts []makeselfStart, data []byte) (outside []makeselfStart) {
	raw := false
	for _, s := range starts {
		if !raw || data[s.at-1] == '\n' {
			outside = append(outside, s)
		}
		raw = raw || s.raw
	}
	return outside
}

// makeselfIsOwn reports whether b begins an archive that is found anyway.
func makeselfIsOwn(b []byte) bool {
	for _, magic := range makeselfOwn {
		if bytes.HasPrefix(b, []byte(magic)) {
			return true
		}
	}
	return false
}
