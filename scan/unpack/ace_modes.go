package unpack

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Modes of the blocked method (ACE 2).
const (
	aceModeLZ      = 0
	aceModeDelta   = 1 // LZ77 of differences, those of each of several channels together
	aceModeEXE     = 2 // LZ77 of a program whose calls have absolute addresses
	aceModeSound   = 3 // with 4 to 6: see aceSound
	aceModePicture = 7
)

// aceMode is a mode with what it is told.
type aceMode struct {
	kind     int
	channels int  // of differences
	length   int  // of their block
	wide     bool // addresses of calls have 32 bits
}

func newACEMode(b *aceBits) aceMode {
	m := aceMode{kind: b.take(8)}
	switch m.kind {
	case aceModeDelta:
		m.channels, m.length = b.take(8), b.take(17)
	case aceModeEXE:
		m.wide = b.take(8) != 0
	}
	return m
}

// aceUnpacker unpacks a member.
type aceUnpacker struct {
	bits   *aceBits
	window *aceWindow
	old    bool // ACE 1: there is but one mode
	size   int64

	made int64  // bytes that were handed over to out, in all
	out  []byte // unpacked, not read yet; gone at the next step
	buf  []byte
	err  error // tell it when out has been read

	mode    aceMode
	lz      aceLZ
	kept    []byte // of a program: a call that is not whole
	sum     byte   // of the differences
	block   []byte // differences
	sound   *aceSound
	picture *acePicture
}

func newACEUnpacker(in aceInput, w *aceWindow, size int64) *aceUnpacker {
	b := newACEBits(in)
	return &aceUnpacker{bits: b, window: w, size: size, lz: aceLZ{bits: b}}
}

// strict makes codes that are not complete an error.
func (u *aceUnpacker) strict() { u.lz.main.strict, u.lz.copies.strict = true, true }

// Read implements io.Reader.
func (u *aceUnpacker) Read(p []byte) (int, error) {
	for len(u.out) == 0 && u.err == nil {
		if u.made >= u.size {
			u.err = io.EOF
			break
		}
		u.err = u.step()
		if left := u.size - u.made; int64(len(u.out)) > left {
			u.out = u.out[:left]
		}
		u.made += int64(len(u.out))
	}
	n := copy(p, u.out)
	u.out = u.out[n:]
	if n == 0 && len(p) > 0 {
		return 0, u.err
	}
	return n, nil
}

// step unpacks some bytes, or changes the mode.
func (u *aceUnpacker) step() error {
	if err := u.window.room(); err != nil {
		return err
	}
	var next aceMode
	var changes bool
	var err error
	switch kind := u.mode.kind; {
	case kind == aceModeLZ || kind == aceModeEXE:
		next, changes, err = u.plain()
	case kind == aceModeDelta:
		next, changes, err = u.differences()
	case kind < aceModePicture:
		next, changes, err = u.samples()
	case kind == aceModePicture:
		next, changes, err = u.rows()
	default:
		err = fmt.Errorf("%w: mode %d", ErrDamaged, kind)
	}
	if err == nil && changes {
		return u.change(next)
	}
	return err
}

// change goes on in another mode, or in the same with other numbers.
func (u *aceUnpacker) change(next aceMode) error {
	if u.bits.over() {
		return errLZEnd
	}
	if u.old {
		return fmt.Errorf("%w: a mode, where there is none", ErrDamaged)
	}
	before := u.mode.kind
	u.mode = next
	switch kind := next.kind; {
	case kind == before:
		if u.sound != nil {
			u.sound.at = 0
		}
	case kind >= aceModeSound && kind < aceModePicture:
		if u.sound == nil {
			u.sound = &aceSound{}
		}
		u.sound.begin(kind-aceModeSound, u.lz.main.strict)
	case kind == aceModePicture:
		if u.picture == nil {
			u.picture = &acePicture{}
		}
		return u.picture.begin(u.bits)
	}
	return nil
}

// plain unpacks LZ77, of programs too. What begins like a call at the end waits for
// what follows.
func (u *aceUnpacker) plain() (next aceMode, changes bool, err error) {
	w := u.window
	start := w.end
	if left := u.size - u.made - int64(len(u.kept)); left > 0 {
		next, changes, err = u.lz.decode(w, start+int(min(left, lzStep)))
	}
	u.out = w.buf[start:w.end]
	if len(u.kept) == 0 && u.mode.kind == aceModeLZ {
		return next, changes, err
	}
	u.buf = append(append(u.buf[:0], u.kept...), u.out...)
	u.out, u.kept = u.buf, u.kept[:0]
	if u.mode.kind != aceModeEXE {
		return next, changes, err
	}
	ends := err != nil || u.made+int64(len(u.buf)) >= u.size
	if n := aceCalls(u.buf, uint32(u.made), u.mode.wide); !ends {
		u.out = u.buf[:n]
		u.kept = append(u.kept, u.buf[n:]...)
	}
	return next, changes, err
}

// aceCalls makes addresses relative again behind what may be CALL and JMP, where
// four bytes follow. at is where b begins in the file. It gives how much of b is done:
// what is left may be a call that goes on behind.
func aceCalls(b []byte, at uint32, wide bool) int {
	const call, jump = 0xe8, 0xe9
	le := binary.LittleEndian
	i := 0
	for i+4 < len(b) {
		here := at + uint32(i)
		switch {
		case b[i] == call && wide:
			le.PutUint32(b[i+1:], le.Uint32(b[i+1:])-here)
			i += 5
		case b[i] == call || b[i] == jump:
			le.PutUint16(b[i+1:], le.Uint16(b[i+1:])-uint16(here))
			i += 3
		default:
			i++
		}
	}
	for ; i < len(b); i++ {
		if b[i] == call || b[i] == jump {
			return i
		}
	}
	return len(b)
}

var errACEDelta = fmt.Errorf("%w: differences", ErrDamaged)

// differences unpacks a block of differences. When the mode changes within the block,
// the block is still made whole.
func (u *aceUnpacker) differences() (next aceMode, changes bool, err error) {
	m := u.mode
	if m.channels == 0 || m.length < m.channels {
		return next, false, errACEDelta
	}
	u.block = u.block[:0]
	for err == nil && len(u.block) < m.length {
		if err = u.window.room(); err != nil {
			break
		}
		start, n := u.window.end, min(m.length-len(u.block), lzStep)
		mode, changed := aceMode{}, false
		mode, changed, err = u.lz.decode(u.window, start+n)
		got := u.window.end - start
		u.block = append(u.block, u.window.buf[start:start+min(got, n)]...)
		switch {
		case got > n, changed && changes:
			err = errACEDelta
		case changed && len(u.block) == 0:
			return mode, true, nil
		case changed:
			next, changes = mode, true
		}
	}
	for i := range u.block {
		u.sum += u.block[i]
		u.block[i] = u.sum
	}
	u.interleave(m.length / m.channels)
	return next, changes, err
}

// interleave puts the bytes of channels, each of so many bytes, in their order.
func (u *aceUnpacker) interleave(each int) {
	u.buf = u.buf[:0]
	for i := range each {
		for at := i; at < len(u.block); at += each {
			u.buf = append(u.buf, u.block[at])
		}
	}
	u.out = u.buf
}

// samples unpacks sound.
func (u *aceUnpacker) samples() (next aceMode, changes bool, err error) {
	u.buf = u.buf[:0]
	for n := min(u.size-u.made, lzStep); n > 0 && err == nil && !changes; n-- {
		var sample byte
		sample, changes, err = u.sound.next(u.bits)
		switch {
		case err != nil:
		case changes:
			next = newACEMode(u.bits)
		default:
			u.buf = append(u.buf, sample)
		}
	}
	u.out = u.buf
	if failed := u.window.write(u.buf); err == nil {
		err = failed
	}
	return next, changes, err
}

// rows unpacks a picture.
func (u *aceUnpacker) rows() (next aceMode, changes bool, err error) {
	u.buf = u.buf[:0]
	for err == nil && len(u.buf) < lzStep && u.made+int64(len(u.buf)) < u.size {
		if u.bits.take(1) == 0 {
			next, changes = newACEMode(u.bits), true
			break
		}
		if err = u.picture.row(u.bits); err == nil {
			u.buf = append(u.buf, u.picture.above[:u.picture.width]...)
		}
	}
	u.out = u.buf
	if failed := u.window.write(u.buf[:min(int64(len(u.buf)), u.size-u.made)]); err == nil {
		err = failed
	}
	return next, changes, err
}
