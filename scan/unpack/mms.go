package unpack

import (
	"fmt"
	"iter"
	"slices"
)

// mmsOpener opens multimedia messages of mobile phones (OMA-TS-MMS_ENC-V1_3) and,
// bare, the binary multipart that holds their parts (WAP-230-WSP, section 8.5).
// A message without content, a notification or a report, has no members.
var mmsOpener = opener{name: "mms", match: mmsMatch, entries: mmsEntries}

// Fields of a message (OMA-TS-MMS_ENC, section 7.4, table 25).
const (
	mmsContentType = 0x80 | 0x04
	mmsMessageType = 0x80 | 0x0c
	mmsVersion     = 0x80 | 0x0d
	mmsLastField   = 0x80 | 0x3f

	// Types of messages that have content.
	mmsSendRequest = 0x80
	mmsRetrieved   = 0x84

	// mmsHead bounds the header of a message, and that of a part, in bytes.
	mmsHead = 64 << 10

	// mmsDepth bounds how deep multiparts within multiparts are read that do not
	// stand for themselves.
	mmsDepth = 8
)

func mmsMatch(data []byte) bool {
	_, ok := parseMMS(data)
	return ok || isWSPMultipart(data)
}

// mmsMessage is what a message holds.
type mmsMessage struct {
	kind wspType
	body []byte
	cut  bool // within the header
}

var errMMSCut = fmt.Errorf("%w: cut short", ErrDamaged)

// parseMMS reads the header of a message. Phones do not mind in which order its
// fields are but for the content type, which is the last one. Types and versions
// of messages have their highest bits set.
func parseMMS(data []byte) (m mmsMessage, ok bool) {
	if len(data) < 4 || data[0] < 0x81 || data[0] > mmsLastField {
		return m, false
	}
	w := wspReader{data: data[:min(len(data), mmsHead)], ok: true}
	message, version, content := byte(0), byte(0), false
	for len(w.data) > 0 && w.ok {
		if w.data[0] == mmsContentType {
			w.byte()
			m.kind, content = w.contentType(), true
			m.body = data[min(len(data), mmsHead)-len(w.data):]
			break
		}
		key, value := w.value(), w.value()
		switch {
		case key.code > mmsLastField, key.code == 0 && len(key.text) == 0:
			return m, false
		case key.code == mmsMessageType:
			message = value.code
		case key.code == mmsVersion:
			version = value.code
		}
	}
	m.cut = !w.ok || !content && (message == mmsSendRequest || message == mmsRetrieved)
	return m, message >= 0x80 && message < 0xa0 && version >= 0x90 && version < 0xa0
}

// isWSPMultipart reports whether data are a binary multipart and nothing else:
// nothing marks one but that its lengths fit.
func isWSPMultipart(data []byte) bool {
	w := wspReader{data: data, ok: true}
	count := w.uintvar()
	if count < 1 || count > 255 {
		return false
	}
	for range count {
		if p := w.part(); !p.sound || !w.ok {
			return false
		}
	}
	return len(w.data) == 0
}

func mmsEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		r := &mmsReader{yield: yield}
		m, ok := parseMMS(f.Data)
		switch {
		case !ok:
			r.multipart(f.Data, 0)
		case m.cut:
			yield(member{}, errMMSCut)
		case m.kind.multipart():
			r.multipart(m.body, 0)
		case m.body != nil:
			p := wspPart{kind: m.kind, names: m.kind.names, data: m.body, size: int64(len(m.body))}
			r.part(p, 0)
		}
	}
}

// mmsReader hands out the parts of one message.
type mmsReader struct {
	yield  func(member, error) bool
	number int // of the part
}

// multipart hands out the parts of a multipart. Those beyond the number that it
// is said to have are parts too, if they make sense.
func (r *mmsReader) multipart(data []byte, depth int) bool {
	w := wspReader{data: data, ok: true}
	count := w.uintvar()
	if !w.ok {
		return r.yield(member{}, errMMSCut)
	}
	for ; count > 0 || len(w.data) > 0; count-- {
		p := w.part()
		switch {
		case count <= 0 && (!p.sound || !w.ok):
			return true
		case !w.ok && len(p.data) == 0:
			return r.yield(member{}, errMMSCut)
		case !r.part(p, depth):
			return false
		case !w.ok:
			return true // it has been told
		}
	}
	return true
}

// part hands out a part by its names. A multipart that stands for itself is
// opened like any other object.
func (r *mmsReader) part(p wspPart, depth int) bool {
	r.number++
	if p.kind.multipart() && depth < mmsDepth && len(p.data) > 0 && !isWSPMultipart(p.data) {
		return r.multipart(p.data, depth+1)
	}
	for _, name := range slices.Compact(p.named(r.number)) {
		if !r.yield(cutTo(name, p.data, p.size)) {
			return false
		}
	}
	return true
}
