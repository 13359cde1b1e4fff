package unpack

import (
	"bytes"
	"strings"

	"golang.org/x/text/transform"
)

// uri is what stands before the data of a data: URI (RFC 2397), from "data:" to
// the comma.
type uri struct {
	mediaType string // in lower case
	name      string // of the file, where a parameter gives one
	base64    bool
	body      int // offset of the data
}

// maxURIHeader bounds, in bytes, what stands before the data.
const maxURIHeader = 1 << 10

// parseURI reads what stands before the data. b begins with the scheme.
func parseURI(b []byte) (u uri, ok bool) {
	head := b[:min(len(b), maxURIHeader)]
	colon, comma := bytes.IndexByte(head, ':'), bytes.IndexByte(head, ',')
	if colon < 0 || comma < colon {
		return u, false
	}
	u.body = comma + 1
	header := head[colon+1 : comma]
	if len(header) == 0 {
		return u, true
	}
	if bytes.IndexByte(header, '%') >= 0 {
		header, _, _ = transform.Bytes(percentStep(), header)
	}
	for i, parameter := range strings.Split(string(header), ";") {
		parameter = strings.Map(graphic, parameter)
		key, text, _ := strings.Cut(parameter, "=")
		switch key = strings.ToLower(key); {
		case i == 0:
			u.mediaType = key
		case key == "base64":
			u.base64 = true
		case key == "name" || key == "filename":
			u.name = decodeName([]byte(strings.Trim(text, `"'`)))
		}
	}
	return u, u.base64 || u.mediaType == "" || isMediaType(u.mediaType)
}

// graphic drops white space.
func graphic(r rune) rune {
	if r <= ' ' {
		return -1
	}
	return r
}

// isMediaType reports whether s reads as a type and a subtype (RFC 6838, section 4.2).
func isMediaType(s string) bool {
	kind, subtype, ok := strings.Cut(s, "/")
	return ok && kind != "" && subtype != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789/+-._") == ""
}

// extensions are how files are named by their media type: which programs open
// one depends on that, and so do rules.
var extensions = map[string]string{
	"": ".txt", "text/plain": ".txt", "text/html": ".html", "application/xhtml+xml": ".xhtml", "image/svg+xml": ".svg", "text/xml": ".xml", "application/xml": ".xml",
	"text/javascript": ".js", "application/javascript": ".js", "application/x-javascript": ".js", "application/ecmascript": ".js", "text/vbscript": ".vbs",
	"application/hta": ".hta", "application/pdf": ".pdf", "application/rtf": ".rtf", "text/rtf": ".rtf", "application/msword": ".doc", "application/vnd.ms-excel": ".xls",
	"application/zip": ".zip", "application/x-zip-compressed": ".zip", "application/x-iso9660-image": ".iso", "application/java-archive": ".jar",
	"application/x-msdownload": ".exe", "application/x-dosexec": ".exe", "application/vnd.microsoft.portable-executable": ".exe", "application/x-ms-shortcut": ".lnk",
	"application/gzip": ".gz", "application/x-gzip": ".gz", "application/vnd.rar": ".rar", "application/x-rar-compressed": ".rar", "application/x-7z-compressed": ".7z",
	"message/rfc822": ".eml", "text/css": ".css", "text/calendar": ".ics", "text/vcard": ".vcf",
	"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp",
}

// fileName is the name of the file in a data: URI, when nothing else says what it is.
func (u uri) fileName(otherwise string) string {
	if u.name != "" {
		return u.name
	}
	return otherwise + extensions[u.mediaType]
}

// uri hands out the file in a data: URI; data is what stands behind its comma.
// What is in there was meant as a file, whatever it looks like; only images that
// are nothing else are passed over.
func (f *finder) uri(u uri, data hidden, name func() string) {
	if data.open == nil && len(data.text) < hiddenLeast {
		return
	}
	data.steps = append(data.steps, percentStep)
	if u.base64 {
		data.steps = append(data.steps, base64Step)
	}
	head, whole := f.headOf(data)
	switch w := worthOf(head); {
	case len(head) < hiddenLeast, w == image && !isMoreThanImage(spending{data.reader(), f.budget}):
	case w != noise || u.base64:
		if data.name = name(); data.name == "" {
			data.name = u.fileName("data")
		}
		f.emitOnce(data, head, whole)
	}
}

// cut drops what stands before the data.
func (u uri) cut() transform.Transformer { return &cutter{skip: u.body} }

// cutter drops the beginning of a text.
type cutter struct{ skip, dropped int }

// Reset implements transform.Transformer.
func (c *cutter) Reset() { c.dropped = 0 }

// Transform implements transform.Transformer.
func (c *cutter) Transform(dst, src []byte, _ bool) (nDst, nSrc int, err error) {
	nSrc = min(c.skip-c.dropped, len(src))
	c.dropped += nSrc
	nDst = copy(dst, src[nSrc:])
	nSrc += nDst
	if nSrc < len(src) {
		err = transform.ErrShortDst
	}
	return nDst, nSrc, err
}
