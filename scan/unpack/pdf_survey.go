package unpack

import (
	"fmt"
	"io"
)

// pdfFileKeys are the entries whose streams are files, or lead into one: of file
// specifications (ISO 32000-1, table 44), of forms, of 3D annotations.
var pdfFileKeys = map[pdfName]bool{"F": true, "UF": true, "DOS": true, "Mac": true, "Unix": true, "XFA": true, "3DD": true, "JS": true, "OnInstantiate": true}

// survey looks at all objects for names, references to files, scripts and strings,
// and hands out the object streams.
func (d *pdfDoc) survey() {
	for i := range d.objects {
		if d.done {
			return
		}
		o := &d.objects[i]
		v := d.value(o)
		if _, ok := v.(pdfString); ok {
			d.bare = append(d.bare, int32(i))
		}
		d.visit(o, v)
	}
	for _, text := range d.texts[1:] {
		d.join(text)
	}
	for _, num := range d.scripts {
		d.namedScript(num)
	}
	for _, i := range d.bare {
		o := &d.objects[i]
		if s, ok := d.value(o).(pdfString); ok {
			d.string(o, s)
		}
	}
}

// visit looks at a value and what is in it.
func (d *pdfDoc) visit(o *pdfObject, v any) {
	switch v := v.(type) {
	case pdfArray:
		for _, e := range v {
			if s, ok := e.(pdfString); ok {
				d.string(o, s)
			} else {
				d.visit(o, e)
			}
		}
	case pdfDict:
		for _, e := range v {
			d.entry(o, v, e)
		}
	}
}

// entry looks at an entry of a dictionary.
func (d *pdfDoc) entry(o *pdfObject, dict pdfDict, e pdfEntry) {
	if pdfFileKeys[e.key] {
		d.want(e.key, e.value)
	}
	switch {
	case e.key == "EF":
		d.embedded(o, dict, e.value)
	case e.key == "JS":
		if s, ok := e.value.(pdfString); ok {
			d.script(o, s)
			return
		}
	}
	if s, ok := e.value.(pdfString); ok {
		d.string(o, s)
		return
	}
	d.visit(o, e.value)
}

// want notes the objects that a value refers to as files or scripts.
func (d *pdfDoc) want(key pdfName, v any) {
	switch v := v.(type) {
	case pdfRef:
		num := pdfNumber32(v.num)
		if len(d.wanted) >= maxPDFObjects {
			d.over(&LimitError{"objects"})
			return
		}
		if key == "JS" && !d.wanted[num] {
			d.scripts = append(d.scripts, num)
		}
		d.wanted[num] = true
		if key == "XFA" { // an array of them, perhaps
			if list, ok := d.resolve(v).(pdfArray); ok {
				d.want(key, list)
			}
		}
	case pdfArray:
		if key == "XFA" && len(d.forms) < maxPDFForms {
			d.forms = append(d.forms, v)
		}
	}
}

// embedded notes the files of a file specification under their name.
func (d *pdfDoc) embedded(o *pdfObject, spec pdfDict, v any) {
	name := ""
	for _, key := range []pdfName{"UF", "F", "Unix", "Mac", "DOS"} {
		if s, ok := d.resolve(spec.get(key)).(pdfString); ok && name == "" {
			name = pdfFileName(d.decrypted(o, s.bytes))
		}
	}
	for _, v := range d.versions(v) {
		files, _ := v.(pdfDict)
		for _, f := range files {
			ref, ok := f.value.(pdfRef)
			if !ok {
				continue
			}
			num := pdfNumber32(ref.num)
			d.want("EF", ref)
			if d.names[num] == "" && len(d.names) < maxPDFNames {
				d.names[num] = name
			}
		}
	}
}

// decrypted gives a string that stands in an object in the clear; nothing when
// there is no key.
func (d *pdfDoc) decrypted(o *pdfObject, s []byte) []byte {
	encrypted := (d.locked != nil || len(d.locks) > 0) && o.text == 0 && !o.trailer && !d.open[o.num]
	switch {
	case !encrypted, isPrintable(s) && len(s) >= hiddenLeast: // whatever is said of it
		return s
	case len(d.locks) == 0:
		return nil
	}
	return d.locks[0].string(int(o.num), int(o.gen), s)
}

// script hands out a script, or joins it with the others when it is short.
func (d *pdfDoc) script(o *pdfObject, s pdfString) {
	text := pdfText(d.decrypted(o, s.bytes))
	switch {
	case len(text) < pdfLeast || !d.once(text):
	case len(text) >= pdfScript:
		d.emit(member{name: fmt.Sprintf("script-%d.js", max(o.num, 0)), data: text}, nil)
	default:
		if len(d.small)+len(text) > pdfJoined {
			d.flush()
		}
		d.small = append(append(d.small, text...), '\n')
	}
}

// string joins a string with what is small, unless it stands in the file as it is.
func (d *pdfDoc) string(o *pdfObject, s pdfString) {
	if len(s.bytes) < pdfLeast || o.trailer || d.open[o.num] {
		return
	}
	text := d.decrypted(o, s.bytes)
	encrypted := len(text) > 0 && &text[0] != &s.bytes[0]
	if !s.coded && !encrypted && !isUTF16(text) {
		return
	}
	text = pdfText(text)
	switch {
	case len(text) < pdfLeast, len(text) <= pdfNoise && !isPrintable(text), !d.once(text):
	case worthOf(text) == known, len(text) >= pdfJoined:
		d.emit(member{name: fmt.Sprintf("string-%d", max(o.num, 0)), data: text}, nil)
	default:
		d.join(text)
	}
}

func isUTF16(b []byte) bool { return len(b) >= 2 && b[0]^b[1] == 1 && b[0]|1 == 0xff }

// namedScript hands out the strings that are scripts by what refers to them.
func (d *pdfDoc) namedScript(num int32) {
	i := d.lastOf(pdfRef{num: int(num)})
	for n := 0; i >= 0 && n < 16 && !d.done; n++ {
		o := &d.objects[i]
		if s, ok := d.value(o).(pdfString); ok {
			d.script(o, s)
		}
		i = o.before
	}
}

// joinedForms hands out the forms of which the parts are streams (section 12.7.8):
// in order they are one XML document.
func (d *pdfDoc) joinedForms() {
	for _, list := range d.forms {
		var parts []io.Reader
		for _, e := range list[:min(len(list), maxPDFParts)] {
			ref, _ := e.(pdfRef)
			i := d.lastOf(ref)
			if i < 0 || d.objects[i].start == 0 || d.objects[i].read {
				continue
			}
			d.objects[i].read = true
			parts = append(parts, &pdfPart{d: d, o: &d.objects[i]})
		}
		if len(parts) > 0 {
			d.emit(member{name: "form.xml", body: io.MultiReader(parts...)}, nil)
		}
	}
}

// pdfPart is a stream that is a part of an object. It ends where it is damaged:
// other parts follow.
type pdfPart struct {
	d *pdfDoc
	o *pdfObject
	r io.Reader
}

// Read implements io.Reader.
func (p *pdfPart) Read(b []byte) (int, error) {
	if p.r == nil {
		dict, _ := p.d.value(p.o).(pdfDict)
		l := p.d.look(p.o, dict)
		if !p.d.readable(&l) {
			return 0, io.EOF
		}
		r, _, err := p.d.decode(l.reading)
		if err != nil {
			return 0, p.ended(err)
		}
		p.r = r
	}
	n, err := p.r.Read(b)
	return n, p.ended(err)
}

func (p *pdfPart) ended(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if !p.d.limited(err) {
		p.d.damaged("part %d of a form: %v", p.o.num, err)
	}
	return io.EOF
}
