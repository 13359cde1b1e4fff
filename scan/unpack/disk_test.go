package unpack

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strings"
	"testing"
)

// isPackedDisk reports whether a sample is an image that is small only when packed.
func isPackedDisk(s sample) bool {
	_, disk, found := strings.Cut(s.formats, "xz ")
	return found && strings.HasPrefix(s.formats, "xz ") && strings.HasPrefix(s.file, disk)
}

// loadDisk gives a sample as it is when it is not packed.
func loadDisk(t testing.TB, name string) []byte {
	t.Helper()
	data := load(t, name)
	if !bytes.HasPrefix(data, []byte(xzMagic)) {
		return data
	}
	n := &notes{hook: func(path []string) bool { return len(path) < 2 }}
	n.walk(t, NewArena(nil, 0), Limits{}, name, data)
	return []byte(n.data[1])
}

// An image that was cut off anywhere still gives the marker, or says that it was not
// read, or is none any more.
func TestCutOffDisksAreNeverSilent(t *testing.T) {
	for _, s := range samples(t) {
		if !isPackedDisk(s) || !s.readable() {
			continue
		}
		t.Run(s.file, func(t *testing.T) {
			data := loadDisk(t, s.file)
			for n := len(data); n > 0; n -= 1 + n/40 {
				if cut := data[:n:n]; len(Detect(File{Data: cut})) > 0 {
					if got := walked(t, Limits{}, "f", cut); got.marked == "" && len(got.unchecked) == 0 {
						t.Fatalf("cut to %d of %d bytes: objects %q and not a word", n, len(data), got.objects)
					}
				}
			}
		})
	}
}

// diskTest is a row of what is told of an image.
type diskTest struct {
	name, objects, unchecked string
	data                     []byte
}

func runDiskTests(t *testing.T, tests []diskTest) {
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			objects, unchecked := toldOf(walked(t, Limits{}, "f", tt.data))
			if objects != tt.objects || unchecked != tt.unchecked {
				t.Errorf("objects %q, unchecked %q, want %q, %q", objects, unchecked, tt.objects, tt.unchecked)
			}
		})
	}
}

// vhdTest is a VHD as a test writes it.
type vhdTest struct {
	kind    uint32
	size    uint64
	block   uint32
	entries []string // blocks with their bitmaps; "" for none
	change  func(b []byte)
}

func vhdTestFooter(kind uint32, size, header uint64) []byte {
	be := binary.BigEndian
	b := make([]byte, vhdFooterSize)
	copy(b, vhdMagic)
	be.PutUint32(b[12:], 0x10000)
	be.PutUint64(b[16:], header)
	be.PutUint64(b[40:], size)
	be.PutUint64(b[48:], size)
	be.PutUint32(b[60:], kind)
	return b
}

func (v vhdTest) bytes() []byte {
	be := binary.BigEndian
	foot := vhdTestFooter(v.kind, v.size, vhdFooterSize)
	header := make([]byte, vhdHeaderSize)
	copy(header, vhdSparseMagic)
	be.PutUint64(header[16:], vhdFooterSize+vhdHeaderSize)
	be.PutUint32(header[28:], uint32(len(v.entries)))
	be.PutUint32(header[32:], v.block)
	table := bytes.Repeat([]byte{0xff}, (len(v.entries)*4+511)/512*512)
	var blocks []byte
	for i, e := range v.entries {
		if e != "" {
			be.PutUint32(table[4*i:], uint32((vhdFooterSize+vhdHeaderSize+len(table)+len(blocks))/vhdSector))
			blocks = append(blocks, e...)
		}
	}
	b := join(foot, header, table, blocks, foot)
	if v.change != nil {
		v.change(b)
	}
	return b
}

// vhdBlock is a block of so many sectors; the first bits of its bitmap are given.
func vhdBlock(bits byte, text string, sectors int) string {
	return dmgSectors(string([]byte{bits}), 1) + dmgSectors(text, sectors)
}

func TestVHDIsReadTolerantly(t *testing.T) {
	note := vhdBlock(0xff, marker, 2)
	sound := vhdTest{vhdDynamic, 4096, 1024, []string{"", note, "", note}, nil}
	with := func(change func(b []byte)) []byte {
		v := sound
		v.change = change
		return v.bytes()
	}
	field := func(at int, text string) []byte { return with(func(b []byte) { copy(b[at:], text) }) }
	flat := join([]byte(dmgSectors(marker, 3)), vhdTestFooter(vhdFixed, 1536, math.MaxUint64))
	fixed := vhdTestFooter(vhdFixed, 1536, math.MaxUint64)
	const short = "f/f: vhd: f: damaged: cut short"
	runDiskTests(t, []diskTest{
		{"fixed", "f*", "", flat},
		{"fixed, a footer of 511 bytes", "f*", "", flat[:len(flat)-1]},
		{"fixed, the footer in front", "f*", "", join(fixed, []byte(dmgSectors(marker, 3)))},
		{"fixed, a size that lies", "f*", "", join([]byte(dmgSectors(marker, 3)), vhdTestFooter(vhdFixed, 1, math.MaxUint64))},
		{"dynamic", "f*", "", sound.bytes()},
		{"without the copy", "f*", "", field(0, "x")},
		{"without the footer", "f*", "", sound.bytes()[:len(sound.bytes())-512]},
		{"footers that differ", "f* f*", "f/f: vhd: damaged: header of a dynamic disk", with(func(b []byte) { copy(b, fixed) })},
		{"sectors that do not count", "f* f", "", vhdTest{vhdDynamic, 1024, 1024, []string{vhdBlock(0, marker, 2)}, nil}.bytes()},
		{"sectors of which one counts", "f* f*", "", vhdTest{vhdDynamic, 1024, 1024, []string{vhdBlock(0x80, marker+strings.Repeat("x", 600), 2)}, nil}.bytes()},
		{"differencing", "f*", "f: vhd: unsupported method: the rest of the disk is in its parent", vhdTest{vhdDifferencing, 4096, 1024, []string{note}, nil}.bytes()},
		{"another version", "", "", vhdTest{vhdDynamic, 4096, 1024, []string{note}, func(b []byte) { b[13], b[len(b)-512+13] = 2, 2 }}.bytes()},
		{"an unknown type", "", "", vhdTest{7, 4096, 1024, []string{note}, nil}.bytes()},
		{"header beyond the end", "f*", "f: vhd: damaged: cut short", field(16, "\x7f")},
		{"header at a negative offset", "f*", "f: vhd: damaged: cut short", field(16, "\xff")},
		{"no header", "", "f: vhd: damaged: header of a dynamic disk", field(512, "x")},
		{"size of a block", "", "f: vhd: damaged: header of a dynamic disk", field(512+32, "\x00\x00\x00\x00")},
		{"size of a block, odd", "", "f: vhd: damaged: header of a dynamic disk", field(512+32, "\x00\x00\x04\x01")},
		{"size of a block, too large", "f", short, field(512+32, "\x80\x00\x00\x00")},
		{"table beyond the end", "", "f: vhd: damaged: cut short", field(512+16, "\x7f")},
		{"more entries than there are", "f*", "f: vhd: f: limit: overlap", field(512+28, "\xff\xff\xff\xff")},
		{"entry beyond the end", "f*", short, field(1536, "\x7f\xff\xff\xff")},
		{"a larger size", "f*", "", with(func(b []byte) { b[len(b)-512+53] = 1; b[53] = 1 })},
		{"a size beyond everything", "f*", "", with(func(b []byte) {
			copy(b[len(b)-512+48:], "\x7f\xff\xff\xff\xff\xff\xff\xff")
			copy(b[48:], b[len(b)-512+48:][:8])
		})},
	})
}

// The zeros that are not handed out cost nothing, and what is behind them is aligned.
func TestSparseDisksAreShortened(t *testing.T) {
	entries := make([]string, 1000)
	entries[999] = dmgSectors(strings.Repeat("\xff", 512), 1) + dmgSectors(marker, 4096)
	n := walked(t, Limits{}, "f", vhdTest{vhdDynamic, 2 << 40, 2 << 20, entries, nil}.bytes())
	if at := strings.Index(n.data[1], marker); at != 1<<20 || len(n.data[1]) != 3<<20 {
		t.Errorf("the marker is at %d of %d", at, len(n.data[1]))
	}
	entries = make([]string, 1502)
	entries[1501] = dmgSectors(strings.Repeat("\xff", 512), 1) + dmgSectors(marker, 1024)
	n = walked(t, Limits{}, "f", vhdTest{vhdDynamic, 2 << 40, 512 << 10, entries, nil}.bytes())
	if at := strings.Index(n.data[1], marker); at != 3<<19 { // aligned as it was
		t.Errorf("the marker is at %d", at)
	}
	entries = make([]string, 20)
	entries[19] = dmgSectors(strings.Repeat("\xff", 512), 1) + dmgSectors(marker, 4096)
	n = walked(t, Limits{}, "f", vhdTest{vhdDynamic, 50 << 20, 2 << 20, entries, nil}.bytes())
	if at := strings.Index(n.data[1], marker); at != 38<<20 || len(n.data[1]) != 50<<20 || len(n.unchecked) > 0 {
		t.Errorf("the marker is at %d of %d, unchecked %q", at, len(n.data[1]), n.unchecked)
	}
}

func TestDisksAreNoBombs(t *testing.T) {
	v := vhdTest{vhdDynamic, 1 << 40, 1 << 20, make([]string, 10_000), nil}
	v.entries[0] = dmgSectors(strings.Repeat("\xff", 256), 1) + dmgSectors(marker, 2048)
	v.change = func(b []byte) {
		table := b[vhdFooterSize+vhdHeaderSize:]
		for i := range v.entries {
			copy(table[4*i:], table[:4])
		}
	}
	n := walked(t, Limits{}, "f", v.bytes())
	if _, unchecked := toldOf(n); unchecked != "f: vhd: f: limit: overlap" || n.bytes > 16<<20 {
		t.Errorf("%d bytes, unchecked %q", n.bytes, unchecked)
	}
	// Tables with nothing in them, again and again.
	q := make([]byte, 1<<20)
	copy(q, load(t, "qcow2-v2.qcow2")[:72])
	be := binary.BigEndian
	be.PutUint32(q[20:], 16)
	be.PutUint64(q[24:], 1<<50)
	be.PutUint32(q[36:], 1<<16)
	be.PutUint64(q[40:], 1<<17)
	for at := 1 << 17; at < 1<<17+8<<16; at += 8 {
		be.PutUint64(q[at:], 1<<16)
	}
	n = walked(t, Limits{}, "f", q)
	if _, unchecked := toldOf(n); unchecked != "f: qcow2: f: limit: overlap" {
		t.Errorf("unchecked %q", unchecked)
	}
}

// vhdxTest is a VHDX as a test writes it: the tables lie close to one another, the
// first block is the second half of its MiB.
type vhdxTest struct {
	block, size uint64
	entries     []uint64
	flags       byte
	change      func(b []byte)
}

const (
	vhdxTestTable    = 320 << 10
	vhdxTestMetadata = 336 << 10
)

func (v vhdxTest) bytes(content string) []byte {
	le := binary.LittleEndian
	b := make([]byte, 1<<20)
	copy(b, vhdxMagic)
	for i, at := range vhdxHeaders {
		h := b[at : at+4096]
		copy(h, "head")
		le.PutUint64(h[8:], uint64(i+1))
		le.PutUint32(h[4:], crc32.Checksum(h, crc32.MakeTable(crc32.Castagnoli)))
	}
	for _, at := range vhdxRegionTables {
		r := b[at:]
		copy(r, "regi")
		r[8] = 2
		for i, region := range []struct {
			id       string
			at, size int
		}{{vhdxBAT, vhdxTestTable, 8 * len(v.entries)}, {vhdxMetadata, vhdxTestMetadata, 64 << 10}} {
			e := r[16+32*i:]
			copy(e, region.id)
			le.PutUint64(e[16:], uint64(region.at))
			le.PutUint32(e[24:], uint32(region.size))
		}
	}
	for i, e := range v.entries {
		le.PutUint64(b[vhdxTestTable+8*i:], e)
	}
	m := b[vhdxTestMetadata:]
	copy(m, "metadata")
	m[10] = 3
	for i, id := range []string{vhdxFileParameters, vhdxDiskSize, vhdxSectorSize} {
		e := m[32+32*i:]
		copy(e, id)
		le.PutUint32(e[16:], uint32(4096+8*i))
		le.PutUint32(e[20:], 8)
	}
	le.PutUint32(m[4096:], uint32(v.block))
	m[4100] = v.flags
	le.PutUint64(m[4104:], v.size)
	le.PutUint32(m[4112:], 512)
	if v.change != nil {
		v.change(b)
	}
	return append(b, content...)
}

func TestVHDXIsReadTolerantly(t *testing.T) {
	block := dmgSectors(marker, 2048)
	const at = 1<<20 | 6 // a block that is there
	sound := vhdxTest{1 << 20, 2 << 20, []uint64{0, at}, 0, nil}
	with := func(change func(b []byte)) []byte {
		v := sound
		v.change = change
		return v.bytes(block)
	}
	field := func(at int, text string) []byte { return with(func(b []byte) { copy(b[at:], text) }) }
	both := func(at int, text string) []byte {
		return with(func(b []byte) { copy(b[192<<10+at:], text); copy(b[256<<10+at:], text) })
	}
	states := func(entry uint64) []byte {
		v := sound
		v.entries = []uint64{entry, 0}
		return v.bytes(block)
	}
	header := func(b []byte, number uint64, log string) {
		h := b[64<<10:][:4096]
		binary.LittleEndian.PutUint64(h[8:], number)
		copy(h[48:], log)
		clear(h[4:8])
		binary.LittleEndian.PutUint32(h[4:], crc32.Checksum(h, crc32.MakeTable(crc32.Castagnoli)))
	}
	const short = "f/f: vhdx: f: damaged: cut short"
	chunk := vhdxTest{256 << 20, 5000 << 20, make([]uint64, 18), 0, nil}
	chunk.entries[16], chunk.entries[17] = at, 1<<20|6 // the first is one of bitmaps
	runDiskTests(t, []diskTest{
		{"sound", "f*", "", sound.bytes(block)},
		{"one table of regions", "f*", "", field(192<<10, "x")},
		{"the other", "f*", "", field(256<<10, "x")},
		{"none", "", "f: vhdx: damaged: table of regions", both(0, "x")},
		{"tables that differ", "f* f*", "", field(192<<10+16+16, "\x08\x00\x05\x00\x00\x00\x00\x00\xf8\xff\xff\xff")},
		{"undefined", "f*", "", states(1<<20 | 1)},
		{"zero", "f", "", states(1<<20 | 2)},
		{"unmapped", "f*", "", states(1<<20 | 3)},
		{"partly there", "f*", "", states(1<<20 | 7)},
		{"differencing", "f*", "f: vhdx: unsupported method: the rest of the disk is in its parent", field(vhdxTestMetadata+4100, "\x02")},
		{"a log", "f*", "f: vhdx: unsupported method: what is in the log is not applied", with(func(b []byte) { header(b, 3, "guid") })},
		{"a log of an older header", "f*", "", with(func(b []byte) { header(b, 1, "guid") })},
		{"a log of a header that is damaged", "f*", "", with(func(b []byte) { header(b, 3, "guid"); b[64<<10+5]++ })},
		{"a block of bitmaps", "f*", "f/f: vhdx: f: damaged: cut short", chunk.bytes(block)},
		{"a block beyond the end", "f*", short, vhdxTest{1 << 20, 3 << 20, []uint64{0, at, 1<<40 | 6}, 0, nil}.bytes(block)},
		{"a block that is cut short", "f*", short, sound.bytes(block[:600])},
		{"size of a block", "", "f: vhdx: damaged: metadata", field(vhdxTestMetadata+4096, "\x00\x00\x00\x00")},
		{"size of a block, too large", "", "f: vhdx: damaged: metadata", field(vhdxTestMetadata+4096, "\x00\x00\x00\x20")},
		{"size of a sector", "", "f: vhdx: damaged: metadata", field(vhdxTestMetadata+4112, "\x01")},
		{"no metadata", "", "f: vhdx: damaged: metadata", field(vhdxTestMetadata, "x")},
		{"items beyond the end", "", "f: vhdx: damaged: metadata", field(vhdxTestMetadata+32+16, "\xff\xff\xff\xff")},
		{"more items than there can be", "f*", "", field(vhdxTestMetadata+10, "\xff\xff")},
		{"more regions than there can be", "f*", "", both(8, "\xff\xff\xff\xff")},
		{"regions beyond the end", "", "f: vhdx: damaged: table of regions", both(16+16, "\xff\xff\xff\xff\xff\xff\xff\x7f")},
		{"region that is too long", "f*", short, with(func(b []byte) {
			copy(b[192<<10+16+24:], "\xff\xff\xff\xff")
			copy(b[256<<10+16+24:], "\xff\xff\xff\xff")
			copy(b[vhdxTestMetadata+4104:], "\xff\xff\xff\xff\xff\xff\xff\x7f")
			copy(b[vhdxTestTable+16:], make([]byte, vhdxTestMetadata-vhdxTestTable-16))
		})},
		{"cut off in the headers", "", "f: vhdx: damaged: cut short", sound.bytes("")[:100<<10]},
	})
}

// vmdkTest is a sparse extent as a test writes it.
type vmdkTest struct {
	capacity uint64 // grains of a sector
	entries  []string
	change   func(b []byte)
}

func (v vmdkTest) bytes() []byte {
	le := binary.LittleEndian
	b := make([]byte, 4*vmdkSector) // header, two directories, a table
	copy(b, vmdkMagic)
	le.PutUint32(b[4:], 1)
	le.PutUint32(b[8:], 3)
	le.PutUint64(b[12:], v.capacity)
	le.PutUint64(b[20:], 1)
	le.PutUint32(b[44:], 128)
	le.PutUint64(b[48:], 1)
	le.PutUint64(b[56:], 2)
	le.PutUint64(b[64:], 4)
	le.PutUint32(b[512:], 3)
	le.PutUint32(b[1024:], 3)
	for i, e := range v.entries {
		if e != "" {
			le.PutUint32(b[1536+4*i:], uint32(len(b)/vmdkSector))
			b = append(b, dmgSectors(e, 1)...)
		}
	}
	if v.change != nil {
		v.change(b)
	}
	return b
}

// vmdkStream is a stream of grains: as the directory has them, and the first more.
func vmdkStream(grains ...string) []byte {
	le := binary.LittleEndian
	b := vmdkTest{capacity: 16}.bytes()
	le.PutUint32(b[4:], 3)
	le.PutUint32(b[8:], vmdkPacked|vmdkMarks|1)
	le.PutUint64(b[48:], 0)
	le.PutUint64(b[56:], vmdkAtEnd)
	le.PutUint16(b[77:], 1)
	table := make([]byte, vmdkSector)
	for i, g := range grains {
		le.PutUint32(table[4*i:], uint32(len(b)/vmdkSector))
		packed := zlibbed(dmgSectors(g, 1))
		mark := le.AppendUint32(le.AppendUint64(nil, uint64(i)), uint32(len(packed)))
		b = append(b, dmgSectors(string(mark)+packed, 1)...)
	}
	meta := func(kind byte, n uint64, content []byte) int {
		mark := make([]byte, vmdkSector)
		le.PutUint64(mark, n)
		mark[12] = kind
		at := len(b)/vmdkSector + 1
		b = append(append(b, mark...), content...)
		return at
	}
	directory := make([]byte, vmdkSector)
	le.PutUint32(directory, uint32(meta(1, 1, table)))
	foot := bytes.Clone(b[:vmdkSector])
	le.PutUint64(foot[56:], uint64(meta(2, 1, directory)))
	meta(3, 1, foot)
	meta(0, 0, nil)
	return b
}

func TestVMDKIsReadTolerantly(t *testing.T) {
	sound := vmdkTest{8, []string{"", marker, "", "other"}, nil}
	with := func(change func(b []byte)) []byte {
		v := sound
		v.change = change
		return v.bytes()
	}
	field := func(at int, text string) []byte { return with(func(b []byte) { copy(b[at:], text) }) }
	stream := vmdkStream(marker, "other")
	packed := bytes.Index(stream, []byte(zlibbed(dmgSectors(marker, 1))))
	const short, none = "f/f: vmdk: f: damaged: cut short", "f: vmdk: damaged: no directory of grains"
	described := func(text string) []byte {
		b := append(sound.bytes(), dmgSectors("# Disk DescriptorFile\nversion=1\n"+text, 1)...)
		b[28], b[36] = byte(len(b)/vmdkSector-1), 1
		return b
	}
	runDiskTests(t, []diskTest{
		{"sound", "f*", "", sound.bytes()},
		{"described", "f*", "", described("CID=1\nparentCID=ffffffff\n")},
		{"a difference", "f*", "f: vmdk: unsupported method: the rest of the disk is in its parent", described("CID=1\nparentCID=12345678\n")},
		{"text only", "", "f: vmdk: unsupported method: the extents of the disk are other files", []byte("# Disk DescriptorFile\nversion=1\n")},
		{"text with a mark", "", "f: vmdk: unsupported method: the extents of the disk are other files", []byte("\xef\xbb\xbf\r\n# Disk DescriptorFile\nversion=1\n")},
		{"no primary directory", "f*", "", field(56, "\x00")},
		{"no redundant directory", "f*", "", field(48, "\x00")},
		{"none", "", none, field(48, string(make([]byte, 16)))},
		{"directories that differ", "f* f", "", with(func(b []byte) { clear(b[512:516]) })},
		{"directory beyond the end", "f*", "", field(56, "\xff\xff\xff\xff\xff\xff\xff\x7f")},
		{"both beyond the end", "", "f: vmdk: damaged: cut short", field(48, "\xff\xff\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x7f")},
		{"table beyond the end", "f f*", short, field(1024, "\xff\xff\xff\xff")},
		{"grain beyond the end", "f*", short, field(1536, "\xff\xff\xff\xff")},
		{"grain of zeros", "f*", "", field(1536, "\x01")},
		{"capacity", "f*", "f: vmdk: f: limit: overlap", field(12, "\xff\xff\xff\xff\xff\xff\xff\xff")},
		{"no capacity", "", none, field(12, "\x00")},
		{"no entries", "", none, field(44, "\x00\x00\x00\x00")},
		{"entries beyond everything", "f*", "f: vmdk: f: limit: overlap", field(44, "\xff\xff\xff\xff")},
		{"size of a grain", "", "", field(20, "\x03")},
		{"another version", "", "", field(4, "\x09")},
		{"another method", "", "f: vmdk: unsupported method: compression 2", field(77, "\x02")},
		{"stream", "f*", "", stream},
		{"stream without a footer", "f*", short, stream[:len(stream)-1024]},
		{"stream that is cut off", "f*", short, stream[:packed/512*512+512]},
		{"stream, damage", "f", "f/f: vmdk: f: damaged: zlib: invalid header", put(stream, packed, "\x00")},
		{"stream, a wrong place", "f* f*", "", put(stream, packed-12, "\x05")},
		{"stream, one place twice", "f* f*", "f/f: vmdk: f: damaged: blocks that lie over one another", put(stream, packed-12, "\x01")},
		{"stream, length", "f* f*", short + ";" + short, put(stream, packed-4, "\xff\xff\xff\xff")},
	})
}

// A grain may be told to be of zeros, and is no sector of the image.
func TestVMDKHasGrainsOfZeros(t *testing.T) {
	v := vmdkTest{3, []string{"", marker}, func(b []byte) { b[1536] = vmdkZeroGrain }}
	if n := walked(t, Limits{}, "f", v.bytes()); strings.Index(n.data[1], marker) != 512 || !zeros([]byte(n.data[1][:512])) {
		t.Errorf("%q", n.data[1][:540])
	}
}

func TestQCOW2IsReadTolerantly(t *testing.T) {
	data := load(t, "qcow2-v3.qcow2")
	be := binary.BigEndian
	field := func(at int, text string) []byte { return put(data, at, text) }
	l1 := int(be.Uint64(data[40:]))
	l2 := int(be.Uint64(data[l1:]) & qcow2Offset)
	entry := l2
	for be.Uint64(data[entry:]) == 0 {
		entry += 8
	}
	packed := load(t, "qcow2-zlib.qcow2")
	pl2 := int(be.Uint64(packed[be.Uint64(packed[40:]):]) & qcow2Offset)
	const short = "f/f: qcow2: f: damaged: cut short"
	saved := func(l1 uint64) []byte {
		e := make([]byte, 40)
		be.PutUint64(e, l1)
		copy(e[8:], data[36:40])
		e[15] = 4
		return join(with72(data, 1, uint64(len(data))), e, []byte("name"))
	}
	runDiskTests(t, []diskTest{
		{"sound", "f*", "", data},
		{"a snapshot that is the same", "f*", "", saved(uint64(l1))},
		{"a snapshot that is cut short", "f* name.img", "f/name.img: qcow2: name.img: damaged: cut short", saved(1 << 40)},
		{"backing", "f*", "f: qcow2: unsupported method: the rest of the disk is in another image", field(15, "\x70")},
		{"data elsewhere", "", "f: qcow2: unsupported method: clusters are in another file", field(79, "\x04")},
		{"an encryption that lies", "f*", "", field(32, "\x00\x00\x00\x01")},
		{"encrypted", "", "f: qcow2: encrypted: clusters", put(load(t, "qcow2-aes.qcow2"), 32, "\x00\x00\x00\x02")},
		{"first table beyond the end", "f", short, field(40, "\x7f")},
		{"first table at a negative offset", "f", short, field(40, "\xff")},
		{"first table too long", "f*", short, field(36, "\xff\xff\xff\xff")},
		{"no first table", "f", "", field(36, "\x00\x00\x00\x00")},
		{"table beyond the end", "f", short, field(l1, "\x00\xff")},
		{"cluster beyond the end", "f*", short, field(entry, "\x00\xff")},
		{"cluster of zeros", "f*", "", field(entry+7, "\x01")},
		{"size", "f*", "", field(24, "\x7f")},
		{"size of a cluster, too small", "", "", field(20, "\x00\x00\x00\x08")},
		{"size of a cluster, too large", "", "", field(20, "\x00\x00\x00\x16")},
		{"another version", "", "", field(4, "\x00\x00\x00\x04")},
		{"snapshots beyond the end", "f*", "f: qcow2: damaged: cut short", with72(data, 3, 1<<40)},
		{"packed", "f*", "", packed},
		{"packed, beyond the end", "f", short, put(packed, pl2+32, "\x40\x00\x00\x00\x7f")},
		{"packed, by an unknown method", "f", "f/f: qcow2: f: damaged: cluster", put(packed, 79, "\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x70\x01")},
	})
}

// with72 puts a number of snapshots and their place into a header.
func with72(data []byte, snapshots uint32, at uint64) []byte {
	b := bytes.Clone(data)
	binary.BigEndian.PutUint32(b[60:], snapshots)
	binary.BigEndian.PutUint64(b[64:], at)
	return b
}

func FuzzVHD(f *testing.F) {
	f.Add(vhdTest{vhdDynamic, 4096, 1024, []string{"", vhdBlock(0x80, marker+strings.Repeat("x", 600), 2), "", vhdBlock(0xff, marker, 2)}, nil}.bytes())
	fuzz(f, "vhd")
}

// FuzzVHDX puts pieces at their places: an image as a whole is too large to be changed
// at random.
func FuzzVHDX(f *testing.F) {
	sound := vhdxTest{1 << 20, 2 << 20, []uint64{1<<20 | 6, 1<<20 | 3}, 0, nil}.bytes(marker)
	places := []int{192 << 10, 256 << 10, vhdxTestTable, vhdxTestMetadata, vhdxTestMetadata + 4096, 1 << 20}
	f.Add(sound[places[0]:][:100], sound[places[1]:][:100], sound[places[2]:][:64], sound[places[3]:][:200], sound[places[4]:][:32], sound[places[5]:])
	f.Fuzz(func(t *testing.T, first, second, table, items, values, block []byte) {
		data := bytes.Clone(sound)
		for i, piece := range [][]byte{first, second, table, items, values} {
			copy(data[places[i]:], piece)
		}
		fuzzed(t, append(data[:1<<20], block...))
	})
}

func FuzzVMDK(f *testing.F) {
	f.Add(vmdkTest{8, []string{"", marker, "", "other"}, nil}.bytes())
	f.Add(vmdkStream(marker, "other"))
	fuzz(f, "vmdk")
}

func FuzzQCOW2(f *testing.F) {
	for _, name := range []string{"qcow2-v1-zlib.xz", "qcow2-snapshot.xz", "qcow2-zstd.xz", "qcow2-extended.xz"} {
		f.Add(loadDisk(f, name))
	}
	fuzz(f, "qcow2")
}
