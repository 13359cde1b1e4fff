package scan

import (
	"bytes"
	"io"
	"strings"
	"unicode"

	"kiyome/scan/mime"
)

// blankSize is how many bytes of a text are looked at to tell whether it says
// anything: a longer one does.
const blankSize = 64 << 10

// isBlank reports whether a leaf says nothing once the blocks are cut out of it: an empty
// file, or a text of blanks, as mail programs write around an attachment sent
// alone.
func isBlank(m *mime.Message, p *mime.Part, blocks []mime.Range) bool {
	body := m.Raw[p.Body.Start:p.Body.End]
	if len(blocks) > 0 {
		body = without(m.Raw, p.Body, blocks)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return true
	}
	if !strings.HasPrefix(p.Type, "text/") || len(body) > blankSize {
		return false
	}
	text := body
	if len(blocks) == 0 {
		text = firstReading(m, p)
	}
	if p.Type == "text/html" {
		return isBlankHTML(text)
	}
	return isBlankText(text)
}

// without gives the bytes of a body less the blocks.
func without(raw []byte, body mime.Range, blocks []mime.Range) []byte {
	cuts := []mime.Range{{Start: 0, End: body.Start}}
	cuts = append(cuts, blocks...) // in the order of the text: so the readings come
	var rest []byte
	for _, k := range Keep(int64(body.End), cuts) {
		rest = append(rest, raw[k.Start:k.End]...)
	}
	return rest
}

// firstReading gives the likeliest decoding of a leaf, or the beginning of it.
func firstReading(m *mime.Message, p *mime.Part) []byte {
	for r := range m.Readings(p) {
		if r.Data == nil {
			return r.Raw
		}
		text, err := io.ReadAll(io.LimitReader(r.Data, blankSize))
		if err != nil {
			return nil // not a reader that may fail
		}
		return text
	}
	return nil
}

// isBlankText reports whether nothing in text shows. A charset in which blanks
// are other bytes than in ASCII makes it say something.
func isBlankText(text []byte) bool {
	return len(bytes.TrimFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '\u200b' || r == '\ufeff' })) == 0
}

// showing are elements that show something without a text in them.
var showing = []string{"<img", "<object", "<embed", "<iframe", "<video", "<audio", "<svg", "<script", "<input", "<form"}

// isBlankHTML reports whether an HTML text shows nothing: no text outside of its
// tags and head, and no picture.
func isBlankHTML(text []byte) bool {
	lower := bytes.ToLower(text)
	for _, element := range showing {
		if bytes.Contains(lower, []byte(element)) {
			return false
		}
	}
	for _, hidden := range [][2]string{{"<!--", "-->"}, {"<head", "</head>"}, {"<style", "</style>"}} {
		lower = outside(lower, hidden[0], hidden[1])
	}
	lower = outside(lower, "<", ">")
	for _, blank := range []string{"&nbsp;", "&#160;", "&#xa0;"} {
		lower = bytes.ReplaceAll(lower, []byte(blank), nil)
	}
	return isBlankText(lower)
}

// outside gives text less everything from start to end. What has no end stays.
func outside(text []byte, start, end string) []byte {
	var rest []byte
	for {
		before, after, found := bytes.Cut(text, []byte(start))
		if !found {
			return append(rest, text...)
		}
		_, next, closed := bytes.Cut(after, []byte(end))
		if !closed {
			return append(rest, text...)
		}
		rest, text = append(rest, before...), next
	}
}
