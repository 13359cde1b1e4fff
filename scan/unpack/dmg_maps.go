package unpack

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
)

// dmgDepth bounds the elements of a property list that are within one another.
const dmgDepth = 64

// dmgPlist reads the block maps of a property list: dictionaries in the array "blkx".
func dmgPlist(list []byte) (maps []dmgMap, err error) {
	if len(list) > dmgMostXML {
		list, err = list[:dmgMostXML], fmt.Errorf("%w: property list of more than %d bytes", ErrUnsupported, dmgMostXML)
	}
	if len(list) == 0 {
		return nil, nil
	}
	p := &dmgPlistReader{decoder: xml.NewDecoder(bytes.NewReader(list))}
	p.decoder.Strict = false
	p.decoder.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	for {
		token, e := p.decoder.RawToken()
		if e == io.EOF {
			break
		}
		if e == nil {
			e = p.token(token)
		}
		if e != nil {
			p.entry() // as far as it goes
			return p.maps, fmt.Errorf("%w: property list: %v", ErrDamaged, e)
		}
		if _, end := token.(xml.EndElement); end && len(p.open) == 0 {
			break
		}
	}
	return p.maps, err
}

// dmgPlistReader goes through a property list.
type dmgPlistReader struct {
	decoder *xml.Decoder
	open    []string // elements
	keys    []string // that the open arrays and dictionaries stand under
	key     string   // the last
	text    []byte
	now     dmgMap // the present dictionary, if it is in "blkx"
	maps    []dmgMap
}

// token takes one token.
func (p *dmgPlistReader) token(token xml.Token) error {
	switch t := token.(type) {
	case xml.StartElement:
		if len(p.open) == dmgDepth {
			return fmt.Errorf("more than %d elements within one another", dmgDepth)
		}
		p.open = append(p.open, t.Name.Local)
		p.text = p.text[:0]
		if t.Name.Local == "array" || t.Name.Local == "dict" {
			p.keys = append(p.keys, p.key)
			p.key = ""
		}
	case xml.CharData:
		p.text = append(p.text, t...)
	case xml.EndElement:
		p.end(t.Name.Local)
	}
	return nil
}

// end ends an element.
func (p *dmgPlistReader) end(name string) {
	if n := len(p.open); n > 0 {
		p.open = p.open[:n-1]
	}
	switch name {
	case "key":
		p.key = strings.TrimSpace(string(p.text[:min(len(p.text), maxName)]))
	case "array", "dict":
		if name == "dict" {
			p.entry()
		}
		if n := len(p.keys); n > 0 {
			p.key, p.keys = "", p.keys[:n-1]
		}
	case "string":
		if p.key == "Name" || p.key == "CFName" && p.now.name == "" {
			p.now.name = decodeName(bytes.TrimSpace(p.text))
		}
	case "data":
		if p.key == "Data" {
			p.now.data = dmgBase64(p.text)
		}
	}
	p.text = p.text[:0]
}

// entry ends a dictionary.
func (p *dmgPlistReader) entry() {
	if slices.Contains(p.keys, "blkx") && p.now.data != nil {
		p.maps = append(p.maps, p.now)
	}
	p.now = dmgMap{}
}

// dmgBase64 decodes base64 as far as it is right.
func dmgBase64(text []byte) []byte {
	text = bytes.Map(func(r rune) rune {
		if r <= ' ' {
			return -1
		}
		return r
	}, text)
	b := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, _ := base64.StdEncoding.Decode(b, text)
	return b[:n]
}

// dmgResources reads the block maps of a resource fork (Inside Macintosh: More Macintosh
// Toolbox, "Resource File Format").
func dmgResources(fork []byte) (maps []dmgMap, err error) {
	if len(fork) < 16 {
		return nil, nil
	}
	be := binary.BigEndian
	data := dmgPart(fork, int64(be.Uint32(fork)), int64(be.Uint32(fork[8:])))
	index := dmgPart(fork, int64(be.Uint32(fork[4:])), int64(be.Uint32(fork[12:])))
	if len(index) < 30 {
		return nil, errDisk("resource fork")
	}
	types := dmgPart(index, int64(be.Uint16(index[24:])), int64(len(index)))
	names := dmgPart(index, int64(be.Uint16(index[26:])), int64(len(index)))
	for i := range int(be.Uint16(index[28:])) + 1 { // its number of types is one less, as are those of resources
		t := dmgPart(types, int64(2+8*i), 8)
		if len(t) < 8 {
			return maps, errShort
		}
		if string(t[:4]) != "blkx" {
			continue
		}
		list := dmgPart(types, int64(be.Uint16(t[6:])), int64(len(types)))
		for range int(be.Uint16(t[4:])) + 1 {
			if len(list) < 12 || len(maps) > dmgMostMaps {
				return maps, errShort
			}
			maps = append(maps, dmgResource(list, names, data))
			list = list[12:]
		}
	}
	return maps, nil
}

// dmgResource reads a resource that the beginning of list refers to.
func dmgResource(list, names, data []byte) (m dmgMap) {
	be := binary.BigEndian
	if name := dmgPart(names, int64(be.Uint16(list[2:])), 256); len(name) > 0 {
		m.name = decodeName(name[1:min(1+int(name[0]), len(name))])
	}
	resource := dmgPart(data, int64(be.Uint32(list[4:])&0xffffff), int64(len(data)))
	if len(resource) >= 4 {
		m.data = dmgPart(resource, 4, int64(be.Uint32(resource)))
	}
	return m
}
