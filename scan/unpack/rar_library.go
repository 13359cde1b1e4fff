package unpack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/nwaples/rardecode/v2"
)

// rarReader is the library's reader of one or more files. It has panicked on
// archives that were made to: that is damage.
type rarReader struct{ *rardecode.Reader }

// openRAR opens an archive with the library.
func openRAR(archive io.Reader, password string) (r rarReader, err error) {
	defer rarPanic(&err)
	options := []rardecode.Option{rardecode.MaxDictionarySize(rarMaxWindow)}
	if password != "" {
		options = append(options, rardecode.Password(password))
	}
	r.Reader, err = rardecode.NewReader(archive, options...)
	return r, rarReason(err)
}

// next gives the next file; io.EOF when there is none.
func (r rarReader) next() (h *rardecode.FileHeader, err error) {
	defer rarPanic(&err)
	h, err = r.Next()
	return h, rarReason(err)
}

// Read implements io.Reader.
func (r rarReader) Read(p []byte) (n int, err error) {
	defer rarPanic(&err)
	n, err = r.Reader.Read(p)
	return n, rarReason(err)
}

func rarPanic(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: decoder: %v", ErrDamaged, p)
	}
}

// rarReason gives an error of the library one of the package's reasons.
func rarReason(err error) error {
	is := func(list ...error) bool {
		for _, e := range list {
			if errors.Is(err, e) {
				return true
			}
		}
		return false
	}
	switch {
	case err == nil, err == io.EOF:
		return err
	case is(rardecode.ErrDictionaryTooLarge):
		return &LimitError{"memory"}
	case is(rardecode.ErrArchiveEncrypted, rardecode.ErrArchivedFileEncrypted, rardecode.ErrBadPassword):
		return ErrEncrypted
	case is(rardecode.ErrUnsupportedDecoder, rardecode.ErrUnknownDecoder, rardecode.ErrUnknownVersion, rardecode.ErrMultipleDecoders, rardecode.ErrUnknownEncryptMethod):
		return fmt.Errorf("%w: %s", ErrUnsupported, strings.TrimPrefix(err.Error(), "rardecode: "))
	case is(rardecode.ErrMultiVolume, rardecode.ErrUnexpectedArcEnd):
		return errVolume
	case is(rardecode.ErrShortFile, rardecode.ErrDecoderOutOfData, io.ErrUnexpectedEOF):
		return errShort
	}
	return fmt.Errorf("%w: %s", ErrDamaged, strings.TrimPrefix(err.Error(), "rardecode: "))
}

// library opens an archive that holds nothing but some files of this one.
func (a *rarArchive) library(run []rarBlock, password string) (rarReader, error) {
	solid := false
	for _, b := range run {
		solid = solid || b.solid
	}
	parts := []io.Reader{bytes.NewReader(a.format.start(solid))}
	for _, b := range run {
		header := a.data[b.at:b.data]
		if !b.sound {
			header = a.format.asFile(a.data, b)
		}
		parts = append(parts, bytes.NewReader(header), bytes.NewReader(a.data[b.data:min(b.end, len(a.data))]))
	}
	return openRAR(io.MultiReader(parts...), password)
}

// window is how large a dictionary the library makes for a file.
func (b rarBlock) window() int64 {
	if !b.solid {
		return int64(min(b.dictionary, b.unpacked))
	}
	return int64(min(b.dictionary, math.MaxInt64))
}

// unpack hands out files that are unpacked together.
func (a *rarArchive) unpack(run []rarBlock) {
	for len(run) > 0 && !a.done {
		done := a.unpackSome(run)
		if rest := run[done:]; len(rest) > 0 && rest[0].solid {
			done += a.unreachable(rest)
		}
		run = run[done:]
	}
}

// unreachable tells of files that go on where one ended that could not be read.
func (a *rarArchive) unreachable(run []rarBlock) (n int) {
	for n < len(run) && run[n].solid {
		a.emit(member{name: a.name(run[n], "")}, fmt.Errorf("%w: packed with one that could not be read", ErrDamaged))
		n++
	}
	return n
}

// unpackSome hands out files up to the first that the library does not know how to
// begin with, and says how many.
func (a *rarArchive) unpackSome(run []rarBlock) (done int) {
	var window int64
	for _, b := range run {
		window = max(window, b.window())
	}
	if len(run) > 1 && window > rarMaxWindow {
		return a.unpackSome(run[:1])
	}
	fail := func(err error) int {
		a.emit(member{name: a.name(run[done], "")}, err)
		return done + 1
	}
	if window > rarMaxWindow {
		return fail(&LimitError{"memory"})
	}
	if err := a.file.memory.take(window); err != nil {
		return fail(err)
	}
	if _, old := a.format.(rar4); old {
		a.file.memory.tidy() // its PPMd takes up to 342 MiB, and no header says that
	}
	release := func() { a.file.memory.give(window); window = 0 }
	defer func() { release() }()
	password, err := a.password(run)
	if err != nil {
		return a.allEncrypted(run)
	}
	r, err := a.library(run, password)
	for ; err == nil && done < len(run); done++ {
		h, err := r.next()
		if err != nil {
			return fail(err)
		}
		b := run[done]
		if !b.isFile() {
			continue
		}
		body := &rarBody{r: r, continued: b.continued, release: func() {}}
		if len(run) == 1 {
			r = rarReader{}
			body.release = release
		}
		a.emit(member{name: a.name(b, h.Name), body: body, size: h.UnPackedSize}, nil)
		if a.done {
			return len(run)
		}
	}
	if err != nil {
		return fail(err)
	}
	return done
}

// rarBody reads a file, and lets go of its dictionary at the end.
type rarBody struct {
	r         rarReader
	continued bool // in another volume
	release   func()
	err       error
}

// Read implements io.Reader.
func (b *rarBody) Read(p []byte) (n int, err error) {
	if b.err != nil {
		return 0, b.err
	}
	if n, b.err = b.r.Read(p); b.err != nil {
		if b.continued && b.err == errShort {
			b.err = errVolume
		}
		b.r = rarReader{}
		b.release()
	}
	return n, b.err
}

// allEncrypted tells of files for which there is no password.
func (a *rarArchive) allEncrypted(run []rarBlock) int {
	for _, b := range run {
		if b.isFile() {
			a.emit(member{name: a.name(b, "")}, ErrEncrypted)
		}
	}
	return len(run)
}

// password finds the password that fits files; none where they are not encrypted.
func (a *rarArchive) password(run []rarBlock) (string, error) {
	if !run[0].locked {
		return "", nil
	}
	for password := range a.file.passwords() {
		r, err := a.library(run, password)
		if err == nil && r.makesSense() {
			a.file.opened(password)
			return password, nil
		}
	}
	return "", ErrEncrypted
}

// makesSense reports whether the first file that has bytes can be unpacked.
func (r rarReader) makesSense() bool {
	for {
		h, err := r.next()
		if err != nil {
			return false
		}
		if n, err := io.CopyN(io.Discard, r, maxTrial); err != io.EOF {
			return err == nil
		} else if n > 0 || h.UnPackedSize == 0 && !h.IsDir {
			return true
		}
	}
}

// locked hands out the files of an archive whose headers are encrypted too: with a
// password the library reads it from its beginning.
func (a *rarArchive) locked() {
	if err := a.file.memory.take(rarMaxWindow); err != nil {
		a.emit(member{}, err)
		return
	}
	defer a.file.memory.give(rarMaxWindow)
	for password := range a.file.passwords() {
		r, err := openRAR(bytes.NewReader(a.data), password)
		if err != nil || !r.makesSense() {
			continue
		}
		a.file.opened(password)
		if r, err = openRAR(bytes.NewReader(a.data), password); err == nil {
			a.all(r)
		}
		return
	}
	a.emit(member{}, ErrEncrypted)
}

// all hands out all files that the library finds.
func (a *rarArchive) all(r rarReader) {
	for !a.done {
		h, err := r.next()
		if err == io.EOF {
			return
		}
		if err != nil {
			a.emit(member{}, err)
			return
		}
		if h.IsDir || h.LinkType != 0 && h.PackedSize == 0 {
			continue
		}
		a.emit(member{name: decodeName([]byte(h.Name)), body: r, size: h.UnPackedSize}, nil)
	}
}
