package unpack

import (
	"encoding/binary"
	"fmt"
	"iter"
	"strings"
	"unicode/utf16"

	"golang.org/x/text/unicode/norm"
)

// hfsOpener opens volumes of HFS Plus and HFSX (Apple's Technical Note TN1150), also
// those in a wrapper of HFS. All leaves of the catalogue are read, whatever the tree
// over them says; each fork of a file is a member.
var hfsOpener = opener{name: "hfsplus", match: hfsMatch, entries: hfsEntries}

const (
	hfsHeader  = 1024 // where the volume header is
	hfsWrapper = "BD"

	hfsNode   = 14 // bytes of a node's descriptor
	hfsLeaf   = 0xff
	hfsFork   = 80 // bytes of a fork's description
	hfsRuns   = 8  // pieces that it has room for
	hfsRoot   = 2  // identifier of the root
	hfsDeep   = 64 // folders within folders that a path shows
	hfsFolder = 1
	hfsFile   = 2

	hfsResource   = 0xff // kind of a fork
	hfsCompressed = 0x20 // flag of the owner: the bytes are in an attribute, or in the resource fork
)

func hfsMatch(data []byte) bool { return hfsStart(data) >= 0 }

// hfsStart is where the volume begins; -1 where there is none.
func hfsStart(data []byte) int64 {
	switch {
	case isHFSHeader(data):
		return 0
	case hasMagic(data, hfsHeader, hfsWrapper) && hasMagic(data, hfsHeader+124, "H+") && len(data) >= hfsHeader+162:
		be := binary.BigEndian
		b := data[hfsHeader:]
		at := int64(be.Uint16(b[28:]))*512 + int64(be.Uint16(b[126:]))*int64(be.Uint32(b[20:]))
		if isHFSHeader(tail(data, at)) {
			return at
		}
	}
	return -1
}

// isHFSHeader reports whether data have a volume header that makes sense.
func isHFSHeader(data []byte) bool {
	if len(data) < hfsHeader+512 || !hasMagic(data, hfsHeader, "H+\x00\x04") && !hasMagic(data, hfsHeader, "HX\x00\x05") {
		return false
	}
	block := binary.BigEndian.Uint32(data[hfsHeader+40:])
	return block >= 512 && block <= 1<<20 && block&(block-1) == 0
}

// hfsReader reads one volume.
type hfsReader struct {
	*imageReader
	block    int64
	overflow map[hfsForkKey][]imageExtent // pieces for which there is no room in the catalogue
	folders  map[uint32]hfsPlace
}

// hfsForkKey is a fork of a file.
type hfsForkKey struct {
	file uint32
	kind byte
}

// hfsPlace is the name of something, and the folder that it is in.
type hfsPlace struct {
	parent uint32
	name   string
}

func hfsEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		data := tail(f.Data, max(hfsStart(f.Data), 0))
		h := &hfsReader{imageReader: newImageReader(data, yield), overflow: make(map[hfsForkKey][]imageExtent), folders: make(map[uint32]hfsPlace)}
		b := data[hfsHeader:]
		h.block = int64(binary.BigEndian.Uint32(b[40:]))
		h.leaves("extents", b[192:], hfsForkKey{3, 0}, h.extentRecord)
		const catalogue = "catalogue"
		h.leaves(catalogue, b[272:], hfsForkKey{4, 0}, h.folderRecord)
		h.leaves(catalogue, b[272:], hfsForkKey{4, 0}, h.fileRecord)
	}
}

// runs reads the pieces of a fork: blocks, and how many.
func (h *hfsReader) runs(b []byte) (list []imageExtent) {
	be := binary.BigEndian
	for ; len(b) >= 8; b = b[8:] {
		if count := int64(be.Uint32(b[4:])); count > 0 {
			list = append(list, imageExtent{int64(be.Uint32(b)) * h.block, count * h.block})
		}
	}
	return list
}

// fork is where a fork is, and its size.
func (h *hfsReader) fork(b []byte, key hfsForkKey) (list []imageExtent, size int64) {
	size = int64(min(binary.BigEndian.Uint64(b), 1<<62))
	h.spend(16 * int64(len(h.overflow[key])))
	return append(h.runs(b[16:hfsFork]), h.overflow[key]...), size
}

// leaves calls visit for each record in the leaves of a tree: its key, and what is
// behind that.
func (h *hfsReader) leaves(what string, fork []byte, id hfsForkKey, visit func(key, record []byte)) {
	list, size := h.fork(fork, id)
	tree, short := h.table(list, size)
	if short || len(tree) < 512 && size > 0 {
		h.damaged(what + " cut short")
	}
	if len(tree) < 512 {
		return
	}
	be := binary.BigEndian
	step := int(be.Uint16(tree[hfsNode+18:]))
	if step < 512 || step&(step-1) != 0 {
		h.damaged(what)
		// The last two bytes of a node say where its first record is.
		for step = 512; step < 32<<10 && step < len(tree) && be.Uint16(tree[step-2:]) != hfsNode; step *= 2 {
		}
	}
	for ; len(tree) >= step; tree = tree[step:] {
		node := tree[:step]
		if node[8] != hfsLeaf {
			continue
		}
		for i := range min(int(be.Uint16(node[10:])), step/2-hfsNode) {
			at := int(be.Uint16(node[step-2*i-2:]))
			if !h.entry() {
				return
			}
			if at < hfsNode || at+2 > step {
				h.damaged(what)
				break
			}
			end := at + 2 + int(be.Uint16(node[at:]))
			if end += end & 1; end < step {
				visit(node[at+2:end], node[end:])
			}
		}
	}
}

// extentRecord takes pieces that are not in the catalogue.
func (h *hfsReader) extentRecord(key, record []byte) {
	if len(key) < 10 || len(record) < 8*hfsRuns {
		return
	}
	k := hfsForkKey{binary.BigEndian.Uint32(key[2:]), key[0]}
	h.overflow[k] = append(h.overflow[k], h.runs(record[:8*hfsRuns])...)
}

// hfsKey is what a key of the catalogue says.
func hfsKey(key []byte) (p hfsPlace, ok bool) {
	be := binary.BigEndian
	if len(key) < 6 {
		return p, false
	}
	var units []uint16
	for b := key[6:min(len(key), 6+2*int(be.Uint16(key[4:])))]; len(b) >= 2; b = b[2:] {
		units = append(units, be.Uint16(b))
	}
	name := strings.ReplaceAll(string(utf16.Decode(units)), "/", ":") // as it is shown
	return hfsPlace{be.Uint32(key), norm.NFC.String(name)}, true
}

// folderRecord takes the record of a folder.
func (h *hfsReader) folderRecord(key, record []byte) {
	be := binary.BigEndian
	if p, ok := hfsKey(key); ok && len(record) >= 12 && be.Uint16(record) == hfsFolder && h.folder() {
		h.folders[be.Uint32(record[8:])] = p
	}
}

// fileRecord hands out the forks of a file.
func (h *hfsReader) fileRecord(key, record []byte) {
	be := binary.BigEndian
	p, ok := hfsKey(key)
	if !ok || len(record) < 88+2*hfsFork || be.Uint16(record) != hfsFile {
		return
	}
	path, id := h.path(p), be.Uint32(record[8:])
	list, size := h.fork(record[88:], hfsForkKey{id, 0})
	h.file(imageFile{name: path, extents: list, size: size})
	if record[41]&hfsCompressed != 0 && size == 0 {
		h.emit(member{name: path}, fmt.Errorf("%w: compressed by the file system", ErrUnsupported))
	}
	list, size = h.fork(record[88+hfsFork:], hfsForkKey{id, hfsResource})
	h.file(imageFile{name: path + resourceFork, extents: list, size: size})
}

// path is a name with those of the folders that it is in.
func (h *hfsReader) path(p hfsPlace) string {
	names := []string{p.name}
	for range hfsDeep {
		folder, ok := h.folders[p.parent]
		if !ok || p.parent == hfsRoot {
			break
		}
		names = append([]string{folder.name}, names...)
		p = folder
	}
	return cutName(strings.Join(names, "/"))
}
