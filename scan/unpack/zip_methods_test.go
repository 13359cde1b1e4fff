package unpack

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// No tool of today shrinks, reduces or implodes. The encoders below do, plainly:
// they are written from the same specification as the decoders, which were tried
// on archives of PKZIP besides.

// zipMethodsBitWriter writes bits, the lowest first.
type zipMethodsBitWriter struct {
	out  []byte
	held uint64
	n    uint
}

func (w *zipMethodsBitWriter) bits(v, n uint) {
	w.held |= uint64(v) << w.n
	for w.n += n; w.n >= 8; w.n -= 8 {
		w.out = append(w.out, byte(w.held))
		w.held >>= 8
	}
}

func (w *zipMethodsBitWriter) String() string {
	if w.n > 0 {
		return string(w.out) + string([]byte{byte(w.held)})
	}
	return string(w.out)
}

// code writes a code, its first bit first, inverted.
func (w *zipMethodsBitWriter) code(c codeOf) {
	for i := c.length; i > 0; i-- {
		w.bits(^c.bits>>(i-1)&1, 1)
	}
}

type codeOf struct{ bits, length uint }

// codesOf gives the canonical codes of some lengths.
func codesOf(lengths []byte) []codeOf {
	codes := make([]codeOf, len(lengths))
	next := uint(0)
	for length := byte(1); length <= 16; length++ {
		next <<= 1
		for symbol, n := range lengths {
			if n == length {
				codes[symbol] = codeOf{next, uint(length)}
				next++
			}
		}
	}
	return codes
}

// longestMatch finds the longest match for what begins at at, up to so many bytes
// back; length 0 when there is none of at least 3.
func longestMatch(s string, at, back, most int) (distance, length int) {
	for d := 1; d <= min(at, back); d++ {
		n := 0
		for n < most && at+n < len(s) && s[at+n] == s[at+n-d] {
			n++
		}
		if n > max(length, 2) {
			distance, length = d, n
		}
	}
	return distance, length
}

// shrunk shrinks. When codes are used up they are given free, early enough that
// this happens in a test.
func shrunk(s string) string {
	w := &zipMethodsBitWriter{}
	u := newUnshrinker(nil) // the decoder's table, for the encoder to keep in step with
	children := map[[2]int]int{}
	command := func(v uint) { w.bits(shrinkControl, u.width); w.bits(v, u.width) }
	index := func() {
		clear(children)
		for c := shrinkControl + 1; c < len(u.parent); c++ {
			if p := int(u.parent[c]); p != shrinkFree && p != c && (p < 256 || u.parent[p] != shrinkFree) {
				children[[2]int{p, int(u.suffix[c])}] = c
			}
		}
	}
	given := 0
	for at := 0; at < len(s); {
		code, n := int(s[at]), 1
		for at+n < len(s) {
			c, ok := children[[2]int{code, int(s[at+n])}]
			if !ok || c == u.previous && u.parent[c] == shrinkFree {
				break
			}
			code, n = c, n+1
		}
		for code >= 1<<u.width {
			command(shrinkWiden)
			u.width++
		}
		w.bits(uint(code), u.width)
		first := s[at]
		if u.previous != shrinkFree {
			u.first = first
			before := u.next
			u.give()
			if p := u.previous; p != u.next && u.next > before && (p < 256 || u.parent[p] != shrinkFree) {
				children[[2]int{p, int(first)}] = u.next
			}
			given++
		}
		u.previous = code
		at += n
		if given == 7500 {
			command(shrinkClear)
			u.clear()
			index()
			given = 0
		}
	}
	return w.String()
}

// reduced reduces with a factor, each byte having the same followers.
func reduced(s string, factor int) string {
	var bytes []byte
	for at := 0; at < len(s); {
		d, n := longestMatch(s, at, 256<<factor, 1<<(8-factor)+200)
		most := 1<<(8-factor) - 1
		v := (d - 1) >> 8 << (8 - factor)
		rest := n - reduceMinimum
		if n == 0 || v|min(rest, most) == 0 { // that would mean the mark itself
			bytes = append(bytes, s[at])
			if s[at] == reduceMark {
				bytes = append(bytes, 0)
			}
			at++
			continue
		}
		bytes = append(bytes, reduceMark, byte(v|min(rest, most)))
		if rest >= most {
			bytes = append(bytes, byte(rest-most))
		}
		bytes = append(bytes, byte(d-1))
		at += n
	}
	w := &zipMethodsBitWriter{}
	sets := make([][]byte, 256)
	for i := range 256 {
		sets[i] = []byte("a harmlestxHARMLESTX, KIYO-M")[:i%29]
	}
	for i := 255; i >= 0; i-- {
		w.bits(uint(len(sets[i])), 6)
		for _, c := range sets[i] {
			w.bits(uint(c), 8)
		}
	}
	last := byte(0)
	for _, c := range bytes {
		set := sets[last]
		i := slices.Index(set, c)
		switch {
		case len(set) == 0:
			w.bits(uint(c), 8)
		case i < 0:
			w.bits(1, 1)
			w.bits(uint(c), 8)
		default:
			width := uint(1)
			for 1<<width < len(set) {
				width++
			}
			w.bits(0, 1)
			w.bits(uint(i), width)
		}
		last = c
	}
	return w.String()
}

// unevenLengths makes a complete code of so many symbols with short and long codes.
func unevenLengths(symbols int) []byte {
	lengths := []byte{1, 2, 3, 4, 5}
	rest := symbols - len(lengths)
	width := byte(0)
	for 1<<width < rest {
		width++
	}
	short := 1<<width - rest // symbols that can be one bit shorter
	for i := range rest {
		if i < short {
			lengths = append(lengths, 5+width-1)
		} else {
			lengths = append(lengths, 5+width)
		}
	}
	return lengths
}

// imploded implodes under some flags.
func imploded(s string, flags uint16) string {
	w := &zipMethodsBitWriter{}
	write := func(symbols int) []codeOf {
		lengths := unevenLengths(symbols)
		var runs []byte
		for i := 0; i < len(lengths); {
			n := 1
			for n < 16 && i+n < len(lengths) && lengths[i+n] == lengths[i] {
				n++
			}
			runs = append(runs, byte(n-1)<<4|(lengths[i]-1))
			i += n
		}
		w.bits(uint(len(runs)-1), 8)
		for _, r := range runs {
			w.bits(uint(r), 8)
		}
		return codesOf(lengths)
	}
	low, minimum := uint(6), 2
	var literals []codeOf
	if flags&implodeLarge != 0 {
		low = 7
	}
	if flags&implodeLiterals != 0 {
		minimum = 3
		literals = write(256)
	}
	lengths, distances := write(64), write(64)
	for at := 0; at < len(s); {
		d, n := longestMatch(s, at, 64<<low, 63+255+minimum)
		if n == 0 {
			w.bits(1, 1)
			if literals != nil {
				w.code(literals[s[at]])
			} else {
				w.bits(uint(s[at]), 8)
			}
			at++
			continue
		}
		w.bits(0, 1)
		w.bits(uint(d-1)&(1<<low-1), low)
		w.code(distances[(d-1)>>low])
		w.code(lengths[min(n-minimum, 63)])
		if n-minimum >= 63 {
			w.bits(uint(n-minimum-63), 8)
		}
		at += n
	}
	return w.String()
}

// dclImploded implodes as the library does.
func dclImploded(s string, coded bool, low uint) string {
	expand := func(runs []byte) []codeOf {
		var lengths []byte
		for _, v := range runs {
			lengths = append(lengths, bytes.Repeat([]byte{v & 15}, int(v>>4)+1)...)
		}
		return codesOf(lengths)
	}
	literals, lengths, distances := expand(dclLiteralRuns[:]), expand(dclLengthRuns[:]), expand(dclDistanceRuns[:])
	w := &zipMethodsBitWriter{}
	if coded {
		w.bits(1, 8)
	} else {
		w.bits(0, 8)
	}
	w.bits(low, 8)
	length := func(n int) {
		for i := len(dclLengths) - 1; ; i-- {
			if rest := n - dclLengths[i]; rest >= 0 && rest < 1<<dclLengthBits[i] {
				w.code(lengths[i])
				w.bits(uint(rest), dclLengthBits[i])
				return
			}
		}
	}
	for at := 0; at < len(s); {
		d, n := longestMatch(s, at, 64<<low, 518)
		if n == 0 {
			w.bits(0, 1)
			if coded {
				w.code(literals[s[at]])
			} else {
				w.bits(uint(s[at]), 8)
			}
			at++
			continue
		}
		w.bits(1, 1)
		length(n)
		w.code(distances[(d-1)>>low])
		w.bits(uint(d-1)&(1<<low-1), low)
		at += n
	}
	w.bits(1, 1)
	length(dclEnd)
	return w.String()
}

// oldMethod is a method that an encoder of ours makes.
type oldMethod struct {
	name   string
	method uint16
	flags  uint16
	pack   func(string) string
}

func oldMethods() []oldMethod {
	list := []oldMethod{{"shrink", 1, 0, shrunk}}
	for factor := 1; factor <= 4; factor++ {
		list = append(list, oldMethod{fmt.Sprint("reduce ", factor), uint16(factor + 1), 0, func(s string) string { return reduced(s, factor) }})
	}
	for _, flags := range []uint16{0, implodeLarge, implodeLiterals, implodeLarge | implodeLiterals} {
		list = append(list, oldMethod{fmt.Sprint("implode ", flags), 6, flags, func(s string) string { return imploded(s, flags) }})
	}
	for low := uint(4); low <= 6; low++ {
		for _, coded := range []bool{false, true} {
			list = append(list, oldMethod{fmt.Sprint("implode of the DCL ", low, coded), 10, 0, func(s string) string { return dclImploded(s, coded, low) }})
		}
	}
	return list
}

// record describes an entry that is packed.
func (o oldMethod) record(content string) (record, string) {
	d := o.pack(content)
	return record{method: o.method, flags: o.flags, crc: crc32.ChecksumIEEE([]byte(content)), packed: uint32(len(d)), size: uint32(len(content)), name: "a.txt"}, d
}

func TestOldMethods(t *testing.T) {
	var words strings.Builder
	for i := range 9000 {
		fmt.Fprintf(&words, "%d %x harmless, ", i*i, i*7919)
	}
	contents := map[string]string{
		"text": text, "long text": words.String()[:12_000] + text, "the same again and again": strings.Repeat("ab", 3000) + strings.Repeat("\x90", 700) + text,
		"noise": zipNoise(5000) + text, "one byte": "x", "every byte": string(slices.Collect(func(yield func(byte) bool) {
			for i := range 256 {
				yield(byte(i))
			}
		})),
	}
	for _, o := range oldMethods() {
		for name, content := range contents {
			t.Run(o.name+", "+name, func(t *testing.T) {
				if o.method == 1 && name == "long text" {
					content = words.String() + text // enough that codes are given free
				}
				r, d := o.record(content)
				later := r.with(func(r *record) { r.flags |= zipLater; r.crc, r.packed, r.size = 0, 0, 0 })
				descriptor := zipDescriptorMagic + r.local()[14:26]
				locked, sealed := cryptRecord("secret", r, d)
				aes, aesData := aesRecord("secret", 2, 3, r, d)
				for what, data := range map[string]string{
					"plain": archive(r, r, d), "sizes behind the bytes": archive(later, r, d+descriptor), "no directory": later.local() + d + descriptor,
					"ZipCrypto": archive(locked, locked, sealed), "AES": archive(aes, aes, aesData),
				} {
					n := opened(t, []string{"wrong", "secret"}, []byte(data))
					if len(n.data) != 2 || n.data[1] != content {
						t.Errorf("%s: objects %q, unchecked %q", what, n.objects, n.unchecked)
					}
					if told := strings.Join(n.unchecked, ";"); told != "" && (what != "no directory" || told != "x.zip: zip: damaged: no central directory") {
						t.Errorf("%s: unchecked %q", what, told)
					}
				}
			})
		}
	}
}

// The example that goes with the description of the DCL's format.
func TestDCLOfItsDescription(t *testing.T) {
	got, err := io.ReadAll(newDCLExploder(strings.NewReader("\x00\x04\x82\x24\x25\x8f\x80\x7f")))
	if err != nil || string(got) != "AIAIAIAIAIAIA" {
		t.Errorf("%q, %v", got, err)
	}
}

// packedEntries are archives of one entry for each method.
func packedEntries(t testing.TB) map[string][]byte {
	list := make(map[string][]byte)
	for _, o := range oldMethods() {
		r, d := o.record(text)
		list[o.name] = []byte(archive(r, r, d))
	}
	for _, s := range samples(t) {
		if strings.HasPrefix(s.file, "zip-") && s.readable() {
			list[s.file] = load(t, s.file)
		}
	}
	return list
}

func TestEveryMethodCutOffAnywhereIsNeverSilent(t *testing.T) {
	for _, o := range oldMethods() { // the others have samples
		r, d := o.record(text)
		name, whole := o.name, []byte(archive(r, r, d))
		for n := range whole {
			got := walked(t, Limits{}, "x.zip", whole[:n:n])
			if len(Detect(File{Data: whole[:n]})) > 0 && got.marked == "" && len(got.unchecked) == 0 {
				t.Fatalf("%s cut to %d of %d bytes: objects %q and not a word", name, n, len(whole), got.objects)
			}
		}
	}
}

func TestEveryMethodWithAnyByteChangedIsNeverSilent(t *testing.T) {
	for name, whole := range packedEntries(t) {
		central := bytes.Index(whole, []byte(zipCentralMagic))
		for i := range central {
			data := slices.Clone(whole)
			data[i] ^= 1 << (i % 8)
			got := walked(t, Limits{}, "x.zip", data)
			if got.marked == "" && len(got.unchecked) == 0 {
				t.Errorf("%s, byte %d changed: objects %q and not a word", name, i, got.objects)
			}
			for _, told := range got.unchecked {
				if strings.Contains(told, "panicked") {
					t.Errorf("%s, byte %d changed: %s", name, i, told)
				}
			}
		}
	}
}

// Sizes that lie are read both ways where the headers disagree.
func TestSizesOfOldMethodsThatDisagree(t *testing.T) {
	for _, o := range oldMethods() {
		r, d := o.record(text)
		for what, lie := range map[string]func(*record){
			"size":   func(r *record) { r.size = 3 },
			"packed": func(r *record) { r.packed = 3 },
			"none":   func(r *record) { r.packed, r.size = 0, 0 },
			"large":  func(r *record) { r.packed, r.size = 1<<31, 1<<31 },
		} {
			for _, data := range []string{archive(r.with(lie), r, d), archive(r, r.with(lie), d)} {
				if n := walked(t, Limits{}, "x.zip", []byte(data)); n.marked != "a.txt" {
					t.Errorf("%s, %s lies: objects %q, unchecked %q", o.name, what, n.objects, n.unchecked)
				}
			}
			n := walked(t, Limits{}, "x.zip", []byte(archive(r.with(lie), r.with(lie), d)))
			if n.marked == "" && len(n.unchecked) == 0 {
				t.Errorf("%s, both %s lie: objects %q and not a word", o.name, what, n.objects)
			}
		}
	}
}

func TestDictionariesAreBounded(t *testing.T) {
	lzma := load(t, "zip-lzma.zip")
	dictionary := bytes.Index(lzma, []byte("note.txt")) + len("note.txt") + 4 + 1
	ppmd := load(t, "zip-ppmd.zip")
	head := bytes.Index(ppmd, []byte("請求書.txt")) + len("請求書.txt")
	xz := load(t, "zip-xz.zip")
	filter := bytes.Index(xz, []byte("\x21\x01"))
	for _, tt := range []struct {
		name   string
		data   []byte
		change func([]byte)
	}{
		{"lzma, 4 GiB", lzma, func(b []byte) { copy(b[dictionary:], "\xff\xff\xff\xff") }},
		{"lzma, nothing", lzma, func(b []byte) { copy(b[dictionary:], "\x00\x00\x00\x00") }},
		{"ppmd, 256 MiB", ppmd, func(b []byte) { b[head] |= 0xf0; b[head+1] |= 0x0f }},
		{"xz, 4 GiB", xz, func(b []byte) { b[filter+2] = 40 }},
	} {
		data := slices.Clone(tt.data)
		tt.change(data)
		// The bytes do not refer that far: they are read all the same.
		if n := walked(t, Limits{}, "x.zip", data); n.marked == "" {
			t.Errorf("%s: objects %q, unchecked %q", tt.name, n.objects, n.unchecked)
		}
	}
}

func TestWindowsOfZstdAreBounded(t *testing.T) {
	content := strings.Repeat(text, 1000)
	for _, tt := range []struct {
		window    int
		unchecked string
	}{
		{64 << 20, ""},
		{128 << 20, "x.zip/a.txt: zip: a.txt: unsupported method: dictionary of more than 64 MiB"},
	} {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, zstd.WithWindowSize(tt.window), zstd.WithSingleSegment(false))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, content)
		w.Flush() // the size is not known when the header is written
		w.Close()
		r := record{method: 93, crc: crc32.ChecksumIEEE([]byte(content)), packed: uint32(b.Len()), size: uint32(len(content)), name: "a.txt"}
		n := walked(t, Limits{}, "x.zip", []byte(archive(r, r, b.String())))
		if got := strings.Join(n.unchecked, ";"); got != tt.unchecked || (n.marked == "") != (tt.unchecked != "") {
			t.Errorf("a window of %d: objects %q, unchecked %q", tt.window, n.objects, got)
		}
	}
}

// Archives of 7z 26.02 -mm=PPMd -mo=16 -mmem=1m, of which the text needs more than
// that memory: -mx=5 begins anew then, -mx=9 forgets the longest contexts.
func TestPPMdModelsThatGetFull(t *testing.T) {
	for _, file := range []string{"ppmd-restart.zip", "ppmd-cutoff.zip"} {
		data, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if n := walked(t, Limits{}, file, data); n.marked != "note.txt" || len(n.unchecked) > 0 {
			t.Errorf("%s: objects %q, unchecked %q", file, n.objects, n.unchecked)
		}
	}
}

func TestPPMdWithMoreMemoryThanThereIs(t *testing.T) {
	m := newPPMdModel(4, 256<<20, ppmdRestart, nil)
	if m.size != ppmdMemory || m.full {
		t.Fatalf("%d bytes, full %v", m.size, m.full)
	}
	m.restore(m.minContext)
	if !m.full {
		t.Error("the memory was full, and nobody knows")
	}
	m = newPPMdModel(4, 1<<20, ppmdRestart, nil)
	if m.restore(m.minContext); m.full {
		t.Error("the model has all the memory that it needs")
	}
}

func TestDeflate64(t *testing.T) {
	long := func() string { // one literal, then a match of the longest length
		w := &zipMethodsBitWriter{}
		w.bits(1, 1)
		w.bits(1, 2)
		msb := func(v, n uint) {
			for i := n; i > 0; i-- {
				w.bits(v>>(i-1)&1, 1)
			}
		}
		msb(0x30+'a', 8)
		msb(0xc0+285-280, 8)
		w.bits(65535, 16)
		msb(0, 5)
		msb(0, 7)
		return w.String()
	}()
	for _, tt := range []struct {
		name, data string
		want       int
		err        error
	}{
		{"the longest match", long, 1 + 65538, nil},
		{"cut short", long[:len(long)-2], -1, io.ErrUnexpectedEOF},
		{"stored", "\x01\x03\x00\xfc\xffabc", 3, nil},
		{"stored, wrong length", "\x01\x03\x00\xfc\x00abc", 0, errors.New("invalid length of a stored block")},
		{"nothing", "", 0, io.ErrUnexpectedEOF},
		{"the fourth kind of block", "\x07", 0, errors.New("invalid block")},
		{"too far back", "\x03\x02\x00", -1, errDistance},
	} {
		in := strings.NewReader(tt.data + "behind")
		if tt.err == io.ErrUnexpectedEOF {
			in = strings.NewReader(tt.data)
		}
		got, err := io.ReadAll(newDeflate64(in))
		if tt.want >= 0 && len(got) != tt.want || fmt.Sprint(err) != fmt.Sprint(tt.err) {
			t.Errorf("%s: %d bytes, %v", tt.name, len(got), err)
		}
		if err == nil && in.Len() != len("behind") {
			t.Errorf("%s: %d bytes behind it are left", tt.name, in.Len())
		}
	}
	// What gives no single bytes is read all the same.
	if got, err := io.ReadAll(newDeflate64(io.LimitReader(strings.NewReader(long), 100))); err != nil || len(got) != 65539 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
