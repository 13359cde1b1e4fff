package unpack

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"iter"
)

// xzOpener opens xz files. All blocks of all streams are one object, as xz makes
// of them. What follows the last one is no part of it. Section numbers are those
// of "The .xz File Format", version 1.2.
var xzOpener = opener{name: "xz", match: xzMatch, entries: xzEntries}

const (
	xzMagic      = "\xfd7zXZ\x00"
	xzHeaderSize = 12 // and the footer's
)

func xzMatch(data []byte) bool { return bytes.HasPrefix(data, []byte(xzMagic)) }

func xzEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		r := &xzReader{data: f.Data, file: f, memory: f.memory}
		defer r.release()
		yield(member{name: nameLess(f.Name, ".xz", "", ".txz", ".tar"), body: r}, nil)
	}
}

// xzReader unpacks all streams of a file. Damage is told at the end, when what is
// behind it has been read as well.
type xzReader struct {
	data     []byte
	file     File
	at       int // of the next header
	memory   *memory
	check    byte      // the kind of the stream's checks
	block    *xzBlock  // the present one
	unpacked io.Reader // what is in it
	lzma     *lzma2Reader
	sum      hash.Hash // nil: of a kind that is not known
	damage   error     // the first
	restarts int
}

// Read implements io.Reader.
func (r *xzReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.unpacked != nil || r.next() {
		n, err := r.unpacked.Read(p)
		if r.sum != nil {
			r.sum.Write(p[:n])
		}
		r.block.unpacked += int64(n)
		if err != nil {
			r.finish(err)
		}
		if n > 0 {
			return n, nil
		}
	}
	if r.damage != nil {
		return 0, r.damage
	}
	return 0, io.EOF
}

// release gives the dictionary back.
func (r *xzReader) release() {
	if r.lzma != nil {
		r.lzma.release()
	}
}

// next begins on the next block, of this stream or of one behind it.
func (r *xzReader) next() bool {
	if r.at == 0 && !r.stream() {
		return false
	}
	for {
		rest := r.data[min(r.at, len(r.data)):]
		if len(rest) > 0 && rest[0] != 0 {
			err := r.begin(rest)
			if err == nil {
				return true
			}
			r.fail(err)
			if !r.restart() {
				return false
			}
			continue
		}
		if !r.index(rest) {
			return false
		}
	}
}

// stream reads a stream's header (section 2.1.1).
func (r *xzReader) stream() bool {
	rest := r.data[min(r.at, len(r.data)):]
	if r.at > 0 {
		rest = bytes.TrimLeft(rest, "\x00") // section 2.2
	}
	begun := rest[:min(len(rest), len(xzMagic))]
	if len(begun) == 0 || string(begun) != xzMagic[:len(begun)] {
		return false
	}
	if len(rest) < xzHeaderSize {
		r.fail(errShort)
		return false
	}
	if crc32.ChecksumIEEE(rest[6:8]) != binary.LittleEndian.Uint32(rest[8:]) {
		r.damaged("wrong checksum of a stream's header")
	}
	r.check = rest[7] & 0xf
	r.at = len(r.data) - len(rest) + xzHeaderSize
	return true
}

// index passes over a stream's index and footer (sections 4 and 2.1.2): they say
// nothing that the blocks do not. It reports whether another stream begins behind them.
func (r *xzReader) index(rest []byte) bool {
	at := 1
	number := func() (v uint64, ok bool) {
		v, n := xzNumber(rest[min(at, len(rest)):])
		at += n
		return v, n > 0
	}
	records, ok := number()
	for ; ok && records > 0; records-- {
		number()
		_, ok = number()
	}
	at = (at+3)&^3 + 4
	if at+xzHeaderSize > len(rest) {
		r.fail(errShort)
		return false
	}
	r.at = len(r.data) - len(rest) + at + xzHeaderSize
	switch {
	case crc32.ChecksumIEEE(rest[:at-4]) != binary.LittleEndian.Uint32(rest[at-4:]):
		r.damaged("wrong checksum of an index")
	case string(rest[at+10:at+12]) != "YZ":
		r.damaged("no footer")
	default:
		r.file.read(0, r.at) // there is nothing between streams, unless there is damage
		return r.stream()
	}
	r.at -= xzHeaderSize
	return r.restart()
}

// xzNumber reads a number of variable length (section 1.2), and says how long it
// is; there is none when that is 0.
func xzNumber(b []byte) (v uint64, n int) {
	for i, c := range b[:min(len(b), 9)] {
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// xzBlock is what a block's header says (section 3.1).
type xzBlock struct {
	size     uint64 // of its compressed bytes
	sized    bool   // by the header, not by what was read
	start    int    // of the compressed bytes
	filters  []xzFilter
	unpacked int64
}

// xzFilter is one of the filters that the bytes went through, LZMA2 the last.
type xzFilter struct {
	id    uint64
	props []byte
}

// parseXZBlock reads a block's header.
func parseXZBlock(b []byte) (*xzBlock, error) {
	size := 4 * (int(b[0]) + 1)
	if size > len(b) || size < 8 {
		return nil, errShort
	}
	bad := fmt.Errorf("%w: header of a block", ErrDamaged)
	if crc32.ChecksumIEEE(b[:size-4]) != binary.LittleEndian.Uint32(b[size-4:]) {
		return nil, bad
	}
	flags, rest := b[1], b[2:size-4]
	number := func() uint64 {
		v, n := xzNumber(rest)
		if n == 0 {
			rest = nil
		}
		rest = rest[n:]
		return v
	}
	block := &xzBlock{}
	if block.sized = flags&0x40 != 0; block.sized {
		block.size = number()
	}
	if flags&0x80 != 0 {
		number() // the size when unpacked: the end of the compressed bytes says it
	}
	for range flags&3 + 1 {
		f := xzFilter{id: number()}
		n := number()
		if n > uint64(len(rest)) {
			return nil, bad
		}
		f.props, rest = rest[:n], rest[n:]
		block.filters = append(block.filters, f)
	}
	return block, nil
}

// begin begins on the block whose header stands at the beginning of rest.
func (r *xzReader) begin(rest []byte) error {
	block, err := parseXZBlock(rest)
	if err != nil {
		return err
	}
	block.start = len(r.data) - len(rest) + 4*(int(rest[0])+1)
	last := block.filters[len(block.filters)-1]
	if last.id != 0x21 || len(last.props) != 1 {
		return fmt.Errorf("%w: filter %#x", ErrUnsupported, last.id)
	}
	dict, ok := lzma2Dict(last.props[0])
	if !ok {
		return errLZMA("size of the dictionary")
	}
	r.lzma = newLZMA2(dict, bytes.NewReader(r.data[block.start:]), r.memory)
	var unpacked io.Reader = r.lzma
	for i := len(block.filters) - 2; i >= 0; i-- {
		if unpacked, err = block.filters[i].reader(unpacked); err != nil {
			return err
		}
	}
	r.block, r.unpacked, r.sum = block, unpacked, xzSum(r.check)
	return nil
}

// reader undoes a filter (section 5.3).
func (f xzFilter) reader(r io.Reader) (io.Reader, error) {
	if f.id == 3 && len(f.props) == 1 {
		return &deltaReader{r: r, dist: f.props[0]}, nil
	}
	branches := branchFilterOf(f.id)
	if branches == nil {
		return nil, fmt.Errorf("%w: filter %#x", ErrUnsupported, f.id)
	}
	var start uint32
	if len(f.props) == 4 {
		start = binary.LittleEndian.Uint32(f.props)
	}
	return newBranchReader(r, branches, start), nil
}

// branchFilterOf gives the filter that xz, and 7z after it, has a number for.
func branchFilterOf(id uint64) branchFilter {
	switch id {
	case 4:
		return new(x86Filter)
	case 5:
		return branchFunc(ppcFilter)
	case 6:
		return branchFunc(itaniumFilter)
	case 7:
		return branchFunc(armFilter)
	case 8:
		return branchFunc(thumbFilter)
	case 9:
		return branchFunc(sparcFilter)
	case 10:
		return branchFunc(arm64Filter)
	}
	return nil
}

// xzSum makes the checksum of a kind (section 2.1.1.2); nil when it is not known.
func xzSum(kind byte) hash.Hash {
	switch kind {
	case 1:
		return crc32.NewIEEE()
	case 4:
		return crc64.New(crc64.MakeTable(crc64.ECMA))
	case 10:
		return sha256.New()
	}
	return nil
}

// xzSumSize is how many bytes the checksum of a kind has, known or not.
func xzSumSize(kind byte) int {
	if kind == 0 {
		return 0
	}
	return 4 << ((kind - 1) / 3)
}

// finish checks a block whose bytes have ended with err, and finds the next one.
func (r *xzReader) finish(err error) {
	block := r.block
	r.unpacked = nil
	r.release()
	end := len(r.data) - r.lzma.src.(*bytes.Reader).Len()
	if err != io.EOF {
		r.fail(err)
		if end = block.end(); end <= block.start || end > len(r.data) {
			r.at = block.start
			r.restart()
			return
		}
	}
	at := end + (block.start-end)&3
	r.at = at + xzSumSize(r.check)
	if r.at > len(r.data) {
		r.fail(errShort)
		return
	}
	if err == io.EOF && r.sum != nil && !bytes.Equal(xzSumBytes(r.sum), r.data[at:r.at]) {
		r.damaged("wrong checksum")
	}
}

// end is where the compressed bytes end by the block's header; 0 when it does not say.
func (b *xzBlock) end() int {
	if !b.sized || b.size > 1<<40 {
		return 0
	}
	return b.start + int(b.size)
}

// xzSumBytes is a checksum as it is written: numbers with their lowest byte first.
func xzSumBytes(h hash.Hash) []byte {
	switch h := h.(type) {
	case hash.Hash64:
		return binary.LittleEndian.AppendUint64(nil, h.Sum64())
	case hash.Hash32:
		return binary.LittleEndian.AppendUint32(nil, h.Sum32())
	}
	return h.Sum(nil)
}

// restart looks for the next stream behind damage.
func (r *xzReader) restart() bool {
	at := min(r.at, len(r.data))
	i := bytes.Index(r.data[at:], []byte(xzMagic))
	if r.restarts++; i < 0 || r.restarts > maxRestarts {
		r.at = len(r.data)
		return false
	}
	r.at = at + i
	return r.stream()
}

func (r *xzReader) fail(err error) {
	if r.damage == nil {
		r.damage = err
	}
}

func (r *xzReader) damaged(why string) { r.fail(fmt.Errorf("%w: %s", ErrDamaged, why)) }
