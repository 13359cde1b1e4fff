package rules

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kiyome/rules/rulestest"
)

func TestMalwareName(t *testing.T) {
	for _, tt := range []struct{ name, meta, want string }{
		{"ours first", `malware = "W32.Example.A@mm" threat_name = "Windows.Trojan.X"`, "W32.Example.A@mm"},
		{"Elastic", `threat_name = "Windows.Trojan.X" tc_detection_type = "A" tc_detection_name = "B"`, "Windows.Trojan.X"},
		{"ReversingLabs", `tc_detection_type = "Ransomware" tc_detection_name = "Gandcrab"`, "Ransomware.Gandcrab"},
		{"half of it", `tc_detection_type = "Ransomware"`, "Rule_Name"},
		{"none", ``, "Rule_Name"},
		{"not a text", `malware = 5`, "Rule_Name"},
		{"empty", `malware = ""`, "Rule_Name"},
		{"control characters and UTF-8", `malware = "Evil\r\nX-Header:\x1b[31m 悪い\tname "`, "Evil X-Header:[31m name"},
		{"nothing readable", `malware = "悪い" threat_name = "Real"`, "Real"},
		{"long", `malware = "` + strings.Repeat("x", 300) + `"`, strings.Repeat("x", 100)},
		{"cut at a space", `malware = "` + strings.Repeat("x", 99) + ` y"`, strings.Repeat("x", 99)},
		{"twice", `malware = "First" malware = "Second"`, "First"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			meta := ""
			if tt.meta != "" {
				meta = "meta: " + tt.meta
			}
			s, err := Compile("rule Rule_Name { " + meta + " condition: true }")
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got := s.Infos()[0].Malware; got != tt.want {
				t.Errorf("malware is %q, want %q", got, tt.want)
			}
		})
	}
}

func TestScores(t *testing.T) {
	dir := folder(t, map[string]string{
		"s/x.yar": `rule None { condition: true }
rule S64 { meta: score = 64 condition: true }
rule S65 { meta: score = 65 condition: true }
rule Quoted { meta: score = "90" condition: true }
rule Odd { meta: score = "high" condition: true }
rule Info : Other INFO { meta: score = 100 condition: true }`,
		"strict/x.yar": `rule None { condition: true }
rule S85 { meta: score = 85 condition: true }`,
	})
	s := mustLoad(t, mustBuild(t, Config{Builtin: true, Dirs: []string{dir}, Sets: map[string]SetConfig{
		"strict": {MinScore: 80, DefaultScore: 79},
	}}, t.TempDir()))
	want := map[string]struct {
		score   int
		logOnly bool
	}{
		"s/None": {70, false}, "s/S64": {64, true}, "s/S65": {65, false}, "s/Quoted": {90, false}, "s/Odd": {70, false},
		"s/Info": {100, true}, "strict/None": {79, true}, "strict/S85": {85, false},
	}
	m, err := s.NewMatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	found, err := m.Match(Object{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		w, ok := want[f.Set+"/"+f.Rule]
		if ok && (f.Score != w.score || f.LogOnly != w.logOnly) {
			t.Errorf("%s/%s has score %d, log only %v; want %+v", f.Set, f.Rule, f.Score, f.LogOnly, w)
		}
		delete(want, f.Set+"/"+f.Rule)
	}
	if len(want) > 0 {
		t.Errorf("not matched: %v", want)
	}
}

func TestInfos(t *testing.T) {
	s, err := Compile(`rule A : x y { meta: description = "what it is" malware = "M" score = 80 condition: true }
private rule P { condition: true }`, `rule B { condition: P }`)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	infos := s.Infos()
	if len(infos) != 2 || infos[1].Name != "B" {
		t.Fatalf("infos: %+v", infos)
	}
	a := infos[0]
	if a.Name != "A" || a.Set != "local" || a.Malware != "M" || a.Description != "what it is" || a.Score != 80 || !slices.Equal(a.Tags, []string{"x", "y"}) || a.Disabled || a.LogOnly {
		t.Errorf("info: %+v", a)
	}
	a.Tags[0] = "changed"
	if s.Infos()[0].Tags[0] != "x" {
		t.Error("tags are shared with the caller")
	}
}

func TestCompileNamesTheFault(t *testing.T) {
	_, err := Compile("rule a { condition: true }", "\nrule b { condition: nosuch }")
	if err == nil || !strings.Contains(err.Error(), "source 2:2: undefined identifier") {
		t.Errorf("Compile: %v", err)
	}
	if _, err := Compile(`include "/etc/passwd"`); err == nil || strings.Contains(err.Error(), "root") {
		t.Errorf("Compile of an include: %v", err)
	}
}

func TestVersionIsStable(t *testing.T) {
	a, b, other := compiled(t, eicarRule), compiled(t, eicarRule), compiled(t, eicarRule+ruleFor("X", "x123"))
	if a.Version() == "" || a.Version() != b.Version() || a.Version() == other.Version() {
		t.Errorf("versions %q, %q, other %q", a.Version(), b.Version(), other.Version())
	}
	set := mustBuild(t, Config{Dirs: []string{folder(t, map[string]string{"e.yar": eicarRule})}}, t.TempDir())
	if v := mustLoad(t, set).Version(); v != set.Version || len(v) != len("20060102-0123456789ab") {
		t.Errorf("version %q, of the file %q", v, set.Version)
	}
}

func compiled(t testing.TB, sources ...string) *Set {
	t.Helper()
	s, err := Compile(sources...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// resident gives the memory of this process in MiB that lies in RAM.
func resident(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize() >> 20
}

func TestReloadingDoesNotLeak(t *testing.T) {
	runtime.LockOSThread() // libc keeps a heap for each thread: on many, what was freed looks like a leak
	defer runtime.UnlockOSThread()
	source := eicarRule + rulestest.Heavy(250)
	rulesDir := folder(t, map[string]string{"x.yar": source})
	dir := t.TempDir()
	reload := func(i int) {
		if err := os.WriteFile(filepath.Join(rulesDir, "y.yar"), []byte(ruleFor("R"+strconv.Itoa(i), "xyzzy")), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Load(mustBuild(t, Config{Dirs: []string{rulesDir}}, dir))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		matched(t, s, Object{Data: eicar(), Name: "a.txt"})
	}
	for i := range 10 {
		reload(i)
	}
	before := resident(t)
	for i := range 60 {
		reload(100 + i)
	}
	// A set of 250 rules takes about 2 MiB wherever it is, in a compiler, in its
	// rules, in a set: of 60 reloads that leaked one of these, a hundred would be left.
	if after := resident(t); after > before+40 {
		t.Errorf("%d MiB resident after 60 reloads, %d before", after, before)
	}
}

func BenchmarkBuild(b *testing.B) {
	rulesDir := folder(b, map[string]string{"e.yar": eicarRule, "x.yar": rulestest.Heavy(1000)})
	c := Config{Dirs: []string{rulesDir}}
	b.Run("anew", func(b *testing.B) {
		for b.Loop() {
			mustBuild(b, c, b.TempDir())
		}
	})
	dir := b.TempDir()
	set := mustBuild(b, c, dir)
	b.Run("unchanged", func(b *testing.B) {
		for b.Loop() {
			mustBuild(b, c, dir)
		}
	})
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			s, err := Load(set)
			if err != nil {
				b.Fatal(err)
			}
			s.Close()
		}
	})
}
