package unpack

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"
)

// vhdOpener opens disks of Virtual PC and Hyper-V (Microsoft's "Virtual Hard Disk
// Image Format Specification", 2006; the names of its structures are used here):
// fixed ones, dynamic ones, and what of a differencing disk is not in its parent.
var vhdOpener = opener{name: "vhd", match: func(data []byte) bool { return len(vhdFooters(data)) > 0 }, entries: vhdEntries}

const (
	vhdMagic       = "conectix"
	vhdSparseMagic = "cxsparse"
	vhdSector      = 512
	vhdFooterSize  = 512
	vhdHeaderSize  = 1024
	vhdUnused      = math.MaxUint32 // an entry of the block allocation table
)

// Types of disks.
const (
	vhdFixed        = 2
	vhdDynamic      = 3
	vhdDifferencing = 4
)

// vhdFooter is what matters of a footer, and where the bytes before it end.
type vhdFooter struct {
	header int64 // offset of the dynamic disk's header
	size   int64 // of the disk
	kind   uint32
	end    int
}

// vhdFooters gives the footers of an image that tell different things: the one at the
// end, of 511 bytes in old ones, and its copy at the start.
func vhdFooters(data []byte) (list []vhdFooter) {
	for _, at := range []int{len(data) - vhdFooterSize, len(data) - vhdFooterSize + 1, 0} {
		if at < 0 || at+vhdFooterSize-1 > len(data) || string(data[at:at+8]) != vhdMagic {
			continue
		}
		be := binary.BigEndian
		f := vhdFooter{header: int64(be.Uint64(data[at+16:])), size: int64(be.Uint64(data[at+48:])), kind: be.Uint32(data[at+60:]), end: at}
		sound := be.Uint16(data[at+12:]) == 1 && f.kind >= vhdFixed && f.kind <= vhdDifferencing
		same := func(o vhdFooter) bool { return o.kind == f.kind && (o.header == f.header || f.kind == vhdFixed) }
		if sound && !slices.ContainsFunc(list, same) {
			list = append(list, f)
		}
	}
	return list
}

func vhdEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		for _, foot := range vhdFooters(f.Data) {
			if foot.kind == vhdFixed {
				if !vhdFlat(f, foot, yield) {
					return
				}
				continue
			}
			v, err := openVHD(f.Data, foot)
			if err != nil {
				if !yield(member{}, err) {
					return
				}
				continue
			}
			if !v.members(f, yield) {
				return
			}
		}
	}
}

// vhdFlat hands out a fixed disk: all that is before its footer.
func vhdFlat(f File, foot vhdFooter, yield func(member, error) bool) bool {
	disk := f.Data[:foot.end]
	if foot.end == 0 {
		disk = f.Data[min(vhdFooterSize, len(f.Data)):]
	}
	return yield(member{name: nameLess(f.Name, ".vhd", ".img"), data: disk}, nil)
}

// vhd is a dynamic or differencing disk.
type vhd struct {
	vhdFooter
	image  diskImage
	table  []byte // of where the blocks are, in sectors
	short  bool   // the table is not all there
	block  int64  // bytes of a block
	bitmap int64  // bytes of the bitmap before it, a bit for each sector
}

// openVHD reads the header of a dynamic disk.
func openVHD(data []byte, foot vhdFooter) (*vhd, error) {
	if foot.header < 0 || foot.header > int64(len(data))-vhdHeaderSize {
		return nil, errShort
	}
	be, header := binary.BigEndian, data[foot.header:]
	v := &vhd{vhdFooter: foot, image: diskImage{data: data}, block: int64(be.Uint32(header[32:]))}
	if string(header[:8]) != vhdSparseMagic || v.block < vhdSector || v.block&(v.block-1) != 0 {
		return nil, errDisk("header of a dynamic disk")
	}
	v.bitmap = (v.block/vhdSector + 8*vhdSector - 1) / (8 * vhdSector) * vhdSector
	table, entries := int64(be.Uint64(header[16:])), int64(be.Uint32(header[28:]))
	if table < 0 || table >= int64(len(data)) {
		return nil, errShort
	}
	room := (int64(len(data)) - table) / 4
	v.short = entries > room
	v.table = data[table:][:4*min(entries, room)]
	return v, nil
}

// members hands out the disk. When bytes stand in sectors that the bitmaps do not
// count, it is handed out without them as well: programs differ in whether they look.
func (v *vhd) members(f File, yield func(member, error) bool) bool {
	if !yield(diskMember(nameLess(f.Name, ".vhd", ".img"), v.reader(false)), nil) {
		return false
	}
	if v.masked() && !yield(diskMember(nameLess(f.Name, ".vhd", ".img"), v.reader(true)), nil) {
		return false
	}
	if v.kind == vhdDifferencing {
		return yield(member{}, fmt.Errorf("%w: the rest of the disk is in its parent", ErrUnsupported))
	}
	return true
}

// reader reads the disk, with or without what the bitmaps do not count.
func (v *vhd) reader(masked bool) *diskReader {
	v.image.used = 0
	table, at := v.table, int64(0)
	next := func() (diskPiece, bool) {
		for ; len(table) > 0; table = table[4:] {
			sector := binary.BigEndian.Uint32(table)
			here := at
			at += v.block
			if sector == vhdUnused {
				continue
			}
			table = table[4:]
			bitmap, data, err := v.blockAt(sector)
			if masked {
				return diskPiece{at: here, body: &maskedReader{data: data, part: vhdSector, counts: vhdBits(bitmap)}, size: int64(len(data)), err: err}, true
			}
			return diskPiece{at: here, data: data, err: err}, true
		}
		if v.short {
			v.short = false
			return diskPiece{at: at, err: errShort}, true
		}
		return diskPiece{}, false
	}
	return &diskReader{next: next, size: v.size}
}

// blockAt gives a block and its bitmap.
func (v *vhd) blockAt(sector uint32) (bitmap, data []byte, err error) {
	if bitmap, err = v.image.take(int64(sector)*vhdSector, v.bitmap); err != nil {
		return nil, nil, err
	}
	data, err = v.image.take(int64(sector)*vhdSector+v.bitmap, v.block)
	return bitmap, data, err
}

// masked reports whether there is anything in sectors that the bitmaps do not count.
func (v *vhd) masked() bool {
	v.image.used = 0
	for table := v.table; len(table) > 0; table = table[4:] {
		sector := binary.BigEndian.Uint32(table)
		if sector == vhdUnused {
			continue
		}
		bitmap, data, err := v.blockAt(sector)
		if err == errDiskOverlap {
			return false
		}
		counts := vhdBits(bitmap)
		for i := 0; len(data) > 0; i++ {
			n := min(vhdSector, len(data))
			if !counts(i) && !zeros(data[:n]) {
				return true
			}
			data = data[n:]
		}
	}
	return false
}

// vhdBits looks into a bitmap, the highest bit of a byte first.
func vhdBits(bitmap []byte) func(i int) bool {
	return func(i int) bool { return bitmap[i/8]<<(i%8)&0x80 != 0 }
}
