package unpack

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/bits"
	"unicode/utf16"
)

// udfOpener opens images of UDF 1.02 to 2.60 (ECMA-167, whose part and section
// numbers these are, and OSTA's "Universal Disk Format Specification"): on
// partitions that are plain, virtual, sparable or for metadata. An image may be one
// of ISO 9660 at the same time.
var udfOpener = opener{name: "udf", match: udfMatch, entries: udfEntries}

// Kinds of descriptors (3/7.2.1, 4/7.2.1).
const (
	udfAnchor      = 2
	udfPointer     = 3
	udfPartition   = 5
	udfLogical     = 6
	udfTerminator  = 8
	udfFileSet     = 256
	udfIdentifier  = 257
	udfAllocation  = 258
	udfIndirect    = 259
	udfFileEntry   = 261
	udfFileEntryEx = 266
)

// Kinds of files (4/14.6.6; UDF 2.2.10, 2.2.13).
const (
	udfUnspecified = 0
	udfFolder      = 4
	udfStreams     = 13
	udfVAT         = 248
)

const (
	udfSequence = 1024  // sectors of a sequence of volume descriptors that are read
	udfSearched = 1024  // sectors at the end of the image among which the VAT is looked for
	udfHeader   = 32768 // where the recognition sequence begins (2/8.3, ECMA-119)
)

// udfSectors are the sizes that sectors have, the most likely one first.
var udfSectors = []int64{2048, 512, 1024, 4096}

func udfMatch(data []byte) bool {
	for n := range isoSearched {
		if at := udfHeader + n*isoSector; hasMagic(data, at+1, "NSR02") || hasMagic(data, at+1, "NSR03") {
			return true
		}
	}
	for _, sector := range udfSectors {
		if udfIsAnchor(data, 256, sector) {
			return true
		}
	}
	return false
}

// udfTag is the kind of the descriptor that b begins with; -1 where there is none.
func udfTag(b []byte) int {
	if len(b) < 16 {
		return -1
	}
	sum := byte(0)
	for i, c := range b[:16] {
		if i != 4 {
			sum += c
		}
	}
	kind := int(binary.LittleEndian.Uint16(b))
	if sum != b[4] || kind == 0 {
		return -1
	}
	return kind
}

// udfIsAnchor reports whether an anchor is in a sector: it says where it is (3/10.2).
func udfIsAnchor(data []byte, sector, size int64) bool {
	if sector <= 0 {
		return false
	}
	b := tail(data, sector*size)
	return len(b) >= 32 && udfTag(b) == udfAnchor && int64(binary.LittleEndian.Uint32(b[12:])) == sector
}

func udfEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		u := &udfReader{imageReader: newImageReader(f.Data, yield), volumes: make(map[string]bool)}
		anchors := 0
		for _, u.sector = range udfSectors {
			end := int64(len(f.Data)) / u.sector
			for _, at := range []int64{256, 512, end - 1, end - 257, end - 256} {
				if udfIsAnchor(f.Data, at, u.sector) {
					anchors++
					u.anchor(f.Data[at*u.sector:])
				}
			}
		}
		if anchors == 0 {
			u.damaged("no anchor")
		} else if len(u.volumes) == 0 {
			u.damaged("no logical volume")
		}
	}
}

// udfReader reads one image.
type udfReader struct {
	*imageReader
	sector  int64
	volumes map[string]bool // that have been read, by what describes them

	// Of the volume that is being read.
	block   int64
	maps    []udfMap
	visited map[int64]bool // file entries
	queue   []udfDirectory
	later   []udfNode // streams, and what was deleted
}

// udfMap is a partition of a logical volume (3/10.7, UDF 2.2.8 to 2.2.10).
type udfMap struct {
	start   int64 // of the partition, in bytes
	number  uint16
	kind    udfMapKind
	raw     []byte
	vat     []byte          // virtual: the numbers of blocks
	spared  map[int64]int64 // sparable: packets that lie elsewhere, by the first block of each
	packet  int64           // blocks
	extents []imageExtent   // metadata: where the file is that all blocks are in
}

type udfMapKind int

const (
	udfPhysical udfMapKind = iota
	udfVirtual
	udfSparable
	udfMetadata
)

// udfPlace is a block of a partition, and how many bytes are meant (4/14.14.2).
type udfPlace struct {
	length uint32
	block  uint32
	ref    uint16
}

func udfLong(b []byte) udfPlace {
	le := binary.LittleEndian
	return udfPlace{le.Uint32(b) & udfLength, le.Uint32(b[4:]), le.Uint16(b[8:])}
}

// udfLength are the bits of an extent's length; the two above say what kind it is of.
const udfLength = 1<<30 - 1

// udfNode is a file or a folder by the place of its entry.
type udfNode struct {
	path    string
	place   udfPlace
	deleted bool
}

// anchor reads the volumes that the two sequences of descriptors are about.
func (u *udfReader) anchor(b []byte) {
	u.sequence(b[16:])
	u.sequence(b[24:])
}

// sequence reads a sequence of volume descriptors, and the logical volumes in it.
// Of two that are about the same partition the later one holds.
func (u *udfReader) sequence(extent []byte) {
	le := binary.LittleEndian
	partitions := make(map[uint16][]byte)
	var logical [][]byte
	at, end := int64(le.Uint32(extent[4:])), int64(le.Uint32(extent))/u.sector
	end += at
	for n := 0; n < udfSequence && at < end; n++ {
		b := tail(u.data, at*u.sector)
		b = b[:min(int64(len(b)), u.sector)]
		at++
		if len(b) < 512 {
			break
		}
		switch udfTag(b) {
		case udfPointer:
			at, end = int64(le.Uint32(b[24:])), int64(le.Uint32(b[20:]))/u.sector
			end += at
		case udfPartition:
			number := le.Uint16(b[22:])
			if old := partitions[number]; old == nil || le.Uint32(old[16:]) <= le.Uint32(b[16:]) {
				partitions[number] = b
			}
		case udfLogical:
			logical = append(logical, b)
		case udfTerminator:
			at = end
		}
	}
	for _, b := range logical {
		u.volume(b, partitions)
	}
}

// volume reads a logical volume, unless it has been read.
func (u *udfReader) volume(b []byte, partitions map[uint16][]byte) {
	le := binary.LittleEndian
	u.block = int64(le.Uint32(b[212:]))
	if bits.OnesCount64(uint64(u.block)) != 1 || u.block < 512 || u.block > 1<<16 {
		u.block = u.sector
	}
	key := string(b[212:])
	u.maps, u.visited, u.queue, u.later = nil, make(map[int64]bool), nil, nil
	table := b[440:min(440+int(min(le.Uint32(b[264:]), 1<<16)), len(b))]
	for len(table) >= 6 && int(table[1]) >= 6 && int(table[1]) <= len(table) {
		raw := table[:table[1]]
		table = table[len(raw):]
		m := udfMap{raw: raw, number: le.Uint16(raw[4:])}
		if len(raw) >= 64 {
			m.number, m.kind = le.Uint16(raw[38:]), udfKind(raw)
		}
		if p := partitions[m.number]; p != nil {
			m.start = int64(le.Uint32(p[188:])) * u.sector
			key += string(p[188:196])
		} else {
			u.damaged("no partition")
		}
		u.maps = append(u.maps, m)
	}
	if u.volumes[key] || u.done {
		return
	}
	u.volumes[key] = true
	for i := range u.maps {
		u.prepare(i)
	}
	u.fileSets(udfLong(b[248:]))
	u.tree()
}

// tree reads the folders that are known of, and what is found in them.
func (u *udfReader) tree() {
	for !u.done {
		switch {
		case len(u.queue) > 0:
			d := u.queue[0]
			u.queue = u.queue[1:]
			u.directory(d)
		case len(u.later) > 0:
			n := u.later[0]
			u.later = u.later[1:]
			u.node(n)
		default:
			return
		}
	}
}

// udfKind is the kind of a partition map of type 2, by its name (UDF 2.2.8 to 2.2.10).
func udfKind(raw []byte) udfMapKind {
	switch {
	case hasMagic(raw, 5, "*UDF Virtual Partition"):
		return udfVirtual
	case hasMagic(raw, 5, "*UDF Sparable Partition"):
		return udfSparable
	case hasMagic(raw, 5, "*UDF Metadata Partition"):
		return udfMetadata
	}
	return udfPhysical
}

// prepare reads what a partition map refers to.
func (u *udfReader) prepare(i int) {
	le := binary.LittleEndian
	m := &u.maps[i]
	switch m.kind {
	case udfVirtual:
		if m.vat = u.findVAT(i); m.vat == nil {
			u.damaged("no virtual allocation table")
		}
	case udfSparable:
		m.packet = int64(le.Uint16(m.raw[40:]))
		u.sparing(m)
	case udfMetadata:
		// The file, or its mirror (UDF 2.2.13).
		for _, at := range []int{40, 44} {
			e, ok := u.entryAt(m.start+int64(le.Uint32(m.raw[at:]))*u.block, uint16(i), true)
			if m.extents, _ = u.clip(e.extents, e.size); ok && len(m.extents) > 0 {
				return
			}
		}
		u.damaged("no metadata file")
	}
}

// sparing reads the tables of packets that lie elsewhere (UDF 2.2.11).
func (u *udfReader) sparing(m *udfMap) {
	le := binary.LittleEndian
	m.spared = make(map[int64]int64)
	for n := range min(int(m.raw[42]), 4) {
		b := tail(u.data, int64(le.Uint32(m.raw[48+4*n:]))*u.sector)
		if !hasMagic(b, 17, "*UDF Sparing Table") || len(b) < 56 {
			continue
		}
		count := int(le.Uint16(b[48:]))
		for b = b[56:]; len(b) >= 8 && count > 0; count-- {
			if from := le.Uint32(b); from < 0xfffffff0 { // beyond: free, or of no use
				m.spared[int64(from)] = int64(le.Uint32(b[4:]))
			}
			b = b[8:]
		}
	}
}

// findVAT finds the virtual allocation table: its file entry is the last thing that
// was written (UDF 2.2.11 of 1.50, 2.2.10).
func (u *udfReader) findVAT(i int) []byte {
	const oldTrailer = 36 // of 1.50: a name, and where the table before this one is
	last := int64(len(u.data))/u.block - 1
	for at := last; at > max(last-udfSearched, 0); at-- {
		e, ok := u.entryAt(at*u.block, uint16(i), true)
		if !ok || e.kind != udfVAT && e.kind != udfUnspecified {
			continue
		}
		b, _ := u.table(e.extents, e.size)
		if e.kind == udfVAT && len(b) > 2 {
			return tail(b, int64(binary.LittleEndian.Uint16(b)))
		}
		if end := len(b) - oldTrailer; end >= 0 && hasMagic(b, end+1, "*UDF Virtual Alloc Tbl") {
			return b[:end]
		}
	}
	return nil
}

// resolve is where bytes are that begin with a block of a partition. Of the
// partition that the tables themselves are in, physical is asked for.
func (u *udfReader) resolve(p udfPlace, physical bool) []imageExtent {
	length := int64(p.length)
	if int(p.ref) >= len(u.maps) {
		return []imageExtent{{int64(len(u.data)), length}} // nowhere
	}
	m := &u.maps[p.ref]
	plain := []imageExtent{{m.start + int64(p.block)*u.block, length}}
	switch {
	case physical, m.kind == udfPhysical:
	case m.kind == udfVirtual:
		return u.virtual(m, int64(p.block), length)
	case m.kind == udfSparable && m.packet > 0 && len(m.spared) > 0:
		return u.sparable(m, int64(p.block), length)
	case m.kind == udfMetadata:
		return u.within(m.extents, int64(p.block)*u.block, length)
	}
	return plain
}

// virtual is where blocks are that a VAT has the numbers of.
func (u *udfReader) virtual(m *udfMap, block, length int64) (list []imageExtent) {
	for ; length > 0 && u.spend(16); block++ {
		entry := tail(m.vat, 4*block)
		if len(entry) < 4 {
			return append(list, imageExtent{int64(len(u.data)), length})
		}
		list = append(list, imageExtent{m.start + int64(binary.LittleEndian.Uint32(entry))*u.block, min(length, u.block)})
		length -= u.block
	}
	return list
}

// sparable is where blocks are some packets of which lie elsewhere.
func (u *udfReader) sparable(m *udfMap, block, length int64) (list []imageExtent) {
	for length > 0 && m.start+block*u.block < int64(len(u.data)) && u.spend(16) {
		first := block / m.packet * m.packet
		n := min(length, (first+m.packet-block)*u.block)
		at := m.start + block*u.block
		if elsewhere, ok := m.spared[first]; ok {
			at = elsewhere*u.sector + (block-first)*u.block
		}
		list = append(list, imageExtent{at, n})
		length -= n
		block = first + m.packet
	}
	return list
}

// within is where bytes are of a file that lies in pieces.
func (u *udfReader) within(pieces []imageExtent, at, length int64) (list []imageExtent) {
	u.spend(int64(len(pieces)))
	for _, e := range pieces {
		if n := min(length, e.size-at); at < e.size && n > 0 {
			piece := imageExtent{imageHole, n}
			if e.at != imageHole {
				piece.at = e.at + at
			}
			list = append(list, piece)
			length -= n
		}
		at = max(at-e.size, 0)
	}
	if length > 0 {
		list = append(list, imageExtent{int64(len(u.data)), length})
	}
	return list
}

// at is where a block of a partition is.
func (u *udfReader) at(p udfPlace) int64 {
	p.length = uint32(u.block)
	if list := u.resolve(p, false); len(list) > 0 && list[0].at != imageHole {
		return list[0].at
	}
	return int64(len(u.data))
}

// fileSets reads the descriptors of file sets (4/14.1): what is in each root.
func (u *udfReader) fileSets(p udfPlace) {
	found := false
	for range udfSequence {
		b := tail(u.data, u.at(p))
		if len(b) < 512 || udfTag(b) != udfFileSet || u.visited[u.at(p)] {
			break
		}
		found, u.visited[u.at(p)] = true, true
		u.node(udfNode{"", udfLong(b[400:]), false})
		if streams := udfLong(b[464:]); streams.length > 0 {
			u.later = append(u.later, udfNode{":", streams, true})
		}
		if next := udfLong(b[448:]); next.length > 0 {
			p = next
		} else {
			p.block++
		}
	}
	if !found {
		u.damaged("no file set")
	}
}

// udfEntry is a file entry (4/14.9, 4/14.17).
type udfEntry struct {
	kind    byte
	size    int64
	extents []imageExtent
	streams udfPlace // a folder of other streams of the file
}

// entryAt reads the file entry at an offset. ref is the partition that it is in.
func (u *udfReader) entryAt(at int64, ref uint16, physical bool) (e udfEntry, ok bool) {
	le := binary.LittleEndian
	b := tail(u.data, at)
	b = b[:min(int64(len(b)), u.block)]
	header, lengths := 176, 168
	switch kind := udfTag(b); {
	case kind == udfFileEntryEx && len(b) >= 216:
		header, lengths = 216, 208
		e.streams = udfLong(b[152:])
	case kind == udfFileEntry && len(b) >= 176:
	default:
		return e, false
	}
	e.kind, e.size = b[27], int64(min(le.Uint64(b[56:]), 1<<62))
	start := int64(header) + int64(le.Uint32(b[lengths:]))
	descriptors := tail(b, start)
	descriptors = descriptors[:min(int64(le.Uint32(b[lengths+4:])), int64(len(descriptors)))]
	if form := le.Uint16(b[34:]) & 7; form == 3 { // the bytes themselves
		e.extents = []imageExtent{{at + start, int64(len(descriptors))}}
	} else {
		e.extents = u.extents(descriptors, form, ref, physical)
	}
	return e, true
}

// extents reads allocation descriptors, and those that they go on in (4/12, 4/14.14).
func (u *udfReader) extents(b []byte, form uint16, ref uint16, physical bool) (list []imageExtent) {
	le := binary.LittleEndian
	size := map[uint16]int{0: 8, 1: 16, 2: 20}[form]
	visited := make(map[int64]bool)
	for ; size > 0 && len(b) >= size && u.spend(16); b = b[size:] {
		p := udfPlace{le.Uint32(b) & udfLength, le.Uint32(b[4:]), ref}
		switch form {
		case 1:
			p.ref = le.Uint16(b[8:])
		case 2:
			p.block, p.ref = le.Uint32(b[12:]), le.Uint16(b[16:])
		}
		if p.length == 0 {
			break
		}
		switch kind := le.Uint32(b) >> 30; kind {
		case 0:
			list = append(list, u.resolve(p, physical)...)
		case 1, 2: // never written
			list = append(list, imageExtent{imageHole, int64(p.length)})
		case 3:
			next := u.resolve(p, physical)
			if len(next) == 0 || next[0].at == imageHole || visited[next[0].at] {
				return list
			}
			visited[next[0].at] = true
			d := tail(u.data, next[0].at)
			if len(d) < 24 || udfTag(d) != udfAllocation || !u.spend(u.block) {
				return list
			}
			rest := d[24:min(int64(len(d)), 24+int64(le.Uint32(d[20:])), u.block)]
			b = d[24-size : 24+len(rest)] // the loop takes the first of them off
		}
	}
	return list
}

var errUDFEntry = fmt.Errorf("%w: no file entry", ErrDamaged)

// node hands out a file, or sees to it that a folder is read: what all entries say
// that its place has room for, and others that they refer to, since on some media
// the old ones stay (4/14.6.2, strategy 4096).
func (u *udfReader) node(n udfNode) {
	places := []udfPlace{n.place}
	found := false
	for len(places) > 0 && u.spend(16) {
		p := places[0]
		at := u.at(p)
		if p.block++; p.length > uint32(u.block) {
			p.length -= uint32(u.block)
			places[0] = p
		} else {
			places = places[1:]
		}
		if u.visited[at] {
			found = true
			continue
		}
		e, ok := u.entryAt(at, p.ref, false)
		if ok {
			found, u.visited[at] = true, true
			u.content(n, e, udfDirectory{n.path, at, p.ref, n.deleted})
		} else if b := tail(u.data, at); len(b) >= 52 && udfTag(b) == udfIndirect {
			u.visited[at] = true
			places = append(places, udfLong(b[36:]))
		}
	}
	if !found && !n.deleted {
		u.emit(member{name: n.path}, errUDFEntry)
	}
}

// udfDirectory is a folder that is to be read, by the place of its entry.
type udfDirectory struct {
	path    string
	at      int64
	ref     uint16
	deleted bool
}

// content hands out a file, and notes a folder.
func (u *udfReader) content(n udfNode, e udfEntry, d udfDirectory) {
	if e.kind != udfFolder && e.kind != udfStreams {
		u.file(imageFile{name: n.path, extents: e.extents, size: e.size, doubtful: n.deleted})
	} else if u.folder() {
		u.queue = append(u.queue, d)
	}
	if e.streams.length > 0 && u.folder() {
		u.later = append(u.later, udfNode{n.path + ":", e.streams, n.deleted})
	}
}

// directory reads a folder.
func (u *udfReader) directory(d udfDirectory) {
	e, _ := u.entryAt(d.at, d.ref, false)
	table, short := u.table(e.extents, e.size)
	if short && !d.deleted {
		u.damaged("folder cut short")
	}
	for len(table) >= udfIdentifierSize && u.entry() {
		if udfTag(table) != udfIdentifier {
			if !d.deleted {
				u.damaged("folder")
			}
			table = table[4:]
			continue
		}
		name := int64(udfIdentifierSize) + int64(binary.LittleEndian.Uint16(table[36:]))
		end := name + int64(table[19])
		if end > int64(len(table)) && !d.deleted {
			u.damaged("folder")
		}
		u.identifier(d, table, tail(table[:min(end, int64(len(table)))], name))
		table = tail(table, (end+3)&^3)
	}
}

// identifier takes a file identifier descriptor. What was deleted is read last: it
// may have another name now.
func (u *udfReader) identifier(d udfDirectory, b, name []byte) {
	const deleted, parent = 1 << 2, 1 << 3
	n := udfNode{place: udfLong(b[20:]), deleted: d.deleted || b[18]&deleted != 0}
	if b[18]&parent != 0 || n.deleted && n.place.length == 0 {
		return
	}
	if n.path = imagePath(d.path, udfName(name)); !n.deleted {
		u.node(n)
	} else if u.folder() {
		u.later = append(u.later, n)
	}
}

// udfIdentifierSize is a file identifier descriptor without what follows (4/14.4).
const udfIdentifierSize = 38

// udfName decodes a name (UDF 2.1.1): 8 or 16 bits for each character.
func udfName(b []byte) string {
	const wide, wideDeleted = 16, 255
	if len(b) == 0 {
		return "-"
	}
	var units []uint16
	switch kind := b[0]; kind {
	case wide, wideDeleted:
		for b = b[1:]; len(b) >= 2; b = b[2:] {
			units = append(units, binary.BigEndian.Uint16(b))
		}
	default:
		for _, c := range b[1:] {
			units = append(units, uint16(c))
		}
	}
	return string(utf16.Decode(units))
}
