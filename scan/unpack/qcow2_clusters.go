package unpack

import (
	"encoding/binary"
	"io"
)

// Bits of an entry in a table of clusters ("L2 table entry").
const (
	qcowPacked  = 1 << 62
	qcowZero    = 1 << 0  // version 3
	qcowPacked1 = 1 << 63 // version 1
)

// qcowParts is how many parts of a cluster an extended entry tells of.
const qcowParts = 32

// qcowClusters goes through the clusters of a disk.
type qcowClusters struct {
	*qcow
	image   diskImage
	l1      []byte
	entries int64 // that l1 should have

	table    []byte // of clusters: what is left of it
	cluster  int64  // that the next entry is about
	tables   int64  // that have been begun
	inflater diskInflater
	zstd     zstdReader
}

// next gives the next cluster that is in the image.
func (r *qcowClusters) next() (diskPiece, bool) {
	width := 8
	if r.features&qcow2Extended != 0 {
		width = 16
	}
	for {
		for len(r.table) >= width {
			entry, parts := binary.BigEndian.Uint64(r.table), ^uint64(0)>>qcowParts
			if width == 16 {
				parts = binary.BigEndian.Uint64(r.table[8:])
			}
			r.table = r.table[width:]
			r.cluster++
			if p := r.piece(entry, parts); p.data != nil || p.body != nil || p.err != nil {
				p.at = (r.cluster - 1) << r.bits
				return p, true
			}
		}
		if ok, err := r.nextTable(width); err != nil {
			return diskPiece{err: err}, true
		} else if !ok {
			return diskPiece{}, false
		}
	}
}

// nextTable begins with the next table of clusters.
func (r *qcowClusters) nextTable(width int) (ok bool, err error) {
	for len(r.l1) >= 8 {
		at := int64(binary.BigEndian.Uint64(r.l1) & r.offsetMask())
		r.l1 = r.l1[8:]
		r.cluster = r.tables << r.tableBits
		r.tables++
		if at != 0 {
			r.table, err = r.image.take(at, int64(width)<<r.tableBits)
			return true, err
		}
	}
	if r.tables < r.entries {
		r.tables = r.entries
		return false, errShort
	}
	return false, nil
}

// offsetMask are the bits of an entry that say where something is.
func (q *qcow) offsetMask() uint64 {
	if q.version == 1 {
		return 1<<63 - 1
	}
	return qcow2Offset
}

// piece gives the cluster of an entry; an empty piece when it is zeros.
func (r *qcowClusters) piece(entry, parts uint64) (p diskPiece) {
	at, packed := int64(entry&r.offsetMask()), int64(0)
	switch {
	case entry == 0:
		return p
	case r.version == 1 && entry&qcowPacked1 != 0:
		at = int64(entry & (1<<(63-r.bits) - 1))
		packed = int64(entry >> (63 - r.bits) & (1<<r.bits - 1))
	case r.version > 1 && entry&qcowPacked != 0:
		x := 62 - (r.bits - 8)
		at = int64(entry & (1<<x - 1))
		packed = int64(entry>>x&(1<<(r.bits-8)-1)+1)*vhdSector - at%vhdSector
	case r.version == 3 && r.features&qcow2Extended == 0 && entry&qcowZero != 0, at == 0:
		return p
	default:
		p.data, p.err = r.image.take(at, 1<<r.bits)
		if r.features&qcow2Extended != 0 && uint32(parts) != 1<<qcowParts-1 && p.data != nil {
			p.body = &maskedReader{data: p.data, part: 1 << r.bits / qcowParts, counts: func(i int) bool { return parts>>i&1 != 0 }}
			p.size, p.data = int64(len(p.data)), nil
		}
		return p
	}
	return r.unpacked(at, packed)
}

// unpacked gives a cluster that is packed. Its last sector may be the last of the
// image, and not all there.
func (r *qcowClusters) unpacked(at, size int64) (p diskPiece) {
	packed, err := r.image.take(at, size)
	if packed == nil {
		return diskPiece{err: err}
	}
	p.size = 1 << r.bits
	if !r.qcow.zstd {
		p.body, p.err = r.inflater.deflated(packed)
		return p
	}
	var body io.Reader
	body, _, p.err = r.zstd.open(packed)
	if body == nil && p.err == nil {
		p.err = errDisk("cluster")
	}
	p.body = body
	return p
}
