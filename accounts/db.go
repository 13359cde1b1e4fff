package accounts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	path    string
	options Options
	prices  atomic.Pointer[Tariff]
	removed atomic.Pointer[Removals] // nil: see Removals
	writer  chan struct{}            // has room for the one change that is under way
	closing atomic.Bool

	importRows int // see loading.batch

	mu      sync.Mutex
	current *dbFile // under mu: see hold
}

// Open opens an existing database for reading and writing and checks that it
// is one of ours, whole and not newer. It never makes one, and changes no byte.
//
// Every page is read, so it takes time in proportion to the file: see Lock. The errors
// are ErrMissing, ErrForeign, ErrDamaged, ErrNewer, ErrLocked, or what the system
// said; each names the file and what to do. On a read-only file system look-ups
// work and changes fail.
func Open(file string, o Options) (*DB, error) {
	l, err := Lock(file, o)
	if err != nil {
		return nil, err
	}
	return l.Open()
}

// Locked is a database whose lock is ours, and that was not read yet.
type Locked struct {
	file    *os.File
	path    string
	options Options
	flag    int // os.O_RDWR or os.O_RDONLY
}

// Lock takes the lock of a database, which takes no time, so that other things can be done
// while Open reads it. Its errors are those of Open.
func Lock(file string, o Options) (*Locked, error) {
	l, err := lockAs(file, o, os.O_RDWR)
	if errors.Is(err, unix.EROFS) {
		l, err = lockAs(file, o, os.O_RDONLY)
	}
	if err != nil {
		return nil, failedToOpen(file, err)
	}
	return l, nil
}

func lockAs(file string, o Options, flag int) (*Locked, error) {
	if o.Timeout <= 0 {
		o.Timeout = 3 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	f, err := openLocked(file, flag, o.Timeout)
	return &Locked{file: f, path: file, options: o, flag: flag}, err
}

// Open reads the database and opens it: see the function Open. After an error, the lock
// is given back. It is to be called once.
func (l *Locked) Open() (*DB, error) {
	db, err := l.open()
	if err != nil {
		return nil, failedToOpen(l.path, err)
	}
	return db, nil
}

// Close gives the lock back, in place of Open.
func (l *Locked) Close() error { return l.file.Close() }

func failedToOpen(file string, err error) error {
	return fmt.Errorf("open account database %s: %w%s", file, err, remedy(err))
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

func (l *Locked) open() (*DB, error) {
	f, err := mapBolt(l.path, l.file, l.flag == os.O_RDONLY, l.options.Timeout)
	if err != nil {
		l.file.Close()
		return nil, err
	}
	if l.flag == os.O_RDWR {
		f.removeCopy() // one that stays is in nobody's way: the next import writes over it
	}
	db := &DB{path: l.path, options: l.options, current: f, writer: make(chan struct{}, 1), importRows: importRows}
	db.SetTariff(l.options.Tariff)
	if err := db.view(checkSchema); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
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
	if err := createBolt(file, makeBuckets); err != nil {
		return nil, fmt.Errorf("create account database %s: %w", file, err)
	}
	return Open(file, o)
}

// makeBuckets makes an empty database.
func makeBuckets(tx *bolt.Tx) error {
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
}

// Close gives the lock back. A change that is under way ends before: an import that takes long
// is given up.
func (db *DB) Close() error {
	db.closing.Store(true)
	db.writer <- struct{}{}
	defer func() { <-db.writer }()
	f, leave := db.hold()
	leave() // bbolt waits for readers
	return f.close()
}

// Ping reports what keeps look-ups from being answered out of the file that the
// database was opened from: it is damaged, cut short, removed or replaced.
func (db *DB) Ping() error {
	f, leave := db.hold()
	defer leave()
	if err := f.inPlace(); err != nil {
		return err
	}
	if err := f.view(checkSchema); err != nil {
		return fmt.Errorf("%s: %w", db.path, err)
	}
	return nil
}

// Size is that of the file, in bytes.
func (db *DB) Size() int64 {
	f, leave := db.hold()
	defer leave()
	return f.whole.Load()
}

// view runs f in a transaction that only reads. It must be short: a change that
// lets the file grow waits for all of them, and new ones wait for the change.
func (db *DB) view(f func(*bolt.Tx) error) error {
	file, leave := db.hold()
	defer leave()
	return file.view(f)
}

// update runs f as the one change under way; it is durable when update returns
// nil, and as if it had not been otherwise.
func (db *DB) update(f func(*bolt.Tx) error) error {
	release, err := db.acquire()
	if err != nil {
		return err
	}
	defer release()
	file, leave := db.hold()
	defer leave()
	return file.update(f)
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
