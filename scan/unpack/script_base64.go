package unpack

import (
	"bytes"
	"io"
	"iter"
	"unicode"

	"github.com/klauspost/compress/flate"
)

// base64Opener takes files out of scripts of command lines (.ps1, .bat, .cmd, and
// those of Unix), in which they stand in base64, or in hexadecimal digits, as
// arguments, in strings, in lines that are written to a file, or between the marks
// of a certificate, as certutil takes them. Scripts of pages have strings only:
// htmlOpener opens those. In a text that is no script nothing is looked for.
var base64Opener = opener{name: "base64", match: base64Match, entries: base64Entries}

const (
	// blobLeast is the length of a run of base64 that may be a file: that of a
	// command that fetches another one.
	blobLeast = 40

	// blobGap bounds what stands between the runs of one file, in bytes.
	blobGap = 96

	// blobBefore is how much in front of a file is looked at.
	blobBefore = 128

	// blobStarts is how many runs that lie beside one another are tried for the
	// beginning of a file.
	blobStarts = 64

	// blobHead is how much of a file is looked at, in bytes.
	blobHead = 256

	// blobInflates is how many files are tried whether they are packed.
	blobInflates = 1000
)

// scriptWords are what scripts have that decode base64, in lower case.
var scriptWords = [][]byte{
	[]byte("base64string"), []byte("[convert]"), []byte("powershell"), []byte("pwsh"), []byte("invoke-expression"), []byte("certutil"),
	[]byte("@echo off"), []byte("base64 -d"), []byte("base64 --d"), []byte("base64 -i"), []byte("b64decode"), []byte("openssl "), []byte("adodb.stream"),
}

// deflateWord is what scripts have that unpack what they have decoded.
var deflateWord = []byte("deflatestream")

func base64Match(data []byte) bool {
	if !looksLikeText(data) {
		return false
	}
	found := false
	(&blobReader{text: data}).read(func(blob) bool {
		found = true
		return false
	})
	return found
}

func base64Entries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		d := newFinder(len(f.Data), yield)
		r := &blobReader{text: f.Data}
		r.read(func(b blob) bool {
			head, whole := d.headOf(b.hidden)
			d.emitOnce(b.hidden, head, whole)
			return !d.done && d.limit == nil
		})
		if r.tries == blobInflates {
			d.over(errWork)
		}
		d.end()
	}
}

// blob is a file in a script.
type blob struct{ hidden }

// blobReader finds the files in a script.
type blobReader struct {
	text     []byte
	searched bool // for what follows
	isScript bool
	inflates bool
	tries    int // of unpacking
}

// run is where some characters of base64 stand, with none around them.
type run struct{ start, end int }

// read yields the files.
func (r *blobReader) read(yield func(blob) bool) {
	for at := 0; ; {
		first, ok := nextRun(r.text, at, len(r.text))
		if !ok {
			return
		}
		runs := r.group(first)
		at = runs[len(runs)-1].end
		for i := range runs[:min(len(runs), blobStarts)] {
			found, more := r.file(runs[i:], yield)
			if !more {
				return
			}
			if found {
				break
			}
		}
	}
}

// nextRun finds the first run of blobLeast characters or more, from an offset on;
// it may begin near the end that is given, or before. It looks at every such
// character only where there is one.
func nextRun(text []byte, at, end int) (r run, ok bool) {
	for probe := at + blobLeast - 1; probe < min(end, len(text)); probe += blobLeast {
		if !isBase64[text[probe]] {
			continue
		}
		r = run{probe, probe + 1}
		for r.start > at && isBase64[text[r.start-1]] {
			r.start--
		}
		for r.end < len(text) && isBase64[text[r.end]] {
			r.end++
		}
		if r.end-r.start >= blobLeast {
			return r.padded(text), true
		}
		probe = r.end - 1
	}
	return r, false
}

// padded is the run with its padding.
func (r run) padded(text []byte) run {
	for r.end < len(text) && text[r.end] == '=' {
		r.end++
	}
	return r
}

// group gives the runs of which a file may be made, of which the first is given:
// much the same stands between all of them.
func (r *blobReader) group(last run) []run {
	runs := []run{last}
	var gap []byte
	for {
		next, ok := nextRun(r.text, last.end, last.end+blobGap+blobLeast)
		if !ok && len(gap) > 0 && bytes.HasPrefix(r.text[last.end:], gap) { // the last one may be short
			next.start = last.end + len(gap)
			next.end = next.start
			for next.end < len(r.text) && isBase64[r.text[next.end]] {
				next.end++
			}
			next = next.padded(r.text)
			ok = next.end > next.start
		}
		if !ok || next.start-last.end > blobGap {
			return runs
		}
		between := r.text[last.end:next.start]
		if gap != nil && !alikeGaps(gap, between) || gap == nil && len(between) > 4 && !bytes.ContainsAny(between, "\n\"'") {
			return runs
		}
		runs = append(runs, next)
		gap, last = between, next
	}
}

// alikeGaps reports whether two texts between runs are much the same: ">" in the
// first line that is written to a file is ">>" in the others.
func alikeGaps(a, b []byte) bool {
	n := min(len(a), len(b), 5)
	return max(len(a), len(b))-min(len(a), len(b)) <= 4 && bytes.Equal(a[len(a)-n:], b[len(b)-n:])
}

// file yields the file that some runs are, if they are one.
func (r *blobReader) file(runs []run, yield func(blob) bool) (found, more bool) {
	steps := r.steps(runs[0])
	for _, d := range steps {
		var buffer [blobHead]byte
		first := r.text[runs[0].start:min(runs[0].end, runs[0].start+blobHead)]
		n, _, _ := d().Transform(buffer[:], first, true)
		head := buffer[:n]
		w := worthOf(head)
		if w == image || w == noise && (len(steps) > 1 || !r.isQuoted(runs[0])) || n > 0 && head[0] == 0x30 { // certificates and keys begin so
			continue
		}
		h := hidden{name: "script.bin", open: func() io.Reader { return &runReader{text: r.text, runs: runs} }, steps: []step{d}}
		if w == prose {
			h.name = "script.txt"
		}
		before := r.before(runs[0].start)
		called := bytes.Contains(before, []byte("frombase64string"))
		switch {
		case w == noise:
			if inflated, ok := r.inflated(h, runs); ok {
				return true, yield(blob{inflated})
			}
			if called {
				return true, yield(blob{h})
			}
		case called, w == prose && isCommandFlag(before) && isWidePrintable(head), r.scripted(runs):
			return true, yield(blob{h})
		}
	}
	return false, true
}

// steps gives the ways in which a run may be decoded.
func (r *blobReader) steps(first run) []step {
	for _, c := range r.text[first.start:min(first.end, first.start+blobHead)] {
		if _, ok := hexValue(c); !ok {
			return []step{base64Step}
		}
	}
	return []step{hexStep, base64Step}
}

// fillHead reads the beginning of a file.
func fillHead(r io.Reader, head []byte) int {
	n, _, _ := fill(r, head, 0)
	return n
}

// isQuoted reports whether a run is a string, or its first line.
func (r *blobReader) isQuoted(first run) bool {
	if first.start == 0 || first.end == len(r.text) {
		return false
	}
	quote, behind := r.text[first.start-1], r.text[first.end]
	return (quote == '"' || quote == '\'') && (behind == quote || isLineEnd(behind)) && isMixed(r.text[first.start:first.end])
}

// isMixed reports whether there are letters of both cases, and digits, in b: names
// of programmers are longer than the least run.
func isMixed(b []byte) bool {
	upper, lower, digit := false, false, false
	for _, c := range b[:min(len(b), blobHead)] {
		upper, lower, digit = upper || c >= 'A' && c <= 'Z', lower || c >= 'a' && c <= 'z', digit || c >= '0' && c <= '9'
	}
	return upper && lower && digit
}

// inflated gives what is unpacked of a file by a script that unpacks files.
func (r *blobReader) inflated(h hidden, runs []run) (hidden, bool) {
	if !r.scripted(runs) || !r.inflates || r.tries == blobInflates {
		return h, false
	}
	r.tries++
	packed := h
	h.steps, h.open = nil, func() io.Reader { return flate.NewReader(packed.reader()) }
	var head [blobHead]byte
	w := worthOf(head[:fillHead(h.reader(), head[:])])
	if w == prose {
		h.name = "script.txt"
	}
	return h, w == prose || w == known
}

// before is what stands in front of an offset, in lower case and without the
// characters that command lines pass over.
func (r *blobReader) before(at int) []byte {
	return bytes.Map(func(c rune) rune {
		if c == '^' || c == '`' {
			return -1
		}
		return unicode.ToLower(c)
	}, r.text[max(0, at-blobBefore):at])
}

// isCommandFlag reports whether the option of PowerShell, or as much of its name as
// it asks for, stands last in b: "-EncodedCommand".
func isCommandFlag(b []byte) bool {
	b = bytes.TrimRight(b, " \t\"':=")
	i := bytes.LastIndexAny(b, " \t\"'")
	word := b[i+1:]
	if len(word) < 2 || word[0] != '-' && word[0] != '/' {
		return false
	}
	return bytes.HasPrefix([]byte("encodedcommand"), word[1:]) || string(word[1:]) == "ec"
}

// isCertificate reports whether the first line of armour stands last in b.
func isCertificate(b []byte) bool {
	b = bytes.TrimRight(b, "\r\n \t")
	i := bytes.LastIndex(b, []byte("-----begin "))
	return i >= 0 && bytes.HasSuffix(b, []byte("-----")) && bytes.IndexByte(b[i:], '\n') < 0
}

// scripted reports whether the text is a script, as far as it is not base64.
func (r *blobReader) scripted(runs []run) bool {
	if isCertificate(r.before(runs[0].start)) {
		return true
	}
	if !r.searched {
		r.searched = true
		between := r.text[runs[0].end:runs[min(len(runs), 3)-1].end]
		for _, part := range [][]byte{r.text[:runs[0].start], between, r.text[runs[len(runs)-1].end:]} {
			r.search(part)
		}
	}
	return r.isScript
}

// search looks for the words of scripts.
func (r *blobReader) search(text []byte) {
	const window, overlap = 16 << 10, 32
	var lower [window]byte
	for len(text) > 0 && !(r.isScript && r.inflates) {
		n := copy(lower[:], text)
		for i, c := range lower[:n] {
			if c >= 'A' && c <= 'Z' {
				lower[i] = c | 0x20
			}
		}
		r.inflates = r.inflates || bytes.Contains(lower[:n], deflateWord)
		for _, word := range scriptWords {
			r.isScript = r.isScript || bytes.Contains(lower[:n], word)
		}
		if n < window {
			return
		}
		text = text[n-overlap:]
	}
}

// runReader reads runs, one behind the other.
type runReader struct {
	text []byte
	runs []run
	at   int // in the first of them
}

// Read implements io.Reader.
func (r *runReader) Read(p []byte) (int, error) {
	for len(r.runs) > 0 {
		first := r.runs[0]
		if n := copy(p, r.text[first.start+r.at:first.end]); n > 0 {
			r.at += n
			return n, nil
		}
		r.runs, r.at = r.runs[1:], 0
	}
	return 0, io.EOF
}
