package evasion

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// zipHeader is what both headers of a zip's entry say (APPNOTE.TXT, section 4.3).
type zipHeader struct {
	magic         string
	flags, method uint16
	crc           uint32
	packed, size  uint32
	name, extra   string
	offset        uint32 // of the local header, in the central one
}

// zipEntry is a file in a zip, and how its headers lie.
type zipEntry struct {
	zipHeader
	data           []byte
	behind         []byte           // the data: a descriptor
	local, central func(*zipHeader) // may be nil
	hidden         bool             // there is no central header
}

// Methods of packing.
const (
	zipStored    = 0
	zipDeflated  = 8
	zipDeflate64 = 9
	zipBzip2     = 12
	zipZstd      = 93
	zipAES       = 99
)

// entry is a file packed by a method.
func entry(name string, method uint16, content []byte) zipEntry {
	data := content
	switch method {
	case zipDeflated, zipDeflate64: // the same as long as no match is longer than 257 bytes
		data = deflated(content)
	case zipBzip2:
		data = bzipOf(content)
	case zipZstd:
		data = zstandard.EncodeAll(content, nil)
	}
	return zipEntry{zipHeader: zipHeader{method: method, crc: crc32.ChecksumIEEE(content), packed: uint32(len(data)), size: uint32(len(content)), name: name}, data: data}
}

// zstandard makes whole frames, and keeps nothing between them.
var zstandard = must(zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)))

// bad is the payload as an entry.
func (p Payload) bad(method uint16) zipEntry { return entry(p.file(), method, p.Content) }

func (h zipHeader) fields() []byte {
	b := binary.LittleEndian.AppendUint16(nil, h.flags)
	b = binary.LittleEndian.AppendUint16(b, h.method)
	b = append(b, 0x00, 0x50, 0x54, 0x5b) // time and date
	for _, v := range []uint32{h.crc, h.packed, h.size} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(h.name)))
	return binary.LittleEndian.AppendUint16(b, uint16(len(h.extra)))
}

// zipBytes writes the entries, then the central directory, as if so many bytes stood before.
func zipBytes(before int, entries ...zipEntry) (locals, directory []byte) {
	count := 0
	for _, e := range entries {
		h := e.zipHeader
		h.magic, h.offset = "PK\x03\x04", uint32(before+len(locals))
		c := h
		if e.local != nil {
			e.local(&h)
		}
		locals = slicesJoin(locals, []byte(h.magic), []byte{20, 0}, h.fields(), []byte(h.name+h.extra), e.data, e.behind)
		if e.hidden {
			continue
		}
		c.magic = "PK\x01\x02"
		if e.central != nil {
			e.central(&c)
		}
		count++
		directory = slicesJoin(directory, []byte(c.magic), []byte{20, 3, 20, 0}, c.fields(), make([]byte, 10), binary.LittleEndian.AppendUint32(nil, c.offset), []byte(c.name+c.extra))
	}
	return locals, append(directory, zipEnd(count, len(directory), before+len(locals), "")...)
}

// zipEnd is the end record.
func zipEnd(count, size, offset int, comment string) []byte {
	b := append([]byte("PK\x05\x06"), 0, 0, 0, 0, byte(count), byte(count>>8), byte(count), byte(count>>8))
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	b = binary.LittleEndian.AppendUint32(b, uint32(offset))
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(comment))), comment...)
}

// zipped is a whole zip.
func zipped(entries ...zipEntry) []byte {
	locals, directory := zipBytes(0, entries...)
	return append(locals, directory...)
}

// harmless is an entry to hide behind.
var harmless = entry("readme.txt", zipDeflated, []byte("Nothing to see here. Nothing to see here."))

// lying is a zip of a harmless file and the payload, whose headers lie.
func lying(p Payload, local, central func(*zipHeader)) []byte {
	e := p.bad(zipDeflated)
	e.local, e.central = local, central
	return zipped(harmless, e)
}

// zipRows are zips whose headers disagree. Windows reads the central directory, as
// do 7-Zip and unzip; what streams, repairs or recovers (Java's ZipInputStream,
// bsdtar, unzip with a bad directory, many scanners) reads the local headers.
var zipRows = []struct {
	level, name string
	write       func(p Payload) []byte
}{
	{Core, "deflated", func(p Payload) []byte { return zipped(p.bad(zipDeflated)) }},
	{Core, "stored", func(p Payload) []byte { return zipped(p.bad(zipStored)) }},
	{Core, "Deflate64", func(p Payload) []byte { return zipped(p.bad(zipDeflate64)) }},
	{Core, "bzip2", func(p Payload) []byte { return zipped(p.bad(zipBzip2)) }},
	{Core, "Zstandard", func(p Payload) []byte { return zipped(p.bad(zipZstd)) }},
	{Core, "with a descriptor", func(p Payload) []byte {
		e := p.bad(zipDeflated)
		e.flags = 8
		e.behind = slicesJoin([]byte("PK\x07\x08"), binary.LittleEndian.AppendUint32(nil, e.crc), binary.LittleEndian.AppendUint32(nil, e.packed), binary.LittleEndian.AppendUint32(nil, e.size))
		e.local = func(h *zipHeader) { h.crc, h.packed, h.size = 0, 0, 0 }
		return zipped(e)
	}},
	{Edge, "stored with a descriptor", func(p Payload) []byte {
		e := p.bad(zipStored)
		e.flags = 8
		e.behind = slicesJoin([]byte("PK\x07\x08"), binary.LittleEndian.AppendUint32(nil, e.crc), binary.LittleEndian.AppendUint32(nil, e.packed), binary.LittleEndian.AppendUint32(nil, e.size))
		e.local = func(h *zipHeader) { h.crc, h.packed, h.size = 0, 0, 0 }
		return zipped(e)
	}},
	{Edge, "local: another name", func(p Payload) []byte { return lying(p, func(h *zipHeader) { h.name = "readme.txt" }, nil) }},
	{Edge, "local: a longer name", func(p Payload) []byte {
		return lying(p, func(h *zipHeader) { h.name += strings.Repeat("x", 300) }, nil)
	}},
	{Edge, "local: stored", func(p Payload) []byte { return lying(p, func(h *zipHeader) { h.method = zipStored }, nil) }},
	{Edge, "local: unknown method", func(p Payload) []byte { return lying(p, func(h *zipHeader) { h.method = 77 }, nil) }},
	{Edge, "local: sizes of nothing", func(p Payload) []byte { return lying(p, func(h *zipHeader) { h.packed, h.size = 0, 0 }, nil) }},
	{Edge, "local: huge sizes", func(p Payload) []byte { return lying(p, func(h *zipHeader) { h.packed, h.size = 1<<31, 1<<31 }, nil) }},
	{Edge, "local: small sizes", func(p Payload) []byte { return lying(p, func(h *zipHeader) { h.packed, h.size = 3, 3 }, nil) }},
	{Edge, "local: another checksum", func(p Payload) []byte { return lying(p, func(h *zipHeader) { h.crc ^= 1 }, nil) }},
	{Edge, "local: encrypted", func(p Payload) []byte { return lying(p, func(h *zipHeader) { h.flags |= 1 }, nil) }},
	{Edge, "local: strongly encrypted", func(p Payload) []byte { return lying(p, func(h *zipHeader) { h.flags |= 1 | 1<<6 }, nil) }},
	{Edge, "local: a descriptor that is not there", func(p Payload) []byte { return lying(p, func(h *zipHeader) { h.flags |= 8 }, nil) }},
	{Edge, "local: patched data", func(p Payload) []byte { return lying(p, func(h *zipHeader) { h.flags |= 1 << 5 }, nil) }},
	{Edge, "local: other magic", func(p Payload) []byte { return lying(p, func(h *zipHeader) { h.magic = "PK\x03\x05" }, nil) }},
	{Edge, "local: a long extra field", func(p Payload) []byte {
		return lying(p, func(h *zipHeader) { h.extra = strings.Repeat("\x00", 5000) }, nil)
	}},
	{Edge, "central: another name", func(p Payload) []byte { return lying(p, nil, func(h *zipHeader) { h.name = "readme.txt" }) }},
	{Edge, "central: stored", func(p Payload) []byte { return lying(p, nil, func(h *zipHeader) { h.method = zipStored }) }},
	{Edge, "central: unknown method", func(p Payload) []byte { return lying(p, nil, func(h *zipHeader) { h.method = 77 }) }},
	{Edge, "central: sizes of nothing", func(p Payload) []byte { return lying(p, nil, func(h *zipHeader) { h.packed, h.size = 0, 0 }) }},
	{Edge, "central: huge sizes", func(p Payload) []byte { return lying(p, nil, func(h *zipHeader) { h.packed, h.size = 1<<31, 1<<31 }) }},
	{Edge, "central: small sizes", func(p Payload) []byte { return lying(p, nil, func(h *zipHeader) { h.packed, h.size = 3, 3 }) }},
	{Edge, "central: another checksum", func(p Payload) []byte { return lying(p, nil, func(h *zipHeader) { h.crc ^= 1 }) }},
	{Edge, "central: encrypted", func(p Payload) []byte { return lying(p, nil, func(h *zipHeader) { h.flags |= 1 }) }},
	{Edge, "central: encrypted directory", func(p Payload) []byte { return lying(p, nil, func(h *zipHeader) { h.flags |= 1 << 13 }) }},
	{Edge, "central: another offset", func(p Payload) []byte { return lying(p, nil, func(h *zipHeader) { h.offset = 0 }) }},
	{Edge, "central: an offset beyond", func(p Payload) []byte { return lying(p, nil, func(h *zipHeader) { h.offset = 1 << 30 }) }},
	{Edge, "central: not there", func(p Payload) []byte { e := p.bad(zipDeflated); e.hidden = true; return zipped(harmless, e) }},
	{Edge, "central: other magic", func(p Payload) []byte { return lying(p, nil, func(h *zipHeader) { h.magic = "PK\x01\x03" }) }},
	{Edge, "both: encrypted, and they are not", func(p Payload) []byte {
		f := func(h *zipHeader) { h.flags |= 1 }
		return lying(p, f, f)
	}},
	{Edge, "both: another checksum", func(p Payload) []byte {
		f := func(h *zipHeader) { h.crc = 0 }
		return lying(p, f, f)
	}},
	{Edge, "both: AES, and they are not", func(p Payload) []byte {
		f := func(h *zipHeader) { h.flags |= 1; h.method = zipAES }
		return lying(p, f, f)
	}},
	{Edge, "both: a size that is too small", func(p Payload) []byte {
		f := func(h *zipHeader) { h.size = 5 }
		return lying(p, f, f)
	}},
	{Edge, "local stored and clean, central deflated over the same bytes", func(p Payload) []byte {
		e := p.bad(zipDeflated)
		e.local = func(h *zipHeader) { h.method, h.size, h.crc = zipStored, h.packed, crc32.ChecksumIEEE(e.data) }
		return zipped(e)
	}},
	{Core, "the same name twice, the first", func(p Payload) []byte {
		return zipped(p.bad(zipDeflated), entry(p.file(), zipDeflated, []byte("clean")))
	}},
	{Core, "the same name twice, the second", func(p Payload) []byte {
		return zipped(entry(p.file(), zipDeflated, []byte("clean")), p.bad(zipDeflated))
	}},
	{Core, "the last of a thousand", func(p Payload) []byte {
		var entries []zipEntry
		for i := range 999 {
			entries = append(entries, entry(fmt.Sprintf("%03d.txt", i), zipStored, fmt.Appendf(nil, "file %d", i)))
		}
		return zipped(append(entries, p.bad(zipDeflated))...)
	}},
	{Edge, "a folder with content", func(p Payload) []byte { return zipped(harmless, entry("folder/", zipDeflated, p.Content)) }},
	{Edge, "no name", func(p Payload) []byte { return zipped(harmless, entry("", zipDeflated, p.Content)) }},
	{Edge, "a name that leads elsewhere", func(p Payload) []byte { return zipped(harmless, entry("../../../../etc/a", zipDeflated, p.Content)) }},
	{Edge, "a name with a NUL", func(p Payload) []byte { return zipped(harmless, entry("a.txt\x00.exe", zipDeflated, p.Content)) }},
	{Edge, "two entries over the same data", func(p Payload) []byte {
		e := p.bad(zipDeflated)
		locals, _ := zipBytes(0, e)
		c := e.zipHeader
		a := slicesJoin([]byte("PK\x01\x02\x14\x03\x14\x00"), c.fields(), make([]byte, 14), []byte(c.name))
		return slicesJoin(locals, a, a, zipEnd(2, 2*len(a), len(locals), ""))
	}},
	{Core, "data behind the deflated data", func(p Payload) []byte {
		e := p.bad(zipDeflated)
		e.data = append(e.data, "0123456789"...)
		e.packed += 10
		return zipped(e)
	}},
	{Edge, "deflated without a last block", func(p Payload) []byte {
		e := p.bad(zipDeflated)
		n := len(p.Content)
		e.data = slicesJoin([]byte{0, byte(n), byte(n >> 8), ^byte(n), ^byte(n >> 8)}, p.Content) // stored block, RFC 1951, section 3.2.4
		e.packed = uint32(len(e.data))
		return zipped(e)
	}},
	{Core, "junk first", func(p Payload) []byte {
		return append(bytes.Repeat([]byte("junk "), 100), zipped(p.bad(zipDeflated))...)
	}},
	{Core, "junk first, offsets right", func(p Payload) []byte {
		locals, directory := zipBytes(500, p.bad(zipDeflated))
		return slicesJoin(bytes.Repeat([]byte("junk "), 100), locals, directory)
	}},
	{Core, "100 KB first", func(p Payload) []byte {
		return append(bytes.Repeat([]byte("junk"), 25<<10), zipped(p.bad(zipDeflated))...)
	}},
	{Core, "more than 1 MB first", func(p Payload) []byte {
		return append(bytes.Repeat([]byte("junk"), 300<<10), zipped(p.bad(zipDeflated))...)
	}},
	{Core, "a program first", func(p Payload) []byte {
		return append(append([]byte("MZ\x90\x00\x03"), make([]byte, 2000)...), zipped(p.bad(zipDeflated))...)
	}},
	{Edge, "split marker first", func(p Payload) []byte { return append([]byte("PK\x07\x08"), zipped(p.bad(zipDeflated))...) }},
	{Edge, "temporary split marker first", func(p Payload) []byte { return append([]byte("PK00"), zipped(p.bad(zipDeflated))...) }},
	{Core, "junk behind", func(p Payload) []byte {
		return append(zipped(p.bad(zipDeflated)), bytes.Repeat([]byte("junk "), 100)...)
	}},
	{Edge, "100 KB behind", func(p Payload) []byte {
		return append(zipped(p.bad(zipDeflated)), bytes.Repeat([]byte("junk"), 25<<10)...)
	}},
	{Edge, "zeros behind", func(p Payload) []byte { return append(zipped(p.bad(zipDeflated)), make([]byte, 5000)...) }},
	{Core, "a comment of 65535", func(p Payload) []byte { return commented(p, strings.Repeat("c", 65535)) }},
	{Edge, "a false end in the comment", func(p Payload) []byte { return commented(p, "x"+string(zipEnd(0, 0, 0, ""))) }},
	{Edge, "a clean zip in the comment", func(p Payload) []byte { return commented(p, string(zipped(harmless))) }},
	{Edge, "the zip in another's comment", func(p Payload) []byte {
		locals, directory := zipBytes(0, harmless)
		directory = directory[:len(directory)-22]
		return slicesJoin(locals, directory, zipEnd(1, len(directory), len(locals), string(zipped(p.bad(zipDeflated)))))
	}},
	{Edge, "the zip in another's extra field", func(p Payload) []byte {
		e := harmless
		z := zipped(p.bad(zipDeflated))
		e.local = func(h *zipHeader) { h.extra = "\xfe\xca" + string([]byte{byte(len(z)), byte(len(z) >> 8)}) + string(z) }
		return zipped(e)
	}},
	{Edge, "the zip between another's data and directory", func(p Payload) []byte {
		locals, directory := zipBytes(0, harmless)
		z := zipped(p.bad(zipDeflated))
		directory = directory[:len(directory)-22]
		return slicesJoin(locals, z, directory, zipEnd(1, len(directory), len(locals)+len(z), ""))
	}},
	{Core, "joined, the first", func(p Payload) []byte { return append(zipped(p.bad(zipDeflated)), zipped(harmless)...) }},
	{Core, "joined, the second", func(p Payload) []byte { return append(zipped(harmless), zipped(p.bad(zipDeflated))...) }},
	{Core, "joined with offsets, the first", func(p Payload) []byte {
		first := zipped(p.bad(zipDeflated))
		locals, directory := zipBytes(len(first), harmless)
		return slicesJoin(first, locals, directory)
	}},
	{Edge, "three joined, the second", func(p Payload) []byte {
		return slicesJoin(zipped(harmless), zipped(p.bad(zipDeflated)), zipped(harmless))
	}},
	{Edge, "directory cut off", func(p Payload) []byte { locals, _ := zipBytes(0, p.bad(zipDeflated)); return locals }},
	{Edge, "directory cut in the middle", func(p Payload) []byte { z := zipped(p.bad(zipDeflated)); return z[:len(z)-40] }},
	{Edge, "end record cut off", func(p Payload) []byte { z := zipped(p.bad(zipDeflated)); return z[:len(z)-22] }},
	{Edge, "end record cut in the middle", func(p Payload) []byte { z := zipped(p.bad(zipDeflated)); return z[:len(z)-5] }},
	{Edge, "end: no entries", func(p Payload) []byte { return ended(p, 0, 0, 0) }},
	{Edge, "end: one entry of two", func(p Payload) []byte { return ended(p, 1, -1, 0) }},
	{Edge, "end: a thousand entries", func(p Payload) []byte { return ended(p, 1000, -1, 0) }},
	{Edge, "end: another offset", func(p Payload) []byte { return ended(p, 2, -1, 77) }},
	{Edge, "end: another size", func(p Payload) []byte { return ended(p, 2, 10, 0) }},
	{Edge, "end: another disk", func(p Payload) []byte {
		z := zipped(harmless, p.bad(zipDeflated))
		z[len(z)-18] = 3
		return z
	}},
	{Edge, "end: zip64 that is not there", func(p Payload) []byte { return ended(p, 0xffff, -1, 0) }},
	{Edge, "last byte of local magic lost", func(p Payload) []byte { z := zipped(p.bad(zipDeflated)); z[3] = 0; return z }},
	{Edge, "first byte lost", func(p Payload) []byte { return zipped(harmless, p.bad(zipDeflated))[1:] }},
	{Core, "a picture first (GIF)", func(p Payload) []byte { return append([]byte(gif), zipped(p.bad(zipDeflated))...) }},
	{Core, "a document first (PDF)", func(p Payload) []byte { return append([]byte(pdf), zipped(p.bad(zipDeflated))...) }},
	{Core, "a page first (HTML)", func(p Payload) []byte { return append([]byte(page("")), zipped(p.bad(zipDeflated))...) }},
	{Edge, "gzip first", func(p Payload) []byte { return append(gzipOf([]byte("clean")), zipped(p.bad(zipDeflated))...) }},
	{Edge, "tar first", func(p Payload) []byte { return append(tarOf("a.txt", []byte("clean")), zipped(p.bad(zipDeflated))...) }},
}

const (
	gif = "GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x00\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
	pdf = "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)

// commented is a zip with a comment.
func commented(p Payload, comment string) []byte {
	locals, directory := zipBytes(0, p.bad(zipDeflated))
	directory = directory[:len(directory)-22]
	return slicesJoin(locals, directory, zipEnd(1, len(directory), len(locals), comment))
}

// ended is a zip of two entries whose end record lies. A size below zero is the right one.
func ended(p Payload, count, size, offset int) []byte {
	locals, directory := zipBytes(0, harmless, p.bad(zipDeflated))
	directory = directory[:len(directory)-22]
	if size < 0 {
		size = len(directory)
	}
	return slicesJoin(locals, directory, zipEnd(count, size, len(locals)+offset, ""))
}

// zips is about zips that are read in two ways.
func zips() []Case {
	f := family{name: "zip"}
	for _, r := range zipRows {
		f.add(r.level, r.name, func(p Payload) []byte { return mixed(attach("invoice.zip", r.write(p))) })
	}
	for _, n := range []int{2, 3, 8, 20} {
		f.add(Core, fmt.Sprintf("%d deep", n), func(p Payload) []byte {
			z := p.zip()
			for i := range n - 1 {
				z = zipOf(fmt.Sprintf("%d.zip", i), z)
			}
			return mixed(attach("invoice.zip", z))
		})
	}
	for _, name := range []string{"invoice.txt", "invoice", "invoice.pdf", "invoice.jpg", "invoice.jar", "invoice.docx", "invoice.apk", "invoice.zip.txt", "invoice.rar", "invoice.gz", "smime.p7s"} {
		f.add(Core, "named "+name, func(p Payload) []byte { return mixed(attach(name, p.zip())) })
	}
	for _, kind := range []string{"image/png", "text/plain", "text/html; charset=utf-8", "audio/mpeg", "application/pdf", "text/calendar"} {
		f.add(Core, "said to be "+kind, func(p Payload) []byte {
			return mixed(entity("Content-Type: "+kind+"\nContent-Transfer-Encoding: base64", b64(p.zip())))
		})
	}
	f.add(Core, "a message in it", func(p Payload) []byte { return mixed(attach("a.zip", zipOf("letter.eml", mixed(p.attached())))) })
	f.add(Core, "a page in it", func(p Payload) []byte {
		return mixed(attach("a.zip", zipOf("a.html", []byte(page(htmlRows[0].write(p))))))
	})
	f.add(Edge, "uuencoded in it", func(p Payload) []byte { return mixed(attach("a.zip", zipOf("a.txt", []byte("Hello.\n"+p.uu())))) })
	f.add(Edge, "base64 in it", func(p Payload) []byte {
		return mixed(attach("a.zip", zipOf("a.b64", []byte("begin-base64 644 a\n"+b64(p.Content)+"====\n"))))
	})
	f.add(Core, "document with a package in it", func(p Payload) []byte {
		return mixed(attach("letter.docx", zipped(entry("[Content_Types].xml", zipDeflated, []byte(`<?xml version="1.0"?><Types/>`)), entry("word/document.xml", zipDeflated, []byte("<w/>")), entry("word/embeddings/a.bin", zipDeflated, p.Content))))
	})
	f.add(Core, "in 8 bit", func(p Payload) []byte {
		return mixed(entity(p.encoded("binary"), string(p.zip())+"\r\n"))
	})
	return f.cases
}
