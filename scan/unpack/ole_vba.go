package unpack

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
)

// Macros: a project of VBA is a storage with the stream "dir", which lists the
// modules, and one stream for each of them (MS-OVBA, whose section numbers these
// are). A module's stream begins with code for one version of Office; behind it,
// compressed, is the source.

const (
	// vbaSource is how the source of every module begins in compressed form: eight
	// characters, the flags of the next eight, and on.
	vbaSource = "\x00Attribut\x00e "

	vbaContainer = 1 // section 2.4.1.1.1: how a compressed container begins
	vbaChunk     = 4096

	// vbaMaxDir bounds the unpacked list of modules.
	vbaMaxDir = 4 << 20

	// vbaMaxModules is how many modules one project has at most: more than any
	// editor holds.
	vbaMaxModules = 10_000
)

// Records of the list (section 2.3.4.2).
const (
	vbaCodePage      = 0x0003
	vbaVersion       = 0x0009 // its size is not its size
	vbaModuleName    = 0x0019
	vbaStreamName    = 0x001a
	vbaModuleEnd     = 0x002b
	vbaModuleOffset  = 0x0031
	vbaStreamUnicode = 0x0032
	vbaNameUnicode   = 0x0047
)

// vbaModule is what the list tells of a module.
type vbaModule struct {
	name    string
	streams []string // by these names
	offset  int64    // of the source
	placed  bool     // there is an offset
}

// project hands out the macros of a storage.
func (r *oleReader) project(storage int) {
	dir := r.child(storage, "dir")
	if dir == nil || r.projects[storage] {
		return
	}
	r.projects[storage] = true
	s := r.open(dir)
	if !bytes.HasPrefix(s.head(1), []byte{vbaContainer}) {
		return
	}
	r.spend(s.size)
	list, _ := io.ReadAll(io.LimitReader(newVBAReader(s, 0), vbaMaxDir)) // what there is of it
	modules := parseVBADir(list)
	for _, m := range modules {
		if !r.done {
			r.listed(storage, m)
		}
	}
	for _, e := range r.streams(storage) {
		if !r.done {
			r.sources(plainName(e.name), r.open(e))
		}
	}
	if len(modules) == 0 && r.child(storage, "_VBA_PROJECT") != nil {
		r.emit(member{}, fmt.Errorf("%w: macros: no list of modules", ErrDamaged))
	}
}

// parseVBADir reads the list of modules. In this format lengths stand where lengths are
// expected, but for the one of the version.
func parseVBADir(list []byte) (modules []vbaModule) {
	le, page := binary.LittleEndian, uint32(0)
	m := vbaModule{}
	end := func() {
		if m.name != "" || len(m.streams) > 0 {
			modules = append(modules, m)
		}
		m = vbaModule{}
	}
	for len(list) >= 6 && len(modules) < vbaMaxModules {
		id, size := le.Uint16(list), int64(le.Uint32(list[2:]))
		if id == vbaVersion {
			size = 6 // section 2.3.4.2.1.11
		}
		list = list[6:]
		value := list[:min(size, int64(len(list)))]
		list = list[len(value):]
		switch {
		case id == vbaCodePage && len(value) >= 2:
			page = uint32(le.Uint16(value))
		case id == vbaModuleName:
			end()
			m.name = decodePage(value, page)
		case id == vbaNameUnicode:
			m.name = wideName(value)
		case id == vbaStreamName:
			m.streams = append(m.streams, decodePage(value, page))
		case id == vbaStreamUnicode:
			m.streams = append(m.streams, wideName(value))
		case id == vbaModuleOffset && len(value) >= 4:
			m.offset, m.placed = int64(le.Uint32(value)), true
		case id == vbaModuleEnd:
			end()
		}
	}
	end()
	return modules
}

// listed hands out the source of a module that is in the list.
func (r *oleReader) listed(storage int, m vbaModule) {
	name, found := m.name, false
	for _, stream := range append(m.streams, m.name) {
		e := r.child(storage, stream)
		if e == nil {
			continue
		}
		if name == "" {
			name = stream
		}
		s, first := r.open(e), [3]byte{}
		if _, err := s.ReadAt(first[:], m.offset); m.placed && err == nil && first[0] == vbaContainer && first[2]>>4&7 == 3 {
			r.source(name, s, m.offset)
			found = true
		}
		found = r.sources(name, s) || found
		if found {
			return
		}
	}
	if !r.done {
		r.emit(member{name: name + ".bas"}, fmt.Errorf("%w: no source of a macro", ErrDamaged))
	}
}

// unlisted hands out macros that no list has, and what is in chains of sectors that
// nothing else has.
func (r *oleReader) unlisted() {
	macros := bytes.Contains(r.data, []byte(vbaSource))
	for i := range r.entries {
		if e := &r.entries[i]; macros && e.isStream() && !r.done {
			r.sources(plainName(e.name), r.open(e))
		}
	}
	r.orphans(func(s *cfbStream) bool {
		if !r.done {
			r.look("orphan", s)
		}
		if macros && !r.done {
			r.sources("orphan", s)
		}
		return !r.done
	})
}

// sources hands out every source that can be seen in a stream, wherever it is said
// to be, and reports whether there is one.
func (r *oleReader) sources(name string, s *cfbStream) (found bool) {
	r.spend(s.size)
	s.search(vbaSource, func(at int64) bool {
		first := [1]byte{}
		if _, err := s.ReadAt(first[:], at-3); at >= 3 && err == nil && first[0] == vbaContainer {
			found = true
			r.source(name, s, at-3)
		}
		return !r.done
	})
	return found
}

// source hands out one source, once.
func (r *oleReader) source(name string, s *cfbStream, at int64) {
	place := s.place(at)
	if r.modules[place] {
		return
	}
	r.modules[place] = true
	if r.spend(s.size - at); !r.done {
		r.emit(member{name: name + ".bas", body: newVBAReader(s, at)}, nil)
	}
}

// vbaReader unpacks a compressed container (section 2.4.1). It is a row of chunks,
// each of at most 4096 bytes when unpacked, and none knows of the one before it.
type vbaReader struct {
	in     *bufio.Reader
	begun  bool
	packed [vbaChunk + 2]byte
	window [vbaChunk]byte
	out    []byte // of the window; not yet given
	err    error
}

// newVBAReader unpacks the container that stands at an offset of a stream.
func newVBAReader(s *cfbStream, at int64) *vbaReader {
	return &vbaReader{in: bufio.NewReader(io.NewSectionReader(s, at, max(s.size-at, 0)))}
}

// Read implements io.Reader.
func (v *vbaReader) Read(p []byte) (int, error) {
	for len(v.out) == 0 && v.err == nil {
		v.err = v.chunk()
	}
	if len(v.out) == 0 {
		return 0, v.err
	}
	n := copy(p, v.out)
	v.out = v.out[n:]
	return n, nil
}

// chunk unpacks the next chunk into the window.
func (v *vbaReader) chunk() error {
	if !v.begun {
		v.begun = true
		if b, err := v.in.ReadByte(); err != nil || b != vbaContainer {
			return fmt.Errorf("%w: macro: no compressed container", ErrDamaged)
		}
	}
	var head [2]byte
	if _, err := io.ReadFull(v.in, head[:]); err != nil {
		return io.EOF // a byte that is left over pads
	}
	// Section 2.4.1.1.5: twelve bits of size, three of signature, one says compressed.
	header := int(binary.LittleEndian.Uint16(head[:]))
	if header == 0 {
		return io.EOF // what fills the last sector
	}
	if header>>12&7 != 3 {
		return fmt.Errorf("%w: macro: no chunk where one should be", ErrDamaged)
	}
	n, err := io.ReadFull(v.in, v.packed[:header&0xfff+1])
	packed := v.packed[:n]
	if header>>15 == 0 {
		v.out = v.window[:copy(v.window[:], packed)]
	} else {
		v.out = v.window[:unpackVBA(v.window[:], packed)]
	}
	if err != nil {
		return fmt.Errorf("%w: macro cut short", ErrDamaged)
	}
	return nil
}

// unpackVBA unpacks a chunk's tokens into a window (section 2.4.1.3.2).
func unpackVBA(window, packed []byte) (n int) {
	for len(packed) > 0 {
		flags := packed[0]
		packed = packed[1:]
		for range 8 {
			switch {
			case len(packed) == 0 || n == len(window):
				return n
			case flags&1 == 0:
				window[n] = packed[0]
				n++
				packed = packed[1:]
			case len(packed) == 1:
				return n
			default:
				// Section 2.4.1.3.19.1: offsets have as many bits as they need to reach
				// the chunk's beginning, but at least four.
				token, offsetBits := binary.LittleEndian.Uint16(packed), max(bits.Len(uint(max(n-1, 0))), 4)
				packed = packed[2:]
				length, back := int(token&(0xffff>>offsetBits))+3, int(token>>(16-offsetBits))+1
				if back > n {
					return n
				}
				for end := min(n+length, len(window)); n < end; n++ {
					window[n] = window[n-back]
				}
			}
			flags >>= 1
		}
	}
	return n
}
