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

// dmgOpener opens disk images of macOS (UDIF, as 7-Zip, dmg2img and libdmg-hfsplus read
// it; Apple never published it). Each block map, mostly one for each partition, is a
// member. Encrypted images are opened when the password is known.
var dmgOpener = opener{name: "dmg", match: func(data []byte) bool { return dmgTrailerAt(data) >= 0 || isDMGCrypt(data) }, entries: dmgEntries}

const (
	dmgMagic       = "koly"
	dmgTrailerSize = 512
	dmgMapMagic    = "mish"
	dmgMapHeader   = 204
	dmgChunkSize   = 40
	dmgSector      = 512

	// dmgMostMaps is how many block maps of an image are read.
	dmgMostMaps = 1000

	// dmgMostXML is the size in bytes of a property list that is read: 54 bytes of it
	// tell of a chunk, and chunks have 256 KiB or more.
	dmgMostXML = 16 << 20
)

// Types of chunks.
const (
	dmgZero   = 0
	dmgRaw    = 1
	dmgIgnore = 2
	dmgADC    = 0x80000004
	dmgZlib   = 0x80000005
	dmgBzip2  = 0x80000006
	dmgLZFSE  = 0x80000007
	dmgXZ     = 0x80000008
	dmgRemark = 0x7ffffffe
	dmgEnd    = 0xffffffff
)

// dmgTrailer is what matters of the trailer.
type dmgTrailer struct {
	at                      int   // of the trailer itself
	running, data           int64 // of the data fork: what is in segments before this one, and its offset
	resources, resourcesLen int64 // a resource fork
	xml, xmlLen             int64 // a property list
	segments                uint32
}

// dmgTrailerAt gives the offset of the trailer, -1 where there is none: it is the end of
// the image. Some programs look for it at the start as well.
func dmgTrailerAt(data []byte) int {
	for _, at := range []int{len(data) - dmgTrailerSize, 0} {
		if at >= 0 && at+dmgTrailerSize <= len(data) && string(data[at:at+4]) == dmgMagic {
			if size := binary.BigEndian.Uint32(data[at+8:]); size == dmgTrailerSize {
				return at
			}
		}
	}
	return -1
}

func parseDMG(data []byte, at int) dmgTrailer {
	field := func(i int) int64 { return int64(binary.BigEndian.Uint64(data[at+i:]) & math.MaxInt64) }
	return dmgTrailer{
		at: at, running: field(16), data: field(24), resources: field(40), resourcesLen: field(48),
		segments: binary.BigEndian.Uint32(data[at+60:]), xml: field(216), xmlLen: field(224),
	}
}

func dmgEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		if isDMGCrypt(f.Data) && !dmgDecrypted(f, yield) {
			return
		}
		if at := dmgTrailerAt(f.Data); at >= 0 {
			d := &dmg{f: f, dmgTrailer: parseDMG(f.Data, at), image: diskImage{data: f.Data}}
			d.members(yield)
			d.release()
		}
	}
}

// dmg is an image.
type dmg struct {
	dmgTrailer
	f     File
	image diskImage

	inflater diskInflater
	lzfse    *lzfseReader
	xz       *xzReader
	adc      window
	taken    int64 // of memory, for a chunk in bzip2
}

// dmgMap is a block map: where the bytes of a partition are.
type dmgMap struct {
	name string
	data []byte
}

// members hands out the partitions. The maps are in a property list, in old images in a
// resource fork; what is in both is read once.
func (d *dmg) members(yield func(member, error) bool) {
	maps, err := dmgPlist(dmgPart(d.f.Data, d.xml, d.xmlLen))
	more, e := dmgResources(dmgPart(d.f.Data, d.resources, d.resourcesLen))
	err = cmp.Or(err, e)
	for _, m := range more {
		if !slices.ContainsFunc(maps, func(o dmgMap) bool { return bytes.Equal(o.data, m.data) }) {
			maps = append(maps, m)
		}
	}
	if len(maps) == 0 && err == nil {
		err = errDisk("no block maps")
	}
	if d.segments > 1 {
		err = cmp.Or(err, fmt.Errorf("%w: the rest of the image is in other segments", ErrUnsupported))
	}
	for i, m := range maps {
		if i == dmgMostMaps {
			yield(member{}, fmt.Errorf("%w: more than %d block maps", ErrUnsupported, i))
			return
		}
		if !d.partition(m, yield) {
			return
		}
	}
	if err != nil {
		yield(member{}, err)
	}
}

// dmgPart gives the bytes from an offset on, as far as they are there.
func dmgPart(data []byte, at, n int64) []byte {
	if at < 0 || n < 0 || at >= int64(len(data)) {
		return nil
	}
	return data[at:][:min(n, int64(len(data))-at)]
}

// dmgChunk is a chunk of a partition. Sectors are those of the partition.
type dmgChunk struct {
	kind          uint32
	sector, count uint64
	at, size      int64
}

// partition hands out what a block map tells of.
func (d *dmg) partition(m dmgMap, yield func(member, error) bool) bool {
	name := cmp.Or(m.name, nameLess(d.f.Name, ".dmg", ".img"))
	b, be := m.data, binary.BigEndian
	if len(b) < dmgMapHeader || string(b[:4]) != dmgMapMagic {
		return yield(member{name: name}, errDisk("block map"))
	}
	offset := int64(be.Uint64(b[24:])&math.MaxInt64) - d.running
	if d.data < math.MaxInt64/4 && offset < math.MaxInt64/4 {
		offset += d.data
	}
	n := int(min(be.Uint32(b[200:]), uint32((len(b)-dmgMapHeader)/dmgChunkSize)))
	err := error(nil)
	if uint32(n) < be.Uint32(b[200:]) {
		err = errShort
	}
	var chunks []dmgChunk
	for b = b[dmgMapHeader:]; n > 0; n, b = n-1, b[dmgChunkSize:] {
		c := dmgChunk{kind: be.Uint32(b), sector: be.Uint64(b[8:]), count: be.Uint64(b[16:])}
		c.at, c.size = offset+int64(be.Uint64(b[24:])&(math.MaxInt64>>2)), int64(be.Uint64(b[32:])&math.MaxInt64)
		chunks = append(chunks, c)
	}
	slices.SortStableFunc(chunks, func(a, b dmgChunk) int { return cmp.Compare(a.sector, b.sector) })
	size := int64(min(be.Uint64(m.data[16:]), math.MaxInt64/dmgSector)) * dmgSector
	d.image.used = 0
	next := func() (p diskPiece, ok bool) {
		if len(chunks) == 0 {
			p, err = diskPiece{err: err}, nil
			return p, p.err != nil
		}
		p = d.piece(chunks[0])
		chunks = chunks[1:]
		return p, true
	}
	return yield(diskMember(name, &diskReader{next: next, size: size}), nil)
}

// piece gives a chunk; nothing where it is zeros.
func (d *dmg) piece(c dmgChunk) (p diskPiece) {
	if c.kind == dmgZero || c.kind == dmgIgnore || c.kind == dmgRemark || c.kind == dmgEnd || c.count == 0 {
		return p
	}
	p.at = int64(min(c.sector, math.MaxInt64/dmgSector)) * dmgSector
	p.size = int64(min(c.count, math.MaxInt64/dmgSector)) * dmgSector
	packed, err := d.image.take(c.at, c.size)
	if len(packed) == 0 {
		p.err = cmp.Or(err, errShort)
		return p
	}
	p.err = err
	if c.kind == dmgRaw {
		if p.data = packed; c.size != p.size && err == nil {
			p.err = errDisk("size of a chunk")
		}
		return p
	}
	if p.body, err = d.unpack(c.kind, packed); err != nil {
		p.err = err
	}
	return p
}
