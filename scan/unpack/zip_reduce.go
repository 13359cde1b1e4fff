package unpack

import "io"

// Reducing (APPNOTE, section 5.2) replaces repeated bytes by matches, then each
// byte by its number among those that often follow the byte before it.
const (
	reduceMark    = 144 // begins a match
	reduceWindow  = 4 << 10
	maxFollowers  = 32
	reduceMinimum = 3 // length of a match
)

// expander unpacks what was reduced.
type expander struct {
	bitStream
	window
	followers [256][]byte // of each byte, the likeliest first
	ready     bool        // they have been read
	last      byte
	lowBits   uint // of a match's first byte that are its length: 7 for method 2 to 4 for method 5
}

// newExpander unpacks what was reduced with a factor from 1 to 4.
func newExpander(in io.ByteReader, factor int) io.Reader {
	x := &expander{bitStream: bitStream{in: in}, window: newWindow(reduceWindow), lowBits: uint(8 - factor)}
	return &windowReader{window: &x.window, step: x.step}
}

// step reads a byte that stands for itself, or a match.
func (x *expander) step() error {
	if !x.ready {
		x.ready = true
		return x.readFollowers()
	}
	c, err := x.next()
	if err != nil {
		return err
	}
	if c != reduceMark {
		x.put(c)
		return nil
	}
	v, err := x.next()
	if err != nil {
		return err
	}
	if v == 0 {
		x.put(reduceMark)
		return nil
	}
	return x.readMatch(v)
}

// readMatch reads the rest of a match. Its first byte is v.
func (x *expander) readMatch(v byte) error {
	most := 1<<x.lowBits - 1
	length := int(v) & most
	if length == most {
		more, err := x.next()
		if err != nil {
			return err
		}
		length += int(more)
	}
	low, err := x.next()
	if err != nil {
		return err
	}
	x.match(int(v)>>x.lowBits<<8+int(low)+1, length+reduceMinimum)
	return nil
}

func (x *expander) readFollowers() error {
	for i := len(x.followers) - 1; i >= 0; i-- {
		n, err := x.bits(6)
		if err != nil {
			return err
		}
		if n > maxFollowers {
			return errCodes
		}
		set := make([]byte, n)
		for j := range set {
			v, err := x.bits(8)
			if err != nil {
				return err
			}
			set[j] = byte(v)
		}
		x.followers[i] = set
	}
	return nil
}

// next reads a byte by the one before it.
func (x *expander) next() (byte, error) {
	set := x.followers[x.last]
	literal := uint32(1)
	var err error
	if len(set) > 0 {
		if literal, err = x.bits(1); err != nil {
			return 0, err
		}
	}
	if literal == 1 {
		v, err := x.bits(8)
		x.last = byte(v)
		return x.last, err
	}
	width := uint(1)
	for 1<<width < len(set) {
		width++
	}
	v, err := x.bits(width)
	switch {
	case err != nil:
		return 0, err
	case int(v) >= len(set):
		return 0, errCode
	}
	x.last = set[v]
	return x.last, nil
}

// expanded reads what was reduced: methods 2 to 5 have the factors 1 to 4.
func (z *zipReader) expanded(e *zipEntry, in zipInput) (io.Reader, error) {
	return e.sized(newExpander(in, int(e.method)-1)), nil
}
