package unpack

import (
	"cmp"
	"errors"
	"slices"
)

// What a compressor cannot make smaller it often keeps as it is, in pieces. So an
// archive in another file is seen there a second time, by its own opener, which finds
// it damaged: its pieces do not lie together. It is no loss, for it is read when it has
// been unpacked. Therefore openers say how far they have read an object, and damage
// that others tell of what was read whole is not passed on.

// read says that an opener has read the bytes of f from one offset up to another, and
// handed out what is in them. Zeros in between need not be read.
func (f File) read(from, to int) {
	if f.extent == nil {
		return
	}
	at := *f.extent
	if from <= at || from <= len(f.Data) && zeros(f.Data[at:from]) {
		*f.extent = max(at, min(to, len(f.Data)))
	}
}

// isWhole reports whether all of f has been read.
func (f File) isWhole() bool { return *f.extent > 0 && zeros(f.Data[*f.extent:]) }

// stretch is some bytes of an object: from an offset up to another.
type stretch struct{ from, to int }

// readAll is read for stretches in any order. Between two of them there may be gap
// bytes that are none of them.
func (f File) readAll(all []stretch, gap int) {
	slices.SortFunc(all, func(a, b stretch) int { return cmp.Compare(a.from, b.from) })
	for i, s := range all {
		if i > 0 && s.from-all[i-1].to <= gap {
			s.from = min(s.from, all[i-1].to)
		}
		f.read(s.from, s.to)
		if i > 0 {
			all[i].to = max(s.to, all[i-1].to)
		}
	}
}

// problem is something that could not be read.
type problem struct {
	damage bool
	count  func() // tells the visitor
}

// reading is what one opener made of an object: the problems that it met, in
// walk.problems, and whether it read the object whole and met none itself.
type reading struct {
	opener *opener
	stretch
	whole bool
}

// passOn leaves those problems of an object's readings that are to be told: all, unless
// another opener has read it whole.
func (w *walk) passOn(f File, readings []reading) {
	whole := 0
	for _, r := range readings {
		if r.whole {
			whole++
		}
	}
	if whole == 0 {
		return
	}
	kept := readings[0].from
	for _, r := range readings {
		onlyIt := whole == 1 && r.whole
		all := onlyIt || r.opener.ends != nil && r.opener.ends(f.Data)
		for _, p := range w.problems[r.from:r.to] {
			if all || !p.damage {
				w.problems[kept] = p
				kept++
			}
		}
	}
	w.problems = w.problems[:kept]
}

// maxProblems bounds what is held back; the rest counts at once.
const maxProblems = 10_000

// note holds a problem back until it is known whether it counts.
func (w *walk) note(path []string, err error) {
	count := w.visitor.Unchecked(path, err)
	if len(w.problems) < maxProblems {
		w.problems = append(w.problems, problem{errors.Is(err, ErrDamaged), count})
		return
	}
	count()
}

// countAll tells the visitor which problems are left.
func (w *walk) countAll() {
	for _, p := range w.problems {
		p.count()
	}
	w.problems = nil
}
