package unpack

// The methods of LArc, lzs and lz5: copies are of what stands at a place of the
// ring buffer, not at a distance, and no code is shorter than another.

// larcRing tells where in its ring buffer a LArc decoder is.
type larcRing struct {
	size  int
	begin int // where the first byte goes
}

var (
	lzsRing = larcRing{size: 2 << 10, begin: 2<<10 - 17}
	lz5Ring = larcRing{size: 4 << 10, begin: 4<<10 - 18}
)

// distance is how far back from the next byte a place of the ring is.
func (r larcRing) distance(w *lzWindow, place int) int {
	at := r.begin + int(w.total()%int64(r.size))
	return (at-place-1)&(r.size-1) + 1
}

// lzs decodes bits: one that tells a byte from a copy, then 8, or 11 and 4.
type lzs struct{ bits *bitReader }

func (d lzs) decode(w *lzWindow, upTo int) error {
	for w.end < upTo {
		if d.bits.ended() {
			return errLZEnd
		}
		if d.bits.take(1) == 1 {
			w.put(byte(d.bits.take(8)))
			continue
		}
		place, length := d.bits.take(11), d.bits.take(4)+2
		if err := w.copy(lzsRing.distance(w, place), length); err != nil {
			return err
		}
	}
	return nil
}

// lz5 decodes bytes: one that tells for the next eight items which of them are
// copies, from its lowest bit up; then one for each byte, two for each copy.
type lz5 struct {
	bits  *bitReader
	flags int
	items int // that flags are left for
}

func (d *lz5) decode(w *lzWindow, upTo int) error {
	for w.end < upTo {
		if d.bits.ended() {
			return errLZEnd
		}
		if d.items == 0 {
			d.flags, d.items = d.bits.take(8), 8
		}
		literal := d.flags&1 == 1
		d.flags >>= 1
		d.items--
		low := d.bits.take(8)
		if literal {
			w.put(byte(low))
			continue
		}
		high := d.bits.take(8)
		if err := w.copy(lz5Ring.distance(w, high&0xf0<<4|low), high&0xf+3); err != nil {
			return err
		}
	}
	return nil
}

// lz5History fills the window with what LArc's ring buffer holds at first: 13 of
// each byte, all bytes up and down, zeros, blanks, and zeros where begin is.
func lz5History(w *lzWindow) {
	ring := make([]byte, 0, lz5Ring.size)
	for b := range 256 {
		for range 13 {
			ring = append(ring, byte(b))
		}
	}
	for b := range 256 {
		ring = append(ring, byte(b))
	}
	for b := range 256 {
		ring = append(ring, byte(255-b))
	}
	ring = append(ring, make([]byte, 128)...)
	for len(ring) < lz5Ring.begin {
		ring = append(ring, ' ')
	}
	ring = append(ring, make([]byte, lz5Ring.size-lz5Ring.begin)...)
	n := copy(w.buf[w.end-lz5Ring.size:], ring[lz5Ring.begin:])
	copy(w.buf[w.end-lz5Ring.size+n:], ring[:lz5Ring.begin])
}
