package accounts

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// people writes a table of so many accounts.
func people(n int) string {
	var b strings.Builder
	b.WriteString("address,owner,inbound\n")
	for i := range n {
		fmt.Fprintf(&b, "p%06d@example.jp,%d,subscribed\n", i, i/3)
	}
	return b.String()
}

// onlyFile sees that nothing lies beside a database.
func onlyFile(t *testing.T, file string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(file) {
		t.Errorf("in the folder: %v, %v", entries, err)
	}
}

// Whether an import is one change or made in a copy, the same comes of it.
func TestImportInACopyIsTheSame(t *testing.T) {
	before := people(10) + "q@example.jp,7,paused\n"
	for _, tt := range []struct{ name, text, wrong string }{
		{"new ones", people(50), ""},
		{"what is there already", before, ""},
		{"wrong rows in several batches", strings.NewReplacer("p000020@example.jp,6,subscribed", "p000020@example.jp,6,subscribed\np000020@example.jp,6,no",
			"p000040@example.jp,13,subscribed", "p000040@example.jp,13,subscribed\np000040@example.jp,13,no").Replace(people(50)), "2 rows are wrong"},
		{"twice, and there before", people(7) + "p000006@example.jp,8,no\n", "in row 7 (line 8) too"},
		{"twice, in two batches", people(21) + "p000020@example.jp,8,no\n", "in row 21 (line 22) too"},
		{"one Maildir for two", "address,maildir\n" + "a@example.jp,/m/x\nb@example.jp,/m/b\nc@example.jp,/m/c\nd@example.jp,/m/x\n", "/m/x"},
	} {
		for _, dry := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, dry %v", tt.name, dry), func(t *testing.T) {
				var told, held []string
				for _, rows := range []int{importRows, 3} {
					db, _ := fresh(t)
					if _, err := importText(db, before); err != nil {
						t.Fatal(err)
					}
					was := everything(t, db)
					db.importRows = rows
					n, err := db.Import(strings.NewReader(tt.text), ImportOptions{By: "root", DryRun: dry})
					told, held = append(told, fmt.Sprintf("%+v, %v", n, err)), append(held, everything(t, db))
					if (err != nil) != (tt.wrong != "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
						t.Errorf("%d rows at once: %v", rows, err)
					}
					if (err != nil || dry) && held[len(held)-1] != was {
						t.Errorf("%d rows at once: it was changed", rows)
					}
					sound(t, db)
					onlyFile(t, db.path)
					add(t, db, "later@example.jp")
					db.Close()
					if db, err = Open(db.path, db.options); err != nil {
						t.Fatal(err)
					}
					if _, err := db.Lookup("later@example.jp"); err != nil {
						t.Error(err)
					}
					db.Close()
				}
				if told[0] != told[1] || held[0] != held[1] {
					t.Errorf("in a copy it is\n%s\n%s\nwant\n%s\n%s", told[1], held[1], told[0], held[0])
				}
			})
		}
	}
}

// While a large import goes on, mail is looked up and sees nothing of it; changes wait, and say so.
func TestLookupsDuringALargeImport(t *testing.T) {
	db, _ := fresh(t)
	add(t, db, "taro@example.jp")
	db.importRows = 300
	looked := 0
	look := func(done, all int) {
		if all == 0 || done == 0 || done == all {
			return
		}
		looked++
		if _, err := db.Lookup("taro@example.jp"); err != nil {
			t.Error(err)
		}
		if _, err := db.Lookup("p000000@example.jp"); !errors.Is(err, ErrUnknown) {
			t.Errorf("it is seen before the end: %v", err)
		}
		if looked == 1 {
			if _, err := db.Change("taro@example.jp", Subscribed, Inbound, time.Time{}, "x"); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "takes long") {
				t.Errorf("a change: %v", err)
			}
		}
	}
	if n, err := db.Import(strings.NewReader(people(1000)), ImportOptions{By: "root", Progress: look}); err != nil || n.Added != 1000 || looked == 0 {
		t.Errorf("%+v, %v, %d looks", n, err, looked)
	}
	if _, err := db.Lookup("p000999@example.jp"); err != nil {
		t.Error(err)
	}
	if _, err := db.Change("taro@example.jp", Subscribed, Inbound, time.Time{}, "x"); err != nil {
		t.Error(err)
	}
	sound(t, db)
}

// Who reads the file as it was goes on with it, and stands in nobody's way.
func TestAReaderOutlivesTheFile(t *testing.T) {
	db, _ := fresh(t)
	add(t, db, "taro@example.jp")
	db.importRows = 3
	reading, end, ended := make(chan bool), make(chan bool), make(chan error)
	go func() {
		ended <- db.view(func(tx *bolt.Tx) error {
			close(reading)
			<-end
			_, err := find(tx, "taro@example.jp")
			if _, other := find(tx, "p000000@example.jp"); !errors.Is(other, ErrUnknown) {
				err = errors.Join(err, fmt.Errorf("what came later: %v", other))
			}
			return err
		})
	}()
	<-reading
	imported := make(chan error)
	go func() {
		_, err := importText(db, people(10))
		imported <- err
	}()
	for start := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if _, err := db.Lookup("p000000@example.jp"); err == nil {
			break
		} else if time.Since(start) > 10*time.Second {
			t.Fatal(err)
		}
	}
	close(end)
	if err := errors.Join(<-ended, <-imported); err != nil {
		t.Error(err)
	}
}

// Look-ups and imports at one time: run with the race detector.
func TestConcurrentImports(t *testing.T) {
	db, _ := fresh(t)
	db.options.Timeout = time.Minute
	db.importRows = 50
	add(t, db, "taro@example.jp")
	var wait sync.WaitGroup
	stop := make(chan bool)
	for range 3 {
		wait.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := db.Lookup("taro@example.jp"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var imports sync.WaitGroup
	for i := range 4 {
		imports.Go(func() {
			text := strings.ReplaceAll(people(200), "p0", fmt.Sprintf("%dp", i))
			if n, err := importText(db, text); err != nil || n.Added != 200 {
				t.Errorf("%+v, %v", n, err)
			}
		})
		imports.Go(func() {
			if _, err := db.Add(NewAccount{Address: name(i)}); err != nil {
				t.Error(err)
			}
		})
	}
	imports.Wait()
	close(stop)
	wait.Wait()
	n := 0
	if err := db.List(func(Account) bool { n++; return true }); err != nil || n != 805 {
		t.Errorf("%d accounts, %v", n, err)
	}
	sound(t, db)
}

// A server that ends does not wait for an import that takes long; nothing of it is kept.
func TestCloseEndsALargeImport(t *testing.T) {
	db, _ := fresh(t)
	add(t, db, "taro@example.jp")
	db.importRows = 300
	closed := make(chan error, 1)
	closes := sync.OnceFunc(func() {
		go func() { closed <- db.Close() }()
		for !db.closing.Load() {
			time.Sleep(time.Millisecond)
		}
	})
	_, err := db.Import(strings.NewReader(people(1000)), ImportOptions{By: "root", Progress: func(done, all int) {
		if all > 0 {
			closes()
		}
	}})
	if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "being closed") {
		t.Errorf("the import: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
	onlyFile(t, db.path)
	db, err = Open(db.path, db.options)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Lookup("p000000@example.jp"); !errors.Is(err, ErrUnknown) {
		t.Errorf("it was kept: %v", err)
	}
}

func TestLargeImportOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no small file system to be had: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	db, err := Open(sampleFile(t, dir), options(&clock{day(0)}))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.importRows = 100
	if _, err := importText(db, people(2000)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("the import: %v", err)
	}
	onlyFile(t, db.path)
	if _, err := rightOrError(db, 10); err != nil {
		t.Error(err)
	}
	if n, err := importText(db, people(150)); err != nil || n.Added != 150 {
		t.Errorf("one that has room: %+v, %v", n, err)
	}
	sound(t, db)
}

// The file keeps its mode, and its name may be a link.
func TestLargeImportKeepsTheFilesPlace(t *testing.T) {
	db, _ := fresh(t)
	db.Close()
	elsewhere := filepath.Join(t.TempDir(), "elsewhere.db")
	if err := errors.Join(os.Rename(db.path, elsewhere), os.Chmod(elsewhere, 0o640), os.Symlink(elsewhere, db.path),
		os.WriteFile(elsewhere+copySuffix, []byte("of a crash"), 0o600)); err != nil {
		t.Fatal(err)
	}
	db, err := Open(db.path, db.options)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	onlyFile(t, elsewhere) // what the crash left is gone
	db.importRows = 3
	if _, err := importText(db, people(10)); err != nil {
		t.Fatal(err)
	}
	link, err := os.Readlink(db.path)
	info, err2 := os.Stat(elsewhere)
	if err != nil || err2 != nil || link != elsewhere || info.Mode().Perm() != 0o640 {
		t.Errorf("%s, %v, %v, %v", link, err, info, err2)
	}
	onlyFile(t, elsewhere)
	add(t, db, "taro@example.jp")
	if _, err := lockAs(db.path, Options{Timeout: time.Millisecond}, os.O_RDONLY); !errors.Is(err, ErrLocked) {
		t.Errorf("another process could open it: %v", err)
	}
}

// What was put in the file's place meanwhile, a backup, stays there.
func TestLargeImportReplacesNothingElse(t *testing.T) {
	db, _ := fresh(t)
	add(t, db, "taro@example.jp")
	db.importRows = 300
	restore := sync.OnceFunc(func() {
		if err := errors.Join(os.Remove(db.path), os.WriteFile(db.path, []byte("a backup"), 0o600)); err != nil {
			t.Error(err)
		}
	})
	_, err := db.Import(strings.NewReader(people(1000)), ImportOptions{By: "root", Progress: func(done, all int) {
		if all > 0 {
			restore()
		}
	}})
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "replaced while it was open") {
		t.Errorf("the import: %v", err)
	}
	if text, err := os.ReadFile(db.path); err != nil || string(text) != "a backup" {
		t.Errorf("%q, %v", text, err)
	}
	onlyFile(t, db.path)
}

// What the disk did not take is not said to be imported.
func TestSyncOfALargeImportFails(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace")
	}
	for _, tt := range []struct {
		name, call string
		folder     bool
		says       string
		there      bool
	}{
		{"of the copy", "fdatasync", false, "nothing was imported", false},
		{"of its length", "fsync", false, "nothing was imported", false},
		{"of the folder", "fsync", true, "after a power cut it may", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := sampleFile(t, t.TempDir())
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			path := file + copySuffix
			if tt.folder {
				path = filepath.Dir(file)
			}
			cmd := exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "-P", path, "-e", "inject="+tt.call+":error=EIO", self, file)
			cmd.Env = append(os.Environ(), childMode+"=large import")
			cmd.Stdin = strings.NewReader(people(1000))
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), tt.says) || !strings.Contains(string(out), "input/output error") {
				t.Errorf("%v: %s", err, out)
			}
			db, err := Open(file, options(&clock{day(0)}))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Lookup("p000999@example.jp"); (err == nil) != tt.there {
				t.Errorf("Lookup: %v", err)
			}
			sound(t, db)
			onlyFile(t, file)
		})
	}
}
