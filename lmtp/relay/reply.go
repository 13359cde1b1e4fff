package relay

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Reply is an answer of the next hop, made fit to be passed on: its text is one
// line of printable ASCII, its enhanced code is of the class of its code.
type Reply struct {
	Code     int    // three digits
	Enhanced [3]int // RFC 3463; X.0.0 when the next hop gave none
	Text     string // at most maxText bytes
}

// maxText leaves room for an address of ours in a reply line of 512 bytes:
// RFC 5321, section 4.5.3.1.5.
const maxText = 200

// String is the reply as it goes over the wire, without its line end.
func (r Reply) String() string {
	if r.Code == 0 {
		return ""
	}
	return fmt.Sprintf("%d %d.%d.%d %s", r.Code, r.Enhanced[0], r.Enhanced[1], r.Enhanced[2], r.Text)
}

// Refusal is an answer that is none of 2xx and 3xx.
type Refusal struct{ Reply }

// Error gives the next hop's own words.
func (r *Refusal) Error() string { return "the next hop said: " + r.String() }

// err is nil for an answer that is the one hoped for.
func (r Reply) err(class int) error {
	if r.Code/100 == class {
		return nil
	}
	return &Refusal{r}
}

// closing reports whether the next hop ends the connection (RFC 5321, section 3.8).
func (r Reply) closing() bool { return r.Code == 421 }

// enhanced is the code that begins a line of a reply (RFC 2034, section 4).
var enhanced = regexp.MustCompile(`^([245])\.(\d{1,3})\.(\d{1,3})(?: |$)`)

// newReply makes a Reply of a code and the lines that came with it, joined by line feeds.
func newReply(code int, lines string) Reply {
	r := Reply{Code: code}
	if code < 100 || code > 599 {
		r.Code = 500 // no code at all: a syntax error, of theirs
	}
	class := r.Code / 100
	r.Enhanced[0] = class
	var words []string
	for line := range strings.SplitSeq(lines, "\n") {
		if m := enhanced.FindStringSubmatch(line); m != nil && m[1] == strconv.Itoa(class) {
			r.Enhanced[1], _ = strconv.Atoi(m[2])
			r.Enhanced[2], _ = strconv.Atoi(m[3])
			line = line[len(m[0]):]
		}
		if words = append(words, line); len(words) == 100 {
			break
		}
	}
	r.Text = oneLine(strings.Join(words, " "))
	return r
}

// oneLine keeps printable ASCII of a text, and not too much of it.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), 4*maxText)])
	return strings.TrimSpace(s[:min(len(s), maxText)])
}
