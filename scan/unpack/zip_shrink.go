package unpack

import (
	"errors"
	"io"
)

// Shrinking (APPNOTE, section 5.1) is LZW with codes of 9 to 13 bits. When the
// codes are used up, those that no other code builds on are given free.
const (
	shrinkControl = 256 // goes before a command
	shrinkWiden   = 1   // codes have a bit more from now on
	shrinkClear   = 2   // give codes free
	shrinkMinBits = 9
	shrinkMaxBits = 13
	shrinkFree    = -1 // in place of a parent
)

// unshrinker unpacks what was shrunk.
type unshrinker struct {
	bitStream
	width  uint
	parent [1 << shrinkMaxBits]int16 // the code that each code builds on, or shrinkFree
	suffix [1 << shrinkMaxBits]byte
	next   int // before the first code that may be free

	previous int // the last code that was read; shrinkFree at first
	first    byte
	text     []byte // of the code that was read, backwards
	err      error
}

func newUnshrinker(in io.ByteReader) *unshrinker {
	u := &unshrinker{bitStream: bitStream{in: in}, width: shrinkMinBits, next: shrinkControl, previous: shrinkFree}
	for i := range u.parent {
		u.parent[i] = shrinkFree
		if i < shrinkControl {
			u.suffix[i] = byte(i)
		}
	}
	return u
}

// Read implements io.Reader.
func (u *unshrinker) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if k := len(u.text); k > 0 {
			p[n] = u.text[k-1]
			u.text = u.text[:k-1]
			n++
			continue
		}
		if u.err == nil {
			u.err = u.step()
		}
		if u.err != nil {
			break
		}
	}
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, u.err
}

// step reads a code, or a command.
func (u *unshrinker) step() error {
	v, err := u.bits(u.width)
	if err != nil {
		return err
	}
	if v == shrinkControl {
		return u.command()
	}
	return u.code(int(v))
}

func (u *unshrinker) command() error {
	v, err := u.bits(u.width)
	switch {
	case err != nil:
		return err
	case v == shrinkWiden && u.width < shrinkMaxBits:
		u.width++
		return nil
	case v == shrinkClear:
		u.clear()
		return nil
	}
	return errCode
}

// code writes what a code stands for, and gives a code to the text before it
// with its first byte.
func (u *unshrinker) code(code int) error {
	if u.previous == shrinkFree {
		if code > 255 {
			return errCode
		}
		u.previous, u.first = code, byte(code)
		u.text = append(u.text, byte(code))
		return nil
	}
	at := code
	unknown := code > 255 && u.parent[code] == shrinkFree
	if unknown { // the one that is given right now: the text before it, and its first byte once more
		u.text = append(u.text, u.first)
		at = u.previous
	}
	for ; at > 255; at = int(u.parent[at]) {
		if u.parent[at] == shrinkFree || len(u.text) > len(u.parent) {
			return errors.New("invalid chain of codes")
		}
		u.text = append(u.text, u.suffix[at])
	}
	u.first = byte(at)
	u.text = append(u.text, u.first)
	u.give()
	u.previous = code
	return nil
}

// give gives the first free code to the text of the last code and a byte. There
// may be none.
func (u *unshrinker) give() {
	for u.next++; u.next < len(u.parent); u.next++ {
		if u.parent[u.next] == shrinkFree {
			u.parent[u.next], u.suffix[u.next] = int16(u.previous), u.first
			return
		}
	}
	u.next = len(u.parent) - 1
}

// clear gives the codes free that no other one builds on.
func (u *unshrinker) clear() {
	var inner [1 << shrinkMaxBits]bool
	for _, p := range u.parent[shrinkControl+1:] {
		if p > shrinkControl {
			inner[p] = true
		}
	}
	for i := shrinkControl + 1; i < len(u.parent); i++ {
		if !inner[i] {
			u.parent[i] = shrinkFree
		}
	}
	u.next = shrinkControl
}

// unshrunk reads what was shrunk.
func (z *zipReader) unshrunk(e *zipEntry, in zipInput) (io.Reader, error) {
	return e.sized(newUnshrinker(in)), nil
}
