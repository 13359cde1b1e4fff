package rules

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kiyome/rules/rulestest"
)

func TestConditionsThatOnlyProgramsMeet(t *testing.T) {
	for _, tt := range []struct {
		condition string
		only      bool
	}{
		{`uint16(0) == 0x5A4D and pe.number_of_sections > 3`, true},
		{`uint16 ( 0 ) == 0x5a4d and 2 of them`, true},
		{`uint16(0) == 23117`, true},
		{`uint16be(0) == 0x4D5A and $a`, true},
		{`filesize < 300KB and (uint16(0) == 0x5A4D) and (pe.imphash() == "x" or all of them)`, true},
		{`(uint16(0) == 0x5A4D and $a) or (uint16(0) == 0x5A4D and $b)`, true},
		{`((uint16(0) == 0x5A4D) and ($a or $b))`, true},
		{`$mz at 0 and pe.exports("x")`, true},
		{`$hex at 0 and pe.exports("x")`, true},
		{`pe.is_pe and $a`, true},
		{`pe.imphash() == "f34d5f2d4577ed6d9ceec516c1f5a744" and $a`, true},
		{`IsProgram and pe.is_dll()`, true},
		{`IsDeep and pe.is_dll()`, true},
		{`for any i in (0..pe.number_of_sections) : (pe.sections[i].name == "x") and uint16(0) == 0x5A4D`, true},

		{`uint16(0) != 0x5A4D and pe.is_dll()`, true},
		{`not pe.number_of_signatures > 0 and $a`, true}, // what is unknown stays so
		{`not pe.imphash() == "f34d5f2d4577ed6d9ceec516c1f5a744" and $a`, true},
		{`pe.number_of_sections > 1 and $a`, true},
		{`pe.version_info["InternalName"] contains "X" and any of them`, true},
		{`(pe.is_64bit() or pe.is_32bit()) and $a`, true},
		{`pe.characteristics & pe.DLL and $a`, true},
		{`pe.rich_signature.toolid(170, 40219) and $a`, true},
		{`for any i in (0..pe.number_of_signatures - 1) : (pe.signatures[i].subject contains "X")`, true},
		{`$a at pe.entry_point and $b`, true},
		{`$a at 0 and pe.exports("x")`, true},
		{`$a and (pe.exports("x") or pe.exports("y")) and not pe.is_dll()`, true},

		{`uint16(0) == 0x5A4D or $a`, false},
		{`uint16(0) == 0x5A4D and $a or $b`, false},
		{`not uint16(0) == 0x5A4D`, false},
		{`uint16(2) == 0x5A4D and $a`, false},
		{`uint32(0) == 0x5A4D and $a`, false},
		{`uint16(0) == 0x5A4D + 1 and $a`, false},
		{`not pe.is_pe and $a`, false},
		{`pe.is_pe == 0 and $a`, false},
		{`$wide at 0`, false},
		{`$mz in (0..10)`, false},
		{`IsText`, false},
		{`pe.is_dll() or $a`, false},
		{`not (pe.is_pe and $a)`, false},
		{`pe.DLL == 0x2000 and $a`, false},
		{`filesize > pe.overlay.offset`, false}, // it is, but libyara cannot be asked
		{`pe.number_of_sections == #a`, false},
		{`extension == "exe" and not pe.is_pe`, false},
		{`$a and any of them`, false},
		{`for any i in (0..2) : (uint16(0) == 0x5A4D or $a)`, false},
		{``, false},
	} {
		src := newTree("")
		src.files["a.yar"] = `import "pe"
private rule IsProgram { condition: uint16(0) == 0x5A4D }
private rule IsDeep { condition: $x and IsProgram }
private rule IsText { condition: filesize > 3 }
rule R { strings: $mz = "MZ" $hex = { 4d 5A ?? } $a = "MZab" $wide = "MZ" wide $b = /x}{"/ condition: ` + tt.condition + ` }`
		if got := gates(src).rules["R"]; got != tt.only {
			t.Errorf("%s: only programs: %v", tt.condition, got)
		}
	}
}

func TestRulesAreStrippedInPlace(t *testing.T) {
	src := `/* rule Comment { condition: pe.is_pe } */
import "pe" import "math"
// rule Line { condition: pe.is_pe }
rule Kept : tag { meta: a = "pe." strings: $a = "}" $b = /pe\.\/}/ $c = { 7D ( 22 | ?? ) } condition: any of them }
private rule Gone : x y
{
	strings:
		$a = "uint16"
	condition:
		uint16(0) == 0x5A4D and pe.is_dll() and $a
}
rule After { condition: not Gone and filesize > 0 }
`
	tr := newTree("")
	tr.files["a.yar"] = src
	plain, kept := withoutPrograms([]*tree{tr})
	if plain == nil {
		t.Fatalf("nothing was stripped: %v", kept)
	}
	got := plain[tr].files["a.yar"]
	want := strings.Replace(src, "import \"pe\" import", " import", 1)
	body := want[strings.Index(want, "{\n\tstrings"):strings.Index(want, "rule After")]
	want = strings.Replace(want, body, "{ condition: false }\n\n\n\n\n\n", 1)
	if got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if _, err := Compile(got); err != nil {
		t.Error(err)
	}
}

// TestWhatIsAskedOfProgramsGoes reduces conditions that hold of other objects too.
func TestWhatIsAskedOfProgramsGoes(t *testing.T) {
	for _, tt := range []struct{ condition, want string }{
		{`$a or pe.exports("x")`, `$a or false`},
		{`(uint16(0) == 0x5A4D and (pe.imphash() == "x" or 1 of them)) or (2 of them)`, `(uint16(0) == 0x5A4D and (false or 1 of them)) or (2 of them)`},
		{`$a at pe.entry_point or $b`, `$a at filesize or $b`},
		{`(pe.is_dll() and not pe.is_64bit()) or $a or $b`, `(false) or $a or $b`},
		{`not pe.is_pe and $a`, ``},
		{`filesize > pe.overlay.offset or $a`, ``},
	} {
		tr := newTree("")
		src := `import "pe" rule R { strings: $a = "aaa" $b = "bbb" condition: ` + tt.condition + ` }`
		tr.files["a.yar"] = src
		plain, kept := withoutPrograms([]*tree{tr})
		if tt.want == "" {
			if kept == nil || !strings.Contains(kept.Message, `rule "R"`) || plain != nil {
				t.Errorf("%s: kept %v, plain %v", tt.condition, kept, plain)
			}
			continue
		}
		want := strings.Replace(strings.Replace(src, tt.condition, tt.want, 1), `import "pe"`, "", 1)
		if kept != nil || plain == nil || plain[tr].files["a.yar"] != want {
			t.Errorf("%s: kept by %v, got %v, want %q", tt.condition, kept, plain, want)
		}
	}
}

// TestARuleThatIsDeclaredTwice keeps what one of its declarations may match.
func TestARuleThatIsDeclaredTwice(t *testing.T) {
	const only, any = `rule R { condition: uint16(0) == 0x5A4D }`, `rule R { condition: filesize > 3 }`
	for _, sources := range [][2]string{{only, any}, {any, only}} {
		tr := newTree("")
		tr.files["a.yar"], tr.files["b.yar"] = sources[0], sources[1]
		if gates(tr).rules["R"] {
			t.Error("it is taken to match programs only")
		}
	}
}

func TestWhatMayMatchAnythingKeepsOneForm(t *testing.T) {
	for src, keeper := range map[string]string{
		`rule A { condition: filesize > 3 }`: "",
		`import "pe" rule A { condition: uint16(0) == 0x5A4D and pe.is_dll() } rule B { condition: not pe.is_pe } rule C { condition: true }` + strings.Repeat(" ", 3) +
			`rule D { condition: true } rule E { condition: true } rule F { condition: true } rule G { condition: true } rule H { condition: true } rule I { condition: true } rule J { condition: true } rule K { condition: true }`: `rule "B"`,
	} {
		tr := newTree("")
		tr.files["a.yar"] = src
		if _, kept := withoutPrograms([]*tree{tr}); (kept != nil) != (keeper != "") || kept != nil && !strings.Contains(kept.Message, keeper) {
			t.Errorf("%s: kept by %v", src, kept)
		}
		s, err := Compile(src)
		if err != nil {
			t.Fatal(err)
		}
		if s.rules.plain != nil {
			t.Errorf("%s: there are two forms", src)
		}
		s.Close()
	}
}

// TestBothFormsAgree matches objects of all kinds with a set that has two forms, and
// with the same set that has one.
func TestBothFormsAgree(t *testing.T) {
	const more = `import "pe"
rule Imphash { strings: $a = "o" condition: pe.imphash() == "f34d5f2d4577ed6d9ceec516c1f5a744" or (pe.is_pe and $a) }
private rule Program { condition: uint16(0) == 0x5A4D }
rule Sections { condition: Program and pe.number_of_sections >= 0 }
rule Other { condition: not Program and filesize > 0 }
rule Many { strings: $a = "a" condition: #a > 3 }
rule Signed { strings: $a = "o" condition: $a and not pe.number_of_signatures > 0 }
rule Entry { strings: $a = "a" condition: $a at pe.entry_point or #a > 5 }
rule Either { strings: $a = "a" $b = "o" condition: (Program and (pe.exports("x") or $a)) or all of them }
rule Versions { condition: for any i in (0..pe.number_of_sections - 1) : (pe.sections[i].name == ".text") }`
	two, err := Compile(rulestest.Heavy(400), strings.TrimPrefix(more, `import "pe"`))
	if err == nil && two.rules.plain == nil {
		t.Fatal("the set has one form")
	}
	one, err2 := Compile(rulestest.Heavy(400), strings.TrimPrefix(more, `import "pe"`))
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	defer two.Close()
	defer one.Close()
	one.rules.plain.Destroy()
	one.rules.plain = nil
	a, err := two.NewMatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := one.NewMatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()

	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	elf, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	objects := [][]byte{nil, []byte("M"), []byte("MZ"), []byte(program()), []byte(program() + "o aaaa"), rulestest.Mail(10_000), elf[:100_000], []byte("x" + program())}
	samples, _ := filepath.Glob("../testdata/*/*")
	for _, name := range samples {
		if data, err := os.ReadFile(name); err == nil {
			objects = append(objects, data, append([]byte("MZ"), data...))
		}
	}
	matched := 0
	for i, data := range objects {
		got, err := a.Match(Object{Data: data}, time.Minute)
		want, err2 := b.Match(Object{Data: data}, time.Minute)
		if err != nil || err2 != nil || !slices.Equal(got, want) {
			t.Errorf("object %d: %v, %v; with one form %v, %v", i, got, err, want, err2)
		}
		matched += len(got)
	}
	if len(objects) < 100 || matched < len(objects) {
		t.Errorf("%d objects, %d matches", len(objects), matched)
	}
}

func FuzzSources(f *testing.F) {
	files, _ := filepath.Glob("*.yar")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(`import "pe" rule A { strings: $a = /\/}/ condition: uint16(0) == 0x5A4D and pe.is_dll() and $a }`)
	f.Fuzz(func(t *testing.T, src string) {
		at := 0
		for _, tok := range tokens(src) {
			if tok.start < at || tok.end() <= tok.start || tok.end() > len(src) {
				t.Fatalf("a token at [%d, %d) behind %d", tok.start, tok.end(), at)
			}
			at = tok.end()
		}
		tr := newTree("")
		tr.files["a"] = src
		if plain, _ := withoutPrograms([]*tree{tr}); plain != nil && strings.Count(plain[tr].files["a"], "\n") != strings.Count(src, "\n") {
			t.Error("lines are lost")
		}
	})
}
