package unpack

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// yencParts are the parts in a text, by the file that they are of.
type yencParts struct {
	keys []yencKey // in the order in which they come
	of   map[yencKey][]*yencFile
}

// yencKey tells files apart.
type yencKey struct {
	name string
	size int64
}

func (p *yencParts) add(y *yencFile) {
	if y.part == 0 {
		return
	}
	key := yencKey{y.name, y.size}
	if len(p.of[key]) == 0 {
		p.keys = append(p.keys, key)
	}
	p.of[key] = append(p.of[key], y)
}

// join hands out the files that the parts make, and tells of those of which
// there is only one part.
func (p *yencParts) join(yield func(member, error) bool) {
	for _, key := range p.keys {
		parts := p.of[key]
		if len(parts) == 1 {
			if parts[0].got < key.size && !yield(member{name: key.name}, errYEncMissing) {
				return
			}
			continue
		}
		for _, order := range yencOrders(parts) {
			m := member{name: key.name, body: &yencJoined{parts: order, size: key.size}, size: key.size}
			if !yield(m, nil) {
				return
			}
		}
	}
}

var errYEncMissing = fmt.Errorf("%w: parts of it are missing", ErrDamaged)

// yencOrders gives the ways to put parts together: by where they begin or by
// their numbers, and of those that come twice the first or the last. They are the
// same for honest files.
func yencOrders(parts []*yencFile) (orders [][]*yencFile) {
	byBegin := func(a, b *yencFile) int { return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.part, b.part)) }
	byNumber := func(a, b *yencFile) int { return cmp.Or(cmp.Compare(a.part, b.part), cmp.Compare(a.begin, b.begin)) }
	for _, compare := range []func(a, b *yencFile) int{byBegin, byNumber} {
		for _, last := range []bool{false, true} {
			order := slices.Clone(parts)
			if last {
				slices.Reverse(order)
			}
			slices.SortStableFunc(order, compare)
			order = slices.CompactFunc(order, func(a, b *yencFile) bool { return compare(a, b) == 0 })
			same := func(o []*yencFile) bool { return slices.Equal(o, order) }
			if len(order) > 1 && !slices.ContainsFunc(orders, same) {
				orders = append(orders, order)
			}
		}
	}
	return orders
}

// yencJoined decodes parts one after the other.
type yencJoined struct {
	parts []*yencFile
	size  int64
	next  int // the part behind the present one
	from  *yencReader
	crc   uint32
	n     int64
}

// Read implements io.Reader.
func (j *yencJoined) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if j.from == nil {
			if j.next == len(j.parts) {
				return 0, j.end()
			}
			y := j.parts[j.next]
			j.next++
			j.from = y.reader(y.way)
		}
		if n, _ := j.from.Read(p); n > 0 {
			j.crc = crc32.Update(j.crc, crc32.IEEETable, p[:n])
			j.n += int64(n)
			return n, nil
		}
		j.from = nil
	}
	return 0, nil
}

// end says whether the parts make up the file. Any of them may have its checksum.
func (j *yencJoined) end() error {
	known := false
	for _, y := range j.parts {
		if y.whole.known && y.whole.sum == j.crc {
			return io.EOF
		}
		known = known || y.whole.known
	}
	switch {
	case j.n < j.size:
		return errYEncMissing
	case known:
		return fmt.Errorf("%w: wrong checksum of the parts together", ErrDamaged)
	}
	return io.EOF
}
