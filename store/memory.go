package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// valueMax is the size in bytes of the largest value that a Memory keeps.
const valueMax = 64 << 10

// Memory is a durable set of keys that are forgotten after a while: which
// recipients already have a message whose reply was lost, which messages ended
// a worker. It is safe for concurrent use. An empty Memory costs a look-up
// one load.
//
// Each key is a small file, named by the key in hex, in a folder of the
// Memory's own; other files there are left alone.
type Memory struct {
	dir   string
	keep  time.Duration
	files fileLayer

	count  atomic.Int64 // of known; what a look-up reads first
	lock   sync.RWMutex // known
	known  map[[32]byte]memo
	writer sync.Mutex // the files and sweepAt, so that look-ups do not wait for a disk
	sweep  time.Time  // when expired keys are removed next
}

type memo struct {
	value string
	added time.Time
}

// OpenMemory reads the set kept in dir, which is made when missing (its parent
// must be there). Keys older than keep are dropped, and files of ours that are damaged.
func OpenMemory(dir string, keep time.Duration) (*Memory, error) {
	m := &Memory{dir: dir, keep: keep, files: system{}, known: make(map[[32]byte]memo)}
	if err := m.files.mkdir(dir); err == nil {
		if err := m.files.syncDir(filepath.Dir(dir)); err != nil {
			return nil, fmt.Errorf("open memory: %w", err)
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("open memory: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open memory: %w", err)
	}
	for _, e := range entries {
		m.load(e)
	}
	m.count.Store(int64(len(m.known)))
	m.sweep = time.Now().Add(keep / 16)
	return m, nil
}

// load takes in one file of the folder, or removes it when it is of no use any
// more. Nothing that is wrong with one file stops the rest: what is lost with
// it is a duplicate avoided.
func (m *Memory) load(e fs.DirEntry) {
	if !e.Type().IsRegular() {
		return
	}
	path := filepath.Join(m.dir, e.Name())
	if strings.HasPrefix(e.Name(), tmpPrefix) {
		m.files.unlink(path) // a crash while it was written
		return
	}
	var key [32]byte
	raw, err := hex.DecodeString(e.Name())
	if err != nil || len(raw) != len(key) || hex.EncodeToString(raw) != e.Name() {
		return
	}
	copy(key[:], raw)
	n, err := readMemo(path)
	// A time to come was written before the clock was set back.
	if now := time.Now(); n.added.After(now) {
		n.added = now
	}
	if err != nil || m.expired(n) {
		m.files.unlink(path)
		return
	}
	m.known[key] = n
}

// Add makes key durable, with a small value (64 KiB at the most). Adding again
// replaces the value. After an error the key is known until the process ends.
func (m *Memory) Add(key [32]byte, value string) error {
	if len(value) > valueMax {
		return fmt.Errorf("memory: value of %d bytes", len(value))
	}
	m.writer.Lock()
	defer m.writer.Unlock()
	n := memo{value, time.Now()}
	m.lock.Lock()
	m.known[key] = n
	m.count.Store(int64(len(m.known)))
	m.lock.Unlock()
	err := m.write(m.path(key), n)
	if n.added.After(m.sweep) {
		err = errors.Join(err, m.sweepExpired(n.added))
	}
	if err != nil {
		return classify(fmt.Errorf("memory: %w", err))
	}
	return nil
}

// Get gives the value of a key.
func (m *Memory) Get(key [32]byte) (value string, ok bool) {
	if m.count.Load() == 0 {
		return "", false
	}
	m.lock.RLock()
	defer m.lock.RUnlock()
	n, ok := m.known[key]
	if !ok || m.expired(n) {
		return "", false
	}
	return n.value, true
}

// Remove forgets a key. One that is not known is no error.
func (m *Memory) Remove(key [32]byte) error {
	m.writer.Lock()
	defer m.writer.Unlock()
	m.forget(key)
	err := m.files.unlink(m.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = m.files.syncDir(m.dir) // or it comes back after a power cut
	}
	if err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	return nil
}

// Len is the number of keys, expired ones that still lie about included: 0
// means that no look-up is worth its digest.
func (m *Memory) Len() int { return int(m.count.Load()) }

func (m *Memory) expired(n memo) bool { return time.Since(n.added) > m.keep }

func (m *Memory) path(key [32]byte) string { return filepath.Join(m.dir, hex.EncodeToString(key[:])) }

func (m *Memory) forget(key [32]byte) {
	m.lock.Lock()
	defer m.lock.Unlock()
	delete(m.known, key)
	m.count.Store(int64(len(m.known)))
}

// sweepExpired removes the keys that are expired. The caller holds writer.
func (m *Memory) sweepExpired(now time.Time) error {
	m.sweep = now.Add(m.keep / 16)
	var old [][32]byte
	m.lock.RLock()
	for key, n := range m.known {
		if m.expired(n) {
			old = append(old, key)
		}
	}
	m.lock.RUnlock()
	var errs []error
	for _, key := range old {
		m.forget(key)
		if err := m.files.unlink(m.path(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// write puts one memo under its name: whole and durable, or not at all.
func (m *Memory) write(path string, n memo) error {
	tmp := filepath.Join(m.dir, fmt.Sprintf("%s%016x", tmpPrefix, rand.Uint64()))
	f, err := m.files.create(tmp)
	if err != nil {
		return err
	}
	_, err = f.write(strings.NewReader(n.format()))
	if err == nil {
		err = f.sync()
	}
	err = errors.Join(err, f.close())
	if err == nil {
		err = m.files.rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, m.files.unlink(tmp))
	}
	return m.files.syncDir(m.dir)
}

// memoLine begins the file of a key: its version, when the key was added in
// seconds since 1970, and the CRC-32 of that time and the value, which follows.
const memoLine = "memory 1 %d %08x\n"

func (n memo) format() string {
	return fmt.Sprintf(memoLine, n.added.Unix(), checksum(n.added.Unix(), n.value)) + n.value
}

func readMemo(path string) (memo, error) {
	f, err := os.Open(path)
	if err != nil {
		return memo{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, valueMax+100))
	if err != nil {
		return memo{}, err
	}
	return parseMemo(string(text))
}

func parseMemo(text string) (memo, error) {
	line, value, _ := strings.Cut(text, "\n")
	var seconds int64
	var sum uint32
	if _, err := fmt.Sscanf(line+"\n", memoLine, &seconds, &sum); err != nil {
		return memo{}, err
	}
	if sum != checksum(seconds, value) {
		return memo{}, errors.New("checksum")
	}
	return memo{value, time.Unix(seconds, 0)}, nil
}

func checksum(seconds int64, value string) uint32 {
	return crc32.ChecksumIEEE(fmt.Appendf(nil, "%d %s", seconds, value))
}
