package unpack

import "io"

// Imploding (APPNOTE, section 5.3) is matches and literals, each in a
// Shannon-Fano code that stands before them. The bits of the codes are inverted.
const (
	implodeLarge    = 1 << 1 // flag: the window has 8 KiB, not 4
	implodeLiterals = 1 << 2 // flag: literals have a code too
)

// exploder unpacks what was imploded.
type exploder struct {
	bitStream
	window
	literals, lengths, distances *prefixCode // literals: nil when they are plain bytes
	ready                        bool        // the codes have been read
	lowBits                      uint        // of a distance that are not in its code
	minimum                      int         // length of a match
}

// newExploder unpacks what was imploded under the flags of an entry.
func newExploder(in io.ByteReader, flags uint16) io.Reader {
	x := &exploder{bitStream: bitStream{in: in}, lowBits: 6, minimum: 2}
	if flags&implodeLarge != 0 {
		x.lowBits = 7
	}
	if flags&implodeLiterals != 0 {
		x.minimum = 3
		x.literals = &prefixCode{} // to be read
	}
	x.window = newWindow(64 << x.lowBits)
	return &windowReader{window: &x.window, step: x.step}
}

// step reads a literal or a match.
func (x *exploder) step() error {
	if !x.ready {
		x.ready = true
		return x.readCodes()
	}
	literal, err := x.bits(1)
	if err != nil {
		return err
	}
	if literal == 0 {
		return x.readMatch()
	}
	if x.literals == nil {
		v, err := x.bits(8)
		if err == nil {
			x.put(byte(v))
		}
		return err
	}
	v, err := x.symbol(x.literals)
	if err == nil {
		x.put(byte(v))
	}
	return err
}

func (x *exploder) readMatch() error {
	low, err := x.bits(x.lowBits)
	if err != nil {
		return err
	}
	high, err := x.symbol(x.distances)
	if err != nil {
		return err
	}
	length, err := x.symbol(x.lengths)
	if err != nil {
		return err
	}
	if length == 63 {
		more, err := x.bits(8)
		if err != nil {
			return err
		}
		length += int(more)
	}
	x.match(high<<x.lowBits+int(low)+1, length+x.minimum)
	return nil
}

func (x *exploder) readCodes() (err error) {
	if x.literals != nil {
		if x.literals, err = x.readCode(256); err != nil {
			return err
		}
	}
	if x.lengths, err = x.readCode(64); err != nil {
		return err
	}
	x.distances, err = x.readCode(64)
	return err
}

// readCode reads the code of so many symbols: runs of symbols of which the codes
// have the same length.
func (x *exploder) readCode(symbols int) (*prefixCode, error) {
	runs, err := x.bits(8)
	if err != nil {
		return nil, err
	}
	var lengths []byte
	for range runs + 1 {
		v, err := x.bits(8)
		if err != nil {
			return nil, err
		}
		n := int(v>>4) + 1
		if n > symbols-len(lengths) {
			return nil, errCodes
		}
		for range n {
			lengths = append(lengths, byte(v&15)+1)
		}
	}
	if len(lengths) < symbols {
		return nil, errCodes
	}
	h, _, err := newPrefixCode(lengths, true)
	return h, err
}

// exploded reads what was imploded.
func (z *zipReader) exploded(e *zipEntry, in zipInput) (io.Reader, error) {
	return e.sized(newExploder(in, e.flags)), nil
}
