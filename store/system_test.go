package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// children are what the test binary does when it is started by a test as another process.
var children = map[string]func(root string) error{
	"deliver":  deliverOnce,
	"endless":  deliverEndlessly,
	"filesize": deliverBeyondFileSize,
}

func TestMain(m *testing.M) {
	if child, ok := children[os.Getenv("STORE_TEST_CHILD")]; ok {
		if err := child(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child prepares the test binary as another process.
func child(t *testing.T, name, root string, wrapper ...string) *exec.Cmd {
	args := append(wrapper, os.Args[0], root)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "STORE_TEST_CHILD="+name)
	return cmd
}

func deliverOnce(root string) error {
	s := New(Options{Hostname: "mail.example.jp", Root: root})
	d := s.Prepare(report, message)
	return errors.Join(d.To(root+"/a/Maildir"), d.To(root+"/b/Maildir"), d.To(root+"/c/Maildir"), d.Close())
}

// TestStepsReachTheKernelInOrder watches a delivery from outside: both files
// are synced before either is linked, the report is linked first, and each
// folder is synced after its links; so are the parents of new folders.
func TestStepsReachTheKernelInOrder(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	if err := exec.Command(strace, "-f", "-o", os.DevNull, "true").Run(); err != nil {
		t.Skip("strace may not trace here")
	}
	root := t.TempDir()
	if _, err := New(Options{Root: root}).makeFolders(root + "/c/Maildir"); err != nil {
		t.Fatal(err)
	}
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := child(t, "deliver", root, strace, "-f", "-y", "-s", "300", "-o", trace,
		"-e", "trace=fsync,fdatasync,link,linkat,unlinkat,unlink,mkdirat,mkdir,rename,renameat,renameat2,openat")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := strings.Fields(`
		open:a/Maildir/tmp
		mkdir:a mkdir:a/Maildir mkdir:a/Maildir/tmp mkdir:a/Maildir/new mkdir:a/Maildir/cur sync:. sync:a sync:a/Maildir
		open:a/Maildir/tmp/1 sync:a/Maildir/tmp/1 open:a/Maildir/tmp/2 sync:a/Maildir/tmp/2
		link:a/Maildir/tmp/1:a/Maildir/new link:a/Maildir/tmp/2:a/Maildir/new sync:a/Maildir/new
		link:a/Maildir/tmp/1:b/Maildir/new
		mkdir:b mkdir:b/Maildir mkdir:b/Maildir/tmp mkdir:b/Maildir/new mkdir:b/Maildir/cur sync:. sync:b sync:b/Maildir
		link:a/Maildir/tmp/1:b/Maildir/new link:a/Maildir/tmp/2:b/Maildir/new sync:b/Maildir/new
		link:a/Maildir/tmp/1:c/Maildir/new link:a/Maildir/tmp/2:c/Maildir/new sync:c/Maildir/new
		unlink:a/Maildir/tmp/1 unlink:a/Maildir/tmp/2`)
	if got := steps(t, trace, root); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

var (
	opened  = regexp.MustCompile(`openat\(.*"([^"]*)".*O_EXCL.* = (-?\d+)`)
	synced  = regexp.MustCompile(`f(?:data)?sync\(\d+<([^>]*)>\) += 0`)
	made    = regexp.MustCompile(`mkdir(?:at)?\(.*"([^"]*)", 0700\) += 0`)
	linked  = regexp.MustCompile(`link(?:at)?\(.*"([^"]*)",.*"([^"]*)".*\) +=`)
	removed = regexp.MustCompile(`unlink(?:at)?\(.*"([^"]*)"(?:, 0)?\) += 0`)
)

// steps reads a trace: paths are relative to root, and the files in tmp are
// named by the order in which they were made.
func steps(t *testing.T, trace, root string) []string {
	t.Helper()
	raw, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	// A call that another thread interrupts is written in two halves.
	halves := map[string]string{}
	numbers := map[string]int{}
	short := func(path string) string {
		rel, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		dir, base := filepath.Split(rel)
		if n := numbers[path]; n > 0 {
			return dir + strconv.Itoa(n)
		}
		if strings.HasSuffix(dir, "/new/") || strings.HasPrefix(base, tmpPrefix) {
			return strings.TrimSuffix(dir, "/")
		}
		return rel
	}
	var got []string
	for line := range strings.Lines(string(raw)) {
		thread, call, _ := strings.Cut(strings.TrimSpace(line), " ")
		if head, ok := strings.CutSuffix(call, " <unfinished ...>"); ok {
			halves[thread] = head
			continue
		}
		if _, tail, ok := strings.Cut(call, " resumed>"); ok {
			call = halves[thread] + tail
		}
		if !strings.Contains(call, root) {
			continue
		}
		if m := opened.FindStringSubmatch(call); m != nil {
			if m[2] != "-1" {
				numbers[m[1]] = len(numbers) + 1
			}
			got = append(got, "open:"+short(m[1]))
		} else if m := removed.FindStringSubmatch(call); m != nil {
			got = append(got, "unlink:"+short(m[1]))
		} else if m := linked.FindStringSubmatch(call); m != nil {
			got = append(got, "link:"+short(m[1])+":"+short(m[2]))
		} else if m := synced.FindStringSubmatch(call); m != nil {
			got = append(got, "sync:"+short(m[1]))
		} else if m := made.FindStringSubmatch(call); m != nil {
			got = append(got, "mkdir:"+short(m[1]))
		} else if strings.HasPrefix(call, "rename") {
			got = append(got, call)
		}
	}
	return got
}

// deliverEndlessly delivers numbered pairs, and says which were acknowledged.
func deliverEndlessly(root string) error {
	s := New(Options{Hostname: "mail.example.jp", Root: root})
	for worker := range 4 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), worker, i)
				d := s.Prepare(pair("report", id), pair("message", id))
				if err := errors.Join(d.To(root+"/a/Maildir"), d.To(root+"/b/Maildir")); err != nil {
					panic(err)
				}
				fmt.Println(id)
				d.Close()
			}
		}()
	}
	select {}
}

// pair is a text whose end says whether it is whole.
func pair(kind, id string) text {
	return text(kind + " " + id + "\r\n" + strings.Repeat("x", 20_000) + "\r\nend " + id + "\r\n")
}

func TestKillsLoseNothingAndShowNothingHalf(t *testing.T) {
	root := t.TempDir()
	acked := map[string]bool{}
	for range 30 {
		cmd := child(t, "endless", root)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		killer := time.AfterFunc(time.Duration(20+rand.IntN(60))*time.Millisecond, func() { cmd.Process.Kill() })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			acked[lines.Text()] = true
		}
		cmd.Wait()
		killer.Stop()
		if errs.Len() > 0 {
			t.Fatal(errs.String())
		}
	}
	if len(acked) == 0 {
		t.Fatal("nothing was delivered")
	}
	for _, dir := range []string{root + "/a/Maildir", root + "/b/Maildir"} {
		seen := map[string]int{}
		for _, got := range visible(t, dir) {
			head, _, _ := strings.Cut(got, "\r\n")
			kind, id, _ := strings.Cut(head, " ")
			if got != string(pair(kind, id)) {
				t.Errorf("half a message is visible: %d bytes, %q", len(got), head)
			}
			seen[head]++
		}
		for head, n := range seen {
			if id, ok := strings.CutPrefix(head, "message "); n != 1 || ok && seen["report "+id] != 1 {
				t.Errorf("%s: %d copies, %d reports", head, n, seen["report "+id])
			}
		}
		for id := range acked {
			if seen["message "+id] != 1 || seen["report "+id] != 1 {
				t.Errorf("%s was acknowledged and is not in %s", id, dir)
			}
		}
		left := len(files(t, dir, "tmp"))
		n, err := New(Options{Root: root}).CleanTmp(dir, -time.Hour)
		if err != nil || n != left || len(files(t, dir, "tmp")) > 0 {
			t.Errorf("tmp: %d files, %d removed, %v", left, n, err)
		}
	}
}

func TestFullDisk(t *testing.T) {
	root := t.TempDir()
	if err := unix.Mount("none", root, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a small file system cannot be mounted: %v", err)
	}
	defer unix.Unmount(root, unix.MNT_DETACH)
	s := New(Options{Hostname: "mail.example.jp", Root: root})
	small, other := root+"/a/Maildir", filepath.Join(t.TempDir(), "b/Maildir")
	deliver(t, s, small, message)
	big := text(strings.Repeat("x", 100_000))
	d := New(Options{Hostname: "mail.example.jp"}).Prepare(report, big)
	if err := d.To(small); !errors.Is(err, ErrFull) {
		t.Errorf("full: %v", err)
	}
	if left := files(t, small, "tmp"); len(left) > 0 {
		t.Errorf("a full disk keeps %q until Close", left)
	}
	if _, err := New(Options{Root: filepath.Dir(filepath.Dir(other))}).makeFolders(other); err != nil {
		t.Fatal(err)
	}
	if err := d.To(other); err != nil {
		t.Errorf("the recipient on another disk: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if got := visible(t, other); len(got) != 2 {
		t.Errorf("%d messages on the other disk, want 2", len(got))
	}
	deliver(t, s, small, report) // what was half written is gone: there is room again
	if got := visible(t, small); !slices.Equal(got, both) || len(files(t, small, "tmp")) > 0 {
		t.Errorf("holds %q, tmp %q", got, files(t, small, "tmp"))
	}
}

func TestOtherFileSystem(t *testing.T) {
	s, dirs := newStore(t, 2)
	far := filepath.Dir(dirs[1])
	if err := os.MkdirAll(far, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", far, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("another file system cannot be mounted: %v", err)
	}
	defer unix.Unmount(far, unix.MNT_DETACH)
	d := s.Prepare(report, message)
	if err := errors.Join(d.To(dirs[0]), d.To(dirs[1]), d.Close()); err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		if got := visible(t, dir); !slices.Equal(got, both) || len(files(t, dir, "tmp")) > 0 {
			t.Errorf("%s holds %q, tmp %q", dir, got, files(t, dir, "tmp"))
		}
	}
}

func deliverBeyondFileSize(root string) error {
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1000, Max: 1000}); err != nil {
		return err
	}
	s := New(Options{Hostname: "mail.example.jp", Root: root})
	d := s.Prepare(report, text(strings.Repeat("x", 2000)))
	if err := d.To(root + "/a/Maildir"); !errors.Is(err, ErrFull) {
		return fmt.Errorf("beyond the limit: %w", err)
	}
	if err := d.Close(); err != nil {
		return err
	}
	d = s.Prepare(report, message)
	return errors.Join(d.To(root+"/a/Maildir"), d.Close())
}

func TestFileSizeLimit(t *testing.T) {
	root := t.TempDir()
	if out, err := child(t, "filesize", root).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := visible(t, root+"/a/Maildir"); !slices.Equal(got, both) {
		t.Errorf("holds %q", got)
	}
}

// TestFoldersOfAnotherDeliveryAreWaitedFor: mail in a folder that somebody
// else has made, but not synced, is not durable yet.
func TestFoldersOfAnotherDeliveryAreWaitedFor(t *testing.T) {
	s, dirs := newStore(t, 1)
	reached, release := make(chan struct{}), make(chan struct{})
	s.files = &slowFolders{reached: reached, release: release}
	first, second := make(chan error, 1), make(chan error, 1)
	run := func(done chan error) {
		d := s.Prepare(message)
		done <- errors.Join(d.To(dirs[0]), d.Close())
	}
	go run(first)
	<-reached // the folders are made, their parents not synced
	go run(second)
	select {
	case err := <-second:
		t.Errorf("delivered into folders that are not durable (%v)", err)
		second <- err
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	if err := errors.Join(<-first, <-second); err != nil {
		t.Error(err)
	}
}

// slowFolders holds the first sync of a folder up.
type slowFolders struct {
	system
	reached, release chan struct{}
	once             bool
}

func (f *slowFolders) syncDir(path string) error {
	if filepath.Base(path) != "new" && !f.once {
		f.once = true
		close(f.reached)
		<-f.release
	}
	return f.system.syncDir(path)
}

// BenchmarkDelivery is beside what the steps cost by themselves.
func BenchmarkDelivery(b *testing.B) {
	content := text(strings.Repeat("0123456789abcdef\r\n", 1000))
	for _, recipients := range []int{1, 5} {
		b.Run(fmt.Sprintf("%d recipients", recipients), func(b *testing.B) {
			s, dirs := newStore(b, recipients)
			for b.Loop() {
				d := s.Prepare(content)
				for _, dir := range dirs {
					if err := d.To(dir); err != nil {
						b.Fatal(err)
					}
				}
				d.Close()
			}
		})
	}
	b.Run("raw", func(b *testing.B) {
		s, dirs := newStore(b, 1)
		if _, err := s.makeFolders(dirs[0]); err != nil {
			b.Fatal(err)
		}
		dir, err := os.Open(dirs[0] + "/new")
		if err != nil {
			b.Fatal(err)
		}
		defer dir.Close()
		for i := 0; b.Loop(); i++ {
			from, to := dirs[0]+"/tmp/x", dirs[0]+"/new/"+strconv.Itoa(i)
			f, err := os.Create(from)
			if err != nil {
				b.Fatal(err)
			}
			content.WriteTo(f)
			if err := errors.Join(f.Sync(), f.Close(), os.Link(from, to), dir.Sync(), os.Remove(from)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
