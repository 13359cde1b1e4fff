package lmtp

import (
	"bytes"
	"fmt"
	"io"

	"kiyome/scan"
	"kiyome/scan/mime"
	"kiyome/store"
)

// content is a message as it is delivered: our header fields, then the bytes that
// came, less what was cut.
type content struct {
	header []byte
	msg    *scan.Message
	keep   []mime.Range
	size   int64
	bareLF int64
}

var _ store.Content = (*content)(nil)

// newContent makes the content of a delivery. v is nil when nothing was scanned.
func newContent(header []byte, msg *scan.Message, v *scan.Verdict) (*content, error) {
	if v == nil || len(v.Cut) == 0 {
		whole := mime.Range{Start: 0, End: int(msg.Size())}
		return &content{header, msg, []mime.Range{whole}, int64(len(header)) + msg.Size(), msg.BareLF()}, nil
	}
	c := &content{header: header, msg: msg, keep: scan.Keep(msg.Size(), v.Cut)}
	var count lineCounter
	size, err := c.WriteTo(&count)
	if err != nil {
		return nil, err
	}
	c.size, c.bareLF = size, count.bareLF
	return c, nil
}

// Size is the length in bytes.
func (c *content) Size() int64 { return c.size }

// VirtualSize is the length with every line end counted as CRLF.
func (c *content) VirtualSize() int64 { return c.size + c.bareLF }

// WriteTo writes the content; to a file, within the kernel.
func (c *content) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c.header)
	total := int64(n)
	if err != nil {
		return total, err
	}
	for _, r := range c.keep {
		if err := c.msg.WriteRange(w, int64(r.Start), int64(r.End)); err != nil {
			return total, err
		}
		total += int64(r.End - r.Start)
	}
	return total, nil
}

// text is a content that lies in memory.
type text struct {
	bytes  []byte
	bareLF int64
}

func newText(b []byte) *text {
	var count lineCounter
	count.Write(b)
	return &text{b, count.bareLF}
}

func (t *text) Size() int64        { return int64(len(t.bytes)) }
func (t *text) VirtualSize() int64 { return t.Size() + t.bareLF }

// WriteTo writes the content.
func (t *text) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(t.bytes)
	return int64(n), err
}

// lineCounter counts the line feeds written to it that have no carriage return
// before them.
type lineCounter struct {
	bareLF int64
	cr     bool // the last byte was one
}

func (c *lineCounter) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c.bareLF += int64(bytes.Count(b, []byte("\n")) - bytes.Count(b, []byte("\r\n")))
	if c.cr && b[0] == '\n' {
		c.bareLF--
	}
	c.cr = b[len(b)-1] == '\r'
	return len(b), nil
}

// checkVerdict checks what has to hold of a verdict: it comes from a process that
// has read hostile bytes, and says what to leave out of somebody's mail.
func checkVerdict(v *scan.Verdict, size int64) error {
	switch v.Outcome {
	case scan.Clean, scan.ReportOnly:
		if len(v.Cut) > 0 {
			return fmt.Errorf("verdict %q with a cut", v.Outcome)
		}
	case scan.Cleaned:
		if len(v.Cut) == 0 {
			return fmt.Errorf("verdict %q without a cut", v.Outcome)
		}
	default:
		return fmt.Errorf("unknown verdict %q", v.Outcome)
	}
	if v.Outcome != scan.Clean && len(v.Findings) == 0 {
		return fmt.Errorf("verdict %q without a finding", v.Outcome)
	}
	at := 0
	for _, r := range v.Cut {
		if r.Start < at || r.End <= r.Start || int64(r.End) > size {
			return fmt.Errorf("verdict cuts [%d, %d) of %d bytes", r.Start, r.End, size)
		}
		at = r.End
	}
	return nil
}
