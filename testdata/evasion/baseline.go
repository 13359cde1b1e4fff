package evasion

import "kiyome/testdata"

// baseline is what any scanner finds: without it, the rest says nothing.
// Every mail program shows these.
func baseline() []Case {
	f := family{name: "baseline"}
	f.add(Core, "base64 attachment", func(p Payload) []byte { return mixed(p.attached()) })
	f.add(Core, "quoted-printable attachment", func(p Payload) []byte { return mixed(entity(p.encoded("quoted-printable"), qp(p.Content))) })
	f.addText(Core, "text in the body", func(p Payload) []byte { return letter("Content-Type: text/plain", plain(p.Content)) })
	f.add(Core, "the attachment is all there is", func(p Payload) []byte { return letter(p.encoded("base64"), b64(p.Content)) })
	f.add(Core, "8bit attachment", func(p Payload) []byte { return mixed(entity(p.encoded("binary"), plain(p.Content))) })
	f.add(Core, "in a zip", func(p Payload) []byte { return mixed(attach("invoice.zip", p.zip())) })
	f.add(Core, "uuencoded in a text", func(p Payload) []byte {
		return letter("Content-Type: text/plain", "Hello.\r\n"+crlf(testdata.Uuencode(p.file(), string(p.Content)))+"\r\n")
	})
	return f.cases
}
