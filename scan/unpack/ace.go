package unpack

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
)

// aceOpener opens archives of ACE 1 and 2, and what of a file lies in one volume of
// several. They may stand behind a program or other data. The layout of headers is
// that of M. Lemke's "Technical information of the archiver ACE v1.2"; what that does
// not tell was found by programs that read such archives.
var aceOpener = opener{name: "ace", match: aceMatch, entries: aceEntries}

// Methods.
const (
	aceStored  = 0
	aceLZ77    = 1
	aceBlocked = 2 // LZ77 and other modes (ACE 2)
)

func aceMatch(data []byte) bool {
	_, ok := (&aceSearcher{data: data}).start()
	return ok
}

// start finds the first header: that of an archive at the beginning, be it damaged,
// or a right one in what follows.
func (s *aceSearcher) start() (int, bool) {
	if hasMagic(s.data, aceMagicAt, aceMagic) && s.data[aceBlockHead] == aceTypeArchive {
		return 0, true
	}
	return s.archive()
}

// aceReader reads one object.
type aceReader struct {
	file     File
	data     []byte
	yield    func(member, error) bool
	done     bool
	searcher aceSearcher

	window   aceWindow // solid archives go on in it from file to file
	trial    aceWindow // for passwords
	known    *aceKey   // the one that fitted last
	lies     bool      // a file that is said to be encrypted was not
	restarts int
	within   bool  // other bytes than a program's stand in front: what is behind may be theirs too
	empty    bool  // no file has been met in the archive
	whole    bool  // the member last read is right
	read     int64 // packed bytes, in all
}

func aceEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		r := &aceReader{
			file: f, data: f.Data, yield: yield, searcher: aceSearcher{data: f.Data},
			window: aceWindow{memory: f.memory}, trial: aceWindow{memory: f.memory},
		}
		defer r.window.free()
		defer r.trial.free()
		at, ok := r.searcher.start()
		r.within = at > 0 && !beginsPicture(f.Data)
		for ok && !r.done {
			at, ok = r.next(at)
		}
	}
}

func (r *aceReader) emit(m member, err error) {
	if !r.done {
		r.done = !r.yield(m, err)
	}
}

func (r *aceReader) damaged(name, what string) {
	r.emit(member{name: name}, fmt.Errorf("%w: %s", ErrDamaged, what))
}

// acePadding may stand behind an archive: nothing in it marks its end.
const acePadding = "\x00\x1a\r\n\t "

// next reads what the header at an offset is of, and finds the next header.
func (r *aceReader) next(at int) (int, bool) {
	if len(bytes.TrimLeft(r.data[at:], acePadding)) == 0 {
		if r.empty {
			r.damaged("", "an archive without a file")
		}
		return 0, false
	}
	b, ok := parseACE(r.data, at)
	switch {
	case r.within && !r.empty && (!ok || b.cut || !b.sound):
		return r.restart(at + 1)
	case ok && b.cut && b.kind <= aceLastType:
		r.damaged(b.path(), "cut short")
		return r.restart(at + 1)
	case !ok || !b.sound && !r.likely(&b):
		r.damaged("", "no header where one should be")
		return r.restart(at + 1)
	case !b.sound:
		r.damaged("", "wrong checksum of a header")
	}
	r.block(&b)
	switch end := b.end(); {
	case end > int64(len(r.data)):
		if r.whole {
			r.damaged("", "cut short")
		}
		return r.restart(b.body)
	case !r.whole && !r.goesOn(end):
		return r.restart(b.body)
	default:
		return int(end), true
	}
}

// likely reports whether a header makes sense whose checksum is wrong.
func (r *aceReader) likely(b *aceBlock) bool {
	return b.whole && (b.isFile() || b.kind == aceTypeArchive) && r.goesOn(b.end())
}

// goesOn reports whether a header stands at an offset, or the end.
func (r *aceReader) goesOn(at int64) bool {
	if at >= int64(len(r.data)) {
		return at == int64(len(r.data))
	}
	b, ok := parseACE(r.data, int(at))
	return ok && b.sound
}

// restart looks for the next header behind damage.
func (r *aceReader) restart(at int) (int, bool) {
	if r.restarts++; r.restarts > maxRestarts {
		r.emit(member{}, &LimitError{"overlap"})
		return 0, false
	}
	return r.searcher.next(at)
}

// block reads a block.
func (r *aceReader) block(b *aceBlock) {
	r.whole = true
	switch {
	case !b.whole:
		r.whole = false
		r.damaged(b.path(), "a header without all its fields")
	case b.kind == aceTypeArchive:
		r.window.end, r.empty = 0, true
		r.comment("", b.comment)
	case b.isFile():
		r.empty = false
		r.member(b)
		r.comment(b.path(), b.comment)
	}
}

// comment hands out the comment on a file, or on the archive.
func (r *aceReader) comment(name string, packed []byte) {
	if len(packed) == 0 {
		return
	}
	text, err := aceComment(packed)
	if len(text) > 0 || err != nil {
		r.emit(member{name: cutName(name + ":comment"), data: text}, err)
	}
}

// member reads a file.
func (r *aceReader) member(b *aceBlock) {
	if b.packed == 0 && b.attr&aceFolder != 0 {
		return
	}
	r.whole = false
	packed := r.data[b.body:]
	packed = packed[:min(int64(len(packed)), b.packed)]
	if r.read += int64(len(packed)); r.read > lzOverlap*int64(len(r.data)) {
		r.emit(member{}, &LimitError{"overlap"})
		return
	}
	m := member{name: b.path(), size: b.size}
	if b.method > aceBlocked {
		r.emit(m, fmt.Errorf("%w: number %d", ErrUnsupported, b.method))
		return
	}
	var key *aceKey
	if b.flags&aceLocked != 0 {
		var ok bool
		if key, ok = r.key(b, packed); !ok {
			r.emit(m, ErrEncrypted)
			return
		}
	}
	if b.method == aceStored && key == nil {
		r.stored(m, b)
		return
	}
	m.body = &aceBody{r: r, b: b, in: r.unpacker(b, packed, key, &r.window, false)}
	r.emit(m, nil)
}

// unpacker unpacks a file's bytes.
func (r *aceReader) unpacker(b *aceBlock, packed []byte, key *aceKey, w *aceWindow, strict bool) io.Reader {
	in := aceInput{data: packed, key: key}
	if b.method == aceStored {
		return &aceCopier{in: in, window: w, left: b.size}
	}
	u := newACEUnpacker(in, w, b.size)
	u.old = b.method == aceLZ77
	if strict {
		u.strict()
	}
	return u
}

// stored hands out bytes that stand as they are. Where the two sizes of a file differ,
// programs differ in which they believe.
func (r *aceReader) stored(m member, b *aceBlock) {
	sizes := []int64{b.size, b.packed}
	switch {
	case b.flags&(aceBegun|aceContinued) != 0:
		sizes = sizes[1:]
	case b.size == b.packed:
		sizes = sizes[:1]
	}
	for i, size := range sizes {
		m.data = r.data[b.body:][:min(size, int64(len(r.data)-b.body))]
		var err error
		if int64(len(m.data)) < size {
			err = errLZEnd
		}
		r.emit(m, r.judge(b, crc32.ChecksumIEEE(m.data), err))
		if i == 0 {
			_ = r.window.write(m.data) // without room for it, what needs it tells
		}
	}
}

// judge says what is wrong with a file that has been read, as far as it could be.
func (r *aceReader) judge(b *aceBlock, crc uint32, err error) error {
	fits := err == nil && crc == ^b.crc
	r.whole = r.whole || fits
	switch {
	case errors.Is(err, ErrLimit):
		return err
	case b.flags&aceContinued != 0:
		r.whole = true
		return errVolume
	case fits:
		return nil
	case b.flags&aceBegun != 0:
		return fmt.Errorf("%w: it begins in another volume", ErrDamaged)
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: wrong checksum", ErrDamaged)
}

// aceBody unpacks a file and checks it at its end.
type aceBody struct {
	r   *aceReader
	b   *aceBlock
	in  io.Reader
	crc uint32
}

// Read implements io.Reader.
func (b *aceBody) Read(p []byte) (int, error) {
	n, err := b.in.Read(p)
	b.crc = crc32.Update(b.crc, crc32.IEEETable, p[:n])
	if err == nil {
		return n, nil
	}
	if err == io.EOF {
		err = nil
	}
	if err = b.r.judge(b.b, b.crc, err); err == nil {
		err = io.EOF
	}
	return n, err
}

// aceCopier reads stored bytes that were encrypted.
type aceCopier struct {
	in     aceInput
	window *aceWindow
	left   int64
	buf    [acePiece]byte
	out    []byte
}

// Read implements io.Reader.
func (c *aceCopier) Read(p []byte) (int, error) {
	switch {
	case len(p) == 0:
		return 0, nil
	case c.left <= 0:
		return 0, io.EOF
	case len(c.out) == 0:
		c.out = c.buf[:c.in.read(c.buf[:])]
		c.out = c.out[:min(int64(len(c.out)), c.left)]
		if len(c.out) == 0 {
			return 0, errLZEnd
		}
		if err := c.window.write(c.out); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	c.left -= int64(n)
	return n, nil
}

const (
	// aceTrial is how many unpacked bytes tell a password that fits from one that
	// does not, where wrong bytes show in what they unpack to.
	aceTrial = 16 << 20

	// aceSure is more than unpack from the wrong password's noise.
	aceSure = 4 << 10
)

// key finds what an encrypted file is to be decrypted with; nothing when the flag lies.
func (r *aceReader) key(b *aceBlock, packed []byte) (key *aceKey, ok bool) {
	defer r.trial.free()
	if r.fits(b, packed, nil, r.lies) {
		r.lies = true
		return nil, true
	}
	if r.known != nil && r.fits(b, packed, r.known, true) {
		return r.known, true
	}
	for password := range r.file.passwords() {
		for _, raw := range passwordBytes(password) {
			key := newACEKey(raw)
			if len(raw) > 0 && r.fits(b, packed, key, false) {
				r.file.opened(password)
				r.known = key
				return key, true
			}
		}
	}
	return nil, false
}

// fits tries a key. Of a file that is not small its beginning is tried first, without
// a copy of the window. What is known to fit need not be tried further.
func (r *aceReader) fits(b *aceBlock, packed []byte, key *aceKey, known bool) bool {
	if b.method == aceStored {
		return r.fitsUpTo(b, packed, key, &r.trial, b.size)
	}
	if r.window.room() != nil {
		return false
	}
	end := r.window.end
	fits := r.fitsUpTo(b, packed, key, &r.window, lzStep)
	r.window.end = end
	if !fits || known || b.size <= lzStep {
		return fits
	}
	return r.trial.like(&r.window) == nil && r.fitsUpTo(b, packed, key, &r.trial, aceTrial)
}

// fitsUpTo tries a key on so many unpacked bytes. Of a file that goes on in another
// volume there is no checksum.
func (r *aceReader) fitsUpTo(b *aceBlock, packed []byte, key *aceKey, w *aceWindow, most int64) bool {
	sum := crc32.NewIEEE()
	n, err := io.Copy(sum, io.LimitReader(r.unpacker(b, packed, key, w, true), most))
	switch {
	case err == nil && n == b.size:
		return sum.Sum32() == ^b.crc
	case b.method == aceStored:
		return false
	case err == nil && n == most:
		return true
	}
	return n > aceSure && b.flags&aceContinued != 0
}
