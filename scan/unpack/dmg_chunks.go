package unpack

import (
	"bytes"
	"compress/bzip2"
	"fmt"
	"io"
)

// unpack gives a reader of a chunk.
func (d *dmg) unpack(kind uint32, packed []byte) (io.Reader, error) {
	d.release()
	switch kind {
	case dmgADC:
		if d.adc.ring == nil {
			d.adc = newWindow(adcWindow)
		}
		return newADC(&d.adc, packed), nil
	case dmgZlib:
		return d.inflater.zlibbed(packed)
	case dmgBzip2:
		if err := d.f.memory.take(dmgBzip2Memory); err != nil {
			return nil, err
		}
		d.taken = dmgBzip2Memory
		return contained{bzip2.NewReader(bytes.NewReader(packed))}, nil
	case dmgLZFSE:
		if d.lzfse == nil {
			d.lzfse = newLZFSE(packed)
		} else {
			d.lzfse.restart(packed)
		}
		return d.lzfse, nil
	case dmgXZ:
		d.xz = &xzReader{data: packed, memory: d.f.memory}
		return d.xz, nil
	}
	return nil, fmt.Errorf("%w: chunk of type %#x", ErrUnsupported, kind)
}

// dmgBzip2Memory is what the largest blocks of bzip2 take to unpack.
const dmgBzip2Memory = 4 << 20

// release gives back the memory that the last chunk took.
func (d *dmg) release() {
	if d.xz != nil {
		d.xz.release()
	}
	d.f.memory.give(d.taken)
	d.xz, d.taken = nil, 0
}

// adcWindow is more than the largest distance in ADC.
const adcWindow = 1 << 16

// newADC unpacks Apple Data Compression: codes of a byte and literals, or of two or
// three bytes for what is repeated.
func newADC(w *window, in []byte) io.Reader {
	*w = window{ring: w.ring}
	literals := 0
	step := func() error {
		if len(in) == 0 {
			return io.EOF
		}
		c := int(in[0])
		size := 1
		switch {
		case literals > 0:
			w.put(in[0])
			literals--
		case c >= 0x80:
			literals = c&0x7f + 1
		case c >= 0x40:
			if size = 3; len(in) >= size {
				w.match(int(in[1])<<8+int(in[2])+1, c&0x3f+4)
			}
		default:
			if size = 2; len(in) >= size {
				w.match(c&3<<8+int(in[1])+1, c>>2+3)
			}
		}
		if len(in) < size {
			return errShort
		}
		in = in[size:]
		if w.length > 0 && w.distance > w.written {
			return errDisk("distance")
		}
		return nil
	}
	return &windowReader{window: w, step: step}
}
