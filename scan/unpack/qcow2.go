package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
)

// qcow2Opener opens disks of QEMU, of versions 2 and 3 ("QCOW2 Image Format", in
// QEMU's docs/interop/qcow2.txt) and 1. What the disk of a snapshot differs in is
// handed out as well.
var qcow2Opener = opener{name: "qcow2", match: isQcow, entries: qcow2Entries}

const (
	qcow2Magic      = "QFI\xfb"
	qcow2HeaderSize = 48 // of version 1, the shortest
	qcow2MinBits    = 9
	qcow2MaxBits    = 21
	qcow2Offset     = 1<<56 - 1<<9 // bits of an entry that say where a cluster is
	qcow2Snapshots  = 16           // most that are read
)

// Features of version 3 without which an image cannot be read.
const (
	qcow2OtherFile = 1 << 2 // clusters are in another file
	qcow2Method    = 1 << 3 // the header says how clusters are packed
	qcow2Extended  = 1 << 4 // entries have a second half, of 32 parts of a cluster
)

func isQcow(data []byte) bool {
	if len(data) < qcow2HeaderSize || string(data[:4]) != qcow2Magic {
		return false
	}
	q, ok := parseQcow(data)
	return ok && q.bits >= qcow2MinBits && q.bits <= qcow2MaxBits
}

// qcow is an image. The entries of its first table, l1, tell where the tables are
// whose entries tell where clusters are.
type qcow struct {
	data      []byte
	version   uint32
	bits      uint // binary logarithm of a cluster's size
	tableBits uint // of the number of entries in a table of clusters
	size      int64
	crypt     uint32
	backing   bool // clusters that are not here are in another image
	l1, l1Len int64
	snapshots int
	snapshot  int64 // offset of the first
	features  uint64
	zstd      bool
}

// plain reports whether the first cluster of an image that is said to be encrypted
// looks as if it were not: what is encrypted has hardly any zeros.
func (q *qcow) plain(f File) bool {
	r := &qcowClusters{qcow: q, image: diskImage{data: f.Data}, entries: q.l1Len, l1: q.tableOf(q.l1, q.l1Len)}
	for {
		p, ok := r.next()
		if !ok {
			return false
		}
		if head := p.data[:min(len(p.data), 4<<10)]; len(head) > 0 {
			return bytes.Count(head, []byte{0}) > len(head)/16
		}
	}
}

// parseQcow reads a header.
func parseQcow(b []byte) (q *qcow, ok bool) {
	be := binary.BigEndian
	q = &qcow{data: b, version: be.Uint32(b[4:]), backing: be.Uint64(b[8:]) != 0}
	switch {
	case q.version == 1:
		q.size, q.bits, q.tableBits = int64(be.Uint64(b[24:])), uint(b[32]), uint(b[33])
		q.crypt, q.l1 = be.Uint32(b[36:]), int64(be.Uint64(b[40:]))
		if q.tableBits < 6 || q.tableBits > 16 || q.bits > qcow2MaxBits || q.size < 0 {
			return q, false
		}
		covered := int64(1) << (q.bits + q.tableBits)
		q.l1Len = q.size / covered
		if q.size%covered != 0 {
			q.l1Len++
		}
	case q.version <= 3 && q.version != 0 && len(b) >= 72:
		q.bits, q.size, q.crypt = uint(be.Uint32(b[20:])), int64(be.Uint64(b[24:])), be.Uint32(b[32:])
		q.l1Len, q.l1 = int64(be.Uint32(b[36:])), int64(be.Uint64(b[40:]))
		q.snapshots, q.snapshot = int(be.Uint32(b[60:])), int64(be.Uint64(b[64:]))
		q.tableBits = q.bits - 3
		if q.version == 3 && len(b) >= 104 {
			q.features = be.Uint64(b[72:])
			q.zstd = q.features&qcow2Method != 0 && be.Uint32(b[100:]) > 104 && len(b) > 104 && b[104] == 1
		}
		if q.features&qcow2Extended != 0 {
			q.tableBits--
		}
	default:
		return q, false
	}
	return q, true
}

func qcow2Entries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		q, _ := parseQcow(f.Data)
		if q.crypt != 0 && !q.plain(f) {
			yield(member{}, fmt.Errorf("%w: clusters", ErrEncrypted))
			return
		}
		if q.features&qcow2OtherFile != 0 {
			yield(member{}, fmt.Errorf("%w: clusters are in another file", ErrUnsupported))
			return
		}
		more := q.disk(f, nameLess(f.Name, ".qcow2", ".img", ".qcow", ".img"), q.l1, q.l1Len, yield)
		if more && q.backing {
			more = yield(member{}, fmt.Errorf("%w: the rest of the disk is in another image", ErrUnsupported))
		}
		if more {
			q.saved(f, yield)
		}
	}
}

// disk hands out the disk that a first table leads to.
func (q *qcow) disk(f File, name string, l1, entries int64, yield func(member, error) bool) bool {
	r := &qcowClusters{qcow: q, image: diskImage{data: f.Data}, entries: entries, l1: q.tableOf(l1, entries)}
	r.zstd.memory = f.memory
	defer r.zstd.release()
	return yield(diskMember(name, &diskReader{next: r.next, size: q.size}), nil)
}

// saved hands out the disks of snapshots whose first table is not that of the disk
// itself ("Snapshots").
func (q *qcow) saved(f File, yield func(member, error) bool) {
	be, at := binary.BigEndian, q.snapshot
	tables := [][]byte{q.tableOf(q.l1, q.l1Len)}
	for i := range q.snapshots {
		if at < 0 || at > int64(len(q.data))-40 {
			yield(member{}, errShort)
			return
		}
		if i == qcow2Snapshots {
			yield(member{}, fmt.Errorf("%w: more than %d snapshots", ErrUnsupported, i))
			return
		}
		b := q.data[at:]
		l1, n := int64(be.Uint64(b)), int64(be.Uint32(b[8:]))
		idSize, nameSize, extra := int64(be.Uint16(b[12:])), int64(be.Uint16(b[14:])), int64(be.Uint32(b[36:]))
		at = (at + 40 + extra + idSize + nameSize + 7) &^ 7
		table := q.tableOf(l1, n)
		if slices.ContainsFunc(tables, func(t []byte) bool { return sameQcowTable(t, table) }) {
			continue
		}
		tables = append(tables, table)
		name := "snapshot.img"
		if from := 40 + extra + idSize; nameSize > 0 && from+nameSize <= int64(len(b)) {
			name = utf8Name(b[from:from+nameSize]) + ".img"
		}
		if !q.disk(f, name, l1, n, yield) {
			return
		}
	}
}

// sameQcowTable reports whether two tables tell the same, whatever the bits that say
// that something is used once.
func sameQcowTable(a, b []byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i += 8 {
		if (binary.BigEndian.Uint64(a[i:])^binary.BigEndian.Uint64(b[i:]))&qcow2Offset != 0 {
			return false
		}
	}
	return true
}

// tableOf gives a table of so many entries, as far as it is there.
func (q *qcow) tableOf(at, entries int64) []byte {
	if at < 0 || at >= int64(len(q.data)) {
		return nil
	}
	b := q.data[at:]
	return b[:min(entries, int64(len(b)/8))*8]
}
