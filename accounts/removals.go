package accounts

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Bounds of the history. Ordinarily a removal takes some 500 bytes of the file, with the longest
// texts 4.3 KiB: two millions of them 1 GB, and whatever comes less than 9 GB.
const (
	maxRemovals        = 2_000_000 // in all
	maxRemovalsAddress = 10_000    // of one address
	removalQueue       = 4096      // not written yet
	removalBatch       = 256       // written, or dropped for their age, in one transaction
	expiryInterval     = 24 * time.Hour
	removalLogInterval = time.Minute // between two lines of the log about what is lost
	removalRetry       = time.Minute // between two tries to open the file again
	removalsTimeout    = 500 * time.Millisecond
)

// MaxRemovalsList is how many removals List gives at the most.
const MaxRemovalsList = 1000

// The buckets of the history.
var (
	bucketRemovals = []byte("removals") // address, NUL, seq: sealed removal
	bucketTimes    = []byte("times")    // seconds since 1970, then the key in bucketRemovals: nothing
)

// Removals is the history of what was removed from the mail of each address, in a file of its
// own. It is for members to read, and no mail depends on it: whatever is wrong with the file, it
// is put aside or done without, and the log says so. It is safe for concurrent use.
//
// Of one address the newest 10,000 are kept, in all the newest 2,000,000.
type Removals struct {
	path  string
	keep  time.Duration
	log   *slog.Logger
	now   func() time.Time
	most  int // of one address
	total int // in all

	queue chan Removal
	quit  chan struct{}
	done  chan struct{}
	end   sync.Once
	lost  atomic.Int64 // not written down, ever

	mu   sync.RWMutex // held by readers, and by whoever changes file
	file *dbFile      // nil: there is none
	err  error        // why

	// Of the writer alone.
	count  int // in the file
	told   time.Time
	untold int64 // lost since told
	tried  time.Time
}

// OpenRemovals opens the history in path, or begins one. keep is for how long removals are kept;
// with 0 nothing is, and what is there is removed. It never fails: a file that cannot be read is
// put aside as path and ".damaged", where it replaces an older one; if none can be made, List
// says so, and it is tried again. The file is read in the background, in time proportional to its size.
func OpenRemovals(path string, keep time.Duration, log *slog.Logger) *Removals {
	r := &Removals{path: path, keep: keep, log: log, now: time.Now, most: maxRemovalsAddress, total: maxRemovals,
		queue: make(chan Removal, removalQueue), quit: make(chan struct{}), done: make(chan struct{})}
	r.start()
	return r
}

func (r *Removals) start() {
	if r.keep <= 0 {
		close(r.done)
		for _, name := range []string{r.path, r.damaged()} {
			if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				r.log.Error("the history of removals is off, and what was kept of it cannot be removed", "err", err)
			}
		}
		return
	}
	r.mu.Lock() // List waits for the file
	go func() {
		r.open()
		r.mu.Unlock()
		r.work()
	}()
}

// damaged is where a file that cannot be read is put aside.
func (r *Removals) damaged() string { return r.path + ".damaged" }

// Add has removals written down. It never waits: when too many are waiting already, they are
// lost, and the log says how many. What is malformed is made fit to be kept.
func (r *Removals) Add(removals ...Removal) {
	if r.keep <= 0 {
		return
	}
	for _, one := range removals {
		if !r.enqueue(one) {
			r.lost.Add(1)
		}
	}
}

// enqueue reports whether there is room for one, and whether it is somebody's.
func (r *Removals) enqueue(one Removal) bool {
	address, err := ParseAddress(one.Address)
	if err != nil {
		return false
	}
	one.Address = address
	select {
	case r.queue <- one.bounded():
		return true
	default:
		return false
	}
}

// Lost is how many removals could not be written down.
func (r *Removals) Lost() int64 { return r.lost.Load() }

// Close writes down what is waiting and closes the file.
func (r *Removals) Close() error {
	r.end.Do(func() { close(r.quit) })
	<-r.done
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return nil
	}
	err := r.file.close()
	r.file, r.err = nil, errors.New("the history of removals is closed")
	return err
}

// List gives what was removed from the mail of an address since a time, the newest first: those
// whose Seq is below before, or all when that is 0; at most limit, and MaxRemovalsList. To go on, it
// is asked for those before the last Seq. Removals that are damaged are left out.
//
// It does not know whose the address was: DB.Removals does.
func (r *Removals) List(address string, since time.Time, before uint64, limit int) ([]Removal, error) {
	address, err := ParseAddress(address)
	if err != nil {
		return nil, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.file == nil {
		return nil, r.err
	}
	return r.file.removals(address, since, before, limit)
}

// removals is List of a file.
func (b *dbFile) removals(address string, since time.Time, before uint64, limit int) (all []Removal, err error) {
	if limit <= 0 || limit > MaxRemovalsList {
		limit = MaxRemovalsList
	}
	err = b.view(func(tx *bolt.Tx) error {
		prefix := ledgerPrefix(address)
		c := tx.Bucket(bucketRemovals).Cursor()
		for k, v := seekBefore(c, prefix, before); bytes.HasPrefix(k, prefix) && len(all) < limit; k, v = c.Prev() {
			if one, err := unsealRemoval(k, v); err == nil && !one.Time.Before(since) {
				all = append(all, one)
			}
		}
		return nil
	})
	return all, err
}

// seekBefore goes to the last key below prefix and seq; 0 is behind all.
func seekBefore(c *bolt.Cursor, prefix []byte, seq uint64) (key, value []byte) {
	end := bytes.Clone(prefix)
	if end[len(end)-1]++; seq > 0 {
		end = append(bytes.Clone(prefix), eventKey(seq)...)
	}
	if k, _ := c.Seek(end); k == nil {
		return c.Last()
	}
	return c.Prev()
}

func removalKey(address string, seq uint64) []byte {
	return append(ledgerPrefix(address), eventKey(seq)...)
}

// timeKey is the key in bucketTimes of a removal with this key.
func timeKey(t time.Time, key []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(max(t.Unix(), 0))), key...)
}

// work is the one writer.
func (r *Removals) work() {
	defer close(r.done)
	expiry := time.NewTimer(0)
	defer expiry.Stop()
	for {
		select {
		case one := <-r.queue:
			r.write(r.gather(one))
		case <-expiry.C:
			wait := expiryInterval
			if r.expire() {
				wait = 10 * time.Millisecond
			}
			expiry.Reset(wait)
		case <-r.quit:
			for len(r.queue) > 0 {
				r.write(r.gather(<-r.queue))
			}
			r.tell(true)
			return
		}
	}
}

// gather takes what else is waiting.
func (r *Removals) gather(first Removal) []Removal {
	batch := []Removal{first}
	for len(batch) < removalBatch {
		select {
		case one := <-r.queue:
			batch = append(batch, one)
		default:
			return batch
		}
	}
	return batch
}

// write writes a batch, once more if the file had to be put aside. One that cannot be written is lost.
func (r *Removals) write(batch []Removal) {
	err := r.change(func(tx *bolt.Tx, count int) (int, error) { return r.enter(tx, count, batch) })
	if err != nil {
		r.lost.Add(int64(len(batch)))
		r.log.Error("what was removed from mail cannot be written down", "file", r.path, "removals", len(batch), "err", err)
	}
	r.tell(false)
}

// tell says in the log how many were lost since it last did: once in a while, or now.
func (r *Removals) tell(now bool) {
	lost := r.lost.Load() - r.untold
	if lost > 0 && (now || r.now().Sub(r.told) >= removalLogInterval) {
		r.log.Error("the history of removals lacks some: they came faster than they could be written down, or could not be", "removals", lost)
		r.untold, r.told = r.untold+lost, r.now()
	}
}

// change runs f in one transaction, with how many removals there are; it gives how many there
// are then. A file that turns out to be damaged, or is gone, is replaced.
func (r *Removals) change(f func(tx *bolt.Tx, count int) (int, error)) error {
	err := r.err
	if r.file != nil {
		err = r.changeFile(f)
	}
	if r.file == nil && r.now().Sub(r.tried) < removalRetry || r.file != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	if r.renew(); r.file == nil {
		return r.err
	}
	return r.changeFile(f)
}

func (r *Removals) changeFile(f func(tx *bolt.Tx, count int) (int, error)) error {
	var count int
	err := r.file.update(func(tx *bolt.Tx) (err error) {
		count, err = f(tx, r.count)
		return err
	})
	if err == nil {
		r.count = count
	}
	return err
}

// enter writes a batch, and drops what is then too much.
func (r *Removals) enter(tx *bolt.Tx, count int, batch []Removal) (int, error) {
	all, times := tx.Bucket(bucketRemovals), tx.Bucket(bucketTimes)
	for _, one := range batch {
		prefix := ledgerPrefix(one.Address)
		c := all.Cursor()
		if k, _ := seekBefore(c, prefix, 0); bytes.HasPrefix(k, prefix) {
			one.Seq = number(k[len(prefix):])
		}
		one.Seq++
		key := removalKey(one.Address, one.Seq)
		if err := errors.Join(all.Put(key, sealRemoval(key, one)), times.Put(timeKey(one.Time, key), nil)); err != nil {
			return 0, err
		}
		count++
		// Where some are missing in between it drops one too early.
		if k, _ := c.Seek(prefix); one.Seq-number(k[len(prefix):]) >= uint64(r.most) {
			n, err := drop(tx, bytes.Clone(k))
			if err != nil {
				return 0, err
			}
			count -= n
		}
	}
	old := oldest(tx, max(count-r.total, 0), func([]byte) bool { return true })
	return count - len(old), dropTimes(tx, old)
}

// drop removes a removal by its key, and gives how many fewer there are in bucketTimes: of one
// that is damaged, the entry there stays until it is old.
func drop(tx *bolt.Tx, key []byte) (int, error) {
	one, err := unsealRemoval(key, tx.Bucket(bucketRemovals).Get(key))
	if err != nil {
		return 0, tx.Bucket(bucketRemovals).Delete(key)
	}
	return 1, dropTimes(tx, [][]byte{timeKey(one.Time, key)})
}

// oldest gives the keys in bucketTimes of the n oldest removals, as long as wanted.
func oldest(tx *bolt.Tx, n int, wanted func(key []byte) bool) [][]byte {
	var keys [][]byte
	c := tx.Bucket(bucketTimes).Cursor()
	for k, _ := c.First(); k != nil && len(keys) < n && wanted(k); k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	return keys
}

// dropTimes removes the removals that have these keys in bucketTimes.
func dropTimes(tx *bolt.Tx, keys [][]byte) error {
	for _, k := range keys {
		if err := errors.Join(tx.Bucket(bucketRemovals).Delete(k[8:]), tx.Bucket(bucketTimes).Delete(k)); err != nil {
			return err
		}
	}
	return nil
}

// expire drops a batch of what is too old, and reports whether there may be more.
func (r *Removals) expire() (more bool) {
	end := timeKey(r.now().Add(-r.keep), nil)
	err := r.change(func(tx *bolt.Tx, count int) (int, error) {
		old := oldest(tx, removalBatch, func(k []byte) bool { return bytes.Compare(k, end) < 0 })
		more = len(old) == removalBatch
		if len(old) == 0 {
			return 0, errUnchanged
		}
		return count - len(old), dropTimes(tx, old)
	})
	if err != nil && !errors.Is(err, errUnchanged) {
		r.log.Error("old removals cannot be dropped from the history", "file", r.path, "err", err)
		return false
	}
	return more
}

// renew opens the file again.
func (r *Removals) renew() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file != nil {
		r.file.close() // it is damaged: what it says of that is no news
	}
	r.open()
}

// open opens the file. One that cannot be read is put aside, and a new one begun. The caller holds mu.
func (r *Removals) open() {
	r.tried = r.now()
	if r.file, r.err = r.openOrBegin(); r.err != nil {
		r.file, r.err = nil, fmt.Errorf("open history of removals %s: %w", r.path, r.err)
		r.log.Error("no history of removals is kept; mail is delivered all the same", "err", r.err)
	}
}

func (r *Removals) openOrBegin() (*dbFile, error) {
	f, err := openRemovalsFile(r.path, os.O_RDWR)
	bad := slices.ContainsFunc([]error{ErrDamaged, ErrForeign, ErrNewer}, func(e error) bool { return errors.Is(err, e) })
	switch {
	case bad:
		if err := os.Rename(r.path, r.damaged()); err != nil {
			return nil, err
		}
		r.log.Error("the history of removals cannot be read: it is put aside, and a new one begun", "err", err, "aside", r.damaged())
	case !errors.Is(err, ErrMissing):
		return r.counted(f, err)
	}
	if err := createBolt(r.path, makeRemovals); err != nil {
		return nil, err
	}
	return r.counted(openRemovalsFile(r.path, os.O_RDWR))
}

// counted counts what is in a file that was opened.
func (r *Removals) counted(f *dbFile, err error) (*dbFile, error) {
	if err != nil {
		return nil, err
	}
	err = f.view(func(tx *bolt.Tx) error {
		r.count = tx.Bucket(bucketTimes).Stats().KeyN
		return nil
	})
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func makeRemovals(tx *bolt.Tx) error {
	for _, name := range [][]byte{bucketKiyome, bucketRemovals, bucketTimes} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	return tx.Bucket(bucketKiyome).Put(keySchema, []byte(removalsSchema))
}

// removalsSchema is the version of the buckets of the history, and what tells it from accounts.
const removalsSchema = "removals 1"

// openRemovalsFile opens a history that is there.
func openRemovalsFile(path string, flag int) (*dbFile, error) {
	f, err := openBolt(path, flag, removalsTimeout)
	if err != nil {
		return nil, err
	}
	err = f.view(func(tx *bolt.Tx) error {
		if b := tx.Bucket(bucketKiyome); b == nil || string(b.Get(keySchema)) != removalsSchema {
			return fmt.Errorf("%w: a file of another program or version", ErrForeign)
		}
		if tx.Bucket(bucketRemovals) == nil || tx.Bucket(bucketTimes) == nil {
			return fmt.Errorf("%w: a part is missing", ErrDamaged)
		}
		return nil
	})
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}
