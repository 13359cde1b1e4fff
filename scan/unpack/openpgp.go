package unpack

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"iter"
	"strings"
)

// pgpOpener opens OpenPGP messages (RFC 9580, and RFC 4880 before it), in binary
// and in armour. Signatures are not verified. Keys, and signatures that stand apart
// from what they sign, are no containers, and what is signed in the clear is there to
// be read as it is. Section numbers are those of RFC 9580.
var pgpOpener = opener{name: "openpgp", match: pgpMatch, entries: pgpEntries}

// pgpLabel is how the first line of a message in armour goes on (section 6.2).
// Behind it may stand which part of one it is.
const pgpLabel = "PGP MESSAGE"

func pgpMatch(data []byte) bool {
	if isPGPMessage(data, false) {
		return true
	}
	for a := range armours(data, pgpLabel) {
		if mayLeadPGP(a.head(pgpProbe), true) {
			return true
		}
	}
	return false
}

// pgpDeclared is a marker packet (section 5.8). Programs pass over it; here it
// stands before what came out of another packet or out of armour: that is known to
// be a message, strange as it may look.
const pgpDeclared = "\xca\x03PGP"

func pgpEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		r := &pgpReader{file: f, data: f.Data, yield: yield}
		r.name = cmp.Or(nameLess(f.Name, ".gpg", "", ".pgp", "", ".asc", ""), noName)
		declared := bytes.HasPrefix(f.Data, []byte(pgpDeclared))
		for !r.done && isPGPMessage(r.data, declared) {
			r.message()
		}
		for a := range armours(f.Data, pgpLabel) {
			if r.done {
				return
			}
			if mayLeadPGP(a.head(pgpProbe), true) {
				r.stream(a.reader())
			}
		}
	}
}

// pgpReader reads the messages of a file.
type pgpReader struct {
	file  File
	data  []byte // what has not been read yet
	name  string // of members that have none
	keys  []pgpPassword
	head  entityHead
	yield func(member, error) bool
	done  bool // nobody wants more
}

// message reads up to the packet that holds something, and that one.
func (r *pgpReader) message() {
	for {
		p, ok := pgpPacketAt(r.data, 0)
		if !ok {
			return
		}
		whole := r.data
		r.data = r.data[p.end:]
		switch p.tag {
		case pgpPasswordKey:
			r.key(p.piece(whole))
			continue
		case pgpLiteral:
			r.literal(p, whole)
		case pgpCompressed:
			r.compressed(p, whole)
		case pgpSED, pgpSEIPD, pgpAEAD:
			r.encrypted(p, whole)
			r.keys = nil
		default:
			continue
		}
		return
	}
}

// literal hands out a file.
func (r *pgpReader) literal(p pgpPacket, data []byte) {
	body := p.reader(data)
	h, _ := readPGPLiteral(body)
	m := member{name: r.name}
	const console = "_CONSOLE" // section 5.9: not to be stored
	if len(h.name) > 0 && string(h.name) != console {
		m.name = decodeName(h.name)
	}
	m.name = entityName(m.name, r.head.of(body))
	if p.partial || p.cut {
		m.body = p.reader(data)
		readPGPLiteral(m.body) // what stands before the file
	} else {
		m.data = p.piece(data)[h.size():]
	}
	r.emit(m, nil)
}

// compressed hands out the packets in compressed data.
func (r *pgpReader) compressed(p pgpPacket, data []byte) {
	if plain := pgpUnpacked(p.reader(data)); plain != nil {
		r.stream(plain)
	} else {
		r.emit(member{name: r.name}, fmt.Errorf("%w: compression", ErrUnsupported))
	}
}

// encrypted hands out the packets in encrypted data when a password is known that
// fits.
func (r *pgpReader) encrypted(p pgpPacket, data []byte) {
	switch plain := r.decrypted(p, data); {
	case plain != nil:
		r.stream(plain)
	case len(r.keys) > 0:
		r.emit(member{name: r.name}, fmt.Errorf("%w: no password fits", ErrEncrypted))
	default:
		r.emit(member{name: r.name}, fmt.Errorf("%w: the recipient's key is needed", ErrEncrypted))
	}
}

// stream hands out packets that were within something.
func (r *pgpReader) stream(packets io.Reader) {
	r.emit(member{name: r.name, body: io.MultiReader(strings.NewReader(pgpDeclared), packets)}, nil)
}

// emit hands out a member, or what is wrong with it.
func (r *pgpReader) emit(m member, err error) {
	if !r.done {
		r.done = !r.yield(m, err)
	}
}
