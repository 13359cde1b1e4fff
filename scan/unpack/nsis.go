package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"slices"
)

// nsisOpener opens installers of NSIS, the Nullsoft Scriptable Install System, and
// the uninstallers in them: solid or not, packed by deflate, bzip2 or LZMA. The
// program that stands in front looks for their first header at every 512 bytes of
// itself (exehead/fileform.c of NSIS). The compiled script is a member as well: it
// holds what is run, and from where things are loaded.
var nsisOpener = opener{name: "nsis", match: nsisMatch, entries: nsisEntries}

const (
	nsisAlign     = 512
	nsisFirstSize = 28
	nsisMagic     = "\xef\xbe\xad\xdeNullsoftInst" // behind the flags; version 1 has a capital S

	nsisNoCRC  = 1 << 2  // of the flags: no checksum behind the data
	nsisPacked = 1 << 31 // of the length of an item: its bytes are compressed

	// maxNSISHeaders bounds the first headers of one file: the program takes the first.
	maxNSISHeaders = 4

	// maxNSISScript bounds how much of a script is looked through for names, and for
	// items that are not where one item follows the other.
	maxNSISScript = 8 << 20
)

func nsisMatch(data []byte) bool {
	for range nsisStarts(data) {
		return true
	}
	return false
}

// nsisStarts yields the offsets of first headers.
func nsisStarts(data []byte) iter.Seq[int] {
	return func(yield func(int) bool) {
		program := bytes.HasPrefix(data, []byte("MZ"))
		for at := 0; at+nsisFirstSize <= len(data); at += nsisAlign {
			if isNSIS(data[at:]) && !yield(at) || !program {
				return
			}
		}
	}
}

func isNSIS(b []byte) bool {
	magic := b[4:][:len(nsisMagic)]
	return magic[0] == nsisMagic[0] && (string(magic) == nsisMagic || string(magic) == nsisMagic[:8]+"S"+nsisMagic[9:])
}

func nsisEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		headers := 0
		for at := range nsisStarts(f.Data) {
			if headers++; headers > maxNSISHeaders {
				yield(member{}, &LimitError{"overlap"})
				return
			}
			n := newNSIS(f.Data[at:], f.memory, yield)
			if n.read(); n.done {
				return
			}
		}
	}
}

// nsisReader reads what stands behind one first header.
type nsisReader struct {
	data   []byte // from the first header on
	end    int    // of the items
	header int    // the length of the unpacked script
	memory *memory
	yield  func(member, error) bool
	done   bool
	cut    bool

	method nsisMethod
	script *nsisScript
	items  int
	seen   map[uint32]bool // where items have been read, counted from the end of the script
}

func newNSIS(data []byte, m *memory, yield func(member, error) bool) *nsisReader {
	le := binary.LittleEndian
	n := &nsisReader{data: data, memory: m, yield: yield, script: &nsisScript{}, seen: make(map[uint32]bool)}
	n.header = int(le.Uint32(data[20:]))
	all := int(le.Uint32(data[24:]))
	if n.cut = all > len(data); n.cut || all < nsisFirstSize {
		all = len(data)
	} else if le.Uint32(data)&nsisNoCRC == 0 {
		all = max(all-4, nsisFirstSize)
	}
	n.end = all
	return n
}

// emit hands out a member, or what is wrong with it.
func (n *nsisReader) emit(m member, err error) {
	if !n.done {
		n.done = !n.yield(m, err)
	}
}

func (n *nsisReader) damaged(what string) {
	n.emit(member{}, fmt.Errorf("%w: %s", ErrDamaged, what))
}

// read reads the script and the items. Nothing says how they are packed: the first
// bytes have to show it. In a solid archive the unpacked bytes begin with the length
// of the script.
func (n *nsisReader) read() {
	body := n.data[nsisFirstSize:n.end]
	if len(body) < 4 {
		n.damaged("cut short")
		return
	}
	size := binary.LittleEndian.Uint32(body)
	n.method = nsisMethodOf(body)
	switch stated := int(size &^ nsisPacked); {
	case size&nsisPacked == 0 && stated == n.header:
		n.apart(nsisUnknown)
	case n.beginsSolid():
		n.solid()
	case size&nsisPacked != 0 && (stated <= len(body)-4 || n.cut && size>>24 == nsisPacked>>24):
		n.apart(nsisMethodOf(body[4:]))
	default:
		n.solid()
	}
	if n.cut {
		n.damaged("cut short")
	}
}

// beginsSolid reports whether everything is one stream.
func (n *nsisReader) beginsSolid() bool {
	r := n.stream()
	defer r.release()
	var length [4]byte
	_, err := io.ReadFull(r, length[:])
	return err == nil && int(binary.LittleEndian.Uint32(length[:])) == n.header
}

// apart reads items each of which is packed by itself.
func (n *nsisReader) apart(method nsisMethod) {
	n.method = method
	script := n.item(nsisFirstSize)
	n.hand("script", script, n.script)
	base := script.end
	for at := base; at+4 <= n.end && !n.done; {
		i := n.item(at)
		n.next(uint32(at-base), i)
		at = i.end
	}
	n.elsewhere(base)
}

// nsisItem is an item that is packed by itself.
type nsisItem struct {
	bytes  []byte
	packed bool
	cut    bool
	end    int
}

// item gives the item whose length stands at an offset.
func (n *nsisReader) item(at int) nsisItem {
	size := binary.LittleEndian.Uint32(n.data[at:])
	i := nsisItem{packed: size&nsisPacked != 0}
	body := at + 4
	length := int(size &^ nsisPacked)
	i.cut = length > len(n.data)-body
	i.end = body + min(length, len(n.data)-body)
	i.bytes = n.data[body:i.end:i.end]
	return i
}

// next hands out the item that stands at some place behind the script.
func (n *nsisReader) next(at uint32, i nsisItem) {
	n.seen[at] = true
	n.hand(n.name(at), i, nil)
}

// name gives the name of the item at some place.
func (n *nsisReader) name(at uint32) string {
	n.items++
	if name := n.script.names[at]; name != "" {
		return name
	}
	return fmt.Sprintf("file %d", n.items)
}

// hand hands out an item. What keep is given sees its bytes.
func (n *nsisReader) hand(name string, i nsisItem, keep *nsisScript) {
	m := member{name: name}
	var r nsisStream
	if i.packed {
		method := n.method
		if method == nsisUnknown {
			method = nsisMethodOf(i.bytes)
		}
		r = method.open(i.bytes, n.memory)
		m.body = r
	} else if keep != nil {
		m.body = bytes.NewReader(i.bytes)
	} else {
		m.data = i.bytes
	}
	if keep != nil {
		m.body = io.TeeReader(m.body, keep)
	}
	var problem error
	if i.cut {
		problem = errShort
	}
	n.emit(m, problem)
	r.release()
	if keep != nil {
		keep.parse()
	}
}

// elsewhere hands out what the script has unpacked from places where no item was
// met, one item following the other.
func (n *nsisReader) elsewhere(base int) {
	left := int64(lzOverlap * len(n.data))
	for _, at := range n.missed() {
		if n.done {
			return
		}
		if int64(base)+int64(at)+4 > int64(len(n.data)) {
			n.emit(member{name: n.name(at)}, errShort)
			continue
		}
		i := n.item(base + int(at))
		if left -= int64(len(i.bytes)) + 4; left < 0 {
			n.emit(member{}, &LimitError{"overlap"})
			return
		}
		n.next(at, i)
	}
}

// missed gives the places that the script names and that have not been read.
func (n *nsisReader) missed() (places []uint32) {
	for at := range n.script.names {
		if !n.seen[at] {
			places = append(places, at)
		}
	}
	slices.Sort(places)
	return places
}

// stream unpacks what is behind the first header as one stream.
func (n *nsisReader) stream() nsisStream {
	return n.method.open(n.data[nsisFirstSize:n.end], n.memory)
}

// solid reads items that are packed together.
func (n *nsisReader) solid() {
	r := &nsisSolid{nsisStream: n.stream()}
	defer r.release()
	length, ok := r.length()
	if !ok {
		n.damaged("cut short, or packed in an unknown way")
		return
	}
	if int(length) < n.header {
		n.damaged("length of the script")
	}
	// The program reads no more of the script than the first header says.
	script := &nsisPiece{r: r, left: int64(min(int(length), n.header))}
	n.emit(member{name: "script", body: io.TeeReader(script, n.script), size: script.left}, nil)
	n.script.parse()
	base := r.at
	for !n.done && r.err == nil {
		at := uint32(r.at - base)
		length, ok := r.length()
		if !ok {
			break
		}
		n.piece(at, r, length)
	}
	if r.err != nil && r.err != io.EOF && !r.told {
		n.emit(member{}, r.err)
	}
	n.again(base)
}

// piece hands out the next item of a solid archive, whose length has been read.
func (n *nsisReader) piece(at uint32, r *nsisSolid, length uint32) {
	n.seen[at] = true
	p := &nsisPiece{r: r, left: int64(length &^ nsisPacked)}
	n.emit(member{name: n.name(at), body: p, size: p.left}, nil)
}

// maxNSISAgain bounds how often a solid archive is unpacked for the sake of items
// that lie over one another, and maxNSISSkip how much is passed over.
const (
	maxNSISAgain = 4
	maxNSISSkip  = 1 << 30
)

// again is elsewhere for solid archives: it unpacks them once more.
func (n *nsisReader) again(base int64) {
	skip := int64(maxNSISSkip)
	for range maxNSISAgain {
		missed := n.missed()
		if len(missed) == 0 || n.done {
			return
		}
		r := &nsisSolid{nsisStream: n.stream()}
		for _, at := range missed {
			to := base + int64(at)
			if to < r.at || n.done {
				continue // the next time
			}
			if skip -= r.skip(min(to-r.at, skip)); r.err == nil && r.at < to {
				r.release()
				n.emit(member{}, &LimitError{"overlap"})
				return
			}
			length, ok := r.length()
			if !ok {
				n.seen[at] = true
				n.emit(member{name: n.name(at)}, errShort)
				continue
			}
			n.piece(at, r, length)
		}
		r.release()
	}
	if len(n.missed()) > 0 {
		n.emit(member{}, &LimitError{"overlap"})
	}
}

// nsisSolid is the stream of a solid archive.
type nsisSolid struct {
	nsisStream
	at   int64 // how much has been read
	err  error // io.EOF behind the last item
	told bool  // an item came with err
}

// length reads the length of an item. ok is false where there is none.
func (r *nsisSolid) length() (v uint32, ok bool) {
	if r.err != nil {
		return 0, false
	}
	var b [4]byte
	n, err := io.ReadFull(r.nsisStream, b[:])
	r.at += int64(n)
	if err == io.ErrUnexpectedEOF {
		err = errShort
	}
	r.err = err
	return binary.LittleEndian.Uint32(b[:]), err == nil
}

// skip passes over n bytes, if there are as many.
func (r *nsisSolid) skip(n int64) (skipped int64) {
	if r.err == nil {
		skipped, r.err = io.CopyN(io.Discard, r.nsisStream, n)
		r.at += skipped
	}
	return skipped
}

// nsisPiece is one item of a solid archive.
type nsisPiece struct {
	r    *nsisSolid
	left int64
}

// Read implements io.Reader.
func (p *nsisPiece) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	if p.r.err != nil {
		p.r.told = true
		return 0, shortage(p.r.err)
	}
	n, err := p.r.nsisStream.Read(b[:min(int64(len(b)), p.left)])
	p.left -= int64(n)
	p.r.at += int64(n)
	if p.r.err = err; err != nil && p.left > 0 {
		p.r.told = true
		return n, shortage(err)
	}
	return n, nil
}
