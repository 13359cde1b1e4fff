package lmtp

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"kiyome/lmtp/relay"
)

func TestXforwardIsPassedOn(t *testing.T) {
	w := newFilter(t)
	c := w.raw()
	c.reads("220 ")
	c.sends("LHLO client.example\r\n")
	c.reads("250 XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE")
	c.sends("XFORWARD NAME=mx.example ADDR=192.0.2.1 PORT=25\r\nXFORWARD IDENT=4Q PROTO=ESMTP HELO=[UNAVAILABLE]\r\nMAIL FROM:<plain@example.jp>\r\nRCPT TO:<a@x.example>\r\nDATA\r\n")
	c.reads("250 2.0.0", "250 2.0.0", "250 ", "250 ", "354 ")
	c.sends(dotted(sample))
	c.reads("250 ")
	if said := w.hop.Said(); !slices.Contains(said, "XFORWARD NAME=mx.example ADDR=192.0.2.1 PORT=25 PROTO=ESMTP IDENT=4Q") {
		t.Errorf("%q", said)
	}
	c.from("plain@example.jp", "b@x.example")
	c.sends(dotted(sample))
	c.reads("250 ")
	said := w.hop.Said()
	if i := slices.IndexFunc(said, func(s string) bool { return strings.Contains(s, "<b@") }); strings.HasPrefix(said[i-2], "XFORWARD") {
		t.Errorf("what was said of one message is said of the next: %q", said)
	}
	for _, bad := range []string{"XFORWARD LOGIN=x", "XFORWARD N=x", "XFORWARD NAME", "XFORWARD NAME=", "XFORWARD NAME=+4", "XFORWARD NAME=+0D+0A", "XFORWARD NAME=+FF", "XFORWARD NAME=" + strings.Repeat("x", 300)} {
		c.sends(bad + "\r\n")
		c.reads("501 5.5.4")
	}
	c.sends("NOOP\r\n")
	c.reads("250 ")
}

func TestXforwardIsOfTheFilterOnly(t *testing.T) {
	c := newWorld(t).dial()
	c.sends("XFORWARD NAME=x\r\n")
	c.reads("501 ")
}

// FuzzXforward: whatever is said goes on as one line, or not at all.
func FuzzXforward(f *testing.F) {
	f.Add("XFORWARD NAME=a ADDR=IPV6:::1 HELO=+5BUNAVAILABLE+5D")
	f.Add("xforward ident=+2B+3D+E5+A4+AA")
	f.Fuzz(func(t *testing.T, line string) {
		if !strings.HasPrefix(line, "XFORWARD ") {
			line = "XFORWARD " + line
		}
		o := relay.Origin{}
		if readXforward(line, o) != nil {
			return
		}
		for name, value := range maps.All(o) {
			if len(value) > maxXforward || strings.ContainsAny(value, "\r\n\x00") {
				t.Errorf("%s is %q", name, value)
			}
		}
	})
}
