package unpack

import (
	"encoding/binary"
	"fmt"
	"iter"
	"strconv"
)

// extOpener opens volumes of ext2, ext3 and ext4 (the documentation of Linux,
// "ext4 Data Structures and Algorithms"): files by extents, by block maps, and in
// their inodes. Folders give the names; inodes that no folder has are read as well.
var extOpener = opener{name: "ext", match: extMatch, entries: extEntries}

const (
	extSuper      = 1024 // where the superblock is
	extMagic      = "\x53\xef"
	extRoot       = 2
	extFirst      = 11 // inode that is not the file system's own
	extFolderMode = 0x4000
	extFileMode   = 0x8000
	extModes      = 0xf000
	extDeep       = 5 // levels of a tree of extents

	// Features without which a volume cannot be read (s_feature_incompat).
	extMetaGroups = 0x10
	ext64         = 0x80

	// Flags of an inode.
	extEncrypted = 0x800
	extExtents   = 0x80000
	extInline    = 0x10000000
)

func extMatch(data []byte) bool {
	if len(data) < 2*extSuper || !hasMagic(data, extSuper+56, extMagic) {
		return false
	}
	s := data[extSuper:]
	le := binary.LittleEndian
	return le.Uint32(s[24:]) <= 6 && le.Uint32(s[20:]) <= 1 && le.Uint32(s[32:]) > 0 && le.Uint32(s[40:]) > 0 && le.Uint32(s[0:]) > 0
}

// extReader reads one volume.
type extReader struct {
	*imageReader
	block     int64
	inodeSize int64
	perGroup  uint32 // inodes
	inodes    uint32
	tables    []int64 // of inodes, one for each group, in bytes
	visited   map[uint32]bool
	queue     []extFolder
}

// extFolder is a folder that is to be read.
type extFolder struct {
	path  string
	inode uint32
}

func extEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		x := &extReader{imageReader: newImageReader(f.Data, yield), visited: make(map[uint32]bool)}
		x.super()
		x.node("", extRoot, true)
		for len(x.queue) > 0 && !x.done {
			d := x.queue[0]
			x.queue = x.queue[1:]
			x.directory(d)
		}
		for n := uint32(extFirst); n <= x.inodes && !x.done && x.spend(16); n++ {
			if !x.visited[n] {
				x.node("inode "+strconv.Itoa(int(n)), n, false)
			}
		}
	}
}

// super reads the superblock and the descriptors of the groups.
func (x *extReader) super() {
	le := binary.LittleEndian
	s := x.data[extSuper:]
	x.block = 1024 << le.Uint32(s[24:])
	x.perGroup, x.inodes = le.Uint32(s[40:]), le.Uint32(s[0:])
	x.inodeSize = 128
	if n := int64(le.Uint16(s[88:])); le.Uint32(s[76:]) > 0 && n >= 128 && n <= x.block {
		x.inodeSize = n
	}
	size, features := int64(32), le.Uint32(s[96:])
	if n := int64(le.Uint16(s[254:])); features&ext64 != 0 && n >= 64 && n <= x.block {
		size = n
	}
	if features&extMetaGroups != 0 {
		x.emit(member{}, fmt.Errorf("%w: groups of descriptors of groups", ErrUnsupported))
	}
	descriptors := tail(x.data, (int64(le.Uint32(s[20:]))+1)*x.block)
	for n := x.inodes; n > 0 && int64(len(descriptors)) >= size; n -= min(n, x.perGroup) {
		d := descriptors[:size]
		descriptors = descriptors[size:]
		at := int64(le.Uint32(d[8:]))
		if size >= 64 {
			at |= int64(le.Uint32(d[40:])&0xffff) << 32
		}
		x.tables = append(x.tables, at*x.block)
	}
	if groups := (int64(x.inodes) + int64(x.perGroup) - 1) / int64(x.perGroup); int64(len(x.tables)) < groups {
		x.damaged("descriptors of groups cut short")
		x.inodes = uint32(min(int64(x.inodes), int64(len(x.tables))*int64(x.perGroup)))
	}
}

// inode is where an inode is, and its bytes.
func (x *extReader) inode(n uint32) (at int64, b []byte) {
	if group := (n - 1) / x.perGroup; n > 0 && int64(group) < int64(len(x.tables)) {
		at = x.tables[group] + int64((n-1)%x.perGroup)*x.inodeSize
		if b = tail(x.data, at); int64(len(b)) >= x.inodeSize {
			return at, b[:x.inodeSize]
		}
	}
	return 0, nil
}

// node hands out the file of an inode, or notes that it is a folder; named says
// that a folder has it.
func (x *extReader) node(path string, n uint32, named bool) {
	if x.visited[n] {
		return
	}
	at, b := x.inode(n)
	if b == nil {
		if named {
			x.emit(member{name: path}, errExtInode)
		}
		return
	}
	le := binary.LittleEndian
	mode, flags := le.Uint16(b)&extModes, le.Uint32(b[32:])
	live := named || le.Uint16(b[26:]) > 0 // links
	switch {
	case mode == extFolderMode && named:
		if x.visited[n] = true; x.folder() {
			x.queue = append(x.queue, extFolder{path, n})
		}
	case mode == extFileMode:
		x.visited[n] = named
		list, size := x.extents(at, b)
		if flags&extEncrypted != 0 && size > 0 {
			x.emit(member{name: path}, ErrEncrypted)
		}
		x.file(imageFile{name: path, extents: list, size: size, doubtful: !live})
	}
}

var errExtInode = fmt.Errorf("%w: no inode", ErrDamaged)

// extents is where a file is: its inode is at an offset.
func (x *extReader) extents(at int64, b []byte) (list []imageExtent, size int64) {
	le := binary.LittleEndian
	size = int64(le.Uint32(b[4:])) | int64(le.Uint32(b[108:])&0x7fffffff)<<32
	blocks := b[40:100]
	e := &extLayout{extReader: x, size: size}
	switch flags := le.Uint32(b[32:]); {
	case flags&extInline != 0:
		return x.inline(at, b), size
	case flags&extExtents != 0:
		e.tree(blocks, extDeep)
	default:
		for i := range 12 {
			e.block(le.Uint32(blocks[4*i:]), 0)
		}
		for depth := 1; depth <= 3; depth++ {
			e.block(le.Uint32(blocks[44+4*depth:]), depth)
		}
	}
	if e.at < size && e.sound { // it ends in a hole
		e.add(imageHole, size-e.at)
	}
	return e.list, size
}

// inline is where the bytes of a file are that are in its inode: where the numbers
// of blocks would be, and in the attribute "system.data".
func (x *extReader) inline(at int64, b []byte) []imageExtent {
	le := binary.LittleEndian
	const system, header = 7, 16
	list := []imageExtent{{at + 40, 60}}
	if len(b) < 132 {
		return list
	}
	first := 128 + int(le.Uint16(b[128:])) + 4
	if first > len(b) || !hasMagic(b, first-4, "\x00\x00\x02\xea") {
		return list
	}
	for e := b[first:]; len(e) >= header+4 && e[0] > 0; {
		value, size := int64(first)+int64(le.Uint16(e[2:])), int64(le.Uint32(e[8:]))
		if e[1] == system && hasMagic(e, header, "data") && value+size <= int64(len(b)) {
			return append(list, imageExtent{at + value, size})
		}
		e = tail(e, int64(header+int(e[0])+3)&^3)
	}
	return list
}

// extLayout puts together where a file is.
type extLayout struct {
	*extReader
	size  int64
	at    int64 // in the file: as far as is known
	list  []imageExtent
	sound bool // anything but holes has been found
}

// add adds a piece; neighbours are joined, since each block has an entry of its own.
func (e *extLayout) add(at, size int64) {
	e.at += size
	e.sound = e.sound || at != imageHole
	if last := len(e.list) - 1; last >= 0 {
		l := &e.list[last]
		if at == imageHole && l.at == imageHole || at != imageHole && l.at != imageHole && l.at+l.size == at {
			l.size += size
			return
		}
	}
	e.list = append(e.list, imageExtent{at, size})
}

// block adds a block, or those that it has the numbers of. 0 is a hole.
func (e *extLayout) block(n uint32, depth int) {
	if e.at >= e.size || !e.spend(16) {
		return
	}
	size := e.extReader.block
	if n == 0 {
		for ; depth > 0; depth-- {
			size *= e.extReader.block / 4
		}
		e.add(imageHole, min(size, e.size-e.at))
		return
	}
	at := int64(n) * e.extReader.block
	if depth == 0 {
		e.add(at, size)
		return
	}
	numbers := tail(e.data, at)
	numbers = numbers[:min(int64(len(numbers)), size)]
	for ; len(numbers) >= 4 && e.at < e.size; numbers = numbers[4:] {
		e.block(binary.LittleEndian.Uint32(numbers), depth-1)
	}
}

// tree reads a node of a tree of extents: a header, and entries of the same size.
func (e *extLayout) tree(b []byte, deep int) {
	const entry, unwritten = 12, 1 << 15
	le := binary.LittleEndian
	if len(b) < entry || !hasMagic(b, 0, "\x0a\xf3") || deep < 0 {
		return
	}
	count, leaf := int(le.Uint16(b[2:])), le.Uint16(b[6:]) == 0
	for b = b[entry:]; len(b) >= entry && count > 0 && e.spend(16); count-- {
		n := b[:entry]
		b = b[entry:]
		if !leaf {
			node := tail(e.data, (int64(le.Uint32(n[4:]))|int64(le.Uint16(n[8:]))<<32)*e.extReader.block)
			e.spend(e.extReader.block)
			e.tree(node[:min(int64(len(node)), e.extReader.block)], deep-1)
			continue
		}
		if start := int64(le.Uint32(n)) * e.extReader.block; start > e.at {
			e.add(imageHole, start-e.at)
		}
		length := int64(le.Uint16(n[4:]))
		at := (int64(le.Uint32(n[8:])) | int64(le.Uint16(n[6:]))<<32) * e.extReader.block
		if length > unwritten {
			length, at = length-unwritten, imageHole
		}
		e.add(at, length*e.extReader.block)
	}
}

// directory reads a folder.
func (x *extReader) directory(d extFolder) {
	le := binary.LittleEndian
	at, b := x.inode(d.inode)
	list, size := x.extents(at, b)
	table, short := x.table(list, size)
	if short {
		x.damaged("folder cut short")
	}
	parts := [][]byte{table}
	if le.Uint32(b[32:])&extInline != 0 { // the number of the one it is in stands in front; each part ends for itself
		parts = [][]byte{tail(table[:min(60, len(table))], 4), tail(table, 60)}
	}
	for _, table := range parts {
		for len(table) >= 8 && x.entry() {
			n, step, length := le.Uint32(table), int64(le.Uint16(table[4:])), int64(table[6])
			if step < 8 || step&3 != 0 {
				if step > 0 || n > 0 {
					x.damaged("folder")
				}
				table = tail(table, x.block-int64(len(parts[0])-len(table))%x.block) // none goes beyond its block
				continue
			}
			if name := tail(table[:min(int64(len(table)), 8+length)], 8); n > 0 && string(name) != "." && string(name) != ".." {
				x.node(imagePath(d.path, decodeName(name)), n, true)
			}
			table = tail(table, step)
		}
	}
}
