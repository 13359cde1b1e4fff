package unpack

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"slices"
)

// ntfsOpener opens volumes of NTFS. Nothing but the table of all files (the MFT) is
// read, in its order: what folders say, and the lists of attributes, is not needed.
// (The format is known from "NTFS Documentation" of the Linux-NTFS project.)
var ntfsOpener = opener{name: "ntfs", match: ntfsMatch, entries: ntfsEntries}

// Types of attributes.
const (
	ntfsFileName = 0x30
	ntfsData     = 0x80
	ntfsReparse  = 0xc0
	ntfsLogged   = 0x100 // of EFS, by the name of $EFS
	ntfsEnd      = 0xffffffff
)

// Flags of an attribute.
const (
	ntfsCompressed = 0x00ff
	ntfsEncrypted  = 0x4000
)

const (
	ntfsRecord   = 1024 // bytes of a record, where the boot sector makes no sense
	ntfsStride   = 512  // bytes that a fixup protects
	ntfsSystem   = 12   // records of the file system's own files
	ntfsRoot     = 5
	ntfsDeep     = 64      // folders within folders that a path shows
	ntfsExtended = 1 << 10 // records that one file takes
	ntfsMaxUnit  = 1 << 20 // bytes that are compressed together
	ntfsInUse    = 1       // flag of a record
	ntfsDOSName  = 2       // the name space of short names

	ntfsReparseWOF   = 0x80000017 // compressed by the system, in a way of its own
	ntfsReparseDedup = 0x80000013 // pieces of it are shared with other files

	ntfsRecordMagic = "FILE"
	ntfsMaxRecord   = 1<<48 - 1 // bits of a reference that are the record's number
	ntfsMaxCluster  = 1<<36 - 1
)

func ntfsMatch(data []byte) bool {
	return len(data) >= 512 && hasMagic(data, 3, "NTFS    ") && ntfsSectorSize(data) > 0
}

// ntfsSectorSize is the size of sectors, 0 if it makes no sense.
func ntfsSectorSize(data []byte) int64 {
	switch n := binary.LittleEndian.Uint16(data[11:]); n {
	case 256, 512, 1024, 2048, 4096:
		return int64(n)
	}
	return 0
}

// ntfsReader reads one volume.
type ntfsReader struct {
	*imageReader
	cluster int64
	record  int64 // bytes of a record of the MFT
	mft     []imageExtent
	ends    []int64             // of the pieces of the MFT, in it
	pieces  map[uint64][]uint64 // the other records of files that take several, by the first
	folders map[uint64]ntfsName
	lost    bool // there is no MFT: all of the volume is searched for records
}

// ntfsName is a name, and the record of the folder that it is in.
type ntfsName struct {
	name   string
	parent uint64
}

func ntfsEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		v := &ntfsReader{imageReader: newImageReader(f.Data, yield), folders: make(map[uint64]ntfsName)}
		v.boot()
		for n := uint64(0); n < v.records() && v.entry(); n++ {
			v.visit(n)
		}
	}
}

// boot reads the boot sector, and finds the MFT.
func (v *ntfsReader) boot() {
	b := v.data
	perCluster := int64(b[13])
	if perCluster > 128 { // a power of two
		perCluster = 1 << min(256-perCluster, 12)
	}
	v.cluster = max(perCluster, 1) * ntfsSectorSize(b)
	v.record = ntfsRecord
	switch n := int8(b[64]); {
	case n > 0 && int64(n)*v.cluster <= 64<<10:
		v.record = int64(n) * v.cluster
	case n < 0 && n >= -16 && n <= -9:
		v.record = 1 << -n
	}
	for _, field := range []int{48, 56} { // the table, or the copy of its beginning
		at := int64(binary.LittleEndian.Uint64(b[field:])&ntfsMaxCluster) * v.cluster
		v.setMFT([]imageExtent{{at, v.record}})
		if first, ok := v.read(0); ok && v.findMFT(first) {
			return
		}
	}
	v.damaged("no table of files")
	v.lost = true
	v.setMFT([]imageExtent{{0, int64(len(v.data))}})
	v.survey()
}

// setMFT says where the MFT is; what of it is in the image.
func (v *ntfsReader) setMFT(list []imageExtent) (whole bool) {
	size, ends := int64(0), int64(0)
	for _, e := range list {
		size += min(e.size, 1<<60-size)
	}
	kept, short := v.clip(list, size)
	v.mft, v.ends = slices.DeleteFunc(kept, func(e imageExtent) bool { return e.at == imageHole }), nil
	for _, e := range v.mft {
		ends += e.size
		v.ends = append(v.ends, ends)
	}
	return !short && len(v.mft) == len(kept)
}

func (v *ntfsReader) records() uint64 {
	if len(v.ends) == 0 {
		return 0
	}
	return uint64(v.ends[len(v.ends)-1] / v.record)
}

// findMFT takes the places of the MFT from its own first record, and from those
// in which that goes on, which are in what is known of it by then.
func (v *ntfsReader) findMFT(first ntfsFile) bool {
	const rounds = 8
	for range rounds {
		whole, known := true, v.records()
		for _, s := range first.streams() {
			if s.name == "" && s.resident == nil && s.first == 0 {
				whole = v.setMFT(s.runs)
				break
			}
		}
		if v.survey(); v.records() <= known {
			if !whole {
				v.damaged("table of files cut short")
			}
			break
		}
		again, ok := v.read(0)
		if !ok {
			break
		}
		first = v.joined(0, again)
	}
	return v.records() > 1
}

// survey finds the records that continue others.
func (v *ntfsReader) survey() {
	v.pieces = make(map[uint64][]uint64)
	header := make([]byte, 48)
	for n := range min(v.records(), imageEntries) {
		if v.fill(header, int64(n)*v.record) && string(header[:4]) == ntfsRecordMagic {
			if base := binary.LittleEndian.Uint64(header[32:]); base != 0 {
				base &= ntfsMaxRecord
				v.pieces[base] = append(v.pieces[base], n)
			}
		}
	}
}

// fill reads what the MFT has at an offset.
func (v *ntfsReader) fill(b []byte, at int64) bool {
	i, _ := slices.BinarySearchFunc(v.ends, at, func(end, at int64) int {
		if end <= at {
			return -1
		}
		return 1
	})
	for ; len(b) > 0 && i < len(v.mft); i++ {
		e := v.mft[i]
		within := at - (v.ends[i] - e.size)
		n := copy(b, v.data[e.at+within:e.at+e.size])
		b, at = b[n:], at+int64(n)
	}
	return len(b) == 0
}

// ntfsFile is a record of the MFT, or all of those of a file.
type ntfsFile struct {
	flags      uint16
	base       uint64 // not 0: a piece of that one
	attributes []ntfsAttribute
	torn       bool // was not written as a whole
}

// ntfsAttribute is an attribute of a file: a stream of its bytes, its name, and so on.
type ntfsAttribute struct {
	kind     uint32
	name     string
	flags    uint16
	resident []byte        // its bytes are in the record; else
	first    int64         // the first of its clusters, that the runs are about
	runs     []imageExtent // where they are
	unit     int64         // bytes that are compressed together
	size     int64
	written  int64 // beyond, it reads as zeros
}

// read reads a record. Its sectors have numbers at their ends that say whether all
// were written; what belongs there stands in front.
func (v *ntfsReader) read(n uint64) (f ntfsFile, ok bool) {
	b := make([]byte, v.record)
	if !v.fill(b, int64(n)*v.record) || string(b[:4]) != ntfsRecordMagic {
		return f, false
	}
	le := binary.LittleEndian
	fixups := tail(b, int64(le.Uint16(b[4:])))
	for i := 1; i < int(le.Uint16(b[6:])) && i*ntfsStride <= len(b) && 2*i+2 <= len(fixups); i++ {
		end := b[i*ntfsStride-2 : i*ntfsStride]
		if !bytes.Equal(end, fixups[:2]) {
			f.torn = true
			break
		}
		copy(end, fixups[2*i:2*i+2])
	}
	f.flags, f.base = le.Uint16(b[22:]), le.Uint64(b[32:])
	for b = tail(b, int64(le.Uint16(b[20:]))); len(b) >= 24 && le.Uint32(b) != ntfsEnd; {
		size := le.Uint32(b[4:])
		if size < 24 || int64(size) > int64(len(b)) {
			f.torn = true
			break
		}
		f.attributes = append(f.attributes, v.attribute(b[:size]))
		b = b[size:]
	}
	return f, true
}

// attribute parses an attribute, of 24 bytes at least.
func (v *ntfsReader) attribute(b []byte) ntfsAttribute {
	le := binary.LittleEndian
	a := ntfsAttribute{kind: le.Uint32(b), flags: le.Uint16(b[12:])}
	name := tail(b, int64(le.Uint16(b[10:])))
	a.name = wideName(name[:min(2*int(b[9]), len(name))])
	if b[8] == 0 {
		content := tail(b, int64(le.Uint16(b[20:])))
		a.resident = content[:min(int64(le.Uint32(b[16:])), int64(len(content)))]
		return a
	}
	if len(b) < 64 {
		return a
	}
	a.first = int64(min(le.Uint64(b[16:]), ntfsMaxCluster))
	a.unit = v.cluster << min(b[34], 31)
	a.size, a.written = int64(min(le.Uint64(b[48:]), 1<<60)), int64(min(le.Uint64(b[56:]), 1<<60))
	a.runs = v.runs(tail(b, int64(le.Uint16(b[32:]))))
	return a
}

// runs reads a list of runs: of each the number of clusters, and how far from the
// last one it begins, in as many bytes as the two halves of a byte say.
func (v *ntfsReader) runs(b []byte) (list []imageExtent) {
	at := int64(0)
	for len(b) > 0 && b[0] != 0 {
		width, offset := int(b[0]&0xf), int(b[0]>>4)
		if width == 0 || width > 8 || offset > 8 || 1+width+offset > len(b) {
			return list
		}
		count := ntfsNumber(b[1 : 1+width])
		step := ntfsNumber(b[1+width : 1+width+offset])
		b = b[1+width+offset:]
		e := imageExtent{imageHole, count * v.cluster}
		if offset > 0 {
			at += step
			e.at = at * v.cluster
		}
		if count <= 0 || count > ntfsMaxCluster || at < 0 || at > ntfsMaxCluster {
			return list
		}
		list = append(list, e)
	}
	return list
}

// ntfsNumber is a number with a sign.
func ntfsNumber(b []byte) (n int64) {
	for i := len(b) - 1; i >= 0; i-- {
		n = n<<8 | int64(b[i])
	}
	if shift := 64 - 8*len(b); len(b) > 0 {
		n = n << shift >> shift
	}
	return n
}

// joined adds what is in the other records of a file.
func (v *ntfsReader) joined(n uint64, f ntfsFile) ntfsFile {
	pieces := v.pieces[n]
	for _, piece := range pieces[:min(len(pieces), ntfsExtended)] {
		if more, ok := v.read(piece); ok && piece != n {
			f.attributes = append(f.attributes, more.attributes...)
			f.torn = f.torn || more.torn
		}
	}
	return f
}

// streams gives the streams of a file's bytes, each with all its runs.
func (f ntfsFile) streams() (list []ntfsAttribute) {
	parts := slices.DeleteFunc(slices.Clone(f.attributes), func(a ntfsAttribute) bool { return a.kind != ntfsData })
	slices.SortStableFunc(parts, func(a, b ntfsAttribute) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.first, b.first))
	})
	for _, a := range parts {
		last := len(list) - 1
		if a.first == 0 || last < 0 || list[last].name != a.name || list[last].resident != nil {
			list = append(list, a)
			continue
		}
		list[last].runs = append(list[last].runs, a.runs...)
	}
	return list
}

// visit hands out the streams of a file.
func (v *ntfsReader) visit(n uint64) {
	f, ok := v.read(n)
	if !ok {
		header := make([]byte, 4)
		if v.fill(header, int64(n)*v.record); !zeros(header) && !v.lost {
			v.damaged("record of a file")
		}
		return
	}
	if f.base != 0 || n < ntfsSystem && !v.lost {
		return
	}
	f = v.joined(n, f)
	path := v.path(f)
	deleted := f.flags&ntfsInUse == 0
	if f.torn && !deleted {
		v.emit(member{name: path}, errNTFSRecord)
	}
	for _, s := range f.streams() {
		name := path
		if s.name != "" {
			name = cutName(path + ":" + s.name)
		}
		v.stream(name, s, deleted)
		if s.flags&ntfsEncrypted != 0 && !deleted && f.has(ntfsLogged) {
			v.emit(member{name: name}, fmt.Errorf("%w by EFS", ErrEncrypted))
		}
	}
	if tag := f.reparse(); tag == ntfsReparseWOF || tag == ntfsReparseDedup {
		v.emit(member{name: path}, fmt.Errorf("%w: file that is stored in a way of its own", ErrUnsupported))
	}
}

var errNTFSRecord = fmt.Errorf("%w: record of a file", ErrDamaged)

// has reports whether a file has an attribute of a kind.
func (f ntfsFile) has(kind uint32) bool {
	return slices.ContainsFunc(f.attributes, func(a ntfsAttribute) bool { return a.kind == kind })
}

// reparse is the tag that says who else has to do with a file; 0 if nobody has.
func (f ntfsFile) reparse() uint32 {
	for _, a := range f.attributes {
		if a.kind == ntfsReparse && len(a.resident) >= 4 {
			return binary.LittleEndian.Uint32(a.resident)
		}
	}
	return 0
}

// stream hands out one stream.
func (v *ntfsReader) stream(name string, s ntfsAttribute, deleted bool) {
	if s.resident != nil {
		if len(s.resident) > 0 {
			v.emit(member{name: name, data: s.resident}, nil)
		}
		return
	}
	f := imageFile{name: name, extents: s.runs, size: s.size, doubtful: deleted}
	compressed := s.flags&ntfsCompressed != 0 && s.unit > v.cluster
	if compressed {
		if s.unit > ntfsMaxUnit {
			v.emit(member{name: name}, &LimitError{"memory"})
			return
		}
		v.packed(f, s)
		return
	}
	if s.written < s.size {
		f.extents, _ = v.clip(s.runs, s.written)
		f.extents = append(f.extents, imageExtent{imageHole, s.size - s.written})
	}
	v.file(f)
}

// packed hands out a stream that is compressed.
func (v *ntfsReader) packed(f imageFile, s ntfsAttribute) {
	f.size = 0
	for _, e := range s.runs {
		f.size += min(e.size, 1<<60-f.size)
	}
	f.unpack = func(list []imageExtent) io.Reader {
		return &ntfsUnits{in: imageBody{data: v.data, list: list, end: io.EOF}, unit: int(s.unit), left: s.size}
	}
	v.file(f)
}

// name is a file's name, the long one if it has two, and the folder that it is in.
func (f ntfsFile) name() (n ntfsName) {
	for _, a := range f.attributes {
		b := a.resident
		if a.kind != ntfsFileName || len(b) < 66 || n.name != "" && b[65] == ntfsDOSName {
			continue
		}
		n = ntfsName{wideName(b[66:min(66+2*int(b[64]), len(b))]), binary.LittleEndian.Uint64(b) & ntfsMaxRecord}
		if b[65] != ntfsDOSName {
			break
		}
	}
	return n
}

// path is a file's name with those of the folders that it is in.
func (v *ntfsReader) path(f ntfsFile) string {
	n := f.name()
	path := n.name
	for range ntfsDeep {
		parent := n.parent
		if parent == ntfsRoot || v.lost || len(path) > maxName {
			break
		}
		var known bool
		if n, known = v.folders[parent]; !known && len(v.folders) < imageFolders {
			if folder, ok := v.read(parent); ok {
				n = v.joined(parent, folder).name()
			}
			v.folders[parent] = n
		}
		if n.name == "" {
			break
		}
		path = n.name + "/" + path
	}
	if path == "" {
		return "-"
	}
	return cutName(path)
}
