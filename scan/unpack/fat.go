package unpack

import (
	"bytes"
	"encoding/binary"
	"iter"
	"math/bits"
	"strings"
)

// fatOpener opens volumes of FAT12, FAT16 and FAT32 ("Microsoft FAT Specification",
// 2005, whose section numbers these are) and of exFAT. Where the copies of the
// table differ each of them holds. Files that were deleted are read where nothing
// else has taken their clusters.
var fatOpener = opener{name: "fat", match: fatMatch, entries: fatEntries}

// Attributes of a directory entry (section 6).
const (
	fatVolumeLabel = 0x08
	fatFolder      = 0x10
	fatLongName    = 0x0f
)

const (
	fatEntry   = 32 // bytes of a directory entry
	fatDeleted = 0xe5
	fatCopies  = 4  // of the table that are read
	fatParts   = 20 // entries that a long name takes
	fatStep    = 16 // what it costs to look up a cluster, in bytes that are read
)

func fatMatch(data []byte) bool {
	_, ok := parseFAT(data)
	return ok || exfatMatch(data)
}

func fatEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		r := newImageReader(f.Data, yield)
		if exfatMatch(f.Data) {
			exfatVolume(r)
			return
		}
		p, _ := parseFAT(f.Data)
		for i, table := range p.tables(f.Data) {
			v := &fatReader{imageReader: r, fatParameters: p, doubtful: i > 0, chains: p.chains(table), started: map[fatStart]bool{}}
			v.read()
		}
	}
}

// fatParameters is what the boot sector says (section 3.1).
type fatParameters struct {
	sector, cluster int64 // bytes
	reserved        int64 // bytes in front of the first table
	tableSize       int64 // bytes of each
	copies, active  int
	rootSize        int64 // bytes of the root folder, if it has a place of its own
	rootCluster     uint32
	width           int // bits of an entry of the table
}

// parseFAT reads the boot sector, and checks what Windows checks. One without the
// mark at its end has to have a table that begins as one does.
func parseFAT(data []byte) (p fatParameters, ok bool) {
	if len(data) < 512 || data[0] != 0xeb && data[0] != 0xe9 {
		return p, false
	}
	le := binary.LittleEndian
	sector, perCluster, media := le.Uint16(data[11:]), data[13], data[21]
	if sector < 128 || sector > 4096 || bits.OnesCount16(sector) != 1 || bits.OnesCount8(perCluster) != 1 || media < 0xf8 && media != 0xf0 {
		return p, false
	}
	p = fatParameters{
		sector: int64(sector), cluster: int64(sector) * int64(perCluster),
		reserved: int64(le.Uint16(data[14:])) * int64(sector), copies: int(data[16]),
		rootSize:  (int64(le.Uint16(data[17:]))*fatEntry + int64(sector) - 1) / int64(sector) * int64(sector),
		tableSize: int64(le.Uint16(data[22:])) * int64(sector),
	}
	if p.tableSize == 0 {
		p.tableSize, p.rootCluster = int64(le.Uint32(data[36:]))*p.sector, le.Uint32(data[44:])
		if flags := le.Uint16(data[40:]); flags&0x80 != 0 {
			p.active = int(flags & 0xf)
		}
	}
	marked := hasMagic(data, 510, "\x55\xaa") || hasMagic(data, p.reserved, string([]byte{media, 0xff}))
	if !marked || p.reserved == 0 || p.copies == 0 || p.tableSize == 0 || p.rootSize == 0 && p.rootCluster < 2 {
		return p, false
	}
	p.width = p.kind(data)
	return p, true
}

// kind is the width of the table's entries: the number of clusters decides (section 3.5).
func (p *fatParameters) kind(data []byte) int {
	le := binary.LittleEndian
	sectors := int64(le.Uint16(data[19:]))
	if sectors == 0 {
		sectors = int64(le.Uint32(data[32:]))
	}
	switch clusters := (sectors*p.sector - p.heap()) / p.cluster; {
	case p.rootCluster > 0 && p.rootSize == 0:
		return 32
	case clusters < 4085:
		return 12
	}
	return 16
}

// heap is where the first cluster is.
func (p *fatParameters) heap() int64 { return p.reserved + int64(p.copies)*p.tableSize + p.rootSize }

// tables gives the copies of the table that differ; the one that holds first.
func (p *fatParameters) tables(data []byte) (list [][]byte) {
	for n := range min(p.copies, fatCopies) {
		t := tail(data, p.reserved+int64((n+p.active)%p.copies)*p.tableSize)
		t = t[:min(int64(len(t)), p.tableSize)]
		if len(list) == 0 || len(t) > 0 && !bytes.Equal(t, list[0]) {
			list = append(list, t)
		}
	}
	return list
}

func (p *fatParameters) chains(table []byte) fatChains {
	c := fatChains{table: table, width: p.width, heap: p.heap(), cluster: p.cluster}
	c.end = uint32(min(p.tableSize*8/int64(p.width), 1<<28))
	return c
}

// fatChains is a table and the clusters that it is about.
type fatChains struct {
	table         []byte
	width         int
	heap, cluster int64
	end           uint32 // clusters have smaller numbers; the first is 2
}

// next is what the table has for a cluster: 0 when it is free. ok is false when
// there is no such entry.
func (c *fatChains) next(n uint32) (next uint32, ok bool) {
	at := int64(n) * int64(c.width) / 8
	if at+int64(c.width+7)/8 > int64(len(c.table)) {
		return 0, false
	}
	le := binary.LittleEndian
	switch c.width {
	case 12:
		return uint32(le.Uint16(c.table[at:])) >> (n & 1 * 4) & 0xfff, true
	case 16:
		return uint32(le.Uint16(c.table[at:])), true
	}
	return le.Uint32(c.table[at:]) & 0x0fffffff, true
}

func (c *fatChains) valid(n uint32) bool { return n >= 2 && n < c.end }

// extent is where a row of clusters is.
func (c *fatChains) extent(n uint32, count int64) imageExtent {
	return imageExtent{c.heap + int64(n-2)*c.cluster, count * c.cluster}
}

// clusters is how many clusters a file takes.
func (c *fatChains) clusters(size int64) int64 { return (size + c.cluster - 1) / c.cluster }

// chain gives the clusters from one on, as many as a file of a size takes at most.
// One that has more than there are goes in a ring. whole says that the chain ends
// where the file does.
func (c *fatChains) chain(n uint32, size int64) (list []imageExtent, whole bool) {
	left := min(c.clusters(size), int64(c.end))
	for ; c.valid(n) && left > 0; left-- {
		e := c.extent(n, 1)
		if last := len(list) - 1; last >= 0 && list[last].at+list[last].size == e.at {
			list[last].size += e.size
		} else {
			list = append(list, e)
		}
		n, _ = c.next(n)
	}
	return list, left == 0 && !c.valid(n) && n != 0
}

// free reports whether a row of clusters belongs to no file.
func (c *fatChains) free(n uint32, count int64) bool {
	for ; count > 0; count-- {
		if next, ok := c.next(n); !ok || next != 0 || !c.valid(n) {
			return false
		}
		n++
	}
	return true
}

// fatStart is a file or a folder (size -1) by where it begins.
type fatStart struct {
	cluster uint32
	size    int64
}

// fatReader reads one volume by one of its tables.
type fatReader struct {
	*imageReader
	fatParameters
	chains   fatChains
	doubtful bool // not the table that holds
	started  map[fatStart]bool
	queue    []fatDirectory
}

// fatDirectory is a folder that is to be read.
type fatDirectory struct {
	path    string
	cluster uint32 // 0: the root that has a place of its own
	deleted bool
}

func (v *fatReader) read() {
	if v.rootCluster > 0 {
		v.queue = append(v.queue, fatDirectory{cluster: v.rootCluster})
	}
	if v.rootSize > 0 {
		v.queue = append(v.queue, fatDirectory{})
	}
	for len(v.queue) > 0 && !v.done {
		d := v.queue[0]
		v.queue = v.queue[1:]
		v.directory(d)
	}
}

// new reports whether a file or a folder has not been met yet.
func (v *fatReader) new(cluster uint32, size int64) bool {
	s := fatStart{cluster, size}
	known := v.started[s]
	v.started[s] = true
	return !known
}

// directory reads a folder: its files, and the folders in it.
func (v *fatReader) directory(d fatDirectory) {
	list, size := []imageExtent{{v.heap() - v.rootSize, v.rootSize}}, v.rootSize
	switch {
	case d.cluster > 0 && d.deleted:
		list, size = []imageExtent{v.chains.extent(d.cluster, 1)}, v.cluster
	case d.cluster > 0:
		list, _ = v.chains.chain(d.cluster, imageTable)
		size = 0
		for _, e := range list {
			size += e.size
		}
	}
	table, short := v.table(list, size)
	if (short || len(table) == 0) && !d.deleted && !v.doubtful {
		v.damaged("folder cut short")
	}
	ended := d.deleted
	var name fatNames
	for ; len(table) >= fatEntry && v.entry(); table = table[fatEntry:] {
		e := table[:fatEntry]
		switch {
		case e[11]&0x3f == fatLongName:
			name.part(e)
			continue
		case e[0] == 0: // the end; of what stands behind it programs know nothing
			ended = true
		case e[0] == fatDeleted || ended:
			v.lost(d, e, name.of(e))
		case e[11]&fatVolumeLabel == 0:
			v.live(d, e, name.of(e))
		}
		name = fatNames{}
	}
}

// start is where the file of an entry begins.
func (v *fatReader) start(e []byte) (cluster uint32, size int64) {
	le := binary.LittleEndian
	cluster = uint32(le.Uint16(e[26:]))
	if v.width == 32 {
		cluster |= uint32(le.Uint16(e[20:])&0x0fff) << 16
	}
	return cluster, int64(le.Uint32(e[28:]))
}

// live takes an entry that is in use.
func (v *fatReader) live(d fatDirectory, e []byte, name string) {
	cluster, size := v.start(e)
	switch folder := e[11]&fatFolder != 0; {
	case e[0] == '.' && folder, size == 0 && cluster == 0:
	case folder:
		v.folderAt(d, cluster, name, v.doubtful)
	case v.new(cluster, size):
		list, _ := v.chains.chain(cluster, max(size, v.cluster))
		for _, e := range list {
			v.spend(fatStep * e.size / v.cluster)
		}
		f := imageFile{name: imagePath(d.path, name), extents: list, size: size, doubtful: v.doubtful}
		if size == 0 { // some copy the file all the same
			f.size, f.doubtful = v.cluster, true
		}
		v.file(f)
	}
}

func (v *fatReader) folderAt(d fatDirectory, cluster uint32, name string, deleted bool) {
	if v.new(cluster, -1) && v.folder() {
		v.queue = append(v.queue, fatDirectory{imagePath(d.path, name), cluster, deleted})
	}
}

// lost takes an entry that was deleted, if its clusters are still its own.
func (v *fatReader) lost(d fatDirectory, e []byte, name string) {
	cluster, size := v.start(e)
	first, ok := v.chains.next(cluster)
	if !ok || !v.chains.valid(cluster) || e[11]&0xc0 != 0 || e[0] == '.' {
		return
	}
	if e[11]&fatFolder != 0 {
		// A folder begins with an entry for itself.
		at := v.chains.extent(cluster, 1).at
		if hasMagic(v.data, at, ".          ") && at+fatEntry <= int64(len(v.data)) {
			if self, _ := v.start(v.data[at:]); self == cluster {
				v.folderAt(d, cluster, name, true)
			}
		}
		return
	}
	count := v.chains.clusters(size)
	if size == 0 || size > int64(len(v.data)) || e[11]&fatVolumeLabel != 0 || !v.new(cluster, size) || !v.spend(fatStep*count) {
		return
	}
	list := []imageExtent{v.chains.extent(cluster, count)}
	if whole := v.chains.free(cluster, count); !whole && first != 0 {
		if list, whole = v.chains.chain(cluster, size); !whole {
			return
		}
	} else if !whole {
		return
	}
	v.file(imageFile{name: imagePath(d.path, name), extents: list, size: size, doubtful: true})
}

// fatNames puts a name together.
type fatNames struct {
	long  []byte // UTF-16, little-endian
	sum   byte
	parts int
}

// part takes a piece of a long name: the last stands first (section 7).
func (n *fatNames) part(e []byte) {
	if e[0]&0x40 != 0 && e[0] != fatDeleted || n.parts == fatParts {
		*n = fatNames{}
	}
	n.parts++
	n.sum = e[13]
	n.long = bytes.Join([][]byte{e[1:11], e[14:26], e[28:32], n.long}, nil)
}

// of is the name of an entry: the long one, if it belongs to it.
func (n *fatNames) of(e []byte) string {
	var sum byte
	for _, c := range e[:11] {
		sum = bits.RotateLeft8(sum, -1) + c
	}
	if n.parts > 0 && (sum == n.sum || e[0] == fatDeleted) {
		if name := wideName(n.long); name != "" {
			return name
		}
	}
	return fatShortName(e)
}

// fatShortName is a name of eight letters and three (section 6.1).
func fatShortName(e []byte) string {
	const lowerName, lowerEnding = 0x08, 0x10 // byte 12, of Windows NT
	base, ending := bytes.TrimRight(e[:8], " "), bytes.TrimRight(e[8:11], " ")
	base = bytes.Clone(base)
	switch {
	case len(base) == 0:
	case base[0] == 0x05: // stands for the lead byte that marks deleted ones
		base[0] = fatDeleted
	case base[0] == fatDeleted:
		base[0] = '_'
	}
	name, end := decodeName(base), decodeName(ending)
	if e[12]&lowerName != 0 {
		name = strings.ToLower(name)
	}
	if e[12]&lowerEnding != 0 {
		end = strings.ToLower(end)
	}
	if end == "" {
		return name
	}
	return name + "." + end
}
