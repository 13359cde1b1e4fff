package lmtp

import (
	"io"

	"kiyome/lmtp/relay"
	"kiyome/scan"
	"kiyome/store"
)

// content is a message as it is delivered: our header fields, then the bytes that
// came, less what was cut, with what is added.
type content struct {
	header []byte
	msg    *scan.Message
	plan   *scan.Notice // what is cut and inserted; empty for a message as it came
	notice []byte
	size   int64
	bareLF int64
}

var (
	_ store.Content = (*content)(nil)
	_ relay.Content = (*content)(nil)
)

// newContent makes the content of a delivery: the message as it came when v is nil
// or cuts nothing, else what the cut leaves.
func newContent(header []byte, msg *scan.Message, v *scan.Verdict) (*content, error) {
	if v == nil || len(v.Cut) == 0 {
		return &content{header: header, msg: msg, plan: &scan.Notice{}, size: int64(len(header)) + msg.Size(), bareLF: msg.BareLF()}, nil
	}
	return assemble(header, msg, &scan.Notice{Cut: v.Cut}, nil)
}

// assemble makes the content that a plan makes of a message, with the notice that it
// has a place for.
func assemble(header []byte, msg *scan.Message, plan *scan.Notice, notice []byte) (*content, error) {
	c := &content{header: header, msg: msg, plan: plan, notice: notice}
	var count scan.LineCounter
	size, err := c.WriteTo(&count)
	if err != nil {
		return nil, err
	}
	c.size, c.bareLF = size, count.BareLF
	return c, nil
}

// Size is the length in bytes.
func (c *content) Size() int64 { return c.size }

// BareLF is the number of line feeds that have no carriage return before them.
func (c *content) BareLF() int64 { return c.bareLF }

// VirtualSize is the length with every line end counted as CRLF.
func (c *content) VirtualSize() int64 { return c.size + c.bareLF }

// WriteTo writes the content; to a file, within the kernel.
func (c *content) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c.header)
	if err != nil {
		return int64(n), err
	}
	rest, err := c.msg.WriteNotice(w, c.plan, c.notice)
	return int64(n) + rest, err
}

// text is a content that lies in memory.
type text struct {
	bytes  []byte
	bareLF int64
}

func newText(b []byte) *text {
	var count scan.LineCounter
	count.Write(b)
	return &text{b, count.BareLF}
}

func (t *text) Size() int64        { return int64(len(t.bytes)) }
func (t *text) BareLF() int64      { return t.bareLF }
func (t *text) VirtualSize() int64 { return t.Size() + t.bareLF }

// WriteTo writes the content.
func (t *text) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(t.bytes)
	return int64(n), err
}
