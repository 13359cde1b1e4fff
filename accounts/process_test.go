package accounts

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childMode names what a copy of the test program does instead of testing.
const childMode = "ACCOUNTS_TEST_CHILD"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		if err := child(mode, os.Args[1]); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func child(mode, file string) error {
	if mode == "limited" { // the limit must be an error, not the end of the process
		signal.Ignore(syscall.SIGXFSZ)
		limit := unix.Rlimit{Cur: 256 << 10, Max: 256 << 10}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
	}
	db, err := Open(file, Options{Path: "/m/{local}"})
	if err != nil {
		return err
	}
	switch mode {
	case "hold":
		fmt.Println("open")
		os.Stdin.Read(make([]byte, 1))
		return db.Close()
	case "import", "large import":
		if mode == "large import" {
			db.importRows = 300
		}
		fmt.Println("open")
		_, err := db.Import(os.Stdin, ImportOptions{By: "child"})
		return err
	}
	// "add" and "limited": until something goes wrong, a line for each that is done.
	for i := 0; ; i++ {
		address := fmt.Sprintf("%d-%d@example.jp", os.Getpid(), i)
		if _, err := db.Add(NewAccount{Address: address, Owner: strings.Repeat("x", 200)}); err != nil {
			if _, lookup := db.Lookup(name(0)); lookup != nil {
				return fmt.Errorf("%w; then Lookup: %w", err, lookup)
			}
			return errors.Join(err, db.Close())
		}
		fmt.Println(address)
	}
}

// start runs a child on a database and gives its lines.
func start(t *testing.T, mode, file string, wrap ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(wrap, self, file)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childMode+"="+mode)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if mode == "hold" {
		if _, err := cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd, bufio.NewScanner(out)
}

func sampleFile(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "accounts.db")
	if err := os.WriteFile(file, sample(t, 10), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestLock: while one process has it open, others are told; when that one
// is killed, they get it at once.
func TestLock(t *testing.T) {
	file := sampleFile(t, t.TempDir())
	holder, lines := start(t, "hold", file)
	if !lines.Scan() {
		t.Fatal("the child did not open it")
	}
	refused(t, file, ErrLocked, "a server or another command has it open")
	holder.Process.Kill()
	holder.Wait()
	db, err := Open(file, options(&clock{day(0)}))
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
}

// TestKilledWhileChanging: whatever was said to be done is there after kill -9,
// and nothing by halves.
func TestKilledWhileChanging(t *testing.T) {
	if testing.Short() {
		t.Skip("25 processes")
	}
	file := sampleFile(t, t.TempDir())
	var done []string
	for i := range 25 {
		cmd, lines := start(t, "add", file)
		for n := 0; lines.Scan(); n++ {
			done = append(done, lines.Text())
			if n == 3 {
				time.AfterFunc(time.Duration(i)*777*time.Microsecond, func() { cmd.Process.Kill() })
			}
		}
		cmd.Wait()
	}
	if len(done) < 100 {
		t.Fatalf("only %d additions", len(done))
	}
	db, err := Open(file, options(&clock{day(0)}))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, address := range done {
		if _, err := db.Lookup(address); err != nil {
			t.Error(err)
		}
	}
	sound(t, db)
}

// TestKilledImport: nothing or all of it, and it can be done again.
func TestKilledImport(t *testing.T) {
	for _, mode := range []string{"import", "large import"} {
		t.Run(mode, func(t *testing.T) { killedImport(t, mode) })
	}
}

func killedImport(t *testing.T, mode string) {
	file := sampleFile(t, t.TempDir())
	var lines bytes.Buffer
	const accounts = 3000
	for i := range accounts {
		fmt.Fprintf(&lines, `{"account":{"address":"i%d@example.jp"}}`+"\n", i)
	}
	left := 0
	for i := range 10 {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, file)
		cmd.Env = append(os.Environ(), childMode+"="+mode)
		cmd.Stdin = bytes.NewReader(lines.Bytes())
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		bufio.NewScanner(out).Scan()
		time.AfterFunc(time.Duration(i)*15*time.Millisecond, func() { cmd.Process.Kill() })
		cmd.Wait()
		if _, err := os.Stat(file + copySuffix); err == nil {
			left++
		}
		db, err := Open(file, options(&clock{day(0)}))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if err := db.List(func(Account) bool { n++; return true }); err != nil || n != 10 && n != 10+accounts {
			t.Errorf("kill %d: %d accounts, %v", i, n, err)
		}
		sound(t, db)
		db.Close()
		if _, err := os.Stat(file + copySuffix); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("kill %d: a copy is left: %v", i, err)
		}
	}
	t.Logf("%d of 10 were killed while there was a copy", left)
	db, err := Open(file, options(&clock{day(0)}))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Import(&lines, ImportOptions{By: "x"}); err != nil {
		t.Error(err)
	}
	if _, err := db.Lookup(fmt.Sprintf("i%d@example.jp", accounts-1)); err != nil {
		t.Error(err)
	}
}

// failing runs a child that adds until it fails, and looks at what it left.
func failing(t *testing.T, mode, file, says string, wrap ...string) {
	t.Helper()
	cmd, lines := start(t, mode, file, wrap...)
	var done []string
	last := ""
	for lines.Scan() {
		if last = lines.Text(); !strings.HasPrefix(last, "error:") {
			done = append(done, last)
		}
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(last, says) || strings.Contains(last, "then Lookup") {
		t.Errorf("the child ended with %v and said %q, want %q", err, last, says)
	}
	db, err := Open(file, options(&clock{day(0)}))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, address := range done {
		if _, err := db.Lookup(address); err != nil {
			t.Error(err)
		}
	}
	sound(t, db)
}

func TestFileSizeLimit(t *testing.T) {
	file := sampleFile(t, t.TempDir())
	failing(t, "limited", file, "file too large")
	db, err := Open(file, options(&clock{day(0)}))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	add(t, db, "after@example.jp") // without the limit it works again
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=400k"); err != nil {
		t.Skipf("no small file system to be had: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	failing(t, "add", sampleFile(t, dir), "no space left")
}

// TestReadOnlyFileSystem: look-ups work, changes say what is the matter.
func TestReadOnlyFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no file system of our own to be had: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	file := sampleFile(t, dir)
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skip(err)
	}
	db, err := Open(file, options(&clock{day(0)}))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := rightOrError(db, 10); err != nil {
		t.Error(err)
	}
	if _, err := db.Add(NewAccount{Address: "x@example.jp"}); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("Add: %v", err)
	}
	if _, err := db.Backup(&bytes.Buffer{}); err != nil {
		t.Errorf("Backup: %v", err)
	}
}

// TestSyncFails: a change whose sync fails is not said to be done.
func TestSyncFails(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace")
	}
	for _, nth := range []string{"5+", "6+"} { // of the pages, of the meta page
		file := sampleFile(t, t.TempDir())
		failing(t, "add", file, "input/output error", strace, "-f", "-qq", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO:when="+nth)
	}
}
