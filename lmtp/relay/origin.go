package relay

import (
	"fmt"
	"strings"
)

// Origin is where a message came from, by the names of XFORWARD (Postfix,
// XFORWARD_README): "IDENT" is its queue id there, "ADDR" the client's address.
// The next hop, if it offers XFORWARD, writes it to its log. Values are UTF-8,
// of at most 255 bytes.
type Origin map[string]string

// OriginNames lists the attributes that there are.
var OriginNames = []string{"NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"}

// commands gives the XFORWARD commands for a server that offers the names in offer.
// A line has 512 bytes at the most, which is why there may be several.
func (o Origin) commands(offer string) []string {
	var lines []string
	offered := " " + strings.ToUpper(offer) + " "
	line := ""
	for _, name := range OriginNames {
		value, ok := o[name]
		if !ok || !strings.Contains(offered, " "+name+" ") {
			continue
		}
		word := " " + name + "=" + xtext(value)
		if len(line)+len(word) > 500-len("XFORWARD") {
			lines = append(lines, "XFORWARD"+line)
			line = ""
		}
		line += word
	}
	if line != "" {
		lines = append(lines, "XFORWARD"+line)
	}
	return lines
}

// maxOrigin is the length of the longest value, in bytes before it is encoded.
const maxOrigin = 100

// xtext encodes a value (RFC 3461, section 4).
func xtext(s string) string {
	var b strings.Builder
	for _, c := range []byte(s[:min(len(s), maxOrigin)]) {
		if c < '!' || c > '~' || c == '+' || c == '=' {
			fmt.Fprintf(&b, "+%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
