package lmtp

import (
	"bytes"
	"fmt"
	"io"

	"kiyome/lmtp/relay"
	"kiyome/scan"
	"kiyome/scan/mime"
	"kiyome/store"
)

// content is a message as it is delivered: our header fields, then the bytes that
// came, less what was cut, with what is added.
type content struct {
	header []byte
	msg    *scan.Message
	pieces []piece
	size   int64
	bareLF int64
}

var (
	_ store.Content = (*content)(nil)
	_ relay.Content = (*content)(nil)
)

// piece is a range of a message, or a text of ours.
type piece struct {
	mime.Range
	text []byte
}

// newContent makes the content of a delivery: the message as it came when v is nil
// or cuts nothing, else what the cut leaves.
func newContent(header []byte, msg *scan.Message, v *scan.Verdict) (*content, error) {
	if v == nil || len(v.Cut) == 0 {
		whole := mime.Range{Start: 0, End: int(msg.Size())}
		return &content{header, msg, []piece{{Range: whole}}, int64(len(header)) + msg.Size(), msg.BareLF()}, nil
	}
	return assemble(header, msg, v.Cut, nil, nil)
}

// assemble makes the content of the pieces of a message that a cut leaves, with what
// is inserted between them.
func assemble(header []byte, msg *scan.Message, cut []mime.Range, inserts []scan.Insert, notice []byte) (*content, error) {
	c := &content{header: header, msg: msg}
	add := func(i scan.Insert) {
		c.pieces = append(c.pieces, piece{text: []byte(i.Text)})
		if i.Part {
			c.pieces = append(c.pieces, piece{text: notice})
		}
		c.pieces = append(c.pieces, piece{text: []byte(i.Rest)})
	}
	for _, r := range scan.Keep(msg.Size(), cut) {
		for len(inserts) > 0 && inserts[0].At < r.End {
			c.pieces = append(c.pieces, piece{Range: mime.Range{Start: r.Start, End: inserts[0].At}})
			r.Start = inserts[0].At
			add(inserts[0])
			inserts = inserts[1:]
		}
		c.pieces = append(c.pieces, piece{Range: r})
	}
	for _, i := range inserts {
		add(i)
	}
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

// BareLF is the number of line feeds that have no carriage return before them.
func (c *content) BareLF() int64 { return c.bareLF }

// VirtualSize is the length with every line end counted as CRLF.
func (c *content) VirtualSize() int64 { return c.size + c.bareLF }

// WriteTo writes the content; to a file, within the kernel.
func (c *content) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c.header)
	total := int64(n)
	if err != nil {
		return total, err
	}
	for _, p := range c.pieces {
		if err := c.write(w, p); err != nil {
			return total, err
		}
		total += int64(p.End - p.Start + len(p.text))
	}
	return total, nil
}

func (c *content) write(w io.Writer, p piece) error {
	if p.text != nil {
		_, err := w.Write(p.text)
		return err
	}
	return c.msg.WriteRange(w, int64(p.Start), int64(p.End))
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
func (t *text) BareLF() int64      { return t.bareLF }
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
		if len(v.Cut) > 0 || v.Notice != nil {
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
	if err := checkCut(v.Cut, size); err != nil {
		return err
	}
	return checkNotice(v, size)
}

// checkCut checks that ranges are in order, in bounds, and not empty.
func checkCut(cut []mime.Range, size int64) error {
	at := 0
	for _, r := range cut {
		if r.Start < at || r.End <= r.Start || int64(r.End) > size {
			return fmt.Errorf("verdict cuts [%d, %d) of %d bytes", r.Start, r.End, size)
		}
		at = r.End
	}
	return nil
}

// checkNotice checks the plan of adding a notice: it cuts what the verdict cuts
// at least, and it has one place for the notice.
func checkNotice(v *scan.Verdict, size int64) error {
	n := v.Notice
	if n == nil {
		return nil
	}
	if err := checkCut(n.Cut, size); err != nil {
		return err
	}
	if !covers(n.Cut, v.Cut) {
		return fmt.Errorf("notice: it leaves in what the verdict cuts")
	}
	at, text, parts, cut := 0, 0, 0, n.Cut
	for _, i := range n.Insert {
		for len(cut) > 0 && cut[0].End <= i.At {
			cut = cut[1:]
		}
		if i.At < at || int64(i.At) > size || len(cut) > 0 && cut[0].Start <= i.At {
			return fmt.Errorf("notice: text before byte %d of %d, out of order or cut", i.At, size)
		}
		at = i.At
		text += len(i.Text) + len(i.Rest)
		if i.Part {
			parts++
		}
	}
	if parts != 1 || text > scan.MaxInsert {
		return fmt.Errorf("notice: %d places, %d bytes of text", parts, text)
	}
	return nil
}

// covers reports whether every range of some lies within one of all; both are in order.
func covers(all, some []mime.Range) bool {
	for _, r := range some {
		for len(all) > 0 && all[0].End < r.End {
			all = all[1:]
		}
		if len(all) == 0 || all[0].Start > r.Start {
			return false
		}
	}
	return true
}
