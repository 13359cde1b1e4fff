package relay

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"
)

// content sends the message and gives the one answer for all who were accepted.
//
// DATA cannot carry a bare line feed safely: a next hop that takes it for the end
// of a line could find the end of the message behind it. So a message that has one goes
// in a chunk, whose length says where it ends (RFC 3030), where that is offered.
func (c *conn) content(ctx context.Context, m Content) (Result, error) {
	if _, ok := c.offers["CHUNKING"]; ok && m.BareLF() > 0 {
		return c.chunk(ctx, m)
	}
	return c.data(ctx, m)
}

// data sends the message with DATA.
func (c *conn) data(ctx context.Context, m Content) (Result, error) {
	if err := c.say(ctx, "DATA"); err != nil {
		return broken(err)
	}
	code, lines, err := c.read(ctx, c.deadline(ctx))
	if err != nil {
		return broken(err)
	}
	if r := newReply(code, lines); r.err(3) != nil {
		// What the next hop thinks of the transaction now is not certain.
		return Result{r, r.err(3)}, r.err(3)
	}
	w := &stuffer{out: c.out, start: true, crlf: true}
	if err := c.write(ctx, w, m); err != nil {
		return broken(err)
	}
	return c.finish(ctx, w.end())
}

// chunk sends the message with BDAT.
func (c *conn) chunk(ctx context.Context, m Content) (Result, error) {
	fmt.Fprintf(c.out, "BDAT %d LAST\r\n", m.Size())
	if err := c.write(ctx, c.out, m); err != nil {
		return broken(err)
	}
	return c.finish(ctx, c.out.Flush())
}

// write writes the message. Its time is that of ctx: the next hop may be slow with a large one.
func (c *conn) write(ctx context.Context, w io.Writer, m Content) error {
	c.raw.SetDeadline(c.end(ctx))
	if err := ctx.Err(); err != nil {
		return err
	}
	n, err := m.WriteTo(w)
	if err == nil && n != m.Size() {
		err = fmt.Errorf("message: %d bytes of %d", n, m.Size())
	}
	return err
}

// end is when a message has to be sent and answered.
func (c *conn) end(ctx context.Context) time.Time {
	if end, ok := ctx.Deadline(); ok {
		return end
	}
	return time.Now().Add(lastLimit)
}

// lastLimit is how long the answer to a message may take where ctx sets no
// limit: RFC 5321, section 4.5.3.2.6.
const lastLimit = 10 * time.Minute

// finish reads the answer to the message. Without one, nobody knows.
func (c *conn) finish(ctx context.Context, err error) (Result, error) {
	var code int
	var lines string
	if err == nil {
		code, lines, err = c.read(ctx, c.end(ctx))
	}
	if err != nil {
		return Result{Err: fmt.Errorf("%w: %w", ErrUncertain, err)}, err
	}
	r := newReply(code, lines)
	if r.closing() {
		return Result{r, r.err(2)}, r.err(2)
	}
	return Result{r, r.err(2)}, nil
}

// broken is the end of a connection before the end of the message: nobody has it.
func broken(err error) (Result, error) {
	return Result{Err: fmt.Errorf("%w: %w", ErrUnavailable, err)}, err
}

// stuffer doubles the dots that begin a line (RFC 5321, section 4.5.2). A line
// begins behind any line feed, bare ones too: the safe reading, see content.
type stuffer struct {
	out   io.Writer
	start bool // at the start of a line
	cr    bool // behind a carriage return
	crlf  bool // behind CRLF
}

// Write implements io.Writer.
func (s *stuffer) Write(b []byte) (int, error) {
	n := 0
	for rest := b; len(rest) > 0; rest = b[n:] {
		if s.start && rest[0] == '.' {
			if _, err := io.WriteString(s.out, "."); err != nil {
				return n, err
			}
		}
		line := rest
		if i := bytes.Index(rest, []byte("\n.")); i >= 0 {
			line = rest[:i+1]
		}
		k, err := s.out.Write(line)
		s.passed(line[:k])
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// passed takes note of where in a line we are.
func (s *stuffer) passed(b []byte) {
	if len(b) == 0 {
		return
	}
	last := b[len(b)-1]
	before := s.cr
	if len(b) > 1 {
		before = b[len(b)-2] == '\r'
	}
	s.start = last == '\n'
	s.crlf = s.start && before
	s.cr = last == '\r'
}

// end ends the message, whose last line needs its end for that.
func (s *stuffer) end() error {
	end := ".\r\n"
	if !s.crlf {
		end = "\r\n" + end
	}
	if _, err := io.WriteString(s.out, end); err != nil {
		return err
	}
	if f, ok := s.out.(interface{ Flush() error }); ok {
		return f.Flush()
	}
	return nil
}
