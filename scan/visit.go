package scan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"kiyome/rules"
	"kiyome/scan/mime"
	"kiyome/scan/unpack"
)

// key tells objects apart. The name belongs to it because rules may ask for it,
// and how the object is read because there is more in a message than in its text.
type key struct {
	sum     [sha256.Size]byte
	name    string
	message bool
	carved  bool
}

// node is what is known of an object: what matched it, and what is in it. An
// object that is met again is not matched again; what is known of it holds for
// the new place too.
type node struct {
	sum      string
	matches  []rules.Match
	problems []trouble
	members  []memberOf
	infected bool // a match here or below that cuts
	told     bool // something to tell here or below
	partial  bool // it holds one of those that it is in: what is known of it holds there only
	pending  bool // of a problem here or below it is not known yet whether it counts
	at       spot // where it was told of last

	trace *Node // of the place where it was met first
}

// trouble is why an object was not read.
type trouble struct{ reason, detail string }

// memberOf is an object in a container.
type memberOf struct {
	name string
	*node
}

// visit is the walk through one leaf, and through the containers in it.
type visit struct {
	*pass
	at    spot
	path  []string // of the object that is being looked at
	stack []level  // the objects around it, the outermost first
	met   []newcomer

	pending []*node // that became so in this walk

	origin
}

// newcomer is an object that was met for the first time.
type newcomer struct {
	cleanKey
	*node
}

// origin is where the object that is walked next was taken from, if not from a
// container.
type origin struct {
	declared bool // a leaf, taken out of its encoding, is said to be a message
	raw      bool // a leaf as it stands: uuencoded files in it are looked at by themselves
	encoded  bool // a leaf as it stands that is said to be in an encoding
	guess    bool // a leaf, in a way that few programs read it
	carved   bool // a text, by guessing: most of what is found so is noise

	how string // for people
}

// level is an object that the walk is in, and the length of its path.
type level struct {
	depth int
	*node
}

// message looks at a message.
func (p *pass) message(m *mime.Message) {
	p.msg = m
	for _, limit := range m.Unchecked {
		p.problem(spot{}, nil, reasonLimit+limit, "")
	}
	for leaf, r := range readings(m) {
		at := spot{part: leaf}
		if r.Block != nil {
			at.block, at.name = *r.Block, r.Name
		}
		if !p.reading(&visit{pass: p, at: at}, leaf, r, nil) {
			return
		}
	}
	for leaf, r := range otherReadings(m) {
		if !p.reading(&visit{pass: p, at: spot{block: leaf.Body}}, leaf, r, nil) {
			return
		}
	}
	p.blind(m)
}

// readings yields every reading of every leaf.
func readings(m *mime.Message) iter.Seq2[*mime.Part, mime.Reading] {
	return func(yield func(*mime.Part, mime.Reading) bool) {
		for leaf := range m.Leaves() {
			for r := range m.Readings(leaf) {
				if !yield(leaf, r) {
					return
				}
			}
		}
	}
}

// otherReadings yields what other trees of the message have and its own has not.
func otherReadings(m *mime.Message) iter.Seq2[*mime.Part, mime.Reading] {
	type body struct {
		mime.Range
		encodings string
	}
	return func(yield func(*mime.Part, mime.Reading) bool) {
		var seen map[body]bool
		isNew := func(p *mime.Part) bool {
			b := body{p.Body, strings.Join(p.Encodings, " ")}
			known := seen[b]
			seen[b] = true
			return !known
		}
		for other := range m.Others() {
			if seen == nil {
				seen = make(map[body]bool)
				for leaf := range m.Leaves() {
					isNew(leaf)
				}
			}
			for leaf := range other.Leaves() {
				if !isNew(leaf) {
					continue
				}
				for r := range other.Readings(leaf) {
					if !yield(leaf, r) {
						return
					}
				}
			}
		}
	}
}

// file looks at a file that is no message.
func (p *pass) file(name string, data []byte) {
	v := &visit{pass: p}
	p.walk(v, nil, unpack.File{Name: name, Data: data})
}

// reading looks at one reading of a leaf, within v. It returns false when the
// time is over.
func (p *pass) reading(v *visit, leaf *mime.Part, r mime.Reading, base []string) (more bool) {
	more = true
	p.guard(v.at, v, func() {
		names := namesOf(leaf, r)
		if names[0] == "" && len(base) > 0 {
			names[0] = leaf.Type // a path must name something
		}
		v.path = append(slices.Clip(base), names[0])
		data, release := p.decoded(v, r)
		defer release()
		for i := 0; more && i < len(names); i++ {
			v.origin = origin{
				declared: r.Data != nil && strings.HasPrefix(leaf.Type, "message/"),
				raw:      r.Raw != nil,
				encoded:  r.Raw != nil && !leaf.IsIdentity(),
				guess:    r.Guess,
				how:      r.How,
			}
			more = p.walk(v, base, unpack.File{Name: names[i], Data: data})
		}
	})
	return more
}

// maxNames is under how many names a leaf is looked at.
const maxNames = 4

// namesOf gives the names under which a reading of a leaf is looked at, the
// likeliest first; there is at least one, perhaps empty. Mail programs differ in
// which name they take, but rules tell names apart by how they end.
func namesOf(leaf *mime.Part, r mime.Reading) []string {
	if r.Name != "" || len(leaf.Names) == 0 {
		return []string{r.Name}
	}
	ending := func(name string) string { return strings.ToLower(path.Ext(name)) }
	names := []string{leaf.Names[0]}
	for _, name := range leaf.Names[1:] {
		alike := func(other string) bool { return ending(other) == ending(name) }
		if len(names) < maxNames && !slices.ContainsFunc(names, alike) {
			names = append(names, name)
		}
	}
	return names
}

// decoded gives the bytes of a reading. What was decoded before a limit is
// looked at too, and so are the leaves of the message itself whatever the limits:
// they are no larger than it is.
func (p *pass) decoded(v *visit, r mime.Reading) (data []byte, release func()) {
	if r.Data == nil {
		return r.Raw, func() {}
	}
	most := int64(math.MaxInt64)
	if p.depth > 0 {
		most = p.walker.Left()
	}
	var size int
	if left, ok := r.Data.(interface{ Len() int }); ok {
		size = left.Len()
	}
	data, release, err := p.arena.Hold(timed{p.ctx, r.Data}, most, int64(size))
	if err == nil || errors.Is(err, unpack.ErrLimit) {
		err = errors.Join(err, p.walker.Unpacked(int64(len(data))))
	}
	if err != nil && p.ctx.Err() == nil {
		v.problem(v.path, reasonOf(err), err.Error())
	}
	return data, release
}

// timed reads until ctx ends.
type timed struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (t timed) Read(b []byte) (int, error) {
	if err := t.ctx.Err(); err != nil {
		return 0, err
	}
	return t.r.Read(b)
}

// walk looks at an object and what is in it. It returns false when the time is over.
func (p *pass) walk(v *visit, base []string, f unpack.File) (more bool) {
	v.met = nil
	err := p.walker.Walk(p.ctx, base, f, v)
	for _, n := range v.pending {
		n.settle()
	}
	v.pending = nil
	if err != nil {
		p.timeOver()
		return false
	}
	v.remember()
	return true
}

// wait says of all the objects that the walk is in that more may be known later.
func (v *visit) wait() {
	for _, l := range v.stack {
		if !l.pending {
			l.pending = true
			v.pending = append(v.pending, l.node)
		}
	}
}

// settle finds out whether there is something to tell, now that it is known of what is
// in it: of what was met again the walk did not know.
func (n *node) settle() {
	if !n.pending {
		return
	}
	n.pending = false
	for _, m := range n.members {
		m.settle()
		n.told = n.told || m.told
		n.infected = n.infected || m.infected
	}
}

// remember remembers what the walk has met in which there is nothing to tell.
func (v *visit) remember() {
	if v.ctx.Err() != nil {
		return // some of it was not looked into
	}
	for _, m := range v.met {
		if !m.told && !m.partial {
			v.clean.add(m.cleanKey)
		}
	}
}

// timeOver notes, once, that the rest of the message was not looked at.
func (p *pass) timeOver() {
	if !p.unread[spot{}] {
		p.problem(spot{}, nil, reasonLimit+"time", "")
	}
}

// Object implements unpack.Visitor: it matches an object that is new, and tells
// again what is known of one that is not.
func (v *visit) Object(path, formats []string, f unpack.File) (open bool) {
	v.path = path
	v.leave(len(path))
	isMessage := v.declared || isMailFile(f.Name) || looksLikeMessage(f.Data)
	if len(f.Data) == 0 {
		return false
	}
	sum := sha256.Sum256(f.Data)
	if v.set.Ignored(sum) {
		return false
	}
	of := v.origin
	v.origin = origin{} // what is in it is what its format says
	carved := of.carved || of.guess
	k := key{sum, f.Name, isMessage, carved}
	n, seen := v.known[k]
	if carved && !seen {
		n, seen = v.sums[sum] // what was carved has no name of its own
	}
	if seen && v.within(n) {
		return false // a container that holds itself
	}
	if seen = seen && !n.partial; !seen {
		n = &node{sum: hex.EncodeToString(sum[:]), at: v.at}
		v.known[k] = n
		if !carved {
			v.sums[sum] = n
		}
	}
	if len(v.stack) > 0 {
		around := v.stack[len(v.stack)-1].node
		around.members = append(around.members, memberOf{f.Name, n})
	}
	if v.trace != nil {
		v.traced(n, formats, f, of, seen)
	}
	if seen {
		v.again(n)
		return false
	}
	if v.remembers && !isMessage {
		k := cleanKeyOf(sum, path, of)
		if v.clean.has(k) {
			v.skipped = true
			return false
		}
		v.met = append(v.met, newcomer{k, n})
	}
	v.stack = append(v.stack, level{len(path), n})
	v.matchNew(n, path, formats, f, carved)
	if !isMessage || !v.attached(n, path, f.Data, carved) {
		v.texts(path, f.Data, of)
	}
	return true
}

// traced notes the object for people.
func (v *visit) traced(n *node, formats []string, f unpack.File, of origin, again bool) {
	t := Node{
		Depth: len(v.stack), Name: f.Name, Type: kindOf(f), How: of.how, Size: int64(len(f.Data)),
		SHA256: n.sum, Again: again, Guess: of.guess || of.carved,
	}
	if len(formats) > 0 {
		t.How = formats[len(formats)-1]
	}
	if isBlind(v.at) {
		t.Range = &mime.Range{Start: v.at.block.Start, End: v.at.block.End}
	}
	if again && n.trace != nil {
		t.Malware, t.Noted, t.Unchecked = n.trace.Malware, n.trace.Noted, n.trace.Unchecked
	}
	if added := v.trace.add(v.at.part, t); !again {
		n.trace = added
	}
}

// Unchecked implements unpack.Visitor. The walk has gone on when it counts.
func (v *visit) Unchecked(path []string, err error) (count func()) {
	v.leave(len(path) + 1)
	v.wait()
	stack := slices.Clone(v.stack)
	return func() { v.problemIn(stack, path, reasonOf(err), err.Error()) }
}

// leave steps out of the objects that are at depth or deeper.
func (v *visit) leave(depth int) {
	for len(v.stack) > 0 && v.stack[len(v.stack)-1].depth >= depth {
		v.stack = v.stack[:len(v.stack)-1]
	}
}

// within reports whether the walk is in n. What lies between is then known in part only.
func (v *visit) within(n *node) bool {
	i := slices.IndexFunc(v.stack, func(l level) bool { return l.node == n })
	if i < 0 {
		return false
	}
	for _, l := range v.stack[i+1:] {
		l.partial = true
	}
	return true
}

// matchNew matches an object and tells what matched.
func (v *visit) matchNew(n *node, path, formats []string, f unpack.File, carved bool) {
	v.objects++
	v.bytes += int64(len(f.Data))
	left := v.o.Limits.Time
	if deadline, ok := v.ctx.Deadline(); ok {
		left = time.Until(deadline)
	}
	matches, err := v.matcher.Match(rules.Object{
		Data: f.Data, Name: f.Name, Path: strings.Join(path[:len(path)-1], "/"), Type: kindOf(f), Carved: carved,
	}, max(left, time.Second))
	for _, m := range matches {
		n.matches = append(n.matches, m)
		v.mark(!m.LogOnly)
		n.trace.malware(m.Malware, m.LogOnly)
		v.match(v.at, path, m, n.sum)
	}
	switch {
	case err == nil:
	case errors.Is(err, rules.ErrTimeout):
		v.problem(path, reasonLimit+"time", err.Error())
	default:
		v.problem(path, reasonRules, err.Error())
	}
}

// problem notes why the object at path was not read, with the object that the
// walk is in.
func (v *visit) problem(path []string, reason, detail string) {
	v.problemIn(v.stack, path, reason, detail)
}

// problemIn notes the same with the innermost object of a stack.
func (v *visit) problemIn(stack []level, path []string, reason, detail string) {
	if len(stack) > 0 {
		n := stack[len(stack)-1].node
		n.problems = append(n.problems, trouble{reason, detail})
		n.trace.unchecked(reason, detail)
		mark(stack, v.o.Policy.cuts(reason))
	}
	v.pass.problem(v.at, path, reason, detail)
}

// mark says of all the objects that the walk is in that there is something to
// tell of them.
func (v *visit) mark(infected bool) { mark(v.stack, infected) }

func mark(stack []level, infected bool) {
	for _, l := range stack {
		l.told = true
		l.infected = l.infected || infected
	}
}

// again tells what is known of an object that was met in another place.
func (v *visit) again(n *node) {
	if n.pending {
		v.wait()
	}
	if !n.told {
		return
	}
	v.mark(n.infected)
	if n.at == v.at {
		return
	}
	n.at = v.at
	// What is infected is told first, however much else there is.
	for _, infected := range []bool{true, false} {
		r := retelling{v, MaxFindings}
		r.tell(n, v.path, infected)
	}
}

// retelling tells of an object and what is in it, so many at the most: the same
// containers, each twice in the next, would be told of without end.
type retelling struct {
	*visit
	left int
}

// tell tells of n, and of what is in it, what cuts or what does not.
func (r *retelling) tell(n *node, path []string, infected bool) {
	for _, m := range n.matches {
		if m.LogOnly != infected {
			r.left--
			r.match(r.at, path, m, n.sum)
		}
	}
	for _, t := range n.problems {
		if r.o.Policy.cuts(t.reason) == infected {
			r.left--
			r.pass.problem(r.at, path, t.reason, t.detail)
		}
	}
	for _, m := range n.members {
		if r.left <= 0 {
			return
		}
		if infected && m.infected || !infected && m.told {
			r.tell(m.node, append(slices.Clip(path), m.name), infected)
		}
	}
}

// attached looks at a message that is an object itself, n: attached in an encoding,
// or a file in a container. It reports whether it is one. guess says that only a
// guess shows it.
func (v *visit) attached(n *node, path []string, data []byte, guess bool) bool {
	m := mime.Parse(data, v.o.Limits.MIME)
	if len(m.Root.Children) == 0 && m.Root.Message == nil && m.Root.Body.Start == 0 {
		return false // no header: there is nothing but the text, which has been looked at
	}
	if guess {
		if v.guesses++; v.guesses > maxGuesses {
			n.partial = true
			v.problem(path, reasonLimit+"readings", "a message in what few mail programs read")
			return true
		}
	}
	if !v.deeper(path) {
		return true
	}
	defer v.higher()
	for _, limit := range m.Unchecked {
		v.problem(path, reasonLimit+limit, "")
	}
	if v.leaves(m, path) {
		v.carve(path, m.Blind(), v.at)
	}
	return true
}

// deeper goes a message, or a text in an encoding, down. It returns false where
// that is too deep, and says so.
func (v *visit) deeper(path []string) bool {
	limit := v.o.Limits.Unpack.Depth
	if limit <= 0 {
		limit = defaultNesting
	}
	if v.depth >= limit {
		v.problem(path, reasonLimit+"depth", fmt.Sprintf("%d messages or texts within one another", v.depth))
		return false
	}
	v.depth++
	return true
}

// higher comes back from deeper.
func (v *visit) higher() { v.depth-- }

// leaves looks at the leaves of an attached message, within the limits: those of
// the message itself are bounded by its size, and no limit hides them. It returns
// false when it did not come to the last one.
func (v *visit) leaves(m *mime.Message, path []string) bool {
	for _, all := range []iter.Seq2[*mime.Part, mime.Reading]{readings(m), otherReadings(m)} {
		for leaf, r := range all {
			if err := v.walker.Full(); err != nil {
				v.problem(path, reasonOf(err), err.Error())
				return false
			}
			inner := &visit{pass: v.pass, at: v.at, stack: slices.Clip(v.stack)}
			if !v.reading(inner, leaf, r, path) {
				return false
			}
		}
	}
	return true
}

// defaultNesting is how deep messages in encoded parts are read, each being
// parsed by itself, when Limits.Unpack.Depth does not say.
const defaultNesting = 32

// maxGuesses bounds the messages that are read where only a guess at the encoding
// shows one: each level of them would multiply the work.
const maxGuesses = 64
