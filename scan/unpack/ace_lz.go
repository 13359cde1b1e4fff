package unpack

// aceReach is how far back copies can reach: dictionaries have 4 MiB at the most.
const aceReach = 4 << 20

// aceWindow holds what was unpacked of an archive. It grows as it is filled, whatever
// size of a dictionary the headers state, up to twice of what copies can reach.
type aceWindow struct {
	memory *memory
	buf    []byte
	end    int // of what was unpacked
}

const (
	aceFirstWindow = 2 * lzStep
	aceLastWindow  = 2 * aceReach
)

// room makes place for lzStep bytes and a copy.
func (w *aceWindow) room() error {
	if w.end+lzStep+lzLongest <= len(w.buf) {
		return nil
	}
	if len(w.buf) == aceLastWindow {
		copy(w.buf, w.buf[w.end-aceReach:w.end])
		w.end = aceReach
		return nil
	}
	size := max(aceFirstWindow, 2*len(w.buf))
	if err := w.memory.take(int64(size)); err != nil {
		return err
	}
	larger := make([]byte, size)
	copy(larger, w.buf[:w.end])
	w.memory.give(int64(len(w.buf)))
	w.buf = larger
	return nil
}

// free empties the window.
func (w *aceWindow) free() {
	w.memory.give(int64(len(w.buf)))
	w.buf, w.end = nil, 0
}

// write adds what was unpacked in another way.
func (w *aceWindow) write(b []byte) error {
	b = b[max(0, len(b)-aceReach):]
	for len(b) > 0 {
		if err := w.room(); err != nil {
			return err
		}
		n := copy(w.buf[w.end:w.end+lzStep], b)
		w.end += n
		b = b[n:]
	}
	return nil
}

// like makes the window hold what another one does.
func (w *aceWindow) like(other *aceWindow) error {
	w.end = 0
	return w.write(other.buf[max(0, other.end-aceReach):other.end])
}

// copy repeats what stands distance bytes back. Before the first byte there are zeros.
func (w *aceWindow) copy(distance, length int) {
	from := w.end - distance
	for ; from < 0 && length > 0; length-- {
		w.buf[w.end] = 0
		w.end++
		from++
	}
	to := w.buf[w.end : w.end+length]
	if length == 0 {
		return
	}
	if distance >= length {
		copy(to, w.buf[from:])
	} else {
		for i := range to {
			to[i] = w.buf[from+i]
		}
	}
	w.end += length
}

const (
	aceLiterals    = 256 // symbols from here on copy
	aceDistances   = 260 // those before it are the last four distances again
	aceModeSymbol  = 283
	aceMainSymbols = 284
	aceCopySymbols = 255
	aceLeastCopy   = 2

	// A copy from further than these is a byte longer than its code says, each.
	aceNear    = 255
	aceMedium  = 8191
	aceHistory = 4
)

// aceLZ decodes blocks of LZ77, each with its tables in front.
type aceLZ struct {
	bits         *aceBits
	main, copies aceCode
	left         int             // symbols that the block still has
	recent       [aceHistory]int // distances less one, the last one last
}

// decode decodes into w until it ends at upTo, or up to a copy behind, or until the
// mode changes.
func (z *aceLZ) decode(w *aceWindow, upTo int) (mode aceMode, changes bool, err error) {
	for w.end < upTo {
		for z.left == 0 {
			if err := z.tables(); err != nil {
				return mode, false, err
			}
		}
		z.left--
		switch symbol := z.main.next(z.bits); {
		case z.bits.over():
			return mode, false, errLZEnd
		case symbol < 0 || symbol > aceModeSymbol:
			return mode, false, errLZCode
		case symbol < aceLiterals:
			w.buf[w.end] = byte(symbol)
			w.end++
		case symbol == aceModeSymbol:
			mode = newACEMode(z.bits)
			return mode, true, nil
		default:
			distance, length := z.copy(symbol)
			if length < 0 {
				return mode, false, errLZCode
			}
			if z.bits.over() {
				return mode, false, errLZEnd
			}
			w.copy(distance, length)
		}
	}
	return mode, false, nil
}

// tables reads what stands in front of a block.
func (z *aceLZ) tables() error {
	if err := z.main.read(z.bits, aceLongest, aceMainSymbols); err != nil {
		return err
	}
	if err := z.copies.read(z.bits, aceLongest, aceCopySymbols); err != nil {
		return err
	}
	z.left = z.bits.take(15)
	switch {
	case z.bits.over():
		return errLZEnd
	case z.main.strict && z.main.empty:
		return errLZTable
	}
	return nil
}

// copy reads what is to be copied; a length below 0 when there is no such code.
func (z *aceLZ) copy(symbol int) (distance, length int) {
	length = aceLeastCopy
	if symbol < aceDistances {
		i := symbol - aceLiterals
		distance = z.recent[aceHistory-1-i]
		copy(z.recent[aceHistory-1-i:], z.recent[aceHistory-i:])
		if i > 1 {
			length++
		}
	} else {
		if distance = symbol - aceDistances; distance > 1 { // a number of so many bits, the first of which is 1
			distance = 1<<(distance-1) | z.bits.take(distance-1)
		}
		copy(z.recent[:], z.recent[1:])
		if distance > aceNear {
			length++
		}
		if distance > aceMedium {
			length++
		}
	}
	z.recent[aceHistory-1] = distance
	n := z.copies.next(z.bits)
	if n < 0 {
		return 0, -1
	}
	return distance + 1, length + n
}
