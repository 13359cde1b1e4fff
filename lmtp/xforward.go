package lmtp

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"kiyome/lmtp/relay"
)

// The filter takes XFORWARD, by which the MTA says where a message came from, and
// passes it on to the next hop, for its log. It is believed no more than that. go-smtp knows
// nothing of it: the connection layer offers and answers it.

// xforwardOffer is the line of the reply to LHLO that offers it.
var xforwardOffer = "250-XFORWARD " + strings.Join(relay.OriginNames, " ") + "\r\n"

var errXforward = errors.New("malformed XFORWARD")

// readXforward reads the attributes of an XFORWARD command into o, which is what the
// commands before it have said.
func readXforward(line string, o relay.Origin) error {
	for _, word := range strings.Fields(line)[1:] {
		name, value, ok := strings.Cut(word, "=")
		name = strings.ToUpper(name)
		if !ok || !slices.Contains(relay.OriginNames, name) {
			return errXforward
		}
		switch value, ok := fromXtext(value); {
		case !ok:
			return errXforward
		case strings.EqualFold(value, "[UNAVAILABLE]"):
			delete(o, name)
		default:
			o[name] = value
		}
	}
	return nil
}

// maxXforward bounds a value, in bytes: XFORWARD_README of Postfix.
const maxXforward = 255

// fromXtext decodes a value (RFC 3461, section 4).
func fromXtext(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '+' {
			if i+2 >= len(s) {
				return "", false
			}
			high, low := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			c = byte(high<<4 | low)
			i += 2
		}
		b.WriteByte(c)
	}
	v := b.String()
	return v, v != "" && len(v) <= maxXforward && utf8.ValidString(v) && !strings.ContainsFunc(v, unicode.IsControl)
}

const hexDigits = "0123456789ABCDEF"

// xforward answers an XFORWARD command, which stands at the head of the buffer.
func (c *conn) xforward() error {
	n := bytes.IndexByte(c.buf[c.r:c.w], '\n') + 1
	line := string(c.buf[c.r : c.r+n])
	c.consume(n)
	c.more = c.hasLine()
	if c.origin == nil {
		c.origin = relay.Origin{}
	}
	answer := "250 2.0.0 Ok\r\n"
	if err := readXforward(line, c.origin); err != nil {
		answer = c.server.replies.line(err)
	}
	_, err := c.Write([]byte(answer))
	return err
}
