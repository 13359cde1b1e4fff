package unpack

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
)

// streamStart gives where a stream's bytes begin when a parser stands behind its
// dictionary; 0 when it is no stream. The line of the word may end with blanks,
// and with CR alone (ISO 32000-1, section 7.3.8.1, forbids both).
func streamStart(p *pdfParser) int {
	p.skip()
	if !bytes.HasPrefix(p.data[p.at:], []byte("stream")) {
		return 0
	}
	at := p.at + len("stream")
	line := at
	for line < len(p.data) && (p.data[line] == ' ' || p.data[line] == '\t') {
		line++
	}
	if line < len(p.data) && isLineEnd(p.data[line]) {
		at = line
	}
	if bytes.HasPrefix(p.data[at:], []byte("\r\n")) {
		return at + 2
	}
	if at < len(p.data) && isLineEnd(p.data[at]) {
		at++
	}
	return at
}

// ends gives where "endstream" stands if it is, but for white space, at an
// offset; -1 if it is not.
func (d *pdfDoc) ends(at int) int {
	if at < 0 || at > len(d.file.Data) {
		return -1
	}
	rest := bytes.TrimLeft(d.file.Data[at:min(len(d.file.Data), at+32)], "\x00\t\n\f\r ")
	if bytes.HasPrefix(rest, []byte("endstream")) || bytes.HasPrefix(rest, []byte("endobj")) {
		return at
	}
	return -1
}

// extents finds where streams end: where their length says, if it is right, else
// before the next word that ends one.
func (d *pdfDoc) extents() {
	data, next := d.file.Data, -1 // the next endstream
	for i := range d.objects {
		o := &d.objects[i]
		if o.start == 0 {
			continue
		}
		dict, _ := d.value(o).(pdfDict)
		var longest int
		if longest, o.end = d.lengths(o, dict); o.end > 0 {
			continue
		}
		if next < o.start {
			next = len(data)
			if n := bytes.Index(data[o.start:], []byte("endstream")); n >= 0 {
				next = o.start + n
			}
		}
		if o.end = next; next < len(data) {
			o.end = o.start + len(withoutLineEnd(data[o.start:next]))
		} else if d.headed {
			d.damaged("stream of object %d: cut short", o.num)
		}
		if dict.get("Filter") != nil { // a program that believes the length reads beyond
			o.end = max(o.end, o.start+longest)
		}
	}
}

// lengths gives the longest length that a stream is said to have within the file,
// and its end by the longest that is right; 0 when none is.
func (d *pdfDoc) lengths(o *pdfObject, dict pdfDict) (longest, end int) {
	for _, e := range dict {
		if e.key != "Length" {
			continue
		}
		for _, v := range d.versions(e.value) {
			n, _ := v.(pdfInt)
			if n < 0 || n > pdfInt(len(d.file.Data)-o.start) || v == nil {
				continue
			}
			longest = max(longest, int(n))
			end = max(end, d.ends(o.start+int(n)))
		}
	}
	return longest, end
}

func withoutLineEnd(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte("\n"))
	return bytes.TrimSuffix(b, []byte("\r"))
}

// unlock finds how the file is encrypted, and the keys.
func (d *pdfDoc) unlock() {
	ids := [][]byte{nil}
	var dicts []pdfDict
	for i := range d.objects {
		o := &d.objects[i]
		if !o.trailer && o.start == 0 {
			continue
		}
		dict, _ := d.value(o).(pdfDict)
		if id, _ := d.resolve(dict.get("ID")).(pdfArray); len(id) > 0 && len(ids) <= maxPDFSecurity {
			if first, ok := id[0].(pdfString); ok && len(first.bytes) <= maxPDFID {
				ids = append(ids, first.bytes)
			}
		}
		encrypt := dict.get("Encrypt")
		if ref, ok := encrypt.(pdfRef); ok {
			d.open[pdfNumber32(ref.num)] = true
		}
		for _, v := range d.versions(encrypt) {
			if about, ok := v.(pdfDict); ok && len(dicts) < maxPDFSecurity {
				dicts = append(dicts, d.flat(about, 4))
			}
		}
	}
	slices.Reverse(ids)
	var seen []*pdfSecurity
	for _, dict := range dicts {
		s, ok := parsePDFSecurity(dict)
		again := ok && slices.ContainsFunc(seen, s.equals)
		switch {
		case !ok:
			d.locked = fmt.Errorf("%w: by another than the standard handler", ErrEncrypted)
		case !again:
			seen = append(seen, s)
			d.unlockWith(s, ids)
		}
	}
}

// flat is a dictionary without references.
func (d *pdfDoc) flat(dict pdfDict, depth int) pdfDict {
	dict = slices.Clone(dict[:min(len(dict), 64)])
	for i := range dict {
		dict[i].value = d.resolve(dict[i].value)
		if sub, ok := dict[i].value.(pdfDict); ok && depth > 0 {
			dict[i].value = d.flat(sub, depth-1)
		}
	}
	return dict
}

// unlockWith tries the passwords, that which is empty first.
func (d *pdfDoc) unlockWith(s *pdfSecurity, ids [][]byte) {
	fits := func(password []byte) bool {
		return slices.ContainsFunc(ids, func(id []byte) bool { return s.unlock(password, id) })
	}
	if fits(nil) {
		d.locks = append(d.locks, s)
		return
	}
	for password := range d.file.passwords() {
		if slices.ContainsFunc(passwordBytes(password), fits) {
			d.file.opened(password)
			d.locks = append(d.locks, s)
			return
		}
	}
	d.locked = errPDFLocked
}

// pdfReading is one way to read a stream.
type pdfReading struct {
	data     []byte
	filters  []pdfFilter
	lock     *pdfSecurity // nil: as it stands
	method   pdfMethod
	num, gen int
}

// readings gives the ways in which a stream can be read, the likeliest first.
func (d *pdfDoc) readings(o *pdfObject, dict pdfDict) (all []pdfReading) {
	data := d.file.Data[o.start:o.end]
	starts := [][]byte{data}
	if o.start > 0 && d.file.Data[o.start-1] == 'm' { // something stands behind the word: some pass over the line
		if n := bytes.IndexByte(data[:min(len(data), 256)], '\n'); n >= 0 {
			starts = append(starts, data[n+1:])
		}
	}
	for _, filters := range d.filterSets(dict) {
		for _, data := range starts {
			r := pdfReading{data: data, filters: filters, num: int(o.num), gen: int(o.gen)}
			for _, lock := range d.locks {
				for _, m := range lock.methods(filters) {
					r.lock, r.method = lock, m
					all = append(all, r)
				}
			}
			r.lock = nil
			all = append(all, r)
		}
	}
	return all
}

// methods gives what a stream may be encrypted with.
func (s *pdfSecurity) methods(filters []pdfFilter) []pdfMethod {
	var all []pdfMethod
	for _, f := range filters {
		if f.name == "Crypt" {
			all = append(all, s.filters[f.parms.name("Name")])
		}
	}
	all = append(all, s.streams, s.files)
	all = slices.DeleteFunc(all, func(m pdfMethod) bool { return m == pdfPlain })
	slices.Sort(all)
	return slices.Compact(all)
}

// filterSets gives a stream's filters, more than once when the dictionary, or
// the objects that it refers to, do.
func (d *pdfDoc) filterSets(dict pdfDict) (sets [][]pdfFilter) {
	const most = 4
	abbreviated := dict.get("Filter") == nil
	for i := len(dict) - 1; i >= 0; i-- {
		if key := dict[i].key; key != "Filter" && (key != "F" || !abbreviated) {
			continue
		}
		for _, v := range d.versions(dict[i].value) {
			if set := d.filters(v, dict); len(set) > 0 && len(sets) < most {
				sets = append(sets, set)
			}
		}
	}
	if len(sets) == 0 {
		sets = append(sets, nil)
	}
	return sets
}

// filters reads the value of Filter.
func (d *pdfDoc) filters(v any, dict pdfDict) (set []pdfFilter) {
	list, ok := v.(pdfArray)
	if !ok {
		list = pdfArray{v}
	}
	parms := d.resolve(dict.get("DecodeParms"))
	if parms == nil {
		parms = d.resolve(dict.get("DP"))
	}
	for i, v := range list[:min(len(list), maxPDFFilters+1)] {
		name, ok := d.resolve(v).(pdfName)
		if !ok {
			continue
		}
		if full, ok := pdfFilterNames[name]; ok {
			name = full
		}
		f := pdfFilter{name: name}
		switch p := parms.(type) {
		case pdfDict:
			if len(list) == 1 || i == len(list)-1 {
				f.parms = d.flat(p, 0)
			}
		case pdfArray:
			if i < len(p) {
				about, _ := d.resolve(p[i]).(pdfDict)
				f.parms = d.flat(about, 0)
			}
		}
		set = append(set, f)
	}
	return set
}

// decode gives a reader of a stream. image is the filter of an image that is left.
// It ends the reading of the stream before.
func (d *pdfDoc) decode(r pdfReading) (_ io.Reader, image pdfName, err error) {
	if d.out <= 0 || d.decoders.work <= 0 {
		return nil, "", &LimitError{"overlap"}
	}
	d.out -= 64
	var in io.Reader = bytes.NewReader(r.data)
	if r.lock != nil {
		in = r.lock.decrypt(r.method, r.num, r.gen, r.data)
	}
	d.decoders.used = 0
	return d.decoders.chain(&pdfSpending{in, d}, r.filters)
}

// pdfSpending counts what is read of the file: streams may lie over one another.
type pdfSpending struct {
	r io.Reader
	d *pdfDoc
}

// Read implements io.Reader.
func (s *pdfSpending) Read(p []byte) (int, error) {
	if s.d.out <= 0 {
		return 0, &LimitError{"overlap"}
	}
	n, err := s.r.Read(p)
	s.d.out -= int64(n)
	return n, err
}

// pdfLook is what the first bytes of a stream tell.
type pdfLook struct {
	reading pdfReading
	head    []byte
	whole   bool
	image   pdfName // the filter of an image that is left
	err     error
	rest    io.Reader // what comes behind head, until another stream is decoded; nil: decode anew
}

// body gives the whole stream.
func (d *pdfDoc) body(l *pdfLook) (io.Reader, error) {
	switch {
	case l.rest != nil && l.whole:
		return bytes.NewReader(l.head), nil
	case l.rest != nil:
		return io.MultiReader(bytes.NewReader(l.head), l.rest), nil
	}
	in, _, err := d.decode(l.reading)
	return in, err
}

// look reads the beginning of a stream in the way that makes sense.
func (d *pdfDoc) look(o *pdfObject, dict pdfDict) (best pdfLook) {
	score := -1
	for _, r := range d.readings(o, dict) {
		l := pdfLook{reading: r}
		in, image, err := d.decode(r)
		if err == nil {
			l.image = image
			l.head, err = io.ReadAll(io.LimitReader(in, pdfLookAt))
			l.whole = len(l.head) < pdfLookAt && err == nil
		}
		l.err = err
		d.limited(err)
		if s := l.score(); s > score {
			score, best = s, l
		}
		if score == 3 {
			best.rest = in
			break
		}
	}
	return best
}

// limited notes an error that is a limit.
func (d *pdfDoc) limited(err error) bool {
	if errors.Is(err, ErrLimit) {
		d.over(err)
		return true
	}
	return false
}

// score says how much sense a reading makes.
func (l *pdfLook) score() int {
	switch {
	case l.err != nil && len(l.head) == 0:
		return 0
	case l.err != nil:
		return 1
	case len(l.head) == 0, worthOf(l.head) == noise && !isPDFBulk(l.head, l.whole):
		return 2
	}
	return 3
}

// openObjectStreams decodes the streams that hold objects (section 7.5.7), and
// notes those. Programs go by what such a stream must have, not by its type.
func (d *pdfDoc) openObjectStreams() {
	for i := range len(d.objects) {
		o := &d.objects[i]
		if o.start == 0 {
			continue
		}
		dict, _ := d.value(o).(pdfDict)
		if first := d.resolve(dict.get("First")); first != nil && dict.get("N") != nil || dict.name("Type") == "ObjStm" {
			d.openObjectStream(o, dict)
		}
	}
}

func (d *pdfDoc) openObjectStream(o *pdfObject, dict pdfDict) {
	l := d.look(o, dict)
	if !d.readable(&l) {
		return
	}
	in, err := d.body(&l)
	var text []byte
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(in, int64(min(maxPDFStream, maxPDFKept-d.kept)+1)))
	}
	if len(text) > maxPDFStream || d.kept+len(text) > maxPDFKept {
		d.over(&LimitError{"unpacked"})
		return
	}
	if err != nil && !d.limited(err) {
		d.damaged("object stream %d: %v", o.num, err)
	}
	d.kept += len(text)
	o.read = true
	d.texts = append(d.texts, text)
	d.indexObjectStream(dict, text)
}

// indexObjectStream notes the objects of an object stream: their numbers and
// offsets stand before the first of them.
func (d *pdfDoc) indexObjectStream(dict pdfDict, text []byte) {
	first, _ := d.resolve(dict.get("First")).(pdfInt)
	count, _ := d.resolve(dict.get("N")).(pdfInt)
	p := pdfParser{data: text}
	for range min(max(count, 0), maxPDFObjects) {
		p.skip()
		num, ok := pdfNumber(p.regular())
		if !ok {
			return
		}
		p.skip()
		offset, ok := pdfNumber(p.regular())
		if !ok {
			return
		}
		if at := int64(first) + offset; at >= 0 && at < int64(len(text)) && num >= 0 && num < 1<<31 {
			if !d.add(pdfObject{num: int32(num), text: int32(len(d.texts) - 1), at: int(at)}) {
				return
			}
		}
	}
}

// readable reports whether what was seen of a stream makes sense where there is
// no key: noise is what is encrypted.
func (d *pdfDoc) readable(l *pdfLook) bool {
	r := &l.reading
	switch {
	case d.locked == nil || r.lock != nil || l.score() == 3:
		return true
	case l.score() < 2 || len(r.filters) == 0:
		return false
	case r.filters[0].name == "FlateDecode":
		return isZlib(r.data)
	}
	return isPrintable(r.data[:min(len(r.data), 64)])
}

// streams hands out the streams.
func (d *pdfDoc) streams() {
	for i := range d.objects {
		if o := &d.objects[i]; o.start > 0 && !d.done {
			d.stream(o)
		}
	}
}

// stream hands out one stream, if it is worth it.
func (d *pdfDoc) stream(o *pdfObject) {
	dict, _ := d.value(o).(pdfDict)
	l := d.look(o, dict)
	switch {
	case !d.readable(&l), len(l.head) == 0 && l.err == nil, errors.Is(l.err, ErrLimit):
	case len(l.head) == 0:
		d.raw(o, l.err)
	case d.isFile(o, dict), worthOf(l.head) == known && !isPDFFont(l.head):
		d.whole(o, &l)
	case o.read:
	case l.isBulk(dict):
		if l.whole && dict.name("Type") != "XRef" && len(l.head) <= d.sample {
			d.sample -= len(l.head)
			d.join(l.head)
		}
	case l.whole && !looksLikeScript(l.head) && !looksLikeMarkup(l.head):
		d.join(l.head)
	case worthOf(l.head) == prose && !looksLikeScript(l.head) && !looksLikeMarkup(l.head):
		d.prose(o, &l)
	default:
		d.whole(o, &l)
	}
}

// prose joins a text to the other small streams, unless it is a long one: documents
// have many, and each object that is matched has its price.
func (d *pdfDoc) prose(o *pdfObject, l *pdfLook) {
	in, err := d.body(l)
	if err != nil {
		d.limited(err)
		return
	}
	text, err := io.ReadAll(io.LimitReader(in, pdfSample+1))
	if l.rest = nil; err != nil || len(text) > pdfSample {
		d.whole(o, l)
		return
	}
	d.join(text)
}

// raw hands out the bytes of a stream that cannot be decoded as they stand.
func (d *pdfDoc) raw(o *pdfObject, err error) {
	m := member{name: d.nameOf(o)}
	if !pdfSpend(&d.out, o.end-o.start) {
		d.over(&LimitError{"overlap"})
		return
	}
	m.data = d.file.Data[o.start:o.end]
	d.emit(m, err)
}

func pdfSpend(left *int64, n int) bool {
	*left -= int64(n)
	return *left >= 0
}

// whole hands out a stream as an object of its own.
func (d *pdfDoc) whole(o *pdfObject, l *pdfLook) {
	r := l.reading
	if len(r.filters) == 0 && r.lock == nil {
		if !pdfSpend(&d.out, len(r.data)) {
			d.over(&LimitError{"overlap"})
			return
		}
		d.emit(member{name: d.nameOf(o), data: r.data}, nil)
		return
	}
	in, err := d.body(l)
	if err != nil {
		d.limited(err)
		return
	}
	d.emit(member{name: d.nameOf(o), body: in}, nil)
}

func (d *pdfDoc) nameOf(o *pdfObject) string {
	if name, ok := d.names[o.num]; ok && name != "" {
		return name
	}
	if o.num < 0 {
		return fmt.Sprintf("object-at-%d", o.at)
	}
	return fmt.Sprintf("object-%d", o.num)
}

// isFile reports whether a stream is a file or a script by what refers to it, or
// by what it is said to be.
func (d *pdfDoc) isFile(o *pdfObject, dict pdfDict) bool {
	if d.wanted[o.num] {
		return true
	}
	switch dict.name("Type") {
	case "EmbeddedFile", "3D":
		return true
	}
	switch dict.name("Subtype") {
	case "U3D", "PRC", "JavaScript":
		return true
	}
	return false
}

// isBulk reports whether a stream is of those that ordinary documents are made of.
func (l *pdfLook) isBulk(dict pdfDict) bool {
	if l.image != "" {
		return isImageHead(l.image, l.head)
	}
	if isPDFBulk(l.head, l.whole) {
		return true
	}
	picture := dict.get("Width") != nil && dict.get("Height") != nil
	table := dict.name("Type") == "XRef" && dict.get("W") != nil
	return (picture || table) && worthOf(l.head) == noise
}

// isPDFBulk reports whether a stream begins as drawing operators, a font, a colour
// profile or an image does.
func isPDFBulk(head []byte, whole bool) bool {
	switch {
	case isPDFFont(head), worthOf(head) == image:
		return true
	case len(head) >= 40 && string(head[36:40]) == "acsp": // ICC.1, section 7.2.9
		return true
	case bytes.Contains(head, []byte("begincmap")), bytes.Contains(head, []byte("/CIDInit /ProcSet findresource")):
		return true
	}
	return isPageContent(head, whole)
}

// isPDFFont reports whether a stream begins as a font program does.
func isPDFFont(head []byte) bool {
	for _, magic := range []string{"%!PS-AdobeFont", "%!FontType1", "%!PS-Adobe-3.0 Resource-C", "\x00\x01\x00\x00", "true\x00", "OTTO", "ttcf", "\x01\x00\x04"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return false
}

// pageOperators are those of content streams (annex A).
var pageOperators = func() map[pdfWord]bool {
	words := map[pdfWord]bool{}
	for _, w := range bytes.Fields([]byte(`b B b* B* BDC BI BMC BT BX c cm CS cs d d0 d1 Do DP EI EMC ET EX f F f* G g gs h i ID j J
		K k l m M MP n q Q re RG rg ri s S SC sc SCN scn sh T* Tc Td TD Tf Tj TJ TL Tm Tr Ts Tw Tz v w W W* y ' " true false`)) {
		words[pdfWord(w)] = true
	}
	return words
}()

// isPageContent reports whether a stream begins with drawing operators and
// nothing else.
func isPageContent(head []byte, whole bool) bool {
	if len(head) > pdfHead {
		head, whole = head[:pdfHead], false
	}
	p, operators := pdfParser{data: head, values: maxPDFValues}, 0 // none is kept
	for {
		v, ok := p.value(0)
		if !ok || p.at == len(head) && !whole {
			return operators > 0
		}
		switch w, isWord := v.(pdfWord); {
		case !isWord:
		case w == "ID": // an image's bytes follow
			return true
		case !pageOperators[w]:
			return false
		default:
			operators++
		}
	}
}

// join adds to the object that small streams make.
func (d *pdfDoc) join(b []byte) {
	if len(d.joined)+len(b) > pdfJoined {
		d.flush()
	}
	if len(b) > pdfJoined {
		d.emit(member{name: "streams", data: b}, nil)
		return
	}
	d.joined = append(append(d.joined, b...), '\n')
}

// flush hands out what was joined.
func (d *pdfDoc) flush() {
	if len(d.small) > 0 {
		d.emit(member{name: "script.js", data: d.small}, nil)
	}
	if len(d.joined) > 0 {
		d.emit(member{name: "streams", data: d.joined}, nil)
	}
	d.joined, d.small = d.joined[:0], d.small[:0]
}

// once reports whether some bytes were not seen before.
func (d *pdfDoc) once(b []byte) bool {
	sum := maphash.Bytes(d.seed, b)
	if d.seen[sum] {
		return false
	}
	if len(d.seen) < maxPDFNames {
		d.seen[sum] = true
	}
	return true
}
