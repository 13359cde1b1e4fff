package evasion

import (
	"encoding/binary"
)

// tnef is a winmail.dat with attachments: names and contents by turns. Outlook
// shows what is in it, and Apple Mail some of it.
func tnef(files ...[]byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0x223e9f78) // MS-OXTNEF, section 2.1.3.1
	b = append(b, 0x34, 0x12)
	attribute := func(level byte, id uint32, data []byte) {
		b = binary.LittleEndian.AppendUint32(append(b, level), id)
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(data))), data...)
		var sum uint16
		for _, c := range data {
			sum += uint16(c)
		}
		b = binary.LittleEndian.AppendUint16(b, sum)
	}
	attribute(1, 0x00089006, []byte{0, 0, 1, 0}) // attTnefVersion
	attribute(1, 0x00069007, []byte{0xa4, 3, 0, 0, 0, 0, 0, 0})
	for i := 0; i < len(files); i += 2 {
		attribute(2, 0x00069002, []byte{1, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0}) // attAttachRenddata
		attribute(2, 0x00018010, append(append([]byte(nil), files[i]...), 0))                  // attAttachTitle
		attribute(2, 0x0006800f, files[i+1])                                                   // attAttachData
	}
	return b
}

// apple is a file of AppleSingle or AppleDouble (RFC 1740, appendix): entries are
// their number and their content.
func apple(magic uint32, ids []uint32, contents ...[]byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, magic)
	b = binary.BigEndian.AppendUint32(b, 0x00020000)
	b = append(b, make([]byte, 16)...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(ids)))
	at := uint32(len(b) + 12*len(ids))
	for i, id := range ids {
		b = binary.BigEndian.AppendUint32(b, id)
		b = binary.BigEndian.AppendUint32(b, at)
		b = binary.BigEndian.AppendUint32(b, uint32(len(contents[i])))
		at += uint32(len(contents[i]))
	}
	return append(b, slicesJoin(contents...)...)
}

// Entries of apple.
const (
	dataFork     = 1
	resourceFork = 2
	realName     = 3
)

func appleSingle(p Payload) []byte {
	return apple(0x00051600, []uint32{realName, dataFork}, []byte(p.file()), p.Content)
}

// appleDouble has the content in the resource fork.
func appleDouble(content []byte) []byte {
	return apple(0x00051607, []uint32{realName, resourceFork}, []byte("a"), content)
}

// macBinary is a file in MacBinary II.
func macBinary(name string, data, resource []byte) []byte {
	h := make([]byte, 128)
	h[1] = byte(len(name))
	copy(h[2:65], name)
	copy(h[65:], "BINAmdos")
	binary.BigEndian.PutUint32(h[83:], uint32(len(data)))
	binary.BigEndian.PutUint32(h[87:], uint32(len(resource)))
	h[122], h[123] = 129, 129
	binary.BigEndian.PutUint16(h[124:], crcXModem(h[:124]))
	pad := func(b []byte) []byte { return append(append([]byte(nil), b...), make([]byte, (128-len(b)%128)%128)...) }
	return slicesJoin(h, pad(data), pad(resource))
}

// wrappers are formats that mail programs take off by themselves.
func wrappers() []Case {
	f := family{name: "wrapper"}
	winmail := func(p Payload) []byte { return tnef([]byte(p.file()), p.Content) }
	f.add(Core, "TNEF", func(p Payload) []byte {
		return mixed(entity("Content-Type: application/ms-tnef; name=winmail.dat\nContent-Transfer-Encoding: base64", b64(winmail(p))))
	})
	f.add(Core, "TNEF as octet-stream", func(p Payload) []byte { return mixed(attach("winmail.dat", winmail(p))) })
	f.add(Core, "TNEF under another name", func(p Payload) []byte { return mixed(attach("a.txt", winmail(p))) })
	f.add(Core, "TNEF, the second file", func(p Payload) []byte {
		return mixed(attach("winmail.dat", tnef([]byte("a.txt"), []byte("clean"), []byte(p.file()), p.Content)))
	})
	f.add(Core, "TNEF, a zip in it", func(p Payload) []byte { return mixed(attach("winmail.dat", tnef([]byte("a.zip"), p.zip()))) })
	f.add(Core, "TNEF in TNEF", func(p Payload) []byte { return mixed(attach("winmail.dat", tnef([]byte("winmail.dat"), winmail(p)))) })
	f.add(Edge, "TNEF, checksums that lie", func(p Payload) []byte {
		b := winmail(p)
		b[len(b)-1] ^= 0xff
		return mixed(attach("winmail.dat", b))
	})
	f.add(Edge, "TNEF, cut", func(p Payload) []byte { b := winmail(p); return mixed(attach("winmail.dat", b[:len(b)-2])) })
	f.add(Core, "TNEF, a message in it", func(p Payload) []byte {
		return mixed(attach("winmail.dat", tnef([]byte("a.eml"), mixed(p.attached()))))
	})
	f.add(Core, "TNEF in uuencode in a text", func(p Payload) []byte {
		return letter("Content-Type: text/plain", Payload{Content: winmail(p)}.uu())
	})

	f.add(Core, "AppleSingle", func(p Payload) []byte {
		return mixed(entity("Content-Type: application/applefile\nContent-Transfer-Encoding: base64", b64(appleSingle(p))))
	})
	f.add(Core, "AppleSingle as octet-stream, a zip in it", func(p Payload) []byte {
		return mixed(attach("a", apple(0x00051600, []uint32{dataFork}, p.zip())))
	})
	double := func(p Payload, first, second string) []byte {
		return mixed(entity("Content-Type: multipart/appledouble; boundary=apple", multipart("apple", first, second)))
	}
	resource := func(content []byte) string {
		return entity("Content-Type: application/applefile\nContent-Transfer-Encoding: base64", b64(appleDouble(content)))
	}
	f.add(Core, "AppleDouble", func(p Payload) []byte { return double(p, resource([]byte("clean")), p.attached()) })
	f.add(Core, "AppleDouble, the wrong way round", func(p Payload) []byte { return double(p, p.attached(), resource([]byte("clean"))) })
	f.add(Core, "AppleDouble, a zip in the resource fork", func(p Payload) []byte { return double(p, resource(p.zip()), hello) })
	f.add(Core, "MacBinary", func(p Payload) []byte {
		return mixed(entity("Content-Type: application/macbinary; name=a.bin\nContent-Transfer-Encoding: base64", b64(macBinary(p.file(), p.Content, nil))))
	})
	f.add(Core, "MacBinary, a zip in it", func(p Payload) []byte { return mixed(attach("a.zip", macBinary("a.zip", p.zip(), nil))) })
	f.add(Edge, "MacBinary, a zip in the resource fork", func(p Payload) []byte { return mixed(attach("a.bin", macBinary("a", []byte("clean"), p.zip()))) })
	f.add(Core, "BinHex of MacBinary", func(p Payload) []byte {
		return mixed(attach("a.hqx", []byte(binhex("a.bin", macBinary(p.file(), p.Content, nil)))))
	})
	f.add(Core, "BinHex, a zip in it", func(p Payload) []byte { return mixed(attach("a.hqx", []byte(binhex("a.zip", p.zip())))) })
	return f.cases
}
