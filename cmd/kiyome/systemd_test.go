package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"

	"kiyome/testdata"
)

// units gives the units for systemd with this test's program in place of the installed one.
func units(t *testing.T) (files []string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	all, err := filepath.Glob("systemd/*")
	if err != nil || len(all) < 4 {
		t.Fatalf("units: %q, %v", all, err)
	}
	dir := t.TempDir()
	for _, from := range all {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, filepath.Base(from))
		if err := os.WriteFile(to, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/kiyome", self)), 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, to)
	}
	return files
}

// analyze runs systemd-analyze, which needs no running systemd for what is asked here.
func analyze(t *testing.T, args ...string) string {
	t.Helper()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("needs systemd-analyze (Debian: systemd)")
	}
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

func TestUnitsAreRight(t *testing.T) {
	said := analyze(t, append([]string{"verify", "--man=no"}, units(t)...)...)
	for line := range strings.Lines(said) {
		if strings.Contains(line, "kiyome") { // and not of this machine's other units
			t.Errorf("%s", line)
		}
	}
}

// The service is as closed as it is meant to be: of ten points of exposure, less than two.
func TestUnitIsConfined(t *testing.T) {
	if !strings.Contains(analyze(t, "--help"), "--offline") {
		t.Skip("needs systemd 250")
	}
	analyze(t, "security", "--offline=yes", "--threshold=20", "--no-pager", "systemd/kiyome.service")
}

// The sockets that units pass have the names that the server knows.
func TestUnitsPassSocketsThatAreKnown(t *testing.T) {
	var names []string
	for _, file := range units(t) {
		if strings.HasSuffix(file, ".socket") {
			names = append(names, setting(t, file, "FileDescriptorName")...)
			if got := setting(t, file, "Service"); !slices.Equal(got, []string{"kiyome.service"}) {
				t.Errorf("%s: Service=%q", file, got)
			}
		}
	}
	slices.Sort(names)
	if want := slices.Sorted(slices.Values(socketNames)); !slices.Equal(names, want) {
		t.Errorf("names %q, want %q", names, want)
	}
}

// setting gives the values of a setting of a unit.
func setting(t *testing.T, file, name string) (values []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			values = append(values, value)
		}
	}
	return values
}

// systemCalls holds the names of the system calls that a command of the test may make,
// as it has them under the unit; and no memory that can be both written to and run.
const systemCalls = "KIYOME_TEST_SYSTEM_CALLS"

// prSetMDWE and mdweRefuse ask for MemoryDenyWriteExecute (prctl(2), Linux 6.3).
const (
	prSetMDWE  = 65
	mdweRefuse = 1
)

// confine does to this process what systemd does for SystemCallFilter=,
// MemoryDenyWriteExecute= and NoNewPrivileges=.
func confine(list string) {
	if list == "" {
		return
	}
	here, err := arch.GetInfo("")
	if err != nil {
		panic(err)
	}
	names := slices.DeleteFunc(strings.Fields(list), func(name string) bool {
		_, ok := here.SyscallNames[name]
		return !ok
	})
	_ = unix.Prctl(prSetMDWE, mdweRefuse, 0, 0, 0) // an older kernel does without
	err = seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: seccomp.Policy{
		DefaultAction: seccomp.ActionErrno,
		Syscalls:      []seccomp.SyscallGroup{{Action: seccomp.ActionAllow, Names: names}},
	}})
	if err != nil {
		panic(err)
	}
}

// allowedCalls works out the unit's SystemCallFilter: allowed, then forbidden, then allowed again.
func allowedCalls(t *testing.T) string {
	t.Helper()
	allowed := map[string]bool{}
	for name := range expand(t, "@default") { // always allowed (systemd.exec(5))
		allowed[name] = true
	}
	for _, list := range setting(t, "systemd/kiyome.service", "SystemCallFilter") {
		list, forbidden := strings.CutPrefix(list, "~")
		for _, word := range strings.Fields(list) {
			for name := range expand(t, word) {
				allowed[name] = !forbidden
			}
		}
	}
	var names []string
	for name, yes := range allowed {
		if yes {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// expand gives the system calls of a group.
func expand(t *testing.T, word string) map[string]bool {
	t.Helper()
	if !strings.HasPrefix(word, "@") {
		return map[string]bool{word: true}
	}
	names := map[string]bool{}
	for line := range strings.Lines(analyze(t, "syscall-filter", "--no-pager", word)) {
		switch name := strings.TrimSpace(line); {
		case name == "" || name == word || strings.HasPrefix(name, "#"):
		case strings.HasPrefix(name, "@"):
			for inner := range expand(t, name) {
				names[inner] = true
			}
		default:
			names[name] = true
		}
	}
	return names
}

// Under the unit's filter the server compiles rules, confines its workers and delivers.
func TestServerUnderTheUnitsFilter(t *testing.T) {
	calls := allowedCalls(t)
	for _, needed := range []string{"seccomp", "memfd_create", "prlimit64", "chown"} {
		if !slices.Contains(strings.Fields(calls), needed) {
			t.Errorf("%s is not allowed", needed)
		}
	}
	if slices.Contains(strings.Fields(calls), "setuid") || slices.Contains(strings.Fields(calls), "mount") {
		t.Error("more is allowed than was meant")
	}
	s := newSite(t, "")
	s.do("account", "add", "taro@example.jp")
	s.do("account", "subscribe", "taro@example.jp")
	t.Setenv(systemCalls, calls)
	p := s.serve()
	for _, pid := range append(childrenOf(t, p.Process.Pid), p.Process.Pid) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil || !strings.Contains(string(text), "Seccomp:\t2") || !strings.Contains(string(text), "NoNewPrivs:\t1") {
			t.Errorf("process %d is not confined, %v", pid, err)
		}
	}
	c := s.dialLMTP()
	r := bufio.NewReader(c)
	expect(t, r, "220")
	conversation(t, c, r, "LHLO here -> 250")
	for _, name := range []string{"clean", "attachment"} {
		body := strings.TrimSuffix(string(testdata.MustMail(name)), "\r\n")
		conversation(t, c, r, "MAIL FROM:<a@example.com> -> 250", "RCPT TO:<taro@example.jp> -> 250", "DATA -> 354", body+"\r\n. -> 250")
	}
	if got := grep(t, s.path("mail/example.jp/taro/Maildir/new"), "X-Virus-Status: Infected"); got != 1 {
		t.Errorf("%d reports, want 1", got)
	}
	s.write("rules/marker.yar", goodRule)
	s.do("rules", "reload")
	if strings.Contains(p.said(), "level=ERROR") || strings.Contains(p.said(), "operation not permitted") {
		t.Errorf("%s", p.said())
	}
}
