package scan

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Mail repeats itself: pictures in signatures, circulars, the attachment that goes to
// a whole department. An object in which there was nothing to tell, nor in anything
// within it, is remembered as long as the rules serve, and not looked into again.
//
// What the scan of an object depends on is all in its key, with one exception: the
// passwords that a message tells may stand in an object that is not looked into. So a
// message in which something stays shut is looked at once more, the whole of it.

// maxClean is how many objects each half of the memory holds: some 2 MB.
const maxClean = 1 << 14

// cleanObjects remembers objects by their keys. When there are too many, the half that
// was not met for longest is forgotten.
type cleanObjects struct {
	young, old map[cleanKey]struct{}
}

// cleanKey is the digest of an object and of all else that rules and the scan can ask
// of it.
type cleanKey [sha256.Size]byte

// has reports whether an object is remembered.
func (c *cleanObjects) has(k cleanKey) bool {
	if _, ok := c.young[k]; ok {
		return true
	}
	_, ok := c.old[k]
	if ok {
		c.add(k)
	}
	return ok
}

// add remembers an object.
func (c *cleanObjects) add(k cleanKey) {
	if c.young == nil || len(c.young) >= maxClean {
		c.old, c.young = c.young, make(map[cleanKey]struct{})
	}
	c.young[k] = struct{}{}
}

// cleanKeyOf gives the key of an object with the digest sum, at path.
func cleanKeyOf(sum [sha256.Size]byte, path []string, of origin) cleanKey {
	b := slices.Clone(sum[:])
	for _, yes := range []bool{of.declared, of.raw, of.encoded, of.guess, of.carved} {
		b = append(b, 0)
		if yes {
			b[len(b)-1] = 1
		}
	}
	for _, name := range path {
		b = binary.AppendUvarint(b, uint64(len(name)))
		b = append(b, name...)
	}
	return sha256.Sum256(b)
}
