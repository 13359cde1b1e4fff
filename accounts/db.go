package accounts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// schema is the version of the buckets and what is in them.
const schema = 1

// The buckets. bucketLedger says which events an account has; its values are empty.
var (
	bucketKiyome   = []byte("kiyome")   // "schema": the version, in decimal
	bucketAccounts = []byte("accounts") // canonical address: sealed record
	bucketEvents   = []byte("events")   // sequence, big-endian: sealed event
	bucketLedger   = []byte("ledger")   // address, NUL, sequence
	keySchema      = []byte("schema")
)

// Options configures a DB.
type Options struct {
	Delimiter string        // of address extensions: "+"; each character of it is one; "" for none
	Path      string        // template of Maildir paths, see ExpandPath
	Timeout   time.Duration // how long to wait for the lock, and for other changes; default 3 s
	Tariff    Tariff        // of bills; see SetTariff
	Now       func() time.Time
}

// DB is an open account database. It is safe for concurrent use.
type DB struct {
	bolt    *bolt.DB
	file    *os.File // the one that bbolt has mapped; it holds the lock
	path    string
	options Options
	prices  atomic.Pointer[Tariff]

	writer     chan struct{} // has room for the one change that is under way
	unwritable atomic.Bool   // a change ended in a panic: bbolt's lock for writers is lost
	beginning  sync.Mutex    // held while a transaction begins
	unreadable bool          // a beginning ended in a panic: bbolt's locks are lost; under beginning
	whole      atomic.Int64  // bytes that the file must have
}

// Open opens an existing database for reading and writing and checks that it
// is one of ours, whole and not newer. It never makes one, and changes no byte.
//
// Every page is read, so it takes time in proportion to the file. The errors are
// ErrMissing, ErrForeign, ErrDamaged, ErrNewer, ErrLocked, or what the system
// said; each names the file and what to do. On a read-only file system look-ups
// work and changes fail.
func Open(file string, o Options) (*DB, error) {
	db, err := open(file, o, os.O_RDWR)
	if errors.Is(err, unix.EROFS) {
		db, err = open(file, o, os.O_RDONLY)
	}
	if err != nil {
		return nil, fmt.Errorf("open account database %s: %w%s", file, err, remedy(err))
	}
	return db, nil
}

// remedy says what the operator can do.
func remedy(err error) string {
	for _, r := range []struct {
		err    error
		remedy string
	}{
		{ErrMissing, `"kiyome account add" makes one; if there was one, see that its file system is mounted, or restore a backup`},
		{ErrForeign, "put the right file there, or restore a backup"},
		{ErrDamaged, "restore a backup; nothing was changed"},
		{ErrNewer, "use the program that wrote it; nothing was changed"},
		{ErrLocked, "a server or another command has it open"},
		{fs.ErrPermission, "run as the user to whom it belongs"},
	} {
		if errors.Is(err, r.err) {
			return " (" + r.remedy + ")"
		}
	}
	return ""
}

func open(file string, o Options, flag int) (*DB, error) {
	if o.Timeout <= 0 {
		o.Timeout = 3 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	f, err := openLocked(file, flag, o.Timeout)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = verifyPages(f, info.Size())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	db := &DB{file: f, path: file, options: o, writer: make(chan struct{}, 1)}
	db.whole.Store(info.Size())
	db.SetTariff(o.Tariff)
	err = guarded(func() error {
		db.bolt, err = bolt.Open(file, 0, &bolt.Options{
			ReadOnly:     flag == os.O_RDONLY,
			Timeout:      o.Timeout,
			NoStatistics: true,
			FreelistType: bolt.FreelistMapType,
			OpenFile:     func(string, int, os.FileMode) (*os.File, error) { return f, nil },
		})
		return err
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	if err := db.view(checkSchema); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
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

func checkSchema(tx *bolt.Tx) error {
	b := tx.Bucket(bucketKiyome)
	if b == nil {
		return fmt.Errorf("%w: a bbolt file of another program", ErrForeign)
	}
	version, err := strconv.ParseUint(string(b.Get(keySchema)), 10, 32)
	switch {
	case err != nil || version == 0:
		return fmt.Errorf("%w: it does not say its version", ErrDamaged)
	case version > schema:
		return fmt.Errorf("%w: its schema is %d, this program knows %d", ErrNewer, version, schema)
	}
	for _, name := range [][]byte{bucketAccounts, bucketEvents, bucketLedger} {
		if tx.Bucket(name) == nil {
			return fmt.Errorf("%w: %s are missing", ErrDamaged, name)
		}
	}
	return nil
}

// Create makes a new, empty database, durable, mode 0600. It refuses to touch
// a file that exists: the error is then fs.ErrExist. Made by root, it belongs to
// whom its folder belongs: the server runs as him.
func Create(file string, o Options) (*DB, error) {
	if err := create(file); err != nil {
		return nil, fmt.Errorf("create account database %s: %w", file, err)
	}
	return Open(file, o)
}

// create prepares the file under another name and links it: whatever happens,
// there is a whole database under its name or none.
func create(file string) error {
	dir := filepath.Dir(file)
	tmp, err := os.CreateTemp(dir, ".accounts-new-*")
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
	err = b.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketAccounts, bucketEvents, bucketLedger} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		b, err := tx.CreateBucket(bucketKiyome)
		if err != nil {
			return err
		}
		return b.Put(keySchema, strconv.AppendUint(nil, schema, 10))
	})
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

// Close gives the lock back.
func (db *DB) Close() error {
	db.beginning.Lock()
	lost := db.unreadable || db.unwritable.Load()
	db.beginning.Unlock()
	if lost { // bbolt would wait for its lost locks; the mapping stays until the process ends
		return db.file.Close()
	}
	return db.bolt.Close()
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
func (db *DB) begin(writable bool) (*bolt.Tx, error) {
	db.beginning.Lock()
	defer db.beginning.Unlock()
	if db.unreadable {
		return nil, fmt.Errorf("%w: it failed before, start again", ErrDamaged)
	}
	info, err := db.file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() < db.whole.Load() {
		return nil, fmt.Errorf("%w: cut short while it was open", ErrDamaged)
	}
	db.unreadable = true // unless Begin returns
	tx, err := db.bolt.Begin(writable)
	db.unreadable = false
	return tx, err
}

// view runs f in a transaction that only reads. It must be short: a change that
// lets the file grow waits for all of them, and new ones wait for the change.
func (db *DB) view(f func(*bolt.Tx) error) error {
	return guarded(func() error {
		tx, err := db.begin(false)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		return f(tx)
	})
}

// update runs f as the one change under way; it is durable when update returns
// nil, and as if it had not been otherwise.
func (db *DB) update(f func(*bolt.Tx) error) error {
	release, err := db.acquire()
	if err != nil {
		return err
	}
	defer release()
	if db.unwritable.Load() {
		return fmt.Errorf("%w: a change failed before: check it and start again", ErrDamaged)
	}
	// A change in a file that has lost its name would be gone after the next start.
	if same, err := samePlace(db.path, db.file); err != nil || !same {
		return errors.Join(err, fmt.Errorf("%s: %w: it was removed or replaced while it was open: start again", db.path, ErrDamaged))
	}
	return guarded(func() error {
		tx, err := db.begin(true)
		if err != nil {
			return fmt.Errorf("change account database: %w", err)
		}
		db.unwritable.Store(true) // unless all of the below returns
		if err = f(tx); err != nil {
			tx.Rollback()
		} else if err = tx.Commit(); err != nil {
			err = fmt.Errorf("change account database: %w", err)
		} else if info, err := db.file.Stat(); err == nil {
			db.whole.Store(info.Size())
		}
		db.unwritable.Store(false)
		return err
	})
}

// acquire waits for the other changes to end.
func (db *DB) acquire() (release func(), err error) {
	timeout := time.NewTimer(db.options.Timeout)
	defer timeout.Stop()
	select {
	case db.writer <- struct{}{}:
		return func() { <-db.writer }, nil
	case <-timeout.C:
		return nil, fmt.Errorf("change account database: %w: another change takes long", ErrBusy)
	}
}

func (db *DB) now() time.Time { return db.options.Now().UTC().Round(0) }
