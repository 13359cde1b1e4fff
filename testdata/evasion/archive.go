package evasion

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
)

// tarOf packs one file, as POSIX has it.
func tarOf(name string, content []byte) []byte { return tarIn(tar.FormatUSTAR, name, content) }

func tarIn(format tar.Format, name string, content []byte) []byte {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	check(t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Format: format}))
	must(t.Write(content))
	check(t.Close())
	return b.Bytes()
}

// tarTyped is a tar whose one header says another type.
func tarTyped(kind byte, p Payload) []byte {
	b := tarOf("a", p.Content)
	b[156] = kind
	return tarSummed(b)
}

// tarSummed puts the header's checksum right.
func tarSummed(b []byte) []byte {
	copy(b[148:156], "        ")
	sum := 0
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// gzipFields is a gzip with all that its header may have (RFC 1952, section 2.3).
func gzipFields(content []byte, flags byte, extra string) []byte {
	b := append([]byte{0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3}, extra...)
	b = append(b, deflated(content)...)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(content))
	return binary.LittleEndian.AppendUint32(b, uint32(len(content)))
}

// cpioOf is a cpio archive of the new kind.
func cpioOf(name string, content []byte) []byte {
	one := func(name string, content []byte) []byte {
		b := fmt.Appendf(nil, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00", 1, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
		b = append(b, make([]byte, (4-len(b)%4)%4)...)
		b = append(b, content...)
		return append(b, make([]byte, (4-len(b)%4)%4)...)
	}
	return append(one(name, content), one("TRAILER!!!", nil)...)
}

// arOf is an ar archive.
func arOf(name string, content []byte) []byte {
	return slicesJoin([]byte("!<arch>\n"), fmt.Appendf(nil, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", name+"/", 0, 0, 0, "100644", len(content)), content, []byte("\n")[:len(content)%2])
}

// archiveRows are other containers.
var archiveRows = []struct {
	level, name, file string
	write             func(p Payload) []byte
}{
	{Core, "gzip", "a.gz", func(p Payload) []byte { return gzipOf(p.Content) }},
	{Core, "gzip with all fields", "a.gz", func(p Payload) []byte {
		return gzipFields(p.Content, 0x1c, "\x04\x00abcdname\x00comment\x00")
	}},
	{Core, "gzip with a header checksum that lies", "a.gz", func(p Payload) []byte { return gzipFields(p.Content, 0x02, "\x00\x00") }},
	{Edge, "gzip with reserved flags", "a.gz", func(p Payload) []byte { return gzipFields(p.Content, 0xe0, "") }},
	{Edge, "gzip with a long name", "a.gz", func(p Payload) []byte { return gzipFields(p.Content, 0x08, strings.Repeat("n", 100000)+"\x00") }},
	{Core, "gzip, the second member", "a.gz", func(p Payload) []byte { return append(gzipOf([]byte("clean")), gzipOf(p.Content)...) }},
	{Edge, "gzip, the second member behind zeros", "a.gz", func(p Payload) []byte {
		return slicesJoin(gzipOf([]byte("clean")), make([]byte, 512), gzipOf(p.Content))
	}},
	{Edge, "gzip, the second member behind junk", "a.gz", func(p Payload) []byte { return slicesJoin(gzipOf([]byte("clean")), []byte("junk"), gzipOf(p.Content)) }},
	{Core, "gzip, junk behind", "a.gz", func(p Payload) []byte { return append(gzipOf(p.Content), "junk junk junk"...) }},
	{Edge, "gzip, checksum that lies", "a.gz", func(p Payload) []byte { b := gzipOf(p.Content); b[len(b)-8] ^= 1; return b }},
	{Edge, "gzip, size that lies", "a.gz", func(p Payload) []byte { b := gzipOf(p.Content); b[len(b)-1] ^= 1; return b }},
	{Edge, "gzip, end cut off", "a.gz", func(p Payload) []byte { b := gzipOf(p.Content); return b[:len(b)-8] }},
	{Edge, "gzip, junk first", "a.gz", func(p Payload) []byte { return append([]byte("junk\n"), gzipOf(p.Content)...) }},
	{Core, "gzip, in itself", "a.gz.gz", func(p Payload) []byte { return gzipOf(gzipOf(p.Content)) }},
	{Core, "gzip, eight deep", "a.gz", func(p Payload) []byte {
		b := p.Content
		for range 8 {
			b = gzipOf(b)
		}
		return b
	}},
	{Core, "gzip, a zip in it", "a.gz", func(p Payload) []byte { return gzipOf(p.zip()) }},
	{Core, "gzip named .jpg", "a.jpg", func(p Payload) []byte { return gzipOf(p.Content) }},
	{Core, "gzip named .zip", "a.zip", func(p Payload) []byte { return gzipOf(p.Content) }},
	{Core, "tar, ustar", "a.tar", func(p Payload) []byte { return tarOf(p.file(), p.Content) }},
	{Core, "tar, PAX", "a.tar", func(p Payload) []byte { return tarIn(tar.FormatPAX, "請求書"+p.file(), p.Content) }},
	{Core, "tar, GNU", "a.tar", func(p Payload) []byte { return tarIn(tar.FormatGNU, strings.Repeat("long/", 50)+p.file(), p.Content) }},
	{Core, "tar without end", "a.tar", func(p Payload) []byte { b := tarOf(p.file(), p.Content); return b[:len(b)-1024] }},
	{Edge, "tar, cut behind the content", "a.tar", func(p Payload) []byte { return tarOf(p.file(), p.Content)[:512+len(p.Content)] }},
	{Core, "tar, the second file", "a.tar", func(p Payload) []byte {
		a := tarOf("a.txt", []byte("clean"))
		return append(a[:len(a)-1024], tarOf(p.file(), p.Content)...)
	}},
	{Edge, "tar, joined behind the end", "a.tar", func(p Payload) []byte { return append(tarOf("a.txt", []byte("clean")), tarOf(p.file(), p.Content)...) }},
	{Edge, "tar, zeros first", "a.tar", func(p Payload) []byte { return append(make([]byte, 512), tarOf(p.file(), p.Content)...) }},
	{Edge, "tar, checksum that lies", "a.tar", func(p Payload) []byte { b := tarOf(p.file(), p.Content); b[150] ^= 1; return b }},
	{Edge, "tar, no magic", "a.tar", func(p Payload) []byte {
		b := tarOf(p.file(), p.Content)
		copy(b[257:265], make([]byte, 8))
		return tarSummed(b)
	}},
	{Edge, "tar, size in binary", "a.tar", func(p Payload) []byte {
		b := tarOf(p.file(), p.Content)
		copy(b[124:136], make([]byte, 12))
		b[124] = 0x80
		binary.BigEndian.PutUint32(b[132:], uint32(len(p.Content)))
		return tarSummed(b)
	}},
	{Edge, "tar, size with blanks", "a.tar", func(p Payload) []byte {
		b := tarOf(p.file(), p.Content)
		copy(b[124:136], fmt.Sprintf("%11o ", len(p.Content)))
		return tarSummed(b)
	}},
	{Edge, "tar, a size that is too large", "a.tar", func(p Payload) []byte {
		b := tarOf(p.file(), p.Content)
		copy(b[124:136], "77777777777\x00")
		return tarSummed(b)
	}},
	{Edge, "tar, no name", "a.tar", func(p Payload) []byte {
		b := tarOf("a", p.Content)
		b[0] = 0
		return tarSummed(b)
	}},
	{Edge, "tar, said to be a link", "a.tar", func(p Payload) []byte { return tarTyped('1', p) }},
	{Edge, "tar, said to be a folder", "a.tar", func(p Payload) []byte { return tarTyped('5', p) }},
	{Edge, "tar, contiguous", "a.tar", func(p Payload) []byte { return tarTyped('7', p) }},
	{Edge, "tar, an unknown type", "a.tar", func(p Payload) []byte { return tarTyped('Z', p) }},
	{Edge, "tar, in the fields of another", "a.tar", func(p Payload) []byte {
		b := tarTyped('g', p)
		return append(b[:len(b)-1024], tarOf("a.txt", []byte("clean"))...)
	}},
	{Core, "tar in gzip", "a.tar.gz", func(p Payload) []byte { return gzipOf(tarOf(p.file(), p.Content)) }},
	{Core, "tar in gzip named .tar", "a.tar", func(p Payload) []byte { return gzipOf(tarOf(p.file(), p.Content)) }},
	{Core, "tar in zip", "a.zip", func(p Payload) []byte { return zipOf("a.tar", tarOf(p.file(), p.Content)) }},
	{Core, "tar in bzip2", "a.tar.bz2", func(p Payload) []byte { return bzipOf(tarOf(p.file(), p.Content)) }},
	{Core, "tar in tar in tar", "a.tar", func(p Payload) []byte { return tarOf("b.tar", tarOf("c.tar", tarOf(p.file(), p.Content))) }},
	{Core, "bzip2", "a.bz2", func(p Payload) []byte { return bzipOf(p.Content) }},
	{Core, "bzip2, the second stream", "a.bz2", func(p Payload) []byte { return append(bzipOf([]byte("clean")), bzipOf(p.Content)...) }},
	{Edge, "bzip2, junk behind", "a.bz2", func(p Payload) []byte { return append(bzipOf(p.Content), "junk"...) }},
	{Edge, "bzip2, junk first", "a.bz2", func(p Payload) []byte { return append([]byte("junk\n"), bzipOf(p.Content)...) }},
	{Edge, "bzip2, checksum that lies", "a.bz2", func(p Payload) []byte { b := bzipOf(p.Content); b[10] ^= 1; return b }},
	{Edge, "bzip2, cut", "a.bz2", func(p Payload) []byte { b := bzipOf(p.Content); return b[:len(b)-6] }},
	{Core, "bzip2, another level", "a.bz2", func(p Payload) []byte { b := bzipOf(p.Content); b[3] = '1'; return b }},
	{Core, "bzip2 named .txt", "a.txt", func(p Payload) []byte { return bzipOf(p.Content) }},
	{Core, "Zstandard", "a.zst", func(p Payload) []byte { return zstandard.EncodeAll(p.Content, nil) }},
	{Core, "Zstandard behind a frame to skip", "a.zst", func(p Payload) []byte {
		return append([]byte("\x50\x2a\x4d\x18\x05\x00\x00\x00clean"), zstandard.EncodeAll(p.Content, nil)...)
	}},
	{Core, "Zstandard, the second frame", "a.zst", func(p Payload) []byte {
		return append(zstandard.EncodeAll([]byte("clean"), nil), zstandard.EncodeAll(p.Content, nil)...)
	}},
	{Edge, "zlib", "a.zz", func(p Payload) []byte { return zlibbed(p.Content) }},
	{Doubtful, "deflate without a header", "a.bin", func(p Payload) []byte { return deflated(p.Content) }},
	{Core, "cpio, a zip in it", "a.cpio", func(p Payload) []byte { return cpioOf("a.zip", p.zip()) }},
	{Core, "cpio in gzip", "a.cpgz", func(p Payload) []byte { return gzipOf(cpioOf("a.zip", p.zip())) }},
	{Core, "ar, a tar in gzip in it", "a.deb", func(p Payload) []byte { return arOf("data.tar.gz", gzipOf(tarOf(p.file(), p.Content))) }},
	{Edge, "shell archive, uuencoded", "a.sh", func(p Payload) []byte {
		return []byte("#!/bin/sh\nuudecode << 'EOF'\n" + strings.ReplaceAll(p.uu(), "\r\n", "\n") + "EOF\n")
	}},
	{Core, "gzip behind a picture", "a.gif", func(p Payload) []byte { return append([]byte(gif), gzipOf(p.Content)...) }},
	{Edge, "tar in zip in tar in zip in gzip", "a.gz", func(p Payload) []byte {
		return gzipOf(zipOf("b.tar", tarOf("c.zip", zipOf("d.tar", tarOf(p.file(), p.Content)))))
	}},
	{Core, "message in tar", "a.tar", func(p Payload) []byte { return tarOf("a.eml", mixed(p.attached())) }},
	{Core, "winmail.dat in zip", "a.zip", func(p Payload) []byte { return zipOf("winmail.dat", tnef([]byte("a.exe"), p.Content)) }},
}

// archives is about containers that the recipient's own programs open: gzip and
// bzip2 read all members, bsdtar and 7-Zip go by content whatever the name, and
// tools that recover skip what is in front.
func archives() []Case {
	f := family{name: "archive"}
	for _, r := range archiveRows {
		f.add(r.level, r.name, func(p Payload) []byte { return mixed(attach(r.file, r.write(p))) })
	}
	return f.cases
}
