package accounts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// copySuffix is what the name of a copy has behind that of the database.
const copySuffix = ".importing"

// errUnsynced says that a change is in force, and may be lost with the power.
var errUnsynced = errors.New("all of it is in force, but after a power cut it may be as it was before: do it again")

// errClosing ends what takes long when the database is to be closed.
var errClosing = fmt.Errorf("%w: the database is being closed", ErrBusy)

// rewrite has f change a copy of the database, in as many transactions as it likes, and puts the
// copy in its place when f returns nil: then all of it is in force, and durable; until then, and
// after an error, nothing is. Look-ups go on meanwhile and see nothing of it; other changes wait.
// The file system must have room for the copy. What a crash leaves of it, the next Open removes.
func (db *DB) rewrite(f func(copy *dbFile) error) error {
	release, err := db.acquire()
	if err != nil {
		return err
	}
	defer release()
	if err := db.changeable(); err != nil {
		return err
	}
	c, err := db.copied()
	if err != nil {
		return fmt.Errorf("copy account database: %w", err)
	}
	if err = f(c); err == nil {
		err = c.settle()
	}
	path := strings.TrimSuffix(c.path, copySuffix)
	if err == nil {
		err = db.changeable() // nothing else may have come into its place
	}
	if err == nil {
		err = os.Rename(c.path, path)
	}
	if err != nil {
		c.close() // it is to be removed: what it says of that is no news
		return errors.Join(err, os.Remove(c.path))
	}
	c.path = db.path
	db.replace(c).close() // it has no name any more: what its closing says is no news
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return fmt.Errorf("%w: %w", errUnsynced, err)
	}
	return nil
}

// removeCopy removes what a crash may have left of a copy.
func (b *dbFile) removeCopy() {
	if path, err := filepath.EvalSymlinks(b.path); err == nil {
		os.Remove(path + copySuffix)
	}
}

// copied makes a copy beside the database, with its owner and mode, which only we know. Nothing
// that is changed in it is durable before settle.
func (db *DB) copied() (*dbFile, error) {
	from, leave := db.hold()
	defer leave()
	path, err := filepath.EvalSymlinks(db.path) // its name may be a link to another file system
	if err != nil {
		return nil, err
	}
	to, err := os.OpenFile(path+copySuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	c, err := from.copyTo(to, db.options.Timeout)
	if err != nil {
		return nil, errors.Join(err, os.Remove(to.Name()))
	}
	return c, nil
}

// copyTo copies the file to another, which is closed on an error.
func (b *dbFile) copyTo(to *os.File, timeout time.Duration) (*dbFile, error) {
	err := b.view(func(tx *bolt.Tx) error {
		_, err := tx.WriteTo(to)
		return err
	})
	var c *dbFile
	if err = errors.Join(alike(to, b.file), err); err == nil {
		c, err = mapBolt(to.Name(), to, false, timeout)
	}
	if err != nil {
		to.Close()
		return nil, err
	}
	c.bolt.NoSync = true
	return c, nil
}

// alike gives a file the owner and the mode of another.
func alike(f, other *os.File) error {
	var is, want unix.Stat_t
	if err := errors.Join(unix.Fstat(int(f.Fd()), &is), unix.Fstat(int(other.Fd()), &want)); err != nil {
		return err
	}
	if is.Uid != want.Uid || is.Gid != want.Gid {
		if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
			return err
		}
	}
	return f.Chmod(os.FileMode(want.Mode & 0o777))
}

// settle makes what was changed in a copy durable, after a look at every page of it.
func (b *dbFile) settle() error {
	if err := b.bolt.Sync(); err != nil {
		return err
	}
	b.bolt.NoSync = false
	return verifyPages(b.file, b.whole.Load())
}

// hold gives the file as it is now, which stays open until leave.
func (db *DB) hold() (f *dbFile, leave func()) {
	db.mu.Lock()
	defer db.mu.Unlock()
	f = db.current
	f.users.Add(1)
	return f, f.users.Done
}

// changeable tells what is in the way of a change.
func (db *DB) changeable() error {
	f, leave := db.hold()
	defer leave()
	return f.changeable()
}

// replace puts another file in force, and gives the one before it when nobody reads it any more.
func (db *DB) replace(next *dbFile) (old *dbFile) {
	db.mu.Lock()
	old, db.current = db.current, next
	db.mu.Unlock()
	old.users.Wait()
	return old
}
