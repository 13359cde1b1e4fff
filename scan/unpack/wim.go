package unpack

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"iter"
	"math"
	"slices"
)

// wimOpener opens Windows images ("Windows Imaging File Format (WIM)", Microsoft 2007),
// and those whose resources are solid (ESD), as wimlib reads them. Every stream of bytes
// is a member, once, by the first name that an image has for it.
var wimOpener = opener{name: "wim", match: wimMatch, entries: wimEntries}

const (
	wimMagic      = "MSWIM\x00\x00\x00"
	wimPipable    = "WLPWM\x00\x00\x00" // wimlib's own, to be read from a pipe
	wimHeaderSize = 208
	wimEntrySize  = 50
	wimMinVersion = 0x10900
	wimSolidOnly  = 0xe00 // version of images with solid resources
	wimSolidMark  = 1 << 32

	// wimLocked begins the element of the XML that tells how parts of an ESD are
	// encrypted.
	wimLocked = "<\x00E\x00N\x00C\x00R\x00Y\x00P\x00T\x00E\x00D\x00"

	// wimTrees bounds the bytes of what images tell of their files, in all.
	wimTrees = 128 << 20
)

// Flags of resources.
const (
	wimMetadata = 1 << 1
	wimPacked   = 1 << 2
	wimSolid    = 1 << 4
)

func wimMatch(data []byte) bool {
	return bytes.HasPrefix(data, []byte(wimMagic)) || bytes.HasPrefix(data, []byte(wimPipable))
}

// wimResource is where a stream is (RESHDR_DISK_SHORT).
type wimResource struct {
	flags    byte
	at, size int64
	original int64 // size when unpacked
}

func parseWIMResource(b []byte) wimResource {
	le := binary.LittleEndian
	return wimResource{
		flags: b[7], size: int64(le.Uint64(b) & (1<<56 - 1)),
		at: int64(le.Uint64(b[8:]) & math.MaxInt64), original: int64(le.Uint64(b[16:]) & math.MaxInt64),
	}
}

// wimHash is the SHA-1 of a stream, by which images refer to it.
type wimHash [sha1.Size]byte

// wimStream is an entry of the lookup table.
type wimStream struct {
	wimResource
	part uint16
	hash wimHash
}

// wim is an image file.
type wim struct {
	f       File
	part    uint16
	flags   uint32
	chunk   int64
	parts   uint16
	told    int64 // bytes of what images tell of their files
	kept    int   // bytes of names
	names   map[wimHash]wimName
	unpacks wimDecoders
	image   diskImage
}

// wimName is what a stream is called.
type wimName struct {
	name      string
	encrypted bool
}

func wimEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		w, err := openWIM(f)
		if err != nil {
			yield(member{}, err)
			return
		}
		defer w.unpacks.release()
		w.members(yield)
	}
}

// openWIM reads the header.
func openWIM(f File) (*wim, error) {
	b, le := f.Data, binary.LittleEndian
	if bytes.HasPrefix(b, []byte(wimPipable)) {
		return nil, fmt.Errorf("%w: pipable image", ErrUnsupported)
	}
	if len(b) < wimHeaderSize {
		return nil, errShort
	}
	if v := le.Uint32(b[12:]); v < wimMinVersion && v != wimSolidOnly {
		return nil, fmt.Errorf("%w: version %#x", ErrUnsupported, v)
	}
	w := &wim{f: f, flags: le.Uint32(b[16:]), chunk: int64(le.Uint32(b[20:])), part: le.Uint16(b[40:]), parts: le.Uint16(b[42:]), names: map[wimHash]wimName{}}
	w.unpacks.memory, w.image.data = f.memory, f.Data
	if w.chunk == 0 {
		w.chunk = lzxFrame
	}
	return w, nil
}

// members hands out the streams.
func (w *wim) members(yield func(member, error) bool) {
	table, err := w.whole(parseWIMResource(w.f.Data[48:]), int64(len(w.f.Data))+1<<20)
	if err != nil && !yield(member{}, fmt.Errorf("lookup table: %w", err)) {
		return
	}
	streams, elsewhere := w.lookup(table)
	if !w.trees(streams, yield) {
		return
	}
	if xml := parseWIMResource(w.f.Data[72:]); bytes.Contains(dmgPart(w.f.Data, xml.at, xml.size), []byte(wimLocked)) {
		if !yield(member{}, fmt.Errorf("%w: image", ErrEncrypted)) {
			return
		}
	}
	if !w.plain(streams, yield) || !w.solid(streams, yield) {
		return
	}
	w.f.readAll(w.places(streams), wimGap)
	if elsewhere {
		yield(member{}, fmt.Errorf("%w: streams are in other parts", ErrUnsupported))
	}
}

// wimGap is how many bytes may stand between resources.
const wimGap = 8

// places gives where all is that the image file is made of: the header and what it
// names, that is the lookup table, the XML and the table of checksums, and the streams.
func (w *wim) places(streams []wimStream) []stretch {
	all := []stretch{{0, wimHeaderSize}}
	add := func(r wimResource) {
		if end := r.at + r.size; r.size > 0 && r.at <= math.MaxInt64-r.size && end <= int64(len(w.f.Data)) {
			all = append(all, stretch{int(r.at), int(end)})
		}
	}
	for _, at := range []int{48, 72, 124} {
		add(parseWIMResource(w.f.Data[at:]))
	}
	for _, s := range streams {
		add(s.wimResource)
	}
	return all
}

// lookup reads the lookup table. elsewhere tells that there are streams in other parts
// of a split image.
func (w *wim) lookup(table []byte) (streams []wimStream, elsewhere bool) {
	for ; len(table) >= wimEntrySize; table = table[wimEntrySize:] {
		s := wimStream{wimResource: parseWIMResource(table), part: binary.LittleEndian.Uint16(table[24:])}
		s.hash = wimHash(table[30:50])
		if s.part != w.part && w.parts > 1 {
			elsewhere = true
			continue
		}
		streams = append(streams, s)
	}
	return streams, elsewhere
}

// plain hands out the streams that are resources of their own. Those that are the same
// resource are one.
func (w *wim) plain(streams []wimStream, yield func(member, error) bool) bool {
	own := slices.DeleteFunc(slices.Clone(streams), func(s wimStream) bool {
		_, named := w.names[s.hash] // what is told of an image may be a file of it as well
		return s.flags&wimSolid != 0 || s.flags&wimMetadata != 0 && !named
	})
	slices.SortStableFunc(own, func(a, b wimStream) int { return cmp.Compare(a.at, b.at) })
	own = slices.CompactFunc(own, func(a, b wimStream) bool { return a.wimResource == b.wimResource && a.hash == b.hash })
	w.image.used = 0
	for _, s := range own {
		r, err := w.open(s.wimResource, 0, s.original)
		if err != nil {
			if !yield(member{name: w.nameOf(s).name}, err) {
				return false
			}
			continue
		}
		if !w.stream(s, r, yield) {
			return false
		}
	}
	return true
}

// trees reads the names that all images have for their streams.
func (w *wim) trees(streams []wimStream, yield func(member, error) bool) bool {
	for _, s := range streams {
		if s.flags&wimMetadata == 0 {
			continue
		}
		err := w.tree(s.wimResource)
		if err != nil && !yield(member{}, fmt.Errorf("names: %w", err)) {
			return false
		}
		if w.told >= wimTrees {
			break
		}
	}
	return true
}

// stream hands out one.
func (w *wim) stream(s wimStream, body io.Reader, yield func(member, error) bool) bool {
	name := w.nameOf(s)
	m, err := member{name: name.name, size: s.original}, error(nil)
	if c, ok := body.(*wimChunks); ok && c.stored != nil {
		m.data = c.stored
		if err = c.err; err == nil && s.hash != (wimHash{}) && sha1.Sum(m.data) != s.hash {
			err = errWIMSum
		}
	} else {
		m.body = &wimChecked{r: body, want: s.hash, sum: sha1.New()}
	}
	if !yield(m, err) {
		return false
	}
	return !name.encrypted || yield(member{name: name.name}, fmt.Errorf("%w: by the file system", ErrEncrypted))
}

// nameOf gives the name of a stream: its hash when no image has one.
func (w *wim) nameOf(s wimStream) wimName {
	if n, ok := w.names[s.hash]; ok {
		return n
	}
	return wimName{name: hex.EncodeToString(s.hash[:])}
}

var errWIMSum = errDisk("wrong checksum")

// wimChecked compares a stream with its hash.
type wimChecked struct {
	r    io.Reader
	want wimHash
	sum  hash.Hash
}

// Read implements io.Reader.
func (c *wimChecked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.sum.Write(p[:n])
	if err == io.EOF && c.want != (wimHash{}) && wimHash(c.sum.Sum(nil)) != c.want {
		err = errWIMSum
	}
	return n, err
}

// whole unpacks a resource that is needed as a whole, of most bytes at the most.
func (w *wim) whole(res wimResource, most int64) ([]byte, error) {
	w.image.used = 0
	r, err := w.open(res, 0, res.original)
	if err != nil {
		return nil, err
	}
	if max(res.original, int64(len(r.stored))) > most {
		return nil, &LimitError{"memory"}
	}
	if r.stored != nil {
		return r.stored, r.err
	}
	var b bytes.Buffer
	_, err = b.ReadFrom(io.LimitReader(r, most))
	return b.Bytes(), err
}
