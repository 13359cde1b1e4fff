package unpack

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"unicode/utf16"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/stangelandcl/ppmd"
)

// Methods of coders (Methods.txt of the LZMA SDK; those of zstd and LZ4 are what
// forks of 7-Zip write).
const (
	szCopy      = 0
	szDelta     = 3
	szLZMA2     = 0x21
	szLZMA      = 0x030101
	szBCJ2      = 0x0303011b
	szPPMd      = 0x030401
	szDeflate   = 0x040108
	szDeflate64 = 0x040109
	szBZip2     = 0x040202
	szZstd      = 0x04f71101
	szLZ4       = 0x04f71104
	szAES       = 0x06f10701
)

// szOldBranches are the numbers that branch filters had before they had xz's.
var szOldBranches = map[uint64]uint64{
	0x03030103: 4, 0x03030205: 5, 0x03030401: 6, 0x03030501: 7, 0x03030701: 8, 0x03030805: 9,
}

// szFolderReader is a folder that is being unpacked.
type szFolderReader struct {
	io.Reader
	releases []func()
}

// release gives the windows back.
func (o *szFolderReader) release() {
	for _, release := range o.releases {
		release()
	}
	o.releases = nil
}

// unlock opens a folder; one that is encrypted, with the password that fits.
func (a *szArchive) unlock(s *szStreams, i int) (*szFolderReader, error) {
	f := &s.folders[i]
	locked := false
	for _, c := range f.coders {
		locked = locked || c.method == szAES
	}
	if !locked {
		return a.open(s, i, "")
	}
	for password := range a.file.passwords() {
		o, err := a.open(s, i, password)
		if err != nil {
			return nil, err
		}
		fits := o.makesSense(f)
		o.release()
		if fits {
			a.file.opened(password)
			return a.open(s, i, password)
		}
	}
	return nil, ErrEncrypted
}

// maxTrial is how many bytes are unpacked to see whether a password fits.
const maxTrial = 16 << 20

// makesSense reports whether the first file of a folder can be unpacked: nothing
// else says whether a password fits.
func (o *szFolderReader) makesSense(f *szFolder) bool {
	for _, part := range f.parts {
		if part.size > 0 {
			_, err := io.CopyN(io.Discard, newSzPart(o, part), maxTrial)
			return err == nil || err == io.EOF
		}
	}
	return true
}

// open connects the coders of a folder.
func (a *szArchive) open(s *szStreams, i int, password string) (*szFolderReader, error) {
	f := &s.folders[i]
	g := &szGraph{archive: a, folder: f, password: password, used: make([]bool, len(f.coders)), out: &szFolderReader{}}
	if len(f.sizes) != len(f.coders) {
		return nil, fmt.Errorf("%w: sizes of a folder", ErrDamaged)
	}
	at := s.packAt
	for _, size := range s.packed[:min(f.first, len(s.packed))] {
		at += size
	}
	for k := range f.inputs {
		var size uint64
		if n := f.first + k; n < len(s.packed) {
			size = s.packed[n]
		}
		start := min(at, uint64(len(a.data)))
		g.packed = append(g.packed, a.data[start:start+min(size, uint64(len(a.data))-start)])
		at += size
	}
	r, err := g.connect()
	if err != nil {
		g.out.release()
		return nil, err
	}
	g.out.Reader = contained{r}
	return g.out, nil
}

// szGraph connects the coders of a folder.
type szGraph struct {
	archive  *szArchive
	folder   *szFolder
	packed   [][]byte // what feeds the folder's inputs
	password string
	used     []bool
	out      *szFolderReader
}

// connect gives what comes out of the folder. Decoders of libraries begin to read
// when they are made: their panic is damage.
func (g *szGraph) connect() (r io.Reader, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: decoder: %v", ErrDamaged, p)
		}
	}()
	return g.coder(g.folder.main())
}

// coder gives what comes out of a coder.
func (g *szGraph) coder(i int) (io.Reader, error) {
	if i >= len(g.used) || g.used[i] {
		return nil, fmt.Errorf("%w: coders that feed each other", ErrDamaged)
	}
	g.used[i] = true
	input := 0
	for _, c := range g.folder.coders[:i] {
		input += c.inputs
	}
	c := g.folder.coders[i]
	var in []io.Reader
	for k := range c.inputs {
		r, err := g.input(input + k)
		if err != nil {
			return nil, err
		}
		in = append(in, r)
	}
	size := g.folder.sizes[i]
	r, err := g.decoder(c, size, in)
	if err != nil {
		return nil, err
	}
	return &sizedReader{r, size}, nil
}

// input gives what an input is fed with.
func (g *szGraph) input(i int) (io.Reader, error) {
	for _, b := range g.folder.binds {
		if b.input == i {
			return g.coder(b.coder)
		}
	}
	for k, fed := range g.folder.inputs {
		if fed == i {
			return bytes.NewReader(g.packed[k]), nil
		}
	}
	return nil, fmt.Errorf("%w: coder that nothing feeds", ErrDamaged)
}

// sizedReader ends after left bytes; before them it must not.
type sizedReader struct {
	r    io.Reader
	left uint64
}

// Read implements io.Reader.
func (s *sizedReader) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n, err := s.r.Read(p[:min(uint64(len(p)), s.left)])
	if s.left -= uint64(n); s.left > 0 {
		err = shortage(err)
	}
	return n, err
}

// decoder makes the decoder of a method.
func (g *szGraph) decoder(c szCoder, size uint64, in []io.Reader) (io.Reader, error) {
	switch {
	case c.method == szBCJ2 && len(in) == 4:
		return newBCJ2(in), nil
	case len(in) != 1 || size > math.MaxInt64:
		return nil, fmt.Errorf("%w: inputs of a coder", ErrDamaged)
	}
	switch c.method {
	case szCopy:
		return in[0], nil
	case szLZMA, szLZMA2, szPPMd, szZstd:
		return g.windowed(c, size, in[0])
	case szDeflate:
		return flate.NewReader(in[0]), nil
	case szDeflate64:
		return newDeflate64(in[0]), nil
	case szBZip2:
		return bzip2.NewReader(in[0]), nil
	case szLZ4:
		return lz4.NewReader(in[0]), nil
	case szAES:
		return g.aes(c.props, in[0])
	case szDelta:
		if len(c.props) == 1 {
			return &deltaReader{r: in[0], dist: c.props[0]}, nil
		}
	}
	id := c.method
	if old, ok := szOldBranches[id]; ok {
		id = old
	}
	if branches := branchFilterOf(id); branches != nil {
		var start uint32
		if len(c.props) == 4 {
			start = binary.LittleEndian.Uint32(c.props)
		}
		return newBranchReader(in[0], branches, start), nil
	}
	return nil, fmt.Errorf("%w: number %#x", ErrUnsupported, c.method)
}

// windowed makes a decoder that needs a window of some size.
func (g *szGraph) windowed(c szCoder, size uint64, in io.Reader) (io.Reader, error) {
	memory := g.archive.file.memory
	bad := fmt.Errorf("%w: properties of a coder", ErrDamaged)
	switch {
	case c.method == szLZMA2 && len(c.props) == 1:
		dict, ok := lzma2Dict(c.props[0])
		if !ok {
			return nil, bad
		}
		r := newLZMA2(dict, in, memory)
		g.out.releases = append(g.out.releases, r.release)
		return r, nil
	case c.method == szLZMA && len(c.props) >= 5:
		buf := make([]byte, 32<<10)
		more := func() []byte {
			n, _ := io.ReadAtLeast(in, buf, 1)
			return buf[:n]
		}
		r := newLZMA(c.props[0], binary.LittleEndian.Uint32(c.props[1:]), int64(size), rangeDecoder{more: more}, memory)
		g.out.releases = append(g.out.releases, r.release)
		return r, nil
	case c.method == szPPMd && len(c.props) >= 5:
		n := int64(binary.LittleEndian.Uint32(c.props[1:]))
		if err := g.take(n); err != nil {
			return nil, err
		}
		r, err := ppmd.NewH7zReader(bufio.NewReader(in), int(c.props[0]), int(n), int(size))
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrDamaged, err)
		}
		return &r, nil
	case c.method == szZstd:
		return g.zstd(in)
	}
	return nil, bad
}

// take takes a window for as long as the folder is being unpacked.
func (g *szGraph) take(n int64) error {
	memory := g.archive.file.memory
	if err := memory.take(n); err != nil {
		return err
	}
	g.out.releases = append(g.out.releases, func() { memory.give(n) })
	return nil
}

// zstd makes a decoder of zstd. Its first frame says what window is needed.
func (g *szGraph) zstd(in io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(in)
	head, _ := buffered.Peek(zstd.HeaderMaxSize)
	var h zstd.Header
	z := &zstdReader{memory: g.archive.file.memory}
	if err := h.Decode(head); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	if err := z.prepare(h); err != nil {
		return nil, err
	}
	g.out.releases = append(g.out.releases, z.release)
	return z, z.decoder.Reset(buffered)
}

// szMaxCycles bounds the work to derive a key, as a power of two: 7-Zip takes 19,
// and refuses more than 24.
const szMaxCycles = 24

// aes decrypts what was encrypted with AES-256 in CBC mode.
func (g *szGraph) aes(props []byte, in io.Reader) (io.Reader, error) {
	if len(props) < 1 {
		return nil, fmt.Errorf("%w: properties of AES", ErrDamaged)
	}
	var saltSize, ivSize int
	first, rest := props[0], props[1:]
	if first&0xc0 != 0 && len(rest) > 0 {
		saltSize = int(first>>7) + int(rest[0]>>4)
		ivSize = int(first>>6&1) + int(rest[0]&0xf)
		rest = rest[1:]
	}
	if saltSize+ivSize > len(rest) {
		return nil, fmt.Errorf("%w: properties of AES", ErrDamaged)
	}
	cycles := int(first & 0x3f)
	if cycles > szMaxCycles && cycles != 0x3f {
		return nil, fmt.Errorf("%w: AES with 2^%d rounds", ErrUnsupported, cycles)
	}
	var iv [aes.BlockSize]byte
	copy(iv[:], rest[saltSize:saltSize+ivSize])
	block, err := aes.NewCipher(g.archive.key(cycles, rest[:saltSize], g.password))
	if err != nil {
		return nil, err
	}
	return &cbcReader{r: in, mode: cipher.NewCBCDecrypter(block, iv[:])}, nil
}

// key derives the key from a password.
func (a *szArchive) key(cycles int, salt []byte, password string) []byte {
	id := fmt.Sprintf("%d %x %s", cycles, salt, password)
	if key, ok := a.keys[id]; ok {
		return key
	}
	b := bytes.Clone(salt)
	for _, u := range utf16.Encode([]rune(password)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	key := make([]byte, sha256.Size)
	if cycles == 0x3f {
		copy(key, b)
	} else {
		h := sha256.New()
		b = append(b, make([]byte, 8)...)
		for i := range uint64(1) << cycles {
			binary.LittleEndian.PutUint64(b[len(b)-8:], i)
			h.Write(b)
		}
		h.Sum(key[:0])
	}
	a.keys[id] = key
	return key
}

// cbcReader decrypts whole blocks; what is left of the last one is dropped.
type cbcReader struct {
	r    io.Reader
	mode cipher.BlockMode
	buf  [8 << 10]byte
	out  int // handed out
	end  int // decrypted
}

// Read implements io.Reader.
func (c *cbcReader) Read(p []byte) (int, error) {
	if c.out == c.end {
		n, err := io.ReadFull(c.r, c.buf[:])
		n -= n % aes.BlockSize
		if n == 0 {
			return 0, err
		}
		c.mode.CryptBlocks(c.buf[:n], c.buf[:n])
		c.out, c.end = 0, n
	}
	n := copy(p, c.buf[c.out:c.end])
	c.out += n
	return n, nil
}

// bcj2Reader undoes BCJ2, the filter for x86 that puts the addresses of calls and
// of jumps into streams of their own. Which opcodes have one is coded bit by bit.
type bcj2Reader struct {
	main, calls, jumps *bufio.Reader
	choice             rangeDecoder
	probs              [2 + 256]uint16
	before             byte
	written            uint32
	rest               []byte // of an address, for which there was no room
	address            [4]byte
	err                error
}

func newBCJ2(in []io.Reader) *bcj2Reader {
	buf := make([]byte, 4<<10)
	r := &bcj2Reader{main: bufio.NewReader(in[0]), calls: bufio.NewReader(in[1]), jumps: bufio.NewReader(in[2])}
	r.choice.more = func() []byte {
		n, _ := io.ReadAtLeast(in[3], buf, 1)
		return buf[:n]
	}
	for i := range r.probs {
		r.probs[i] = probInit
	}
	r.choice.begin()
	return r
}

// Read implements io.Reader.
func (r *bcj2Reader) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(r.rest) > 0 {
			k := copy(p[n:], r.rest)
			n, r.rest = n+k, r.rest[k:]
			continue
		}
		if r.err != nil {
			return n, r.err
		}
		b, err := r.main.ReadByte()
		if err != nil {
			r.err = err
			continue
		}
		p[n] = b
		n++
		r.written++
		r.opcode(b)
	}
	return n, nil
}

// opcode looks at a byte, and finds the address that follows when it is the opcode
// of a call or jump that has one.
func (r *bcj2Reader) opcode(b byte) {
	before := r.before
	r.before = b
	prob, from := &r.probs[0], r.jumps
	switch {
	case b == 0xe8:
		prob, from = &r.probs[2+int(before)], r.calls
	case b == 0xe9:
		prob = &r.probs[1]
	case before != 0x0f || b&0xf0 != 0x80:
		return
	}
	if r.choice.bit(prob) == 0 || r.choice.short {
		return
	}
	if _, err := io.ReadFull(from, r.address[:]); err != nil {
		r.err = shortage(err)
		return
	}
	r.written += 4
	to := binary.BigEndian.Uint32(r.address[:]) - r.written
	binary.LittleEndian.PutUint32(r.address[:], to)
	r.rest, r.before = r.address[:], r.address[3]
}
