package scan

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"kiyome/rules"
	"kiyome/scan/mime"
	"kiyome/scan/unpack"
)

// pass is one look at a message, with what came of it.
type pass struct {
	*scanner
	msg    *mime.Message // nil for a file that is none
	walker *unpack.Walker
	found  func(Finding)
	depth  int // of messages in encoded parts and containers, each parsed by itself

	trace   *trace // nil: nobody asks for it
	guesses int    // messages that only a guess at the encoding shows

	hits      []spot // where there is something to cut, each once; not bounded by what is listed
	isHit     map[spot]bool
	findings  list[Finding]
	noted     list[Finding]
	unchecked list[Unchecked]
	unread    map[spot]bool // where something was not checked
	told      map[toldOf]bool
	shut      bool // something could not be opened for want of a password
}

// toldOf is a rule that matched a leaf.
type toldOf struct {
	at             spot
	sum, set, rule string
}

// newPass starts a look. found may be nil.
func (s *scanner) newPass(found func(Finding)) *pass {
	p := &pass{
		scanner: s, walker: unpack.NewWalker(s.arena, s.o.Limits.Unpack), found: found,
		isHit: make(map[spot]bool), unread: make(map[spot]bool), told: make(map[toldOf]bool),
	}
	p.walker.SetPasswords(func() []string { return passwordsOf(p.msg, s.o.Passwords) })
	p.walker.SetToldPasswords(passwordsIn)
	return p
}

// spot is a place in the message that can be cut: a part, or a block of one. No
// part at all is the message as a whole.
type spot struct {
	part  *mime.Part
	block mime.Range // not empty: only this much of the part
	name  string     // of the block's file
}

// list holds what a verdict lists. What is too much is only counted: a message
// of a million bad files must not make a verdict of a million lines.
type list[T any] struct {
	items []T
	text  int // bytes of names in them
	more  int
}

// maxListText bounds the names in one list of a verdict, in bytes.
const maxListText = 256 << 10

// full reports whether there is no room for another entry, which is then counted.
func (l *list[T]) full() bool {
	if len(l.items) < MaxFindings {
		return false
	}
	l.more++
	return true
}

// add lists v, with text bytes of names in it, if there is room.
func (l *list[T]) add(v T, text int) bool {
	if l.full() {
		return false
	}
	if l.text+text > maxListText {
		l.more++
		return false
	}
	l.items, l.text = append(l.items, v), l.text+text
	return true
}

// verdict gives what came of the look, but for the outcome.
func (p *pass) verdict() *Verdict {
	v := &Verdict{
		Findings: p.findings.items, More: p.findings.more,
		Noted: p.noted.items, Unchecked: p.unchecked.items,
	}
	if p.msg != nil {
		v.Odd = p.msg.Odd
	}
	if p.trace != nil {
		v.Tree = p.trace.tree(p.msg)
	}
	return v
}

// match notes a rule that matched the object at path. Of a leaf, which may be
// looked at under several names, that is said once.
func (p *pass) match(at spot, path []string, m rules.Match, sum string) {
	if told := (toldOf{at, sum, m.Set, m.Rule}); len(path) == 1 {
		if p.told[told] {
			return
		}
		p.told[told] = true
	}
	finding := func() Finding {
		f := p.finding(at, path)
		f.Malware, f.Rule, f.SHA256 = m.Malware, m.Set+"/"+m.Rule, sum
		return f
	}
	if !m.LogOnly {
		p.hit(at, finding)
	} else if !p.noted.full() {
		f := finding()
		p.noted.add(f, textOf(f.Path))
	}
}

// hit notes where there is something to cut, and the finding, which is made only
// when there is room for it in the list.
func (p *pass) hit(at spot, finding func() Finding) {
	if !p.isHit[at] {
		p.isHit[at] = true
		p.hits = append(p.hits, at)
	}
	if p.findings.full() {
		return
	}
	f := finding()
	if p.findings.add(f, textOf(f.Path)) && p.found != nil {
		p.found(f)
	}
}

// finding gives a finding's place and names.
func (p *pass) finding(at spot, path []string) Finding {
	f := Finding{Name: attachmentName(p.msg, at), Range: cutRange(at)}
	if at.part != nil {
		f.Part = at.part.ID
		f.Body = at.block == (mime.Range{}) && at.part.IsBody() && at.part.Attached() == nil
	}
	switch {
	case f.Body:
		f.Name = ""
	case f.Name == "" && len(path) > 0:
		f.Name = shorten(path[0], maxName)
	}
	if len(path) > 1 {
		f.Path = shortenPath(path)
	}
	return f
}

// attachmentName gives the name that a mail program shows for what holds the
// spot: of an attached message that has none, its subject.
func attachmentName(m *mime.Message, at spot) string {
	if at.name != "" {
		return shorten(at.name, maxName)
	}
	for part := at.part; part != nil; part = part.Attached() {
		if len(part.Names) > 0 {
			return shorten(part.Names[0], maxName)
		}
		if part.Message != nil {
			for _, subject := range m.Field(part.Message, "Subject") {
				return shorten(subject, maxName)
			}
		}
		if !part.IsBody() {
			break
		}
		// The text of an attached message: it goes by the name of that message.
	}
	return ""
}

// subject gives the subject of the message; of several, which mail programs choose among, the first.
func (p *pass) subject() string {
	for _, subject := range p.msg.Field(p.msg.Root, "Subject") {
		return shorten(subject, maxName)
	}
	return ""
}

// problem notes that the object at path was not read, or not to its end. What
// the policy cuts becomes a finding.
func (p *pass) problem(at spot, path []string, reason, detail string) {
	p.unread[at] = true
	p.shut = p.shut || reason == reasonEncrypted
	entry := func() (Unchecked, Finding) {
		f := p.finding(at, path)
		return Unchecked{Reason: reason, Detail: shorten(detail, maxName), Name: f.Name, Path: f.Path, Part: f.Part}, f
	}
	if p.o.Policy.cuts(reason) {
		p.hit(at, func() Finding {
			u, f := entry()
			cut := u.finding()
			cut.Range, cut.Body = f.Range, f.Body
			return cut
		})
	} else if !p.unchecked.full() {
		u, _ := entry()
		p.unchecked.add(u, textOf(u.Path)+len(u.Detail))
	}
}

// guard runs f, and turns its panic into an object that was not checked: nothing
// that was found before is lost.
func (p *pass) guard(at spot, v *visit, f func()) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		detail := fmt.Sprint(r)
		if v == nil {
			p.problem(at, nil, reasonScanError, detail)
			return
		}
		v.problem(v.path, reasonScanError, detail)
	}()
	f()
}

// reasonOf puts an error of a container in the words of the verdict.
func reasonOf(err error) string {
	var limit *unpack.LimitError
	switch {
	case errors.As(err, &limit):
		return reasonLimit + limit.Limit
	case errors.Is(err, unpack.ErrLimit):
		return reasonLimit + "unpacked"
	case errors.Is(err, unpack.ErrEncrypted):
		return reasonEncrypted
	case errors.Is(err, unpack.ErrClosed):
		return reasonClosed
	case errors.Is(err, unpack.ErrUnsupported):
		return reasonUnsupported
	}
	return reasonDamaged
}

// Bounds of the names in one finding, in bytes. Written as JSON, with every byte
// escaped, they stay below the 64 KiB that a worker may send.
const (
	maxName     = 1 << 10
	maxPathText = 4 << 10
	maxElement  = 256
)

// shorten gives s as valid UTF-8 of at most n bytes.
func shorten(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// shortenPath bounds a path: names in its middle give way to "…".
func shortenPath(path []string) []string {
	short := make([]string, len(path))
	text := 0
	for i, name := range path {
		short[i] = shorten(name, maxElement)
		text += len(short[i]) + 1
	}
	for text > maxPathText {
		i := len(short) / 2
		text -= len(short[i]) + 1
		short = slices.Delete(short, i, i+1)
		if text <= maxPathText {
			short = slices.Insert(short, i, "…")
		}
	}
	return short
}

// textOf is the length of the names in a path.
func textOf(path []string) int {
	n := 0
	for _, name := range path {
		n += len(name)
	}
	return n
}
