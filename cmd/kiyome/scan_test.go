package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kiyome/scan"
	"kiyome/testdata"
)

// samples writes the test messages and some files, and gives their names.
func (s *site) samples() map[string]string {
	s.t.Helper()
	all := make(map[string]string)
	for _, name := range []string{"clean", "attachment", "zip", "body"} {
		all[name] = s.path(name + ".eml")
		s.write(name+".eml", string(testdata.MustMail(name)))
	}
	all["eicar"] = s.path("eicar.com")
	s.write("eicar.com", string(testdata.EICAR()))
	all["empty"] = s.path("empty")
	s.write("empty", "")
	all["missing"] = s.path("missing.eml")
	// A zip of which the second half is missing: its only member cannot be read.
	all["damaged"] = s.path("damaged.zip")
	s.write("damaged.zip", "PK\x03\x04\x14\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\x00\x00\x00\xff\x00\x00\x00\x05\x00\x00\x00a.exe\xed\xc1")
	return all
}

func TestScanTellsEachFileAndTheWorst(t *testing.T) {
	s := newSite(t, "")
	f := s.samples()
	s.write("rules/marker.yar", goodRule)
	for _, tt := range []struct {
		files string
		want  int
		lines []string
	}{
		{"clean", 0, []string{"clean.eml: clean"}},
		{"empty", 0, []string{"empty: clean"}},
		{"attachment", 1, []string{"attachment.eml: EICAR-Test-File in holiday.jpg.exe"}},
		{"zip", 1, []string{"zip.eml: EICAR-Test-File in 請求書.zip/請求書.exe"}},
		{"body", 1, []string{"body.eml: EICAR-Test-File in the mail body"}},
		{"eicar", 1, []string{"eicar.com: EICAR-Test-File in "}},
		{"missing", 2, nil},
		{"damaged", 3, []string{"damaged.zip: not checked: damaged (zip: a.exe", "damaged.zip: not checked: damaged (zip: damaged"}},
		{"clean damaged", 3, []string{"clean.eml: clean", "damaged.zip: not checked", "damaged.zip: not checked"}},
		{"damaged attachment clean", 1, []string{"damaged.zip: not checked", "damaged.zip: not checked", "attachment.eml: EICAR", "clean.eml: clean"}},
		{"attachment missing clean", 2, []string{"attachment.eml: EICAR", "clean.eml: clean"}},
	} {
		t.Run(tt.files, func(t *testing.T) {
			args := []string{"scan"}
			for name := range strings.FieldsSeq(tt.files) {
				args = append(args, f[name])
			}
			out, status, err := s.run(args...)
			lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
			if status != tt.want || len(tt.lines) > 0 && len(lines) != len(tt.lines) {
				t.Fatalf("exit %d, want %d: %v\n%s", status, tt.want, err, out)
			}
			for i, want := range tt.lines {
				if !strings.HasPrefix(lines[i], filepath.Join(s.dir, want)) {
					t.Errorf("line %q, want %q", lines[i], want)
				}
			}
		})
	}
}

func TestScanAsJSONAndAsATree(t *testing.T) {
	s := newSite(t, "")
	f := s.samples()
	out, status, _ := s.run("scan", "--json", f["zip"], f["missing"])
	var lines []scanLine
	for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
		var l scanLine
		if err := d.Decode(&l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	if status != 2 || len(lines) != 2 || lines[0].Status != "infected" || lines[1].Status != "error" || lines[0].Findings[0].Malware != "EICAR-Test-File" {
		t.Errorf("exit %d\n%s", status, out)
	}
	out, status, _ = s.run("scan", "--tree", f["attachment"])
	for _, want := range []string{"cleaned", "multipart/mixed", "├─ 1 text/plain", "├─ 2 holiday.jpg.exe application/octet-stream", "│  └─ base64: holiday.jpg.exe", "│     └─ found: EICAR-Test-File", "└─ 3 list.csv text/csv"} {
		if status != 1 || !strings.Contains(out, want) {
			t.Errorf("exit %d, want %q in\n%s", status, want, out)
		}
	}
	out, _, _ = s.run("scan", "--tree", "--json", f["zip"])
	var line scanLine
	if err := json.Unmarshal([]byte(out), &line); err != nil {
		t.Fatal(err)
	}
	found := func(n scan.Node) bool {
		return n.How == "zip" && slices.Contains(n.Malware, "EICAR-Test-File") && n.Depth > 1
	}
	if !slices.ContainsFunc(line.Tree, found) {
		t.Errorf("the tree is %+v", line.Tree)
	}
}

func TestScanWithOtherRules(t *testing.T) {
	s := newSite(t, "")
	f := s.samples()
	s.write("my.yar", goodRule)
	s.write("hit", "a marker for the test")
	s.write("bad.yar", "rule bad {\n\tcondition: $nothing\n}")
	s.script([]step{
		{"scan " + s.path("hit"), 0, "clean"},
		{"scan --rules " + s.path("my.yar") + " " + s.path("hit"), 1, "Test.Marker"},
		{"scan --rules " + s.path("my.yar") + " " + f["eicar"], 0, "clean"}, // these rules instead of the others
		{"scan --rules " + s.path("bad.yar") + " " + s.path("hit"), 2, "bad.yar:3"},
	})
}

func TestScanWithoutASandbox(t *testing.T) {
	s := newSite(t, `scan.sandbox = "off"`)
	f := s.samples()
	s.script([]step{
		{"scan " + f["zip"], 1, "EICAR-Test-File"},
		{"scan " + f["clean"] + " " + f["damaged"], 3, "not checked"},
	})
}

func TestScanNeedsNoConfigurationAndLeavesNothing(t *testing.T) {
	s := newSite(t, "")
	f := s.samples()
	tmp := s.path("tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", tmp)
	t.Setenv("KIYOME_CONFIG", "")
	var out strings.Builder
	if err := run(t.Context(), &out, []string{"scan", f["attachment"]}); exitStatus(err) != 1 {
		t.Errorf("%v\n%s", err, out.String())
	}
	if n := files(t, tmp); n != 0 {
		t.Errorf("%d files left in %s", n, tmp)
	}
}

func TestAScanThatIsInterruptedLeavesNothing(t *testing.T) {
	s := newSite(t, "")
	tmp := s.path("tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", tmp)
	pipe := s.path("pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	p := s.start("scan", pipe) // nobody will ever write
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if built, _ := filepath.Glob(filepath.Join(tmp, "*", "manifest.json")); built != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it does not begin")
		}
	}
	time.Sleep(200 * time.Millisecond) // now it waits; were it not to, the test would pass as well
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := s.exitOf(p); status != 2 || !strings.Contains(p.said(), "interrupted") {
		t.Errorf("exit %d: %s", status, p.said())
	}
	if n := files(t, tmp); n != 0 {
		t.Errorf("%d files left", n)
	}
}

func TestScanOpensFilesAndPipesOnly(t *testing.T) {
	s := newSite(t, "")
	pipe := s.path("pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() { os.WriteFile(pipe, testdata.EICAR(), 0) }()
	s.script([]step{
		{"scan " + pipe, 1, "EICAR-Test-File"},
		{"scan /dev/zero", 2, "neither a file nor a pipe"},
		{"scan " + s.dir, 2, "is a folder"},
	})
}

func TestNamesFromMessagesDoNotReachTheTerminal(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"請求書.exe", "請求書.exe"},
		{"a\x1b[2Jb", "a\uFFFD[2Jb"},
		{"a\nb: clean", "a\uFFFDb: clean"},
		{"a\u202egnp.exe", "a\uFFFDgnp.exe"},
	} {
		if got := printable(tt.in); got != tt.want {
			t.Errorf("printable(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
