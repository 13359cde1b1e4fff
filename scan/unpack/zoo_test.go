package unpack

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

func FuzzZoo(f *testing.F) { fuzz(f, "zoo") }

func TestZooThatIsOdd(t *testing.T) {
	le := binary.LittleEndian
	data := load(t, "zoo-lzh.zoo") // rand.bin and note.txt
	change := func(change func(b []byte)) string {
		b := slices.Clone(data)
		change(b)
		return string(b)
	}
	first := int(le.Uint32(data[24:]))
	second := int(le.Uint32(data[first+6:]))
	const both = "note.txt rand.bin"
	for _, tt := range []struct {
		name, data, objects, unchecked string
	}{
		{"whole", string(data), both, ""},
		{"another text in front", change(func(b []byte) { copy(b, "anything at all     ") }), both, ""},
		{"the offset of the first member", change(func(b []byte) { b[24]++ }), both, ""},
		{"both offsets of the first member", change(func(b []byte) { b[24]++; b[28]++ }), both, "no header of a member"},
		{"the offset of the second member", change(func(b []byte) { b[first+6]++ }), both, "no header of a member"},
		{"members in a circle", change(func(b []byte) { le.PutUint32(b[second+6:], uint32(first)) }), both, "no header of a member"},
		{"a first member that is said to be the last", change(func(b []byte) { le.PutUint32(b[first+6:], 0) }), both, "no header of a member"},
		{"an offset behind the end", change(func(b []byte) { le.PutUint32(b[first+10:], 1<<31) }), "rand.bin", "no place for its bytes"},
		{"an unknown method", change(func(b []byte) { b[first+5] = 3 }), "rand.bin", "unsupported"},
		{"a wrong checksum", change(func(b []byte) { b[first+18]++ }), both, "wrong checksum"},
		{"a length of nothing", change(func(b []byte) { le.PutUint32(b[first+20:], 0) }), both, ""},
		{"packed into nothing", change(func(b []byte) { le.PutUint32(b[first+24:], 0) }), "rand.bin", "cut short"},
		{"packed longer than the file", change(func(b []byte) { le.PutUint32(b[first+24:], 1<<31) }), both, ""},
		{"behind a program", "\x7fELF" + strings.Repeat("\x00", 1000) + string(data), both, ""},
		{"a name that is longer than its room", change(func(b []byte) { b[first+zooLongSize] = 0xff }), both, ""},
		{"cut off in the second header", string(data[:second+20]), "note.txt", "no header of a member"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", []byte(tt.data))
			names := strings.Fields(strings.ReplaceAll(strings.Join(n.objects[1:], " "), "f/", ""))
			slices.Sort(names)
			if tt.name != "a name that is longer than its room" && strings.Join(names, " ") != tt.objects {
				t.Errorf("objects %q, want %q", names, tt.objects)
			}
			got := strings.Join(n.unchecked, ";")
			if tt.unchecked == "" && got != "" || !strings.Contains(got, tt.unchecked) {
				t.Errorf("unchecked %q, want %q", got, tt.unchecked)
			}
		})
	}
}

func TestZooMembersThatLieOverOneAnotherAreBounded(t *testing.T) {
	le := binary.LittleEndian
	stored := load(t, "zoo-stored.zoo")
	first := int(le.Uint32(stored[24:]))
	header := stored[first : first+zooLongSize+20]
	data := slices.Clone(stored[:first])
	const members = 3000
	for i := range members {
		h := slices.Clone(header)
		le.PutUint32(h[6:], uint32(first+(i+1)*len(header)))
		le.PutUint32(h[10:], 100)
		le.PutUint32(h[24:], uint32(members*len(header)-100))
		data = append(data, h...)
	}
	n := &notes{discard: true}
	n.walk(t, NewArena(nil, 0), Limits{}, "f", data)
	if last := n.unchecked[len(n.unchecked)-1]; last != "f: zoo: limit: overlap" {
		t.Errorf("unchecked ends with %q", last)
	}
	if n.bytes > (lzOverlap+1)*int64(len(data)) {
		t.Errorf("%d bytes were handed out of %d", n.bytes, len(data))
	}
}
