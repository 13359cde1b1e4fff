package unpack

import (
	"encoding/binary"
	"strings"
	"testing"
)

// swfOf writes a movie of some tags; length is what it says of its own, 0 for the
// right one.
func swfOf(tags string, length int) string {
	body := "\x50\x00\xa0\x00\x0a\x00\x00\x19\x00\x00" + tags // a frame of five numbers of ten bits
	if length == 0 {
		length = swfHeader + len(body)
	}
	return "FWS\x09" + string(binary.LittleEndian.AppendUint32(nil, uint32(length))) + body
}

func swfTag(kind int, data string) string {
	if len(data) < 0x3f {
		return string(binary.LittleEndian.AppendUint16(nil, uint16(kind<<6|len(data)))) + data
	}
	b := binary.LittleEndian.AppendUint16(nil, uint16(kind<<6|0x3f))
	return string(binary.LittleEndian.AppendUint32(b, uint32(len(data)))) + data
}

func TestFlashMovies(t *testing.T) {
	const end = "\x00\x00"
	data := func(s string) string { return swfTag(87, "\x01\x00\x00\x00\x00\x00"+s) }
	whole := swfOf(swfTag(69, "\x08\x00\x00\x00")+data("KIYOME-MARKER")+end, 0)
	packed := "CWS\x09" + whole[4:8] + zlibbed(whole[8:])
	cut := "f: swf: damaged: cut short"
	long := strings.Repeat("long ", 100)
	table(t, []struct{ name, data, objects, unchecked string }{
		{"data", whole, "data-1.bin=KIYOME-MARKER", ""},
		{"data of a long tag", swfOf(data(long)+end, 0), "data-1.bin=" + long, ""},
		{"pictures and sound", swfOf(swfTag(21, "idKIYOME")+swfTag(6, "id1")+swfTag(35, "idoff 2")+swfTag(90, "idoff xx3")+swfTag(14, "id1len 4")+end, 0),
			"picture-1.jpg=KIYOME|picture-2.jpg=1|picture-3.jpg=2|picture-4.jpg=3|sound-5.mp3=4", ""},
		{"bitmaps", swfOf(swfTag(20, "id\x05wwhh"+zlibbed("KIYOME"))+swfTag(36, "id\x03wwhhn"+zlibbed("KIYOME"))+end, 0), "bitmap-1=KIYOME|bitmap-2=KIYOME", ""},
		{"bitmap that is not packed", swfOf(swfTag(20, "id\x05wwhhKIYOME-MARKER")+end, 0), "", "f/bitmap-1: swf: bitmap-1: damaged: flate: corrupt input before offset 5"},
		{"packed", packed, "f=" + whole + "|f/data-1.bin=KIYOME-MARKER", ""},
		{"packed, cut short", packed[:len(packed)-12], "f=" + whole[:len(whole)-3] + "|f/data-1.bin=KIYOME-MARKE", "f/f: swf: damaged: cut short;f/f: swf: f: damaged: cut short"},
		{"appended", whole + "KIYOME", "data-1.bin=KIYOME-MARKER|appended=KIYOME", ""},
		{"tag cut short", whole[:len(whole)-5], "data-1.bin=KIYOME-MAR", cut},
		{"no end", whole[:len(whole)-2], "data-1.bin=KIYOME-MARKER", cut},
		{"length of the movie 0", swfOf(data("KIYOME")+end, 1), "data-1.bin=KIYOME", ""},
		{"length of the movie too large", swfOf(swfTag(69, "\x08\x00\x00\x00")+data("KIYOME")+end, 1<<31), "data-1.bin=KIYOME", cut},
		{"largest length of a tag", swfOf("\xff\x15\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00KIYOME", 0), "data-1.bin=KIYOME", cut},
		{"tag too short for what it holds", swfOf(swfTag(87, "\x01")+end, 0), "", ""},
		{"LZMA cut in the header", "ZWS\x0d" + whole[4:8] + "\x00", "f=FWS\x0d" + whole[4:8], "f/f: swf: f: damaged: cut short"},
		{"a text", "FWS is an abbreviation", "", ""},
		{"another text", "CWS is an abbreviation", "", ""},
		{"a third", "ZWS is an abbreviation", "", ""},
	})
}

func FuzzFlash(f *testing.F) {
	f.Add([]byte(swfOf(swfTag(21, "idKIYOME")+swfTag(87, "\x01\x00\x00\x00\x00\x00x")+swfTag(36, "id\x03wwhhn"+zlibbed("x"))+"\x00\x00more", 0)))
	fuzz(f, "swf")
}
