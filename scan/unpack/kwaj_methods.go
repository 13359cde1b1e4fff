package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/flate"
)

// kwajBits gives bits, the highest of each byte first.
type kwajBits struct {
	src  []byte
	bits uint32 // those that have been taken from src, the last n of which are left
	n    uint
	over bool // more were asked for than there are
}

// read gives the next n bits, 16 at most.
func (b *kwajBits) read(n uint) int {
	for b.n < n {
		var c byte
		if len(b.src) > 0 {
			c, b.src = b.src[0], b.src[1:]
		} else {
			b.over = true
		}
		b.bits, b.n = b.bits<<8|uint32(c), b.n+8
	}
	b.n -= n
	return int(b.bits>>b.n) & (1<<n - 1)
}

// kwajTree is a canonical code: how many symbols have each length, and the
// symbols, the shortest first.
type kwajTree struct {
	counts  [17]int
	symbols []int
}

// newKwajTree makes a code of the lengths of its symbols, 16 at most; 0: the
// symbol does not occur. ok is false when there are more than the lengths allow.
func newKwajTree(lengths []int) (h kwajTree, ok bool) {
	for _, n := range lengths {
		h.counts[n]++
	}
	left := 1
	for _, n := range h.counts[1:] {
		if left = 2*left - n; left < 0 {
			return h, false
		}
	}
	for length := 1; length < len(h.counts); length++ {
		for symbol, n := range lengths {
			if n == length {
				h.symbols = append(h.symbols, symbol)
			}
		}
	}
	return h, true
}

// read decodes a symbol; -1 when there is none of these bits.
func (h *kwajTree) read(b *kwajBits) int {
	code, first, index := 0, 0, 0
	for _, n := range h.counts[1:] {
		code = code<<1 | b.read(1)
		if code-first < n {
			return h.symbols[index+code-first]
		}
		index += n
		first = (first + n) << 1
	}
	return -1
}

// kwajHuffman unpacks method 3: LZ77 in a window of 4096 bytes, everything in
// Huffman codes, of which there are five.
type kwajHuffman struct {
	bits  kwajBits
	left  int64 // bytes of the file, if known: the last bits mean nothing
	known bool

	codes    [5]kwajTree
	begun    bool
	afterRun bool // the next length is in the code of those behind a short run of literals
	window   [lzssWindow]byte
	pos      int
	literals int // that are left of a run
	from     int // of the copy that is being made
	copies   int // bytes of it
	err      error
}

// The codes, in the order of their lengths in the file.
const (
	kwajMatchLengths  = iota
	kwajMatchLengths2 // behind a short run of literals
	kwajRunLengths
	kwajDistances
	kwajLiterals
)

// kwajSymbols is how many symbols the codes have.
var kwajSymbols = [5]int{16, 16, 32, 64, 256}

// Read implements io.Reader.
func (k *kwajHuffman) Read(p []byte) (n int, err error) {
	if !k.begun {
		k.begun = true
		k.err = k.begin()
	}
	for n < len(p) && k.err == nil {
		if k.known && k.left == 0 {
			k.err = io.EOF
			break
		}
		c, ok := k.next()
		if !ok {
			break
		}
		k.window[k.pos] = c
		k.pos = (k.pos + 1) % lzssWindow
		k.left--
		p[n] = c
		n++
	}
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, k.err
}

// begin reads the codes.
func (k *kwajHuffman) begin() error {
	for i := range k.window {
		k.window[i] = ' '
	}
	var kinds [6]int // one is padding
	for i := range kinds {
		kinds[i] = k.bits.read(4)
	}
	for i := range k.codes {
		lengths, ok := kwajCodeLengths(&k.bits, kinds[i], kwajSymbols[i])
		if ok {
			k.codes[i], ok = newKwajTree(lengths)
		}
		if !ok {
			return fmt.Errorf("%w: Huffman code", ErrDamaged)
		}
	}
	return nil
}

// kwajCodeLengths reads the lengths of a code's symbols, written in one of four ways.
func kwajCodeLengths(b *kwajBits, kind, symbols int) (lengths []int, ok bool) {
	lengths = make([]int, symbols)
	if kind == 1 || kind == 2 {
		lengths[0] = b.read(4)
	}
	for i := range lengths {
		switch {
		case kind == 0:
			for 1<<lengths[i] < symbols {
				lengths[i]++
			}
		case kind == 3:
			lengths[i] = b.read(4)
		case i == 0:
		case kind == 1:
			lengths[i] = kwajLength1(b, lengths[i-1])
		case kind == 2:
			lengths[i] = kwajLength2(b, lengths[i-1])
		}
		if kind > 3 || lengths[i] < 0 || lengths[i] > 15 {
			return nil, false
		}
	}
	return lengths, !b.over
}

// kwajLength1 reads a length that is mostly the last one or one more.
func kwajLength1(b *kwajBits, last int) int {
	switch {
	case b.read(1) == 0:
		return last
	case b.read(1) == 0:
		return last + 1
	}
	return b.read(4)
}

// kwajLength2 reads a length that is mostly close to the last one.
func kwajLength2(b *kwajBits, last int) int {
	if n := b.read(2); n != 3 {
		return last + n - 1
	}
	return b.read(4)
}

// next gives the next byte. ok is false at the end, and k.err says which.
func (k *kwajHuffman) next() (c byte, ok bool) {
	for k.literals == 0 && k.copies == 0 {
		if !k.token() {
			return 0, false
		}
	}
	if k.copies > 0 {
		k.copies--
		c = k.window[k.from]
		k.from = (k.from + 1) % lzssWindow
		return c, true
	}
	k.literals--
	symbol := k.symbol(kwajLiterals)
	return byte(symbol), symbol >= 0
}

// token reads what comes next: a run of literals or a copy.
func (k *kwajHuffman) token() bool {
	code := kwajMatchLengths
	if k.afterRun {
		code = kwajMatchLengths2
	}
	n := k.symbol(code)
	switch {
	case n < 0:
		return false
	case n == 0:
		run := k.symbol(kwajRunLengths)
		k.literals = run + 1
		k.afterRun = run != 31
		return run >= 0
	}
	high := k.symbol(kwajDistances)
	if high < 0 {
		return false
	}
	low := k.bits.read(6)
	if k.bits.over {
		k.err = io.EOF
		return false
	}
	k.copies = n + 2
	k.from = (k.pos - (high<<6 | low)) & (lzssWindow - 1)
	k.afterRun = false
	return true
}

// symbol reads a symbol; -1 at the end, and k.err says which.
func (k *kwajHuffman) symbol(code int) int {
	s := k.codes[code].read(&k.bits)
	switch {
	case k.bits.over:
		k.err = io.EOF
		return -1
	case s < 0:
		k.err = fmt.Errorf("%w: bits that are no Huffman code", ErrDamaged)
	}
	return s
}

// kwajMSZIP unpacks method 4: blocks of 32 KiB in deflate, which share their window.
type kwajMSZIP struct {
	src    []byte
	window []byte // the end of what has been unpacked
	left   []byte // of it, to be handed out
	flate  flateReader
	err    error
}

// kwajBlock is how many bytes a block unpacks to, and the length of the window.
const kwajBlock = 32 << 10

// Read implements io.Reader.
func (k *kwajMSZIP) Read(p []byte) (int, error) {
	for len(k.left) == 0 {
		if k.err != nil {
			return 0, k.err
		}
		k.err = k.next()
	}
	n := copy(p, k.left)
	k.left = k.left[n:]
	return n, nil
}

// next unpacks the next block. Some files lack the empty one at their end.
func (k *kwajMSZIP) next() error {
	if len(k.src) < 2 {
		return io.EOF
	}
	n := int(binary.LittleEndian.Uint16(k.src))
	k.src = k.src[2:]
	cut := n > len(k.src)
	block := k.src[:min(n, len(k.src))]
	k.src = k.src[len(block):]
	switch {
	case n == 0:
		return io.EOF
	case !bytes.HasPrefix(block, []byte("CK")):
		return fmt.Errorf("%w: block without CK", ErrDamaged)
	}
	if err := k.inflate(bytes.NewReader(block[2:])); err != nil {
		return fmt.Errorf("%w: %v", ErrDamaged, err)
	}
	if cut {
		return fmt.Errorf("%w: cut short", ErrDamaged)
	}
	return nil
}

// inflate unpacks a block.
func (k *kwajMSZIP) inflate(packed io.Reader) error {
	if k.flate == nil {
		k.flate = flate.NewReader(packed).(flateReader)
	} else if err := k.flate.Reset(packed, k.window); err != nil {
		return err
	}
	block := make([]byte, kwajBlock)
	n, _, err := fill(k.flate, block, 0)
	k.left = block[:n]
	k.window = slices.Concat(k.window, k.left)
	k.window = k.window[max(0, len(k.window)-kwajBlock):]
	return err
}
