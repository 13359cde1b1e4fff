package scan

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"kiyome/scan/mime"
)

// NoticePart gives a notice as the entity that a Notice makes room for: a text part
// that is shown with the message, with CRLF line ends. It is in base64, so that
// no line of it can be taken for a delimiter, and so that a proof that was made with
// one text holds for every other.
func NoticePart(text string) []byte {
	var b bytes.Buffer
	b.WriteString("Content-Type: text/plain; charset=utf-8\r\n" +
		"Content-Transfer-Encoding: base64\r\n" +
		"Content-Disposition: inline\r\n" +
		"Content-Language: ja, en\r\n\r\n")
	const line = 76 // RFC 2045, section 6.8
	code := base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(text, "\n", "\r\n")))
	for len(code) > line {
		b.WriteString(code[:line] + "\r\n")
		code = code[line:]
	}
	b.WriteString(code + "\r\n")
	return b.Bytes()
}

// sampleNotice is the text that a plan is proved with.
const sampleNotice = "A virus was removed from this mail.\nこのメールからウイルスを駆除しました。\n"

// maxNotice bounds the JSON of a Notice, in bytes: what a verdict is sent in is
// bounded too.
const maxNotice = 1 << 20

// notice plans how a notice is added to what a proved cut leaves, and proves the
// plan. It is nil when that cannot be done surely. It is made for every message that
// is cleaned, also where nobody wants a notice: there are few of them, what was
// matched before is not matched again, and the scan stays one and the same for mail in
// both directions.
func (s *scanner) notice(p *pass, c *cut) (n *Notice) {
	defer func() {
		if recover() != nil {
			n = nil // the cut is proved all the same
		}
	}()
	if n = planNotice(p.msg, c); n == nil || s.proveNotice(p, c, n) != "" {
		return nil
	}
	return n
}

// planNotice says how a notice is added to what the cut leaves of m. It gives nil
// where the header of the message, or a delimiter of it, leaves a doubt.
func planNotice(m *mime.Message, c *cut) *Notice {
	fields, eol, sure := m.Fields(m.Root)
	if !sure || !isEachOnce(fields) {
		return nil
	}
	n := &Notice{Cut: c.ranges}
	if seam, ok := m.Seam(m.Root); ok && m.Root.Type == "multipart/mixed" && isUnencoded(m.Root) {
		n.Insert = []Insert{inSeam(seam, eol)}
	} else if boundary := newBoundary(m.Raw); boundary == "" || !n.wrap(m, fields, boundary, eol) {
		return nil
	}
	if !n.isBounded() {
		return nil
	}
	return n
}

// isEachOnce reports whether there is one field at the most of each name that tells
// how the body is to be read.
func isEachOnce(fields []mime.Field) bool {
	seen := make(map[string]bool)
	for _, f := range fields {
		name := strings.ToLower(f.Name)
		if !isContent(name) && name != "mime-version" {
			continue
		}
		if seen[name] {
			return false
		}
		seen[name] = true
	}
	return true
}

// isContent reports whether a field tells of the body: RFC 2045, section 3.
func isContent(name string) bool {
	const prefix = "Content-"
	return len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// isUnencoded reports whether the parts of a multipart stand in it as they are, whoever
// reads it.
func isUnencoded(p *mime.Part) bool {
	return len(p.Encodings) == 0 || len(p.Encodings) == 1 && isComposite(p.Encodings[0])
}

// isComposite reports whether a multipart may be in an encoding: RFC 2045, section 6.4.
func isComposite(encoding string) bool {
	return encoding == "7bit" || encoding == "8bit" || encoding == "binary"
}

// inSeam puts the notice behind the other parts of a multipart. Its last line end is
// then the one that belongs to the delimiter after it, as the line end before the
// seam is now that of its own.
func inSeam(s mime.Seam, eol string) Insert {
	if s.Closed {
		return Insert{At: s.At, Text: "--" + s.Boundary + eol, Part: true}
	}
	return behind(s.At, s.Boundary, eol)
}

// behind puts the notice where the message ends, and closes the multipart.
func behind(at int, boundary, eol string) Insert {
	return Insert{At: at, Text: eol + "--" + boundary + eol, Part: true, Rest: "--" + boundary + "--" + eol}
}

// newBoundary gives a boundary for a message: the same one whenever it comes. It is
// "" when the message has it, which nobody can bring about.
func newBoundary(raw []byte) string {
	sum := sha256.Sum256(raw)
	// "=_" is in no body in base64 or quoted-printable: RFC 2045, section 6.7.
	boundary := "=_" + hex.EncodeToString(sum[:16])
	if bytes.Contains(raw, []byte(boundary)) {
		return ""
	}
	return boundary
}

// wrap makes a multipart/mixed of the message, with what it was for its first part and
// the notice for its second. All that goes into the header stands before the empty
// line that ends it, which then ends the header of the first part. It returns false
// where the message is not of the one version of MIME.
func (n *Notice) wrap(m *mime.Message, fields []mime.Field, boundary, eol string) bool {
	version := "MIME-Version: 1.0" + eol
	var moved strings.Builder
	var cuts []mime.Range
	for _, f := range fields {
		text := m.Raw[f.Start:f.End]
		switch {
		case isContent(f.Name):
			moved.Write(text)
			cuts = append(cuts, f.Range)
		case strings.EqualFold(f.Name, "MIME-Version"):
			if version = ""; !bytes.Contains(text, []byte("1.0")) {
				return false
			}
		}
	}
	n.Cut = slices.Concat(cuts, n.Cut)
	head := version + encodingAround(m.Root, eol) + fmt.Sprintf("Content-Type: multipart/mixed; boundary=%q", boundary) + eol +
		eol + "--" + boundary + eol + moved.String()
	emptyLine := m.Root.Header.End - len(eol)
	n.Insert = []Insert{{At: emptyLine, Text: head}, behind(len(m.Raw), boundary, eol)}
	return true
}

// encodingAround is the field that tells of bytes beyond 7 bits in the part that the
// message becomes: RFC 2045, section 6.4.
func encodingAround(root *mime.Part, eol string) string {
	if !isUnencoded(root) || len(root.Encodings) == 0 || root.Encodings[0] == "7bit" {
		return ""
	}
	return "Content-Transfer-Encoding: " + root.Encodings[0] + eol
}

// isBounded reports whether a verdict can carry the plan, and as it is: JSON has no
// text but UTF-8.
func (n *Notice) isBounded() bool {
	size := 0
	for _, in := range n.Insert {
		if size += len(in.Text) + len(in.Rest); !utf8.ValidString(in.Text) || !utf8.ValidString(in.Rest) {
			return false
		}
	}
	if size > MaxInsert {
		return false
	}
	encoded, err := json.Marshal(n)
	return err == nil && len(encoded) <= maxNotice
}

// proveNotice builds the message that a cut and a notice make, and makes sure that it
// is what the cut leaves and the notice, for whoever reads it. It returns why not, or "".
func (s *scanner) proveNotice(p *pass, c *cut, n *Notice) (why string) {
	part := NoticePart(sampleNotice)
	out, release, err := s.arena.Hold(timed{s.ctx, n.reader(p.msg.Raw, part)}, math.MaxInt64, int64(len(p.msg.Raw)+len(part)))
	defer release()
	if err != nil {
		return fmt.Sprintf("the notice could not be proved: %v", err)
	}
	if !n.isInverse(p.msg.Raw, out, part) {
		return "the notice is not exact"
	}
	m := mime.Parse(out, s.o.Limits.MIME)
	d := difference{before: p.msg, after: m, cut: c}
	if place := d.findNotice(n, part); place != "" {
		return "with the notice, the rest reads differently: " + place
	}
	return s.isClean(p, m)
}

// isInverse reports whether taking the notice and what goes with it out of a message
// and putting the cut ranges of raw back in gives raw.
func (n *Notice) isInverse(raw, out, part []byte) bool {
	at, cuts := 0, n.Cut // in raw
	takes := func(text []byte) bool {
		var found bool
		out, found = bytes.CutPrefix(out, text)
		return found
	}
	until := func(end int) bool {
		for len(cuts) > 0 && cuts[0].Start < end {
			if cuts[0].Start < at || cuts[0].End > end || !takes(raw[at:cuts[0].Start]) {
				return false
			}
			at, cuts = cuts[0].End, cuts[1:]
		}
		ok := at <= end && takes(raw[at:end])
		at = end
		return ok
	}
	for _, in := range n.Insert {
		if in.At < at || in.At > len(raw) || !until(in.At) || !takes([]byte(in.Text)) || in.Part && !takes(part) || !takes([]byte(in.Rest)) {
			return false
		}
	}
	return until(len(raw)) && len(out) == 0
}

// findNotice gives the first place where the trees differ in more than what was cut
// and the notice, or "".
func (d difference) findNotice(n *Notice, part []byte) string {
	a, b := d.before.Root, d.after.Root
	last := len(b.Children) - 1
	if last < 1 || !d.isNotice(b.Children[last], part) {
		return "the notice"
	}
	if len(n.Insert) == 1 {
		less := *b
		less.Children = b.Children[:last]
		return d.find(a, &less)
	}
	first, emptyLine := b.Children[0], mime.Range{Start: n.Insert[0].At, End: a.Header.End}
	if last != 1 || len(b.Extras) > 0 || b.Type != "multipart/mixed" || emptyLine.Start > emptyLine.End {
		return "what is around the notice"
	}
	var header []byte
	for _, f := range append(n.Cut[:len(n.Cut)-len(d.cut.ranges):len(n.Cut)-len(d.cut.ranges)], emptyLine) {
		header = append(header, d.before.Raw[f.Start:f.End]...)
	}
	if !bytes.Equal(header, d.after.Raw[first.Header.Start:first.Header.End]) {
		return "the header that moved"
	}
	return d.inside(a, first)
}

// isNotice reports whether p is the notice: a text part that is all there is of it.
func (d difference) isNotice(p *mime.Part, part []byte) bool {
	whole := d.after.Raw[p.Whole.Start:p.Whole.End]
	return bytes.Equal(whole, bytes.TrimSuffix(part, []byte("\r\n"))) && p.Type == "text/plain" && p.IsBody()
}
