package rules

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// eicarRule is a rule that lets a set pass the self-test.
const eicarRule = "rule Eicar { strings: $a = \"STANDARD-ANTIVIRUS-TEST\" condition: $a }\n"

// ruleFor gives a rule that matches objects with text in them.
func ruleFor(name, text string) string {
	return "rule " + name + " { strings: $a = \"" + text + "\" condition: $a }\n"
}

// folder writes files, by path, into a new folder.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mustBuild(t testing.TB, c Config, dir string) Compiled {
	t.Helper()
	set, problems, err := Build(t.Context(), c, dir)
	if err != nil {
		t.Fatalf("Build: %v %v", err, problems)
	}
	return set
}

func mustLoad(t testing.TB, c Compiled) *Set {
	t.Helper()
	s, err := Load(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// matched gives the rules, as set/name, that match data.
func matched(t testing.TB, s *Set, o Object) []string {
	t.Helper()
	m, err := s.NewMatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	found, err := m.Match(o, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, f := range found {
		names = append(names, f.Set+"/"+f.Rule)
	}
	slices.Sort(names)
	return names
}

func TestBuildMakesSetsOfFolders(t *testing.T) {
	dir := folder(t, map[string]string{
		"b.yar":               eicarRule,
		"a.yara":              ruleFor("Same", "xyzzy"),
		"notes.txt":           "rule not_yara",
		".hidden.yar":         "broken",
		"one/sub/z.yar":       ruleFor("Same", "xyzzy") + ruleFor("Deep", "xyzzy"),
		"one/.git/x.yar":      "broken",
		"two/index.yar":       "include \"./lib/a.yar\"\n",
		"two/lib/a.yar":       "include \"b.yar\"\n" + ruleFor("A", "xyzzy"),
		"two/lib/b.yar":       ruleFor("B", "xyzzy"),
		"two/not_indexed.yar": "broken",
	})
	set, problems, err := Build(t.Context(), Config{Dirs: []string{dir}}, t.TempDir())
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	if set.Rules != 6 {
		t.Errorf("%d rules, want 6", set.Rules)
	}
	got := matched(t, mustLoad(t, set), Object{Data: []byte("xyzzy")})
	want := []string{"local/Same", "one/Deep", "one/Same", "two/A", "two/B"}
	if !slices.Equal(got, want) {
		t.Errorf("matched %v, want %v", got, want)
	}
}

func TestBuildOfASingleFile(t *testing.T) {
	dir := folder(t, map[string]string{
		"x.yar":     eicarRule,
		"y.yar":     "include \"lib/z.yar\"\n",
		"lib/z.yar": eicarRule,
		"bad.yar":   "broken",
	})
	for _, name := range []string{"x.yar", "y.yar"} {
		set, problems, err := Build(t.Context(), Config{Dirs: []string{filepath.Join(dir, name)}}, t.TempDir())
		if err != nil || len(problems) > 0 || set.Rules != 1 {
			t.Errorf("%s: %v %v, %d rules", name, err, problems, set.Rules)
			continue
		}
		if got := matched(t, mustLoad(t, set), Object{Data: eicar()}); !slices.Equal(got, []string{"local/Eicar"}) {
			t.Errorf("%s: matched %v", name, got)
		}
	}
}

func TestBuildNamesBadFilesAndServesTheRest(t *testing.T) {
	newerYARA := "needs newer YARA"
	for _, tt := range []struct {
		name, text string
		line       int
		message    string
	}{
		{"syntax", "\n\nrule x { conditions: true }", 3, "syntax error"},
		{"module of deprecated files", "import \"androguard\"\nrule x { condition: androguard.url(/a/) }", 1, `unknown module "androguard"`},
		{"lnk", "import \"lnk\"\nrule x { condition: lnk.is_lnk }", 1, `unknown module "lnk"`},
		{"string module", "import \"string\"\nrule x { condition: string.length(\"a\") == 1 }", 1, `unknown module "string"`},
		{"vt without its import", "rule x {\n condition: vt.x }", 2, "no such module"},
		{"not in hexadecimal", "rule x { strings:\n $a = { 41 42 ~00 43 44 } condition: $a }", 2, newerYARA},
		{"them at", "rule x { strings: $a = \"abcd\" condition:\n any of them at 0 }", 2, newerYARA},
		{"with", "rule x { condition:\n with x = 1 : (x == 1) }", 2, newerYARA},
		{"for over texts", "rule x { condition:\n for any s in (\"a\", \"b\") : (s == \"a\") }", 2, newerYARA},
		{"undefined", "rule x { condition: nosuch }", 1, `undefined identifier "nosuch"`},
		{"duplicate", eicarRule, 0, `rule "Eicar" is already declared in`},
		{"console", "import \"console\"\nrule x { condition: console.log(\"x\") }", 0, `module "console"`},
		{"cuckoo", "import \"cuckoo\"\nrule x { condition: cuckoo.network.http_request(/a/) }", 0, `module "cuckoo"`},
		{"magic", "import \"magic\"\nrule x { condition: magic.type() == \"a\" }", 0, `module "magic"`},
		{"console in a comment and unused", "// import \"cuckoo\"\nimport \"console\"", 0, `module "console"`},
		{"global", "global rule x { condition: filesize < 1MB }", 0, `rule "x" is global`},
		{"NUL", "rule x { condition: true }\n\x00 rule y { condition: true }", 0, "NUL byte in line 2"},
		{"include of nothing", "include \"nosuch.yar\"", 1, "only .yar and .yara files inside"},
		{"include of an absolute path", "include \"/etc/passwd\"", 1, "only .yar and .yara files inside"},
		{"include out of the set", "include \"../other/secret.yar\"", 1, "only .yar and .yara files inside"},
		{"include of another kind of file", "include \"passwd\"", 1, "only .yar and .yara files inside"},
		{"bad file included", "include \"lib/bad.yar\"", 2, "syntax error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := folder(t, map[string]string{
				"set/a_good.yar":   eicarRule,
				"set/m_bad.yar":    tt.text,
				"set/z_good.yar":   ruleFor("After", "xyzzy"),
				"set/passwd":       ruleFor("Passwd", "xyzzy"),
				"other/secret.yar": ruleFor("Secret", "xyzzy"),
			})
			if strings.Contains(tt.text, "lib/bad.yar") {
				lib := filepath.Join(dir, "set/lib")
				if err := errors.Join(os.Mkdir(lib, 0o700), os.WriteFile(filepath.Join(lib, "bad.yar"), []byte("\nrule {"), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			set, problems, err := Build(t.Context(), Config{Dirs: []string{dir}}, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if len(problems) == 0 {
				t.Fatal("no problem reported")
			}
			i := slices.IndexFunc(problems, func(p Problem) bool {
				return strings.Contains(p.File, "bad.yar") && p.Line == tt.line && strings.Contains(p.Message, tt.message) && !p.Warning
			})
			if i < 0 {
				t.Errorf("problems %+v, want bad.yar:%d: %s", problems, tt.line, tt.message)
			}
			s := mustLoad(t, set)
			got := matched(t, s, Object{Data: append(eicar(), "xyzzy"...)})
			if want := []string{"other/Secret", "set/After", "set/Eicar"}; !slices.Equal(got, want) {
				t.Errorf("matched %v, want %v", got, want)
			}
		})
	}
}

func TestBuildRefusesLinksOutOfTheFolder(t *testing.T) {
	outside := folder(t, map[string]string{"secret.yar": ruleFor("Secret", "xyzzy"), "good.yar": eicarRule})
	dir := folder(t, map[string]string{"set/good.yar": eicarRule, "set/includes.yar": "include \"link.yar\""})
	for _, l := range [][2]string{
		{filepath.Join(outside, "secret.yar"), "set/link.yar"},
		{filepath.Join(outside, "secret.yar"), "top.yar"},
		{outside, "set/folder"},
		{outside, "linked"},       // the operator's way to keep a set elsewhere
		{"good.yar", "set/alias"}, // within, but not called YARA
	} {
		if err := os.Symlink(l[0], filepath.Join(dir, l[1])); err != nil {
			t.Fatal(err)
		}
	}
	set, problems, err := Build(t.Context(), Config{Dirs: []string{dir}}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"set/link.yar", "set/includes.yar", "top.yar"} {
		if !slices.ContainsFunc(problems, func(p Problem) bool { return p.File == filepath.Join(dir, want) }) {
			t.Errorf("no problem with %s in %+v", want, problems)
		}
	}
	got := matched(t, mustLoad(t, set), Object{Data: append(eicar(), "xyzzy"...)})
	if want := []string{"linked/Eicar", "linked/Secret", "set/Eicar"}; !slices.Equal(got, want) {
		t.Errorf("matched %v, want %v", got, want)
	}
}

func TestBuildServesFilesThatNeedOthers(t *testing.T) {
	dir := folder(t, map[string]string{
		"s/a.yar": "rule Needs { condition: is_b and is_c }",
		"s/b.yar": "private rule is_b { condition: is_z and filesize > 0 }\n",
		"s/c.yar": "private rule is_c { strings: $a = \"xyzzy\" condition: $a }\n",
		"s/e.yar": eicarRule,
		"s/z.yar": "private rule is_z { strings: $a = \"xyzzy\" condition: $a }\n" + ruleFor("Zed", "xyzzy"),
		"s/x.yar": "rule Lost { condition: is_nowhere }",
	})
	set, problems, err := Build(t.Context(), Config{Dirs: []string{dir}}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if len(problems) != 1 || problems[0].File != filepath.Join(dir, "s/x.yar") {
		t.Errorf("problems %+v, want one with x.yar", problems)
	}
	s := mustLoad(t, set)
	if got, want := matched(t, s, Object{Data: []byte("xyzzy")}), []string{"s/Needs", "s/Zed"}; !slices.Equal(got, want) {
		t.Errorf("matched %v, want %v", got, want)
	}
	if n := len(s.Infos()); n != 3 || set.Rules != 3 {
		t.Errorf("%d rules listed, %d counted: private ones are no detections", n, set.Rules)
	}
}

func TestGlobalRuleInASetOfOneFile(t *testing.T) {
	dir := folder(t, map[string]string{"s/a.yar": "global rule Small { condition: filesize < 10 }\n" + ruleFor("X", "xyzzy"), "t/e.yar": eicarRule})
	s := mustLoad(t, mustBuild(t, Config{Dirs: []string{dir}}, t.TempDir()))
	if got := matched(t, s, Object{Data: []byte("xyzzy, and long")}); len(got) != 0 {
		t.Errorf("matched %v past the global rule", got)
	}
	if got, want := matched(t, s, Object{Data: []byte("xyzzy")}), []string{"s/Small", "s/X"}; !slices.Equal(got, want) {
		t.Errorf("matched %v, want %v", got, want)
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct{ name, text, message string }{
		{"slow string", "rule x { strings: $a = { 00 00 } condition: $a }", "slow"},
		{"jump of 300", "rule x { strings: $a = { 45 49 43 [0-300] 41 52 } condition: $a }", `string "$a" jumps`},
		{"jump without end", "rule x { strings: $a = { 45 49 43 44 [-] 41 52 43 44 } condition: $a }", `string "$a" jumps`},
		{"jump of 100", "rule x { strings: $a = { 45 49 43 44 [0-100] 41 52 43 44 } condition: $a }", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := folder(t, map[string]string{"e.yar": eicarRule, "x.yar": tt.text})
			problems, err := Check(t.Context(), Config{Dirs: []string{dir}})
			if err != nil {
				t.Fatal(err)
			}
			if tt.message == "" && len(problems) > 0 {
				t.Errorf("problems %+v", problems)
			}
			if tt.message != "" && (len(problems) == 0 || !problems[0].Warning || !strings.Contains(problems[0].Message, tt.message)) {
				t.Errorf("problems %+v, want a warning: %s", problems, tt.message)
			}
			if set := mustBuild(t, Config{Dirs: []string{dir}}, t.TempDir()); set.Rules != 2 {
				t.Errorf("%d rules serve, want 2", set.Rules)
			}
		})
	}
}

func TestProblemsOfTheConfiguration(t *testing.T) {
	dir := folder(t, map[string]string{"e.yar": eicarRule, "kiyome/x.yar": eicarRule})
	problems, err := Check(t.Context(), Config{
		Dirs:   []string{dir, filepath.Join(dir, "nosuch")},
		Ignore: []string{"[", "fine*"},
		Sets:   map[string]SetConfig{"nosuch": {}, "local": {Disable: []string{"set-file:["}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"name is taken", "no such file", `ignore: "["`, `no set "nosuch"`, `disable: "set-file:["`} {
		if !slices.ContainsFunc(problems, func(p Problem) bool { return strings.Contains(p.Message, want) }) {
			t.Errorf("no problem %q in %+v", want, problems)
		}
	}
}

func TestBuildKeepsWhatIsUnchanged(t *testing.T) {
	rulesDir := folder(t, map[string]string{"e.yar": eicarRule, "bad.yar": "rule {", "s/index.yar": "include \"i.yar\"", "s/i.yar": ruleFor("I", "xyzzy")})
	dir := t.TempDir()
	c := Config{Dirs: []string{rulesDir}}
	first, problems, err := Build(t.Context(), c, dir)
	if err != nil {
		t.Fatal(err)
	}
	made, _ := os.Stat(first.Path)
	second, again, err := Build(t.Context(), c, dir)
	if err != nil || second != first || !slices.Equal(problems, again) {
		t.Errorf("second Build: %+v, %v, %v; first %+v, %v", second, again, err, first, problems)
	}
	if now, err := os.Stat(second.Path); err != nil || !os.SameFile(made, now) {
		t.Error("the compiled file was made again")
	}
	write := func(name, text string) func() {
		return func() {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name    string
		change  func()
		version bool // changes
	}{
		{"a file", write(filepath.Join(rulesDir, "e.yar"), eicarRule+ruleFor("New", "abcd")), true},
		{"an included file", write(filepath.Join(rulesDir, "s/i.yar"), ruleFor("I", "changed")), true},
		{"the configuration", func() { c.Sets = map[string]SetConfig{"local": {MinScore: 10}} }, true},
		{"the compiled file", func() { write(mustCurrent(t, dir).Path, "damaged")() }, false},
		{"the manifest", write(filepath.Join(dir, manifestFile), "damaged"), false},
	} {
		before := mustCurrent(t, dir)
		tt.change()
		after := mustBuild(t, c, dir)
		if (after.Version != before.Version) != tt.version {
			t.Errorf("%s changed: version %s after %s", tt.name, after.Version, before.Version)
		}
		if got := mustCurrent(t, dir); got != after {
			t.Errorf("%s changed: Current is %+v, want %+v", tt.name, got, after)
		}
	}
}

func TestBuildThatFailsChangesNothing(t *testing.T) {
	dir := t.TempDir()
	good := mustBuild(t, Config{Dirs: []string{folder(t, map[string]string{"e.yar": eicarRule})}}, dir)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		c    Config
		want error
	}{
		{"no rules", t.Context(), Config{}, nil},
		{"no folder", t.Context(), Config{Dirs: []string{"/nonexistent/rules"}}, nil},
		{"EICAR not matched", t.Context(), Config{Dirs: []string{folder(t, map[string]string{"x.yar": ruleFor("X", "xyzzy")})}}, ErrNoEICAR},
		{"EICAR matched for the log only", t.Context(), Config{Dirs: []string{folder(t, map[string]string{"x.yar": strings.Replace(eicarRule, "{", ": info {", 1)})}}, ErrNoEICAR},
		{"EICAR switched off", t.Context(), Config{Dirs: []string{folder(t, map[string]string{"x.yar": eicarRule})}, Sets: map[string]SetConfig{"local": {Disable: []string{"*"}}}}, ErrNoEICAR},
		{"only private rules", t.Context(), Config{Dirs: []string{folder(t, map[string]string{"x.yar": "private " + eicarRule})}}, nil},
		{"cancelled", cancelled, Config{Dirs: []string{folder(t, map[string]string{"x.yar": eicarRule + ruleFor("X", "xyzzy")})}}, context.Canceled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Build(tt.ctx, tt.c, dir)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Build: %v, want %v", err, tt.want)
			}
			if got, err := Current(dir); err != nil || got != good {
				t.Errorf("Current: %+v, %v, want %+v", got, err, good)
			}
			if files, _ := filepath.Glob(filepath.Join(dir, "*"+rulesExt)); len(files) != 1 {
				t.Errorf("compiled files left: %v", files)
			}
		})
	}
}

func TestRollback(t *testing.T) {
	rulesDir := folder(t, map[string]string{"e.yar": eicarRule})
	dir := t.TempDir()
	c := Config{Dirs: []string{rulesDir}}
	if _, err := Rollback(dir); !errors.Is(err, ErrNone) {
		t.Errorf("nothing built: %v, want ErrNone", err)
	}
	if _, err := Current(dir); !errors.Is(err, ErrNone) {
		t.Errorf("nothing built: Current: %v, want ErrNone", err)
	}
	var built []Compiled
	for _, name := range []string{"One", "Two", "Three"} {
		os.WriteFile(filepath.Join(rulesDir, "x.yar"), []byte(ruleFor(name, "xyzzy")), 0o600)
		built = append(built, mustBuild(t, c, dir))
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*"+rulesExt)); len(files) != 2 {
		t.Errorf("compiled files kept: %v, want the current and the one before", files)
	}
	back, err := Rollback(dir)
	if err != nil || back != built[1] {
		t.Fatalf("Rollback: %+v, %v, want %+v", back, err, built[1])
	}
	if got := matched(t, mustLoad(t, back), Object{Data: []byte("xyzzy")}); !slices.Equal(got, []string{"local/Two"}) {
		t.Errorf("after Rollback %v matches", got)
	}
	kept, problems, err := Build(t.Context(), c, dir)
	if err != nil || kept != back || len(problems) != 1 || !problems[0].Warning {
		t.Errorf("Build of what was left: %+v, %v, %v: want the set kept and a warning", kept, problems, err)
	}
	if forth, err := Rollback(dir); err != nil || forth != built[2] {
		t.Errorf("second Rollback: %+v, %v, want %+v", forth, err, built[2])
	}
	os.WriteFile(built[1].Path, []byte("damaged"), 0o600)
	if _, err := Rollback(dir); !errors.Is(err, ErrDamaged) {
		t.Errorf("Rollback to a damaged set: %v, want ErrDamaged", err)
	}
	if got, err := Current(dir); err != nil || got != built[2] {
		t.Errorf("Current after that: %+v, %v", got, err)
	}
}

func TestDamagedRulesAreRefused(t *testing.T) {
	set := mustBuild(t, Config{Dirs: []string{folder(t, map[string]string{"e.yar": eicarRule + ruleFor("X", "xyzzy")})}}, t.TempDir())
	good, err := os.ReadFile(set.Path)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		bad := bytes.Clone(good)
		for range 3 {
			bad[random.IntN(len(bad))] ^= 1 << random.IntN(8)
		}
		os.WriteFile(set.Path, bad, 0o600)
		if _, err := Load(set); !errors.Is(err, ErrDamaged) {
			t.Fatalf("Load: %v, want ErrDamaged", err)
		}
		if _, err := Current(filepath.Dir(set.Path)); !errors.Is(err, ErrDamaged) {
			t.Fatalf("Current: %v, want ErrDamaged", err)
		}
	}
	os.WriteFile(set.Path, good[:len(good)/2], 0o600)
	if _, err := Load(set); !errors.Is(err, ErrDamaged) {
		t.Errorf("half a file: %v, want ErrDamaged", err)
	}
	os.WriteFile(set.Path, good, 0o600)
	mustLoad(t, set)
}

func TestManifestCannotNameOtherFiles(t *testing.T) {
	dir := folder(t, map[string]string{manifestFile: `{"Current":{"File":"../../etc/passwd"}}`})
	if c, err := Current(dir); err == nil {
		t.Errorf("Current: %+v", c)
	}
}

func TestBuildsAtOnce(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 6 {
		c := Config{Dirs: []string{folder(t, map[string]string{"e.yar": eicarRule + ruleFor("R"+string(rune('a'+i%3)), "xyzzy")})}}
		wg.Go(func() {
			if set, _, err := Build(t.Context(), c, dir); err != nil || set.Rules != 2 {
				t.Errorf("Build: %+v, %v", set, err)
			}
		})
	}
	wg.Wait()
	mustLoad(t, mustCurrent(t, dir))
	if files, _ := filepath.Glob(filepath.Join(dir, "*"+rulesExt)); len(files) != 2 {
		t.Errorf("compiled files kept: %v", files)
	}
}

func mustCurrent(t testing.TB, dir string) Compiled {
	t.Helper()
	c, err := Current(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestIgnoreAndSilence(t *testing.T) {
	sum := bytes.Repeat([]byte{0xAB}, 32)
	dir := t.TempDir()
	set := mustBuild(t, Config{
		Dirs: []string{folder(t, map[string]string{
			"e.yar":   eicarRule,
			"s/x.yar": ruleFor("One", "xyzzy") + ruleFor("Two", "xyzzy") + ruleFor("Three", "xyzzy"),
			"t/x.yar": ruleFor("One", "xyzzy") + ruleFor("Sus_A", "xyzzy") + ruleFor("Four", "xyzzy"),
		})},
		Ignore: []string{"s/One", "Sus_*", strings.ToUpper(hex.EncodeToString(sum))},
	}, dir)
	xyzzy := Object{Data: []byte("xyzzy")}
	check := func(want ...string) {
		t.Helper()
		if got := matched(t, mustLoad(t, set), xyzzy); !slices.Equal(got, want) {
			t.Errorf("matched %v, want %v", got, want)
		}
	}
	check("s/Three", "s/Two", "t/Four", "t/One")
	s := mustLoad(t, set)
	if !s.Ignored([32]byte(sum)) || s.Ignored([32]byte{}) {
		t.Error("Ignored is wrong about digests")
	}
	for _, name := range []string{"Two", "t/F*", "Two", strings.Repeat("00", 32)} {
		if err := Silence(dir, name); err != nil {
			t.Fatal(err)
		}
	}
	check("s/Three", "t/One")
	s = mustLoad(t, set)
	if !s.Ignored([32]byte{}) || !s.Ignored([32]byte(sum)) {
		t.Error("a silenced digest is not ignored")
	}
	var off []string
	for _, info := range s.Infos() {
		if info.Disabled {
			off = append(off, info.Set+"/"+info.Name)
		}
	}
	if want := []string{"s/One", "s/Two", "t/Sus_A", "t/Four"}; !slices.Equal(off, want) {
		t.Errorf("switched off: %v, want %v", off, want)
	}
	if err := Unsilence(dir, "Two"); err != nil {
		t.Fatal(err)
	}
	check("s/Three", "s/Two", "t/One")
	if list, err := Silenced(dir); err != nil || !slices.Equal(list, []string{"t/F*", strings.Repeat("00", 32)}) {
		t.Errorf("Silenced: %v, %v", list, err)
	}
	for _, bad := range []string{"", "two words", "line\nbreak", "[", "名", strings.Repeat("x", 300)} {
		if err := Silence(dir, bad); err == nil {
			t.Errorf("Silence(%q) is no error", bad)
		}
	}
	// A silenced self-test must not keep a server from starting.
	if err := Silence(dir, "Eicar"); err != nil {
		t.Fatal(err)
	}
	mustLoad(t, mustCurrent(t, dir))
}

func TestDisable(t *testing.T) {
	dir := folder(t, map[string]string{
		"e.yar":                eicarRule,
		"s/index.yar":          "include \"a/noisy.yar\"\ninclude \"b.yar\"\n",
		"s/a/noisy.yar":        ruleFor("Noisy1", "xyzzy") + ruleFor("Noisy2", "xyzzy"),
		"s/b.yar":              ruleFor("Quiet", "xyzzy") + ruleFor("PUA_x", "xyzzy"),
		"t/generic_things.yar": ruleFor("Generic", "xyzzy"),
		"t/b.yar":              ruleFor("Noisy1", "xyzzy"),
	})
	s := mustLoad(t, mustBuild(t, Config{Dirs: []string{dir}, Sets: map[string]SetConfig{
		"s": {Disable: []string{"set-file:noisy.yar", "PUA_*"}},
		"t": {Disable: []string{"set-file:generic_*"}},
	}}, t.TempDir()))
	if got, want := matched(t, s, Object{Data: []byte("xyzzy")}), []string{"s/Quiet", "t/Noisy1"}; !slices.Equal(got, want) {
		t.Errorf("matched %v, want %v", got, want)
	}
}
