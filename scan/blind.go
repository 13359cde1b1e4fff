package scan

import (
	"bytes"
	"errors"
	"iter"
	"slices"

	"kiyome/scan/mime"
	"kiyome/scan/unpack"
)

// blind looks at a message once more, without knowing its structure. What is found
// there only cannot be cut: see planCut.
func (p *pass) blind(m *mime.Message) {
	v := &visit{pass: p}
	p.guard(v.at, v, func() { v.carve(nil, m.Blind(), spot{}) })
}

// textHead is how many bytes of an object tell whether it is a text.
const textHead = 512

// texts looks for what is hidden in an object that is a text: files in an encoding
// that mail programs, or people, undo. A leaf that is said to be in an encoding has been
// read in all of them.
func (v *visit) texts(path []string, data []byte, of origin) {
	if of.encoded || bytes.IndexByte(data[:min(len(data), textHead)], 0) >= 0 || !v.deeper(path) {
		return
	}
	defer v.higher()
	v.carve(path, mime.Carve(data, of.raw), v.at)
}

// carve looks at what was carved out of the object at base, if it is known by its
// content. Of the message itself, which has no path, at is where it was.
func (v *visit) carve(base []string, carved iter.Seq[mime.Carved], at spot) {
	for c := range carved {
		if v.ctx.Err() != nil {
			v.timeOver()
			return
		}
		if err := v.walker.Full(); err != nil {
			v.problem(base, reasonOf(err), err.Error())
			return
		}
		inner := &visit{pass: v.pass, at: at, stack: slices.Clip(v.stack)}
		if base == nil {
			inner.at = spot{block: c.Region}
		}
		if !inner.piece(base, c) {
			return
		}
	}
}

// piece looks at one thing that was carved. It returns false when the time is over.
func (v *visit) piece(base []string, c mime.Carved) (more bool) {
	data, release, err := v.arena.Hold(timed{v.ctx, c.Data}, v.walker.Left(), 0)
	defer release()
	if err == nil || errors.Is(err, unpack.ErrLimit) {
		err = errors.Join(err, v.walker.Unpacked(int64(len(data))))
	}
	if err != nil && v.ctx.Err() == nil {
		v.problem(base, reasonOf(err), err.Error())
	}
	for _, at := range starts(data) {
		v.origin = origin{carved: true, how: c.How}
		if !v.walk(v, base, unpack.File{Name: c.Name, Data: data[at:]}) {
			return false
		}
	}
	return true
}
