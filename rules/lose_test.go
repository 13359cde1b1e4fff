package rules

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A rule that serves is never lost by a fault in its file, or by a folder that is
// not mounted: what was built stays until it is said that this is meant.
func TestBuildLosesNothingThatServes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault func(t *testing.T, dir string)
		lost  string // "": nothing is
	}{
		{"a file that serves breaks", func(t *testing.T, dir string) { write(t, dir, "a.yar", ruleFor("A", "aaaa")+"}") }, "a.yar"},
		{"a set goes", func(t *testing.T, dir string) { remove(t, dir, "feed") }, "set feed"},
		{"the folder goes", func(t *testing.T, dir string) { remove(t, dir, "") }, "set feed"},
		{"a file that never served is still bad", func(t *testing.T, dir string) { write(t, dir, "bad.yar", "still not a rule") }, ""},
		{"a good file comes", func(t *testing.T, dir string) { write(t, dir, "b.yar", ruleFor("B", "bbbb")) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := folder(t, map[string]string{"a.yar": ruleFor("A", "aaaa"), "bad.yar": "no rule", "feed/f.yar": ruleFor("F", "ffff")})
			c, state := Config{Dirs: []string{dir}, Builtin: true}, t.TempDir()
			before := mustBuild(t, c, state)
			tt.fault(t, dir)
			_, _, err := Build(t.Context(), c, state)
			if tt.lost == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, ErrWouldLose) || !strings.Contains(err.Error(), tt.lost) {
				t.Fatalf("%v; want ErrWouldLose for %s", err, tt.lost)
			}
			if now, err := Current(state); err != nil || now.Digest != before.Digest {
				t.Errorf("the current set changed: %v", err)
			}
			c.Lose = true
			after, _, err := Build(t.Context(), c, state)
			if err != nil || after.Rules >= before.Rules {
				t.Errorf("told to do without: %d rules, before %d, %v", after.Rules, before.Rules, err)
			}
			c.Lose = false
			if again, _, err := Build(t.Context(), c, state); err != nil || again.Digest != after.Digest {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func TestProvesTellsWhatSilenceWouldBreak(t *testing.T) {
	dir := t.TempDir()
	mustBuild(t, Config{Builtin: true}, dir)
	for name, want := range map[string]error{"*": ErrNoEICAR, "EICAR_Test_File": ErrNoEICAR, "NoSuchRule": nil} {
		if err := Silence(dir, name); err != nil {
			t.Fatal(err)
		}
		if err := Proves(dir); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if err := Unsilence(dir, name); err != nil {
			t.Fatal(err)
		}
	}
}
