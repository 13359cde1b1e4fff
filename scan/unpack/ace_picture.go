package unpack

import (
	"fmt"
	"math/bits"
	"slices"
)

// Pictures: each byte of a row is told by how much it differs from what those around
// it make likely, in the same plane (color), or in the plane before.

const (
	// aceWidest bounds a row, in bytes, with its planes.
	aceWidest = 1 << 20

	acePlaneSame    = 0 // bytes as they are
	acePlaneLess    = 1 // less what the plane before has
	acePlanePart    = 2 // less eleven sixteenths of it
	acePictureFull  = 128
	acePictureCases = 365 // 9 times 9 times 9, of which half are the other half's opposites
)

// acePicture decodes a picture.
type acePicture struct {
	width, planes int
	now, above    []byte // rows, with as many zeros behind them as there are planes
	fresh         bool   // there is no row yet
	first, others [acePictureCases]aceCase
}

// aceCase is what is known of how bytes differ where those around them differ in a
// certain way.
type aceCase struct {
	used, sum uint16
	guess     uint8    // the best one
	errors    [4]uint8 // of the ways to guess
}

// begin reads the sizes, and makes everything as it is before the first row.
func (p *acePicture) begin(b *aceBits) error {
	p.width, p.planes = b.golombRice(12), b.golombRice(2)
	if b.over() {
		return errLZEnd
	}
	if p.width > aceWidest || p.width+p.planes > aceWidest {
		return fmt.Errorf("%w: rows of %d bytes", &LimitError{"memory"}, p.width)
	}
	for i := range p.first {
		p.first[i], p.others[i] = aceCase{sum: 4}, aceCase{sum: 4}
	}
	p.fresh = true
	return nil
}

// row decodes a row, into above.
func (p *acePicture) row(b *aceBits) error {
	if size := p.width + p.planes; p.fresh {
		p.now = slices.Grow(p.now[:0], size)[:size]
		p.above = slices.Grow(p.above[:0], size)[:size]
		clear(p.now)
		clear(p.above)
		p.fresh = false
	}
	for plane := range p.planes {
		kind, cases := acePlaneSame, &p.first
		if plane > 0 {
			kind, cases = b.take(2), &p.others
		}
		if kind > acePlanePart {
			return fmt.Errorf("%w: plane of kind %d", ErrDamaged, kind)
		}
		if p.plane(b, plane, kind, cases); b.over() {
			return errLZEnd
		}
	}
	if b.over() {
		return errLZEnd
	}
	p.now, p.above = p.above, p.now
	return nil
}

// plane decodes the bytes of a row that belong to one plane.
func (p *acePicture) plane(b *aceBits, plane, kind int, cases *[acePictureCases]aceCase) {
	var n aceNeighbours
	if kind != acePlaneSame {
		n = aceNeighbours{acePictureFull, acePictureFull, acePictureFull, acePictureFull, acePictureFull}
	}
	n.next = p.byteAbove(plane, kind)
	for at := plane; at < p.width; at += p.planes {
		n.corner, n.up, n.left = n.up, n.next, n.here
		n.next = p.byteAbove(at+p.planes, kind)
		cases[n.difference()].decode(b, &n)
		p.now[at] = n.here
		if kind != acePlaneSame {
			p.now[at] += acePlaneOf(p.now[at-1], kind) - acePictureFull
		}
	}
}

// byteAbove gives a byte of the row above, in the terms of a plane of a kind.
func (p *acePicture) byteAbove(at, kind int) byte {
	if kind == acePlaneSame {
		return p.above[at]
	}
	return p.above[at] - acePlaneOf(p.above[at-1], kind) + acePictureFull
}

// acePlaneOf is what a byte of the plane before counts.
func acePlaneOf(before byte, kind int) byte {
	if kind == acePlanePart {
		return byte(int(before) * 11 >> 4)
	}
	return before
}

// aceNeighbours are the bytes around the one that is decoded.
type aceNeighbours struct{ corner, up, next, left, here byte }

// difference tells how the bytes around differ: which case it is.
func (n *aceNeighbours) difference() int {
	step := func(a, b byte) int { return aceStep(int(a) - int(b)) }
	return magnitude(81*step(n.next, n.up) + 9*step(n.up, n.corner) + step(n.corner, n.left))
}

// aceStep puts a difference into one of nine steps.
func aceStep(d int) int {
	step := 0
	for _, from := range [...]int{1, 3, 7, 21} {
		if magnitude(d) >= from {
			step++
		}
	}
	if d < 0 {
		return -step
	}
	return step
}

// guesses are the ways to guess a byte.
func (n *aceNeighbours) guesses() [4]byte {
	return [4]byte{n.up, n.left, byte((int(n.up) + int(n.left)) >> 1), n.up + n.left - n.corner}
}

// decode decodes a byte, and learns from it.
func (c *aceCase) decode(b *aceBits, n *aceNeighbours) {
	const many = 128
	c.used++
	miss := uint8(b.golombRice(bits.Len16(c.sum / c.used)))
	difference := int8(miss >> 1)
	if miss%2 == 1 {
		difference = -difference - 1
	}
	guesses := n.guesses()
	n.here = guesses[c.guess] + byte(difference)
	c.sum += uint16(magnitude(int(difference)))
	if c.used == many {
		c.used /= 2
		c.sum /= 2
	}
	c.learn(n.here, guesses)
}

// learn finds the best way to guess.
func (c *aceCase) learn(b byte, guesses [4]byte) {
	large := false
	c.guess = 0
	for i, g := range guesses {
		c.errors[i] += aceWidth(int8(b - g))
		large = large || c.errors[i] > 0x7f
		if c.errors[i] < c.errors[c.guess] {
			c.guess = uint8(i)
		}
	}
	if large {
		for i := range c.errors {
			c.errors[i] /= 2
		}
	}
}

// aceWidth is how many bits a difference has, its sign being the lowest.
func aceWidth(d int8) uint8 {
	n := 2 * int(d)
	if n < 0 {
		n = -n - 1
	}
	return uint8(bits.Len(uint(n)))
}
