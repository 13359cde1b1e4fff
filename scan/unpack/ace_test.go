package unpack

import (
	"bytes"
	"strings"
	"testing"
)

// aceText is the text of the samples.
func aceText(what string) string {
	var b strings.Builder
	for i := range 40 {
		b.WriteString(what)
		b.WriteString(strings.Repeat(string(rune('a'+i%26)), i%9))
		b.WriteString(", and once more, and again\n")
	}
	return b.String()
}

// aceOf packs segments into a file.
func aceOf(name string, segments ...aceSegment) aceFile {
	f := aceFile{name: name, method: aceBlocked, packed: aceModes(segments...)}
	for _, s := range segments {
		f.content += s.text
	}
	return f
}

// acePacked gives files of all methods and modes.
func acePacked(text string) []aceFile {
	note := aceSegment{text: text}
	wave := func(kind, channels int) aceSegment { return aceSegment{kind: kind, text: aceWave(2400, channels)} }
	program := aceSegment{kind: aceModeEXE, text: aceProgram(text[:20], 3000)}
	wide := program
	wide.wide = true
	delta := func(n, channels int) aceSegment {
		return aceSegment{kind: aceModeDelta, text: aceWave(n, channels), channels: channels}
	}
	picture := func(width, rows, planes int) aceSegment {
		return aceSegment{kind: aceModePicture, text: acePixels(width, rows), width: width, planes: planes}
	}
	return []aceFile{
		{name: "stored", content: text, packed: text},
		{name: "lz77", method: aceLZ77, content: text, packed: acePackLZ(text, 30000, true)},
		{name: "lz77-blocks", method: aceLZ77, content: text, packed: acePackLZ(text, 3, false)},
		aceOf("lz", note),
		aceOf("exe16", note, program, note),
		aceOf("exe32", wide, program, wide, note),
		aceOf("delta", delta(1200, 2), delta(1203, 3), note),
		aceOf("sound8", wave(aceModeSound, 1), note),
		aceOf("sound16", note, wave(aceModeSound+1, 2), note, wave(aceModeSound+1, 2)),
		aceOf("sound32a", wave(aceModeSound+2, 4), wave(aceModeSound+3, 4), note),
		aceOf("sound32b", wave(aceModeSound+3, 4), note),
		aceOf("grey", picture(61, 40, 1), note),
		aceOf("color", note, picture(91, 40, 3), note),
		aceOf("all", note, picture(64, 20, 4), wave(aceModeSound, 1), delta(600, 4), wave(aceModeSound+1, 2), wide, picture(50, 3, 2), note),
	}
}

func aceArchive(files ...aceFile) []byte {
	b := aceStart(0, "")
	for _, f := range files {
		b = append(b, f.write()...)
	}
	return b
}

func TestEveryModeOfACE(t *testing.T) {
	for _, f := range acePacked(aceText(marker)) {
		t.Run(f.name, func(t *testing.T) {
			n := walked(t, Limits{}, "f", aceArchive(f))
			if len(n.unchecked) > 0 || len(n.data) != 2 || n.data[1] != f.content {
				t.Errorf("unchecked %q", n.unchecked)
			}
		})
	}
}

// The samples of ACE are made of what these give.
func aceSamples(what string) map[string][]byte {
	text := aceText(what)
	packed := map[string]aceFile{}
	for _, f := range acePacked(text) {
		packed[f.name] = f
	}
	named := func(mode, name string) aceFile {
		f := packed[mode]
		f.name = name
		return f
	}
	other := aceFile{name: "a.txt", method: aceLZ77, content: aceText("nothing"), packed: acePackLZ(aceText("nothing"), 30000, true)}
	solid, locked := named("lz77", "note.txt"), named("lz77", "note.txt")
	solid.packed, solid.flags = acePackAfter(other.content, text), 1<<15
	locked.password = "kiyome"
	lockedStored := named("stored", "note.txt")
	lockedStored.password = "kiyome"
	commented := other
	commented.comment = acePackComment(text[:200])
	join := func(start []byte, files ...aceFile) []byte {
		for _, f := range files {
			start = append(start, f.write()...)
		}
		return start
	}
	return map[string][]byte{
		"stored":           join(aceStart(0, ""), named("stored", "note.txt")),
		"lz77":             join(aceStart(0, ""), other, named("lz77", "note.txt")),
		"solid":            join(aceStart(1<<15, ""), other, solid),
		"blocked":          join(aceStart(0, ""), named("lz", "note.txt")),
		"exe16":            join(aceStart(0, ""), named("exe16", "note.txt")),
		"exe32":            join(aceStart(0, ""), named("exe32", "note.txt")),
		"delta":            join(aceStart(0, ""), named("delta", "note.txt")),
		"sound":            join(aceStart(0, ""), named("sound16", "note.txt")),
		"picture":          join(aceStart(0, ""), named("color", "note.txt")),
		"cp932":            join(aceStart(0, ""), named("lz77", "\x95\xb6\x8f\x91\\\x97\x5c\x92\xe8\x95\x5c.txt")),
		"japanese":         join(aceStart(0, ""), named("lz77", "請求書.txt")),
		"comment":          join(aceStart(aceCommented|aceAdvert, acePackComment("nothing, nothing, nothing")), commented),
		"program":          join(append(append([]byte("MZ"), make([]byte, 500)...), aceStart(1<<9, "")...), named("lz77", "note.txt")),
		"encrypted":        join(aceStart(0, ""), locked),
		"encrypted-stored": join(aceStart(0, ""), lockedStored),
	}
}

func TestACESamplesAreWhatIsWrittenHere(t *testing.T) {
	for twin, what := range map[string]string{"": marker, "-clean": "nothing here"} {
		for name, data := range aceSamples(what) {
			if twin != "" && strings.HasPrefix(name, "encrypted") {
				continue
			}
			if !bytes.Equal(data, load(t, "ace-"+name+twin+".ace")) {
				t.Errorf("ace-%s%s.ace is another", name, twin)
			}
		}
	}
}

func FuzzACE(f *testing.F) {
	for _, file := range acePacked(aceText(marker)) {
		f.Add(aceArchive(file))
		file.password = "kiyome"
		f.Add(aceArchive(file))
	}
	fuzz(f, "ace")
}
