package unpack

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
)

// wimMethod is how chunks are packed: a flag of the header; solid resources number them.
type wimMethod int

const (
	wimStored wimMethod = iota
	wimXPRESS
	wimLZX
	wimLZMS
)

// method is what the header says of the resources that are not solid.
func (w *wim) method() wimMethod {
	switch {
	case w.flags&(1<<17|1<<21) != 0:
		return wimXPRESS
	case w.flags&(1<<18) != 0:
		return wimLZX
	case w.flags&(1<<19) != 0:
		return wimLZMS
	}
	return wimStored
}

// wimDecoders are the decoders that have been needed so far.
type wimDecoders struct {
	memory  *memory
	xpress  *xpressDecoder
	lzx     *lzxDecoder
	lzxSize int64
	lzms    lzmsDecoder
	buffer  []byte
}

func (u *wimDecoders) release() {
	if u.lzx != nil {
		u.memory.give(2 * int64(len(u.lzx.window)))
		u.lzx = nil
	}
	u.lzms.release()
}

// unpack unpacks a chunk of a size, of those that have most bytes. On an error out is
// what came before it. out holds until the next call.
func (u *wimDecoders) unpack(method wimMethod, in []byte, size, most int64) (out []byte, err error) {
	switch method {
	case wimXPRESS:
		if u.xpress == nil {
			u.xpress, u.buffer = newXPRESSDecoder(), make([]byte, xpressChunk)
		}
		n, err := u.xpress.chunk(in, u.buffer[:size])
		return u.buffer[:n], err
	case wimLZX:
		if u.lzx == nil || u.lzxSize != most {
			u.release()
			if u.lzx, err = newWIMLZXDecoder(int(most)); err != nil {
				return nil, err
			}
			u.lzxSize = most
			if err = u.memory.take(2 * int64(len(u.lzx.window))); err != nil {
				u.lzx = nil
				return nil, err
			}
		}
		return u.lzx.chunk(in, int(size))
	case wimLZMS:
		u.lzms.memory = u.memory
		return u.lzms.chunk(in, int(size))
	}
	return nil, fmt.Errorf("%w: chunks of an unknown method", ErrUnsupported)
}

// least is the size of the smallest chunks that a method has.
func (m wimMethod) least() int64 {
	if m == wimXPRESS {
		return 4 << 10
	}
	return lzxFrame
}

// most is the size of the largest chunks that a method has.
func (m wimMethod) most() int64 {
	switch m {
	case wimXPRESS:
		return xpressChunk
	case wimLZX:
		return 1 << lzxMaxBits
	}
	return maxWindow
}

// wimChunks reads a resource that is divided into chunks. Damage is told at the end;
// zeros are in place of what could not be unpacked.
type wimChunks struct {
	unpacks *wimDecoders
	method  wimMethod
	in      []byte // the chunks
	table   []byte // where they end, or how long they are
	wide    bool   // numbers of 64 bits
	lengths bool
	chunk   int64 // bytes of all but the last
	left    int64 // bytes of the resource that are in chunks still to come

	stored []byte // of a resource that is not packed: all of it
	held   []byte
	zeros  int64
	at     int64 // in in
	err    error
}

// open opens a resource; from is where its header, or its table of chunks, begins.
func (w *wim) open(res wimResource, from, original int64) (*wimChunks, error) {
	b, err := w.image.take(res.at, res.size)
	if err != nil && (b == nil || res.flags&wimPacked == 0 && len(b) == 0) {
		if res.size == 0 {
			return &wimChunks{stored: []byte{}}, nil
		}
		return nil, err
	}
	if res.flags&wimPacked == 0 {
		return &wimChunks{stored: b, held: b, err: err}, nil
	}
	c := &wimChunks{unpacks: &w.unpacks, method: w.method(), chunk: w.chunk, left: original, wide: original > math.MaxUint32, err: err}
	return c, c.start(b[min(from, int64(len(b))):])
}

// start reads the table: where all chunks but the first begin, counted from its end; in
// solid resources how long all are.
func (c *wimChunks) start(b []byte) error {
	if c.method == wimStored || c.chunk < c.method.least() || c.chunk > c.method.most() || c.chunk&(c.chunk-1) != 0 {
		return fmt.Errorf("%w: chunks of %d bytes", ErrUnsupported, c.chunk)
	}
	chunks := c.left/c.chunk + 1
	if c.left%c.chunk == 0 {
		chunks--
	}
	if !c.lengths {
		chunks--
	}
	width := int64(4)
	if c.wide {
		width = 8
	}
	if chunks > int64(len(b))/width {
		return errShort
	}
	c.table, c.in = b[:max(chunks, 0)*width], b[max(chunks, 0)*width:]
	return nil
}

// Read implements io.Reader.
func (c *wimChunks) Read(p []byte) (int, error) {
	for len(p) > 0 {
		switch {
		case len(c.held) > 0:
			n := copy(p, c.held)
			c.held = c.held[n:]
			return n, nil
		case c.zeros > 0:
			n := int(min(int64(len(p)), c.zeros))
			clear(p[:n])
			c.zeros -= int64(n)
			return n, nil
		case c.left > 0 && !isFinal(c.err):
			c.next()
		case c.err != nil:
			return 0, c.err
		default:
			return 0, io.EOF
		}
	}
	return 0, nil
}

// number takes a number out of the table.
func (c *wimChunks) number() (n int64) {
	if c.wide {
		n = int64(binary.LittleEndian.Uint64(c.table) & math.MaxInt64)
		c.table = c.table[8:]
	} else {
		n = int64(binary.LittleEndian.Uint32(c.table))
		c.table = c.table[4:]
	}
	return n
}

// next unpacks the next chunk. One that is as long packed is not.
func (c *wimChunks) next() {
	in, size, packed := c.nextPacked()
	if packed == size {
		c.held = in
	} else {
		var err error
		if c.held, err = c.unpacks.unpack(c.method, in, size, c.chunk); err != nil {
			c.fail(err)
		}
	}
	c.zeros = size - int64(len(c.held))
}

// nextPacked gives the next chunk as it is, as far as it is there, its size, and how
// long it is said to be packed.
func (c *wimChunks) nextPacked() (in []byte, size, packed int64) {
	size = min(c.chunk, c.left)
	c.left -= size
	end := int64(len(c.in))
	switch {
	case c.lengths:
		end = c.at + c.number()
	case len(c.table) > 0:
		end = c.number()
	}
	if end < c.at {
		c.fail(errDisk("table of chunks"))
		end = c.at
	}
	in = c.in[min(c.at, int64(len(c.in))):min(end, int64(len(c.in)))]
	if end > int64(len(c.in)) {
		c.fail(errShort)
	}
	packed = end - c.at
	c.at = end
	return in, size, packed
}

// skip passes over so many bytes, and says how many of them had to be unpacked. There
// may be fewer.
func (c *wimChunks) skip(n int64) (skipped, unpacked int64) {
	for skipped < n {
		rest := n - skipped
		switch {
		case len(c.held) > 0:
			k := min(rest, int64(len(c.held)))
			c.held = c.held[k:]
			skipped, unpacked = skipped+k, unpacked+k
		case c.zeros > 0:
			k := min(rest, c.zeros)
			c.zeros -= k
			skipped += k
		case c.left == 0 || isFinal(c.err):
			return skipped, unpacked
		case rest >= min(c.chunk, c.left):
			_, size, _ := c.nextPacked()
			skipped += size
		default:
			c.next()
		}
	}
	return skipped, unpacked
}

func (c *wimChunks) fail(err error) {
	if c.err == nil || isFinal(err) {
		c.err = err
	}
}

// solid hands out the streams that lie one after the other in solid resources.
func (w *wim) solid(streams []wimStream, yield func(member, error) bool) bool {
	streams = slices.DeleteFunc(slices.Clone(streams), func(s wimStream) bool { return s.flags&wimSolid == 0 || s.flags&wimMetadata != 0 })
	for len(streams) > 0 {
		isResource := func(s wimStream) bool { return s.original == wimSolidMark }
		n := slices.IndexFunc(streams, func(s wimStream) bool { return !isResource(s) })
		if n < 0 {
			n = len(streams)
		}
		resources := streams[:n]
		streams = streams[n:]
		if n = slices.IndexFunc(streams, isResource); n < 0 {
			n = len(streams)
		}
		run := slices.Clone(streams[:n])
		streams = streams[n:]
		slices.SortStableFunc(run, func(a, b wimStream) int { return cmp.Compare(a.at, b.at) })
		if !w.run(resources, run, yield) {
			return false
		}
	}
	return true
}

// wimPasses is how often solid resources are unpacked for streams that lie over one
// another.
const wimPasses = 8

// wimWaste bounds the bytes that are unpacked and belong to no stream.
const wimWaste = 512 << 20

// run hands out the streams of some solid resources, which count as one.
func (w *wim) run(resources, streams []wimStream, yield func(member, error) bool) bool {
	var r *wimRun
	for passes := 0; len(streams) > 0; streams = streams[1:] {
		s := streams[0]
		s.original = s.size // stands there
		if r == nil || s.at < r.at {
			if passes++; passes > wimPasses {
				return yield(member{}, &LimitError{"overlap"})
			}
			w.image.used = 0
			r = &wimRun{wim: w, resources: resources}
		}
		r.skip(s.at - r.at)
		if !w.stream(s, &wimPart{r, s.size, s.hash == wimHash{}}, yield) {
			return false
		}
	}
	return true
}

// wimRun reads solid resources one after the other.
type wimRun struct {
	*wim
	resources []wimStream
	chunks    *wimChunks
	at        int64
	waste     int64 // bytes that have been unpacked and belong to no stream
	err       error
}

// Read implements io.Reader.
func (r *wimRun) Read(p []byte) (int, error) {
	for r.ready() {
		n, err := r.chunks.Read(p)
		r.at += int64(n)
		if n > 0 || err == nil {
			return n, nil
		}
		r.end(err)
	}
	return 0, cmp.Or(r.err, errShort)
}

// ready sees to it that a resource is open; false when there are no more.
func (r *wimRun) ready() bool {
	if r.chunks == nil && len(r.resources) > 0 {
		chunks, err := r.openSolid(r.resources[0].wimResource)
		if err != nil {
			r.resources, r.err = nil, err
			return false
		}
		r.chunks, r.resources = chunks, r.resources[1:]
	}
	return r.chunks != nil
}

// end ends a resource.
func (r *wimRun) end(err error) {
	r.chunks = nil
	if err != io.EOF {
		r.err = err
	}
}

// skip passes over bytes that belong to no stream.
func (r *wimRun) skip(n int64) {
	for n > 0 && r.ready() {
		skipped, unpacked := r.chunks.skip(n)
		r.at += skipped
		if n -= skipped; n > 0 {
			r.end(cmp.Or(r.chunks.err, io.EOF))
		}
		if r.waste += unpacked; r.waste > wimWaste {
			r.chunks, r.resources, r.err = nil, nil, &LimitError{"overlap"}
		}
	}
}

// openSolid reads the header of a solid resource.
func (w *wim) openSolid(res wimResource) (*wimChunks, error) {
	b, err := w.image.take(res.at, res.size)
	if len(b) < 16 {
		return nil, cmp.Or(err, errShort)
	}
	le := binary.LittleEndian
	c := &wimChunks{unpacks: &w.unpacks, lengths: true, chunk: int64(le.Uint32(b[8:])), left: int64(le.Uint64(b) & math.MaxInt64), err: err}
	if c.method = wimMethod(min(le.Uint32(b[12:]), 4)); c.method == wimStored {
		return &wimChunks{stored: b[16:], held: b[16:], err: err}, nil
	}
	return c, c.start(b[16:])
}

// wimPart is what is next in solid resources: so many bytes. A stream with a hash is
// damaged when it differs from that, another one when any chunk was.
type wimPart struct {
	r      *wimRun
	left   int64
	strict bool
}

// Read implements io.Reader.
func (p *wimPart) Read(b []byte) (int, error) {
	if p.left == 0 {
		if c := p.r.chunks; p.strict && c != nil && c.err != nil {
			return 0, c.err
		}
		return 0, io.EOF
	}
	n, err := p.r.Read(b[:min(int64(len(b)), p.left)])
	p.left -= int64(n)
	return n, err
}
