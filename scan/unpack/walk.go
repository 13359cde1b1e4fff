package unpack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// Walker walks objects and what is in them. The limits count over all walks of one Walker:
// make one for each message. It is used by one goroutine.
type Walker struct {
	arena    *Arena
	limits   Limits
	objects  int
	unpacked int64
	keys     *keyring // nil: no passwords
	memory   memory
}

// NewWalker makes a walker that keeps what it unpacks in a.
func NewWalker(a *Arena, l Limits) *Walker {
	return &Walker{arena: a, limits: l.withDefaults()}
}

// Unpacked charges n bytes, decoded elsewhere, to the limit; ErrLimit when it is met.
func (w *Walker) Unpacked(n int64) error {
	if n > w.limits.Unpacked-w.unpacked {
		w.unpacked = w.limits.Unpacked
		return &LimitError{"unpacked"}
	}
	w.unpacked += n
	return nil
}

// Left is how many bytes may still be unpacked.
func (w *Walker) Left() int64 { return w.limits.Unpacked - w.unpacked }

// Full is ErrLimit once the limit of objects, or of unpacked bytes, is met: for
// whoever walks many objects that came out of one.
func (w *Walker) Full() error {
	switch {
	case w.objects >= w.limits.Objects:
		return &LimitError{"objects"}
	case w.Left() <= 0:
		return &LimitError{"unpacked"}
	}
	return nil
}

// Walk hands f to v, then everything in f, depth first. base is the path under
// which f itself goes: f's own path is base and its name. It returns an error
// only when ctx ended, and that error is ctx's; what else goes wrong is told to v
// and never stops the rest. f itself is handed out whatever the limits.
func (w *Walker) Walk(ctx context.Context, base []string, f File, v Visitor) error {
	w.objects++
	run := &walk{Walker: w, ctx: ctx, visitor: v}
	defer run.countAll()
	return run.object(append(slices.Clip(base), f.Name), nil, f)
}

// walk is one call of Walk.
type walk struct {
	*Walker
	ctx     context.Context
	visitor Visitor

	problems []problem // of which it is not known whether they count
}

// object hands out one object and opens it as every format that it looks like.
func (w *walk) object(path, formats []string, f File) error {
	f.keys, f.memory, f.looks = w.keys, &w.memory, &looks{}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if !w.visitor.Object(path, formats, f) {
		return nil
	}
	var readings []reading
	for i := range openers {
		yes, err := f.looksLike(i)
		if !yes && err == nil {
			continue
		}
		c := container{walk: w, opener: &openers[i], path: path, file: f}
		if err == nil && len(formats) >= w.limits.Depth {
			c.tell(path, "", &LimitError{"depth"})
			break
		}
		c.formats = append(slices.Clip(formats), c.opener.name)
		r, err := c.reading(err)
		if err != nil {
			return err
		}
		readings = append(readings, r)
	}
	w.passOn(f, readings)
	return nil
}

// container is an object that is being opened as one format.
type container struct {
	*walk
	opener  *opener
	path    []string // of the container itself
	formats []string // of what is in it
	file    File
	out     int64 // bytes unpacked from it, not counting what is within those
	told    bool  // something could not be read
}

// reading opens the container, unless its opener has failed already, and says what came
// of it. It returns an error only when ctx ended.
func (c *container) reading(failed error) (r reading, err error) {
	r = reading{opener: c.opener, stretch: stretch{from: len(c.problems)}}
	c.file.extent = new(int)
	if failed != nil {
		c.tell(c.path, "", failed)
	} else {
		err = c.open()
	}
	r.to = len(c.problems)
	r.whole = !c.told && c.file.isWhole()
	return r, err
}

// open walks the container's members. It returns an error only when ctx ended.
func (c *container) open() (err error) {
	opening := true // false while the walk's own code and the visitor run: their panics are not the opener's
	defer func() {
		if !opening {
			return
		}
		if panicked := recover(); panicked != nil {
			c.tell(c.path, "", openerPanic(panicked))
		}
	}()
	for m, problem := range c.opener.entries(c.file) {
		opening = false
		err = c.ctx.Err()
		more := err == nil
		if more {
			more, err = c.member(m, problem)
		}
		opening = true
		if !more {
			break
		}
	}
	return err
}

// looksAt asks the opener whether data looks like its format.
func (o *opener) looksAt(data []byte) (yes bool, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			yes, err = false, openerPanic(panicked)
		}
	}()
	return o.match(data), nil
}

// openerPanic is damage of the container: the rest of the walk goes on.
func openerPanic(p any) error { return fmt.Errorf("%w: opener panicked: %v", ErrDamaged, p) }

// member hands out one member and what is in it. It reports whether the
// container's next one may be asked for; an error only when ctx ended.
func (c *container) member(m member, problem error) (more bool, err error) {
	if isFinal(problem) {
		c.tell(c.path, m.name, problem)
		return false, nil
	}
	if c.objects >= c.limits.Objects {
		c.tell(c.path, "", &LimitError{"objects"})
		return false, nil
	}
	c.objects++
	h, failed := c.read(m)
	defer h.release()
	if err := c.ctx.Err(); err != nil {
		return false, err
	}
	if failed != nil {
		problem = failed
	}
	path := append(slices.Clip(c.path), m.name)
	whole := problem == nil && (m.data != nil || m.body != nil)
	if whole || len(h.data) > 0 && !errors.Is(problem, ErrEncrypted) {
		c.keys.note(h.data)
		if err := c.object(path, c.formats, File{Name: m.name, Data: h.data}); err != nil {
			return false, err
		}
	}
	if problem == nil {
		return true, nil
	}
	limited := isFinal(problem)
	if limited || m.name == "" {
		path = c.path
	}
	c.tell(path, m.name, problem)
	return !limited, nil
}

// isFinal reports whether err is a limit behind which nothing more of the
// container is read.
func isFinal(err error) bool {
	var limit *LimitError
	return errors.As(err, &limit) && limit.Limit != "zeros" && limit.Limit != "memory"
}

// tell tells the visitor what could not be read, in words: "zip: a.exe: encrypted".
// What openers pass on from decoders counts as damage.
func (c *container) tell(path []string, name string, err error) {
	known := func(reason error) bool { return errors.Is(err, reason) }
	if !slices.ContainsFunc([]error{ErrEncrypted, ErrClosed, ErrDamaged, ErrUnsupported, ErrLimit}, known) {
		err = fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	if name != "" {
		err = fmt.Errorf("%s: %w", name, err)
	}
	err = fmt.Errorf("%s: %w", c.opener.name, err)
	c.told = true
	c.walk.note(path, err)
}

// read unpacks a member within the limits. What there is of it is returned with
// the error.
func (c *container) read(m member) (held, error) {
	if m.body != nil {
		r := &shortened{r: &metered{c, m.body}, from: zerosFrom}
		if m.holes {
			r.from = 0
		}
		return c.arena.hold(r, math.MaxInt64, m.size)
	}
	left, limit := c.left()
	if int64(len(m.data)) > left {
		m.data = m.data[:left]
	} else {
		limit = nil
	}
	c.charge(len(m.data))
	return held{data: m.data}, limit
}

// charge counts n unpacked bytes.
func (c *container) charge(n int) {
	c.unpacked += int64(n)
	c.out += int64(n)
}

// left is how many bytes may still be unpacked from the container, and the limit
// that is met beyond them.
func (c *container) left() (int64, error) {
	left, limit := c.limits.Unpacked-c.unpacked, "unpacked"
	size := int64(len(c.file.Data))
	if ratio := c.limits.Ratio; ratio > 0 && ratio <= math.MaxInt64/max(size, 1) {
		if r := max(ratioFrom-c.unpacked, ratio*size-c.out, 0); r < left {
			left, limit = r, "ratio"
		}
	}
	return left, &LimitError{limit}
}

// metered charges what is read of a member to the limits, looks at the context
// every so often, and turns an opener's panic into an error, so that what was
// read before it is kept.
type metered struct {
	c *container
	r io.Reader
}

// meterEvery is how many bytes are unpacked between two looks at the limits.
const meterEvery = 64 << 10

// Read implements io.Reader.
func (m *metered) Read(p []byte) (n int, err error) {
	if err := m.c.ctx.Err(); err != nil {
		return 0, err
	}
	defer func() {
		if panicked := recover(); panicked != nil {
			n, err = 0, openerPanic(panicked)
		}
	}()
	left, limit := m.c.left()
	if left == 0 {
		// A member that ends exactly here is not over the limit.
		var probe [1]byte
		if n, err = m.r.Read(probe[:]); n > 0 {
			err = limit
		}
		return 0, err
	}
	n, err = m.r.Read(p[:min(int64(len(p)), meterEvery, left)])
	m.c.charge(n)
	return n, err
}
