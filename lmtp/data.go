package lmtp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// errIncomplete says that the client went away, or fell silent, within a message.
var errIncomplete = errors.New("message is incomplete")

// slowest is the rate below which a message is not worth waiting for: with the
// ten minutes before it counts, 1 MB has 11 minutes and 40 seconds.
const (
	slowest  = 10_000 // bytes/s
	patience = 10 * time.Minute
)

var dataBuffers = sync.Pool{New: func() any { return new([dataBuffer]byte) }}

// readMessage reads from the client up to CRLF.CRLF and writes the message to
// dst with the dots of RFC 5321, section 4.5.2, undone. Nothing else ends a
// message: neither LF.LF nor any other mixture. bareLF is how many line feeds of it have
// no CR before them. When dst fails, the rest is read and dropped, so that the client can
// be told. On errIncomplete the connection is done for.
func (c *conn) readMessage(dst io.Writer) (bareLF int64, err error) {
	small := c.buf
	large := dataBuffers.Get().(*[dataBuffer]byte)
	c.w = copy(large[:], c.buf[c.r:c.w])
	c.buf, c.r = large[:], 0
	defer func() {
		// What follows the message can be more than a command buffer holds.
		if c.w-c.r > len(small) {
			small = make([]byte, c.w-c.r)
		}
		c.w = copy(small, c.buf[c.r:c.w])
		c.buf, c.r = small, 0
		dataBuffers.Put(large)
	}()

	d := dots{dst: dst, start: true}
	for began, total := time.Now(), 0; ; {
		n, end := d.take(c.buf[c.r:c.w])
		c.r += n
		if total += n; end {
			c.mode = dot
			return d.bareLF, d.err
		}
		if time.Since(began) > patience+time.Duration(total/slowest)*time.Second {
			c.mode = broken
			return 0, fmt.Errorf("%w: too slow", errIncomplete)
		}
		c.SetReadDeadline(time.Now().Add(c.server.DataTimeout))
		if err := c.fillData(); err != nil {
			c.mode = broken
			return 0, fmt.Errorf("%w: %w", errIncomplete, err)
		}
	}
}

// fillData reads once behind the few bytes that dots left.
func (c *conn) fillData() error {
	c.w = copy(c.buf, c.buf[c.r:c.w])
	c.r = 0
	return c.fill()
}

// dots undoes the stuffing and finds the end.
type dots struct {
	dst    io.Writer
	err    error // the first one of dst
	start  bool  // at the start of a line, that is after CRLF
	bareLF int64 // LFs without a CR before them, in what was used up
}

// take uses up as much of p as can be told without what follows, which is all but
// its last two bytes at the most, and reports whether the end was reached.
func (d *dots) take(p []byte) (n int, end bool) {
	for n < len(p) {
		rest := p[n:]
		if d.start && rest[0] == '.' {
			const last = ".\r\n"
			switch {
			case bytes.HasPrefix(rest, []byte(last)):
				return n + len(last), true
			case len(rest) < len(last) && last[:len(rest)] == string(rest):
				return n, false
			}
			n++
			d.start = false
			continue
		}
		i := d.lines(rest)
		if i == 0 {
			return n, false
		}
		d.write(rest[:i])
		n += i
	}
	return n, false
}

// lines gives how much of p, which begins with no stuffed dot, goes before the next one,
// as far as that can be told: a CR at the end of p can not.
func (d *dots) lines(p []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(p[at:], '\n')
		if i < 0 {
			if p[len(p)-1] == '\r' {
				p = p[:len(p)-1]
			}
			d.start = at > 0 && at == len(p) && d.start
			return len(p)
		}
		at += i + 1
		if d.start = at > 1 && p[at-2] == '\r'; !d.start {
			d.bareLF++
		}
		if at == len(p) || d.start && p[at] == '.' {
			return at
		}
	}
}

func (d *dots) write(b []byte) {
	if d.err == nil {
		_, d.err = d.dst.Write(b)
	}
}
