package unpack

import "math/bits"

// Sound: each byte is told by how much it differs from what the ones before it make
// likely, for each channel by itself.

const (
	aceSoundLongest = 10  // bits of a code
	aceSoundRuns    = 32  // symbols below stand for so many right guesses, and one more
	aceSoundMode    = 288 // the mode changes
	aceSoundSymbols = 289
	aceSoundCodes   = 3 // of a channel
)

// aceSoundChannels says whose byte each of four in a row is, by mode: 8 bits, 16 bits,
// and two ways for 32.
var aceSoundChannels = [4][4]uint8{{}, {0, 1, 0, 1}, {0, 1, 0, 2}, {1, 0, 2, 0}}

// aceSound decodes sound.
type aceSound struct {
	layout   [4]uint8
	channels []aceChannel
	room     [3]aceChannel // that channels lie in
	codes    [3 * aceSoundCodes]aceCode
	left     int // symbols that the block still has
	at       int
}

// begin makes everything as it is before the first byte.
func (s *aceSound) begin(mode int, strict bool) {
	s.layout = aceSoundChannels[mode]
	s.room = [3]aceChannel{}
	s.channels = s.room[:min(mode+1, len(s.room))]
	s.left, s.at = 0, 0
	for i := range s.codes {
		s.codes[i].strict = strict
	}
}

// next gives a byte, or says that the mode changes.
func (s *aceSound) next(b *aceBits) (sample byte, changes bool, err error) {
	i := int(s.layout[s.at%4])
	c := &s.channels[i]
	difference := byte(0)
	if c.run == 0 {
		symbol, err := s.symbol(b, i*aceSoundCodes+c.code())
		if err != nil || symbol == aceSoundMode {
			return 0, err == nil, err
		}
		difference = c.meet(symbol)
	} else if c.run--; c.run == 0 {
		c.single = true
	}
	s.at++
	sample = difference + c.guess()
	c.adjust(int(int8(sample)))
	return sample, false, nil
}

// symbol decodes a symbol with one of the codes.
func (s *aceSound) symbol(b *aceBits, code int) (int, error) {
	for s.left == 0 {
		for i := range len(s.channels) * aceSoundCodes {
			if err := s.codes[i].read(b, aceSoundLongest, aceSoundSymbols); err != nil {
				return 0, err
			}
		}
		s.left = b.take(15)
		if b.over() {
			return 0, errLZEnd
		}
	}
	s.left--
	symbol := s.codes[code].next(b)
	switch {
	case b.over():
		return 0, errLZEnd
	case symbol < 0:
		return 0, errLZCode
	}
	return symbol, nil
}

// aceChannel is what is known of a channel.
type aceChannel struct {
	run    int  // right guesses to come
	single bool // behind a run comes a difference, no run
	noise  int  // how large differences have been
	loud   bool

	count     int
	last      int    // byte
	weights   [4]int // of steps, in a guess
	steps     [4]int // the last step, and how steps changed
	misses    [9]int // what guesses would have missed by with each weight less or more by one, or all as they are
	errors    [2]int // of guesses, and of taking the last byte
	oldErrors [2]int
}

// code tells which code the next symbol is in.
func (c *aceChannel) code() int {
	switch {
	case c.single:
		return 2
	case c.loud:
		return 1
	}
	return 0
}

// meet takes a symbol, and gives the difference that it stands for: even ones are
// positive.
func (c *aceChannel) meet(symbol int) byte {
	switch {
	case c.single:
		c.single = false
	case symbol < aceSoundRuns:
		c.run = symbol
		c.single = symbol == 0
		return 0
	default:
		symbol -= aceSoundRuns
		c.noise = c.noise*7>>3 + symbol
		c.loud = c.noise > 40
	}
	if symbol%2 == 1 {
		return byte(255 - symbol>>1)
	}
	return byte(symbol >> 1)
}

// guess is what the next byte is likely to be.
func (c *aceChannel) guess() byte {
	if c.errors[0] > c.errors[1] {
		return byte(c.last)
	}
	return c.weighed()
}

// weighed is the last byte and its steps, weighed.
func (c *aceChannel) weighed() byte {
	sum := 8 * c.last
	for i, w := range c.weights {
		sum += w * c.steps[i]
	}
	return byte(sum >> 3)
}

// adjust learns from a byte.
func (c *aceChannel) adjust(sample int) {
	c.count++
	miss := int(int8(int(c.weighed()) - sample))
	for i, step := range c.steps {
		c.misses[2*i] += magnitude(8*miss - step)
		c.misses[2*i+1] += magnitude(8*miss + step)
	}
	c.misses[8] += magnitude(8 * miss)
	step := int(int8(sample - c.last))
	c.errors[0] += bits.Len(uint(magnitude(miss)))
	c.errors[1] += bits.Len(uint(magnitude(step)))
	c.last = sample
	if c.count%32 == 0 {
		c.weigh()
	}
	if c.count%256 == 0 {
		for i := range c.errors {
			c.errors[i] -= c.oldErrors[i]
			c.oldErrors[i] = c.errors[i]
		}
	}
	c.steps = [4]int{step, step - c.steps[0], c.steps[1], c.steps[2]}
}

// weigh changes the weight that would have made the guesses best.
func (c *aceChannel) weigh() {
	least, best := 0xffff, 0
	for i := len(c.misses) - 1; i >= 0; i-- {
		if c.misses[i] <= least {
			least, best = c.misses[i], i
		}
	}
	c.misses = [9]int{}
	if best == 8 {
		return
	}
	switch w := &c.weights[best/2]; {
	case best%2 == 0 && *w >= -16:
		*w--
	case best%2 == 1 && *w <= 16:
		*w++
	}
}

func magnitude(n int) int {
	if n < 0 {
		return -n
	}
	return n
}
