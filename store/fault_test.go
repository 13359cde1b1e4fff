package store

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// faulty is the real file system with a fault where fail gives one. It counts
// and records the steps: "sync tmp/kiyome.…" in the order in which they came.
type faulty struct {
	system
	steps []string
	fail  func(step int, op string) error
}

func (f *faulty) step(op, path string) error {
	f.steps = append(f.steps, op+" "+filepath.Base(filepath.Dir(path))+"/"+filepath.Base(path))
	if f.fail == nil {
		return nil
	}
	if err := f.fail(len(f.steps)-1, op); err != nil {
		return fmt.Errorf("%s %s: %w", op, path, err)
	}
	return nil
}

func (f *faulty) create(path string) (openFile, error) {
	if err := f.step("create", path); err != nil {
		return nil, err
	}
	file, err := f.system.create(path)
	return &faultyFile{f, path, file}, err
}

func (f *faulty) link(from, to string) error {
	return unless(f.step("link", to), func() error { return f.system.link(from, to) })
}

func (f *faulty) rename(from, to string) error {
	return unless(f.step("rename", to), func() error { return f.system.rename(from, to) })
}

func (f *faulty) unlink(path string) error {
	return unless(f.step("unlink", path), func() error { return f.system.unlink(path) })
}

func (f *faulty) mkdir(path string) error {
	return unless(f.step("mkdir", path), func() error { return f.system.mkdir(path) })
}

// Syncs are told of, not done: what they do is for the tests with the real layer.
func (f *faulty) syncDir(path string) error { return f.step("syncdir", path+"/") }

// unless does the real thing when the fault is nil.
func unless(fault error, do func() error) error {
	if fault != nil {
		return fault
	}
	return do()
}

type faultyFile struct {
	layer *faulty
	path  string
	file  openFile
}

func (f *faultyFile) write(w io.WriterTo) (int64, error) {
	if err := f.layer.step("write", f.path); err != nil {
		n, _ := f.file.write(strings.NewReader("Subj")) // as a disk that fills up
		return n, err
	}
	return f.file.write(w)
}

func (f *faultyFile) sync() error { return f.layer.step("sync", f.path) }

func (f *faultyFile) close() error {
	err := f.file.close()
	return unless(f.layer.step("close", f.path), func() error { return err })
}

// TestEveryStepMayFail lets each step of a delivery fail once. Whatever step it
// is, a recipient has all or nothing, nothing stays in tmp, the other
// recipients have their mail, and so has the struck one when it comes again.
func TestEveryStepMayFail(t *testing.T) {
	faults := []struct{ errno, want error }{
		{unix.EIO, nil}, {unix.EACCES, nil}, {unix.ENOENT, nil},
		{unix.ENOSPC, ErrFull}, {unix.EDQUOT, ErrQuota},
	}
	for _, recipients := range []int{1, 3} {
		for _, existing := range []bool{true, false} {
			for _, fault := range faults {
				for _, own := range []bool{true, false} {
					name := fmt.Sprintf("%d recipients, Maildir there %v, own reports %v, %v", recipients, existing, own, fault.errno)
					t.Run(name, func(t *testing.T) {
						for at := 0; failAt(t, recipients, existing, own, at, fault.errno, fault.want); at++ {
						}
					})
				}
			}
		}
	}
}

// failAt delivers with a fault at one step; false when there is no such step.
// The report is each recipient's own, or shared like the message.
func failAt(t *testing.T, recipients int, existing, own bool, at int, errno, want error) bool {
	t.Helper()
	s, dirs := newStore(t, recipients)
	layer := &faulty{}
	s.files = layer
	if existing {
		for _, dir := range dirs {
			if _, err := s.makeFolders(dir); err != nil {
				t.Fatal(err)
			}
		}
	}
	failed := ""
	layer.steps = nil
	layer.fail = func(step int, op string) error {
		if step != at {
			return nil
		}
		failed = layer.steps[step]
		return errno
	}
	d, reports := s.Prepare(report, message), []Content(nil)
	if own {
		d, reports = s.Prepare(message), []Content{report}
	}
	var struck []string
	for _, dir := range dirs {
		err := d.To(dir, reports...)
		shown := visible(t, dir)
		switch {
		case err == nil && !slices.Equal(shown, both):
			t.Errorf("step %d (%s): delivered, but holds %q", at, failed, shown)
		case err != nil && len(shown) > 0:
			t.Errorf("step %d (%s): %v, but holds %q", at, failed, err, shown)
		case err != nil && (want != nil && !errors.Is(err, want) || !errors.Is(err, errno)):
			t.Errorf("step %d (%s): %v, want %v", at, failed, err, want)
		case err != nil && isPartial(err):
			t.Errorf("step %d (%s): %v is partial, but nothing shows", at, failed, err)
		}
		if err != nil {
			struck = append(struck, dir)
		}
	}
	closed := d.Close()
	if failed == "" {
		return false
	}
	// The fault of one step strikes one recipient; the removal of a tmp file strikes none.
	onlyTmp := strings.HasPrefix(failed, "unlink tmp/")
	if len(struck) > 1 || len(struck) == 0 && !onlyTmp && errno != unix.ENOENT {
		t.Errorf("step %d (%s): struck %d recipients", at, failed, len(struck))
	}
	if closed != nil && !onlyTmp {
		t.Errorf("step %d (%s): Close: %v", at, failed, closed)
	}
	for _, dir := range dirs {
		if left := files(t, dir, "tmp"); len(left) > 0 && !onlyTmp {
			t.Errorf("step %d (%s): left in tmp: %q", at, failed, left)
		}
	}
	for _, dir := range struck {
		deliver(t, s, dir, report, message)
		if got := visible(t, dir); !slices.Equal(got, both) {
			t.Errorf("step %d (%s): the retry holds %q", at, failed, got)
		}
	}
	return true
}

func TestFailuresThatDoNotEnd(t *testing.T) {
	for _, tt := range []struct {
		name    string
		fail    func(step int, op string) error
		want    error // of To; nil: delivered
		done    int   // of the PartialError
		visible []string
	}{
		{"no sync succeeds", failing("sync", unix.EIO), unix.EIO, 0, nil},
		{"no folder can be synced", failing("syncdir", unix.EIO), unix.EIO, 0, nil},
		{"no hard links here", failing("link", unix.EPERM), nil, 0, both},
		{"no hard links, said otherwise", failing("link", unix.EOPNOTSUPP), nil, 0, both},
		{"too many links", failing("link", unix.EMLINK), nil, 0, both},
		{"neither link nor rename", failing("link rename", unix.EPERM), unix.EPERM, 0, nil},
		{"the second link fails, the first stays", second("link", "unlink", unix.EIO), unix.EIO, 1, []string{string(report)}},
		{"the second rename fails, the first stays", renameThen("unlink"), unix.EIO, 1, []string{string(report)}},
		{"the second link fails, the first stays and is not durable", second("link", "unlink syncdir", unix.EIO), unix.EIO, 0, []string{string(report)}},
		{"the second link fails for want of a folder, the first stays", second("link", "unlink", unix.ENOENT), unix.ENOENT, 1, []string{string(report)}},
		{"the folder cannot be synced, the report not be taken back", syncThen(second("unlink", "unlink", unix.EIO)), unix.EIO, 0, []string{string(report)}},
		{"the folder cannot be synced nor cleaned", failing("syncdir unlink", unix.EIO), unix.EIO, 0, both},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, dirs := newStore(t, 1)
			if _, err := s.makeFolders(dirs[0]); err != nil {
				t.Fatal(err)
			}
			s.files = &faulty{fail: tt.fail}
			d := s.Prepare(report, message)
			err := d.To(dirs[0])
			if !errors.Is(err, tt.want) {
				t.Errorf("To: %v, want %v", err, tt.want)
			}
			var partial *PartialError
			if errors.As(err, &partial) != (tt.done > 0) || partial != nil && partial.Done != tt.done {
				t.Errorf("partial: %+v, want %d done", partial, tt.done)
			}
			if got := visible(t, dirs[0]); !slices.Equal(got, tt.visible) {
				t.Errorf("visible: %q, want %q", got, tt.visible)
			}
			s.files = system{}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			if left := files(t, dirs[0], "tmp"); len(left) > 0 {
				t.Errorf("left in tmp: %q", left)
			}
		})
	}
}

// failing gives errno at every step of the named operations.
func failing(ops string, errno error) func(int, string) error {
	return func(_ int, op string) error {
		if slices.Contains(strings.Fields(ops), op) {
			return errno
		}
		return nil
	}
}

// second gives errno at the second step of op, and from then on at those of ops.
func second(op, ops string, errno error) func(int, string) error {
	n := 0
	return func(_ int, got string) error {
		if got == op {
			n++
		}
		if got == op && n == 2 || n >= 2 && slices.Contains(strings.Fields(ops), got) {
			return errno
		}
		return nil
	}
}

// renameThen lets no link succeed, nor the second rename, nor ops after it.
func renameThen(ops string) func(int, string) error {
	late := second("rename", ops, unix.EIO)
	return func(step int, op string) error {
		if op == "link" {
			return unix.EXDEV
		}
		return late(step, op)
	}
}

// syncThen lets no folder be synced, and gives the faults of late at other steps.
func syncThen(late func(int, string) error) func(int, string) error {
	return func(step int, op string) error {
		if op == "syncdir" {
			return unix.EIO
		}
		return late(step, op)
	}
}

func TestFoldersThatCannotBeMadeDurableAreRemoved(t *testing.T) {
	s, dirs := newStore(t, 1)
	s.files = &faulty{fail: failing("syncdir", unix.EIO)}
	d := s.Prepare(message)
	if err := d.To(dirs[0]); !errors.Is(err, unix.EIO) {
		t.Errorf("To: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if left := files(t, s.root, "."); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestPartialDeliveryCountsOwnContentsFirst(t *testing.T) {
	s, dirs := newStore(t, 2)
	for _, dir := range dirs {
		if _, err := s.makeFolders(dir); err != nil {
			t.Fatal(err)
		}
	}
	d := s.Prepare(message)
	if err := d.To(dirs[0], report); err != nil {
		t.Fatal(err)
	}
	s.files = &faulty{fail: second("link", "unlink", unix.EIO)}
	var partial *PartialError
	if err := d.To(dirs[1], report); !errors.As(err, &partial) || partial.Done != 1 {
		t.Errorf("To: %v", err)
	}
	if got := visible(t, dirs[1]); !slices.Equal(got, []string{string(report)}) {
		t.Errorf("visible: %q", got)
	}
	s.files = system{}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if left := slices.Concat(files(t, dirs[0], "tmp"), files(t, dirs[1], "tmp")); len(left) > 0 {
		t.Errorf("left in tmp: %q", left)
	}
}

func TestOwnContentsAreSyncedAndShownBeforeTheSharedOnes(t *testing.T) {
	s, dirs := newStore(t, 2)
	for _, dir := range dirs {
		if _, err := s.makeFolders(dir); err != nil {
			t.Fatal(err)
		}
	}
	layer := &faulty{}
	s.files = layer
	d := s.Prepare(message)
	for i, want := range []string{
		"create write sync close create write sync close link link syncdir unlink",
		"create write sync close link link syncdir unlink",
	} {
		layer.steps = nil
		if err := d.To(dirs[i], report); err != nil {
			t.Fatal(err)
		}
		var ops, sizes []string
		for _, step := range layer.steps {
			op, name, _ := strings.Cut(step, " ")
			ops = append(ops, op)
			if _, size, ok := strings.Cut(name, ",S="); ok && op == "link" {
				size, _, _ = strings.Cut(size, ",")
				sizes = append(sizes, size)
			}
		}
		if got := strings.Join(ops, " "); got != want {
			t.Errorf("recipient %d: %s, want %s", i, got, want)
		}
		if order := []string{fmt.Sprint(report.Size()), fmt.Sprint(message.Size())}; !slices.Equal(sizes, order) {
			t.Errorf("recipient %d: shown in the order of sizes %q, want %q", i, sizes, order)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestAReaderThatMovesTheReportIsNotGivenItTwice(t *testing.T) {
	s, dirs := newStore(t, 1)
	if _, err := s.makeFolders(dirs[0]); err != nil {
		t.Fatal(err)
	}
	links := 0
	s.files = &faulty{fail: func(_ int, op string) error {
		if op != "link" {
			return nil
		}
		if links++; links == 2 { // Dovecot has moved the report to cur meanwhile
			name := files(t, dirs[0], "new")[0]
			if err := (system{}).rename(dirs[0]+"/new/"+name, dirs[0]+"/cur/"+name+":2,"); err != nil {
				t.Error(err)
			}
			return unix.EIO
		}
		return nil
	}}
	d := s.Prepare(report, message)
	var partial *PartialError
	if err := d.To(dirs[0]); !errors.As(err, &partial) || partial.Done != 1 {
		t.Errorf("%v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func TestRecipientsOnOtherFileSystemsGetACopyThatTheNextCanShare(t *testing.T) {
	s, dirs := newStore(t, 4)
	for _, dir := range dirs {
		if _, err := s.makeFolders(dir); err != nil {
			t.Fatal(err)
		}
	}
	// Recipients 0 and 2 lie on one file system, 1 and 3 on another.
	layer := &crossing{faulty: &faulty{}, side: func(path string) bool {
		return strings.HasPrefix(path, dirs[1]) || strings.HasPrefix(path, dirs[3])
	}}
	s.files = layer
	d := s.Prepare(report, message)
	for _, dir := range dirs {
		if err := d.To(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		if got := visible(t, dir); !slices.Equal(got, both) || len(files(t, dir, "tmp")) > 0 {
			t.Errorf("%s holds %q, tmp %q", dir, got, files(t, dir, "tmp"))
		}
	}
	created := 0
	for _, step := range layer.steps {
		if strings.HasPrefix(step, "create") {
			created++
		}
	}
	if created != 4 {
		t.Errorf("%d files made, want 2 contents on 2 file systems", created)
	}
}

// crossing is two file systems: links do not cross from one side to the other.
type crossing struct {
	*faulty
	side func(path string) bool
}

func (c *crossing) link(from, to string) error {
	if c.side(from) != c.side(to) {
		return unix.EXDEV
	}
	return c.faulty.link(from, to)
}
