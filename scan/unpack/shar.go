package unpack

import (
	"bytes"
	"io"
	"iter"
)

// sharOpener opens shell archives: scripts in which files stand line by line behind
// a character that sed takes off, sed 's/^X//' << 'END' > FILE. Where only lines that
// begin with that character have it, the file can be read as it stands, and so can
// uuencoded files; where all have it, nothing else sees through it.
var sharOpener = opener{name: "shar", match: sharMatch, entries: sharEntries}

const (
	// sharHead is within how many bytes the first file begins.
	sharHead = 1 << 20

	// sharCommand is what is looked for: it takes something off the beginning of lines.
	sharCommand = "s/^"

	// sharLine bounds the length of the line that begins a file.
	sharLine = 4 << 10
)

func sharMatch(data []byte) bool {
	head := data[:min(len(data), sharHead)]
	if bytes.IndexByte(head[:min(len(head), charsetHead)], 0) >= 0 {
		return false
	}
	for range sharFiles(head) {
		return true
	}
	return false
}

func sharEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		for s := range sharFiles(f.Data) {
			if !yield(member{name: decodeName(s.name), body: &sharReader{text: s.text, prefix: s.prefix}}, nil) {
				return
			}
		}
	}
}

// sharFile is a file in a shell archive.
type sharFile struct {
	name   []byte
	text   []byte // its lines, as they stand in the script
	prefix []byte // what is taken off them
}

// sharFiles yields the files of a text.
func sharFiles(text []byte) iter.Seq[sharFile] {
	return func(yield func(sharFile) bool) {
		for at := 0; ; {
			i := bytes.Index(text[at:], []byte(sharCommand))
			if i < 0 {
				return
			}
			at += i + len(sharCommand)
			s, end, ok := parseShar(text, at)
			if !ok {
				continue
			}
			if !yield(s) {
				return
			}
			at = end
		}
	}
}

// parseShar reads the command whose expression stands in front of an offset, and
// the file behind it. end is where the file does.
func parseShar(text []byte, at int) (s sharFile, end int, ok bool) {
	rest := text[at:min(len(text), at+sharLine)]
	line, _, whole := bytes.Cut(rest, []byte{'\n'})
	before := bytes.TrimRight(text[max(0, at-40):at-len(sharCommand)], `'"`)
	before = bytes.TrimRight(bytes.TrimSuffix(before, []byte("-e ")), " \t")
	prefix, command, ok := bytes.Cut(line, []byte("//"))
	if !ok || !whole || len(prefix) == 0 || len(prefix) > 8 || !bytes.HasSuffix(before, []byte("sed")) {
		return s, 0, false
	}
	mark, ok := sharMark(command)
	if !ok {
		return s, 0, false
	}
	s.prefix, s.name = prefix, sharName(command)
	body := at + len(line) + 1
	s.text, end = sharBody(text[body:], mark)
	return s, body + end, true
}

// sharMark finds the word that ends a file, behind <<.
func sharMark(command []byte) (mark []byte, ok bool) {
	_, word, ok := bytes.Cut(command, []byte("<<"))
	if bytes.HasPrefix(word, []byte("<")) { // a string, not lines
		return nil, false
	}
	word = bytes.TrimLeft(bytes.TrimPrefix(word, []byte("-")), " \t\\")
	if len(word) > 0 && (word[0] == '\'' || word[0] == '"') {
		mark, _, ok = bytes.Cut(word[1:], word[:1])
		return mark, ok && len(mark) > 0
	}
	if end := bytes.IndexAny(word, " \t\r>|&;"); end >= 0 {
		word = word[:end]
	}
	return word, ok && len(word) > 0
}

// sharName finds the name of the file that is written.
func sharName(command []byte) []byte {
	_, name, ok := bytes.Cut(command, []byte(">"))
	name = bytes.TrimLeft(name, "> \t")
	if !ok || len(name) == 0 {
		return []byte("file") // it goes through a pipe: uudecode knows its name
	}
	if name[0] == '\'' || name[0] == '"' {
		name, _, _ = bytes.Cut(name[1:], name[:1])
		return name
	}
	if end := bytes.IndexAny(name, " \t\r<|&;"); end >= 0 {
		name = name[:end]
	}
	return name
}

// sharBody gives the lines in front of the one that is mark alone. Without one they
// go on to the end, for a shell too.
func sharBody(text, mark []byte) (body []byte, end int) {
	for at := 0; at < len(text); {
		i := bytes.Index(text[at:], mark)
		if i < 0 {
			break
		}
		start := at + i
		at = start + len(mark)
		tail := text[at:]
		ends := len(tail) == 0 || tail[0] == '\n' || bytes.HasPrefix(tail, []byte("\r\n"))
		begins := start == 0 || text[start-1] == '\n' || text[start-1] == '\t' // <<- takes tabs off
		if ends && begins {
			return text[:start], at
		}
	}
	return text, len(text)
}

// sharReader takes the prefix off lines.
type sharReader struct {
	text, prefix []byte
	inside       bool // of a line
}

// Read implements io.Reader.
func (r *sharReader) Read(p []byte) (n int, err error) {
	for n < len(p) && len(r.text) > 0 {
		if !r.inside {
			r.text = bytes.TrimPrefix(r.text, r.prefix)
		}
		piece := r.text
		if end := bytes.IndexByte(piece[:min(len(piece), len(p)-n)], '\n'); end >= 0 {
			piece = piece[:end+1]
		}
		k := copy(p[n:], piece)
		n += k
		r.inside = k > 0 && r.text[k-1] != '\n'
		r.text = r.text[k:]
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}
