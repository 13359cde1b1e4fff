package unpack

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
)

// rpmOpener opens RPM packages: what they install is one member, a compressed
// archive of cpio (LSB 5.0 Core, chapter 25, "Package File Format").
var rpmOpener = opener{name: "rpm", match: rpmMatch, entries: rpmEntries}

const (
	rpmMagic       = "\xed\xab\xee\xdb"
	rpmLead        = 96
	rpmHeaderMagic = "\x8e\xad\xe8\x01"
	rpmHeaderSize  = 16
	rpmIndexEntry  = 16

	rpmSize  = 1000 // tag, in the signature: bytes of the header and the payload
	rpmInt32 = 4    // type
)

// rpmPayloads is how payloads begin that the package can open, or knows that it cannot.
var rpmPayloads = []string{"\x1f\x8b", "BZh", "\xfd7zXZ\x00", "\x28\xb5\x2f\xfd", "0707"}

func rpmMatch(data []byte) bool { return hasMagic(data, 0, rpmMagic) && len(data) >= rpmLead }

func rpmEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		signature, ok := parseRPMHeader(f.Data, rpmLead)
		start := (signature.end + 7) / 8 * 8
		header := rpmHeader{}
		if ok {
			header, ok = parseRPMHeader(f.Data, start)
		}
		if !ok || header.end >= int64(len(f.Data)) {
			yield(member{}, fmt.Errorf("%w: no payload behind the headers", ErrDamaged))
			return
		}
		m := member{name: nameLess(f.Name, ".rpm", "") + ".cpio", data: f.Data[header.end:len(f.Data):len(f.Data)]}
		var err error
		switch size, known := signature.number(rpmSize); {
		case !slices.ContainsFunc(rpmPayloads, func(magic string) bool { return hasMagic(m.data, 0, magic) }):
			err = fmt.Errorf("%w: compression of the payload", ErrUnsupported)
		case known && start+size > int64(len(f.Data)):
			err = fmt.Errorf("%w: cut short", ErrDamaged)
		}
		yield(m, err)
	}
}

// rpmHeader is a header: an index and what its entries point to.
type rpmHeader struct {
	index, store []byte
	end          int64 // the offset behind it
}

// parseRPMHeader reads the header at an offset.
func parseRPMHeader(data []byte, at int64) (h rpmHeader, ok bool) {
	if !hasMagic(data, at, rpmHeaderMagic) || at+rpmHeaderSize > int64(len(data)) {
		return h, false
	}
	b := data[at:]
	entries, store := int64(binary.BigEndian.Uint32(b[8:])), int64(binary.BigEndian.Uint32(b[12:]))
	body := at + rpmHeaderSize + entries*rpmIndexEntry
	if h.end = body + store; h.end > int64(len(data)) {
		return h, false
	}
	h.index, h.store = data[at+rpmHeaderSize:body], data[body:h.end]
	return h, true
}

// number is a number of 32 bits by its tag.
func (h *rpmHeader) number(tag uint32) (n int64, ok bool) {
	be := binary.BigEndian
	for e := h.index; len(e) >= rpmIndexEntry; e = e[rpmIndexEntry:] {
		if be.Uint32(e) != tag || be.Uint32(e[4:]) != rpmInt32 {
			continue
		}
		if value := tail(h.store, int64(be.Uint32(e[8:]))); len(value) >= 4 {
			return int64(be.Uint32(value)), true
		}
	}
	return 0, false
}
