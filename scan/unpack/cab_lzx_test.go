package unpack

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// No free program writes LZX or Quantum into cabinets: these are writers that make
// what the decoders must read, with no thought of size.

// lzxWriter writes a stream of LZX, each frame into bytes of its own.
type lzxWriter struct {
	data   []byte
	bits   uint64
	have   uint
	window int
	main   []byte // lengths of codes in the block before
	length []byte
	recent [3]int
	out    []byte
}

func newLZXWriter(windowBits int) *lzxWriter {
	d, err := newLZXDecoder(windowBits)
	if err != nil {
		panic(err)
	}
	return &lzxWriter{window: 1 << windowBits, main: make([]byte, len(d.main.lens)), length: make([]byte, lzxLengths), recent: [3]int{1, 1, 1}}
}

func (w *lzxWriter) put(v uint32, n uint) {
	w.bits = w.bits<<n | uint64(v)
	for w.have += n; w.have >= 16; w.have -= 16 {
		w.out = binary.LittleEndian.AppendUint16(w.out, uint16(w.bits>>(w.have-16)))
	}
}

// align fills the word up, as frames end.
func (w *lzxWriter) align() {
	if w.have > 0 {
		w.put(0, 16-w.have)
	}
}

// lzxCodes makes a complete code for the symbols that are used.
func lzxCodes(used map[int]bool, symbols int) (lens []byte) {
	lens = make([]byte, symbols)
	n := len(used)
	long := max(bits.Len(uint(max(n, 2)-1)), 1)
	short := 1<<long - n // that many get a bit less
	for s := range symbols {
		switch {
		case !used[s]:
		case short > 0 && n > 1:
			lens[s] = byte(long - 1)
			short--
		default:
			lens[s] = byte(long)
		}
	}
	return lens
}

func lzxCanonical(lens []byte) []uint32 {
	codes := make([]uint32, len(lens))
	code := uint32(0)
	for n := 1; n <= lzxLength; n++ {
		for s, l := range lens {
			if int(l) == n {
				codes[s] = code
				code++
			}
		}
		code <<= 1
	}
	return codes
}

// lengths writes lengths of codes as differences to those before.
func (w *lzxWriter) lengths(before, lens []byte) {
	var pre [lzxPreSymbols]byte
	for i := range pre {
		if pre[i] = 5; i < 12 {
			pre[i] = 4
		}
		w.put(uint32(pre[i]), 4)
	}
	codes := lzxCanonical(pre[:])
	symbol := func(s int) { w.put(codes[s], uint(pre[s])) }
	difference := func(i int) int { return (int(before[i]) - int(lens[i]) + 17) % 17 }
	for i := 0; i < len(lens); {
		zeros, same := 0, 1
		for i+zeros < len(lens) && lens[i+zeros] == 0 && zeros < 51 {
			zeros++
		}
		for i+same < len(lens) && lens[i+same] == lens[i] && before[i+same] == before[i] && same < 5 {
			same++
		}
		switch {
		case zeros >= 20:
			symbol(18)
			w.put(uint32(zeros-20), 5)
			i += zeros
		case zeros >= 4:
			zeros = min(zeros, 19)
			symbol(17)
			w.put(uint32(zeros-4), 4)
			i += zeros
		case same >= 4:
			symbol(19)
			w.put(uint32(same-4), 1)
			symbol(difference(i))
			i += same
		default:
			symbol(difference(i))
			i++
		}
	}
	copy(before, lens)
}

// lzxToken is a literal, or a match of n bytes.
type lzxToken struct{ literal, n, offset int }

// tokens finds matches for what is before end, from at on.
func (w *lzxWriter) tokens(at, end int) (list []lzxToken) {
	seen := map[string]int{}
	for i := 0; i+3 <= at; i++ {
		seen[string(w.data[i:i+3])] = i
	}
	for at < end {
		t := lzxToken{literal: int(w.data[at])}
		if at+3 <= end {
			key := string(w.data[at : at+3])
			if from, ok := seen[key]; ok && at-from < w.window-3 {
				for t.n < 257 && at+t.n < end && w.data[from+t.n] == w.data[at+t.n] {
					t.n++
				}
				t.offset = at - from
			}
			seen[key] = at
		}
		list = append(list, t)
		at += max(t.n, 1)
	}
	return list
}

// symbols are what a token is written with: the symbol, a symbol of the length or
// -1, and bits of the offset.
func (w *lzxWriter) symbols(t lzxToken) (main, length int, extra uint, offset int) {
	if t.n == 0 {
		return t.literal, -1, 0, 0
	}
	slot := slices.Index(w.recent[:], t.offset)
	if slot >= 0 {
		w.recent[slot], w.recent[0] = w.recent[0], t.offset
	} else {
		slot = 3
		for slot+1 < len(lzxBase) && lzxBase[slot+1] <= t.offset+2 {
			slot++
		}
		w.recent = [3]int{t.offset, w.recent[0], w.recent[1]}
		extra, offset = lzxExtra(slot), t.offset+2-lzxBase[slot]
	}
	length = t.n - lzxMinMatch - 7
	return 256 + slot*8 + min(t.n-lzxMinMatch, 7), length, extra, offset
}

// block writes the header of a block of so many bytes, and what its tokens are
// written with.
func (w *lzxWriter) block(kind, size int, tokens []lzxToken) (put func(lzxToken)) {
	w.put(uint32(kind), 3)
	w.put(uint32(size>>8), 16)
	w.put(uint32(size&0xff), 8)
	recent := w.recent
	main, length, aligned := map[int]bool{}, map[int]bool{}, make([]byte, 8)
	for _, t := range tokens {
		m, l, _, _ := w.symbols(t)
		main[m] = true
		if l >= 0 {
			length[l] = true
		}
	}
	w.recent = recent
	if kind == lzxAligned {
		for i := range aligned {
			aligned[i] = 3
			w.put(3, 3)
		}
	}
	mainLens, lengthLens := lzxCodes(main, len(w.main)), lzxCodes(length, lzxLengths)
	w.lengths(w.main[:256], mainLens[:256])
	w.lengths(w.main[256:], mainLens[256:])
	w.lengths(w.length, lengthLens)
	mainCodes, lengthCodes, alignedCodes := lzxCanonical(mainLens), lzxCanonical(lengthLens), lzxCanonical(aligned)
	return func(t lzxToken) {
		m, l, extra, offset := w.symbols(t)
		w.put(mainCodes[m], uint(mainLens[m]))
		if l >= 0 {
			w.put(lengthCodes[l], uint(lengthLens[l]))
		}
		if kind == lzxAligned && extra >= 3 {
			w.put(uint32(offset>>3), extra-3)
			w.put(alignedCodes[offset&7], 3)
		} else {
			w.put(uint32(offset), extra)
		}
	}
}

// lzxFrames packs data: kinds are those of the blocks, sizes their lengths, each in
// turn; e8 is the size of a program that calls are translated for, 0 for none.
func lzxFrames(windowBits int, data []byte, e8 int, kinds, sizes []int) (blocks []cabBlock) {
	w := newLZXWriter(windowBits)
	w.data = data
	if e8 != 0 {
		w.data = lzxCalls(data, e8)
		w.put(1, 1)
		w.put(uint32(e8)>>16, 16)
		w.put(uint32(e8)&0xffff, 16)
	} else {
		w.put(0, 1)
	}
	at, n := 0, 0
	frame := func() {
		if at%lzxFrame == 0 || at == len(data) {
			w.align()
			blocks = append(blocks, cabBlock{w.out, at - len(blocks)*lzxFrame})
			w.out = nil
		}
	}
	for at < len(data) {
		kind, size := kinds[n%len(kinds)], min(sizes[n%len(sizes)], len(data)-at)
		n++
		end := at + size
		if kind == lzxUncompressed {
			w.stored(size, func() {
				for at < end {
					w.out = append(w.out, w.data[at])
					at++
					if at < end {
						frame()
					}
				}
			})
			frame()
			continue
		}
		var tokens []lzxToken
		for from := at; from < end; { // no match goes beyond a frame
			until := min(end, (from/lzxFrame+1)*lzxFrame)
			tokens = append(tokens, w.tokens(from, until)...)
			from = until
		}
		put := w.block(kind, size, tokens)
		for _, t := range tokens {
			put(t)
			at += max(t.n, 1)
			frame()
		}
	}
	return blocks
}

// stored writes a block that is not compressed.
func (w *lzxWriter) stored(size int, body func()) {
	w.put(lzxUncompressed, 3)
	w.put(uint32(size>>8), 16)
	w.put(uint32(size&0xff), 8)
	w.put(0, 16-w.have) // a whole word when there is none to fill up
	for _, offset := range w.recent {
		w.out = binary.LittleEndian.AppendUint32(w.out, uint32(offset))
	}
	body()
	if size%2 == 1 {
		w.out = append(w.out, 0)
	}
}

// lzxCalls translates calls in a program as a packer does.
func lzxCalls(data []byte, size int) []byte {
	data = slices.Clone(data)
	for from := 0; from < len(data); from += lzxFrame {
		frame := data[from:min(from+lzxFrame, len(data))]
		for i := 0; i < len(frame)-10; i++ {
			if frame[i] != 0xe8 {
				continue
			}
			at, v := from+i, int(int32(binary.LittleEndian.Uint32(frame[i+1:])))
			switch {
			case v >= -at && v < size-at:
				v += at
			case v >= size-at && v < size:
				v -= size
			}
			binary.LittleEndian.PutUint32(frame[i+1:], uint32(v))
			i += 4
		}
	}
	return data
}

// program is something with calls in it, and repetitions near and far.
func program(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := []byte(marker)
	for len(b) < n {
		switch k := r.IntN(6); {
		case k == 0:
			b = append(b, 0xe8, byte(r.IntN(256)), byte(r.IntN(4)), 0, 0)
		case k == 1:
			b = append(b, 0xe8, byte(r.IntN(256)), 0xff, 0xff, 0xff)
		case k == 2 && len(b) > 100:
			from := r.IntN(len(b) - 50)
			b = append(b, b[from:min(len(b), from+3+r.IntN(300))]...)
		case k == 3:
			b = append(b, bytes.Repeat([]byte{byte(r.IntN(256))}, r.IntN(40))...)
		default:
			fmt.Fprintf((*appender)(&b), "mov [%d], eax; ", r.IntN(1000))
		}
	}
	return b[:n]
}

type appender []byte

func (a *appender) Write(p []byte) (int, error) { *a = append(*a, p...); return len(p), nil }

func TestLZX(t *testing.T) {
	verbatim, aligned, mixed := []int{lzxVerbatim}, []int{lzxAligned}, []int{lzxVerbatim, lzxUncompressed, lzxAligned, lzxUncompressed}
	for _, tt := range []struct {
		name         string
		bits, n, e8  int
		kinds, sizes []int
	}{
		{"verbatim", 15, 1000, 0, verbatim, []int{1 << 20}},
		{"several frames", 16, 100_000, 0, verbatim, []int{1 << 20}},
		{"a window that wraps", 15, 200_000, 0, verbatim, []int{50_000}},
		{"aligned", 17, 100_000, 0, aligned, []int{40_000}},
		{"calls", 18, 100_000, 100_000, verbatim, []int{1 << 20}},
		{"calls, of a smaller program", 18, 100_000, 20_000, aligned, []int{30_000}},
		{"not compressed", 15, 70_000, 0, []int{lzxUncompressed}, []int{1 << 20}},
		{"not compressed, odd", 15, 70_000, 70_000, []int{lzxUncompressed}, []int{1001, 3333}},
		{"not compressed, odd, to the end of a frame", 15, 70_000, 0, []int{lzxVerbatim, lzxUncompressed}, []int{lzxFrame - 1001, 1001}},
		{"mixed", 21, 150_000, 150_000, mixed, []int{7001, 12_345, 999}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := program(tt.n)
			cab := makeCab(cabPart{method: uint16(3 | tt.bits<<8), blocks: lzxFrames(tt.bits, data, tt.e8, tt.kinds, tt.sizes), files: []cabEntry{{"a.exe", 0, tt.n}}})
			n := walked(t, Limits{}, "f", cab)
			if len(n.unchecked) > 0 || len(n.data) != 2 {
				t.Fatalf("%d objects, unchecked %q", len(n.data), n.unchecked)
			}
			if got := n.data[1]; got != string(data) {
				t.Errorf("%d bytes, want %d; they differ from %d on", len(got), len(data), differ(got, string(data)))
			}
		})
	}
}

// differ is where two texts begin to differ.
func differ(a, b string) int {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	return i
}

// A byte of padding may stand in the frame that it ends, or before the next one.
func TestLZXPaddingBeforeAFrame(t *testing.T) {
	data := program(70_000)
	blocks := lzxFrames(15, data, 0, []int{lzxVerbatim, lzxUncompressed}, []int{lzxFrame - 1001, 1001})
	n := len(blocks[0].data) - 1
	blocks[0].data, blocks[1].data = blocks[0].data[:n], append([]byte{0}, blocks[1].data...)
	got := walked(t, Limits{}, "f", makeCab(cabPart{method: 3 | 15<<8, blocks: blocks, files: []cabEntry{{"a.exe", 0, len(data)}}}))
	if len(got.unchecked) > 0 || len(got.data) != 2 || got.data[1] != string(data) {
		t.Errorf("%d objects, unchecked %q", len(got.data), got.unchecked)
	}
}

func TestLZXFramesOfOneStream(t *testing.T) {
	data := program(90_000)
	var stream []byte
	for _, b := range lzxFrames(16, data, 0, []int{lzxVerbatim, lzxUncompressed}, []int{10_001}) {
		stream = append(stream, b.data...)
	}
	d, err := newLZXDecoder(16)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		d.restart()
		var got []byte
		for rest := stream; len(got) < len(data); {
			out, used, err := d.frame(rest, len(data)-len(got))
			if got = append(got, out...); err != nil || used == 0 {
				t.Fatalf("after %d bytes: %v, used %d", len(got), err, used)
			}
			rest = rest[used:]
		}
		if !bytes.Equal(got, data) {
			t.Errorf("the data differ from %d on", differ(string(got), string(data)))
		}
	}
}

func TestLZXOfAChunkOfAWIMImage(t *testing.T) {
	// wimlib 1.13.6 made it of program(600).
	chunk, err := hex.DecodeString("" +
		"252000810000020070453600d77fb25d78cbea58f77fbdbb86e5391c47ce92628410c552832fcb12821562d50dbecd8ecb1eb063004200000600a06a68001e02c5fd8249bce3" +
		"4dfa981008e64e48272dbe7f0008000000002a011882827fbc278a48fe16fefe6bff5bef03b5a0b50bb3c3ee1e8b5c42766dd5eefb256cd96412c4e1ee464d9168da72e201a2" +
		"edd4262c95d4096380c21101225c27fb5171c55c53d314ce54c253547eca918e057b91e091e6966b84a7a573bd14267b15ffcfca8673d45fee3b3bc62f1fb79fe91136ccf826" +
		"c7f3c3ae412900541dd10080")
	if err != nil {
		t.Fatal(err)
	}
	d, err := newLZXDecoder(15)
	if err != nil {
		t.Fatal(err)
	}
	d.wim = true
	for range 2 {
		d.restart()
		out, used, err := d.frame(chunk, 600)
		if err != nil || used != len(chunk) || !bytes.Equal(out, program(600)) {
			t.Errorf("%d bytes of %d used, %v, %.60q", used, len(chunk), err, out)
		}
	}
}

func TestLZXOfDamagedStreamsEnds(t *testing.T) {
	data := program(3000)
	block := lzxFrames(15, data, 0, []int{lzxAligned, lzxUncompressed, lzxVerbatim}, []int{900})[0].data
	d, err := newLZXDecoder(15)
	if err != nil {
		t.Fatal(err)
	}
	for i := range block {
		for _, in := range [][]byte{block[:i], damage(block, i)} {
			d.restart()
			out, used, err := d.frame(in, len(data))
			if len(out) > len(data) || used > len(in) || used < 0 {
				t.Fatalf("at %d: %d bytes of %d, used %d", i, len(out), len(data), used)
			}
			if len(in) < len(block) && err == nil && !bytes.Equal(out, data) {
				t.Fatalf("cut to %d bytes: not a word", i)
			}
		}
	}
	if _, err := newLZXDecoder(14); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a window of 14 bits: %v", err)
	}
}

// quantumWriter writes a block of Quantum.
type quantumWriter struct {
	q         *quantumDecoder // for its models alone
	low, high uint16
	shifts    int
	pending   int
	coder     []byte       // bits of the arithmetic coder, in their order
	direct    map[int]byte // other bits, by the place where they are read
}

// encode writes the symbol of a model, and adapts it.
func (w *quantumWriter) encode(m *quantumModel, symbol int) {
	i := 1 + slices.Index(m.symbols[:m.n], uint8(symbol))
	width, total := uint32(w.high-w.low)+1, uint32(m.above[0])
	w.high = w.low + uint16(uint32(m.above[i-1])*width/total-1)
	w.low += uint16(uint32(m.above[i]) * width / total)
	m.adapt(i)
	for {
		switch {
		case (w.low^w.high)&0x8000 == 0:
			w.bit(byte(w.low >> 15))
		case w.low&0x4000 != 0 && w.high&0x4000 == 0:
			w.pending++
			w.low &= 0x3fff
			w.high |= 0x4000
		default:
			return
		}
		w.low, w.high = w.low<<1, w.high<<1|1
		w.shifts++
	}
}

func (w *quantumWriter) bit(b byte) {
	w.coder = append(w.coder, b)
	for ; w.pending > 0; w.pending-- {
		w.coder = append(w.coder, 1-b)
	}
}

// plain writes bits as they are: they stand where the decoder, which is 16 bits
// ahead, reads them.
func (w *quantumWriter) plain(v, n int) {
	for n--; n >= 0; n-- {
		w.direct[16+w.shifts+len(w.direct)] = byte(v >> n & 1)
	}
}

func (w *quantumWriter) slot(m *quantumModel, slots []quantumSlot, v int) {
	i := m.n - 1
	for slots[:m.n][i].base > v {
		i--
	}
	w.encode(m, i)
	w.plain(v-slots[i].base, slots[i].extra)
}

// block packs tokens.
func (w *quantumWriter) block(tokens []lzxToken) (out []byte) {
	w.low, w.high, w.shifts, w.pending, w.coder, w.direct = 0, 0xffff, 0, 0, nil, map[int]byte{}
	for _, t := range tokens {
		switch kind := min(t.n-3, 2); {
		case t.n < 3:
			w.encode(&w.q.selector, t.literal/64)
			w.encode(&w.q.literals[t.literal/64], t.literal)
		default:
			w.encode(&w.q.selector, 4+kind)
			if kind == 2 {
				w.slot(&w.q.lengths, quantumLengths, t.n-5)
			}
			w.slot(&w.q.offsets[kind], quantumOffsets, t.offset-1)
		}
	}
	for i := 15; i >= 0; i-- {
		w.bit(byte(w.high >> i & 1))
	}
	for at := 0; len(w.coder) > 0 || len(w.direct) > 0; at++ {
		b, ok := w.direct[at]
		delete(w.direct, at)
		if !ok && len(w.coder) > 0 {
			b, w.coder = w.coder[0], w.coder[1:]
		}
		if at%8 == 0 {
			out = append(out, 0)
		}
		out[at/8] |= b << (7 - at%8)
	}
	return out
}

// quantumBlocks packs data.
func quantumBlocks(windowBits int, data []byte) (blocks []cabBlock) {
	q, err := newQuantumDecoder(windowBits)
	if err != nil {
		panic(err)
	}
	w := &quantumWriter{q: q}
	finder := &lzxWriter{data: data, window: 1 << windowBits}
	for at := 0; at < len(data); at += lzxFrame {
		tokens := finder.tokens(at, min(at+lzxFrame, len(data)))
		from := at
		var short []lzxToken // matches of two bytes, or of three from afar, cannot be written
		for _, t := range tokens {
			if t.n > 3 || t.n == 3 && t.offset <= 1<<12 {
				short = append(short, t)
				from += t.n
				continue
			}
			for range max(t.n, 1) {
				short = append(short, lzxToken{literal: int(data[from])})
				from++
			}
		}
		blocks = append(blocks, cabBlock{w.block(short), min(lzxFrame, len(data)-at)})
	}
	return blocks
}

func TestQuantum(t *testing.T) {
	for _, tt := range []struct {
		name    string
		bits, n int
	}{
		{"short", 10, 500},
		{"a small window", 10, 50_000},
		{"a window of 32 KiB", 15, 100_000},
		{"the largest window", 21, 100_000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data := program(tt.n)
			cab := makeCab(cabPart{method: uint16(2 | 7<<4 | tt.bits<<8), blocks: quantumBlocks(tt.bits, data), files: []cabEntry{{"a.exe", 0, tt.n}}})
			n := walked(t, Limits{}, "f", cab)
			if len(n.unchecked) > 0 || len(n.data) != 2 {
				t.Fatalf("%d objects, unchecked %q", len(n.data), n.unchecked)
			}
			if got := n.data[1]; got != string(data) {
				t.Errorf("%d bytes, want %d; they differ from %d on", len(got), len(data), differ(got, string(data)))
			}
		})
	}
	// Writer and decoder share their models: this is what cabextract 1.9 was seen to read.
	var stream []byte
	for _, b := range quantumBlocks(15, program(150_000)) {
		stream = append(stream, b.data...)
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(stream)); sum != "60451aa88b3221a3acab1d1b84ada874fb9ffe8d9b77bf1d827286e67614bd85" {
		t.Errorf("the writer's stream has the digest %s", sum)
	}
	if _, err := newQuantumDecoder(9); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a window of 9 bits: %v", err)
	}
}

func TestQuantumOfDamagedStreamsEnds(t *testing.T) {
	data := program(3000)
	block := quantumBlocks(12, data)[0].data
	q, err := newQuantumDecoder(12)
	if err != nil {
		t.Fatal(err)
	}
	for i := range block {
		for _, in := range [][]byte{block[:i], damage(block, i), []byte(strings.Repeat("\xff", i))} {
			q.restart()
			if out, err := q.block(in, len(data)); len(out) > len(data) || len(out) < len(data) && err == nil {
				t.Fatalf("at %d: %d bytes of %d, %v", i, len(out), len(data), err)
			}
		}
	}
}
