package unpack

import (
	"bytes"
	"errors"
	"hash/maphash"
	"io"
	"unicode/utf8"

	"golang.org/x/text/transform"
)

// hidden is a file that stands encoded in a text. Texts are full of what looks
// like an encoding and is none: it is handed out only if worthOf says so.
type hidden struct {
	name  string
	text  []byte           // the encoded text; or
	open  func() io.Reader // what gives it, anew with each call
	steps []step           // that decode it, the first one first
}

// step makes a decoder. Decoders are lenient: they pass over what they do not
// know. None makes a text much longer.
type step func() transform.Transformer

// reader decodes h.
func (h hidden) reader() io.Reader {
	var r io.Reader = bytes.NewReader(h.text)
	if h.open != nil {
		r = h.open()
	}
	for _, s := range h.steps {
		r = transform.NewReader(r, s())
	}
	return r
}

const (
	// hiddenHead is how much of a hidden file is looked at.
	hiddenHead = 4 << 10

	// hiddenLeast is the length in bytes from which a hidden file is one: shorter
	// than any program, and any signature.
	hiddenLeast = 16

	// maxHidden bounds the files that are taken out of one text.
	maxHidden = 1000
)

// maxHiddenWork bounds the work on one text, in bytes that are read: several
// seconds of it.
const maxHiddenWork = 512 << 20

// hiddenBudget bounds the work on one text, for texts in which pieces are put
// together in many ways: reading and handing out cost what they read.
type hiddenBudget struct{ work, out, files int64 }

// newHiddenBudget gives the bounds for a text of n bytes: linear, so that what
// one text yields in all is.
func newHiddenBudget(n int) *hiddenBudget {
	return &hiddenBudget{work: min(16*int64(n)+4<<20, maxHiddenWork), out: 8*int64(n) + 1<<20, files: maxHidden}
}

// spend takes n off the work that is left, and reports whether any is.
func (b *hiddenBudget) spend(n int) bool {
	b.work -= int64(n)
	return b.work > 0
}

// errWork is what reading ends with when the budget is spent.
var errWork = &LimitError{"overlap"}

// spending charges what is read of r as work.
type spending struct {
	r io.Reader
	b *hiddenBudget
}

// Read implements io.Reader.
func (s spending) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if !s.b.spend(n+1) && err == nil {
		err = errWork
	}
	return n, err
}

// handing charges what is read of r as handed out.
type handing struct {
	r io.Reader
	b *hiddenBudget
}

// Read implements io.Reader.
func (h handing) Read(p []byte) (int, error) {
	if h.b.out <= 0 {
		return 0, errWork
	}
	n, err := h.r.Read(p)
	h.b.out -= int64(n)
	return n, err
}

// worth is what the first bytes of a decoded text say of the rest.
type worth int

const (
	noise worth = iota // no file: the text was no encoding
	prose              // text
	image              // an image or a font
	known              // another file whose format is known
)

// fileMagics are how files begin that are worth a look: programs, archives,
// documents, disk images.
var fileMagics = []string{
	"MZ", "\x7fELF", "\xca\xfe\xba\xbe", "\xcf\xfa\xed\xfe", "\xce\xfa\xed\xfe", "\x00asm",
	"PK\x03\x04", "PK\x05\x06", "PK\x07\x08", "Rar!\x1a\x07", "7z\xbc\xaf\x27\x1c", "\x1f\x8b\x08", "\xfd7zXZ", "BZh", "\x28\xb5\x2f\xfd", "\x04\x22\x4d\x18",
	"LZIP", "MSCF", "\x1f\x9d\x90", "xar!", "\xed\xab\xee\xdb", "MSWIM", "!<arch>", "070701",
	"\xd0\xcf\x11\xe0", "%PDF", "{\\rt", "ActiveMime", "\x78\x9f\x3e\x22", "\xe4\x52\x5c\x7b", "%!PS", "FWS", "CWS", "ZWS",
	"L\x00\x00\x00\x01\x14\x02\x00", "ITSF", "?_\x03\x00", "0\x80\x06\x09", "#@~^",
	"conectix", "vhdxfile", "QFI\xfb", "KDMV", "koly",
}

// imageMagics are how images and fonts begin, which ordinary mail is full of.
var imageMagics = []string{
	"\x89PNG\r\n\x1a\n", "\xff\xd8\xff", "GIF87a", "GIF89a", "RIFF", "\x00\x00\x01\x00", "II*\x00", "MM\x00*",
	"wOFF", "wOF2", "OTTO", "\x00\x01\x00\x00",
}

// worthOf judges a file by its first bytes.
func worthOf(head []byte) worth {
	begins := func(magics []string) bool {
		for _, m := range magics {
			if bytes.HasPrefix(head, []byte(m)) {
				return true
			}
		}
		return false
	}
	switch {
	case len(head) < hiddenLeast:
		return noise
	case begins(fileMagics), bytes.HasPrefix(head, []byte("\x60\xea")), isDER(head), bytes.HasPrefix(head[2:], []byte("-lh")), bytes.HasPrefix(head[7:], []byte("**ACE**")):
		return known
	case isPrintable(head), isWidePrintable(head):
		return prose
	case begins(imageMagics), isBMP(head):
		return image
	case bytes.Contains(head, []byte("%PDF-")), len(head) >= 512 && zeros(head[:512]): // a disk image
		return known
	}
	return noise
}

// isDER reports whether head begins with a long sequence of ASN.1 that holds
// another, a number or a name: certificates, and messages of S/MIME.
func isDER(head []byte) bool {
	return head[0] == 0x30 && head[1] == 0x82 && (head[4] == 0x30 || head[4] == 0x02 || head[4] == 0x06)
}

// isBMP reports whether head begins as bitmaps do: the size, then four bytes of zero.
func isBMP(head []byte) bool { return head[0] == 'B' && head[1] == 'M' && zeros(head[6:10]) }

// isPrintable reports whether b is text in UTF-8; its last character may be cut off.
func isPrintable(b []byte) bool {
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 && utf8.FullRune(b[i:]) {
				return false
			}
			i += n
			continue
		case c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f', c == 0x7f:
			return false
		}
		i++
	}
	return true
}

// isWidePrintable reports whether b is ASCII in UTF-16: what PowerShell takes in
// base64.
func isWidePrintable(b []byte) bool {
	b = b[:min(len(b)&^1, 64)]
	for i := 0; i < len(b); i += 2 {
		low, high := b[i], b[i+1]
		if i == 0 && (low == 0xff && high == 0xfe || low == 0xfe && high == 0xff) {
			continue
		}
		if high != 0 {
			low, high = high, low
		}
		if high != 0 || low >= 0x7f || low < ' ' && low != '\t' && low != '\n' && low != '\r' {
			return false
		}
	}
	return true
}

// inImage are what in an image tells of another file behind it or within.
var inImage = [][]byte{
	[]byte("PK\x03\x04"), []byte("%PDF-"), []byte("Rar!\x1a\x07"), []byte("7z\xbc\xaf\x27\x1c"), []byte("\xd0\xcf\x11\xe0\xa1\xb1"), []byte(`{\rtf`),
	[]byte("<script"), []byte("<SCRIPT"), []byte("<html"), []byte("<HTML"), []byte("<?php"), []byte("\x7fELF"), []byte("This program "),
}

// isMoreThanImage reports whether something may be in an image, or behind it,
// that is none: one that ends as its format does, with no other file's mark in
// it, is just that.
func isMoreThanImage(r io.Reader) bool {
	const overlap = 16
	var window [32<<10 + overlap]byte
	size, kept := 0, 0
	first := []byte(nil)
	for {
		n, err := io.ReadFull(r, window[kept:])
		size += n
		b := window[:kept+n]
		if first == nil {
			first = bytes.Clone(b[:min(len(b), 12)])
		}
		for _, mark := range inImage {
			if bytes.Contains(b, mark) {
				return true
			}
		}
		if err != nil {
			return !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) || !endsAsImage(first, b, size)
		}
		kept = copy(window[:], b[len(b)-overlap:])
	}
}

// endsAsImage reports whether an image that begins with first, ends with tail and
// has size bytes is whole, with nothing behind it.
func endsAsImage(first, tail []byte, size int) bool {
	tail = bytes.TrimRight(tail, "\x00\r\n ")
	stated := func(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 | int(b[3])<<24 }
	switch {
	case len(first) < 12:
		return false
	case first[0] == 0x89:
		return bytes.HasSuffix(tail, []byte("IEND\xaeB`\x82"))
	case first[0] == 0xff:
		return bytes.HasSuffix(tail, []byte("\xff\xd9"))
	case first[0] == 'G':
		return bytes.HasSuffix(tail, []byte(";"))
	case first[0] == 'R':
		return size-stated(first[4:])-8 <= 1 // a chunk of odd length is padded
	case first[0] == 'B':
		return size <= stated(first[2:])
	}
	return true // the format has no end to be seen
}

// member is h as a container's member.
func (h hidden) member(b *hiddenBudget) member {
	return member{name: h.name, body: handing{h.reader(), b}}
}

// finder hands out the files that are hidden in one text.
type finder struct {
	budget *hiddenBudget
	yield  func(member, error) bool
	done   bool
	limit  error // why not all was looked at

	buffers [3][]byte // for heads: two for steps in turn, and one to read strings

	seed maphash.Seed
	seen map[uint64]bool // small files that were handed out, by name and content
}

func newFinder(size int, yield func(member, error) bool) *finder {
	f := &finder{budget: newHiddenBudget(size), yield: yield, seed: maphash.MakeSeed(), seen: make(map[uint64]bool)}
	for i := range f.buffers {
		f.buffers[i] = make([]byte, 2*hiddenHead)
	}
	return f
}

// emit hands out a hidden file.
func (f *finder) emit(h hidden) {
	if f.budget.files--; f.budget.files < 0 && f.limit == nil {
		f.limit = &LimitError{"objects"}
	}
	if !f.done && f.limit == nil {
		f.done = !f.yield(h.member(f.budget), nil)
	}
}

// offer hands out a hidden file if it is worth it, once. It reports whether it
// did. head is what it begins with; with whole that is all of it.
func (f *finder) offer(h hidden, head []byte, whole bool) bool {
	switch w := worthOf(head); {
	case w == noise, w == image && !isMoreThanImage(spending{h.reader(), f.budget}):
		return false
	}
	return f.emitOnce(h, head, whole)
}

// emitOnce hands out a hidden file, if a small one only once: scripts put the same
// string together in more than one place. It reports whether it did.
func (f *finder) emitOnce(h hidden, head []byte, whole bool) bool {
	if whole {
		sum := maphash.String(f.seed, h.name+"\x00"+string(head))
		if f.seen[sum] {
			return false
		}
		f.seen[sum] = true
	}
	f.emit(h)
	return true
}

// headWork is what it costs to look at a head, in bytes that are read.
const headWork = 64

// headOf decodes the beginning of a hidden file; whole says that it is all of it.
// It holds until the next head is asked for.
func (f *finder) headOf(h hidden) (head []byte, whole bool) {
	if h.open != nil {
		head, _ = io.ReadAll(io.LimitReader(spending{h.reader(), f.budget}, hiddenHead+1))
		return head[:min(len(head), hiddenHead)], len(head) <= hiddenHead
	}
	head = h.text[:min(len(h.text), 2*hiddenHead)]
	whole = len(head) == len(h.text)
	for i, s := range h.steps {
		out := f.buffers[i%2]
		n, _, _ := s().Transform(out, head, whole)
		head = out[:n]
	}
	if !f.budget.spend(len(head) + headWork) {
		f.over(errWork)
	}
	return head[:min(len(head), hiddenHead)], whole && len(head) <= hiddenHead
}

// over notes the limit that ended the reading of a text, if one did.
func (f *finder) over(err error) {
	if errors.Is(err, ErrLimit) && f.limit == nil {
		f.limit = err
	}
}

// end tells what was not looked at.
func (f *finder) end() {
	if f.limit != nil && !f.done {
		f.yield(member{}, f.limit)
	}
}
