package unpack

import (
	"encoding/binary"
	"iter"
	"strings"
	"unicode/utf16"
)

// isoOpener opens images of CDs: ISO 9660 (ECMA-119), with the names of Joliet and
// of Rock Ridge (SUSP and RRIP 1.12), and High Sierra. Programs differ in which of
// the trees of an image they show: all are read, those of earlier sessions as well,
// and the folders that only the path tables know. Where the two orders of bytes in
// which numbers stand differ, both hold.
var isoOpener = opener{name: "iso", match: isoMatch, entries: isoEntries}

const (
	isoSector = 2048
	isoSystem = 16 // sectors in front of the first descriptor (ECMA-119, 6.2.1)

	isoMagic    = "CD001"
	isoMagicHS  = "CDROM"
	isoVolumes  = 64 // descriptors that are read
	isoMinimum  = 34 // bytes of a directory record with a name of one byte (9.1)
	isoSearched = 32 // sectors behind the system area among which the first descriptor is
)

// Types of volume descriptors (8.1.1).
const (
	isoBoot          = 0
	isoPrimary       = 1
	isoSupplementary = 2
)

// Flags of a directory record (9.1.6).
const (
	isoDirectory = 1 << 1
	isoMore      = 1 << 7 // the next record is about the same file
)

// isoLayout is where the fields are that High Sierra has elsewhere.
type isoLayout struct{ kind, block, table, path, pathBE, root, flags int }

var (
	isoPlain      = isoLayout{kind: 0, block: 128, table: 132, path: 140, pathBE: 148, root: 156, flags: 25}
	isoHighSierra = isoLayout{kind: 8, block: 136, table: 140, path: 148, pathBE: 164, root: 180, flags: 24}
)

func isoMatch(data []byte) bool { return isoFirst(data) >= 0 }

// isoFirst is the sector of the first descriptor, -1 where there is none. Those of
// UDF may stand in front of it.
func isoFirst(data []byte) int {
	for sector := isoSystem; sector < isoSystem+isoSearched; sector++ {
		if isoDescriptor(data, sector*isoSector) != nil {
			return sector
		}
	}
	return -1
}

// isoDescriptor is how the fields lie in the descriptor at an offset; nil where there is none.
func isoDescriptor(data []byte, at int) *isoLayout {
	switch {
	case hasMagic(data, at+1, isoMagic):
		return &isoPlain
	case hasMagic(data, at+9, isoMagicHS):
		return &isoHighSierra
	}
	return nil
}

func isoEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		i := &isoReader{imageReader: newImageReader(f.Data, yield), visited: make(map[[2]int64]bool)}
		i.findVolumes()
		if len(i.volumes) == 0 {
			i.damaged("no volume descriptor")
		}
		for _, joliet := range []bool{true, false} { // the names of the first tree are those that members get
			for _, v := range i.volumes {
				if v.joliet == joliet && !i.done {
					i.volume(v)
				}
			}
		}
		for _, catalog := range i.boot {
			i.bootCatalog(catalog)
		}
	}
}

// isoReader reads one image.
type isoReader struct {
	*imageReader
	volumes []isoVolume
	boot    []int64           // where boot catalogues are
	visited map[[2]int64]bool // folders, by place and size; size 0: of whatever size
}

// isoVolume is a tree of folders, and how it is to be read.
type isoVolume struct {
	*isoLayout
	raw    []byte // the descriptor
	block  int64
	joliet bool
	old    bool // of an earlier session, perhaps: what is wrong with it is not told
	skip   int  // bytes in front of the fields of Rock Ridge (SUSP 5.3)
}

// isoFolder is a folder that is to be read.
type isoFolder struct {
	path     string
	at, size int64
}

// findVolumes finds all descriptors: each session of a disc begins with some. Those
// of an image within the image are at other places than they say.
func (i *isoReader) findVolumes() {
	first := isoFirst(i.data)
	row := true
	for sector := first; sector*isoSector < len(i.data); sector++ {
		at := sector * isoSector
		layout := isoDescriptor(i.data, at)
		row = row && layout != nil
		if layout == nil {
			continue
		}
		raw := i.data[at:min(at+isoSector, len(i.data))]
		if len(raw) < isoSector {
			i.damaged("volume descriptor cut short")
			return
		}
		i.descriptor(raw, layout, row)
		if len(i.volumes)+len(i.boot) > isoVolumes {
			i.stop("objects")
			return
		}
	}
}

// descriptor takes one descriptor; row says that it is among the first.
func (i *isoReader) descriptor(raw []byte, layout *isoLayout, row bool) {
	switch raw[layout.kind] {
	case isoBoot:
		if hasMagic(raw, 7, "EL TORITO SPECIFICATION") {
			i.boot = append(i.boot, int64(binary.LittleEndian.Uint32(raw[71:]))*isoSector)
		}
		return
	case isoPrimary, isoSupplementary:
	default:
		return
	}
	v := isoVolume{isoLayout: layout, raw: raw, block: isoSector, old: !row}
	if b := binary.LittleEndian.Uint16(raw[layout.block:]); b == 512 || b == 1024 {
		v.block = int64(b)
	}
	// Escape sequences of UCS-2 (Joliet, "SVD Escape Sequences Field").
	escape := string(raw[88:90])
	v.joliet = raw[layout.kind] == isoSupplementary && escape == "%/" && strings.IndexByte("@CE", raw[90]) >= 0
	root, ok := i.self(raw[layout.root:], v)
	if row && !ok {
		i.damaged("root folder")
	}
	if v.skip = isoSkip(root); row || ok {
		i.volumes = append(i.volumes, v)
	}
}

// self is the record that a folder has of itself (".", 6.8.2.2), and whether it is
// where it says to be.
func (i *isoReader) self(record []byte, v isoVolume) (self []byte, ok bool) {
	where := binary.LittleEndian.Uint32(record[2:])
	if at := int64(where) * v.block; at > 0 && at+isoMinimum < int64(len(i.data)) {
		self = i.data[at:min(at+int64(i.data[at]), int64(len(i.data)))]
	}
	return self, len(self) >= isoMinimum && self[32] == 1 && self[33] == 0 && binary.LittleEndian.Uint32(self[2:]) == where
}

// isoSkip is what the root says of where the fields of Rock Ridge begin: its first is SP (SUSP 5.3).
func isoSkip(self []byte) int {
	if hasMagic(self, isoMinimum, "SP\x07\x01\xbe\xef") && len(self) > isoMinimum+6 {
		return int(self[isoMinimum+6])
	}
	return 0
}

// volume reads a tree, then what is in the path tables beyond it.
func (i *isoReader) volume(v isoVolume) {
	raw := v.raw[v.root:]
	var queue []isoFolder
	for _, p := range isoPlaces(raw) {
		queue = append(queue, isoFolder{"", p.at * v.block, p.size})
	}
	i.walk(v, queue)
	if v.isoLayout == &isoPlain {
		i.pathTable(v, v.table, v.path, binary.LittleEndian)
		i.pathTable(v, v.table+4, v.pathBE, binary.BigEndian)
	}
}

// walk reads folders and those in them.
func (i *isoReader) walk(v isoVolume, queue []isoFolder) {
	for len(queue) > 0 && !i.done {
		d := queue[0]
		queue = append(queue[1:], i.read(v, d)...)
	}
}

// pathTable reads the folders that a path table names and no folder does (9.4).
func (i *isoReader) pathTable(v isoVolume, size, place int, order binary.ByteOrder) {
	table := tail(i.data, int64(order.Uint32(v.raw[place:]))*v.block)
	table = table[:min(int64(order.Uint32(v.raw[size:])), int64(len(table)))]
	for len(table) > 8 && table[0] > 0 && i.entry() {
		n := int(table[0])
		end := 8 + n + n&1
		if end > len(table) {
			return
		}
		at := int64(order.Uint32(table[2:])) * v.block
		if at > 0 && !i.visited[[2]int64{at, 0}] {
			i.walk(v, []isoFolder{{v.name(table[8 : 8+n]), at, 0}})
		}
		table = table[end:]
	}
}

// isoPlace is where a file is said to be, in blocks, and its size.
type isoPlace struct{ at, size int64 }

// isoPlaces is where a record's file is: by the numbers in the one order of bytes, and
// by those in the other where they differ.
func isoPlaces(record []byte) []isoPlace {
	le, be := binary.LittleEndian, binary.BigEndian
	list := []isoPlace{{int64(le.Uint32(record[2:])), int64(le.Uint32(record[10:]))}}
	if p := (isoPlace{int64(be.Uint32(record[6:])), int64(be.Uint32(record[14:]))}); p != list[0] {
		list = append(list, p)
	}
	return list
}

// read hands out the files in a folder and gives the folders in it.
func (i *isoReader) read(v isoVolume, d isoFolder) (found []isoFolder) {
	if key := [2]int64{d.at, d.size}; i.visited[key] {
		return nil
	} else {
		i.visited[key], i.visited[[2]int64{d.at, 0}] = true, true
	}
	if s := tail(i.data, d.at); len(s) >= isoMinimum && s[0] >= isoMinimum && s[32] == 1 && s[33] == 0 {
		d.size = max(d.size, int64(binary.LittleEndian.Uint32(s[10:]))) // what it says of itself
	}
	table, short := i.table([]imageExtent{{d.at, d.size}}, d.size)
	if short && !v.old {
		i.damaged("folder cut short")
	}
	var file []isoRecord
	for at := 0; at < len(table) && i.entry(); {
		n := int(table[at])
		if n < isoMinimum || n > len(table)-at {
			if n > 0 && !v.old {
				i.damaged("directory record")
			}
			at = (at/isoSector + 1) * isoSector // none goes beyond its sector (6.8.1.1)
			continue
		}
		record := i.record(v, table[at:at+n])
		at += n
		switch {
		case record.isFolder():
			found = append(found, i.inFolder(d.path, record)...)
		case record.name != "":
			file = append(file, record)
			if record.flags&isoMore == 0 || len(file) == isoExtents {
				i.emitFile(v, d.path, file)
				file = nil
			}
		}
	}
	i.emitFile(v, d.path, file)
	return found
}

// inFolder gives the folder that a record is of, if it has not been read.
func (i *isoReader) inFolder(path string, r isoRecord) (found []isoFolder) {
	for _, p := range r.places {
		d := isoFolder{at: (p.at + r.attributes) * r.block, size: p.size}
		if r.name == "" || i.visited[[2]int64{d.at, d.size}] || !i.folder() {
			continue
		}
		d.path = imagePath(path, r.name)
		found = append(found, d)
	}
	return found
}

// isoRecord is a directory record (9.1).
type isoRecord struct {
	name       string // "": of the folder itself, or the one it is in
	flags      byte
	block      int64
	attributes int64 // blocks in front of the file's bytes
	unit, gap  int64 // blocks, in turn, of a file that is interleaved with others
	places     []isoPlace
}

func (r isoRecord) isFolder() bool { return r.flags&isoDirectory != 0 }

// record parses a record, of isoMinimum bytes at least.
func (i *isoReader) record(v isoVolume, raw []byte) isoRecord {
	r := isoRecord{flags: raw[v.flags], block: v.block, attributes: int64(raw[1]), places: isoPlaces(raw)}
	if v.isoLayout == &isoPlain {
		r.unit, r.gap = int64(raw[26]), int64(raw[27])
	}
	id := raw[33:min(33+int(raw[32]), len(raw))]
	if r.isFolder() && len(id) == 1 && id[0] <= 1 {
		return r
	}
	if r.name = v.name(id); v.joliet {
		return r
	}
	rock := isoRockRidge{reader: i, block: v.block}
	rock.area(tail(raw, int64(33+len(id)+1-len(id)&1+v.skip)))
	if len(rock.name) > 0 {
		r.name = decodeName(rock.name)
	}
	if rock.child > 0 {
		r.flags |= isoDirectory
		r.places = []isoPlace{{rock.child, 0}}
	}
	return r
}

// name is a name without its version (7.5.1).
func (v isoVolume) name(id []byte) string {
	var name string
	if v.joliet {
		units := make([]uint16, 0, len(id)/2)
		for ; len(id) >= 2; id = id[2:] {
			units = append(units, binary.BigEndian.Uint16(id))
		}
		name = string(utf16.Decode(units))
	} else {
		name = decodeName(id)
	}
	if base, version, ok := strings.Cut(name, ";"); ok && strings.Trim(version, "0123456789") == "" {
		name = strings.TrimSuffix(base, ".")
	}
	if name == "" {
		return "-" // a file all the same
	}
	return name
}

// isoRockRidge is what the fields of Rock Ridge say of a file.
type isoRockRidge struct {
	reader *isoReader
	block  int64
	name   []byte
	child  int64 // the block where a folder has been moved to; 0: nothing is said
}

const (
	isoContinued = 8    // areas in which the fields of one record go on
	isoAreaBytes = 4096 // of one of them
	isoExtents   = 1 << 14
)

// area reads the fields in a record (SUSP 4.1), and where they go on.
func (r *isoRockRidge) area(fields []byte) {
	for range isoContinued {
		var next []byte
		for len(fields) >= 4 && fields[2] >= 4 && int(fields[2]) <= len(fields) {
			f := fields[:fields[2]]
			fields = fields[len(f):]
			if string(f[:2]) == "CE" && len(f) >= 28 {
				next = r.continuation(f)
			}
			r.field(f)
		}
		if fields = next; len(fields) == 0 {
			return
		}
	}
}

// continuation is where the fields go on (SUSP 5.1).
func (r *isoRockRidge) continuation(f []byte) []byte {
	le := binary.LittleEndian
	b := tail(r.reader.data, int64(le.Uint32(f[4:]))*r.block+int64(le.Uint32(f[12:])))
	return b[:min(int64(le.Uint32(f[20:])), int64(len(b)), isoAreaBytes)]
}

// field takes a field: NM, a name or a piece of one, or CL, the place of a folder
// that lay too deep (RRIP 4.1.4, 4.1.5.1).
func (r *isoRockRidge) field(f []byte) {
	const ownName, parentName = 1 << 1, 1 << 2
	switch string(f[:2]) {
	case "NM":
		if len(f) > 5 && f[4]&(ownName|parentName) == 0 && len(r.name) < maxName {
			r.name = append(r.name, f[5:]...)
		}
	case "CL":
		if len(f) >= 12 {
			r.child = int64(binary.LittleEndian.Uint32(f[4:]))
		}
	}
}

// emitFile hands out the file that records are about, one for each of its extents.
// Some programs know nothing of attributes in front of it, of pieces between which
// others lie, or of extents.
func (i *isoReader) emitFile(v isoVolume, folder string, records []isoRecord) {
	if len(records) == 0 {
		return
	}
	f := imageFile{name: imagePath(folder, records[0].name), doubtful: v.old}
	for _, reading := range isoReadings {
		f.extents, f.size = nil, 0
		mixed := false
		for _, r := range records {
			extents, size := reading(i, r)
			f.extents = append(f.extents, extents...)
			f.size += size
			if mixed = mixed || r.name != records[0].name; mixed {
				i.file(imageFile{name: imagePath(folder, r.name), extents: extents, size: size, doubtful: true})
			}
		}
		i.file(f)
		f.doubtful = true
	}
}

// isoReadings are how programs find a file; the first is by the book.
var isoReadings = []func(i *isoReader, r isoRecord) ([]imageExtent, int64){
	func(i *isoReader, r isoRecord) ([]imageExtent, int64) { return i.interleaved(r, r.places[0]) },
	func(_ *isoReader, r isoRecord) ([]imageExtent, int64) { return r.plain(r.places[0], 0) },
	func(i *isoReader, r isoRecord) ([]imageExtent, int64) {
		return i.interleaved(r, r.places[len(r.places)-1])
	},
}

// plain is a file in one piece.
func (r isoRecord) plain(p isoPlace, attributes int64) ([]imageExtent, int64) {
	return []imageExtent{{(p.at + attributes) * r.block, p.size}}, p.size
}

// interleaved is a file of which pieces of one size lie at equal distances, or all
// in one piece (6.4.3).
func (i *isoReader) interleaved(r isoRecord, p isoPlace) (list []imageExtent, size int64) {
	if r.unit == 0 || r.gap == 0 {
		return r.plain(p, r.attributes)
	}
	at := (p.at + r.attributes) * r.block
	for left := p.size; left > 0 && at < int64(len(i.data)) && i.spend(16); left -= r.unit * r.block {
		list = append(list, imageExtent{at, min(left, r.unit*r.block)})
		at += (r.unit + r.gap) * r.block
	}
	return list, p.size
}

// Media that a boot image stands for (El Torito 1.0, figure 3), in bytes.
var isoFloppies = map[byte]int64{1: 1200 << 10, 2: 1440 << 10, 3: 2880 << 10}

// bootCatalog hands out the images that a computer starts from (El Torito 1.0, section 2).
func (i *isoReader) bootCatalog(at int64) {
	const entry, hardDisk = 32, 4
	le := binary.LittleEndian
	catalog := tail(i.data, at)
	if len(catalog) < 2*entry || catalog[0] != 1 {
		i.damaged("boot catalogue")
		return
	}
	for n := 0; len(catalog) >= entry && n < isoVolumes; n++ {
		e := catalog[:entry]
		catalog = catalog[entry:]
		if e[0] != 0x88 && e[0] != 0 || le.Uint32(e[8:]) == 0 {
			continue // no image: a header, an extension
		}
		start := int64(le.Uint32(e[8:])) * isoSector
		size, floppy := isoFloppies[e[1]&0xf]
		image := tail(i.data, start)
		switch {
		case floppy:
		case e[1]&0xf == hardDisk, fatMatch(image):
			size = int64(len(image))
		default:
			size = int64(le.Uint16(e[6:])) * 512
		}
		i.file(imageFile{name: "boot image", extents: []imageExtent{{start, size}}, size: size, doubtful: true})
	}
}
