package accounts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// dbFile is an open bbolt file of ours. Nothing that is wrong with it ends the process: every
// page was read with bounds before bbolt saw it, and what goes wrong later is an error.
type dbFile struct {
	bolt *bolt.DB
	file *os.File // the one that bbolt has mapped; it holds the lock
	path string

	users      sync.WaitGroup // see DB.hold
	unwritable atomic.Bool    // a change ended in a panic: bbolt's lock for writers is lost
	beginning  sync.Mutex     // held while a transaction begins
	unreadable bool           // a beginning ended in a panic: bbolt's locks are lost; under beginning
	whole      atomic.Int64   // bytes that the file must have
}

// openBolt opens a file that is there, after a look at every page of it. timeout is how long it
// waits for the lock. Errors are those of Open; what is in it is not looked at.
func openBolt(path string, flag int, timeout time.Duration) (*dbFile, error) {
	f, err := openLocked(path, flag, timeout)
	if err != nil {
		return nil, err
	}
	b, err := mapBolt(path, f, flag == os.O_RDONLY, timeout)
	if err != nil {
		f.Close()
		return nil, err
	}
	return b, nil
}

// mapBolt has bbolt map a file that is open, and locked, after a look at every page of it.
func mapBolt(path string, f *os.File, readOnly bool, timeout time.Duration) (*dbFile, error) {
	info, err := f.Stat()
	if err == nil {
		err = verifyPages(f, info.Size())
	}
	if err != nil {
		return nil, err
	}
	b := &dbFile{file: f, path: path}
	b.whole.Store(info.Size())
	err = guarded(func() error {
		b.bolt, err = bolt.Open(path, 0, &bolt.Options{
			ReadOnly:     readOnly,
			Timeout:      timeout,
			NoStatistics: true,
			FreelistType: bolt.FreelistMapType,
			OpenFile:     func(string, int, os.FileMode) (*os.File, error) { return f, nil },
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// openLocked opens an existing regular file and takes the lock that bbolt takes,
// before anything is read: nobody else is then writing to it.
func openLocked(file string, flag int, timeout time.Duration) (*os.File, error) {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if target, err := os.Readlink(file); err == nil {
			return nil, fmt.Errorf("%w: a link to %s, where nothing is: is its file system mounted?", ErrForeign, target)
		}
		return nil, ErrMissing
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%w: a folder", ErrForeign)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: a device, a socket or a pipe", ErrForeign)
	case info.Size() == 0:
		return nil, fmt.Errorf("%w: the file is empty", ErrForeign)
	}
	f, err := os.OpenFile(file, flag, 0)
	if err != nil {
		return nil, err
	}
	how := unix.LOCK_EX
	if flag == os.O_RDONLY {
		how = unix.LOCK_SH
	}
	for deadline := time.Now().Add(timeout); ; time.Sleep(20 * time.Millisecond) {
		err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if err == unix.EWOULDBLOCK && time.Now().After(deadline) {
			err = ErrLocked
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	if same, err := samePlace(file, f); err != nil || !same { // a restore while we waited
		f.Close()
		return nil, errors.Join(err, fmt.Errorf("%w: it is being replaced", ErrBusy))
	}
	return f, nil
}

// samePlace reports whether path still names f.
func samePlace(path string, f *os.File) (bool, error) {
	here, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(there, here), err
}

// createBolt makes a file with what fill puts there, durable, mode 0600. It is prepared under
// another name and linked: whatever happens, there is a whole one under its name or none.
// Made by root, it belongs to whom its folder belongs. What is there already stays: fs.ErrExist.
func createBolt(file string, fill func(*bolt.Tx) error) error {
	dir := filepath.Dir(file)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(file)+"-new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if os.Geteuid() == 0 {
		err = giveToOwner(tmp, dir)
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	b, err := bolt.Open(tmp.Name(), 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	err = b.Update(fill)
	if err := errors.Join(err, b.Close()); err != nil { // an Update is synced when it returns
		return err
	}
	if err := os.Link(tmp.Name(), file); err != nil {
		return err
	}
	return syncFolder(dir)
}

// giveToOwner gives a file to the owner of its folder.
func giveToOwner(f *os.File, dir string) error {
	var s unix.Stat_t
	if err := unix.Stat(dir, &s); err != nil {
		return &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	return f.Chown(int(s.Uid), int(s.Gid))
}

// close gives the lock back.
func (b *dbFile) close() error {
	b.beginning.Lock()
	lost := b.unreadable || b.unwritable.Load()
	b.beginning.Unlock()
	if lost { // bbolt would wait for its lost locks; the mapping stays until the process ends
		return b.file.Close()
	}
	return b.bolt.Close()
}

// guarded turns a panic of bbolt, or a fault in its mapping when the file was cut
// short under it, into ErrDamaged.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	return f()
}

// begin starts a transaction. bbolt reads the meta pages while it holds its
// locks: a file that was cut short must not get so far.
func (b *dbFile) begin(writable bool) (*bolt.Tx, error) {
	b.beginning.Lock()
	defer b.beginning.Unlock()
	if b.unreadable {
		return nil, fmt.Errorf("%w: it failed before, start again", ErrDamaged)
	}
	info, err := b.file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() < b.whole.Load() {
		return nil, fmt.Errorf("%w: cut short while it was open", ErrDamaged)
	}
	b.unreadable = true // unless Begin returns
	tx, err := b.bolt.Begin(writable)
	b.unreadable = false
	return tx, err
}

// view runs f in a transaction that only reads. See DB.view.
func (b *dbFile) view(f func(*bolt.Tx) error) error {
	return guarded(func() error {
		tx, err := b.begin(false)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		return f(tx)
	})
}

// update runs f as the one change under way: callers see to that. It is durable when update
// returns nil, and as if it had not been otherwise.
func (b *dbFile) update(f func(*bolt.Tx) error) error {
	if err := b.changeable(); err != nil {
		return err
	}
	return guarded(func() error {
		tx, err := b.begin(true)
		if err != nil {
			return fmt.Errorf("change %s: %w", b.path, err)
		}
		b.unwritable.Store(true) // unless all of the below returns
		if err = f(tx); err != nil {
			tx.Rollback()
		} else if err = tx.Commit(); err != nil {
			err = fmt.Errorf("change %s: %w", b.path, err)
		} else if info, err := b.file.Stat(); err == nil {
			b.whole.Store(info.Size())
		}
		b.unwritable.Store(false)
		return err
	})
}

// changeable tells what is in the way of a change.
func (b *dbFile) changeable() error {
	if b.unwritable.Load() {
		return fmt.Errorf("%w: a change failed before: check it and start again", ErrDamaged)
	}
	return b.inPlace()
}

// inPlace reports, as an error, that the file has lost its name: what is changed in it would be
// gone after the next start.
func (b *dbFile) inPlace() error {
	if same, err := samePlace(b.path, b.file); err != nil || !same {
		return errors.Join(err, fmt.Errorf("%s: %w: it was removed or replaced while it was open: start again", b.path, ErrDamaged))
	}
	return nil
}
