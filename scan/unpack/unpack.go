// Package unpack opens containers: files that hold files.
//
// Each format has one file with all there is to know of it, and its name in one
// list. An object is tried against every opener by content; its name chooses
// nothing. Limits, nesting, recovery from panics belong to the walk that all
// openers share. Nothing is ever written under a name that comes from a
// container: what is unpacked lies in memory or in an unlinked scratch file.
//
// A new format is three things: a file with its opener, a line in the list
// (opener.go), and its samples in testdata/containers.
package unpack

import "errors"

// Reasons why an object, or the rest of it, was not read. Every error that Walk
// hands out wraps exactly one of them.
var (
	ErrEncrypted   = errors.New("encrypted")
	ErrClosed      = errors.New("an archive that cannot be opened") // its format is published nowhere
	ErrDamaged     = errors.New("damaged")
	ErrUnsupported = errors.New("unsupported method")
	ErrLimit       = errors.New("over a limit")
)

// LimitError says which limit was met. It wraps ErrLimit, and reads "limit: depth".
type LimitError struct {
	// Limit is one of "depth", "objects", "unpacked", "ratio" (the fields of
	// Limits), "overlap" (a container whose entries lie over one another, so that
	// the same bytes would be unpacked again and again, or go by many names),
	// "zeros" (an object of which long runs of zeros were left out), "memory" (the
	// window that a decoder would need) and "scratch" (the scratch file cannot grow).
	Limit string
}

// Error implements error.
func (e *LimitError) Error() string { return "limit: " + e.Limit }

// Unwrap gives ErrLimit.
func (e *LimitError) Unwrap() error { return ErrLimit }

// Limits bounds the work that one message can cause. A zero field means its default.
type Limits struct {
	Depth    int   // containers within containers; default 32
	Objects  int   // objects in all; default 100,000
	Unpacked int64 // bytes unpacked in all; default 4 GiB
	Ratio    int64 // unpacked bytes for each byte of a container, once 64 MiB are unpacked; default 0: no such limit
}

// ratioFrom is the number of unpacked bytes from which Limits.Ratio counts:
// small containers of much the same byte are ordinary.
const ratioFrom = 64 << 20

// withDefaults gives l with its zero fields filled in.
func (l Limits) withDefaults() Limits {
	if l.Depth <= 0 {
		l.Depth = 32
	}
	if l.Objects <= 0 {
		l.Objects = 100_000
	}
	if l.Unpacked <= 0 {
		l.Unpacked = 4 << 30
	}
	return l
}

// File is an object: some bytes and the name they go by.
type File struct {
	Name string // as the container gives it, decoded to UTF-8; never a path to open
	Data []byte // read-only; in memory or mapped from the scratch file

	// Set by the walk.
	keys   *keyring
	memory *memory
	looks  *looks // what of the openers' looks at it is known
	extent *int   // how far the opener has read it
}

// Visitor is told of each object, outermost first.
type Visitor interface {
	// Object is handed each object with the names that lead to it (the last is
	// its own) and the formats of the containers it came out of. It returns
	// false when the object need not be opened: it has been seen before.
	// f.Data is gone once the walk has left the object and what is in it: what
	// is needed longer is to be copied. path and formats stay as they are.
	Object(path []string, formats []string, f File) (open bool)
	// Unchecked is told what could not be read: the path of the object and why.
	// A limit is told once for each container that it leaves unfinished, with
	// the container's path; everything before it has been handed out. Only "zeros"
	// and "memory" are about the object itself, and leave out no other.
	//
	// It is called while the walk is in that object. What it returns is called if it
	// is to count, which may show only when other openers have read the object around
	// it, but before Walk returns.
	Unchecked(path []string, err error) (count func())
}

// Formats names every format that the package opens, in the order of the list.
func Formats() []string {
	names := make([]string, len(openers))
	for i, o := range openers {
		names[i] = o.name
	}
	return names
}

// Detect names the formats that f looks like by content, in the order of the list.
// Of a File that a Visitor is handed this costs what the walk needs anyway.
func Detect(f File) []string {
	if f.looks == nil {
		f.looks = &looks{}
	}
	var names []string
	for i := range openers {
		if yes, _ := f.looksLike(i); yes {
			names = append(names, openers[i].name)
		}
	}
	return names
}

// looks is which openers have looked at an object, and which of them know it, by
// their place in the list.
type looks struct {
	asked, known bits128
	panics       map[int]error
}

// bits128 is a bit for each opener.
type bits128 [2]uint64

func (b *bits128) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b *bits128) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }

// looksLike asks an opener, at most once, whether f looks like its format. Its panic
// is an error, and means no.
func (f File) looksLike(i int) (yes bool, err error) {
	l := f.looks
	if l == nil {
		l = &looks{}
	}
	if !l.asked.has(i) {
		l.asked.set(i)
		if openers[i].last && l.known != (bits128{}) && !beginsPicture(f.Data) {
			return false, nil
		}
		switch yes, err := openers[i].looksAt(f.Data); {
		case err != nil && l.panics == nil:
			l.panics = map[int]error{i: err}
		case err != nil:
			l.panics[i] = err
		case yes:
			l.known.set(i)
		}
	}
	return l.known.has(i), l.panics[i]
}
