package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-maildir"
	"golang.org/x/sys/unix"
)

// text is a Content for tests.
type text string

func (t text) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(t))
	return int64(n), err
}
func (t text) Size() int64 { return int64(len(t)) }
func (t text) VirtualSize() int64 {
	return t.Size() + int64(strings.Count(string(t), "\n")-strings.Count(string(t), "\r\n"))
}

const (
	report  = text("Subject: report\r\n\r\nremoved\r\n")
	message = text("Subject: message\n\nhello\r\nworld\n")
)

// newStore makes a Store whose root is a fresh folder, and the paths of n Maildirs below it.
func newStore(t testing.TB, n int) (*Store, []string) {
	root := t.TempDir()
	s := New(Options{Hostname: "mail.example.jp", Root: root})
	var dirs []string
	for i := range n {
		dirs = append(dirs, filepath.Join(root, "example.jp", "user"+strconv.Itoa(i), "Maildir"))
	}
	return s, dirs
}

// files lists a sub-folder of a Maildir; one that is missing is empty.
func files(t testing.TB, maildir, sub string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(maildir, sub))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// visible gives the texts in new, sorted.
func visible(t testing.TB, maildir string) []string {
	t.Helper()
	var texts []string
	for _, name := range files(t, maildir, "new") {
		b, err := os.ReadFile(filepath.Join(maildir, "new", name))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(b))
	}
	slices.Sort(texts)
	return texts
}

// both is what visible gives after a delivery of report and message.
var both = []string{string(message), string(report)}

func deliver(t testing.TB, s *Store, maildir string, contents ...Content) {
	t.Helper()
	d := s.Prepare(contents...)
	if err := errors.Join(d.To(maildir), d.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestRecipientsShareOneFile(t *testing.T) {
	s, dirs := newStore(t, 3)
	d := s.Prepare(report, message)
	for _, dir := range dirs {
		if err := d.To(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	var infos []os.FileInfo
	for _, dir := range dirs {
		if got := visible(t, dir); !slices.Equal(got, both) {
			t.Errorf("%s holds %q", dir, got)
		}
		if left := files(t, dir, "tmp"); len(left) > 0 {
			t.Errorf("left in tmp: %q", left)
		}
		for _, name := range files(t, dir, "new") {
			if info, err := os.Stat(filepath.Join(dir, "new", name)); err != nil {
				t.Error(err)
			} else if info.Size() == message.Size() {
				infos = append(infos, info)
			}
		}
	}
	if len(infos) != 3 || !os.SameFile(infos[0], infos[1]) || !os.SameFile(infos[1], infos[2]) {
		t.Errorf("the %d copies are not one file", len(infos))
	}
}

func TestTheSameMaildirTwiceGetsTwoCopies(t *testing.T) {
	s, dirs := newStore(t, 1)
	d := s.Prepare(message)
	if err := errors.Join(d.To(dirs[0]), d.To(dirs[0]), d.Close()); err != nil {
		t.Fatal(err)
	}
	if got := visible(t, dirs[0]); len(got) != 2 {
		t.Errorf("%d copies, want 2", len(got))
	}
}

func TestFilesAreNamedAndProtectedAsMaildirWants(t *testing.T) {
	s, dirs := newStore(t, 1)
	s.host = escapeHost("a/b:c,d")
	deliver(t, s, dirs[0], message)
	name := files(t, dirs[0], "new")[0]
	want := regexp.MustCompile(`^\d{10}\.M\d{1,6}P\d+Q\d+R[0-9a-f]{16}\.a\\057b\\072c\\054d,S=(\d+),W=(\d+)$`)
	if m := want.FindStringSubmatch(name); m == nil || m[1] != fmt.Sprint(message.Size()) || m[2] != fmt.Sprint(message.Size()+3) {
		t.Errorf("name %q", name)
	}
	for path, mode := range map[string]os.FileMode{
		dirs[0]: os.ModeDir | 0o700, dirs[0] + "/cur": os.ModeDir | 0o700, filepath.Dir(dirs[0]): os.ModeDir | 0o700,
		dirs[0] + "/new/" + name: 0o600,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v %v, want %v", path, info.Mode(), err, mode)
		}
	}
}

func TestHostNames(t *testing.T) {
	for _, tt := range []struct{ name, host, want string }{
		{"plain", "mx-1.example.jp", "mx-1.example.jp"},
		{"none", "", "localhost"},
		{"separators", "../x:2,S=9", `..\057x\0722\054S\0759`},
		{"control and 8 bit", "a\n\xe3", `a\012\343`},
		{"long", strings.Repeat("x", 300), strings.Repeat("x", hostMax)},
		{"long escapes are not cut in two", strings.Repeat("/", 300), strings.Repeat(`\057`, hostMax/4)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := escapeHost(tt.host); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	s := New(Options{Hostname: strings.Repeat("x", 300)})
	if n := len(s.tmpName()); n > 255 {
		t.Errorf("tmp name of %d bytes", n)
	}
}

func TestGoMaildirReadsWhatIsDelivered(t *testing.T) {
	s, dirs := newStore(t, 1)
	deliver(t, s, dirs[0], report, message)
	names := files(t, dirs[0], "new")
	got, err := maildir.Dir(dirs[0]).Unseen()
	if err != nil || len(got) != 2 {
		t.Fatalf("%d messages, %v", len(got), err)
	}
	for _, m := range got {
		if !slices.Contains(names, m.Key()) || len(m.Flags()) != 0 {
			t.Errorf("key %q, flags %q; delivered %q", m.Key(), m.Flags(), names)
		}
		r, err := m.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		r.Close()
		if err != nil || !slices.Contains(both, string(b)) {
			t.Errorf("%q, %v", b, err)
		}
	}
}

func TestPlacesThatAreRefused(t *testing.T) {
	root := t.TempDir()
	for _, tt := range []struct{ name, root, maildir string }{
		{"relative", "", "Maildir"},
		{"empty", "", ""},
		{"the file system's root", "", "/"},
		{"not clean", root, root + "/a/../b"},
		{"final slash", root, root + "/a/"},
		{"the root itself", root, root},
		{"a neighbour of the root", root, root + "x/Maildir"},
		{"out of the root", root, "/etc/Maildir"},
		{"NUL", root, root + "/a\x00b"},
		{"relative root", "vmail", "/vmail/a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := New(Options{Root: tt.root})
			if err := s.Prepare(message).To(tt.maildir); !errors.Is(err, ErrPlace) {
				t.Errorf("To: %v", err)
			}
			if _, err := s.CleanTmp(tt.maildir, 0); !errors.Is(err, ErrPlace) {
				t.Errorf("CleanTmp: %v", err)
			}
		})
	}
}

func TestFoldersAreMadeBelowTheRootOnly(t *testing.T) {
	base := t.TempDir()
	link := filepath.Join(base, "dangling")
	if err := os.Symlink(filepath.Join(base, "nowhere"), link); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(base, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, root, maildir string }{
		{"no root, nothing is made", "", base + "/a/Maildir"},
		{"the root is missing", base + "/unmounted", base + "/unmounted/a/Maildir"},
		{"a dead link", base, link},
		{"a file", base, base + "/file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := New(Options{Root: tt.root}).Prepare(message)
			if err := d.To(tt.maildir); err == nil || errors.Is(err, ErrPlace) {
				t.Errorf("To: %v", err)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			if got := files(t, base, "."); len(got) != 2 {
				t.Errorf("made: %q", got)
			}
		})
	}
}

func TestMissingSubfoldersAreMade(t *testing.T) {
	for _, sub := range []string{"tmp", "new", "cur"} {
		t.Run(sub, func(t *testing.T) {
			s, dirs := newStore(t, 2)
			d := s.Prepare(report, message)
			for _, dir := range dirs {
				deliver(t, s, dir, message)
				if err := os.RemoveAll(filepath.Join(dir, sub)); err != nil {
					t.Fatal(err)
				}
				if err := d.To(dir); err != nil {
					t.Error(err)
				}
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			for _, dir := range dirs {
				got := visible(t, dir)
				if len(got) < 2 || !slices.Contains(got, string(report)) {
					t.Errorf("%q", got)
				}
			}
		})
	}
}

func TestStagedFilesThatVanishAreWrittenAgain(t *testing.T) {
	s, dirs := newStore(t, 2)
	d := s.Prepare(report, message)
	if err := d.To(dirs[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dirs[0], "tmp")); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, dirs[1], text("the Maildir exists"))
	if err := errors.Join(d.To(dirs[1]), d.Close()); err != nil {
		t.Fatal(err)
	}
	if got := visible(t, dirs[1]); len(got) != 3 {
		t.Errorf("%q", got)
	}
}

// short is a Content that does not keep what it says.
type short struct{ text }

func (s short) Size() int64 { return s.text.Size() + 1 }

func TestContentOfAnotherSizeIsNotDelivered(t *testing.T) {
	s, dirs := newStore(t, 1)
	for _, contents := range [][]Content{{report, short{message}}, {}} {
		d := s.Prepare(contents...)
		if err := d.To(dirs[0]); err == nil {
			t.Errorf("%v: delivered", contents)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if got := slices.Concat(files(t, dirs[0], "new"), files(t, dirs[0], "tmp")); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
}

func TestNamesStayUniqueAtOnceAndWhenTheClockIsSetBack(t *testing.T) {
	s, dirs := newStore(t, 4)
	stopped := time.Now() // two deliveries never see different times
	s.now = func() time.Time { return stopped }
	again := New(Options{Hostname: "mail.example.jp", Root: s.root}) // as after a restart with the same process number
	again.now = func() time.Time { return stopped }
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			d := []*Store{s, again}[i%2].Prepare(report, message)
			for j := range dirs {
				if err := d.To(dirs[(i+j)%len(dirs)]); err != nil {
					t.Error(err)
				}
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, dir := range dirs {
		if got := files(t, dir, "new"); len(got) != 128 {
			t.Errorf("%d files, want 128", len(got))
		}
		if left := files(t, dir, "tmp"); len(left) > 0 {
			t.Errorf("left in tmp: %q", left)
		}
	}
}

func TestCleanTmpRemovesWhatACrashOfOursLeft(t *testing.T) {
	s, dirs := newStore(t, 1)
	crashed := New(Options{Hostname: "mail.example.jp", Root: s.root})
	old := time.Now().Add(-48 * time.Hour)
	if n, err := s.CleanTmp(dirs[0], time.Hour); n != 0 || err != nil {
		t.Errorf("no Maildir: %d, %v", n, err)
	}
	deliver(t, s, dirs[0], message)
	running, ours, fresh := s.tmpName(), crashed.tmpName(), crashed.tmpName()
	strange := []string{"1700000000.M1P2.host", "kiyome", "1700000000.M1P2Q3R4.host", ".kiyome."}
	for _, name := range slices.Concat(strange, []string{running, ours, fresh}) {
		path := filepath.Join(dirs[0], "tmp", name)
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if name != fresh {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n, err := s.CleanTmp(dirs[0], 36*time.Hour); n != 1 || err != nil {
		t.Errorf("removed %d, %v; want 1", n, err)
	}
	want := slices.Sorted(slices.Values(slices.Concat(strange, []string{running, fresh})))
	if got := files(t, dirs[0], "tmp"); !slices.Equal(got, want) {
		t.Errorf("left %q, want %q", got, want)
	}
	if got := files(t, dirs[0], "new"); len(got) != 1 {
		t.Errorf("new: %q", got)
	}
}

// toFile writes within the kernel, to the descriptor of the file that a Content is given.
type toFile struct{ text }

func (c toFile) WriteTo(w io.Writer) (int64, error) {
	f, ok := w.(interface{ Fd() uintptr })
	if !ok {
		return 0, fmt.Errorf("given a %T", w)
	}
	n, err := unix.Write(int(f.Fd()), []byte(c.text))
	return int64(n), err
}

func TestContentIsGivenTheFile(t *testing.T) {
	s, dirs := newStore(t, 1)
	deliver(t, s, dirs[0], toFile{message})
	if got := files(t, dirs[0], "new"); len(got) != 1 {
		t.Errorf("new: %q", got)
	}
}

// panicking is a Content with a fault of ours in it.
type panicking struct{ text }

func (panicking) WriteTo(io.Writer) (int64, error) { panic("a fault of ours") }

func TestAPanicLeavesNoDescriptor(t *testing.T) {
	s, dirs := newStore(t, 1)
	open := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no /proc: ", err)
		}
		return len(fds)
	}
	before := open()
	for range 20 {
		func() {
			defer func() { _ = recover() }()
			d := s.Prepare(panicking{message})
			defer d.Close()
			_ = d.To(dirs[0])
		}()
	}
	if after := open(); after > before+5 { // others of this process come and go
		t.Errorf("%d descriptors, %d before", after, before)
	}
	if got := files(t, dirs[0], "tmp"); len(got) != 0 {
		t.Errorf("left in tmp: %q", got)
	}
}
