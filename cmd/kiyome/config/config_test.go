package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the .want files")

func TestEveryMistakeIsToldWithItsLine(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bad configurations: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(filepath.Base(file), text)
			var mistakes Mistakes
			if !errors.As(err, &mistakes) {
				t.Fatalf("Parse: %v, want mistakes", err)
			}
			got, want := err.Error()+"\n", strings.TrimSuffix(file, ".toml")+".want"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			expected, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(expected) {
				t.Errorf("mistakes:\n%s\nwant:\n%s", got, expected)
			}
		})
	}
}

func TestLoadLooksInOrder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, host string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(`hostname = "`+host+`"`), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	named, fromEnv := write("named.toml", "named.example.jp"), write("env.toml", "env.example.jp")
	for _, tt := range []struct{ name, file, env, want string }{
		{"the command's file first", named, fromEnv, "named.example.jp"},
		{"then the environment's", "", fromEnv, "env.example.jp"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("KIYOME_CONFIG", tt.env)
			c, err := Load(tt.file)
			if err != nil {
				t.Fatal(err)
			}
			if c.Hostname != tt.want || c.Report.From != "virus-check@"+tt.want || c.Report.Provider != tt.want {
				t.Errorf("hostname %s, reports from %s by %s", c.Hostname, c.Report.From, c.Report.Provider)
			}
		})
	}
	if _, err := Load(filepath.Join(dir, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a named file that is missing: %v", err)
	}
}

func TestPrintIsReadBackAsTheSame(t *testing.T) {
	for _, tt := range []struct{ name, text string }{
		{"defaults", ``},
		{"all kinds of values", `
			hostname = "mx.example.jp"
			timezone = "UTC"
			[inbound]
			listen = ["unix:/run/k.sock", "[::1]:24"]
			idle_timeout = "1m30s"
			[rules]
			dirs = []
			builtin = false
			ignore = ["a\"b", "日本"]
			[rules.set."my set"]
			disable = ["x*", "set-file:y.yar"]
			[rules.set.other]
			min_score = 1
			[monitor]
			listen = ["0.0.0.0:9424", "unix:/run/monitor.sock"]
			public = true
			[scan.limits]
			unpacked = "1536MiB"
			memory = 100000000
			[removals]
			days = 0
			[page]
			listen = ["0.0.0.0:8080", "unix:/run/kiyome/page"]
			public = true
			imap = "imap.example.jp:993"
			imap_tls = "tls"
			proxies = []
			[billing]
			currency = "EUR"
			[[billing.price]]
			from = 2014-04-01
			inbound = 0
			outbound = 99
			[[billing.price]]
			from = 2013-04-01
			outbound = 98
			[[billing.campaign]]
			service = "inbound"
			from = 2014-10-01
			to = 2015-01-31
			[[billing.campaign]]
			service = "outbound"
			from = 2014-10-01
			to = 2014-10-01`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			first, err := Parse("a.toml", []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			var printed strings.Builder
			if err := first.Print(&printed); err != nil {
				t.Fatal(err)
			}
			second, err := Parse("a.toml", []byte(printed.String()))
			if err != nil {
				t.Fatalf("%v\n%s", err, printed.String())
			}
			if changed := Changed(first, second); changed != nil {
				t.Errorf("changed: %v\n%s", changed, printed.String())
			}
			if !reflect.DeepEqual(first.Billing, second.Billing) || first.Scan != second.Scan {
				t.Errorf("%+v became %+v", first, second)
			}
		})
	}
}

func TestEverySettingExplainsItself(t *testing.T) {
	c := Default()
	c.Rules.Sets = map[string]*RuleSet{"x": defaultRuleSet()}
	c.Billing.Campaigns, c.Billing.Prices = []*Campaign{{}}, []*Price{{}}
	seen := make(map[string]bool)
	for _, s := range c.settings() {
		if s.help == "" || !strings.HasSuffix(s.help, ".") || seen[s.key] {
			t.Errorf("%s: help %q", s.key, s.help)
		}
		seen[s.key] = true
	}
}

func TestDefaultsAreAllowedValues(t *testing.T) {
	var printed strings.Builder
	if err := Default().Print(&printed); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse("", []byte(printed.String())); err != nil {
		t.Error(err)
	}
}

func TestChangedNamesWhatDiffers(t *testing.T) {
	parse := func(text string) *Config {
		c, err := Parse("", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a := parse("hostname = 'a'\n[rules.set.old]\n[log]\nlevel = 'warn'")
	b := parse("hostname = 'a'\n[rules.set.new]\n[inbound]\nsessions = 5")
	got := strings.Join(Changed(a, b), " ")
	want := "inbound.sessions log.level rules.set.new.default_score rules.set.new.disable rules.set.new.min_score " +
		"rules.set.old.default_score rules.set.old.disable rules.set.old.min_score"
	if got != want {
		t.Errorf("Changed = %s\nwant %s", got, want)
	}
}

func TestRulesFolderThatNobodyNamedMayBeMissing(t *testing.T) {
	if _, err := os.Stat(defaultRulesDir); err == nil {
		t.Skip(defaultRulesDir + " exists here")
	}
	for _, tt := range []struct {
		name, text string
		want       int
	}{
		{"default", ``, 0},
		{"named", `rules.dirs = ["/etc/kiyome/rules"]`, 1},
	} {
		c, err := Parse("", []byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Rules.Dirs) != tt.want {
			t.Errorf("%s: %d folders, want %d", tt.name, len(c.Rules.Dirs), tt.want)
		}
	}
}

func TestSpansAreShort(t *testing.T) {
	for _, tt := range []struct {
		d    time.Duration
		want string
	}{{5 * time.Minute, "5m"}, {time.Hour, "1h"}, {90 * time.Second, "1m30s"}, {3 * time.Second, "3s"}, {100 * time.Millisecond, "100ms"}, {10 * time.Minute, "10m"}} {
		if got := shortSpan(tt.d); got != tt.want {
			t.Errorf("shortSpan(%d) = %s, want %s", tt.d, got, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/bad/*.toml")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("f.toml", []byte(text))
		var mistakes Mistakes
		if errors.As(err, &mistakes) {
			for _, m := range mistakes {
				if m.Line < 1 || m.Line > 1+strings.Count(text, "\n") {
					t.Errorf("line %d of %d: %s", m.Line, 1+strings.Count(text, "\n"), m)
				}
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		var printed strings.Builder
		if err := c.Print(&printed); err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("f.toml", []byte(printed.String())); err != nil {
			t.Errorf("not read back: %v\n%s", err, printed.String())
		}
	})
}
