package unpack

import (
	"encoding/binary"
)

// exFAT ("exFAT file system specification", 2019, whose section numbers these are).

const exfatMagic = "\xeb\x76\x90EXFAT   "

// Types of directory entries without the bit that says they are in use (section 6.2.1).
const (
	exfatInUse  = 0x80
	exfatFile   = 0x05
	exfatStream = 0x40
	exfatName   = 0x41
)

func exfatMatch(data []byte) bool {
	return hasMagic(data, 0, exfatMagic) && len(data) >= 512 && data[108] >= 9 && data[108] <= 12 && data[109] <= 25-data[108]
}

// exfatReader reads one volume.
type exfatReader struct {
	*imageReader
	chains  fatChains
	visited map[uint32]bool
	queue   []exfatItem
}

// exfatItem is a file or a folder: what the entries of it say (sections 7.4, 7.6).
type exfatItem struct {
	name          string
	path          string // of the folder that it is in
	attributes    uint16
	row           bool // in one piece, whatever the table says
	cluster       uint32
	size, written int64 // beyond what was written it reads as zeros
	deleted       bool
}

// exfatVolume reads the volume that an image is.
func exfatVolume(r *imageReader) {
	le := binary.LittleEndian
	boot, shift := r.data, r.data[108]
	at := int64(le.Uint32(boot[80:])) << shift
	size := int64(le.Uint32(boot[84:])) << shift
	table := tail(r.data, at)
	x := &exfatReader{imageReader: r, visited: map[uint32]bool{}}
	x.chains = fatChains{
		table: table[:min(int64(len(table)), size)], width: 32,
		heap: int64(le.Uint32(boot[88:])) << shift, cluster: 1 << (shift + boot[109]), end: le.Uint32(boot[92:]) + 2,
	}
	x.queue = []exfatItem{{cluster: le.Uint32(boot[96:]), size: imageTable, attributes: fatFolder}}
	for len(x.queue) > 0 && !x.done {
		d := x.queue[0]
		x.queue = x.queue[1:]
		x.directory(d)
	}
}

// extents is where a file is.
func (x *exfatReader) extents(d exfatItem) []imageExtent {
	if d.row && x.chains.valid(d.cluster) {
		return []imageExtent{x.chains.extent(d.cluster, x.chains.clusters(d.size))}
	}
	list, _ := x.chains.chain(d.cluster, d.size)
	return list
}

// directory reads a folder.
func (x *exfatReader) directory(d exfatItem) {
	list := x.extents(d)
	if d.path == "" && d.name == "" { // nothing says how long the root is
		d.size = 0
		for _, e := range list {
			d.size += e.size
		}
	}
	table, short := x.table(list, d.size)
	if (short || len(table) == 0) && !d.deleted {
		x.damaged("folder cut short")
	}
	var item *exfatItem
	var name []byte
	path := imagePath(d.path, d.name)
	for ; len(table) >= fatEntry && x.entry(); table = table[fatEntry:] {
		e := table[:fatEntry]
		switch kind := e[0] &^ exfatInUse; {
		case kind == exfatFile:
			x.add(item, name)
			item, name = &exfatItem{path: path, attributes: binary.LittleEndian.Uint16(e[4:]), deleted: e[0] == kind}, nil
		case kind == exfatStream && item != nil:
			item.stream(e)
		case kind == exfatName && item != nil && len(name) < 2*maxName:
			name = append(name, e[2:]...)
		}
	}
	x.add(item, name)
}

// stream takes what a stream extension entry says.
func (d *exfatItem) stream(e []byte) {
	le := binary.LittleEndian
	const noChain = 1 << 1
	d.row = e[1]&noChain != 0
	d.written, d.size = int64(le.Uint64(e[8:])), int64(le.Uint64(e[24:]))
	d.cluster = le.Uint32(e[20:])
}

// add takes a file or a folder all entries of which have been read.
func (x *exfatReader) add(d *exfatItem, name []byte) {
	if d == nil || d.cluster == 0 && d.size == 0 || x.done {
		return
	}
	d.name = wideName(name)
	if d.size < 0 || d.size > int64(x.chains.end)*x.chains.cluster {
		if !d.deleted {
			x.damaged("size of a file")
		}
		d.size = int64(x.chains.end) * x.chains.cluster
	}
	if d.attributes&fatFolder != 0 {
		if !x.visited[d.cluster] && x.folder() {
			x.visited[d.cluster] = true
			x.queue = append(x.queue, *d)
		}
		return
	}
	if !d.row && !x.spend(fatStep*min(x.chains.clusters(d.size), int64(len(x.chains.table)/4))) {
		return
	}
	f := imageFile{name: imagePath(d.path, d.name), extents: x.extents(*d), size: d.size, doubtful: d.deleted}
	x.file(f)
	if d.written > 0 && d.written < d.size {
		f.size, f.doubtful = d.written, true
		x.file(f)
	}
}
