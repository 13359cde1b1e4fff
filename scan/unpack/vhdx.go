package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"iter"
	"math"
	"slices"
)

// vhdxOpener opens disks of Hyper-V ([MS-VHDX]; section numbers are its own). The log
// is not replayed; where there is something in it, that is told.
var vhdxOpener = opener{name: "vhdx", match: vhdxMatch, entries: vhdxEntries}

const (
	vhdxMagic     = "vhdxfile" // section 2.2.1
	vhdxUnit      = 1 << 20    // what offsets of blocks are multiples of
	vhdxTableSize = 64 << 10   // of regions, and of metadata

	vhdxMostRegions = 2047 // section 2.2.3.1
	vhdxMostItems   = 2047 // section 2.6.1.1

	vhdxMinBlock = 1 << 20 // section 2.6.2.1
	vhdxMaxBlock = 256 << 20
)

// Offsets of the two headers and the two tables of regions (section 2.2).
var (
	vhdxHeaders      = [...]int{64 << 10, 128 << 10}
	vhdxRegionTables = [...]int{192 << 10, 256 << 10}
)

// Regions (section 2.2.3.2) and items of metadata (section 2.6.2), as their GUIDs are
// written.
const (
	vhdxBAT      = "\x66\x77\xc2\x2d\x23\xf6\x00\x42\x9d\x64\x11\x5e\x9b\xfd\x4a\x08"
	vhdxMetadata = "\x06\xa2\x7c\x8b\x90\x47\x9a\x4b\xb8\xfe\x57\x5f\x05\x0f\x88\x6e"

	vhdxFileParameters = "\x37\x67\xa1\xca\x36\xfa\x43\x4d\xb3\xb6\x33\xf0\xaa\x44\xe7\x6b"
	vhdxDiskSize       = "\x24\x42\xa5\x2f\x1b\xcd\x76\x48\xb2\x11\x5d\xbe\xd8\x3b\xf4\xb8"
	vhdxSectorSize     = "\x1d\xbf\x41\x81\x6f\xa9\x09\x47\xba\x47\xf2\x33\xa8\xfa\xab\x5f"
)

// States of blocks (section 2.5.1.1). In those between these the block need not hold
// what it is said to, but may.
const (
	vhdxNotPresent = 0
	vhdxZero       = 2
)

func vhdxMatch(data []byte) bool { return bytes.HasPrefix(data, []byte(vhdxMagic)) }

func vhdxEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		var seen [][2]int64 // places of the regions: both tables should tell the same
		failed := error(errShort)
		for _, at := range vhdxRegionTables {
			v, err := openVHDX(f.Data, at)
			if err != nil {
				failed = err
				continue
			}
			if places := [2]int64{v.tableAt, v.metadataAt}; !slices.Contains(seen, places) {
				seen = append(seen, places)
				if !yield(diskMember(nameLess(f.Name, ".vhdx", ".img"), v.reader()), nil) {
					return
				}
				if v.parent && !yield(member{}, fmt.Errorf("%w: the rest of the disk is in its parent", ErrUnsupported)) {
					return
				}
			}
		}
		if len(seen) == 0 && !yield(member{}, failed) {
			return
		}
		if vhdxLogged(f.Data) {
			yield(member{}, fmt.Errorf("%w: what is in the log is not applied", ErrUnsupported))
		}
	}
}

// vhdxLogged reports whether the header that holds, or would if it were whole, says
// that there is something in the log (section 2.2.2).
func vhdxLogged(data []byte) bool {
	le := binary.LittleEndian
	logged, number := false, uint64(0)
	for _, at := range vhdxHeaders {
		if at+4096 > len(data) || string(data[at:at+4]) != "head" {
			continue
		}
		h := data[at : at+4096]
		sum := crc32.Checksum(h[:4], crc32.MakeTable(crc32.Castagnoli))
		sum = crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), make([]byte, 4))
		sum = crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), h[8:])
		if n := le.Uint64(h[8:]); sum == le.Uint32(h[4:]) && n >= number {
			logged, number = !zeros(h[48:64]), n
		}
	}
	return logged
}

// vhdx is a disk as one table of regions gives it.
type vhdx struct {
	image               diskImage
	tableAt, metadataAt int64
	table               []byte // block allocation table
	short               bool   // it is not all there
	block, size, sector int64  // bytes of a block, of the disk, of a sector
	parent              bool
}

// openVHDX reads a table of regions and the metadata.
func openVHDX(data []byte, at int) (*vhdx, error) {
	if at+vhdxTableSize > len(data) {
		return nil, errShort
	}
	v := &vhdx{image: diskImage{data: data}}
	table, metadata := v.regions(data[at : at+vhdxTableSize])
	if table == nil || metadata == nil {
		return nil, errDisk("table of regions")
	}
	if !v.items(metadata) {
		return nil, errDisk("metadata")
	}
	v.table = v.image.data[v.tableAt:][:len(table)]
	return v, nil
}

// regions finds the two regions that are needed (section 2.2.3).
func (v *vhdx) regions(b []byte) (table, metadata []byte) {
	le := binary.LittleEndian
	if string(b[:4]) != "regi" {
		return nil, nil
	}
	for i := range min(int(le.Uint32(b[8:])), vhdxMostRegions, (vhdxTableSize-16)/32) {
		e := b[16+32*i:]
		at, n := int64(le.Uint64(e[16:])), int64(le.Uint32(e[24:]))
		if at <= 0 || at >= int64(len(v.image.data)) {
			continue
		}
		region := v.image.data[at:min(at+n, int64(len(v.image.data)))]
		switch string(e[:16]) {
		case vhdxBAT:
			table, v.tableAt, v.short = region, at, int64(len(region)) < n
		case vhdxMetadata:
			metadata, v.metadataAt = region, at
		}
	}
	return table, metadata
}

// items reads the metadata (section 2.6).
func (v *vhdx) items(b []byte) bool {
	le := binary.LittleEndian
	if len(b) < 32 || string(b[:8]) != "metadata" {
		return false
	}
	v.size, v.sector = math.MaxInt64, 512
	for i := range min(int(le.Uint16(b[10:])), vhdxMostItems, (len(b)-32)/32) {
		e := b[32+32*i:]
		at, n := int64(le.Uint32(e[16:])), int64(le.Uint32(e[20:]))
		if at+max(n, 8) > int64(len(b)) {
			continue
		}
		switch item := b[at:]; string(e[:16]) {
		case vhdxFileParameters:
			v.block, v.parent = int64(le.Uint32(item)), le.Uint32(item[4:])&2 != 0
		case vhdxDiskSize:
			v.size = int64(le.Uint64(item) & math.MaxInt64)
		case vhdxSectorSize:
			v.sector = int64(le.Uint32(item))
		}
	}
	return v.block >= vhdxMinBlock && v.block <= vhdxMaxBlock && v.block&(v.block-1) == 0 && (v.sector == 512 || v.sector == 4096)
}

// reader reads the disk. After so many blocks' entries the table has one of a block
// of bitmaps (section 2.5).
func (v *vhdx) reader() *diskReader {
	group := (1<<23)*v.sector/v.block + 1
	table, i, at := v.table, int64(0), int64(0)
	next := func() (diskPiece, bool) {
		for len(table) >= 8 && at < v.size {
			entry := binary.LittleEndian.Uint64(table)
			table = table[8:]
			if i++; i%group == 0 {
				continue
			}
			here, state, from := at, entry&7, int64(entry>>20)*vhdxUnit
			at += v.block
			if state == vhdxNotPresent || state == vhdxZero || from == 0 {
				continue
			}
			data, err := v.image.take(from, v.block)
			return diskPiece{at: here, data: data, err: err}, true
		}
		if v.short && at < v.size {
			v.short = false
			return diskPiece{at: at, err: errShort}, true
		}
		return diskPiece{}, false
	}
	return &diskReader{next: next, size: v.size}
}
