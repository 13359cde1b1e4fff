package accounts

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/bits"
)

// The file format of bbolt, version 2, as far as it is needed to read every
// page with bounds. Numbers are in the byte order of the machine.
const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	pageHeader     = 16 // id 8, flags 2, count 2, overflow 4
	elementSize    = 16 // branch: pos 4, key size 4, page 8; leaf: flags 4, pos 4, key size 4, value size 4
	bucketHeader   = 16 // root page 8, sequence 8
	branchPage     = 0x01
	leafPage       = 0x02
	freelistPage   = 0x10
	bucketElement  = 0x01
	metaSum        = 56 // bytes of the meta that its checksum covers
	minPage        = 1 << 10
	maxPage        = 1 << 24
	maxPageDepth   = 32      // of nested pages; a billion accounts need eight
	maxPages       = 1 << 36 // so that page × size stays within an int64
	maxPageOverrun = 1 << 31 // bytes of one page with its overflow
)

var native = binary.NativeEndian

// meta is what a meta page says.
type meta struct {
	pageSize             int64
	root, freelist, high uint64 // high: the first page that is not in use
	txid                 uint64
}

// pages reads a bbolt file by position, never by mapping, so that no content
// and no length of the file can do more than make an error.
type pages struct {
	file io.ReaderAt
	meta meta
	seen []uint64 // a bit for each page that is accounted for
	bufs [][]byte // one for each depth, reused
}

// verifyPages reads the whole file: both meta pages, the list of free pages, and
// every page of every tree. Errors are ErrForeign, ErrNewer or ErrDamaged. All
// that it lets pass, bbolt can read without a fault.
func verifyPages(file io.ReaderAt, size int64) error {
	m, err := readMeta(file, size)
	if err != nil {
		return err
	}
	p := pages{file: file, meta: m, seen: make([]uint64, m.high/64+1)}
	p.seen[0] = 1<<0 | 1<<1 // the meta pages
	if err := errors.Join(p.freelist(), p.tree(m.root, nil, nil, 0)); err != nil {
		return err
	}
	used := 0
	for _, word := range p.seen {
		used += bits.OnesCount64(word)
	}
	if uint64(used) != m.high {
		return fmt.Errorf("%w: %d pages are neither used nor free", ErrDamaged, m.high-uint64(used))
	}
	return nil
}

// readMeta asks for both meta pages. bbolt makes do with one, and then goes on
// from the state before the last change, without a word.
func readMeta(file io.ReaderAt, size int64) (meta, error) {
	first, err0 := metaAt(file, 0)
	if err0 != nil && !errors.Is(err0, ErrForeign) {
		return meta{}, err0
	}
	// Without the first, the second may begin at any page size.
	for pageSize := int64(minPage); err0 != nil && pageSize <= maxPage; pageSize *= 2 {
		if _, err := metaAt(file, pageSize); err == nil {
			return meta{}, fmt.Errorf("%w: the first meta page is not whole, the last change may be lost", ErrDamaged)
		}
	}
	if err0 != nil {
		return meta{}, err0
	}
	second, err1 := metaAt(file, first.pageSize)
	if err1 != nil {
		return meta{}, fmt.Errorf("%w: the second meta page is not whole, the last change may be lost", ErrDamaged)
	}
	m := first
	if second.txid > first.txid {
		m = second
	}
	switch {
	case first.pageSize != second.pageSize || m.high < 4 || m.high > maxPages:
		return meta{}, fmt.Errorf("%w: meta page", ErrDamaged)
	case int64(m.high)*m.pageSize > size:
		return meta{}, fmt.Errorf("%w: cut short: %d bytes of %d are there", ErrDamaged, size, int64(m.high)*m.pageSize)
	}
	return m, nil
}

func metaAt(file io.ReaderAt, at int64) (meta, error) {
	var b [pageHeader + metaSum + 8]byte
	n, err := file.ReadAt(b[:], at)
	if err != nil && err != io.EOF {
		return meta{}, err
	}
	m := b[pageHeader:]
	if native.Uint32(m) != boltMagic {
		return meta{}, fmt.Errorf("%w: it is something else", ErrForeign)
	}
	sum := fnv.New64a()
	sum.Write(m[:metaSum])
	if n < len(b) || native.Uint64(m[metaSum:]) != sum.Sum64() {
		return meta{}, fmt.Errorf("%w: meta page: wrong checksum", ErrDamaged)
	}
	if v := native.Uint32(m[4:]); v != boltVersion {
		return meta{}, fmt.Errorf("%w: file format %d, this program knows %d", ErrNewer, v, boltVersion)
	}
	got := meta{pageSize: int64(native.Uint32(m[8:])), root: native.Uint64(m[16:]), freelist: native.Uint64(m[32:]),
		high: native.Uint64(m[40:]), txid: native.Uint64(m[48:])}
	if got.pageSize < minPage || got.pageSize > maxPage || bits.OnesCount64(uint64(got.pageSize)) != 1 {
		return meta{}, fmt.Errorf("%w: page size %d", ErrDamaged, got.pageSize)
	}
	return got, nil
}

// page reads a page with its overflow into the buffer of its depth and marks it
// as accounted for: one that is met twice is damage.
func (p *pages) page(id uint64, depth int) (b []byte, flags uint16, err error) {
	if id < 2 || id >= p.meta.high || depth > maxPageDepth {
		return nil, 0, fmt.Errorf("%w: page %d is out of bounds", ErrDamaged, id)
	}
	for len(p.bufs) <= depth {
		p.bufs = append(p.bufs, make([]byte, p.meta.pageSize))
	}
	b = p.bufs[depth][:p.meta.pageSize]
	if _, err := p.file.ReadAt(b, int64(id)*p.meta.pageSize); err != nil {
		return nil, 0, fmt.Errorf("page %d: %w", id, err)
	}
	flags = native.Uint16(b[8:])
	overflow := uint64(native.Uint32(b[12:]))
	whole := int64(overflow+1) * p.meta.pageSize
	if native.Uint64(b) != id || id+overflow >= p.meta.high || whole > maxPageOverrun {
		return nil, 0, fmt.Errorf("%w: page %d is not what it should be", ErrDamaged, id)
	}
	for i := id; i <= id+overflow; i++ {
		if err := p.mark(i); err != nil {
			return nil, 0, err
		}
	}
	if overflow > 0 {
		b = make([]byte, whole)
		if _, err := p.file.ReadAt(b, int64(id)*p.meta.pageSize); err != nil {
			return nil, 0, fmt.Errorf("page %d: %w", id, err)
		}
	}
	return b, flags, nil
}

func (p *pages) mark(id uint64) error {
	if id < 2 || id >= p.meta.high || p.seen[id/64]&(1<<(id%64)) != 0 {
		return fmt.Errorf("%w: page %d is used twice, or out of bounds", ErrDamaged, id)
	}
	p.seen[id/64] |= 1 << (id % 64)
	return nil
}

func (p *pages) freelist() error {
	b, flags, err := p.page(p.meta.freelist, 0)
	if err != nil {
		return fmt.Errorf("list of free pages: %w", err)
	}
	ids, count := b[pageHeader:], uint64(native.Uint16(b[10:]))
	if count == 0xFFFF { // then the first number is the count
		count, ids = native.Uint64(ids), ids[8:]
	}
	if flags != freelistPage || count > uint64(len(ids))/8 {
		return fmt.Errorf("list of free pages: %w", ErrDamaged)
	}
	for i := range count {
		if err := p.mark(native.Uint64(ids[i*8:])); err != nil {
			return fmt.Errorf("list of free pages: %w", err)
		}
	}
	return nil
}

// tree reads the page and all below it. Keys must ascend, from low on and below
// high; nil is no bound.
func (p *pages) tree(id uint64, low, high []byte, depth int) error {
	b, flags, err := p.page(id, depth)
	if err != nil {
		return err
	}
	es, err := elements(b, flags)
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	if flags == branchPage && es.count == 0 {
		return fmt.Errorf("%w: page %d is empty", ErrDamaged, id)
	}
	for i := range es.count {
		e, err := es.at(i)
		if err != nil || low != nil && bytes.Compare(e.key, low) < 0 || i > 0 && bytes.Equal(e.key, low) ||
			high != nil && bytes.Compare(e.key, high) >= 0 {
			return fmt.Errorf("%w: page %d: entry %d is out of bounds or order", ErrDamaged, id, i)
		}
		low = e.key
		switch {
		case flags == branchPage:
			next := high
			if i+1 < es.count {
				if after, err := es.at(i + 1); err == nil { // else the next round says so
					next = after.key
				}
			}
			err = p.tree(e.page, e.key, next, depth+1)
		case e.bucket:
			err = p.bucket(e.value, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket reads the tree of a bucket: elsewhere, or a page within the value when it is small.
func (p *pages) bucket(value []byte, depth int) error {
	if len(value) < bucketHeader {
		return fmt.Errorf("%w: a bucket is cut short", ErrDamaged)
	}
	if root := native.Uint64(value); root != 0 {
		return p.tree(root, nil, nil, depth)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader || native.Uint16(inline[8:]) != leafPage {
		return fmt.Errorf("%w: a small bucket is not whole", ErrDamaged)
	}
	es, err := elements(inline, leafPage)
	if err != nil {
		return err
	}
	var low []byte
	for i := range es.count {
		e, err := es.at(i)
		if err != nil || e.bucket || i > 0 && bytes.Compare(e.key, low) <= 0 {
			return fmt.Errorf("%w: entry %d of a small bucket is out of bounds or order", ErrDamaged, i)
		}
		low = e.key
	}
	return nil
}

// entries are the elements of a branch or leaf page.
type entries struct {
	page  []byte
	flags uint16
	count int
}

type entry struct {
	key, value []byte // parts of the page
	page       uint64 // of a branch
	bucket     bool
}

func elements(page []byte, flags uint16) (entries, error) {
	count := int(native.Uint16(page[10:]))
	if flags != branchPage && flags != leafPage || pageHeader+count*elementSize > len(page) {
		return entries{}, fmt.Errorf("%w: neither branch nor leaf", ErrDamaged)
	}
	return entries{page, flags, count}, nil
}

// at gives an entry. Its position is counted from where the element stands.
func (es entries) at(i int) (e entry, err error) {
	start := pageHeader + i*elementSize
	head := es.page[start:]
	var pos, keySize, valueSize uint64
	if es.flags == branchPage {
		pos, keySize = uint64(native.Uint32(head)), uint64(native.Uint32(head[4:]))
		e.page = native.Uint64(head[8:])
	} else {
		e.bucket = native.Uint32(head)&bucketElement != 0
		pos, keySize, valueSize = uint64(native.Uint32(head[4:])), uint64(native.Uint32(head[8:])), uint64(native.Uint32(head[12:]))
	}
	if pos+keySize+valueSize > uint64(len(head)) {
		return entry{}, ErrDamaged
	}
	e.key = head[pos : pos+keySize]
	e.value = head[pos+keySize : pos+keySize+valueSize]
	return e, nil
}
