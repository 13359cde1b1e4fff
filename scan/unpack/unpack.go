// Package unpack opens containers: files that hold files.
//
// Each format has one file with all there is to know of it, and its name in one
// list. An object is tried against every opener by content; its name chooses
// nothing. Limits, nesting, recovery from panics belong to the walk that all
// openers share. Nothing is ever written under a name that comes from a
// container: what is unpacked lies in memory or in an unlinked scratch file.
package unpack

import (
	"context"
	"errors"
	"io"
	"os"
)

// Reasons why an object, or the rest of it, was not read. Every error that Walk
// hands out wraps one of them.
var (
	ErrEncrypted   = errors.New("encrypted")
	ErrDamaged     = errors.New("damaged")
	ErrUnsupported = errors.New("unsupported method")
	ErrLimit       = errors.New("over a limit")
)

// Limits bounds the work that one message can cause. A zero field means its default.
type Limits struct {
	Depth    int   // containers within containers; default 32
	Objects  int   // objects in all; default 100,000
	Unpacked int64 // bytes unpacked in all; default 4 GiB
	Ratio    int64 // unpacked bytes for each byte of a container, once 64 MiB are unpacked; default 0: no such limit
}

// File is an object: some bytes and the name they go by.
type File struct {
	Name string // as the container gives it, decoded to UTF-8; never a path to open
	Data []byte // read-only; in memory or mapped from the scratch file
}

// Visitor is told of each object, outermost first.
type Visitor interface {
	// Object is handed each object with the names that lead to it (the last is
	// its own) and the formats of the containers it came out of. It returns
	// false when the object need not be opened: it has been seen before.
	Object(path []string, formats []string, f File) (open bool)
	// Unchecked is told what could not be read: the path of the object and why.
	Unchecked(path []string, err error)
}

// Arena holds unpacked bytes: small ones in memory, large ones in a scratch file,
// mapped. It is used by one goroutine.
type Arena struct{ _ *os.File }

// NewArena makes an arena over scratch, an empty unlinked file that it may grow
// (nil: everything stays in memory). threshold is the size in bytes from which
// an object goes to the file; 0 means 4 MiB.
func NewArena(scratch *os.File, threshold int) *Arena { panic("not built yet") }

// Hold reads r to its end, or to max bytes, and keeps what was read until
// release is called. On an error of r the bytes before it are returned with it;
// ErrLimit when r has more than max bytes.
func (a *Arena) Hold(r io.Reader, max int64) (data []byte, release func(), err error) {
	panic("not built yet")
}

// Close gives everything back.
func (a *Arena) Close() error { panic("not built yet") }

// Walker walks objects and what is in them. The limits count over all walks of one Walker:
// make one for each message.
type Walker struct{}

// NewWalker makes a walker that keeps what it unpacks in a.
func NewWalker(a *Arena, l Limits) *Walker { panic("not built yet") }

// Unpacked charges n bytes, decoded elsewhere, to the limit; ErrLimit when it is met.
func (w *Walker) Unpacked(n int64) error { panic("not built yet") }

// Walk hands f to v, then everything in f, depth first. base is the path under
// which f itself goes. It returns an error only when ctx ended; what else goes
// wrong is told to v and never stops the rest.
func (w *Walker) Walk(ctx context.Context, base []string, f File, v Visitor) error {
	panic("not built yet")
}

// Formats names every format that the package opens, in the order of the list.
func Formats() []string { panic("not built yet") }

// Detect names the formats that f looks like by content, in the order of the list.
func Detect(f File) []string { panic("not built yet") }
