package unpack

import (
	"fmt"
	"hash/maphash"
	"io"
)

// What the openers of file systems share: files that lie in pieces in an image.

const (
	// imageOverlap bounds how often the bytes of an image belong to a file, on
	// average: those of an honest file system do so once, of one that was grown
	// in sessions, or has files that were deleted, a few times.
	imageOverlap = 8

	// imageEntries bounds the directory entries of an image that are read: ten
	// times the default limit of objects.
	imageEntries = 1 << 20

	// imageFolders bounds the folders of an image, the paths of which are kept.
	imageFolders = 1 << 16

	// imageTable bounds the bytes of a directory, or another table, that does not
	// lie in one piece and so has to be put together.
	imageTable = 16 << 20

	// imageHole is where a piece lies that is nothing but zeros and is not in the image.
	imageHole = -1
)

// imageExtent is a piece of a file: where it is in the image, in bytes.
type imageExtent struct{ at, size int64 }

// imageFile is a file in an image.
type imageFile struct {
	name    string
	extents []imageExtent
	size    int64 // as stated

	// doubtful is a file that only some programs see, or that was deleted: what is
	// wrong with it is not told.
	doubtful bool

	// unpack reads a file that is compressed; nil: it is not.
	unpack func(list []imageExtent) io.Reader
}

// imageReader hands out the files of an image.
type imageReader struct {
	data    []byte
	yield   func(member, error) bool
	done    bool
	left    int64 // bytes that files may still lay claim to
	entries int   // directory entries that may still be read
	folders int   // that may still be found
	seed    maphash.Seed
	seen    map[uint64]bool // files, by their extents: whether it was told what is wrong with them
	told    map[string]bool // what was said of the image as a whole
}

func newImageReader(data []byte, yield func(member, error) bool) *imageReader {
	return &imageReader{
		data: data, yield: yield, left: imageOverlap*int64(len(data)) + 1<<20, entries: imageEntries, folders: imageFolders,
		seed: maphash.MakeSeed(), seen: make(map[uint64]bool), told: make(map[string]bool),
	}
}

// emit hands out a member, or says what is wrong.
func (r *imageReader) emit(m member, err error) {
	if !r.done {
		r.done = !r.yield(m, err)
	}
}

// stop ends the reading at a limit.
func (r *imageReader) stop(limit string) {
	r.emit(member{}, &LimitError{limit})
	r.done = true
}

// damaged tells of damage to the image, once of each kind.
func (r *imageReader) damaged(what string) {
	if !r.told[what] {
		r.told[what] = true
		r.emit(member{}, fmt.Errorf("%w: %s", ErrDamaged, what))
	}
}

// entry counts an entry of a directory, and reports whether to go on.
func (r *imageReader) entry() bool {
	if r.entries--; r.entries < 0 && !r.done {
		r.stop("objects")
	}
	return !r.done
}

// folder counts a folder, and reports whether to go on.
func (r *imageReader) folder() bool {
	if r.folders--; r.folders < 0 && !r.done {
		r.stop("objects")
	}
	return !r.done
}

// clip gives those of the pieces that are in the image, up to size bytes in all:
// neighbours are joined. short says that there are fewer.
func (r *imageReader) clip(list []imageExtent, size int64) (kept []imageExtent, short bool) {
	for _, e := range list {
		if size <= 0 {
			break
		}
		e.size = min(e.size, size)
		size -= max(e.size, 0)
		if e.at != imageHole {
			end := int64(len(r.data))
			there := min(e.size, end-min(max(e.at, 0), end))
			short = short || there < e.size || e.at < 0
			e.size = there
		}
		last := len(kept) - 1
		switch {
		case e.size <= 0 || e.at < imageHole:
		case last >= 0 && e.at == imageHole && kept[last].at == imageHole,
			last >= 0 && e.at != imageHole && kept[last].at != imageHole && kept[last].at+kept[last].size == e.at:
			kept[last].size += e.size
		default:
			kept = append(kept, e)
		}
	}
	return kept, short || size > 0
}

// claim charges pieces to what files may lay claim to. It gives how many bytes of
// them are in the image.
func (r *imageReader) claim(list []imageExtent) (there int64) {
	for _, e := range list {
		if e.at != imageHole {
			there += e.size
		}
	}
	r.spend(there + 64) // a file that has next to no bytes is work too
	return there
}

// spend charges work as if it were bytes, and reports whether to go on.
func (r *imageReader) spend(n int64) bool {
	if r.left -= n; r.left < 0 && !r.done {
		r.stop("overlap")
	}
	return !r.done
}

// known reports whether a file with the same extents has been handed out, and
// whether it has been told what is wrong with it.
func (r *imageReader) known(list []imageExtent, wrong bool) (known, told bool) {
	var h maphash.Hash
	h.SetSeed(r.seed)
	for _, e := range list {
		maphash.WriteComparable(&h, e)
	}
	sum := h.Sum64()
	told, known = r.seen[sum]
	r.seen[sum] = told || wrong
	return known, told
}

// file hands out a file, unless another one has all the same bytes: links, and the
// names of the same file in another tree.
func (r *imageReader) file(f imageFile) {
	kept, short := r.clip(f.extents, f.size)
	var problem error
	if short && !f.doubtful {
		problem = fmt.Errorf("%w: cut short", ErrDamaged)
	}
	known, told := r.known(kept, problem != nil)
	switch {
	case r.done, known && (told || problem == nil):
	case known || r.claim(kept) == 0: // nothing is in it that has not been seen, or but a hole
		if problem != nil {
			r.emit(member{name: cutName(f.name)}, problem)
		}
	default:
		m := r.member(kept)
		if f.unpack != nil {
			m = member{body: f.unpack(kept)}
		}
		m.name = cutName(f.name)
		r.emit(m, problem)
	}
}

// member is a file that lies in pieces that are all in the image. Holes count no
// more than zeros that are left out elsewhere, or a few bytes would be a terabyte.
func (r *imageReader) member(list []imageExtent) member {
	if len(list) == 1 && list[0].at != imageHole {
		e := list[0]
		return member{data: r.data[e.at : e.at+e.size : e.at+e.size]}
	}
	body := &imageBody{data: r.data, end: io.EOF}
	size, holes := int64(0), int64(zerosKept)
	for _, e := range list {
		if e.at == imageHole {
			if e.size > holes {
				e.size, body.end = holes, errZeros
			}
			holes -= e.size
		}
		size += e.size
		body.list = append(body.list, e)
	}
	return member{body: body, size: size}
}

// table gives what a directory or another table of the file system holds; what
// there is of it. One that lies in pieces is put together.
func (r *imageReader) table(list []imageExtent, size int64) (b []byte, short bool) {
	kept, short := r.clip(list, size)
	r.claim(kept)
	if len(kept) == 0 || r.done {
		return nil, short
	}
	if e := kept[0]; len(kept) == 1 && e.at != imageHole {
		return r.data[e.at : e.at+e.size], short
	}
	total := int64(0)
	for _, e := range kept {
		total += e.size
	}
	if total > imageTable {
		r.emit(member{}, &LimitError{"memory"})
		total, short = imageTable, true
	}
	b = make([]byte, total)
	n, _ := io.ReadFull(&imageBody{data: r.data, list: kept, end: io.EOF}, b) // all of it is there
	return b[:n], short
}

// imageBody reads a file piece by piece.
type imageBody struct {
	data []byte
	list []imageExtent
	at   int64 // in the first piece
	end  error // what is told at the end
}

// Read implements io.Reader.
func (b *imageBody) Read(p []byte) (int, error) {
	for len(b.list) > 0 && b.at >= b.list[0].size {
		b.list, b.at = b.list[1:], 0
	}
	if len(b.list) == 0 {
		return 0, b.end
	}
	e := b.list[0]
	n := int(min(int64(len(p)), e.size-b.at))
	if e.at == imageHole {
		clear(p[:n])
	} else {
		copy(p[:n], b.data[e.at+b.at:])
	}
	b.at += int64(n)
	return n, nil
}

// imagePath is the path of something in a folder.
func imagePath(folder, name string) string {
	if folder == "" {
		return cutName(name)
	}
	return cutName(folder + "/" + name)
}
