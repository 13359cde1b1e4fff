package accounts

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"
)

// sealVersion is the first byte of every stored value.
const sealVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal writes a value as it is stored: version, payload, CRC-32C over key,
// version and payload. The key is in it so that a value which turns up under
// another key is noticed as well.
func seal(key, payload []byte) []byte {
	value := make([]byte, 0, 1+len(payload)+4)
	value = append(value, sealVersion)
	value = append(value, payload...)
	return binary.BigEndian.AppendUint32(value, checksum(key, value))
}

func checksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// unseal gives the payload, which is part of value, or ErrDamaged.
func unseal(key, value []byte) ([]byte, error) {
	end := len(value) - 4
	if end < 1 || binary.BigEndian.Uint32(value[end:]) != checksum(key, value[:end]) {
		return nil, fmt.Errorf("%w: wrong checksum", ErrDamaged)
	}
	if value[0] != sealVersion {
		return nil, fmt.Errorf("%w: record of version %d, this program knows %d", ErrNewer, value[0], sealVersion)
	}
	return value[1:end], nil
}

// The bits of a record's flags.
const (
	flagNoCopy = 1 << iota
	flagInbound
	flagInboundPaused
	flagOutbound
	flagNoCourse
	flagMain
)

// sealRecord writes a record in our own compact form: a look-up decodes one for
// every RCPT, and JSON takes several times as long.
func sealRecord(r record) []byte {
	a := r.account
	var b []byte
	for _, s := range []string{a.Address, a.Owner, a.Language, a.Maildir} {
		b = appendString(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(a.Forward)))
	for _, f := range a.Forward {
		b = appendString(b, f)
	}
	flags := bit(flagNoCopy, a.NoCopy) | bit(flagInbound, a.Inbound.Subscribed) |
		bit(flagInboundPaused, a.Inbound.Paused) | bit(flagOutbound, a.Outbound.Subscribed) |
		bit(flagNoCourse, a.NoCourse) | bit(flagMain, a.Main)
	b = binary.AppendUvarint(b, flags)
	for _, t := range []time.Time{a.Inbound.Since, a.Outbound.Since, a.Closed, a.Added} {
		b = appendTime(b, t)
	}
	b = binary.AppendUvarint(b, r.events)
	b = binary.AppendUvarint(b, uint64(len(r.pending)))
	for _, e := range r.pending {
		b = appendString(b, string(e.Kind))
		b = appendString(b, string(e.Service))
		b = appendTime(b, e.Effective)
	}
	return seal([]byte(a.Address), b)
}

func unsealRecord(key, value []byte) (record, error) {
	payload, err := unseal(key, value)
	if err != nil {
		return record{}, fmt.Errorf("account %.300q: %w", key, err)
	}
	var r record
	d := decoder{rest: string(payload)} // the one copy: all strings are parts of it
	a := &r.account
	a.Address, a.Owner, a.Language, a.Maildir = d.string(), d.string(), d.string(), d.string()
	for range d.count() {
		a.Forward = append(a.Forward, d.string())
	}
	flags := d.uvarint()
	a.NoCopy, a.NoCourse, a.Main = flags&flagNoCopy != 0, flags&flagNoCourse != 0, flags&flagMain != 0
	a.Inbound = State{flags&flagInbound != 0, flags&flagInboundPaused != 0, d.time()}
	a.Outbound = State{flags&flagOutbound != 0, false, d.time()}
	a.Closed, a.Added = d.time(), d.time()
	r.events = d.uvarint()
	for range d.count() {
		r.pending = append(r.pending, Event{Kind: Kind(d.string()), Service: Service(d.string()), Effective: d.time()})
	}
	if d.bad || d.rest != "" || a.Address != string(key) {
		return record{}, fmt.Errorf("account %.300q: %w: not a record", key, ErrDamaged)
	}
	return r, nil
}

func bit(flag uint64, set bool) uint64 {
	if set {
		return flag
	}
	return 0
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendTime writes nanoseconds plus one, then seconds; the zero time is 0.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(t.Nanosecond())+1)
	return binary.AppendVarint(b, t.Unix())
}

// A decoder takes values off the front of rest. After the first that is not
// there it is bad and gives zero values only.
type decoder struct {
	rest string
	bad  bool
}

func (d *decoder) uvarint() uint64 {
	var v uint64
	for i := range min(len(d.rest), binary.MaxVarintLen64) {
		c := d.rest[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			d.rest = d.rest[i+1:]
			return v
		}
	}
	d.bad, d.rest = true, ""
	return 0
}

// count is a uvarint that says how many values follow, of one byte or more each.
func (d *decoder) count() uint64 {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, ""
		return 0
	}
	return n
}

func (d *decoder) string() string {
	n := d.count()
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) time() time.Time {
	nanosecond := d.uvarint()
	if nanosecond == 0 {
		return time.Time{}
	}
	u := d.uvarint()
	seconds := int64(u>>1) ^ -int64(u&1) // zigzag, as AppendVarint wrote it
	return time.Unix(seconds, int64(nanosecond-1)).UTC()
}
