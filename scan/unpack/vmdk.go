package unpack

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"
)

// vmdkOpener opens disks of VMware ("Virtual Disk Format 5.0", VMware 2011): sparse
// extents with their grains as they are or deflated. Of a disk that is only described,
// its extents being other files, that is told.
var vmdkOpener = opener{name: "vmdk", match: func(data []byte) bool { return isVMDK(data) || isVMDKText(data) }, entries: vmdkEntries}

const (
	vmdkMagic      = "KDMV"
	vmdkText       = "# Disk DescriptorFile"
	vmdkSector     = 512
	vmdkHeaderSize = 79
	vmdkAtEnd      = math.MaxUint64 // offset of a grain directory that a footer tells
	vmdkMaxGrain   = 128 << 20 / vmdkSector
	vmdkPacked     = 1 << 16 // flag: grains are packed
	vmdkMarks      = 1 << 17 // flag: markers tell what follows
	vmdkZeroGrain  = 1       // an entry that stands for zeros, in version 2 and later
	vmdkMarkerData = 12      // bytes of a grain's marker before its data
)

func isVMDK(data []byte) bool {
	if len(data) < vmdkHeaderSize || string(data[:4]) != vmdkMagic {
		return false
	}
	h := parseVMDK(data)
	return h.version >= 1 && h.version <= 3 && h.grain > 0 && h.grain <= vmdkMaxGrain && h.grain&(h.grain-1) == 0
}

func isVMDKText(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(data[:min(len(data), 64)], "\xef\xbb\xbf\r\n\t "), []byte(vmdkText))
}

// vmdkHeader is a SparseExtentHeader, as far as it is needed. Offsets and sizes are in
// sectors.
type vmdkHeader struct {
	version, flags     uint32
	capacity, grain    uint64
	text, textSize     uint64 // the disk's description
	perTable           uint32 // entries of a grain table
	overhead           uint64 // before the first grain
	redundant, primary uint64 // grain directories
	method             uint16 // of compression; 1 is deflate
}

func parseVMDK(b []byte) vmdkHeader {
	le := binary.LittleEndian
	return vmdkHeader{
		version: le.Uint32(b[4:]), flags: le.Uint32(b[8:]), capacity: le.Uint64(b[12:]), grain: le.Uint64(b[20:]),
		text: le.Uint64(b[28:]), textSize: le.Uint64(b[36:]),
		perTable: le.Uint32(b[44:]), redundant: le.Uint64(b[48:]), primary: le.Uint64(b[56:]), overhead: le.Uint64(b[64:]), method: le.Uint16(b[77:]),
	}
}

func vmdkEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		if isVMDKText(f.Data) {
			yield(member{}, fmt.Errorf("%w: the extents of the disk are other files", ErrUnsupported))
			return
		}
		v := &vmdk{vmdkHeader: parseVMDK(f.Data), image: diskImage{data: f.Data}}
		if v.method > 1 {
			yield(member{}, fmt.Errorf("%w: compression %d", ErrUnsupported, v.method))
			return
		}
		v.footer()
		if v.members(f, yield) && v.hasParent() {
			yield(member{}, fmt.Errorf("%w: the rest of the disk is in its parent", ErrUnsupported))
		}
	}
}

// hasParent reports whether the description within the extent says that the disk is
// the difference to another one.
func (v *vmdk) hasParent() bool {
	at, n := min(v.text, math.MaxInt32), min(v.textSize, 64)
	text := v.image.data[min(int(at)*vmdkSector, len(v.image.data)):]
	_, parent, found := bytes.Cut(text[:min(int(n)*vmdkSector, len(text))], []byte("\nparentCID="))
	return found && !bytes.HasPrefix(bytes.ToLower(parent[:min(len(parent), 8)]), []byte("ffffffff"))
}

// vmdk is a sparse extent.
type vmdk struct {
	vmdkHeader
	image diskImage
}

// footer takes the place of the grain directory from the header's copy at the end of
// an image that was written in one go.
func (v *vmdk) footer() {
	data := v.image.data
	if v.primary != vmdkAtEnd {
		return
	}
	// Before the marker of the end.
	for _, at := range []int{len(data) - 2*vmdkSector, len(data) - vmdkSector} {
		if at > 0 && isVMDK(data[at:]) {
			if h := parseVMDK(data[at:]); h.primary != vmdkAtEnd {
				v.primary, v.redundant = h.primary, h.redundant
				return
			}
		}
	}
}

// vmdkGrain is where a grain lies.
type vmdkGrain struct {
	index  uint64 // on the disk
	sector uint64 // in the image
}

// members hands out the disk as its directories of grains have it, and as its markers
// do, as far as that is not the same: programs differ in what they go by.
func (v *vmdk) members(f File, yield func(member, error) bool) bool {
	var seen [][]vmdkGrain
	known := func(list []vmdkGrain) bool {
		return slices.ContainsFunc(seen, func(s []vmdkGrain) bool { return slices.Equal(s, list) })
	}
	failed := errDisk("no directory of grains")
	for _, account := range []func() ([]vmdkGrain, error){v.primaryGrains, v.redundantGrains, v.markedGrains} {
		v.image.used = 0
		list, err := account()
		if list == nil || known(list) {
			failed = cmp.Or(err, failed)
			continue
		}
		seen = append(seen, list)
		if !yield(diskMember(nameLess(f.Name, ".vmdk", ".img"), v.reader(list, err)), nil) {
			return false
		}
	}
	return len(seen) > 0 || yield(member{}, failed)
}

func (v *vmdk) primaryGrains() ([]vmdkGrain, error)   { return v.directory(v.primary) }
func (v *vmdk) redundantGrains() ([]vmdkGrain, error) { return v.directory(v.redundant) }

// directory reads a grain directory and its tables. The list is nil when there is no
// directory.
func (v *vmdk) directory(sector uint64) (list []vmdkGrain, err error) {
	if sector == 0 || sector == vmdkAtEnd || v.perTable == 0 || v.capacity == 0 {
		return nil, nil
	}
	covered := min(uint64(v.perTable)*v.grain, math.MaxInt64)
	tables := v.capacity/covered + 1
	if v.capacity%covered == 0 {
		tables--
	}
	directory, err := v.words(sector, tables)
	if directory == nil {
		return nil, err
	}
	list = []vmdkGrain{}
	for i := uint64(0); len(directory) > 0; i, directory = i+1, directory[4:] {
		table := binary.LittleEndian.Uint32(directory)
		if table == 0 {
			continue
		}
		entries, short := v.words(uint64(table), uint64(v.perTable))
		err = cmp.Or(err, short)
		for at := i * uint64(v.perTable); len(entries) > 0; at, entries = at+1, entries[4:] {
			if list, short = v.grainAt(list, at, uint64(binary.LittleEndian.Uint32(entries))); short != nil {
				return list, short
			}
		}
		if isFinal(err) {
			break
		}
	}
	return list, err
}

// words gives so many numbers of 32 bits from a sector on, as far as they are there.
func (v *vmdk) words(sector, n uint64) ([]byte, error) {
	if sector >= uint64(len(v.image.data)/vmdkSector) {
		return nil, errShort
	}
	b, err := v.image.take(int64(sector*vmdkSector), int64(min(n, math.MaxInt64/4)*4))
	return b[:len(b)/4*4], err
}

// grainAt adds a grain to a list, if the entry of a grain table is one. Grains take a
// sector or more each.
func (v *vmdk) grainAt(list []vmdkGrain, index, sector uint64) ([]vmdkGrain, error) {
	if sector == 0 || sector == vmdkZeroGrain {
		return list, nil
	}
	if len(list) > len(v.image.data)/vmdkSector {
		return list, errDiskOverlap
	}
	return append(list, vmdkGrain{index, sector}), nil
}

// markedGrains goes from marker to marker, if there are any ("Stream-Optimized
// Compressed Sparse Extents").
func (v *vmdk) markedGrains() (list []vmdkGrain, err error) {
	data, le := v.image.data, binary.LittleEndian
	if v.flags&vmdkMarks == 0 || !v.packed() {
		return nil, nil
	}
	list = []vmdkGrain{}
	for at := v.overhead; ; {
		if at >= uint64(len(data)/vmdkSector) {
			err = errShort
			break
		}
		mark := data[at*vmdkSector:]
		value, size := le.Uint64(mark), uint64(le.Uint32(mark[8:]))
		if size > 0 {
			list = append(list, vmdkGrain{value / v.grain, at})
			at += (vmdkMarkerData + size + vmdkSector - 1) / vmdkSector
			continue
		}
		if kind := le.Uint32(mark[12:]); kind == 0 || value >= uint64(len(data)) { // the end of the stream
			break
		}
		at += 1 + value
	}
	slices.SortStableFunc(list, func(a, b vmdkGrain) int { return cmp.Compare(a.index, b.index) })
	return list, err
}

// packed reports whether grains are deflated.
func (v *vmdk) packed() bool { return v.method == 1 && v.flags&vmdkPacked != 0 }

// reader reads the disk; err is what was wrong with the list.
func (v *vmdk) reader(list []vmdkGrain, err error) *diskReader {
	image, grain := diskImage{data: v.image.data}, int64(v.grain*vmdkSector)
	var inflater diskInflater
	next := func() (p diskPiece, ok bool) {
		if len(list) == 0 {
			p, err = diskPiece{err: err}, nil
			return p, p.err != nil
		}
		g := list[0]
		list = list[1:]
		p.at = math.MaxInt64
		if g.index < uint64(math.MaxInt64/grain) {
			p.at = int64(g.index) * grain
		}
		from := int64(min(g.sector, math.MaxInt64/vmdkSector)) * vmdkSector
		if !v.packed() {
			p.data, p.err = image.take(from, grain)
			return p, true
		}
		mark, short := image.take(from, vmdkMarkerData)
		if short == nil {
			var packed []byte
			packed, short = image.take(from+vmdkMarkerData, int64(binary.LittleEndian.Uint32(mark[8:])))
			if len(packed) > 0 {
				p.size = grain
				p.body, p.err = inflater.zlibbed(packed)
			}
		}
		p.err = cmp.Or(p.err, short)
		return p, true
	}
	return &diskReader{next: next, size: int64(min(v.capacity, math.MaxInt64/vmdkSector)) * vmdkSector}
}
